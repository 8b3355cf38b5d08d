"""Rules 6 to 9: the path within a bar, frozen distances, brackets, volume limits.

Bars are (open, high, low, close, mark); a mark of 1 buys at the next open, 2
sells, 3 sells short, 4 covers. All numbers are worked by hand from the rules.
"""

from __future__ import annotations

import math

import pytest

from market_data.loading import LoadedBars
from research.backtest import run_instrument
from tests.trading.making import (
    BUY,
    SELL,
    SHORT,
    Filled,
    Working,
    daily_bars,
    first_bars,
    intraday_bars,
    long_only,
    run,
    short_only,
    strategy,
)
from trading.document import document_from
from trading.expressions.strategy import bind, resolve_strategy

FLAT = (100, 101, 99, 100)
NONE = pytest.approx(math.nan, nan_ok=True)


def mirrored(row):
    """Mirror a bar at 100, so that a short meets what a long would."""
    opened, high, low, close, *mark = row
    return (200 - opened, 200 - low, 200 - high, 200 - close, *mark)


def on_both_sides(rows, **given):
    """Run a long from bar 0 on, and the mirrored short; return the long's fills.

    A mark of 1 in the rows enters and 2 leaves on either side.
    """
    document = {"enter_long": "volume == 1", "exit_long": "volume == 2"} | given
    long = run(strategy(**document), daily_bars([(*FLAT, BUY), *rows]))
    document = {"enter_short": "volume == 1", "exit_short": "volume == 2"} | given
    short = run(strategy(**document), daily_bars([mirrored(row) for row in [(*FLAT, BUY), *rows]]))
    sides = {"buy": "sell", "sell": "buy"}
    assert [
        fill._replace(side=sides[fill.side], price=200 - fill.price) for fill in short.fills
    ] == [fill._replace(price=pytest.approx(fill.price)) for fill in long.fills]
    assert long.exit_reasons == short.exit_reasons
    return long


def summary(made):
    """Return bar, price, quantity and role of each fill."""
    return [(fill.bar, fill.price, fill.quantity, fill.role) for fill in made.fills]


# Rule 6


def test_rule_6_market_orders_fill_before_what_the_path_reaches():
    # The exit's market order takes the open of 100; the stop at 95 comes later on the path.
    made = on_both_sides([(*FLAT, SELL), (100, 101, 90, 96)], exit={"stop_loss": 5})
    assert summary(made) == [(1, 100, 100, "entry"), (2, 100, 100, "exit")]


def test_rule_6_market_order_fills_at_an_open_that_gaps_over_the_stop():
    made = on_both_sides([(*FLAT, SELL), (92, 93, 90, 91)], exit={"stop_loss": 5})
    assert summary(made)[1] == (2, 92, 100, "exit")


def test_rule_6_stop_and_target_in_one_bar_keep_the_path_with_the_lower_equity():
    # Low first: out at 95. High first: out at 106. 9,500 is less than 10,600.
    rows = [FLAT, (100, 107, 94, 100)]
    exits = {"stop_loss": 5, "profit_target": 6}
    made = on_both_sides(rows, exit=exits)
    assert summary(made)[1:] == [(2, 95, 100, "stop_loss")]
    bars = daily_bars([(*FLAT, BUY), *rows])
    optimistic = run(long_only(exit=exits), bars, optimistic=True)
    assert summary(optimistic)[1:] == [(2, 106, 100, "profit_target")]


def test_rule_6_lower_equity_may_be_that_of_the_target():
    # Limit entry at 98, target 4 above, close at 105. Low first: bought at 98, sold
    # at 102, 400 won. High first: bought at 98 on the way down, and on the way to
    # the close sold at 102: the same. With a stop at 96 and a low of 95, the
    # path through the low loses 200 on both; nothing is left for the close.
    entry = {"type": "limit", "price": "close - 2"}
    rows = [(*FLAT, BUY), (100, 104, 95, 104)]
    made = run(long_only(entry=entry, exit={"stop_loss": 2, "profit_target": 4}), daily_bars(rows))
    assert summary(made) == [(1, 98, 100, "entry"), (1, 96, 100, "stop_loss")]


