"""Wrong input to the command: one clear line or a named finding, and the old stays whole."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foundation.files import PARTIAL_SUFFIX
from market_data.sample_set import SAMPLE
from tests.launcher.conftest import STRATEGY, Run


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def wilder_days(n_bars: int) -> list[list[str]]:
    """Return made-up daily bars from 2020-01-01 on, weekends included."""
    days = np.datetime64("2020-01-01") + np.arange(n_bars)
    close = 100.0 + 10.0 * np.sin(np.arange(n_bars) / 3.0)
    return [
        [str(day), f"{c:.2f}", f"{c + 1:.2f}", f"{c - 1:.2f}", f"{c:.2f}", "1000"]
        for day, c in zip(days, close, strict=True)
    ]


HEADER = ["date", "open", "high", "low", "close", "volume"]


def write_csv(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> Path:
    path.write_text("\n".join(",".join(row) for row in [header, *rows]) + "\n")
    return path


@pytest.fixture
def rows() -> list[list[str]]:
    return wilder_days(200)


@pytest.fixture
def backtest(run: Run, strategy: Path, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Run a backtest without report and record, on a file of daily bars."""

    def call(bars: str | Path = "store", *more: str):  # type: ignore[no-untyped-def]
        return run(
            *("backtest", strategy, "--bars", bars, "--out", tmp_path / "out"),
            *("--no-report", "--no-record", *more),
        )

    return call


# The document.


@pytest.mark.parametrize("command", ["check", "backtest"])
@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("timeframe: 1d", "timeframe: [1d", r"line \d+"),
        ("timeframe: 1d", "timeframe: 2d", r"timeframe: .*2d"),
        (
            "rsi(close, $length)",
            "rsl(close, $length)",
            "unknown indicator `rsl` at column 1.*`rsi`",
        ),
        ("rsi < $oversold", "rsi < closed", r"enter_long: .*`closed` at column 7"),
        ("rsi < $oversold", "rsi <", r"enter_long: .* at column"),
        ("default: 14", "default: 99", "parameters.length"),
        ("equity_fraction: 0.9", "fraction: 0.9", "execution.size.*fraction"),
    ],
)
def test_wrong_document_is_named_with_its_place(
    run: Run, strategy: Path, command: str, before: str, after: str, message: str
) -> None:
    assert before in STRATEGY
    strategy.write_text(STRATEGY.replace(before, after))
    answer = run(command, strategy)
    assert answer.code == 1
    assert answer.out == ""
    import re

    assert re.search(message, answer.error), answer.error


def test_document_that_does_not_exist_is_named(run: Run) -> None:
    answer = run("check", "nothing.yaml")
    assert answer.code == 1
    assert answer.error == "can't read nothing.yaml: No such file or directory"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "lenght=10"], "parameters: unknown parameter `lenght`; there are length"),
        (["--set", "length=31"], "parameters.length: 31 is not within 2 to 30"),
        (["--set", "oversold=31"], "parameters.oversold: 31 is not 10 plus whole steps of 5"),
        (["--cash", "0"], "cash: starting cash must be above 0, got 0"),
        (["--symbol", "TSLA"], "no bars of TSLA are stored; stored are AAPL, FB, GOOG, MSFT, SIM"),
    ],
)
def test_wrong_value_of_an_option_is_an_error(backtest, options, message) -> None:  # type: ignore[no-untyped-def]
    answer = backtest("store", *options)
    assert answer.code == 1
    assert answer.error.startswith(message)


@pytest.mark.parametrize(
    "options",
    [
        ["--set", "length"],
        ["--set", "length=ten"],
        ["--set", "length=10", "--set", "length=11"],
        ["--start", "2012-13-01"],
        ["--cash", "much"],
        ["--unknown"],
    ],
)
def test_wrong_usage_has_exit_code_2(backtest, options) -> None:  # type: ignore[no-untyped-def]
    answer = backtest("store", *options)
    assert answer.code == 2
    assert options[0] in answer.err
    assert "Traceback" not in answer.err


# The bars.


