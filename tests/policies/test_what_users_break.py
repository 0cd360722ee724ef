"""Things that users do and that went wrong once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from decimal import Decimal

import pytest

from penstock import DynamicScheduler, RetryPolicy, TaskGraph, TaskOptions, TaskOrder
from penstock.testing import clock

A = TaskOrder("a")
B = TaskOrder("b", [A])
ALWAYS = TaskOptions(run_when="finished")


def ones(*names):
    return TaskGraph.from_predecessors({name: [] for name in names}).plan()


def test_nothing_runs_if_a_function_is_missing_not_even_clean_up(on_loop):
    ran = []
    one = DynamicScheduler([("b", lambda: ran.append("b"))], [A, B], options={"b": ALWAYS})
    none = DynamicScheduler([], [A], options={"a": ALWAYS})
    for scheduler in (one, none):
        report = on_loop(scheduler.execute())
        assert report.error_summary == ["Execution failed: Task 'a' not found in task list."]
        assert {record.status for record in report.task_statistics} == {"skipped"}
    assert ran == []


def test_an_observer_that_raises_a_cancellation_does_not_end_the_run(caplog):
    class Hostile:
        def on_start(self, names):
            raise asyncio.CancelledError

        def on_end(self, records):
            raise AssertionError("called again")

    async def body(name):
        await asyncio.sleep(1.0)

    report = clock.run(ones("a", "b").run(body, observer=Hostile()))
    assert report.execution_state == "completed"
    assert "gets no further calls" in caplog.text


def test_an_observer_that_interrupts_ends_the_run_and_leaves_nothing():
    class Interrupting:
        def on_start(self, names):
            raise KeyboardInterrupt

    async def body(name):
        await asyncio.sleep(1.0)

    async def main():
        run = ones("a", "b").start(body, observer=Interrupting())
        try:
            await run
        except KeyboardInterrupt:
            caught.append(run.state)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    caught = []
    clock.run(main())
    assert caught == ["cancelled"]


class Slow:
    """A context that takes a while to be left."""

    def __init__(self):
        self.log = []

    async def __aenter__(self):
        self.log.append("in")

    async def __aexit__(self, *error):
        await asyncio.sleep(1.0)
        self.log.append("out")


@pytest.mark.parametrize("later", [False, True])
def test_leaving_the_context_does_not_count_against_the_time_of_the_body(later):
    async def body(name):
        called.append(name)
        if later:
            await asyncio.sleep(0.1)

    called, context = [], Slow()
    report = clock.run(ones("a").run(body, concurrency_context=context, task_timeout=0.3, retries=3))
    assert (report.execution_state, called, context.log) == ("completed", ["a"], ["in", "out"])


def test_a_body_that_ends_just_after_its_time_in_a_context_has_succeeded():
    async def body(name):
        try:
            await asyncio.sleep(9.0)
        except asyncio.CancelledError:
            return "late"

    context = Slow()
    report = clock.run(ones("a").run(body, concurrency_context=context, task_timeout=0.3))
    assert (report.execution_state, dict(report.results), context.log) == ("completed", {"a": "late"}, ["in", "out"])


def test_attempts_of_a_tail_task_in_a_thread_do_not_overlap(on_loop):
    lock, gate = threading.Lock(), threading.Event()
    running, most, calls = [0], [0], []

    def work():
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
            calls.append(1)
        gate.wait(10)
        with lock:
            running[0] -= 1

    async def main():
        scheduler = DynamicScheduler(
            [("a", work)], [A], ignore_tail_task=["a"], sync_in="thread", retries=2, task_timeout=0.01
        )
        report = await scheduler.execute()
        asyncio.get_running_loop().call_later(0.1, gate.set)
        with contextlib.suppress(TimeoutError):
            await report.tail_tasks["a"]
        assert (most[0], running[0]) == (1, 0)

    on_loop(main())
    assert calls


@pytest.mark.parametrize("tasks", [1_000, 4_000])
def test_an_observer_of_many_attempts_of_one_task_is_told_each_once(tasks):
    heard = []

    class Listener:
        def on_retry(self, attempts):
            heard.extend(attempt.attempt_number for attempt in attempts)

    async def body(name):
        await asyncio.sleep(0)
        raise ValueError

    clock.run(ones("a").run(body, retries=tasks, observer=Listener()))
    assert heard == list(range(1, tasks + 1))


def test_numbers_of_any_kind_make_a_policy_and_a_bad_random_takes_the_whole_delay(caplog):
    policy = RetryPolicy(delay=Decimal("0.5"), backoff=Decimal(2), jitter=False)
    assert [policy.delay_after(1), policy.delay_after(2)] == [0.5, 1.0]
    for bad in (lambda: None, lambda: 1 / 0):
        assert RetryPolicy(delay=0.5, random=bad).delay_after(1) == 0.5
    assert RetryPolicy(delay=0.5, random=lambda: 7.0).delay_after(1) == 0.5
    assert "the whole delay is taken" in caplog.text


def test_iterators_are_read_once_and_kept(on_loop):
    async def main():
        orders, pairs = [A, B], [("a", str), ("b", str)]
        scheduler = DynamicScheduler(iter(pairs), iter(orders), ignore_tail_task=iter(["b"]), keep_results=iter(["a"]))
        for _ in range(2):
            report = await scheduler.execute()
            assert (report.total_tasks, dict(report.results), list(report.tail_tasks)) == (2, {"a": ""}, ["b"])

    on_loop(main())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tasks": 5}, "tasks is 5; give a list of pairs"),
        ({"task_order": 5}, "task_order is 5; give a list of TaskOrder"),
        ({"ignore_tail_task": "bc"}, "ignore_tail_task is 'bc'; give a list of names"),
        ({"ignore_tail_task": 5}, "ignore_tail_task is 5; give a list of names"),
        ({"task_retries": 3}, "task_retries is 3; give a mapping"),
        ({"time_slice": 0}, "time_slice is 0; give seconds above 0$"),
        ({"timeout": 10**400}, "timeout has too many digits"),
    ],
)
def test_arguments_of_the_wrong_kind_are_named_at_once(given, message):
    with pytest.raises((TypeError, ValueError), match=message):
        DynamicScheduler(**{"tasks": [], "task_order": []} | given)


def test_a_retry_policy_may_stand_among_the_task_retries_and_other_things_are_named(on_loop):
    async def main():
        tries = []

        def flaky():
            tries.append(1)
            if len(tries) < 2:
                raise ValueError

        good = DynamicScheduler([("a", flaky)], [A], task_retries={"a": RetryPolicy(attempts=2)})
        assert (await good.execute()).execution_state == "completed"
        bad = DynamicScheduler([("a", flaky)], [A], task_retries={"a": "3"})
        assert "its number of retries is '3'; give an int" in (await bad.execute()).record_of("a").error_message

    on_loop(main())


@pytest.mark.parametrize("option", ["observer", "progress"])
def test_methods_that_nobody_would_await_are_refused(on_loop, option):
    class Asynchronous:
        async def on_start(self, names):
            pass

        async def update(self, counts):
            pass

        async def close(self, report):
            pass

    async def main():
        with pytest.raises(TypeError, match="is a coroutine function, which nobody would await"):
            ones("a").start(str, **{option: Asynchronous()})

    on_loop(main())


def test_the_last_report_stays_until_there_is_another(on_loop):
    async def main():
        scheduler = DynamicScheduler([("a", str)], [A])
        first = await scheduler.execute()
        scheduler.task_order.append(TaskOrder("a"))
        seen = []
        plan = scheduler.get_execute_timeline
        scheduler.get_execute_timeline = lambda: (seen.append(scheduler.last_report), plan())[1]
        second = await scheduler.execute()
        assert seen == [first]
        assert scheduler.last_report is second
        assert second.execution_state == "failed"

    on_loop(main())
