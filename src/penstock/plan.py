"""Plans: what a graph looks like to a run, and everything that can be wrong with one.

`ExecutionPlan` is a readable view over the compiled plan.  Building one validates the graph through networkx's
own API, which for our graphs dispatches to the compiled core; the pass that answers whether the graph is acyclic
is the planning pass itself.
"""

from __future__ import annotations

import bisect
import math
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Unpack

from penstock._core import Graph, Plan
from penstock._views import LazySequence, SequenceView
from penstock.errors import (
    CycleError,
    DuplicateTaskError,
    GraphError,
    UnknownDependencyError,
    UnknownTaskError,
    close_matches,
    gather,
    shown,
)
from penstock.execution import create_run, own_bodies, run_on_own_loop, start_run
from penstock.graph import TaskFunction, TaskGraph, TaskOrder
from penstock.policies import RunOptions, TaskOptions
from penstock.settings import plain, settled

if TYPE_CHECKING:
    from penstock.execution import Bodies, Run
    from penstock.report.models import ExecutionReport

__all__ = ["ExecutionPlan", "ExecutionPlanner", "ExecutionStage"]

#: So many cycles are named, one per strongly connected component; the rest are counted.
MAX_CYCLES = 20

#: So many unknown names get a look for similar ones.
MAX_HINTS = 20

#: Each look compares the name with every task, at some microseconds apiece; all looks together are allowed so many.
MAX_COMPARISONS = 100_000


@dataclass(frozen=True, slots=True)
class ExecutionStage:
    """One stage of a plan: the tasks whose longest distance from a source is the same (a topological generation).

    Attributes
    ----------
    stage_id : int
        The number of the stage, from 0.
    parallel_tasks : list
        Under staged execution, the tasks in flight in this stage: those of earlier stages that no task up to this
        stage depends on, in the order they start, then `start_tasks`.
    wait_for_tasks : list
        The dependencies of `start_tasks`, each once, in the order they are first mentioned.
    start_tasks : list
        The tasks of this stage, in the order they were added.
    """

    stage_id: int
    parallel_tasks: list[Any]
    wait_for_tasks: list[Any]
    start_tasks: list[Any]


