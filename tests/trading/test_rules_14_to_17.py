"""Rules 14 to 17: pre-trade checks, decision rows, flat at the close, capital.

Every figure is worked out in a comment or on sight; the design calls the rules
by these numbers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from market_data.building import bars_from_arrays
from market_data.loading import LoadedBars
from market_data.timeframes import DAY_NS, HOUR_NS
from research.backtest import (
    Backtest,
    BacktestRequest,
    capital_shares,
    check_currencies,
    portfolio_curve,
    run_instrument,
)
from research.writing import decisions_table, summarise_backtest
from tests.trading.making import (
    BUY,
    COVER,
    SELL,
    SHORT,
    Filled,
    daily_bars,
    intraday_bars,
    long_only,
    random_bars,
    run,
    short_only,
    strategy,
    weekday_sessions,
)
from trading.bars import BarFlag, Bars
from trading.codes import REASONS
from trading.document import document_from
from trading.expressions.strategy import bind, resolve_strategy
from trading.instruments import Instrument
from trading.risk import check_market_nb
from trading.sweep import sessions_per_year


def flat(price: float, mark: float = 0.0) -> tuple[float, ...]:
    return (price, price, price, price, mark)


# Rule 14.


def test_rule_14_a_halted_instrument_is_not_entered():
    got = run(long_only(), daily_bars([flat(100, BUY), flat(100)], halted=[0]))
    assert got.reasons[0] == "halted"
    assert got.working == []


def test_rule_14_nothing_is_entered_outside_the_session():
    bars = intraday_bars([[flat(100, BUY), flat(100)]], "30m")
    bars.flags[0] |= BarFlag.OUTSIDE_SESSION
    got = run(long_only(timeframe="30m"), bars)
    assert got.reasons[0] == "outside_session"


def test_rule_14_a_strategy_of_extended_hours_is_inside_its_session_there():
    bars = intraday_bars([[flat(100, BUY), flat(100)]], "30m")
    bars.flags[:] |= BarFlag.OUTSIDE_SESSION
    got = run(long_only(timeframe="30m", session="extended"), bars)
    assert got.actions[0] == "enter_long"
    assert got.position == [0, 100]


def limited(**risk: Any) -> dict[str, Any]:
    return long_only(risk=risk)


@pytest.mark.parametrize(
    ("risk", "reason"),
    [
        ({"max_order_quantity": 99}, "order_quantity_limit"),
        ({"max_order_quantity": 100}, ""),
        ({"max_order_notional": 9999}, "order_notional_limit"),
        ({"max_order_notional": 10_000}, ""),
        # 100 x 100 of 100,000 is a tenth.
        ({"max_position_fraction": 0.0999}, "position_limit"),
        ({"max_position_fraction": 0.1}, ""),
    ],
)
def test_rule_14_an_entry_over_a_limit_is_refused_with_its_reason(risk, reason):
    got = run(limited(**risk), daily_bars([flat(100, BUY), flat(100)]))
    assert got.reasons[0] == reason
    assert len(got.fills) == (0 if reason else 1)


@pytest.mark.parametrize(
    ("price", "reason"), [(94.9, "price_collar"), (95.0, ""), (105.0, ""), (105.1, "price_collar")]
)
def test_rule_14_a_price_outside_the_collar_is_refused(price, reason):
    document = long_only(
        entry={"type": "limit", "price": price, "time_in_force": "gtc"},
        risk={"price_collar": 0.05},
    )
    assert run(document, daily_bars([flat(100, BUY)])).reasons == [reason]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        # Limits at 99, 97 and 95, stops at 101, 103 and 105: the farthest is 5 % away.
        ({"type": "limit", "price": 99}, ""),
        ({"type": "limit", "price": 98.99}, "price_collar"),
        ({"type": "stop", "price": 101}, ""),
        ({"type": "stop", "price": 101.01}, "price_collar"),
        # The limit of the last rung is 1 beyond its stop at 104, or more.
        ({"type": "stop_limit", "price": 100, "limit": 101}, ""),
        ({"type": "stop_limit", "price": 100, "limit": 101.01}, "price_collar"),
    ],
)
def test_rule_14_the_collar_holds_for_the_farthest_rung(entry, reason):
    document = long_only(
        entry=entry | {"time_in_force": "gtc"},
        orders={"count": 3, "step": 2},
        risk={"price_collar": 0.05},
    )
    assert run(document, daily_bars([flat(100, BUY)])).reasons == [reason]


@pytest.mark.parametrize(
    ("risk", "reason"),
    [
        # 100 units as 25, 25 and 50, the last at 98: 4,900 at most.
        ({"max_order_quantity": 50}, ""),
        ({"max_order_quantity": 49}, "order_quantity_limit"),
        ({"max_order_notional": 4900}, ""),
        ({"max_order_notional": 4899}, "order_notional_limit"),
        # The whole ladder of 100 x 100 is a tenth of equity.
        ({"max_position_fraction": 0.1}, ""),
        ({"max_position_fraction": 0.0999}, "position_limit"),
    ],
)
def test_rule_14_limits_of_an_order_hold_for_each_rung_and_the_positions_for_the_ladder(
    risk, reason
):
    document = long_only(
        entry={"type": "limit", "price": 100, "time_in_force": "gtc"},
        orders={"count": 3, "step": 1, "weights": [1, 1, 2]},
        risk=risk,
    )
    got = run(document, daily_bars([flat(100, BUY)]))
    assert got.reasons == [reason]
    assert len(got.working) == (0 if reason else 3)


@pytest.mark.parametrize(("most", "reason"), [(2, "order_rate"), (3, "")])
def test_rule_14_a_ladder_of_more_orders_than_the_minute_allows_is_refused(most, reason):
    document = long_only(
        entry={"type": "limit", "price": 99, "time_in_force": "gtc"},
        orders={"count": 3, "step": 1},
        risk={"max_orders_per_minute": most},
    )
    got = run(document, daily_bars([flat(100, BUY)]))
    assert got.reasons == [reason]
    assert len(got.working) == (0 if reason else 3)


def test_rule_14_the_position_limit_counts_what_is_held():
    # 60 x 100 fit in 10,000, another 60 do not.
    document = long_only(pyramiding=1, size={"quantity": 60}, risk={"max_position_fraction": 1.0})
    got = run(document, daily_bars([flat(100, BUY), flat(100, BUY), flat(100)]), cash=10_000)
    assert got.reasons[1] == "position_limit"
    assert got.position[-1] == 60


def test_rule_14_a_reversal_is_measured_by_the_position_that_it_leads_to():
    """From 60 long to 60 short: never more than 6,000 of 10,000."""
    document = strategy(reverse=True, size={"quantity": 60}, risk={"max_position_fraction": 1.0})
    got = run(document, daily_bars([flat(100, BUY), flat(100, SHORT), flat(100)]), cash=10_000)
    assert got.actions[1] == "reverse"
    assert got.position[-1] == -60


def half_hours(*sessions: list[tuple[float, ...]]) -> Bars:
    return intraday_bars(list(sessions), "30m", session_bars=8)


def losing_day(loss: float) -> Bars:
    """Return a session that gains 1,000 on 100 shares, and one that loses on them.

    The second asks for an entry after the sale, and the third at once.
    """
    price = 110 - loss / 100
    return half_hours(
        [flat(100, BUY), flat(100), flat(110)],
        [flat(110, SELL), flat(price), flat(price, BUY), flat(price)],
        [flat(price, BUY), flat(price)],
    )


def test_rule_14_a_daily_loss_stops_entries_until_the_next_session():
    """3 % of yesterday's closing equity of 11,000 is 330."""
    document = long_only(timeframe="30m", risk={"max_daily_loss": 0.03})
    got = run(document, losing_day(330.0), cash=10_000)
    assert got.reasons[5] == "daily_loss"
    assert got.actions[7] == "enter_long"
    assert [f.bar for f in got.fills] == [1, 4, 8]


