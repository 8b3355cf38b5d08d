"""An indicator over whole columns, for charts, tests and tables.

Backtests link indicators into one matrix instead (`trading.linker`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from trading.indicators.specs import IndicatorSpec, Kind

Column = NDArray[np.float64]


def compute(
    spec: IndicatorSpec,
    params: Sequence[float],
    columns: Mapping[str, Column],
    *,
    step: int | None = None,
) -> NDArray[np.float64]:
    """Compute an indicator over all bars.

    Parameters
    ----------
    spec : IndicatorSpec
        A kernel or a member of the long tail.
    params : sequence of float
        In the order of `spec.parameters`.
    columns : mapping of str to float64 array, shape (n_bars,)
        Every name in `spec.inputs`, oldest bar first.
    step : int, optional
        Bars per call of the kernel; all at once by default. The values are the
        same bits whatever it is.

    Returns
    -------
    float64 array, shape (n_outputs, n_bars)
        NaN before the indicator is warm.
    """
    if spec.kind is Kind.TAIL:
        return _compute_tail(spec, params, columns)
    from trading.indicators.dispatch import run_indicator_nb

    n_inputs = len(spec.inputs)
    n_bars = len(columns[spec.inputs[0]])
    matrix = np.full((n_inputs + len(spec.outputs), n_bars), np.nan)
    for row, name in enumerate(spec.inputs):
        matrix[row] = columns[name]
    state = np.zeros(spec.state_size(params))
    values = np.array(params, np.float64)
    rows = np.arange(n_inputs)
    for start in range(0, n_bars, step or max(n_bars, 1)):
        stop = min(start + (step or n_bars), n_bars)
        run_indicator_nb(spec.op, state, values, matrix, rows, n_inputs, start, stop)
    return matrix[n_inputs:]


def _compute_tail(
    spec: IndicatorSpec, params: Sequence[float], columns: Mapping[str, Column]
) -> NDArray[np.float64]:
    from trading.indicators.tail import compute_tail, input_names

    assert spec.window is not None, "an indicator of the long tail has a window"
    width = spec.window(params)
    names = input_names(spec)
    n_bars = len(columns[names[0]])
    values = np.full((len(spec.outputs), n_bars), np.nan)
    for i in range(width - 1, n_bars):
        window = {name: columns[name][i + 1 - width : i + 1] for name in names}
        values[:, i] = compute_tail(spec, params, window)
    return values
