"""What names mean, which kinds fit, and what a refusal says."""

from __future__ import annotations

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from foundation.errors import SpecError
from trading.expressions.ast import (
    Binary,
    Call,
    Compare,
    Indicator,
    Name,
    Number,
    Parameter,
    Shift,
    Timeframe,
)
from trading.expressions.constants import evaluate_constant, unique_nodes
from trading.expressions.parser import parse
from trading.expressions.resolve import NODES_MAX, Resolver, Scope, resolve

CLOSE = Name("close")


def rsi(n: float, series: object = CLOSE) -> Indicator:
    return Indicator("rsi", (series,), (Number(n),), 0)


def stoch(output: int) -> Indicator:
    return Indicator("stoch", (), (Number(14), Number(3), Number(3)), output)


def refusal(
    text: str, *, timeframe: str = "1d", no_facts: str = "", **definitions: str
) -> SpecError:
    scope = Scope(timeframe, {"length": 14.0, "level": 30.0}, definitions)
    with pytest.raises(SpecError) as caught:
        resolve(text, scope, "enter_long", no_facts=no_facts)
    return caught.value


def given(text: str, *, timeframe: str = "1d", **definitions: str) -> object:
    return resolve(text, Scope(timeframe, {"length": 14.0, "level": 30.0}, definitions), "x")


# Calls.


def test_an_indicator_without_series_reads_the_close():
    assert given("rsi(14)") == given("rsi(close, 14)") == given("rsi(close, length=14)") == rsi(14)


def test_an_indicator_without_arguments_takes_its_defaults():
    assert given("rsi()") == rsi(14)
    assert given("rsi(hl2)") == rsi(14, Name("hl2"))


def test_a_series_may_be_any_number_expression():
    assert given("ema(rsi(close, 14), 9)") == Indicator("ema", (rsi(14),), (Number(9),), 0)


def test_bars_are_implicit_inputs_of_indicators_that_need_high_and_low():
    assert given("stoch(14, 3, 3)") == stoch(0)
    error = refusal("stoch(close, 14, 3, 3)")
    assert "takes no series" in error.message
    assert error.column == 7


def test_parameters_may_be_arithmetic_of_numbers_and_parameters():
    assert given("rsi(7 * 2)") == rsi(14)
    node = given("rsi($length / 2)")
    assert node.parameters == (Binary("/", Parameter("length"), Number(2)),)
    assert evaluate_constant(node.parameters[0], {"length": 20}) == 10


@pytest.mark.parametrize(
    ("text", "column", "part"),
    [
        ("rsi(close, 14.5)", 12, "length of rsi must be a whole number from 2 to 1000, got 14.5"),
        ("rsi(close, 1)", 12, "got 1"),
        ("rsi(close, 1001)", 12, "got 1001"),
        ("rsi(close, close)", 12, "known before the run"),
        ("rsi(14, 3)", 9, "at most 1 argument"),
        ("rsi(close, lenght=3)", 19, "no argument `lenght`"),
        ("rsi(close, 14, length=3)", 23, "given twice"),
        ("rsi(close > open, 14)", 11, "this is a condition"),
        ("highest(close)", 1, "needs `n`"),
        ("highest(close, 0)", 16, "from 1 to 5000, got 0"),
        ("highest(close, 2.5)", 16, "whole number"),
        ("within(close, 3)", 8, "takes a condition, but this is a number"),
        ("count(close > open, volume)", 21, "known before the run"),
        ("min(close)", 1, "two or more"),
        ("close[-1]", 7, "the number of bars in [ ] must be a whole number from 0"),
        ("close[volume]", 7, "known before the run"),
        ("rsi(close, 1 / 0)", 14, "division by zero"),
    ],
)
def test_refused_arguments_name_the_place_and_the_range(text, column, part):
    error = refusal(text)
    assert part in error.message
    assert error.column == column


