"""Random graphs give the same stages, order and verdicts as graphlib, networkx and the slow reference."""

import graphlib
import math
from itertools import pairwise

import networkx
import pytest
from random_graphs import random_dag, random_mapping, with_all_listed, with_separate_names
from reference import ReferencePlan

from penstock import CycleError, GraphError, TaskGraph, UnknownDependencyError

BATCHES = 20
GRAPHS_PER_BATCH = 100


def seeds(batch):
    return range(batch * GRAPHS_PER_BATCH, (batch + 1) * GRAPHS_PER_BATCH)


def graphlib_stages(mapping):
    sorter = graphlib.TopologicalSorter(mapping)
    sorter.prepare()
    stages = []
    while sorter:
        ready = sorter.get_ready()
        stages.append(set(ready))
        sorter.done(*ready)
    return stages


def edges_of(mapping):
    return {(other, task) for task, listed in mapping.items() for other in listed}


def digraph_of(mapping):
    digraph = networkx.DiGraph(edges_of(mapping))
    digraph.add_nodes_from(mapping)
    return digraph


def components_with_cycles(digraph):
    return [
        frozenset(component)
        for component in networkx.strongly_connected_components(digraph)
        if len(component) > 1 or any(digraph.has_edge(task, task) for task in component)
    ]


def planned_or_cycles(graph):
    """The plan and no cycles, or no plan and the cycles named in the exception."""
    try:
        return graph.plan(), []
    except CycleError as error:
        # Anything but a cycle among the problems has no attribute of this name.
        return None, [problem.cycle for problem in error.problems]


def problems_of(graph):
    try:
        graph.plan()
    except GraphError as error:
        return error.problems
    return ()


