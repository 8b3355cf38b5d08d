"""The engine: one bar through the sleeve, and the loop over bars.

`process_bar_nb` is the reducer that backtest, paper and live share. `run_nb`
calls it for stored bars and passes over those where nothing can happen; what
may be passed over is decided by prices and conditions that the reducer itself
left behind, so that a run that looks at every bar gives the same bits.
"""

from __future__ import annotations

import numpy as np

from trading.addresses import (
    address_nb,
    byte_at_nb,
    equal_mask_nb,
    float_at_nb,
    n_trailing_zeros_nb,
    reached_mask_nb,
    word_at_nb,
)
from trading.brackets import (
    bracket_of_nb,
    distance_from_nb,
    free_bracket_if_done_nb,
    request_exit_nb,
)
from trading.compiling import inlined_kernel, inner_kernel, kernel
from trading.corporate_actions import apply_actions_nb
from trading.decisions import (
    HALTED_BIT,
    decide_nb,
    direction_nb,
    entry_blocked_nb,
    exit_all_nb,
)
from trading.dtypes import (
    CANCEL_AFTER_BARS,
    CONDITION_FALSE,
    COOLDOWN,
    DAY,
    DAY_ENDED,
    END_OF_DATA,
    ENTRY,
    EVEN_AT_SHARE,
    F_ENTER_LONG,
    F_ENTER_SHORT,
    F_EXIT_LONG,
    FREE,
    LIMIT,
    NO_REASON,
    SESSION_CLOSE,
    TRUE,
    UNKNOWN,
    WARMING_UP,
)
from trading.fills import (
    NO_LIMIT_ON_VOLUME,
    fill_market_orders_nb,
    is_market_nb,
    match_bar_nb,
    note_range_nb,
    set_volume_nb,
)
from trading.formulas import has_formula_nb, set_column_nb
from trading.orders import EXPIRE, end_order_nb
from trading.portfolio import ALMOST_ONE, NO_SESSION, deepen_nb, mark_nb, roll_session_nb, value_nb
from trading.specialising import (
    ANY,
    WITH_TARGET,
    WITHOUT_TARGET,
    journal_as_nb,
    kind_nb,
    plan_as_nb,
)

SESSION_LAST_BIT = 2
NEVER = 1 << 62
# Bars whose prices are passed over at once.
BLOCK_BARS = 16
BLOCK_SHIFT = np.uintp(4)
LAST_OF_BLOCK = np.uintp(BLOCK_BARS - 1)
ZERO = np.uintp(0)
ONE = np.uintp(1)


@inlined_kernel
def load_bar_nb(policy, bar, prices, i, ts, close_ts, session, bar_flags):
    """Fill the bar record from column i of a price matrix."""
    bar.ts = ts
    bar.close_ts = close_ts
    bar.session = session
    bar.flags = bar_flags
    bar.close = prices[3, i]
    bar.volume = prices[4, i]
    for k in range(4):
        bar.buy[k] = prices[policy.buy_row + k, i]
    if policy.sell_row == policy.buy_row:
        for k in range(4):
            bar.sell[k] = bar.buy[k]
    else:
        for k in range(4):
            bar.sell[k] = prices[policy.sell_row + k, i]


@inner_kernel
def expire_day_orders_nb(plan, state, journal, session_ended, now):
    """Expire day orders whose session is over; note the session of new ones."""
    policy = plan.policy
    header = state.header
    for i_order in range(policy.n_orders):
        order = state.orders[i_order]
        if order.state == FREE or order.time_in_force != DAY:
            continue
        if order.session == -1:
            order.session = header.session
        if session_ended or order.session != header.session:
            end_order_nb(policy, state, journal, i_order, EXPIRE, DAY_ENDED, now)
            free_bracket_if_done_nb(policy, state, journal, bracket_of_nb(policy, i_order), now)


