"""The way out of the store: ranges, warm-up, adjustment, fingerprints."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
import pytest

from foundation.errors import DataError
from market_data.building import dated_actions, select_bars
from market_data.columns import BarColumns
from market_data.importing import import_file
from market_data.loading import fingerprint, load_bars
from market_data.sample_set import SAMPLE, load_sample, read_sample
from market_data.sessions import days_of
from market_data.store import Store
from tests.market_data.making import MINUTE, minutes, write
from trading.bars import BarFlag
from trading.instruments import Instrument

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sample(_calendar_home, tmp_path_factory):
    home = tmp_path_factory.mktemp("sample")
    shutil.copytree(_calendar_home / "sessions", home / "sessions")
    store = Store(home)
    load_sample(store)
    return store


def _iso(days):
    return str(np.datetime64(int(days), "D"))


def test_start_and_end_are_session_dates_and_both_included(sample):
    loaded = load_bars(sample, "AAPL", "1d", start=date(2004, 1, 2), end=date(2004, 12, 31))
    bars, first = loaded.bars, loaded.i_start
    assert (_iso(bars.session[first]), _iso(bars.session[-1])) == ("2004-01-02", "2004-12-31")
    assert _iso(bars.session[first - 1]) == "2003-12-31"
    assert _iso(bars.session[0]) == "2000-03-01"
    assert bars.n_bars - first == 252


def test_dates_without_a_session_begin_and_end_at_the_next_inside(sample):
    # New Year's Day 2004 to Christmas Day, Saturday, of 2004.
    loaded = load_bars(sample, "AAPL", "1d", start=date(2004, 1, 1), end=date(2004, 12, 25))
    assert _iso(loaded.bars.session[loaded.i_start]) == "2004-01-02"
    assert _iso(loaded.bars.session[-1]) == "2004-12-23"


@pytest.mark.parametrize(("warmup", "expected"), [(0, 0), (50, 50), (10**6, None), ("all", None)])
def test_warm_up_is_as_long_as_asked_for_or_as_the_data(sample, xnys, warmup, expected):
    first, start = days_of(date(2000, 3, 1)), days_of(date(2004, 1, 1))
    n_before = int(np.sum((xnys.date >= first) & (xnys.date < start)))
    loaded = load_bars(sample, "AAPL", "1d", start=date(2004, 1, 1), warmup=warmup)
    assert loaded.i_start == (n_before if expected is None else expected)
    assert _iso(loaded.bars.session[loaded.i_start]) == "2004-01-02"


def test_actions_stand_at_their_bars_whatever_the_warm_up(sample):
    for warmup in ("all", 10, 0):
        loaded = load_bars(sample, "AAPL", "1d", start=date(2005, 2, 1), warmup=warmup)
        splits = loaded.bars.actions[loaded.bars.actions["split_ratio"] != 1]
        dates = [_iso(loaded.bars.session[i]) for i in splits["i_bar"]]
        assert dates == (["2000-06-21", "2005-02-28"] if warmup == "all" else ["2005-02-28"])


def test_empty_range_says_what_there_is(sample):
    with pytest.raises(
        DataError,
        match=r"no 1d bars of AAPL from 2020-01-01 to the last; there are bars from 2000-03-01 to 2013",
    ):
        load_bars(sample, "AAPL", "1d", start=date(2020, 1, 1))
    with pytest.raises(DataError, match="from the first to 1999-12-31"):
        load_bars(sample, "AAPL", "1d", end=date(1999, 12, 31))


def test_end_before_start_is_an_empty_range(sample):
    with pytest.raises(DataError, match="no 1d bars of AAPL from 2005-01-03 to 2004-01-02"):
        load_bars(sample, "AAPL", "1d", start=date(2005, 1, 3), end=date(2004, 1, 2))


def test_fully_adjusted_bars_have_the_returns_of_the_adjusted_closes(sample):
    rows = read_sample()
    rows = rows.filter(pc.equal(rows["symbol"], "MSFT"))
    adjusted = rows["adjusted_close"].to_numpy()
    loaded = load_bars(sample, "MSFT", "1d", adjust="all")
    close = loaded.bars.prices[3]
    np.testing.assert_allclose(close / close[-1], adjusted / adjusted[-1], rtol=1e-9)
    assert loaded.bars.actions.shape == (0,)


@pytest.mark.parametrize(("adjust", "tick"), [("none", 0.01), ("splits", 0.0), ("all", 0.0)])
def test_adjusted_prices_are_on_no_grid(sample, adjust, tick):
    assert load_bars(sample, "MSFT", "1d", adjust=adjust).bars.instrument.tick == tick


def test_split_adjusted_bars_keep_the_dividends_in_their_own_money(store):
    days = [days_of(date(2024, 1, day)) for day in (2, 3, 4, 5)]
    table = store.sessions("XNYS", days[0] * 86_400 * 10**9, days[-1] * 86_400 * 10**9)
    opens = table.open[np.searchsorted(table.date, days)]
    prices = np.array([[100.0, 98, 50, 50]] * 4 + [[10.0, 10, 20, 20]])
    write(store, BarColumns(opens, np.array(days), prices), "1d")
    actions = [(date(2024, 1, 3), 1.0, 2.0), (date(2024, 1, 4), 2.0, 1.0)]
    store.write_actions("X", dated_actions(actions), "test")
    bars = load_bars(store, "X", "1d", adjust="splits").bars
    assert bars.prices[3].tolist() == [50, 49, 50, 50]
    assert bars.prices[4].tolist() == [20, 20, 20, 20]
    # 2 dollars and 1 dollar for a share held before the split are 1 and 0.5 for one after it.
    assert bars.actions.tolist() == [(1, 1.0, 1.0), (2, 1.0, 0.5)]


def test_minutes_carry_quotes_periods_and_finer_bars(sample):
    loaded = load_bars(
        sample, "SIM", "1h", start=date(2024, 2, 1), periods=("1d", "1w"), finer="1m"
    )
    bars = loaded.bars
    assert loaded.source == "made of 1m bars: generated from seed 12"
    assert set(bars.periods) == {"1d", "1w"}
    assert bars.bid is not None
    assert bool(np.all(bars.bid[3] < bars.ask[3]))
    assert bars.finer is not None
    assert bars.finer_start is not None
    assert bars.finer_start.shape == (bars.n_bars + 1,)
    assert bars.prices.flags.c_contiguous
    assert bars.finer_start[-1] == bars.finer.n_bars
    starts, stops = bars.finer_start[:-1], bars.finer_start[1:]
    highs = [bars.finer.prices[1, a:b].max() for a, b in zip(starts, stops, strict=True)]
    assert bars.prices[1].tolist() == highs


def test_weeks_that_are_not_stored_are_made_of_days(sample):
    loaded = load_bars(sample, "AAPL", "1w", start=date(2004, 1, 1))
    assert loaded.source == "made of 1d bars: Quandl WIKI, public domain"
    bars = loaded.bars
    # The week of Monday 2005-02-28 begins with the split's ex-date.
    split = bars.actions[1]
    assert (split["split_ratio"], _iso(bars.session[split["i_bar"]])) == (2.0, "2005-03-04")
    # 2004-01-01 was a holiday in the week that ended on Friday 2004-01-02.
    assert _iso(bars.session[loaded.i_start]) == "2004-01-02"
    assert str(np.datetime64(int(bars.ts[loaded.i_start]), "ns"))[:10] == "2003-12-29"


def test_cutting_the_end_changes_no_bar_before_it(sample):
    whole = load_bars(sample, "SIM", "5m", periods=("1h", "1w")).bars
    cut = load_bars(sample, "SIM", "5m", end=date(2024, 2, 14), periods=("1h", "1w")).bars
    part = select_bars(whole, slice(0, cut.n_bars))
    assert np.array_equal(part.prices, cut.prices)
    assert np.array_equal(part.flags, cut.flags)
    for name in ("1h", "1w"):
        assert np.array_equal(part.periods[name], cut.periods[name])


# Fingerprints.


def test_fingerprint_is_of_the_content_and_not_of_the_files(sample, store, tmp_path):
    rows = read_sample()
    rows = rows.filter(pc.equal(rows["symbol"], "AAPL")).select(
        ["ts", "open", "high", "low", "close", "volume"]
    )
    path = tmp_path / "apple.csv"
    pa.csv.write_csv(rows, path)
    import_file(store, path, symbol="AAPL", tick=0.01)
    store.write_actions("AAPL", sample.read_actions("AAPL"), "test")
    one = load_bars(sample, "AAPL", "1d", start=date(2004, 1, 1))
    other = load_bars(store, "AAPL", "1d", start=date(2004, 1, 1))
    assert one.fingerprint == other.fingerprint
    direct = load_bars(path, "AAPL", store=store, start=date(2004, 1, 1))
    assert direct.fingerprint == one.fingerprint
    assert direct.bars.timeframe == "1d"


def test_fingerprint_changes_with_everything_that_is_read(store):
    write(store, minutes(date(2024, 1, 5), 30, quotes=True))
    seen = set()

    def add(**options):
        seen.add(load_bars(store, "X", "1m", **options).fingerprint)

    add()
    add(instrument=Instrument("X", calendar="XNYS", tick=0.5))
    add(warmup=0, periods=("5m",))
    changed = minutes(date(2024, 1, 5), 30, quotes=True)
    changed.bid[2, 5] = 1.0
    write(store, changed, overwrite=True)
    add()
    changed.prices[3, 29] = np.nextafter(10.0, 11)
    write(store, changed, overwrite=True)
    add()
    write(store, minutes(date(2024, 1, 8), 1))
    add()
    store.write_actions("X", dated_actions([(date(2024, 1, 8), 1.0, 0.5)]), "test")
    add()
    assert len(seen) == 7


def test_fingerprint_changes_with_the_hours_of_a_session(sample, xnys):
    bars = load_bars(sample, "AAPL", "1d").bars
    shorter = xnys.close.copy()
    shorter[int(np.searchsorted(xnys.date, days_of(date(2004, 1, 5))))] -= MINUTE
    assert fingerprint(bars, xnys) != fingerprint(bars, replace(xnys, close=shorter))
    # A session that no bar is of doesn't count.
    elsewhere = xnys.close.copy()
    elsewhere[int(np.searchsorted(xnys.date, days_of(date(2020, 1, 6))))] -= MINUTE
    assert fingerprint(bars, xnys) == fingerprint(bars, replace(xnys, close=elsewhere))


# Corporate actions that belong to the prices, or don't.


def test_prices_that_are_split_adjusted_already_get_no_actions(sample, store):
    days = sample.read_columns("AAPL", "1d")[0]
    adjusted = load_bars(sample, "AAPL", "1d", adjust="splits").bars.prices
    columns = BarColumns(days.ts, days.session, adjusted)
    store.write_bars("AAPL", "1d", columns, calendar="XNYS", source="adjusted elsewhere")
    store.write_actions("AAPL", sample.read_actions("AAPL"), "test")
    loaded = load_bars(store, "AAPL", "1d")
    assert loaded.bars.actions.shape == (0,)
    assert [(f.name, f.count) for f in loaded.findings] == [("prices_adjusted", 2)]
    assert "split of 2000-06-21" in loaded.findings[0].message
    assert load_bars(store, "AAPL", "1w").bars.actions.shape == (0,)
    assert load_bars(sample, "AAPL", "1d").findings == ()


def test_prices_that_show_only_some_splits_are_refused(sample, store):
    days = sample.read_columns("AAPL", "1d")[0]
    store.write_bars("AAPL", "1d", days, calendar="XNYS", source="test")
    wrong = dated_actions([(date(2000, 6, 21), 2.0, 0.0), (date(2003, 5, 5), 2.0, 0.0)])
    store.write_actions("AAPL", wrong, "test")
    with pytest.raises(DataError, match="do not show the split of 2003-05-05, but they show"):
        load_bars(store, "AAPL", "1d")


def test_file_takes_the_actions_beside_it(sample, store):
    loaded = load_bars(SAMPLE / "wiki_daily.parquet", "AAPL", store=store)
    assert np.array_equal(loaded.bars.actions, load_bars(sample, "AAPL", "1d").bars.actions)
    assert [f.name for f in loaded.findings] == ["columns_ignored", "large_moves"]
    report = import_file(store, SAMPLE / "wiki_daily.parquet", symbol="MSFT")
    assert report.rows == 3270
    assert np.array_equal(store.read_actions("MSFT"), sample.read_actions("MSFT"))


# Straight from a file.


def test_file_without_import_is_checked_and_not_stored(store, tmp_path):
    path = tmp_path / "X.csv"
    path.write_text("date,open,high,low,close,volume\n2024-01-04,1,1,1,1,1\n2024-01-05,2,2,2,2,2\n")
    loaded = load_bars(path, store=store)
    assert loaded.bars.instrument == Instrument("X", calendar="XNYS")
    assert loaded.bars.prices[3].tolist() == [1, 2]
    assert loaded.source.startswith("X.csv (sha256 ")
    assert store.list_series() == []
    path.write_text(path.read_text() + "2024-01-08,3,3,3,nan,3\n")
    with pytest.raises(DataError, match=r"^X.csv: line 4: close is missing"):
        load_bars(path, store=store)


def test_file_has_no_finer_bars(store, tmp_path):
    path = tmp_path / "X.csv"
    path.write_text("date,open,high,low,close\n2024-01-04,1,1,1,1\n2024-01-05,2,2,2,2\n")
    with pytest.raises(DataError, match="finer 1m bars need the store"):
        load_bars(path, store=store, finer="1m")


def test_all_bars_outside_the_hours_say_so(store, ns):
    late = minutes(date(2024, 1, 5), 5)
    late.ts[:] += 8 * 60 * MINUTE
    write(store, late)
    with pytest.raises(DataError, match="all 5 1m bars of X are outside the sessions"):
        load_bars(store, "X", "1m")
    loaded = load_bars(store, "X", "1m", extended_hours=True)
    assert bool(np.all(loaded.bars.flags & BarFlag.OUTSIDE_SESSION))


@pytest.mark.parametrize("kind", ["store", "parquet", "csv"])
def test_loading_imports_no_slow_package(sample, tmp_path, kind):
    script = """
import sys
from datetime import date
from market_data.loading import fingerprint, load_bars
from market_data.store import Store
store = Store(sys.argv[1])
source = store if sys.argv[2] == "store" else sys.argv[2]
loaded = load_bars(
    source, "AAPL", "1d", start=date(2004, 1, 1), periods=("1w",), store=store
)
assert loaded.bars.n_bars == 3270
slow = {"pandas", "polars", "duckdb", "exchange_calendars"}
print(sorted(slow & set(sys.modules)))
"""
    source = "store"
    if kind != "store":
        rows = read_sample()
        rows = rows.filter(pc.equal(rows["symbol"], "AAPL")).drop(["adjusted_close"])
        source = str(tmp_path / f"AAPL.{kind}")
        (pa.parquet.write_table if kind == "parquet" else pa.csv.write_csv)(rows, source)
    done = subprocess.run(
        [sys.executable, "-c", script, str(sample.home), source],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