def test_rule_14_a_smaller_loss_than_the_limit_stops_nothing():
    """329 are less than 3 % of 11,000, though more than 3 % of the starting cash."""
    document = long_only(timeframe="30m", risk={"max_daily_loss": 0.03})
    got = run(document, losing_day(329.0), cash=10_000)
    assert got.actions[5] == "enter_long"


def test_rule_14_a_daily_loss_in_an_open_position_refuses_a_further_entry():
    document = long_only(timeframe="30m", pyramiding=2, risk={"max_daily_loss": 0.03})
    bars = half_hours([flat(100, BUY), flat(100), flat(97, BUY), flat(99, BUY)])
    got = run(document, bars, cash=10_000)
    # A loss of 300 at the third close holds for the session, whatever comes back.
    assert got.reasons[2:] == ["daily_loss", "daily_loss"]
    assert got.position[-1] == 100


def test_rule_14_a_daily_loss_cancels_entries_that_still_work():
    """No entries until the next session: a rung that still works would be one."""
    document = long_only(
        timeframe="30m",
        entry={"type": "limit", "price": "close - 1", "time_in_force": "gtc"},
        orders={"count": 2, "step": 9},
        size={"quantity": 200},
        risk={"max_daily_loss": 0.03},
    )
    bars = half_hours([flat(100, BUY), (99, 99, 95, 95), (95, 95, 80, 85), flat(85)])
    # 100 bought at 99, marked at 95: a loss of 400 of 10,000.
    got = run(document, bars, cash=10_000)
    assert [f.bar for f in got.fills] == [1]