@inner_kernel
def expire_by_bars_nb(plan, state, journal, now):
    """Cancel entries that have worked for `cancel_after_bars`, which is set."""
    policy = plan.policy
    header = state.header
    for i_order in range(policy.n_orders):
        order = state.orders[i_order]
        if order.state == FREE or order.role != ENTRY:
            continue
        if header.i_bar - order.created_bar >= policy.cancel_after_bars:
            end_order_nb(policy, state, journal, i_order, EXPIRE, CANCEL_AFTER_BARS, now)
            free_bracket_if_done_nb(policy, state, journal, bracket_of_nb(policy, i_order), now)


@kernel
def block_ranges_nb(low, high, close, block_low, block_high, block_close_low, block_close_high):
    """Find the range of each whole block of BLOCK_BARS bars, and that of its closes.

    Parameters
    ----------
    low, high, close : float64 arrays, shape (n_bars,)
    block_low, block_high, block_close_low, block_close_high : float64 arrays
        Receive one value per whole block.
    """
    for b in range(block_low.shape[0]):
        start = b * BLOCK_BARS
        lowest = low[start]
        highest = high[start]
        close_low = close[start]
        close_high = close[start]
        for k in range(start + 1, start + BLOCK_BARS):
            lowest = min(lowest, low[k])
            highest = max(highest, high[k])
            close_low = min(close_low, close[k])
            close_high = max(close_high, close[k])
        block_low[b] = lowest
        block_high[b] = highest
        block_close_low[b] = close_low
        block_close_high[b] = close_high


@inlined_kernel
def load_fed_bar_nb(policy, bar, feed, i):
    """Fill the bar record with bar i of a feed."""
    load_bar_nb(
        policy, bar, feed.matrix, i, feed.ts[i], feed.close_ts[i], feed.session[i],
        feed.bar_flags[i],
    )  # fmt: skip


@inlined_kernel
def set_finer_nb(scratch, finer, finer_ts):
    """Let bars be matched by finer ones: prices by row, and their times."""
    scratch.finer_prices = address_nb(finer)
    scratch.finer_stride = finer.strides[0]
    scratch.finer_ts = address_nb(finer_ts)


@inlined_kernel
def load_finer_nb(policy, scratch, bar, k):
    """Fill the record of a finer bar with column k of those that `set_finer_nb` chose."""
    part = scratch.finer
    stride = scratch.finer_stride
    prices = scratch.finer_prices + 8 * k
    part.ts = word_at_nb(scratch.finer_ts + 8 * k)
    part.close_ts = 0
    part.session = bar.session
    part.flags = bar.flags
    part.close = float_at_nb(prices + 3 * stride)
    part.volume = float_at_nb(prices + 4 * stride)
    for row in range(4):
        part.buy[row] = float_at_nb(prices + (policy.buy_row + row) * stride)
        part.sell[row] = float_at_nb(prices + (policy.sell_row + row) * stride)


@inlined_kernel
def match_nb(plan, state, journal, scratch, bar, first, last):
    """Match the working orders with a bar, by its finer bars where there are any."""
    if last > first:
        for k in range(first, last):
            load_finer_nb(plan.policy, scratch, bar, k)
            match_bar_nb(plan, state, journal, scratch, scratch.finer)
        return
    match_bar_nb(plan, state, journal, scratch, bar)


@inner_kernel
def fill_at_close_nb(plan, state, journal, bar):
    """Fill market orders at the close of the deciding bar."""
    fill_market_orders_nb(plan, state, journal, bar.buy[3], bar.sell[3], bar.close_ts, bar.volume)


@inner_kernel
def leave_at_close_nb(plan, state, journal, bar, reason):
    """Leave all brackets at this bar's close."""
    policy = plan.policy
    for b in range(policy.n_brackets):
        if state.brackets[b].side != 0:
            request_exit_nb(policy, state, b, reason, bar.close_ts)
    fill_at_close_nb(plan, state, journal, bar)


