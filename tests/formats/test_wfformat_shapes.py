"""WfFormat is read by its structure: the shapes of 1.3 to 1.6, and what may be left out of each."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from penstock.formats.wfformat import WfCommand, WfInstance, edges_from_files, read_wfformat

Document = dict[str, Any]

DIAMOND = {"make": (), "left": ("make",), "right": ("make",), "join": ("left", "right")}
FLAT_DIAMOND = {"ID0": (), "ID1": ("ID0",), "ID2": ("ID0",), "ID3": ("ID1", "ID2")}


def tasks_of(document: Document) -> list[Document]:
    workflow = document["workflow"]
    found: list[Document] = workflow.get("specification", workflow)["tasks"]
    return found


def test_shape_of_1_5_gives_tasks_dependencies_files_and_execution(split_document: Document) -> None:
    instance = read_wfformat(split_document)
    assert instance.name == "diamond"
    assert instance.task_ids == ("make", "left", "right", "join")
    assert instance.dependencies == DIAMOND
    assert instance.runtimes == {"make": 1.0, "left": 2.0, "right": 4.0, "join": 0.5}
    assert instance.commands["left"] == WfCommand("touch", ("left.txt",))
    assert instance.inputs["join"] == ("left.txt", "right.txt")
    assert instance.outputs["join"] == ("join.txt",)
    assert instance.file_sizes["right.txt"] == 30
    assert instance.task_names["left"] == "work"
    assert instance.document is split_document
    assert instance.path is None


@pytest.mark.parametrize("version", ["1.3", "1.5", "1.6", "7", None, 1.5])
def test_version_string_decides_nothing(split_document: Document, version: object) -> None:
    split_document["schemaVersion"] = version
    assert read_wfformat(split_document).dependencies == DIAMOND


def test_shape_of_1_4_gives_the_same_with_references_by_name(flat_document: Document) -> None:
    instance = read_wfformat(flat_document)
    assert instance.dependencies == FLAT_DIAMOND
    assert instance.runtimes == {"ID0": 1.0, "ID1": 2.0, "ID2": 4.0, "ID3": 0.5}
    assert instance.commands["ID3"] == WfCommand("touch", ("join.txt",))
    assert instance.inputs["ID3"] == ("left.txt", "right.txt")
    assert instance.outputs["ID0"] == ("make.txt",)
    assert instance.file_sizes["join.txt"] == 20
    assert instance.task_names["ID1"] == "left"
    assert instance.categories["ID1"] == "work"


def test_shape_of_1_3_has_names_alone_and_older_words(flat_document: Document) -> None:
    workflow = flat_document["workflow"]
    workflow["jobs"] = workflow.pop("tasks")
    for task in workflow["jobs"]:
        del task["id"], task["children"]
        task["runtime"] = task.pop("runtimeInSeconds")
    instance = read_wfformat(flat_document)
    assert instance.dependencies == DIAMOND
    assert instance.runtimes["right"] == 4.0


def test_a_file_and_its_parsed_document_read_alike(split_document: Document, tmp_path: Path) -> None:
    path = tmp_path / "some.workflow.json"
    path.write_text(json.dumps(split_document), encoding="utf-8")
    parsed = read_wfformat(split_document)
    for source in (path, str(path), os.fsencode(path)):
        instance = read_wfformat(source)  # type: ignore[arg-type]
        assert instance.path == str(path)
        assert instance.dependencies == parsed.dependencies
        assert instance.document == split_document


def test_a_byte_order_mark_is_accepted(split_document: Document, tmp_path: Path) -> None:
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(split_document), encoding="utf-8-sig")
    assert read_wfformat(path).dependencies == DIAMOND


def test_a_document_without_a_name_is_called_after_its_file(split_document: Document, tmp_path: Path) -> None:
    del split_document["name"]
    path = tmp_path / "montage.json"
    path.write_text(json.dumps(split_document), encoding="utf-8")
    assert read_wfformat(path).name == "montage"
    assert read_wfformat(split_document).name == "workflow"


@pytest.mark.parametrize("missing", ["parents", "children"])
@pytest.mark.parametrize("null", [False, True])
def test_one_end_of_the_dependencies_is_enough(split_document: Document, missing: str, null: bool) -> None:
    for task in tasks_of(split_document):
        task[missing] = None
        if not null:
            del task[missing]
    assert read_wfformat(split_document).dependencies == DIAMOND


def test_each_task_may_give_another_end(split_document: Document) -> None:
    make, left, right, join = tasks_of(split_document)
    del make["parents"], left["parents"], right["children"], join["parents"]
    assert read_wfformat(split_document).dependencies["left"] == ("make",)
    assert set(read_wfformat(split_document).dependencies["join"]) == {"left"}


def test_ends_that_differ_are_both_dependencies(split_document: Document) -> None:
    make, _, right, join = tasks_of(split_document)
    make["children"] = ["left", "right", "join"]
    right["parents"] = []
    join["parents"] = ["left"]
    dependencies = read_wfformat(split_document).dependencies
    assert dependencies["right"] == ("make",)
    assert set(dependencies["join"]) == {"left", "right", "make"}


def test_without_parents_and_children_the_files_decide(split_document: Document, flat_document: Document) -> None:
    for document, expected in ((split_document, DIAMOND), (flat_document, FLAT_DIAMOND)):
        for task in tasks_of(document):
            del task["parents"], task["children"]
        assert read_wfformat(document).dependencies == expected


def test_empty_lists_of_parents_say_that_there_are_none(split_document: Document) -> None:
    for task in tasks_of(split_document):
        task["parents"] = []
        del task["children"]
    assert not any(read_wfformat(split_document).dependencies.values())


def test_a_reference_by_a_name_that_one_task_has_means_that_task(split_document: Document) -> None:
    tasks = tasks_of(split_document)
    tasks[0]["name"] = "the first"
    tasks[1]["parents"] = ["the first"]
    assert read_wfformat(split_document).dependencies == DIAMOND


def test_an_id_goes_before_another_tasks_name(split_document: Document) -> None:
    tasks = tasks_of(split_document)
    tasks[3]["name"] = "make"
    assert read_wfformat(split_document).dependencies == DIAMOND


def test_a_workflow_without_execution_has_no_runtimes_and_commands(split_document: Document) -> None:
    del split_document["workflow"]["execution"]
    instance = read_wfformat(split_document)
    assert instance.runtimes == {}
    assert instance.commands == {}


def test_measurements_may_be_missing_null_or_of_other_tasks(split_document: Document) -> None:
    make, left, right, _ = split_document["workflow"]["execution"]["tasks"]
    del make["runtimeInSeconds"], make["command"]
    left.update(runtimeInSeconds=None, command=None)
    right["id"] = "a transfer that is not in the specification"
    instance = read_wfformat(split_document)
    assert instance.runtimes == {"join": 0.5}
    assert set(instance.commands) == {"join"}


def test_of_several_measurements_of_a_task_the_last_counts(split_document: Document) -> None:
    measured = split_document["workflow"]["execution"]["tasks"]
    measured.append({"id": "make", "runtimeInSeconds": 9})
    assert read_wfformat(split_document).runtimes["make"] == 9.0


def test_an_argument_stays_one_item_as_recorded(split_document: Document) -> None:
    command = split_document["workflow"]["execution"]["tasks"][0]["command"]
    command["arguments"] = ["--percent-cpu 0.6", 'a "b" c', 5, 0.5, ""]
    assert read_wfformat(split_document).commands["make"].arguments == (
        "--percent-cpu 0.6",
        'a "b" c',
        "5",
        "0.5",
        "",
    )


def test_a_command_may_be_one_text(split_document: Document) -> None:
    measured = split_document["workflow"]["execution"]["tasks"]
    measured[0]["command"] = "make-it"
    measured[1]["command"] = {"program": "work", "arguments": "one text"}
    commands = read_wfformat(split_document).commands
    assert commands["make"] == WfCommand("make-it")
    assert commands["left"] == WfCommand("work", ("one text",))


def test_numbers_as_ids_become_text(split_document: Document) -> None:
    tasks = tasks_of(split_document)
    for task in tasks:
        del task["children"]
    tasks[0]["id"] = 1
    tasks[1]["parents"] = tasks[2]["parents"] = [1]
    assert read_wfformat(split_document).dependencies["left"] == ("1",)


def test_a_file_that_a_task_reads_and_writes_implies_no_dependency_on_itself() -> None:
    instance = WfInstance(
        name="in place",
        task_ids=("write", "sort", "read"),
        dependencies={},
        inputs={"sort": ("table",), "read": ("table",)},
        outputs={"write": ("table",), "sort": ("table",)},
    )
    assert edges_from_files(instance) == {("write", "sort"), ("write", "read"), ("sort", "read")}


def test_no_tasks_make_an_empty_workflow() -> None:
    instance = read_wfformat({"workflow": {"tasks": []}})
    assert instance.task_ids == ()
    assert instance.dependencies == {}
