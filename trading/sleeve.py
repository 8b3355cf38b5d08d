"""A sleeve: one strategy version on one instrument with its own capital."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from trading import dtypes as d
from trading.arrays import Feed, Logs, Record
from trading.engine import finish_nb, run_nb
from trading.finer import finer_differ
from trading.portfolio import NO_SESSION


def new_states(plans: NDArray[np.void], cash: float, first_bar: int = 0) -> NDArray[np.void]:
    """Return states of sleeves before their first bar: a STATE array of the plans' shape.

    Parameters
    ----------
    plans : PLAN array, shape (n_sleeves,)
    cash : float
        Starting cash of each, quote currency, > 0.
    first_bar : int
        Number of the first bar that the policy sees.
    """
    # Most of a state is never touched, and so takes no memory.
    states = np.zeros(len(plans), d.STATE)
    states["header"] = _BLANK["header"]
    n_brackets = int(plans["policy"]["n_brackets"].max())
    states["brackets"][:, :n_brackets] = _BLANK["brackets"][:, :n_brackets]
    row = states["header"]
    row["i_bar"] = first_bar
    row["wake_bar"] = first_bar  # The first bar is always looked at.
    for name in ("cash", "last_equity", "previous_session_equity", "peak_equity", "lowest_cash"):
        row[name] = cash
    return states


def _blank_state() -> NDArray[np.void]:
    state = np.zeros(1, d.STATE)
    row = state["header"][0]
    row["session"] = NO_SESSION
    row["average_entry"] = np.nan
    row["last_exit_bar"] = -1
    row["blocked_session"] = NO_SESSION
    row["best_trade"], row["worst_trade"] = -np.inf, np.inf
    row["wake_low"], row["wake_high"] = -np.inf, np.inf
    row["order_minute"] = -1
    for name in ("average_entry", "stop_distance", "trail_distance", "break_even_at"):
        state["brackets"][name] = np.nan
    return state


_BLANK = _blank_state()


def state_bytes(plan: NDArray[np.void], state: NDArray[np.void]) -> bytes:
    """Return the used part of a state as bytes: header, brackets and orders."""
    policy = plan["policy"][0]
    return b"".join(
        (
            state["header"][0].tobytes(),
            state["brackets"][0, : policy["n_brackets"]].tobytes(),
            state["orders"][0, : policy["n_orders"]].tobytes(),
        )
    )


def new_journal(*, keeps: bool) -> NDArray[np.void]:
    """Return an empty journal; one that keeps nothing still counts."""
    journal = np.zeros(1, d.JOURNAL)
    journal["keeps"] = keeps
    return journal


def new_scratch(next_action: int) -> NDArray[np.void]:
    """Return a scratch record for sleeves that all begin with one corporate action."""
    scratch = np.zeros(1, d.SCRATCH)
    scratch["next_actions"] = next_action
    return scratch


def new_logs(rows: int) -> Logs:
    """Return logs with room for `rows` rows each."""
    return Logs(
        np.zeros(4, np.int64),
        np.zeros(rows, d.FILL),
        np.zeros(rows, d.ORDER_LOG),
        np.zeros(rows, d.TRADE),
        np.zeros(rows, d.CASH_EVENT),
    )


def new_record(n_bars: int, n_sessions: int) -> Record:
    """Return room for one value per bar and per session; 0 switches either off."""
    return Record(
        np.zeros(n_bars),
        np.zeros(n_bars),
        np.zeros(n_bars, np.int64),
        np.zeros(n_bars, np.int8),
        np.zeros(n_bars, np.int8),
        np.zeros((1, n_sessions)),
        np.zeros((1, 0)),
        np.zeros(n_sessions, np.int64),
    )


def _with_room(logs: Logs, journal: NDArray[np.void]) -> Logs:
    """Return logs that are larger by what the journal holds, and four times as large."""
    row = journal[0]
    counts = (row["n_fills"], row["n_orders"], row["n_trades"], row["n_cash_events"])
    grown = []
    for log, more in zip(logs[1:], counts, strict=True):
        bigger = np.zeros(len(log) * 4 + int(more), log.dtype)
        bigger[: len(log)] = log
        grown.append(bigger)
    return Logs(logs.cursor, *grown)


def _drain(logs: Logs, journal: NDArray[np.void]) -> list[NDArray[np.void]]:
    """Return the logs' rows and those that the journal still holds."""
    row = journal[0]
    names = ("fills", "orders", "trades", "cash_events")
    return [
        np.concatenate([log[:n], row[name][: row[f"n_{name}"]]])
        for name, log, n in zip(names, logs[1:], logs.cursor, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class SleeveRun:
    """What a sleeve did over its bars.

    Attributes
    ----------
    state : STATE array, shape (1,)
        After the last bar; orders that still work are in it.
    fills, order_log, trades, cash_events : structured arrays
    record : Record
        One value per bar from the first traded one on, and per session.
    """

    state: NDArray[np.void]
    fills: NDArray[np.void]
    order_log: NDArray[np.void]
    trades: NDArray[np.void]
    cash_events: NDArray[np.void]
    record: Record

    @property
    def header(self) -> np.void:
        """Header of the state."""
        return self.state["header"][0]


def run_sleeve(
    plan: NDArray[np.void],
    feed: Feed,
    cash: float,
    *,
    first_bar: int = 0,
    keep_rows: bool = True,
    every_bar: bool = False,
    progress=None,
) -> SleeveRun:
    """Run a sleeve over all bars of a feed.

    Parameters
    ----------
    first_bar : int
        Bars before it only warm indicators up.
    keep_rows : bool
        Whether to keep fills, orders, trades and a value per bar; a sweep
        keeps only the header and the sessions.
    every_bar : bool
        Process every bar instead of passing over idle ones. So it is anyway
        where finer bars have another range than their bar.
    progress : callable of (done, total) or None
        Called about every hundredth of a long run.
    """
    n_bars = feed.matrix.shape[1]
    state = new_states(plan, cash, first_bar)
    logs = new_logs(1024 if keep_rows else 1)
    n_sessions = 1 + int(np.count_nonzero(np.diff(feed.session[first_bar:])))
    record = new_record(n_bars if keep_rows else 0, n_sessions)
    journal = new_journal(keeps=keep_rows)
    scratch = new_scratch(first_action(feed, first_bar))
    every_bar = every_bar or finer_differ(plan, feed)
    chunk = n_bars if progress is None else max(100_000, n_bars // 100)
    i = first_bar
    while i < n_bars:
        stop = min(n_bars, i + chunk)
        reached = int(
            run_nb(plan, state, journal, scratch, feed, logs, record, i, stop, n_bars, every_bar)
        )
        if reached < stop:
            logs = _with_room(logs, journal)
        i = reached
        if progress is not None:
            progress(i, n_bars)
    finish_nb(plan, state, journal, scratch, feed, record, n_bars - 1)
    if journal["overflowed"][0]:
        raise DataError(
            f"more than {d.MAX_FILLS} fills or {d.MAX_ENDED_ORDERS} orders ended in one bar"
        )
    fills, orders, trades, cash_events = _drain(logs, journal)
    return SleeveRun(state, fills, orders, trades, cash_events, record)


def first_action(feed: Feed, first_bar: int) -> int:
    """Return the first corporate action that a run from `first_bar` meets."""
    if not len(feed.actions):
        return 0
    return int(np.searchsorted(feed.actions["i_bar"], first_bar, side="left"))
