"""No memory, wherever it is needed: MemoryError or success, but never a crash, a hang or a broken state.

The trials are those of ``allocation_failures.py``, which tells how they are made and can be run by hand.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("allocation_failures.py")
#: Read, not imported: what it imports is not everywhere.
ENTRIES = re.findall(r'^    "(\w+)": ', SCRIPT.read_text(encoding="utf-8"), re.MULTILINE)

pytest.importorskip("_testcapi", reason="this build of Python has no _testcapi, which lets allocations fail")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each trial is a fork, which this system has not")


def trials(entry, which, count):
    command = [sys.executable, str(SCRIPT), entry, which, str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("entry", ENTRIES)
def test_forty_failures_spread_over_the_entry_point_leave_it_whole(entry):
    found = trials(entry, "some", 40)
    assert found["bad"] == []
    assert found["MemoryError"] > 3


@pytest.mark.stress
@pytest.mark.timeout(600)
@pytest.mark.parametrize("entry", ENTRIES)
def test_five_hundred_failures_at_each_entry_point_leave_it_whole(entry):
    found = trials(entry, "every", 500)
    assert found["bad"] == []
    assert found["MemoryError"] + found.get("success", 0) == 500
