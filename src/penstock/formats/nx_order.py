"""Topological order for the networkx backend: generations one by one, while nobody changes the graph."""

# networkx passes its graphs as `G`, also by keyword.
# ruff: noqa: N803

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import networkx

from penstock.formats.nx_graph import ConvertedGraph, Integers, TaskAdjacency
from penstock.graph import TaskGraph

#: networkx's own words, which its users may match.
CYCLE = "Graph contains a cycle or graph changed during iteration"
_CHANGED = "Graph changed during iteration"


def topological_generations(G: TaskGraph | ConvertedGraph) -> Iterator[list[Any]]:
    """Yield lists of nodes: those without predecessors, then those whose predecessors came before, and so on.

    For a `TaskGraph` these are the stages of its plan, each in the order in which its tasks become ready.
    """
    if isinstance(G, TaskGraph):
        yield from _generations_of_tasks(TaskAdjacency(G))
    elif not G.is_directed():
        raise networkx.NetworkXError("Topological sort not defined on undirected graphs.")
    elif G.may_have_changed():
        original = G.original
        in_degree = dict(original.in_degree())
        ready = [node for node, degree in in_degree.items() if not degree]
        yield from _live_generations(original, ready, {node: degree for node, degree in in_degree.items() if degree})
    else:
        yield from _generations_of_converted(G)


def topological_sort(G: TaskGraph | ConvertedGraph) -> Iterator[Any]:
    """Yield the nodes generation by generation, so that each comes after its predecessors."""
    for generation in topological_generations(G):
        yield from generation


def _generations_of_tasks(graph: TaskAdjacency) -> Iterator[list[Any]]:
    order, starts = graph.generations()
    name = graph.names.__getitem__
    for number in range(len(starts) - 1):
        if graph.has_changed():
            raise RuntimeError(_CHANGED)
        yield list(map(name, order[starts[number] : starts[number + 1]]))
    if graph.has_changed():
        raise RuntimeError(_CHANGED)
    if len(order) < len(graph):
        raise networkx.NetworkXUnfeasible(CYCLE)


def _generations_of_converted(graph: ConvertedGraph) -> Iterator[list[Any]]:
    order, starts = graph.generations()
    name = graph.names.__getitem__
    for number in range(len(starts) - 1):
        yield list(map(name, order[starts[number] : starts[number + 1]]))
        if graph.may_have_changed():
            yield from _live_generations(graph.original, *_state_after(graph, order, starts, number + 1))
            return
    if len(order) < len(graph):
        raise networkx.NetworkXUnfeasible(CYCLE)


def _state_after(
    graph: ConvertedGraph, order: Integers, starts: Integers, number: int
) -> tuple[list[Any], dict[Any, int]]:
    """Return what networkx knows after so many generations: the next one, and what others wait for."""
    end = starts[min(number + 1, len(starts) - 1)]
    behind = set(order[: starts[number]])
    known = set(order[:end])
    waiting = {}
    entry = 0
    for node, name in enumerate(graph.names):
        n_edges = 0
        for before in graph.predecessors.predecessors_of(node):
            if before not in behind:
                n_edges += 1 if graph.in_keys is None else len(graph.in_keys[entry])
            entry += 1
        if node not in known:
            waiting[name] = n_edges
    return [graph.names[node] for node in order[starts[number] : end]], waiting


def _live_generations(graph: Any, ready: list[Any], waiting: dict[Any, int]) -> Iterator[list[Any]]:
    """Go on from a state of the search with a networkx graph that may change between two generations.

    What a change leads to is part of networkx's behaviour: RuntimeError where a node or an edge comes up that
    the state does not know, NetworkXUnfeasible where one is missed at the end.
    """
    several = graph.is_multigraph()
    while ready:
        next_ready = []
        for node in ready:
            if node not in graph:
                raise RuntimeError(_CHANGED)
            for neighbor, edges in graph.adj[node].items():
                if neighbor not in waiting:
                    raise RuntimeError(_CHANGED)
                waiting[neighbor] -= len(edges) if several else 1
                if waiting[neighbor] == 0:
                    del waiting[neighbor]
                    next_ready.append(neighbor)
        yield ready
        ready = next_ready
    if waiting:
        raise networkx.NetworkXUnfeasible(CYCLE)
