"""The standard library's sorter, constructed and prepared."""

from graphlib import TopologicalSorter

label = "graphlib"
missing = None


def build(mapping):
    sorter = TopologicalSorter(mapping)
    sorter.prepare()
    return sorter


def facts(sorter):
    n_tasks = n_stages = 0
    while sorter:
        ready = sorter.get_ready()
        sorter.done(*ready)
        n_tasks += len(ready)
        n_stages += 1
    return n_tasks, None, n_stages
