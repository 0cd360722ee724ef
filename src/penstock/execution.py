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
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Hashable, Mapping
from contextvars import copy_context
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from penstock._core import STATE_NAMES, Dispatch, RunState
from penstock._core.dispatch import functions_by_task, register_task, run_of
from penstock._core.future import Future
from penstock.errors import DeadlockError, InvalidStateError, shown
from penstock.graph import TaskFunction, check_function
from penstock.observing import Observation
from penstock.policies import Progress
from penstock.report.models import ExecutionReport, RunFacts, TaskExecutionStatistics
from penstock.settings import Settings, plain

if TYPE_CHECKING:
    from penstock.plan import ExecutionPlan

__all__ = ["Run"]

logger = logging.getLogger("penstock")

#: Seconds between two calls of a progress object.
PROGRESS_INTERVAL = 0.1


class Run(Dispatch):
    """One run of a plan, as returned by ``plan.start``.

    Awaiting it gives the report.  If the awaiting task is cancelled, the run is cancelled, everything that was
    started is awaited, and only then does ``CancelledError`` go on; `report` then has what was done until then.
    Iterating over it (``async for record in run``) gives the record of each task soon after it ended.

    Belongs to the event loop it was started on; `cancel`, `state` and `counts` may be called from any thread.
    """

    # What there is beside the columns, the core declares: making it is a part of the cost of every small graph.
    __slots__ = ()

    def __repr__(self) -> str:
        return f"<Run {self.state}: {self._core.n_finished:,} of {self._plan.total_tasks:,} tasks ended>"

    # -- awaiting -------------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, ExecutionReport]:
        begun = not self._begun
        try:
            if begun:
                # In the caller's own turn: a small graph that does not suspend never sees the event loop.
                self._begun = True
                self._begin()
            if not self.finished:
                self._refuse_to_wait_for_itself(begun)
                yield from self._wait().__await__()
            if self.fatal is not None:
                raise self.fatal
            if self._cancelled:
                raise asyncio.CancelledError("the run was cancelled")
            return self.report()
        finally:
            # The frame of a body that raised refers to this one, and the run to the exception.
            del self

    def _refuse_to_wait_for_itself(self, begun: bool) -> None:
        """Raise if this run can only end after the task that is about to wait for it."""
        try:
            current = asyncio.current_task()
        except RuntimeError:
            return
        waiting, seen = [current], set()
        while waiting:
            task = waiting.pop()
            run = run_of(task)
            if run is self:
                if begun:
                    self.cancel()  # by whoever was about to wait, and nobody else will
                raise InvalidStateError(f"a body of {self!r} cannot wait for the run that it is part of")
            # A body of another run: who waits for that one?
            if run is not None and run not in seen:
                seen.add(run)
                waiting.extend(run._awaiting or ())

    async def _wait(self) -> None:
        task = asyncio.current_task()
        if self._awaiting is None:
            self._awaiting = []
        self._awaiting.append(task)
        try:
            await self._wait_until_finished()
        finally:
            self._awaiting.remove(task)
            del task

    async def _wait_until_finished(self) -> None:
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
            ended = self._core.ended_since(seen)
            report = self._snapshot_view() if ended else None
            for position in ended:
                assert report is not None
                yield report.record_at(position)
            seen += len(ended)
            if self.finished and seen == self._core.n_finished:
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
        try:
            await watcher
        finally:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

    def _progressed(self) -> None:
        """Tell the observer, and wake who iterates over the records; called by the core after a slice."""
        if self._observation is not None:
            self._observation.tell(self)
        # One by one: if there is no memory to wake one of them, the others are woken the next time.
        while self._watchers:
            watcher = self._watchers.pop(0)
            if not watcher.done():
                watcher.set_result(None)

    def add_done_callback(self, callback: Callable[[Run], object]) -> None:
        """Have ``callback(run)`` called by the event loop once the run has ended, however it did.

        It is called in the context variables of the caller of this method.
        """
        if not callable(callback):
            raise TypeError(f"{callback!r} cannot be called; give a function of the run")
        context = copy_context()
        if self.finished:
            self._loop.call_soon(callback, self, context=context)
        elif self._callbacks is None:
            self._callbacks = [(callback, context)]
        else:
            self._callbacks.append((callback, context))

    def remove_done_callback(self, callback: Callable[[Run], object]) -> int:
        """Take back a callback; return how many times it had been added."""
        before = self._callbacks or []
        self._callbacks = [pair for pair in before if pair[0] != callback]
        return len(before) - len(self._callbacks)

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a Run belongs to its event loop and can be neither pickled nor copied; its plan can be")

    # -- what any thread may call -----------------------------------------------------------------------------

    def cancel(self) -> bool:
        """Cancel the run: running tasks are cancelled together, the others are skipped.

        Tasks that run when their dependencies have finished still do; cancelling once more stops those, too.
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
            again = self._cancelled
            self._cancelled = True
            self._begun = True
            if self._policing is not None:
                self._policing.cancel_tails()
            self._stop(again)

    @property
    def state(self) -> str:
        """``"running"``, ``"completed"``, ``"failed"`` or ``"cancelled"``."""
        return self.report().execution_state if self.finished else "running"

    def counts(self) -> dict[str, int]:
        """Return how many tasks there are in each state."""
        return dict(zip(STATE_NAMES, self._core.tally(), strict=True))

    def done(self) -> bool:
        """Return True once every task has ended."""
        return self.finished

    # -- reporting ------------------------------------------------------------------------------------------

    def report(self) -> ExecutionReport:
        """Return the report: the final one, or while the run goes on one of what is known so far."""
        if self._final is not None:
            return self._final
        if self.finished:
            self._final = ExecutionReport(self._plan, self._core, self._facts(self.ended_at))
            return self._final
        return ExecutionReport(self._plan, self._core.copy(), self._facts(None).frozen())

    def _last_report(self) -> ExecutionReport:
        """Return the report of a run that nobody will wait for any longer.

        What has not started counts as skipped, and a body that would not end stays ``running``.
        """
        if self.finished:
            return self.report()
        core = self._core.copy()
        core.stop()
        facts = self._facts(time.monotonic()).frozen()
        facts.forced_state = "cancelled"
        return ExecutionReport(self._plan, core, facts)

    def _snapshot_view(self) -> ExecutionReport:
        """Return a report that looks at the columns as they are just now, without a copy."""
        return ExecutionReport(self._plan, self._core, self._facts(None))

    def _facts(self, ended: float | None) -> RunFacts:
        # By position: this is a part of every small graph's cost.
        return RunFacts(
            self._results,
            self._exceptions,
            self._failed_positions,
            self._missing or [],
            self.stop_on_failure,
            "cancelled" if ended is not None and (self._cancelled or self.fatal is not None) else None,
            self._epoch,
            self.started_at,
            ended,
            None if self._policing is None else self._policing.facts,
        )

    # -- called by the core ---------------------------------------------------------------------------------

    def _closed(self) -> None:
        """Tell everybody that the run has ended."""
        guard, self._guard = self._guard, None
        closed = self._loop.is_closed()  # then nobody there would hear of it
        if not closed and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)  # first: the rest may fail for want of memory
        if not closed and guard is not None:
            guard.set_result(None)
        try:
            if self._policing is not None:
                self._policing.close()
            if self._progress_timer is not None:
                self._progress_timer.cancel()
            if self._progress is not None:
                self._guarded(self._progress.close, self.report())
        finally:
            if not closed:
                self._call_back()

    def _call_back(self) -> None:
        if self._callbacks is not None:
            for callback, context in self._callbacks:
                self._loop.call_soon(callback, self, context=context)
            self._callbacks = None
        self._progressed()

    def _deadlock(self) -> DeadlockError:
        """Return the exception for a run in which nothing moves any more."""
        states, names, order = self._core.states, self._plan.names, self._plan.order
        waiting = [p for p in range(self._plan.total_tasks) if STATE_NAMES[states[p]] in ("ready", "running")]
        left = self._plan.total_tasks - self._core.n_finished
        return DeadlockError([names[order[position]] for position in waiting], left)

    def _name_of(self, position: int) -> Any:
        """Return the name of the task at a position of the plan."""
        return self._plan.names[self._plan.order[position]]

    def _blocked(self, position: int, seconds: float) -> None:
        """Warn, once per function, of a body that kept the event loop from everybody else."""
        function, _ = self._call_of(position)
        if _first_time(function):
            logger.warning(
                "task %s kept the event loop for %.3g s in one step, and everything else on it waited; "
                'call plain functions with sync_in="thread", or await asyncio.to_thread(...) in a coroutine',
                shown(self._name_of(position)),
                seconds,
            )

    def _failed(self, position: int, error: BaseException) -> None:
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
        except (Exception, asyncio.CancelledError):
            logger.exception("the progress object failed and gets no further calls")
            self._progress = None
            return False
        return True


_warned: weakref.WeakSet[Any] = weakref.WeakSet()


def _first_time(function: Any) -> bool:
    """Return True the first time it is asked about a function; always for what cannot be remembered."""
    function = getattr(function, "__func__", function)  # bound methods are made anew all the time
    try:
        if function in _warned:
            return False
        _warned.add(function)
    except TypeError:
        pass
    return True


def start_run(run: Run) -> None:
    """Begin with the next turn of the event loop, whether anybody waits for the run or not."""
    run._begun = True
    run._schedule()
    run._guard = _Guard(run)


class _Guard(Future[None]):
    """Stands for a run among the tasks of its event loop.

    Whoever shuts an event loop down cancels all its tasks and waits for them.  Without something that stands for the
    run only its bodies would be cancelled, and others started in their place.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(loop=run._loop)
        self._run = run
        register_task(self)

    def cancel(self, msg: object = None) -> bool:
        """Cancel the run; this ends when everything that the run has started has ended."""
        return not self.done() and self._run.cancel()

    # What those look at who list the tasks.

    def get_name(self) -> str:
        """Return a name."""
        return f"penstock run of {self._run._plan.total_tasks:,} tasks"

    def get_coro(self) -> Coroutine[Any, Any, None]:
        """Return a coroutine that has ended; it is there to have a name."""
        coroutine = self._run._wait()
        coroutine.close()
        return coroutine

    def get_context(self) -> None:
        """Return None: nothing runs in a context of its own."""

    def get_stack(self, *, limit: int | None = None) -> list[FrameType]:
        """Return an empty list."""
        return []

    def print_stack(self, *, limit: int | None = None, file: TextIO | None = None) -> None:
        """Print what is known."""
        print(repr(self._run), file=file)

    def cancelling(self) -> int:
        """Return 1 if the run was cancelled."""
        return int(self._run._cancelled)

    def uncancel(self) -> int:
        """Take back nothing: a run that was cancelled stays so."""
        return int(self._run._cancelled)


