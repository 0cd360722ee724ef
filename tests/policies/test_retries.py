"""A task that failed is tried again as its policy says, when it says, and holding nothing meanwhile."""

import asyncio
import math
import pickle
import threading
import time
from asyncio import CancelledError
from random import Random

import pytest

from penstock import RetryPolicy, Skip, TaskGraph, TaskOptions
from penstock.testing import clock


def plan_of(mapping):
    return TaskGraph.from_predecessors(mapping).plan()


ONE = plan_of({"a": []})


class Failing:
    """A body that fails some times and notes when it was called; `wait` makes it a coroutine that suspends."""

    def __init__(self, times=math.inf, error=ValueError, wait=None):
        self.times, self.error, self.wait, self.calls = times, error, wait, []

    def __call__(self, name, *results):
        self.calls.append((name, asyncio.get_running_loop().time()))
        return self.end(name, results) if self.wait is None else self.later(name, results)

    async def later(self, name, results):
        await asyncio.sleep(self.wait)
        return self.end(name, results)

    def end(self, name, results):
        made = sum(called == name for called, _ in self.calls)
        if made <= self.times:
            raise self.error(f"{name} {made}")
        return results or name

    def times_of(self, name):
        return [when for called, when in self.calls if called == name]


def statuses(report):
    return {record.task_name: record.status for record in report.task_statistics}


# -- the policy -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("attempts", 0, ValueError),
        ("attempts", -1, ValueError),
        ("attempts", 1.5, TypeError),
        ("attempts", True, TypeError),
        ("attempts", "3", TypeError),
        ("attempts", None, TypeError),
        ("delay", -0.1, ValueError),
        ("delay", math.inf, ValueError),
        ("delay", math.nan, ValueError),
        ("delay", "1", TypeError),
        ("delay", None, TypeError),
        ("delay", True, TypeError),
        ("backoff", 0.99, ValueError),
        ("backoff", math.inf, ValueError),
        ("backoff", math.nan, ValueError),
        ("backoff", "2", TypeError),
        ("max_delay", -1.0, ValueError),
        ("max_delay", math.nan, ValueError),
        ("max_delay", None, TypeError),
        ("max_time", -1.0, ValueError),
        ("max_time", math.inf, ValueError),
        ("max_time", math.nan, ValueError),
        ("max_time", "1", TypeError),
        ("retry_on", None, TypeError),
        ("retry_on", "ValueError", TypeError),
        ("retry_on", int, TypeError),
        ("retry_on", (ValueError, int), TypeError),
        ("retry_on", (ValueError, lambda error: True), TypeError),
        ("retry_on", [ValueError], TypeError),
        ("jitter", "no", TypeError),
        ("jitter", None, TypeError),
        ("random", 0.5, TypeError),
        ("random", None, TypeError),
    ],
)
def test_a_policy_refuses_what_makes_no_sense_and_names_it(field, value, error):
    with pytest.raises(error, match=field):
        RetryPolicy(**{field: value})


def test_a_policy_takes_keywords_only_and_is_frozen():
    with pytest.raises(TypeError):
        RetryPolicy(3)
    with pytest.raises(AttributeError):
        RetryPolicy().attempts = 5


@pytest.mark.parametrize("retries", [-1, 1.5, "3", True, [3]])
def test_a_number_of_retries_that_makes_no_sense_is_refused(retries):
    with pytest.raises((TypeError, ValueError), match="retries"):
        TaskOptions(retries=retries)
    with pytest.raises((TypeError, ValueError), match="retries"):
        ONE.run_sync(Failing(), retries=retries)


def test_a_policy_that_was_pickled_draws_random_numbers_of_its_own():
    policy = pickle.loads(pickle.dumps(RetryPolicy(attempts=5, delay=1.0)))
    again = pickle.loads(pickle.dumps(policy))
    assert policy == again == RetryPolicy(attempts=5, delay=1.0)
    assert [policy.delay_after(1) for _ in range(5)] != [again.delay_after(1) for _ in range(5)]


