"""The defects of the existing static scheduler, each shown to be absent here.

Where that library can be imported, the same scenario runs on it as well and is seen to show the defect, so that a
scenario that could not tell the two apart would not pass.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.util
import logging
import os
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from static_scheduler import failing, orders, sleeper, stubborn

import penstock
from penstock import DependencyFailureError, RetryPolicy, TaskOptions
from penstock.testing import clock

REFERENCE = "astrum"
INSTALLED = ["penstock"] + [REFERENCE] * (importlib.util.find_spec(REFERENCE) is not None)


class Library:
    """One of the libraries that offer the contract."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.ours = module is penstock

    def scheduler(self, graph: dict[str, Any], bodies: dict[str, Any], **options: Any) -> Any:
        """Return a scheduler of that graph."""
        return self.module.DynamicScheduler(list(bodies.items()), self.orders(graph), **options)

    def orders(self, graph: dict[str, Any]) -> list[Any]:
        return orders(graph, self.module.TaskOrder)

    def planner(self, graph: dict[str, Any]) -> Any:
        return self.module.ExecutionPlanner(self.orders(graph))

    def owes(self, found: object, better: object) -> None:
        """Ours gives exactly what is owed, and the other one something else."""
        if self.ours:
            assert found == better
        else:
            assert found != better, "the scenario does not show the defect"


@pytest.fixture(params=INSTALLED)
def library(request: pytest.FixtureRequest, asyncio_errors: list[str]) -> Iterator[Library]:
    """Ours, and the other one where it is installed."""
    if request.param == "penstock":
        yield Library(penstock)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield Library(importlib.import_module(request.param))
        gc.collect()
    asyncio_errors.clear()


def record_of(report: Any, name: str) -> Any:
    """Return the record of a task, None if there is none."""
    return next((record for record in report.task_statistics if record.task_name == name), None)


def status_of(report: Any, name: str) -> str | None:
    record = record_of(report, name)
    return None if record is None else str(record.status)


async def timed(execution: Any) -> tuple[Any, float]:
    """Return the report, and the seconds on the loop's clock until it was there."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    report = await execution
    return report, round(loop.time() - began, 6)


# -- order and time ----------------------------------------------------------------------------------------


def test_sd1_two_chains_do_not_wait_for_each_other(library):
    graph = {"a1": [], "a2": ["a1"], "b1": [], "b2": ["b1"]}
    bodies = {"a1": sleeper(0.01), "a2": sleeper(0.5), "b1": sleeper(0.5), "b2": sleeper(0.01)}
    _, seconds = clock.run(timed(library.scheduler(graph, bodies).execute()))
    library.owes(seconds, 0.51)


def test_sd9_a_task_that_succeeded_unawaited_has_a_record(library):
    graph = {"bad": [], "quick": [], "both": ["bad", "quick"]}
    bodies = {"bad": failing(0.05), "quick": sleeper(0.01, "v"), "both": int}
    report = clock.run(library.scheduler(graph, bodies).execute())
    assert report.task_return_set["quick"] == "v"
    library.owes((status_of(report, "quick"), report.successful_tasks), ("completed", 1))


def test_sd9_so_has_one_that_swallowed_its_cancellation(library):
    graph = {"bad": [], "kept": [], "both": ["bad", "kept"]}
    report = clock.run(library.scheduler(graph, {"bad": failing(0.1), "kept": stubborn(0.1), "both": int}).execute())
    library.owes(status_of(report, "kept"), "completed")


class RealTime:
    """Seconds that a body takes on the machine's clock, for a library that does not look at the loop's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "time", self)

    def __call__(self) -> float:
        try:
            return 1000.0 + asyncio.get_running_loop().time()
        except RuntimeError:
            return 1000.0


def test_sd10_a_leaf_that_nobody_looks_at_yet_lasts_no_longer(library, monkeypatch):
    RealTime(monkeypatch)
    made = library.scheduler({"long": [], "short": []}, {"long": sleeper(0.3), "short": sleeper(0.01)})
    report = clock.run(made.execute())
    library.owes(round(record_of(report, "short").duration, 6), 0.01)


def test_sd10_nor_does_one_that_waits_in_a_queue(library, monkeypatch):
    RealTime(monkeypatch)
    bodies = {name: sleeper(0.1) for name in "abcd"}
    made = library.scheduler(dict.fromkeys(bodies, ()), bodies, concurrency_context=asyncio.Semaphore(1))
    report = clock.run(made.execute())
    library.owes([round(record_of(report, name).duration, 6) for name in bodies], [0.1] * 4)
    if library.ours:
        assert [record.queued for record in report.task_statistics] == pytest.approx([0.0, 0.1, 0.2, 0.3])


