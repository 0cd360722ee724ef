"""Where ``--json`` writes: a file that is checked before anything runs, or standard output."""

from __future__ import annotations

import argparse
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from penstock.cli.console import say
from penstock.cli.errors import BadInput
from penstock.cli.target import parse_target

__all__ = ["STDOUT", "add_json_option", "check_writable", "write_json"]

STDOUT = "-"


def add_json_option(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--json FILE``."""
    help_text = f"write {what} to this file as JSON, - for standard output"
    parser.add_argument("--json", metavar="FILE", help=help_text)


def check_writable(path: str | None, graph: str | None = None) -> None:
    """Find out whether a file could be written, and leave everything as it was.

    Parameters
    ----------
    path
        The file, ``"-"`` for standard output, None for none.
    graph
        What the graph is read from and must not be overwritten, as the user gave it.

    Raises
    ------
    BadInput
        It cannot be written, or the graph is none.
    """
    if path is None or path == STDOUT:
        return
    problem = _problem(path, None if graph is None else parse_target(graph).place)
    if problem is not None:
        raise BadInput(f"--json {path}: {problem}")


def _problem(path: str, source: str | None) -> str | None:
    if not path or "\0" in path:
        return "this is no name of a file; give another one, or - for standard output"
    target = Path(path)
    try:
        found = os.stat(target)
    except FileNotFoundError:
        return "there is no such folder; give a file" if path.endswith("/") else _problem_of_folder(target)
    except OSError as error:
        return f"cannot be written: {error.strerror or error}; give another file"
    if stat.S_ISDIR(found.st_mode):
        return "is a folder; give a file in it"
    if source is not None and os.path.exists(source) and os.path.samefile(path, source):
        return "is the graph itself and would be overwritten; give another file"
    if not os.access(target, os.W_OK):
        return "is not writable; give another file, or change its permissions"
    return _problem_of_folder(target) if stat.S_ISREG(found.st_mode) else None


def _problem_of_folder(target: Path) -> str | None:
    """Say what keeps a new file from being made beside the target, which is how a report is written."""
    folder = target.resolve().parent
    if not folder.is_dir():
        return f"there is no folder {folder}; create it, or give another file"
    try:
        with tempfile.NamedTemporaryFile(prefix=".penstock-", dir=folder):
            return None
    except OSError as error:
        return f"cannot be written in {folder}: {error.strerror or error}; give another file"


def write_json(path: str, chunks: Iterable[str]) -> None:
    """Write JSON text to a file, as a whole or not at all, or to standard output.

    Raises
    ------
    BadInput, OutputLost
        It cannot be written, although it could be before.
    """
    from penstock.report.export import write_atomically

    if path == STDOUT:
        say("".join(chunks).rstrip("\n"))
        return
    try:
        write_atomically(path, iter(chunks))
    except OSError as error:
        problem = error.strerror or error
        raise BadInput(f"--json {path} could not be written: {problem}; give another file") from error