@pytest.mark.parametrize(
    ("policy", "delays"),
    [
        ({"delay": 1.0}, [1.0, 2.0, 4.0, 8.0]),
        ({"delay": 1.0, "backoff": 1.0}, [1.0, 1.0, 1.0, 1.0]),
        ({"delay": 0.1, "backoff": 3}, [0.1, 0.3, 0.9, 2.7]),
        ({"delay": 20.0}, [20.0, 40.0, 60.0, 60.0]),
        ({"delay": 20.0, "max_delay": math.inf}, [20.0, 40.0, 80.0, 160.0]),
        ({"delay": 5.0, "max_delay": 3.0}, [3.0, 3.0, 3.0, 3.0]),
        ({"delay": 5.0, "max_delay": 0}, [0.0, 0.0, 0.0, 0.0]),
        ({}, [0.0, 0.0, 0.0, 0.0]),
    ],
)
@pytest.mark.parametrize("wait", [None, 0.0, 0.125])
def test_the_back_off_schedule_is_exact(policy, delays, wait):
    body = Failing(wait=wait)
    report = clock.run(ONE.run(body, retries=RetryPolicy(attempts=5, jitter=False, **policy)))
    expected = [sum(delays[:made]) + made * (wait or 0.0) for made in range(5)]
    assert body.times_of("a") == pytest.approx(expected, abs=1e-3)
    assert statuses(report) == {"a": "failed"}
    starts = [attempt.start_time - report.total_start_time for attempt in report.record_of("a").attempt_statistics]
    assert starts == pytest.approx(expected, abs=1e-3)


def test_full_jitter_waits_a_random_part_of_the_delay():
    body, shares = Failing(), iter([0.0, 0.5, 1.0, 0.25])
    policy = RetryPolicy(attempts=5, delay=1.0, random=lambda: next(shares))
    clock.run(ONE.run(body, retries=policy))
    assert body.times_of("a") == pytest.approx([0.0, 0.0, 1.0, 5.0, 7.0], abs=1e-3)


def test_jitter_takes_tasks_that_failed_together_apart():
    names = [f"t{i}" for i in range(50)]
    body = Failing(1)
    policy = RetryPolicy(attempts=2, delay=10.0, random=Random(4).random)
    clock.run(plan_of({name: [] for name in names}).run(body, retries=policy))
    again = [body.times_of(name)[1] for name in names]
    assert len(set(again)) > 45
    assert 0.0 <= min(again) < 1.0 < 9.0 < max(again) <= 10.0


def test_a_delay_too_large_for_a_float_is_the_longest_one():
    assert RetryPolicy(delay=1.0, backoff=1e300, jitter=False).delay_after(1_000) == 60.0
    assert RetryPolicy(delay=0.0, backoff=1e300, jitter=False).delay_after(1_000) == 0.0


def test_no_attempt_begins_after_the_longest_time():
    body = Failing(wait=1.0)
    report = clock.run(
        ONE.run(body, retries=RetryPolicy(attempts=99, delay=1.0, backoff=1.0, jitter=False, max_time=5.0))
    )
    # The next one would begin at 6.0; the third begins at 4.0.
    assert body.times_of("a") == [0.0, 2.0, 4.0]
    assert report.record_of("a").error_message == "a 3"


def test_the_longest_time_counts_from_the_first_attempt_of_each_task():
    body = Failing(2, wait=1.0)
    policy = RetryPolicy(attempts=3, max_time=2.0)
    report = clock.run(plan_of({"a": [], "b": ["a"]}).run(body, retries=policy))
    assert statuses(report) == {"a": "completed", "b": "completed"}


# -- what is tried again ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry_on", "tried"),
    [
        (Exception, 3),
        (ValueError, 3),
        (LookupError, 1),
        ((LookupError, ValueError), 3),
        ((LookupError, OSError), 1),
        ((), 1),
        (BaseException, 3),
        (lambda error: str(error) == "a 1", 2),
        (lambda error: None, 1),
    ],
)
def test_only_exceptions_that_the_policy_wants_are_tried_again(retry_on, tried):
    body = Failing()
    report = clock.run(ONE.run(body, retries=RetryPolicy(attempts=3, retry_on=retry_on)))
    assert len(body.calls) == tried
    assert report.record_of("a").attempt_count == tried


def test_a_filter_that_raises_is_logged_and_ends_the_retries(caplog):
    body = Failing()

    def wanted(error):
        raise KeyError("broken filter")

    report = clock.run(ONE.run(body, retries=RetryPolicy(attempts=3, retry_on=wanted)))
    assert len(body.calls) == 1
    assert report.record_of("a").error_message == "a 1"
    assert "retry_on raised" in caplog.text
    assert "broken filter" in caplog.text


