"""One series made of several sources of an instrument, with where each price came from.

The first source gives the times, the money and the count of volume; the others
are brought to it. A price that only one source has is taken; of prices that
agree within tolerance the first source's is taken; where they do not agree, the
rules below decide. What no rule can decide, and matters, goes to quarantine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data.columns import BarColumns
from market_data.pairs.alignment import Alignment, align, sessions_of
from market_data.pairs.disagreement import (
    Class,
    classify_prices,
    detect_volume_scale,
    scaled_volume,
    usual_moves,
)
from market_data.pairs.matching import FloatArray, Int64Array, SourceSeries
from market_data.pairs.tolerance import estimate_tolerance
from market_data.sessions import SessionTable
from market_data.timeframes import Timeframe, parse_timeframe

HIGH, LOW = 1, 2


class RangeRule(StrEnum):
    """What to take of two highs, or two lows, of which neither is an outlier."""

    PRIORITY = "priority"
    INNER = "inner"  # The lower high and the higher low: a range both have seen.
    OUTER = "outer"  # The higher high and the lower low.


class Rule(IntEnum):
    """By which rule a price was taken."""

    NONE = 0
    ONLY = 1
    AGREE = 2
    MEDIAN = 3
    NOT_OUTLIER = 4
    RANGE = 5
    PRIORITY = 6


RULE_WORDS = {
    Rule.NONE: "none",
    Rule.ONLY: "only source",
    Rule.AGREE: "agree within tolerance",
    Rule.MEDIAN: "median of three",
    Rule.NOT_OUTLIER: "other is an outlier",
    Rule.RANGE: "rule for highs and lows",
    Rule.PRIORITY: "first source",
}


@dataclass(frozen=True, slots=True)
class MergeRules:
    """How to decide where sources do not agree.

    Attributes
    ----------
    highs, lows : RangeRule
        For two sources of which neither is an outlier.
    quarantine_moves : float
        A bar goes to quarantine when a difference that nothing decides is as
        large as so many usual moves of its series from bar to bar, as no
        strategy of such bars could be believed then; 0 keeps every bar.
    """

    highs: RangeRule = RangeRule.PRIORITY
    lows: RangeRule = RangeRule.PRIORITY
    quarantine_moves: float = 1.0


DEFAULT_RULES = MergeRules()


@dataclass(frozen=True, slots=True)
class MergedSeries:
    """Merged bars with the provenance of each.

    Attributes
    ----------
    columns : BarColumns
        In time order.
    sources : tuple of str
        Names, in order of priority.
    source : int8 array, shape (5, n_bars)
        Which source gave each field.
    rule : int8 array, shape (4, n_bars)
        `Rule` of each price.
    n_sources : int64 array, shape (n_bars,)
        How many sources have the bar.
    widened : bool array, shape (n_bars,)
        Bars whose high or low was moved to hold an open or close of another
        source.
    unresolved : float64 array, shape (n_bars,)
        Largest difference that nothing decided, in usual moves; 0 for none.
    dropped : int
        Bars left out because the calendar has no session for them.
    alignments : tuple of Alignment
        Of each source but the first.
    """

    columns: BarColumns
    sources: tuple[str, ...]
    source: NDArray[np.int8]
    rule: NDArray[np.int8]
    n_sources: Int64Array
    widened: NDArray[np.bool_]
    unresolved: FloatArray
    dropped: int
    alignments: tuple[Alignment, ...]

    def quarantined(self, rules: MergeRules) -> NDArray[np.bool_]:
        """Return the bars that nobody should trade on."""
        if rules.quarantine_moves <= 0:
            return np.zeros(self.columns.n_bars, np.bool_)
        return self.unresolved >= rules.quarantine_moves


@dataclass(frozen=True, slots=True)
class _Stack:
    """All sources on one axis: NaN where a source has no bar."""

    ts: Int64Array
    session: Int64Array
    scheduled: NDArray[np.bool_]
    rows: Int64Array  # (n_sources, n_bars)
    values: FloatArray  # (n_sources, 5, n_bars)
    outlier: NDArray[np.bool_]  # (n_sources, 4, n_bars)
    tolerance: FloatArray  # (n_bars,)
    factors: FloatArray  # (n_sources, n_bars)
    alignments: tuple[Alignment, ...]


def merge_sources(
    sources: Sequence[SourceSeries],
    *,
    timeframe: str,
    sessions: SessionTable,
    rules: MergeRules = DEFAULT_RULES,
) -> MergedSeries:
    """Merge sources of one instrument.

    Parameters
    ----------
    sources : sequence of SourceSeries
        Two or more, in order of priority.

    Raises
    ------
    DataError
        If there are fewer than two, or two of one name.
    """
    names = tuple(source.name for source in sources)
    if len(names) < 2:
        raise DataError(f"merging needs two sources or more, got {len(names)}")
    if len(set(names)) < len(names):
        raise DataError(f"each source can be named once, got {', '.join(names)}")
    frame = parse_timeframe(timeframe)
    stack = _stack(sources, frame, sessions)
    chosen, rule, open_ends = _choose(stack, rules)
    at = np.arange(stack.ts.shape[0])
    prices = np.empty((5, stack.ts.shape[0]))
    source = np.empty((5, stack.ts.shape[0]), np.int8)
    for field in range(4):
        prices[field] = stack.values[chosen[field], field, at]
        source[field] = chosen[field]
    # Volume goes with the close: both are of the same trades.
    prices[4] = stack.values[chosen[3], 4, at]
    source[4] = chosen[3]
    widened = _widen(prices)
    moves = usual_moves(prices[3]) * prices[3]
    keep = stack.scheduled
    columns = BarColumns(
        stack.ts, stack.session, prices, *_quotes(sources, stack, chosen[3])
    ).select(keep)
    return MergedSeries(
        columns,
        names,
        source[:, keep],
        rule[:, keep],
        (stack.rows >= 0).sum(axis=0)[keep],
        widened[keep],
        (open_ends.max(axis=0) / moves)[keep],
        int((~keep).sum()),
        stack.alignments,
    )


def _stack(sources: Sequence[SourceSeries], frame: Timeframe, sessions: SessionTable) -> _Stack:
    """Bring all sources to the first one's times and money."""
    first = sources[0]
    found = [align(first, other, frame, sessions) for other in sources[1:]]
    first_at = align(first, first, frame, sessions).grid.a if not found else found[0].grid.a
    positions = [first_at, *(one.grid.b for one in found)]
    axis = np.unique(np.concatenate(positions))
    shape = (len(sources), axis.shape[0])
    rows = np.full(shape, -1, np.int64)
    for i, own in enumerate(positions):
        # The first of several bars at one position stays.
        rows[i, np.searchsorted(axis, own[::-1])] = np.arange(own.shape[0])[::-1]
    values = np.full((len(sources), 5, axis.shape[0]), np.nan)
    factors = np.ones(shape)
    times = np.zeros(axis.shape[0], np.int64)
    stated = np.zeros(axis.shape[0], np.int64)
    for i in range(len(sources) - 1, -1, -1):
        there = np.flatnonzero(rows[i] >= 0)
        own = rows[i, there]
        values[i][:, there] = sources[i].columns.prices[:, own]
        times[there] = sources[i].columns.ts[own] if i == 0 else found[i - 1].ts_b[own]
        stated[there] = sources[i].columns.session[own]
        if i > 0:
            factors[i, there] = found[i - 1].factor_b[own]
            values[i][:4, there] *= factors[i, there]
    outlier, tolerance = _judge(sources, found, rows, values, factors)
    session, scheduled = sessions_of(frame, sessions, times, stated)
    return _Stack(
        times, session, scheduled, rows, values, outlier, tolerance, factors, tuple(found)
    )


