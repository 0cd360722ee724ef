"""Searches along rows: generations, the first cycle, reduction; compared with slow and plain Python."""

import array
import random

import pytest

from penstock._core import Graph

DIAMOND = [[1, 2], [3], [3], []]


def graph_of(rows):
    return Graph.from_rows(list(range(len(rows))), [list(row) for row in rows])


def random_rows(seed, *, acyclic):
    """Rows of entries in no particular order; if acyclic, they lead along a hidden numbering."""
    rng = random.Random(seed)
    n = rng.randrange(1, 20)
    hidden = rng.sample(range(n), n)
    rows = [[] for _ in range(n)]
    for _ in range(rng.randrange(4 * n)):
        u, v = rng.randrange(n), rng.randrange(n)
        if acyclic and hidden[u] > hidden[v]:
            u, v = v, u
        if v not in rows[u] and not (acyclic and u == v):
            rows[u].append(v)
    return rows


def generations_of(rows):
    waiting = [sum(u in row for row in rows) for u in range(len(rows))]
    found = []
    generation = [u for u, count in enumerate(waiting) if not count]
    while generation:
        found.append(generation)
        following = []
        for u in generation:
            for v in rows[u]:
                waiting[v] -= 1
                if not waiting[v]:
                    following.append(v)
        generation = following
    return found


def reached(rows, start):
    found, line = set(), [start]
    while line:
        for v in rows[line.pop()]:
            if v not in found:
                found.add(v)
                line.append(v)
    return found


def split(order, starts):
    return [list(order[starts[i] : starts[i + 1]]) for i in range(len(starts) - 1)]


@pytest.mark.parametrize("acyclic", [True, False])
def test_generations_are_those_of_the_reference(acyclic, row_pointers):
    for seed in range(200):
        rows = random_rows(seed, acyclic=acyclic)
        order, starts = graph_of(rows).generations()
        assert split(order, starts) == generations_of(rows), seed
        assert not acyclic or sorted(order) == list(range(len(rows)))


def test_no_tasks_have_no_generations():
    order, starts = graph_of([]).generations()
    assert (list(order), list(starts)) == ([], [0])
    assert graph_of([]).find_cycle([]) == []
    assert len(graph_of([]).reduced(order)) == 0


def test_a_cycle_is_found_exactly_where_there_is_one(row_pointers):
    for seed in range(300):
        rows = random_rows(seed, acyclic=seed % 3 == 0)
        cycle = graph_of(rows).find_cycle(range(len(rows)))
        assert bool(cycle) == any(u in reached(rows, u) for u in range(len(rows))), seed
        assert len(set(cycle)) == len(cycle)
        assert all(v in rows[u] for u, v in zip(cycle, cycle[1:] + cycle[:1], strict=True))


def test_only_what_the_starts_reach_is_searched():
    graph = graph_of([[1], [], [3], [2]])
    assert graph.find_cycle([0, 1]) == []
    assert graph.find_cycle([1, 3, 2]) == [3, 2]
    assert graph.find_cycle(iter([0, 2, "never looked at"])) == [2, 3]
    with pytest.raises(IndexError, match="out of range"):
        graph.find_cycle([4])


def test_a_reduction_has_the_least_edges_that_reach_the_same(row_pointers):
    for seed in range(300):
        rows = random_rows(seed, acyclic=True)
        graph = graph_of(rows)
        order, _ = graph.generations()
        reduced = graph.reduced(order[::-1]).rows_of_names()
        for u, row in enumerate(rows):
            assert reached(reduced, u) == reached(rows, u), seed
            # An entry is left out if and only if another one leads to it; the others stay in their order.
            assert reduced[u] == [v for v in row if all(v not in reached(rows, w) for w in row)], seed
        assert graph.rows_of_names() == rows


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([3, 2, 1], "3 items for 4 rows"),
        ([3, 2, 1, 1], r"order\[3\] is 1"),
        ([3, 2, 1, 4], r"order\[3\] is 4"),
        ([3, 2, 1, -1], r"order\[3\] is -1"),
        ([3, 1, 0, 2], "row 0, which comes before its entry 2"),
    ],
)
def test_an_order_that_is_none_is_refused(order, message):
    with pytest.raises(ValueError, match=message):
        graph_of(DIAMOND).reduced(array.array("i", order))


def test_an_order_may_come_in_any_integer_type():
    for kind in "bhilq":
        assert graph_of(DIAMOND).reduced(array.array(kind, [3, 2, 1, 0])).n_edges == 4


def test_names_that_are_no_tasks_are_refused_before_anything_is_searched():
    graph = Graph.from_rows(["a"], [["missing"]])
    for search in (
        graph.generations,
        lambda: graph.find_cycle([0]),
        lambda: graph.reduced(array.array("i", [0])),
    ):
        with pytest.raises(ValueError, match="unlisted"):
            search()


def test_borrowed_arrays_are_checked_again_before_anything_is_searched():
    indptr, indices = array.array("i", [0, 0, 1]), array.array("i", [0])
    graph = Graph.from_arrays(indptr, indices, False, None)
    indices[0] = 7
    for search in (graph.generations, lambda: graph.find_cycle([0])):
        with pytest.raises(ValueError, match=r"indices\[0\] is 7"):
            search()