@pytest.mark.parametrize("every_bar", [False, True])
def test_rule_14_a_daily_loss_made_while_no_condition_is_true_stops_entries(every_bar):
    """The loss is seen at a close at which nothing is decided, and ends with its session."""
    document = long_only(
        timeframe="30m",
        exit={"profit_target": 5},
        risk={"max_daily_loss": 0.03},
    )
    bars = half_hours(
        [flat(100, BUY), flat(100), flat(96), (96, 106, 96, 100), flat(100, BUY), flat(100)],
        [flat(100), flat(100, BUY), flat(100)],
    )
    got = run(document, bars, cash=10_000, every_bar=every_bar)
    # 100 bought at 100 and marked at 96 lose 400 of 10,000; the target then wins 500.
    assert got.reasons[2:6] == ["daily_loss"] * 4
    assert got.reasons[6] == "condition_false"
    assert [fill.bar for fill in got.fills] == [1, 3, 8]


def test_rule_14_a_drawdown_flattens_at_the_next_open_and_stops_the_sleeve():
    """From a peak of 12,000 a tenth is lost at 108."""
    rows = [flat(100, BUY), flat(100), flat(120), flat(108.01), flat(108), flat(107, BUY)]
    rows += [flat(120, BUY), flat(120)]
    got = run(limited(max_drawdown=0.1), daily_bars(rows), cash=10_000)
    assert got.fills == [
        Filled(1, "buy", 100, 100, "entry"),
        Filled(5, "sell", 100, 107, "exit"),
    ]
    assert got.exit_reasons == ["drawdown_stop"]
    assert got.actions[4] == "exit"
    assert got.reasons[4:] == ["drawdown_stop"] * 4
    assert got.header["cash"] == 10_700


def test_rule_14_a_drawdown_cancels_working_entries():
    entry = {"type": "limit", "price": "close - 1", "time_in_force": "gtc"}
    document = long_only(
        entry=entry, orders={"count": 2, "step": 50}, size={"quantity": 200},
        risk={"max_drawdown": 0.1},
    )  # fmt: skip
    got = run(document, daily_bars([flat(100, BUY), flat(98), flat(88), flat(88)]), cash=10_000)
    assert got.position == [0, 100, 100, 0]
    assert got.working == []


