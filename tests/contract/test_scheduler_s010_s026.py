"""The plain models: S10 to S26."""

import asyncio
import copy
import dataclasses
import pickle
import time

import pytest
from static_scheduler import DIAMOND, failing, orders, scheduler, sleeper, statuses

from penstock import (
    DynamicScheduler,
    ExecutionPlanner,
    ExecutionStage,
    ExecutionState,
    StageStatus,
    TaskAttemptStatistics,
    TaskExecutionStatistics,
    TaskOrder,
    TaskStageStatistics,
)
from penstock.testing import clock


def plan_of(graph):
    return ExecutionPlanner(orders(graph)).get_execute_timeline()


def fields(record):
    return [field.name for field in dataclasses.fields(record)]


def test_s010_execution_states_are_text():
    names = ["PENDING", "RUNNING", "COMPLETED", "PLANNING", "FAILED", "CANCELLED", "NONE"]
    assert [state.name for state in ExecutionState] == names
    assert all(state.value == state.name.lower() == state for state in ExecutionState)
    assert isinstance(ExecutionState.NONE, str)


def test_s010_the_scheduler_says_how_its_latest_execution_ended():
    async def main():
        run = scheduler({"a": []}, {"a": sleeper(1.0)})
        assert run.execution_state is ExecutionState.NONE
        await run.execute()
        return run.execution_state

    assert clock.run(main()) is ExecutionState.COMPLETED


def test_s011_stage_states_are_text():
    assert [status.name for status in StageStatus] == ["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]
    assert all(status.value == status.name.lower() == status for status in StageStatus)


def test_s011_a_cancelled_run_leaves_its_stage_cancelled():
    async def main():
        run = scheduler({"a": [], "b": ["a"]}, {"a": sleeper(9.0), "b": sleeper(1.0)})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run.execute(), 1.0)
        return run.current_stage, run.stage_status

    assert clock.run(main()) == (0, StageStatus.CANCELLED)


def test_s012_a_task_order_is_a_mutable_value():
    one, other = TaskOrder("a"), TaskOrder("a", [])
    assert one == other
    assert one.dependencies is not other.dependencies
    other.dependencies.append(TaskOrder("b"))
    assert one != other
    one.task_name = "c"
    assert one.task_name == "c"
    with pytest.raises(TypeError):
        hash(one)
    assert dataclasses.is_dataclass(one)
    assert fields(one) == ["task_name", "dependencies"]


def test_s013_depend_is_the_first_dependency():
    order = TaskOrder("a")
    assert order.depend is None
    first, second = TaskOrder("b"), TaskOrder("c")
    order.dependencies = [first, second]
    assert order.depend is first
    order.depend = second
    assert order.dependencies == [second]
    order.depend = None
    assert order.dependencies == []


def test_s014_dependencies_match_by_name():
    plan = ExecutionPlanner([TaskOrder("a"), TaskOrder("b", [TaskOrder("a", [TaskOrder("elsewhere")])])])
    assert [stage.start_tasks for stage in plan.get_execute_timeline().stages] == [["a"], ["b"]]


