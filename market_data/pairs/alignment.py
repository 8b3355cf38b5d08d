"""Two series brought onto one axis of time and into one money."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market_data.building import place_bars
from market_data.columns import BarColumns
from market_data.pairs.matching import (
    FloatArray,
    Grid,
    Int64Array,
    Matched,
    SourceSeries,
    grid_of,
    match,
    shifted,
)
from market_data.pairs.offset import Offset, apply_offset, detect_offset
from market_data.pairs.scale import Scale, detect_scale, factor_at
from market_data.sessions import SessionTable, local_dates
from market_data.timeframes import Timeframe

# Of bars that only a wrong clock puts outside the calendar's hours there are
# many in one source and next to none in the other.
_FEWEST_OUTSIDE = 10
_CONTRAST = 5


@dataclass(frozen=True, slots=True)
class Alignment:
    """How the second series comes to lie on the first one.

    Attributes
    ----------
    grid : Grid
        Positions, the second series' as the first one would label them.
    offset : Offset
    scale : Scale
    matched : Matched
    ts_b : int64 array, shape (n_bars of the second,)
        Its times as the first one would label them.
    factor_b : float64 array, shape (n_bars of the second,)
        Brings its prices into the first one's money.
    wrong_clock : str
        ``a`` or ``b``, the series whose labels the calendar contradicts where
        the two are shifted; empty when it can't tell.
    """

    grid: Grid
    offset: Offset
    scale: Scale
    matched: Matched
    ts_b: Int64Array
    factor_b: FloatArray
    wrong_clock: str


def align(a: SourceSeries, b: SourceSeries, frame: Timeframe, table: SessionTable) -> Alignment:
    """Find shift and scale of two series and match their bars.

    Raises
    ------
    DataError
        If a series has no bars.
    """
    grid = grid_of(frame, table, a.columns, b.columns)
    offset = detect_offset(grid, a.columns, b.columns)
    moved = shifted(grid, apply_offset(grid, offset))
    matched = match(moved)
    # What is one bar lies in one place, also where the stamps differ.
    placed = moved.b.copy()
    placed[matched.i_b] = moved.a[matched.i_a]
    moved = shifted(grid, placed)
    scale = detect_scale(
        a.columns.prices[3, matched.i_a],
        b.columns.prices[3, matched.i_b],
        session=a.columns.session[matched.i_a],
        intraday=frame.intraday,
    )
    ts_b = b.columns.ts - (grid.b - moved.b) * grid.unit_ns - grid.rest_ns
    return Alignment(
        moved,
        offset,
        scale,
        matched,
        ts_b,
        factor_at(scale, moved.a[matched.i_a], moved.b),
        _wrong_clock(offset, a.columns, b.columns, grid, moved, frame, table),
    )


def _wrong_clock(
    offset: Offset,
    a: BarColumns,
    b: BarColumns,
    grid: Grid,
    moved: Grid,
    frame: Timeframe,
    table: SessionTable,
) -> str:
    """Ask the calendar whose labels are wrong where two series are shifted."""
    if not frame.intraday or offset.distinct == (0,) or not offset.claimed:
        return ""
    shifted_a = np.zeros(a.n_bars, np.bool_)
    for segment in offset.segments:
        shifted_a[segment.first : segment.stop] = segment.shift != 0
    counts = []
    for columns, chosen in ((a, shifted_a), (b, grid.b != moved.b)):
        outside = place_bars(table, frame, columns.ts).outside
        counts.append(int((outside & chosen).sum()))
    for side, own, other in (("a", counts[0], counts[1]), ("b", counts[1], counts[0])):
        if own >= _FEWEST_OUTSIDE and own >= _CONTRAST * other:
            return side
    return ""


def sessions_of(
    frame: Timeframe, table: SessionTable, ts: Int64Array, stated: Int64Array
) -> tuple[Int64Array, NDArray[np.bool_]]:
    """Return the session of each bar by its time, and whether the calendar has it.

    Parameters
    ----------
    ts : int64 array, shape (n_bars,)
        Increasing.
    stated : int64 array, shape (n_bars,)
        Sessions as they are stored, which those of daily bars are.
    """
    if not frame.intraday:
        row = np.minimum(np.searchsorted(table.date, stated), table.date.shape[0] - 1)
        return stated, table.date[row] == stated
    placement = place_bars(table, frame, ts)
    known = placement.i_session >= 0
    dates = np.where(known, table.date[np.maximum(placement.i_session, 0)], local_dates(table, ts))
    return dates, known
