"""Runs of every outcome end flat: no object or memory is kept, and nothing waits for the collector.

Each outcome is tried in a process of its own.
"""

import subprocess
import sys

import pytest

SCRIPT = """
import asyncio, collections, gc, resource, sys
import penstock

class Boom(Exception):
    pass

class Token:
    "What bodies return; none may outlive its report."

MAPPING = {i: [j for j in (i - 1, i - 7) if j >= 0] for i in range(30)}
PLAN = penstock.TaskGraph.from_predecessors(MAPPING).plan()
APART = penstock.TaskGraph.from_predecessors({i: [] for i in range(30)}).plan()

def plain(name):
    return Token()

async def coroutine(name):
    return Token()

async def suspending(name):
    await asyncio.sleep(0)
    return Token()

def plain_boom(name):
    if name == 11:
        raise Boom(name)
    return Token()

async def coroutine_boom(name):
    return plain_boom(name)

async def suspending_boom(name):
    await asyncio.sleep(0)
    return plain_boom(name)

async def waiting(name):
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        await asyncio.sleep(0)

async def waiting_boom(name):
    if name == 11:
        await asyncio.sleep(0)
        raise Boom(name)
    await waiting(name)

def interrupt(name):
    if name == 11:
        raise KeyboardInterrupt

async def suspending_exit(name):
    await asyncio.sleep(0)
    if name == 11:
        raise SystemExit

async def run(plan, body, **options):
    report = await plan.run(body, **options)
    list(report.task_statistics), report.summary(), report.to_json(), dict(report.results)
    try:
        report.raise_for_failure()
    except penstock.RunFailed:
        pass
    # The run began in this frame's own turn, so a traceback leads here: as with every exception that is kept.
    del report

async def cancel(plan, body):
    handle = plan.start(body)
    for _ in range(3):
        await asyncio.sleep(0)
    handle.cancel()
    try:
        await handle
    except asyncio.CancelledError:
        pass
    list(handle.report().task_statistics)

async def outside(plan, body):
    task = asyncio.ensure_future(run(plan, body))
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass

async def fatal(plan, body):
    try:
        await plan.run(body)
    except (KeyboardInterrupt, SystemExit):
        pass

async def dropped(plan, body):
    plan.start(body)
    for _ in range(60):
        await asyncio.sleep(0)

async def graphs(plan, body):
    graph = penstock.TaskGraph.from_predecessors({**MAPPING, 5: [6, "x"]})
    try:
        graph.plan()
    except penstock.GraphError:
        pass
    tuples = {(name,): [(n,) for n in needs] for name, needs in MAPPING.items()}
    graph = penstock.TaskGraph.from_predecessors(tuples)
    graph.add_task("late", depends_on=[(3,), (3,)])
    graph.plan().stages[2], graph.plan().critical_path(), graph.to_networkx(), graph.dependents_of((3,))
    penstock.TaskGraph.from_arrays([0, 0, 1], [0], names=["a", "b"]).plan()

async def tail():
    def scheduler(after):
        orders = [penstock.TaskOrder("t"), penstock.TaskOrder("u", [penstock.TaskOrder("t")] * after)]
        bodies = [("t", lambda: suspending_boom(11)), ("u", lambda: None)]
        return penstock.DynamicScheduler(bodies, orders, ignore_tail_task=["t"], retries=1)

    for after in (0, 1):
        report = await scheduler(after).execute()
        await asyncio.wait(report.tail_tasks.values())
        report.tail_tasks["t"].exception()
        del report

OUTCOMES = {
    "plain": lambda: run(PLAN, plain),
    "coroutine": lambda: run(PLAN, coroutine),
    "suspending": lambda: run(PLAN, suspending),
    "limited": lambda: run(APART, suspending, max_concurrency=3),
    "plain failure": lambda: run(PLAN, plain_boom),
    "coroutine failure": lambda: run(PLAN, coroutine_boom),
    "suspending failure": lambda: run(PLAN, suspending_boom),
    "continued failure": lambda: run(PLAN, suspending_boom, failure_policy="continue"),
    "failure with clean-up": lambda: run(APART, waiting_boom),
    "missing functions": lambda: run(PLAN, {0: plain}),
    "cancelled": lambda: cancel(APART, waiting),
    "cancelled outside": lambda: outside(APART, waiting),
    "retried": lambda: run(PLAN, suspending_boom, retries=1),
    "task timed out": lambda: run(APART, waiting, task_timeout=1e-3, retries=1),
    "timed out": lambda: run(APART, waiting, timeout=1e-3),
    "in a context": lambda: run(PLAN, suspending_boom, concurrency_context=asyncio.Semaphore(3), retries=1),
    "cancelled in a context": lambda: run(APART, waiting_boom, concurrency_context=asyncio.Semaphore(20)),
    "in threads": lambda: run(PLAN, plain_boom, sync_in="thread", retries=1),
    "tail": lambda: tail(),
    "interrupt": lambda: fatal(PLAN, interrupt),
    "exit": lambda: fatal(APART, suspending_exit),
    "dropped": lambda: dropped(PLAN, suspending),
    "graphs": lambda: graphs(PLAN, plain),
}

def ours(thing):
    module = type(thing).__module__ or ""
    return module.startswith("penstock") or isinstance(thing, (Boom, Token, KeyboardInterrupt, SystemExit))

async def main(outcome):
    # References: nothing of ours is left to the collector.
    await outcome()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    await outcome()
    await asyncio.sleep(0)
    gc.collect()
    left = collections.Counter(type(thing).__name__ for thing in gc.garbage if ours(thing))
    assert not left, left
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()
    # Objects, reference counts, memory.
    for _ in range(20):
        await outcome()
    gc.collect()
    kept = [PLAN, APART, PLAN._compiled, Boom, Token, plain, coroutine, suspending, UNSET]
    counts = [sys.getrefcount(thing) for thing in kept]
    objects, memory = len(gc.get_objects()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(200):
        await outcome()
    gc.collect()
    assert len(gc.get_objects()) - objects <= 10, len(gc.get_objects()) - objects
    assert max(abs(now - then) for now, then in zip(map(sys.getrefcount, kept), counts)) <= 3, counts
    scale = 1024 if sys.platform == "darwin" else 1
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / scale
    assert grown < 1024, f"{grown} kB"

from penstock._core import UNSET
asyncio.run(main(OUTCOMES[sys.argv[1]]))
"""

