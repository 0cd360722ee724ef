"""Policies: what is to happen when tasks fail, take long, or are too many; frozen records that say it."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from penstock.errors import Skip, close_matches

if TYPE_CHECKING:
    from penstock.report.models import ExecutionReport, TaskAttemptStatistics, TaskExecutionStatistics

__all__ = ["Observer", "Progress", "RetryPolicy", "RunOptions", "SchedulerOptions", "TaskOptions"]

logger = logging.getLogger("penstock")

FAILURE_POLICIES = ("stop", "continue")
PLACES = ("loop", "thread")
RUN_WHEN = ("succeeded", "finished")

#: Seconds of running bodies after which the event loop gets its turn.
TIME_SLICE = 0.005

#: A body that keeps the event loop for longer than these seconds is warned of.
SLOW = 1.0


def _chance() -> float:
    """Return a random number; unlike ``random.random`` itself, pickled without the state of the generator.

    Policies that were sent to several processes would draw the same numbers there, and the retries come back together.
    """
    return random.random()


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a failed task is tried again.

    Only an ``Exception`` is: a cancelled task, one that raises `Skip`, ``KeyboardInterrupt`` or ``SystemExit`` is not,
    and none once the run has been stopped.  While it waits, a task takes no place of `max_concurrency` or of a limit.

    Parameters
    ----------
    attempts
        How often the task is tried at most, the first time included.
    delay
        Seconds between the end of the first attempt and the start of the second.
    backoff
        What the delay is multiplied with after each further attempt; 1.0 keeps it as it is.
    max_delay
        The longest delay in seconds.
    jitter
        Wait a random time between zero and the delay instead ("full jitter"), so that tasks that failed together do
        not come back together.
    max_time
        Seconds from the start of the first attempt after which no further one begins.
    retry_on
        The exceptions worth another attempt: a class, a tuple of classes, or a function of the exception that says so.
    random
        Gives the random numbers, from 0.0 to 1.0, that jitter is made of.

    Raises
    ------
    TypeError, ValueError
        A value makes no sense.

    Examples
    --------
    >>> policy = RetryPolicy(attempts=4, delay=0.5, jitter=False)
    >>> [policy.delay_after(attempt) for attempt in (1, 2, 3)]
    [0.5, 1.0, 2.0]
    """

    attempts: int = 3
    delay: float = 0.0
    backoff: float = 2.0
    max_delay: float = 60.0
    jitter: bool = True
    max_time: float | None = None
    retry_on: type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], object] = Exception
    random: Callable[[], float] = field(default=_chance, repr=False, compare=False)

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "attempts", check_count("attempts", self.attempts, 1))
        check_seconds("delay", self.delay)
        check_seconds("max_delay", self.max_delay, infinite=True)
        check_number("backoff", self.backoff)
        if not 1.0 <= self.backoff < math.inf:
            raise ValueError(f"backoff is {self.backoff!r}; give a factor from 1.0 on")
        if self.max_time is not None:
            check_seconds("max_time", self.max_time)
            set_field(self, "max_time", float(self.max_time))
        for name in ("delay", "max_delay", "backoff"):
            set_field(self, name, float(getattr(self, name)))  # of any kind of number
        if not isinstance(self.jitter, bool):
            raise TypeError(f"jitter is {self.jitter!r}; give True or False")
        if not callable(self.random):
            raise TypeError(f"random is {self.random!r}; give a function that returns a number from 0.0 to 1.0")
        classes = self.retry_on if isinstance(self.retry_on, tuple) else (self.retry_on,)
        for item in classes:
            if isinstance(item, type) and issubclass(item, BaseException):
                continue
            if isinstance(self.retry_on, tuple) or isinstance(item, type) or not callable(item):
                raise TypeError(
                    f"retry_on has {item!r}; give an exception class, a tuple of them, or a function of the exception"
                )

    def delay_after(self, attempt: int) -> float:
        """Return the seconds to wait after this many failed attempts."""
        try:
            delay = min(self.max_delay, self.delay * self.backoff ** (attempt - 1))
        except OverflowError:
            delay = self.max_delay if self.delay else 0.0
        return delay * self._share() if self.jitter else delay

    def _share(self) -> float:
        try:
            return min(1.0, max(0.0, float(self.random())))
        except Exception:
            logger.exception("the random of a RetryPolicy raised; the whole delay is taken")
            return 1.0

    def wants(self, error: BaseException) -> bool:
        """Return True if this exception is worth another attempt."""
        if not isinstance(error, Exception) or isinstance(error, Skip):
            return False
        if isinstance(self.retry_on, (type, tuple)):
            return isinstance(error, self.retry_on)
        try:
            return bool(self.retry_on(error))
        except Exception:
            logger.exception("retry_on raised; the task is not tried again")
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """What is different for one task; None stands for what holds for the run.

    Parameters
    ----------
    retries
        The number of extra attempts, or a `RetryPolicy`.
    timeout
        Seconds for each attempt; ``math.inf`` for none, whatever holds for the run.
    priority
        Of the tasks that are ready, those with larger numbers start first; 0.0 is what all others have.
    sync_in
        ``"loop"`` or ``"thread"``: where a plain function is called.
    run_when
        ``"succeeded"``: start when all dependencies have succeeded.  ``"finished"``: start when all have ended, however
        they did, also when the run was stopped or cancelled: for cleaning up.
    uses
        The names of limits that the task counts for while it runs.

    Raises
    ------
    TypeError, ValueError
        A value makes no sense.
    """

    retries: int | RetryPolicy | None = None
    timeout: float | None = None
    priority: float | None = None
    sync_in: str | None = None
    run_when: str | None = None
    uses: Collection[str] = ()

    def __post_init__(self) -> None:
        retry_policy(self.retries)
        if self.timeout is not None:
            check_timeout("timeout", self.timeout)
        if self.priority is not None:
            check_number("priority", self.priority)
            if not math.isfinite(self.priority):
                raise ValueError(f"priority is {self.priority!r}; give a number")
        if self.sync_in is not None:
            check_choice("sync_in", self.sync_in, PLACES)
        if self.run_when is not None:
            check_choice("run_when", self.run_when, RUN_WHEN)
        if isinstance(self.uses, str):
            raise TypeError(f"uses is the text {self.uses!r}; put the name of the limit into a tuple")
        if not isinstance(self.uses, Iterable) or not all(isinstance(name, str) for name in self.uses):
            raise TypeError(f"uses is {self.uses!r}; give the names of limits")
        object.__setattr__(self, "uses", tuple(self.uses))


