"""Options are checked before anything runs, and those of tasks are put together field by field."""

import asyncio
import pickle

import pytest

from penstock import DynamicScheduler, RetryPolicy, TaskGraph, TaskOptions, TaskOrder, UnknownTaskError
from penstock.testing import clock


def plan_of(mapping):
    return TaskGraph.from_predecessors(mapping).plan()


ONE = plan_of({"a": []})


def never(name):
    raise AssertionError("called although the options were refused")


async def sleeping(name=None):
    await asyncio.sleep(5.0)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("max_concurency", "did you mean max_concurrency"),
        ("retires", "did you mean retries"),
        ("task_timout", "task_timeout"),
        ("zzz", "there are concurrency_context, failure_policy"),
    ],
)
def test_an_unknown_option_is_refused_with_a_hint(name, hint):
    with pytest.raises(TypeError, match=f"no option '{name}'") as caught:
        ONE.run_sync(never, **{name: 1})
    assert hint in str(caught.value)
    with pytest.raises(TypeError, match=f"no option '{name}'"):
        DynamicScheduler([("a", print)], [TaskOrder("a", [])], **{name: 1})


WRONG = [
    ("max_concurrency", 0, ValueError),
    ("max_concurrency", "2", TypeError),
    ("max_concurrency", True, TypeError),
    ("failure_policy", "ignore", ValueError),
    ("failure_policy", None, ValueError),
    ("pass_results", 1, TypeError),
    ("time_slice", 0.0, ValueError),
    ("time_slice", None, TypeError),
    ("retries", -1, ValueError),
    ("retries", "3", TypeError),
    ("task_timeout", 0, ValueError),
    ("timeout", "1", TypeError),
    ("sync_in", "process", ValueError),
    ("stage_barriers", "yes", TypeError),
    ("limits", [("db", 1)], TypeError),
    ("limits", {"db": 0}, ValueError),
    ("observer", object(), TypeError),
    ("slow_body", -1.0, ValueError),
    ("progress", object(), TypeError),
]


@pytest.mark.parametrize(("name", "value", "error"), WRONG)
def test_a_value_that_makes_no_sense_is_refused_by_its_name(name, value, error):
    with pytest.raises(error, match=name):
        ONE.run_sync(never, **{name: value})


@pytest.mark.parametrize(("name", "value", "error"), [row for row in WRONG if row[0] not in ("observer", "progress")])
def test_a_scheduler_refuses_it_when_it_is_made(name, value, error):
    with pytest.raises(error, match=name):
        DynamicScheduler([("a", print)], [TaskOrder("a", [])], **{name: value})


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("keep_results", "some", ValueError),
        ("keep_results", 5, TypeError),
        ("keep_results", ["nobody"], KeyError),
        ("options", [("a", TaskOptions())], TypeError),
        ("options", {"a": {"retries": 1}}, TypeError),
        ("options", {"nobody": TaskOptions()}, UnknownTaskError),
    ],
)
def test_what_depends_on_the_graph_is_checked_against_it(name, value, error):
    with pytest.raises(error, match=name):
        ONE.run_sync(never, **{name: value})


def test_an_unknown_task_in_the_options_gets_a_hint():
    with pytest.raises(UnknownTaskError, match="extract"):
        plan_of({"extract": []}).run_sync(never, options={"extrakt": TaskOptions(retries=1)})


@pytest.mark.parametrize("value", [None, {}])
def test_no_options_are_as_good_as_none(value):
    assert ONE.run_sync(lambda name: 1, options=value, limits=value).results == {"a": 1}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"retries": -1}, ValueError),
        ({"timeout": 0}, ValueError),
        ({"priority": float("inf")}, ValueError),
        ({"sync_in": "process"}, ValueError),
        ({"run_when": "always"}, ValueError),
        ({"uses": "db"}, TypeError),
        ({"uses": 5}, TypeError),
        ({"nothing": 5}, TypeError),
    ],
)
def test_the_options_of_a_task_are_checked_when_they_are_made(fields, error):
    with pytest.raises(error):
        TaskOptions(**fields)


