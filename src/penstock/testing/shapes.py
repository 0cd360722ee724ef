"""Seeded graph shapes for tests and benchmarks.

Every shape is a mapping from task name to the names it depends on (graphlib's direction), or the same
graph as CSR arrays of predecessors: task ``i`` depends on ``indices[indptr[i]:indptr[i + 1]]``.  Tasks
are numbered in stage order and named after their number, and a dependency is the very string object that
is the key; ``shuffled``, ``with_separate_strings`` and ``shuffled_csr`` take these kindnesses away.

Random draws use ``Random.random`` alone, the only method that promises the same sequence on every Python,
and draw a layer at a time: a call of ``Random.sample`` per task would take longer than planning the graph.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from random import Random
from typing import Any

__all__ = [
    "binary_tree",
    "chain",
    "diamond",
    "fan_out_in",
    "history_csr",
    "layered",
    "layered_csr",
    "random_dag",
    "shuffled",
    "shuffled_csr",
    "wide",
    "wide_csr",
    "with_separate_strings",
]

Predecessors = dict[str, list[str]]
CSR = tuple["array[int]", "array[int]"]


def chain(n: int) -> Predecessors:
    """Return ``n`` tasks, each depending on the one before."""
    names = _names(n)
    return {name: names[max(i - 1, 0) : i] for i, name in enumerate(names)}


def fan_out_in(n: int) -> Predecessors:
    """Return one source, ``n - 2`` tasks that depend on it, and one sink that depends on those."""
    names = _names(n)
    mapping = {name: names[: min(i, 1)] for i, name in enumerate(names)}
    if n > 2:
        mapping[names[-1]] = names[1:-1]
    return mapping


def diamond() -> Predecessors:
    """Return the smallest graph with a fork and a join."""
    return {"source": [], "left": ["source"], "right": ["source"], "sink": ["left", "right"]}


def binary_tree(n: int) -> Predecessors:
    """Return ``n`` tasks that branch in two from the first: task ``i`` depends on ``(i - 1) // 2``."""
    names = _names(n)
    return {name: [names[(i - 1) // 2]] if i else [] for i, name in enumerate(names)}


def layered(n: int, seed: int = 0, *, n_dependencies: int = 3) -> Predecessors:
    """Return layers of ``round(sqrt(n))`` tasks with distinct dependencies drawn from the layer before.

    Parameters
    ----------
    n
        How many tasks; the last layer may be shorter than the others.
    seed
        Of the draws.
    n_dependencies
        Dependencies of each task after the first layer, or the whole layer before if that is smaller.
    """
    return _named(layered_csr(n, seed, n_dependencies=n_dependencies))


def wide(n: int, seed: int = 0, *, n_dependencies: int = 3) -> Predecessors:
    """Return ten layers of ``n / 10`` tasks with distinct dependencies drawn from the layer before."""
    return _named(wide_csr(n, seed, n_dependencies=n_dependencies))


def random_dag(n: int, p: float, seed: int = 0) -> Predecessors:
    """Return ``n`` tasks in which each one depends on each earlier one with probability ``p``."""
    if not 0 <= p <= 1:
        raise ValueError(f"p must be a probability from 0 to 1, not {p!r}")
    names = _names(n)
    mapping: Predecessors = {name: [] for name in names}
    skip = _geometric(p, seed)
    i, j = 1, skip()  # the next dependency: task i on task j, with the pairs j < i counted row by row
    while i < n:
        if j < i:
            mapping[names[i]].append(names[j])
            j += 1 + skip()
        else:
            j -= i
            i += 1
    return mapping


def layered_csr(n: int, seed: int = 0, *, n_dependencies: int = 3) -> CSR:
    """Return the graph of ``layered`` as ``(indptr, indices)`` of predecessors."""
    return _layers(n, max(1, round(math.sqrt(max(n, 0)))), seed, n_dependencies)


def wide_csr(n: int, seed: int = 0, *, n_dependencies: int = 3) -> CSR:
    """Return the graph of ``wide`` as ``(indptr, indices)`` of predecessors."""
    return _layers(n, max(1, math.ceil(n / 10)), seed, n_dependencies)


def with_separate_strings(mapping: Mapping[str, Sequence[str]]) -> Predecessors:
    """Return the mapping with dependencies that equal the keys but are other objects.

    Each mention is a string of its own, as it comes out of a parser, and nothing has asked for its hash
    yet.  Whoever looks it up first computes and caches the hash in the string, so a fair comparison makes
    a fresh copy for each contender.  Names of one character cannot be separated: CPython keeps one object.
    """
    return {name: [(dependency + "\0")[:-1] for dependency in mapping[name]] for name in mapping}


def shuffled(mapping: Mapping[str, list[str]], seed: int = 0) -> Predecessors:
    """Return the mapping with its items in random order; keys and lists are the same objects."""
    items = list(mapping.items())
    _shuffle(items, seed)
    return dict(items)


def shuffled_csr(indptr: array[int], indices: array[int], seed: int = 0) -> CSR:
    """Return the same graph with its tasks randomly numbered."""
    old_of_new = list(range(len(indptr) - 1))
    _shuffle(old_of_new, seed)
    new_of_old = array("i", bytes(4 * len(old_of_new)))
    for new, old in enumerate(old_of_new):
        new_of_old[old] = new
    new_indptr, new_indices = array("i", [0]), array("i")
    for old in old_of_new:
        for predecessor in indices[indptr[old] : indptr[old + 1]]:
            new_indices.append(new_of_old[predecessor])
        new_indptr.append(len(new_indices))
    return new_indptr, new_indices


def history_csr(n: int, seed: int = 0) -> CSR:
    """Return a graph in the shape of a version-control history: deep, narrow, with branches and merges.

    Four branches go on side by side.  Most tasks continue one; about a quarter merge another into it, or, rarely, up to
    nine others from the recent past.
    """
    random = Random(seed).random
    heads: list[int] = []
    indptr, indices = array("i", [0]), array("i")
    for task in range(n):
        if len(heads) < 4 and (not heads or random() < 0.5):
            parents = [max(0, task - 1 - int(random() * 50))] if task else []
            heads.append(task)
        else:
            branch = int(random() * len(heads))
            parents = [heads[branch]]
            draw = random()
            if draw < 0.003:
                parents = list(dict.fromkeys([*parents, *(max(0, task - 1 - int(random() * 50)) for _ in range(9))]))
            elif draw < 0.33 and len(heads) > 1:
                parents.append(heads.pop((branch + 1 + int(random() * (len(heads) - 1))) % len(heads)))
            heads[heads.index(parents[0])] = task
        indices.extend(parents)
        indptr.append(len(indices))
    return indptr, indices


def _names(n: int) -> list[str]:
    if n < 0:
        raise ValueError(f"a graph cannot have {n} tasks")
    return [f"task-{i}" for i in range(n)]


def _named(csr: CSR) -> Predecessors:
    indptr, indices = csr
    names = _names(len(indptr) - 1)
    dependencies = [names[i] for i in indices]
    return {name: dependencies[low:high] for name, (low, high) in zip(names, pairwise(indptr), strict=True)}


def _layers(n: int, width: int, seed: int, n_dependencies: int) -> CSR:
    if n < 0 or n_dependencies < 0:
        raise ValueError(f"a graph cannot have {n} tasks with {n_dependencies} dependencies each")
    k = min(n_dependencies, width)
    first = min(n, width)
    indptr = array("i", bytes(4 * (n + 1)))
    if k:
        indptr[first:] = array("i", range(0, (n - first) * k + 1, k))
    indices = array("i")
    random = Random(seed).random
    for start in range(width, n, width):
        low = start - width
        drawn = [low + int(random() * width) for _ in range(min(width, n - start) * k)]
        for i in range(0, len(drawn), k or 1):
            if len({*drawn[i : i + k]}) < k:
                drawn[i : i + k] = _distinct(random, low, width, k)
        indices.extend(drawn)
    return indptr, indices


def _distinct(random: Callable[[], float], low: int, width: int, k: int) -> list[int]:
    drawn: dict[int, None] = {}
    while len(drawn) < k:
        drawn[low + int(random() * width)] = None
    return list(drawn)


def _geometric(p: float, seed: int) -> Callable[[], int]:
    """Draw how many pairs to pass over before the next edge, so that a sparse graph costs its edges only."""
    random = Random(seed).random
    if p in (0, 1):
        return lambda: 0 if p else 1 << 62
    scale = 1 / math.log1p(-p)
    return lambda: int(math.log1p(-random()) * scale)


def _shuffle(items: list[Any], seed: int) -> None:
    random = Random(seed).random
    for i in range(len(items) - 1, 0, -1):
        j = int(random() * (i + 1))
        items[i], items[j] = items[j], items[i]
