"""Reports as plain values, JSON and text."""

from __future__ import annotations

import dataclasses
import heapq
import json
import os
import tempfile
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from penstock.errors import DependencyFailureError, shown

if TYPE_CHECKING:
    from penstock.report.models import ExecutionReport, TaskAttemptStatistics, TaskExecutionStatistics

#: So many slow tasks and failures stand in a summary.
SUMMARY_ROWS = 5

#: Longer paths to skipped tasks are cut in dicts and JSON.
PATH_NAMES = 20

_TOTALS = (
    "execution_state",
    "total_start_time",
    "total_end_time",
    "total_duration",
    "planning_duration",
    "execution_duration",
    "total_tasks",
    "total_stages",
    "max_parallelism",
    "successful_tasks",
    "failed_tasks",
    "cancelled_tasks",
    "skipped_tasks",
    "error_summary",
)


def plain_name(name: Any) -> str | int:
    """Return a name that JSON can hold: text and int as they are, anything else as its ``repr``."""
    return name if type(name) is int else shown(name)


def totals(report: ExecutionReport) -> dict[str, Any]:
    """Return everything but the records."""
    found = {name: getattr(report, name) for name in _TOTALS}
    path, seconds = report.critical_path()
    found["critical_path"] = {"tasks": [plain_name(name) for name in path], "duration": seconds}
    return found


def _fields(record: TaskExecutionStatistics | TaskAttemptStatistics) -> dict[str, Any]:
    # Not dataclasses.asdict, which copies: names and exceptions need not be able to.
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def record_dict(record: TaskExecutionStatistics) -> dict[str, Any]:
    """Return one record as plain values; the exception as its class, and for a skipped task its causes."""
    name = plain_name(record.task_name)
    found = _fields(record)
    del found["exception"]
    found["task_name"] = name
    found["attempt_statistics"] = [{**_fields(attempt), "task_name": name} for attempt in record.attempt_statistics]
    error = record.exception
    found["error_type"] = None if error is None else type(error).__name__
    # Not for a body that raised Skip.  The status is asked first: an exception may have a `__class__` that raises.
    if record.status == "skipped" and type(error) is DependencyFailureError:
        found["failed_dependencies"] = [plain_name(other) for other in error.failed_dependencies]
        found["root_cause"], found["path"] = _root_and_path(error)
    return found


def _root_and_path(error: DependencyFailureError) -> tuple[str | int | None, list[str | int | None]]:
    """Return the first name of the path and the path, with None in place of what is left out of a long one.

    Every task of a chain below a failure has the whole chain as its path, which nobody could write.
    """
    last = [plain_name(name) for name in error.last_of_path(PATH_NAMES + 1)]
    if not last:
        return None, []
    root = plain_name(error.root_name)
    return root, list(last) if len(last) <= PATH_NAMES else [root, None, *last[2:]]


def to_dict(report: ExecutionReport) -> dict[str, Any]:
    """Return the whole report as plain values."""
    return {**totals(report), "task_statistics": [record_dict(record) for record in report.task_statistics]}


def to_json(report: ExecutionReport, path: str | PathLike[str] | None) -> str | None:
    """Return the report as JSON text, or write it to a file."""
    if path is None:
        return "".join(json_chunks(report))
    write_atomically(path, json_chunks(report))
    return None


def json_chunks(report: ExecutionReport) -> Iterator[str]:
    """Yield the JSON text record by record, so that a report of any size is written in little memory."""
    head = json.dumps(totals(report), indent=1)
    yield head[: -len("\n}")] + ',\n "task_statistics": ['
    separator = "\n  "
    for record in report.task_statistics:
        yield separator + json.dumps(record_dict(record))
        separator = ",\n  "
    yield "\n ]\n}\n"


