"""Volatility as step kernels: true range, bands and channels."""

from __future__ import annotations

from math import nan, sqrt

from trading.compiling import inlined_kernel, inner_kernel, spliced_kernel
from trading.indicators.ops import (
    OP_ATR,
    OP_BBANDS,
    OP_DONCHIAN,
    OP_KELTNER,
    OP_NATR,
    OP_TRUE_RANGE,
)
from trading.indicators.windows import (
    ema_nb,
    load_average_nb,
    load_moments_nb,
    load_range_nb,
    store_average_nb,
    store_moments_nb,
    store_range_nb,
    true_range_nb,
    wilder_nb,
    window_moments_nb,
    window_range_nb,
)


@spliced_kernel
def true_range_step_nb(registers, high, low, close):
    """Return the true range; the first bar has none, lacking a close before it.

    Registers: 1 after the first bar, and the last close.
    """
    if high != high or low != low or close != close:
        return registers, nan
    seen, previous = registers
    return (1.0, close), (true_range_nb(high, low, previous) if seen else nan)


@spliced_kernel
def atr_step_nb(registers, length, high, low, close):
    """Return Wilder's average true range.

    Registers: those of the true range, and the average.
    """
    previous, average = registers
    previous, true_range = true_range_step_nb(previous, high, low, close)
    value = nan
    if true_range == true_range:
        average, value = wilder_nb(average, length, true_range)
    return (previous, average), value


@spliced_kernel
def load_atr_nb(state):
    """Load the registers of `atr_step_nb`."""
    return (state[0], state[1]), load_average_nb(state[2:])


@spliced_kernel
def store_atr_nb(state, registers):
    """Store the registers of `atr_step_nb`."""
    previous, average = registers
    state[0], state[1] = previous
    store_average_nb(state[2:], average)


@spliced_kernel
def natr_step_nb(registers, length, high, low, close):
    """Return the average true range in percent of the close, 0 at a close of 0."""
    registers, atr = atr_step_nb(registers, length, high, low, close)
    if close == 0.0:
        return registers, atr * 0.0
    return registers, atr / close * 100.0


@inlined_kernel
def bbands_step_nb(state, registers, length, deviations, x):
    """Return lower, middle and upper band, their width and x's place in them.

    The width is in percent of the middle; the place is 0 at the lower band and
    1 at the upper. Both are NaN where they would divide by zero.
    """
    if x != x:
        return registers, nan, nan, nan, nan, nan
    registers, middle, variance = window_moments_nb(state, registers, length, x)
    reach = deviations * sqrt(variance)
    lower = middle - reach
    spread = 2.0 * reach
    width = 100.0 * spread / middle if middle != 0.0 else nan
    percent = (x - lower) / spread if spread != 0.0 else nan
    return registers, lower, middle, middle + reach, width, percent


@inlined_kernel
def donchian_step_nb(state, registers, length, high, low):
    """Return the lowest low, the middle and the highest high."""
    if high != high or low != low:
        return registers, nan, nan, nan
    registers, highest, lowest = window_range_nb(state, registers, length, high, low)
    return registers, lowest, (highest + lowest) / 2.0, highest


@spliced_kernel
def keltner_step_nb(registers, length, multiplier, atr_length, high, low, close):
    """Return the average typical price, and the average true range around it.

    The part with the shorter warm-up starts late, so that both give their seed
    at the same bar.
    """
    if high != high or low != low or close != close:
        return registers, nan, nan, nan
    seen, average, atr = registers
    first = max(length - 1, atr_length)
    middle = nan
    reach = nan
    if seen >= first - (length - 1):
        average, middle = ema_nb(average, length, (high + low + close) / 3.0)
    if seen >= first - atr_length:
        atr, reach = atr_step_nb(atr, atr_length, high, low, close)
        reach *= multiplier
    if seen < first:
        return (seen + 1, average, atr), nan, nan, nan
    return (seen, average, atr), middle - reach, middle, middle + reach


@spliced_kernel
def run_bbands_nb(state, params, matrix, x, output, start, stop):
    """Loop over `bbands_step_nb`."""
    length = int(params[0])
    deviations = params[1]
    lower = matrix[output]
    middle = matrix[output + 1]
    upper = matrix[output + 2]
    width = matrix[output + 3]
    percent = matrix[output + 4]
    moments = load_moments_nb(state)
    for i in range(start, stop):
        moments, lower[i], middle[i], upper[i], width[i], percent[i] = bbands_step_nb(
            state, moments, length, deviations, x[i]
        )
    store_moments_nb(state, moments)


@spliced_kernel
def run_keltner_nb(state, params, matrix, inputs, output, start, stop):
    """Loop over `keltner_step_nb`."""
    length = int(params[0])
    multiplier = params[1]
    atr_length = int(params[2])
    high = matrix[inputs[0]]
    low = matrix[inputs[1]]
    close = matrix[inputs[2]]
    lower = matrix[output]
    middle = matrix[output + 1]
    upper = matrix[output + 2]
    registers = int(state[0]), load_average_nb(state[1:]), load_atr_nb(state[3:])
    for i in range(start, stop):
        registers, lower[i], middle[i], upper[i] = keltner_step_nb(
            registers, length, multiplier, atr_length, high[i], low[i], close[i]
        )
    seen, average, atr = registers
    state[0] = seen
    store_average_nb(state[1:], average)
    store_atr_nb(state[3:], atr)


@inner_kernel
def run_volatility_nb(op, state, params, matrix, inputs, output, start, stop):
    """Run one volatility indicator over the bars start to stop; see `dispatch`."""
    out = matrix[output]
    x = matrix[inputs[0]]
    if op == OP_BBANDS:
        run_bbands_nb(state, params, matrix, x, output, start, stop)
    elif op == OP_KELTNER:
        run_keltner_nb(state, params, matrix, inputs, output, start, stop)
    elif op == OP_DONCHIAN:
        low = matrix[inputs[1]]
        middle = matrix[output + 1]
        upper = matrix[output + 2]
        length = int(params[0])
        extremes = load_range_nb(state)
        for i in range(start, stop):
            extremes, out[i], middle[i], upper[i] = donchian_step_nb(
                state, extremes, length, x[i], low[i]
            )
        store_range_nb(state, extremes)
    elif op == OP_TRUE_RANGE:
        low = matrix[inputs[1]]
        close = matrix[inputs[2]]
        previous = state[0], state[1]
        for i in range(start, stop):
            previous, out[i] = true_range_step_nb(previous, x[i], low[i], close[i])
        state[0], state[1] = previous
    elif op == OP_ATR:
        low = matrix[inputs[1]]
        close = matrix[inputs[2]]
        length = int(params[0])
        atr = load_atr_nb(state)
        for i in range(start, stop):
            atr, out[i] = atr_step_nb(atr, length, x[i], low[i], close[i])
        store_atr_nb(state, atr)
    elif op == OP_NATR:
        low = matrix[inputs[1]]
        close = matrix[inputs[2]]
        length = int(params[0])
        atr = load_atr_nb(state)
        for i in range(start, stop):
            atr, out[i] = natr_step_nb(atr, length, x[i], low[i], close[i])
        store_atr_nb(state, atr)
