"""Progress is shown from a timer, at most ten times a second, and cannot harm the run."""

import asyncio
import io
import logging

import pytest

from penstock import TaskGraph
from penstock.report.progress import ProgressLine, progress_line
from penstock.testing import clock

PLAN = TaskGraph.from_predecessors({"a": [], "b": ["a"], "c": ["b"], "d": []}).plan()


class Recorder:
    def __init__(self):
        self.updates, self.closed, self.times = [], [], []

    def update(self, counts):
        self.updates.append(counts)
        self.times.append(asyncio.get_running_loop().time())

    def close(self, report):
        self.closed.append(report)


def counts(**given):
    states = ("pending", "ready", "running", "completed", "failed", "cancelled", "skipped", "detached", "retrying")
    return dict.fromkeys(states, 0) | given


async def second(name):
    await asyncio.sleep(1.0)


def test_an_object_is_told_ten_times_a_second_and_at_the_end():
    recorder = Recorder()
    report = clock.run(PLAN.run(second, progress=recorder))
    assert recorder.closed == [report]
    assert len(recorder.updates) in (29, 30)
    gaps = [after - before for before, after in zip(recorder.times, recorder.times[1:], strict=False)]
    assert min(gaps) >= 0.0999
    assert all(sum(counts.values()) == 4 for counts in recorder.updates)
    assert recorder.updates[0] == counts(pending=2, running=2)
    assert recorder.updates[-1]["completed"] == 3


def test_a_short_run_is_only_told_about_at_the_end(on_loop):
    recorder = Recorder()
    on_loop(PLAN.run(str, progress=recorder))
    assert recorder.updates == []
    assert [report.execution_state for report in recorder.closed] == ["completed"]


@pytest.mark.parametrize("fails", ["update", "close"])
def test_a_failing_object_is_logged_and_ends_the_progress_not_the_run(fails, caplog):
    class Failing(Recorder):
        def update(self, counts):
            super().update(counts)
            if fails == "update":
                raise OSError("terminal gone")

        def close(self, report):
            super().close(report)
            raise OSError("terminal gone")

    recorder = Failing()
    report = clock.run(PLAN.run(second, progress=recorder))
    assert report.execution_state == "completed"
    assert [record.levelno for record in caplog.records if record.name == "penstock"] == [logging.ERROR]
    assert (len(recorder.updates) == 1) == (fails == "update")
    assert len(recorder.closed) == (fails == "close")


def test_the_end_is_told_after_a_failure_and_a_cancellation():
    recorder = Recorder()

    async def fails(name):
        raise ValueError("no")

    async def main():
        await PLAN.run(fails, progress=recorder)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(PLAN.run(second, progress=recorder), 0.5)

    clock.run(main())
    assert [report.execution_state for report in recorder.closed] == ["failed", "cancelled"]


def test_true_means_a_line_on_a_terminal_and_nothing_elsewhere(capsys):
    assert clock.run(PLAN.run(second, progress=True)).execution_state == "completed"
    assert capsys.readouterr() == ("", "")
    assert progress_line(4, io.StringIO()) is None
    closed = io.StringIO()
    closed.close()
    assert progress_line(4, closed) is None


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_line_rewrites_itself_and_is_gone_at_the_end(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    clock.run(PLAN.run(second, progress=True))
    lines = terminal.getvalue().split("\r\x1b[K")
    assert lines[0] == lines[-1] == ""
    assert lines[1].startswith("  0% 0/4 tasks, 2 running")
    assert any(line.startswith(" 50% 2/4 tasks, 1 running") for line in lines)
    assert "\n" not in terminal.getvalue()


def test_the_line_shows_failures_rate_and_share():
    now = [0.0]
    line = ProgressLine(2000, Terminal(), clock=lambda: now[0])
    now_counted = counts(running=3, completed=990, failed=5, skipped=5)
    assert line.text(now_counted) == " 50% 1,000/2,000 tasks, 3 running, 5 failed, 5 skipped"
    now[0] = 2.0
    assert line.text(now_counted).endswith(", 500/s")
    assert ProgressLine(0, Terminal()).text(counts()).startswith("100% 0/0 tasks")


def test_a_terminal_that_goes_away_does_not_end_the_run(monkeypatch):
    class Gone(Terminal):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Gone())
    assert clock.run(PLAN.run(second, progress=True)).execution_state == "completed"
