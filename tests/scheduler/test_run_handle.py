"""The handle of a run: state, counts, partial reports, callbacks; runs side by side; what is refused."""

import asyncio
import contextvars
import threading

import pytest

from penstock import InvalidStateError, TaskGraph

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


def plan_of(mapping):
    return TaskGraph.from_predecessors(mapping).plan()


class Gate:
    """Bodies that wait until their name is let through."""

    def __init__(self):
        self.futures = {}

    def __call__(self, name):
        self.futures[name] = asyncio.get_running_loop().create_future()
        return self.futures[name]

    async def open(self, name, value=None):
        self.futures[name].set_result(value)
        for _ in range(4):
            await asyncio.sleep(0)


async def turns(n=4):
    for _ in range(n):
        await asyncio.sleep(0)


def counts(**given):
    states = ("pending", "ready", "running", "completed", "failed", "cancelled", "skipped", "detached", "retrying")
    return dict.fromkeys(states, 0) | given


def test_state_and_counts_follow_the_run(on_loop):
    async def main():
        gate = Gate()
        run = plan_of(DIAMOND).start(gate, max_concurrency=1)
        assert run.counts() == counts(ready=1, pending=3)
        assert repr(run) == "<Run running: 0 of 4 tasks ended>"
        await turns()
        assert run.counts() == counts(running=1, pending=3)
        await gate.open("a")
        assert run.counts() == counts(completed=1, running=1, ready=1, pending=1)
        assert (run.state, run.done()) == ("running", False)
        for name in "bcd":
            await gate.open(name)
        assert (run.state, run.done()) == ("completed", True)
        assert run.counts() == counts(completed=4)
        report = await run
        assert await run is report is run.report()
        assert repr(run) == "<Run completed: 4 of 4 tasks ended>"

    on_loop(main())


def test_a_partial_report_tells_what_is_known_and_does_not_change(on_loop):
    async def main():
        gate = Gate()
        run = plan_of(DIAMOND).start(gate)
        await turns()
        await gate.open("a", 1)
        await gate.open("c", 3)
        partial = run.report()
        seen = [(record.task_name, record.status) for record in partial.task_statistics]
        assert seen == [("a", "completed"), ("b", "running"), ("c", "completed")]
        assert partial.execution_state == "running"
        assert dict(partial.results) == {"a": 1, "c": 3}
        running = partial.record_of("b")
        assert (running.end_time, running.status) == (None, "running")
        assert running.duration >= 0.0
        assert partial.total_duration >= partial.record_of("a").duration
        assert partial.critical_path()[1] >= 0.0
        assert '"running"' in partial.to_json()
        assert partial.summary().startswith("Run running: 2 completed")
        await gate.open("b")
        await gate.open("d")
        final = await run
        assert dict(partial.results) == {"a": 1, "c": 3}
        assert partial.execution_state == "running"
        assert partial.successful_tasks == 2
        assert final.successful_tasks == 4
        assert partial.raise_for_failure() is None

    on_loop(main())


def test_done_callbacks_are_called_once_by_the_loop_also_those_that_come_late(on_loop):
    called = []

    async def main():
        run = plan_of(DIAMOND).start(str)
        run.add_done_callback(lambda ended: called.append(("first", ended is run, ended.state)))
        run.add_done_callback(lambda ended: called.append(("second", ended is run, ended.state)))
        assert called == []
        await run
        await turns()
        run.add_done_callback(lambda ended: called.append(("late", ended is run, ended.state)))
        assert len(called) == 2
        await turns()

    on_loop(main())
    assert called == [(name, True, "completed") for name in ("first", "second", "late")]


def test_a_failing_callback_keeps_nobody_from_being_called(on_loop, asyncio_errors):
    called = []

    async def main():
        run = plan_of(DIAMOND).start(str)
        run.add_done_callback(lambda _: 1 / 0)
        run.add_done_callback(called.append)
        await run
        await turns()
        assert called == [run]

    on_loop(main())
    assert len(asyncio_errors) == 1
    assert "Exception in callback" in asyncio_errors.pop()


def test_a_callback_may_start_the_plan_again(on_loop):
    plan, reports = plan_of(DIAMOND), []

    async def main():
        def again(run):
            reports.append(run.report())
            if len(reports) < 3:
                plan.start(str).add_done_callback(again)

        again_run = plan.start(str)
        again_run.add_done_callback(again)
        await again_run
        await turns(20)

    on_loop(main())
    assert [report.execution_state for report in reports] == ["completed"] * 3


# -- several runs -----------------------------------------------------------------------------------------


def test_two_runs_of_one_plan_at_once_do_not_know_of_each_other(on_loop):
    plan = plan_of(DIAMOND)

    async def main():
        async def body(name, tag):
            await asyncio.sleep(0)
            if (name, tag) == ("b", 2):
                raise ValueError("only here")
            return tag

        runs = [plan.start(lambda name, tag=tag: body(name, tag)) for tag in range(5)]
        return await asyncio.gather(*runs)

    reports = on_loop(main())
    assert [report.failed_tasks for report in reports] == [0, 0, 1, 0, 0]
    for tag in (0, 1, 3, 4):
        assert dict(reports[tag].results) == dict.fromkeys("abcd", tag)


def test_a_body_may_run_its_own_plan(on_loop):
    plan, depth = plan_of(DIAMOND), contextvars.ContextVar("depth", default=0)

    async def body(name):
        if name == "b" and depth.get() < 3:
            depth.set(depth.get() + 1)
            return (await plan.run(body)).successful_tasks
        return depth.get()

    report = on_loop(plan.run(body))
    assert dict(report.results) == {"a": 0, "b": 4, "c": 0, "d": 0}


