"""Fills: which orders a bar's prices reach, in what order and at what price.

Owns rules 3 to 6 and 9: stops and limits along the two paths of a bar, gaps at
the open, bid and ask, volume limits. The backtest loop, paper trading's
simulated exchange and replays call the same functions. Nothing here decides.
"""

from __future__ import annotations

import numpy as np

from trading.brackets import (
    bracket_of_nb,
    cancel_rungs_nb,
    distance_from_nb,
    free_bracket_if_done_nb,
    move_stop_nb,
    n_moving_nb,
    place_stop_nb,
    place_targets_nb,
    reduce_exits_nb,
)
from trading.compiling import inlined_kernel, inner_kernel
from trading.costs import commission_nb, slippage_nb
from trading.dtypes import (
    BRACKET_CLOSED,
    ENTRY,
    EVEN_AT_SHARE,
    EVEN_OFFSET_SHARE,
    FREE,
    HIGHER_EQUITY,
    LIMIT,
    MARKET,
    NO_REASON,
    PROFIT_TARGET,
    SIZE_ROUNDS_TO_ZERO,
    STOP,
    STOP_LIMIT,
    STOP_LOSS,
    STOP_SHARE,
    STOPPED_OUT,
    TARGET_REACHED,
    TRAIL_SHARE,
    TRAILED_OUT,
)
from trading.orders import (
    FILL_PART,
    FILL_REST,
    REFUSE,
    end_order_nb,
    next_state_nb,
)
from trading.portfolio import book_fill_nb, close_trade_nb
from trading.sizing import floor_lots_nb, size_lots_nb

# How the orders of a bar can interact.
QUIET, ONE_EXIT, AMBIGUOUS = 0, 1, 2

NO_LIMIT_ON_VOLUME = 1 << 62


@inlined_kernel
def exit_reason_nb(order):
    """Name why an exit order closes the position."""
    if order.role == STOP_LOSS:
        return TRAILED_OUT if order.trailed == 1 else STOPPED_OUT
    if order.role == PROFIT_TARGET:
        return TARGET_REACHED
    return order.reason


@inner_kernel
def fill_order_nb(plan, state, journal, i_order, market_price, lots, ts, volume):
    """Fill part or all of an order and bring its bracket up to date.

    Parameters
    ----------
    market_price : float
        Price at which the order meets the market, before slippage.
    lots : int
        Lots that fill, 0 < lots <= the order's leaves.
    ts : int
        Time of the fill, UTC nanoseconds.
    volume : float
        Units traded in the bar, for the impact model.
    """
    policy = plan.policy
    header = state.header
    order = state.orders[i_order]
    i_bracket = bracket_of_nb(policy, i_order)
    bracket = state.brackets[i_bracket]
    quantity = lots * policy.lot
    slip = 0.0
    if order.limit_price != order.limit_price:
        slip = slippage_nb(policy, market_price, quantity, volume)
    price = market_price + order.side * slip

    order.filled_lots += lots
    order.leaves_lots -= lots
    order.filled_notional += lots * price
    owed = commission_nb(
        policy, order.filled_lots * policy.lot, order.filled_notional / order.filled_lots
    )
    commission = max(0.0, owed - order.commission)
    order.commission += commission
    book_fill_nb(policy, header, journal, order, lots, price, commission, quantity * slip, ts)

    trigger = FILL_REST if order.leaves_lots == 0 else FILL_PART
    reason = exit_reason_nb(order)
    if order.role == ENTRY:
        entered = bracket.entered_lots
        if entered == 0:
            bracket.average_entry = price
        else:
            total = bracket.average_entry * entered + price * lots
            bracket.average_entry = total / (entered + lots)
        bracket.entered_lots = entered + lots
        bracket.held_lots += lots
        settle_order_nb(policy, state, journal, i_order, trigger, NO_REASON, ts)
        place_stop_nb(policy, state, i_bracket, ts)
        if policy.n_targets > 0:
            place_targets_nb(plan, state, i_bracket, ts)
    else:
        bracket.held_lots -= lots
        settle_order_nb(policy, state, journal, i_order, trigger, reason, ts)
        if bracket.exit_started == 0:
            bracket.exit_started = 1
            cancel_rungs_nb(policy, state, journal, i_bracket, BRACKET_CLOSED, ts)
        reduce_exits_nb(policy, state, journal, i_bracket, i_order, ts)
        free_bracket_if_done_nb(policy, state, journal, i_bracket, ts)
    if header.lots == 0:
        close_trade_nb(policy, header, journal, ts, reason)


