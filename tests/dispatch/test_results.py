"""Results: passed along edges, kept for the report, and let go as soon as nobody needs them."""

from __future__ import annotations

import asyncio
import gc
import weakref

import networkx
import pytest

from penstock import TaskGraph
from penstock.testing import shapes

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
LAYERED = list(shapes.layered(200))
KINDS = ["plain", "at-once", "suspending"]


class Value:
    def __init__(self, name):
        self.name = name


def body_of(kind, call):
    """A body of one kind that calls a plain function."""

    async def at_once(*arguments):
        return call(*arguments)

    async def suspending(*arguments):
        await asyncio.sleep(0)
        return call(*arguments)

    return {"plain": call, "at-once": at_once, "suspending": suspending}[kind]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


class Tracker:
    """Makes values and knows which of them are alive."""

    def __init__(self):
        self.references = {}

    def __call__(self, name, *results):
        value = Value(name)
        self.references[name] = weakref.ref(value)
        return value

    @property
    def alive(self):
        return {name for name, reference in self.references.items() if reference() is not None}


def plan_of(graph):
    return TaskGraph.from_predecessors(graph).plan()


# -- passing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_dependencies", [0, 1, 2, 13, 14, 15, 16, 17, 200])
@pytest.mark.parametrize("keep", ["all", "sinks", "none"])
def test_results_are_passed_in_the_order_declared(on_loop, kind, n_dependencies, keep):
    async def main():
        names = [f"t{i}" for i in range(n_dependencies)]
        graph = {name: [] for name in names} | {"sink": names[::-1]}
        got = {}

        def call(name, *results):
            got[name] = results
            return name

        report = await plan_of(graph).run(body_of(kind, call), pass_results=True, keep_results=keep)
        assert report.execution_state == "completed", report.error_summary
        assert got["sink"] == tuple(names[::-1])

        def mapped(*results):
            got["mapped"] = results
            return 7

        functions = {name: (lambda name=name: name) for name in names} | {"sink": body_of(kind, mapped)}
        report = await plan_of(graph).run(functions, pass_results=True, keep_results=keep)
        assert got["mapped"] == tuple(names[::-1])

    on_loop(main())


def test_without_pass_results_only_the_name_is_passed(on_loop):
    async def main():
        report = await plan_of(DIAMOND).run(lambda *arguments: arguments)
        assert dict(report.results) == {name: (name,) for name in DIAMOND}
        report = await plan_of(DIAMOND).run({name: lambda *arguments: arguments for name in DIAMOND})
        assert dict(report.results) == dict.fromkeys(DIAMOND, ())

    on_loop(main())


def test_numbers_are_names_too(on_loop):
    """A graph from arrays has no name objects; the numbers are made for the call."""

    async def main():
        plan = TaskGraph.from_arrays(*shapes.layered_csr(1000)).plan()
        report = await plan.run(lambda number: number * 2)
        assert report.results[999] == 1998
        predecessors = {name: plan._compiled.graph.predecessors_of(name) for name in range(1000)}

        def call(number, *results):
            assert results == tuple(2 * other for other in predecessors[number])
            return 2 * number

        report = await plan.run(call, pass_results=True)
        assert report.successful_tasks == 1000, report.error_summary

    on_loop(main())


def test_none_and_exceptions_are_values_like_any_other(on_loop, kind):
    async def main():
        error = ValueError("returned, not raised")
        values = {"a": None, "b": error, "c": NotImplemented}
        seen = []

        def call(name, *results):
            seen.append(results)
            return values.get(name, ...)

        report = await plan_of(DIAMOND).run(body_of(kind, call), pass_results=True)
        assert seen == [(), (None,), (None,), (error, NotImplemented)]
        assert dict(report.results) == {**values, "d": ...}

    on_loop(main())


# -- keeping ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ("all", "abcd"),
        ("sinks", "d"),
        ("none", ""),
        (["b"], "b"),
        (("a", "d"), "ad"),
        ([], ""),
        ({"c": 1, "a": 2}, "ac"),
    ],
    ids=str,
)
@pytest.mark.parametrize("pass_results", [False, True])
def test_the_report_has_the_results_that_were_asked_for(on_asyncio, keep, expected, pass_results):
    async def main():
        report = await plan_of(DIAMOND).run(lambda name, *_: name, keep_results=keep, pass_results=pass_results)
        assert dict(report.results) == {name: name for name in expected}

    on_asyncio(main())


