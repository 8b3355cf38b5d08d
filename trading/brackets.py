"""Brackets: an entry ladder and the exits that cover what it holds (rules 7 and 8).

A bracket owns fixed order slots: its rungs, one stop, its profit targets and
one market exit. After every fill the exits are placed again, so that what is
held is always covered by the stop and never over-covered by the targets. The
same functions serve the backtest, the simulated exchange's native brackets and
the platform's own handling of execution reports.
"""

from __future__ import annotations

import numpy as np

from trading.compiling import inlined_kernel, inner_kernel
from trading.dtypes import (
    BRACKET_CLOSED,
    ENTRY,
    EVEN_AT_SHARE,
    EVEN_OFFSET_SHARE,
    EXIT,
    FIRST_TARGET_SHARE,
    FREE,
    GTC,
    LIMIT,
    PROFIT_TARGET,
    STOP,
    STOP_LOSS,
    STOP_SHARE,
    TRAIL_SHARE,
)
from trading.orders import CANCEL, end_order_nb, submit_order_nb
from trading.sizing import floor_lots_nb, round_price_nb


@inlined_kernel
def distance_from_nb(policy, bit, distance, average):
    """Turn a frozen distance into currency; some are shares of the average entry."""
    if (policy.distance_shares >> bit) & 1:
        return distance * average
    return distance


@inlined_kernel
def bracket_of_nb(policy, i_order):
    """Return the number of the bracket that owns an order's slot."""
    if policy.n_brackets == 1:
        return 0  # Nearly always, and a division takes as long as a fill's other sums.
    return i_order // policy.slots_per_bracket


@inlined_kernel
def n_moving_nb(policy):
    """Return how many brackets may have a stop that moves: all or none."""
    return policy.n_brackets if policy.moves_stops == 1 else 0


@inner_kernel
def stop_level_nb(policy, bracket):
    """Compute the tightest of stop loss, break-even stop and trailing stop.

    Returns
    -------
    (float, int)
        Price, NaN when the bracket has no stop; 1 when the trailing stop is
        the one that counts.
    """
    side = bracket.side
    average = bracket.average_entry
    level = np.nan
    trailed = 0
    if not np.isnan(bracket.stop_distance):
        level = average - side * distance_from_nb(
            policy, STOP_SHARE, bracket.stop_distance, average
        )
    if policy.moves_stops == 1 and bracket.break_even_done == 1:
        even = average + side * distance_from_nb(
            policy, EVEN_OFFSET_SHARE, bracket.break_even_offset, average
        )
        if np.isnan(level) or side * (even - level) > 0.0:
            level = even
    if policy.moves_stops == 1 and not np.isnan(bracket.trail_distance):
        best = bracket.extreme
        if side * (average - best) > 0.0:
            best = average
        trail = best - side * distance_from_nb(policy, TRAIL_SHARE, bracket.trail_distance, average)
        if np.isnan(level) or side * (trail - level) > 0.0:
            level = trail
            trailed = 1
    if not np.isnan(level):
        level = round_price_nb(level, policy.tick, -side)
    return level, trailed


@inner_kernel
def place_stop_nb(policy, state, i_bracket, now):
    """Place the bracket's stop for all that it holds, or replace it."""
    bracket = state.brackets[i_bracket]
    if bracket.held_lots == 0:
        return
    level, trailed = stop_level_nb(policy, bracket)
    if np.isnan(level):
        return
    order = state.orders[i_bracket * policy.slots_per_bracket + policy.n_rungs]
    if order.state == FREE:
        submit_order_nb(
            state.header, order, STOP_LOSS, STOP, -bracket.side, bracket.held_lots, now, GTC
        )
        order.stop_price = level
        order.trailed = trailed
        return
    if order.triggered == 1:
        return
    lots = order.filled_lots + bracket.held_lots
    if order.stop_price != level or order.lots != lots:
        order.n_replaced += 1
    order.stop_price = level
    order.trailed = trailed
    order.lots = lots
    order.leaves_lots = bracket.held_lots


