"""Splits, dividends and the delisting of an open position (rule 12).

Prices, fills and cash are raw. On the ex-date, before the open, quantities,
average entries, working orders and exit levels are rescaled, the fraction of a
lot that a split leaves is paid in cash, and dividends are paid in cash. After
the close of the last session of a delisted instrument every share is paid its
stated value in cash, and nothing is traded any more.
"""

from __future__ import annotations

import numpy as np

from trading.bars import NO_SHARES
from trading.brackets import free_bracket_if_done_nb
from trading.compiling import inner_kernel
from trading.dtypes import (
    BRACKET_CLOSED,
    DELISTED,
    DELISTING_EVENT,
    DIVIDEND_EVENT,
    ENTRY,
    EVEN_AT_SHARE,
    EVEN_OFFSET_SHARE,
    FIRST_TARGET_SHARE,
    FREE,
    SIZE_ROUNDS_TO_ZERO,
    SPLIT_FRACTION_EVENT,
    STOP_SHARE,
    TRAIL_SHARE,
)
from trading.orders import CANCEL, end_order_nb
from trading.portfolio import book_cash_nb, close_trade_nb, move_cash_nb
from trading.sizing import floor_lots_nb, round_price_nb


@inner_kernel
def pay_dividend_nb(policy, header, journal, dividend, ts):
    """Pay a dividend on the shares held, or charge it to a short."""
    if header.lots == 0 or dividend == 0.0:
        return
    amount = header.lots * policy.lot * policy.multiplier * dividend
    header.total_dividends += amount
    book_cash_nb(header, journal, DIVIDEND_EVENT, amount, header.lots, dividend, ts)


@inner_kernel
def split_order_nb(policy, order, ratio):
    """Rescale a working order's quantity and prices."""
    order.leaves_lots = floor_lots_nb(order.leaves_lots * ratio)
    order.filled_lots = floor_lots_nb(order.filled_lots * ratio)
    order.lots = order.leaves_lots + order.filled_lots
    order.limit_price = round_price_nb(order.limit_price / ratio, policy.tick, order.side)
    order.stop_price = round_price_nb(order.stop_price / ratio, policy.tick, order.side)
    order.n_replaced += 1


@inner_kernel
def give_rest_to_last_target_nb(policy, state, i_bracket):
    """Let the last working target take what flooring each of them left (rule 8)."""
    first = i_bracket * policy.slots_per_bracket + policy.n_rungs + 1
    rest = state.brackets[i_bracket].held_lots
    last = -1
    for i_order in range(first, first + policy.n_targets):
        if state.orders[i_order].state != FREE:
            rest -= state.orders[i_order].leaves_lots
            last = i_order
    if last >= 0 and rest > 0:
        state.orders[last].leaves_lots += rest
        state.orders[last].lots += rest


