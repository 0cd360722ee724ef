"""The longest path as networkx finds it: by weights of edges, ties going to the first in networkx's order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from penstock.formats.nx_graph import Adjacency, Integers


class LongestPath(NamedTuple):
    """The nodes along a path, and the weights of the edges between them."""

    nodes: list[int]
    weights: list[Any]


def longest_path(graph: Adjacency, order: Integers, starts: Integers, weight: Any, default_weight: Any) -> LongestPath:
    """Return the longest path of an acyclic graph with at least one node, whose `generations` are given."""
    if graph.in_data is None and _counts_edges(default_weight, len(starts)):
        nodes = _deepest(graph, order, starts)
        return LongestPath(nodes, [default_weight] * (len(nodes) - 1))
    return _heaviest(graph, _edge_weights(graph, weight, default_weight), order)


def longest_path_by_order(graph: Adjacency, topo_order: Iterable[Any], weight: Any, default_weight: Any) -> LongestPath:
    """Return the longest path as it comes out when the nodes are taken in an order given by the user."""

    def numbers() -> Iterator[int]:
        for name in topo_order:
            if (node := graph.index(name)) < 0:
                raise KeyError(name)
            yield node

    try:
        return _heaviest(graph, _edge_weights(graph, weight, default_weight), numbers())
    except _NotYet as error:
        # The order names a node before one that leads to it.
        raise KeyError(graph.names[error.args[0]]) from None


def _counts_edges(weight: Any, longest: int) -> bool:
    """Return True if a path whose edges all have this weight is longer whenever it has more edges."""
    if type(weight) is int:
        return weight > 0
    # Not so for floats that are lost when they are added to their own sum.
    return type(weight) is float and weight > 0.0 and weight * longest < math.inf


def _deepest(graph: Adjacency, order: Integers, starts: Integers) -> list[int]:
    """Return a path through all generations, which is found from its end."""
    generation_of = graph.generation_of(order, starts)
    depth = len(starts) - 1
    node = order[starts[depth - 1]]
    path = [node]
    for number in range(depth - 2, -1, -1):
        node = next(before for before in graph.predecessors.predecessors_of(node) if generation_of[before] == number)
        path.append(node)
    path.reverse()
    return path


def _edge_weights(graph: Adjacency, weight: Any, default_weight: Any) -> list[Any]:
    """Return the weight of every entry of `predecessors`; of parallel edges the heaviest counts."""
    if graph.in_data is None:
        return [default_weight] * graph.predecessors.n_edges
    if graph.is_multigraph():
        return [max(data.get(weight, default_weight) for data in edges.values()) for edges in graph.in_data]
    return [data.get(weight, default_weight) for data in graph.in_data]


class _NotYet(Exception):
    """A node was needed before its turn."""


def _heaviest(graph: Adjacency, weights: list[Any], order: Iterable[int]) -> LongestPath:
    """Go through the nodes in order, keeping for each the length of the best path to it and its last edge."""
    indptr, indices = (view.tolist() for view in graph.predecessors.arrays())
    best: dict[int, tuple[Any, int]] = {}
    for node in order:
        length, edge = 0, -1
        for entry in range(indptr[node], indptr[node + 1]):
            before = best.get(indices[entry])
            if before is None:
                raise _NotYet(indices[entry])
            through = before[0] + weights[entry]
            if edge < 0 or through > length:
                length, edge = through, entry
        # A path of negative length is worse than none.
        best[node] = (length, edge) if length >= 0 else (0, -1)
    node = max(best, key=lambda candidate: best[candidate][0])
    path, along = [node], []
    while (edge := best[node][1]) >= 0:
        node = indices[edge]
        path.append(node)
        along.append(weights[edge])
    path.reverse()
    along.reverse()
    return LongestPath(path, along)
