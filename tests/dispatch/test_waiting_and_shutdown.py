"""Who waits for a run, who may not, and what becomes of a run when its event loop is shut down."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import sys

import pytest

import penstock
from penstock import InvalidStateError, TaskGraph

LOOPS = [asyncio.new_event_loop]
if sys.platform != "win32":
    import uvloop

    LOOPS.append(uvloop.new_event_loop)


def independent(n):
    return TaskGraph.from_predecessors({number: [] for number in range(n)}).plan()


async def forever():
    await asyncio.get_running_loop().create_future()


# -- a run that waits for itself --------------------------------------------------------------------------


@pytest.mark.parametrize("turns", [0, 1], ids=["first-step", "resumed"])
def test_a_body_cannot_wait_for_the_run_it_is_part_of(on_loop, turns):
    async def main():
        async def body(name):
            for _ in range(turns):
                await asyncio.sleep(0)
            await run

        run = independent(1).start(body)
        report = await run
        assert isinstance(report.record_of(0).exception, InvalidStateError)
        assert "cannot wait for the run that it is part of" in report.record_of(0).error_message

    on_loop(main())


@pytest.mark.parametrize("turns", [0, 1], ids=["first-step", "resumed"])
def test_nor_through_a_run_that_another_body_waits_for(on_loop, turns):
    async def main():
        async def inner(name):
            for _ in range(turns):
                await asyncio.sleep(0)
            await outer_run

        async def outer(name):
            return (await independent(1).run(inner)).record_of(0).exception

        outer_run = independent(1).start(outer)
        report = await outer_run
        await asyncio.sleep(0)  # the inner run is cancelled if it was the outer one that was refused
        await asyncio.sleep(0)
        found = report.record_of(0).exception or report.results[0]
        assert isinstance(found, InvalidStateError)

    on_loop(main())


def test_a_run_begun_by_a_body_that_does_not_wait_for_it_may_wait_for_the_outer_one(on_loop):
    async def main():
        async def inner(name):
            return await outer_run

        async def outer(name):
            return independent(1).start(inner)

        outer_run = independent(1).start(outer)
        report = await outer_run
        inner_report = await report.results[0]
        assert inner_report.results[0] is report

    on_loop(main())


def test_a_body_may_wait_for_another_run(on_loop):
    async def main():
        gate = asyncio.Event()

        async def first(name):
            await gate.wait()
            return name

        async def second(name):
            return (await first_run).results[0]

        first_run = independent(1).start(first)
        second_run = independent(1).start(second)
        await asyncio.sleep(0)
        gate.set()
        assert (await second_run).results[0] == 0

    on_loop(main())


# -- the event loop is shut down ------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", LOOPS)
@pytest.mark.parametrize("limit", [None, 1])
def test_a_run_nobody_waits_for_is_cancelled_and_awaited_when_the_loop_is_shut_down(factory, limit):
    seen = []

    async def body(name):
        seen.append(("start", name))
        try:
            await forever()
        finally:
            await asyncio.sleep(0)  # clean-up that needs the loop
            seen.append(("end", name))

    runs, called = [], []

    async def main():
        runs.append(independent(3).start(body, max_concurrency=limit))
        runs[0].add_done_callback(called.append)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
    started = [name for what, name in seen if what == "start"]
    assert started == ([0] if limit else [0, 1, 2])
    assert sorted(name for what, name in seen if what == "end") == started
    assert (runs[0].state, called) == ("cancelled", runs)


@pytest.mark.parametrize("factory", LOOPS)
def test_plain_functions_do_not_go_on_after_the_shutdown(factory):
    called, runs = [], []

    async def main():
        runs.append(independent(200_000).start(called.append, time_slice=1e-4))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
    assert runs[0].state == "cancelled"
    assert len(called) < 200_000


@pytest.mark.parametrize("factory", LOOPS)
def test_a_run_whose_loop_was_closed_can_still_be_cancelled(factory):
    loop = factory()
    runs = []

    async def body(name):
        await forever()

    async def main():
        runs.append(independent(3).start(body, max_concurrency=2))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    loop.run_until_complete(main())
    loop.close()
    assert runs[0].cancel() is True
    assert (runs[0].state, runs[0].done()) == ("cancelled", True)
    assert runs[0].counts()["cancelled"] == 2
    assert runs[0].counts()["skipped"] == 1
    assert runs[0].cancel() is False


def test_what_stands_for_a_run_among_the_tasks_can_be_looked_at_like_one(on_loop, capsys):
    async def main():
        async def body(name):
            await gate

        gate = asyncio.get_running_loop().create_future()
        run = independent(1).start(body)
        (guard,) = asyncio.all_tasks() - {asyncio.current_task()}
        assert guard.get_name() == "penstock run of 1 tasks"
        assert guard.get_coro().__qualname__.startswith("Run.")
        assert (guard.get_stack(), guard.get_context(), guard.cancelling(), guard.uncancel()) == ([], None, 0, 0)
        guard.print_stack()
        assert capsys.readouterr().out == "<Run running: 0 of 1 tasks ended>\n"
        gate.set_result(None)
        await run
        assert guard.done()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    on_loop(main())


# -- cancelling bodies that wait for one another ---------------------------------------------------------------


def chain_of_bodies(n):
    """Bodies of one run, each of which waits for the task of the one before."""
    tasks = {}

    async def body(number):
        tasks[number] = asyncio.current_task()
        if number:
            await tasks[number - 1]
        await forever()

    return independent(n).start(body), tasks


def test_a_run_of_bodies_that_wait_for_one_another_is_cancelled_one_request_each(on_loop):
    async def main():
        run, tasks = chain_of_bodies(20_000)
        while len(tasks) < 20_000:
            await asyncio.sleep(0)
        run.cancel()
        assert {task.cancelling() for task in tasks.values()} == {1}
        with pytest.raises(asyncio.CancelledError):
            await run
        assert run.counts()["cancelled"] == 20_000

    on_loop(main())


def test_a_long_chain_of_tasks_is_cancelled_without_recursion(on_loop):
    async def main():
        tasks = []

        async def waiting(number):
            await (tasks[number - 1] if number else forever())

        for number in range(100_000):
            tasks.append(penstock.Task(waiting(number)))
        await asyncio.sleep(0)
        assert tasks[-1].cancel() is True
        with pytest.raises(asyncio.CancelledError):
            await tasks[-1]
        assert all(task.cancelled() for task in tasks)

    on_loop(main())


def test_a_chain_that_leads_through_other_tasks_is_a_recursion_error_and_no_crash(on_loop):
    async def main():
        tasks = []

        async def waiting(number):
            await (tasks[number - 1] if number else forever())

        for number in range(20_000):
            tasks.append((penstock.Task if number % 2 else asyncio.Task)(waiting(number)))
        await asyncio.sleep(0)
        with pytest.raises(RecursionError):
            tasks[-1].cancel()
        for task in tasks:  # from the other end each has but one to ask
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)

    on_loop(main())


# -- small things ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit, ValueError])
def test_whatever_a_progress_object_raises_at_the_end_who_waits_is_woken(on_asyncio, error, caplog):
    class Hostile:
        def update(self, counts):
            pass

        def close(self, report):
            raise error

    async def body(name):
        await asyncio.sleep(0)

    async def main():
        run = independent(1).start(body, progress=Hostile())
        report = await run
        assert report.execution_state == "completed"

    if error is SystemExit:
        with pytest.raises(SystemExit):  # out of the event loop's turn
            on_asyncio(main())
    else:
        on_asyncio(main())


def test_a_run_works_with_asyncio_wait(on_loop):
    async def main():
        gate = asyncio.Event()

        async def body(name):
            await gate.wait()

        run = independent(1).start(body)
        done, pending = await asyncio.wait([asyncio.ensure_future(run)], timeout=0)
        assert (len(done), len(pending)) == (0, 1)
        gate.set()
        await asyncio.wait(pending)

    on_loop(main())


def test_a_callback_can_be_taken_back_and_has_to_be_one(on_loop):
    async def main():
        called = []
        run = independent(1).start(called.append)
        run.add_done_callback(called.append)
        run.add_done_callback(called.append)
        assert run.remove_done_callback(called.append) == 2
        assert run.remove_done_callback(called.append) == 0
        with pytest.raises(TypeError, match="5 cannot be called"):
            run.add_done_callback(5)
        await run
        await asyncio.sleep(0)
        assert called == [0]

    on_loop(main())


def test_iterations_that_were_given_up_leave_nothing(on_loop):
    async def main():
        async def body(name):
            await gate

        gate = asyncio.get_running_loop().create_future()
        run = independent(1).start(body)
        for _ in range(10):
            waiting = asyncio.ensure_future(anext(aiter(run)))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
        assert run._watchers == []
        gate.set_result(None)
        await run

    on_loop(main())


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_neither_runs_nor_tasks_can_be_copied(on_loop, duplicate):
    async def main():
        run = independent(1).start(str)
        with pytest.raises(TypeError, match="a Run belongs to its event loop"):
            duplicate(run)
        with pytest.raises(TypeError, match="a Task belongs to its event loop"):
            duplicate(penstock.Task(asyncio.sleep(0)))
        await run
        await asyncio.sleep(0)

    on_loop(main())


def test_the_columns_of_a_run_are_not_offered(on_loop):
    async def main():
        run = independent(1).start(str)
        public = {name for name in dir(run) if not name.startswith("_")}
        assert not public & {"core", "results", "exceptions", "stop", "failed_positions"}
        await run

    on_loop(main())


def test_a_loop_makes_its_tasks_with_the_factory(on_loop):
    async def main():
        asyncio.get_running_loop().set_task_factory(penstock.task_factory)
        task = asyncio.create_task(asyncio.sleep(0, "value"), name="named")
        assert type(task) is penstock.Task
        assert (task.get_name(), await task) == ("named", "value")

    on_loop(main())


def test_a_run_that_nobody_refers_to_comes_to_its_end(on_loop):
    async def main():
        async def body(name):
            await asyncio.sleep(0)
            await asyncio.wait_for(asyncio.sleep(0, name), 60)

        done = []
        for _ in range(30):
            independent(3).start(body).add_done_callback(lambda run: done.append(run.state))
        while len(done) < 30:
            gc.collect()
            await asyncio.sleep(0)
        assert done == ["completed"] * 30

    on_loop(main())