@inlined_kernel
def settle_order_nb(policy, state, journal, i_order, trigger, reason, ts):
    """Move a filled order on in its life, ending it when nothing is left."""
    if trigger == FILL_REST:
        end_order_nb(policy, state, journal, i_order, trigger, reason, ts)
    else:
        order = state.orders[i_order]
        order.state = next_state_nb(order.state, trigger)


@inlined_kernel
def trigger_price_nb(order, now, end, touch):
    """Find the price at which an order meets a straight move from now to end.

    Returns
    -------
    float
        `now` when the order is already there (a gap, or an exit placed behind
        the market), its own price when the move reaches it, else NaN.
    """
    if order.type == LIMIT or order.triggered == 1:
        level = order.limit_price
        if order.side > 0:
            if now < level or (touch == 1 and now == level):
                return now
            if end < level or (touch == 1 and end == level):
                return level
        else:
            if now > level or (touch == 1 and now == level):
                return now
            if end > level or (touch == 1 and end == level):
                return level
        return np.nan
    level = order.stop_price
    if order.side > 0:
        if now >= level:
            return now
        if end >= level:
            return level
    else:
        if now <= level:
            return now
        if end <= level:
            return level
    return np.nan


@inlined_kernel
def is_market_nb(order):
    """Tell whether the order takes any price: a market order, or a triggered stop's rest."""
    return order.type == MARKET or (order.type == STOP and order.triggered == 1)


@inlined_kernel
def may_fill_nb(header, order):
    """Tell whether an order may fill now; entries wait while the other side is held."""
    if order.state == FREE:
        return False
    return not (order.role == ENTRY and order.side * header.lots < 0)


@inner_kernel
def walk_nb(plan, state, journal, buy_from, buy_to, sell_from, sell_to, ts, volume):
    """Move the market in a straight line and fill what it reaches, in order of reach.

    Buys meet the ask (`buy_from` to `buy_to`), sells the bid. At one place of
    the way exits go before entries and stops before targets, so that a doubt
    costs the strategy. Stops that trail are tested with where they stood
    before this move, then moved by its end.
    """
    policy = plan.policy
    header = state.header
    orders = state.orders
    n_orders = policy.n_orders
    at = 0.0
    buy_now = buy_from
    sell_now = sell_from
    while True:
        best = -1
        best_at = 2.0
        best_rank = 9
        best_price = 0.0
        for i_order in range(n_orders):
            order = orders[i_order]
            if not may_fill_nb(header, order) or is_market_nb(order):
                continue
            if header.volume_left == 0 and (order.type == LIMIT or order.triggered == 1):
                continue
            start = buy_from if order.side > 0 else sell_from
            end = buy_to if order.side > 0 else sell_to
            now = buy_now if order.side > 0 else sell_now
            price = trigger_price_nb(order, now, end, policy.touch)
            if price != price:
                continue
            where = at
            if price != now:
                where = max(at, (price - start) / (end - start))
            rank = 2 if order.role == ENTRY else (0 if order.role == STOP_LOSS else 1)
            if where < best_at or (where == best_at and rank < best_rank):
                best, best_at, best_rank, best_price = i_order, where, rank, price
        if best < 0:
            break
        at = best_at
        order = orders[best]
        # The price that was reached is kept as it is: computed from the way gone
        # it could come out a little beyond an order that it only touches.
        buy_now = buy_from + at * (buy_to - buy_from)
        sell_now = sell_from + at * (sell_to - sell_from)
        if order.side > 0 or policy.buy_row == policy.sell_row:
            buy_now = best_price
        if order.side < 0 or policy.buy_row == policy.sell_row:
            sell_now = best_price
        if order.type == STOP_LIMIT and order.triggered == 0:
            order.triggered = 1
            continue
        if order.type == STOP:
            order.triggered = 1
        lots = min(order.leaves_lots, header.volume_left)
        if lots == 0:
            continue
        header.volume_left -= lots
        fill_order_nb(plan, state, journal, best, best_price, lots, ts, volume)
    settle_move_nb(plan, state, buy_to, sell_to, ts)


