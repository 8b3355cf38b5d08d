"""All checks of one series, in the order in which they build on each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from foundation.errors import DataError
from foundation.progress import Progress, silent
from market_data.building import place_bars
from market_data.companies import Companies
from market_data.listings import read_listings
from market_data.quality import (
    moves,
    prices,
    quotes,
    shift,
    spikes,
    staleness,
    times,
    volume_units,
    volumes,
)
from market_data.quality.companies import tell_apart, tell_apart_without_gap
from market_data.quality.findings import QualityFinding, ordered
from market_data.quality.limits import LIMITS, Limits
from market_data.quality.subject import Subject, placed_subject
from market_data.securities import companies_of
from market_data.sessions import SessionTable
from market_data.timeframes import parse_timeframe

if TYPE_CHECKING:
    from market_data.store import Store

# Family, and for each check what it says for people.
FAMILIES: dict[str, dict[str, str]] = {
    "times": {
        "out_of_order": "times that fall",
        "duplicate_bars": "several bars of one time",
        "no_session": "bars on closed days",
        "no_owner": "bars of a ticker without an owner",
        "reused_ticker": "two companies under one ticker",
        "session_label": "wrong session dates",
        "off_grid": "bars between the steps",
        "missing_sessions": "sessions without bars",
        "missing_bars": "scheduled bars without a row",
        "thin_session": "sessions with many bars missing",
        "time_shift": "bars beside their calendar",
    },
    "prices": {
        "missing_price": "prices that are missing",
        "nonpositive_price": "prices of zero or below",
        "ohlc_order": "high and low that don't hold open and close",
        "wrong_unit": "prices in another unit",
    },
    "moves": {
        "spike": "prices out of line with both neighbours",
        "jump": "moves far beyond volatility",
        "unadjusted_split": "splits without a corporate action",
        "split_not_shown": "splits that prices don't show",
    },
    "staleness": {
        "stale_price": "one close for too long",
        "repeated_bars": "equal bars in a row",
    },
    "volume": {
        "negative_volume": "volume below zero",
        "missing_volume": "volume that is missing",
        "no_volume": "series without volume",
        "volume_without_trades": "moving prices without volume",
        "zero_volume_run": "no volume for too long",
        "wrong_volume_unit": "volume in another unit",
        "volume_spike": "volume of a hundred times the usual",
        "fractional_volume": "parts of lots",
    },
    "quotes": {
        "crossed_quotes": "bid above ask",
        "one_sided_quotes": "bid or ask alone",
        "missing_quotes": "no quotes for too long",
        "quotes_away": "quotes far from the trades",
        "wide_quotes": "spreads far beyond the usual",
    },
}
CHECKS = {name: words for family in FAMILIES.values() for name, words in family.items()}


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checks found in one series.

    Attributes
    ----------
    symbol, timeframe, calendar : str
    n_bars : int
    first_ts, last_ts : int
        UTC nanoseconds.
    findings : tuple of QualityFinding
        In the order of `ordered`.
    actions : DATED_ACTION array or None
        That the bars were held to.
    companies : Companies or None
        Whose bars they are, by the listings.
    """

    symbol: str
    timeframe: str
    calendar: str
    n_bars: int
    first_ts: int
    last_ts: int
    findings: tuple[QualityFinding, ...]
    actions: NDArray[np.void] | None = field(default=None, compare=False)
    companies: Companies | None = field(default=None, compare=False)


