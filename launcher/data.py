"""`quarterdeck import` and `bars`: getting bars into the store, and seeing what is there."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from foundation.errors import DataError
from foundation.home import data_home
from foundation.log_file import note
from launcher import options
from launcher.console import error_line, print_json, print_table, progress_bar, warning_line

if TYPE_CHECKING:
    from market_data.importing import FileOutcome, ImportReport
    from market_data.loading import Adjustment
    from market_data.series import Series

SAMPLE_WORD = "sample"
_N_ROWS_SHOWN = 5


def import_bars(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="CSV or Parquet, a zip archive or folder of them, or `sample` for the sample set.",
        ),
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
    all_symbols: Annotated[
        bool, typer.Option("--all-symbols", help="Import all symbols of a file that has several.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Of several files, stop at the first that is refused.")
    ] = False,
    split_listing: Annotated[
        bool,
        typer.Option("--split-listing", help="Keep companies apart that had the ticker in turn."),
    ] = False,
    json: options.Json = False,
) -> None:
    """Check a file of bars and put it into the store; all of it, or nothing.

    Of a folder, an archive of several files or several symbols, each is
    imported whole or refused; the exit code is 1 when one was refused.

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
    if not path.exists() and not any(one.is_file() for one in path.parents):
        raise DataError(f"no file of bars at {path}")
    from market_data.importing import ImportOptions, holds_several, import_file, import_files

    if all_symbols or holds_several(path):
        if quotes is not None or actions is not None:
            raise DataError("--quotes and --actions belong to one file of one symbol")
        stated = {
            "calendar": calendar or None,
            "asset_class": asset_class,
            "currency": currency,
            "multiplier": multiplier,
            "tick": tick,
            "lot": lot,
            "shortable": shortable,
        }
        several = ImportOptions(
            symbol=symbol,
            timeframe=timeframe,
            timezone=timezone,
            stated={name: value for name, value in stated.items() if value is not None},
            repair=repair,
            drop_unscheduled=drop_unscheduled,
            overwrite=overwrite,
            split_listing=split_listing,
        )
        with progress_bar(f"Import {path.name}") as progress:
            outcomes = import_files(
                store, path, several, all_symbols=all_symbols, strict=strict, progress=progress
            )
        _print_outcomes(outcomes, json=json)
        return
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
            split_listing=split_listing,
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


def _print_outcomes(outcomes: list[FileOutcome], *, json: bool) -> None:
    """Print what became of each file; end with 1 when one was refused."""
    reports = [report for one in outcomes for report in one.reports]
    n_refused = sum(len(one.errors) for one in outcomes)
    note(
        files=len(outcomes),
        bars=sum(report.rows for report in reports if report.changed),
        refused=n_refused,
    )
    if json:
        print_json(
            [
                {
                    "file": one.name,
                    "imported": [_as_json(report, 0) for report in one.reports],
                    "errors": list(one.errors),
                }
                for one in outcomes
            ]
        )
    else:
        for one in outcomes:
            for report in one.reports:
                _print_import(report, 0, json=False)
            for message in one.errors:
                error_line(message)
        print(
            f"{len(outcomes)} files: {len(reports)} series imported"
            + (f", {n_refused} refused" if n_refused else "")
        )
    if n_refused:
        raise typer.Exit(1)


def _as_json(report: ImportReport, n_actions: int) -> dict[str, Any]:
    return {
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
        "findings": [
            {"name": found.name, "count": found.count, "message": found.message}
            for found in report.findings
        ],
    }


