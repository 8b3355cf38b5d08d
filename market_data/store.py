"""The store of market data: Parquet under the data home, whole or unchanged.

Layout::

    <home>/bars/timeframe=1d/symbol=AAPL/series.json, all.<digest>.parquet
    <home>/bars/timeframe=1m/symbol=SIM/series.json, 2024-01.<digest>.parquet
    <home>/actions/AAPL.parquet
    <home>/instruments/AAPL.json
    <home>/sessions/XNYS.parquet
    <home>/catalogue.duckdb

A series is what its ``series.json`` names: new bars are written beside the
old ones and become the series in one rename of that file, so that a reader
sees all of an import or nothing of it, and a killed writer leaves the old
series. Data files are named by a digest of their content; writing the same
bars again changes nothing. Writers of one series wait for each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from foundation.errors import DataError
from foundation.files import PARTIAL_SUFFIX, atomic_file, write_text
from market_data.building import DATED_ACTION
from market_data.calendars import (
    ALWAYS_OPEN,
    FIRST_DATE,
    always_open,
    calendars_version,
    compute_sessions,
)
from market_data.columns import (
    INSTANT,
    BarColumns,
    arrow_column,
    column_values,
    merge_columns,
)
from market_data.sessions import SessionTable, date_of
from market_data.timeframes import DAY_NS, Timeframe, parse_timeframe
from trading.instruments import Instrument

SERIES_FORMAT = 1
WHOLE_SERIES = "all"
_FEWEST_FOR_THREADS = 6


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One Parquet file of a series; times in UTC nanoseconds."""

    name: str
    rows: int
    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class Series:
    """The stored bars of one symbol and timeframe.

    Attributes
    ----------
    symbol, timeframe, calendar : str
        The calendar is the one by which sessions were checked.
    files : tuple of StoredFile
        Oldest first.
    sources : tuple of str
        Where the bars came from, in order of import.
    """

    symbol: str
    timeframe: str
    calendar: str
    files: tuple[StoredFile, ...]
    sources: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Number of bars."""
        return sum(file.rows for file in self.files)

    @property
    def first(self) -> datetime:
        """Open time of the first bar."""
        return _moment(self.files[0].first_ns)

    @property
    def last(self) -> datetime:
        """Open time of the last bar."""
        return _moment(self.files[-1].last_ns)

    @property
    def source(self) -> str:
        """All sources in one line."""
        return "; ".join(self.sources)


def _moment(ns: int) -> datetime:
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC)


class Store:
    """Bars, corporate actions, instruments and sessions under one data home.

    Parameters
    ----------
    home : Path
        Made when the first thing is written.
    """

    def __init__(self, home: Path | str) -> None:
        self.home = Path(home)

    # Series of bars.

    def list_series(self) -> list[Series]:
        """Return all stored series, by symbol and length of timeframe."""
        found = [_read_series(path) for path in self.home.glob("bars/*/*/series.json")]
        return sorted(found, key=lambda s: (s.symbol, parse_timeframe(s.timeframe).length_ns))

    def find_series(self, symbol: str, timeframe: str) -> Series | None:
        """Return one series, or None when nothing is stored of it."""
        path = self.series_folder(symbol, timeframe) / "series.json"
        return _read_series(path) if path.exists() else None

    def symbols(self) -> list[str]:
        """Return the symbols of which bars are stored, sorted."""
        return sorted({series.symbol for series in self.list_series()})

    def timeframes(self, symbol: str) -> list[str]:
        """Return the stored timeframes of a symbol, shortest first."""
        found = self.home.glob(f"bars/*/{_symbol_folder(symbol)}/series.json")
        names = [path.parent.parent.name.removeprefix("timeframe=") for path in found]
        return sorted(names, key=lambda name: parse_timeframe(name).length_ns)

    def write_bars(
        self,
        symbol: str,
        timeframe: str,
        columns: BarColumns,
        *,
        calendar: str,
        source: str,
        overwrite: bool = False,
    ) -> Series:
        """Merge bars into a series.

        Parameters
        ----------
        columns : BarColumns
            Checked bars, oldest first.
        calendar : str
            Must be that of the bars stored before.
        source : str
            Recorded with the series.
        overwrite : bool
            Let the new bars replace stored ones of the same time.

        Returns
        -------
        Series
            As stored now. Bars that were there already, equal to the bit,
            change no file.

        Raises
        ------
        DataError
            If stored bars of the same time have other values, the calendars
            differ, or the disk is full; the series is then as before.
        """
        frame = parse_timeframe(timeframe)
        folder = self.series_folder(symbol, timeframe)
        with _locked(folder):
            before = self.find_series(symbol, timeframe)
            if before is not None and before.calendar != calendar:
                raise DataError(
                    f"stored {timeframe} bars of {symbol} have calendar {before.calendar}, "
                    f"the new ones {calendar}"
                )
            merged, changed = _merge_parts(folder, before, frame, columns, overwrite)
            if before is not None and not changed and source in before.sources:
                _remove_unnamed(folder, before)
                return before
            kept = {} if before is None else {_part_of(file.name): file for file in before.files}
            for part in changed:
                kept[part] = _write_part(folder, part, merged[part])
            sources = () if before is None else before.sources
            if source not in sources:
                sources = (*sources, source)
            after = Series(
                symbol, timeframe, calendar, tuple(kept[part] for part in sorted(kept)), sources
            )
            _write_series(folder, after)
            _remove_unnamed(folder, after)
            return after

    def read_columns(
        self,
        symbol: str,
        timeframe: str,
        *,
        first_ns: int | None = None,
        last_ns: int | None = None,
    ) -> tuple[BarColumns, Series]:
        """Read the stored files that hold bars between two times, whole files.

        Raises
        ------
        DataError
            If the series is not stored, or a file is missing or damaged.
        """
        for attempt in range(3):
            series = self.find_series(symbol, timeframe)
            if series is None:
                raise DataError(self._not_stored(symbol, timeframe))
            folder = self.series_folder(symbol, timeframe)
            wanted = [
                file
                for file in series.files
                if (first_ns is None or file.last_ns >= first_ns)
                and (last_ns is None or file.first_ns <= last_ns)
            ]
            try:
                tables = _read_all([folder / file.name for file in wanted])
            except FileNotFoundError as error:
                # A writer has just put new files in the place of these.
                if attempt == 2:
                    raise DataError(
                        f"a file of the stored {timeframe} bars of {symbol} is missing: {error}"
                    ) from error
                continue
            return BarColumns.from_tables(tables), series
        raise AssertionError("unreachable")

    def _not_stored(self, symbol: str, timeframe: str) -> str:
        there = self.timeframes(symbol)
        if there:
            return f"no {timeframe} bars of {symbol} are stored; there are {', '.join(there)}"
        symbols = self.symbols()
        known = f"stored are {', '.join(symbols[:8])}" if symbols else "the store is empty"
        return f"no bars of {symbol} are stored; {known}"

    def series_folder(self, symbol: str, timeframe: str) -> Path:
        """Return where a series' files are."""
        return self.home / "bars" / f"timeframe={timeframe}" / _symbol_folder(symbol)

    # Instruments.

    def write_instrument(self, instrument: Instrument) -> None:
        """Store an instrument, in the place of the one with its symbol."""
        fields = asdict(instrument)
        for name in ("valid_from", "valid_to"):
            fields[name] = None if fields[name] is None else fields[name].isoformat()
        text = json.dumps(fields, indent=2, sort_keys=True) + "\n"
        path = self.home / "instruments" / f"{_encode(instrument.symbol)}.json"
        if not path.exists() or path.read_text("utf-8") != text:
            write_text(path, text)

    def find_instrument(self, symbol: str) -> Instrument | None:
        """Return a stored instrument, or None."""
        path = self.home / "instruments" / f"{_encode(symbol)}.json"
        if not path.exists():
            return None
        fields = json.loads(path.read_text("utf-8"))
        for name in ("valid_from", "valid_to"):
            if fields[name] is not None:
                fields[name] = date.fromisoformat(fields[name])
        return Instrument(**fields)

    def list_instruments(self) -> list[Instrument]:
        """Return all stored instruments by symbol."""
        symbols = sorted(unquote(path.stem) for path in self.home.glob("instruments/*.json"))
        return [found for symbol in symbols if (found := self.find_instrument(symbol))]

    # Corporate actions.

    def write_actions(self, symbol: str, actions: NDArray[np.void], source: str) -> None:
        """Store the splits and dividends of a symbol in the place of those before.

        Parameters
        ----------
        actions : DATED_ACTION array
            By ex-date.
        source : str
            Recorded with each row.
        """
        table = pa.table(
            {
                "ex_date": arrow_column(actions["ex_date"].astype(np.int32), pa.date32()),
                "split_ratio": arrow_column(actions["split_ratio"], pa.float64()),
                "dividend": arrow_column(actions["dividend"], pa.float64()),
                "source": pa.array([source] * actions.shape[0], pa.string()),
            }
        )
        path = self.home / "actions" / f"{_encode(symbol)}.parquet"
        if path.exists() and _read_parquet(path).equals(table):
            return
        with atomic_file(path) as partial:
            pq.write_table(table, partial, compression="zstd")

    def read_actions(self, symbol: str) -> NDArray[np.void]:
        """Return a symbol's splits and dividends, empty when none are stored."""
        path = self.home / "actions" / f"{_encode(symbol)}.parquet"
        if not path.exists():
            return np.zeros(0, DATED_ACTION)
        table = _read_parquet(path)
        actions = np.zeros(table.num_rows, DATED_ACTION)
        actions["ex_date"] = column_values(table["ex_date"], "i4")
        actions["split_ratio"] = column_values(table["split_ratio"], "f8")
        actions["dividend"] = column_values(table["dividend"], "f8")
        return actions

    # Sessions.

    def sessions(
        self, calendar: str, first_ns: int, last_ns: int, *, refresh: bool = False
    ) -> SessionTable:
        """Return a calendar's sessions, computed once and then kept.

        Parameters
        ----------
        first_ns, last_ns : int
            Instants whose weeks the table must cover.
        refresh : bool
            Compute again if the calendar's source has another version than
            the one kept, which may know new holidays; imports do.
        """
        if calendar == ALWAYS_OPEN:
            return always_open(first_ns // DAY_NS - 15, last_ns // DAY_NS + 15)
        path = self.home / "sessions" / f"{_encode(calendar)}.parquet"
        kept = _read_sessions(path, calendar) if path.exists() else None
        if kept is not None and kept.covers(first_ns, last_ns):
            if not refresh or _sessions_version(path) == calendars_version():
                return kept
        first = min(FIRST_DATE, date_of(first_ns // DAY_NS - 15))
        last = date(date_of(last_ns // DAY_NS + 15).year, 12, 31)
        if kept is not None:
            first, last = min(first, date_of(kept.first_date)), max(last, date_of(kept.last_date))
        table = compute_sessions(calendar, first, last)
        if not table.covers(first_ns, last_ns):
            raise DataError(
                f"calendar {calendar} is known from {date_of(table.first_date)} to "
                f"{date_of(table.last_date)}; the bars reach from {date_of(first_ns // DAY_NS)} "
                f"to {date_of(last_ns // DAY_NS)}"
            )
        _write_sessions(path, table)
        return table


# Files of a series.


def _encode(symbol: str) -> str:
    if not symbol or symbol.strip() != symbol or symbol in (".", ".."):
        raise DataError(f"a symbol must be a word without spaces around it, got {symbol!r}")
    return quote(symbol, safe="^")


def _symbol_folder(symbol: str) -> str:
    return f"symbol={_encode(symbol)}"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a series against other writers, of this process or another."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror or error}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read_series(path: Path) -> Series:
    try:
        fields = json.loads(path.read_text("utf-8"))
        return Series(
            fields["symbol"],
            fields["timeframe"],
            fields["calendar"],
            tuple(StoredFile(**file) for file in fields["files"]),
            tuple(fields["sources"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}") from error


def _write_series(folder: Path, series: Series) -> None:
    fields = {"format": SERIES_FORMAT, **asdict(series)}
    write_text(folder / "series.json", json.dumps(fields, indent=1, sort_keys=True) + "\n")


def _remove_unnamed(folder: Path, series: Series) -> None:
    """Remove replaced files and what a killed writer left; the lock is held."""
    named = {file.name for file in series.files}
    for pattern in ("*.parquet", f".*{PARTIAL_SUFFIX}"):
        for path in folder.glob(pattern):
            if path.name not in named:
                path.unlink(missing_ok=True)


def _part_of(file_name: str) -> str:
    return file_name.split(".", 1)[0]


def _split_by_month(frame: Timeframe, columns: BarColumns) -> dict[str, BarColumns]:
    if not frame.intraday:
        return {WHOLE_SERIES: columns}
    months = columns.session.astype("datetime64[D]").astype("datetime64[M]")
    starts = np.flatnonzero(np.append(True, months[1:] != months[:-1]))
    stops = np.append(starts[1:], months.shape[0])
    return {
        str(months[start]): columns.select(slice(int(start), int(stop)))
        for start, stop in zip(starts, stops, strict=True)
    }


def _merge_parts(
    folder: Path,
    before: Series | None,
    frame: Timeframe,
    columns: BarColumns,
    overwrite: bool,
) -> tuple[dict[str, BarColumns], list[str]]:
    """Return the parts that the new bars touch, and which of them change."""
    stored = {} if before is None else {_part_of(file.name): file for file in before.files}
    merged: dict[str, BarColumns] = {}
    changed: list[str] = []
    for part, new in _split_by_month(frame, columns).items():
        if part not in stored:
            merged[part] = new
            changed.append(part)
            continue
        old = BarColumns.from_tables([_read_parquet(folder / stored[part].name)])
        merged[part] = merge_columns(old, new, overwrite=overwrite)
        if not merged[part].equals(old):
            changed.append(part)
    return merged, changed


def _write_part(folder: Path, part: str, columns: BarColumns) -> StoredFile:
    table = columns.to_table()
    name = f"{part}.{columns.digest()[:12]}.parquet"
    with atomic_file(folder / name) as partial:
        pq.write_table(table, partial, compression="zstd", use_dictionary=["session"])
    return StoredFile(name, columns.n_bars, int(columns.ts[0]), int(columns.ts[-1]))


def _read_all(paths: list[Path]) -> list[pa.Table]:
    # Months are small: whole files side by side are faster than the columns
    # of one file side by side.
    if len(paths) < _FEWEST_FOR_THREADS:
        return [_read_parquet(path) for path in paths]
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        return list(pool.map(_read_parquet, paths))


def _read_parquet(path: Path) -> pa.Table:
    try:
        # A stored file is never changed in place, so that it can be mapped.
        with pq.ParquetFile(path, memory_map=True) as file:
            return file.read(use_threads=False)
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        first_line = str(error).splitlines()[0]
        raise DataError(f"{path} is damaged or cut off: {first_line}") from error


def _read_sessions(path: Path, calendar: str) -> SessionTable:
    table = _read_parquet(path)
    metadata = table.schema.metadata or {}
    return SessionTable(
        calendar,
        int(metadata[b"first_date"]),
        int(metadata[b"last_date"]),
        column_values(table["date"], "i4").astype(np.int64),
        column_values(table["open"], "i8") * 1000,
        column_values(table["close"], "i8") * 1000,
        column_values(table["offset_s"], "i4").astype(np.int64) * 1_000_000_000,
    )


def _sessions_version(path: Path) -> str:
    with pq.ParquetFile(path) as file:
        return (file.schema_arrow.metadata or {}).get(b"version", b"").decode()


def _write_sessions(path: Path, sessions: SessionTable) -> None:
    table = pa.table(
        {
            "date": arrow_column(sessions.date.astype(np.int32), pa.date32()),
            "open": arrow_column(sessions.open // 1000, INSTANT),
            "close": arrow_column(sessions.close // 1000, INSTANT),
            "offset_s": arrow_column(
                (sessions.offset // 1_000_000_000).astype(np.int32), pa.int32()
            ),
        }
    ).replace_schema_metadata(
        {
            "first_date": str(sessions.first_date),
            "last_date": str(sessions.last_date),
            "version": calendars_version(),
        }
    )
    with atomic_file(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def content_digest(parts: list[bytes | NDArray[np.generic]]) -> str:
    """Return the sha256 of the parts' bytes, each with its length before it."""
    digest = hashlib.sha256()
    for part in parts:
        view = part if isinstance(part, bytes) else np.ascontiguousarray(part).view(np.uint8).data
        digest.update(len(view).to_bytes(8, "little"))
        digest.update(view)
    return digest.hexdigest()


def with_calendar(instrument: Instrument, calendar: str) -> Instrument:
    """Return the instrument with a calendar where it had none."""
    return instrument if instrument.calendar else replace(instrument, calendar=calendar)
