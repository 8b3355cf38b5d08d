"""What Dagster loads: which assets and jobs there are, and how quickly."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml
from dagster import (
    AssetKey,
    DagsterInstance,
    SkipReason,
    build_sensor_context,
    validate_run_config,
)

from foundation.home import CHECKOUT
from market_data.importing import import_file
from market_data.store import Store
from pipelines.definitions import definitions
from pipelines.instance import dagster_home
from pipelines.sensors import stored_bars


def test_these_are_all_assets_and_checks():
    # A renamed asset loses its history, so a change here must be meant.
    graph = definitions.resolve_asset_graph()
    assert {key.to_user_string(): sorted(parent.to_user_string() for parent in graph.get(key).parent_keys)
            for key in graph.get_all_asset_keys()} == {
        "bars": ["ingested_bars"],
        "corporate_actions": ["bars"],
        "data_quality": ["bars", "corporate_actions"],
        "merged_bars": ["bars"],
        "ingested_bars": [],
        "resampled_bars": ["bars"],
        "backtest": ["bars"],
        "report": ["backtest"],
        "sweep": ["bars"],
        "optimisation": ["bars"],
        "walk_forward": ["bars"],
        "monte_carlo": ["backtest"],
        "evidence": ["bars"],
    }  # fmt: skip
    assert {f"{key.asset_key.to_user_string()}: {key.name}" for key in graph.asset_check_keys} == {
        "bars: row_count",
        "bars: quality_times",
        "bars: quality_prices",
        "bars: quality_moves",
        "bars: quality_staleness",
        "bars: quality_volume",
        "bars: quality_quotes",
        "merged_bars: sources_agree",
        "corporate_actions: actions_fit_prices",
        "corporate_actions: listing_fits_bars",
        "corporate_actions: sources_agree_on_actions",
        "evidence: no_look_ahead",
        "evidence: warm_up_suffices",
    }


def test_these_are_all_jobs_an_admin_sees():
    names = {job.name for job in definitions.resolve_all_job_defs()}
    assert {name for name in names if not name.startswith("__")} == {
        "backtest",
        "check",
        "evidence",
        "ingest",
        "load_bars",
        "merge",
        "resample",
        "sweep",
        "optimise",
        "walk_forward_analysis",
        "monte_carlo_analysis",
    }


def test_the_workspace_names_the_module_of_the_definitions():
    workspace = yaml.safe_load((CHECKOUT / "workspace.yaml").read_text("utf-8"))
    assert workspace == {"load_from": [{"python_module": "pipelines.definitions"}]}


def test_the_backtests_launchpad_is_filled_in_with_options_that_are_valid():
    job = definitions.resolve_job_def("backtest")
    validate_run_config(job, job.run_config)
    assert list(job.run_config["ops"]) == ["run_backtest", "write_report"]
    for step, filled in job.run_config["ops"].items():
        assert set(filled["config"]) == set(_options_of(job, step))
    strategy = job.run_config["ops"]["run_backtest"]["config"]["strategy"]
    assert (CHECKOUT / strategy).is_file()


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("backtest", "run_backtest"),
        ("backtest", "write_report"),
        ("sweep", "run_sweep"),
        ("optimise", "run_optimisation"),
        ("walk_forward_analysis", "run_walk_forward"),
        ("monte_carlo_analysis", "run_monte_carlo"),
        ("load_bars", "bars"),
        ("check", "corporate_actions"),
        ("ingest", "ingested_bars"),
        ("evidence", "examine_version"),
    ],
)
def test_each_option_says_what_it_means(name, step):
    for option, field in _options_of(definitions.resolve_job_def(name), step).items():
        assert field.description, f"{option} is not described"
        assert field.description.endswith("."), f"{option}: {field.description}"


def _options_of(job, step):
    return job.get_node_named(step).definition.config_field.config_type.fields


def test_an_unknown_option_is_refused_before_anything_runs():
    job = definitions.resolve_job_def("backtest")
    with pytest.raises(Exception, match='Received unexpected config entry "cahs"'):
        validate_run_config(job, {"ops": {"run_backtest": {"config": {"cahs": 1.0}}}})
    with pytest.raises(
        Exception, match=r"Invalid scalar at path root:ops:run_backtest:config:cash"
    ):
        validate_run_config(job, {"ops": {"run_backtest": {"config": {"cash": "much"}}}})


def test_definitions_load_without_what_only_a_run_needs():
    # Dagster's processes load them at every start of a run or a code server.
    code = (
        "import sys, pipelines.definitions as loaded; loaded.definitions.get_repository_def();"
        "print([name for name in ('numba', 'polars', 'pandas', 'plotly', 'matplotlib', 'alembic',"
        " 'exchange_calendars', 'duckdb', 'weasyprint') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_dagsters_home_says_nothing_to_anyone(home):
    folder = dagster_home(home)
    assert folder == home / "dagster"
    with DagsterInstance.from_config(str(folder)) as instance:
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 2


def test_an_operators_changes_to_dagsters_home_stay(home):
    changed = dagster_home(home) / "dagster.yaml"
    changed.write_text("telemetry: {enabled: false}\n")
    dagster_home(home)
    assert changed.read_text() == "telemetry: {enabled: false}\n"


def look(instance, store, cursor=None):
    context = build_sensor_context(instance, cursor=cursor, resources={"store": store})
    return stored_bars(context)


def test_bars_imported_elsewhere_are_shown_once_each_time_they_change(home, instance, file_of_bars):
    store = Store(home)
    import_file(store, file_of_bars(days=3), symbol="ACME", calendar="XNYS")
    first = look(instance, store)
    request = first.dynamic_partitions_requests[0]
    assert request.partitions_def_name == "symbol"
    assert request.partition_keys == ["AAPL", "ACME", "FB", "GOOG", "MSFT", "SIM"]
    assert [(event.partition, event.metadata["dagster/partition_row_count"].value)
            for event in first.asset_events] == [("ACME", 3)]  # fmt: skip

    instance.add_dynamic_partitions("symbol", request.partition_keys)
    assert "everything in the store is shown" in look(instance, store, first.cursor).skip_message

    import_file(store, file_of_bars(days=5), symbol="ACME", calendar="XNYS")
    second = look(instance, store, first.cursor)
    assert [event.metadata["dagster/partition_row_count"].value
            for event in second.asset_events] == [5]  # fmt: skip


def test_bars_that_dagster_loaded_itself_are_not_shown_twice(home, instance, file_of_bars):
    instance.add_dynamic_partitions("symbol", ["AAPL", "ACME", "FB", "GOOG", "MSFT", "SIM"])
    job = definitions.resolve_job_def("load_bars")
    config = {"ops": {"bars": {"config": {"file": str(file_of_bars(3)), "calendar": "XNYS"}}}}
    assert job.execute_in_process(config, partition_key="ACME", instance=instance).success
    assert isinstance(look(instance, Store(home)), SkipReason)


def test_the_report_belongs_to_the_backtest():
    graph = definitions.resolve_asset_graph()
    job = definitions.resolve_job_def("backtest")
    assert job.asset_layer.selected_asset_keys == {AssetKey("backtest"), AssetKey("report")}
    assert graph.get(AssetKey("bars")).partitions_def.name == "symbol"
