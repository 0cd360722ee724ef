"""CSR and edge arrays are checked before anything indexes with them, and used in place where they fit."""

import array
import ctypes
import io
import pickle
import sys
from itertools import chain

import numpy as np
import pytest

from penstock import CycleError, DuplicateTaskError, GraphError, TaskGraph
from penstock._core import Graph
from penstock._core import graph as core_graph

#: A refusal says which item of which array is at fault.
PLACE = r"ind(ptr|ices)(\[\d+\])? is|the last item of indptr is"
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FOREIGN = ">" if sys.byteorder == "little" else "<"

# The diamond 0 -> 1, 0 -> 2, 1 -> 3, 2 -> 3 as rows of predecessors.
INDPTR, INDICES = [0, 0, 1, 2, 4], [0, 0, 1, 2]
DIAMOND = {0: [], 1: [0], 2: [0], 3: [1, 2]}


def arrays(indptr=INDPTR, indices=INDICES, dtype="int32"):
    return np.array(indptr, dtype), np.array(indices, dtype)


def unaligned(values, offset):
    """The values as int32 at an address that is no multiple of four."""
    room = bytearray(4 * len(values) + 8)
    room[offset : offset + 4 * len(values)] = np.array(values, "int32").tobytes()
    return np.frombuffer(room, "int32", len(values), offset)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("indptr_dtype", INTEGERS)
def test_integers_of_every_size_are_taken(dtype, indptr_dtype, row_pointers):
    graph = TaskGraph.from_arrays(np.array(INDPTR, indptr_dtype), np.array(INDICES, dtype))
    assert graph.to_predecessors() == DIAMOND
    assert [stage.start_tasks for stage in graph.plan().stages] == [[0], [1, 2], [3]]


@pytest.mark.parametrize(
    "make",
    [
        list,
        tuple,
        lambda values: array.array("i", values),
        lambda values: array.array("q", values),
        lambda values: memoryview(array.array("l", values)),
        lambda values: (ctypes.c_int * len(values))(*values),
        lambda values: (ctypes.c_long * len(values))(*values),
        bytes,
        bytearray,
        lambda values: np.array(values, "<i4" if sys.byteorder == "little" else ">i4"),
        lambda values: np.array(values, "int32")[:],
        lambda values: unaligned(values, 1),
        lambda values: unaligned(values, 3),
    ],
)
def test_anything_with_integers_in_a_row_is_taken(make, row_pointers):
    assert TaskGraph.from_arrays(make(INDPTR), make(INDICES)).to_predecessors() == DIAMOND
    edges = make([0, 0, 1, 2]), make([1, 2, 3, 3])
    if not isinstance(edges[0], (list, tuple, bytes)):
        assert TaskGraph.from_edges(edges).to_predecessors() == DIAMOND


def test_a_range_is_taken_as_row_pointers():
    assert TaskGraph.from_arrays(range(4), [2, 0, 0]).to_predecessors() == {0: [2], 1: [0], 2: [0]}


def test_successors_are_turned_round(row_pointers):
    graph = TaskGraph.from_arrays([0, 2, 3, 4, 4], [1, 2, 3, 3], direction="successors")
    assert graph.to_predecessors() == DIAMOND


def test_a_large_unaligned_array_is_read_rightly():
    n = 20_001
    indptr, indices = unaligned([0, *range(n)], 2), unaligned(range(n - 1), 1)
    assert TaskGraph.from_arrays(indptr, indices).plan().depth == n


def test_a_read_only_array_is_taken_and_never_written_to():
    indptr, indices = arrays()
    indptr.flags.writeable = indices.flags.writeable = False
    graph = TaskGraph.from_arrays(indptr, indices)
    graph.add_task(4, depends_on=[3, 3])
    assert graph.plan().depth == 4
    assert indices.tolist() == INDICES


