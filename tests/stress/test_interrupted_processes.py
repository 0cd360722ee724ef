"""SIGINT at random instants after a run has begun: a quick exit, nothing left behind, and the partial report."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TRIALS = int(os.environ.get("PENSTOCK_TRIALS", "200"))

#: Seconds from the signal to the end of the process.
MOST = 2.0

pytestmark = [
    pytest.mark.stress,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send to another process"),
]

GRAPH = """
import asyncio, penstock

async def body():
    await asyncio.sleep(0.01)

graph = penstock.TaskGraph()
for number in range(2000):
    graph.add_task(number, body, depends_on=[number - 10] if number >= 10 else [])


def first():
    print("begun", flush=True)

graph.add_task("first", first)
"""


def interrupted(command, at, folder):
    """Start it, wait until its run has begun, interrupt it a moment later; return how it ended and how soon."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, start_new_session=True
    )
    line = process.stdout.readline()
    assert line == "begun\n", line + process.stderr.read()
    time.sleep(at)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    took = time.monotonic() - began
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # no process of its group is left
    return process.returncode, out, err, took


@pytest.mark.parametrize("kind", ["loop", "threads", "plain"])
def test_a_script_ends_and_has_its_last_report(kind, tmp_path):
    rng = random.Random(kind)
    longest = 0.0
    for _ in range(TRIALS // 2):
        command = [sys.executable, "-X", "dev", str(HERE / "interrupted_script.py"), kind]
        code, out, err, took = interrupted(command, rng.random() * 0.4, tmp_path)
        assert (code, err) == (130, "")
        found = json.loads(out)
        assert found["state"] == "cancelled"
        assert (sum(found["counts"]), found["threads"]) == (2_000, [])
        longest = max(longest, took)
    print(f"{kind}: the longest of {TRIALS // 2} took {longest:.2f} s")
    assert longest < MOST


def test_the_command_ends_and_writes_the_partial_report(tmp_path):
    rng = random.Random(0)
    (tmp_path / "flow.py").write_text(GRAPH)
    longest = 0.0
    for number in range(TRIALS):
        name = f"{number}.json"
        command = [sys.executable, "-m", "penstock", "run", "flow.py", "--json", name]
        code, _, err, took = interrupted(command, rng.random() * 0.4, tmp_path)
        assert code == 130, err
        document = json.loads((tmp_path / name).read_text())
        assert document["execution_state"] == "cancelled"
        longest = max(longest, took)
        (tmp_path / name).unlink()
    assert list(tmp_path.glob("*.json")) == []
    print(f"the longest of {TRIALS} took {longest:.2f} s")
    assert longest < MOST
