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


async def run(built, function, **options):
    return await results_of(built[1].run(function, **options))


def build_bare(mapping, function):
    """Plan a graph whose tasks have their function, which takes no arguments, from the start."""
    graph = penstock.TaskGraph()
    for name, dependencies in mapping.items():
        graph.add_task(name, function, dependencies)
    plan = graph.plan()
    plan.run_sync()  # the first run puts the functions in order
    return plan


async def run_bare(plan):
    return await results_of(plan.run())


async def results_of(run):
    report = await run
    assert report.execution_state == "completed", report.summary()
    return report.results
