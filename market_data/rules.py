"""What a bar must be, whoever asks: the import that refuses, and the check that reports."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Flags = NDArray[np.bool_]


def not_positive(prices: FloatArray) -> Flags:
    """Return which prices are zero, below or infinite; a missing one is none of these."""
    with np.errstate(invalid="ignore"):
        wrong: Flags = (prices <= 0) | np.isinf(prices)
    return wrong


def not_held(prices: FloatArray) -> Flags:
    """Return which bars' high and low do not hold their open and close.

    Parameters
    ----------
    prices : float64 array, shape (4 or more, n_bars)
        Open, high, low, close; a missing one holds everything.
    """
    open_, high, low, close = prices[:4]
    with np.errstate(invalid="ignore"):
        top, bottom = np.maximum(open_, close), np.minimum(open_, close)
        wrong: Flags = (high < top) | (low > bottom) | (high < low)
    return wrong


def crossed(bid: FloatArray, ask: FloatArray) -> Flags:
    """Return which bars open or close with the bid above an ask that is there.

    High and low of a side are of different moments and may cross.

    Parameters
    ----------
    bid, ask : float64 arrays, shape (4, n_bars)
    """
    with np.errstate(invalid="ignore"):
        wrong: Flags = ((bid[0] > ask[0]) & (ask[0] > 0)) | ((bid[3] > ask[3]) & (ask[3] > 0))
    return wrong
