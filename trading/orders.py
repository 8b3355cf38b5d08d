"""Orders: their states, how they begin and how they end.

The life of an order is one table, (state, trigger) -> state; kernels look it
up, so a move that the table does not list ends the run with a broken state
instead of a plausible one.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from trading.compiling import inlined_kernel, inner_kernel
from trading.dtypes import (
    CANCELLED,
    EXPIRED,
    FILLED,
    FREE,
    MAX_ENDED_ORDERS,
    PARTIALLY_FILLED,
    REFUSED,
    WORKING,
)


class OrderState(IntEnum):
    """Where an order stands."""

    FREE = FREE
    WORKING = WORKING
    PARTIALLY_FILLED = PARTIALLY_FILLED
    FILLED = FILLED
    CANCELLED = CANCELLED
    EXPIRED = EXPIRED
    REFUSED = REFUSED


# Triggers.
SUBMIT, FILL_PART, FILL_REST, CANCEL, EXPIRE, REFUSE = range(6)
IMPOSSIBLE = -1

ORDER_LIFE: dict[tuple[int, int], int] = {
    (FREE, SUBMIT): WORKING,
    (WORKING, FILL_PART): PARTIALLY_FILLED,
    (WORKING, FILL_REST): FILLED,
    (WORKING, CANCEL): CANCELLED,
    (WORKING, EXPIRE): EXPIRED,
    (WORKING, REFUSE): REFUSED,
    (PARTIALLY_FILLED, FILL_PART): PARTIALLY_FILLED,
    (PARTIALLY_FILLED, FILL_REST): FILLED,
    (PARTIALLY_FILLED, CANCEL): CANCELLED,
    (PARTIALLY_FILLED, EXPIRE): EXPIRED,
    # Real world possibility: the quantity of an exit that was partly filled is
    # cut to what its bracket still holds, and nothing of it is left.
}

_LIFE = np.full((7, 6), IMPOSSIBLE, np.int64)
for (_state, _trigger), _next in ORDER_LIFE.items():
    _LIFE[_state, _trigger] = _next


@inlined_kernel
def next_state_nb(state, trigger):
    """Look up the order life table; IMPOSSIBLE (-1) for an unlisted move."""
    return _LIFE[state, trigger]


@inner_kernel
def submit_order_nb(header, order, role, order_type, side, lots, now, tif):
    """Start an order in a free slot and give it the sleeve's next sequence number."""
    order.state = next_state_nb(order.state, SUBMIT)
    order.sequence = header.next_sequence
    header.next_sequence += 1
    header.n_working += 1
    order.role = role
    order.type = order_type
    order.side = side
    order.time_in_force = tif
    order.lots = lots
    order.leaves_lots = lots
    order.filled_lots = 0
    order.filled_notional = 0.0
    order.limit_price = np.nan
    order.stop_price = np.nan
    order.distance = 0.0
    order.triggered = 0
    order.trailed = 0
    order.created_bar = header.i_bar
    order.created_ts = now
    order.session = -1
    order.commission = 0.0
    order.n_replaced = 0
    order.reason = 0


@inner_kernel
def end_order_nb(policy, state, journal, i_order, trigger, reason, now):
    """End a working order, log it and free its slot."""
    order = state.orders[i_order]
    end = next_state_nb(order.state, trigger)
    if journal.keeps == 1:
        if journal.n_orders >= MAX_ENDED_ORDERS:
            journal.overflowed = 1
            journal.n_orders = 0
        row = journal.orders[journal.n_orders]
        journal.n_orders += 1
        per_bracket = policy.slots_per_bracket
        row.bracket = i_order // per_bracket
        row.slot = i_order % per_bracket
        row.ended_ts = now
        row.state = end
        row.sequence = order.sequence
        row.role = order.role
        row.type = order.type
        row.side = order.side
        row.time_in_force = order.time_in_force
        row.lots = order.lots
        row.filled_lots = order.filled_lots
        row.filled_notional = order.filled_notional
        row.limit_price = order.limit_price
        row.stop_price = order.stop_price
        row.created_ts = order.created_ts
        row.commission = order.commission
        row.n_replaced = order.n_replaced
        row.reason = reason
    order.state = FREE
    order.leaves_lots = 0
    state.header.n_working -= 1
