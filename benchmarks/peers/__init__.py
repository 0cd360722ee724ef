"""Whoever plans or runs a graph, behind one face, so that a benchmark can line them up.

Each module has

label       how it is called in tables and test ids
missing     why it cannot be measured here, or None
build       from the input to a plan, everything in one timed call; what it returns is kept alive until the
            clock has stopped, and so is never freed at someone's expense

who plans has

facts       tasks, edges and stages as the result has them, None for what the contender does not know

and who runs has

run         ``run(built, function)``: call ``function(name)`` for every task, each after its dependencies, and
            return the results by name; building is not timed here.  A coroutine function runs on an event loop
takes       "coroutines" or "functions": what kind of function
run_bare    some have it too: ``run_bare(build_bare(mapping, function))`` with a function without arguments
used_up     True if what was built serves one run only
most        the most tasks that are worth waiting for; left out if any number is
close       ends what building has started; left out if that is nothing

Packages are imported by what they are measured in, so that looking for one costs nothing.
"""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

from . import (
    astrum_peer,
    asyncflow_peer,
    counters,
    dask_peer,
    dask_threads_peer,
    eager_task_groups,
    f1,
    f2,
    floor,
    gathers,
    graphlib_peer,
    hamilton_peer,
    networkx_peer,
    parsl_peer,
    penstock_peer,
    ray_peer,
    rustworkx_peer,
    task_groups,
)

FROM_NAMES: list[ModuleType] = [penstock_peer, floor, graphlib_peer, rustworkx_peer, networkx_peer]

FLOORS: list[ModuleType] = [f1, f2]
BY_HAND: list[ModuleType] = [counters, task_groups, eager_task_groups, gathers, graphlib_peer]
PACKAGES: list[ModuleType] = [
    dask_peer,
    dask_threads_peer,
    astrum_peer,
    asyncflow_peer,
    hamilton_peer,
    parsl_peer,
    ray_peer,
]


class Facts(NamedTuple):
    n_tasks: int
    n_edges: int
    n_stages: int

    def agree_with(self, told: tuple[int | None, int | None, int | None]) -> bool:
        return all(mine == theirs for mine, theirs in zip(self, told, strict=True) if theirs is not None)