def test_rule_6_path_that_fills_no_entry_is_kept_when_it_ends_lower():
    # A stop entry at 103 with a stop loss at 101, close 102. Low first (99): bought
    # at 103 on the way up, then down to the close at 102: 100 lost. High first:
    # bought at 103, down through 101 to 99: 200 lost. The latter is lower.
    entry = {"type": "stop", "price": 103}
    bars = daily_bars([(*FLAT, BUY), (100, 104, 99, 102)])
    document = long_only(entry=entry, exit={"stop_loss": 2})
    assert summary(run(document, bars)) == [(1, 103, 100, "entry"), (1, 101, 100, "stop_loss")]
    assert summary(run(document, bars, optimistic=True)) == [(1, 103, 100, "entry")]


def test_rule_6_second_run_ends_no_lower_when_one_bar_differs():
    bars = daily_bars([(*FLAT, BUY), FLAT, (100, 107, 94, 100), FLAT])
    document = long_only(exit={"stop_loss": 5, "profit_target": 6})
    low, high = run(document, bars), run(document, bars, optimistic=True)
    assert (low.record.equity[-1], high.record.equity[-1]) == (99_500, 100_600)


def test_rule_6_finer_bars_decide_the_path():
    # The day's bar reaches both; its minutes reach 106 first, at 10:30, then 95.
    exits = {"stop_loss": 5, "profit_target": 6}
    quiet = (100, 100, 100, 100)
    up_first = [quiet, (100, 107, 100, 107), (107, 107, 94, 100)]
    down_first = [quiet, (100, 100, 94, 94), (94, 107, 94, 100)]
    rows = [(*FLAT, BUY), FLAT, (100, 107, 94, 100)]
    for minutes, price, role in ((up_first, 106, "profit_target"), (down_first, 95, "stop_loss")):
        finer = intraday_bars([[quiet], [quiet], minutes], "1h", session_bars=0)
        made = run(long_only(exit=exits, intrabar="1h"), daily_bars(rows, finer=finer))
        assert summary(made) == [(1, 100, 100, "entry"), (2, price, 100, role)]
        assert made.raw.fills["ts"][1] == finer.ts[3]


def test_rule_6_bar_without_finer_bars_runs_on_its_own_two_paths():
    quiet = (100, 100, 100, 100)
    finer = intraday_bars([[quiet], [quiet], [None]], "1h", session_bars=0)
    rows = [(*FLAT, BUY), FLAT, (100, 107, 94, 100)]
    exits = {"stop_loss": 5, "profit_target": 6}
    made = run(long_only(exit=exits, intrabar="1h"), daily_bars(rows, finer=finer))
    assert summary(made)[1] == (2, 95, 100, "stop_loss")


def test_rule_6_finer_bars_move_the_trailing_stop_one_after_the_other():
    # Hours: up to 110, so that the stop is at 107, then 106: out at 107 at 10:30.
    # The day's own paths would leave it at 107 or at 97.
    quiet = (100, 100, 100, 100)
    hours = [(100, 110, 100, 110), (110, 110, 106, 106), (106, 106, 95, 100)]
    finer = intraday_bars([[quiet], [quiet], hours], "1h", session_bars=0)
    rows = [(*FLAT, BUY), (100,) * 4, (100, 110, 95, 100)]
    made = run(long_only(exit={"trailing_stop": 3}), daily_bars(rows, finer=finer))
    assert summary(made)[1] == (2, 107, 100, "stop_loss")


# Rule 7


def test_rule_7_distances_are_frozen_at_the_decisions_close():
    # Deciding bar's range is 2: stop at 98. Bar 1's range of 8 changes nothing.
    made = on_both_sides(
        [(100, 107, 99, 100), (100, 101, 97, 100)], exit={"stop_loss": "high - low"}
    )
    assert summary(made)[1] == (2, 98, 100, "stop_loss")


