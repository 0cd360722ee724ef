"""CPython's own tests of tasks, and of everything in asyncio that makes or cancels tasks, on penstock.Task.

Each module runs in a process of its own, because the class is replaced there for the whole of asyncio.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).with_name("run_cpython_tests.py")

#: Tests that may fail, by Python version and module, with the reason.  There are none at present.
EXPECTED_FAILURES: dict[tuple[int, int], dict[str, dict[str, str]]] = {
    (3, 11): {},
    (3, 12): {},
    (3, 13): {},
}

#: May fail on uvloop, with asyncio's own class just as with ours.
EXPECTED_ON_UVLOOP = {
    "test_timeouts": {"test_nested_timeouts": "two timers set for the same time may ring in different turns"},
}

#: How many cases of BaseTaskTests there were when this was written; a later release may have more.
TASK_CASES = {(3, 11): 106, (3, 12): 110, (3, 13): 114}

#: Written for any task class.
GENERIC = ["test_tasks"] + (["test_eager_task_factory"] if sys.version_info >= (3, 12) else [])

#: Run as they are, with asyncio.Task replaced.
PATCHED = ["test_taskgroups", "test_timeouts", "test_waitfor", "test_locks", "test_queues"]

#: Likewise, but on asyncio's own loop: they look at its transports and executor, or at the policy that makes it.
PATCHED_ON_ASYNCIO = ["test_streams", "test_runners"]


def _ships_tests() -> bool:
    try:
        return importlib.util.find_spec("test.test_asyncio.test_tasks") is not None
    except ModuleNotFoundError:
        return False


pytestmark = pytest.mark.skipif(
    not _ships_tests(), reason="this interpreter is installed without CPython's tests (test.test_asyncio)"
)


def run_module(name: str, loop: str = "asyncio") -> dict:
    # A folder of tests in the path would hide CPython's package `test`; so may a current directory.
    environment = {**os.environ, "PYTHONWARNINGS": "default", "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, str(_SCRIPT), name, loop],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        cwd=sysconfig.get_path("stdlib"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    for line in ("Task was destroyed but it is pending", "was never retrieved", "Fatal Python error"):
        assert line not in done.stderr, done.stderr
    return result


def assert_all_pass(name: str, result: dict, expected: dict[str, str] | None = None) -> None:
    if expected is None:
        expected = EXPECTED_FAILURES.get(sys.version_info[:2], {}).get(name, {})
    assert len(expected) <= 3
    assert result["ran"] > 0
    assert result["skipped"] <= 2
    unexpected = [test for test in result["bad"] if test not in expected]
    assert not unexpected, result["text"]


@pytest.fixture(scope="module")
def results() -> dict[tuple[str, str], dict]:
    """What came out of every module; most of them sleep most of the time, so three at once."""
    runs = [(name, "asyncio") for name in [*GENERIC, *PATCHED, *PATCHED_ON_ASYNCIO]]
    if importlib.util.find_spec("uvloop") is not None:
        runs += [(name, "uvloop") for name in PATCHED]
    with ThreadPoolExecutor(3) as pool:
        return dict(zip(runs, pool.map(lambda run: run_module(*run), runs), strict=True))


@pytest.mark.timeout(300)
def test_our_task_passes_the_tests_of_asyncio_task(results):
    result = results["test_tasks", "asyncio"]
    assert_all_pass("test_tasks", result)
    assert result["ran"] >= TASK_CASES.get(sys.version_info[:2], 114)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in Python 3.12")
@pytest.mark.timeout(300)
def test_our_task_passes_the_tests_of_the_eager_task_factory(results):
    result = results["test_eager_task_factory", "asyncio"]
    assert_all_pass("test_eager_task_factory", result)
    assert result["ran"] >= 10


@pytest.mark.parametrize("name", PATCHED + PATCHED_ON_ASYNCIO)
@pytest.mark.timeout(300)
def test_asyncio_works_on_our_tasks(name, results):
    assert_all_pass(name, results[name, "asyncio"])


@pytest.mark.parametrize("name", PATCHED)
@pytest.mark.timeout(300)
def test_asyncio_works_on_our_tasks_on_uvloop(name, results):
    pytest.importorskip("uvloop")
    assert_all_pass(name, results[name, "uvloop"], EXPECTED_ON_UVLOOP.get(name, {}))
