"""The sensor that has every strategy version examined, without anyone thinking of it."""

from __future__ import annotations

from dagster import (
    DefaultSensorStatus,
    ResourceParam,
    RunRequest,
    RunsFilter,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)
from dagster._core.storage.tags import RUN_KEY_TAG
from sqlalchemy import Engine

from assets.evidence import VERSIONS, partition_of
from assets.requests import WORK_TAG
from foundation.clock import SystemClock
from pipelines.jobs import evidence_job

# Started in one look, so that a home with many versions fills the queue bit by bit.
N_STARTED = 10
# Whoever launches something waits for it; nobody waits for this.
_TAGS = {WORK_TAG: "evidence", "dagster/priority": "-1"}


@sensor(
    name="unexamined_versions",
    job=evidence_job,
    minimum_interval_seconds=60,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Makes a partition of `evidence` for each stored strategy version, and has those examined "
        "for look-ahead and warm-up that were backtested and lack it: new ones, all after a change "
        "of the engine, and those backtested on other bars since. One whose examination came to "
        "no end is tried again a week later."
    ),
)
def unexamined_versions(
    context: SensorEvaluationContext, database: ResourceParam[Engine]
) -> SensorResult | SkipReason:
    """Bring Dagster's partitions up to date with the record, and ask for what is lacking."""
    from foundation.migration import migrate
    from research.engine_version import ENGINE_VERSION
    from strategies.evidence import versions_without_evidence
    from strategies.versions import version_names

    migrate(database)
    names = version_names(database)
    partitions = {version: partition_of(name, version) for version, name in names.items()}
    known = set(context.instance.get_dynamic_partitions(str(VERSIONS.name)))
    new = sorted(set(partitions.values()) - known)
    week = SystemClock().now().strftime("%G-W%V")
    runs: list[RunRequest] = []
    for one in versions_without_evidence(database, engine_version=ENGINE_VERSION):
        bars = "" if one.backtest is None else one.backtest.data_fingerprint
        key = f"{one.version_hash} on {bars} by engine {ENGINE_VERSION}, {week}"
        # Dagster itself starts a key once; here it must not keep others from their turn.
        if context.instance.get_runs_count(RunsFilter(tags={RUN_KEY_TAG: key})):
            continue
        if len(runs) == N_STARTED:
            break
        runs.append(RunRequest(run_key=key, partition_key=partitions[one.version_hash], tags=_TAGS))
    if not new and not runs:
        return SkipReason("every backtested version was examined, or is about to be")
    return SensorResult(
        run_requests=runs,
        dynamic_partitions_requests=[VERSIONS.build_add_request(new)] if new else [],
    )
