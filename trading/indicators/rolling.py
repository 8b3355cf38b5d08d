"""Functions of the expression language that look back over one series."""

from __future__ import annotations

from math import nan

from trading.compiling import inlined_kernel, inner_kernel
from trading.indicators.ops import OP_HIGHEST, OP_LOWEST, OP_REF, OP_SUM
from trading.indicators.windows import (
    delay_nb,
    load_delay_nb,
    load_extreme_nb,
    load_sum_nb,
    store_delay_nb,
    store_extreme_nb,
    store_sum_nb,
    window_highest_nb,
    window_lowest_nb,
    window_sum_nb,
)


@inlined_kernel
def highest_step_nb(state, registers, length, x):
    """Return the largest of the last `length` values."""
    if x != x:
        return registers, nan
    return window_highest_nb(state, registers, length, x)


@inlined_kernel
def lowest_step_nb(state, registers, length, x):
    """Return the smallest of the last `length` values."""
    if x != x:
        return registers, nan
    return window_lowest_nb(state, registers, length, x)


@inlined_kernel
def sum_step_nb(state, registers, length, x):
    """Return the sum of the last `length` values."""
    if x != x:
        return registers, nan
    return window_sum_nb(state, registers, length, x)


@inner_kernel
def run_rolling_nb(op, state, params, matrix, inputs, output, start, stop):
    """Run one look-back function over the bars start to stop; see `dispatch`.

    `ref` takes NaN in, unlike every kernel, because it counts bars and not
    numbers.
    """
    x = matrix[inputs[0]]
    out = matrix[output]
    length = int(params[0])
    if op == OP_REF:
        ring = load_delay_nb(state)
        for i in range(start, stop):
            ring, out[i] = delay_nb(state, ring, length, x[i])
        store_delay_nb(state, ring)
    elif op == OP_HIGHEST:
        extreme = load_extreme_nb(state)
        for i in range(start, stop):
            extreme, out[i] = highest_step_nb(state, extreme, length, x[i])
        store_extreme_nb(state, extreme)
    elif op == OP_LOWEST:
        extreme = load_extreme_nb(state)
        for i in range(start, stop):
            extreme, out[i] = lowest_step_nb(state, extreme, length, x[i])
        store_extreme_nb(state, extreme)
    elif op == OP_SUM:
        window = load_sum_nb(state)
        for i in range(start, stop):
            window, out[i] = sum_step_nb(state, window, length, x[i])
        store_sum_nb(state, window)
