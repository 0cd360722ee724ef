"""Every way to describe a graph, and what each refuses."""

import copy
import pickle
from collections import ChainMap, UserDict, UserList, deque
from types import MappingProxyType

import networkx
import pytest

from penstock import ExecutionPlanner, GraphError, TaskGraph, TaskOrder
from penstock._core import Graph

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
SUCCESSORS = {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}
STAGES = [["a"], ["b", "c"], ["d"]]


def stages(graph):
    return [stage.start_tasks for stage in graph.plan().stages]


def test_predecessors_and_successors_read_the_mapping_in_opposite_directions():
    assert stages(TaskGraph.from_predecessors(DIAMOND)) == STAGES
    assert stages(TaskGraph.from_successors(SUCCESSORS)) == STAGES
    assert stages(TaskGraph.from_successors(DIAMOND)) == STAGES[::-1]


@pytest.mark.parametrize("mapping", [MappingProxyType(DIAMOND), UserDict(DIAMOND), ChainMap({"a": []}, DIAMOND)])
def test_any_mapping_is_taken(mapping):
    assert TaskGraph.from_predecessors(mapping).to_predecessors() == DIAMOND


@pytest.mark.parametrize(
    "make",
    [tuple, set, frozenset, deque, UserList, iter, dict.fromkeys, lambda names: (name for name in names)],
)
def test_dependencies_may_be_any_iterable(make):
    graph = TaskGraph.from_predecessors({task: make(listed) for task, listed in DIAMOND.items()})
    assert {task: set(listed) for task, listed in graph.to_predecessors().items()} == {
        task: set(listed) for task, listed in DIAMOND.items()
    }
    turned = TaskGraph.from_successors({task: make(listed) for task, listed in SUCCESSORS.items()})
    assert stages(turned) == STAGES
    one_by_one = TaskGraph()
    for task, listed in DIAMOND.items():
        one_by_one.add_task(task, depends_on=make(listed))
    assert stages(one_by_one) == STAGES


def test_dependencies_may_be_a_view_of_a_dict():
    needs = {"a": 1}
    graph = TaskGraph.from_predecessors({"a": [], "b": needs.keys(), "c": {0: "a", 1: "b"}.values()})
    assert graph.to_predecessors() == {"a": [], "b": ["a"], "c": ["a", "b"]}


def test_the_callers_lists_are_neither_kept_nor_changed():
    mapping = {"a": [], "b": ("a",), "c": iter(["a", "b"]), "d": ["c", "c"]}
    graph = TaskGraph.from_predecessors(mapping)
    mapping["d"].append("a")
    assert graph.to_predecessors() == {"a": [], "b": ["a"], "c": ["a", "b"], "d": ["c"]}
    graph.to_predecessors()["d"].append("a")
    assert graph.dependencies_of("d") == ("c",)
    assert mapping["d"] == ["c", "c", "a"]


@pytest.mark.parametrize("n", [255, 256, 257, 511, 512, 513, 2000])
def test_rows_longer_than_a_block_of_look_ups_are_whole(n, row_pointers):
    names = [f"n{i}" for i in range(n)]
    mapping = {name: [] for name in names} | {"sum": names, "again": [*names, "sum", *names]}
    graph = TaskGraph.from_predecessors(mapping)
    assert graph.dependencies_of("sum") == tuple(names)
    assert graph.dependencies_of("again") == (*names, "sum")
    assert graph.n_dependencies == 2 * n + 1


@pytest.mark.parametrize("before", [0, 1, 254, 255, 256, 257, 600])
@pytest.mark.parametrize("bad", ["text", 3, ["a", []], ["a", {}], [set()]])
def test_bad_dependencies_are_refused_with_the_name_of_their_task(before, bad):
    mapping = {"a": []} | {f"t{i}": ["a"] * (i % 3) for i in range(before)} | {"odd one": bad, "last": ["a"]}
    for constructor in (TaskGraph.from_predecessors, TaskGraph.from_successors):
        with pytest.raises(TypeError, match=r"^task 'odd one': "):
            constructor(mapping)


