"""Corporate actions: derived from adjusted closes, and applied to prices.

The convention is CRSP's, which Quandl WIKI used: a bar's return with its
distributions is (close × split ratio + dividend) / previous close, both the
ratio and the dividend counted for one share held before the split.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data.action_records import known_actions
from market_data.building import DATED_ACTION
from market_data.columns import BarColumns
from market_data.sessions import days_of

# The smallest split looked for is 3 for 2. A dividend below a quarter of the
# price can't be mistaken for it; a larger one fails as a negative dividend.
_SMALLEST_SPLIT = 1.25
_CENT = 0.01


def derive_actions(
    session: NDArray[np.int64],
    close: NDArray[np.float64],
    adjusted_close: NDArray[np.float64],
    *,
    tolerance: float = 1e-8,
) -> NDArray[np.void]:
    """Derive splits and cash dividends from raw and fully adjusted closes.

    Parameters
    ----------
    session : int64 array, shape (n_bars,)
        Session dates, days since 1970-01-01.
    close, adjusted_close : float64 arrays, shape (n_bars,)
        Of the same sessions.
    tolerance : float
        Relative difference between the two returns that counts as none.

    Returns
    -------
    DATED_ACTION array
        Dividends are rounded to the cent where they are within a hundredth of
        one.

    Raises
    ------
    DataError
        If a jump is neither a dividend nor a split by a small whole ratio.
    """
    growth = (adjusted_close[1:] / adjusted_close[:-1]) / (close[1:] / close[:-1])
    changes = np.flatnonzero(np.abs(growth - 1.0) > tolerance)
    actions = np.zeros(changes.shape[0], DATED_ACTION)
    for row, i in enumerate(changes):
        split_ratio = _split_ratio(float(growth[i]))
        dividend = close[i] * (adjusted_close[i + 1] / adjusted_close[i])
        dividend -= close[i + 1] * split_ratio
        cents = round(dividend / _CENT) * _CENT
        if abs(dividend - cents) < _CENT / 100:
            dividend = round(cents, 2)
        if dividend < 0:
            raise DataError(
                f"adjusted closes fall by {1 - growth[i]:.4%} against the closes on "
                f"{np.datetime64(int(session[i + 1]), 'D')}, which no split or dividend explains"
            )
        actions[row] = (session[i + 1], split_ratio, dividend)
    return actions


def _split_ratio(growth: float) -> float:
    """Return the ratio that the growth means: n for 1, 3 for 2, 1 for n, or 1 for none."""
    if 1 / _SMALLEST_SPLIT < growth < _SMALLEST_SPLIT:
        return 1.0
    if growth < 1:
        return 1.0 / round(1.0 / growth)
    return round(growth * 2) / 2


def back_factors(
    session: NDArray[np.int64],
    close: NDArray[np.float64],
    actions: NDArray[np.void],
    *,
    dividends: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what to multiply each bar's prices and volume by to adjust them.

    Parameters
    ----------
    session : int64 array, shape (n_bars,)
        Increasing; several bars may share one.
    close : float64 array, shape (n_bars,)
        Raw closes.
    actions : DATED_ACTION array
        By ex-date.
    dividends : bool
        Adjust for dividends too, not for splits only.

    Returns
    -------
    price_factor, volume_factor : float64 arrays, shape (n_bars,)
        1 at and after the last action.
    """
    price_factor = np.ones(session.shape[0])
    volume_factor = np.ones(session.shape[0])
    for action in actions[::-1]:
        i_bar = int(np.searchsorted(session, action["ex_date"], "left"))
        if i_bar == 0 or i_bar >= session.shape[0]:
            continue
        split_ratio = float(action["split_ratio"])
        growth = split_ratio
        if dividends:
            i_close = int(np.searchsorted(session, session[i_bar], "right")) - 1
            ex_close = float(close[i_close])
            growth = (ex_close * split_ratio + float(action["dividend"])) / ex_close
        price_factor[:i_bar] /= growth
        volume_factor[:i_bar] *= split_ratio
    return price_factor, volume_factor