def create_run(
    plan: ExecutionPlan, func: Callable[[Any], Any] | Mapping[Any, TaskFunction] | None, settings: Settings
) -> Run:
    """Return the handle of a run; nothing has begun."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise InvalidStateError(
            "plan.start needs a running event loop; from synchronous code call plan.run_sync(...)"
        ) from None
    functions, function, missing = plan._own_bodies if func is None else _bodies(plan, func)
    if settings is plain:
        state = RunState(plan._compiled)
    else:
        observed = settings.observer is not None
        state = RunState(plan._compiled, settings.max_concurrency, observed, settings.rules)
    run = Run(
        state,
        loop,
        functions,
        function,
        plan._compiled.graph.names,
        settings.stop_on_failure,
        settings.time_slice,
        plan,
        missing,
        settings.pass_results,
        settings.keep,
        settings.policing,
        getattr(loop, "penstock_clock", None),
        settings.slow,
    )
    if missing:
        run._core.stop(True)
    if settings is plain:
        return run
    if settings.observer is not None:
        run._observation = Observation(settings.observer)
        run.watched = True
    if settings.progress is not None and settings.progress is not False:
        run._show(_progress(settings.progress, plan.total_tasks))
    # Last, because it may set a timer: a run that is refused leaves nothing on the loop.
    if settings.policing is not None:
        settings.policing.begin(run, settings.special, settings.tails)
    return run


def _progress(progress: bool | Progress, total: int) -> Progress | None:
    if progress is True:
        from penstock.report.progress import progress_line

        return progress_line(total)
    assert not isinstance(progress, bool)
    for method in ("update", "close"):
        call = getattr(progress, method, None)
        if not callable(call):
            raise TypeError(f"progress is {progress!r}, which has no method {method}(); give True or such an object")
        if inspect.iscoroutinefunction(call):
            raise TypeError(f"progress.{method} is a coroutine function, which nobody would await; make it a plain one")
    return progress


Bodies = tuple[list[TaskFunction] | None, Callable[[Any], Any] | None, list[Hashable] | None]


def _bodies(plan: ExecutionPlan, func: Callable[[Any], Any] | Mapping[Any, TaskFunction]) -> Bodies:
    """Return the functions by task, or the one function of the name; and the names that have none."""
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