def _judge(
    sources: Sequence[SourceSeries],
    found: Sequence[Alignment],
    rows: Int64Array,
    values: FloatArray,
    factors: FloatArray,
) -> tuple[NDArray[np.bool_], FloatArray]:
    """Return which prices are outliers against any other source, and the tolerance.

    Volumes of the others are counted as the first one counts, in place.
    """
    n_sources, n_bars = rows.shape
    outlier = np.zeros((n_sources, 4, n_bars), np.bool_)
    tolerance = np.full(n_bars, np.nan)
    for i in range(n_sources):
        for j in range(i + 1, n_sources):
            both = np.flatnonzero((rows[i] >= 0) & (rows[j] >= 0))
            if both.shape[0] == 0:
                continue
            one = sources[i].columns.select(rows[i, both])
            other = sources[j].columns.select(rows[j, both])
            ratio = factors[j, both] / factors[i, both]
            allowed = estimate_tolerance(
                one, other, ratio, tick_a=sources[i].tick, tick_b=sources[j].tick
            )
            spread = allowed.spread * factors[i, both]
            classes = classify_prices(
                values[i][:4, both], values[j][:4, both], allowed.rounding, spread
            )
            outlier[i][:, both] |= classes == Class.OUTLIER_A
            outlier[j][:, both] |= classes == Class.OUTLIER_B
            tolerance[both] = np.fmax(tolerance[both], spread)
            if i == 0:
                counted = detect_volume_scale(one.prices[4], other.prices[4], ratio)
                there = rows[j] >= 0
                values[j][4, there] = scaled_volume(values[j][4, there], factors[j, there], counted)
    known = np.isfinite(tolerance)
    usual = float(np.median(tolerance[known])) if known.any() else 0.0
    return outlier, np.where(known, tolerance, usual)


