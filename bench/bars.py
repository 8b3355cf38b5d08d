"""Seeded minute bars for the benchmarks, and the files that hand them to workers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foundation.home import data_home

SEED = 20_240_101
START_NS = 1_704_067_200 * 10**9  # 2024-01-01T00:00Z
MINUTE_NS = 60 * 10**9
_MINUTES_PER_DAY = 1440
_N_STEPS = 8  # Steps of the path within a minute; high and low are its extremes.
_VOLATILITY = 0.0009  # Of one minute's return, on average: 34 % a year for 390 minutes a day.


def minute_bars(n_bars: int, seed: int = SEED) -> NDArray[np.float64]:
    """Make minute bars of one instrument that trades around the clock.

    A random walk whose volatility has a daily shape and wanders in clusters,
    as that of real minutes does, so that momentum conditions come true often
    and stops and targets of one or two per cent are hit now and then. Opens
    gap from the close before by a tenth of a minute's move.

    Parameters
    ----------
    n_bars : int
        Number of minutes, > 0.
    seed : int
        Same seed, same bars. The first bars don't depend on `n_bars`.

    Returns
    -------
    float64 array, shape (5, n_bars)
        Open, high, low, close around 100, and volume in whole units.
    """
    streams = [np.random.default_rng([seed, i]) for i in range(4)]
    steps = streams[0].standard_normal((n_bars, _N_STEPS)) / np.sqrt(_N_STEPS)
    volatility = _volatility(n_bars, streams[1])
    gap = 0.1 * volatility * streams[2].standard_normal(n_bars)
    path = np.cumsum(steps * volatility[:, None], axis=1)
    before = np.concatenate([[0.0], np.cumsum(gap + path[:, -1])[:-1]])
    opening = before + gap
    prices = np.empty((5, n_bars))
    prices[0] = opening
    prices[1] = opening + np.maximum(path.max(axis=1), 0.0)
    prices[2] = opening + np.minimum(path.min(axis=1), 0.0)
    prices[3] = opening + path[:, -1]
    # Four decimals: exact touches of a level are then so rare that whether a
    # touch fills an order can't decide the comparison of trades.
    prices[:4] = np.round(100.0 * np.exp(prices[:4]), 4)
    burst = np.exp(0.6 * streams[3].standard_normal(n_bars))
    prices[4] = np.round(5000.0 * burst * volatility / _VOLATILITY) + 1.0
    return prices


def bars_file(n_bars: int) -> Path:
    """Return the path of an ``.npy`` with `minute_bars`, made when missing."""
    path = data_home() / "bench" / "bars" / f"minutes-{SEED}-{n_bars}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part.npy")
        np.save(unfinished, minute_bars(n_bars))
        unfinished.replace(path)
    return path


def times(n_bars: int) -> NDArray[np.int64]:
    """Return the bars' open times, UTC nanoseconds."""
    return START_NS + MINUTE_NS * np.arange(n_bars, dtype=np.int64)


def _volatility(n_bars: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Return each minute's volatility: a daily shape times slow clusters."""
    minute = np.arange(n_bars) % _MINUTES_PER_DAY
    shape = 1.0 + 0.5 * np.cos(2.0 * np.pi * minute / _MINUTES_PER_DAY)
    noise = random.standard_normal(n_bars)
    clusters = np.empty(n_bars)
    level = 0.0
    for i in range(n_bars):
        level = 0.99 * level + 0.05 * noise[i]
        clusters[i] = level
    return _VOLATILITY * shape * np.exp(clusters)
