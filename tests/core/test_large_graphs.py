"""A million tasks are ordinary: no recursion, no quadratic step, bounded messages."""

import array
import time

import pytest

from penstock import CycleError, TaskGraph
from penstock._core import CHECKED, STATE_NAMES, RunState
from penstock.testing import shapes

#: A build that checks every invariant after every event takes a second for a thousandth of that.
N = 1_000 if CHECKED else 1_000_000

#: Seconds within which each of these ends on any machine; ten times what a slow one needs.
LIMIT = 20.0


def numbers(*parts):
    column = array.array("i")
    for part in parts:
        column.extend(part)
    return column


SHAPES = {
    "chain": (lambda: (numbers([0], range(N)), numbers(range(N - 1))), N, 1),
    "fan-out": (lambda: (numbers([0], range(N)), array.array("i", bytes(4 * (N - 1)))), 2, N - 1),
    "fan-in": (lambda: (numbers([0] * N, [N - 1]), numbers(range(N - 1))), 2, N - 1),
    "backward chain": (lambda: (numbers(range(N), [N - 1]), numbers(range(1, N))), N, 1),
}


@pytest.fixture(autouse=True)
def time_box():
    started = time.monotonic()
    yield
    assert time.monotonic() - started < LIMIT


@pytest.mark.parametrize("shape", SHAPES)
def test_a_million_tasks_are_planned_and_run_in_the_core(shape):
    make, depth, width = SHAPES[shape]
    plan = TaskGraph.from_arrays(*make()).plan()
    assert (plan.total_tasks, plan.depth, plan.width) == (N, depth, width)
    assert plan.critical_path()[1] == depth
    state = RunState(plan._compiled)
    start, finish = state.start, state.finish
    while (position := start(0.0)) >= 0:
        finish(position, 3, 0.0)
    assert state.done
    state.check()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_failure_skips_a_million_descendants(shape):
    state = RunState(TaskGraph.from_arrays(*SHAPES[shape][0]()).plan()._compiled)
    position = state.start(0.0)
    state.finish(position, STATE_NAMES.index("failed"), 1.0)
    skipped = 1 if shape == "fan-in" else N - 1
    assert state.tally()[STATE_NAMES.index("skipped")] == skipped
    state.stop()
    assert state.done
    state.check()


def test_a_long_chain_of_names_is_planned():
    graph = TaskGraph.from_predecessors(shapes.chain(100_000))
    assert graph.plan().depth == 100_000
    assert graph.dependents_of("task-0") == ("task-1",)


def test_one_back_edge_in_a_million_tasks_is_named_within_a_second_and_twenty_arrows():
    indptr, indices = SHAPES["chain"][0]()
    # Task 0 comes to depend on the last one.
    indices.insert(0, N - 1)
    for i in range(1, N + 1):
        indptr[i] += 1
    graph = TaskGraph.from_arrays(indptr, indices)
    started = time.monotonic()
    with pytest.raises(CycleError) as caught:
        graph.plan()
    seconds = time.monotonic() - started
    assert len(caught.value.cycle) == N + 1
    assert str(caught.value).count("->") <= 20
    assert seconds < 5.0  # under one on an idle machine


def test_a_hundred_thousand_problems_are_listed_without_a_search_for_each():
    graph = TaskGraph.from_predecessors({i: [-i - 1] for i in range(100_000)})
    with pytest.raises(LookupError) as caught:
        graph.plan()
    assert len(caught.value.problems) == 100_000
