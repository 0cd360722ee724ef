"""Replaying a recorded workflow: every task sleeps for its recorded runtime, scaled."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from penstock.formats.wfinstance import WfInstance

if TYPE_CHECKING:
    from penstock.plan import ExecutionPlan

__all__ = ["DEFAULT_REPLAY_SECONDS", "default_time_scale", "replay_functions"]

#: How long the critical path of a replay takes where no scale is given.
DEFAULT_REPLAY_SECONDS = 3.0


def default_time_scale(instance: WfInstance, *, plan: ExecutionPlan | None = None) -> float:
    """Return the scale at which the critical path by recorded runtimes takes `DEFAULT_REPLAY_SECONDS`.

    Tasks without a recorded runtime take no time; where no task has one, the scale is 0.

    Parameters
    ----------
    instance
        The workflow.
    plan
        Its plan, where there is one already.

    Raises
    ------
    GraphError
        The workflow cannot be planned.
    """
    if plan is None:
        plan = instance.graph().plan()
    _, seconds = plan.critical_path([instance.runtimes.get(task, 0.0) for task in instance.task_ids])
    return DEFAULT_REPLAY_SECONDS / seconds if seconds > 0 else 0.0


def replay_functions(
    instance: WfInstance, time_scale: float | None = None, *, plan: ExecutionPlan | None = None
) -> dict[str, Callable[[], Awaitable[None]]]:
    """Return a coroutine function for every task, which sleeps for its recorded runtime times the scale.

    Parameters
    ----------
    instance
        The workflow.
    time_scale
        Seconds of the replay per recorded second; 0 returns at once without sleeping.  The default is
        `default_time_scale`.
    plan
        The workflow's plan, where there is one already; only the default scale needs it.

    Raises
    ------
    GraphError
        The scale is left to default and the workflow cannot be planned.
    ValueError
        The scale is negative or not finite.
    """
    if time_scale is None:
        time_scale = default_time_scale(instance, plan=plan)
    if not 0 <= time_scale < math.inf:
        raise ValueError(f"time scale is {time_scale}; it must be a finite number of at least 0")
    return {task: _replay(instance.runtimes.get(task, 0.0) * time_scale) for task in instance.task_ids}


def _replay(seconds: float) -> Callable[[], Awaitable[None]]:
    if seconds <= 0:
        return _return_at_once

    async def replay() -> None:
        await asyncio.sleep(seconds)

    return replay


async def _return_at_once() -> None:
    """Stand for every task that takes no time: even a sleep of 0 would cost a turn of the loop."""
