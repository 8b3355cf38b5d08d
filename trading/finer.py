"""Finer bars: those within a bar, which decide the order of events in it (rule 6).

Owns what finer bars must be like, in the run over stored bars and in a step
alike. Which finer bars lie in which bar is settled where bars are built.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from trading.arrays import Feed
from trading.bars import Bars
from trading.compiling import kernel

# First rows of open, high, low and close of trades, of bid and of ask.
BLOCKS = (0, 5, 9)
VOLUME_ROW = 4
# What may be wrong with a finer bar; WRONG_PRICES is followed by the block's first row.
FINE, NOT_AFTER, OUTSIDE, WRONG_PRICES = range(4)


@dataclass(frozen=True, slots=True)
class FinerBars:
    """The finer bars of one bar, oldest first.

    Attributes
    ----------
    ts : int64 array, shape (n_finer,)
        Open times, UTC nanoseconds.
    prices : float64 array, shape (5, n_finer)
        Rows open, high, low, close (quote currency), volume (0 when unknown).
    bid, ask : float64 arrays, shape (4, n_finer), or None
        Open, high, low, close; needed where the bars carry them.
    """

    ts: NDArray[np.int64]
    prices: NDArray[np.float64]
    bid: NDArray[np.float64] | None = None
    ask: NDArray[np.float64] | None = None


def finer_bars(bars: Bars, i: int) -> FinerBars | None:
    """Return the finer bars of stored bar i; None where none are attached."""
    if bars.finer is None or bars.finer_start is None:
        return None
    part = slice(int(bars.finer_start[i]), int(bars.finer_start[i + 1]))
    finer = bars.finer
    return FinerBars(
        finer.ts[part],
        finer.prices[:, part],
        None if finer.bid is None else finer.bid[:, part],
        None if finer.ask is None else finer.ask[:, part],
    )


@kernel
def find_wrong_nb(ts, rows, opens, closes, start):
    """Find the first finer bar that no path can be told from.

    Parameters
    ----------
    As for `check_finer`.

    Returns
    -------
    (int, int, int)
        What is wrong, FINE if nothing; the finer bar, and the bar it lies in.
    """
    for k in range(opens.shape[0]):
        for i in range(start[k], start[k + 1]):
            if i > 0 and ts[i] <= ts[i - 1]:
                return NOT_AFTER, i, k
            if ts[i] < opens[k] or ts[i] >= closes[k]:
                return OUTSIDE, i, k
            for first in BLOCKS:
                if first >= rows.shape[0]:
                    break
                o = rows[first, i]
                high = rows[first + 1, i]
                low = rows[first + 2, i]
                close = rows[first + 3, i]
                # Written so that a NaN makes it false.
                good = low > 0.0 and low <= o and low <= close
                good = good and high >= o and high >= close and high < np.inf
                if first == 0:
                    good = good and 0.0 <= rows[VOLUME_ROW, i] < np.inf
                if not good:
                    return WRONG_PRICES + first, i, k
    return FINE, 0, 0


def check_finer(
    ts: NDArray[np.int64],
    rows: NDArray[np.float64],
    opens: NDArray[np.int64],
    closes: NDArray[np.int64],
    start: NDArray[np.int64],
) -> None:
    """Refuse finer bars that no bar's path can be told from.

    Parameters
    ----------
    ts : int64 array, shape (n_finer,)
        Open times, UTC nanoseconds.
    rows : float64 array, shape (5 or 13, n_finer)
        Open, high, low, close, volume, then those of bid and ask where known.
    opens, closes : int64 arrays, shape (n_bars,)
        Open and scheduled close times of the bars they lie in.
    start : int64 array, shape (n_bars + 1,)
        Bar k holds finer bars start[k] to start[k + 1].

    All arrays are contiguous and can be written to: kernels are compiled for
    those alone.

    Raises
    ------
    DataError
        Naming the first one that is out of order, outside its bar, or has
        prices that are not finite, positive and within low and high.
    """
    wrong, i, k = find_wrong_nb(ts, rows, opens, closes, start)
    if wrong == FINE:
        return
    if wrong == NOT_AFTER:
        raise DataError(
            f"finer bars must be in time order without duplicates, but finer bar {i} "
            f"({_utc(ts[i])}) is not after the one before"
        )
    if wrong == OUTSIDE:
        raise DataError(
            f"finer bars must open within their bar, from {_utc(opens[k])} to before "
            f"{_utc(closes[k])}, but finer bar {i} opens at {_utc(ts[i])}"
        )
    first = wrong - WRONG_PRICES
    o, high, low, close = rows[first : first + 4, i]
    volume = f", volume {rows[VOLUME_ROW, i]:g}" if first == 0 else ""
    raise DataError(
        f"finer bar {i} ({_utc(ts[i])}) must have positive prices with "
        f"low <= open, close <= high, but has open {o:g}, high {high:g}, low {low:g}, "
        f"close {close:g}{volume}"
    )


def _utc(ts: np.int64) -> str:
    return str(np.datetime64(int(ts), "ns").astype("datetime64[s]")) + "Z"


def finer_differ(plan: NDArray[np.void], feed: Feed) -> bool:
    """Tell whether the finer bars of any bar reach less or more than the bar itself.

    Minutes may be missing from the store, or be counted by other rules than the
    day. The range of an open trade is noted from finer bars where a bar is
    processed, but from the bar where it is passed over.
    """
    start = feed.finer_start
    has = np.flatnonzero(np.diff(start) > 0)
    if not len(has):
        return False
    policy = plan["policy"][0]
    for row in {int(policy["buy_row"]), int(policy["sell_row"])}:
        high = np.maximum.reduceat(feed.finer[row + 1], start[has])
        low = np.minimum.reduceat(feed.finer[row + 2], start[has])
        if np.any(high != feed.matrix[row + 1, has]) or np.any(low != feed.matrix[row + 2, has]):
            return True
    return False
