"""How many tasks run at once, which of them come first, and what they hold while they run."""

import asyncio
import itertools
from asyncio import CancelledError
from random import Random

import pytest

from penstock import RetryPolicy, Skip, TaskGraph, TaskOptions
from penstock.testing import clock, shapes


def plan_of(mapping):
    return TaskGraph.from_predecessors(mapping).plan()


def apart(names):
    return plan_of({name: [] for name in names})


def statuses(report):
    return {record.task_name: record.status for record in report.task_statistics}


class Watching:
    """Bodies that take a second, or their own time, and note who is running with them."""

    def __init__(self, **seconds):
        self.seconds, self.inside, self.most, self.order = seconds, [], 0, []

    async def __call__(self, name):
        self.order.append(name)
        self.inside.append(name)
        self.most = max(self.most, len(self.inside))
        try:
            await asyncio.sleep(self.seconds.get(name, 1.0))
        finally:
            self.inside.remove(name)
        return asyncio.get_running_loop().time()


# -- max_concurrency --------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2, 3, 7, 100])
def test_never_more_tasks_than_allowed_run_at_once_and_never_fewer_than_possible(most):
    body = Watching()
    report = clock.run(apart(range(7)).run(body, max_concurrency=most))
    assert body.most == min(most, 7)
    assert body.order == list(range(7))
    assert report.execution_duration == pytest.approx(-(-7 // most))


def test_the_limit_holds_while_bodies_fail_cancel_themselves_and_are_cancelled():
    random = Random(5)
    body = Watching()

    async def odd(name):
        await body(name)
        match random.randrange(6):
            case 0:
                raise ValueError(name)
            case 1:
                raise CancelledError
            case 2:
                raise Skip
            case 3:
                asyncio.current_task().cancel()
                await asyncio.sleep(1.0)

    plan = plan_of(shapes.random_dag(200, 0.01, 3))
    report = clock.run(plan.run(odd, max_concurrency=3, failure_policy="continue", retries=1))
    assert body.most == 3
    assert body.inside == []
    assert sum((report.successful_tasks, report.failed_tasks, report.cancelled_tasks, report.skipped_tasks)) == 200


def test_nothing_queued_starts_after_a_failure():
    body = Watching()

    async def failing(name):
        await body(name)
        if name == 1:
            raise ValueError(name)

    report = clock.run(apart(range(9)).run(failing, max_concurrency=2))
    assert body.order == [0, 1, 2] or body.order == [0, 1]
    assert report.failed_tasks == 1


# -- named limits -----------------------------------------------------------------------------------------


def test_a_limit_holds_for_those_that_use_it_only():
    body = Watching()
    options = {name: TaskOptions(uses=["db"]) for name in range(4)}
    report = clock.run(apart(range(8)).run(body, limits={"db": 2}, options=options))
    ends = [report.results[name] for name in range(8)]
    assert ends == [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0]


def test_a_task_may_use_several_limits():
    body = Watching()
    uses = {"a": ("db",), "b": ("api",), "c": ("db", "api"), "d": ("db",), "e": ("api", "db", "db")}
    options = {name: TaskOptions(uses=used) for name, used in uses.items()}
    report = clock.run(apart("abcde").run(body, limits={"db": 1, "api": 1}, options=options))
    assert report.execution_state == "completed"
    ends = report.results
    for limit in ("db", "api"):
        users = [ends[name] for name in "abcde" if limit in uses[name]]
        assert len(set(users)) == len(users), f"two tasks used {limit} at once"


def test_who_waits_for_several_limits_is_not_passed_by_for_ever():
    """The one that needs both waits behind those before it, and is not the last of all."""
    body = Watching()
    names = [*(f"a{i}" for i in range(20)), "both", *(f"b{i}" for i in range(20))]
    options = {name: TaskOptions(uses=("db",) if name[0] == "a" else ("api",)) for name in names}
    options["both"] = TaskOptions(uses=("db", "api"))
    report = clock.run(apart(names).run(body, limits={"db": 1, "api": 1}, options=options))
    assert report.execution_state == "completed"
    assert body.most == 2


def test_limits_of_chains_that_compete_are_given_in_turn():
    plan = plan_of({f"{chain}{i}": [f"{chain}{i - 1}"] if i else [] for chain in "xyz" for i in range(10)})
    body = Watching()
    options = {name: TaskOptions(uses=("db",)) for name in plan.names}
    clock.run(plan.run(body, limits={"db": 1}, options=options))
    assert body.most == 1
    assert [name[0] for name in body.order] == list("xyz" * 10)


def test_random_uses_of_random_limits_end_and_never_exceed():
    for seed in range(20):
        random = Random(seed)
        limits = {limit: random.randint(1, 3) for limit in "pqrs"}
        plan = plan_of(shapes.random_dag(60, 0.03, seed))
        used = {name: random.sample("pqrs", random.randint(0, 3)) for name in plan.names}
        live, seen = [], []

        async def body(name, live=live, seen=seen, used=used, limits=limits, random=random):
            live.append(name)
            seen.append(all(sum(limit in used[other] for other in live) <= limits[limit] for limit in "pqrs"))
            try:
                await asyncio.sleep(random.random())
            finally:
                live.remove(name)
            if random.random() < 0.1:
                raise ValueError(name)

        options = {name: TaskOptions(uses=used[name]) for name in plan.names}
        most = random.choice((None, 2))
        clock.run(plan.run(body, limits=limits, options=options, failure_policy="continue", max_concurrency=most))
        assert all(seen)


@pytest.mark.parametrize(
    ("limits", "hint"),
    [({"database": 1}, "did you mean database?"), ({}, "give it in limits"), (None, "give it in limits")],
)
def test_a_limit_that_the_run_does_not_have_is_refused_with_a_hint(limits, hint):
    with pytest.raises(ValueError, match=r"task a uses the limit 'databse'") as caught:
        apart("a").run_sync(print, limits=limits, options={"a": TaskOptions(uses=("databse",))})
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        ({"db": 0}, ValueError),
        ({"db": -1}, ValueError),
        ({"db": 1.5}, TypeError),
        ({"db": True}, TypeError),
        ([("db", 1)], TypeError),
    ],
)
def test_limits_that_make_no_sense_are_refused(limits, error):
    with pytest.raises(error, match="limits"):
        apart("a").run_sync(print, limits=limits)


