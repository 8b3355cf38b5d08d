"""The engine: one bar through the sleeve, and the loop over bars.

`process_bar_nb` is the reducer that backtest, paper and live share. `run_nb`
calls it for stored bars and passes over those where nothing can happen; what
may be passed over is decided by prices and conditions that the reducer itself
left behind, so that a run that looks at every bar gives the same bits.
"""

from __future__ import annotations

import numpy as np

from trading.brackets import free_bracket_if_done_nb, request_exit_nb, slots_per_bracket_nb
from trading.compiling import inner_kernel, kernel
from trading.corporate_actions import apply_actions_nb
from trading.decisions import (
    HALTED_BIT,
    decide_nb,
    direction_nb,
    entry_blocked_nb,
)
from trading.dtypes import (
    CANCEL_AFTER_BARS,
    CONDITION_FALSE,
    COOLDOWN,
    DAY,
    DAY_ENDED,
    END_OF_DATA,
    ENTRY,
    F_ENTER_LONG,
    F_ENTER_SHORT,
    F_EXIT_LONG,
    F_EXIT_SHORT,
    FREE,
    LIMIT,
    NO_REASON,
    SESSION_CLOSE,
    TRUE,
    UNKNOWN,
    WARMING_UP,
)
from trading.fills import NO_LIMIT_ON_VOLUME, fill_market_orders_nb, is_market_nb, match_bar_nb
from trading.formulas import has_formula_nb
from trading.orders import EXPIRE, end_order_nb
from trading.portfolio import mark_nb, roll_session_nb

SESSION_LAST_BIT = 2
NEVER = 1 << 62


@inner_kernel
def has_order_nb(state):
    """Tell whether any order works."""
    for i_order in range(state.orders.shape[0]):
        if state.orders[i_order].state != FREE:
            return True
    return False


@inner_kernel
def expire_day_orders_nb(plan, state, logs, session_ended, now):
    """Expire day orders whose session is over; note the session of new ones."""
    policy = plan.policy[0]
    header = state.header[0]
    per_bracket = slots_per_bracket_nb(policy)
    for i_order in range(state.orders.shape[0]):
        order = state.orders[i_order]
        if order.state == FREE or order.time_in_force != DAY:
            continue
        if order.session == -1:
            order.session = header.session
        if session_ended or order.session != header.session:
            end_order_nb(logs, state.orders, i_order, per_bracket, EXPIRE, DAY_ENDED, now)
            free_bracket_if_done_nb(
                policy, state.brackets, state.orders, logs, i_order // per_bracket, now
            )


@inner_kernel
def expire_by_bars_nb(plan, state, logs, now):
    """Cancel entries that have worked for their number of bars."""
    policy = plan.policy[0]
    header = state.header[0]
    per_bracket = slots_per_bracket_nb(policy)
    if policy.cancel_after_bars == 0:
        return
    for i_order in range(state.orders.shape[0]):
        order = state.orders[i_order]
        if order.state == FREE or order.role != ENTRY:
            continue
        if header.i_bar - order.created_bar >= policy.cancel_after_bars:
            end_order_nb(logs, state.orders, i_order, per_bracket, EXPIRE, CANCEL_AFTER_BARS, now)
            free_bracket_if_done_nb(
                policy, state.brackets, state.orders, logs, i_order // per_bracket, now
            )


@inner_kernel
def match_nb(plan, state, feed, logs, scratch, i):
    """Match the working orders with bar i, by its finer bars where there are any."""
    if feed.finer_start.shape[0] > 0:
        first = feed.finer_start[i]
        last = feed.finer_start[i + 1]
        if last > first:
            for k in range(first, last):
                match_bar_nb(plan, state, logs, scratch, feed.finer, k, feed.finer_ts[k])
            return
    match_bar_nb(plan, state, logs, scratch, feed.matrix, i, feed.ts[i])


@inner_kernel
def fill_at_close_nb(plan, state, feed, logs, i):
    """Fill market orders at the close of the deciding bar."""
    policy = plan.policy[0]
    state.header[0].volume_left = NO_LIMIT_ON_VOLUME
    buy = feed.matrix[policy.buy_row + 3, i]
    sell = feed.matrix[policy.sell_row + 3, i]
    fill_market_orders_nb(plan, state, logs, buy, sell, feed.close_ts[i], feed.matrix[4, i])


