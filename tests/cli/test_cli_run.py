"""`penstock run` on Python files: which graph is taken, how it is run, what is printed and written."""

from __future__ import annotations

import json

import pytest

FAILING = """
import penstock

def broken():
    raise ValueError("no water")

graph = penstock.TaskGraph()
graph.add_task("source", lambda: None)
graph.add_task("broken", broken)
graph.add_task("after", lambda: None, depends_on=["broken"])
graph.add_task("beside", lambda: None, depends_on=["source"])
"""

HEAD = "import penstock\none = penstock.TaskGraph()\none.add_task('only', lambda: None)\n"


def states(folder) -> dict[str, str]:
    report = json.loads((folder / "report.json").read_text())
    return {record["task_name"]: record["status"] for record in report["task_statistics"]}


def test_a_completed_run_prints_a_summary_and_nothing_else(cli, flow):
    flow()
    code, out, err = cli("run", "flow.py")
    assert code == 0
    assert out.startswith("Run completed: 3 completed of 3 tasks in 3 stages\n")
    assert err == ""


def test_quiet_prints_nothing(cli, flow):
    flow()
    assert cli("run", "--quiet", "flow.py") == (0, "", "")


def test_the_report_goes_to_the_file_that_is_asked_for(cli, flow, folder):
    flow()
    assert cli("run", "flow.py", "--json", "report.json").code == 0
    report = json.loads((folder / "report.json").read_text())
    assert report["execution_state"] == "completed"
    assert [record["task_name"] for record in report["task_statistics"]] == ["a", "b", "c"]
    assert all(record["end_time"] >= record["start_time"] > 0 for record in report["task_statistics"])


def test_the_report_alone_goes_to_standard_output_for_a_dash(cli, flow):
    flow()
    code, out, err = cli("run", "flow.py", "--json", "-")
    assert (code, err) == (0, "")
    assert json.loads(out)["successful_tasks"] == 3


@pytest.mark.parametrize(
    "source",
    [
        "graph = one",
        "plan = one.plan()",
        "def main(arguments):\n    return one",
        "def main(arguments):\n    return one.plan()",
        "def main():\n    return one",
        "from functools import partial\nmain = partial(lambda graph, arguments: graph, one)",
        "graph = {}\nplan = None\nmain = lambda arguments: one",
        "import json as graph\nplan = one.plan()",
        "def graph(arguments):\n    return one",
        "graph = one\nplan = main = None",
    ],
)
def test_without_an_attribute_graph_is_taken_else_plan_else_main(cli, flow, source):
    flow(f"{HEAD}{source}\n")
    assert cli("run", "flow.py").out.startswith("Run completed: 1 completed of 1 tasks")


def test_graph_comes_before_plan_and_plan_before_main(cli, flow):
    text = f"{HEAD}empty = penstock.TaskGraph()\n"
    flow(f"{text}graph = one\nplan = empty.plan()\ndef main(a):\n    return empty\n", "first.py")
    flow(f"{text}plan = one.plan()\ndef main(a):\n    return empty\n", "second.py")
    assert "1 completed" in cli("run", "first.py").out
    assert "1 completed" in cli("run", "second.py").out


def test_an_attribute_is_named_after_the_last_colon(cli, flow):
    flow(f"{HEAD}class Holder:\n    inner = one\ngraph = None\n")
    for attribute in ("one", "Holder.inner"):
        assert cli("run", f"flow.py:{attribute}").out.startswith("Run completed: 1 completed")


def test_a_module_is_found_in_the_current_folder(cli, flow):
    flow("", "package/__init__.py")
    flow(f"{HEAD}from . import sibling\ngraph = one\n", "package/inner.py")
    flow("", "package/sibling.py")
    assert cli("run", "package.inner:graph").code == 0
    assert cli("run", "package.inner:one").code == 0


@pytest.mark.parametrize("given", [[], ["one"], ["--deep", "3", "--", "-x", ""]])
def test_a_function_gets_what_follows_the_two_dashes_as_one_list(cli, flow, folder, given):
    flow("""
import json, pathlib, penstock

def main(arguments):
    pathlib.Path("given.json").write_text(json.dumps(arguments))
    return penstock.TaskGraph()
""")
    dashes = ["--", *given] if given else []
    assert cli("run", "flow.py", *dashes).code == 0
    assert json.loads((folder / "given.json").read_text()) == given


