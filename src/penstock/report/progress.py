"""The progress line: one line that rewrites itself on a terminal, nothing elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from penstock.policies import Progress
    from penstock.report.models import ExecutionReport

#: Return to the start of the line and erase it.
_REWRITE = "\r\x1b[K"


class ProgressLine:
    """Writes the counts of a run to a terminal, one line that rewrites itself and is gone at the end.

    Parameters
    ----------
    total
        The number of tasks.
    stream
        A terminal.
    clock
        Seconds on a monotonic clock.
    """

    def __init__(self, total: int, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._stream = stream
        self._clock = clock
        self._started = clock()

    def update(self, counts: dict[str, int]) -> None:
        """Rewrite the line."""
        self._write(_REWRITE + self.text(counts))

    def close(self, report: ExecutionReport) -> None:
        """Erase the line."""
        self._write(_REWRITE)

    def text(self, counts: dict[str, int]) -> str:
        """Return the line for some counts."""
        ended = sum(counts[state] for state in ("completed", "failed", "cancelled", "skipped"))
        share = ended / self._total if self._total else 1.0
        parts = [f"{share:4.0%} {ended:,}/{self._total:,} tasks", f"{counts['running']:,} running"]
        parts += [f"{counts[state]:,} {state}" for state in ("failed", "skipped") if counts[state]]
        elapsed = self._clock() - self._started
        if elapsed > 0.0 and ended:
            parts.append(f"{ended / elapsed:,.0f}/s")
        return ", ".join(parts)

    def _write(self, text: str) -> None:
        # A terminal that went away must not end the run.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()


def progress_line(total: int, stream: TextIO | None = None) -> Progress | None:
    """Return a progress line on standard error, or None if that is no terminal."""
    stream = sys.stderr if stream is None else stream
    try:
        terminal = stream is not None and stream.isatty()
    except ValueError:  # closed
        terminal = False
    return ProgressLine(total, stream) if terminal else None