@inner_kernel
def process_bar_nb(plan, state, journal, scratch, bar, actions, first, last):
    """Take one bar through the sleeve: fills, marks, decision.

    Its columns are those that `set_column_nb` chose, its finer bars those of
    `set_finer_nb`.

    Parameters
    ----------
    bar : BAR record
        Its number in the run is `header.i_bar`, which this function moves on.
    actions : ACTION array
        Corporate actions from `journal.next_action` on.
    first, last : int
        First finer bar, and that after the last; none when they are equal.

    Returns
    -------
    (int, int)
        Action and reason codes of the decision.
    """
    policy = plan.policy
    header = state.header
    if bar.session != header.session:
        roll_session_nb(policy, header, journal, bar.session, bar.ts)
    if actions.shape[0] > 0:
        apply_actions_nb(plan, state, journal, actions, bar.ts)
    set_volume_nb(policy, header, bar.volume)
    has_day_orders = policy.time_in_force == DAY  # Only entries; exits work until they fill.
    if has_day_orders:
        expire_day_orders_nb(plan, state, journal, False, bar.ts)
    if bar.flags & HALTED_BIT:
        note_range_nb(header, bar)
    elif header.n_working > 0 or header.lots != 0:
        match_nb(plan, state, journal, scratch, bar, first, last)
    if policy.cancel_after_bars > 0:
        expire_by_bars_nb(plan, state, journal, bar.close_ts)
    if has_day_orders and bar.flags & SESSION_LAST_BIT:
        expire_day_orders_nb(plan, state, journal, True, bar.close_ts)
    if policy.flat_at_session_close == 1 and policy.intraday == 0 and header.lots != 0:
        leave_at_close_nb(plan, state, journal, bar, SESSION_CLOSE)
    equity = mark_nb(policy, header, bar.close)
    action, reason = decide_nb(plan, state, journal, bar, equity, scratch)
    if policy.same_close == 1 and header.n_working > 0:
        fill_at_close_nb(plan, state, journal, bar)
        mark_nb(policy, header, bar.close)
    if header.lots != 0:
        header.bars_in_position += 1
    header.volume_left = 0  # Of this bar only, and none of a sleeve's memory.
    header.i_bar += 1
    next_action_bar = NEVER
    if journal.next_action < actions.shape[0]:
        next_action_bar = actions[journal.next_action].i_bar
    set_wake_nb(plan, state, next_action_bar)
    return action, reason


@inlined_kernel
def set_wake_nb(plan, state, next_action_bar):
    """Note what a later bar must bring for the sleeve to look at it."""
    policy = plan.policy
    header = state.header
    low = -np.inf
    high = np.inf
    bar = next_action_bar
    session = 0
    for i_order in range(policy.n_orders):
        if header.n_working == 0:
            break
        order = state.orders[i_order]
        if order.state == FREE:
            continue
        if order.time_in_force == DAY:
            session = 1
        if is_market_nb(order):
            bar = header.i_bar
            continue
        is_limit = order.type == LIMIT or order.triggered == 1
        price = order.limit_price if is_limit else order.stop_price
        if (order.side > 0) == is_limit:
            low = max(low, price)
        else:
            high = min(high, price)
        if order.role == ENTRY and policy.cancel_after_bars > 0:
            bar = min(bar, order.created_bar + policy.cancel_after_bars)
    for b in range(policy.n_brackets):
        if policy.moves_stops == 0:
            break
        bracket = state.brackets[b]
        if bracket.side == 0 or bracket.held_lots == 0:
            continue
        trails = not np.isnan(bracket.trail_distance)
        evens = bracket.break_even_done == 0 and not np.isnan(bracket.break_even_at)
        level = bracket.extreme
        if evens:
            at = distance_from_nb(
                policy, EVEN_AT_SHARE, bracket.break_even_at, bracket.average_entry
            )
            even = bracket.average_entry + bracket.side * at
            if not trails or bracket.side * (level - even) > 0.0:
                level = even
        if trails or evens:
            if bracket.side > 0:
                high = min(high, level)
            else:
                low = max(low, level)
    if header.lots != 0:
        if policy.time_stop_bars > 0:
            bar = min(bar, header.entry_bar + policy.time_stop_bars - 1)
        if policy.max_daily_loss > 0.0 or policy.max_drawdown > 0.0:
            bar = header.i_bar
        if policy.borrow_rate > 0.0 and header.lots < 0:
            session = 1
    if policy.flat_at_session_close == 1 and direction_nb(policy, state) != 0:
        bar = header.i_bar
    header.wake_low = low
    header.wake_high = high
    set_watch_nb(plan, state, bar, session)


