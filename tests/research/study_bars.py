"""Made-up daily bars whose truth is known: noise, and noise with an edge planted in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from market_data.columns import BarColumns
from market_data.store import Store
from trading.instruments import Instrument

DAY = 86_400 * 10**9
# Monday, 4 January 2010, as days since 1970-01-01.
FIRST = 14_613

# Buys above an average of n bars, sells below. On noise no n is better than another.
TREND = """
name: trend
timeframe: 1d
instruments: [NOISE]
parameters:
  fast: {default: 5, low: 2, high: 12, step: 1}
  slow: {default: 30, low: 20, high: 60, step: 5}
enter_long: sma(close, $fast) > sma(close, $slow)
exit_long: sma(close, $fast) < sma(close, $slow)
execution: {size: {equity_fraction: 0.95}}
"""

# The planted edge: a bar with volume k x 1000 + 1 foretells the next one's rise, for k near 5.
SIGNAL = """
name: signal
timeframe: 1d
instruments: [EDGE]
parameters:
  level: {default: 1, low: 1, high: 24, step: 1}
enter_long: between(volume, $level * 1000 - 1500, $level * 1000 + 1500)
exit_long: bars_in_trade >= 1
execution: {size: {equity_fraction: 0.9}}
"""


def weekdays(n: int) -> np.ndarray:
    """Return n weekdays from the first on; made-up calendars have no holidays."""
    number = np.arange(n)
    return FIRST + number // 5 * 7 + number % 5


def store_bars(
    store: Store, symbol: str, close: np.ndarray, volume: np.ndarray | None = None
) -> None:
    """Store daily bars that open at the close before and reach a tenth of a per cent beyond."""
    sessions = weekdays(len(close))
    opened = np.concatenate([[close[0]], close[:-1]])
    high, low = np.maximum(opened, close) * 1.001, np.minimum(opened, close) * 0.999
    volume = np.full(len(close), 1e6) if volume is None else volume
    store.write_instrument(Instrument(symbol, calendar="24/5"))
    store.write_bars(
        symbol, "1d",
        BarColumns(sessions * DAY, sessions, np.vstack([opened, high, low, close, volume])),
        calendar="24/5", source="made", overwrite=True,
    )  # fmt: skip


def noise(n: int, seed: int) -> np.ndarray:
    """Return closes of a random walk without drift."""
    steps = 0.01 * np.random.default_rng(seed).standard_normal(n)
    return 100.0 * np.exp(np.cumsum(steps))


def noise_store(home: Path, n: int = 1500, seed: int = 1) -> Store:
    """Store noise under the symbol NOISE."""
    made = Store(home)
    store_bars(made, "NOISE", noise(n, seed))
    return made


def edge_store(home: Path, n: int = 1500, seed: int = 2) -> Store:
    """Store bars whose volume near 5,000 foretells the next bar's rise of 0.8 per cent."""
    draw = np.random.default_rng(seed)
    volume = draw.integers(1, 25, n) * 1000.0
    drift = np.where(np.abs(volume - 5000.0) <= 1500.0, 0.008, 0.0)
    # Seen at a close, bought at the next open, which is that close.
    steps = 0.006 * draw.standard_normal(n) + np.concatenate([[0.0], drift[:-1]])
    made = Store(home)
    store_bars(made, "EDGE", 100.0 * np.exp(np.cumsum(steps)), volume)
    return made
