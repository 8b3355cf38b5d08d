"""Constant time shift: bars that lie an hour, or a zone, beside their calendar.

Three witnesses: days of bars that begin and end by the same distance beside a
session (or a currency week); the volume of open and close, where bars cover
extended hours; dates of daily bars that fit the calendar only a day later.
"""

from __future__ import annotations

import numpy as np

from market_data.quality.findings import QualityFinding, Severity
from market_data.quality.habits import runs
from market_data.quality.holidays import FX_SHORT, on_days
from market_data.quality.subject import Flags, FloatArray, Int64Array, Subject
from market_data.sessions import session_dates
from market_data.timeframes import DAY_NS, HOUR_NS, MINUTE_NS

_CLOSED_NS = 4 * HOUR_NS
_STEP_NS = 15 * MINUTE_NS
_HALF_HOUR_NS = 30 * MINUTE_NS
_SEARCHED_HOURS = 12
# So much of the bars lies in extended hours where their volume can be a witness.
_EXTENDED_SHARE = 0.05
_AGREEING = 0.8


def time_shift(subject: Subject) -> tuple[list[QualityFinding], Int64Array]:
    """Report stretches of bars that are shifted by a constant.

    Returns
    -------
    findings : list
    shift : int64 array, shape (n_bars,)
        What to subtract from each bar's time to set it right, nanoseconds.
    """
    none = np.zeros(subject.n_bars, np.int64)
    if subject.n_bars == 0 or subject.table.date.shape[0] == 0 or subject.table.calendar == "24/7":
        return [], none
    if not subject.frame.intraday:
        return _days(subject) if subject.frame.name == "1d" else ([], none)
    if subject.frame.length_ns > HOUR_NS:
        return [], none
    starts, stops, shifts, witness = _by_edges(subject)
    if not np.any(shifts) and _covers_extended_hours(subject):
        starts, stops, shifts, witness = _by_volume(subject)
    return _reported(subject, starts, stops, shifts, witness)


def _by_edges(subject: Subject) -> tuple[Int64Array, Int64Array, Int64Array, str]:
    """Compare begin and end of each day of bars with the nearest open and close."""
    ts, length, table = subject.ts, subject.frame.length_ns, subject.table
    closed = max(_CLOSED_NS, 4 * length)
    starts = np.concatenate(([0], np.flatnonzero(ts[1:] - ts[:-1] > closed) + 1))
    stops = np.concatenate((starts[1:], [ts.shape[0]]))
    i_open = _nearest(ts[starts], table.open)
    i_close = _nearest(ts[stops - 1] + length, table.close)
    at_open = ts[starts] - table.open[i_open]
    at_close = ts[stops - 1] + length - table.close[i_close]
    # A few bars anywhere lie alike beside an open that is the close before.
    both = (np.sign(at_open) == np.sign(at_close)) & (i_close >= i_open)
    if table.calendar == "FX":
        # The market closes once a week: what is shorter has another reason to end.
        both &= (i_close >= i_open + 2) & ~on_days(table.date[i_close], FX_SHORT)
    least = np.minimum(np.abs(at_open), np.abs(at_close))
    apart = np.abs(at_open - at_close)
    tolerance = max(length, 5 * MINUTE_NS)
    rounded = np.rint(least / _STEP_NS).astype(np.int64) * _STEP_NS
    # A first bar of an hour that is labelled before the open is no shift.
    far = least >= max(subject.limits.shift_ns, length - MINUTE_NS)
    fits = both & far & (apart <= tolerance) & (np.abs(least - rounded) <= tolerance)
    return starts, stops, np.where(fits, np.sign(at_open) * rounded, 0), "first and last bars"


def _nearest(moments: Int64Array, marks: Int64Array) -> Int64Array:
    """Return the index of the mark that is nearest to each moment."""
    right = np.clip(np.searchsorted(marks, moments), 1, marks.shape[0] - 1)
    left = right - 1
    nearer = np.abs(moments - marks[left]) <= np.abs(moments - marks[right])
    return np.where(nearer, left, right)


def _covers_extended_hours(subject: Subject) -> bool:
    if subject.frame.length_ns > _HALF_HOUR_NS:
        return False
    outside = float(subject.outside.mean())
    return outside > _EXTENDED_SHARE and bool(np.nansum(subject.prices[4]) > 0)


