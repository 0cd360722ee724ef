"""networkx's own tests pass when its functions are dispatched to the backend."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from xml.etree import ElementTree

import pytest

import nx_penstock

MODULES = ["networkx.algorithms.tests.test_dag", "networkx.algorithms.tests.test_cycles"]

#: Tests that cannot pass, each with the reason; networkx's own expected failures are not ours to list.
EXPECTED_FAILURES: dict[str, str] = {}

#: Counts the calls that reach the backend, so that a suite which never does cannot pass unnoticed.
_COUNTING_PLUGIN = """
import collections, functools, json, os
import nx_penstock

calls = collections.Counter()

def counted(name, function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        calls[name] += 1
        return function(*args, **kwargs)
    return call

def pytest_sessionstart(session):
    import penstock.formats.nx_backend as backend
    for name in nx_penstock.get_info()["functions"]:
        setattr(backend, name, counted(name, getattr(backend, name)))

def pytest_sessionfinish(session):
    with open(os.environ["COUNTED_CALLS"], "w", encoding="utf-8") as file:
        json.dump(calls, file)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_networkx_tests_of_dags_and_cycles_pass_through_the_backend(tmp_path):
    for needed in ("numpy", "scipy"):
        pytest.importorskip(needed, reason=f"networkx's tests of a backend need {needed}")
    (tmp_path / "counting_plugin.py").write_text(_COUNTING_PLUGIN, encoding="utf-8")
    # It runs in a folder of its own, where this project's pytest settings do not apply.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("NETWORKX_", "PYTEST_"))}
    environment |= {
        "NETWORKX_TEST_BACKEND": "penstock",
        "NETWORKX_FALLBACK_TO_NX": "True",
        "COUNTED_CALLS": str(tmp_path / "calls.json"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")])),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    command += ["-p", "counting_plugin", "--junitxml=report.xml", "--pyargs", *MODULES]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-5000:]

    suite = ElementTree.parse(tmp_path / "report.xml").getroot()[0]
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    skipped = {case.get("name") for case in suite.iter("testcase") if case.find("skipped") is not None}
    assert skipped == set(EXPECTED_FAILURES)
    assert len(EXPECTED_FAILURES) <= 3
    assert int(suite.get("tests", "0")) >= 120
    reached = json.loads((tmp_path / "calls.json").read_text(encoding="utf-8"))
    assert set(reached) == set(nx_penstock.get_info()["functions"])
