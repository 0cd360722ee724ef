"""Libraries that remember the current task and cancel it later: they must find the right one inside a body.

Only 127.0.0.1 is ever talked to.
"""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from penstock import TaskGraph

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

NAMES = list(range(8))
PARALLEL = {name: [] for name in NAMES}


async def run_bodies(body, **options):
    report = await TaskGraph.from_predecessors(PARALLEL).plan().run(body, **options)
    assert report.execution_state == "completed", report.error_summary
    assert asyncio.current_task().cancelling() == 0
    return dict(report.results)


# -- anyio -----------------------------------------------------------------------------------------------


@pytest.fixture
def anyio():
    return pytest.importorskip("anyio")


@pytest.mark.parametrize("turns", [0, 1])
def test_an_anyio_deadline_hits_its_own_body(on_loop, anyio, turns):
    async def main():
        async def body(name):
            for _ in range(turns):
                await asyncio.sleep(0)
            with anyio.move_on_after(0 if name % 2 else 60) as scope:
                await anyio.sleep_forever() if name % 2 else await anyio.sleep(0)
            return scope.cancelled_caught

        assert await run_bodies(body) == {name: bool(name % 2) for name in NAMES}

    on_loop(main())


def test_anyio_fail_after_raises_in_its_own_body(on_loop, anyio):
    async def main():
        async def body(name):
            try:
                with anyio.fail_after(0 if name == 3 else 60):
                    await (anyio.sleep_forever() if name == 3 else anyio.sleep(0))
            except TimeoutError:
                return "timed out"

        assert await run_bodies(body) == {name: "timed out" if name == 3 else None for name in NAMES}

    on_loop(main())


def test_nested_anyio_scopes_are_told_apart(on_loop, anyio):
    async def main():
        async def body(name):
            with anyio.CancelScope() as outer:
                with anyio.CancelScope() as inner:
                    (outer if name % 2 else inner).cancel()
                    await anyio.sleep_forever()
                await anyio.sleep(0)
            return outer.cancelled_caught, inner.cancelled_caught

        expected = {name: (bool(name % 2), not name % 2) for name in NAMES}
        assert await run_bodies(body) == expected

    on_loop(main())


def test_an_anyio_task_group_in_a_body_waits_for_its_children_and_is_cancelled_with_them(on_loop, anyio):
    async def main():
        async def body(name):
            ended = []

            async def child(number):
                try:
                    if number == 2:
                        raise ValueError(name)
                    await anyio.sleep_forever()
                finally:
                    ended.append(number)

            try:
                async with anyio.create_task_group() as group:
                    for number in range(3):
                        group.start_soon(child, number)
                    await anyio.sleep_forever()
            except* ValueError as errors:
                raised = [error.args for error in errors.exceptions]
            return raised, sorted(ended)

        assert await run_bodies(body) == {name: ([(name,)], [0, 1, 2]) for name in NAMES}

    on_loop(main())


def test_one_body_may_cancel_the_anyio_scope_of_another(on_loop, anyio):
    async def main():
        scopes = {}

        async def body(name):
            if name == 0:
                await asyncio.sleep(0)
                for scope in scopes.values():
                    scope.cancel()
                return None
            with anyio.CancelScope() as scopes[name]:
                await anyio.sleep_forever()
            return scopes[name].cancelled_caught

        assert await run_bodies(body) == {0: None, **dict.fromkeys(NAMES[1:], True)}

    on_loop(main())


def test_anyio_locks_events_and_streams_work_between_bodies(on_loop, anyio):
    async def main():
        send, receive = anyio.create_memory_object_stream(1)
        lock, order = anyio.Lock(), []

        async def body(name):
            async with lock:
                order.append(name)
                await anyio.sleep(0)
            if name % 2:
                return await receive.receive()
            await send.send(name)
            return None

        results = await run_bodies(body)
        assert order == NAMES
        assert sorted(value for value in results.values() if value is not None) == NAMES[::2]
        send.close()
        receive.close()

    on_loop(main())


