"""Ending a run by a signal, within two seconds, whatever its tasks are doing.

The stages after the first SIGINT (Ctrl-C) or SIGTERM::

    at once            the run is cancelled; bodies that suspend are thrown CancelledError
    NUDGE_AFTER        KeyboardInterrupt in the main thread: ends a body that blocks, as in
                       time.sleep(60), and the event loop under one that swallows CancelledError
    GIVE_UP_AFTER      the report is written with what is known, if it is not yet, and the process ends
                       without further ado: threads that will not end would keep it from exiting

A second signal brings the second stage forward; while the report is being written, signals wait.  The last
stage is only for the command line of a process; who calls `penstock.cli.main` with arguments of their own
keeps their process.

Out of reach is a body in C code that neither returns nor looks for signals: Python itself hears of a signal
only when such a call is over.

Signal handlers run in the main thread between any two of its instructions, so the first one only notes the
signal and starts a thread to watch the clock, by the low-level call that takes no locks.
"""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.execution import Run

__all__ = ["Interrupt"]

#: Seconds after the first signal.
NUDGE_AFTER = 0.8
GIVE_UP_AFTER = 1.3

#: Seconds that the interpreter gets for its own exit after the report.
EXIT_WITHIN = 0.5

#: So many signals end the writing of the report.
ENOUGH = 3

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM") if hasattr(signal, name))


class Interrupt:
    """Handles signals while it is entered; the previous handlers come back at the end.

    Used by one thread; outside the main thread, where Python does not deliver signals, it does nothing.

    Parameters
    ----------
    last_words
        Writes the report of a run that would not end.
    may_exit
        Whether the process may be ended.
    """

    def __init__(self, last_words: Callable[[int], object], may_exit: bool) -> None:
        self.signum: int | None = None
        self._last_words = last_words
        self._may_exit = may_exit
        self._run: Run | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._previous: dict[int, Any] = {}
        self._main = threading.get_ident()
        self._nudged = False
        self._while_telling = 0
        self._watched = True
        # Held by whoever writes the report, for good: it is written once.
        self._telling = threading.Lock()
        self._told = threading.Event()
        self._told_at = 0.0
        self._over = threading.Event()
        self._watch_ended = threading.Event()

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for signum in _SIGNALS:
                # What the parent process ignores stays ignored, as under nohup; None is a handler in C.
                if signal.getsignal(signum) not in (signal.SIG_IGN, None):
                    self._previous[signum] = signal.signal(signum, self._handle)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        if self.signum is not None and self._watched and not self._may_exit:
            # Otherwise the watch goes on until the interpreter has exited.
            self._over.set()
            self._watch_ended.wait()
        self._run = None

    def attach(self, run: Run) -> None:
        """Say which run to cancel; called on its event loop."""
        self._loop = asyncio.get_running_loop()
        self._run = run
        if self.signum is not None:  # it came before there was a run
            run.cancel()

    def begin_telling(self) -> None:
        """Claim the report.  If the watch has it already, this waits for the end of the process."""
        self._telling.acquire()

    def end_telling(self) -> None:
        """Say that the report is written."""
        self._told_at = time.monotonic()
        self._told.set()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        nudged, self._nudged = self._nudged, False
        if self.signum is None:
            self.signum = signum
            try:
                _thread.start_new_thread(self._watch, (signum,))
            except RuntimeError:  # no thread to be had; a second signal still works
                self._watched = False
            self._cancel()
        elif not self._telling.locked():
            raise KeyboardInterrupt
        elif not nudged:
            # Impatience must not cost the report; insistence may.
            self._while_telling += 1
            if self._while_telling == ENOUGH:
                raise KeyboardInterrupt

    def _cancel(self) -> None:
        if self._loop is not None and self._run is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._run.cancel)

    # -- the thread that watches the clock ------------------------------------------------------------------

    def _watch(self, signum: int) -> None:
        try:
            give_up = time.monotonic() + GIVE_UP_AFTER
            if self._over.wait(NUDGE_AFTER):
                return
            if not self._telling.locked():
                self._nudge(signum)
            if not self._over.wait(give_up - time.monotonic()) and self._may_exit:
                self._end_process(signum)
        finally:
            self._watch_ended.set()

    def _nudge(self, signum: int) -> None:
        self._nudged = True
        if hasattr(signal, "pthread_kill"):
            # A real signal, because it ends a system call that the main thread is waiting in.
            signal.pthread_kill(self._main, signum)
        else:
            _thread.interrupt_main(signal.Signals(signum))

    def _end_process(self, signum: int) -> None:
        if self._telling.acquire(blocking=False):
            with contextlib.suppress(BaseException):
                self._last_words(signum)
        else:
            self._told.wait()
            time.sleep(max(0.0, self._told_at + EXIT_WITHIN - time.monotonic()))
        os._exit(128 + signum)
