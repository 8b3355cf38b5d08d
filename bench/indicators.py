"""`indicators`: each kernel's speed and values beside its oracle.

The oracle is TA-Lib's C function (several where TA-Lib has one for each of our
outputs), and pandas-ta for the two that TA-Lib lacks. Ours is the batch loop
over the step that serves one live bar.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from bench.rows import NotValid

_N_BARS = 100_000
_N_ROUNDS = 25
_LARGEST_DIFFERENCE = 1e-9


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Time every kernel and its oracle in turns on 100,000 bars, and compare the values.

    Returns
    -------
    list of dict
        One for each kernel: `ours_ns_per_bar`, `talib_ns_per_bar` (medians),
        `ratio` (oracle over ours: above 1 we are faster) and
        `largest_difference` (relative).

    Raises
    ------
    NotValid
        If a kernel's values differ from its oracle's.
    """
    from trading.indicators.catalogue import INDICATORS
    from trading.indicators.oracles import ORACLES, difference, sample_columns

    warnings.simplefilter("ignore")
    n_bars = 10_000 if quick else _N_BARS
    columns = sample_columns(n_bars, 1)
    rows = []
    for name, spec in INDICATORS.items():
        params = [p.default for p in spec.parameters]
        matrix, ours = _job(spec, params, columns)
        oracle = ORACLES[name]
        theirs = oracle(columns, params)
        ours()
        largest = difference(matrix[len(spec.inputs) :], theirs, spec.warmup(params))
        if largest > _LARGEST_DIFFERENCE:
            raise NotValid(f"{name} differs from {spec.oracle} by {largest:.1e}")
        slow = not spec.oracle.startswith("TA-Lib") or name == "vwap"
        n_rounds = 3 if quick or slow else _N_ROUNDS
        pairs = [
            (_seconds(ours), _seconds(partial(oracle, columns, params))) for _ in range(n_rounds)
        ]
        rows.append(
            {
                "name": f"indicators/{name}",
                "value": median(a for a, _ in pairs) / n_bars * 1e9,
                "ratio": median(b / a for a, b in pairs),
                "peer": spec.oracle,
                "unit": "ns per bar",
                "indicator": name,
                "ours_ns_per_bar": median(a for a, _ in pairs) / n_bars * 1e9,
                "talib_ns_per_bar": median(b for _, b in pairs) / n_bars * 1e9,
                "largest_difference": largest,
            }
        )
    return rows


def _job(
    spec: Any, params: list[float], columns: Any
) -> tuple[np.ndarray[Any, Any], Callable[[], None]]:
    """Return a matrix with the inputs filled in, and a function that fills in the outputs."""
    from trading.indicators.dispatch import run_indicator_nb

    n_inputs = len(spec.inputs)
    n_bars = len(columns["close"])
    matrix = np.full((n_inputs + len(spec.outputs), n_bars), np.nan)
    for row, name in enumerate(spec.inputs):
        matrix[row] = columns[name]
    values = np.array(params, np.float64)
    rows = np.arange(n_inputs)

    def work() -> None:
        state = np.zeros(spec.state_size(params))
        run_indicator_nb(spec.op, state, values, matrix, rows, n_inputs, 0, n_bars)

    return matrix, work


def _seconds(work: Callable[[], object]) -> float:
    # CPU time, because the work is so short that one preemption would be most of it.
    start = time.thread_time()
    work()
    return time.thread_time() - start
