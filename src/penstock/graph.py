"""TaskGraph: tasks and their dependencies, from whatever form the user has them in.

A graph is a description and may be incomplete: a dependency may be named before its task is added.  Everything
is checked when a plan is asked for, and then all at once.
"""

from __future__ import annotations

import array
import inspect
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from penstock._core import Graph, Plan
from penstock._core.orders import columns_of
from penstock._views import SequenceView
from penstock.policies import TaskOptions

if TYPE_CHECKING:
    import networkx

    from penstock.plan import ExecutionPlan

__all__ = ["TaskGraph", "TaskOrder"]

#: What a task runs: called without arguments, or with its dependencies' results; a coroutine it returns is awaited.
TaskFunction = Callable[..., Any]


@dataclass(eq=False)
class TaskOrder:
    """A task's name and the tasks that must finish before it.

    Dependencies are matched by name, so a `TaskOrder` among them need not itself be in the list that is planned.

    Parameters
    ----------
    task_name
        The name of the task.
    dependencies
        The tasks it depends on.
    """

    task_name: Hashable
    dependencies: list[TaskOrder] = field(default_factory=list)

    # Comparing and printing whole trees would be exponential in a ladder, so both stop at the names.
    __hash__ = None  # type: ignore[assignment]

    def _key(self) -> tuple[Hashable, list[Hashable]]:
        return self.task_name, [dependency.task_name for dependency in self.dependencies]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TaskOrder):
            return NotImplemented
        return self._key() == other._key()

    def __repr__(self) -> str:
        return f"TaskOrder({self.task_name!r}, depends on {[d.task_name for d in self.dependencies]!r})"

    @property
    def depend(self) -> TaskOrder | None:
        """The first dependency, or None; assigning replaces the whole list."""
        return self.dependencies[0] if self.dependencies else None

    @depend.setter
    def depend(self, other: TaskOrder | None) -> None:
        self.dependencies = [] if other is None else [other]


