"""Small series for tests; imports little, because killed writers import it too."""

from __future__ import annotations

import numpy as np

from market_data.columns import BarColumns
from market_data.sessions import days_of

MINUTE = 60 * 10**9


def minutes(day, n=10, close=10.0, quotes=False):
    """Return n minute bars of one price from 15:00 UTC on a day."""
    ts = days_of(day) * 24 * 60 * MINUTE + 15 * 60 * MINUTE + np.arange(n) * MINUTE
    prices = np.full((5, n), close)
    bid = np.full((4, n), close - 1) if quotes else None
    ask = np.full((4, n), close + 1) if quotes else None
    return BarColumns(ts, np.full(n, days_of(day)), prices, bid, ask)


def join(*parts):
    """Return the bars of several parts, one after the other."""
    return BarColumns(
        np.concatenate([part.ts for part in parts]),
        np.concatenate([part.session for part in parts]),
        np.concatenate([part.prices for part in parts], axis=1),
    )


def write(store, columns, timeframe="1m", **more):
    """Write bars of symbol X."""
    return store.write_bars("X", timeframe, columns, calendar="XNYS", **{"source": "test", **more})
