"""The one coroutine of the core that has to be Python's own: the dispatcher steps nothing else."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def awaited_result(awaitable: Awaitable[T]) -> T:
    """Await whatever a function returned that is no coroutine."""
    return await awaitable
