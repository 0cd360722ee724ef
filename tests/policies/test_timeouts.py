"""Time-outs of attempts and of runs: exact, told apart from other cancellations, and gone when they are not needed."""

import asyncio
import contextlib
import math
import threading
from asyncio import CancelledError

import pytest

from penstock import RetryPolicy, RunFailed, TaskGraph, TaskOptions, TaskTimeout
from penstock.testing import clock


def plan_of(mapping):
    return TaskGraph.from_predecessors(mapping).plan()


ONE = plan_of({"a": []})
TWO = plan_of({"a": [], "b": []})


def sleeping(**seconds):
    async def body(name):
        await asyncio.sleep(seconds[name])
        return name

    return body


def statuses(report):
    return {record.task_name: record.status for record in report.task_statistics}


def armed():
    """Return the timers of the loop that would still go off."""
    return [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]


# -- of an attempt ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.001, 0.5, 1, 3600.25])
def test_a_body_that_takes_too_long_fails_at_the_very_moment(seconds):
    report = clock.run(ONE.run(sleeping(a=1e6), task_timeout=seconds))
    record = report.record_of("a")
    assert record.status == report.execution_state == "failed"
    assert record.duration == pytest.approx(seconds, abs=1e-6)
    assert isinstance(record.exception, TaskTimeout)
    assert isinstance(record.exception, TimeoutError)
    assert (record.exception.task_name, record.exception.seconds) == ("a", seconds)
    assert record.error_message == f"Task 'a' timed out after {seconds:g} s"
    assert report.error_summary[-1] == f"Final task 'a' failed: {record.error_message}"


def test_the_time_out_shows_where_the_body_was():
    report = clock.run(ONE.run(sleeping(a=9.0), task_timeout=1.0))
    cause = report.record_of("a").exception.__cause__
    assert isinstance(cause, CancelledError)
    frames, traceback = [], cause.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    assert "body" in frames


def test_bodies_within_their_time_are_left_alone():
    report = clock.run(TWO.run(sleeping(a=0.999, b=0.0), task_timeout=1.0))
    assert report.results == {"a": "a", "b": "b"}


def test_every_task_has_the_time_for_itself():
    plan = plan_of({"a": [], "b": ["a"], "c": ["b"]})
    report = clock.run(plan.run(sleeping(a=0.9, b=0.9, c=0.9), task_timeout=1.0))
    assert report.execution_state == "completed"
    assert report.execution_duration == pytest.approx(2.7)


@pytest.mark.parametrize(
    ("own", "state"), [(math.inf, "completed"), (6.0, "completed"), (0.5, "failed"), (None, "failed")]
)
def test_the_time_of_one_task_stands_above_that_of_the_run(own, state):
    options = {"a": TaskOptions(timeout=own)}
    report = clock.run(ONE.run(sleeping(a=5.0), task_timeout=1.0, options=options))
    assert report.execution_state == state
    if own == 0.5:
        assert report.record_of("a").exception.seconds == 0.5


def test_one_task_may_have_a_time_when_the_run_has_none():
    options = {"a": TaskOptions(timeout=1.0)}
    report = clock.run(TWO.run(sleeping(a=5.0, b=5.0), options=options, failure_policy="continue"))
    assert statuses(report) == {"a": "failed", "b": "completed"}


def test_infinity_is_no_limit():
    report = clock.run(ONE.run(sleeping(a=1e9), task_timeout=math.inf, timeout=math.inf))
    assert report.execution_state == "completed"


@pytest.mark.parametrize("option", ["task_timeout", "timeout"])
@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (-1.0, ValueError), (math.nan, ValueError), ("1", TypeError), (True, TypeError)],
)
def test_a_time_that_makes_no_sense_is_refused(option, value, error):
    with pytest.raises(error, match=option):
        ONE.run_sync(sleeping(), **{option: value})
    with pytest.raises(error, match="timeout"):
        TaskOptions(timeout=value)


