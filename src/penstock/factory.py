"""task_factory: have an event loop make all its tasks as `penstock.Task`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar, cast

from penstock._core import Task

__all__ = ["task_factory"]

T = TypeVar("T")


def task_factory(
    loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, T] | Generator[Any, None, T], /, **options: Any
) -> asyncio.Task[T]:
    """Make a `Task` for an event loop: ``loop.set_task_factory(penstock.task_factory)``.

    Parameters
    ----------
    loop
        The event loop.
    coro
        The coroutine.
    **options
        What this version of Python passes on from ``create_task``: the context, the name.

    Returns
    -------
    Task
        Typed as what it stands in for.
    """
    return cast("asyncio.Task[T]", Task(cast("Coroutine[Any, Any, T]", coro), loop=loop, **options))
