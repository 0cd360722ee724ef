"""The standard library build: modules are found, imports resolved, cycles merged, and the graph runs."""

import importlib.util
import os
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "stdlib_build.py"

TREE = {
    "base.py": "VALUE = 1\n",
    "user.py": "import base, json, sys\n",
    "left.py": "import right\n",
    "right.py": "from left import *\n",
    "pkg/__init__.py": "from .one import thing\n",
    "pkg/one.py": "from . import two\nfrom base import VALUE as thing\n",
    "pkg/two.py": "import os.path\n",
    "pkg/sub/__init__.py": "",
    "pkg/sub/deep.py": "from .. import two\nfrom ... import nowhere\nfrom ..one import thing\n",
    "outside.py": "import pkg.sub.deep\n",
}


def load_example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stdlib_build", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


stdlib_build = load_example()


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def imports_of(folder: Path, files: dict[str, str]) -> dict[str, set[str]]:
    modules = stdlib_build.find_modules(write(folder, files))
    return {name: stdlib_build.imported_modules(folder, name, modules) for name in modules}


@pytest.fixture
def library(tmp_path):
    return write(tmp_path / "library", TREE)


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """The only place where temporary folders are made."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


# ------------------------------------------------------------------------------------------ finding modules


def test_modules_have_dotted_names_and_come_sorted(library):
    modules = stdlib_build.find_modules(library)
    inside = ["pkg", "pkg.one", "pkg.sub", "pkg.sub.deep", "pkg.two"]
    assert list(modules) == ["base", "left", "outside", *inside, "right", "user"]
    assert modules["pkg"] == Path("pkg/__init__.py")
    assert modules["pkg.sub.deep"] == Path("pkg/sub/deep.py")


def test_folders_that_are_no_packages_and_files_no_python_can_compile_are_left_out(tmp_path):
    files = dict.fromkeys(
        ["site-packages/x.py", "config-3.11/y.py", "pkg/data/z.py", "pkg/badsyntax_1.py", "pkg/notes.txt"], ""
    )
    modules = stdlib_build.find_modules(write(tmp_path, files | {"pkg/__init__.py": "", "a.py": ""}))
    assert list(modules) == ["a", "pkg"]


def test_the_test_package_is_left_out_unless_asked_for(tmp_path):
    files = {"test/__init__.py": "", "test/test_a.py": "", "pkg/__init__.py": "", "pkg/test/__init__.py": ""}
    write(tmp_path, files)
    assert list(stdlib_build.find_modules(tmp_path)) == ["pkg", "pkg.test"]
    assert list(stdlib_build.find_modules(tmp_path, with_tests=True)) == [
        "pkg",
        "pkg.test",
        "test",
        "test.test_a",
    ]


# ------------------------------------------------------------------------------------------ reading imports


def test_imports_resolve_to_the_modules_of_the_library(library):
    assert imports_of(library, {}) == {
        "base": set(),
        "user": {"base"},
        "left": {"right"},
        "right": {"left"},
        "pkg": {"pkg.one"},
        "pkg.one": {"pkg.two", "base"},
        "pkg.two": set(),
        "pkg.sub": set(),
        "pkg.sub.deep": {"pkg.two", "pkg.one"},
        "outside": {"pkg", "pkg.sub", "pkg.sub.deep"},
    }


def test_imports_inside_module_level_statements_count_and_those_inside_functions_do_not(tmp_path):
    names = [
        "tried",
        "handled",
        "otherwise",
        "within",
        "in_class",
        "matched",
        "lazy",
        "lazy_async",
        "in_method",
    ]
    source = """
try:
    import tried
except ImportError:
    import handled
else:
    if tried:
        import otherwise
with open("x"):
    import within
match within:
    case _:
        import matched
class Box:
    import in_class
    def method(self):
        import in_method
def function():
    import lazy
async def coroutine():
    import lazy_async
"""
    files = {f"{name}.py": "" for name in names}
    found = imports_of(tmp_path, files | {"reader.py": source})["reader"]
    assert found == {"tried", "handled", "otherwise", "within", "in_class", "matched"}


def test_branches_that_do_not_run_on_import_do_not_count(tmp_path):
    source = """
if __name__ == "__main__":
    import script_only
else:
    import library_only
if TYPE_CHECKING:
    import for_types