@inner_kernel
def leave_at_close_nb(plan, state, feed, logs, i, reason):
    """Leave all brackets at this bar's close."""
    policy = plan.policy[0]
    for b in range(state.brackets.shape[0]):
        if state.brackets[b].side != 0:
            request_exit_nb(
                policy, state.header[0], state.brackets, state.orders, b, reason, feed.close_ts[i]
            )
    fill_at_close_nb(plan, state, feed, logs, i)


@kernel
def process_bar_nb(plan, state, feed, logs, scratch, record, i):
    """Take one bar through the sleeve: fills, marks, decision.

    Parameters
    ----------
    i : int
        Column of the bar in `feed`. The bar's number in the run is
        `header.i_bar`, which this function moves on by one.
    """
    policy = plan.policy[0]
    header = state.header[0]
    now = feed.close_ts[i]
    if feed.session[i] != header.session:
        roll_session_nb(policy, header, logs, record, feed.session[i], feed.ts[i])
        expire_day_orders_nb(plan, state, logs, False, feed.ts[i])
    apply_actions_nb(plan, state, feed, logs, i)
    if has_order_nb(state) and not feed.bar_flags[i] & HALTED_BIT:
        expire_day_orders_nb(plan, state, logs, False, feed.ts[i])
        match_nb(plan, state, feed, logs, scratch, i)
    expire_by_bars_nb(plan, state, logs, now)
    if feed.bar_flags[i] & SESSION_LAST_BIT:
        expire_day_orders_nb(plan, state, logs, True, now)
    close = feed.matrix[3, i]
    if policy.flat_at_session_close == 1 and policy.intraday == 0 and header.lots != 0:
        leave_at_close_nb(plan, state, feed, logs, i, SESSION_CLOSE)
    equity = mark_nb(policy, header, close)
    action, reason = decide_nb(plan, state, feed, logs, i, equity, scratch.stack)
    if policy.same_close == 1 and has_order_nb(state):
        fill_at_close_nb(plan, state, feed, logs, i)
        equity = mark_nb(policy, header, close)
    if header.lots != 0:
        header.bars_in_position += 1
    if record.equity.shape[0] > 0:
        record.equity[i] = equity
        record.cash[i] = header.cash
        record.lots[i] = header.lots
        record.reasons[i] = reason
        record.actions[i] = action
    header.i_bar += 1
    set_wake_nb(plan, state, feed, logs)


@inner_kernel
def set_wake_nb(plan, state, feed, logs):
    """Note what a later bar must bring for the sleeve to look at it."""
    policy = plan.policy[0]
    header = state.header[0]
    low = -np.inf
    high = np.inf
    bar = NEVER
    session = 0
    for i_order in range(state.orders.shape[0]):
        order = state.orders[i_order]
        if order.state == FREE:
            continue
        if is_market_nb(order):
            bar = header.i_bar
            continue
        is_limit = order.type == LIMIT or order.triggered == 1
        if (order.side > 0) == is_limit:
            low = max(low, order.limit_price if is_limit else order.stop_price)
        else:
            high = min(high, order.limit_price if is_limit else order.stop_price)
        if order.role == ENTRY and policy.cancel_after_bars > 0:
            bar = min(bar, order.created_bar + policy.cancel_after_bars)
        if order.time_in_force == DAY:
            session = 1
    for b in range(state.brackets.shape[0]):
        bracket = state.brackets[b]
        if bracket.side == 0 or bracket.held_lots == 0:
            continue
        trails = not np.isnan(bracket.trail_distance)
        evens = bracket.break_even_done == 0 and not np.isnan(bracket.break_even_at)
        if trails or evens:
            if bracket.side > 0:
                high = min(high, bracket.extreme)
            else:
                low = max(low, bracket.extreme)
    if logs.cursor[0].action < feed.actions.shape[0]:
        bar = min(bar, feed.actions[logs.cursor[0].action].i_bar)
    if header.lots != 0:
        if policy.time_stop_bars > 0:
            bar = min(bar, header.entry_bar + policy.time_stop_bars - 1)
        if policy.max_daily_loss > 0.0 or policy.max_drawdown > 0.0:
            bar = header.i_bar
        if policy.borrow_rate > 0.0 and header.lots < 0:
            session = 1
    if policy.flat_at_session_close == 1 and direction_nb(state) != 0:
        bar = header.i_bar
    header.wake_low = low
    header.wake_high = high
    set_watch_nb(plan, state, bar, session)


