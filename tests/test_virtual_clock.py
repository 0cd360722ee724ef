"""The virtual clock jumps from timer to timer, and lets other threads in."""

import asyncio
import threading
import time

import pytest

from penstock.testing import clock


def test_hours_pass_in_no_time_and_in_order():
    async def main():
        log = []

        async def sleeper(name, seconds):
            await asyncio.sleep(seconds)
            log.append((name, asyncio.get_running_loop().time()))

        await asyncio.gather(sleeper("late", 7200.5), sleeper("early", 3600.25), sleeper("now", 0.0))
        return log

    started = time.monotonic()
    assert clock.run(main()) == [("now", 0.0), ("early", 3600.25), ("late", 7200.5)]
    assert time.monotonic() - started < 5.0


def test_time_outs_are_exact():
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1e6 / 3):
                await asyncio.get_running_loop().create_future()
        return asyncio.get_running_loop().time()

    assert clock.run(main()) == 1e6 / 3


def test_many_small_steps_lose_no_time():
    async def main():
        for _ in range(10_000):
            await asyncio.sleep(0.1)
        return asyncio.get_running_loop().time()

    assert clock.run(main()) == pytest.approx(1000.0)


def test_a_thread_may_hand_in_work_when_nothing_else_is_left():
    async def main():
        loop, future = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(future.set_result, "from a thread"))
        thread.start()
        result = await future
        thread.join()
        assert await asyncio.to_thread(str.upper, "ab") == "AB"
        await loop.shutdown_default_executor()
        return result

    assert clock.run(main()) == "from a thread"


def test_waiting_for_ever_is_an_error_and_not_a_hang(monkeypatch):
    monkeypatch.setattr(clock, "PATIENCE", 0.0)
    loop = clock.VirtualClockLoop()
    future = loop.create_future()
    with pytest.raises(RuntimeError, match="every task waits for ever"):
        loop.run_until_complete(future)
    future.cancel()
    loop.close()
