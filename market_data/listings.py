"""Listings: which company a ticker meant on which day, and how its shares ended.

A security keeps one id for life, its last ticker as a rule. Tickers come and go:
FB was one company from 1999 to 2003, and from 2012 to 2022 the one that has been
META since. The first of them gets an id of its own, such as ``FB~1999``. Days are
session dates, both ends included.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from pathlib import Path

from foundation.errors import DataError
from foundation.rewriting import rewrite
from market_data.store import SOURCE_MARK, Store, base_symbol

FILE_NAME = "listings.json"
# Between a ticker that had an owner before and the year in which that one began.
EARLIER_MARK = "~"

# How the shares of a security end, and what each must state.
ACQUIRED, MERGED, BANKRUPT, LIQUIDATED, UNKNOWN = (
    "acquired",
    "merged",
    "bankrupt",
    "liquidated",
    "unknown",
)
REASONS = (ACQUIRED, MERGED, BANKRUPT, LIQUIDATED, UNKNOWN)

_COLUMNS = {
    "security": ("security", "id"),
    "ticker": ("ticker", "symbol"),
    "valid_from": ("valid_from", "from"),
    "valid_to": ("valid_to", "to"),
    "delisted_on": ("delisted_on", "delisted", "delisting_date"),
    "reason": ("reason",),
    "cash": ("cash", "value"),
    "successor": ("successor",),
    "ratio": ("ratio",),
}


@dataclass(frozen=True, slots=True)
class Ticker:
    """A ticker of a security with its dates of validity; None is without bound."""

    name: str
    valid_from: date | None = None
    valid_to: date | None = None

    def covers(self, day: date) -> bool:
        """Return whether the ticker meant its security on a day."""
        begun = self.valid_from is None or self.valid_from <= day
        return begun and (self.valid_to is None or day <= self.valid_to)

    def overlaps(self, other: Ticker) -> bool:
        """Return whether both are valid on some day."""
        return _begin(self) <= _end(other) and _begin(other) <= _end(self)

    def __str__(self) -> str:
        return f"{self.name} from {self.valid_from or 'the first'} to {self.valid_to or 'today'}"


@dataclass(frozen=True, slots=True)
class Delisting:
    """The end of a security.

    Attributes
    ----------
    date : date
        Last session on which it traded.
    reason : str
        One of `REASONS`.
    cash : float or None
        Paid for each share, currency; None when nobody states it.
    successor : str
        Security or ticker that shares were exchanged for; empty when none.
    ratio : float
        Shares of the successor for each share.
    """

    date: date
    reason: str
    cash: float | None = None
    successor: str = ""
    ratio: float = 0.0

    def __str__(self) -> str:
        parts = []
        if self.cash is not None:
            parts.append(f"{self.cash:g} in cash")
        if self.successor:
            parts.append(f"{self.ratio:g} of {self.successor}")
        return f"{self.reason} on {self.date}, " + (
            " and ".join(parts) + " for each share" if parts else "value of a share unknown"
        )


@dataclass(frozen=True, slots=True)
class Security:
    """One company's shares under all their tickers.

    Attributes
    ----------
    id : str
        Stable; the last ticker, unless another security has it later.
    tickers : tuple of Ticker
        By validity.
    delisting : Delisting or None
        None while it is listed.
    """

    id: str
    tickers: tuple[Ticker, ...]
    delisting: Delisting | None = None

    @property
    def valid_from(self) -> date | None:
        """First session, None when not known."""
        return self.tickers[0].valid_from

    @property
    def valid_to(self) -> date | None:
        """Last session, None while it is listed."""
        return self.tickers[-1].valid_to


@dataclass(frozen=True, slots=True)
class Listings:
    """All securities whose tickers or end are known, by id."""

    securities: tuple[Security, ...] = ()

    def find(self, security_id: str) -> Security | None:
        """Return a security by its id."""
        return next((one for one in self.securities if one.id == security_id), None)

    def owners(self, ticker: str) -> list[tuple[Ticker, Security]]:
        """Return who had a ticker and when, in order of time."""
        found = [
            (span, security)
            for security in self.securities
            for span in security.tickers
            if span.name == ticker
        ]
        return sorted(found, key=lambda pair: _begin(pair[0]))

    def resolve(self, symbol: str, on: date | None = None) -> Security | None:
        """Return the security that a ticker or an id means.

        Parameters
        ----------
        symbol : str
            May name a source (``FB@yahoo``).
        on : date, optional
            The day as of which it is asked for; the latest owner when not
            given. A ticker that had ended by then means its last owner.

        Returns
        -------
        Security or None
            None when the listings don't know the symbol.
        """
        name = base_symbol(symbol)
        begun = [
            security for span, security in self.owners(name) if on is None or _begin(span) <= on
        ]
        return begun[-1] if begun else self.find(name)


def _begin(span: Ticker) -> date:
    return span.valid_from or date.min


def _end(span: Ticker) -> date:
    return span.valid_to or date.max


def check_listings(listings: Listings) -> None:
    """Refuse listings that contradict themselves.

    Raises
    ------
    DataError
        Naming the security: two of one id, two owners of one ticker on one
        day, tickers that overlap, or a delisting that does not fit.
    """
    ids = [security.id for security in listings.securities]
    for security in listings.securities:
        if ids.count(security.id) > 1:
            raise DataError(f"{security.id} is there twice; a security has one id")
        _check_security(security)
    for name in sorted({span.name for one in listings.securities for span in one.tickers}):
        owners = listings.owners(name)
        for (span, security), (other, later) in pairwise(owners):
            if span.overlaps(other):
                raise DataError(
                    f"{security.id} and {later.id} both have the ticker {name} on "
                    f"{_begin(other)}: {span}, and {other}"
                )
        latest = owners[-1][1]
        same = listings.find(name)
        if same is not None and same != latest:
            begun = owners[0][0].valid_from or latest.valid_from
            raise DataError(
                f"the ticker {name} means {latest.id} today, so that no other security can have "
                f"the id {name}; call it {name}{EARLIER_MARK}{begun.year if begun else 'earlier'}"
            )


def _check_security(security: Security) -> None:
    name = security.id
    if not name or name.strip() != name or SOURCE_MARK in name or not security.tickers:
        raise DataError(
            f"a security must have an id without spaces or @ and a ticker, got {name!r}"
        )
    for span in security.tickers:
        if not span.name or span.name.strip() != span.name or SOURCE_MARK in span.name:
            raise DataError(f"{name}: a ticker must be a word without @, got {span.name!r}")
        if _begin(span) > _end(span):
            raise DataError(f"{name}: {span} ends before it begins")
    for span, other in pairwise(security.tickers):
        if span.valid_to is None or other.valid_from is None or span.overlaps(other):
            raise DataError(
                f"{name}: {span} and {other} overlap; a change must state the last day of one "
                "ticker and the first of the next"
            )
    if security.delisting is not None:
        _check_delisting(security, security.delisting)


def _check_delisting(security: Security, delisting: Delisting) -> None:
    name = security.id
    if delisting.date != security.valid_to:
        raise DataError(
            f"{name}: delisted on {delisting.date}, but its last ticker is valid to "
            f"{security.valid_to or 'today'}; both must be the last session"
        )
    if delisting.reason not in REASONS:
        raise DataError(
            f"{name}: the reason of a delisting must be one of {', '.join(REASONS)}, got "
            f"{delisting.reason!r}"
        )
    cash = delisting.cash
    if cash is not None and not 0.0 <= cash < float("inf"):
        raise DataError(f"{name}: cash for a share must be 0 or more, got {cash:g}")
    if bool(delisting.successor) != (delisting.ratio > 0.0):
        raise DataError(
            f"{name}: a successor needs a ratio above 0 and a ratio a successor, got "
            f"{delisting.successor or 'none'} and {delisting.ratio:g}"
        )
    if delisting.successor in (security.id, *(span.name for span in security.tickers)):
        raise DataError(
            f"{name} can't be its own successor; a new ticker of the same shares is a second row "
            "of the security"
        )
    if delisting.reason in (ACQUIRED, LIQUIDATED) and cash is None:
        raise DataError(
            f"{name}: {delisting.reason} needs the cash for each share, or the reason {UNKNOWN}"
        )
    if delisting.reason == MERGED and not delisting.successor:
        raise DataError(f"{name}: {MERGED} needs the successor and its ratio, or {UNKNOWN}")


# In the store.


def read_listings(store: Store) -> Listings:
    """Return the stored listings; none when nothing is known."""
    try:
        content = (store.home / FILE_NAME).read_bytes()
    except FileNotFoundError:
        return Listings()
    return _parsed(content)


def _parsed(content: bytes) -> Listings:
    try:
        return Listings(
            tuple(
                Security(
                    one["id"],
                    tuple(
                        Ticker(span["ticker"], _stored_day(span["from"]), _stored_day(span["to"]))
                        for span in one["tickers"]
                    ),
                    None if one["delisting"] is None else _stored_delisting(one["delisting"]),
                )
                for one in json.loads(content)["securities"]
            )
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"the stored listings ({FILE_NAME}) are damaged: {error}; remove the file and import "
            "them again"
        ) from error


def _stored_day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _stored_delisting(fields: dict[str, object]) -> Delisting:
    cash = fields["cash"]
    return Delisting(
        date.fromisoformat(str(fields["date"])),
        str(fields["reason"]),
        None if cash is None else float(str(cash)),
        str(fields["successor"]),
        float(str(fields["ratio"])),
    )


def write_listings(store: Store, listings: Listings) -> None:
    """Check listings and store them in the place of all those before, whole or not at all."""
    change_listings(store, lambda _: listings)


def change_listings(store: Store, change: Callable[[Listings], Listings]) -> Listings:
    """Store what `change` makes of the stored listings, and lose nothing that others store.

    Parameters
    ----------
    change : callable
        May be called again where another writer was faster. What it raises
        leaves the listings as before.

    Returns
    -------
    Listings
        As stored now.

    Raises
    ------
    DataError
        If the changed listings contradict themselves.
    """
    after = Listings()

    def rewritten(before: bytes | None) -> bytes:
        nonlocal after
        after = change(Listings() if before is None else _parsed(before))
        check_listings(after)
        return _as_text(after).encode("utf-8")

    rewrite(store.home / FILE_NAME, rewritten)
    return after


def _as_text(listings: Listings) -> str:
    stored = [
        {
            "id": one.id,
            "tickers": [
                {
                    "ticker": span.name,
                    "from": None if span.valid_from is None else span.valid_from.isoformat(),
                    "to": None if span.valid_to is None else span.valid_to.isoformat(),
                }
                for span in one.tickers
            ],
            "delisting": None
            if one.delisting is None
            else {
                "date": one.delisting.date.isoformat(),
                "reason": one.delisting.reason,
                "cash": one.delisting.cash,
                "successor": one.delisting.successor,
                "ratio": one.delisting.ratio,
            },
        }
        for one in sorted(listings.securities, key=lambda one: one.id)
    ]
    return json.dumps({"securities": stored}, indent=2) + "\n"


def with_securities(listings: Listings, changed: Sequence[Security]) -> Listings:
    """Return listings in which some securities are new or replaced."""
    names = {one.id for one in changed}
    kept = [one for one in listings.securities if one.id not in names]
    return Listings((*kept, *changed))


def remove_security(store: Store, security_id: str) -> None:
    """Take a security out of the stored listings.

    Raises
    ------
    DataError
        If there is none of that id.
    """

    def without(listings: Listings) -> Listings:
        if listings.find(security_id) is None:
            known = ", ".join(one.id for one in listings.securities[:8]) or "none"
            raise DataError(f"no security {security_id} in the listings; there are {known}")
        return Listings(tuple(one for one in listings.securities if one.id != security_id))

    change_listings(store, without)


# From a file.


def import_listings(store: Store, path: Path) -> list[Security]:
    """Store the securities of a CSV file, in the place of those of the same ids.

    Parameters
    ----------
    path : Path
        Rows of ``security, ticker, valid_from, valid_to`` and, in one of a
        security's rows, ``delisted_on, reason, cash, successor, ratio``. Where
        ``security`` is empty it is the ticker.

    Returns
    -------
    list of Security
        Those of the file.

    Raises
    ------
    DataError
        Naming the line or the security; nothing is changed then.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            rows = list(csv.DictReader(text))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name}: cannot be read: {str(error).splitlines()[0]}") from error
    try:
        securities = securities_of(rows)
        change_listings(store, lambda stored: with_securities(stored, securities))
    except DataError as error:
        raise DataError(f"{path.name}: {error}") from error
    return securities