def unseen_splits(columns: BarColumns, actions: NDArray[np.void]) -> tuple[list[int], int]:
    """Return which splits the prices do not show, as those of adjusted prices don't.

    Parameters
    ----------
    columns : BarColumns
        Bars as they came from their source.
    actions : DATED_ACTION array
        By ex-date.

    Returns
    -------
    unseen : list of int
        Ex-dates of splits within the bars where the step from the last close
        to the first open is nearer to none than to the split's.
    n_splits : int
        Splits within the bars that are large enough to tell.
    """
    session = columns.session
    if columns.n_bars == 0:
        return [], 0
    ratio = actions["split_ratio"]
    inside = (actions["ex_date"] > session[0]) & (actions["ex_date"] <= session[-1])
    splits = actions[inside & ((ratio >= _SMALLEST_SPLIT) | (ratio <= 1 / _SMALLEST_SPLIT))]
    unseen = []
    for split in splits:
        i_bar = int(np.searchsorted(session, split["ex_date"], "left"))
        step = float(np.log(columns.prices[0, i_bar] / columns.prices[3, i_bar - 1]))
        if abs(step + float(np.log(split["split_ratio"]))) >= abs(step):
            unseen.append(int(split["ex_date"]))
    return unseen, int(splits.shape[0])


def shown_splits(columns: BarColumns, actions: NDArray[np.void]) -> NDArray[np.void]:
    """Return the splits that the prices show, so that they can be taken out of them."""
    splits = actions[actions["split_ratio"] != 1.0]
    if splits.shape[0] == 0 or columns.n_bars == 0:
        return splits[:0]
    unseen, _ = unseen_splits(columns, splits)
    return np.asarray(splits[~np.isin(splits["ex_date"], unseen)])


def adjust_prices(
    columns: BarColumns,
    actions: NDArray[np.void],
    adjust: Literal["none", "splits", "all"],
) -> tuple[
    NDArray[np.float64],
    NDArray[np.float64] | None,
    NDArray[np.float64] | None,
    NDArray[np.void],
]:
    """Back-adjust prices and quotes.

    Returns
    -------
    prices, bid, ask : arrays as in `BarColumns`
    actions : DATED_ACTION array
        What the prices do not hold yet: all of them, the dividends (in
        split-adjusted money) or none.
    """
    if adjust == "none" or actions.shape[0] == 0 or columns.n_bars == 0:
        return columns.prices, columns.bid, columns.ask, actions
    price_factor, volume_factor = back_factors(
        columns.session, columns.prices[3], actions, dividends=adjust == "all"
    )
    prices = columns.prices * price_factor
    prices[4] = columns.prices[4] * volume_factor
    bid = None if columns.bid is None else columns.bid * price_factor
    ask = None if columns.ask is None else columns.ask * price_factor
    if adjust == "all":
        return prices, bid, ask, actions[:0]
    left = actions[actions["dividend"] > 0].copy()
    i_bar = np.searchsorted(columns.session, left["ex_date"], "left")
    # The dividend counts for one share held before a split of the same day.
    before = np.clip(i_bar - 1, 0, columns.n_bars - 1)
    left["dividend"] *= price_factor[before]
    left["split_ratio"] = 1.0
    return prices, bid, ask, left


def adjusted_as_of(
    columns: BarColumns,
    actions: NDArray[np.void],
    as_of: date,
    adjust: Literal["splits", "all"] = "all",
) -> BarColumns:
    """Return the bars up to a day, adjusted as could be done at its close.

    Parameters
    ----------
    columns : BarColumns
        Raw bars.
    actions : ACTION_RECORD or DATED_ACTION array
        By ex-date. Those whose ex-date or announcement is after the day were
        not known yet, and change nothing.
    as_of : date
        A session date; bars of later sessions are left out.
    adjust : {"splits", "all"}
        For splits, or for splits and dividends.

    Notes
    -----
    What comes after the day never changes the series as of it: no later bar
    or action is read.
    """
    n_bars = int(np.searchsorted(columns.session, days_of(as_of), "right"))
    seen = columns.select(slice(0, n_bars))
    prices, bid, ask, _ = adjust_prices(seen, known_actions(actions, as_of), adjust)
    return replace(seen, prices=prices, bid=bid, ask=ask)
