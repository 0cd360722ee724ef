"""The report: true times, one record per task in order, and JSON that is whole or not there."""

import dataclasses
import json
import math
import os
import stat
import threading
import time

import pytest

from penstock import Skip, TaskExecutionStatistics, TaskGraph
from penstock.testing import shapes

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


def plan_of(mapping):
    return TaskGraph.from_predecessors(mapping).plan()


def busy(seconds):
    """Use the processor, since nothing here may sleep."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@pytest.fixture(scope="module")
def failed():
    """A report with every kind of record."""

    def body(name):
        if name == "b":
            raise ValueError("no b")
        return name

    mapping = {("x", 1): [], "z": [], "b": ["z"], "a": ["b"], 5: ["a", "z"], "e": ["z"]}
    return plan_of(mapping).run_sync(body, failure_policy="continue")


def test_records_are_in_the_order_the_tasks_were_added(failed):
    names = [record.task_name for record in failed.task_statistics]
    assert names == [("x", 1), "z", "b", "a", 5, "e"]
    assert [record.status for record in failed.task_statistics] == [
        "completed", "completed", "failed", "skipped", "skipped", "completed",
    ]  # fmt: skip
    assert [record.stage_id for record in failed.task_statistics] == [0, 0, 1, 2, 3, 1]
    assert failed.completion_order == [("x", 1), "z", "b", "a", 5, "e"]


def test_records_are_made_when_looked_at(failed):
    records = failed.task_statistics
    assert len(records) == failed.total_tasks == 6
    assert records[-1].task_name == "e"
    assert [record.task_name for record in records[1:3]] == ["z", "b"]
    assert records[0] is not records[0]
    assert records[0] == records[0]
    assert isinstance(records[0], TaskExecutionStatistics)
    with pytest.raises(dataclasses.FrozenInstanceError):
        records[0].status = "failed"
    with pytest.raises(IndexError):
        records[6]
    assert failed.record_of("b") == records[2]
    with pytest.raises(KeyError):
        failed.record_of("nobody")


def test_counts_sum_to_the_number_of_tasks(failed):
    counted = (
        failed.successful_tasks, failed.failed_tasks, failed.cancelled_tasks, failed.skipped_tasks,
    )  # fmt: skip
    assert counted == (3, 1, 0, 2)
    assert sum(counted) == failed.total_tasks
    assert (failed.total_stages, failed.max_parallelism) == (4, 3)


def test_a_task_that_never_started_has_no_times_and_no_attempt(failed):
    record = failed.record_of("a")
    assert (record.start_time, record.end_time, record.duration, record.queued) == (None, None, 0.0, None)
    assert (record.attempt_count, record.attempt_statistics, record.retry) == (0, [], 0)


def test_a_task_that_ran_has_one_attempt_with_its_times(failed):
    for name, status, message in (("z", "completed", None), ("b", "failed", "no b")):
        record = failed.record_of(name)
        (attempt,) = record.attempt_statistics
        assert (attempt.attempt_number, attempt.max_retries, attempt.will_retry) == (1, 0, False)
        assert (attempt.status, attempt.error_message) == (status, message)
        assert (attempt.start_time, attempt.end_time) == (record.start_time, record.end_time)
        assert attempt.duration == record.duration
        assert record.attempt_count == 1


def test_times_are_those_of_the_bodies():
    seconds = {"a": 0.004, "b": 0.002, "c": 0.0, "d": 0.003}
    before = time.time()
    report = plan_of(DIAMOND).run_sync(lambda name: busy(seconds[name]))
    after = time.time()
    assert before - 0.01 <= report.total_start_time <= report.total_end_time <= after + 0.01
    seconds_between = report.total_end_time - report.total_start_time
    assert report.execution_duration == pytest.approx(seconds_between, abs=1e-5)
    assert report.total_duration == report.planning_duration + report.execution_duration
    for name, least in seconds.items():
        record = report.record_of(name)
        assert report.total_start_time <= record.start_time <= record.end_time <= report.total_end_time
        assert record.duration == pytest.approx(record.end_time - record.start_time, abs=1e-5)
        assert record.duration >= least
        assert record.queued >= 0.0
    # b waits for its turn behind nothing, c behind b.
    assert report.record_of("c").queued >= 0.002
    assert sum(record.duration for record in report.task_statistics) <= report.execution_duration + 1e-6
    # Compared with the records: on a busy machine any of the bodies may take the longest.
    durations = {record.task_name: record.duration for record in report.task_statistics}
    assert report.get_longest_task().duration == max(durations.values())
    assert report.get_average_task_duration() == pytest.approx(
        sum(record.duration for record in report.task_statistics) / 4
    )
    path, length = report.critical_path()
    assert path in (("a", "b", "d"), ("a", "c", "d"))
    assert length == pytest.approx(max(sum(durations[n] for n in way) for way in ("abd", "acd")))
    assert 0.009 <= length <= report.execution_duration


@pytest.mark.parametrize("shape", [shapes.chain, shapes.layered, shapes.fan_out_in])
def test_no_task_starts_before_the_end_of_any_of_its_dependencies(shape):
    mapping = shape(300)
    statistics = json.loads(plan_of(mapping).run_sync(str).to_json())["task_statistics"]
    records = {record["task_name"]: record for record in statistics}
    for name, listed in mapping.items():
        assert all(records[name]["start_time"] >= records[other]["end_time"] for other in listed)


def test_statistics_by_stage_are_those_of_the_plan(failed):
    found = [[record.task_name for record in failed.get_task_statistics_by_stage(s)] for s in range(4)]
    assert found == [[("x", 1), "z"], ["b", "e"], ["a"], [5]]
    assert failed.get_task_statistics_by_stage(4) == failed.get_task_statistics_by_stage(-1) == []


def test_an_empty_report_answers_every_question():
    report = TaskGraph().plan().run_sync()
    assert report.get_longest_task() is None
    assert report.get_average_task_duration() == 0.0
    assert report.critical_path() == ((), 0.0)
    assert (list(report.failures()), report.skipped_by_root(), report.completion_order) == ([], [], [])
    assert json.loads(report.to_json())["task_statistics"] == []
    assert report.summary().startswith("Run completed: 0 completed of 0 tasks in 0 stages")
    assert repr(report) == "<ExecutionReport: completed, 0 of 0 tasks>"


# -- JSON -------------------------------------------------------------------------------------------------


def test_json_is_the_dict_and_the_dict_is_plain(failed):
    found = json.loads(failed.to_json())
    assert found == failed.to_dict()
    assert found["execution_state"] == "failed"
    assert found["error_summary"] == ["Task 'b' failed during execution: no b"]
    assert found["critical_path"]["tasks"]
    assert "results" not in found
    assert "task_return_set" not in found
    assert not [text for text in _all_numbers(found) if math.isnan(text) or math.isinf(text)]


def _all_numbers(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in _all_numbers(item)]
    return [value] if isinstance(value, float) else []


def test_json_records_have_every_field_and_causes_where_there_are(failed):
    records = {str(record["task_name"]): record for record in failed.to_dict()["task_statistics"]}
    assert set(records) == {"('x', 1)", "z", "b", "a", "5", "e"}
    common = {
        "task_name", "stage_id", "start_time", "end_time", "duration", "status", "error_message",
        "queued", "retry", "attempt_count", "attempt_statistics",
    }  # fmt: skip
    assert all(common <= record.keys() for record in records.values())
    assert records["b"]["error_message"] == "no b"
    skipped = records["5"]
    assert (skipped["failed_dependencies"], skipped["root_cause"]) == (["a"], "b")
    assert skipped["path"] == ["b", "a", 5]
    assert not {"failed_dependencies", "root_cause", "path"} & records["z"].keys()


class Uncopyable:
    """A name that can be neither copied nor pickled."""

    def __reduce_ex__(self, protocol):
        raise TypeError("no copies")

    def __repr__(self):
        return "<uncopyable>"


def test_names_that_json_does_not_know_are_given_as_their_repr():
    names = [True, 2.5, None, (1, "a"), b"b", threading.Lock(), Uncopyable(), "\ud800", 2**70]
    report = plan_of({name: [] for name in names}).run_sync(lambda name: name)
    records = json.loads(report.to_json())["task_statistics"]
    assert [record["task_name"] for record in records] == [
        name if type(name) in (int, str) else repr(name) for name in names
    ]
    assert all(record["attempt_statistics"][0]["task_name"] == record["task_name"] for record in records)


def test_a_report_is_written_whole(failed, tmp_path):
    path = tmp_path / "report.json"
    assert failed.to_json(path) is None
    assert json.loads(path.read_text()) == failed.to_dict()
    failed.to_json(str(path))
    assert json.loads(path.read_text()) == failed.to_dict()
    assert os.listdir(tmp_path) == ["report.json"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_a_failing_write_leaves_the_old_file_and_nothing_else(failed, tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    path.write_text("before")

    def fail(*arguments):
        raise OSError("disk full")

    for target in ("os.replace", "penstock.report.export.record_dict"):
        with monkeypatch.context() as patch:
            patch.setattr(target, fail)
            with pytest.raises(OSError, match="disk full"):
                failed.to_json(path)
        assert path.read_text() == "before"
        assert os.listdir(tmp_path) == ["report.json"]


def test_a_report_is_written_through_a_link_and_keeps_the_files_mode(failed, tmp_path):
    target, link = tmp_path / "there" / "report.json", tmp_path / "link.json"
    target.parent.mkdir()
    target.write_text("before")
    target.chmod(0o640)
    link.symlink_to(target)
    failed.to_json(link)
    assert link.is_symlink()
    assert json.loads(target.read_text()) == failed.to_dict()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.parametrize("where", ["no/such/folder/report.json", "."])
def test_a_place_that_cannot_be_written_is_an_os_error(where, failed, tmp_path):
    with pytest.raises(OSError):  # noqa: PT011
        failed.to_json(tmp_path / where)
    assert os.listdir(tmp_path) == []


# -- text -------------------------------------------------------------------------------------------------


def test_the_summary_tells_state_counts_times_and_causes(failed):
    lines = failed.summary().splitlines()
    assert lines[0] == "Run failed: 3 completed, 1 failed, 2 skipped of 6 tasks in 4 stages"
    assert [line.split()[0] for line in lines[1:4]] == ["time", "work", "span"]
    assert "Failures" in lines
    assert "  b: ValueError: no b" in lines
    assert lines[-2:] == ["Skipped", "  2 because of b"]


def test_the_summary_of_many_failures_is_short():
    def body(name):
        raise ValueError("\x1b[31mred\nsecond line")

    report = plan_of({f"\x1b[2J{i}": [] for i in range(100)}).run_sync(body, failure_policy="continue")
    text = report.summary()
    assert len(text.splitlines()) < 25
    assert "... and 95 more" in text
    assert "\x1b" not in text
    assert "second line" not in text


def test_a_reports_repr_says_how_it_went(failed):
    assert repr(failed) == "<ExecutionReport: failed, 3 of 6 tasks>"


def test_a_body_that_says_skip_is_exported_with_its_reason():
    def body(name):
        if name == "b":
            raise Skip("nothing to do")

    report = plan_of({"a": [], "b": ["a"], "c": ["b"]}).run_sync(body)
    skipped, after = json.loads(report.to_json())["task_statistics"][1:]
    assert (skipped["status"], skipped["error_type"], skipped["error_message"]) == ("skipped", "Skip", "nothing to do")
    assert (after["status"], after["failed_dependencies"], after["path"]) == ("skipped", ["b"], ["b", "c"])
    assert report.to_dict()["execution_state"] == "completed"
