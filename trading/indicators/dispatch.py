"""One entry to all kernels: an operation code chooses family and kernel."""

from __future__ import annotations

from numba import njit

from trading.indicators.averages import run_averages_nb
from trading.indicators.oscillators import run_oscillators_nb
from trading.indicators.rolling import run_rolling_nb
from trading.indicators.volatility import run_volatility_nb


@njit(cache=True, nogil=True)
def run_indicator_nb(op, state, params, matrix, inputs, output, start, stop):
    """Run one kernel over the bars start to stop.

    A live step calls it with stop = start + 1 and the state of the bar before;
    calling it once for all bars gives the same bits.

    Parameters
    ----------
    op : int
        Operation code of `trading.indicators.ops`.
    state : float64 array, shape (state_size,)
        This node's own state, all zeros before the first bar.
    params : float64 array, shape (n_parameters,)
        In the order of the catalogue; the caller has checked their ranges.
    matrix : float64 array, shape (n_rows, n_bars), C-contiguous
        Inputs and outputs, one row each.
    inputs : int64 array, shape (n_inputs,)
        Rows of the inputs, in the order of the catalogue.
    output : int
        Row of the first output; the others follow it.
    start, stop : int
        Bars to compute.
    """
    family = op // 100
    if family == 0:
        run_averages_nb(op, state, params, matrix, inputs, output, start, stop)
    elif family == 1:
        run_oscillators_nb(op, state, params, matrix, inputs, output, start, stop)
    elif family == 3:
        run_volatility_nb(op, state, params, matrix, inputs, output, start, stop)
    elif family == 7:
        run_rolling_nb(op, state, params, matrix, inputs, output, start, stop)
