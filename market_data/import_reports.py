"""What an import is told, and what it tells of what it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from market_data.checks import Finding
from market_data.columns import BarColumns
from market_data.sessions import SessionTable
from trading.instruments import Instrument


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How to read files and what is known of their instruments.

    Attributes
    ----------
    symbol : str
        Needed when a file has no column for it, or several symbols.
    timeframe : str
        Taken from the distances between bars when not given.
    timezone : str
        Zone of times that state none; daily bars may do without.
    quotes : path, optional
        A second file with ``bid_open`` … ``ask_close`` of the same times; it
        is held in memory.
    stated : mapping
        Fields of the instrument that replace the stored ones, such as
        ``calendar``, which intraday bars need unless it is stored.
    repair : bool
        Widen bars whose high and low do not hold open and close.
    drop_unscheduled : bool
        Leave out bars that are in no session of the calendar, however many.
    keep_unscheduled : bool
        Keep bars within the day that are in no session, under their local
        date: for a comparison of two sources, one of which may have a wrong
        clock. Such bars are not stored.
    overwrite : bool
        Let bars replace stored ones of the same time.
    refresh : bool
        Compute the calendar's sessions anew if its source has changed.
    split_listing : bool
        Where the bars look like those of several companies that had the
        ticker one after the other, write that down in the listings; they are
        refused otherwise.
    """

    symbol: str = ""
    timeframe: str = ""
    timezone: str = ""
    quotes: Path | None = None
    stated: Mapping[str, object] = field(default_factory=dict)
    repair: bool = False
    drop_unscheduled: bool = False
    keep_unscheduled: bool = False
    overwrite: bool = False
    refresh: bool = True
    split_listing: bool = False


@dataclass(frozen=True, slots=True)
class CheckedBars:
    """Bars of a file that passed every check, not stored yet.

    Attributes
    ----------
    columns : BarColumns
    instrument : Instrument
        With its calendar.
    timeframe : str
    sessions : SessionTable
    source : str
        Name and digest of the file.
    actions : DATED_ACTION array
        From the file beside it, else those stored.
    findings : tuple of Finding
    sha256 : str
        Of the file.
    """

    columns: BarColumns
    instrument: Instrument
    timeframe: str
    sessions: SessionTable
    source: str
    actions: NDArray[np.void]
    findings: tuple[Finding, ...]
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    Attributes
    ----------
    symbol, timeframe, calendar, source : str
    rows : int
        Bars of the file that passed.
    stored_rows : int
        Bars of the series now.
    changed : bool
        False when all of them were stored before.
    first, last : datetime
        Open times of the file's first and last bar, UTC.
    findings : tuple of Finding
    """

    symbol: str
    timeframe: str
    calendar: str
    source: str
    rows: int
    stored_rows: int
    changed: bool
    first: datetime
    last: datetime
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of one file of several.

    Attributes
    ----------
    name : str
        The file's name below the folder, or within the archive.
    reports : tuple of ImportReport
        One for each symbol that was imported.
    errors : tuple of str
        One line for each symbol that was refused, or one for the file.
    """

    name: str
    reports: tuple[ImportReport, ...]
    errors: tuple[str, ...]
