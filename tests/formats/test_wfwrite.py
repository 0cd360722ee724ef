"""A report is written as a WfFormat 1.5 execution: the same graph and the times measured."""

from __future__ import annotations

import json
import os
import stat
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from penstock import ExecutionReport, TaskGraph
from penstock.errors import FormatError
from penstock.formats.wfformat import read_wfformat
from penstock.formats.wfreplay import replay_functions
from penstock.formats.wfwrite import execution_document, write_execution

Document = dict[str, Any]

TASK_LISTS = {"parents", "children", "inputFiles", "outputFiles"}


def assert_is_wfformat_1_5(document: Document) -> None:
    """Check what version 1.5 demands, as all published instances have it."""
    assert document["schemaVersion"] == "1.5"
    for key in ("name", "description", "createdAt"):
        assert isinstance(document[key], str)
    assert set(document.get("author", {"name", "email"})) == {"name", "email"}
    specification, execution = document["workflow"]["specification"], document["workflow"]["execution"]
    ids = [task["id"] for task in specification["tasks"]]
    files = {file["id"] for file in specification["files"]}
    assert len(set(ids)) == len(ids)
    for task in specification["tasks"]:
        assert set(task) == {"id", "name"} | TASK_LISTS
        assert {*task["parents"], *task["children"]} <= set(ids)
        assert {*task["inputFiles"], *task["outputFiles"]} <= files
    for file in specification["files"]:
        assert set(file) == {"id", "sizeInBytes"}
        assert file["sizeInBytes"] >= 0
    assert execution["makespanInSeconds"] >= 0
    assert isinstance(execution["executedAt"], str)
    nodes = {machine["nodeName"] for machine in execution["machines"]}
    for task in execution["tasks"]:
        assert task["id"] in ids
        assert task["runtimeInSeconds"] >= 0
        assert set(task.get("machines", ())) <= nodes
        assert isinstance(task.get("command", {"program": ""})["program"], str)


def replayed(document: Document) -> ExecutionReport:
    instance = read_wfformat(document)
    return instance.graph().plan().run_sync(replay_functions(instance, 1e-4))


def durations(report: ExecutionReport) -> dict[Any, float]:
    return {record.task_name: record.duration for record in report.task_statistics}


def test_published_instances_pass_the_check_used_here(listed_instance: Any) -> None:
    assert_is_wfformat_1_5(json.loads(listed_instance.path.read_text(encoding="utf-8")))


def test_a_real_instance_keeps_its_specification_and_gets_measured_times(listed_instance: Any, tmp_path: Path) -> None:
    instance = read_wfformat(listed_instance.path)
    report = instance.graph().plan().run_sync(replay_functions(instance, 0))
    write_execution(report, tmp_path / "measured.json", instance)
    document = json.loads((tmp_path / "measured.json").read_text(encoding="utf-8"))
    assert_is_wfformat_1_5(document)
    assert document["workflow"]["specification"] == instance.document["workflow"]["specification"]
    measured = read_wfformat(tmp_path / "measured.json")
    assert measured.task_ids == instance.task_ids
    assert measured.dependencies == instance.dependencies
    assert measured.commands == instance.commands
    assert measured.runtimes == durations(report)


def test_the_execution_says_when_and_where(split_document: Document) -> None:
    report = replayed(split_document)
    document = execution_document(report, read_wfformat(split_document))
    execution = document["workflow"]["execution"]
    starts = [record.start_time for record in report.task_statistics]
    ends = [record.end_time for record in report.task_statistics]
    executed_at = datetime.fromisoformat(execution["executedAt"])
    assert executed_at.tzinfo is not None
    assert executed_at.timestamp() == pytest.approx(min(starts), abs=1e-5)  # type: ignore[type-var]
    assert execution["makespanInSeconds"] == pytest.approx(max(ends) - min(starts))  # type: ignore[type-var, operator]
    assert len(execution["machines"]) == 1
    assert execution["machines"][0]["cpu"]["coreCount"] == os.cpu_count()
    assert document["description"] == "A fork and a join"
    assert document["author"] == split_document["author"]
    assert datetime.fromisoformat(document["createdAt"]) >= executed_at


def test_an_older_or_lenient_document_is_written_in_the_strict_form(
    flat_document: Document, split_document: Document, tmp_path: Path
) -> None:
    split_document["author"] = {"name": "alone"}
    for task in split_document["workflow"]["specification"]["tasks"]:
        del task["children"], task["inputFiles"]
    del split_document["workflow"]["specification"]["files"]
    for document in (flat_document, split_document):
        instance, report = read_wfformat(document), replayed(document)
        write_execution(report, tmp_path / "measured.json", instance)
        assert_is_wfformat_1_5(json.loads((tmp_path / "measured.json").read_text(encoding="utf-8")))
        measured = read_wfformat(tmp_path / "measured.json")
        assert measured.dependencies == instance.dependencies
        assert measured.task_names == instance.task_names
        assert measured.inputs == instance.inputs
        assert measured.runtimes == durations(report)