def _by_volume(subject: Subject) -> tuple[Int64Array, Int64Array, Int64Array, str]:
    """Find the shift at which volume rises at the open and falls at the close."""
    ts, table = subject.ts, subject.table
    first = int(np.searchsorted(table.close, ts[0]))
    last = int(np.searchsorted(table.open, ts[-1], "right"))
    opens, closes = table.open[first:last], table.close[first:last]
    volume = np.concatenate(([0.0], np.cumsum(np.nan_to_num(subject.prices[4], posinf=0.0))))
    steps = np.arange(-2 * _SEARCHED_HOURS, 2 * _SEARCHED_HOURS + 1) * _HALF_HOUR_NS

    def traded(begin: Int64Array, end: Int64Array) -> FloatArray:
        return np.asarray(volume[np.searchsorted(ts, end)] - volume[np.searchsorted(ts, begin)])

    score = np.empty((steps.shape[0], opens.shape[0]))
    every = traded(opens - DAY_NS // 2, closes + DAY_NS // 2)
    little = 0.002 * every + 1.0
    for i, step in enumerate(steps.tolist()):
        a, b = opens + step, closes + step
        rises = (traded(a, a + _HALF_HOUR_NS) + little) / (traded(a - _HALF_HOUR_NS, a) + little)
        falls = (traded(b - _HALF_HOUR_NS, b) + little) / (traded(b, b + _HALF_HOUR_NS) + little)
        score[i] = np.minimum(np.log(rises), np.log(falls))
    best = np.argmax(score, axis=0)
    gain = score[best, np.arange(opens.shape[0])] - score[2 * _SEARCHED_HOURS]
    shifts = np.where(gain > subject.limits.shift_score, steps[best], 0)
    shifts[every == 0] = 0
    middle = (opens + closes) // 2
    cuts = np.searchsorted(ts, (middle[1:] + middle[:-1]) // 2 + np.maximum(shifts[1:], 0))
    starts = np.concatenate(([0], cuts))
    return starts, np.concatenate((cuts, [ts.shape[0]])), shifts, "volume at open and close"


def _reported(
    subject: Subject, starts: Int64Array, stops: Int64Array, shifts: Int64Array, witness: str
) -> tuple[list[QualityFinding], Int64Array]:
    undo = np.zeros(subject.n_bars, np.int64)
    # Half days and holidays break a stretch in the middle; short ones are bridged.
    bridged = _bridged(shifts)
    fewest = subject.limits.shift_blocks
    if subject.table.calendar == "FX":
        fewest -= 1
    found: list[QualityFinding] = []
    for shift in np.unique(bridged[bridged != 0]).tolist():
        begin, end = runs(bridged == shift)
        enough = end - begin >= fewest
        begin, end = begin[enough], end[enough]
        agreeing = np.array(
            [np.mean(shifts[a:b] == shift) for a, b in zip(begin, end, strict=True)]
        )
        sure = agreeing >= _AGREEING
        begin, end = begin[sure], end[sure]
        for a, b in zip(begin, end, strict=True):
            undo[starts[a] : stops[b - 1]] = shift
        hours = shift / HOUR_NS
        blocks = end - begin
        first, last = starts[begin], stops[end - 1]
        found += subject.report(
            "time_shift", Severity.ERROR, first, last, np.full(begin.shape[0], hours),
            0.0, "hours",
            lambda i, hours=hours, blocks=blocks: (  # type: ignore[misc]
                f"{witness} of {blocks[i]} days or weeks in a row lie {abs(hours):g} h "
                f"{'after' if hours > 0 else 'before'} the hours of {subject.table.calendar}"
            ),
        )  # fmt: skip
    corrected = subject.ts - undo
    if bool(np.any(corrected[1:] < corrected[:-1])):
        undo[:] = 0
    return found, undo


def _bridged(shifts: Int64Array) -> Int64Array:
    """Give a single odd day the shift that both of its neighbours have."""
    bridged = shifts.copy()
    inner = (shifts[:-2] == shifts[2:]) & (shifts[:-2] != 0)
    bridged[1:-1][inner] = shifts[:-2][inner]
    return bridged


def _days(subject: Subject) -> tuple[list[QualityFinding], Int64Array]:
    """Compare the dates of daily bars, week by week, with the calendar's."""
    table = subject.table
    dates = session_dates(table, subject.ts)
    # From Sunday to Saturday, so that a day early or late stays in its week.
    week = (dates + 4) // 7
    starts = np.concatenate(([0], np.flatnonzero(week[1:] != week[:-1]) + 1))
    stops = np.concatenate((starts[1:], [dates.shape[0]]))
    right = np.isin(dates, table.date)
    as_stated = np.logical_and.reduceat(right, starts)
    shifts = np.zeros(starts.shape[0], np.int64)
    for days in (-1, 1):
        moved = np.isin(dates - days, table.date)
        fits = np.logical_and.reduceat(moved, starts) & ~as_stated
        shifts[fits & (shifts == 0)] = days
    # Weeks that fit both ways belong to the stretch around them.
    for days in (-1, 1):
        moved = np.logical_and.reduceat(np.isin(dates - days, table.date), starts)
        _grow(shifts, moved & as_stated & _thin_weeks(starts, stops), days)
    found, undo = _reported(subject, starts, stops, shifts * DAY_NS, "dates")
    return found, undo


def _thin_weeks(starts: Int64Array, stops: Int64Array) -> Flags:
    return np.asarray(stops - starts < 5)


def _grow(shifts: Int64Array, possible: Flags, days: int) -> None:
    inner = possible[1:-1] & (shifts[:-2] == days) & (shifts[2:] == days)
    shifts[1:-1][inner] = days