class ExecutionPlan:
    """How to run a graph: immutable, made by `TaskGraph.plan`.

    A plan may be run any number of times, also at the same time from several threads and event loops.  It can be
    pickled; the functions of its tasks then go along, as far as they can be pickled.

    Attributes
    ----------
    planning_duration : float
        Seconds that checking and planning took; 0.0 for an unpickled plan.
    """

    def __init__(
        self,
        compiled: Plan,
        functions: Mapping[Hashable, TaskFunction],
        planning_duration: float,
        options: Mapping[Hashable, TaskOptions],
    ) -> None:
        self._compiled = compiled
        self._functions = dict(functions)
        self._options = dict(options)
        self.planning_duration = planning_duration

    @cached_property
    def _own_bodies(self) -> Bodies:
        return own_bodies(self)

    def __reduce__(self) -> tuple[Any, ...]:
        graph = self._compiled.graph
        names = graph.names
        indptr, indices = graph.arrays()
        return _unpickle, (
            None if isinstance(names, range) else names,
            (indptr.format, indptr.tobytes()),
            indices.tobytes(),
            self._functions,
            self._options,
        )

    def __repr__(self) -> str:
        return f"<ExecutionPlan of {self.total_tasks:,} tasks in {self.depth:,} stages>"

    # -- shape ----------------------------------------------------------------------------------------------

    @property
    def names(self) -> Sequence[Any]:
        """The names of the tasks, in the order they were added."""
        names = self._compiled.graph.names
        return names if isinstance(names, range) else SequenceView(names)

    @property
    def functions(self) -> Mapping[Any, TaskFunction]:
        """The functions that the graph had for its tasks, by name."""
        return MappingProxyType(self._functions)

    @property
    def total_tasks(self) -> int:
        """The number of tasks."""
        return self._compiled.n

    @property
    def n_dependencies(self) -> int:
        """The number of distinct dependencies."""
        return self._compiled.m

    @property
    def depth(self) -> int:
        """The number of stages."""
        return self._compiled.depth

    @property
    def width(self) -> int:
        """The number of tasks in the largest stage: a hint, not a bound, for how many can run at once."""
        return self._compiled.width

    @property
    def max_parallelism(self) -> int:
        """The largest number of tasks in flight under staged execution, finished ones nobody waits for included."""
        return self._compiled.max_parallelism

    @property
    def stage_of(self) -> memoryview:
        """The stage of each task, in the order the tasks were added: a read-only int32 buffer."""
        return self._compiled.stage_of

    @property
    def order(self) -> memoryview:
        """Task numbers in the order in which tasks become ready: a read-only int32 buffer."""
        return self._compiled.order

    @property
    def stages(self) -> Sequence[ExecutionStage]:
        """The stages; each is made when it is looked at."""
        return LazySequence(self.depth, self._stage, "stage")

    def _stage(self, number: int) -> ExecutionStage:
        graph = self._compiled.graph
        names = graph.names
        members = self._compiled.stage_members(number)
        awaited: dict[int, None] = {}
        for task in members:
            awaited.update(dict.fromkeys(graph.predecessors_of(task)))
        starts = [names[task] for task in members]
        earlier = [names[task] for task in self._in_flight(number)]
        return ExecutionStage(number, earlier + starts, [names[task] for task in awaited], starts)

    def _in_flight(self, number: int) -> list[int]:
        """Tasks of earlier stages that no task up to this stage depends on."""
        stages, tasks, awaited_in = self._long_lived
        end = bisect.bisect_left(stages, number)
        return [tasks[i] for i in range(end) if awaited_in[i] > number]

    @cached_property
    def _long_lived(self) -> tuple[list[int], list[int], list[int]]:
        """Tasks that are not awaited by the very next stage: their stage, number, and the stage that awaits them."""
        compiled = self._compiled
        stage_of = compiled.stage_of
        found = []
        for task in range(compiled.n):
            stage = stage_of[task]
            awaited_in = min((stage_of[other] for other in compiled.successors_of(task)), default=self.depth)
            if awaited_in > stage + 1:
                found.append((stage, task, awaited_in))
        found.sort()
        stages, tasks, awaited = zip(*found, strict=True) if found else ((), (), ())
        return list(stages), list(tasks), list(awaited)

    @property
    def original_tasks(self) -> Sequence[TaskOrder]:
        """A `TaskOrder` for each task, in the order they were added; made when looked at."""
        graph, names = self._compiled.graph, self.names

        def order(task: int) -> TaskOrder:
            return TaskOrder(names[task], [TaskOrder(names[other]) for other in graph.predecessors_of(task)])

        return LazySequence(self.total_tasks, order, "order")

    # -- as text --------------------------------------------------------------------------------------------

    def get_dependency_graph_info(self) -> str:
        """Return a line for each task that says what it depends on."""
        if not self.total_tasks:
            return "The plan has no tasks."
        graph, names = self._compiled.graph, self.names
        lines = ["Dependencies:"]
        for task in range(self.total_tasks):
            depends_on = ", ".join(shown(names[other]) for other in graph.predecessors_of(task)) or "none"
            lines.append(f"- {shown(names[task])}: depends on [{depends_on}]")
        return "\n".join(lines)

    def get_visualization_table(self) -> str:
        """Return a line for each stage that says what starts, is waited for and is in flight."""
        if not self.depth:
            return "The plan has no stages."
        lines = [f"Execution plan ({self.depth} stages):"]
        for stage in self.stages:
            lines.append(
                f"- stage {stage.stage_id}: start={stage.start_tasks!r}, wait={stage.wait_for_tasks!r}, "
                f"parallel={stage.parallel_tasks!r}"
            )
        return "\n".join(lines)

    def get_full_visualization(self) -> str:
        """Return both of these texts with an empty line in between."""
        return f"{self.get_dependency_graph_info()}\n\n{self.get_visualization_table()}"

    # -- paths ----------------------------------------------------------------------------------------------

    def critical_path(
        self, durations: Mapping[Any, float] | Sequence[float] | None = None
    ) -> tuple[tuple[Any, ...], float]:
        """Return the path that takes longest, and how long it takes.

        Parameters
        ----------
        durations
            Seconds by task name, where a missing task counts 0, or one number per task in the order the tasks were
            added.  By default each task counts 1.

        Returns
        -------
        tuple of (tuple of names, float)
            The names along the path, first to last, and the sum of their durations.

        Raises
        ------
        KeyError
            A duration for a name that is no task.
        ValueError
            A duration is negative or not a number, or there are more or fewer than tasks.
        """
        path, seconds = self._compiled.critical_path(self._weights(durations))
        names = self._compiled.graph.names
        return tuple(names[task] for task in path), seconds

    def _weights(self, durations: Mapping[Any, float] | Sequence[float] | None) -> Sequence[float] | None:
        if durations is None:
            return None
        weights: Sequence[float]
        if isinstance(durations, Mapping):
            weights = column = [0.0] * self.total_tasks
            find = self._compiled.graph.find
            for name, seconds in durations.items():
                task = find(name)
                if task < 0:
                    raise KeyError(name)
                column[task] = seconds
        else:
            weights = durations
        for task, seconds in enumerate(weights):
            if not seconds >= 0.0 or math.isinf(seconds):
                names = self._compiled.graph.names
                name = repr(names[task]) if task < len(names) else f"number {task}"
                raise ValueError(f"the duration of task {name} is {seconds!r}; give seconds from 0 on")
        return weights

    def subgraph(self, targets: Iterable[Hashable]) -> ExecutionPlan:
        """Return the plan of some tasks and of everything they depend on.

        Parameters
        ----------
        targets
            Names of tasks.

        Returns
        -------
        ExecutionPlan
            Its tasks are in the order they have here; the functions go along.

        Raises
        ------
        UnknownTaskError
            A target is no task; also a KeyError.
        TypeError
            `targets` is text.
        """
        started = time.perf_counter()
        graph = self._compiled.graph
        part = graph.restricted(sorted(graph.reachable(self._tasks(targets, "targets"))))
        names = part.names
        functions = {name: self._functions[name] for name in names if name in self._functions}
        options = {name: self._options[name] for name in names if name in self._options}
        return ExecutionPlan(Plan(part), functions, time.perf_counter() - started, options)

    def _tasks(self, names: Iterable[Hashable], what: str) -> list[int]:
        """Return the numbers of tasks given by name."""
        if isinstance(names, (str, bytes)):
            raise TypeError(f"{what} is the text {names!r}; put the name into a list")
        if not isinstance(names, Iterable):
            raise TypeError(f"{what} is {names!r}; give a list of names")
        found = []
        for name in names:
            try:
                task = self._compiled.graph.find(name)
            except TypeError:
                raise TypeError(f"{what} has {name!r}, which cannot be the name of a task") from None
            if task < 0:
                raise UnknownTaskError(name, what, self.names)
            found.append(task)
        return found

    # -- running --------------------------------------------------------------------------------------------

    def start(
        self,
        func: Callable[[Any], Any] | Mapping[Any, TaskFunction] | None = None,
        **options: Unpack[RunOptions],
    ) -> Run:
        """Start a run on the current event loop and return its handle.

        Tasks start as soon as their own dependencies have succeeded, in the order in which they became ready.

        Parameters
        ----------
        func
            What to call: ``func(name)`` for every task, or a mapping of each name to a function without arguments, or
            nothing to use the functions that the graph was given.  A coroutine that a function returns is awaited.
            Plain functions run on the event loop, one at a time.
        max_concurrency : int, optional
            How many tasks may be running at once; by default as many as are ready.
        failure_policy : {"stop", "continue"}
            ``"stop"``: at the first failure running tasks are cancelled and the rest is skipped.  ``"continue"``:
            only the tasks that depend on the failed one are skipped.
        keep_results : {"all", "sinks", "none"} or iterable of names
            Whose results the report has; sinks are tasks that no other depends on.  A value that neither the report
            nor a task needs any longer is let go at once.
        pass_results : bool
            Call ``func(name, *results)``, or the mapped function with ``*results``: the results of the task's
            dependencies, in the order they were declared; None for one that did not succeed.
        retries : int or RetryPolicy, optional
            The number of extra attempts of a task that failed, at once and for any ``Exception``; or a `RetryPolicy`.
        task_timeout : float, optional
            Seconds for each attempt of a task.  A body that suspends is cancelled then, and has failed with
            `TaskTimeout`; one that does not suspend cannot be interrupted.
        timeout : float, optional
            Seconds for the run.  Then running tasks are cancelled, the rest is skipped, and the run has failed.
        sync_in : {"loop", "thread"}
            Where plain functions are called: on the event loop, or in threads.
        stage_barriers : bool
            Start a stage only when all tasks of the stages before it have ended.
        concurrency_context : async context manager, optional
            Entered around each task, once for all attempts that follow at once; ``asyncio.Semaphore(8)``, say.  A retry
            that waits leaves it meanwhile.
        limits : mapping of text to int, optional
            Named limits: how many tasks may run at once that use them (`TaskOptions`).
        observer : Observer, optional
            Is told of starts, retries and ends, in batches.
        options : mapping of names to TaskOptions, optional
            What is different for single tasks; stands above what the graph says.
        progress : bool or Progress, optional
            True for a line on the terminal (nothing elsewhere), or an object with ``update(counts)`` and
            ``close(report)``, called at most ten times a second.
        time_slice : float
            Seconds of running bodies after which the event loop gets its turn; 0.005 by default.
        slow_body : float, optional
            Warn, once per function, of a body that keeps the event loop for longer; 1.0 by default, None for never.

        Returns
        -------
        Run
            Awaitable; gives the report.

        Raises
        ------
        InvalidStateError
            No event loop is running, or the graph has no functions at all and none are given.
        TypeError, ValueError, KeyError
            An argument makes no sense, or names a task that is not there.
        """
        run = create_run(self, func, settled(self, options))
        start_run(run)
        return run

    async def run(
        self,
        func: Callable[[Any], Any] | Mapping[Any, TaskFunction] | None = None,
        **options: Unpack[RunOptions],
    ) -> ExecutionReport:
        """Run every task once, each after all its dependencies, and return the report.

        A failing task does not raise here: the report says it.  See `start` for the parameters.

        Returns
        -------
        ExecutionReport
            One record per task, in the order the tasks were added.

        Raises
        ------
        asyncio.CancelledError
            The run was cancelled from outside; everything started has been cancelled and awaited.
        KeyboardInterrupt, SystemExit
            A task raised it; everything else was stopped first.
        DeadlockError
            Nothing was running any more, and tasks were left.
        InvalidStateError, TypeError, ValueError, KeyError
            As for `start`.
        """
        return await create_run(self, func, settled(self, options) if options or self._options else plain)

    def run_sync(
        self,
        func: Callable[[Any], Any] | Mapping[Any, TaskFunction] | None = None,
        **options: Unpack[RunOptions],
    ) -> ExecutionReport:
        """Run from synchronous code, on an event loop of its own (uvloop's where it is installed).

        See `start` for the parameters and `run` for what is returned and raised.

        Raises
        ------
        InvalidStateError
            An event loop is running in this thread, as in a notebook: write ``await plan.run(...)`` there.
        """
        return run_on_own_loop(lambda: self.run(func, **options), "await plan.run(...)")