@pytest.mark.parametrize("context", [None, "semaphore"])
def test_a_filter_is_asked_once_for_each_failure(context):
    asked = []

    def wanted(error):
        asked.append(str(error))
        return len(asked) < 3

    async def main():
        semaphore = asyncio.Semaphore(1) if context else None
        body = Failing(wait=0.5)
        policy = RetryPolicy(attempts=9, retry_on=wanted)
        return await ONE.run(body, retries=policy, concurrency_context=semaphore)

    report = clock.run(main())
    assert asked == ["a 1", "a 2", "a 3"]
    assert report.record_of("a").attempt_count == 3


@pytest.mark.parametrize("where", ["plain", "coroutine", "suspended"])
@pytest.mark.parametrize(
    ("error", "status"),
    [(CancelledError, "cancelled"), (Skip, "skipped"), (KeyboardInterrupt, "failed"), (SystemExit, "failed")],
)
def test_what_is_no_failure_is_never_tried_again(error, status, where):
    calls = []

    def plain(name):
        calls.append(name)
        raise error("no more")

    async def coroutine(name):
        if where == "suspended":
            await asyncio.sleep(1.0)
        plain(name)

    async def main():
        run = ONE.start(plain if where == "plain" else coroutine, retries=RetryPolicy(retry_on=BaseException))
        if error in (KeyboardInterrupt, SystemExit):
            with pytest.raises(error, match="no more"):
                await run
        else:
            await run
        return run.report()

    report = clock.run(main())
    assert calls == ["a"]
    assert statuses(report) == {"a": status}
    assert report.record_of("a").attempt_count == 1


def test_one_that_cancels_itself_in_its_clean_up_is_not_tried_again():
    calls = []

    async def body(name):
        calls.append(name)
        asyncio.current_task().cancel()
        await asyncio.sleep(1.0)

    assert statuses(clock.run(ONE.run(body, retries=5))) == {"a": "cancelled"}
    assert calls == ["a"]


# -- kinds of bodies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("retries", [2, RetryPolicy(attempts=3)])
@pytest.mark.parametrize("where", ["plain", "coroutine", "suspended", "thread"])
def test_every_kind_of_body_is_tried_again(where, retries, on_loop):
    calls, lock = [], threading.Lock()

    def plain(name):
        with lock:
            calls.append(name)
            if calls.count(name) < 3:
                raise ValueError(name)
        return name

    async def coroutine(name):
        return plain(name)

    async def suspended(name):
        await asyncio.sleep(0)
        return plain(name)

    body = {"plain": plain, "coroutine": coroutine, "suspended": suspended, "thread": plain}[where]
    place = "thread" if where == "thread" else "loop"
    mapping = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
    report = on_loop(plan_of(mapping).run(body, retries=retries, sync_in=place))
    assert report.execution_state == "completed"
    assert sorted(calls) == sorted("abcd" * 3)
    assert report.results == {name: name for name in "abcd"}
    assert {record.attempt_count for record in report.task_statistics} == {3}


def test_retries_of_one_task_stand_above_those_of_the_run():
    body = Failing()
    own = {"b": TaskOptions(retries=0), "c": TaskOptions(retries=RetryPolicy(attempts=4))}
    report = clock.run(
        plan_of({"a": [], "b": [], "c": []}).run(body, retries=1, options=own, failure_policy="continue")
    )
    assert {record.task_name: record.attempt_count for record in report.task_statistics} == {"a": 2, "b": 1, "c": 4}
    assert {record.task_name: record.retry for record in report.task_statistics} == {"a": 1, "b": 0, "c": 3}


def test_a_retry_after_no_delay_lines_up_behind_what_is_ready():
    body = Failing(1)
    clock.run(plan_of({name: [] for name in "abc"}).run(body, retries=1))
    assert [name for name, _ in body.calls] == ["a", "b", "c", "a", "b", "c"]


# -- while it waits ---------------------------------------------------------------------------------------


def test_a_waiting_retry_takes_no_place_of_the_run():
    body = Failing(1, wait=1.0)
    policy = RetryPolicy(attempts=2, delay=10.0, jitter=False)
    report = clock.run(plan_of({name: [] for name in "abc"}).run(body, retries=policy, max_concurrency=1))
    assert report.execution_state == "completed"
    assert body.calls == [("a", 0.0), ("b", 1.0), ("c", 2.0), ("a", 11.0), ("b", 12.0), ("c", 13.0)]


