"""Which bar of one series is which bar of the other.

Bars within the day are matched by their open time, daily and weekly ones by
their session. Both become positions: whole numbers in which one bar after the
other is `step` apart, whatever the calendar does between them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data.columns import BarColumns
from market_data.sessions import SessionTable, monday
from market_data.timeframes import MINUTE_NS, Timeframe

Int64Array = NDArray[np.int64]
FloatArray = NDArray[np.float64]

# Zones of the world are half hours apart (but for a few quarters).
ZONE_STEP_NS = 30 * MINUTE_NS
# Room for a lookup by position; a sparser series is searched instead.
_MOST_CELLS = 40_000_000


@dataclass(frozen=True, slots=True)
class SourceSeries:
    """Bars of one source.

    Attributes
    ----------
    name : str
        As a person named it: ``AAPL@yahoo``, or a file.
    columns : BarColumns
        Oldest first.
    tick : float
        Smallest step of a price as the source writes it, 0 when not known.
    """

    name: str
    columns: BarColumns
    tick: float = 0.0


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the bars of two series lie on one axis.

    Attributes
    ----------
    a, b : int64 arrays, shape (n_bars of each,)
        Positions, increasing.
    step : int
        Distance of neighbouring bars.
    unit_ns : int
        Nanoseconds of a position; 0 when positions count sessions or weeks.
    rest_ns : int
        How much later than positions tell the second one labels its bars, less
        than half of a unit: a second, where bars are minutes.
    """

    a: Int64Array
    b: Int64Array
    step: int
    unit_ns: int
    rest_ns: int = 0


@dataclass(frozen=True, slots=True)
class Matched:
    """Rows of both series that are the same bar, and rows without a partner.

    Attributes
    ----------
    i_a, i_b : int64 arrays, shape (n_matched,)
        Rows of the one and the other, in order of time.
    only_a, only_b : int64 arrays
        Rows that only one of them has.
    """

    i_a: Int64Array
    i_b: Int64Array
    only_a: Int64Array
    only_b: Int64Array


def grid_of(frame: Timeframe, table: SessionTable, a: BarColumns, b: BarColumns) -> Grid:
    """Return positions of both series' bars.

    Raises
    ------
    DataError
        If a series has no bars.
    """
    if a.n_bars == 0 or b.n_bars == 0:
        raise DataError("both series need bars to be compared")
    if frame.name == "1w":
        return Grid(monday(a.session) // 7, monday(b.session) // 7, 1, 0)
    if not frame.intraday:
        return Grid(
            np.searchsorted(table.date, a.session), np.searchsorted(table.date, b.session), 1, 0
        )
    unit_ns = gcd(frame.length_ns, ZONE_STEP_NS)
    off_a, off_b = usual_rest(a.ts, unit_ns), usual_rest(b.ts, unit_ns)
    # Stamps off the grid, as some sources' first bar of a session has, are
    # those of the cell that they lie in.
    return Grid(
        (a.ts - off_a) // unit_ns,
        (b.ts - off_b) // unit_ns,
        frame.length_ns // unit_ns,
        unit_ns,
        off_b - off_a,
    )


def usual_rest(ts: Int64Array, unit_ns: int) -> int:
    """Return by how much most stamps miss the nearest whole unit; 0 when they agree on nothing."""
    rests, counts = np.unique(ts % unit_ns, return_counts=True)
    most = int(np.argmax(counts))
    if 2 * int(counts[most]) <= ts.shape[0]:
        return 0
    rest = int(rests[most])
    return rest if rest <= unit_ns // 2 else rest - unit_ns


class Lookup:
    """Finds rows by position.

    Parameters
    ----------
    positions : int64 array, shape (n_bars,)
        Increasing.
    """

    def __init__(self, positions: Int64Array) -> None:
        self._positions = positions
        self._first = int(positions[0])
        cells = int(positions[-1]) - self._first + 1
        self._rows: NDArray[np.int32] | None = None
        if cells <= _MOST_CELLS:
            # One cell more stands for every position outside.
            self._rows = np.full(cells + 1, -1, np.int32)
            self._rows[positions - self._first] = np.arange(positions.shape[0], dtype=np.int32)

    def rows(self, wanted: Int64Array) -> NDArray[np.integer]:
        """Return the row at each position, -1 where there is none."""
        if self._rows is not None:
            cell = wanted - self._first
            outside = (cell < 0) | (cell >= self._rows.shape[0] - 1)
            return self._rows[np.where(outside, self._rows.shape[0] - 1, cell)]
        row = np.minimum(np.searchsorted(self._positions, wanted), self._positions.shape[0] - 1)
        return np.where(self._positions[row] == wanted, row, -1)


def match(grid: Grid) -> Matched:
    """Match bars of equal position.

    Of several bars of one series with one position, which only a wrong shift
    or an odd stamp makes, the first is matched. Where both series' bars begin
    at the same minutes of the hour, two that are left over and begin within
    one bar are the same: one source stamps the first bar of a session by its
    hour, the other by the open.
    """
    first_a = np.append(True, grid.a[1:] != grid.a[:-1])
    rows_a = np.flatnonzero(first_a)
    order_b = np.argsort(grid.b, kind="stable")
    sorted_b = grid.b[order_b]
    first_b = np.append(True, sorted_b[1:] != sorted_b[:-1])
    rows_b, found_at = order_b[first_b], sorted_b[first_b]
    at = np.minimum(np.searchsorted(found_at, grid.a[rows_a]), found_at.shape[0] - 1)
    both = found_at[at] == grid.a[rows_a]
    i_a, i_b = rows_a[both], rows_b[at[both]]
    phase = usual_phase(grid.a, grid.step)
    if grid.step > 1 and phase == usual_phase(grid.b, grid.step):
        left_a, left_b = rows_a[~both], np.setdiff1d(rows_b, i_b)
        cells_a, first_left_a = np.unique((grid.a[left_a] - phase) // grid.step, return_index=True)
        cells_b, first_left_b = np.unique((grid.b[left_b] - phase) // grid.step, return_index=True)
        taken = (grid.a[i_a] - phase) // grid.step
        cells, in_a, in_b = np.intersect1d(cells_a, cells_b, return_indices=True)
        free = ~np.isin(cells, taken)
        i_a = np.append(i_a, left_a[first_left_a[in_a[free]]])
        i_b = np.append(i_b, left_b[first_left_b[in_b[free]]])
        order = np.argsort(i_a, kind="stable")
        i_a, i_b = i_a[order], i_b[order]
    return Matched(
        i_a,
        i_b,
        np.setdiff1d(np.arange(grid.a.shape[0]), i_a),
        np.setdiff1d(np.arange(grid.b.shape[0]), i_b),
    )


def usual_phase(positions: Int64Array, step: int) -> int:
    """Return where in a step most positions lie."""
    values, counts = np.unique(positions % step, return_counts=True)
    return int(values[np.argmax(counts)])


def close_returns(columns: BarColumns, positions: Int64Array, step: int) -> FloatArray:
    """Return log returns of closes from bar to bar, NaN where the one before is missing."""
    returns = np.full(columns.n_bars, np.nan)
    log_close = np.log(columns.prices[3])
    adjacent = np.diff(positions) == step
    returns[1:] = np.where(adjacent, np.diff(log_close), np.nan)
    return returns


def shifted(grid: Grid, b: Int64Array) -> Grid:
    """Return the grid with other positions of the second series."""
    return replace(grid, b=b)
