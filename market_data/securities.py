"""Bars of a security: the series of its tickers joined, and what its shares ended at.

Series are stored under the tickers that their files and vendors use. Here the
parts of them that belong to one security become one series; nothing is copied
in the store, so that listings can be corrected without another import.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data.action_records import ACTION_RECORD
from market_data.checks import Finding
from market_data.columns import BarColumns, merge_columns
from market_data.companies import Companies
from market_data.listings import BANKRUPT, Listings, Security, Ticker
from market_data.resampling import can_resample
from market_data.series import Series
from market_data.sessions import days_of
from market_data.store import SOURCE_MARK, Store, base_symbol, source_of
from market_data.timeframes import parse_timeframe
from trading.instruments import Instrument

_BEFORE_ALL, _AFTER_ALL = -(1 << 40), 1 << 40
# Bars that end longer before a delisting are not all the bars that there were.
MOST_SESSIONS_BEFORE_END = 21

# Findings that whoever reads a result should know of, by name.
LISTING_FINDINGS = frozenset(
    (
        "delisted",
        "delisting_beyond_bars",
        "delisting_value_unknown",
        "joined_series_differ",
        "outside_validity",
        "series_joined",
        "ticker_reused",
    )
)


@dataclass(frozen=True, slots=True)
class SecurityBars:
    """Stored bars of a security under all its tickers.

    Attributes
    ----------
    columns : BarColumns
        Of the timeframe `stored`.
    stored : str
        Timeframe asked for, or a shorter one that it can be made of.
    series : tuple of Series
        Those that they come from.
    records : ACTION_RECORD array
        Splits and dividends of the same days, by ex-date.
    findings : tuple of Finding
    """

    columns: BarColumns
    stored: str
    series: tuple[Series, ...]
    records: NDArray[np.void]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """The days on which the bars stored under a symbol are the security's."""

    symbol: str
    days: tuple[tuple[int, int], ...]
    not_days: tuple[tuple[int, int], ...] = ()

    def holds(self, session: NDArray[np.int64]) -> NDArray[np.bool_]:
        inside = np.zeros(session.shape[0], np.bool_)
        for first, last in self.days:
            inside |= (session >= first) & (session <= last)
        for first, last in self.not_days:
            inside &= (session < first) | (session > last)
        return inside


def _days(span: Ticker) -> tuple[int, int]:
    return (
        _BEFORE_ALL if span.valid_from is None else days_of(span.valid_from),
        _AFTER_ALL if span.valid_to is None else days_of(span.valid_to),
    )


def _parts(listings: Listings, security: Security, source: str) -> list[_Part]:
    """Return where bars of a security may be stored, those under its ticker of the day last.

    A vendor may call all of its history by the last ticker: bars under the id
    belong to the security for all its life, except on days on which the ticker
    of that name was another's.
    """
    mark = SOURCE_MARK + source if source else ""
    life = (_days(security.tickers[0])[0], _days(security.tickers[-1])[1])
    others = tuple(_days(span) for span, owner in listings.owners(security.id) if owner != security)
    parts = [_Part(security.id + mark, (life,), others)]
    for name in dict.fromkeys(span.name for span in security.tickers):
        spans = tuple(_days(span) for span in security.tickers if span.name == name)
        if name != security.id:
            parts.append(_Part(name + mark, spans))
    return parts


def read_security(
    store: Store,
    listings: Listings,
    security: Security,
    timeframe: str,
    *,
    source: str = "",
    last_ns: int | None = None,
) -> SecurityBars:
    """Join the stored bars of a security.

    Parameters
    ----------
    source : str
        Of several that are stored; empty for the plain series.
    last_ns : int, optional
        Leave files out that begin later.

    Raises
    ------
    DataError
        If nothing of it is stored, or its series have unlike calendars.
    """
    parts = _parts(listings, security, source)
    stored = _stored_timeframe(store, parts, timeframe)
    joined: BarColumns | None = None
    used: list[Series] = []
    findings: list[Finding] = []
    for part in parts:
        if stored is None or store.find_series(part.symbol, stored) is None:
            continue
        columns, series = store.read_columns(part.symbol, stored, last_ns=last_ns)
        held = part.holds(columns.session)
        findings += _nobodys(listings, part.symbol, columns.session[~held])
        columns = columns.select(held)
        if columns.n_bars == 0:
            continue
        used.append(series)
        if joined is None:
            joined = columns
            continue
        n_unlike = _count_unlike(joined, columns)
        if n_unlike:
            text = (
                f"{n_unlike} bars under {part.symbol} have other values than those under "
                f"{security.id} of the same time; taken from {part.symbol}, its ticker then"
            )
            findings.append(Finding("joined_series_differ", n_unlike, text))
        joined = merge_columns(joined, columns, overwrite=True)
    if joined is None or stored is None:
        raise DataError(_nothing_stored(security, parts, timeframe))
    calendars = sorted({series.calendar for series in used})
    if len(calendars) > 1:
        raise DataError(
            f"the series of {security.id} must have one calendar to be joined, they have "
            f"{' and '.join(calendars)}"
        )
    if len(used) > 1:
        names = " and ".join(series.symbol for series in used)
        text = f"bars of {security.id} are those stored under {names}, each while it was its ticker"
        findings.append(Finding("series_joined", len(used), text))
    return SecurityBars(joined, stored, tuple(used), _records(store, parts), tuple(findings))


def companies_of(listings: Listings, symbol: str) -> Companies | None:
    """Return whose bars those stored under a symbol are; None where the listings say nothing."""
    name = base_symbol(symbol)
    owners = dict.fromkeys(security for _, security in listings.owners(name))
    same = listings.find(name)
    if same is not None:
        owners[same] = None
    if not owners:
        return None
    parts = [
        part
        for security in owners
        for part in _parts(listings, security, "")
        if part.symbol == name
    ]

    def company(session: NDArray[np.int64]) -> NDArray[np.int64]:
        numbers = np.full(session.shape[0], -1, np.int64)
        for i, part in enumerate(parts):
            numbers[part.holds(session)] = i
        return numbers

    return company


