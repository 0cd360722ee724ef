"""dask's scheduler in the calling thread; the graph as the dictionary that it takes."""

from importlib.util import find_spec

label = "dask"
missing = None if find_spec("dask") else "dask is not installed (pip install dask)"
takes = "functions"
most = 10**4


def build(mapping):
    return mapping


def run(mapping, function):
    import dask

    return by_name(dask.get, mapping, function)


def by_name(get, mapping, function):
    graph = {
        name: ((lambda *ignored, name=name: function(name)), *dependencies) for name, dependencies in mapping.items()
    }
    return dict(zip(graph, get(graph, list(graph)), strict=True))
