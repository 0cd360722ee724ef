"""Graphs as the users of `DynamicScheduler` have them: pairs of names and functions, and task orders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import bodies
from penstock import DynamicScheduler, TaskOrder
from penstock.testing import shapes

Pairs = list[tuple[str, Callable[[], Any]]]


def _edges(shape: str, n: int) -> Iterator[tuple[str, list[str]]]:
    names = [f"task_{number}" for number in range(n)]
    if shape == "layered":
        yield from shapes.layered(n).items()
    elif shape == "chain":
        yield from shapes.chain(n).items()
    elif shape == "fan-out":
        yield names[0], []
        yield from ((name, names[:1]) for name in names[1:])
    else:
        yield from ((name, []) for name in names[1:])
        yield names[0], names[1:]


@lru_cache(maxsize=1)
def ordered(shape: str, n: int) -> tuple[Pairs, list[TaskOrder]]:
    """Return what the scheduler is made of; the collector has been through it before the first turn."""
    orders: dict[str, TaskOrder] = {}
    for name, dependencies in _edges(shape, n):
        orders[name] = TaskOrder(name, [orders[other] for other in dependencies])
    return [(name, bodies.coroutine) for name in orders], list(orders.values())


async def run(made: tuple[Pairs, list[TaskOrder]]) -> Any:
    """Do everything from the constructor to the report."""
    return (await DynamicScheduler(*made).execute()).results
