"""`quarterdeck backtest` as it is typed: files, record, JSON, start-up."""

from __future__ import annotations

import inspect
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from foundation.home import CHECKOUT
from launcher import quick
from launcher.backtesting import BacktestOptions
from launcher.commands import app
from tests.launcher.conftest import Run

RESULT_FILES = {
    "summary.json", "trades.parquet", "orders.parquet", "fills.parquet", "cash_events.parquet",
    "equity.parquet", "decisions.parquet",
}  # fmt: skip
SAMPLE_FILE = CHECKOUT / "market_data" / "sample" / "wiki_daily.parquet"


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_result_and_report_are_written_and_the_run_is_recorded(
    run: Run, home: Path, strategy: Path
) -> None:
    answer = run("backtest", strategy, "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    directory = Path(told.pop("directory"))
    assert directory.parent == home / "results" / "reversal"
    assert names_in(directory) >= RESULT_FILES | {"report.html", "report.pdf", "report.xlsx"}
    assert told == json.loads((directory / "summary.json").read_text())
    recorded = json.loads(run("runs", "--json").out)
    assert [one["run_id"] for one in recorded] == [told["run_id"]] == [directory.name]
    assert recorded[0]["status"] == "succeeded"
    assert recorded[0]["result_directory"] == str(directory)
    assert recorded[0]["key_figures"]["final_equity"] == told["final_equity"]
    assert json.loads(run("runs", "--strategy", "another", "--json").out) == []


def test_no_report_and_no_record_leave_them_out(run: Run, strategy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("backtest", strategy, "--out", out, "--no-report", "--no-record").code == 0
    assert names_in(out) == RESULT_FILES
    assert json.loads(run("runs", "--json").out) == []
    answer = run("report", out, "--format", "html", "--format", "csv", "--json")
    assert answer.code == 0, answer.err
    written = [Path(name) for name in json.loads(answer.out)["files"]]
    assert out / "report.html" in written
    assert all(path.is_file() for path in written)
    assert not (out / "report.pdf").exists()


def test_result_that_cannot_be_recorded_is_whole_and_said(
    run: Run, home: Path, strategy: Path, tmp_path: Path
) -> None:
    assert run("runs").code == 0
    out = tmp_path / "out"
    with closing(sqlite3.connect(home / "quarterdeck.sqlite")) as another:
        another.execute("BEGIN IMMEDIATE")  # Others may read, but not write.
        answer = run("backtest", strategy, "--out", out, "--no-report")
    assert answer.code == 1
    assert answer.error.startswith(f"the result is in {out}, but could not be recorded: ")
    assert "--no-record" in answer.error
    assert names_in(out) == RESULT_FILES


@pytest.mark.parametrize("recorded", ["--record", "--no-record"])
def test_nothing_runs_where_the_record_can_t_tell_what_is_locked(
    run: Run, home: Path, strategy: Path, tmp_path: Path, recorded: str
) -> None:
    (home / "quarterdeck.sqlite").write_bytes(b"this is no database" * 100)
    out = tmp_path / "out"
    answer = run("backtest", strategy, "--out", out, "--no-report", recorded)
    assert answer.code == 1
    assert "quarterdeck.sqlite can't be used: file is not a database" in answer.error
    assert not out.exists()


def test_dates_are_sessions_and_both_are_included(run: Run, strategy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    dates = ("--start", "2010-07-04", "--end", "2010-07-09")
    assert run("backtest", strategy, *dates, "--out", out, "--no-report", "--no-record").code == 0
    sessions = pq.read_table(out / "equity.parquet")["session"].unique().to_pylist()
    # 4 July 2010 was a Sunday, and the holiday was kept on Monday.
    assert sessions == [date(2010, 7, day) for day in (6, 7, 8, 9)]
    decisions = pq.read_table(out / "decisions.parquet").to_pylist()
    assert all(row["indicator: rsi"] == row["indicator: rsi"] for row in decisions)
    assert run("backtest", strategy, *dates, "--no-warmup", "--out", out, "--no-report",
               "--no-record").code == 0  # fmt: skip
    cold = pq.read_table(out / "decisions.parquet").to_pylist()
    assert {row["reason"] for row in cold} == {"warming_up"}


def test_another_home_can_be_the_store(
    run: Run, home: Path, strategy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    monkeypatch.setenv("QUARTERDECK_HOME", str(empty))
    options = ("--no-report", "--no-record", "--json")
    assert run("backtest", strategy, *options).code == 1
    told = json.loads(run("backtest", strategy, "--bars", home, *options).out)
    assert told["bars"] == 3270
    assert Path(told["directory"]).is_relative_to(empty)


def test_sweep_row_equals_backtest_set(run: Run, strategy: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    answer = run(
        *("sweep", strategy, "--set", "length=10,14", "--set", "oversold=30"),
        *("--out", out, "--json"),
    )
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    assert told["parameters"] == ["length"]
    assert told["fixed"] == {"oversold": 30.0}
    rows = pq.read_table(out / "sweep.parquet").to_pylist()
    assert [row["length"] for row in rows] == [10.0, 14.0]
    for row in rows:
        alone = json.loads(
            run("backtest", strategy, "--set", f"length={row['length']:g}", "--set",
                "oversold=30", "--no-report", "--no-record", "--json").out
        )  # fmt: skip
        figures = {name: alone[name] for name in row if name in alone}
        assert len(figures) >= 20
        assert {name: row[name] for name in figures} == figures


def test_sweep_without_values_goes_over_the_declared_ranges(
    run: Run, strategy: Path, home: Path
) -> None:
    answer = run("sweep", strategy, "--start", "2012-01-03", "--random", "5", "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    # 29 lengths and 8 levels.
    assert told["n_grid"] == 29 * 8
    assert told["n_sets"] == 5
    assert Path(told["directory"]).parent == home / "sweeps" / "reversal"


def test_compare_names_what_differs(run: Run, strategy: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder, length in zip(folders, ("10", "14"), strict=True):
        done = run("backtest", strategy, "--set", f"length={length}", "--out", folder,
                   "--no-report", "--no-record")  # fmt: skip
        assert done.code == 0, done.err
    told = json.loads(run("compare", *folders, "--json").out)
    assert {(one["of"], one["path"]): one["values"] for one in told["differences"]} == {
        ("run", "parameters.length"): ["10", "14"]
    }
    assert run("compare", folders[0]).code == 2


_WATCHED = """
import os, sys
rename = os.rename
def watched(source, target, **more):
    if os.path.isfile(os.path.join(source, "summary.json")):
        print("\\n".join(sys.modules), file=sys.stderr)
        sys.stderr.flush()
    return rename(source, target, **more)
os.rename = watched
sys.argv = ["quarterdeck", *sys.argv[1:]]
from launcher.command import main
main()
"""


@pytest.mark.parametrize("bars", ["store", str(SAMPLE_FILE)])
def test_summary_is_written_without_what_it_does_not_need(
    home: Path, strategy: Path, tmp_path: Path, bars: str
) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-c", _WATCHED, "backtest", str(strategy), "--bars", bars),
            *("--symbol", "AAPL", "--out", str(tmp_path / "out"), "--no-report", "--no-record"),
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stderr.split())
    assert {"numba", "numpy", "msgspec", "yaml", "pyarrow"} <= loaded
    assert not loaded & {
        "pandas", "polars", "dagster", "plotly", "duckdb", "sqlalchemy", "pydantic", "typer",
        "rich", "scipy", "cffi", "streamlit", "matplotlib", "exchange_calendars", "talib",
        "pandas_ta",
    }  # fmt: skip


def test_ctrl_c_ends_with_130_and_leaves_no_result(
    home: Path, strategy: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "launcher.command", "backtest", str(strategy)]
    process = subprocess.Popen(
        [*command, "--out", str(out), "--no-report", "--no-record"],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=_hear_ctrl_c,
    )
    # Python is up once it has opened files of the checkout.
    while not any("launcher" in name for name in _open_or_mapped(process.pid)):
        assert process.poll() is None
        time.sleep(0.01)
    mask = Path(f"/proc/{process.pid}/status").read_text()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130, f"{error.decode()}\n{mask}"
    assert not out.exists()


def _hear_ctrl_c() -> None:
    """Undo in a child what a background shell or another test has set: signals ignored, or held."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _open_or_mapped(pid: int) -> list[str]:
    """Name the compiled libraries and sources that a process has loaded, so far as seen."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return []
    return ["launcher"] if "numpy" in maps or "msgspec" in maps else []


# The two readers of a backtest's command line.


def test_quick_reader_knows_exactly_the_options_that_typer_knows() -> None:
    import typer.main

    command = typer.main.get_command(app).commands["backtest"]  # type: ignore[attr-defined]
    known = {
        name
        for parameter in command.params
        if parameter.param_type_name == "option"
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    # Help is typer's to give.
    assert quick.WITH_VALUE | quick.REPEATED | set(quick.FLAGS) == known - {"--help", "-h"}


FULL = (
    "backtest", "a.yaml", "--bars", "b.csv", "--out", "c", "--symbol", "X", "--symbol=Y",
    "--start", "2012-01-03", "--end", "2012-02-03", "--cash", "5e3", "--set", "n=3",
    "--set", "$m=2.5", "--no-warmup", "--calendar", "XNYS", "--timezone", "UTC", "--no-report",
    "--no-record", "--json",
)  # fmt: skip


@pytest.mark.parametrize("arguments", [FULL, ("backtest", "a.yaml"), ("backtest", "--json", "a")])
def test_both_readers_understand_the_same(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from launcher import backtest

    found: list[BacktestOptions] = []
    monkeypatch.setattr(backtest, "perform", found.append)
    with pytest.raises(SystemExit) as left:
        app(list(arguments))
    assert left.value.code == 0
    assert [quick.read_backtest(arguments)] == found


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("sweep", "a.yaml"),
        ("backtest",),
        ("backtest", "a.yaml", "b.yaml"),
        ("backtest", "--help"),
        ("backtest", "a.yaml", "-h"),
        ("backtest", "a.yaml", "--out"),
        ("backtest", "a.yaml", "--start", "yesterday"),
        ("backtest", "a.yaml", "--cash", "much"),
        ("backtest", "a.yaml", "--set", "length"),
        ("backtest", "a.yaml", "--set", "n=1", "--set", "n=2"),
        ("backtest", "a.yaml", "--json=yes"),
    ],
)
def test_quick_reader_leaves_what_is_not_plain_to_typer(arguments: tuple[str, ...]) -> None:
    assert quick.read_backtest(arguments) is None


def test_options_of_a_call_are_those_of_the_command() -> None:
    from launcher.backtest import backtest

    parameters = set(inspect.signature(backtest).parameters)
    renamed = {"symbol": "symbols", "set_": "values", "no_warmup": "warmup"}
    assert {renamed.get(name, name) for name in parameters} == set(
        BacktestOptions.__dataclass_fields__
    )


def test_environment_for_tests_is_not_the_developers(home: Path) -> None:
    assert os.environ["QUARTERDECK_HOME"] == str(home)
