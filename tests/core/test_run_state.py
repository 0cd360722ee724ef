"""The state machine of a run against the slow reference: random runs, outcomes, stops and limits."""

import math
import pickle
from collections import Counter
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from random_graphs import random_dag, random_rules
from reference import (
    CANCELLED,
    DETACHED,
    ENDED,
    FAILED,
    PENDING,
    READY,
    RETRYING,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    ReferencePlan,
    ReferenceRun,
)

from penstock import TaskGraph
from penstock._core import CHECKED, STATE_NAMES, RunState
from penstock._core.rules import Rules
from penstock._core.run import EVENT_AGAIN, EVENT_FINISH, EVENT_PARK, EVENT_RETRY, EVENT_START, EVENT_STOP


class Pair:
    """A run of the core and one of the reference, driven together and compared after every event."""

    def __init__(self, mapping, max_running=0, rules=None):
        self.facade = TaskGraph.from_predecessors(mapping).plan()
        self.plan = self.facade._compiled
        self.names = list(mapping)
        self.position = {name: self.plan.position[i] for i, name in enumerate(self.names)}
        self.in_order = [self.names[i] for i in self.plan.order]
        self.rules = rules
        self.core = RunState(self.plan, max_running, True, self.rules_for(self.plan))
        self.slow = ReferenceRun(ReferencePlan(mapping), max_running, rules)
        self.taken = []  # events
        self.waited = set()  # tasks that were tried before
        self.entirely = False  # stopped so
        self.snapshots = []
        self.now = 0.0
        self.compare()

    def rules_for(self, plan):
        """The rules in the core's words."""
        if self.rules is None:
            return None
        number = {name: i for i, name in enumerate(self.names)}
        return Rules(
            plan,
            [number[name] for name in self.rules.always],
            self.rules.capacities,
            {number[name]: used for name, used in self.rules.uses.items()},
            {number[name]: priority for name, priority in self.rules.priorities.items()},
            self.rules.barriers,
        )

    def name(self, position):
        return self.in_order[position]

    def start(self):
        self.now += 1.0
        position, name = self.core.start(self.now), self.slow.start(self.now)
        assert (self.name(position) if position >= 0 else None) == name
        if name is None:
            self.check_that_nothing_may_start()
        elif name not in self.waited:  # its second attempt may come at any time, after a stop too
            self.check_that_it_may_start(name)
        self.compare()
        return name

    def check_that_nothing_may_start(self):
        """Told from the states and the rules alone, not from any queue."""
        if self.slow.max_running and self.core.n_running >= self.slow.max_running:
            return
        in_use = Counter(limit for name in self.slow.running() for limit in self.slow.limits_of(name))
        for name, state in self.slow.state.items():
            limits = self.slow.limits_of(name)
            assert state != READY or any(in_use[limit] == self.rules.capacities[limit] for limit in limits), name
            assert state != PENDING or not self.may_start(name), name

    def check_that_it_may_start(self, name):
        assert self.may_start(name)
        in_use = Counter(limit for other in self.slow.running() for limit in self.slow.limits_of(other))
        assert all(count <= self.rules.capacities[limit] for limit, count in in_use.items())

    def may_start(self, name):
        states = [self.slow.state[other] for other in self.slow.plan.dependencies[name]]
        spared = self.rules is not None and name in self.rules.always and not self.entirely
        if self.slow.stopped and not spared:
            return False
        if self.rules is not None and self.rules.barriers and not self.slow.stopped:
            stage = self.slow.plan.stage
            states += [self.slow.state[other] for other in self.names if stage[other] < stage[name]]
            if not all(state in ENDED for state in states):
                return False
            states = states[: len(self.slow.plan.dependencies[name])]
        return all(state in ENDED if spared else state == SUCCEEDED for state in states)

    def finish(self, name, outcome):
        self.now += 1.0
        self.core.finish(self.position[name], outcome, self.now)
        self.slow.finish(name, outcome, self.now)
        self.compare()

    def retry(self, name):
        self.now += 1.0
        self.core.retry(self.position[name], self.now)
        self.slow.retry(name)
        self.waited.add(name)
        self.compare()

    def again(self, name):
        self.core.again(self.position[name])
        self.slow.again(name)
        self.compare()

    def stop(self, entirely=False):
        self.core.stop(entirely)
        self.slow.stop(entirely)
        self.entirely |= entirely
        self.compare()

    def snap(self):
        """Keep a copy, which is to stay as it is; another one may go on without the original."""
        copy = self.core.copy()
        self.snapshots.append((copy, facts(copy)))
        assert facts(copy) == facts(self.core)
        copy.check()
        other = copy.copy()
        other.drain(self.now)
        other.check()
        other.stop(True)
        other.check()
        # What was let go for a retry since a stop is not stopped by another one.
        assert other.tally()[PENDING] == 0
        assert copy.stopped or other.tally()[READY] == 0

    @property
    def recorded(self):
        return self.taken + self.core.recorded

    def compare(self):
        core, slow, in_order = self.core, self.slow, self.in_order
        core.check()
        running = slow.running()
        assert core.states.tolist() == [slow.state[name] for name in in_order]
        assert core.tally() == slow.tally()
        assert [in_order[p] for p in core.completion_order] == slow.ended
        assert [in_order[p] for p in core.running] == running
        assert (core.n_finished, core.n_running) == (len(slow.ended), len(running))
        assert core.done == (len(slow.ended) == len(self.names))
        assert core.queue.count == len(slow.queue)
        for column, expected in ((core.start_times, slow.started_at), (core.end_times, slow.ended_at)):
            found = {in_order[p]: time for p, time in enumerate(column) if time == time}
            assert found == expected
        causes = map(core.cause_of, range(len(in_order)))
        assert {in_order[p]: in_order[cause] for p, cause in enumerate(causes) if cause >= 0} == slow.cause

    def check_the_end(self):
        """What ran always did so, once, unless everything was stopped; snapshots are as they were."""
        for copy, before in self.snapshots:
            copy.check()
            assert facts(copy) == before
        if self.core.done and self.rules is not None:
            starts = Counter(event[1] for event in self.recorded if event[0] == EVENT_START)
            starts.subtract(event[1] for event in self.recorded if event[0] == EVENT_RETRY)
            for name in self.rules.always:
                once = starts[self.position[name]] == 1
                assert once or self.entirely or name in self.waited, name
            assert max(starts.values(), default=1) <= 1
            assert not any(self.slow.in_use)