class Clock:
    """A wall clock that is set back by a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 1e6

    def __call__(self) -> float:
        self.now -= 1.0
        return self.now


def test_sd29_a_wall_clock_that_is_set_back_changes_no_duration(library, monkeypatch):
    monkeypatch.setattr(time, "time", Clock())
    report = clock.run(library.scheduler({"a": []}, {"a": sleeper(0.25)}).execute())
    record = record_of(report, "a")
    library.owes((record.duration, record.end_time >= record.start_time), (0.25, True))
    assert not library.ours or report.total_end_time - report.total_start_time == 0.25


# -- cancellation ------------------------------------------------------------------------------------------


def test_sd11_cancelling_the_run_cancels_everything_it_started(library):
    ended = []

    async def body():
        try:
            await asyncio.sleep(9.0)
            ended.append("orphan")
        except asyncio.CancelledError:
            await asyncio.sleep(0.1)
            ended.append("cancelled")
            raise

    async def main():
        made = library.scheduler(dict.fromkeys("ab", ()), dict.fromkeys("ab", body))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(made.execute(), 1.0)
        at_the_end = list(ended)
        await asyncio.sleep(20.0)
        return made, at_the_end

    made, at_the_end = clock.run(main())
    library.owes((at_the_end, ended), (["cancelled"] * 2, ["cancelled"] * 2))
    if library.ours:
        assert made.last_report.execution_state == "cancelled"
        assert [record.status for record in made.last_report.task_statistics] == ["cancelled"] * 2


def test_sd12_a_bodys_own_cancellation_is_not_the_callers(library):
    async def main():
        graph = {"gives up": [], "after": ["gives up"], "other": []}
        bodies = {"gives up": failing(0.1, asyncio.CancelledError), "after": int, "other": sleeper(1.0)}
        try:
            report = await library.scheduler(graph, bodies).execute()
        except asyncio.CancelledError:
            return "the caller was cancelled"
        return [status_of(report, name) for name in graph]

    library.owes(clock.run(main()), ["cancelled", "skipped", "completed"])


def test_sd33_cancelling_during_the_clean_up_is_not_swallowed(library):
    cleaned = []

    async def cleaning():
        try:
            await asyncio.sleep(9.0)
        finally:
            await asyncio.sleep(0.3)
            cleaned.append(asyncio.get_running_loop().time())

    async def main():
        # c waits for both, so that the failure is noticed while the other one runs.
        graph = {"bad": [], "clean": [], "c": ["bad", "clean"]}
        made = library.scheduler(graph, {"bad": failing(0.1), "clean": cleaning, "c": int})
        task = asyncio.ensure_future(made.execute())
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled(), list(cleaned)

    library.owes(clock.run(main()), (True, [pytest.approx(0.4)]))


def test_sd34_no_coroutine_is_left_that_was_never_awaited(library):
    async def body():
        await asyncio.sleep(1.0)

    async def main():
        made = library.scheduler(dict.fromkeys("abc", ()), {"a": failing(), "b": body, "c": body})
        task = asyncio.ensure_future(made.execute())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clock.run(main())
        gc.collect()
    found = [str(warning.message) for warning in caught if "never awaited" in str(warning.message)]
    library.owes(found, [])


# -- isolation ---------------------------------------------------------------------------------------------


def test_sd13_overlapping_runs_share_nothing(library):
    numbers = iter([1, 2])

    async def numbered():
        number = next(numbers)
        await asyncio.sleep(1.0)
        return number

    async def main():
        made = library.scheduler({"a": []}, {"a": numbered})
        return await asyncio.gather(made.execute(), made.execute())

    reports = clock.run(main())
    found = [(report.task_return_set["a"], record_of(report, "a").attempt_count) for report in reports]
    library.owes(found, [(1, 1), (2, 1)])


def test_sd22_the_results_of_a_report_do_not_change(library):
    numbers = iter([1, 2])
    made = library.scheduler({"a": []}, {"a": lambda: next(numbers)})
    first = clock.run(made.execute())
    second = clock.run(made.execute())
    found = first.task_return_set["a"], second.task_return_set["a"], made.task_return_set["a"]
    library.owes(found, (1, 2, 2))


def test_sd22_a_failed_run_has_no_value_of_an_earlier_one(library):
    numbers = iter([1])
    made = library.scheduler({"a": []}, {"a": lambda: {1: "v"}[next(numbers, 2)]})
    clock.run(made.execute())
    library.owes(dict(clock.run(made.execute()).task_return_set), {})


# -- plain functions ---------------------------------------------------------------------------------------


def test_sd14_plain_functions_can_run_side_by_side(library):
    both = threading.Barrier(2)

    def meet():
        try:
            both.wait(5.0 if library.ours else 0.01)  # only if the other one is called meanwhile
        except threading.BrokenBarrierError:
            return "alone"
        return "met"

    options = {"sync_in": "thread"} if library.ours else {}
    made = library.scheduler({"a": [], "b": []}, {"a": meet, "b": meet}, **options)
    report = asyncio.run(made.execute())
    library.owes(dict(report.task_return_set), {"a": "met", "b": "met"})


def test_sd14_a_long_function_on_the_loop_is_warned_of_once(library, caplog):
    def long():
        asyncio.get_running_loop().advance(1.5)

    caplog.set_level(logging.WARNING)
    clock.run(library.scheduler({"a": [], "b": []}, {"a": long, "b": long}).execute())
    found = [record.getMessage() for record in caplog.records if "event loop" in record.getMessage()]
    library.owes(len(found), 1)
    assert not library.ours or "task a kept the event loop for 1.5 s" in found[0]


# -- states and texts --------------------------------------------------------------------------------------


def test_sd16_completed_is_not_said_while_a_leaf_runs(library):
    async def main():
        made = library.scheduler({"leaf": []}, {"leaf": sleeper(0.2)})
        said = []
        asyncio.get_running_loop().call_at(0.05, lambda: said.append(made.stage_status.value))
        await made.execute()
        return said

    library.owes(clock.run(main()), ["running"])


def test_sd16_nor_after_a_time_out_from_outside(library):
    async def main():
        made = library.scheduler({"leaf": []}, {"leaf": sleeper(9.0)})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(made.execute(), 1.0)
        return made.execution_state.value, made.stage_status.value

    library.owes(clock.run(main()), ("cancelled", "cancelled"))


def test_sd23_the_names_without_effect_are_there(library):
    module = library.module
    assert issubclass(module.TaskOrderNoExitError, module.SchedulerError)
    assert issubclass(module.TaskDuplicateExecutionError, module.SchedulerError)
    assert (module.ExecutionState.CANCELLED.value, module.StageStatus.CANCELLED.value) == ("cancelled", "cancelled")
    # Both members are really set here (SD16); the type tools are left out.
    library.owes(importlib.util.find_spec(f"{module.__name__}.type_tools"), None)


def test_sd25_every_failure_has_a_line(library):
    async def failing_in_clean_up():
        try:
            await asyncio.sleep(9.0)
        finally:
            raise KeyError("second")

    bodies = {"a": failing(0.1, ValueError("first")), "b": failing_in_clean_up}
    summary = clock.run(library.scheduler({"a": [], "b": []}, bodies).execute()).error_summary
    library.owes(
        summary,
        [
            "Execution interrupted; task 'a' failed: first",
            "Final task 'a' failed: first",
            "Final task 'b' failed: 'second'",
        ],
    )


def test_sd26_the_exception_and_its_traceback_are_kept(library):
    report = clock.run(library.scheduler({"a": []}, {"a": failing(0.1, ValueError)}).execute())
    record = record_of(report, "a")
    error = getattr(record, "exception", None)
    frames = [] if error is None else traceback.extract_tb(error.__traceback__)
    found = bool(record.error_message), type(error), frames[-1].line if frames else None
    library.owes(found, (True, ValueError, "raise error"))


def test_sd27_a_task_that_never_started_is_skipped(library):
    graph = {"bad": [], "b": ["bad"], "c": ["b"]}
    report = clock.run(library.scheduler(graph, {"bad": failing(0.1), "b": int, "c": int}).execute())
    library.owes([status_of(report, name) for name in graph], ["failed", "skipped", "skipped"])
    if library.ours:
        error = record_of(report, "c").exception
        assert isinstance(error, DependencyFailureError)
        assert error.path == ("bad", "b", "c")
        assert error.root_cause is record_of(report, "bad").exception


def test_sd28_the_width_of_a_plan_is_not_overstated(library):
    comb: dict[str, list[str]] = {"n0": []}
    for level in range(1, 50):
        comb[f"n{level}"] = [f"n{level - 1}"]
        comb[f"leaf{level}"] = [f"n{level - 1}"]
    plan = library.planner(comb).get_execute_timeline()
    assert plan.max_parallelism == 50
    library.owes(getattr(plan, "width", None), 2)


ORDER = """
import importlib, sys
module = importlib.import_module(sys.argv[1])
order = [module.TaskOrder(name) for name in ("zeta", "alpha", "mid", "beta", "last")]
order.append(module.TaskOrder("after", [order[0]]))
print(*module.ExecutionPlanner(order).get_execute_timeline().stages[1].parallel_tasks)
"""


def test_sd19_no_order_depends_on_the_hash_seed(library):
    found = set()
    for seed in range(4):
        environment = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-c", ORDER, library.module.__name__]
        found.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip())
    library.owes(found, {"alpha mid beta last after"})


def test_sd36_texts_are_in_one_language(library):
    async def body():
        pass

    called = body()
    entries = [("a", int), ("a", int), (1, int), ("b", 3), ("c", called)]
    with pytest.raises(TypeError) as caught:
        library.module.DynamicScheduler(entries, [])
    called.close()
    library.owes(str(caught.value).isascii(), True)


# -- failures ----------------------------------------------------------------------------------------------


def test_sd30_a_failure_is_noticed_at_once(library):
    made = library.scheduler({"long": [], "bad": []}, {"long": sleeper(1.0), "bad": failing(0.01)})
    report, seconds = clock.run(timed(made.execute()))
    assert report.execution_state == "failed"
    library.owes(seconds, 0.01)


def test_sd30_a_failing_leaf_stops_a_chain_beside_it(library):
    started = []

    async def noted(name):
        started.append(name)
        await asyncio.sleep(0.1)

    graph = {"x": [], "bad": [], "y": ["x"], "z": ["y"]}
    bodies = {name: lambda name=name: noted(name) for name in "xyz"}
    clock.run(library.scheduler(graph, {**bodies, "bad": failing(0.01)}).execute())
    library.owes(started, ["x"])


def cleaning(seconds: float) -> Any:
    async def body() -> None:
        try:
            await asyncio.sleep(9.0)
        finally:
            await asyncio.sleep(seconds)

    return body


def test_sd31_tasks_are_cleaned_up_together(library):
    bodies = {"bad": failing(0.0), **{name: cleaning(0.3) for name in "abc"}}
    _, seconds = clock.run(timed(library.scheduler(dict.fromkeys(bodies, ()), bodies).execute()))
    library.owes(seconds, 0.3)


def test_sd31_nothing_is_retried_meanwhile(library):
    began = []

    async def flaky():
        began.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.08)
        raise ValueError("again")

    bodies = {"bad": failing(0.2), "clean": cleaning(0.3), "flaky": flaky}
    made = library.scheduler(dict.fromkeys(bodies, ()), bodies, task_retries={"flaky": 9})
    clock.run(made.execute())
    library.owes([moment for moment in began if moment > 0.2], [])


def test_sd32_nothing_queued_starts_after_a_failure(library):
    started = []

    async def queued():
        started.append(1)
        await asyncio.sleep(1.0)

    bodies = {"bad": failing(0.1), **dict.fromkeys("abcdef", queued)}
    made = library.scheduler(dict.fromkeys(bodies, ()), bodies, concurrency_context=asyncio.Semaphore(1))
    report = clock.run(made.execute())
    assert status_of(report, "bad") == "failed"
    library.owes(started, [])


# -- what there was not (ours alone) -------------------------------------------------------------------------

OURS = Library(penstock)


def test_sd35_a_task_may_have_a_time_limit():
    made = OURS.scheduler({"hung": []}, {"hung": sleeper(99.0)}, task_timeout=2.0)
    report = clock.run(made.execute())
    assert (report.execution_state, report.execution_duration) == ("failed", 2.0)
    assert isinstance(record_of(report, "hung").exception, penstock.TaskTimeout)


def test_sd35_so_may_a_run():
    graph = {"quick": [], "hung": [], "after": ["hung"]}
    bodies = {"quick": sleeper(1.0, "v"), "hung": sleeper(99.0), "after": int}
    report = clock.run(OURS.scheduler(graph, bodies, timeout=2.5).execute())
    assert (report.execution_state, report.execution_duration) == ("failed", 2.5)
    assert [status_of(report, name) for name in graph] == ["completed", "cancelled", "skipped"]
    assert report.error_summary == ["Run timed out after 2.5 s"]
    assert report.results == {"quick": "v"}


def test_sd35_retries_may_wait_back_off_and_choose():
    began = []

    async def body():
        began.append(asyncio.get_running_loop().time())
        raise OSError if len(began) < 4 else ValueError

    policy = RetryPolicy(attempts=9, delay=1.0, backoff=2.0, jitter=False, retry_on=OSError)
    clock.run(OURS.scheduler({"a": []}, {"a": body}, retries=policy).execute())
    assert began == [0.0, 1.0, 3.0, 7.0]
    assert RetryPolicy(delay=8.0, random=lambda: 0.25).delay_after(1) == 2.0


def test_sd35_a_run_has_a_handle_to_cancel_it():
    async def main():
        graph = penstock.TaskGraph.from_predecessors({"hung": []})
        run = graph.plan().start({"hung": sleeper(99.0)})
        asyncio.get_running_loop().call_at(1.0, run.cancel)
        with pytest.raises(asyncio.CancelledError):
            await run
        return run.report(), asyncio.get_running_loop().time()

    report, seconds = clock.run(main())
    assert (report.execution_state, seconds) == ("cancelled", 1.0)


def test_sd35_what_a_failure_does_can_be_chosen():
    graph = {"bad": [], "after": ["bad"], "other": [], "clean up": ["bad"]}
    bodies = {"bad": failing(1.0), "after": int, "other": sleeper(2.0), "clean up": int}
    options = {"clean up": TaskOptions(run_when="finished")}
    for policy, other in (("stop", "cancelled"), ("continue", "completed")):
        made = OURS.scheduler(graph, bodies, failure_policy=policy, options=options)
        found = clock.run(made.execute())
        assert [status_of(found, name) for name in graph] == ["failed", "skipped", other, "completed"]


# -- growth --------------------------------------------------------------------------------------------------


class Name(str):
    """A name that counts how often names are compared or hashed."""

    __slots__ = ()
    count = 0

    def __eq__(self, other: object) -> bool:
        Name.count += 1
        return str.__eq__(self, other)

    def __hash__(self) -> int:
        Name.count += 1
        return str.__hash__(self)


def growth(operation: Any, size: int = 150) -> float:
    """Return by how much more often names are looked at when there are four times as many."""
    counts = []
    for n in (size, 4 * size):
        prepared = operation(n)
        Name.count = 0
        prepared()
        counts.append(Name.count)
    return counts[1] / max(counts[0], 1)


def names(n: int) -> list[Name]:
    return [Name(f"t{number}") for number in range(n)]


def chain(n: int) -> dict[Any, Any]:
    listed = names(n)
    return {name: [Name(other) for other in listed[max(number - 1, 0) : number]] for number, name in enumerate(listed)}


def fan_in(n: int) -> dict[Any, Any]:
    listed = names(n)
    return {**dict.fromkeys(listed, ()), Name("sink"): [Name(name) for name in listed]}


def planning(library, shape):
    def prepare(n):
        return library.planner(shape(n)).get_execute_timeline

    return growth(prepare)


def test_sd40_planning_a_chain_is_linear(library):
    library.owes(planning(library, chain) < 5.0, True)


def test_sd41_planning_a_fan_in_is_linear(library):
    library.owes(planning(library, fan_in) < 5.0, True)


def test_sd42_checking_the_names_is_linear(library):
    def prepare(n):
        tasks = [(name, int) for name in names(n)]
        return lambda: library.module.DynamicScheduler(tasks, [])

    library.owes(growth(prepare) < 5.0, True)


def test_sd43_finding_a_function_takes_no_longer_among_many(library):
    def prepare(n):
        listed = names(n)
        made = library.module.DynamicScheduler([(name, int) for name in listed], [])
        wanted = [Name(name) for name in listed[-50:]]
        return lambda: [made.find_task_by_name(name) for name in wanted]

    library.owes(growth(prepare) < 1.5, True)


@pytest.mark.parametrize("shape", [lambda n: dict.fromkeys(names(n), ()), chain], ids=["independent", "chain"])
def test_sd44_a_whole_run_is_linear(library, shape):
    def prepare(n):
        graph = shape(n)
        return lambda: clock.run(library.scheduler(graph, dict.fromkeys(graph, int)).execute())

    library.owes(growth(prepare) < 5.0, True)


def test_sd45_a_long_chain_may_be_listed_consumer_first(library):
    graph = {f"t{number}": [f"t{number - 1}"] if number else [] for number in reversed(range(1500))}
    report = clock.run(library.scheduler(graph, dict.fromkeys(graph, int)).execute())
    library.owes((report.execution_state, report.successful_tasks), ("completed", 1500))


def test_sd48_the_repr_of_an_order_does_not_grow_with_what_is_below(library):
    def ladder(depth):
        order = library.module.TaskOrder
        rungs = [order("a"), order("b")]
        for _ in range(depth):
            rungs = [order("a", list(rungs)), order("b", list(rungs))]
        return len(repr(rungs[0]))

    library.owes(ladder(10) - ladder(5), 0)
