"""Costs of trading: commission and slippage models (rule 11)."""

from __future__ import annotations

from trading.compiling import kernel


@kernel
def commission_nb(policy, quantity, price):
    """Compute the commission of an order filled so far.

    Per-unit commission is raised to the minimum and then cut to the cap (a
    fraction of the notional), as US brokers charge it per order; basis points
    of the notional and a fixed amount come on top.

    Parameters
    ----------
    policy : POLICY record
    quantity : float
        Units filled so far, >= 0.
    price : float
        Average fill price, quote currency.

    Returns
    -------
    float
        Commission in quote currency.
    """
    notional = quantity * price * policy.multiplier
    per_unit = policy.commission_per_unit * quantity
    if per_unit < policy.commission_minimum:
        per_unit = policy.commission_minimum
    cap = policy.commission_maximum_fraction
    if cap > 0.0 and per_unit > cap * notional:
        per_unit = cap * notional
    return per_unit + policy.commission_bps * 1e-4 * notional + policy.commission_fixed


@kernel
def slippage_nb(policy, price, quantity, volume):
    """Compute how much worse than the market's price a taking order fills.

    Basis points, ticks and half of the spread add up; the impact term is
    ``impact_bps * (quantity / volume) ** impact_exponent``, the power law of
    Almgren et al. (2005), Direct Estimation of Equity Market Impact (exponent
    0.5 to 0.6 for equities). Limit orders pay none.

    Parameters
    ----------
    price : float
        Market price, quote currency.
    quantity, volume : float
        Units of the fill and of the bar; without volume there is no impact.

    Returns
    -------
    float
        Currency per unit, >= 0.
    """
    slip = policy.slippage_bps * 1e-4 * price + policy.slippage_ticks * policy.tick
    slip += policy.half_spread
    if policy.impact_bps > 0.0 and volume > 0.0:
        slip += policy.impact_bps * 1e-4 * price * (quantity / volume) ** policy.impact_exponent
    return slip
