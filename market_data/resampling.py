"""Longer bars from shorter ones, by session.

Intraday bars are anchored at the session's open, so the last of a session may
be shorter; days are sessions, weeks are the sessions of a calendar week. A
period without bars gets none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data.building import place_bars
from market_data.columns import BarColumns
from market_data.series import Series
from market_data.sessions import Placement, SessionTable, monday, schedule_bars
from market_data.store import Store
from market_data.timeframes import Timeframe, parse_timeframe


def resample_columns(
    columns: BarColumns,
    table: SessionTable,
    timeframe: str,
    target: str,
    *,
    actions: NDArray[np.void] | None = None,
    extended_hours: bool = False,
    keep_partial: bool = False,
) -> BarColumns:
    """Make bars of a longer timeframe.

    Parameters
    ----------
    columns : BarColumns
        Bars of `timeframe`, oldest first.
    table : SessionTable
        Must cover the bars.
    target : str
        A longer timeframe; an intraday one must be a multiple of `timeframe`.
    actions : DATED_ACTION array, optional
        A split within a week rescales the week's bars before it, so that the
        week is in the money of its end.
    extended_hours : bool
        Include bars outside the scheduled hours; days and weeks never do.
    keep_partial : bool
        Keep the first period if the data begins after its scheduled open, and
        the last if the data ends before its scheduled close. Such bars are
        left out otherwise, as they are in the core.

    Returns
    -------
    BarColumns
        First open, highest high, lowest low, last close, volumes added in
        order of time; bid and ask alike, each by itself. A bar counts as
        halted when all of its parts do.
    """
    frame, period = parse_timeframe(timeframe), parse_timeframe(target)
    if not can_resample(frame, period):
        raise DataError(f"{target} bars can't be made of {timeframe} bars")
    placement = place_bars(table, frame, columns.ts)
    keep = placement.i_session >= 0
    if not (extended_hours and period.intraday):
        keep &= ~placement.outside
    if not bool(keep.all()):
        columns = columns.select(keep)
        placement = Placement(placement.i_session[keep], placement.outside[keep])
    if columns.n_bars == 0:
        return columns
    if period.name == "1w" and actions is not None:
        columns = _in_money_of_week_end(columns, actions)
    codes = schedule_bars(table, frame, columns.ts, placement, (target,)).periods[target]
    identity = codes >> 2
    starts = np.flatnonzero(np.append(True, identity[1:] != identity[:-1]))
    if not keep_partial:
        first = 0 if codes[0] & 1 else int(starts[1]) if starts.shape[0] > 1 else columns.n_bars
        stop = columns.n_bars if codes[-1] & 2 else int(starts[-1])
        if first >= stop:
            return columns.select(slice(0, 0))
        if stop - first < columns.n_bars:
            columns = columns.select(slice(first, stop))
            part = slice(first, stop)
            placement = Placement(placement.i_session[part], placement.outside[part])
            starts = starts[(starts >= first) & (starts < stop)] - first
    row = placement.i_session[starts]
    return BarColumns(
        _period_opens(table, period, columns.ts[starts], row),
        _period_sessions(table, period, row),
        _aggregate_prices(columns.prices, starts),
        None if columns.bid is None else _aggregate(columns.bid, starts),
        None if columns.ask is None else _aggregate(columns.ask, starts),
        None if columns.halted is None else np.logical_and.reduceat(columns.halted, starts),
    )


def can_resample(frame: Timeframe, period: Timeframe) -> bool:
    """Return whether bars of `period` can be made of bars of `frame`."""
    if period.length_ns <= frame.length_ns:
        return False
    return not period.intraday or period.length_ns % frame.length_ns == 0


def _period_opens(
    table: SessionTable, period: Timeframe, first_ts: NDArray[np.int64], row: NDArray[np.int64]
) -> NDArray[np.int64]:
    if period.name == "1w":
        return table.open[np.searchsorted(table.date, monday(table.date[row]), "left")]
    opens = table.open[row]
    if period.intraday:
        opens = opens + (first_ts - opens) // period.length_ns * period.length_ns
    return opens


def _period_sessions(
    table: SessionTable, period: Timeframe, row: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the session that each bar ends in."""
    if period.name == "1w":
        row = np.searchsorted(table.date, monday(table.date[row]) + 7, "left") - 1
    return table.date[row]


def _aggregate_prices(
    prices: NDArray[np.float64], starts: NDArray[np.int64]
) -> NDArray[np.float64]:
    counts = np.diff(np.append(starts, prices.shape[1]))
    period = np.repeat(np.arange(starts.shape[0]), counts)
    bars = np.empty((5, starts.shape[0]))
    bars[:4] = _aggregate(prices[:4], starts)
    # bincount adds one after the other as a live aggregator does; numpy's own
    # sums add in pairs and differ in the last bit.
    bars[4] = np.bincount(period, weights=prices[4])
    return bars


def _aggregate(block: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    last = np.append(starts[1:], block.shape[1]) - 1
    return np.stack(
        [
            block[0, starts],
            np.fmax.reduceat(block[1], starts),
            np.fmin.reduceat(block[2], starts),
            block[3, last],
        ]
    )


def _in_money_of_week_end(columns: BarColumns, actions: NDArray[np.void]) -> BarColumns:
    factor = np.ones(columns.n_bars)
    weeks = monday(columns.session)
    for action in actions[actions["split_ratio"] != 1]:
        ex_date = int(action["ex_date"])
        before = (weeks == ex_date - (ex_date + 3) % 7) & (columns.session < ex_date)
        factor[before] *= float(action["split_ratio"])
    if not bool(np.any(factor != 1)):
        return columns
    prices = columns.prices / factor
    prices[4] = columns.prices[4] * factor
    return BarColumns(
        columns.ts,
        columns.session,
        prices,
        None if columns.bid is None else columns.bid / factor,
        None if columns.ask is None else columns.ask / factor,
        columns.halted,
    )


def best_source(store: Store, symbol: str, target: str) -> str | None:
    """Return the longest stored timeframe that bars of `target` can be made of."""
    period = parse_timeframe(target)
    stored = [parse_timeframe(name) for name in store.timeframes(symbol)]
    fitting = [frame for frame in stored if can_resample(frame, period)]
    return fitting[-1].name if fitting else None


def resample_series(store: Store, symbol: str, target: str, *, source: str = "") -> Series:
    """Make and store the bars of a longer timeframe from a stored one.

    Parameters
    ----------
    target : str
        Such as ``5m``, ``1h``, ``1d`` or ``1w``.
    source : str
        Stored timeframe to use; the longest that fits when not given.

    Raises
    ------
    DataError
        If no stored timeframe fits, or stored bars of `target` are others.
    """
    origin = source or best_source(store, symbol, target)
    if origin is None:
        raise DataError(f"no stored bars of {symbol} from which {target} bars can be made")
    columns, series = store.read_columns(symbol, origin)
    table = store.sessions(series.calendar, series.files[0].first_ns, series.files[-1].last_ns)
    made = resample_columns(columns, table, origin, target, actions=store.read_actions(symbol))
    if made.n_bars == 0:
        raise DataError(f"the {origin} bars of {symbol} hold no whole {target} bar")
    return store.write_bars(
        symbol, target, made, calendar=series.calendar, source=f"made of {origin} bars"
    )
