"""What every benchmark shares: the sizes asked for, a clean table before each turn, facts about the machine.

The garbage collector stays as it is in real life: on, with its default thresholds, and with the whole input
for it to walk through.
"""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SMOKE_SIZE = 1_000


def pytest_addoption(parser):
    parser.addoption(
        "--max-size",
        type=lambda text: int(float(text)),
        default=10**6,
        metavar="TASKS",
        help="leave out graphs of more tasks (default 1e6; the arrays go up to 1e7)",
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "size(tasks): how many tasks the graph has; see --max-size")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Drop what is too large, run the rest in the order written, and allow it more time than a test."""
    ours = [item for item in items if HERE in item.path.parents]
    kept = [item for item in ours if _size(item) <= largest(config)]
    # Shuffled (by pytest-randomly, say) each test would make its graph anew.
    kept.sort(key=lambda item: (item.path, item.location[1], _number(item)))
    for item in kept:
        item.add_marker(pytest.mark.timeout(1800))
    if len(kept) < len(ours):
        config.hook.pytest_deselected(items=[item for item in ours if item not in set(kept)])
    items[:] = [item for item in items if HERE not in item.path.parents] + kept


def largest(config) -> int:
    smoke = config.getoption("benchmark_disable") and not config.getoption("benchmark_enable")
    return min(SMOKE_SIZE, config.getoption("max_size")) if smoke else config.getoption("max_size")


def _size(item) -> int:
    marker = item.get_closest_marker("size")
    return marker.args[0] if marker else 0


def _number(item) -> tuple[int, ...]:
    callspec = getattr(item, "callspec", None)
    return tuple(callspec.indices.values()) if callspec else ()


@pytest.fixture(scope="session", autouse=True)
def only_the_input_to_collect():
    """Set pytest's own hundreds of thousands of objects aside, which the collector meets nowhere else."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def measure(benchmark):
    """Return ``measure(target, setup, rounds)``: rounds of ``target(*setup())``, and the last result.

    A round begins with the result and the garbage of the one before gone, outside the timed part; otherwise
    one round would pay for freeing the other, or run in a heap that is twice as full.
    """

    def run(target, setup, rounds):
        results = []

        def fresh():
            results.clear()
            arguments = setup()
            gc.collect()
            return arguments, {}

        def turn(*arguments):
            results.append(target(*arguments))

        benchmark.extra_info["gc"] = {"enabled": gc.isenabled(), "threshold": gc.get_threshold()}
        benchmark.pedantic(turn, setup=fresh, rounds=rounds, warmup_rounds=0)
        return results.pop()

    return run


def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info["usable_cpus"] = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    machine_info["load_average"] = os.getloadavg() if hasattr(os, "getloadavg") else None
    machine_info["libc"] = platform.libc_ver()
    machine_info["huge_pages"] = _read("/sys/kernel/mm/transparent_hugepage/enabled")
    machine_info["memory"] = _read("/proc/meminfo").partition("\n")[0]
    machine_info["compiler"] = _compiler()
    machine_info["versions"] = {name: _version(name) for name in ("penstock", "networkx", "rustworkx", "uvloop")}


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _compiler() -> str:
    try:
        shown = subprocess.run([os.environ.get("CC", "cc"), "--version"], capture_output=True, text=True)
    except OSError:
        return ""
    return shown.stdout.partition("\n")[0]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