def check_columns(
    ts: ArrayLike,
    prices: NDArray[np.float64],
    *,
    symbol: str,
    timeframe: str,
    sessions: SessionTable,
    session: NDArray[np.int64] | None = None,
    bid: NDArray[np.float64] | None = None,
    ask: NDArray[np.float64] | None = None,
    halted: NDArray[np.bool_] | None = None,
    actions: NDArray[np.void] | None = None,
    tick: float = 0.0,
    lot: float = 0.0,
    companies: Companies | None = None,
    limits: Limits = LIMITS,
) -> list[QualityFinding]:
    """Check bars, in whatever state they are.

    Parameters
    ----------
    ts : int64 array, shape (n_bars,)
        Open times, UTC nanoseconds, in the order of the data.
    prices : float64 array, shape (5, n_bars)
        Open, high, low, close, volume; any may be NaN, zero or negative.
    symbol, timeframe : str
    sessions : SessionTable
        Must cover the bars; the calendar that they are held to.
    session : int64 array, optional
        Session dates that the data states.
    bid, ask : float64 arrays, shape (4, n_bars), optional
    halted : bool array, optional
        Bars in which trading was halted.
    actions : DATED_ACTION array, optional
    tick, lot : float
        Of the instrument, 0 where unknown.
    companies : Companies, optional
        Whose bars they are, by the listings; without them the bars are searched
        for a second company. Each company's bars are checked by themselves.
    limits : Limits

    Returns
    -------
    list of QualityFinding
        In the order of `ordered`.

    Raises
    ------
    DataError
        If the arrays' lengths differ.
    """
    frame = parse_timeframe(timeframe)
    given = np.asarray(ts, np.int64)
    values = np.asarray(prices, np.float64)
    _refuse_unlike_lengths(given, values, session, bid, ask, halted)
    if given.shape[0] == 0:
        return []
    order = None
    if bool(np.any(given[1:] < given[:-1])):
        order = np.argsort(given, kind="stable")

    def sorted_rows(column: NDArray[np.generic] | None) -> NDArray[np.generic] | None:
        return column if column is None or order is None else column[..., order]

    sorted_ts = given if order is None else given[order]
    subject = placed_subject(
        sorted_ts,
        sorted_rows(values),  # type: ignore[arg-type]
        symbol=symbol, frame=frame, table=sessions,
        bid=sorted_rows(bid),  # type: ignore[arg-type]
        ask=sorted_rows(ask),  # type: ignore[arg-type]
        halted=sorted_rows(halted),  # type: ignore[arg-type]
        label=sorted_rows(session),  # type: ignore[arg-type]
        actions=actions, tick=tick, lot=lot, limits=limits, companies=companies,
    )  # fmt: skip
    return ordered(_examine(subject, given))


def _refuse_unlike_lengths(
    ts: NDArray[np.int64], prices: NDArray[np.float64], *others: NDArray[np.generic] | None
) -> None:
    n_bars = ts.shape[0]
    if prices.shape != (5, n_bars):
        raise DataError(f"prices must have the shape (5, {n_bars}), got {prices.shape}")
    for column in others:
        if column is not None and column.shape[-1] != n_bars:
            raise DataError(f"all columns must have {n_bars} bars, got {column.shape[-1]}")


def _examine(subject: Subject, given: NDArray[np.int64]) -> Iterator[QualityFinding]:
    """Yield all findings; each step sees bars without the defects of those before."""
    yield from times.out_of_order(subject, given)
    found, undo = shift.time_shift(subject)
    yield from found
    if undo.any():
        subject = _set_right(subject, undo)
    yield from times.no_session(subject)
    found, keep = times.duplicates(subject, times.daily_keys(subject))
    yield from found
    subject = subject.select(keep & (subject.i_session >= 0))
    if subject.n_bars == 0:
        return
    found, parts = tell_apart(subject)
    yield from found
    for part in parts:
        yield from _examine_company(part)


def _examine_company(subject: Subject) -> Iterator[QualityFinding]:
    """Check bars of one company, each in its session and with a time of its own."""
    yield from times.wrong_label(subject)
    yield from times.off_grid(subject)
    yield from times.missing_sessions(subject)
    yield from times.missing_bars(subject)
    # Stretches and times of day are of the bars that are looked at.
    found, missing = prices.missing_prices(subject)
    yield from found
    found, impossible = prices.nonpositive_prices(subject)
    yield from found
    whole = ~(missing | impossible)
    found, disordered = prices.ohlc_order(subject, whole)
    yield from found
    yield from volumes.impossible_volume(subject)
    possible = whole & ~disordered
    possible &= ~(subject.prices[4] < 0)
    subject = subject.select(possible)
    if subject.n_bars == 0:
        return
    yield from _examine_possible(subject)


def _examine_possible(subject: Subject) -> Iterator[QualityFinding]:
    """Check bars whose prices are possible."""
    found, subject = moves.wrong_unit(subject)
    yield from found
    found, parts = tell_apart_without_gap(subject)
    yield from found
    for part in parts:
        yield from _examine_in_unit(part)


