"""Decisions at the close of a bar: exits, entries, and why nothing was done.

Owns rules 2, 7, 10, 14 to 16 as far as they decide. Orders that come out of a
decision work from the next bar on.
"""

from __future__ import annotations

import numpy as np

from trading.brackets import (
    cancel_rungs_nb,
    distance_from_nb,
    free_bracket_if_done_nb,
    has_working_rung_nb,
    open_bracket_nb,
    request_exit_nb,
)
from trading.compiling import inlined_kernel, inner_kernel
from trading.dtypes import (
    BY_RISK_FRACTION,
    CONDITION_FALSE,
    CONFLICTING_ENTRIES,
    COOLDOWN,
    DAILY_LOSS,
    DISTANCE_UNKNOWN,
    DRAWDOWN_STOP,
    ENTER_LONG_ACTION,
    ENTER_SHORT_ACTION,
    ENTRY_CANCELLED_BY_EXIT,
    EXIT_ACTION,
    EXIT_CONDITION,
    EXITING,
    F_BREAK_EVEN_AT,
    F_BREAK_EVEN_OFFSET,
    F_ENTER_LONG,
    F_ENTER_SHORT,
    F_EXIT_LONG,
    F_EXIT_SHORT,
    F_LIMIT_LONG,
    F_PRICE_LONG,
    F_STEP,
    F_STOP_LOSS,
    F_TRAILING_STOP,
    F_VOLATILITY,
    FALSE,
    FIRST_TARGET,
    FREE,
    IN_POSITION,
    MARKET,
    NO_ACTION,
    NO_REASON,
    NOT_SHORTABLE,
    PRICE_UNKNOWN,
    REVERSE_ACTION,
    REVERSED,
    SESSION_CLOSE,
    SESSION_CLOSING,
    SIZE_ROUNDS_TO_ZERO,
    STOP_LIMIT,
    STOP_SHARE,
    TIME_STOP,
    TRAIL_SHARE,
    TRUE,
    UNKNOWN,
    WARMING_UP,
    WORKING_ENTRY,
)
from trading.formulas import condition_nb, evaluate_nb, has_formula_nb
from trading.risk import check_entry_nb, check_market_nb, check_rungs_nb, count_orders_nb
from trading.sizing import round_price_nb, size_lots_nb

# Bits of `Bars.flags`, as plain integers for kernels.
FLATTEN_BIT, HALTED_BIT, OUTSIDE_BIT = 4, 8, 16


@inlined_kernel
def direction_nb(policy, state):
    """Return the side that the sleeve holds, or else is entering; 0 when idle."""
    if state.header.lots != 0:
        return 1 if state.header.lots > 0 else -1
    for b in range(policy.n_brackets):
        if state.brackets[b].side != 0:
            return state.brackets[b].side
    return 0


@inner_kernel
def is_exiting_nb(policy, state):
    """Tell whether a market exit still works."""
    per_bracket = policy.slots_per_bracket
    for b in range(policy.n_brackets):
        if state.orders[(b + 1) * per_bracket - 1].state != FREE:
            return True
    return False


@inner_kernel
def has_working_entry_nb(policy, state):
    """Tell whether any entry still works."""
    for b in range(policy.n_brackets):
        if has_working_rung_nb(policy, state, b):
            return True
    return False


@inner_kernel
def count_brackets_nb(policy, state):
    """Count the brackets in use."""
    n = 0
    for b in range(policy.n_brackets):
        if state.brackets[b].side != 0:
            n += 1
    return n


@inner_kernel
def exit_all_nb(plan, state, journal, reason, now):
    """Cancel working entries and ask for a market exit of all that is held."""
    policy = plan.policy
    for b in range(policy.n_brackets):
        if state.brackets[b].side == 0:
            continue
        cancel_rungs_nb(policy, state, journal, b, ENTRY_CANCELLED_BY_EXIT, now)
        free_bracket_if_done_nb(policy, state, journal, b, now)
        if state.brackets[b].side != 0:
            request_exit_nb(policy, state, b, reason, now)


@inlined_kernel
def update_limits_nb(policy, header, equity):
    """Stop the sleeve on drawdown, block its session on daily loss (rule 14)."""
    if policy.max_drawdown > 0.0 and header.stopped == 0:
        if (header.peak_equity - equity) / header.peak_equity >= policy.max_drawdown:
            header.stopped = DRAWDOWN_STOP
    before = header.previous_session_equity
    if policy.max_daily_loss > 0.0 and before > 0.0:
        if (before - equity) / before >= policy.max_daily_loss:
            header.blocked_session = header.session


