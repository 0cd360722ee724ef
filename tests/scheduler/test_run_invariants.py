"""Random runs of random bodies keep the promises: order, one outcome each, nothing started after a stop."""

import asyncio
from random import Random

import pytest

from penstock import DependencyFailureError, TaskGraph
from penstock.testing import shapes

BATCHES = 10
RUNS_PER_BATCH = 30


class Odd(BaseException):
    """No Exception."""


class Scene:
    """One run: what each body does is drawn from the seed, what happens is written down."""

    def __init__(self, seed):
        self.random = random = Random(seed)
        n = random.choice((1, 2, 5, 20, 60))
        self.mapping = shapes.random_dag(n, random.choice((0.0, 0.05, 0.3)), seed)
        rare = random.choice((0.0, 0.02, 0.15))
        ends = ["value"] * 20 + ["fails", "odd", "cancels itself", "cancels the run", "fails in clean-up"]
        self.ends = {name: random.choice(ends[20:]) if random.random() < rare else "value" for name in self.mapping}
        self.turns = {name: random.choice((None, 0, 0, 1, 2, 5)) for name in self.mapping}
        self.log, self.called, self.run = [], 0, None
        self.options = {
            "max_concurrency": random.choice((None, None, 1, 2, 5)),
            "failure_policy": random.choice(("stop", "continue")),
            "time_slice": random.choice((0.005, 1e-9)),
        }

    def body(self, name):
        self.log.append(("start", name))
        if self.turns[name] is None:
            try:
                return self.end(name)
            finally:
                self.log.append(("end", name))
        return self.coroutine(name)

    async def coroutine(self, name):
        try:
            for _ in range(self.turns[name]):
                await asyncio.sleep(0)
            if self.ends[name] == "fails in clean-up":
                await self.clean_up()
            return self.end(name)
        finally:
            self.log.append(("end", name))

    async def clean_up(self):
        try:
            await asyncio.wait_for(asyncio.get_running_loop().create_future(), 0.001)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            raise OSError("in clean-up") from None
        except TimeoutError:
            return

    def end(self, name):
        match self.ends[name]:
            case "fails":
                raise ValueError(name)
            case "odd":
                raise Odd(name)
            case "cancels itself":
                raise asyncio.CancelledError
            case "cancels the run":
                self.run.cancel()
        return name

    async def play(self, plan):
        self.run = plan.start(self.body, **self.options)
        self.run.add_done_callback(self.count)
        outside = self.random.random() < 0.1
        waiter = asyncio.ensure_future(self.wait())
        if outside:
            for _ in range(self.random.randrange(6)):
                await asyncio.sleep(0)
            waiter.cancel()
        await asyncio.wait([waiter])
        if not self.run.done():  # cancelled before it began to wait
            self.run.cancel()
            await asyncio.wait([asyncio.ensure_future(self.wait())])
        await asyncio.sleep(0)
        return self.run.report(), waiter.cancelled()

    async def wait(self):
        return await self.run

    def count(self, run):
        assert run is self.run
        self.called += 1


def check(scene, report, cancelled):
    status = {record.task_name: record.status for record in report.task_statistics}
    at = {event: number for number, event in enumerate(scene.log)}
    assert len(at) == len(scene.log)
    assert scene.called == 1
    counted = report.successful_tasks, report.failed_tasks, report.cancelled_tasks, report.skipped_tasks
    assert sum(counted) == report.total_tasks == len(status)
    failed = [name for name, how in status.items() if how == "failed"]
    stopped = cancelled or "cancels the run" in scene.ends.values()
    stopped = stopped or (failed and scene.options["failure_policy"] == "stop")
    for name, needs in scene.mapping.items():
        record = report.record_of(name)
        if ("start", name) in at:
            assert status[name] in ("completed", "failed", "cancelled")
            # Each body ended once, unless it was cancelled before its first step.
            assert ("end", name) in at or status[name] == "cancelled"
            for other in needs:
                assert status[other] == "completed"
                assert at["end", other] < at["start", name]
                assert report.record_of(other).end_time <= record.start_time
            assert record.start_time <= record.end_time
        else:
            assert status[name] == "skipped"
            assert isinstance(record.exception, DependencyFailureError)
            assert stopped or any(status[other] != "completed" for other in needs)
        if status[name] == "completed":
            assert report.results[name] == name
        else:
            assert name not in report.results
            assert record.exception is not None
    if cancelled:
        assert report.execution_state in ("cancelled", "completed", "failed")
    elif failed:
        assert report.execution_state == "failed"
    elif set(status.values()) == {"completed"}:
        assert report.execution_state == "completed"
    else:
        assert report.execution_state == "cancelled"
    assert (report.error_summary != []) == bool(failed)
    assert len(report.completion_order) == len(status)
    assert report.to_dict()["execution_state"] == report.execution_state


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_runs_keep_the_promises(batch, on_loop):
    for seed in range(batch * RUNS_PER_BATCH, (batch + 1) * RUNS_PER_BATCH):
        scene = Scene(seed)
        plan = TaskGraph.from_predecessors(scene.mapping).plan()
        report, cancelled = on_loop(scene.play(plan))
        check(scene, report, cancelled)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_many_random_runs_on_one_loop_keep_the_promises(batch, on_loop):
    scenes = [Scene(1000 + batch * 10 + i) for i in range(10)]
    plans = [TaskGraph.from_predecessors(scene.mapping).plan() for scene in scenes]

    async def main():
        return await asyncio.gather(*map(Scene.play, scenes, plans))

    for scene, (report, cancelled) in zip(scenes, on_loop(main()), strict=True):
        check(scene, report, cancelled)