def test_rule_14_without_a_risk_key_there_are_no_limits():
    rows = [flat(100, BUY), flat(100), flat(40), flat(40, SELL), flat(40, BUY), flat(40)]
    got = run(long_only(size={"equity_fraction": 20}), daily_bars(rows), cash=10_000)
    assert got.position == [0, 2000, 2000, 2000, 0, 0]
    # Equity is below zero by then, so that nothing can be bought.
    assert got.reasons[4] == "size_rounds_to_zero"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({}, ""),
        ({"halted": True}, "halted"),
        ({"outside_session": True}, "outside_session"),
        ({"data_age_s": 5.1, "max_data_age_s": 5.0}, "stale_data"),
        ({"data_age_s": 5.0, "max_data_age_s": 5.0}, ""),
        ({"data_age_s": 1e9}, ""),
        ({"known_id": True}, "duplicate_id"),
        ({"stage_allows": False}, "lifecycle_stage"),
        ({"stage_allows": False, "halted": True, "known_id": True}, "lifecycle_stage"),
    ],
)
def test_rule_14_what_only_the_present_moment_knows(asked, reason):
    usual = {
        "halted": False,
        "outside_session": False,
        "data_age_s": 0.0,
        "max_data_age_s": 0.0,
        "known_id": False,
        "stage_allows": True,
    }
    assert REASONS[check_market_nb.py_func(**(usual | asked))] == reason


# Rule 15.


def loaded(bars: Bars, first: int = 0) -> LoadedBars:
    return LoadedBars(bars, first, "0" * 64, "made")


def decisions(document: dict[str, Any], bars: Bars, *, first: int = 0, cash: float = 100_000.0):
    resolved = resolve_strategy(document_from(document))
    return decisions_table(run_instrument(resolved, bind(resolved, {}), loaded(bars, first), cash))


def of(table: pa.Table, name: str) -> list[Any]:
    return table[name].to_pylist()


def test_rule_15_every_bar_has_a_row_with_each_conditions_and_terms_value():
    document = long_only(
        indicators={"mean": "sma(close, 2)"},
        enter_long="close > mean and volume == 1",
        exit_long="close < mean",
    )
    rows = [flat(10, 1), flat(11, 0), flat(12, 1), flat(13, 1), flat(9, 1)]
    table = decisions(document, daily_bars(rows))
    assert table.num_rows == 5
    assert of(table, "close") == [10, 11, 12, 13, 9]
    # The mean of two is unknown at the first bar; unknown and true is unknown.
    assert of(table, "enter_long") == [None, False, True, True, False]
    assert of(table, "enter_long[0]: close > mean") == [None, True, True, True, False]
    assert of(table, "enter_long[1]: volume == 1") == [True, False, True, True, True]
    assert of(table, "exit_long") == [None, False, False, False, True]
    assert of(table, "indicator: mean") == pytest.approx(
        [np.nan, 10.5, 11.5, 12.5, 11], nan_ok=True
    )
    assert of(table, "position") == [0, 0, 0, 100, 100]
    assert of(table, "action") == ["", "", "enter_long", "", "exit"]
    assert of(table, "reason") == [
        "warming_up",
        "condition_false",
        "",
        "in_position",
        "exit_condition",
    ]


def test_rule_15_a_condition_that_asks_for_the_position_has_its_value_in_the_row():
    document = long_only(exit_long="close > 20 or bars_in_trade >= 2")
    rows = [flat(10, BUY), flat(10), flat(10), flat(10)]
    table = decisions(document, daily_bars(rows))
    assert of(table, "exit_long") == [False, False, True, False]


def test_rule_15_each_term_that_asks_for_the_position_has_its_value_in_the_row():
    document = long_only(exit_long="close > 5 and bars_in_trade >= 2 and unrealized_return < 0.5")
    rows = [flat(10, BUY), flat(10), flat(10), flat(10)]
    table = decisions(document, daily_bars(rows))
    assert of(table, "exit_long[0]: close > 5") == [True] * 4
    assert of(table, "exit_long[1]: bars_in_trade >= 2") == [False, False, True, False]
    # Without a position there is no return to compare.
    assert of(table, "exit_long[2]: unrealized_return < 0.5") == [None, True, True, None]
    assert of(table, "exit_long") == [False, False, True, False]


def test_rule_15_an_unknown_false_part_decides_before_warm_up_is_over():
    """False and unknown is false: the reason is the condition, not the warm-up."""
    document = long_only(enter_long="volume == 1 and sma(close, 3) > 0")
    table = decisions(document, daily_bars([flat(10, 0), flat(10, 1)]))
    assert of(table, "reason") == ["condition_false", "warming_up"]