def test_the_text_of_a_limit_is_no_tuple_of_limits():
    with pytest.raises(TypeError, match="put the name of the limit into a tuple"):
        TaskOptions(uses="db")


@pytest.mark.parametrize("uses", [(7,), 5, [[]], None])
def test_limits_that_are_no_names_are_refused(uses):
    with pytest.raises(TypeError, match="give the names of limits"):
        TaskOptions(uses=uses)


# -- priorities -------------------------------------------------------------------------------------------


def test_larger_priorities_start_first_and_equal_ones_in_order():
    body = Watching()
    priorities = {"b": 1.0, "d": 2, "e": -1.0, "f": 1.0}
    options = {name: TaskOptions(priority=priority) for name, priority in priorities.items()}
    clock.run(apart("abcdefg").run(body, max_concurrency=1, options=options))
    assert body.order == ["d", "b", "f", "a", "c", "g", "e"]


def test_a_ready_task_with_priority_overtakes_those_that_wait():
    body = Watching()
    plan = plan_of({"a": [], "b": [], "c": [], "urgent": ["a"]})
    clock.run(plan.run(body, max_concurrency=1, options={"urgent": TaskOptions(priority=5.0)}))
    assert body.order == ["a", "urgent", "b", "c"]


@pytest.mark.parametrize(
    ("value", "error"), [(float("nan"), ValueError), (float("inf"), ValueError), ("1", TypeError), (True, TypeError)]
)
def test_a_priority_that_makes_no_sense_is_refused(value, error):
    with pytest.raises(error, match="priority"):
        TaskOptions(priority=value)


