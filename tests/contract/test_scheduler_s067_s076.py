"""Failures and what the records say of them: S67 to S76."""

import asyncio
import traceback

import pytest
from static_scheduler import failing, scheduler, sleeper, statuses, stubborn

from penstock.testing import clock


def begun(report, name):
    """Return the seconds from the start of the run to that of the task."""
    return round(report.record_of(name).start_time - report.total_start_time, 4)


def ended(report, name):
    return round(report.record_of(name).end_time - report.total_start_time, 4)


def test_s067_the_failure_of_a_task_that_others_wait_for(on_loop):
    graph = {"bad": [], "after": ["bad"], "far": ["after"]}
    report = on_loop(scheduler(graph, {"bad": failing(), "after": int, "far": int}).execute())
    assert report.execution_state == "failed"
    assert report.error_summary == [
        "Execution interrupted; task 'bad' failed: no",
        "Task 'bad' failed during execution: no",
    ]
    assert statuses(report) == {"bad": "failed", "after": "skipped", "far": "skipped"}
    record = report.record_of("bad")
    assert (record.status, record.error_message, record.stage_id) == ("failed", "no", 0)


def test_s067_it_is_noticed_at_once_and_nothing_further_starts():
    graph = {"slow": [], "bad": [], "x": [], "y": ["x"], "z": ["y", "bad"]}
    bodies = {"slow": sleeper(9.0), "bad": failing(1.5), "x": sleeper(1.0), "y": sleeper(1.0), "z": int}
    report = clock.run(scheduler(graph, bodies).execute())
    assert report.execution_duration == 1.5
    expected = {"slow": "cancelled", "bad": "failed", "x": "completed", "y": "cancelled", "z": "skipped"}
    assert statuses(report) == expected


def test_s068_the_failure_of_a_sink():
    graph = {"sink": [], "slow": [], "x": [], "y": ["x"]}
    bodies = {"sink": failing(1.0), "slow": sleeper(9.0), "x": sleeper(5.0), "y": int}
    report = clock.run(scheduler(graph, bodies).execute())
    assert report.execution_state == "failed"
    assert report.error_summary == [
        "Execution interrupted; task 'sink' failed: no",
        "Final task 'sink' failed: no",
    ]
    assert report.execution_duration == 1.0
    assert statuses(report) == {"sink": "failed", "slow": "cancelled", "x": "cancelled", "y": "skipped"}


def test_s069_running_tasks_are_cancelled_together_and_awaited():
    async def failing_in_cleaning():
        try:
            await asyncio.sleep(9.0)
        finally:
            await asyncio.sleep(0.2)
            raise KeyError("cleaning")

    async def cleaning():
        try:
            await asyncio.sleep(9.0)
        finally:
            await asyncio.sleep(0.3)

    bodies = {
        "bad": failing(1.0),
        "plain": sleeper(9.0),
        "cleaning": cleaning,
        "raising": failing_in_cleaning,
        "stubborn": stubborn(0.3, "done"),
    }
    report = clock.run(scheduler(dict.fromkeys(bodies, ()), bodies).execute())
    assert report.execution_duration == 1.3
    expected = {"bad": "failed", "plain": "cancelled", "cleaning": "cancelled", "raising": "failed"}
    assert statuses(report) == {**expected, "stubborn": "completed"}
    message = "Task cancelled due to previous failure"
    assert [report.record_of(name).error_message for name in ("plain", "cleaning")] == [message] * 2
    assert [ended(report, name) for name in ("plain", "cleaning", "raising", "stubborn")] == [1.0, 1.3, 1.2, 1.3]
    assert report.record_of("raising").error_message == "'cleaning'"
    assert report.error_summary == [
        "Execution interrupted; task 'bad' failed: no",
        "Final task 'bad' failed: no",
        "Final task 'raising' failed: 'cleaning'",
    ]
    assert report.results == {"stubborn": "done"}


def test_s069_the_attempt_says_the_same(on_loop):
    async def waiting():
        await asyncio.get_running_loop().create_future()

    report = on_loop(scheduler({"wait": [], "bad": []}, {"wait": waiting, "bad": failing()}).execute())
    (attempt,) = report.record_of("wait").attempt_statistics
    assert (attempt.status, attempt.error_message) == ("cancelled", "Task cancelled due to previous failure")


def test_s070_the_first_line_names_the_first_failure():
    bodies = {"later": failing(2.0, KeyError("later")), "first": failing(1.0), "raises": stubborn(0.5)}
    summary = clock.run(scheduler(dict.fromkeys(bodies, ()), bodies).execute()).error_summary
    assert summary[0] == "Execution interrupted; task 'first' failed: no"
    assert len(summary) == 2


def test_s070_it_is_left_out_when_that_name_is_empty(on_loop):
    report = on_loop(scheduler({"": [], "b": [""]}, {"": failing(), "b": int}).execute())
    assert report.error_summary == ["Task '' failed during execution: no"]


def test_s070_under_continue_nothing_was_interrupted(on_loop):
    graph = {"bad": [], "after": ["bad"], "other": []}
    made = scheduler(graph, {"bad": failing(), "after": int, "other": int}, failure_policy="continue")
    report = on_loop(made.execute())
    assert report.error_summary == ["Task 'bad' failed during execution: no"]
    assert statuses(report) == {"bad": "failed", "after": "skipped", "other": "completed"}


