"""Bundles of arrays that kernels pass among themselves.

Named tuples are free in compiled code and keep the argument lists readable.
Arrays of length zero switch a log or a record off.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Plan(NamedTuple):
    """What a strategy wants on one instrument; constant during a run.

    Attributes
    ----------
    policy : POLICY array, shape (1,)
    constants : float64 array
        Weights of the rungs, then shares of the profit targets.
    code : int64 array, shape (n_instructions, 2)
        Postfix instructions (operation, operand) of all formulas.
    literals : float64 array
        Numbers that the instructions refer to.
    starts : int64 array, shape (n_formulas + 1,)
        Formula f is code[starts[f]:starts[f + 1]]; empty when absent.
    conditions : int64 array, shape (4,)
        Rows of `Feed.flags` of enter_long, exit_long, enter_short, exit_short;
        -1 when the condition is a formula or absent.
    """

    policy: NDArray[np.void]
    constants: NDArray[np.float64]
    code: NDArray[np.int64]
    literals: NDArray[np.float64]
    starts: NDArray[np.int64]
    conditions: NDArray[np.int64]


class State(NamedTuple):
    """Everything a sleeve remembers of its trading between two bars."""

    header: NDArray[np.void]
    brackets: NDArray[np.void]
    orders: NDArray[np.void]


class Feed(NamedTuple):
    """Bars and the columns computed from them; one column per bar.

    Attributes
    ----------
    matrix : float64 array, shape (n_rows, n_bars)
        Rows open, high, low, close, volume, then bid and ask where known, then
        indicator values.
    flags : int8 array, shape (n_flag_rows, n_bars)
        Conditions in three-valued logic; row 0 is always false.
    ts, close_ts, session, bar_flags, session_stop : int64 arrays, shape (n_bars,)
        As in `Bars`; session_stop is the index after the session's last bar.
    scan_low, scan_high : float64 arrays, shape (n_bars,)
        Lowest and highest price at which anything can trade in the bar.
    actions : ACTION array
    finer : float64 array, shape (n_rows, n_finer)
    finer_ts : int64 array, shape (n_finer,)
    finer_start : int64 array, shape (n_bars + 1,) or (0,)
    """

    matrix: NDArray[np.float64]
    flags: NDArray[np.int8]
    ts: NDArray[np.int64]
    close_ts: NDArray[np.int64]
    session: NDArray[np.int64]
    bar_flags: NDArray[np.int64]
    session_stop: NDArray[np.int64]
    scan_low: NDArray[np.float64]
    scan_high: NDArray[np.float64]
    actions: NDArray[np.void]
    finer: NDArray[np.float64]
    finer_ts: NDArray[np.int64]
    finer_start: NDArray[np.int64]


class Logs(NamedTuple):
    """What happened, row by row; the cursor says how far each log is filled."""

    cursor: NDArray[np.void]
    fills: NDArray[np.void]
    orders: NDArray[np.void]
    trades: NDArray[np.void]
    cash_events: NDArray[np.void]


class Scratch(NamedTuple):
    """Room for the state before a bar whose two paths differ."""

    header: NDArray[np.void]
    brackets: NDArray[np.void]
    orders: NDArray[np.void]
    cursor: NDArray[np.void]
    stack: NDArray[np.float64]


class Record(NamedTuple):
    """One value per bar, and one per session."""

    equity: NDArray[np.float64]
    cash: NDArray[np.float64]
    lots: NDArray[np.int64]
    reasons: NDArray[np.int8]
    actions: NDArray[np.int8]
    session_equity: NDArray[np.float64]
    session_date: NDArray[np.int64]
