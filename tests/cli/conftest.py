"""The command line called in this process, or started as a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from penstock.cli import main

#: Three tasks in a row, which note in a list that they ran.
CHAIN = """
import penstock

ran = []
graph = penstock.TaskGraph()
graph.add_task("a", lambda: ran.append("a"))
graph.add_task("b", lambda: ran.append("b"), depends_on=["a"])
graph.add_task("c", lambda: ran.append("c"), depends_on=["b"])
"""


class Result(NamedTuple):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """``cli("run", "flow.py")`` calls `main` with these arguments."""

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: empty, temporary."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def flow(folder: Path) -> Callable[..., Path]:
    """``flow(source)`` writes ``flow.py`` into the current folder."""

    def write(source: str = CHAIN, name: str = "flow.py") -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
        return path

    return write


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """``start("run", "flow.py")`` starts the command as a process; one that is left at the end is killed."""
    with contextlib.ExitStack() as stack:

        def popen(*arguments: object, python: tuple[str, ...] = ("-m", "penstock"), **options: Any) -> Any:
            command = [sys.executable, "-X", "dev", "-W", "error", *python, *map(str, arguments)]
            process = subprocess.Popen(
                command,
                **{
                    "stdin": subprocess.DEVNULL,
                    "stdout": subprocess.PIPE,
                    "stderr": subprocess.PIPE,
                    "text": True,
                    "cwd": folder,
                    "env": {**os.environ, "PYTHONIOENCODING": "utf-8"},
                    # Not ignored, whatever the tests themselves were started with.
                    "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                }
                | options,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield popen


@pytest.fixture
def finish(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., Result]:
    """``finish("run", "flow.py")`` runs the command as a process to its end."""

    def run(*arguments: object, **options: Any) -> Result:
        process = start(*arguments, **options)
        out, err = process.communicate()
        return Result(process.returncode, out, err)

    return run
