"""An event loop whose clock jumps: tests of timing that take no time.

When nothing is ready, the clock of the loop is moved to the next timer instead of waiting for it.  A test
that would sleep for minutes ends at once, and two runs of it see exactly the same times.

>>> import asyncio
>>> async def main():
...     await asyncio.sleep(3600.0)
...     return asyncio.get_running_loop().time()
>>> run(main())
3600.0

Runs of penstock on such a loop are measured on its clock; times measured by other means (``time.monotonic``) are the
real ones.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["VirtualClockLoop", "run"]

T = TypeVar("T")

#: Real seconds to wait for other threads when nothing is ready and nothing is timed.
PATIENCE = 10.0

#: A timer that is due within so many seconds is due now.
RESOLUTION = 1e-9

_Events = list[tuple[selectors.SelectorKey, int]]


class _JumpingSelector(selectors.DefaultSelector):
    """Reports what is ready now and asks the loop to move its clock by the time that it would have waited."""

    loop: VirtualClockLoop

    def select(self, timeout: float | None = None) -> _Events:
        """Return what is ready, without waiting as long as there is a timer to jump to."""
        if timeout is None:
            # Only another thread or a descriptor can go on from here.
            events = super().select(PATIENCE)
            if not events:
                raise RuntimeError("nothing is ready and nothing is timed: every task waits for ever")
            return events
        events = super().select(0)
        if not events and timeout > 0:
            self.loop.advance(timeout)
        return events


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose time starts at 0.0 and jumps from timer to timer.

    Raises ``RuntimeError`` from within when everything waits for ever.  One thread runs it; other threads may
    hand in work with ``call_soon_threadsafe``, but the clock does not wait for them while there is a timer.
    """

    def __init__(self) -> None:
        self._now = 0.0
        selector = _JumpingSelector()
        super().__init__(selector)
        self._clock_resolution = RESOLUTION
        selector.loop = self

    def time(self) -> float:
        """Return the seconds that this loop's clock was moved so far."""
        return self._now

    #: What runs on this loop take their times from; a loop without it has them measured on the monotonic clock.
    penstock_clock = time

    def advance(self, seconds: float) -> None:
        """Move the clock; a loop that is running does so by itself."""
        self._now += seconds
        if self._now + RESOLUTION == self._now:
            # After some months floats are so far apart that asyncio would wait for a timer of just now for ever.
            self._now = math.nextafter(self._now, math.inf)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a `VirtualClockLoop` of its own."""
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        return runner.run(main)