class Progress(Protocol):
    """What ``progress=`` takes: called from a timer, at most ten times a second, never per task."""

    def update(self, counts: dict[str, int]) -> None:
        """Show how many tasks there are in each state."""

    def close(self, report: ExecutionReport) -> None:
        """Show the end of the run."""


class Observer:
    """What ``observer=`` takes: it sees what happens and changes nothing.

    Each method gets what has happened since the last call, at the end of a time slice.  Methods that are not needed
    may be left out of an own class; an exception is logged, and the observer gets no further calls.
    """

    def on_start(self, names: list[Any]) -> None:
        """These tasks have started their first attempt."""

    def on_retry(self, attempts: list[TaskAttemptStatistics]) -> None:
        """These attempts have failed, and their tasks will be tried again."""

    def on_end(self, records: list[TaskExecutionStatistics]) -> None:
        """These tasks have ended or were skipped."""


class SchedulerOptions(TypedDict, total=False):
    """The options of a run that `DynamicScheduler` takes beside its own parameters."""

    max_concurrency: int | None
    failure_policy: str
    keep_results: str | Iterable[Hashable]
    pass_results: bool
    progress: bool | Progress | None
    time_slice: float
    retries: int | RetryPolicy | None
    task_timeout: float | None
    timeout: float | None
    sync_in: str
    stage_barriers: bool
    limits: Mapping[str, int] | None
    observer: Observer | None
    options: Mapping[Any, TaskOptions] | None
    slow_body: float | None


class RunOptions(SchedulerOptions, total=False):
    """The options of a run; see `ExecutionPlan.start`."""

    concurrency_context: AbstractAsyncContextManager[Any, Any] | None


KNOWN_OPTIONS = frozenset(SchedulerOptions.__annotations__) | frozenset(RunOptions.__annotations__)


# -- checks -------------------------------------------------------------------------------------------------


def check_known(options: Mapping[str, object]) -> None:
    """Raise TypeError for an option that there is not."""
    for name in options:
        if name not in KNOWN_OPTIONS:
            similar = close_matches(name, sorted(KNOWN_OPTIONS))
            hint = (
                f"did you mean {' or '.join(similar)}?" if similar else f"there are {', '.join(sorted(KNOWN_OPTIONS))}"
            )
            raise TypeError(f"there is no option {name!r}; {hint}")


def check_number(what: str, value: object) -> None:
    """Raise TypeError unless it is a real number."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"{what} is {value!r}; give a number")
    try:
        float(value)
    except OverflowError:
        raise ValueError(f"{what} has too many digits; give a number that a float can hold") from None


def check_seconds(what: str, value: float, *, infinite: bool = False) -> None:
    """Raise TypeError or ValueError unless these are seconds from 0 on."""
    check_number(what, value)
    if not 0.0 <= value < math.inf and not (infinite and value == math.inf):
        raise ValueError(f"{what} is {value!r}; give seconds from 0 on")


def check_timeout(what: str, value: float, instead: str = ", or None for no limit") -> None:
    """Raise TypeError or ValueError unless these are seconds above 0."""
    check_number(what, value)
    if not value > 0.0:
        raise ValueError(f"{what} is {value!r}; give seconds above 0{instead}")


def check_count(what: str, value: object, least: int) -> int:
    """Return an integer of any kind that is not below `least`.

    Raises
    ------
    TypeError, ValueError
        It is something else.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} is {value!r}; give an int from {least} on")
    number: int = value.__index__()
    if number < least:
        raise ValueError(f"{what} is {number}; give an int from {least} on")
    return number


def check_choice(what: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise ValueError unless it is one of the choices."""
    if not (isinstance(value, str) and value in choices):
        raise ValueError(f"{what} is {value!r}; give {' or '.join(repr(choice) for choice in choices)}")


def retry_policy(retries: int | RetryPolicy | None) -> RetryPolicy | None:
    """Return the policy that a number of extra attempts stands for; None for none.

    Raises
    ------
    TypeError, ValueError
        It is no number of attempts.
    """
    if retries is None or isinstance(retries, RetryPolicy):
        return retries
    number = check_count("retries", retries, 0)
    return RetryPolicy(attempts=number + 1) if number else None
