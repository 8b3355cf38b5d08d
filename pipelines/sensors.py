"""Sensors: what Dagster looks for by itself."""

import json

from dagster import (
    AssetKey,
    AssetMaterialization,
    AssetRecordsFilter,
    DagsterInstance,
    DefaultSensorStatus,
    ResourceParam,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)
from sqlalchemy import Engine

from assets.bars import CONTENT, SYMBOLS, bars_metadata, content_of, stored_series
from foundation.clock import SystemClock
from foundation.settings import Settings
from market_data.store import Store
from pipelines.jobs import backtest_job, sweep_job
from pipelines.requests import bring_back, claim_runs, runs_in_pods


@sensor(
    name="stored_bars",
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Makes a partition of `bars` for each instrument of the sample set or the store, and shows "
        "bars that came into the store otherwise, such as by `quarterdeck import`."
    ),
)
def stored_bars(
    context: SensorEvaluationContext, store: ResourceParam[Store]
) -> SensorResult | SkipReason:
    """Bring Dagster's catalogue up to date with the store."""
    from market_data.generator import SIM
    from market_data.sample_set import SAMPLE_SYMBOLS

    known = set(context.instance.get_dynamic_partitions(str(SYMBOLS.name)))
    new = sorted({*SAMPLE_SYMBOLS, SIM.symbol, *store.symbols()} - known)
    seen: dict[str, str] = json.loads(context.cursor or "{}")
    events = []
    for symbol in store.symbols():
        stored = stored_series(store, symbol)
        content = content_of(stored)
        if seen.get(symbol) == content:
            continue
        seen[symbol] = content
        if not _is_shown(context.instance, symbol, content):
            metadata = bars_metadata(store, stored)
            events.append(AssetMaterialization("bars", partition=symbol, metadata=metadata))
    if not new and not events:
        return SkipReason("everything in the store is shown")
    return SensorResult(
        dynamic_partitions_requests=[SYMBOLS.build_add_request(new)] if new else [],
        asset_events=events,
        cursor=json.dumps(seen, sort_keys=True),
    )


def _is_shown(instance: DagsterInstance, symbol: str, content: str) -> bool:
    """Return whether the latest event of a partition tells of the same content."""
    latest = instance.fetch_materializations(
        AssetRecordsFilter(AssetKey("bars"), asset_partitions=[symbol]), limit=1
    ).records
    shown = latest[0].asset_materialization if latest else None
    return (
        shown is not None
        and CONTENT in shown.metadata
        and (shown.metadata[CONTENT].value == content)
    )


@sensor(
    name="requested_backtests",
    minimum_interval_seconds=5,
    default_status=DefaultSensorStatus.RUNNING,
    jobs=[backtest_job, sweep_job],
    tags={"quarterdeck/part": "requests"},
    description=(
        "Runs what `quarterdeck requests add` asked for: highest priority first, then oldest, no "
        "more at once than QUARTERDECK_REQUESTS_RUNNING_MAX. Brings back how each run ended, tries "
        "again after a growing delay where that may help, and stops what was cancelled."
    ),
)
def requested_backtests(
    context: SensorEvaluationContext,
    settings: ResourceParam[Settings],
    database: ResourceParam[Engine],
) -> SensorResult | SkipReason:
    """Bring requests and runs together, then start the requests whose turn it is."""
    from foundation.migration import migrate
    from strategies.runs import close_dead_runs

    clock = SystemClock()
    migrate(database)
    told = bring_back(context.instance, database, home=settings.home, clock=clock)
    closed = close_dead_runs(database, clock=clock)
    told += [f"backtest {run_id} was left half done; its record is closed" for run_id in closed]
    for line in told:
        context.log.info(line)
    runs = claim_runs(
        database,
        running_max=settings.requests_running_max,
        clock=clock,
        in_pods=runs_in_pods(context.instance),
    )
    if not runs:
        return SkipReason("; ".join(told) or "no request is to be started")
    return SensorResult(run_requests=runs)
