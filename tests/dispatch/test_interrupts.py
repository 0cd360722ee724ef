"""KeyboardInterrupt and SystemExit from a body: everything else is stopped first, then they go to the caller."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
import textwrap

import pytest

from penstock import TaskGraph

GRAPH = {"waits": [], "cleans": [], "stops": [], "after": ["stops"], "later": ["waits"]}
ENDED = {"waits": "cancelled", "cleans": "cancelled", "after": "skipped", "later": "skipped"}


def bodies(kind, error, ended):
    async def waits():
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("waits")

    async def cleans():
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            ended.append("cleans")

    def plain():
        raise error

    async def before_suspending():
        raise error

    async def after_suspending():
        await asyncio.sleep(0)
        raise error

    async def through_a_child():
        async def child():
            await asyncio.sleep(0)

        await asyncio.create_task(child())
        raise error

    stops = {"plain": plain, "before": before_suspending, "after": after_suspending, "child": through_a_child}[kind]
    return {"waits": waits, "cleans": cleans, "stops": stops, "after": plain, "later": plain}


@pytest.fixture(params=["plain", "before", "after", "child"])
def kind(request):
    return request.param


@pytest.fixture(params=[KeyboardInterrupt, SystemExit])
def error(request):
    return request.param("from the body")


def test_it_ends_the_run_and_reaches_whoever_awaits_it(on_loop, kind, error):
    async def main():
        ended = []
        plan = TaskGraph.from_predecessors(GRAPH).plan()
        with pytest.raises(type(error)) as caught:
            await plan.run(bodies(kind, error, ended))
        assert caught.value is error
        assert sorted(ended) == ["cleans", "waits"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    on_loop(main())


def test_the_report_on_the_handle_says_what_became_of_everything(on_loop, kind, error):
    async def main():
        run = TaskGraph.from_predecessors(GRAPH).plan().start(bodies(kind, error, []), failure_policy="continue")
        for _ in range(2):  # as often as it is asked
            with pytest.raises(type(error)):
                await run
        report = run.report()
        status = {record.task_name: record.status for record in report.task_statistics}
        assert status == {"stops": "failed", **ENDED}
        assert report.record_of("stops").exception is error
        assert run.state == report.execution_state == "cancelled"
        assert run.done()

    on_loop(main())


def test_it_reaches_whoever_reads_the_records(on_loop, kind, error):
    async def main():
        run = TaskGraph.from_predecessors(GRAPH).plan().start(bodies(kind, error, []))
        names = []

        async def read():
            async for record in run:
                names.append(record.task_name)

        with pytest.raises(type(error)):
            await read()
        assert sorted(names) == sorted(GRAPH)

    on_loop(main())


def test_it_reaches_synchronous_callers(kind, error):
    ended = []
    with pytest.raises(type(error)) as caught:
        TaskGraph.from_predecessors(GRAPH).plan().run_sync(bodies(kind, error, ended))
    assert caught.value is error
    assert sorted(ended) == ["cleans", "waits"]


def test_the_first_of_several_is_the_one(on_loop):
    async def main():
        async def body(name):
            try:
                if name == 2:
                    await asyncio.sleep(0)
                    raise SystemExit(name)
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                raise KeyboardInterrupt(name) from None

        run = TaskGraph.from_predecessors({name: [] for name in range(5)}).plan().start(body)
        with pytest.raises(SystemExit) as caught:
            await run
        assert caught.value.args == (2,)
        assert run.counts()["failed"] == 5

    on_loop(main())


def test_it_waits_for_bodies_that_refuse_to_be_cancelled(on_loop):
    async def main():
        ended = []

        async def body(name):
            if name == "stops":
                raise SystemExit
            while True:
                try:
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                    break
                except asyncio.CancelledError:
                    continue
            ended.append(name)

        with pytest.raises(SystemExit):
            await TaskGraph.from_predecessors({"refuses": [], "stops": []}).plan().run(body)
        assert ended == ["refuses"]

    on_loop(main())


def test_an_interrupt_inside_an_inner_run_ends_both(on_loop, kind, error):
    async def main():
        plan = TaskGraph.from_predecessors(GRAPH).plan()
        ended = []

        async def outer(name):
            if name == "stops":
                await plan.run(bodies(kind, error, ended))
            await asyncio.get_running_loop().create_future()

        with pytest.raises(type(error)) as caught:
            await plan.run(outer)
        assert caught.value is error
        assert sorted(ended) == ["cleans", "waits"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    on_loop(main())


def test_nothing_is_left_for_the_collector(on_asyncio, kind, error):
    async def attempt():
        run_bodies = bodies(kind, error, [])
        with contextlib.suppress(KeyboardInterrupt, SystemExit):
            await TaskGraph.from_predecessors(GRAPH).plan().run(run_bodies)

    async def main():
        await attempt()
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            await attempt()
            gc.collect()
            ours = [thing for thing in gc.garbage if type(thing).__module__.startswith("penstock")]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        assert not ours

    on_asyncio(main())


@pytest.mark.parametrize(("text", "code"), [("raise SystemExit(7)", 7), ("raise KeyboardInterrupt", -2)])
@pytest.mark.parametrize("turns", [0, 1])
def test_a_program_ends_with_the_exit_code_of_its_body(text, code, turns):
    program = f"""
        import asyncio, penstock

        async def body(name):
            for _ in range({turns}):
                await asyncio.sleep(0)
            if name == "b":
                {text}
            await asyncio.sleep(3600)

        penstock.TaskGraph.from_predecessors({{"a": [], "b": [], "c": ["a"]}}).plan().run_sync(body)
    """
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(program)], capture_output=True, timeout=60
    )
    assert done.returncode == code, done.stderr
    if code > 0:
        assert done.stderr == b""
    else:
        assert done.stderr.rstrip().endswith(b"KeyboardInterrupt")
