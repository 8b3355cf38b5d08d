"""Volatility and price channels as step kernels."""

from __future__ import annotations

from math import nan, sqrt

from numba import njit

from trading.indicators.ops import OP_ATR, OP_BBANDS, OP_DONCHIAN
from trading.indicators.windows import (
    true_range_nb,
    wilder_nb,
    window_moments_nb,
    window_range_nb,
)


@njit(cache=True, nogil=True)
def atr_nb(state, at, length, high, low, close):
    """Return the average true range; the first bar has no true range.

    State: 1 after the first bar, the last close, then the average.
    """
    previous = state[at + 1]
    state[at + 1] = close
    if state[at] == 0.0:
        state[at] = 1.0
        return nan
    return wilder_nb(state, at + 2, length, true_range_nb(high, low, previous))


@njit(cache=True, nogil=True)
def atr_step_nb(state, length, high, low, close):
    """Return Wilder's average true range. State: `atr_nb`."""
    if high != high or low != low or close != close:
        return nan
    return atr_nb(state, 0, length, high, low, close)


@njit(cache=True, nogil=True)
def bbands_step_nb(state, length, deviations, x):
    """Return lower, middle and upper band, their width and x's place in them.

    State: `window_moments_nb`. The width is in percent of the middle, the place
    is 0 at the lower band and 1 at the upper; both are NaN where they would
    divide by zero.
    """
    if x != x:
        return nan, nan, nan, nan, nan
    middle, variance = window_moments_nb(state, 0, length, x)
    reach = deviations * sqrt(variance)
    lower = middle - reach
    upper = middle + reach
    spread = upper - lower
    width = 100.0 * spread / middle if middle != 0.0 else nan
    percent = (x - lower) / spread if spread != 0.0 else nan
    return lower, middle, upper, width, percent


@njit(cache=True, nogil=True)
def donchian_step_nb(state, length, high, low):
    """Return the lowest low, the middle and the highest high.

    State: `window_range_nb`.
    """
    if high != high or low != low:
        return nan, nan, nan
    highest, lowest = window_range_nb(state, 0, length, high, low)
    return lowest, (highest + lowest) / 2.0, highest


@njit(cache=True, nogil=True)
def run_volatility_nb(op, state, params, matrix, inputs, output, start, stop):
    """Run one volatility indicator over the bars start to stop; see `dispatch`."""
    x = matrix[inputs[0]]
    out = matrix[output]
    length = int(params[0])
    if op == OP_ATR:
        low = matrix[inputs[1]]
        close = matrix[inputs[2]]
        for i in range(start, stop):
            out[i] = atr_step_nb(state, length, x[i], low[i], close[i])
    elif op == OP_BBANDS:
        middle = matrix[output + 1]
        upper = matrix[output + 2]
        width = matrix[output + 3]
        percent = matrix[output + 4]
        deviations = params[1]
        for i in range(start, stop):
            out[i], middle[i], upper[i], width[i], percent[i] = bbands_step_nb(
                state, length, deviations, x[i]
            )
    elif op == OP_DONCHIAN:
        low = matrix[inputs[1]]
        middle = matrix[output + 1]
        upper = matrix[output + 2]
        for i in range(start, stop):
            out[i], middle[i], upper[i] = donchian_step_nb(state, length, x[i], low[i])
