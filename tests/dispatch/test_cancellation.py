"""A run may be cancelled at any moment: count the turns of the loop that it takes, then cancel at each of them."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from penstock import TaskGraph

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
PLAN = TaskGraph.from_predecessors(DIAMOND).plan()


# -- what is cancelled -----------------------------------------------------------------------------------


async def sleeping(name):
    for _ in range(3):
        await asyncio.sleep(0)


async def cleaning_up(name):
    try:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    finally:
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def waiting_for_a_callback(name):
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: future.done() or future.set_result(None))
    await future
    async with asyncio.timeout(60):
        await asyncio.sleep(0)


async def in_a_task_group(name):
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0))
        group.create_task(sleeping(name))


async def running_a_run(name):
    await PLAN.run(sleeping)


async def refusing_once(name):
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        await asyncio.sleep(0)
        return
    await asyncio.sleep(0)


def mixed(name):
    return sleeping(name) if name in "bd" else None


BODIES = [sleeping, cleaning_up, waiting_for_a_callback, in_a_task_group, running_a_run, refusing_once, mixed]


@pytest.fixture(params=BODIES, ids=lambda body: body.__name__)
def body(request):
    return request.param


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


async def count_turns(start):
    task = start()
    count = 0
    while not task.done():
        await asyncio.sleep(0)
        count += 1
    await task
    return count


def nothing_is_left():
    # Children of a cancelled group may have a callback to go; the run's own bodies may not.
    assert asyncio.all_tasks() == {asyncio.current_task()}


# -- from outside ----------------------------------------------------------------------------------------


async def awaiting_a_started_run(body):
    run = PLAN.start(body)
    return await run


AWAITING = {"run": lambda body: PLAN.run(body), "start": awaiting_a_started_run,
            "limited": lambda body: PLAN.run(body, max_concurrency=1),
            "sliced": lambda body: PLAN.run(body, time_slice=1e-9)}  # fmt: skip


@pytest.mark.parametrize("awaiting", AWAITING.values(), ids=AWAITING.keys())
def test_cancelling_the_caller_at_any_turn_cancels_the_run_and_reaches_the_caller(on_loop, awaiting, body):
    async def main():
        def start():
            return asyncio.get_running_loop().create_task(awaiting(body))

        cancelled = 0
        # A few turns beyond the end, where cancelling has to come too late.
        for k in range(await count_turns(start) + 2):
            caller = start()
            await turns(k)
            accepted = caller.cancel("outside")
            await asyncio.wait([caller])
            assert caller.cancelled() is accepted, f"cancelled after {k} turns"
            cancelled += accepted
            nothing_is_left()
        assert cancelled >= 3

    on_loop(main())


def test_cancelling_the_caller_twice_changes_nothing(on_loop, body):
    async def main():
        def start():
            return asyncio.get_running_loop().create_task(PLAN.run(body))

        for k in range(await count_turns(start)):
            caller = start()
            await turns(k)
            accepted = caller.cancel()
            await asyncio.sleep(0)
            caller.cancel()
            await asyncio.wait([caller])
            assert caller.cancelled() is accepted
            nothing_is_left()

    on_loop(main())


def test_a_time_out_around_the_run_at_any_turn_is_a_time_out(on_loop, body):
    async def main():
        loop = asyncio.get_running_loop()
        count = await count_turns(lambda: loop.create_task(PLAN.run(body)))
        for k in range(count):

            async def caller(k=k):
                async with asyncio.timeout(None) as deadline:
                    clock = loop.create_task(expire(deadline, k))
                    try:
                        await PLAN.run(body)
                    finally:
                        clock.cancel()

            async def expire(deadline, k):
                await turns(k)
                with contextlib.suppress(RuntimeError):  # the block was left already
                    deadline.reschedule(loop.time() - 1)

            task = loop.create_task(caller())
            await asyncio.wait([task])
            assert not task.cancelled()
            assert isinstance(task.exception(), (TimeoutError, type(None)))
            await asyncio.sleep(0)
            nothing_is_left()

    on_loop(main())


def test_the_handle_cancels_the_run_at_any_turn(on_loop, body):
    async def main():
        loop = asyncio.get_running_loop()
        count = await count_turns(lambda: loop.create_task(awaiting_a_started_run(body)))
        for k in range(count + 2):
            run = PLAN.start(body)
            await turns(k)
            accepted = run.cancel()
            assert accepted or run.done()
            if accepted:
                with pytest.raises(asyncio.CancelledError):
                    await run
                assert run.state == "cancelled"
            else:
                assert (await run).execution_state == "completed"
            counts = run.counts()
            assert sum(counts.values()) == 4
            assert counts["pending"] == counts["ready"] == counts["running"] == 0
            assert asyncio.current_task().cancelling() == 0
            nothing_is_left()

    on_loop(main())


def test_the_partial_report_tells_what_was_done(on_loop):
    async def main():
        gate = asyncio.get_running_loop().create_future()

        async def body(name):
            if name == "b":
                await gate
            return name

        run = PLAN.start(body)
        await turns(3)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        report = run.report()
        assert report.execution_state == "cancelled"
        assert [record.status for record in report.task_statistics] == [
            "completed", "cancelled", "completed", "skipped"
        ]  # fmt: skip
        assert dict(report.results) == {"a": "a", "c": "c"}

    on_loop(main())


# -- the bodies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", "abcd")
def test_cancelling_one_body_at_any_turn_touches_only_what_depends_on_it(on_loop, victim):
    async def main():
        tasks = {}

        async def body(name):
            tasks[name] = asyncio.current_task()
            await turns(3)
            return name

        below = {"a": "bcd", "b": "d", "c": "d", "d": ""}[victim]
        for k in range(1, 4):
            tasks.clear()
            run = PLAN.start(body)
            while victim not in tasks:
                await asyncio.sleep(0)
            await turns(k - 1)
            assert tasks[victim].cancel()
            report = await run
            expected = {name: "skipped" if name in below else "completed" for name in "abcd"}
            expected[victim] = "cancelled"
            assert {record.task_name: record.status for record in report.task_statistics} == expected
            nothing_is_left()

    on_loop(main())


@pytest.mark.parametrize("first_step", [True, False], ids=["first-step", "resumed"])
def test_a_body_that_cancels_its_own_run_is_cancelled_with_it(on_loop, first_step):
    async def main():
        never = asyncio.get_running_loop().create_future()

        async def body(name):
            if not first_step:
                await asyncio.sleep(0)
            if name == "b":
                assert run.cancel()
            await never if name == "b" else await asyncio.sleep(0)

        run = PLAN.start(body)
        with pytest.raises(asyncio.CancelledError):
            await run
        assert run.report().record_of("b").status == "cancelled"
        assert run.report().record_of("d").status == "skipped"
        nothing_is_left()

    on_loop(main())


def test_a_plain_body_may_cancel_its_own_run_and_is_still_completed(on_loop):
    async def main():
        run = PLAN.start(lambda name: run.cancel())
        with pytest.raises(asyncio.CancelledError):
            await run
        assert run.counts() | {"completed": 1, "skipped": 3} == run.counts()

    on_loop(main())


def test_a_body_that_fails_in_its_first_step_after_cancelling_the_run_is_failed(on_loop):
    async def main():
        async def body(name):
            run.cancel()
            raise ValueError

        run = PLAN.start(body)
        with pytest.raises(asyncio.CancelledError):
            await run
        assert run.counts()["failed"] == 1

    on_loop(main())


def test_a_run_cancelled_before_its_first_turn_calls_nothing(on_loop):
    async def main():
        called = []
        run = PLAN.start(called.append)
        assert run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert not called
        assert run.counts()["skipped"] == 4
        assert not run.cancel()

    on_loop(main())


def test_a_failure_cancels_the_running_bodies_together(on_loop):
    async def main():
        cancelled = []

        async def body(name):
            if name == "fails":
                await turns(2)
                raise ValueError
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                # All have been told before the first of them goes on.
                cancelled.append([task.cancelling() for task in tasks])
                raise

        tasks = []

        async def kept(name):
            tasks.append(asyncio.current_task())
            await body(name)

        graph = {name: [] for name in ("x", "y", "z")} | {"fails": []}
        report = await TaskGraph.from_predecessors(graph).plan().run(lambda n: body(n) if n == "fails" else kept(n))
        assert cancelled == [[1, 1, 1]] * 3
        assert (report.failed_tasks, report.cancelled_tasks) == (1, 3)

    on_loop(main())


def test_what_waits_for_something_that_refuses_to_be_cancelled_does_not_keep_the_others(on_loop):
    """One hostile awaitable must not stop the run from telling the other bodies."""

    async def main():
        class Refuses(asyncio.Future):
            def cancel(self, msg=None):
                raise RuntimeError("never")

        hostile, ended = Refuses(), []

        async def body(name):
            try:
                await (hostile if name == 0 else asyncio.get_running_loop().create_future())
            finally:
                ended.append(name)

        run = TaskGraph.from_predecessors({name: [] for name in range(3)}).plan().start(body)
        await asyncio.sleep(0)
        run.cancel()
        await turns(3)
        assert ended == [1, 2]
        hostile.set_result(None)
        with pytest.raises(asyncio.CancelledError):
            await run
        assert run.counts()["cancelled"] == 3

    on_loop(main())


def test_one_of_two_that_wait_for_a_run_can_be_cancelled_only_with_the_run(on_loop):
    async def main():
        run = PLAN.start(sleeping)

        async def wait():
            return await run

        first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
        await turns(2)
        first.cancel()
        await asyncio.wait([first, second])
        assert first.cancelled()
        assert second.cancelled()
        assert run.state == "cancelled"

    on_loop(main())
