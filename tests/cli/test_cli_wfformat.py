"""WfFormat files are replayed in scaled time, or their recorded commands are run for real."""

from __future__ import annotations

import json
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from penstock.testing.clock import VirtualClockLoop


def document(tasks: dict[str, list[str]], seconds: dict[str, float], commands: dict[str, list[str]]) -> str:
    specification = [{"id": task, "name": task, "parents": parents, "children": []} for task, parents in tasks.items()]
    execution = [
        {"id": task}
        | ({"runtimeInSeconds": seconds[task]} if task in seconds else {})
        | ({"command": {"program": commands[task][0], "arguments": commands[task][1:]}} if task in commands else {})
        for task in tasks
    ]
    workflow = {"specification": {"tasks": specification}, "execution": {"tasks": execution}}
    return json.dumps({"name": "w", "schemaVersion": "1.5", "workflow": workflow})


CHAIN = {"a": [], "b": ["a"], "c": ["a"]}
SECONDS = {"a": 10.0, "b": 20.0, "c": 5.0}


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """The only place where temporary folders are made."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    return scratch


@pytest.fixture
def virtual_clock(monkeypatch):
    """Sleeping takes no time; gives the list of the loops' clocks at their ends."""
    times: list[float] = []

    class Loop(VirtualClockLoop):
        def close(self) -> None:
            times.append(self.time())
            super().close()

    monkeypatch.setattr("penstock.execution.loop_factory", lambda: Loop)
    return times


def test_a_real_instance_runs_and_every_task_starts_after_those_it_depends_on(cli, listed_instance, tmp_path):
    file = tmp_path / "report.json"
    code, out, err = cli("run", listed_instance.path, "--time-scale", "0", "--json", file)
    assert (code, err) == (0, "")
    assert out.startswith(f"Run completed: {listed_instance.tasks:,} completed of {listed_instance.tasks:,} ")
    assert f" in {listed_instance.levels:,} stages" in out
    records = {record["task_name"]: record for record in json.loads(file.read_text())["task_statistics"]}
    assert len(records) == listed_instance.tasks
    assert {record["status"] for record in records.values()} == {"completed"}
    n_edges = 0
    workflow = json.loads(listed_instance.path.read_text())["workflow"]
    for task in workflow["specification"]["tasks"]:
        for parent in set(task["parents"]):
            assert records[parent]["end_time"] <= records[task["id"]]["start_time"]
            n_edges += 1
    assert n_edges == listed_instance.edges


def test_a_real_instance_plans_with_the_numbers_of_its_collection(cli, listed_instance):
    code, out, err = cli("plan", listed_instance.path, "--json", "-")
    assert (code, err) == (0, "")
    plan = json.loads(out)
    assert (plan["total_tasks"], plan["n_dependencies"], plan["total_stages"], plan["width"]) == (
        listed_instance.tasks,
        listed_instance.edges,
        listed_instance.levels,
        listed_instance.max_width,
    )
    assert sum(len(stage["start_tasks"]) for stage in plan["stages"]) == listed_instance.tasks


def test_the_critical_path_of_a_replay_takes_three_seconds(cli, folder, virtual_clock):
    (folder / "w.json").write_text(document(CHAIN, SECONDS, {}))
    assert cli("run", "w.json").code == 0
    assert virtual_clock == [pytest.approx(3.0)]


@pytest.mark.parametrize(("scale", "seconds"), [("1", 30.0), ("0.5", 15.0), ("100", 3000.0), ("0", 0.0)])
def test_the_time_scale_stretches_the_recorded_times(cli, folder, virtual_clock, scale, seconds):
    (folder / "w.json").write_text(document(CHAIN, SECONDS, {}))
    assert cli("run", "w.json", "--time-scale", scale).code == 0
    assert virtual_clock == [pytest.approx(seconds)]


def test_tasks_without_recorded_times_take_none(cli, folder, virtual_clock):
    (folder / "w.json").write_text(document(CHAIN, {}, {}))
    assert cli("run", "w.json").code == 0
    assert virtual_clock == [0.0]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_recorded_commands_run_in_a_folder_of_their_own_that_is_gone_afterwards(cli, folder, scratch):
    look = (
        "import os, stat, sys\n"
        "mode = stat.S_IMODE(os.stat('.').st_mode)\n"
        "seen = f'{mode:o} {os.getcwd()} {os.listdir()} {sys.argv[1]}'\n"
        f"open({str(folder / 'seen')!r}, 'w').write(seen)"
    )
    commands = {
        "a": python("open('made', 'w').close()"),
        "b": [*python(look), "$HOME *"],
        "c": python("pass"),
    }
    (folder / "w.json").write_text(document(CHAIN, {}, commands))
    code, out, err = cli("run", "w.json", "--execute", "--max-concurrency", "1")
    assert (code, err) == (0, "")
    work = out.splitlines()[0].removeprefix("Commands work in ")
    assert Path(work).parent == scratch
    assert (folder / "seen").read_text() == f"700 {work} ['made'] $HOME *"
    assert list(scratch.iterdir()) == []
    assert cli("run", "w.json", "--execute", "--quiet") == (0, "", "")


def test_the_work_folder_is_kept_when_a_command_fails(cli, folder, scratch):
    commands = {"a": python("open('made', 'w').close()"), "b": python("exit(3)"), "c": python("pass")}
    (folder / "w.json").write_text(document(CHAIN, {}, commands))
    code, out, err = cli("run", "w.json", "--execute", "--failure-policy", "continue")
    assert code == 1
    assert "exited with code 3" in out
    (work,) = scratch.iterdir()
    assert err == f"penstock: the work folder {work} is kept\n"
    assert stat.S_IMODE(work.stat().st_mode) == 0o700
    assert [path.name for path in work.iterdir()] == ["made"]


def test_commands_that_cannot_be_run_leave_no_folder_behind(cli, folder, scratch):
    (folder / "w.json").write_text(document(CHAIN, {}, {"a": ["true"]}))
    code, out, err = cli("run", "w.json", "--execute")
    assert (code, out) == (2, "")
    assert "2 of 3 tasks have no recorded command (b, c); the workflow can only be replayed" in err
    assert list(scratch.iterdir()) == []
