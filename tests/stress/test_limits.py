"""A million starts and ends under limits, with failures, retries and stops among them: never one too many."""

from random import Random

import pytest

from penstock import TaskGraph
from penstock._core import CHECKED, STATE_NAMES, RunState
from penstock._core.rules import Rules

pytestmark = [pytest.mark.stress, pytest.mark.timeout(600)]

#: A build that checks every invariant after every event takes a second for a thousandth of that.
EVENTS = 5_000 if CHECKED else 1_000_000
N = EVENTS * 6 // 10

READY, RUNNING, SUCCEEDED, FAILED, CANCELLED = map(
    STATE_NAMES.index, ("ready", "running", "completed", "failed", "cancelled")
)
CAPACITIES = (1, 3, 10, 64)
MAX_RUNNING = 50


def rows(random):
    """Blocks of twenty tasks, each of which depends on up to two before it in its block; a failure stays in there."""
    return {i: {random.randrange(i - i % 20, i) for _ in range(2)} if i % 20 else () for i in range(N)}


class Meter:
    """Counts what runs, by limit, on its own."""

    def __init__(self, uses):
        self.uses, self.running, self.in_use = uses, [], [0] * len(CAPACITIES)
        self.events = 0

    def start(self, position):
        self.events += 1
        self.running.append(position)
        assert len(self.running) <= MAX_RUNNING
        for limit in self.uses[position]:
            self.in_use[limit] += 1
            assert self.in_use[limit] <= CAPACITIES[limit]

    def end_one(self, random):
        self.events += 1
        running = self.running
        at = random.randrange(len(running))
        running[at], running[-1] = running[-1], running[at]
        position = running.pop()
        for limit in self.uses[position]:
            self.in_use[limit] -= 1
        return position


def limited_run(seed, stop_after):
    random = Random(seed)
    plan = TaskGraph.from_predecessors(rows(random)).plan()._compiled
    uses = {i: tuple(random.sample(range(len(CAPACITIES)), random.choice((0, 1, 1, 2, 4)))) for i in range(N)}
    always = [i for i in range(N) if random.random() < 0.05]
    state = RunState(plan, MAX_RUNNING, False, Rules(plan, always, CAPACITIES, uses))
    meter = Meter([uses[task] for task in plan.order])
    waiting = []  # for their retry
    while not state.done:
        choice = random.random()
        if choice < 0.5 and (position := state.start(0.0)) >= 0:
            meter.start(position)
        elif meter.running:
            position = meter.end_one(random)
            choice = random.random()
            if choice < 0.05 and not state.stopped:
                state.retry(position, 0.0)
                waiting.append(position)
            else:
                state.finish(position, FAILED if choice > 0.99 else CANCELLED if choice > 0.98 else SUCCEEDED, 1.0)
        else:
            assert waiting or state.tally()[READY], "nothing runs, nothing waits and nothing is ready"
        while len(waiting) > 20 or (waiting and not meter.running):
            state.again(waiting.pop())
        if stop_after and meter.events > stop_after and not state.stopped:
            state.stop()
            state.check()
        elif stop_after and meter.events > 1.02 * stop_after:
            # Then nothing of what runs always may start either.
            state.stop(True)
            state.check()
        if meter.events % (EVENTS // 5) == 0:
            state.check()
    assert meter.running == []
    assert meter.in_use == [0] * len(CAPACITIES)
    assert state.n_running == 0
    state.check()  # which compares the core's counts of use with its running tasks: there are none
    return meter.events


def test_a_million_events_never_exceed_a_limit_and_leave_none_in_use():
    assert limited_run(1, None) > EVENTS


@pytest.mark.parametrize("part", [0.01, 0.1, 0.3, 0.5])
def test_a_stop_among_a_million_events_leaves_no_limit_in_use(part):
    limited_run(99, EVENTS * part)


def test_a_limit_of_one_over_two_hundred_thousand_tasks_costs_no_search():
    # All wait for the same place, half of them for another one as well.
    n = N * 2 // 5
    plan = TaskGraph.from_predecessors(dict.fromkeys(range(n), ())).plan()._compiled
    uses = {i: (0,) if i % 2 else (0, 1) for i in range(n)}
    state = RunState(plan, 0, False, Rules(plan, (), (1, 1), uses))
    for _ in range(n):
        position = state.start(0.0)
        assert state.start(0.0) == -1
        state.finish(position, SUCCEEDED, 1.0)
    state.check()
    assert state.done
