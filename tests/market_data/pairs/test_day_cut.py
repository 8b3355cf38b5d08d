"""The hour at which a provider's days end, told by bars within the day of either."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from market_data.columns import BarColumns
from market_data.pairs.comparison import compare_series
from market_data.pairs.day_cut import IntradayBars, detect_day_cut, detect_day_cuts
from market_data.pairs.matching import SourceSeries
from market_data.pairs.stored import compare_stored, merge_stored
from market_data.sessions import days_of
from market_data.timeframes import HOUR_NS


def hours_of(fx, first, last, seed=4):
    """Return hours of a random walk in the hours of the currency week."""
    table = fx.between(days_of(first), days_of(last))
    ts = np.concatenate([
        np.arange(opened, closed, HOUR_NS)
        for opened, closed in zip(table.open.tolist(), table.close.tolist(), strict=True)
    ])  # fmt: skip
    session = np.repeat(table.date, (table.close - table.open) // HOUR_NS)
    close = np.exp(np.random.default_rng(seed).normal(0, 1e-3, ts.shape[0]).cumsum())
    return BarColumns(ts, session, np.stack([close] * 4 + [np.zeros(ts.shape[0])]))


def days_cut(hours, zone, hour, noise=0.0, seed=9):
    """Cut days at an hour of a clock, as a provider there would; weekdays only.

    Told bar by bar with Python's own calendar, unlike what is tested.
    """
    closes = defaultdict(float)
    for ns, close in zip(hours.ts.tolist(), hours.prices[3].tolist(), strict=True):
        local = datetime.fromtimestamp(ns // 10**9, UTC).astimezone(ZoneInfo(zone))
        day = (local.replace(tzinfo=None) - timedelta(hours=hour) + timedelta(days=1)).date()
        if day.weekday() < 5:
            closes[days_of(day)] = close
    session = np.array(sorted(closes), np.int64)
    close = np.array([closes[day] for day in session.tolist()])
    close *= np.exp(np.random.default_rng(seed).normal(0, noise, close.shape[0]))
    return BarColumns(
        session * 86_400 * 10**9, session, np.stack([close] * 4 + [np.zeros(close.shape[0])])
    )


@pytest.fixture(scope="module")
def two_years(fx):
    return hours_of(fx, date(2016, 1, 4), date(2017, 12, 29))


def within(hours):
    return IntradayBars("X@hours", "1h", HOUR_NS, hours)


@pytest.mark.parametrize(
    ("zone", "hour"),
    [("America/New_York", 17), ("UTC", 24), ("UTC", 22), ("Europe/London", 24),
     ("Australia/Sydney", 17), ("America/New_York", 0)],
)  # fmt: skip
def test_the_hour_and_clock_at_which_days_end_are_found(two_years, zone, hour):
    # Closes of another provider: off by a third of an hour's move.
    days = days_cut(two_years, zone, hour, noise=3e-4)
    found = detect_day_cut(days, within(two_years))
    assert (found.clock, found.after_ns) == (zone, hour * HOUR_NS)
    assert found.confidence > 0.99
    assert found.by == "the 1h bars of X@hours"


def test_clocks_that_never_change_are_told_as_utc(two_years):
    found = detect_day_cut(days_cut(two_years, "Asia/Tokyo", 24), within(two_years))
    # Midnight in Tokyo is 15:00 UTC of the day that ends.
    assert (found.clock, found.after_ns) == ("UTC", 15 * HOUR_NS)


def test_hours_of_two_clocks_that_were_one_are_both_told(fx):
    winter = hours_of(fx, date(2016, 11, 14), date(2017, 3, 3))
    found = detect_day_cut(days_cut(winter, "America/New_York", 17), within(winter))
    # Half of New York's winter; Sydney's clocks do not change in it either.
    told = {found.clock: found.after_ns / HOUR_NS, **{z: ns / HOUR_NS for z, ns in found.also}}
    assert told == {"UTC": 22, "America/New_York": 17, "Europe/London": 22, "Australia/Sydney": 33}


def test_a_split_and_another_unit_do_not_hide_the_hour(two_years):
    days = days_cut(two_years, "UTC", 24)
    days.prices[:4] *= 100
    days.prices[:4, 200:] /= 2
    found = detect_day_cut(days, within(two_years))
    assert (found.clock, found.after_ns) == ("UTC", 24 * HOUR_NS)


def test_no_hour_is_claimed_where_the_bars_cannot_tell(two_years, fx):
    days = days_cut(two_years, "UTC", 24)
    assert detect_day_cut(days.select(slice(0, 15)), within(two_years)) is None
    unrelated = hours_of(fx, date(2016, 1, 4), date(2017, 12, 29), seed=77)
    assert detect_day_cut(days, within(unrelated)) is None
    elsewhere = hours_of(fx, date(2012, 1, 4), date(2012, 12, 31))
    assert detect_day_cut(days, within(elsewhere)) is None
    noisy = days_cut(two_years, "UTC", 24, noise=5e-3)
    assert detect_day_cut(noisy, within(two_years)) is None
    # A month of closes that are half an hour's move off: neighbouring hours fit as well.
    few = days_cut(two_years, "UTC", 24, noise=5e-4).select(slice(0, 25))
    assert detect_day_cut(few, within(two_years)) is None


def test_bars_of_another_instrument_that_moves_alike_tell_no_hour(two_years):
    days = days_cut(two_years, "UTC", 24)
    own = np.random.default_rng(31).normal(0, 1.3e-3, days.n_bars).cumsum()
    alike = BarColumns(days.ts, days.session, days.prices * np.exp(own))
    assert detect_day_cut(alike, within(two_years)) is None


def test_bars_that_tell_both_hours_come_before_bars_that_tell_one(two_years):
    a, b = days_cut(two_years, "UTC", 24), days_cut(two_years, "America/New_York", 17)
    # These end before B's days begin.
    half = IntradayBars("X@half", "1h", HOUR_NS, two_years.select(slice(0, 6000)))
    late_b = b.select(b.session > half.columns.session[-1])
    cuts = detect_day_cuts(a, late_b, (half, within(two_years)))
    assert [cut.by for cut in cuts] == ["the 1h bars of X@hours"] * 2
    alone = detect_day_cuts(a, late_b, (half,))
    assert alone[0].by == "the 1h bars of X@half"
    assert alone[1] is None


def compare(a, b, fx, bars=()):
    return compare_series(
        SourceSeries("A", a), SourceSeries("B", b), timeframe="1d", sessions=fx, within=bars
    )


def test_a_comparison_says_which_hours_and_without_bars_only_which_side(two_years, fx):
    tokyo, new_york = (
        days_cut(two_years, zone, hour)
        for zone, hour in (("Asia/Tokyo", 24), ("America/New_York", 17))
    )
    side = "The days of A end before those of B"
    alone = compare(tokyo, new_york, fx)
    assert next(one for one in alone.findings if one.startswith(side)).endswith(
        "at which hours only bars within the day of one of them would tell, and there are none "
        "that do."
    )
    told = compare(tokyo, new_york, fx, [within(two_years)])
    assert "The days of A end at 15:00 UTC, by the 1h bars of X@hours." in told.findings
    assert (
        "The days of B end at 17:00 America/New_York, by the 1h bars of X@hours." in told.findings
    )
    assert not any("would tell" in one for one in told.findings)
    hours = told.summary()["day_boundary"]["hours"]
    assert (hours["a"]["clock"], hours["a"]["hours_after_midnight"]) == ("UTC", 15.0)
    assert hours["b"]["fitting"] == {"America/New_York": 17.0}
    same = compare(tokyo, tokyo, fx, [within(two_years)])
    assert "The days of both end at 15:00 UTC, by the 1h bars of X@hours." in same.findings


def test_stored_bars_within_the_day_of_any_source_are_used(store, two_years, fx):
    new_york = days_cut(two_years, "America/New_York", 17)
    midnight = days_cut(two_years, "UTC", 24)
    for name, days in (("one", new_york), ("two", midnight)):
        store.write_bars(f"X@{name}", "1d", days, calendar="FX", source="test")
    assert compare_stored(store, "X@one", "X@two", "1d").cuts == (None, None)
    store.write_bars("X@three", "1h", two_years, calendar="FX", source="test")
    cuts = compare_stored(store, "X@one", "X@two", "1d").cuts
    assert [(cut.clock, cut.after_ns // HOUR_NS, cut.by) for cut in cuts] == [
        ("America/New_York", 17, "the 1h bars of X@three"),
        ("UTC", 24, "the 1h bars of X@three"),
    ]


def test_a_merge_of_days_that_end_at_different_hours_says_so(store, two_years):
    days = {
        "one": days_cut(two_years, "America/New_York", 17),
        "two": days_cut(two_years, "UTC", 24),
        "three": days_cut(two_years, "America/New_York", 17, noise=1e-5),
    }
    for name, columns in days.items():
        store.write_bars(f"X@{name}", "1d", columns, calendar="FX", source="test")
    store.write_bars("X@one", "1h", two_years, calendar="FX", source="test")
    at = datetime(2024, 5, 1, tzinfo=UTC)
    apart = merge_stored(store, "X", ["X@one", "X@two"], "1d", at=at).day_ends
    assert "The days of X@two end at 24:00 UTC, by the 1h bars of X@one." in apart
    alike = merge_stored(store, "X", ["X@one", "X@three"], "1d", at=at, overwrite=True)
    assert alike.day_ends == ()
