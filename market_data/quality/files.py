"""Checks of a file before it is imported, also one that an import would refuse."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data.checks import spacing, timeframe_of
from market_data.columns import BarColumns
from market_data.listings import read_listings
from market_data.quality.checking import Checked, check_columns
from market_data.quality.limits import LIMITS, Limits
from market_data.securities import companies_of
from market_data.timeframes import DAY_NS, Timeframe, parse_timeframe

if TYPE_CHECKING:
    from market_data.store import Store


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file's findings, and its bars as they were read.

    Attributes
    ----------
    checked : Checked
    columns : BarColumns
        In order of time; the session is the UTC date where none is known.
    """

    checked: Checked
    columns: BarColumns


def check_file(
    store: Store,
    path: Path,
    *,
    symbol: str = "",
    timeframe: str = "",
    timezone: str = "",
    calendar: str = "",
    limits: Limits = LIMITS,
) -> CheckedFile:
    """Check a file before it is imported, also one that an import would refuse.

    Parameters
    ----------
    store : Store
        Keeps session tables, and may know the instrument and its actions.
    symbol, timeframe, timezone, calendar : str
        As for an import, when the file doesn't tell.

    Raises
    ------
    DataError
        If the file can't be read at all, or neither file nor options tell its
        timeframe, calendar or time zone.
    """
    from market_data.actions_file import actions_beside, read_actions_file
    from market_data.calendars import default_daily_calendar
    from market_data.reading import read_raw
    from market_data.times import localise

    try:
        raw = read_raw(path, symbol)
        name = raw.symbol or path.name.split(".")[0].split("_")[0].upper()
        usual = timeframe_of(spacing(np.unique(raw.times.ns)))
        if not timeframe and not usual:
            raise DataError("the distances between bars tell no timeframe; state it")
        frame = parse_timeframe(timeframe or usual)
        ts = _file_times(raw.times.ns, raw.times.aware, frame)
        if frame.intraday and not raw.times.aware:
            if not timezone:
                raise DataError("times state no time zone; name it (--timezone UTC)")
            ts = localise(raw.times, timezone, raw.place)[0]
        instrument = store.find_instrument(name)
        named = calendar or ("" if instrument is None else instrument.calendar)
        if not named and frame.intraday:
            raise DataError(
                f"{frame.name} bars need a calendar, such as XNYS, 24/7 or FX; state one"
            )
        named = named or default_daily_calendar(ts // DAY_NS)
    except DataError as error:
        raise DataError(f"{path.name}: {error}") from error
    actions = store.read_actions(name)
    beside = actions_beside(path)
    if beside is not None:
        actions = read_actions_file(beside, name)
    table = store.sessions(named, int(ts.min()), int(ts.max()))
    prices = raw.prices
    if not raw.has_volume:
        prices = prices.copy()
        prices[4] = 0.0
    known = companies_of(read_listings(store), name)
    findings = check_columns(
        ts, prices, symbol=name, timeframe=frame.name, sessions=table,
        bid=raw.bid, ask=raw.ask, halted=raw.halted, actions=actions,
        tick=0.0 if instrument is None else instrument.tick,
        lot=0.0 if instrument is None else instrument.lot,
        companies=known, limits=limits,
    )  # fmt: skip
    order = np.argsort(ts, kind="stable")
    checked = Checked(
        name, frame.name, named, int(ts.shape[0]), int(ts.min()), int(ts.max()), tuple(findings),
        actions, known,
    )  # fmt: skip
    columns = BarColumns(ts, ts // DAY_NS, prices, raw.bid, raw.ask, raw.halted).select(order)
    return CheckedFile(checked, columns)


def _file_times(ns: NDArray[np.int64], aware: bool, frame: Timeframe) -> NDArray[np.int64]:
    if frame.intraday or aware:
        return ns
    # A daily bar's clock time without a zone says no more than its date.
    return np.asarray(ns - ns % DAY_NS)
