"""What assets are given to work with, made of the platform's settings.

Made when a run needs them, never while definitions load. They are plain
resources without fields of Dagster's own, because its UI shows those to
everyone and the database's URL may hold a password.
"""

from collections.abc import Iterator

from dagster import InitResourceContext, resource
from sqlalchemy import Engine

from assets.requests import ceiling_of
from assets.running import failing_in_one_line
from foundation.clock import Clock, SystemClock
from foundation.database import make_engine
from foundation.memory import memory_ceiling
from foundation.settings import Settings, load_settings
from market_data.store import Store, open_store


@resource(description="The platform's settings, read from QUARTERDECK_… variables.")
def settings(context: InitResourceContext) -> Iterator[Settings]:
    """Read the settings, and hold the run's process to its memory ceiling.

    Every asset needs the settings, and gets them in the process that does its
    work, whichever executor runs it. A sensor or schedule, which has no run,
    works in a process that others share, and gets no ceiling.
    """
    with failing_in_one_line():
        found = load_settings()
        ceiling, facts = None, {}
        if context.run is not None:
            ceiling = ceiling_of(context.run.tags, found.run_memory_bytes_max)
            facts = {"dagster_run_id": context.run.run_id}
    with memory_ceiling(ceiling, home=found.home, facts=facts):
        yield found


@resource(
    description="Bars, corporate actions and instruments under the data home.",
    required_resource_keys={"settings"},
)
def store(context: InitResourceContext) -> Store:
    """Return the store in the data home."""
    return open_store(context.resources.settings.home)


@resource(
    description="The record: strategy versions and their runs (SQLite, or PostgreSQL by URL).",
    required_resource_keys={"settings"},
)
def database(context: InitResourceContext) -> Iterator[Engine]:
    """Yield an engine for the record, and close its connections after the run."""
    with failing_in_one_line():
        engine = make_engine(context.resources.settings.database_url)
    yield engine
    engine.dispose()


@resource(description="The time.")
def clock(_: InitResourceContext) -> Clock:
    """Return the system's clock; a test gives another one."""
    return SystemClock()


RESOURCES = {"settings": settings, "store": store, "database": database, "clock": clock}
