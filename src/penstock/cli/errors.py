"""What ends a command early, and how it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.cli.console import complain, escaped

if TYPE_CHECKING:
    from penstock.errors import GraphError

__all__ = ["BadInput", "UserExit", "code_of", "graph_problems"]


class BadInput(Exception):
    """Something that the user gave cannot be used; ends the command with exit code 2.

    Parameters
    ----------
    message
        One line that names the thing and the remedy.
    details
        More lines, one for each problem.
    traceback
        The traceback of the user's own code, where that is what went wrong.
    """

    def __init__(self, message: str, details: tuple[str, ...] = (), traceback: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.traceback = traceback

    def show(self) -> None:
        """Print everything to standard error."""
        if self.traceback:
            complain(self.traceback.rstrip("\n"))
        complain(f"penstock: error: {escaped(self.message)}")
        for line in self.details:
            complain(f"  {escaped(line)}")


class UserExit(Exception):
    """The user's own code asked the process to end, as argparse does for ``--help``.

    ``reading`` is the file or module that was being imported, if it was not a function that asked.
    """

    def __init__(self, code: object, reading: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.reading = reading


def code_of(code: object) -> int:
    """Return the exit code that a ``SystemExit`` asks for; anything but a number is printed."""
    if code is None:
        return 0
    if isinstance(code, int):
        return int(code)
    complain(str(code))
    return 1


def graph_problems(source: str, error: GraphError) -> BadInput:
    """Return how to tell a graph's problems, every one of them with its remedy."""
    from penstock.errors import FormatError

    if isinstance(error, FormatError):
        return BadInput(str(error))  # names the file itself
    problems = tuple(problem.message + _remedy(problem) for problem in error.problems)
    if len(problems) == 1:
        return BadInput(f"{source}: {problems[0]}")
    return BadInput(f"{source} cannot be planned, because of {len(problems):,} problems", problems)


def _remedy(problem: GraphError) -> str:
    from penstock.errors import CycleError, UnknownDependencyError

    if isinstance(problem, CycleError):
        if len(set(problem.cycle)) == 1:
            return "; a task cannot depend on itself, remove that dependency"
        return "; remove one of these dependencies"
    if isinstance(problem, UnknownDependencyError):
        return "" if problem.close_matches else "; add that task or remove the dependency"
    return ""
