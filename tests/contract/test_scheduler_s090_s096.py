"""Retries: S90 to S96."""

import asyncio

import pytest
from static_scheduler import failing, scheduler, sleeper, statuses

from penstock import RetryPolicy
from penstock.testing import clock


class Flaky:
    """A body that fails so many times, each attempt taking a second, and notes when it began."""

    def __init__(self, failures, error=ValueError, value="done"):
        self.left, self.error, self.value, self.began = failures, error, value, []

    async def __call__(self):
        self.began.append(asyncio.get_running_loop().time())
        await asyncio.sleep(1.0)
        if self.left:
            self.left -= 1
            raise self.error(f"{self.left} left")
        return self.value


def execute(bodies, graph=None, **options):
    return clock.run(scheduler(graph or dict.fromkeys(bodies, ()), bodies, **options).execute())


@pytest.mark.parametrize(("retries", "attempts"), [({}, 1), ({"a": 0}, 1), ({"a": 1}, 2), ({"a": 3}, 4)])
def test_s090_a_number_of_extra_attempts_back_to_back(retries, attempts):
    body = Flaky(99)
    report = execute({"a": body}, task_retries=retries)
    assert body.began == [float(second) for second in range(attempts)]
    assert report.execution_state == "failed"
    assert report.record_of("a").attempt_count == attempts


def test_s090_no_more_attempts_than_it_takes():
    body = Flaky(1)
    report = execute({"a": body}, task_retries={"a": 5})
    assert len(body.began) == 2
    assert (report.execution_state, report.results["a"]) == ("completed", "done")


@pytest.mark.parametrize("error", [ValueError, OSError, TimeoutError, AssertionError, StopAsyncIteration])
def test_s090_any_exception_is_worth_it(error):
    assert execute({"a": Flaky(1, error)}, task_retries={"a": 1}).execution_state == "completed"


def test_s090_plain_functions_are_tried_again_too(on_loop):
    outcomes = iter([1, 0])
    report = on_loop(scheduler({"a": []}, {"a": lambda: 1 / (1 - next(outcomes))}, task_retries={"a": 1}).execute())
    assert (report.execution_state, report.results["a"]) == ("completed", 1.0)


def test_s090_the_option_and_the_policy_mean_the_same():
    for retries in (2, RetryPolicy(attempts=3)):
        body = Flaky(99)
        execute({"a": body}, retries=retries)
        assert len(body.began) == 3


def test_s090_a_policy_adds_delay_and_back_off():
    body = Flaky(99)
    execute({"a": body}, retries=RetryPolicy(attempts=4, delay=10.0, backoff=3.0, max_delay=50.0, jitter=False))
    assert body.began == [0.0, 11.0, 42.0, 93.0]


def test_s091_a_cancelled_attempt_is_the_last():
    report = execute({"a": sleeper(9.0), "bad": failing(2.0)}, task_retries={"a": 3})
    record = report.record_of("a")
    assert (record.status, record.attempt_count, record.retry) == ("cancelled", 1, 3)
    (attempt,) = record.attempt_statistics
    assert (attempt.status, attempt.will_retry, attempt.duration) == ("cancelled", False, 2.0)


def test_s091_a_body_that_raises_it_itself_is_not_tried_again():
    record = execute({"a": failing(1.0, asyncio.CancelledError)}, task_retries={"a": 3}).record_of("a")
    assert (record.status, record.attempt_count) == ("cancelled", 1)
    assert record.attempt_statistics[0].will_retry is False


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_s091_neither_is_an_interrupt(error):
    made = scheduler({"a": []}, {"a": failing(1.0, error)}, task_retries={"a": 3})
    with pytest.raises(error):
        clock.run(made.execute())
    assert made.last_report.record_of("a").attempt_count == 1


def test_s091_cancelled_before_its_first_step_there_is_no_attempt():
    started = []
    context = asyncio.Semaphore(1)
    bodies = {"bad": failing(1.0), "queued": lambda: started.append(1)}
    report = execute(bodies, concurrency_context=context, task_retries={"queued": 3})
    record = report.record_of("queued")
    assert (record.attempt_count, record.attempt_statistics, started) == (0, [], [])
    assert record.status == "skipped"


def test_s091_after_a_failure_nothing_is_tried_again():
    flaky = Flaky(99)
    report = execute({"flaky": flaky, "bad": failing(2.5)}, task_retries={"flaky": 9})
    assert flaky.began == [0.0, 1.0, 2.0]
    assert report.record_of("flaky").status == "cancelled"


