"""Rules 10 to 13: size, costs, corporate actions, the end of the data.

Every figure is worked out in a comment or on sight; the design calls the rules
by these numbers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.making import (
    BUY,
    COVER,
    SELL,
    SHORT,
    Ended,
    Filled,
    Working,
    daily_bars,
    first_bars,
    link,
    long_only,
    random_bars,
    run,
    short_only,
    strategy,
)
from trading import codes
from trading.bars import ACTION, Bars
from trading.dtypes import TRUE
from trading.indicators.catalogue import INDICATORS


def flat(price: float, mark: float = 0.0) -> tuple[float, ...]:
    return (price, price, price, price, mark)


def cash_events(got) -> list[tuple[str, float, float]]:
    """Return kind, amount and rate of each cash event."""
    return [
        (codes.CASH_EVENTS[row["kind"]], pytest.approx(row["amount"]), row["rate"])
        for row in got.raw.cash_events
    ]


# Rule 10.


def test_rule_10_a_market_order_is_sized_at_the_decisions_close_and_not_cut_at_the_fill():
    """10,000 pay for 100 at the close of 100; the open of 110 costs 1,000 more than there is."""
    got = run(
        long_only(size={"equity_fraction": 1}), daily_bars([flat(100, BUY), flat(110)]), cash=10_000
    )
    assert got.fills == [Filled(1, "buy", 100, 110, "entry")]
    assert got.header["cash"] == -1000.0
    assert got.header["lowest_cash"] == -1000.0


def test_rule_10_lowest_cash_is_kept_after_the_position_is_sold():
    rows = [flat(100, BUY), flat(110, SELL), flat(120)]
    got = run(long_only(size={"equity_fraction": 1}), daily_bars(rows), cash=10_000)
    assert got.header["cash"] == 11_000.0
    assert got.header["lowest_cash"] == -1000.0


def test_rule_10_a_limit_order_is_sized_at_its_own_price():
    # 10,000 / 90 = 111.1
    entry = {"type": "limit", "price": "close - 10"}
    got = run(
        long_only(entry=entry, size={"equity_fraction": 1}),
        daily_bars([flat(100, BUY), (95, 95, 85, 88)]),
        cash=10_000,
    )
    assert got.fills == [Filled(1, "buy", 111, 90, "entry")]


def test_rule_10_a_stop_order_is_sized_at_its_own_price():
    # 10,000 / 105 = 95.2
    entry = {"type": "stop", "price": "close + 5"}
    got = run(
        long_only(entry=entry, size={"equity_fraction": 1}),
        daily_bars([flat(100, BUY), (101, 106, 101, 106)]),
        cash=10_000,
    )
    assert got.fills == [Filled(1, "buy", 95, 105, "entry")]


def test_rule_10_the_commission_must_fit_in_the_budget():
    # 100 x 100 + 1 is more than 10,000.
    document = long_only(size={"equity_fraction": 1}, costs={"commission": {"fixed": 1}})
    got = run(document, daily_bars([flat(100, BUY), flat(100)]), cash=10_000)
    assert got.fills[0].quantity == 99


def test_rule_10_a_short_is_sized_by_its_absolute_quantity():
    got = run(
        short_only(size={"equity_fraction": 0.5}),
        daily_bars([flat(100, SHORT), flat(100)]),
        cash=10_000,
    )
    assert got.position[-1] == -50
    assert got.header["cash"] == 15_000.0


def test_rule_10_quantities_are_multiples_of_the_lot():
    bars = daily_bars([flat(100, BUY), flat(100)], lot=25.0)
    got = run(long_only(size={"equity_fraction": 0.99}), bars, cash=10_000)
    assert got.fills[0].quantity == 75


def test_rule_10_the_multiplier_counts_in_the_value_of_a_position():
    # One contract is worth 50 x 20 = 1,000.
    bars = daily_bars([flat(20, BUY), flat(21)], multiplier=50.0)
    got = run(long_only(size={"equity_fraction": 1}), bars, cash=10_000)
    assert got.fills[0].quantity == 10
    assert got.header["cash"] == 10_000 - 10 * 21 * 50
    assert got.header["last_equity"] == 10_000.0


def test_rule_10_a_ladder_splits_its_total_by_weights_and_floors():
    # 10 in parts of 1/4, 1/4, 1/2: 2.5, 2.5 and 5.
    document = long_only(
        entry={"type": "limit", "price": "close - 1", "time_in_force": "gtc"},
        orders={"count": 3, "step": 2, "weights": [1, 1, 2]},
        size={"quantity": 10},
    )
    got = run(document, daily_bars([flat(100, BUY), flat(100)]))
    assert [(w.leaves, w.limit_price) for w in got.working] == [(2, 99), (2, 97), (5, 95)]


def test_rule_10_the_risk_of_an_entry_is_a_fraction_of_equity():
    # 1 % of 100,000 over a distance of 4: 250.
    document = long_only(size={"risk_fraction": 0.01}, exit={"stop_loss": 4})
    got = run(document, daily_bars([flat(100, BUY), flat(100)]))
    assert got.fills[0].quantity == 250


def test_rule_10_the_risk_of_a_limit_is_measured_from_its_price():
    # A stop of 5 % from 80 is 4 away: 1,000 / 4 = 250.
    document = long_only(
        entry={"type": "limit", "price": 80, "time_in_force": "gtc"},
        size={"risk_fraction": 0.01},
        exit={"stop_loss": "5%"},
    )
    got = run(document, daily_bars([flat(100, BUY), flat(100)]))
    assert [w.leaves for w in got.working] == [250]


def test_rule_10_a_volatility_target_divides_by_the_annual_volatility():
    """Returns of +10 % and -10 % in turn, deviations with ddof 0 or 1, 252 bars a year."""
    closes = [100.0]
    for k in range(6):
        closes.append(closes[-1] * (1.1 if k % 2 == 0 else 0.9))
    rows = [flat(c) for c in closes[:-1]] + [flat(closes[-1], BUY), flat(closes[-1])]
    got = run(long_only(size={"volatility_target": 0.2, "length": 4}), daily_bars(rows))
    sizes = [
        0.2 * 100_000 / (np.std([0.1, -0.1, 0.1, -0.1], ddof=ddof) * 252**0.5 * closes[-1])
        for ddof in (0, 1)
    ]
    assert got.fills[0].quantity in [np.floor(size) for size in sizes]


def test_rule_10_sized_at_fill_buys_what_the_open_allows():
    # 10,000 / 110 = 90.9
    document = long_only(size={"equity_fraction": 1, "sized_at": "fill"})
    got = run(document, daily_bars([flat(100, BUY), flat(110)]), cash=10_000)
    assert got.fills == [Filled(1, "buy", 90, 110, "entry")]


def test_rule_10_sized_at_fill_keeps_the_risk_fraction():
    """1 % of 100,000 over a distance of 4 is 250 at whatever price."""
    document = long_only(size={"risk_fraction": 0.01, "sized_at": "fill"}, exit={"stop_loss": 4})
    got = run(document, daily_bars([flat(100, BUY), flat(110)]))
    assert got.fills == [Filled(1, "buy", 250, 110, "entry")]


def test_rule_10_a_size_that_rounds_to_zero_is_a_skipped_decision_with_its_reason():
    got = run(
        long_only(size={"equity_fraction": 1}), daily_bars([flat(100, BUY), flat(100)]), cash=99
    )
    assert got.reasons[0] == "size_rounds_to_zero"
    assert got.actions[0] == ""
    assert got.fills == got.ended == got.working == []


def test_rule_10_a_ladder_whose_rungs_all_round_to_zero_is_skipped():
    document = long_only(
        entry={"type": "limit", "price": "close - 1"},
        orders={"count": 3, "step": 1},
        size={"quantity": 2},
    )
    got = run(document, daily_bars([flat(100, BUY), flat(100)]))
    assert got.reasons[0] == "size_rounds_to_zero"
    assert got.working == []


def test_rule_10_prices_sent_for_a_long_are_rounded_away_from_advantage():
    """Entry bought up to 99.95, stop and target sold down."""
    document = long_only(
        entry={"type": "limit", "price": 99.92, "time_in_force": "gtc"},
        exit={"stop_loss": 3.01, "profit_target": 3.04},
    )
    bars = daily_bars([flat(100, BUY), (100, 100, 99, 99.9)], tick=0.05)
    got = run(document, bars)
    assert got.fills[0].price == pytest.approx(99.95)
    # 99.95 - 3.01 = 96.94 and 99.95 + 3.04 = 102.99
    stop, target = got.working
    assert stop.stop_price == pytest.approx(96.90)
    assert target.limit_price == pytest.approx(102.95)


def test_rule_10_prices_sent_for_a_short_are_rounded_away_from_advantage():
    document = short_only(
        entry={"type": "limit", "price": 100.08, "time_in_force": "gtc"},
        exit={"stop_loss": 3.01, "profit_target": 3.04},
    )
    bars = daily_bars([flat(100, SHORT), (100, 101, 100, 100)], tick=0.05)
    got = run(document, bars)
    assert got.fills[0].price == pytest.approx(100.05)
    # 100.05 + 3.01 = 103.06 and 100.05 - 3.04 = 97.01
    stop, target = got.working
    assert stop.stop_price == pytest.approx(103.10)
    assert target.limit_price == pytest.approx(97.05)


def test_rule_10_each_rung_is_rounded_on_its_own():
    document = long_only(
        entry={"type": "limit", "price": 99.92, "time_in_force": "gtc"},
        orders={"count": 2, "step": 0.08},
    )
    got = run(document, daily_bars([flat(100, BUY), flat(100)], tick=0.05))
    # 99.92 is sent at 99.95; a step of 0.08 below it is 99.87, sent at 99.90.
    assert [w.limit_price for w in got.working] == pytest.approx([99.95, 99.90])


def test_rule_10_fill_prices_taken_from_bars_are_not_rounded():
    bars = daily_bars([flat(100, BUY), flat(100.013)], tick=0.05)
    assert run(long_only(), bars).fills[0].price == 100.013


def test_rule_10_without_a_tick_nothing_is_rounded():
    document = long_only(entry={"type": "limit", "price": 99.923, "time_in_force": "gtc"})
    got = run(document, daily_bars([flat(100, BUY), flat(100)]))
    assert got.working[0].limit_price == 99.923


# Rule 11.


def test_rule_11_commission_is_charged_per_order_over_its_partial_fills():
    """300 shares in parts of 100: the minimum of 1.00 with the first, 0.50 with the last.

    0.005 x 100 = 0.50 is below the minimum, 0.005 x 200 = 1.00 is just paid,
    0.005 x 300 = 1.50 owes 0.50 more.
    """
    rows = [(10, 10, 10, 10, 200)] * 4
    document = long_only(
        enter_long="position == 0",
        exit_long="close < 0",
        entry={"type": "market", "time_in_force": "gtc"},
        size={"quantity": 300},
        max_participation=0.5,
        costs={"commission": {"per_share": 0.005, "minimum": 1}},
    )
    got = run(document, daily_bars(rows))
    assert [f.quantity for f in got.fills] == [100, 100, 100]
    assert got.raw.fills["commission"] == pytest.approx([1.0, 0.0, 0.5])
    assert got.header["total_commission"] == pytest.approx(1.5)
    assert got.header["cash"] == pytest.approx(100_000 - 3000 - 1.5)


def test_rule_11_both_sides_of_a_trade_pay():
    # 2 bp of 10,000 and of 11,000, and 1.00 each: 2.00 + 1 + 2.20 + 1
    document = long_only(costs={"commission": {"bps": 2, "fixed": 1}})
    got = run(document, daily_bars([flat(100, BUY), flat(100, SELL), flat(110)]))
    assert got.raw.trades["commission"] == pytest.approx([6.2])
    assert got.raw.trades["net_profit"] == pytest.approx([1000 - 6.2])


def test_rule_11_slippage_makes_market_orders_worse_on_both_sides():
    # Bought at 100 + 0.1, sold at 110 - 0.11.
    document = long_only(costs={"slippage_bps": 10})
    got = run(document, daily_bars([flat(100, BUY), flat(100, SELL), flat(110)]))
    assert [f.price for f in got.fills] == pytest.approx([100.1, 109.89])
    assert got.raw.fills["slippage"] == pytest.approx([10.0, 11.0])
    assert got.header["total_slippage"] == pytest.approx(21.0)


def test_rule_11_slippage_in_ticks_and_half_the_spread():
    document = short_only(costs={"slippage_ticks": 2, "half_spread": 0.03})
    got = run(document, daily_bars([flat(100, SHORT), flat(100)], tick=0.05))
    assert got.fills[0].price == pytest.approx(100 - 0.1 - 0.03)


def test_rule_11_half_the_spread_is_not_charged_where_the_ask_is_known():
    quotes = {"bid": [(99.0,) * 4] * 2, "ask": [(101.0,) * 4] * 2}
    document = long_only(costs={"half_spread": 0.5})
    got = run(document, daily_bars([flat(100, BUY), flat(100)], **quotes))
    assert got.fills[0].price == 101.0


def test_rule_11_stops_slip_and_limits_do_not():
    document = long_only(
        entry={"type": "limit", "price": 99, "time_in_force": "gtc"},
        exit={"stop_loss": 5},
        costs={"slippage_bps": 10},
    )
    got = run(document, daily_bars([flat(100, BUY), (100, 100, 98, 99), (97, 97, 90, 92)]))
    # The limit fills at 99, the stop of 94 slips by 0.094.
    assert [f.price for f in got.fills] == pytest.approx([99, 94 - 0.094])


def test_rule_11_impact_grows_with_the_share_of_the_bars_volume():
    # 100 of 10,000: 50 bp x sqrt(0.01) = 5 bp of 100.
    document = long_only(
        enter_long="position == 0",
        exit_long="close < 0",
        costs={"volume_impact": {"coefficient_bps": 50}},
    )
    got = run(document, daily_bars([(100, 100, 100, 100, 10_000)] * 2))
    assert got.fills[0].price == pytest.approx(100.05)


def test_rule_11_a_short_pays_borrow_cost_for_the_calendar_days_between_sessions():
    """Short from Thursday's open to Tuesday's; 36.5 % a year is a thousandth a day.

    Night to Friday 100 x 51 x 0.001, the weekend's three days 100 x 52 x 0.003,
    night to Tuesday 100 x 53 x 0.001: 26 in all.
    """
    rows = [flat(50), flat(50), flat(50, SHORT), flat(51), flat(52), flat(53, COVER)]
    rows += [flat(53), flat(54)]
    got = run(short_only(costs={"borrow_rate": 0.365}), daily_bars(rows))
    assert cash_events(got) == [
        ("borrow_cost", -5.1, 0.365),
        ("borrow_cost", -15.6, 0.365),
        ("borrow_cost", -5.3, 0.365),
    ]
    assert got.header["total_borrow_cost"] == pytest.approx(26.0)
    # Sold at 51, bought back at 53.
    assert got.raw.trades["net_profit"] == pytest.approx([-200 - 26.0])
    assert got.header["cash"] == pytest.approx(100_000 - 226)


def test_rule_11_a_long_pays_no_borrow_cost():
    got = run(long_only(costs={"borrow_rate": 0.365}), daily_bars([flat(50, BUY)] + [flat(50)] * 4))
    assert cash_events(got) == []


# Rule 12.


def test_rule_12_a_split_rescales_a_long_and_its_exits_and_pays_the_fraction():
    """101 shares, 3 for 2: 151 and half a share, paid at the last close of 90 / 1.5."""
    rows = [flat(90, BUY), flat(90), flat(90), flat(60), (60, 81, 60, 80), flat(80)]
    document = long_only(size={"quantity": 101}, exit={"stop_loss": 15, "profit_target": 30})
    bars = daily_bars(rows, actions=[(3, 1.5, 0.0)])
    before = run(document, first_bars(bars, 4))
    assert before.position == [0, 101, 101, 151]
    assert before.header["average_entry"] == pytest.approx(60)
    assert before.working == [
        Working("stop_loss", "sell", 151, pytest.approx(np.nan, nan_ok=True), 50),
        Working("profit_target", "sell", 151, 80, pytest.approx(np.nan, nan_ok=True)),
    ]
    assert cash_events(before) == [("split_fraction", 30.0, 1.5)]
    assert before.header["cash"] == pytest.approx(100_000 - 9090 + 30)
    assert before.header["last_equity"] == pytest.approx(100_000)

    got = run(document, bars)
    assert got.fills[1] == Filled(4, "sell", 151, 80, "profit_target")
    # 151 x 80 + 30 - 101 x 90
    assert got.raw.trades["net_profit"] == pytest.approx([3020])


def test_rule_12_a_split_without_a_fraction_leaves_no_cash_event():
    bars = daily_bars([flat(90, BUY), flat(90), flat(45)], actions=[(2, 2.0, 0.0)])
    got = run(long_only(), bars)
    assert got.position == [0, 100, 200]
    assert cash_events(got) == []
    assert got.header["last_equity"] == 100_000


def test_rule_12_a_split_of_a_short_is_charged_the_fraction():
    rows = [flat(90, SHORT), flat(90), flat(60)]
    bars = daily_bars(rows, actions=[(2, 1.5, 0.0)])
    got = run(short_only(size={"quantity": 101}), bars)
    assert got.position[-1] == -151
    assert cash_events(got) == [("split_fraction", -30.0, 1.5)]
    assert got.header["last_equity"] == pytest.approx(100_000)


def test_rule_12_a_reverse_split_that_leaves_no_share_closes_the_trade():
    # 5 shares, 1 for 10: half of a share at 90 x 10.
    rows = [flat(90, BUY), flat(90), flat(900), flat(900, BUY), flat(900)]
    bars = daily_bars(rows, actions=[(2, 0.1, 0.0)])
    got = run(long_only(size={"quantity": 5}, exit={"stop_loss": 15}), bars)
    assert cash_events(got)[0] == ("split_fraction", 450.0, 0.1)
    assert got.position == [0, 5, 0, 0, 5]
    assert got.header["n_trades"] == 1
    assert got.ended[1] == Ended("stop_loss", "sell", 0, 0, "cancelled", "bracket_closed")


def test_rule_12_a_split_rescales_the_trailing_stop_and_the_price_it_follows():
    # The high of 100 put the stop 10 below it, at 90: 45 after 2 for 1.
    rows = [flat(95, BUY), (95, 100, 94, 98), (49, 49.5, 48, 49), (49, 52, 49, 51)]
    bars = daily_bars(rows, actions=[(2, 2.0, 0.0)])
    document = long_only(exit={"trailing_stop": 10})
    got = run(document, first_bars(bars, 3))
    assert [(w.leaves, w.stop_price) for w in got.working] == [(200, 45)]
    # A new high of 52 moves it by half of the distance it had: 47.
    assert [w.stop_price for w in run(document, bars).working] == [47]


def test_rule_12_a_split_rescales_working_entries_and_the_distances_of_their_exits():
    entry = {"type": "limit", "price": 80, "time_in_force": "gtc"}
    leave = {"stop_loss": 10, "profit_target": 20, "break_even": {"at": 12, "offset": 2}}
    rows = [flat(90, BUY), flat(90), flat(45), (41, 42, 39, 41)]
    bars = daily_bars(rows, actions=[(2, 2.0, 0.0)])
    document = long_only(entry=entry, exit=leave)
    waiting = run(document, first_bars(bars, 3))
    assert [(w.leaves, w.limit_price) for w in waiting.working] == [(200, 40)]
    got = run(document, bars)
    assert got.fills == [Filled(3, "buy", 200, 40, "entry")]
    stop, target = got.working
    assert (stop.stop_price, target.limit_price) == (35, 50)


@pytest.mark.parametrize(
    ("quantity", "ratio", "left"),
    [
        # 33, 33 and 35 of 101 are 49, 49 and 52 of 151 after 3 for 2: the last takes one more.
        (101, 1.5, [49, 49, 53]),
        # Of 1, 1 and 1 nothing is left by 1 for 2, but of 3 one is.
        (3, 0.5, [1]),
    ],
)
def test_rule_12_the_last_target_takes_what_a_split_leaves(quantity, ratio, left):
    targets = [{"at": k, "close": share} for k, share in ((20, 0.33), (30, 0.33), (40, 0.34))]
    rows = [flat(90, BUY), flat(90), flat(90 / ratio)]
    document = long_only(
        size={"quantity": quantity}, exit={"stop_loss": 15, "profit_target": targets}
    )
    got = run(document, daily_bars(rows, actions=[(2, ratio, 0.0)]))
    stop, *working = got.working
    assert [w.leaves for w in working] == left
    assert stop.leaves == got.position[-1] == sum(left)


def test_rule_12_a_split_rescales_the_move_to_break_even():
    """Bought at 100: at 110 the stop moves to 102, which are 55 and 51 after 2 for 1."""
    document = long_only(exit={"break_even": {"at": 10, "offset": 2}})
    rows = [flat(100, BUY), flat(100), (52, 54.9, 52, 53), (53, 54, 50, 52), (52, 55, 52, 54)]
    bars = daily_bars([*rows, (54, 54, 50, 50)], actions=[(2, 2.0, 0.0)])
    got = run(document, bars)
    assert got.fills[1:] == [Filled(5, "sell", 200, 51, "stop_loss")]


def test_rule_12_the_extremes_of_a_trade_are_in_todays_prices():
    """110 and 95 before 2 for 1 are 55 and 47.5."""
    rows = [flat(100, BUY), (100, 110, 95, 100), (50, 54, 48, 50, SELL), flat(50)]
    got = run(long_only(), daily_bars(rows, actions=[(2, 2.0, 0.0)]))
    assert (got.raw.trades["high"].tolist(), got.raw.trades["low"].tolist()) == ([55], [47.5])


def test_rule_12_a_share_of_the_entry_is_not_rescaled_twice():
    rows = [flat(90, BUY), flat(80), flat(40)]
    bars = daily_bars(rows, actions=[(2, 2.0, 0.0)])
    got = run(long_only(exit={"stop_loss": "10%", "profit_target": "25%"}), bars)
    stop, target = got.working
    assert (stop.stop_price, target.limit_price) == (36, 50)


def test_rule_12_a_split_of_a_half_filled_entry_keeps_the_rest_working():
    # 40 of 100 filled: 80 held and 120 to come after 2 for 1.
    rows = [(90, 90, 90, 90, 80), (90, 90, 90, 90, 80), (45, 45, 45, 45, 0), (45, 45, 45, 45, 900)]
    document = long_only(
        enter_long="position == 0",
        exit_long="close < 0",
        entry={"type": "market", "time_in_force": "gtc"},
        max_participation=0.5,
        exit={"stop_loss": 20},
    )
    bars = daily_bars(rows, actions=[(2, 2.0, 0.0)])
    got = run(document, first_bars(bars, 3))
    assert got.position == [0, 40, 80]
    assert [(w.role, w.leaves) for w in got.working] == [("entry", 120), ("stop_loss", 80)]
    done = run(document, bars)
    assert done.position[-1] == 200
    assert [(w.role, w.leaves, w.stop_price) for w in done.working] == [("stop_loss", 200, 35)]


def test_rule_12_a_trade_over_a_split_fraction_reports_its_average_entry_in_new_shares():
    """Bought at 90, 3 for 2: the average entry is 60, whatever became of the half share."""
    rows = [flat(90, BUY), flat(90), flat(60, SELL), flat(66)]
    bars = daily_bars(rows, actions=[(2, 1.5, 0.0)])
    trade = run(long_only(size={"quantity": 3}), bars).raw.trades[0]
    # 4 shares are sold at 66, half a share was paid at 60: 264 + 30 - 270.
    assert trade["net_profit"] == pytest.approx(24)
    assert trade["entry_notional"] / trade["entry_lots"] == pytest.approx(60)


def test_rule_12_dividends_are_paid_to_longs_and_charged_to_shorts():
    action = [(2, 1.0, 0.5)]
    long = run(long_only(), daily_bars([flat(90, BUY), flat(90), flat(89.5)], actions=action))
    assert cash_events(long) == [("dividend", 50.0, 0.5)]
    assert long.header["last_equity"] == pytest.approx(100_000)
    short = run(short_only(), daily_bars([flat(90, SHORT), flat(90), flat(89.5)], actions=action))
    assert cash_events(short) == [("dividend", -50.0, 0.5)]
    assert short.header["last_equity"] == pytest.approx(100_000)


def test_rule_12_who_buys_at_the_ex_dates_open_gets_no_dividend_and_who_sells_there_does():
    action = [(1, 1.0, 0.5)]
    bought = run(long_only(), daily_bars([flat(90, BUY), flat(90)], actions=action))
    assert cash_events(bought) == []
    rows = [flat(90, BUY), flat(90, SELL), flat(90)]
    sold = run(long_only(), daily_bars(rows, actions=[(2, 1.0, 0.5)]))
    assert cash_events(sold) == [("dividend", 50.0, 0.5)]
    # The dividend belongs to the trade.
    assert sold.raw.trades["net_profit"] == pytest.approx([50.0])


def test_rule_12_a_dividend_on_the_day_of_a_split_is_for_the_old_shares():
    bars = daily_bars([flat(90, BUY), flat(90), flat(44.5)], actions=[(2, 2.0, 1.0)])
    got = run(long_only(), bars)
    assert cash_events(got) == [("dividend", 100.0, 1.0)]
    assert got.header["last_equity"] == pytest.approx(100_000)


def test_rule_12_kernels_see_no_jump_and_speak_in_todays_prices():
    rows = [flat(100, 1000), flat(102, 2000), flat(51, 2000), flat(50, 4000)]
    bars = daily_bars(rows, actions=[(2, 2.0, 0.0)])
    document = strategy(
        enter_long="close < 0",
        indicators={
            "mean": "sma(close, 2)",
            "volumes": "sma(volume, 2)",
            "before": "close[1]",
            "change": "roc(close, 1)",
        },
    )
    linked = link(document, bars)
    got = {c.name: linked.feed.matrix[c.row] for c in linked.strategy.indicators}
    assert got["mean"][1:] == pytest.approx([101, 51, 50.5])
    assert got["volumes"][1:] == pytest.approx([1500, 3000, 3000])
    assert got["before"][1:] == pytest.approx([100, 51, 51])
    assert got["change"][2] == pytest.approx(0.0, abs=1e-12)


def test_rule_12_a_dividend_is_taken_off_the_prices_before_it():
    # 2 off a close of 102: the day before counts as 100.
    bars = daily_bars([flat(102), flat(101)], actions=[(1, 1.0, 2.0)])
    linked = link(strategy(enter_long="close < 0", indicators={"mean": "sma(close, 2)"}), bars)
    column = linked.feed.matrix[linked.strategy.indicators[0].row]
    assert column[1] == pytest.approx(100.5)


@pytest.mark.parametrize(
    "condition",
    [
        "close >= highest(close, 2)",
        "highest(close, 2) <= close",
        "between(close, highest(close, 2), 1000)",
        "close >= donchian(2).upper",
        "highest(highest(close, 2), 2) == close",
    ],
)
def test_rule_12_a_new_high_is_the_highest_to_the_last_digit(condition):
    """8 cents off 20 make a factor of 20 / 19.92, after which 31.88 × f / f is not 31.88."""
    bars = daily_bars([flat(20), flat(30), flat(31.88)], actions=[(1, 1.0, 0.08)])
    factor = 20 / 19.92
    assert 31.88 * factor / factor != 31.88
    linked = link(strategy(enter_long=condition), bars)
    row = linked.strategy.condition_rows["enter_long"]
    assert linked.feed.flags[row, 2] == TRUE


def test_rule_12_equal_highs_on_both_sides_of_a_dividend_cross_only_once():
    """Above yesterday's highest, today's close was not above its own highest."""
    bars = daily_bars([flat(20), flat(30), flat(31.88), flat(31.88)], actions=[(1, 1.0, 0.08)])
    linked = link(strategy(enter_long="crosses_above(close, highest(close, 2))"), bars)
    row = linked.strategy.condition_rows["enter_long"]
    assert TRUE not in linked.feed.flags[row, 1:].tolist()


def test_rule_12_a_split_is_no_crossing_of_a_level():
    """From 150 to 75 by 2 for 1: yesterday was at 75 in today's prices, below 100 as today."""
    rows = [flat(150), flat(150), flat(75), flat(101), flat(99)]
    bars = daily_bars(rows, actions=[(2, 2.0, 0.0)])
    document = strategy(
        enter_long="crosses_below(close, 100)", enter_short="crosses_above(close, 100)"
    )
    linked = link(document, bars)
    crossed = {
        name: (linked.feed.flags[row] == TRUE).tolist()
        for name, row in linked.strategy.condition_rows.items()
    }
    assert crossed["enter_long"] == [False, False, False, False, True]
    assert crossed["enter_short"] == [False, False, False, True, False]