def test_s071_a_record_has_the_planned_stage():
    # A sink, a cancelled task, a failed one and a skipped one: none has the stage that noticed it, nor -1.
    graph = {"leaf": [], "a": [], "b": ["a"], "bad": ["b"], "slow": ["a"], "never": ["bad"]}
    bodies = {"leaf": int, "a": int, "b": int, "bad": failing(1.0), "slow": sleeper(9.0), "never": int}
    report = clock.run(scheduler(graph, bodies).execute())
    stages = {record.task_name: record.stage_id for record in report.task_statistics}
    assert stages == {"leaf": 0, "a": 0, "b": 1, "bad": 2, "slow": 1, "never": 3}


def test_s072_times_are_those_of_the_body():
    bodies = {name: sleeper(0.1) for name in "abc"}
    bodies["long"] = sleeper(1.0)
    graph = {"long": [], "a": [], "b": ["a"], "c": []}
    report = clock.run(scheduler(graph, bodies, max_concurrency=2).execute())
    times = {name: (begun(report, name), ended(report, name)) for name in graph}
    assert times == {"long": (0.0, 1.0), "a": (0.0, 0.1), "c": (0.1, 0.2), "b": (0.2, 0.3)}
    queued = {name: pytest.approx(report.record_of(name).queued) for name in graph}
    assert queued == {"long": 0.0, "a": 0.0, "c": 0.1, "b": 0.1}
    assert report.record_of("b").duration == pytest.approx(0.1)


def test_s073_records_are_in_the_order_tasks_were_added():
    graph = {"last": ["first"], "first": [], "middle": []}
    bodies = {"last": sleeper(1.0), "first": sleeper(3.0), "middle": sleeper(2.0)}
    report = clock.run(scheduler(graph, bodies).execute())
    assert [record.task_name for record in report.task_statistics] == ["last", "first", "middle"]
    assert report.completion_order == ["middle", "first", "last"]


def test_s074_one_record_per_task_and_counts_that_sum_up():
    graph = {"ok": [], "bad": ["ok"], "slow": [], "never": ["bad"], "far": ["never"], "tail": []}
    bodies = {"ok": int, "bad": failing(1.0), "slow": sleeper(9.0), "never": int, "far": int, "tail": int}
    report = clock.run(scheduler(graph, bodies, ignore_tail_task=["tail"]).execute())
    assert statuses(report) == {
        "ok": "completed", "bad": "failed", "slow": "cancelled", "never": "skipped", "far": "skipped",
        "tail": "detached",
    }  # fmt: skip
    counts = report.successful_tasks, report.failed_tasks, report.cancelled_tasks, report.skipped_tasks
    assert counts == (1, 1, 1, 2)
    assert (report.total_tasks, report.total_stages) == (6, 4)
    assert sum(counts) + len(report.tail_tasks) == report.total_tasks


def test_s075_the_summary_is_in_the_order_things_happened():
    graph = {"flaky": [], "bad": [], "after": ["bad"], "worse": []}
    bodies = {"flaky": failing(0.4), "bad": failing(1.0, KeyError("bad")), "after": int, "worse": stubborn(1.0)}

    async def worse():
        try:
            await asyncio.sleep(9.0)
        except asyncio.CancelledError:
            await asyncio.sleep(1.0)
            raise ValueError("worse") from None

    bodies["worse"] = worse
    report = clock.run(scheduler(graph, bodies, task_retries={"flaky": 9}).execute())
    assert report.error_summary == [
        "Execution interrupted; task 'bad' failed: 'bad'",
        "Task 'flaky' attempt 1/10 failed; retrying with 9 retries left: no",
        "Task 'flaky' attempt 2/10 failed; retrying with 8 retries left: no",
        "Task 'bad' failed during execution: 'bad'",
        "Final task 'worse' failed: worse",
    ]


def test_s075_a_successful_run_may_have_retry_lines():
    attempts = iter([ValueError("once"), None])

    def flaky():
        if error := next(attempts):
            raise error

    report = clock.run(scheduler({"a": []}, {"a": flaky}, task_retries={"a": 1}).execute())
    assert report.execution_state == "completed"
    assert report.error_summary == ["Task 'a' attempt 1/2 failed; retrying with 1 retries left: once"]


def test_s075_a_run_out_of_time_says_so():
    report = clock.run(scheduler({"a": []}, {"a": sleeper(9.0)}, timeout=2.5).execute())
    assert (report.execution_state, report.error_summary) == ("failed", ["Run timed out after 2.5 s"])
    assert report.execution_duration == 2.5


def test_s076_the_text_is_that_of_the_exception(on_loop):
    error = LookupError("first", 2)
    report = on_loop(scheduler({"a": []}, {"a": failing(0.0, error)}).execute())
    assert report.error_summary[-1] == f"Final task 'a' failed: {error}"
    assert report.record_of("a").error_message == str(error)


def test_s076_the_exception_itself_is_in_the_record(on_loop):
    error = ValueError("no")
    report = on_loop(scheduler({"a": []}, {"a": failing(0.0, error)}).execute())
    assert report.record_of("a").exception is error
    assert traceback.extract_tb(error.__traceback__)[-1].line == "raise error"


def test_s076_an_exception_without_text_is_shown_by_its_class(on_loop):
    report = on_loop(scheduler({"a": []}, {"a": failing(0.0, ValueError)}).execute())
    assert report.record_of("a").error_message == "ValueError"
    assert report.error_summary[-1] == "Final task 'a' failed: ValueError"
