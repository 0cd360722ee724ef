"""A failing body fails its task; what follows depends on the policy, and everybody can see why."""

import asyncio
import pickle
import time

import pytest

from penstock import DependencyFailureError, RunFailed, TaskCancelledError, TaskGraph, TaskNotFoundError

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


def plan_of(mapping):
    return TaskGraph.from_predecessors(mapping).plan()


def failing(*names, error=ValueError):
    """A body that fails for some names, at once."""

    def body(name):
        if name in names:
            raise error(f"no {name}")
        return name

    return body


def suspended(body):
    """The same as a coroutine that suspends first."""

    async def later(name):
        await asyncio.sleep(0)
        return body(name)

    return later


def statuses(report):
    return {record.task_name: record.status for record in report.task_statistics}


@pytest.fixture(params=[lambda body: body, suspended], ids=["plain", "coroutine"])
def kind(request):
    return request.param


def test_the_first_failure_stops_the_run(on_loop, kind):
    mapping = {"bad": [], "after": ["bad"], "other": [], "later": ["other"], "last": ["later"]}
    report = on_loop(plan_of(mapping).run(kind(failing("bad")), max_concurrency=1))
    assert report.execution_state == "failed"
    assert statuses(report) == {
        "bad": "failed",
        "after": "skipped",
        "other": "skipped",
        "later": "skipped",
        "last": "skipped",
    }
    assert (report.successful_tasks, report.failed_tasks, report.skipped_tasks) == (0, 1, 4)
    assert report.error_summary == [
        "Execution interrupted; task 'bad' failed: no bad",
        "Task 'bad' failed during execution: no bad",
    ]


def test_under_continue_only_descendants_are_skipped(on_loop, kind):
    mapping = {"bad": [], "after": ["bad", "other"], "far": ["after"], "other": [], "sink": ["other"]}
    report = on_loop(plan_of(mapping).run(kind(failing("bad", "sink")), failure_policy="continue"))
    assert report.execution_state == "failed"
    assert statuses(report) == {
        "bad": "failed",
        "after": "skipped",
        "far": "skipped",
        "other": "completed",
        "sink": "failed",
    }
    assert report.error_summary == [
        "Task 'bad' failed during execution: no bad",
        "Final task 'sink' failed: no sink",
    ]
    assert dict(report.results) == {"other": "other"}


def test_running_tasks_are_cancelled_together_and_their_ends_are_told(on_loop):
    cleaned = []

    async def body(name):
        if name == "bad":
            await asyncio.sleep(0)
            raise ValueError("no bad")
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            for _ in range(3):  # cleaning up takes its time, for all of them at once
                await asyncio.sleep(0)
                cleaned.append(name)
            if name == "raises":
                raise OSError("in clean-up") from None
            if name == "stays":
                return "kept"
            raise

    report = on_loop(plan_of({name: [] for name in ("ends", "raises", "stays", "bad")}).run(body))
    assert cleaned == ["ends", "raises", "stays"] * 3
    assert list(statuses(report).values()) == ["cancelled", "failed", "completed", "failed"]
    assert report.record_of("ends").error_message == "Task cancelled due to previous failure"
    assert report.record_of("raises").error_message == "in clean-up"
    assert report.results["stays"] == "kept"
    assert report.error_summary == [
        "Execution interrupted; task 'bad' failed: no bad",
        "Final task 'bad' failed: no bad",
        "Final task 'raises' failed: in clean-up",
    ]


def test_the_record_has_the_original_exception(on_loop, kind):
    raised = []

    def body(name):
        raised.append(KeyError(name))
        raise raised[-1]

    report = on_loop(plan_of({"a": []}).run(kind(body)))
    record = report.record_of("a")
    assert record.exception is raised[0]
    assert record.error_message == "'a'"
    assert raised[0].__traceback__ is not None
    frames = []
    step = raised[0].__traceback__
    while step is not None:
        frames.append(step.tb_frame.f_code.co_name)
        step = step.tb_next
    assert frames[-1] == "body"


