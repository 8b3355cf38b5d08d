"""The DuckDB catalogue: SQL over the store's Parquet files.

``<home>/catalogue.duckdb`` holds views over the files that the series name
now, and small tables of what is stored. It can be deleted at any time. It is
rebuilt beside the old one and renamed over it, so that a reader neither waits
nor is locked out; everybody opens it read-only.

Views and tables
----------------
bars : symbol, timeframe, ts, session, open, high, low, close, volume, bid_*, ask_*
files : symbol, timeframe, path, rows, first_ts, last_ts, columns
actions : symbol, ex_date, split_ratio, dividend, source
series : symbol, timeframe, calendar, rows, first_ts, last_ts, source
instruments : the fields of `trading.instruments.Instrument`
sessions : calendar, date, open, close

`bars` is for questions over many series: each query looks through the names of
all files. Bars of one series are found sooner by `series_sql`, or by SQL alone::

    SET VARIABLE parts = (SELECT list(path ORDER BY first_ts) FROM files
                          WHERE symbol = 'AAPL' AND timeframe = '1m');
    SELECT * FROM read_parquet(getvariable('parts'), union_by_name = true)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from foundation.errors import DataError
from foundation.files import atomic_file
from foundation.objects import ObjectPath, Place
from market_data.columns import INSTANT
from market_data.series import Series, StoredFile
from market_data.store import Store
from trading.instruments import Instrument

if TYPE_CHECKING:
    import duckdb

CATALOGUE_NAME = "catalogue.duckdb"
_LAYOUT = "2"
_N_FOOTERS_AT_ONCE = 8


def open_catalogue(store: Store) -> duckdb.DuckDBPyConnection:
    """Return a read-only connection to an up-to-date catalogue; times are UTC.

    Notes
    -----
    The caller closes it. It sees the store as it was when opened: a file that
    an import has replaced since fails the query, and opening again mends it.
    """
    import duckdb

    wanted = signature(store)
    path = store.local / CATALOGUE_NAME
    if not path.exists() or _stored_signature(path) != wanted:
        wanted = rebuild_catalogue(store)
    connection = duckdb.connect(str(path), read_only=True)
    if _signature_in(connection) != wanted:
        # DuckDB gives one process one instance per path, so another connection
        # of this process still holds the file that was renamed over.
        connection.close()
        connection = duckdb.connect(":memory:")
        _reach_bucket(connection, store)
        _fill(connection, store, wanted)
    connection.execute("SET TimeZone = 'UTC'")
    _reach_bucket(connection, store)
    return connection


def _reach_bucket(connection: duckdb.DuckDBPyConnection, store: Store) -> None:
    """Let DuckDB read from the store's bucket, through Arrow: its own extension is a download."""
    if not isinstance(store.home, ObjectPath):
        return
    from fsspec.implementations.arrow import ArrowFSWrapper

    class _Bucket(ArrowFSWrapper):
        protocol = "s3"

    connection.register_filesystem(_Bucket(store.home.arrow_filesystem()))


def rebuild_catalogue(store: Store) -> str:
    """Write the catalogue anew and return its signature."""
    import duckdb

    wanted = signature(store)
    known = _known_columns(store.local / CATALOGUE_NAME)
    with atomic_file(store.local / CATALOGUE_NAME) as partial:
        connection = duckdb.connect(str(partial))
        try:
            _reach_bucket(connection, store)
            _fill(connection, store, wanted, known)
        finally:
            connection.close()
    return wanted


def signature(store: Store) -> str:
    """Return a digest of what the catalogue must show: which files are whose."""
    digest = hashlib.sha256(f"{_LAYOUT} {store.home.absolute()}".encode())
    patterns = ("bars/*/*/series.json", "instruments/*.json")
    if isinstance(store.home, ObjectPath):
        # A listing names the versions; to read them all would be a request for each.
        tables = ("actions/*.parquet", "sessions/*.parquet")
        found = (one for name in (*patterns, *tables) for one in store.home.glob_versions(name))
        for place, version in sorted(found):
            digest.update(f"{place} {version}".encode())
        return digest.hexdigest()
    for path in sorted(p for pattern in patterns for p in store.home.glob(pattern)):
        digest.update(path.read_bytes())
    for path in sorted(
        p for name in ("actions", "sessions") for p in store.home.glob(f"{name}/*.parquet")
    ):
        digest.update(f"{path.name} {path.stat().st_mtime_ns} {path.stat().st_size}".encode())
    return digest.hexdigest()


