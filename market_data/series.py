"""Files of one series: Parquet parts named by their content, and the list of them.

The list (``series.json``) is what a reader believes; replacing it is the one
moment at which a series changes.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from foundation.errors import DataError
from foundation.files import PARTIAL_SUFFIX, atomic_files, write_text
from foundation.objects import ObjectPath, Place
from market_data.columns import BarColumns, merge_columns
from market_data.provenance import (
    PROVENANCE,
    QUARANTINE,
    REVISIONS,
    PartProvenance,
    Provenance,
    Revision,
    find_revision,
)
from market_data.timeframes import Timeframe

SERIES_FORMAT = 2
WHOLE_SERIES = "all"
_FEWEST_FOR_THREADS = 6
_N_WRITERS = 2
N_REQUESTS_AT_ONCE = 16


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
    provenance, revisions, quarantine : str
        Names of the tables of `market_data.provenance`; empty for none.
    """

    symbol: str
    timeframe: str
    calendar: str
    files: tuple[StoredFile, ...]
    sources: tuple[str, ...]
    provenance: str = ""
    revisions: str = ""
    quarantine: str = ""

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


@contextmanager
def series_lock(folder: Place) -> Iterator[None]:
    """Hold a series against other writers, of this process or another.

    A bucket has no locks: there, whoever replaces ``series.json`` second is
    told so by `replace_series` and does its work again.
    """
    if isinstance(folder, ObjectPath):
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror or error}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def read_series(path: Place) -> Series:
    """Read ``series.json``; DataError if it is damaged."""
    return _series(path, path.read_text("utf-8"))


def read_series_version(path: Place) -> tuple[Series | None, str | None]:
    """Read ``series.json`` if there is one, and what names this version of it in a bucket."""
    try:
        if isinstance(path, ObjectPath):
            content, version = path.read_version()
            return _series(path, content.decode("utf-8")), version
        return read_series(path), None
    except FileNotFoundError:
        return None, None


def _series(path: Place, text: str) -> Series:
    try:
        fields = json.loads(text)
        return Series(
            fields["symbol"],
            fields["timeframe"],
            fields["calendar"],
            tuple(StoredFile(**file) for file in fields["files"]),
            tuple(fields["sources"]),
            # The first format had none of them.
            *(fields.get(kind, "") for kind in (PROVENANCE, REVISIONS, QUARANTINE)),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}") from error


def replace_series(folder: Place, series: Series, version: str | None) -> None:
    """Replace ``series.json``: from now on the series is this one.

    Raises
    ------
    ContentChanged
        In a bucket, if someone else replaced it since this version was read.
    """
    fields = {"format": SERIES_FORMAT, **asdict(series)}
    text = json.dumps(fields, indent=1, sort_keys=True) + "\n"
    path = folder / "series.json"
    if isinstance(path, ObjectPath):
        path.replace_content(text.encode(), version)
    else:
        write_text(path, text)


def remove_unnamed(folder: Place, before: Series | None, after: Series) -> None:
    """Remove what `after` has replaced, and locally what a killed writer left; the lock is held.

    In a bucket an unnamed file may be one that another writer is about to
    name, so there only the files of `before` go.
    """
    named = _file_names(after)
    if isinstance(folder, ObjectPath):
        for name in _file_names(before) - named if before is not None else ():
            (folder / name).unlink(missing_ok=True)
        return
    for pattern in ("*.parquet", f".*{PARTIAL_SUFFIX}"):
        for path in folder.glob(pattern):
            if path.name not in named:
                path.unlink(missing_ok=True)


def _file_names(series: Series) -> set[str]:
    names = {file.name for file in series.files}
    return (names | {series.provenance, series.revisions, series.quarantine}) - {""}


def part_of(file_name: str) -> str:
    """Return the part that a file holds: its month, or ``all``."""
    return file_name.split(".", 1)[0]


def _by_part(frame: Timeframe, stretches: Iterable[BarColumns]) -> Iterator[tuple[str, BarColumns]]:
    """Cut bars into the parts they belong to, however they come."""
    waiting: list[BarColumns] = []
    for columns in stretches:
        if not frame.intraday:
            waiting.append(columns)
            continue
        months = columns.session.astype("datetime64[D]").astype("datetime64[M]")
        starts = np.flatnonzero(np.append(True, months[1:] != months[:-1]))
        stops = np.append(starts[1:], months.shape[0])
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            # The last month of a stretch may go on in the next one.
            if waiting and _month(waiting[-1]) != str(months[start]):
                yield _month(waiting[0]), _joined(waiting)
                waiting = []
            waiting.append(columns.select(slice(start, stop)))
    if waiting:
        yield (_month(waiting[0]) if frame.intraday else WHOLE_SERIES), _joined(waiting)


def _month(columns: BarColumns) -> str:
    return str(columns.session[0].astype("datetime64[D]").astype("datetime64[M]"))


def _joined(stretches: list[BarColumns]) -> BarColumns:
    if len(stretches) == 1:
        return stretches[0]
    return BarColumns.from_tables([columns.to_table() for columns in stretches])


