"""The asset `merged_bars`: one series made of several sources, and whether they agree."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import (
    AllPartitionMapping,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetDep,
    AssetExecutionContext,
    Config,
    MaterializeResult,
    MetadataValue,
    ResourceParam,
    asset,
)
from pydantic import Field

from assets.bars import SYMBOLS, bars
from assets.running import failing_in_one_line, use_kernels
from foundation.errors import DataError, SpecError
from foundation.settings import Settings
from market_data.store import Store, base_symbol

if TYPE_CHECKING:
    from market_data.pairs.comparison import PairComparison
    from market_data.pairs.merging import MergeRules
    from market_data.pairs.stored import MergeReport

SOURCES_AGREE = "sources_agree"
FOLDER = "pairs"


class MergeOptions(Config):
    """Which sources of an instrument are merged, by which rules."""

    sources: list[str] = Field(
        default=[],
        description=(
            "Stored sources in order of priority, such as [AAPL@lean, AAPL@yahoo]; all that are "
            "stored of the instrument, by name, when empty."
        ),
    )
    timeframe: str = Field(
        default="",
        description="Such as 1d or 1m; every timeframe that the sources share when empty.",
    )
    highs: str = Field(
        default="priority",
        description="Of two highs that nobody can judge: priority, inner (lower) or outer.",
    )
    lows: str = Field(
        default="priority",
        description="Of two lows that nobody can judge: priority, inner (higher) or outer.",
    )
    quarantine_moves: float = Field(
        default=1.0,
        description=(
            "A bar goes to quarantine when a difference that nothing decides is as large as so "
            "many usual moves from bar to bar; 0 keeps all bars."
        ),
    )
    overwrite: bool = Field(
        default=False,
        description="Let merged bars replace stored ones; what changes is kept as a revision.",
    )
    warning_share: float = Field(
        default=0.01,
        description="Share of bars beyond tolerance from which the check warns, such as 0.01.",
    )
    error_share: float = Field(
        default=0.25,
        description="Share of bars beyond tolerance from which the check fails, such as 0.25.",
    )


@asset(
    partitions_def=SYMBOLS,
    # A source such as AAPL@yahoo is a partition of its own.
    deps=[AssetDep(bars, partition_mapping=AllPartitionMapping())],
    group_name="market_data",
    kinds={"parquet", "plotly"},
    check_specs=[
        AssetCheckSpec(
            SOURCES_AGREE,
            asset="merged_bars",
            description="Prices of the sources agree within tolerance.",
        )
    ],
)
def merged_bars(
    context: AssetExecutionContext,
    config: MergeOptions,
    settings: ResourceParam[Settings],
    store: ResourceParam[Store],
) -> MaterializeResult:
    """Bars of an instrument merged of its sources, with where each price came from.

    Merging the same sources by the same rules again changes nothing.
    """
    use_kernels(settings.home)
    from market_data.pairs.stored import compare_stored, merge_stored
    from research.pair_page import write_pair_page

    symbol = context.partition_key
    with failing_in_one_line():
        rules = _rules(config)
        names = config.sources or _stored_sources(store, symbol)
        merged: list[MergeReport] = []
        pairs: list[PairComparison] = []
        pages: dict[str, Path] = {}
        for timeframe in _timeframes(store, symbol, names, config.timeframe):
            merged.append(
                merge_stored(
                    store, symbol, names, timeframe, at=datetime.now(UTC), rules=rules,
                    overwrite=config.overwrite,
                )
            )  # fmt: skip
            for other in names[1:]:
                pair = compare_stored(store, names[0], other, timeframe)
                page = settings.home / FOLDER / symbol / f"{names[0]} {other} {timeframe}.html"
                write_pair_page(page, pair)
                pairs.append(pair)
                pages[f"Page of {other} {timeframe}"] = page
                for sentence in pair.findings:
                    context.log.info(f"{timeframe}: {sentence}")
    return MaterializeResult(
        metadata=_metadata(merged, pages), check_results=list(_check(pairs, config))
    )


def _rules(config: MergeOptions) -> "MergeRules":
    from market_data.pairs.merging import MergeRules, RangeRule

    for name in ("highs", "lows"):
        if getattr(config, name) not in list(RangeRule):
            raise SpecError(
                f"must be one of {', '.join(RangeRule)}, got {getattr(config, name)!r}", path=name
            )
    return MergeRules(
        RangeRule(config.highs), RangeRule(config.lows), quarantine_moves=config.quarantine_moves
    )


def _stored_sources(store: Store, symbol: str) -> list[str]:
    names = [name for name in store.symbols() if base_symbol(name) == symbol and name != symbol]
    if len(names) < 2:
        found = f"only {names[0]} is" if names else "none is"
        raise DataError(
            f"two sources of {symbol} are needed, such as {symbol}@yahoo; {found} stored"
        )
    return names


def _timeframes(store: Store, symbol: str, names: list[str], wanted: str) -> list[str]:
    if wanted:
        return [wanted]
    shared = [
        frame
        for frame in store.timeframes(names[0])
        if all(frame in store.timeframes(name) for name in names[1:])
    ]
    if not shared:
        raise DataError(f"{', '.join(names)} of {symbol} have no timeframe in common")
    return shared


def _metadata(merged: "list[MergeReport]", pages: dict[str, Path]) -> dict[str, Any]:
    head = "| Timeframe | Bars | Rule | Prices by source |\n|---|---:|---|---|\n"
    rows = "\n".join(
        f"| {one.series.timeframe} | {one.merged.columns.n_bars:,} | {rule} | "
        + ", ".join(f"{name} {n:,}" for name, n in counts.items())
        + " |"
        for one in merged
        for rule, counts in one.rules.items()
    )
    return {
        "dagster/partition_row_count": sum(one.merged.columns.n_bars for one in merged),
        "Bars changed": sum(one.changed for one in merged),
        "Bars nothing decides": sum(one.undecided for one in merged),
        "New in quarantine": sum(one.quarantined for one in merged),
        "Days that end apart": " ".join(text for one in merged for text in one.day_ends) or "none",
        "Rules": MetadataValue.md(head + rows),
        **{name: MetadataValue.path(path) for name, path in pages.items()},
    }


def _check(pairs: "list[PairComparison]", config: MergeOptions) -> Iterator[AssetCheckResult]:
    """Judge the pair that agrees least."""
    worst = max(pair.share_disagreeing for pair in pairs)
    error = worst >= config.error_share
    yield AssetCheckResult(
        check_name=SOURCES_AGREE,
        passed=worst < config.warning_share,
        severity=AssetCheckSeverity.ERROR if error else AssetCheckSeverity.WARN,
        description=f"{worst:.2%} of the bars of the pair that agrees least are beyond tolerance",
        metadata={
            f"{pair.a.name} and {pair.b.name} {pair.timeframe} (% of bars beyond tolerance)": round(
                100 * pair.share_disagreeing, 3
            )
            for pair in pairs
        },
    )
