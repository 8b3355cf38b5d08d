"""What markets do by themselves and is no finding: the sound twins of planted defects."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from market_data.calendars import always_open
from market_data.columns import BarColumns
from market_data.generator import Market, generate_minutes
from market_data.quality.checking import check_columns
from market_data.quality.findings import Severity, at_least
from market_data.sessions import days_of
from market_data.timeframes import MINUTE_NS
from tests.market_data import corrupting


def found_in(columns, table, timeframe):
    found = check_columns(
        columns.ts, columns.prices, symbol="X", timeframe=timeframe, sessions=table,
        bid=columns.bid, ask=columns.ask, halted=columns.halted, tick=0.01, lot=0.0,
    )  # fmt: skip
    return [one.check for one in at_least(found, Severity.WARNING)]


@pytest.fixture
def minutes(xnys):
    bars = corrupting.sound_minutes(xnys, 3, date(2023, 2, 10))
    return replace(bars, bid=None, ask=None, halted=None, prices=bars.prices.copy())


def within(bars, n_sessions=8, minute=120):
    """Return a bar in the middle of a session."""
    day = np.unique(bars.session)[n_sessions]
    return int(np.flatnonzero(bars.session == day)[minute])


def move(bars, at, size):
    """Set bars out of line with all their prices."""
    bars.prices[:4, at] *= size


def trade_there_and_back(bars, i):
    """Let prices rise by 5 % within one minute and fall back within the next."""
    p = bars.prices
    low, high = p[3, i - 1], p[3, i - 1] * 1.05
    p[:4, i] = low, high, low, high
    p[:4, i + 1] = high, high, p[3, i + 1], p[3, i + 1]


def test_a_market_that_turns_round_within_minutes_is_no_misprint(minutes, xnys):
    i = within(minutes)
    trade_there_and_back(minutes, i)
    assert found_in(minutes, xnys, "1m") == []


def test_the_same_two_minutes_reached_by_a_jump_are_misprints(minutes, xnys):
    i = within(minutes)
    trade_there_and_back(minutes, i)
    p = minutes.prices
    high = p[1, i]
    p[:4, [i, i + 1]] = high
    assert found_in(minutes, xnys, "1m") == ["spike"]


def test_prices_of_the_close_that_are_gone_the_next_morning_are_no_misprint(minutes, xnys):
    day = np.unique(minutes.session)[8]
    last = np.flatnonzero(minutes.session == day)[-2:]
    move(minutes, last, 1.05)
    assert found_in(minutes, xnys, "1m") == []


def test_prices_around_a_halt_are_no_misprint(minutes, xnys):
    i = within(minutes)
    move(minutes, [i, i + 1], 1.05)
    assert found_in(minutes, xnys, "1m") == ["spike"]
    halted = np.zeros(minutes.n_bars, bool)
    halted[i + 1] = True
    assert found_in(replace(minutes, halted=halted), xnys, "1m") == []


def test_news_that_is_denied_after_two_days_is_no_misprint(xnys):
    days = corrupting.sound_days(xnys, 4)
    days = replace(days, bid=None, ask=None, halted=None, prices=days.prices.copy())
    move(days, [200, 201], 1.7)
    assert found_in(days, xnys, "1d") == ["spike"]
    days.prices[4, 200] *= 8.0
    assert "spike" not in found_in(days, xnys, "1d")


def test_four_days_out_of_line_are_not_told_from_a_market(xnys):
    days = corrupting.sound_days(xnys, 4)
    days = replace(days, bid=None, ask=None, halted=None, prices=days.prices.copy())
    move(days, slice(200, 204), 1.7)
    assert "spike" not in found_in(days, xnys, "1d")


def evening_bars(xnys):
    """Return four weeks of twelve hours a day, with a fiftieth of the volume outside the hours."""
    days = np.arange(days_of(date(2023, 2, 6)), days_of(date(2023, 3, 4)))
    days = days[np.isin(days, xnys.date)]
    row = np.searchsorted(xnys.date, days)
    draw = np.random.default_rng(2)
    ts = (xnys.open[row][:, None] + (np.arange(720) - 150) * MINUTE_NS).ravel()
    inside = ((ts[:, None] >= xnys.open[row]) & (ts[:, None] < xnys.close[row])).any(axis=1)
    close = 100.0 * np.exp(np.cumsum(draw.standard_normal(ts.shape[0]) * 3e-4))
    prices = np.array([close, close * 1.0003, close * 0.9997, close, np.where(inside, 5e3, 100.0)])
    prices[4] *= draw.lognormal(0, 0.3, ts.shape[0])
    return BarColumns(ts, np.repeat(days, 720), prices), inside


def test_an_evening_of_news_has_a_hundred_times_the_volume(xnys):
    bars, inside = evening_bars(xnys)
    assert found_in(bars, xnys, "1m") == []
    evening = (bars.session == np.unique(bars.session)[10]) & ~inside
    bars.prices[4, evening] *= 110.0
    assert found_in(bars, xnys, "1m") == []


def test_a_share_that_all_the_world_wants_for_a_week_is_no_wrong_unit(xnys):
    days = corrupting.sound_days(xnys, 4)
    days = replace(days, bid=None, ask=None, halted=None, prices=days.prices.copy())
    week = slice(200, 208)
    days.prices[4, week] *= 80.0
    assert "wrong_volume_unit" in found_in(days, xnys, "1d")
    middle = np.sqrt(days.prices[1, week] * days.prices[2, week])
    days.prices[1, week], days.prices[2, week] = middle * 1.15, middle / 1.15
    assert "wrong_volume_unit" not in found_in(days, xnys, "1d")


@pytest.mark.parametrize("seed", [8, 9, 10])
def test_volume_that_varies_by_tens_from_day_to_day_is_in_no_wrong_unit(seed, xnys):
    days = corrupting.sound_days(xnys, 4)
    days = replace(days, bid=None, ask=None, halted=None, prices=days.prices.copy())
    draw = np.random.default_rng(seed)
    days.prices[4] = np.ceil(1e5 * draw.lognormal(0, 1.0, days.n_bars))
    assert found_in(days, xnys, "1d") == []
    days.prices[4, 200:210] *= 100.0
    assert "wrong_volume_unit" not in found_in(days, xnys, "1d")


def test_volume_that_grows_a_hundredfold_over_years_is_in_no_wrong_unit(xnys):
    days = corrupting.sound_days(xnys, 4)
    days = replace(days, bid=None, ask=None, halted=None, prices=days.prices.copy())
    days.prices[4] = np.ceil(days.prices[4] * np.geomspace(1.0, 150.0, days.n_bars))
    assert found_in(days, xnys, "1d") == []


def test_misprints_over_midnight_of_a_market_that_never_closes_are_found():
    every_day = always_open(days_of(date(2022, 1, 1)), days_of(date(2023, 12, 31)))
    quiet = Market(halt_probability=0.0, missing_probability=0.0)
    bars = generate_minutes(
        date(2023, 3, 1), date(2023, 3, 8), seed=4, market=quiet, sessions=every_day
    ).columns
    bars = replace(bars, bid=None, ask=None, halted=None, prices=bars.prices.copy())
    first = int(np.flatnonzero(bars.session == days_of(date(2023, 3, 5)))[0])
    move(bars, [first - 1, first], 1.08)
    assert found_in(bars, every_day, "1m") == ["spike"]


@pytest.mark.parametrize(
    ("range_of_bars", "severity"), [(0.002, Severity.WARNING), (0.0, Severity.ERROR)]
)
def test_a_close_that_a_wall_of_orders_holds_is_told_from_a_feed_that_stands(
    range_of_bars, severity, minutes, xnys
):
    i = within(minutes)
    at = slice(i, i + 60)
    close = minutes.prices[3, i - 1]
    minutes.prices[[0, 3], at] = close
    minutes.prices[1, at] = close * (1.0 + range_of_bars)
    minutes.prices[2, at] = close * (1.0 - range_of_bars)
    found = check_columns(
        minutes.ts, minutes.prices, symbol="X", timeframe="1m", sessions=xnys, tick=0.01
    )
    assert [(one.check, one.severity) for one in at_least(found, Severity.WARNING)] == [
        ("stale_price", severity)
    ]


@pytest.mark.parametrize(("n_bars", "severity"), [(3, Severity.WARNING), (200, Severity.ERROR)])
def test_a_few_bars_in_no_session_are_a_sources_oddity_and_many_a_wrong_calendar(
    n_bars, severity, minutes, xnys
):
    # Of 28 sessions with some 10,900 minutes 3 bars are 0.03 %, and 200 are 1.8 %.
    friday = minutes.select(np.flatnonzero(minutes.session == days_of(date(2023, 1, 6)))[-n_bars:])
    sunday = replace(friday, ts=friday.ts + 2 * 24 * 60 * MINUTE_NS, session=friday.session + 2)
    both = BarColumns.from_tables([minutes.to_table(), sunday.to_table()])
    both = both.select(np.argsort(both.ts, kind="stable"))
    found = check_columns(both.ts, both.prices, symbol="X", timeframe="1m", sessions=xnys)
    told = [one for one in at_least(found, Severity.WARNING) if one.check == "no_session"]
    assert {one.severity for one in told} == {severity}
    assert sum(one.n_bars for one in told) == n_bars


@pytest.mark.parametrize(("excess", "names"), [(4e-7, []), (4e-6, ["ohlc_order"])])
def test_what_rounding_to_seven_digits_does_to_a_high_is_no_disorder(excess, names, minutes, xnys):
    i = within(minutes)
    minutes.prices[1, i] = max(minutes.prices[0, i], minutes.prices[3, i]) * (1.0 - excess)
    assert found_in(minutes, xnys, "1m") == names


@pytest.mark.parametrize("factor", [100.0, 0.01])
def test_a_wrong_unit_says_how_many_times_too_much_it_is(factor, minutes, xnys):
    i = within(minutes)
    for rows, at in ((slice(0, 4), slice(i, i + 5)), (4, minutes.session == minutes.session[i])):
        prices = minutes.prices.copy()
        prices[rows, at] *= factor
        (found,) = at_least(
            check_columns(minutes.ts, prices, symbol="X", timeframe="1m", sessions=xnys),
            Severity.WARNING,
        )
        assert found.check == ("wrong_volume_unit" if rows == 4 else "wrong_unit")
        assert (found.severity, found.measure) == (Severity.ERROR, factor)
        assert f"{factor:g} times" in found.evidence


@pytest.mark.parametrize("missing", [np.nan, 0.0])
@pytest.mark.parametrize(
    ("sides", "told"), [(["bid"], "no bid"), (["ask"], "no ask"), (["bid", "ask"], "")]
)
def test_a_bid_or_an_ask_alone_is_told_and_a_minute_without_quotes_is_not(
    sides, told, missing, xnys
):
    bars = corrupting.sound_minutes(xnys, 3, date(2023, 2, 10))
    i = within(bars)
    for side in sides:
        getattr(bars, side)[:, i] = missing
    found = check_columns(
        bars.ts, bars.prices, symbol="X", timeframe="1m", sessions=xnys, bid=bars.bid, ask=bars.ask
    )
    serious = at_least(found, Severity.WARNING)
    assert [(one.check, one.first_ts) for one in serious] == (
        [("one_sided_quotes", bars.ts[i])] if told else []
    )
    assert all(told in one.evidence for one in serious)


def test_a_share_that_some_days_hardly_trade_has_no_volume_spikes(xnys):
    # A hundred times the median is 2.3 sigmas here: some three days in a year.
    days = corrupting.sound_days(xnys, 4)
    days = replace(days, bid=None, ask=None, halted=None, prices=days.prices.copy())
    days.prices[4] = np.ceil(1e5 * np.random.default_rng(1).lognormal(0, 2.0, days.n_bars))
    assert (days.prices[4] > 100 * np.median(days.prices[4])).sum() >= 2
    assert found_in(days, xnys, "1d") == []
