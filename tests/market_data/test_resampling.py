"""Resampling against a reference that adds one bar after the other."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import DataError
from market_data.building import bars_from_arrays, dated_actions
from market_data.columns import BarColumns
from market_data.generator import generate_minutes
from market_data.resampling import resample_columns, resample_series
from market_data.sessions import days_of
from tests.market_data.making import MINUTE
from trading.instruments import Instrument

LENGTHS = {"5m": 5, "15m": 15, "30m": 30, "1h": 60}


@pytest.fixture(scope="module")
def minutes(xnys):
    """Two weeks with a holiday and a half day: Thanksgiving 2024."""
    return generate_minutes(date(2024, 11, 18), date(2024, 11, 29), seed=5, sessions=xnys).columns


def _period_of(table, ts, target):
    """Return the scheduled open and close of the period that an instant lies in."""
    row = int(np.searchsorted(table.open, ts, "right")) - 1
    if target == "1d":
        return int(table.open[row]), int(table.close[row])
    if target == "1w":
        week = (table.date + 3) // 7
        inside = np.flatnonzero(week == week[row])
        return int(table.open[inside[0]]), int(table.close[inside[-1]])
    length = LENGTHS[target] * MINUTE
    start = int(table.open[row]) + (ts - int(table.open[row])) // length * length
    return start, min(start + length, int(table.close[row]))


def _reference(columns, table, target):
    """Aggregate as a person would: bar by bar, opening a new one when its time is up."""
    bars, current = [], None
    for i, ts in enumerate(columns.ts.tolist()):
        start, stop = _period_of(table, ts, target)
        open_, high, low, close, volume = columns.prices[:, i].tolist()
        if current is None or current["start"] != start:
            current = {"start": start, "stop": stop, "open": open_, "high": high, "low": low}
            current |= {"volume": 0.0, "first_ts": ts}
            bars.append(current)
        current["high"] = max(current["high"], high)
        current["low"] = min(current["low"], low)
        current["close"] = close
        current["volume"] += volume
        current["last_close"] = min(ts + MINUTE, stop)
    if bars and bars[0]["first_ts"] != bars[0]["start"]:
        del bars[0]
    if bars and bars[-1]["last_close"] < bars[-1]["stop"]:
        del bars[-1]
    return bars


def _check_against_reference(columns, table, target):
    made = resample_columns(columns, table, "1m", target)
    expected = _reference(columns, table, target)
    assert made.ts.tolist() == [bar["start"] for bar in expected]
    for i, name in enumerate(("open", "high", "low", "close", "volume")):
        assert made.prices[i].tolist() == [bar[name] for bar in expected]


@pytest.mark.parametrize("target", ["5m", "15m", "30m", "1h", "1d", "1w"])
def test_every_timeframe_equals_the_reference(minutes, xnys, target):
    _check_against_reference(minutes, xnys, target)


@settings(max_examples=40, deadline=None)
@given(
    missing=st.lists(st.floats(0, 1), max_size=400),
    start=st.integers(0, 900),
    length=st.integers(1, 3000),
    target=st.sampled_from(["5m", "15m", "1h", "1d", "1w"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_minutes_left_out_give_the_reference_to_the_bit(
    minutes, xnys, missing, start, length, target, seed
):
    part = minutes.select(slice(start, start + length))
    keep = np.ones(part.n_bars, bool)
    keep[(np.array(missing) * (part.n_bars - 1)).astype(int)] = False
    part = part.select(np.flatnonzero(keep))
    # Volumes with fractions, whose sum depends on the order of adding.
    part.prices[4] = np.random.default_rng(seed).random(part.n_bars)
    _check_against_reference(part, xnys, target)


def test_half_day_has_four_hours_of_which_the_last_is_short(minutes, xnys):
    hours = resample_columns(minutes, xnys, "1m", "1h")
    bars = bars_from_arrays(
        Instrument("X", calendar="XNYS"), "1h", hours.ts, *hours.prices, sessions=xnys
    )
    last_day = bars.session == days_of(date(2024, 11, 29))
    # 09:30 to 13:00 in New York.
    assert ((bars.close_ts - bars.ts)[last_day] // MINUTE).tolist() == [60, 60, 60, 30]


def test_week_with_a_holiday_has_one_bar_that_ends_on_friday(minutes, xnys):
    weeks = resample_columns(minutes, xnys, "1m", "1w")
    assert weeks.session.tolist() == [days_of(date(2024, 11, 22)), days_of(date(2024, 11, 29))]


def test_going_by_way_of_hours_or_days_gives_the_same_bars(minutes, xnys):
    whole = replace(minutes, prices=np.round(minutes.prices, 2))
    hours = resample_columns(whole, xnys, "1m", "1h")
    days = resample_columns(whole, xnys, "1m", "1d")
    assert resample_columns(hours, xnys, "1h", "1d").equals(days)
    weeks = resample_columns(whole, xnys, "1m", "1w")
    assert resample_columns(days, xnys, "1d", "1w").equals(weeks)


def test_quotes_are_carried_each_by_itself(xnys, ns):
    ts = ns("2024-11-18T14:30") + np.arange(5) * MINUTE
    prices = np.full((5, 5), 10.0)
    bid = np.array([[9, 8, 7, 8, 9], [9, 9, 9, 9.5, 9], [9, 8, 7, 6, 5], [8, 7, 8, 9, 8.5]])
    ask = bid + 1
    columns = BarColumns(ts, np.full(5, days_of(date(2024, 11, 18))), prices, bid, ask)
    made = resample_columns(columns, xnys, "1m", "5m")
    assert made.bid[:, 0].tolist() == [9, 9.5, 5, 8.5]
    assert made.ask[:, 0].tolist() == [10, 10.5, 6, 9.5]


def test_split_within_a_week_puts_the_week_in_the_money_of_its_end(xnys):
    days = np.array([days_of(date(2024, 11, day)) for day in (18, 19, 20, 21, 22)])
    opens = xnys.open[np.searchsorted(xnys.date, days)]
    prices = np.array(
        [
            [100, 102, 51, 52, 53],
            [104, 103, 52, 53, 54],
            [99, 98, 50, 51, 52],
            [102, 101, 51.5, 52.5, 53],
            [10, 10, 20, 20, 20],
        ]
    )
    actions = dated_actions([(date(2024, 11, 20), 2.0, 0.0)])
    made = resample_columns(
        BarColumns(opens, days, prices.astype(float)), xnys, "1d", "1w", actions=actions
    )
    assert made.prices[:, 0].tolist() == [50, 54, 49, 53, 100]


def test_bars_outside_the_hours_are_in_no_day(xnys, ns):
    ts = np.arange(ns("2024-11-18T14:00"), ns("2024-11-18T21:30"), MINUTE)
    prices = np.full((5, ts.shape[0]), 10.0)
    prices[1, :30] = 99.0
    columns = BarColumns(ts, np.full(ts.shape[0], days_of(date(2024, 11, 18))), prices)
    days = resample_columns(columns, xnys, "1m", "1d", extended_hours=True)
    assert days.prices[:, 0].tolist() == [10.0, 10.0, 10.0, 10.0, 3900.0]
    halves = resample_columns(columns, xnys, "1m", "30m", extended_hours=True)
    assert halves.prices[1, :2].tolist() == [99.0, 10.0]
    assert halves.n_bars == 15


def test_partial_periods_are_kept_on_request(minutes, xnys):
    part = minutes.select(slice(100, 500))
    assert resample_columns(part, xnys, "1m", "1d").n_bars == 0
    kept = resample_columns(part, xnys, "1m", "1d", keep_partial=True)
    assert kept.session.tolist() == [days_of(date(2024, 11, 18)), days_of(date(2024, 11, 19))]


@pytest.mark.parametrize(("source", "target"), [("5m", "1m"), ("5m", "8m"), ("1d", "1d")])
def test_timeframe_that_does_not_fit_is_refused(minutes, xnys, source, target):
    with pytest.raises(DataError, match=f"{target} bars can't be made of {source} bars"):
        resample_columns(minutes, xnys, source, target)


def test_series_is_made_of_the_longest_one_that_fits_and_stored(store, minutes):
    store.write_bars("X", "1m", minutes, calendar="XNYS", source="test")
    assert resample_series(store, "X", "1h").sources == ("made of 1m bars",)
    assert resample_series(store, "X", "1d").sources == ("made of 1h bars",)
    before = store.find_series("X", "1d")
    assert resample_series(store, "X", "1d", source="1m").files == before.files
    with pytest.raises(DataError, match="from which 30s bars can be made"):
        resample_series(store, "X", "30s")