def test_fitting_arrays_are_used_in_place():
    indptr, indices = arrays()
    core = Graph.from_arrays(indptr, indices, False, None)
    for view, original in zip(core.arrays(), (indptr, indices), strict=True):
        assert np.asarray(view).ctypes.data == original.ctypes.data
    graph = TaskGraph.from_arrays(indptr, indices)
    indices[3] = 0
    assert graph.to_predecessors() == DIAMOND | {3: [1, 0]}


def test_wide_arrays_are_used_in_place_where_row_pointers_are_wide():
    before = core_graph.set_narrow_limit(3)
    try:
        indptr, indices = np.array(INDPTR, "int64"), np.array(INDICES, "int32")
        core = Graph.from_arrays(indptr, indices, False, None)
        assert [np.asarray(view).ctypes.data for view in core.arrays()] == [
            indptr.ctypes.data,
            indices.ctypes.data,
        ]
        assert core.arrays()[0].format == "q"
    finally:
        core_graph.set_narrow_limit(before)


@pytest.mark.parametrize("dtype", ["int16", "int64", "uint32"])
def test_other_arrays_are_copied(dtype):
    indptr, indices = arrays(dtype=dtype)
    graph = TaskGraph.from_arrays(indptr, indices)
    indptr[:] = 100
    indices[:] = 100
    assert graph.to_predecessors() == DIAMOND


def test_an_array_in_use_cannot_be_resized_but_is_let_go_with_the_graph():
    indptr, indices = array.array("i", INDPTR), array.array("i", INDICES)
    graph = TaskGraph.from_arrays(indptr, indices)
    with pytest.raises(BufferError):
        indices.append(0)
    del graph
    indices.append(0)


def test_repeated_dependencies_do_not_change_the_arrays():
    indptr, indices = arrays([0, 0, 3], [0, 0, 0])
    graph = TaskGraph.from_arrays(indptr, indices)
    assert graph.n_dependencies == 1
    assert graph.plan().n_dependencies == 1
    assert (indptr.tolist(), indices.tolist()) == ([0, 0, 3], [0, 0, 0])


def test_adding_a_task_copies_the_arrays():
    indptr, indices = arrays()
    graph = TaskGraph.from_arrays(indptr, indices)
    graph.add_task("more", depends_on=[3])
    indices[:] = 0
    assert graph.to_predecessors() == DIAMOND | {"more": [3]}


# -- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize(
    ("indptr", "indices", "text"),
    [
        ([], [], "indptr is empty; it needs one item more than there are tasks"),
        ([1, 1], [0], "indptr[0] is 1; the first row starts at 0"),
        ([0, 2, 1, 3], [0, 0, 0], "indptr[2] is 1, less than indptr[1]"),
        ([0, 1, 2], [0], "indptr[2] is 2; row pointers go from 0 to 1|the last item of indptr is 2"),
        ([0, 1], [0, 0], "the last item of indptr is 1, but indices has 2 items"),
        ([0, -1, 1], [0], "indptr[1] is -1"),
        ([0, 1, 2], [0, 2], "indices[1] is 2; task numbers go from 0 to 1"),
        ([0, 1, 2], [-1, 0], "indices[0] is -1; task numbers go from 0 to 1"),
        ([0], [0], "the last item of indptr is 0, but indices has 1 items"),
    ],
)
def test_bad_rows_are_refused_with_the_place(indptr, indices, text, dtype, row_pointers):
    with pytest.raises(ValueError, match=PLACE) as caught:
        TaskGraph.from_arrays(*arrays(indptr, indices, dtype))
    assert any(part in str(caught.value) for part in text.split("|"))
    with pytest.raises(ValueError, match=r"ind(ptr|ices)"):
        TaskGraph.from_arrays(*arrays(indptr, indices, dtype), direction="successors")


