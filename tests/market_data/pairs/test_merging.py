"""One series made of several sources, the provenance of its prices, and quarantine."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow.parquet as pq
import pytest

from foundation.clock import FixedClock
from foundation.errors import DataError
from market_data.columns import BarColumns
from market_data.loading import load_bars
from market_data.pairs.matching import SourceSeries
from market_data.pairs.merging import MergeRules, RangeRule, Rule, merge_sources
from market_data.pairs.stored import compare_stored, merge_stored, provenance_place
from market_data.sessions import days_of
from market_data.store import Store
from market_data.timeframes import HOUR_NS
from trading.instruments import Instrument

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def days(xnys):
    """Return 300 daily bars of a random walk in cents, each two dollars wide."""
    draw = np.random.default_rng(11)
    table = xnys.between(days_of(date(2015, 1, 2)), days_of(date(2016, 3, 14)))
    n_bars = table.date.shape[0]
    close = np.round(100 + draw.normal(0, 0.8, n_bars).cumsum(), 2)
    open_ = np.round(close + draw.normal(0, 0.3, n_bars), 2)
    high = np.maximum(open_, close) + 0.7
    low = np.minimum(open_, close) - 0.7
    volume = draw.integers(1000, 9000, n_bars).astype(float)
    return BarColumns(table.open, table.date, np.stack([open_, high, low, close, volume]))


def other(columns, changes=(), keep=slice(None)):
    prices = columns.prices.copy()
    for field, row, value in changes:
        prices[field, row] = value
    return BarColumns(columns.ts, columns.session, prices).select(keep)


def merge(table, *columns, **more):
    sources = [SourceSeries("ABC"[i], one) for i, one in enumerate(columns)]
    return merge_sources(sources, timeframe="1d", sessions=table, **more)


def test_prices_that_agree_are_the_first_sources(days, xnys):
    near = other(days, [(3, 50, days.prices[3, 50] + 0.01)])
    merged = merge(xnys, days, near)
    assert merged.columns.equals(BarColumns(days.ts, days.session, days.prices))
    assert set(merged.rule.ravel().tolist()) == {Rule.AGREE}
    assert set(merged.source.ravel().tolist()) == {0}


def test_a_bar_that_one_source_lacks_is_the_others(days, xnys):
    gap = np.ones(days.n_bars, bool)
    gap[[40, 41]] = False
    merged = merge(xnys, days.select(gap), days)
    assert merged.columns.n_bars == days.n_bars
    assert merged.rule[:, 40].tolist() == [Rule.ONLY] * 4
    assert merged.source[:, 40].tolist() == [1] * 5
    assert merged.n_sources[39:43].tolist() == [2, 1, 1, 2]


def test_an_outlier_of_the_first_source_is_replaced(days, xnys):
    bad = other(days, [(2, 120, days.prices[2, 120] * 0.1)])
    merged = merge(xnys, bad, days)
    assert merged.columns.prices[2, 120] == days.prices[2, 120]
    assert merged.rule[2, 120] == Rule.NOT_OUTLIER
    assert merged.source[2, 120] == 1
    assert not merged.quarantined(MergeRules()).any()


def test_of_three_sources_the_median_is_taken(days, xnys):
    close = days.prices[3, 200]
    high_b = other(days, [(3, 200, close + 0.30)])
    high_c = other(days, [(3, 200, close + 0.20)])
    merged = merge(xnys, days, high_b, high_c)
    assert merged.columns.prices[3, 200] == close + 0.20
    assert (merged.rule[3, 200], merged.source[3, 200]) == (Rule.MEDIAN, 2)
    # Volume goes with the close.
    assert merged.source[4, 200] == 2


@pytest.mark.parametrize(
    ("rule", "high", "low"),
    [(RangeRule.PRIORITY, 0.0, 0.0), (RangeRule.INNER, 0.0, 0.3), (RangeRule.OUTER, 0.3, 0.0)],
)
def test_rules_for_highs_and_lows(days, xnys, rule, high, low):
    b = other(
        days,
        [(1, 80, days.prices[1, 80] + 0.3), (2, 80, days.prices[2, 80] + 0.3)],
    )
    merged = merge(xnys, days, b, rules=MergeRules(highs=rule, lows=rule))
    assert merged.columns.prices[1, 80] == pytest.approx(days.prices[1, 80] + high)
    assert merged.columns.prices[2, 80] == pytest.approx(days.prices[2, 80] + low)


def test_a_close_beyond_the_high_of_another_source_widens_the_bar(days, xnys):
    # A's high is an outlier: B's is taken, which lies below A's own open.
    top = max(days.prices[0, 90], days.prices[3, 90])
    a = other(days, [(1, 90, top * 1.6)])
    b = other(days, [(1, 90, top - 0.005)])
    merged = merge(xnys, a, b)
    assert merged.columns.prices[1, 90] == top
    assert merged.widened.nonzero()[0].tolist() == [90]


def test_what_nothing_decides_is_quarantined_when_it_matters(days, xnys):
    usual = np.median(np.abs(np.diff(days.prices[3])))
    small, large = 0.5 * usual, 2.0 * usual
    b = other(days, [(3, 60, days.prices[3, 60] + small), (1, 100, days.prices[1, 100] + large)])
    merged = merge(xnys, days, b)
    assert merged.rule[3, 60] == Rule.PRIORITY
    assert merged.quarantined(MergeRules()).nonzero()[0].tolist() == [100]
    assert not merged.quarantined(MergeRules(quarantine_moves=0.0)).any()
    assert merged.quarantined(MergeRules(quarantine_moves=0.2)).nonzero()[0].tolist() == [60, 100]


def test_other_sources_come_into_the_first_ones_money_time_and_volume(days, xnys):
    halved = other(days)
    split = days.session < days.session[150]
    halved.prices[:4, split] /= 2
    halved.prices[4, split] *= 2
    lacking = np.ones(days.n_bars, bool)
    lacking[[20, 250]] = False
    merged = merge(xnys, days.select(lacking), halved)
    assert merged.columns.prices[:, 20] == pytest.approx(days.prices[:, 20])
    assert merged.columns.prices[:, 250] == pytest.approx(days.prices[:, 250])


def test_a_first_hour_by_the_open_and_by_the_hour_is_merged_into_one_bar(xnys):
    days = xnys.between(days_of(date(2015, 1, 5)), days_of(date(2015, 4, 30)))
    ts = np.concatenate([(o // HOUR_NS + np.arange(7)) * HOUR_NS for o in days.open.tolist()])
    session = np.repeat(days.date, 7)
    close = 50 * np.exp(np.random.default_rng(5).normal(0, 2e-3, ts.shape[0]).cumsum())
    prices = np.stack([close] * 4 + [np.full(ts.shape[0], 10.0)])
    by_open = np.where(np.arange(ts.shape[0]) % 7 == 0, ts + HOUR_NS // 2, ts)
    merged = merge_sources(
        [SourceSeries("A", BarColumns(by_open, session, prices)),
         SourceSeries("B", BarColumns(ts, session, prices))],
        timeframe="1h", sessions=xnys,
    )  # fmt: skip
    np.testing.assert_array_equal(merged.columns.ts, by_open)
    assert set(merged.n_sources.tolist()) == {2}


# In the store.


def write(store, symbol, columns, timeframe="1d"):
    store.write_bars(symbol, timeframe, columns, calendar="XNYS", source="test", overwrite=True)


@pytest.fixture
def stored(store, days):
    usual = np.median(np.abs(np.diff(days.prices[3])))
    write(store, "X@one", days)
    write(store, "X@two", other(days, [(1, 100, days.prices[1, 100] + 3 * usual)]))
    store.write_instrument(Instrument("X", tick=0.01, calendar="XNYS"))
    return store


def test_merged_bars_carry_their_provenance_and_undecided_ones_are_not_traded(stored, days):
    report = merge_stored(stored, "X", ["X@one", "X@two"], "1d", at=NOON)
    assert (report.changed, report.quarantined, report.undecided) == (0, 1, 1)
    assert load_bars(stored, "X", "1d").bars.n_bars == days.n_bars - 1
    row = stored.read_quarantine("X", "1d").to_pylist()[0]
    assert row["ts"] == datetime.fromtimestamp(days.ts[100] // 10**9, UTC)
    assert "X@one and X@two differ by 1 usual moves or more" in row["reason"]
    table = pq.read_table(provenance_place(stored, "X", "1d"))
    assert table.num_rows == days.n_bars
    assert table["high_rule"].to_pylist()[100] == "first source"
    assert table["high_source"].to_pylist()[100] == "X@one"
    assert table["quarantined"].to_pylist().count(True) == 1
    noted = stored.read_provenance("X", "1d")[0].provenance
    assert noted.source == "merge"
    assert '"sources": ["X@one", "X@two"]' in noted.request


def test_merging_again_changes_no_byte_and_a_released_bar_stays_released(stored, days):
    merge_stored(stored, "X", ["X@one", "X@two"], "1d", at=NOON)
    stored.release("X", "1d", days.ts[[100]], by="ann", at=NOON)
    before = {p: p.read_bytes() for p in stored.home.rglob("*") if p.is_file()}
    again = merge_stored(stored, "X", ["X@one", "X@two"], "1d", at=NOON)
    assert (again.changed, again.quarantined, again.undecided) == (0, 0, 1)
    assert {p: p.read_bytes() for p in stored.home.rglob("*") if p.is_file()} == before
    assert load_bars(stored, "X", "1d").bars.n_bars == days.n_bars


def test_a_merge_that_changes_stored_bars_asks_first_and_keeps_what_they_were(stored, days):
    merge_stored(stored, "X", ["X@one", "X@two"], "1d", at=NOON)
    write(stored, "X@one", other(days, [(3, 10, days.prices[3, 10] + 0.02)]))
    with pytest.raises(DataError, match="other values"):
        merge_stored(stored, "X", ["X@one", "X@two"], "1d", at=NOON)
    report = merge_stored(stored, "X", ["X@one", "X@two"], "1d", at=NOON, overwrite=True)
    assert report.changed == 1
    kept = stored.read_revisions("X", "1d").to_pylist()
    assert [(row["field"], row["old"]) for row in kept] == [("close", days.prices[3, 10])]


def test_only_sources_of_the_instrument_are_merged(stored):
    with pytest.raises(DataError, match=r"Y@one can't be merged into X"):
        merge_stored(stored, "X", ["X@one", "Y@one"], "1d", at=NOON)
    with pytest.raises(DataError, match=r"X can't be merged into X"):
        merge_stored(stored, "X", ["X", "X@one"], "1d", at=NOON)
    with pytest.raises(DataError, match="two instruments"):
        compare_stored(stored, "X@one", "Y@two", "1d")


def test_sources_need_one_calendar(stored, days):
    shifted = BarColumns(days.ts + HOUR_NS, days.session, days.prices)
    stored.write_bars("X@fx", "1d", shifted, calendar="FX", source="test")
    with pytest.raises(DataError, match=r"one calendar, but X@one has XNYS and X@fx has FX"):
        compare_stored(stored, "X@one", "X@fx", "1d")


def test_a_released_bar_is_judged_anew_when_its_values_have_changed(stored, days):
    clock = FixedClock(NOON)
    timed = Store(stored.home, clock=clock)
    merge_stored(timed, "X", ["X@one", "X@two"], "1d", at=NOON)
    clock.time = NOON + timedelta(hours=1)
    timed.release("X", "1d", days.ts[[100]], by="ann", at=clock.now())
    # The first source corrects its high a little: what ann saw is no more.
    write(timed, "X@one", other(days, [(1, 100, days.prices[1, 100] + 0.02)]))
    clock.time = NOON + timedelta(hours=2)
    report = merge_stored(timed, "X", ["X@one", "X@two"], "1d", at=clock.now(), overwrite=True)
    assert (report.changed, report.quarantined) == (1, 1)
    assert load_bars(timed, "X", "1d").bars.n_bars == days.n_bars - 1
    clock.time = NOON + timedelta(hours=3)
    timed.release("X", "1d", days.ts[[100]], by="ann", at=clock.now())
    # Stricter rules change no value: it stays out.
    rules = MergeRules(quarantine_moves=0.5)
    again = merge_stored(timed, "X", ["X@one", "X@two"], "1d", at=clock.now(), rules=rules)
    assert again.quarantined == 0
    assert load_bars(timed, "X", "1d").bars.n_bars == days.n_bars


def test_a_bar_that_a_person_put_in_and_let_out_is_still_judged_by_a_merge(stored, days):
    write(stored, "X", days)
    late = datetime.now(UTC) + timedelta(days=1)
    stored.quarantine("X", "1d", days.ts[[100]], reason="looked odd", by="ann", at=late)
    stored.release("X", "1d", days.ts[[100]], by="ann", at=late)
    assert merge_stored(stored, "X", ["X@one", "X@two"], "1d", at=NOON).quarantined == 1


def test_stored_bars_that_no_source_has_are_told(stored, days, xnys):
    row = int(np.searchsorted(xnys.date, days.session[-1])) + 1
    later = BarColumns(xnys.open[[row]], xnys.date[[row]], days.prices[:, -1:])
    write(stored, "X", later)
    report = merge_stored(stored, "X", ["X@one", "X@two"], "1d", at=NOON)
    assert (report.series.rows, report.elsewhere) == (days.n_bars + 1, 1)
