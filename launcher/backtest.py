"""`quarterdeck backtest` and `report`: one strategy over bars, and the result to read."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from launcher import options
from launcher.backtesting import CASH, BacktestOptions, perform
from launcher.console import print_json, progress_bar


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
    cash: options.Cash = CASH,
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
    perform(
        BacktestOptions(
            strategy=strategy,
            bars=bars,
            out=out,
            symbols=tuple(symbol or ()),
            start=first,
            end=last,
            cash=cash,
            values=values,
            warmup=not no_warmup,
            calendar=calendar,
            timezone=timezone,
            report=report,
            record=record,
            json=json,
        )
    )


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
