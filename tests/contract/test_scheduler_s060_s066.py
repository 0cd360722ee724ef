"""Execution, from planning to progress: S60 to S66."""

import asyncio

import pytest
from static_scheduler import DIAMOND, failing, orders, scheduler, sleeper, statuses, stubborn, turns

from penstock import (
    DynamicScheduler,
    ExecutionReport,
    ExecutionState,
    RunFailed,
    StageStatus,
    TaskOptions,
    TaskOrder,
)
from penstock.testing import clock


def test_s060_a_failure_is_in_the_report_and_not_raised(on_loop):
    error = ValueError("no")
    report = on_loop(scheduler({"a": [], "b": ["a"]}, {"a": failing(0.0, error), "b": int}).execute())
    assert isinstance(report, ExecutionReport)
    assert report.execution_state == "failed"
    with pytest.raises(RunFailed) as caught:
        report.raise_for_failure()
    assert caught.value.exceptions == (error,)
    assert caught.value.report is report


def test_s060_a_completed_report_raises_nothing(on_loop):
    report = on_loop(scheduler(DIAMOND, dict.fromkeys(DIAMOND, int)).execute())
    assert report.raise_for_failure() is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_s060_an_interrupt_goes_on_once_all_else_is_stopped(error):
    cleaned = []

    async def waiting():
        try:
            await asyncio.sleep(9.0)
        finally:
            await asyncio.sleep(0.5)
            cleaned.append(asyncio.get_running_loop().time())

    async def main():
        made = scheduler({"a": [], "b": [], "c": ["a"]}, {"a": failing(1.0, error), "b": waiting, "c": int})
        try:
            await made.execute()
        except BaseException as caught:
            return type(caught), statuses(made.last_report)["c"]

    assert clock.run(main()) == (error, "skipped")
    assert cleaned == [1.5]


def test_s061_a_graph_that_cannot_be_planned_gives_a_report(on_loop):
    started = []
    made = scheduler({"a": ["b"], "b": ["a"], "c": []}, dict.fromkeys("abc", lambda: started.append(1)))
    report = on_loop(made.execute())
    with pytest.raises(ValueError, match="Cycle detected") as caught:
        made.get_execute_timeline()
    assert report.execution_state == "failed"
    assert report.error_summary == [str(caught.value)]
    assert (report.total_tasks, report.total_stages, report.max_parallelism) == (0, 0, 0)
    counts = report.successful_tasks, report.failed_tasks, report.cancelled_tasks, report.skipped_tasks
    assert counts == (0, 0, 0, 0)
    assert (list(report.task_statistics), list(report.stage_statistics)) == ([], [])
    assert (report.original_tasks, report.task_return_set, report.tail_tasks) == ({}, {}, {})
    assert report.execution_duration == 0.0
    assert started == []
    assert (made.current_stage, made.stage_status, made.execution_state) == (-1, None, ExecutionState.FAILED)
    assert made.last_report is report


def test_s061_so_does_any_exception_of_planning(on_loop):
    class Broken(list):
        def __iter__(self):
            raise RuntimeError("cannot be read")

    report = on_loop(DynamicScheduler([("a", int)], Broken()).execute())
    assert (report.execution_state, report.error_summary) == ("failed", ["cannot be read"])


def test_s062_a_missing_function_is_found_before_anything_starts(on_loop):
    started = []
    graph = {"a": [], "gone": ["a"], "lost": []}
    report = on_loop(scheduler(graph, {"a": lambda: started.append("a")}).execute())
    assert report.execution_state == "failed"
    assert report.error_summary == [
        "Execution failed: Task 'gone' not found in task list.",
        "Execution failed: Task 'lost' not found in task list.",
    ]
    assert started == []
    assert statuses(report) == dict.fromkeys(graph, "skipped")
    assert list(report.stage_statistics) == []


def test_s062_at_most_twenty_have_a_line_of_their_own():
    graph = {f"t{number}": [] for number in range(25)}
    summary = clock.run(scheduler(graph, {}).execute()).error_summary
    assert len(summary) == 21
    assert summary[-1].startswith("Execution failed: 5 more")


def test_s063_functions_beside_the_graph_are_ignored(on_loop):
    started = []
    bodies = {name: lambda name=name: started.append(name) for name in ("x", "a", "y")}
    report = on_loop(scheduler({"a": []}, bodies).execute())
    assert started == ["a"]
    assert (report.execution_state, report.total_tasks, report.error_summary) == ("completed", 1, [])


def test_s064_a_task_starts_when_its_own_dependencies_are_done():
    graph = {"a1": [], "a2": ["a1"], "b1": [], "b2": ["b1"]}
    bodies = {"a1": sleeper(0.01), "a2": sleeper(0.5), "b1": sleeper(0.5), "b2": sleeper(0.01)}
    report = clock.run(scheduler(graph, bodies).execute())
    assert report.execution_duration == 0.51
    assert report.record_of("a2").start_time - report.total_start_time == pytest.approx(0.01, abs=1e-5)


