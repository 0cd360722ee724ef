"""What is printed where: progress, broken outputs, and silence where there is nothing to say."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import penstock

CALM = """
import asyncio, time
import penstock

async def quick():
    await asyncio.sleep(0)

async def in_thread():
    await asyncio.get_running_loop().run_in_executor(None, int)

graph = penstock.TaskGraph()
graph.add_task("plain", lambda: time.sleep(0.11))  # longer than asyncio's debug mode likes
graph.add_task("quick", quick, depends_on=["plain"])
graph.add_task("in thread", in_thread, depends_on=["plain"])
for number in range(100):
    graph.add_task(number, quick, depends_on=["quick"])
"""

PATIENT = """
import asyncio, pathlib
import penstock

async def body():
    while not pathlib.Path("go").exists():
        await asyncio.sleep(0.01)

graph = penstock.TaskGraph()
graph.add_task("a", lambda: None)
graph.add_task("b", body, depends_on=["a"])
"""


def test_a_clean_run_is_silent_and_leaves_nothing_behind(finish, flow, folder):
    flow(CALM)
    scratch = folder / "scratch"
    scratch.mkdir()
    code, out, err = finish("run", "flow.py", env={**os.environ, "TMPDIR": str(scratch)})
    assert (code, err) == (0, "")
    assert out.startswith("Run completed: 103 completed of 103 tasks")
    assert sorted(path.name for path in folder.rglob("*")) == ["flow.py", "scratch"]


def test_the_other_commands_are_silent_too(finish, flow):
    flow(CALM)
    for command in (["plan", "flow.py"], ["validate", "flow.py"], ["doctor"]):
        code, out, err = finish(*command)
        assert (code, err) == (0, "")
        assert out


def test_progress_is_one_line_that_rewrites_itself_on_a_terminal(start, flow, folder):
    pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
    flow(PATIENT)
    master, slave = pty.openpty()
    try:
        process = start("run", "flow.py", stderr=slave)
        os.close(slave)
        shown = b""
        while b"1 running" not in shown:
            shown += os.read(master, 1000)
        (folder / "go").touch()
        out, _ = process.communicate()
        shown += rest_of(master)
    finally:
        os.close(master)
    assert process.returncode == 0
    assert out.startswith("Run completed: 2 completed")
    assert re.fullmatch(rb"(\r\x1b\[K 50% 1/2 tasks, 1 running, [\d,]+/s)+\r\x1b\[K", shown), shown


def rest_of(terminal: int) -> bytes:
    found = b""
    while True:
        try:
            part = os.read(terminal, 1000)
        except OSError:  # Linux says so when the other end is closed
            return found
        if not part:
            return found
        found += part


def test_no_progress_is_shown_elsewhere_or_when_it_is_unwanted(cli, flow, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    flow()
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert cli("run", "--quiet", "flow.py").code == 0
    assert terminal.getvalue() == ""
    assert cli("run", "flow.py").code == 0
    assert terminal.getvalue() == "\r\x1b[K"


@pytest.mark.parametrize(
    "command", [["run", "flow.py"], ["plan", "flow.py"], ["run", "flow.py", "--json", "-"], ["--help"]]
)
def test_a_reader_that_goes_away_is_no_error(start, flow, command):
    flow()
    process = start(*command)
    process.stdout.close()
    _, err = process.communicate()
    assert (process.returncode, err) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", [["run", "flow.py"], ["plan", "flow.py"], ["validate", "flow.py"]])
def test_an_output_that_cannot_be_written_is_an_error(finish, flow, command):
    flow()
    with open("/dev/full", "w") as full:
        code, _, err = finish(*command, stdout=full)
    assert (code, err) == (2, "penstock: error: standard output cannot be written: No space left on device\n")


def test_closed_outputs_are_no_error(cli, flow, monkeypatch):
    flow()
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert cli("run", "flow.py").code == 0
    assert cli("run", "missing.py").code == 2


def test_names_that_the_output_cannot_spell_are_escaped(cli, flow, monkeypatch):
    flow("import penstock\ngraph = penstock.TaskGraph.from_predecessors({'\\u00e9t\\u00e9 \\udc80': []})\n")
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    assert cli("plan", "flow.py").code == 0
    assert b"  0  1 task: \\xe9t\\xe9 \\udc80\n" in raw.getvalue()


def test_help_and_version_are_printed(cli):
    code, out, err = cli("--help")
    assert (code, err) == (0, "")
    for word in ("run", "plan", "validate", "doctor", "FILE.py[:ATTRIBUTE]", "Exit codes"):
        assert word in out
    assert cli("--version") == (0, f"penstock {penstock.__version__}\n", "")
    assert "--time-scale X" in cli("run", "--help").out


def test_help_loads_neither_networkx_nor_uvloop(finish):
    code = (
        "import sys; from penstock.cli import main; main(['--help']); "
        "sys.exit(','.join({'networkx', 'uvloop', 'numpy'} & set(sys.modules)) or 0)"
    )
    result = finish(python=("-c", code))
    assert (result.code, result.err) == (0, "")


def test_the_installed_command_is_the_same():
    command = shutil.which("penstock", path=os.path.dirname(sys.executable))
    if command is None:
        pytest.skip("penstock is not installed as a command beside this Python")
    ended = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == (f"penstock {penstock.__version__}\n", "")


def test_the_main_job_runs(finish, tmp_path):
    example = Path(__file__).parents[2] / "examples" / "stdlib_build.py"
    library = tmp_path / "library"
    (library / "pkg").mkdir(parents=True)
    for name, text in {
        "base.py": "",
        "pkg/__init__.py": "import base\n",
        "pkg/one.py": "import pkg\n",
    }.items():
        (library / name).write_text(text)
    code, out, err = finish("run", example, "--", "--library", library)
    assert (code, err) == (0, "")
    assert out.startswith("Run completed: 3 completed of 3 tasks in 3 stages")
    code, out, err = finish(
        "run", example, "--failure-policy", "continue", "--", "--library", library, "--with-broken", "2"
    )
    assert (code, err) == (1, "")
    assert out.startswith("Run failed: 3 completed, 2 failed, 6 skipped of 11 tasks")
    assert "broken_001: SyntaxError: " in out
    assert "  3 because of broken_002" in out
