"""The networkx backend: functions that networkx dispatches here, under its own names and signatures.

They answer for a `TaskGraph`, and for networkx's own graphs converted by `convert_from_nx`, what networkx
answers: the same results in the same order, the same exceptions, generators where networkx has generators.
"""

# networkx passes its graphs as `G`, also by keyword.
# ruff: noqa: N803

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import networkx

from penstock.formats import nx_cycle, nx_path
from penstock.formats.nx_graph import Adjacency, ConvertedGraph, TaskAdjacency
from penstock.formats.nx_order import CYCLE, topological_generations, topological_sort
from penstock.graph import TaskGraph

__all__ = [
    "ancestors",
    "can_run",
    "convert_from_nx",
    "convert_to_nx",
    "dag_longest_path",
    "dag_longest_path_length",
    "descendants",
    "find_cycle",
    "is_directed_acyclic_graph",
    "should_run",
    "topological_generations",
    "topological_sort",
    "transitive_reduction",
]

#: Functions whose answer takes networkx longer than converting the graph does; the others are about even.
_WORTH_CONVERTING = frozenset({"dag_longest_path", "dag_longest_path_length", "find_cycle", "transitive_reduction"})

#: Graphs with fewer nodes are not worth it in any case.
_SMALL = 100


# -- the interface ------------------------------------------------------------------------------------------


def convert_from_nx(
    graph: Any,
    *,
    edge_attrs: dict[str, Any] | None = None,
    node_attrs: dict[str, Any] | None = None,
    preserve_edge_attrs: bool = False,
    preserve_node_attrs: bool = False,
    preserve_graph_attrs: bool = False,
    **_: Any,
) -> ConvertedGraph:
    """Return a networkx graph in penstock's form; attributes are kept as far as the caller asks for them."""
    return ConvertedGraph(
        graph,
        edge_data=bool(edge_attrs) or preserve_edge_attrs,
        node_data=bool(node_attrs) or preserve_node_attrs,
        graph_data=preserve_graph_attrs,
    )


def convert_to_nx(obj: Any, **_: Any) -> Any:
    """Return a graph of this backend as a networkx graph, and anything else as it is."""
    if isinstance(obj, TaskGraph):
        return obj.to_networkx()
    return _rebuilt(obj) if isinstance(obj, ConvertedGraph) else obj


