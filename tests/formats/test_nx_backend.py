"""networkx's functions give the same through the backend as without it, on graphs of both kinds."""

from __future__ import annotations

import copy
import inspect
import pickle

import networkx
import nx_oracle
import pytest

import nx_penstock
import penstock.formats.nx_backend as backend
from penstock import GraphError, TaskGraph
from penstock.testing.shapes import chain, layered

FUNCTIONS = sorted(nx_penstock.get_info()["functions"])
KINDS = [networkx.Graph, networkx.MultiGraph, networkx.DiGraph, networkx.MultiDiGraph]
BATCHES = 10
GRAPHS_PER_BATCH = 30

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


@pytest.fixture(autouse=True)
def quiet_cache():
    """networkx warns whenever it uses a converted graph again."""
    with networkx.config(warnings_to_ignore={"cache"}):
        yield


def seeds(batch):
    return range(batch * GRAPHS_PER_BATCH, (batch + 1) * GRAPHS_PER_BATCH)


def digraph(mapping):
    return TaskGraph.from_predecessors(mapping).to_networkx()


# -- the same answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", range(BATCHES))
def test_converted_graphs_get_the_answers_that_networkx_gives(batch):
    for seed in seeds(batch):
        graph = nx_oracle.random_graph(seed)
        for call in nx_oracle.calls(graph, seed):
            ours, theirs = call(graph, backend="penstock"), call(graph, backend="networkx")
            assert ours == theirs or repr(ours) == repr(theirs), (seed, call)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_task_graphs_get_the_answers_that_their_digraphs_get(batch):
    for seed in seeds(batch):
        graph = nx_oracle.random_graph(seed)
        if not graph.is_directed():
            continue
        tasks = TaskGraph.from_networkx(graph)
        graph = tasks.to_networkx()
        for call in nx_oracle.calls(graph, seed):
            ours, theirs = call(tasks), call(graph, backend="networkx")
            assert ours == theirs or repr(ours) == repr(theirs), (seed, call)


def test_a_graph_on_integers_has_integers_in_every_answer():
    tasks = TaskGraph.from_arrays([0, 0, 1, 2, 4], [0, 0, 1, 2])
    assert list(networkx.topological_generations(tasks)) == [[0], [1, 2], [3]]
    assert networkx.ancestors(tasks, 3) == {0, 1, 2}
    assert networkx.dag_longest_path(tasks) == [0, 1, 3]
    assert list(networkx.transitive_reduction(tasks).names) == [0, 1, 2, 3]


# -- orders that are iterated -------------------------------------------------------------------------------


def outcome(function, seed, moment, *, view=False, **chosen):
    """Iterate over the order of a graph that changes when so many items were given."""
    graph = nx_oracle.random_graph(seed)
    items = function(graph.subgraph(list(graph)) if view else graph, **chosen)
    given = []
    try:
        if moment == 0:
            nx_oracle.change(graph, seed + moment)
        for item in items:
            given.append(item)
            if len(given) == moment:
                nx_oracle.change(graph, seed + moment)
    except (RuntimeError, networkx.NetworkXException) as error:
        given.append((type(error), str(error)))
    return given


@pytest.mark.parametrize("view", [False, True], ids=["graph", "view"])
@pytest.mark.parametrize("function", [networkx.topological_generations, networkx.topological_sort])
def test_a_networkx_graph_that_changes_meanwhile_ends_the_same_way(function, view):
    for seed in range(150):
        if not len(nx_oracle.random_graph(seed)):
            continue
        for moment in range(4):
            ours = outcome(function, seed, moment, view=view, backend="penstock")
            theirs = outcome(function, seed, moment, view=view, backend="networkx")
            assert ours == theirs, (seed, moment)


def test_a_change_is_seen_in_a_graph_whose_cache_is_switched_off():
    graph = digraph(chain(4))
    graph.__networkx_cache__ = None
    order = networkx.topological_sort(graph, backend="penstock")
    last = list(graph)[-1]
    next(order)
    graph.remove_node(last)
    with pytest.raises(networkx.NetworkXUnfeasible):
        list(order)


def test_the_order_of_a_graph_that_is_gone_can_still_be_read():
    order = networkx.topological_sort(digraph(DIAMOND), backend="penstock")
    assert list(order) == ["a", "b", "c", "d"]


def test_a_task_graph_that_grows_meanwhile_is_noticed():
    for mapping in (DIAMOND, {"a": [], "b": ["a", "c"], "c": ["b"]}):
        tasks = TaskGraph.from_predecessors(mapping)
        order = networkx.topological_sort(tasks)
        assert next(order) == "a"
        tasks.add_task("late", depends_on=["a"])
        with pytest.raises(RuntimeError, match="changed during iteration"):
            list(order)


