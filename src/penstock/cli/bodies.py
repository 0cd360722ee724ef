"""What the tasks of a loaded graph do: their own functions, a replay, or the recorded commands."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.cli.errors import BadInput, graph_problems

if TYPE_CHECKING:
    from penstock.cli.loading import Loaded

__all__ = ["Bodies", "bodies_for"]


@dataclass
class Bodies:
    """The functions to run; None stands for those of the plan.

    ``folder`` is where commands work; it is removed at the end only if ``completed`` was set.
    """

    functions: Mapping[Any, Callable[[], Any]] | None = None
    max_concurrency: int | None = None
    folder: str | None = None
    completed: bool = False


@contextlib.contextmanager
def bodies_for(graph: Loaded, time_scale: float | None, execute: bool) -> Iterator[Bodies]:
    """Give the functions for one run.

    Raises
    ------
    BadInput
        The graph has no functions, or cannot be replayed or executed as asked.
    """
    if graph.instance is None:
        yield _own_functions(graph, time_scale, execute)
    elif execute:
        yield from _commands(graph)
    else:
        from penstock.formats.wfreplay import replay_functions

        yield Bodies(replay_functions(graph.instance, time_scale, plan=graph.plan))


def _own_functions(graph: Loaded, time_scale: float | None, execute: bool) -> Bodies:
    for option, given in (("--time-scale", time_scale is not None), ("--execute", execute)):
        if given:
            raise BadInput(f"{option} is for WfFormat files, and {graph.source} is none; leave it out")
    if graph.plan.total_tasks and not graph.plan.functions:
        raise BadInput(
            f"{graph.source} has no functions, so there is nothing to run; give each task one with "
            "graph.add_task(name, func), or look at the graph with penstock plan"
        )
    return Bodies()


def _commands(graph: Loaded) -> Iterator[Bodies]:
    from penstock.errors import GraphError
    from penstock.formats.wfexecute import command_functions

    assert graph.instance is not None
    folder = tempfile.mkdtemp(prefix="penstock-")  # only for this user
    try:
        functions = command_functions(graph.instance, folder)
    except GraphError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise graph_problems(graph.source, error) from error
    bodies = Bodies(functions, _cores(), folder)
    try:
        yield bodies
    finally:
        if bodies.completed:
            shutil.rmtree(folder, ignore_errors=True)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
