"""The job `sweep`, run in this process on a data home of its own."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from dagster import DagsterInstance

from pipelines.definitions import definitions

DOCUMENT = """
name: swept
timeframe: 1d
instruments: [AAPL]
parameters:
  length: {default: 14, low: 2, high: 50}
  oversold: {default: 30, low: 10, high: 45, step: 5}
enter_long: rsi(close, $length) < $oversold
exit_long: rsi(close, $length) > 60
"""


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    """Return a function that launches the job and gives its result and instance."""
    home = tmp_path_factory.mktemp("sweeps") / "home"
    with DagsterInstance.ephemeral() as instance:

        def run(job: str = "sweep", step: str = "run_sweep", **options: object):
            ops = {step: {"config": {"strategy": DOCUMENT, **options}}}
            if job == "backtest":
                ops["write_report"] = {"config": {"formats": []}}
            # For each launch, because each test begins without settings.
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("QUARTERDECK_HOME", str(home))
                return definitions.resolve_job_def(job).execute_in_process(
                    {"ops": ops}, instance=instance, raise_on_error=False
                )

        yield run


def folder_of(result) -> Path:
    event = result.get_asset_materialization_events()[0]
    return Path(event.materialization.metadata["Folder"].value)


@pytest.fixture(scope="module")
def swept(launch):
    return launch(values={"length": "10:14:2", "oversold": "25,35"}, start="2005-01-03", top=2)


def test_each_row_is_what_a_backtest_with_its_values_gives(launch, swept):
    assert swept.success
    rows = pl.read_parquet(folder_of(swept) / "sweep.parquet")
    assert rows["length"].to_list() == [10.0, 10.0, 12.0, 12.0, 14.0, 14.0]
    assert rows["oversold"].to_list() == [25.0, 35.0] * 3
    alone = launch(
        "backtest",
        "run_backtest",
        parameters={"length": 12, "oversold": 35},
        start="2005-01-03",
    )
    summary = json.loads((folder_of(alone) / "summary.json").read_bytes())
    row = rows.row(3, named=True)
    assert row["final_equity"] == summary["final_equity"]
    assert row["n_trades"] == summary["n_trades"] > 0
    assert row["sharpe"] == summary["sharpe"]


def test_metadata_shows_the_best_sets_best_first(swept):
    rows = pl.read_parquet(folder_of(swept) / "sweep.parquet").sort("sharpe", descending=True)
    metadata = swept.get_asset_materialization_events()[0].materialization.metadata
    assert metadata["Sets"].value == 6
    lines = metadata["Best by sharpe"].value.splitlines()
    assert lines[0].startswith("| length | oversold | Sharpe ratio | Total return (%) |")
    assert len(lines) == 2 + 2
    for line, row in zip(lines[2:], rows.iter_rows(named=True), strict=False):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[:2] == [f"{row['length']:g}", f"{row['oversold']:g}"]
        assert cells[3] == f"{100 * row['total_return']:,.2f}"


def test_launching_again_gives_the_same_files(launch, swept):
    before = {path.name: path.read_bytes() for path in folder_of(swept).iterdir()}
    again = launch(values={"length": "10:14:2", "oversold": "25,35"}, start="2005-01-03", top=2)
    assert {path.name: path.read_bytes() for path in folder_of(again).iterdir()} == before


def test_one_value_is_fixed_for_all_sets(launch):
    done = launch(values={"length": "10,12", "oversold": "40"}, start="2010-01-04")
    assert done.success
    about = json.loads((folder_of(done) / "sweep.json").read_bytes())
    assert (about["n_sets"], about["fixed"]) == (2, {"oversold": 40.0})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"values": {"length": "5:"}}, "values.length: '5:' is neither low:high:step nor numbers"),
        ({"values": {"lenght": "5,6"}}, "unknown parameter `lenght`"),
        ({"values": {"length": "5,6"}, "sort": "sharp"}, "unknown figure 'sharp'"),
        ({"values": {"oversold": "25,27"}}, "parameters.oversold"),
    ],
)
def test_a_wrong_option_fails_with_one_line(launch, options, message):
    failed = launch(**options)
    assert not failed.success
    event = next(e for e in failed.all_events if e.event_type_value == "STEP_FAILURE")
    text = event.event_specific_data.error_display_string
    assert text.startswith("dagster._core.definitions.events.Failure: ")
    assert message in text.splitlines()[0]
