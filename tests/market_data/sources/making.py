"""Bars for the vendors' servers: walks with two decimals over real sessions."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from market_data.sessions import days_of
from market_data.timeframes import DAY_NS, MINUTE_NS
from tests.market_data.sources.servers import Series


def walk(n_bars, seed=1, start=100.0):
    """Return five rows of numbers of n bars; prices have two decimals."""
    draws = np.random.default_rng(seed)
    close = np.round(start + np.cumsum(draws.normal(0, 0.05, n_bars)), 2)
    open_ = np.round(np.append(start, close[:-1]), 2)
    high = np.round(np.maximum(open_, close) + 0.03, 2)
    low = np.round(np.minimum(open_, close) - 0.03, 2)
    volume = draws.integers(100, 900, n_bars).astype(float)
    return np.array([open_, high, low, close, volume])


def sessions_between(table, first, last):
    """Return the rows of a session table from one ISO date to another, both included."""
    dates = table.date
    return np.flatnonzero((dates >= days_of(day(first))) & (dates <= days_of(day(last))))


def day(text):
    return datetime.fromisoformat(text).date()


def moment(text):
    """Return a UTC instant of text such as 2024-01-31T21:30."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def minutes(table, first, last, step=1, seed=1):
    """Return minute bars within the scheduled hours, half days as short as they are."""
    parts = [
        np.arange(table.open[row], table.close[row], step * MINUTE_NS)
        for row in sessions_between(table, first, last)
    ]
    ns = np.concatenate(parts)
    return Series(ns, walk(ns.shape[0], seed))


def local_days(table, first, last, seed=1):
    """Return daily bars at local midnight, as both vendors write them."""
    rows = sessions_between(table, first, last)
    ns = table.date[rows] * DAY_NS - table.offset[rows]
    return Series(ns, walk(ns.shape[0], seed))


def traded_through_split(series, ex_date, ratio):
    """Return the series as it trades when one share becomes so many on a day."""
    prices = series.prices.copy()
    after = series.ns // DAY_NS >= days_of(day(ex_date))
    prices[:4, after] = np.round(prices[:4, after] / ratio, 2)
    prices[4, after] *= ratio
    # Rounding must leave open and close within the range.
    prices[1] = np.maximum(prices[1], prices[[0, 3]].max(axis=0))
    prices[2] = np.minimum(prices[2], prices[[0, 3]].min(axis=0))
    return Series(series.ns, prices)
