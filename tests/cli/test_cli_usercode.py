"""The user's own code is run as `python flow.py` would run it, and its mistakes are told as its own."""

from __future__ import annotations

import pickle
import sys

import pytest

from penstock.cli.errors import BadInput
from penstock.cli.usercode import import_file, surroundings

HEAD = "import penstock\ngraph = penstock.TaskGraph()\n"


@pytest.fixture
def loaded(folder):
    """``loaded(path)`` imports a file; what it changes is undone at the end."""
    with surroundings(str(folder), ["flow.py"]):
        yield lambda path: import_file(str(path), debug=False)


def test_functions_of_the_file_can_be_pickled(flow, loaded):
    module = loaded(flow("def body():\n    return 1\n"))
    assert module.__name__ == "flow"
    assert pickle.loads(pickle.dumps(module.body)) is module.body


def test_what_is_kept_for_the_main_program_does_not_run(cli, flow):
    flow(f"{HEAD}if __name__ == '__main__':\n    raise RuntimeError\n")
    assert cli("run", "flow.py").code == 0


def test_a_file_called_main_is_no_main_program_either(cli, flow):
    flow(f"{HEAD}if __name__ == '__main__':\n    raise RuntimeError\n", "__main__.py")
    assert cli("run", "__main__.py").code == 0


def test_modules_beside_the_file_are_found_also_while_the_run_goes_on(cli, flow):
    flow("value = 1\n", "sub/early.py")
    flow("value = 2\n", "sub/late.py")
    body = "def body():\n    import late\n    return late.value\n"
    flow(f"import early\n{HEAD}{body}graph.add_task('a', body)\n", "sub/flow.py")
    assert cli("run", "sub/flow.py").code == 0


def test_each_file_gets_the_helpers_beside_it(cli, flow):
    for name in ("first", "second"):
        flow(f"name = '{name}'\n", f"{name}/helper.py")
        flow(f"import helper\n{HEAD}graph.add_task(helper.name)\n", f"{name}/flow.py")
    out = cli("validate", "first/flow.py", "second/flow.py").out
    assert [line.split(",")[0] for line in out.splitlines()] == [
        "first/flow.py:graph: OK",
        "second/flow.py:graph: OK",
    ]
    assert "second" in cli("plan", "second/flow.py").out


def test_the_arguments_of_the_process_are_those_of_the_file(cli, flow):
    flow(f"import sys\n{HEAD}main = None\nassert sys.argv == ['flow.py'], sys.argv\n")
    assert cli("run", "flow.py").code == 0
    flow(
        "import penstock, sys\ndef main(a):\n    assert sys.argv == ['flow.py', 'x']\n    return penstock.TaskGraph()\n"
    )
    assert cli("run", "flow.py", "--", "x").code == 0


def test_the_path_the_arguments_and_the_modules_are_as_before_afterwards(cli, flow):
    flow("", "helper.py")
    flow(f"import helper\n{HEAD}")
    cli("run", "flow.py")
    path, argv, modules = list(sys.path), list(sys.argv), set(sys.modules)
    flow("import helper\n1 / 0\n", "broken.py")
    assert cli("run", "flow.py").code == 0
    assert cli("run", "broken.py").code == 2
    assert cli("run", "flow:graph").code == 0
    assert (sys.path, sys.argv) == (path, argv)
    assert not {"flow", "helper", "broken"} & set(sys.modules)
    assert modules <= set(sys.modules)


def test_no_compiled_file_is_left_beside_it(cli, flow, folder):
    flow(HEAD)
    cli("run", "flow.py")
    assert [path.name for path in folder.iterdir()] == ["flow.py"]


@pytest.mark.parametrize("name", ["networkx.py", "json.py", "wave.py", "penstock.py", "with-dash.py", "1st.py"])
def test_a_file_may_be_called_like_a_module(cli, flow, name):
    pytest.importorskip("networkx")  # planning imports it anyhow, and it is to be the same module afterwards
    before = {module: sys.modules.get(module) for module in ("networkx", "json", "wave", "penstock")}
    flow(f"{HEAD}import json, networkx\nassert networkx.DiGraph and json.dumps\n", name)
    assert cli("run", name).code == 0
    assert {module: sys.modules.get(module) for module in before} == before


