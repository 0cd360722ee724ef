"""Names are any hashable objects, also hostile ones; a failure leaves the graph whole."""

import array
import contextlib
import enum
import math
import threading
import time
from fractions import Fraction

import pytest

from penstock import DuplicateTaskError, TaskGraph, UnknownDependencyError


class Text(str):
    __slots__ = ()


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Number(enum.IntEnum):
    ONE = 1


class Named:
    """Equal by name; counts how often it is compared."""

    def __init__(self, name, hash_of=None):
        self.name, self.hash_of, self.comparisons = name, hash_of, 0

    def __hash__(self):
        return hash(self.name) if self.hash_of is None else self.hash_of

    def __eq__(self, other):
        self.comparisons += 1
        return isinstance(other, Named) and self.name == other.name


ODD_NAMES = {
    "int": [0, 7, -1, 2**70],
    "tuple": [(), ("a", 1), ("a", ("b",)), (None,)],
    "bytes": [b"", b"a", b"ab", b"abc"],
    "mixed": ["a", 1, ("a", 1), b"a", None, 2.5, frozenset({1}), Colour.RED],
    "object": [object() for _ in range(5)],
    "own": [Named(f"n{i}") for i in range(5)],
    "colliding": [Named(f"n{i}", hash_of=3) for i in range(40)],
    "unicode": ["", "a", "\0", "\u00e9", "e\u0301", "\U0001f600", "\ud800", "x" * 1000],
    "type": [int, str, len, math],
}


def chain_of(names):
    return {name: names[max(i - 1, 0) : i] for i, name in enumerate(names)}


@pytest.mark.parametrize("names", ODD_NAMES.values(), ids=ODD_NAMES.keys())
def test_any_hashable_object_can_be_a_name(names, row_pointers):
    mapping = chain_of(names)
    one_by_one = TaskGraph()
    for name, listed in reversed(mapping.items()):
        one_by_one.add_task(name, depends_on=listed)
    for graph in (
        TaskGraph.from_predecessors(mapping),
        TaskGraph.from_edges([(listed[0], name) for name, listed in mapping.items() if listed]),
        TaskGraph.from_arrays([0, *range(len(names))], range(len(names) - 1), names=names),
        one_by_one,
    ):
        plan = graph.plan()
        assert [stage.start_tasks for stage in plan.stages] == [[name] for name in names]
        assert all(name in graph for name in names)
        assert graph.dependents_of(names[0]) == (names[1],)
        report = plan.run_sync(lambda name: (name,))
        assert all(report.results[name] == (name,) for name in names)


def test_subclasses_of_str_are_the_names_they_equal():
    mapping = {"a": [], Text("b"): [Text("a")], "red": ["b"], "c": [Colour.RED, Text("a")]}
    graph = TaskGraph.from_predecessors(mapping)
    assert graph.to_predecessors() == {"a": [], "b": ["a"], "red": ["b"], "c": ["red", "a"]}
    assert type(graph.names[1]) is Text
    assert type(graph.dependencies_of("c")[0]) is str
    again = TaskGraph.from_predecessors({Colour.RED: [], Colour.BLUE: ["red"], "x": ["blue", Colour.BLUE]})
    assert again.n_dependencies == 2
    assert "red" in again
    assert Text("red") in again


def test_equal_numbers_of_different_types_are_one_name():
    graph = TaskGraph.from_predecessors({1: [], 2: [1.0], 3: [True, Number.ONE, 2]})
    assert graph.to_predecessors() == {1: [], 2: [1], 3: [1, 2]}
    by_number = TaskGraph.from_arrays([0, 0, 1], [0])
    assert 1.0 in by_number
    assert True in by_number
    assert "1" not in by_number
    assert 2 not in by_number


def test_nan_is_the_name_of_the_very_object():
    nan, other = float("nan"), float("nan")
    graph = TaskGraph.from_predecessors({nan: [], "a": [nan]})
    assert graph.dependencies_of("a") == (nan,)
    with pytest.raises(UnknownDependencyError):
        TaskGraph.from_predecessors({nan: [], "a": [other]}).plan()


