"""Every exception that penstock raises on its own account.

.. code-block:: text

    PenstockError
      SchedulerError                      the root of all that the scheduler and the engine raise
        GraphError (ValueError)           you described something impossible; .problems has every single one
          CycleError (graphlib.CycleError)    = TaskOrderLoopError
          TaskDependencyError
            DuplicateTaskError
            UnknownDependencyError (LookupError)
          TaskOrderNoExitError
          TaskRegistrationError
          FormatError                     a graph file that cannot be read
        TaskError                         a task did not succeed
          DependencyFailureError
          TaskCancelledError
          TaskNotFoundError
          TaskDuplicateExecutionError
          TaskTimeout (TimeoutError)
        RunFailed (ExceptionGroup)        report.raise_for_failure()
        UnknownTaskError (KeyError)       a name that no task has
        InvalidStateError (RuntimeError)  a verb used at the wrong time
        DeadlockError (RuntimeError)      nothing is running, and tasks are left
        InternalError                     our bug

``asyncio.CancelledError``, ``KeyboardInterrupt`` and ``SystemExit`` pass through untouched, and a task's own
exception is never replaced: it is on the task's record, a group member, or a ``root_cause``.  All classes can be
pickled, because exceptions travel between processes.
"""

from __future__ import annotations

import difflib
import graphlib
import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.report.models import ExecutionReport

__all__ = [
    "CycleError",
    "DeadlockError",
    "DependencyFailureError",
    "DuplicateTaskError",
    "FormatError",
    "GraphError",
    "InternalError",
    "InvalidStateError",
    "PenstockError",
    "RunFailed",
    "SchedulerError",
    "Skip",
    "TaskCancelledError",
    "TaskDependencyError",
    "TaskDuplicateExecutionError",
    "TaskError",
    "TaskNotFoundError",
    "TaskOrderLoopError",
    "TaskOrderNoExitError",
    "TaskRegistrationError",
    "TaskTimeout",
    "UnknownDependencyError",
    "UnknownTaskError",
]

#: Names and arrows beyond this many are left out of a message; the attributes keep all of them.
MAX_NAMES_SHOWN = 20

#: In larger graphs unknown names get no look for similar ones: each takes some microseconds per task.
MOST_COMPARED = 100_000


def shown(name: object) -> str:
    """Return a task's name as messages print it: text as it is, anything else as its ``repr``."""
    if type(name) is str:
        return name
    try:
        return repr(name)
    except Exception as error:
        return f"<{type(name).__name__} object whose repr raises {type(error).__name__}>"


def shown_list(names: Sequence[object]) -> str:
    """Return names joined by commas, cut after `MAX_NAMES_SHOWN` with a count of the rest."""
    text = ", ".join(shown(name) for name in names[:MAX_NAMES_SHOWN])
    rest = len(names) - MAX_NAMES_SHOWN
    return f"{text} and {rest:,} more" if rest > 0 else text


class PenstockError(Exception):
    """Catch this to catch everything that penstock raises on its own account."""


class SchedulerError(PenstockError):
    """The root of the scheduler's and the engine's exceptions."""


class GraphError(SchedulerError, ValueError):
    """A graph that cannot be planned; ``problems`` has one exception for each thing to mend.

    Attributes
    ----------
    problems : tuple of GraphError
        Every single problem of the graph.  An exception that stands for one problem holds just itself.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self._others: tuple[GraphError, ...] = ()

    @property
    def problems(self) -> tuple[GraphError, ...]:
        """Every single problem of the graph, this one first."""
        return (self, *self._others)

    def __str__(self) -> str:
        if not self._others:
            return self.message
        return "\n".join(problem.message for problem in self.problems)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__)


def _restore(cls: type[GraphError], args: tuple[object, ...], state: dict[str, object]) -> GraphError:
    """Rebuild a pickled error without calling its ``__init__``, whose arguments are not its message."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def gather(problems: Sequence[GraphError]) -> GraphError:
    """Return the first problem as the exception to raise, with all the others attached to it.

    Nothing refers back from the others to the first, so the exception makes no reference cycle.
    """
    first = problems[0]
    first._others = tuple(problems[1:])
    return first