def test_nothing_is_raised_before_the_first_item_is_asked_for():
    undirected = networkx.topological_generations(networkx.Graph([(1, 2)]), backend="penstock")
    with pytest.raises(networkx.NetworkXError, match="not defined on undirected"):
        next(undirected)
    looped = networkx.topological_sort(TaskGraph.from_predecessors({"a": ["a"], "b": []}))
    assert next(looped) == "b"
    with pytest.raises(networkx.NetworkXUnfeasible, match="contains a cycle"):
        next(looped)


# -- task graphs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_unknown_dependency_is_an_error_and_no_answer(function):
    tasks = TaskGraph.from_predecessors({"a": [], "b": ["aa"]})
    arguments = ["b"] if function in ("ancestors", "descendants") else []
    with pytest.raises(GraphError, match="aa"):
        list(getattr(networkx, function)(tasks, *arguments))


def test_a_reduced_task_graph_keeps_functions_and_the_order_of_dependencies():
    tasks = TaskGraph()
    tasks.add_task("a", func=lambda: 1)
    tasks.add_task("b", func=lambda: 2)
    tasks.add_task("c", func=lambda: 3, depends_on=["b", "a"])
    tasks.add_task("d", func=lambda: 4, depends_on=["a", "c", "b"])
    reduced = networkx.transitive_reduction(tasks)
    assert isinstance(reduced, TaskGraph)
    assert reduced.to_predecessors() == {"a": [], "b": [], "c": ["b", "a"], "d": ["c"]}
    assert dict(reduced.functions) == dict(tasks.functions)
    assert tasks.n_dependencies == 5


def test_a_reduced_networkx_graph_is_an_ordinary_digraph():
    graph = digraph({"a": [], "b": ["a"], "c": ["a", "b"]})
    reduced = networkx.transitive_reduction(graph, backend="penstock")
    assert type(reduced) is networkx.DiGraph
    assert list(reduced.edges) == [("a", "b"), ("b", "c")]


def test_other_functions_name_the_remedy_and_work_with_it():
    tasks = TaskGraph.from_predecessors(DIAMOND)
    with pytest.raises(NotImplementedError, match="networkx"):
        networkx.shortest_path(tasks, "a", "d")
    with networkx.config(fallback_to_nx=True):
        assert networkx.shortest_path(tasks, "a", "d") == ["a", "b", "d"]


def test_no_configuration_keeps_a_task_graph_from_its_own_functions():
    tasks = TaskGraph.from_predecessors(DIAMOND)
    for priority in (["networkx"], ["penstock"], []):
        with networkx.config(backend_priority=priority, fallback_to_nx=True):
            assert networkx.dag_longest_path(tasks) == ["a", "b", "d"]


def test_a_source_that_is_no_node_is_refused():
    for graph in (TaskGraph.from_predecessors(DIAMOND), digraph(DIAMOND)):
        with pytest.raises(networkx.NetworkXError, match=r"nbunch|not in the graph"):
            networkx.find_cycle(graph, 5.5, backend="penstock")
        with pytest.raises(networkx.NetworkXError, match="not a valid node"):
            networkx.find_cycle(graph, ["a", ["b"]], backend="penstock")
        for function in (networkx.ancestors, networkx.descendants):
            with pytest.raises(networkx.NetworkXError, match="The node e is not in the digraph"):
                function(graph, "e", backend="penstock")
            with pytest.raises(TypeError, match="unhashable"):
                function(graph, ["a"], backend="penstock")


# -- large graphs -------------------------------------------------------------------------------------------


def test_the_search_for_a_cycle_is_linear():
    # networkx needs minutes for this graph: it searches again what it met from earlier starting points.
    tasks = TaskGraph.from_predecessors(layered(100_000))
    for orientation in (None, "reverse"):
        with pytest.raises(networkx.NetworkXNoCycle):
            networkx.find_cycle(tasks, orientation=orientation)
    assert networkx.find_cycle(tasks, orientation="ignore")


def test_deep_graphs_need_no_recursion():
    mapping = chain(30_000)
    names = list(mapping)
    tasks = TaskGraph.from_predecessors(mapping)
    assert networkx.dag_longest_path(tasks) == names
    assert networkx.dag_longest_path(tasks, default_weight=True) == names
    assert networkx.dag_longest_path_length(tasks, default_weight=2) == 2 * (len(names) - 1)
    assert len(networkx.ancestors(tasks, names[-1])) == len(names) - 1
    assert networkx.transitive_reduction(tasks).n_dependencies == len(names) - 1
    with pytest.raises(networkx.NetworkXNoCycle):
        networkx.find_cycle(tasks, orientation="ignore")
    ring = TaskGraph.from_predecessors({**mapping, names[0]: [names[-1]]})
    assert len(networkx.find_cycle(ring)) == len(names)


