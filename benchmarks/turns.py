"""Contenders that take turns in one process.

Times on a busy machine drift by tens of per cent within a minute, so in every round each contender has one turn,
in rotating order.  What one of them allocated is freed before the next begins, outside the timed part.  The
collector is on throughout, and finds before each turn what that contender and the input hold, nothing else.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import time
from collections.abc import Callable, Mapping, Sequence, Sized
from functools import cache
from statistics import median
from typing import Any, NamedTuple

try:
    import uvloop
except ImportError:
    uvloop = None

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
if uvloop is not None:
    LOOPS["uvloop"] = uvloop.new_event_loop
FASTEST_LOOP = "uvloop" if uvloop is not None else "asyncio"

#: What a turn is measured with.  The second counts the time that this process was given, and so may be the better
#: one where others use the machine too; it knows nothing of waiting.
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}

Times = dict[str, list[float]]


class Contender(NamedTuple):
    """Someone who takes turns: ``run(prepare())`` is timed, on an event loop if it is a coroutine function."""

    label: str
    prepare: Callable[[], Any]
    run: Callable[[Any], Any]
    loop: str = "asyncio"
    repeats: int = 1  # runs in one turn


def runner_of(peer: Any, mapping: Mapping[str, Sequence[str]], function: Any, **options: Any) -> Contender:
    """Return the contender that runs a graph as one of the modules in ``peers`` does."""
    if inspect.iscoroutinefunction(peer.run):

        async def run(built: Any) -> Any:
            return await peer.run(built, function)

    else:

        def run(built: Any) -> Any:
            return peer.run(built, function)

    return Contender(peer.label, lambda: peer.build(mapping), run, **options)


def bare_runner_of(peer: Any, mapping: Mapping[str, Sequence[str]], function: Any, **options: Any) -> Contender:
    """Return the contender that runs a graph of functions without arguments, built once for all turns."""
    return Contender(peer.label, cache(lambda: peer.build_bare(mapping, function)), peer.run_bare, **options)


def take_turns(
    contenders: Sequence[Contender], rounds: int, n: int | None = None, clock: Callable[[], float] = CLOCKS["wall"]
) -> Times:
    """Return each contender's seconds per run, one figure for each round.

    With `n` the result of the first round has to have that many items.
    """
    times: Times = {contender.label: [] for contender in contenders}
    for number in range(rounds):
        for contender in rotated(contenders, number):
            took, result = turn(contender, clock)
            times[contender.label].append(took / contender.repeats)
            if number == 0 and n is not None:
                assert_complete(contender.label, result, n)
            del result
    return times


def rotated(contenders: Sequence[Contender], number: int) -> Sequence[Contender]:
    """Return the contenders in the order of one round."""
    start = number % len(contenders)
    return [*contenders[start:], *contenders[:start]]


def turn(contender: Contender, clock: Callable[[], float] = CLOCKS["wall"]) -> tuple[float, Any]:
    """Return the seconds that all runs of one turn took, and the last result."""
    prepared = contender.prepare()
    gc.collect()
    with asyncio.Runner(loop_factory=LOOPS[contender.loop]) as runner:
        return all_runs(contender, runner.run, prepared, clock)


def all_runs(
    contender: Contender,
    on_loop: Callable[..., Any],
    prepared: Any,
    clock: Callable[[], float] = CLOCKS["wall"],
) -> tuple[float, Any]:
    """Do what `turn` does on an event loop that is there already, where ``on_loop`` runs a coroutine."""
    run, repeats = contender.run, range(contender.repeats)
    if not inspect.iscoroutinefunction(run):
        began = clock()
        for _ in repeats:
            result = run(prepared)
        return clock() - began, result

    async def awaited() -> tuple[float, Any]:
        began = clock()
        for _ in repeats:
            result = await run(prepared)
        return clock() - began, result

    return on_loop(awaited())


def assert_complete(label: str, result: Any, n: int) -> None:
    """Refuse the times of a contender that has left tasks out."""
    assert isinstance(result, Sized), f"{label} gave no results"
    assert len(result) == n, f"{label} ran {len(result):,} of {n:,} tasks"
    if isinstance(result, Mapping):
        names = list(result)
        assert all(result[name] in (name, 1) for name in names[:: max(1, n // 1000)]), f"{label} mixed results up"


def ratio(times: Times, above: str, below: str) -> tuple[float, list[float]]:
    """Return the ratio of two medians, and those of the single rounds, which show how sure it is."""
    pairs = [a / b for a, b in zip(times[above], times[below], strict=True)]
    return median(times[above]) / median(times[below]), pairs


def spread(middle: float, low: float, high: float) -> str:
    """Return a figure with its range."""
    digits = ".0f" if high >= 100 else ".3g"
    return f"{middle:{digits}} ({low:{digits}}-{high:{digits}})"
