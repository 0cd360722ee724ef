"""Writing a run's report as a WfFormat 1.5 document, whose execution part holds the measured times."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Hashable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from penstock.errors import FormatError, shown
from penstock.formats.wfinstance import WfCommand, WfInstance
from penstock.report.export import write_atomically

if TYPE_CHECKING:
    from penstock.plan import ExecutionPlan
    from penstock.report.models import ExecutionReport

__all__ = ["execution_document", "write_execution"]

SCHEMA_VERSION = "1.5"
_LISTS_OF_A_TASK = ("parents", "children", "inputFiles", "outputFiles")
#: The systems that the format has words for.
_SYSTEMS = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}


def write_execution(report: ExecutionReport, path: str | os.PathLike[str], instance: WfInstance | None = None) -> None:
    """Write `execution_document` to a file, as a whole or not at all.

    Raises
    ------
    FormatError
        The report is of another workflow, or the document cannot be expressed in JSON.
    OSError
        The file cannot be written; what was there before is untouched.
    """
    document = execution_document(report, instance)
    try:
        text = json.dumps(document, indent=2, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise FormatError(f"the specification cannot be written as JSON: {error}", os.fspath(path)) from error
    try:
        write_atomically(path, iter((text, "\n")))
    except OSError as error:
        # Named after the file that was asked for; its draft beside it means nothing to the reader.
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def execution_document(report: ExecutionReport, instance: WfInstance | None = None) -> dict[str, Any]:
    """Return a report as a WfFormat 1.5 document, ready for JSON.

    Tasks that never started have no entry in the execution part, since there is nothing to tell of them;
    failed and cancelled ones are there with the time they took.

    Parameters
    ----------
    report
        The report of a run.
    instance
        The workflow that was run: its specification is kept and its execution replaced.  Without it the
        specification is built from the plan that was run, without files; names that are no text are written
        as their ``repr``.

    Raises
    ------
    FormatError
        The report is of another workflow, or two names would be written alike.
    """
    ids: dict[Hashable, str]
    if instance is None:
        ids = _identifiers(report._plan.names)
        instance = _planned(report._plan, list(ids.values()))
    else:
        ids = {task: task for task in instance.task_ids}
    return {
        "name": instance.name,
        **_about(instance),
        "createdAt": datetime.now(UTC).isoformat(),
        "schemaVersion": SCHEMA_VERSION,
        "workflow": {
            "specification": _kept_specification(instance) or _built_specification(instance),
            "execution": _execution(report, ids, instance.commands),
        },
    }


# The execution


def _execution(
    report: ExecutionReport, ids: Mapping[Hashable, str], commands: Mapping[str, WfCommand]
) -> dict[str, Any]:
    machine = _machine()
    tasks: list[dict[str, Any]] = []
    first, last = float("inf"), float("-inf")
    for record in report.task_statistics:
        if record.task_name not in ids:
            name = shown(record.task_name)
            raise FormatError(f"the report is of another workflow: task {name} is not in this one")
        if record.start_time is None or record.end_time is None:
            continue
        first, last = min(first, record.start_time), max(last, record.end_time)
        task: dict[str, Any] = {"id": ids[record.task_name], "runtimeInSeconds": record.duration}
        if command := commands.get(ids[record.task_name]):
            task["command"] = {"program": command.program, "arguments": list(command.arguments)}
        tasks.append({**task, "machines": [machine["nodeName"]]})
    started = first if tasks else report.total_start_time
    return {
        "makespanInSeconds": last - first if tasks else 0.0,
        "executedAt": datetime.fromtimestamp(started or 0.0, UTC).isoformat(),
        "tasks": tasks,
        "machines": [machine],
    }


def _machine() -> dict[str, Any]:
    machine: dict[str, Any] = {"nodeName": platform.node() or "localhost"}
    if system := _SYSTEMS.get(platform.system()):
        machine["system"] = system
    machine["architecture"] = platform.machine()
    machine["release"] = platform.release()
    machine["cpu"] = {"coreCount": os.cpu_count() or 1}
    return machine


# The specification


def _kept_specification(instance: WfInstance) -> Mapping[str, Any] | None:
    """Return the document's own specification, if it says everything as version 1.5 demands it."""
    specification: Mapping[str, Any] = instance.document.get("workflow", {}).get("specification") or {}
    tasks, files = specification.get("tasks"), specification.get("files")
    if not isinstance(tasks, list) or not isinstance(files, list):
        return None
    dependents = _dependents(instance)
    for task in tasks:
        if not all(isinstance(task.get(key), str) for key in ("id", "name")):
            return None
        if not all(isinstance(task.get(key), list) for key in _LISTS_OF_A_TASK):
            return None
        # A reference by name, or a dependency declared at one end alone, is not in the strict form.
        if set(task["parents"]) != set(instance.dependencies.get(task["id"], ())):
            return None
        if set(task["children"]) != set(dependents.get(task["id"], ())):
            return None
    listed = {file.get("id") for file in files if file.get("sizeInBytes") is not None}
    if len(listed) != len(files) or not listed.issuperset(_files_used(instance)):
        return None
    return specification


def _built_specification(instance: WfInstance) -> dict[str, Any]:
    dependents = _dependents(instance)
    tasks = [
        {
            "name": instance.task_names.get(task, task),
            "id": task,
            "parents": list(instance.dependencies.get(task, ())),
            "children": dependents[task],
            "inputFiles": list(instance.inputs.get(task, ())),
            "outputFiles": list(instance.outputs.get(task, ())),
        }
        for task in instance.task_ids
    ]
    files = dict.fromkeys([*instance.file_sizes, *_files_used(instance)])
    return {
        "tasks": tasks,
        "files": [{"id": file, "sizeInBytes": instance.file_sizes.get(file, 0)} for file in files],
    }


def _files_used(instance: WfInstance) -> list[str]:
    lists = [*instance.inputs.values(), *instance.outputs.values()]
    return [file for files in lists for file in files]


def _dependents(instance: WfInstance) -> dict[str, list[str]]:
    dependents: dict[str, list[str]] = {task: [] for task in instance.task_ids}
    for task, dependencies in instance.dependencies.items():
        for dependency in dependencies:
            dependents.setdefault(dependency, []).append(task)
    return dependents


def _about(instance: WfInstance) -> dict[str, Any]:
    """Return the description and the author, which go on standing for the workflow."""
    description = instance.document.get("description")
    about: dict[str, Any] = {
        "description": description if isinstance(description, str) else "A run measured by penstock"
    }
    author = instance.document.get("author")
    if isinstance(author, Mapping):
        known = {key: author[key] for key in ("name", "email") if isinstance(author.get(key), str)}
        if len(known) == 2:
            about["author"] = known
    return about


def _identifiers(names: Iterable[Hashable]) -> dict[Hashable, str]:
    ids: dict[Hashable, str] = {}
    taken: dict[str, Hashable] = {}
    for name in names:
        text = name if isinstance(name, str) else repr(name)
        if text in taken:
            pair = f"tasks {taken[text]!r} and {name!r}"
            raise FormatError(f"{pair} would both be written as {text!r}; rename one of them")
        taken[text] = name
        ids[name] = text
    return ids


def _planned(plan: ExecutionPlan, ids: list[str]) -> WfInstance:
    """Return a plan as the instance that a document of nothing but its tasks would give."""
    predecessors_of = plan._compiled.graph.predecessors_of
    dependencies = {task: tuple(ids[i] for i in predecessors_of(index)) for index, task in enumerate(ids)}
    return WfInstance(name="penstock run", task_ids=tuple(ids), dependencies=dependencies)
