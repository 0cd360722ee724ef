"""Graphs go to networkx and come back, and planning asks networkx without depending on its state."""

from __future__ import annotations

import os
import subprocess
import sys

import networkx
import pytest

from penstock import CycleError, DuplicateTaskError, TaskGraph, UnknownDependencyError

SAME_HASH = -1, -2  # in CPython


class Named(str):
    """A name that only looks like ordinary text."""


NAMES = {
    "text": ["load", "", "a b", "\N{SNOWMAN}", "\udc80"],
    "integers": [0, *SAME_HASH, 2**70],
    "tuples": [("load", 1), ("load", 2), (), (("nested",),)],
    "equal to integers": [1.0, False, 2 + 0j],
    "mixed": ["1", 1, b"1", frozenset({1}), (1,), None.__class__],
    "not equal to itself": [float("nan"), float("nan"), "x"],
    "objects": [object(), object(), TaskGraph(), len],
    "subclasses of text": [Named("a"), "b", Named("c")],
}


# -- from networkx ------------------------------------------------------------------------------------------


def test_an_edge_of_networkx_leads_from_a_dependency_to_its_dependent():
    graph = TaskGraph.from_networkx(networkx.DiGraph([("first", "second")]))
    assert graph.dependencies_of("second") == ("first",)
    assert [stage.start_tasks for stage in graph.plan().stages] == [["first"], ["second"]]


def test_nodes_without_edges_and_the_order_of_nodes_and_predecessors_are_kept():
    digraph = networkx.DiGraph()
    digraph.add_nodes_from(["z", "lonely", "a"])
    digraph.add_edges_from([("late", "a"), ("z", "a")])
    graph = TaskGraph.from_networkx(digraph)
    assert list(graph.names) == ["z", "lonely", "a", "late"]
    assert graph.dependencies_of("a") == ("late", "z")


def test_parallel_edges_count_once_and_attributes_do_not_matter():
    digraph = networkx.MultiDiGraph([("a", "b"), ("a", "b", {"weight": 3}), ("b", "c")])
    graph = TaskGraph.from_networkx(digraph)
    assert graph.n_dependencies == 2
    assert graph.to_predecessors() == {"a": [], "b": ["a"], "c": ["b"]}


def test_views_are_read_as_the_graphs_they_show():
    digraph = networkx.DiGraph([(1, 2), (2, 3), (3, 4)])
    assert TaskGraph.from_networkx(digraph.subgraph([2, 3])).to_predecessors() == {2: [], 3: [2]}
    assert TaskGraph.from_networkx(digraph.reverse(copy=False)).dependencies_of(1) == (2,)


def test_a_later_change_of_the_networkx_graph_does_not_reach_the_task_graph():
    digraph = networkx.DiGraph([(1, 2)])
    graph = TaskGraph.from_networkx(digraph)
    digraph.add_edge(2, 3)
    assert len(graph) == 2
    graph.add_task("more", depends_on=[2])
    assert "more" not in digraph


def test_cycles_and_self_loops_can_be_read_and_are_refused_by_the_plan():
    graph = TaskGraph.from_networkx(networkx.DiGraph([("a", "b"), ("b", "a"), ("c", "c")]))
    with pytest.raises(CycleError) as caught:
        graph.plan()
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("kind", [networkx.Graph, networkx.MultiGraph])
def test_an_undirected_graph_is_refused(kind):
    with pytest.raises(TypeError, match="undirected"):
        TaskGraph.from_networkx(kind([(1, 2)]))


@pytest.mark.parametrize("other", [{"a": ["b"]}, None, networkx.DiGraph, TaskGraph()])
def test_what_is_no_networkx_graph_is_refused(other):
    with pytest.raises(TypeError, match="no networkx graph"):
        TaskGraph.from_networkx(other)


# -- to networkx --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_any_names_go_out_and_come_back(names):
    # A ladder: each task depends on the two before it, the later one first.
    mapping = {name: [*reversed(names[max(0, i - 2) : i])] for i, name in enumerate(names)}
    graph = TaskGraph.from_predecessors(mapping)
    digraph = graph.to_networkx()
    assert type(digraph) is networkx.DiGraph
    assert all(node is name for node, name in zip(digraph, names, strict=True))
    for name, dependencies in mapping.items():
        assert all(a is b for a, b in zip(digraph.pred[name], dependencies, strict=True))
    again = TaskGraph.from_networkx(digraph)
    assert all(a is b for a, b in zip(again.names, names, strict=True))
    assert again.to_predecessors() == mapping


def test_unnamed_tasks_are_integers():
    digraph = TaskGraph.from_arrays([0, 0, 1, 2], [0, 1]).to_networkx()
    assert list(digraph.edges) == [(0, 1), (1, 2)]
    assert len(TaskGraph().to_networkx()) == 0


