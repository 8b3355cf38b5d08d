"""Dagster's home: what is there before the first of its programs starts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml

import pipelines.instance
from foundation.home import CHECKOUT
from pipelines.instance import CONFIGURATION, MARK, dagster_home, prepare_dagster, why_kept

EARLIEST = """\
# How Dagster runs our jobs; copied to <data home>/dagster/dagster.yaml, where it may be changed.

# Nothing is told to anyone.
telemetry:
  enabled: false

# A backtest uses all cores by itself: more than two at once only slow each other down.
concurrency:
  runs:
    max_concurrent_runs: 2

run_queue:
  dequeue_interval_seconds: 1

nux:
  enabled: false
"""


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


@pytest.fixture
def newer(tmp_path, monkeypatch):
    """Return a function that gives the platform another configuration, as an update does."""

    def renew() -> None:
        path = tmp_path / "deploy" / "dagster.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(CONFIGURATION.read_text("utf-8") + "# newer\n")
        monkeypatch.setattr(pipelines.instance, "CONFIGURATION", path)

    return renew


def configuration_of(home):
    return dagster_home(home) / "dagster.yaml"


def test_a_configuration_that_nobody_changed_is_renewed_with_the_platforms_own(tmp_path, newer):
    path = configuration_of(tmp_path)
    before = path.read_text()
    assert before.startswith(MARK)
    assert yaml.safe_load(before) == yaml.safe_load(CONFIGURATION.read_text("utf-8"))
    newer()
    assert configuration_of(tmp_path).read_text().endswith("# newer\n")
    # Marked anew, so that the next one is taken up too.
    assert configuration_of(tmp_path).read_text().startswith(MARK)
    assert path.read_text().splitlines()[0] != before.splitlines()[0]
    assert why_kept(tmp_path) == ""


def test_a_configuration_of_an_earlier_version_is_renewed_though_it_has_no_mark(tmp_path):
    # As issue 2 left it: without run monitoring, and with Dagster's own launcher.
    path = tmp_path / "dagster" / "dagster.yaml"
    path.parent.mkdir()
    path.write_text(EARLIEST)
    assert yaml.safe_load(configuration_of(tmp_path).read_text())["run_monitoring"]["enabled"]
    assert why_kept(tmp_path) == ""


def test_a_changed_configuration_is_kept_and_told_of_only_once_the_platforms_own_has_changed(
    tmp_path, newer
):
    path = configuration_of(tmp_path)
    mine = path.read_text().replace("max_concurrent_runs: 2", "max_concurrent_runs: 1")
    path.write_text(mine)
    assert configuration_of(tmp_path).read_text() == mine
    assert why_kept(tmp_path) == ""
    newer()
    assert configuration_of(tmp_path).read_text() == mine
    told = why_kept(tmp_path)
    assert f"{path} was changed by hand and is kept" in told
    # Whoever has compared them says so by the line that the notice ends with.
    path.write_text(told.splitlines()[-1] + "\n" + mine.partition("\n")[2])
    assert why_kept(tmp_path) == ""
    assert configuration_of(tmp_path).read_text().count("max_concurrent_runs: 1") == 1


def test_a_configuration_of_ones_own_is_kept_and_told_of(tmp_path):
    path = tmp_path / "dagster" / "dagster.yaml"
    path.parent.mkdir()
    path.write_text("telemetry: {enabled: false}\n")
    assert configuration_of(tmp_path).read_text() == "telemetry: {enabled: false}\n"
    assert "was changed by hand and is kept" in why_kept(tmp_path)


@pytest.mark.parametrize("folder", ["celery", "kubernetes"])
def test_a_configuration_for_several_machines_is_kept_without_a_word(tmp_path, folder):
    text = (CHECKOUT / "deploy" / folder / "dagster.yaml").read_text("utf-8")
    path = tmp_path / "dagster" / "dagster.yaml"
    path.parent.mkdir()
    path.write_text(text)
    assert configuration_of(tmp_path).read_text() == text
    assert why_kept(tmp_path) == ""
