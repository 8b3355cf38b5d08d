"""Momentum oscillators as step kernels."""

from __future__ import annotations

from math import nan

from numba import njit

from trading.indicators.ops import OP_MACD, OP_RSI, OP_STOCH
from trading.indicators.windows import ema_nb, window_mean_nb, window_range_nb

# TA-Lib treats an average movement below this as none at all.
ZERO = 1e-14


@njit(cache=True, nogil=True)
def rsi_nb(state, at, length, x):
    """Return Wilder's relative strength index, 0 to 100.

    State: how many values were seen (up to length + 1), the last one, average
    gain, average loss.
    """
    count = state[at]
    change = x - state[at + 1]
    state[at + 1] = x
    gain = max(change, 0.0)
    loss = max(-change, 0.0)
    if count > length:
        weight = 1.0 / length
        keep = 1.0 - weight
        gain = state[at + 2] * keep + gain * weight
        loss = state[at + 3] * keep + loss * weight
    else:
        count += 1.0
        state[at] = count
        if count == 1.0:
            return nan
        gain += state[at + 2]
        loss += state[at + 3]
        if count > length:
            gain /= length
            loss /= length
    state[at + 2] = gain
    state[at + 3] = loss
    if count <= length:
        return nan
    moved = gain + loss
    if moved < ZERO:
        return 0.0
    return 100.0 * (gain / moved)


@njit(cache=True, nogil=True)
def rsi_step_nb(state, length, x):
    """Return Wilder's relative strength index. State: `rsi_nb`."""
    if x != x:
        return nan
    return rsi_nb(state, 0, length, x)


@njit(cache=True, nogil=True)
def stoch_nb(state, at, length, k_smoothing, d_smoothing, high, low, close):
    """Return the slow stochastic's k and d, 0 to 100.

    State: `window_range_nb`, then the windows of the two smoothings.
    """
    highest, lowest = window_range_nb(state, at, length, high, low)
    if highest != highest:
        return nan, nan
    spread = (highest - lowest) / 100.0
    raw = 0.0
    if spread != 0.0:
        raw = (close - lowest) / spread
    at += 4 + 2 * length
    k = window_mean_nb(state, at, k_smoothing, raw)
    if k != k:
        return nan, nan
    d = window_mean_nb(state, at + 4 + k_smoothing, d_smoothing, k)
    if d != d:
        return nan, nan
    return k, d


@njit(cache=True, nogil=True)
def stoch_step_nb(state, length, k_smoothing, d_smoothing, high, low, close):
    """Return the slow stochastic's k and d. State: `stoch_nb`."""
    if high != high or low != low or close != close:
        return nan, nan
    return stoch_nb(state, 0, length, k_smoothing, d_smoothing, high, low, close)


@njit(cache=True, nogil=True)
def macd_step_nb(state, fast, slow, smoothing, x):
    """Return MACD, its signal and their difference.

    State: how many values were seen, then the fast, slow and signal averages.
    The fast average starts late, so that both give their seed at the same bar.
    """
    if x != x:
        return nan, nan, nan
    seen = state[0]
    slow_average = ema_nb(state, 3, slow, x)
    if seen < slow:
        state[0] = seen + 1.0
        if seen < slow - fast:
            return nan, nan, nan
    fast_average = ema_nb(state, 1, fast, x)
    if slow_average != slow_average:
        return nan, nan, nan
    macd = fast_average - slow_average
    signal = ema_nb(state, 5, smoothing, macd)
    if signal != signal:
        return nan, nan, nan
    return macd, signal, macd - signal


@njit(cache=True, nogil=True)
def run_oscillators_nb(op, state, params, matrix, inputs, output, start, stop):
    """Run one oscillator over the bars start to stop; see `dispatch`."""
    x = matrix[inputs[0]]
    out = matrix[output]
    length = int(params[0])
    if op == OP_RSI:
        for i in range(start, stop):
            out[i] = rsi_step_nb(state, length, x[i])
    elif op == OP_STOCH:
        low = matrix[inputs[1]]
        close = matrix[inputs[2]]
        d = matrix[output + 1]
        k_smoothing = int(params[1])
        d_smoothing = int(params[2])
        for i in range(start, stop):
            out[i], d[i] = stoch_step_nb(
                state, length, k_smoothing, d_smoothing, x[i], low[i], close[i]
            )
    elif op == OP_MACD:
        signal = matrix[output + 1]
        histogram = matrix[output + 2]
        slow = int(params[1])
        smoothing = int(params[2])
        for i in range(start, stop):
            out[i], signal[i], histogram[i] = macd_step_nb(
                state, length, slow, smoothing, x[i]
            )
