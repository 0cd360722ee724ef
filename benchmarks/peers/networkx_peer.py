"""networkx: a DiGraph from the mapping, then its topological generations."""

import networkx

label = "networkx"
missing = None


def build(mapping):
    graph = networkx.DiGraph()
    graph.add_nodes_from(mapping)
    graph.add_edges_from((before, name) for name, dependencies in mapping.items() for before in dependencies)
    return graph, list(networkx.topological_generations(graph))


def facts(result):
    graph, generations = result
    return len(graph), graph.number_of_edges(), len(generations)