@pytest.mark.parametrize(
    ("keep", "error"), [("some", ValueError), (["x"], KeyError), (b"a", TypeError), (7, TypeError)]
)
def test_a_wish_that_makes_no_sense_is_refused(on_asyncio, keep, error):
    async def main():
        with pytest.raises(error):
            plan_of(DIAMOND).start(lambda name: name, keep_results=keep)

    on_asyncio(main())


# -- letting go ------------------------------------------------------------------------------------------


def test_a_value_is_let_go_when_the_last_task_that_needs_it_has_ended(on_loop, kind):
    async def main():
        track, alive = Tracker(), []

        def call(name, *results):
            del results
            alive.append(set(track.alive))
            return track(name)

        chain = {"a": [], "b": ["a"], "c": ["b"], "d": ["c"], "e": ["d", "a"]}
        report = await plan_of(chain).run(body_of(kind, call), pass_results=True, keep_results="none")
        assert alive == [set(), {"a"}, {"a", "b"}, {"a", "c"}, {"a", "d"}]
        assert report.successful_tasks == 5
        assert not track.alive
        assert not report.results

    on_loop(main())


def test_a_value_that_nobody_needs_is_let_go_at_once(on_loop, kind):
    async def main():
        track, alive = Tracker(), []

        def call(name):
            alive.append(len(track.alive))
            return track(name)

        await plan_of({name: [] for name in range(5)}).run(body_of(kind, call), keep_results="none")
        assert alive == [0] * 5

    on_loop(main())


def test_only_the_values_of_sinks_outlive_a_run_that_keeps_those(on_loop, kind):
    async def main():
        track = Tracker()
        report = await plan_of(DIAMOND).run(body_of(kind, track), pass_results=True, keep_results="sinks")
        assert track.alive == {"d"}
        assert report.results["d"].name == "d"
        del report
        gc.collect()
        assert not track.alive

    on_loop(main())


@pytest.mark.parametrize("ending", ["raise", "cancel"])
def test_a_value_needed_only_by_skipped_tasks_is_let_go_when_they_are_skipped(on_loop, kind, ending):
    async def main():
        track, gate = Tracker(), asyncio.get_running_loop().create_future()

        def fail(*results):
            raise ValueError if ending == "raise" else asyncio.CancelledError

        async def wait(*results):
            await gate

        graph = {"used": [], "needed": [], "fails": [], "skipped": ["needed", "fails"], "deeper": ["skipped", "used"],
                 "waits": ["used"]}  # fmt: skip
        functions = {"used": body_of(kind, lambda: track("used")), "needed": body_of(kind, lambda: track("needed")),
                     "fails": body_of(kind, fail), "skipped": fail, "deeper": fail, "waits": wait}  # fmt: skip
        run = plan_of(graph).start(functions, pass_results=True, keep_results="none", failure_policy="continue")
        for _ in range(4):
            await asyncio.sleep(0)
        assert run.state == "running"
        assert track.alive == {"used"}
        gate.set_result(None)
        await run
        assert not track.alive

    on_loop(main())


def test_a_stopped_run_lets_go_of_what_only_skipped_tasks_needed(on_loop, kind):
    async def main():
        track, gate = Tracker(), asyncio.get_running_loop().create_future()

        async def refuse(*results):
            while not gate.done():
                try:
                    await asyncio.shield(gate)
                except asyncio.CancelledError:
                    continue

        graph = {"value": [], "refuses": [], "never": ["value", "refuses"]}
        functions = {"value": body_of(kind, lambda: track("value")), "refuses": refuse, "never": refuse}
        run = plan_of(graph).start(functions, pass_results=True, keep_results="none")
        for _ in range(3):
            await asyncio.sleep(0)
        assert track.alive == {"value"}
        run.cancel()
        assert not track.alive
        gate.set_result(None)
        with pytest.raises(asyncio.CancelledError):
            await run

    on_loop(main())


