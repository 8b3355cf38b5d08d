"""The catalogue keeps each version once, its runs, and how far it has come."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from foundation.clock import FixedClock
from foundation.database import write_transaction
from foundation.errors import DataError
from strategies.lifecycle import Stage, Trigger
from strategies.runs import (
    BacktestRun,
    RunStart,
    get_run,
    list_runs,
    record_run_failed,
    record_run_started,
    record_run_succeeded,
)
from strategies.tables import RunStatus
from strategies.versions import (
    StageChange,
    get_version,
    list_stage_changes,
    list_versions,
    save_version,
)

DOCUMENT = '{"entry":{"when":"rsi(close, 14) < 30"},"name":"Zürich dip"}'.encode()
OTHER = b'{"entry":{"when":"rsi(close, 14) < 20"},"name":"Z\xc3\xbcrich dip"}'
NOON = datetime(2024, 3, 8, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOON)


def _start(version_hash: str, run_id: str = "0123456789ab", **changes: object) -> RunStart:
    values: dict[str, object] = {
        "run_id": run_id,
        "version_hash": version_hash,
        "data_fingerprint": "f" * 64,
        "engine_version": "0.1.0",
        "options": {"symbols": ["AAPL"], "cash": 100000.0, "start": None},
        "result_directory": "/results/dip/0123456789ab",
    }
    return RunStart(**(values | changes))  # type: ignore[arg-type]


def test_saved_version_is_found_by_its_hash_and_by_the_beginning_of_it(
    engine: Engine, clock: FixedClock
) -> None:
    saved = save_version(engine, name="dip", document=DOCUMENT, author="ann", clock=clock)
    assert saved.version_hash == hashlib.sha256(DOCUMENT).hexdigest()
    assert (saved.name, saved.stage, saved.author) == ("dip", Stage.DRAFT, "ann")
    assert saved.document.encode() == DOCUMENT
    assert saved.created_at == NOON
    assert saved.created_at.tzinfo is UTC
    assert get_version(engine, saved.version_hash) == saved
    assert get_version(engine, saved.version_hash[:6]) == saved


def test_saving_the_same_document_again_changes_nothing(engine: Engine, clock: FixedClock) -> None:
    first = save_version(engine, name="dip", document=DOCUMENT, author="ann", clock=clock)
    clock.advance(timedelta(days=1))
    assert save_version(engine, name="dip", document=DOCUMENT, author="bob", clock=clock) == first
    assert [entry.version for entry in list_versions(engine)] == [first]


def test_eight_who_save_the_same_new_document_at_once_store_it_once(engine: Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        saved = list(
            pool.map(
                lambda author: save_version(
                    engine, name="dip", document=DOCUMENT, author=str(author)
                ),
                range(8),
            )
        )
    assert len(set(saved)) == 1
    assert len(list_versions(engine)) == 1


def test_edited_document_is_a_new_version_at_draft(engine: Engine, clock: FixedClock) -> None:
    first = save_version(engine, name="dip", document=DOCUMENT, author="", clock=clock)
    record_run_started(engine, _start(first.version_hash), clock=clock)
    record_run_succeeded(engine, "0123456789ab", key_figures={}, clock=clock)
    clock.advance(timedelta(hours=1))
    second = save_version(engine, name="dip", document=OTHER, author="", clock=clock)
    assert second.stage is Stage.DRAFT
    assert get_version(engine, first.version_hash).stage is Stage.BACKTESTED
    listed = [entry.version.version_hash for entry in list_versions(engine, name="dip")]
    assert listed == [second.version_hash, first.version_hash]
    assert list_versions(engine, name="another") == []


def test_same_document_under_another_name_is_refused(engine: Engine) -> None:
    save_version(engine, name="dip", document=DOCUMENT, author="")
    with pytest.raises(DataError, match="is stored as 'dip', not as 'trend'"):
        save_version(engine, name="trend", document=DOCUMENT, author="")


@pytest.mark.parametrize(
    ("asked", "reason"),
    [("0" * 64, "no strategy version"), ("abc", "at least 6 digits"), ("%%%%%%", "no strategy")],
)
def test_unknown_version_is_an_error(engine: Engine, asked: str, reason: str) -> None:
    save_version(engine, name="dip", document=DOCUMENT, author="")
    with pytest.raises(DataError, match=reason):
        get_version(engine, asked)


def test_ambiguous_beginning_is_an_error(sqlite_engine: Engine) -> None:
    save_version(sqlite_engine, name="dip", document=DOCUMENT, author="")
    with write_transaction(sqlite_engine) as connection:
        for last in "ab":
            connection.execute(
                text(
                    "INSERT INTO strategy_version SELECT :hash, strategy_id, document, stage, "
                    "created_at, author FROM strategy_version LIMIT 1"
                ),
                {"hash": "0" * 63 + last},
            )
    with pytest.raises(DataError, match="2 strategy versions begin with '000000'"):
        get_version(sqlite_engine, "000000")


def test_successful_run_is_stored_and_moves_the_version_to_backtested(
    engine: Engine, clock: FixedClock
) -> None:
    version = save_version(engine, name="dip", document=DOCUMENT, author="", clock=clock)
    record_run_started(engine, _start(version.version_hash), clock=clock)
    running = get_run(engine, "0123456789ab")
    assert (running.status, running.finished_at) == (RunStatus.RUNNING, None)
    assert get_version(engine, version.version_hash).stage is Stage.DRAFT

    clock.advance(timedelta(seconds=2))
    figures = {"total_return": 0.1 + 0.2, "n_trades": 12, "sharpe": None}
    record_run_succeeded(engine, "0123456789ab", key_figures=figures, clock=clock)
    stored = get_run(engine, "0123456789ab")
    assert stored == BacktestRun(
        run_id="0123456789ab",
        version_hash=version.version_hash,
        name="dip",
        data_fingerprint="f" * 64,
        engine_version="0.1.0",
        options={"symbols": ["AAPL"], "cash": 100000.0, "start": None},
        result_directory="/results/dip/0123456789ab",
        status=RunStatus.SUCCEEDED,
        key_figures=figures,
        error=None,
        started_at=NOON,
        finished_at=NOON + timedelta(seconds=2),
    )
    assert get_version(engine, version.version_hash).stage is Stage.BACKTESTED
    assert list_stage_changes(engine, version.version_hash) == [
        StageChange(
            version_hash=version.version_hash,
            from_stage=Stage.DRAFT,
            to_stage=Stage.BACKTESTED,
            trigger=Trigger.BACKTEST_SUCCEEDED,
            run_id="0123456789ab",
            changed_at=NOON + timedelta(seconds=2),
        )
    ]


def test_run_with_other_parameters_says_nothing_about_the_version(engine: Engine) -> None:
    version = save_version(engine, name="dip", document=DOCUMENT, author="")
    record_run_started(engine, _start(version.version_hash))
    record_run_succeeded(engine, "0123456789ab", key_figures={}, is_evidence=False)
    assert get_version(engine, version.version_hash).stage is Stage.DRAFT
    assert list_stage_changes(engine, version.version_hash) == []


def test_repeated_run_takes_the_place_of_the_first_and_moves_no_stage_again(
    engine: Engine, clock: FixedClock
) -> None:
    version = save_version(engine, name="dip", document=DOCUMENT, author="", clock=clock)
    for _ in range(2):
        clock.advance(timedelta(minutes=1))
        record_run_started(engine, _start(version.version_hash), clock=clock)
        record_run_succeeded(engine, "0123456789ab", key_figures={"n_trades": 1}, clock=clock)
    (run,) = list_runs(engine)
    assert run.started_at == NOON + timedelta(minutes=2)
    assert len(list_stage_changes(engine, version.version_hash)) == 1


def test_failed_run_keeps_its_reason_and_the_version_its_stage(engine: Engine) -> None:
    version = save_version(engine, name="dip", document=DOCUMENT, author="")
    record_run_started(engine, _start(version.version_hash))
    record_run_failed(engine, "0123456789ab", error="no bars of AAPL in 2031")
    run = get_run(engine, "0123456789ab")
    assert (run.status, run.error) == (RunStatus.FAILED, "no bars of AAPL in 2031")
    assert run.finished_at is not None
    assert get_version(engine, version.version_hash).stage is Stage.DRAFT


def test_failed_repetition_keeps_the_key_figures_and_a_good_one_clears_the_error(
    engine: Engine,
) -> None:
    version = save_version(engine, name="dip", document=DOCUMENT, author="")
    start = _start(version.version_hash)
    record_run_started(engine, start)
    record_run_succeeded(engine, start.run_id, key_figures={"n_trades": 3})
    record_run_started(engine, start)
    record_run_failed(engine, start.run_id, error="no space left")
    run = get_run(engine, start.run_id)
    assert (run.status, run.key_figures, run.error) == (
        RunStatus.FAILED,
        {"n_trades": 3},
        "no space left",
    )
    record_run_started(engine, start)
    record_run_succeeded(engine, start.run_id, key_figures={"n_trades": 3})
    assert get_run(engine, start.run_id).error is None


def test_run_of_an_unknown_version_or_never_started_is_an_error(engine: Engine) -> None:
    with pytest.raises(DataError, match="save it first"):
        record_run_started(engine, _start("0" * 64))
    for record in (
        lambda: record_run_failed(engine, "none", error="x"),
        lambda: record_run_succeeded(engine, "none", key_figures={}),
    ):
        with pytest.raises(DataError, match="'none' was never started"):
            record()
    with pytest.raises(DataError, match="no backtest run 'none'"):
        get_run(engine, "none")


def test_run_id_of_another_version_or_other_data_is_refused(engine: Engine) -> None:
    first = save_version(engine, name="dip", document=DOCUMENT, author="")
    second = save_version(engine, name="dip", document=OTHER, author="")
    record_run_started(engine, _start(first.version_hash))
    for start in (
        _start(second.version_hash),
        _start(first.version_hash, data_fingerprint="e" * 64),
    ):
        with pytest.raises(DataError, match="another version or other data"):
            record_run_started(engine, start)


def test_runs_are_listed_latest_first_and_filtered(engine: Engine, clock: FixedClock) -> None:
    dip = save_version(engine, name="dip", document=DOCUMENT, author="", clock=clock)
    trend = save_version(engine, name="trend", document=b"{}", author="", clock=clock)
    for run_id, version in (("a", dip), ("b", trend), ("c", dip)):
        clock.advance(timedelta(minutes=1))
        record_run_started(engine, _start(version.version_hash, run_id), clock=clock)
    record_run_failed(engine, "a", error="x", clock=clock)

    def ids(runs: list[BacktestRun]) -> list[str]:
        return [run.run_id for run in runs]

    assert ids(list_runs(engine)) == ["c", "b", "a"]
    assert ids(list_runs(engine, name="dip")) == ["c", "a"]
    assert ids(list_runs(engine, version_hash=trend.version_hash)) == ["b"]
    assert ids(list_runs(engine, status=RunStatus.FAILED)) == ["a"]
    assert ids(list_runs(engine, limit=1)) == ["c"]
    by_name = {entry.version.name: ids(list(entry.runs)) for entry in list_versions(engine)}
    assert by_name == {"dip": ["c", "a"], "trend": ["b"]}


def test_key_figure_that_is_not_a_number_is_refused_and_the_run_stays_running(
    engine: Engine,
) -> None:
    version = save_version(engine, name="dip", document=DOCUMENT, author="")
    record_run_started(engine, _start(version.version_hash))
    with pytest.raises(Exception, match="not JSON compliant"):
        record_run_succeeded(engine, "0123456789ab", key_figures={"sharpe": float("nan")})
    assert get_run(engine, "0123456789ab").status is RunStatus.RUNNING


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE strategy_version SET stage = 'famous'",
        "UPDATE strategy_version SET version_hash = 'abc'",
        "UPDATE backtest_run SET status = 'succeeded'",
        "UPDATE backtest_run SET status = 'failed', finished_at = started_at",
        "DELETE FROM strategy_version",
        "DELETE FROM strategy",
    ],
)
def test_database_itself_refuses_what_can_not_be(engine: Engine, statement: str) -> None:
    version = save_version(engine, name="dip", document=DOCUMENT, author="")
    record_run_started(engine, _start(version.version_hash))
    with pytest.raises(DBAPIError), write_transaction(engine) as connection:
        connection.execute(text(statement))