def test_unknown_column_is_named_with_those_that_are_there(backtest, rows, tmp_path) -> None:  # type: ignore[no-untyped-def]
    header = ["date", "open", "high", "low", "klose", "volume"]
    answer = backtest(write_csv(tmp_path / "AAPL.csv", rows, header))
    assert answer.code == 1
    assert "AAPL.csv" in answer.error
    assert "close" in answer.error
    assert "klose" in answer.error


def test_mixed_time_zones_are_refused_with_the_line(backtest, rows, tmp_path) -> None:  # type: ignore[no-untyped-def]
    for k, row in enumerate(rows):
        row[0] += "T00:00:00+00:00" if k != 17 else "T00:00:00"
    answer = backtest(write_csv(tmp_path / "AAPL.csv", rows))
    assert answer.code == 1
    assert "time zone" in answer.error
    # Line 1 is the header.
    assert "line 19" in answer.error


@pytest.mark.parametrize("text", ["nan", "", "-1", "inf"])
def test_price_that_is_none_is_refused_with_the_line(backtest, rows, tmp_path, text) -> None:  # type: ignore[no-untyped-def]
    rows[30][4] = text
    answer = backtest(write_csv(tmp_path / "AAPL.csv", rows))
    assert answer.code == 1
    assert "close" in answer.error
    assert "line 32" in answer.error


def test_two_bars_of_one_time_are_refused(backtest, rows, tmp_path) -> None:  # type: ignore[no-untyped-def]
    again = rows[50].copy()
    again[4] = rows[50][1] = "100.00"
    again[4] = "100.50"
    answer = backtest(write_csv(tmp_path / "AAPL.csv", [*rows[:51], again, *rows[51:]]))
    assert answer.code == 1
    assert "line 53" in answer.error or "line 52" in answer.error


