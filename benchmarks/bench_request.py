"""How long does the graph of a request take, planned once and run for each of 20,000 requests?"""

import statistics

import pytest

import ten_tasks

CONTENDERS = {contender.label: contender for contender in ten_tasks.contenders()}


@pytest.mark.parametrize("label", CONTENDERS)
def test_a_request(benchmark, label):
    benchmark.group = "request of ten tasks (the times are of all requests)"
    n = 20_000 if benchmark.enabled else 200
    found = benchmark.pedantic(ten_tasks.latencies, args=([CONTENDERS[label]], n, 10), rounds=1)[label]
    benchmark.extra_info |= {"requests": n, "p50": found.p50, "p99": found.p99, "collections": found.collections}
    assert 0 < statistics.median(found.blocks) <= found.p99


def test_penstock_leaves_nothing_to_the_collector():
    assert ten_tasks.latencies([CONTENDERS["penstock"]], 2_000, 1)["penstock"].collections == 0
