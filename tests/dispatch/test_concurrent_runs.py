"""One plan, many runs at once: on one loop, in several threads, and handles used from other threads."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock import TaskGraph
from penstock._core import STATE_NAMES
from penstock.testing import shapes

PLAN = TaskGraph.from_predecessors(shapes.layered(100)).plan()


def kinds(number):
    async def suspending(name):
        await asyncio.sleep(0)
        return number, name

    async def at_once(name):
        return number, name

    def plain(name):
        return number, name

    return [suspending, at_once, plain][number % 3]


def complete(report, number):
    return dict(report.results) == {name: (number, name) for name in PLAN.names}


def test_many_runs_of_one_plan_on_one_loop_do_not_mix(on_loop):
    async def main():
        reports = await asyncio.gather(*(PLAN.run(kinds(number), max_concurrency=1 + number) for number in range(30)))
        assert all(complete(report, number) for number, report in enumerate(reports))

    on_loop(main())


def test_runs_that_fail_or_are_cancelled_do_not_touch_the_others(on_loop):
    async def main():
        async def failing(name):
            await asyncio.sleep(0)
            raise ValueError(name)

        healthy = [PLAN.start(kinds(number)) for number in range(3)]
        failed, cancelled = PLAN.start(failing), PLAN.start(failing)
        await asyncio.sleep(0)
        cancelled.cancel()
        assert (await failed).execution_state == "failed"
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert [complete(await run, number) for number, run in enumerate(healthy)] == [True] * 3

    on_loop(main())


def test_a_body_runs_its_own_plan_to_any_depth(on_loop):
    async def main():
        plan = TaskGraph.from_predecessors({"a": [], "b": ["a"]}).plan()

        async def body(depth, name):
            if depth == 0:
                return 1
            if name == "b":
                await asyncio.sleep(0)
            inner = await plan.run(lambda name: body(depth - 1, name))
            return sum(inner.results.values())

        report = await plan.run(lambda name: body(6, name))
        assert sum(report.results.values()) == 2**7

    on_loop(main())


def test_a_body_may_start_runs_that_outlive_it(on_loop):
    async def main():
        started = []

        async def body(name):
            started.append(PLAN.start(kinds(0)))

        await TaskGraph.from_predecessors({"a": [], "b": []}).plan().run(body)
        assert [complete(await run, 0) for run in started] == [True, True]

    on_loop(main())


# -- threads ---------------------------------------------------------------------------------------------


def test_one_plan_runs_in_many_threads_each_with_its_own_loop():
    together = threading.Barrier(6)

    def work(number):
        together.wait(30)

        async def main():
            return [await PLAN.run(kinds(number)) for _ in range(10)]

        return all(complete(report, number) for report in asyncio.run(main()))

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == [True] * 6


def test_one_plan_runs_synchronously_in_many_threads():
    together = threading.Barrier(6)

    def work(number):
        together.wait(30)
        return all(complete(PLAN.run_sync(kinds(number)), number) for _ in range(10))

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == [True] * 6


def test_a_plan_may_be_made_and_read_in_one_thread_while_others_run_it():
    stop = threading.Event()

    def read():
        seen = set()
        while not stop.is_set():
            seen.add((len(PLAN.stages), PLAN.total_tasks, len(PLAN.critical_path()[0])))
            seen.add((len(PLAN.subgraph(list(PLAN.names)[-3:]).stages), 0, 0))
        return seen

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        reports = [PLAN.run_sync(kinds(number)) for number in range(9)]
        stop.set()
        assert all(complete(report, number) for number, report in enumerate(reports))
        assert readers[0].result(30) == readers[1].result(30)


# -- the handle from other threads -------------------------------------------------------------------------


def watched_run(on_thread, body, **options):
    """Run in a loop while a thread uses the handle; return what the run gave and what the thread did."""

    async def main():
        run = PLAN.start(body, **options)
        with ThreadPoolExecutor(1) as pool:
            result = pool.submit(on_thread, run)
            try:
                return (await run).execution_state, result.result(30)
            except asyncio.CancelledError:
                assert asyncio.current_task().cancelling() == 0
                return "CancelledError", result.result(30)

    return main()


@pytest.mark.parametrize("number", range(3), ids=["suspending", "at-once", "plain"])
def test_counts_read_from_another_thread_always_add_up(on_loop, number):
    def read(run):
        finished, states = [0], set()
        while finished[-1] < 100:
            counts = run.counts()
            assert sum(counts.values()) == 100
            assert set(counts) == set(STATE_NAMES)
            finished.append(counts["completed"])
            states.add(run.state)
            repr(run)
        assert finished == sorted(finished)
        return states <= {"running", "completed"}

    assert on_loop(watched_run(read, kinds(number), time_slice=1e-9)) == ("completed", True)


def test_a_cancellation_from_another_thread_wakes_an_idle_loop(on_loop):
    async def body(name):
        await asyncio.get_running_loop().create_future()

    def cancel(run):
        return run.cancel()

    assert on_loop(watched_run(cancel, body)) == ("CancelledError", True)


def test_a_cancellation_from_another_thread_stops_plain_functions_at_the_end_of_a_slice(on_loop):
    begun, cancelled, calls = threading.Event(), threading.Event(), []

    def body(name):
        calls.append(name)
        begun.set()
        assert cancelled.wait(30)

    def cancel(run):
        assert begun.wait(30)
        accepted = run.cancel()
        cancelled.set()
        return accepted

    assert on_loop(watched_run(cancel, body, time_slice=1e-9)) == ("CancelledError", True)
    assert 1 <= len(calls) <= 3


def test_many_threads_may_cancel_at_once(on_loop):
    async def body(name):
        await asyncio.get_running_loop().create_future()

    def cancel(run):
        together = threading.Barrier(8)

        def one():
            together.wait(30)
            return run.cancel()

        with ThreadPoolExecutor(8) as pool:
            return [future.result(30) for future in [pool.submit(one) for _ in range(8)]]

    state, accepted = on_loop(watched_run(cancel, body))
    assert state == "CancelledError"
    assert any(accepted)


def test_cancelling_from_another_thread_after_the_end_is_refused(on_loop):
    async def main():
        run = PLAN.start(kinds(1))
        await run
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(run.cancel).result(30) is False
            assert pool.submit(lambda: run.state).result(30) == "completed"

    on_loop(main())


def test_cancelling_from_another_thread_after_the_loop_was_closed_is_refused(on_asyncio):
    async def main():
        # Never awaited, so it ends with its loop, before its first turn.
        return PLAN.start(kinds(1))

    loop = asyncio.new_event_loop()
    run = loop.run_until_complete(main())
    loop.close()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(run.cancel).result(30) in (False, True)
        assert sum(pool.submit(run.counts).result(30).values()) == 100
