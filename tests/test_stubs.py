"""The stubs say of the compiled modules what is there, and src is fully typed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import penstock._core

pytest.importorskip("mypy")

ROOT = Path(__file__).resolve().parents[1]
INSTALLED = Path(penstock._core.__file__).parent
CONFIGURATION = ROOT / "pyproject.toml"
ALLOWED = Path(__file__).with_name("stubtest_allowlist.txt")

pytestmark = pytest.mark.timeout(300)


def run(*arguments, folder):
    environment = os.environ | {"MYPYPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_every_compiled_module_has_a_stub():
    compiled = {path.name.split(".")[0] for suffix in ("*.so", "*.pyd") for path in INSTALLED.glob(suffix)}
    assert compiled == {path.stem for path in INSTALLED.glob("*.pyi")}
    assert {"graph", "plan", "ready", "run"} <= compiled


def test_the_stubs_agree_with_the_compiled_modules(tmp_path):
    modules = [f"penstock._core.{path.stem}" for path in INSTALLED.glob("*.pyi")]
    options = ["--allowlist", str(ALLOWED), "--ignore-unused-allowlist", "--mypy-config-file", str(CONFIGURATION)]
    ended = run("mypy.stubtest", *modules, *options, folder=tmp_path)
    assert ended.returncode == 0, ended.stdout


def test_the_sources_are_clean_under_mypy_strict(tmp_path):
    # The folder of results is written elsewhere, so that a checkout stays as it is.
    ended = run("mypy", "--config-file", str(CONFIGURATION), "--cache-dir", str(tmp_path), folder=ROOT)
    assert ended.returncode == 0, ended.stdout