def test_an_odd_name_may_turn_up_anywhere_among_texts(row_pointers):
    names = [f"t{i}" for i in range(1000)]
    for at in (0, 1, 255, 256, 300, 999):
        mapping = chain_of(names)
        mapping[names[at]] = [*mapping[names[at]], ("odd",)]
        mapping[("odd",)] = []
        graph = TaskGraph.from_predecessors(mapping)
        assert graph.to_predecessors() == mapping
        assert graph.plan().total_tasks == 1001


def test_the_same_object_given_twice_as_a_name_is_a_duplicate():
    name = Named("n")
    with pytest.raises(DuplicateTaskError) as caught:
        TaskGraph.from_edges([], tasks=[name, "a", name]).plan()
    assert caught.value.name is name


# -- names whose own code fails ---------------------------------------------------------------------------


class Failing(Named):
    """Its code raises while `armed`."""

    def __init__(self, name, hash_of=None, *, fail_hash=False, fail_eq=False):
        super().__init__(name, hash_of)
        self.fail_hash, self.fail_eq, self.armed = fail_hash, fail_eq, True

    def __hash__(self):
        if self.fail_hash and self.armed:
            raise ZeroDivisionError("hash")
        return super().__hash__()

    def __eq__(self, other):
        if self.fail_eq and self.armed:
            raise ZeroDivisionError("eq")
        return super().__eq__(other)


@pytest.mark.parametrize("fail", ["hash", "eq"])
def test_an_error_in_a_names_code_comes_through_and_leaves_the_graph_whole(fail):
    bad = Failing("bad", hash("a"), **{f"fail_{fail}": True})
    graph = TaskGraph.from_predecessors({"a": [], "b": ["a"]})
    for act in (
        lambda: graph.add_task(bad),
        lambda: graph.add_task("c", depends_on=["a", "unheard of", bad]),
        lambda: bad in graph,
        lambda: graph.dependencies_of(bad),
        lambda: TaskGraph.from_predecessors({"a": [], "b": ["a"] * 300 + [bad]}),
        lambda: TaskGraph.from_successors({"a": [], "b": ["a", bad]}),
        lambda: TaskGraph.from_edges([("a", "b"), ("a", bad)]),
        lambda: TaskGraph.from_edges([], tasks=["a", bad]).plan(),
        lambda: TaskGraph.from_arrays([0, 0, 0], [], names=["a", bad]).plan(),
    ):
        with pytest.raises(ZeroDivisionError, match=fail):
            act()
        assert graph.to_predecessors() == {"a": [], "b": ["a"]}
    bad.armed = False
    graph.add_task(bad, depends_on=["b"])
    assert [stage.start_tasks for stage in graph.plan().stages] == [["a"], ["b"], [bad]]


def test_names_left_over_from_a_refused_task_are_in_nobodys_way(row_pointers):
    graph = TaskGraph.from_predecessors({"a": []})
    bad = Failing("bad", hash("ghost"), fail_eq=True)
    with pytest.raises(ZeroDivisionError):
        graph.add_task("new", depends_on=["ghost", bad])
    assert graph.plan().total_tasks == 1
    assert "new" not in graph
    assert "ghost" not in graph
    graph.add_task("b", depends_on=["a"])
    graph.add_task("new", depends_on=["b"])
    assert graph.plan().depth == 3
    assert list(graph.plan().names) == ["a", "b", "new"]
    import pickle

    assert pickle.loads(pickle.dumps(graph.plan())).depth == 3


# -- names whose own code changes the graph -----------------------------------------------------------------


class Meddling(Named):
    """Does something with the graph whenever it is compared."""

    act = None

    def __eq__(self, other):
        act, self.act = self.act, None
        if act is not None:
            act()
        return super().__eq__(other)

    __hash__ = Named.__hash__


def meddled_graph():
    """A graph whose names collide with a meddling one, half of it added out of order."""
    graph = TaskGraph()
    graph.add_task("last", depends_on=["first", Named("x", hash("m"))])
    graph.add_task("first")
    graph.add_task(Named("x", hash("m")))
    return graph, Meddling("m", hash("m"))