@inlined_kernel
def note_range_nb(header, bar):
    """Note a bar's range in the open trade where nothing fills."""
    if header.lots > 0:
        header.trade_high = max(header.trade_high, bar.sell[1])
        header.trade_low = min(header.trade_low, bar.sell[2])
    elif header.lots < 0:
        header.trade_high = max(header.trade_high, bar.buy[1])
        header.trade_low = min(header.trade_low, bar.buy[2])


@inner_kernel
def settle_move_nb(plan, state, buy_price, sell_price, ts):
    """Note a price that was reached: trade extremes, trailing and break-even stops."""
    policy = plan.policy
    header = state.header
    if header.lots == 0:
        return
    price = sell_price if header.lots > 0 else buy_price
    header.trade_high = max(header.trade_high, price)
    header.trade_low = min(header.trade_low, price)
    for b in range(n_moving_nb(policy)):
        bracket = state.brackets[b]
        if bracket.side != 0 and bracket.held_lots > 0:
            price = sell_price if bracket.side > 0 else buy_price
            move_stop_nb(policy, state, b, price, ts)


@inner_kernel
def fill_market_orders_nb(plan, state, journal, buy_price, sell_price, ts, volume):
    """Fill market orders at one price, exits before entries."""
    policy = plan.policy
    header = state.header
    orders = state.orders
    for turn in range(2):
        for i_order in range(policy.n_orders):
            order = orders[i_order]
            entry = order.role == ENTRY
            if entry != (turn == 1) or not may_fill_nb(header, order):
                continue
            if not is_market_nb(order):
                continue
            price = buy_price if order.side > 0 else sell_price
            if entry and policy.sized_at_fill == 1 and order.filled_lots == 0:
                lots = lots_at_fill_nb(plan, state, i_order, order.side, price)
                order.lots = lots
                order.leaves_lots = lots
                if lots == 0:
                    end_order_nb(policy, state, journal, i_order, REFUSE, SIZE_ROUNDS_TO_ZERO, ts)
                    free_bracket_if_done_nb(
                        policy, state, journal, bracket_of_nb(policy, i_order), ts
                    )
                    continue
            lots = min(order.leaves_lots, header.volume_left)
            if lots > 0:
                header.volume_left -= lots
                fill_order_nb(plan, state, journal, i_order, price, lots, ts, volume)


@inner_kernel
def lots_at_fill_nb(plan, state, i_order, side, price):
    """Size a rung at its fill price, as all-in comparisons do."""
    policy = plan.policy
    header = state.header
    price += side * slippage_nb(policy, price, 0.0, 0.0)
    equity = header.cash + header.lots * policy.lot * policy.multiplier * price
    i_bracket = bracket_of_nb(policy, i_order)
    bracket = state.brackets[i_bracket]
    stop = distance_from_nb(policy, STOP_SHARE, bracket.stop_distance, price)
    if np.isnan(stop):
        stop = distance_from_nb(policy, TRAIL_SHARE, bracket.trail_distance, price)
    lots = size_lots_nb(policy, equity, price, stop, bracket.volatility)
    return floor_lots_nb(plan.constants[i_order - i_bracket * policy.slots_per_bracket] * lots)


