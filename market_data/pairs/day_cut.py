"""At which hour a source's days end, told by bars within the day.

A day's close is the last price before the day ends. So the returns of the
closes are held against those of a series within the day, cut at every half
hour of several clocks: at the right hour they are nearest, day by day. Returns
know no unit of price and no split but on one day. A cut that falls into closed
hours has the same last bars as others; the one that follows them most closely
stands for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from market_data.columns import BarColumns
from market_data.pairs.matching import FloatArray, Int64Array
from market_data.timeframes import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS

# London stands for all of Europe, whose clocks change at one moment; clocks
# that never change are UTC's.
CLOCKS = ("UTC", "America/New_York", "Europe/London", "Australia/Sydney")
LEAST_CONFIDENCE = 0.99
_STEP_NS = 30 * MINUTE_NS
# From a day labelled by its end to one labelled by its beginning.
_EARLIEST_NS, _LATEST_NS = -DAY_NS, 2 * DAY_NS
# A last bar further back is of another day: the series has a hole there.
_OLDEST_NS = 12 * HOUR_NS
_FEWEST_DAYS = 20
# Cuts that are the same on so many of the days are one hour by two clocks.
_SAME = 0.9


@dataclass(frozen=True, slots=True)
class IntradayBars:
    """Bars within the day by which days are cut.

    Attributes
    ----------
    name : str
        Of the source, as a person named it.
    timeframe : str
    length_ns : int
        Of a bar.
    columns : BarColumns
        Labelled by their open in UTC, oldest first.
    """

    name: str
    timeframe: str
    length_ns: int
    columns: BarColumns


@dataclass(frozen=True, slots=True)
class DayCut:
    """When a source's days end.

    Attributes
    ----------
    clock : str
        Such as ``UTC`` or ``America/New_York``.
    after_ns : int
        Time from the midnight, by that clock, with which the day's date begins.
    also : tuple of (clock, after_ns)
        Other clocks' hours that the days fit no worse, as one season only is
        there, or few days of the weeks in which clocks differ.
    by : str
        Source and timeframe of the bars that tell it.
    n_days : int
        Days compared.
    confidence : float
        That no other hour is the right one, `also` apart.
    """

    clock: str
    after_ns: int
    also: tuple[tuple[str, int], ...]
    by: str
    n_days: int
    confidence: float


def detect_day_cut(daily: BarColumns, intraday: IntradayBars) -> DayCut | None:
    """Find the hour at which days end, None when the data can't tell.

    Parameters
    ----------
    daily : BarColumns
        Daily bars, each with its date as session.
    intraday : IntradayBars
        Of the same instrument, of this source or another.

    Notes
    -----
    The confidence is that of a sign test against each other hour, by
    Hoeffding's bound (1963, theorem 2), times the number of hours tried.
    """
    bars = intraday.columns
    if bars.n_bars == 0:
        return None
    inside = (daily.session * DAY_NS >= bars.ts[0]) & (daily.session * DAY_NS <= bars.ts[-1])
    dates, close = daily.session[inside], daily.prices[3, inside]
    if dates.shape[0] < _FEWEST_DAYS:
        return None
    cuts, rows = _cuts(dates, bars.ts + intraday.length_ns, max(_STEP_NS, intraday.length_ns))
    log_bars = np.append(np.log(bars.prices[3]), np.nan)
    moves = np.diff(np.log(close))
    usual = float(np.median(np.abs(moves)))
    distance = np.abs(np.diff(log_bars[rows], axis=1) - moves)
    known = np.isfinite(distance)
    n_known = known.sum(axis=1)
    if not cuts or n_known.max() < _FEWEST_DAYS or usual <= 0:
        return None
    usable = n_known >= 0.5 * n_known.max()
    # A split, or a bad print, weighs no more than a day's move.
    loss = np.where(known, np.minimum(distance, usual), 0.0).sum(axis=1) / np.maximum(n_known, 1)
    best = int(np.argmin(np.where(usable, loss, np.inf)))
    chances = rows.shape[0] * np.array([_chance(distance[best], other) for other in distance])
    chances[best] = 0.0
    same = _shares_of_equal(rows, rows[best]) >= _SAME
    confidence = 1.0 - float(chances[usable & ~same].max(initial=0.0))
    if confidence < LEAST_CONFIDENCE:
        return None
    # Hours that fit no worse, the nearest first. Another clock's hour in closed
    # hours, longer after the last bars, is no other hour.
    chances[best] = 1.0
    fitting = np.flatnonzero(usable & same & (chances > 1.0 - LEAST_CONFIDENCE))
    latest = min(cuts[i].age_ns for i in fitting.tolist()) + MINUTE_NS
    hours: dict[str, int] = {}
    for i in fitting[np.argsort(loss[fitting], kind="stable")].tolist():
        if cuts[i].age_ns <= latest:
            hours.setdefault(cuts[i].clock, cuts[i].after_ns)
    (clock, after_ns), *also = hours.items()
    return DayCut(
        clock,
        after_ns,
        tuple(also),
        f"the {intraday.timeframe} bars of {intraday.name}",
        int(n_known[best]),
        confidence,
    )


def detect_day_cuts(
    a: BarColumns, b: BarColumns, within: Sequence[IntradayBars]
) -> tuple[DayCut | None, DayCut | None]:
    """Find at which hours the days of two sources end.

    Parameters
    ----------
    a, b : BarColumns
        Daily bars.
    within : sequence of IntradayBars
        By which to tell it, the best first. One that tells both is taken
        before others: by one clock the two compare, even if it is wrong.
    """
    found = [(detect_day_cut(a, one), detect_day_cut(b, one)) for one in within]
    for of_a, of_b in found:
        if of_a is not None and of_b is not None:
            return of_a, of_b
    return (
        next((one for one, _ in found if one is not None), None),
        next((one for _, one in found if one is not None), None),
    )


def end_apart(cuts: tuple[DayCut | None, DayCut | None]) -> bool:
    """Return whether two sources' days are known to end at different hours."""
    a, b = cuts
    if a is None or b is None:
        return False
    hours = ((cut.clock, cut.after_ns % DAY_NS) for cut in (a, b))
    return len(set(hours)) > 1


