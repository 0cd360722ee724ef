"""Whether a report can be written is found out before anything runs, and leaves no trace."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path

import pytest

MARKED = "import penstock\nfrom pathlib import Path\ngraph = penstock.TaskGraph()\n" + (
    "graph.add_task('a', lambda: Path('it ran').touch())\n"
)


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere/report.json", "nowhere; create it, or give another file"),
        ("sub", "is a folder; give a file in it"),
        ("flow.py", "is the graph itself and would be overwritten; give another file"),
        ("link.py", "is the graph itself and would be overwritten; give another file"),
        ("flow.py/report.json", "cannot be written: Not a directory; give another file"),
        ("x" * 300, "cannot be written: File name too long; give another file"),
        ("reports/", "there is no such folder; give a file"),
        ("", "this is no name of a file"),
        ("a\0b", "this is no name of a file"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_anything_runs(cli, flow, folder, command, path, message):
    source = flow(MARKED).read_text()
    (folder / "sub").mkdir()
    (folder / "link.py").symlink_to("flow.py")
    before = listing(folder)
    for target in ("flow.py", "flow.py:graph"):
        code, out, err = cli(command, target, "--json", path)
        assert (code, out) == (2, "")
        assert err.startswith("penstock: error: --json ")
        assert message in err
    assert listing(folder) == before
    assert (folder / "flow.py").read_text() == source


def test_a_report_replaces_the_one_before_and_leaves_nothing_else(cli, flow, folder):
    flow(MARKED)
    (folder / "report.json").write_text("old")
    assert cli("run", "flow.py", "--json", "report.json").code == 0
    assert json.loads((folder / "report.json").read_text())["execution_state"] == "completed"
    assert listing(folder) == ["flow.py", "it ran", "report.json"]


def test_a_name_as_long_as_names_can_be_is_fine(cli, flow, folder):
    flow(MARKED)
    name = "r" * 250 + ".json"
    assert cli("run", "flow.py", "--json", name).code == 0
    assert (folder / name).is_file()


def test_a_link_is_written_through(cli, flow, folder):
    flow(MARKED)
    (folder / "sub").mkdir()
    (folder / "link.json").symlink_to("sub/report.json")
    assert cli("run", "flow.py", "--json", "link.json").code == 0
    assert (folder / "link.json").is_symlink()
    assert json.loads((folder / "sub" / "report.json").read_text())["successful_tasks"] == 1


def test_a_file_that_may_not_be_written_is_refused(cli, flow, folder, monkeypatch):
    flow(MARKED)
    (folder / "report.json").write_text("old")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write every file
    err = cli("run", "flow.py", "--json", "report.json").err
    assert "is not writable; give another file, or change its permissions" in err
    assert listing(folder) == ["flow.py", "report.json"]


def test_a_folder_that_takes_no_new_file_is_refused(cli, flow, folder, monkeypatch):
    def denied(*ignored: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    flow(MARKED)
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", denied)  # root may write everywhere
    err = cli("run", "flow.py", "--json", "report.json").err
    assert f"cannot be written in {folder}: Permission denied; give another file" in err
    assert listing(folder) == ["flow.py"]


def test_a_pipe_or_device_is_written_to_and_not_replaced(cli, flow, folder):
    flow(MARKED)
    assert cli("run", "flow.py", "--json", os.devnull).code == 0
    assert not Path(os.devnull).is_file()


def test_a_report_that_cannot_be_written_after_all_gives_exit_code_2_and_the_summary(cli, flow, folder):
    flow("import penstock, shutil\ngraph = penstock.TaskGraph()\ngraph.add_task('a', lambda: shutil.rmtree('sub'))\n")
    (folder / "sub").mkdir()
    code, out, err = cli("run", "flow.py", "--json", "sub/report.json")
    assert code == 2
    assert out.startswith("Run completed")
    assert err.startswith("penstock: error: --json sub/report.json could not be written: No such file")