def test_a_body_that_does_not_suspend_cannot_be_interrupted():
    async def body(name):
        asyncio.get_running_loop().advance(5.0)
        return name

    assert clock.run(ONE.run(body, task_timeout=1.0)).results == {"a": "a"}


def test_the_time_counts_from_the_start_of_the_body_not_from_its_first_pause():
    async def body(name):
        asyncio.get_running_loop().advance(0.75)
        await asyncio.sleep(9.0)

    report = clock.run(ONE.run(body, task_timeout=1.0))
    assert report.record_of("a").duration == pytest.approx(1.0, abs=1e-6)


def test_a_body_that_swallows_its_time_out_goes_on_to_its_end():
    async def body(name):
        with contextlib.suppress(CancelledError):
            await asyncio.sleep(9.0)
        await asyncio.sleep(5.0)
        return name

    report = clock.run(ONE.run(body, task_timeout=1.0))
    assert report.results == {"a": "a"}
    assert report.execution_duration == pytest.approx(6.0)


def test_what_a_body_raises_instead_is_the_failure():
    async def body(name):
        try:
            await asyncio.sleep(9.0)
        except CancelledError:
            raise LookupError("instead") from None

    report = clock.run(ONE.run(body, task_timeout=1.0))
    assert isinstance(report.record_of("a").exception, LookupError)


def test_clean_up_after_a_time_out_is_waited_for():
    async def body(name):
        try:
            await asyncio.sleep(9.0)
        finally:
            await asyncio.sleep(3.0)

    report = clock.run(ONE.run(body, task_timeout=1.0))
    assert isinstance(report.record_of("a").exception, TaskTimeout)
    assert report.execution_duration == pytest.approx(4.0)


def test_a_body_that_cancels_itself_was_not_timed_out():
    async def body(name):
        asyncio.current_task().cancel()
        await asyncio.sleep(0.5)

    assert statuses(clock.run(ONE.run(body, task_timeout=1.0))) == {"a": "cancelled"}


def test_a_body_that_ends_in_the_turn_of_its_time_out_has_one_outcome():
    async def main():
        future = asyncio.get_running_loop().create_future()

        async def body(name):
            return await future

        asyncio.get_running_loop().call_at(1.0, future.set_result, "value")
        return await ONE.run(body, task_timeout=1.0)

    report = clock.run(main())
    assert report.successful_tasks + report.failed_tasks == 1
    record = report.record_of("a")
    assert record.status == "completed" or isinstance(record.exception, TaskTimeout)
    assert record.duration == pytest.approx(1.0)


@pytest.mark.parametrize(("inner", "ours"), [(1.0, 5.0), (5.0, 1.0), (2.0, 2.0)])
def test_a_time_out_inside_the_body_and_ours_do_not_mistake_one_another(inner, ours):
    async def body(name):
        async with asyncio.timeout(inner):
            await asyncio.sleep(9.0)

    report = clock.run(ONE.run(body, task_timeout=ours))
    error = report.record_of("a").exception
    assert report.execution_duration == pytest.approx(min(inner, ours), abs=1e-6)
    assert isinstance(error, TimeoutError)
    if inner != ours:
        assert isinstance(error, TaskTimeout) == (ours < inner)


def test_a_body_that_handles_its_own_time_out_still_has_ours():
    async def body(name):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await asyncio.sleep(9.0)
        await asyncio.sleep(9.0)

    report = clock.run(ONE.run(body, task_timeout=3.0))
    assert isinstance(report.record_of("a").exception, TaskTimeout)
    assert report.execution_duration == pytest.approx(3.0)


def test_each_attempt_has_the_time_anew():
    starts = []

    async def body(name):
        starts.append(asyncio.get_running_loop().time())
        await asyncio.sleep(9.0 if len(starts) < 3 else 0.5)
        return name

    report = clock.run(ONE.run(body, task_timeout=1.0, retries=RetryPolicy(delay=2.0, backoff=1.0, jitter=False)))
    assert report.results == {"a": "a"}
    assert starts == pytest.approx([0.0, 3.0, 6.0], abs=1e-5)
    assert [a.error_message for a in report.record_of("a").attempt_statistics] == [
        "Task 'a' timed out after 1 s"
    ] * 2 + [None]


