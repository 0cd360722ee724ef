"""Ctrl-C ends a run within two seconds, whatever its tasks do, and the partial report is written."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest

#: What the issue of signals promises.
SECONDS = 2.0

BODIES = """
import asyncio, sys, threading, time
import penstock

def ready():
    print("ready", flush=True)

async def suspended():
    ready()
    await asyncio.sleep(60)

def blocked():
    ready()
    time.sleep(60)

def busy():
    ready()
    while True:
        pass

async def stubborn():
    ready()
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

def deaf():
    ready()
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

async def in_executor():
    ready()
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)

async def beside_a_thread():
    threading.Thread(target=time.sleep, args=(60,)).start()
    ready()
    await asyncio.sleep(60)

def main(arguments):
    graph = penstock.TaskGraph()
    graph.add_task("before", lambda: None)
    graph.add_task("body", globals()[arguments[0]], depends_on=["before"])
    graph.add_task("after", lambda: None, depends_on=["body"])
    return graph
"""

UVLOOP = ("-m", "penstock")
ASYNCIO = ("-c", "import sys; sys.modules['uvloop'] = None; from penstock.cli import main; sys.exit(main())")


class Interrupted(NamedTuple):
    code: int
    seconds: float
    out: str
    err: str
    report: dict[str, object]

    def status(self, task: str) -> str:
        records = self.report["task_statistics"]
        return next(record["status"] for record in records if record["task_name"] == task)


@pytest.fixture
def interrupt(flow, folder, start) -> Callable[..., Interrupted]:
    """``interrupt(body)`` starts a run of that body and sends a signal as soon as it has begun."""

    def run(body: str, signum: int = signal.SIGINT, times: int = 1, **options: object) -> Interrupted:
        flow(BODIES)
        process = start("run", "flow.py", "--json", "report.json", "--", body, **options)
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        started = time.monotonic()
        for _ in range(times):
            process.send_signal(signum)
        out, err = process.communicate()
        seconds = time.monotonic() - started
        report = json.loads((folder / "report.json").read_text())
        assert sorted(path.name for path in folder.iterdir()) == ["flow.py", "report.json"]
        return Interrupted(process.returncode, seconds, out, err, report)

    return run


@pytest.mark.parametrize(
    ("body", "status", "python"),
    [
        ("suspended", "cancelled", UVLOOP),
        ("blocked", "failed", UVLOOP),
        ("blocked", "failed", ASYNCIO),
        ("busy", "failed", UVLOOP),
        ("stubborn", "running", UVLOOP),
        ("stubborn", "running", ASYNCIO),
        ("deaf", "running", UVLOOP),
        ("in_executor", "cancelled", UVLOOP),
        ("beside_a_thread", "cancelled", UVLOOP),
    ],
)
def test_ctrl_c_ends_the_run_within_two_seconds_with_the_partial_report(interrupt, body, status, python):
    ended = interrupt(body, python=python)
    assert ended.code == 130
    assert ended.seconds < SECONDS
    assert ended.out.startswith("Run cancelled: 1 completed, ")
    assert ended.err == "penstock: interrupted by SIGINT; the report has what was done until then\n"
    assert ended.report["execution_state"] == "cancelled"
    assert [ended.status(task) for task in ("before", "body", "after")] == ["completed", status, "skipped"]


@pytest.mark.parametrize("body", ["suspended", "stubborn"])
def test_sigterm_ends_the_run_likewise_with_143(interrupt, body):
    ended = interrupt(body, signal.SIGTERM)
    assert ended.code == 143
    assert ended.seconds < SECONDS
    assert ended.out.startswith("Run cancelled: 1 completed, ")
    assert ended.err == "penstock: interrupted by SIGTERM; the report has what was done until then\n"


def test_an_impatient_second_and_third_ctrl_c_do_not_cost_the_report(interrupt):
    ended = interrupt("blocked", times=3)
    assert ended.code == 130
    assert ended.seconds < SECONDS
    assert ended.status("before") == "completed"


def test_a_signal_that_the_parent_ignores_stays_ignored(flow, start, folder):
    flow(
        "import penstock, pathlib, time\n"
        "def body():\n"
        "    print('ready', flush=True)\n"
        "    while not pathlib.Path('go').exists():\n"
        "        time.sleep(0.01)\n"
        "graph = penstock.TaskGraph()\ngraph.add_task('a', body)\n"
    )
    process = start("run", "flow.py", preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    (folder / "go").touch()
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert out.startswith("Run completed: 1 completed")


def test_commands_are_ended_with_the_run(start, folder):
    pid_file = folder / "pid"
    note = f"import os, pathlib; pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))"
    sleeper = f"{note}; import time; time.sleep(60)"
    task = {"name": "a", "command": {"program": sys.executable, "arguments": ["-c", sleeper]}}
    (folder / "w.json").write_text(json.dumps({"name": "w", "workflow": {"tasks": [task]}}))
    process = start("run", "w.json", "--execute", env={**os.environ, "TMPDIR": str(folder)})
    folder_line = process.stdout.readline()
    assert folder_line.startswith("Commands work in ")
    wait_for(lambda: pid_file.exists() and pid_file.read_text())
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert time.monotonic() - started < SECONDS
    assert process.returncode == 130
    assert "1 cancelled" in out
    work = folder_line.removeprefix("Commands work in ").strip()
    assert err.splitlines()[1] == f"penstock: the work folder {work} is kept"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


# -- in this process --------------------------------------------------------------------------------------

HERE = """
import asyncio, signal
import penstock