def facts(state):
    """What can be read of a state, in a form that can be compared."""
    columns = [getattr(state, name).tobytes() for name in ("states", "start_times", "end_times")]
    causes = [state.cause_of(position) for position in range(state.plan.n)]
    return columns, causes, state.tally(), state.completion_order, state.queue.count, state.stopped


def random_run(seed, most_steps=None):
    """One run until it is over, or a long one for so many steps, its choices drawn from the seed."""
    random = Random(seed)
    mapping = random_dag(random.randrange(1 << 30))
    while most_steps and len(mapping) < 30:
        mapping = random_dag(random.randrange(1 << 30))
    rules = random_rules(random.randrange(1 << 30), mapping)
    pair = Pair(mapping, random.choice((0, 0, 0, 1, 2, 5)), random.choice((None, rules, rules, rules)))
    failing, retrying = random.choice((0.0, 0.05, 0.3)), random.choice((0.0, 0.1, 0.3))
    stopping = 0.01
    if most_steps:
        failing, retrying, stopping = failing / 10, retrying * 2, random.choice((0.0, 0.005))
    sinks = {name for name in mapping if not pair.slow.plan.dependents[name]}
    stuck = False  # nothing may start before something ends
    steps = 0
    while not pair.core.done and steps != most_steps:
        steps += 1
        running, waiting = pair.slow.running(), pair.slow.retrying()
        choice = random.random()
        if choice < stopping:
            pair.stop(random.random() < 0.3)
            stuck = False
        elif choice < 0.02:
            pair.snap()
        elif choice < 0.03:
            pair.taken += pair.core.take_events()
        elif waiting and (random.random() < 0.3 or (stuck and not running)):
            name = random.choice(waiting)
            if random.random() < 0.2:
                pair.finish(name, random.choice((FAILED, CANCELLED, SKIPPED)))
            else:
                pair.again(name)
            stuck = False
        elif running and (stuck or random.random() < 0.5):
            name = random.choice(running)
            if random.random() < retrying:
                pair.retry(name)
            elif random.random() < failing:
                pair.finish(name, random.choice((FAILED, CANCELLED, SKIPPED)))
            else:
                pair.finish(name, random.choice((SUCCEEDED, DETACHED)) if name in sinks else SUCCEEDED)
            stuck = False
        else:
            stuck = pair.start() is None
            assert not stuck or running or waiting, "nothing runs, nothing waits, and nothing may start"
    pair.check_the_end()
    pair.steps = steps
    return pair


BATCHES = 10
RUNS_PER_BATCH = 50


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_runs_agree_with_the_reference_after_every_event(batch, row_pointers):
    for seed in range(batch * RUNS_PER_BATCH, (batch + 1) * RUNS_PER_BATCH):
        pair = random_run(seed)
        assert sum(pair.core.tally()[SUCCEEDED:RETRYING]) == len(pair.names)


