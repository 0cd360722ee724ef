"""``penstock bench`` measures in a checkout, and tells what became slower from what is noise."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.cli import bench

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

FACTS = {
    "penstock": "1.2.3",
    "python": "CPython 3.13.0",
    "platform": "Linux x86_64",
    "processor": "some processor",
    "cores": 2,
    "uvloop": None,
    "size": 1000,
    "rounds": 2,
    "clock": "wall",
    "contenders": ["penstock", "F1", "counters"],
}


def row(ratios: list[float], name: str = "coroutines, layered") -> dict[str, Any]:
    times = {"penstock": [200.0 * ratio for ratio in ratios], "F1": [200.0] * len(ratios)}
    return {"row": name, "tasks": 1000, "loop": "asyncio", "nanoseconds": times}


def measurement(*rows: dict[str, Any], **facts: object) -> str:
    return json.dumps({"format": bench.FORMAT, "facts": FACTS | facts, "rows": rows})


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    """``measuring(row, ...)`` lets each process of the benchmarks tell these rows; gives what they are asked."""

    def told(*rows: dict[str, Any]) -> list[list[str]]:
        asked: list[list[str]] = []

        def tell(script: Path, settings: list[str]) -> Iterator[dict[str, Any]]:
            asked.append(settings)
            return iter(json.loads(json.dumps([FACTS, *rows])))

        monkeypatch.setattr(bench, "_told", tell)
        return asked

    return told


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever penstock is installed, the command finds this checkout, unless a test says otherwise."""
    monkeypatch.setattr(bench, "__file__", str(BENCHMARKS.parent / "src" / "penstock" / "cli" / "bench.py"))


@pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the benchmarks are not here")
def test_a_checkout_is_measured_and_compared_with_itself(cli, folder):
    code, out, _ = cli("bench", "--size", "20", "--rounds", "1", "--json", "now.json")
    assert code == 0
    assert "func(name) beside others" in out
    assert "request of ten tasks" in out
    document = json.loads((folder / "now.json").read_text())
    assert document["facts"]["size"] == 20
    for found in document["rows"]:
        assert {"penstock", "F1"} <= found["nanoseconds"].keys()
        assert all(len(times) == bench.PROCESSES for times in found["nanoseconds"].values())
    first_line = out.splitlines()[0]
    assert document["facts"]["python"] in first_line
    assert document["facts"]["processor"] in first_line


def test_an_installed_wheel_has_no_benchmarks_and_names_the_remedy(cli, folder, monkeypatch):
    monkeypatch.setattr(bench, "__file__", str(folder / "lib" / "python" / "penstock" / "cli" / "bench.py"))
    code, out, err = cli("bench", "--json", "now.json")
    assert (code, out) == (2, "")
    assert "do not come with an installed penstock" in err
    assert "clone its repository, run pip install -e '.[bench]' there" in err
    assert not (folder / "now.json").exists()


def test_an_installed_penstock_finds_the_checkout_around_the_current_folder(cli, folder, monkeypatch, measuring):
    measuring(row([0.5, 0.6]))
    monkeypatch.setattr(bench, "__file__", str(folder / "lib" / "python" / "penstock" / "cli" / "bench.py"))
    (folder / "src" / "penstock").mkdir(parents=True)
    (folder / "benchmarks").mkdir()
    (folder / "benchmarks" / "table.py").touch()
    monkeypatch.chdir(folder / "src")
    assert cli("bench").code == 0


def test_the_table_shows_medians_and_the_ratio_to_the_floor(cli, folder, measuring):
    measuring(row([0.5, 0.6, 0.7]))
    code, out, _ = cli("bench")
    assert code == 0
    assert out.splitlines()[0] == "penstock 1.2.3, CPython 3.13.0, Linux x86_64, some processor, 2 cores"
    assert out.splitlines()[-1].split() == [
        *("coroutines,", "layered", "1,000", "asyncio", "120", "0.60", "(0.50-0.70)", "200", "-")
    ]