def test_s092_a_line_for_each_retry_and_one_for_the_end():
    report = execute({"t": Flaky(3)}, task_retries={"t": 2})
    assert report.error_summary == [
        "Execution interrupted; task 't' failed: 0 left",
        "Task 't' attempt 1/3 failed; retrying with 2 retries left: 2 left",
        "Task 't' attempt 2/3 failed; retrying with 1 retries left: 1 left",
        "Task 't' exhausted 2 retries after 3 attempts: 0 left",
        "Final task 't' failed: 0 left",
    ]


@pytest.mark.parametrize("retries", [{}, {"t": 0}])
def test_s092_neither_without_retries(retries):
    report = execute({"t": Flaky(1)}, task_retries=retries)
    assert report.error_summary == ["Execution interrupted; task 't' failed: 0 left", "Final task 't' failed: 0 left"]


def test_s093_every_attempt_is_recorded():
    report = execute({"t": Flaky(2)}, task_retries={"t": 4})
    record = report.record_of("t")
    attempts = record.attempt_statistics
    assert [attempt.attempt_number for attempt in attempts] == [1, 2, 3]
    assert [attempt.status for attempt in attempts] == ["failed", "failed", "completed"]
    assert [attempt.will_retry for attempt in attempts] == [True, True, False]
    assert [attempt.error_message for attempt in attempts] == ["1 left", "0 left", None]
    assert [attempt.duration for attempt in attempts] == [1.0, 1.0, 1.0]
    assert {attempt.max_retries for attempt in attempts} == {4}
    assert {attempt.task_name for attempt in attempts} == {"t"}
    assert (record.retry, record.attempt_count) == (4, len(attempts))
    # The record spans all of them.
    assert record.duration == 3.0
    assert (record.start_time, record.end_time) == (attempts[0].start_time, attempts[-1].end_time)


def test_s093_the_last_of_all_attempts_is_not_followed_by_another():
    attempts = execute({"t": Flaky(9)}, task_retries={"t": 1}).record_of("t").attempt_statistics
    assert [(attempt.status, attempt.will_retry) for attempt in attempts] == [("failed", True), ("failed", False)]


def test_s093_a_retry_that_was_due_and_never_came_is_none():
    policy = RetryPolicy(attempts=3, delay=10.0, jitter=False)
    report = execute({"t": Flaky(9), "bad": failing(5.0)}, retries=policy, options=None, timeout=7.0)
    # Both wait for their second attempts when the time of the run is over.
    for name in ("t", "bad"):
        (attempt,) = report.record_of(name).attempt_statistics
        assert (attempt.status, attempt.will_retry) == ("failed", False)


def test_s094_a_retry_that_succeeds_leaves_the_others_alone():
    flaky, other = Flaky(2), Flaky(0)
    graph = {"flaky": [], "other": [], "after": ["flaky"]}
    report = execute({"flaky": flaky, "other": other, "after": sleeper(1.0)}, graph, task_retries={"flaky": 2})
    assert statuses(report) == dict.fromkeys(graph, "completed")
    assert (report.execution_state, report.failed_tasks) == ("completed", 0)
    assert other.began == [0.0]
    assert report.execution_duration == 4.0


@pytest.mark.parametrize("count", [-1, -7])
def test_s096_a_negative_number_fails_the_task_without_an_attempt(count):
    body = Flaky(0)
    report = execute({"a": body, "b": sleeper(0.0)}, {"a": [], "b": ["a"]}, task_retries={"a": count})
    record = report.record_of("a")
    assert body.began == []
    assert (record.status, record.attempt_count, record.attempt_statistics) == ("failed", 0, [])
    assert "retry loop ended unexpectedly" in record.error_message
    assert "retry loop ended unexpectedly" in report.error_summary[0]
    assert statuses(report)["b"] == "skipped"


@pytest.mark.parametrize("count", ["2", None, 1.5])
def test_s096_so_does_what_is_no_number_of_attempts(count):
    record = execute({"a": Flaky(0)}, task_retries={"a": count}).record_of("a")
    assert (record.status, record.attempt_count) == ("failed", 0)
    assert "retry loop ended unexpectedly" in record.error_message


def test_s096_names_that_are_no_task_are_ignored():
    assert execute({"a": Flaky(0)}, task_retries={"nobody": -1, "b": 2}).execution_state == "completed"
