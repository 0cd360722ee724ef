"""The report of a run: columns of the core, looked at as records.

Nothing is copied when a report is made.  A record exists while somebody looks at it; totals, critical path and
exports are worked out from the columns when they are asked for.
"""

from __future__ import annotations

import array
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from penstock._core import STATE_NAMES, UNSET, RunState
from penstock._views import LazySequence, ResultsView
from penstock.errors import DependencyFailureError, RunFailed, TaskCancelledError, TaskNotFoundError, shown

if TYPE_CHECKING:
    from os import PathLike

    from penstock.plan import ExecutionPlan

__all__ = ["ExecutionReport", "TaskAttemptStatistics", "TaskExecutionStatistics", "TaskStageStatistics"]

_PENDING, _READY, _RUNNING, _COMPLETED, _FAILED, _CANCELLED, _SKIPPED = range(len(STATE_NAMES))

_STARTED = (_RUNNING, _COMPLETED, _FAILED, _CANCELLED)

#: So many missing functions get a line of their own in `error_summary`.
MAX_MISSING = 20


@dataclass(frozen=True, slots=True)
class TaskAttemptStatistics:
    """One try of a task.  Times are epoch seconds, the duration is seconds on the monotonic clock."""

    task_name: Any
    attempt_number: int
    max_retries: int
    start_time: float
    end_time: float
    duration: float
    status: str
    error_message: str | None = None
    will_retry: bool = False


@dataclass(frozen=True, slots=True)
class TaskExecutionStatistics:
    """What became of one task.

    Attributes
    ----------
    task_name : hashable
    stage_id : int
        The planned stage.
    start_time, end_time : float or None
        When the body started and ended, in epoch seconds; None if it did not.
    duration : float
        Seconds from start to end on the monotonic clock; 0.0 if the task never started.
    status : str
        ``completed``, ``failed``, ``cancelled``, ``skipped``; ``running`` in the report of a run that goes on.
    error_message : str or None
        The text of the exception, or its class where it has none.
    retry : int
        The number of extra attempts allowed.
    attempt_count : int
        The number of attempts made.
    attempt_statistics : list of TaskAttemptStatistics
        Every attempt.
    queued : float or None
        Seconds between the end of the last dependency (the start of the run for a source) and the start.
    exception : BaseException or None
        What the body raised, the very object; for a skipped task a `DependencyFailureError` of its own.
    """

    task_name: Any
    stage_id: int
    start_time: float | None
    end_time: float | None
    duration: float
    status: str
    error_message: str | None = None
    retry: int = 0
    attempt_count: int = 0
    attempt_statistics: list[TaskAttemptStatistics] = field(default_factory=list)
    queued: float | None = None
    exception: BaseException | None = None


@dataclass(frozen=True, slots=True)
class TaskStageStatistics:
    """What became of one stage of the plan.

    Attributes
    ----------
    stage_id : int
    stage_name : str
    start_time, end_time : float or None
        When its first body started and its last one ended, in epoch seconds; None if none did.
    duration : float
        Seconds in between.
    parallel_task_count, wait_task_count : int
    parallel_tasks, wait_tasks : list
        As planned.
    """

    stage_id: int
    stage_name: str
    start_time: float | None
    end_time: float | None
    duration: float
    parallel_task_count: int
    wait_task_count: int
    parallel_tasks: list[Any]
    wait_tasks: list[Any]


@dataclass(slots=True)
class RunFacts:
    """What a run knows beside the core's columns.  Results, exceptions and failures are by position in the plan."""

    results: list[Any]
    exceptions: dict[int, BaseException]
    failures: list[int]
    missing: list[Hashable]
    stop_on_failure: bool
    forced_state: str | None
    epoch: float
    started: float
    ended: float | None

    def frozen(self) -> RunFacts:
        """Return what is known now, for the report of a run that goes on."""
        return replace(
            self,
            results=list(self.results),
            exceptions=dict(self.exceptions),
            failures=list(self.failures),
            missing=list(self.missing),
        )

    def to_epoch(self, monotonic: float) -> float:
        """Translate a time of the run's clock.  Adding one constant keeps the order of any two times."""
        return self.epoch + (monotonic - self.started)


