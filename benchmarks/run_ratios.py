"""Penstock against floors and rivals, taking turns in one process: the figures of running that it promises.

    python benchmarks/run_ratios.py [PART ...] [--size TASKS] [--rounds N] [--clock wall|cpu] [--json FILE]

prints each figure, its range over the rounds, what it has to be, and whether it is.  A ratio is that of the
medians; ratios of the single rounds show how sure it is.  Planning is left out on all sides.  The parts:

coroutines    bodies that return at once, without arguments, beside F1 doing the same
named         func(name) with distinct results kept, beside F1 doing the same
functions     plain functions, beside F1 with coroutines
rivals        the schedulers written by hand, on the same event loop
suspend       bodies that suspend once, beside the counting scheduler on the same event loop
request       a graph of ten tasks, planned once and run 20,000 times
growth        cost per task from 10^3 to 10^7 tasks, less that of the counters and the ready queue alone
memory        bytes per task, after ten runs, and at most with 10^7 tasks
heartbeat     gaps that others see on the same event loop
scheduler     DynamicScheduler from ready-made task orders and functions to the report, and how that grows
policies      retries, time-outs and limits that never act, beside a run without them
timers        how late time-outs act, with 10,000 of them armed
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import bodies
import heartbeat
import inputs
import run_footprint
import task_orders
import ten_tasks
import turns
from peers import FLOORS, counters, eager_task_groups, f1, gathers, penstock_peer, task_groups

NEW = sys.version_info
SUSPENDING_TASKS = 10**5
REQUESTS = 20_000


class Figure(NamedTuple):
    """Something measured, and what it has to be; without a bound it is only shown."""

    name: str
    value: float
    bound: float | None = None
    at_most: bool = True
    single: Sequence[float] = ()
    note: str = ""

    @property
    def met(self) -> bool | None:
        if self.bound is None:
            return None
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def __str__(self) -> str:
        spread = f"({min(self.single):.3g}-{max(self.single):.3g})" if self.single else ""
        goal = "" if self.bound is None else f"{'<=' if self.at_most else '>='} {self.bound:g}"
        verdict = {True: "met", False: "MISSED", None: ""}[self.met]
        return f"{self.name:58}{self.value:>10.4g}  {spread:20}{goal:>9}  {verdict:8}{self.note}".rstrip()


def main() -> None:
    options = parsed()
    found = []
    for part in options.parts or PARTS:
        print(f"\n{part}", flush=True)
        for figure in PARTS[part](options):
            found.append({"part": part, "met": figure.met} | figure._asdict())
            print(f"  {figure}", flush=True)
    if options.json:
        facts = {"python": platform.python_version(), "machine": platform.machine(), "figures": found}
        options.json.write_text(json.dumps(facts, indent=2) + "\n")
    missed = sum(figure["met"] is False for figure in found)
    print(f"\n{sum(figure['met'] is True for figure in found)} met, {missed} missed")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help="by default all of them")
    tasks: dict[str, Any] = {"type": lambda text: int(float(text)), "metavar": "TASKS"}
    parser.add_argument("--size", default=10**6, help="of the graphs (default 1e6)", **tasks)
    parser.add_argument("--largest", default=10**7, help="of the graphs from arrays (default 1e7)", **tasks)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clock", choices=turns.CLOCKS, default="wall")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    options = parser.parse_args()
    options.tick = turns.CLOCKS[options.clock]
    return options


def compared(
    name: str, times: turns.Times, above: str, below: str, n: int, bound: float | None, at_most: bool = True
) -> Figure:
    middle, single = turns.ratio(times, above, below)
    note = ", ".join(f"{label} {median(taken) / n * 1e9:,.0f}" for label, taken in times.items())
    return Figure(f"{name}: {above} / {below}", middle, bound, at_most, single, f"ns: {note}")


def coroutines(options: argparse.Namespace) -> Iterator[Figure]:
    yield from bare(options, bodies.coroutine, 0.85)


def functions(options: argparse.Namespace) -> Iterator[Figure]:
    yield from bare(options, bodies.function, 0.7)


def bare(options: argparse.Namespace, function: Any, bound: float) -> Iterator[Figure]:
    n = options.size
    for shape in inputs.MAPPINGS:
        mapping = inputs.arriving(shape, n, "same")
        contenders = [
            turns.bare_runner_of(penstock_peer, mapping, function),
            *(turns.bare_runner_of(floor, mapping, bodies.coroutine) for floor in FLOORS),
        ]
        times = turns.take_turns(contenders, options.rounds, n, options.tick)
        yield compared(f"{shape}, {n:,}", times, "penstock", "F1", n, bound)


def named(options: argparse.Namespace) -> Iterator[Figure]:
    n = options.size
    for shape in inputs.MAPPINGS:
        mapping = inputs.arriving(shape, n, "same")
        contenders = [turns.runner_of(peer, mapping, bodies.named) for peer in (penstock_peer, *FLOORS)]
        times = turns.take_turns(contenders, options.rounds, n, options.tick)
        yield compared(f"{shape}, {n:,}", times, "penstock", "F1", n, 1.0)


def rivals(options: argparse.Namespace) -> Iterator[Figure]:
    n, loop = options.size, turns.FASTEST_LOOP
    mapping = inputs.arriving("layered", n, "same")
    peers = [penstock_peer, counters, gathers, task_groups]
    peers += [] if eager_task_groups.missing else [eager_task_groups]
    contenders = [turns.runner_of(peer, mapping, bodies.named, loop=loop) for peer in peers]
    times = turns.take_turns(contenders, options.rounds, n, options.tick)
    eager = 8.0 if NEW < (3, 13) else 6.0
    bounds = {"counters": 20.0 if NEW < (3, 12) else None, "eager TaskGroup": eager}
    for peer in peers[1:]:
        bound = bounds.get(peer.label)
        yield compared(f"layered, {n:,}, {loop}", times, peer.label, "penstock", n, bound, at_most=False)


def suspend(options: argparse.Namespace) -> Iterator[Figure]:
    n = min(SUSPENDING_TASKS, options.size)
    mapping = inputs.arriving("layered", n, "same")
    for loop in turns.LOOPS:
        for kind, function in bodies.SUSPENDING.items():
            peers = (penstock_peer, counters)
            contenders = [turns.runner_of(peer, mapping, function, loop=loop) for peer in peers]
            times = turns.take_turns(contenders, options.rounds, n, options.tick)
            yield compared(f"{kind}, {n:,}, {loop}", times, "penstock", "counters", n, 0.4)


def request(options: argparse.Namespace) -> Iterator[Figure]:
    found = ten_tasks.latencies(ten_tasks.contenders(), REQUESTS, 20)
    mine = found["penstock"]
    bounds = {"F1": 2.0, "F2": None, "gather": 0.15, "TaskGroup": None, "eager TaskGroup": 0.5}
    for label, other in found.items():
        if label != "penstock":
            single = [a / b for a, b in zip(mine.blocks, other.blocks, strict=True)]
            note = f"us: penstock {mine.p50 * 1e6:.2f}, {label} {other.p50 * 1e6:.2f}"
            bound = bounds[label] if label != "eager TaskGroup" or NEW < (3, 13) else None
            yield Figure(f"p50: penstock / {label}", mine.p50 / other.p50, bound, True, single, note)
    note = f"us: {mine.p99 * 1e6:.2f}; F1 {found['F1'].p99 / found['F1'].p50:.3g} times its p50"
    yield Figure("penstock p99 / p50", mine.p99 / mine.p50, 3.0, note=note)
    yield Figure(f"collections in {REQUESTS:,} runs", mine.collections, 0)


def growth(options: argparse.Namespace) -> Iterator[Figure]:
    import penstock
    from penstock._core import RunState

    async def run(plan: Any) -> Any:
        report = await plan.run(bodies.nothing, keep_results="none")
        assert report.execution_state == "completed"

    def control(plan: Any) -> None:
        RunState(plan._compiled).drain(0.0)

    sizes = [10**exponent for exponent in range(3, 8) if 10**exponent <= options.largest]
    contenders = []
    for n in sizes:
        plan = penstock.TaskGraph.from_arrays(*inputs.arrays("layered", n, "stage")).plan()
        repeats = max(1, 10**6 // n)
        for label, what in (("run", run), ("control", control)):
            contenders.append(turns.Contender(f"{label} {n}", lambda plan=plan: plan, what, repeats=repeats))
    times = turns.take_turns(contenders, options.rounds, None, options.tick)
    costs = []
    for n in sizes:
        mine, alone = times[f"run {n}"], times[f"control {n}"]
        single = [(a - b) / n * 1e9 for a, b in zip(mine, alone, strict=True)]
        costs.append((median(mine) - median(alone)) / n * 1e9)
        note = f"run {median(mine) / n * 1e9:.0f}, control {median(alone) / n * 1e9:.1f}"
        yield Figure(f"ns per task less the control, {n:,}", costs[-1], single=single, note=note)
    yield Figure(f"growth from {sizes[0]:,} to {sizes[-1]:,}", max(costs) / costs[0], 1.5)


def memory(options: argparse.Namespace) -> Iterator[Figure]:
    if run_footprint.missing:
        print(f"  {run_footprint.missing}")
        return
    n = options.size
    kept = run_footprint.measured("results", n)
    yield Figure(f"bytes per task with all results, {n:,}", kept["bytes_per_task"], 64)
    again = run_footprint.measured("again", n)
    resident = [f"{size / 1e6:.0f}" for size in again["resident"]]
    note = f"MB: {' '.join(resident)}"
    yield Figure(f"resident after ten runs / after the first, {n:,}", again["growth"] + 1, 1.05, note=note)
    peak = run_footprint.measured("peak", options.largest)
    note = f"making the arrays {peak['peak_of_making_the_arrays'] / 1e9:.2f}"
    yield Figure(f"most GB of the whole process, {options.largest:,}", peak["peak"] / 1e9, 2.5, note=note)


def beats(options: argparse.Namespace) -> Iterator[Figure]:
    plan = penstock_peer.build(inputs.arriving("layered", options.size, "same"))[1]
    for loop, make in turns.LOOPS.items():
        with asyncio.Runner(loop_factory=make) as runner:
            idle = runner.run(heartbeat.idle(2.0))
            busy = runner.run(heartbeat.beside_runs(plan, bodies.named, 2 * options.rounds))
        for what, bound in (("p99", 10), ("longest", 25)):
            quiet, gap = getattr(idle, what) * 1e3, getattr(busy, what) * 1e3
            note = f"{busy.beats:,} beats; idle {quiet:.2f}, beside {gap:.2f}"
            yield Figure(f"{what} gap in ms beyond that of an idle loop, {loop}", gap - quiet, bound, note=note)


def scheduler(options: argparse.Namespace) -> Iterator[Figure]:
    for shape in ("layered", "chain", "fan-in", "fan-out"):
        costs = {}
        for n in (10**4, 10**5, options.size):
            tasks, orders = task_orders.ordered(shape, n)
            contenders = [
                turns.Contender("DynamicScheduler", lambda made=(tasks, orders): made, task_orders.run),
                turns.runner_of(f1, {name: () for name, _ in tasks}, bodies.named),
            ]
            times = turns.take_turns(contenders, options.rounds, n, options.tick)
            costs[n] = median(times["DynamicScheduler"])
        bound = 5.0 if shape == "layered" else None
        yield compared(f"{shape}, {n:,}", times, "DynamicScheduler", "F1", n, bound)
        slope = math.log(costs[n] / costs[10**4]) / math.log(n / 10**4)
        yield Figure(f"{shape}: log-log slope from 10,000 to {n:,}", slope, 1.1)


def policies(options: argparse.Namespace) -> Iterator[Figure]:

    n = options.size
    plan = penstock_peer.build(inputs.arriving("layered", n, "same"))[1]
    variants: dict[str, dict[str, Any]] = {
        "plain": {},
        "retries": {"retries": 3},
        "task_timeout": {"task_timeout": 60.0},
        "timeout": {"timeout": 600.0},
        "max_concurrency": {"max_concurrency": 1000},
        "all of these": {"retries": 3, "task_timeout": 60.0, "timeout": 600.0, "max_concurrency": 1000},
    }

    def contender(label: str, chosen: dict[str, Any]) -> turns.Contender:
        async def run(plan: Any) -> Any:
            return (await plan.run(bodies.named, **chosen)).results

        return turns.Contender(label, lambda: plan, run)

    contenders = [contender(label, chosen) for label, chosen in variants.items()]
    times = turns.take_turns(contenders, max(options.rounds, 9), n, options.tick)
    for label in variants:
        if label != "plain":
            yield compared(f"layered, {n:,}", {k: times[k] for k in (label, "plain")}, label, "plain", n, 1.03)


def timers(options: argparse.Namespace) -> Iterator[Figure]:
    import penstock

    n = 10_000
    plan = penstock.TaskGraph.from_predecessors({name: [] for name in range(n)}).plan()
    # Due one after the other over two seconds; or all of them in the same instant, when most of what is measured is
    # how long 10,000 bodies take to be cancelled.
    spread = {name: 0.5 + 2.0 * name / n for name in range(n)}
    together = dict.fromkeys(range(n), 0.5)

    async def forever(name: int) -> None:
        await asyncio.get_running_loop().create_future()

    async def late(seconds: dict[int, float]) -> list[float]:
        chosen = {name: penstock.TaskOptions(timeout=timeout) for name, timeout in seconds.items()}
        report = await plan.run(forever, options=chosen, failure_policy="continue")
        assert report.failed_tasks == n
        return sorted(record.duration - seconds[record.task_name] for record in report.task_statistics)

    for loop, make in turns.LOOPS.items():
        for what, seconds, bound in (("spread over 2 s", spread, 25), ("in one instant", together, None)):
            found = []
            for _ in range(options.rounds):
                with asyncio.Runner(loop_factory=make) as runner:
                    found.append(runner.run(late(seconds)))
            single = [times[n * 99 // 100] * 1e3 for times in found]
            longest, earliest = max(times[-1] for times in found) * 1e3, min(times[0] for times in found) * 1e3
            note = f"longest {longest:.1f}, earliest {earliest:.2f}"
            name = f"p99 lateness in ms of {n:,} time-outs {what}, {loop}"
            yield Figure(name, median(single), bound, single=single, note=note)


PARTS = {
    "coroutines": coroutines,
    "named": named,
    "functions": functions,
    "rivals": rivals,
    "suspend": suspend,
    "request": request,
    "growth": growth,
    "memory": memory,
    "heartbeat": beats,
    "scheduler": scheduler,
    "policies": policies,
    "timers": timers,
}


if __name__ == "__main__":
    main()
