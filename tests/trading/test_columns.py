"""What expressions mean, bar by bar, and that one bar at a time gives the same bits.

Expected columns are written out; None is an unknown condition, NaN an unknown
number. `x` is the close, unknown on bars without volume.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.making import (
    Filled,
    daily_bars,
    intraday_bars,
    link,
    long_only,
    random_bars,
    run,
    short_only,
    strategy,
)
from trading.bars import Bars
from trading.dtypes import FALSE, TRUE, UNKNOWN
from trading.stepping import SteppedSleeve

NAN = float("nan")
TRUTH = {FALSE: False, UNKNOWN: None, TRUE: True}
X = "close * volume / volume"
T, F, U = True, False, None


def flat(close: float, volume: float = 1.0) -> tuple[float, ...]:
    return (close, close, close, close, volume)


def bars_of(x: Sequence[float]) -> Bars:
    """Return daily bars whose `x` has these values, with no volume where it is NaN."""
    return daily_bars([flat(50.0, 0.0) if v != v else flat(v) for v in x])


def columns(bars: Bars, **named: str) -> dict[str, list]:
    """Return named expressions as columns, after checking that stepping gives the same bits."""
    document = strategy(enter_long="close < 0", indicators={"x": X, **named})
    document["timeframe"] = bars.timeframe
    linked = link(document, bars)
    found = {}
    for c in linked.strategy.indicators:
        part = linked.feed.flags[c.row] if c.is_flag else linked.feed.matrix[c.row]
        found[c.name] = part
    sleeve = SteppedSleeve(linked.linker, linked.plan, 1000.0)
    for i in sleeve.step_bars(bars):
        for c in linked.strategy.indicators:
            memory = sleeve.memory.flags if c.is_flag else sleeve.memory.matrix
            assert memory[c.row, 0].tobytes() == found[c.name][i].tobytes(), (c.name, i)
    return {
        name: [TRUTH[int(v)] for v in part] if part.dtype == np.int8 else [float(v) for v in part]
        for name, part in found.items()
    }


def column(expression: str, bars: Bars) -> list:
    return columns(bars, it=expression)["it"]


def same(got: Sequence[float], expected: Sequence[float]) -> bool:
    return got == pytest.approx(expected, nan_ok=True, rel=1e-12)


# Three-valued logic. `a` is read from the volume, `b` from the close; each takes
# all three values against the other.
A_VALUES = {1.0: T, 0.0: U, 2.0: F}
B_VALUES = {101.0: T, 100.0: U, 102.0: F}
PAIRS = list(itertools.product(A_VALUES, B_VALUES))
A, B = "1 / volume > 0.7", "1 / (close - 100) > 0.7"


def truth_table(expression: str) -> dict[tuple[bool | None, bool | None], bool | None]:
    bars = daily_bars([flat(close, volume) for volume, close in PAIRS])
    values = column(expression, bars)
    return {(A_VALUES[v], B_VALUES[c]): value for (v, c), value in zip(PAIRS, values, strict=True)}


def test_and_is_false_when_a_part_is_false_and_else_unknown_when_a_part_is_unknown():
    assert truth_table(f"{A} and {B}") == {
        (T, T): T, (T, U): U, (T, F): F,
        (U, T): U, (U, U): U, (U, F): F,
        (F, T): F, (F, U): F, (F, F): F,
    }  # fmt: skip


def test_or_is_true_when_a_part_is_true_and_else_unknown_when_a_part_is_unknown():
    assert truth_table(f"{A} or {B}") == {
        (T, T): T, (T, U): T, (T, F): T,
        (U, T): T, (U, U): U, (U, F): U,
        (F, T): T, (F, U): U, (F, F): F,
    }  # fmt: skip


def test_not_of_unknown_is_unknown():
    assert {key[0]: value for key, value in truth_table(f"not {A}").items()} == {T: F, U: U, F: T}


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">=", "==", "!="])
def test_a_comparison_with_nan_is_unknown(operator):
    bars = bars_of([NAN, 3.0])
    got = columns(bars, a=f"x {operator} 3", b=f"3 {operator} x", c=f"x {operator} close")
    assert got["a"][0] is got["b"][0] is got["c"][0] is None
    equal = operator in ("<=", ">=", "==")
    assert got["a"][1] is got["b"][1] is got["c"][1] is equal


def test_a_division_by_zero_is_unknown_and_so_is_all_that_it_enters():
    bars = bars_of([NAN, 4.0])
    got = columns(bars, q="1 / volume", least="min(x, 1)", most="max(1, x)", size="abs(-x)")
    assert same(got["q"], [NAN, 1.0])
    assert same(got["least"], [NAN, 1.0])
    assert same(got["most"], [NAN, 4.0])
    assert same(got["size"], [NAN, 4.0])


def test_between_includes_both_ends():
    assert column("between(x, 2, 4)", bars_of([1, 2, 3, 4, 5, NAN])) == [F, T, T, T, F, U]


def test_crosses_above_needs_beyond_now_and_not_beyond_one_bar_before():
    x = [9, 11, 12, NAN, 13, 10, 11, 10, 10.5]
    got = columns(
        bars_of(x),
        literal="crosses_above(x, 10)",
        row="crosses_above(x, 10 + 0 * x)",
        mirrored="crosses_below(10, x)",
    )
    # 13 comes after an unknown bar: nobody can tell. 10 is not beyond 10.
    expected = [F, T, F, U, U, F, T, F, T]
    assert got["literal"] == got["row"] == got["mirrored"] == expected


def test_crosses_below_mirrors_crosses_above():
    x = [11, 9, 8, 10, 9, NAN, 11, 9]
    got = columns(bars_of(x), a="crosses_below(x, 10)", b="crosses_above(10, x)")
    assert got["a"] == got["b"] == [F, T, F, F, T, U, F, T]


def test_a_first_bar_beyond_the_level_is_an_unknown_crossing():
    assert column("crosses_above(x, 10)", bars_of([11, 12])) == [U, F]


def test_rising_wants_each_of_the_last_bars_to_rise():
    x = [1, 2, 3, 3, 4, 5, NAN, 6, 7, 8]
    got = columns(bars_of(x), one="rising(x)", two="rising(x, 2)")
    assert got["one"] == [U, T, T, F, T, T, U, U, T, T]
    assert got["two"] == [U, U, T, F, F, T, U, U, U, T]


def test_one_bar_against_the_direction_settles_rising_before_all_bars_are_known():
    assert column("rising(x, 3)", bars_of([5, 4, 5, 6, 7])) == [U, F, F, F, T]


def test_falling_mirrors_rising():
    assert column("falling(x, 2)", bars_of([5, 4, 3, 3, 2, 1])) == [U, U, T, F, F, T]


# A condition that is true, false or unknown on chosen bars.
def condition(pattern: str) -> Bars:
    return bars_of([{"T": 2.0, "F": 1.0, "U": NAN}[letter] for letter in pattern])


def test_within_remembers_a_true_bar_for_its_number_of_bars():
    expected = [T, T, T, F, U, U, U, F, T]
    assert column("within(x == 2, 3)", condition("TFFFUFFFT")) == expected


def test_within_prefers_a_true_bar_to_an_unknown_one():
    assert column("within(x == 2, 2)", condition("TUFUT")) == [T, T, U, U, T]


def test_within_is_unknown_while_a_bar_of_the_window_is_before_the_data():
    assert column("within(x == 2, 3)", condition("FFFTF")) == [U, U, F, T, T]
    assert column("within(x == 2, 1)", condition("FTF")) == [F, T, F]
    # What is not known to be false is not known to be not true.
    assert column("not within(x == 2, 3)", condition("FFF")) == [U, U, T]


def test_count_needs_all_its_bars_known():
    got = column("count(x == 2, 3)", condition("TFTTUFFF"))
    assert same(got, [NAN, NAN, 2, 2, NAN, NAN, NAN, 0])


def test_bars_since_is_zero_at_the_bar_and_unknown_before_the_first():
    got = column("bars_since(x == 2)", condition("FFTFFTF"))
    assert same(got, [NAN, NAN, 0, 1, 2, 0, 1])


def test_bars_since_is_unknown_after_an_unknown_bar_until_the_next_true_one():
    got = column("bars_since(x == 2)", condition("TFUFTF"))
    assert same(got, [0, 1, NAN, NAN, 0, 1])


def test_a_shift_looks_back_bars_of_its_own_series():
    got = columns(bars_of([1, 2, NAN, 4]), none="x[0]", two="x[2]", change="x - x[1]")
    assert same(got["none"], [1, 2, NAN, 4])
    assert same(got["two"], [NAN, NAN, 1, 2])
    assert same(got["change"], [NAN, 1, NAN, NAN])


def test_highest_and_lowest_include_this_bar():
    got = columns(bars_of([3, 1, 2, 5, 4]), top="highest(x, 3)", bottom="lowest(x, 2)")
    assert same(got["top"], [NAN, NAN, 3, 5, 5])
    assert same(got["bottom"], [NAN, 1, 1, 2, 4])


def test_prices_of_a_bar_and_their_means():
    bars = daily_bars([(10, 14, 8, 12, 7)])
    got = columns(
        bars, o="open", h="high", lo="low", c="close", v="volume", a="hl2", b="hlc3", d="ohlc4"
    )
    assert [got[k][0] for k in ("o", "h", "lo", "c", "v")] == [10, 14, 8, 12, 7]
    assert got["a"][0] == 11  # (14 + 8) / 2
    assert got["b"][0] == pytest.approx(34 / 3)
    assert got["d"][0] == 11  # 44 / 4


def test_series_inputs_take_expressions_and_wait_for_them():
    # sma(2) of sma(2): the first mean is known at bar 1, their mean at bar 2.
    got = column("sma(sma(x, 2), 2)", bars_of([1, 3, 5, 9]))
    assert same(got, [NAN, NAN, (2 + 4) / 2, (4 + 7) / 2])


# Setups.


def armed_entry(marks: Sequence[float]) -> list[bool | None]:
    """Return `enter_long` (mark 3) after mark 1 within 3 bars and mark 2 within 2.

    Mark 5 is a second stage and trigger at once, mark 6 a first and second stage.
    """
    document = long_only(
        enter_long="volume == 3 or volume == 5",
        setup=[
            {"when": "volume == 1 or volume == 6", "within": 3},
            {"when": "volume == 2 or volume == 5 or volume == 6", "within": 2},
        ],
    )
    bars = daily_bars([flat(10.0, mark) for mark in marks])
    linked = link(document, bars)
    row = linked.strategy.condition_rows["enter_long"]
    sleeve = SteppedSleeve(linked.linker, linked.plan, 1000.0)
    stepped = [int(sleeve.memory.flags[row, 0]) for _ in sleeve.step_bars(bars)]
    assert stepped == linked.feed.flags[row].tolist()
    return [TRUTH[flag] for flag in stepped]


@pytest.mark.parametrize(
    ("marks", "triggers"),
    [
        ([1, 2, 3], True),
        ([1, 0, 0, 2, 3], True),  # the second stage on the third bar after the first
        ([1, 0, 0, 0, 2, 3], False),  # a bar too late
        ([1, 2, 0, 3], True),
        ([1, 2, 0, 0, 3], False),  # the trigger a bar too late
        ([2, 1, 3], False),  # stages in the wrong order
        ([1, 3], False),
        ([1, 5], False),  # the trigger must come after the last stage
        ([1, 5, 5], True),
        ([6, 3], False),  # one bar serves one stage
        ([6, 6, 3], True),
        ([1, 2, 0, 2, 3], True),  # the latest occurrence counts
    ],
)
def test_a_trigger_counts_after_all_stages_in_order_and_in_time(marks, triggers):
    assert armed_entry(marks)[-1] is triggers


# Higher timeframes: 2024-01-01 is a Monday.


def weeks(n_bars: int, first: str = "2024-01-01", **given) -> Bars:
    rows = [(k + 1.0, k + 2.0, k + 0.5, k + 1.5, 1.0) for k in range(n_bars)]
    for k in given.pop("missing", ()):
        rows[k] = None
    return daily_bars(rows, first=first, periods=("1w",), **given)


def test_fridays_close_sees_its_week():
    got = columns(
        weeks(11), o="open @ 1w", h="high @ 1w", lo="low @ 1w", c="close @ 1w", v="volume @ 1w"
    )
    assert same(got["o"], [NAN] * 4 + [1.0] * 5 + [6.0] * 2)
    assert same(got["h"], [NAN] * 4 + [6.0] * 5 + [11.0] * 2)
    assert same(got["lo"], [NAN] * 4 + [0.5] * 5 + [5.5] * 2)
    assert same(got["c"], [NAN] * 4 + [5.5] * 5 + [10.5] * 2)
    assert same(got["v"], [NAN] * 4 + [5.0] * 7)


def test_an_incomplete_first_week_is_dropped():
    # From Wednesday on: the first whole week ends at bar 7.
    got = column("close @ 1w", weeks(9, first="2024-01-03"))
    assert same(got, [NAN] * 7 + [8.5] * 2)


def test_a_week_ends_on_thursday_when_friday_is_a_holiday():
    got = column("close @ 1w", weeks(8, holidays=("2024-01-05",)))
    assert same(got, [NAN] * 3 + [4.5] * 5)


def test_a_week_whose_friday_has_no_bar_is_seen_once_the_next_week_begins():
    # Bar 4 (Friday) is missing, so the fifth bar is Monday's.
    got = column("close @ 1w", weeks(7, missing=(4,)))
    assert same(got, [NAN] * 4 + [4.5] * 2)


def test_shifts_of_a_higher_timeframe_count_its_own_bars():
    got = columns(weeks(16), trend="close @ 1w", before="trend[1]", mean="sma(close, 2) @ 1w")
    assert same(got["before"], [NAN] * 9 + [5.5] * 5 + [10.5] * 2)
    assert same(got["mean"], [NAN] * 9 + [8.0] * 5 + [13.0] * 2)


def test_a_condition_of_a_higher_timeframe_is_unknown_before_its_first_bar():
    assert column("(close > 6) @ 1w", weeks(11)) == [U] * 4 + [F] * 5 + [T] * 2


def test_an_indicator_of_the_session_stands_beside_others_of_a_higher_timeframe():
    """A leaf that is asked for after a node was linked still has its place."""
    rows = [flat(10.0 + k, 1.0) for k in range(8)]
    bars = intraday_bars([rows, rows], "30m", periods=("1h",), session_bars=8)
    got = columns(bars, a="sma(close, 2) @ 1h", b="vwap() @ 1h")
    # The first hour goes from 10 to 11, the second from 12 to 13; the volume-weighted
    # price begins anew with each session.
    first = (11 + 10 + 11) / 3
    assert got["b"][1] == pytest.approx(first)
    assert got["b"][9] == pytest.approx(first)
    assert got["a"][3] == 12.0


# Facts of the position and of the time.


def test_bars_in_trade_is_one_at_the_close_of_the_bar_that_filled():
    rows = [flat(10.0, 1.0), flat(10.0, 0.0), flat(10.0, 0.0), flat(10.0, 0.0)]
    got = run(long_only(exit_long="bars_in_trade >= 1"), daily_bars(rows))
    assert got.fills == [Filled(1, "buy", 100, 10.0, "entry"), Filled(2, "sell", 100, 10.0, "exit")]
    later = run(long_only(exit_long="bars_in_trade == 2"), daily_bars(rows))
    assert later.fills[1] == Filled(3, "sell", 100, 10.0, "exit")


def test_position_facts_of_a_long():
    # Bought at 10; 5 % up is 10.5, reached at the close of bar 2.
    rows = [flat(10.0, 1.0), flat(10.0, 0.0), flat(10.5, 0.0), flat(11.0, 0.0), flat(11.0, 0.0)]
    for condition_text in (
        "unrealized_return >= 0.05",
        "close >= entry_price * 1.05",
        "position == 100 and close > 10.2",
    ):
        got = run(long_only(exit_long=condition_text), daily_bars(rows))
        assert got.fills[1:] == [Filled(3, "sell", 100, 11.0, "exit")], condition_text


def test_position_facts_of_a_short():
    # Sold at 10; 9.5 is 5 % of profit.
    rows = [flat(10.0, 3.0), flat(10.0, 0.0), flat(9.5, 0.0), flat(9.0, 0.0), flat(9.0, 0.0)]
    for condition_text in ("unrealized_return >= 0.05", "position == -100 and close < 9.8"):
        got = run(short_only(exit_short=condition_text), daily_bars(rows))
        assert got.fills[1:] == [Filled(3, "buy", 100, 9.0, "exit")], condition_text


def test_the_entry_price_is_unknown_and_the_position_zero_while_flat():
    rows = [flat(10.0, 0.0)] * 3
    got = run(long_only(enter_long="close > entry_price"), daily_bars(rows))
    assert got.reasons == ["warming_up"] * 3
    got = run(long_only(enter_long="position == 0 and bars_in_trade == 0"), daily_bars(rows))
    assert got.actions == ["enter_long", "", ""]


def test_time_facts_are_local_to_the_exchange_at_the_bars_open():
    rows = [flat(10.0)] * 3
    bars = intraday_bars([rows, rows], "30m", first="2024-01-05", session_bars=13)  # Friday
    got = columns(bars, h="hour", m="minute", d="weekday", n="session_bar")
    assert got["h"] == [9, 10, 10] * 2
    assert got["m"] == [30, 0, 30] * 2
    assert got["d"] == [4] * 3 + [0] * 3
    assert got["n"] == [0, 1, 2] * 2


def test_session_bar_counts_scheduled_bars_not_those_that_traded():
    bars = intraday_bars([[flat(10.0), None, flat(11.0)]], "30m", session_bars=13)
    assert column("session_bar", bars) == [0, 2]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_stepping_gives_the_same_bits_as_the_batch(seed):
    """Every function of the language and some kernels, nested, on random bars with gaps in x."""
    columns(
        random_bars(seed, 80, volume=2.0, periods=("1w",)),
        a="ema(rsi(x, 5), 3)",
        b="crosses_above(ema(close, 3), sma(x, 4))",
        c="within(crosses_below(x, close[1]), 3) or rising(close, 2)",
        d="count(x > close[1], 4) + bars_since(falling(x, 2))",
        e="highest(x, 3) - lowest(low, 5) @ 1w" if seed % 2 else "highest(x, 3) - lowest(low, 5)",
        f="(crosses_above(close, ema(close, 2))) @ 1w",
        g="macd(close, 3, 6, 2).histogram / atr(5)" if seed % 3 else "atr(5) @ 1w",
        h="not (x > sma(x, 3)) and between(close, low, high)",
    )
