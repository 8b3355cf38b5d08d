"""The grammar: what binds to what, and what a refusal says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import SpecError
from trading.expressions.ast import (
    Binary,
    Boolean,
    Call,
    Compare,
    Logic,
    Name,
    Number,
    Output,
    Parameter,
    Shift,
    Timeframe,
    Unary,
)
from trading.expressions.parser import DEPTH_MAX, TEXT_LENGTH_MAX, parse, split_terms


def refusal(text: str) -> SpecError:
    with pytest.raises(SpecError) as caught:
        parse(text, "enter_long")
    return caught.value


def test_multiplication_binds_tighter_than_addition():
    assert parse("1 + 2 * 3") == Binary("+", Number(1), Binary("*", Number(2), Number(3)))


def test_subtraction_and_division_group_to_the_left():
    assert parse("8 - 4 - 2") == Binary("-", Binary("-", Number(8), Number(4)), Number(2))
    assert parse("8 / 4 / 2") == Binary("/", Binary("/", Number(8), Number(4)), Number(2))


def test_minus_before_a_number_makes_a_negative_number():
    assert parse("-3") == Number(-3)
    assert parse("-close * 2") == Binary("*", Unary("-", Name("close")), Number(2))


def test_not_binds_looser_than_comparison_and_tighter_than_and():
    assert parse("not a > 1 and b > 2") == Logic(
        "and",
        (
            Logic("not", (Compare(">", Name("a"), Number(1)),)),
            Compare(">", Name("b"), Number(2)),
        ),
    )


def test_and_binds_tighter_than_or():
    a, b, c = (Compare(">", Name(x), Number(1)) for x in "abc")
    assert parse("a > 1 or b > 1 and c > 1") == Logic("or", (a, Logic("and", (b, c))))


def test_a_timeframe_belongs_to_the_operand_directly_before_it():
    weekly = Timeframe(Call("ema", (Name("close"), Number(40))), "1w")
    assert parse("close > ema(close, 40) @ 1w") == Compare(">", Name("close"), weekly)
    assert parse("close - ema(close, 40) @ 1w") == Binary("-", Name("close"), weekly)


def test_a_parenthesis_puts_a_whole_expression_on_a_timeframe():
    assert parse("(close > open) @ 1d") == Timeframe(
        Compare(">", Name("close"), Name("open")), "1d"
    )


def test_suffixes_apply_from_left_to_right():
    assert parse("stoch.k @ 1w [2]") == Shift(
        Timeframe(Output(Name("stoch"), "k"), "1w"), Number(2)
    )


def test_arguments_may_be_named():
    assert parse("bbands(hl2, length=$n)") == Call(
        "bbands", (Name("hl2"),), (("length", Parameter("n")),)
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("1.5", 1.5), (".5", 0.5), ("2.", 2), ("1e3", 1000), ("1E-2", 0.01)],
)
def test_numbers_are_read_in_every_usual_form(text, value):
    assert parse(text) == Number(value)


def test_true_and_false_are_conditions():
    assert parse("true or false") == Logic("or", (Boolean(True), Boolean(False)))


def test_columns_count_from_one():
    node = parse("rsi  <  30")
    assert (node.column, node.left.column, node.right.column) == (6, 1, 9)


def test_columns_do_not_make_equal_expressions_differ():
    assert parse("a  +  b") == parse("a + b")
    assert hash(parse("a  +  b")) == hash(parse("a + b"))


@pytest.mark.parametrize(
    ("text", "column", "part"),
    [
        ("rsi(close, 14", 14, "expected `,` or `)`, found the end"),
        ("(a + b", 7, "expected `)`, found the end"),
        ("close[1", 8, "expected `]`, found the end"),
        ("a +", 4, "expected an operand, found the end"),
        ("a b", 3, "expected an operator or the end, found `b`"),
        ("a and and b", 7, "expected an operand, found `and`"),
        ("5x > 1", 1, "`5x` is not a number"),
        ("1.2.3", 1, "is not a number"),
        ("a @ 7w", 5, "unknown timeframe `7w`"),
        ("a @", 4, "expected a timeframe"),
        ("f(x=1, 2)", 8, "a positional argument can't follow a named one"),
        ("f(x=1, x=2)", 8, "`x` is given twice"),
        ("stoch.1", 6, "operator"),
        ("stoch.(k)", 7, "expected the name of an output"),
        ("1e999", 1, "too large"),
    ],
)
def test_refusals_name_the_column_and_what_was_expected(text, column, part):
    error = refusal(text)
    assert error.column == column
    assert part in error.message
    assert error.path == "enter_long"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a & b", "`and`"),
        ("a | b", "`or`"),
        ("a = b", "`==`"),
        ("close * 2%", "0.02"),
        ("a ^ 2", "multiply"),
        ("$ x", "$name"),
        ("30 < rsi < 70", "30 < rsi and rsi < ..."),
    ],
)
def test_refusals_of_foreign_habits_say_what_to_write_here(text, hint):
    assert hint in refusal(text).hint


def test_a_chained_comparison_is_refused_at_its_second_sign():
    error = refusal("30 < rsi < 70")
    assert error.column == 10
    assert "can't be chained" in error.message


def test_an_empty_expression_is_refused():
    assert "empty" in refusal("  \n ").message


def test_length_and_depth_have_limits():
    assert str(TEXT_LENGTH_MAX) in refusal("1" * (TEXT_LENGTH_MAX + 1)).message
    deep = DEPTH_MAX + 1
    for text in (
        "(" * deep + "1" + ")" * deep,
        "-" * deep + "x",
        "not " * deep + "true",
        "abs(" * deep + "1" + ")" * deep,
        "1" + " + 1" * deep,
        "x" + "[1]" * deep,
    ):
        assert str(DEPTH_MAX) in refusal(text).message


def test_a_control_character_cannot_break_a_message_into_two_lines():
    assert "\\u0085" in str(refusal("a\x85b"))


def test_terms_are_the_top_level_parts_of_an_and_with_their_source():
    _, terms = split_terms("rsi <  30 and crosses_above(k, d) and (close > t or h > 0)")
    assert [text for _, text in terms] == [
        "rsi < 30",
        "crosses_above(k, d)",
        "(close > t or h > 0)",
    ]


@pytest.mark.parametrize("text", ["a > 1 or b > 1 and c > 1", "a > 1 and b > 1 or c > 1", "a > 1"])
def test_a_condition_without_top_level_and_is_one_term(text):
    node, terms = split_terms(text)
    assert terms == ((node, text),)


WORDS = (
    "close rsi stoch.k $n 14 1.5 .5 ( ) [ ] , . @ 1w 1d + - * / < <= > >= == != = and or not true"
    " false min( rising( x[1] a=1 % & \" ' \\ é \x00 \x85 \n $ ! 9999999999e9999 ٣ ²"
)
FRAGMENTS = st.sampled_from(WORDS.split(" "))


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=80), st.lists(FRAGMENTS, max_size=30).map(" ".join)))
def test_the_parser_gives_a_tree_or_a_spec_error_for_any_text(text):
    message = ""
    try:
        parse(text)
    except SpecError as error:
        message = str(error)
    assert "\n" not in message


NUMBERS = st.floats(0, 1e6, allow_nan=False).map(repr)


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        NUMBERS,
        lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(
            lambda parts: f"({' '.join(parts)})"
        ),
        max_leaves=12,
    )
)
def test_arithmetic_evaluates_as_in_python(text):
    from trading.expressions.constants import evaluate_constant

    expected = eval(text)
    try:
        found = evaluate_constant(parse(text), {})
    except SpecError:
        assert abs(expected) == float("inf")
    else:
        assert found == expected