def test_the_same_bar_twice_is_a_named_finding_of_the_import(run, rows, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = write_csv(tmp_path / "TWICE.csv", [*rows, rows[3]])
    answer = run("import", path, "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    assert told["rows"] == 200
    assert [f["count"] for f in told["findings"] if f["name"] == "duplicates_dropped"] == [1]
    # A person is told too, apart from the answer.
    again = run("import", path)
    assert "warning: duplicates_dropped: " in again.err
    assert "already stored" in again.out


def test_empty_range_is_refused_with_the_range_there_is(backtest) -> None:  # type: ignore[no-untyped-def]
    answer = backtest("store", "--start", "2050-01-01")
    assert answer.code == 1
    assert answer.error == (
        "no 1d bars of AAPL from 2050-01-01 to the last; there are bars from 2000-03-01 to "
        "2013-03-01"
    )


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_parquet_file_that_is_cut_is_refused(backtest, tmp_path, share) -> None:  # type: ignore[no-untyped-def]
    whole = (SAMPLE / "wiki_daily.parquet").read_bytes()
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole[: int(share * len(whole))])
    answer = backtest(cut, "--symbol", "AAPL")
    assert answer.code == 1
    assert "cut.parquet" in answer.error


def test_csv_file_that_is_cut_within_a_line_is_refused(backtest, rows, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = write_csv(tmp_path / "AAPL.csv", rows)
    path.write_text(path.read_text()[:-12])
    answer = backtest(path)
    assert answer.code == 1
    assert "line 201" in answer.error


def test_intraday_bars_without_calendar_or_zone_ask_for_it(run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    rows = [[f"2024-01-02 10:{m:02}:00", "1", "2", "1", "2", "5"] for m in range(50)]
    path = write_csv(tmp_path / "X.csv", rows)
    assert "--timezone" in run("import", path).error
    assert "calendar" in run("import", path, "--timezone", "UTC").error


def test_what_is_no_store_and_no_file_is_named(backtest, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "folder").mkdir()
    assert backtest(tmp_path / "folder").error == (
        f"{tmp_path / 'folder'} is no data home: it has no folder of bars"
    )
    assert backtest(tmp_path / "no.csv").error == f"no file of bars at {tmp_path / 'no.csv'}"


def test_failed_import_leaves_the_store_as_it_was(run, home, rows, tmp_path) -> None:  # type: ignore[no-untyped-def]
    before = contents(home / "bars")
    rows[30][4] = "nan"
    assert run("import", write_csv(tmp_path / "AAPL.csv", rows)).code == 1
    assert contents(home / "bars") == before


# The strategy.


def test_parameter_that_nothing_uses_is_named(run, strategy) -> None:  # type: ignore[no-untyped-def]
    strategy.write_text(STRATEGY.replace("rsi < $oversold", "rsi < 30"))
    for command in ("check", "backtest", "sweep"):
        answer = run(command, strategy)
        assert answer.code == 1
        assert answer.error.startswith("parameters.oversold: has no effect")


def test_strategy_that_never_trades_says_why_not(backtest, strategy) -> None:  # type: ignore[no-untyped-def]
    strategy.write_text(STRATEGY.replace("rsi < $oversold", "rsi < $oversold - 100"))
    answer = backtest()
    assert answer.code == 0, answer.err
    # rsi(14) is unknown for 14 bars of the 3,270.
    assert "No trade." in answer.out
    assert "condition_false 3,256" in answer.out
    assert "warming_up 14" in answer.out


def test_size_that_rounds_to_zero_is_named(backtest, tmp_path) -> None:  # type: ignore[no-untyped-def]
    answer = backtest("store", "--cash", "1")
    assert answer.code == 0, answer.err
    assert "No trade." in answer.out
    assert "size_rounds_to_zero" in answer.out
    reasons = pq.read_table(tmp_path / "out" / "decisions.parquet")
    refused = [
        row
        for row in reasons.select(["enter_long", "reason", "close"]).to_pylist()
        if row["reason"] == "size_rounds_to_zero"
    ]
    assert refused
    assert all(row["enter_long"] and row["close"] > 0.9 for row in refused)


# The place of the result.


def test_folder_with_other_files_is_never_replaced(backtest, tmp_path) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    answer = backtest()
    assert answer.code == 1
    assert answer.error.startswith(f"{out} holds other files than a result")
    assert contents(out) == {"thesis.txt": b"years of work"}


def test_result_of_another_run_is_replaced(backtest, tmp_path) -> None:  # type: ignore[no-untyped-def]
    assert backtest().code == 0
    first = contents(tmp_path / "out")
    assert backtest("store", "--set", "length=10").code == 0
    assert contents(tmp_path / "out")["summary.json"] != first["summary.json"]


def test_same_inputs_give_the_same_bytes(backtest, tmp_path) -> None:  # type: ignore[no-untyped-def]
    assert backtest().code == 0
    first = contents(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    assert backtest().code == 0
    assert contents(tmp_path / "out") == first


def _small_files_only() -> None:
    # What a full disk does: the system writes so much of a file and no more.
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def test_full_disk_leaves_the_old_result_whole(start: Run, strategy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("backtest", strategy, "--out", out, "--no-report", "--no-record")
    assert start(*command).code == 0
    before = contents(out)
    answer = start(*command, "--set", "length=10", preexec_fn=_small_files_only)
    assert answer.code == 1
    assert "no space left to write" in answer.error
    assert "what was stored before is unchanged" in answer.error
    assert contents(out) == before
    assert not list(tmp_path.glob(f"*{PARTIAL_SUFFIX}"))
    assert not list(tmp_path.glob(f".*{PARTIAL_SUFFIX}"))


def test_full_disk_leaves_the_store_whole(start: Run, home: Path, tmp_path: Path) -> None:
    n_bars = 5_000
    days = np.datetime64("2000-01-01") + np.arange(n_bars)
    close = np.random.default_rng(1).uniform(90.0, 110.0, n_bars)
    table = pa.table(
        {
            "date": pa.array(days.astype("datetime64[D]").astype(object), pa.date32()),
            **{name: close.tolist() for name in ("open", "high", "low", "close")},
            "volume": [1.0] * n_bars,
        }
    )
    path = tmp_path / "COIN.parquet"
    pq.write_table(table, path)
    before = contents(home / "bars")
    answer = start("import", path, preexec_fn=_small_files_only)
    assert answer.code == 1
    assert "no space left" in answer.error
    after = contents(home / "bars")
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if "COIN" in name and not name.endswith(".lock")]