@pytest.mark.parametrize(
    ("indptr", "indices", "text"),
    [
        (np.array([0, 2**63 + 5], "uint64"), np.array([0]), "indptr[1] is 9223372036854775813"),
        (np.array([0, 1]), np.array([2**63 + 5], "uint64"), "indices[0] is 9223372036854775813"),
        ([0, 1], [2**40], "indices[0] is 1099511627776"),
        ([0, 2**40], [0], "indptr[1] is 1099511627776"),
        ([0, 1], [2**31], "indices[0] is 2147483648"),
    ],
)
def test_numbers_beyond_32_bits_are_refused_as_they_were_given(indptr, indices, text):
    with pytest.raises(ValueError, match=PLACE) as caught:
        TaskGraph.from_arrays(indptr, indices)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("bad", "error", "text"),
    [
        (np.array([0.0, 1.0]), TypeError, "has items of format 'd', which are not integers"),
        (np.array([False, True]), TypeError, "has items of format '?'"),
        (np.array([0, 1], f"{FOREIGN}i4"), TypeError, "byte order"),
        (np.array([0, 1], "complex128"), TypeError, "not integers"),
        (np.array([0, 1], "M8[s]"), TypeError, ""),
        (np.array([0, 1], object), TypeError, ""),
        (np.zeros((2, 2), "int32"), ValueError, "has 2 dimensions; give a one-dimensional array"),
        (np.array(0, "int32"), ValueError, "has 0 dimensions"),
        (np.arange(4, dtype="int32")[::2], ValueError, "is not contiguous"),
        (np.arange(4, dtype="int32")[::-1], ValueError, "is not contiguous"),
        ("01", TypeError, "'str', which offers no buffer of integers"),
        (None, TypeError, "'NoneType', which offers no buffer"),
        (3, TypeError, "'int', which offers no buffer"),
        ({0, 1}, TypeError, "'set', which offers no buffer"),
        ([0, "a"], TypeError, "is a list with an item that is no 64-bit integer"),
        ([0, 1.0], TypeError, "is a list with an item that is no 64-bit integer"),
        ([0, 2**64], TypeError, "is a list with an item that is no 64-bit integer"),
        ((0, None), TypeError, "is a tuple with an item that is no 64-bit integer"),
    ],
)
@pytest.mark.parametrize("label", ["indptr", "indices"])
def test_what_is_no_row_of_integers_is_refused_by_name(bad, error, text, label):
    good = np.array([0, 0], "int32")
    with pytest.raises(error) as caught:
        TaskGraph.from_arrays(bad if label == "indptr" else good, good if label == "indptr" else bad)
    assert str(caught.value).startswith(f"{label} ")
    assert text in str(caught.value)


def test_a_wrong_direction_is_refused():
    with pytest.raises(ValueError, match="direction is 'down'; give 'predecessors' or 'successors'"):
        TaskGraph.from_arrays([0], [], direction="down")


class LyingNames(list):
    def __len__(self):
        return 4


@pytest.mark.parametrize(
    ("names", "error", "text"),
    [
        (["a"], ValueError, "names has 1 items, indptr is for 4 tasks"),
        ("abcd", TypeError, "names is the text 'abcd'"),
        (LyingNames("ab"), ValueError, "names has 2 items, indptr is for 4 tasks"),
        (["a", "b", "c", []], TypeError, "unhashable"),
        (5, TypeError, "not iterable"),
    ],
)
def test_names_that_do_not_fit_the_arrays_are_refused(names, error, text):
    with pytest.raises(error, match=text):
        TaskGraph.from_arrays(*arrays(), names=names).plan()


def test_names_given_twice_are_reported_like_any_duplicate(row_pointers):
    graph = TaskGraph.from_arrays(*arrays(), names=["a", "b", "a", "b"])
    with pytest.raises(DuplicateTaskError) as caught:
        graph.plan()
    assert [problem.name for problem in caught.value.problems[:2]] == ["a", "b"]
    for read in (graph.to_predecessors, graph.to_networkx, lambda: graph.dependencies_of("a")):
        with pytest.raises(GraphError):
            read()


# -- arrays changed behind the graph's back ---------------------------------------------------------------


def chain_arrays(n=1000):
    indptr = np.arange(-1, n, dtype="int32")
    indptr[0] = 0
    return indptr, np.arange(n - 1, dtype="int32")


