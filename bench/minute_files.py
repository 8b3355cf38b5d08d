"""Files of minute bars of several symbols, for the benchmarks of the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
from numpy.typing import NDArray

from market_data.calendars import compute_sessions
from market_data.columns import BarColumns
from market_data.sessions import date_of
from market_data.timeframes import MINUTE_NS

CALENDAR = "XNYS"
_FIRST_DATE = 15_706  # 2013-01-01
_TICK = 0.01


def session_minutes(n_bars: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return times and session dates of the first minutes of New York's sessions from 2013 on."""
    n_days = n_bars // 390 * 365 // 245 + 30
    table = compute_sessions(CALENDAR, date_of(_FIRST_DATE), date_of(_FIRST_DATE + n_days))
    counts = (table.close - table.open) // MINUTE_NS
    first = np.repeat(np.cumsum(counts) - counts, counts)
    ts = np.repeat(table.open, counts) + (np.arange(first.shape[0]) - first) * MINUTE_NS
    if ts.shape[0] < n_bars:
        raise ValueError(f"{n_days} days have {ts.shape[0]} minutes, {n_bars} are needed")
    return ts[:n_bars], np.repeat(table.date, counts)[:n_bars]


def symbol_bars(n_bars: int, seed: int) -> BarColumns:
    """Return seeded bars of one stock: a random walk in cents, volumes of whole shares."""
    rng = np.random.default_rng(seed)
    ts, session = session_minutes(n_bars)
    walk = np.cumsum(rng.normal(0.0, 4e-4, n_bars))
    # Mirrored at its bounds: prices stay those of a stock, and nothing jumps.
    folded = np.abs((walk + 1.0) % 4.0 - 2.0) - 1.0
    close = _cents(100.0 * np.exp(folded))
    open_ = _cents(np.append(close[0], close[:-1]) * np.exp(rng.normal(0.0, 1e-4, n_bars)))
    top, bottom = np.maximum(open_, close), np.minimum(open_, close)
    high = np.maximum(top, _cents(top * (1 + np.abs(rng.normal(0.0, 2e-4, n_bars)))))
    low = np.minimum(bottom, _cents(bottom * (1 - np.abs(rng.normal(0.0, 2e-4, n_bars)))))
    volume = np.floor(rng.lognormal(8.0, 1.0, n_bars))
    return BarColumns(ts, session, np.stack([open_, high, low, close, volume]))


def _cents(prices: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.round(prices / _TICK) * _TICK


def write_csv(path: Path, n_symbols: int, n_bars: int, *, by_time: bool) -> None:
    """Write bars of several symbols, one symbol after the other or one minute after the other."""
    ts, _ = session_minutes(n_bars)
    text = pc.strftime(
        pa.array(ts // 1_000_000_000).cast(pa.timestamp("s")), format="%Y-%m-%dT%H:%M:%SZ"
    )
    tables = []
    for i in range(n_symbols):
        prices = symbol_bars(n_bars, seed=i).prices
        columns = {"symbol": pa.array([f"SYM{i:02}"] * n_bars), "ts": text}
        for k, name in enumerate(("open", "high", "low", "close")):
            # As sources write them: the shortest text that is the price.
            columns[name] = pa.array(np.round(prices[k], 2))
        columns["volume"] = pa.array(prices[4].astype(np.int64))
        tables.append(pa.table(columns))
    table = pa.concat_tables(tables)
    if by_time:
        rows = np.arange(n_symbols * n_bars).reshape(n_symbols, n_bars).T.ravel()
        table = table.take(pa.array(rows))
    pcsv.write_csv(table, path, pcsv.WriteOptions(quoting_style="none"))
