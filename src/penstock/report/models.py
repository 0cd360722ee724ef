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
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from penstock._core import STATE_NAMES, UNSET, RunState
from penstock._views import LazySequence, ResultsView
from penstock.errors import (
    DependencyFailureError,
    GraphError,
    RunFailed,
    Skip,
    TaskCancelledError,
    TaskNotFoundError,
    shown,
)

if TYPE_CHECKING:
    from os import PathLike

    from penstock._core import Task
    from penstock.plan import ExecutionPlan
    from penstock.policing import Note, PolicyFacts

__all__ = ["ExecutionReport", "TaskAttemptStatistics", "TaskExecutionStatistics", "TaskStageStatistics"]

_PENDING, _READY, _RUNNING, _COMPLETED, _FAILED, _CANCELLED, _SKIPPED, _DETACHED, _RETRYING = range(len(STATE_NAMES))

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
        ``completed``, ``failed``, ``cancelled``, ``skipped``, ``detached`` (a tail task, on its own from its start on);
        ``running`` or ``retrying`` in the report of a run that goes on.
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
    """What became of one stage of the plan, of which at least one body started.

    Attributes
    ----------
    stage_id : int
    stage_name : str
    start_time, end_time : float or None
        When its first body started and its last one ended, in epoch seconds; None if none has ended.
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
    policies: PolicyFacts | None = None
    #: Why nothing was run at all.
    refusal: str | None = None

    def frozen(self) -> RunFacts:
        """Return what is known now, for the report of a run that goes on."""
        return replace(
            self,
            results=list(self.results),
            exceptions=dict(self.exceptions),
            failures=list(self.failures),
            missing=list(self.missing),
            policies=None if self.policies is None else self.policies.frozen(),
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
    stage_statistics : sequence of TaskStageStatistics
        One record per stage of which a body started.
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
    def detached_tasks(self) -> int:
        """The number of tail tasks that were started; what became of them, `tail_tasks` tells."""
        return self._core.tally()[_DETACHED]

    @property
    def tail_tasks(self) -> Mapping[Any, Task[Any]]:
        """The live task of each tail task that was started, by name."""
        return MappingProxyType({} if self._facts.policies is None else self._facts.policies.tail_tasks)

    @property
    def original_tasks(self) -> Mapping[Any, list[Any]]:
        """The names of the dependencies of each task, by name."""
        graph = self._plan._compiled.graph
        return ResultsView(
            self._names,
            graph.find,
            lambda task: [self._names[other] for other in graph.predecessors_of(task)],
            lambda task: True,
        )

    @property
    def execution_state(self) -> str:
        """How the run ended."""
        if self._facts.ended is None:
            return "running"
        if self._facts.forced_state is not None:
            return self._facts.forced_state
        policies = self._facts.policies
        if self.failed_tasks or self._facts.missing or (policies is not None and policies.timed_out is not None):
            return "failed"
        # A body that raised CancelledError: nothing failed, but not everything was done either.  What a body itself
        # declared as not to be done, with `Skip`, is another matter.
        return "cancelled" if self.cancelled_tasks else "completed"

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
        return 0.0 if self._facts.refusal is not None else self._plan.planning_duration

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
        if facts.refusal is not None:
            return [facts.refusal]
        lines = [f"Execution failed: {TaskNotFoundError(name)}" for name in facts.missing[:MAX_MISSING]]
        if len(facts.missing) > MAX_MISSING:
            lines.append(f"Execution failed: {len(facts.missing) - MAX_MISSING:,} more tasks have no function.")
        notes = [] if facts.policies is None else facts.policies.notes
        seen = 0
        for number, position in enumerate(facts.failures):
            task = self._order[position]
            name, text = shown(self._names[task]), text_of(facts.exceptions[position])
            if number == 0 and facts.stop_on_failure and name:
                lines.insert(0, f"Execution interrupted; task '{name}' failed: {text}")
            while seen < len(notes) and notes[seen].n_failed <= number:
                lines.append(self._noted(notes[seen]))
                seen += 1
            if self._plan._compiled.successors_of(task):
                lines.append(f"Task '{name}' failed during execution: {text}")
            else:
                lines.append(f"Final task '{name}' failed: {text}")
        return lines + [self._noted(note) for note in notes[seen:]]

    def _noted(self, note: Note) -> str:
        """Return the line of the summary for what the policies did."""
        assert self._facts.policies is not None
        if note.error is None:
            return f"Run timed out after {self._facts.policies.timed_out:g} s"
        name, text = shown(self._names[self._order[note.position]]), text_of(note.error)
        retries = self._facts.policies.retries_of(note.position)
        left = retries + 1 - note.attempt
        if left:
            return (
                f"Task '{name}' attempt {note.attempt}/{retries + 1} failed; retrying with {left} retries left: {text}"
            )
        return f"Task '{name}' exhausted {retries} retries after {note.attempt} attempts: {text}"

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
        """One record per stage of which a body started; made when looked at."""
        if self.successful_tasks == self.total_tasks:
            return LazySequence(self.total_stages, self._stage_record, "record")
        begun = [stage for stage in range(self.total_stages) if self._has_begun(stage)]
        return LazySequence(len(begun), lambda i: self._stage_record(begun[i]), "record")

    def _has_begun(self, stage: int) -> bool:
        starts = self._plan._compiled.stage_starts
        return any((start := self._start(p)) == start for p in range(starts[stage], starts[stage + 1]))  # not NaN

    def _stage_record(self, number: int) -> TaskStageStatistics:
        stage = self._plan.stages[number]
        starts, ends = self._plan._compiled.stage_starts, self._ends
        positions = range(starts[number], starts[number + 1])
        begun = [start for p in positions if (start := self._start(p)) == start]
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
        start, end = self._start(position), self._ends[position]
        has_start, has_end = start == start, end == end  # NaN for never
        if not has_start:
            duration = 0.0
        else:
            duration = (end if has_end else self._end) - start
        error = self._error(task, state)
        message = None if error is None else self._message(error, position)
        attempts = self.attempts_at(position)
        policies = self._facts.policies
        to_epoch = self._facts.to_epoch
        return TaskExecutionStatistics(
            task_name=self._names[task],
            stage_id=self._stage_of[task],
            start_time=to_epoch(start) if has_start else None,
            end_time=to_epoch(end) if has_end else None,
            duration=duration,
            status=STATE_NAMES[state],
            error_message=message,
            retry=0 if policies is None else policies.retries_of(position),
            attempt_count=len(attempts) + (state == _RUNNING),
            attempt_statistics=attempts,
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

    def _start(self, position: int) -> float:
        """When the first attempt began, in the run's clock; NaN for never."""
        policies = self._facts.policies
        if policies is not None and (earlier := policies.attempts.get(position)):
            return earlier[0].start
        return self._starts[position]

    def _message(self, error: BaseException, position: int) -> str:
        facts = self._facts
        if self._states[position] != _CANCELLED:
            return text_of(error)
        timed_out = facts.policies is not None and facts.policies.timed_out is not None
        if facts.failures and facts.stop_on_failure:
            text = "Task cancelled due to previous failure"
        elif timed_out:
            text = "Task cancelled because the run timed out"
        else:
            text = text_of(error)
        if facts.policies is not None and position in facts.policies.ran_on:
            text += "; it was called in a thread, which cannot be interrupted, and ran on to its end"
        return text

    def attempts_at(self, position: int) -> list[TaskAttemptStatistics]:
        """Return the finished attempts of the task at one position of the plan."""
        state, policies = self._states[position], self._facts.policies
        start, end = self._starts[position], self._ends[position]
        found: list[TaskAttemptStatistics] = []
        if policies is not None:
            if position in policies.untried:
                return found
            found += [
                self.failed_attempt_at(position, number + 1)
                for number in range(len(policies.attempts.get(position, ())))
            ]
            if position in policies.dropped:
                found[-1] = replace(found[-1], will_retry=False)
                return found
        if start == start and end == end and state != _DETACHED:  # NaN: never
            error = self._facts.exceptions.get(position) if state in (_FAILED, _CANCELLED, _SKIPPED) else None
            message = None if error is None else self._message(error, position)
            found.append(self._attempt(position, len(found) + 1, start, end, STATE_NAMES[state], message, False))
        return found

    def failed_attempt_at(self, position: int, number: int) -> TaskAttemptStatistics:
        """Return one attempt, counted from 1, that was followed by another."""
        assert self._facts.policies is not None
        made = self._facts.policies.attempts[position][number - 1]
        return self._attempt(position, number, made.start, made.end, "failed", text_of(made.error), True)

    def _attempt(
        self, position: int, number: int, start: float, end: float, status: str, message: str | None, again: bool
    ) -> TaskAttemptStatistics:
        policies, to_epoch = self._facts.policies, self._facts.to_epoch
        retries = 0 if policies is None else policies.retries_of(position)
        name = self._names[self._order[position]]
        return TaskAttemptStatistics(
            name, number, retries, to_epoch(start), to_epoch(end), end - start, status, message, again
        )

    # -- causes ---------------------------------------------------------------------------------------------

    def _error(self, task: int, state: int) -> BaseException | None:
        if state in (_FAILED, _CANCELLED):
            return self._facts.exceptions.get(self._position[task])
        if state == _SKIPPED:
            own = self._facts.exceptions.get(self._position[task])
            return own if isinstance(own, Skip) else self._skipped(task)
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
            if self._state_of(other) in (_FAILED, _CANCELLED, _SKIPPED)
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
        if facts.policies is not None and facts.policies.timed_out is not None:
            return DependencyFailureError(f"Never started: the run timed out after {facts.policies.timed_out:g} s")
        return DependencyFailureError("Never started: the run was cancelled")

    # -- questions ------------------------------------------------------------------------------------------

    def get_task_statistics_by_stage(self, stage_id: int) -> list[TaskExecutionStatistics]:
        """Return the records of the tasks planned for one stage."""
        if not 0 <= stage_id < self.total_stages:
            return []
        return [self._record(task) for task in self._plan._compiled.stage_members(stage_id)]

    def get_longest_task(self) -> TaskExecutionStatistics | None:
        """Return the record with the largest duration, None if no task ran."""
        durations = self._durations(-1.0)
        longest = max(range(len(durations)), key=durations.__getitem__, default=-1)
        return None if longest < 0 or durations[longest] < 0.0 else self._record(longest)

    def get_average_task_duration(self) -> float:
        """Return the mean duration in seconds of the tasks that ran, tail tasks excepted; 0.0 if none did."""
        ran = [seconds for seconds in self._durations(-1.0) if seconds >= 0.0]
        return sum(ran) / len(ran) if ran else 0.0

    def _durations(self, never: float = 0.0) -> list[float]:
        """Seconds by task number; `never` for those that have not started, not ended, or left the run."""
        starts: memoryview[float] | array.array[float] = self._starts
        ends = self._ends
        if self._facts.policies is not None:
            starts = array.array("d", starts)
            for position, earlier in self._facts.policies.attempts.items():
                starts[position] = earlier[0].start
        # NaN compares as unequal to itself: a task without a start or an end.
        seconds = (ends[position] - starts[position] for position in self._position)
        durations = [passed if passed == passed else never for passed in seconds]
        for name in self.tail_tasks:
            if self._state_of(task := self._plan._compiled.graph.find(name)) == _DETACHED:
                durations[task] = never
        return durations

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
        if not members and self._facts.refusal is not None:
            members = [GraphError(self._facts.refusal)]
        if not members:
            members = [self._skipped_by_stop()]
        raise RunFailed(self._why(), members, self)

    def _why(self) -> str:
        if self._facts.refusal is not None:
            return "the graph could not be planned"
        text = f"{self.failed_tasks:,} of {self.total_tasks:,} tasks failed"
        if self._facts.forced_state == "cancelled":
            return f"the run was cancelled; {text}" if self.failed_tasks else "the run was cancelled"
        if not self.failed_tasks and self.cancelled_tasks:
            return f"{self.cancelled_tasks:,} of {self.total_tasks:,} tasks were cancelled"
        if self._facts.policies is not None and self._facts.policies.timed_out is not None:
            text += f", and the run timed out after {self._facts.policies.timed_out:g} s"
        return text

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


def report_of_refusal(nothing: ExecutionPlan, why: str) -> ExecutionReport:
    """Return the report of a run that never began, because its graph could not be planned."""
    now = time.monotonic()
    facts = RunFacts([], {}, [], [], True, "failed", time.time(), now, now, refusal=why)
    return ExecutionReport(nothing, RunState(nothing._compiled), facts)


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
