"""Byte-compile the running Python's standard library in the order of its imports.

Every module is a task that depends on the modules it imports at the top level; modules that import one
another in a circle are one task together.  The compiled files go to a temporary folder that is removed at
the end, or to ``--output``.  What follows ``--`` is for this file::

    penstock run examples/stdlib_build.py
    penstock run examples/stdlib_build.py -- --output build/stdlib
    penstock run examples/stdlib_build.py --failure-policy continue -- --with-broken 3

The last one compiles a copy of the library in which three broken modules and their importers are planted:
the broken ones fail, all that need them are skipped and name the root cause, the rest is compiled.
Without ``--failure-policy continue`` the run stops at the first failure.
"""

import argparse
import ast
import atexit
import os
import py_compile
import shutil
import sysconfig
import tempfile
import warnings
from collections.abc import Container, Iterator
from functools import partial
from importlib.util import resolve_name
from itertools import accumulate
from pathlib import Path

import networkx as nx

import penstock

NEVER_TRUE_ON_IMPORT = {"__name__ == '__main__'", "TYPE_CHECKING", "typing.TYPE_CHECKING"}


def main(argv: list[str]) -> penstock.TaskGraph:
    """Return the graph of one build; ``argv`` is what follows ``--`` on the command line."""
    parser = argparse.ArgumentParser(prog="stdlib_build.py", description="Byte-compile the standard library.")
    parser.add_argument("--with-broken", type=int, default=0, metavar="N", help="plant N broken modules")
    parser.add_argument("--with-tests", action="store_true", help="include CPython's own test package")
    parser.add_argument("--output", type=Path, metavar="DIR", help="keep the compiled files in this folder")
    parser.add_argument("--library", type=Path, metavar="DIR", help="compile the modules of this folder instead")
    options = parser.parse_args(argv)

    library = options.library or Path(sysconfig.get_path("stdlib"))
    modules = find_modules(library, with_tests=options.with_tests)
    if not modules:
        parser.error(f"--library: there are no Python modules in {str(library)!r}")
    if options.with_broken < 0:
        parser.error(f"--with-broken: {options.with_broken} is not a number of modules")
    if options.output is not None and options.output.is_file():
        parser.error(f"--output: {str(options.output)!r} is a file, not a folder")

    if options.with_broken:
        copy = scratch_folder()
        copy_modules(library, modules, copy)
        library, modules = copy, modules | plant_broken_modules(copy, options.with_broken)
    return build_graph(library, modules, options.output or scratch_folder())