@inlined_kernel
def place_targets_nb(plan, state, i_bracket, now):
    """Place the profit targets for all that was entered, or replace them.

    Each target closes its share of the whole entered quantity, floored to the
    lot; where the shares sum to one the last target takes the rest.
    """
    policy = plan.policy
    bracket = state.brackets[i_bracket]
    n_targets = policy.n_targets
    first = i_bracket * policy.slots_per_bracket + policy.n_rungs + 1
    left = bracket.held_lots
    for k in range(n_targets):
        order = state.orders[first + k]
        lots = floor_lots_nb(plan.constants[policy.n_rungs + k] * bracket.entered_lots)
        if k == n_targets - 1 and policy.targets_take_all == 1:
            lots = left
        lots = min(lots, left)
        left -= lots
        distance = distance_from_nb(
            policy, FIRST_TARGET_SHARE + k, order.distance, bracket.average_entry
        )
        price = bracket.average_entry + bracket.side * distance
        price = round_price_nb(price, policy.tick, -bracket.side)
        if order.state == FREE:
            if lots == 0:
                continue
            frozen = order.distance
            submit_order_nb(
                state.header, order, PROFIT_TARGET, LIMIT, -bracket.side, lots, now, GTC
            )
            order.distance = frozen
            order.limit_price = price
            continue
        if order.limit_price != price or order.leaves_lots != lots:
            order.n_replaced += 1
        order.limit_price = price
        order.lots = lots
        order.leaves_lots = lots


@inner_kernel
def cancel_rungs_nb(policy, state, journal, i_bracket, reason, now):
    """Cancel the bracket's entries that are not filled."""
    per_bracket = policy.slots_per_bracket
    first = i_bracket * per_bracket
    for i_order in range(first, first + policy.n_rungs):
        if state.orders[i_order].state != FREE:
            end_order_nb(policy, state, journal, i_order, CANCEL, reason, now)


@inner_kernel
def has_working_rung_nb(policy, state, i_bracket):
    """Tell whether an entry of the bracket still works."""
    first = i_bracket * policy.slots_per_bracket
    for i_order in range(first, first + policy.n_rungs):
        if state.orders[i_order].state != FREE:
            return True
    return False


@inner_kernel
def free_bracket_if_done_nb(policy, state, journal, i_bracket, now):
    """Cancel the exits of a bracket that holds nothing and free it."""
    bracket = state.brackets[i_bracket]
    if bracket.side == 0 or bracket.held_lots != 0:
        return
    if has_working_rung_nb(policy, state, i_bracket):
        return
    per_bracket = policy.slots_per_bracket
    first = i_bracket * per_bracket
    for i_order in range(first + policy.n_rungs, first + per_bracket):
        if state.orders[i_order].state != FREE:
            end_order_nb(policy, state, journal, i_order, CANCEL, BRACKET_CLOSED, now)
    bracket.side = 0
    bracket.entered_lots = 0
    bracket.average_entry = np.nan


@inlined_kernel
def reduce_exits_nb(policy, state, journal, i_bracket, i_filled, now):
    """Cut the bracket's other exits to what it still holds after an exit fill.

    The stop and the market exit cover all of it. Targets are cut from the
    last one on, so that the nearest keeps working.
    """
    held = state.brackets[i_bracket].held_lots
    per_bracket = policy.slots_per_bracket
    first = i_bracket * per_bracket + policy.n_rungs
    targets = 0
    for i_order in range(first + 1, first + 1 + policy.n_targets):
        if state.orders[i_order].state != FREE:
            targets += state.orders[i_order].leaves_lots
    for i_order in range(first + policy.n_targets, first, -1):
        order = state.orders[i_order]
        if order.state == FREE or targets <= held:
            continue
        cut = min(order.leaves_lots, targets - held)
        targets -= cut
        order.leaves_lots -= cut
        order.lots -= cut
        order.n_replaced += 1
        if order.leaves_lots == 0:
            end_order_nb(policy, state, journal, i_order, CANCEL, BRACKET_CLOSED, now)
    for i_order in (first, first + policy.n_targets + 1):
        order = state.orders[i_order]
        if order.state == FREE or i_order == i_filled or order.leaves_lots <= held:
            continue
        order.leaves_lots = held
        order.lots = order.filled_lots + held
        order.n_replaced += 1
        if held == 0:
            end_order_nb(policy, state, journal, i_order, CANCEL, BRACKET_CLOSED, now)


