"""Recorded commands run for real: as argument lists in one folder, ended with their children if cancelled."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import IO, Any

import pytest

from penstock.errors import FormatError, TaskError
from penstock.formats import wfexecute
from penstock.formats.wfexecute import command_functions
from penstock.formats.wfformat import WfCommand, WfInstance, read_wfformat

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups and pipes with names are POSIX")

Document = dict[str, Any]
Runner = Callable[[Coroutine[Any, Any, Any]], Any]


def command(program: str, *arguments: str, folder: Path) -> Callable[[], Awaitable[None]]:
    """Return the function of a workflow's only task."""
    commands = {"one": WfCommand(program, arguments)}
    instance = WfInstance(name="one", task_ids=("one",), dependencies={"one": ()}, commands=commands)
    return command_functions(instance, folder)["one"]


def script(text: str, *arguments: str, folder: Path) -> Callable[[], Awaitable[None]]:
    return command(sys.executable, "-c", text, *arguments, folder=folder)


def failure(on_loop: Runner, function: Callable[[], Awaitable[None]]) -> str:
    async def body() -> None:
        await function()

    with pytest.raises(TaskError) as caught:
        on_loop(body())
    return str(caught.value)


async def call(function: Callable[[], Awaitable[None]]) -> None:
    await function()


def test_arguments_arrive_as_recorded_and_no_shell_reads_them(on_loop: Runner, tmp_path: Path) -> None:
    arguments = ("--percent-cpu 0.6", "$HOME", "*", "a;b", 'x "y" z', "", "caf\u00e9\n")
    text = "import json, sys; json.dump(sys.argv[1:], open('seen.json', 'w'))"
    on_loop(call(script(text, *arguments, folder=tmp_path)))
    assert json.loads((tmp_path / "seen.json").read_text()) == list(arguments)


def test_tasks_share_the_folder_and_leave_nothing_else_there(on_loop: Runner, tmp_path: Path) -> None:
    on_loop(call(script("open('a.txt', 'w').write('from a')", folder=tmp_path)))
    on_loop(call(script("open('b.txt', 'w').write(open('a.txt').read())", folder=tmp_path)))
    assert (tmp_path / "b.txt").read_text() == "from a"
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "b.txt"]


def test_a_program_may_be_a_file_of_the_work_folder(on_loop: Runner, tmp_path: Path) -> None:
    program = tmp_path / "made by another task"
    program.write_text("#!/bin/sh\necho done > done.txt\n")
    program.chmod(0o755)
    on_loop(call(command("./made by another task", folder=tmp_path)))
    assert (tmp_path / "done.txt").exists()