# -- barriers ---------------------------------------------------------------------------------------------


WAVES = plan_of({"a": [], "b": [], "c": ["a"], "d": ["b"], "e": ["c", "d"], "f": ["c"]})


def test_a_stage_begins_when_all_before_it_have_ended():
    body = Watching(a=1.0, b=5.0)
    report = clock.run(WAVES.run(body, stage_barriers=True))
    starts = {r.task_name: round(r.start_time - report.total_start_time, 6) for r in report.task_statistics}
    assert starts == {"a": 0.0, "b": 0.0, "c": 5.0, "d": 5.0, "e": 6.0, "f": 6.0}


@pytest.mark.parametrize("end", [ValueError, Skip, CancelledError])
def test_a_barrier_opens_when_a_stage_ends_in_failures_and_skips(end):
    async def body(name):
        await asyncio.sleep(1.0 if name != "b" else 5.0)
        if name == "a":
            raise end(name)
        return asyncio.get_running_loop().time()

    report = clock.run(WAVES.run(body, stage_barriers=True, failure_policy="continue"))
    assert statuses(report)["c"] == statuses(report)["e"] == statuses(report)["f"] == "skipped"
    assert report.results == {"b": 5.0, "d": 6.0}


def test_a_barrier_waits_for_retries():
    tried = []

    async def body(name):
        tried.append(name)
        if name == "a" and tried.count("a") < 3:
            raise ValueError(name)
        return asyncio.get_running_loop().time()

    report = clock.run(WAVES.run(body, stage_barriers=True, retries=RetryPolicy(delay=1.0, jitter=False)))
    assert report.results["d"] == 3.0


def test_random_runs_with_barriers_end():
    for seed in range(20):
        random = Random(seed)
        plan = plan_of(shapes.random_dag(40, 0.05, seed))

        async def body(name, random=random):
            await asyncio.sleep(random.random())
            if random.random() < 0.2:
                raise random.choice((ValueError, Skip, CancelledError))(name)

        report = clock.run(plan.run(body, stage_barriers=True, failure_policy="continue", max_concurrency=4))
        assert sorted(report.completion_order) == sorted(plan.names)


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_a_switch_is_true_or_false(value):
    with pytest.raises(TypeError, match="stage_barriers"):
        apart("a").run_sync(print, stage_barriers=value)


# -- the context ------------------------------------------------------------------------------------------


class Manager:
    """Notes what happens; may raise or suppress."""

    def __init__(self, places=9, enter=None, leave=None, suppresses=False):
        self.semaphore, self.enter, self.leave = asyncio.Semaphore(places), enter, leave
        self.suppresses, self.log = suppresses, []

    async def __aenter__(self):
        await self.semaphore.acquire()
        if self.enter is not None:
            self.semaphore.release()
            raise self.enter
        self.log.append("in")

    async def __aexit__(self, kind, error, traceback):
        self.log.append(None if kind is None else kind.__name__)
        self.semaphore.release()
        await asyncio.sleep(0.5)
        if self.leave is not None:
            raise self.leave
        return self.suppresses


def play(body, names="a", *, manager=None, places=9, **options):
    """Run in a context; return the report and the manager, which must have all its places again."""

    async def main():
        made = Manager(places, **(manager or {}))
        report = await apart(names).run(body, concurrency_context=made, **options)
        assert made.semaphore._value == places
        return report, made

    return clock.run(main())


def test_a_semaphore_limits_and_is_left_as_it_was():
    async def main():
        semaphore, body = asyncio.Semaphore(2), Watching()
        report = await apart(range(6)).run(body, concurrency_context=semaphore)
        return semaphore._value, body.most, report.execution_duration

    assert clock.run(main()) == (2, 2, pytest.approx(3.0))


