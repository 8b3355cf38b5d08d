"""The made-up market: the same for a seed, and like a market where it counts."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from foundation.errors import DataError
from market_data.checks import check_prices
from market_data.generator import SIM, Market, generate_minutes, generate_ticks
from market_data.resampling import resample_columns
from tests.market_data.making import MINUTE

FIRST, LAST = date(2024, 1, 2), date(2024, 6, 28)


@pytest.fixture(scope="module")
def made(xnys):
    return generate_minutes(FIRST, LAST, seed=3, sessions=xnys)


def _minute_of_session(columns, xnys):
    row = np.searchsorted(xnys.date, columns.session)
    return (columns.ts - xnys.open[row]) // MINUTE


def test_same_seed_gives_the_same_bars_and_ticks(made, xnys):
    again = generate_minutes(FIRST, LAST, seed=3, sessions=xnys)
    assert again.columns.equals(made.columns)
    assert again.halts == made.halts
    assert np.array_equal(generate_ticks(again, seed=5), generate_ticks(made, seed=5))


def test_another_seed_gives_other_bars(made, xnys):
    other = generate_minutes(FIRST, LAST, seed=4, sessions=xnys)
    assert not np.array_equal(other.columns.prices[3, :300], made.columns.prices[3, :300])


def test_longer_span_begins_with_the_bars_of_a_shorter_one(made, xnys):
    shorter = generate_minutes(FIRST, date(2024, 1, 31), seed=3, sessions=xnys).columns
    assert made.columns.select(slice(0, shorter.n_bars)).equals(shorter)


def test_bars_pass_the_checks_of_an_import(made):
    assert check_prices(made.columns.prices.copy(), str, repair=False) == []
    assert bool(np.all(np.diff(made.columns.ts) >= MINUTE))
    assert bool(np.all(made.columns.prices[4] >= 4))


def test_prices_are_whole_ticks(made):
    cents = made.columns.prices[:4] / SIM.tick
    np.testing.assert_allclose(cents, np.round(cents), atol=1e-6)


def test_bid_is_below_ask_and_trades_lie_near_them(made):
    columns = made.columns
    assert bool(np.all(columns.bid < columns.ask))
    assert bool(np.all(columns.bid[3] <= columns.prices[3]))
    assert bool(np.all(columns.ask[3] >= columns.prices[3]))
    # The stated 2 basis points are 0.02 at a price of 100.
    assert 0.01 <= np.median((columns.ask - columns.bid)[3]) <= 0.03


def test_spread_is_wider_at_the_open(made, xnys):
    minute = _minute_of_session(made.columns, xnys)
    spread = (made.columns.ask - made.columns.bid)[3]
    assert spread[minute < 5].mean() > 2 * spread[(minute > 60) & (minute < 330)].mean()


def test_volume_by_time_of_day_has_a_u_shape(made, xnys):
    minute = _minute_of_session(made.columns, xnys)
    volume = made.columns.prices[4]
    midday = volume[(minute > 150) & (minute < 240)].mean()
    assert volume[minute < 15].mean() > 2 * midday
    assert volume[(minute >= 375) & (minute < 390)].mean() > 2 * midday


def test_daily_volatility_and_volume_are_the_stated_ones(xnys):
    market = Market(volatility=0.02, volume=1_000_000.0)
    made = generate_minutes(date(2021, 1, 4), LAST, seed=9, market=market, sessions=xnys)
    days = resample_columns(made.columns, xnys, "1m", "1d")
    returns = np.diff(np.log(days.prices[3]))
    assert 0.017 < returns.std() < 0.023
    assert 0.9e6 < days.prices[4].mean() < 1.1e6
    gaps = np.log(days.prices[0, 1:] / days.prices[3, :-1])
    # 35 % of the variance comes over night.
    assert 0.25 < gaps.var() / returns.var() < 0.45


def test_halts_have_no_bars_and_last_five_to_fifteen_minutes(made):
    assert made.halts
    for halt in made.halts:
        assert 5 <= (halt.stop - halt.start) // MINUTE <= 15
        inside = (made.columns.ts >= halt.start) & (made.columns.ts < halt.stop)
        assert not np.any(inside)


def test_some_minutes_have_no_bar_but_sessions_begin_and_end_with_one(made, xnys):
    sessions = xnys.between(int(made.columns.session[0]), int(made.columns.session[-1]))
    halted = sum(halt.stop - halt.start for halt in made.halts) // MINUTE
    scheduled = int(np.sum(sessions.close - sessions.open)) // MINUTE
    missing = 1 - made.columns.n_bars / (scheduled - halted)
    assert 0.003 < missing < 0.03
    assert set(sessions.open) <= set(made.columns.ts)
    assert set(sessions.close - MINUTE) <= set(made.columns.ts)


def test_dates_without_a_session_are_refused(xnys):
    with pytest.raises(DataError, match="no sessions of XNYS from 2024-01-06 to 2024-01-07"):
        generate_minutes(date(2024, 1, 6), date(2024, 1, 7), seed=1, sessions=xnys)


def test_ticks_aggregate_to_their_bars(xnys):
    made = generate_minutes(FIRST, date(2024, 1, 5), seed=3, sessions=xnys)
    ticks = generate_ticks(made, seed=1)
    columns = made.columns
    minute = ticks["ts"] // MINUTE * MINUTE
    starts = np.searchsorted(minute, columns.ts)
    assert np.unique(minute).tolist() == columns.ts.tolist()
    assert bool(np.all(np.diff(ticks["ts"]) >= 0))
    last = np.append(starts[1:], ticks.shape[0]) - 1
    assert ticks["price"][starts].tolist() == columns.prices[0].tolist()
    assert np.maximum.reduceat(ticks["price"], starts).tolist() == columns.prices[1].tolist()
    assert np.minimum.reduceat(ticks["price"], starts).tolist() == columns.prices[2].tolist()
    assert ticks["price"][last].tolist() == columns.prices[3].tolist()
    assert np.add.reduceat(ticks["size"], starts).tolist() == columns.prices[4].tolist()
    assert bool(np.all(ticks["size"] >= 1))
    assert bool(np.all(ticks["bid"] < ticks["ask"]))
    traded = np.minimum(abs(ticks["price"] - ticks["bid"]), abs(ticks["price"] - ticks["ask"]))
    assert traded.max() < 1e-9
