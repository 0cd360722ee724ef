"""Check this installation and print what it consists of."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import re
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata

from penstock.cli.console import escaped, say
from penstock.cli.jsonfile import STDOUT, check_writable, write_json

__all__ = ["configure", "main"]

HEALTHY, BROKEN = 0, 1


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; ``state`` is ok, info (nothing depends on it), warning or broken."""

    name: str
    state: str
    value: str
    remedy: str | None = None


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--json",
        metavar="FILE",
        nargs="?",
        const=STDOUT,
        help="write the findings to this file as JSON, by default to standard output",
    )


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    check_writable(options.json)
    findings = list(_findings())
    broken = any(finding.state == "broken" for finding in findings)
    if options.json is not None:
        document = {"healthy": not broken, "findings": [asdict(finding) for finding in findings]}
        write_json(options.json, [json.dumps(document, indent=1), "\n"])
    if options.json != STDOUT:
        for finding in findings:
            say(_line(finding))
        say("Something essential is broken." if broken else "Everything essential is in order.")
    return BROKEN if broken else HEALTHY


def _line(finding: Finding) -> str:
    mark = {"ok": "ok", "info": "-"}.get(finding.state, finding.state.upper())
    text = f"{mark:8} {finding.name:20} {escaped(finding.value)}"
    return f"{text}; {finding.remedy}" if finding.remedy else text


def _findings() -> Iterator[Finding]:
    for check in _CHECKS:
        try:
            yield from check()
        except Exception as error:
            # Whatever is broken must not keep the rest from being looked at.
            what = f"{type(error).__name__}: {error}"
            yield Finding(check.__name__.strip("_"), "broken", what, "install penstock again")


def _about() -> Iterator[Finding]:
    import penstock

    yield Finding("penstock", "ok", f"{penstock.__version__} in {os.path.dirname(penstock.__file__)}")
    python = f"{platform.python_implementation()} {platform.python_version()}"
    yield Finding("Python", "ok", f"{python}, {sys.executable}")
    yield Finding("platform", "ok", platform.platform())
    yield Finding("cores", "ok", f"{_usable_cores()} usable of {os.cpu_count()}")
    compiler = _compiler()
    if compiler is None:
        yield Finding("C compiler", "info", "none found; needed only to build penstock from its sources")
    else:
        yield Finding("C compiler", "info", compiler)


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _compiler() -> str | None:
    configured = shlex.split(str(sysconfig.get_config_var("CC") or ""))
    for name in (*configured[:1], "cc", "gcc", "clang"):
        if found := shutil.which(name):
            return found
    return None


def _core() -> Iterator[Finding]:
    from penstock import _core
    from penstock._core import plan

    mode = "checked build: every event is verified, which is slow" if _core.CHECKED else "release build"
    yield Finding("compiled core", "ok", f"{mode}, {plan.__file__}")


def _dependencies() -> Iterator[Finding]:
    for name, missing in (
        ("networkx", "broken"),  # validates every graph
        ("uvloop", "info" if sys.platform == "win32" else "warning"),  # asyncio's own loop serves as well
        ("cloudpickle", "warning"),
    ):
        try:
            importlib.import_module(name)
        except Exception as error:
            yield Finding(name, missing, f"{type(error).__name__}: {error}", f"pip install {name}")
        else:
            yield Finding(name, "ok", _version(name) or "of unknown version")


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _run() -> Iterator[Finding]:
    from penstock.graph import TaskGraph

    graph = TaskGraph.from_predecessors({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]})
    report = graph.plan().run_sync(str.upper)
    if dict(report.results) == {"a": "A", "b": "B", "c": "C", "d": "D"}:
        yield Finding("test run", "ok", "four tasks planned and run")
    else:
        yield Finding("test run", "broken", report.summary(), "please report this as a bug")


def _backend() -> Iterator[Finding]:
    name = "networkx backend"
    networkx = importlib.import_module("networkx")
    if "penstock" in networkx.config.backends:
        yield Finding(name, "ok", "networkx lists penstock")
    else:
        yield Finding(name, "broken", "networkx does not list penstock", "install penstock again with pip")


def _extras() -> Iterator[Finding]:
    """Say of each extra whether what it brings is there; the list is the package's own metadata."""
    try:
        about = metadata.metadata("penstock")
    except metadata.PackageNotFoundError:
        yield Finding("extras", "warning", "unknown, penstock is not installed", "install it with pip")
        return
    requirements = metadata.requires("penstock") or []
    for extra in about.get_all("Provides-Extra") or []:
        names = [_name_of(text) for text in requirements if _is_of_extra(text, extra)]
        missing = [name for name in names if _version(name) is None]
        if missing:
            remedy = f"pip install 'penstock[{extra}]'"
            yield Finding(f"extra {extra}", "info", f"not installed: {', '.join(missing)}", remedy)
        else:
            yield Finding(f"extra {extra}", "ok", "installed")


def _is_of_extra(requirement: str, extra: str) -> bool:
    marker = requirement.partition(";")[2].replace('"', "'").replace(" ", "")
    return f"extra=='{extra}'" in marker


def _name_of(requirement: str) -> str:
    """Return the distribution's name, which stands first in a requirement."""
    found = re.match(r"[\w.-]+", requirement)
    return found[0] if found else requirement


_CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (_about, _core, _dependencies, _run, _backend, _extras)
