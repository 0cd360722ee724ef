"""Running the user's own code: importing it, and telling what went wrong in it.

The code is run as ``python flow.py`` would run it, with its folder first on the path and its arguments in
``sys.argv``, but under a module name of its own: so its functions can be pickled, and what it keeps behind
``if __name__ == "__main__"`` does not run.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib.machinery import SourceFileLoader
from types import ModuleType

from penstock.cli.errors import BadInput, UserExit

__all__ = ["guarded", "import_file", "import_named", "load_own_dependencies", "surroundings"]

_OWN_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_IMPORT_MACHINERY = ("<frozen importlib", os.path.dirname(os.path.abspath(importlib.__file__)) + os.sep)


class _Loader(SourceFileLoader):
    """Leaves no compiled file beside the user's, as ``python flow.py`` leaves none."""

    def set_data(self, *args: object, **kwargs: object) -> None:
        """Write nothing."""


@contextlib.contextmanager
def surroundings(folder: str, argv: Sequence[str]) -> Iterator[None]:
    """Put a folder first on the path and set ``sys.argv``; undone at the end.

    Modules that were imported from the folder are forgotten at the end, so that
    ``validate a/flow.py b/flow.py`` gives the second file its own helpers and not those of the first.
    """
    old_path, old_argv, old_modules = list(sys.path), sys.argv, set(sys.modules)
    sys.argv = list(argv)
    # `python -P` asks for a path without the current folder or the script's.
    ours = folder not in sys.path and not sys.flags.safe_path
    if not sys.flags.safe_path:
        sys.path.insert(0, folder)
    importlib.invalidate_caches()  # files may have been written since the last look
    try:
        yield
    finally:
        sys.path[:] = old_path
        sys.argv = old_argv
        if ours:
            _forget(_modules_of(folder, set(sys.modules) - old_modules))


def load_own_dependencies() -> None:
    """Load what penstock needs itself, before a ``networkx.py`` of the user's comes first on the path.

    Nor should the time that loading takes be told as the time that planning took.
    """
    from penstock.execution import loop_factory
    from penstock.graph import TaskGraph

    TaskGraph().plan()
    loop_factory()


def _modules_of(folder: str, names: set[str]) -> set[str]:
    """Return those of some modules whose top-level module or package lies right in a folder."""
    tops = set()
    for top in {name.partition(".")[0] for name in names}:
        file = getattr(sys.modules.get(top), "__file__", None)
        if file is None:
            continue
        place = os.path.dirname(os.path.abspath(file))
        if os.path.basename(file).startswith("__init__."):
            place = os.path.dirname(place)
        if os.path.realpath(place) == os.path.realpath(folder):
            tops.add(top)
    return {name for name in names if name.partition(".")[0] in tops}


def _forget(names: set[str]) -> None:
    for name in names:
        sys.modules.pop(name, None)


def import_file(path: str, debug: bool) -> ModuleType:
    """Import a Python file under a module name of its own and return the module.

    Raises
    ------
    BadInput
        The file cannot be read, or its code raised; with the traceback, shortened to the user's frames.
    UserExit
        Its code ended itself.
    """
    path = os.path.abspath(path)
    name = _module_name(path)
    loader = _Loader(name, path)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where pickle, dataclasses and the like look for it
    try:
        with guarded(f"{os.path.relpath(path)} could not be imported", debug, reading=os.path.relpath(path)):
            loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _module_name(path: str) -> str:
    """Return a module name for a file: its own where that is free, so that worker processes find it too."""
    stem = os.path.splitext(os.path.basename(path))[0]
    if stem.isidentifier() and stem not in sys.stdlib_module_names and stem not in sys.modules:
        return stem
    plain = re.sub(r"\W", "_", stem)
    name, number = f"file_{plain}", 1
    while name in sys.modules:
        number += 1
        name = f"file_{plain}_{number}"
    return name


def import_named(name: str, debug: bool) -> ModuleType:
    """Import a module by its name.

    Raises
    ------
    BadInput
        There is no such module, or its code raised.
    UserExit
        Its code ended itself.
    """
    with guarded(f"module {name} could not be imported", debug, reading=name):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            # Only if it is the module itself that is missing, and not one that it imports.
            if error.name is not None and f"{name}.".startswith(f"{error.name}."):
                raise BadInput(
                    f"there is no module {error.name!r}; it is looked for in the current folder and among "
                    "the installed packages"
                ) from None
            raise


@contextlib.contextmanager
def guarded(what: str, debug: bool, reading: str | None = None) -> Iterator[None]:
    """Turn what the user's code raises into `BadInput` with its traceback, and its exit into `UserExit`."""
    try:
        yield
    except (BadInput, UserExit, KeyboardInterrupt):
        raise
    except SystemExit as ended:
        raise UserExit(ended.code, reading) from None
    except BaseException as error:
        text = "".join(traceback.format_exception(error)) if debug else shortened(error)
        raise BadInput(f"{what} ({_gist(error)}); {_remedy(error)}", traceback=text) from None


def _gist(error: BaseException) -> str:
    """Return the class of an exception and the first line of its text."""
    from penstock.report.models import text_of

    kind, line = type(error).__name__, text_of(error).split("\n", 1)[0]
    return kind if line == kind else f"{kind}: {line:.200}"


def _remedy(error: BaseException) -> str:
    if isinstance(error, ImportError) and "relative import" in str(error):
        return "a file of a package is given as package.module:attribute"
    return "mend what the traceback above shows"


def shortened(error: BaseException) -> str:
    """Return the traceback of an exception without penstock's frames and those of the import machinery."""
    told = traceback.TracebackException.from_exception(error)
    pending, seen = [told], set()
    while pending:
        one = pending.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        kept = [frame for frame in one.stack if not _is_ours(frame.filename)]
        # Without a stack there is no "Traceback" line either.
        one.stack = traceback.StackSummary.from_list(kept) if kept else None  # type: ignore[assignment]
        pending += [other for other in (one.__cause__, one.__context__, *(one.exceptions or ())) if other]
    return "".join(told.format())


def _is_ours(filename: str) -> bool:
    return filename.startswith((_OWN_FOLDER, *_IMPORT_MACHINERY))