def _files(store: Store, folder: str) -> list[Place]:
    found: Iterator[Place] = store.home.glob(f"{folder}/*.parquet")
    return sorted(found)


def _stored_signature(path: Path) -> str:
    import duckdb

    try:
        connection = duckdb.connect(str(path), read_only=True)
    except duckdb.Error:
        # Damaged, or of another version of DuckDB: it is rebuilt.
        return ""
    try:
        return _signature_in(connection)
    finally:
        connection.close()


def _signature_in(connection: duckdb.DuckDBPyConnection) -> str:
    import duckdb

    try:
        row = connection.execute("SELECT signature FROM catalogue").fetchone()
    except duckdb.Error:
        return ""
    return "" if row is None else str(row[0])


def _fill(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    wanted: str,
    known: Mapping[str, str] | None = None,
) -> None:
    all_series = store.list_series()
    files = _stored_files(store, all_series, known or {})
    connection.begin()
    connection.execute("CREATE TABLE catalogue (signature VARCHAR)")
    connection.execute("INSERT INTO catalogue VALUES (?)", [wanted])
    connection.execute(f"CREATE VIEW bars AS {_bars_sql(files)}")
    connection.execute(f"CREATE VIEW actions AS {_actions_sql(store)}")
    connection.execute(f"CREATE VIEW sessions AS {_sessions_sql(store)}")
    _fill_files(connection, files)
    _fill_series(connection, all_series)
    _fill_instruments(connection, store)
    connection.commit()


@dataclass(frozen=True, slots=True)
class _File:
    """A file of a series, and the names of its columns in one line."""

    series: Series
    stored: StoredFile
    path: str
    columns: str


def _stored_files(store: Store, all_series: list[Series], known: Mapping[str, str]) -> list[_File]:
    """Return the files of all series; only those that are new are opened for their columns."""
    found = [
        (series, file, store.series_folder(series.symbol, series.timeframe) / file.name)
        for series in all_series
        for file in series.files
    ]

    def columns(place: Place) -> str:
        # A file is named by its content, so that what is known of a name stays true.
        return known.get(str(place.absolute())) or _columns_of(place)

    with ThreadPoolExecutor(_N_FOOTERS_AT_ONCE) as pool:
        names = pool.map(columns, [place for _, _, place in found])
        return [
            _File(series, file, str(place.absolute()), text)
            for (series, file, place), text in zip(found, names, strict=True)
        ]


def _columns_of(place: Place) -> str:
    try:
        with pq.ParquetFile(place.open() if isinstance(place, ObjectPath) else place) as file:
            return " ".join(file.schema_arrow.names)
    except (OSError, pa.ArrowException) as error:
        first_line = str(error).splitlines()[0]
        raise DataError(f"{place} is damaged or missing: {first_line}") from error


def _known_columns(path: Path) -> dict[str, str]:
    """Return the columns of each file that the catalogue before has seen."""
    import duckdb

    if not path.exists():
        return {}
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            return dict(connection.execute("SELECT path, columns FROM files").fetchall())
    except duckdb.Error:
        # Damaged, of another layout or of another version of DuckDB.
        return {}


