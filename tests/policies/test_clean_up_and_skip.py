"""Tasks that run whatever became of their dependencies, and bodies that say that there is nothing to do."""

import asyncio
from asyncio import CancelledError

import pytest

from penstock import RunFailed, Skip, TaskGraph, TaskOptions
from penstock.testing import clock

FINISHED = TaskOptions(run_when="finished")


def plan_of(mapping):
    return TaskGraph.from_predecessors(mapping).plan()


def statuses(report):
    return {record.task_name: record.status for record in report.task_statistics}


CHAIN = plan_of({"work": [], "clean": ["work"], "after": ["clean"], "other": ["work"]})
CLEAN = {"clean": FINISHED}


class Scene:
    """Bodies that wait a second and then do what is said for their name."""

    def __init__(self, **ends):
        self.ends, self.log = ends, []

    async def __call__(self, name, *results):
        self.log.append((name, results))
        await asyncio.sleep(self.ends.get(f"{name}_seconds", 1.0))
        end = self.ends.get(name)
        if isinstance(end, BaseException):
            raise end
        return name


async def ended(run):
    """Wait for the end of a run, and return what waiting raised."""
    try:
        await run
    except BaseException as error:
        return error
    return None


# -- clean-up ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["stop", "continue"])
@pytest.mark.parametrize(
    ("end", "status", "state"),
    [
        (None, "completed", "completed"),
        (ValueError("no"), "failed", "failed"),
        (CancelledError("no"), "cancelled", "cancelled"),
        (Skip("no"), "skipped", "completed"),
    ],
)
def test_clean_up_runs_to_its_end_whatever_became_of_the_work(end, status, state, policy):
    scene = Scene(work=end)
    report = clock.run(CHAIN.run(scene, options=CLEAN, failure_policy=policy))
    found = statuses(report)
    assert (found["work"], found["clean"], report.execution_state) == (status, "completed", state)
    assert found["other"] == ("completed" if end is None else "skipped")
    # What depends on the clean-up starts unless the run was stopped.
    stopped = policy == "stop" and status == "failed"
    assert found["after"] == ("skipped" if stopped else "completed")


def test_clean_up_runs_below_what_was_skipped():
    plan = plan_of({"work": [], "middle": ["work"], "clean": ["middle", "work"]})
    report = clock.run(plan.run(Scene(work=ValueError("no")), options=CLEAN, failure_policy="continue"))
    assert statuses(report) == {"work": "failed", "middle": "skipped", "clean": "completed"}


@pytest.mark.parametrize("by", ["run", "waiter"])
def test_clean_up_runs_after_the_run_was_cancelled(by):
    scene = Scene(work_seconds=9.0)

    async def main():
        run = CHAIN.start(scene, options=CLEAN)
        waiter = asyncio.ensure_future(ended(run))
        await asyncio.sleep(2.0)
        (run if by == "run" else waiter).cancel()
        assert isinstance(await waiter, CancelledError)
        return run.report(), asyncio.get_running_loop().time()

    report, when = clock.run(main())
    assert statuses(report) == {"work": "cancelled", "clean": "completed", "after": "skipped", "other": "skipped"}
    assert report.execution_state == "cancelled"
    assert when == 3.0


def test_clean_up_runs_after_the_time_of_the_run():
    report = clock.run(CHAIN.run(Scene(work_seconds=9.0), options=CLEAN, timeout=2.0))
    assert statuses(report)["clean"] == "completed"
    assert report.execution_state == "failed"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("suspends", [False, True])
def test_clean_up_runs_before_an_interrupt_of_a_body_goes_on(error, suspends):
    stop = error("stop")

    def plain(name):
        if name == "work":
            raise stop
        return scene(name)

    scene = Scene(work=stop)

    async def main():
        run = CHAIN.start(scene if suspends else plain, options=CLEAN)
        assert await ended(run) is stop
        return run.report()

    report = clock.run(main())
    assert statuses(report) == {"work": "failed", "clean": "completed", "after": "skipped", "other": "skipped"}
    assert report.execution_state == "cancelled"


def test_a_second_cancel_stops_the_clean_up_too():
    async def main():
        run = CHAIN.start(Scene(work_seconds=9.0, clean_seconds=9.0), options=CLEAN)
        await asyncio.sleep(1.0)
        run.cancel()
        await asyncio.sleep(1.0)
        assert run.counts()["running"] == 1
        run.cancel()
        assert isinstance(await ended(run), CancelledError)
        return run.report(), asyncio.get_running_loop().time()

    report, when = clock.run(main())
    assert statuses(report) == {"work": "cancelled", "clean": "cancelled", "after": "skipped", "other": "skipped"}
    assert when == 2.0


def test_a_second_cancel_skips_clean_up_that_has_not_begun():
    async def work(name):
        try:
            await asyncio.sleep(9.0)
        finally:
            await asyncio.sleep(5.0)

    async def main():
        run = CHAIN.start(work, options=CLEAN)
        await asyncio.sleep(1.0)
        run.cancel()
        await asyncio.sleep(1.0)
        run.cancel()
        assert isinstance(await ended(run), CancelledError)
        return run.report()

    assert statuses(clock.run(main()))["clean"] == "skipped"


