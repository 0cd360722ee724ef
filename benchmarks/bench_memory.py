"""How many bytes do a graph and its plan need, beyond the strings that the caller owns; and how many does a run?"""

import pytest

import footprint
import run_footprint

MOST_PER_TASK = 80.0
MOST_PER_EDGE = 8.1


@pytest.mark.skipif(footprint.missing is not None, reason=str(footprint.missing))
@pytest.mark.parametrize("variant", ["same", "separate"])
def test_bytes_of_graph_and_plan(benchmark, request, variant):
    n = 10**6 if benchmark.enabled and request.config.getoption("max_size") >= 10**6 else 10**5
    benchmark.group = "memory of graph and plan (the times are of the measuring, not the measured)"
    per_task, per_edge = benchmark.pedantic(footprint.bytes_per_task_and_edge, args=(n, variant), rounds=1)
    benchmark.extra_info |= {"tasks": n, "bytes_per_task": per_task, "bytes_per_edge": per_edge}
    # Memory comes in pages: in the smaller graph a few of them more or less are half a byte per edge.
    leeway = 1 if n == 10**6 else 1.5
    assert 0 < per_task <= MOST_PER_TASK * leeway
    assert 0 < per_edge <= MOST_PER_EDGE * leeway


MOST_PER_RUN = 64.0
MOST_GROWTH = 0.05
MOST_OF_TEN_MILLION = 2.5e9

needs_smaps = pytest.mark.skipif(run_footprint.missing is not None, reason=str(run_footprint.missing))


@needs_smaps
def test_bytes_of_a_run_with_all_results(benchmark, request):
    n = 10**6 if full(benchmark, request) else 10**4
    benchmark.group = "memory of runs (the times are of the measuring, not the measured)"
    found = benchmark.pedantic(run_footprint.measured, args=("results", n), rounds=1)
    benchmark.extra_info |= found
    if n == 10**6:
        assert 0 < found["bytes_per_task"] <= MOST_PER_RUN


@needs_smaps
def test_resident_size_after_ten_runs(benchmark, request):
    n = 10**6 if full(benchmark, request) else 10**4
    benchmark.group = "memory of runs (the times are of the measuring, not the measured)"
    found = benchmark.pedantic(run_footprint.measured, args=("again", n), rounds=1)
    benchmark.extra_info |= found
    assert found["growth"] <= MOST_GROWTH


@needs_smaps
@pytest.mark.parametrize(
    "n", [pytest.param(10**4), pytest.param(10**7, marks=pytest.mark.size(10**7))], ids=["10000", "10000000"]
)
def test_peak_of_planning_and_running_from_arrays(benchmark, n):
    benchmark.group = "memory of runs (the times are of the measuring, not the measured)"
    found = benchmark.pedantic(run_footprint.measured, args=("peak", n), rounds=1)
    benchmark.extra_info |= found
    assert found["peak"] <= MOST_OF_TEN_MILLION


def full(benchmark, request):
    return benchmark.enabled and request.config.getoption("max_size") >= 10**6
