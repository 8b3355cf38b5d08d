"""The asset `resampled_bars`: longer timeframes, made of the stored bars of an instrument."""

from dagster import (
    AssetExecutionContext,
    Config,
    MaterializeResult,
    MetadataValue,
    ResourceParam,
    asset,
)
from pydantic import Field

from assets.bars import SYMBOLS, bars
from assets.running import failing_in_one_line, logged_step
from foundation.errors import DataError
from foundation.settings import Settings
from market_data.store import Series, Store

# How series begin to say where they come from that were made here.
MADE = "made of "


class ResamplingOptions(Config):
    """Which timeframes to keep in the store."""

    timeframes: list[str] = Field(
        default=["5m", "15m", "1h", "1d"],
        description=(
            "Timeframes to make and store, such as [5m, 1h, 1d]. One that is stored from another "
            "source stays as it is, and one that the stored bars don't give is left out."
        ),
    )


@asset(
    partitions_def=SYMBOLS,
    deps=[bars],
    group_name="market_data",
    kinds={"parquet"},
    description=(
        "Bars of longer timeframes, made of an instrument's shortest ones. Backtests make the same "
        "bars themselves; stored ones spare them the time, and other programs can read them."
    ),
)
def resampled_bars(
    context: AssetExecutionContext,
    config: ResamplingOptions,
    settings: ResourceParam[Settings],
    store: ResourceParam[Store],
) -> MaterializeResult:
    """Make and store the longer timeframes of an instrument; doing it again changes nothing."""
    symbol = context.partition_key
    with failing_in_one_line(), logged_step(context, settings.home, "resampled_bars"):
        made = resample_symbol(store, symbol, config.timeframes)
    for series in made:
        context.log.info(f"{symbol} {series.timeframe}: {series.rows:,} bars, {series.source}")
    head = "| Timeframe | Bars | First | Last | Source |\n|---|---:|---|---|---|\n"
    rows = "\n".join(
        f"| {s.timeframe} | {s.rows:,} | {s.first:%Y-%m-%d} | {s.last:%Y-%m-%d} | {s.source} |"
        for s in made
    )
    return MaterializeResult(
        metadata={
            "dagster/partition_row_count": sum(series.rows for series in made),
            "Series": MetadataValue.md(head + rows if made else "Nothing to make."),
        }
    )


def resample_symbol(store: Store, symbol: str, timeframes: list[str]) -> list[Series]:
    """Make longer timeframes of an instrument's shortest bars, and store them.

    Raises
    ------
    DataError
        If there are no bars of the instrument, or a timeframe is not known.
    """
    from market_data.resampling import can_resample, resample_columns
    from market_data.timeframes import parse_timeframe

    origin = shortest(store, symbol)
    if origin is None:
        raise DataError(f"no bars of {symbol} are stored, of which longer ones could be made")
    frame = parse_timeframe(origin.timeframe)
    targets = sorted((parse_timeframe(name) for name in timeframes), key=lambda f: f.length_ns)
    wanted = [period for period in targets if can_resample(frame, period)]
    wanted = [period for period in wanted if _is_ours(store.find_series(symbol, period.name))]
    if not wanted:
        return []
    columns, _ = store.read_columns(symbol, origin.timeframe)
    table = store.sessions(origin.calendar, int(columns.ts[0]), int(columns.ts[-1]))
    actions = store.read_actions(symbol)
    made = []
    for period in wanted:
        longer = resample_columns(columns, table, frame.name, period.name, actions=actions)
        if longer.n_bars:
            made.append(
                store.write_bars(
                    symbol,
                    period.name,
                    longer,
                    calendar=origin.calendar,
                    source=f"{MADE}{frame.name} bars",
                    # A bar that was revised changes those made of it.
                    overwrite=True,
                )
            )
    return made


def shortest(store: Store, symbol: str) -> Series | None:
    """Return the shortest series of an instrument that was not made here, if any."""
    for timeframe in store.timeframes(symbol):
        series = store.find_series(symbol, timeframe)
        if series is not None and series.files and not series.source.startswith(MADE):
            return series
    return None


def _is_ours(series: Series | None) -> bool:
    return series is None or not series.files or series.source.startswith(MADE)
