"""Runs of every outcome leave every reference count as it was, and nothing of ours to the collector."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).with_name("flat_references.py")


def what_grows(loop: str, runs: int) -> dict:
    pytest.importorskip(loop)
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(_SCRIPT), loop, str(runs)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_hundred_runs_of_each_outcome_leave_every_count_as_it_was(loop):
    assert what_grows(loop, 100) == {}


@pytest.mark.stress
@pytest.mark.timeout(700)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_thousand_runs_of_each_outcome_leave_every_count_as_it_was(loop):
    assert what_grows(loop, 1000) == {}
