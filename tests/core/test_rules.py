"""Rules of a run one by one: what runs always, limits, priorities, barriers; and arguments that are refused."""

import math
import pickle

import pytest
from reference import CANCELLED, FAILED, PENDING, READY, RETRYING, RUNNING, SKIPPED, SUCCEEDED

from penstock import TaskGraph
from penstock._core import RunState
from penstock._core.rules import Rules

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
APART = {name: [] for name in "abcd"}


def plan_of(mapping):
    return TaskGraph.from_predecessors(mapping).plan()._compiled


def state_of(mapping, max_running=0, **rules):
    plan = plan_of(mapping)
    return RunState(plan, max_running, True, Rules(plan, **rules))


def start_all(state):
    started = []
    while (position := state.start(0.0)) >= 0:
        started.append(position)
        state.check()
    return started


def end(state, position, outcome=SUCCEEDED):
    state.finish(position, outcome, 1.0)
    state.check()


# -- what runs always ----------------------------------------------------------------------------------------


def test_a_task_that_runs_always_starts_once_all_before_it_have_ended_however_they_did():
    state = state_of(DIAMOND, always=[3])
    state.start(0.0)
    end(state, 0)
    assert start_all(state) == [1, 2]
    end(state, 1, FAILED)
    assert start_all(state) == []
    end(state, 2, CANCELLED)
    assert start_all(state) == [3]
    end(state, 3)
    assert state.done
    assert state.cause_of(3) == -1


def test_a_failure_skips_up_to_the_task_that_runs_always_and_not_what_follows_it():
    state = state_of(DIAMOND | {"e": ["d"]}, always=[3])
    state.start(0.0)
    end(state, 0, FAILED)
    assert state.states.tolist() == [FAILED, SKIPPED, SKIPPED, READY, PENDING]
    state.start(0.0)
    end(state, 3)
    assert start_all(state) == [4]


def test_a_task_that_runs_always_runs_after_a_stop_but_not_after_an_entire_one():
    state = state_of(DIAMOND, 2, always=[3])
    state.start(0.0)
    end(state, 0)
    state.start(0.0)
    state.stop()
    assert state.states.tolist() == [SUCCEEDED, RUNNING, SKIPPED, PENDING]
    state.check()
    copy = state.copy()
    state.stop(True)
    state.check()
    assert state.states.tolist() == [SUCCEEDED, RUNNING, SKIPPED, SKIPPED]
    end(state, 1)
    assert state.done
    copy.check()
    assert copy.states.tolist() == [SUCCEEDED, RUNNING, SKIPPED, PENDING]
    # One predecessor was skipped by the stop; it still waits for the one that runs.
    assert copy.start(0.0) == -1
    end(copy, 1)
    assert start_all(copy) == [3]


def test_a_stop_makes_ready_what_runs_always_and_waited_for_nothing_that_runs():
    state = state_of({"a": [], "b": [], "c": ["b"], "d": ["c"]}, max_running=1, always=[3])
    assert start_all(state) == [0]
    state.stop()
    end(state, 0)
    assert start_all(state) == [3]
    end(state, 3, FAILED)
    assert state.done


# -- limits ------------------------------------------------------------------------------------------------


def test_no_more_tasks_run_than_their_limit_allows_and_others_pass_by():
    state = state_of(APART, capacities=[2], uses={0: (0,), 1: (0,), 2: (0,)})
    assert start_all(state) == [0, 1, 3]
    end(state, 1, FAILED)
    assert start_all(state) == [2]


def test_a_task_takes_all_its_limits_or_none():
    # b waits for the limit that a has, and leaves the other one to c.
    state = state_of(APART, capacities=[1, 1], uses={0: (0,), 1: (0, 1), 2: (1,)})
    assert start_all(state) == [0, 2, 3]
    end(state, 0)
    assert start_all(state) == []
    end(state, 2)
    assert start_all(state) == [1]


def test_a_task_woken_for_a_place_that_it_cannot_use_passes_it_on():
    # The end of a wakes b, which now waits at the other limit; c must have the place although nothing else ends.
    uses = {0: (0,), 1: (0, 1), 2: (0,), 3: (1,)}
    state = state_of(APART, capacities=[1, 1], uses=uses)
    assert start_all(state) == [0, 3]
    end(state, 0)
    assert start_all(state) == [2]
    end(state, 3)
    assert start_all(state) == []
    end(state, 2)
    assert start_all(state) == [1]


def test_a_task_that_waits_for_its_retry_takes_no_place():
    state = state_of(APART, capacities=[1], uses={0: (0,), 1: (0,)})
    assert start_all(state) == [0, 2, 3]
    state.retry(0, 1.0)
    state.check()
    assert math.isnan(state.start_times[0])
    assert start_all(state) == [1]
    state.again(0)
    assert start_all(state) == []  # parked, with its attempt made
    state.check()
    state.copy().check()
    end(state, 1)
    assert start_all(state) == [0]