def test_s064_in_the_order_in_which_tasks_became_ready(on_loop):
    started = []
    graph = {"late": ["y"], "x": [], "y": [], "of x": ["x"], "of y": ["y"], "z": []}
    bodies = {name: lambda name=name: started.append(name) for name in graph}
    on_loop(scheduler(graph, bodies).execute())
    assert started == ["x", "y", "z", "of x", "late", "of y"]


def test_s064_a_larger_priority_goes_first_among_the_ready(on_loop):
    started = []
    names = ["a", "b", "c", "d"]
    bodies = {name: lambda name=name: started.append(name) for name in names}
    options = {"c": TaskOptions(priority=2), "d": TaskOptions(priority=1), "a": TaskOptions(priority=-1)}
    on_loop(scheduler(dict.fromkeys(names, ()), bodies, options=options).execute())
    assert started == ["c", "d", "b", "a"]


def test_s064_a_barrier_holds_a_stage_until_all_before_it_is_over():
    graph = {"a1": [], "a2": ["a1"], "b1": [], "b2": ["b1"]}
    bodies = {"a1": sleeper(0.01), "a2": sleeper(0.5), "b1": sleeper(0.5), "b2": sleeper(0.01)}
    assert clock.run(scheduler(graph, bodies, stage_barriers=True).execute()).execution_duration == 1.0


def test_s065_execute_returns_when_every_task_has_ended(on_loop):
    ended = []

    async def body(count):
        await turns(count)
        ended.append(count)

    graph = {"first": [], "long": [], "second": ["first"]}
    bodies = {"first": lambda: body(1), "long": lambda: body(9), "second": lambda: body(2)}
    report = on_loop(scheduler(graph, bodies).execute())
    assert sorted(ended) == [1, 2, 9]
    assert statuses(report) == dict.fromkeys(graph, "completed")


def test_s066_the_state_while_planning():
    seen = []

    class Order(list):
        def __iter__(self):
            seen.append((made.execution_state, made.current_stage, made.stage_status))
            return super().__iter__()

    made = DynamicScheduler([("a", int)], Order([TaskOrder("a")]))
    clock.run(made.execute())
    assert set(seen) == {(ExecutionState.PLANNING, -1, None)}
    made.get_execute_timeline()
    assert seen[-1] == (ExecutionState.COMPLETED, 0, StageStatus.COMPLETED)


async def watched(graph, bodies, times, **options):
    """Execute, and return what the scheduler says at these times and at the end."""
    made = scheduler(graph, bodies, **options)
    loop, seen = asyncio.get_running_loop(), []

    def look():
        seen.append((made.execution_state.value, made.current_stage, made.stage_status.value))

    for moment in times:
        loop.call_at(moment, look)
    try:
        await made.execute()
    finally:
        look()
    return seen


def test_s066_the_current_stage_is_the_lowest_with_unfinished_tasks():
    # The long leaf of stage 0 keeps that stage open while the other chain goes on to stage 2.
    graph = {"leaf": [], "a": [], "b": ["a"], "c": ["b"]}
    bodies = {"leaf": sleeper(2.5), "a": sleeper(1.0), "b": sleeper(1.0), "c": sleeper(2.0)}
    assert clock.run(watched(graph, bodies, [0.5, 1.5, 2.3, 2.7])) == [
        ("running", 0, "running"),
        ("running", 0, "running"),
        ("running", 0, "running"),
        ("running", 2, "running"),
        ("completed", 2, "completed"),
    ]


def test_s066_a_stage_is_pending_until_a_body_of_it_starts():
    seen = []

    def long():
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: seen.append((made.current_stage, made.stage_status)))
        loop.advance(0.5)  # longer than a time slice: the loop gets its turn before the next task

    made = scheduler({"a": [], "b": ["a"]}, {"a": long, "b": int})
    clock.run(made.execute())
    assert seen == [(1, StageStatus.PENDING)]


def test_s066_a_failure_shows_at_once_and_at_the_end():
    graph = {"bad": [], "slow": [], "after": ["bad"]}
    bodies = {"bad": failing(1.0), "slow": stubborn(1.0), "after": int}
    assert clock.run(watched(graph, bodies, [0.5, 1.5])) == [
        ("running", 0, "running"),
        ("running", 0, "failed"),
        ("failed", 0, "failed"),
    ]


def test_s066_completed_is_said_only_at_the_end():
    assert clock.run(watched({"a": [], "leaf": []}, {"a": int, "leaf": sleeper(1.0)}, [0.5])) == [
        ("running", 0, "running"),
        ("completed", 0, "completed"),
    ]


def test_s066_a_tail_task_does_not_keep_the_stage_open():
    async def main():
        made = scheduler({"a": [], "t": []}, {"a": int, "t": sleeper(5.0)}, ignore_tail_task=["t"])
        report = await made.execute()
        said = made.execution_state, made.current_stage, made.stage_status
        await report.tail_tasks["t"]
        return said

    assert clock.run(main()) == (ExecutionState.COMPLETED, 0, StageStatus.COMPLETED)


def test_s066_orders_are_read_anew_at_each_execution():
    made = scheduler({"a": []}, {"a": int, "b": int})
    assert clock.run(made.execute()).total_tasks == 1
    made.task_order = orders({"a": [], "b": ["a"]})
    assert clock.run(made.execute()).total_tasks == 2
