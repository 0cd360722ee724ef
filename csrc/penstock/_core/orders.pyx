"""Orders: task orders taken apart into columns of names."""

from cpython.list cimport PyList_Append


def columns_of(object orders, type kind):
    """The names of task orders, and all their dependencies one behind the other.

    Called once per graph that is built from such objects.  No object is made for each of them, so the collector has
    nothing to look through.

    Parameters
    ----------
    orders
        Objects with a ``task_name`` and a list ``dependencies`` of such objects.
    kind
        Their class.

    Returns
    -------
    names, sources, targets : list
        The names; and for each dependency the name of what is depended on, and of what depends on it.

    Raises
    ------
    TypeError
        Something is not of that class.
    """
    cdef list names = [], sources = [], targets = []
    for number, order in enumerate(orders):
        if not isinstance(order, kind):
            raise TypeError(f"item {number} is {order!r}; give TaskOrder objects")
        name = order.task_name
        PyList_Append(names, name)
        for dependency in order.dependencies:
            if not isinstance(dependency, kind):
                raise TypeError(f"item {number}, {name!r}, has the dependency {dependency!r}; give TaskOrder objects")
            PyList_Append(sources, dependency.task_name)
            PyList_Append(targets, name)
    return names, sources, targets