def test_a_replay_parks_what_was_parked_although_nothing_started():
    state = state_of({"x": [], "s": [], "e": [], "d": ["s"]}, capacities=[1], uses={0: (0,), 2: (0,), 3: (0,)})
    assert start_all(state) == [0, 1]  # and e is parked
    end(state, 1)
    end(state, 0)
    # When x ended e was called back, behind d, which was ready by then.
    assert start_all(state) == [3]
    again = RunState.replay(state.plan, state.recorded, 0, state.rules)
    assert again.states.tobytes() == state.states.tobytes()


def test_a_stop_takes_parked_tasks_from_their_limit():
    state = state_of(APART, capacities=[1], uses=dict.fromkeys(range(4), (0,)), always=[2])
    assert start_all(state) == [0]
    state.stop()
    state.check()
    assert state.states.tolist() == [RUNNING, SKIPPED, READY, SKIPPED]
    assert start_all(state) == []
    end(state, 0)
    assert start_all(state) == [2]
    state.stop(True)
    end(state, 2)
    assert state.done


def test_a_limit_named_twice_by_a_task_is_taken_once():
    state = state_of(APART, capacities=[2, 1], uses={0: (0, 0), 1: [1, 0, 1], 2: ()})
    assert start_all(state) == [0, 1, 2, 3]
    for position in range(4):
        end(state, position)
    assert state.done


def test_a_limit_may_allow_more_than_there_are_tasks():
    state = state_of(APART, capacities=[2**70], uses=dict.fromkeys(range(4), (0,)))
    assert start_all(state) == [0, 1, 2, 3]


def test_a_thousand_parked_tasks_are_woken_in_the_order_they_came():
    n = 1000
    state = state_of(dict.fromkeys(range(n), ()), capacities=[1], uses=dict.fromkeys(range(n), (0,)))
    for position in range(n):
        assert (state.start(0.0), state.start(0.0)) == (position, -1)
        state.finish(position, SUCCEEDED, 1.0)
    state.check()
    assert state.done


# -- priorities --------------------------------------------------------------------------------------------


def test_of_what_is_ready_the_larger_priority_starts_first_and_the_rest_in_order():
    state = state_of(APART, priorities={1: -1.0, 3: 5})
    assert start_all(state) == [3, 0, 2, 1]


def test_a_retry_lines_up_by_its_priority():
    state = state_of(APART, max_running=1, priorities={0: 1.0})
    assert start_all(state) == [0]
    state.retry(0, 1.0)
    assert start_all(state) == [1]
    state.again(0)
    end(state, 1)
    assert start_all(state) == [0]


def test_a_stop_leaves_the_priorities_of_what_runs_always():
    state = state_of(APART, always=[1, 2, 3], priorities={3: 1.0, 2: math.inf, 0: -math.inf})
    state.stop()
    assert start_all(state) == [2, 3, 1]


# -- barriers ----------------------------------------------------------------------------------------------

LADDER = {"a": [], "b": [], "c": ["a"], "d": ["b"], "e": ["c"], "f": ["d"]}


def test_a_stage_begins_when_all_before_it_has_ended():
    state = state_of(LADDER, barriers=True)
    assert start_all(state) == [0, 1]
    end(state, 0)
    assert start_all(state) == []
    end(state, 1, FAILED)
    assert start_all(state) == [2]
    end(state, 2)
    assert start_all(state) == [4]


def test_a_stage_that_is_skipped_altogether_is_passed_by():
    state = state_of(DIAMOND | {"e": []} | {"f": ["d", "e"]}, barriers=True, always=[5])
    assert start_all(state) == [0, 1]
    end(state, 1)
    end(state, 0, FAILED)
    assert start_all(state) == [5]
    end(state, 5)
    assert state.done


def test_a_task_that_waits_for_its_retry_holds_the_next_stage_back():
    state = state_of(LADDER, barriers=True)
    assert start_all(state) == [0, 1]
    end(state, 0)
    state.retry(1, 1.0)
    assert start_all(state) == []
    copy = state.copy()
    state.again(1)
    assert start_all(state) == [1]
    end(state, 1)
    assert start_all(state) == [2, 3]
    # Or its wait ends without another attempt.
    copy.check()
    assert copy.states[1] == RETRYING
    end(copy, 1, CANCELLED)
    assert start_all(copy) == [2]


def test_a_stop_opens_the_stages_to_what_runs_always():
    state = state_of(LADDER, barriers=True, always=[2, 3])
    assert start_all(state) == [0, 1]
    end(state, 0)
    assert start_all(state) == []
    state.stop()
    state.check()
    assert start_all(state) == [2]  # what it waited for has ended, and a stop knows no stages
    end(state, 1)
    assert start_all(state) == [3]


