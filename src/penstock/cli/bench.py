"""Measure penstock in a checkout, and compare with an earlier measurement."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from penstock.cli.console import complain, counted, escaped, say
from penstock.cli.errors import BadInput
from penstock.cli.jsonfile import STDOUT, add_json_option, check_writable, write_json

__all__ = ["configure", "main"]

DONE, WORSE = 0, 1

FORMAT = "penstock bench 1"
SIZE, ROUNDS = 100_000, 5
SUBJECT, FLOOR = "penstock", "F1"

#: Every process lays its memory out anew, which moves its figures as a whole: noise that one alone cannot measure.
PROCESSES = 3

#: A row counts as slower from this share on, however small its noise.
LEAST = 0.05

Row = dict[str, Any]


class Ratio(NamedTuple):
    """How many times the floor a row costs: the median over its rounds, and the quarters around it."""

    low: float
    middle: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:.2f} ({self.low:.2f}-{self.high:.2f})"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    tasks = {"type": _count, "metavar": "TASKS"}
    parser.add_argument("--size", help=f"tasks of the larger graphs, by default {SIZE:,}", **tasks)  # type: ignore[arg-type]
    parser.add_argument(
        "--rounds",
        type=_count,
        metavar="N",
        help=f"turns of each contender in each of {PROCESSES} processes, by default {ROUNDS}",
    )
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        help="cpu counts the time given to the process, for a machine that others use too; wall is the default",
    )
    parser.add_argument(
        "--compare",
        metavar="OLD.json",
        help="compare with what --json wrote before, by the ratios to F1; exit code 1 if something became slower "
        "by more than the noise that was measured",
    )
    add_json_option(parser, "every single figure")


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    folder = _benchmarks()
    check_writable(options.json)
    old = None if options.compare is None else _read(options.compare)
    settings = _settings(options, {} if old is None else old["facts"])
    facts, rows = _measured(folder / "table.py", settings, quiet=options.json == STDOUT)
    if options.json is not None:
        document = {"format": FORMAT, "facts": facts, "rows": rows}
        write_json(options.json, [json.dumps(document, indent=1), "\n"])
    return DONE if old is None else _compared(old["rows"], rows, quiet=options.json == STDOUT)


def _count(text: str) -> int:
    number = float(text)
    if not 1 <= number <= 1e9:
        raise ValueError
    return int(number)


# -- measuring ----------------------------------------------------------------------------------------------


def _benchmarks() -> Path:
    """Return the folder of benchmarks, of the checkout that penstock or the current folder is in."""
    here = Path.cwd()
    for root in (Path(__file__).resolve().parents[3], here, *here.parents):
        if (root / "benchmarks" / "table.py").is_file() and (root / "src" / "penstock").is_dir():
            return root / "benchmarks"
    raise BadInput(
        "the benchmarks do not come with an installed penstock; clone its repository, run "
        "pip install -e '.[bench]' there, and then this command"
    )


def _settings(options: argparse.Namespace, old: Row) -> list[str]:
    """Return what was asked for; what was not is as it was before, so that the two can be compared."""
    size = options.size or old.get("size", SIZE)
    if old and size != old["size"]:
        raise BadInput(f"--compare: {options.compare} was measured with --size {old['size']}; leave --size out")
    rounds = options.rounds or old.get("rounds", ROUNDS)
    clock = options.clock or old.get("clock", "wall")
    return ["--size", str(size), "--rounds", str(rounds), "--clock", clock]


def _measured(script: Path, settings: list[str], *, quiet: bool) -> tuple[Row, list[Row]]:
    """Return what is told about the machine, and the rows with the figures of all processes."""
    facts: Row = {}
    rows: dict[tuple[str, int, str], Row] = {}
    table = None
    for number in range(1, PROCESSES + 1):
        complain(f"measuring, {number} of {PROCESSES} ...")
        lines = _told(script, settings)
        facts = next(lines)
        if number == PROCESSES and not quiet:
            table = _Table(facts)
        for line in lines:
            row = rows.setdefault(_key(line), line)
            if row is not line:
                for label, found in line["nanoseconds"].items():
                    row["nanoseconds"][label] += found
            if table is not None:
                table.add(row)
    return facts, list(rows.values())


def _told(script: Path, settings: list[str]) -> Iterator[Row]:
    """Yield what one process of the benchmarks tells, which holds nothing else."""
    import subprocess

    command = [sys.executable, str(script), *settings]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                yield json.loads(line)
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise BadInput(f"the benchmarks broke off with exit code {process.returncode}; see above")


# -- showing ------------------------------------------------------------------------------------------------


class _Table:
    """Prints a line for every row as soon as it is there."""

    def __init__(self, facts: Row) -> None:
        self.labels = [label for label in facts["contenders"] if label != SUBJECT]
        loop = "" if facts["uvloop"] is None else f", uvloop {facts['uvloop']}"
        machine = f"{facts['processor'] or 'unknown processor'}, {facts['cores']} cores"
        say(escaped(f"penstock {facts['penstock']}, {facts['python']}{loop}, {facts['platform']}, {machine}"))
        say(
            f"Nanoseconds per task, medians of {facts['rounds']} turns in each of {PROCESSES} processes, "
            f"{facts['clock']} clock; in brackets the quarters of the turns around the median.\n"
        )
        heads = "".join(f"{label:>{_width(label)}}" for label in self.labels)
        say(f"{'':28}{'tasks':>11}  {'loop':8}{SUBJECT:>9}  {'times ' + FLOOR:18}{heads}")

    def add(self, row: Row) -> None:
        from statistics import median

        figures = {label: f"{median(found):,.0f}" for label, found in row["nanoseconds"].items()}
        others = "".join(f"{figures.get(label, '-'):>{_width(label)}}" for label in self.labels)
        say(f"{row['row']:28}{row['tasks']:>11,}  {row['loop']:8}{figures[SUBJECT]:>9}  {_ratio(row)!s:18}{others}")


def _width(label: str) -> int:
    return max(len(label), 6) + 2


def _ratio(row: Row) -> Ratio:
    """Return the ratio to the floor of the same round, which the ups and downs of the machine leave alone."""
    from statistics import quantiles

    times = row["nanoseconds"]
    ratios = [mine / floor for mine, floor in zip(times[SUBJECT], times[FLOOR], strict=True)]
    if len(ratios) == 1:
        return Ratio(*ratios * 3)
    low, middle, high = quantiles(ratios, n=4, method="inclusive")
    return Ratio(low, middle, high)


# -- comparing ----------------------------------------------------------------------------------------------


def _read(path: str) -> Row:
    """Return an earlier measurement.

    Raises
    ------
    BadInput
        The file is none.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise BadInput(f"--compare {path} cannot be read: {what or error}; give a file that --json wrote") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise BadInput(f"--compare {path} is no measurement of this penstock; give a file that --json wrote")
    return document


def _compared(old: list[Row], new: list[Row], *, quiet: bool) -> int:
    """Show how the ratios have changed; the exit code says whether one is worse."""
    before = {_key(row): _ratio(row) for row in old}
    seen = worse = 0
    tell = complain if quiet else say
    tell(f"\n{'times ' + FLOOR:50}{'before':20}{'now':20}")
    for row in new:
        if _key(row) not in before:
            continue
        was, now = before[_key(row)], _ratio(row)
        slower = now.low > was.high * (1 + LEAST)
        seen += 1
        worse += slower
        change = f"{now.middle / was.middle - 1:+.0%}"
        verdict = "  SLOWER" if slower else ""
        tell(f"{row['row']:28}{row['tasks']:>11,}  {row['loop']:9}{was!s:20}{now!s:20}{change:>6}{verdict}")
    tell(f"{worse} of {counted(seen, 'row')} slower beyond the noise.")
    return WORSE if worse else DONE


def _key(row: Row) -> tuple[str, int, str]:
    return row["row"], row["tasks"], row["loop"]
