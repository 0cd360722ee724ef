"""What networkx asks of its backends while it is imported itself.

The entry point runs during ``import networkx``, so this module lives outside the package: importing
networkx must not import penstock.
"""

from __future__ import annotations

__all__ = ["get_info"]

_FUNCTIONS = (
    "ancestors",
    "dag_longest_path",
    "dag_longest_path_length",
    "descendants",
    "find_cycle",
    "is_directed_acyclic_graph",
    "topological_generations",
    "topological_sort",
    "transitive_reduction",
)


def get_info() -> dict[str, object]:
    """Return the description of the penstock backend that networkx shows in its own documentation."""
    return {
        "backend_name": "penstock",
        "project": "penstock",
        "package": "penstock",
        "short_summary": "Compiled algorithms on directed acyclic graphs.",
        "functions": {name: {} for name in _FUNCTIONS},
    }
