"""Imported bars find their sessions: order, duplicates, calendar, quotes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data import checks
from market_data.building import place_bars
from market_data.checks import Finding
from market_data.columns import BarColumns
from market_data.reading import RawBars, read_raw
from market_data.sessions import Placement, SessionTable
from market_data.timeframes import DAY_NS, Timeframe


def place_raw(
    raw: RawBars,
    table: SessionTable,
    frame: Timeframe,
    times: NDArray[np.int64],
    findings: list[Finding],
    *,
    drop_unscheduled: bool,
) -> tuple[BarColumns, NDArray[np.bool_]]:
    """Return the bars in order, each with its session, and which lie outside its hours.

    Parameters
    ----------
    raw : RawBars
        Checked prices in the file's order.
    times : int64 array, shape (n_rows,)
        UTC nanoseconds; midnight UTC where a daily bar has only a date.
    findings : list of Finding
        Grows by what is found.
    drop_unscheduled : bool
        Leave out bars in no session, however many.

    Raises
    ------
    DataError
        If two bars of one time differ, the spacing is not the timeframe's, or
        the calendar or time zone is plainly another one.
    """
    by_time = np.argsort(times, kind="stable")
    placement = _unsorted_placement(table, frame, times, by_time)
    keys = times
    if not frame.intraday:
        dates = table.date[np.maximum(placement.i_session, 0)]
        keys = np.where(placement.i_session < 0, times // DAY_NS, dates)
    values = [block for block in (raw.prices, raw.bid, raw.ask) if block is not None]
    if raw.halted is not None:
        values.append(raw.halted[np.newaxis].astype(np.float64))
    what = "time" if frame.intraday else "session" if frame.name == "1d" else "week"
    order, found = checks.ordered_rows(keys, values, raw.place, what)
    findings += found
    findings += checks.check_sessions(
        table,
        frame,
        times[order],
        _chosen(placement, order),
        lambda i: raw.place(int(order[i])),
        drop_unscheduled=drop_unscheduled,
    )
    order = order[placement.i_session[order] >= 0]
    placement = _chosen(placement, order)
    ts = times[order]
    if frame.intraday:
        checks.check_spacing(ts, frame)
    if not frame.intraday:
        ts = table.open[placement.i_session]
        if frame.name == "1w":
            dates = table.date[placement.i_session]
            ts = table.open[np.searchsorted(table.date, dates - (dates + 3) % 7, "left")]
    else:
        ts = _begin_at_open(table, frame, ts, placement, findings)
    columns = BarColumns(
        ts,
        table.date[placement.i_session],
        np.ascontiguousarray(raw.prices[:, order]),
        None if raw.bid is None else np.ascontiguousarray(raw.bid[:, order]),
        None if raw.ask is None else np.ascontiguousarray(raw.ask[:, order]),
        None if raw.halted is None else raw.halted[order],
    )
    return columns, placement.outside


def _unsorted_placement(
    table: SessionTable,
    frame: Timeframe,
    times: NDArray[np.int64],
    by_time: NDArray[np.int64],
) -> Placement:
    sorted_placement = place_bars(table, frame, times[by_time])
    i_session = np.empty_like(sorted_placement.i_session)
    outside = np.empty_like(sorted_placement.outside)
    i_session[by_time] = sorted_placement.i_session
    outside[by_time] = sorted_placement.outside
    return Placement(i_session, outside)


def _chosen(placement: Placement, rows: NDArray[np.int64]) -> Placement:
    return Placement(placement.i_session[rows], placement.outside[rows])


def _begin_at_open(
    table: SessionTable,
    frame: Timeframe,
    ts: NDArray[np.int64],
    placement: Placement,
    findings: list[Finding],
) -> NDArray[np.int64]:
    """Let bars that are labelled before the open but reach past it begin at the open.

    Some sources name the first hourly bar of New York 09:00 although it
    covers 09:30 to 10:00.
    """
    opens = table.open[placement.i_session]
    early = placement.outside & (ts < opens) & (ts + frame.length_ns > opens)
    n_early = int(early.sum())
    if not n_early:
        return ts
    text = f"{n_early} bars labelled before the session's open begin at the open"
    findings.append(Finding("begin_at_open", n_early, text))
    placement.outside[early] = False
    return np.where(early, opens, ts)


def join_quotes(columns: BarColumns, path: Path, findings: list[Finding]) -> BarColumns:
    """Return the bars with bid and ask of a second file, NaN where it has none."""
    raw = read_raw(path)
    if raw.bid is None or raw.ask is None:
        raise DataError(f"{path.name} has no columns bid_open … bid_close, ask_open … ask_close")
    if not raw.times.aware:
        raise DataError(f"{path.name}: times of quotes must state their time zone")
    order, _ = checks.ordered_rows(raw.times.ns, [raw.bid, raw.ask], raw.place, "time")
    ts = raw.times.ns[order]
    row = np.minimum(np.searchsorted(ts, columns.ts), ts.shape[0] - 1)
    there = ts[row] == columns.ts
    if not bool(there.any()):
        raise DataError(f"{path.name} has no quotes at the times of the bars")
    bid = np.where(there, raw.bid[:, order[row]], np.nan)
    ask = np.where(there, raw.ask[:, order[row]], np.nan)
    n_unused = int(ts.shape[0] - there.sum())
    if n_unused:
        text = f"{n_unused} quotes of {path.name} have no bar and are left out"
        findings.append(Finding("quotes_unused", n_unused, text))
    return replace(columns, bid=bid, ask=ask)