MEDDLERS = {
    "adds": lambda graph: graph.add_task("added", depends_on=["unheard of", "first"]),
    "adds many": lambda graph: [graph.add_task(i, depends_on=[i - 1] * (i > 0)) for i in range(500)],
    "plans": lambda graph: graph.plan(),
    "settles": lambda graph: graph.names,
    "adds and plans": lambda graph: (graph.add_task("added"), graph.add_task("before"), graph.plan()),
    "adds unsorted and settles": lambda graph: (
        graph.add_task("added", depends_on=["later"]),
        graph.add_task("later"),
        graph.names,
    ),
    "looks up": lambda graph: ("first" in graph, ("no", "such") in graph),
}

VICTIMS = {
    "add_task": lambda graph, name: graph.add_task(name),
    "add_task again": lambda graph, name: graph.add_task("user", depends_on=["first", name, "z", name]),
    "contains": lambda graph, name: name in graph,
    "dependencies_of": lambda graph, name: graph.dependencies_of(name),
    "dependents_of": lambda graph, name: graph.dependents_of(name),
}


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("meddler", MEDDLERS)
def test_a_name_may_meddle_with_the_graph_while_it_is_compared(meddler, victim, row_pointers):
    graph, name = meddled_graph()
    meddled = []

    def act():
        MEDDLERS[meddler](graph)
        meddled.append(True)

    name.act = act
    with contextlib.suppress(RuntimeError, KeyError):
        VICTIMS[victim](graph, name)
    assert meddled, "the comparison did not take place"
    # Whatever happened, the graph can be used as if nothing had.
    for new in ("unheard of", "z", "later", name):
        if new not in graph:
            graph.add_task(new)
    plan = graph.plan()
    assert plan.total_tasks == len(graph)
    assert set(graph.dependencies_of("last")) == {"first", Named("x", hash("m"))}
    if "added" in graph and meddler == "adds":
        assert graph.dependencies_of("added") == ("unheard of", "first")
    if "user" in graph:
        assert graph.dependencies_of("user") == ("first", name, "z")
    assert plan.run_sync(lambda task: None).successful_tasks == len(graph)


def test_names_given_to_a_constructor_may_cut_the_list_they_stand_in():
    listed = [f"t{i}" for i in range(700)]

    class Cutting(Named):
        def __eq__(self, other):
            del listed[300:]
            return super().__eq__(other)

        __hash__ = Named.__hash__

    listed[100] = Cutting("c", hash("t0"))
    mapping = {f"t{i}": [] for i in range(700)} | {"user": listed}
    graph = TaskGraph.from_predecessors(mapping, implicit=True)
    assert 256 <= graph.n_dependencies <= 700
    assert graph.plan().depth == 2


def test_several_threads_may_look_names_up_in_one_plan():
    names = [Named(f"n{i}", hash_of=i % 7) for i in range(300)]
    for _ in range(5):
        plan = TaskGraph.from_predecessors({name: [] for name in names}).plan()
        report = plan.run_sync(lambda name: name.name)
        barrier, wrong = threading.Barrier(4), []

        def look(report=report, barrier=barrier, wrong=wrong):
            barrier.wait()
            wrong.extend(name for name in names if report.results[name] != name.name)

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


@pytest.mark.parametrize("name", [1_999_999.0, Fraction(1_999_999), "x", -1, 2**61 - 1 + 5, 0.5, math.nan])
def test_a_graph_of_numbers_is_asked_in_constant_time(name):
    n = 2_000_000
    indptr = array.array("i", bytes(4 * (n + 1)))
    graph = TaskGraph.from_arrays(indptr, array.array("i"))
    expected = 1_999_999 if name == 1_999_999 else None
    started = time.perf_counter()
    for _ in range(200):
        assert (name in graph) == (expected is not None)
    # One look at every number takes longer than that.
    assert time.perf_counter() - started < 1.0
    with pytest.raises(TypeError):
        [] in graph  # noqa: B015
