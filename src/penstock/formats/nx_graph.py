"""What the functions of the networkx backend work on: nodes in order, and rows of neighbors.

networkx's results depend on the order in which a graph lists its nodes and, for every node, the ones behind
and the ones before it; the two are independent of one another.  So a converted networkx graph has both sets
of rows as they are, while for a `TaskGraph` one is the transpose of the other.
"""

from __future__ import annotations

import array
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from penstock._core import Graph, Plan
from penstock.graph import TaskGraph

#: A column of the core.
Integers: TypeAlias = "array.array[int] | memoryview[int]"

#: Where a networkx graph's cache holds a mark of ours: networkx empties the cache whenever the graph changes.
_MARK = "penstock"


class Adjacency:
    """Nodes by number and their neighbors on both sides.

    Attributes
    ----------
    names : sequence
        The nodes, in their order.
    out_keys, in_keys : list of tuple or None
        For a multigraph the keys of the parallel edges behind every entry of `successors` and `predecessors`.
    in_data : list or None
        Behind every entry of `predecessors` the attributes of the edge (for a multigraph: of each edge, by
        key), as the dictionary of the networkx graph itself.
    """

    __slots__ = (
        "_directed",
        "_multigraph",
        "_predecessors",
        "_successors",
        "in_data",
        "in_keys",
        "names",
        "out_keys",
    )

    names: Sequence[Any]
    out_keys: list[tuple[Any, ...]] | None
    in_keys: list[tuple[Any, ...]] | None
    in_data: list[dict[Any, Any]] | None
    _directed: bool
    _multigraph: bool
    _successors: Graph
    _predecessors: Graph

    def __len__(self) -> int:
        return len(self._predecessors)

    # Asked by networkx's decorators before they dispatch.
    def is_directed(self) -> bool:
        """Return True if edges have a direction."""
        return self._directed

    def is_multigraph(self) -> bool:
        """Return True if there may be several edges between two nodes."""
        return self._multigraph

    @property
    def successors(self) -> Graph:
        """The core graph whose rows are the nodes behind each node."""
        return self._successors

    @property
    def predecessors(self) -> Graph:
        """The core graph whose rows are the nodes before each node."""
        return self._predecessors

    def index(self, name: object) -> int:
        """Return the number of a node, -1 if it is none."""
        try:
            return self._predecessors.find(name)
        except TypeError:
            return -1

    def generations(self) -> tuple[Integers, Integers]:
        """Return the nodes as networkx orders them topologically, and where in it each generation starts.

        The second has one item more than there are generations: the length of the first, which lacks the
        nodes on and behind cycles.
        """
        return self._successors.generations()

    def generation_of(self, order: Integers, starts: Integers) -> Integers:
        """Return each node's generation, from what `generations` returned for an acyclic graph."""
        found = array.array("i", bytes(4 * len(self)))
        for number in range(len(starts) - 1):
            for node in order[starts[number] : starts[number + 1]]:
                found[node] = number
        return found


class TaskAdjacency(Adjacency):
    """A TaskGraph as its networkx counterpart would appear; what the plan knows is not computed again.

    Raises the GraphError of a graph in which tasks share a name or a dependency is no task.
    """

    __slots__ = ("_graph", "_plan")

    def __init__(self, graph: TaskGraph) -> None:
        with graph._lock:
            graph._require_sound()
            self._plan: Plan | None = graph._compiled()
            # From here on the core is shared with the plan, so that a change gives the graph another one.
            self._predecessors = graph._core
        self._graph = graph
        self.names = self._predecessors.all_names
        self._directed, self._multigraph = True, False
        self.out_keys = self.in_keys = self.in_data = None

    @property
    def successors(self) -> Graph:
        """The core graph whose rows are the tasks behind each task, in the order they were added."""
        graph = self._graph
        with graph._lock:
            if graph._core is not self._predecessors:
                return self._predecessors.transposed()
            if graph._successors is None:
                graph._successors = graph._core.transposed()
            return graph._successors

    @property
    def plan(self) -> Plan | None:
        """The core's plan, None if there is a cycle."""
        return self._plan

    def has_changed(self) -> bool:
        """Return True if the graph got another task since."""
        return self._graph._core is not self._predecessors

    def generations(self) -> tuple[Integers, Integers]:
        """Return the tasks in the order in which they become ready, and where in it each stage starts."""
        if self._plan is None:
            return self.successors.generations()
        return self._plan.order, self._plan.stage_starts

    def generation_of(self, order: Integers, starts: Integers) -> Integers:
        """Return each task's stage."""
        return super().generation_of(order, starts) if self._plan is None else self._plan.stage_of


