"""The asset `ingested_bars`: what a source has of an instrument, by months."""

import warnings
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import groupby
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    BackfillPolicy,
    BetaWarning,
    Config,
    Failure,
    MaterializeResult,
    MetadataValue,
    MonthlyPartitionsDefinition,
    MultiPartitionKey,
    MultiPartitionsDefinition,
    ResourceParam,
    asset,
)
from pydantic import Field

from assets.bars import SYMBOLS
from assets.running import failing_in_one_line, logged_step, progress_lines
from foundation.errors import DataError
from foundation.settings import Settings
from market_data.ingestion import IngestionOptions, PartitionReport, SymbolReport, ingest
from market_data.sources.registry import SourceOptions, make_source
from market_data.sources.retrying import Retrying
from market_data.store import Store

FIRST_MONTH = "2000-01-01"
MONTHS = MonthlyPartitionsDefinition(start_date=FIRST_MONTH, end_offset=1)
SYMBOL, MONTH = "symbol", "month"
VENDOR_TAG = "quarterdeck/vendor"
POOL = "vendor"


class IngestionConfig(Config):
    """Where bars come from, and what may be replaced by them."""

    source: str = Field(
        default="yahoo",
        description=(
            "Where the bars come from: alpaca, yahoo or files. Runs of one vendor wait for each "
            f"other by the tag {VENDOR_TAG}: set it to the same word."
        ),
    )
    timeframe: str = Field(
        default="1d", description="Length of the bars, such as 1d or 1m, that the source has."
    )
    as_source: bool = Field(
        default=False,
        description="Keep the bars beside those of other sources, under a symbol such as AAPL@yahoo.",
    )
    full: bool = Field(
        default=False,
        description=(
            "Ask for all days of the month again. Else days that were answered are left out, but "
            "for the recent ones."
        ),
    )
    overwrite: bool = Field(
        default=False,
        description=(
            "Let bars replace those of other sources, and prices that are a multiple of the "
            "stored ones. What is replaced is kept as a revision."
        ),
    )
    reread_days: int = Field(
        default=7,
        description="So many recent days are asked for again, since vendors revise them.",
    )
    calendar: str = Field(
        default="",
        description="Trading calendar such as XNYS, where neither the source nor the store tells.",
    )
    feed: str = Field(
        default="", description="Of alpaca: iex (one exchange, free) or sip (all exchanges)."
    )
    path: str = Field(default="", description="Of files: a file, a zip archive or a folder.")
    glob: str = Field(
        default="", description="Of a folder of files: which of them, such as **/*.csv.gz."
    )
    symbol_from: str = Field(
        default="",
        description="Of files: whether their name or a column tells the symbol; name when empty.",
    )
    pattern: str = Field(
        default="",
        description=(
            "Of files: regular expression over their names with a group (?P<symbol>…); what "
            "stands before the first point or underscore when empty."
        ),
    )
    timezone: str = Field(
        default="",
        description="Of files: zone of times that state none, such as America/New_York.",
    )
    repair: bool = Field(
        default=False,
        description="Widen bars whose high and low do not hold open and close, instead of refusing.",
    )
    drop_unscheduled: bool = Field(
        default=False, description="Leave out bars that are in no session of the calendar."
    )


# Every start of a Dagster process would tell that this parameter of theirs is new.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=BetaWarning)


@asset(
    partitions_def=MultiPartitionsDefinition({SYMBOL: SYMBOLS, MONTH: MONTHS}),
    backfill_policy=BackfillPolicy.single_run(),
    group_name="market_data",
    kinds={"parquet"},
    pool=POOL,
)
def ingested_bars(
    context: AssetExecutionContext,
    config: IngestionConfig,
    settings: ResourceParam[Settings],
    store: ResourceParam[Store],
) -> MaterializeResult:
    """Bars, splits and dividends of an instrument as a source has them, month by month.

    Asks only for what the store has not, and for recent days. A run over many
    partitions asks for each instrument's months together; one that fails
    leaves the others as they came.
    """
    with failing_in_one_line(), logged_step(context, settings.home, "ingested_bars"):
        source = make_source(
            config.source,
            settings,
            SourceOptions(
                config.path,
                config.glob,
                config.symbol_from,
                config.pattern,
                config.timezone,
                config.calendar,
                config.feed,
            ),
            retrying=Retrying(told=context.log.warning),
        )
        done: dict[str, dict[str, Any]] = {}
        errors: list[str] = []
        for symbol, months in stretches(context.partition_keys):
            report = ingest(
                store,
                source,
                [symbol],
                config.timeframe,
                _options(config, months),
                progress=progress_lines(context.log, "steps"),
            ).symbols[0]
            _tell(context, report)
            for month in months:
                key = str(MultiPartitionKey({SYMBOL: symbol, MONTH: month}))
                parts = [one for one in report.partitions if _is_of(one, month)]
                wrong = [one.error for one in parts if one.error] or [report.error]
                if wrong[0]:
                    errors.append(wrong[0])
                else:
                    done[key] = _metadata(store, report, parts, config.timeframe)
    return _result(context, done, list(dict.fromkeys(errors)))


