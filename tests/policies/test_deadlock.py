"""A run in which nothing moves any more says so instead of waiting for ever."""

import asyncio
import pickle

import pytest

from penstock import DeadlockError, DynamicScheduler, RetryPolicy, TaskGraph, TaskOptions, TaskOrder
from penstock.testing import clock


def plan_of(mapping):
    return TaskGraph.from_predecessors(mapping).plan()


def steal(run):
    """Take the next ready task out of a run, as if somebody had started it and forgotten."""
    return run._core.start(0.0)


@pytest.mark.parametrize("waits", [False, True])
def test_a_task_that_nobody_will_end_is_named(waits):
    async def body(name):
        if waits:
            await asyncio.sleep(1.0)

    async def main():
        run = plan_of({"lost": [], "b": ["lost"], "c": ["b"], "free": []}).start(body)
        steal(run)
        with pytest.raises(DeadlockError) as caught:
            await run
        return caught.value, run

    error, run = clock.run(main())
    assert error.blocking == ("lost",)
    assert error.left == 3
    assert str(error) == "nothing is running and 3 tasks are left; blocking: lost"
    assert run.done()
    assert run.report().results == {"free": None}
    counts = run.counts()
    assert counts["pending"] == counts["ready"] == counts["running"] == 0


def test_a_timer_of_something_else_is_no_reason_to_wait():
    async def main():
        run = plan_of({"lost": [], "b": []}).start(lambda name: None, timeout=60.0, task_timeout=5.0)
        steal(run)
        with pytest.raises(DeadlockError):
            await run
        return asyncio.get_running_loop().time()

    assert clock.run(main()) == 0.0


def test_a_retry_that_waits_is_a_reason_to_wait():
    tries = []

    def body(name):
        tries.append(name)
        if len(tries) == 1:
            raise ValueError(name)

    report = clock.run(plan_of({"a": []}).run(body, retries=RetryPolicy(delay=60.0, jitter=False)))
    assert report.execution_state == "completed"


def test_the_error_is_raised_where_a_scheduler_is_executed():
    async def main():
        scheduler = DynamicScheduler(
            [("lost", lambda: 1), ("b", lambda: 2)], [TaskOrder("lost", []), TaskOrder("b", [])]
        )

        def body():
            steal(scheduler._run)

        scheduler._functions["lost"] = body
        with pytest.raises(DeadlockError, match="b"):
            await scheduler.execute()
        return scheduler.last_report

    assert clock.run(main()).execution_state == "cancelled"


def test_no_run_with_rules_deadlocks_by_itself():
    plan = plan_of({name: [name - 1] if name % 3 else [] for name in range(30)})
    options = {name: TaskOptions(uses=("one", "two")[: name % 3], priority=name % 4) for name in range(30)}

    async def body(name):
        await asyncio.sleep(name % 5)

    report = clock.run(
        plan.run(body, options=options, limits={"one": 1, "two": 1}, max_concurrency=2, stage_barriers=True)
    )
    assert report.execution_state == "completed"


def test_the_error_can_be_pickled():
    error = pickle.loads(pickle.dumps(DeadlockError(["a", "b"], 7)))
    assert (error.blocking, error.left) == (("a", "b"), 7)