@pytest.mark.parametrize("text", ["ab", "", b"ab", bytearray(b"")])
def test_text_as_dependencies_is_an_error_not_a_list_of_letters(text):
    mapping = {"a": [], "b": [], "c": text}
    if isinstance(text, bytearray):  # a sequence of integers, for once
        assert TaskGraph.from_predecessors(mapping).n_dependencies == 0
        return
    with pytest.raises(TypeError, match="put the name into a list"):
        TaskGraph.from_predecessors(mapping)
    with pytest.raises(TypeError, match="put it into a list"):
        TaskGraph().add_task("c", depends_on=text)


@pytest.mark.parametrize("bad", [DIAMOND.items(), "ab", 3, [("a", [])], None])
def test_what_is_no_mapping_is_refused(bad):
    with pytest.raises(TypeError, match=r"takes a mapping of names to iterables of names.*from_edges"):
        TaskGraph.from_predecessors(bad)


def test_an_error_of_the_callers_iterator_comes_through():
    def dependencies():
        yield "a"
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        TaskGraph.from_predecessors({"a": [], "b": dependencies()})


# -- edges ------------------------------------------------------------------------------------------------


def test_edges_are_pairs_of_dependency_and_dependent():
    edges = [("a", "b"), ["a", "c"], ("b", "d"), ("c", "d"), ("a", "b")]
    for given in (edges, tuple(edges), iter(edges)):
        graph = TaskGraph.from_edges(given)
        assert graph.to_predecessors() == DIAMOND
        assert graph.n_dependencies == 4


def test_tasks_fix_the_order_and_add_those_without_edges():
    graph = TaskGraph.from_edges([("a", "b")], tasks=["z", "b", "a"])
    assert graph.to_predecessors() == {"z": [], "b": ["a"], "a": []}


def test_an_edge_to_or_from_a_name_that_is_no_task_is_found_by_plan():
    with pytest.raises(GraphError) as caught:
        TaskGraph.from_edges([("a", "b"), ("x", "b"), ("a", "y"), ("a", "y")], tasks=["a", "b"]).plan()
    # Which of the two is the task and which the dependency is said in the same way for both.
    assert [(problem.name, problem.missing) for problem in caught.value.problems] == [("b", "x"), ("a", "y")]


def test_the_task_for_an_edge_may_still_come():
    graph = TaskGraph.from_edges([("a", "b"), ("a", "late"), ("b", "late")], tasks=["a", "b"])
    graph.add_task("other")
    graph.add_task("late", depends_on=["other"])
    assert set(graph.dependencies_of("late")) == {"a", "b", "other"}
    assert stages(graph) == [["a", "other"], ["b"], ["late"]]


@pytest.mark.parametrize(
    ("edges", "text"),
    [
        (["ab"], "edge 0 is the text 'ab'; give pairs"),
        ([("a", "b"), b"ab"], "edge 1 is the text b'ab'"),
        ([("a", "b"), ("a",)], r"edge 1 is \('a',\); give pairs"),
        ([("a", "b", "c")], r"edge 0 is \('a', 'b', 'c'\); give pairs"),
        ([3], "edge 0 is 3; give pairs"),
        ([("a", [])], "unhashable"),
        (3, "not iterable"),
    ],
)
def test_what_is_no_edge_is_refused_with_its_number(edges, text):
    with pytest.raises(TypeError, match=text):
        TaskGraph.from_edges(edges)


def test_text_as_tasks_is_refused():
    with pytest.raises(TypeError, match="tasks is the text 'ab'"):
        TaskGraph.from_edges([("a", "b")], tasks="ab")


def test_a_pair_of_pairs_is_two_edges_and_not_two_buffers():
    assert TaskGraph.from_edges((("a", "b"), ("b", "c"))).plan().depth == 3
    assert TaskGraph.from_edges(((0, 1), (1, 2))).plan().depth == 3


