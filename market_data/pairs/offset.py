"""By how much time one series' labels are off the other's, and since when.

Returns from bar to bar are compared at every likely shift, stretch by stretch,
so that neither a scale nor a level plays a part. A stretch votes for the shift
at which the returns are nearest, if the next best is clearly worse; votes that
agree make a segment, and where two segments meet is found to the bar.

The loss of a bar at a shift is the difference of the two returns in units of
the stretch's median absolute return, cut off at two units and scaled to 0 … 1.
The confidence is Hoeffding's bound (1963, Probability inequalities for sums of
bounded random variables, theorem 2) on the mean difference of two shifts'
losses, times the number of shifts tried. It takes bars as independent.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market_data.columns import BarColumns
from market_data.pairs.matching import (
    ZONE_STEP_NS,
    FloatArray,
    Grid,
    Int64Array,
    Lookup,
    close_returns,
    usual_phase,
)
from market_data.timeframes import DAY_NS

# What a segment must reach to be claimed, and a single stretch to vote.
LEAST_CONFIDENCE = 0.99
_LEAST_VOTE = 0.9
_CUT_OFF = 2.0
_STRETCH = 160
_SHORTEST_STRETCH = 80
_WIDEST_ZONE_NS = 14 * 60 * 60 * 1_000_000_000
_NEAR_STEPS = 5
# So many comparisons of a bar at a shift take about half a second.
_MOST_COMPARISONS = 20_000_000


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time with one shift.

    Attributes
    ----------
    first, stop : int
        Rows of the first series, `stop` excluded.
    shift : int
        The second series' label less the first's, in positions of the grid.
    confidence : float
        That no other of the shifts tried is the better one.
    n_bars : int
        Bars on which it rests.
    loss, next_loss : float
        Mean loss at this shift, and at the best of the others.
    """

    first: int
    stop: int
    shift: int
    confidence: float
    n_bars: int
    loss: float
    next_loss: float


@dataclass(frozen=True, slots=True)
class Offset:
    """What the data tells of the shift between two series.

    Attributes
    ----------
    segments : tuple of Segment
        In order of time, without gap; one of shift 0 and no confidence when
        the data can't tell.
    claimed : bool
        Whether the data can tell.
    shifts : int64 array, shape (n_shifts,)
        All that were tried.
    losses : float64 array, shape (n_shifts,)
        Mean loss over all bars compared, NaN where no bars met.
    """

    segments: tuple[Segment, ...]
    claimed: bool
    shifts: Int64Array
    losses: FloatArray

    @property
    def distinct(self) -> tuple[int, ...]:
        """All shifts found, ascending."""
        return tuple(sorted({segment.shift for segment in self.segments}))


@dataclass(frozen=True, slots=True)
class _Stretches:
    """Sums of losses and numbers of bars by stretch and shift."""

    first: Int64Array
    sums: FloatArray
    counts: FloatArray


def detect_offset(grid: Grid, a: BarColumns, b: BarColumns) -> Offset:
    """Find the shift or shifts between two series.

    Parameters
    ----------
    grid : Grid
        Of the bars as they are labelled.
    a, b : BarColumns

    Returns
    -------
    Offset
        Several segments when the shift changes, as it does when one source
        follows a clock that is put forward in summer.
    """
    shifts = candidate_shifts(grid)
    returns_a = close_returns(a, grid.a, grid.step)
    returns_b = np.append(close_returns(b, grid.b, grid.step), np.nan)
    rows = np.flatnonzero(np.isfinite(returns_a))
    if rows.shape[0] == 0:
        return _offset_of_sparse(grid, a, b, shifts)
    compare = _Comparer(grid, returns_a, returns_b, rows)
    stretches = compare.stretches(shifts)
    with np.errstate(invalid="ignore", divide="ignore"):
        losses = stretches.sums.sum(axis=0) / stretches.counts.sum(axis=0)
    runs = _runs_of_votes(stretches, shifts)
    if not runs:
        found = _segment(stretches, shifts, 0, stretches.first.shape[0], None)
        if found is None or found.confidence < LEAST_CONFIDENCE:
            return _offset_of_sparse(grid, a, b, shifts)
        runs = [(0, stretches.first.shape[0], found.shift)]
    segments = _joined_segments(runs, stretches, shifts, compare, a.n_bars)
    return Offset(tuple(segments), bool(segments[0].confidence > 0.0), shifts, losses)