def test_standard_input_is_empty_and_output_is_dropped(
    on_loop: Runner, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = "import sys; assert sys.stdin.read() == ''; print('x' * 1_000_000); print('y', file=sys.stderr)"
    on_loop(call(script(text, folder=tmp_path)))
    assert capfd.readouterr() == ("", "")


def test_a_failed_program_tells_its_exit_code_and_the_end_of_its_errors(on_loop: Runner, tmp_path: Path) -> None:
    text = "import sys; sys.stderr.write('first line' + 'x' * 100_000 + 'last line\\n'); sys.exit(7)"
    message = failure(on_loop, script(text, folder=tmp_path))
    assert f"program {sys.executable!r} exited with code 7: ...xxx" in message
    assert message.endswith("xlast line")
    assert len(message) < wfexecute.STDERR_BYTES_SHOWN + 200


def test_errors_that_are_no_text_are_shown_as_well_as_can_be(on_loop: Runner, tmp_path: Path) -> None:
    text = "import os, sys; os.write(2, bytes([255, 65, 0])); sys.exit(1)"
    assert "exited with code 1: \ufffdA" in failure(on_loop, script(text, folder=tmp_path))


def test_a_program_that_fails_silently_is_said_to(on_loop: Runner, tmp_path: Path) -> None:
    message = failure(on_loop, command("false", folder=tmp_path))
    assert message == "program 'false' exited with code 1 and printed no error"


def test_a_program_ended_by_a_signal_names_it(on_loop: Runner, tmp_path: Path) -> None:
    text = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert "was ended by SIGKILL" in failure(on_loop, script(text, folder=tmp_path))


def test_a_program_that_is_not_there_is_named_with_the_remedy(on_loop: Runner, tmp_path: Path) -> None:
    message = failure(on_loop, command("no-such-program", folder=tmp_path))
    assert "'no-such-program' was not found on PATH; install it, or replay the workflow instead" in message
    assert "was not found in the work folder" in failure(on_loop, command("./no-such-program", folder=tmp_path))


def test_a_recorded_shell_script_is_called_one(on_loop: Runner, tmp_path: Path) -> None:
    message = failure(on_loop, command("fastqc --quiet a.gz\n  fastqc --version", folder=tmp_path))
    assert "reads like a shell command; commands run without a shell" in message
    assert "reads like a shell command" in failure(on_loop, command("x y " * 10_000, folder=tmp_path))


def test_a_program_that_may_not_be_executed_is_named_with_the_remedy(on_loop: Runner, tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("no program")
    message = failure(on_loop, command("./plain.txt", folder=tmp_path))
    assert message == "program './plain.txt' could not be started: Permission denied; make it executable"


def test_a_null_character_in_an_argument_fails_the_task(on_loop: Runner, tmp_path: Path) -> None:
    message = failure(on_loop, command("true", "a\0b", folder=tmp_path))
    assert message == "program 'true' could not be started: a null character in its words"


def test_a_vanished_work_folder_fails_the_task(on_loop: Runner, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    function = command("true", folder=folder)
    folder.rmdir()
    assert f"could not be started: the work folder {folder} is gone" in failure(on_loop, function)


def test_a_workflow_runs_for_real(split_document: Document, tmp_path: Path) -> None:
    instance = read_wfformat(split_document)
    report = instance.graph().plan().run_sync(command_functions(instance, tmp_path))
    assert report.execution_state == "completed"
    assert sorted(os.listdir(tmp_path)) == ["join.txt", "left.txt", "make.txt", "right.txt"]


def test_a_failed_program_ends_the_others_of_its_run(split_document: Document, tmp_path: Path) -> None:
    _, left, right, _ = split_document["workflow"]["execution"]["tasks"]
    left["command"] = {"program": "sleep", "arguments": ["60"]}
    right["command"] = {"program": "false"}
    instance = read_wfformat(split_document)
    report = instance.graph().plan().run_sync(command_functions(instance, tmp_path))
    statuses = {record.task_name: record.status for record in report.task_statistics}
    assert statuses == {"make": "completed", "left": "cancelled", "right": "failed", "join": "skipped"}
    assert report.execution_duration < 30


def test_a_workflow_of_programs_that_are_not_there_fails_and_ends(tmp_path: Path) -> None:
    tasks = [f"t{i}" for i in range(8)]
    commands = dict.fromkeys(tasks, WfCommand("no-such-program"))
    instance = WfInstance(name="all", task_ids=tuple(tasks), dependencies={}, commands=commands)
    plan = instance.graph().plan()
    stopped = plan.run_sync(command_functions(instance, tmp_path))
    assert stopped.execution_state == "failed"
    continued = plan.run_sync(command_functions(instance, tmp_path), failure_policy="continue")
    assert continued.failed_tasks == 8


def test_tasks_without_a_command_are_all_named_before_anything_runs(tmp_path: Path) -> None:
    tasks = tuple(f"t{i}" for i in range(30))
    instance = WfInstance(
        name="some", task_ids=tasks, dependencies={}, commands={"t3": WfCommand("true")}, path="flow.json"
    )
    with pytest.raises(FormatError) as caught:
        command_functions(instance, tmp_path)
    message = str(caught.value)
    assert message.startswith("flow.json: 29 of 30 tasks have no recorded command (t0, t1, t2, t4, ")
    assert message.endswith(" and 9 more); the workflow can only be replayed")


def test_the_work_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is no folder; commands need an existing one"):
        command("true", folder=tmp_path / "missing")


# Cancelling.  Each script opens a pipe with a name and says its process id there; the pipe ends when the
# script and all that it started are gone, so that nothing here has to wait for a time to pass.

START = """
import os, signal, sys

def ready():
    global pipe
    pipe = open("pipe", "w")
    print(os.getpid(), file=pipe, flush=True)
"""


async def cancel_when_ready(
    function: Callable[[], Awaitable[None]], folder: Path, *, times: int = 1, said_by_child: bool = False
) -> float:
    """Cancel a running task, check that none of its processes is left, and return how long that took."""
    os.mkfifo(folder / "pipe")
    task = asyncio.ensure_future(call(function))
    # Threads open and read the pipe, because both wait for the script.
    pipe: IO[str] = await asyncio.to_thread(open, folder / "pipe")
    with pipe:
        pid = int(await asyncio.to_thread(pipe.readline))
        begin = time.monotonic()
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        took = time.monotonic() - begin
        if not said_by_child:
            # A program is reaped here, its children by the system, so of those only the pipe can tell.
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
        assert await asyncio.to_thread(pipe.read) == ""
    return took


def test_a_cancelled_program_may_end_by_itself(on_loop: Runner, tmp_path: Path) -> None:
    text = """
def end(*_):
    open("ended", "w").close()
    sys.exit(0)

signal.signal(signal.SIGTERM, end)
ready()
signal.pause()
"""
    on_loop(cancel_when_ready(script(START + text, folder=tmp_path), tmp_path))
    assert (tmp_path / "ended").exists()


def test_a_cancelled_program_that_goes_on_is_killed_after_the_grace(on_loop: Runner, tmp_path: Path) -> None:
    text = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
ready()
signal.pause()
"""
    took = on_loop(cancel_when_ready(script(START + text, folder=tmp_path), tmp_path))
    assert wfexecute.GRACE_SECONDS <= took < wfexecute.GRACE_SECONDS + 1


def test_what_a_cancelled_program_started_ends_with_it(on_loop: Runner, tmp_path: Path) -> None:
    text = """
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready()
    while True:
        signal.pause()
while True:
    signal.pause()
"""
    on_loop(cancel_when_ready(script(START + text, folder=tmp_path), tmp_path, said_by_child=True))


def test_cancelling_again_ends_the_grace(on_loop: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wfexecute, "GRACE_SECONDS", 50.0)
    text = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
ready()
signal.pause()
"""
    took = on_loop(cancel_when_ready(script(START + text, folder=tmp_path), tmp_path, times=4))
    assert took < 5


def test_a_program_that_leaves_a_child_behind_does_not_hold_its_task_up(on_loop: Runner, tmp_path: Path) -> None:
    text = """
if os.fork() == 0:
    ready()
    signal.pause()
"""
    os.mkfifo(tmp_path / "pipe")

    async def body() -> int:
        # The child keeps the error output open, which must not count as the program going on.
        await call(script(START + text, folder=tmp_path))
        with await asyncio.to_thread(open, tmp_path / "pipe") as pipe:
            return int(pipe.readline())

    os.kill(on_loop(body()), signal.SIGKILL)


def test_cancelling_while_the_program_starts_leaves_no_process(on_loop: Runner, tmp_path: Path) -> None:
    async def body() -> None:
        for turns in range(12):
            task = asyncio.ensure_future(call(command("sleep", "60", folder=tmp_path)))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    on_loop(body())
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