def test_rule_7_entry_price_and_step_are_frozen_at_the_decisions_close():
    # Limits at 100 - 1 and 99 - (101 - 99); bar 1 is wider and lower, without reaching them.
    entry = {"type": "limit", "price": "close - 1", "time_in_force": "gtc"}
    made = run(
        long_only(entry=entry, orders={"count": 2, "step": "high - low"}),
        daily_bars([(*FLAT, BUY), (105, 115, 103, 104), (100, 100, 96.5, 98)]),
    )
    assert summary(made) == [(2, 99, 50, "entry"), (2, 97, 50, "entry")]


def test_rule_7_distance_in_per_cent_is_a_share_of_the_average_entry():
    # Opens at 110: a stop of 10 % is at 99, not 10 below 110 - 10.
    made = on_both_sides([FLAT, (100, 100, 89, 95)], exit={"stop_loss": "10%"})
    assert summary(made)[1] == (2, 90, 100, "stop_loss")
    made = run(
        long_only(exit={"stop_loss": "10%"}),
        daily_bars([(*FLAT, BUY), (110, 111, 100, 105), (105, 105, 98, 100)]),
    )
    assert summary(made) == [(1, 110, 100, "entry"), (2, 99, 100, "stop_loss")]


def test_rule_7_exits_stand_at_the_average_entry_and_are_placed_again_after_each_fill():
    # Rungs of 50 at 98 and 94. After the first: stop 93, target 103. After both
    # the average is 96: stop 91, target 101.
    entry = {"type": "limit", "offset": 2, "time_in_force": "gtc"}
    given = {
        "entry": entry,
        "orders": {"count": 2, "step": 4},
        "exit": {"stop_loss": 5, "profit_target": 5},
    }
    first = [(99, 100, 97, 98)]
    made = run(long_only(**given), daily_bars([(*FLAT, BUY), *first]))
    assert made.working == [
        Working("entry", "buy", 50, 94, NONE),
        Working("stop_loss", "sell", 50, NONE, 93),
        Working("profit_target", "sell", 50, 103, NONE),
    ]
    both = [*first, (97, 98, 93.5, 96)]
    made = run(long_only(**given), daily_bars([(*FLAT, BUY), *both]))
    assert made.working == [
        Working("stop_loss", "sell", 100, NONE, 91),
        Working("profit_target", "sell", 100, 101, NONE),
    ]
    made = on_both_sides([*both, (98, 101.5, 97, 100)], **given)
    assert summary(made)[2:] == [(3, 101, 100, "profit_target")]


def test_rule_7_unequal_fills_average_by_quantity():
    # 25 at 98 and 75 at 94: (25 * 98 + 75 * 94) / 100 = 95; the stop is at 90.
    made = on_both_sides(
        [(99, 100, 93, 95), (92, 93, 89.5, 92)],
        entry={"type": "limit", "offset": 2, "time_in_force": "gtc"},
        orders={"count": 2, "step": 4, "weights": [1, 3]},
        exit={"stop_loss": 5},
    )
    assert summary(made) == [
        (1, 98, 25, "entry"),
        (1, 94, 75, "entry"),
        (2, 90, 100, "stop_loss"),
    ]


def test_rule_7_trailing_stop_starts_at_the_average_entry_less_its_distance():
    made = on_both_sides([(100, 100, 97, 98), (98, 99, 96.9, 97)], exit={"trailing_stop": 3})
    # Bar 1 reaches 97 itself: out on its way down.
    assert summary(made)[1] == (1, 97, 100, "stop_loss")
    made = on_both_sides([(100, 100, 97.1, 98), (98, 99, 96.9, 97)], exit={"trailing_stop": 3})
    assert summary(made)[1] == (2, 97, 100, "stop_loss")
    assert made.exit_reasons == ["trailing_stop"]


def test_rule_7_trailing_stop_is_moved_by_the_high_after_the_entry():
    # High of 108 in bar 2: the stop is at 105 from then on.
    rows = [FLAT, (106, 108, 106, 107), (107, 107.5, 104, 106)]
    made = on_both_sides(rows, exit={"trailing_stop": 3})
    assert summary(made)[1] == (3, 105, 100, "stop_loss")
    assert made.exit_reasons == ["trailing_stop"]


