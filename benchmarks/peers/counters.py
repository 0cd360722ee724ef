"""A scheduler written by hand: an asyncio task for each task, which starts whatever waits for nothing else."""

import asyncio

label = "counters"
missing = None
takes = "coroutines"


def build(mapping):
    dependents = {name: [] for name in mapping}
    for name, dependencies in mapping.items():
        for dependency in dependencies:
            dependents[dependency].append(name)
    return dependents, {name: len(dependencies) for name, dependencies in mapping.items()}


async def run(built, function):
    dependents, in_degree = built
    n_pending = dict(in_degree)
    results = {}
    running = {}  # the loop holds tasks only weakly
    loop = asyncio.get_running_loop()
    finished = loop.create_future()

    async def run_one(name):
        try:
            results[name] = await function(name)
        except BaseException as error:
            if not finished.done():
                finished.set_exception(error)
            return
        finally:
            del running[name]
        for dependent in dependents[name]:
            n_pending[dependent] -= 1
            if n_pending[dependent] == 0:
                running[dependent] = loop.create_task(run_one(dependent))
        if len(results) == len(n_pending):
            finished.set_result(None)

    for name, count in in_degree.items():
        if count == 0:
            running[name] = loop.create_task(run_one(name))
    try:
        if in_degree:
            await finished
    finally:
        for task in running.values():
            task.cancel()
    return results
