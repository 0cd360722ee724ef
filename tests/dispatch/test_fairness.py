"""The loop gets its turn after each time slice, whatever is ready.  Turns are counted, not seconds."""

from __future__ import annotations

import asyncio

import pytest

from penstock import TaskGraph
from penstock.testing import shapes

TINY = 1e-9  # over before it began: one task, then the loop


class Heartbeat:
    """Counts the turns of the loop, and how many bodies ended between two of them at most."""

    def __init__(self):
        self.turns = self.bodies = self.most = self._last = 0
        self._handle = None

    def __enter__(self):
        self._beat()
        return self

    def __exit__(self, *error):
        self._handle.cancel()

    def _beat(self):
        self.turns += 1
        self.most = max(self.most, self.bodies - self._last)
        self._last = self.bodies
        self._handle = asyncio.get_running_loop().call_soon(self._beat)

    def body_of(self, kind):
        def plain(name):
            self.bodies += 1

        async def at_once(name):
            self.bodies += 1

        async def suspending(name):
            await asyncio.sleep(0)
            self.bodies += 1

        return {"plain": plain, "at-once": at_once, "suspending": suspending}[kind]


@pytest.mark.parametrize("kind", ["plain", "at-once"])
@pytest.mark.parametrize("shape", [shapes.layered, shapes.chain, shapes.fan_out_in], ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("start", ["run", "start"])
def test_after_each_slice_the_loop_has_its_turn(on_loop, kind, shape, start):
    async def main():
        plan = TaskGraph.from_predecessors(shape(500)).plan()
        with Heartbeat() as heart:
            await getattr(plan, start)(heart.body_of(kind), time_slice=TINY)
        assert heart.bodies == plan.total_tasks
        # The first slice may come before the first beat.
        assert heart.most <= 2
        assert heart.turns >= plan.total_tasks - 1

    on_loop(main())


def test_bodies_resumed_together_share_one_slice(on_loop):
    """Each completion could start a slice of its own; then a hundred of them would hold the loop for a hundred."""

    async def main():
        width = 100
        gate = asyncio.get_running_loop().create_future()
        first = {("first", i): [] for i in range(width)}
        second = {("second", i): [("first", i)] for i in range(width)}
        third = {("third", i): [("second", i)] for i in range(width)}
        ended = []

        async def body(name):
            if name[0] == "first":
                await gate
            ended.append(name[0])

        run = TaskGraph.from_predecessors(first | second | third).plan().start(body, time_slice=TINY)
        for _ in range(2 * width + 5):  # there are two turns between slices
            await asyncio.sleep(0)
        gate.set_result(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        # All that waited for the gate have ended; of their successors only as many as there were slices.
        assert ended.count("first") == width
        assert ended.count("second") + ended.count("third") <= 3
        assert (await run).successful_tasks == 3 * width

    on_loop(main())


def test_two_runs_take_turns(on_loop):
    async def main():
        order = []
        plan = TaskGraph.from_predecessors({name: [] for name in range(100)}).plan()
        runs = [plan.start(lambda name, which=which: order.append(which), time_slice=TINY) for which in "ab"]
        for run in runs:
            await run
        assert "".join(order) == "ab" * 100

    on_loop(main())


def test_a_long_slice_runs_everything_at_once(on_loop):
    async def main():
        plan = TaskGraph.from_predecessors(shapes.layered(500)).plan()
        with Heartbeat() as heart:
            await plan.run(heart.body_of("plain"), time_slice=3600)
        assert heart.turns == 1

    on_loop(main())


def test_time_outs_and_cancellations_get_through_between_slices(on_loop):
    async def main():
        calls = []
        plan = TaskGraph.from_predecessors({name: [] for name in range(10_000)}).plan()
        loop = asyncio.get_running_loop()
        run = plan.start(calls.append, time_slice=TINY)
        loop.call_later(0, run.cancel)
        with pytest.raises(asyncio.CancelledError):
            await run
        assert len(calls) < 10_000

    on_loop(main())


def test_the_limit_holds_across_slices(on_loop):
    async def main():
        running = most = 0

        async def body(name):
            nonlocal running, most
            running += 1
            most = max(most, running)
            for _ in range(30):
                await asyncio.sleep(0)
            running -= 1

        plan = TaskGraph.from_predecessors({name: [] for name in range(100)}).plan()
        report = await plan.run(body, time_slice=TINY, max_concurrency=7)
        assert (report.successful_tasks, most) == (100, 7)

    on_loop(main())