def has_bars(
    store: Store, listings: Listings, security: Security, timeframe: str, source: str = ""
) -> bool:
    """Return whether bars of a timeframe are stored of a security, or can be made of shorter ones."""
    return _stored_timeframe(store, _parts(listings, security, source), timeframe) is not None


def _nobodys(listings: Listings, symbol: str, session: NDArray[np.int64]) -> list[Finding]:
    """Report bars under a ticker on days on which it had no owner that the listings know."""
    owned = _Part(symbol, tuple(_days(span) for span, _ in listings.owners(base_symbol(symbol))))
    session = session[~owned.holds(session)]
    if session.shape[0] == 0:
        return []
    text = (
        f"{session.shape[0]} bars under {symbol}, first {np.datetime64(int(session[0]), 'D')}, are "
        "of days on which the listings name no owner: left out"
    )
    return [Finding("outside_validity", int(session.shape[0]), text)]


def _stored_timeframe(store: Store, parts: list[_Part], timeframe: str) -> str | None:
    stored = {name for part in parts for name in store.timeframes(part.symbol)}
    if timeframe in stored:
        return timeframe
    period = parse_timeframe(timeframe)
    frames = sorted((parse_timeframe(name) for name in stored), key=lambda frame: frame.length_ns)
    fitting = [frame.name for frame in frames if can_resample(frame, period)]
    return fitting[-1] if fitting else None


def _count_unlike(one: BarColumns, other: BarColumns) -> int:
    _, i, j = np.intersect1d(one.ts, other.ts, return_indices=True)
    return int((one.prices[:, i] != other.prices[:, j]).any(axis=0).sum())


def _nothing_stored(security: Security, parts: list[_Part], timeframe: str) -> str:
    names = ", ".join(part.symbol for part in parts)
    spans = "; ".join(map(str, security.tickers))
    return f"no {timeframe} bars of {security.id} are stored under {names} ({spans})"


def _records(store: Store, parts: list[_Part]) -> NDArray[np.void]:
    """Return the actions of all parts; those under the ticker of the day win."""
    kept: dict[tuple[int, int], np.void] = {}
    for part in parts:
        records = store.read_action_records(part.symbol)
        for record in records[part.holds(records["ex_date"])]:
            kept[int(record["ex_date"]), int(record["kind"])] = record
    records = np.zeros(len(kept), ACTION_RECORD)
    for i, key in enumerate(sorted(kept)):
        records[i] = kept[key]
    return records


def security_instrument(store: Store, security: Security, source: str = "") -> Instrument:
    """Return a security's instrument: the stored one of its id or its latest ticker."""
    symbol = security.id + (SOURCE_MARK + source if source else "")
    names = [security.id, *(span.name for span in security.tickers[::-1])]
    found = next((one for name in names if (one := store.find_instrument(name))), None)
    return replace(
        found or Instrument(symbol),
        symbol=symbol,
        valid_from=security.valid_from,
        valid_to=security.valid_to,
    )


@dataclass(frozen=True, slots=True)
class FinalValue:
    """What each share of a delisted security was worth.

    Attributes
    ----------
    day : int
        Last session, days since 1970-01-01.
    value : float
        Currency a share.
    finding : Finding
        How the value was found, for the reader of a result.
    """

    day: int
    value: float
    finding: Finding


def final_value(
    store: Store, listings: Listings, security: Security, columns: BarColumns
) -> FinalValue | None:
    """Return what a security's shares ended at, None while it is listed.

    Parameters
    ----------
    columns : BarColumns
        Its raw bars, whose last close is the value where none is known.

    Notes
    -----
    Shares of a successor count at its close on the last session, and at its
    first open where it begins later. Nothing else that comes after the last
    session is read.
    """
    end = security.delisting
    if end is None:
        return None
    last_close = float(columns.prices[3, -1])
    cash = end.cash
    words = f"{security.id} was delisted ({end})"
    if cash is None and end.reason == BANKRUPT:
        cash = 0.0
    if end.successor:
        price, when = _successor_price(store, listings, end.successor, end.date)
        if price is None:
            cash = None
            words += f"; no bars of {end.successor} are stored"
        else:
            cash = (cash or 0.0) + end.ratio * price
            words += f"; {end.successor} counts {price:.10g}, {when}: {cash:.10g} for each share"
    if cash is None:
        text = f"{words}: positions are closed at the last close, {last_close:.10g}"
        return FinalValue(
            days_of(end.date), last_close, Finding("delisting_value_unknown", 1, text)
        )
    return FinalValue(days_of(end.date), cash, Finding("delisted", 1, words))


def _successor_price(
    store: Store, listings: Listings, symbol: str, day: date
) -> tuple[float | None, str]:
    security = listings.resolve(symbol, day) or Security(symbol, (Ticker(base_symbol(symbol)),))
    source = source_of(symbol)
    if _stored_timeframe(store, _parts(listings, security, source), "1d") is None:
        return None, ""
    columns = read_security(store, listings, security, "1d", source=source).columns
    i = int(np.searchsorted(columns.session, days_of(day), "right"))
    if i > 0:
        session = np.datetime64(int(columns.session[i - 1]), "D")
        return float(columns.prices[3, i - 1]), f"its close on {session}"
    if columns.n_bars == 0:
        return None, ""
    session = np.datetime64(int(columns.session[0]), "D")
    return float(columns.prices[0, 0]), f"its first open, on {session}"
