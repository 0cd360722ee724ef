"""Fixtures that more than one folder of tests uses.

A test that hangs is ended by pytest-timeout with a stack dump of every thread (see pyproject.toml).
"""

from __future__ import annotations

import asyncio
import csv
import logging
import os
import random
import re
import socket
import sys
import threading
import zlib
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

try:
    import uvloop
except ImportError:  # not on Windows
    uvloop = None

_WFINSTANCES = Path(
    os.environ.get("PENSTOCK_WFINSTANCES") or Path(__file__).resolve().parents[2] / "shared" / "data" / "wfinstances"
)
_NO_WFINSTANCES = f"the WfFormat instances are not in {_WFINSTANCES}; PENSTOCK_WFINSTANCES can name another folder"


#: The only addresses that tests connect to.
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class ListedInstance(NamedTuple):
    """A real workflow and what the index of its collection says about it."""

    path: Path
    tasks: int
    edges: int
    levels: int
    max_width: int
    files: int


def _listed_instances() -> list[ListedInstance]:
    index = _WFINSTANCES / "INDEX.tsv"
    if not index.is_file():
        return []
    with index.open(encoding="utf-8", newline="") as file:
        return [
            ListedInstance(_WFINSTANCES / row["path"], *(int(row[key]) for key in ListedInstance._fields[1:]))
            for row in csv.DictReader(file, delimiter="\t")
        ]


@pytest.fixture(scope="session")
def wfinstances() -> Path:
    """The folder of real WfFormat instances with its INDEX.tsv; the data is not part of the project."""
    if not (_WFINSTANCES / "INDEX.tsv").is_file():
        pytest.skip(_NO_WFINSTANCES)
    return _WFINSTANCES


@pytest.fixture(params=_listed_instances() or [None], ids=lambda listed: listed.path.stem if listed else "missing")
def listed_instance(request: pytest.FixtureRequest) -> ListedInstance:
    """Each of the real WfFormat instances in turn."""
    if request.param is None:
        pytest.skip(_NO_WFINSTANCES)
    listed: ListedInstance = request.param
    return listed


# -- leaks ------------------------------------------------------------------------------------------------


def _children() -> set[int]:
    """Processes started by this one; none are seen where there is no Linux-like /proc."""
    found: set[int] = set()
    for listing in Path("/proc/self/task").glob("*/children"):
        try:
            found.update(map(int, listing.read_text().split()))
        except OSError:  # the thread ended
            continue
    return found


def _descriptors() -> dict[str, str]:
    """Open file descriptors and what they lead to, as far as the system tells."""
    found = {}
    for entry in Path("/proc/self/fd").glob("*"):
        try:
            found[entry.name] = os.readlink(entry)
        except OSError:  # the one that lists the folder
            continue
    return found


class _Errors(logging.Handler):
    """Collects what asyncio logs as an error: lost exceptions, tasks destroyed while pending."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture(autouse=True)
def asyncio_errors() -> Iterator[list[str]]:
    """Nothing may be logged by asyncio as an error; a test that provokes that empties this list."""
    handler = _Errors()
    logger = logging.getLogger("asyncio")
    logger.addHandler(handler)
    yield handler.messages
    logger.removeHandler(handler)
    assert not handler.messages


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Nothing in the tests may reach for another machine."""

    def guarded(connect: Any) -> Any:
        def checked(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in LOOPBACK:
                raise AssertionError(f"a test connects to {address}")
            return connect(self, address)

        return checked

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, guarded(getattr(socket.socket, name)))
        yield


@pytest.fixture(autouse=True)
def leak_guard() -> Iterator[None]:
    """A test must leave no thread, child process or open descriptor behind."""
    threads, children, descriptors = set(threading.enumerate()), _children(), _descriptors()
    yield
    for thread in set(threading.enumerate()) - threads:
        thread.join(2.0)
        assert not thread.is_alive(), f"{thread} was left behind"
    left = _children() - children
    assert not left, f"child processes were left behind: {left}"
    opened = dict(_descriptors().items() - descriptors.items())
    assert not opened, f"descriptors were left open: {opened}"


# -- event loops ------------------------------------------------------------------------------------------


def _eager_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    return loop


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
if uvloop is not None:
    LOOPS["uvloop"] = uvloop.new_event_loop
    # libuv opens a pipe for signals with its first loop and keeps it until the process ends.
    uvloop.new_event_loop().close()
if sys.version_info >= (3, 12):
    LOOPS["eager"] = _eager_loop


def run_on(factory: Callable[[], asyncio.AbstractEventLoop], main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on a loop of its own, which must have no task left at the end."""

    async def checked() -> Any:
        result = await main
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks were left behind: {left}"
        return result

    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(checked())


@pytest.fixture(params=dict.fromkeys((*LOOPS, "uvloop")))
def on_loop(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """``on_loop(coroutine)`` runs it, on every kind of event loop in turn."""
    if request.param not in LOOPS:
        pytest.skip(f"{request.param} is not installed")
    return lambda main: run_on(LOOPS[request.param], main)


@pytest.fixture
def on_asyncio() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """``on_asyncio(coroutine)`` runs it on asyncio's own loop; for what does not depend on the loop."""
    return lambda main: run_on(asyncio.new_event_loop, main)


# -- chance -----------------------------------------------------------------------------------------------


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers from a seed of the test's own, which is shown when the test fails.

    ``PENSTOCK_TEST_SEED`` replaces it.
    """
    text = os.environ.get("PENSTOCK_TEST_SEED")
    seed = int(text) if text else zlib.crc32(request.node.nodeid.encode())
    request.node.add_report_section("setup", "seed", f"PENSTOCK_TEST_SEED={seed}")
    return random.Random(seed)


# -- skips: welcome where something is missing, a hole where everything is installed -------------------------------

#: What a reason to skip says when no installation could help: it names the versions of Python that qualify.
_UNAVOIDABLE = re.compile(r"Python 3\.\d+")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-unexpected-skips",
        action="store_true",
        help="fail if a test is skipped for want of something that could be installed",
    )


class _SkipWatch:
    """Collects skips that should not be there and turns a green end red because of them."""

    def __init__(self) -> None:
        self.unexpected: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not _UNAVOIDABLE.search(reason):
            self.unexpected.append(f"{report.nodeid}: {reason}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.unexpected:
            terminalreporter.section("unexpected skips")
            for line in self.unexpected:
                terminalreporter.line(line)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unexpected and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--no-unexpected-skips"):
        config.pluginmanager.register(_SkipWatch(), "skip-watch")