NAMES = [line.split('"')[1] for line in SCRIPT.splitlines() if ": lambda: " in line]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the module resource is missing on Windows")


@pytest.mark.parametrize("outcome", NAMES)
def test_two_hundred_runs_end_as_flat_as_one(outcome):
    command = [sys.executable, "-X", "faulthandler", "-c", SCRIPT, outcome]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert (ended.returncode, ended.stderr) == (0, "")


ARRAYS = """
import array, gc
import penstock

for _ in range(50):
    indptr, indices = array.array("i", [0] * 10_000 + [1]), array.array("i", [0])
    graph = penstock.TaskGraph.from_arrays(indptr, indices)
    plan = graph.plan()
    cycle = [graph, plan]
    cycle.append(cycle)
    del graph, plan, cycle
    gc.collect()
    indptr.append(1)  # a buffer still held would refuse
    assert sum(indptr) == 2
"""


def test_arrays_of_others_are_let_go_and_not_freed_when_the_collector_takes_a_graph():
    ended = subprocess.run([sys.executable, "-c", ARRAYS], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_exception_of_a_task_is_held_by_its_report_alone():
    import gc

    from penstock import TaskGraph

    async def fails(name):
        raise ValueError(name)

    report = TaskGraph.from_predecessors({"a": [], "b": ["a"]}).plan().run_sync(fails)
    error = report.record_of("a").exception
    gc.collect()
    holders = [holder for holder in gc.get_referrers(error) if holder is not sys._getframe()]
    assert [type(holder) for holder in holders] == [dict]