def can_run(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool | str:
    """Return True, or the reason why a call of one of the functions here cannot be answered."""
    if isinstance(_graph_argument(args, kwargs), (TaskGraph, ConvertedGraph, networkx.Graph)):
        return True
    return "penstock converts only networkx's own graphs"


def should_run(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool | str:
    """Return True if it pays to convert the networkx graph of a call, else the reason why not.

    networkx asks when its configuration, not the call, names this backend.
    """
    graph = _graph_argument(args, kwargs)
    if "penstock" in (getattr(graph, "__networkx_cache__", None) or {}).get("backends", {}):
        return True
    if len(graph) < _SMALL:
        return "networkx answers for a small graph before it is converted"
    if name not in _WORTH_CONVERTING:
        return "networkx answers once in the time that it takes to convert the graph"
    return True


def _graph_argument(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0] if args else kwargs["G"]


def _rebuilt(graph: ConvertedGraph) -> Any:
    """Return the networkx graph that a converted one stands for, with the attributes that were kept."""
    kinds = {
        (False, False): networkx.Graph,
        (False, True): networkx.MultiGraph,
        (True, False): networkx.DiGraph,
        (True, True): networkx.MultiDiGraph,
    }
    result = kinds[graph.is_directed(), graph.is_multigraph()]()
    result.graph.update(graph.attributes)
    result.add_nodes_from(graph.names if graph.node_data is None else zip(graph.names, graph.node_data, strict=True))
    result.add_edges_from(_edges(graph))
    return result


def _edges(graph: ConvertedGraph) -> Iterator[tuple[Any, ...]]:
    names = graph.names
    indptr, indices = (view.tolist() for view in graph.predecessors.arrays())
    for node, name in enumerate(names):
        for entry in range(indptr[node], indptr[node + 1]):
            before = names[indices[entry]]
            data = {} if graph.in_data is None else graph.in_data[entry]
            if graph.in_keys is None:
                yield before, name, data
            else:
                yield from ((before, name, key, data.get(key, {})) for key in graph.in_keys[entry])


def _adjacency(graph: TaskGraph | Adjacency) -> Adjacency:
    return TaskAdjacency(graph) if isinstance(graph, TaskGraph) else graph


# -- cycles and reach ---------------------------------------------------------------------------------------


def is_directed_acyclic_graph(G: TaskGraph | ConvertedGraph) -> bool:
    """Return True if the graph is directed and has no cycle."""
    if isinstance(G, TaskGraph):
        with G._lock:
            G._require_sound()
            return G._compiled() is not None
    return G.is_directed() and len(G.generations()[0]) == len(G)


def find_cycle(
    G: TaskGraph | ConvertedGraph, source: Any = None, orientation: str | None = None
) -> list[tuple[Any, ...]]:
    """Return the edges of the first cycle that a depth-first search meets.

    Raises
    ------
    NetworkXNoCycle
        There is none.
    NetworkXError
        `source` is no node and no iterable of nodes, or the orientation is not one of networkx's.
    """
    graph = _adjacency(G)
    starts = nx_cycle.starting_nodes(graph, source)
    if not graph.is_directed() or orientation == "ignore":
        cycle = nx_cycle.undirected_cycle(graph, starts, orientation)
    elif orientation in (None, "original", "reverse"):
        cycle = nx_cycle.directed_cycle(graph, starts, orientation)
    elif next(starts, None) is not None:
        raise networkx.NetworkXError("invalid orientation argument.")
    else:
        cycle = []
    if not cycle:
        raise networkx.NetworkXNoCycle("No cycle found.")
    return cycle


def ancestors(G: TaskGraph | ConvertedGraph, source: Any) -> set[Any]:
    """Return all nodes from which there is a path to `source`, without itself."""
    graph = _adjacency(G)
    return _reached(graph, graph.predecessors, source)


def descendants(G: TaskGraph | ConvertedGraph, source: Any) -> set[Any]:
    """Return all nodes to which there is a path from `source`, without itself."""
    graph = _adjacency(G)
    return _reached(graph, graph.successors, source)


def _reached(graph: Adjacency, rows: Any, source: Any) -> set[Any]:
    hash(source)
    start = graph.index(source)
    if start < 0:
        kind = "digraph" if graph.is_directed() else "graph"
        raise networkx.NetworkXError(f"The node {source} is not in the {kind}.")
    found = rows.reachable([start])
    return set(map(graph.names.__getitem__, found[1:]))


# -- longest paths and reduction ----------------------------------------------------------------------------


def dag_longest_path(
    G: TaskGraph | ConvertedGraph,
    weight: Any = "weight",
    default_weight: Any = 1,
    topo_order: Iterable[Any] | None = None,
) -> list[Any]:
    """Return the nodes of the path whose edges weigh most; those of a `TaskGraph` have the default weight."""
    return _longest(_adjacency(G), weight, default_weight, topo_order)[0]


def dag_longest_path_length(G: TaskGraph | ConvertedGraph, weight: Any = "weight", default_weight: Any = 1) -> Any:
    """Return the sum of the weights along the longest path."""
    length = 0
    # Added one by one as networkx does; sum() rounds floats differently.
    for edge_weight in _longest(_adjacency(G), weight, default_weight, None)[1]:
        length += edge_weight
    return length


def _longest(
    graph: Adjacency, weight: Any, default_weight: Any, topo_order: Iterable[Any] | None
) -> tuple[list[Any], list[Any]]:
    if len(graph) == 0:
        return [], []
    if topo_order is not None:
        path = nx_path.longest_path_by_order(graph, topo_order, weight, default_weight)
    else:
        order, starts = graph.generations()
        if len(order) < len(graph):
            raise networkx.NetworkXUnfeasible(CYCLE)
        path = nx_path.longest_path(graph, order, starts, weight, default_weight)
    return [graph.names[node] for node in path.nodes], path.weights


def transitive_reduction(G: TaskGraph | ConvertedGraph) -> Any:
    """Return the graph with the fewest edges that connects the same nodes.

    For a `TaskGraph` that is another one, with the same functions (which get fewer results where results are
    passed); for a networkx graph it is a DiGraph without attributes, to be used like the one that was given.
    """
    graph = _adjacency(G)
    order, _ = graph.generations()
    if len(order) < len(graph):
        raise networkx.NetworkXError("Directed Acyclic Graph required for transitive_reduction")
    if isinstance(G, TaskGraph):
        result = TaskGraph._of(graph.predecessors.reduced(order))
        result._functions.update(G.functions)
        return result
    # Rows of successors lead to nodes that come later, so the order is taken from its end.
    rows = graph.successors.reduced(order[::-1])
    digraph = networkx.DiGraph()
    digraph.add_nodes_from(graph.names)
    for name, row in zip(graph.names, rows.rows_of_names(), strict=True):
        digraph.add_edges_from((name, other) for other in row)
    return digraph