def test_constants_that_do_not_fit_together_are_refused_by_the_indicator():
    assert "macd" in refusal("macd(close, 26, 12, 9)").message


def test_constants_with_parameters_are_checked_when_they_are_known():
    resolver = Resolver(Scope("1d", {"length": 14.0}, {}))
    resolver.resolve(parse("rsi(close, $length) + macd($length, 26, 9)"), "enter_long")
    for constraint in resolver.constraints:
        constraint.check({"length": 20.0})
    with pytest.raises(
        SpecError, match="length of rsi must be a whole number from 2 to 1000, got 1 at"
    ):
        resolver.constraints[0].check({"length": 1.0})
    with pytest.raises(SpecError, match="macd"):
        [c.check({"length": 30.0}) for c in resolver.constraints]


def test_functions_of_the_language_fill_in_their_defaults():
    assert given("rising(close)") == Call("rising", (CLOSE, Number(1)))
    assert given("between(close, high=3, low=2)") == Call("between", (CLOSE, Number(2), Number(3)))


# Kinds.


@pytest.mark.parametrize(
    ("text", "column", "part"),
    [
        ("(close > open) + 1", 8, "`+` takes a number, but this is a condition"),
        ("-(close > open)", 9, "`-` takes a number"),
        ("(close > open) > 1", 8, "`>` compares numbers"),
        ("close and open > 1", 1, "`and` takes a condition, but this is a number"),
        ("not close", 5, "`not` takes a condition"),
        ("close > open or volume", 17, "`or` takes a condition"),
        ("true + 1", 1, "`+` takes a number"),
        ("true == 1", 1, "compares numbers"),
    ],
)
def test_numbers_and_conditions_do_not_mix(text, column, part):
    error = refusal(text)
    assert part in error.message
    assert error.column == column


def test_a_pattern_is_a_number_that_can_be_compared():
    assert given("hammer > 0", hammer="rsi(14) - 50") == Compare(
        ">", Binary("-", rsi(14), Number(50)), Number(0)
    )


# Names.


def test_names_are_expanded_and_may_shadow_a_function():
    assert given("rsi < $level", rsi="rsi(close, 14)") == Compare("<", rsi(14), Parameter("level"))


def test_names_may_use_names_that_come_later():
    assert given("a", a="b + 1", b="c * 2", c="close") == given("close * 2 + 1")


def test_a_call_of_a_shadowed_name_still_calls_the_function():
    assert given("rsi - rsi(7)", rsi="rsi(close, 14)") == Binary("-", rsi(14), rsi(7))


def test_an_output_is_picked_from_a_named_or_a_called_indicator():
    assert given("stoch.d", stoch="stoch(14, 3, 3)") == stoch(1)
    assert given("stoch(14, 3, 3).d") == stoch(1)
    assert given("stoch", stoch="stoch(14, 3, 3)") == stoch(0)


def test_an_output_is_picked_through_a_timeframe_and_a_shift():
    assert given("s.d", s="stoch(14, 3, 3) @ 1w") == Timeframe(stoch(1), "1w")
    assert given("s.d", s="stoch(14, 3, 3)[2]") == Shift(stoch(1), Number(2))


def test_a_name_that_is_defined_by_itself_is_refused_with_the_circle():
    error = refusal("a > 1", a="b + 1", b="c", c="abs(a)")
    assert "a -> b -> c -> a" in error.message
    assert error.path == "indicators.c"


def test_an_error_in_a_definition_names_the_definition():
    error = refusal("a > 1", a="close + clsoe")
    assert (error.path, error.column) == ("indicators.a", 9)


