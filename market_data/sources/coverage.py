"""Which days of a series a source has answered for, and which are still to be asked.

Provenance names the answers that had bars. An answer of no bars leaves none,
and a symbol's years before its listing would be asked for again and again: so
the days that were answered are kept here, beside the store's series::

    <home>/ingested/alpaca/timeframe=1m/symbol=AAPL/coverage.json
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from foundation.files import write_text
from foundation.objects import Place
from market_data.series import WHOLE_SERIES
from market_data.sessions import SessionTable, date_of, days_of
from market_data.timeframes import Timeframe

_FORMAT = 1

# First and last day, both included, days since 1970-01-01.
Days = tuple[int, int]


@dataclass(frozen=True, slots=True)
class PartCoverage:
    """What a source has answered for one part of a series.

    Attributes
    ----------
    days : tuple of (first, last)
        In order, apart from each other.
    has_bars : bool
        Whether any answer had bars.
    """

    days: tuple[Days, ...]
    has_bars: bool


@dataclass(frozen=True, slots=True)
class Partition:
    """A stretch of one part that is asked for at once.

    Attributes
    ----------
    part : str
        As the store names it: the month of intraday bars, or ``all``.
    first, last : int
        Session dates, days since 1970-01-01, both included.
    """

    part: str
    first: int
    last: int

    @property
    def days(self) -> str:
        """The stretch for people."""
        return f"{date_of(self.first)} to {date_of(self.last)}"


def coverage_folder(home: Place, source: str, symbol: str, timeframe: str) -> Place:
    """Return where the coverage of a stored series by a source is kept."""
    return (
        home
        / "ingested"
        / quote(source, safe="")
        / f"timeframe={timeframe}"
        / f"symbol={quote(symbol, safe='^')}"
    )


def read_coverage(folder: Place) -> dict[str, PartCoverage]:
    """Return the coverage by part, empty when nothing was asked yet."""
    path = folder / "coverage.json"
    if not path.exists():
        return {}
    try:
        parts = json.loads(path.read_text("utf-8"))["parts"]
        return {
            part: PartCoverage(
                tuple((_day(first), _day(last)) for first, last in one["days"]),
                bool(one["has_bars"]),
            )
            for part, one in parts.items()
        }
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is damaged ({error}); remove it, and the source is asked for all days again"
        ) from error


def write_coverage(folder: Place, coverage: dict[str, PartCoverage]) -> None:
    """Keep the coverage; what is there already is not written again."""
    parts = {
        part: {
            "days": [[str(date_of(first)), str(date_of(last))] for first, last in one.days],
            "has_bars": one.has_bars,
        }
        for part, one in sorted(coverage.items())
    }
    text = json.dumps({"format": _FORMAT, "parts": parts}, indent=1) + "\n"
    path = folder / "coverage.json"
    if not path.exists() or path.read_text("utf-8") != text:
        write_text(path, text)


def with_answer(
    coverage: dict[str, PartCoverage], part: str, days: Days, *, has_bars: bool
) -> dict[str, PartCoverage]:
    """Return the coverage with one more stretch of days answered."""
    before = coverage.get(part, PartCoverage((), False))
    after = PartCoverage(joined((*before.days, days)), before.has_bars or has_bars)
    return {**coverage, part: after}


def joined(days: Iterable[Days]) -> tuple[Days, ...]:
    """Return stretches in order, those that touch or overlap as one."""
    found: list[Days] = []
    for first, last in sorted(days):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def is_covered(dates: NDArray[np.int64], days: Iterable[Days]) -> NDArray[np.bool_]:
    """Return which dates lie in one of the stretches."""
    covered = np.zeros(dates.shape[0], np.bool_)
    for first, last in days:
        covered |= (dates >= first) & (dates <= last)
    return covered


def parts_of(frame: Timeframe, dates: NDArray[np.int64]) -> list[str]:
    """Return the part of the store that each session's bars belong to."""
    if not frame.intraday:
        return [WHOLE_SERIES] * dates.shape[0]
    return [str(month) for month in dates.astype("datetime64[D]").astype("datetime64[M]")]


def plan(
    table: SessionTable,
    frame: Timeframe,
    asked: Days,
    coverage: dict[str, PartCoverage],
    *,
    reread_from: int,
    full: bool,
) -> list[Partition]:
    """Return what to ask a source for, oldest first.

    Parameters
    ----------
    asked : (first, last)
        Days that are wanted.
    coverage : dict
        What was answered before, and is still stored.
    reread_from : int
        Sessions from this day on are asked for again, to hear of revisions.
    full : bool
        Ask for all wanted days again.
    """
    dates = table.date[(table.date >= asked[0]) & (table.date <= asked[1])]
    parts = parts_of(frame, dates)
    wanted = np.ones(dates.shape[0], np.bool_)
    if not full:
        for part in set(parts):
            inside = np.array([name == part for name in parts])
            known = coverage.get(part, PartCoverage((), False)).days
            wanted[inside] = ~is_covered(dates[inside], known)
        wanted |= dates >= reread_from
    found: list[Partition] = []
    for i in np.flatnonzero(wanted).tolist():
        goes_on = i > 0 and wanted[i - 1] and found and found[-1].part == parts[i]
        first = found.pop().first if goes_on else int(dates[i])
        found.append(Partition(parts[i], first, int(dates[i])))
    return found


def _day(text: str) -> int:
    return days_of(date.fromisoformat(text))
