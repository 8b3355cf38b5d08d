"""What is stored of a symbol besides its bars: its actions and its listing, and whether they fit.

Actions are held to the daily prices, listings to the days of the bars, and two
sources of the same actions to each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data.action_checks import check_actions, compare_actions
from market_data.action_records import known_actions
from market_data.checks import Finding
from market_data.columns import BarColumns
from market_data.listings import Listings, Security, check_listings
from market_data.quality.findings import Severity
from market_data.reused_tickers import ReuseCheck, reuse_finding
from market_data.securities import (
    MOST_SESSIONS_BEFORE_END,
    final_value,
    has_bars,
    read_security,
)
from market_data.sessions import SessionTable, date_of, days_of
from market_data.store import Store, base_symbol, source_of
from market_data.timeframes import DAY_NS, parse_timeframe

# What a finding means for results; those that are not named are worth knowing only.
SEVERITIES_OF_FINDINGS = {
    "prices_adjusted": Severity.INFO,
    "split_not_in_prices": Severity.ERROR,
    "split_without_action": Severity.ERROR,
    "dividend_above_price": Severity.ERROR,
    "ex_date_no_session": Severity.WARNING,
    "listings_damaged": Severity.ERROR,
    "ticker_reused": Severity.ERROR,
    "joined_series_differ": Severity.WARNING,
    "outside_validity": Severity.WARNING,
    "delisting_beyond_bars": Severity.WARNING,
    "delisting_value_unknown": Severity.WARNING,
    "only_in_first": Severity.WARNING,
    "only_in_second": Severity.WARNING,
    "split_differs": Severity.ERROR,
    "dividend_differs": Severity.WARNING,
    "ex_date_differs": Severity.WARNING,
}


def severity_of(finding: Finding) -> Severity:
    """Return how much a finding about actions or listings matters."""
    return SEVERITIES_OF_FINDINGS.get(finding.name, Severity.INFO)


@dataclass(frozen=True, slots=True)
class StoredActions:
    """A symbol's actions with the security and the daily bars that they belong to.

    Attributes
    ----------
    symbol : str
    security : Security or None
        None where the listings say nothing of the symbol.
    records : ACTION_RECORD array
        By ex-date.
    daily : BarColumns or None
        Raw, made of the shortest stored bars where no daily ones are stored;
        None without any.
    table : SessionTable or None
        Sessions of the bars' calendar; None without bars.
    notes : tuple of Finding
        What the joining of the security's series found.
    """

    symbol: str
    security: Security | None
    records: NDArray[np.void]
    daily: BarColumns | None
    table: SessionTable | None
    notes: tuple[Finding, ...]


def stored_actions(
    store: Store, listings: Listings, symbol: str, security: Security | None = None
) -> StoredActions:
    """Read a symbol's actions, and the bars that tell whether they are right.

    Parameters
    ----------
    security : Security, optional
        Of several that had the ticker; the latest when not given.

    Raises
    ------
    DataError
        If neither actions nor bars of the symbol are stored.
    """
    security = security or listings.resolve(symbol)
    source = source_of(symbol)
    columns: BarColumns | None = None
    calendar = ""
    notes: tuple[Finding, ...] = ()
    if security is not None and has_bars(store, listings, security, "1d", source):
        bars = read_security(store, listings, security, "1d", source=source)
        records, columns, notes = bars.records, bars.columns, bars.findings
        calendar = bars.series[0].calendar
    else:
        records = store.read_action_records(symbol)
        frames = [name for name in store.timeframes(symbol) if _makes_days(name)]
        if frames:
            columns, series = store.read_columns(symbol, frames[-1])
            calendar = series.calendar
    if columns is None or columns.n_bars == 0:
        if not records.shape[0]:
            raise DataError(f"no splits or dividends and no bars of {symbol} are stored")
        return StoredActions(symbol, security, records, None, None, notes)
    first, last = int(columns.ts[0]), int(columns.ts[-1])
    if security is not None and security.delisting is not None:
        last = max(last, days_of(security.delisting.date) * DAY_NS)
    table = store.sessions(calendar, first, last)
    return StoredActions(symbol, security, records, by_session(columns), table, notes)


def _makes_days(timeframe: str) -> bool:
    """Return whether bars are daily, or make daily ones."""
    return timeframe == "1d" or parse_timeframe(timeframe).intraday


def by_session(columns: BarColumns) -> BarColumns:
    """Return one bar for each session: first open, highest, lowest, last close, all volume."""
    session = columns.session
    starts = np.flatnonzero(np.append(True, session[1:] != session[:-1]))
    if starts.shape[0] == columns.n_bars:
        return columns
    last = np.append(starts[1:], session.shape[0]) - 1
    open_, high, low, close, volume = columns.prices
    prices = np.stack(
        [
            open_[starts],
            np.maximum.reduceat(high, starts),
            np.minimum.reduceat(low, starts),
            close[last],
            np.add.reduceat(volume, starts),
        ]
    )
    return BarColumns(columns.ts[starts], session[starts], prices)


def check_against_prices(stored: StoredActions) -> list[Finding]:
    """Report actions that the prices contradict, and prices that lack an action."""
    if stored.daily is None or stored.table is None:
        return []
    findings = check_actions(stored.daily, stored.records)
    if not any(one.name == "prices_adjusted" for one in findings):
        # Cash of the day says nothing against prices of another day's shares.
        findings += _above_price(stored.daily, stored.records)
    return findings + _on_no_session(stored.table, stored.records)


def _above_price(daily: BarColumns, records: NDArray[np.void]) -> list[Finding]:
    """Report dividends that no holder of a share at the last close could be paid."""
    i_bar = np.searchsorted(daily.session, records["ex_date"], "left")
    inside = (i_bar > 0) & (i_bar < daily.n_bars)
    close = daily.prices[3, np.maximum(i_bar - 1, 0)]
    wrong = np.flatnonzero(inside & (records["dividend"] >= close))
    if wrong.shape[0] == 0:
        return []
    i = int(wrong[0])
    text = (
        f"{wrong.shape[0]} dividends are not below the close before them, first "
        f"{records['dividend'][i]:g} on {date_of(int(records['ex_date'][i]))} after a close of "
        f"{close[i]:g}: another company's, or in another unit"
    )
    return [Finding("dividend_above_price", int(wrong.shape[0]), text)]


def _on_no_session(table: SessionTable, records: NDArray[np.void]) -> list[Finding]:
    """Report ex-dates within the calendar on which there was no session."""
    days = records["ex_date"]
    within = (days >= table.first_date) & (days <= table.last_date)
    wrong = days[within & ~np.isin(days, table.date)]
    if wrong.shape[0] == 0:
        return []
    text = (
        f"{wrong.shape[0]} ex-dates are no session of {table.calendar}, first "
        f"{date_of(int(wrong[0]))}: they count from the next session on"
    )
    return [Finding("ex_date_no_session", int(wrong.shape[0]), text)]


def check_against_listings(
    store: Store, listings: Listings, stored: StoredActions
) -> list[Finding]:
    """Report bars that are not the security's, and an end that its bars don't reach.

    Where the listings say nothing of the symbol, the bars are searched for a
    second company.
    """
    try:
        check_listings(listings)
    except DataError as error:
        return [Finding("listings_damaged", 1, str(error))]
    daily, table, security = stored.daily, stored.table, stored.security
    if daily is None or table is None:
        return []
    if security is None:
        search = ReuseCheck()
        search.take(daily)
        reused = search.find(table, known_actions(stored.records))
        return [reuse_finding(stored.symbol, reused)] if reused else []
    findings = list(stored.notes)
    if security.delisting is None:
        return findings
    end = days_of(security.delisting.date)
    n_missing = table.between(int(daily.session[-1]) + 1, end).date.shape[0]
    if n_missing > MOST_SESSIONS_BEFORE_END:
        text = (
            f"the bars end {n_missing} sessions before the delisting on {date_of(end)}: a position "
            "is open at the end of the data"
        )
        findings.append(Finding("delisting_beyond_bars", n_missing, text))
    final = final_value(store, listings, security, daily)
    if final is not None and final.finding.name == "delisting_value_unknown":
        findings.append(final.finding)
    return findings


def check_sources(store: Store, symbol: str) -> list[Finding]:
    """Report where the actions of the symbol's sources differ from its own, over common days."""
    base = base_symbol(symbol)
    own = store.read_action_records(symbol)
    findings = []
    for other in store.symbols():
        if other == symbol or base_symbol(other) != base:
            continue
        for one in compare_actions(own, store.read_action_records(other)):
            text = f"{symbol} (first) and {other} (second): {one.message}"
            findings.append(Finding(one.name, 1, text))
    return findings


def owners_of(listings: Listings, symbol: str) -> list[Security | None]:
    """Return all securities that had a ticker, the latest last; None where nothing is known."""
    owners = dict.fromkeys(security for _, security in listings.owners(base_symbol(symbol)))
    return list(owners) or [listings.resolve(symbol)]
