"""Small WfFormat documents in each of the shapes in use; every fixture gives a fresh one to change."""

from __future__ import annotations

import copy
from typing import Any

import pytest

Document = dict[str, Any]

#: A diamond: make reads seed.txt, left and right read its output, join reads theirs.
_SPLIT: Document = {
    "name": "diamond",
    "description": "A fork and a join",
    "createdAt": "2024-02-01T10:00:00+00:00",
    "schemaVersion": "1.5",
    "author": {"name": "The Penstock developers", "email": "nobody@example.org"},
    "workflow": {
        "specification": {
            "tasks": [
                {
                    "id": task,
                    "name": name,
                    "parents": parents,
                    "children": children,
                    "inputFiles": inputs,
                    "outputFiles": [f"{task}.txt"],
                }
                for task, name, parents, children, inputs in (
                    ("make", "make", [], ["left", "right"], ["seed.txt"]),
                    ("left", "work", ["make"], ["join"], ["make.txt"]),
                    ("right", "work", ["make"], ["join"], ["make.txt"]),
                    ("join", "join", ["left", "right"], [], ["left.txt", "right.txt"]),
                )
            ],
            "files": [
                {"id": f"{name}.txt", "sizeInBytes": size}
                for name, size in (("seed", 0), ("make", 10), ("left", 20), ("right", 30), ("join", 40))
            ],
        },
        "execution": {
            "makespanInSeconds": 7.5,
            "executedAt": "2024-02-01T10:00:00+00:00",
            "tasks": [
                {
                    "id": task,
                    "runtimeInSeconds": seconds,
                    "command": {"program": "touch", "arguments": [f"{task}.txt"]},
                    "machines": ["node"],
                }
                for task, seconds in (("make", 1.0), ("left", 2.0), ("right", 4), ("join", 0.5))
            ],
            "machines": [{"nodeName": "node", "cpu": {"coreCount": 4}}],
        },
    },
}


def _linked(inputs: list[str], output: str) -> list[Document]:
    files = [{"link": "input", "name": name, "size": 10} for name in inputs]
    return [*files, {"link": "output", "name": output, "size": 20}]


_FLAT: Document = {
    "name": "diamond",
    "schemaVersion": "1.4",
    "workflow": {
        "makespanInSeconds": 7.5,
        "tasks": [
            {
                "name": task,
                "id": f"ID{index}",
                "type": "compute",
                "category": category,
                "parents": parents,
                "children": children,
                "files": _linked(inputs, f"{task}.txt"),
                "runtimeInSeconds": seconds,
                "command": {"program": "touch", "arguments": [f"{task}.txt"]},
            }
            for index, (task, category, parents, children, inputs, seconds) in enumerate(
                (
                    ("make", "make", [], ["left", "right"], ["seed.txt"], 1.0),
                    ("left", "work", ["make"], ["join"], ["make.txt"], 2.0),
                    ("right", "work", ["make"], ["join"], ["make.txt"], 4.0),
                    ("join", "join", ["left", "right"], [], ["left.txt", "right.txt"], 0.5),
                )
            )
        ],
        "machines": [{"nodeName": "node"}],
    },
}


@pytest.fixture
def split_document() -> Document:
    """The shape of WfFormat 1.5 and 1.6, with specification and execution apart."""
    return copy.deepcopy(_SPLIT)


@pytest.fixture
def flat_document() -> Document:
    """The shape of WfFormat 1.3 and 1.4: one list of tasks which refer to each other by name."""
    return copy.deepcopy(_FLAT)
