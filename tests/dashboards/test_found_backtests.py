"""Which backtests the app finds: files under the data home, and runs on record."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from dashboards.loading import Status, find_backtests
from foundation.database import make_engine
from foundation.settings import load_settings
from strategies.runs import RunStart, record_run_failed, record_run_started
from strategies.versions import save_version
from tests.dashboards.conftest import FIRST, SECOND
from tests.research.made_result import make_result


@pytest.fixture
def record(home: Path, sqlite_template: Path) -> Engine:
    shutil.copyfile(sqlite_template, home / "quarterdeck.sqlite")
    return make_engine(load_settings().database_url)


def start(record: Engine, run_id: str, directory: Path) -> None:
    stored = save_version(
        record, name="average-cross", document=b'{"name":"average-cross"}', author="tests"
    )
    record_run_started(
        record,
        RunStart(
            run_id=run_id, version_hash=stored.version_hash, data_fingerprint="52fe",
            engine_version="1", options={}, result_directory=str(directory),
        ),
    )  # fmt: skip


def test_nothing_is_found_in_an_empty_home_and_nothing_is_made(home):
    found = find_backtests()
    assert (found.backtests, found.problem) == ((), "")
    assert list(home.iterdir()) == []


def test_running_and_failed_runs_are_listed_with_their_reason(record, home):
    start(record, FIRST, home / "elsewhere")
    start(record, SECOND, home / "elsewhere")
    record_run_failed(record, SECOND, error="no bars of AAPL are stored")
    found = find_backtests()
    assert {(one.key, one.status, one.error) for one in found.backtests} == {
        (FIRST, Status.RUNNING, ""),
        (SECOND, Status.FAILED, "no bars of AAPL are stored"),
    }
    assert found.ready == ()


def test_recorded_result_outside_the_home_is_found(record, tmp_path):
    directory = make_result(tmp_path / "out" / "mine", n_bars=60, run_id=FIRST)
    start(record, FIRST, directory)
    (one,) = find_backtests().ready
    assert (one.key, one.directory) == (FIRST, directory)


def test_result_in_the_home_and_on_record_is_one(record, home):
    directory = make_result(home / "results" / "average-cross" / FIRST, n_bars=60, run_id=FIRST)
    start(record, FIRST, directory)
    assert [one.key for one in find_backtests().backtests] == [FIRST]


def test_record_without_tables_is_said_and_results_stay(home):
    make_result(home / "results" / "average-cross" / FIRST, n_bars=60, run_id=FIRST)
    (home / "quarterdeck.sqlite").touch()
    found = find_backtests()
    assert "has no tables yet" in found.problem
    assert [one.key for one in found.ready] == [FIRST]


def test_result_written_anew_is_read_anew(home):
    directory = home / "results" / "average-cross" / FIRST
    make_result(directory, n_bars=60, run_id=FIRST)
    assert find_backtests().ready[0].strategy == "average-cross"
    make_result(directory, n_bars=60, run_id=FIRST, name="renamed")
    later = (directory / "summary.json").stat().st_mtime_ns + 1_000_000_000
    os.utime(directory / "summary.json", ns=(later, later))
    assert find_backtests().ready[0].strategy == "renamed"


def test_latest_comes_first_and_a_half_written_result_is_left_out(home):
    for number, run_id in enumerate((FIRST, SECOND)):
        path = make_result(home / "results" / "average-cross" / run_id, n_bars=60, run_id=run_id)
        at = datetime(2026, 1, 1 + number, tzinfo=UTC).timestamp()
        os.utime(path / "summary.json", (at, at))
    (home / "results" / "average-cross" / f".{FIRST}.partial").mkdir()
    assert [one.key for one in find_backtests().backtests] == [SECOND, FIRST]
