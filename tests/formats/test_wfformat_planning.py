"""What is wrong with a workflow's graph is reported by planning, all at once; no document does worse."""

from __future__ import annotations

import copy
from collections import Counter
from random import Random
from typing import Any

import pytest

from penstock.errors import (
    CycleError,
    DuplicateTaskError,
    GraphError,
    UnknownDependencyError,
)
from penstock.formats.wfformat import read_wfformat

Document = dict[str, Any]


def problems_of(document: Document) -> tuple[GraphError, ...]:
    with pytest.raises(GraphError) as caught:
        read_wfformat(document).graph().plan()
    return caught.value.problems


def test_a_task_listed_twice_is_a_duplicate(split_document: Document) -> None:
    tasks = split_document["workflow"]["specification"]["tasks"]
    tasks.append(copy.deepcopy(tasks[1]))
    (problem,) = problems_of(split_document)
    assert isinstance(problem, DuplicateTaskError)
    assert problem.name == "left"


def test_an_unknown_parent_is_named_with_what_it_resembles(split_document: Document) -> None:
    split_document["workflow"]["specification"]["tasks"][3]["parents"] = ["left", "rihgt"]
    (problem,) = problems_of(split_document)
    assert isinstance(problem, UnknownDependencyError)
    assert (problem.name, problem.missing, problem.close_matches) == ("join", "rihgt", ("right",))


def test_a_task_that_is_its_own_parent_is_a_cycle(split_document: Document) -> None:
    split_document["workflow"]["specification"]["tasks"][1]["parents"].append("left")
    (problem,) = problems_of(split_document)
    assert isinstance(problem, CycleError)
    assert problem.cycle == ("left", "left")


def test_every_problem_of_a_workflow_is_reported_at_once(flat_document: Document) -> None:
    make, left, _, join = flat_document["workflow"]["tasks"]
    flat_document["workflow"]["tasks"].append({"id": "ID3", "name": "again"})
    make["parents"] = ["join"]
    left["parents"].append("nobody")
    problems = problems_of(flat_document)
    assert [type(problem) for problem in problems] == [DuplicateTaskError, UnknownDependencyError, CycleError]
    assert join["id"] == problems[0].name  # type: ignore[attr-defined]


# A short way to many bad documents: change a good one anywhere, to anything.

VALUES: list[Any] = [None, True, 0, -1, 1.5, float("nan"), float("inf"), 10**400, b"x", object()]
VALUES += ["", "make", "\ud800", "\0", [], [None], [[]], [{}], ["make"], ["make", "make"]]
VALUES += [{}, {"id": "make"}, {"tasks": []}, {"": {"": []}}]


def places_of(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value inside another."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in inner for place in ((*here, key), *places_of(item, (*here, key)))]


def mutate(document: Document, random: Random) -> None:
    *outer, key = random.choice(places_of(document))
    owner: Any = document
    for step in outer:
        owner = owner[step]
    change = random.randrange(4)
    if change == 0:
        del owner[key]
    elif change == 1:
        owner[key] = copy.deepcopy(random.choice(VALUES))
    elif change == 2:
        owner[key] = str(owner[key]) if random.random() < 0.5 else [owner[key]]
    elif isinstance(owner, list):
        owner.append(copy.deepcopy(owner[key]))
    else:
        owner[random.choice(["id", "name", "parents", "children", "files", "tasks", "runtime"])] = owner.pop(key)


def test_no_change_of_a_document_does_worse_than_a_graph_error(
    split_document: Document, flat_document: Document
) -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(500):
        random = Random(seed)
        document = copy.deepcopy(split_document if seed % 2 else flat_document)
        for _ in range(random.randint(1, 3)):
            if places_of(document):
                mutate(document, random)
        try:
            read_wfformat(document).graph().plan()
            outcomes["planned"] += 1
        except GraphError as error:
            outcomes[type(error).__name__] += 1
        except Exception as error:
            raise AssertionError(f"document of seed {seed}: {document}") from error
    # Each way out was taken, so the changes were neither too tame nor too wild.
    assert {"planned", "FormatError", "UnknownDependencyError", "DuplicateTaskError"} <= set(outcomes)
