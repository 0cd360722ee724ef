"""The bodies that the benchmarks of running call: they do as little as a body of their kind can."""

import asyncio


async def coroutine():
    return 1


def function():
    return 1


async def named(name):
    return name


def named_function(name):
    return name


async def nothing(name):
    pass


async def await_future(name):
    """Suspend once, for a future whose result the event loop is about to set."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(future.set_result, name)
    return await future


async def sleep_once(name):
    """Suspend once, for a turn of the event loop."""
    await asyncio.sleep(0)
    return name


SUSPENDING = {"future": await_future, "sleep(0)": sleep_once}
