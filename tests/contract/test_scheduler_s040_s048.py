"""Planning: S40 to S48."""

import pytest
from static_scheduler import DIAMOND, orders

from penstock import (
    CycleError,
    DuplicateTaskError,
    DynamicScheduler,
    ExecutionPlan,
    ExecutionPlanner,
    TaskOrder,
    UnknownDependencyError,
)

TWO_WAYS = {"a": [], "b": ["a"], "c": ["b", "a"], "d": ["a", "c"]}
LEAVES = {"a": [], "l1": [], "l2": [], "b": ["a"], "c": ["b"]}


def plan_of(graph):
    return ExecutionPlanner(orders(graph)).get_execute_timeline()


def starts(plan):
    return [stage.start_tasks for stage in plan.stages]


def waits(plan):
    return [stage.wait_for_tasks for stage in plan.stages]


def in_flight(plan):
    return [stage.parallel_tasks for stage in plan.stages]


def test_s040_the_planner_keeps_the_list():
    order = orders(DIAMOND)
    planner = ExecutionPlanner(order)
    assert planner.task_order is order
    assert planner.validate() is None
    assert planner.detect_cycle() is None
    assert isinstance(planner.get_execute_timeline(), ExecutionPlan)
    order.append(TaskOrder("e", [TaskOrder("d")]))
    assert starts(planner.get_execute_timeline())[-1] == ["e"]


def test_s040_duplicates_then_unknown_names_then_cycles():
    twice, unknown, cycle = [TaskOrder("t"), TaskOrder("t")], TaskOrder("u", [TaskOrder("gone")]), TaskOrder("c")
    cycle.depend = TaskOrder("c")
    cases = [
        ([cycle, unknown, *twice], DuplicateTaskError, 3),
        ([cycle, unknown], UnknownDependencyError, 2),
        ([cycle], CycleError, 1),
    ]
    for order, kind, count in cases:
        for check in ("validate", "get_execute_timeline"):
            with pytest.raises(kind) as caught:
                getattr(ExecutionPlanner(order), check)()
            assert len(caught.value.problems) == count
            assert all(problem.message in str(caught.value) for problem in caught.value.problems)


def test_s040_detect_cycle_looks_for_nothing_else():
    ExecutionPlanner(orders({"a": ["gone"], "b": ["a"]})).detect_cycle()
    with pytest.raises(CycleError) as caught:
        ExecutionPlanner(orders({"a": ["gone", "b"], "b": ["a"]})).detect_cycle()
    assert len(caught.value.problems) == 1


def test_s041_a_task_lies_after_its_deepest_dependency():
    plan = plan_of({"far": ["a", "c"], "c": ["b"], "b": ["a"], "near": ["a"], "a": []})
    assert [stage.stage_id for stage in plan.stages] == [0, 1, 2, 3]
    assert starts(plan) == [["a"], ["b", "near"], ["c"], ["far"]]


def test_s042_a_stage_starts_in_list_order():
    graph = {"z": [], "y": ["m"], "x": ["z"], "m": [], "b": ["m", "z"], "a": []}
    assert starts(plan_of(graph)) == [["z", "m", "a"], ["y", "x", "b"]]


def test_s043_a_stage_waits_in_the_order_of_first_mention():
    graph = {"a": [], "b": [], "c": [], "x": ["c", "a"], "y": ["a", "b", "c"], "late": ["x", "a"]}
    # a is waited for in both later stages.
    assert waits(plan_of(graph)) == [[], ["c", "a", "b"], ["x", "a"]]


def test_s044_tasks_nobody_has_waited_for_stay_in_flight():
    graph = {"leaf": [], "a": [], "b": ["a"], "late": [], "other": ["a"], "c": ["b"], "d": ["c", "late"]}
    assert in_flight(plan_of(graph)) == [
        ["leaf", "a", "late"],
        ["leaf", "late", "b", "other"],
        ["leaf", "late", "other", "c"],
        ["leaf", "other", "d"],
    ]


def test_s045_the_totals_of_a_plan():
    order = orders(LEAVES)
    plan = ExecutionPlanner(order).get_execute_timeline()
    assert (plan.max_parallelism, plan.total_tasks) == (max(map(len, in_flight(plan))), 5)
    assert plan.original_tasks == order
    assert (plan_of({}).max_parallelism, plan_of({}).total_tasks, plan_of({}).original_tasks) == (0, 0, [])


def test_s045_the_width_stands_beside_it():
    assert (plan_of(LEAVES).max_parallelism, plan_of(LEAVES).width) == (3, 3)
    comb = {"n0": [], "n1": ["n0"], "n2": ["n1"], "l0": ["n0"], "l1": ["n1"], "l2": ["n2"]}
    assert (plan_of(comb).max_parallelism, plan_of(comb).width) == (3, 2)


def test_s046_a_dependency_listed_twice_counts_once():
    once, twice = plan_of({"a": [], "b": ["a"]}), plan_of({"a": [], "b": ["a", "a"]})
    assert list(once.stages) == list(twice.stages)
    assert once.max_parallelism == twice.max_parallelism


def test_s047_an_empty_graph_has_no_stages():
    assert list(plan_of({}).stages) == []
    assert list(DynamicScheduler([], []).get_execute_timeline().stages) == []


def test_s048_the_diamond():
    plan = plan_of(DIAMOND)
    assert starts(plan) == [["a"], ["b", "c"], ["d"]]
    assert waits(plan) == [[], ["a"], ["b", "c"]]
    assert plan.max_parallelism == 2


def test_s048_a_task_that_is_waited_for_twice():
    plan = plan_of(TWO_WAYS)
    assert starts(plan) == [["a"], ["b"], ["c"], ["d"]]
    assert waits(plan) == [[], ["a"], ["b", "a"], ["a", "c"]]
    assert plan.max_parallelism == 1


def test_s048_leaves_beside_a_chain():
    plan = plan_of(LEAVES)
    assert [len(names) for names in in_flight(plan)] == [3, 3, 3]
    assert plan.max_parallelism == 3
