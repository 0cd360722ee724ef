"""How long does a heartbeat on the same event loop have to wait while a graph runs?"""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

INTERVAL = 0.001


class Gaps(NamedTuple):
    """Seconds between two beats."""

    p99: float
    longest: float
    beats: int


async def beside(run: Any) -> Gaps:
    """Return the gaps while ``run()`` is awaited."""
    gaps: list[float] = []
    heart = asyncio.create_task(beat(gaps))
    await asyncio.sleep(5 * INTERVAL)
    gaps.clear()
    await run()
    await asyncio.sleep(5 * INTERVAL)  # so that the last gap is seen whole
    heart.cancel()
    gaps.sort()
    return Gaps(gaps[min(len(gaps) - 1, len(gaps) * 99 // 100)], gaps[-1], len(gaps))


async def beat(gaps: list[float]) -> None:
    last = time.perf_counter()
    while True:
        await asyncio.sleep(INTERVAL)
        now = time.perf_counter()
        gaps.append(now - last)
        last = now


async def beside_runs(plan: Any, function: Any, runs: int) -> Gaps:
    """Return the gaps while a plan is run several times, with a pause in which each report is let go."""

    async def several() -> None:
        for _ in range(runs):
            report = await plan.run(function)
            await asyncio.sleep(5 * INTERVAL)
            del report
            await asyncio.sleep(5 * INTERVAL)

    return await beside(several)


async def idle(seconds: float) -> Gaps:
    """Return the gaps on a loop that has nothing else to do."""
    return await beside(lambda: asyncio.sleep(seconds))
