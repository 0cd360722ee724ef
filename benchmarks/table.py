"""What ``penstock bench`` prints: Penstock, the floors and the schedulers written by hand, on a handful of graphs.

    python benchmarks/table.py [--size TASKS] [--rounds N] [--clock wall|cpu]

prints a JSON object about the machine, and then one for every row of the table, as soon as it is there:

row           what was run
tasks         of the graph
loop          the event loop
nanoseconds   per task, by contender, one figure for each round

``penstock bench`` reads them, and is the better way to look at them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import bodies
import inputs
import ten_tasks
import turns
from peers import BY_HAND, FLOORS, f1, penstock_peer

SHAPES = {"layered": "layered", "wide": "wide", "chain": "chain", "fan-out-in": "fan out and in"}
MOST_BY_HAND = 10**4
TURN = 10**5  # tasks of one turn, so that it is long enough to be timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=lambda text: int(float(text)), default=10**5, metavar="TASKS")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clock", choices=turns.CLOCKS, default="wall")
    options = parser.parse_args()
    tell(facts(options))
    for row in rows(options.size, options.rounds, options.clock):
        tell(row)


def tell(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


def facts(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "penstock": metadata.version("penstock"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "uvloop": metadata.version("uvloop") if "uvloop" in turns.LOOPS else None,
        "size": options.size,
        "rounds": options.rounds,
        "clock": options.clock,
        "contenders": [peer.label for peer in (penstock_peer, *FLOORS, *BY_HAND) if not peer.missing],
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def rows(n: int, rounds: int, clock: str) -> Iterator[dict[str, Any]]:
    often = {"repeats": max(1, min(TURN // n, 100))}
    for kind, function in (("coroutines", bodies.coroutine), ("functions", bodies.function)):
        for shape in SHAPES:
            mapping = inputs.arriving(shape, n, "same")
            contenders = [
                turns.bare_runner_of(penstock_peer, mapping, function, **often),
                *(turns.bare_runner_of(floor, mapping, bodies.coroutine, **often) for floor in FLOORS),
            ]
            yield row(f"{kind}, {SHAPES[shape]}", n, contenders, rounds, clock)
    for shape in SHAPES:
        mapping = inputs.arriving(shape, n, "same")
        peers = (penstock_peer, *FLOORS)
        contenders = [turns.runner_of(peer, mapping, bodies.named, **often) for peer in peers]
        yield row(f"func(name), {SHAPES[shape]}", n, contenders, rounds, clock)
    n = min(n, MOST_BY_HAND)
    mapping = inputs.arriving("layered", n, "same")
    yield row("func(name) beside others", n, everyone(mapping, bodies.named, turns.FASTEST_LOOP), rounds, clock)
    for loop in turns.LOOPS:
        for kind, function in bodies.SUSPENDING.items():
            contenders = [
                contender if contender.label != f1.label else turns.runner_of(f1, mapping, bodies.named)
                for contender in everyone(mapping, function, loop)
                if contender.label != "F2"  # it would suspend, too
            ]
            yield row(f"suspend once, {kind}", n, contenders, rounds, clock)
    yield requests(rounds)


def everyone(mapping: Any, function: Any, loop: str) -> list[turns.Contender]:
    peers = [peer for peer in (penstock_peer, *FLOORS, *BY_HAND) if not peer.missing]
    return [turns.runner_of(peer, mapping, function, loop=loop) for peer in peers]


def row(name: str, n: int, contenders: Sequence[turns.Contender], rounds: int, clock: str) -> dict[str, Any]:
    times = turns.take_turns(contenders, rounds, n, turns.CLOCKS[clock])
    return {
        "row": name,
        "tasks": n,
        "loop": contenders[0].loop,
        "nanoseconds": {label: [took / n * 1e9 for took in taken] for label, taken in times.items()},
    }


def requests(rounds: int) -> dict[str, Any]:
    """Return the medians of blocks of requests; they are timed one by one, by the wall clock."""
    found = ten_tasks.latencies(ten_tasks.contenders(), 1_000 * rounds, rounds)
    n = len(ten_tasks.GRAPH)
    return {
        "row": "request of ten tasks",
        "tasks": n,
        "loop": turns.FASTEST_LOOP,
        "nanoseconds": {label: [took / n * 1e9 for took in latencies.blocks] for label, latencies in found.items()},
    }


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:  # whoever reads has had enough
        sys.stderr.close()
