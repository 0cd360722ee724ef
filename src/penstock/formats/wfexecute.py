"""Running a workflow's recorded commands for real: programs and their arguments as lists, no shell.

Every command runs in one work folder, because tasks hand files to each other by name, and leads a process
group of its own, so that cancelling a task ends what its program started too.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import tempfile
from collections.abc import Awaitable, Callable
from typing import IO

from penstock.errors import FormatError, TaskError, shown_list
from penstock.formats.wfinstance import WfCommand, WfInstance

__all__ = ["GRACE_SECONDS", "STDERR_BYTES_SHOWN", "command_functions"]

#: How long a cancelled program may take to end by itself before it is killed.
GRACE_SECONDS = 0.5
#: How much of the end of a failed program's error output its exception quotes.
STDERR_BYTES_SHOWN = 2000


def command_functions(
    instance: WfInstance, work_dir: str | os.PathLike[str]
) -> dict[str, Callable[[], Awaitable[None]]]:
    """Return a coroutine function for every task, which runs the task's recorded program in the work folder.

    The program gets its arguments as recorded, one item each, an empty standard input and this process's
    environment. What it prints is dropped, but for the end of its error output, which the exception of a
    failed task quotes.  A cancelled task's program and its children are asked to end, and killed after
    `GRACE_SECONDS`.

    Parameters
    ----------
    instance
        The workflow.
    work_dir
        An existing folder that all tasks share.

    Raises
    ------
    FormatError
        Some tasks have no recorded command, or the folder does not exist.

    Notes
    -----
    Nothing here limits how many programs run at once; give the run a ``max_concurrency``.
    """
    folder = os.path.abspath(os.fspath(work_dir))
    if not os.path.isdir(folder):
        raise FormatError("is no folder; commands need an existing one to work in", folder)
    missing = [task for task in instance.task_ids if task not in instance.commands]
    if missing:
        tasks = f"{len(missing):,} of {len(instance.task_ids):,} tasks have no recorded command"
        message = f"{tasks} ({shown_list(missing)}); the workflow can only be replayed"
        raise FormatError(message, instance.path)
    return {task: _command(instance.commands[task], folder) for task in instance.task_ids}


def _command(command: WfCommand, folder: str) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await _run_command(command, folder)

    return run


async def _run_command(command: WfCommand, folder: str) -> None:
    if any("\0" in word for word in (command.program, *command.arguments)):
        # Checked here, because uvloop would cut the word off at the null character.
        raise TaskError(f"program {command.program!r:.200} could not be started: a null character in its words")
    # A file and not a pipe: a child that outlives the program would keep a pipe open, and with it the wait
    # for its end; and a program that prints much would stand still until somebody read it.
    with _error_output(command, folder) as stderr:
        process = await _start(command, folder, stderr)
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await _end(process)
            raise
        except BaseException:
            # The coroutine is closed and may not wait any more.
            _signal_group(process, kill=True)
            raise
        if code != 0:
            raise TaskError(_failure(command, code, _tail(stderr)))


def _error_output(command: WfCommand, folder: str) -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(dir=folder)
    except OSError as error:
        raise TaskError(_not_started(command, folder, error)) from error


async def _start(command: WfCommand, folder: str, stderr: IO[bytes]) -> asyncio.subprocess.Process:
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            command.program,
            *command.arguments,
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
    )
    await _until_started(starting)
    try:
        return starting.result()
    except OSError as error:
        raise TaskError(_not_started(command, folder, error)) from error


async def _until_started(starting: asyncio.Future[asyncio.subprocess.Process]) -> None:
    """Wait for a start; one that is cancelled meanwhile is finished, its process ended, and then cancelled.

    asyncio's own way out of a half-made process kills the program alone, and competes with its child watcher
    for the exit code.
    """
    cancelled: asyncio.CancelledError | None = None
    while not starting.done():
        try:
            await asyncio.wait((starting,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not starting.cancelled() and starting.exception() is None:
            await _end(starting.result())
        try:
            raise cancelled
        finally:
            cancelled = None  # The exception refers to this frame.


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a program and its process group, and wait until the program is gone, cancelled again or not."""
    if process.returncode is None:
        _signal_group(process, kill=False)
        # A second cancellation only shortens the grace; the first one is already on its way to the caller.
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(GRACE_SECONDS):
                await process.wait()
    _signal_group(process, kill=True)
    while process.returncode is None:
        with contextlib.suppress(asyncio.CancelledError):
            await process.wait()


def _signal_group(process: asyncio.subprocess.Process, *, kill: bool) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            # The program leads its session, so its id is the group's, even when the program itself is gone.
            os.killpg(process.pid, signal.SIGKILL if kill else signal.SIGTERM)
        elif kill:
            process.kill()
        else:
            process.terminate()


def _tail(stderr: IO[bytes]) -> str:
    """Return the last lines of what was written, as text."""
    size = stderr.seek(0, os.SEEK_END)
    stderr.seek(max(0, size - STDERR_BYTES_SHOWN))
    text = stderr.read(STDERR_BYTES_SHOWN).decode(errors="replace").strip()
    return f"...{text}" if size > STDERR_BYTES_SHOWN else text


def _failure(command: WfCommand, code: int, tail: str) -> str:
    if code < 0:
        how = f"was ended by {_signal_name(-code)}"
    else:
        how = f"exited with code {code}"
    return f"program {command.program!r:.200} {how}" + (f": {tail}" if tail else " and printed no error")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _not_started(command: WfCommand, folder: str, error: OSError) -> str:
    program = f"program {command.program!r:.200}"
    if not os.path.isdir(folder):
        return f"{program} could not be started: the work folder {folder} is gone"
    if len(command.program.split()) > 1:
        return f"{program} reads like a shell command; commands run without a shell, so replay this workflow"
    if isinstance(error, FileNotFoundError):
        where = "in the work folder" if os.sep in command.program else "on PATH"
        return f"{program} was not found {where}; install it, or replay the workflow instead"
    hint = "; make it executable" if error.errno == errno.EACCES else ""
    return f"{program} could not be started: {error.strerror or error}{hint}"
