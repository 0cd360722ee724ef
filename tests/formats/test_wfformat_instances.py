"""The real WfFormat instances agree with their index and with their files, and run in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from penstock import TaskGraph
from penstock.formats.wfformat import edges_from_files, read_wfformat
from penstock.formats.wfreplay import replay_functions


def test_the_collection_is_whole(wfinstances: Path) -> None:
    assert len(list(wfinstances.rglob("*.json"))) == 21


def test_an_instance_has_the_numbers_of_the_index(listed_instance: Any) -> None:
    instance = read_wfformat(listed_instance.path)
    graph = instance.graph()
    plan = graph.plan()
    assert len(graph) == plan.total_tasks == listed_instance.tasks
    assert graph.n_dependencies == listed_instance.edges
    assert plan.depth == len(plan.stages) == listed_instance.levels
    assert plan.width == listed_instance.max_width
    assert len(instance.file_sizes) == listed_instance.files
    assert set(instance.runtimes) == set(instance.commands) == set(graph.names)


def test_the_dependencies_that_files_imply_are_the_declared_ones(listed_instance: Any) -> None:
    instance = read_wfformat(listed_instance.path)
    declared = {(parent, task) for task, parents in instance.dependencies.items() for parent in parents}
    assert edges_from_files(instance) == declared


def test_a_graph_made_from_the_file_is_the_instances(listed_instance: Any) -> None:
    graph = TaskGraph.from_wfformat(listed_instance.path)
    expected = read_wfformat(listed_instance.path).dependencies
    assert {task: set(graph.dependencies_of(task)) for task in graph} == {
        task: set(parents) for task, parents in expected.items()
    }


def test_every_task_of_a_replay_starts_after_the_end_of_its_parents(listed_instance: Any) -> None:
    instance = read_wfformat(listed_instance.path)
    report = instance.graph().plan().run_sync(replay_functions(instance, 0))
    assert report.execution_state == "completed"
    records = {record["task_name"]: record for record in report.to_dict()["task_statistics"]}
    assert set(records) == set(instance.task_ids)
    assert {record["status"] for record in records.values()} == {"completed"}
    late = [
        (parent, task)
        for task, parents in instance.dependencies.items()
        for parent in parents
        if records[task]["start_time"] < records[parent]["end_time"]
    ]
    assert late == []