def test_rule_15_only_traded_bars_have_rows():
    table = decisions(long_only(), daily_bars([flat(10)] * 5), first=2)
    assert table.num_rows == 3


def test_rule_15_a_working_entry_and_a_cooldown_are_reasons():
    entry = {"type": "limit", "price": 9, "time_in_force": "gtc"}
    document = long_only(entry=entry, cooldown_bars=2)
    rows = [flat(10, BUY), flat(10, BUY), flat(8.5, SELL), flat(8, BUY), flat(8, BUY), flat(8, BUY)]
    table = decisions(document, daily_bars(rows))
    assert of(table, "action") == ["enter_long", "", "exit", "", "", "enter_long"]
    assert of(table, "reason") == [
        "",
        "working_entry",
        "exit_condition",
        "cooldown",
        "cooldown",
        "",
    ]


def test_rule_15_a_size_that_rounds_to_zero_is_a_reason():
    document = long_only(size={"notional": 9})
    assert of(decisions(document, daily_bars([flat(10, BUY)])), "reason") == ["size_rounds_to_zero"]


def test_rule_15_entries_of_both_sides_at_once_conflict():
    document = strategy(enter_long="volume == 1", enter_short="volume == 1")
    table = decisions(document, daily_bars([flat(10, BUY)]))
    assert of(table, "reason") == ["conflicting_entries"]


def test_rule_15_an_instrument_that_cant_be_shorted_says_so():
    table = decisions(short_only(), daily_bars([flat(10, SHORT)], shortable=False))
    assert of(table, "reason") == ["not_shortable"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"entry": {"type": "limit", "price": "sma(close, 2)"}}, "price_unknown"),
        ({"entry": {"type": "limit", "price": "close - 20"}}, "price_unknown"),
        ({"exit": {"stop_loss": "atr(5)"}}, "distance_unknown"),
        ({"exit": {"profit_target": "open - close"}}, "distance_unknown"),
    ],
)
def test_rule_15_a_price_or_distance_that_is_unknown_or_not_above_zero_is_a_reason(given, reason):
    table = decisions(long_only(**given), daily_bars([flat(10, BUY)]))
    assert of(table, "reason") == [reason]
    assert of(table, "action") == [""]


def test_rule_15_a_market_exit_that_waits_for_volume_is_a_reason():
    document = long_only(
        enter_long="position == 0 and close == 10", exit_long="close == 11", max_participation=0.5
    )
    rows = [(10, 10, 10, 10, 400), (10, 10, 10, 10, 400), (11, 11, 11, 11, 400)]
    rows += [(11, 11, 11, 11, 100), (10, 10, 10, 10, 400)]
    table = decisions(document, daily_bars(rows))
    # Half of the 100 leave at bar 3; the exit is asked for once more, and works already.
    assert of(table, "position") == [0, 100, 100, 50, 0]


@pytest.mark.parametrize("seed", range(4))
def test_rule_15_bars_that_are_passed_over_have_the_reasons_of_bars_that_are_looked_at(seed):
    document = strategy(
        enter_long="close < sma(close, 5)",
        exit_long="close > sma(close, 5)",
        enter_short="rising(close, 3)",
        entry={"type": "limit", "offset": 1, "time_in_force": "gtc", "cancel_after_bars": 4},
        exit={"stop_loss": 4, "profit_target": 6},
        cooldown_bars=3,
    )
    document["exit_short"] = "falling(close, 2)"
    bars = random_bars(seed, 300)
    quick, slow = run(document, bars), run(document, bars, every_bar=True)
    assert quick.reasons == slow.reasons
    assert quick.actions == slow.actions
    assert {"cooldown", "working_entry", "in_position", "condition_false"} <= set(quick.reasons)


# Rule 16.

FLAT = {"flat_at_session_close": True}


def test_rule_16_intraday_bars_decide_one_bar_before_the_close_and_fill_at_the_next_open():
    bars = half_hours(
        [flat(100, BUY)] + [flat(100)] * 5 + [flat(101), (102, 103, 101, 103)], [flat(110)]
    )
    got = run(long_only(timeframe="30m", exit=FLAT), bars)
    assert got.actions[6] == "exit"
    assert got.reasons[6] == "session_close"
    assert got.fills[1] == Filled(7, "sell", 100, 102, "exit")
    assert got.exit_reasons == ["session_close"]


