"""Exchange calendars as session tables.

Exchanges come from exchange_calendars, which is slow to import and is asked
once per calendar and span: the store keeps the answer. ``24/7`` and ``FX``
are rules of ours, because exchange_calendars' ``24/5`` knows no Sunday.
Lunch breaks are part of the session.
"""

from __future__ import annotations

import difflib
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from foundation.errors import DataError
from market_data.sessions import SessionTable, date_of, days_of
from market_data.timeframes import DAY_NS, SECOND_NS

ALWAYS_OPEN = "24/7"
FX = "FX"
NEW_YORK = "America/New_York"

# The currency week begins on Sunday and ends on Friday at this hour in New
# York, which is also where one trading day ends and the next begins.
FX_ROLL = time(17, 0)

# Calendars begin with the oldest data that is likely, since exchange_calendars
# by itself begins 20 years ago.
FIRST_DATE = date(1990, 1, 1)


def compute_sessions(calendar: str, first: date, last: date) -> SessionTable:
    """Compute the sessions of a calendar between two dates, both included.

    Parameters
    ----------
    calendar : str
        An exchange_calendars name, ``24/7`` or ``FX``.
    first, last : date
        The table is cut to what the calendar's source knows.

    Raises
    ------
    DataError
        If there is no such calendar.
    """
    if calendar == ALWAYS_OPEN:
        return always_open(days_of(first), days_of(last))
    if calendar == FX:
        return _fx_sessions(first, last)
    return _exchange_sessions(calendar, first, last)


def calendars_version() -> str:
    """Return the version of the calendars' source, which changes as holidays are declared."""
    from importlib.metadata import version

    return f"exchange_calendars {version('exchange-calendars')}"


def always_open(first_date: int, last_date: int) -> SessionTable:
    """Return one session per UTC day, days since 1970-01-01, both included."""
    dates = np.arange(first_date, last_date + 1, dtype=np.int64)
    opens = dates * DAY_NS
    return SessionTable(
        ALWAYS_OPEN, first_date, last_date, dates, opens, opens + DAY_NS, np.zeros_like(dates)
    )


def _fx_sessions(first: date, last: date) -> SessionTable:
    every = np.arange(days_of(first), days_of(last) + 1, dtype=np.int64)
    dates = every[(every + 3) % 7 < 5]
    zone = ZoneInfo(NEW_YORK)
    opens = np.empty_like(dates)
    closes = np.empty_like(dates)
    offsets = np.empty_like(dates)
    for i, days in enumerate(dates.tolist()):
        day = date_of(days)
        local_open = datetime.combine(day - timedelta(days=1), FX_ROLL, zone)
        opens[i] = _nanoseconds(local_open)
        closes[i] = _nanoseconds(datetime.combine(day, FX_ROLL, zone))
        offsets[i] = _offset(local_open)
    return SessionTable(FX, days_of(first), days_of(last), dates, opens, closes, offsets)


def _exchange_sessions(name: str, first: date, last: date) -> SessionTable:
    import exchange_calendars

    names = exchange_calendars.get_calendar_names()
    if name not in names:
        close = difflib.get_close_matches(name.upper(), [*names, ALWAYS_OPEN, FX], n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else "; try XNYS, 24/7 or FX"
        raise DataError(f"unknown calendar {name!r}{hint}")
    known = exchange_calendars.get_calendar(name)
    lower, upper = known.bound_min(), known.bound_max()
    start = first if lower is None else max(first, lower.date())
    end = last if upper is None else min(last, upper.date())
    found = exchange_calendars.get_calendar(name, start=start.isoformat(), end=end.isoformat())
    opens = _instants(found.opens)
    closes = _instants(found.closes)
    zone = ZoneInfo(str(found.tz))
    offsets = [_offset(datetime.fromtimestamp(ns // SECOND_NS, zone)) for ns in opens.tolist()]
    return SessionTable(
        name,
        days_of(start),
        days_of(end),
        found.sessions.to_numpy().astype("datetime64[D]").astype(np.int64),
        opens,
        closes,
        np.array(offsets, np.int64),
    )


def _instants(column: Any) -> np.ndarray:
    """Return a pandas column of UTC times as int64 nanoseconds."""
    naive = column.dt.tz_convert(None).to_numpy()
    return np.asarray(naive.astype("datetime64[ns]").astype(np.int64))


def _nanoseconds(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp()) * SECOND_NS


def _offset(moment: datetime) -> int:
    offset = moment.utcoffset()
    if offset is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    return int(offset.total_seconds()) * SECOND_NS


def default_daily_calendar(dates: np.ndarray) -> str:
    """Return the calendar assumed for daily bars whose file states none.

    Parameters
    ----------
    dates : int64 array
        Session dates, days since 1970-01-01.

    Returns
    -------
    str
        ``XNYS``, or ``24/7`` when there are bars on weekends.
    """
    return ALWAYS_OPEN if bool(np.any((dates + 3) % 7 >= 5)) else "XNYS"