def text_of(error: BaseException) -> str:
    """Return an exception's text; its class where it has none or its ``__str__`` raises."""
    try:
        text = str(error)
    except Exception:
        text = ""
    return text or type(error).__name__


class ExecutionReport:
    """Everything about one run.

    Attributes
    ----------
    task_statistics : sequence of TaskExecutionStatistics
        One record per task in the order the tasks were added, made when looked at.
    results : mapping
        Result by task name, for the tasks that completed; `task_return_set` is the same.
    execution_state : str
        ``completed`` (every task did), ``failed`` (a task did), ``cancelled``; ``running`` while the run goes on.
    error_summary : list of str
        One line per failure, in the order they happened; first of all what stopped the run.
    total_start_time, total_end_time : float
        Start and end of the run, epoch seconds.
    total_duration, execution_duration, planning_duration : float
        Seconds.
    """

    def __init__(self, plan: ExecutionPlan, core: RunState, facts: RunFacts) -> None:
        self._plan = plan
        self._core = core
        self._facts = facts

    # Views of columns, made when the first question is asked: a service may never ask one.

    @cached_property
    def _names(self) -> Sequence[Any]:
        return self._plan.names

    @cached_property
    def _order(self) -> memoryview:
        return self._plan.order

    @cached_property
    def _position(self) -> memoryview:
        return self._plan._compiled.position

    @cached_property
    def _states(self) -> memoryview:
        return self._core.states

    @cached_property
    def _starts(self) -> memoryview[float]:
        return self._core.start_times

    @cached_property
    def _ends(self) -> memoryview[float]:
        return self._core.end_times

    def __repr__(self) -> str:
        return f"<ExecutionReport: {self.execution_state}, {self.successful_tasks:,} of {self.total_tasks:,} tasks>"

    # -- totals ---------------------------------------------------------------------------------------------

    @property
    def total_tasks(self) -> int:
        """The number of tasks in the graph."""
        return self._plan.total_tasks

    @property
    def total_stages(self) -> int:
        """The number of stages in the plan."""
        return self._plan.depth

    @property
    def max_parallelism(self) -> int:
        """The plan's `max_parallelism`."""
        return self._plan.max_parallelism

    @property
    def successful_tasks(self) -> int:
        """The number of completed tasks."""
        return self._core.tally()[_COMPLETED]

    @property
    def failed_tasks(self) -> int:
        """The number of failed tasks."""
        return self._core.tally()[_FAILED]

    @property
    def cancelled_tasks(self) -> int:
        """The number of cancelled tasks."""
        return self._core.tally()[_CANCELLED]

    @property
    def skipped_tasks(self) -> int:
        """The number of tasks that were never started."""
        return self._core.tally()[_SKIPPED]

    @property
    def execution_state(self) -> str:
        """How the run ended."""
        if self._facts.ended is None:
            return "running"
        if self._facts.forced_state is not None:
            return self._facts.forced_state
        if self.failed_tasks or self._facts.missing:
            return "failed"
        # A body that raised CancelledError: nothing failed, but not everything was done either.
        return "completed" if self.successful_tasks == self.total_tasks else "cancelled"

    @property
    def total_start_time(self) -> float:
        """When the run started, in epoch seconds."""
        return self._facts.epoch

    @property
    def total_end_time(self) -> float:
        """When the run ended, in epoch seconds; now, while it goes on."""
        return self._facts.to_epoch(self._end)

    @property
    def _end(self) -> float:
        return time.monotonic() if self._facts.ended is None else self._facts.ended

    @property
    def planning_duration(self) -> float:
        """Seconds that planning took; a plan that is run again is not planned again."""
        return self._plan.planning_duration

    @property
    def execution_duration(self) -> float:
        """Seconds from the start of the run to its end."""
        return self._end - self._facts.started

    @property
    def total_duration(self) -> float:
        """The sum of `planning_duration` and `execution_duration`."""
        return self.planning_duration + self.execution_duration

    @property
    def error_summary(self) -> list[str]:
        """One line per failure, in the order they happened; first what stopped the run."""
        facts = self._facts
        lines = [f"Execution failed: {TaskNotFoundError(name)}" for name in facts.missing[:MAX_MISSING]]
        if len(facts.missing) > MAX_MISSING:
            lines.append(f"Execution failed: {len(facts.missing) - MAX_MISSING:,} more tasks have no function.")
        for number, position in enumerate(facts.failures):
            task = self._order[position]
            name, text = shown(self._names[task]), text_of(facts.exceptions[position])
            if number == 0 and facts.stop_on_failure:
                lines.append(f"Execution interrupted; task '{name}' failed: {text}")
            if self._plan._compiled.successors_of(task):
                lines.append(f"Task '{name}' failed during execution: {text}")
            else:
                lines.append(f"Final task '{name}' failed: {text}")
        return lines

    # -- tasks ----------------------------------------------------------------------------------------------

    @property
    def task_statistics(self) -> Sequence[TaskExecutionStatistics]:
        """One record per task, in the order the tasks were added; made when looked at."""
        if self._facts.ended is None:
            # Of a run that goes on: the tasks that have started or ended.
            shown_tasks = [t for t in range(self.total_tasks) if self._state_of(t) >= _RUNNING]
            return LazySequence(len(shown_tasks), lambda i: self._record(shown_tasks[i]), "record")
        return LazySequence(self.total_tasks, self._record, "record")

    @property
    def stage_statistics(self) -> Sequence[TaskStageStatistics]:
        """One record per stage of the plan; made when looked at."""
        return LazySequence(self.total_stages, self._stage_record, "record")

    def _stage_record(self, number: int) -> TaskStageStatistics:
        stage = self._plan.stages[number]
        starts, ends = self._plan._compiled.stage_starts, self._ends
        positions = range(starts[number], starts[number + 1])
        begun = [self._starts[p] for p in positions if self._states[p] in _STARTED]
        over = [ends[p] for p in positions if ends[p] == ends[p]]  # NaN: never
        return TaskStageStatistics(
            stage_id=number,
            stage_name=f"Stage_{number}",
            start_time=self._facts.to_epoch(min(begun)) if begun else None,
            end_time=self._facts.to_epoch(max(over)) if over else None,
            duration=max(over) - min(begun) if over else 0.0,
            parallel_task_count=len(stage.parallel_tasks),
            wait_task_count=len(stage.wait_for_tasks),
            parallel_tasks=stage.parallel_tasks,
            wait_tasks=stage.wait_for_tasks,
        )

    def record_of(self, name: Hashable) -> TaskExecutionStatistics:
        """Return the record of one task.

        Raises
        ------
        KeyError
            No task has this name.
        """
        task = self._plan._compiled.graph.find(name)
        if task < 0:
            raise KeyError(name)
        return self._record(task)

    def record_at(self, position: int) -> TaskExecutionStatistics:
        """Return the record of the task at one position of the plan."""
        return self._record(self._order[position])

    @property
    def completion_order(self) -> list[Any]:
        """The names of the tasks in the order they ended or were skipped."""
        return [self._names[self._order[position]] for position in self._core.completion_order]

    @property
    def results(self) -> Mapping[Any, Any]:
        """Result by task name, for the tasks that completed."""
        values, position = self._facts.results, self._position
        return ResultsView(
            self._names,
            self._plan._compiled.graph.find,
            lambda task: values[position[task]],
            lambda task: values[position[task]] is not UNSET,
        )

    @property
    def task_return_set(self) -> Mapping[Any, Any]:
        """The same as `results`."""
        return self.results

    def _state_of(self, task: int) -> int:
        return self._states[self._position[task]]

    def _record(self, task: int) -> TaskExecutionStatistics:
        position = self._position[task]
        state = self._states[position]
        start, end = self._starts[position], self._ends[position]
        has_start, has_end = start == start, end == end  # NaN for never
        if not has_start:
            duration = 0.0
        else:
            duration = (end if has_end else self._end) - start
        error = self._error(task, state)
        # A task that was skipped was not tried.
        attempts = 1 if has_start else 0
        to_epoch = self._facts.to_epoch
        return TaskExecutionStatistics(
            task_name=self._names[task],
            stage_id=self._stage_of[task],
            start_time=to_epoch(start) if has_start else None,
            end_time=to_epoch(end) if has_end else None,
            duration=duration,
            status=STATE_NAMES[state],
            error_message=None if error is None else self._message(error, state),
            attempt_count=attempts,
            attempt_statistics=self._attempts(task, state, start, end, error) if has_start and has_end else [],
            queued=start - self._ready_at(task) if has_start else None,
            exception=error,
        )

    @cached_property
    def _stage_of(self) -> memoryview:
        return self._plan.stage_of

    def _ready_at(self, task: int) -> float:
        """When the last dependency ended, in the run's clock."""
        dependencies = self._plan._compiled.graph.predecessors_of(task)
        return max((self._ends[self._position[other]] for other in dependencies), default=self._facts.started)

    def _message(self, error: BaseException, state: int) -> str:
        if state == _CANCELLED and self._facts.failures and self._facts.stop_on_failure:
            return "Task cancelled due to previous failure"
        return text_of(error)

    def _attempts(
        self, task: int, state: int, start: float, end: float, error: BaseException | None
    ) -> list[TaskAttemptStatistics]:
        message = None if error is None else self._message(error, state)
        to_epoch = self._facts.to_epoch
        return [
            TaskAttemptStatistics(
                self._names[task], 1, 0, to_epoch(start), to_epoch(end), end - start, STATE_NAMES[state], message
            )
        ]

    # -- causes ---------------------------------------------------------------------------------------------

    def _error(self, task: int, state: int) -> BaseException | None:
        if state in (_FAILED, _CANCELLED):
            return self._facts.exceptions.get(self._position[task])
        if state == _SKIPPED:
            return self._skipped(task)
        return None

    def _skipped(self, task: int) -> DependencyFailureError:
        """Say why a task was never started."""
        order, names, core = self._order, self._names, self._core
        position = self._position[task]
        top = self._root_of(position)
        if top == position:
            return self._skipped_by_stop()
        first = order[top]
        root = self._facts.exceptions.get(top)
        state = STATE_NAMES[self._states[top]]
        failed = [
            names[other]
            for other in self._plan._compiled.graph.predecessors_of(task)
            if self._state_of(other) >= _FAILED
        ]
        detail = "" if root is None else f": {type(root).__name__}: {text_of(root)}"
        error = DependencyFailureError(
            f"Task '{shown(names[task])}' was skipped, because task '{shown(names[first])}' {_was(state)}{detail}",
            failed,
            root,
        )
        error.root_name = names[first]
        error._upwards = lambda: (names[order[at]] for at in _upwards(core, position))
        return error

    def _root_of(self, position: int) -> int:
        """Return the position of the task because of which one was skipped; its own if there is none.

        What is found is kept for all on the way, so that asking for every task of a chain takes one walk.
        """
        roots = self._roots
        way = []
        while roots[position] < 0 and (cause := self._core.cause_of(position)) >= 0:
            way.append(position)
            position = cause
        root = position if roots[position] < 0 else roots[position]
        for passed in way:
            roots[passed] = root
        return root

    @cached_property
    def _roots(self) -> array.array[int]:
        return array.array("i", [-1]) * self.total_tasks

    def _skipped_by_stop(self) -> DependencyFailureError:
        facts = self._facts
        if facts.failures:
            first = facts.failures[0]
            name = shown(self._names[self._order[first]])
            return DependencyFailureError(
                f"Never started: the run was stopped when task '{name}' failed", root_cause=facts.exceptions[first]
            )
        if facts.missing:
            return DependencyFailureError("Never started: the run has tasks without a function")
        return DependencyFailureError("Never started: the run was cancelled")

    # -- questions ------------------------------------------------------------------------------------------

    def get_task_statistics_by_stage(self, stage_id: int) -> list[TaskExecutionStatistics]:
        """Return the records of the tasks planned for one stage."""
        if not 0 <= stage_id < self.total_stages:
            return []
        return [self._record(task) for task in self._plan._compiled.stage_members(stage_id)]

    def get_longest_task(self) -> TaskExecutionStatistics | None:
        """Return the record with the largest duration, None for an empty graph."""
        durations = self._durations()
        if not durations:
            return None
        return self._record(max(range(len(durations)), key=durations.__getitem__))

    def get_average_task_duration(self) -> float:
        """Return the mean duration in seconds of the tasks that ran, 0.0 if none did."""
        ran = self._core.tally()[_COMPLETED] + self.failed_tasks + self.cancelled_tasks
        return sum(self._durations()) / ran if ran else 0.0

    def _durations(self) -> list[float]:
        """Seconds by task number; 0.0 for those that have not ended."""
        starts, ends = self._starts, self._ends
        # NaN compares as unequal to itself: a task without an end counts nothing.
        return [
            ends[position] - starts[position] if ends[position] == ends[position] else 0.0
            for position in self._position
        ]

    def critical_path(self) -> tuple[tuple[Any, ...], float]:
        """Return the names along the path that took longest by measured durations, and its seconds."""
        return self._plan.critical_path(self._durations())

    def raise_for_failure(self) -> None:
        """Raise `RunFailed` with the tasks' original exceptions, unless every task completed.

        Raises
        ------
        RunFailed
            Its members are the exceptions of the failed tasks in the order they failed; cancelled tasks take part
            as `TaskCancelledError`.
        """
        if self.execution_state in ("completed", "running"):
            return
        members: list[Exception] = []
        for position in self._facts.failures:
            error = self._facts.exceptions[position]
            members.append(error if isinstance(error, Exception) else _wrapped(error))
        if not members:
            members = [TaskNotFoundError(name) for name in self._facts.missing]
        if not members:
            members = [
                TaskCancelledError(self._names[task])
                for task in range(self.total_tasks)
                if self._state_of(task) == _CANCELLED
            ]
        if not members:
            members = [self._skipped_by_stop()]
        raise RunFailed(f"{self.failed_tasks:,} of {self.total_tasks:,} tasks failed", members, self)

    # -- exports --------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return the whole report, results left out, as plain values that JSON can hold.

        Names that are neither text nor int are given as their ``repr``.  Of the path to a skipped task that is longer
        than 20 names there are the first one, None, and the last 19.
        """
        from penstock.report.export import to_dict

        return to_dict(self)

    def to_json(self, path: str | PathLike[str] | None = None) -> str | None:
        """Return the report as JSON text, or write it to a file.

        The file is written beside its place and then moved there, so it is never half there.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        from penstock.report.export import to_json

        return to_json(self, path)

    def summary(self) -> str:
        """Return a page of text: state, counts, times, the slowest tasks and the failures."""
        from penstock.report.export import summary

        return summary(self)

    def skipped_by_root(self) -> list[tuple[Any, int]]:
        """Return the tasks because of which others were skipped, with how many, the largest number first."""
        states, core, order = self._states, self._core, self._order
        root: dict[int, int] = {}
        tally: dict[int, int] = {}
        # In the order of skipping a cause stands before its consequences, so one look up each is enough.
        for position in core.completion_order:
            if states[position] == _SKIPPED and (cause := core.cause_of(position)) >= 0:
                root[position] = root.get(cause, cause)
                tally[root[position]] = tally.get(root[position], 0) + 1
        counts = sorted(tally.items(), key=lambda item: -item[1])
        return [(self._names[order[position]], count) for position, count in counts]

    def failures(self) -> Iterator[TaskExecutionStatistics]:
        """Yield the records of the failed tasks, in the order they failed."""
        return (self.record_at(position) for position in self._facts.failures)


def _upwards(core: RunState, position: int) -> Iterator[int]:
    """Yield the positions from a skipped task up to the one because of which it was skipped."""
    while position >= 0:
        yield position
        position = core.cause_of(position)


def _was(state: str) -> str:
    return "failed" if state == "failed" else f"was {state}"


def _wrapped(error: BaseException) -> Exception:
    """Return an Exception for a BaseException, which cannot be a member of an ExceptionGroup."""
    wrapped = RuntimeError(f"{type(error).__name__}: {text_of(error)}")
    wrapped.__cause__ = error
    return wrapped