def test_skipped_tasks_say_because_of_what_and_along_which_path(on_loop, kind):
    mapping = DIAMOND | {"e": ["d"], "alone": []}
    report = on_loop(plan_of(mapping).run(kind(failing("b")), failure_policy="continue"))
    original = report.record_of("b").exception
    for name, failed, path in (("d", ["b"], ("b", "d")), ("e", ["d"], ("b", "d", "e"))):
        error = report.record_of(name).exception
        assert isinstance(error, DependencyFailureError)
        assert error.root_cause is original is error.__cause__
        assert error.failed_dependencies == failed
        assert error.path == path
        assert str(error) == f"Task '{name}' was skipped, because task 'b' failed: ValueError: no b"
        assert report.record_of(name).error_message == str(error)
    # Each dependent has an instance of its own, so that no traceback grows.
    assert report.record_of("d").exception is not report.record_of("e").exception
    assert report.skipped_by_root() == [("b", 2)]


def test_several_failed_dependencies_are_all_named_and_the_first_is_the_root(on_loop):
    report = on_loop(plan_of(DIAMOND).run(failing("b", "c"), failure_policy="continue"))
    error = report.record_of("d").exception
    assert error.failed_dependencies == ["b", "c"]
    assert error.root_cause is report.record_of("b").exception
    assert error.path == ("b", "d")


def test_tasks_stopped_elsewhere_name_the_failure_but_no_path(on_loop):
    report = on_loop(plan_of({"bad": [], "other": []}).run(failing("bad"), max_concurrency=1))
    error = report.record_of("other").exception
    assert (error.path, error.failed_dependencies) == ((), [])
    assert error.root_cause is report.record_of("bad").exception
    assert str(error) == "Never started: the run was stopped when task 'bad' failed"


# -- exceptions of every kind (T18) ----------------------------------------------------------------------


class Own(BaseException):
    """No Exception."""


class HostileText(Exception):
    def __str__(self):
        raise ZeroDivisionError("str")

    __repr__ = __str__


class HostileEquality(Exception):
    __hash__ = None

    def __eq__(self, other):
        raise ZeroDivisionError("eq")


class HostilePickle(Exception):
    def __reduce__(self):
        raise ZeroDivisionError("reduce")


class HostileAttributes(Exception):
    def __getattr__(self, name):
        raise ZeroDivisionError(name)


class NoTraceback(Exception):
    __slots__ = ()

    def with_traceback(self, traceback):
        raise ZeroDivisionError


