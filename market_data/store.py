"""The store of market data: Parquet under the data home, whole or unchanged.

Layout::

    <home>/bars/timeframe=1d/symbol=AAPL/series.json, all.<digest>.parquet
    <home>/bars/timeframe=1m/symbol=SIM/series.json, 2024-01.<digest>.parquet
    <home>/bars/timeframe=1d/symbol=AAPL%40yahoo/…        a second source of AAPL
    <home>/actions/AAPL.parquet
    <home>/instruments/AAPL.json
    <home>/sessions/XNYS.parquet
    <home>/catalogue.duckdb

A series is what its ``series.json`` names: new bars are written beside the
old ones and become the series in one rename of that file, so that a reader
sees all of an import or nothing of it, and a killed writer leaves the old
series. Data files are named by a digest of their content; writing the same
bars again changes nothing. Writers of one series wait for each other. Where
bars came from, what was revised and what nobody should trade on stands in
tables beside them (`market_data.provenance`).
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import date, datetime
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from foundation.clock import Clock, SystemClock
from foundation.errors import DataError
from foundation.files import atomic_file, write_text
from foundation.home import data_home, store_url
from foundation.objects import SCHEME, ContentChanged, ObjectPath, Place
from foundation.rewriting import rewrite
from market_data.action_records import (
    ACTION_RECORD,
    known_actions,
    records_of_table,
    table_of_actions,
)
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
)
from market_data.provenance import (
    PROVENANCE,
    QUARANTINE,
    REVISIONS,
    PartProvenance,
    Provenance,
    parts_of_rows,
    provenance_rows,
    quarantine_rows,
    read_records,
    released,
    revision_rows,
    without,
    write_records,
)
from market_data.provenance import in_force as bars_in_force
from market_data.series import (
    N_REQUESTS_AT_ONCE,
    Series,
    merge_parts,
    part_of,
    provenance_of,
    read_all,
    read_parquet,
    read_series,
    read_series_version,
    remove_unnamed,
    replace_series,
    series_lock,
)
from market_data.sessions import SessionTable, date_of
from market_data.timeframes import DAY_NS, parse_timeframe
from trading.instruments import Instrument

__all__ = [
    "Series",
    "Store",
    "base_symbol",
    "content_digest",
    "open_store",
    "source_of",
    "with_calendar",
]

# Between an instrument and the source of its bars, where several sources are stored.
SOURCE_MARK = "@"
# A writer of a bucket that was not alone begins again, at most so often.
_N_TRIES = 20

# From the tables of quarantine and of revisions, these with what changes now,
# to rows that are new in quarantine; may be asked again where another writer
# was faster.
ToQuarantine = Callable[[pa.Table, pa.Table], pa.Table]


class Store:
    """Bars, corporate actions, instruments and sessions under one data home.

    Parameters
    ----------
    home : Path, ObjectPath or str
        Made when the first thing is written. A text ``s3://bucket/folder`` is
        a folder in an object store.
    local : Path, optional
        Folder of this machine for what is made of the store and may be
        deleted, such as the catalogue; `home` itself if it is one.
    clock : Clock, optional
        For the times at which bars change and are loaded.
    """

    def __init__(
        self, home: Place | str, *, local: Path | None = None, clock: Clock | None = None
    ) -> None:
        if isinstance(home, str):
            home = ObjectPath.of(home) if home.startswith(SCHEME) else Path(home)
        self.home = home
        self.local = local or (data_home() if isinstance(home, ObjectPath) else home)
        self.clock = clock or SystemClock()

    # Series of bars.

    def list_series(self) -> list[Series]:
        """Return all stored series, by symbol and length of timeframe."""
        found = self._read_lists(list(self.home.glob("bars/*/*/series.json")))
        return sorted(found, key=lambda s: (s.symbol, parse_timeframe(s.timeframe).length_ns))

    def find_series(self, symbol: str, timeframe: str) -> Series | None:
        """Return one series, or None when nothing is stored of it."""
        return read_series_version(self.series_folder(symbol, timeframe) / "series.json")[0]

    def _read_lists(self, paths: Sequence[Place]) -> list[Series]:
        if not isinstance(self.home, ObjectPath):
            return [read_series(path) for path in paths]
        # Each is a request that waits.
        with ThreadPoolExecutor(N_REQUESTS_AT_ONCE) as pool:
            return list(pool.map(read_series, paths))

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
        columns: BarColumns | Callable[[], Iterable[BarColumns]],
        *,
        calendar: str,
        source: str,
        overwrite: bool = False,
        provenance: Provenance | None = None,
        quarantine: ToQuarantine | None = None,
    ) -> Series:
        """Merge bars into a series.

        Parameters
        ----------
        columns : BarColumns or callable
            Checked bars, oldest first; or what gives them stretch by stretch,
            anew each time it is called, for more bars than fit into memory.
            Whatever it raises leaves the series as before.
        calendar : str
            Must be that of the bars stored before.
        source : str
            Recorded with the series, for people.
        overwrite : bool
            Let the new bars replace stored ones of the same time; what
            changes is kept as a revision.
        provenance : Provenance, optional
            Recorded with each part that changes, or is new to its source.
        quarantine : callable, optional
            Tells which of the bars nobody should trade on. They go into
            quarantine in the one step that stores the bars, so that there is
            no moment at which they can be read as good ones.

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

        def change(before: Series | None) -> Series | None:
            if before is not None and before.calendar != calendar:
                raise DataError(
                    f"stored {timeframe} bars of {symbol} have calendar {before.calendar}, "
                    f"the new ones {calendar}"
                )
            stretches = (columns,) if isinstance(columns, BarColumns) else columns()
            merged = merge_parts(folder, before, frame, stretches, overwrite)
            known = [] if before is None else self._read_provenance(folder, before)
            noted = [] if provenance is None else provenance_of(merged, provenance, known)
            changed = [part for part, one in merged.items() if one.changed]
            kept = {} if before is None else {part_of(file.name): file for file in before.files}
            for part in changed:
                kept[part] = merged[part].file
            sources = () if before is None else before.sources
            if source not in sources:
                sources = (*sources, source)
            after = Series(
                symbol,
                timeframe,
                calendar,
                tuple(kept[part] for part in sorted(kept)),
                sources,
                *(("", "", "") if before is None else _record_names(before)),
            )
            if noted:
                table = provenance_rows([*known, *noted])
                after = replace(after, provenance=write_records(folder, PROVENANCE, table))
            revised = [one.revision for one in merged.values() if one.revision is not None]
            if any(one.ts.shape[0] for one in revised):
                by = provenance or Provenance(source, "", self.clock.now(), "")
                rows = [read_records(folder, after.revisions, REVISIONS)]
                # Bars are as they were until now, however long ago the answer came.
                rows.append(revision_rows(revised, by, at=self.clock.now()))
                name = write_records(folder, REVISIONS, pa.concat_tables(rows))
                after = replace(after, revisions=name)
            if quarantine is not None:
                held = read_records(folder, after.quarantine, QUARANTINE)
                new = quarantine(held, read_records(folder, after.revisions, REVISIONS))
                if new.num_rows:
                    name = write_records(folder, QUARANTINE, pa.concat_tables([held, new]))
                    after = replace(after, quarantine=name)
            return after

        after = self._change_series(symbol, timeframe, change)
        if after is None:
            raise AssertionError("writing bars always leaves a series")
        return after

    def _change_series(
        self, symbol: str, timeframe: str, change: Callable[[Series | None], Series | None]
    ) -> Series | None:
        """Let `change` make a new series of the stored one, alone or again if it was not alone.

        It writes its files beside the old ones; the last step names them. The
        same series given back changes nothing.
        """
        folder = self.series_folder(symbol, timeframe)
        for _ in range(_N_TRIES):
            with series_lock(folder):
                before, version = read_series_version(folder / "series.json")
                try:
                    after = change(before)
                except FileNotFoundError:
                    # In a bucket, someone else may have replaced what was about to be read.
                    if read_series_version(folder / "series.json")[1] == version:
                        raise
                    continue
                if after is None:
                    return before
                if after != before:
                    try:
                        replace_series(folder, after, version)
                    except ContentChanged:
                        continue
                remove_unnamed(folder, before, after)
                return after
        raise DataError(
            f"the {timeframe} bars of {symbol} are written by others all the time; try again"
        )

    # What is known of stored bars.

    def read_provenance(self, symbol: str, timeframe: str) -> list[PartProvenance]:
        """Return where the bars of each part came from, in the order in which they came."""
        return self._read_provenance(
            self.series_folder(symbol, timeframe), self._series(symbol, timeframe)
        )

    def _read_provenance(self, folder: Place, series: Series) -> list[PartProvenance]:
        return parts_of_rows(read_records(folder, series.provenance, PROVENANCE))

    def read_revisions(self, symbol: str, timeframe: str) -> pa.Table:
        """Return what sources changed in stored bars.

        Returns
        -------
        pyarrow.Table
            A row for each field of each bar: ts, field, old, new, source,
            request, sha256, revised_at.
        """
        series = self._series(symbol, timeframe)
        return read_records(self.series_folder(symbol, timeframe), series.revisions, REVISIONS)

    def read_quarantine(self, symbol: str, timeframe: str, *, in_force: bool = True) -> pa.Table:
        """Return the bars that nobody should trade on.

        Parameters
        ----------
        in_force : bool
            Leave out the ones that were released.

        Returns
        -------
        pyarrow.Table
            ts, reason, quarantined_by, quarantined_at, released_by,
            released_at.
        """
        series = self._series(symbol, timeframe)
        folder = self.series_folder(symbol, timeframe)
        table = read_records(folder, series.quarantine, QUARANTINE)
        return bars_in_force(table) if in_force else table

    def quarantine(
        self,
        symbol: str,
        timeframe: str,
        ts: NDArray[np.int64],
        *,
        reason: str,
        by: str,
        at: datetime,
    ) -> int:
        """Keep stored bars from being traded on, and return how many are new in quarantine.

        Parameters
        ----------
        ts : int64 array, shape (n,)
            Open times of stored bars, UTC nanoseconds.
        reason, by : str
            Why, and who says so.
        at : datetime
            Aware.

        Raises
        ------
        DataError
            If no reason is given, or no bar is stored at one of the times.
        """
        if not reason.strip():
            raise DataError("bars go into quarantine for a reason; state it")
        asked = np.unique(np.asarray(ts, np.int64))
        columns, _ = self.read_columns(symbol, timeframe, with_quarantined=True)
        unknown = asked[~np.isin(asked, columns.ts)]
        if unknown.shape[0]:
            raise DataError(
                f"no {timeframe} bar of {symbol} is stored at "
                f"{np.datetime64(int(unknown[0]) // 1000, 'us')}Z"
            )

        def add(table: pa.Table) -> tuple[pa.Table, int]:
            there = column_values(bars_in_force(table)["ts"], "i8") * 1000
            new = asked[~np.isin(asked, there)]
            rows = quarantine_rows(new, reason=reason, by=by, at=at)
            return pa.concat_tables([table, rows]), int(new.shape[0])

        return self._change_quarantine(symbol, timeframe, add)

    def release(
        self, symbol: str, timeframe: str, ts: NDArray[np.int64], *, by: str, at: datetime
    ) -> int:
        """Let bars out of quarantine, and return how many; that they were in it stays noted."""
        times = np.asarray(ts, np.int64)
        return self._change_quarantine(
            symbol, timeframe, lambda table: released(table, times, by=by, at=at)
        )

    def _change_quarantine(
        self, symbol: str, timeframe: str, change: Callable[[pa.Table], tuple[pa.Table, int]]
    ) -> int:
        folder = self.series_folder(symbol, timeframe)
        n_changed = 0

        def rewrite(before: Series | None) -> Series | None:
            nonlocal n_changed
            if before is None:
                raise DataError(self._not_stored(symbol, timeframe))
            table, n_changed = change(read_records(folder, before.quarantine, QUARANTINE))
            if not n_changed:
                return None
            return replace(before, quarantine=write_records(folder, QUARANTINE, table))

        self._change_series(symbol, timeframe, rewrite)
        return n_changed

    def _series(self, symbol: str, timeframe: str) -> Series:
        series = self.find_series(symbol, timeframe)
        if series is None:
            raise DataError(self._not_stored(symbol, timeframe))
        return series

    def read_columns(
        self,
        symbol: str,
        timeframe: str,
        *,
        first_ns: int | None = None,
        last_ns: int | None = None,
        with_quarantined: bool = False,
    ) -> tuple[BarColumns, Series]:
        """Read the stored files that hold bars between two times, whole files.

        Bars in quarantine are left out unless they are asked for.

        Raises
        ------
        DataError
            If the series is not stored, or a file is missing or damaged.
        """
        for attempt in range(3):
            series = self._series(symbol, timeframe)
            folder = self.series_folder(symbol, timeframe)
            wanted = [
                file
                for file in series.files
                if (first_ns is None or file.last_ns >= first_ns)
                and (last_ns is None or file.first_ns <= last_ns)
            ]
            try:
                tables = read_all([folder / file.name for file in wanted])
                columns = BarColumns.from_tables(tables)
                if series.quarantine and not with_quarantined:
                    columns = without(columns, read_records(folder, series.quarantine, QUARANTINE))
            except FileNotFoundError as error:
                # A writer has just put new files in the place of these.
                if attempt == 2:
                    raise DataError(
                        f"a file of the stored {timeframe} bars of {symbol} is missing: {error}"
                    ) from error
                continue
            return columns, series
        raise AssertionError("unreachable")

    def _not_stored(self, symbol: str, timeframe: str) -> str:
        there = self.timeframes(symbol)
        if there:
            return f"no {timeframe} bars of {symbol} are stored; there are {', '.join(there)}"
        symbols = self.symbols()
        if not symbols:
            return (
                f"no bars of {symbol} are stored; the store is empty: `quarterdeck import sample` "
                "brings the sample set"
            )
        known = f"stored are {', '.join(symbols[:8])}"
        return f"no bars of {symbol} are stored; {known}"

    def series_folder(self, symbol: str, timeframe: str) -> Place:
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
        """Return a stored instrument, or None.

        Bars of one source (``AAPL@yahoo``) have the instrument of the plain
        symbol, unless one is stored of their own.
        """
        path = self.home / "instruments" / f"{_encode(symbol)}.json"
        if not path.exists():
            base = base_symbol(symbol)
            found = None if base == symbol else self.find_instrument(base)
            return None if found is None else replace(found, symbol=symbol)
        fields = json.loads(path.read_text("utf-8"))
        for name in ("valid_from", "valid_to"):
            if fields[name] is not None:
                fields[name] = date.fromisoformat(fields[name])
        return Instrument(**fields)

    def list_instruments(self) -> list[Instrument]:
        """Return all stored instruments by symbol."""
        paths: Iterator[Place] = self.home.glob("instruments/*.json")
        symbols = sorted(unquote(path.stem) for path in paths)
        return [found for symbol in symbols if (found := self.find_instrument(symbol))]

    # Corporate actions.

    def write_actions(self, symbol: str, actions: NDArray[np.void], source: str) -> None:
        """Store the splits and dividends of a symbol in the place of those before.

        Parameters
        ----------
        actions : DATED_ACTION or ACTION_RECORD array
            By ex-date; records tell kind and day of announcement, too.
        source : str
            Recorded with each row.
        """
        self.change_actions(symbol, lambda _: actions, source)

    def change_actions(
        self,
        symbol: str,
        change: Callable[[NDArray[np.void]], NDArray[np.void]],
        source: str,
    ) -> NDArray[np.void]:
        """Store what `change` makes of a symbol's stored actions, and lose nobody's.

        Parameters
        ----------
        change : callable
            Takes what `read_action_records` gives; given back as it is, it
            changes nothing. May be called again where another writer was
            faster.
        source : str
            Recorded with each row where something changes.

        Returns
        -------
        ACTION_RECORD or DATED_ACTION array
            As stored now.
        """
        after: NDArray[np.void] = np.zeros(0, ACTION_RECORD)

        def rewritten(content: bytes | None) -> bytes | None:
            nonlocal after
            before = self._action_records(path, symbol, content)
            after = change(before)
            if after is before:
                return None
            table = table_of_actions(after, source)
            if content is not None and _read_actions(path, content).equals(table):
                return None
            buffer = io.BytesIO()
            pq.write_table(table, buffer, compression="zstd")
            return buffer.getvalue()

        path = self.home / "actions" / f"{_encode(symbol)}.parquet"
        rewrite(path, rewritten)
        return after

    def read_actions(self, symbol: str) -> NDArray[np.void]:
        """Return a symbol's splits and dividends by ex-date, empty when none are stored."""
        return known_actions(self.read_action_records(symbol))

    def read_action_records(self, symbol: str) -> NDArray[np.void]:
        """Return a symbol's splits and dividends as ACTION_RECORDs, with all that is stated.

        Bars of one source (``AAPL@yahoo``) have those of the plain symbol,
        unless some are stored of their own.
        """
        path = self.home / "actions" / f"{_encode(symbol)}.parquet"
        try:
            content: bytes | None = path.read_bytes()
        except FileNotFoundError:
            content = None
        return self._action_records(path, symbol, content)

    def _action_records(self, path: Place, symbol: str, content: bytes | None) -> NDArray[np.void]:
        if content is not None:
            return records_of_table(_read_actions(path, content))
        base = base_symbol(symbol)
        return np.zeros(0, ACTION_RECORD) if base == symbol else self.read_action_records(base)

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


