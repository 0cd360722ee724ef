"""The seeded shapes are the graphs they say they are, the same on every Python and in every process."""

import hashlib
from graphlib import TopologicalSorter
from itertools import pairwise

import pytest

from penstock.testing import shapes

SIZED = [shapes.chain, shapes.fan_out_in, shapes.binary_tree, shapes.layered, shapes.wide]


def stage_sizes(mapping):
    sorter = TopologicalSorter(mapping)
    sorter.prepare()
    sizes = []
    while sorter:
        ready = sorter.get_ready()
        sizes.append(len(ready))
        sorter.done(*ready)
    return sizes


def fingerprint(mapping):
    return hashlib.sha256(repr(mapping).encode()).hexdigest()[:16]


@pytest.mark.parametrize("shape", SIZED)
@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 101])
def test_a_shape_has_exactly_the_tasks_asked_for_and_no_unlisted_dependency(shape, n):
    mapping = shape(n)
    assert len(mapping) == n
    assert {dependency for listed in mapping.values() for dependency in listed} <= mapping.keys()
    assert sum(stage_sizes(mapping)) == n


@pytest.mark.parametrize("shape", SIZED)
def test_tasks_are_listed_after_their_dependencies(shape):
    seen = set()
    for name, dependencies in shape(200).items():
        assert seen.issuperset(dependencies)
        seen.add(name)


@pytest.mark.parametrize("shape", SIZED)
def test_dependencies_are_the_same_objects_as_the_keys(shape):
    mapping = shape(200)
    key = {name: name for name in mapping}
    assert all(dependency is key[dependency] for listed in mapping.values() for dependency in listed)


@pytest.mark.parametrize("shape", SIZED)
def test_no_two_tasks_share_their_list_of_dependencies(shape):
    mapping = shape(200)
    assert len({id(listed) for listed in mapping.values()}) == len(mapping)


def test_a_chain_has_one_task_per_stage():
    assert stage_sizes(shapes.chain(50)) == [1] * 50


def test_a_fan_has_one_source_and_one_sink():
    assert stage_sizes(shapes.fan_out_in(50)) == [1, 48, 1]
    assert stage_sizes(shapes.fan_out_in(2)) == [1, 1]


def test_a_diamond_forks_once_and_joins_once():
    assert stage_sizes(shapes.diamond()) == [1, 2, 1]


def test_a_binary_tree_doubles_with_every_stage():
    assert stage_sizes(shapes.binary_tree(31)) == [1, 2, 4, 8, 16]


def test_a_layered_graph_is_as_wide_as_it_is_deep():
    mapping = shapes.layered(1000)
    assert stage_sizes(mapping) == [32] * 31 + [8]


def test_a_wide_graph_has_ten_stages():
    assert stage_sizes(shapes.wide(1000)) == [100] * 10


@pytest.mark.parametrize("shape", [shapes.layered, shapes.wide])
def test_every_task_after_the_first_layer_has_three_distinct_dependencies(shape):
    mapping = shape(1000)
    first_layer = stage_sizes(mapping)[0]
    assert [len(set(listed)) for listed in mapping.values()] == [0] * first_layer + [3] * (1000 - first_layer)


@pytest.mark.parametrize("wanted", [0, 1, 5])
def test_the_number_of_dependencies_can_be_chosen(wanted):
    dependencies = list(shapes.layered(100, n_dependencies=wanted).values())
    assert [len(set(listed)) for listed in dependencies] == [0] * 10 + [wanted] * 90


def test_a_layer_narrower_than_the_dependencies_asked_for_is_taken_whole():
    assert [len(listed) for listed in shapes.layered(6).values()] == [0, 0, 2, 2, 2, 2]


@pytest.mark.parametrize("shape", [shapes.layered, shapes.wide])
def test_the_seed_decides_the_draws(shape):
    assert shape(500, 1) == shape(500, 1)
    assert shape(500, 1) != shape(500, 2)


def test_the_draws_are_the_same_on_every_python():
    assert fingerprint(shapes.layered(500, 7)) == "bc5530f3f740651f"
    assert fingerprint(shapes.wide(500, 7)) == "b7d0c9f183d2cec0"
    assert fingerprint(shapes.random_dag(100, 0.1, 7)) == "1fff4194b033715c"
    assert fingerprint(shapes.shuffled(shapes.layered(500, 7), 7)) == "12b6fad00cf573d8"


@pytest.mark.parametrize("shape", [shapes.layered, shapes.wide])
@pytest.mark.parametrize("n", [0, 1, 2, 9, 500])
def test_the_arrays_are_the_graph_of_the_mapping(shape, n):
    indptr, indices = getattr(shapes, f"{shape.__name__}_csr")(n, 3)
    assert indptr.typecode == indices.typecode == "i"
    rows = [[f"task-{i}" for i in indices[low:high]] for low, high in pairwise(indptr)]
    assert rows == list(shape(n, 3).values())


def test_shuffled_arrays_are_the_same_graph_with_other_numbers():
    indptr, indices = shapes.layered_csr(500)
    moved_indptr, moved_indices = shapes.shuffled_csr(indptr, indices, 4)
    rows = {i: list(moved_indices[low:high]) for i, (low, high) in enumerate(pairwise(moved_indptr))}
    assert stage_sizes(rows) == stage_sizes(shapes.layered(500))
    assert any(dependency > task for task, listed in rows.items() for dependency in listed)
    assert (moved_indptr, moved_indices) == shapes.shuffled_csr(indptr, indices, 4)
    assert (moved_indptr, moved_indices) != shapes.shuffled_csr(indptr, indices, 5)


def test_shuffling_changes_the_order_of_the_keys_and_nothing_else():
    mapping = shapes.layered(500)
    moved = shapes.shuffled(mapping, 1)
    assert moved == mapping
    assert list(moved) != list(mapping)
    assert list(moved) == list(shapes.shuffled(mapping, 1))
    assert {id(name) for name in moved} == {id(name) for name in mapping}
    assert all(moved[name] is mapping[name] for name in mapping)


def test_separate_strings_equal_the_keys_and_share_no_object():
    mapping = shapes.layered(500)
    separate = shapes.with_separate_strings(mapping)
    assert separate == mapping
    mentions = [dependency for listed in separate.values() for dependency in listed]
    assert len({id(mention) for mention in mentions}) == len(mentions)
    assert {id(mention) for mention in mentions}.isdisjoint({id(name) for name in mapping})


@pytest.mark.parametrize("p", [0, 0.02, 0.3, 1])
def test_a_random_graph_has_the_density_asked_for(p):
    n = 300
    mapping = shapes.random_dag(n, p, seed=5)
    pairs = n * (n - 1) / 2
    edges = sum(len(set(listed)) for listed in mapping.values())
    assert sum(map(len, mapping.values())) == edges
    assert abs(edges - p * pairs) <= 4 * (p * (1 - p) * pairs) ** 0.5


def test_a_random_graph_with_every_pair_joined_is_one_path():
    assert stage_sizes(shapes.random_dag(50, 1)) == [1] * 50


@pytest.mark.parametrize("p", [-0.1, 1.5])
def test_a_density_that_is_no_probability_is_refused(p):
    with pytest.raises(ValueError, match="probability"):
        shapes.random_dag(5, p)


@pytest.mark.parametrize("shape", SIZED)
def test_a_negative_size_is_refused(shape):
    with pytest.raises(ValueError, match="-1 tasks"):
        shape(-1)
