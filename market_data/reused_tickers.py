"""Tickers that two companies had: where bars under one ticker can't be one company's.

An exchange gives a ticker that is free to another company, and a vendor's file
has both under one name. Where the listings don't say so, bars tell: nothing was
traded for months, and then at another price or in quite another amount; or the
price jumps as no split does and another crowd trades it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data.calendars import ALWAYS_OPEN
from market_data.checks import Finding
from market_data.columns import BarColumns
from market_data.companies import Companies
from market_data.listings import (
    EARLIER_MARK,
    UNKNOWN,
    Delisting,
    Security,
    Ticker,
    change_listings,
    read_listings,
    with_securities,
)
from market_data.sessions import SessionTable, date_of
from market_data.store import Store, base_symbol

# A suspended share comes back within weeks as a rule; a ticker is given away again
# after months.
LONG_GAP_SESSIONS = 60
# After a long gap: prices or the money traded in a session change by this factor.
_PRICE_FACTOR = 3.0
_MONEY_FACTOR = 10.0
# Without a gap both must change, the price beyond what news does to it.
_PRICE_FACTOR_WITHOUT_GAP = 4.0
_LEVEL_SESSIONS = 60
_FEWEST_SESSIONS = 5
_FEWEST_WITHOUT_GAP = 20
# Markets that list no companies.
_NO_LISTINGS = (ALWAYS_OPEN, "FX")


@dataclass(frozen=True, slots=True)
class ReusedTicker:
    """A place in a series where another company seems to begin.

    Attributes
    ----------
    last, first : int
        Last session before it and first after it, days since 1970-01-01.
    n_sessions : int
        Sessions of the calendar between them.
    price_step : float
        First open over last close, with splits taken out.
    money_step : float
        Median of the money traded in a session after over that before; NaN
        when the bars carry no volume.
    in_sixteenths : (float, float)
        Share of closes that are sixteenths to the cent, before and after:
        stocks were quoted so until 2001.
    """

    last: int
    first: int
    n_sessions: int
    price_step: float
    money_step: float
    in_sixteenths: tuple[float, float]

    def describe(self) -> str:
        """Return the evidence in words."""
        parts = [
            f"no bars for {self.n_sessions} sessions between {date_of(self.last)} and "
            f"{date_of(self.first)}"
            if self.n_sessions
            else f"from {date_of(self.last)} to {date_of(self.first)}",
            f"prices × {self.price_step:.4g}",
        ]
        if not np.isnan(self.money_step):
            parts.append(f"money traded in a session × {self.money_step:.3g}")
        before, after = self.in_sixteenths
        if abs(before - after) > 0.5:
            parts.append(f"closes in sixteenths {before:.0%} before and {after:.0%} after")
        return ", ".join(parts)


class ReuseCheck:
    """Looks at bars as they come, stretch by stretch, for a second company.

    Only a few numbers of each session are kept.
    """

    def __init__(self) -> None:
        self._parts: list[NDArray[np.float64]] = []

    def take(self, columns: BarColumns) -> None:
        """Take note of the next bars, in any order of stretches."""
        if columns.n_bars == 0:
            return
        session, prices = columns.session, columns.prices
        starts = np.flatnonzero(np.append(True, session[1:] != session[:-1]))
        last = np.append(starts[1:], session.shape[0]) - 1
        volume = np.add.reduceat(prices[4], starts)
        self._parts.append(np.stack([session[starts], prices[0, starts], prices[3, last], volume]))

    @property
    def first_session(self) -> int:
        """First session of all bars so far, days since 1970-01-01."""
        return int(min(part[0, 0] for part in self._parts))

    def find(self, table: SessionTable, actions: NDArray[np.void]) -> list[ReusedTicker]:
        """Return the places where another company seems to begin, in order of time.

        Parameters
        ----------
        table : SessionTable
            Must cover the bars.
        actions : DATED_ACTION array
            Splits are taken out of the steps of prices.
        """
        if not self._parts or table.calendar in _NO_LISTINGS:
            return []
        sessions = np.concatenate(self._parts, axis=1)
        # Of a session in two stretches the first part is enough.
        _, rows = np.unique(sessions[0], return_index=True)
        session, opened, close, volume = sessions[:, rows]
        n_between = np.diff(np.searchsorted(table.date, session)) - 1
        step = np.log(opened[1:] / close[:-1])
        for action in actions[actions["split_ratio"] != 1.0]:
            i = int(np.searchsorted(session, action["ex_date"], "left")) - 1
            if 0 <= i < step.shape[0]:
                step[i] += np.log(action["split_ratio"])
        suspects = np.flatnonzero(
            (n_between >= LONG_GAP_SESSIONS) | (np.abs(step) >= np.log(_PRICE_FACTOR_WITHOUT_GAP))
        )
        money = volume * close
        found = []
        for i in suspects:
            before = slice(max(int(i) + 1 - _LEVEL_SESSIONS, 0), int(i) + 1)
            after = slice(int(i) + 1, int(i) + 1 + _LEVEL_SESSIONS)
            change = _level_change(money[before], money[after])
            one = ReusedTicker(
                int(session[i]),
                int(session[i + 1]),
                int(n_between[i]),
                float(np.exp(step[i])),
                change,
                (_sixteenths(close[before]), _sixteenths(close[after])),
            )
            fewest = min(close[before].shape[0], close[after].shape[0])
            if _is_another(one, fewest):
                found.append(one)
        return found


def _level_change(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    one, other = float(np.median(before)), float(np.median(after))
    return other / one if one > 0.0 and other > 0.0 else float("nan")


def _sixteenths(close: NDArray[np.float64]) -> float:
    nearest = np.round(close * 16) / 16
    return float(np.mean(np.abs(close - nearest) < 0.0051))


def _is_another(one: ReusedTicker, n_sessions: int) -> bool:
    prices = abs(np.log(one.price_step))
    # Without volume the price alone must do.
    money = 0.0 if np.isnan(one.money_step) else abs(np.log(one.money_step))
    if one.n_sessions >= LONG_GAP_SESSIONS:
        if n_sessions < _FEWEST_SESSIONS:
            return False
        return bool(prices >= np.log(_PRICE_FACTOR) or money >= np.log(_MONEY_FACTOR))
    if n_sessions < _FEWEST_WITHOUT_GAP:
        return False
    return bool(prices >= np.log(_PRICE_FACTOR_WITHOUT_GAP) and money >= np.log(_MONEY_FACTOR))


def companies_of_reused(reused: Sequence[ReusedTicker]) -> Companies:
    """Return whose bars those of a series are, where bars tell of several companies."""
    firsts = np.array([one.first for one in reused], np.int64)
    return lambda session: np.searchsorted(firsts, session, "right")


def take_stored(check: ReuseCheck, store: Store, symbol: str, timeframe: str) -> None:
    """Let a check see the stored bars of a series that new ones are to join."""
    series = store.find_series(symbol, timeframe)
    if series is None:
        return
    for file in series.files:
        columns, _ = store.read_columns(
            symbol, timeframe, first_ns=file.first_ns, last_ns=file.last_ns, with_quarantined=True
        )
        inside = (columns.ts >= file.first_ns) & (columns.ts <= file.last_ns)
        check.take(columns.select(inside))


def says_nothing_of(store: Store, symbol: str) -> bool:
    """Return whether the listings leave open who had a ticker."""
    return not read_listings(store).owners(base_symbol(symbol))


def reuse_finding(symbol: str, reused: Sequence[ReusedTicker]) -> Finding:
    """Return the suspicion as a finding with its evidence."""
    text = f"bars under {symbol} look like those of {len(reused) + 1} companies: " + "; ".join(
        one.describe() for one in reused
    )
    return Finding("ticker_reused", len(reused), text)


def refuse_reuse(symbol: str, reused: list[ReusedTicker]) -> None:
    """Raise a DataError that says how to state who had the ticker."""
    finding = reuse_finding(symbol, reused)
    raise DataError(
        f"{finding.message}. State who had the ticker when (quarterdeck data listings FILE), or "
        "keep the bars before apart with --split-listing"
    )


def write_split_listing(
    store: Store, symbol: str, first_session: date, reused: list[ReusedTicker]
) -> list[Security]:
    """Write down that a ticker was several companies'.

    Parameters
    ----------
    first_session : date
        Of the series under the ticker.

    Returns
    -------
    list of Security
        The earlier ones with ids such as ``FB~1999``, whose shares ended at a
        value that is unknown; the last one with the ticker as its id.
    """
    name = base_symbol(symbol)
    begins = [first_session, *(date_of(one.first) for one in reused)]
    ends: list[date | None] = [*(date_of(one.last) for one in reused), None]
    securities = []
    for begin, end in zip(begins, ends, strict=True):
        if end is None:
            securities.append(Security(name, (Ticker(name, begin),)))
            continue
        securities.append(
            Security(
                f"{name}{EARLIER_MARK}{begin.year}",
                (Ticker(name, begin, end),),
                Delisting(end, UNKNOWN),
            )
        )
    change_listings(store, lambda stored: with_securities(stored, securities))
    return securities