def test_rule_12_a_rescaled_price_is_rounded_to_the_tick_away_from_advantage():
    # A stop of 96.95 is 32.3167 after 3 for 1, and is sold down.
    bars = daily_bars([flat(100, BUY), flat(100), flat(33.5)], tick=0.05, actions=[(2, 3.0, 0.0)])
    got = run(long_only(exit={"stop_loss": 3.05}), bars)
    assert [w.stop_price for w in got.working] == pytest.approx([32.30])


def adjusted_as_of(bars: Bars, t: int) -> Bars:
    """Return the bars up to t in the prices and shares of bar t, without actions.

    The usual back-adjustment: a split of r divides earlier prices by r and
    multiplies earlier volumes; a dividend of D multiplies earlier prices by
    1 - D / (close before).
    """
    part = replace(first_bars(bars, t + 1), actions=np.zeros(0, ACTION))
    prices = part.prices.copy()
    for action in bars.actions:
        i = int(action["i_bar"])
        if i > t:
            continue
        close = bars.prices[3, i - 1]
        prices[:4, :i] *= (1.0 - action["dividend"] / close) / action["split_ratio"]
        prices[4, :i] *= action["split_ratio"]
    return replace(part, prices=prices)


KERNELS = {
    f"{spec.name}_{k}": f"{spec.name}({', '.join(args)})" + (f".{output}" if k else "")
    for spec in INDICATORS.values()
    for args in [[*(["close"] if "series" in spec.inputs else [])]]
    for k, output in enumerate(spec.outputs)
}
COMPOSED = {
    "nested": "ema(rsi(close, 5) * close, 4)",
    "money": "sma(close * volume, 5)",
    "ratio": "atr(5) / close[3]",
    "range": "highest(high, 10) - lowest(low, 10)",
    "volumes": "volume / sma(volume, 7)",
    "shares": "obv() - obv()[4]",
    "week": "ema(close, 3) @ 1w",
    "week_high": "highest(high, 2) @ 1w - close",
    "week_volume": "sma(volume, 2) @ 1w",
    "rose": "rising(close, 2)",
    "crossed": "crosses_above(ema(close, 3), ema(close, 8))",
    "recently": "within(close > open[1], 3)",
    "squared": "sma(close * close, 5) - sma(close, 5) * sma(close, 5)",
}


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=3, deadline=None)
def test_rule_12_indicators_and_decisions_are_those_of_bars_adjusted_as_of_each_date(seed):
    draw = np.random.default_rng(seed)
    n = 130
    bars = random_bars(seed, n, volume=1000.0, periods=("1w",))
    # Prices that tie nowhere, not within a bar either, so that a rounding of the last
    # digit decides nothing: a shadow as long as the body made a hammer of some.
    prices = bars.prices * (1.0 + 0.001 * draw.random(bars.prices.shape))
    prices[1] = np.maximum(prices[1], prices[:4].max(axis=0) * (1.0 + 0.001 * draw.random(n)))
    prices[2] = np.minimum(prices[2], prices[:4].min(axis=0) * (1.0 - 0.001 * draw.random(n)))
    prices[4] = np.round(draw.uniform(500, 1500, n))
    actions = np.zeros(4, ACTION)
    actions["i_bar"] = np.sort(draw.choice(np.arange(60, n), 4, replace=False))
    actions["split_ratio"] = [2.0, 1.0, 1.5, 0.1]
    actions["dividend"] = [0.0, 1.25, 0.4, 0.0]
    bars = replace(bars, prices=prices, actions=actions)
    document = strategy(
        indicators=KERNELS | COMPOSED,
        enter_long="crosses_above(close, ema(close, 5)) and atr(5) < atr(20)",
        exit_long="close < lowest(low, 5)[1] or falling(rsi(close, 5), 2)",
    )
    raw = link(document, bars)
    days = sorted({int(i) + k for i in actions["i_bar"] for k in (0, 3)} | {n - 1})
    for t in [t for t in days if t < n]:
        seen = link(document, adjusted_as_of(bars, t))
        for here, there in zip(raw.strategy.indicators, seen.strategy.indicators, strict=True):
            assert here.name == there.name
            if here.is_flag:
                assert raw.feed.flags[here.row, t] == seen.feed.flags[there.row, t], here.name
                continue
            a, b = raw.feed.matrix[here.row, t], seen.feed.matrix[there.row, t]
            # What is left of a difference of prices is as exact as the prices.
            scale = max(abs(b), 1e-3 * bars.prices[3, t])
            assert (np.isnan(a) and np.isnan(b)) or abs(a - b) <= 1e-9 * scale, (here.name, t)
        for name, row in raw.strategy.condition_rows.items():
            other = seen.strategy.condition_rows[name]
            assert raw.feed.flags[row, t] == seen.feed.flags[other, t], (name, t)


