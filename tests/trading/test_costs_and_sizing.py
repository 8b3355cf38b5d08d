"""Costs and sizes as plain functions, against arithmetic done by hand or in fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading import dtypes as d
from trading.costs import commission_nb, slippage_nb
from trading.sizing import (
    MAX_LOTS,
    affordable_lots_nb,
    floor_lots_nb,
    round_price_nb,
    size_lots_nb,
)


def policy(**fields: float) -> np.record:
    """Return a policy of an instrument with lot 1, multiplier 1 and no costs."""
    record = np.zeros(1, d.POLICY).view(np.recarray)
    record.lot = record.multiplier = 1.0
    for name, value in fields.items():
        record[name] = value
    return record[0]


PER_SHARE = {
    "commission_per_unit": 0.005,
    "commission_minimum": 1.0,
    "commission_maximum_fraction": 0.005,
}


@pytest.mark.parametrize(
    ("quantity", "price", "commission"),
    [
        (1000, 50.0, 5.0),  # 1000 x 0.005
        (100, 50.0, 1.0),  # 0.50 is raised to the minimum
        (100, 1.0, 0.5),  # the cap of 0.5 % of 100 cuts the minimum, too
        (1000, 0.2, 1.0),  # 5.00 is cut to 0.5 % of 200
        (200, 50.0, 1.0),  # exactly the minimum
    ],
)
def test_per_share_commission_has_a_minimum_and_a_cap(quantity, price, commission):
    assert commission_nb(policy(**PER_SHARE), float(quantity), price) == pytest.approx(commission)


def test_basis_points_and_a_fixed_amount_come_on_top_of_the_capped_part():
    # 5 + 2 bp of 50,000 + 1.5
    given_costs = policy(**PER_SHARE, commission_bps=2.0, commission_fixed=1.5)
    assert commission_nb(given_costs, 1000.0, 50.0) == pytest.approx(5.0 + 10.0 + 1.5)


def test_the_multiplier_counts_in_the_notional_of_a_commission():
    # 3 contracts x 50 x 4,000 = 600,000; 1 bp is 60.
    assert commission_nb(policy(commission_bps=1.0, multiplier=50.0), 3.0, 4000.0) == pytest.approx(
        60.0
    )


def test_slippage_adds_basis_points_ticks_and_half_of_the_spread():
    costs = policy(slippage_bps=10.0, slippage_ticks=2.0, tick=0.05, half_spread=0.02)
    assert slippage_nb(costs, 100.0, 100.0, 0.0) == pytest.approx(0.1 + 0.1 + 0.02)


def test_impact_grows_with_the_root_of_the_share_of_the_volume():
    # 50 bp x sqrt(100 / 10,000) = 5 bp of 100
    costs = policy(impact_bps=50.0, impact_exponent=0.5)
    assert slippage_nb(costs, 100.0, 100.0, 10_000.0) == pytest.approx(0.05)


def test_without_volume_there_is_no_impact():
    assert slippage_nb(policy(impact_bps=50.0, impact_exponent=0.5), 100.0, 100.0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("price", "side", "sent"),
    [
        (99.92, d.LONG, 99.95),
        (99.92, d.SHORT, 99.90),
        (99.95, d.LONG, 99.95),
        (99.95, d.SHORT, 99.95),
        (0.3, d.LONG, 0.3),
    ],
)
def test_a_price_is_rounded_away_from_advantage(price, side, sent):
    assert round_price_nb(price, 0.05, side) == pytest.approx(sent, abs=1e-9)


def test_a_tick_that_is_not_stated_rounds_nothing():
    assert round_price_nb(99.923, 0.0, d.LONG) == 99.923


@given(
    price=st.floats(0.01, 1e5),
    tick=st.sampled_from([0.0001, 0.01, 0.05, 0.25, 1.0, 5.0]),
    side=st.sampled_from([d.LONG, d.SHORT]),
)
@settings(max_examples=25, deadline=None)
def test_a_rounded_price_is_the_nearest_tick_on_the_worse_side(price, tick, side):
    sent = round_price_nb(price, tick, side)
    ticks = sent / tick
    assert abs(ticks - round(ticks)) < 1e-6
    worse = side * (sent - price)
    assert -1e-6 * tick <= worse < tick


def test_lots_are_floored_but_a_float_just_below_a_whole_number_counts_as_it():
    assert floor_lots_nb(0.3 / 0.1) == 3  # 2.9999999999999996
    assert floor_lots_nb(3.0 * (1.0 - 5e-13)) == 3
    assert floor_lots_nb(3.0 * (1.0 - 5e-12)) == 2
    assert floor_lots_nb(2.999) == 2
    assert floor_lots_nb(-1.0) == 0
    assert floor_lots_nb(np.nan) == 0
    assert floor_lots_nb(1.5 * MAX_LOTS) == MAX_LOTS
    assert floor_lots_nb(np.inf) == MAX_LOTS


def test_a_size_by_equity_fraction_leaves_room_for_the_commission():
    # 3029 x 33.005 = 99,972.145; one more costs 100,005.15.
    assert size_lots_nb(_fraction(1.0, **PER_SHARE), 100_000.0, 33.0, np.nan, np.nan) == 3029


def test_the_minimum_commission_takes_a_share_off_the_size():
    no_cap = {k: v for k, v in PER_SHARE.items() if k != "commission_maximum_fraction"}
    assert size_lots_nb(_fraction(1.0), 1000.0, 100.0, np.nan, np.nan) == 10
    assert size_lots_nb(_fraction(1.0, **no_cap), 1000.0, 100.0, np.nan, np.nan) == 9


def test_a_capped_commission_leaves_room_for_a_share_more():
    # With the cap, 10 shares cost 1000 + 0.5; without it 1000 + 1.
    costs = PER_SHARE | {"commission_maximum_fraction": 0.0005}
    assert size_lots_nb(_fraction(1.0, **costs), 1000.5, 100.0, np.nan, np.nan) == 10
    costs["commission_maximum_fraction"] = 0.0
    assert size_lots_nb(_fraction(1.0, **costs), 1000.5, 100.0, np.nan, np.nan) == 9


def test_the_cash_buffer_is_taken_from_the_fraction():
    # 0.5 x 0.98 x 10,000 = 4,900
    assert size_lots_nb(_fraction(0.5, cash_buffer=0.02), 10_000.0, 100.0, np.nan, np.nan) == 49


def test_a_budget_that_pays_for_a_whole_number_of_small_lots_buys_them():
    # 300 lots of 0.1 at 3 cost exactly 90, though 300 x (0.1 x 3) is a little more in floats.
    assert size_lots_nb(_fraction(1.0, lot=0.1), 90.0, 3.0, np.nan, np.nan) == 300
    # 3 x 0.1 x 10 comes out a little above 3.
    assert size_lots_nb(_fraction(1.0, lot=0.1), 3.0, 10.0, np.nan, np.nan) == 3


def test_sizes_by_quantity_notional_risk_and_volatility():
    of = {"multiplier": 1.0, "lot": 1.0}
    assert size_lots_nb(policy(size_method=d.BY_QUANTITY, size=100.7, **of), 1, 1, 1, 1) == 100
    half = policy(size_method=d.BY_QUANTITY, size=100.7, lot=0.5)
    assert size_lots_nb(half, 1, 1, 1, 1) == 201
    # 10,000 / (33 x 2)
    by_notional = policy(size_method=d.BY_NOTIONAL, size=10_000, multiplier=2.0)
    assert size_lots_nb(by_notional, 1.0, 33.0, np.nan, np.nan) == 151
    # 1 % of 100,000 is lost over 2.5 a share, in lots of 10: 400 shares.
    by_risk = policy(size_method=d.BY_RISK_FRACTION, size=0.01, lot=10.0)
    assert size_lots_nb(by_risk, 100_000.0, 50.0, 2.5, np.nan) == 40
    # A contract of 50 units loses 125.
    by_risk = policy(size_method=d.BY_RISK_FRACTION, size=0.01, multiplier=50.0)
    assert size_lots_nb(by_risk, 100_000.0, 50.0, 2.5, np.nan) == 8
    # 100,000 x 0.15 / 0.3 = 50,000 of a share at 40
    by_volatility = policy(size_method=d.BY_VOLATILITY, size=0.15)
    assert size_lots_nb(by_volatility, 100_000.0, 40.0, np.nan, 0.3) == 1250


def test_nothing_is_bought_without_money_or_with_an_unknown_distance():
    assert size_lots_nb(_fraction(1.0), -5.0, 10.0, np.nan, np.nan) == 0
    by_risk = policy(size_method=d.BY_RISK_FRACTION, size=0.01)
    assert size_lots_nb(by_risk, 100_000.0, 50.0, np.nan, np.nan) == 0


def _fraction(size: float, **fields: float) -> np.record:
    return policy(size_method=d.BY_EQUITY_FRACTION, size=size, **fields)


money = st.integers(0, 100_000_000).map(lambda cents: cents / 100)


@pytest.mark.parametrize("price", [1e-5, 1e-6, 1e-9])
def test_lots_that_a_float_can_not_count_are_cut_to_those_it_can(price: float):
    """The cap makes commission small where the guess takes it for large."""
    given_policy = policy(lot=1e-8, commission_per_unit=0.005, commission_maximum_fraction=0.005)
    assert affordable_lots_nb(given_policy, price, 1e5) == MAX_LOTS


@given(
    budget=money,
    price=st.integers(1, 100_000).map(lambda cents: cents / 100),
    lot=st.sampled_from([0.001, 0.1, 1.0, 100.0]),
    multiplier=st.sampled_from([1.0, 50.0]),
    per_unit=st.sampled_from([0.0, 0.005, 0.05]),
    minimum=st.sampled_from([0.0, 1.0, 20.0]),
    cap=st.sampled_from([0.0, 0.0005, 0.005]),
    bps=st.sampled_from([0.0, 5.0]),
    fixed=st.sampled_from([0.0, 2.5]),
)
@settings(max_examples=100, deadline=None)
def test_the_size_is_the_largest_that_the_budget_pays_for(
    budget, price, lot, multiplier, per_unit, minimum, cap, bps, fixed
):
    """One lot more would cost more than the budget, in exact arithmetic to one part in 1e12."""
    given_policy = policy(
        lot=lot,
        multiplier=multiplier,
        commission_per_unit=per_unit,
        commission_minimum=minimum,
        commission_maximum_fraction=cap,
        commission_bps=bps,
        commission_fixed=fixed,
    )
    lots = affordable_lots_nb(given_policy, price, budget)

    def cost(n: int) -> Fraction:
        quantity = n * Fraction(repr(lot))
        notional = quantity * Fraction(repr(price)) * Fraction(repr(multiplier))
        commission = max(Fraction(repr(per_unit)) * quantity, Fraction(repr(minimum)))
        if cap > 0.0:
            commission = min(commission, Fraction(repr(cap)) * notional)
        return notional + commission + Fraction(repr(bps)) / 10_000 * notional + Fraction(fixed)

    slack = Fraction(1, 10**12) * Fraction(repr(budget))
    assert lots >= 0
    assert lots == 0 or cost(lots) <= Fraction(repr(budget)) + slack
    assert cost(lots + 1) > Fraction(repr(budget)) - slack