@pytest.mark.parametrize(
    ("now", "code"),
    [
        pytest.param([0.60, 0.61, 0.62], 0, id="the same"),
        pytest.param([0.40, 0.41, 0.42], 0, id="faster"),
        pytest.param([0.62, 0.63, 0.64], 0, id="slower by less than five per cent"),
        pytest.param([0.60, 0.90, 0.95], 0, id="slower and within its own noise"),
        pytest.param([0.80, 0.81, 0.82], 1, id="slower"),
    ],
)
def test_only_what_is_beyond_the_noise_is_a_regression(cli, folder, measuring, now, code):
    (folder / "old.json").write_text(measurement(row([0.60, 0.61, 0.62]), row([9.0], "no longer measured")))
    measuring(row(now), row([5.0], "new"))
    found = cli("bench", "--compare", "old.json")
    assert found.code == code
    assert ("SLOWER" in found.out) == bool(code)
    assert f"{code} of 1 row slower beyond the noise." in found.out
    assert "new" not in found.out.partition("before")[2]


def test_noise_of_the_old_measurement_counts_too(cli, folder, measuring):
    (folder / "old.json").write_text(measurement(row([0.4, 0.6, 1.2])))
    measuring(row([0.8, 0.81, 0.82]))
    assert cli("bench", "--compare", "old.json").code == 0


def test_absolute_times_do_not_count(cli, folder, measuring):
    slow_machine = row([0.60, 0.61, 0.62])
    for times in slow_machine["nanoseconds"].values():
        times[:] = [10 * time for time in times]
    (folder / "old.json").write_text(measurement(row([0.60, 0.61, 0.62])))
    measuring(slow_machine)
    assert cli("bench", "--compare", "old.json").code == 0


def test_what_is_not_asked_for_is_as_it_was_in_the_measurement_compared_with(cli, folder, measuring):
    (folder / "old.json").write_text(measurement(row([0.6]), size=777, rounds=3, clock="cpu"))
    asked = measuring(row([0.6]))
    assert cli("bench", "--compare", "old.json").code == 0
    assert asked == [["--size", "777", "--rounds", "3", "--clock", "cpu"]] * bench.PROCESSES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read: No such file or directory; give a file that --json wrote"),
        ("{", "cannot be read: it is not JSON; give a file that --json wrote"),
        ("[]", "is no measurement of this penstock; give a file that --json wrote"),
        ('{"format": "other"}', "is no measurement of this penstock; give a file that --json wrote"),
    ],
)
def test_a_measurement_that_cannot_be_compared_with_is_refused_before_measuring(cli, folder, measuring, text, message):
    asked = measuring(row([0.6]))
    if text is not None:
        (folder / "old.json").write_text(text)
    code, out, err = cli("bench", "--compare", "old.json")
    assert (code, out, asked) == (2, "", [])
    assert message in err


def test_another_size_than_that_compared_with_is_refused(cli, folder, measuring):
    asked = measuring(row([0.6]))
    (folder / "old.json").write_text(measurement(row([0.6])))
    code, _, err = cli("bench", "--compare", "old.json", "--size", "99")
    assert (code, asked) == (2, [])
    assert "was measured with --size 1000; leave --size out" in err


def test_json_on_standard_output_stands_alone(cli, folder, measuring):
    measuring(row([0.6]))
    (folder / "old.json").write_text(measurement(row([0.1])))
    code, out, err = cli("bench", "--json", "-", "--compare", "old.json")
    assert code == 1
    assert json.loads(out)["rows"][0]["nanoseconds"]["F1"] == [200.0] * bench.PROCESSES
    assert "SLOWER" in err


def test_benchmarks_that_break_off_are_an_error(cli, folder, monkeypatch):
    (folder / "table.py").write_text("import sys; print('{}', flush=True); sys.exit('it broke')")
    told = bench._told
    monkeypatch.setattr(bench, "_told", lambda script, settings: told(folder / "table.py", settings))
    code, out, err = cli("bench")
    assert (code, out) == (2, "")
    assert "the benchmarks broke off with exit code 1; see above" in err


@pytest.mark.parametrize("option", ["--size", "--rounds"])
@pytest.mark.parametrize("value", ["0", "-1", "many", "inf"])
def test_numbers_have_to_be_positive(cli, option, value):
    assert cli("bench", option, value).code == 2