def test_s015_a_stage_is_frozen():
    stage = plan_of(DIAMOND).stages[1]
    assert stage == ExecutionStage(stage_id=1, parallel_tasks=["b", "c"], wait_for_tasks=["a"], start_tasks=["b", "c"])
    assert fields(stage) == ["stage_id", "parallel_tasks", "wait_for_tasks", "start_tasks"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        stage.stage_id = 2


def test_s016_a_plan_cannot_be_changed_and_can_be_pickled():
    plan = plan_of(DIAMOND)
    for name in ("stages", "total_tasks", "max_parallelism", "original_tasks"):
        with pytest.raises(AttributeError):
            setattr(plan, name, None)
    assert not hasattr(plan, "set_original_tasks")
    assert "original_tasks" not in repr(plan)
    assert "TaskOrder" not in repr(plan)
    again = pickle.loads(pickle.dumps(plan))
    assert list(again.stages) == list(plan.stages)
    assert (again.total_tasks, again.max_parallelism) == (4, 2)
    assert list(again.original_tasks) == list(plan.original_tasks)


def test_s016_stages_are_a_sequence_made_when_looked_at():
    stages = plan_of(DIAMOND).stages
    assert len(stages) == 3
    assert stages[0] == stages[-3]
    assert [stage.stage_id for stage in stages[1:]] == [1, 2]
    with pytest.raises(IndexError):
        stages[3]


def test_s017_the_dependencies_as_text():
    header, *lines = plan_of(DIAMOND).get_dependency_graph_info().splitlines()
    assert not header.startswith("-")
    assert lines == [
        "- a: depends on [none]",
        "- b: depends on [a]",
        "- c: depends on [a]",
        "- d: depends on [b, c]",
    ]
    empty = plan_of({}).get_dependency_graph_info()
    assert empty
    assert "\n" not in empty


def test_s018_the_stages_as_text():
    assert plan_of(DIAMOND).get_visualization_table().splitlines() == [
        "Execution plan (3 stages):",
        "- stage 0: start=['a'], wait=[], parallel=['a']",
        "- stage 1: start=['b', 'c'], wait=['a'], parallel=['b', 'c']",
        "- stage 2: start=['d'], wait=['b', 'c'], parallel=['d']",
    ]
    empty = plan_of({}).get_visualization_table()
    assert empty
    assert "\n" not in empty


@pytest.mark.parametrize("graph", [DIAMOND, {}])
def test_s019_both_texts_with_an_empty_line_in_between(graph):
    plan = plan_of(graph)
    both = f"{plan.get_dependency_graph_info()}\n\n{plan.get_visualization_table()}"
    assert plan.get_full_visualization() == both


def test_s020_stage_statistics_span_the_bodies_of_the_stage():
    # c is ready together with b and a stage further on when d ends; each stage has its own bodies' times.
    bodies = {"a": sleeper(1.0), "b": sleeper(2.0), "c": sleeper(5.0), "d": sleeper(1.0)}
    run = scheduler(DIAMOND, bodies)
    report = clock.run(run.execute())
    stages = report.stage_statistics
    assert all(isinstance(stage, TaskStageStatistics) for stage in stages)
    assert fields(stages[0]) == [
        "stage_id", "stage_name", "start_time", "end_time", "duration",
        "parallel_task_count", "wait_task_count", "parallel_tasks", "wait_tasks",
    ]  # fmt: skip
    assert [(stage.stage_id, stage.stage_name) for stage in stages] == [(0, "Stage_0"), (1, "Stage_1"), (2, "Stage_2")]
    assert [stage.duration for stage in stages] == [1.0, 5.0, 1.0]
    begun = [stage.start_time - report.total_start_time for stage in stages]
    assert begun == pytest.approx([0.0, 1.0, 6.0], abs=1e-5)
    ended = [stage.end_time - report.total_start_time for stage in stages]
    assert ended == pytest.approx([1.0, 6.0, 7.0], abs=1e-5)
    assert [stage.parallel_tasks for stage in stages] == [["a"], ["b", "c"], ["d"]]
    assert [stage.wait_tasks for stage in stages] == [[], ["a"], ["b", "c"]]
    assert [(stage.parallel_task_count, stage.wait_task_count) for stage in stages] == [(1, 0), (2, 1), (1, 2)]
    with pytest.raises(dataclasses.FrozenInstanceError):
        stages[0].duration = 0.0


def test_s020_the_lists_are_copies():
    report = clock.run(scheduler(DIAMOND, dict.fromkeys(DIAMOND, int)).execute())
    report.stage_statistics[1].parallel_tasks.clear()
    report.stage_statistics[1].wait_tasks.append("x")
    assert report.stage_statistics[1].parallel_tasks == ["b", "c"]
    assert report.stage_statistics[1].wait_tasks == ["a"]


def test_s021_a_record_of_each_attempt():
    report = clock.run(scheduler({"a": []}, {"a": failing(1.0)}, task_retries={"a": 1}).execute())
    first, second = report.task_statistics[0].attempt_statistics
    assert isinstance(first, TaskAttemptStatistics)
    assert fields(first) == [
        "task_name", "attempt_number", "max_retries", "start_time", "end_time", "duration", "status",
        "error_message", "will_retry",
    ]  # fmt: skip
    assert (first.task_name, first.attempt_number, first.max_retries, first.duration) == ("a", 1, 1, 1.0)
    assert (first.status, first.error_message, first.will_retry) == ("failed", "no", True)
    assert (second.attempt_number, second.status, second.will_retry) == (2, "failed", False)
    assert second.start_time >= first.end_time
    bare = TaskAttemptStatistics("a", 1, 0, 0.0, 1.0, 1.0, "completed")
    assert (bare.error_message, bare.will_retry) == (None, False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.status = "completed"


def test_s022_a_record_of_each_task():
    report = clock.run(scheduler({"a": [], "b": ["a"]}, {"a": failing(2.0), "b": int}).execute())
    record, skipped = report.task_statistics
    assert isinstance(record, TaskExecutionStatistics)
    assert fields(record) == [
        "task_name", "stage_id", "start_time", "end_time", "duration", "status", "error_message", "retry",
        "attempt_count", "attempt_statistics", "queued", "exception",
    ]  # fmt: skip
    assert (record.task_name, record.stage_id, record.duration, record.status) == ("a", 0, 2.0, "failed")
    assert (record.error_message, record.retry, record.attempt_count) == ("no", 0, 1)
    assert isinstance(record.exception, ValueError)
    assert (skipped.start_time, skipped.end_time, skipped.duration) == (None, None, 0.0)
    assert (skipped.status, skipped.attempt_count, skipped.attempt_statistics) == ("skipped", 0, [])
    bare = TaskExecutionStatistics("a", 0, 0.0, 1.0, 1.0, "completed")
    assert (bare.error_message, bare.retry, bare.attempt_count, bare.attempt_statistics) == (None, 0, 0, [])
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.status = "completed"


def test_s022_a_task_under_way_is_running_in_a_partial_report():
    async def main():
        run = scheduler({"a": [], "b": ["a"]}, {"a": sleeper(1.0), "b": lambda: statuses(run.last_report)})
        report = await run.execute()
        return report.results["b"]

    assert clock.run(main()) == {"a": "completed", "b": "running"}


def test_s023_the_fields_of_a_report():
    bodies = {"a": sleeper(1.0, 1), "b": sleeper(1.0, 2), "c": sleeper(2.0, 3), "d": sleeper(1.0, 4)}
    report = clock.run(scheduler(DIAMOND, bodies).execute())
    assert report.total_end_time - report.total_start_time == pytest.approx(4.0, abs=1e-5)
    assert report.execution_duration == 4.0
    assert report.planning_duration >= 0.0
    assert report.total_duration == report.planning_duration + report.execution_duration
    assert (report.total_tasks, report.total_stages, report.max_parallelism) == (4, 3, 2)
    assert (report.successful_tasks, report.failed_tasks) == (4, 0)
    assert (report.cancelled_tasks, report.skipped_tasks) == (0, 0)
    assert (len(report.stage_statistics), len(report.task_statistics)) == (3, 4)
    assert report.execution_state == "completed"
    assert (report.error_summary, report.tail_tasks) == ([], {})
    assert report.original_tasks == DIAMOND
    assert report.task_return_set == report.results == {"a": 1, "b": 2, "c": 3, "d": 4}
    assert not isinstance(report.execution_state, ExecutionState)


def test_s024_records_by_planned_stage():
    report = clock.run(scheduler(DIAMOND, dict.fromkeys(DIAMOND, int)).execute())
    by_stage = [[record.task_name for record in report.get_task_statistics_by_stage(n)] for n in range(4)]
    assert by_stage == [["a"], ["b", "c"], ["d"], []]


def test_s025_the_longest_task_and_the_mean_duration():
    bodies = {"a": sleeper(1.0), "b": sleeper(3.0), "c": sleeper(2.0), "d": sleeper(2.0)}
    report = clock.run(scheduler(DIAMOND, bodies).execute())
    assert report.get_longest_task().task_name == "b"
    assert report.get_average_task_duration() == 2.0


def test_s025_tasks_that_never_started_do_not_count():
    graph = {"a": [], "b": ["a"], "c": ["a"]}
    report = clock.run(scheduler(graph, {"a": failing(3.0), "b": int, "c": int}).execute())
    assert report.get_longest_task().task_name == "a"
    assert report.get_average_task_duration() == 3.0


def test_s025_a_task_that_took_no_time_is_a_task_that_started():
    report = clock.run(scheduler({"z": ["a"], "a": []}, {"a": failing(), "z": int}).execute())
    assert report.get_longest_task().task_name == "a"
    assert report.get_average_task_duration() == 0.0


@pytest.mark.parametrize("graph", [{}, {"a": ["a"]}, {"a": [], "missing": ["a"]}], ids=["empty", "cycle", "missing"])
def test_s025_without_a_task_that_started_there_is_none(graph):
    report = clock.run(scheduler(graph, {"a": int}).execute())
    assert report.get_longest_task() is None
    assert report.get_average_task_duration() == 0.0


def test_s026_times_are_epoch_seconds(on_loop):
    before = time.time()
    report = on_loop(scheduler(DIAMOND, dict.fromkeys(DIAMOND, int)).execute())
    after = time.time()
    records = [report.task_statistics[0], report.stage_statistics[0], report.task_statistics[0].attempt_statistics[0]]
    times = [time for record in records for time in (record.start_time, record.end_time)]
    for found in (report.total_start_time, *times, report.total_end_time):
        assert isinstance(found, float)
        assert before - 0.01 <= found <= after + 0.01


def test_s026_a_copy_of_a_record_is_equal_to_it():
    record = clock.run(DynamicScheduler([("a", int)], [TaskOrder("a")]).execute()).task_statistics[0]
    assert copy.copy(record) == record
    assert pickle.loads(pickle.dumps(record)) == record
