"""Results, repeated and cancelled executions: S77 to S85."""

import asyncio
import contextvars
import threading

import pytest
from static_scheduler import DIAMOND, failing, scheduler, sleeper, statuses, stubborn, turns

from penstock import ExecutionState, StageStatus
from penstock.testing import clock


def test_s077_original_tasks_are_the_names_of_the_dependencies(on_loop):
    report = on_loop(scheduler(DIAMOND, dict.fromkeys(DIAMOND, int)).execute())
    assert report.original_tasks == DIAMOND
    assert report.original_tasks["d"] == ["b", "c"]


def test_s078_every_value_that_was_returned():
    bodies = {"a": sleeper(1.0, "a"), "none": sleeper(1.0), "slow": sleeper(9.0, 1), "kept": stubborn(0.5, "kept")}
    bodies["bad"] = failing(2.0)
    report = clock.run(scheduler(dict.fromkeys(bodies, ()), bodies).execute())
    assert report.task_return_set == report.results == {"a": "a", "none": None, "kept": "kept"}
    assert statuses(report)["kept"] == "completed"


def test_s078_it_is_the_very_object(on_loop):
    value = object()
    report = on_loop(scheduler({"a": []}, {"a": lambda: value}).execute())
    assert report.task_return_set["a"] is value


def test_s078_keep_results_limits_it(on_loop):
    bodies = {name: lambda name=name: name for name in DIAMOND}
    for keep, kept in (("sinks", {"d"}), ("none", set()), (["a", "b"], {"a", "b"})):
        report = on_loop(scheduler(DIAMOND, bodies, keep_results=keep).execute())
        assert set(report.task_return_set) == kept


def test_s079_a_stage_of_which_nothing_started_has_no_entry():
    graph = {"a": [], "b": ["a"], "c": ["b"], "d": ["c"]}
    bodies = {"a": sleeper(1.0), "b": failing(2.0), "c": int, "d": int}
    report = clock.run(scheduler(graph, bodies).execute())
    entries = [(stage.stage_id, stage.duration) for stage in report.stage_statistics]
    assert entries == [(0, 1.0), (1, 2.0)]
    assert report.total_stages == 4


def test_s079_a_stage_needs_one_body_that_started():
    graph = {"a": [], "late": ["slow"], "slow": [], "b": ["a"], "later": ["late"]}
    bodies = {"a": sleeper(1.0), "b": failing(2.0), "slow": sleeper(9.0), "late": int, "later": int}
    stages = clock.run(scheduler(graph, bodies).execute()).stage_statistics
    # b alone counts for stage 1; in stage 0 the cancelled body is the last to end.
    assert [(stage.stage_id, stage.duration) for stage in stages] == [(0, 3.0), (1, 2.0)]


def test_s079_entries_while_the_run_goes_on():
    async def main():
        made = scheduler({"a": [], "b": ["a"]}, {"a": sleeper(1.0), "b": sleeper(1.0)})
        asyncio.get_running_loop().call_at(0.5, lambda: seen.append(made.last_report))
        seen = []
        await made.execute()
        return seen[0]

    (stage,) = clock.run(main()).stage_statistics
    assert (stage.stage_id, stage.end_time, stage.duration) == (0, None, 0.0)


def test_s080_an_empty_graph_completes_at_once(on_loop):
    report = on_loop(scheduler({}, {"a": int}).execute())
    assert report.execution_state == "completed"
    assert (report.total_tasks, report.total_stages, report.max_parallelism) == (0, 0, 0)
    assert (report.successful_tasks, report.failed_tasks, report.error_summary) == (0, 0, [])
    assert (list(report.task_statistics), list(report.stage_statistics)) == ([], [])


def test_s081_a_second_execution_runs_everything_again(on_loop):
    calls = []

    def flaky():
        calls.append(1)
        if len(calls) % 2:
            raise ValueError("odd")
        return len(calls)

    async def main():
        made = scheduler({"a": [], "b": ["a"]}, {"a": flaky, "b": lambda: "b"}, task_retries={"a": 1})
        first = await made.execute()
        before = (dict(first.results), first.record_of("a"), list(first.error_summary))
        second = await made.execute()
        assert (dict(first.results), first.record_of("a"), list(first.error_summary)) == before
        assert made.last_report is second
        return first, second

    first, second = on_loop(main())
    assert len(calls) == 4
    assert (first.results["a"], second.results["a"]) == (2, 4)
    assert [report.record_of("a").attempt_count for report in (first, second)] == [2, 2]


