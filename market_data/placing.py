"""Imported bars find their sessions: order, duplicates, calendar, quotes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data.building import place_bars
from market_data.checks import Findings, SessionCheck, SpacingCheck, ordered_rows
from market_data.columns import BarColumns
from market_data.raw import RawBars
from market_data.reading import read_raw
from market_data.sessions import Placement, SessionTable, local_dates
from market_data.timeframes import DAY_NS, Timeframe


class Placer:
    """Puts the bars of a series into their sessions, stretch by stretch.

    Parameters
    ----------
    table : SessionTable
        Must cover the bars.
    frame : Timeframe
        Bars that are not intraday come in one stretch.
    findings : Findings
        Grows by what is found.
    drop_unscheduled : bool
        Leave out bars in no session, however many.
    keep_unscheduled : bool
        Keep those within the day, under their local date.
    sparse : bool
        As in `SpacingCheck`.
    """

    def __init__(
        self,
        table: SessionTable,
        frame: Timeframe,
        findings: Findings,
        *,
        drop_unscheduled: bool,
        keep_unscheduled: bool = False,
        sparse: bool = False,
    ) -> None:
        self._table = table
        self._frame = frame
        self._findings = findings
        self._keep_unscheduled = keep_unscheduled and frame.intraday
        self._sessions = SessionCheck(table, frame, drop_unscheduled=drop_unscheduled)
        self._spacing = SpacingCheck(frame, sparse=sparse)
        self._n_duplicates = 0

    def place(self, raw: RawBars, times: NDArray[np.int64]) -> tuple[BarColumns, NDArray[np.bool_]]:
        """Return bars in order, each with its session, and which lie outside its hours.

        Parameters
        ----------
        raw : RawBars
            Checked prices in the file's order, all later than those before.
        times : int64 array, shape (n_rows,)
            UTC nanoseconds; midnight UTC where a daily bar has only a date.

        Raises
        ------
        DataError
            If two bars of one time differ.
        """
        table, frame = self._table, self._frame
        placement = _unsorted_placement(table, frame, times)
        keys = times
        if not frame.intraday:
            dates = table.date[np.maximum(placement.i_session, 0)]
            keys = np.where(placement.i_session < 0, times // DAY_NS, dates)
        values = [block for block in (raw.prices, raw.bid, raw.ask) if block is not None]
        if raw.halted is not None:
            values.append(raw.halted[np.newaxis].astype(np.float64))
        what = "time" if frame.intraday else "session" if frame.name == "1d" else "week"
        order, n_duplicates = ordered_rows(keys, values, raw.place, what)
        self._n_duplicates += n_duplicates
        placement = _chosen(placement, order)
        ts = times if order is None else times[order]
        self._sessions.take(
            ts, placement, lambda i: raw.place(i if order is None else int(order[i]))
        )
        homeless = placement.i_session < 0
        if bool(homeless.any()) and not self._keep_unscheduled:
            order = np.flatnonzero(~homeless) if order is None else order[~homeless]
            placement = _chosen(placement, np.flatnonzero(~homeless))
            ts = ts[~homeless]
        if frame.intraday:
            self._spacing.take(ts)
            ts = self._begin_at_open(ts, placement)
        else:
            ts = table.open[placement.i_session]
            if frame.name == "1w":
                dates = table.date[placement.i_session]
                ts = table.open[np.searchsorted(table.date, dates - (dates + 3) % 7, "left")]
        session = table.date[placement.i_session]
        if self._keep_unscheduled:
            session = np.where(homeless, local_dates(table, ts), session)
        return _columns(raw, order, ts, session), placement.outside

    def finish(self, n_back: int, n_rows: int) -> None:
        """Judge the series as a whole.

        Parameters
        ----------
        n_back : int
            How often the file goes back in time.

        Raises
        ------
        DataError
            If the spacing is not the timeframe's, or the calendar or time
            zone is plainly another one.
        """
        findings = self._findings
        if n_back > 0:
            backwards = n_back == n_rows - 1
            text = "newest first" if backwards else f"out of order {n_back} times"
            findings.add("reordered", n_back, f"bars were {text}; sorted")
        if self._n_duplicates:
            findings.add("duplicates_dropped", self._n_duplicates, "{n} bars were there twice")
        if not self._keep_unscheduled:
            self._sessions.finish(findings)
        if self._frame.intraday:
            self._spacing.finish()

    def _begin_at_open(self, ts: NDArray[np.int64], placement: Placement) -> NDArray[np.int64]:
        """Let bars that are labelled before the open but reach past it begin at the open.

        Some sources name the first hourly bar of New York 09:00 although it
        covers 09:30 to 10:00.
        """
        if not bool(placement.outside.any()):
            return ts
        opens = self._table.open[placement.i_session]
        early = placement.outside & (ts < opens) & (ts + self._frame.length_ns > opens)
        n_early = int(early.sum())
        if not n_early:
            return ts
        text = "{n} bars labelled before the session's open begin at the open"
        self._findings.add("begin_at_open", n_early, text)
        placement.outside[early] = False
        return np.where(early, opens, ts)


def _unsorted_placement(
    table: SessionTable, frame: Timeframe, times: NDArray[np.int64]
) -> Placement:
    if not bool(np.any(times[1:] < times[:-1])):
        return place_bars(table, frame, times)
    by_time = np.argsort(times, kind="stable")
    sorted_placement = place_bars(table, frame, times[by_time])
    i_session = np.empty_like(sorted_placement.i_session)
    outside = np.empty_like(sorted_placement.outside)
    i_session[by_time] = sorted_placement.i_session
    outside[by_time] = sorted_placement.outside
    return Placement(i_session, outside)


def _chosen(placement: Placement, rows: NDArray[np.int64] | None) -> Placement:
    if rows is None:
        return placement
    return Placement(placement.i_session[rows], placement.outside[rows])


def _columns(
    raw: RawBars,
    order: NDArray[np.int64] | None,
    ts: NDArray[np.int64],
    session: NDArray[np.int64],
) -> BarColumns:
    if order is None:
        return BarColumns(ts, session, raw.prices, raw.bid, raw.ask, raw.halted)
    return BarColumns(
        ts,
        session,
        np.ascontiguousarray(raw.prices[:, order]),
        None if raw.bid is None else np.ascontiguousarray(raw.bid[:, order]),
        None if raw.ask is None else np.ascontiguousarray(raw.ask[:, order]),
        None if raw.halted is None else raw.halted[order],
    )


class QuoteJoiner:
    """Gives bars the bid and ask of a second file, which is held in memory.

    Raises
    ------
    DataError
        If the file can't be read, has no quotes, or its times no zone.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        raw = read_raw(path)
        if raw.bid is None or raw.ask is None:
            raise DataError(
                f"{path.name} has no columns bid_open … bid_close, ask_open … ask_close"
            )
        if not raw.times.aware:
            raise DataError(f"{path.name}: times of quotes must state their time zone")
        order, _ = ordered_rows(raw.times.ns, [raw.bid, raw.ask], raw.place, "time")
        rows = slice(None) if order is None else order
        self._ts, self._bid, self._ask = raw.times.ns[rows], raw.bid[:, rows], raw.ask[:, rows]
        self._n_used = 0

    def join(self, columns: BarColumns) -> BarColumns:
        """Return the bars with their quotes, NaN where the file has none."""
        row = np.minimum(np.searchsorted(self._ts, columns.ts), self._ts.shape[0] - 1)
        there = self._ts[row] == columns.ts
        self._n_used += int(there.sum())
        bid = np.where(there, self._bid[:, row], np.nan)
        ask = np.where(there, self._ask[:, row], np.nan)
        return replace(columns, bid=bid, ask=ask)

    def finish(self, findings: Findings) -> None:
        """Note quotes that no bar took; DataError if none was taken."""
        if not self._n_used:
            raise DataError(f"{self._path.name} has no quotes at the times of the bars")
        n_unused = int(self._ts.shape[0]) - self._n_used
        if n_unused:
            text = f"{n_unused} quotes of {self._path.name} have no bar and are left out"
            findings.add("quotes_unused", n_unused, text.replace("{", "{{").replace("}", "}}"))