@inner_kernel
def move_stop_nb(policy, state, i_bracket, price, now):
    """Let a price reached after the entry move the trailing and break-even stops."""
    bracket = state.brackets[i_bracket]
    side = bracket.side
    trails = not np.isnan(bracket.trail_distance)
    evens = bracket.break_even_done == 0 and not np.isnan(bracket.break_even_at)
    if not trails and not evens:
        return
    moved = False
    if evens:
        # Measured from the average so far, whatever was reached before it.
        at = distance_from_nb(policy, EVEN_AT_SHARE, bracket.break_even_at, bracket.average_entry)
        if side * (price - bracket.average_entry) >= at:
            bracket.break_even_done = 1
            moved = True
    if trails and side * (price - bracket.extreme) > 0.0:
        bracket.extreme = price
        moved = True
    if moved:
        place_stop_nb(policy, state, i_bracket, now)


@inlined_kernel
def open_bracket_nb(plan, state, side, lots, price, limit, step, now):
    """Place an entry ladder in a free bracket.

    Rung k is at price - k * step for a long's limits and + k * step for its
    stops, mirrored for shorts. Each rung takes its weight's share of the lots,
    floored.

    Returns
    -------
    int
        The bracket's number, or -1 when every rung rounds to zero lots.
    """
    policy = plan.policy
    i_bracket = -1
    for b in range(policy.n_brackets):
        if state.brackets[b].side == 0:
            i_bracket = b
            break
    if i_bracket < 0:
        return -1
    order_type = policy.entry_type
    direction = side if order_type >= STOP else -side
    first = i_bracket * policy.slots_per_bracket
    placed = 0
    for k in range(policy.n_rungs):
        rung_lots = floor_lots_nb(plan.constants[k] * lots)
        if rung_lots == 0:
            continue
        order = state.orders[first + k]
        submit_order_nb(
            state.header, order, ENTRY, order_type, side, rung_lots, now, policy.time_in_force
        )
        shift = direction * k * step
        if order_type == LIMIT:
            order.limit_price = round_price_nb(price + shift, policy.tick, side)
        elif order_type >= STOP:
            order.stop_price = round_price_nb(price + shift, policy.tick, side)
            if order_type > STOP:
                order.limit_price = round_price_nb(limit + shift, policy.tick, side)
        placed += rung_lots
    if placed == 0:
        return -1
    bracket = state.brackets[i_bracket]
    bracket.side = side
    bracket.entered_lots = 0
    bracket.held_lots = 0
    bracket.average_entry = np.nan
    bracket.exit_started = 0
    bracket.break_even_done = 0
    bracket.extreme = -side * np.inf
    return i_bracket


@inner_kernel
def request_exit_nb(policy, state, i_bracket, reason, now):
    """Ask for a market exit of all that the bracket holds."""
    bracket = state.brackets[i_bracket]
    per_bracket = policy.slots_per_bracket
    order = state.orders[(i_bracket + 1) * per_bracket - 1]
    if bracket.held_lots == 0 or order.state != FREE:
        return
    submit_order_nb(state.header, order, EXIT, 0, -bracket.side, bracket.held_lots, now, GTC)
    order.reason = reason
