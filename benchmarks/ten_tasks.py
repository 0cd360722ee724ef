"""The graph of ten tasks that a service runs for every request, and everyone who runs it.

    a -> b -> e -> g -> i -> j
     \\-> c -> f -> h --/
     \\-> d --/

Each run is timed by itself; the contenders take turns in blocks of runs, each on an event loop of its own.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import time
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any, NamedTuple

import bodies
import turns
from peers import eager_task_groups, f1, f2, penstock_peer, task_groups

GRAPH = {
    "a": [],
    "b": ["a"],
    "c": ["a"],
    "d": ["a"],
    "e": ["b"],
    "f": ["c", "d"],
    "g": ["e"],
    "h": ["f"],
    "i": ["g", "h"],
    "j": ["i"],
}


class Latencies(NamedTuple):
    """Seconds that single runs took, and how often the collector ran meanwhile."""

    p50: float
    p99: float
    blocks: list[float]  # the median of each block
    collections: int


async def by_penstock(plan):
    return await plan.run()


async def by_gather(body):
    """Await what the graph says, as one writes it who knows the graph."""
    results = {"a": await body()}
    results["b"], results["c"], results["d"] = await asyncio.gather(body(), body(), body())
    results["e"], results["f"] = await asyncio.gather(body(), body())
    results["g"], results["h"] = await asyncio.gather(body(), body())
    results["i"] = await body()
    results["j"] = await body()
    return results


async def by_stages(stages):
    return await task_groups.run(stages, bodies.named)


def contenders() -> list[turns.Contender]:
    fast = {"loop": turns.FASTEST_LOOP}
    found = [
        turns.bare_runner_of(penstock_peer, GRAPH, bodies.coroutine)._replace(run=by_penstock),
        turns.bare_runner_of(f1, GRAPH, bodies.coroutine),
        turns.bare_runner_of(f2, GRAPH, bodies.coroutine),
        turns.Contender("gather", lambda: bodies.coroutine, by_gather, **fast),
        turns.Contender("TaskGroup", lambda: task_groups.build(GRAPH), by_stages, **fast),
    ]
    if not eager_task_groups.missing:
        found.append(found[-1]._replace(label=eager_task_groups.label))
    return found


def latencies(contenders: Sequence[turns.Contender], n: int = 20_000, n_blocks: int = 100) -> dict[str, Latencies]:
    """Return the figures of `n` runs of everyone."""
    times: dict[str, list[list[int]]] = {contender.label: [] for contender in contenders}
    collections = dict.fromkeys(times, 0)
    prepared = {contender.label: contender.prepare() for contender in contenders}
    with ExitStack() as stack:
        loops = {
            contender.label: stack.enter_context(asyncio.Runner(loop_factory=turns.LOOPS[contender.loop]))
            for contender in contenders
        }
        if eager_task_groups.label in loops:
            loops[eager_task_groups.label].get_loop().set_task_factory(eager_task_groups.eager)
        for number in range(-1, n_blocks):  # the first one does not count
            for contender in turns.rotated(contenders, number):
                label = contender.label
                before = count_collections()
                taken = loops[label].run(block(contender.run, prepared[label], n // n_blocks))
                if number >= 0:
                    times[label].append(taken)
                    collections[label] += count_collections() - before
    return {label: summed_up(times[label], collections[label]) for label in times}


async def block(run: Any, prepared: Any, count: int) -> list[int]:
    """Time one run after the other, in nanoseconds; what a run leaves behind is freed in the next one's time."""
    clock, times, result = time.perf_counter_ns, [], None
    gc.collect()
    if inspect.iscoroutinefunction(run):
        for _ in range(count):
            began = clock()
            result = await run(prepared)
            times.append(clock() - began)
    else:
        for _ in range(count):
            began = clock()
            result = run(prepared)
            times.append(clock() - began)
    del result
    return times


def count_collections() -> int:
    return sum(generation["collections"] for generation in gc.get_stats())


def summed_up(blocks: list[list[int]], collections: int) -> Latencies:
    single = sorted(took for block in blocks for took in block)
    return Latencies(
        p50=single[len(single) // 2] / 1e9,
        p99=single[len(single) * 99 // 100] / 1e9,
        blocks=[median(block) / 1e9 for block in blocks],
        collections=collections - len(blocks),  # one in each block is ours
    )