class CycleError(GraphError, graphlib.CycleError):
    """Tasks that wait for one another; break the cycle by removing one of the dependencies shown.

    Attributes
    ----------
    cycle : tuple
        The names along the cycle, each a dependency of the one after it; the first stands again at the end.
    errors : list of str
        The message of this cycle, one item.
    """

    def __init__(self, cycle: Sequence[Hashable], *, more: int = 0) -> None:
        self.cycle = tuple(cycle)
        #: How many further strongly connected components have a cycle that is not named.
        self.n_more = more
        # The message follows the arrow from a task to what it depends on; `cycle` runs the other way.
        arrows = [shown(name) for name in reversed(self.cycle)]
        if len(arrows) > MAX_NAMES_SHOWN + 1:
            hidden = len(arrows) - MAX_NAMES_SHOWN
            arrows[MAX_NAMES_SHOWN - 1 : -1] = [f"... ({hidden:,} more)"]
        text = "Cycle detected: " + " -> ".join(arrows)
        if more:
            text += f" (and {more:,} more groups of tasks with cycles)"
        super().__init__(text)
        # graphlib's users read the cycle from args[1].
        self.args = (text, list(self.cycle))

    @property
    def errors(self) -> list[str]:
        """The messages of all cycles found."""
        return [problem.message for problem in self.problems if isinstance(problem, CycleError)]


#: The contract's name for the same class.
TaskOrderLoopError = CycleError


class TaskDependencyError(GraphError):
    """Names that do not fit together: a name given twice, or a dependency that is no task."""


class DuplicateTaskError(TaskDependencyError):
    """Two tasks share a name; rename one or drop it.

    Attributes
    ----------
    name : hashable
        The name given more than once.
    count : int
        How often it was given.
    """

    def __init__(self, name: Hashable, count: int = 2) -> None:
        self.name = name
        self.count = count
        times = "twice" if count == 2 else f"{count:,} times"
        super().__init__(f"Duplicate task name: {shown(name)} is listed {times}; give each task a name of its own")


class UnknownDependencyError(TaskDependencyError, LookupError):
    """A task depends on a name that is not in the graph; add that task or mend the name.

    Attributes
    ----------
    name : hashable
        The task that has the dependency.
    missing : hashable
        The name that is not in the graph.
    close_matches : tuple of str
        Names in the graph that look like it.
    """

    def __init__(self, name: Hashable, missing: Hashable, close_matches: Sequence[str] = ()) -> None:
        self.name = name
        self.missing = missing
        self.close_matches = tuple(close_matches)
        text = f"Unknown dependency: {shown(name)} -> {shown(missing)}; {shown(missing)} is not in the graph"
        if self.close_matches:
            text += f"; did you mean {' or '.join(self.close_matches)}?"
        super().__init__(text)


def close_matches(missing: Hashable, names: Iterable[Hashable], *, most: int = 2) -> tuple[str, ...]:
    """Return the text names that resemble a missing one, the best first."""
    if not isinstance(missing, str):
        return ()
    return tuple(difflib.get_close_matches(missing, [name for name in names if isinstance(name, str)], most, 0.7))


class UnknownTaskError(SchedulerError, KeyError):
    """A name was given that no task has.

    Attributes
    ----------
    name : hashable
        The name.
    close_matches : tuple of str
        Names in the graph that look like it.
    """

    def __init__(self, name: Hashable, where: str, names: Sequence[Hashable] = ()) -> None:
        super().__init__(name)
        self.name = name
        self.where = where
        # Each look compares with every name.
        self.close_matches = close_matches(name, names) if len(names) <= MOST_COMPARED else ()

    def __str__(self) -> str:
        hint = f"; did you mean {' or '.join(self.close_matches)}?" if self.close_matches else ""
        return f"{self.where}: no task has the name {self.name!r}{hint}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.where), {"close_matches": self.close_matches}


class TaskOrderNoExitError(GraphError):
    """Every task has a dependency, so none can be first."""


class TaskRegistrationError(GraphError):
    """A task could not be registered, or the registered tasks do not fit together."""


class FormatError(GraphError):
    """A graph file that cannot be read; the message names the file, the place and the remedy.

    Attributes
    ----------
    path : str or None
        The file, where the graph came from one.
    """

    def __init__(self, message: str, path: str | None = None) -> None:
        self.path = path
        super().__init__(f"{path}: {message}" if path else message)


class TaskError(SchedulerError):
    """A task did not succeed."""