def test_a_graph_without_tasks_completes(cli, flow):
    flow("import penstock\ngraph = penstock.TaskGraph()\n")
    assert cli("run", "flow.py").out.startswith("Run completed: 0 completed of 0 tasks")


def test_a_failed_task_stops_the_run_and_gives_exit_code_1(cli, flow, folder):
    flow(FAILING)
    code, out, err = cli("run", "flow.py", "--json", "report.json")
    assert (code, err) == (1, "")
    assert out.startswith("Run failed: ")
    assert "  broken: ValueError: no water\n" in out
    assert states(folder) == {
        "source": "completed",
        "broken": "failed",
        "after": "skipped",
        "beside": "skipped",
    }


def test_with_the_policy_continue_only_what_depends_on_the_failed_task_is_skipped(cli, flow, folder):
    flow(FAILING)
    assert cli("run", "flow.py", "--failure-policy", "continue", "--json", "report.json").code == 1
    assert states(folder) == {
        "source": "completed",
        "broken": "failed",
        "after": "skipped",
        "beside": "completed",
    }


def test_a_quiet_run_that_fails_says_why_on_standard_error(cli, flow):
    flow(FAILING)
    code, out, err = cli("run", "--quiet", "flow.py")
    assert (code, out) == (1, "")
    assert err == "penstock: Execution interrupted; task 'broken' failed: no water\n"


def test_debug_shows_the_tracebacks_of_failed_tasks(cli, flow):
    flow(FAILING)
    err = cli("run", "--debug", "flow.py").err
    assert "Traceback (most recent call last):" in err
    assert 'raise ValueError("no water")' in err


def test_tasks_without_a_function_are_named_and_nothing_runs(cli, flow):
    flow(HEAD + "one.add_task('idle', depends_on=['only'])\ngraph = one\n")
    code, out, _ = cli("run", "flow.py")
    assert code == 1
    assert "0 completed, 2 skipped" in out
    assert "Task 'idle' not found" in out


def test_a_cancelled_task_gives_exit_code_1(cli, flow):
    flow(
        "import asyncio, penstock\n"
        "async def body():\n    raise asyncio.CancelledError\n"
        "graph = penstock.TaskGraph()\ngraph.add_task('a', body)\n"
    )
    code, out, _ = cli("run", "flow.py")
    assert code == 1
    assert out.startswith("Run cancelled: 0 completed, 1 cancelled")


def test_max_concurrency_limits_how_many_tasks_run_at_once(cli, flow):
    flow("""
import asyncio, penstock

running = most = 0

async def body():
    global running, most
    running += 1
    most = max(most, running)
    for _ in range(3):
        await asyncio.sleep(0)
    running -= 1

def check():
    assert most == 2, most

graph = penstock.TaskGraph()
for number in range(10):
    graph.add_task(number, body)
graph.add_task("check", check, depends_on=range(10))
""")
    assert cli("run", "flow.py", "--max-concurrency", "2").code == 0
    assert cli("run", "flow.py").code == 1


@pytest.mark.parametrize(("raised", "code"), [("7", 7), ("", 0), ("None", 0), ("'enough'", 1)])
def test_a_body_that_exits_ends_the_run_with_its_code_and_a_partial_report(cli, flow, folder, raised, code):
    flow(f"""{HEAD}
import sys

graph = one
graph.add_task("exit", lambda: sys.exit({raised}), depends_on=["only"])
graph.add_task("after", lambda: None, depends_on=["exit"])
""")
    result = cli("run", "flow.py", "--json", "report.json")
    assert result.code == code
    assert "task exit raised SystemExit(" in result.err
    assert states(folder) == {"only": "completed", "exit": "failed", "after": "skipped"}


def test_a_body_that_raises_keyboard_interrupt_ends_the_run_with_130(cli, flow):
    flow(f"{HEAD}graph = one\ndef body():\n    raise KeyboardInterrupt\ngraph.add_task('exit', body)\n")
    code, out, err = cli("run", "flow.py")
    assert code == 130
    assert out.startswith("Run cancelled: 1 completed, 1 failed of 2 tasks")
    assert err == "penstock: task exit raised KeyboardInterrupt(); the report has what was done until then\n"