def _print_import(report: ImportReport, n_actions: int, *, json: bool) -> None:
    if json:
        print_json(_as_json(report, n_actions))
        return
    for found in report.findings:
        warning_line(f"{found.name}: {found.message}")
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
    adjust: Annotated[
        str, typer.Option(metavar="A", help="none, splits or all: splits and dividends.")
    ] = "none",
    as_of: Annotated[
        str, typer.Option(metavar="DATE", help="Only what was known at the close of that session.")
    ] = "",
    json: options.Json = False,
) -> None:
    """List the stored series of bars, or show one, also adjusted as of a day.

    Example: [bold]quarterdeck bars AAPL 1d --adjust all --as-of 2005-03-01[/]
    """
    if adjust not in ("none", "splits", "all"):
        raise typer.BadParameter(
            f"must be none, splits or all, got {adjust}", param_hint="--adjust"
        )
    if (as_of or adjust != "none") and not timeframe:
        raise typer.BadParameter("name a symbol and a timeframe with it", param_hint="TIMEFRAME")
    from market_data.store import open_store

    store = open_store(data_home())
    if timeframe:
        from market_data.listings import read_listings

        day = options.session_date(as_of, "--as-of")
        if day is not None or adjust != "none" or read_listings(store).resolve(symbol):
            how = cast("Adjustment", adjust)
            _print_loaded(store, symbol, timeframe, rows, how, day, json=json)
            return
    found = store.list_series()
    if symbol:
        names = _names_of(store, symbol)
        found = [one for one in found if one.symbol in names]
        if timeframe:
            found = [one for one in found if one.timeframe == timeframe]
        if not found:
            # Says what there is instead.
            store.read_columns(symbol, timeframe or "1d")
    if not timeframe:
        _print_series(found, json=json)
        return
    _print_bars(store, symbol, timeframe, rows, json=json)


def _names_of(store: Any, symbol: str) -> set[str]:
    """Return the symbols under which bars of a symbol's security may be stored."""
    from market_data.listings import read_listings

    security = read_listings(store).resolve(symbol)
    if security is None:
        return {symbol}
    return {symbol, security.id, *(span.name for span in security.tickers)}


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
    actions = store.read_actions(symbol)
    about = {**_described(series), "actions": len(actions)}
    head = (
        f"{symbol} {timeframe}: {columns.n_bars:,} bars, calendar {series.calendar}, "
        f"{len(actions)} splits and dividends; {series.source}"
    )
    _print_rows(columns.ts, columns.prices, n_rows, about, head, json=json)


def _print_loaded(
    store: Any,
    symbol: str,
    timeframe: str,
    n_rows: int,
    adjust: Adjustment,
    as_of: date | None,
    *,
    json: bool,
) -> None:
    """Print bars as a run would see them: of a security, adjusted, as of a day."""
    from market_data.loading import load_bars

    loaded = load_bars(store, symbol, timeframe, adjust=adjust, as_of=as_of)
    bars = loaded.bars
    about: dict[str, Any] = {
        "symbol": bars.instrument.symbol,
        "timeframe": bars.timeframe,
        "bars": bars.n_bars,
        "first": _moment(datetime.fromtimestamp(int(bars.ts[0]) // 1_000_000_000, UTC)),
        "last": _moment(datetime.fromtimestamp(int(bars.ts[-1]) // 1_000_000_000, UTC)),
        "calendar": bars.instrument.calendar,
        "source": loaded.source,
        "adjust": adjust,
        "as_of": None if as_of is None else as_of.isoformat(),
        "findings": [{"name": one.name, "message": one.message} for one in loaded.findings],
    }
    how = {"none": "as traded", "splits": "adjusted for splits", "all": "adjusted for all"}[adjust]
    head = (
        f"{bars.instrument.symbol} {bars.timeframe}: {bars.n_bars:,} bars, calendar "
        f"{bars.instrument.calendar}, {how}"
        + ("" if as_of is None else f" as of {as_of}")
        + f"; {loaded.source}"
    )
    if not json:
        for found in loaded.findings:
            warning_line(f"{found.name}: {found.message}")
    _print_rows(bars.ts, bars.prices, n_rows, about, head, json=json)


def _print_rows(
    ts: Any, prices: Any, n_rows: int, about: dict[str, Any], head: str, *, json: bool
) -> None:
    n_bars = ts.shape[0]
    shown = sorted({*range(min(n_rows, n_bars)), *range(max(n_bars - n_rows, 0), n_bars)})
    names = ("open", "high", "low", "close", "volume")
    rows: list[dict[str, Any]] = [
        {
            "ts": _moment(datetime.fromtimestamp(int(ts[i]) // 1_000_000_000, UTC)),
            **{name: float(prices[k, i]) for k, name in enumerate(names)},
        }
        for i in shown
    ]
    if json:
        print_json({**about, "rows": rows})
        return
    print(head)
    table: list[list[str]] = []
    for i, row in zip(shown, rows, strict=True):
        if table and i == n_bars - n_rows and n_bars > 2 * n_rows:
            table.append(["…"] * 6)
        table.append([row["ts"], *[f"{row[name]:,.10g}" for name in names]])
    print_table(["ts", *names], table, numbers=names)
