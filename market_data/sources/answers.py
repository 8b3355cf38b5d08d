"""What a source answered, checked like an import and compared with what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data import checks
from market_data.checks import Finding, Findings
from market_data.columns import BarColumns
from market_data.companies import Companies
from market_data.placing import Placer
from market_data.provenance import PartProvenance
from market_data.raw import RawBars
from market_data.sessions import SessionTable, date_of, monday
from market_data.sources.protocol import FetchedBars, VendorBars
from market_data.timeframes import DAY_NS, Timeframe
from market_data.times import FileTimes, localise
from trading.instruments import Instrument

# Answers whose every bar is this many times the stored one are in another unit
# or know another split; markets don't move old prices.
_SMALLEST_SCALE = 1.15
_FEWEST_FOR_SCALE = 3


@dataclass(frozen=True, slots=True)
class Comparison:
    """How an answer differs from what is stored.

    Attributes
    ----------
    n_new, n_revised, n_unchanged : int
        Bars of the answer.
    n_withdrawn : int
        Stored bars of the asked days that the answer has no longer; they
        stay.
    revised_ts : int64 array
        Open times of the revised bars.
    """

    n_new: int
    n_revised: int
    n_unchanged: int
    n_withdrawn: int
    revised_ts: NDArray[np.int64]


def join_pages(pages: Sequence[FetchedBars]) -> RawBars:
    """Return the bars of all pages of one answer."""
    if len(pages) == 1:
        return pages[0].raw
    raws = [page.raw for page in pages]
    first = raws[0]
    return VendorBars(
        times=FileTimes(np.concatenate([raw.times.ns for raw in raws]), first.times.aware),
        prices=np.concatenate([raw.prices for raw in raws], axis=1),
        bid=_joined_side([raw.bid for raw in raws]),
        ask=_joined_side([raw.ask for raw in raws]),
        halted=None,
        symbol=first.symbol,
        has_volume=first.has_volume,
        rows=np.arange(sum(raw.times.ns.shape[0] for raw in raws)),
        place_name=first.place_name,
    )


def _joined_side(sides: Sequence[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    there = [side for side in sides if side is not None]
    if len(there) not in (0, len(sides)):
        raise DataError("some pages of the answer have quotes and others have none")
    return np.concatenate(there, axis=1) if there else None


def check_answer(
    raw: RawBars,
    table: SessionTable,
    frame: Timeframe,
    *,
    zone: str,
    actions: NDArray[np.void],
    repair: bool,
    drop_unscheduled: bool,
    sparse: bool,
    companies: Companies | None = None,
) -> tuple[BarColumns, NDArray[np.bool_], tuple[Finding, ...]]:
    """Check bars as an import does, and place them in their sessions.

    Parameters
    ----------
    zone : str
        Of times that state none.
    actions : DATED_ACTION array
        All that is known.
    repair, drop_unscheduled : bool
        As for an import.
    sparse : bool
        Bars come only of times with trades, and the source names their length.
    companies : callable, optional
        Tells whose bars each session's are: between two companies none are
        missing.

    Returns
    -------
    columns : BarColumns
    outside : bool array, shape (n_bars,)
        Bars outside the scheduled hours.
    findings : tuple of Finding

    Raises
    ------
    DataError
        If a bar can't be right, or the prices do not show the splits that
        are known: raw bars must.
    """
    findings = Findings()
    ns = raw.times.ns
    if not raw.times.aware:
        if frame.intraday:
            if not zone:
                raise DataError("times state no time zone; name it")
            ns, n_ambiguous, _ = localise(raw.times, zone, raw.place)
            if n_ambiguous:
                text = "{n} times occur twice as clocks go back, taken as the first"
                findings.add("ambiguous_times", n_ambiguous, text)
        else:
            # A daily bar's clock time without a zone says no more than its date.
            ns = ns - ns % DAY_NS
    findings.add_all(checks.check_prices(raw.prices, raw.place, repair=repair))
    findings.add_all(checks.check_volume(raw.prices[4], raw.place, has_volume=raw.has_volume))
    placer = Placer(table, frame, findings, drop_unscheduled=drop_unscheduled, sparse=sparse)
    columns, outside = placer.place(raw, ns)
    placer.finish(int((ns[1:] < ns[:-1]).sum()), raw.n_bars)
    findings.add_all(checks.check_quotes(columns))
    gaps = checks.GapCheck(table, frame)
    if columns.n_bars:
        gaps.take(columns.session, outside)
    findings.add_all(gaps.finish(companies))
    adjusted = checks.find_adjusted_prices(columns, actions)
    if adjusted:
        raise DataError(
            f"{adjusted[0].message.split(':')[0]}: they are adjusted, where raw ones are needed"
        )
    findings.add_all(checks.find_large_moves(columns, actions, companies))
    return columns, outside, findings.as_tuple()


def completed(
    columns: BarColumns,
    outside: NDArray[np.bool_],
    table: SessionTable,
    frame: Timeframe,
    now_ns: int,
) -> NDArray[np.bool_]:
    """Return which bars are over: nothing will be added to them.

    Of a session that still runs, bars within its hours count one by one; those
    before its open follow once it is over, since alone they could not be told
    from bars in a wrong time zone.
    """
    row = np.searchsorted(table.date, columns.session, "left")
    close = table.close[row]
    if frame.name == "1w":
        last = np.searchsorted(table.date, monday(columns.session) + 7, "left") - 1
        close = table.close[last]
    if not frame.intraday:
        return close <= now_ns
    ends = columns.ts + frame.length_ns
    inside_end = np.minimum(ends, close)
    return np.where(outside, (ends <= now_ns) & (close <= now_ns), inside_end <= now_ns)


def compare(
    answer: BarColumns,
    stored: BarColumns | None,
    asked: tuple[int, int],
    *,
    any_scale: bool,
) -> Comparison:
    """Compare an answer with the stored bars of the same part.

    Parameters
    ----------
    asked : (first, last)
        Session dates that were asked for.
    any_scale : bool
        Accept an answer whose every price is a multiple of the stored one.

    Raises
    ------
    DataError
        If it is one and is not accepted: the answer is in another unit, or
        one of both knows a split that the other doesn't.
    """
    if stored is None or stored.n_bars == 0:
        return Comparison(answer.n_bars, 0, 0, 0, np.zeros(0, np.int64))
    at = np.minimum(np.searchsorted(stored.ts, answer.ts), stored.n_bars - 1)
    there = stored.ts[at] == answer.ts
    rows = np.flatnonzero(there)
    same = _equal(answer.prices[:, rows], stored.prices[:, at[rows]])
    for side in ("bid", "ask"):
        new, old = getattr(answer, side), getattr(stored, side)
        if new is not None or old is not None:
            same &= _equal(_side_rows(new, rows), _side_rows(old, at[rows]))
    if not any_scale:
        _check_scale(answer.select(rows), stored.select(at[rows]))
    inside = (stored.session >= asked[0]) & (stored.session <= asked[1])
    n_withdrawn = int((inside & ~np.isin(stored.ts, answer.ts)).sum())
    revised = rows[~same]
    return Comparison(
        n_new=int((~there).sum()),
        n_revised=int(revised.shape[0]),
        n_unchanged=int(same.sum()),
        n_withdrawn=n_withdrawn,
        revised_ts=answer.ts[revised],
    )


def _equal(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.all((one == other) | (np.isnan(one) & np.isnan(other)), axis=0)
    return found


def _side_rows(side: NDArray[np.float64] | None, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.full((4, rows.shape[0]), np.nan) if side is None else side[:, rows]


def scale_between(answer: BarColumns, stored: BarColumns) -> float:
    """Return by which factor all closes of an answer differ from the stored ones, else 1."""
    if answer.n_bars < _FEWEST_FOR_SCALE:
        return 1.0
    ratios = answer.prices[3] / stored.prices[3]
    middle = float(np.median(ratios))
    if 1 / _SMALLEST_SCALE < middle < _SMALLEST_SCALE:
        return 1.0
    return middle if bool(np.all(np.abs(ratios / middle - 1) < 0.01)) else 1.0


def _check_scale(answer: BarColumns, stored: BarColumns) -> None:
    scale = scale_between(answer, stored)
    if scale != 1.0:
        raise DataError(
            f"all {answer.n_bars} prices from {date_of(int(answer.session[0]))} to "
            f"{date_of(int(answer.session[-1]))} are {scale:.6g} times the stored ones: a split "
            "or a unit that one of both does not know"
        )


def other_source(
    revised_ts: NDArray[np.int64], known: Sequence[PartProvenance], source: str
) -> str:
    """Return where bars that an answer would change came from, if not from this source.

    Returns
    -------
    str
        Empty when all of them came from the source itself.
    """
    owner = np.zeros(revised_ts.shape[0], np.int64)
    names = ["bars of unknown origin"]
    for part in known:
        names.append(part.provenance.source)
        owner[(revised_ts >= part.first_ns) & (revised_ts <= part.last_ns)] = len(names) - 1
    others = {names[i] for i in np.unique(owner).tolist()} - {source}
    return ", ".join(sorted(others))


def instrument_for(
    kept: Instrument | None, symbol: str, calendar: str, currency: str
) -> Instrument:
    """Return the stored instrument, or one for a symbol that is new to the store.

    Raises
    ------
    DataError
        If the source quotes another currency than the instrument's.
    """
    if kept is None:
        by_calendar = {"FX": "fx", "24/7": "crypto"}
        asset_class = "index" if symbol.startswith("^") else by_calendar.get(calendar, "equity")
        return Instrument(symbol, asset_class, currency or "USD", calendar=calendar)
    if currency and kept.currency != currency:
        raise DataError(
            f"prices are in {currency}, the stored instrument {kept.symbol} is in {kept.currency}"
        )
    return kept