def _offset_of_sparse(grid: Grid, a: BarColumns, b: BarColumns, shifts: Int64Array) -> Offset:
    """Find one shift where bars in a row are too few: from one common bar to the next.

    At the right shift the two closes change alike however far apart common
    bars are; at another, they differ by the moves of as many bars as it is
    off. The unit is the usual move of one bar.
    """
    log_a, log_b = np.log(a.prices[3]), np.log(b.prices[3])
    order = np.argsort(grid.b, kind="stable")
    positions_b, first = np.unique(grid.b[order], return_index=True)
    rows_b = order[first]
    lookup = Lookup(positions_b)
    # Of long series a part from the middle: each bar is asked for at each shift.
    n_rows = min(a.n_bars, _MOST_COMPARISONS // shifts.shape[0])
    begin = (a.n_bars - n_rows) // 2
    positions_a, level_a = grid.a[begin : begin + n_rows], log_a[begin : begin + n_rows]
    apart = np.diff(positions_a) / grid.step
    moves = np.abs(np.diff(level_a)) / np.sqrt(np.maximum(apart, 1.0))
    moved = moves[moves > 0]
    unit = float(np.median(moved)) if moved.shape[0] else 1.0
    losses = np.full(shifts.shape[0], np.nan)
    counts = np.zeros(shifts.shape[0])
    for column, shift in enumerate(shifts.tolist()):
        found = lookup.rows(positions_a + shift)
        there = found >= 0
        difference = level_a[there] - log_b[rows_b[found[there]]]
        if difference.shape[0] < 2:
            continue
        distance = np.abs(np.diff(difference)) / unit
        losses[column] = float(np.mean(np.minimum(distance, _CUT_OFF))) / _CUT_OFF
        counts[column] = difference.shape[0] - 1
    nothing = Segment(0, a.n_bars, 0, 0.0, 0, np.nan, np.nan)
    known = counts >= max(_NEAR_STEPS, 0.2 * counts.max())
    if int(known.sum()) < 2:
        return Offset((nothing,), False, shifts, losses)
    means = np.where(known, losses, np.inf)
    best = int(np.argmin(means))
    next_loss = float(np.delete(means, best).min())
    gain = np.array(next_loss - means[best])
    confidence = float(_bound(gain, counts[best : best + 1], shifts.shape[0])[0])
    if confidence < LEAST_CONFIDENCE:
        return Offset((nothing,), False, shifts, losses)
    segment = Segment(
        0, a.n_bars, int(shifts[best]), confidence, int(counts[best]), float(means[best]), next_loss
    )
    return Offset((segment,), True, shifts, losses)


def candidate_shifts(grid: Grid) -> Int64Array:
    """Return the shifts to try: a few bars, and the differences of time zones.

    Half-hour zones of half-hourly and shorter bars, each also with labels at
    the bar's end; shifts at which no bars could meet are left out.
    """
    near = np.arange(-_NEAR_STEPS, _NEAR_STEPS + 1) * grid.step
    if grid.unit_ns == 0:
        return near.astype(np.int64)
    zone = ZONE_STEP_NS // grid.unit_ns
    widest = _WIDEST_ZONE_NS // grid.unit_ns
    zones = np.arange(-widest, widest + 1, zone)
    day = DAY_NS // grid.unit_ns
    every = np.concatenate([near, zones - grid.step, zones, zones + grid.step, [-day, day]])
    phase = usual_phase(grid.b, grid.step) - usual_phase(grid.a, grid.step)
    fitting = every[(every - phase) % grid.step == 0]
    return np.unique(np.append(fitting, 0)).astype(np.int64)


class _Comparer:
    """Losses of the first series' bars at shifts of the second."""

    def __init__(
        self, grid: Grid, returns_a: FloatArray, returns_b: FloatArray, rows: Int64Array
    ) -> None:
        self.rows = rows
        self._positions = grid.a[rows]
        self._lookup = Lookup(grid.b) if _increasing(grid.b) else Lookup(np.unique(grid.b))
        self._returns_a = returns_a[rows]
        self._returns_b = returns_b
        size = int(np.clip(rows.shape[0] // 8, _SHORTEST_STRETCH, _STRETCH))
        self._first = np.arange(0, rows.shape[0], size)
        size_of = np.diff(np.append(self._first, rows.shape[0]))
        self._unit = np.repeat(self._units(), size_of)

    def _units(self) -> FloatArray:
        """Return each stretch's median absolute return, that of all where it is 0."""
        bounds = np.append(self._first, self.rows.shape[0])
        absolute = np.abs(self._returns_a)
        units = np.array([np.median(absolute[i:j]) for i, j in itertools.pairwise(bounds)])
        moved = absolute[absolute > 0]
        usual = float(np.median(moved)) if moved.shape[0] else 1.0
        return np.where(units > 0, units, usual)

    def losses(self, shift: int, chosen: slice | Int64Array = slice(None)) -> FloatArray:
        """Return each compared bar's loss at a shift, NaN without a partner."""
        other = self._returns_b[self._lookup.rows(self._positions[chosen] + shift)]
        distance = np.abs(self._returns_a[chosen] - other) / self._unit[chosen]
        return np.minimum(distance, _CUT_OFF) / _CUT_OFF

    def stretches(self, shifts: Int64Array) -> _Stretches:
        """Return sums by stretch; of very long series only of every n-th stretch."""
        n_rows = self.rows.shape[0]
        every = -(-n_rows * shifts.shape[0] // _MOST_COMPARISONS)
        picked = np.arange(0, self._first.shape[0], every)
        bounds = np.append(self._first, n_rows)
        chosen: slice | Int64Array = slice(None)
        starts: Int64Array = self._first
        if every > 1:
            chosen = np.concatenate([np.arange(bounds[i], bounds[i + 1]) for i in picked])
            lengths = bounds[picked + 1] - bounds[picked]
            starts = np.cumsum(lengths) - lengths
        sums = np.empty((picked.shape[0], shifts.shape[0]))
        counts = np.empty_like(sums)
        for column, shift in enumerate(shifts.tolist()):
            loss = self.losses(shift, chosen)
            known = np.isfinite(loss)
            counts[:, column] = np.add.reduceat(known.astype(np.float64), starts)
            sums[:, column] = np.add.reduceat(np.where(known, loss, 0.0), starts)
        return _Stretches(self._first[picked], sums, counts)


def _increasing(positions: Int64Array) -> bool:
    return bool(np.all(np.diff(positions) > 0))


def _bound(gain: FloatArray, n_bars: FloatArray, n_shifts: int) -> FloatArray:
    """Return the confidence that a mean gain of losses is no chance."""
    return np.maximum(1.0 - n_shifts * np.exp(-n_bars * np.maximum(gain, 0.0) ** 2 / 2.0), 0.0)


def _runs_of_votes(stretches: _Stretches, shifts: Int64Array) -> list[tuple[int, int, int]]:
    """Return runs of stretches that vote alike: first, stop and shift."""
    with np.errstate(invalid="ignore", divide="ignore"):
        means = stretches.sums / stretches.counts
    means = np.where(stretches.counts >= _SHORTEST_STRETCH / 2, means, np.inf)
    best = np.argmin(means, axis=1)
    rows = np.arange(means.shape[0])
    others = means.copy()
    others[rows, best] = np.inf
    next_best = np.min(others, axis=1)
    usable = np.isfinite(next_best)
    gain = np.where(usable, next_best - np.where(usable, means[rows, best], 0.0), 0.0)
    votes = _bound(gain, stretches.counts[rows, best], shifts.shape[0]) >= _LEAST_VOTE
    voters = rows[votes & usable]
    runs: list[tuple[int, int, int]] = []
    for row in voters.tolist():
        shift = int(shifts[best[row]])
        if runs and runs[-1][2] == shift:
            runs[-1] = (runs[-1][0], row + 1, shift)
        else:
            runs.append((row, row + 1, shift))
    return _without_lone_votes(runs)


def _without_lone_votes(runs: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Drop runs of one stretch among longer ones, and join what they parted."""
    if max((stop - first for first, stop, _ in runs), default=0) < 2:
        return runs if len({shift for _, _, shift in runs}) == 1 else []
    joined: list[tuple[int, int, int]] = []
    for first, stop, shift in runs:
        if stop - first < 2:
            continue
        if joined and joined[-1][2] == shift:
            joined[-1] = (joined[-1][0], stop, shift)
        else:
            joined.append((first, stop, shift))
    return joined


def _segment(
    stretches: _Stretches, shifts: Int64Array, first: int, stop: int, shift: int | None
) -> Segment | None:
    """Weigh a shift, or the best one, over some stretches; rows are still those of stretches."""
    counts = stretches.counts[first:stop].sum(axis=0)
    sums = stretches.sums[first:stop].sum(axis=0)
    known = counts >= max(_NEAR_STEPS, 0.2 * counts.max())
    if counts.max() == 0 or int(known.sum()) < 2:
        return None
    means = np.where(known, sums / np.maximum(counts, 1.0), np.inf)
    column = int(np.argmin(means)) if shift is None else int(np.searchsorted(shifts, shift))
    others = np.delete(means, column)
    gain = float(others.min() - means[column])
    confidence = float(_bound(np.array(gain), np.array(counts[column]), shifts.shape[0]))
    return Segment(
        first,
        stop,
        int(shifts[column]),
        confidence,
        int(counts[column]),
        float(means[column]),
        float(others.min()),
    )


def _joined_segments(
    runs: list[tuple[int, int, int]],
    stretches: _Stretches,
    shifts: Int64Array,
    compare: _Comparer,
    n_bars: int,
) -> list[Segment]:
    """Return claimed segments over all rows of the first series."""
    weighed = [
        found
        for first, stop, shift in runs
        if (found := _segment(stretches, shifts, first, stop, shift)) is not None
        and found.confidence >= LEAST_CONFIDENCE
    ]
    if not weighed:
        return [Segment(0, n_bars, 0, 0.0, 0, np.nan, np.nan)]
    bounds = np.append(stretches.first, compare.rows.shape[0])
    starts = [0]
    for before, after in itertools.pairwise(weighed):
        # The change lies after the last clear stretch before and before the
        # first clear one after; where to cut is where the sum of losses is least.
        low, high = int(bounds[max(before.stop - 1, 0)]), int(bounds[after.first + 1])
        part = np.arange(low, high)
        # A bar without a partner at a shift speaks against it.
        gain = np.nan_to_num(compare.losses(before.shift, part), nan=1.0)
        gain -= np.nan_to_num(compare.losses(after.shift, part), nan=1.0)
        cut = low + int(np.argmin(np.append(0.0, np.cumsum(gain))))
        # Bars after a pause have no return; they belong to what comes after.
        starts.append(int(compare.rows[cut - 1]) + 1 if cut else 0)
    stops = [*starts[1:], n_bars]
    return [
        Segment(start, stop, s.shift, s.confidence, s.n_bars, s.loss, s.next_loss)
        for start, stop, s in zip(starts, stops, weighed, strict=True)
    ]


def apply_offset(grid: Grid, offset: Offset) -> Int64Array:
    """Return the second series' positions as the first one would label them."""
    if len(offset.segments) == 1:
        return grid.b - offset.segments[0].shift
    moved = grid.b.copy()
    placed = np.zeros(grid.b.shape[0], np.bool_)
    lookup = Lookup(grid.a if _increasing(grid.a) else np.unique(grid.a))
    last = len(offset.segments) - 1
    # Over the pause between two segments a label may lie in both: the one in
    # which the first series has the bar is meant.
    for must_meet in (True, False):
        for number, segment in enumerate(offset.segments):
            target = grid.b - segment.shift
            inside = ~placed
            if number > 0:
                inside &= target >= grid.a[segment.first]
            if number < last:
                inside &= target < grid.a[segment.stop]
            if must_meet:
                inside &= lookup.rows(target) >= 0
            moved[inside] = target[inside]
            placed |= inside
    # An hour that a clock repeats or leaves out belongs to no segment.
    for i_row in np.flatnonzero(~placed):
        near = min(offset.segments, key=lambda s: abs(int(grid.a[s.first]) - int(grid.b[i_row])))
        moved[i_row] = grid.b[i_row] - near.shift
    return moved


def offset_by_row(offset: Offset, n_bars: int) -> NDArray[np.int64]:
    """Return the shift that holds at each bar of the first series."""
    shifts = np.zeros(n_bars, np.int64)
    for segment in offset.segments:
        shifts[segment.first : segment.stop] = segment.shift
    return shifts