def test_s081_a_task_that_fails_the_second_time_has_no_value_of_the_first(on_loop):
    outcomes = iter([1, ValueError("no")])

    def body():
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def main():
        made = scheduler({"a": []}, {"a": body})
        return await made.execute(), await made.execute(), made.task_return_set

    first, second, latest = on_loop(main())
    assert (first.task_return_set, second.task_return_set, latest) == ({"a": 1}, {}, {})


def test_s082_overlapping_executions_are_isolated():
    count = iter(range(1, 9))

    async def numbered():
        number = next(count)
        await asyncio.sleep(1.0 / number)
        return number

    async def main():
        made = scheduler({"a": [], "b": ["a"]}, {"a": numbered, "b": sleeper(1.0)}, task_retries={"a": 1})
        return await asyncio.gather(made.execute(), made.execute())

    first, second = clock.run(main())
    assert (first.results["a"], second.results["a"]) == (1, 2)
    assert (first.execution_duration, second.execution_duration) == (2.0, 1.5)
    assert [report.record_of("a").attempt_count for report in (first, second)] == [1, 1]


CHANGED = contextvars.ContextVar("CHANGED", default="not set")


@pytest.mark.parametrize("suspend", [False, True])
def test_s083_each_body_has_its_own_task_and_context(on_loop, suspend):
    async def body():
        seen.append((asyncio.current_task(), CHANGED.get()))
        CHANGED.set("by a body")
        if suspend:
            await asyncio.sleep(0)
        assert CHANGED.get() == "by a body"

    async def main():
        CHANGED.set("by the caller")
        await scheduler({"a": [], "b": ["a"], "c": []}, dict.fromkeys("abc", body)).execute()
        return CHANGED.get(), asyncio.current_task()

    seen = []
    value, caller = on_loop(main())
    assert [found for _, found in seen] == ["by the caller"] * 3
    assert value == "by the caller"
    tasks = [task for task, _ in seen]
    assert len({id(task) for task in [*tasks, caller]}) == 4


def test_s083_plain_functions_run_on_the_loops_thread(on_loop):
    made = scheduler({"a": []}, {"a": threading.get_ident})
    assert on_loop(made.execute()).results["a"] == threading.get_ident()
    threaded = scheduler({"a": []}, {"a": threading.get_ident}, sync_in="thread")
    assert on_loop(threaded.execute()).results["a"] != threading.get_ident()


def test_s084_cancelling_awaits_everything_and_goes_on(on_loop):
    cleaned = []

    async def waiting():
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await turns()
            cleaned.append(asyncio.current_task())

    async def main():
        made = scheduler({"x": [], "a": ["x"], "b": ["x"], "c": ["a"]}, {"x": int, **dict.fromkeys("abc", waiting)})
        task = asyncio.ensure_future(made.execute())
        await turns()
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(cleaned) == 2
        return made

    made = on_loop(main())
    report = made.last_report
    assert report.execution_state == "cancelled"
    assert statuses(report) == {"x": "completed", "a": "cancelled", "b": "cancelled", "c": "skipped"}
    assert report.results == {"x": 0}
    assert (made.execution_state, made.current_stage) == (ExecutionState.CANCELLED, 1)
    assert made.stage_status is StageStatus.CANCELLED


def test_s084_a_time_out_around_it_does_the_same():
    async def main():
        made = scheduler({"a": [], "b": []}, {"a": sleeper(9.0), "b": stubborn(0.5, "b")})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await made.execute()
        return made.last_report

    report = clock.run(main())
    assert report.execution_state == "cancelled"
    assert report.execution_duration == 1.5
    assert statuses(report) == {"a": "cancelled", "b": "completed"}


def test_s085_a_bodys_own_cancellation_is_its_own(on_loop):
    graph = {"gives up": [], "after": ["gives up"], "other": [], "more": ["other"]}
    bodies = {"gives up": failing(0.0, asyncio.CancelledError), "after": int, "other": int, "more": int}
    made = scheduler(graph, bodies)
    report = on_loop(made.execute())
    assert statuses(report) == {"gives up": "cancelled", "after": "skipped", "other": "completed", "more": "completed"}
    assert (report.execution_state, report.cancelled_tasks, report.failed_tasks) == ("cancelled", 1, 0)
    assert report.error_summary == []


def test_s085_a_plain_function_may_do_so_too(on_loop):
    def give_up():
        raise asyncio.CancelledError

    report = on_loop(scheduler({"a": [], "b": []}, {"a": give_up, "b": int}).execute())
    assert statuses(report) == {"a": "cancelled", "b": "completed"}