class TaskGraph:
    """Tasks and the tasks they depend on.

    Every constructor says in its name which way the edges point; the classic mistake, a mapping read in the wrong
    direction, cannot happen silently.  Names may be any hashable objects.  A task listed as a dependency twice
    counts once.

    Examples
    --------
    >>> graph = TaskGraph.from_predecessors({"load": [], "clean": ["load"], "report": ["clean", "load"]})
    >>> [stage.start_tasks for stage in graph.plan().stages]
    [['load'], ['clean'], ['report']]

    Notes
    -----
    Costs memory of about 30 bytes per task and 4 bytes per dependency beside the names themselves.  Methods may be
    called from several threads, one after the other gets its turn.
    """

    #: networkx functions dispatch to penstock's compiled ones when given a TaskGraph.
    __networkx_backend__ = "penstock"

    __slots__ = ("__weakref__", "_core", "_functions", "_lock", "_options", "_plan", "_planned", "_successors")

    def __init__(self) -> None:
        self._adopt(Graph())

    def _adopt(self, core: Graph) -> None:
        self._core = core
        self._functions: dict[Hashable, TaskFunction] = {}
        self._options: dict[Hashable, TaskOptions] = {}
        self._lock = threading.RLock()
        self._forget()

    def _forget(self) -> None:
        """Drop what was derived from the tasks so far."""
        self._plan: ExecutionPlan | None = None
        self._planned: Plan | bool | None = None
        self._successors: Graph | None = None

    def __copy__(self) -> TaskGraph:
        """Return a graph of its own with the same tasks and functions."""
        with self._lock:
            other = type(self)._of(self._core.copy())
            other._functions.update(self._functions)
            other._options.update(self._options)
            return other

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a TaskGraph cannot be pickled; pickle its plan, graph.plan(), or graph.to_predecessors()")

    @classmethod
    def _of(cls, core: Graph) -> TaskGraph:
        self = cls.__new__(cls)
        self._adopt(core)
        return self

    # -- constructors -----------------------------------------------------------------------------------

    @classmethod
    def from_predecessors(cls, mapping: Mapping[Any, Iterable[Hashable]], *, implicit: bool = False) -> TaskGraph:
        """Build from a mapping of each task to the tasks it depends on, as `graphlib` takes it.

        Parameters
        ----------
        mapping
            Task name to an iterable of names.
        implicit
            Make tasks of names that are only mentioned as dependencies; otherwise they are an error at `plan`.

        Raises
        ------
        TypeError
            Not a mapping, or the dependencies of a task are no iterable of hashable names.
        """
        names, rows = _columns(mapping, "from_predecessors")
        return cls._finish(Graph.from_rows, names, rows, implicit)

    @classmethod
    def from_successors(cls, mapping: Mapping[Any, Iterable[Hashable]], *, implicit: bool = False) -> TaskGraph:
        """Build from a mapping of each task to the tasks that depend on it.

        Parameters
        ----------
        mapping
            Task name to an iterable of names.
        implicit
            Make tasks of names that are only mentioned as dependents; otherwise they are an error at `plan`.

        Raises
        ------
        TypeError
            Not a mapping, or the dependents of a task are no iterable of hashable names.
        """
        names, rows = _columns(mapping, "from_successors")
        return cls._finish(Graph.from_successor_rows, names, rows, implicit)

    @classmethod
    def _finish(
        cls,
        build: Callable[[list[Hashable], list[Any]], Graph],
        names: list[Hashable],
        rows: list[Any],
        implicit: bool,
    ) -> TaskGraph:
        try:
            core = build(names, rows)
        except TypeError as error:
            row = getattr(error, "row", None)
            if row is None:
                raise
            raise TypeError(f"task {names[row]!r}: {error}") from None
        if implicit:
            core.adopt_unlisted()
        return cls._of(core)

    @classmethod
    def from_edges(cls, edges: Any, tasks: Sequence[Hashable] | None = None) -> TaskGraph:
        """Build from pairs (dependency, dependent), or from two buffers of task numbers.

        Parameters
        ----------
        edges
            An iterable of pairs of names, or a tuple of two integer buffers ``(src, dst)`` of the same length.
        tasks
            The names of all tasks, in order.  By default the names are those in the pairs, in the order they are
            first mentioned; for buffers, the integers from 0 to the largest.

        Raises
        ------
        TypeError
            An edge is no pair, or a buffer has no integers.
        ValueError
            Buffers of different length, or a task number without a name.
        """
        if isinstance(tasks, (str, bytes)):
            raise TypeError(f"tasks is the text {tasks!r}; give a sequence of names")
        if isinstance(edges, tuple) and len(edges) == 2 and all(_is_buffer(end) for end in edges):
            return cls._of(Graph.from_endpoint_arrays(edges[0], edges[1], None if tasks is None else list(tasks)))
        sources: list[Hashable] = []
        targets: list[Hashable] = []
        for number, edge in enumerate(edges):
            if isinstance(edge, (str, bytes)):
                raise TypeError(f"edge {number} is the text {edge!r}; give pairs (dependency, dependent)")
            try:
                source, target = edge
            except (TypeError, ValueError):
                raise TypeError(f"edge {number} is {edge!r}; give pairs (dependency, dependent)") from None
            sources.append(source)
            targets.append(target)
        names = [] if tasks is None else list(tasks)
        return cls._of(Graph.from_endpoints(names, sources, targets, tasks is not None))

    @classmethod
    def from_arrays(
        cls, indptr: Any, indices: Any, direction: str = "predecessors", names: Sequence[Hashable] | None = None
    ) -> TaskGraph:
        """Build from compressed sparse rows: row i is ``indices[indptr[i]:indptr[i + 1]]``.

        int32 arrays of predecessors are used in place, so do not change them while the graph or a plan of it is
        in use; anything else is copied.

        Parameters
        ----------
        indptr
            n + 1 integers that never decrease, from 0 to the number of edges: a buffer, or a sequence of int.
        indices
            The task numbers of all rows, one after the other.
        direction
            ``"predecessors"``: row i lists what task i depends on; ``"successors"``: what depends on it.
        names
            The names of the tasks; by default the integers from 0 on.

        Raises
        ------
        TypeError
            No buffer of integers.
        ValueError
            The arrays are no rows of a graph; the message says where.
        OverflowError
            More than 2,147,483,646 tasks.
        """
        if direction not in ("predecessors", "successors"):
            raise ValueError(f"direction is {direction!r}; give 'predecessors' or 'successors'")
        if isinstance(names, (str, bytes)):
            raise TypeError(f"names is the text {names!r}; give a sequence of names")
        return cls._of(
            Graph.from_arrays(
                _integers(indptr, "indptr"), _integers(indices, "indices"), direction == "successors", names
            )
        )

    @classmethod
    def from_networkx(cls, graph: networkx.DiGraph[Any]) -> TaskGraph:
        """Build from a networkx DiGraph, whose edge u -> v reads "u before v"; parallel edges count once.

        Raises
        ------
        TypeError
            Not a directed networkx graph.
        """
        from penstock.formats.nx import from_networkx

        return cls._of(from_networkx(graph))

    @classmethod
    def from_task_orders(cls, orders: Iterable[TaskOrder]) -> TaskGraph:
        """Build from a list of `TaskOrder`.

        Raises
        ------
        TypeError
            An item is no TaskOrder.
        """
        return cls._of(Graph.from_endpoints(*columns_of(orders, TaskOrder), True))

    @classmethod
    def from_wfformat(cls, source: str | PathLike[str] | Mapping[str, Any]) -> TaskGraph:
        """Build from a WfFormat document (versions 1.3 to 1.6): a path or the parsed JSON.

        Raises
        ------
        FormatError
            The document cannot be read; the message says where and what to mend.
        """
        from penstock.formats.wfformat import read_wfformat

        return read_wfformat(source).graph()

    # -- changing -----------------------------------------------------------------------------------------

    def add_task(
        self,
        name: Hashable,
        func: TaskFunction | None = None,
        depends_on: Iterable[Hashable] = (),
        options: TaskOptions | None = None,
    ) -> None:
        """Add one task; its dependencies may be added later.

        Parameters
        ----------
        name
            Any hashable object that no other task has as its name; a second task of one name is reported by `plan`.
        func
            What the task runs: called without arguments; a coroutine that it returns is awaited.
        depends_on
            The names of the tasks that must succeed before this one starts.
        options
            What is different for this task when the graph is run.

        Raises
        ------
        TypeError
            An unhashable name, a `func` that cannot be called, or text where a list of names belongs.
        """
        hash(name)
        if func is not None:
            check_function(name, func)
        if isinstance(depends_on, (str, bytes)):
            raise TypeError(f"task {name!r}: depends_on is the text {depends_on!r}; put it into a list")
        if options is not None and not isinstance(options, TaskOptions):
            raise TypeError(f"task {name!r}: options are {options!r}; give TaskOptions(...)")
        dependencies = list(depends_on)
        for dependency in dependencies:
            hash(dependency)
        with self._lock:
            if self._core.is_shared:
                self._core = self._core.copy()
            self._core.add(name, dependencies)
            self._forget()
            if func is not None:
                self._functions[name] = func
            if options is not None:
                self._options[name] = options

    # -- reading ------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._core)

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        with self._lock:
            return self._core.find(name) >= 0

    def __repr__(self) -> str:
        return f"<TaskGraph of {len(self):,} tasks, {self.n_dependencies:,} dependencies>"

    # Graphs are compared by identity, and an empty one is still a graph.
    def __bool__(self) -> bool:
        return True

    # networkx's decorators ask these two before they dispatch.

    def is_directed(self) -> bool:
        """Return True: dependencies have a direction."""
        return True

    def is_multigraph(self) -> bool:
        """Return False: a task depends on another one or does not."""
        return False

    @property
    def names(self) -> Sequence[Any]:
        """The names of the tasks, in the order they were added."""
        with self._lock:
            names = self._core.names
        return names if isinstance(names, range) else SequenceView(names)

    @property
    def n_dependencies(self) -> int:
        """The number of dependencies; one that is listed twice counts once."""
        with self._lock:
            return self._core.n_edges

    @property
    def functions(self) -> Mapping[Any, TaskFunction]:
        """The functions given with `add_task`, by name."""
        return MappingProxyType(self._functions)

    def dependencies_of(self, name: Hashable) -> tuple[Any, ...]:
        """Return the names of the tasks that one depends on, in the order given.

        Raises
        ------
        KeyError
            No task has this name.
        GraphError
            Tasks share a name.
        """
        with self._lock:
            task = self._index(name)
            names = self._core.all_names
            return tuple(names[i] for i in self._core.predecessors_of(task))

    def dependents_of(self, name: Hashable) -> tuple[Any, ...]:
        """Return the names of the tasks that depend on one, in the order they were added.

        Raises
        ------
        KeyError
            No task has this name.
        GraphError
            Tasks share a name.
        """
        with self._lock:
            task = self._index(name)
            if isinstance(self._planned, Plan):
                found = self._planned.successors_of(task)
            else:
                if self._successors is None:
                    self._successors = self._core.transposed()
                found = self._successors.predecessors_of(task)
            names = self._core.all_names
            return tuple(names[i] for i in found)

    def _index(self, name: Hashable) -> int:
        task = self._core.find(name)
        if task < 0:
            raise KeyError(name)
        self._require_one_task_per_name()
        return task

    def to_predecessors(self) -> dict[Any, list[Any]]:
        """Return a mapping of each task to a list of its dependencies, as `graphlib` takes it.

        Raises
        ------
        GraphError
            Tasks share a name.
        """
        with self._lock:
            self._require_one_task_per_name()
            return dict(zip(self._core.names, self._core.rows_of_names(), strict=True))

    def to_networkx(self) -> networkx.DiGraph[Any]:
        """Return a networkx DiGraph with an edge from each task to every task that depends on it.

        Raises
        ------
        GraphError
            Tasks share a name, or a dependency is no task.
        """
        from penstock.formats.nx import to_networkx

        with self._lock:
            self._require_sound()
            return to_networkx(self)

    # -- planning -----------------------------------------------------------------------------------------

    def plan(self) -> ExecutionPlan:
        """Check the graph and work out how to run it.

        The plan is kept until the graph changes.

        Returns
        -------
        ExecutionPlan
            Immutable; not affected by later changes of the graph.

        Raises
        ------
        DuplicateTaskError, UnknownDependencyError, CycleError
            The first kind of problem found, in this order.  ``problems`` on the exception, and its text, have
            every problem of every kind.

        Notes
        -----
        Costs O(tasks + dependencies), without recursion.
        """
        from penstock.plan import build_plan

        with self._lock:
            if self._plan is None:
                self._plan = build_plan(self)
            return self._plan

    def _compiled(self) -> Plan | None:
        """Return the core's plan, None if there is a cycle; the graph must be sound otherwise.

        This is the planning pass itself: asking whether the graph is acyclic makes the plan.
        """
        with self._lock:
            if self._planned is None:
                try:
                    self._planned = Plan(self._core)
                except ValueError:
                    if not self._core.cycles(0)[1]:
                        raise  # the arrays of the graph were changed, and are no rows any more
                    self._planned = False
            return self._planned or None  # type: ignore[return-value]

    def _require_one_task_per_name(self) -> None:
        if not self._core.settled or self._core.duplicates():
            raise self._problems()

    def _require_sound(self) -> None:
        """Raise if tasks share a name or a dependency is no task; cycles are allowed."""
        self._require_one_task_per_name()
        if self._core.unlisted():
            raise self._problems()

    def _problems(self) -> Exception:
        from penstock.plan import find_problems

        return find_problems(self._core)


