"""Migrations make exactly the tables that the code declares."""

import importlib.util
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

import foundation.migration
import strategies.data_use
import strategies.evidence
import strategies.requests
import strategies.studies
import strategies.tables  # noqa: F401  (declares its tables in the metadata)
from foundation.columns import metadata
from foundation.database import make_engine, read_transaction, write_transaction
from foundation.errors import DatabaseError
from foundation.migration import MIGRATIONS, migrate, newest_revision, revision_of


def test_migrated_database_equals_the_declared_tables(engine: Engine) -> None:
    with read_transaction(engine) as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        checks = {
            table.name: {
                check["name"] for check in inspect(connection).get_check_constraints(table.name)
            }
            for table in metadata.sorted_tables
        }
    declared = {
        table.name: {
            # Of the naming convention's template only the constraint's own part is declared.
            f"ck_{table.name}_{constraint.name}".replace(
                f"ck_{table.name}_ck_{table.name}_", f"ck_{table.name}_"
            )
            for constraint in table.constraints
            if type(constraint).__name__ == "CheckConstraint"
        }
        for table in metadata.sorted_tables
    }
    assert checks == declared


def test_every_sqlite_table_is_strict(sqlite_engine: Engine) -> None:
    with read_transaction(sqlite_engine) as connection:
        rows = connection.exec_driver_sql("SELECT name, strict FROM pragma_table_list").all()
    strict = dict(tuple(row) for row in rows)
    assert {table.name: strict[table.name] for table in metadata.sorted_tables} == {
        table.name: 1 for table in metadata.sorted_tables
    }


def test_migrating_again_changes_nothing(engine: Engine) -> None:
    assert revision_of(engine) == newest_revision()
    assert migrate(engine) is False


def test_each_migration_is_named_by_its_revision_and_follows_the_one_before() -> None:
    before = None
    for path in sorted((MIGRATIONS / "versions").glob("*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert path.name.startswith(f"{module.revision}_")
        assert module.down_revision == before
        before = module.revision
    assert before == newest_revision()


def test_several_processes_may_migrate_at_once_from_any_folder(
    empty_engine: Engine, tmp_path: Path
) -> None:
    program = (
        "import sys; from foundation.database import make_engine; "
        "from foundation.migration import migrate; print(migrate(make_engine(sys.argv[1])))"
    )
    url = empty_engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", program, url]
    started = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    said = sorted(process.communicate(timeout=120)[0].strip() for process in started)
    assert said == ["False", "False", "True"]
    assert revision_of(empty_engine) == newest_revision()


def test_migration_that_waited_for_another_sees_what_the_other_did(postgres_url: str) -> None:
    engine = make_engine(postgres_url)
    lock = text("SELECT pg_advisory_xact_lock(:lock)").bindparams(
        lock=foundation.migration._ADVISORY_LOCK
    )
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    with ThreadPoolExecutor(1) as pool:
        with write_transaction(engine) as first:
            first.execute(lock)
            second = pool.submit(migrate, engine)
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watcher:
                while not watcher.scalar(waiting):
                    assert not second.done(), second.result()
            assert foundation.migration._upgrade(first) is True
        assert second.result(timeout=60) is False
    engine.dispose()


def test_failing_migration_leaves_nothing_behind(
    empty_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with write_transaction(empty_engine) as connection:
        # The second table of the first migration is in the way.
        connection.execute(text("CREATE TABLE strategy_version (a INTEGER)"))
    with pytest.raises(DatabaseError, match="can't be migrated"):
        migrate(empty_engine)
    with read_transaction(empty_engine) as connection:
        assert inspect(connection).get_table_names() == ["strategy_version"]


def test_database_of_a_newer_version_is_refused(engine: Engine) -> None:
    with write_transaction(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="schema 9999, which is newer"):
        migrate(engine)