"""
    files = {"script_only.py": "", "library_only.py": "", "for_types.py": "", "reader.py": source}
    assert imports_of(tmp_path, files)["reader"] == {"library_only"}


def test_from_import_means_the_submodule_where_there_is_one_and_else_the_package(tmp_path):
    files = {
        "pkg/__init__.py": "version = 1\n",
        "pkg/part.py": "",
        "inside.py": "",
        "pkg/reader.py": "from . import part\n",
        "pkg/asker.py": "from . import version\n",
        "outsider.py": "from pkg import part, version\n",
    }
    found = imports_of(tmp_path, files)
    assert found["pkg.reader"] == {"pkg.part"}
    assert found["pkg.asker"] == {"pkg"}
    assert found["outsider"] == {"pkg", "pkg.part"}


def test_a_package_and_its_own_modules_are_no_cycle_without_an_import_of_the_package(tmp_path):
    files = {
        "pkg/__init__.py": "from pkg.a import x\n",
        "pkg/a.py": "import pkg.b\n",
        "pkg/b.py": "x = 1\n",
    }
    assert imports_of(tmp_path, files) == {"pkg": {"pkg.a"}, "pkg.a": {"pkg.b"}, "pkg.b": set()}


@pytest.mark.parametrize("source", [b"def broken(:\n", b"import base\0\n", b"# coding: nonsense\nimport base\n"])
def test_a_module_that_cannot_be_parsed_has_no_imports(tmp_path, source):
    write(tmp_path, {"base.py": ""})
    (tmp_path / "odd.py").write_bytes(source)
    assert imports_of(tmp_path, {})["odd"] == set()


# ------------------------------------------------------------------------------------------- merging cycles


def test_modules_that_import_one_another_are_one_group():
    imports = {"a": {"b"}, "b": {"c"}, "c": {"a", "base"}, "base": set(), "top": {"b", "c"}}
    assert stdlib_build.merge_cycles(imports) == {
        ("a", "b", "c"): [("base",)],
        ("base",): [],
        ("top",): [("a", "b", "c")],
    }


def test_a_long_cycle_has_a_short_name():
    assert stdlib_build.task_name(("a",)) == "a"
    assert stdlib_build.task_name(("a", "b")) == "cycle: a, b"
    assert stdlib_build.task_name(tuple("abcdefg")) == "cycle: a, b, c, d and 3 more"


def test_the_running_library_becomes_hundreds_of_groups_and_every_module_is_in_one():
    library = Path(sysconfig.get_path("stdlib"))
    modules = stdlib_build.find_modules(library)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imports = {name: stdlib_build.imported_modules(library, name, modules) for name in modules}
    groups = stdlib_build.merge_cycles(imports)
    assert sorted(name for group in groups for name in group) == list(modules)
    assert 500 < len(groups) < 1800


# ------------------------------------------------------------------------------------------- the whole thing


def test_the_graph_compiles_every_module_after_those_it_imports(library, tmp_path, scratch):
    output = tmp_path / "compiled"
    graph = stdlib_build.main(["--library", str(library), "--output", str(output)])
    assert "cycle: left, right" in graph
    report = graph.plan().run_sync()
    assert report.execution_state == "completed"
    records = {record.task_name: record for record in report.task_statistics}
    for name in graph.names:
        for dependency in graph.dependencies_of(name):
            assert records[dependency].end_time <= records[name].start_time
    compiled = sorted(str(path.relative_to(output)) for path in output.rglob("*.*"))
    assert compiled == sorted(f"{name.removesuffix('.py')}.pyc" for name in TREE)
    assert list(scratch.iterdir()) == []


def test_planted_broken_modules_fail_and_their_importers_are_skipped_with_the_root_cause(library, scratch):
    graph = stdlib_build.main(["--library", str(library), "--with-broken", "2"])
    report = graph.plan().run_sync(failure_policy="continue")
    records = {record.task_name: record for record in report.task_statistics}
    assert report.execution_state == "failed"
    assert (report.failed_tasks, report.skipped_tasks) == (2, 6)
    assert report.successful_tasks == report.total_tasks - 8
    broken, last = records["broken_002"], records["broken_002_importer_of_a"]
    assert isinstance(broken.exception, SyntaxError)
    assert last.exception.root_cause is broken.exception
    assert last.exception.path == ("broken_002", "broken_002_importer_a", "broken_002_importer_of_a")
    assert sorted(path.name for path in library.glob("broken*")) == []


def test_a_module_broken_in_the_library_itself_fails_and_does_not_crash(library, scratch):
    write(library, {"odd.py": "def broken(:\n", "needs_odd.py": "import odd\n"})
    report = stdlib_build.main(["--library", str(library)]).plan().run_sync(failure_policy="continue")
    states = {record.task_name: record.status for record in report.task_statistics}
    assert (states["odd"], states["needs_odd"], states["outside"]) == ("failed", "skipped", "completed")
    assert any("odd.py, line 1" in line for line in report.error_summary)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--with-broken", "many"], "invalid int value: 'many'"),
        (["--with-broken=-1"], "-1 is not a number of modules"),
        (["--library", "/nowhere"], "there are no Python modules in '/nowhere'"),
        (["--output", __file__], "is a file, not a folder"),
        (["--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_bad_arguments_end_with_code_2_before_anything_is_written(argv, message, scratch, capsys):
    with pytest.raises(SystemExit) as ended:
        stdlib_build.main(argv)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(("ending", "code"), [("", 0), ("raise KeyboardInterrupt", -2)])
def test_no_temporary_folder_is_left_behind(library, scratch, ending, code):
    program = (
        "import sys, runpy; main = runpy.run_path(sys.argv[1])['main']\n"
        f"main(['--with-broken', '1', '--library', sys.argv[2]]).plan().run_sync()\n{ending}"
    )
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", program, str(EXAMPLE), str(library)]
    ended = subprocess.run(command, env=os.environ | {"TMPDIR": str(scratch)}, capture_output=True, text=True)
    assert ended.returncode == code, ended.stderr
    assert list(scratch.iterdir()) == []
