"""penstock.Task by itself, on every kind of event loop; what CPython's own tests do not ask."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import sys
import weakref

import pytest

import penstock
from penstock._core import Dispatch


async def value_after_a_turn(value):
    await asyncio.sleep(0)
    return value


def test_everything_in_asyncio_that_takes_a_future_takes_our_task(on_loop):
    async def main():
        tasks = [penstock.Task(value_after_a_turn(number)) for number in range(4)]
        assert all(map(asyncio.isfuture, tasks))
        assert asyncio.ensure_future(tasks[0]) is tasks[0]
        assert await asyncio.gather(*tasks[:2]) == [0, 1]
        assert await asyncio.shield(tasks[2]) == 2
        assert await asyncio.wait_for(tasks[3], 60) == 3
        done, pending = await asyncio.wait(tasks)
        assert done == set(tasks)
        assert not pending
        assert [await next_done for next_done in asyncio.as_completed([penstock.Task(value_after_a_turn(9))])] == [9]

    on_loop(main())


def test_our_task_is_current_while_its_coroutine_runs_and_in_all_tasks_until_its_end(on_loop):
    async def main():
        seen = []

        async def body():
            seen.append((asyncio.current_task(), asyncio.current_task() in asyncio.all_tasks()))
            await asyncio.sleep(0)
            seen.append((asyncio.current_task(), asyncio.current_task() in asyncio.all_tasks()))

        me = asyncio.current_task()
        task = penstock.Task(body())
        assert task in asyncio.all_tasks()
        await task
        assert seen == [(task, True), (task, True)]
        assert asyncio.current_task() is me
        assert task not in asyncio.all_tasks()

    on_loop(main())


def test_an_eager_task_that_does_not_suspend_is_over_at_once(on_loop):
    async def main():
        async def body():
            return asyncio.current_task()

        me = asyncio.current_task()
        task = penstock.Task(body(), eager_start=True)
        assert task.done()
        assert task.result() is task
        assert asyncio.current_task() is me

    on_loop(main())


def test_an_eager_task_runs_in_its_own_context_before_and_after_it_suspends(on_loop):
    variable = contextvars.ContextVar("variable", default="unset")

    async def main():
        seen = []

        async def body():
            seen.append(variable.get())
            variable.set("body")
            await asyncio.sleep(0)
            seen.append(variable.get())

        variable.set("main")
        task = penstock.Task(body(), eager_start=True)
        variable.set("later")
        await task
        assert seen == ["main", "body"]
        assert variable.get() == "later"
        assert task.get_context()[variable] == "body"

    on_loop(main())


def test_a_dropped_task_with_an_exception_says_so(on_loop, asyncio_errors):
    async def main():
        async def body():
            raise ValueError("lost")

        penstock.Task(body())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gc.collect()

    on_loop(main())
    assert ["Task exception was never retrieved" in message for message in asyncio_errors] == [True]
    asyncio_errors.clear()


def test_a_task_dropped_while_it_waits_says_so(on_asyncio, asyncio_errors):
    async def main():
        async def body():
            await asyncio.get_running_loop().create_future()

        task = penstock.Task(body())
        await asyncio.sleep(0)
        gone = weakref.ref(task)
        # Only the future that it waits for holds it, and nothing holds that one.
        del task
        gc.collect()
        assert gone() is None

    on_asyncio(main())
    assert ["Task was destroyed but it is pending" in message for message in asyncio_errors] == [True]
    asyncio_errors.clear()


def test_what_a_task_waits_for_may_be_anything_that_speaks_the_future_protocol(on_loop):
    """Hostile ones raise where they are awaited, as any failing `await` does."""

    class Hostile:
        _asyncio_future_blocking = False

        def __init__(self, where):
            self.where = where

        def get_loop(self):
            if self.where == "get_loop":
                raise ValueError(self.where)
            return asyncio.get_running_loop()

        def add_done_callback(self, fn, *, context):
            raise ValueError(self.where)

        def __await__(self):
            self._asyncio_future_blocking = True
            yield self

    class HostileProperty(Hostile):
        @property
        def _asyncio_future_blocking(self):
            raise ValueError(self.where)

        @_asyncio_future_blocking.setter
        def _asyncio_future_blocking(self, value):
            pass

    async def main():
        async def body(awaitable):
            try:
                await awaitable
            except ValueError as error:
                return str(error)

        for awaitable in (Hostile("get_loop"), Hostile("add_done_callback"), HostileProperty("property")):
            assert await penstock.Task(body(awaitable)) == awaitable.where

    on_loop(main())


def test_the_exception_that_woke_a_task_is_not_the_context_of_what_its_callbacks_raise(on_asyncio):
    async def main():
        future = asyncio.get_running_loop().create_future()

        async def body():
            with contextlib.suppress(ValueError):
                await future
            raise KeyError("mine")

        task = penstock.Task(body())
        await asyncio.sleep(0)
        future.set_exception(ValueError("theirs"))
        with pytest.raises(KeyError) as caught:
            await task
        assert caught.value.__context__ is None

    on_asyncio(main())


def test_a_traceback_shows_the_coroutine_and_nothing_of_ours(on_asyncio):
    def files(error):
        traceback, found = error.__traceback__, []
        while traceback is not None:
            found.append(traceback.tb_frame.f_code.co_filename)
            traceback = traceback.tb_next
        return found

    async def main():
        future = asyncio.get_running_loop().create_future()

        async def at_once():
            raise ValueError

        async def from_a_future():
            await future

        first, second = penstock.Task(at_once()), penstock.Task(from_a_future())
        await asyncio.sleep(0)
        future.set_exception(ValueError())
        await asyncio.wait([first, second])
        for task in (first, second):
            assert not [name for name in files(task.exception()) if name.endswith(".pyx")]

    on_asyncio(main())


def test_a_failed_task_leaves_no_cycle(on_asyncio):
    async def main():
        async def body():
            await asyncio.sleep(0)
            raise ValueError

        task = penstock.Task(body())
        await asyncio.wait([task])
        error = task.exception()
        gone = weakref.ref(task)
        # The task and its own frames know the exception; nothing that the exception knows leads back to it.
        assert gc.get_referrers(error) == [task]
        del task
        assert gone() is None

    gc.disable()
    try:
        on_asyncio(main())
    finally:
        gc.enable()


@pytest.mark.parametrize("attribute", ["_must_cancel", "_fut_waiter", "_coro", "_callbacks", "_source_traceback",
                                       "_log_destroy_pending", "_log_traceback", "_cancel_message", "_loop", "_state",
                                       "_result", "_exception", "_num_cancels_requested"])  # fmt: skip
def test_the_attributes_that_libraries_read_are_there(on_asyncio, attribute):
    async def main():
        task = penstock.Task(value_after_a_turn(1))
        theirs = asyncio.Task(value_after_a_turn(1))
        for _ in range(2):
            ours_now = getattr(task, attribute)
            if attribute in ("_must_cancel", "_log_destroy_pending", "_log_traceback"):
                assert ours_now is getattr(theirs, attribute)
            elif attribute in ("_callbacks", "_source_traceback", "_cancel_message", "_state", "_result", "_exception"):
                assert ours_now == getattr(theirs, attribute)
            await asyncio.wait([task, theirs])

    on_asyncio(main())


def test_an_instance_that_was_never_initialised_raises_instead_of_crashing():
    task = penstock.Task.__new__(penstock.Task)
    task._log_destroy_pending = False
    for call in (task.cancel, task.get_name, task.get_coro, task.get_context, task.cancelling, task.uncancel, task.done,
                 task.get_loop, task.result, task.exception, task._step, task._begin, lambda: task._wakeup(task),
                 lambda: list(task), lambda: repr(task), lambda: task.add_done_callback(print)):  # fmt: skip
        try:
            call()
        except Exception:
            continue
    with pytest.raises(TypeError, match="a coroutine was expected"):
        penstock.Task(1, loop=object())
    with pytest.raises(TypeError):
        Dispatch.__new__(Dispatch)


def test_a_task_may_be_subclassed_and_have_attributes(on_loop):
    class Counting(penstock.Task):
        steps = 0

        def cancel(self, msg=None):
            self.cancels = getattr(self, "cancels", 0) + 1
            return super().cancel(msg)

    async def main():
        task = Counting(value_after_a_turn(1), name="counted")
        assert (task.get_name(), task.steps) == ("counted", 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancels == 1

    on_loop(main())


def test_a_cancelled_task_remembers_the_message_and_the_place(on_loop):
    async def main():
        async def body():
            await asyncio.get_running_loop().create_future()

        task = penstock.Task(body())
        await asyncio.sleep(0)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert task.cancelled()
        chain = []
        error = caught.value
        while error is not None:
            chain.append(error.args)
            error = error.__context__
        assert ("enough",) in chain

    on_loop(main())


@pytest.mark.skipif(sys.version_info < (3, 13), reason="the behaviour is new in Python 3.13")
def test_taking_back_the_last_cancellation_takes_back_its_delivery(on_loop):
    async def main():
        async def body():
            task = asyncio.current_task()
            task.cancel()
            task.uncancel()
            await asyncio.sleep(0)
            return "went on"

        assert await penstock.Task(body()) == "went on"

    on_loop(main())
