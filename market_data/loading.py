"""The way out of the store: bars for a backtest, with warm-up and fingerprint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from foundation.home import data_home
from market_data.action_records import known_actions
from market_data.actions import adjust_prices
from market_data.building import attach_finer, build_bars, end_with_delisting, select_bars
from market_data.checks import Finding, find_adjusted_prices
from market_data.columns import BarColumns
from market_data.listings import Listings, Security, read_listings
from market_data.securities import (
    MOST_SESSIONS_BEFORE_END,
    FinalValue,
    final_value,
    read_security,
    security_instrument,
)
from market_data.series import Series
from market_data.sessions import SessionTable, date_of, days_of
from market_data.store import Store, content_digest, open_store, source_of, with_calendar
from market_data.timeframes import DAY_NS, parse_timeframe
from trading.bars import Bars
from trading.instruments import Instrument

Adjustment = Literal["none", "splits", "all"]


@dataclass(frozen=True, slots=True)
class LoadedBars:
    """Bars for one run.

    Attributes
    ----------
    bars : Bars
        Warm-up bars, then those of the range that was asked for.
    i_start : int
        First bar of the range; 0 when there is no warm-up.
    fingerprint : str
        sha256 over instrument, sessions, bars, finer bars and corporate
        actions: over their content, not over the bytes of files.
    source : str
        Where the bars came from.
    findings : tuple of Finding
        What a reader of the result should know about the data.
    stored, stored_finer : str
        Timeframes that are stored of which bars and finer bars were taken or
        made; empty for bars of a file, and without finer bars.
    asked : str
        The symbol that was asked for: a ticker, where the instrument has the
        id of the security that it meant. Empty for a file's only one.
    stored_under : tuple of str
        Symbols under which the bars are stored: the tickers that the security
        had; none for bars of a file.
    loaded_at : datetime or None
        Just before they were read, by the store's clock: what changes later is
        not in them. None for bars of a file.
    """

    bars: Bars
    i_start: int
    fingerprint: str
    source: str
    findings: tuple[Finding, ...] = ()
    stored: str = ""
    stored_finer: str = ""
    asked: str = ""
    stored_under: tuple[str, ...] = ()
    loaded_at: datetime | None = None


def load_bars(
    source: Store | Path | str,
    symbol: str = "",
    timeframe: str = "",
    *,
    start: date | None = None,
    end: date | None = None,
    warmup: Literal["all"] | int = "all",
    periods: Sequence[str] = (),
    finer: str | None = None,
    adjust: Adjustment = "none",
    as_of: date | None = None,
    extended_hours: bool = False,
    instrument: Instrument | None = None,
    timezone: str = "",
    store: Store | None = None,
) -> LoadedBars:
    """Load bars of one instrument from the store or from a file.

    Parameters
    ----------
    source : Store or path
        A store, or a CSV or Parquet file that is checked as an import is, but
        not stored. Corporate actions are those of the file beside it
        (``AAPL_actions.csv`` for ``AAPL.csv``), else those stored for the
        symbol.
    symbol, timeframe : str
        What to load. For a file they may be left out when the file tells. A
        timeframe that is not stored is made of a shorter one that is. A ticker
        means who had it on the last day that is asked for, its latest owner
        when none is; the series is that of the security under all its tickers.
    start, end : date, optional
        First and last session date, both included; all when not given.
    warmup : "all" or int
        Bars before `start` to load too: all, or at most this many.
    periods : sequence of str
        Higher timeframes to code, such as ``1w``.
    finer : str, optional
        Finer timeframe to attach, such as ``1m``.
    adjust : {"none", "splits", "all"}
        Back-adjust prices for splits, or for splits and dividends; the
        actions that are in the prices are then left out of the bars. Prices
        that are adjusted, here or by the source, are on no grid: the
        instrument's tick is 0 there.
    as_of : date, optional
        Load what was known at the close of that session: no later bars, no
        action whose ex-date or announcement is later, prices as they could be
        adjusted then.
    extended_hours : bool
        Keep bars outside the scheduled sessions.
    instrument : Instrument, optional
        In the place of the stored one; for files.
    timezone : str
        Zone of a file's times where they state none.
    store : Store, optional
        For files: where sessions and corporate actions are kept.

    Raises
    ------
    DataError
        If nothing of it is stored, the range is empty, the data is damaged or
        fails a check.
    """
    if as_of is not None:
        end = as_of if end is None else min(end, as_of)
    loaded_at = source.clock.now() if isinstance(source, Store) else None
    read = _read(source, symbol, timeframe, end, as_of, instrument, timezone, store, extended_hours)
    columns = read.columns
    if end is not None:
        n_bars = int(np.searchsorted(columns.session, days_of(end), "right"))
        if n_bars < columns.n_bars:
            columns = columns.select(slice(0, n_bars))
    prices, bid, ask, left = adjust_prices(columns, read.actions, adjust)
    adjusted = adjust != "none" or any(x.name == "prices_adjusted" for x in read.findings)
    bars = build_bars(
        replace(read.instrument, tick=0.0) if adjusted else read.instrument,
        parse_timeframe(read.timeframe),
        columns.ts,
        prices,
        sessions=read.sessions,
        periods=tuple(periods),
        bid=bid,
        ask=ask,
        halted=columns.halted,
        actions=left,
        extended_hours=extended_hours,
    )
    findings = read.findings
    if read.final is not None and bars.n_bars:
        bars, finding = _ended(bars, read.final, read.sessions)
        findings = (*findings, finding)
    first = 0 if start is None else int(np.searchsorted(bars.session, days_of(start), "left"))
    if first >= bars.n_bars:
        raise DataError(_empty_range(bars, columns, read, start, end, extended_hours))
    skipped = 0 if warmup == "all" else max(first - int(warmup), 0)
    if skipped:
        bars = select_bars(bars, slice(skipped, None))
    stored_finer = ""
    if finer is not None:
        bars, stored_finer = _with_finer(bars, source, finer, adjust, extended_hours, end, as_of)
    digest = fingerprint(bars, read.sessions)
    return LoadedBars(
        bars,
        first - skipped,
        digest,
        read.text,
        findings,
        read.stored,
        stored_finer,
        symbol,
        read.stored_under,
        loaded_at,
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """What a store or a file gave, before it is cut, adjusted and scheduled."""

    columns: BarColumns
    instrument: Instrument
    timeframe: str
    sessions: SessionTable
    actions: NDArray[np.void]
    text: str
    first: date
    last: date
    findings: tuple[Finding, ...]
    stored: str = ""
    final: FinalValue | None = None
    stored_under: tuple[str, ...] = ()


def _read(
    source: Store | Path | str,
    symbol: str,
    timeframe: str,
    end: date | None,
    as_of: date | None,
    instrument: Instrument | None,
    timezone: str,
    store: Store | None,
    extended_hours: bool,
) -> _Read:
    if not isinstance(source, Store):
        return _read_file(Path(source), symbol, timeframe, as_of, instrument, timezone, store)
    # A session belongs to a month by its date, its bars may have the day before.
    last_ns = None if end is None else (days_of(end) + 2) * DAY_NS
    listings = read_listings(source)
    security = listings.resolve(symbol, end)
    final: FinalValue | None = None
    if security is None:
        stored = timeframe
        if source.find_series(symbol, timeframe) is None:
            from market_data.resampling import best_source

            stored = best_source(source, symbol, timeframe) or timeframe
        columns, one = source.read_columns(symbol, stored, last_ns=last_ns)
        used: tuple[Series, ...] = (one,)
        records = source.read_action_records(symbol)
        found = instrument or source.find_instrument(symbol) or Instrument(symbol)
        noted: tuple[Finding, ...] = ()
    else:
        joined = read_security(
            source, listings, security, timeframe, source=source_of(symbol), last_ns=last_ns
        )
        columns, stored, used, records = (
            joined.columns,
            joined.stored,
            joined.series,
            joined.records,
        )
        found = instrument or security_instrument(source, security, source_of(symbol))
        noted = joined.findings
        final = _final(source, listings, security, columns, end)
    first_ns = min(series.files[0].first_ns for series in used)
    until_ns = max(series.files[-1].last_ns for series in used)
    if final is not None:
        until_ns = max(until_ns, final.day * DAY_NS)
    sessions = source.sessions(used[0].calendar, first_ns, until_ns)
    columns, others = _within_validity(columns, found)
    actions = known_actions(records, as_of)
    if security is None and not parse_timeframe(stored).intraday:
        noted = _other_companies(symbol, columns, sessions, actions, end)
    findings = (*noted, *others, *find_adjusted_prices(columns, actions))
    if any(finding.name == "prices_adjusted" for finding in findings):
        actions = actions[:0]
    text = "; ".join(dict.fromkeys(series.source for series in used))
    if stored != timeframe:
        from market_data.resampling import resample_columns

        columns = resample_columns(
            columns, sessions, stored, timeframe, actions=actions, extended_hours=extended_hours
        )
        text = f"made of {stored} bars: {text}"
    return _Read(
        columns,
        with_calendar(found, used[0].calendar),
        timeframe,
        sessions,
        actions,
        text,
        min(series.first for series in used).date(),
        max(series.last for series in used).date(),
        findings,
        stored,
        final,
        tuple(series.symbol for series in used),
    )


def _final(
    store: Store,
    listings: Listings,
    security: Security,
    columns: BarColumns,
    end: date | None,
) -> FinalValue | None:
    """Return what the shares ended at, unless bars after it or of a day before are asked for."""
    delisting = security.delisting
    if delisting is None or (end is not None and end < delisting.date):
        return None
    n_bars = int(np.searchsorted(columns.session, days_of(delisting.date), "right"))
    if n_bars == 0:
        return None
    return final_value(store, listings, security, columns.select(slice(0, n_bars)))


def _other_companies(
    symbol: str,
    columns: BarColumns,
    sessions: SessionTable,
    actions: NDArray[np.void],
    end: date | None,
) -> tuple[Finding, ...]:
    """Tell of bars that look like two companies' where the listings say nothing.

    An import refuses them; a vendor's download, which writes what it is given,
    can't.
    """
    from market_data.reused_tickers import ReuseCheck, reuse_finding

    if end is not None:
        columns = columns.select(columns.session <= days_of(end))
    check = ReuseCheck()
    check.take(columns)
    reused = check.find(sessions, actions)
    return (reuse_finding(symbol, reused),) if reused else ()


def _ended(bars: Bars, final: FinalValue, sessions: SessionTable) -> tuple[Bars, Finding]:
    """Put the end of an instrument after its last bar, if the bars reach that far."""
    n_missing = sessions.between(int(bars.session[-1]) + 1, final.day).date.shape[0]
    if n_missing > MOST_SESSIONS_BEFORE_END:
        text = (
            f"the bars end {n_missing} sessions before the delisting on {date_of(final.day)}: "
            "a position is open at the end of the data"
        )
        return bars, Finding("delisting_beyond_bars", n_missing, text)
    finding = final.finding
    if n_missing:
        message = f"{finding.message}; the last bar is {n_missing} sessions before"
        finding = Finding(finding.name, finding.count, message)
    return end_with_delisting(bars, final.day, final.value), finding


def _within_validity(
    columns: BarColumns, instrument: Instrument
) -> tuple[BarColumns, tuple[Finding, ...]]:
    """Leave out bars of sessions on which the symbol meant another instrument or none."""
    first, last = instrument.valid_from, instrument.valid_to
    n_bars = columns.n_bars
    begin = 0 if first is None else int(np.searchsorted(columns.session, days_of(first), "left"))
    stop = n_bars if last is None else int(np.searchsorted(columns.session, days_of(last), "right"))
    n_out = n_bars - max(stop - begin, 0)
    if not n_out:
        return columns, ()
    text = (
        f"{n_out} bars outside the validity of {instrument.symbol} "
        f"({first or 'the first day'} to {last or 'today'}) left out"
    )
    kept = columns.select(slice(begin, max(stop, begin)))
    return kept, (Finding("outside_validity", n_out, text),)


def _read_file(
    path: Path,
    symbol: str,
    timeframe: str,
    as_of: date | None,
    instrument: Instrument | None,
    timezone: str,
    store: Store | None,
) -> _Read:
    from market_data.importing import read_file

    checked = read_file(
        store or open_store(data_home()),
        path,
        symbol=symbol,
        timeframe=timeframe,
        instrument=instrument,
        timezone=timezone,
    )
    adjusted = any(finding.name == "prices_adjusted" for finding in checked.findings)
    columns, others = _within_validity(checked.columns, checked.instrument)
    return _Read(
        columns,
        checked.instrument,
        checked.timeframe,
        checked.sessions,
        checked.actions[:0] if adjusted else known_actions(checked.actions, as_of),
        checked.source,
        date_of(checked.columns.session[0]),
        date_of(checked.columns.session[-1]),
        (*checked.findings, *others),
    )


def _empty_range(
    bars: Bars,
    columns: BarColumns,
    read: _Read,
    start: date | None,
    end: date | None,
    extended_hours: bool,
) -> str:
    name = f"{read.timeframe} bars of {bars.instrument.symbol}"
    if columns.n_bars and not bars.n_bars and not extended_hours:
        return f"all {columns.n_bars} {name} are outside the sessions of their calendar"
    span = f"from {start or 'the first'} to {end or 'the last'}"
    return f"no {name} {span}; there are bars from {read.first} to {read.last}"


def _with_finer(
    bars: Bars,
    source: Store | Path | str,
    finer: str,
    adjust: Adjustment,
    extended_hours: bool,
    end: date | None,
    as_of: date | None,
) -> tuple[Bars, str]:
    if not isinstance(source, Store):
        raise DataError(f"finer {finer} bars need the store; import both files first")
    loaded = load_bars(
        source,
        bars.instrument.symbol,
        finer,
        end=end,
        adjust=adjust,
        as_of=as_of,
        extended_hours=extended_hours,
    )
    return attach_finer(bars, replace(loaded.bars, actions=bars.actions[:0])), loaded.stored


def fingerprint(bars: Bars, sessions: SessionTable) -> str:
    """Return the sha256 of everything that a run reads of its bars."""
    instrument = asdict(bars.instrument)
    head = json.dumps([instrument, bars.timeframe, sorted(bars.periods)], default=str)
    used = sessions.between(int(bars.session[0]), int(bars.session[-1]))
    parts: list[bytes | NDArray[np.generic]] = [b"quarterdeck bars 1", head.encode()]
    parts += [used.date, used.open, used.close, used.offset]
    parts += _content(bars)
    if bars.finer is not None:
        parts += [bars.finer.timeframe.encode(), *_content(bars.finer)]
    return content_digest(parts)


def _content(bars: Bars) -> list[bytes | NDArray[np.generic]]:
    empty = np.zeros(0)
    halts = np.flatnonzero(bars.flags & 8)
    return [
        bars.ts,
        bars.prices,
        empty if bars.bid is None else bars.bid,
        empty if bars.ask is None else bars.ask,
        halts,
        bars.actions,
    ]
