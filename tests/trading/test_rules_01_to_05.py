"""Rules 1 to 5: when a decision sees what, when it works, stops, limits, stop-limits.

Bars are (open, high, low, close, mark); a mark of 1 buys at the next open, 2
sells, 3 sells short, 4 covers. All numbers are worked by hand from the rules.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.trading.making import (
    BUY,
    COVER,
    SELL,
    SHORT,
    Filled,
    Working,
    daily_bars,
    first_bars,
    intraday_bars,
    long_only,
    random_bars,
    run,
    short_only,
    strategy,
)

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
FLAT = (100, 101, 99, 100)


def prices(made):
    return [fill.price for fill in made.fills]


# Rule 1


def test_rule_1_decision_at_the_close_fills_at_the_next_open():
    bars = daily_bars([(100, 101, 99, 100, BUY), (102, 104, 101, 103)])
    made = run(long_only(), bars)
    assert made.actions == ["enter_long", ""]
    assert made.fills == [Filled(1, "buy", 100, 102, "entry")]


def test_rule_1_fridays_close_sees_its_week():
    # Two whole weeks from a Monday; closes 1 to 10.
    bars = daily_bars([(k, k, k, k) for k in range(1, 11)], periods=["1w"])
    made = run(long_only(indicators={"week": "close @ 1w"}), bars)
    assert made.column("week")[:4] == pytest.approx([math.nan] * 4, nan_ok=True)
    assert made.column("week")[4:] == [5, 5, 5, 5, 5, 10]


def test_rule_1_incomplete_first_week_is_dropped():
    # Data from a Wednesday: its week of three bars is never seen.
    rows = [(k, k, k, k) for k in range(1, 9)]
    bars = daily_bars(rows, first="2024-01-03", periods=["1w"])
    made = run(long_only(indicators={"week": "close @ 1w"}), bars)
    assert np.isnan(made.column("week")[:7]).all()
    assert made.column("week")[7] == 8


def test_rule_1_week_that_a_holiday_shortens_is_seen_at_its_last_close():
    # Friday 2024-01-05 is closed by the calendar, so Thursday's close ends the week.
    rows = [(k, k, k, k) for k in range(1, 6)]
    bars = daily_bars(rows, periods=["1w"], holidays=["2024-01-05"])
    made = run(long_only(indicators={"week": "close @ 1w"}), bars)
    assert made.column("week")[2:] == pytest.approx([math.nan, 4, 4], nan_ok=True)


def test_rule_1_week_without_its_last_bar_is_seen_from_the_next_bar_on():
    # Friday is a session without a bar: its week closes after Thursday's close,
    # so Thursday does not see it and Monday does.
    bars = daily_bars([(1,) * 4, (2,) * 4, (3,) * 4, (4,) * 4, None, (6,) * 4], periods=["1w"])
    made = run(long_only(indicators={"week": "close @ 1w"}), bars)
    assert made.column("week")[3:] == pytest.approx([math.nan, 4], nan_ok=True)


def test_rule_1_higher_bar_holds_the_prices_of_its_whole_period():
    rows = [(10, 15, 9, 12, 1), (12, 13, 7, 8, 2), (8, 11, 8, 9, 3), (9, 20, 9, 19, 4), (19,) * 4]
    names = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}
    made = run(
        strategy(enter_long="false", indicators={k: f"{v} @ 1w" for k, v in names.items()}),
        daily_bars(rows, periods=["1w"]),
    )
    assert [made.column(name)[4] for name in names] == [10, 20, 7, 19, 10]


def test_rule_1_hour_is_seen_at_the_close_of_its_last_half_hour():
    # Hours count from the open at 9:30: bars 0 and 1, 2 and 3, and 4 alone at the close.
    bars = intraday_bars([[(k,) * 4 for k in range(1, 6)]], "30m", periods=["1h"])
    made = run(long_only(timeframe="30m", indicators={"by_hour": "close @ 1h"}), bars)
    assert made.column("by_hour") == pytest.approx([math.nan, 2, 2, 4, 5], nan_ok=True)


def test_rule_1_shift_of_a_higher_timeframe_counts_its_own_bars():
    bars = daily_bars([(k, k, k, k) for k in range(1, 16)], periods=["1w"])
    made = run(long_only(indicators={"before": "close[1] @ 1w"}), bars)
    assert made.column("before")[8:] == pytest.approx([math.nan, 5, 5, 5, 5, 5, 10], nan_ok=True)


def _bars_for(timeframe):
    if timeframe == "1d":
        return random_bars(7, 260, volume=1_000_000, periods=["1w"])
    random = np.random.default_rng(7)
    close, sessions = 100.0, []
    for _ in range(5):
        rows = []
        for _ in range(78):
            opened = close + random.integers(-2, 3) / 8
            close = opened + random.integers(-4, 5) / 8
            high, low = max(opened, close) + 0.125, min(opened, close) - 0.125
            rows.append((opened, high, low, close, float(random.integers(1, 100_000))))
        sessions.append(rows)
    return intraday_bars(sessions, timeframe, session_bars=0, periods=["30m", "1h", "1d"])


def assert_prefix_invariant(document, bars, cuts):
    whole = run(document, bars)
    for n_bars in cuts:
        part = run(document, first_bars(bars, n_bars))
        for name in ("actions", "reasons", "lots", "equity", "cash"):
            expected = getattr(whole.record, name)[:n_bars]
            assert np.array_equal(getattr(part.record, name), expected), (name, n_bars)
        assert part.fills == [fill for fill in whole.fills if fill.bar < n_bars]
        for name, row in part.linked.strategy.condition_rows.items():
            there = whole.linked.strategy.condition_rows[name]
            expected = whole.linked.feed.flags[there, :n_bars]
            assert np.array_equal(part.linked.feed.flags[row], expected)
    return whole


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_rule_1_cutting_the_data_changes_no_decision_of_an_example(path):
    text = path.read_text()
    timeframe = next(line.split()[1] for line in text.splitlines() if line.startswith("timeframe"))
    bars = _bars_for(timeframe)
    cuts = (1, 2, 60, 137, 138, bars.n_bars - 1)
    whole = assert_prefix_invariant(text, bars, cuts)
    assert np.count_nonzero(whole.record.reasons != whole.record.reasons[0]) > 0


def test_rule_1_cutting_the_data_changes_no_decision_sized_by_volatility():
    # The later session lacks bars, which must not change the size of an earlier entry.
    full = [(100 + k % 3, 103, 99, 100 + (k + 1) % 3) for k in range(6)]
    bars = intraday_bars([full, full, [full[0], None, None, None, None, full[5]]], "1h")
    document = strategy(
        timeframe="1h", enter_long="true", size={"volatility_target": 5.0, "length": 4}
    )
    whole = assert_prefix_invariant(document, bars, (12, 13))
    assert whole.fills


# Rule 2


def test_rule_2_conditions_are_levels_so_a_position_is_entered_again_when_still_true():
    # The stop at 95 fills in bar 2; the condition is still true at its close.
    rows = [FLAT, FLAT, (99, 99, 94, 98), (98, 99, 97, 98)]
    made = run(strategy(enter_long="true", exit={"stop_loss": 5}), daily_bars(rows))
    assert made.actions == ["enter_long", "", "enter_long", ""]
    assert made.fills == [
        Filled(1, "buy", 100, 100, "entry"),
        Filled(2, "sell", 100, 95, "stop_loss"),
        Filled(3, "buy", 100, 98, "entry"),
    ]


def test_rule_2_entry_is_not_considered_in_a_position():
    made = run(strategy(enter_long="true"), daily_bars([FLAT] * 4))
    assert made.reasons == ["", "in_position", "in_position", "in_position"]
    assert made.fills == [Filled(1, "buy", 100, 100, "entry")]


def test_rule_2_working_entry_is_not_repriced():
    # The limit stands one below the close of bar 0: 99; later closes don't move it.
    rows = [FLAT, (103, 104, 102, 103), (105, 106, 104, 105), (100, 100, 98, 98)]
    entry = {"type": "limit", "price": "close - 1", "time_in_force": "gtc"}
    made = run(strategy(enter_long="true", entry=entry), daily_bars(rows))
    assert made.reasons == ["", "working_entry", "working_entry", "in_position"]
    assert made.fills == [Filled(3, "buy", 100, 99, "entry")]


@pytest.mark.parametrize("side", [1, -1])
def test_rule_2_pyramiding_allows_so_many_further_brackets(side):
    name = "enter_long" if side > 0 else "enter_short"
    made = run(strategy(**{name: "true"}, pyramiding=2), daily_bars([FLAT] * 6))
    assert made.position == [side * x for x in (0, 100, 200, 300, 300, 300)]
    assert made.reasons[3:] == ["in_position"] * 3


def test_rule_2_each_pyramided_bracket_has_exits_of_its_own():
    # Bought at 100 and at 104 with stops 5 below: 95 and 99.
    rows = [(100, 101, 99, 100, BUY), (100, 104, 100, 104, BUY), (104, 104, 98, 100), FLAT]
    made = run(long_only(pyramiding=1, exit={"stop_loss": 5}), daily_bars(rows))
    assert made.fills == [
        Filled(1, "buy", 100, 100, "entry"),
        Filled(2, "buy", 100, 104, "entry"),
        Filled(2, "sell", 100, 99, "stop_loss"),
    ]
    assert made.working == [
        Working("stop_loss", "sell", 100, pytest.approx(math.nan, nan_ok=True), 95)
    ]


@pytest.mark.parametrize("exit_mark", [True, False])
def test_rule_2_exit_condition_cancels_a_working_entry(exit_mark):
    rows = [(100, 101, 99, 100, BUY), (*FLAT, SELL if exit_mark else 0), (100, 100, 90, 95)]
    entry = {"type": "limit", "price": "close - 5", "time_in_force": "gtc"}
    made = run(long_only(entry=entry), daily_bars(rows))
    if exit_mark:
        assert made.fills == []
        assert [(x.state, x.reason) for x in made.ended] == [("cancelled", "cancelled_by_exit")]
    else:
        assert made.fills == [Filled(2, "buy", 100, 95, "entry")]


def test_rule_2_exit_wins_over_a_further_entry_at_the_same_close():
    rows = [(100, 101, 99, 100), (100, 101, 99, 100), FLAT, FLAT]
    made = run(
        strategy(enter_long="true", exit_long="bars_in_trade == 1", pyramiding=3), daily_bars(rows)
    )
    assert made.actions[:3] == ["enter_long", "exit", "enter_long"]
    assert made.fills[:2] == [
        Filled(1, "buy", 100, 100, "entry"),
        Filled(2, "sell", 100, 100, "exit"),
    ]


def test_rule_2_without_reverse_the_other_side_is_entered_after_the_exit():
    rows = [(*FLAT, BUY), (*FLAT, 0), (*FLAT, 0), FLAT, FLAT]
    made = run(
        strategy(
            enter_long="volume == 1", exit_long="bars_in_trade == 1", enter_short="volume == 0"
        ),
        daily_bars(rows),
    )
    # Long from bar 1, out at bar 2's open, and only its close decides the short.
    assert made.position == [0, 100, 0, -100, -100]


@pytest.mark.parametrize(
    ("first", "second", "before"), [(BUY, SHORT, 100), (SHORT, BUY, -100)], ids=["long", "short"]
)
def test_rule_2_reverse_closes_and_opens_at_the_same_open(first, second, before):
    rows = [(*FLAT, first), FLAT, (*FLAT, second), (103, 104, 102, 103)]
    made = run(
        strategy(enter_long="volume == 1", enter_short="volume == 3", reverse=True),
        daily_bars(rows),
    )
    side = "sell" if before > 0 else "buy"
    assert made.fills[1:] == [
        Filled(3, side, 100, 103, "exit"),
        Filled(3, side, 100, 103, "entry"),
    ]
    assert made.position == [0, before, before, -before]
    assert made.actions[2] == "reverse"
    assert made.exit_reasons == ["reversed"]


def test_rule_2_entry_works_from_the_next_open_and_not_in_the_deciding_bar():
    # The deciding bar's low of 90 is before the order: 95 is reached in bar 2 only.
    rows = [(100, 101, 90, 100, BUY), (100, 101, 96, 100), (100, 100, 94, 95)]
    made = run(
        long_only(entry={"type": "limit", "price": 95, "time_in_force": "gtc"}), daily_bars(rows)
    )
    assert made.fills == [Filled(2, "buy", 100, 95, "entry")]


@pytest.mark.parametrize(("condition", "sign"), [("enter_long", 1), ("enter_short", -1)])
def test_rule_2_same_close_fills_at_the_close_of_the_deciding_bar(condition, sign):
    rows = [(100, 101, 99, 100.5, 7), (102, 103, 101, 102), (102, 103, 101, 101, 8), FLAT]
    leave = condition.replace("enter", "exit")
    made = run(
        strategy(**{condition: "volume == 7", leave: "volume == 8"}, fill="same_close"),
        daily_bars(rows),
    )
    assert [(fill.bar, fill.price) for fill in made.fills] == [(0, 100.5), (2, 101)]
    assert made.position == [sign * 100, sign * 100, 0, 0]
    assert made.record.equity[1] == 100_000 + sign * 100 * 1.5


def test_rule_2_cooldown_leaves_so_many_bars_without_an_entry():
    # Out in bar 2: two bars (3 and 4) without an entry, so the next one fills in bar 5.
    rows = [(*FLAT, BUY), (*FLAT, SELL), FLAT, FLAT, FLAT, FLAT]
    made = run(
        strategy(enter_long="volume != 2", exit_long="volume == 2", cooldown_bars=2),
        daily_bars(rows),
    )
    assert made.reasons[2:4] == ["cooldown", "cooldown"]
    assert [fill.bar for fill in made.fills] == [1, 2, 5]


def test_rule_2_both_entries_at_once_do_nothing():
    made = run(strategy(enter_long="true", enter_short="true"), daily_bars([FLAT] * 2))
    assert made.reasons == ["conflicting_entries"] * 2


# Rule 3


def bought(*rows, **given):
    """Buy at 100 at the open of bar 1, the first of the rows."""
    return run(long_only(**given), daily_bars([(*FLAT, BUY), *rows]))


def sold_short(*rows, **given):
    """Sell short at 100 at the open of bar 1, the first of the rows."""
    return run(short_only(**given), daily_bars([(*FLAT, SHORT), *rows]))


@pytest.mark.parametrize(
    ("low", "price"), [(95, 95), (94, 95), (95.01, None)], ids=["at", "through", "above"]
)
def test_rule_3_stop_fills_at_the_stop_when_the_bar_trades_at_or_through_it(low, price):
    made = bought(FLAT, (99, 100, low, 97), exit={"stop_loss": 5})
    assert prices(made)[1:] == ([] if price is None else [price])


def test_rule_3_stop_fills_at_the_open_when_the_bar_opens_beyond_it():
    made = bought(FLAT, (92, 96, 91, 96), exit={"stop_loss": 5})
    assert made.fills[1] == Filled(2, "sell", 100, 92, "stop_loss")
    assert made.exit_reasons == ["stop_loss"]


@pytest.mark.parametrize(
    ("row", "price"),
    [
        ((101, 105, 100, 104), 105),
        ((101, 106, 100, 104), 105),
        ((101, 104.99, 100, 104), None),
        ((108, 109, 104, 104), 108),
    ],
    ids=["at", "through", "below", "gap"],
)
def test_rule_3_stop_of_a_short_mirrors_that_of_a_long(row, price):
    made = sold_short(FLAT, row, exit={"stop_loss": 5})
    assert prices(made)[1:] == ([] if price is None else [price])


@pytest.mark.parametrize(
    ("row", "price"),
    [
        ((101, 103, 100, 102), 103),
        ((101, 105, 100, 102), 103),
        ((101, 102.9, 100, 102), None),
        ((106, 107, 105, 106), 106),
    ],
    ids=["at", "through", "below", "gap"],
)
def test_rule_3_entry_stop_buys_at_the_stop_or_at_an_open_beyond_it(row, price):
    made = run(long_only(entry={"type": "stop", "price": 103}), daily_bars([(*FLAT, BUY), row]))
    assert prices(made) == ([] if price is None else [price])


@pytest.mark.parametrize(
    ("row", "price"),
    [((99, 100, 97, 98), 97), ((99, 100, 97.1, 98), None), ((95, 96, 94, 95), 95)],
    ids=["at", "above", "gap"],
)
def test_rule_3_entry_stop_sells_at_the_stop_or_at_an_open_beyond_it(row, price):
    made = run(short_only(entry={"type": "stop", "price": 97}), daily_bars([(*FLAT, SHORT), row]))
    assert prices(made) == ([] if price is None else [price])


def test_rule_3_stop_may_fill_in_the_bar_of_its_entry():
    made = bought((100, 101, 94, 99), exit={"stop_loss": 5})
    assert made.fills == [
        Filled(1, "buy", 100, 100, "entry"),
        Filled(1, "sell", 100, 95, "stop_loss"),
    ]


def quoted(rows, half_spread=0.5):
    """Return daily bars with bid and ask so far from the last price."""
    bid = [tuple(x - half_spread for x in row[:4]) for row in rows]
    ask = [tuple(x + half_spread for x in row[:4]) for row in rows]
    return daily_bars(rows, bid=bid, ask=ask)


def test_rule_3_market_orders_buy_on_the_ask_and_sell_on_the_bid():
    rows = [(*FLAT, BUY), (102, 103, 101, 102, SELL), (104, 105, 103, 104)]
    assert prices(run(long_only(), quoted(rows))) == [102.5, 103.5]
    rows = [(*FLAT, SHORT), (102, 103, 101, 102, COVER), (104, 105, 103, 104)]
    assert prices(run(short_only(), quoted(rows))) == [101.5, 104.5]


def test_rule_3_long_stop_is_reached_by_the_bid():
    # Bought on the ask at 100.5, stop at 95.5; the last price's low of 96 is a bid of 95.5.
    rows = [(*FLAT, BUY), FLAT, (99, 100, 96.25, 99), (99, 100, 96, 99)]
    made = run(long_only(exit={"stop_loss": 5}), quoted(rows))
    assert made.fills == [
        Filled(1, "buy", 100, 100.5, "entry"),
        Filled(3, "sell", 100, 95.5, "stop_loss"),
    ]


def test_rule_3_short_stop_is_reached_by_the_ask():
    # Sold on the bid at 99.5, stop at 104.5; the last price's high of 104 is an ask of 104.5.
    rows = [(*FLAT, SHORT), FLAT, (101, 103.75, 100, 101), (101, 104, 100, 101)]
    made = run(short_only(exit={"stop_loss": 5}), quoted(rows))
    assert made.fills == [
        Filled(1, "sell", 100, 99.5, "entry"),
        Filled(3, "buy", 100, 104.5, "stop_loss"),
    ]


def test_rule_3_limit_buys_when_the_ask_trades_through_it():
    # A low of 97.5 is an ask of 98, which only touches; 97 is one of 97.5.
    rows = [(*FLAT, BUY), (100, 100, 97.5, 99), (100, 100, 97, 99)]
    entry = {"type": "limit", "price": 98, "time_in_force": "gtc"}
    assert run(long_only(entry=entry), quoted(rows)).fills == [Filled(2, "buy", 100, 98, "entry")]


# Rule 4


@pytest.mark.parametrize(
    ("row", "touch", "price"),
    [
        ((100, 101, 98, 99), False, None),
        ((100, 101, 98, 99), True, 98),
        ((100, 101, 97.99, 99), False, 98),
        ((96, 99, 95, 97), False, 96),
        ((98, 99, 98, 98.5), False, None),
        ((98, 99, 98, 98.5), True, 98),
        ((98, 99, 97, 98.5), False, 98),
    ],
    ids=[
        "touch",
        "touch allowed",
        "through",
        "gap",
        "opens at",
        "opens at, allowed",
        "opens at, through",
    ],
)
def test_rule_4_buy_limit_fills_when_traded_through_or_at_a_better_open(row, touch, price):
    entry = {"type": "limit", "price": 98}
    made = run(long_only(entry=entry, touch=touch), daily_bars([(*FLAT, BUY), row]))
    assert prices(made) == ([] if price is None else [price])


@pytest.mark.parametrize(
    ("row", "touch", "price"),
    [
        ((100, 102, 99, 101), False, None),
        ((100, 102, 99, 101), True, 102),
        ((100, 102.01, 99, 101), False, 102),
        ((104, 105, 103, 104), False, 104),
        ((102, 102, 101, 101.5), False, None),
    ],
    ids=["touch", "touch allowed", "through", "gap", "opens at"],
)
def test_rule_4_sell_limit_mirrors_the_buy(row, touch, price):
    entry = {"type": "limit", "price": 102}
    made = run(short_only(entry=entry, touch=touch), daily_bars([(*FLAT, SHORT), row]))
    assert prices(made) == ([] if price is None else [price])


@pytest.mark.parametrize(
    ("row", "price"),
    [((101, 106, 100, 104), None), ((101, 106.01, 100, 104), 106), ((107, 108, 106, 107), 107)],
    ids=["touch", "through", "gap"],
)
def test_rule_4_profit_target_is_a_limit(row, price):
    made = bought(FLAT, row, exit={"profit_target": 6})
    assert prices(made)[1:] == ([] if price is None else [price])
    mirrored = tuple(200 - row[k] for k in (0, 2, 1, 3))
    made = sold_short(FLAT, mirrored, exit={"profit_target": 6})
    assert prices(made)[1:] == ([] if price is None else [200 - price])


# Rule 5


def stop_limit(row, stop=103, limit=104, **given):
    entry = {"type": "stop_limit", "price": stop, "limit": limit, "time_in_force": "gtc"}
    rows = [(*FLAT, BUY), *row]
    return run(long_only(entry=entry, **given), daily_bars(rows))


def test_rule_5_triggered_stop_limit_fills_at_its_stop_price_when_the_limit_allows_it():
    assert prices(stop_limit([(101, 105, 100, 104)])) == [103]


def test_rule_5_stop_limit_that_is_not_triggered_does_not_fill_below_its_limit():
    # 98 is far below the limit, but 103 is never reached.
    made = stop_limit([(101, 102.9, 98, 100)])
    assert made.fills == []
    assert made.working[0].stop_price == 103


def test_rule_5_gap_beyond_the_limit_triggers_and_fills_only_when_the_path_comes_back():
    # Triggered at the open of 106; the limit of 104 is traded through on the way to 103.5.
    assert prices(stop_limit([(106, 107, 103.5, 105)])) == [104]
    assert stop_limit([(106, 107, 104, 105)]).fills == []  # Touched only.


def test_rule_5_gap_between_stop_and_limit_fills_at_the_open():
    assert prices(stop_limit([(103.5, 105, 103, 104)])) == [103.5]


def test_rule_5_triggered_stop_limit_works_on_as_a_limit_in_later_bars():
    made = stop_limit([(106, 107, 105, 106), (105, 105, 104.5, 105), (105, 105, 103, 104)])
    assert made.fills == [Filled(3, "buy", 100, 104, "entry")]


def test_rule_5_only_the_part_of_the_path_after_the_trigger_counts():
    # Stop 103, limit 99. Low first: 98 comes before the trigger at 103, and after
    # it the price ends at 100, above the limit: no fill. High first: 103, then
    # down to 98 through 99: bought at 99, which ends the bar 1 ahead, so that the
    # path without the fill has the lower closing equity.
    row = (101, 104, 98, 100)
    assert stop_limit([row], 103, 99).fills == []
    entry = {"type": "stop_limit", "price": 103, "limit": 99}
    made = run(long_only(entry=entry), daily_bars([(*FLAT, BUY), row]), optimistic=True)
    assert made.fills == [Filled(1, "buy", 100, 99, "entry")]


@pytest.mark.parametrize(
    ("low", "level", "high"),
    [(98, 103, 105), (12.42, 34.52, 91.75), (24.16, 60.62, 70.69)],
)
def test_rule_5_stop_limit_at_one_price_needs_the_price_to_come_back_through_it(low, level, high):
    # Triggered on the way up at the limit itself, and the bar closes at its high:
    # after the trigger the price is never below the limit, not even by rounding
    # (12.42 + (22.10 / 79.33) * 79.33 is below 34.52 in floating point).
    assert stop_limit([(low, high, low, high)], level, level).fills == []


def test_rule_5_short_stop_limit_mirrors_the_long():
    entry = {"type": "stop_limit", "price": 97, "limit": 96, "time_in_force": "gtc"}

    def made(*rows):
        return prices(run(short_only(entry=entry), daily_bars([(*FLAT, SHORT), *rows])))

    assert made((99, 100, 95, 96)) == [97]
    assert made((94, 96.5, 93, 95)) == [96]
    assert made((94, 96, 93, 95)) == []
    assert made((96.5, 97, 95, 96)) == [96.5]


def test_rule_5_stop_limit_pays_no_slippage_but_a_stop_does():
    costs = {"slippage_bps": 100}
    assert prices(stop_limit([(101, 105, 100, 104)], costs=costs)) == [103]
    made = run(
        long_only(entry={"type": "stop", "price": 103}, costs=costs),
        daily_bars([(*FLAT, BUY), (101, 105, 100, 104)]),
    )
    assert prices(made) == pytest.approx([104.03])


def test_rule_2_exit_wins_over_an_entry_at_the_same_close_when_nothing_is_held():
    document = strategy(enter_long="close > 0", exit_long="close > 100")
    made = run(document, daily_bars([FLAT, (100, 102, 99, 101), FLAT, FLAT]))
    # Entered at the close of 100, left at 101; not entered again at 101 itself.
    assert made.actions == ["enter_long", "exit", "enter_long", ""]
    made = run(document, daily_bars([(100, 102, 99, 101), FLAT, FLAT]))
    assert made.reasons[0] == "exit_condition"
    assert made.fills[0].bar == 2
