"""Penstock plans and runs very large task graphs inside one Python process.

A `TaskGraph` says what depends on what, its `plan` says in which order that can run, and running a plan gives an
`ExecutionReport`:

>>> import penstock
>>> graph = penstock.TaskGraph.from_predecessors({"a": [], "b": ["a"], "c": ["a"]})
>>> report = graph.plan().run_sync(str.upper)
>>> dict(report.results)
{'a': 'A', 'b': 'B', 'c': 'C'}

Everything public is imported from here or from `penstock.errors`; the modules are an arrangement of ours and may
change.  Importing penstock starts nothing: no thread, no event loop policy, no signal handler, no log handler.
"""

from penstock._core import Task as Task
from penstock.errors import CycleError as CycleError
from penstock.errors import DeadlockError as DeadlockError
from penstock.errors import DependencyFailureError as DependencyFailureError
from penstock.errors import DuplicateTaskError as DuplicateTaskError
from penstock.errors import FormatError as FormatError
from penstock.errors import GraphError as GraphError
from penstock.errors import InternalError as InternalError
from penstock.errors import InvalidStateError as InvalidStateError
from penstock.errors import PenstockError as PenstockError
from penstock.errors import RunFailed as RunFailed
from penstock.errors import SchedulerError as SchedulerError
from penstock.errors import Skip as Skip
from penstock.errors import TaskCancelledError as TaskCancelledError
from penstock.errors import TaskDependencyError as TaskDependencyError
from penstock.errors import TaskDuplicateExecutionError as TaskDuplicateExecutionError
from penstock.errors import TaskError as TaskError
from penstock.errors import TaskNotFoundError as TaskNotFoundError
from penstock.errors import TaskOrderLoopError as TaskOrderLoopError
from penstock.errors import TaskOrderNoExitError as TaskOrderNoExitError
from penstock.errors import TaskRegistrationError as TaskRegistrationError
from penstock.errors import TaskTimeout as TaskTimeout
from penstock.errors import UnknownDependencyError as UnknownDependencyError
from penstock.errors import UnknownTaskError as UnknownTaskError
from penstock.execution import Run as Run
from penstock.factory import task_factory as task_factory
from penstock.graph import TaskGraph as TaskGraph
from penstock.graph import TaskOrder as TaskOrder
from penstock.plan import ExecutionPlan as ExecutionPlan
from penstock.plan import ExecutionPlanner as ExecutionPlanner
from penstock.plan import ExecutionStage as ExecutionStage
from penstock.policies import Observer as Observer
from penstock.policies import Progress as Progress
from penstock.policies import RetryPolicy as RetryPolicy
from penstock.policies import TaskOptions as TaskOptions
from penstock.report.models import ExecutionReport as ExecutionReport
from penstock.report.models import TaskAttemptStatistics as TaskAttemptStatistics
from penstock.report.models import TaskExecutionStatistics as TaskExecutionStatistics
from penstock.report.models import TaskStageStatistics as TaskStageStatistics
from penstock.scheduler import DynamicScheduler as DynamicScheduler
from penstock.scheduler import ExecutionState as ExecutionState
from penstock.scheduler import StageStatus as StageStatus

__all__ = sorted(
    name
    for name, value in globals().items()
    if callable(value) and getattr(value, "__module__", "").startswith("penstock.")
)

# Reprs, tracebacks and pickles name the public place.
for _name in __all__:
    if isinstance(globals()[_name], type) and globals()[_name].__flags__ & (
        1 << 9
    ):  # a heap type: compiled classes know their module for good
        globals()[_name].__module__ = "penstock"
del _name


def __getattr__(name: str) -> str:
    """Look up ``__version__`` when it is asked for: reading the installed metadata takes longer than all else."""
    if name != "__version__":
        raise AttributeError(f"module 'penstock' has no attribute {name!r}")
    from importlib import metadata

    try:
        version = metadata.version("penstock")
    except metadata.PackageNotFoundError:  # imported from a source tree that is not installed
        version = "0+unknown"
    globals()["__version__"] = version
    return version
