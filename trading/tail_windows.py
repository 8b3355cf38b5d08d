"""Windows of the long tail: the last bars that its indicators are computed over, bar by bar.

Owns the windows of a stepped sleeve and the call of `compute_tail` from within
a step. A backtest cuts the same windows out of its columns (`trading.feeding`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from trading.indicators.specs import IndicatorSpec
from trading.indicators.tail import compute_tail, input_names

COMPUTED, FAILED = 0, 1
_Function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)


@dataclass(frozen=True, slots=True)
class WindowedIndicator:
    """An indicator of the long tail with the rows that it reads and writes.

    Attributes
    ----------
    input_rows : tuple of int
        Rows of the matrix, in the order of `input_names(spec)`.
    output : int
        First of its outputs' rows.
    """

    spec: IndicatorSpec
    params: tuple[float, ...]
    input_rows: tuple[int, ...]
    output: int

    @property
    def width(self) -> int:
        """Length of the window, bars of the indicator's timeframe."""
        assert self.spec.window is not None, "an indicator of the long tail has a window"
        return int(self.spec.window(self.params))


class TailWindows:
    """The last values of the inputs of each long-tail indicator.

    Parameters
    ----------
    indicators : sequence of WindowedIndicator
        The step asks for them by their places in it.
    matrix : float64 array, shape (n_rows, 1)
        The newest values: inputs are read from it, outputs written to it.

    Attributes
    ----------
    values : float64 array, shape (n_values,)
        All windows, each input's oldest value first; NaN before the first bar.
    address : int
        Of a C function that takes an indicator's place, moves its window on by
        the newest values and computes it; it returns COMPUTED or FAILED.
    """

    def __init__(
        self, indicators: Sequence[WindowedIndicator], matrix: NDArray[np.float64]
    ) -> None:
        self._indicators = tuple(indicators)
        self._matrix = matrix
        shapes = [(len(x.input_rows), x.width) for x in indicators]
        ends = np.cumsum([n_inputs * width for n_inputs, width in shapes])
        self.values = np.full(ends[-1] if len(ends) else 0, np.nan)
        self._windows = [
            part.reshape(shape)
            for part, shape in zip(np.split(self.values, ends[:-1]), shapes, strict=True)
        ]
        self._failure: BaseException | None = None
        self._callback = _Function(self._call)
        self.address = ctypes.cast(self._callback, ctypes.c_void_p).value or 0

    def take(self, place: int) -> None:
        """Move an indicator's window on by one bar and compute its outputs."""
        indicator = self._indicators[place]
        window = self._windows[place]
        window[:, :-1] = window[:, 1:]
        window[:, -1] = self._matrix[list(indicator.input_rows), 0]
        columns = dict(zip(input_names(indicator.spec), window, strict=True))
        outputs = compute_tail(indicator.spec, indicator.params, columns)
        self._matrix[indicator.output : indicator.output + len(outputs), 0] = outputs

    def raise_failure(self) -> NoReturn:
        """Raise what went wrong when the address was last called."""
        failure, self._failure = self._failure, None
        assert failure is not None, "nothing went wrong"
        raise failure

    def _call(self, place: int) -> int:
        # No exception, an interrupt included, can pass through compiled code: it
        # waits for the step's end.
        try:
            self.take(place)
        except BaseException as error:  # noqa: BLE001
            self._failure = error
            return FAILED
        return COMPUTED
