"""Session tables and what follows from them for a bar: close, flags, periods.

A table is plain numbers, so that bars get their sessions without asking a
calendar library. Where tables come from is the business of `calendars`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data.timeframes import DAY_NS, HOUR_NS, MINUTE_NS, Timeframe, parse_timeframe
from trading.bars import BarFlag

Int64Array = NDArray[np.int64]

# Room for the bars of one session in a period id, before and after the open.
_SLOTS = 1 << 18


@dataclass(frozen=True, slots=True)
class SessionTable:
    """Sessions of one calendar, oldest first.

    Attributes
    ----------
    calendar : str
        Name as in `Instrument.calendar`.
    first_date, last_date : int
        Days since 1970-01-01 between which the table has every session.
    date : int64 array, shape (n_sessions,)
        Session date, days since 1970-01-01.
    open, close : int64 arrays, shape (n_sessions,)
        Scheduled open and close, UTC nanoseconds.
    offset : int64 array, shape (n_sessions,)
        Local time less UTC at the open, nanoseconds.
    """

    calendar: str
    first_date: int
    last_date: int
    date: Int64Array
    open: Int64Array
    close: Int64Array
    offset: Int64Array

    def covers(self, first_ns: int, last_ns: int) -> bool:
        """Return whether the weeks of both instants lie inside the table."""
        return (
            self.first_date * DAY_NS + 8 * DAY_NS <= first_ns
            and last_ns <= self.last_date * DAY_NS - 8 * DAY_NS
        )

    def between(self, first_date: int, last_date: int) -> SessionTable:
        """Return the sessions from one date to another, both included."""
        start = int(np.searchsorted(self.date, first_date, "left"))
        stop = int(np.searchsorted(self.date, last_date, "right"))
        part = slice(start, stop)
        return SessionTable(
            self.calendar,
            first_date,
            last_date,
            self.date[part],
            self.open[part],
            self.close[part],
            self.offset[part],
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """Where bars lie in the sessions of a table.

    Attributes
    ----------
    i_session : int64 array, shape (n_bars,)
        Row of the table; -1 for a bar in no session.
    outside : bool array, shape (n_bars,)
        Bars before the open or after the close of the session of their date.
    """

    i_session: Int64Array
    outside: NDArray[np.bool_]


def place_intraday(table: SessionTable, ts: Int64Array) -> Placement:
    """Find the session of each intraday bar by its open time.

    Parameters
    ----------
    table : SessionTable
        Must cover the bars.
    ts : int64 array, shape (n_bars,)
        Open times, increasing.

    Returns
    -------
    Placement
        A bar outside the scheduled hours belongs to the session of its local
        date when that session opens and closes on this date; else to none.
    """
    i_session = np.full(ts.shape[0], -1, np.int64)
    outside = np.ones(ts.shape[0], np.bool_)
    if ts.shape[0] == 0:
        return Placement(i_session, outside)
    first = max(int(np.searchsorted(table.close, ts[0], "right")) - 1, 0)
    last = min(int(np.searchsorted(table.open, ts[-1], "right")) + 1, table.date.shape[0])
    rows = np.arange(first, last, dtype=np.int64)
    day_start = table.date[rows] * DAY_NS - table.offset[rows]
    one_day = (table.open[rows] >= day_start) & (table.close[rows] <= day_start + DAY_NS)
    _fill_ranges(i_session, ts, day_start[one_day], day_start[one_day] + DAY_NS, rows[one_day])
    _fill_ranges(i_session, ts, table.open[rows], table.close[rows], rows)
    _fill_ranges(outside, ts, table.open[rows], table.close[rows], np.zeros(rows.shape[0], bool))
    return Placement(i_session, outside)


def _fill_ranges(
    target: NDArray[np.generic],
    ts: Int64Array,
    start_ns: Int64Array,
    stop_ns: Int64Array,
    values: NDArray[np.generic],
) -> None:
    """Set target to values[j] where start_ns[j] <= ts < stop_ns[j]; ranges are disjoint."""
    start = np.searchsorted(ts, start_ns, "left")
    stop = np.searchsorted(ts, stop_ns, "left")
    counts = stop - start
    total = int(counts.sum())
    if total == 0:
        return
    begin = int(start[np.argmax(counts > 0)])
    if np.array_equal(start[1:], stop[:-1]) and total == int(stop[-1]) - begin:
        target[begin : begin + total] = np.repeat(values, counts)
        return
    before = np.cumsum(counts) - counts
    positions = np.arange(total) + np.repeat(start - before, counts)
    target[positions] = np.repeat(values, counts)


def local_dates(table: SessionTable, ts: Int64Array) -> Int64Array:
    """Return the exchange's local date of each instant, days since 1970-01-01."""
    last = table.date.shape[0] - 1
    row = np.clip(np.searchsorted(table.open, ts, "right") - 1, 0, last)
    following = np.minimum(row + 1, last)
    dates = (ts + table.offset[row]) // DAY_NS
    # The morning before a session's open has that session's offset already:
    # clocks change at night.
    coming = (ts + table.offset[following]) // DAY_NS
    return np.where(coming == table.date[following], coming, dates)


def session_dates(table: SessionTable, ts: Int64Array) -> Int64Array:
    """Return the session date that each daily bar means by its time stamp.

    Notes
    -----
    Sources write a daily bar's time as a plain date (midnight UTC), as local
    midnight, or as an instant of the session, usually its open. All bars of
    one series follow one of these.
    """
    if table.date.shape[0] == 0 or not np.any(ts % DAY_NS):
        return ts // DAY_NS
    row = np.searchsorted(table.open, ts, "right") - 1
    inside = (row >= 0) & (ts < table.close[row])
    dates = local_dates(table, ts)
    dates[inside] = table.date[row[inside]]
    return dates


