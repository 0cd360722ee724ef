"""The state machine of a run against the slow reference: random runs, outcomes, stops and limits."""

import math
import pickle
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from random_graphs import random_dag
from reference import (
    CANCELLED,
    FAILED,
    PENDING,
    READY,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    ReferencePlan,
    ReferenceRun,
)

from penstock import TaskGraph
from penstock._core import CHECKED, STATE_NAMES, RunState
from penstock._core.run import EVENT_FINISH, EVENT_START, EVENT_STOP


class Pair:
    """A run of the core and one of the reference, driven together and compared after every event."""

    def __init__(self, mapping, max_running=0):
        self.facade = TaskGraph.from_predecessors(mapping).plan()
        self.plan = self.facade._compiled
        self.names = list(mapping)
        self.position = {name: self.plan.position[i] for i, name in enumerate(self.names)}
        self.core = RunState(self.plan, max_running, True)
        self.slow = ReferenceRun(ReferencePlan(mapping), max_running)
        self.now = 0.0
        self.compare()

    def name(self, position):
        return self.names[self.plan.order[position]]

    def start(self):
        self.now += 1.0
        position, name = self.core.start(self.now), self.slow.start(self.now)
        assert (self.name(position) if position >= 0 else None) == name
        self.compare()
        return name

    def finish(self, name, outcome):
        self.now += 1.0
        self.core.finish(self.position[name], outcome, self.now)
        self.slow.finish(name, outcome, self.now)
        self.compare()

    def stop(self):
        self.core.stop()
        if not self.slow.stopped:
            self.slow.stop()
        self.compare()

    def compare(self):
        self.core.check()
        core, slow = self.core, self.slow
        assert {self.name(p): state for p, state in enumerate(core.states)} == slow.state
        assert core.tally() == slow.tally()
        assert [self.name(p) for p in core.completion_order] == slow.ended
        assert [self.name(p) for p in core.running] == slow.running()
        assert (core.n_finished, core.n_running) == (len(slow.ended), len(slow.running()))
        assert core.done == (len(slow.ended) == len(self.names))
        assert core.queue.count == len(slow.queue)
        for column, expected in ((core.start_times, slow.started_at), (core.end_times, slow.ended_at)):
            found = {self.name(p): time for p, time in enumerate(column) if not math.isnan(time)}
            assert found == expected
        for name, position in self.position.items():
            cause = core.cause_of(position)
            assert (self.name(cause) if cause >= 0 else None) == slow.cause.get(name)


def random_run(seed):
    """One whole run, its choices drawn from the seed."""
    random = Random(seed)
    pair = Pair(random_dag(random.randrange(1 << 30)), random.choice((0, 0, 1, 2, 5)))
    failing = random.choice((0.0, 0.0, 0.05, 0.3))
    while not pair.core.done:
        running = pair.slow.running()
        if random.random() < 0.01:
            pair.stop()
        elif running and (random.random() < 0.5 or not pair.slow.queue):
            outcome = random.choice((FAILED, CANCELLED)) if random.random() < failing else SUCCEEDED
            pair.finish(random.choice(running), outcome)
        else:
            pair.start()
    return pair