def assert_cycles_are_right(cycles, mapping):
    edges = edges_of(mapping)
    expected = components_with_cycles(digraph_of(mapping))
    found = []
    for cycle in cycles:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle[1:])) == len(cycle) - 1
        assert all(edge in edges for edge in pairwise(cycle))
        found += [component for component in expected if cycle[0] in component]
    assert len(found) == len(cycles) == min(20, len(expected))
    assert set(found) <= set(expected)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_graphs_are_planned_or_refused_as_graphlib_and_networkx_do(batch, row_pointers):
    for seed in seeds(batch):
        mapping = random_mapping(seed)
        plan, cycles = planned_or_cycles(TaskGraph.from_predecessors(mapping, implicit=True))
        try:
            stages = graphlib_stages(mapping)
        except graphlib.CycleError:
            assert plan is None, seed
            assert_cycles_are_right(cycles, mapping)
            continue
        assert [set(stage.start_tasks) for stage in plan.stages] == stages, seed
        generations = networkx.topological_generations(digraph_of(mapping))
        assert [set(generation) for generation in generations] == stages, seed
        order = [plan.names[task] for task in plan.order]
        assert order == ReferencePlan(with_all_listed(mapping)).order, seed


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_constructor_builds_the_same_graph(batch, row_pointers):
    for seed in seeds(batch):
        mapping = with_all_listed(random_mapping(seed))
        distinct = {task: list(dict.fromkeys(listed)) for task, listed in mapping.items()}
        number = {task: i for i, task in enumerate(mapping)}
        edges = [(other, task) for task, listed in mapping.items() for other in listed]
        successors = {task: [] for task in mapping}
        for other, task in edges:
            successors[other].append(task)
        one_by_one = TaskGraph()
        for task, listed in mapping.items():
            one_by_one.add_task(task, depends_on=listed)
        indptr = [0]
        for listed in mapping.values():
            indptr.append(indptr[-1] + len(listed))
        rows = [number[other] for listed in mapping.values() for other in listed]
        built = {
            "predecessors": TaskGraph.from_predecessors(mapping),
            "separate names": TaskGraph.from_predecessors(with_separate_names(mapping)),
            "successors": TaskGraph.from_successors(successors),
            "edges": TaskGraph.from_edges(edges, tasks=list(mapping)),
            "networkx": TaskGraph.from_networkx(digraph_of(mapping)),
            "arrays": TaskGraph.from_arrays(indptr, rows, names=list(mapping)),
            "add_task": one_by_one,
        }
        for constructor, graph in built.items():
            found = graph.to_predecessors()
            assert {task: set(listed) for task, listed in found.items()} == {
                task: set(listed) for task, listed in distinct.items()
            }, (seed, constructor)
            assert graph.n_dependencies == sum(map(len, distinct.values())), (seed, constructor)
            if constructor in ("predecessors", "separate names", "arrays", "add_task"):
                assert list(found.items()) == list(distinct.items()), (seed, constructor)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_implicit_names_become_tasks_in_either_direction(batch, row_pointers):
    for seed in seeds(batch):
        mapping = random_mapping(seed)
        graph = TaskGraph.from_predecessors(mapping, implicit=True)
        assert list(graph) == list(with_all_listed(mapping)), seed
        assert digraph_of(graph.to_predecessors()).edges == digraph_of(mapping).edges, seed
        turned = TaskGraph.from_successors(mapping, implicit=True)
        assert list(turned) == list(with_all_listed(mapping)), seed
        assert edges_of(turned.to_predecessors()) == {(task, other) for other, task in edges_of(mapping)}


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_unknown_name_is_reported_with_each_task_that_needs_it(batch, row_pointers):
    for seed in seeds(batch):
        mapping = random_mapping(seed)
        distinct = edges_of(mapping)
        unknown = {(task, other) for other, task in distinct if other not in mapping}
        problems = problems_of(TaskGraph.from_predecessors(mapping))
        found = [(p.name, p.missing) for p in problems if isinstance(p, UnknownDependencyError)]
        assert sorted(found, key=repr) == sorted(unknown, key=repr), seed
        assert [type(problem) for problem in problems[: len(found)]] == [UnknownDependencyError] * len(found)
        assert_cycles_are_right([p.cycle for p in problems[len(found) :]], mapping)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_stages_and_questions_agree_with_the_reference(batch, row_pointers):
    for seed in seeds(batch)[::4]:
        mapping = random_dag(seed)
        plan, expected = TaskGraph.from_predecessors(mapping).plan(), ReferencePlan(mapping)
        assert plan.depth == expected.depth
        assert plan.max_parallelism == expected.max_parallelism(), seed
        assert plan.width == max((len(expected.starts(stage)) for stage in range(plan.depth)), default=0)
        assert dict(zip(plan.names, plan.stage_of, strict=True)) == expected.stage, seed
        for number, stage in enumerate(plan.stages):
            assert stage.stage_id == number
            assert stage.start_tasks == expected.starts(number), seed
            assert stage.wait_for_tasks == expected.waits(number), seed
            assert stage.parallel_tasks == expected.in_flight(number), seed


@pytest.mark.parametrize("batch", range(BATCHES))
def test_the_critical_path_is_as_long_as_networkx_finds_it(batch, row_pointers, rng):
    for seed in seeds(batch)[::4]:
        mapping = random_dag(seed)
        plan = TaskGraph.from_predecessors(mapping).plan()
        durations = {task: rng.choice((0.0, 0.5, rng.random(), rng.uniform(1.0, 100.0))) for task in mapping}
        path, seconds = plan.critical_path(durations)
        # networkx weighs edges: each gets the duration of the task it leads to, every source one in front.
        digraph = networkx.DiGraph()
        for task, listed in mapping.items():
            for other in listed or ["in front"]:
                digraph.add_edge(other, task, weight=durations[task])
        longest = networkx.dag_longest_path_length(digraph) if mapping else 0.0
        assert math.isclose(seconds, longest, abs_tol=1e-9), seed
        assert math.isclose(seconds, sum(durations[task] for task in path), abs_tol=1e-9), seed
        assert all(before in mapping[after] for before, after in pairwise(path)), seed
        assert plan.critical_path(list(durations.values())) == (path, seconds)
        unweighted, length = plan.critical_path()
        assert length == plan.depth == len(unweighted)
