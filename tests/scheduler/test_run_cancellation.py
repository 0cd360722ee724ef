"""Cancelling a run, from inside or outside, ends everything that was started and is never swallowed."""

import asyncio
import threading

import pytest

from penstock import RunFailed, TaskGraph
from penstock.testing import clock


def plan_of(mapping):
    return TaskGraph.from_predecessors(mapping).plan()


APART = plan_of({name: [] for name in "abc"})
CHAIN = plan_of({"a": [], "b": ["a"], "c": ["b"]})


def statuses(report):
    return [record.status for record in report.task_statistics]


class Waiting:
    """Bodies that wait until they are cancelled, and clean up for some turns."""

    def __init__(self, turns=2):
        self.turns, self.started, self.cleaned = turns, [], []

    async def __call__(self, name):
        self.started.append(name)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            for _ in range(self.turns):
                await asyncio.sleep(0)
            self.cleaned.append(name)


async def turns(n=3):
    for _ in range(n):
        await asyncio.sleep(0)


def test_cancel_ends_running_tasks_together_and_skips_the_rest(on_loop):
    body = Waiting()

    async def main():
        run = plan_of({"a": [], "b": [], "c": ["a"]}).start(body)
        await turns()
        assert run.cancel()
        assert run.cancel()
        assert run.state == "running"
        with pytest.raises(asyncio.CancelledError, match="the run was cancelled"):
            await run
        assert not run.cancel()
        return run

    run = on_loop(main())
    assert body.cleaned == ["a", "b"]
    report = run.report()
    assert run.state == report.execution_state == "cancelled"
    assert statuses(report) == ["cancelled", "cancelled", "skipped"]
    assert (report.cancelled_tasks, report.skipped_tasks, report.error_summary) == (2, 1, [])
    with pytest.raises(RunFailed):
        report.raise_for_failure()


@pytest.mark.parametrize("after", [1, 2, 5])
def test_cancelling_the_awaiting_task_cancels_the_run_and_goes_on(after, on_loop):
    body = Waiting()

    async def main():
        run = APART.start(body)
        waiter = asyncio.ensure_future(wait_for(run))
        await turns(after)
        waiter.cancel("from outside")
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert waiter.cancelled()
        assert run.done()
        return run

    run = on_loop(main())
    assert body.started == body.cleaned
    assert set(statuses(run.report())) <= {"cancelled", "skipped"}
    assert run.state == "cancelled"


async def wait_for(run):
    return await run


def test_a_time_out_around_a_run_is_a_time_out():
    body = Waiting()

    async def main():
        started = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(APART.run(body), 5.0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5.0):
                await APART.run(body)
        return asyncio.get_running_loop().time() - started

    assert clock.run(main()) == pytest.approx(10.0)
    assert body.cleaned == list("abc") * 2


def test_cancelling_again_during_clean_up_neither_shortens_nor_loses_it(on_loop):
    body = Waiting(turns=10)

    async def main():
        waiter = asyncio.ensure_future(APART.run(body))
        await turns()
        for _ in range(3):
            waiter.cancel()
            await turns(2)
        with pytest.raises(asyncio.CancelledError):
            await waiter

    on_loop(main())
    assert body.cleaned == ["a", "b", "c"]


def test_cancelling_during_the_clean_up_of_a_failure_is_not_swallowed(on_loop):
    body = Waiting(turns=10)

    async def fails(name):
        if name == "c":
            await turns()
            raise ValueError("no")
        await body(name)

    async def main():
        run = APART.start(fails)
        waiter = asyncio.ensure_future(wait_for(run))
        await turns(8)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        return run.report()

    report = on_loop(main())
    assert body.cleaned == ["a", "b"]
    assert statuses(report) == ["cancelled", "cancelled", "failed"]
    assert (report.execution_state, report.failed_tasks) == ("cancelled", 1)


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_cancellation_that_races_with_the_end_is_not_swallowed(turn, on_loop):
    """Whichever turn of the loop it falls into: who was told that it is cancelled sees CancelledError."""

    async def main():
        run = CHAIN.start(lambda name: asyncio.sleep(0))
        waiter = asyncio.ensure_future(wait_for(run))
        await turns(turn)
        accepted = waiter.cancel()
        await asyncio.wait([waiter])
        assert waiter.cancelled() == accepted
        return await CHAIN.run(str)

    assert on_loop(main()).execution_state == "completed"


