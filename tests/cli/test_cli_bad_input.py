"""Bad input ends with exit code 2 and a message that names the thing and the remedy, and nothing is done."""

from __future__ import annotations

import copy
import json
import socket

import pytest

TASKS = [
    {"id": "a", "name": "a", "parents": [], "children": ["b"]},
    {"id": "b", "name": "b", "parents": ["a"], "children": []},
]


def document(*changed: dict[str, object]) -> str:
    """Return a WfFormat document of two tasks, or of those that are given."""
    tasks = copy.deepcopy(list(changed) or TASKS)
    return json.dumps({"name": "w", "schemaVersion": "1.5", "workflow": {"specification": {"tasks": tasks}}})


def task(name: str, *parents: str) -> dict[str, object]:
    return {"id": name, "name": name, "parents": list(parents), "children": []}


HEAD = "import penstock\ng = penstock.TaskGraph()\ng.add_task('only')\n"

RETURNS = """
def main(arguments):
    return {}

async def build(arguments):
    pass

def two(a, b):
    pass

def bare():
    return {}

class Late:
    async def __call__(self, arguments):
        pass

late = Late()
"""

FILES = {
    "good.json": document(),
    "empty.json": "",
    "text.json": "this is no JSON",
    "half.json": '{"workflow": {',
    "list.json": "[1, 2]",
    "other.json": '{"name": "something else"}',
    "no_tasks.json": '{"workflow": {"name": "w"}}',
    "twice.json": document(task("a"), task("b", "a"), task("a")),
    "unknown.json": document(task("fetch"), task("load", "fetsh")),
    "stranger.json": document(task("fetch"), task("load", "zzzzzz")),
    "cycle.json": document(task("a", "c"), task("b", "a"), task("c", "b")),
    "itself.json": document(task("a"), task("b", "b")),
    "many.json": document(task("a"), task("a"), task("b", "nowhere"), task("c", "c"), task("d", "e"), task("e", "d")),
    "empty.py": "",
    "nothing.py": "import os\n_private = 1\n",
    "other.py": f"{HEAD}CONFIG = {{}}\ndef build():\n    return g\n",
    "wrong.py": "graph = {}\nplan = 3\nnone = None\nimport os as module\nclass Flow:\n    pass\n",
    "returns.py": RETURNS,
    "no_functions.py": f"{HEAD}graph = g\n",
    "raises.py": "def body():\n    1 / 0\nbody()\n",
    "cycle.py": "import penstock\ngraph = penstock.TaskGraph.from_predecessors({'a': ['b'], 'b': ['a']})\n",
}

CASES = [
    ("missing.json", "missing.json: no such file; check the spelling and the current folder"),
    ("missing.py", "missing.py: no such file; check the spelling and the current folder"),
    ("missing.py:graph", "missing.py: no such file"),
    ("missing", "missing: no such file; for a module write missing:attribute"),
    ("missing:graph", "there is no module 'missing'; it is looked for in the current folder"),
    ("os.missing:graph", "there is no module 'os.missing'"),
    (".", ".: is a folder; give the WfFormat file in it"),
    ("folder.py", "folder.py is a folder; give a file in it"),
    ("empty.json", "empty.json: is empty; a WfFormat document is a JSON object with a 'workflow' member"),
    ("text.json", "text.json: is not JSON: Expecting value at line 1, column 1; export the workflow again"),
    ("half.json", "half.json: is not JSON"),
    ("list.json", "list.json: holds a list; a WfFormat document is a JSON object"),
    ("other.json", "other.json: has no 'workflow' member; a WfFormat document is a JSON object"),
    ("no_tasks.json", "no_tasks.json: has no list of tasks; it is looked for in"),
    ("twice.json", "twice.json: Duplicate task name: a is listed twice; give each task a name of its own"),
    ("unknown.json", "load -> fetsh; fetsh is not in the graph; did you mean fetch?"),
    ("stranger.json", "zzzzzz is not in the graph; add that task or remove the dependency"),
    ("cycle.json", "; remove one of these dependencies"),
    ("itself.json", "Cycle detected: b -> b; a task cannot depend on itself, remove that dependency"),
    ("cycle.py", "cycle.py:graph: Cycle detected: "),
    ("empty.py", "empty.py has neither graph, plan nor main; it defines nothing that could be run"),
    ("nothing.py", "assign a TaskGraph to the name graph in nothing.py"),
    ("other.py", "found g (a TaskGraph), CONFIG (a dict), build (a function); name one, as in other.py:g"),
    ("other.py:graph", "other.py has no attribute 'graph'; found g (a TaskGraph)"),
    ("other.py:g.inner", "other.py has no attribute 'g.inner'"),
    ("wrong.py", "wrong.py: graph is a dict and plan is an int; give a TaskGraph, a plan, or a function"),
    ("wrong.py:none", "wrong.py: none is None; give a TaskGraph"),
    ("wrong.py:module", "wrong.py: module is a module; give a TaskGraph"),
    ("wrong.py:Flow", "wrong.py: Flow is the class Flow; give a TaskGraph"),
    ("returns.py", "returns.py:main returned a dict; it must return a TaskGraph or a plan"),
    ("returns.py:build", "returns.py:build is a coroutine function; make it a plain one"),
    ("returns.py:late", "returns.py:late returned a coroutine; it must return a TaskGraph or a plan"),
    ("returns.py:two", "returns.py:two cannot be called with one list of arguments; it takes (a, b)"),
    ("returns.py:bare", "returns.py:bare returned a dict"),
    ("raises.py", "raises.py could not be imported (ZeroDivisionError: division by zero); mend what the"),
]