def stretches(keys: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each symbol with months that follow each other, oldest first."""
    by_dimension = [
        key.keys_by_dimension if isinstance(key, MultiPartitionKey) else _parsed(key)
        for key in keys
    ]
    pairs = sorted((one[SYMBOL], one[MONTH]) for one in by_dimension)
    for symbol, rows in groupby(pairs, key=lambda pair: pair[0]):
        months = [month for _, month in rows]
        run: list[str] = []
        for month in months:
            if run and date.fromisoformat(month) != _after(run[-1]):
                yield symbol, run
                run = []
            run.append(month)
        yield symbol, run


def _parsed(key: str) -> dict[str, str]:
    # Dagster joins the dimensions in the order of their names.
    month, _, symbol = key.partition("|")
    return {SYMBOL: symbol, MONTH: month}


def _after(month: str) -> date:
    first = date.fromisoformat(month)
    return (first + timedelta(days=31)).replace(day=1)


def _options(config: IngestionConfig, months: list[str]) -> IngestionOptions:
    return IngestionOptions(
        first=date.fromisoformat(months[0]),
        last=_after(months[-1]) - timedelta(days=1),
        as_source=config.as_source,
        full=config.full,
        overwrite=config.overwrite,
        reread_days=config.reread_days,
        calendar=config.calendar,
        repair=config.repair,
        drop_unscheduled=config.drop_unscheduled,
    )


def _is_of(part: PartitionReport, month: str) -> bool:
    """Return whether a report is about a month; those of daily bars and files are about all."""
    return part.part == month[:7] or not part.part[:4].isdigit()


def _tell(context: AssetExecutionContext, report: SymbolReport) -> None:
    for line in report.notes:
        context.log.info(f"{report.symbol}: {line}")
    for part in report.partitions:
        for found in part.findings:
            context.log.warning(f"{report.symbol} {part.part}: {found.message}")


def _metadata(
    store: Store, report: SymbolReport, parts: list[PartitionReport], timeframe: str
) -> dict[str, Any]:
    """Return what the materialization of one month tells."""
    series = store.find_series(report.stored_as, timeframe)
    answers = [one for one in parts if one.sha256]
    head = "| Request | sha256 | New | Revised |\n|---|---|---:|---:|\n"
    rows = "\n".join(
        f"| {one.request} | {one.sha256[:12]} | {one.n_new:,} | {one.n_revised:,} |"
        for one in answers
    )
    return {
        "dagster/partition_row_count": sum(
            one.n_new + one.n_revised + one.n_unchanged for one in parts
        ),
        "New": sum(one.n_new for one in parts),
        "Revised": sum(one.n_revised for one in parts),
        "Unchanged": sum(one.n_unchanged for one in parts),
        "Stored as": report.stored_as,
        "Bars stored": 0 if series is None else series.rows,
        "Provenance": MetadataValue.md(head + rows) if answers else MetadataValue.text("not asked"),
    }


def _result(
    context: AssetExecutionContext, done: dict[str, dict[str, Any]], errors: list[str]
) -> MaterializeResult:
    if errors:
        # What came stays, and is shown; the run fails all the same.
        for key, metadata in done.items():
            context.log_event(
                AssetMaterialization(AssetKey("ingested_bars"), partition=key, metadata=metadata)
            )
        raise Failure("; ".join(errors), allow_retries=False)
    if len(done) == 1:
        return MaterializeResult(metadata=next(iter(done.values())))
    if not done:
        raise DataError("no partition was asked for")
    return MaterializeResult(
        metadata={
            name: sum(int(one[name]) for one in done.values())
            for name in ("dagster/partition_row_count", "New", "Revised", "Unchanged")
        }
    )
