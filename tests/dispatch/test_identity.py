"""Inside a body the current task is the body's own, and outside it everything is as it was."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import pytest

import penstock
from penstock import TaskGraph

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


def test_every_body_has_a_task_of_its_own(on_loop):
    async def main():
        me, tasks = asyncio.current_task(), {}

        async def body(name):
            tasks[name] = asyncio.current_task()
            return name

        report = await TaskGraph.from_predecessors(DIAMOND).plan().run(body)
        assert report.execution_state == "completed"
        assert asyncio.current_task() is me
        assert len(set(tasks.values()) | {me}) == 5
        assert {type(task) for task in tasks.values()} == {penstock.Task}

    on_loop(main())


def test_a_body_keeps_its_task_across_every_suspension(on_loop):
    """Also when a done-callback resumes it while another task is being run."""

    async def main():
        gates = [asyncio.get_running_loop().create_future() for _ in range(3)]
        seen = {name: [] for name in DIAMOND}

        async def body(name):
            seen[name].append(asyncio.current_task())
            for gate in gates:
                await gate
                seen[name].append(asyncio.current_task())
                await asyncio.sleep(0)
                seen[name].append(asyncio.current_task())

        run = TaskGraph.from_predecessors(DIAMOND).plan().start(body)
        for gate in gates:
            await asyncio.sleep(0)
            gate.set_result(None)
        await run
        assert all(len(tasks) == 7 and len(set(tasks)) == 1 for tasks in seen.values())
        assert len({tasks[0] for tasks in seen.values()}) == 4

    on_loop(main())


def test_the_loop_goes_on_with_other_tasks_between_the_steps_of_bodies(on_loop):
    """A body left current by mistake would make the loop refuse its next task."""

    async def main():
        turns = []

        async def other(name):
            me = asyncio.current_task()
            for _ in range(20):
                assert asyncio.current_task() is me
                turns.append(name)
                await asyncio.sleep(0)

        async def body(name):
            for _ in range(5):
                await asyncio.sleep(0)

        others = [asyncio.create_task(other(name)) for name in ("x", "y")]
        report = await TaskGraph.from_predecessors(DIAMOND).plan().run(body)
        await asyncio.gather(*others)
        assert report.successful_tasks == 4
        assert sorted(turns) == ["x"] * 20 + ["y"] * 20

    on_loop(main())


@pytest.mark.parametrize("ending", [ValueError, asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("turns", [0, 1])
def test_the_callers_task_is_current_again_however_a_body_ends(on_loop, ending, turns):
    async def main():
        me = asyncio.current_task()

        async def body(name):
            for _ in range(turns):
                await asyncio.sleep(0)
            raise ending

        with contextlib.suppress(KeyboardInterrupt, SystemExit):
            await TaskGraph.from_predecessors({"a": []}).plan().run(body)
        assert asyncio.current_task() is me

    on_loop(main())


def test_a_plain_function_sees_whoever_waits_for_the_run_and_none_from_the_loop(on_loop):
    """A plain function cannot wait, so it is nobody's task; in particular not that of the body before it."""

    async def main():
        seen, bodies = [], []

        def plain():
            seen.append(asyncio.current_task())

        async def body():
            bodies.append(asyncio.current_task())

        plan = TaskGraph.from_predecessors({"a": [], "b": ["a"], "c": ["b"], "d": ["c"]}).plan()
        mixed = {"a": plain, "b": body, "c": plain, "d": body}
        await plan.run(mixed)
        assert seen == [asyncio.current_task()] * 2
        seen.clear()
        await plan.start(mixed)
        assert seen == [None, None]
        assert not set(bodies) & {None, asyncio.current_task()}

    on_loop(main())


def test_a_function_that_only_looks_plain_is_not_called_under_another_bodys_task(on_loop):
    async def main():
        seen = {}

        async def inner(name):
            seen[name, "inside"] = asyncio.current_task()

        def outer(name):
            seen[name, "call"] = asyncio.current_task()
            return inner(name)

        await TaskGraph.from_predecessors(DIAMOND).plan().run(outer)
        for name in DIAMOND:
            assert seen[name, "call"] is asyncio.current_task()
        assert len({seen[name, "inside"] for name in DIAMOND}) == 4

    on_loop(main())


def test_a_run_inside_a_body_gives_the_body_its_task_back(on_loop):
    async def main():
        plan = TaskGraph.from_predecessors(DIAMOND).plan()
        inner_tasks, outer_tasks = [], []

        async def inner(name):
            inner_tasks.append(asyncio.current_task())
            if name == "b":
                await asyncio.sleep(0)
            inner_tasks.append(asyncio.current_task())

        async def outer(name):
            before = asyncio.current_task()
            report = await plan.run(inner)
            assert asyncio.current_task() is before
            outer_tasks.append(before)
            return report.successful_tasks

        report = await plan.run(outer)
        assert dict(report.results) == dict.fromkeys(DIAMOND, 4)
        assert len(set(outer_tasks)) == 4
        assert len(set(inner_tasks)) == 16
        assert not set(inner_tasks) & set(outer_tasks)

    on_loop(main())


