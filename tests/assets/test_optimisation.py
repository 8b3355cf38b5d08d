"""The jobs of studies, run in this process on a data home of its own."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from dagster import DagsterInstance

from pipelines.definitions import definitions
from tests.assets.test_sweep import DOCUMENT

VALUES = {"length": "6:18:2", "oversold": "20:40:5"}


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    """Return a function that launches a job and gives its result."""
    home = tmp_path_factory.mktemp("studies") / "home"
    with DagsterInstance.ephemeral() as instance:

        def run(job: str, step: str, **options: object):
            ops = {step: {"config": {"strategy": DOCUMENT, **options}}}
            # For each launch, because each test begins without settings.
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("QUARTERDECK_HOME", str(home))
                return definitions.resolve_job_def(job).execute_in_process(
                    {"ops": ops}, instance=instance, raise_on_error=False
                )

        yield run


def metadata_of(result):
    assert result.success
    return result.get_asset_materialization_events()[0].materialization.metadata


def test_walk_forward_shows_each_window_and_its_picture(launch):
    found = metadata_of(
        launch("walk_forward_analysis", "run_walk_forward", values=VALUES, windows=4, min_trades=1)
    )
    lines = found["Windows"].value.splitlines()
    assert lines[0].startswith("| window | out of sample | length | oversold | Sharpe in |")
    assert len(lines) == 2 + 4
    assert found["Equity out of sample"].value.startswith("![Equity out of sample")
    folder = Path(found["Folder"].value)
    assert Path(found["Page"].value) == folder / "study.html"
    about = json.loads((folder / "walk_forward.json").read_bytes())
    assert found["Sharpe ratio"].value == round(about["out_of_sample"]["sharpe"], 2)
    assert pl.read_parquet(folder / "windows.parquet").height == 4


def test_optimisation_shows_its_choice_and_counts_its_trials(launch):
    found = metadata_of(
        launch("optimise", "run_optimisation", values=VALUES, trials=25, batch=5, min_trades=1)
    )
    assert found["Choice"].value.splitlines()[2].startswith("| plateau |")
    assert found["Trials"].value.startswith("![What each trial came to")
    rows = pl.read_parquet(Path(found["Folder"].value) / "trials.parquet")
    assert rows["trial"].drop_nulls().len() == 25
    assert found["Sets on record"].value >= found["Sets tried"].value


@pytest.mark.parametrize(
    ("job", "step", "options", "message"),
    [
        ("optimise", "run_optimisation", {"pruning": "often"}, "pruning: must be one of none, med"),
        ("optimise", "run_optimisation", {"values": {"length": "5:"}}, "values.length: '5:'"),
        ("walk_forward_analysis", "run_walk_forward", {"anchor": "no"}, "anchor: must be one of"),
        ("walk_forward_analysis", "run_walk_forward", {"windows": 0}, "n_windows: must be at le"),
    ],
)
def test_a_wrong_option_fails_with_one_line(launch, job, step, options, message):
    failed = launch(job, step, **{"values": VALUES, **options})
    assert not failed.success
    event = next(e for e in failed.all_events if e.event_type_value == "STEP_FAILURE")
    text = event.event_specific_data.error_display_string
    assert text.startswith("dagster._core.definitions.events.Failure: ")
    assert message in text.splitlines()[0]
