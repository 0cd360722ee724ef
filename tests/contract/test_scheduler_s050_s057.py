"""Constructing a scheduler: S50 to S57."""

import asyncio
import functools
import inspect
import logging

import pytest
from static_scheduler import DIAMOND, orders, scheduler

from penstock import DynamicScheduler, ExecutionPlan, ExecutionState, TaskOrder, TaskOrderLoopError
from penstock.testing import clock


def test_s050_the_parameters():
    parameters = list(inspect.signature(DynamicScheduler).parameters.values())
    listed = [(p.name, p.kind.name, p.default) for p in parameters[:8]]
    either, keyword, empty = "POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY", inspect.Parameter.empty
    assert listed == [
        ("tasks", either, empty),
        ("task_order", either, empty),
        ("task_data_refs", either, None),
        ("has_data_path", either, False),
        ("ignore_tail_task", either, None),
        ("concurrency_context", either, None),
        ("task_retries", keyword, None),
        ("silence", keyword, True),
    ]


def test_s050_none_becomes_an_empty_container():
    made = DynamicScheduler(None, None)
    assert (made.tasks, made.task_order) == ([], [])
    assert (made.task_data_refs, made.ignore_tail_task, made.task_retries) == ({}, [], {})
    assert made.concurrency_context is None
    assert clock.run(made.execute()).execution_state == "completed"


def test_s050_the_options_of_a_plan_are_keywords():
    made = DynamicScheduler([("a", int)], [TaskOrder("a")], max_concurrency=2, failure_policy="continue")
    assert made.execute_sync().execution_state == "completed"
    with pytest.raises(TypeError, match="max_concurrency"):
        DynamicScheduler([], [], max_concurency=2)
    with pytest.raises(ValueError, match="failure_policy"):
        DynamicScheduler([], [], failure_policy="ignore")


@pytest.mark.parametrize("entry", [("a",), ("a", int, 3), ()])
def test_s051_an_entry_of_wrong_length_fails_to_unpack(entry):
    with pytest.raises(ValueError, match="values to unpack"):
        DynamicScheduler([("b", int), entry], [])


def test_s052_all_problems_in_one_exception():
    async def body():
        pass

    called = body()
    entries = [("twice", int), ("z", int), (3, int), ("twice", int), ("z", int), ("done", called), ("no", "text")]
    with pytest.raises(TypeError) as caught:
        DynamicScheduler(entries, [])
    called.close()
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert "['twice', 'z']" in lines[0]
    assert "3" in lines[1]
    assert "already called coroutine" in lines[2]
    assert "'done'" in lines[2]
    assert "'no'" in lines[3]
    assert "call" in lines[3]


def test_s052_one_entry_may_have_two_problems():
    with pytest.raises(TypeError) as caught:
        DynamicScheduler([(1, None)], [])
    assert len(str(caught.value).splitlines()) == 2


class Callable:
    def __call__(self):
        return "object"

    def method(self):
        return "method"


def test_s053_anything_callable_is_a_body(on_loop):
    async def coroutine():
        await asyncio.sleep(0)
        return "coroutine"

    def future():
        made = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(made.set_result, "future")
        return made

    bodies = {
        "coroutine": coroutine,
        "plain": lambda: "plain",
        "partial": functools.partial(str, "partial"),
        "partial coroutine": functools.partial(coroutine),
        "object": Callable(),
        "method": Callable().method,
        "class": dict,
        "future": future,
        "task": lambda: asyncio.ensure_future(coroutine()),
    }
    report = on_loop(scheduler(dict.fromkeys(bodies, ()), bodies).execute())
    assert report.error_summary == []
    assert report.task_return_set == {
        "coroutine": "coroutine", "plain": "plain", "partial": "partial", "partial coroutine": "coroutine",
        "object": "object", "method": "method", "class": {}, "future": "future", "task": "coroutine",
    }  # fmt: skip


def test_s053_an_async_generator_is_the_result(on_loop):
    async def numbers():
        yield 1

    async def main():
        report = await scheduler({"a": []}, {"a": numbers}).execute()
        assert inspect.isasyncgen(report.results["a"])
        return [number async for number in report.results["a"]]

    assert on_loop(main()) == [1]


def test_s054_the_graph_and_the_retries_are_not_looked_at_yet():
    cycle = orders({"a": ["b"], "b": ["a"], "gone": ["nowhere"]})
    made = DynamicScheduler([("x", int)], cycle, task_retries={"a": -3, "b": "many", "nobody": None})
    assert made.task_retries == {"a": -3, "b": "many", "nobody": None}


def test_s055_the_attributes():
    tasks, order, refs, tails, retries = [("a", int)], [TaskOrder("a")], {}, ["a"], {"a": 1}
    context = asyncio.Semaphore(2)
    made = DynamicScheduler(tasks, order, refs, True, tails, context, task_retries=retries, silence=False)
    assert made.tasks is tasks
    assert made.task_order is order
    assert made.task_data_refs is refs
    assert (made.has_data_path, made.silence) == (True, False)
    assert made.ignore_tail_task is tails
    assert made.concurrency_context is context
    assert made.task_retries is retries
    assert made.execution_state is ExecutionState.NONE
    assert (made.stage_status, made.current_stage) == (None, -1)
    assert made.task_return_set == {}
    assert made.last_report is None


def test_s055_the_attributes_describe_the_latest_run():
    made = scheduler(DIAMOND, dict.fromkeys(DIAMOND, int))
    report = clock.run(made.execute())
    assert made.execution_state is ExecutionState.COMPLETED
    assert made.current_stage == 2
    assert made.task_return_set == dict.fromkeys(DIAMOND, 0)
    assert made.last_report is report


@pytest.mark.parametrize("silence", [True, False])
def test_s056_nothing_is_logged_either_way(silence, caplog):
    def fail():
        raise ValueError

    caplog.set_level(logging.INFO)
    made = scheduler({"a": [], "b": ["a"]}, {"a": int, "b": fail}, silence=silence, has_data_path=not silence)
    assert clock.run(made.execute()).execution_state == "failed"
    assert [record for record in caplog.records if record.name.startswith("penstock")] == []


def test_s057_planning_is_the_planners():
    good, bad = scheduler(DIAMOND, {}), scheduler({"a": ["a"]}, {})
    assert good.detect_cycle() is None
    assert isinstance(good.get_execute_timeline(), ExecutionPlan)
    with pytest.raises(TaskOrderLoopError):
        bad.detect_cycle()
    with pytest.raises(TaskOrderLoopError):
        bad.get_execute_timeline()


def test_s057_functions_are_found_by_name():
    made = scheduler({"a": []}, {"a": int, "b": str})
    assert made.find_task_by_name("a") is int
    assert made.find_task_by_name("b") is str
    assert made.find_task_by_name("c") is None
