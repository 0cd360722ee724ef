"""The command line ``penstock``: one module per subcommand.

Modules here import at their top only what every command needs, so that ``--help`` and a mistyped option
answer at once; networkx and uvloop are loaded by the command that uses them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from penstock.cli.console import OutputLost, complain
from penstock.cli.errors import BadInput, UserExit, code_of
from penstock.cli.parser import parse

__all__ = ["main"]

#: Exit codes; 0 and 1 and those of a signal come from the commands.
BAD_INPUT, INTERRUPTED, BUG = 2, 130, 70


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit code.

    Parameters
    ----------
    argv
        The arguments.  By default those of this process, which then is the command's own: a run that Ctrl-C
        cannot end in any other way ends the process.

    Returns
    -------
    int
        0 done, 1 tasks failed or something essential is broken, 2 bad input, 130 interrupted by Ctrl-C,
        143 ended by SIGTERM, 70 a bug in penstock.
    """
    try:
        options = parse(argv)
    except BadInput as error:
        error.show()
        complain("penstock: see penstock --help")
        return BAD_INPUT
    except SystemExit as done:  # --help and --version have printed what was asked for
        return code_of(done.code)
    try:
        return _guarded(options.command, options)
    except KeyboardInterrupt:
        complain("penstock: interrupted")
        return INTERRUPTED


def _guarded(command: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    try:
        return command(options)
    except BadInput as error:
        if options.debug and not error.traceback:
            _show_traceback(error)
        error.show()
        return BAD_INPUT
    except OutputLost as error:
        complain(f"penstock: error: {error}")
        return BAD_INPUT
    except UserExit as ended:
        code = code_of(ended.code)
        if code == 0 and ended.reading is not None:
            # Nothing was run, and 0 would say that all went well.
            complain(
                f"penstock: error: {ended.reading} ended itself while it was imported and gave no graph; "
                "put what is not meant for that under: if __name__ == '__main__'"
            )
            return BAD_INPUT
        return BAD_INPUT if isinstance(ended.code, str) else code
    except Exception as error:
        _show_traceback(error)
        complain(
            f"penstock: error: this is a bug in penstock ({type(error).__name__}); please report it with the "
            "traceback above and the output of penstock doctor"
        )
        return BUG


def _show_traceback(error: BaseException) -> None:
    import traceback

    complain("".join(traceback.format_exception(error)).rstrip("\n"))