def test_rule_7_trailing_stop_is_first_tested_then_moved():
    # Bar 2 opens at 100 with the stop at 97. High first it would rise to 104 and be
    # hit at 104 on the way to 101; low first 98 is tested against 97, then the
    # high of 107 lifts it to 104, and the close of 103.5 hits it at 104. In bar 3 the close
    # stays above what its high made of the stop.
    made = on_both_sides([(100, 100, 98, 100), (100, 107, 98, 103.5)], exit={"trailing_stop": 3})
    assert summary(made)[1] == (2, 104, 100, "stop_loss")
    # The low of 98 is below 107 - 3, but comes before the high on the low's path; the
    # other path falls from 107 through 104 to 98. The closes: 10,600 held, 10,400 out.
    rows = [(100, 100, 98, 100), (100, 107, 98, 106)]
    made = on_both_sides(rows, exit={"trailing_stop": 3})
    assert summary(made)[1] == (2, 104, 100, "stop_loss")
    bars = daily_bars([(*FLAT, BUY), *rows])
    optimistic = run(long_only(exit={"trailing_stop": 3}), bars, optimistic=True)
    assert summary(optimistic) == [(1, 100, 100, "entry")]
    assert optimistic.working[0].stop_price == 104


def test_rule_7_high_before_a_limit_entry_does_not_move_the_trailing_stop():
    # Open 100, high 110, then bought at 98 on the way down to 97.5: stop at 95, not 107.
    # Low first: bought at 98, high of 110 after it: stop at 107, out at 107 on the
    # way to 99. The first path ends lower: 9,900 held against 10,700.
    entry = {"type": "limit", "offset": 2}
    rows = [(100, 110, 97.5, 99)]
    made = on_both_sides(rows, entry=entry, exit={"trailing_stop": 3})
    assert summary(made) == [(1, 98, 100, "entry")]
    # After the low of 97.5 the close of 99 is the best price since the entry.
    assert made.working[0].stop_price == 96


def test_rule_7_tighter_of_stop_and_trailing_stop_holds():
    # Trailing 8, stop 5: the stop of 95 holds until a high of 103 makes it 95, of 106 makes it 98.
    exits = {"stop_loss": 5, "trailing_stop": 8}
    made = on_both_sides([FLAT, (100, 100, 94, 96)], exit=exits)
    assert summary(made)[1] == (2, 95, 100, "stop_loss")
    assert made.exit_reasons == ["stop_loss"]
    made = on_both_sides([(100, 106, 99, 105), (105, 105, 97, 99)], exit=exits)
    assert summary(made)[1] == (2, 98, 100, "stop_loss")
    assert made.exit_reasons == ["trailing_stop"]


def test_rule_7_trailing_stop_never_moves_back():
    rows = [FLAT, (108, 110, 108, 109), (109, 109, 108, 108), (108, 108, 106.5, 107)]
    made = on_both_sides(rows, exit={"trailing_stop": 3})
    assert summary(made)[1] == (4, 107, 100, "stop_loss")


def test_rule_7_break_even_moves_the_stop_to_the_entry():
    # A high of 104 is the profit of 4: the stop moves from 95 to 100 plus 0.5.
    exits = {"stop_loss": 5, "break_even": {"at": 4, "offset": 0.5}}
    made = on_both_sides([FLAT, (102, 104, 102, 103), (102, 103, 100, 101)], exit=exits)
    assert summary(made)[1] == (3, 100.5, 100, "stop_loss")
    # 103.9 is not enough.
    made = on_both_sides([FLAT, (102, 103.9, 102, 103), (102, 103, 100, 101)], exit=exits)
    assert summary(made) == [(1, 100, 100, "entry")]
    assert made.working[0].stop_price == 95


def test_rule_7_break_even_may_fill_on_the_rest_of_the_bar_that_moved_it():
    # High first: 104 moves the stop to 100, and the low of 99 fills it: equity is then
    # 300 lower than on the path that ends at 103 with the position held.
    made = on_both_sides([(100, 104, 99, 103)], exit={"break_even": {"at": 4}})
    assert summary(made)[1] == (1, 100, 100, "stop_loss")


