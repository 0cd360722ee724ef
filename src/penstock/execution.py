"""Runs: the handle of one execution of a plan.

The loop that runs the tasks is the compiled core's (`penstock._core.dispatch`); `Run` adds what users see of it:
awaiting, cancelling, counting, reporting, and the stream of finished records.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Hashable, Iterable, Mapping
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Protocol

from penstock._core import STATE_NAMES, Dispatch, RunState
from penstock._core.dispatch import functions_by_task
from penstock.errors import InvalidStateError
from penstock.graph import TaskFunction, check_function
from penstock.report.models import ExecutionReport, RunFacts, TaskExecutionStatistics

if TYPE_CHECKING:
    from penstock.plan import ExecutionPlan

__all__ = ["Progress", "Run"]

logger = logging.getLogger("penstock")

FAILURE_POLICIES = ("stop", "continue")

#: Seconds of running bodies after which the event loop gets its turn.
TIME_SLICE = 0.005

#: Seconds between two calls of a progress object.
PROGRESS_INTERVAL = 0.1


class Progress(Protocol):
    """What ``progress=`` takes: called from a timer, at most ten times a second, never per task."""

    def update(self, counts: dict[str, int]) -> None:
        """Show how many tasks there are in each state."""

    def close(self, report: ExecutionReport) -> None:
        """Show the end of the run."""


class Run(Dispatch):
    """One run of a plan, as returned by ``plan.start``.

    Awaiting it gives the report.  If the awaiting task is cancelled, the run is cancelled, everything that was
    started is awaited, and only then does ``CancelledError`` go on; `report` then has what was done until then.
    Iterating over it (``async for record in run``) gives the record of each task soon after it ended.

    Belongs to the event loop it was started on; `cancel`, `state` and `counts` may be called from any thread.
    """

    __slots__ = (
        "_begun",
        "_callbacks",
        "_cancelled",
        "_epoch",
        "_final",
        "_progress",
        "_progress_timer",
        "_thread",
        "_waiter",
        "_watchers",
    )

    def __init__(
        self,
        core: RunState,
        loop: asyncio.AbstractEventLoop,
        functions: list[TaskFunction] | None,
        function: Callable[[Any], Any] | None,
        names: Any,
        stop_on_failure: bool,
        time_slice: float,
        plan: ExecutionPlan,
        missing: list[Hashable] | None,
        pass_results: bool,
        keep: str | list[int] | None,
    ) -> None:
        self._begun = False
        self._cancelled = False
        self._epoch = time.time()
        self._final: ExecutionReport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._callbacks: list[tuple[Callable[[Run], object], Context]] | None = None
        self._progress: Progress | None = None
        self._progress_timer: asyncio.TimerHandle | None = None
        self._watchers: list[asyncio.Future[None]] | None = None
        self._thread = threading.get_ident()
        if missing:
            core.stop()

    def __repr__(self) -> str:
        return f"<Run {self.state}: {self.core.n_finished:,} of {self._plan.total_tasks:,} tasks ended>"

    # -- awaiting -------------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, ExecutionReport]:
        try:
            if not self._begun:
                # In the caller's own turn: a small graph that does not suspend never sees the event loop.
                self._begun = True
                self._begin()
            if not self.finished:
                yield from self._wait().__await__()
            if self.fatal is not None:
                raise self.fatal
            if self._cancelled:
                raise asyncio.CancelledError("the run was cancelled")
            return self.report()
        finally:
            # The frame of a body that raised refers to this one, and the run to the exception.
            del self

    async def _wait(self) -> None:
        cancelled: asyncio.CancelledError | None = None
        while not self.finished:
            if self._waiter is None:
                self._waiter = self._loop.create_future()
            try:
                # Shielded: a cancelled waiter must not take the future away from other waiters.
                await asyncio.shield(self._waiter)
            except asyncio.CancelledError as error:
                # Nobody cancels the future itself, so this came from outside, if in the very turn of the end.
                cancelled = error
                self.cancel()
        if cancelled is not None and self.fatal is None:
            try:
                raise cancelled
            finally:
                cancelled = None  # the exception refers to this frame

    async def __aiter__(self) -> AsyncIterator[TaskExecutionStatistics]:
        """Yield the record of each task that ended or was skipped, in the order of ending.

        Leaving the iteration, or being cancelled in it, does not disturb the run.

        Raises
        ------
        KeyboardInterrupt, SystemExit
            A task raised it; raised after the last record.
        """
        seen = 0
        self._watch()
        while True:
            ended = self.core.ended_since(seen)
            report = self._snapshot_view() if ended else None
            for position in ended:
                assert report is not None
                yield report.record_at(position)
            seen += len(ended)
            if self.finished and seen == self.core.n_finished:
                if self.fatal is not None:
                    try:
                        raise self.fatal
                    finally:
                        del self, report  # as in `__await__`
                return
            if not ended:
                await self._next_slice()

    def _watch(self) -> None:
        self.watched = True
        if self._watchers is None:
            self._watchers = []
        if not self._begun:
            self._begun = True
            self._schedule()

    async def _next_slice(self) -> None:
        watcher = self._loop.create_future()
        assert self._watchers is not None
        self._watchers.append(watcher)
        await watcher

    def progressed(self) -> None:
        """Wake who iterates over the records; called by the core after a slice."""
        # One by one: if there is no memory to wake one of them, the others are woken the next time.
        while self._watchers:
            watcher = self._watchers.pop(0)
            if not watcher.done():
                watcher.set_result(None)

    def add_done_callback(self, callback: Callable[[Run], object]) -> None:
        """Have ``callback(run)`` called by the event loop once the run has ended, however it did.

        It is called in the context variables of the caller of this method.
        """
        context = copy_context()
        if self.finished:
            self._loop.call_soon(callback, self, context=context)
        elif self._callbacks is None:
            self._callbacks = [(callback, context)]
        else:
            self._callbacks.append((callback, context))

    # -- what any thread may call -----------------------------------------------------------------------------

    def cancel(self) -> bool:
        """Cancel the run: running tasks are cancelled together, the others are skipped.

        Awaiting the run raises ``CancelledError`` once everything that was started has ended.

        Returns
        -------
        bool
            False if the run had ended already.
        """
        if self.finished:
            return False
        if threading.get_ident() != self._thread:
            try:
                self._loop.call_soon_threadsafe(self._cancel_here)
            except RuntimeError:  # the loop is closed, and the run with it
                return False
            return True
        self._cancel_here()
        return True

    def _cancel_here(self) -> None:
        if not self.finished:
            self._cancelled = True
            self._begun = True
            self.stop()

    @property
    def state(self) -> str:
        """``"running"``, ``"completed"``, ``"failed"`` or ``"cancelled"``."""
        return self.report().execution_state if self.finished else "running"

    def counts(self) -> dict[str, int]:
        """Return how many tasks there are in each state."""
        return dict(zip(STATE_NAMES, self.core.tally(), strict=True))

    def done(self) -> bool:
        """Return True once every task has ended."""
        return self.finished

    # -- reporting ------------------------------------------------------------------------------------------

    def report(self) -> ExecutionReport:
        """Return the report: the final one, or while the run goes on one of what is known so far."""
        if self._final is not None:
            return self._final
        if self.finished:
            self._final = ExecutionReport(self._plan, self.core, self._facts(self.ended_at))
            return self._final
        return ExecutionReport(self._plan, self.core.copy(), self._facts(None).frozen())

    def _last_report(self) -> ExecutionReport:
        """Return the report of a run that nobody will wait for any longer.

        What has not started counts as skipped, and a body that would not end stays ``running``.
        """
        if self.finished:
            return self.report()
        core = self.core.copy()
        core.stop()
        facts = self._facts(time.monotonic()).frozen()
        facts.forced_state = "cancelled"
        return ExecutionReport(self._plan, core, facts)

    def _snapshot_view(self) -> ExecutionReport:
        """Return a report that looks at the columns as they are just now, without a copy."""
        return ExecutionReport(self._plan, self.core, self._facts(None))

    def _facts(self, ended: float | None) -> RunFacts:
        return RunFacts(
            results=self.results,
            exceptions=self.exceptions,
            failures=self.failed_positions,
            missing=self._missing or [],
            stop_on_failure=self.stop_on_failure,
            forced_state="cancelled" if ended is not None and (self._cancelled or self.fatal is not None) else None,
            epoch=self._epoch,
            started=self.started_at,
            ended=ended,
        )

    # -- called by the core ---------------------------------------------------------------------------------

    def closed(self) -> None:
        """Tell everybody that the run has ended."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)  # first: the rest may fail for want of memory
        if self._progress_timer is not None:
            self._progress_timer.cancel()
        if self._progress is not None:
            self._guarded(self._progress.close, self.report())
        if self._callbacks is not None:
            for callback, context in self._callbacks:
                self._loop.call_soon(callback, self, context=context)
            self._callbacks = None
        self.progressed()

    def failed(self, position: int, error: BaseException) -> None:
        """Log the failure of a task."""
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("task %s failed", self._plan.names[self._plan.order[position]], exc_info=error)

    # -- progress -------------------------------------------------------------------------------------------

    def _show(self, progress: Progress | None) -> None:
        if progress is not None:
            self._progress = progress
            self._progress_timer = self._loop.call_later(PROGRESS_INTERVAL, self._show_progress)

    def _show_progress(self) -> None:
        assert self._progress is not None
        if self._guarded(self._progress.update, self.counts()):
            self._progress_timer = self._loop.call_later(PROGRESS_INTERVAL, self._show_progress)

    def _guarded(self, call: Callable[[Any], object], argument: object) -> bool:
        """Call a progress object; its exceptions are logged and end the progress, not the run."""
        try:
            call(argument)
        except Exception:
            logger.exception("the progress object failed and gets no further calls")
            self._progress = None
            return False
        return True