def test_the_misspelled_indicator_of_the_reference_is_refused_as_promised():
    assert str(refusal("rsl(close, 14) < 30")) == (
        "enter_long: unknown indicator `rsl` at column 1; did you mean `rsi`?"
    )
    assert str(refusal("rsl < 30", rsi="rsi(14)")) == (
        "enter_long: unknown indicator `rsl` at column 1; did you mean `rsi`?"
    )


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("clsoe > 1", "unknown name `clsoe`", "did you mean `close`?"),
        ("CLOSE > 1", "unknown name `CLOSE`", "did you mean `close`?"),
        ("rsi < 30", "`rsi` is a function", "`rsi(...)`"),
        ("stoch.k > 1", "`stoch` is a function", "`stoch(...).k`"),
        ("trend(3) > 1", "`trend` is defined under indicators", "without parentheses"),
        ("stoch(14, 3, 3).q > 1", "no output `q`", "it has k, d"),
        ("close.k > 1", "only an indicator has outputs", ""),
        ("$lenght > 1", "unknown parameter `$lenght`", "did you mean `$length`?"),
        ("zzzzzz > 1", "unknown indicator `zzzzzz`", ""),
    ],
)
def test_unknown_names_are_refused_with_what_may_be_meant(text, message, hint):
    error = refusal(text, trend="close")
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize("name", ["close", "position", "hour", "and", "a b", "1a", "é"])
def test_names_with_a_meaning_and_names_that_are_no_words_cannot_be_defined(name):
    with pytest.raises(SpecError) as caught:
        Resolver(Scope("1d", {}, {name: "close"}))
    assert caught.value.path == f"indicators.{name}"


def test_definitions_that_double_each_other_are_refused_before_they_fill_the_memory():
    doubling = {f"a{i}": f"a{i + 1} + a{i + 1}" for i in range(60)} | {"a60": "close"}
    error = refusal("a0 > 1", **doubling)
    assert str(NODES_MAX) in error.message


def test_definitions_that_nest_too_deep_are_refused():
    chain = {f"a{i}": "abs(" * 30 + f"a{i + 1}" + ")" * 30 for i in range(200)}
    error = refusal("a0 > 1", **chain, a200="close")
    assert "nested" in error.message


# Position and time facts.


@pytest.mark.parametrize(
    "text",
    [
        "entry_price[1] > 2",
        "rising(position)",
        "within(bars_in_trade > 3, 5)",
        "crosses_above(close, entry_price)",
        "ema(unrealized_return, 9) > 0",
        "(position > 0) @ 1w",
        "bars_since(position == 0) > 3",
    ],
)
def test_position_facts_are_refused_where_their_history_is_needed(text):
    assert "is a fact of the present position" in refusal(text).message


def test_position_facts_are_refused_under_indicators():
    error = refusal("a > 1", a="entry_price * 1.01")
    assert error.path == "indicators.a"
    assert "indicators table" in error.message


def test_position_facts_are_conditions_like_any_other():
    assert given("bars_in_trade >= 40") == Compare(">=", Name("bars_in_trade"), Number(40))


def test_time_facts_have_a_history_but_no_higher_timeframe():
    assert given("hour[1] == 9") == Compare("==", Shift(Name("hour"), Number(1)), Number(9))
    assert "strategy's own bars" in refusal("weekday @ 1w > 1").message


# Timeframes.


def test_a_name_on_a_timeframe_evaluates_its_definition_there():
    assert given("rsi @ 1w < 40", rsi="rsi(close, 14)") == Compare(
        "<", Timeframe(rsi(14), "1w"), Number(40)
    )


def test_a_shift_of_a_higher_timeframe_counts_its_own_bars():
    weekly = Timeframe(Shift(rsi(14), Number(1)), "1w")
    assert given("(rsi(14) @ 1w)[1]") == given("rsi(14)[1] @ 1w") == weekly
    assert given("t[1]", t="rsi(14) @ 1w") == weekly
    assert given("(2 * t + 1)[1]", t="rsi(14) @ 1w") == given("(2 * rsi(14) + 1)[1] @ 1w")


def test_a_shift_of_mixed_timeframes_counts_the_base_bars():
    node = given("(close - t)[1]", t="rsi(14) @ 1w")
    assert node == Shift(Binary("-", CLOSE, Timeframe(rsi(14), "1w")), Number(1))