@dataclass(frozen=True, slots=True)
class Schedule:
    """What the session table says of each bar; fields as in `trading.bars.Bars`."""

    ts: Int64Array
    close_ts: Int64Array
    session: Int64Array
    flags: Int64Array
    facts: NDArray[np.float64]
    periods: dict[str, Int64Array]


def schedule_bars(
    table: SessionTable,
    timeframe: Timeframe,
    ts: Int64Array,
    placement: Placement,
    periods: tuple[str, ...] = (),
) -> Schedule:
    """Derive closes, flags, facts and period codes of bars that have a session.

    Parameters
    ----------
    table : SessionTable
        Must cover the bars and the weeks they lie in.
    timeframe : Timeframe
        Of the bars.
    ts : int64 array, shape (n_bars,)
        Open times, increasing; for daily and weekly bars they are replaced by
        the open of the first session.
    placement : Placement
        Sessions of the bars, none of them -1. A weekly bar has its week's
        last session.
    periods : tuple of str
        Higher timeframes to code.

    Raises
    ------
    DataError
        If a period is not longer than the bars.
    """
    row = placement.i_session
    session_open, session_close = table.open[row], table.close[row]
    if timeframe.intraday:
        close_ts = ts + timeframe.length_ns
        np.minimum(close_ts, session_close, out=close_ts, where=~placement.outside)
        slot = (ts - session_open) // timeframe.length_ns
    else:
        if timeframe.name == "1w":
            session_open = table.open[np.searchsorted(table.date, monday(table.date[row]), "left")]
        ts, close_ts = session_open, session_close
        slot = np.zeros(ts.shape[0], np.int64)
    session = table.date[row]
    return Schedule(
        ts,
        close_ts,
        session,
        _flags(timeframe, session, close_ts, session_close, placement.outside),
        _facts(ts, table.offset[row], slot),
        {
            name: period_codes(table, timeframe, parse_timeframe(name), ts, close_ts, placement)
            for name in periods
        },
    )


def _flags(
    timeframe: Timeframe,
    session: Int64Array,
    close_ts: Int64Array,
    session_close: Int64Array,
    outside: NDArray[np.bool_],
) -> Int64Array:
    flags = outside * np.int64(BarFlag.OUTSIDE_SESSION)
    flags[_starts(session)] |= BarFlag.SESSION_FIRST
    if not timeframe.intraday:
        return flags | np.int64(BarFlag.SESSION_LAST | BarFlag.FLATTEN)
    flags |= ((close_ts == session_close) & ~outside) * np.int64(BarFlag.SESSION_LAST)
    flags |= (close_ts >= session_close - timeframe.length_ns) * np.int64(BarFlag.FLATTEN)
    return flags


def _facts(ts: Int64Array, offset: Int64Array, slot: Int64Array) -> NDArray[np.float64]:
    local = ts + offset
    days = local // DAY_NS
    local -= days * DAY_NS
    facts = np.empty((4, ts.shape[0]))
    hour = local // HOUR_NS
    facts[0] = hour
    facts[1] = (local - hour * HOUR_NS) // MINUTE_NS
    facts[2] = (days + 3) % 7
    facts[3] = slot
    return facts


def _starts(ids: Int64Array) -> NDArray[np.bool_]:
    """Mark the first element of every run of equal values."""
    first = np.ones(ids.shape[0], np.bool_)
    np.not_equal(ids[1:], ids[:-1], out=first[1:])
    return first


def monday(dates: Int64Array) -> Int64Array:
    """Return the Monday of each date's calendar week, days since 1970-01-01."""
    return dates - (dates + 3) % 7


def period_codes(
    table: SessionTable,
    timeframe: Timeframe,
    period: Timeframe,
    ts: Int64Array,
    close_ts: Int64Array,
    placement: Placement,
) -> Int64Array:
    """Code the higher timeframe's bar that each bar lies in.

    Returns
    -------
    int64 array, shape (n_bars,)
        Period id << 2 | last << 1 | first, as `trading.bars` defines them.
    """
    if period.length_ns <= timeframe.length_ns:
        raise DataError(f"period {period.name} is not longer than the bars' {timeframe.name}")
    row = placement.i_session
    if period.intraday:
        slot = (ts - table.open[row]) // period.length_ns
        identity = table.date[row] * _SLOTS + (slot + _SLOTS // 2)
        opens = table.open[row] + slot * period.length_ns
        closes = opens + period.length_ns
        np.minimum(closes, table.close[row], out=closes, where=~placement.outside)
    else:
        identity, opens, closes = (column[row] for column in _long_periods(table, period))
    # Before the open of the first session of a week there may be bars of
    # extended hours; the first of them begins the week.
    first = (ts <= opens) & _starts(identity)
    last = closes <= close_ts
    return (identity << 2) | (last * np.int64(2)) | first * np.int64(1)


def _long_periods(
    table: SessionTable, period: Timeframe
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Return id, open and close of the day or week of each session of the table."""
    if period.name == "1d":
        return table.date, table.open, table.close
    start = monday(table.date)
    first = np.searchsorted(table.date, start, "left")
    last = np.searchsorted(table.date, start + 7, "left") - 1
    return (start + 3) // 7, table.open[first], table.close[last]


def days_of(day: date) -> int:
    """Return a date as days since 1970-01-01."""
    return day.toordinal() - 719_163


def date_of(days: int) -> date:
    """Return the date of that many days since 1970-01-01."""
    return date.fromordinal(int(days) + 719_163)