@inner_kernel
def split_nb(policy, state, journal, ratio, ts):
    """Rescale the sleeve for a split of `ratio` new shares for one old share."""
    header = state.header
    per_bracket = policy.slots_per_bracket
    before = header.lots
    after = 0
    for b in range(policy.n_brackets):
        bracket = state.brackets[b]
        first = b * per_bracket
        for k in range(policy.n_targets):
            # Free target slots, too, keep the distance for their first placement.
            if not (policy.distance_shares >> (FIRST_TARGET_SHARE + k)) & 1:
                state.orders[first + policy.n_rungs + 1 + k].distance /= ratio
        if bracket.side == 0:
            continue
        bracket.held_lots = floor_lots_nb(bracket.held_lots * ratio)
        bracket.entered_lots = floor_lots_nb(bracket.entered_lots * ratio)
        bracket.average_entry /= ratio
        if not (policy.distance_shares >> STOP_SHARE) & 1:
            bracket.stop_distance /= ratio
        if not (policy.distance_shares >> TRAIL_SHARE) & 1:
            bracket.trail_distance /= ratio
        if not (policy.distance_shares >> EVEN_AT_SHARE) & 1:
            bracket.break_even_at /= ratio
        if not (policy.distance_shares >> EVEN_OFFSET_SHARE) & 1:
            bracket.break_even_offset /= ratio
        bracket.extreme /= ratio
        after += bracket.side * bracket.held_lots
        for i_order in range(first, first + per_bracket):
            order = state.orders[i_order]
            if order.state == FREE:
                continue
            split_order_nb(policy, order, ratio)
        if policy.targets_take_all == 1:
            give_rest_to_last_target_nb(policy, state, b)
        for i_order in range(first, first + per_bracket):
            order = state.orders[i_order]
            if order.state != FREE and order.leaves_lots == 0:
                reason = SIZE_ROUNDS_TO_ZERO if order.role == ENTRY else BRACKET_CLOSED
                end_order_nb(policy, state, journal, i_order, CANCEL, reason, ts)
        free_bracket_if_done_nb(policy, state, journal, b, ts)
    if before == 0:
        return
    header.lots = after
    header.average_entry /= ratio
    header.trade_entry_lots *= ratio
    header.trade_exit_lots *= ratio
    header.trade_largest_lots = floor_lots_nb(header.trade_largest_lots * ratio)
    header.trade_high /= ratio
    header.trade_low /= ratio
    header.last_close /= ratio
    fraction = before * ratio - after
    if abs(fraction) > 1e-9:
        amount = fraction * policy.lot * policy.multiplier * header.last_close
        book_cash_nb(header, journal, SPLIT_FRACTION_EVENT, amount, before, ratio, ts)
    if after == 0:
        close_trade_nb(policy, header, journal, ts, BRACKET_CLOSED)


@inner_kernel
def apply_actions_nb(plan, state, journal, actions, ts):
    """Apply the corporate actions whose ex-date begins with the current bar."""
    policy = plan.policy
    header = state.header
    while journal.next_action < actions.shape[0]:
        action = actions[journal.next_action]
        if action.i_bar > header.i_bar:
            break
        if action.i_bar == header.i_bar:
            if action.split_ratio == NO_SHARES:
                break  # A delisting, which waits for the close.
            pay_dividend_nb(policy, header, journal, action.dividend, ts)
            ratio = action.split_ratio
            if ratio != 1.0 and ratio > 0.0 and ratio < np.inf:
                split_nb(policy, state, journal, ratio, ts)
        journal.next_action += 1


@inner_kernel
def delist_nb(plan, state, journal, actions, ts):
    """Close the sleeve for good if its instrument is delisted with the current bar.

    Notes
    -----
    Orders are cancelled, every share is paid its value by a cash event, and the
    trade is left at that value: it is no fill, which has a market and costs.
    """
    header = state.header
    if journal.next_action >= actions.shape[0]:
        return
    action = actions[journal.next_action]
    if action.i_bar != header.i_bar or action.split_ratio != NO_SHARES:
        return
    journal.next_action += 1
    policy = plan.policy
    header.stopped = DELISTED
    for b in range(policy.n_brackets):
        first = b * policy.slots_per_bracket
        for i_order in range(first, first + policy.slots_per_bracket):
            if state.orders[i_order].state != FREE:
                end_order_nb(policy, state, journal, i_order, CANCEL, DELISTED, ts)
        state.brackets[b].held_lots = 0
        free_bracket_if_done_nb(policy, state, journal, b, ts)
    lots = header.lots
    if lots == 0:
        return
    value = action.dividend
    amount = lots * policy.lot * policy.multiplier * value
    header.trade_exit_lots += abs(lots)
    header.trade_exit_notional += abs(lots) * value
    header.trade_high = max(header.trade_high, value)
    header.trade_low = min(header.trade_low, value)
    move_cash_nb(header, journal, DELISTING_EVENT, amount, lots, value, ts)
    header.lots = 0
    close_trade_nb(policy, header, journal, ts, DELISTED)
