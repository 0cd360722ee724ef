"""Penstock itself: the graph from the mapping, and its plan."""

import penstock

label = "penstock"
missing = None


def build(mapping):
    graph = penstock.TaskGraph.from_predecessors(mapping)
    return graph, graph.plan()


def facts(result):
    graph, plan = result
    return plan.total_tasks, graph.n_dependencies, plan.depth


def build_csr(indptr, indices):
    graph = penstock.TaskGraph.from_arrays(indptr, indices)
    return graph, graph.plan()


csr_facts = facts
