"""The functions that networkx dispatches to penstock, under networkx's own names."""

from __future__ import annotations

from typing import Any


def is_directed_acyclic_graph(G: Any) -> bool:  # noqa: N803
    """Return True if the graph has no cycle."""
    return G._compiled() is not None