def write_atomically(path: str | PathLike[str], chunks: Iterator[str]) -> None:
    """Write a text file beside its place and move it there once it is whole.

    Raises
    ------
    OSError
        The file cannot be written; what was there before is unharmed and nothing is left behind.
    """
    target = Path(path)
    if not target.is_file() and target.exists():
        # A pipe or a device such as /dev/stdout has no place that another file could be moved to.
        with target.open("w", encoding="utf-8") as stream:
            stream.writelines(chunks)
        return
    target = target.resolve()  # write through a symbolic link, not over it
    # Not named after the target, whose name may be as long as names can be.
    handle, beside = tempfile.mkstemp(prefix=".penstock-", dir=target.parent, text=True)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            _write_all(stream, chunks)
        os.chmod(beside, _mode_for(target))
        os.replace(beside, target)
    except BaseException:
        os.unlink(beside)
        raise


def _write_all(stream: TextIO, chunks: Iterator[str]) -> None:
    stream.writelines(chunks)
    stream.flush()


def _mode_for(target: Path) -> int:
    """Return the permissions that the file has, or would get from ``open``."""
    try:
        return target.stat().st_mode & 0o777
    except FileNotFoundError:
        # There is no way to ask for the mask without setting it.
        mask = os.umask(0o077)
        os.umask(mask)
        return 0o666 & ~mask


def clock(seconds: float) -> str:
    """Return a duration in the unit that reads best."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    if seconds < 1.0:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 120.0:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def printable(text: object) -> str:
    """Return text with control characters escaped, so that a name cannot write to the terminal on its own."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))


def summary(report: ExecutionReport) -> str:
    """Return a page of text about a report."""
    counts = [
        f"{count:,} {word}"
        for count, word in (
            (report.successful_tasks, "completed"),
            (report.failed_tasks, "failed"),
            (report.cancelled_tasks, "cancelled"),
            (report.skipped_tasks, "skipped"),
            (report._core.n_running, "still running"),
        )
        if count or word == "completed"
    ]
    work = sum(report._durations())
    path, span = report.critical_path()
    lines = [
        f"Run {report.execution_state}: {', '.join(counts)} of {report.total_tasks:,} tasks "
        f"in {report.total_stages:,} stages",
        f"  time       {clock(report.execution_duration)} (planning {clock(report.planning_duration)})",
        f"  work       {clock(work)} in task bodies",
        f"  span       {clock(span)} along the critical path of {len(path):,} tasks",
    ]
    if span > 0.0:
        lines.append(f"  parallel   {work / span:.1f} possible (work / span)")
    lines += _slowest(report)
    lines += _failures(report)
    return "\n".join(lines)


def _slowest(report: ExecutionReport) -> list[str]:
    durations = report._durations()
    slowest = heapq.nlargest(SUMMARY_ROWS, range(len(durations)), key=durations.__getitem__)
    rows = [
        f"  {clock(durations[task]):>10}  {printable(shown(report._names[task]))}"
        for task in slowest
        if durations[task] > 0.0
    ]
    return ["Slowest tasks", *rows] if rows else []


def _failures(report: ExecutionReport) -> list[str]:
    lines = []
    failed = report.failed_tasks
    for number, record in enumerate(report.failures()):
        if number == SUMMARY_ROWS:
            lines.append(f"  ... and {failed - SUMMARY_ROWS:,} more")
            break
        kind = type(record.exception).__name__
        first_line = (record.error_message or "").split("\n", 1)[0]
        lines.append(f"  {printable(shown(record.task_name))}: {kind}: {printable(first_line)}")
    lines += [f"  {printable(line)}" for line in report.error_summary if line.startswith("Execution failed")]
    if lines:
        lines.insert(0, "Failures")
    skipped = report.skipped_by_root()
    if skipped:
        lines.append("Skipped")
        lines += [f"  {count:,} because of {printable(shown(root))}" for root, count in skipped[:SUMMARY_ROWS]]
        if len(skipped) > SUMMARY_ROWS:
            rest = sum(count for _, count in skipped[SUMMARY_ROWS:])
            lines.append(f"  {rest:,} because of {len(skipped) - SUMMARY_ROWS:,} other tasks")
    return lines
