"""How long does it take to run a graph whose bodies suspend once?

For a future whose result is already scheduled, or for a turn of the event loop: on asyncio and on uvloop,
beside the schedulers written by hand.  The graph is layered, so that about sqrt(n) bodies are suspended at once.
"""

import asyncio
from functools import partial

import pytest

import bodies
import inputs
import turns
from peers import counters, eager_task_groups, gathers, penstock_peer, task_groups

SIZES = [10**3, 10**5]
PEERS = [penstock_peer, counters, task_groups, eager_task_groups, gathers]


def cases():
    for loop in ("asyncio", "uvloop"):
        for kind in bodies.SUSPENDING:
            for n in SIZES:
                for peer in PEERS:
                    marks = [pytest.mark.size(n)]
                    missing = peer.missing or (None if loop in turns.LOOPS else "uvloop is not installed")
                    if missing:
                        marks.append(pytest.mark.skip(reason=missing))
                    name = f"{loop}-{kind}-{n}-{peer.label.replace(' ', '-')}"
                    yield pytest.param(loop, kind, n, peer, marks=marks, id=name)


@pytest.mark.parametrize(("loop", "kind", "n", "peer"), [*cases()])
def test_bodies_that_suspend_once(benchmark, measure, loop, kind, n, peer):
    benchmark.group = f"suspend once, {kind}: {loop}-{n}"
    mapping = inputs.arriving("layered", n, "same")
    contender = turns.runner_of(peer, mapping, bodies.SUSPENDING[kind])
    with asyncio.Runner(loop_factory=turns.LOOPS[loop]) as runner:
        _, result = measure(
            partial(turns.all_runs, contender, runner.run), lambda: (contender.prepare(),), 5 if n > 10**3 else 20
        )
    turns.assert_complete(peer.label, result, n)
    if benchmark.stats:
        benchmark.extra_info["ns_per_task"] = benchmark.stats.stats.median / n * 1e9