@dataclass(frozen=True, slots=True)
class _Cut:
    """An hour to try, and how long after the last bars it usually comes."""

    clock: str
    after_ns: int
    age_ns: float


def _cuts(
    dates: Int64Array, ends: Int64Array, step_ns: int
) -> tuple[list[_Cut], NDArray[np.int64]]:
    """Return cuts, each with the last bar before it on every day, -1 where there is none.

    Cuts of one clock with the same bars on all days are one, the earliest.
    """
    found: dict[tuple[str, bytes], tuple[_Cut, Int64Array]] = {}
    for clock in CLOCKS:
        midnight = dates * DAY_NS - _offsets(clock, dates)
        for after_ns in range(_EARLIEST_NS, _LATEST_NS + 1, step_ns):
            cut = midnight + after_ns
            row = np.searchsorted(ends, cut, "right") - 1
            age = np.where(row >= 0, cut - ends[row], _OLDEST_NS + 1)
            there = age <= _OLDEST_NS
            if bool(there.any()):
                row = np.where(there, row, -1)
                one = _Cut(clock, after_ns, float(np.mean(age[there])))
                found.setdefault((clock, row.tobytes()), (one, row))
    if not found:
        return [], np.zeros((0, 0), np.int64)
    return [cut for cut, _ in found.values()], np.stack([row for _, row in found.values()])


def _shares_of_equal(rows: NDArray[np.int64], own: Int64Array) -> FloatArray:
    """Return on which share of the days that both know cuts have the same last bar."""
    both = (rows >= 0) & (own >= 0)
    n_both = np.maximum(both.sum(axis=1), 1)
    return np.asarray(((rows == own) & both).sum(axis=1) / n_both)


def _offsets(clock: str, dates: Int64Array) -> Int64Array:
    """Return a clock's time less UTC at noon of each date, nanoseconds."""
    zone = ZoneInfo(clock)
    noons = [datetime.fromtimestamp(day * 86_400 + 43_200, UTC) for day in dates.tolist()]
    offsets = [noon.astimezone(zone).utcoffset() for noon in noons]
    return np.array(
        [0 if one is None else int(one.total_seconds()) * SECOND_NS for one in offsets], np.int64
    )


def _chance(own: FloatArray, other: FloatArray) -> float:
    """Return how likely one cut is nearer so often by chance."""
    # What binary fractions lose is no difference.
    nearer = int(np.sum(own < other - 1e-12))
    farther = int(np.sum(other < own - 1e-12))
    n_days = nearer + farther
    if nearer <= farther:
        return 1.0
    return float(np.exp(-2.0 * n_days * (nearer / n_days - 0.5) ** 2))