def _unpickle(
    names: list[Any] | None,
    indptr: tuple[Literal["i", "q"], bytes],
    indices: bytes,
    functions: dict[Hashable, TaskFunction],
    options: dict[Hashable, TaskOptions],
) -> ExecutionPlan:
    core = Graph.from_arrays(memoryview(indptr[1]).cast(indptr[0]), memoryview(indices).cast("i"), False, names)
    return ExecutionPlan(Plan(core), functions, 0.0, options)


class ExecutionPlanner:
    """Plans a list of `TaskOrder`.

    Parameters
    ----------
    task_order
        The tasks; the list is kept, and read anew at each call.
    """

    def __init__(self, task_order: list[TaskOrder]) -> None:
        self.task_order = task_order

    def validate(self) -> None:
        """Check for duplicate names, then unknown dependencies, then cycles.

        Raises
        ------
        DuplicateTaskError, UnknownDependencyError, CycleError
            The first kind found; ``problems`` has every problem of every kind.
        """
        self.get_execute_timeline()

    def detect_cycle(self) -> None:
        """Check for cycles alone; names that are not in the list are ignored.

        Raises
        ------
        CycleError
            Tasks wait for one another.
        """
        core = TaskGraph.from_task_orders(self.task_order)._core
        problems = find_cycles(core if core.settled else core.merged())
        if problems:
            raise gather(problems)

    def get_execute_timeline(self) -> ExecutionPlan:
        """Validate and plan.

        Raises
        ------
        DuplicateTaskError, UnknownDependencyError, CycleError
            As for `validate`.
        """
        return TaskGraph.from_task_orders(self.task_order).plan()