def test_one_semaphore_may_be_shared_by_runs():
    async def main():
        semaphore, body = asyncio.Semaphore(2), Watching()
        await asyncio.gather(*(apart(range(4)).run(body, concurrency_context=semaphore) for _ in range(3)))
        return semaphore._value, body.most

    assert clock.run(main()) == (2, 2)


@pytest.mark.parametrize("sync", [False, True])
def test_the_context_is_entered_once_for_all_attempts(sync):
    tried = []

    def plain(name):
        tried.append(name)
        if len(tried) < 4:
            raise ValueError(len(tried))

    async def waiting(name):
        await asyncio.sleep(1.0)
        plain(name)

    report, manager = play(plain if sync else waiting, retries=4)
    assert manager.log == ["in", None]
    record = report.record_of("a")
    assert record.attempt_count == 4
    # The last one ends when the context is left, which takes half a second.
    body = 0.0 if sync else 1.0
    assert [attempt.duration for attempt in record.attempt_statistics] == pytest.approx([body] * 3 + [body + 0.5])
    assert len(report.error_summary) == 3


def test_time_limits_are_for_each_attempt_inside_the_context():
    tried = []

    async def body(name):
        tried.append(asyncio.get_running_loop().time())
        await asyncio.sleep(9.0 if len(tried) < 3 else 1.0)
        return asyncio.current_task().cancelling()

    report, manager = play(body, retries=4, task_timeout=2.0)
    assert manager.log == ["in", None]
    assert (report.results["a"], report.record_of("a").attempt_count) == (0, 3)
    assert [after - before for before, after in itertools.pairwise(tried)] == pytest.approx([2.0, 2.0])


def test_an_observer_hears_of_attempts_inside_the_context():
    heard = []

    class Listener:
        def on_start(self, names):
            heard.append(("start", names))

        def on_retry(self, attempts):
            heard.append(("retry", [attempt.attempt_number for attempt in attempts]))

    def body(name):
        if len(heard) < 1 and not tried:
            tried.append(name)
            raise ValueError(name)

    tried = []
    play(body, retries=1, observer=Listener())
    assert heard == [("start", ["a"]), ("retry", [1])]


def test_the_context_is_left_while_a_retry_waits():
    tried = []

    async def body(name):
        tried.append((name, asyncio.get_running_loop().time()))
        if len(tried) == 1:
            raise ValueError(name)

    play(body, "ab", places=1, retries=RetryPolicy(delay=3.0, jitter=False))
    assert [name for name, _ in tried] == ["a", "b", "a"]
    assert tried[1][1] < 3.0 <= tried[2][1]


