"""Bringing a database to the schema of this version of the code.

The migrations are numbered files in ``migrations/versions`` whose revision is
the number in front of their name, so the newest can be known without the cost
of importing Alembic.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from foundation.database import one_line, read_transaction, write_transaction
from foundation.errors import DatabaseError
from foundation.home import CHECKOUT

MIGRATIONS = CHECKOUT / "migrations"

# Any number, as long as all who migrate ask for the same one.
_ADVISORY_LOCK = 7_203_518


def newest_revision(migrations: Path = MIGRATIONS) -> str:
    """Return the revision that the code expects, such as ``0001``."""
    return max(path.name.split("_")[0] for path in (migrations / "versions").glob("[0-9]*.py"))


def revision_of(engine: Engine) -> str | None:
    """Return the database's revision; None when it has no tables of ours."""
    with read_transaction(engine) as connection:
        return _revision(connection)


def migrate(engine: Engine) -> bool:
    """Bring the database to the newest schema, in one transaction.

    Several processes may call it at once: one migrates, the others wait.

    Returns
    -------
    bool
        Whether anything was changed. When nothing was to do this costs one
        query.

    Raises
    ------
    DatabaseError
        If a newer version of the code has written the database, or a
        migration fails; the database is then as it was before.
    """
    if revision_of(engine) == newest_revision():
        return False
    if engine.dialect.name != "sqlite":
        # A serializable transaction would go on seeing the state from before
        # the lock, that is, from before the process that was first.
        relaxed = engine.execution_options(isolation_level="READ COMMITTED")
        with write_transaction(relaxed) as connection:
            connection.execute(
                text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK}
            )
            return _upgrade(connection)
    # Changing a SQLite table means copying it, which must not set off foreign
    # keys; they can be switched only outside a transaction.
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.execute("PRAGMA foreign_keys = OFF")
        try:
            with connection.begin():
                changed = _upgrade(connection)
                broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
                if broken is not None:
                    raise DatabaseError(f"the migration leaves a dangling reference in {broken[0]}")
                return changed
        finally:
            raw.execute("PRAGMA foreign_keys = ON")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _upgrade(connection: Connection) -> bool:
    # Another process may have been first while this one waited for the lock.
    before = _revision(connection)
    if before == newest_revision():
        return False
    if before is not None and before > newest_revision():
        raise DatabaseError(
            f"the database has schema {before}, which is newer than this version's "
            f"{newest_revision()}; use the newer version"
        )
    # Imported here because it takes longer than everything else together.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except (CommandError, DBAPIError) as error:
        reason = one_line(error) if isinstance(error, DBAPIError) else error
        raise DatabaseError(f"the database can't be migrated: {reason}") from error
    return True