def test_rule_16_nothing_is_entered_in_the_last_two_bars_of_a_session():
    bars = half_hours([flat(100)] * 5 + [flat(100), flat(100, BUY), flat(100, BUY)], [flat(100)])
    got = run(long_only(timeframe="30m", exit=FLAT), bars)
    assert got.reasons[6:8] == ["session_closing"] * 2
    assert got.fills == []


def test_rule_16_an_entry_that_still_works_is_cancelled_with_the_session():
    entry = {"type": "limit", "price": 99, "time_in_force": "gtc"}
    rows = [flat(100, BUY)] + [flat(100)] * 6 + [(100, 100, 98, 98)]
    got = run(long_only(timeframe="30m", entry=entry, exit=FLAT), half_hours(rows, [flat(90)]))
    assert got.fills == []
    assert got.working == []


def test_rule_16_daily_bars_fill_at_the_close_of_the_day():
    # 10 bp of 103 are taken off.
    document = long_only(exit=FLAT, costs={"slippage_bps": 10})
    got = run(document, daily_bars([flat(100, BUY), (101, 104, 99, 103), flat(90, BUY), flat(95)]))
    assert [f.price for f in got.fills] == pytest.approx(
        [101 * 1.001, 103 * 0.999, 95 * 1.001, 95 * 0.999]
    )
    assert got.position == [0, 0, 0, 0]
    assert got.exit_reasons == ["session_close"] * 2


def test_rule_16_a_half_day_is_left_before_its_own_close():
    """The second of three sessions has four bars in the place of eight."""
    half = HOUR_NS // 2
    table = weekday_sessions("2024-01-01", 3, length_ns=8 * half)
    start = int(np.searchsorted(table.date, 19723))  # 2024-01-01
    close = table.close.copy()
    close[start + 1] -= 4 * half
    table = replace(table, close=close)
    ts = np.concatenate(
        [table.open[start + k] + np.arange(n) * half for k, n in enumerate((8, 4, 1))]
    )
    price = np.full(len(ts), 100.0)
    volume = np.zeros(len(ts))
    volume[8] = BUY
    bars = bars_from_arrays(
        Instrument("TEST", calendar="TEST"), "30m", ts, price, price, price, price, volume,
        sessions=table,
    )  # fmt: skip
    got = run(long_only(timeframe="30m", exit=FLAT), bars)
    # Bars 8 to 11 are the half day: bought at 9, decided at 10, sold at 11.
    assert [f.bar for f in got.fills] == [9, 11]


def test_rule_16_a_short_is_covered_at_the_close_too():
    got = run(short_only(exit=FLAT), daily_bars([flat(100, SHORT), (101, 104, 99, 103)]))
    assert got.fills[1] == Filled(1, "buy", 100, 103, "exit")


def test_rule_16_an_exit_mark_changes_nothing_once_flat():
    got = run(short_only(exit=FLAT), daily_bars([flat(100, SHORT), flat(100, COVER), flat(100)]))
    assert len(got.fills) == 2


# Rule 17.


def test_rule_17_capital_is_divided_equally_or_by_weights():
    names = ["A", "B", "C"]
    equal = document_from(strategy(instruments=names))
    assert capital_shares(equal, names) == pytest.approx([1 / 3] * 3)
    weighted = document_from(strategy(instruments=names, weights={"A": 2, "B": 1, "C": 1}))
    assert capital_shares(weighted, names) == [0.5, 0.25, 0.25]
    # Among the selected instruments only.
    assert capital_shares(weighted, ["A", "C"]) == pytest.approx([2 / 3, 1 / 3])


