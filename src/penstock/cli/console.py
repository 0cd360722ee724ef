"""Writing to standard output and standard error, which may be closed, broken or unable to spell a name."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

__all__ = ["OutputLost", "complain", "counted", "escaped", "say"]


class OutputLost(Exception):
    """Standard output cannot be written any more, and not because its reader had enough."""


def say(text: str) -> None:
    """Print to standard output; if its reader is gone, everything from now on is dropped in silence.

    Raises
    ------
    OutputLost
        The output cannot be written for another reason, such as a full disk.
    """
    stream = sys.stdout
    if stream is None:
        return
    try:
        _write(stream, text + "\n")
    except BrokenPipeError:
        _drop(stream)
    except OSError as error:
        _drop(stream)
        raise OutputLost(f"standard output cannot be written: {error.strerror or error}") from None


def complain(text: str) -> None:
    """Print to standard error, if there is one."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            _write(sys.stderr, text + "\n")


def escaped(text: str) -> str:
    """Return text with control characters escaped, so that a name cannot write to the terminal on its own."""
    from penstock.report.export import printable

    return printable(text)


def counted(number: int, word: str, plural: str | None = None) -> str:
    """Return a number with what it counts, as in ``1 task`` and ``1,200 tasks``."""
    return f"{number:,} {word if number == 1 else plural or word + 's'}"


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        stream.write(text.encode(stream.encoding, "backslashreplace").decode(stream.encoding))
    stream.flush()


def _drop(stream: TextIO) -> None:
    """Lead a stream nowhere; what it still holds would fail once more when it is flushed at exit."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