async def body():
    signal.raise_signal(signal.SIGINT)
    await asyncio.sleep(60)

graph = penstock.TaskGraph()
graph.add_task("a", body)
graph.add_task("b", lambda: None, depends_on=["a"])
"""


@pytest.fixture
def handlers():
    """Handlers of one's own for both signals."""

    def handler(signum: int, frame: object) -> None:
        raise AssertionError("the previous handler was called")

    previous = {signum: signal.signal(signum, handler) for signum in (signal.SIGINT, signal.SIGTERM)}
    yield handler
    for signum, old in previous.items():
        signal.signal(signum, old)


def test_a_caller_of_main_keeps_handlers_threads_and_the_process(cli, flow, handlers, folder):
    flow(HERE)
    threads = set(threading.enumerate())
    code, out, err = cli("run", "flow.py", "--json", "report.json")
    assert code == 130
    assert out.startswith("Run cancelled: 0 completed, 1 cancelled, 1 skipped of 2 tasks")
    assert err.startswith("penstock: interrupted by SIGINT")
    assert signal.getsignal(signal.SIGINT) is signal.getsignal(signal.SIGTERM) is handlers
    assert set(threading.enumerate()) == threads


def test_handlers_are_there_only_during_the_run(cli, flow, handlers):
    flow("""
import signal
import penstock

seen = [signal.getsignal(signal.SIGINT)]

def body():
    assert signal.getsignal(signal.SIGINT) is not seen[0]

graph = penstock.TaskGraph()
graph.add_task("a", body)
""")
    assert cli("run", "flow.py").code == 0
    assert signal.getsignal(signal.SIGINT) is handlers


def test_outside_the_main_thread_no_handlers_are_installed(cli, flow, handlers):
    flow("""
import signal
import penstock

seen = signal.getsignal(signal.SIGINT)

def body():
    assert signal.getsignal(signal.SIGINT) is seen

graph = penstock.TaskGraph()
graph.add_task("a", body)
""")
    codes = []
    thread = threading.Thread(target=lambda: codes.append(cli("run", "flow.py").code))
    thread.start()
    thread.join()
    assert codes == [0]


def test_a_second_signal_raises_at_once_in_a_body_that_blocks(cli, flow):
    flow("""
import signal
import penstock

def body():
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)
    raise AssertionError("it went on")

graph = penstock.TaskGraph()
graph.add_task("a", body)
graph.add_task("b", lambda: None, depends_on=["a"])
""")
    code, out, _ = cli("run", "flow.py")
    assert code == 130
    assert out.startswith("Run cancelled: 0 completed, 1 failed, 1 skipped of 2 tasks")


def test_a_signal_that_comes_before_the_run_cancels_it(cli, flow, monkeypatch):
    from penstock.plan import ExecutionPlan

    begin = ExecutionPlan.start

    def start(*arguments: object, **options: object) -> object:
        signal.raise_signal(signal.SIGINT)
        return begin(*arguments, **options)

    monkeypatch.setattr(ExecutionPlan, "start", start)
    flow(HERE)
    code, out, _ = cli("run", "flow.py")
    assert code == 130
    assert out.startswith("Run cancelled: 0 completed, 2 skipped of 2 tasks")


@pytest.mark.parametrize(("insistence", "code", "written"), [(2, 130, True), (3, 130, False)])
def test_signals_wait_while_the_report_is_written_unless_somebody_insists(
    cli, flow, folder, monkeypatch, insistence, code, written
):
    from penstock.report import export

    write = export.write_atomically

    def slow(path: str, chunks: object) -> None:
        for _ in range(insistence):
            signal.raise_signal(signal.SIGINT)
        write(path, chunks)

    monkeypatch.setattr(export, "write_atomically", slow)
    flow(HERE)
    assert cli("run", "flow.py", "--json", "report.json").code == code
    assert (folder / "report.json").exists() == written
    assert [path.name for path in folder.glob(".penstock*")] == []
