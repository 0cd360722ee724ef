"""Policing: what the policies of a run decide while it goes on.

The core's loop (`penstock._core.dispatch`) asks only where a task failed, suspended or is marked as special; a run
without policies has no `Policing`, and a task that returns at once passes by it.
"""

from __future__ import annotations

import asyncio
import inspect
from asyncio import CancelledError
from collections.abc import Callable, Collection, Coroutine, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock._core import STATE_NAMES, Task
from penstock.errors import InvalidStateError, Skip, TaskTimeout, shown
from penstock.policies import RetryPolicy

if TYPE_CHECKING:
    from penstock.execution import Run

__all__ = ["Attempt", "Policing", "PolicyFacts"]

FAILED, CANCELLED, SKIPPED, RETRYING = map(STATE_NAMES.index, ("failed", "cancelled", "skipped", "retrying"))

#: Threads for plain functions, unless the run allows fewer tasks at once.
MOST_THREADS = 32


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that was followed by another, in the run's clock."""

    start: float
    end: float
    error: BaseException


class Note(NamedTuple):
    """A line of the error summary: an attempt failed; or, without an error, the run timed out."""

    #: How many tasks had failed before.
    n_failed: int
    position: int
    attempt: int
    error: BaseException | None


@dataclass(slots=True)
class PolicyFacts:
    """What the report of a run with policies has beside that of one without; keys are positions in the plan."""

    #: The failed attempts before the last one.
    attempts: dict[int, list[Attempt]] = field(default_factory=dict)
    #: The policies of tasks that may be retried; under None that of all others.
    retries: dict[int | None, RetryPolicy | None] = field(default_factory=dict)
    #: Tasks whose number of retries is none, and what it is; they were not tried at all.
    untried: dict[int, object] = field(default_factory=dict)
    #: Tasks whose retry was due when the run was stopped.
    dropped: set[int] = field(default_factory=set)
    #: What the error summary says beside the failures, in the order it happened.
    notes: list[Note] = field(default_factory=list)
    #: Tasks in threads that were cancelled and ran on.
    ran_on: set[int] = field(default_factory=set)
    #: The live tasks of those that nobody waits for, by name.
    tail_tasks: dict[Hashable, Task[Any]] = field(default_factory=dict)
    #: The seconds after which the run was stopped.
    timed_out: float | None = None

    def retries_of(self, position: int) -> int:
        """Return the number of extra attempts that a task may have."""
        policy = self.retries[position] if position in self.retries else self.retries.get(None)
        return 0 if policy is None else policy.attempts - 1

    def frozen(self) -> PolicyFacts:
        """Return what is known now."""
        return PolicyFacts(
            {position: list(made) for position, made in self.attempts.items()},
            self.retries,
            self.untried,
            set(self.dropped),
            list(self.notes),
            set(self.ran_on),
            dict(self.tail_tasks),
            self.timed_out,
        )


