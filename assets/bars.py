"""The asset `bars`: what the store holds of an instrument, and whether it is sound."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetDep,
    AssetExecutionContext,
    DynamicPartitionsDefinition,
    MaterializeResult,
    MetadataValue,
    MultiToSingleDimensionPartitionMapping,
    ResourceParam,
    asset,
)

from assets.options import BarsOptions
from assets.quality_checks import PAGE, check_all, family_results, family_specs, quality_folder
from assets.running import failing_in_one_line, progress_lines, use_kernels
from foundation.errors import DataError
from foundation.settings import Settings
from market_data.store import Series, Store

SYMBOLS = DynamicPartitionsDefinition(name="symbol")
INGESTED_BARS = "ingested_bars"
CONTENT = "Content"
ROW_COUNT = "row_count"


@asset(
    partitions_def=SYMBOLS,
    deps=[
        # What a vendor's months brought is part of what is stored of its instrument.
        AssetDep(INGESTED_BARS, partition_mapping=MultiToSingleDimensionPartitionMapping("symbol"))
    ],
    group_name="market_data",
    kinds={"parquet"},
    check_specs=[
        AssetCheckSpec(
            ROW_COUNT, asset="bars", description="There are bars, and as many as noted."
        ),
        *family_specs(),
    ],
)
def bars(
    context: AssetExecutionContext,
    config: BarsOptions,
    settings: ResourceParam[Settings],
    store: ResourceParam[Store],
) -> MaterializeResult:
    """Stored bars of an instrument, in every timeframe there is of it.

    Instruments of the sample set come from the repository, others from a file.
    Loading again changes nothing.
    """
    use_kernels(settings.home)
    symbol = context.partition_key
    with failing_in_one_line():
        _bring(context, config, store, symbol)
        stored = stored_series(store, symbol)
        if not stored:
            raise DataError(
                f"no bars of {symbol} are stored, and it is not in the sample set; "
                "state a `file` to import"
            )
        checks = list(check_bars(store, stored, settings.home))
    return MaterializeResult(
        metadata=bars_metadata(store, stored),
        check_results=checks,
    )


def _bring(context: AssetExecutionContext, config: BarsOptions, store: Store, symbol: str) -> None:
    if config.file:
        from market_data.importing import import_file

        report = import_file(
            store,
            Path(config.file),
            symbol=symbol,
            timeframe=config.timeframe,
            timezone=config.timezone,
            calendar=config.calendar,
            repair=config.repair,
            drop_unscheduled=config.drop_unscheduled,
            overwrite=config.overwrite,
            progress=progress_lines(context.log, "steps"),
        )
        for finding in report.findings:
            context.log.warning(finding.message)
        return
    from market_data.generator import SIM
    from market_data.sample_set import SAMPLE_SYMBOLS, load_sample

    if symbol in (*SAMPLE_SYMBOLS, SIM.symbol):
        load_sample(store, progress_lines(context.log, "series"))


def stored_series(store: Store, symbol: str) -> list[Series]:
    """Return what is stored of an instrument, shortest timeframe first."""
    found = [store.find_series(symbol, frame) for frame in store.timeframes(symbol)]
    return [series for series in found if series is not None and series.files]


def content_of(stored: list[Series]) -> str:
    """Return a digest of series; their files' names hold digests of the bars."""
    names = [f"{s.timeframe}/{file.name}" for s in stored for file in s.files]
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]


def bars_metadata(store: Store, stored: list[Series]) -> dict[str, Any]:
    """Return what a materialization tells of an instrument's series."""
    head = "| Timeframe | Bars | First | Last | Calendar | Source |\n|---|---:|---|---|---|---|\n"
    rows = "\n".join(
        f"| {s.timeframe} | {s.rows:,} | {s.first:%Y-%m-%d} | {s.last:%Y-%m-%d} | {s.calendar} "
        f"| {s.source} |"
        for s in stored
    )
    folders = {
        f"Folder of {s.timeframe}": MetadataValue.path(
            str(store.series_folder(s.symbol, s.timeframe))
        )
        for s in stored
    }
    return {
        "dagster/partition_row_count": sum(s.rows for s in stored),
        "Series": MetadataValue.md(head + rows),
        CONTENT: content_of(stored),
        **folders,
    }


def check_bars(store: Store, stored: list[Series], home: Path) -> Iterator[AssetCheckResult]:
    """Read all bars of an instrument back and check them."""
    counts = {}
    for series in stored:
        columns, _ = store.read_columns(series.symbol, series.timeframe, with_quarantined=True)
        counts[series.timeframe] = (columns.n_bars, series.rows)
    yield AssetCheckResult(
        check_name=ROW_COUNT,
        passed=all(read == noted > 0 for read, noted in counts.values()),
        metadata={f"Bars of {name}": read for name, (read, _) in counts.items()},
    )
    page = quality_folder(home, stored[0].symbol) / PAGE
    yield from family_results(check_all(store, stored), page)
