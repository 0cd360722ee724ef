"""Plain functions in threads: their context, what they raise, and that a running one cannot be cancelled."""

import asyncio
import contextvars
import threading
from asyncio import CancelledError

import pytest

from penstock import TaskGraph, TaskOptions

VARIABLE = contextvars.ContextVar("variable", default="unset")


def plan_of(mapping):
    return TaskGraph.from_predecessors(mapping).plan()


ONE = plan_of({"a": []})
TWO = plan_of({"a": [], "b": []})


def statuses(report):
    return {record.task_name: record.status for record in report.task_statistics}


def in_thread():
    return threading.current_thread() is not threading.main_thread()


async def ended(run):
    try:
        await run
    except BaseException as error:
        return error
    return None


async def until(condition):
    """Let the loop go round until something done by a thread is seen."""
    while not condition():
        await asyncio.sleep(0)


class Gates:
    """Bodies that say that they have begun and go on when they are let."""

    def __init__(self, *names):
        self.begun = {name: threading.Event() for name in names}
        self.let = {name: threading.Event() for name in names}
        self.calls = []

    def __call__(self, name):
        self.calls.append(name)
        self.begun[name].set()
        assert self.let[name].wait(20.0)
        return name


def test_functions_of_a_run_are_called_in_threads(on_loop):
    report = on_loop(TWO.run(lambda name: in_thread(), sync_in="thread"))
    assert report.results == {"a": True, "b": True}


@pytest.mark.parametrize(("whole", "own", "there"), [("loop", "thread", True), ("thread", "loop", False)])
def test_one_task_may_have_its_own_place(whole, own, there, on_loop):
    options = {"a": TaskOptions(sync_in=own)}
    report = on_loop(TWO.run(lambda name: in_thread(), sync_in=whole, options=options))
    assert report.results == {"a": there, "b": not there}


@pytest.mark.parametrize("value", ["process", None, 1])
def test_an_unknown_place_is_refused(value):
    with pytest.raises(ValueError, match="sync_in"):
        ONE.run_sync(lambda name: None, sync_in=value)


def test_coroutine_functions_stay_on_the_loop(on_loop):
    async def body(name):
        await asyncio.sleep(0)
        return in_thread()

    assert on_loop(ONE.run(body, sync_in="thread")).results == {"a": False}


def test_a_coroutine_that_a_function_returns_is_awaited_on_the_loop(on_loop):
    where = []

    async def later():
        await asyncio.sleep(0)
        return in_thread()

    def body(name):
        where.append(in_thread())
        return later()

    assert on_loop(ONE.run(body, sync_in="thread")).results == {"a": False}
    assert where == [True]


def test_functions_in_threads_run_at_the_same_time(on_loop):
    barrier = threading.Barrier(4, timeout=20.0)

    def body(name):
        barrier.wait()
        return name

    report = on_loop(plan_of({name: [] for name in range(4)}).run(body, sync_in="thread"))
    assert report.execution_state == "completed"


def test_results_are_passed_to_threads(on_loop):
    def body(name, *results):
        return (name, *results)

    report = on_loop(plan_of({"a": [], "b": ["a"]}).run(body, sync_in="thread", pass_results=True))
    assert report.results["b"] == ("b", ("a",))


def test_context_variables_of_the_caller_are_seen_and_not_changed(on_loop):
    def body(name):
        seen = VARIABLE.get()
        VARIABLE.set(name)
        return seen

    async def main():
        VARIABLE.set("caller's")
        report = await TWO.run(body, sync_in="thread")
        return report.results, VARIABLE.get()

    assert on_loop(main()) == ({"a": "caller's", "b": "caller's"}, "caller's")


@pytest.mark.parametrize("error", [ValueError("no"), LookupError(), GeneratorExit("no")])
def test_what_a_function_raises_in_a_thread_is_the_tasks_own(error, on_loop):
    def body(name):
        raise error

    record = on_loop(ONE.run(body, sync_in="thread")).record_of("a")
    assert record.status == "failed"
    assert record.exception is error
    assert error.__traceback__ is not None


def test_a_stop_iteration_comes_as_a_runtime_error(on_loop):
    def body(name):
        raise StopIteration(name)

    record = on_loop(ONE.run(body, sync_in="thread")).record_of("a")
    assert record.status == "failed"
    assert isinstance(record.exception, RuntimeError)
    assert isinstance(record.exception.__cause__, StopIteration)