BATCHES = 10
RUNS_PER_BATCH = 50


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_runs_agree_with_the_reference_after_every_event(batch, row_pointers):
    for seed in range(batch * RUNS_PER_BATCH, (batch + 1) * RUNS_PER_BATCH):
        pair = random_run(seed)
        assert sum(pair.core.tally()[SUCCEEDED:]) == len(pair.names)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_recorded_run_replays_bit_for_bit(batch, row_pointers):
    for seed in range(batch * 10, (batch + 1) * 10):
        core = random_run(seed).core
        again = RunState.replay(core.plan, core.recorded, 0)
        for column in ("states", "start_times", "end_times"):
            assert getattr(again, column).tobytes() == getattr(core, column).tobytes()
        assert again.completion_order == core.completion_order
        assert again.recorded == core.recorded
        # A run of an equal plan is the same one; so is every beginning of it.
        plan = pickle.loads(pickle.dumps(random_run(seed).facade))._compiled
        half = core.recorded[: len(core.recorded) // 2]
        assert RunState.replay(plan, half).tally() == RunState.replay(core.plan, half).tally()


class RunMachine(RuleBasedStateMachine):
    """Hypothesis drives a run one event at a time and shrinks what fails."""

    @initialize(seed=st.integers(0, 10_000), max_running=st.sampled_from((0, 1, 3)))
    def begin(self, seed, max_running):
        self.pair = Pair(random_dag(seed), max_running)

    @rule()
    def start(self):
        self.pair.start()

    @precondition(lambda self: self.pair.slow.running())
    @rule(which=st.integers(0, 1000), outcome=st.sampled_from((*[SUCCEEDED] * 3, FAILED, CANCELLED)))
    def finish(self, which, outcome):
        running = self.pair.slow.running()
        self.pair.finish(running[which % len(running)], outcome)

    @rule(often=st.integers(0, 20))
    def stop(self, often):
        if often == 0:
            self.pair.stop()

    @rule()
    def look_at_a_copy(self):
        copy = self.pair.core.copy()
        copy.check()
        assert copy.states.tobytes() == self.pair.core.states.tobytes()
        copy.stop()  # which is nothing to the original

    @rule(position=st.integers(-2, 70), outcome=st.integers(0, 8))
    def finish_what_is_not_running(self, position, outcome):
        core = self.pair.core
        known = 0 <= position < core.plan.n
        if known and core.states[position] == RUNNING and outcome in (SUCCEEDED, FAILED, CANCELLED):
            return
        with pytest.raises(ValueError if known else IndexError):
            core.finish(position, outcome, 0.0)

    @invariant()
    def agree(self):
        if hasattr(self, "pair"):
            self.pair.compare()


TestRunMachine = RunMachine.TestCase
TestRunMachine.settings = settings(
    max_examples=100, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)


# -- single statements -----------------------------------------------------------------------------------

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


def state_of(mapping, *arguments):
    return RunState(TaskGraph.from_predecessors(mapping).plan()._compiled, *arguments)


def test_states_are_numbered_as_the_reference_numbers_them():
    numbered = dict(zip(STATE_NAMES, range(7), strict=True))
    assert numbered == {
        "pending": PENDING,
        "ready": READY,
        "running": RUNNING,
        "completed": SUCCEEDED,
        "failed": FAILED,
        "cancelled": CANCELLED,
        "skipped": SKIPPED,
    }
    assert isinstance(CHECKED, bool)


def test_tasks_start_in_the_order_they_became_ready():
    state = state_of(DIAMOND)
    assert (state.start(1.0), state.start(1.0)) == (0, -1)
    state.finish(0, SUCCEEDED, 2.0)
    assert [state.start(3.0) for _ in range(3)] == [1, 2, -1]
    state.finish(2, SUCCEEDED, 4.0)
    assert state.start(4.0) == -1
    state.finish(1, SUCCEEDED, 5.0)
    assert state.start(5.0) == 3
    state.finish(3, SUCCEEDED, 6.0)
    assert state.done
    assert state.completion_order == [0, 2, 1, 3]


def test_the_limit_holds_back_ready_tasks():
    state = state_of({name: [] for name in "abcd"}, 2)
    assert [state.start(0.0) for _ in range(3)] == [0, 1, -1]
    state.finish(1, FAILED, 1.0)
    assert [state.start(0.0) for _ in range(2)] == [2, -1]
    with pytest.raises(ValueError, match="max_running is -1"):
        state_of(DIAMOND, -1)


def test_a_failure_skips_all_descendants_and_says_because_of_what():
    state = state_of(DIAMOND | {"e": ["d"], "f": []})
    while state.start(0.0) >= 0:
        pass
    state.finish(state.running[0], FAILED, 1.0)
    assert [STATE_NAMES[number] for number in state.states] == [
        "failed", "running", "skipped", "skipped", "skipped", "skipped",
    ]  # fmt: skip
    assert [state.cause_of(position) for position in range(6)] == [-1, -1, 0, 0, 2, 4]
    assert math.isnan(state.start_times[2])
    assert math.isnan(state.end_times[2])


@pytest.mark.parametrize(
    ("position", "outcome", "error", "text"),
    [
        (1, SUCCEEDED, ValueError, "position 1 is pending, not running"),
        (4, SUCCEEDED, IndexError, "position 4 is out of range for 4 tasks"),
        (-1, SUCCEEDED, IndexError, "position -1 is out of range"),
        (0, RUNNING, ValueError, "a task cannot end with state 2"),
        (0, SKIPPED, ValueError, "a task cannot end with state 6"),
        (0, 7, ValueError, "a task cannot end with state 7"),
        (0, 300, OverflowError, "too large"),
        ("a", SUCCEEDED, TypeError, "integer"),
    ],
)
def test_impossible_ends_are_refused_and_change_nothing(position, outcome, error, text):
    state = state_of(DIAMOND)
    state.start(0.0)
    before = state.tally()
    with pytest.raises(error, match=text):
        state.finish(position, outcome, 1.0)
    assert state.tally() == before
    state.finish(0, SUCCEEDED, 1.0)
    with pytest.raises(ValueError, match="position 0 is completed, not running"):
        state.finish(0, SUCCEEDED, 2.0)


def test_a_stop_skips_what_has_not_started_and_lets_running_tasks_end():
    state = state_of(DIAMOND | {"e": [], "f": ["e"]})
    state.start(0.0)
    state.stop()
    state.stop()
    assert state.tally() == (0, 0, 1, 0, 0, 0, 5)
    assert state.start(1.0) == -1
    state.finish(0, SUCCEEDED, 1.0)
    assert state.done
    assert [state.cause_of(position) for position in range(6)] == [-1] * 6


@pytest.mark.parametrize(
    ("events", "text"),
    [
        ([(EVENT_START, 1, 0.0)], "starts a task that is not the next one"),
        ([(EVENT_FINISH, 0, SUCCEEDED, 0.0)], "position 0 is ready, not running"),
        ([(EVENT_STOP, False), (EVENT_START, 0, 0.0)], "starts a task that is not the next one"),
        ([(9,)], "of no known kind"),
        ([(EVENT_STOP,)], "of no known kind"),
        ([()], "of no known kind"),
    ],
)
def test_events_of_another_run_are_refused(events, text):
    with pytest.raises(ValueError, match=text):
        RunState.replay(state_of(DIAMOND).plan, events)


def test_a_run_that_does_not_record_has_no_events():
    state = state_of(DIAMOND)
    state.start(0.0)
    assert state.recorded is None
    recording = state_of(DIAMOND, 0, True)
    recording.start(0.5)
    recording.recorded.clear()
    assert recording.recorded == [(EVENT_START, 0, 0.5)]


def test_a_state_cannot_be_pickled_and_its_columns_outlive_it():
    state = state_of(DIAMOND)
    columns = state.states, state.start_times, state.end_times
    with pytest.raises(TypeError, match="neither can its report"):
        pickle.dumps(state)
    del state
    assert columns[0].tolist() == [READY, PENDING, PENDING, PENDING]
    assert all(math.isnan(time) for column in columns[1:] for time in column)


def test_an_empty_run_is_done_from_the_start():
    state = state_of({})
    assert state.done
    assert (state.start(0.0), state.tally()) == (-1, (0,) * 7)
    state.stop()
    state.check()
    with pytest.raises(IndexError):
        state.cause_of(0)