def _examine_in_unit(subject: Subject) -> Iterator[QualityFinding]:
    """Check bars of one company whose prices are in one unit."""
    found, subject = volume_units.wrong_volume_unit(subject)
    yield from found
    yield from moves.split_not_shown(subject)
    found, splits = moves.unadjusted_split(subject)
    yield from found
    moved = moves.moves_of(subject)
    scale = moves.bar_scale(subject, moved)
    found, spiked = spikes.spikes(subject, moved, scale)
    yield from found
    yield from moves.jumps(subject, moved, np.concatenate((splits, spiked)))
    stretch, bucket = staleness.stretches(subject), subject.buckets()
    repeated = staleness.repeated_bars(subject, stretch, bucket)
    coarseness = moved.step / float(np.median(scale))
    yield from repeated
    yield from _beside(staleness.stale_price(subject, stretch, bucket, coarseness), repeated)
    yield from volumes.no_volume(subject, stretch, bucket)
    yield from volumes.volume_spike(subject, bucket)
    yield from volumes.fractional_volume(subject)
    yield from quotes.crossed_quotes(subject)
    yield from quotes.one_sided_quotes(subject, stretch, bucket)
    if spiked.shape[0]:
        # A misprint is far from its quotes, too: one finding is enough.
        keep = np.ones(subject.n_bars, np.bool_)
        keep[spiked] = False
        subject, scale, bucket = subject.select(keep), scale[keep], bucket[keep]
    yield from quotes.quotes_away(subject, scale, bucket)


def _beside(found: list[QualityFinding], known: list[QualityFinding]) -> list[QualityFinding]:
    """Return the findings that do not overlap a known one."""
    return [
        one
        for one in found
        if not any(k.first_ts <= one.last_ts and one.first_ts <= k.last_ts for k in known)
    ]


def _set_right(subject: Subject, undo: NDArray[np.int64]) -> Subject:
    ts = subject.ts - undo
    placement = place_bars(subject.table, subject.frame, ts)
    return replace(
        subject,
        ts=ts,
        # Labels were made with the shifted times.
        label=None,
        i_session=placement.i_session,
        outside=placement.outside,
    )


def check_series(store: Store, symbol: str, timeframe: str, *, limits: Limits = LIMITS) -> Checked:
    """Check a stored series with its instrument, calendar and corporate actions.

    Bars in quarantine are left out: they are known to be wrong.
    """
    columns, series = store.read_columns(symbol, timeframe)
    if columns.n_bars == 0:
        return Checked(symbol, timeframe, series.calendar, 0, 0, 0, ())
    first, last = int(columns.ts.min()), int(columns.ts.max())
    instrument = store.find_instrument(symbol)
    actions = store.read_actions(symbol)
    known = companies_of(read_listings(store), symbol)
    findings = check_columns(
        columns.ts, columns.prices, symbol=symbol, timeframe=timeframe,
        sessions=store.sessions(series.calendar, first, last), session=columns.session,
        bid=columns.bid, ask=columns.ask, halted=columns.halted,
        actions=actions,
        tick=0.0 if instrument is None else instrument.tick,
        lot=0.0 if instrument is None else instrument.lot,
        companies=known, limits=limits,
    )  # fmt: skip
    return Checked(
        symbol, timeframe, series.calendar, columns.n_bars, first, last, tuple(findings), actions,
        known,
    )  # fmt: skip


def check_store(
    store: Store,
    *,
    symbol: str = "",
    timeframe: str = "",
    limits: Limits = LIMITS,
    progress: Progress = silent,
) -> list[Checked]:
    """Check all stored series, or those of one symbol or timeframe.

    Raises
    ------
    DataError
        If there are none.
    """
    chosen = [
        series
        for series in store.list_series()
        if symbol in ("", series.symbol) and timeframe in ("", series.timeframe)
    ]
    if not chosen:
        if symbol:
            # Says what there is instead.
            store.read_columns(symbol, timeframe or "1d")
        what = f"{timeframe} bars" if timeframe else "bars"
        raise DataError(f"no {what} are stored to check; `quarterdeck import` brings some")
    checked = []
    for done, series in enumerate(chosen):
        progress(done, len(chosen), f"{series.symbol} {series.timeframe}")
        checked.append(check_series(store, series.symbol, series.timeframe, limits=limits))
    progress(len(chosen), len(chosen), "checked")
    return checked
