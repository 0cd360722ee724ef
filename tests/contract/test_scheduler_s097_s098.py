"""The concurrency limit: S97 and S98."""

import asyncio

import pytest
from static_scheduler import failing, scheduler, sleeper, statuses

from penstock import RetryPolicy
from penstock.testing import clock


class Context:
    """An async context manager that notes when it is entered and left."""

    def __init__(self):
        self.events = []

    async def __aenter__(self):
        self.events.append(("enter", asyncio.get_running_loop().time()))

    async def __aexit__(self, kind, error, traceback):
        self.events.append(("exit", asyncio.get_running_loop().time(), kind))


def test_s097_a_semaphore_limits_the_bodies(on_loop):
    running, most = 0, 0

    async def body():
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    bodies = {f"t{number}": body for number in range(10)}
    made = scheduler(dict.fromkeys(bodies, ()), bodies, concurrency_context=asyncio.Semaphore(3))
    assert on_loop(made.execute()).execution_state == "completed"
    assert most == 3


def test_s097_each_task_enters_it_once_for_all_its_attempts():
    context = Context()
    made = scheduler({"a": []}, {"a": failing(1.0)}, concurrency_context=context, task_retries={"a": 2})
    assert clock.run(made.execute()).record_of("a").attempt_count == 3
    assert context.events == [("enter", 0.0), ("exit", 3.0, ValueError)]


def test_s097_each_task_enters_it_for_itself():
    context = Context()
    bodies = {"a": sleeper(1.0), "b": sleeper(2.0)}
    clock.run(scheduler({"a": [], "b": ["a"]}, bodies, concurrency_context=context).execute())
    assert context.events == [("enter", 0.0), ("exit", 1.0, None), ("enter", 1.0), ("exit", 3.0, None)]


def test_s097_a_cancelled_task_leaves_it(on_loop):
    context = Context()
    semaphore = asyncio.Semaphore(2)

    async def waiting():
        await asyncio.get_running_loop().create_future()

    bodies = {"wait": waiting, "bad": failing()}
    for held in (context, semaphore):
        on_loop(scheduler(dict.fromkeys(bodies, ()), bodies, concurrency_context=held).execute())
    assert [event[0] for event in context.events].count("exit") == 2
    assert not semaphore.locked()


def test_s097_a_retry_that_waits_for_its_delay_leaves_it():
    policy = RetryPolicy(attempts=2, delay=5.0, jitter=False)
    bodies = {"a": failing(1.0), "b": sleeper(1.0)}
    graph = dict.fromkeys(bodies, ())
    options = {"failure_policy": "continue", "retries": policy}
    left = clock.run(scheduler(graph, bodies, concurrency_context=asyncio.Semaphore(1), **options).execute())
    assert left.execution_duration == 7.0
    # So it does a place of max_concurrency.
    free = clock.run(scheduler(graph, bodies, max_concurrency=1, **options).execute())
    assert free.execution_duration == 7.0


def test_s097_what_is_no_context_manager_is_refused():
    made = scheduler({"a": []}, {"a": int}, concurrency_context=object())
    with pytest.raises(TypeError, match="concurrency_context"):
        clock.run(made.execute())


def test_s098_only_bodies_are_delayed():
    bodies = {name: sleeper(0.1) for name in "abcd"}
    made = scheduler(dict.fromkeys(bodies, ()), bodies, concurrency_context=asyncio.Semaphore(1))
    report = clock.run(made.execute())
    records = list(report.task_statistics)
    begun = [record.start_time - report.total_start_time for record in records]
    assert begun == pytest.approx([0.0, 0.1, 0.2, 0.3], abs=1e-5)
    assert [record.queued for record in records] == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert [record.duration for record in records] == pytest.approx([0.1] * 4)
    assert report.max_parallelism == made.get_execute_timeline().max_parallelism == 4


def test_s098_the_dependents_of_queued_tasks_wait_for_the_bodies():
    graph = {"a": [], "b": [], "c": ["b"]}
    bodies = {name: sleeper(1.0) for name in graph}
    report = clock.run(scheduler(graph, bodies, concurrency_context=asyncio.Semaphore(1)).execute())
    assert report.execution_duration == 3.0
    assert statuses(report) == dict.fromkeys(graph, "completed")
