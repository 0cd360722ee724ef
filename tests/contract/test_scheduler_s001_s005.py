"""The package surface: S1 to S5."""

import asyncio
import inspect
import sys
import tomllib
from pathlib import Path

import penstock
from penstock import DynamicScheduler, TaskOrder

ROOT = Path(__file__).resolve().parents[2]

NAMES = [
    "DynamicScheduler", "ExecutionPlanner",
    "ExecutionState", "StageStatus", "TaskOrder", "ExecutionPlan", "ExecutionStage", "ExecutionReport",
    "TaskStageStatistics", "TaskAttemptStatistics", "TaskExecutionStatistics",
    "SchedulerError", "TaskOrderLoopError", "TaskOrderNoExitError", "TaskDependencyError", "TaskNotFoundError",
    "TaskDuplicateExecutionError", "TaskRegistrationError",
]  # fmt: skip


def test_s001_the_names_of_the_scheduler_come_from_the_root_package():
    assert [name for name in NAMES if name not in penstock.__all__] == []
    assert all(inspect.isclass(getattr(penstock, name)) for name in NAMES)
    assert isinstance(penstock.__version__, str)


def test_s002_every_public_class_says_the_public_place():
    assert all(getattr(penstock, name).__module__ == "penstock" for name in NAMES)


def test_s004_three_libraries_are_needed_at_run_time():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11"
    needed = sorted(project["dependencies"])
    assert [line.split(">=")[0] for line in needed] == ["cloudpickle", "networkx", "uvloop"]
    assert "sys_platform != 'win32'" in needed[-1]
    assert sys.version_info >= (3, 11)


def test_s005_constructing_and_executing_is_all_it_takes(on_loop):
    order = [TaskOrder("a"), TaskOrder("b", [TaskOrder("a")])]
    scheduler = DynamicScheduler([("a", lambda: 1), ("b", lambda: 2)], order)
    report = on_loop(scheduler.execute())
    assert report.execution_state == "completed"
    assert report.task_return_set == {"a": 1, "b": 2}


def test_s005_the_plan_can_be_asked_for():
    order = [TaskOrder("a"), TaskOrder("b", [TaskOrder("a")])]
    plan = DynamicScheduler([("a", lambda: 1), ("b", lambda: 2)], order).get_execute_timeline()
    assert [stage.start_tasks for stage in plan.stages] == [["a"], ["b"]]
    assert asyncio.iscoroutinefunction(DynamicScheduler.execute)
