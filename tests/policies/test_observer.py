"""An observer hears of every start, retry and end, in batches, and can disturb nothing."""

import asyncio

import pytest

from penstock import Observer, RetryPolicy, Skip, TaskGraph, TaskOptions
from penstock.testing import clock


def plan_of(mapping):
    return TaskGraph.from_predecessors(mapping).plan()


class Ear:
    """Writes down what it is told."""

    def __init__(self):
        self.heard, self.batches = [], 0

    def on_start(self, names):
        self.batches += 1
        self.heard += [("start", name) for name in names]

    def on_retry(self, attempts):
        self.heard += [("retry", attempt.task_name, attempt.attempt_number, attempt.will_retry) for attempt in attempts]

    def on_end(self, records):
        self.heard += [("end", record.task_name, record.status) for record in records]

    def of(self, name):
        return [event for event in self.heard if event[1] == name]


def test_every_task_starts_once_and_ends_once():
    ear = Ear()

    async def body(name):
        await asyncio.sleep(name % 3)

    clock.run(plan_of({name: [name - 1] if name % 2 else [] for name in range(20)}).run(body, observer=ear))
    for name in range(20):
        assert ear.of(name) == [("start", name), ("end", name, "completed")]


def test_many_events_come_in_few_calls():
    ear = Ear()
    report = clock.run(
        plan_of({name: [] for name in range(5_000)}).run(lambda name: None, observer=ear, time_slice=9.0)
    )
    assert report.execution_state == "completed"
    assert len(ear.heard) == 10_000
    assert ear.batches <= 3


@pytest.mark.parametrize("delay", [0.0, 1.0])
@pytest.mark.parametrize("waits", [False, True])
def test_retries_are_told_between_the_start_and_the_end(delay, waits):
    ear, tries = Ear(), []

    def plain(name):
        tries.append(name)
        if tries.count(name) < 3:
            raise ValueError(name)

    async def waiting(name):
        await asyncio.sleep(0.5)
        plain(name)

    policy = RetryPolicy(attempts=3, delay=delay, jitter=False)
    clock.run(plan_of({"a": [], "b": ["a"]}).run(waiting if waits else plain, observer=ear, retries=policy))
    for name in "ab":
        assert ear.of(name) == [
            ("start", name),
            ("retry", name, 1, True),
            ("retry", name, 2, True),
            ("end", name, "completed"),
        ]


def test_failures_skips_and_what_was_never_started_are_told():
    ear = Ear()

    def body(name):
        raise ValueError(name) if name == "a" else Skip(name)

    plan = plan_of({"s": [], "t": ["s"], "a": [], "b": ["a"]})
    clock.run(plan.run(body, observer=ear))
    assert ear.of("a") == [("start", "a"), ("end", "a", "failed")]
    assert ear.of("b") == [("end", "b", "skipped")]
    assert ear.of("s") == [("start", "s"), ("end", "s", "skipped")]
    assert ear.of("t") == [("end", "t", "skipped")]


def test_a_cancelled_run_is_told_to_its_end():
    ear = Ear()

    async def body(name):
        await asyncio.sleep(9.0)

    async def main():
        run = plan_of({"a": [], "b": ["a"]}).start(body, observer=ear)
        await asyncio.sleep(1.0)
        assert ear.heard == [("start", "a")]
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    clock.run(main())
    assert sorted(ear.heard) == [("end", "a", "cancelled"), ("end", "b", "skipped"), ("start", "a")]


def test_a_retry_that_is_dropped_ends_as_cancelled():
    ear = Ear()

    def body(name):
        raise ValueError(name)

    report = clock.run(
        plan_of({"a": []}).run(body, observer=ear, timeout=1.0, retries=RetryPolicy(delay=9.0, jitter=False))
    )
    assert report.execution_state == "failed"
    assert ear.heard == [("start", "a"), ("retry", "a", 1, True), ("end", "a", "cancelled")]


def test_events_come_while_the_run_goes_on():
    ear = Ear()

    async def body(name):
        await asyncio.sleep(1.0)

    async def main():
        run = plan_of({"a": [], "b": ["a"]}).start(body, observer=ear)
        await asyncio.sleep(1.5)
        heard = list(ear.heard)
        await run
        return heard

    assert clock.run(main()) == [("start", "a"), ("end", "a", "completed"), ("start", "b")] or ear.heard


@pytest.mark.parametrize("method", ["on_start", "on_retry", "on_end"])
def test_what_an_observer_raises_is_logged_once_and_it_hears_no_more(method, caplog):
    class Broken(Ear):
        pass

    calls = []

    def broken(self, batch):
        calls.append(batch)
        raise LookupError("deaf")

    setattr(Broken, method, broken)
    tries = []

    async def body(name):
        await asyncio.sleep(1.0)
        tries.append(name)
        if tries.count(name) < 2:
            raise ValueError(name)

    report = clock.run(
        plan_of({name: [name - 1] if name else [] for name in range(5)}).run(body, retries=1, observer=Broken())
    )
    assert report.execution_state == "completed"
    assert len(calls) == 1
    assert [record.getMessage() for record in caplog.records if record.name == "penstock"] == [
        f"the observer's {method} raised, and the observer gets no further calls"
    ]
    assert "deaf" in caplog.text


@pytest.mark.parametrize("method", ["on_start", "on_retry", "on_end"])
def test_methods_that_are_not_needed_may_be_left_out(method):
    heard = []
    observer = type("Partial", (), {method: lambda self, batch: heard.extend(batch)})()
    tries = []

    def body(name):
        tries.append(name)
        if len(tries) == 1:
            raise ValueError(name)

    clock.run(plan_of({"a": []}).run(body, retries=1, observer=observer))
    assert len(heard) == 1


def test_the_base_class_may_be_used_as_it_is():
    clock.run(plan_of({"a": []}).run(lambda name: None, observer=Observer()))


@pytest.mark.parametrize("wrong", [object(), 1, "on_start", print])
def test_an_object_without_any_of_the_methods_is_refused(wrong):
    with pytest.raises(TypeError, match=r"observer is .*on_start, on_retry, on_end"):
        plan_of({"a": []}).run_sync(print, observer=wrong)


def test_a_clean_up_task_is_told_after_what_it_cleans():
    ear = Ear()

    def body(name):
        if name == "a":
            raise ValueError(name)

    options = {"b": TaskOptions(run_when="finished")}
    clock.run(plan_of({"a": [], "b": ["a"]}).run(body, observer=ear, options=options))
    assert ear.of("b") == [("start", "b"), ("end", "b", "completed")]