def test_the_options_of_a_task_are_frozen_and_comparable():
    options = TaskOptions(uses=["db"], retries=2)
    assert options == TaskOptions(uses=("db",), retries=2)
    assert options.uses == ("db",)
    with pytest.raises(AttributeError):
        options.retries = 3


def test_a_graph_refuses_options_of_another_kind():
    with pytest.raises(TypeError, match="give TaskOptions"):
        TaskGraph().add_task("a", print, options={"retries": 1})


# -- putting them together --------------------------------------------------------------------------------


def failing_graph(**options):
    graph = TaskGraph()
    graph.add_task("a", sleeping, options=TaskOptions(**options))
    return graph


def test_options_of_the_graph_hold_without_any_of_the_run():
    record = clock.run(failing_graph(timeout=1.0, retries=1).plan().run()).record_of("a")
    assert (record.attempt_count, record.status) == (2, "failed")


def test_options_of_the_run_stand_above_those_of_the_graph_field_by_field():
    plan = failing_graph(timeout=1.0, retries=1).plan()
    record = clock.run(plan.run(options={"a": TaskOptions(retries=2)})).record_of("a")
    assert (record.attempt_count, record.exception.seconds) == (3, 1.0)
    record = clock.run(plan.run(options={"a": TaskOptions(timeout=2.0)})).record_of("a")
    assert (record.attempt_count, record.exception.seconds) == (2, 2.0)
    record = clock.run(plan.run(options={"a": TaskOptions(timeout=9.0)})).record_of("a")
    assert (record.attempt_count, record.status) == (1, "completed")


def test_options_of_tasks_stand_above_what_holds_for_the_run():
    plan = failing_graph(timeout=1.0, retries=0).plan()
    record = clock.run(plan.run(timeout=99.0, task_timeout=9.0, retries=7)).record_of("a")
    assert (record.attempt_count, record.exception.seconds) == (1, 1.0)


def test_a_run_leaves_the_options_of_its_plan_as_they_are():
    plan = failing_graph(timeout=1.0).plan()
    clock.run(plan.run(options={"a": TaskOptions(timeout=9.0)}))
    assert clock.run(plan.run()).execution_state == "failed"


def test_a_scheduler_puts_the_retries_of_tasks_beside_their_options():
    tries = []

    def body():
        tries.append(1)
        raise ValueError

    def attempts(**options):
        tries.clear()
        DynamicScheduler([("a", body)], [TaskOrder("a", [])], **options).execute_sync()
        return len(tries)

    assert attempts(task_retries={"a": 2}) == 3
    assert attempts(task_retries={"a": 2}, options={"a": TaskOptions(timeout=9.0)}) == 3
    assert attempts(task_retries={"a": 2}, options={"a": TaskOptions(retries=4)}) == 5
    assert attempts(task_retries={"b": 2}, retries=1) == 2


# -- plans ------------------------------------------------------------------------------------------------


def test_a_plan_is_pickled_with_its_options():
    policy = RetryPolicy(attempts=2)
    plan = pickle.loads(pickle.dumps(failing_graph(timeout=1.0, retries=policy).plan()))
    record = clock.run(plan.run(sleeping)).record_of("a")
    assert (record.attempt_count, record.exception.seconds) == (2, 1.0)


def test_a_subgraph_keeps_the_options_of_its_tasks():
    graph = TaskGraph()
    for name, before in (("a", []), ("b", ["a"]), ("c", ["a"])):
        graph.add_task(name, sleeping, before, options=TaskOptions(timeout={"a": 9.0, "b": 1.0, "c": 2.0}[name]))
    report = clock.run(graph.plan().subgraph(["c"]).run())
    assert report.total_tasks == 2
    assert report.record_of("a").status == "completed"
    assert report.record_of("c").exception.seconds == 2.0