# Rule 13.


def test_rule_13_an_open_position_is_marked_and_is_no_trade():
    got = run(long_only(), daily_bars([flat(100, BUY), flat(100), flat(105)]))
    assert got.position[-1] == 100
    assert got.header["last_equity"] == 100_500
    assert got.header["n_trades"] == 0
    assert len(got.raw.trades) == 0


def test_rule_13_close_at_end_sells_at_the_last_close_with_costs():
    # 105 less 10 bp of slippage; 1.00 for each order.
    document = long_only(
        exit={"close_at_end": True}, costs={"slippage_bps": 10, "commission": {"fixed": 1}}
    )
    got = run(document, daily_bars([flat(100, BUY), flat(100), (103, 106, 102, 105)]))
    assert got.fills[-1] == Filled(2, "sell", 100, pytest.approx(105 - 0.105), "exit")
    assert got.exit_reasons == ["end_of_data"]
    # -0.1 - 0.105 of slippage and 2 of commission
    assert got.raw.trades["net_profit"] == pytest.approx([500 - 20.5 - 2])
    assert got.header["last_equity"] == got.record.equity[-1] == pytest.approx(100_477.5)
    assert got.position[-1] == 0
    assert got.working == []


def test_rule_13_close_at_end_opens_nothing_that_was_decided_at_the_last_close():
    """A reversal at the last close sells what is held; the short has no open to fill at."""
    document = strategy(reverse=True, exit={"close_at_end": True})
    got = run(document, daily_bars([flat(100, BUY), flat(100), flat(105, SHORT)]))
    assert got.position[-1] == 0
    assert [f.side for f in got.fills] == ["buy", "sell"]