@inlined_kernel
def set_watch_nb(plan, state, bar, session):
    """Note which conditions the sleeve watches, and why it is idle else."""
    policy = plan.policy
    header = state.header
    header.watch_enter_long = 0
    header.watch_enter_short = 0
    header.watch_exit_long = 0
    header.watch_exit_short = 0
    direction = direction_nb(policy, state)
    header.idle_reason = entry_blocked_nb(plan, state, direction, 0)
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
        if is_watched_nb(header, which) and plan.conditions[which] < 0:
            if has_formula_nb(plan, which):
                bar = header.i_bar
    header.wake_bar = bar
    header.wake_session = session


@inlined_kernel
def is_watched_nb(header, which):
    """Tell whether the sleeve watches a condition."""
    if which == F_ENTER_LONG:
        return header.watch_enter_long == 1
    if which == F_EXIT_LONG:
        return header.watch_exit_long == 1
    if which == F_ENTER_SHORT:
        return header.watch_enter_short == 1
    return header.watch_exit_short == 1


@inlined_kernel
def watched_rows_nb(plan, header):
    """Return up to two flag rows to scan, and whether they are all that is watched."""
    a = 0
    b = 0
    n = 0
    for which in range(4):
        row = plan.conditions[which]
        if row < 0 or not is_watched_nb(header, which):
            continue
        n += 1
        if n == 1:
            a = row
        else:
            b = row
    return a, b, n <= 2


@inner_kernel
def note_idle_nb(plan, header, flags, reasons, start, stop):
    """Write the reasons of bars that were passed over."""
    long_row = max(plan.conditions[F_ENTER_LONG], 0)
    short_row = max(plan.conditions[F_ENTER_SHORT], 0)
    direction = 1 if header.lots > 0 else (-1 if header.lots < 0 else 0)
    for k in range(start, stop):
        if header.idle_reason != NO_REASON:
            reasons[k] = header.idle_reason
            continue
        unknown = False
        if direction >= 0 and flags[long_row, k] == UNKNOWN:
            unknown = True
        if direction <= 0 and flags[short_row, k] == UNKNOWN:
            unknown = True
        reasons[k] = WARMING_UP if unknown else CONDITION_FALSE


@inlined_kernel
def find_true_nb(flags, start, stop):
    """Find the first true condition from start on, `stop` if there is none."""
    first = address_nb(flags)
    last_many = flags.shape[0] - 32
    j = start
    while j < stop:
        if j <= last_many:
            true = equal_mask_nb(first + j, TRUE)
            if true != 0:
                return min(j + n_trailing_zeros_nb(true), stop)
            j += 32
        elif byte_at_nb(first + j) == TRUE:
            return j
        else:
            j += 1
    return stop


@inlined_kernel
def find_reached_nb(feed, wake_low, wake_high, start, stop):
    """Find the first bar from start on that reaches a price, `stop` if none does.

    A block that reaches neither price is passed over, also from its middle on.
    """
    low = feed.scan_low
    high = feed.scan_high
    first_low = address_nb(low)
    first_high = address_nb(high)
    n_blocks = np.uintp(feed.block_low.shape[0])
    j = start
    while j < stop:
        k = j >> BLOCK_SHIFT
        if k < n_blocks:
            within = j & LAST_OF_BLOCK
            block = j - within
            if not (feed.block_low[k] > wake_low and feed.block_high[k] < wake_high):
                bars = 8 * np.int64(block)
                reached = reached_mask_nb(first_low + bars, first_high + bars, wake_low, wake_high)
                reached = reached >> within << within
                if reached != 0:
                    return min(block + np.uintp(n_trailing_zeros_nb(reached)), stop)
            j = block + LAST_OF_BLOCK + ONE
        elif low[j] <= wake_low or high[j] >= wake_high:
            return j
        else:
            j += ONE
    return stop