@inlined_kernel
def exit_reason_at_close_nb(plan, state, bar, direction, scratch):
    """Decide whether to leave at this close, and why.

    Returns
    -------
    (int, int)
        Reason, NO_REASON to stay; 1 when the opposite side is to be opened at
        the same open.
    """
    policy = plan.policy
    header = state.header
    if header.stopped != 0:
        return header.stopped, 0
    if policy.flat_at_session_close == 1 and policy.intraday == 1:
        if bar.flags & FLATTEN_BIT:
            return SESSION_CLOSE, 0
    opposite = 0
    if policy.reverse == 1:
        other = F_ENTER_SHORT if direction > 0 else F_ENTER_LONG
        if condition_nb(other, plan, header, scratch) == TRUE:
            opposite = 1
    own = F_EXIT_LONG if direction > 0 else F_EXIT_SHORT
    if condition_nb(own, plan, header, scratch) == TRUE:
        return EXIT_CONDITION, opposite
    if policy.time_stop_bars > 0 and header.lots != 0:
        if header.i_bar - header.entry_bar + 1 >= policy.time_stop_bars:
            return TIME_STOP, opposite
    if opposite == 1:
        return REVERSED, 1
    return NO_REASON, 0


@inner_kernel
def entry_blocked_nb(plan, state, direction, reversing):
    """Tell why no entry is considered before looking at the conditions.

    Parameters
    ----------
    direction : int
        What `direction_nb` tells now.
    reversing : int
        1 when the other side is left at the same close.
    """
    policy = plan.policy
    header = state.header
    if header.stopped != 0:
        return header.stopped
    if policy.max_daily_loss > 0.0 and header.blocked_session == header.session:
        return DAILY_LOSS
    if reversing == 1:
        return NO_REASON
    if direction == 0:
        if policy.cooldown_bars > 0 and header.last_exit_bar >= 0:
            if header.i_bar < header.last_exit_bar + policy.cooldown_bars:
                return COOLDOWN
        return NO_REASON
    if is_exiting_nb(policy, state):
        return EXITING
    if has_working_entry_nb(policy, state):
        return WORKING_ENTRY
    if policy.pyramiding > 0 and count_brackets_nb(policy, state) <= policy.pyramiding:
        return NO_REASON
    return IN_POSITION


@inlined_kernel
def entry_side_nb(plan, state, only_side, scratch):
    """Ask the entry conditions.

    Parameters
    ----------
    only_side : int
        LONG or SHORT when only that side may be entered, else 0.

    Returns
    -------
    (int, int)
        Side, 0 for none; and the reason when there is none.
    """
    header = state.header
    long_entry = FALSE
    short_entry = FALSE
    if only_side >= 0:
        long_entry = condition_nb(F_ENTER_LONG, plan, header, scratch)
    if only_side <= 0:
        short_entry = condition_nb(F_ENTER_SHORT, plan, header, scratch)
    if long_entry == TRUE and short_entry == TRUE:
        return 0, CONFLICTING_ENTRIES
    if long_entry == TRUE or short_entry == TRUE:
        side = 1 if long_entry == TRUE else -1
        leave = F_EXIT_LONG if side > 0 else F_EXIT_SHORT
        # An exit wins over an entry at the same close, held or not (rule 2).
        if condition_nb(leave, plan, header, scratch) == TRUE:
            return 0, EXIT_CONDITION
        return side, NO_REASON
    if long_entry == UNKNOWN or short_entry == UNKNOWN:
        return 0, WARMING_UP
    return 0, CONDITION_FALSE


@inlined_kernel
def distance_nb(formula, plan, header, scratch):
    """Evaluate a distance; NaN when the strategy has none, -1 when it is not positive."""
    if not has_formula_nb(plan, formula):
        return np.nan
    value = evaluate_nb(formula, plan, header, scratch)
    if not (value > 0.0 and value < np.inf):
        return -1.0
    return value


