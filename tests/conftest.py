"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import NamedTuple

import pytest

_WFINSTANCES = Path(
    os.environ.get("PENSTOCK_WFINSTANCES")
    or Path(__file__).resolve().parents[2] / "shared" / "data" / "wfinstances"
)
_NO_WFINSTANCES = (
    f"the WfFormat instances are not in {_WFINSTANCES}; PENSTOCK_WFINSTANCES can name another folder"
)


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


@pytest.fixture(
    params=_listed_instances() or [None], ids=lambda listed: listed.path.stem if listed else "missing"
)
def listed_instance(request: pytest.FixtureRequest) -> ListedInstance:
    """Each of the real WfFormat instances in turn."""
    if request.param is None:
        pytest.skip(_NO_WFINSTANCES)
    listed: ListedInstance = request.param
    return listed