def test_one_plan_runs_in_several_threads_at_once():
    plan, barrier, results = plan_of(DIAMOND), threading.Barrier(4), []

    def work(worker):
        barrier.wait()
        for _ in range(20):
            report = plan.run_sync(lambda name: (worker, name))
            results.append(set(report.results.values()) == {(worker, name) for name in "abcd"})

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 80


def test_the_report_of_a_first_run_stays_as_it_was(on_loop):
    plan, number = plan_of(DIAMOND), iter(range(100))
    first = on_loop(plan.run(lambda name: next(number)))
    before = dict(first.results), first.to_dict()
    second = on_loop(plan.run(lambda name: next(number)))
    assert (dict(first.results), first.to_dict()) == before
    assert dict(second.results) == {"a": 4, "b": 5, "c": 6, "d": 7}


# -- context ----------------------------------------------------------------------------------------------

variable = contextvars.ContextVar("variable", default="unset")


@pytest.mark.parametrize("kind", ["plain", "coroutine", "suspending"])
def test_bodies_see_the_callers_context_and_change_only_their_own(kind, on_loop):
    seen = {}

    def plain(name):
        seen[name] = variable.get()
        variable.set(name)

    async def coroutine(name):
        plain(name)

    async def suspending(name):
        plain(name)
        await asyncio.sleep(0)
        assert variable.get() == name
        await asyncio.sleep(0)
        assert variable.get() == name

    async def main():
        variable.set("caller")
        run = plan_of(DIAMOND).start(locals_of[kind])
        variable.set("later")
        await run
        assert variable.get() == "later"
        await plan_of({"e": []}).run(locals_of[kind])

    locals_of = {"plain": plain, "coroutine": coroutine, "suspending": suspending}
    on_loop(main())
    assert seen == {"a": "caller", "b": "caller", "c": "caller", "d": "caller", "e": "later"}


@pytest.mark.parametrize("kind", ["coroutine", "suspending"])
def test_a_body_is_its_own_task(kind, on_loop):
    async def main():
        me = asyncio.current_task()
        seen = []

        async def body(name):
            task = asyncio.current_task()
            seen.append(task)
            if kind == "suspending":
                await asyncio.sleep(0)
                assert asyncio.current_task() is task
            async with asyncio.timeout(100):
                await asyncio.sleep(0)

        await plan_of(DIAMOND).run(body)
        assert asyncio.current_task() is me
        assert me not in seen
        assert len(set(map(id, seen))) == 4
        assert me.cancelling() == 0

    on_loop(main())


# -- what is refused --------------------------------------------------------------------------------------


def test_run_sync_inside_a_running_loop_names_what_to_write(on_loop):
    async def main():
        with pytest.raises(InvalidStateError, match=r"write await plan\.run\(\.\.\.\) instead"):
            plan_of(DIAMOND).run_sync(str)
        return await plan_of(DIAMOND).run(str)

    assert on_loop(main()).execution_state == "completed"


def test_start_outside_a_loop_names_run_sync():
    with pytest.raises(InvalidStateError, match=r"call plan\.run_sync\(\.\.\.\)"):
        plan_of(DIAMOND).start(str)
    assert isinstance(InvalidStateError(""), RuntimeError)


def test_a_graph_without_functions_says_how_to_give_them(on_loop):
    with pytest.raises(InvalidStateError, match=r"add_task\(name, func\)"):
        on_loop(plan_of(DIAMOND).run())


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"max_concurrency": 0}, ValueError, "max_concurrency is 0; give an int from 1 on"),
        ({"max_concurrency": -1}, ValueError, "max_concurrency is -1"),
        ({"max_concurrency": 1.5}, TypeError, "max_concurrency is 1.5"),
        ({"max_concurrency": True}, TypeError, "max_concurrency is True"),
        ({"failure_policy": "ignore"}, ValueError, "failure_policy is 'ignore'; give 'stop' or 'continue'"),
        ({"failure_policy": None}, ValueError, "failure_policy is None"),
        ({"keep_results": "some"}, ValueError, "keep_results is 'some'"),
        ({"progress": 3}, TypeError, r"progress is 3, which has no method update\(\)"),
        ({"progress": "yes"}, TypeError, "progress is 'yes'"),
        ({"nonsense": 1}, TypeError, "nonsense"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_starts(options, error, text, on_loop):
    called = []
    with pytest.raises(error, match=text):
        on_loop(plan_of(DIAMOND).run(called.append, **options))
    assert called == []


@pytest.mark.parametrize(
    ("func", "text"),
    [
        (3, "func is 3; give a function of the name, or a mapping"),
        ("a", "func is 'a'"),
        ([("a", str)], "func is"),
        ({"a": 3, "b": str, "c": str, "d": str}, "the function of task 'a' is 3, which cannot be called"),
    ],
)
def test_what_cannot_be_called_is_refused(func, text, on_loop):
    with pytest.raises(TypeError, match=text):
        on_loop(plan_of(DIAMOND).run(func))


def test_a_coroutine_in_place_of_a_function_is_refused(on_loop):
    async def body():
        """Never called."""

    for make in (lambda coroutine: coroutine, lambda coroutine: dict.fromkeys("abcd", coroutine)):
        called = body()
        with pytest.raises(TypeError, match="already called coroutine"):
            on_loop(plan_of(DIAMOND).run(make(called)))
        called.close()


def test_an_error_of_the_mapping_comes_through(on_loop):
    class Broken(dict):
        def get(self, name, default=None):
            raise OSError("lookup")

    with pytest.raises(OSError, match="lookup"):
        on_loop(plan_of(DIAMOND).run(Broken()))
