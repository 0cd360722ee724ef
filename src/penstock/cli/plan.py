"""Plan a task graph and print its shape, without running anything."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from penstock.cli.console import counted, escaped, say
from penstock.cli.jsonfile import STDOUT, add_json_option, check_writable, write_json

if TYPE_CHECKING:
    from penstock.cli.loading import Loaded

__all__ = ["configure", "main"]

#: So many stages, names in a stage and names along the critical path are printed.
STAGES_SHOWN, NAMES_SHOWN = 5, 6


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("graph", metavar="GRAPH", help="what to plan, see below")
    add_json_option(parser, "the whole plan")


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from penstock.cli.loading import loaded

    check_writable(options.json, options.graph)
    with loaded(options.graph, options.arguments, options.debug) as graph:
        if options.json is not None:
            write_json(options.json, [json.dumps(_as_dict(graph), indent=1), "\n"])
        if options.json != STDOUT:
            say("\n".join(_lines(graph)))
    return 0


def _durations(graph: Loaded) -> list[float] | None:
    """Return the recorded seconds of each task, if there are any."""
    if graph.instance is None or not graph.instance.runtimes:
        return None
    return [graph.instance.runtimes.get(name, 0.0) for name in graph.plan.names]


def _members(graph: Loaded, most: int) -> list[list[Any]]:
    """Return the names of the tasks of the first stages, in the order they were added."""
    plan = graph.plan
    members: list[list[Any]] = [[] for _ in range(min(plan.depth, most))]
    for name, stage in zip(plan.names, plan.stage_of, strict=True):
        if stage < most:
            members[stage].append(name)
    return members


def _as_dict(graph: Loaded) -> dict[str, Any]:
    from penstock.report.export import plain_name

    plan, durations = graph.plan, _durations(graph)
    path, length = plan.critical_path(durations)
    return {
        "graph": graph.source,
        "total_tasks": plan.total_tasks,
        "n_dependencies": plan.n_dependencies,
        "total_stages": plan.depth,
        "width": plan.width,
        "max_parallelism": plan.max_parallelism,
        "planning_duration": plan.planning_duration,
        "work": None if durations is None else sum(durations),
        "critical_path": {
            "tasks": [plain_name(name) for name in path],
            "duration": None if durations is None else length,
        },
        "stages": [
            {"stage_id": number, "start_tasks": [plain_name(name) for name in names]}
            for number, names in enumerate(_members(graph, plan.depth))
        ],
    }


def _lines(graph: Loaded) -> Iterator[str]:
    from penstock.report.export import clock

    plan, durations = graph.plan, _durations(graph)
    path, length = plan.critical_path(durations)
    yield f"Plan of {escaped(graph.source)}"
    yield f"  tasks            {plan.total_tasks:,}"
    yield f"  dependencies     {plan.n_dependencies:,}"
    yield f"  stages           {plan.depth:,}"
    yield f"  width            {counted(plan.width, 'task')} in the largest stage"
    yield f"  max parallelism  {counted(plan.max_parallelism, 'task')} in flight if run stage by stage"
    if durations is None:
        yield f"  critical path    {counted(len(path), 'task')}"
    else:
        yield f"  critical path    {counted(len(path), 'task')}, {clock(length)} as recorded"
        yield f"  work             {clock(sum(durations))} as recorded"
    yield f"  planning time    {clock(plan.planning_duration)}"
    if path:
        yield "Critical path"
        yield f"  {_names(path, ' -> ')}"
    members = _members(graph, STAGES_SHOWN)
    if members:
        yield "First stages" if plan.depth > STAGES_SHOWN else "Stages"
    for number, names in enumerate(members):
        yield f"  {number}  {counted(len(names), 'task')}: {_names(names, ', ')}"


def _names(names: Sequence[Any], separator: str) -> str:
    from penstock.errors import shown

    text = separator.join(escaped(shown(name)) for name in names[:NAMES_SHOWN])
    return f"{text}{separator}..." if len(names) > NAMES_SHOWN else text