def test_the_traceback_of_an_import_error_has_the_users_frames_alone(cli, flow, folder):
    flow("import missing_module\n", "helper.py")
    flow("import penstock\nimport helper\n")
    code, out, err = cli("run", "flow.py")
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert [line.strip() for line in lines if line.startswith("  File ")] == [
        f'File "{folder}/flow.py", line 2, in <module>',
        f'File "{folder}/helper.py", line 1, in <module>',
    ]
    gist = "ModuleNotFoundError: No module named 'missing_module'"
    assert lines[-2] == gist
    assert lines[-1] == (
        f"penstock: error: flow.py could not be imported ({gist}); mend what the traceback above shows"
    )


def test_causes_and_groups_are_shortened_as_well(cli, flow):
    flow("""
import penstock

def main(arguments):
    graph = penstock.TaskGraph()
    try:
        graph.add_task("a", 1)
    except TypeError as error:
        raise ExceptionGroup("several", [error, KeyError("other")]) from error
""")
    err = cli("run", "flow.py").err
    assert "/src/penstock/" not in err
    assert "penstock/graph.py" not in err
    assert err.count("in main") == 3
    assert "The above exception was the direct cause" in err
    assert err.splitlines()[-1].startswith("penstock: error: flow.py:main failed (ExceptionGroup: several")


def test_debug_shows_the_whole_traceback(cli, flow):
    flow("import penstock\npenstock.TaskGraph().add_task('a', 1)\n")
    assert "in add_task" not in cli("run", "flow.py").err
    assert "in add_task" in cli("run", "--debug", "flow.py").err


def test_a_syntax_error_is_shown_with_its_line(cli, flow):
    flow("def broken(:\n")
    code, _, err = cli("run", "flow.py")
    assert code == 2
    assert err.splitlines()[0].endswith('flow.py", line 1')
    assert "    def broken(:" in err
    assert "Traceback" not in err


def test_a_relative_import_in_a_file_of_a_package_gets_a_hint(cli, flow):
    flow("", "package/__init__.py")
    flow("from . import sibling\n", "package/flow.py")
    err = cli("run", "package/flow.py").err
    assert "a file of a package is given as package.module:attribute" in err


PARSER = """
import argparse, penstock

def main(arguments):
    parser = argparse.ArgumentParser(description="Of the user's own.")
    parser.add_argument("--size", type=int, default=1)
    parser.parse_args(arguments)
    return penstock.TaskGraph()
"""


def test_argparse_in_the_users_function_ends_with_its_own_codes(cli, flow):
    flow(PARSER)
    assert cli("run", "flow.py", "--", "--size", "3").code == 0
    code, out, _ = cli("run", "flow.py", "--", "--help")
    assert code == 0
    assert "Of the user's own." in out
    code, out, err = cli("run", "flow.py", "--", "--size", "x")
    assert (code, out) == (2, "")
    assert "usage: flow.py" in err
    assert "invalid int value: 'x'" in err


@pytest.mark.parametrize(("statement", "code", "text"), [("5", 5, ""), ("'no'", 2, "no\n")])
def test_a_file_that_exits_ends_the_command(cli, flow, statement, code, text):
    flow(f"import sys\nsys.exit({statement})\n")
    assert cli("run", "flow.py") == (code, "", text)


@pytest.mark.parametrize("statement", ["", "0", "None"])
def test_a_file_that_exits_as_if_all_were_well_gave_no_graph(cli, flow, statement):
    flow(f"import sys\nsys.exit({statement})\n")
    code, out, err = cli("run", "flow.py")
    assert (code, out) == (2, "")
    assert "flow.py ended itself while it was imported and gave no graph" in err


def test_an_interrupt_while_the_file_is_read_gives_130(cli, flow):
    flow("raise KeyboardInterrupt\n")
    assert cli("run", "flow.py") == (130, "", "penstock: interrupted\n")


def test_a_failed_import_leaves_no_module_behind(flow, loaded):
    with pytest.raises(BadInput):
        loaded(flow("1 / 0\n"))
    assert "flow" not in sys.modules
