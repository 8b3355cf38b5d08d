"""The asset `backtest`: a strategy run over stored bars, its result on disk and on record."""

from datetime import date
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
from assets.options import BacktestOptions
from assets.running import failing_in_one_line, progress_lines, use_kernels
from foundation.errors import SpecError
from foundation.home import CHECKOUT
from foundation.migration import migrate
from foundation.settings import Settings
from market_data.store import Store

if TYPE_CHECKING:
    from research.backtest import BacktestRequest
    from research.summary import Summary
    from trading.document import StrategyDocument

AUTHOR = "dagster"
STRATEGY_TAG = "quarterdeck/strategy"
VERSION_TAG = "quarterdeck/version"
RUN_ID_TAG = "quarterdeck/run_id"
HASH_DIGITS = frozenset("0123456789abcdef")
N_HASH_DIGITS_SHOWN = 12


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
    with failing_in_one_line():
        migrate(database)
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
    from research.places import refuse_foreign_directory, result_directory
    from research.recording import recorded_run
    from research.summary import SUMMARY_FILE
    from research.writing import write_result
    from trading.document import version_hash

    document = find_document(config.strategy, database)
    version = version_hash(document)
    context.instance.add_run_tags(
        context.run.run_id,
        {STRATEGY_TAG: document.name, VERSION_TAG: version[:N_HASH_DIGITS_SHOWN]},
    )
    context.log.info(f"strategy {document.name}, version {version[:N_HASH_DIGITS_SHOWN]}")
    output = Path(config.output) if config.output else None
    refuse_foreign_directory(output, SUMMARY_FILE)
    request, store = request_of(config, document, settings.home)
    if request.source is None and not store.symbols():
        _load_sample(context, store)
    backtest = run_backtest(request, store, progress=progress_lines(context.log, "instruments"))
    context.instance.add_run_tags(context.run.run_id, {RUN_ID_TAG: backtest.run_id})
    directory = result_directory(output, settings.home, backtest.strategy.name, backtest.run_id)
    with recorded_run(database, backtest, directory, author=AUTHOR) as record:
        summary = write_result(backtest, directory)
        record(summary)
    for note in summary.notes:
        context.log.warning(note)
    context.log.info(f"result written to {directory}")
    return directory, summary


def _load_sample(context: AssetExecutionContext, store: Store) -> None:
    from market_data.sample_set import load_sample

    context.log.info("the store is empty, so the sample set is loaded first")
    load_sample(store, progress_lines(context.log, "series"))


def find_document(strategy: str, database: Engine) -> "StrategyDocument":
    """Return the document that a launchpad's text names or is.

    Parameters
    ----------
    strategy : str
        Text of a document, digits of a stored version's hash, or a path;
        relative ones are looked for in the working directory, then in the
        checkout.

    Raises
    ------
    SpecError, DataError
        If it is none of these, or not a valid document.
    """
    from strategies.versions import get_version
    from trading.document import load_document

    text = strategy.strip()
    if not text:
        raise SpecError("a path, a version's hash or a document is needed", path="strategy")
    if "\n" in text or text.startswith("{"):
        return load_document(strategy.encode())
    path = next((p for p in (Path(text), CHECKOUT / text) if p.is_file()), None)
    if path is not None:
        return load_document(path)
    if 6 <= len(text) <= 64 and HASH_DIGITS.issuperset(text.lower()):
        return load_document(get_version(database, text.lower()).document.encode())
    raise SpecError(f"no file {text!r}, and no digits of a version's hash", path="strategy")


def request_of(
    config: BacktestOptions, document: "StrategyDocument", home: Path
) -> "tuple[BacktestRequest, Store]":
    """Return the request that a launchpad's options make, and the store it reads.

    Raises
    ------
    SpecError
        If a date can't be read.
    DataError
        If there are no such bars.
    """
    from research.backtest import BacktestRequest
    from research.places import bars_source

    source, store = bars_source(config.bars, home)
    request = BacktestRequest(
        document=document,
        source=source,
        symbols=tuple(config.symbols),
        start=_date(config.start, "start"),
        end=_date(config.end, "end"),
        cash=config.cash,
        values=config.parameters,
        warmup=config.warmup,
        calendar=config.calendar,
        timezone=config.timezone,
    )
    return request, store


def _date(text: str, name: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise SpecError(f"must be a date such as 2008-01-31, got {text!r}", path=name) from None


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