def test_rule_7_break_even_without_a_stop_loss_places_one():
    rows = [FLAT, (102, 104, 102, 103), (102, 103, 99, 101)]
    made = on_both_sides(rows, exit={"break_even": {"at": 4}})
    assert summary(made)[1] == (3, 100, 100, "stop_loss")


def test_rule_7_break_even_counts_from_the_average_of_the_entries_so_far():
    # Rungs of 50: the first, at 100, fills at the open of 99.5, and the high of 103 is
    # 3.5 above it, not the 4 asked for. The second fills at 96: the average is 97.75,
    # and 102.5 is 4.75 above it. So the stop moves to 97.75 in bar 3 and fills in bar 4.
    made = on_both_sides(
        [(99.5, 103, 99, 102), (100, 100, 95.5, 97), (98, 102.5, 98, 102), (101, 101, 97, 98)],
        entry={"type": "limit", "offset": 0, "time_in_force": "gtc"},
        orders={"count": 2, "step": 4},
        exit={"break_even": {"at": 4}},
    )
    assert summary(made) == [
        (1, 99.5, 50, "entry"),
        (2, 96, 50, "entry"),
        (4, 97.75, 100, "stop_loss"),
    ]


def test_rule_7_trailing_stop_works_from_the_entry_on_in_the_bar_that_fills_it():
    """Bought at 98 on the way from 100 to 92: the stop is at 93 before any price is noted."""
    entry = {"type": "limit", "price": 98, "time_in_force": "gtc"}
    rows = [(*FLAT, BUY), (100, 100, 92, 97)]
    got = run(long_only(entry=entry, exit={"trailing_stop": 5}), daily_bars(rows))
    assert summary(got) == [(1, 98, 100, "entry"), (1, 93, 100, "stop_loss")]


def test_rule_7_a_time_stop_closes_after_its_number_of_bars_in_the_trade():
    """Entered in bar 1: bar 3 is the third in the trade, and the next open closes it."""
    rows = [(*FLAT, BUY), *[FLAT] * 5]
    for every_bar in (False, True):
        got = run(long_only(exit={"time_stop": 3}), daily_bars(rows), every_bar=every_bar)
        assert [fill.bar for fill in got.fills] == [1, 4]
        assert got.exit_reasons == ["time_stop"]
        assert got.reasons[3] == "time_stop"


def test_rule_7_a_new_trade_moves_to_break_even_anew():
    """The first trade moved its stop to 100 and left there; the second keeps its stop at 90."""
    leave = {"stop_loss": 10, "break_even": {"at": 5}}
    rows = [(*FLAT, BUY), FLAT, (101, 106, 101, 105), (105, 105, 99, 100, BUY), (100, 101, 99, 100)]
    got = run(long_only(exit=leave), daily_bars(rows))
    assert summary(got)[:2] == [(1, 100, 100, "entry"), (3, 100, 100, "stop_loss")]
    assert [order.stop_price for order in got.working] == [90]


# Rule 8


def test_rule_8_rungs_of_limits_stand_below_and_of_stops_above_the_price():
    orders = {"count": 3, "step": 2, "weights": [1, 1, 2]}
    bars = daily_bars([(*FLAT, BUY)])
    limit = {"type": "limit", "price": "close - 1"}
    made = run(long_only(entry=limit, orders=orders), bars)
    assert [(x.leaves, x.limit_price) for x in made.working] == [(25, 99), (25, 97), (50, 95)]
    stop = {"type": "stop", "price": "close + 1"}
    made = run(long_only(entry=stop, orders=orders), bars)
    assert [(x.leaves, x.stop_price) for x in made.working] == [(25, 101), (25, 103), (50, 105)]
    both = {"type": "stop_limit", "price": "close + 1", "limit": "close + 1.5"}
    made = run(long_only(entry=both, orders=orders), bars)
    assert [(x.stop_price, x.limit_price) for x in made.working] == [
        (101, 101.5),
        (103, 103.5),
        (105, 105.5),
    ]


