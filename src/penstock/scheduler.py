"""DynamicScheduler: tasks as pairs of names and functions, their order as `TaskOrder` objects.

Thin on purpose: it turns its arguments into a graph, a plan and a run, and looks at that run when it is asked for
progress.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from enum import StrEnum
from typing import Any, Unpack, cast

from penstock._core import STATE_NAMES
from penstock.errors import InvalidStateError
from penstock.execution import Run, create_run, run_on_own_loop
from penstock.graph import TaskGraph, TaskOrder
from penstock.plan import ExecutionPlan, ExecutionPlanner
from penstock.policies import RetryPolicy, RunOptions, SchedulerOptions, TaskOptions
from penstock.report.models import ExecutionReport, report_of_refusal
from penstock.settings import Settings, settled

__all__ = ["DynamicScheduler", "ExecutionState", "StageStatus"]

_PENDING, _READY, _RUNNING, _COMPLETED, _FAILED, _CANCELLED, _SKIPPED, _DETACHED, _RETRYING = range(len(STATE_NAMES))

#: States of a task that was begun.
_BEGUN = (_RUNNING, _COMPLETED, _FAILED, _CANCELLED, _DETACHED, _RETRYING)

#: States of a task that will not change any more.
_ENDED = range(_COMPLETED, _DETACHED + 1)


class ExecutionState(StrEnum):
    """Where a scheduler is: what it was asked last, and how that ended."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    PLANNING = "planning"
    FAILED = "failed"
    CANCELLED = "cancelled"
    NONE = "none"