HOSTILE = {
    "GeneratorExit": (lambda: GeneratorExit("no"), "no"),
    "BaseException": (lambda: Own("no"), "no"),
    "str": (HostileText, "HostileText"),
    "eq": (lambda: HostileEquality("no"), "no"),
    "reduce": (lambda: HostilePickle("no"), "no"),
    "getattr": (lambda: HostileAttributes("no"), "no"),
    "with_traceback": (lambda: NoTraceback("no"), "no"),
    "no text": (ValueError, "ValueError"),
    "group": (lambda: ExceptionGroup("no", [ValueError("a")]), "no (1 sub-exception)"),
    "base group": (lambda: BaseExceptionGroup("no", [Own("a")]), "no (1 sub-exception)"),
    "long": (lambda: ValueError("x" * 100_000), "x" * 100_000),
    "surrogate": (lambda: ValueError("\ud800"), "\ud800"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_exceptions_fail_their_task_and_nothing_else(name, on_loop, kind):
    make, text = HOSTILE[name]

    def body(task):
        if task == "bad":
            raise make()
        return task

    plan = plan_of({"bad": [], "after": ["bad"], "other": []})
    report = on_loop(plan.run(kind(body), failure_policy="continue"))
    assert statuses(report) == {"bad": "failed", "after": "skipped", "other": "completed"}
    assert report.record_of("bad").error_message == text
    assert type(report.record_of("bad").exception) is type(make())
    assert report.error_summary == [f"Task 'bad' failed during execution: {text}"]
    assert report.to_json()
    assert report.summary()
    with pytest.raises(RunFailed) as caught:
        report.raise_for_failure()
    assert len(caught.value.exceptions) == 1


def test_stop_iteration_from_a_plain_function_is_its_error(on_loop):
    def body(name):
        raise StopIteration("done")

    report = on_loop(plan_of({"a": []}).run(body))
    assert isinstance(report.record_of("a").exception, StopIteration)


def test_stop_iteration_from_a_coroutine_becomes_a_runtime_error(on_loop):
    async def body(name):
        raise StopIteration("done")

    report = on_loop(plan_of({"a": []}).run(body))
    assert isinstance(report.record_of("a").exception, RuntimeError)
    assert isinstance(report.record_of("a").exception.__cause__, StopIteration)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupts_stop_the_run_and_reach_the_caller(error, on_loop, kind):
    cancelled = []

    async def waits(name):
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            cancelled.append(name)
            raise

    def body(name):
        if name == "bad":
            raise error("stop")

    async def main():
        run = plan_of({"w1": [], "w2": [], "bad": [], "after": ["bad"]}).start(
            lambda name: waits(name) if name[0] == "w" else kind(body)(name)
        )
        with pytest.raises(error, match="stop") as caught:
            await run
        return run, caught.value

    run, raised = on_loop(main())
    assert cancelled == ["w1", "w2"]
    report = run.report()
    assert report.execution_state == run.state == "cancelled"
    assert report.record_of("bad").exception is raised
    assert statuses(report) == {"w1": "cancelled", "w2": "cancelled", "bad": "failed", "after": "skipped"}
    # The report tells of it like of any failure.
    assert [record.task_name for record in report.failures()] == ["bad"]
    assert report.error_summary[0] == "Execution interrupted; task 'bad' failed: stop"
    with pytest.raises(RunFailed) as group:
        report.raise_for_failure()
    assert [str(member) for member in group.value.exceptions] == [f"{error.__name__}: stop"]
    assert group.value.exceptions[0].__cause__ is raised


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupts_reach_the_caller_of_run_sync(error, kind):
    def body(name):
        raise error("stop")

    with pytest.raises(error, match="stop"):
        plan_of(DIAMOND).run_sync(kind(body))


def test_a_body_that_cancels_itself_is_a_cancelled_task_and_nobody_else(on_loop, kind):
    def body(name):
        if name == "b":
            raise asyncio.CancelledError("own")
        return name

    report = on_loop(plan_of(DIAMOND).run(kind(body)))
    assert statuses(report) == {"a": "completed", "b": "cancelled", "c": "completed", "d": "skipped"}
    assert (report.execution_state, report.cancelled_tasks, report.error_summary) == ("cancelled", 1, [])
    error = report.record_of("d").exception
    assert str(error).startswith("Task 'd' was skipped, because task 'b' was cancelled")
    assert isinstance(error.root_cause, asyncio.CancelledError)
    with pytest.raises(RunFailed) as caught:
        report.raise_for_failure()
    assert [type(member) for member in caught.value.exceptions] == [TaskCancelledError]
    assert caught.value.exceptions[0].task == "b"


# -- functions that cannot be called ---------------------------------------------------------------------


def test_a_function_with_the_wrong_arguments_fails_its_task(on_loop):
    report = on_loop(plan_of({"a": []}).run({"a": lambda name: name}))
    assert isinstance(report.record_of("a").exception, TypeError)
    assert "missing 1 required positional argument" in report.record_of("a").error_message


def test_missing_functions_are_found_before_anything_starts(on_loop):
    called = []
    functions = {"a": lambda: called.append("a"), "c": None}
    report = on_loop(plan_of(DIAMOND).run(functions))
    assert called == []
    assert report.execution_state == "failed"
    assert report.error_summary == [
        f"Execution failed: Task '{name}' not found in task list." for name in ("b", "c", "d")
    ]
    assert set(statuses(report).values()) == {"skipped"}
    assert str(report.record_of("a").exception) == "Never started: the run has tasks without a function"
    with pytest.raises(RunFailed) as caught:
        report.raise_for_failure()
    assert [type(member) for member in caught.value.exceptions] == [TaskNotFoundError] * 3
    assert [member.task_name for member in caught.value.exceptions] == ["b", "c", "d"]


def test_so_are_missing_functions_of_a_graph(on_loop):
    graph = TaskGraph()
    graph.add_task("a", lambda: 1)
    graph.add_task("b", depends_on=["a"])
    report = on_loop(graph.plan().run())
    assert report.error_summary == ["Execution failed: Task 'b' not found in task list."]


def test_many_missing_functions_are_counted():
    report = plan_of({i: [] for i in range(100)}).run_sync({-1: str})
    assert len(report.error_summary) == 21
    assert report.error_summary[-1] == "Execution failed: 80 more tasks have no function."


# -- raising ---------------------------------------------------------------------------------------------


def test_raise_for_failure_gives_the_originals_in_order_and_works_with_except_star(on_loop):
    class First(Exception):
        pass

    class Second(Exception):
        pass

    def body(name):
        if name in "bd":
            raise {"b": First, "d": Second}[name](name)

    report = on_loop(plan_of({name: [] for name in "abcd"}).run(body, failure_policy="continue"))
    seen = []
    try:
        report.raise_for_failure()
    except* First as group:
        seen.append((type(group), group.report is report, group.exceptions))
    except* Second as group:
        seen.append((type(group), group.report is report, group.exceptions))
    first, second = report.record_of("b").exception, report.record_of("d").exception
    assert seen == [(RunFailed, True, (first,)), (RunFailed, True, (second,))]


def test_raise_for_failure_is_silent_after_success(on_loop):
    assert on_loop(plan_of(DIAMOND).run(str)).raise_for_failure() is None


def test_run_failed_says_how_many_and_travels_between_processes():
    report = plan_of(DIAMOND).run_sync(failing("b", "c"), failure_policy="continue")
    with pytest.raises(RunFailed, match=r"^2 of 4 tasks failed") as caught:
        report.raise_for_failure()
    assert str(caught.value) == "2 of 4 tasks failed (2 sub-exceptions)"
    assert caught.value.report is report
    assert [str(member) for member in caught.value.exceptions] == ["no b", "no c"]
    group = RunFailed(caught.value.message, caught.value.exceptions)
    copy = pickle.loads(pickle.dumps(group))
    assert (type(copy), copy.message, copy.report) == (RunFailed, group.message, None)
    assert [str(member) for member in copy.exceptions] == ["no b", "no c"]


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_many_failures_at_once_are_told_in_a_stable_order(count, on_loop):
    mapping = {i: [] for i in range(count)} | {("after", i): [i] for i in range(count)}

    async def body(name):
        await asyncio.sleep(0)
        raise ValueError(name)

    report = on_loop(plan_of(mapping).run(body, failure_policy="continue"))
    assert (report.failed_tasks, report.skipped_tasks) == (count, count)
    with pytest.raises(RunFailed) as caught:
        report.raise_for_failure()
    assert [error.args[0] for error in caught.value.exceptions] == list(range(count))
    assert [record.task_name for record in report.failures()] == list(range(count))
    assert len(report.error_summary) == count


def chain_with_broken_top(length):
    mapping = {i: [i - 1] if i else [] for i in range(length)}
    return plan_of(mapping).run_sync(failing(0), failure_policy="continue")


def test_the_records_of_a_long_chain_below_a_failure_take_one_walk():
    n = 50_000
    report = chain_with_broken_top(n)
    started = time.perf_counter()
    assert sum(record.exception.root_name == 0 for record in report.task_statistics[1:]) == n - 1
    text = report.to_json()
    # Walking up from each of them takes minutes, and all paths in full are 10 GB.
    assert time.perf_counter() - started < 30.0
    assert len(text) < 2_000 * n
    last = report.record_of(n - 1).exception
    assert last.path == tuple(range(n))
    assert str(last) == f"Task '{n - 1}' was skipped, because task '0' failed: ValueError: no 0"


@pytest.mark.parametrize("backwards", [False, True])
def test_a_long_path_is_cut_in_json_and_whole_on_the_exception(backwards):
    report = chain_with_broken_top(50)
    for task in sorted(range(1, 50), reverse=backwards):
        error = report.record_of(task).exception
        assert error.last_of_path(3) == tuple(range(max(0, task - 2), task + 1))
        assert error.path == tuple(range(task + 1))
        assert error.last_of_path(3) == error.path[-3:]
    paths = [record["path"] for record in report.to_dict()["task_statistics"][1:]]
    assert paths[:19] == [list(range(task + 1)) for task in range(1, 20)]
    assert paths[19:] == [[0, None, *range(task - 18, task + 1)] for task in range(20, 50)]


def test_a_skipped_tasks_exception_is_pickled_with_its_path():
    report = chain_with_broken_top(4)
    copy = pickle.loads(pickle.dumps(report.record_of(3).exception))
    assert (copy.path, copy.root_name, copy.failed_dependencies) == ((0, 1, 2, 3), 0, [2])
    assert type(copy.root_cause) is ValueError


def test_run_failed_of_a_report_is_pickled_without_it():
    with pytest.raises(RunFailed) as caught:
        chain_with_broken_top(2).raise_for_failure()
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.message, copy.report, [str(e) for e in copy.exceptions]) == ("1 of 2 tasks failed", None, ["no 0"])
