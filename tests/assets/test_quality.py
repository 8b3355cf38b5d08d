"""The asset `data_quality` and the checks of `bars`, run in this process."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow.parquet as pq
import pytest
from dagster import DagsterInstance

from assets.bars import bars
from assets.quality import data_quality
from foundation.settings import load_settings
from market_data.sample_set import load_sample
from market_data.store import Store
from pipelines.definitions import definitions
from tests.market_data import corrupting


@pytest.fixture
def instance(tmp_path):
    with DagsterInstance.ephemeral(str(tmp_path / "dagster")) as opened:
        yield opened


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("QUARTERDECK_HOME", str(tmp_path / "home"))
    assert load_settings().home == tmp_path / "home"
    return tmp_path / "home"


def run(instance, symbol):
    instance.add_dynamic_partitions("symbol", [symbol])
    return definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        partition_key=symbol,
        instance=instance,
        asset_selection=[bars.key, data_quality.key],
        raise_on_error=False,
    )


def test_findings_and_a_page_are_written_under_the_data_home(instance, home):
    done = run(instance, "AAPL")
    assert done.success
    folder = home / "quality" / "AAPL"
    assert pq.read_table(folder / "findings.parquet").num_rows == 0
    assert "Plotly" in (folder / "quality.html").read_text("utf-8")
    made = [m for m in done.get_asset_materialization_events() if m.asset_key == data_quality.key]
    metadata = made[0].materialization.metadata
    assert metadata["Bars"].value == 3270
    assert metadata["Error findings"].value == 0


def test_wrong_bars_fail_the_check_of_their_family_with_the_evidence(instance, home):
    store = Store(home)
    load_sample(store)
    table = store.sessions("XNYS", *(int(s) for s in np.array([12_000, 19_900]) * 86_400 * 10**9))
    minutes = corrupting.sound_minutes(table, 5, date(2023, 2, 10))
    planted = corrupting.change_unit(minutes, table, np.random.default_rng(7))
    store.write_bars("ACME", "1m", planted.columns, calendar="XNYS", source="test")
    done = run(instance, "ACME")
    assert done.success
    checks = {e.check_name: e for e in done.get_asset_check_evaluations()}
    assert {name for name, e in checks.items() if not e.passed} == {"quality_prices"}
    failed = checks["quality_prices"]
    assert failed.severity.value == "ERROR"
    assert failed.metadata["Error findings"].value == 1
    assert "wrong_unit" in failed.metadata["First evidence"].value
    assert failed.metadata["Page of charts"].value == str(
        home / "quality" / "ACME" / "quality.html"
    )
    written = pq.read_table(home / "quality" / "ACME" / "findings.parquet").to_pylist()
    assert [row["check"] for row in written if row["severity"] == "error"] == ["wrong_unit"]