@inlined_kernel
def find_wake_nb(header, feed, first, second, second_row, i, end):
    """Find the first bar from i on that the sleeve must look at, `end` if none."""
    stop = end
    if header.wake_low != -np.inf or header.wake_high != np.inf:
        # Unsigned indexes: no array access looks for a negative one.
        reached = find_reached_nb(
            feed, header.wake_low, header.wake_high, np.uintp(i), np.uintp(stop)
        )
        stop = np.int64(reached)
    stop = find_true_nb(first, i, stop)
    if second_row != 0:
        stop = find_true_nb(second, i, stop)
    return stop


@inlined_kernel
def pass_flat_nb(header, equities, i, j):
    """Mark bars i to j while nothing is held."""
    if equities.shape[0] > 0:
        for k in range(i, j):
            equities[k] = header.cash


@inlined_kernel
def pass_held_nb(policy, header, feed, equities, i, j):
    """Mark bars i to j while a position is held.

    Equity moves with the close, so a block's lowest and highest closes tell
    whether any bar of it brings a new peak, and how deep the block's drawdown
    is when none does. Its range tells what to note of a whole block, or that
    there is nothing to note of a part.
    """
    matrix = feed.matrix
    row = policy.sell_row if header.lots > 0 else policy.buy_row
    close = matrix[3]
    bar_high = matrix[row + 1]
    bar_low = matrix[row + 2]
    cash = header.cash
    unit = header.lots * policy.lot * policy.multiplier
    peak = header.peak_equity
    deepest = header.max_drawdown
    trade_high = header.trade_high
    trade_low = header.trade_low
    n_blocks = np.uintp(feed.block_low.shape[0])
    # Without quotes and finer bars a block's range is that of its bars' prices.
    same_prices = row == 0 and policy.buy_row == 0 and feed.finer.shape[1] == 0
    k = np.uintp(i)
    stop = np.uintp(j)
    while k < stop:
        end = (k | LAST_OF_BLOCK) + ONE
        b = k >> BLOCK_SHIFT
        if b < n_blocks:
            one_side = cash + unit * feed.block_close_low[b]
            other_side = cash + unit * feed.block_close_high[b]
            best = max(one_side, other_side)
            worst = min(one_side, other_side)
            if best <= peak:
                high = feed.block_high[b]
                low = feed.block_low[b]
                if same_prices and end <= stop and k & LAST_OF_BLOCK == ZERO:
                    peak, deepest = deepen_nb(peak, deepest, worst)
                    trade_high = max(trade_high, high)
                    trade_low = min(trade_low, low)
                    k = end
                    continue
                nothing_deeper = peak - worst <= deepest * peak * ALMOST_ONE
                if nothing_deeper and high <= trade_high and low >= trade_low:
                    k = end
                    continue
        end = min(end, stop)
        while k < end:
            peak, deepest = deepen_nb(peak, deepest, cash + unit * close[k])
            if bar_high[k] > trade_high:
                trade_high = bar_high[k]
            if bar_low[k] < trade_low:
                trade_low = bar_low[k]
            k += ONE
    if equities.shape[0] > 0:
        for n in range(i, j):
            equities[n] = cash + unit * close[n]
    header.peak_equity = peak
    header.max_drawdown = deepest
    header.trade_high = trade_high
    header.trade_low = trade_low
    header.bars_in_position += j - i


@inlined_kernel
def close_session_nb(header, record, row):
    """Write down equity and cash of the session that ended, in the sleeve's row."""
    k = header.n_sessions
    if header.session != NO_SESSION and k < record.session_equity.shape[1]:
        record.session_equity[row, k] = header.last_equity
        if k < record.session_cash.shape[1]:
            record.session_cash[row, k] = header.cash
        record.session_date[k] = header.session