def test_rule_13_close_at_end_does_not_add_to_a_position():
    document = long_only(enter_long="volume == 1", pyramiding=1, exit={"close_at_end": True})
    got = run(document, daily_bars([flat(100, BUY), flat(100), flat(105, BUY)]))
    assert got.position[-1] == 0
    assert [f.side for f in got.fills] == ["buy", "sell"]


def test_rule_13_a_trade_runs_from_flat_to_flat():
    """Two entries and two targets are one trade; what is still open is none."""
    document = long_only(
        pyramiding=1,
        exit={"profit_target": [{"at": 5, "close": 0.5}, {"at": 8, "close": 0.5}]},
    )
    rows = [flat(100, BUY), flat(100, BUY), flat(100), (100, 106, 100, 106), (106, 109, 106, 108)]
    got = run(document, daily_bars(rows))
    assert [f.quantity for f in got.fills] == [100, 100, 50, 50, 50, 50]
    assert got.header["n_trades"] == 1
    # 100 x 5 + 100 x 8
    assert got.raw.trades["net_profit"] == pytest.approx([1300])
    assert got.raw.trades["largest_lots"] == [200]


def test_rule_13_a_trade_that_ends_even_is_no_win_and_turnover_counts_both_sides():
    got = run(long_only(), daily_bars([flat(100, BUY), flat(100), flat(100, SELL), flat(100)]))
    assert (got.header["n_trades"], got.header["n_wins"]) == (1, 0)
    assert got.header["turnover_notional"] == 20_000
    assert got.header["total_dividends"] == 0


