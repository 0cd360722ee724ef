"""Tail tasks are started and belong to the caller from then on; the run does not wait for them."""

import asyncio
from asyncio import CancelledError

import pytest

from penstock import DynamicScheduler, RetryPolicy, Skip, TaskOptions, TaskOrder, TaskTimeout
from penstock.testing import clock


class Scene:
    """Tasks a, b and the tail t: `t` after `a`, and perhaps something after `t`."""

    def __init__(self, tail, after=None, before=None, **options):
        self.log = []
        functions = {"a": before or self.note("a"), "b": self.note("b"), "t": tail}
        a = TaskOrder("a", [])
        t = TaskOrder("t", [a])
        orders = [a, TaskOrder("b", [a]), t]
        if after is not None:
            functions["z"] = after
            orders.append(TaskOrder("z", [t]))
        self.scheduler = DynamicScheduler(list(functions.items()), orders, ignore_tail_task=["t"], **options)

    def note(self, name):
        async def body():
            await asyncio.sleep(1.0)
            self.log.append((name, asyncio.get_running_loop().time()))
            return name

        return body


def test_the_run_does_not_wait_for_a_tail_task():
    async def tail():
        await asyncio.sleep(9.0)
        return "late"

    async def main():
        report = await Scene(tail).scheduler.execute()
        ended = asyncio.get_running_loop().time()
        task = report.tail_tasks["t"]
        assert not task.done()
        return report, ended, await task, asyncio.get_running_loop().time()

    report, ended, value, late = clock.run(main())
    assert (ended, value, late) == (2.0, "late", 10.0)
    assert report.execution_state == "completed"
    assert report.record_of("t").status == "detached"
    assert (report.detached_tasks, report.successful_tasks) == (1, 2)
    assert "t" not in report.results
    assert report.record_of("t").attempt_count == 0


def test_a_plain_function_may_be_a_tail_task():
    async def main():
        report = await Scene(lambda: "done").scheduler.execute()
        return await report.tail_tasks["t"]

    assert clock.run(main()) == "done"


def test_a_tail_task_that_fails_fails_nobody_else():
    async def tail():
        raise ValueError("alone")

    async def main():
        report = await Scene(tail).scheduler.execute()
        with pytest.raises(ValueError, match="alone"):
            await report.tail_tasks["t"]
        return report

    report = clock.run(main())
    assert report.execution_state == "completed"
    assert report.error_summary == []


def test_a_tail_task_that_others_depend_on_is_awaited_and_shown():
    async def tail():
        await asyncio.sleep(5.0)
        return "value"

    async def main():
        report = await Scene(tail, after=lambda: "z").scheduler.execute()
        return report, report.tail_tasks["t"].done()

    report, done = clock.run(main())
    assert done
    assert report.results == {"a": "a", "b": "b", "t": "value", "z": "z"}
    assert report.execution_duration == pytest.approx(6.0)


def test_a_tail_task_below_a_failure_is_skipped():
    def broken():
        raise ValueError("no")

    async def main():
        return await Scene(lambda: None, before=broken).scheduler.execute()

    report = clock.run(main())
    assert report.record_of("t").status == "skipped"
    assert report.tail_tasks == {}


def test_retries_time_outs_and_the_context_hold_for_tail_tasks_too():
    tries, inside, semaphores = [], [], []

    async def tail():
        tries.append(asyncio.get_running_loop().time())
        inside.append(semaphores[0]._value)
        await asyncio.sleep(9.0 if len(tries) == 1 else 0.5)
        if len(tries) == 2:
            raise ValueError("again")
        return len(tries)

    async def main():
        semaphores.append(semaphore := asyncio.Semaphore(5))
        options = {"t": TaskOptions(timeout=3.0, retries=RetryPolicy(delay=1.0, backoff=1.0, jitter=False))}
        report = await Scene(tail, options=options, concurrency_context=semaphore).scheduler.execute()
        value = await report.tail_tasks["t"]
        return value, semaphore._value

    assert clock.run(main()) == (3, 5)
    assert tries == [1.0, 5.0, 6.5]
    assert all(value < 5 for value in inside)


def test_a_tail_task_that_takes_too_long_raises_a_time_out():
    async def tail():
        await asyncio.sleep(9.0)

    async def main():
        report = await Scene(tail, task_timeout=3.0).scheduler.execute()
        with pytest.raises(TimeoutError) as caught:
            await report.tail_tasks["t"]
        return caught.value

    assert isinstance(clock.run(main()), TaskTimeout)


def test_a_tail_task_that_skips_is_not_tried_again():
    tries = []

    def tail():
        tries.append(1)
        raise Skip("nothing to do")

    async def main():
        report = await Scene(tail, retries=3).scheduler.execute()
        assert await report.tail_tasks["t"] is None

    clock.run(main())
    assert tries == [1]


@pytest.mark.parametrize("after", [1.5, 5.0])
def test_cancelling_the_execution_cancels_its_tail_tasks_unless_it_has_ended(after):
    async def tail():
        await asyncio.sleep(9.0)

    async def main():
        scheduler = Scene(tail).scheduler
        execution = asyncio.ensure_future(scheduler.execute())
        await asyncio.sleep(after)
        execution.cancel()
        if after < 2.0:
            with pytest.raises(CancelledError):
                await execution
        task = scheduler.last_report.tail_tasks["t"]
        return (await asyncio.gather(task, return_exceptions=True))[0]

    result = clock.run(main())
    assert isinstance(result, CancelledError) == (after < 2.0)


def test_unknown_tail_tasks_are_ignored():
    report = DynamicScheduler([("a", lambda: 1)], [TaskOrder("a", [])], ignore_tail_task=["nobody"]).execute_sync()
    assert report.results == {"a": 1}