def build_plan(graph: TaskGraph) -> ExecutionPlan:
    """Validate a graph and wrap its compiled plan."""
    from penstock.formats.nx import is_acyclic

    started = time.perf_counter()
    graph._require_sound()
    if not is_acyclic(graph):
        raise find_problems(graph._core)
    compiled = graph._compiled()
    assert compiled is not None
    return ExecutionPlan(compiled, graph.functions, time.perf_counter() - started, graph._options)


def find_problems(core: Graph) -> GraphError:
    """Return the exception that names everything that is wrong with a graph.

    Its class is that of the first kind there is: duplicate names, unknown names, cycles.
    """
    duplicates = sorted(core.duplicates(), key=lambda duplicate: shown(duplicate[0]))
    problems: list[GraphError] = [DuplicateTaskError(name, count) for name, count in duplicates]
    unlisted = core.unlisted()
    if unlisted:
        listed = list(core.names)
        # A name missing in many places is looked up once.
        missing = dict.fromkeys(name for _, name in unlisted)
        looks = min(MAX_HINTS, MAX_COMPARISONS // max(1, len(listed)))
        hints = {name: close_matches(name, listed) for name in list(missing)[:looks]}
        problems += [UnknownDependencyError(task, name, hints.get(name, ())) for task, name in unlisted]
    whole = core if core.settled and not any(isinstance(p, DuplicateTaskError) for p in problems) else core.merged()
    problems += find_cycles(whole)
    return gather(problems)


def find_cycles(core: Graph) -> list[GraphError]:
    """Return one error for each strongly connected component with a cycle, up to `MAX_CYCLES`."""
    cycles, total = core.cycles(MAX_CYCLES)
    names = core.all_names
    problems: list[GraphError] = []
    for number, cycle in enumerate(cycles):
        closed = [names[task] for task in (*cycle, cycle[0])]
        last = number == len(cycles) - 1
        problems.append(CycleError(closed, more=total - len(cycles) if last else 0))
    return problems