@inlined_kernel
def pass_over_nb(plan, state, journal, feed, record, row, i, stop, session_stop):
    """Pass over bars on which the sleeve neither trades nor decides anything.

    Parameters
    ----------
    row : int
        Number of the sleeve in the record.
    session_stop : int
        Index after the last bar of the session that bar i - 1 belongs to.

    Returns
    -------
    (int, int)
        The first bar to be processed, or `stop`; and the new session_stop.
    """
    policy = plan.policy
    header = state.header
    a, b, all_rows = watched_rows_nb(plan, header)
    if not all_rows:
        return i, session_stop
    first = feed.flags[a]
    second = feed.flags[b]
    while i < stop:
        if i >= session_stop:
            session_stop = feed.session_stop[i]
            session = feed.session[i]
            if session != header.session:
                if header.wake_session == 1:
                    return i, session_stop
                close_session_nb(header, record, row)
                roll_session_nb(policy, header, journal, session, feed.ts[i])
        end = min(session_stop, stop)
        if header.wake_session == 1:
            end -= 1
        end = min(end, i + max(header.wake_bar - header.i_bar, 0))
        if end <= i:
            return i, session_stop
        j = find_wake_nb(header, feed, first, second, b, i, end)
        if header.lots == 0:
            pass_flat_nb(header, record.equity, i, j)
        else:
            pass_held_nb(policy, header, feed, record.equity, i, j)
        if j > i:
            value_nb(policy, header, feed.matrix[3, j - 1])  # Peak and drawdown are up to date.
            if record.equity.shape[0] > 0:
                for k in range(i, j):
                    record.cash[k] = header.cash
                    record.lots[k] = header.lots
                    record.actions[k] = 0
                note_idle_nb(plan, header, feed.flags, record.reasons, i, j)
        header.i_bar += j - i
        i = j
        if j < end:
            return j, session_stop
    return i, session_stop


@inlined_kernel
def keep_journal_nb(journal, logs, cursor):
    """Move the journal's rows to the logs; the cursor says how far those are filled."""
    for k in range(journal.n_fills):
        logs.fills[cursor[0] + k] = journal.fills[k]
    for k in range(journal.n_orders):
        logs.orders[cursor[1] + k] = journal.orders[k]
    for k in range(journal.n_trades):
        logs.trades[cursor[2] + k] = journal.trades[k]
    for k in range(journal.n_cash_events):
        logs.cash_events[cursor[3] + k] = journal.cash_events[k]
    cursor[0] += journal.n_fills
    cursor[1] += journal.n_orders
    cursor[2] += journal.n_trades
    cursor[3] += journal.n_cash_events
    journal.n_fills = 0
    journal.n_orders = 0
    journal.n_trades = 0
    journal.n_cash_events = 0


@inlined_kernel
def has_room_nb(journal, logs, cursor):
    """Tell whether the logs have room for the journal's rows."""
    return (
        cursor[0] + journal.n_fills <= logs.fills.shape[0]
        and cursor[1] + journal.n_orders <= logs.orders.shape[0]
        and cursor[2] + journal.n_trades <= logs.trades.shape[0]
        and cursor[3] + journal.n_cash_events <= logs.cash_events.shape[0]
    )


@inlined_kernel
def run_bars_nb(plan, state, journal, scratch, feed, logs, record, row, start, stop, every_bar):
    """Run one sleeve over the bars start to stop; see `run_nb`."""
    header = state.header
    set_finer_nb(scratch, feed.finer, feed.finer_ts)
    session_stop = 0
    keeps = record.equity.shape[0] > 0
    i = start
    while i < stop:
        if journal.keeps == 1:
            if not has_room_nb(journal, logs, logs.cursor):
                return i
            keep_journal_nb(journal, logs, logs.cursor)
        if not every_bar:
            i, session_stop = pass_over_nb(
                plan, state, journal, feed, record, row, i, stop, session_stop
            )
            if i >= stop:
                break
        bar = scratch.bar
        load_fed_bar_nb(plan.policy, bar, feed, i)
        if bar.session != header.session:
            close_session_nb(header, record, row)
        first = 0
        last = 0
        if feed.finer_start.shape[0] > 0:
            first = feed.finer_start[i]
            last = feed.finer_start[i + 1]
        set_column_nb(scratch, feed.matrix, feed.flags, i)
        action, reason = process_bar_nb(
            plan, state, journal, scratch, bar, feed.actions, first, last
        )
        if keeps:
            record.equity[i] = header.last_equity
            record.cash[i] = header.cash
            record.lots[i] = header.lots
            record.reasons[i] = reason
            record.actions[i] = action
        i += 1
    return stop


