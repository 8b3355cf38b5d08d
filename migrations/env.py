"""Alembic's entry: on the caller's connection, or on the configured database."""

from alembic import context
from sqlalchemy import Connection

import strategies.data_use
import strategies.evidence
import strategies.requests
import strategies.studies
import strategies.tables  # noqa: F401  (declares its tables in the metadata)
from foundation.columns import metadata


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        # SQLite can do it as well, since the engine begins transactions itself.
        transactional_ddl=True,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
elif context.is_offline_mode():
    raise SystemExit("migrations run on a database only; --sql is not supported")
else:
    from foundation.database import make_engine, write_transaction
    from foundation.settings import load_settings

    with write_transaction(make_engine(load_settings().database_url)) as opened:
        run(opened)
