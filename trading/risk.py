"""Pre-trade checks (rule 14): pure questions with a reason code for an answer.

The decision asks them about every entry; the live gateway asks the same
functions again before it sends. Exits are never refused. Limits of an order
hold for each rung of a ladder, limits of the position for the whole of it.
"""

from __future__ import annotations

from trading.compiling import inner_kernel, kernel
from trading.dtypes import (
    DUPLICATE_ID,
    HALTED,
    LIFECYCLE_STAGE,
    NO_REASON,
    ORDER_NOTIONAL_LIMIT,
    ORDER_QUANTITY_LIMIT,
    ORDER_RATE,
    OUTSIDE_SESSION,
    POSITION_LIMIT,
    PRICE_COLLAR,
    STALE_DATA,
    STOP,
    STOP_LIMIT,
)
from trading.sizing import floor_lots_nb, round_price_nb

NANOSECONDS_A_MINUTE = 60_000_000_000


@kernel
def check_order_nb(policy, lots, price, close):
    """Check one entry order against the limits of an order.

    Parameters
    ----------
    price, close : float
        The order's price, the close for a market order, and the decision's
        close, quote currency.

    Returns
    -------
    int
        NO_REASON when nothing stands against it, else the reason.
    """
    quantity = lots * policy.lot
    notional = quantity * policy.multiplier * price
    if policy.max_order_quantity > 0.0 and quantity > policy.max_order_quantity:
        return ORDER_QUANTITY_LIMIT
    if policy.max_order_notional > 0.0 and notional > policy.max_order_notional:
        return ORDER_NOTIONAL_LIMIT
    if policy.price_collar > 0.0 and abs(price - close) > policy.price_collar * close:
        return PRICE_COLLAR
    return NO_REASON


@inner_kernel
def check_rungs_nb(plan, side, lots, price, limit, step, close):
    """Check each rung of a ladder, as `open_bracket_nb` places it; the first reason counts.

    A stop-limit is asked about its limit price too, which is what it may pay.
    """
    policy = plan.policy
    direction = side if policy.entry_type >= STOP else -side
    for k in range(policy.n_rungs):
        rung_lots = floor_lots_nb(plan.constants[k] * lots)
        if rung_lots == 0:
            continue
        shift = direction * k * step
        rung_price = round_price_nb(price + shift, policy.tick, side)
        reason = check_order_nb(policy, rung_lots, rung_price, close)
        if reason == NO_REASON and policy.entry_type == STOP_LIMIT:
            rung_limit = round_price_nb(limit + shift, policy.tick, side)
            reason = check_order_nb(policy, rung_lots, rung_limit, close)
        if reason != NO_REASON:
            return reason
    return NO_REASON


@kernel
def check_entry_nb(policy, header, side, lots, n_orders, price, equity, now):
    """Check a whole entry ladder against the sleeve's limits.

    Parameters
    ----------
    side, lots, n_orders : int
        Side, lots and orders of the whole ladder.
    price : float
        Price of the first rung, quote currency.
    equity : float
        Equity at the decision, quote currency.
    now : int
        Time of the decision, UTC nanoseconds.

    Returns
    -------
    int
        NO_REASON when nothing stands against it, else the reason.
    """
    if policy.max_position_fraction > 0.0:
        held = abs(header.lots) if side * header.lots > 0 else 0  # A reversal leaves first.
        position = (held + lots) * policy.lot * policy.multiplier * price
        if position > policy.max_position_fraction * equity:
            return POSITION_LIMIT
    if policy.max_orders_per_minute > 0:
        minute = now // NANOSECONDS_A_MINUTE
        sent = header.orders_in_minute if header.order_minute == minute else 0
        if sent + n_orders > policy.max_orders_per_minute:
            return ORDER_RATE
    return NO_REASON


@inner_kernel
def count_orders_nb(header, n_orders, now):
    """Count orders sent in the current minute."""
    minute = now // NANOSECONDS_A_MINUTE
    if header.order_minute != minute:
        header.order_minute = minute
        header.orders_in_minute = 0
    header.orders_in_minute += n_orders


@kernel
def check_market_nb(halted, outside_session, data_age_s, max_data_age_s, known_id, stage_allows):
    """Check what only the present moment knows: the market, the id, the stage.

    In a backtest the age is 0 and ids are new by construction; the gateway
    fills in what it sees.

    Parameters
    ----------
    data_age_s, max_data_age_s : float
        Seconds since the last market data, and how many are accepted (0: any).
    """
    if not stage_allows:
        return LIFECYCLE_STAGE
    if known_id:
        return DUPLICATE_ID
    if halted:
        return HALTED
    if outside_session:
        return OUTSIDE_SESSION
    if max_data_age_s > 0.0 and data_age_s > max_data_age_s:
        return STALE_DATA
    return NO_REASON