@inner_kernel
def set_watch_nb(plan, state, bar, session):
    """Note which conditions the sleeve watches, and why it is idle else."""
    policy = plan.policy[0]
    header = state.header[0]
    header.watch_enter_long = 0
    header.watch_enter_short = 0
    header.watch_exit_long = 0
    header.watch_exit_short = 0
    direction = direction_nb(state)
    header.idle_reason = entry_blocked_nb(plan, state, 0)
    if header.idle_reason == COOLDOWN:
        bar = min(bar, header.last_exit_bar + policy.cooldown_bars)
    if header.idle_reason != NO_REASON and direction == 0:
        # A session's block ends with the session.
        session = 1
    if header.idle_reason == NO_REASON:
        if direction >= 0:
            header.watch_enter_long = 1
        if direction <= 0:
            header.watch_enter_short = 1
    if direction > 0:
        header.watch_exit_long = 1
        if policy.reverse == 1:
            header.watch_enter_short = 1
    elif direction < 0:
        header.watch_exit_short = 1
        if policy.reverse == 1:
            header.watch_enter_long = 1
    # A condition that asks for the position's facts has no column to scan.
    for which in range(4):
        watched = (
            (which == F_ENTER_LONG and header.watch_enter_long == 1)
            or (which == F_EXIT_LONG and header.watch_exit_long == 1)
            or (which == F_ENTER_SHORT and header.watch_enter_short == 1)
            or (which == F_EXIT_SHORT and header.watch_exit_short == 1)
        )
        if watched and plan.conditions[which] < 0 and has_formula_nb(plan, which):
            bar = header.i_bar
    header.wake_bar = bar
    header.wake_session = session


@inner_kernel
def watched_rows_nb(plan, header):
    """Return up to two flag rows to scan, and whether they are all that is watched."""
    a = 0
    b = 0
    n = 0
    for which in range(4):
        watched = (
            (which == F_ENTER_LONG and header.watch_enter_long == 1)
            or (which == F_EXIT_LONG and header.watch_exit_long == 1)
            or (which == F_ENTER_SHORT and header.watch_enter_short == 1)
            or (which == F_EXIT_SHORT and header.watch_exit_short == 1)
        )
        row = plan.conditions[which]
        if not watched or row < 0:
            continue
        n += 1
        if n == 1:
            a = row
        else:
            b = row
    return a, b, n <= 2


@inner_kernel
def note_idle_nb(plan, header, feed, record, start, stop):
    """Write the decision rows of bars that were passed over."""
    long_row = max(plan.conditions[F_ENTER_LONG], 0)
    short_row = max(plan.conditions[F_ENTER_SHORT], 0)
    direction = 1 if header.lots > 0 else (-1 if header.lots < 0 else 0)
    for k in range(start, stop):
        record.actions[k] = 0
        if header.idle_reason != NO_REASON:
            record.reasons[k] = header.idle_reason
            continue
        unknown = False
        if direction >= 0 and feed.flags[long_row, k] == UNKNOWN:
            unknown = True
        if direction <= 0 and feed.flags[short_row, k] == UNKNOWN:
            unknown = True
        record.reasons[k] = WARMING_UP if unknown else CONDITION_FALSE


@inner_kernel
def pass_flat_nb(header, feed, record, a, b, i, end):
    """Pass over bars while nothing is held; return the first bar to look at."""
    first = feed.flags[a]
    second = feed.flags[b]
    low = feed.scan_low
    high = feed.scan_high
    wake_low = header.wake_low
    wake_high = header.wake_high
    j = i
    if wake_low == -np.inf and wake_high == np.inf:
        if b == 0:
            while j < end and first[j] != TRUE:
                j += 1
        else:
            while j < end and first[j] != TRUE and second[j] != TRUE:
                j += 1
    else:
        while j < end:
            if low[j] <= wake_low or high[j] >= wake_high:
                break
            if first[j] == TRUE or second[j] == TRUE:
                break
            j += 1
    if record.equity.shape[0] > 0:
        for k in range(i, j):
            record.equity[k] = header.cash
    return j