SPOILERS = {
    "index too large": lambda indptr, indices: indices.__setitem__(3, 2_000_000_000),
    "index negative": lambda indptr, indices: indices.__setitem__(3, -2_000_000_000),
    "row too long": lambda indptr, indices: indptr.__setitem__(3, 2_000_000_000),
    "row negative": lambda indptr, indices: indptr.__setitem__(3, -2_000_000_000),
    "all rows": lambda indptr, indices: indptr.fill(2_000_000_000),
    "all indices": lambda indptr, indices: indices.fill(-1),
}

READERS = {
    "plan": lambda graph: graph.plan(),
    "n_dependencies": lambda graph: graph.n_dependencies,
    "dependencies_of": lambda graph: [graph.dependencies_of(task) for task in range(6)],
    "dependents_of": lambda graph: graph.dependents_of(3),
    "to_predecessors": lambda graph: graph.to_predecessors(),
    "to_networkx": lambda graph: graph.to_networkx(),
    "add_task": lambda graph: graph.add_task("more"),
    "cycles": lambda graph: graph._core.cycles(3),
    "reachable": lambda graph: graph._core.reachable([5]),
    "transposed": lambda graph: graph._core.transposed(),
    "arrays": lambda graph: graph._core.arrays(),
    "copy": lambda graph: graph._core.copy(),
    "restricted": lambda graph: graph._core.restricted([3, 4, 5]),
    "generations": lambda graph: graph._core.generations(),
    "find_cycle": lambda graph: graph._core.find_cycle([3]),
    "reduced": lambda graph: graph._core.reduced(array.array("i", range(1000))),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("spoiler", SPOILERS)
def test_arrays_changed_to_nonsense_are_refused_whoever_reads_them(spoiler, reader):
    indptr, indices = chain_arrays()
    graph = TaskGraph.from_arrays(indptr, indices)
    SPOILERS[spoiler](indptr, indices)
    with pytest.raises(ValueError, match=PLACE):
        READERS[reader](graph)


@pytest.mark.parametrize("spoiler", SPOILERS)
def test_a_plan_survives_arrays_that_change_under_it(spoiler):
    indptr, indices = chain_arrays()
    plan = TaskGraph.from_arrays(indptr, indices).plan()
    SPOILERS[spoiler](indptr, indices)
    assert plan.run_sync(lambda name: name).successful_tasks == 1000
    assert plan.critical_path()[1] == 1000.0
    for read in (lambda: [stage.wait_for_tasks for stage in plan.stages], lambda: pickle.dumps(plan)):
        with pytest.raises(ValueError, match=PLACE):
            read()


@pytest.mark.parametrize("spoiler", SPOILERS)
@pytest.mark.parametrize("keep", ["all", "none"])
def test_results_are_passed_along_no_edges_that_changed_under_the_plan(spoiler, keep):
    indptr, indices = chain_arrays(50)
    plan = TaskGraph.from_arrays(indptr, indices).plan()
    SPOILERS[spoiler](indptr, indices)
    with pytest.raises(ValueError, match=PLACE):
        plan.run_sync(lambda *arguments: 1, pass_results=True, keep_results=keep)


@pytest.mark.parametrize("spoiler", SPOILERS)
@pytest.mark.parametrize("keep", ["all", "none"])
def test_not_even_while_the_run_goes_on(spoiler, keep):
    indptr, indices = chain_arrays(50)
    plan = TaskGraph.from_arrays(indptr, indices).plan()

    def body(name, *results):
        if name == 1:
            SPOILERS[spoiler](indptr, indices)
        return name

    try:
        report = plan.run_sync(body, pass_results=True, keep_results=keep)
    except ValueError:
        return
    assert report.failed_tasks


def test_arrays_changed_to_another_good_graph_are_planned_as_they_are_now():
    indptr, indices = arrays()
    graph = TaskGraph.from_arrays(indptr, indices)
    assert graph.n_dependencies == 4
    indices[:] = [0, 1, 2, 2]
    assert graph.plan().depth == 4


def test_arrays_changed_to_a_cycle_give_a_cycle_error():
    indptr, indices = arrays()
    graph = TaskGraph.from_arrays(indptr, indices)
    indices[0] = 3
    with pytest.raises(CycleError):
        graph.plan()


# -- edges as two buffers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", INTEGERS)
def test_edges_as_two_buffers_of_any_integers(dtype, row_pointers):
    src, dst = np.array([0, 0, 1, 2], dtype), np.array([1, 2, 3, 3], dtype)
    assert TaskGraph.from_edges((src, dst)).to_predecessors() == DIAMOND
    named = TaskGraph.from_edges((src, dst), tasks=list("abcde"))
    assert named.to_predecessors() == {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"], "e": []}


def test_no_edges_make_no_tasks_but_those_named():
    nothing = np.array([], "int32")
    assert len(TaskGraph.from_edges((nothing, nothing))) == 0
    assert list(TaskGraph.from_edges((nothing, nothing), tasks=["a"])) == ["a"]


@pytest.mark.parametrize(
    ("src", "dst", "tasks", "error", "text"),
    [
        (np.array([0]), np.array([0, 1]), None, ValueError, "src has 1 items and dst 2"),
        (np.array([0]), np.array([-1]), None, ValueError, "dst[0] is -1; task numbers go from 0"),
        (np.array([0, 5]), np.array([1, 1]), ["a", "b"], ValueError, "src[1] is 5; task numbers go from 0"),
        (np.array([2**31]), np.array([0]), None, ValueError, "src[0] is 2147483648; task numbers go"),
        (np.array([2**63], "uint64"), np.array([0]), None, ValueError, "src[0] is 9223372036854775808"),
        (np.array([0.5]), np.array([0]), None, TypeError, "src has items of format 'd'"),
        (np.array([0]), np.array([[0]]), None, ValueError, "dst has 2 dimensions"),
    ],
)
def test_bad_edge_buffers_are_refused_with_the_place(src, dst, tasks, error, text):
    with pytest.raises(error) as caught:
        TaskGraph.from_edges((src, dst), tasks=tasks)
    assert text in str(caught.value)


# -- widths -----------------------------------------------------------------------------------------------


def test_rows_that_were_wide_stay_wide_when_repeats_are_dropped():
    before = core_graph.set_narrow_limit(10)
    try:
        mapping = {i: [] for i in range(2000)} | {1: [0] * 12}
        core = Graph.from_rows(list(mapping), list(mapping.values()))
        assert core.n_edges == 1
        assert core.arrays()[0].format == "q"
        assert core.copy().rows_of_names() == core.rows_of_names()
        assert core.transposed().rows_of_names() == [[1], *[[]] * 1999]
        assert TaskGraph.from_predecessors(mapping).plan().depth == 2
    finally:
        core_graph.set_narrow_limit(before)


def test_a_view_of_a_graph_stays_what_it_was_when_the_graph_grows(row_pointers):
    graph = TaskGraph.from_predecessors({"a": [], "b": ["a"]})
    views = graph._core.arrays()
    for i in range(5000):
        graph.add_task(i, depends_on=["a", "b"])
    assert [list(view) for view in views] == [[0, 0, 1], [0]]
    core = Graph()
    core.arrays()
    with pytest.raises(RuntimeError, match="change a copy"):
        core.add("a", [])


def test_what_is_reached_from_a_task_leaves_out_names_that_are_no_tasks(row_pointers):
    core = Graph.from_rows(["a", "b"], [["b", *map(str, range(50_000))], []])
    assert sorted(core.reachable([0])) == [0, 1]
    for bad in ([-1], [2], [0, 7]):
        with pytest.raises(IndexError, match="out of range for 2 tasks"):
            core.reachable(bad)


def test_views_are_read_only_and_cannot_be_pickled():
    plan = TaskGraph.from_arrays(*arrays()).plan()
    for view in chain(plan._compiled.graph.arrays(), (plan.order, plan.stage_of)):
        assert view.readonly
        with pytest.raises(TypeError):
            view[0] = 1
        with pytest.raises((BufferError, TypeError)):
            io.BytesIO(b"x").readinto(view.obj)
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(view.obj)
