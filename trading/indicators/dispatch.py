"""One entry to all kernels: an operation code chooses family and kernel.

Every kernel has a step, `x_step_nb(state, registers, <parameters>, <inputs>)`,
that returns the new registers and the outputs at one bar; kernels without a
ring take no state. A NaN input returns NaN and leaves everything as it was, so
a series that starts with NaN warms a kernel up on its first numbers. The
family's runner loads the registers from the node's state, loops over the step,
and stores them.
"""

from __future__ import annotations

from trading.compiling import kernel
from trading.indicators.averages import run_averages_nb
from trading.indicators.candles import run_candles_nb
from trading.indicators.oscillators import run_oscillators_nb
from trading.indicators.rolling import run_rolling_nb
from trading.indicators.statistics import run_statistics_nb
from trading.indicators.trend import run_trend_nb
from trading.indicators.volatility import run_volatility_nb
from trading.indicators.volume import run_volume_nb


@kernel
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
    elif family == 2:
        run_trend_nb(op, state, params, matrix, inputs, output, start, stop)
    elif family == 3:
        run_volatility_nb(op, state, params, matrix, inputs, output, start, stop)
    elif family == 4:
        run_volume_nb(op, state, params, matrix, inputs, output, start, stop)
    elif family == 5:
        run_statistics_nb(op, state, params, matrix, inputs, output, start, stop)
    elif family == 6:
        run_candles_nb(op, state, params, matrix, inputs, output, start, stop)
    elif family == 7:
        run_rolling_nb(op, state, params, matrix, inputs, output, start, stop)
