"""`penstock doctor` says what the installation consists of and what is wrong with it."""

from __future__ import annotations

import importlib
import json
import platform
from importlib import metadata

import networkx
import pytest

import penstock
from penstock.cli import doctor


def findings(result) -> dict[str, dict[str, str]]:
    return {finding["name"]: finding for finding in json.loads(result.out)["findings"]}


@pytest.fixture
def unimportable(monkeypatch):
    """``unimportable(name)`` makes the import of one module fail inside the doctor."""

    def hide(hidden: str) -> None:
        def import_module(name: str, *package: str) -> object:
            if name == hidden:
                raise ImportError(f"No module named {name!r}")
            return importlib.__import__(name)

        monkeypatch.setattr(doctor.importlib, "import_module", import_module)

    return hide


def test_a_healthy_installation_is_told_line_by_line(cli):
    code, out, err = cli("doctor")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith(f"ok       penstock             {penstock.__version__} in ")
    assert f"CPython {platform.python_version()}" in lines[1]
    assert lines[-1] == "Everything essential is in order."
    assert "BROKEN" not in out
    assert f"networkx             {networkx.__version__}" in out
    assert "networkx lists penstock" in out


def test_the_findings_as_json(cli, folder):
    result = cli("doctor", "--json")
    assert result.code == 0
    assert json.loads(result.out)["healthy"] is True
    found = findings(result)
    mode = "checked build" if penstock._core.CHECKED else "release build"
    assert found["compiled core"]["value"].startswith(mode)
    assert cli("doctor", "--json", "-").out == result.out
    code, out, _ = cli("doctor", "--json", "findings.json")
    assert (code, out.splitlines()[-1]) == (0, "Everything essential is in order.")
    assert (folder / "findings.json").read_text() == result.out
    assert cli("doctor", "--json", "nowhere/findings.json").code == 2


def test_without_networkx_the_installation_is_broken(cli, unimportable):
    unimportable("networkx")
    result = cli("doctor", "--json")
    assert result.code == 1
    finding = findings(result)["networkx"]
    assert finding["state"] == "broken"
    assert finding["remedy"] == "pip install networkx"
    assert "BROKEN   networkx" in cli("doctor").out


@pytest.mark.parametrize("name", ["uvloop", "cloudpickle"])
def test_without_uvloop_or_cloudpickle_it_still_works(cli, unimportable, name):
    unimportable(name)
    result = cli("doctor", "--json")
    assert result.code == 0
    finding = findings(result)[name]
    assert (finding["state"], finding["remedy"]) == ("warning", f"pip install {name}")


def test_a_backend_that_networkx_does_not_list_is_an_error(cli, monkeypatch):
    backends = {name: value for name, value in networkx.config.backends.items() if name != "penstock"}
    monkeypatch.setattr(networkx, "config", type("Config", (), {"backends": backends}))
    result = cli("doctor", "--json")
    assert result.code == 1
    assert findings(result)["networkx backend"]["state"] == "broken"


def test_whatever_breaks_does_not_keep_the_rest_from_being_looked_at(cli, monkeypatch):
    def run_sync(*ignored: object) -> None:
        raise OSError("no event loop")

    monkeypatch.setattr(penstock.ExecutionPlan, "run_sync", run_sync)
    result = cli("doctor", "--json")
    assert result.code == 1
    found = findings(result)
    assert found["run"]["value"] == "OSError: no event loop"
    assert found["networkx backend"]["state"] == "ok"


def test_an_extra_that_is_not_installed_comes_with_the_command_that_installs_it(cli, monkeypatch):
    requirements = ["networkx>=3.4", 'no-such-thing>=1; extra == "bench"', 'pytest>=8; extra == "test"']
    monkeypatch.setattr(metadata, "requires", lambda name: requirements)
    found = findings(cli("doctor", "--json"))
    assert found["extra bench"]["value"] == "not installed: no-such-thing"
    assert found["extra bench"]["remedy"] == "pip install 'penstock[bench]'"
    assert found["extra test"]["state"] == "ok"


def test_a_missing_compiler_is_no_illness(cli, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    result = cli("doctor", "--json")
    assert result.code == 0
    assert findings(result)["C compiler"]["value"].startswith("none found")
