"""dask's scheduler with its pool of threads."""

from .dask_peer import build, by_name, missing, most, takes

__all__ = ["build", "label", "missing", "most", "run", "takes"]

label = "dask threads"


def run(mapping, function):
    from dask.threaded import get

    return by_name(get, mapping, function)