def test_a_cancelled_error_raised_in_a_thread_cancels_the_task(on_loop):
    def body(name):
        raise CancelledError(name)

    assert statuses(on_loop(ONE.run(body, sync_in="thread"))) == {"a": "cancelled"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_a_thread_stops_the_run_and_is_raised_where_it_is_awaited(error, on_loop):
    stop = error("stop")

    def body(name):
        raise stop

    async def main():
        run = plan_of({"a": [], "b": ["a"]}).start(body, sync_in="thread")
        assert await ended(run) is stop
        return run.report()

    assert statuses(on_loop(main())) == {"a": "failed", "b": "skipped"}


def test_never_more_threads_than_tasks_allowed_at_once(on_loop):
    lock, inside, most = threading.Lock(), [], []

    def body(name):
        with lock:
            inside.append(name)
            most.append(len(inside))
        with lock:
            inside.remove(name)
        return threading.get_ident()

    report = on_loop(plan_of({name: [] for name in range(50)}).run(body, sync_in="thread", max_concurrency=3))
    assert report.execution_state == "completed"
    assert max(most) <= 3
    assert len(set(report.results.values())) <= 3


# -- cancelling -------------------------------------------------------------------------------------------


def test_one_that_was_cancelled_before_a_thread_took_it_is_skipped(on_loop, monkeypatch):
    monkeypatch.setattr("penstock.settings.MOST_THREADS", 1)
    gates = Gates("a", "b")

    async def main():
        run = TWO.start(gates, sync_in="thread")
        await until(lambda: gates.begun["a"].is_set() and run.counts()["running"] == 2)
        run.cancel()
        await until(lambda: run.counts()["skipped"])
        gates.let["a"].set()
        assert isinstance(await ended(run), CancelledError)
        return run.report()

    report = on_loop(main())
    assert gates.calls == ["a"]
    assert statuses(report) == {"a": "cancelled", "b": "skipped"}
    record = report.record_of("b")
    assert (record.start_time, record.attempt_count, record.duration) == (None, 0, 0.0)


@pytest.mark.parametrize("waiter_cancels", [False, True])
def test_a_running_one_is_waited_for_and_keeps_its_place(waiter_cancels, on_loop):
    gates = Gates("a", "b")
    options = {"b": TaskOptions(run_when="finished")}
    gates.let["b"].set()

    async def main():
        run = plan_of({"a": [], "b": []}).start(gates, sync_in="thread", max_concurrency=1, options=options)
        waiter = asyncio.ensure_future(ended(run))
        await until(gates.begun["a"].is_set)
        (waiter if waiter_cancels else run).cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        assert run.counts()["running"] == 1
        assert gates.calls == ["a"]
        assert not waiter.done()
        gates.let["a"].set()
        assert isinstance(await waiter, CancelledError)
        return run.report()

    report = on_loop(main())
    assert statuses(report) == {"a": "cancelled", "b": "completed"}
    assert "cannot be interrupted, and ran on to its end" in report.record_of("a").error_message


def test_a_failure_elsewhere_waits_for_a_running_thread(on_loop):
    gates = Gates("a")

    def body(name):
        if name == "b":
            assert gates.begun["a"].wait(20.0)
            raise ValueError(name)
        return gates(name)

    async def main():
        run = TWO.start(body, sync_in="thread")
        await until(lambda: run.counts()["failed"])
        gates.let["a"].set()
        return await run

    report = on_loop(main())
    assert statuses(report) == {"a": "cancelled", "b": "failed"}
    assert report.record_of("a").error_message == (
        "Task cancelled due to previous failure; it was called in a thread, which cannot be interrupted, "
        "and ran on to its end"
    )


def test_a_coroutine_returned_after_a_cancellation_is_closed_unrun(on_loop):
    gates, ran = Gates("a"), []

    async def later():
        ran.append("later")

    def body(name):
        gates(name)
        return later()

    async def main():
        run = ONE.start(body, sync_in="thread")
        await until(gates.begun["a"].is_set)
        run.cancel()
        gates.let["a"].set()
        assert isinstance(await ended(run), CancelledError)

    on_loop(main())
    assert ran == []


def test_a_time_out_of_a_running_thread_fails_the_task_when_it_returns(on_loop):
    gates = Gates("a")

    async def main():
        run = ONE.start(gates, sync_in="thread", task_timeout=1e-3)
        await until(lambda: run._policing._timed_out)
        assert run.counts()["running"] == 1
        gates.let["a"].set()
        return await run

    report = on_loop(main())
    assert report.record_of("a").error_message == "Task 'a' timed out after 0.001 s"
    assert gates.calls == ["a"]


def test_threads_are_gone_after_the_run(on_loop):
    before = set(threading.enumerate())

    async def main():
        return await plan_of({name: [] for name in range(8)}).run(lambda name: name, sync_in="thread")

    assert on_loop(main()).execution_state == "completed"
    for thread in set(threading.enumerate()) - before:
        thread.join(5.0)
        assert not thread.is_alive()


def test_a_run_without_functions_in_threads_starts_none():
    async def body(name):
        assert threading.active_count() == before

    before = threading.active_count()
    assert ONE.run_sync(body, sync_in="thread").execution_state == "completed"


@pytest.mark.parametrize("trials", [20, pytest.param(1_000, marks=pytest.mark.stress)])
def test_the_place_of_a_cancelled_thread_is_not_taken_before_it_returns(on_loop, trials):
    """Tasks with time limits, cancelled in the middle of their functions: never two at once in one place."""

    async def main():
        lock, running, most = threading.Lock(), [0], [0]
        gates = {number: threading.Event() for number in range(trials)}
        loop = asyncio.get_running_loop()

        def work(number):
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            # Its time is over long before it returns.
            loop.call_soon_threadsafe(loop.call_later, 0.002, gates[number].set)
            gates[number].wait(30)
            with lock:
                running[0] -= 1

        plan = TaskGraph.from_predecessors({number: [] for number in range(trials)}).plan()
        report = await plan.run(
            work, sync_in="thread", max_concurrency=1, task_timeout=1e-4, failure_policy="continue", slow_body=None
        )
        assert report.failed_tasks == trials
        assert (most[0], running[0]) == (1, 0)

    on_loop(main())