class ConvertedGraph(Adjacency):
    """A networkx graph in penstock's form, as it was when it was converted.

    networkx dispatches on it like on a `TaskGraph`; beside the rows it has what that lacks: directedness,
    parallel edges, attributes.  It can be pickled and copied, because networkx keeps it in the cache of the
    graph it is made of.

    Parameters
    ----------
    graph
        The networkx graph.
    edge_data, node_data, graph_data
        Keep the attributes of edges, of nodes, of the graph.
    """

    __networkx_backend__ = "penstock"

    __slots__ = ("__weakref__", "_mark", "_original", "attributes", "node_data")

    def __init__(
        self, graph: Any, *, edge_data: bool = False, node_data: bool = False, graph_data: bool = False
    ) -> None:
        self.names = names = list(graph)
        self._directed, self._multigraph = graph.is_directed(), graph.is_multigraph()
        before = graph._pred if self._directed else graph._adj
        self._predecessors, self.in_keys = self._rows(before)
        self._successors, self.out_keys = (
            self._rows(graph._adj) if self._directed else (self._predecessors, self.in_keys)
        )
        self.in_data = [data for node in names for data in before[node].values()] if edge_data else None
        self.node_data = [graph._node[node] for node in names] if node_data else None
        self.attributes = dict(graph.graph) if graph_data else {}
        self._watch(graph)

    def _rows(self, adjacency: Any) -> tuple[Graph, list[tuple[Any, ...]] | None]:
        """Return neighbors as rows, and for a multigraph the keys of the edges to each of them."""
        names = list(self.names)
        keys = None
        if self._multigraph:
            keys = [tuple(edges) for node in names for edges in adjacency[node].values()]
        return Graph.from_rows(names, [list(adjacency[node]) for node in names]), keys

    # -- the graph this was made of -------------------------------------------------------------------------

    def _watch(self, graph: Any) -> None:
        """Remember the graph, and mark its cache so that a change shows.

        A view shows the changes of another graph without noticing, and a graph without a cache cannot be
        marked: these are kept themselves, because their changes can only be seen by looking at them again.
        """
        cache = getattr(graph, "__networkx_cache__", None)
        self._mark: object = None
        self._original: Callable[[], Any]
        if cache is None or hasattr(graph, "_graph"):
            self._original = _Kept(graph)
        else:
            self._mark = cache.setdefault(_MARK, object())
            self._original = weakref.ref(graph)

    @property
    def original(self) -> Any:
        """The networkx graph this was made of, None if it is gone."""
        return self._original()

    def may_have_changed(self) -> bool:
        """Return True unless the networkx graph is surely as it was when it was converted, or gone."""
        graph = self._original()
        if graph is None:
            return False
        if self._mark is None:
            return True
        cache = graph.__networkx_cache__
        return not cache or cache.get(_MARK) is not self._mark

    # -- copies ---------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for kind in (Adjacency, ConvertedGraph) for name in _plain_slots(kind)}
        state["_original"] = self._original()
        for side in ("_successors", "_predecessors"):
            indptr, indices = state[side].arrays()
            state[side] = (indptr.format, indptr.tobytes(), indices.tobytes())
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        for side in ("_successors", "_predecessors"):
            form, indptr, indices = state[side]
            rows = Graph.from_arrays(
                memoryview(indptr).cast(form), memoryview(indices).cast("i"), False, state["names"]
            )
            state[side] = rows
        original = state.pop("_original")
        self._original = _Kept(original) if original is None or state["_mark"] is None else weakref.ref(original)
        for name, value in state.items():
            setattr(self, name, value)


class _Kept:
    """A reference that is called like a weak one."""

    __slots__ = ("_item",)

    def __init__(self, item: Any) -> None:
        self._item = item

    def __call__(self) -> Any:
        return self._item


def _plain_slots(kind: type) -> Iterator[str]:
    return (name for name in kind.__slots__ if name != "__weakref__")  # type: ignore[attr-defined]
