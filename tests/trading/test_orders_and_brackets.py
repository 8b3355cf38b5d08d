"""Lives of orders, and what must hold of brackets whatever the bars bring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.making import (
    BUY,
    Filled,
    Run,
    daily_bars,
    first_bars,
    intraday_bars,
    long_only,
    random_bars,
    run,
    step,
    strategy,
)
from trading import dtypes as d
from trading.bars import Bars
from trading.orders import (
    CANCEL,
    EXPIRE,
    FILL_PART,
    FILL_REST,
    IMPOSSIBLE,
    ORDER_LIFE,
    REFUSE,
    SUBMIT,
    next_state_nb,
)
from trading.sleeve import state_bytes

FLAT = (100, 101, 99, 100)
ENDS = {d.FILLED, d.CANCELLED, d.EXPIRED, d.REFUSED}

few = settings(max_examples=25, deadline=None, derandomize=True)


# Orders


def test_ended_orders_lead_nowhere_and_free_slots_only_to_working_orders():
    for (state, trigger), after in ORDER_LIFE.items():
        assert state not in ENDS
        assert (state == d.FREE) == (trigger == SUBMIT)
        assert after in ENDS or after in (d.WORKING, d.PARTIALLY_FILLED)


def test_order_life_has_each_end_for_its_trigger_alone():
    ends = {FILL_REST: d.FILLED, CANCEL: d.CANCELLED, EXPIRE: d.EXPIRED, REFUSE: d.REFUSED}
    for (_, trigger), after in ORDER_LIFE.items():
        assert ends.get(trigger, after) == after
    assert ORDER_LIFE[d.WORKING, FILL_PART] == d.PARTIALLY_FILLED


def test_moves_that_the_table_does_not_list_are_impossible():
    for state in range(7):
        for trigger in range(6):
            after = int(next_state_nb.py_func(state, trigger))
            assert after == ORDER_LIFE.get((state, trigger), IMPOSSIBLE)


def limit_at_95(rows, **entry):
    made = run(
        long_only(entry={"type": "limit", "price": 95} | entry), daily_bars([(*FLAT, BUY), *rows])
    )
    return made


QUIET, REACHED = (100, 101, 96, 100), (100, 101, 94, 100)


def test_day_order_on_daily_bars_works_on_the_next_bar_alone():
    assert limit_at_95([REACHED]).fills == [Filled(1, "buy", 100, 95, "entry")]
    made = limit_at_95([QUIET, REACHED])
    assert made.fills == []
    assert [(x.state, x.reason) for x in made.ended] == [("expired", "day_ended")]


def test_gtc_order_works_until_it_fills():
    made = limit_at_95([QUIET] * 9 + [REACHED], time_in_force="gtc")
    assert made.fills == [Filled(10, "buy", 100, 95, "entry")]


@pytest.mark.parametrize(("bar", "fills"), [(1, True), (2, True), (3, True), (4, False)])
def test_cancel_after_three_bars_works_on_the_next_three(bar, fills):
    rows = [REACHED if k == bar else QUIET for k in range(1, 6)]
    made = limit_at_95(rows, time_in_force="gtc", cancel_after_bars=3)
    assert made.fills == ([Filled(bar, "buy", 100, 95, "entry")] if fills else [])
    if not fills:
        assert [(x.state, x.reason) for x in made.ended] == [("expired", "cancel_after_bars")]


def test_new_entry_is_considered_at_the_close_at_which_the_old_one_expires():
    # Decided at the close of bar 0, works on bars 1 and 2; decided again at the close of bar 2.
    entry = {"type": "limit", "price": 50, "time_in_force": "gtc", "cancel_after_bars": 2}
    made = run(strategy(enter_long="true", entry=entry), daily_bars([FLAT] * 5))
    assert made.actions == ["enter_long", "", "enter_long", "", "enter_long"]


def intraday(sessions, **entry):
    document = long_only(timeframe="1h", entry={"type": "limit", "price": 95} | entry)
    return run(document, intraday_bars(sessions, "1h"))


def test_day_order_works_to_the_end_of_the_session_it_was_decided_in():
    made = intraday([[(*FLAT, BUY), QUIET, QUIET, REACHED], [QUIET] * 4])
    assert made.fills == [Filled(3, "buy", 100, 95, "entry")]
    made = intraday([[(*FLAT, BUY), QUIET, QUIET, QUIET], [REACHED] * 4])
    assert made.fills == []


def test_day_order_decided_at_a_sessions_last_close_works_through_the_next_session():
    last = [QUIET, QUIET, QUIET, (*FLAT, BUY)]
    made = intraday([last, [QUIET, QUIET, QUIET, REACHED], [QUIET] * 4])
    assert made.fills == [Filled(7, "buy", 100, 95, "entry")]
    made = intraday([last, [QUIET] * 4, [REACHED] * 4])
    assert made.fills == []
    assert [(x.state, x.reason) for x in made.ended] == [("expired", "day_ended")]


def test_day_order_ends_with_its_session_though_the_last_bar_is_missing():
    made = intraday([[(*FLAT, BUY), QUIET, QUIET, None], [REACHED] * 4])
    assert made.fills == []
    assert [x.reason for x in made.ended] == ["day_ended"]


def test_day_order_decided_before_a_halt_ends_with_its_own_session():
    bars = intraday_bars([[(*FLAT, BUY), QUIET, None], [REACHED] * 3], "1h", halted=[1])
    document = long_only(timeframe="1h", entry={"type": "limit", "price": 95})
    assert run(document, bars).fills == []


def test_gtc_order_on_intraday_bars_works_over_night():
    made = intraday([[(*FLAT, BUY), QUIET], [REACHED, QUIET]], time_in_force="gtc")
    assert made.fills == [Filled(2, "buy", 100, 95, "entry")]


def test_nothing_fills_in_a_halted_bar():
    rows = [(*FLAT, BUY), REACHED, REACHED]
    entry = {"type": "limit", "price": 95, "time_in_force": "gtc"}
    made = run(long_only(entry=entry), daily_bars(rows, halted=[1]))
    assert made.fills == [Filled(2, "buy", 100, 95, "entry")]


def test_cancelled_rest_of_an_entry_leaves_its_filled_part_covered():
    # 40 of 100 fill in bar 1, nothing in bars 2 and 3, then the rest is cancelled.
    rows = [(*FLAT, 1e6), (99, 99, 94, 98, 400), *[(*QUIET[:3], 99, 1e6)] * 3]
    entry = {"type": "limit", "price": 95, "time_in_force": "gtc", "cancel_after_bars": 3}
    document = strategy(
        enter_long="close == 100",
        entry=entry,
        exit={"stop_loss": 5, "profit_target": 50},
        max_participation=0.1,
    )
    made = run(document, daily_bars(rows))
    assert made.fills == [Filled(1, "buy", 40, 95, "entry")]
    assert [(x.quantity, x.filled, x.state) for x in made.ended] == [(100, 40, "expired")]
    assert [(x.role, x.leaves) for x in made.working] == [("stop_loss", 40), ("profit_target", 40)]


def test_trade_extremes_count_every_bar_from_entry_to_exit():
    # Bought at 100; the low of 90 falls in the bar whose close decides to leave.
    rows = [(*FLAT, BUY), FLAT, (100, 120, 90, 100, 2.0), (100, 101, 99, 100)]
    made = run(long_only(), daily_bars(rows))
    assert (made.raw.trades["low"][0], made.raw.trades["high"][0]) == (90, 120)


@pytest.mark.parametrize("every_bar", [False, True])
def test_long_holding_notes_extremes_peak_and_drawdown_in_whole_blocks_of_bars(every_bar):
    """One bar's high, one bar's low, one peak and one fall, each in a block of its own."""
    rows = [(*FLAT, BUY), *[FLAT] * 89, (*FLAT, 2.0), FLAT]
    rows[20] = (100, 110, 99, 100)
    rows[35] = (100, 101, 90, 100)
    rows[56] = (100, 101, 99, 101)
    rows[70] = (100, 101, 96, 96)
    bars = intraday_bars([rows])
    made = run(long_only(timeframe="1m"), bars, cash=10_000, every_bar=every_bar)
    assert (made.raw.trades["low"][0], made.raw.trades["high"][0]) == (90, 110)
    assert made.header["peak_equity"] == 10_100
    assert made.header["max_drawdown"] == pytest.approx(500 / 10_100)
    assert made.header["bars_in_position"] == 90


@pytest.mark.parametrize("every_bar", [False, True])
def test_trade_extremes_count_a_halted_bar(every_bar):
    rows = [(*FLAT, BUY), FLAT, (100, 120, 90, 100), (*FLAT, 2.0), FLAT]
    made = run(long_only(), daily_bars(rows, halted=[2]), every_bar=every_bar)
    assert (made.raw.trades["low"][0], made.raw.trades["high"][0]) == (90, 120)


# What must always hold


@st.composite
def policies(draw):
    """Draw a strategy with a bit of everything that orders can meet."""
    price = st.sampled_from([0.5, 1, 2, 3.25])
    kind = draw(st.sampled_from(["market", "limit", "stop", "stop_limit"]))
    entry = {"type": kind, "time_in_force": draw(st.sampled_from(["gtc", "day"]))}
    if kind != "market":
        entry["offset"] = draw(st.sampled_from([0, 0.5, 2]))
    if kind == "stop_limit":
        entry["limit_offset"] = draw(st.sampled_from([0, 1]))
    if kind != "market" and draw(st.booleans()):
        entry["cancel_after_bars"] = draw(st.integers(1, 4))
    leave = {}
    if draw(st.integers(0, 4)):
        leave["stop_loss"] = draw(st.sampled_from([2, 4, "3%", "high - low + 1"]))
    n_targets = draw(st.integers(0, 3))
    if n_targets:
        shares = draw(st.sampled_from([[1.0], [0.3], [0.5, 0.5], [0.33, 0.33, 0.34], [0.25, 0.5]]))
        leave["profit_target"] = [
            {"at": 2 + 1.5 * k, "close": share} for k, share in enumerate(shares)
        ]
    if draw(st.booleans()):
        leave["trailing_stop"] = draw(st.sampled_from([2, 5, "4%"]))
    if draw(st.booleans()):
        leave["break_even"] = {"at": draw(price), "offset": draw(st.sampled_from([0, 0.25]))}
    if draw(st.booleans()):
        leave["time_stop"] = draw(st.integers(1, 12))
    leave["flat_at_session_close"] = draw(st.integers(0, 7)) == 0
    given = {
        "entry": entry,
        "exit": leave,
        "size": draw(st.sampled_from([{"quantity": 101}, {"equity_fraction": 0.5}])),
        "pyramiding": draw(st.sampled_from([0, 0, 1, 3])),
        "cooldown_bars": draw(st.sampled_from([0, 0, 1, 5])),
        "touch": draw(st.booleans()),
        "fill": draw(st.sampled_from(["next_open"] * 4 + ["same_close"])),
    }
    if kind != "market" and draw(st.booleans()):
        weights = draw(st.sampled_from([[1, 1], [1, 2, 3], [3, 1, 1, 2]]))
        step = draw(st.sampled_from([0, 0.75, 2]))
        given["orders"] = {"count": len(weights), "step": step, "weights": weights}
    if draw(st.booleans()):
        given["max_participation"] = draw(st.sampled_from([0.02, 0.2]))
    if draw(st.booleans()):
        given["costs"] = {"slippage_bps": 5, "commission": {"per_share": 0.01, "minimum": 1}}
    if draw(st.booleans()):
        given["risk"] = {"max_daily_loss": 0.02, "max_drawdown": 0.3}
    sides = draw(st.sampled_from(["long", "short", "both"]))
    if sides != "short":
        given["enter_long"] = draw(st.sampled_from(["close > close[1]", "close > open", "true"]))
        given["exit_long"] = draw(
            st.sampled_from(["falling(close, 4)", "false", "unrealized_return > 0.05"])
        )
    if sides != "long":
        given["enter_short"] = draw(st.sampled_from(["close < close[1]", "close < close[2]"]))
        given["exit_short"] = draw(st.sampled_from(["rising(close, 4)", "bars_in_trade > 6"]))
    if sides == "both":
        given["reverse"] = draw(st.booleans())
        if given["enter_long"] == "true":
            given["enter_long"] = "close > close[2]"
    return strategy(**given)


@dataclass(frozen=True)
class Case:
    """A strategy and how its bars are made, short enough to be read in a failure."""

    document: dict[str, Any]
    seed: int
    volume: float
    actions: tuple[tuple[int, float, float], ...]
    halted: tuple[int, ...]
    lot: float
    tick: float

    @property
    def bars(self) -> Bars:
        return random_bars(
            self.seed,
            120,
            volume=self.volume,
            actions=self.actions,
            halted=self.halted,
            lot=self.lot,
            tick=self.tick,
        )


ACTIONS = ((40, 2.0, 0.0), (60, 1.0, 0.5), (90, 0.3, 0.25))


@st.composite
def cases(draw):
    """Draw a strategy and bars; whether these have volume, splits, dividends and halts, too."""
    document = draw(policies())
    volume = 3000.0 if "max_participation" in document["execution"] else 0.0
    lot, tick = draw(st.sampled_from([(1.0, 0.0), (10.0, 0.01), (1.0, 0.05)]))
    return Case(
        document,
        draw(st.integers(0, 2**31)),
        volume,
        draw(st.sampled_from([(), ACTIONS])),
        draw(st.sampled_from([(), (10, 11, 50)])),
        lot,
        tick,
    )


def assert_covered(sleeve):
    """Check every bracket: its exits cover what it holds and no more."""
    policy = sleeve.plan["policy"][0]
    n_rungs, n_targets = int(policy["n_rungs"]), int(policy["n_targets"])
    per_bracket = int(policy["slots_per_bracket"])
    header, state = sleeve.header, sleeve.state[0]
    total, working = 0, 0
    for b in range(policy["n_brackets"]):
        bracket = state["brackets"][b]
        orders = state["orders"][b * per_bracket : (b + 1) * per_bracket]
        live = orders["state"] != d.FREE
        working += int(live.sum())
        assert np.isin(orders["state"][live], (d.WORKING, d.PARTIALLY_FILLED)).all()
        assert (orders["leaves_lots"][live] > 0).all()
        assert (orders["leaves_lots"] + orders["filled_lots"] == orders["lots"])[live].all()
        held, side = int(bracket["held_lots"]), int(bracket["side"])
        assert held >= 0
        if side == 0:
            assert not live.any()
            assert held == 0
            continue
        total += side * held
        rungs, exits = orders[:n_rungs], orders[n_rungs:]
        assert (rungs["side"][live[:n_rungs]] == side).all()
        assert (exits["side"][live[n_rungs:]] == -side).all()
        stop, targets, leave = exits[0], exits[1 : 1 + n_targets], exits[-1]
        has_stop = not (np.isnan(bracket["stop_distance"]) and np.isnan(bracket["trail_distance"]))
        if has_stop:
            assert (stop["leaves_lots"] if stop["state"] != d.FREE else 0) == held
        if leave["state"] != d.FREE:
            assert leave["leaves_lots"] == held
        aimed = int(targets["leaves_lots"][targets["state"] != d.FREE].sum())
        assert aimed <= held
        if n_targets and policy["targets_take_all"]:
            assert aimed == held
    assert total == header["lots"]
    assert working == header["n_working"]


@few
@given(cases())
def test_held_quantity_is_always_covered_and_never_over_covered(case):
    document, bars = case.document, case.bars
    for _, sleeve in step(document, bars):
        assert_covered(sleeve)


def assert_orders_lived_by_the_table(orders):
    """Check the end of each order against the moves that can lead to it."""
    for row in orders:
        before = d.PARTIALLY_FILLED if row["filled_lots"] > 0 else d.WORKING
        reached = {
            after for (state, trigger), after in ORDER_LIFE.items() if state in (before, d.WORKING)
        }
        assert row["state"] in reached & ENDS
        if row["state"] == d.FILLED:
            assert row["filled_lots"] == row["lots"] > 0
        else:
            assert row["filled_lots"] <= row["lots"]
            assert row["state"] != d.REFUSED or row["filled_lots"] == 0


@few
@given(cases())
def test_orders_live_by_the_table_and_their_fills_add_up(case):
    document, bars = case.document, case.bars
    made = run(document, bars)
    orders, fills = made.raw.order_log, made.raw.fills
    assert_orders_lived_by_the_table(orders)
    assert len(set(orders["sequence"])) == len(orders)
    assert fills["lots"].min(initial=1) > 0
    if not len(bars.actions):
        # A split rescales an order's filled quantity, so that the log adds up without one only.
        for row in orders:
            own = fills["sequence"] == row["sequence"]
            assert fills["lots"][own].sum() == row["filled_lots"]
            assert fills["commission"][own].sum() == pytest.approx(row["commission"])
        held = np.cumsum(fills["side"] * fills["lots"])
        assert np.array_equal(held, fills["lots_after"])
        cash = 100_000 - (fills["side"] * fills["lots"] * fills["price"]).sum() * made.lot
        cash -= fills["commission"].sum()
        assert made.header["cash"] == pytest.approx(cash)


def bits(made: Run):
    """Return everything of a run as bytes, by name."""
    raw = made.raw
    parts = {
        "state": made.state_bytes,
        "fills": raw.fills.tobytes(),
        "orders": raw.order_log.tobytes(),
        "trades": raw.trades.tobytes(),
        "cash_events": raw.cash_events.tobytes(),
    }
    return parts | {name: part.tobytes() for name, part in raw.record._asdict().items()}


def differing_fields(a, b):
    """Name the header's fields that differ, to be read in a failure."""
    return [
        (name, a.header[name], b.header[name])
        for name in a.header.dtype.names
        if a.header[name].tobytes() != b.header[name].tobytes()
    ]