@pytest.mark.parametrize("turns", [0, 1])
def test_a_time_out_in_a_body_hits_that_body_alone(on_loop, turns):
    async def main():
        never = asyncio.get_running_loop().create_future()

        async def body(name):
            for _ in range(turns):
                await asyncio.sleep(0)
            if name != "b":
                return "done"
            try:
                async with asyncio.timeout(0):
                    await never
            except TimeoutError:
                return "timed out"

        report = await TaskGraph.from_predecessors(DIAMOND).plan().run(body)
        assert dict(report.results) == {"a": "done", "b": "timed out", "c": "done", "d": "done"}
        assert asyncio.current_task().cancelling() == 0

    on_loop(main())


def test_nested_time_outs_in_parallel_bodies_each_hit_their_own(on_loop):
    async def main():
        loop = asyncio.get_running_loop()

        async def body(name):
            caught = []
            try:
                async with asyncio.timeout(60 if name % 2 else 0):
                    try:
                        async with asyncio.timeout(0 if name % 2 else 60):
                            await loop.create_future()
                    except TimeoutError:
                        caught.append("inner")
            except TimeoutError:
                caught.append("outer")
            return caught

        report = await TaskGraph.from_predecessors({name: [] for name in range(20)}).plan().run(body)
        assert dict(report.results) == {name: ["inner" if name % 2 else "outer"] for name in range(20)}

    on_loop(main())


def test_a_task_group_in_a_body_cancels_the_body_and_its_own_children_only(on_loop):
    async def main():
        never = asyncio.get_running_loop().create_future()
        cancelled = []

        async def wait_for_ever():
            try:
                await never
            except asyncio.CancelledError:
                cancelled.append("child")
                raise

        async def fail():
            raise ValueError("child")

        async def body(name):
            if name != "b":
                await asyncio.sleep(0)
                return "done"
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(wait_for_ever())
                    group.create_task(fail())
                    await never
            except* ValueError:
                cancelled.append("group")
            return "caught"

        report = await TaskGraph.from_predecessors(DIAMOND).plan().run(body)
        assert dict(report.results) == {"a": "done", "b": "caught", "c": "done", "d": "done"}
        assert cancelled == ["child", "group"]

    on_loop(main())


def test_wait_for_in_a_body_times_out_there(on_loop):
    async def main():
        never = asyncio.get_running_loop().create_future()

        async def body(name):
            try:
                await asyncio.wait_for(asyncio.shield(never), 0 if name == "b" else 0.001)
            except TimeoutError:
                return asyncio.current_task().cancelling()

        report = await TaskGraph.from_predecessors(DIAMOND).plan().run(body)
        assert dict(report.results) == dict.fromkeys(DIAMOND, 0)

    on_loop(main())


def test_a_time_out_around_the_run_cancels_the_run_and_not_a_body_s_time_out(on_loop):
    async def main():
        never = asyncio.get_running_loop().create_future()
        ended = []

        async def body(name):
            try:
                async with asyncio.timeout(60):
                    await never
            except BaseException as error:
                ended.append(type(error))
                raise

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await TaskGraph.from_predecessors({"a": [], "b": []}).plan().run(body)
        assert ended == [asyncio.CancelledError] * 2

    on_loop(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in Python 3.12")
def test_a_body_that_starts_eager_tasks_gets_its_own_identity_back(on_asyncio):
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)

        async def child():
            return asyncio.current_task()

        async def body(name):
            me = asyncio.current_task()
            children = [asyncio.create_task(child()) for _ in range(3)]
            assert asyncio.current_task() is me
            assert [await task for task in children] == children
            async with asyncio.timeout(60):
                await asyncio.sleep(0)
            assert asyncio.current_task() is me
            return True

        report = await TaskGraph.from_predecessors(DIAMOND).plan().run(body)
        assert all(report.results.values())
        assert len(report.results) == 4

    on_asyncio(main())


def test_uvloop_takes_a_task_factory_of_ones_own_with_eager_tasks():
    """uvloop 0.23 cannot use asyncio.eager_task_factory on 3.13.0; a factory that takes what it is given works."""
    uvloop = pytest.importorskip("uvloop")

    async def main():
        def factory(loop, coroutine, **options):
            options.pop("eager_start", None)
            return penstock.Task(coroutine, loop=loop, eager_start=True, **options)

        asyncio.get_running_loop().set_task_factory(factory)

        async def body(name):
            me = asyncio.current_task()
            async with asyncio.TaskGroup() as group:
                child = group.create_task(asyncio.sleep(0, name))
            assert asyncio.current_task() is me
            return child.result()

        report = await TaskGraph.from_predecessors(DIAMOND).plan().run(body)
        assert dict(report.results) == {name: name for name in DIAMOND}

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
