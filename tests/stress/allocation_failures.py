"""Fail one allocation after the other inside one entry point of the core and see what comes of it.

    python allocation_failures.py ENTRY every COUNT   COUNT trials, each in a process of its own; prints JSON
    python allocation_failures.py ENTRY some COUNT    the same, spread over the first 500 allocations
    python allocation_failures.py ENTRY FIRST WIDTH   one trial, in this very process, for a debugger

A trial lets the FIRST-th allocation from the beginning of the entry point on fail, and the WIDTH - 1 after it.  It
must end with success or with MemoryError.  Then the same is done once more with all the memory there is, and must work.

What asyncio or CPython themselves get wrong without memory is told apart, each where it happens: see `lost_by_asyncio`,
`CPYTHONS_WAYS` and `hold_inner_code`.
"""

from __future__ import annotations

import _testcapi
import array
import asyncio
import collections
import contextlib
import faulthandler
import gc
import itertools
import json
import os
import signal
import sys
import traceback
import types
import warnings

import penstock
from penstock import TaskGraph
from penstock._core import Graph, Plan, RunState
from penstock.testing import shapes

MAPPING = shapes.layered(40)
NAMES = list(MAPPING)
ROWS = list(MAPPING.values())
OTHER_NAMES = [(name,) for name in NAMES]
OTHER_ROWS = [[(name,) for name in row] for row in ROWS]
PAIRS = [(source, target) for target, sources in MAPPING.items() for source in sources]
SOURCES = [source for source, _ in PAIRS]
TARGETS = [target for _, target in PAIRS]
INDPTR, INDICES = shapes.layered_csr(40)
FORTY = TaskGraph.from_predecessors(MAPPING).plan()
NUMBERED = TaskGraph.from_arrays(INDPTR, INDICES).plan()
SIX = TaskGraph.from_predecessors({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"], "e": ["d"], "f": []}).plan()


# -- building and planning -----------------------------------------------------------------------------------


def from_rows():
    assert Graph.from_rows(NAMES, ROWS).n_edges == len(PAIRS)
    assert Graph.from_rows(OTHER_NAMES, OTHER_ROWS).n_edges == len(PAIRS)


def from_successor_rows():
    assert Graph.from_successor_rows(NAMES, ROWS).n_edges == len(PAIRS)


def from_endpoints():
    assert Graph.from_endpoints(NAMES, SOURCES, TARGETS, True).n_edges == len(PAIRS)
    assert Graph.from_endpoints([], SOURCES, TARGETS, False).n_edges == len(PAIRS)


def from_arrays():
    assert Graph.from_arrays(INDPTR, INDICES, False, None).n_edges == len(INDICES)
    assert Graph.from_arrays(array.array("q", INDPTR), INDICES, True, NAMES).n_edges == len(INDICES)


def add():
    graph = Graph()
    for name, row in zip(NAMES, ROWS, strict=True):
        graph.add(name, row)
    for name, row in zip(OTHER_NAMES, OTHER_ROWS, strict=True):
        graph.add(name, row)
    assert graph.n_edges == 2 * len(PAIRS)


def task_graph():
    graph = TaskGraph.from_predecessors(MAPPING)
    graph.add_task("one more", depends_on=NAMES[:3])
    plan = graph.plan()
    assert (plan.total_tasks, len(plan.stages[0].start_tasks) > 0) == (41, True)


def bad_graph():
    problems = None
    try:
        TaskGraph.from_predecessors({"a": ["c"], "b": ["a", "x"], "c": ["b"]}).plan()
    except penstock.GraphError as error:
        problems = error.problems
    assert problems is not None
    assert len(problems) == 2


def plan():
    plan = Plan(FORTY._compiled.graph)
    assert (plan.n, len(plan.order), len(plan.critical_path(None)[0])) == (40, 40, plan.depth)


def subgraph():
    assert FORTY.subgraph(NAMES[-1:]).total_tasks > 1


# -- running -------------------------------------------------------------------------------------------------


def run_state():
    state = RunState(FORTY._compiled, 0, True)
    for _ in range(10):
        state.finish(state.start(1.0), 3, 2.0)
    copy = state.copy()
    state.finish(state.start(1.0), 4, 2.0)
    state.stop()
    state.check()
    copy.check()
    assert state.done


async def waiting(name, *results):
    await asyncio.get_running_loop().create_future()


async def at_once(name, *results):
    return name


async def suspending(name, *results):
    await asyncio.sleep(0)
    return name


async def failing(name, *results):
    await asyncio.sleep(0)
    if name == "d":
        raise ValueError
    return name


def call(name, *results):
    return name


def call_fails(name, *results):
    raise ValueError


async def timing_out(name):
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.get_running_loop().create_future()
    return name


async def keeping(name):
    task = asyncio.current_task()
    task.add_done_callback(lambda task: None)
    task.note = name
    await asyncio.sleep(0)
    return name


# Each of the following makes an entry point of a coroutine function, which puts what it awaits into `handles`.


def run(body, plan=SIX, state="completed", **options):
    async def main(handles):
        handles.append(plan.start(body, **options))
        return await handles[0]

    return lambda: run_in_turns(main, state)


def run_in_the_callers_turn():
    async def main(handles):
        return await SIX.run(suspending)

    run_in_turns(main, "completed")


def run_cancelled():
    def cancel(run):
        while True:
            try:
                return run.cancel()
            except MemoryError:
                continue  # then nothing was cancelled, and it can be tried again

    async def main(handles):
        handles.append(SIX.start(waiting))
        # Two turns on, when there are bodies that wait.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, cancel, handles[0])
        return await handles[0]

    run_in_turns(main, "cancelled")


def run_read():
    async def main(handles):
        handles.append(SIX.start(suspending, time_slice=1e-9))
        assert len([record async for record in handles[0]]) == 6
        return await handles[0]

    run_in_turns(main, "completed")


def made_task(handles, coroutine, **options):
    try:
        handles.append(penstock.Task(coroutine, **options))
    except BaseException:
        coroutine.close()
        raise
    return handles[-1]


def task():
    async def body(turns):
        for _ in range(turns):
            await asyncio.sleep(0)
        return "value"

    async def main(handles):
        made = made_task(handles, body(2), name="x")
        made.add_done_callback(lambda task: None)
        repr(made), made.get_stack(), made._callbacks
        assert await made == "value"

    run_in_turns(main)


def eager_task():
    async def body(fails):
        if fails:
            raise ValueError
        await asyncio.sleep(0)

    async def main(handles):
        for fails in (False, True):
            made = made_task(handles, body(fails), eager_start=True)
            await asyncio.wait([made])
            made.exception()

    run_in_turns(main)


FINISHED = {}


def report():
    for finished in FINISHED.values():
        finished.task_statistics[2], list(finished.task_statistics), finished.stage_statistics[0]
        dict(finished.results), finished.error_summary, finished.execution_state, finished.completion_order
        finished.to_dict(), finished.summary(), finished.critical_path()
        finished.get_longest_task(), finished.skipped_by_root()
        with contextlib.suppress(penstock.RunFailed):
            finished.raise_for_failure()


ENTRIES = {
    "from_rows": from_rows,
    "from_successor_rows": from_successor_rows,
    "from_endpoints": from_endpoints,
    "from_arrays": from_arrays,
    "add": add,
    "task_graph": task_graph,
    "bad_graph": bad_graph,
    "plan": plan,
    "subgraph": subgraph,
    "run_state": run_state,
    "run_plain": run(call),
    "run_at_once": run(at_once),
    "run_suspending": run(suspending),
    "run_in_the_callers_turn": run_in_the_callers_turn,
    "run_numbered": run(call, NUMBERED, pass_results=True),
    "run_passing": run(suspending, pass_results=True, keep_results="sinks"),
    "run_sliced": run(at_once, time_slice=1e-9, max_concurrency=2),
    "run_failing": run(failing, state="failed", failure_policy="continue", pass_results=True, keep_results="none"),
    "run_stopping": run(failing, state="failed"),
    "run_failing_call": run(call_fails, state="failed"),
    "run_timing_out": run(timing_out),
    "run_keeping": run(keeping),
    "run_cancelled": run_cancelled,
    "run_read": run_read,
    "task": task,
    "eager_task": eager_task,
    "report": report,
}

WITHOUT_LOOP = [from_rows, from_successor_rows, from_endpoints, from_arrays, add, task_graph, bad_graph, plan, subgraph,
                run_state, report]  # fmt: skip


# -- the loop ------------------------------------------------------------------------------------------------

#: Beyond this many turns of the loop nothing moves any more.
MOST_TURNS = 250


class Loop(asyncio.SelectorEventLoop):
    """Turns until a task is done, or nothing moves any more.  Allocations fail inside its turns only."""

    def __init__(self):
        super().__init__()
        # asyncio's compiled task crashes if its coroutine fails without an exception, see `CPYTHONS_WAYS`.
        self.set_task_factory(lambda loop, coroutine, **options: asyncio.tasks._PyTask(coroutine, loop=loop, **options))
        self.set_exception_handler(lambda loop, context: self.errors.append(context.get("exception")))
        self.task = self.failing = None
        self.turns = self.width = 0
        self.errors = []  # what callbacks raised

    def turn_until(self, task):
        self.task, self.turns = task, 0
        self.run_forever()

    def _run_once(self):
        self.turns += 1
        idle = not self._ready and not self._scheduled
        self._stopping = idle or self.turns == MOST_TURNS or self.task.done()
        if self.failing is not None:
            failing, self.failing = self.failing, None
            _testcapi.set_nomemory(*failing)
        elif self._stopping:
            _testcapi.remove_mem_hooks()
        try:
            super()._run_once()
        except MemoryError as error:
            _testcapi.remove_mem_hooks()
            self.errors.append(error)


def lost_by_asyncio(error):
    """Did a callback fail before it came to any code of ours, as far as the traceback can tell?

    The loop takes it from its queue and then needs memory to call it; without, it is never called.  If it was the one
    that resumes a body, nothing else will.  Where there was no memory for the traceback either, there is none.
    """
    place = error.__traceback__
    while place is not None:
        if "penstock/_core/" in place.tb_frame.f_code.co_filename:
            return False
        place = place.tb_next
    return says_no_memory(error)


def lost_twice(handles):
    """Could a task be woken neither by what it waited for nor, when that had failed, by itself?

    That takes three failures in a row.  A body of a run waits for a future that was cancelled but could not call back;
    a task on its own may as well have yielded without a future, and is then lost as one of asyncio's is.
    """
    tasks = [task for task in asyncio.all_tasks(LOOP) if isinstance(task, penstock.Task)]
    return LOOP.width > 2 and any(
        task in handles if task._fut_waiter is None else task._fut_waiter.done() for task in tasks
    )


def run_in_turns(main, state=None):
    """Turn the loop until the coroutine has ended, or nothing moves any more; a report must have that state."""
    handles = []
    coroutine = main(handles)
    try:
        task = LOOP.create_task(coroutine)
    except BaseException:
        coroutine.close()
        raise
    LOOP.turn_until(task)
    LOOP.turn_until(task)
    if not task.done():
        # asyncio itself loses the wake-up of who awaits a future when there is no memory to schedule it.  What is
        # awaited, however, must have ended.
        task._log_destroy_pending = False
        handles = handles or [found for found in gc.get_objects() if isinstance(found, penstock.Run)]
        ended = bool(handles) and all(handle.done() for handle in handles)
        gave_up = any(getattr(handle, "fatal", None) is not None for handle in handles)  # and then must have ended
        lost = not gave_up and (any(map(lost_by_asyncio, LOOP.errors)) or lost_twice(handles))
        errors = "".join(map("".join, map(traceback.format_exception, LOOP.errors)))
        assert ended or lost, f"{handles} hangs\n{errors}"
        raise MemoryError("lost by the loop")
    try:
        outcome = task.result()
    except asyncio.CancelledError:
        if state == "cancelled":
            return
        raise
    if state is None or outcome.execution_state == state:
        return
    # A body could not be called or resumed for want of memory: that is its failure.  Or who was to cancel could not.
    causes = [record.exception for record in outcome.task_statistics if record.status == "failed"] or LOOP.errors
    assert causes, outcome.execution_state
    assert all(map(says_no_memory, causes)), causes
    raise MemoryError("of a body")


# -- trials --------------------------------------------------------------------------------------------------

#: CPython's other ways to say that there is no memory: for a lock, for the frame of a Python function (on 3.11), and
#: for that of a coroutine (from 3.12 on).
CPYTHONS_WAYS = (
    "can't allocate lock",
    "error return without exception set",
    "<method 'throw' of 'coroutine' objects> returned NULL without setting an exception",
)


def says_no_memory(error):
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | SystemError) and str(error) in CPYTHONS_WAYS
    )


