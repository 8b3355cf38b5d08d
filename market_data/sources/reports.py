"""How an ingestion is told what to do, and what it tells of what it did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from foundation.errors import DataError
from market_data.checks import Finding

REREAD_DAYS = 7

STORED, UNCHANGED, EMPTY, FAILED = "stored", "unchanged", "empty", "failed"


@dataclass(frozen=True, slots=True)
class IngestionOptions:
    """How a source is read.

    Attributes
    ----------
    first, last : date or None
        Session dates, both included; by default from the first day that was
        asked for before, or the oldest that makes sense, until now.
    as_source : bool
        Keep the bars beside those of other sources, as ``AAPL@yahoo``.
    full : bool
        Ask for all days again, not only for missing and recent ones.
    overwrite : bool
        Let bars replace those of other sources, and prices of another scale.
    reread_days : int
        Recent days that are asked for again.
    calendar : str
        In the place of the one that the source or the store knows.
    repair, drop_unscheduled, split_listing : bool
        As for an import.
    """

    first: date | None = None
    last: date | None = None
    as_source: bool = False
    full: bool = False
    overwrite: bool = False
    reread_days: int = REREAD_DAYS
    calendar: str = ""
    repair: bool = False
    drop_unscheduled: bool = False
    split_listing: bool = False

    def __post_init__(self) -> None:
        if self.first is not None and self.last is not None and self.first > self.last:
            raise DataError(
                f"the first day must not be after the last, got {self.first} and {self.last}"
            )
        if self.reread_days < 0:
            raise DataError(f"the days to read again must be 0 or more, got {self.reread_days}")


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """What became of one partition.

    Attributes
    ----------
    part : str
        Month, ``all``, or the file.
    days : str
        What was asked for.
    outcome : str
        ``stored``, ``unchanged``, ``empty`` or ``failed``.
    n_new, n_revised, n_unchanged, n_withdrawn : int
        As in `Comparison`.
    request, sha256 : str
        Of the answer.
    findings : tuple of Finding
    notes : tuple of str
    error : str
    """

    part: str
    days: str
    outcome: str
    n_new: int = 0
    n_revised: int = 0
    n_unchanged: int = 0
    n_withdrawn: int = 0
    request: str = ""
    sha256: str = ""
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class SymbolReport:
    """What became of one symbol.

    Attributes
    ----------
    symbol, stored_as : str
    partitions : tuple of PartitionReport
        Only those that were asked for.
    n_actions : int
        Splits and dividends of the asked days.
    notes : tuple of str
    error : str
        Why the symbol could not be ingested, or not to its end.
    """

    symbol: str
    stored_as: str
    partitions: tuple[PartitionReport, ...] = ()
    n_actions: int = 0
    notes: tuple[str, ...] = ()
    error: str = ""

    @property
    def failed(self) -> bool:
        """Whether anything of it is missing."""
        return bool(self.error) or any(one.outcome == FAILED for one in self.partitions)

    def total(self, name: str) -> int:
        """Return the sum of a count of the partitions, such as ``n_new``."""
        return sum(int(getattr(one, name)) for one in self.partitions)


@dataclass(frozen=True, slots=True)
class IngestionReport:
    """What became of an ingestion; `symbols` in the order asked."""

    source: str
    timeframe: str
    symbols: tuple[SymbolReport, ...]

    @property
    def failed(self) -> tuple[SymbolReport, ...]:
        """Symbols of which something is missing."""
        return tuple(one for one in self.symbols if one.failed)
