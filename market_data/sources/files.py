"""Files as a source: one, or a folder or archive of them, with a rule for symbols.

What a column means, separators, compression and times are the business of
`market_data.reading`; here is which file holds which symbol. A file is an
answer of its own: one that was stored before is known by its sha256 and is
not read again.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np

from foundation.clock import Clock, SystemClock
from foundation.errors import DataError
from market_data.action_records import ACTION_RECORD, as_records
from market_data.actions_file import actions_beside, read_actions_file
from market_data.judging import file_findings
from market_data.opening import ZIP_SUFFIX, file_digest, find_file, list_members
from market_data.raw import RawBars
from market_data.reading import BarFile
from market_data.rows_by_symbol import NoRowsOfSymbol, SymbolRows
from market_data.sources.protocol import (
    BarsRequest,
    FetchedActions,
    FetchedBars,
    Offer,
)

NAME = "file"
FROM_NAME, FROM_COLUMN = "name", "column"

# The symbol is what stands before the first point or underscore of a name.
DEFAULT_PATTERN = r"(?P<symbol>[^._/]+)[^/]*"
# Fewer bars than these cost nothing to check at once.
FEWEST_TO_SPLIT = 200_000
_ENDINGS = (".csv", ".txt", ".tsv", ".parquet", ".pq", ".gz", ".zst", ".bz2")


@dataclass(frozen=True, slots=True)
class FilesSource:
    """Bars from files.

    Parameters
    ----------
    path : Path
        A file, a zip archive of files, or a folder.
    glob : str
        Which files of a folder, such as ``**/*.csv.gz``; archives among them
        are looked into.
    symbol_from : str
        ``name`` when a file's name says whose bars it has, ``column`` when
        files hold several symbols. A single file is always asked by its
        column first.
    pattern : str
        Regular expression over a file's whole name with a group ``symbol``;
        letters count alike, small or large.
    timezone : str
        Of times that state none.
    calendar : str
        Of all the files.
    """

    path: Path
    glob: str = "*"
    symbol_from: str = FROM_NAME
    pattern: str = DEFAULT_PATTERN
    timezone: str = ""
    calendar: str = ""
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        if self.symbol_from not in (FROM_NAME, FROM_COLUMN):
            raise DataError(
                f"symbols come from {FROM_NAME} or {FROM_COLUMN}, got {self.symbol_from!r}"
            )
        try:
            groups = re.compile(self.pattern).groupindex
        except re.error as error:
            raise DataError(f"{self.pattern!r} is no regular expression: {error}") from error
        if "symbol" not in groups:
            raise DataError(f"{self.pattern!r} has no group (?P<symbol>…)")
        if not self.path.exists():
            raise DataError(f"there is no file or folder {self.path}")

    @property
    def name(self) -> str:
        """Return ``file``, as imports note it, too."""
        return NAME

    @property
    def whole_answers(self) -> bool:
        """Return True: each file stands for itself."""
        return True

    def offers(self) -> tuple[Offer, ...]:
        """Return that files have whatever they hold."""
        return (Offer("any"),)

    def calendar_of(self, symbol: str) -> str:
        """Return the calendar that was stated for all the files."""
        return self.calendar

    def symbols(self) -> list[str]:
        """Return the symbols that the names of the files tell, sorted."""
        if self.symbol_from == FROM_COLUMN or self._is_single:
            return []
        return sorted({found.upper() for path in self._files() if (found := self._named(path))})

    def fetch_bars(self, request: BarsRequest) -> Iterator[FetchedBars]:
        """Yield the bars of each file of the symbol, month by month if there are many.

        Raises
        ------
        DataError
            After all others, if files can't be read.
        """
        errors: list[str] = []
        for path in self._files_of(request.symbol):
            label = self._label(path)
            try:
                file = find_file(path)
                digest = file_digest(file)
            except DataError as error:
                errors.append(f"{label}: {error}")
                continue
            if f"{label} {digest}" in request.known:
                continue
            bars = BarFile(file)
            rows = SymbolRows(
                bars,
                wanted=self._column_symbol(request.symbol),
                folder=request.scratch or Path(tempfile.gettempdir()),
            )
            with rows:
                try:
                    rows.read()
                except DataError as error:
                    elsewhere = isinstance(error, NoRowsOfSymbol) and not self._is_single
                    if not elsewhere:
                        errors.append(f"{label}: {error}")
                    continue
                for i_page, raw in enumerate(_pages(rows)):
                    yield FetchedBars(
                        raw=raw,
                        zone=self.timezone,
                        request=label,
                        retrieved_at=self.clock.now(),
                        # Of the bytes that were read, should the file have changed since.
                        sha256=bars.digest,
                        findings=() if i_page else tuple(file_findings(bars)),
                    )
        if errors:
            raise DataError("; ".join(errors))

    def fetch_actions(self, symbol: str, first: date, last: date) -> FetchedActions:
        """Return the splits and dividends of the files that lie beside those of bars."""
        found: list[np.ndarray] = []
        names: list[str] = []
        for path in self._files_of(symbol):
            beside = None if path.parent.suffix.lower() == ZIP_SUFFIX else actions_beside(path)
            if beside is not None and beside.name not in names:
                found.append(as_records(read_actions_file(beside, symbol)))
                names.append(beside.name)
        if not found:
            return FetchedActions()
        records = np.unique(np.concatenate(found).astype(ACTION_RECORD))
        return FetchedActions(records, first, last, ", ".join(names))

    @property
    def _is_single(self) -> bool:
        return self.path.is_file() and self.path.suffix.lower() != ZIP_SUFFIX

    def _column_symbol(self, symbol: str) -> str:
        # A file that is named after its symbol may write it otherwise inside.
        return symbol if self.symbol_from == FROM_COLUMN or self._is_single else ""

    def _files_of(self, symbol: str) -> list[Path]:
        files = self._files()
        if self.symbol_from == FROM_COLUMN or self._is_single:
            return files
        return [path for path in files if self._named(path).upper() == symbol.upper()]

    def _named(self, path: Path) -> str:
        found = re.fullmatch(self.pattern, path.name, re.IGNORECASE)
        return "" if found is None else found["symbol"]

    def _files(self) -> list[Path]:
        """Return the files by name, those in archives as paths through them."""
        if self._is_single:
            return [self.path]
        there = [self.path] if self.path.is_file() else sorted(self.path.glob(self.glob))
        files: list[Path] = []
        for path in there:
            if path.suffix.lower() == ZIP_SUFFIX:
                files += _members(path)
            elif path.is_file() and path.suffix.lower() in _ENDINGS:
                files.append(path)
        return [path for path in files if not _is_of_actions(path)]

    def _label(self, path: Path) -> str:
        folder = self.path if self.path.is_dir() else self.path.parent
        return path.relative_to(folder).as_posix()


def _is_of_actions(path: Path) -> bool:
    return path.name.split(".")[0].endswith("_actions")


def _members(archive: Path) -> list[Path]:
    try:
        names = list_members(archive)
    except DataError as error:
        raise DataError(f"{archive.name}: {error}") from error
    return [archive / name for name in names if Path(name).suffix.lower() in _ENDINGS]


def _pages(rows: SymbolRows) -> Iterator[RawBars]:
    """Yield a symbol's bars month by month as the file writes its times, each judged alone.

    Few bars stay together, as those of days do: decades of them are few.
    """
    (symbol,) = rows.symbols
    if rows.n_rows(symbol) < FEWEST_TO_SPLIT:
        yield rows.load(symbol)
        return
    for month in rows.months(symbol):
        yield rows.load(symbol, month)
