"""The asset `backtest`: a strategy run over stored bars, its result on disk and on record."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetExecutionContext,
    AssetSpec,
    MaterializeResult,
    MetadataValue,
    ResourceParam,
    multi_asset,
)
from sqlalchemy import Engine

from assets.equity_picture import equity_picture
from assets.inputs import find_document, request_of
from assets.options import BacktestOptions
from assets.requests import take_request
from assets.running import (
    failing_in_one_line,
    logged_step,
    progress_lines,
    tag_run,
    tag_strategy,
    use_kernels,
)
from foundation.migration import migrate
from foundation.settings import Settings

if TYPE_CHECKING:
    from research.summary import Summary

AUTHOR = "dagster"

BACKTEST = AssetSpec(
    "backtest",
    deps=["bars"],
    group_name="research",
    kinds={"parquet"},
    description=(
        "A strategy run over stored bars: summary, trades, orders, fills, equity, decisions. "
        "The same strategy, bars and options give the same files in the same folder."
    ),
)


# The step has a name of its own, because `backtest` is the job's, and Dagster has one list for both.
@multi_asset(name="run_backtest", specs=[BACKTEST])
def backtest(
    context: AssetExecutionContext,
    config: BacktestOptions,
    settings: ResourceParam[Settings],
    database: ResourceParam[Engine],
) -> MaterializeResult:
    """Run the backtest, write its result, put it on record."""
    use_kernels(settings.home)
    with failing_in_one_line(), logged_step(context, settings.home, "backtest"):
        migrate(database)
        take_request(context, database)
        directory, summary = _run(context, config, settings, database)
    return MaterializeResult(
        metadata={
            **key_figures(summary),
            "Equity": MetadataValue.md(equity_picture(directory)),
            "Folder": MetadataValue.path(directory),
            "Run": MetadataValue.text(summary.run_id),
            "Strategy version": MetadataValue.text(summary.version_hash),
            "Bars": MetadataValue.text(
                f"{summary.bars:,} bars of {summary.timeframe}: {', '.join(summary.instruments)}"
            ),
        }
    )


def _run(
    context: AssetExecutionContext,
    config: BacktestOptions,
    settings: Settings,
    database: Engine,
) -> "tuple[Path, Summary]":
    from research.backtest import run_backtest
    from research.holdout import looks_recorder
    from research.places import refuse_foreign_directory, result_directory
    from research.recording import recorded_run
    from research.summary import SUMMARY_FILE
    from research.writing import write_result
    from trading.document import version_hash

    output = Path(config.output) if config.output else None
    refuse_foreign_directory(output, SUMMARY_FILE)
    document = find_document(config.strategy, database)
    tag_strategy(context, document.name, version_hash(document))
    request, store = request_of(config, document, config.parameters, settings.home, context.log)
    backtest = run_backtest(
        request,
        store,
        before=looks_recorder(
            database,
            store,
            lambda ready: result_directory(output, settings.home, document.name, ready.run_id),
            by=AUTHOR,
        ),
        progress=progress_lines(context.log, "instruments"),
    )
    tag_run(context, backtest.run_id)
    directory = result_directory(output, settings.home, backtest.strategy.name, backtest.run_id)
    with recorded_run(database, backtest, directory, author=AUTHOR) as record:
        summary = write_result(backtest, directory)
        record(summary)
    for note in summary.notes:
        context.log.warning(note)
    context.log.info(f"result written to {directory}")
    return directory, summary


def key_figures(summary: "Summary") -> dict[str, Any]:
    """Return the figures that an admin looks at first, with their units in their names.

    Dagster draws numbers over time, so those of which a comparison makes sense
    are numbers and not text.
    """
    return {
        "Total return (%)": _percent(summary.total_return),
        "Buy and hold (%)": _percent(summary.buy_and_hold_return),
        f"Final equity ({summary.currency})": round(summary.final_equity, 2),
        "CAGR (% a year)": _percent(summary.cagr),
        "Volatility (% a year)": _percent(summary.volatility),
        "Sharpe ratio": _rounded(summary.sharpe),
        "Largest drawdown (%)": _percent(summary.max_drawdown),
        "Trades": summary.n_trades,
        "Winning trades (%)": _percent(summary.win_rate),
        f"Commission ({summary.currency})": round(summary.total_commission, 2),
        "Sessions": MetadataValue.text(f"{summary.start} to {summary.end}"),
    }


def _percent(fraction: float | None) -> float | MetadataValue:
    return _rounded(None if fraction is None else 100.0 * fraction)


def _rounded(value: float | None) -> float | MetadataValue:
    return MetadataValue.text("not defined") if value is None else round(value, 2)