@pytest.mark.stress
@pytest.mark.timeout(600)
@pytest.mark.parametrize("batch", range(20))
def test_twenty_thousand_random_runs_agree_with_the_reference_after_every_event(batch, capsys):
    # Seeds apart from those above.
    steps = sum(random_run(10**6 + 1000 * batch + seed, 200).steps for seed in range(1000))
    with capsys.disabled():
        print(f" {steps} steps")


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_recorded_run_replays_bit_for_bit(batch, row_pointers):
    for seed in range(batch * 10, (batch + 1) * 10):
        pair = random_run(seed)
        core, recorded = pair.core, pair.recorded
        again = RunState.replay(core.plan, recorded, 0, core.rules)
        again.check()
        for column in ("states", "start_times", "end_times"):
            assert getattr(again, column).tobytes() == getattr(core, column).tobytes()
        assert again.completion_order == core.completion_order
        assert again.recorded == recorded
        # A run of an equal plan is the same one; so is every beginning of it.
        plan = pickle.loads(pickle.dumps(pair.facade))._compiled
        half = recorded[: len(recorded) // 2]
        replayed = RunState.replay(plan, half, 0, pair.rules_for(plan))
        assert facts(replayed) == facts(RunState.replay(core.plan, half, 0, core.rules))


class RunMachine(RuleBasedStateMachine):
    """Hypothesis drives a run one event at a time and shrinks what fails."""

    @initialize(
        seed=st.integers(0, 10_000), rules=st.none() | st.integers(0, 10_000), max_running=st.sampled_from((0, 1, 3))
    )
    def begin(self, seed, rules, max_running):
        mapping = random_dag(seed)
        self.pair = Pair(mapping, max_running, None if rules is None else random_rules(rules, mapping))

    @rule()
    def start(self):
        self.pair.start()

    @precondition(lambda self: self.pair.slow.running())
    @rule(which=st.integers(0, 1000), outcome=st.sampled_from((*[SUCCEEDED] * 3, FAILED, CANCELLED, SKIPPED, DETACHED)))
    def finish(self, which, outcome):
        running = self.pair.slow.running()
        name = running[which % len(running)]
        if outcome == DETACHED and self.pair.slow.plan.dependents[name]:
            outcome = SUCCEEDED
        self.pair.finish(name, outcome)

    @precondition(lambda self: self.pair.slow.running())
    @rule(which=st.integers(0, 1000))
    def retry(self, which):
        running = self.pair.slow.running()
        self.pair.retry(running[which % len(running)])

    @precondition(lambda self: self.pair.slow.retrying())
    @rule(which=st.integers(0, 1000), outcome=st.sampled_from((None, None, FAILED, CANCELLED, SKIPPED)))
    def try_again_or_give_up(self, which, outcome):
        waiting = self.pair.slow.retrying()
        name = waiting[which % len(waiting)]
        if outcome is None:
            self.pair.again(name)
        else:
            self.pair.finish(name, outcome)

    @rule(often=st.integers(0, 20), entirely=st.booleans())
    def stop(self, often, entirely):
        if often == 0:
            self.pair.stop(entirely)

    @rule()
    def look_at_a_copy(self):
        self.pair.snap()

    @rule(position=st.integers(-2, 70), outcome=st.integers(0, 8))
    def finish_what_is_not_running(self, position, outcome):
        core = self.pair.core
        known = 0 <= position < core.plan.n
        if known and core.states[position] in (RUNNING, RETRYING):
            possible = {FAILED, CANCELLED, SKIPPED}
            if core.states[position] == RUNNING:
                possible.add(SUCCEEDED)
                if not self.pair.slow.plan.dependents[self.pair.name(position)]:
                    possible.add(DETACHED)
            if outcome in possible:
                return
        with pytest.raises(ValueError if known else IndexError):
            core.finish(position, outcome, 0.0)

    @rule(position=st.integers(-2, 70))
    def retry_what_is_not_running_and_go_on_with_what_does_not_wait(self, position):
        core = self.pair.core
        known = 0 <= position < core.plan.n
        state = core.states[position] if known else None
        if state != RUNNING:
            with pytest.raises(ValueError if known else IndexError):
                core.retry(position, 0.0)
        if state != RETRYING:
            with pytest.raises(ValueError if known else IndexError):
                core.again(position)

    @invariant()
    def agree(self):
        if hasattr(self, "pair"):
            self.pair.compare()

    def teardown(self):
        if hasattr(self, "pair"):
            self.pair.check_the_end()


TestRunMachine = RunMachine.TestCase
TestRunMachine.settings = settings(
    max_examples=100, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)


# -- single statements -----------------------------------------------------------------------------------

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


def state_of(mapping, *arguments):
    return RunState(TaskGraph.from_predecessors(mapping).plan()._compiled, *arguments)


def test_states_are_numbered_as_the_reference_numbers_them():
    numbered = dict(zip(STATE_NAMES, range(9), strict=True))
    assert numbered == {
        "pending": PENDING,
        "ready": READY,
        "running": RUNNING,
        "completed": SUCCEEDED,
        "failed": FAILED,
        "cancelled": CANCELLED,
        "skipped": SKIPPED,
        "detached": DETACHED,
        "retrying": RETRYING,
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
        (0, RETRYING, ValueError, "a task cannot end with state 8"),
        (0, 9, ValueError, "a task cannot end with state 9"),
        (0, DETACHED, ValueError, "position 0 has successors and cannot be detached"),
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
    assert state.tally() == (0, 0, 1, 0, 0, 0, 5, 0, 0)
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
        ([(EVENT_RETRY, 0, 0.0)], "position 0 is ready, not running"),
        ([(EVENT_START, 0, 0.0), (EVENT_AGAIN, 0)], "position 0 is running, not retrying"),
        ([(EVENT_PARK,)], "starts no task, but one may start"),
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
    assert (state.start(0.0), state.tally()) == (-1, (0,) * 9)
    state.stop()
    state.check()
    with pytest.raises(IndexError):
        state.cause_of(0)
