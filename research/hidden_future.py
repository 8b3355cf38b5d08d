"""Bars and stores whose future is hidden: cut off, replaced by noise, or in other units.

Owns how bars are changed for the look-ahead check. What is compared afterwards
is the business of `research.look_ahead`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market_data.building import select_bars
from market_data.columns import BarColumns
from market_data.series import Series
from market_data.store import Store
from trading.bars import ACTION, CLOSE, VOLUME, Bars

# Bars of noise after a cut: more would cost time and tell nothing more.
N_NOISE_BARS = 400
# The noise lies this many times above or below the last true price.
_NOISE_DISTANCE = 3.0
_NOISE_STEP = 0.05
_NOISE_STREAM = 7


class StoreUntil(Store):
    """A store as it would be if the data had ended with a session.

    Bars and corporate actions after it are not there, so that whoever reads
    can use nothing of them.

    Parameters
    ----------
    store : Store
    last_session : int
        Last session date that is seen, days since 1970-01-01.
    """

    def __init__(self, store: Store, last_session: int) -> None:
        super().__init__(store.home, local=store.local, clock=store.clock)
        self._last_session = last_session

    def read_columns(
        self, symbol: str, timeframe: str, **options: Any
    ) -> tuple[BarColumns, Series]:
        """Read stored bars up to the last session."""
        columns, series = super().read_columns(symbol, timeframe, **options)
        n_bars = int(np.searchsorted(columns.session, self._last_session, "right"))
        return columns.select(slice(0, n_bars)), series

    def read_action_records(self, symbol: str) -> NDArray[np.void]:
        """Return the splits and dividends up to the last session; `read_actions` asks here, too."""
        records = super().read_action_records(symbol)
        return records[records["ex_date"] <= self._last_session]


def cut(bars: Bars, n_bars: int) -> Bars:
    """Return the first bars alone, as if the data ended there."""
    return select_bars(bars, slice(0, n_bars))


def with_noise(bars: Bars, n_bars: int, seed: int) -> Bars:
    """Return the first bars with noise in the place of those that follow.

    Prices jump to another level and wander wildly, volumes are drawn anew, and
    corporate actions are made up; times and sessions, which a calendar knows
    beforehand, stay. What looks ahead sees another future than the true one,
    and not only none.

    Parameters
    ----------
    n_bars : int
        Bars that stay true, at least 1.
    seed : int
    """
    end = min(bars.n_bars, n_bars + N_NOISE_BARS)
    part = cut(bars, end)
    n_noise = end - n_bars
    if n_noise <= 0:
        return part
    random = np.random.default_rng([_NOISE_STREAM, seed, n_bars])
    level = float(part.prices[CLOSE, n_bars - 1])
    level *= _NOISE_DISTANCE if random.random() < 0.5 else 1.0 / _NOISE_DISTANCE
    prices = part.prices.copy()
    prices[:4, n_bars:] = _noise_prices(random, level, n_noise)
    prices[VOLUME, n_bars:] = np.floor(10.0 ** random.uniform(0.0, 8.0, n_noise))
    bid, ask = part.bid, part.ask
    if bid is not None and ask is not None:
        bid, ask = bid.copy(), ask.copy()
        bid[:, n_bars:] = prices[:4, n_bars:] * 0.99
        ask[:, n_bars:] = prices[:4, n_bars:] * 1.01
    known = part.actions[part.actions["i_bar"] < n_bars]
    made_up = np.zeros(min(2, n_noise), ACTION)
    made_up["i_bar"] = n_bars + np.arange(len(made_up))
    made_up["split_ratio"] = (3.0, 1.0)[: len(made_up)]
    made_up["dividend"] = (0.0, 0.02 * float(prices[CLOSE, n_bars]))[: len(made_up)]
    finer = part.finer
    if finer is not None and part.finer_start is not None:
        finer = _with_finer_noise(random, finer, int(part.finer_start[n_bars]), level)
    return replace(
        part,
        prices=prices,
        bid=bid,
        ask=ask,
        actions=np.concatenate([known, made_up]),
        finer=finer,
    )


def _noise_prices(random: np.random.Generator, level: float, n_bars: int) -> NDArray[np.float64]:
    """Return open, high, low and close that no market would make, in order all the same."""
    close = level * np.exp(np.clip(np.cumsum(random.normal(0.0, _NOISE_STEP, n_bars)), -2.0, 2.0))
    opened = close * np.exp(random.normal(0.0, _NOISE_STEP, n_bars))
    reach = np.exp(np.abs(random.normal(0.0, _NOISE_STEP, (2, n_bars))))
    high = np.maximum(opened, close) * reach[0]
    low = np.minimum(opened, close) / reach[1]
    return np.stack([opened, high, low, close])


def _with_finer_noise(random: np.random.Generator, finer: Bars, n_true: int, level: float) -> Bars:
    n_noise = finer.n_bars - n_true
    if n_noise <= 0:
        return finer
    prices = finer.prices.copy()
    prices[:4, n_true:] = _noise_prices(random, level, n_noise)
    prices[VOLUME, n_true:] = np.floor(10.0 ** random.uniform(0.0, 6.0, n_noise))
    bid, ask = finer.bid, finer.ask
    if bid is not None and ask is not None:
        bid, ask = bid.copy(), ask.copy()
        bid[:, n_true:] = prices[:4, n_true:] * 0.99
        ask[:, n_true:] = prices[:4, n_true:] * 1.01
    return replace(finer, prices=prices, bid=bid, ask=ask)


def rescaled(bars: Bars, *, price: float = 1.0, volume: float = 1.0) -> Bars:
    """Return the bars with prices and volumes in other units.

    Parameters
    ----------
    price, volume : float
        Factors. A power of two changes no digit of a price, so that whatever
        doesn't depend on the level gives the same bits times that power.
    """
    prices = bars.prices.copy()
    prices[:4] *= price
    prices[VOLUME] *= volume
    actions = bars.actions.copy()
    actions["dividend"] *= price
    finer = bars.finer
    return replace(
        bars,
        prices=prices,
        bid=None if bars.bid is None else bars.bid * price,
        ask=None if bars.ask is None else bars.ask * price,
        actions=actions,
        finer=None if finer is None else rescaled(finer, price=price, volume=volume),
    )