def test_anyio_worker_threads_can_be_used_from_a_body(on_loop, anyio):
    async def main():
        async def body(name):
            with anyio.fail_after(60):
                return await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(asyncio.sleep, 0, name))

        assert await run_bodies(body, max_concurrency=3) == {name: name for name in NAMES}

    on_loop(main())


def test_anyio_names_the_task_of_a_body(on_loop, anyio):
    async def main():
        async def body(name):
            info = anyio.get_current_task()
            await anyio.sleep(0)
            assert anyio.get_current_task() == info
            return info.id

        assert len(set((await run_bodies(body)).values())) == len(NAMES)

    on_loop(main())


def test_a_scope_around_the_run_cancels_the_whole_run(on_loop, anyio):
    async def main():
        ended = []

        async def body(name):
            try:
                with anyio.CancelScope():
                    await anyio.sleep_forever()
            finally:
                ended.append(name)

        with anyio.move_on_after(0.01) as scope:
            await TaskGraph.from_predecessors(PARALLEL).plan().run(body)
        assert scope.cancelled_caught
        assert sorted(ended) == NAMES

    on_loop(main())


def test_a_run_in_an_anyio_program_and_sniffio_agree_on_the_library(anyio):
    sniffio = pytest.importorskip("sniffio")

    async def main():
        async def body(name):
            first = sniffio.current_async_library()
            await anyio.sleep(0)
            return first, sniffio.current_async_library()

        return await run_bodies(body)

    assert anyio.run(main) == dict.fromkeys(NAMES, ("asyncio", "asyncio"))


# -- HTTP ------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def slow_server():
    """Answer /fast at once and anything else never."""

    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                if b"/fast" not in request.split(b"\r\n")[0]:
                    await reader.read()
                    break
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


async def all_other_tasks_end():
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0)


def test_a_time_out_of_aiohttp_hits_the_body_that_waits(on_loop):
    aiohttp = pytest.importorskip("aiohttp")

    async def main():
        async with slow_server() as url, aiohttp.ClientSession(trust_env=False) as session:

            async def body(name):
                path, seconds = ("/slow", 0.05) if name % 2 else ("/fast", 60)
                try:
                    async with session.get(url + path, timeout=aiohttp.ClientTimeout(total=seconds)) as answer:
                        return await answer.text()
                except TimeoutError:
                    assert asyncio.current_task().cancelling() == 0
                    return "timed out"

            assert await run_bodies(body) == {name: "timed out" if name % 2 else "ok" for name in NAMES}
        await all_other_tasks_end()

    on_loop(main())


def test_a_time_out_of_httpx_hits_the_body_that_waits(on_loop):
    httpx = pytest.importorskip("httpx")

    async def main():
        async with slow_server() as url, httpx.AsyncClient(trust_env=False) as client:

            async def body(name):
                path, seconds = ("/slow", 0.05) if name % 2 else ("/fast", 60)
                try:
                    return (await client.get(url + path, timeout=seconds)).text
                except httpx.TimeoutException:
                    return "timed out"

            assert await run_bodies(body) == {name: "timed out" if name % 2 else "ok" for name in NAMES}
        await all_other_tasks_end()

    on_loop(main())


def test_a_deadline_around_a_request_cancels_the_request_of_that_body(on_loop, anyio):
    httpx = pytest.importorskip("httpx")

    async def main():
        async with slow_server() as url, httpx.AsyncClient(trust_env=False, timeout=None) as client:

            async def body(name):
                with anyio.move_on_after(0.05 if name % 2 else 60) as scope:
                    await client.get(url + ("/slow" if name % 2 else "/fast"))
                return scope.cancelled_caught

            assert await run_bodies(body) == {name: bool(name % 2) for name in NAMES}
        await all_other_tasks_end()

    on_loop(main())
