"""Bundles of arrays that kernels pass among themselves.

Named tuples keep the argument lists of the outer kernels readable. Arrays of
length zero switch a log or a record off.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Feed(NamedTuple):
    """Bars and the columns computed from them; one column per bar.

    Attributes
    ----------
    matrix : float64 array, shape (n_rows, n_bars)
        Rows open, high, low, close, volume, then bid and ask where known, then
        indicator values.
    ts, close_ts : int64 arrays, shape (n_bars,)
        UTC nanoseconds.
    session, bar_flags : int64 arrays, shape (n_bars,)
        As in `Bars`.
    flags : int8 array, shape (n_flag_rows, n_bars)
        Conditions in three-valued logic; row 0 is always false.
    session_stop : int64 array, shape (n_bars,)
        Index after the last bar of each bar's session.
    scan_low, scan_high : float64 arrays, shape (n_bars,)
        Lowest and highest price at which anything can trade in the bar.
    block_low, block_high, block_close_low, block_close_high : float64 arrays
        Lowest scan_low, highest scan_high, lowest and highest close of each
        whole block of BLOCK_BARS bars, so that most bars are passed over unread.
    actions : ACTION array
    finer : float64 array, shape (n_rows, n_finer)
    finer_ts : int64 array, shape (n_finer,)
    finer_start : int64 array, shape (n_bars + 1,) or (0,)
    """

    matrix: NDArray[np.float64]
    ts: NDArray[np.int64]
    close_ts: NDArray[np.int64]
    session: NDArray[np.int64]
    bar_flags: NDArray[np.int64]
    flags: NDArray[np.int8]
    session_stop: NDArray[np.int64]
    scan_low: NDArray[np.float64]
    scan_high: NDArray[np.float64]
    block_low: NDArray[np.float64]
    block_high: NDArray[np.float64]
    block_close_low: NDArray[np.float64]
    block_close_high: NDArray[np.float64]
    actions: NDArray[np.void]
    finer: NDArray[np.float64]
    finer_ts: NDArray[np.int64]
    finer_start: NDArray[np.int64]


class Logs(NamedTuple):
    """What happened, row by row; `cursor` says how far each log is filled, in this order."""

    cursor: NDArray[np.int64]
    fills: NDArray[np.void]
    orders: NDArray[np.void]
    trades: NDArray[np.void]
    cash_events: NDArray[np.void]


class Record(NamedTuple):
    """One value per bar of a single sleeve, and one per session of each.

    Attributes
    ----------
    equity, cash : float64 arrays, shape (n_bars,) or (0,)
    lots : int64 array, shape (n_bars,) or (0,)
    reasons, actions : int8 arrays, shape (n_bars,) or (0,)
    session_equity : float64 array, shape (n_sleeves, n_sessions)
        At the close of each session.
    session_cash : float64 array, shape (n_sleeves, n_sessions) or (n_sleeves, 0)
    session_date : int64 array, shape (n_sessions,)
        Days since 1970-01-01.
    """

    equity: NDArray[np.float64]
    cash: NDArray[np.float64]
    lots: NDArray[np.int64]
    reasons: NDArray[np.int8]
    actions: NDArray[np.int8]
    session_equity: NDArray[np.float64]
    session_cash: NDArray[np.float64]
    session_date: NDArray[np.int64]