def scratch_folder() -> Path:
    """Return a new temporary folder that is removed when the interpreter exits, also after Ctrl-C."""
    folder = tempfile.mkdtemp(prefix="stdlib-build-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def find_modules(library: Path, *, with_tests: bool = False) -> dict[str, Path]:
    """Return the modules of a folder, sorted: dotted name to path within the folder.

    Only folders with an ``__init__.py`` are entered, so not ``site-packages``, ``config-*`` and test data.
    CPython's own ``test`` package is left out by default because many installations do not have it.
    """
    modules = {}
    for folder, subfolders, files in os.walk(library):
        packages = [name for name in subfolders if Path(folder, name, "__init__.py").is_file()]
        subfolders[:] = [name for name in packages if with_tests or Path(folder, name) != library / "test"]
        for file in files:
            # The few files that no Python can compile are all called bad_... or badsyntax_...
            if file.endswith(".py") and not file.startswith(("bad_", "badsyntax_")):
                path = Path(folder, file).relative_to(library)
                parts = path.parent.parts if file == "__init__.py" else path.with_suffix("").parts
                modules[".".join(parts)] = path
    return dict(sorted(modules.items()))


def build_graph(library: Path, modules: dict[str, Path], output: Path) -> penstock.TaskGraph:
    """Return the graph that compiles the modules of ``library`` into ``output``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes and the like are the library's affair
        imports = {name: imported_modules(library, name, modules) for name in modules}
    graph = penstock.TaskGraph()
    for members, needed in merge_cycles(imports).items():
        body = partial(byte_compile, library, [modules[name] for name in members], output)
        graph.add_task(task_name(members), body, depends_on=[task_name(group) for group in needed])
    return graph


def imported_modules(library: Path, name: str, modules: dict[str, Path]) -> set[str]:
    """Return those of ``modules`` that must be there before the module ``name`` can be imported."""
    try:
        imports = list(top_level_imports((library / modules[name]).read_bytes()))
    except (OSError, SyntaxError, ValueError):
        return set()  # unreadable or broken: the module's own task fails and says why
    package = name if modules[name].name == "__init__.py" else name.rpartition(".")[0]
    enclosing = set(with_parents(name))
    needed: set[str] = set()
    for node in imports:
        for target in import_targets(node, package, modules):
            # `import a.b.c` imports a and a.b as well.  The packages around the importing module are on
            # their way already, so they count only where named; else every package would be a cycle.
            needed.update(parent for parent in with_parents(target) if parent not in enclosing)
            needed.add(target)
    return needed.intersection(modules) - {name}


def top_level_imports(source: bytes) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports that are executed when the module itself is imported."""
    pending: list[ast.AST] = [ast.parse(source)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and ast.unparse(node.test) in NEVER_TRUE_ON_IMPORT:
            pending.extend(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.expr):
            pending.extend(ast.iter_child_nodes(node))


def import_targets(node: ast.Import | ast.ImportFrom, package: str, modules: Container[str]) -> list[str]:
    """Return the absolute names of what an import statement in a module of ``package`` imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    try:
        origin = resolve_name("." * node.level + (node.module or ""), package)
    except ImportError:
        return []  # reaches beyond the top-level package: no module of the library
    found = [f"{origin}.{alias.name}" for alias in node.names]
    return [submodule if submodule in modules else origin for submodule in found]


def with_parents(name: str) -> list[str]:
    """Return ``["a", "a.b", "a.b.c"]`` for ``"a.b.c"``."""
    return list(accumulate(name.split("."), "{}.{}".format))


def merge_cycles(imports: dict[str, set[str]]) -> dict[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the groups of modules that import one another, each with the groups it imports."""
    graph = nx.DiGraph((name, target) for name, targets in imports.items() for target in targets)
    graph.add_nodes_from(imports)
    condensed = nx.condensation(graph)
    members = {group: tuple(sorted(names)) for group, names in condensed.nodes(data="members")}
    merged = {members[group]: sorted(members[other] for other in condensed[group]) for group in condensed}
    return dict(sorted(merged.items()))


def task_name(members: tuple[str, ...]) -> str:
    """Return the name of the task that compiles these modules."""
    shown = ", ".join(members[:4]) + (f" and {len(members) - 4} more" if len(members) > 4 else "")
    return shown if len(members) == 1 else f"cycle: {shown}"


def byte_compile(library: Path, paths: list[Path], output: Path) -> None:
    """Compile the files one after another; raise the error of the first broken one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in paths:
            try:
                py_compile.compile(str(library / path), str(output / path.with_suffix(".pyc")), doraise=True)
            except py_compile.PyCompileError as error:
                # Its own text is a whole traceback; the error inside says the same in one line.
                raise error.exc_value from None


def copy_modules(library: Path, modules: dict[str, Path], folder: Path) -> None:
    """Copy the modules from ``library`` to ``folder``."""
    for path in modules.values():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(library / path, folder / path)


def plant_broken_modules(folder: Path, n: int) -> dict[str, Path]:
    """Write ``n`` broken modules, each imported by two others, one of which is imported by a third."""
    modules = {}
    for number in range(1, n + 1):
        broken = f"broken_{number:03}"
        for name, source in (
            (broken, "def broken(:\n"),
            (f"{broken}_importer_a", f"import {broken}\n"),
            (f"{broken}_importer_b", f"from {broken} import something\n"),
            (f"{broken}_importer_of_a", f"import {broken}_importer_a\n"),
        ):
            modules[name] = Path(f"{name}.py")
            (folder / modules[name]).write_text(source)
    return modules