def open_store(home: Path) -> Store:
    """Return the store of a data home: in it, or where ``QUARTERDECK_STORE_URL`` says."""
    return Store(store_url() or home, local=home)


def base_symbol(symbol: str) -> str:
    """Return the instrument that a symbol names: ``AAPL`` for ``AAPL@yahoo``.

    Examples
    --------
    >>> base_symbol("AAPL@yahoo"), base_symbol("AAPL")
    ('AAPL', 'AAPL')
    """
    return symbol.split(SOURCE_MARK, 1)[0] or symbol


def source_of(symbol: str) -> str:
    """Return the source that a symbol names: ``yahoo`` for ``AAPL@yahoo``, else nothing.

    Examples
    --------
    >>> source_of("AAPL@yahoo"), source_of("AAPL")
    ('yahoo', '')
    """
    return symbol.partition(SOURCE_MARK)[2]


def _record_names(series: Series) -> tuple[str, str, str]:
    return series.provenance, series.revisions, series.quarantine


def _encode(symbol: str) -> str:
    if not symbol or symbol.strip() != symbol or symbol in (".", ".."):
        raise DataError(f"a symbol must be a word without spaces around it, got {symbol!r}")
    return quote(symbol, safe="^")


def _symbol_folder(symbol: str) -> str:
    return f"symbol={_encode(symbol)}"


def _read_actions(path: Place, content: bytes) -> pa.Table:
    try:
        # Not `read_table`: it imports pandas.
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            return file.read(use_threads=False)
    except pa.ArrowException as error:
        first_line = str(error).splitlines()[0]
        raise DataError(f"{path} is damaged or cut off: {first_line}") from error


def _read_sessions(path: Place, calendar: str) -> SessionTable:
    table = read_parquet(path)
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


def _sessions_version(path: Place) -> str:
    with pq.ParquetFile(path.open() if isinstance(path, ObjectPath) else path) as file:
        return (file.schema_arrow.metadata or {}).get(b"version", b"").decode()


def _write_sessions(path: Place, sessions: SessionTable) -> None:
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
