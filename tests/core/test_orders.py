"""Task orders taken apart into columns of names."""

import gc

import pytest

from penstock import TaskOrder
from penstock._core.orders import columns_of


def order(name, *dependencies):
    return TaskOrder(name, list(dependencies))


def test_names_and_dependencies_come_out_in_the_order_given():
    a = order("a")
    b = order("b", a)
    c = order("c", b, a)
    assert columns_of([c, a, b], TaskOrder) == (["c", "a", "b"], ["b", "a", "a"], ["c", "c", "b"])
    assert columns_of(iter([a]), TaskOrder) == (["a"], [], [])
    assert columns_of((), TaskOrder) == ([], [], [])


def test_names_are_the_very_objects_and_repeats_stay():
    names = [("task", 1), "".join(["b", "b"])]
    first = order(names[0])
    second = order(names[1], first, first)
    found, sources, targets = columns_of([first, second, second], TaskOrder)
    assert [*map(id, found)] == [id(names[0]), id(names[1]), id(names[1])]
    assert [*map(id, sources)] == [id(names[0])] * 4
    assert [*map(id, targets)] == [id(names[1])] * 4


def test_objects_of_a_subclass_count():
    class Special(TaskOrder):
        pass

    assert columns_of([Special("a", [])], TaskOrder)[0] == ["a"]


@pytest.mark.parametrize("wrong", ["a", None, 3, ("a", [])])
def test_what_is_no_order_is_refused_with_its_place(wrong):
    with pytest.raises(TypeError, match=r"item 1 is .*; give TaskOrder objects"):
        columns_of([order("a"), wrong], TaskOrder)
    holder = order("b")
    holder.dependencies = [order("a"), wrong]
    with pytest.raises(TypeError, match=r"item 1, 'b', has the dependency .*; give TaskOrder objects"):
        columns_of([order("a"), holder], TaskOrder)


@pytest.mark.parametrize(
    ("orders", "kind", "error"), [(3, TaskOrder, TypeError), ([], "TaskOrder", TypeError), (None, TaskOrder, TypeError)]
)
def test_what_is_no_list_of_orders_and_no_class_is_refused(orders, kind, error):
    with pytest.raises(error):
        columns_of(orders, kind)


def test_an_error_while_the_orders_are_made_passes_through():
    def orders():
        yield order("a")
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        columns_of(orders(), TaskOrder)


def test_a_thousand_orders_leave_nothing_for_the_collector_but_three_lists():
    orders = [order(str(i)) for i in range(1000)]
    for i in range(1, 1000):
        orders[i].dependencies = orders[i - 1 : i]
    gc.collect()
    gc.disable()
    try:
        before = gc.get_count()[0]
        columns = columns_of(orders, TaskOrder)
        assert gc.get_count()[0] - before < 20
    finally:
        gc.enable()
    assert list(map(len, columns)) == [1000, 999, 999]
