"""How many bytes do a graph and its plan need, beyond the strings that the caller owns?"""

import pytest

import footprint

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
