"""Sizing: how many lots an entry asks for, and how its price is rounded (rule 10)."""

from __future__ import annotations

import numpy as np

from trading.compiling import inlined_kernel, kernel
from trading.costs import commission_nb
from trading.dtypes import (
    BY_EQUITY_FRACTION,
    BY_NOTIONAL,
    BY_QUANTITY,
    BY_RISK_FRACTION,
)

# Beyond this many lots a float64 no longer counts single lots.
MAX_LOTS = 1 << 53


@kernel
def floor_lots_nb(lots):
    """Round a number of lots down; 2.9999999999996 from 0.3 / 0.1 counts as 3."""
    if not lots > 0.0:
        return 0
    if lots >= MAX_LOTS:
        return MAX_LOTS
    return int(np.floor(lots * (1.0 + 1e-12)))


@kernel
def round_price_nb(price, tick, side):
    """Round an order's price to the tick, away from advantage.

    A buy is rounded up and a sell down, so that rounding never makes a price
    better than the strategy asked for. A tick of 0 rounds nothing.
    """
    if tick <= 0.0:
        return price
    ticks = price / tick
    nearest = np.round(ticks)
    if abs(ticks - nearest) < 1e-6:
        return nearest * tick
    if side > 0:
        return np.ceil(ticks) * tick
    return np.floor(ticks) * tick


@inlined_kernel
def pays_for_nb(policy, lots, price, budget):
    """Tell whether a budget pays for lots and their commission.

    The last bits of a product of decimals, 300 x 0.1 x 3, must not cost a lot.
    """
    quantity = lots * policy.lot
    cost = quantity * price * policy.multiplier + commission_nb(policy, quantity, price)
    return cost <= budget * (1.0 + 1e-12)


@kernel
def affordable_lots_nb(policy, price, budget):
    """Find the largest lots with quantity * price + commission <= budget."""
    lot_value = policy.lot * policy.multiplier * price
    if not (lot_value > 0.0 and budget > 0.0):
        return 0
    variable = lot_value * (1.0 + policy.commission_bps * 1e-4)
    variable += policy.commission_per_unit * policy.lot
    guess = np.floor((budget * (1.0 + 1e-12) - policy.commission_fixed) / variable)
    if guess >= MAX_LOTS:
        return MAX_LOTS
    # The guess ignores the minimum and the cap, and rounding may move it by a few
    # lots; cost never falls with the quantity, so the answer lies between what is
    # affordable (or zero) and what is not, at ever larger steps from the guess.
    guessed = max(int(guess), 0)
    step = 1
    if pays_for_nb(policy, guessed, price, budget):
        low = guessed
        high = guessed + 1
        while pays_for_nb(policy, high, price, budget):
            if high >= MAX_LOTS:
                return MAX_LOTS
            low = high
            step *= 2
            high = min(high + step, MAX_LOTS)
    else:
        high = guessed
        low = max(guessed - 1, 0)
        while low > 0 and not pays_for_nb(policy, low, price, budget):
            high = low
            step *= 2
            low = max(low - step, 0)
    while high - low > 1:
        middle = (low + high) // 2
        if pays_for_nb(policy, middle, price, budget):
            low = middle
        else:
            high = middle
    return low


@kernel
def size_lots_nb(policy, equity, price, stop_distance, volatility):
    """Size an entry.

    Parameters
    ----------
    policy : POLICY record
        `size` is units, currency, or a fraction, by `size_method`.
    equity : float
        Sleeve's equity at the decision, quote currency.
    price : float
        Decision's close for market orders, the order's price otherwise.
    stop_distance : float
        Currency per unit between entry and stop (risk fraction).
    volatility : float
        Volatility of the instrument per year as a fraction (volatility target).

    Returns
    -------
    int
        Lots of the whole ladder, >= 0.
    """
    method = policy.size_method
    lot_value = policy.lot * policy.multiplier * price
    if method == BY_QUANTITY:
        return floor_lots_nb(policy.size / policy.lot)
    if method == BY_NOTIONAL:
        return floor_lots_nb(policy.size / lot_value)
    if method == BY_EQUITY_FRACTION:
        budget = policy.size * (1.0 - policy.cash_buffer) * equity
        return affordable_lots_nb(policy, price, budget)
    if method == BY_RISK_FRACTION:
        return floor_lots_nb(
            policy.size * equity / (stop_distance * policy.lot * policy.multiplier)
        )
    return floor_lots_nb(policy.size * equity / (volatility * lot_value))