def test_rule_8_rungs_of_a_short_mirror_those_of_a_long():
    orders = {"count": 2, "step": 2}
    bars = daily_bars([(*FLAT, SHORT)])
    made = run(short_only(entry={"type": "limit", "price": "close + 1"}, orders=orders), bars)
    assert [x.limit_price for x in made.working] == [101, 103]
    made = run(short_only(entry={"type": "stop", "price": "close - 1"}, orders=orders), bars)
    assert [x.stop_price for x in made.working] == [99, 97]


def test_rule_8_quantity_is_split_by_weights_and_floored():
    made = run(
        long_only(
            entry={"type": "limit", "price": 99},
            orders={"count": 3, "step": 1, "weights": [1, 1, 1]},
            size={"quantity": 100},
        ),
        daily_bars([(*FLAT, BUY)]),
    )
    assert [x.leaves for x in made.working] == [33, 33, 33]


def test_rule_8_targets_close_floored_shares_and_the_last_takes_the_rest():
    # 0.3 and 0.3 of 101 floored are 30 and 30, the last 41.
    exits = {"profit_target": [{"at": k, "close": s} for k, s in ((2, 0.3), (4, 0.3), (6, 0.4))]}
    made = on_both_sides([FLAT, (100, 107, 100, 106)], exit=exits, size={"quantity": 101})
    assert summary(made)[1:] == [
        (2, 102, 30, "profit_target"),
        (2, 104, 30, "profit_target"),
        (2, 106, 41, "profit_target"),
    ]


def test_rule_8_targets_that_close_a_part_leave_the_rest_to_the_stop():
    exits = {"profit_target": [{"at": 2, "close": 0.5}], "stop_loss": 5}
    made = on_both_sides([(100, 103, 99, 102), (100, 100, 94, 95)], exit=exits)
    assert summary(made)[1:] == [(1, 102, 50, "profit_target"), (2, 95, 50, "stop_loss")]


def test_rule_8_targets_share_the_whole_entered_quantity_of_all_rungs():
    # Rungs of 50 at 98 and 94, average 96: targets of 50 each at 100 and 104.
    exits = {"profit_target": [{"at": 4, "close": 0.5}, {"at": 8, "close": 0.5}]}
    made = on_both_sides(
        [(99, 100, 97, 98), (97, 97, 93, 95), (96, 105, 96, 104)],
        entry={"type": "limit", "offset": 2, "time_in_force": "gtc"},
        orders={"count": 2, "step": 4},
        exit=exits,
    )
    assert summary(made)[2:] == [(3, 100, 50, "profit_target"), (3, 104, 50, "profit_target")]


def test_rule_8_first_exit_fill_cancels_unfilled_rungs():
    # The first rung's target of 100 fills in bar 2; bar 3 trades through the second rung.
    made = on_both_sides(
        [(99, 99, 97, 98), (98, 101, 98, 100), (96, 97, 90, 91)],
        entry={"type": "limit", "offset": 2, "time_in_force": "gtc"},
        orders={"count": 2, "step": 4},
        exit={"profit_target": 2},
    )
    assert summary(made) == [(1, 98, 50, "entry"), (2, 100, 50, "profit_target")]
    assert ("entry", "cancelled", "bracket_closed") in [
        (x.role, x.state, x.reason) for x in made.ended
    ]


def test_rule_8_each_exit_fill_reduces_the_other_exits():
    exits = {
        "stop_loss": 5,
        "profit_target": [{"at": 2, "close": 0.25}, {"at": 4, "close": 0.75}],
    }
    made = on_both_sides([(100, 103, 99, 102)], exit=exits)
    assert [(x.role, x.leaves) for x in made.working] == [("stop_loss", 75), ("profit_target", 75)]
    made = on_both_sides([(100, 103, 99, 102), (100, 100, 94, 95)], exit=exits)
    assert summary(made)[1:] == [(1, 102, 25, "profit_target"), (2, 95, 75, "stop_loss")]
    assert made.working == []


