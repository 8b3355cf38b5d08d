"""`quarterdeck data ingest`, `sources`, `provenance` and `revisions`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foundation.errors import DataError
from foundation.home import data_home
from foundation.log_file import note
from launcher import options
from launcher.console import error_line, print_json, print_table, progress_bar, warning_line

if TYPE_CHECKING:
    from market_data.ingestion import IngestionReport, PartitionReport, SymbolReport

Symbol = Annotated[str, typer.Argument(metavar="SYMBOL", help="As it is stored.")]
Timeframe = Annotated[str, typer.Argument(metavar="TIMEFRAME", help="Such as 1d or 1m.")]


def ingest(
    symbols: Annotated[
        list[str] | None, typer.Argument(metavar="SYMBOL", help="As the source writes them.")
    ] = None,
    source: Annotated[str, typer.Option(metavar="S", help="alpaca, yahoo or files.")] = "",
    timeframe: Annotated[str, typer.Option(metavar="T", help="Such as 1d or 5m.")] = "1d",
    start: Annotated[
        str, typer.Option(metavar="DATE", help="First session; the first asked before, else all.")
    ] = "",
    end: Annotated[str, typer.Option(metavar="DATE", help="Last session; today.")] = "",
    as_source: Annotated[
        bool, typer.Option("--as-source", help="Keep beside other sources, as AAPL@yahoo.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="Ask for all days again.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace bars of other sources.")
    ] = False,
    reread: Annotated[
        int, typer.Option(min=0, metavar="DAYS", help="Recent days to ask for again.")
    ] = 7,
    calendar: options.Calendar = "",
    feed: Annotated[str, typer.Option(metavar="F", help="Of alpaca: iex or sip.")] = "",
    path: Annotated[
        str, typer.Option(metavar="PATH", help="Of files: a file, zip archive or folder.")
    ] = "",
    glob: Annotated[str, typer.Option(metavar="G", help="Of a folder: such as **/*.csv.gz.")] = "",
    symbol_from: Annotated[
        str, typer.Option(metavar="WHERE", help="Of files: name or column tells the symbol.")
    ] = "",
    pattern: Annotated[
        str, typer.Option(metavar="REGEX", help="Of file names, with (?P<symbol>…).")
    ] = "",
    timezone: options.Timezone = "",
    repair: Annotated[
        bool, typer.Option("--repair", help="Widen bars that don't hold their open and close.")
    ] = False,
    drop_unscheduled: Annotated[
        bool, typer.Option("--drop-unscheduled", help="Leave out bars in no session.")
    ] = False,
    split_listing: Annotated[
        bool,
        typer.Option(
            "--split-listing", help="List bars before another company's as an earlier one."
        ),
    ] = False,
    json: options.Json = False,
) -> None:
    """Bring a source's bars, splits and dividends into the store, or up to date.

    Asks only for what is missing and for the last days; the exit code is 1
    if anything could not be had.

    Example: [bold]quarterdeck data ingest AAPL MSFT --source yahoo --start 2015-01-02[/]
    """
    if not source:
        raise typer.BadParameter("name one of alpaca, yahoo or files", param_hint="--source")
    from foundation.settings import load_settings
    from market_data.ingestion import IngestionOptions
    from market_data.ingestion import ingest as run_ingestion
    from market_data.sources.files import FilesSource
    from market_data.sources.registry import SourceOptions, make_source
    from market_data.sources.retrying import Retrying
    from market_data.store import open_store

    chosen = IngestionOptions(
        first=options.session_date(start, "--start"),
        last=options.session_date(end, "--end"),
        as_source=as_source,
        full=full,
        overwrite=overwrite,
        reread_days=reread,
        calendar=calendar,
        repair=repair,
        drop_unscheduled=drop_unscheduled,
        split_listing=split_listing,
    )
    made = make_source(
        source,
        load_settings(),
        SourceOptions(path, glob, symbol_from, pattern, timezone, calendar, feed),
        retrying=Retrying(told=warning_line),
    )
    names = list(symbols or ())
    if not names and isinstance(made, FilesSource):
        names = made.symbols()
    if not names:
        raise typer.BadParameter("name at least one symbol", param_hint="SYMBOL")
    with progress_bar(f"Ingest from {source}") as progress:
        report = run_ingestion(
            open_store(data_home()), made, names, timeframe, chosen, progress=progress
        )
    note(
        source=report.source,
        timeframe=timeframe,
        symbols=len(report.symbols),
        new=sum(one.total("n_new") for one in report.symbols),
        revised=sum(one.total("n_revised") for one in report.symbols),
        failed=[one.symbol for one in report.failed],
    )
    if json:
        print_json(_described(report))
    else:
        _print(report)
    if report.failed:
        raise typer.Exit(1)


def _described(report: IngestionReport) -> dict[str, Any]:
    return {
        "source": report.source,
        "timeframe": report.timeframe,
        "failed": [one.symbol for one in report.failed],
        "symbols": [
            {
                "symbol": one.symbol,
                "stored_as": one.stored_as,
                "new": one.total("n_new"),
                "revised": one.total("n_revised"),
                "unchanged": one.total("n_unchanged"),
                "withdrawn": one.total("n_withdrawn"),
                "actions": one.n_actions,
                "error": one.error,
                "notes": list(one.notes),
                "partitions": [_partition(part) for part in one.partitions],
            }
            for one in report.symbols
        ],
    }


def _partition(part: PartitionReport) -> dict[str, Any]:
    return {
        "part": part.part,
        "days": part.days,
        "outcome": part.outcome,
        "new": part.n_new,
        "revised": part.n_revised,
        "unchanged": part.n_unchanged,
        "withdrawn": part.n_withdrawn,
        "request": part.request,
        "sha256": part.sha256,
        "notes": list(part.notes),
        "findings": [
            {"name": found.name, "count": found.count, "message": found.message}
            for found in part.findings
        ],
        "error": part.error,
    }


def _print(report: IngestionReport) -> None:
    for one in report.symbols:
        for part in one.partitions:
            for found in part.findings:
                warning_line(f"{one.symbol} {part.part}: {found.name}: {found.message}")
            if part.n_withdrawn:
                warning_line(
                    f"{one.symbol} {part.part}: {part.n_withdrawn} stored bars are not in "
                    f"{report.source}'s answer any more; they stay"
                )
        told = dict.fromkeys(line for part in one.partitions for line in part.notes)
        for line in (*told, *one.notes):
            warning_line(f"{one.symbol}: {line}")
    names = ["symbol", "asked", "new", "revised", "unchanged", "actions", "outcome"]
    rows = [
        [
            one.stored_as,
            _asked(one),
            f"{one.total('n_new'):,}",
            f"{one.total('n_revised'):,}",
            f"{one.total('n_unchanged'):,}",
            str(one.n_actions),
            "failed" if one.failed else "done" if one.partitions else "nothing to ask for",
        ]
        for one in report.symbols
    ]
    print_table(names, rows, numbers=("new", "revised", "unchanged", "actions"))
    for one in report.failed:
        for line in dict.fromkeys([*(p.error for p in one.partitions if p.error), one.error]):
            if line:
                error_line(line)


def _asked(one: SymbolReport) -> str:
    n_parts = len(one.partitions)
    if n_parts == 0:
        return ""
    first, last = one.partitions[0], one.partitions[-1]
    if not first.days:
        return f"{n_parts} files" if n_parts > 1 else first.part
    span = f"{first.days.split(' ')[0]} to {last.days.split(' ')[-1]}"
    return span if n_parts == 1 else f"{span}, {n_parts} parts"


def sources(json: options.Json = False) -> None:
    """List the sources that bars can come from, and what each of them has.

    Example: [bold]quarterdeck data sources[/]
    """
    from market_data.sources.registry import describe_sources

    told = describe_sources()
    if json:
        print_json(told)
        return
    names = ["source", "has", "needs", "timeframes"]
    rows = [[one["source"], one["has"], one["needs"], ", ".join(one["timeframes"])] for one in told]
    print_table(names, rows)


def provenance(symbol: Symbol, timeframe: Timeframe, json: options.Json = False) -> None:
    """Show where the stored bars of a series came from: source, request, time, checksum.

    Example: [bold]quarterdeck data provenance AAPL 1d[/]
    """
    from market_data.store import open_store

    parts = open_store(data_home()).read_provenance(symbol, timeframe)
    told = [
        {
            "part": one.part,
            "rows": one.rows,
            "first": _day(one.first_ns),
            "last": _day(one.last_ns),
            "source": one.provenance.source,
            "request": one.provenance.request,
            "retrieved_at": _moment(one.provenance.retrieved_at),
            "sha256": one.provenance.sha256,
        }
        for one in parts
    ]
    if json:
        print_json(told)
        return
    if not told:
        raise DataError(f"nothing is noted of where the {timeframe} bars of {symbol} came from")
    rows = [
        [f"{one['rows']:,}" if name == "rows" else str(one[name]) for name in one] for one in told
    ]
    print_table(list(told[0]), rows, numbers=("rows",))


def revisions(
    symbol: Symbol,
    timeframe: Timeframe,
    rows: Annotated[int, typer.Option(min=1, help="So many of the latest ones.")] = 50,
    json: options.Json = False,
) -> None:
    """Show what sources changed in bars that were stored before: old and new values.

    Example: [bold]quarterdeck data revisions AAPL 1d[/]
    """
    from market_data.store import open_store

    found = open_store(data_home()).read_revisions(symbol, timeframe)
    told = [
        {
            "ts": _moment(one["ts"]),
            "field": one["field"],
            "old": one["old"],
            "new": one["new"],
            "source": one["source"],
            "revised_at": _moment(one["revised_at"]),
            "request": one["request"],
            "sha256": one["sha256"],
        }
        for one in found.to_pylist()
    ]
    if json:
        print_json(told)
        return
    if not told:
        print(f"no {timeframe} bar of {symbol} was revised")
        return
    names = ["ts", "field", "old", "new", "source", "revised_at"]
    shown = [
        ["–" if one[name] is None else f"{one[name]}" for name in names] for one in told[-rows:]
    ]
    print_table(names, shown, numbers=("old", "new"))


def _moment(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%MZ")


def _day(ns: int) -> str:
    from market_data.checks import stamp

    return stamp(ns)
