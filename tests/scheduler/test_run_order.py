"""Tasks run once each, after their dependencies, as soon as these are done and the limit allows."""

import asyncio
import functools
import time
from collections import defaultdict
from random import Random

import pytest

from penstock import TaskGraph
from penstock._core import CHECKED
from penstock.testing import clock, shapes

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


def plan_of(mapping):
    return TaskGraph.from_predecessors(mapping).plan()


def assert_order(mapping, log):
    """Every task was started and ended once, after the end of all its dependencies."""
    at = {event: number for number, event in enumerate(log)}
    assert len(at) == len(log) == 2 * len(mapping)
    for task, listed in mapping.items():
        assert at["start", task] < at["end", task]
        assert all(at["end", other] < at["start", task] for other in listed)


SHAPES = [shapes.chain, shapes.fan_out_in, shapes.binary_tree, shapes.layered, shapes.wide]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["plain", "coroutine", "suspending", "mixed"])
def test_every_task_runs_once_after_its_dependencies(shape, kind, on_loop, rng):
    mapping, log = shape(150), []

    def plain(name):
        log.append(("start", name))
        log.append(("end", name))
        return name

    async def coroutine(name):
        return plain(name)

    async def suspending(name):
        log.append(("start", name))
        for _ in range(rng.randrange(3)):
            await asyncio.sleep(0)
        log.append(("end", name))
        return name

    bodies = [plain, coroutine, suspending]
    body = (lambda name: rng.choice(bodies)(name)) if kind == "mixed" else locals()[kind]
    report = on_loop(plan_of(mapping).run(body))
    assert_order(mapping, log)
    assert report.execution_state == "completed"
    assert dict(report.results) == {name: name for name in mapping}


def test_plain_functions_run_in_kahns_order():
    mapping, log = shapes.random_dag(200, 0.05, seed=4), []
    plan = plan_of(mapping)
    plan.run_sync(log.append)
    assert log == [plan.names[task] for task in plan.order]


def test_a_run_is_reproducible_on_a_virtual_clock():
    mapping = shapes.layered(120, seed=2)

    def once(seed):
        random, log = Random(seed), []
        durations = {name: random.choice((0.0, 0.1, 0.2, 0.3)) for name in mapping}

        async def body(name):
            log.append(("start", name, asyncio.get_running_loop().time()))
            await asyncio.sleep(durations[name])
            log.append(("end", name, asyncio.get_running_loop().time()))

        report = clock.run(plan_of(mapping).run(body, max_concurrency=7))
        return log, report.completion_order

    assert once(1) == once(1) != once(2)


def test_two_chains_side_by_side_take_as_long_as_the_longer_one():
    """The contract's example: with a barrier between stages it would take a second."""
    seconds = {"a1": 0.01, "a2": 0.5, "b1": 0.5, "b2": 0.01}
    plan = plan_of({"a1": [], "a2": ["a1"], "b1": [], "b2": ["b1"]})
    started = {}

    async def body(name):
        started[name] = asyncio.get_running_loop().time()
        await asyncio.sleep(seconds[name])

    async def main():
        await plan.run(body)
        return asyncio.get_running_loop().time()

    assert clock.run(main()) == pytest.approx(0.51)
    assert started == pytest.approx({"a1": 0.0, "b1": 0.0, "a2": 0.01, "b2": 0.5})


def test_the_critical_path_bounds_a_run_without_a_limit(rng):
    mapping = shapes.random_dag(80, 0.08, seed=9)
    durations = {name: round(rng.uniform(0.0, 5.0), 3) for name in mapping}

    async def main():
        await plan_of(mapping).run(lambda name: asyncio.sleep(durations[name]))
        return asyncio.get_running_loop().time()

    assert clock.run(main()) == pytest.approx(plan_of(mapping).critical_path(durations)[1])


@pytest.mark.parametrize("limit", [1, 2, 7, 1000])
def test_never_more_run_than_the_limit_allows_and_no_fewer_than_could(limit, on_loop):
    running = peak = 0

    async def body(name):
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        assert running <= limit
        await asyncio.sleep(0)
        running -= 1

    report = on_loop(plan_of({i: [] for i in range(50)}).run(body, max_concurrency=limit))
    assert report.successful_tasks == 50
    assert peak == min(limit, 50)


def test_a_limit_of_one_runs_in_order(on_loop):
    log = []

    async def body(name):
        log.append(name)
        await asyncio.sleep(0)
        log.append(name)

    on_loop(plan_of({i: [] for i in range(5)}).run(body, max_concurrency=1))
    assert log == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_a_deep_chain_of_any_kind_of_body_needs_no_stack(on_loop):
    n = 500 if CHECKED else 5000
    plan = plan_of({i: [i - 1] * (i > 0) for i in range(n)})

    async def suspending(name):
        await asyncio.sleep(0)

    async def coroutine(name):
        """Ends without suspending."""

    for body in (suspending, coroutine, lambda name: None):
        assert on_loop(plan.run(body)).successful_tasks == n


