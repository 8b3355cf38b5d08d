"""`quarterdeck data compare`, `merge`, `quarantine` and `impact`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from market_data.columns import BarColumns
from market_data.store import Store
from tests.launcher.conftest import Run


@pytest.fixture
def pair(home: Path) -> Store:
    """Store Apple's sample bars twice, one of them with a bad low and a lost day."""
    store = Store(home)
    columns, series = store.read_columns("AAPL", "1d")
    bad = columns.prices.copy()
    bad[2, 1000] *= 0.2
    bad[3, 2000] = bad[1, 2000]
    keep = np.arange(columns.n_bars) != 1500
    for name, prices, chosen in (("one", columns.prices, slice(None)), ("two", bad, keep)):
        other = BarColumns(columns.ts, columns.session, prices).select(chosen)
        store.write_bars(f"AAPL@{name}", "1d", other, calendar=series.calendar, source="test")
    return store


def test_compare_tells_what_differs_and_writes_page_and_table(run: Run, pair: Store, tmp_path):
    page, table = tmp_path / "pair.html", tmp_path / "pair.parquet"
    answer = run("data", "compare", "AAPL@one", "AAPL@two", "--html", page, "--parquet", table)
    assert answer.code == 0, answer.err
    assert "AAPL@two has outliers in 1 bars (1 lows)" in answer.out
    assert pq.read_table(table)["class"].to_pylist().count("outlier in B") == 1
    text = page.read_text("utf-8")
    assert text.count("plotly.js v") == 1
    assert 'src="http' not in text
    told = json.loads(run("data", "compare", "AAPL@one", "AAPL@two", "1d", "--json").out)
    assert told["bars_compared"] == 3269
    assert told["bars_disagreeing"] == 2
    assert told["fields"]["low"]["missing in B"] == 1
    assert told["worst"][0]["class"] == "outlier in B"


def test_two_files_are_compared_without_storing_them(run: Run, pair: Store, tmp_path: Path):
    columns, _ = pair.read_columns("AAPL", "1d")
    files = []
    for name, factor in (("one", 1.0), ("two", 100.0)):
        path = tmp_path / f"{name}.parquet"
        scaled = columns.prices.copy()
        scaled[:4] *= factor
        pq.write_table(BarColumns(columns.ts, columns.session, scaled).to_table(), path)
        files.append(path)
    told = json.loads(
        run("data", "compare", *files, "--symbol", "AAPL", "--calendar", "XNYS", "--json").out
    )
    assert told["scale"]["kind"] == "constant factor"
    assert told["scale"]["factors"] == [pytest.approx(0.01)]
    assert told["bars_disagreeing"] == 0
    assert "one" not in pair.symbols()


def test_merge_asks_before_it_changes_stored_bars(run: Run, pair: Store):
    arguments = ("data", "merge", "AAPL", "--from", "AAPL@two", "--from", "AAPL@one")
    # The plain series is the one that both were made of: only what the rules change differs.
    refused = run(*arguments)
    assert refused.code != 0
    assert "other values" in refused.err
    answer = run(*arguments, "--overwrite", "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    assert told["changed"] == 1
    assert told["prices_by_rule"]["other is an outlier"] == {"AAPL@one": 1}
    assert told["prices_by_rule"]["only source"] == {"AAPL@one": 4}
    assert Path(told["provenance"]).is_file()


def test_quarantine_is_shown_and_released_by_a_person(run: Run, pair: Store):
    columns, _ = pair.read_columns("AAPL", "1d")
    day = str(columns.session[700].astype("datetime64[D]"))
    assert "no 1d bar of AAPL is in quarantine" in run("data", "quarantine", "AAPL", "1d").out
    assert run("data", "quarantine", "AAPL", "1d", "--add", day).code == 2
    put = run("data", "quarantine", "AAPL", "1d", "--add", day, "--reason", "bad print", "--json")
    told = json.loads(put.out)
    assert told["added"] == 1
    assert told["bars"][0]["reason"] == "bad print"
    assert told["bars"][0]["ts"].startswith(day)
    released = run("data", "quarantine", "AAPL", "1d", "--release", day)
    assert "1 bars released" in released.out
    assert "no 1d bar of AAPL is in quarantine" in released.out


def test_impact_names_the_backtest_that_used_a_changed_bar(run: Run, pair: Store, strategy: Path):
    assert "no recorded run used a bar" in run("data", "impact").out
    assert run("backtest", strategy, "--bars", "store").code == 0
    run("data", "merge", "AAPL", "--from", "AAPL@two", "--from", "AAPL@one", "--overwrite")
    told = json.loads(run("data", "impact", "AAPL", "--json").out)
    assert [(one["strategy"], one["changed_bars"]) for one in told] == [("reversal", 1)]
    assert run("data", "impact", "MSFT", "--json").out.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("compare", "AAPL@one", "MSFT"), "two instruments"),
        (("compare", "AAPL@one", "AAPL@three"), "no bars of AAPL@three are stored"),
        (("merge", "AAPL", "1d", "--from", "AAPL@one"), "two sources or more"),
        (("merge", "AAPL", "1d", "--from", "AAPL@one", "--from", "AAPL@two", "--highs", "all"),
         "none of priority, inner, outer"),
        (("quarantine", "AAPL", "1d", "--release", "soon"), "neither a date"),
    ],
)  # fmt: skip
def test_wrong_usage_is_told_in_words(run: Run, pair: Store, arguments, words: str):
    answer = run("data", *arguments)
    assert answer.code != 0
    assert words in answer.err.replace("\n", " ").replace("│", "").replace("  ", " ")


