"""The commands that show something: indicators, schema, check, bars, import, version, help."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from foundation.home import CHECKOUT
from launcher.commands import app
from tests.launcher.conftest import Run

COMMANDS = [
    "up", "version", "import", "bars", "indicators", "schema", "check", "backtest", "sweep",
    "optimise", "walk-forward", "monte-carlo", "evidence", "compare", "report", "runs",
]  # fmt: skip


def test_every_command_is_there() -> None:
    assert sorted(command.name or "" for command in app.registered_commands) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_shows_an_example_of_it(run: Run, command: str) -> None:
    answer = run(command, "--help")
    assert answer.code == 0
    assert f"Example: quarterdeck {command}" in answer.out


def test_unknown_command_is_wrong_usage(run: Run) -> None:
    answer = run("backtset")
    assert answer.code == 2
    assert "backtset" in answer.err


def test_indicators_tell_all_that_a_trader_must_know(run: Run) -> None:
    found = {one["name"]: one for one in json.loads(run("indicators", "--json").out)}
    stoch = found["stoch"]
    assert stoch["kind"] == "kernel"
    assert [p["name"] for p in stoch["parameters"]] == ["k", "smooth_k", "d"]
    assert stoch["outputs"] == ["k", "d"]
    # 14 bars for the range, and two averages of 3: 13 + 2 + 2.
    assert stoch["warmup"] == 17
    assert "TA-Lib" in stoch["oracle"]
    assert 0.0 <= stoch["largest_difference"] < 1e-9
    kinds = {one["kind"] for one in found.values()}
    assert kinds == {"kernel", "tail"}
    assert len(found) > 100
    kernels = json.loads(run("indicators", "--kind", "kernel", "--json").out)
    assert {one["name"] for one in kernels} == {
        name for name, one in found.items() if one["kind"] == "kernel"
    }


def test_one_indicator_is_shown_and_an_unknown_one_suggests(run: Run) -> None:
    assert "Relative strength index" in run("indicators", "rsi").out
    answer = run("indicators", "rsl")
    assert answer.code == 1
    assert answer.error == "unknown indicator `rsl`; did you mean `rsi`?"


def test_schema_is_json_and_accepts_only_known_names(run: Run) -> None:
    schema = json.loads(run("schema", "strategy").out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert run("schema", "tragedy").code == 2


@pytest.mark.parametrize(
    "path", sorted((CHECKOUT / "examples").glob("*.yaml")), ids=lambda p: p.stem
)
def test_check_understands_every_example(run: Run, path: Path) -> None:
    told = json.loads(run("check", path, "--json").out)
    assert told["name"] == path.stem.replace("_", "-")
    assert told["indicators"]
    assert told["orders"][0].startswith("entry: ")
    assert run("check", path).code == 0


def test_check_counts_warm_up_in_bars_of_each_timeframe(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "name: s\ntimeframe: 1d\ninstruments: [AAPL]\n"
        "parameters: {n: {default: 14}}\n"
        "indicators:\n"
        "  both: ema(rsi(close, $n), 9)\n"
        "  weekly: ema(close, 40) @ 1w\n"
        "enter_long: both > 50 and close > highest(high, 20)[5] and close > weekly\n"
        "exit_long: both < 40\n"
    )
    told = json.loads(run("check", path, "--json").out)
    # rsi(14) waits 14 bars, and the average of 9 for 8 more.
    assert told["indicators"]["both"] == {"1d": 22}
    assert told["indicators"]["weekly"] == {"1w": 39}
    # highest(20) waits 19 bars, five bars ago 24.
    assert told["warmup"] == {"1d": 24, "1w": 39}


def test_bars_lists_series_and_shows_one(run: Run) -> None:
    listed = json.loads(run("bars", "--json").out)
    assert {(one["symbol"], one["timeframe"]): one["bars"] for one in listed}[
        ("AAPL", "1d")
    ] == 3270
    shown = json.loads(run("bars", "AAPL", "1d", "--rows", "2", "--json").out)
    assert len(shown["rows"]) == 4
    # The public record: AAPL opened at 118.56 on 1 March 2000.
    assert shown["rows"][0]["ts"] == "2000-03-01T14:30Z"
    assert shown["rows"][0]["open"] == 118.56
    answer = run("bars", "AAPL", "1h")
    assert answer.code == 1
    assert answer.error == "no 1h bars of AAPL are stored; there are 1d"


def test_bars_of_an_empty_store_say_how_to_fill_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTERDECK_HOME", str(tmp_path / "nothing"))
    assert "quarterdeck import sample" in run("bars").out
    assert run("bars", "--json").out == "[]\n"


def test_import_of_the_sample_twice_changes_nothing(run: Run, home: Path) -> None:
    files = {path: path.stat().st_mtime_ns for path in (home / "bars").rglob("*.parquet")}
    assert run("import", "sample").code == 0
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_reader_that_stops_reading_causes_no_traceback(home: Path) -> None:
    command = f"{sys.executable} -m launcher.command indicators --json | head -n 1"
    done = subprocess.run(
        ["sh", "-c", command], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "[\n"
    assert done.stderr == ""


def test_version_names_what_results_rest_on(run: Run, home: Path) -> None:
    told = json.loads(run("version", "--json").out)
    assert told["home"] == str(home)
    assert {"quarterdeck", "engine", "kernels", "numba", "numpy"} <= set(told)
