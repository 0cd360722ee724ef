"""The errors: S30 to S36."""

import graphlib
import pickle

import pytest
from static_scheduler import orders, scheduler

import penstock
from penstock import (
    CycleError,
    DuplicateTaskError,
    DynamicScheduler,
    ExecutionPlanner,
    SchedulerError,
    TaskDependencyError,
    TaskDuplicateExecutionError,
    TaskNotFoundError,
    TaskOrder,
    TaskOrderLoopError,
    TaskOrderNoExitError,
    TaskRegistrationError,
    UnknownDependencyError,
)
from penstock.testing import clock


def refusal(graph):
    with pytest.raises(SchedulerError) as caught:
        ExecutionPlanner(orders(graph)).validate()
    return caught.value


def test_s030_every_exception_of_the_scheduler_has_one_root():
    named = [
        TaskOrderLoopError, TaskOrderNoExitError, TaskDependencyError, TaskNotFoundError, TaskDuplicateExecutionError,
        TaskRegistrationError,
    ]  # fmt: skip
    assert all(issubclass(error, SchedulerError) for error in named)
    assert issubclass(SchedulerError, Exception)


def test_s030_a_dependency_cycle():
    error = refusal({"a": ["c"], "b": ["a"], "c": ["b"]})
    assert isinstance(error, TaskOrderLoopError)
    assert TaskOrderLoopError is CycleError
    (text,) = error.errors
    assert str(error) == text
    # The arrow goes from a task to what it depends on; where it begins is not promised.
    assert text in {f"Cycle detected: {' -> '.join(path)}" for path in ("acba", "cbac", "bacb")}


def test_s030_a_task_that_depends_on_itself():
    assert refusal({"a": ["a"]}).errors == ["Cycle detected: a -> a"]


def test_s030_each_cycle_has_its_line():
    error = refusal({"a": ["b"], "b": ["a"], "c": ["c"], "d": []})
    assert len(error.errors) == 2
    assert str(error) == "\n".join(error.errors)


def test_s030_it_is_also_the_exception_of_graphlib():
    error = refusal({"a": ["b"], "b": ["a"]})
    assert isinstance(error, graphlib.CycleError)
    assert list(error.cycle) == error.args[1]
    assert error.cycle[0] == error.cycle[-1]
    # Dependency before dependent.
    graph = {"a": ["b"], "b": ["a"]}
    assert all(before in graph[after] for before, after in zip(error.cycle, error.cycle[1:], strict=False))


def test_s030_at_most_twenty_cycles_are_named():
    error = refusal({f"t{number}": [f"t{number}"] for number in range(25)})
    assert len(error.errors) == 20
    assert "5 more" in error.errors[-1]


def test_s031_a_graph_without_a_source_is_reported_as_a_cycle():
    assert issubclass(TaskOrderNoExitError, SchedulerError)
    assert not issubclass(TaskOrderLoopError, TaskOrderNoExitError)
    assert isinstance(refusal({"a": ["b"], "b": ["a"]}), TaskOrderLoopError)


def test_s032_two_entries_with_one_name():
    order = [TaskOrder(name) for name in ("z", "b", "a", "b", "z", "z")]
    with pytest.raises(TaskDependencyError) as caught:
        ExecutionPlanner(order).validate()
    assert isinstance(caught.value, DuplicateTaskError)
    found = [(problem.name, problem.count) for problem in caught.value.problems]
    assert sorted(found) == [("b", 2), ("z", 3)]
    lines = str(caught.value).splitlines()
    assert [line.split(" is listed")[0].split()[-1] for line in lines] == ["b", "z"]


def test_s032_every_dependency_that_is_not_in_the_list():
    error = refusal({"load": [], "clean": ["laod", "x"], "show": ["clean", "x"]})
    assert isinstance(error, UnknownDependencyError)
    assert isinstance(error, TaskDependencyError)
    text = str(error)
    assert [pair for pair in ("clean -> laod", "clean -> x", "show -> x") if pair not in text] == []
    pairs = [(problem.name, problem.missing) for problem in error.problems]
    assert pairs == [("clean", "laod"), ("clean", "x"), ("show", "x")]
    assert (error.missing, error.close_matches) == ("laod", ("load",))


def test_s033_a_task_without_a_function():
    error = TaskNotFoundError("a")
    assert (error.task_name, str(error)) == ("a", "Task 'a' not found in task list.")
    assert pickle.loads(pickle.dumps(error)).task_name == "a"


def test_s033_it_never_leaves_execute(on_loop):
    report = on_loop(scheduler({"a": []}, {}).execute())
    assert report.execution_state == "failed"


def test_s034_a_task_started_twice():
    error = TaskDuplicateExecutionError("a")
    assert error.task_name == "a"
    assert "'a'" in str(error)
    assert pickle.loads(pickle.dumps(error)).task_name == "a"


def test_s034_no_plan_starts_a_task_twice():
    started = []
    graph = {"a": [], "b": ["a", "a"], "c": ["a", "b", "b"]}
    clock.run(scheduler(graph, {name: lambda name=name: started.append(name) for name in graph}).execute())
    assert started == ["a", "b", "c"]


def test_s036_bad_arguments_are_plain_python_errors():
    with pytest.raises(TypeError) as caught:
        DynamicScheduler([("a", 1)], [])
    assert not isinstance(caught.value, penstock.PenstockError)
    with pytest.raises(ValueError, match="values to unpack") as unpacking:
        DynamicScheduler([("a", int, 1)], [])
    assert not isinstance(unpacking.value, penstock.PenstockError)
