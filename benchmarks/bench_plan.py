"""How long does it take from CSR arrays to a plan?

Validate, transpose, order with stages, renumber: Penstock beside a plain C loop that does the same.  Tasks
numbered in stage order are the kind case; random numbers make nearly every access a cache miss.
"""

from array import array

import pytest

import inputs
from peers import c_loop, penstock_peer

SIZES = [10**3, 10**5, 10**6, 10**7]


def cases():
    for shape in inputs.ARRAYS:
        for n in SIZES:
            for numbering in ("stage", "random"):
                for peer in (penstock_peer, c_loop):
                    marks = [pytest.mark.size(n)]
                    if peer.missing:
                        marks.append(pytest.mark.skip(reason=peer.missing))
                    name = f"{shape}-{n}-{numbering}-{peer.label}"
                    yield pytest.param(shape, n, numbering, peer, marks=marks, id=name.replace(" ", "-"))


@pytest.mark.parametrize(("shape", "n", "numbering", "peer"), [*cases()])
def test_from_arrays_to_a_plan(benchmark, measure, shape, n, numbering, peer):
    benchmark.group = f"plan from arrays: {shape}-{n}-{numbering}"
    rounds = 20 if n <= 10**3 else 9 if n <= 10**6 else 5
    result = measure(peer.build_csr, lambda: inputs.arrays(shape, n, numbering), rounds)
    facts = inputs.array_facts(shape, n)
    assert facts.agree_with(peer.csr_facts(result))
    if benchmark.stats:
        benchmark.extra_info["ns_per_edge"] = benchmark.stats.stats.median / facts.n_edges * 1e9


@pytest.mark.skipif(c_loop.missing is not None, reason=str(c_loop.missing))
@pytest.mark.parametrize("shape", inputs.ARRAYS)
@pytest.mark.parametrize("numbering", ["stage", "random"])
def test_both_make_the_same_plan(shape, numbering):
    arrays = inputs.arrays(shape, 1000, numbering)
    _, plan = penstock_peer.build_csr(*arrays)
    loop = c_loop.build_csr(*arrays)
    assert list(plan.order) == loop.order[: loop.n]
    assert list(plan.stage_of) == loop.stage[: loop.n]


@pytest.mark.skipif(c_loop.missing is not None, reason=str(c_loop.missing))
@pytest.mark.parametrize(
    ("indptr", "indices", "problem"),
    [([0, 2, 1], [0], "indptr"), ([0, 1], [1], "range"), ([0, 1, 2], [1, 0], "cycle")],
)
def test_the_loop_validates_too(indptr, indices, problem):
    with pytest.raises(ValueError, match=problem):
        c_loop.build_csr(array("i", indptr), array("i", indices))