def portfolio(document: dict[str, Any], bars: list[Bars], cash: float) -> Backtest:
    decoded = document_from(document)
    resolved = resolve_strategy(decoded)
    bound = bind(resolved, {})
    shares = capital_shares(decoded, [b.instrument.symbol for b in bars])
    sleeves = tuple(
        run_instrument(resolved, bound, loaded(b), cash * share)
        for b, share in zip(bars, shares, strict=True)
    )
    return Backtest(
        BacktestRequest(decoded, cash=cash), resolved, bound, "0" * 64, "0" * 64, "0" * 12, sleeves,
        max(sessions_per_year(b) for b in bars),
    )  # fmt: skip


def two_sleeves() -> Backtest:
    """A trades five days; B has data from the third day on, and a quarter of the money."""
    document = long_only(
        instruments=["A", "B"], weights={"A": 3, "B": 1}, size={"equity_fraction": 1}
    )
    a = daily_bars([flat(100, BUY), flat(100), flat(110), flat(120), flat(110)], symbol="A")
    b = daily_bars([flat(50, BUY), flat(50), flat(60)], symbol="B", first="2024-01-03")
    return portfolio(document, [a, b], 40_000.0)


def test_rule_17_a_sleeve_waits_in_cash_for_its_data_and_nothing_is_rebalanced():
    """A holds 300 shares from day 2 on, B 200 from day 4 on."""
    curve = portfolio_curve(two_sleeves())
    assert curve.equity.tolist() == [
        40_000,
        40_000,
        33_000 + 10_000,
        36_000 + 10_000,
        33_000 + 12_000,
    ]
    assert curve.cash.tolist() == [40_000, 10_000, 10_000, 0, 0]


def test_rule_17_a_sleeve_that_ends_early_stays_at_its_last_value():
    document = long_only(instruments=["A", "B"], size={"equity_fraction": 1})
    a = daily_bars([flat(100, BUY), flat(100), flat(110)], symbol="A")
    b = daily_bars([flat(100)] * 5, symbol="B")
    assert portfolio_curve(portfolio(document, [a, b], 20_000.0)).equity.tolist() == [
        20_000, 20_000, 21_000, 21_000, 21_000,
    ]  # fmt: skip


def test_rule_17_ratios_use_session_end_equity_and_252_days():
    backtest = two_sleeves()
    summary = summarise_backtest(backtest, portfolio_curve(backtest))
    equity = np.array([40_000, 40_000, 40_000, 43_000, 46_000, 45_000])
    returns = equity[1:] / equity[:-1] - 1.0
    assert summary.annualisation == 252
    assert summary.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1) * 252**0.5)
    assert summary.volatility == pytest.approx(returns.std(ddof=1) * 252**0.5)


def test_rule_17_intraday_equity_enters_the_ratios_at_session_ends_only():
    """Within the day the position falls to a half and comes back."""
    document = long_only(timeframe="30m", size={"equity_fraction": 1})
    bars = half_hours(
        [flat(100, BUY), flat(100), flat(50), flat(102)],
        [flat(80), flat(104)],
        [flat(200), flat(103)],
    )
    backtest = portfolio(document, [bars], 10_000.0)
    summary = summarise_backtest(backtest, portfolio_curve(backtest))
    returns = np.array([0.02, 104 / 102 - 1, 103 / 104 - 1])
    assert summary.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1) * 252**0.5)
    # The drawdown is that of every bar: from 20,000 to 10,300, or from 10,000 to 5,000.
    assert summary.max_drawdown == pytest.approx(0.5)


def test_rule_17_an_instrument_that_trades_every_day_has_a_year_of_365():
    days = np.arange(10, dtype=np.int64) + 19723
    price = np.full(10, 100.0)
    crypto = bars_from_arrays(
        Instrument("BTC", calendar="24/7"), "1d", days * DAY_NS, price, price, price, price
    )
    assert sessions_per_year(crypto) == 365
    assert sessions_per_year(daily_bars([flat(100)] * 10)) == 252


def test_rule_17_instruments_of_unlike_currencies_are_refused():
    from foundation.errors import SpecError

    a = loaded(daily_bars([flat(100)], symbol="A"))
    b = loaded(daily_bars([flat(100)], symbol="B", currency="EUR"))
    check_currencies([a, a])
    with pytest.raises(SpecError, match="EUR and USD"):
        check_currencies([a, b])