# -- a wait that ends without another attempt ----------------------------------------------------------------


@pytest.mark.parametrize("outcome", [FAILED, CANCELLED, SKIPPED])
def test_a_task_that_waits_for_its_retry_can_end_without_one_and_a_replay_does_the_same(outcome):
    state = state_of(DIAMOND, capacities=[1], uses={0: (0,)})
    state.start(0.0)
    state.retry(0, 1.0)
    with pytest.raises(ValueError, match="position 0 is retrying, not running"):
        state.finish(0, SUCCEEDED, 2.0)
    state.finish(0, outcome, 2.0)
    state.check()
    assert (state.start_times[0], state.end_times[0]) == (2.0, 2.0)
    assert state.done
    again = RunState.replay(state.plan, state.recorded, 0, state.rules)
    assert again.states.tobytes() == state.states.tobytes()


# -- refused arguments ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [-1, 4, 2**40])
@pytest.mark.parametrize(
    "rules",
    [
        lambda task: {"always": [0, task]},
        lambda task: {"priorities": {0: 1.0, task: 1.0}},
        lambda task: {"capacities": [1], "uses": {0: (0,), task: (0,)}},
    ],
    ids=["always", "priorities", "uses"],
)
def test_a_task_out_of_range_is_refused(rules, task):
    with pytest.raises(IndexError, match=f"task {task} is out of range for 4 tasks"):
        Rules(plan_of(DIAMOND), **rules(task))


@pytest.mark.parametrize("limit", [-1, 2, 2**40])
def test_a_limit_out_of_range_is_refused(limit):
    with pytest.raises(IndexError, match=f"limit {limit} is out of range for 2 limits"):
        Rules(plan_of(DIAMOND), capacities=[1, 1], uses={0: (0,), 1: (0, limit)})


@pytest.mark.parametrize("uses", [{0: (0, 1)}, {}, None])
@pytest.mark.parametrize("capacity", [0, -3])
def test_a_limit_that_allows_nothing_is_refused_used_or_not(capacity, uses):
    with pytest.raises(ValueError, match=f"limit 1 allows {capacity} tasks"):
        Rules(plan_of(DIAMOND), capacities=[2, capacity], uses=uses)


@pytest.mark.parametrize(
    ("rules", "error"),
    [
        ({"always": 3}, TypeError),
        ({"always": ["a"]}, TypeError),
        ({"always": [1.5]}, TypeError),
        ({"priorities": [1.0]}, TypeError),
        ({"priorities": {0: "high"}}, TypeError),
        ({"priorities": {0: math.nan}}, ValueError),
        ({"capacities": 3}, TypeError),
        ({"capacities": ["two"], "uses": {0: (0,)}}, TypeError),
        ({"capacities": [1.5], "uses": {0: (0,)}}, TypeError),
        ({"capacities": [1], "uses": {0: 0}}, TypeError),
        ({"capacities": [1], "uses": {0: (0.5,)}}, TypeError),
        ({"capacities": [1], "uses": {"a": (0,)}}, TypeError),
        ({"capacities": [1], "uses": [(0, 0)]}, TypeError),
    ],
)
def test_arguments_of_a_wrong_kind_are_refused(rules, error):
    with pytest.raises(error):
        Rules(plan_of(DIAMOND), **rules)


def test_rules_for_another_plan_are_refused_even_for_an_equal_one():
    rules = Rules(plan_of(DIAMOND), always=[3])
    with pytest.raises(ValueError, match="these rules were made for another plan"):
        RunState(plan_of(DIAMOND), 0, False, rules)
    with pytest.raises(ValueError, match="these rules were made for another plan"):
        RunState.replay(plan_of(DIAMOND), [], 0, rules)
    assert RunState(rules.plan, 0, False, rules).rules is rules


def test_rules_need_a_plan_and_cannot_be_pickled():
    with pytest.raises(TypeError, match="plan"):
        Rules(None)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(Rules(plan_of(DIAMOND)))


def test_rules_of_nothing_change_nothing():
    for mapping in ({}, DIAMOND):
        state = state_of(mapping, always=(), capacities=(), uses={}, priorities={}, barriers=not mapping)
        state.drain(0.0)
        state.check()
        assert state.done


def test_many_runs_share_their_rules():
    plan = plan_of(DIAMOND)
    rules = Rules(plan, always=[3], capacities=[1], uses={1: (0,), 2: (0,)})
    first, second = RunState(plan, 0, False, rules), RunState(plan, 0, False, rules)
    first.stop(True)
    second.start(0.0)
    end(second, 0)
    assert start_all(second) == [1]
    del first, plan, rules
    end(second, 1, FAILED)
    assert start_all(second) == [2]
    end(second, 2)
    assert start_all(second) == [3]
