"""`quarterdeck data listings` and `actions`: tickers, delistings, splits and dividends."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foundation.errors import DataError
from foundation.home import data_home
from foundation.log_file import note
from launcher import options
from launcher.console import print_json, print_table, warning_line

if TYPE_CHECKING:
    from market_data.listings import Security
    from market_data.store import Store


def listings(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="CSV of securities, tickers and delistings."),
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Show what is stored.")] = False,
    remove: Annotated[str, typer.Option(metavar="ID", help="Take a security out.")] = "",
    json: options.Json = False,
) -> None:
    """Say which company a ticker meant when, and how its shares ended; or show it.

    The file has the columns security, ticker, valid_from, valid_to and, where
    it ended, delisted_on, reason (acquired, merged, bankrupt, liquidated or
    unknown), cash, successor, ratio.

    Example: [bold]quarterdeck data listings listings.csv[/]
    """
    from market_data.listings import import_listings, read_listings, remove_security
    from market_data.store import open_store

    if sum((file is not None, show, bool(remove))) != 1:
        raise typer.BadParameter("name a file, or --list, or --remove ID", param_hint="FILE")
    store = open_store(data_home())
    if remove:
        remove_security(store, remove)
        note(removed=remove)
    elif file is not None:
        if not file.is_file():
            raise DataError(f"no file of listings at {file}")
        imported = import_listings(store, file)
        note(securities=[one.id for one in imported])
    _print_listings(read_listings(store).securities, json=json)


def _print_listings(securities: tuple[Security, ...], *, json: bool) -> None:
    if json:
        print_json(
            [
                {
                    "security": one.id,
                    "tickers": [
                        {
                            "ticker": span.name,
                            "valid_from": _day(span.valid_from),
                            "valid_to": _day(span.valid_to),
                        }
                        for span in one.tickers
                    ],
                    "delisting": None
                    if one.delisting is None
                    else {
                        "date": _day(one.delisting.date),
                        "reason": one.delisting.reason,
                        "cash": one.delisting.cash,
                        "successor": one.delisting.successor,
                        "ratio": one.delisting.ratio,
                    },
                }
                for one in securities
            ]
        )
        return
    if not securities:
        print(
            "no listings are stored: every symbol means one instrument, for all time; a ticker that "
            "changed hands needs one"
        )
        return
    rows = []
    for one in securities:
        for i, span in enumerate(one.tickers):
            ends = one.delisting if i == len(one.tickers) - 1 else None
            rows.append(
                [
                    one.id if i == 0 else "",
                    span.name,
                    _day(span.valid_from) or "",
                    _day(span.valid_to) or "",
                    "" if ends is None else str(ends),
                ]
            )
    print_table(["security", "ticker", "from", "to", "delisted"], rows)


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def actions(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="As it is stored.")],
    against: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Compare with another source of them.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Show the splits and dividends of a symbol, and check them against its prices.

    The exit code is 1 if the prices or the other source tell otherwise.

    Example: [bold]quarterdeck data actions AAPL --against AAPL_actions.csv[/]
    """
    from market_data.store import open_store

    store = open_store(data_home())
    records, findings = _checked_actions(store, symbol)
    if against is not None:
        from market_data.action_checks import compare_actions
        from market_data.actions_file import read_action_records_file

        if not against.is_file():
            raise DataError(f"no file of actions at {against}")
        differences = compare_actions(records, read_action_records_file(against, symbol))
        findings += [{"name": one.name, "message": one.message} for one in differences]
    from market_data.action_records import KINDS, NOT_STATED
    from market_data.sessions import date_of

    rows: list[dict[str, Any]] = [
        {
            "ex_date": date_of(record["ex_date"]).isoformat(),
            "kind": KINDS[record["kind"]],
            "split_ratio": float(record["split_ratio"]),
            "dividend": float(record["dividend"]),
            "announced": None
            if record["announced"] == NOT_STATED
            else date_of(record["announced"]).isoformat(),
        }
        for record in records
    ]
    if json:
        print_json({"symbol": symbol, "actions": rows, "findings": findings})
    else:
        names = ["ex_date", "kind", "split_ratio", "dividend", "announced"]
        table = [
            [
                f"{row[name]:.10g}" if isinstance(row[name], float) else row[name] or ""
                for name in names
            ]
            for row in rows
        ]
        print_table(names, table, numbers=("split_ratio", "dividend"))
        for found in findings:
            warning_line(f"{found['name']}: {found['message']}")
    if findings:
        raise typer.Exit(1)


def _checked_actions(store: Store, symbol: str) -> tuple[Any, list[dict[str, str]]]:
    """Return a symbol's action records, and what its daily prices say against them."""
    from market_data.listings import read_listings
    from market_data.stored_actions import check_against_prices, stored_actions

    stored = stored_actions(store, read_listings(store), symbol)
    found = check_against_prices(stored)
    return stored.records, [{"name": one.name, "message": one.message} for one in found]
