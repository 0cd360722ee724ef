"""Does a run leave the event loop to others in time?"""

import asyncio

import pytest

import bodies
import heartbeat
import inputs
import turns
from peers import penstock_peer


@pytest.mark.parametrize("loop", turns.LOOPS)
def test_gaps_of_a_heartbeat(benchmark, request, loop):
    full = benchmark.enabled and request.config.getoption("max_size") >= 10**6
    n, runs = (10**6, 10) if full else (10**4, 3)
    benchmark.group = "heartbeat beside a run (the times are of the runs)"
    plan = penstock_peer.build(inputs.arriving("layered", n, "same"))[1]
    with asyncio.Runner(loop_factory=turns.LOOPS[loop]) as runner:
        idle = runner.run(heartbeat.idle(1.0 if full else 0.05))
        busy = benchmark.pedantic(lambda: runner.run(heartbeat.beside_runs(plan, bodies.named, runs)), rounds=1)
    benchmark.extra_info |= {"tasks": n, "idle": idle._asdict(), "busy": busy._asdict()}
    if full:
        assert busy.p99 - idle.p99 <= 0.010
        assert busy.longest - idle.longest <= 0.025
