"""The public surface: what is exported is documented and says where it lives; importing it does nothing."""

import inspect
import json
import pkgutil
import subprocess
import sys

import pytest

import penstock
from penstock import errors


def test_all_is_sorted_and_names_every_public_class_there_is():
    assert penstock.__all__ == sorted(set(penstock.__all__))
    public = {name for name, value in vars(penstock).items() if inspect.isclass(value) and not name.startswith("_")}
    assert public <= set(penstock.__all__)
    assert all(hasattr(penstock, name) for name in penstock.__all__)


def test_a_star_import_gives_exactly_what_all_says():
    namespace = {}
    exec("from penstock import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(penstock.__all__)


@pytest.mark.parametrize("name", penstock.__all__)
def test_every_public_name_is_documented_down_to_its_methods(name):
    thing = getattr(penstock, name)
    assert inspect.getdoc(thing)
    if not inspect.isclass(thing):
        return
    for attribute, value in vars(thing).items():
        if attribute.startswith("_"):
            continue
        value = getattr(value, "__func__", value)
        if callable(value) or isinstance(value, property):
            assert inspect.getdoc(value), f"{name}.{attribute} has no docstring"


@pytest.mark.parametrize("name", penstock.__all__)
def test_public_classes_say_that_they_live_in_penstock(name):
    thing = getattr(penstock, name)
    if inspect.isclass(thing) and not thing.__module__.startswith("penstock._core"):
        assert thing.__module__ == "penstock"


def test_every_error_is_in_both_places_and_part_of_the_tree():
    for name in errors.__all__:
        assert getattr(errors, name) is getattr(penstock, name)
        assert issubclass(getattr(errors, name), penstock.PenstockError)
    assert penstock.TaskOrderLoopError is penstock.CycleError


def test_the_names_other_documents_rely_on_are_there():
    relied_on = """TaskGraph TaskOrder ExecutionPlan ExecutionPlanner ExecutionStage ExecutionReport Run Task
        TaskExecutionStatistics TaskAttemptStatistics CycleError DuplicateTaskError UnknownDependencyError
        DependencyFailureError RunFailed InvalidStateError PenstockError SchedulerError GraphError"""
    assert set(relied_on.split()) <= set(penstock.__all__)
    assert isinstance(penstock.__version__, str)
    assert not hasattr(penstock, "no_such_name")


def test_every_module_can_be_imported_by_itself():
    modules = [module.name for module in pkgutil.walk_packages(penstock.__path__, "penstock.")]
    modules = [name for name in modules if not name.endswith("__main__")]
    script = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    for loaded in list(sys.modules):
        if loaded.startswith("penstock.") and "_core" not in loaded:
            del sys.modules[loaded]
    sys.modules.pop("penstock", None)
    assert importlib.import_module(name).__doc__, f"{name} has no docstring"
"""
    python = [sys.executable, "-W", "error", "-c", script, json.dumps(modules)]
    ended = subprocess.run(python, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


IMPORT = """
import asyncio, gc, json, logging, multiprocessing, os, signal, sys, threading, warnings

def state():
    return {
        "threads": threading.active_count(),
        "handlers": [str(signal.getsignal(number)) for number in signal.valid_signals()],
        "logging": [logging.root.handlers == [], logging.root.level, logging.raiseExceptions],
        "loggers": [(name, logger.level, len(getattr(logger, "handlers", ())))
                    for name, logger in sorted(logging.root.manager.loggerDict.items())
                    if isinstance(logger, logging.Logger) and not name.startswith("penstock")],
        "start method": multiprocessing.get_start_method(allow_none=True),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "filters": len(warnings.filters),
        "hooks": [sys.excepthook is sys.__excepthook__, threading.excepthook is threading.__excepthook__],
        "recursion": sys.getrecursionlimit(),
        "switch": sys.getswitchinterval(),
        "collector": [gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()],
        "policy": type(asyncio.get_event_loop_policy()).__name__ if sys.version_info < (3, 14) else None,
    }

"""


def test_importing_penstock_starts_configures_and_imports_nothing_heavy():
    script = (
        IMPORT
        + """
before = state()
import penstock
assert state() == before, (before, state())
heavy = ["networkx", "uvloop", "rich", "numpy", "scipy", "cloudpickle", "concurrent.futures.process", "dask",
         "ray", "argparse", "penstock.cli", "penstock.formats.nx"]
print([name for name in heavy if name in sys.modules])
"""
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ended.stderr, ended.stdout) == ("", "[]\n")


def test_a_run_leaves_the_process_as_it_was():
    script = (
        IMPORT
        + """
import networkx
import penstock
before = state()
plan = penstock.TaskGraph.from_predecessors({"a": [], "b": ["a"]}).plan()
assert plan.run_sync(str.upper).successful_tasks == 2
asyncio.run(plan.run(str.upper))
assert plan.run_sync(lambda name: 1 / 0).failed_tasks == 1
assert state() == before, (before, state())
"""
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_importing_networkx_does_not_import_penstock():
    script = "import networkx, sys; print([name for name in sys.modules if name.split('.')[0] == 'penstock'])"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ended.stderr, ended.stdout) == ("", "[]\n")
