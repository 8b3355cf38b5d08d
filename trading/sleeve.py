"""A sleeve: one strategy version on one instrument with its own capital."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trading import dtypes as d
from trading.arrays import Feed, Logs, Plan, Record, Scratch, State
from trading.engine import finish_nb, run_nb
from trading.formulas import MAX_STACK
from trading.portfolio import NO_SESSION


def new_state(plan: Plan, cash: float, first_bar: int = 0) -> State:
    """Return the state of a sleeve before its first bar.

    Parameters
    ----------
    cash : float
        Starting cash, quote currency, > 0.
    first_bar : int
        Number of the first bar that the policy sees.
    """
    policy = plan.policy[0]
    per_bracket = int(policy["n_rungs"] + policy["n_targets"] + 2)
    header = np.zeros(1, d.HEADER)
    row = header[0]
    row["i_bar"] = first_bar
    row["session"] = NO_SESSION
    row["cash"] = row["last_equity"] = row["previous_session_equity"] = cash
    row["peak_equity"] = row["lowest_cash"] = cash
    row["average_entry"] = np.nan
    row["last_exit_bar"] = -1
    row["blocked_session"] = NO_SESSION
    row["best_trade"], row["worst_trade"] = -np.inf, np.inf
    row["wake_low"], row["wake_high"] = -np.inf, np.inf
    row["wake_bar"] = first_bar  # The first bar is always looked at.
    row["order_minute"] = -1
    n_brackets = int(policy["n_brackets"])
    brackets = np.zeros(n_brackets, d.BRACKET)
    for name in ("average_entry", "stop_distance", "trail_distance", "break_even_at"):
        brackets[name] = np.nan
    return State(header, brackets, np.zeros(n_brackets * per_bracket, d.ORDER))


def new_scratch(state: State) -> Scratch:
    """Return room for a second path through a bar."""
    return Scratch(
        np.zeros(1, d.HEADER),
        np.zeros_like(state.brackets),
        np.zeros_like(state.orders),
        np.zeros(1, d.CURSOR),
        np.zeros(MAX_STACK + 1),
    )


def new_logs(rows: int) -> Logs:
    """Return logs with room for `rows` rows each; 0 switches logging off."""
    return Logs(
        np.zeros(1, d.CURSOR),
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
        np.zeros(n_sessions),
        np.zeros(n_sessions, np.int64),
    )


def _grown(log: NDArray[np.void]) -> NDArray[np.void]:
    bigger = np.zeros(len(log) * 4, log.dtype)
    bigger[: len(log)] = log
    return bigger


@dataclass(frozen=True, slots=True)
class SleeveRun:
    """What a sleeve did over its bars.

    Attributes
    ----------
    header, brackets, orders : arrays
        State after the last bar; orders that still work are in `orders`.
    fills, order_log, trades, cash_events : structured arrays
    record : Record
        One value per bar from the first traded one on, and per session.
    """

    state: State
    fills: NDArray[np.void]
    order_log: NDArray[np.void]
    trades: NDArray[np.void]
    cash_events: NDArray[np.void]
    record: Record


def run_sleeve(
    plan: Plan,
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
        Process every bar instead of passing over idle ones.
    progress : callable of (done, total) or None
        Called about every hundredth of a long run.
    """
    n_bars = feed.matrix.shape[1]
    state = new_state(plan, cash, first_bar)
    logs = new_logs(1024 if keep_rows else 0)
    n_sessions = 1 + int(np.count_nonzero(np.diff(feed.session[first_bar:])))
    record = new_record(n_bars if keep_rows else 0, n_sessions)
    if feed.actions.shape[0]:
        logs.cursor["action"] = int(np.searchsorted(feed.actions["i_bar"], first_bar, side="left"))
    scratch = new_scratch(state)
    chunk = n_bars if progress is None else max(100_000, n_bars // 100)
    i = first_bar
    while i < n_bars:
        stop = min(n_bars, i + chunk)
        reached = int(run_nb(plan, state, feed, logs, scratch, record, i, stop, every_bar))
        if reached < stop:
            logs = Logs(logs.cursor, *(_grown(log) for log in logs[1:]))
        i = reached
        if progress is not None:
            progress(i, n_bars)
    finish_nb(plan, state, feed, logs, record, n_bars - 1)
    cursor = logs.cursor[0]
    return SleeveRun(
        state,
        logs.fills[: cursor["fills"]],
        logs.orders[: cursor["orders"]],
        logs.trades[: cursor["trades"]],
        logs.cash_events[: cursor["cash_events"]],
        record,
    )