def test_a_time_out_can_be_left_out_of_the_retries():
    async def body(name):
        await asyncio.sleep(9.0)

    policy = RetryPolicy(attempts=5, retry_on=lambda error: not isinstance(error, TaskTimeout))
    assert clock.run(ONE.run(body, task_timeout=1.0, retries=policy)).record_of("a").attempt_count == 1


# -- what does not count ----------------------------------------------------------------------------------


def test_waiting_for_the_context_does_not_count():
    async def main():
        return await TWO.run(sleeping(a=0.9, b=0.9), task_timeout=1.0, concurrency_context=asyncio.Semaphore(1))

    report = clock.run(main())
    assert report.execution_state == "completed"
    assert report.execution_duration == pytest.approx(1.8)


def test_after_waiting_for_the_context_the_time_counts():
    async def main():
        context = asyncio.Semaphore(1)
        options = {"a": TaskOptions(timeout=math.inf)}
        run = TWO.run(sleeping(a=5.0, b=5.0), task_timeout=1.0, concurrency_context=context, options=options)
        return await run, context._value

    report, value = clock.run(main())
    assert statuses(report) == {"a": "completed", "b": "failed"}
    assert report.record_of("b").duration == pytest.approx(1.0, abs=1e-6)
    assert value == 1


@pytest.mark.parametrize("context", [False, True])
def test_waiting_for_a_thread_does_not_count(context, monkeypatch):
    monkeypatch.setattr("penstock.settings.MOST_THREADS", 1)
    go, begun = threading.Event(), threading.Event()

    def body(name):
        if name == "a":
            begun.set()
            assert go.wait(10.0)
        return name

    async def main():
        loop = asyncio.get_running_loop()
        # Entering it takes a turn, so that the task is suspended before it asks for a thread.
        manager = Slow() if context else None
        options = {"a": TaskOptions(timeout=math.inf)}
        run = TWO.start(body, sync_in="thread", task_timeout=1.0, options=options, concurrency_context=manager)
        loop.call_later(5.0, go.set)
        return await run

    report = clock.run(main())
    assert report.results == {"a": "a", "b": "b"}


class Slow:
    async def __aenter__(self):
        await asyncio.sleep(0.25)

    async def __aexit__(self, *error):
        pass


# -- of the run -------------------------------------------------------------------------------------------


def test_a_run_that_takes_too_long_is_stopped_and_has_failed():
    plan = plan_of({"a": [], "b": [], "c": ["a"]})
    report = clock.run(plan.run(sleeping(a=9.0, b=1.0), timeout=2.0))
    assert report.execution_state == "failed"
    assert report.error_summary == ["Run timed out after 2 s"]
    assert statuses(report) == {"a": "cancelled", "b": "completed", "c": "skipped"}
    assert report.execution_duration == pytest.approx(2.0, abs=1e-6)
    assert report.record_of("a").error_message == "Task cancelled because the run timed out"
    assert "the run timed out after 2 s" in report.record_of("c").error_message


def test_the_report_of_a_run_that_timed_out_is_returned_and_raises_when_asked():
    report = clock.run(ONE.run(sleeping(a=9.0), timeout=2.0))
    with pytest.raises(RunFailed):
        report.raise_for_failure()


def test_clean_up_tasks_still_run_after_the_time_of_the_run():
    options = {"b": TaskOptions(run_when="finished")}
    plan = plan_of({"a": [], "b": ["a"]})
    report = clock.run(plan.run(sleeping(a=9.0, b=3.0), timeout=2.0, options=options))
    assert statuses(report) == {"a": "cancelled", "b": "completed"}
    assert report.execution_duration == pytest.approx(5.0)
    assert report.execution_state == "failed"


def test_a_run_within_its_time_says_nothing_of_it():
    report = clock.run(ONE.run(sleeping(a=1.999), timeout=2.0))
    assert report.execution_state == "completed"
    assert report.error_summary == []


