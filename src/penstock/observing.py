"""Observing: what an observer of a run is told."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Any

from penstock._core.run import EVENT_RESTART, EVENT_RETRY, EVENT_START

if TYPE_CHECKING:
    from penstock.execution import Run
    from penstock.policies import Observer

__all__ = ["Observation"]

logger = logging.getLogger("penstock")

#: Events that mean that an attempt has failed and another follows.
RETRIES = (EVENT_RETRY, EVENT_RESTART)

#: What an observer may have, and at least one of which it must.
METHODS = ("on_start", "on_retry", "on_end")


class Observation:
    """Passes the recorded events of a run on to its observer, in batches.

    Parameters
    ----------
    observer
        Has at least one of the methods of `Observer`.

    Raises
    ------
    TypeError
        It has none.
    """

    def __init__(self, observer: Observer) -> None:
        self._calls = {name: call for name in METHODS if callable(call := getattr(observer, name, None))}
        if not self._calls:
            raise TypeError(f"observer is {observer!r}; give an object with {', '.join(METHODS)}, or some of these")
        for name, call in self._calls.items():
            if inspect.iscoroutinefunction(call):
                raise TypeError(
                    f"observer.{name} is a coroutine function, which nobody would await; make it a plain one"
                )
        self._seen = 0
        #: How many failed attempts of a task were told; who is in it has started.
        self._retried: dict[int, int] = {}

    def tell(self, run: Run) -> None:
        """Tell what has happened since the last time."""
        events = run._core.take_events() or []
        if not self._calls:
            return
        seen, self._seen = self._seen, run._core.n_finished
        ended = run._core.ended_since(seen)
        if "on_start" in self._calls:
            self._tell("on_start", [run._name_of(position) for position in self._begun(events)])
        report = run._snapshot_view()
        retried = []
        for event in events:
            if event[0] in RETRIES:
                number = self._retried[event[1]] = self._retried.get(event[1], 0) + 1
                if "on_retry" in self._calls:
                    retried.append(report.failed_attempt_at(event[1], number))
        self._tell("on_retry", retried)
        if "on_end" in self._calls:
            self._tell("on_end", [report.record_at(position) for position in ended])
        for position in ended:
            self._retried.pop(position, None)

    def _begun(self, events: list[tuple[Any, ...]]) -> list[int]:
        """Return the tasks that started their first attempt."""
        again: set[int] = set()  # in this batch; `_retried` has those of the batches before
        begun = []
        for event in events:
            if event[0] in RETRIES:
                again.add(event[1])
            elif event[0] == EVENT_START and event[1] not in again and event[1] not in self._retried:
                begun.append(event[1])
        return begun

    def _tell(self, name: str, batch: list[Any]) -> None:
        if not batch or name not in self._calls:
            return
        try:
            self._calls[name](batch)
        except (Exception, asyncio.CancelledError):
            logger.exception("the observer's %s raised, and the observer gets no further calls", name)
            self._calls = {}
