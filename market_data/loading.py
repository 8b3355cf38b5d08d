"""The way out of the store: bars for a backtest, with warm-up and fingerprint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from foundation.home import data_home
from market_data.actions import adjust_prices
from market_data.building import attach_finer, build_bars, select_bars
from market_data.checks import Finding, find_adjusted_prices
from market_data.columns import BarColumns
from market_data.sessions import SessionTable, date_of, days_of
from market_data.store import Store, content_digest, open_store, with_calendar
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
    """

    bars: Bars
    i_start: int
    fingerprint: str
    source: str
    findings: tuple[Finding, ...] = ()
    stored: str = ""
    stored_finer: str = ""


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
        timeframe that is not stored is made of a shorter one that is.
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
    read = _read(source, symbol, timeframe, end, instrument, timezone, store, extended_hours)
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
    first = 0 if start is None else int(np.searchsorted(bars.session, days_of(start), "left"))
    if first >= bars.n_bars:
        raise DataError(_empty_range(bars, columns, read, start, end, extended_hours))
    skipped = 0 if warmup == "all" else max(first - int(warmup), 0)
    if skipped:
        bars = select_bars(bars, slice(skipped, None))
    stored_finer = ""
    if finer is not None:
        bars, stored_finer = _with_finer(bars, source, finer, adjust, extended_hours, end)
    digest = fingerprint(bars, read.sessions)
    return LoadedBars(
        bars, first - skipped, digest, read.text, read.findings, read.stored, stored_finer
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


def _read(
    source: Store | Path | str,
    symbol: str,
    timeframe: str,
    end: date | None,
    instrument: Instrument | None,
    timezone: str,
    store: Store | None,
    extended_hours: bool,
) -> _Read:
    if not isinstance(source, Store):
        return _read_file(Path(source), symbol, timeframe, instrument, timezone, store)
    # A session belongs to a month by its date, its bars may have the day before.
    last_ns = None if end is None else (days_of(end) + 2) * DAY_NS
    stored = timeframe
    if source.find_series(symbol, timeframe) is None:
        from market_data.resampling import best_source

        stored = best_source(source, symbol, timeframe) or timeframe
    columns, series = source.read_columns(symbol, stored, last_ns=last_ns)
    sessions = source.sessions(series.calendar, series.files[0].first_ns, series.files[-1].last_ns)
    actions = source.read_actions(symbol)
    findings = tuple(find_adjusted_prices(columns, actions))
    if findings:
        actions = actions[:0]
    text = series.source
    if stored != timeframe:
        from market_data.resampling import resample_columns

        columns = resample_columns(
            columns, sessions, stored, timeframe, actions=actions, extended_hours=extended_hours
        )
        text = f"made of {stored} bars: {text}"
    found = instrument or source.find_instrument(symbol) or Instrument(symbol)
    return _Read(
        columns,
        with_calendar(found, series.calendar),
        timeframe,
        sessions,
        actions,
        text,
        series.first.date(),
        series.last.date(),
        findings,
        stored,
    )


def _read_file(
    path: Path,
    symbol: str,
    timeframe: str,
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
    columns = checked.columns
    return _Read(
        columns,
        checked.instrument,
        checked.timeframe,
        checked.sessions,
        checked.actions[:0] if adjusted else checked.actions,
        checked.source,
        date_of(columns.session[0]),
        date_of(columns.session[-1]),
        checked.findings,
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
) -> tuple[Bars, str]:
    if not isinstance(source, Store):
        raise DataError(f"finer {finer} bars need the store; import both files first")
    loaded = load_bars(
        source,
        bars.instrument.symbol,
        finer,
        end=end,
        adjust=adjust,
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