def securities_of(rows: Sequence[dict[str, str]]) -> list[Security]:
    """Return the securities of a table's rows; errors are those of `import_listings`."""
    if not rows:
        raise DataError("the file has no listings")
    named = {str(name).strip().lower().replace(" ", "_"): name for name in rows[0] if name}
    columns = {
        meaning: next((named[alias] for alias in aliases if alias in named), None)
        for meaning, aliases in _COLUMNS.items()
    }
    if columns["ticker"] is None:
        raise DataError(f"no column for ticker; there are {', '.join(named.values())}")
    spans: dict[str, list[Ticker]] = {}
    ends: dict[str, Delisting] = {}
    for line, row in enumerate(rows, start=2):
        fields = {
            meaning: (row.get(column) or "").strip() if column else ""
            for meaning, column in columns.items()
        }
        name = fields["security"] or fields["ticker"]
        span = Ticker(
            fields["ticker"],
            _day(fields["valid_from"], "valid_from", line),
            _day(fields["valid_to"], "valid_to", line),
        )
        end = _delisting(fields, line)
        if end is not None and end == ends.get(name, end):
            ends[name] = end
        elif end is not None:
            raise DataError(f"line {line}: {name} ends otherwise on a line before")
        spans.setdefault(name, []).append(span)
    return [_security(name, tickers, ends.get(name)) for name, tickers in spans.items()]