@pytest.mark.parametrize(
    ("end", "seen"),
    [
        (ValueError("no"), "ValueError"),
        (Skip("no"), "Skip"),
        (CancelledError(), "CancelledError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
@pytest.mark.parametrize("retries", [0, 1])
def test_the_context_is_left_however_the_body_ends(end, seen, retries):
    async def body(name):
        await asyncio.sleep(1.0)
        raise end

    async def main():
        manager = Manager(1)
        try:
            await apart("a").run(body, concurrency_context=manager, retries=retries)
        except KeyboardInterrupt:
            assert seen == "KeyboardInterrupt"
        return manager.log, manager.semaphore._value

    assert clock.run(main()) == (["in", seen], 1)


def test_one_that_is_cancelled_while_it_waits_for_the_context_was_never_started():
    async def main():
        semaphore, body = asyncio.Semaphore(1), Watching()
        run = apart("ab").start(body, concurrency_context=semaphore)
        await asyncio.sleep(0.5)
        run.cancel()
        with pytest.raises(CancelledError):
            await run
        return run.report(), body.order, semaphore._value

    report, order, value = clock.run(main())
    assert statuses(report) == {"a": "cancelled", "b": "skipped"}
    assert (order, value) == (["a"], 1)
    assert report.record_of("b").start_time is None
    assert report.record_of("b").attempt_count == 0


def test_the_context_is_left_after_a_time_out():
    report, manager = play(Watching(a=9.0), task_timeout=1.0)
    assert manager.log == ["in", "CancelledError"]
    assert statuses(report) == {"a": "failed"}


def test_one_that_waits_for_its_retry_at_a_stop_has_left_the_context():
    async def main():
        manager = Manager(1)

        def body(name):
            raise ValueError(name)

        run = apart("a").start(body, concurrency_context=manager, retries=RetryPolicy(delay=9.0, jitter=False))
        await asyncio.sleep(1.0)
        run.cancel()
        with pytest.raises(CancelledError):
            await run
        return run.report(), manager

    report, manager = clock.run(main())
    assert manager.log == ["in", "ValueError"]
    assert manager.semaphore._value == 1
    assert statuses(report) == {"a": "cancelled"}
    assert report.execution_duration == pytest.approx(1.0)


def test_a_context_that_cannot_be_entered_fails_the_task():
    error = OSError("closed")
    body = Watching()
    report, manager = play(body, manager={"enter": error})
    assert report.record_of("a").exception is error
    assert (body.order, manager.log) == ([], [])


def test_a_context_that_cannot_be_left_fails_the_task():
    error = OSError("stuck")
    report, manager = play(Watching(), manager={"leave": error})
    assert report.record_of("a").exception is error
    assert manager.log == ["in", None]


def test_a_context_that_raises_for_a_body_that_raised_is_the_failure():
    error = OSError("stuck")

    def body(name):
        raise ValueError(name)

    report, _ = play(body, manager={"leave": error})
    assert report.record_of("a").exception is error
    assert isinstance(error.__context__, ValueError)


def test_a_context_may_suppress_what_the_body_raised():
    def body(name):
        raise ValueError(name)

    report, manager = play(body, manager={"suppresses": True})
    assert statuses(report) == {"a": "completed"}
    assert report.results == {"a": None}
    assert manager.log == ["in", "ValueError"]


@pytest.mark.parametrize("limit", ["max_concurrency", "limits"])
def test_a_retry_that_holds_the_context_is_not_kept_out_by_those_that_wait_for_it(limit):
    tried = []

    def body(name):
        tried.append(name)
        if len(tried) == 1:
            raise ValueError(name)

    async def main():
        options = {"max_concurrency": 1}
        if limit == "limits":
            options = {"limits": {"db": 1}, "options": {name: TaskOptions(uses=("db",)) for name in "ab"}}
        policy = RetryPolicy(delay=1.0, jitter=False)
        async with asyncio.timeout(60.0):
            return await apart("ab").run(body, concurrency_context=asyncio.Semaphore(1), retries=policy, **options)

    assert clock.run(main()).execution_state == "completed"


@pytest.mark.parametrize("wrong", [1, "semaphore", asyncio.Semaphore, object()])
def test_what_is_no_context_manager_is_refused(wrong):
    with pytest.raises(TypeError, match="concurrency_context"):
        apart("a").run_sync(print, concurrency_context=wrong)


def test_one_that_waits_for_the_context_to_be_tried_again_was_tried():
    async def main():
        async def body(name):
            if name == "a":
                raise ValueError(name)
            await asyncio.sleep(10.0)

        policy = RetryPolicy(delay=1.0, jitter=False)
        run = apart("ab").start(body, concurrency_context=asyncio.Semaphore(1), retries=policy)
        await asyncio.sleep(2.0)
        run.cancel()
        with pytest.raises(CancelledError):
            await run
        return run.report()

    report = clock.run(main())
    record = report.record_of("a")
    assert (record.status, record.attempt_count) == ("cancelled", 1)
    assert [attempt.will_retry for attempt in record.attempt_statistics] == [False]