# -- networkx and task orders -----------------------------------------------------------------------------


def test_a_digraph_comes_in_and_goes_out_unchanged():
    digraph = networkx.DiGraph([("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])
    digraph.add_node("alone")
    graph = TaskGraph.from_networkx(digraph)
    assert list(graph) == list(digraph)
    back = graph.to_networkx()
    assert (set(back), set(back.edges)) == (set(digraph), set(digraph.edges))


def test_parallel_edges_count_once():
    assert TaskGraph.from_networkx(networkx.MultiDiGraph([("a", "b")] * 3)).n_dependencies == 1


@pytest.mark.parametrize(("bad", "text"), [(networkx.Graph(), "undirected"), ({}, "no networkx graph")])
def test_what_is_no_digraph_is_refused(bad, text):
    with pytest.raises(TypeError, match=text):
        TaskGraph.from_networkx(bad)


def test_task_orders_match_by_name():
    a = TaskOrder("a")
    orders = [TaskOrder("b", [TaskOrder("a")]), a, TaskOrder("c", [a, a])]
    graph = TaskGraph.from_task_orders(orders)
    assert graph.to_predecessors() == {"b": ["a"], "a": [], "c": ["a"]}
    assert ExecutionPlanner(orders).get_execute_timeline().depth == 2


@pytest.mark.parametrize("bad", ["a", ("a", []), TaskOrder("b", ["c"]), None])
def test_what_is_no_task_order_is_refused_with_its_number(bad):
    text = r"^item 1(, 'b', has the dependency 'c'| is .*); give TaskOrder objects"
    with pytest.raises(TypeError, match=text):
        TaskGraph.from_task_orders([TaskOrder("a"), bad])


# -- adding tasks -----------------------------------------------------------------------------------------


def test_tasks_may_be_added_before_what_they_depend_on(row_pointers):
    graph = TaskGraph()
    for task in reversed(DIAMOND):
        graph.add_task(task, depends_on=DIAMOND[task])
    assert list(graph) == ["d", "c", "b", "a"]
    assert graph.to_predecessors() == dict(reversed(DIAMOND.items()))
    assert stages(graph) == [["a"], ["c", "b"], ["d"]]
    assert graph.dependents_of("a") == ("c", "b")


def test_a_graph_can_grow_after_each_look_at_it(row_pointers):
    graph, mapping = TaskGraph(), {}
    for i in range(60):
        needs = [f"t{other}" for other in {i // 3, i - 2} if 0 <= other < i]
        mapping[f"t{i}"] = needs
        graph.add_task(f"t{i}", depends_on=needs)
        assert graph.plan().total_tasks == len(graph) == i + 1
        assert graph.to_predecessors() == mapping
        assert graph.dependents_of("t0") == tuple(name for name, listed in mapping.items() if "t0" in listed)


def test_a_plan_does_not_follow_later_changes_of_its_graph():
    graph = TaskGraph.from_predecessors(DIAMOND)
    plan = graph.plan()
    assert graph.plan() is plan
    graph.add_task("e", depends_on=["d"])
    assert (plan.total_tasks, list(plan.names), plan.depth) == (4, list(DIAMOND), 3)
    assert graph.plan() is not plan
    assert graph.plan().depth == 4


def test_a_graph_planned_in_vain_can_be_mended():
    graph = TaskGraph.from_predecessors({"b": ["a"]})
    with pytest.raises(GraphError, match="Unknown dependency: b -> a"):
        graph.plan()
    graph.add_task("a")
    assert stages(graph) == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([],), "unhashable"),
        (("a", None, [[]]), "unhashable"),
        (("a", 3), "the function of task 'a' is 3, which cannot be called"),
        (("a", None, 3), "not iterable"),
    ],
)
def test_a_refused_task_leaves_the_graph_as_it_was(arguments, text):
    graph = TaskGraph.from_predecessors(DIAMOND)
    with pytest.raises(TypeError, match=text):
        graph.add_task(*arguments)
    assert graph.to_predecessors() == DIAMOND
    assert stages(graph) == STAGES


def test_a_coroutine_instead_of_its_function_is_refused():
    async def body():
        """Never called."""

    called = body()
    with pytest.raises(TypeError, match="already called coroutine"):
        TaskGraph().add_task("a", called)
    called.close()


# -- reading ----------------------------------------------------------------------------------------------


def test_a_graph_answers_questions_about_itself():
    graph = TaskGraph.from_predecessors(DIAMOND | {"d": ["c", "b", "c"]})
    assert (len(graph), graph.n_dependencies, bool(graph)) == (4, 4, True)
    assert graph.names == ["a", "b", "c", "d"] == list(graph)
    assert "a" in graph
    assert "z" not in graph
    assert graph.dependencies_of("d") == ("c", "b")
    assert graph.dependents_of("a") == ("b", "c")
    assert repr(graph) == "<TaskGraph of 4 tasks, 4 dependencies>"
    for question in (graph.dependencies_of, graph.dependents_of):
        with pytest.raises(KeyError):
            question("z")
        with pytest.raises(TypeError, match="unhashable"):
            question([])


def test_a_dependency_that_is_no_task_is_not_in_the_graph():
    graph = TaskGraph.from_predecessors({"b": ["a"]})
    assert "a" not in graph
    assert list(graph) == ["b"]
    assert graph.dependencies_of("b") == ("a",)
    with pytest.raises(KeyError):
        graph.dependents_of("a")


def test_an_empty_graph_is_a_graph():
    for graph in (TaskGraph(), TaskGraph.from_predecessors({}), TaskGraph.from_edges([])):
        assert (len(graph), graph.n_dependencies, bool(graph), list(graph)) == (0, 0, True, [])
        plan = graph.plan()
        assert (plan.depth, plan.width, plan.max_parallelism, plan.total_tasks) == (0, 0, 0, 0)
        assert list(plan.stages) == []
        assert plan.critical_path() == ((), 0.0)


def test_names_are_a_view_that_cannot_be_changed():
    names = TaskGraph.from_predecessors(DIAMOND).plan().names
    assert (len(names), names[0], names[-1], names[1:3]) == (4, "a", "d", ["b", "c"])
    assert "b" in names
    assert names == list(DIAMOND)
    assert names != list("abcx")
    assert names.index("c") == 2
    with pytest.raises(TypeError):
        names[0] = "z"
    with pytest.raises(AttributeError):
        names.append("z")
    assert repr(names) == "<4 names: 'a', 'b', 'c', 'd'>"


def test_a_core_graph_cannot_be_pickled_and_is_not_changed_under_a_plan():
    import pickle

    graph = TaskGraph.from_predecessors(DIAMOND)
    graph.plan()
    with pytest.raises(RuntimeError, match="change a copy"):
        graph._core.add("z", [])
    with pytest.raises(TypeError, match="pickle the plan of the TaskGraph"):
        pickle.dumps(Graph())


def test_a_copy_of_a_graph_is_changed_alone():
    graph = TaskGraph()
    graph.add_task("a", str)
    graph.add_task("b", depends_on=["later"])
    for planned in (False, True):
        if planned:
            graph.add_task("later")
            graph.plan()
        names = list(graph.names)
        other = copy.copy(graph)
        assert list(other.names) == names
        other.add_task("c", int, ["a"])
        assert list(graph.names) == names
        assert list(other.names) == [*names, "c"]
        assert dict(graph.functions) == {"a": str}
        assert dict(other.functions) == {"a": str, "c": int}
    graph.add_task("d", depends_on=["b"])
    assert graph.dependents_of("b") == ("d",)
    assert "d" not in other


def test_a_graph_that_is_pickled_says_what_can_be():
    for attempt in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match=r"TaskGraph cannot be pickled; pickle its plan, graph\.plan\(\)"):
            attempt(TaskGraph.from_predecessors(DIAMOND))
