"""The asset `ingested_bars` and the job `ingest`, against a vendor on this machine."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from dagster import AssetKey, DagsterInstance, MultiPartitionKey

from assets.ingestion import IngestionConfig, stretches
from market_data.store import Store
from pipelines.definitions import definitions
from tests.market_data.sources.making import local_days, minutes
from tests.market_data.sources.servers import KEY_ID, SECRET, AlpacaServer


@pytest.fixture
def instance():
    with DagsterInstance.ephemeral() as opened:
        opened.add_dynamic_partitions("symbol", ["AAPL", "MSFT", "NOPE"])
        yield opened


@pytest.fixture
def xnys(home):
    store = Store(home)
    day_ns = 86_400 * 10**9
    return store.sessions("XNYS", 19_000 * day_ns, 19_900 * day_ns)


@pytest.fixture
def server(home, monkeypatch, xnys):
    with AlpacaServer().running() as running:
        monkeypatch.setenv("QUARTERDECK_ALPACA_URL", running.url)
        monkeypatch.setenv("QUARTERDECK_ALPACA_KEY_ID", KEY_ID)
        monkeypatch.setenv("QUARTERDECK_ALPACA_SECRET", SECRET)
        for symbol in ("AAPL", "MSFT"):
            running.series[symbol, "1m"] = minutes(xnys, "2024-01-02", "2024-02-29")
            running.series[symbol, "1d"] = local_days(xnys, "2024-01-02", "2024-02-29")
        yield running


def key(symbol, month):
    return MultiPartitionKey({"symbol": symbol, "month": month})


def launch(instance, partition, timeframe="1m", **options):
    config = {"ops": {"ingested_bars": {"config": {
        "source": "alpaca", "timeframe": timeframe, **options
    }}}}  # fmt: skip
    return definitions.resolve_job_def("ingest").execute_in_process(
        config, partition_key=partition, instance=instance, raise_on_error=False
    )


def told(result):
    (event,) = result.get_asset_materialization_events()
    return event.partition, event.materialization.metadata


def test_a_month_is_brought_and_told(home, instance, server):
    result = launch(instance, key("AAPL", "2024-02-01"))
    assert result.success
    partition, metadata = told(result)
    assert partition == "2024-02-01|AAPL"
    # 20 sessions of 390 minutes.
    assert metadata["New"].value == 7800
    assert metadata["dagster/partition_row_count"].value == 7800
    assert "symbols=AAPL timeframe=1Min" in metadata["Provenance"].value
    columns, _ = Store(home).read_columns("AAPL", "1m")
    assert str(np.datetime64(int(columns.session[0]), "D")) == "2024-02-01"
    assert columns.n_bars == 7800


def test_a_month_again_asks_for_nothing_and_an_older_one_is_added(home, instance, server):
    launch(instance, key("AAPL", "2024-02-01"))
    server.asked.clear()
    result = launch(instance, key("AAPL", "2024-02-01"))
    assert result.success
    assert server.asked == []
    assert told(result)[1]["Provenance"].value == "not asked"
    assert launch(instance, key("AAPL", "2024-01-01")).success
    assert Store(home).read_columns("AAPL", "1m")[0].n_bars == 7800 + 8190


def test_daily_bars_come_by_months_as_well(home, instance, server):
    for month in ("2024-02-01", "2024-01-01"):
        assert launch(instance, key("MSFT", month), "1d").success
    # 21 and 20 sessions.
    assert Store(home).read_columns("MSFT", "1d")[0].n_bars == 41


def test_a_symbol_that_the_vendor_lacks_fails_in_one_line(instance, server):
    failed = launch(instance, key("NOPE", "2024-02-01"))
    assert not failed.success
    event = next(e for e in failed.all_events if e.event_type_value == "STEP_FAILURE")
    text = event.event_specific_data.error_display_string.splitlines()[0]
    assert text.endswith("alpaca has no 1m bars of NOPE from 2024-02-01 to 2024-02-29")


def test_one_run_over_many_partitions_keeps_what_came_of_the_good_ones(home, instance, server):
    job = definitions.resolve_job_def("ingest")
    config = {"ops": {"ingested_bars": {"config": {"source": "alpaca", "timeframe": "1m"}}}}
    tags = {
        "dagster/asset_partition_range_start": str(key("AAPL", "2024-01-01")),
        "dagster/asset_partition_range_end": str(key("NOPE", "2024-02-01")),
    }
    failed = job.execute_in_process(config, instance=instance, tags=tags, raise_on_error=False)
    assert not failed.success
    event = next(e for e in failed.all_events if e.event_type_value == "STEP_FAILURE")
    assert "alpaca has no 1m bars of NOPE" in event.event_specific_data.error_display_string
    events = instance.fetch_materializations(AssetKey("ingested_bars"), limit=100).records
    shown = {
        str(event.partition_key): event.asset_materialization.metadata["New"].value
        for event in events
    }
    assert shown == {
        "2024-01-01|AAPL": 8190, "2024-02-01|AAPL": 7800,
        "2024-01-01|MSFT": 8190, "2024-02-01|MSFT": 7800,
    }  # fmt: skip
    assert Store(home).symbols() == ["AAPL", "MSFT"]


def test_no_secret_stands_in_what_dagster_keeps(instance, server):
    result = launch(instance, key("AAPL", "2024-02-01"))
    run = instance.get_run_by_id(result.run_id)
    assert SECRET not in str(run.run_config) + str(run.tags)
    for record in instance.all_logs(result.run_id):
        assert SECRET not in str(record)
        assert KEY_ID not in str(record)


def test_runs_of_one_vendor_wait_for_each_other_by_their_tag():
    job = definitions.resolve_job_def("ingest")
    assert job.tags["quarterdeck/vendor"] == IngestionConfig().source
    graph = definitions.resolve_asset_graph()
    assert graph.get(AssetKey("ingested_bars")).pools == {"vendor"}


def test_months_that_follow_each_other_are_asked_for_together():
    keys = [
        "2024-03-01|AAPL", "2023-12-01|AAPL", "2024-01-01|AAPL", "2024-02-01|MSFT",
    ]  # fmt: skip
    assert list(stretches(keys)) == [
        ("AAPL", ["2023-12-01", "2024-01-01"]),
        ("AAPL", ["2024-03-01"]),
        ("MSFT", ["2024-02-01"]),
    ]
    assert date.fromisoformat("2023-12-01").day == 1