def test_a_digraph_goes_in_and_out_unchanged():
    digraph = networkx.gnp_random_graph(60, 0.1, seed=5, directed=True)
    assert networkx.utils.graphs_equal(TaskGraph.from_networkx(digraph).to_networkx(), digraph)


def test_a_graph_with_cycles_can_be_handed_over():
    graph = TaskGraph.from_predecessors({"a": ["b"], "b": ["a"]})
    assert set(graph.to_networkx().edges) == {("a", "b"), ("b", "a")}


def test_a_graph_that_is_incomplete_cannot_be_handed_over():
    with pytest.raises(UnknownDependencyError):
        TaskGraph.from_predecessors({"a": ["missing"]}).to_networkx()
    twice = TaskGraph()
    twice.add_task("a")
    twice.add_task("a")
    with pytest.raises(DuplicateTaskError):
        twice.to_networkx()


def test_none_is_no_node_of_networkx():
    with pytest.raises(ValueError, match="None cannot be a node"):
        TaskGraph.from_predecessors({None: []}).to_networkx()


# -- planning asks networkx ---------------------------------------------------------------------------------


def test_a_plan_is_validated_by_networkx_and_made_only_once(monkeypatch):
    asked = []
    answer = networkx.is_directed_acyclic_graph

    def spy(graph, **options):
        asked.append(answer(graph, **options))
        return asked[-1]

    monkeypatch.setattr(networkx, "is_directed_acyclic_graph", spy)
    graph = TaskGraph.from_predecessors({"a": [], "b": ["a"]})
    plan = graph.plan()
    assert asked == [True]
    assert plan._compiled is graph._compiled()
    assert graph.plan() is plan
    assert asked == [True]


def test_a_plan_is_made_whatever_networkx_is_configured_to_do(recwarn):
    for priority in (["networkx"], ["penstock"], []):
        for fallback in (False, True):
            with networkx.config(backend_priority=priority, fallback_to_nx=fallback):
                plan_and_refuse()
    assert not recwarn.list


def test_a_plan_is_made_when_networkx_fails(monkeypatch):
    def broken(graph, **options):
        raise RuntimeError("the backend cannot be loaded")

    monkeypatch.setattr(networkx, "is_directed_acyclic_graph", broken)
    plan_and_refuse()


def plan_and_refuse():
    graph = TaskGraph.from_predecessors({"a": [], "b": ["a"]})
    assert graph.plan().depth == 2
    with pytest.raises(CycleError):
        TaskGraph.from_predecessors({"a": ["b"], "b": ["a"]}).plan()


_PLANNING = """
import sys, penstock
assert "networkx" not in sys.modules
for _ in range(2):
    assert penstock.TaskGraph.from_predecessors({"a": [], "b": ["a"]}).plan().depth == 2
    try:
        penstock.TaskGraph.from_predecessors({"a": ["b"], "b": ["a"]}).plan()
    except penstock.CycleError as error:
        assert len(error.cycle) == 3
    else:
        raise AssertionError("the cycle was not noticed")
"""


def in_new_interpreter(code, **environment):
    """Run code where every warning is an error and nothing may be printed."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NETWORKX_")}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", code],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"NETWORKX_BACKEND_PRIORITY": "networkx"},
        {"NETWORKX_BACKEND_PRIORITY": "not_installed"},
        {"NETWORKX_BACKEND_PRIORITY_ALGOS": "penstock"},
        {"NETWORKX_AUTOMATIC_BACKENDS": "networkx,penstock", "NETWORKX_FALLBACK_TO_NX": "1"},
        {"NETWORKX_TEST_BACKEND": "nx_loopback"},
    ],
    ids=lambda environment: ",".join(f"{key}={value}" for key, value in environment.items()) or "none",
)
def test_a_plan_is_made_under_any_environment_of_networkx(environment):
    in_new_interpreter(_PLANNING, **environment)


def test_a_plan_is_made_when_networkx_does_not_know_the_backend():
    hidden = "import importlib.metadata as m; m.entry_points = lambda **_: m.EntryPoints(())\n"
    unknown = "\nimport networkx\nassert not networkx.utils.backends.backends"
    in_new_interpreter(hidden + _PLANNING + unknown)


def test_a_plan_is_made_when_networkx_cannot_be_imported():
    in_new_interpreter(_PLANNING.replace("for _", "sys.modules['networkx'] = None\nfor _", 1))


def test_importing_networkx_does_not_import_penstock():
    in_new_interpreter(
        "import sys, networkx\n"
        "assert 'penstock' in networkx.utils.backends.backends\n"
        "assert networkx.is_directed_acyclic_graph(networkx.DiGraph([(1, 2)]))\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'penstock']"
    )
