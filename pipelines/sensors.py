"""Sensors: what Dagster looks for by itself."""

from dagster import DefaultSensorStatus, SensorEvaluationContext, SensorResult, SkipReason, sensor

from assets.bars import SYMBOLS
from market_data.store import Store


@sensor(
    name="stored_symbols",
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    required_resource_keys={"store"},
    description="Makes a partition of `bars` for each instrument of the sample set or the store.",
)
def stored_symbols(context: SensorEvaluationContext) -> SensorResult | SkipReason:
    """Add partitions for symbols that have none yet, such as those imported by command."""
    from market_data.sample_set import SAMPLE_SYMBOLS

    store: Store = context.resources.store
    known = set(context.instance.get_dynamic_partitions(str(SYMBOLS.name)))
    new = sorted({*SAMPLE_SYMBOLS, "SIM", *store.symbols()} - known)
    if not new:
        return SkipReason("every stored symbol has its partition")
    return SensorResult(dynamic_partitions_requests=[SYMBOLS.build_add_request(new)])
