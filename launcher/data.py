"""`quarterdeck import` and `bars`: getting bars into the store, and seeing what is there."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foundation.errors import DataError
from foundation.home import data_home
from foundation.log_file import note
from launcher import options
from launcher.console import print_json, print_table, progress_bar, warning_line

if TYPE_CHECKING:
    from market_data.importing import ImportReport
    from market_data.series import Series

SAMPLE_WORD = "sample"
_N_ROWS_SHOWN = 5


def import_bars(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="CSV or Parquet, or `sample` for the sample set.")
    ],
    symbol: Annotated[str, typer.Option(metavar="S", help="When the file doesn't tell.")] = "",
    timeframe: Annotated[
        str, typer.Option(metavar="T", help="Such as 1d or 5m, when the times don't tell.")
    ] = "",
    timezone: options.Timezone = "",
    calendar: options.Calendar = "",
    quotes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Bid and ask of the same bars.")
    ] = None,
    actions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Splits and dividends of the instrument.")
    ] = None,
    asset_class: Annotated[str | None, typer.Option(help="Of the instrument.")] = None,
    currency: Annotated[str | None, typer.Option(help="Of the instrument.")] = None,
    multiplier: Annotated[float | None, typer.Option(help="Of the instrument.")] = None,
    tick: Annotated[float | None, typer.Option(help="Smallest step of a price.")] = None,
    lot: Annotated[float | None, typer.Option(help="Smallest step of a quantity.")] = None,
    shortable: Annotated[
        bool | None, typer.Option("--shortable/--not-shortable", help="Of the instrument.")
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Widen bars that don't hold their open and close.")
    ] = False,
    drop_unscheduled: Annotated[
        bool, typer.Option("--drop-unscheduled", help="Leave out bars in no session.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace stored bars of the same time.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Check a file of bars and put it into the store; all of it, or nothing.

    Example: [bold]quarterdeck import SPY_1m.csv --calendar XNYS --timezone America/New_York[/]
    """
    from market_data.store import open_store

    store = open_store(data_home())
    if file == SAMPLE_WORD and not Path(file).exists():
        from market_data.sample_set import load_sample

        with progress_bar("Sample set") as progress:
            loaded = load_sample(store, progress)
        _print_series(loaded, json=json)
        return
    path = Path(file).expanduser()
    if not path.is_file():
        raise DataError(f"no file of bars at {path}")
    from market_data.importing import import_file

    with progress_bar(f"Import {path.name}") as progress:
        report = import_file(
            store,
            path,
            symbol=symbol,
            timeframe=timeframe,
            timezone=timezone,
            calendar=calendar,
            quotes=quotes,
            asset_class=asset_class,
            currency=currency,
            multiplier=multiplier,
            tick=tick,
            lot=lot,
            shortable=shortable,
            repair=repair,
            drop_unscheduled=drop_unscheduled,
            overwrite=overwrite,
            progress=progress,
        )
    note(
        symbol=report.symbol,
        timeframe=report.timeframe,
        bars=report.rows if report.changed else 0,
        findings=[found.name for found in report.findings],
    )
    n_actions = 0
    if actions is not None:
        from market_data.actions_file import import_actions

        n_actions = import_actions(store, actions, symbol=report.symbol)
    _print_import(report, n_actions, json=json)


def _print_import(report: ImportReport, n_actions: int, *, json: bool) -> None:
    findings = [
        {"name": found.name, "count": found.count, "message": found.message}
        for found in report.findings
    ]
    if json:
        print_json(
            {
                "symbol": report.symbol,
                "timeframe": report.timeframe,
                "calendar": report.calendar,
                "source": report.source,
                "rows": report.rows,
                "stored_rows": report.stored_rows,
                "changed": report.changed,
                "first": _moment(report.first),
                "last": _moment(report.last),
                "actions": n_actions,
                "findings": findings,
            }
        )
        return
    for found in findings:
        warning_line(f"{found['name']}: {found['message']}")
    done = "imported" if report.changed else "already stored"
    print(
        f"{report.symbol} {report.timeframe}: {report.rows:,} bars {done}, "
        f"{_moment(report.first)} to {_moment(report.last)}, calendar {report.calendar}; "
        f"{report.stored_rows:,} in the store"
        + (f", {n_actions} splits and dividends" if n_actions else "")
    )


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")


def bars(
    symbol: Annotated[
        str, typer.Argument(metavar="[SYMBOL]", help="Show the series of one symbol.")
    ] = "",
    timeframe: Annotated[
        str, typer.Argument(metavar="[TIMEFRAME]", help="Show the bars of one series.")
    ] = "",
    rows: Annotated[
        int, typer.Option(min=1, help="So many first and last bars of a series.")
    ] = _N_ROWS_SHOWN,
    json: options.Json = False,
) -> None:
    """List the stored series of bars, or show one.

    Example: [bold]quarterdeck bars AAPL 1d[/]
    """
    from market_data.store import open_store

    store = open_store(data_home())
    found = store.list_series()
    if symbol:
        found = [one for one in found if one.symbol == symbol]
        if timeframe:
            found = [one for one in found if one.timeframe == timeframe]
        if not found:
            # Says what there is instead.
            store.read_columns(symbol, timeframe or "1d")
    if not timeframe:
        _print_series(found, json=json)
        return
    _print_bars(store, symbol, timeframe, rows, json=json)


def _described(series: Series) -> dict[str, Any]:
    return {
        "symbol": series.symbol,
        "timeframe": series.timeframe,
        "bars": series.rows,
        "first": _moment(series.first),
        "last": _moment(series.last),
        "calendar": series.calendar,
        "source": series.source,
    }


def _print_series(found: list[Series], *, json: bool) -> None:
    described = [_described(one) for one in found]
    if json:
        print_json(described)
        return
    if not described:
        print("the store is empty; `quarterdeck import sample` loads the sample set")
        return
    names = list(described[0])
    rows = [[f"{one[n]:,}" if n == "bars" else str(one[n]) for n in names] for one in described]
    print_table(names, rows, numbers=("bars",))


def _print_bars(store: Any, symbol: str, timeframe: str, n_rows: int, *, json: bool) -> None:
    columns, series = store.read_columns(symbol, timeframe)
    n_bars = columns.n_bars
    shown = sorted({*range(min(n_rows, n_bars)), *range(max(n_bars - n_rows, 0), n_bars)})
    names = ("open", "high", "low", "close", "volume")
    rows: list[dict[str, Any]] = [
        {
            "ts": _moment(datetime.fromtimestamp(int(columns.ts[i]) // 1_000_000_000, UTC)),
            **{name: float(columns.prices[k, i]) for k, name in enumerate(names)},
        }
        for i in shown
    ]
    actions = store.read_actions(symbol)
    if json:
        print_json({**_described(series), "actions": len(actions), "rows": rows})
        return
    print(
        f"{symbol} {timeframe}: {n_bars:,} bars, calendar {series.calendar}, "
        f"{len(actions)} splits and dividends; {series.source}"
    )
    table: list[list[str]] = []
    for i, row in zip(shown, rows, strict=True):
        if table and i == n_bars - n_rows and n_bars > 2 * n_rows:
            table.append(["…"] * 6)
        table.append([row["ts"], *[f"{row[name]:,.10g}" for name in names]])
    print_table(["ts", *names], table, numbers=names)