def test_a_waiting_retry_takes_no_place_of_a_limit():
    body = Failing(1, wait=1.0)
    policy = RetryPolicy(attempts=2, delay=10.0, jitter=False)
    own = {name: TaskOptions(uses=("db",)) for name in "ab"}
    report = clock.run(plan_of({name: [] for name in "abc"}).run(body, retries=policy, limits={"db": 1}, options=own))
    assert report.execution_state == "completed"
    assert body.calls == [("a", 0.0), ("c", 0.0), ("b", 1.0), ("a", 11.0), ("c", 11.0), ("b", 12.0)]


def test_a_waiting_retry_is_counted_and_shown_as_such():
    async def main():
        run = plan_of({"a": [], "b": ["a"]}).start(Failing(1), retries=RetryPolicy(delay=1.0, jitter=False))
        await asyncio.sleep(0.5)
        counts, record = run.counts(), run.report().record_of("a")
        await run
        return counts, record

    counts, record = clock.run(main())
    assert {state: count for state, count in counts.items() if count} == {"retrying": 1, "pending": 1}
    assert record.status == "retrying"
    assert [attempt.will_retry for attempt in record.attempt_statistics] == [True]


def test_a_stop_drops_the_retries_that_wait():
    body = Failing(wait=0.0)

    async def main():
        run = plan_of({"a": [], "b": ["a"]}).start(body, retries=RetryPolicy(delay=10.0, jitter=False))
        await asyncio.sleep(5.0)
        run.cancel()
        with pytest.raises(CancelledError):
            await run
        return run.report(), asyncio.get_running_loop().time()

    report, ended = clock.run(main())
    assert ended == 5.0
    assert statuses(report) == {"a": "cancelled", "b": "skipped"}
    assert len(body.calls) == 1
    record = report.record_of("a")
    assert record.attempt_count == 1
    assert [(attempt.status, attempt.will_retry) for attempt in record.attempt_statistics] == [("failed", False)]


def test_a_failure_elsewhere_drops_the_retries_that_wait():
    calls = []

    async def body(name):
        calls.append(name)
        if name == "b":
            await asyncio.sleep(3.0)
        raise ValueError(name)

    own = {"b": TaskOptions(retries=0)}
    policy = RetryPolicy(delay=10.0, jitter=False)
    report = clock.run(plan_of({"a": [], "b": []}).run(body, retries=policy, options=own))
    assert calls == ["a", "b"]
    assert statuses(report) == {"a": "cancelled", "b": "failed"}
    assert report.execution_state == "failed"
    assert report.execution_duration == pytest.approx(3.0)


@pytest.mark.parametrize("context", [False, True])
def test_a_retry_that_is_due_but_has_no_place_yet_is_dropped_too(context):
    calls = []

    async def body(name):
        calls.append(name)
        if name == "a":
            raise ValueError(name)
        await asyncio.sleep(100.0)

    async def main():
        semaphore = asyncio.Semaphore(3)
        run = plan_of({"a": [], "b": []}).start(
            body,
            retries=RetryPolicy(delay=1.0, jitter=False),
            max_concurrency=1,
            concurrency_context=semaphore if context else None,
        )
        await asyncio.sleep(2.0)
        assert run.counts()["ready"] == 1
        run.cancel()
        with pytest.raises(CancelledError):
            await run
        assert semaphore._value == 3
        return run.report()

    report = clock.run(main())
    assert calls == ["a", "b"]
    assert statuses(report) == {"a": "cancelled", "b": "cancelled"}
    assert [attempt.will_retry for attempt in report.record_of("a").attempt_statistics] == [False]


def test_a_loop_that_is_closed_ends_what_waits_for_a_retry():
    loop = clock.VirtualClockLoop()
    runs = []

    async def main():
        runs.append(ONE.start(Failing(), retries=RetryPolicy(delay=10.0, jitter=False)))
        await asyncio.sleep(1.0)

    loop.run_until_complete(main())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert runs[0].done()
    assert statuses(runs[0].report()) == {"a": "cancelled"}


