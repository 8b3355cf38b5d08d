"""Every strategy version is examined, though nobody asks for it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    SensorResult,
    SkipReason,
    build_sensor_context,
)

import pipelines.versions
from foundation.clock import FixedClock
from pipelines.definitions import definitions
from pipelines.versions import unexamined_versions
from research.engine_version import ENGINE_VERSION
from strategies.evidence import Evidence, record_evidence
from strategies.lifecycle import REQUIRED_EVIDENCE, Trigger
from strategies.runs import RunStart, record_run_started, record_run_succeeded
from strategies.versions import save_version

MONDAY = datetime(2024, 7, 8, 12, tzinfo=UTC)


@pytest.fixture
def instance(tmp_path):
    (tmp_path / "dagster").mkdir()
    with DagsterInstance.local_temp(str(tmp_path / "dagster")) as opened:
        yield opened


@pytest.fixture
def clock(monkeypatch):
    told = FixedClock(MONDAY)
    monkeypatch.setattr(pipelines.versions, "SystemClock", lambda: told)
    return told


def backtested(engine, name: str, bars: str = "f" * 64) -> str:
    document = f"document of {name}".encode()
    version = save_version(engine, name=name, document=document, author="").version_hash
    run_id = hashlib.sha256(f"{version}{bars}".encode()).hexdigest()[:12]
    record_run_started(
        engine,
        RunStart(
            run_id=run_id, version_hash=version, data_fingerprint=bars, engine_version="1",
            options={}, result_directory="/results",
        ),
    )  # fmt: skip
    record_run_succeeded(engine, run_id, key_figures={})
    return version


def examined(engine, version: str, **changes) -> None:
    for kind in REQUIRED_EVIDENCE[Trigger.PAPER_STARTED]:
        fields = {
            "passed": True, "data_fingerprint": "f" * 64, "engine_version": ENGINE_VERSION,
        } | changes  # fmt: skip
        figures = {"n_cuts": 48, "n_starts": 6}
        evidence = Evidence(version_hash=version, kind=kind, figures=figures, **fields)
        record_evidence(engine, evidence)


def look(instance, engine) -> SensorResult | SkipReason:
    return unexamined_versions(
        build_sensor_context(instance=instance, resources={"database": engine})
    )


def asked(result: SensorResult | SkipReason) -> list[str]:
    return (
        [] if isinstance(result, SkipReason) else [one.partition_key for one in result.run_requests]
    )


def start(instance, result: SensorResult) -> None:
    """Do what Dagster does with a sensor's answer: add partitions, make runs."""
    for request in result.dynamic_partitions_requests:
        instance.add_dynamic_partitions("version", request.partition_keys)
    for one in result.run_requests:
        instance.create_run_for_job(
            definitions.resolve_job_def("evidence"),
            status=DagsterRunStatus.FAILURE,
            tags={**one.tags, "dagster/run_key": one.run_key},
        )


def test_a_home_without_versions_asks_for_nothing(instance, sqlite_engine, clock):
    assert isinstance(look(instance, sqlite_engine), SkipReason)


def test_a_backtested_version_is_examined_as_its_own_partition(instance, sqlite_engine, clock):
    draft = save_version(sqlite_engine, name="draft", document=b"draft", author="").version_hash
    version = backtested(sqlite_engine, "dip")
    result = look(instance, sqlite_engine)
    assert asked(result) == [f"dip@{version[:12]}"]
    (request,) = result.run_requests
    # What someone launches by hand goes first, and sweeps' limit is not touched.
    assert request.tags["dagster/priority"] == "-1"
    assert request.tags["quarterdeck/work"] == "evidence"
    (added,) = result.dynamic_partitions_requests
    # A draft is there to be chosen by hand.
    assert added.partition_keys == [f"dip@{version[:12]}", f"draft@{draft[:12]}"]


def test_what_was_examined_is_not_asked_for_again(instance, sqlite_engine, clock):
    version = backtested(sqlite_engine, "dip")
    examined(sqlite_engine, version, passed=False)
    start(instance, look(instance, sqlite_engine))
    assert isinstance(look(instance, sqlite_engine), SkipReason)


@pytest.mark.parametrize("stale", [{"engine_version": "0"}, {"data_fingerprint": "e" * 64}])
def test_evidence_of_another_engine_or_other_bars_is_made_anew(
    instance, sqlite_engine, clock, stale
):
    version = backtested(sqlite_engine, "dip")
    examined(sqlite_engine, version, **stale)
    assert asked(look(instance, sqlite_engine)) == [f"dip@{version[:12]}"]


def test_a_failed_run_is_tried_again_a_week_later_and_on_other_bars_at_once(
    instance, sqlite_engine, clock
):
    version = backtested(sqlite_engine, "dip")
    start(instance, look(instance, sqlite_engine))
    assert isinstance(look(instance, sqlite_engine), SkipReason)
    clock.time = datetime(2024, 7, 15, tzinfo=UTC)
    again = look(instance, sqlite_engine)
    assert asked(again) == [f"dip@{version[:12]}"]
    start(instance, again)
    backtested(sqlite_engine, "dip", bars="e" * 64)
    assert asked(look(instance, sqlite_engine)) == [f"dip@{version[:12]}"]


def test_versions_that_can_not_be_examined_keep_no_others_from_their_turn(
    instance, sqlite_engine, clock, monkeypatch
):
    monkeypatch.setattr(pipelines.versions, "N_STARTED", 2)
    versions = {backtested(sqlite_engine, f"s{k}") for k in range(5)}
    found = []
    for _ in range(3):
        result = look(instance, sqlite_engine)
        found.append(asked(result))
        start(instance, result)
    assert [len(one) for one in found] == [2, 2, 1]
    assert {key.rpartition("@")[2] for one in found for key in one} == {v[:12] for v in versions}
    assert isinstance(look(instance, sqlite_engine), SkipReason)


def test_the_sensor_is_on_without_being_switched_on():
    sensors = {one.name: one for one in definitions.sensors}
    assert sensors["unexamined_versions"].default_status.value == "RUNNING"
    assert sensors["unexamined_versions"].job_name == "evidence"
