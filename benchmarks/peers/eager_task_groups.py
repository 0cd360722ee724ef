"""Stage after stage with asyncio.TaskGroup and eager tasks: the fastest that asyncio has to offer."""

import asyncio
import sys

from . import task_groups

label = "eager TaskGroup"
missing = None if sys.version_info >= (3, 12) else "eager tasks came with Python 3.12"
takes = "coroutines"

build = task_groups.build


async def run(built, function):
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(eager)
    try:
        return await task_groups.run(built, function)
    finally:
        loop.set_task_factory(before)


def eager(loop, coroutine, *, name=None, context=None, **rest):
    """Make an eager task.

    On uvloop asyncio's own factory fails with Python 3.13.0: there the loop itself says `eager_start`.
    """
    return asyncio.Task(coroutine, loop=loop, name=name, context=context, eager_start=True)
