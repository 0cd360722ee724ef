"""How long does it take to run a graph whose bodies do nothing?

Planning is left out on all sides.  ``floors``: Penstock beside F1 and F2, which run the same bodies in a plain
loop and in one coroutine.  ``rivals``: others who know about dependencies, on the fastest event loop installed.
The figures of run_ratios.py are the fairer ones, since there the contenders take turns.
"""

import asyncio
from functools import partial

import pytest

import bodies
import inputs
import peers
import turns
from peers import f1, f2, penstock_peer

SIZES = [10**3, 10**4, 10**5, 10**6]


@pytest.fixture(scope="module")
def on_loop():
    with asyncio.Runner(loop_factory=turns.LOOPS[turns.FASTEST_LOOP]) as runner:
        yield runner.run


@pytest.fixture(scope="module")
def closing():
    """Remember who was built, and have what they started ended with the last benchmark."""
    built = {}
    yield built
    for peer in built.values():
        if hasattr(peer, "close"):
            peer.close()


def marked(peer, n, *values, name):
    marks = [pytest.mark.size(n)]
    if peer.missing:
        marks.append(pytest.mark.skip(reason=peer.missing))
    return pytest.param(*values, peer, marks=marks, id=f"{name}-{peer.label.replace(' ', '-')}")


def compare(benchmark, measure, on_loop, contender, n):
    benchmark.extra_info["loop"] = turns.FASTEST_LOOP
    rounds = 5 if n > 10**4 else 10
    _, result = measure(partial(turns.all_runs, contender, on_loop), lambda: (contender.prepare(),), rounds)
    turns.assert_complete(contender.label, result, n)
    if benchmark.stats:
        benchmark.extra_info["ns_per_task"] = benchmark.stats.stats.median / contender.repeats / n * 1e9


def floor_cases():
    for kind, function in (("coroutines", bodies.coroutine), ("functions", bodies.function)):
        for shape in inputs.MAPPINGS:
            for n in SIZES:
                for peer in (penstock_peer, f1, f2) if kind == "coroutines" else (penstock_peer,):
                    yield marked(peer, n, kind, function, shape, n, name=f"{kind}-{shape}-{n}")


@pytest.mark.parametrize(("kind", "function", "shape", "n", "peer"), [*floor_cases()])
def test_bodies_without_arguments(benchmark, measure, on_loop, kind, function, shape, n, peer):
    benchmark.group = f"run {kind}: {shape}-{n}"
    mapping = inputs.arriving(shape, n, "same")
    contender = turns.bare_runner_of(peer, mapping, function, repeats=max(1, 10**5 // n))
    compare(benchmark, measure, on_loop, contender, n)


def rival_cases():
    for shape in inputs.MAPPINGS:
        for n in SIZES:
            for peer in (penstock_peer, *peers.FLOORS, *(peers.BY_HAND if n <= 10**5 else ())):
                yield marked(peer, n, shape, n, name=f"{shape}-{n}")


@pytest.mark.parametrize(("shape", "n", "peer"), [*rival_cases()])
def test_func_of_the_name(benchmark, measure, on_loop, shape, n, peer):
    benchmark.group = f"run func(name): {shape}-{n}"
    repeats = 1 if getattr(peer, "used_up", False) or peer in peers.BY_HAND else max(1, 10**5 // n)
    mapping = inputs.arriving(shape, n, "same")
    contender = turns.runner_of(peer, mapping, bodies.named, repeats=repeats)
    compare(benchmark, measure, on_loop, contender, n)


def package_cases():
    for shape in ("layered", "fan-out-in"):
        for n in (10**2, 10**3):
            for peer in (penstock_peer, *peers.PACKAGES):
                if n <= getattr(peer, "most", n):
                    yield marked(peer, n, shape, n, name=f"{shape}-{n}")


@pytest.mark.parametrize(("shape", "n", "peer"), [*package_cases()])
def test_packages(benchmark, measure, on_loop, closing, shape, n, peer):
    benchmark.group = f"run, packages: {shape}-{n}"
    closing[peer.label] = peer
    function = bodies.named if peer.takes == "coroutines" else bodies.named_function
    contender = turns.runner_of(peer, inputs.arriving(shape, n, "same"), function)
    compare(benchmark, measure, on_loop, contender, n)
