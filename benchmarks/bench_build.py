"""How long does it take from names to a plan?

Beside Penstock: the interning floor, graphlib, rustworkx and networkx, for each way in which the names may
arrive.  The contenders of one group have one input; compare within a group.  The times of ratios.py are the
fairer ones, since there the contenders take turns.
"""

import pytest

import inputs
import peers
from peers import networkx_peer

SIZES = [10**3, 10**4, 10**5, 10**6]
CASES = [("chain", "same"), ("fan-out-in", "same"), *(("layered", variant) for variant in inputs.VARIANTS)]
SLOW = {"graphlib", "networkx", "rustworkx"}


def cases():
    for shape, variant in CASES:
        for n in SIZES:
            for peer in peers.FROM_NAMES:
                if peer is networkx_peer and n > 10**5 and variant != "same":
                    continue  # minutes, to learn that it is far behind in every variant
                marks = [pytest.mark.size(n)]
                if peer.missing:
                    marks.append(pytest.mark.skip(reason=peer.missing))
                yield pytest.param(shape, n, variant, peer, marks=marks, id=f"{shape}-{n}-{variant}-{peer.label}")


@pytest.mark.parametrize(("shape", "n", "variant", "peer"), [*cases()])
def test_from_names_to_a_plan(benchmark, measure, shape, n, variant, peer):
    benchmark.group = f"build and plan from names: {shape}-{n}-{variant}"
    result = measure(peer.build, lambda: (inputs.arriving(shape, n, variant),), rounds(n, peer.label))
    facts = inputs.facts(shape, n)
    assert facts.agree_with(peer.facts(result))
    if benchmark.stats:
        median = benchmark.stats.stats.median
        benchmark.extra_info["ns_per_task"] = median / n * 1e9
        benchmark.extra_info["ns_per_name"] = median / (n + facts.n_edges) * 1e9


def rounds(n, label):
    if n <= 10**4:
        return 20
    return 3 if label in SLOW and n > 10**5 else 5