@dataclass(frozen=True, slots=True)
class MergedPart:
    """A part of a series with new bars in it.

    Attributes
    ----------
    part : str
        Month of intraday bars such as ``2024-01``, or ``all``.
    file : StoredFile
        With all its bars; it belongs to no series yet.
    changed : bool
        Whether they are others than before; else the file is the stored one.
    revision : Revision or None
        What is not as it was in bars that were there before.
    n_new, first_ns, last_ns : int
        Number of the bars that came, and open times of their first and last.
    """

    part: str
    file: StoredFile
    changed: bool
    revision: Revision | None
    n_new: int
    first_ns: int
    last_ns: int


def merge_parts(
    folder: Place,
    before: Series | None,
    frame: Timeframe,
    stretches: Iterable[BarColumns],
    overwrite: bool,
) -> dict[str, MergedPart]:
    """Merge new bars into the parts that they touch, and write those that change.

    Parameters
    ----------
    stretches : iterable of BarColumns
        In order of time. Each is asked for when the parts of the one before
        are under way, so that few of them are in memory.

    Raises
    ------
    DataError
        Also what the iterable raises; none of the new files is there then.
    """
    stored = {} if before is None else {part_of(file.name): file for file in before.files}
    merged: dict[str, MergedPart] = {}
    with atomic_files(folder) as write:

        def merge(part: str, new: BarColumns) -> MergedPart:
            return _merge_part(folder, part, stored.get(part), new, overwrite, write)

        parts = _by_part(frame, stretches)
        few = list(itertools.islice(parts, 2))
        if len(few) < 2:
            return {part: merge(part, new) for part, new in few}
        waiting: deque[Future[MergedPart]] = deque()
        with ThreadPoolExecutor(_N_WRITERS) as pool:
            for part, new in itertools.chain(few, parts):
                waiting.append(pool.submit(merge, part, new))
                if len(waiting) > 2 * _N_WRITERS:
                    one = waiting.popleft().result()
                    merged[one.part] = one
            for future in waiting:
                one = future.result()
                merged[one.part] = one
    return merged


def _merge_part(
    folder: Place,
    part: str,
    stored: StoredFile | None,
    new: BarColumns,
    overwrite: bool,
    write: Callable[[str], AbstractContextManager[Path]],
) -> MergedPart:
    came = (new.n_bars, int(new.ts[0]), int(new.ts[-1]))
    if stored is None:
        return MergedPart(part, _write_part(write, part, new, new.digest()), True, None, *came)
    old = BarColumns.from_tables([read_parquet(folder / stored.name)])
    both = merge_columns(old, new, overwrite=overwrite)
    if both.equals(old):
        return MergedPart(part, stored, False, None, *came)
    revision = find_revision(old, both) if overwrite else None
    file = _write_part(write, part, both, both.digest())
    return MergedPart(part, file, True, revision, *came)


def provenance_of(
    merged: dict[str, MergedPart], by: Provenance, known: list[PartProvenance]
) -> list[PartProvenance]:
    """Return what is to be noted of new bars: of parts that changed, or are new to the source."""
    told = {(one.part, one.provenance.source) for one in known}
    return [
        PartProvenance(part, by, one.n_new, one.first_ns, one.last_ns)
        for part, one in merged.items()
        if one.changed or (part, by.source) not in told
    ]


def _write_part(
    write: Callable[[str], AbstractContextManager[Path]],
    part: str,
    columns: BarColumns,
    digest: str,
) -> StoredFile:
    """Write a part under a name of its content."""
    name = f"{part}.{digest[:12]}.parquet"
    table = columns.to_table()
    repeated = [column for column in table.column_names if column not in ("ts", "volume", "halted")]
    # In memory first: each of the many small writes to a file of Python's would
    # wait for the other threads.
    content = pa.BufferOutputStream()
    # Prices of a month repeat and times are evenly apart: so written, files
    # take three fifths of the room and are read in half of the time.
    pq.write_table(
        table,
        content,
        compression="zstd",
        use_dictionary=repeated,
        column_encoding={"ts": "DELTA_BINARY_PACKED"},
        # What bars are asked by; nobody looks for a price.
        write_statistics=["ts", "session"],
    )
    with write(name) as partial:
        partial.write_bytes(content.getvalue())
    return StoredFile(name, columns.n_bars, int(columns.ts[0]), int(columns.ts[-1]))


def read_all(paths: Sequence[Place]) -> list[pa.Table]:
    """Read files of one series; errors are those of `read_parquet`."""
    # Months are small: whole files side by side are faster than the columns
    # of one file side by side.
    in_bucket = bool(paths) and isinstance(paths[0], ObjectPath)
    if len(paths) < (2 if in_bucket else _FEWEST_FOR_THREADS):
        return [read_parquet(path) for path in paths]
    # A request to a bucket waits, a file of this machine is decompressed.
    n_threads = N_REQUESTS_AT_ONCE if in_bucket else min(os.cpu_count() or 1, 8)
    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(read_parquet, paths))


def read_parquet(path: Place) -> pa.Table:
    """Read a Parquet file; DataError if it is damaged, FileNotFoundError if absent."""
    try:
        # A stored file is never changed in place, so that it can be mapped.
        source = path.open() if isinstance(path, ObjectPath) else path
        with pq.ParquetFile(source, memory_map=True) as file:
            return file.read(use_threads=False)
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        first_line = str(error).splitlines()[0]
        raise DataError(f"{path} is damaged or cut off: {first_line}") from error
