"""networkx as the oracle of the backend: random graphs, calls to make, and what came of each."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import networkx

from penstock import TaskGraph

WEIGHTS = (-3, -1, 0, 1, 2, 5, 0.1, 0.7)
DEFAULT_WEIGHTS = (1, 0, -1, 2.5, 0.1, True, float("inf"), float("nan"))
ORIENTATIONS = (None, "original", "reverse", "ignore", "sideways")


def random_graph(seed: int) -> Any:
    """A graph of any of networkx's kinds, often a DAG, else with cycles and self-loops; edges come and go.

    The orders of nodes, of successors and of predecessors have nothing to do with one another.
    """
    rng = random.Random(seed)
    kinds = [networkx.DiGraph, networkx.DiGraph, networkx.MultiDiGraph, networkx.Graph, networkx.MultiGraph]
    graph = rng.choice(kinds)()
    n = rng.randrange(14)
    names = [*range(n // 2), *(f"t{i}" for i in range(n - n // 2))]
    rng.shuffle(names)
    graph.add_nodes_from(names[: rng.randrange(n + 1)])
    acyclic = rng.random() < 0.5
    rank = {name: i for i, name in enumerate(rng.sample(names, n))}
    for _ in range(rng.randrange(3 * n + 1)):
        ends = rng.choices(names, k=2)
        if acyclic:
            ends.sort(key=rank.__getitem__)
            if ends[0] == ends[1]:
                continue
        graph.add_edge(*ends, **({"weight": rng.choice(WEIGHTS)} if rng.random() < 0.7 else {}))
    for _ in range(min(rng.randrange(3), graph.number_of_edges())):
        graph.remove_edge(*rng.choice(list(graph.edges()))[:2])
    return graph


class Call(NamedTuple):
    """A networkx function and its arguments behind the graph."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def __call__(self, graph: Any, **backend: str) -> Any:
        """What came of it, in a form that can be compared; of an iterator what it gave before it failed."""
        given = []
        try:
            result = self.function(graph, *self.arguments, **backend)
            if not isinstance(result, Iterator):
                return _comparable(result)
            for item in result:
                given.append(item)
        except Exception as error:
            return given, type(error), str(error)
        return given


def _comparable(result: Any) -> Any:
    if isinstance(result, TaskGraph):
        result = result.to_networkx()
    if isinstance(result, networkx.Graph):
        return type(result), list(result), set(result.edges)
    return result


def calls(graph: Any, seed: int) -> Iterator[Call]:
    """Calls of every function of the backend that make sense for a graph, and some that do not."""
    rng = random.Random(seed)
    nodes = [*graph, "missing"]
    yield Call(networkx.is_directed_acyclic_graph, ())
    yield Call(networkx.topological_generations, ())
    yield Call(networkx.topological_sort, ())
    yield Call(networkx.transitive_reduction, ())
    for node in nodes:
        yield Call(networkx.ancestors, (node,))
        yield Call(networkx.descendants, (node,))
    several = rng.sample(nodes, len(nodes) // 2)
    for source, orientation in itertools.product([None, *nodes, several, [["list"]]], ORIENTATIONS):
        yield Call(networkx.find_cycle, (source, orientation))
    for weight, default in itertools.product(("weight", "other", None), DEFAULT_WEIGHTS):
        yield Call(networkx.dag_longest_path, (weight, default))
        yield Call(networkx.dag_longest_path_length, (weight, default))
    orders = [rng.sample(list(graph), len(graph)), [], [*graph, "missing"]]
    if networkx.is_directed_acyclic_graph(graph, backend="networkx"):
        topological = list(networkx.topological_sort(graph, backend="networkx"))
        orders += [topological, topological * 2, topological[: len(topological) // 2]]
    for order in orders:
        yield Call(networkx.dag_longest_path, ("weight", 1, order))


def change(graph: Any, seed: int) -> None:
    """Add or remove one node or edge."""
    rng = random.Random(seed)
    nodes, edges = list(graph), [edge[:2] for edge in graph.edges()]
    changes = [
        lambda: graph.add_node("new"),
        lambda: graph.add_edge(rng.choice(nodes), "new"),
        lambda: graph.add_edge("new", rng.choice(nodes)),
        lambda: graph.add_edge(rng.choice(nodes), rng.choice(nodes)),
        lambda: graph.remove_node(rng.choice(nodes)),
        lambda: graph.remove_edge(*rng.choice(edges)) if edges else graph.remove_node(rng.choice(nodes)),
    ]
    rng.choice(changes)()
