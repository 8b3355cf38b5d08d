"""Delistings: the end of an instrument in the engine (rules 12 and 13).

A delisting is an action with the split ratio 0: after the close of its bar no
share is left, and the dividend is what was paid for each.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import DataError
from tests.parity.comparing import assert_steps_equal_the_run
from tests.parity.material import documents, made_bars
from tests.trading.making import (
    BUY,
    SELL,
    SHORT,
    Ended,
    Filled,
    daily_bars,
    first_bars,
    intraday_bars,
    link,
    long_only,
    random_bars,
    run,
    short_only,
    strategy,
)
from trading import codes
from trading.bars import ACTION, NO_SHARES, Bars
from trading.document import document_from
from trading.explaining import position_facts
from trading.expressions.strategy import resolve_strategy
from trading.stepping import SteppedSleeve
from trading.sweep import run_sweep


def flat(price: float, mark: float = 0.0) -> tuple[float, ...]:
    return (price, price, price, price, mark)


def cash_events(got) -> list[tuple[str, float, float]]:
    """Return kind, amount and rate of each cash event."""
    return [
        (codes.CASH_EVENTS[row["kind"]], float(row["amount"]), float(row["rate"]))
        for row in got.raw.cash_events
    ]


def delisted_after(i_bar: int, value: float) -> list[tuple[int, float, float]]:
    return [(i_bar, NO_SHARES, value)]


def test_a_long_is_paid_the_cash_of_an_acquisition_after_the_last_close():
    """100 shares bought at 90 are paid 95 each: 500 earned, no costs, no fill."""
    bars = daily_bars([flat(90, BUY), flat(90), flat(94)], actions=delisted_after(2, 95.0))
    document = long_only(costs={"commission": {"fixed": 1}, "slippage_bps": 10})
    got = run(document, bars)
    assert got.fills == [Filled(1, "buy", 100, pytest.approx(90.09), "entry")]
    assert cash_events(got) == [("delisting", 9500.0, 95.0)]
    assert got.position == [0, 100, 0]
    # 9 of slippage and 1 of commission for the purchase alone.
    assert got.header["cash"] == pytest.approx(100_000 + 500 - 10)
    assert got.record.equity[-1] == got.header["cash"]
    trade = got.raw.trades[0]
    assert got.exit_reasons == ["delisted"]
    assert trade["net_profit"] == pytest.approx(490)
    assert (trade["exit_notional"] / trade["exit_lots"], trade["exit_bar"]) == (95, 2)
    assert trade["exit_ts"] == bars.close_ts[2]


def test_shares_of_a_bankrupt_company_are_worth_nothing_to_a_long_and_all_to_a_short():
    rows = [flat(2, BUY), flat(2), flat(1)]
    long = run(long_only(), daily_bars(rows, actions=delisted_after(2, 0.0)))
    assert cash_events(long) == [("delisting", 0.0, 0.0)]
    assert long.raw.trades["net_profit"].tolist() == [-200]
    assert long.header["last_equity"] == 99_800
    # The worst price of the trade is what became of it.
    assert long.raw.trades["low"].tolist() == [0]
    rows = [flat(2, SHORT), flat(2), flat(1)]
    short = run(short_only(), daily_bars(rows, actions=delisted_after(2, 0.0)))
    assert short.raw.trades["net_profit"].tolist() == [200]
    assert short.position[-1] == 0


def test_a_short_pays_the_value_of_an_acquisition():
    rows = [flat(90, SHORT), flat(90), flat(94)]
    got = run(short_only(), daily_bars(rows, actions=delisted_after(2, 95.0)), cash=10_000)
    assert cash_events(got) == [("delisting", -9500.0, 95.0)]
    assert got.raw.trades["net_profit"].tolist() == [-500]
    assert got.header["lowest_cash"] == got.header["cash"] == 9500


def test_the_last_session_still_trades_and_what_still_works_is_cancelled_after_it():
    """A target of 5 fills on the last day for half; its rest, the stop and a rung end."""
    document = long_only(
        entry={"type": "limit", "price": "close - 1", "time_in_force": "gtc"},
        orders={"count": 2, "step": 30, "weights": [1, 1]},
        exit={"stop_loss": 20, "profit_target": [{"at": 5, "close": 0.5}, {"at": 9, "close": 0.5}]},
    )
    rows = [flat(100, BUY), (99, 99, 98, 99), (99, 105, 99, 104)]
    got = run(document, daily_bars(rows, actions=delisted_after(2, 110.0)))
    assert got.fills == [
        Filled(1, "buy", 50, 99, "entry"),
        Filled(2, "sell", 25, 104, "profit_target"),
    ]
    assert [x for x in got.ended if x.reason == "delisted"] == [
        Ended("stop_loss", "sell", 25, 0, "cancelled", "delisted"),
        Ended("profit_target", "sell", 25, 0, "cancelled", "delisted"),
    ]
    assert got.working == []
    assert cash_events(got) == [("delisting", 2750.0, 110.0)]
    # 25 x 5 + 25 x 11
    assert got.raw.trades["net_profit"].tolist() == [400]


def test_a_working_entry_is_cancelled_and_nothing_is_entered_any_more():
    """Bars that go on, as of an over-the-counter market, are marked with the reason."""
    document = long_only(
        enter_long="close > 0", exit_long="close < 0",
        entry={"type": "limit", "price": "close - 10", "time_in_force": "gtc"},
    )  # fmt: skip
    rows = [flat(100), flat(100), flat(50), flat(50)]
    got = run(document, daily_bars(rows, actions=delisted_after(1, 100.0)))
    assert got.ended == [Ended("entry", "buy", 100, 0, "cancelled", "delisted")]
    assert got.fills == []
    assert got.reasons == ["", "delisted", "delisted", "delisted"]
    assert got.actions == ["enter_long", "", "", ""]
    assert cash_events(got) == []


def test_an_exit_that_was_decided_before_the_last_session_fills_at_its_open():
    bars = daily_bars([flat(90, BUY), flat(90, SELL), flat(94)], actions=delisted_after(2, 50.0))
    got = run(long_only(), bars)
    assert got.fills[-1] == Filled(2, "sell", 100, 94, "exit")
    assert got.exit_reasons == ["exit_condition"]
    assert cash_events(got) == []


def test_a_split_and_a_dividend_of_the_last_session_come_before_its_end():
    """100 become 200 with 1.00 paid on each old share; each new share is paid 45."""
    actions = [(2, 2.0, 1.0), *delisted_after(2, 45.0)]
    got = run(long_only(), daily_bars([flat(90, BUY), flat(90), flat(44)], actions=actions))
    assert cash_events(got) == [("dividend", 100.0, 1.0), ("delisting", 9000.0, 45.0)]
    assert got.raw.trades["net_profit"].tolist() == [100]


def test_the_multiplier_and_the_lot_count_in_what_is_paid():
    bars = daily_bars(
        [flat(20, BUY), flat(20), flat(20)], actions=delisted_after(2, 21.0),
        multiplier=50.0, lot=2.0,
    )  # fmt: skip
    got = run(long_only(size={"quantity": 10}), bars)
    assert cash_events(got) == [("delisting", 10 * 50 * 21.0, 21.0)]
    # 10 contracts of 50 gain a point.
    assert got.raw.trades["net_profit"].tolist() == [500]


def test_pyramids_of_brackets_all_end():
    document = long_only(
        enter_long="volume == 1", exit_long="volume == 2", pyramiding=2, exit={"stop_loss": 50}
    )
    rows = [flat(100, BUY), flat(100, BUY), flat(100, BUY), flat(100)]
    got = run(document, daily_bars(rows, actions=delisted_after(3, 80.0)))
    assert got.position == [0, 100, 200, 0]
    assert [x.reason for x in got.ended if x.role == "stop_loss"] == ["delisted"] * 3
    assert got.raw.trades["net_profit"].tolist() == [-300 * 20]


def test_a_delisting_is_no_split_to_indicators():
    bars = daily_bars([flat(100), flat(102), flat(104)], actions=delisted_after(2, 50.0))
    document = strategy(enter_long="close < 0", indicators={"mean": "sma(close, 2)"})
    linked = link(document, bars)
    column = linked.feed.matrix[linked.strategy.indicators[0].row]
    assert column[1:].tolist() == [101, 103]


def test_facts_of_the_position_end_with_it():
    bars = daily_bars([flat(90, BUY), flat(90), flat(94), flat(94)], actions=delisted_after(2, 95))
    got = run(long_only(), bars)
    average, held = position_facts(got.raw, got.linked.feed)
    assert held.tolist() == [0, 1, 0, 0]
    assert average[1] == 90
    assert np.isnan(average[2:]).all()


def test_close_at_the_end_of_data_finds_nothing_to_close():
    bars = daily_bars([flat(90, BUY), flat(90), flat(94)], actions=delisted_after(2, 95.0))
    got = run(long_only(exit={"close_at_end": True}), bars)
    assert got.exit_reasons == ["delisted"]
    assert len(got.fills) == 1


def test_an_intraday_series_ends_with_the_bar_of_its_delisting():
    days = [[flat(90, BUY), flat(90), flat(91)], [flat(92), flat(93), flat(93)]]
    bars = intraday_bars(days, "1h", actions=delisted_after(5, 95.0))
    got = run(long_only(timeframe="1h"), bars)
    assert got.position == [0, 100, 100, 100, 100, 0]
    assert got.raw.trades["exit_ts"].tolist() == [int(bars.close_ts[5])]


def test_before_the_delisting_a_run_is_the_run_that_knows_nothing_of_it():
    """Rule 1: cutting the bars before it changes no decision up to the cut."""
    rows = [flat(90, BUY), flat(91), flat(92), flat(93), flat(94)]
    bars = daily_bars(rows, actions=delisted_after(4, 10.0))
    whole, cut = run(long_only(), bars), run(long_only(), first_bars(bars, 4))
    assert whole.record.equity[:4].tolist() == cut.record.equity.tolist()
    assert whole.reasons[:4] == cut.reasons


def with_delisting(bars: Bars, i_bar: int, value: float) -> Bars:
    """Return bars whose instrument is delisted after a bar; later actions are dropped."""
    kept = bars.actions[bars.actions["i_bar"] <= i_bar]
    return replace(bars, actions=np.append(kept, np.array([(i_bar, NO_SHARES, value)], ACTION)))


@given(
    document=documents(),
    bars=made_bars(),
    at=st.integers(20, 119),
    value=st.sampled_from([0.0, 3.5, 100.0, 400.0]),
)
@settings(max_examples=25, deadline=None)
def test_a_delisted_sleeve_stepped_bar_by_bar_gives_the_same_bits(document, bars, at, value):
    whole = assert_steps_equal_the_run(document, with_delisting(bars, at, value))
    assert whole.header["lots"] == 0
    assert whole.header["n_working"] == 0
    assert codes.REASONS[whole.record.reasons[-1]] == "delisted"
    assert (whole.record.lots[at:] == 0).all()


@given(document=documents(), bars=made_bars(), at=st.integers(20, 119))
@settings(max_examples=15, deadline=None)
def test_a_run_that_passes_over_bars_gives_the_bits_of_one_that_looks_at_each(document, bars, at):
    bars = with_delisting(bars, at, 77.0)
    quick, slow = run(document, bars), run(document, bars, every_bar=True)
    assert quick.raw.state.tobytes() == slow.raw.state.tobytes()
    for name in ("fills", "order_log", "trades", "cash_events"):
        assert getattr(quick.raw, name).tobytes() == getattr(slow.raw, name).tobytes()
    assert quick.record.equity.tobytes() == slow.record.equity.tobytes()


@given(document=documents(), bars=made_bars(), at=st.integers(20, 119))
@settings(max_examples=15, deadline=None)
def test_cash_of_fills_and_events_adds_up_to_the_cash_that_is_left(document, bars, at):
    got = run(document, with_delisting(bars, at, 12.5))
    fills, policy = got.raw.fills, got.linked.plan["policy"][0]
    value = fills["side"] * fills["lots"] * policy["lot"] * policy["multiplier"] * fills["price"]
    moved = got.raw.cash_events["amount"].sum() - value.sum() - fills["commission"].sum()
    assert got.header["cash"] == pytest.approx(100_000 + moved)
    assert got.raw.trades["net_profit"].sum() == pytest.approx(got.header["cash"] - 100_000)


@pytest.mark.parametrize("targets", [{}, {"profit_target": 3}])
def test_a_sweep_of_a_delisted_instrument_gives_the_run_of_each_set(targets):
    document = strategy(
        parameters={"n": {"default": 3, "low": 2, "high": 20, "step": 1}},
        enter_long="close < sma(close, $n)",
        exit_long="close > highest(high, 4)[1]",
        exit={"stop_loss": 4, **targets},
    )
    bars = with_delisting(random_bars(5, 300), 299, 1.25)
    sets = [{"n": float(n)} for n in range(2, 21)]
    runs = run_sweep(resolve_strategy(document_from(document)), bars, sets, threads=2)
    held = 0
    for row, values in enumerate(sets):
        alone = run(document, bars, values=values)
        for name in alone.header.dtype.names:
            assert runs.headers[row][name].tobytes() == alone.header[name].tobytes(), name
        assert runs.headers[row]["lots"] == 0
        held += alone.exit_reasons[-1] == "delisted"
    assert held > 0


def test_bars_before_an_instruments_first_day_are_refused_by_the_core():
    bars = daily_bars([flat(90)] * 5)  # 2024-01-01 is a Monday.
    early = replace(bars, instrument=replace(bars.instrument, valid_from=date(2024, 1, 2)))
    late = replace(bars, instrument=replace(bars.instrument, valid_to=date(2024, 1, 4)))
    whole = replace(
        bars,
        instrument=replace(bars.instrument, valid_from=date(2024, 1, 1), valid_to=date(2024, 1, 5)),
    )
    with pytest.raises(DataError, match=r"must begin on 2024-01-02.*the first is of 2024-01-01"):
        run(long_only(), early)
    with pytest.raises(DataError, match=r"must end on 2024-01-04.*the last is of 2024-01-05"):
        run(long_only(), late)
    linked = link(long_only(), bars)
    sleeve = SteppedSleeve(linked.linker, linked.plan, 1000.0)
    with pytest.raises(DataError, match="must end on 2024-01-04"):
        next(sleeve.step_bars(late))
    assert run(long_only(), whole).fills == []
