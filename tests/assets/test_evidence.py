"""The job `evidence`, run in this process on a data home of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dagster import DagsterInstance

import trading.feeding
from foundation.database import make_engine
from foundation.settings import load_settings
from pipelines.definitions import definitions
from strategies.evidence import latest_evidence
from strategies.lifecycle import EvidenceKind

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

        def run(**options: object):
            config = {"strategy": DOCUMENT, "cuts": 4, "starts": 2, "start": "2010-01-04"}
            ops = {"examine_version": {"config": config | options}}
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("QUARTERDECK_HOME", str(home))
                return definitions.resolve_job_def("evidence").execute_in_process(
                    {"ops": ops}, instance=instance, raise_on_error=False
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
    ],
)
def test_what_can_not_be_examined_fails_in_one_line(launch, options, message):
    result = launch(**options)
    assert not result.success
    failure = result.get_step_failure_events()[0].event_specific_data.error
    assert message in str(failure.message) + str(failure.cause)
