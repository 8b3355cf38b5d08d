"""Bars as the core sees them: columns, sessions and period ends, no calendar.

Whoever builds `Bars` (market_data for stored bars, streaming for live ones)
asks the calendar; the core only reads what came with the bars, so that all
modes see the same sessions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from trading.instruments import Instrument

OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)


class BarFlag(IntFlag):
    """What the schedule says of a bar."""

    SESSION_FIRST = 1  # First bar of its session that exists in the data.
    SESSION_LAST = 2  # Its scheduled close is the session's close.
    FLATTEN = 4  # Scheduled close >= session close - timeframe: last but one, and last.
    HALTED = 8  # Trading was halted during the bar.
    OUTSIDE_SESSION = 16  # Extended hours.


ACTION = np.dtype(
    [
        ("i_bar", "i8"),  # First bar of the ex-date's session.
        ("split_ratio", "f8"),  # New shares for one old share; 1 when none.
        ("dividend", "f8"),  # Cash for one share held before the split, currency.
    ]
)
# The split ratio of a delisting: after the close of its bar no share is left of
# one, and the dividend is all that is paid for it.
NO_SHARES = 0.0

# Period code of a bar in a higher timeframe: (period id << 2) | last << 1 | first.
# `first`: the bar opens at the period's scheduled open. `last`: the period's
# scheduled close is at or before the bar's scheduled close. Ids increase.


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars of one instrument and one timeframe, oldest first.

    Attributes
    ----------
    ts, close_ts : int64 arrays, shape (n_bars,)
        Open time and scheduled close time, UTC nanoseconds.
    prices : float64 array, shape (5, n_bars), C-contiguous
        Rows open, high, low, close (quote currency), volume (0 when unknown).
    session : int64 array, shape (n_bars,)
        Session date as days since 1970-01-01 in the exchange's local time.
    flags : int64 array, shape (n_bars,)
        `BarFlag` bits.
    facts : float64 array, shape (4, n_bars)
        Rows hour, minute, weekday (Monday 0) of the bar's open in the
        exchange's local time, and session_bar (0 for the first scheduled bar).
    periods : mapping of timeframe to int64 array, shape (n_bars,)
        Period codes of the higher timeframes that were asked for.
    bid, ask : float64 arrays, shape (4, n_bars), or None
        Open, high, low, close of bid and ask.
    actions : ACTION array
        Splits and dividends by ex-date, in bar order; a delisting is the last.
    finer : Bars or None
        Finer bars of the instrument that decide the path within each bar.
    finer_start : int64 array, shape (n_bars + 1,), or None
        Bar i holds finer bars finer_start[i] to finer_start[i + 1].
    """

    instrument: Instrument
    timeframe: str
    ts: NDArray[np.int64]
    close_ts: NDArray[np.int64]
    prices: NDArray[np.float64]
    session: NDArray[np.int64]
    flags: NDArray[np.int64]
    facts: NDArray[np.float64]
    periods: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    bid: NDArray[np.float64] | None = None
    ask: NDArray[np.float64] | None = None
    actions: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, ACTION))
    finer: Bars | None = None
    finer_start: NDArray[np.int64] | None = None

    def has_volume(self, first_bar: int = 0) -> bool:
        """Tell whether the bars carry volume, as far as the first traded bar knows.

        Later bars are not asked, so that cutting them off changes nothing (rule 1).
        """
        return bool((self.prices[VOLUME, : first_bar + 1] > 0.0).any())

    @property
    def n_bars(self) -> int:
        """Number of bars."""
        return int(self.ts.shape[0])
