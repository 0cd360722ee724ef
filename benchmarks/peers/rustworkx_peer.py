"""rustworkx, fed through a name dictionary, then its topological generations."""

label = "rustworkx"
missing = None
try:
    import rustworkx
except ImportError:
    missing = "rustworkx is not installed (it comes with the extra `bench`)"


def build(mapping):
    idx = {name: i for i, name in enumerate(mapping)}
    graph = rustworkx.PyDiGraph()
    graph.add_nodes_from(list(mapping))
    # The fastest of its ways to take edges; a list of tuples is what each of them wants.
    graph.extend_from_edge_list(
        [(idx[before], i) for i, dependencies in enumerate(mapping.values()) for before in dependencies]
    )
    return graph, rustworkx.topological_generations(graph)


def facts(result):
    graph, generations = result
    return graph.num_nodes(), graph.num_edges(), len(generations)
