"""Trades in other orders: shuffled, or drawn with replacement, and compounded.

A trade earns the same share of equity as it did. In another order the final
equity stays and the drawdown changes; drawn with replacement both do. Trades
that overlapped, of several instruments, are taken one after the other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from research.monte_carlo_paths import QUANTILES, MonteCarloOptions, Paths, deepest, points_of
from research.results import PORTFOLIO, ResultFiles, Table

FloatArray = NDArray[np.float64]

_CHUNK_CELLS = 8_000_000


def trade_shares(result: ResultFiles) -> FloatArray:
    """Return each trade's net profit over the portfolio's equity when it was entered.

    In the order in which trades closed.
    """
    import polars as pl

    trades = result.read(Table.TRADES, columns=["symbol", "entry_ts", "exit_ts", "net_profit"])
    trades = trades.sort("exit_ts", "entry_ts", "symbol")
    equity = result.equity(PORTFOLIO).select("ts", "equity")
    ts = equity["ts"].to_physical().to_numpy()
    # The equity before the bar that entered: the bar's own close has the trade in it.
    at = np.searchsorted(ts, trades["entry_ts"].to_physical().to_numpy(), side="right") - 2
    values = equity["equity"].cast(pl.Float64).to_numpy()
    base = np.where(at >= 0, values[np.maximum(at, 0)], result.summary.starting_cash)
    shares: FloatArray = trades["net_profit"].to_numpy() / np.where(base > 0.0, base, np.nan)
    if not bool(np.isfinite(shares).all()):
        raise DataError("equity was used up before a trade: its order can't be varied")
    return shares


def order_paths(
    shares: FloatArray,
    start: float,
    options: MonteCarloOptions,
    generator: np.random.Generator,
    *,
    replace: bool,
) -> Paths:
    """Compound trades in other orders.

    Parameters
    ----------
    shares : float64 array, shape (n_trades,)
        What each trade earns of the equity at its entry.
    replace : bool
        Whether trades are drawn with replacement, or all are shuffled.
    """
    n_paths, n_trades = options.n_orders, len(shares)
    points = points_of(n_trades + 1, n_paths)
    growth = np.empty((n_paths, len(points)))
    final, depths = np.empty(n_paths), np.empty(n_paths)
    ruined = np.empty(n_paths, bool)
    rows = max(1, _CHUNK_CELLS // (n_trades + 1))
    for first in range(0, n_paths, rows):
        part = slice(first, min(first + rows, n_paths))
        n = part.stop - part.start
        if replace:
            picked = generator.integers(0, n_trades, (n, n_trades))
        else:
            picked = generator.permuted(np.tile(np.arange(n_trades), (n, 1)), axis=1)
        equity = np.empty((n, n_trades + 1))
        equity[:, 0] = start
        # A trade that loses more than all there is leaves nothing to go on with.
        equity[:, 1:] = start * np.cumprod(np.maximum(1.0 + shares[picked], 0.0), axis=1)
        growth[part] = equity[:, points]
        final[part] = equity[:, -1]
        depths[part] = deepest(equity)
        ruined[part] = equity.min(axis=1) <= options.ruin * start
    return Paths(
        final, depths, ruined, np.full(n_paths, n_trades, np.int64), points,
        np.quantile(growth, QUANTILES, axis=0),
    )  # fmt: skip