def test_rule_8_partly_filled_stop_reduces_the_targets_from_the_last_on():
    # Volume lets 30 of 100 go at the stop: 70 are left, so the targets of 50 and 50 are 50 and 20.
    exits = {
        "stop_loss": 5,
        "profit_target": [{"at": 4, "close": 0.5}, {"at": 8, "close": 0.5}],
    }
    rows = [(*FLAT, 1000), (*FLAT, 1000), (100, 100, 94, 96, 300)]
    document = strategy(
        enter_long="close == 100", exit=exits, max_participation=0.1, entry={"time_in_force": "gtc"}
    )
    made = run(document, daily_bars(rows))
    assert made.fills[1:] == [Filled(2, "sell", 30, 95, "stop_loss")]
    assert [(x.role, x.leaves) for x in made.working] == [
        ("stop_loss", 70),
        ("profit_target", 50),
        ("profit_target", 20),
    ]


def test_rule_8_a_second_ladder_is_cancelled_by_its_own_first_exit():
    """Twice the upper rung at 99 fills and its target at 101 too; the rung at 90 goes each time."""
    document = long_only(
        entry={"type": "limit", "price": 99, "time_in_force": "gtc"},
        orders={"count": 2, "step": 9},
        exit={"profit_target": 2},
    )
    rows = [(*FLAT, BUY), (100, 100, 98, 100), (100, 102, 99.5, 100, BUY)]
    rows += [(100, 100, 98, 100), (100, 102, 99.5, 100)]
    got = run(document, daily_bars(rows))
    assert [(fill.bar, fill.price) for fill in got.fills] == [(1, 99), (2, 101), (3, 99), (4, 101)]
    assert got.working == []


def test_rule_8_each_rung_of_a_stop_limit_ladder_has_its_own_limit():
    entry = {"type": "stop_limit", "price": 102, "limit": 103, "time_in_force": "gtc"}
    document = long_only(entry=entry, orders={"count": 3, "step": 2})
    got = run(document, daily_bars([(*FLAT, BUY)]))
    assert [(w.stop_price, w.limit_price) for w in got.working] == [
        (102, 103),
        (104, 105),
        (106, 107),
    ]


# Rule 9


def test_rule_9_fill_takes_at_most_its_share_of_the_volume_and_the_rest_fills_at_later_opens():
    # A tenth of 400, 350 and 1000: 40, 35 and the last 25.
    rows = [
        (*FLAT, 500),
        (101, 102, 100, 101, 400),
        (102, 103, 101, 102, 350),
        (103, 104, 102, 103, 1000),
    ]
    made = run(
        strategy(enter_long="close == 100", max_participation=0.1, entry={"time_in_force": "gtc"}),
        daily_bars(rows),
    )
    assert made.fills == [
        Filled(1, "buy", 40, 101, "entry"),
        Filled(2, "buy", 35, 102, "entry"),
        Filled(3, "buy", 25, 103, "entry"),
    ]
    assert made.reasons[1:] == ["working_entry", "working_entry", "in_position"]


def test_rule_9_day_order_loses_its_rest_when_its_session_ends():
    rows = [(*FLAT, 500), (101, 102, 100, 101, 400), (102, 103, 101, 102, 350)]
    # A market order has no time in force; a limit that the open is better than has.
    entry = {"type": "limit", "price": 101.5, "time_in_force": "day"}
    made = run(
        strategy(enter_long="close == 100", max_participation=0.1, entry=entry), daily_bars(rows)
    )
    assert made.fills == [Filled(1, "buy", 40, 101, "entry")]
    assert [(x.quantity, x.filled, x.state, x.reason) for x in made.ended] == [
        (100, 40, "expired", "day_ended")
    ]


def test_rule_9_rest_of_a_limit_keeps_its_price():
    rows = [(*FLAT, 500), (99, 99, 97, 98, 600), (99, 100, 98, 99, 600), (99, 99, 97, 99, 600)]
    entry = {"type": "limit", "price": 98, "time_in_force": "gtc"}
    made = run(
        strategy(enter_long="close == 100", max_participation=0.1, entry=entry), daily_bars(rows)
    )
    assert made.fills == [Filled(1, "buy", 60, 98, "entry"), Filled(3, "buy", 40, 98, "entry")]


