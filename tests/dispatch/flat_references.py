"""Many runs of each outcome in one process; prints what has grown, as JSON.

    python flat_references.py asyncio|uvloop RUNS

Reference counts are exact: what one run takes too much, or gives too much, shows as often as it runs.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import gc
import importlib
import json
import sys
import weakref

import penstock
from penstock import TaskGraph
from penstock._core import UNSET

GRAPH = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"], "e": ["d"]}
PLAN = TaskGraph.from_predecessors(GRAPH).plan()
NUMBERED = TaskGraph.from_arrays([0, 0, 1, 2, 4, 5], [0, 0, 1, 2, 3]).plan()
VALUE = object()


class Boom(Exception):
    pass


BOOM = Boom("one and the same")


def plain(name, *results):
    return VALUE


async def at_once(name, *results):
    return VALUE


async def suspending(name, *results):
    await asyncio.sleep(0)
    return VALUE


async def keeping_its_task(name):
    task = asyncio.current_task()
    task.set_name("kept")
    weakref.ref(task)
    task.add_done_callback(ignore)
    return VALUE


def ignore(task):
    pass


async def waiting_for_a_future(name):
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, VALUE)
    return await future


def failing_call(name, *results):
    raise Boom(name)


async def failing_at_once(name, *results):
    raise Boom(name)


async def failing_later(name, *results):
    await asyncio.sleep(0)
    raise Boom(name)


async def failing_with_the_same(name, *results):
    raise BOOM.with_traceback(None)


def failing_future(name):
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_exception, Boom(name))
    return future


async def failing_in_a_future(name, *results):
    await failing_future(name)  # kept in no variable, which the traceback would lead to


async def failing_in_the_middle(name, *results):
    await asyncio.sleep(0)
    if name == "b":
        raise Boom(name)
    return VALUE


async def cancelling_itself(name):
    asyncio.current_task().cancel()
    await asyncio.sleep(0)


async def raising_cancelled(name):
    raise asyncio.CancelledError


async def waiting(name):
    await asyncio.get_running_loop().create_future()


class BadYield:
    def __await__(self):
        yield VALUE


async def yielding_nonsense(name):
    await BadYield()


async def exiting(name):
    await asyncio.sleep(0)
    raise SystemExit(VALUE)


def interrupting(name):
    raise KeyboardInterrupt


# -- outcomes ---------------------------------------------------------------------------------------------


async def run(body, plan=PLAN, **options):
    report = await plan.run(body, **options)
    dict(report.results), list(report.task_statistics), report.error_summary
    del report  # a body's traceback may lead to this frame


async def read(body):
    async for record in PLAN.start(body):
        record.status  # noqa: B018


async def read_a_little(body):
    handle = PLAN.start(body)
    async for _ in handle:
        break
    await handle


async def cancel(body, turns):
    handle = PLAN.start(body)
    for _ in range(turns):
        await asyncio.sleep(0)
    handle.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await handle


async def cancel_outside(body, turns):
    task = asyncio.ensure_future(PLAN.run(body))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def fatal(body):
    with contextlib.suppress(SystemExit, KeyboardInterrupt):
        await PLAN.run(body)


async def alone(coroutine, **options):
    with contextlib.suppress(Boom, asyncio.CancelledError):
        await penstock.Task(coroutine, **options)


async def alone_cancelled():
    task = penstock.Task(waiting("x"))
    await asyncio.sleep(0)
    task.cancel("text")
    with contextlib.suppress(asyncio.CancelledError):
        await task


def passing(body):
    keeps = ("all", "sinks", "none", ["c"])
    return [lambda keep=keep: run(body, pass_results=True, keep_results=keep) for keep in keeps]


BODIES = [plain, at_once, suspending, keeping_its_task, waiting_for_a_future, failing_call, failing_at_once,
          failing_later, failing_with_the_same, failing_in_a_future, failing_in_the_middle, cancelling_itself,
          raising_cancelled, yielding_nonsense]  # fmt: skip
PASSING = [plain, at_once, suspending, failing_call, failing_at_once, failing_in_the_middle]

OUTCOMES = {f"run {body.__name__}": [lambda body=body: run(body)] for body in BODIES}
OUTCOMES |= {f"continue {body.__name__}": [lambda body=body: run(body, failure_policy="continue")] for body in BODIES}
OUTCOMES |= {f"pass {body.__name__}": passing(body) for body in PASSING}
OUTCOMES |= {
    "mapping": [lambda: run({name: lambda: VALUE for name in GRAPH})],
    "missing": [lambda: run({"a": ignore})],
    "numbers": [lambda: run(plain, NUMBERED), lambda: run(suspending, NUMBERED, pass_results=True)],
    "limited": [lambda: run(suspending, max_concurrency=1)],
    "sliced": [lambda: run(at_once, time_slice=1e-9)],
    "read": [lambda: read(suspending), lambda: read(failing_later), lambda: read_a_little(suspending)],
    "cancel": [lambda turns=turns: cancel(waiting, turns) for turns in range(3)],
    "cancel outside": [lambda turns=turns: cancel_outside(waiting, turns) for turns in range(4)],
    "fatal": [lambda: fatal(exiting), lambda: fatal(interrupting)],
    "task": [lambda: alone(suspending("x")), lambda: alone(at_once("x"), eager_start=True),
             lambda: alone(failing_later("x")), lambda: alone(cancelling_itself("x")), alone_cancelled],
}  # fmt: skip

WATCHED = {"None": None, "True": True, "UNSET": UNSET, "VALUE": VALUE, "Task": penstock.Task, "BOOM": BOOM,
           "plan": PLAN, "graph": PLAN._compiled.graph, "plain": plain, "suspending": suspending, "int": 12345,
           "a": "a", "CancelledError": asyncio.CancelledError, "Boom": Boom, "()": ()}  # fmt: skip


def ours(thing):
    module = getattr(type(thing), "__module__", "") or ""
    return module.startswith("penstock") or isinstance(thing, Boom)


async def garbage_of(make):
    """Run once without the collector; what does it find that is ours?"""
    await make()
    await asyncio.sleep(0)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    await make()
    await asyncio.sleep(0)
    gc.collect()
    found = collections.Counter(type(thing).__name__ for thing in gc.garbage if ours(thing))
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()
    return dict(found)


def counts():
    gc.collect()
    found = {name: sys.getrefcount(thing) for name, thing in WATCHED.items()}
    found["objects"] = len(gc.get_objects())
    found["blocks"] = sys.getallocatedblocks()
    return found


async def growth_of(make, runs):
    """Return what many runs have left behind, by what is watched."""
    for _ in range(100):
        await make()
        await asyncio.sleep(0)  # callbacks of kept tasks are called
    before = counts()
    before = counts()  # the first made the dict that the second replaces
    for _ in range(runs):
        await make()
        await asyncio.sleep(0)
    after = counts()
    growth = {name: after[name] - before[name] for name in before}
    # One reference in ten runs may be ours.
    return {key: value for key, value in growth.items() if abs(value) > (runs if key == "blocks" else runs / 10)}


async def steady_growth_of(make, runs):
    """Return what grows whenever it is measured: a cache or table of the interpreter's grows, or shrinks, once."""
    found = await growth_of(make, runs)
    for _ in range(2):
        if not found:
            break
        again = await growth_of(make, runs)
        found = {key: value for key, value in found.items() if again.get(key, 0) * value > 0}
    return found


async def main(runs):
    gc.collect()
    gc.freeze()  # the collector need not go through the libraries a thousand times
    grown = {}
    for name, makes in OUTCOMES.items():
        for number, make in enumerate(makes):
            garbage = await garbage_of(make)
            found = await steady_growth_of(make, runs)
            if garbage or found:
                grown[f"{name} {number}"] = {"garbage": garbage, "growth": found}
    print(json.dumps(grown))


if __name__ == "__main__":
    module, number = sys.argv[1:]
    with asyncio.Runner(loop_factory=importlib.import_module(module).new_event_loop) as runner:
        runner.run(main(int(number)))
