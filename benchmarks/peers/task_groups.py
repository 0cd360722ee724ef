"""Stage after stage with asyncio.TaskGroup."""

import asyncio

from .stages import stages

label = "TaskGroup"
missing = None
takes = "coroutines"

build = stages


async def run(built, function):
    results = {}
    for stage in built:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(function(name)) for name in stage]
        for name, task in zip(stage, tasks, strict=True):
            results[name] = task.result()
    return results