@inner_kernel
def pass_held_nb(policy, header, feed, record, a, b, i, end):
    """Pass over bars while a position is held and marked; return the first to look at."""
    first = feed.flags[a]
    second = feed.flags[b]
    low = feed.scan_low
    high = feed.scan_high
    close = feed.matrix[3]
    row = policy.sell_row if header.lots > 0 else policy.buy_row
    bar_high = feed.matrix[row + 1]
    bar_low = feed.matrix[row + 2]
    wake_low = header.wake_low
    wake_high = header.wake_high
    cash = header.cash
    unit = header.lots * policy.lot * policy.multiplier
    peak = header.peak_equity
    deepest = header.max_drawdown
    trade_high = header.trade_high
    trade_low = header.trade_low
    keeps = record.equity.shape[0] > 0
    j = i
    while j < end:
        if low[j] <= wake_low or high[j] >= wake_high:
            break
        if first[j] == TRUE or second[j] == TRUE:
            break
        equity = cash + unit * close[j]
        if equity > peak:
            peak = equity
        else:
            drawdown = (peak - equity) / peak
            if drawdown > deepest:
                deepest = drawdown
        trade_high = max(trade_high, bar_high[j])
        trade_low = min(trade_low, bar_low[j])
        if keeps:
            record.equity[j] = equity
        j += 1
    header.peak_equity = peak
    header.max_drawdown = deepest
    header.trade_high = trade_high
    header.trade_low = trade_low
    header.bars_in_position += j - i
    return j


@inner_kernel
def pass_over_nb(plan, state, feed, logs, record, i, stop):
    """Pass over bars on which the sleeve neither trades nor decides anything.

    Returns
    -------
    int
        The first bar to be processed, or `stop`.
    """
    policy = plan.policy[0]
    header = state.header[0]
    a, b, all_rows = watched_rows_nb(plan, header)
    if not all_rows:
        return i
    while i < stop:
        if feed.session[i] != header.session:
            if header.wake_session == 1:
                return i
            roll_session_nb(policy, header, logs, record, feed.session[i], feed.ts[i])
        end = min(feed.session_stop[i], stop)
        if header.wake_session == 1:
            end -= 1
        end = min(end, i + max(header.wake_bar - header.i_bar, 0))
        if end <= i:
            return i
        if header.lots == 0:
            j = pass_flat_nb(header, feed, record, a, b, i, end)
        else:
            j = pass_held_nb(policy, header, feed, record, a, b, i, end)
        if j > i:
            mark_nb(policy, header, feed.matrix[3, j - 1])
            if record.equity.shape[0] > 0:
                for k in range(i, j):
                    record.cash[k] = header.cash
                    record.lots[k] = header.lots
                note_idle_nb(plan, header, feed, record, i, j)
        header.i_bar += j - i
        i = j
        if j < end:
            return j
    return i


@inner_kernel
def logs_are_full_nb(state, logs):
    """Tell whether the next bar might need more room in the logs than is left."""
    if logs.fills.shape[0] == 0:
        return False
    margin = 8 * state.orders.shape[0] + 64
    cursor = logs.cursor[0]
    return (
        cursor.fills + margin > logs.fills.shape[0]
        or cursor.orders + margin > logs.orders.shape[0]
        or cursor.trades + margin > logs.trades.shape[0]
        or cursor.cash_events + margin > logs.cash_events.shape[0]
    )


@kernel
def run_nb(plan, state, feed, logs, scratch, record, start, stop, every_bar):
    """Run a sleeve over the bars start to stop.

    Parameters
    ----------
    every_bar : bool
        Process each bar even where nothing can happen; the result is the same.

    Returns
    -------
    int
        `stop`, or the bar to go on from once the logs have more room.
    """
    i = start
    while i < stop:
        if not every_bar:
            i = pass_over_nb(plan, state, feed, logs, record, i, stop)
            if i >= stop:
                break
        if logs_are_full_nb(state, logs):
            return i
        process_bar_nb(plan, state, feed, logs, scratch, record, i)
        i += 1
    return stop


@kernel
def finish_nb(plan, state, feed, logs, record, last):
    """End a run: close at the end where asked, and count the last session.

    Parameters
    ----------
    last : int
        Column of the last bar.
    """
    policy = plan.policy[0]
    header = state.header[0]
    if policy.close_at_end == 1 and header.lots != 0:
        header.i_bar -= 1
        leave_at_close_nb(plan, state, feed, logs, last, END_OF_DATA)
        equity = mark_nb(policy, header, feed.matrix[3, last])
        if record.equity.shape[0] > 0:
            record.equity[last] = equity
            record.cash[last] = header.cash
            record.lots[last] = header.lots
        header.i_bar += 1
    k = header.n_sessions
    if k < record.session_equity.shape[0]:
        record.session_equity[k] = header.last_equity
        record.session_date[k] = header.session
    header.n_sessions += 1