def test_other_work_on_the_loop_gets_its_turn_between_plain_functions(on_loop):
    """A hundred bodies of a millisecond are no single block of a tenth of a second."""

    async def main():
        turns = 0
        over = False

        async def other():
            nonlocal turns
            while not over:
                turns += 1
                await asyncio.sleep(0)

        watcher = asyncio.create_task(other())

        def busy(name):
            end = time.monotonic() + 0.001
            while time.monotonic() < end:
                pass

        await plan_of({i: [] for i in range(100)}).run(busy)
        over = True
        await watcher
        return turns

    assert on_loop(main()) > 10


# -- what can be a body ----------------------------------------------------------------------------------


class Callable:
    def __init__(self, value):
        self.value = value

    def __call__(self):
        return self.value

    async def method(self):
        return self.value


class Awaitable:
    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        return "awaited"


async def coroutine():
    await asyncio.sleep(0)
    return "coroutine"


async def generator():
    yield 1


def test_whatever_can_be_called_is_a_body_and_whatever_can_be_awaited_is(on_loop):
    def future():
        waiting = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(waiting.set_result, "future")
        return waiting

    bodies = {
        "lambda": lambda: "lambda",
        "coroutine": coroutine,
        "partial": functools.partial(str.upper, "partial"),
        "partial coroutine": functools.partial(asyncio.sleep, 0, "slept"),
        "callable": Callable("callable"),
        "method": Callable("method").method,
        "class": dict,
        "awaitable": Awaitable,
        "future": future,
        "task": lambda: asyncio.get_running_loop().create_task(coroutine()),
        "gather": lambda: asyncio.gather(coroutine(), coroutine()),
        "generator": generator,
        "none": lambda: None,
        "exception": lambda: ValueError("a value like any other"),
    }
    graph = TaskGraph()
    for name, body in bodies.items():
        graph.add_task(name, body)
    from_graph = on_loop(graph.plan().run())
    from_mapping = on_loop(plan_of({name: [] for name in bodies}).run(bodies))
    for report in (from_graph, from_mapping):
        results = dict(report.results)
        assert report.execution_state == "completed"
        assert hasattr(results.pop("generator"), "__anext__")
        assert isinstance(results.pop("exception"), ValueError)
        assert results == {
            "lambda": "lambda",
            "coroutine": "coroutine",
            "partial": "PARTIAL",
            "partial coroutine": "slept",
            "callable": "callable",
            "method": "method",
            "class": {},
            "awaitable": "awaited",
            "future": "future",
            "task": "coroutine",
            "gather": ["coroutine", "coroutine"],
            "none": None,
        }


def test_bodies_return_anything_and_results_keep_the_very_object(on_loop):
    class Hostile:
        """Refuses to be looked at."""

        def __eq__(self, other):
            raise ZeroDivisionError

        __hash__ = None

        def __bool__(self):
            raise ZeroDivisionError

        def __getattr__(self, name):
            raise ZeroDivisionError(name)

        @property
        def __class__(self):
            raise ZeroDivisionError

    made = []

    def body(name):
        made.append(Hostile())
        return made[-1]

    report = on_loop(plan_of({"a": [], "b": ["a"]}).run(body))
    assert report.successful_tasks == 2
    assert report.results["a"] is made[0]
    assert report.task_return_set["b"] is made[1]


def test_extra_functions_are_ignored_and_the_mapping_is_not_changed(on_loop):
    called = []
    functions = {name: functools.partial(called.append, name) for name in "abcd"}
    functions = defaultdict(lambda: pytest.fail, functions)
    functions["extra"] = lambda: called.append("extra")
    on_loop(plan_of(DIAMOND).run(functions))
    assert called == ["a", "b", "c", "d"]
    assert set(functions) == {*"abcd", "extra"}


def test_results_are_a_read_only_mapping_in_the_order_of_the_tasks(on_loop):
    report = on_loop(plan_of({"d": ["a"], "a": [], "c": []}).run(str.upper))
    assert list(report.results) == ["d", "a", "c"]
    assert list(report.results.values()) == ["D", "A", "C"]
    assert len(report.results) == 3
    assert "z" not in report.results
    with pytest.raises(KeyError, match="z"):
        report.results["z"]
    with pytest.raises(TypeError):
        report.results["a"] = 1


def test_an_empty_graph_completes_at_once(on_loop):
    report = on_loop(TaskGraph().plan().run(str))
    assert (report.execution_state, report.total_tasks, report.error_summary) == ("completed", 0, [])
    assert list(report.task_statistics) == []
    assert on_loop(TaskGraph().plan().run()).execution_state == "completed"


@pytest.mark.parametrize("limit", [2**31, 2**64, 10**30])
def test_a_limit_beyond_all_tasks_is_no_limit(limit):
    assert plan_of({"a": [], "b": ["a"]}).run_sync(str, max_concurrency=limit).successful_tasks == 2
    assert plan_of({}).run_sync(str, max_concurrency=limit).total_tasks == 0