def test_a_filter_that_interrupts_ends_the_run_and_what_waits_holding_the_context():
    def wanted(error):
        if str(error) == "b 1":
            raise KeyboardInterrupt
        return True

    async def main():
        semaphore = asyncio.Semaphore(2)
        policy = RetryPolicy(delay=10.0, jitter=False, retry_on=wanted)
        own = {"b": TaskOptions(retries=policy)}
        failing = Failing()

        async def body(name):
            if name == "b":
                await asyncio.sleep(1.0)
            failing(name)

        run = plan_of({"a": [], "b": []}).start(body, retries=policy, options=own, concurrency_context=semaphore)
        with pytest.raises(KeyboardInterrupt):
            await run
        return semaphore._value, run.counts()

    value, counts = clock.run(main())
    assert counts["running"] == counts["retrying"] == counts["ready"] == 0
    assert value >= 1


# -- values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", ["all", "sinks", "none"])
@pytest.mark.parametrize("wait", [None, 0.5])
def test_inputs_stay_until_the_last_attempt(keep, wait):
    seen = []

    class Value:
        pass

    def body(name, *results):
        if name == "a":
            return Value()
        seen.append((name, [type(result) for result in results]))
        return failing(name, *results)

    failing = Failing(2, wait=wait)
    policy = RetryPolicy(attempts=3, delay=1.0, jitter=False)
    plan = plan_of({"a": [], "b": ["a"], "c": ["a"]})
    report = clock.run(plan.run(body, retries=policy, pass_results=True, keep_results=keep))
    assert report.execution_state == "completed"
    assert len(seen) == 6
    assert all(types == [Value] for _, types in seen)
    kept = {"all": {"a", "b", "c"}, "sinks": {"b", "c"}, "none": set()}[keep]
    assert set(report.results) == kept


# -- what the report says ---------------------------------------------------------------------------------


def test_every_attempt_has_its_record():
    body = Failing(2, wait=1.0)
    report = clock.run(ONE.run(body, retries=RetryPolicy(attempts=4, delay=2.0, jitter=False)))
    record = report.record_of("a")
    assert (record.status, record.retry, record.attempt_count, record.duration) == ("completed", 3, 3, 8 + 1.0)
    found = [
        (a.attempt_number, a.max_retries, a.status, a.error_message, a.will_retry) for a in record.attempt_statistics
    ]
    assert found == [
        (1, 3, "failed", "a 1", True),
        (2, 3, "failed", "a 2", True),
        (3, 3, "completed", None, False),
    ]
    assert [a.duration for a in record.attempt_statistics] == pytest.approx([1.0, 1.0, 1.0])
    assert [a.task_name for a in record.attempt_statistics] == ["a"] * 3
    assert record.start_time == record.attempt_statistics[0].start_time
    assert record.end_time == record.attempt_statistics[-1].end_time


def test_the_summary_has_a_line_for_every_failed_attempt():
    report = clock.run(plan_of({"a": [], "b": ["a"]}).run(Failing(), retries=2))
    assert report.error_summary == [
        "Execution interrupted; task 'a' failed: a 3",
        "Task 'a' attempt 1/3 failed; retrying with 2 retries left: a 1",
        "Task 'a' attempt 2/3 failed; retrying with 1 retries left: a 2",
        "Task 'a' exhausted 2 retries after 3 attempts: a 3",
        "Task 'a' failed during execution: a 3",
    ]


def test_the_summary_of_a_run_that_succeeded_shows_its_retries():
    report = clock.run(ONE.run(Failing(1), retries=2))
    assert report.execution_state == "completed"
    assert report.error_summary == ["Task 'a' attempt 1/3 failed; retrying with 2 retries left: a 1"]


def test_the_exception_of_the_last_attempt_is_the_tasks():
    errors = []

    def body(name):
        errors.append(ValueError(len(errors)))
        raise errors[-1]

    report = clock.run(ONE.run(body, retries=2))
    assert report.record_of("a").exception is errors[2]


@pytest.mark.stress
def test_many_tasks_that_fail_and_are_tried_again_take_linear_time():
    def seconds(n):
        tried = set()

        def body(number):
            if number not in tried:
                tried.add(number)
                raise ValueError

        plan = TaskGraph.from_edges([(i, i + n) for i in range(n)]).plan()
        best = math.inf
        for _ in range(2):
            tried.clear()
            started = time.perf_counter()
            report = clock.run(plan.run(body, retries=RetryPolicy(delay=1.0), failure_policy="continue"))
            best = min(best, time.perf_counter() - started)
            assert report.successful_tasks == 2 * n
        return best

    small, large = seconds(5_000), seconds(50_000)
    assert large < 10.0 * small * 2.5
