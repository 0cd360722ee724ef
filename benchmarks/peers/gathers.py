"""Stage after stage with asyncio.gather."""

import asyncio

from .stages import stages

label = "gather"
missing = None
takes = "coroutines"

build = stages


async def run(built, function):
    results = {}
    for stage in built:
        results.update(zip(stage, await asyncio.gather(*[function(name) for name in stage]), strict=True))
    return results