@pytest.fixture
def files(folder):
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "folder.py").mkdir()
    return folder


@pytest.mark.parametrize("command", ["run", "plan", "validate"])
@pytest.mark.parametrize(("target", "message"), CASES, ids=[case[0] for case in CASES])
def test_a_graph_that_cannot_be_used_is_refused(cli, files, command, target, message):
    before = sorted(files.iterdir())
    json_file = [] if command == "validate" else ["--json", "report.json"]
    code, out, err = cli(command, target, *json_file)
    assert (code, out) == (2, "")
    assert message in err
    assert "penstock: error: " in err
    assert ("Traceback" in err) == (target == "raises.py")
    assert sorted(files.iterdir()) == before


@pytest.mark.parametrize("command", ["run", "plan", "validate"])
def test_all_problems_of_a_graph_are_told_at_once(cli, files, command):
    code, out, err = cli(command, "many.json")
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert lines[0] == "penstock: error: many.json cannot be planned, because of 4 problems"
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "Duplicate task name",
        "Unknown dependency",
        "Cycle detected",
        "Cycle detected",
    ]


def test_a_graph_without_functions_is_refused_with_the_remedy(cli, files):
    code, out, err = cli("run", "no_functions.py", "--json", "report.json")
    assert (code, out) == (2, "")
    assert err.startswith("penstock: error: no_functions.py:graph has no functions, so there is nothing to run; ")
    assert "graph.add_task(name, func)" in err
    assert not (files / "report.json").exists()
    assert cli("plan", "no_functions.py").code == 0
    assert cli("validate", "no_functions.py").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_functions.py", "--", "x"], "no_functions.py:graph is a TaskGraph and takes no arguments"),
        (["good.json", "--", "x"], "good.json is a WfFormat file and takes no arguments"),
        (["returns.py:bare", "--", "x"], "returns.py:bare takes no arguments; leave out what follows --"),
        (["no_functions.py", "--time-scale", "1"], "--time-scale is for WfFormat files, and no_functions.py"),
        (["no_functions.py", "--execute"], "--execute is for WfFormat files"),
        (["good.json", "--execute"], "2 of 2 tasks have no recorded command"),
        (["good.json", "--execute", "--time-scale", "1"], "not allowed with argument"),
        (["good.json", "--time-scale", "-1"], "'-1' is no number from 0 on"),
        (["good.json", "--time-scale", "nan"], "'nan' is no number from 0 on"),
        (["good.json", "--max-concurrency", "0"], "'0' is no positive whole number"),
        (["good.json", "--max-concurrency", "many"], "'many' is no positive whole number"),
        (["good.json", "--failure-policy", "hope"], "invalid choice: 'hope'"),
        (["good.json", "--time", "1"], "unrecognized arguments: --time"),
        (["good.json", "other.json"], "unrecognized arguments: other.json"),
        ([], "the following arguments are required: GRAPH"),
    ],
)
def test_options_that_make_no_sense_are_refused(cli, files, arguments, message):
    code, out, err = cli("run", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("penstock: error: ")
    assert message in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["frob"], "invalid choice: 'frob'"),
        (["validate"], "the following arguments are required: GRAPH"),
        (["doctor", "--", "x"], "this command takes no arguments after --"),
    ],
)
def test_commands_that_make_no_sense_are_refused(cli, arguments, message):
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("penstock: error: ")
    assert message in err
    assert err.endswith("penstock: see penstock --help\n")


def test_names_cannot_write_to_the_terminal_on_their_own(cli, flow):
    flow(
        "import penstock\n"
        "graph = penstock.TaskGraph.from_predecessors({'red\\x1b[31m': ['two\\nlines'], 'ok\\x07': []})\n"
    )
    err = cli("run", "flow.py").err
    assert "red\\x1b[31m -> two\\nlines" in err
    assert len(err.splitlines()) == 1
    flow("import penstock\ngraph = penstock.TaskGraph.from_predecessors({'ok\\x07': []})\n")
    assert "ok\\x07" in cli("plan", "flow.py").out


def test_a_file_that_cannot_be_read_is_refused(cli, folder):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("flow.py")  # unlike a file without permissions, root cannot read it either
        code, out, err = cli("run", "flow.py")
    assert (code, out) == (2, "")
    assert err.startswith("penstock: error: flow.py cannot be read: ")


def test_a_mistake_of_penstock_itself_is_called_a_bug(cli, flow, monkeypatch):
    def broken(*ignored: object) -> None:
        raise RuntimeError("impossible")

    flow()
    monkeypatch.setattr("penstock.cli.driving.drive", broken)
    code, _, err = cli("run", "flow.py")
    assert code == 70
    assert "RuntimeError: impossible" in err
    assert err.splitlines()[-1].startswith("penstock: error: this is a bug in penstock (RuntimeError); please report")