@few
@given(cases())
def test_passing_over_idle_bars_changes_no_bit(case):
    document, bars = case.document, case.bars
    passing, looking = run(document, bars), run(document, bars, every_bar=True)
    assert differing_fields(passing, looking) == []
    for name, part in bits(looking).items():
        assert bits(passing)[name] == part, name


@few
@given(cases())
def test_stepping_changes_no_bit(case):
    document, bars = case.document, case.bars
    made = run(document, bars)
    fills, orders, trades, lots, equity = [], [], [], [], []
    for _, sleeve in step(document, bars):
        journal = sleeve.journal[0]
        fills.append(journal["fills"][: journal["n_fills"]].copy())
        orders.append(journal["orders"][: journal["n_orders"]].copy())
        trades.append(journal["trades"][: journal["n_trades"]].copy())
        lots.append(sleeve.header["lots"])
        equity.append(sleeve.header["last_equity"])
    # A backtest counts its last session as over.
    sleeve.header["n_sessions"] += 1
    for name in sleeve.header.dtype.names:
        assert sleeve.header[name].tobytes() == made.header[name].tobytes(), name
    assert state_bytes(sleeve.plan, sleeve.state) == made.state_bytes
    assert np.concatenate(fills).tobytes() == made.raw.fills.tobytes()
    assert np.concatenate(orders).tobytes() == made.raw.order_log.tobytes()
    assert np.concatenate(trades).tobytes() == made.raw.trades.tobytes()
    assert np.array_equal(lots, made.record.lots)
    assert np.array_equal(equity, made.record.equity)


@few
@given(cases(), st.integers(1, 119))
def test_cutting_the_data_changes_no_decision(case, n_bars):
    document, bars = case.document, case.bars
    whole, part = run(document, bars), run(document, first_bars(bars, n_bars))
    for name in ("actions", "reasons", "lots", "equity", "cash"):
        assert np.array_equal(getattr(part.record, name), getattr(whole.record, name)[:n_bars])
    assert part.fills == [fill for fill in whole.fills if fill.bar < n_bars]


@few
@given(cases())
def test_fills_lie_within_their_bar_but_for_slippage_and_the_close(case):
    document, bars = case.document, case.bars
    document["costs"] = {}
    made = run(document, bars)
    for fill in made.raw.fills:
        assert bars.prices[2, fill["i_bar"]] <= fill["price"] <= bars.prices[1, fill["i_bar"]]
