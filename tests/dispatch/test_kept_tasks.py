"""A body that gets hold of its own task keeps it: the object is that body's for good, and ends as any task does."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from penstock import TaskGraph

CHAIN = {"a": [], "b": ["a"], "c": ["b"]}
FAN = {name: [] for name in "abc"}


def run_of(graph, body, **options):
    return TaskGraph.from_predecessors(graph).plan().run(body, **options)


@pytest.mark.parametrize("graph", [CHAIN, FAN], ids=["chain", "fan"])
@pytest.mark.parametrize("turns", [0, 1])
def test_a_kept_task_ends_with_the_value_of_its_body(on_loop, graph, turns):
    async def main():
        kept = {}

        async def body(name):
            kept[name] = asyncio.current_task()
            for _ in range(turns):
                await asyncio.sleep(0)
            return name * 2

        report = await run_of(graph, body)
        assert {name: task.result() for name, task in kept.items()} == dict(report.results)
        assert all(task.done() and not task.cancelled() and task.exception() is None for task in kept.values())
        assert [await task for task in kept.values()] == ["aa", "bb", "cc"]

    on_loop(main())


@pytest.mark.parametrize("turns", [0, 1])
def test_a_kept_task_ends_with_the_exception_of_its_body_and_does_not_complain(on_loop, turns):
    async def main():
        kept = {}

        async def body(name):
            kept[name] = weakref.proxy(asyncio.current_task()), asyncio.current_task()
            for _ in range(turns):
                await asyncio.sleep(0)
            raise ValueError(name)

        report = await run_of(FAN, body, failure_policy="continue")
        for name, (_, task) in kept.items():
            assert task.exception() is report.record_of(name).exception
        kept.clear()
        report = None
        gc.collect()

    on_loop(main())


@pytest.mark.parametrize("turns", [0, 1])
def test_a_body_that_cancels_itself_is_cancelled_at_its_next_await(on_loop, turns):
    async def main():
        kept = {}

        async def body(name):
            for _ in range(turns):
                await asyncio.sleep(0)
            kept[name] = asyncio.current_task()
            if name == "b":
                assert kept[name].cancel("by itself")
                assert kept[name].cancelling() == 1
                await asyncio.get_running_loop().create_future()
            return name

        report = await run_of(CHAIN, body)
        assert [record.status for record in report.task_statistics] == ["completed", "cancelled", "skipped"]
        assert [task.cancelled() for task in kept.values()] == [False, True]

    on_loop(main())


@pytest.mark.parametrize("turns", [0, 1])
def test_a_body_that_cancels_itself_and_returns_is_cancelled_as_in_asyncio(on_loop, turns):
    async def main():
        async def body(name):
            for _ in range(turns):
                await asyncio.sleep(0)
            asyncio.current_task().cancel()

        theirs = asyncio.Task(body("x"))
        await asyncio.wait([theirs])
        assert theirs.cancelled()
        report = await run_of({"a": []}, body)
        assert report.record_of("a").status == "cancelled"

    on_loop(main())


def test_a_cancellation_taken_back_does_no_harm(on_loop):
    async def main():
        async def body(name):
            task = asyncio.current_task()
            task.cancel()
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                assert task.uncancel() == 0
            await asyncio.sleep(0)
            return name

        assert (await run_of(CHAIN, body)).successful_tasks == 3

    on_loop(main())


def test_a_cancelled_body_may_refuse(on_loop):
    async def main():
        async def body(name):
            asyncio.current_task().cancel()
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                return "refused"

        assert set((await run_of(CHAIN, body)).results.values()) == {"refused"}

    on_loop(main())


def test_nothing_done_to_one_bodys_task_shows_at_the_next(on_loop):
    """The same object would serve every one of these bodies if none of them touched it."""

    async def name_it():
        asyncio.current_task().set_name("changed")

    async def ask_its_name():
        asyncio.current_task().get_name()

    async def give_it_an_attribute():
        asyncio.current_task().note = "changed"

    async def add_a_callback():
        asyncio.current_task().add_done_callback(print_nothing)

    async def refer_to_it_weakly():
        references.append(weakref.ref(asyncio.current_task()))

    async def cancel_it():
        asyncio.current_task().cancel()

    async def keep_its_context():
        references.append(asyncio.current_task().get_context())

    async def raise_in_it():
        raise ValueError

    def print_nothing(task):
        pass

    references = []
    deeds = [name_it, ask_its_name, give_it_an_attribute, add_a_callback, refer_to_it_weakly, cancel_it,
             keep_its_context, raise_in_it]  # fmt: skip

    async def main():
        names = set()

        async def check():
            task = asyncio.current_task()
            assert not vars(task)
            assert task._callbacks is None
            assert weakref.getweakrefcount(task) == 0
            assert task.cancelling() == 0
            assert not task._must_cancel
            assert task.get_coro().cr_running
            assert not task.done()
            names.add(task.get_name())

        for deed in deeds:
            bodies = {"deed": deed}
            bodies |= dict.fromkeys(range(3), check)
            report = await run_of({name: [] for name in bodies}, bodies, failure_policy="continue")
            assert report.successful_tasks >= 3, (deed, report.error_summary)
        assert "changed" not in names
        assert len(names) == 3 * len(deeds)

    on_loop(main())


def test_the_done_callbacks_of_a_kept_task_are_called_once_with_it(on_loop):
    async def main():
        called = []

        async def body(name):
            asyncio.current_task().add_done_callback(lambda task: called.append((name, task.result())))
            if name == "b":
                await asyncio.sleep(0)
            return name.upper()

        await run_of(CHAIN, body)
        await asyncio.sleep(0)
        assert called == [("a", "A"), ("b", "B"), ("c", "C")]

    on_loop(main())


def test_a_body_that_awaits_its_own_task_gets_an_error_instead_of_waiting_for_ever(on_loop):
    async def main():
        async def body(name):
            if name == "b":
                await asyncio.sleep(0)
            await asyncio.current_task()

        report = await run_of(FAN, body, failure_policy="continue")
        assert report.failed_tasks == 3
        for record in report.task_statistics:
            assert isinstance(record.exception, RuntimeError)
            assert "await on itself" in str(record.exception)

    on_loop(main())


def test_one_body_may_await_the_task_of_another(on_loop):
    async def main():
        tasks = {}

        async def body(name):
            tasks[name] = asyncio.current_task()
            if name == "a":
                await asyncio.sleep(0)
                return "from a"
            await asyncio.sleep(0)
            return await tasks["a"]

        report = await run_of(FAN, body)
        assert set(report.results.values()) == {"from a"}

    on_loop(main())


def test_one_body_may_cancel_another_and_only_that_one_is(on_loop):
    async def main():
        tasks = {}

        async def body(name):
            tasks[name] = asyncio.current_task()
            await asyncio.sleep(0)
            if name == "c":
                tasks["a"].cancel()
                return name
            return await asyncio.get_running_loop().create_future() if name == "a" else name

        report = await run_of({**FAN, "after a": ["a"]}, body)
        assert [record.status for record in report.task_statistics] == [
            "cancelled", "completed", "completed", "skipped"
        ]  # fmt: skip
        assert report.execution_state == "cancelled"

    on_loop(main())


def test_a_suspended_body_shows_up_among_all_tasks_with_its_stack(on_loop):
    async def main():
        gate = asyncio.get_running_loop().create_future()

        async def body(name):
            await gate

        run = TaskGraph.from_predecessors(FAN).plan().start(body)
        await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        others = [task for task in others if task.get_coro().__name__ == "body"]
        assert len(others) == 3
        assert all(task._fut_waiter is gate for task in others)
        assert [frame.f_code.co_name for frame in others[0].get_stack()] == ["body"]
        assert "body" in repr(others[0])
        gate.set_result(None)
        await run

    on_loop(main())


def test_a_task_kept_beyond_the_run_keeps_neither_the_run_nor_the_other_results(on_loop):
    class Value:
        pass

    async def main():
        kept, values = [], []

        async def body(name):
            kept.append(asyncio.current_task())
            value = Value()
            values.append(weakref.ref(value))
            if name == "b":
                await asyncio.sleep(0)
            if name == "c":
                raise ValueError
            return value

        # In a task of its own: on 3.12 and 3.13 the frame of a failed body refers to those that it was called from.
        await asyncio.create_task(run_of(FAN, body, failure_policy="continue"))
        await asyncio.sleep(0)
        gc.collect()
        assert [value() is not None for value in values] == [True, True, True]  # a failed body's frame is kept
        del kept[:2]
        assert [value() is not None for value in values] == [False, False, True]

    on_loop(main())
