"""`quarterdeck backtest`: one strategy over bars, to a result directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foundation.home import data_home
from launcher import options
from launcher.console import print_json, progress_bar

if TYPE_CHECKING:
    from research.backtest import Backtest
    from research.summary import Summary


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
    from research.backtest import BacktestRequest, run_backtest
    from research.writing import write_result
    from trading.document import load_document

    home = data_home()
    options.refuse_foreign_directory(out, "summary.json")
    source, store = options.bars_source(bars, home)
    document = load_document(strategy)
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
        directory = options.result_directory(out, home, finished.strategy.name, finished.run_id)
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
        print(directory)


def _record(finished: Backtest, summary: Summary, directory: Path) -> None:
    pass
