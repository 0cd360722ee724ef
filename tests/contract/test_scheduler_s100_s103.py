"""Tail tasks: S100 to S103."""

import asyncio
import gc

import pytest
from static_scheduler import failing, scheduler, sleeper, statuses

from penstock.testing import clock


def test_s100_a_tail_task_is_not_awaited():
    async def main():
        made = scheduler(
            {"a": [], "tail": ["a"]}, {"a": sleeper(1.0), "tail": sleeper(5.0, "v")}, ignore_tail_task=["tail"]
        )
        report = await made.execute()
        loop = asyncio.get_running_loop()
        assert loop.time() == 1.0
        assert list(report.tail_tasks) == ["tail"]
        task = report.tail_tasks["tail"]
        assert asyncio.isfuture(task)
        assert not task.done()
        assert (await task, loop.time()) == ("v", 6.0)
        return report

    report = clock.run(main())
    assert report.execution_duration == 1.0
    record = report.record_of("tail")
    assert (record.status, record.attempt_count) == ("detached", 0)


def test_s100_it_is_a_live_task(on_loop):
    async def tail():
        task = asyncio.current_task()
        await asyncio.sleep(0)
        return task

    async def main():
        report = await scheduler({"t": []}, {"t": tail}, ignore_tail_task=["t"]).execute()
        task = report.tail_tasks["t"]
        assert task in asyncio.all_tasks()
        assert await task is task
        return report

    assert on_loop(main()).execution_state == "completed"


def test_s100_a_plain_function_may_be_one(on_loop):
    async def main():
        report = await scheduler({"t": []}, {"t": lambda: "v"}, ignore_tail_task=["t"]).execute()
        assert await report.tail_tasks["t"] == "v"
        return report

    assert on_loop(main()).record_of("t").status == "detached"


def test_s101_it_is_in_no_count_but_the_total():
    async def main():
        made = scheduler({"a": [], "t": []}, {"a": int, "t": sleeper(1.0)}, ignore_tail_task=["t"])
        report = await made.execute()
        await report.tail_tasks["t"]
        return report

    report = clock.run(main())
    counts = report.successful_tasks, report.failed_tasks, report.cancelled_tasks, report.skipped_tasks
    assert (report.total_tasks, counts) == (2, (1, 0, 0, 0))
    assert statuses(report) == {"a": "completed", "t": "detached"}
    assert report.get_average_task_duration() == 0.0
    assert report.get_longest_task().task_name == "a"


def test_s101_one_that_others_depend_on_is_awaited_and_recorded():
    async def main():
        graph = {"t": [], "after": ["t"]}
        made = scheduler(graph, {"t": sleeper(2.0, "v"), "after": sleeper(1.0)}, ignore_tail_task=["t"])
        report = await made.execute()
        return report, report.tail_tasks["t"].done(), await report.tail_tasks["t"]

    report, done, value = clock.run(main())
    assert report.execution_duration == 3.0
    assert statuses(report) == {"t": "completed", "after": "completed"}
    assert report.successful_tasks == 2
    assert (done, value, report.results["t"]) == (True, "v", "v")


def test_s102_it_is_not_cancelled_when_the_run_fails():
    async def main():
        made = scheduler({"t": [], "bad": []}, {"t": sleeper(5.0, "v"), "bad": failing(1.0)}, ignore_tail_task=["t"])
        report = await made.execute()
        return report, await report.tail_tasks["t"]

    report, value = clock.run(main())
    assert (report.execution_state, report.execution_duration, value) == ("failed", 1.0, "v")
    assert statuses(report) == {"t": "detached", "bad": "failed"}


def test_s102_its_exception_is_the_callers_to_retrieve():
    async def main():
        made = scheduler({"t": []}, {"t": failing(1.0)}, ignore_tail_task=["t"])
        report = await made.execute()
        with pytest.raises(ValueError, match="no"):
            await report.tail_tasks["t"]
        return report

    report = clock.run(main())
    assert (report.execution_state, report.error_summary) == ("completed", [])


def test_s102_otherwise_it_is_logged(asyncio_errors):
    async def main():
        made = scheduler({"t": []}, {"t": failing(1.0, ValueError)}, ignore_tail_task=["t"])
        await made.execute()
        await asyncio.sleep(2.0)

    clock.run(main())
    gc.collect()
    assert [message.splitlines()[0] for message in asyncio_errors] == ["Task exception was never retrieved"]
    asyncio_errors.clear()


def test_s102_cancelling_the_run_from_outside_cancels_it():
    async def main():
        made = scheduler({"t": [], "a": []}, {"t": sleeper(9.0), "a": sleeper(9.0)}, ignore_tail_task=["t"])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(made.execute(), 1.0)
        task = made.last_report.tail_tasks["t"]
        with pytest.raises(asyncio.CancelledError):
            await task
        return asyncio.get_running_loop().time()

    assert clock.run(main()) == 1.0


def test_s103_its_value_is_read_from_the_live_task():
    async def main():
        made = scheduler({"a": [], "t": []}, {"a": int, "t": sleeper(1.0, "v")}, ignore_tail_task=["t"])
        report = await made.execute()
        before = dict(report.task_return_set)
        value = await report.tail_tasks["t"]
        return before, value, dict(report.task_return_set), dict(made.task_return_set)

    assert clock.run(main()) == ({"a": 0}, "v", {"a": 0}, {"a": 0})


def test_s103_names_that_are_no_task_are_ignored(on_loop):
    report = on_loop(scheduler({"a": []}, {"a": int}, ignore_tail_task=["nobody"]).execute())
    assert (report.execution_state, report.tail_tasks) == ("completed", {})
