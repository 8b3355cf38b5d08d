"""Bars from arrays: the one place where `trading.bars.Bars` are put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np
from numpy.typing import ArrayLike, NDArray

from foundation.errors import DataError
from market_data.calendars import FIRST_DATE, always_open, compute_sessions, default_daily_calendar
from market_data.sessions import (
    Placement,
    SessionTable,
    date_of,
    monday,
    place_intraday,
    schedule_bars,
    session_dates,
)
from market_data.timeframes import DAY_NS, Timeframe, parse_timeframe
from trading.bars import ACTION, CLOSE, HIGH, LOW, NO_SHARES, OPEN, VOLUME, BarFlag, Bars
from trading.instruments import Instrument

# Corporate actions as the store keeps them; `i_bar` is known once bars are.
DATED_ACTION = np.dtype([("ex_date", "i8"), ("split_ratio", "f8"), ("dividend", "f8")])


def bars_from_arrays(
    instrument: Instrument,
    timeframe: str,
    ts: ArrayLike,
    open: ArrayLike,
    high: ArrayLike,
    low: ArrayLike,
    close: ArrayLike,
    volume: ArrayLike | None = None,
    *,
    sessions: SessionTable | None = None,
    periods: Sequence[str] = (),
    bid: ArrayLike | None = None,
    ask: ArrayLike | None = None,
    halted: ArrayLike | None = None,
    actions: NDArray[np.void] | None = None,
    finer: Bars | None = None,
    extended_hours: bool = False,
) -> Bars:
    """Build bars from columns, with everything the schedule says of them.

    Parameters
    ----------
    instrument : Instrument
        Its calendar gives the sessions; daily bars without one get ``XNYS``,
        or ``24/7`` when there are bars on weekends.
    timeframe : str
        Such as ``1m``, ``1h``, ``1d`` or ``1w``.
    ts : int64 UTC nanoseconds or datetime64 array, shape (n_bars,)
        Open times, strictly increasing. Daily and weekly bars may have plain
        dates.
    open, high, low, close : float64 arrays, shape (n_bars,)
        Prices in quote currency.
    volume : float64 array, shape (n_bars,), optional
        0 when not given.
    sessions : SessionTable, optional
        Computed from the calendar when not given, which costs seconds for an
        exchange; it must cover the bars.
    periods : sequence of str
        Higher timeframes to code.
    bid, ask : float64 arrays, shape (4, n_bars), optional
        Open, high, low, close of each side.
    halted : bool array, shape (n_bars,), optional
        Bars in which trading was halted.
    actions : DATED_ACTION array, optional
        Splits and dividends by ex-date.
    finer : Bars, optional
        Finer bars that decide the path within each bar.
    extended_hours : bool
        Keep bars outside the scheduled sessions; else they are left out.

    Raises
    ------
    DataError
        If times do not increase, the shapes differ, a bar lies in no session
        or an intraday series has no calendar.
    """
    frame = parse_timeframe(timeframe)
    times = _nanoseconds(ts)
    prices = np.zeros((5, times.shape[0]))
    for row, column in ((OPEN, open), (HIGH, high), (LOW, low), (CLOSE, close), (VOLUME, volume)):
        if column is not None:
            _fill(prices[row], column)
    if times.shape[0] > 1 and not bool(np.all(times[1:] > times[:-1])):
        i_bar = int(np.argmax(times[1:] <= times[:-1])) + 1
        raise DataError(f"bar times must increase; bar {i_bar} is not after the one before it")
    return build_bars(
        instrument,
        frame,
        times,
        prices,
        sessions=sessions if sessions is not None else sessions_for(instrument, frame, times),
        periods=tuple(periods),
        bid=None if bid is None else np.ascontiguousarray(bid, np.float64),
        ask=None if ask is None else np.ascontiguousarray(ask, np.float64),
        halted=None if halted is None else np.asarray(halted, np.bool_),
        actions=actions,
        finer=finer,
        extended_hours=extended_hours,
    )


def _nanoseconds(ts: ArrayLike) -> NDArray[np.int64]:
    times = np.asarray(ts)
    if times.dtype.kind == "M":
        times = times.astype("datetime64[ns]").astype(np.int64)
    elif times.dtype.kind != "i":
        raise DataError(f"bar times must be int64 nanoseconds or datetime64, got {times.dtype}")
    return np.ascontiguousarray(times, np.int64)


def _fill(target: NDArray[np.float64], column: ArrayLike) -> None:
    values = np.asarray(column, np.float64)
    if values.shape != target.shape:
        raise DataError(f"columns must have {target.shape[0]} values, got shape {values.shape}")
    target[:] = values


def sessions_for(
    instrument: Instrument, timeframe: Timeframe, ts: NDArray[np.int64]
) -> SessionTable:
    """Compute a session table that covers the bars, without a store."""
    calendar = instrument.calendar
    if not calendar:
        if timeframe.intraday:
            raise DataError(
                f"{timeframe.name} bars of {instrument.symbol} need a calendar, such as XNYS, "
                "24/7 or FX"
            )
        calendar = default_daily_calendar(ts // DAY_NS)
    if ts.shape[0] == 0:
        return always_open(0, -1)
    first, last = int(ts[0] // DAY_NS) - 15, int(ts[-1] // DAY_NS) + 15
    if calendar == "24/7":
        return always_open(first, last)
    return compute_sessions(calendar, min(date_of(first), FIRST_DATE), date_of(last))


def place_bars(table: SessionTable, timeframe: Timeframe, ts: NDArray[np.int64]) -> Placement:
    """Find the session of each bar; -1 where the calendar has none.

    Weekly bars get the last session of their week.
    """
    if timeframe.intraday:
        return place_intraday(table, ts)
    inside = np.zeros(ts.shape[0], np.bool_)
    dates = session_dates(table, ts)
    if timeframe.name == "1w":
        week = monday(dates)
        row = np.searchsorted(table.date, week + 7, "left") - 1
        known = (row >= 0) & (table.date[np.maximum(row, 0)] >= week)
    else:
        row = np.searchsorted(table.date, dates, "left")
        known = row < table.date.shape[0]
        known &= table.date[np.minimum(row, table.date.shape[0] - 1)] == dates
    return Placement(np.where(known, row, -1), inside)


def build_bars(
    instrument: Instrument,
    timeframe: Timeframe,
    ts: NDArray[np.int64],
    prices: NDArray[np.float64],
    *,
    sessions: SessionTable,
    periods: tuple[str, ...] = (),
    bid: NDArray[np.float64] | None = None,
    ask: NDArray[np.float64] | None = None,
    halted: NDArray[np.bool_] | None = None,
    actions: NDArray[np.void] | None = None,
    finer: Bars | None = None,
    extended_hours: bool = False,
) -> Bars:
    """Build bars from checked columns; see `bars_from_arrays`."""
    placement = place_bars(sessions, timeframe, ts)
    if bool(np.any(placement.i_session < 0)):
        i_bar = int(np.argmax(placement.i_session < 0))
        raise DataError(
            f"bar {i_bar} of {instrument.symbol} at {np.datetime64(int(ts[i_bar]), 'ns')} is in "
            f"no session of calendar {sessions.calendar}"
        )
    if not extended_hours and bool(np.any(placement.outside)):
        keep = ~placement.outside
        ts, prices = ts[keep], prices[:, keep]
        bid = None if bid is None else bid[:, keep]
        ask = None if ask is None else ask[:, keep]
        halted = None if halted is None else halted[keep]
        placement = Placement(placement.i_session[keep], placement.outside[keep])
    plan = schedule_bars(sessions, timeframe, ts, placement, periods)
    if halted is not None:
        plan.flags[halted] |= BarFlag.HALTED
    if not instrument.calendar:
        instrument = replace(instrument, calendar=sessions.calendar)
    bars = Bars(
        instrument=instrument,
        timeframe=timeframe.name,
        ts=plan.ts,
        close_ts=plan.close_ts,
        prices=np.ascontiguousarray(prices),
        session=plan.session,
        flags=plan.flags,
        facts=plan.facts,
        periods=plan.periods,
        bid=None if bid is None else np.ascontiguousarray(bid),
        ask=None if ask is None else np.ascontiguousarray(ask),
        actions=place_actions(plan.session, actions),
    )
    return bars if finer is None else attach_finer(bars, finer)


def place_actions(session: NDArray[np.int64], actions: NDArray[np.void] | None) -> NDArray[np.void]:
    """Give each corporate action the first bar of its ex-date's session.

    Notes
    -----
    An action whose session has no bar counts from the next bar. One at or
    before the first bar is already in every price that we have, and one after
    the last bar has not happened yet; both are left out.
    """
    if actions is None or actions.shape[0] == 0 or session.shape[0] == 0:
        return np.zeros(0, ACTION)
    inside = (actions["ex_date"] > session[0]) & (actions["ex_date"] <= session[-1])
    chosen = actions[inside]
    placed = np.zeros(chosen.shape[0], ACTION)
    placed["i_bar"] = np.searchsorted(session, chosen["ex_date"], "left")
    placed["split_ratio"] = chosen["split_ratio"]
    placed["dividend"] = chosen["dividend"]
    return placed


def end_with_delisting(bars: Bars, day: int, value: float) -> Bars:
    """Return the bars up to the last session of their instrument, and its end after them.

    Parameters
    ----------
    day : int
        Last session, days since 1970-01-01. Without a bar in it the end comes
        after the last bar before.
    value : float
        Currency that each share was worth.
    """
    n_bars = int(np.searchsorted(bars.session, day, "right"))
    if n_bars == 0:
        return bars
    if n_bars < bars.n_bars:
        bars = select_bars(bars, slice(0, n_bars))
    end = np.array([(n_bars - 1, NO_SHARES, value)], ACTION)
    return replace(bars, actions=np.append(bars.actions, end))


def dated_actions(rows: Sequence[tuple[date, float, float]]) -> NDArray[np.void]:
    """Return an action table from (ex_date, split_ratio, dividend) rows, sorted by date."""
    table = np.zeros(len(rows), DATED_ACTION)
    for i, (ex_date, split_ratio, dividend) in enumerate(sorted(rows)):
        table[i] = (ex_date.toordinal() - 719_163, split_ratio, dividend)
    return table


def attach_finer(bars: Bars, finer: Bars) -> Bars:
    """Return the bars with those finer bars that lie within them.

    Raises
    ------
    DataError
        If `finer` is not finer than the bars.
    """
    if parse_timeframe(finer.timeframe).length_ns >= parse_timeframe(bars.timeframe).length_ns:
        raise DataError(f"{finer.timeframe} bars are not finer than {bars.timeframe}")
    i_bar = np.searchsorted(bars.ts, finer.ts, "right") - 1
    inside = (i_bar >= 0) & (finer.ts < bars.close_ts[np.maximum(i_bar, 0)])
    if not bool(inside.all()):
        finer = select_bars(finer, np.flatnonzero(inside))
    start = np.searchsorted(finer.ts, bars.ts, "left")
    return replace(bars, finer=finer, finer_start=np.append(start, finer.n_bars))


def select_bars(bars: Bars, chosen: slice | NDArray[np.int64]) -> Bars:
    """Return some of the bars, in order, with everything that belongs to them.

    Corporate actions between two chosen bars count from the later one; those
    before the first chosen bar are left out. Finer bars are dropped unless
    the selection is a slice.
    """
    index = np.arange(bars.n_bars)[chosen]
    i_new = np.searchsorted(index, bars.actions["i_bar"], "left")
    kept = (i_new > 0) & (i_new < index.shape[0])
    actions = bars.actions[kept].copy()
    actions["i_bar"] = i_new[kept]
    finer, finer_start = None, None
    if bars.finer is not None and bars.finer_start is not None and isinstance(chosen, slice):
        begin = int(bars.finer_start[index[0]]) if index.shape[0] else 0
        end = int(bars.finer_start[index[-1] + 1]) if index.shape[0] else 0
        finer = select_bars(bars.finer, slice(begin, end))
        finer_start = np.append(bars.finer_start[index], end) - begin
    return replace(
        bars,
        ts=bars.ts[chosen],
        close_ts=bars.close_ts[chosen],
        prices=np.ascontiguousarray(bars.prices[:, chosen]),
        session=bars.session[chosen],
        flags=bars.flags[chosen],
        facts=np.ascontiguousarray(bars.facts[:, chosen]),
        periods={name: codes[chosen] for name, codes in bars.periods.items()},
        bid=None if bars.bid is None else np.ascontiguousarray(bars.bid[:, chosen]),
        ask=None if bars.ask is None else np.ascontiguousarray(bars.ask[:, chosen]),
        actions=actions,
        finer=finer,
        finer_start=finer_start,
    )