def _choose(
    stack: _Stack, rules: MergeRules
) -> tuple[NDArray[np.int64], NDArray[np.int8], FloatArray]:
    """Return the source and rule of each price, and the differences left undecided."""
    n_bars = stack.values.shape[2]
    present = stack.rows >= 0
    count = present.sum(axis=0)
    first = np.argmax(present, axis=0)
    chosen = np.empty((4, n_bars), np.int64)
    rule = np.empty((4, n_bars), np.int8)
    undecided = np.zeros((4, n_bars))
    at = np.arange(n_bars)
    for field in range(4):
        values = stack.values[:, field]
        distance = np.abs(values - values[first, at])
        agree = np.where(present, distance <= stack.tolerance, True).all(axis=0)
        chosen[field], rule[field] = first, Rule.AGREE
        rule[field, count == 1] = Rule.ONLY
        several = np.flatnonzero((count >= 3) & ~agree)
        if several.shape[0]:
            chosen[field, several], undecided[field, several] = _middle(
                values[:, several], stack.tolerance[several]
            )
            rule[field, several] = Rule.MEDIAN
        two = np.flatnonzero((count == 2) & ~agree)
        if two.shape[0]:
            _choose_of_two(stack, field, two, first, rules, chosen, rule, undecided)
    return chosen, rule, undecided


def _middle(values: FloatArray, tolerance: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the source of the median (the lower of two), and its distance if it is alone."""
    order = np.argsort(values, axis=0, kind="stable")
    count = np.isfinite(values).sum(axis=0)
    at = np.arange(values.shape[1])
    middle = order[(count - 1) // 2, at]
    distance = np.abs(values - values[middle, at])
    distance[middle, at] = np.inf
    nearest = np.nanmin(distance, axis=0)
    return middle, np.where(nearest <= tolerance, 0.0, nearest)


def _choose_of_two(
    stack: _Stack,
    field: int,
    bars: Int64Array,
    first: NDArray[np.int64],
    rules: MergeRules,
    chosen: NDArray[np.int64],
    rule: NDArray[np.int8],
    undecided: FloatArray,
) -> None:
    """Decide between two prices that don't agree, in place."""
    one = first[bars]
    present = (stack.rows[:, bars] >= 0).copy()
    present[one, np.arange(bars.shape[0])] = False
    other = np.argmax(present, axis=0)
    wrong_one = stack.outlier[one, field, bars]
    wrong_other = stack.outlier[other, field, bars]
    left, right = stack.values[one, field, bars], stack.values[other, field, bars]
    take_other = wrong_one & ~wrong_other
    decided = wrong_one != wrong_other
    rule[field, bars] = np.where(decided, Rule.NOT_OUTLIER, Rule.PRIORITY)
    ranged = {HIGH: rules.highs, LOW: rules.lows}.get(field, RangeRule.PRIORITY)
    if ranged is not RangeRule.PRIORITY:
        smaller = (field == HIGH) == (ranged is RangeRule.INNER)
        better = (right < left) if smaller else (right > left)
        take_other |= ~decided & better
        rule[field, bars[~decided]] = Rule.RANGE
    chosen[field, bars] = np.where(take_other, other, one)
    undecided[field, bars] = np.where(decided, 0.0, np.abs(left - right))


def _widen(prices: FloatArray) -> NDArray[np.bool_]:
    """Make highs and lows hold opens and closes of other sources, in place."""
    top = np.maximum(prices[0], prices[3])
    bottom = np.minimum(prices[0], prices[3])
    widened = (prices[1] < top) | (prices[2] > bottom)
    np.maximum(prices[1], top, out=prices[1])
    np.minimum(prices[2], bottom, out=prices[2])
    return np.asarray(widened)


def _quotes(
    sources: Sequence[SourceSeries], stack: _Stack, close_source: NDArray[np.int64]
) -> tuple[FloatArray | None, FloatArray | None]:
    """Return the quotes of the source of each bar's close, NaN where it has none."""
    sides: list[FloatArray | None] = []
    for name in ("bid", "ask"):
        side: FloatArray | None = None
        for i, source in enumerate(sources):
            quotes = getattr(source.columns, name)
            if quotes is None:
                continue
            if side is None:
                side = np.full((4, stack.ts.shape[0]), np.nan)
            own = np.flatnonzero((close_source == i) & (stack.rows[i] >= 0))
            side[:, own] = quotes[:, stack.rows[i, own]] * stack.factors[i, own]
        sides.append(side)
    return sides[0], sides[1]
