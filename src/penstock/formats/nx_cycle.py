"""Where `find_cycle` starts, how it goes on where edges may be followed both ways, and how it names edges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import networkx

from penstock._core import Graph
from penstock.formats.nx_graph import Adjacency

#: An edge as networkx reports it, the node it leads to, and what tells it from other edges.
_Step = tuple[tuple[Any, ...], int, tuple[Any, ...]]


def starting_nodes(graph: Adjacency, source: Any) -> Iterator[int]:
    """Yield the numbers of the nodes that `source` names: all, one, or those of an iterable in the graph."""
    if source is None:
        yield from range(len(graph))
    elif (node := graph.index(source)) >= 0:
        yield node
    else:
        try:
            candidates = iter(source)
        except TypeError:
            raise networkx.NetworkXError(f"Node {source} is not in the graph.") from None
        for name in candidates:
            try:
                hash(name)
            except TypeError:
                raise networkx.NetworkXError(f"Node {name} in sequence nbunch is not a valid node.") from None
            if (node := graph.index(name)) >= 0:
                yield node


def directed_cycle(graph: Adjacency, starts: Iterator[int], orientation: str | None) -> list[tuple[Any, ...]]:
    """Return the edges of the first cycle along the directions of the edges, or against them."""
    backward = orientation == "reverse"
    rows = graph.predecessors if backward else graph.successors
    cycle = rows.find_cycle(starts)
    names, suffix = graph.names, _suffix(orientation)
    edges = []
    for here, there in zip(cycle, [*cycle[1:], *cycle[:1]], strict=True):
        tail, head = (there, here) if backward else (here, there)
        # Of parallel edges networkx takes the first.
        key = () if graph.out_keys is None else graph.out_keys[_entry(graph.successors, tail, head)][:1]
        edges.append((names[tail], names[head], *key, *suffix))
    return edges


def _suffix(orientation: str | None) -> tuple[str, ...]:
    return () if orientation is None else ("reverse",) if orientation == "reverse" else ("forward",)


def _entry(rows: Graph, node: int, neighbor: int) -> int:
    """Return where among the entries of all rows the one for this neighbor stands."""
    return rows.arrays()[0][node] + rows.predecessors_of(node).index(neighbor)


def undirected_cycle(graph: Adjacency, starts: Iterator[int], orientation: str | None) -> list[tuple[Any, ...]]:
    """Return the edges of the first cycle when every edge may be followed both ways, but only once.

    A forest has fewer edges than nodes, so this ends soon: with the first edge to a node that was met.
    """
    met: set[int] = set()
    used: set[tuple[Any, ...]] = set()
    for start in starts:
        if start in met:
            continue
        met.add(start)
        path, edges, untried = [start], list[tuple[Any, ...]](), [_steps(graph, start, orientation)]
        while path:
            step = next((step for step in untried[-1] if step[2] not in used), None)
            if step is None:
                path.pop()
                untried.pop()
                del edges[-1:]
                continue
            edge, head, identity = step
            used.add(identity)
            if head in met:
                return [*edges[path.index(head) :], edge]
            met.add(head)
            path.append(head)
            edges.append(edge)
            untried.append(_steps(graph, head, orientation))
    return []


def _steps(graph: Adjacency, node: int, orientation: str | None) -> Iterator[_Step]:
    """Yield the edges at a node in networkx's order: those out of it, and if directed then those into it."""
    names = graph.names
    suffix = () if orientation is None else ("forward",)
    for head, key in _neighbors(graph.successors, graph.out_keys, node):
        ends = (node, head) if graph.is_directed() else (min(node, head), max(node, head))
        yield (names[node], names[head], *key, *suffix), head, (*ends, *key)
    if graph.is_directed():
        for tail, key in _neighbors(graph.predecessors, graph.in_keys, node):
            yield (names[tail], names[node], *key, "reverse"), tail, (tail, node, *key)


def _neighbors(rows: Graph, keys: list[tuple[Any, ...]] | None, node: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
    row = rows.predecessors_of(node)
    if keys is None:
        yield from ((neighbor, ()) for neighbor in row)
        return
    first = rows.arrays()[0][node]
    for entry, neighbor in enumerate(row, first):
        yield from ((neighbor, (key,)) for key in keys[entry])