def _security(name: str, tickers: list[Ticker], end: Delisting | None) -> Security:
    ordered = sorted(tickers, key=_begin)
    last = ordered[-1]
    if end is not None and last.valid_to is None:
        ordered[-1] = replace(last, valid_to=end.date)
    return Security(name, tuple(ordered), end)


def _delisting(fields: dict[str, str], line: int) -> Delisting | None:
    day = _day(fields["delisted_on"], "delisted_on", line)
    stated = [name for name in ("reason", "cash", "successor", "ratio") if fields[name]]
    if day is None:
        if stated:
            raise DataError(f"line {line}: {stated[0]} is stated without delisted_on")
        return None
    reason = fields["reason"].lower() or UNKNOWN
    cash = None if not fields["cash"] else _number(fields["cash"], "cash", line)
    if reason == BANKRUPT and cash is None:
        cash = 0.0
    ratio = 0.0 if not fields["ratio"] else _number(fields["ratio"], "ratio", line)
    return Delisting(day, reason, cash, fields["successor"], ratio)


def _day(text: str, name: str, line: int) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise DataError(f"line {line}: {name} {text!r} is no date as 2024-01-31") from error


def _number(text: str, name: str, line: int) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise DataError(f"line {line}: {name} is {text!r}, which is no number") from error
