"""Penstock itself: the graph from the mapping, its plan, and a run of it."""

import penstock

label = "penstock"
missing = None
takes = "coroutines"


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


def build_with_functions(mapping, function):
    """Plan a graph whose tasks bring their function, which takes no arguments, along."""
    graph = penstock.TaskGraph()
    for name, dependencies in mapping.items():
        graph.add_task(name, function, dependencies)
    return graph, graph.plan()


async def run(built, function=None, **options):
    _, plan = built
    report = await plan.run(function, **options)
    assert report.execution_state == "completed", report.summary()
    return report.results
