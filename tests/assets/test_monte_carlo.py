"""The job `monte_carlo_analysis`, run in this process on a data home of its own."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from dagster import DagsterInstance

from foundation.database import make_engine
from market_data.store import Store
from pipelines.definitions import definitions
from research.backtest import BacktestRequest
from research.holdout import lock
from strategies.studies import find_locks
from tests.assets.test_sweep import DOCUMENT
from trading.document import load_document

QUICK = {"orders": 50, "noise": 4}


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def launch(home):
    """Return a function that launches a job and gives its result."""
    with DagsterInstance.ephemeral() as instance:

        def run(job: str, **ops: dict[str, object]):
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("QUARTERDECK_HOME", str(home))
                return definitions.resolve_job_def(job).execute_in_process(
                    {"ops": {step: {"config": config} for step, config in ops.items()}},
                    instance=instance, raise_on_error=False,
                )  # fmt: skip

        yield run


def test_latest_backtest_is_varied_and_a_look_at_locked_sessions_is_recorded(launch, home):
    failed = launch("monte_carlo_analysis", run_monte_carlo=QUICK)
    assert not failed.success
    done = launch("backtest", run_backtest={"strategy": DOCUMENT}, write_report={"formats": []})
    assert done.success
    folder = Path(
        done.get_asset_materialization_events()[0].materialization.metadata["Folder"].value
    )
    # Locked only after the backtest: whoever runs it again looks at what is locked by now.
    engine = make_engine(f"sqlite:///{home / 'quarterdeck.sqlite'}")
    lock(engine, BacktestRequest(load_document(DOCUMENT)), Store(home), by="ada")
    varied = launch("monte_carlo_analysis", run_monte_carlo=QUICK)
    assert varied.success
    found = varied.get_asset_materialization_events()[0].materialization.metadata
    summary = json.loads((folder / "summary.json").read_bytes())
    assert found["Backtest"].value == summary["run_id"]
    assert found["Paths"].value.splitlines()[4].startswith("| noise | 4 |")
    assert pl.read_parquet(Path(found["Folder"].value) / "paths.parquet").height == 2 * 50 + 4
    assert Path(found["Page"].value).is_file()
    (look,) = find_locks(engine)[0].openings
    assert look.reason == "Monte Carlo over the locked sessions"
    assert look.result_id == Path(found["Folder"].value).name
    assert look.result_directory == found["Folder"].value
    # Orders of trades alone read the result's files and no bar.
    assert launch("monte_carlo_analysis", run_monte_carlo=QUICK | {"noise": 0}).success
    assert len(find_locks(engine)[0].openings) == 1
    engine.dispose()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"skip": 0.7, "delay": 0.7}, "skip and delay must add up to at most 1"),
        ({"noise_range": -1.0}, "noise_range: must be from 0.0 to 100.0, got -1.0"),
        ({"result": "/nowhere"}, "/nowhere"),
    ],
)
def test_a_wrong_option_fails_with_one_line(launch, options, message):
    if "result" not in options:
        launch("backtest", run_backtest={"strategy": DOCUMENT}, write_report={"formats": []})
    failed = launch("monte_carlo_analysis", run_monte_carlo=QUICK | options)
    assert not failed.success
    event = next(e for e in failed.all_events if e.event_type_value == "STEP_FAILURE")
    text = event.event_specific_data.error_display_string
    assert text.startswith("dagster._core.definitions.events.Failure: ")
    assert message in text.splitlines()[0]
