"""What may be called as a body, what may be awaited from it, and every way in which it may fail."""

from __future__ import annotations

import asyncio
import collections.abc
import concurrent.futures
import functools
import gc
import math
import operator
import types
import weakref

import pytest

import penstock
from penstock import TaskGraph


def run_one(function, **options):
    """Run a graph of one task named 3 and one, named 4, that depends on it."""
    return TaskGraph.from_predecessors({3: [], 4: [3]}).plan().run(function, **options)


async def outcome(function):
    report = await run_one(function)
    record = report.record_of(3)
    return report.results[3] if record.status == "completed" else record.exception


# -- what is called --------------------------------------------------------------------------------------


class Callable:
    def __init__(self, extra=0):
        self.extra = extra

    def __call__(self, name):
        return name * 10 + self.extra

    def method(self, name):
        return name * 10 + 1

    async def coroutine_method(self, name):
        await asyncio.sleep(0)
        return name * 10 + 2

    @classmethod
    async def class_method(cls, name):
        return name * 10 + 3

    @staticmethod
    def static_method(name):
        return name * 10 + 4


class AsyncCallable:
    async def __call__(self, name):
        await asyncio.sleep(0)
        return name * 10 + 5


async def with_more(first, name, *, keyword):
    await asyncio.sleep(0)
    return first, name, keyword


@functools.wraps(with_more)
def decorated(name):
    return with_more("decorated", name, keyword=None)


@functools.lru_cache
def cached(name):
    return name * 10 + 6


CALLABLES = {
    "lambda": (lambda name: name + 1, 4),
    "builtin": (math.factorial, 6),
    "builtin of a type": (str, "3"),
    "method of a builtin": ([10, 20, 30, 40, 50].__getitem__, 40),
    "operator": (operator.neg, -3),
    "methodcaller": (operator.methodcaller("bit_length"), 2),
    "partial of a function": (functools.partial(divmod, 10), (3, 1)),
    "partial of a coroutine function": (functools.partial(with_more, 1, keyword=2), (1, 3, 2)),
    "partial of a partial": (functools.partial(functools.partial(with_more, 1), keyword=2), (1, 3, 2)),
    "lambda that makes a coroutine": (lambda name: with_more(1, name, keyword=2), (1, 3, 2)),
    "wrapper": (decorated, ("decorated", 3, None)),
    "cache": (cached, 36),
    "object": (Callable(7), 37),
    "asynchronous object": (AsyncCallable(), 35),
    "bound method": (Callable().method, 31),
    "bound coroutine method": (Callable().coroutine_method, 32),
    "class method": (Callable.class_method, 33),
    "static method": (Callable.static_method, 34),
}


@pytest.mark.parametrize(("function", "expected"), CALLABLES.values(), ids=CALLABLES.keys())
def test_whatever_can_be_called_is_a_body(on_loop, function, expected):
    assert on_loop(outcome(function)) == expected


def test_a_class_is_a_body_and_its_instance_the_value(on_loop):
    value = on_loop(outcome(Callable))
    assert isinstance(value, Callable)
    assert value.extra == 3


# -- what is returned ------------------------------------------------------------------------------------


class WithAwait:
    def __init__(self, value):
        self.value = value

    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        return self.value


class AtOnce:
    def __await__(self):
        return iter(())


class AbstractCoroutine(collections.abc.Coroutine):
    """A coroutine written as a class."""

    def __init__(self, value):
        self.inner = WithAwait(value).__await__()

    def send(self, value):
        return self.inner.send(value)

    def throw(self, *error):
        return self.inner.throw(*error)

    def close(self):
        self.inner.close()

    def __await__(self):
        return self.inner


@types.coroutine
def generator_coroutine(value):
    yield from asyncio.sleep(0).__await__()
    return value


def future_of(value, turns):
    future = asyncio.get_running_loop().create_future()
    if turns:
        asyncio.get_running_loop().call_soon(future.set_result, value)
    else:
        future.set_result(value)
    return future


AWAITABLES = {
    "done future": lambda name: future_of(name, 0),
    "future": lambda name: future_of(name, 1),
    "asyncio's task": lambda name: asyncio.get_running_loop().create_task(asyncio.sleep(0, name)),
    "our task": lambda name: penstock.Task(asyncio.sleep(0, name)),
    "gather": lambda name: _first(asyncio.gather(asyncio.sleep(0, name), asyncio.sleep(0))),
    "shield": lambda name: asyncio.shield(future_of(name, 1)),
    "object with __await__": WithAwait,
    "abstract coroutine": AbstractCoroutine,
    "generator made a coroutine": generator_coroutine,
    "another run": lambda name: _result(TaskGraph.from_predecessors({"a": []}).plan().run(lambda _: name)),
    "thread": lambda name: asyncio.get_running_loop().run_in_executor(None, int, name),
}


