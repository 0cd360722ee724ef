"""Run a task graph and print a summary.

Standard output gets the summary, standard error the progress line if it is a terminal.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.cli.console import OutputLost, complain, escaped, say
from penstock.cli.errors import BadInput, code_of
from penstock.cli.jsonfile import STDOUT, add_json_option, check_writable, write_json

if TYPE_CHECKING:
    from penstock.cli.bodies import Bodies
    from penstock.cli.driving import Ending
    from penstock.report.models import ExecutionReport

__all__ = ["configure", "main"]

#: So many tracebacks of failed tasks are shown with --debug.
MAX_TRACEBACKS = 5

_PARTIAL = "the report has what was done until then"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("graph", metavar="GRAPH", help="what to run, see below")
    parser.add_argument(
        "--max-concurrency",
        type=_positive,
        metavar="N",
        help="run at most N tasks at once (default: no limit, with --execute the number of cores)",
    )
    parser.add_argument(
        "--failure-policy",
        choices=("stop", "continue"),
        default="stop",
        help="what a failing task does: stop the run, or skip only what depends on it (default: stop)",
    )
    add_json_option(parser, "the whole report")
    parser.add_argument("-q", "--quiet", action="store_true", help="print neither progress nor summary")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--time-scale",
        type=_scale,
        metavar="X",
        help="WfFormat: replay every recorded second in X seconds, 0 for no waiting at all "
        "(default: the critical path takes 3 seconds)",
    )
    how.add_argument(
        "--execute",
        action="store_true",
        help="WfFormat: run the recorded commands in a new folder, which is removed if all tasks complete",
    )


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive whole number")
    return number


def _scale(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return number


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from penstock.cli.bodies import bodies_for
    from penstock.cli.driving import Settings, drive
    from penstock.cli.loading import loaded
    from penstock.report.progress import progress_line

    check_writable(options.json, options.graph)
    with contextlib.ExitStack() as stack:
        graph = stack.enter_context(loaded(options.graph, options.arguments, options.debug))
        bodies = stack.enter_context(bodies_for(graph, options.time_scale, options.execute))
        settings = Settings(
            max_concurrency=options.max_concurrency or bodies.max_concurrency,
            failure_policy=options.failure_policy,
            progress=None if options.quiet else progress_line(graph.plan.total_tasks),
            may_exit=options.own_process,
        )
        teller = _Teller(options, bodies)
        if bodies.folder is not None and teller.talks:
            say(f"Commands work in {bodies.folder}")
        ending = drive(graph.plan, bodies.functions, settings, teller.tell)
    return 2 if teller.failed and ending.signum is None else _exit_code(ending)


def _exit_code(ending: Ending) -> int:
    if ending.signum is not None:
        return 128 + ending.signum
    if isinstance(ending.raised, SystemExit):
        return code_of(ending.raised.code)
    if ending.raised is not None:
        return 128 + signal.SIGINT
    return 0 if ending.report.execution_state == "completed" else 1


@dataclass
class _Teller:
    """Tells how a run ended; ``failed`` if the report could not be written."""

    options: argparse.Namespace
    bodies: Bodies
    failed: bool = False

    @property
    def talks(self) -> bool:
        """Whether standard output is for people."""
        return not self.options.quiet and self.options.json != STDOUT

    def tell(self, ending: Ending) -> None:
        """Write the report, print the summary and whatever needs attention."""
        report, options = ending.report, self.options
        with self.noted():
            if options.json is not None:
                from penstock.report.export import json_chunks

                write_json(options.json, json_chunks(report))
        with self.noted():
            if self.talks:
                say(report.summary())
        self.bodies.completed = report.execution_state == "completed"
        for line in self.remarks(ending):
            complain(f"penstock: {escaped(line)}")
        if options.debug:
            _show_tracebacks(report)

    def remarks(self, ending: Ending) -> Iterator[str]:
        """Yield what is said on standard error; nothing after a run in which every task completed."""
        report = ending.report
        if ending.signum is not None:
            yield f"interrupted by {signal.Signals(ending.signum).name}; {_PARTIAL}"
        elif ending.raised is not None:
            yield f"{_raiser(ending)}; {_PARTIAL}"
        elif self.options.quiet and not self.bodies.completed:
            yield report.error_summary[0] if report.error_summary else f"the run was {report.execution_state}"
        if self.bodies.folder is not None and not self.bodies.completed:
            yield f"the work folder {self.bodies.folder} is kept"

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Tell that something cannot be written, and go on with the rest."""
        try:
            yield
        except BadInput as error:
            self.failed = True
            error.show()
        except OutputLost as error:
            self.failed = True
            complain(f"penstock: error: {error}")


def _raiser(ending: Ending) -> str:
    """Say which task ended the run by raising KeyboardInterrupt or SystemExit."""
    from penstock.errors import shown

    what = repr(ending.raised)
    facts, names = ending.report._facts, ending.report._names
    for task, error in facts.exceptions.items():
        if error is ending.raised:
            return f"task {shown(names[task])} raised {what}"
    return f"{what} ended the run"


def _show_tracebacks(report: ExecutionReport) -> None:
    import itertools
    import traceback

    for record in itertools.islice(report.failures(), MAX_TRACEBACKS):
        assert record.exception is not None
        complain("".join(traceback.format_exception(record.exception)).rstrip("\n"))