class DependencyFailureError(TaskError):
    """The task was skipped, because a task it depends on failed, was cancelled or was skipped.

    Attributes
    ----------
    failed_dependencies : list
        The names of its own dependencies that did not succeed.
    root_cause : BaseException or None
        The exception that began it, the very object the failing task raised.
    path : tuple
        The names from the task that failed first to this one; put together when it is asked for.
    """

    def __init__(
        self,
        message: str,
        failed_dependencies: Sequence[Hashable] | None = None,
        root_cause: BaseException | None = None,
        path: Sequence[Hashable] = (),
    ) -> None:
        super().__init__(message)
        self.failed_dependencies = list(failed_dependencies or ())
        self.root_cause = root_cause
        self._path = tuple(path)
        # Below a failure at the top of a long chain every path is long, and few are looked at: a report sets this
        # instead, to what yields the names from here up to the root.
        self._upwards: Callable[[], Iterator[Hashable]] | None = None
        #: The first name of the path.
        self.root_name: Hashable = self._path[0] if self._path else None
        self.__cause__ = root_cause

    @property
    def path(self) -> tuple[Hashable, ...]:
        """The names from the task that failed first to this one."""
        if self._upwards is not None:
            self._path, self._upwards = tuple(self._upwards())[::-1], None
        return self._path

    def last_of_path(self, most: int) -> tuple[Hashable, ...]:
        """Return the end of `path`, at most so many names, without putting together the rest."""
        if self._upwards is None:
            return self._path[-most:]
        return tuple(itertools.islice(self._upwards(), most))[::-1]

    def __reduce__(self) -> str | tuple[Any, ...]:
        self.path  # noqa: B018  what yields it cannot be pickled
        return super().__reduce__()


class TaskCancelledError(TaskError):
    """A task was cancelled; stands for it where only an ``Exception`` can stand.

    Attributes
    ----------
    task : hashable
        The name of the cancelled task.
    """

    def __init__(self, task: Hashable) -> None:
        super().__init__(f"Task '{shown(task)}' was cancelled")
        self.task = task

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.task,)


class TaskNotFoundError(TaskError):
    """A planned task has no function; give one for its name.

    Attributes
    ----------
    task_name : hashable
        The task without a function.
    """

    def __init__(self, task_name: Hashable) -> None:
        super().__init__(f"Task '{shown(task_name)}' not found in task list.")
        self.task_name = task_name

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.task_name,)


class TaskDuplicateExecutionError(TaskError):
    """A task was about to be started a second time in one run.

    Attributes
    ----------
    task_name : hashable
        The task started twice.
    """

    def __init__(self, task_name: Hashable) -> None:
        super().__init__(f"Task '{shown(task_name)}' has already been started.")
        self.task_name = task_name

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.task_name,)


class TaskTimeout(TaskError, TimeoutError):
    """An attempt of a task took longer than its ``task_timeout`` allows.

    Attributes
    ----------
    task_name : hashable
        The task.
    seconds : float
        The time it was given.
    """

    def __init__(self, task_name: Hashable, seconds: float) -> None:
        super().__init__(f"Task '{shown(task_name)}' timed out after {seconds:g} s")
        self.task_name = task_name
        self.seconds = seconds

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.task_name, self.seconds)


class RunFailed(SchedulerError, ExceptionGroup[Exception]):
    """Raised by ``report.raise_for_failure()``; its members are the exceptions that the tasks raised.

    Attributes
    ----------
    report : ExecutionReport or None
        The report of the run; None after pickling, because a report stays in its process.
    """

    report: ExecutionReport | None

    def __new__(cls, message: str, exceptions: Sequence[Exception], report: ExecutionReport | None = None) -> RunFailed:
        """Build the group; ExceptionGroup takes its arguments here."""
        group = super().__new__(cls, message, exceptions)
        group.report = report
        return group

    def __init__(self, message: str, exceptions: Sequence[Exception], report: ExecutionReport | None = None) -> None:
        super().__init__(message, exceptions)

    def derive(self, excs: Sequence[Exception]) -> RunFailed:  # type: ignore[override]
        """Return a group of some of the members, which keeps the report (``except*`` calls this)."""
        return RunFailed(self.message, excs, self.report)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, list(self.exceptions))


class InvalidStateError(SchedulerError, RuntimeError):
    """A verb was used at the wrong time; the message says which one fits."""


class DeadlockError(SchedulerError, RuntimeError):
    """Nothing is running or timed, and tasks are left that nothing will ever start.

    Attributes
    ----------
    blocking : tuple
        The names of the unfinished tasks whose own dependencies have all ended, or all unfinished ones.
    """

    def __init__(self, blocking: Sequence[Hashable], left: int) -> None:
        self.blocking = tuple(blocking)
        self.left = left
        super().__init__(f"nothing is running and {left:,} tasks are left; blocking: {shown_list(self.blocking)}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.blocking, self.left)


class Skip(PenstockError):
    """A body raises this to say that there is nothing to do; its dependents are skipped, and nothing has failed.

    Parameters
    ----------
    reason
        Why, for the report.
    """

    def __init__(self, reason: object = "") -> None:
        super().__init__(reason)
        self.reason = reason


class InternalError(SchedulerError):
    """Penstock broke a rule of its own; please report it with the message and the traceback."""