def create_run(
    plan: ExecutionPlan,
    func: Callable[[Any], Any] | Mapping[Any, TaskFunction] | None,
    max_concurrency: int | None,
    failure_policy: str,
    keep_results: str | Iterable[Hashable],
    pass_results: bool,
    progress: bool | Progress | None,
    time_slice: float,
) -> Run:
    """Check the arguments of ``plan.start`` and return the handle; nothing has begun."""
    if max_concurrency is not None:
        _check_concurrency(max_concurrency)
    if failure_policy not in FAILURE_POLICIES:
        raise ValueError(f"failure_policy is {failure_policy!r}; give 'stop' or 'continue'")
    keep = None if keep_results == "all" else _kept(plan, keep_results)
    if not time_slice > 0.0:
        raise ValueError(f"time_slice is {time_slice!r}; give seconds above 0")
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise InvalidStateError(
            "plan.start needs a running event loop; from synchronous code call plan.run_sync(...)"
        ) from None
    functions, function, missing = _bodies(plan, func)
    run = Run(
        RunState(plan._compiled, min(max_concurrency or 0, plan.total_tasks)),
        loop,
        functions,
        function,
        plan._compiled.graph.names,
        failure_policy == "stop",
        time_slice,
        plan,
        missing,
        pass_results,
        keep,
    )
    if progress is not None and progress is not False:
        run._show(_progress(progress, plan.total_tasks))
    return run


