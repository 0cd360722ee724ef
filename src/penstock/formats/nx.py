"""Graphs to and from networkx, and the question whether one is acyclic.

This module and `nx_backend` are the only ones that import networkx, and only when called: importing it takes
longer than everything else penstock does at start-up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock._core import Graph

if TYPE_CHECKING:
    import networkx

    from penstock.graph import TaskGraph


def is_acyclic(graph: TaskGraph) -> bool:
    """Ask networkx, which dispatches to the compiled core; the answer is the planning pass itself."""
    import networkx

    return bool(networkx.is_directed_acyclic_graph(graph))


def from_networkx(graph: networkx.DiGraph[Any]) -> Graph:
    """Return the core graph of a DiGraph, its nodes in their order; an edge u -> v makes v depend on u."""
    import networkx

    if not isinstance(graph, networkx.Graph):
        raise TypeError(f"{type(graph).__name__!r} is no networkx graph")
    if not graph.is_directed():
        raise TypeError("the networkx graph is undirected; a task graph needs a DiGraph")
    nodes = list(graph)
    return Graph.from_successor_rows(nodes, [list(graph._succ[node]) for node in nodes])


def to_networkx(graph: TaskGraph) -> networkx.DiGraph[Any]:
    """Return the DiGraph of a graph: an edge from each task to every task that depends on it."""
    import networkx

    names = graph.names
    digraph: networkx.DiGraph[Any] = networkx.DiGraph()
    digraph.add_nodes_from(names)
    core = graph._core
    for task, name in enumerate(names):
        digraph.add_edges_from((names[source], name) for source in core.predecessors_of(task))
    return digraph
