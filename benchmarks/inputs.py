"""The graphs that the benchmarks measure, made once and kept while the same one is asked for."""

from __future__ import annotations

from functools import lru_cache

from peers import Facts
from penstock.testing import shapes

MAPPINGS = {
    "chain": shapes.chain,
    "fan-out-in": shapes.fan_out_in,
    "layered": shapes.layered,
    "wide": shapes.wide,
}
ARRAYS = {"layered": shapes.layered_csr, "wide": shapes.wide_csr}

# How the names arrive: whether the dependencies are the very objects that are the keys, and in which order.
VARIANTS = ["same", "separate", "shuffled-same", "shuffled-separate"]


@lru_cache(maxsize=1)
def _unchanged(shape: str, n: int, variant: str) -> dict[str, list[str]]:
    return MAPPINGS[shape](n) if variant == "same" else shapes.shuffled(MAPPINGS[shape](n))


def arriving(shape: str, n: int, variant: str) -> dict[str, list[str]]:
    """Return the input for one turn of one contender.

    Separate strings are made afresh each time, since the first who looks one up leaves its hash behind for
    the next; made before they are shuffled, so that a walk through the input jumps about in memory.  Nothing
    else is kept meanwhile: the collector would walk through it during everyone's turn.
    """
    if variant in ("same", "shuffled-same"):
        return _unchanged(shape, n, variant)
    _unchanged.cache_clear()
    separate = shapes.with_separate_strings(MAPPINGS[shape](n))
    return separate if variant == "separate" else shapes.shuffled(separate)


@lru_cache(maxsize=1)
def facts(shape: str, n: int) -> Facts:
    graph = MAPPINGS[shape](n)
    stage: dict[str, int] = {}
    for name, dependencies in graph.items():  # the shapes list every task after its dependencies
        stage[name] = 1 + max([stage[before] for before in dependencies], default=0)
    return Facts(len(graph), sum(map(len, graph.values())), max(stage.values(), default=0))


@lru_cache(maxsize=1)
def arrays(shape: str, n: int, numbering: str):
    """Return CSR arrays of predecessors, tasks numbered in ``stage`` order or at ``random``."""
    in_order = _in_stage_order(shape, n)
    return in_order if numbering == "stage" else shapes.shuffled_csr(*in_order)


@lru_cache(maxsize=1)
def _in_stage_order(shape: str, n: int):
    return ARRAYS[shape](n)


def array_facts(shape: str, n: int) -> Facts:
    indptr, indices = _in_stage_order(shape, n)
    width = next((i for i in range(n) if indptr[i + 1]), n)
    return Facts(n, len(indices), -(-n // max(width, 1)))
