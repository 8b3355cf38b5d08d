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
