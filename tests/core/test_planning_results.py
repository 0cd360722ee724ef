"""What a plan says about a graph, and that it is immutable, lazy and picklable."""

import functools
import operator
import pickle
import threading

import cloudpickle
import pytest

from penstock import ExecutionPlan, ExecutionPlanner, TaskGraph, TaskOrder
from penstock._core import Graph, Plan
from penstock.testing import shapes

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


def plan_of(mapping):
    return TaskGraph.from_predecessors(mapping).plan()


def columns(plan):
    stages = list(plan.stages)
    return (
        [stage.start_tasks for stage in stages],
        [stage.wait_for_tasks for stage in stages],
        [stage.parallel_tasks for stage in stages],
    )


# -- the contract's reference outputs (S41 to S48) -------------------------------------------------------


def test_the_diamond_has_three_stages():
    starts, waits, _ = columns(plan_of(DIAMOND))
    assert starts == [["a"], ["b", "c"], ["d"]]
    assert waits == [[], ["a"], ["b", "c"]]
    assert plan_of(DIAMOND).max_parallelism == 2


def test_wait_lists_keep_the_order_of_first_mention():
    starts, waits, _ = columns(plan_of({"a": [], "b": ["a"], "c": ["b", "a"], "d": ["a", "c"]}))
    assert starts == [["a"], ["b"], ["c"], ["d"]]
    assert waits == [[], ["a"], ["b", "a"], ["a", "c"]]
    assert plan_of({"a": [], "b": ["a"], "c": ["b", "a"], "d": ["a", "c"]}).max_parallelism == 1


def test_tasks_that_nobody_waits_for_stay_in_flight():
    plan = plan_of({"a": [], "l1": [], "l2": [], "b": ["a"], "c": ["b"]})
    _, _, parallel = columns(plan)
    assert [len(tasks) for tasks in parallel] == [3, 3, 3]
    assert parallel == [["a", "l1", "l2"], ["l1", "l2", "b"], ["l1", "l2", "c"]]
    assert (plan.max_parallelism, plan.width) == (3, 3)


def test_start_tasks_are_in_list_order_however_the_tasks_become_ready():
    orders = [TaskOrder(name) for name in ("z", "y", "x", "w")]
    z, y, x, w = orders
    w.dependencies, z.dependencies = [y], [x]
    plan = ExecutionPlanner(orders).get_execute_timeline()
    assert columns(plan)[0] == [["y", "x"], ["z", "w"]]
    assert [plan.names[task] for task in plan.order] == ["y", "x", "w", "z"]


def test_a_leaf_on_every_level_of_a_chain_widens_the_flight_but_not_the_stages():
    n = 50
    mapping = {f"c{i}": [f"c{i - 1}"] * (i > 0) for i in range(n)}
    mapping |= {f"leaf{i}": [f"c{i - 1}"] * (i > 0) for i in range(n)}
    plan = plan_of(mapping)
    # The leaves of all stages and the last task of the chain.
    assert (plan.depth, plan.width, plan.max_parallelism) == (n, 2, n + 1)


def test_a_dependency_listed_twice_changes_nothing():
    once, twice = plan_of(DIAMOND), plan_of(DIAMOND | {"d": ["b", "c", "b", "b"]})
    assert columns(once) == columns(twice)
    assert twice.n_dependencies == 4


def test_an_empty_plan_has_no_stages():
    plan = ExecutionPlanner([]).get_execute_timeline()
    assert (list(plan.stages), plan.total_tasks, plan.max_parallelism) == ([], 0, 0)


# -- the sequence of stages ------------------------------------------------------------------------------


def test_stages_are_made_when_looked_at():
    stages = plan_of(DIAMOND).stages
    assert len(stages) == 3
    assert stages[-1].start_tasks == ["d"]
    assert [stage.stage_id for stage in stages[1:]] == [1, 2]
    assert stages[0] == stages[0]
    assert stages[0] is not stages[0]
    assert stages == list(stages)
    assert repr(stages) == "<3 stages>"
    for number in (3, -4):
        with pytest.raises(IndexError, match="out of range for 3"):
            stages[number]
    with pytest.raises(AttributeError):
        stages[0].stage_id = 5


def test_changing_the_lists_of_a_stage_does_not_change_the_plan():
    plan = plan_of(DIAMOND)
    stage = plan.stages[1]
    for listed in (stage.start_tasks, stage.wait_for_tasks, stage.parallel_tasks):
        listed.clear()
    assert plan.stages[1].start_tasks == ["b", "c"]


def test_the_core_refuses_indices_beyond_its_arrays():
    plan = plan_of(DIAMOND)._compiled
    for question in (plan.stage_members, plan.successors_of, plan.graph.predecessors_of):
        for index in (-1, 4, 1 << 31):
            with pytest.raises(IndexError, match="out of range"):
                question(index)
    assert plan.successors_of(0) == [1, 2]
    assert list(plan.stage_starts) == [0, 1, 3, 4]
    assert [plan.order[position] for position in plan.position] == list(range(4))


def test_the_core_refuses_graphs_that_are_no_plans():
    with pytest.raises(TypeError):
        Plan(None)
    for names, rows in ((["a"], [["b"]]), (["a"], [["a"]])):
        with pytest.raises(ValueError, match=r"unlisted names|a cycle"):
            Plan(Graph.from_rows(names, rows))


