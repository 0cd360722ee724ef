"""Whoever plans a graph, behind one face, so that a benchmark can line them up.

Each module has

label       how it is called in tables and test ids
missing     why it cannot be measured here, or None
build       from the input to a plan, everything in one timed call; what it returns is kept alive until the
            clock has stopped, and so is never freed at someone's expense
facts       tasks, edges and stages as the result has them, None for what the contender does not know
"""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

from . import floor, graphlib_peer, networkx_peer, penstock_peer, rustworkx_peer

FROM_NAMES: list[ModuleType] = [penstock_peer, floor, graphlib_peer, rustworkx_peer, networkx_peer]


class Facts(NamedTuple):
    n_tasks: int
    n_edges: int
    n_stages: int

    def agree_with(self, told: tuple[int | None, int | None, int | None]) -> bool:
        return all(mine == theirs for mine, theirs in zip(self, told, strict=True) if theirs is not None)
