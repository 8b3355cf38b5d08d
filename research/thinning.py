"""Thins long series to what a picture can show, without losing an extreme.

Rows are cut into buckets of equal size and of each bucket the rows that hold
the first, the lowest, the highest and the last value are kept, so the drawn
line covers what the whole series covers and every drawn point is a real row.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

N_POINTS = 4_000
_KEPT_OF_BUCKET = 4


def kept_rows(values: NDArray[np.float64], n_points: int = N_POINTS) -> NDArray[np.int64]:
    """Return the indexes of the rows to draw, ascending, at most about `n_points`.

    Parameters
    ----------
    values : float64 array, shape (n_rows,)
        The series whose extremes must stay; NaN is never an extreme.
    n_points : int
        Points that the picture can show, >= 8.
    """
    n_rows = values.shape[0]
    if n_rows <= n_points:
        return np.arange(n_rows)
    size = -(-n_rows * _KEPT_OF_BUCKET // n_points)
    n_whole = n_rows // size
    body = values[: n_whole * size].reshape(n_whole, size)
    starts = np.arange(n_whole) * size
    lowest = starts + np.where(np.isnan(body), np.inf, body).argmin(axis=1)
    highest = starts + np.where(np.isnan(body), -np.inf, body).argmax(axis=1)
    rest = values[n_whole * size :]
    kept = [starts, lowest, highest, starts + size - 1, np.array([n_rows - 1])]
    if rest.shape[0] and not np.isnan(rest).all():
        start = n_whole * size
        kept.append(np.array([start, start + np.nanargmin(rest), start + np.nanargmax(rest)]))
    return np.unique(np.concatenate(kept))


def thin(frame: pl.DataFrame, column: str, n_points: int = N_POINTS) -> pl.DataFrame:
    """Keep the rows of a frame that show the extremes of one column."""
    if frame.height <= n_points:
        return frame
    values = frame[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return frame[kept_rows(values, n_points)]


def thin_candles(frame: pl.DataFrame, n_candles: int = N_POINTS) -> tuple[pl.DataFrame, int]:
    """Join neighbouring bars into larger ones until few enough are left.

    Returns
    -------
    frame : DataFrame
        The first of every other column (so the time is the open's), with
        open, high, low, close and volume joined.
    n_joined : int
        Bars in one candle; 1 when nothing was joined.
    """
    n_joined = max(1, -(-frame.height // n_candles))
    if n_joined == 1:
        return frame, 1
    rules = {"high": pl.max, "low": pl.min, "close": pl.last, "volume": pl.sum}
    joined = (
        frame.with_row_index("__row")
        .group_by(pl.col("__row") // n_joined, maintain_order=True)
        .agg([rules.get(name, pl.first)(name) for name in frame.columns])
        .drop("__row")
    )
    return joined, n_joined