def test_a_function_that_looks_back_counts_the_bars_of_where_it_is_written():
    assert given("highest(t, 3)[1]", t="rsi(14) @ 1w") == Shift(
        Call("highest", (Timeframe(rsi(14), "1w"), Number(3))), Number(1)
    )


@pytest.mark.parametrize(
    ("text", "timeframe", "part"),
    [
        ("close @ 1d", "1d", "must be higher than the strategy's timeframe, 1d"),
        ("close @ 1h", "1d", "must be higher"),
        ("(close @ 1d) @ 1w", "1h", "`@ 1d` can't stand inside `@ 1w`"),
        ("ema(close @ 1d, 9) @ 1w", "1h", "can't stand inside"),
        ("trend @ 1w", "1h", "already on 1d"),
    ],
)
def test_timeframes_go_up_and_do_not_nest(text, timeframe, part):
    assert part in refusal(text, timeframe=timeframe, trend="ema(close, 40) @ 1d").message


def test_a_resolved_tree_holds_no_parsed_leftovers():
    node = given(
        "stoch.k @ 1w > 20 and rising(rsi, 2) or hour >= 9",
        stoch="stoch(14, 3, 3)",
        rsi="rsi($length)",
    )
    kinds = {type(x).__name__ for x in unique_nodes(node)}
    assert kinds <= {
        "Logic",
        "Compare",
        "Timeframe",
        "Indicator",
        "Number",
        "Call",
        "Name",
        "Parameter",
    }


OPERANDS = st.sampled_from(
    [
        "1",
        "14",
        "$length",
        "close",
        "rsi",
        "stoch.k",
        "stoch.d",
        "hour",
        "position",
        "rsl",
        "true",
        "up",
    ]
)
EXPRESSIONS = st.recursive(
    OPERANDS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "/", "<", "==", "and", "or"]), inner).map(" ".join),
        inner.map("({})".format),
        inner.map("not {}".format),
        inner.map("({})[1]".format),
        inner.map("({}) @ 1w".format),
        inner.map("rsi({})".format),
        st.tuples(inner, inner).map(lambda xs: f"highest({xs[0]}, {xs[1]})"),
        st.tuples(inner, inner).map(lambda xs: f"crosses_above({xs[0]}, {xs[1]})"),
        inner.map("({}).k".format),
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@for_all(EXPRESSIONS, EXPRESSIONS)
def test_the_resolver_gives_a_tree_or_a_spec_error_for_any_expression(text, definition):
    scope = Scope(
        "1d",
        {"length": 14.0},
        {"rsi": definition, "stoch": "stoch(14, 3, 3)", "up": "close > open"},
    )
    message = ""
    try:
        node = resolve(text, scope, "enter_long")
    except SpecError as error:
        message = str(error)
    else:
        assert not any(type(x).__name__ == "Output" for x in unique_nodes(node))
    assert "\n" not in message


# Indicators that can't be had.


@pytest.mark.parametrize(
    ("text", "column"),
    [("zigzag(high) > 1", 1), ("close > tos_stdevall(close)", 9), ("close > zigzag", 9)],
)
def test_an_indicator_that_looks_ahead_is_refused_by_name(text, column):
    error = refusal(text)
    assert "is refused" in error.message
    assert "it looks ahead" in error.hint
    assert error.column == column


def test_an_output_that_looks_ahead_is_refused_by_name():
    error = refusal("close > ichimoku(9, 26, 52).lagging_span")
    assert error.message == "`ichimoku.lagging_span` is refused"
    assert "it looks ahead" in error.hint
    assert "close > close[25]" in error.hint


def test_a_misspelled_member_of_the_long_tail_is_guessed():
    assert refusal("kamma(close, 10) > 1").hint == "did you mean `kama`?"


def test_an_indicator_of_two_series_takes_both():
    node = given("correl(close, volume, 20)")
    assert node.inputs == (CLOSE, Name("volume"))
