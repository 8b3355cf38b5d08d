"""How much of what a calendar schedules is there, month by month."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market_data.building import place_bars
from market_data.columns import BarColumns
from market_data.companies import Companies, expected_sessions
from market_data.quality.companies import companies_in
from market_data.sessions import SessionTable
from market_data.timeframes import parse_timeframe


@dataclass(frozen=True, slots=True)
class Coverage:
    """Bars that are there and bars that are scheduled, by month.

    Attributes
    ----------
    month : datetime64[M] array, shape (n_months,)
    there, scheduled : int64 arrays, shape (n_months,)
        Bars of intraday series within the scheduled hours; sessions of daily
        ones. The first and last session count as far as the data reach.
    """

    month: NDArray[np.datetime64]
    there: NDArray[np.int64]
    scheduled: NDArray[np.int64]


def coverage_of(
    columns: BarColumns, table: SessionTable, timeframe: str, companies: Companies | None = None
) -> Coverage:
    """Count bars against the calendar, by month, from each company's first bar to its last.

    Parameters
    ----------
    companies : Companies, optional
        Whose bars they are, by the listings; without them months without a bar
        and another company after them are told by the bars.
    """
    frame = parse_timeframe(timeframe)
    ts, index = np.unique(columns.ts, return_index=True)
    placement = place_bars(table, frame, ts)
    inside = placement.i_session >= 0
    if frame.intraday:
        inside &= ~placement.outside
    ts, rows, prices = ts[inside], placement.i_session[inside], columns.prices[:, index[inside]]
    if rows.shape[0] == 0:
        return Coverage(np.zeros(0, "M8[M]"), np.zeros(0, np.int64), np.zeros(0, np.int64))
    span = slice(int(rows[0]), int(rows[-1]) + 1)
    dates = table.date[span]
    company = companies_in(table, rows, table.date[rows], prices, companies)(dates)
    expected = expected_sessions(dates, np.isin(dates, table.date[rows]), company)
    if frame.intraday:
        opens, closes = table.open[span].copy(), table.close[span].copy()
        opens[0] = max(int(opens[0]), int(ts[0]))
        closes[-1] = min(int(closes[-1]), int(ts[-1]) + frame.length_ns)
        scheduled = -(-(closes - opens) // frame.length_ns)
        there = np.bincount(rows - rows[0], minlength=dates.shape[0])
    else:
        scheduled = np.ones(dates.shape[0], np.int64)
        there = np.zeros(dates.shape[0], np.int64)
        there[rows - rows[0]] = 1
    scheduled, there = np.where(expected, scheduled, 0), np.where(expected, there, 0)
    if frame.name == "1w":
        week = (dates + 3) // 7
        first = np.append(True, week[1:] != week[:-1])
        scheduled = np.maximum.reduceat(scheduled, np.flatnonzero(first))
        there, dates = np.add.reduceat(there, np.flatnonzero(first)), dates[first]
    month = dates.astype("datetime64[D]").astype("datetime64[M]")
    start = np.flatnonzero(np.append(True, month[1:] != month[:-1]))
    return Coverage(
        month[start],
        np.minimum(np.add.reduceat(there, start), np.add.reduceat(scheduled, start)),
        np.add.reduceat(scheduled, start),
    )