def trial(entry, first, width):
    """Do it with failures; then once more with all the memory there is, and let the collector look at what is left."""
    signal.alarm(60)
    outcome = "success"
    try:
        if entry in WITHOUT_LOOP:
            _testcapi.set_nomemory(first, first + width)
        else:
            LOOP.failing = first, first + width
            LOOP.width = width
        entry()
    except Exception as error:
        _testcapi.remove_mem_hooks()
        if not says_no_memory(error):
            raise
        outcome = "MemoryError"
    finally:
        _testcapi.remove_mem_hooks()
    settle()
    entry()
    settle()
    gc.collect()
    return outcome


def settle():
    """Let whatever a trial left on the loop come to its end."""
    for task in asyncio.all_tasks(LOOP):
        task.cancel()

    async def wait():
        for _ in range(20):
            await asyncio.sleep(0)

    LOOP.turn_until(LOOP.create_task(wait()))
    LOOP.errors.clear()


OUTCOMES = ["success", "MemoryError"]


def in_a_child(entry, first, width):
    """Do one trial in a fork, so that damage done by one is not found in another; return what came of it, and why."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = len(OUTCOMES)
        try:
            os.dup2(into, 2)
            open_loop()  # one of its own: the parent's selector is shared with it
            code = OUTCOMES.index(trial(entry, first, width))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(into)
    with open(out, encoding="utf-8", errors="replace") as text:
        said = text.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status < 0:
        return "crash", said
    return (OUTCOMES[status] if status < len(OUTCOMES) else "wrong"), said


def every_failure(entry, count):
    """Fail each allocation in turn, then two in a row from each on, then three ..., until it is `count` trials."""
    trials = []
    end = count
    for width in itertools.count(1):
        for first in range(end):
            if len(trials) == count:
                return trials
            trials.append((first, width, *in_a_child(entry, first, width)))
            if width == 1 and [outcome for _, _, outcome, _ in trials[-50:]] == ["success"] * 50:
                # It allocates no more than this: there was nothing left to fail.
                del trials[-50:]
                end = len(trials)
                break
    raise AssertionError


def some_failures(entry, count):
    """Fail `count` of the first 500 allocations, most of them among the first: some entry points need only few."""
    points = [(at * at * 500 // count**2, 1 + at % 3) for at in range(count)]
    return [(first, width, *in_a_child(entry, first, width)) for first, width in points]


def summary(trials):
    found = dict(collections.Counter(outcome for _, _, outcome, _ in trials))
    return found | {"bad": [trial for trial in trials if trial[2] not in OUTCOMES]}


def prepared(name):
    entry = ENTRIES[name]
    if entry is report:
        for body in (call, failing, call_fails):
            made = LOOP.create_task(SIX.run(body))
            LOOP.turn_until(made)
            FINISHED[body] = made.result()
    for _ in range(3):  # what is made only once is made before
        entry()
    hold_inner_code()
    gc.collect()
    gc.freeze()  # the children's collections look only at what they made
    gc.disable()
    return entry


def hold_inner_code():
    """Keep alive the code of all inner functions.

    Python 3.12 and 3.13 let go of it once too often each time there is no memory to make the function of it, and
    crash at its next use.
    """
    todo = [found.__code__ for found in gc.get_objects() if isinstance(found, types.FunctionType)]
    for code in todo:
        inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
        todo += inner
        HELD.extend(inner * 20)


HELD = []


def open_loop():
    global LOOP
    LOOP = Loop()
    asyncio.set_event_loop(LOOP)


def main(name, *numbers):
    faulthandler.enable()
    # Not faulthandler's own timer: its thread begins with the allocators that are just being exchanged.
    faulthandler.register(signal.SIGALRM, chain=True)
    warnings.simplefilter("ignore")  # a coroutine may be dropped before it was ever awaited
    # Its compiled one uses the `setdefault` of dicts, which Python 3.13.0 gets wrong (see names.h), and crashes later.
    asyncio.tasks._enter_task = asyncio.tasks._py_enter_task
    open_loop()
    entry = prepared(name)
    match numbers:
        case ["some", count]:
            print(json.dumps(summary(some_failures(entry, int(count)))))
        case ["every", count]:
            print(json.dumps(summary(every_failure(entry, int(count)))))
        case [first, width]:
            print(trial(entry, int(first), int(width)))


if __name__ == "__main__":
    main(*sys.argv[1:])
