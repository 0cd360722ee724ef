"""What is wrong with a WfFormat document is a FormatError that names the file, the place and the remedy."""

from __future__ import annotations

import json
import math
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import FormatError
from penstock.formats import wfformat
from penstock.formats.wfformat import read_wfformat

Document = dict[str, Any]


def refused(source: Any) -> str:
    with pytest.raises(FormatError) as caught:
        read_wfformat(source)
    error = caught.value
    assert error.problems == (error,)
    assert error.path == (None if isinstance(source, dict) else os.fspath(source))
    if error.path:
        assert str(error).startswith(f"{error.path}: ")
    return str(error)


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "workflow.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "no such file; check the spelling" in refused(tmp_path / "missing.json")


def test_a_folder_is_named(tmp_path: Path) -> None:
    assert "is a folder; give the WfFormat file in it" in refused(tmp_path)


def test_a_file_below_a_file_gives_the_systems_reason(tmp_path: Path) -> None:
    assert "cannot be read: Not a directory" in refused(written(tmp_path, "{}") / "x.json")


def test_a_file_without_permission_gives_the_systems_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The superuser may read everything, so the refusal is played.
    def refuse(*args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    assert "cannot be read: Permission denied" in refused(tmp_path / "secret.json")


@pytest.mark.parametrize("content", ["", " \n\t", "\ufeff"])
def test_an_empty_file_is_called_empty(tmp_path: Path, content: str) -> None:
    assert "is empty; a WfFormat document is a JSON object" in refused(written(tmp_path, content))


def test_broken_json_is_located_by_line_and_column(tmp_path: Path) -> None:
    message = refused(written(tmp_path, '{\n  "workflow": {,}\n}'))
    assert "is not JSON: " in message
    assert "at line 2, column 16" in message


def test_half_a_file_is_not_json(tmp_path: Path, split_document: Document) -> None:
    whole = json.dumps(split_document)
    assert "is not JSON: " in refused(written(tmp_path, whole[: len(whole) // 2]))


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_constants_that_json_lacks_are_refused(tmp_path: Path, constant: str) -> None:
    message = refused(written(tmp_path, f'{{"workflow": {{"tasks": [], "x": {constant}}}}}'))
    assert f"{constant} is not a JSON value; leave the member out" in message


def test_a_number_of_too_many_digits_is_refused(tmp_path: Path) -> None:
    assert "is not readable JSON: " in refused(written(tmp_path, '{"workflow": ' + "9" * 5000 + "}"))


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_deep_nesting_is_refused(tmp_path: Path, brackets: str) -> None:
    opening = brackets[0] if brackets == "[]" else '{"a":'
    content = opening * 200_000 + "1" + brackets[1] * 200_000
    assert "is nested too deeply" in refused(written(tmp_path, content))


def test_text_in_another_encoding_is_located(tmp_path: Path) -> None:
    message = refused(written(tmp_path, '{\n"name": "caf\u00e9"}'.encode("latin-1")))
    assert "is not UTF-8 text (byte 14, line 2)" in message


@pytest.mark.parametrize("content", [b"\x7fELF\0\0\0", '{"workflow": {}}'.encode("utf-16")])
def test_a_binary_file_is_called_one(tmp_path: Path, content: bytes) -> None:
    assert "is a binary file" in refused(written(tmp_path, content))


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="this system has no /dev/zero")
def test_an_endless_device_ends_soon() -> None:
    assert "is a binary file" in refused("/dev/zero")


def test_a_huge_file_is_refused_before_it_fills_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wfformat, "MAX_DOCUMENT_BYTES", 100_000)
    assert "is larger than 100,000 bytes" in refused(written(tmp_path, b" " * 100_001))
    assert "is empty" in refused(written(tmp_path, b" " * 100_000))


def test_reading_takes_no_more_memory_than_the_file_needs(tmp_path: Path, split_document: Document) -> None:
    path = written(tmp_path, json.dumps(split_document))
    tracemalloc.start()
    try:
        read_wfformat(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize("source", [None, 0, ["workflow.json"], "a\0b"])
def test_what_is_no_path_is_refused(source: Any) -> None:
    with pytest.raises(FormatError):
        read_wfformat(source)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[]", "holds a list; a WfFormat document is a JSON object with a 'workflow' member"),
        ("3", "holds a number; "),
        ("null", "holds null; "),
        ('"workflow"', "holds the text 'workflow'; "),
        ("{}", "has no 'workflow' member; "),
        ('{"nodes": [], "links": []}', "has no 'workflow' member; "),
        ('{"workflow": []}', "has a list as 'workflow'; "),
        ('{"workflow": {}}', "has no list of tasks; it is looked for in workflow.specification.tasks"),
        ('{"workflow": {"specification": {}}}', "has no list of tasks; "),
        (
            '{"workflow": {"specification": []}}',
            "workflow.specification is a list; an object is expected there",
        ),
        ('{"workflow": {"tasks": {}}}', "workflow.tasks is an object; a list is expected there"),
        ('{"workflow": {"tasks": "all"}}', "workflow.tasks is the text 'all'; a list is expected there"),
        ('{"workflow": {"tasks": [[]]}}', "workflow.tasks[0] is a list; an object is expected there"),
        ('{"workflow": {"tasks": [{}]}}', "tasks[0] has neither an id nor a name; give every task an id"),
        ('{"workflow": {"tasks": [{"id": ""}]}}', "workflow.tasks[0] has neither an id nor a name"),
        ('{"workflow": {"tasks": [{"id": true}]}}', "workflow.tasks[0].id is true; a text is expected there"),
        ('{"workflow": {"tasks": [{"id": "\\ud800"}]}}', "tasks[0].id is '\\ud800', which is not valid"),
    ],
)
def test_json_of_another_kind_is_named(tmp_path: Path, content: str, expected: str) -> None:
    assert expected in refused(written(tmp_path, content))


TASKS, FILES, RUNS = "specification.tasks", "specification.files", "execution.tasks"


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (f"{TASKS}.1.parents", "make", "tasks[1].parents is the text 'make'"),
        (f"{TASKS}.1.parents", [["make"]], "tasks[1].parents[0] is a list"),
        (f"{TASKS}.1.parents", [None], "tasks[1].parents[0] is null"),
        (f"{TASKS}.1.children", ["jion"], "children of task 'left': 'jion' is not a task of this workflow"),
        (f"{TASKS}.1.children", ["jion"], "did you mean join?"),
        (f"{TASKS}.3.parents", ["work"], "'work' is the name of 2 tasks (left, right); refer to one by its"),
        (f"{TASKS}.0.inputFiles", [{}], "tasks[0].inputFiles[0] is an object"),
        (f"{TASKS}.0.files", [{"id": "f"}], "tasks[0].files[0].link is null; it must say 'input' or"),
        (f"{TASKS}.0.files", [{"id": "f", "link": [1]}], "tasks[0].files[0].link is a list"),
        (f"{TASKS}.0.name", {}, "tasks[0].name is an object"),
        (f"{TASKS}.0.category", [], "tasks[0].category is a list"),
        (FILES, {}, "workflow.specification.files is an object; a list is expected there"),
        (f"{FILES}.0", {}, "workflow.specification.files[0] has neither an id nor a name"),
        (f"{FILES}.0.sizeInBytes", -1, "sizeInBytes of file 'seed.txt' is -1; bytes are a finite number"),
        ("execution", [], "workflow.execution is a list; an object is expected there"),
        (RUNS, {}, "workflow.execution.tasks is an object; a list is expected there"),
        (f"{RUNS}.1", "left", "workflow.execution.tasks[1] is the text 'left'"),
        (f"{RUNS}.1", {}, "workflow.execution.tasks[1] has no id; give it the id of the task"),
        (f"{RUNS}.1.runtimeInSeconds", -0.5, "of task 'left' is -0.5; seconds are a finite number"),
        (f"{RUNS}.1.runtimeInSeconds", math.nan, "of task 'left' is nan; "),
        (f"{RUNS}.1.runtimeInSeconds", math.inf, "of task 'left' is inf; "),
        (f"{RUNS}.1.runtimeInSeconds", 10**400, "of task 'left' is a huge number; "),
        (f"{RUNS}.1.runtimeInSeconds", "2 s", "of task 'left' is the text '2 s'; a number of seconds"),
        (f"{RUNS}.1.runtimeInSeconds", True, "of task 'left' is true; a number of seconds"),
        (f"{RUNS}.1.command", [], "tasks[1].command is a list; an object is expected there"),
        (f"{RUNS}.1.command.program", [], "tasks[1].command.program is a list"),
        (f"{RUNS}.1.command.arguments", {}, "tasks[1].command.arguments is an object"),
        (f"{RUNS}.1.command.arguments", [None], "tasks[1].command.arguments[0] is null; a text is expected"),
    ],
)
def test_a_wrong_value_is_named_by_its_place(split_document: Document, path: str, value: object, expected: str) -> None:
    *parents, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    place: Any = split_document["workflow"]
    for key in parents:
        place = place[key]
    place[last] = value
    assert expected in refused(split_document)