async def _first(future):
    return (await future)[0]


async def _result(run):
    return (await run).results["a"]


@pytest.mark.parametrize("function", AWAITABLES.values(), ids=AWAITABLES.keys())
def test_whatever_can_be_awaited_is_awaited(on_loop, function):
    async def main():
        report = await run_one(function)
        assert dict(report.results) == {3: 3, 4: 4}, report.error_summary
        return report

    on_loop(main())


def test_an_awaitable_that_never_yields_gives_none(on_loop):
    assert on_loop(outcome(lambda name: AtOnce())) is None


async def _asynchronous_generator():
    yield 1


def _generator():
    yield 1


NOT_AWAITED = {
    "generator": _generator,
    "asynchronous generator": _asynchronous_generator,
    "coroutine function": lambda: asyncio.sleep,
    "concurrent future": concurrent.futures.Future,
    "class with __await__": lambda: WithAwait,
    "iterator": lambda: iter([1]),
}


@pytest.mark.parametrize("make", NOT_AWAITED.values(), ids=NOT_AWAITED.keys())
def test_what_cannot_be_awaited_is_the_value_itself(on_loop, make):
    thing = make()
    assert on_loop(outcome(lambda name: thing)) is thing


def test_an_awaitable_value_of_a_coroutine_is_not_awaited_again(on_loop):
    async def main():
        future = future_of(1, 0)

        async def body(name):
            return future

        return await outcome(body) is future

    assert on_loop(main())


def test_a_coroutine_that_was_awaited_before_fails_its_task(on_loop):
    async def main():
        coroutine = asyncio.sleep(0)
        await coroutine
        return await outcome(lambda name: coroutine)

    error = on_loop(main())
    assert isinstance(error, RuntimeError)
    assert "already awaited" in str(error)


def test_awaiting_nonsense_fails_the_task_with_a_message(on_loop):
    @types.coroutine
    def yields(value):
        yield value

    async def main():
        async def bad(name):
            await yields(name)

        async def bad_later(name):
            await asyncio.sleep(0)
            await yields(_generator())

        return await outcome(bad), await outcome(bad_later)

    first, second = on_loop(main())
    assert "bad yield: 3" in str(first)
    assert "yield from" in str(second)


def test_a_future_of_another_loop_fails_the_task_with_a_message(on_loop):
    other = asyncio.new_event_loop()

    async def main():
        async def body(name):
            await other.create_future()

        return await outcome(body)

    try:
        assert "attached to a different loop" in str(on_loop(main()))
    finally:
        other.close()


# -- how it fails ----------------------------------------------------------------------------------------


class HostileClass(Exception):
    @property
    def __class__(self):
        raise RuntimeError("no class")


class HostileText(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class HostileEquality(Exception):
    def __eq__(self, other):
        raise RuntimeError("not comparable")

    __hash__ = None

    def __bool__(self):
        raise RuntimeError("no truth")


class HostileCreation(Exception):
    def __init__(self, *required):
        raise ZeroDivisionError("cannot be created")


class NotAnException(BaseException):
    pass


ERRORS = {
    "Exception": Exception,
    "BaseException": NotAnException,
    "GeneratorExit": GeneratorExit,
    "StopAsyncIteration": StopAsyncIteration,
    "MemoryError": MemoryError,
    "RecursionError": RecursionError,
    "group": lambda: BaseExceptionGroup("group", [ValueError(), SystemExit()]),
    "class that raises": HostileClass,
    "text that raises": HostileText,
    "equality that raises": HostileEquality,
    "TimeoutError": TimeoutError,
}

MOMENTS = ["in the call", "before the first suspension", "after a suspension", "from a future", "in an awaitable",
           "in a cleanup"]  # fmt: skip


def failing_body(moment, error):
    def in_the_call(name):
        raise error

    async def before_suspending(name):
        raise error

    async def after_suspending(name):
        await asyncio.sleep(0)
        raise error

    async def from_a_future(name):
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, error)
        await future

    class Awaitable:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            raise error

    def in_an_awaitable(name):
        return Awaitable()

    async def in_a_cleanup(name):
        try:
            await asyncio.sleep(0)
            raise KeyError(name)
        except KeyError:
            raise error from None

    bodies = (in_the_call, before_suspending, after_suspending, from_a_future, in_an_awaitable, in_a_cleanup)
    return dict(zip(MOMENTS, bodies, strict=True))[moment]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("make", ERRORS.values(), ids=ERRORS.keys())
