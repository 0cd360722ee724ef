"""The known traps of stepping coroutines in one's own loop, one test each; the other files go into detail.

Trap 4, a task class that libraries take for asyncio's, is in tests/step.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from contextvars import ContextVar

import pytest

import penstock
from penstock import TaskGraph
from penstock.testing import shapes

variable: ContextVar[str] = ContextVar("variable", default="unset")
DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


def plan_of(graph):
    return TaskGraph.from_predecessors(graph).plan()


def test_trap_1_a_step_restores_the_current_task_on_every_exit(on_loop):
    """Returning, raising, suspending, and being resumed by a done-callback; or the loop refuses its next task."""

    async def main():
        loop, me = asyncio.get_running_loop(), asyncio.current_task()
        gate, between = loop.create_future(), []

        async def body(name):
            if name == "a":
                await gate
            if name == "b":
                raise ValueError
            if name == "c":
                await asyncio.sleep(0)

        gate.add_done_callback(lambda gate: between.append(asyncio.current_task()))
        run = plan_of(DIAMOND).start(body, failure_policy="continue")
        gate.add_done_callback(lambda gate: between.append(asyncio.current_task()))
        await asyncio.sleep(0)
        gate.add_done_callback(lambda gate: between.append(asyncio.current_task()))
        gate.set_result(None)
        report = await run
        assert between == [None] * 3
        assert asyncio.current_task() is me
        assert await asyncio.create_task(asyncio.sleep(0, "the loop goes on")) == "the loop goes on"
        assert (report.successful_tasks, report.failed_tasks) == (2, 1)

    on_loop(main())


def test_trap_2_a_context_is_entered_once_and_new_tasks_copy_that_of_the_run(on_loop):
    async def main():
        async def body(name):
            seen = variable.get()
            variable.set(name)
            await asyncio.sleep(0)
            assert variable.get() == name
            return seen

        variable.set("run")
        assert set((await plan_of(DIAMOND).run(body)).results.values()) == {"run"}

    on_loop(main())


def test_trap_3_a_coroutine_that_began_in_the_core_stays_there_to_its_end(on_loop):
    """One that has yielded a future cannot be given to a fresh asyncio.Task; ours keeps the task it began with."""

    async def main():
        loop = asyncio.get_running_loop()

        async def begun():
            await loop.create_future()

        coroutine = begun()
        coroutine.send(None)
        with pytest.raises(RuntimeError, match="await wasn't used with future"):
            await asyncio.Task(coroutine)

        async def body(name):
            tasks = {asyncio.current_task()}
            for _ in range(3):
                future = loop.create_future()
                loop.call_soon(future.set_result, name)
                assert await future == name
                tasks.add(asyncio.current_task())
            (task,) = tasks
            return type(task)

        assert set((await plan_of(DIAMOND).run(body)).results.values()) == {penstock.Task}

    on_loop(main())


def test_trap_5_a_run_of_ready_tasks_lets_the_loop_have_its_turn(on_loop):
    async def main():
        turns, most, ended = 0, 0, 0

        async def heartbeat():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        def body(name):
            nonlocal most, ended
            ended += 1

        beat = asyncio.create_task(heartbeat())
        await plan_of({name: [] for name in range(1000)}).run(body, time_slice=1e-9)
        beat.cancel()
        await asyncio.wait([beat])
        # A slice that is over before it began still runs one task; then the loop gets its turn.
        assert turns >= 999
        assert ended == 1000

    on_loop(main())


@pytest.mark.parametrize("n", [100_000])
def test_trap_6_a_deep_chain_of_suspending_bodies_needs_no_stack(n, on_asyncio):
    async def main():
        depths = set()

        async def body(name):
            await asyncio.sleep(0)
            depth, frame = 0, sys._getframe()
            while frame is not None:
                depth, frame = depth + 1, frame.f_back
            depths.add(depth)

        report = await plan_of(shapes.chain(n)).run(body, keep_results="none")
        assert report.successful_tasks == n
        assert len(depths) == 1

    on_asyncio(main())


def test_trap_6_a_chain_resumed_by_one_future_does_not_recurse_either(on_loop):
    """Every body waits for the same future, so that each completion makes the next one ready, done at once."""

    async def main():
        gate = asyncio.get_running_loop().create_future()

        async def body(name):
            await gate

        run = plan_of(shapes.chain(20_000)).start(body, keep_results="none")
        await asyncio.sleep(0)
        gate.set_result(None)
        assert (await run).successful_tasks == 20_000

    on_loop(main())


@pytest.mark.parametrize("kind", ["coroutine", "plain"])
def test_trap_7_bodies_that_do_not_suspend_cause_no_collection(on_asyncio, kind):
    n = 50_000
    plan = plan_of(shapes.layered(n))
    starts = []

    async def coroutine(name):
        return name

    def plain(name):
        return name

    def note(phase, info):
        if phase == "start":
            starts.append(info["generation"])

    async def main():
        report = await plan.run(coroutine if kind == "coroutine" else plain)
        assert report.successful_tasks == n

    gc.collect()
    gc.callbacks.append(note)
    try:
        on_asyncio(main())
    finally:
        gc.callbacks.remove(note)
    # The loop and the test itself make a few objects, but nothing per task is left to the collector.
    assert len(starts) <= 2


def test_trap_7_a_body_is_created_when_it_runs(on_loop):
    async def main():
        alive = most = 0

        class Watched:
            def __init__(self):
                nonlocal alive, most
                alive += 1
                most = max(most, alive)

            def __del__(self):
                nonlocal alive
                alive -= 1

        async def body(watched):
            pass

        report = await plan_of({name: [] for name in range(1000)}).run(lambda name: body(Watched()))
        assert report.successful_tasks == 1000
        assert most <= 2

    on_loop(main())


def test_trap_8_user_code_may_call_back_into_the_run_at_any_point(on_loop):
    async def main():
        graph = TaskGraph.from_predecessors(DIAMOND)
        plan, inner = graph.plan(), []

        class Returned:
            """A value whose release calls back as well."""

            def __del__(self):
                inner.append(run.counts())

        async def body(name, *results):
            # Read everything, start the same plan again, add to the graph, in the first step and a later one.
            for _ in range(2):
                assert sum(run.counts().values()) == 4
                assert run.report().execution_state == run.state == "running"
                again = plan.start(lambda name: name)
                graph.add_task(f"{name} {len(graph)}")
                assert (await again).successful_tasks == 4
            return Returned()

        run = plan.start(body, pass_results=True, keep_results="none")
        report = await run
        gc.collect()
        assert report.successful_tasks == 4
        assert len(inner) == 4
        assert len(graph) == 12

    on_loop(main())


@pytest.mark.parametrize("name", ["first", "middle", "last"])
@pytest.mark.parametrize("turns", [0, 1])
def test_trap_8_a_release_may_cancel_the_run(on_loop, name, turns):
    """The last user of a value ends, the value goes, and its destructor cancels the run in the middle of that."""

    async def main():
        class Bomb:
            def __del__(self):
                run.cancel()

        async def body(task, *results):
            for _ in range(turns):
                await asyncio.sleep(0)
            return Bomb() if task == name else None

        graph = {"first": [], "middle": ["first"], "last": ["middle"], "beyond": ["last"], "aside": ["first"]}
        run = plan_of(graph).start(body, pass_results=True, keep_results="none")
        with pytest.raises(asyncio.CancelledError):
            await run
        counts = run.counts()
        assert sum(counts.values()) == 5
        assert counts["pending"] == counts["ready"] == counts["running"] == 0
        run._core.check()

    on_loop(main())


def test_trap_9_eager_tasks_work_on_uvloop_with_a_factory_of_ones_own():
    uvloop = pytest.importorskip("uvloop")

    async def main():
        asyncio.get_running_loop().set_task_factory(
            lambda loop, coroutine, **options: penstock.Task(coroutine, loop=loop, **{**options, "eager_start": True})
        )

        async def body(name):
            task = asyncio.get_running_loop().create_task(asyncio.sleep(0, name))
            return await task

        return dict((await plan_of(DIAMOND).run(body)).results)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == {name: name for name in DIAMOND}


@pytest.mark.parametrize("with_uvloop", [True, False])
def test_trap_10_run_sync_takes_uvloop_where_it_is_installed_and_never_sets_a_policy(with_uvloop, monkeypatch):
    if with_uvloop:
        module = pytest.importorskip("uvloop").__name__
    else:
        module = "asyncio"
        monkeypatch.setitem(sys.modules, "uvloop", None)
    policy = asyncio.get_event_loop_policy()
    loops = []

    async def body(name):
        loops.append(asyncio.get_running_loop())

    plan_of(DIAMOND).run_sync(body)
    plan_of(DIAMOND).run_sync(body)
    assert asyncio.get_event_loop_policy() is policy
    assert {type(loop).__module__.partition(".")[0] for loop in loops} == {module}
    assert len(set(loops)) == 2
    assert all(loop.is_closed() for loop in loops)
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
