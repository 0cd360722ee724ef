"""Penstock against its rivals, taking turns in one process: the figures that Penstock promises.

    python benchmarks/ratios.py [--size TASKS] [--arrays-size TASKS ...] [--rounds N] [--json FILE]

Times on a busy machine drift by tens of per cent within a minute, so in every round each contender has one
turn, in rotating order, on an input of its own where a turn would change it.  What one of them allocated is
freed before the next begins, outside the timed part.  The collector is on throughout.  A ratio is that of the
medians; ratios of the single rounds show how sure it is.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from time import perf_counter
from types import ModuleType
from typing import Any, NamedTuple

import inputs
from peers import c_loop, floor, graphlib_peer, penstock_peer, rustworkx_peer

Times = dict[str, list[float]]


class Goal(NamedTuple):
    """A ratio of two contenders and the side on which it has to be."""

    above: str
    below: str
    bound: float
    at_most: bool

    def __str__(self) -> str:
        return f"{self.above}/{self.below} {'<=' if self.at_most else '>='} {self.bound:g}"

    def met(self, ratio: float) -> bool:
        return ratio <= self.bound if self.at_most else ratio >= self.bound


FROM_NAMES = [
    Goal("penstock", "floor", 0.5, at_most=True),
    Goal("graphlib", "penstock", 12, at_most=False),
    Goal("rustworkx", "penstock", 4, at_most=False),
]
FROM_ARRAYS = [Goal("penstock", "C loop", 1.3, at_most=True)]
PROMISED_FROM = 10**6  # tasks; in smaller graphs the ratios are shown and not judged


def main() -> None:
    options = parsed()
    assert gc.isenabled()
    for peer in (rustworkx_peer, c_loop):
        if peer.missing:
            print(f"without {peer.label}: {peer.missing}")
    warm_up()
    rows = [*from_names(options.size, options.rounds)]
    for size in options.arrays_size:
        rows.extend(from_arrays(size, options.rounds))
    if options.json:
        facts = {"python": platform.python_version(), "machine": platform.machine(), "rows": rows}
        options.json.write_text(json.dumps(facts, indent=2) + "\n")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    tasks: dict[str, Any] = {"type": lambda text: int(float(text)), "metavar": "TASKS"}
    parser.add_argument("--size", default=10**6, help="of the graphs with names; 0 leaves them out", **tasks)
    parser.add_argument("--arrays-size", default=[10**6], nargs="*", help="of the graphs from arrays", **tasks)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single time")
    return parser.parse_args()


def from_names(n: int, rounds: int) -> Iterable[dict[str, Any]]:
    contenders = available([penstock_peer, floor, graphlib_peer, rustworkx_peer])
    table = Table(f"From names to a plan: layered, {n:,} tasks; ms, median of {rounds} (min-max)", n, FROM_NAMES)
    for variant in inputs.VARIANTS if n else []:
        times = take_turns(
            contenders,
            lambda peer, arrival=variant: (peer.build, (inputs.arriving("layered", n, arrival),)),
            lambda peer, result: inputs.facts("layered", n).agree_with(peer.facts(result)),
            rounds,
        )
        yield table.add(variant, times, 1e3)


def from_arrays(n: int, rounds: int) -> Iterable[dict[str, Any]]:
    contenders = available([penstock_peer, c_loop])
    table = Table(f"From arrays to a plan: {n:,} tasks; ns/edge, median of {rounds} (min-max)", n, FROM_ARRAYS)
    for shape in inputs.ARRAYS:
        facts = inputs.array_facts(shape, n)
        for numbering in ("stage", "random"):
            times = take_turns(
                contenders,
                lambda peer, shape=shape, order=numbering: (peer.build_csr, inputs.arrays(shape, n, order)),
                lambda peer, result, facts=facts: facts.agree_with(peer.csr_facts(result)),
                rounds,
            )
            yield table.add(f"{shape} {numbering}", times, 1e9 / facts.n_edges)


def warm_up() -> None:
    """Let everyone import and compile what is left to the first use."""
    for peer in available([penstock_peer, floor, graphlib_peer, rustworkx_peer]):
        peer.build(inputs.arriving("layered", 100, "separate"))
    for peer in available([penstock_peer, c_loop]):
        peer.build_csr(*inputs.arrays("layered", 100, "random"))


def available(contenders: list[ModuleType]) -> list[ModuleType]:
    return [peer for peer in contenders if not peer.missing]


def take_turns(
    contenders: list[ModuleType],
    prepare: Callable[[ModuleType], tuple[Callable[..., Any], tuple[Any, ...]]],
    correct: Callable[[ModuleType, Any], bool],
    rounds: int,
) -> Times:
    """Return each contender's times, after the first round has shown that all of them get the graph right."""
    times: Times = {peer.label: [] for peer in contenders}
    for number in range(rounds):
        start = number % len(contenders)
        for peer in contenders[start:] + contenders[:start]:
            target, arguments = prepare(peer)
            gc.collect()
            began = perf_counter()
            result = target(*arguments)
            took = perf_counter() - began
            times[peer.label].append(took)
            assert number or correct(peer, result), f"{peer.label} got the graph wrong"
            del result, arguments
    return times


class Table:
    """Prints a line for every input, with the contenders' times and the ratios that have a goal."""

    def __init__(self, title: str, n_tasks: int, goals: list[Goal]) -> None:
        self.title = title
        self.goals = goals
        self.promised = n_tasks >= PROMISED_FROM

    def add(self, name: str, times: Times, scale: float) -> dict[str, Any]:
        """Print one line and return it with every figure it was made of."""
        goals = [goal for goal in self.goals if {goal.above, goal.below} <= times.keys()]
        if self.title:
            print(f"\n{self.title}")
            print(f"{'':18}" + "".join(f"{label:>20}" for label in times) + "".join(f"{goal!s:>30}" for goal in goals))
            self.title = ""
        line = f"{name:18}"
        for taken in times.values():
            line += f"{spread(median(taken) * scale, min(taken) * scale, max(taken) * scale):>20}"
        ratios = {}
        for goal in goals:
            pairs = [a / b for a, b in zip(times[goal.above], times[goal.below], strict=True)]
            ratio = median(times[goal.above]) / median(times[goal.below])
            verdict = "MISSED " if self.promised and not goal.met(ratio) else ""
            line += f"{verdict + spread(ratio, min(pairs), max(pairs)):>30}"
            ratios[str(goal)] = {"ratio": ratio, "met": goal.met(ratio), "by_round": pairs}
        print(line, flush=True)
        return {"input": name, "seconds": times, "ratios": ratios}


def spread(middle: float, low: float, high: float) -> str:
    digits = ".0f" if high >= 100 else ".3g"
    return f"{middle:{digits}} ({low:{digits}}-{high:{digits}})"


if __name__ == "__main__":
    main()
