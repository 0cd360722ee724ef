"""Check task graphs and print every problem found, without running anything.

Standard output gets a line for each graph that is well, standard error the problems of the others.
"""

from __future__ import annotations

import argparse

from penstock.cli.console import counted, escaped, say
from penstock.cli.errors import BadInput, UserExit, code_of

__all__ = ["configure", "main"]

WELL, INVALID = 0, 2


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("graphs", metavar="GRAPH", nargs="+", help="what to check, see below")


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code; all graphs are looked at, whatever is wrong with one."""
    code = WELL
    for graph in options.graphs:
        try:
            _check(graph, options)
        except BadInput as error:
            error.show()
            code = INVALID
    return code


def _check(text: str, options: argparse.Namespace) -> None:
    from penstock.cli.loading import loaded

    try:
        with loaded(text, options.arguments, options.debug) as graph:
            plan = graph.plan
            parts = (
                counted(plan.total_tasks, "task"),
                counted(plan.n_dependencies, "dependency", "dependencies"),
                counted(plan.depth, "stage"),
            )
            say(f"{escaped(graph.source)}: OK, {', '.join(parts)}")
    except UserExit as ended:
        code = code_of(ended.code)
        raise BadInput(f"{text} ended with exit code {code} and gave no graph") from None