def test_a_cancellation_in_the_very_turn_of_the_end_is_not_swallowed(on_loop):
    async def main():
        waiter = None
        run = APART.start(lambda name: asyncio.sleep(0))
        run.add_done_callback(lambda _: accepted.append(waiter.cancel()))
        accepted = []
        waiter = asyncio.ensure_future(wait_for(run))
        await asyncio.wait([waiter])
        assert accepted == [waiter.cancelled()]

    on_loop(main())


def test_a_task_group_that_fails_takes_its_runs_along(on_loop):
    body = Waiting()

    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(APART.run(body))
            await turns()
            raise OSError("elsewhere")

    with pytest.raises(ExceptionGroup) as caught:
        on_loop(main())
    assert [type(error) for error in caught.value.exceptions] == [OSError]
    assert body.cleaned == ["a", "b", "c"]


def test_a_body_may_refuse_to_be_cancelled_and_keeps_its_value(on_loop):
    async def body(name):
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return f"{name} anyway"

    async def main():
        run = APART.start(body)
        await turns()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        return run.report()

    report = on_loop(main())
    assert statuses(report) == ["completed"] * 3
    assert report.execution_state == "cancelled"
    assert dict(report.results) == {name: f"{name} anyway" for name in "abc"}


def test_a_body_may_fail_while_it_is_cancelled(on_loop):
    async def body(name):
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            raise OSError("in clean-up")

    async def main():
        run = APART.start(body)
        await turns()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        return run.report()

    report = on_loop(main())
    assert statuses(report) == ["failed"] * 3
    assert report.execution_state == "cancelled"
    assert [record.error_message for record in report.task_statistics] == ["in clean-up"] * 3


@pytest.mark.parametrize("kind", ["plain", "coroutine", "plain then waiting", "suspended"])
def test_a_body_may_cancel_its_own_run(kind, on_loop):
    async def main():
        async def waits():
            await asyncio.get_running_loop().create_future()

        async def coroutine(name):
            run.cancel()
            await waits()

        async def suspended(name):
            await turns()
            await coroutine(name)

        def plain(name):
            run.cancel()

        def plain_then_waiting(name):
            run.cancel()
            return waits()

        bodies = {
            "plain": plain,
            "coroutine": coroutine,
            "plain then waiting": plain_then_waiting,
            "suspended": suspended,
        }
        run = CHAIN.start(bodies[kind])
        with pytest.raises(asyncio.CancelledError):
            await run
        return run.report()

    report = on_loop(main())
    first = "completed" if kind == "plain" else "cancelled"
    assert statuses(report) == [first, "skipped", "skipped"]
    assert report.execution_state == "cancelled"


def test_a_run_cancelled_before_its_first_turn_starts_nothing(on_loop):
    body = Waiting()

    async def main():
        run = APART.start(body)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        return run.report()

    assert statuses(on_loop(main())) == ["skipped"] * 3
    assert body.started == []


def test_the_limit_does_not_let_queued_tasks_in_after_a_cancellation(on_loop):
    body = Waiting()

    async def main():
        run = APART.start(body, max_concurrency=1)
        await turns()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    on_loop(main())
    assert body.started == ["a"]


def test_one_of_two_who_wait_may_leave_only_by_cancelling_the_run(on_loop):
    body = Waiting()

    async def main():
        run = APART.start(body)
        first, second = (asyncio.ensure_future(wait_for(run)) for _ in range(2))
        await turns()
        first.cancel()
        done, _ = await asyncio.wait([first, second])
        assert all(waiter.cancelled() for waiter in done)

    on_loop(main())
    assert body.cleaned == ["a", "b", "c"]


def test_cancel_may_come_from_another_thread(on_loop):
    body = Waiting()

    async def main():
        run = APART.start(body)
        await turns()
        thread = threading.Thread(target=run.cancel)
        thread.start()
        with pytest.raises(asyncio.CancelledError):
            await run
        thread.join()

    on_loop(main())
    assert body.cleaned == ["a", "b", "c"]


def test_shield_keeps_a_run_going(on_loop):
    async def main():
        task = asyncio.ensure_future(APART.run(lambda name: turns(5)))
        outer = asyncio.ensure_future(asyncio.wait_for(asyncio.shield(task), 100))
        await turns()
        outer.cancel()
        return await task

    assert on_loop(main()).execution_state == "completed"
