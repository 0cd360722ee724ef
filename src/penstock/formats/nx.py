"""Graphs to and from networkx, and the question whether one is acyclic.

This module and the backend's, `nx_*`, are the only ones that know networkx.  Here it is imported when a
function is called: importing it takes longer than everything else penstock does at start-up.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from penstock._core import Graph

if TYPE_CHECKING:
    import networkx

    from penstock.graph import TaskGraph


def is_acyclic(graph: TaskGraph) -> bool:
    """Ask networkx, which dispatches to the compiled core; the answer is the planning pass itself.

    The backend is named, so that neither networkx's configuration nor its environment variables send the
    graph elsewhere.  A networkx that cannot reach it (penstock's metadata is missing, as in a copy inside
    another package; a setting with which networkx itself fails) is passed over, and the pass asked directly.
    """
    networkx = _networkx()
    if networkx is not None:
        try:
            return bool(networkx.is_directed_acyclic_graph(graph, backend="penstock"))
        except Exception:
            # An exception of the pass itself comes again below.
            pass
    return graph._compiled() is not None


@functools.cache
def _networkx() -> Any:
    """Return networkx, None if it cannot be imported; a failure is kept, because trying again takes long."""
    try:
        import networkx
    except Exception:
        return None
    return networkx


def from_networkx(graph: networkx.DiGraph[Any]) -> Graph:
    """Return the core graph of a DiGraph, its nodes in their order; an edge u -> v makes v depend on u."""
    import networkx

    if not isinstance(graph, networkx.Graph):
        raise TypeError(f"{type(graph).__name__!r} is no networkx graph")
    if not graph.is_directed():
        raise TypeError("the networkx graph is undirected; a task graph needs a DiGraph")
    nodes = list(graph)
    return Graph.from_rows(nodes, [list(graph._pred[node]) for node in nodes])


def to_networkx(graph: TaskGraph) -> networkx.DiGraph[Any]:
    """Return the DiGraph of a graph: an edge from each task to every task that depends on it."""
    import networkx

    names = graph._core.all_names
    indptr, indices = (view.tolist() for view in graph._core.arrays())
    digraph: networkx.DiGraph[Any] = networkx.DiGraph()
    digraph.add_nodes_from(names)
    digraph.add_edges_from(
        (names[source], name) for task, name in enumerate(names) for source in indices[indptr[task] : indptr[task + 1]]
    )
    return digraph
