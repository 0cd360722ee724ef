"""A graph in the shape of a version-control history, deep and narrow, against graphlib."""

from graphlib import TopologicalSorter
from itertools import pairwise

from penstock import TaskGraph
from penstock.testing import shapes

N = 82_000


def test_its_generations_are_those_of_graphlib():
    indptr, indices = shapes.history_csr(N)
    plan = TaskGraph.from_arrays(indptr, indices).plan()
    mapping = {task: indices[low:high] for task, (low, high) in enumerate(pairwise(indptr))}
    sorter = TopologicalSorter(mapping)
    sorter.prepare()
    stages = []
    while sorter:
        ready = sorter.get_ready()
        stages.append(sorted(ready))
        sorter.done(*ready)
    assert [stage.start_tasks for stage in plan.stages] == stages
    assert 100_000 < len(indices) < 106_000
    assert 24_000 < plan.depth < 28_000
    assert max(map(len, mapping.values())) >= 9
