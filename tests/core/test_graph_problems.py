"""Everything that is wrong with a graph is said at once, with names and remedies."""

import contextlib
import gc
import graphlib
import pickle
import time
from itertools import pairwise

import pytest

from penstock import (
    CycleError,
    DuplicateTaskError,
    ExecutionPlanner,
    GraphError,
    TaskDependencyError,
    TaskGraph,
    TaskOrder,
    TaskOrderLoopError,
    UnknownDependencyError,
)


def problem_of(graph):
    with pytest.raises(GraphError) as caught:
        graph.plan()
    return caught.value


def test_a_cycle_is_named_in_graphlibs_order_and_printed_along_the_arrows():
    mapping = {"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}
    error = problem_of(TaskGraph.from_predecessors(mapping))
    assert type(error) is CycleError is TaskOrderLoopError
    assert isinstance(error, graphlib.CycleError)
    assert error.cycle[0] == error.cycle[-1]
    assert all(before in mapping[after] for before, after in pairwise(error.cycle))
    assert error.args[1] == list(error.cycle)
    arrows = str(error).removeprefix("Cycle detected: ").split(" -> ")
    assert arrows == list(reversed(error.cycle))
    assert error.errors == [str(error)]
    with pytest.raises(graphlib.CycleError) as oracle:
        graphlib.TopologicalSorter(mapping).prepare()
    assert set(oracle.value.args[1]) == set(error.cycle)


def test_a_task_that_depends_on_itself_is_a_cycle_of_one():
    error = problem_of(TaskGraph.from_predecessors({"a": ["a"]}))
    assert error.cycle == ("a", "a")
    assert str(error) == "Cycle detected: a -> a"


def test_the_cycle_named_is_a_short_one(row_pointers):
    n = 3000
    mapping = {i: [i - 1] if i else [n - 1] for i in range(n)}
    mapping[1500] = [1499, 1501]
    mapping[0] = [n - 1, 1]
    assert len(problem_of(TaskGraph.from_predecessors(mapping)).cycle) == 3


@pytest.mark.parametrize("groups", [1, 19, 20, 21, 50])
def test_one_cycle_is_named_for_each_group_up_to_twenty_and_the_rest_counted(groups, row_pointers):
    mapping = {}
    for group in range(groups):
        for i in range(3):
            mapping[group, i] = [(group, (i + 1) % 3)] + [(group - 1, 0)] * (group > 0)
    error = problem_of(TaskGraph.from_predecessors(mapping))
    assert [problem.cycle[0][0] for problem in error.problems] == list(range(min(groups, 20)))
    assert error.problems[-1].n_more == max(0, groups - 20)
    assert ("more groups of tasks with cycles" in str(error)) == (groups > 20)
    assert len(str(error).splitlines()) == len(error.problems)


def test_a_long_cycle_is_cut_in_the_message_and_whole_in_the_attribute():
    n = 100_000
    indptr, indices = range(n + 1), [n - 1, *range(n - 1)]
    error = problem_of(TaskGraph.from_arrays(indptr, indices))
    assert len(error.cycle) == n + 1
    assert str(error).count("->") <= 20
    assert f"... ({n + 1 - 20:,} more)" in str(error)


def test_unknown_names_come_with_the_task_and_close_matches():
    error = problem_of(TaskGraph.from_predecessors({"fetch_all": [], "load": ["fetch", "fetch_al", 3]}))
    assert isinstance(error, UnknownDependencyError)
    assert isinstance(error, (TaskDependencyError, LookupError))
    assert [(problem.name, problem.missing) for problem in error.problems] == [
        ("load", "fetch"),
        ("load", "fetch_al"),
        ("load", 3),
    ]
    assert [problem.close_matches for problem in error.problems] == [("fetch_all",), ("fetch_all",), ()]
    first, second, third = str(error).splitlines()
    assert first == ("Unknown dependency: load -> fetch; fetch is not in the graph; did you mean fetch_all?")
    assert second.endswith("did you mean fetch_all?")
    assert third == "Unknown dependency: load -> 3; 3 is not in the graph"


def test_an_unknown_name_is_reported_once_for_each_task_that_needs_it():
    error = problem_of(TaskGraph.from_predecessors({"a": ["x", "x"], "b": ["x"], "c": ["a", "y", "x", "y"]}))
    found = [(problem.name, problem.missing) for problem in error.problems]
    assert found == [("a", "x"), ("b", "x"), ("c", "y"), ("c", "x")]


def test_duplicates_are_reported_with_their_number_sorted():
    graph = TaskGraph()
    for name in ("b", "a", "b", "c", "a", "b"):
        graph.add_task(name)
    error = problem_of(graph)
    assert isinstance(error, DuplicateTaskError)
    assert [(problem.name, problem.count) for problem in error.problems] == [("a", 2), ("b", 3)]
    assert str(error).splitlines()[1] == ("Duplicate task name: b is listed 3 times; give each task a name of its own")
    assert "a is listed twice" in str(error)


DUPLICATED = {
    "add_task": lambda: [graph := TaskGraph(), [graph.add_task(n) for n in ("a", 1, "a", 1)]][0],
    "edges": lambda: TaskGraph.from_edges([("a", 1)], tasks=["a", 1, "a", 1]),
    "arrays": lambda: TaskGraph.from_arrays([0] * 5, [], names=["a", 1, "a", 1]),
    "orders": lambda: TaskGraph.from_task_orders([TaskOrder(n) for n in ("a", 1, "a", 1)]),
}


@pytest.mark.parametrize("make", DUPLICATED.values(), ids=DUPLICATED)
def test_every_way_to_give_a_name_twice_is_reported(make):
    assert [(problem.name, problem.count) for problem in problem_of(make()).problems] == [(1, 2), ("a", 2)]


def muddle():
    """Three duplicates, two unknown names, two cycles: one of them through the rows of a duplicate."""
    graph = TaskGraph()
    for name, needs in [
        ("a", ["b"]),
        ("b", []),
        ("b", ["a"]),
        ("c", ["nowhere"]),
        ("d", ["d"]),
        ("c", []),
        ("e", ["c", "elsewhere"]),
        ("e", []),
    ]:
        graph.add_task(name, depends_on=needs)
    return graph


def test_every_problem_of_every_kind_is_in_one_exception():
    error = problem_of(muddle())
    assert type(error) is DuplicateTaskError
    assert [type(problem).__name__ for problem in error.problems] == [
        *["DuplicateTaskError"] * 3,
        *["UnknownDependencyError"] * 2,
        *["CycleError"] * 2,
    ]
    assert [problem.name for problem in error.problems[:3]] == ["b", "c", "e"]
    assert {problem.missing for problem in error.problems[3:5]} == {"nowhere", "elsewhere"}
    assert {frozenset(problem.cycle) for problem in error.problems[5:]} == {frozenset("ab"), frozenset("d")}
    assert str(error).splitlines() == [problem.message for problem in error.problems]


@pytest.mark.parametrize("drop", [0, 1, 2])
def test_the_class_is_that_of_the_first_kind(drop):
    lists = [["x"], ["a"], []]
    names = ["a", "b", "b"] if drop < 1 else ["a", "b", "c"]
    needs = [["a", *lists[0][: drop < 2]], [], []]
    graph = TaskGraph()
    for name, needed in zip(names, needs, strict=True):
        graph.add_task(name, depends_on=needed)
    kinds = [DuplicateTaskError, UnknownDependencyError, CycleError]
    error = problem_of(graph)
    assert type(error) is kinds[drop]
    assert [type(problem) for problem in error.problems] == kinds[drop:]


def test_a_planner_says_the_same_of_task_orders_and_looks_for_cycles_alone_on_request():
    a, b = TaskOrder("a"), TaskOrder("b")
    a.dependencies, b.dependencies = [b, TaskOrder("nowhere")], [a]
    planner = ExecutionPlanner([a, b, TaskOrder("c"), TaskOrder("c", [TaskOrder("c")])])
    for check in (planner.validate, planner.get_execute_timeline):
        with pytest.raises(DuplicateTaskError) as caught:
            check()
        assert len(caught.value.problems) == 4
    with pytest.raises(CycleError) as caught:
        planner.detect_cycle()
    assert [set(problem.cycle) for problem in caught.value.problems] == [{"a", "b"}, {"c"}]
    ExecutionPlanner([TaskOrder("a", [TaskOrder("nowhere")])]).detect_cycle()
    ExecutionPlanner([]).validate()


def test_problems_travel_between_processes():
    error = pickle.loads(pickle.dumps(problem_of(muddle())))
    original = problem_of(muddle())
    assert (type(error), str(error), error.args) == (type(original), str(original), original.args)
    for copy, problem in zip(error.problems, original.problems, strict=True):
        assert (type(copy), copy.message) == (type(problem), problem.message)
        assert {**copy.__dict__, "_others": None} == {**problem.__dict__, "_others": None}


def test_problems_make_no_reference_cycle():
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(GraphError):
            muddle().plan()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_asking_twice_gives_the_same_answer():
    graph = muddle()
    assert str(problem_of(graph)) == str(problem_of(graph))


def test_a_graph_is_read_in_spite_of_cycles_but_not_with_shared_names():
    looped = TaskGraph.from_predecessors({"a": ["b"], "b": ["a"]})
    assert looped.to_predecessors() == {"a": ["b"], "b": ["a"]}
    assert looped.dependents_of("a") == ("b",)
    assert sorted(looped.to_networkx().edges) == [("a", "b"), ("b", "a")]
    for read in (
        muddle().to_predecessors,
        muddle().to_networkx,
        lambda: muddle().dependencies_of("a"),
        lambda: muddle().dependents_of("a"),
    ):
        with pytest.raises(DuplicateTaskError):
            read()
    with pytest.raises(UnknownDependencyError):
        TaskGraph.from_predecessors({"a": ["x"]}).to_networkx()
    assert TaskGraph.from_predecessors({"a": ["x"]}).to_predecessors() == {"a": ["x"]}


def test_unknown_names_of_a_large_graph_are_reported_soon():
    mapping = {f"task-{i}": [f"tusk-{i}"] if i < 20 else [] for i in range(200_000)}
    started = time.perf_counter()
    error = problem_of(TaskGraph.from_predecessors(mapping))
    assert time.perf_counter() - started < 10.0
    assert len(error.problems) == 20


def test_unknown_names_get_hints_while_that_costs_little():
    mapping = {f"task-{i}": [f"tusk-{i}"] if i < 3 else [] for i in range(40_000)}
    error = problem_of(TaskGraph.from_predecessors(mapping))
    assert [bool(problem.close_matches) for problem in error.problems] == [True, True, False]


class Unspeakable:
    def __repr__(self):
        raise RuntimeError("no words")


def test_a_name_without_a_repr_can_be_complained_about():
    name = Unspeakable()
    error = problem_of(TaskGraph.from_predecessors({"a": [name]}))
    assert "a -> <Unspeakable object whose repr raises RuntimeError>" in str(error)
    report = TaskGraph.from_predecessors({name: []}).plan().run_sync(lambda name: 1 / 0)
    assert "Unspeakable object" in report.summary()
    assert "Unspeakable object" in report.to_json()
