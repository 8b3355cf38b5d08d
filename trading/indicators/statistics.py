"""Statistics of one series as step kernels."""

from __future__ import annotations

from math import nan, sqrt

from trading.compiling import inlined_kernel, inner_kernel
from trading.indicators.ops import OP_SLOPE, OP_STDEV, OP_ZSCORE
from trading.indicators.windows import (
    load_moments_nb,
    store_moments_nb,
    window_moments_nb,
)


@inlined_kernel
def stdev_step_nb(state, registers, length, x):
    """Return the population standard deviation (ddof 0)."""
    if x != x:
        return registers, nan
    registers, _, variance = window_moments_nb(state, registers, length, x)
    return registers, sqrt(variance)


@inlined_kernel
def zscore_step_nb(state, registers, length, x):
    """Return x's distance from the mean in sample standard deviations (ddof 1).

    NaN where the deviation is 0.
    """
    if x != x:
        return registers, nan
    registers, mean, variance = window_moments_nb(state, registers, length, x)
    deviation = sqrt(variance * length / (length - 1.0))
    return registers, ((x - mean) / deviation if deviation != 0.0 else nan)


@inlined_kernel
def slope_step_nb(state, registers, length, x):
    """Return the slope of the least squares line through the last values, per bar.

    State and registers as `window_moments_nb`, with weighted sums (weights 1 to
    length) in the place of the squares.
    """
    if x != x:
        return registers, nan
    position, full, origin, total, weighted, next_origin, growing, growing_weighted = registers
    slot = 8 + position
    added = x - origin
    weighted += added * length - total
    total += added - (state[slot] - origin)
    state[slot] = x
    if position == 0:
        next_origin = x
    position += 1
    growing += x - next_origin
    growing_weighted += (x - next_origin) * position
    if position == length:
        full = 1
        position = 0
        origin = next_origin
        total = growing
        weighted = growing_weighted
        growing = 0.0
        growing_weighted = 0.0
    registers = (position, full, origin, total, weighted, next_origin, growing, growing_weighted)
    if not full:
        return registers, nan
    spread = length * (length * length - 1.0) / 12.0
    return registers, (weighted - 0.5 * (length + 1.0) * total) / spread


@inner_kernel
def run_statistics_nb(op, state, params, matrix, inputs, output, start, stop):
    """Run one statistic over the bars start to stop; see `dispatch`."""
    x = matrix[inputs[0]]
    out = matrix[output]
    length = int(params[0])
    registers = load_moments_nb(state)
    if op == OP_STDEV:
        for i in range(start, stop):
            registers, out[i] = stdev_step_nb(state, registers, length, x[i])
    elif op == OP_ZSCORE:
        for i in range(start, stop):
            registers, out[i] = zscore_step_nb(state, registers, length, x[i])
    elif op == OP_SLOPE:
        for i in range(start, stop):
            registers, out[i] = slope_step_nb(state, registers, length, x[i])
    store_moments_nb(state, registers)
