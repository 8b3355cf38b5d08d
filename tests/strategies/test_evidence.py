"""Evidence is kept with its version, and no step is taken without it."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, select

import strategies.evidence
from foundation.clock import FixedClock
from foundation.database import read_transaction, write_transaction
from foundation.errors import DataError, NotPermitted
from strategies.evidence import (
    Evidence,
    evidence_for,
    latest_evidence,
    list_evidence,
    promote,
    record_evidence,
    stage_change_evidence,
    standings,
    versions_without_evidence,
)
from strategies.lifecycle import (
    REQUIRED_EVIDENCE,
    EvidenceKind,
    EvidenceState,
    Stage,
    Trigger,
    require_evidence,
)
from strategies.runs import RunStart, record_run_started, record_run_succeeded
from strategies.tables import strategy_version
from strategies.versions import get_version, list_stage_changes, save_version, version_names

NOON = datetime(2024, 3, 8, 12, 0, tzinfo=UTC)
BARS, OTHER_BARS = "f" * 64, "e" * 64
BOTH = (EvidenceKind.LOOK_AHEAD, EvidenceKind.RECURSION)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOON)


def backtested(
    engine: Engine,
    text: str = "one",
    clock: FixedClock | None = None,
    *,
    bars: str = BARS,
    parameters: dict[str, float] | None = None,
) -> str:
    version = save_version(engine, name="dip", document=text.encode(), author="", clock=clock)
    begin_run(engine, version.version_hash, bars, parameters, clock)
    record_run_succeeded(
        engine, run_id_of(version.version_hash, bars), key_figures={}, is_evidence=not parameters
    )
    return version.version_hash


def run_id_of(version: str, bars: str = BARS) -> str:
    return hashlib.sha256(f"{version}{bars}".encode()).hexdigest()[:12]


def begin_run(engine, version, bars=BARS, parameters=None, clock=None) -> None:
    record_run_started(
        engine,
        RunStart(
            run_id=run_id_of(version, bars), version_hash=version, data_fingerprint=bars,
            engine_version="1", options={"parameters": parameters or {}},
            result_directory="/results",
        ),
        clock=clock,
    )  # fmt: skip


def record(engine: Engine, version: str, kind: EvidenceKind, clock=None, **changes) -> Evidence:
    fields = {
        "passed": True,
        "figures": {"n_cuts": 48, "n_starts": 6},
        "engine_version": "1",
    } | changes
    fields = {"data_fingerprint": BARS} | fields
    return record_evidence(engine, Evidence(version_hash=version, kind=kind, **fields), clock=clock)


def states_of(engine: Engine, version: str, engine_version: str = "1") -> dict:
    (found,) = standings(engine, [version], engine_version=engine_version)
    return found.states


def lacking(engine: Engine, engine_version: str = "1") -> list[str]:
    found = versions_without_evidence(engine, engine_version=engine_version)
    return [one.version_hash for one in found]


def test_evidence_is_kept_with_all_that_it_rests_on(engine, clock):
    version = backtested(engine)
    stored = record(
        engine, version, EvidenceKind.LOOK_AHEAD, clock,
        figures={"n_cuts": 48, "largest": None}, recorded_by="ann", result_directory="/e/1",
    )  # fmt: skip
    assert stored.recorded_at == NOON
    assert stored.passed is True
    assert (stored.figures, stored.recorded_by) == ({"n_cuts": 48, "largest": None}, "ann")
    assert list_evidence(engine, version) == [stored]


def test_latest_evidence_counts_and_earlier_stays(engine, clock):
    version = backtested(engine)
    first = record(engine, version, EvidenceKind.LOOK_AHEAD, clock)
    clock.advance(timedelta(hours=1))
    second = record(engine, version, EvidenceKind.LOOK_AHEAD, clock, passed=False)
    assert list_evidence(engine, version) == [second, first]
    assert latest_evidence(engine, version) == {EvidenceKind.LOOK_AHEAD: second}
    assert states_of(engine, version) == {
        EvidenceKind.LOOK_AHEAD: EvidenceState.FAILED,
        EvidenceKind.RECURSION: EvidenceState.MISSING,
    }


def test_evidence_of_a_version_that_is_not_stored_is_refused(engine):
    with pytest.raises(DataError, match="no strategy version"):
        record(engine, "0" * 64, EvidenceKind.LOOK_AHEAD)


def test_a_version_with_both_checks_passed_goes_to_paper_and_keeps_them(engine, clock):
    version = backtested(engine)
    stored = [record(engine, version, kind, clock) for kind in BOTH]
    assert promote(engine, version, Trigger.PAPER_STARTED, engine_version="1", clock=clock) is (
        Stage.PAPER
    )
    assert get_version(engine, version).stage is Stage.PAPER
    change = list_stage_changes(engine, version)[-1]
    assert (change.from_stage, change.to_stage, change.changed_at, change.run_id) == (
        Stage.BACKTESTED, Stage.PAPER, NOON, run_id_of(version),
    )  # fmt: skip
    with read_transaction(engine) as connection:
        rested_on = connection.scalars(select(stage_change_evidence.c.version_evidence_id)).all()
    assert sorted(rested_on) == sorted(one.version_evidence_id for one in stored)


@pytest.mark.parametrize(
    ("look_ahead", "recursion", "lacks"),
    [
        (None, None, "look_ahead is missing, recursion is missing"),
        ({}, None, "but recursion is missing"),
        (None, {}, "but look_ahead is missing"),
        ({"passed": False}, {}, "but look_ahead failed"),
        ({}, {"passed": False}, "but recursion failed"),
        ({"engine_version": "0"}, {}, "but look_ahead is of another engine version"),
        ({"figures": {"n_cuts": 7}}, {}, "but look_ahead was tried too little"),
        ({}, {"figures": {"n_starts": 0}}, "but recursion was tried too little"),
        (
            {},
            {"data_fingerprint": OTHER_BARS},
            "but recursion is of other bars than the latest backtest",
        ),
    ],
)
def test_paper_without_its_evidence_is_refused_with_what_is_lacking(
    engine, look_ahead, recursion, lacks
):
    version = backtested(engine)
    for kind, changes in zip(BOTH, (look_ahead, recursion), strict=True):
        if changes is not None:
            record(engine, version, kind, **changes)
    with pytest.raises(NotPermitted, match=lacks):
        promote(engine, version, Trigger.PAPER_STARTED, engine_version="1")
    # Nothing has moved.
    assert get_version(engine, version).stage is Stage.BACKTESTED
    assert [change.to_stage for change in list_stage_changes(engine, version)] == [Stage.BACKTESTED]


def test_evidence_of_another_version_does_not_help(engine):
    version, other = backtested(engine, "one"), backtested(engine, "other")
    for kind in BOTH:
        record(engine, other, kind)
    with pytest.raises(NotPermitted, match="is missing"):
        promote(engine, version, Trigger.PAPER_STARTED, engine_version="1")


def test_a_draft_does_not_go_to_paper_whatever_its_evidence(engine):
    version = save_version(engine, name="dip", document=b"draft", author="").version_hash
    for kind in BOTH:
        record(engine, version, kind)
    with pytest.raises(NotPermitted, match="stage draft does not take paper_started"):
        promote(engine, version, Trigger.PAPER_STARTED, engine_version="1")


def test_a_version_whose_backtest_is_not_on_record_is_not_promoted(engine):
    version = save_version(engine, name="dip", document=b"draft", author="").version_hash
    for kind in BOTH:
        record(engine, version, kind)
    # An early look is told for what it is.
    assert states_of(engine, version) == dict.fromkeys(BOTH, EvidenceState.PASSED)
    # As a hand in the database would.
    with write_transaction(engine) as connection:
        connection.execute(strategy_version.update().values(stage=Stage.BACKTESTED))
    with pytest.raises(NotPermitted, match="needs a backtest with the version's own parameters"):
        promote(engine, version, Trigger.PAPER_STARTED, engine_version="1")
    assert lacking(engine) == []


def test_live_needs_evidence_of_the_engine_of_that_day(engine):
    version = backtested(engine)
    for kind in BOTH:
        record(engine, version, kind)
    promote(engine, version, Trigger.PAPER_STARTED, engine_version="1")
    with pytest.raises(NotPermitted, match="look_ahead is of another engine version, recursion is"):
        promote(engine, version, Trigger.LIVE_APPROVED, engine_version="2")
    for kind in BOTH:
        record(engine, version, kind, engine_version="2")
    assert promote(engine, version, Trigger.LIVE_APPROVED, engine_version="2") is Stage.LIVE
    assert promote(engine, version, Trigger.DEMOTED, engine_version="2") is Stage.PAPER
    assert promote(engine, version, Trigger.RETIRED, engine_version="2") is Stage.RETIRED


def test_a_backtest_is_recorded_and_not_promoted_by_hand(sqlite_engine):
    version = backtested(sqlite_engine)
    with pytest.raises(ValueError, match="record the run"):
        promote(sqlite_engine, version, Trigger.BACKTEST_SUCCEEDED, engine_version="1")


@pytest.mark.parametrize("trigger", list(Trigger))
def test_steps_that_need_evidence_take_it_and_the_others_need_none(trigger):
    needed = REQUIRED_EVIDENCE.get(trigger, ())
    assert needed == (BOTH if trigger in (Trigger.PAPER_STARTED, Trigger.LIVE_APPROVED) else ())
    require_evidence(trigger, dict.fromkeys(needed, EvidenceState.PASSED))
    for kind in needed:
        for state in set(EvidenceState) - {EvidenceState.PASSED}:
            held = dict.fromkeys(needed, EvidenceState.PASSED) | {kind: state}
            with pytest.raises(NotPermitted, match=f"but {kind} "):
                require_evidence(trigger, held)


def test_a_quick_look_is_made_again_in_full_and_is_failed_when_it_fails(engine):
    version = backtested(engine)
    for kind in BOTH:
        record(engine, version, kind, figures={"n_cuts": 2, "n_starts": 1})
    assert states_of(engine, version) == {
        EvidenceKind.LOOK_AHEAD: EvidenceState.TOO_LITTLE,
        EvidenceKind.RECURSION: EvidenceState.PASSED,
    }
    assert lacking(engine) == [version]
    # One cut that finds a look-ahead is enough to fail.
    record(engine, version, BOTH[0], passed=False, figures={"n_cuts": 1})
    assert states_of(engine, version)[BOTH[0]] is EvidenceState.FAILED


def test_evidence_on_bars_of_an_earlier_backtest_is_stale(engine, clock):
    version = backtested(engine, clock=clock)
    for kind in BOTH:
        record(engine, version, kind)
    assert lacking(engine) == []
    clock.advance(timedelta(minutes=1))
    backtested(engine, clock=clock, bars=OTHER_BARS)
    assert states_of(engine, version) == dict.fromkeys(BOTH, EvidenceState.OTHER_BARS)
    assert lacking(engine) == [version]
    with pytest.raises(NotPermitted, match="look_ahead is of other bars than the latest backtest"):
        promote(engine, version, Trigger.PAPER_STARTED, engine_version="1")
    for kind in BOTH:
        record(engine, version, kind, data_fingerprint=OTHER_BARS)
    assert promote(engine, version, Trigger.PAPER_STARTED, engine_version="1") is Stage.PAPER
    assert list_stage_changes(engine, version)[-1].run_id == run_id_of(version, OTHER_BARS)


def test_a_look_at_other_bars_neither_helps_nor_harms(engine, clock):
    version = backtested(engine, clock=clock)
    counts = [record(engine, version, kind, clock, passed=False) for kind in BOTH]
    for kind in BOTH:
        record(engine, version, kind, clock, data_fingerprint=OTHER_BARS)
        record(engine, version, kind, clock, engine_version="0")
    (standing,) = standings(engine, [version], engine_version="1")
    assert standing.states == dict.fromkeys(BOTH, EvidenceState.FAILED)
    assert standing.evidence == dict(zip(BOTH, counts, strict=True))
    assert standing.lacks(Trigger.PAPER_STARTED) == list(BOTH)
    assert standing.lacks(Trigger.RETIRED) == []
    on_other = evidence_for(engine, version, engine_version="1", data_fingerprint=OTHER_BARS)
    assert {one.data_fingerprint for one in on_other.values()} == {OTHER_BARS}


def test_a_run_with_other_parameters_says_nothing_of_a_versions_bars(engine, clock):
    version = backtested(engine, clock=clock)
    for kind in BOTH:
        record(engine, version, kind)
    clock.advance(timedelta(minutes=1))
    backtested(engine, clock=clock, bars=OTHER_BARS, parameters={"length": 9.0})
    assert states_of(engine, version) == dict.fromkeys(BOTH, EvidenceState.PASSED)


def test_parameters_stated_as_they_are_make_a_version_backtested_on_these_bars(engine):
    version = save_version(engine, name="dip", document=b"one", author="").version_hash
    begin_run(engine, version, parameters={"length": 14.0})
    record_run_succeeded(engine, run_id_of(version), key_figures={}, is_evidence=True)
    assert lacking(engine) == [version]
    for kind in BOTH:
        record(engine, version, kind)
    assert lacking(engine) == []


def test_a_backtest_that_is_repeated_keeps_its_versions_evidence(engine):
    version = backtested(engine)
    for kind in BOTH:
        record(engine, version, kind)
    begin_run(engine, version)
    assert states_of(engine, version) == dict.fromkeys(BOTH, EvidenceState.PASSED)


def test_versions_without_evidence_are_those_that_were_backtested_and_lack_a_kind(engine, clock):
    save_version(engine, name="dip", document=b"draft", author="", clock=clock)
    bare, half, whole, failed, old, moved = (
        backtested(engine, text, clock)
        for text in ("bare", "half", "whole", "failed", "old", "moved")
    )
    record(engine, half, EvidenceKind.LOOK_AHEAD)
    for kind in BOTH:
        record(engine, whole, kind)
        record(engine, failed, kind, passed=False)
        record(engine, old, kind, engine_version="0")
        record(engine, moved, kind, data_fingerprint=OTHER_BARS)
    assert set(lacking(engine)) == {bare, half, old, moved}
    assert set(lacking(engine, "2")) == {bare, half, whole, failed, old, moved}
    promote(engine, bare, Trigger.RETIRED, engine_version="1")
    assert set(lacking(engine)) == {half, old, moved}
    promote(engine, whole, Trigger.PAPER_STARTED, engine_version="1")
    # On paper it needs evidence of a new engine as well, to go on.
    assert whole in lacking(engine, "2")


def test_those_saved_last_come_first_however_many(engine, clock, monkeypatch):
    monkeypatch.setattr(strategies.evidence, "_N_ASKED", 2)
    hashes = []
    for text in ("a", "b", "c", "d", "e"):
        hashes.append(backtested(engine, text, clock))
        clock.advance(timedelta(minutes=1))
    assert lacking(engine) == hashes[::-1]
    assert list(version_names(engine).items()) == [(one, "dip") for one in hashes]


def test_the_database_takes_no_kind_that_is_not_known(sqlite_engine):
    version = backtested(sqlite_engine)
    stored = record(sqlite_engine, version, EvidenceKind.LOOK_AHEAD)
    from sqlalchemy import text
    from sqlalchemy.exc import IntegrityError

    for change in ("kind = 'hearsay'", "passed = 2"):
        with pytest.raises(IntegrityError), write_transaction(sqlite_engine) as connection:
            connection.execute(
                text(f"UPDATE version_evidence SET {change} WHERE version_evidence_id = :n"),
                {"n": stored.version_evidence_id},
            )
