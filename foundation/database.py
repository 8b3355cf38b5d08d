"""The database: one engine, reading and writing transactions.

The record is a SQLite file by default and PostgreSQL by URL. Both give
serializable transactions: SQLite because a writer takes the write lock before
it reads (``BEGIN IMMEDIATE``), PostgreSQL by its SERIALIZABLE level, where a
transaction that lost a race is run again. Owns no table.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import DatabaseError as DatabaseFileError

from foundation.errors import DatabaseError

BUSY_TIMEOUT_MS = 15_000
_N_ATTEMPTS = 12
_BEGIN_OPTION = "quarterdeck_begin"
# serialization_failure, deadlock_detected
_RACE_LOST = ("40001", "40P01")


def make_engine(url: str) -> Engine:
    """Return an engine for a database that need not exist yet.

    Parameters
    ----------
    url : str
        ``sqlite:///PATH`` or ``postgresql+psycopg://…``. The folder of a
        SQLite file is made.

    Returns
    -------
    Engine
        Every transaction that is begun on it may write. It is lazy: nothing
        connects before the first use.

    Raises
    ------
    DatabaseError
        If the URL is of neither kind, or names an in-memory database, which
        every connection would have for itself.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise DatabaseError("the database URL can't be read; expected sqlite:///PATH") from None
    if parsed.get_backend_name() == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise DatabaseError("the database must be a file, got a SQLite database in memory")
        path = Path(str(parsed.database))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseError(f"cannot make {path.parent}: {error.strerror}") from error
        engine = create_engine(parsed)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if parsed.drivername == "postgresql+psycopg":
        # A connection that the server dropped overnight is found before it is used.
        return create_engine(parsed, isolation_level="SERIALIZABLE", pool_pre_ping=True)
    raise DatabaseError(
        f"the database must be sqlite or postgresql+psycopg, got {parsed.drivername!r}"
    )


@contextmanager
def write_transaction(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that may write; commit at the end of the block.

    An error in the block rolls everything back. On SQLite the block has the
    write lock from its start, so what it reads stays true until it commits.
    On PostgreSQL a block may lose a race against another: use `run_write`,
    which tries again, wherever two may write at once.

    Yields
    ------
    Connection

    Raises
    ------
    DatabaseError
        If the database can't be reached, stays locked, or the race was lost.
    """
    with _reported(engine), engine.begin() as connection:
        yield connection


@contextmanager
def read_transaction(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that sees one state of the database and can't write.

    On SQLite it neither waits for a writer nor holds one up.

    Yields
    ------
    Connection

    Raises
    ------
    DatabaseError
        If the database can't be reached.
    """
    with _reported(engine), engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection = connection.execution_options(**{_BEGIN_OPTION: "BEGIN"})
            with connection.begin():
                connection.exec_driver_sql("PRAGMA query_only = ON")
                try:
                    yield connection
                finally:
                    connection.exec_driver_sql("PRAGMA query_only = OFF")
        else:
            connection = connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            with connection.begin():
                yield connection


def run_write[T](engine: Engine, work: Callable[[Connection], T]) -> T:
    """Run `work` in a writing transaction, again when it lost a race.

    Parameters
    ----------
    engine : Engine
    work : callable
        Takes the connection. May run several times, so it must have no effect
        outside the database.

    Returns
    -------
    What `work` returned in the run that was committed.

    Raises
    ------
    DatabaseError
        If the database can't be reached or stays locked, or the race was lost
        a dozen times.
    """
    for attempt in range(1, _N_ATTEMPTS + 1):
        try:
            with engine.begin() as connection:
                return work(connection)
        except DBAPIError as error:
            if _state(error) not in _RACE_LOST or attempt == _N_ATTEMPTS:
                raise _explain(engine, error) from error
            # Full jitter: the losers of one race don't meet again in the next.
            time.sleep(random.uniform(0.0, min(0.5, 0.005 * 2**attempt)))
    raise AssertionError("unreachable: the last attempt returns or raises")


@contextmanager
def _reported(engine: Engine) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise _explain(engine, error) from error


def _explain(engine: Engine, error: DBAPIError) -> Exception:
    """Return the error to raise: ours when it is about the database's state.

    A violated constraint and a faulty statement stay what they are: the first
    means something to whoever wrote, the second is a defect.
    """
    place = engine.url.render_as_string(hide_password=True)
    reason = one_line(error)
    if _state(error) in _RACE_LOST:
        return DatabaseError(f"another transaction on {place} came first; try again ({reason})")
    # A file that is no database or is damaged is a bare DatabaseError; its
    # other kinds are about what was written.
    if isinstance(error, OperationalError) or type(error) is DatabaseFileError:
        if "no such table" in reason:
            return DatabaseError(f"{place} has no tables yet; run `quarterdeck up` once ({reason})")
        return DatabaseError(f"{place} can't be used: {reason}")
    return error


def one_line(error: DBAPIError) -> str:
    """Return the database's own words, without the statement."""
    said = str(error.orig).strip()
    return said.splitlines()[0] if said else type(error).__name__


def _state(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _set_up_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # Python's driver would begin transactions on its own, and not before a
    # SELECT: two could then pay out the same balance.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    _use_write_ahead_log(connection)
    # A power cut must not lose a committed order.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # Without it REPLACE deletes rows without firing the triggers that protect them.
    connection.execute("PRAGMA recursive_triggers = ON")


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    # The busy timeout doesn't hold for this switch, which needs the file for itself.
    give_up = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.02)


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    connection.exec_driver_sql(options.get(_BEGIN_OPTION, "BEGIN IMMEDIATE"))