@inner_kernel
def classify_bar_nb(plan, state, buy_low, buy_high, sell_low, sell_high):
    """Tell whether the path within the bar can matter.

    Returns
    -------
    (int, int)
        QUIET: no order can be reached. ONE_EXIT, with the order's slot: one
        exit of all that is held can be reached and nothing else, so that both
        paths agree. AMBIGUOUS: anything else.
    """
    policy = plan.policy
    header = state.header
    reachable = 0
    last = -1
    for i_order in range(policy.n_orders):
        order = state.orders[i_order]
        if order.state == FREE or is_market_nb(order):
            continue
        price = order.limit_price
        is_limit = order.type == LIMIT or order.triggered == 1
        if not is_limit:
            price = order.stop_price
        if (order.side > 0) == is_limit:
            low = buy_low if order.side > 0 else sell_low
            reached = low <= price
        else:
            high = buy_high if order.side > 0 else sell_high
            reached = high >= price
        if reached:
            if order.type == STOP_LIMIT:
                return AMBIGUOUS, -1
            reachable += 1
            last = i_order
    for b in range(n_moving_nb(policy)):
        bracket = state.brackets[b]
        if bracket.side == 0 or bracket.held_lots == 0:
            continue
        if moving_stop_reached_nb(policy, bracket, buy_low, buy_high, sell_low, sell_high):
            return AMBIGUOUS, -1
    if reachable == 0:
        return QUIET, -1
    order = state.orders[last]
    if reachable == 1 and order.role != ENTRY and order.leaves_lots == abs(header.lots):
        if order.leaves_lots <= header.volume_left:
            bracket = state.brackets[bracket_of_nb(policy, last)]
            # Entries that are still working could follow the exit on one path only
            # when they are reachable, and then more than one order is.
            if bracket.held_lots == order.leaves_lots:
                return ONE_EXIT, last
    return AMBIGUOUS, -1


@inner_kernel
def moving_stop_reached_nb(policy, bracket, buy_low, buy_high, sell_low, sell_high):
    """Tell whether a stop that moves within the bar could be reached within it."""
    side = bracket.side
    trails = not np.isnan(bracket.trail_distance)
    evens = bracket.break_even_done == 0 and not np.isnan(bracket.break_even_at)
    if not trails and not evens:
        return False
    best = sell_high if side > 0 else buy_low
    worst = sell_low if side > 0 else buy_high
    if side * (bracket.extreme - best) > 0.0:
        best = bracket.extreme
    if trails:
        reference = best
        if side * (bracket.average_entry - best) > 0.0:
            reference = bracket.average_entry
        trail = distance_from_nb(policy, TRAIL_SHARE, bracket.trail_distance, bracket.average_entry)
        if side * (worst - (reference - side * trail)) <= 0.0:
            return True
    average = bracket.average_entry
    at = distance_from_nb(policy, EVEN_AT_SHARE, bracket.break_even_at, average)
    if evens and side * (best - average) >= at:
        offset = distance_from_nb(policy, EVEN_OFFSET_SHARE, bracket.break_even_offset, average)
        return side * (worst - (average + side * offset)) <= 0.0
    return False


@inlined_kernel
def has_market_order_nb(policy, state):
    """Tell whether any order takes the open whatever it is."""
    for i_order in range(policy.n_orders):
        order = state.orders[i_order]
        if order.state != FREE and is_market_nb(order):
            return True
    return False


@inner_kernel
def fill_one_exit_nb(plan, state, journal, bar, i_order):
    """Fill the one exit that a bar can reach: at its price, or at an open beyond it.

    Notes prices as the path with the low first does.
    """
    policy = plan.policy
    order = state.orders[i_order]
    is_limit = order.type == LIMIT or order.triggered == 1
    buys = order.side > 0
    at_open = bar.buy[0] if buys else bar.sell[0]
    price = trigger_price_nb(order, at_open, at_open, policy.touch)
    if price != price:
        settle_move_nb(plan, state, bar.buy[0], bar.sell[0], bar.ts)
        low = bar.buy[2] if buys else bar.sell[2]
        if buys == is_limit:
            price = trigger_price_nb(order, at_open, low, policy.touch)
        else:
            settle_move_nb(plan, state, bar.buy[2], bar.sell[2], bar.ts)
            high = bar.buy[1] if buys else bar.sell[1]
            price = trigger_price_nb(order, low, high, policy.touch)
    if price != price:
        # A limit that was touched but not traded through.
        settle_move_nb(plan, state, bar.buy[2], bar.sell[2], bar.ts)
        settle_move_nb(plan, state, bar.buy[1], bar.sell[1], bar.ts)
        return
    if order.type == STOP:
        order.triggered = 1
    lots = order.leaves_lots
    state.header.volume_left -= lots
    fill_order_nb(plan, state, journal, i_order, price, lots, bar.ts, bar.volume)


