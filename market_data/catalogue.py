"""The DuckDB catalogue: SQL over the store's Parquet files.

``<home>/catalogue.duckdb`` holds views over the files that the series name
now, and small tables of what is stored. It can be deleted at any time. It is
rebuilt beside the old one and renamed over it, so that a reader neither waits
nor is locked out; everybody opens it read-only.

Views and tables
----------------
bars : symbol, timeframe, ts, session, open, high, low, close, volume, bid_*, ask_*
actions : symbol, ex_date, split_ratio, dividend, source
series : symbol, timeframe, calendar, rows, first_ts, last_ts, source
instruments : the fields of `trading.instruments.Instrument`
sessions : calendar, date, open, close
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from foundation.files import atomic_file
from foundation.objects import ObjectPath, Place
from market_data.series import Series
from market_data.store import Store
from trading.instruments import Instrument

if TYPE_CHECKING:
    import duckdb

CATALOGUE_NAME = "catalogue.duckdb"
_LAYOUT = "1"


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
    with atomic_file(store.local / CATALOGUE_NAME) as partial:
        connection = duckdb.connect(str(partial))
        try:
            _reach_bucket(connection, store)
            _fill(connection, store, wanted)
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


def _fill(connection: duckdb.DuckDBPyConnection, store: Store, wanted: str) -> None:
    all_series = store.list_series()
    connection.execute("CREATE TABLE catalogue (signature VARCHAR)")
    connection.execute("INSERT INTO catalogue VALUES (?)", [wanted])
    connection.execute(f"CREATE VIEW bars AS {_bars_sql(store, all_series)}")
    connection.execute(f"CREATE VIEW actions AS {_actions_sql(store)}")
    connection.execute(f"CREATE VIEW sessions AS {_sessions_sql(store)}")
    _fill_series(connection, all_series)
    _fill_instruments(connection, store)


def _quoted(path: Place) -> str:
    return "'" + str(path.absolute()).replace("'", "''") + "'"


def _bars_sql(store: Store, all_series: list[Series]) -> str:
    paths = [
        _quoted(store.series_folder(series.symbol, series.timeframe) / file.name)
        for series in all_series
        for file in series.files
    ]
    if not paths:
        return (
            "SELECT ''::VARCHAR AS symbol, ''::VARCHAR AS timeframe, NULL::TIMESTAMPTZ AS ts, "
            "NULL::DATE AS session, 0.0::DOUBLE AS open, 0.0::DOUBLE AS high, "
            "0.0::DOUBLE AS low, 0.0::DOUBLE AS close, 0.0::DOUBLE AS volume WHERE false"
        )
    return (
        "SELECT symbol, timeframe, * EXCLUDE (symbol, timeframe) FROM read_parquet("
        f"[{', '.join(paths)}], hive_partitioning = true, hive_types_autocast = false, "
        "union_by_name = true)"
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


def _fill_series(connection: duckdb.DuckDBPyConnection, all_series: list[Series]) -> None:
    connection.execute(
        "CREATE TABLE series (symbol VARCHAR, timeframe VARCHAR, calendar VARCHAR, rows BIGINT, "
        "first_ts TIMESTAMPTZ, last_ts TIMESTAMPTZ, source VARCHAR)"
    )
    for series in all_series:
        connection.execute(
            "INSERT INTO series VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                series.symbol,
                series.timeframe,
                series.calendar,
                series.rows,
                series.first,
                series.last,
                series.source,
            ],
        )


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