@inlined_kernel
def run_sleeves_nb(
    kind, plans, states, journals, scratches, feed, logs, record, start, stop, stretch, every_bar
):
    """Run sleeves over the bars start to stop; see `run_nb`.

    All sleeves go over one stretch of bars before any goes on to the next, so
    that the bars of a stretch come from the processor's cache.
    """
    journal = journals[0]
    scratch = scratches[0]
    n_sleeves = plans.shape[0]
    next_actions = scratch.next_actions
    i = start
    while i < stop:
        end = min(i + stretch, stop)
        for k in range(n_sleeves):
            plan = plan_as_nb(kind, plans[k])
            written = journal_as_nb(kind, journal)
            journal.next_action = next_actions[k]
            reached = run_bars_nb(
                plan, states[k], written, scratch, feed, logs, record, k, i, end, every_bar
            )
            next_actions[k] = journal.next_action
            if reached < end:
                return reached
        i = end
    return stop


@kernel
def run_nb(plans, states, journals, scratches, feed, logs, record, start, stop, stretch, every_bar):
    """Run sleeves over the bars start to stop.

    Parameters
    ----------
    plans, states : PLAN and STATE arrays, shape (n_sleeves,), at most MAX_SLEEVES
    journals, scratches : JOURNAL and SCRATCH arrays, shape (1,)
        Only a single sleeve may keep its journal's rows. The scratch's
        `next_actions` say how far each has come with the corporate actions.
    record : Record
        Values per session in row k for sleeve k; values per bar of a single one.
    stretch : int
        Bars of a stretch, > 0.
    every_bar : bool
        Process each bar even where nothing can happen; the result is the same.

    Returns
    -------
    int
        `stop`, or the bar to go on from once the logs have more room: the rows
        of the bar before it still wait in the journal.
    """
    return run_sleeves_nb(
        kind_nb(ANY), plans, states, journals, scratches, feed, logs, record, start, stop, stretch,
        every_bar,
    )  # fmt: skip


@kernel
def run_without_target_nb(
    plans, states, journals, scratches, feed, logs, record, start, stop, stretch, every_bar
):
    """Run sleeves whose plans are of the kind WITHOUT_TARGET and keep no rows; see `run_nb`."""
    return run_sleeves_nb(
        kind_nb(WITHOUT_TARGET), plans, states, journals, scratches, feed, logs, record, start,
        stop, stretch, every_bar,
    )  # fmt: skip


@kernel
def run_with_target_nb(
    plans, states, journals, scratches, feed, logs, record, start, stop, stretch, every_bar
):
    """Run sleeves whose plans are of the kind WITH_TARGET and keep no rows; see `run_nb`."""
    return run_sleeves_nb(
        kind_nb(WITH_TARGET), plans, states, journals, scratches, feed, logs, record, start, stop,
        stretch, every_bar,
    )  # fmt: skip


# The kernel of each kind of plan, for sleeves that keep no rows.
RUN_KIND = {ANY: run_nb, WITHOUT_TARGET: run_without_target_nb, WITH_TARGET: run_with_target_nb}


@inlined_kernel
def finish_one_nb(plan, state, journal, scratch, feed, record, row, last):
    """End the run of one sleeve; see `finish_nb`."""
    policy = plan.policy
    header = state.header
    if policy.close_at_end == 1 and header.lots != 0:
        header.i_bar -= 1
        bar = scratch.bar
        load_fed_bar_nb(policy, bar, feed, last)
        exit_all_nb(plan, state, journal, END_OF_DATA, bar.close_ts)
        header.volume_left = NO_LIMIT_ON_VOLUME
        fill_at_close_nb(plan, state, journal, bar)
        mark_nb(policy, header, bar.close)
        if record.equity.shape[0] > 0:
            record.equity[last] = header.last_equity
            record.cash[last] = header.cash
            record.lots[last] = header.lots
        header.i_bar += 1
    close_session_nb(header, record, row)
    header.n_sessions += 1


@kernel
def finish_nb(plans, states, journals, scratches, feed, record, last):
    """End runs: close at the end where asked, and count the last session.

    Parameters
    ----------
    last : int
        Column of the last bar.
    """
    for row in range(plans.shape[0]):
        finish_one_nb(plans[row], states[row], journals[0], scratches[0], feed, record, row, last)
