"""The lower bound: these rules alone, written by hand as one numba loop.

No orders, no states, no records but the trades: what a person would write to
get one answer fast. The platform is general; the ratio to this loop says what
that costs.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit

from bench.processes import N_THREADS
from bench.protocol import serve

_MAX_TRADES = 20  # Bars for one trade, at least: entry, exit and re-entry take more.


@njit(cache=True, nogil=True)
def rsi_nb(close, length):
    """Compute Wilder's relative strength index; the first `length` values are NaN."""
    result = np.full(close.size, np.nan)
    gain = loss = 0.0
    for i in range(1, close.size):
        change = close[i] - close[i - 1]
        up, down = max(change, 0.0), max(-change, 0.0)
        if i <= length:
            gain += up / length
            loss += down / length
        else:
            gain = (gain * (length - 1) + up) / length
            loss = (loss * (length - 1) + down) / length
        if i >= length:
            total = gain + loss
            result[i] = 100.0 * gain / total if total > 0.0 else 0.0
    return result


@njit(cache=True, nogil=True)
def slow_k_nb(high, low, close, length, smoothing):
    """Compute slow stochastic %K: the mean of the last raw values."""
    raw = np.full(close.size, np.nan)
    result = np.full(close.size, np.nan)
    for i in range(length - 1, close.size):
        top, bottom = high[i], low[i]
        for j in range(i - length + 1, i):
            top, bottom = max(top, high[j]), min(bottom, low[j])
        raw[i] = 100.0 * (close[i] - bottom) / (top - bottom) if top > bottom else 0.0
        if i >= length + smoothing - 2:
            total = 0.0
            for j in range(i - smoothing + 1, i + 1):
                total += raw[j]
            result[i] = total / smoothing
    return result


@njit(cache=True, nogil=True)
def run_sets_nb(prices, rsi, k, sets, first, last, rules, bars, fills, n_trades, final_cash):
    """Run the sets `first` to `last` one after the other.

    Parameters
    ----------
    prices : float64 array, shape (5, n_bars)
    rsi, k : float64 arrays, shape (n_bars,)
    sets : float64 array, shape (n_sets, 2)
    rules : tuple of floats
        Stochastic level, stop, target, fee, lot, cash.
    bars, fills : int64 and float64 arrays, shape (n_sets, n_most, 2)
        Filled with entry and exit bar, and entry and exit price, of each trade.
    n_trades, final_cash : int64 and float64 arrays, shape (n_sets,)
        Filled; an open position is marked to the last close.
    """
    below, stop_share, target_share, fee, lot, start_cash = rules
    opens, highs, lows, closes = prices[0], prices[1], prices[2], prices[3]
    n_bars = closes.size
    for s in range(first, last):
        x, y = sets[s, 0], sets[s, 1]
        cash = start_cash
        n = 0
        t = 0
        while t < n_bars - 1:
            if not (rsi[t] < x and k[t] < below):
                t += 1
                continue
            entry = t + 1
            price = opens[entry]
            quantity = np.floor(cash / (price * (1.0 + fee)) / lot) * lot
            cash -= quantity * price * (1.0 + fee)
            stop = price - stop_share * closes[t]
            target = price + target_share * closes[t]
            exit_price = 0.0
            leaving = False
            t = entry
            while t < n_bars:
                if leaving or opens[t] <= stop or opens[t] >= target:
                    exit_price = opens[t]
                elif lows[t] <= stop:
                    exit_price = stop
                elif highs[t] > target:
                    exit_price = target
                if exit_price > 0.0:
                    break
                leaving = rsi[t] > y
                t += 1
            if exit_price > 0.0:
                cash += quantity * exit_price * (1.0 - fee)
                bars[s, n, 0], bars[s, n, 1] = entry, t
                fills[s, n, 0], fills[s, n, 1] = price, exit_price
                n += 1
            else:
                cash += quantity * closes[n_bars - 1]
        n_trades[s] = n
        final_cash[s] = cash


class BareLoop:
    """The job of `bench.protocol`: indicators and all sets, on two threads."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._prices = np.load(spec["bars"])
        self._sets = np.array(spec["sets"])
        self._spec = spec
        names = ("stoch_below", "stop", "target", "fee", "lot", "cash")
        self._rules = tuple(float(spec[name]) for name in names)
        n_sets, most = len(self._sets), self._prices.shape[1] // _MAX_TRADES + 1
        self._bars = np.zeros((n_sets, most, 2), np.int64)
        self._fills = np.zeros((n_sets, most, 2))
        self._n_trades = np.zeros(n_sets, np.int64)
        self._cash = np.zeros(n_sets)
        self._pool = ThreadPoolExecutor(N_THREADS)
        self.run()

    def run(self) -> None:
        """Compute the indicators, then all sets, half of them on each thread."""
        _, high, low, close, _ = self._prices
        length, smoothing, _ = self._spec["stoch"]
        rsi = self._pool.submit(rsi_nb, close, self._spec["rsi_length"])
        k = self._pool.submit(slow_k_nb, high, low, close, length, smoothing)
        edges = np.linspace(0, len(self._sets), N_THREADS + 1).astype(int)
        parts = [
            self._pool.submit(
                run_sets_nb,
                *(self._prices, rsi.result(), k.result(), self._sets, first, last, self._rules),
                *(self._bars, self._fills, self._n_trades, self._cash),
            )
            for first, last in pairwise(edges)
        ]
        for part in parts:
            part.result()

    def arrays(self, result: None) -> dict[str, np.ndarray]:
        """Return the closed trades of the last run."""
        taken = np.arange(self._bars.shape[1]) < self._n_trades[:, None]
        return {
            "set": np.repeat(np.arange(len(self._sets)), self._n_trades),
            "entry": self._bars[taken, 0],
            "exit": self._bars[taken, 1],
            "entry_price": self._fills[taken, 0],
            "exit_price": self._fills[taken, 1],
            "final_cash": self._cash,
        }


if __name__ == "__main__":
    serve(BareLoop)
