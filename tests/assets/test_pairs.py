"""The asset `merged_bars` and its check, run in this process on a data home of its own."""

from __future__ import annotations

import numpy as np
import pytest
from dagster import AssetCheckSeverity, DagsterInstance

from market_data.columns import BarColumns
from market_data.sample_set import load_sample
from market_data.store import Store
from pipelines.definitions import definitions


@pytest.fixture
def instance(tmp_path):
    with DagsterInstance.ephemeral(str(tmp_path / "dagster")) as opened:
        opened.add_dynamic_partitions("symbol", ["AAPL", "MSFT"])
        yield opened


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Store Apple's bars twice; the second source has a tenth of the closes wrong."""
    monkeypatch.setenv("QUARTERDECK_HOME", str(tmp_path / "home"))
    made = Store(tmp_path / "home")
    load_sample(made)
    columns, series = made.read_columns("AAPL", "1d")
    wrong = columns.prices.copy()
    wrong[3, ::10] = 0.5 * (wrong[1, ::10] + wrong[2, ::10]) + 0.003
    for name, prices in (("one", columns.prices), ("two", wrong)):
        other = BarColumns(columns.ts, columns.session, prices)
        made.write_bars(f"AAPL@{name}", "1d", other, calendar=series.calendar, source="test")
    return made


def launch(instance, symbol="AAPL", **options):
    return definitions.resolve_job_def("merge").execute_in_process(
        {"ops": {"merged_bars": {"config": options}}},
        partition_key=symbol,
        instance=instance,
        raise_on_error=False,
    )


def check_of(result):
    return result.get_asset_check_evaluations()[0]


def test_merged_bars_have_a_page_and_a_check_by_the_share_of_disagreement(instance, store):
    done = launch(instance)
    assert done.success
    metadata = done.get_asset_materialization_events()[0].materialization.metadata
    assert metadata["dagster/partition_row_count"].value == 3270
    assert "AAPL@two" in metadata["Page of AAPL@two 1d"].path
    page = store.home / "pairs" / "AAPL" / "AAPL@one AAPL@two 1d.html"
    assert "Plotly" in page.read_text("utf-8")
    assert "| 1d | 3,270 | agree within tolerance |" in metadata["Rules"].value
    check = check_of(done)
    assert (check.passed, check.severity) == (False, AssetCheckSeverity.WARN)
    share = next(iter(check.metadata.values())).value
    # A tenth of the closes were moved, but for those that were in the middle already.
    assert 8.0 < share <= 10.0
    assert check_of(launch(instance, error_share=0.05)).severity is AssetCheckSeverity.ERROR
    assert check_of(launch(instance, warning_share=0.2)).passed


def test_merging_again_changes_no_bar(instance, store):
    launch(instance)
    folder = store.series_folder("AAPL", "1d")
    before = {p.name: p.read_bytes() for p in folder.glob("*")}
    again = launch(instance)
    metadata = again.get_asset_materialization_events()[0].materialization.metadata
    assert metadata["Bars changed"].value == 0
    assert metadata["New in quarantine"].value == 0
    assert {p.name: p.read_bytes() for p in folder.glob("*")} == before
    assert np.isfinite(metadata["Bars nothing decides"].value)


@pytest.mark.parametrize(
    ("symbol", "options", "words"),
    [
        ("MSFT", {}, "two sources of MSFT are needed, such as MSFT@yahoo; none is stored"),
        ("AAPL", {"highs": "best"}, "must be one of priority, inner, outer, got 'best'"),
    ],
)
def test_what_cannot_be_merged_fails_in_one_line(instance, store, symbol, options, words):
    failed = launch(instance, symbol, **options)
    assert not failed.success
    event = next(e for e in failed.all_events if e.is_step_failure)
    assert words in event.step_failure_data.user_failure_data.description
