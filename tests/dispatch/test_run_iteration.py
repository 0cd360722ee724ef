"""Reading the records of a run while it goes on."""

from __future__ import annotations

import asyncio

import pytest

from penstock import TaskGraph
from penstock.testing import shapes

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


async def names_of(run):
    return [record.task_name async for record in run]


async def sleeping(name):
    await asyncio.sleep(0)


def plan_of(graph):
    return TaskGraph.from_predecessors(graph).plan()


@pytest.mark.parametrize("body", [sleeping, lambda name: name], ids=["suspending", "plain"])
@pytest.mark.parametrize("time_slice", [0.005, 1e-9])
def test_every_record_comes_once_in_the_order_of_ending(on_loop, body, time_slice):
    async def main():
        run = plan_of(shapes.layered(300)).start(body, time_slice=time_slice)
        names = await names_of(run)
        report = await run
        assert names == report.completion_order
        assert len(set(names)) == 300

    on_loop(main())


def test_a_record_comes_while_later_tasks_are_still_running(on_loop):
    async def main():
        gate = asyncio.get_running_loop().create_future()

        async def body(name):
            if name == "d":
                await gate

        run = plan_of(DIAMOND).start(body)
        names = []
        async for record in run:
            assert record.status == "completed"
            names.append(record.task_name)
            if len(names) == 3:
                assert run.counts()["running"] == 1
                gate.set_result(None)
        assert names == ["a", "b", "c", "d"]

    on_loop(main())


@pytest.mark.parametrize("policy", ["stop", "continue"])
def test_failed_and_skipped_tasks_come_too(on_loop, policy):
    async def main():
        async def body(name):
            await asyncio.sleep(0)
            if name == "b":
                raise ValueError

        run = plan_of(DIAMOND).start(body, failure_policy=policy)
        records = [record async for record in run]
        assert {record.task_name: record.status for record in records} == {
            "a": "completed", "b": "failed", "c": "cancelled" if policy == "stop" else "completed", "d": "skipped"
        }  # fmt: skip
        assert [record.task_name for record in records] == (await run).completion_order

    on_loop(main())


def test_leaving_early_does_not_disturb_the_run(on_loop):
    async def main():
        run = plan_of(shapes.layered(100)).start(sleeping)
        async for record in run:
            assert record.status == "completed"
            break
        assert (await run).successful_tasks == 100
        # And one may come back: everything is told again from the start.
        assert len(await names_of(run)) == 100

    on_loop(main())


def test_several_may_read_at_once_and_somebody_await_the_run(on_loop):
    async def main():
        run = plan_of(shapes.layered(200)).start(sleeping, time_slice=1e-9)

        async def wait():
            return await run

        first, second, report = await asyncio.gather(names_of(run), names_of(run), wait())
        assert first == second == report.completion_order

    on_loop(main())


def test_a_slow_reader_misses_nothing(on_loop):
    async def main():
        run = plan_of(shapes.layered(50)).start(sleeping)
        names = []
        async for record in run:
            names.append(record.task_name)
            for _ in range(5):
                await asyncio.sleep(0)
        assert names == (await run).completion_order

    on_loop(main())


def test_a_cancelled_reader_does_not_disturb_the_run(on_loop):
    async def main():
        gate = asyncio.get_running_loop().create_future()

        async def body(name):
            await gate

        run = plan_of(DIAMOND).start(body)
        reader = asyncio.create_task(names_of(run))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        reader.cancel()
        await asyncio.wait([reader])
        assert reader.cancelled()
        gate.set_result(None)
        assert (await run).successful_tasks == 4

    on_loop(main())


def test_reading_a_cancelled_run_ends_with_its_last_record(on_loop):
    async def main():
        async def body(name):
            await asyncio.get_running_loop().create_future()

        run = plan_of(DIAMOND).start(body)
        reader = asyncio.create_task(names_of(run))
        await asyncio.sleep(0)
        run.cancel()
        assert sorted(await reader) == list("abcd")
        with pytest.raises(asyncio.CancelledError):
            await run

    on_loop(main())


def test_a_reader_may_cancel_the_run(on_loop):
    async def main():
        run = plan_of(shapes.chain(100)).start(sleeping)
        statuses = []
        async for record in run:
            statuses.append(record.status)
            run.cancel()
        assert len(statuses) == 100
        assert set(statuses) <= {"completed", "cancelled", "skipped"}
        assert "skipped" in statuses
        with pytest.raises(asyncio.CancelledError):
            await run

    on_loop(main())


def test_an_empty_run_has_no_records(on_loop):
    async def main():
        run = plan_of({}).start(sleeping)
        assert await names_of(run) == []
        assert (await run).execution_state == "completed"

    on_loop(main())


def test_the_order_of_ending_can_be_read_from_any_place_on(on_asyncio):
    """So that a reader need not go through all the records again after each slice."""

    async def main():
        run = plan_of(shapes.layered(30)).start(sleeping)
        await run
        order = run._core.completion_order
        for seen in (0, 1, 29, 30, 35):
            assert run._core.ended_since(seen) == order[seen:]
        with pytest.raises(ValueError, match="seen"):
            run._core.ended_since(-1)

    on_asyncio(main())