@inner_kernel
def run_path_nb(plan, state, journal, bar, high_first):
    """Run one path of a bar: open to one extreme, to the other, to the close."""
    buy = bar.buy
    sell = bar.sell
    first = 1 if high_first else 2
    second = 2 if high_first else 1
    ts = bar.ts
    volume = bar.volume
    walk_nb(plan, state, journal, buy[0], buy[first], sell[0], sell[first], ts, volume)
    walk_nb(plan, state, journal, buy[first], buy[second], sell[first], sell[second], ts, volume)
    walk_nb(plan, state, journal, buy[second], buy[3], sell[second], sell[3], ts, volume)


@inlined_kernel
def closing_equity_nb(policy, header, close):
    """Compute cash plus position at the close, quote currency."""
    return header.cash + header.lots * policy.lot * policy.multiplier * close


@inner_kernel
def save_nb(policy, state, journal, scratch):
    """Copy the state so that a bar can be run again."""
    scratch.state.header = state.header
    scratch.n_fills = journal.n_fills
    scratch.n_orders = journal.n_orders
    scratch.n_trades = journal.n_trades
    scratch.n_cash_events = journal.n_cash_events
    for k in range(policy.n_brackets):
        scratch.state.brackets[k] = state.brackets[k]
    for k in range(policy.n_orders):
        scratch.state.orders[k] = state.orders[k]


@inner_kernel
def restore_nb(policy, state, journal, scratch):
    """Go back to the saved state; journal rows written since are written over."""
    state.header = scratch.state.header
    journal.n_fills = scratch.n_fills
    journal.n_orders = scratch.n_orders
    journal.n_trades = scratch.n_trades
    journal.n_cash_events = scratch.n_cash_events
    for k in range(policy.n_brackets):
        state.brackets[k] = scratch.state.brackets[k]
    for k in range(policy.n_orders):
        state.orders[k] = scratch.state.orders[k]


@inlined_kernel
def set_volume_nb(policy, header, volume):
    """Set the lots that may fill in a bar (rule 9)."""
    header.volume_left = NO_LIMIT_ON_VOLUME
    if policy.max_participation > 0.0:
        header.volume_left = floor_lots_nb(policy.max_participation * volume / policy.lot)


@inner_kernel
def match_bar_nb(plan, state, journal, scratch, bar):
    """Match the working orders with one bar (rules 3 to 6 and 9).

    Market orders fill at the open first, then what the open has gapped over,
    then the rest of the bar along both paths; the path with the lower closing
    equity is kept (the higher one in the optimistic run).
    """
    policy = plan.policy
    header = state.header
    buy = bar.buy
    sell = bar.sell
    set_volume_nb(policy, header, bar.volume)
    if has_market_order_nb(policy, state):
        fill_market_orders_nb(plan, state, journal, buy[0], sell[0], bar.ts, bar.volume)
    kind, i_order = classify_bar_nb(plan, state, buy[2], buy[1], sell[2], sell[1])
    if kind == AMBIGUOUS:
        walk_nb(plan, state, journal, buy[0], buy[0], sell[0], sell[0], bar.ts, bar.volume)
        kind, i_order = classify_bar_nb(plan, state, buy[2], buy[1], sell[2], sell[1])
    if kind == QUIET:
        note_range_nb(header, bar)
        if policy.moves_stops == 1:
            settle_move_nb(plan, state, buy[2], sell[2], bar.ts)
            settle_move_nb(plan, state, buy[1], sell[1], bar.ts)
        return
    if kind == ONE_EXIT:
        fill_one_exit_nb(plan, state, journal, bar, i_order)
        return
    save_nb(policy, state, journal, scratch)
    run_path_nb(plan, state, journal, bar, False)
    low_first = closing_equity_nb(policy, header, bar.close)
    restore_nb(policy, state, journal, scratch)
    run_path_nb(plan, state, journal, bar, True)
    high_first = closing_equity_nb(policy, header, bar.close)
    keep_low_first = low_first <= high_first
    if policy.path_choice == HIGHER_EQUITY:
        keep_low_first = low_first >= high_first
    if keep_low_first:
        restore_nb(policy, state, journal, scratch)
        run_path_nb(plan, state, journal, bar, False)