@inlined_kernel
def enter_nb(plan, state, bar, side, equity, scratch):
    """Size an entry and place its ladder.

    Returns
    -------
    int
        NO_REASON when the ladder was placed, else why not.
    """
    policy = plan.policy
    header = state.header
    if side < 0 and policy.shortable == 0:
        return NOT_SHORTABLE
    now = bar.close_ts
    close = bar.close
    price = close
    limit = np.nan
    if policy.entry_type != MARKET:
        which = 0 if side > 0 else 1
        price = evaluate_nb(F_PRICE_LONG + which, plan, header, scratch)
        if policy.entry_type == STOP_LIMIT:
            limit = evaluate_nb(F_LIMIT_LONG + which, plan, header, scratch)
            if not (limit > 0.0 and limit < np.inf):
                return PRICE_UNKNOWN
    if not (price > 0.0 and price < np.inf):
        return PRICE_UNKNOWN
    price = round_price_nb(price, policy.tick, side)
    step = 0.0
    if policy.n_rungs > 1 and has_formula_nb(plan, F_STEP):
        step = evaluate_nb(F_STEP, plan, header, scratch)
        if not (step >= 0.0 and step < np.inf):
            return DISTANCE_UNKNOWN
    stop = distance_nb(F_STOP_LOSS, plan, header, scratch)
    trail = np.nan
    even_at = np.nan
    even_offset = 0.0
    if policy.moves_stops == 1:
        trail = distance_nb(F_TRAILING_STOP, plan, header, scratch)
        even_at = distance_nb(F_BREAK_EVEN_AT, plan, header, scratch)
        if has_formula_nb(plan, F_BREAK_EVEN_OFFSET):
            even_offset = evaluate_nb(F_BREAK_EVEN_OFFSET, plan, header, scratch)
    if stop < 0.0 or trail < 0.0 or even_at < 0.0 or not (abs(even_offset) < np.inf):
        return DISTANCE_UNKNOWN
    for k in range(policy.n_targets):
        distance = distance_nb(FIRST_TARGET + k, plan, header, scratch)
        if not distance > 0.0:
            return DISTANCE_UNKNOWN
        scratch.distances[k] = distance
    volatility = np.nan
    if has_formula_nb(plan, F_VOLATILITY):
        volatility = evaluate_nb(F_VOLATILITY, plan, header, scratch)
        if not volatility > 0.0:
            return DISTANCE_UNKNOWN
    risk_distance = distance_from_nb(policy, STOP_SHARE, stop, price)
    if policy.size_method == BY_RISK_FRACTION and np.isnan(stop):
        risk_distance = distance_from_nb(policy, TRAIL_SHARE, trail, price)
    lots = size_lots_nb(policy, equity, price, risk_distance, volatility)
    if lots <= 0:
        return SIZE_ROUNDS_TO_ZERO
    reason = check_rungs_nb(plan, side, lots, price, limit, step, close)
    if reason == NO_REASON:
        reason = check_entry_nb(policy, header, side, lots, policy.n_rungs, price, equity, now)
    if reason != NO_REASON:
        return reason
    b = open_bracket_nb(
        plan, state,
        side, lots, price, limit, step, now,
    )  # fmt: skip
    if b < 0:
        return SIZE_ROUNDS_TO_ZERO
    if policy.max_orders_per_minute > 0:
        count_orders_nb(header, policy.n_rungs, now)
    bracket = state.brackets[b]
    bracket.stop_distance = stop
    bracket.trail_distance = trail
    bracket.break_even_at = even_at
    bracket.break_even_offset = even_offset
    bracket.volatility = volatility
    first_target = b * policy.slots_per_bracket + policy.n_rungs + 1
    for k in range(policy.n_targets):
        state.orders[first_target + k].distance = scratch.distances[k]
    return NO_REASON


@inlined_kernel
def decide_nb(plan, state, journal, bar, equity, scratch):
    """Decide at the close of a bar, whose column `set_column_nb` chose.

    Returns
    -------
    (int, int)
        Action and reason codes for the decision row.
    """
    policy = plan.policy
    header = state.header
    now = bar.close_ts
    update_limits_nb(policy, header, equity)
    if policy.max_daily_loss > 0.0 and header.blocked_session == header.session:
        for b in range(policy.n_brackets):
            # A rung that still works would be an entry after all.
            cancel_rungs_nb(policy, state, journal, b, DAILY_LOSS, now)
            free_bracket_if_done_nb(policy, state, journal, b, now)
    direction = direction_nb(policy, state)
    reversing = 0
    if direction != 0:
        reason, reversing = exit_reason_at_close_nb(plan, state, bar, direction, scratch)
        if reason != NO_REASON:
            exit_all_nb(plan, state, journal, reason, now)
            if reversing == 0:
                return EXIT_ACTION, reason
    # Unless it reverses, nothing was cancelled since the direction was asked for.
    blocked = entry_blocked_nb(plan, state, direction, reversing)
    if blocked != NO_REASON:
        return (EXIT_ACTION if reversing == 1 else NO_ACTION), blocked
    only_side = direction if direction != 0 else 0
    if reversing == 1:
        only_side = -direction
    side, reason = entry_side_nb(plan, state, only_side, scratch)
    if side != 0:
        reason = check_market_nb(
            bar.flags & HALTED_BIT != 0,
            bar.flags & OUTSIDE_BIT != 0 and policy.extended_hours == 0,
            0.0, 0.0, False, True,
        )  # fmt: skip
        closing = policy.flat_at_session_close == 1 and policy.intraday == 1
        if reason == NO_REASON and closing and bar.flags & FLATTEN_BIT:
            reason = SESSION_CLOSING
        if reason == NO_REASON:
            reason = enter_nb(plan, state, bar, side, equity, scratch)
        if reason == NO_REASON:
            if reversing == 1:
                return REVERSE_ACTION, REVERSED
            return (ENTER_LONG_ACTION if side > 0 else ENTER_SHORT_ACTION), NO_REASON
    return (EXIT_ACTION if reversing == 1 else NO_ACTION), reason