# -- the critical path -----------------------------------------------------------------------------------


def test_the_critical_path_follows_the_durations():
    plan = plan_of(DIAMOND)
    assert plan.critical_path() == (("a", "b", "d"), 3.0)
    assert plan.critical_path({"c": 2.5, "b": 1, "a": 0.25}) == (("a", "c"), 2.75)
    assert plan.critical_path([1.0, 5.0, 1.0, 1.0]) == (("a", "b", "d"), 7.0)
    assert plan.critical_path({}) == (("a",), 0.0)


@pytest.mark.parametrize(
    ("durations", "error", "text"),
    [
        ({"z": 1.0}, KeyError, "z"),
        ({"a": -1.0}, ValueError, "the duration of task 'a' is -1.0; give seconds from 0 on"),
        ({"b": float("nan")}, ValueError, "the duration of task 'b' is nan"),
        ([1, 1, 1, float("inf")], ValueError, "the duration of task 'd' is inf"),
        ([1.0], ValueError, "1 durations were given for 4 tasks"),
        ([1.0] * 5, ValueError, "5 durations were given for 4 tasks"),
        ([1.0] * 4 + [-1.0], ValueError, "task number 4 is -1.0"),
        (["a"] * 4, TypeError, "not supported between"),
        (3, TypeError, "not iterable"),
    ],
)
def test_durations_that_make_no_sense_are_refused(durations, error, text):
    with pytest.raises(error, match=text):
        plan_of(DIAMOND).critical_path(durations)


class Shrinking(list):
    """Says one length and has another."""

    def __len__(self):
        return 4


def test_a_sequence_that_lies_about_its_length_is_harmless():
    with pytest.raises(IndexError):
        plan_of(DIAMOND).critical_path(Shrinking([1.0]))


# -- pickling --------------------------------------------------------------------------------------------

PICKLED = {
    "text": lambda: TaskGraph.from_predecessors(shapes.layered(200, seed=3)),
    "one by one": lambda: functools.reduce(
        lambda graph, task: (graph.add_task(task, depends_on=range(task + 1, min(task + 3, 60))), graph)[1],
        range(60),
        TaskGraph(),
    ),
    "numbers": lambda: TaskGraph.from_arrays(*shapes.layered_csr(200, seed=3)),
    "named arrays": lambda: TaskGraph.from_arrays([0, 0, 1], [0], names=[("a", 1), None]),
    "repeats": lambda: TaskGraph.from_predecessors({"a": [], "b": ["a", "a"], "c": ["b", "a", "b"]}),
    "empty": TaskGraph,
}


@pytest.mark.parametrize("make", PICKLED.values(), ids=PICKLED)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_plan_is_the_same_after_pickling(make, protocol, row_pointers):
    plan = make().plan()
    copy = pickle.loads(pickle.dumps(plan, protocol))
    assert type(copy) is ExecutionPlan
    assert list(copy.names) == list(plan.names)
    assert list(copy.order) == list(plan.order)
    assert list(copy.stages) == list(plan.stages)
    assert (copy.n_dependencies, copy.max_parallelism) == (plan.n_dependencies, plan.max_parallelism)
    assert copy.planning_duration == 0.0
    assert copy.run_sync(str).results == plan.run_sync(str).results


def test_functions_travel_with_the_plan():
    graph = TaskGraph()
    graph.add_task("a", functools.partial(operator.add, 1, 2))
    graph.add_task("b", lambda: 4, depends_on=["a"])
    plan = graph.plan()
    copy = cloudpickle.loads(cloudpickle.dumps(plan))
    assert dict(copy.run_sync().results) == {"a": 3, "b": 4}
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(plan)


def test_what_belongs_to_one_process_says_so_when_pickled():
    plan = plan_of(DIAMOND)
    for thing in (plan._compiled, plan._compiled.graph):
        with pytest.raises(TypeError, match="cannot be pickled; pickle the"):
            pickle.dumps(thing)


# -- sharing ---------------------------------------------------------------------------------------------


def test_several_threads_may_ask_one_plan_at_once():
    mapping = shapes.layered(900, seed=1)
    expected = columns(plan_of(mapping)), plan_of(mapping).max_parallelism
    for _ in range(3):
        plan, barrier, answers = plan_of(mapping), threading.Barrier(4), []

        def ask(plan=plan, barrier=barrier, answers=answers):
            barrier.wait()
            answers.append((columns(plan), plan.max_parallelism))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [expected] * 4


def test_several_threads_may_plan_and_change_one_graph():
    graph, barrier = TaskGraph(), threading.Barrier(4)

    def work(worker):
        barrier.wait()
        for i in range(200):
            graph.add_task((worker, i), depends_on=[(worker, i + 1)] if i < 199 else [])
            if i % 20 == 19:
                graph.to_predecessors()
                assert (worker, i) in graph

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    plan = graph.plan()
    assert (plan.total_tasks, plan.depth, plan.width) == (800, 200, 4)


def test_the_columns_outlive_their_plan():
    order, stage_of = (lambda plan: (plan.order, plan.stage_of))(plan_of(DIAMOND))
    assert (list(order), list(stage_of)) == ([0, 1, 2, 3], [0, 1, 1, 2])
    assert (order.format, order.itemsize, order.readonly) == ("i", 4, True)
