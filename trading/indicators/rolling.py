"""Functions of the expression language that look back over one series."""

from __future__ import annotations

from math import nan

from numba import njit

from trading.indicators.ops import OP_HIGHEST, OP_LOWEST, OP_REF, OP_SUM
from trading.indicators.windows import (
    delay_nb,
    window_highest_nb,
    window_lowest_nb,
    window_sum_nb,
)


@njit(cache=True, nogil=True)
def ref_step_nb(state, length, x):
    """Return x of `length` bars ago, which may be NaN.

    State: `delay_nb`. Unlike every other kernel it takes NaN in, because bars
    are counted and not numbers.
    """
    return delay_nb(state, 0, length, x)


@njit(cache=True, nogil=True)
def highest_step_nb(state, length, x):
    """Return the largest of the last `length` values. State: `window_highest_nb`."""
    if x != x:
        return nan
    return window_highest_nb(state, 0, length, x)


@njit(cache=True, nogil=True)
def lowest_step_nb(state, length, x):
    """Return the smallest of the last `length` values. State: `window_lowest_nb`."""
    if x != x:
        return nan
    return window_lowest_nb(state, 0, length, x)


@njit(cache=True, nogil=True)
def sum_step_nb(state, length, x):
    """Return the sum of the last `length` values. State: `window_sum_nb`."""
    if x != x:
        return nan
    return window_sum_nb(state, 0, length, x)


@njit(cache=True, nogil=True)
def run_rolling_nb(op, state, params, matrix, inputs, output, start, stop):
    """Run one look-back function over the bars start to stop; see `dispatch`."""
    x = matrix[inputs[0]]
    out = matrix[output]
    length = int(params[0])
    if op == OP_REF:
        for i in range(start, stop):
            out[i] = ref_step_nb(state, length, x[i])
    elif op == OP_HIGHEST:
        for i in range(start, stop):
            out[i] = highest_step_nb(state, length, x[i])
    elif op == OP_LOWEST:
        for i in range(start, stop):
            out[i] = lowest_step_nb(state, length, x[i])
    elif op == OP_SUM:
        for i in range(start, stop):
            out[i] = sum_step_nb(state, length, x[i])
