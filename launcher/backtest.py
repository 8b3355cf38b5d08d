"""`quarterdeck backtest` and `report`: one strategy over bars, and the result to read."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foundation.errors import QuarterdeckError
from foundation.home import data_home
from launcher import options
from launcher.console import (
    percent,
    plain,
    print_json,
    print_table,
    progress_bar,
    tell_of_compiling,
)

if TYPE_CHECKING:
    from research.backtest import Backtest
    from research.summary import Summary


class ReportFormat(StrEnum):
    """What a report can be written as."""

    HTML = "html"
    PDF = "pdf"
    XLSX = "xlsx"
    CSV = "csv"


def backtest(
    strategy: options.StrategyFile,
    bars: options.Bars = "store",
    out: options.Out = None,
    symbol: options.Symbols = None,
    start: options.Start = "",
    end: options.End = "",
    cash: options.Cash = 100_000.0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PARAMETER=VALUE", help="Another value; repeat it."),
    ] = None,
    no_warmup: options.NoWarmup = False,
    calendar: options.Calendar = "",
    timezone: options.Timezone = "",
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write page, PDF, XLSX and CSV too.")
    ] = True,
    record: Annotated[
        bool, typer.Option("--record/--no-record", help="Keep version and run in the database.")
    ] = True,
    json: options.Json = False,
) -> None:
    """Run a strategy over bars and write the result.

    Example: [bold]quarterdeck backtest examples/macd_trend.yaml --symbol AAPL --start 2005-01-03[/]
    """
    first, last = options.session_date(start, "--start"), options.session_date(end, "--end")
    values = {name: options.number(text, name) for name, text in options.named_values(set_).items()}
    from research.places import bars_source, refuse_foreign_directory, result_directory
    from research.summary import SUMMARY_FILE
    from trading.document import load_document

    home = data_home()
    refuse_foreign_directory(out, SUMMARY_FILE)
    source, store = bars_source(bars, home)
    # Checked before the engine is loaded, so that a mistake is told at once.
    document = load_document(strategy)
    from research.backtest import BacktestRequest, run_backtest
    from research.writing import write_result

    tell_of_compiling()
    request = BacktestRequest(
        document,
        source=source,
        symbols=tuple(symbol or ()),
        start=first,
        end=last,
        cash=cash,
        values=values,
        warmup=not no_warmup,
        calendar=calendar,
        timezone=timezone,
    )
    with progress_bar("Backtest") as progress:
        finished = run_backtest(request, store, progress=progress)
        directory = result_directory(out, home, finished.strategy.name, finished.run_id)
        summary = write_result(finished, directory)
    # The figures are there; from here on imports may take their time.
    if record:
        _record(finished, summary, directory)
    if report:
        from research.report import write_report

        with progress_bar("Report") as progress:
            write_report(directory, progress=progress)
    if json:
        import msgspec

        print_json({"directory": str(directory), **msgspec.to_builtins(summary)})
    else:
        _print_summary(summary, directory, with_report=report)


def _record(finished: Backtest, summary: Summary, directory: Path) -> None:
    """Store version and run; the files are whole whatever happens here."""
    from foundation.database import make_engine
    from foundation.migration import migrate
    from foundation.settings import load_settings
    from research.recording import recorded_run

    try:
        engine = make_engine(load_settings().database_url)
        try:
            migrate(engine)
            with recorded_run(engine, finished, directory, author="") as succeeded:
                succeeded(summary)
        finally:
            engine.dispose()
    except QuarterdeckError as error:
        raise type(error)(
            f"the result is in {directory}, but could not be recorded: {error}"
            " (--no-record leaves the database out)"
        ) from error


def _print_summary(summary: Summary, directory: Path, *, with_report: bool) -> None:
    money = summary.currency
    rows = [
        ["final equity", f"{summary.final_equity:,.2f} {money}"],
        ["total return", percent(summary.total_return)],
        ["buy and hold", percent(summary.buy_and_hold_return)],
        ["yearly return", percent(summary.cagr)],
        ["volatility", percent(summary.volatility)],
        ["Sharpe ratio", plain(summary.sharpe)],
        ["max drawdown", percent(summary.max_drawdown)],
        ["exposure", percent(summary.exposure)],
        ["trades", f"{summary.n_trades:,}"],
        ["win rate", percent(summary.win_rate)],
        ["profit factor", plain(summary.profit_factor)],
        ["commission", f"{summary.total_commission:,.2f} {money}"],
    ]
    title = (
        f"{summary.strategy} on {', '.join(summary.instruments)}, {summary.start} to "
        f"{summary.end}, {summary.bars:,} bars of {summary.timeframe}"
    )
    print_table(["figure", "value"], rows, title=title, numbers=("value",))
    if summary.n_trades == 0:
        print(_why_no_trade(summary, directory))
    for note in summary.notes:
        print(f"Note: {note}")
    print(f"Result: {directory}")
    if with_report:
        print(f"Report: {directory / 'report.html'}")


def _why_no_trade(summary: Summary, directory: Path) -> str:
    """Name the reasons for which entries were not taken, the most frequent first."""
    from collections import Counter

    import pyarrow.parquet as pq

    if summary.n_open:
        return "No trade is complete: the position is open at the end."
    table = pq.read_table(directory / "decisions.parquet", columns=["reason"])
    counts = Counter(reason for reason in table["reason"].to_pylist() if reason)
    reasons = ", ".join(f"{name} {n:,}" for name, n in counts.most_common())
    return f"No trade. Bars by the reason why not: {reasons or 'none recorded'}."


def report(
    result: Annotated[Path, typer.Argument(metavar="RESULT_DIR", help="Written by a backtest.")],
    formats: Annotated[
        list[ReportFormat] | None,
        typer.Option("--format", help="Only this one; repeat it. All by default."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Write the report of a result: page, PDF, XLSX and CSV.

    Example: [bold]quarterdeck report results/macd-trend --format html[/]
    """
    from research.report import write_report

    wanted = [each.value for each in formats or ReportFormat]
    with progress_bar("Report") as progress:
        written = write_report(result.expanduser(), formats=wanted, progress=progress)
    if json:
        print_json({"files": [str(path) for path in written]})
        return
    for path in written:
        print(path)
