"""A body that keeps the event loop is warned of: once per function, for a first step, a later one and a function."""

import asyncio
import functools

import pytest

from penstock import TaskGraph
from penstock.testing import clock

#: Everything takes longer than this.
NO_TIME = 1e-9


def plan_of(mapping):
    return TaskGraph.from_predecessors(mapping).plan()


def warnings_of(caplog):
    return [
        record.getMessage() for record in caplog.records if record.name == "penstock" and record.levelname == "WARNING"
    ]


def own(body, *names):
    """Return a plan whose tasks all have this very function."""
    graph = TaskGraph()
    for name in names or "a":
        graph.add_task(name, body)
    return graph.plan()


def first_step():
    async def body():
        keep_the_loop(5.0)

    return body


def suspended_at_first():
    async def body():
        keep_the_loop(5.0)
        await asyncio.sleep(1.0)

    return body


def plain():
    def body():
        keep_the_loop(5.0)

    return body


def keep_the_loop(seconds):
    asyncio.get_running_loop().advance(seconds)


@pytest.mark.parametrize("make", [first_step, suspended_at_first, plain])
@pytest.mark.parametrize(
    ("options", "warned"), [({}, 1), ({"slow_body": 4.9}, 1), ({"slow_body": 5.1}, 0), ({"slow_body": None}, 0)]
)
def test_a_body_that_takes_longer_than_the_threshold_is_warned_of(make, options, warned, caplog):
    clock.run(own(make()).run(**options))
    found = warnings_of(caplog)
    assert len(found) == warned
    if warned:
        assert found[0].startswith("task a kept the event loop for 5 s in one step")
        assert 'sync_in="thread"' in found[0]


@pytest.mark.parametrize("make", [first_step, suspended_at_first, plain])
def test_a_function_is_warned_of_once_however_many_tasks_call_it(make, caplog):
    body = make()
    clock.run(own(body, *range(10)).run())
    clock.run(own(body, "again").run())
    assert len(warnings_of(caplog)) == 1
    clock.run(own(make(), "another").run())
    assert len(warnings_of(caplog)) == 2


def test_one_function_of_all_names_is_warned_of_once(caplog):
    clock.run(plan_of({name: [] for name in range(5)}).run(lambda name: keep_the_loop(5.0)))
    assert len(warnings_of(caplog)) == 1


def test_a_later_step_is_warned_of(caplog):
    """Those are measured on the real clock, so the threshold is what makes them slow."""

    async def body():
        await asyncio.sleep(1.0)

    clock.run(own(body).run(slow_body=NO_TIME))
    assert len(warnings_of(caplog)) == 1


def test_waiting_is_not_keeping_the_loop(caplog):
    async def body():
        await asyncio.sleep(3600.0)

    clock.run(own(body).run())
    assert warnings_of(caplog) == []


def test_bound_methods_count_as_their_function(caplog):
    class Body:
        def call(self):
            keep_the_loop(5.0)

    clock.run(own(Body().call).run())
    clock.run(own(Body().call).run())
    assert len(warnings_of(caplog)) == 1


def test_what_cannot_be_remembered_is_warned_of_each_time(caplog):
    class Unhashable:
        __hash__ = None

        def __call__(self):
            keep_the_loop(5.0)

    clock.run(own(Unhashable()).run())
    clock.run(own(functools.partial(keep_the_loop, 5.0)).run())
    assert len(warnings_of(caplog)) == 2


def test_a_function_in_a_thread_keeps_nobody(caplog):
    clock.run(own(lambda: None).run(sync_in="thread"))
    assert warnings_of(caplog) == []


@pytest.mark.parametrize(
    ("value", "error"), [(0.0, ValueError), (-1.0, ValueError), ("1", TypeError), (True, TypeError)]
)
def test_a_threshold_that_makes_no_sense_is_refused(value, error):
    with pytest.raises(error, match="slow_body"):
        own(lambda: None).run_sync(slow_body=value)