def test_the_time_of_the_run_ends_retries_that_wait():
    def body(name):
        raise ValueError("again")

    report = clock.run(ONE.run(body, timeout=2.0, retries=RetryPolicy(attempts=9, delay=9.0, jitter=False)))
    assert statuses(report) == {"a": "cancelled"}
    assert report.execution_duration == pytest.approx(2.0, abs=1e-6)
    assert report.error_summary == [
        "Task 'a' attempt 1/9 failed; retrying with 8 retries left: again",
        "Run timed out after 2 s",
    ]


@pytest.mark.parametrize(("each", "whole"), [(1.0, 2.0), (2.0, 1.0), (1.0, 1.0)])
def test_both_time_outs_may_be_used(each, whole):
    report = clock.run(ONE.run(sleeping(a=9.0), task_timeout=each, timeout=whole))
    assert report.execution_state == "failed"
    assert report.execution_duration == pytest.approx(min(each, whole), abs=1e-6)
    assert statuses(report)["a"] == ("failed" if each < whole else "cancelled") or each == whole


def test_a_stop_in_the_turn_of_a_time_out_gives_one_outcome():
    async def main(first):
        run = ONE.start(sleeping(a=9.0), task_timeout=1.0)
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)
        loop.call_at(1.0 + first, run.cancel)
        try:
            await run
        except CancelledError:
            return run.report(), True
        return run.report(), False

    for first in (-1e-9, 0.0, 1e-9):
        report, cancelled = clock.run(main(first))
        assert sum((report.cancelled_tasks, report.failed_tasks)) == 1
        assert report.execution_state == ("cancelled" if cancelled else "failed")


def test_the_time_of_a_task_still_counts_while_it_cleans_up_after_a_stop():
    async def body(name):
        if name == "b":
            await asyncio.sleep(0.5)
            raise ValueError(name)
        try:
            await asyncio.sleep(9.0)
        finally:
            await asyncio.sleep(9.0)

    report = clock.run(TWO.run(body, task_timeout=1.0))
    assert report.execution_duration == pytest.approx(1.0, abs=1e-6)
    assert report.error_summary[0] == "Execution interrupted; task 'b' failed: b"
    assert report.record_of("a").status in ("failed", "cancelled")


# -- what is left -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{"task_timeout": 50.0}, {"timeout": 50.0}, {"task_timeout": 60.0, "timeout": 50.0}]
)
@pytest.mark.parametrize("fails", [False, True])
def test_a_run_that_has_ended_leaves_no_timer(options, fails):
    async def body(name):
        await asyncio.sleep(1.0)
        if fails:
            raise ValueError(name)

    async def main():
        await TWO.run(body, **options)
        return armed(), asyncio.get_running_loop().time()

    assert clock.run(main()) == ([], 1.0)


def test_a_run_that_goes_on_has_one_timer_however_many_tasks_are_timed():
    plan = plan_of({name: [] for name in range(1_000)})

    async def body(name):
        await asyncio.get_running_loop().create_future()

    async def main():
        run = plan.start(body, task_timeout=5.0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        timers = len(armed())
        await run
        return timers

    assert clock.run(main()) == 1


@pytest.mark.parametrize("wrong", [{"observer": object()}, {"progress": object()}])
def test_a_run_that_is_refused_leaves_no_timer(wrong):
    async def main():
        with pytest.raises(TypeError):
            await ONE.run(sleeping(a=1.0), timeout=5.0, **wrong)
        return armed()

    assert clock.run(main()) == []


def test_many_tasks_time_out_at_their_own_moments():
    names = range(1_000)

    async def body(name):
        await asyncio.sleep(1e6)

    options = {name: TaskOptions(timeout=1.0 + (name * 7919 % 1_000) / 1_000) for name in names}
    plan = plan_of({name: [] for name in names})
    report = clock.run(plan.run(body, options=options, failure_policy="continue"))
    for name in names:
        assert report.record_of(name).duration == pytest.approx(options[name].timeout, abs=1e-5)