def check_function(name: Hashable, func: object) -> None:
    """Raise TypeError unless `func` can serve as the body of a task."""
    if inspect.iscoroutine(func):
        raise TypeError(
            f"the function of task {name!r} is an already called coroutine; give the function itself, "
            f"without calling it"
        )
    if not callable(func):
        raise TypeError(f"the function of task {name!r} is {func!r}, which cannot be called")


def _columns(mapping: Mapping[Any, Iterable[Hashable]], constructor: str) -> tuple[list[Hashable], list[Any]]:
    """Split a mapping into its keys and its values, two lists of our own."""
    if not isinstance(mapping, Mapping):
        raise TypeError(
            f"{constructor} takes a mapping of names to iterables of names, not {type(mapping).__name__!r}; "
            f"for pairs there is from_edges"
        )
    plain = mapping if type(mapping) is dict else dict(mapping)
    return list(plain), list(plain.values())


def _is_buffer(candidate: object) -> bool:
    if isinstance(candidate, (str, bytes)):
        return False
    try:
        memoryview(candidate)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def _integers(source: Any, label: str) -> Any:
    """Return a buffer of integers as it is, and a list or tuple of int as a buffer."""
    if not isinstance(source, (list, tuple, range)):
        return source
    try:
        return array.array("q", source)
    except (TypeError, OverflowError) as error:
        raise TypeError(
            f"{label} is a {type(source).__name__} with an item that is no 64-bit integer: {error}"
        ) from None
