"""Two files of bars compared without storing them."""

from __future__ import annotations

from pathlib import Path

from foundation.errors import DataError
from market_data.importing import read_file
from market_data.pairs.comparison import PairComparison, compare_series
from market_data.pairs.matching import SourceSeries
from market_data.store import Store
from market_data.timeframes import DAY_NS
from trading.instruments import Instrument

# Of what is found in reading, what no comparison of prices shows.
_TOLD = ("ranges_widened", "duplicates_dropped", "outside_calendar_dropped", "ambiguous_times")


def compare_files(
    store: Store,
    a: Path,
    b: Path,
    *,
    symbol: str = "",
    timeframe: str = "",
    calendar: str = "",
    timezone: str = "",
) -> PairComparison:
    """Read two files as an import does and compare them; the store keeps only sessions.

    Parameters
    ----------
    symbol, timeframe, calendar, timezone : str
        Where the files don't tell.

    Notes
    -----
    Bars that don't hold their open and close are widened, bars within the day
    that are in no session are kept; the findings tell of both.

    Raises
    ------
    DataError
        If a file fails a check, or the two have other timeframes or calendars.
    """
    instrument = Instrument(symbol, calendar=calendar) if calendar else None
    read = []
    for path in (a, b):
        found = read_file(
            store,
            path,
            symbol=symbol,
            timeframe=timeframe,
            timezone=timezone,
            instrument=instrument,
            # What an import refuses or leaves out is what a comparison is to show:
            # a source whose clock is wrong has bars outside the calendar.
            repair=True,
            drop_unscheduled=True,
            keep_unscheduled=True,
        )
        read.append(found)
    one, other = read
    for what, left, right in (
        ("timeframe", one.timeframe, other.timeframe),
        ("calendar", one.sessions.calendar, other.sessions.calendar),
    ):
        if left != right:
            raise DataError(f"both files need one {what}: {a.name} has {left}, {b.name} {right}")
    first = min(int(found.columns.ts[0]) for found in read) - 7 * DAY_NS
    last = max(int(found.columns.ts[-1]) for found in read) + 7 * DAY_NS
    sessions = store.sessions(one.sessions.calendar, first, last)
    return compare_series(
        SourceSeries(a.stem, one.columns),
        SourceSeries(b.stem, other.columns),
        timeframe=one.timeframe,
        sessions=sessions,
        actions=one.actions,
        read=tuple(
            f"{path.stem}: {finding.message}."
            for path, found in zip((a, b), read, strict=True)
            for finding in found.findings
            if finding.name in _TOLD
        ),
    )