def test_rule_13_a_trades_largest_quantity_stays_when_a_part_is_sold():
    leave = {"profit_target": [{"at": 5, "close": 0.4}]}
    rows = [flat(100, BUY), flat(100), (100, 106, 100, 106, SELL), flat(106)]
    got = run(long_only(exit=leave), daily_bars(rows))
    assert got.position == [0, 100, 60, 0]
    assert got.raw.trades["largest_lots"].tolist() == [100]


def test_rule_13_the_deepest_drawdown_is_a_share_of_the_peak():
    # Equity 10,000, 12,000, 9,000 and 11,000: a quarter of the peak.
    rows = [flat(100, BUY), flat(100), flat(120), flat(90), flat(110)]
    for every_bar in (False, True):
        got = run(long_only(), daily_bars(rows), cash=10_000, every_bar=every_bar)
        assert got.header["max_drawdown"] == pytest.approx(0.25)


def test_rule_11_slippage_counts_the_multiplier():
    # Half a point slipped on each of 100 contracts of 20 a point, bought and sold.
    costs = {"slippage_ticks": 2}
    rows = [flat(100, BUY), flat(100), flat(100, SELL), flat(100)]
    document = long_only(costs=costs)
    got = run(document, daily_bars(rows, multiplier=20.0, tick=0.25))
    assert got.raw.fills["slippage"].tolist() == [1000, 1000]
    assert got.raw.trades["slippage"].tolist() == [2000]
    assert got.header["cash"] == 100_000 - 2000


def test_rule_12_a_dividend_charged_to_a_short_can_be_the_lowest_cash():
    # 99 units short at 1 leave 100 + 99 of cash; a dividend of 3 takes 297.
    rows = [flat(1, SHORT), flat(1), flat(1)]
    document = short_only(size={"quantity": 99})
    got = run(document, daily_bars(rows, actions=[(2, 1.0, 3.0)]), cash=100)
    assert got.header["lowest_cash"] == 100 + 99 - 297
    assert got.header["total_dividends"] == -297
