"""Moving averages as step kernels."""

from __future__ import annotations

from math import nan

from numba import njit

from trading.indicators.ops import OP_EMA, OP_SMA
from trading.indicators.windows import ema_nb, window_mean_nb


@njit(cache=True, nogil=True)
def sma_step_nb(state, length, x):
    """Return the simple moving average. State: `window_mean_nb`."""
    if x != x:
        return nan
    return window_mean_nb(state, 0, length, x)


@njit(cache=True, nogil=True)
def ema_step_nb(state, length, x):
    """Return the exponential average, seeded by the simple one. State: `ema_nb`."""
    if x != x:
        return nan
    return ema_nb(state, 0, length, x)


@njit(cache=True, nogil=True)
def run_averages_nb(op, state, params, matrix, inputs, output, start, stop):
    """Run one moving average over the bars start to stop; see `dispatch`."""
    x = matrix[inputs[0]]
    out = matrix[output]
    length = int(params[0])
    if op == OP_SMA:
        for i in range(start, stop):
            out[i] = sma_step_nb(state, length, x[i])
    elif op == OP_EMA:
        for i in range(start, stop):
            out[i] = ema_step_nb(state, length, x[i])
