"""Fixtures for all tests: a data home of their own, databases of both kinds."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import Engine, make_url, text

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


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrate a SQLite file once; tests start from a copy."""
    path = tmp_path_factory.mktemp("template") / "quarterdeck.sqlite"
    engine = make_engine(f"sqlite:///{path}")
    migrate(engine)
    # Closing the last connection writes the log back, so that the file is all there is.
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """Migrate a PostgreSQL database once; tests start from a copy. Gives its name."""
    _create_database(postgres_server, "migrated")
    engine = make_engine(_postgres_url(postgres_server, "migrated"))
    migrate(engine)
    engine.dispose()
    return "migrated"


def _postgres_url(server: str, database: str) -> str:
    url = make_url(server).set(drivername="postgresql+psycopg", database=database)
    return url.render_as_string(hide_password=False)


def _create_database(server: str, name: str, template: str = "template1") -> None:
    _administer(server, f"CREATE DATABASE {name} TEMPLATE {template}")


def _administer(server: str, statement: str) -> None:
    engine = make_engine(_postgres_url(server, "postgres"))
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """Make an empty PostgreSQL database for one test."""
    name = f"test_{secrets.token_hex(6)}"
    _create_database(postgres_server, name)
    yield _postgres_url(postgres_server, name)
    _administer(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def empty_engine(
    database_kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Engine]:
    """Give an engine on an empty database, once for each kind."""
    if database_kind == "sqlite":
        url = f"sqlite:///{tmp_path / 'record' / 'quarterdeck.sqlite'}"
    else:
        url = request.getfixturevalue("postgres_url")
    engine = make_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def engine(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Give an engine on a migrated database, once for each kind."""
    if database_kind == "sqlite":
        yield request.getfixturevalue("sqlite_engine")
        return
    server: str = request.getfixturevalue("postgres_server")
    name = f"test_{secrets.token_hex(6)}"
    _create_database(server, name, request.getfixturevalue("postgres_template"))
    engine = make_engine(_postgres_url(server, name))
    yield engine
    engine.dispose()
    _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_engine(sqlite_template: Path, tmp_path: Path) -> Iterator[Engine]:
    """Give an engine on a migrated SQLite file, for tests that need just a record."""
    path = tmp_path / "quarterdeck.sqlite"
    shutil.copyfile(sqlite_template, path)
    engine = make_engine(f"sqlite:///{path}")
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