def test_a_report_alone_is_described_by_its_names_and_dependencies(tmp_path: Path) -> None:
    graph = TaskGraph.from_predecessors({"a": [], "b": ["a"], 3: ["a", "b"], ("c", 1): [3]})
    report = graph.plan().run_sync(lambda name: None)
    write_execution(report, tmp_path / "run.json")
    assert_is_wfformat_1_5(json.loads((tmp_path / "run.json").read_text(encoding="utf-8")))
    measured = read_wfformat(tmp_path / "run.json")
    assert measured.dependencies == {"a": (), "b": ("a",), "3": ("a", "b"), "('c', 1)": ("3",)}
    assert list(measured.runtimes.values()) == list(durations(report).values())


def test_tasks_that_never_started_have_no_execution(tmp_path: Path) -> None:
    def body(name: str) -> None:
        if name == "b":
            raise ValueError("broken")

    graph = TaskGraph.from_predecessors({"a": [], "b": ["a"], "c": ["b"]})
    report = graph.plan().run_sync(body)
    write_execution(report, tmp_path / "run.json")
    measured = read_wfformat(tmp_path / "run.json")
    assert set(measured.runtimes) == {"a", "b"}
    assert measured.task_ids == ("a", "b", "c")


def test_a_run_of_nothing_can_be_written(tmp_path: Path) -> None:
    graph = TaskGraph()
    report = graph.plan().run_sync(lambda name: None)
    write_execution(report, tmp_path / "run.json")
    assert_is_wfformat_1_5(json.loads((tmp_path / "run.json").read_text(encoding="utf-8")))


def test_names_that_would_be_written_alike_are_refused() -> None:
    graph = TaskGraph.from_predecessors({1: [], "1": []})
    report = graph.plan().run_sync(lambda name: None)
    with pytest.raises(FormatError, match="tasks 1 and '1' would both be written as '1'; rename one of them"):
        execution_document(report)


def test_a_report_of_another_workflow_is_refused(split_document: Document) -> None:
    report = TaskGraph.from_predecessors({"x": []}).plan().run_sync(lambda name: None)
    with pytest.raises(FormatError, match="the report is of another workflow: task x is not in this one"):
        execution_document(report, read_wfformat(split_document))


def test_a_specification_that_is_no_json_is_refused_before_the_file_is_touched(
    split_document: Document, tmp_path: Path
) -> None:
    split_document["workflow"]["specification"]["files"][0]["checksum"] = float("nan")
    path = tmp_path / "run.json"
    path.write_text("before")
    with pytest.raises(FormatError, match="the specification cannot be written as JSON"):
        write_execution(replayed(split_document), path, read_wfformat(split_document))
    assert path.read_text() == "before"


@pytest.fixture
def short_report() -> ExecutionReport:
    return TaskGraph.from_predecessors({"a": []}).plan().run_sync(lambda name: None)


def test_an_existing_file_is_replaced_as_a_whole(short_report: ExecutionReport, tmp_path: Path) -> None:
    target = tmp_path / "run.json"
    target.write_text("x" * 100_000)
    link = tmp_path / "link.json"
    link.symlink_to(target)
    with target.open() as reader:
        write_execution(short_report, link)
        assert reader.read() == "x" * 100_000
    assert link.is_symlink()
    assert read_wfformat(target).task_ids == ("a",)
    assert sorted(os.listdir(tmp_path)) == ["link.json", "run.json"]


def test_a_new_file_has_the_usual_permissions(short_report: ExecutionReport, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_execution(short_report, tmp_path / "run.json")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "run.json")}
    assert len(modes) == 1


def test_a_path_that_cannot_be_written_is_named_and_leaves_nothing(
    short_report: ExecutionReport, tmp_path: Path
) -> None:
    for path in (tmp_path / "missing" / "run.json", tmp_path):
        with pytest.raises(OSError, match=str(path)) as caught:
            write_execution(short_report, path)
        assert caught.value.filename == str(path)
    assert os.listdir(tmp_path) == []


def test_a_failing_disk_leaves_what_was_there(
    short_report: ExecutionReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: str, target: str) -> None:
        raise OSError(28, "No space left on device", source)

    path = tmp_path / "run.json"
    path.write_text("before")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_execution(short_report, path)
    assert caught.value.filename == str(path)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["run.json"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX")
def test_a_device_is_written_to_and_not_replaced(short_report: ExecutionReport, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_execution(short_report, pipe)
        assert json.loads(os.read(reader, 1 << 16))["schemaVersion"] == "1.5"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
