"""Dagster's home: what is there before the first of its programs starts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from pipelines.instance import CONFIGURATION, dagster_home, prepare_dagster


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {name for (name,) in rows}


def test_a_prepared_home_has_the_tables_that_dagsters_programs_would_race_to_make(tmp_path):
    folder = prepare_dagster(tmp_path)
    assert tables(folder / "history" / "runs.db") >= {"alembic_version", "runs"}
    assert tables(folder / "history" / "runs" / "index.db") >= {"alembic_version", "event_logs"}
    assert tables(folder / "schedules" / "schedules.db") >= {"alembic_version", "job_ticks"}


def test_preparing_again_keeps_an_operators_configuration_and_the_tables(tmp_path):
    folder = prepare_dagster(tmp_path)
    changed = CONFIGURATION.read_text("utf-8").replace(
        "max_concurrent_runs: 2", "max_concurrent_runs: 1"
    )
    (folder / "dagster.yaml").write_text(changed)
    with closing(sqlite3.connect(folder / "history" / "runs.db")) as connection, connection:
        connection.execute("INSERT INTO kvs (key, value) VALUES ('kept', 'yes')")
    assert prepare_dagster(tmp_path) == dagster_home(tmp_path) == folder
    assert (folder / "dagster.yaml").read_text() == changed
    with closing(sqlite3.connect(folder / "history" / "runs.db")) as connection:
        assert connection.execute("SELECT value FROM kvs WHERE key = 'kept'").fetchall() == [
            ("yes",)
        ]