def _kept(plan: ExecutionPlan, keep_results: str | Iterable[Hashable]) -> str | list[int]:
    if not isinstance(keep_results, str):
        return plan._tasks(keep_results, "keep_results")
    if keep_results not in ("sinks", "none"):
        raise ValueError(f"keep_results is {keep_results!r}; give 'all', 'sinks', 'none' or a list of names")
    return keep_results


def _check_concurrency(max_concurrency: object) -> None:
    if isinstance(max_concurrency, bool) or not isinstance(max_concurrency, int):
        raise TypeError(f"max_concurrency is {max_concurrency!r}; give a positive int, or None for no limit")
    if max_concurrency < 1:
        raise ValueError(f"max_concurrency is {max_concurrency}; give a positive int, or None for no limit")


def _progress(progress: bool | Progress, total: int) -> Progress | None:
    if progress is True:
        from penstock.report.progress import progress_line

        return progress_line(total)
    assert not isinstance(progress, bool)
    for method in ("update", "close"):
        if not callable(getattr(progress, method, None)):
            raise TypeError(f"progress is {progress!r}, which has no method {method}(); give True or such an object")
    return progress


Bodies = tuple[list[TaskFunction] | None, Callable[[Any], Any] | None, list[Hashable] | None]


def _bodies(plan: ExecutionPlan, func: Callable[[Any], Any] | Mapping[Any, TaskFunction] | None) -> Bodies:
    """Return the functions by task, or the one function of the name; and the names that have none."""
    if func is None:
        return plan._own_bodies
    if isinstance(func, Mapping):
        return bodies_of(plan, func)
    if inspect.iscoroutine(func):
        raise TypeError("func is an already called coroutine; give the function itself, without calling it")
    if not callable(func):
        raise TypeError(f"func is {func!r}; give a function of the name, or a mapping of names to functions")
    return None, func, None


def bodies_of(plan: ExecutionPlan, functions: Mapping[Any, TaskFunction]) -> Bodies:
    """Put the functions of a mapping into the order of the tasks; further ones are ignored."""
    names = plan._compiled.graph.names
    if type(functions) is dict and (by_task := functions_by_task(names, functions)) is not None:
        return by_task, None, None
    found: list[Any] = []
    missing: list[Hashable] = []
    for name in names:
        function = functions.get(name)
        if function is None:
            missing.append(name)
        elif not callable(function):
            check_function(name, function)
        found.append(function)
    return found, None, missing or None


def own_bodies(plan: ExecutionPlan) -> Bodies:
    """Return the bodies that the graph itself was given.

    Raises
    ------
    InvalidStateError
        It was given none.
    """
    if not plan.functions and plan.total_tasks:
        raise InvalidStateError(
            "the graph has no functions: give them with add_task(name, func), or what to call with "
            "plan.run(func), where func is a function of the name or a mapping of names to functions"
        )
    return bodies_of(plan, plan._functions)


def run_on_own_loop(main: Callable[[], Awaitable[ExecutionReport]], instead: str) -> ExecutionReport:
    """Run a coroutine on a new event loop, uvloop's where it is installed.

    Raises
    ------
    InvalidStateError
        An event loop is running in this thread.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise InvalidStateError(f"an event loop is running in this thread; write {instead} instead")

    async def run() -> ExecutionReport:
        return await main()

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(run())


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes an event loop: uvloop's where it is installed, else asyncio's own."""
    make: Callable[[], asyncio.AbstractEventLoop]
    try:
        from uvloop import new_event_loop as make
    except ImportError:
        make = asyncio.new_event_loop

    def new_loop() -> asyncio.AbstractEventLoop:
        loop = make()
        # Plain functions run on the loop and may take their time; asyncio's debug mode would warn of each one.
        loop.slow_callback_duration = math.inf
        return loop

    return new_loop
