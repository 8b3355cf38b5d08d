"""Fixtures for all tests: a data home of their own, databases of both kinds."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import Engine, text

from foundation.database import make_engine, write_transaction
from foundation.migration import migrate
from foundation.settings import Settings, load_settings
from tests.postgres_server import HOW_TO_INSTALL, find_binaries, running_postgres


def missing(what: str, how_to_install: str) -> NoReturn:
    """Fail in CI, where everything must be tested; elsewhere skip and say what brings it."""
    message = f"{what} is not on this machine; to run this test: {how_to_install}"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the developer's settings; a test sets what it needs."""
    for name in [name for name in os.environ if name.startswith("QUARTERDECK_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a data home of the test's own, also for the processes it starts."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("QUARTERDECK_HOME", str(folder))
    return folder


@pytest.fixture
def settings(home: Path) -> Settings:
    return load_settings()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Start one PostgreSQL for the session; yields the URL of its first database."""
    binaries = find_binaries()
    if binaries is None:
        missing("PostgreSQL", HOW_TO_INSTALL)
    with running_postgres(binaries) as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """Make an empty PostgreSQL database for one test."""
    name = f"test_{secrets.token_hex(6)}"
    admin = make_engine(postgres_server.replace("postgresql://", "postgresql+psycopg://", 1))
    by_itself = admin.execution_options(isolation_level="AUTOCOMMIT")
    with by_itself.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield admin.url.set(database=name).render_as_string(hide_password=False)
    with by_itself.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of an empty database, once for each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'record' / 'quarterdeck.sqlite'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def empty_engine(database_url: str) -> Iterator[Engine]:
    """Give an engine on an empty database, once for each kind."""
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def engine(empty_engine: Engine) -> Engine:
    """Give an engine on a migrated database, once for each kind."""
    migrate(empty_engine)
    return empty_engine


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Iterator[Engine]:
    """Give an engine on a migrated SQLite file, for tests that need just a record."""
    engine = make_engine(f"sqlite:///{tmp_path / 'quarterdeck.sqlite'}")
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def account(empty_engine: Engine) -> Engine:
    """Give a database with one account that holds 100."""
    with write_transaction(empty_engine) as connection:
        connection.execute(text("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER)"))
        connection.execute(text("CREATE TABLE payout (id TEXT PRIMARY KEY, amount INTEGER)"))
        connection.execute(text("INSERT INTO account VALUES (1, 100)"))
    return empty_engine