class StageStatus(StrEnum):
    """Where the current stage is."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DynamicScheduler:
    """Runs named functions in the order that `TaskOrder` objects prescribe.

    Parameters
    ----------
    tasks
        Pairs of a name and a function without arguments.  A coroutine that a function returns is awaited.
    task_order
        One `TaskOrder` for each task of the graph; functions of other names are ignored.
    task_data_refs
        Declarations of values that move along the edges.
    has_data_path, silence
        Stored, and without effect.
    ignore_tail_task
        Names of tasks that are started and not awaited: ``report.tail_tasks`` has their live tasks.
    concurrency_context
        An async context manager that is entered around each task, such as ``asyncio.Semaphore(8)``.
    task_retries
        The number of extra attempts, by name.
    **options
        Those of `ExecutionPlan.start`.

    Attributes
    ----------
    execution_state : ExecutionState
    current_stage : int
        The lowest stage with unfinished tasks; -1 before there is one.
    stage_status : StageStatus or None
        That stage's.
    task_return_set : mapping
        The results so far, by name.
    last_report : ExecutionReport or None
        The report of the latest execution, also while it goes on and when it was cancelled.

    Raises
    ------
    TypeError
        Something in `tasks` cannot be run, all of it in one message; or an option makes no sense.

    Notes
    -----
    One scheduler may be executed any number of times, also at the same time; each execution owns its state, and the
    attributes describe the one that was begun last.
    """

    def __init__(
        self,
        tasks: list[tuple[str, Callable[[], Any]]] | None,
        task_order: list[TaskOrder] | None,
        task_data_refs: Mapping[str, Any] | None = None,
        has_data_path: bool = False,
        ignore_tail_task: Iterable[str] | None = None,
        concurrency_context: AbstractAsyncContextManager[Any, Any] | None = None,
        *,
        task_retries: Mapping[str, int] | None = None,
        silence: bool = True,
        **options: Unpack[SchedulerOptions],
    ) -> None:
        self.tasks = _listed("tasks", tasks, "pairs of a name and a function")
        self.task_order = _listed("task_order", task_order, "TaskOrder objects")
        self.task_data_refs = {} if task_data_refs is None else task_data_refs
        self.has_data_path = has_data_path
        self.ignore_tail_task = _listed("ignore_tail_task", ignore_tail_task, "names of tasks")
        self.concurrency_context = concurrency_context
        self.task_retries = {} if task_retries is None else task_retries
        if not isinstance(self.task_retries, Mapping):
            raise TypeError(f"task_retries is {task_retries!r}; give a mapping of names to numbers of extra attempts")
        self.silence = silence
        self._options = cast("RunOptions", options)
        kept = self._options.get("keep_results", "all")
        if isinstance(kept, Iterator):
            self._options["keep_results"] = list(kept)  # read by every execution
        self._functions = _functions(self.tasks)
        self._planning = False
        self._refusal: ExecutionReport | None = None
        self._run: Run | None = None
        #: The stage that was the lowest when it was last asked for, of which run, and whether that had ended.
        self._lowest: tuple[Run, bool, int] | None = None
        _check_options(self._options)

    def __repr__(self) -> str:
        return f"<DynamicScheduler of {len(self.tasks):,} tasks: {self.execution_state}>"

    # -- planning -------------------------------------------------------------------------------------------

    def detect_cycle(self) -> None:
        """Raise `TaskOrderLoopError` if there is a dependency cycle."""
        ExecutionPlanner(self.task_order).detect_cycle()

    def get_execute_timeline(self) -> ExecutionPlan:
        """Return the plan.

        Raises
        ------
        GraphError
            The graph cannot be planned.
        """
        return ExecutionPlanner(self.task_order).get_execute_timeline()

    def find_task_by_name(self, name: str) -> Callable[[], Any] | None:
        """Return the function of a name, or None."""
        return self._functions.get(name)

    # -- executing ------------------------------------------------------------------------------------------

    async def execute(self) -> ExecutionReport:
        """Plan, run every task, and return the report.

        A failing task, or a graph that cannot be planned, does not raise here: the report says it.

        Raises
        ------
        asyncio.CancelledError
            Cancelled from outside; everything started has been cancelled and awaited.
        KeyboardInterrupt, SystemExit
            A task raised it; everything else was stopped first.
        DeadlockError
            Nothing was running any more, and tasks were left.
        """
        if self.task_data_refs:
            raise InvalidStateError("task_data_refs is not supported yet; use pass_results=True")
        self._planning = True
        try:
            plan = self.get_execute_timeline()
        except Exception as error:
            self._run, self._refusal = None, report_of_refusal(TaskGraph().plan(), str(error))
            return self._refusal
        finally:
            self._planning = False
        run = create_run(plan, self._functions, self._settings(plan))
        self._run, self._refusal = run, None
        try:
            return await run
        finally:
            del self, run  # what a body raised refers to this frame

    def execute_sync(self) -> ExecutionReport:
        """Do the same from synchronous code, on an event loop of its own (uvloop's where it is installed).

        Raises
        ------
        InvalidStateError
            An event loop is running in this thread: write ``await scheduler.execute()`` there.
        """
        return run_on_own_loop(self.execute, "await scheduler.execute()")

    def _settings(self, plan: ExecutionPlan) -> Settings:
        options = self._options.copy()
        if self.concurrency_context is not None:
            options["concurrency_context"] = self.concurrency_context
        untried: dict[Hashable, object] = {}
        if self.task_retries:
            own = dict(options.get("options") or {})
            for name, retries in self.task_retries.items():
                if plan._compiled.graph.find(name) < 0:
                    continue
                if isinstance(retries, RetryPolicy) or (isinstance(retries, int) and retries >= 0):
                    given = own.get(name, TaskOptions())
                    own[name] = given if given.retries is not None else replace(given, retries=retries)
                else:
                    untried[name] = retries
            options["options"] = own
        return settled(plan, options, self.ignore_tail_task, untried)

    # -- progress -------------------------------------------------------------------------------------------

    @property
    def execution_state(self) -> ExecutionState:
        """What the latest execution is doing, or how it ended."""
        if self._planning:
            return ExecutionState.PLANNING
        if self._refusal is not None:
            return ExecutionState.FAILED
        return ExecutionState.NONE if self._run is None else ExecutionState(self._run.state)

    @property
    def last_report(self) -> ExecutionReport | None:
        """The report of the latest execution; of one that goes on, what is known so far."""
        return self._refusal if self._run is None else self._run.report()

    @property
    def task_return_set(self) -> Mapping[Any, Any]:
        """The results of the latest execution, by name."""
        report = self.last_report
        return {} if report is None else report.results

    @property
    def current_stage(self) -> int:
        """The lowest stage with unfinished tasks; after the end, with tasks that were not completed, or the last."""
        run = self._run
        if run is None:
            return -1
        plan, states, done = run._plan, bytes(run._core.states), run.done()
        good = (_COMPLETED, _DETACHED) if done else _ENDED
        # While a run goes on the lowest stage only grows, so whoever asks often does not walk them all.
        seen, seen_done, first = self._lowest or (None, False, 0)
        if seen is not run or seen_done != done:
            first = 0
        for stage in range(first, plan.depth):
            if any(state not in good for state in states[_stage(plan, stage)]):
                break
        else:
            stage = plan.depth - 1
        self._lowest = run, done, max(stage, 0)
        return stage

    @property
    def stage_status(self) -> StageStatus | None:
        """Where the current stage is; None before there is one."""
        stage = self.current_stage
        if self._run is None or stage < 0:
            return None
        states = self._run._core.states[_stage(self._run._plan, stage)]
        if _FAILED in states:
            return StageStatus.FAILED
        if self._run.done() and self._run.state == ExecutionState.CANCELLED:
            return StageStatus.CANCELLED
        if all(state in _ENDED for state in states):
            return StageStatus.FAILED if self._run.state == ExecutionState.FAILED else StageStatus.COMPLETED
        return StageStatus.RUNNING if any(state in _BEGUN for state in states) else StageStatus.PENDING


def _listed(what: str, given: Any, of: str) -> Any:
    """Return a list or tuple as it is, None as an empty list, and anything else that can be iterated over as a list.

    Raises
    ------
    TypeError
        It is text, or cannot be iterated over.
    """
    if given is None:
        return []
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(f"{what} is {given!r}; give a list of {of}")
    return given if isinstance(given, (list, tuple)) else list(given)


def _stage(plan: ExecutionPlan, number: int) -> slice:
    """Return the positions of one stage."""
    starts = plan._compiled.stage_starts
    return slice(starts[number], starts[number + 1])


def _check_options(options: RunOptions) -> None:
    """Refuse options that make no sense with any graph."""
    free = options.copy()
    for name in ("options", "keep_results"):
        free.pop(name, None)  # type: ignore[misc]
    settled(TaskGraph().plan(), free)


def _functions(tasks: list[tuple[str, Callable[[], Any]]]) -> dict[Any, Callable[[], Any]]:
    """Return the functions by name.

    Raises
    ------
    TypeError
        Something is wrong with them; the message has a line for everything.
    ValueError
        An item is no pair.
    """
    # The usual case first, at the speed of the interpreter's own loops.
    try:
        functions = dict(tasks)
    except (TypeError, ValueError):
        functions = {}
    if len(functions) == len(tasks) and set(map(type, functions)) <= {str} and all(map(callable, functions.values())):
        return functions
    names, called = [], []
    for name, function in tasks:
        names.append(name)
        called.append(function)
    problems = _problems(names, called)
    if problems:
        raise TypeError("\n".join(problems))
    return dict(zip(names, called, strict=True))


def _problems(names: list[Any], called: list[Any]) -> list[str]:
    tally: dict[str, int] = {}
    for name in names:
        if isinstance(name, str):
            tally[name] = tally.get(name, 0) + 1
    twice = sorted(name for name, count in tally.items() if count > 1)
    problems = [f"Duplicate task names: {twice}; give each task a name of its own"] if twice else []
    for number, (name, function) in enumerate(zip(names, called, strict=True)):
        if not isinstance(name, str):
            problems.append(f"tasks[{number}]: the name {name!r} is no str")
        if inspect.iscoroutine(function):
            problems.append(
                f"tasks[{number}], {name!r}: {function!r} is an already called coroutine; give the function itself, "
                "without calling it"
            )
        elif not callable(function):
            problems.append(f"tasks[{number}], {name!r}: {function!r} cannot be called; give a function")
    return problems