def series_sql(
    connection: duckdb.DuckDBPyConnection,
    symbol: str,
    timeframe: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> str:
    """Return SQL for the bars of one series, which opens the files that hold them only.

    Parameters
    ----------
    connection : connection
        From `open_catalogue`.
    start, end : datetime, optional
        Aware; open times from `start` on and before `end`.

    Raises
    ------
    DataError
        If the series is not stored, or has no bars of the time.
    """
    found = connection.execute(
        "SELECT path FROM files WHERE symbol = $symbol AND timeframe = $timeframe "
        "AND ($start IS NULL OR last_ts >= $start) AND ($end IS NULL OR first_ts < $end) "
        "ORDER BY first_ts",
        {"symbol": symbol, "timeframe": timeframe, "start": start, "end": end},
    ).fetchall()
    if not found:
        raise DataError(f"no {timeframe} bars of {symbol} are stored of that time")
    paths = ", ".join(_quoted_text(row[0]) for row in found)
    conditions = [
        f"ts {sign} TIMESTAMPTZ {_quoted_text(moment.isoformat())}"
        for sign, moment in ((">=", start), ("<", end))
        if moment is not None
    ]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return (
        f"SELECT * FROM read_parquet([{paths}], union_by_name = true, hive_partitioning = false)"
        f"{where} ORDER BY ts"
    )


def _quoted(path: Place) -> str:
    return _quoted_text(str(path.absolute()))


def _quoted_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _bars_sql(files: list[_File]) -> str:
    if not files:
        return (
            "SELECT ''::VARCHAR AS symbol, ''::VARCHAR AS timeframe, NULL::TIMESTAMPTZ AS ts, "
            "NULL::DATE AS session, 0.0::DOUBLE AS open, 0.0::DOUBLE AS high, "
            "0.0::DOUBLE AS low, 0.0::DOUBLE AS close, 0.0::DOUBLE AS volume WHERE false"
        )
    by_columns: dict[str, list[str]] = {}
    for file in files:
        by_columns.setdefault(file.columns, []).append(_quoted_text(file.path))
    # DuckDB opens one file of each kind to learn the columns, where it would
    # open all of them to unite them by name.
    return " UNION ALL BY NAME ".join(
        "SELECT symbol, timeframe, * EXCLUDE (symbol, timeframe) FROM read_parquet("
        f"[{', '.join(paths)}], hive_partitioning = true, hive_types_autocast = false)"
        for paths in by_columns.values()
    )


def _per_file(paths: list[Place], name: str) -> str:
    """Return one SELECT per file, each with its name as a column."""
    parts = []
    for path in paths:
        word = unquote(path.stem).replace("'", "''")
        parts.append(f"SELECT '{word}' AS {name}, * FROM read_parquet({_quoted(path)})")
    # By name: actions have columns that not every source states.
    return " UNION ALL BY NAME ".join(parts)


def _actions_sql(store: Store) -> str:
    return _per_file(_files(store, "actions"), "symbol") or (
        "SELECT ''::VARCHAR AS symbol, NULL::DATE AS ex_date, 1.0::DOUBLE AS split_ratio, "
        "0.0::DOUBLE AS dividend, ''::VARCHAR AS source WHERE false"
    )


def _sessions_sql(store: Store) -> str:
    return _per_file(_files(store, "sessions"), "calendar") or (
        "SELECT ''::VARCHAR AS calendar, NULL::DATE AS date, NULL::TIMESTAMPTZ AS open, "
        "NULL::TIMESTAMPTZ AS close, 0::INTEGER AS offset_s WHERE false"
    )


def _fill_files(connection: duckdb.DuckDBPyConnection, files: list[_File]) -> None:
    rows = pa.table(
        {
            "symbol": pa.array([file.series.symbol for file in files], pa.string()),
            "timeframe": pa.array([file.series.timeframe for file in files], pa.string()),
            "path": pa.array([file.path for file in files], pa.string()),
            "rows": pa.array([file.stored.rows for file in files], pa.int64()),
            "first_ts": _instants([file.stored.first_ns for file in files]),
            "last_ts": _instants([file.stored.last_ns for file in files]),
            "columns": pa.array([file.columns for file in files], pa.string()),
        }
    )
    _insert(connection, "files", rows)


def _fill_series(connection: duckdb.DuckDBPyConnection, all_series: list[Series]) -> None:
    rows = pa.table(
        {
            "symbol": pa.array([one.symbol for one in all_series], pa.string()),
            "timeframe": pa.array([one.timeframe for one in all_series], pa.string()),
            "calendar": pa.array([one.calendar for one in all_series], pa.string()),
            "rows": pa.array([one.rows for one in all_series], pa.int64()),
            "first_ts": _instants([one.files[0].first_ns for one in all_series]),
            "last_ts": _instants([one.files[-1].last_ns for one in all_series]),
            "source": pa.array([one.source for one in all_series], pa.string()),
        }
    )
    _insert(connection, "series", rows)


def _instants(ns: list[int]) -> pa.Array:
    return pa.array([value // 1000 for value in ns], pa.int64()).cast(INSTANT)


def _insert(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    """Make a table of rows all at once: thousands of single ones take seconds."""
    connection.register("new_rows", rows)
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM new_rows")
    connection.unregister("new_rows")


def _fill_instruments(connection: duckdb.DuckDBPyConnection, store: Store) -> None:
    types = {"float": "DOUBLE", "bool": "BOOLEAN", "date | None": "DATE"}
    columns = [
        f"{field.name} {types.get(str(field.type), 'VARCHAR')}" for field in fields(Instrument)
    ]
    connection.execute(f"CREATE TABLE instruments ({', '.join(columns)})")
    marks = ", ".join("?" for _ in columns)
    for instrument in store.list_instruments():
        connection.execute(
            f"INSERT INTO instruments VALUES ({marks})", list(asdict(instrument).values())
        )