def test_rule_9_rest_of_a_triggered_stop_fills_at_the_next_open():
    rows = [(*FLAT, 5000), (*FLAT[:3], 99, 5000), (99, 99, 94, 96, 600), (98, 99, 97, 98, 5000)]
    made = run(
        strategy(enter_long="close == 100", exit={"stop_loss": 5}, max_participation=0.1),
        daily_bars(rows),
    )
    assert made.fills[1:] == [
        Filled(2, "sell", 60, 95, "stop_loss"),
        Filled(3, "sell", 40, 98, "stop_loss"),
    ]


def test_rule_9_stop_that_triggers_without_volume_fills_at_the_next_open():
    rows = [(*FLAT, 5000), (*FLAT[:3], 99, 5000), (99, 99, 94, 96, 0), (98, 99, 97, 98, 5000)]
    made = run(
        strategy(enter_long="close == 100", exit={"stop_loss": 5}, max_participation=0.1),
        daily_bars(rows),
    )
    assert made.fills[1:] == [Filled(3, "sell", 100, 98, "stop_loss")]


def test_rule_9_all_orders_of_a_bar_share_its_volume():
    # Both targets are reached: 50 at 102 and what is left of 80 at 104.
    exits = {"profit_target": [{"at": 2, "close": 0.5}, {"at": 4, "close": 0.5}]}
    rows = [
        (*FLAT, 5000),
        (*FLAT[:3], 99, 5000),
        (100, 106, 100, 105, 800),
        (105, 106, 104, 105, 5000),
    ]
    made = run(
        strategy(enter_long="close == 100", exit=exits, max_participation=0.1), daily_bars(rows)
    )
    assert made.fills[1:] == [
        Filled(2, "sell", 50, 102, "profit_target"),
        Filled(2, "sell", 30, 104, "profit_target"),
        Filled(3, "sell", 20, 105, "profit_target"),
    ]


@pytest.mark.parametrize("fill", ["next_open", "same_close"])
def test_rule_9_volume_limits_same_close_fills_too(fill):
    rows = [(*FLAT, 500), (100, 101, 99, 99, 300), (99, 100, 98, 99, 5000)]
    made = run(
        strategy(
            enter_long="close == 100",
            fill=fill,
            max_participation=0.1,
            entry={"time_in_force": "gtc"},
        ),
        daily_bars(rows),
    )
    volumes = [500, 300, 5000]
    for bar, volume in enumerate(volumes):
        assert sum(x.quantity for x in made.fills if x.bar == bar) <= 0.1 * volume


def test_rule_9_participation_counts_whole_lots():
    # A quarter of 190 is 47.5 units: four lots of ten.
    rows = [(*FLAT, 500), (101, 102, 100, 101, 190)]
    made = run(
        strategy(enter_long="close == 100", max_participation=0.25, entry={"time_in_force": "gtc"}),
        daily_bars(rows, lot=10.0),
    )
    assert made.fills == [Filled(1, "buy", 40, 101, "entry")]


@pytest.mark.parametrize(("first_bar", "has"), [(0, False), (1, False), (2, True), (3, True)])
def test_rule_9_whether_there_is_volume_is_decided_up_to_the_first_traded_bar(first_bar, has):
    """What is decided later would change decisions before it (rule 1)."""
    bars = daily_bars([FLAT, FLAT, (*FLAT, 500), FLAT])
    assert bars.has_volume(first_bar) == has
    assert first_bars(bars, first_bar + 1).has_volume(first_bar) == has


def test_rule_9_limits_are_off_in_a_backtest_of_bars_without_volume_so_far():
    document = document_from(long_only(enter_long="close > 0", max_participation=0.1))
    resolved = resolve_strategy(document)
    bars = daily_bars([FLAT, FLAT, (*FLAT, 500), (*FLAT, 500)])
    for first, lots in ((0, [0, 100, 100, 100]), (2, [0, 0, 0, 50])):
        result = run_instrument(
            resolved, bind(resolved, {}), LoadedBars(bars, first, "", ""), 100_000
        )
        assert result.run.record.lots.tolist() == lots
