"""Runs: drive a planned graph on the current event loop.

The state of a run (counters, ready queue, states, times) is the compiled core's; this module feeds it.  It takes
ready tasks, calls their functions and tells the core how each one ended:

* a plain function's value ends its task on the spot;
* an awaitable becomes an asyncio task of its own, and its end comes back through `Run._ended`.

All ends go through the core's ready queue, never from one task's end straight into the next one's start, so a
chain of any length needs no stack.  After a time slice the loop gets its turn.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import math
import time
from collections.abc import Awaitable, Callable, Generator, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from penstock._core import STATE_NAMES, RunState
from penstock.errors import InvalidStateError
from penstock.graph import TaskFunction, check_function
from penstock.report.models import ExecutionReport, RunFacts

if TYPE_CHECKING:
    from penstock.plan import ExecutionPlan

__all__ = ["Progress", "Run"]

logger = logging.getLogger("penstock")

FAILURE_POLICIES = ("stop", "continue")

#: Seconds of running plain functions after which the event loop gets its turn.
TIME_SLICE = 0.005

#: Seconds between two calls of a progress object.
PROGRESS_INTERVAL = 0.1

_SUCCEEDED, _FAILED, _CANCELLED = (STATE_NAMES.index(name) for name in ("completed", "failed", "cancelled"))


class Progress(Protocol):
    """What ``progress=`` takes: called from a timer, at most ten times a second, never per task."""

    def update(self, counts: dict[str, int]) -> None:
        """Show how many tasks there are in each state."""

    def close(self, report: ExecutionReport) -> None:
        """Show the end of the run."""


class Run:
    """One run of a plan, as returned by ``plan.start``.

    Awaiting it gives the report.  If the awaiting task is cancelled, the run is cancelled, everything that was
    started is awaited, and only then does ``CancelledError`` go on; `report` then has what was done until then.

    Belongs to the event loop it was started on; `state`, `counts` and `report` only read.
    """

    def __init__(
        self,
        plan: ExecutionPlan,
        call: Callable[[int], Any],
        *,
        max_concurrency: int | None,
        stop_on_failure: bool,
        progress: Progress | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._plan = plan
        self._order = plan.order
        self._call = call
        self._stop_on_failure = stop_on_failure
        self._progress = progress
        self._progress_timer: asyncio.TimerHandle | None = None
        self._core = RunState(plan._compiled, max_concurrency or 0)
        self._facts = RunFacts(plan.total_tasks, stop_on_failure)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._fatal: BaseException | None = None
        self._cancelled = False
        self._advance_due = False
        self._advancing = False
        self._finished = False
        self._final: ExecutionReport | None = None
        self._callbacks: list[Callable[[Run], object]] = []
        self._waiter: asyncio.Future[None] = self._loop.create_future()

    def __repr__(self) -> str:
        return f"<Run {self.state}: {self._core.n_finished:,} of {self._plan.total_tasks:,} tasks ended>"

    # -- what users call ------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, ExecutionReport]:
        return self._wait().__await__()

    async def _wait(self) -> ExecutionReport:
        cancelled: asyncio.CancelledError | None = None
        while not self._finished:
            try:
                # Shielded: a cancelled waiter must not take the future away from other waiters.
                await asyncio.shield(self._waiter)
            except asyncio.CancelledError as error:
                if not self._finished:
                    # Cancelled from outside.  Cancelling again does not shorten the wait for what was started.
                    cancelled = error
                    self.cancel()
        if cancelled is not None:
            try:
                raise cancelled
            finally:
                cancelled = None  # the exception refers to this frame
        if self._fatal is not None:
            raise self._fatal
        if self._cancelled:
            raise asyncio.CancelledError("the run was cancelled")
        assert self._final is not None
        return self._final

    def cancel(self) -> bool:
        """Cancel the run: running tasks are cancelled together, the others are skipped.

        Awaiting the run raises ``CancelledError`` once everything that was started has ended.

        Returns
        -------
        bool
            False if the run had ended already.
        """
        if self._finished:
            return False
        self._cancelled = True
        self._stop()
        return True

    @property
    def state(self) -> str:
        """``"running"``, ``"completed"``, ``"failed"`` or ``"cancelled"``."""
        if self._final is not None:
            return self._final.execution_state
        return "running"

    def counts(self) -> dict[str, int]:
        """Return how many tasks there are in each state."""
        return dict(zip(STATE_NAMES, self._core.tally(), strict=True))

    def report(self) -> ExecutionReport:
        """Return the report: the final one, or while the run goes on one of what is known so far."""
        if self._final is not None:
            return self._final
        return ExecutionReport(self._plan, self._core.copy(), self._facts.copy())

    def _last_report(self) -> ExecutionReport:
        """Return the report of a run that nobody will wait for any longer.

        What has not started counts as skipped, and a body that would not end stays ``running``.
        """
        if self._final is not None:
            return self._final
        core, facts = self._core.copy(), self._facts.copy()
        core.stop()
        facts.end("cancelled")
        return ExecutionReport(self._plan, core, facts)

    def done(self) -> bool:
        """Return True once every task has ended."""
        return self._finished

    def add_done_callback(self, callback: Callable[[Run], object]) -> None:
        """Have ``callback(run)`` called by the event loop once the run has ended, however it did."""
        if self._finished:
            self._loop.call_soon(callback, self)
        else:
            self._callbacks.append(callback)

    # -- the driver -----------------------------------------------------------------------------------------

    def _begin(self, missing: list[Hashable]) -> None:
        self._facts.begin()
        if missing:
            self._facts.missing = missing
            self._core.stop()
        if self._progress is not None:
            self._progress_timer = self._loop.call_later(PROGRESS_INTERVAL, self._show_progress)
        self._schedule()

    def _schedule(self) -> None:
        if not self._advance_due and not self._advancing:
            self._advance_due = True
            self._loop.call_soon(self._advance)

    def _advance(self) -> None:
        """Start ready tasks until there are none, the limit is reached or the time slice is over."""
        self._advance_due = False
        self._advancing = True
        core = self._core
        now = time.monotonic()
        deadline = now + TIME_SLICE
        try:
            while True:
                position = core.start(now)
                if position < 0:
                    break
                self._start_body(position)
                now = time.monotonic()
                if now >= deadline:
                    break
        finally:
            self._advancing = False
        if core.done:
            self._finish()
        elif position >= 0:
            self._schedule()

    def _start_body(self, position: int) -> None:
        task = self._order[position]
        context = self._context.copy()
        try:
            value = context.run(self._call, task)
        except BaseException as error:
            self._record(position, error)
            return
        if inspect.isawaitable(value):
            self._tasks[position] = self._loop.create_task(
                self._drive(position, value), name=f"penstock task {self._plan.names[task]!s}", context=context
            )
        else:
            self._facts.results[task] = value
            self._core.finish(position, _SUCCEEDED, time.monotonic())

    async def _drive(self, position: int, body: Awaitable[Any]) -> None:
        """Await one body; nothing that it raises leaves this coroutine."""
        try:
            value = await body
        except GeneratorExit:
            # The loop was closed under us and this coroutine is being thrown away.
            raise
        except BaseException as error:
            self._ended(position, error)
        else:
            self._facts.results[self._order[position]] = value
            self._core.finish(position, _SUCCEEDED, time.monotonic())
            self._ended(position, None)

    def _ended(self, position: int, error: BaseException | None) -> None:
        self._tasks.pop(position, None)
        if error is not None:
            self._record(position, error)
        self._schedule()

    def _record(self, position: int, error: BaseException) -> None:
        """Note that a running task did not succeed, and draw the consequences."""
        cancelled = isinstance(error, asyncio.CancelledError)
        self._facts.exceptions[self._order[position]] = error
        self._core.finish(position, _CANCELLED if cancelled else _FAILED, time.monotonic())
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            if self._fatal is None:
                self._fatal = error
            self._stop()
        elif not cancelled:
            self._facts.note_failure(self._order[position])
            logger.debug("task %s failed", self._plan.names[self._order[position]], exc_info=error)
            if self._stop_on_failure:
                self._stop()

    def _stop(self) -> None:
        """Skip what has not started and cancel, all together, what is running."""
        self._core.stop()
        for task in list(self._tasks.values()):
            task.cancel()
        self._schedule()

    def _finish(self) -> None:
        if self._finished:
            return
        self._finished = True
        if self._progress_timer is not None:
            self._progress_timer.cancel()
        self._facts.end("cancelled" if self._cancelled or self._fatal is not None else None)
        self._final = ExecutionReport(self._plan, self._core, self._facts)
        if self._progress is not None:
            self._guarded(self._progress.close, self._final)
        if not self._waiter.done():
            self._waiter.set_result(None)
        for callback in self._callbacks:
            self._loop.call_soon(callback, self)
        self._callbacks.clear()

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


def start_run(
    plan: ExecutionPlan,
    func: Callable[[Any], Any] | Mapping[Any, TaskFunction] | None,
    *,
    max_concurrency: int | None,
    failure_policy: str,
    keep_results: str,
    progress: bool | Progress | None,
) -> Run:
    """Check the arguments of ``plan.start``, start, and return the handle."""
    _check_options(max_concurrency, failure_policy, keep_results)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise InvalidStateError(
            "plan.start needs a running event loop; from synchronous code call plan.run_sync(...)"
        ) from None
    call, missing = _bodies(plan, func)
    run = Run(
        plan,
        call,
        max_concurrency=max_concurrency,
        stop_on_failure=failure_policy == "stop",
        progress=_progress(progress, plan.total_tasks),
    )
    run._begin(missing)
    return run


def _check_options(max_concurrency: int | None, failure_policy: str, keep_results: str) -> None:
    if max_concurrency is not None:
        if isinstance(max_concurrency, bool) or not isinstance(max_concurrency, int):
            raise TypeError(f"max_concurrency is {max_concurrency!r}; give a positive int, or None for no limit")
        if max_concurrency < 1:
            raise ValueError(f"max_concurrency is {max_concurrency}; give a positive int, or None for no limit")
    if failure_policy not in FAILURE_POLICIES:
        raise ValueError(f"failure_policy is {failure_policy!r}; give 'stop' or 'continue'")
    if keep_results != "all":
        raise ValueError(f"keep_results is {keep_results!r}; give 'all'")


def _progress(progress: bool | Progress | None, total: int) -> Progress | None:
    if progress is None or progress is False:
        return None
    if progress is True:
        from penstock.report.progress import progress_line

        return progress_line(total)
    for method in ("update", "close"):
        if not callable(getattr(progress, method, None)):
            raise TypeError(f"progress is {progress!r}, which has no method {method}(); give True or such an object")
    return progress


def _bodies(
    plan: ExecutionPlan, func: Callable[[Any], Any] | Mapping[Any, TaskFunction] | None
) -> tuple[Callable[[int], Any], list[Hashable]]:
    """Return how to call task number i, and the names that have no function."""
    names = plan.names
    if func is None:
        if not plan.functions and plan.total_tasks:
            raise InvalidStateError(
                "the graph has no functions: give them with add_task(name, func), or what to call with "
                "plan.run(func), where func is a function of the name or a mapping of names to functions"
            )
        func = plan.functions
    if not isinstance(func, Mapping):
        if inspect.iscoroutine(func):
            raise TypeError("func is an already called coroutine; give the function itself, without calling it")
        if not callable(func):
            raise TypeError(f"func is {func!r}; give a function of the name, or a mapping of names to functions")
        by_name = func
        return lambda task: by_name(names[task]), []
    functions: list[TaskFunction | None] = [func.get(name) for name in names]
    for name, function in zip(names, functions, strict=True):
        if function is not None:
            check_function(name, function)
    missing = [name for name, function in zip(names, functions, strict=True) if function is None]
    return lambda task: functions[task](), missing  # type: ignore[misc]


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
