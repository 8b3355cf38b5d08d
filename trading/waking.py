"""Waking: what a bar must bring for a sleeve to look at it, and passing over the others.

After each bar the reducer leaves behind at which prices, by which conditions
and at which bar something can happen next. A run over stored bars passes over
all before that; one that looks at every bar gives the same bits.
"""

from __future__ import annotations

import numpy as np

from trading.addresses import (
    address_nb,
    byte_at_nb,
    equal_mask_nb,
    n_trailing_zeros_nb,
    reached_mask_nb,
)
from trading.brackets import distance_from_nb, n_moving_nb
from trading.compiling import inlined_kernel, inner_kernel, kernel
from trading.decisions import direction_nb, entry_blocked_nb
from trading.dtypes import (
    CONDITION_FALSE,
    COOLDOWN,
    DAY,
    ENTRY,
    EVEN_AT_SHARE,
    F_ENTER_LONG,
    F_ENTER_SHORT,
    F_EXIT_LONG,
    FREE,
    LIMIT,
    NO_REASON,
    TRUE,
    UNKNOWN,
    WARMING_UP,
)
from trading.fills import is_market_nb
from trading.formulas import has_formula_nb
from trading.portfolio import (
    ALMOST_ONE,
    close_session_nb,
    deepen_nb,
    roll_session_nb,
    value_nb,
)

# Bars whose prices are passed over at once.
BLOCK_BARS = 16
BLOCK_SHIFT = np.uintp(4)
LAST_OF_BLOCK = np.uintp(BLOCK_BARS - 1)
ZERO = np.uintp(0)
ONE = np.uintp(1)


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
    for b in range(n_moving_nb(policy)):
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
