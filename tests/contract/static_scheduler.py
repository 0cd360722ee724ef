"""What the contract tests of the static scheduler share: schedulers and graphs in few words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from penstock import DynamicScheduler, ExecutionReport, TaskOrder

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


def orders(graph: Mapping[str, Iterable[str]], order: Callable[..., Any] = TaskOrder) -> list[Any]:
    """Return one `TaskOrder` per task, from the names of the dependencies by name."""
    return [order(name, [order(other) for other in listed]) for name, listed in graph.items()]


def scheduler(graph: Mapping[str, Iterable[str]], bodies: Mapping[str, Callable[[], Any]], **options: Any) -> Any:
    """Return a scheduler of that graph."""
    return DynamicScheduler(list(bodies.items()), orders(graph), **options)


def sleeper(seconds: float, value: Any = None) -> Callable[[], Awaitable[Any]]:
    """Return a body that takes so long on the loop's clock."""

    async def body() -> Any:
        await asyncio.sleep(seconds)
        return value

    return body


def failing(seconds: float = 0.0, error: type[BaseException] | BaseException | None = None) -> Callable[[], Any]:
    """Return a body that raises after so long; a class, or the default, is raised anew at each call."""

    async def body() -> None:
        await asyncio.sleep(seconds)
        if error is None:
            raise ValueError("no")
        raise error

    return body


def stubborn(seconds: float, value: Any = None) -> Callable[[], Awaitable[Any]]:
    """Return a body that swallows its cancellation and takes so long to end from then on."""

    async def body() -> Any:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            await asyncio.sleep(seconds)
        return value

    return body


def statuses(report: ExecutionReport) -> dict[Any, str]:
    """Return what became of each task."""
    return {record.task_name: record.status for record in report.task_statistics}


async def turns(count: int = 5) -> None:
    """Give the loop some turns."""
    for _ in range(count):
        await asyncio.sleep(0)
