"""A replay sleeps for each task's recorded runtime, scaled so that its critical path takes 3 seconds."""

from __future__ import annotations

import asyncio
import inspect
import math
from typing import Any

import pytest

from penstock.formats.wfformat import read_wfformat
from penstock.formats.wfreplay import default_time_scale, replay_functions

Document = dict[str, Any]


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds asked for, in place of sleeping."""
    seconds: list[float] = []

    async def sleep(delay: float) -> None:
        seconds.append(delay)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return seconds


def finish(coroutine: Any) -> None:
    """Run a coroutine that must not suspend."""
    with pytest.raises(StopIteration):
        coroutine.send(None)


def test_tasks_sleep_for_their_runtimes_times_the_scale(split_document: Document, slept: list[float]) -> None:
    functions = replay_functions(read_wfformat(split_document), 0.5)
    assert list(functions) == ["make", "left", "right", "join"]
    for function in functions.values():
        assert inspect.iscoroutinefunction(function)
        finish(function())
    assert slept == [0.5, 1.0, 2.0, 0.25]


def test_scale_zero_returns_at_once_without_sleeping(split_document: Document, slept: list[float]) -> None:
    for function in replay_functions(read_wfformat(split_document), 0).values():
        finish(function())
    assert slept == []


def test_tasks_without_runtime_take_no_time(split_document: Document, slept: list[float]) -> None:
    del split_document["workflow"]["execution"]["tasks"][2]
    functions = replay_functions(read_wfformat(split_document), 1.0)
    finish(functions["right"]())
    assert slept == []


def test_default_scale_makes_the_critical_path_three_seconds(split_document: Document) -> None:
    instance = read_wfformat(split_document)
    assert default_time_scale(instance) == pytest.approx(3.0 / (1.0 + 4.0 + 0.5))
    assert default_time_scale(instance, plan=instance.graph().plan()) == default_time_scale(instance)


def test_default_scale_is_what_a_replay_uses(split_document: Document, slept: list[float]) -> None:
    functions = replay_functions(read_wfformat(split_document))
    for task in ("make", "right", "join"):
        finish(functions[task]())
    assert sum(slept) == pytest.approx(3.0)


def test_default_scale_counts_tasks_without_runtime_as_nothing(split_document: Document) -> None:
    del split_document["workflow"]["execution"]["tasks"][2]
    assert default_time_scale(read_wfformat(split_document)) == pytest.approx(3.0 / (1.0 + 2.0 + 0.5))


def test_default_scale_is_zero_where_nothing_was_measured(split_document: Document) -> None:
    del split_document["workflow"]["execution"]
    assert default_time_scale(read_wfformat(split_document)) == 0.0
    assert default_time_scale(read_wfformat({"workflow": {"tasks": []}})) == 0.0


@pytest.mark.parametrize("scale", [-1, math.nan, math.inf, -math.inf])
def test_a_scale_that_is_no_finite_positive_number_is_refused(split_document: Document, scale: float) -> None:
    with pytest.raises(ValueError, match="must be a finite number of at least 0"):
        replay_functions(read_wfformat(split_document), scale)


def test_a_replay_runs_on_a_real_loop(split_document: Document) -> None:
    functions = replay_functions(read_wfformat(split_document), 1e-6)

    async def all_of_them() -> int:
        for function in functions.values():
            await function()
        return len(functions)

    assert asyncio.run(all_of_them()) == 4