class Policing:
    """The policies of one run; called by the core, on the run's loop.

    Parameters
    ----------
    retries
        By position in the plan; under None what holds for all others.
    timeouts
        Seconds, likewise.
    timeout
        Seconds of the whole run; None for no limit.
    context
        Entered around each task.
    in_thread
        Positions of the tasks whose functions are called in threads.
    max_threads
        How many threads there may be.
    """

    def __init__(
        self,
        retries: dict[int | None, RetryPolicy | None],
        timeouts: dict[int | None, float],
        timeout: float | None,
        context: AbstractAsyncContextManager[Any, Any] | None,
        in_thread: set[int],
        max_threads: int,
    ) -> None:
        self.facts = PolicyFacts(retries=retries)
        self.run: Run
        self.timeouts = timeouts
        self.timeout = timeout
        self.context = context
        self.in_thread = in_thread
        self.max_threads = max_threads
        self._pool: ThreadPoolExecutor | None = None
        # All of these are positions of tasks that are under way.
        self._timed_out: set[int] = set()
        self._unbegun: set[int] = set()  # cancelled before their bodies began
        self._entering: set[int] = set()  # waiting for the context
        self._leaving: set[int] = set()  # leaving the context
        self._decided: dict[int, float | None] = {}  # seconds until the next attempt, or that there is none

    def begin(self, run: Run, special: Collection[int], tails: Collection[int]) -> None:
        """Take up a run that has not begun; tasks are given by number."""
        self.run = run
        if special:
            run._set_special(special)
        if tails:
            run._set_special(tails, True)
        if self.timeouts or self.timeout is not None:
            own = {position: seconds for position, seconds in self.timeouts.items() if position is not None}
            run._set_timeouts(self.timeout or 0.0, self.timeouts.get(None, 0.0), own)

    # -- called by the core ---------------------------------------------------------------------------------

    def judge(self, position: int, outcome: int, error: BaseException, now: float) -> tuple[int, BaseException]:
        """Say what the exception of a body makes of its task, and begin the wait for its next attempt."""
        outcome, error = self._classified(position, outcome, error)
        self._timed_out.discard(position)
        if position in self._unbegun:
            self._unbegun.remove(position)
            if outcome == CANCELLED and position in self.facts.attempts:
                # It was tried before: it waited for another attempt, even if not for its time any more.
                self.drop(position)
                return outcome, error
            if outcome == CANCELLED:
                self.run._forget_start(position)
                return SKIPPED, error
        if outcome != FAILED:
            self._decided.pop(position, None)
            return outcome, error
        delay = self._decided.pop(position) if position in self._decided else self._delay(position, error, now)
        policy = self._policy(position)
        if delay is not None:
            self._note_attempt(position, error, now)
            self.run._retry_at(position, now + delay, now)
            return RETRYING, error
        made = len(self.facts.attempts.get(position, ())) + 1
        if policy is not None and made == policy.attempts > 1:
            self._note(position, made, error)
        return FAILED, error

    def task_timed_out(self, position: int) -> None:
        """Note that a task is cancelled because its time is over."""
        self._timed_out.add(position)

    def run_timed_out(self) -> None:
        """Note that the run is stopped because its time is over."""
        self.facts.timed_out = self.timeout
        self.facts.notes.append(Note(len(self.run._failed_positions), -1, 0, None))

    def waits(self, position: int) -> bool:
        """Return True if the body of a running task has not begun, so that its time does not count yet."""
        return position in self._entering or position in self._leaving

    def drop(self, position: int) -> None:
        """A task that waits for its retry will get none."""
        self.facts.dropped.add(position)

    def call_specially(self, position: int) -> Coroutine[Any, Any, Any]:
        """Return a coroutine that runs a task in a thread, or inside the context, or both."""
        if position in self.facts.untried:
            return self._untried(position)
        return self._body(position) if self.context is None else self._in_context(position)

    def _body(self, position: int) -> Coroutine[Any, Any, Any]:
        """Return a coroutine for one attempt."""
        function, arguments = self.run._call_of(position)
        if position in self.in_thread and not inspect.iscoroutinefunction(function):
            body = self._in_thread(position, function, arguments)
        else:
            body = _called(function, arguments)
        return self._shown(position, body) if self.run._name_of(position) in self._awaited_tails else body

    # -- retries --------------------------------------------------------------------------------------------

    def _policy(self, position: int) -> RetryPolicy | None:
        retries = self.facts.retries
        return retries[position] if position in retries else retries.get(None)

    def _classified(self, position: int, outcome: int, error: BaseException) -> tuple[int, BaseException]:
        """Tell a time-out from other cancellations."""
        if outcome != CANCELLED or position not in self._timed_out:
            return outcome, error
        seconds = self.timeouts[position] if position in self.timeouts else self.timeouts[None]
        timeout = TaskTimeout(self.run._name_of(position), seconds)
        timeout.__cause__ = error  # its traceback shows where the body was
        return FAILED, timeout

    def _delay(self, position: int, error: BaseException, now: float) -> float | None:
        """Return the seconds until the next attempt; None if there is none."""
        policy = self._policy(position)
        if policy is None or self.run._is_stopped_for(position):
            return None
        earlier = self.facts.attempts.get(position, ())
        made = len(earlier) + 1
        if made >= policy.attempts or not policy.wants(error):
            return None
        delay = policy.delay_after(made)
        first = earlier[0].start if earlier else self.run._start_of(position)
        if policy.max_time is not None and now + delay - first > policy.max_time:
            return None
        return delay

    def _note_attempt(self, position: int, error: BaseException, now: float) -> None:
        made = self.facts.attempts.setdefault(position, [])
        made.append(Attempt(self.run._start_of(position), now, error))
        self._note(position, len(made), error)

    def _note(self, position: int, made: int, error: BaseException) -> None:
        self.facts.notes.append(Note(len(self.run._failed_positions), position, made, error))

    async def _untried(self, position: int) -> None:
        name = shown(self.run._name_of(position))
        raise InvalidStateError(
            f"Task '{name}': its retry loop ended unexpectedly without an attempt: its number of retries is "
            f"{self.facts.untried[position]!r}; give an int from 0 on, or a RetryPolicy"
        )

    # -- the context ------------------------------------------------------------------------------------------

    async def _in_context(self, position: int) -> Any:
        """Run a task inside the context.

        It is entered once for all attempts that follow one another at once.  A retry that has to wait leaves it, with
        the place that the task has in the run, to others: holding the one while waiting for the other is a deadlock.
        """
        assert self.context is not None
        try:
            await self._enter(position)
            while True:
                try:
                    value = await self._body(position)
                except BaseException as error:
                    if self._tried_again_at_once(position, error):
                        continue
                    self._end_body(position)
                    if await self.context.__aexit__(type(error), error, error.__traceback__):
                        return None
                    raise
                self._end_body(position)
                if position in self._timed_out:
                    self._forget_timeout(position)  # it came too late
                await self.context.__aexit__(None, None, None)
                return value
        finally:
            self._leaving.discard(position)
            del self  # an exception refers to this frame, and `facts` to the exception

    def _tried_again_at_once(self, position: int, error: BaseException) -> bool:
        """Decide about another attempt, and if it is due at once begin it in the same place."""
        outcome = CANCELLED if isinstance(error, CancelledError) else SKIPPED if isinstance(error, Skip) else FAILED
        outcome, judged = self._classified(position, outcome, error)
        now = self.run._time()
        delay = self._delay(position, judged, now) if outcome == FAILED else None
        if delay != 0.0:
            # Also that there is none: the policy is not asked twice.
            self._decided[position] = delay
            return False
        self._note_attempt(position, judged, now)
        if position in self._timed_out:
            self._forget_timeout(position)
        self.run._retry_in_place(position, now)
        return True

    def _end_body(self, position: int) -> None:
        """The body is over; leaving the context does not count against its time."""
        self._leaving.add(position)
        self.run._end_body(position)

    def _forget_timeout(self, position: int) -> None:
        """Take back the cancellation of an attempt whose time was over."""
        self._timed_out.remove(position)
        task = asyncio.current_task()
        assert isinstance(task, Task)
        task.uncancel()
        task._must_cancel = task._must_cancel and task.cancelling() > 0

    async def _enter(self, position: int) -> None:
        assert self.context is not None
        self._entering.add(position)
        try:
            try:
                await self.context.__aenter__()
            except CancelledError:
                self._unbegun.add(position)
                raise
            finally:
                self._entering.discard(position)
            self.run._begin_body(position)
        finally:
            del self  # as above

    # -- threads ----------------------------------------------------------------------------------------------

    async def _in_thread(self, position: int, function: Callable[..., Any], arguments: list[Any]) -> Any:
        """Call a plain function in a thread.

        A thread cannot be interrupted: when cancelled before it began the function is not called, otherwise the task
        stays running, in its place, until the function returns.
        """
        # Its time counts from when a thread takes it up.
        self._entering.add(position)
        timed = self.timeouts.get(position, self.timeouts.get(None, 0.0)) > 0.0
        call = _ThreadCall(self, position if timed else None, function, arguments)
        work = self.pool.submit(call)
        future = asyncio.wrap_future(work)
        cancelled: CancelledError | None = None
        value: Any = None
        try:
            while not future.done():
                try:
                    await asyncio.shield(future)
                except CancelledError as error:
                    if work.cancel():
                        self._entering.discard(position)
                        self._unbegun.add(position)
                        raise
                    cancelled = error
            self._entering.discard(position)
            if call.begun is not None:
                self.run._set_start(position, call.begun)
            if cancelled is not None:
                self.facts.ran_on.add(position)
                if future.exception() is None and asyncio.iscoroutine(value := call.take_outcome()[1]):
                    value.close()  # or it would be missed with a warning
                raise cancelled
            future.result()  # raises if the thread could not call the function
            ok, value = call.take_outcome()
            if not ok:
                raise value
            return await value if inspect.isawaitable(value) else value
        finally:
            del self, work, future, call, cancelled, value  # an exception refers to this frame

    def thread_began(self, position: int) -> None:
        """A thread has taken up a task whose time is limited."""
        if position in self._entering:
            self._entering.discard(position)
            self.run._begin_body(position)

    @property
    def pool(self) -> ThreadPoolExecutor:
        """The threads of this run, made when the first is needed."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.max_threads, thread_name_prefix="penstock")
        return self._pool

    def close(self) -> None:
        """The run is over: no thread of it is busy any more."""
        del self.run  # which refers to this object
        if self._pool is not None:
            self._pool.shutdown()  # its threads are idle, so this takes no time
            self._pool = None

    # -- tasks that nobody waits for ------------------------------------------------------------------------------

    #: Names of tail tasks that others depend on, so that they are awaited after all.
    _awaited_tails: frozenset[Hashable] = frozenset()

    def set_awaited_tails(self, names: frozenset[Hashable]) -> None:
        """Have the live tasks of these noted."""
        self._awaited_tails = names

    async def _shown(self, position: int, body: Coroutine[Any, Any, Any]) -> Any:
        task = asyncio.current_task()
        assert isinstance(task, Task)
        self.facts.tail_tasks[self.run._name_of(position)] = task
        try:
            return await body
        finally:
            del self, task  # an exception refers to this frame

    def start_tail(self, position: int) -> None:
        """Start a task that is out of the run: from here on it belongs to the caller."""
        name = self.run._name_of(position)
        function, arguments = self.run._call_of(position)
        body = self._tail(name, position, function, arguments)
        self.facts.tail_tasks[name] = Task(
            body, loop=self.run._loop, name=shown(name), context=self.run._new_context(), eager_start=True
        )

    async def _tail(self, name: Hashable, position: int, function: Callable[..., Any], arguments: list[Any]) -> Any:
        """Do for a task that left the run, and may outlive it, what the core does for those inside."""
        policy = self._policy(position)
        seconds = self.timeouts.get(position, self.timeouts.get(None)) or None  # 0.0 is no limit
        try:
            async with nullcontext() if self.context is None else self.context:
                threaded = position in self.in_thread and not inspect.iscoroutinefunction(function)
                return await _attempts(name, policy, seconds, threaded, function, arguments)
        except Skip:
            return None  # nothing has failed, so nothing is to be logged
        finally:
            del self  # an exception refers to this frame, and `facts` to the task that it belongs to

    def cancel_tails(self) -> None:
        """The run was cancelled from outside: so is what it has started and does not wait for."""
        for task in self.facts.tail_tasks.values():
            task.cancel()


class _ThreadCall:
    """What a thread does for a task."""

    def __init__(
        self, policing: Policing, position: int | None, function: Callable[..., Any], arguments: list[Any]
    ) -> None:
        self.policing, self.position, self.function, self.arguments = policing, position, function, arguments
        self.context = copy_context()
        self.loop = asyncio.get_running_loop()
        self.begun: float | None = None
        self._outcome: tuple[bool, Any] | None = None

    def __call__(self) -> None:
        self.begun = self.policing.run._time()
        if self.position is not None:
            self.loop.call_soon_threadsafe(self.policing.thread_began, self.position)
        # Not as the outcome of the future: as an exception it could not carry a StopIteration, and an exception refers
        # to the frame of the thread, which refers to the future.
        try:
            self._outcome = True, self.context.run(self.function, *self.arguments)
        except BaseException as error:
            self._outcome = False, error
        finally:
            del self.policing, self.function, self.arguments
            del self

    def take_outcome(self) -> tuple[bool, Any]:
        """Return whether the function returned, and what it returned or raised; once."""
        assert self._outcome is not None
        outcome, self._outcome = self._outcome, None
        return outcome


async def _called(function: Callable[..., Any], arguments: list[Any]) -> Any:
    value = function(*arguments)
    return await value if inspect.isawaitable(value) else value


async def _called_in_thread(function: Callable[..., Any], arguments: list[Any]) -> Any:
    """Call a function in a thread of the event loop's; when cancelled wait until it has returned all the same."""
    context = copy_context()

    def call() -> tuple[bool, Any]:
        try:
            return True, context.run(function, *arguments)
        except BaseException as error:
            return False, error

    future = asyncio.get_running_loop().run_in_executor(None, call)
    cancelled: CancelledError | None = None
    value: Any = None
    try:
        while not future.done():
            try:
                await asyncio.shield(future)
            except CancelledError as error:
                cancelled = error
        ok, value = future.result()
        if cancelled is not None:
            if asyncio.iscoroutine(value):
                value.close()
            raise cancelled
        if not ok:
            raise value
        return await value if inspect.isawaitable(value) else value
    finally:
        del future, cancelled, value, call  # an exception refers to this frame


async def _attempts(
    name: Hashable,
    policy: RetryPolicy | None,
    seconds: float | None,
    threaded: bool,
    function: Callable[..., Any],
    arguments: list[Any],
) -> Any:
    loop = asyncio.get_running_loop()
    began = loop.time()
    made = 0
    while True:
        made += 1
        try:
            return await _attempt(name, seconds, threaded, function, arguments)
        except Exception as error:
            if policy is None or made >= policy.attempts or not policy.wants(error):
                raise
            delay = policy.delay_after(made)
            if policy.max_time is not None and loop.time() + delay - began > policy.max_time:
                raise
        await asyncio.sleep(delay)


async def _attempt(
    name: Hashable, seconds: float | None, threaded: bool, function: Callable[..., Any], arguments: list[Any]
) -> Any:
    timer = asyncio.timeout(seconds)
    try:
        async with timer:
            if threaded:
                return await _called_in_thread(function, arguments)
            return await _called(function, arguments)
    except TimeoutError as error:
        if seconds is None or not timer.expired():
            raise
        raise TaskTimeout(name, seconds) from error.__cause__
    finally:
        del timer  # it refers to the task, and an exception to this frame
