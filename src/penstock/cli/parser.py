"""The arguments of all commands."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from penstock.cli import bench, doctor, plan, run, validate
from penstock.cli.console import say
from penstock.cli.errors import BadInput

__all__ = ["parse"]

TARGETS = """\
A graph is given as one of
  FILE.json             a workflow in WfFormat 1.3 to 1.6
  FILE.py[:ATTRIBUTE]   a Python file
  MODULE:ATTRIBUTE      a Python module, found as `python -m` finds it
The attribute is a TaskGraph, a plan, or a function that returns one of them and is given what
follows -- as one list of strings.  Without an attribute it is the file's `graph`, else `plan`,
else `main`.
"""

EXIT_CODES = """\
Exit codes: 0 all tasks completed, 1 tasks failed, 2 bad input, 130 interrupted by Ctrl-C.
"""


class _Parser(argparse.ArgumentParser):
    """Tells mistakes the way every other mistake is told."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(message)

    def _print_message(self, message: str, file: object = None) -> None:
        say(message.rstrip("\n"))  # help and version, into a pipe that may be closed


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the options of one command line.

    Beside those of its command they have ``command`` (what to call), ``arguments`` (what follows ``--``) and
    ``own_process`` (whether this is the command line of the process).

    Raises
    ------
    BadInput
        The arguments make no sense.
    SystemExit
        Help or the version was asked for and has been printed.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    rest: list[str] | None = None
    if "--" in arguments:
        at = arguments.index("--")
        arguments, rest = arguments[:at], arguments[at + 1 :]
    options = _parser().parse_args(arguments)
    if rest is not None and not options.takes_arguments:
        raise BadInput("this command takes no arguments after --")
    options.arguments = rest or []
    options.own_process = argv is None
    return options


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="penstock",
        description="Plan and run task graphs.",
        epilog=TARGETS + "\n" + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in (run, plan, validate, doctor, bench):
        name = module.__name__.rpartition(".")[2]
        takes_graph = module not in (doctor, bench)
        summary = (module.__doc__ or "").splitlines()[0]
        command = commands.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=TARGETS if takes_graph else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.set_defaults(command=module.main, takes_arguments=takes_graph)
        module.configure(command)
        command.add_argument("--debug", action="store_true", help="show whole tracebacks")
    return parser


class _Version(argparse.Action):
    """Prints the version, which is looked up only when it is asked for."""

    def __init__(self, option_strings: list[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *ignored: object) -> NoReturn:
        import penstock

        say(f"penstock {penstock.__version__}")
        parser.exit()
