"""Context variables: a body sees those of the run's start, and what it changes is its own."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context

import pytest

from penstock import TaskGraph

variable: ContextVar[str] = ContextVar("variable", default="unset")
CHAIN = {"a": [], "b": ["a"], "c": ["b"], "d": ["c"]}


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_a_body_sees_the_values_of_the_run_and_leaks_none_of_its_own(on_loop, turns):
    async def main():
        async def body(name):
            seen = [variable.get()]
            variable.set(name)
            for _ in range(turns):
                await asyncio.sleep(0)
                seen.append(variable.get())
            return seen

        variable.set("run")
        report = await TaskGraph.from_predecessors(CHAIN).plan().run(body)
        assert dict(report.results) == {name: ["run"] + [name] * turns for name in CHAIN}
        assert variable.get() == "run"

    on_loop(main())


def test_a_plain_function_sees_and_leaks_just_as_little(on_loop):
    async def main():
        def body(name):
            before = variable.get()
            variable.set(name)
            return before

        variable.set("run")
        report = await TaskGraph.from_predecessors(CHAIN).plan().run(body)
        assert set(report.results.values()) == {"run"}
        assert variable.get() == "run"

    on_loop(main())


def test_the_values_are_those_of_the_start_not_of_a_later_turn(on_loop):
    async def main():
        async def body(name):
            await asyncio.sleep(0)
            return variable.get()

        variable.set("start")
        run = TaskGraph.from_predecessors(CHAIN).plan().start(body)
        variable.set("later")
        assert set((await run).results.values()) == {"start"}

    on_loop(main())


def test_tasks_made_ready_by_the_end_of_a_body_get_the_context_of_the_run(on_loop):
    """The loop calls a body's last step in that body's context; its successors start from there."""

    async def main():
        gate = asyncio.get_running_loop().create_future()

        async def body(name):
            before = variable.get()
            variable.set(f"set by {name}")
            if name == "a":
                await gate
            return before

        variable.set("run")
        run = TaskGraph.from_predecessors(CHAIN).plan().start(body, time_slice=1e-9)
        await asyncio.sleep(0)
        gate.set_result(None)
        assert set((await run).results.values()) == {"run"}

    on_loop(main())


def test_a_generator_and_an_awaitable_object_run_in_the_same_context_throughout(on_loop):
    class Awaitable:
        def __await__(self):
            variable.set("inner")
            yield from asyncio.sleep(0).__await__()
            return variable.get()

    async def main():
        variable.set("run")
        report = await TaskGraph.from_predecessors(CHAIN).plan().run(lambda name: Awaitable())
        assert set(report.results.values()) == {"inner"}
        assert variable.get() == "run"

    on_loop(main())


def test_tasks_and_callbacks_started_by_a_body_inherit_its_context(on_loop):
    async def main():
        seen = []

        async def child():
            seen.append(variable.get())

        async def body(name):
            variable.set(name)
            asyncio.get_running_loop().call_soon(lambda: seen.append(variable.get()))
            await asyncio.create_task(child())
            await asyncio.sleep(0)

        await TaskGraph.from_predecessors({"a": []}).plan().run(body)
        assert seen == ["a", "a"]

    on_loop(main())


def test_a_run_inside_a_body_starts_from_the_context_of_that_body(on_loop):
    async def main():
        plan = TaskGraph.from_predecessors(CHAIN).plan()

        async def inner(name):
            before = variable.get()
            variable.set("inner")
            await asyncio.sleep(0)
            return before

        async def outer(name):
            variable.set(name)
            report = await plan.run(inner)
            assert variable.get() == name
            return set(report.results.values())

        report = await plan.run(outer)
        assert dict(report.results) == {name: {name} for name in CHAIN}

    on_loop(main())


def test_a_body_may_enter_contexts_of_its_own(on_loop):
    async def main():
        async def body(name):
            other = copy_context()
            other.run(variable.set, "other")
            await asyncio.sleep(0)
            return other.run(variable.get), variable.get()

        variable.set("run")
        report = await TaskGraph.from_predecessors(CHAIN).plan().run(body)
        assert set(report.results.values()) == {("other", "run")}

    on_loop(main())


def test_done_callbacks_and_records_run_in_the_context_of_who_asked_for_them(on_loop):
    async def main():
        seen = []

        async def body(name):
            await asyncio.sleep(0)
            variable.set("body")

        variable.set("caller")
        run = TaskGraph.from_predecessors({"a": [], "b": ["a"]}).plan().start(body)
        run.add_done_callback(lambda run: seen.append(variable.get()))
        async for _ in run:
            seen.append(variable.get())
        await run
        run.add_done_callback(lambda run: seen.append(variable.get()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert seen == ["caller"] * 4

    on_loop(main())


def test_a_failing_body_leaves_the_context_it_was_called_in(on_loop):
    """Entering a context twice raises; a context left entered would show at the next body."""

    async def main():
        async def body(name):
            variable.set(name)
            raise ValueError(name)

        def plain(name):
            variable.set(name)
            raise ValueError(name)

        variable.set("run")
        for function in (body, plain):
            report = (
                await TaskGraph.from_predecessors({"a": [], "b": [], "c": []})
                .plan()
                .run(function, failure_policy="continue")
            )
            assert report.failed_tasks == 3
            assert variable.get() == "run"

    on_loop(main())