def test_a_dense_graph_is_reduced_to_its_chain():
    tasks = TaskGraph.from_predecessors({i: range(i) for i in range(1_000)})
    assert networkx.transitive_reduction(tasks).n_dependencies == 999


# -- the interface ------------------------------------------------------------------------------------------


def test_the_backend_has_just_the_functions_that_it_lists():
    implemented = {name for name in dir(backend) if hasattr(getattr(networkx, name, None), "orig_func")}
    assert implemented == set(FUNCTIONS)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_functions_have_the_signatures_of_networkx(function):
    ours = inspect.signature(getattr(backend, function)).parameters
    theirs = inspect.signature(getattr(networkx, function).orig_func).parameters
    assert [(p.name, p.kind, p.default) for p in ours.values()] == [
        (p.name, p.kind, p.default) for p in theirs.values()
    ]
    assert "penstock" in getattr(networkx, function).backends


@pytest.mark.parametrize("kind", KINDS)
def test_a_converted_graph_can_be_converted_back(kind):
    graph = kind([(3, 1, {"weight": 2}), (1, 2, {"weight": 5}), (2, 2, {}), (1, 3, {})], name="example")
    graph.add_node(1, colour="red")
    if graph.is_multigraph():
        graph.add_edge(3, 1, key="second", weight=7)
    converted = backend.convert_from_nx(
        graph, preserve_edge_attrs=True, preserve_node_attrs=True, preserve_graph_attrs=True
    )
    again = backend.convert_to_nx(converted)
    assert type(again) is kind
    assert networkx.utils.graphs_equal(again, graph)
    assert list(again) == list(graph)
    bare = backend.convert_to_nx(backend.convert_from_nx(graph))
    assert set(bare.edges) == set(graph.edges)
    assert not bare.graph
    assert not any(data for *_, data in bare.edges(data=True))


def test_what_is_no_graph_of_ours_is_not_converted_back():
    result = object()
    assert backend.convert_to_nx(result) is result
    assert set(backend.convert_to_nx(TaskGraph.from_predecessors({"b": ["a"], "a": []})).edges) == {("a", "b")}


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda graph: pickle.loads(pickle.dumps(graph))])
@pytest.mark.parametrize("kind", KINDS)
def test_a_graph_with_its_conversion_in_the_cache_can_be_copied(kind, duplicate):
    graph = duplicate(converted_once(kind([(3, 1), (1, 2), (0, 4)])))
    assert networkx.descendants(graph, 3, backend="penstock") == networkx.descendants(graph, 3)
    if graph.is_directed():
        assert networkx.dag_longest_path(graph, backend="penstock") == [3, 1, 2]
        order = networkx.topological_sort(graph, backend="penstock")
        next(order)
        graph.remove_node(2)
        with pytest.raises(networkx.NetworkXUnfeasible):
            list(order)


def converted_once(graph):
    networkx.ancestors(graph, 3, backend="penstock")
    return graph


def test_small_graphs_are_not_worth_a_conversion():
    small, large = digraph(chain(10)), digraph(chain(1_000))
    assert isinstance(backend.should_run("find_cycle", (small,), {}), str)
    assert backend.should_run("find_cycle", (large,), {}) is True
    assert backend.should_run("find_cycle", (), {"G": large}) is True
    assert isinstance(backend.should_run("topological_sort", (large,), {}), str)
    networkx.is_directed_acyclic_graph(large, backend="penstock")
    assert backend.should_run("topological_sort", (large,), {}) is True


def test_a_configured_backend_is_used_where_it_pays(caplog):
    with networkx.config(backend_priority=["penstock"]), caplog.at_level("DEBUG", "networkx.utils.backends"):
        networkx.dag_longest_path(digraph(chain(10)))
        assert "Using backend 'penstock'" not in caplog.text
        networkx.dag_longest_path(digraph(chain(1_000)))
        assert "Using backend 'penstock'" in caplog.text


def test_only_graphs_of_networkx_are_converted():
    assert backend.can_run("find_cycle", (networkx.Graph(),), {}) is True
    assert backend.can_run("find_cycle", (TaskGraph(),), {}) is True
    assert isinstance(backend.can_run("find_cycle", ({1: [2]},), {}), str)