def test_clean_up_that_stops_the_run_itself_is_cancelled_like_others():
    async def main():
        runs = []

        async def body(name):
            if name == "clean":
                runs[0].cancel()
            await asyncio.sleep(1.0)

        runs.append(CHAIN.start(body, options=CLEAN))
        await ended(runs[0])
        return runs[0].report()

    assert statuses(clock.run(main()))["clean"] == "cancelled"


def test_a_failure_in_the_clean_up_is_a_failure_of_the_run():
    report = clock.run(CHAIN.run(Scene(clean=ValueError("dirty")), options=CLEAN))
    assert statuses(report)["clean"] == "failed"
    assert report.execution_state == "failed"


def test_clean_up_waits_for_all_of_its_dependencies_to_end():
    plan = plan_of({"a": [], "b": [], "clean": ["a", "b"]})

    async def body(name):
        if name == "a":
            await asyncio.sleep(0)
            raise ValueError(name)
        if name == "b":
            try:
                await asyncio.sleep(9.0)
            finally:
                await asyncio.sleep(3.0)
        return asyncio.get_running_loop().time()

    report = clock.run(plan.run(body, options=CLEAN))
    assert statuses(report) == {"a": "failed", "b": "cancelled", "clean": "completed"}
    assert report.results["clean"] == 3.0


@pytest.mark.parametrize("context", [False, True])
def test_clean_up_may_be_tried_again_and_use_limits_after_a_stop(context):
    tries = []

    async def body(name):
        await asyncio.sleep(1.0)
        if name == "work":
            raise ValueError(name)
        tries.append(name)
        if len(tries) < 3:
            raise ValueError(len(tries))

    async def main():
        semaphore = asyncio.Semaphore(1)
        options = {"clean": TaskOptions(run_when="finished", retries=5, uses=("db",))}
        report = await CHAIN.run(
            body,
            options=options,
            limits={"db": 1},
            max_concurrency=1,
            concurrency_context=semaphore if context else None,
        )
        assert semaphore._value == 1
        return report

    report = clock.run(main())
    assert statuses(report)["clean"] == "completed"
    assert tries == ["clean"] * 3


# -- skipping ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["plain", "coroutine", "suspended", "thread"])
@pytest.mark.parametrize("policy", ["stop", "continue"])
def test_a_body_that_skips_takes_its_dependents_along_and_fails_nothing(where, policy, on_loop):
    skip = Skip("nothing new")

    def plain(name):
        if name == "a":
            raise skip
        return name

    async def coroutine(name):
        if where == "suspended":
            await asyncio.sleep(0)
        return plain(name)

    body = plain if where in ("plain", "thread") else coroutine
    plan = plan_of({"a": [], "b": ["a"], "c": ["b"], "d": []})
    place = "thread" if where == "thread" else "loop"
    report = on_loop(plan.run(body, failure_policy=policy, sync_in=place))
    assert statuses(report) == {"a": "skipped", "b": "skipped", "c": "skipped", "d": "completed"}
    assert report.execution_state == "completed"
    assert report.error_summary == []
    record = report.record_of("a")
    assert record.exception is skip
    assert (record.error_message, record.attempt_count) == ("nothing new", 1)
    assert record.start_time is not None
    below = report.record_of("c")
    assert below.exception.root_cause is skip
    assert below.exception.path == ("a", "b", "c")
    assert "was skipped" in below.error_message
    assert below.attempt_count == 0


def test_a_reason_may_be_anything_and_may_be_left_out():
    assert Skip().reason == ""
    assert Skip(404).reason == 404

    def body(name):
        raise Skip

    report = clock.run(plan_of({"a": []}).run(body))
    assert report.record_of("a").error_message == "Skip"


def test_a_skip_does_not_make_raise_for_failure_raise():
    def body(name):
        raise Skip("why")

    report = clock.run(plan_of({"a": [], "b": ["a"]}).run(body))
    report.raise_for_failure()
    failing = clock.run(plan_of({"a": []}).run(Scene(a=ValueError("no"))))
    with pytest.raises(RunFailed):
        failing.raise_for_failure()


@pytest.mark.parametrize("end", [ValueError("no"), Skip("no"), CancelledError("no")])
def test_what_has_no_result_is_passed_as_none(end):
    scene = Scene(work=end)
    plan = plan_of({"work": [], "good": [], "clean": ["work", "good", "below"], "below": ["work"]})
    report = clock.run(plan.run(scene, options=CLEAN, pass_results=True, failure_policy="continue"))
    assert statuses(report)["clean"] == "completed"
    assert dict(scene.log)["clean"] == (None, "good", None)


def test_run_when_may_be_set_back_for_one_run():
    graph = TaskGraph()
    graph.add_task("work", lambda: 1 / 0)
    graph.add_task("clean", lambda: None, ["work"], options=FINISHED)
    plan = graph.plan()
    assert statuses(plan.run_sync())["clean"] == "completed"
    back = {"clean": TaskOptions(run_when="succeeded")}
    assert statuses(plan.run_sync(options=back))["clean"] == "skipped"