def test_the_very_exception_is_recorded_whenever_it_comes(on_loop, moment, make):
    async def main():
        error = make()
        report = await run_one(failing_body(moment, error))
        record = report.record_of(3)
        assert record.status == "failed"
        assert record.exception is error
        assert report.record_of(4).status == "skipped"
        assert report.execution_state == "failed"
        assert report.to_json()
        assert report.summary()

    on_loop(main())


def test_an_exception_class_that_cannot_be_created_fails_with_what_it_raises(on_loop):
    def body(name):
        raise HostileCreation

    async def coroutine(name):
        await asyncio.sleep(0)
        raise HostileCreation

    assert isinstance(on_loop(outcome(body)), ZeroDivisionError)
    assert isinstance(on_loop(outcome(coroutine)), ZeroDivisionError)


def test_stop_iteration_is_itself_from_a_function_and_a_runtime_error_from_a_coroutine(on_loop):
    def body(name):
        raise StopIteration(name)

    async def coroutine(name):
        raise StopIteration(name)

    async def later(name):
        await asyncio.sleep(0)
        raise StopIteration(name)

    assert isinstance(on_loop(outcome(body)), StopIteration)
    for function in (coroutine, later):
        error = on_loop(outcome(function))
        assert isinstance(error, RuntimeError)
        assert isinstance(error.__cause__, StopIteration)


@pytest.mark.parametrize("moment", MOMENTS[:3])
def test_a_cancelled_error_of_its_own_is_a_cancelled_task_and_no_failure(on_loop, moment):
    class OwnCancelled(asyncio.CancelledError):
        pass

    async def main():
        error = OwnCancelled("mine")
        report = await run_one(failing_body(moment, error))
        assert [record.status for record in report.task_statistics] == ["cancelled", "skipped"]
        assert report.record_of(3).exception is error
        assert report.execution_state == "cancelled"
        assert asyncio.current_task().cancelling() == 0

    on_loop(main())


def test_a_traceback_leads_to_the_body_and_shows_nothing_of_the_core(on_loop):
    async def main():
        for moment in MOMENTS[:3]:
            report = await run_one(failing_body(moment, ValueError()))
            traceback = report.record_of(3).exception.__traceback__
            assert traceback.tb_frame.f_code.co_filename == __file__
            assert traceback.tb_next is None

    on_loop(main())


def test_exceptions_of_different_bodies_are_not_each_others_context(on_loop):
    """Bodies are started while another one's exception is being dealt with; that must not show."""

    async def main():
        gate = asyncio.get_running_loop().create_future()

        async def body(name):
            if name == "waits":
                try:
                    await gate
                except ValueError:
                    return
            raise KeyError(name)

        graph = {"waits": [], "x": ["waits"], "y": ["waits"]}
        run = TaskGraph.from_predecessors(graph).plan().start(body, failure_policy="continue")
        await asyncio.sleep(0)
        gate.set_exception(ValueError())
        report = await run
        assert report.failed_tasks == 2
        for name in ("x", "y"):
            assert report.record_of(name).exception.__context__ is None

    on_loop(main())


def test_a_run_inside_an_except_block_shows_that_block_as_context_as_any_call_does(on_asyncio):
    async def main():
        def body(name):
            raise KeyError(name)

        outer = ValueError("outer")
        try:
            raise outer
        except ValueError:
            error = await outcome(body)
        assert error.__context__ is outer

    on_asyncio(main())


def test_the_exception_of_a_failed_body_is_held_by_its_run_alone(on_asyncio):
    async def main():
        for moment in MOMENTS[:3]:
            gone = []

            class Marked(ValueError):
                pass

            async def attempt(moment=moment, marked=Marked, gone=gone):
                error = marked()
                gone.append(weakref.ref(error))
                run = TaskGraph.from_predecessors({3: [], 4: [3]}).plan().start(failing_body(moment, error))
                del error
                report = await run
                held = [type(thing).__name__ for thing in gc.get_referrers(gone[0]())]
                # The column of exceptions, and the closure of the body above.
                assert sorted(held) == ["cell", "dict"], held
                assert report.failed_tasks == 1

            await asyncio.create_task(attempt())
            await asyncio.sleep(0)
            gc.collect()
            assert gone[0]() is None

    on_asyncio(main())


def test_failures_at_every_moment_together_are_all_told(on_loop):
    async def main():
        errors = {moment: ValueError(moment) for moment in MOMENTS}
        bodies = {moment: functools.partial(failing_body(moment, error), 0) for moment, error in errors.items()}
        plan = TaskGraph.from_predecessors({moment: [] for moment in MOMENTS}).plan()
        report = await plan.run(bodies, failure_policy="continue")
        assert {record.task_name: record.exception for record in report.task_statistics} == errors
        assert len(report.error_summary) == len(MOMENTS)

    on_loop(main())