@pytest.mark.parametrize("policy", ["stop", "continue"])
@pytest.mark.parametrize("keep", ["none", "sinks", LAYERED[5:6]])
def test_nothing_outlives_a_failed_run_but_what_was_asked_for(on_loop, kind, policy, keep):
    async def main():
        track = Tracker()

        def call(name, *results):
            if name == LAYERED[3]:  # a source: the frames of a failed body keep its arguments
                raise ValueError
            return track(name)

        plan = plan_of(shapes.layered(200))
        report = await plan.run(body_of(kind, call), pass_results=True, keep_results=keep, failure_policy=policy)
        assert report.failed_tasks == 1
        assert track.alive == set(report.results)

    on_loop(main())


def test_a_report_of_a_running_run_keeps_what_it_shows_and_no_more(on_asyncio):
    async def main():
        track, gate = Tracker(), asyncio.get_running_loop().create_future()

        async def call(name, *results):
            if name == "d":
                await gate
            return track(name)

        run = plan_of(DIAMOND).start(call, pass_results=True, keep_results="none")
        await asyncio.sleep(0)
        partial = run.report()
        assert set(partial.results) == {"b", "c"}
        gate.set_result(None)
        await run
        assert track.alive == {"b", "c"}
        del partial
        assert not track.alive

    on_asyncio(main())


# -- parts of a plan ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_a_subgraph_is_the_targets_and_their_ancestors(seed, rng):
    mapping = shapes.random_dag(60, 0.05, seed)
    plan = plan_of(mapping)
    reference = networkx.DiGraph([(other, name) for name, others in mapping.items() for other in others])
    reference.add_nodes_from(mapping)
    for size in (0, 1, 2, 5):
        targets = rng.sample(list(mapping), size)
        part = plan.subgraph(targets)
        expected = set(targets).union(*(networkx.ancestors(reference, target) for target in targets))
        assert set(part.names) == expected
        assert list(part.names) == [name for name in mapping if name in expected]
        report = part.run_sync(lambda name, *results: (name, results), pass_results=True)
        assert report.successful_tasks == len(expected)
        for name in expected:
            assert report.results[name][0] == name
            assert [value[0] for value in report.results[name][1]] == mapping[name]


def test_a_subgraph_takes_the_functions_along_and_leaves_the_plan_alone():
    graph = TaskGraph()
    graph.add_task("a", lambda: 1)
    graph.add_task("b", lambda: 2, depends_on=["a"])
    graph.add_task("c", lambda: 3, depends_on=["a"])
    plan = graph.plan()
    part = plan.subgraph(["b"])
    assert dict(part.run_sync().results) == {"a": 1, "b": 2}
    assert dict(part.subgraph(["a"]).run_sync().results) == {"a": 1}
    assert dict(plan.run_sync().results) == {"a": 1, "b": 2, "c": 3}
    with pytest.raises(KeyError):
        plan.subgraph(["x"])
    with pytest.raises(TypeError):
        plan.subgraph("a")


# -- stages ------------------------------------------------------------------------------------------------


def test_stage_statistics_span_the_bodies_of_the_stage(on_loop, kind):
    async def main():
        plan = plan_of(shapes.layered(100))
        report = await plan.run(body_of(kind, lambda name: None))
        assert len(report.stage_statistics) == plan.depth
        for stage, record in zip(plan.stages, report.stage_statistics, strict=True):
            tasks = report.get_task_statistics_by_stage(stage.stage_id)
            assert record.stage_id == stage.stage_id
            assert record.start_time == min(task.start_time for task in tasks)
            assert record.end_time == max(task.end_time for task in tasks)
            assert record.duration == pytest.approx(record.end_time - record.start_time, abs=1e-5)
            assert (record.parallel_tasks, record.wait_tasks) == (stage.parallel_tasks, stage.wait_for_tasks)
            assert record.parallel_task_count == len(stage.parallel_tasks)
            assert record.wait_task_count == len(stage.wait_for_tasks)

    on_loop(main())


def test_a_stage_that_never_started_has_no_statistics(on_loop):
    async def main():
        def fail(name):
            raise ValueError

        report = await plan_of({"a": [], "b": ["a"], "c": ["b"]}).run(fail)
        (only,) = report.stage_statistics
        assert (only.stage_id, report.total_stages) == (0, 3)
        assert only.start_time <= only.end_time
        with pytest.raises(IndexError):
            report.stage_statistics[1]

    on_loop(main())