def test_a_source_is_imported_from_a_file_that_names_the_plain_symbol(
    run: Run, home: Path, tmp_path: Path
):
    columns, _ = Store(home).read_columns("AAPL", "1d")
    table = columns.to_table()
    path = tmp_path / "vendor.parquet"
    pq.write_table(table.append_column("symbol", [["AAPL"] * table.num_rows]), path)
    done = run("import", path, "--symbol", "AAPL@vendor", "--calendar", "XNYS")
    assert done.code == 0, done.err
    assert Store(home).read_columns("AAPL@vendor", "1d")[0].n_bars == columns.n_bars
    refused = run("import", path, "--symbol", "MSFT@vendor", "--calendar", "XNYS")
    assert "has bars of AAPL, not of MSFT@vendor" in refused.err.replace("\n", " ")


def test_files_keep_the_bars_that_only_a_wrong_clock_puts_outside_the_hours(
    run: Run, tmp_path: Path
):
    # Four weeks of FX by the hour, 17:00 Sunday to 17:00 Friday in New York: in winter 22:00 UTC.
    hours = np.concatenate([
        np.arange(120) + 22 + 24 * (3 + 7 * week) for week in range(4)
    ])  # fmt: skip
    ts = np.datetime64("2024-01-04T00:00", "ns").astype(np.int64) + hours * 3_600 * 10**9
    close = 1.1 * np.exp(np.random.default_rng(3).normal(0, 1e-3, ts.shape[0]).cumsum())
    rows = ["time,open,high,low,close,volume"]
    files = []
    for name, late in (("utc", 0), ("local", -5)):
        lines = [
            f"{np.datetime64(int(t) + late * 3_600 * 10**9, 'ns').astype('datetime64[s]')}Z,"
            f"{c:.5f},{c:.5f},{c:.5f},{c:.5f},0"
            for t, c in zip(ts, close, strict=True)
        ]
        files.append(tmp_path / f"{name}.csv")
        files[-1].write_text("\n".join(rows + lines) + "\n")
    # One bar does not hold its close.
    broken = files[0].read_text().splitlines()
    fields = broken[40].split(",")
    fields[2] = fields[3] = f"{float(fields[4]) * 0.9999:.5f}"
    fields[3] = f"{float(fields[4]) * 0.9998:.5f}"
    broken[40] = ",".join(fields)
    files[0].write_text("\n".join(broken) + "\n")
    told = json.loads(
        run("data", "compare", *files, "--symbol", "EURUSD", "--calendar", "FX", "--json").out
    )
    # All 480 meet, also the 20 that lie before the week's begin by the wrong clock.
    assert told["bars_compared"] == 480
    assert told["offset"]["wrong_clock"] == "b"
    assert [one["shift"] for one in told["offset"]["segments"]] == [-5 * 3600]
    assert "utc: 1 bars widened to hold open and close." in told["findings"]
