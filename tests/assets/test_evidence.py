"""The job `evidence`, run in this process on a data home of its own."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from dagster import DagsterInstance

import trading.feeding
from assets.evidence import partition_of
from foundation.database import make_engine
from foundation.settings import load_settings
from market_data.store import Store
from pipelines.definitions import definitions
from research.backtest import BacktestRequest, run_backtest
from research.engine_version import ENGINE_VERSION
from research.recording import recorded_run
from research.writing import write_result
from strategies.evidence import latest_evidence, standings
from strategies.lifecycle import EvidenceKind, Trigger
from trading.document import load_document

DOCUMENT = """
name: examined
timeframe: 1d
instruments: [AAPL]
indicators:
  trend: ema(close, 10)
  fast: linearreg(close, 5)
enter_long: close > trend and fast > trend
exit_long: close < trend
costs: {slippage_bps: 1}
"""


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    """Return a function that launches the job, each time with the data home set."""
    home = tmp_path_factory.mktemp("evidence") / "home"
    with DagsterInstance.ephemeral() as instance:

        def run(partition: str = "", **options: object):
            config = {"strategy": DOCUMENT, "cuts": 8, "starts": 2, "start": "2010-01-04"}
            if partition:
                config = {"cuts": 8, "starts": 2}
                instance.add_dynamic_partitions("version", [partition])
            ops = {"examine_version": {"config": config | options}}
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("QUARTERDECK_HOME", str(home))
                return definitions.resolve_job_def("evidence").execute_in_process(
                    {"ops": ops},
                    instance=instance,
                    raise_on_error=False,
                    partition_key=partition or None,
                )

        yield run


def checks_of(result):
    return {one.check_name: one for one in result.get_asset_check_evaluations()}


def metadata_of(result):
    return result.get_asset_materialization_events()[0].materialization.metadata


@pytest.fixture(scope="module")
def examined(launch):
    return launch()


def test_an_honest_version_passes_both_checks_and_is_on_record(examined, monkeypatch):
    assert examined.success
    checks = checks_of(examined)
    assert {name: one.passed for name, one in checks.items()} == {
        "no_look_ahead": True,
        "warm_up_suffices": True,
    }
    metadata = metadata_of(examined)
    about = json.loads((Path(metadata["Folder"].value) / "evidence.json").read_bytes())
    assert about["passed"] is True
    assert metadata["Strategy version"].value == about["version_hash"]
    assert (
        metadata["Warm-up to give (bars)"].value
        == (about["checks"]["recursion"]["recommended_bars"])
    )
    monkeypatch.setenv("QUARTERDECK_HOME", str(Path(metadata["Folder"].value).parents[2]))
    engine = make_engine(load_settings().database_url)
    held = latest_evidence(engine, about["version_hash"])
    engine.dispose()
    assert set(held) == {
        EvidenceKind.LOOK_AHEAD, EvidenceKind.RECURSION, EvidenceKind.ROBUSTNESS,
    }  # fmt: skip
    assert held[EvidenceKind.LOOK_AHEAD].recorded_by == "dagster"
    assert held[EvidenceKind.LOOK_AHEAD].result_directory == metadata["Folder"].value


@pytest.fixture(scope="module")
def stored(examined):
    """Return the engine of the home, and the version on record with a backtest of two years."""
    home = Path(metadata_of(examined)["Folder"].value).parents[2]
    document = load_document(DOCUMENT)
    request = BacktestRequest(document, start=date(2009, 1, 2), end=date(2010, 12, 31))
    backtest = run_backtest(request, Store(home))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUARTERDECK_HOME", str(home))
        engine = make_engine(load_settings().database_url)
    with recorded_run(engine, backtest, home / "result", author="") as succeeded:
        succeeded(write_result(backtest, home / "result"))
    yield engine, backtest
    engine.dispose()


def test_a_partition_is_examined_on_the_bars_of_its_versions_latest_backtest(launch, stored):
    engine, backtest = stored
    partition = partition_of("examined", backtest.version)
    result = launch(partition)
    assert result.success
    (event,) = result.get_asset_materialization_events()
    assert event.partition == partition
    (found,) = standings(engine, [backtest.version], engine_version=ENGINE_VERSION)
    assert found.evidence[EvidenceKind.LOOK_AHEAD].data_fingerprint == backtest.fingerprint
    assert found.lacks(Trigger.PAPER_STARTED) == []


def test_other_bars_are_examined_when_asked_for_and_help_no_promotion(launch, stored):
    engine, backtest = stored
    partition = partition_of("examined", backtest.version)
    result = launch(partition, symbols=["MSFT"])
    metadata = metadata_of(result)
    about = json.loads((Path(metadata["Folder"].value) / "evidence.json").read_bytes())
    assert about["instruments"] == ["MSFT"]
    assert f"latest backtest, run {backtest.run_id}" in metadata["Counts for a promotion"].value
    held = latest_evidence(engine, backtest.version)[EvidenceKind.LOOK_AHEAD]
    assert held.data_fingerprint != backtest.fingerprint


def test_launching_again_gives_the_same_files(launch, examined):
    folder = Path(metadata_of(examined)["Folder"].value)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = launch()
    assert Path(metadata_of(again)["Folder"].value) == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_version_that_looks_ahead_fails_the_check_that_says_so(launch, monkeypatch):
    honest = trading.feeding.build_feed

    def peeking(linker, bars, **options):
        feed = honest(linker, bars, **options)
        feed.matrix[5:, :-1] = feed.matrix[5:, 1:]
        return feed

    import research.backtest

    monkeypatch.setattr(research.backtest, "build_feed", peeking)
    result = launch(cuts=2)
    assert result.success
    check = checks_of(result)["no_look_ahead"]
    assert not check.passed
    assert "AAPL: indicator " in check.description
    assert metadata_of(result)["Passed"].value is False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cuts": 0}, "cuts: must be at least 1, got 0"),
        ({"strategy": "nowhere.yaml"}, "no file 'nowhere.yaml'"),
        ({"symbols": ["NONE"]}, "no bars of NONE are stored"),
        (
            {"partition": "examined@123456789012", "strategy": DOCUMENT},
            "strategy: must stay empty where a partition names the version",
        ),
        ({"partition": "gone@123456789012"}, "no strategy version '123456789012' is stored"),
        ({"strategy": ""}, "a path, a version's hash or a document is needed"),
    ],
)
def test_what_can_not_be_examined_fails_in_one_line(launch, options, message):
    result = launch(**options)
    assert not result.success
    failure = result.get_step_failure_events()[0].event_specific_data.error
    assert message in str(failure.message) + str(failure.cause)
