"""The standard library's sorter, constructed and prepared; and run with asyncio.wait, as its manual shows it."""

import asyncio
from graphlib import TopologicalSorter

label = "graphlib"
missing = None
takes = "coroutines"
used_up = True  # a sorter goes through its graph once


def build(mapping):
    sorter = TopologicalSorter(mapping)
    sorter.prepare()
    return sorter


def facts(sorter):
    n_tasks = n_stages = 0
    while sorter:
        ready = sorter.get_ready()
        sorter.done(*ready)
        n_tasks += len(ready)
        n_stages += 1
    return n_tasks, None, n_stages


async def run(sorter, function):
    results = {}
    names = {}  # of the tasks that run
    while sorter:
        for name in sorter.get_ready():
            names[asyncio.create_task(function(name))] = name
        done, _ = await asyncio.wait(names, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            name = names.pop(task)
            results[name] = task.result()
            sorter.done(name)
    return results
