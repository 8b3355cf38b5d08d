"""The strategy document: what is read, what is refused, and what it is known by."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import SpecError
from trading.document import (
    StrategyDocument,
    canonical,
    document_from,
    json_schema,
    load_document,
    version_hash,
    with_parameters,
)
from trading.expressions.ast import Binary, Call, Indicator, Name, Number
from trading.expressions.functions import FUNCTIONS
from trading.expressions.strategy import (
    EntryType,
    FillAt,
    Policy,
    SizeMethod,
    TimeInForce,
    bind,
    resolve_strategy,
)

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
ATR = Indicator("atr", (), (Number(14),), 0)


def plain(**changes: Any) -> dict[str, Any]:
    """Return the smallest document, with keys changed; `execution.size` names a nested key."""
    data: dict[str, Any] = {
        "name": "smallest",
        "timeframe": "1d",
        "instruments": ["AAPL"],
        "indicators": {"atr": "atr(14)"},
        "enter_long": "close > open",
    }
    for path, value in changes.items():
        here = data
        *steps, last = path.split(".")
        for step in steps:
            here = here.setdefault(step, {})
        here[last] = value
    return data


def refusal(**changes: Any) -> str:
    with pytest.raises(SpecError) as caught:
        document_from(plain(**changes))
    return str(caught.value)


def policy(values: dict[str, float] | None = None, **changes: Any) -> Policy:
    return bind(resolve_strategy(document_from(plain(**changes))), values or {}).policy


# The document of the reference.


def reference() -> StrategyDocument:
    return load_document(EXAMPLES[[p.stem for p in EXAMPLES].index("rsi_stochastic_reversal")])


def test_the_reference_strategy_resolves_to_its_terms():
    strategy = resolve_strategy(reference())
    assert [term.text for term in strategy.enter_long.terms] == [
        "rsi < $oversold",
        "crosses_above(stoch.k, stoch.d)",
        "(close > trend or hammer > 0)",
    ]
    assert [term.text for term in strategy.exit_long.terms] == ["rsi > 70 or bars_in_trade >= 40"]
    assert strategy.enter_short is None
    assert strategy.timeframes == ("1w",)
    assert [o.name for o in strategy.indicators] == [
        "atr",
        "hammer",
        "rsi",
        "stoch.k",
        "stoch.d",
        "trend",
    ]


def test_the_reference_strategy_binds_to_its_numbers():
    bound = bind(resolve_strategy(reference()), {"oversold": 25})
    assert bound.values == {"rsi_length": 14, "oversold": 25}
    p = bound.policy
    assert (p.entry_type, p.time_in_force, p.cancel_after_bars) == (
        EntryType.LIMIT,
        TimeInForce.GTC,
        3,
    )
    assert (p.n_rungs, p.weights) == (3, (1.0, 1.0, 2.0))
    assert (p.size_method, p.size) == (SizeMethod.RISK_FRACTION, 0.01)
    assert p.target_shares == (0.5, 0.5)
    assert (p.commission_per_share, p.commission_minimum, p.commission_maximum_fraction) == (
        0.005,
        1,
        0.005,
    )
    assert (p.slippage_bps, p.max_daily_loss, p.max_drawdown, p.max_orders_per_minute) == (
        1,
        0.03,
        0.2,
        30,
    )
    assert (p.fill, p.max_participation, p.price_collar) == (
        FillAt.NEXT_OPEN,
        float("inf"),
        float("inf"),
    )


def test_the_reference_strategy_has_its_prices_as_trees():
    prices = resolve_strategy(reference()).prices
    assert prices.entry_long == Binary("-", Name("close"), Binary("*", Number(0.25), ATR))
    assert prices.stop_loss == Binary("*", Number(2), ATR)
    assert [t.at for t in prices.targets] == [Binary("*", Number(n), ATR) for n in (3, 6)]
    assert prices.entry_short is None


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_each_example_loads_and_begins_with_a_sentence(path):
    assert re.match(r"# [A-Z][^.]*(\n# [^.]*)?\.\n", path.read_text())
    document = load_document(path)
    assert document.name == path.stem.replace("_", "-")


def test_there_are_six_examples():
    assert len(EXAMPLES) == 6


# Reading.


def test_yaml_and_json_give_the_same_document():
    data = plain(**{"execution.size": {"equity_fraction": 0.5}})
    assert (
        load_document(json.dumps(data))
        == load_document(yaml.safe_dump(data))
        == document_from(data)
    )


def test_a_document_is_read_from_a_path_and_a_path_as_text(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(plain()))
    assert load_document(path) == load_document(str(path)) == document_from(plain())


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(SpecError, match=r"can't read .*nothing\.yaml: No such file"):
        load_document(tmp_path / "nothing.yaml")


def test_symbols_that_yaml_takes_for_booleans_stay_symbols():
    text = yaml.safe_dump(plain()).replace("AAPL", "NO\n- ON\n- Y")
    assert load_document(text).instruments == ("NO", "ON", "Y")


def test_what_stands_in_quotes_is_text():
    text = yaml.safe_dump(plain()).replace("AAPL", "'600519'\n- \"true\"")
    assert load_document(text).instruments == ("600519", "true")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("name: a\nname: b\n", "key `name` is given twice in line 2"),
        ('{"name": "a", "name": "b"}', "key `name` is given twice"),
        ("a: &x 1\nb: *x\n", "references (`*x`) are not allowed in line 2"),
        ("a: !!python/object:os.system x\n", "tags"),
        ("[" * 100, "nested more than 20 deep"),
        ('{"a":' * 30 + "1" + "}" * 30, "nested more than 20 deep"),
        ('{"a":' * 100_000, "256 KiB"),
        ("[" * 200_000, "nested more than 20 deep"),
        ('{"a":' + "[" * 200_000, "not valid JSON"),
        ("a: [1, 2\n", "not valid YAML"),
        ("", "the document is empty"),
        ("a: 1\n---\na: 2\n", "more than one document"),
        ('{"a": NaN}', "NaN is not a number"),
        ('{"a": 1e999}', "too large a number"),
        ("a: 1e999", "too large a number"),
        ("- a\n", "expected keys and values, got a list"),
        ("hello", "expected keys and values, got text"),
        (b"\xff\xfe", "not UTF-8"),
        ("x" * 300_000, "256 KiB"),
        ("a: [" + "1," * 30_000 + "1]", "more than 20000 values"),
    ],
)
def test_text_that_is_no_document_is_refused_in_one_line(text, part):
    with pytest.raises(SpecError) as caught:
        load_document(text)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200),
        st.text(alphabet="ab:-[]{},&*!|>'\"%@` \n\t#?1.~", max_size=80),
    )
)
def test_any_text_is_a_document_or_a_spec_error(text):
    with pytest.raises(SpecError):
        load_document(text)


# Refusals of single fields.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"enterlong": "x"}, "unknown key `enterlong`; did you mean `enter_long`?"),
        (
            {"execution.exit": {"stoploss": 1}},
            "execution.exit: unknown key `stoploss`; did you mean `stop_loss`?",
        ),
        (
            {"execution.exit": {"profit_target": [{"at": 1, "clos": 1}]}},
            "execution.exit.profit_target[0]: unknown key `clos`; did you mean `close`?",
        ),
        (
            {"parameters": {"fine": {"default": 1}, "odd": {"defalt": 1}}},
            "parameters.odd: unknown key `defalt`; did you mean `default`?",
        ),
        ({"costs.slippage_bps": [1]}, "costs.slippage_bps: expected a number or text, got a list"),
        (
            {"execution.pyramiding": True},
            "execution.pyramiding: expected a number or text, got true or false",
        ),
        (
            {"timeframe": "1D"},
            "timeframe: expected one of 1m, 5m, 15m, 30m, 1h, 4h, 1d, 1w, got '1D'; did you mean `1d`?",
        ),
        (
            {"instruments": [600519]},
            "instruments[0]: expected text, got a number; write it in quotes",
        ),
        ({"name": "A b"}, "name: lower-case letters"),
        ({"setup": [{"when": "close > 1"}]}, "setup[0]: `within` is missing"),
        (
            {"indicators": {"atr": "atr(14)", "x": None}},
            "indicators.x: expected a number or text, got nothing",
        ),
    ],
)
def test_a_field_that_is_not_valid_is_refused_in_the_words_of_the_document(changes, message):
    assert refusal(**changes).startswith(message)


def test_an_expression_cut_by_a_comma_is_explained():
    text = yaml.safe_dump(plain()) + "setup: [{when: rsi(close, 14) < 30, within: 5}]\n"
    with pytest.raises(SpecError, match="put the expression in quotes"):
        load_document(text)


@pytest.mark.parametrize(
    ("changes", "path", "part"),
    [
        ({"enter_long": None}, "", "`enter_long` or `enter_short` is needed"),
        ({"exit_short": "close > 1"}, "exit_short", "no effect without `enter_short`"),
        ({"setup_short": [{"when": "true", "within": 1}]}, "setup_short", "no effect"),
        ({"instruments": []}, "instruments", "at least one symbol"),
        ({"instruments": ["A", "A"]}, "instruments[1]", "named twice"),
        ({"instruments": ["../x"]}, "instruments[0]", "not a symbol"),
        ({"weights": {"B": 1}}, "weights", "not among the instruments"),
        ({"weights": {"AAPL": 0}}, "weights.AAPL", "above 0"),
        ({"instruments": ["A", "B"], "weights": {"A": 1}}, "weights", "B has no weight"),
        (
            {"parameters": {"a": {"default": 5, "low": 6}}},
            "parameters.a.default",
            "5 is not within 6 to any",
        ),
        (
            {"parameters": {"a": {"default": 5, "low": 6, "high": 4}}},
            "parameters.a",
            "low 6 is above high 4",
        ),
        (
            {"parameters": {"a": {"default": 5, "step": 1}}},
            "parameters.a",
            "a step needs low and high",
        ),
        (
            {"parameters": {"a": {"default": 6, "low": 5, "high": 9, "step": 2}}},
            "parameters.a.default",
            "6 is not 5 plus whole steps of 2",
        ),
        (
            {"execution.entry": {"type": "limit"}},
            "execution.entry",
            "a limit order needs `price` or `offset`",
        ),
        ({"execution.entry": {"price": "close"}}, "execution.entry", "a market order has no price"),
        (
            {"execution.entry": {"type": "limit", "price": "close", "offset": "atr"}},
            "execution.entry",
            "exclude each other",
        ),
        (
            {"execution.entry": {"type": "stop", "price": "high", "limit": "high"}},
            "execution.entry.limit",
            "belongs to a stop_limit",
        ),
        (
            {"execution.entry": {"type": "stop_limit", "price": "high"}},
            "execution.entry",
            "needs `limit`",
        ),
        (
            {"enter_short": "true", "execution.entry": {"type": "stop", "price": "high"}},
            "execution.entry",
            "`enter_short` needs `price_short`",
        ),
        (
            {"execution.entry": {"cancel_after_bars": 3}},
            "execution.entry.cancel_after_bars",
            "works until it is filled",
        ),
        ({"execution.size": {}}, "execution.size", "exactly one of"),
        (
            {"execution.size": {"quantity": 1, "notional": 1}},
            "execution.size",
            "got quantity, notional",
        ),
        (
            {"execution.size": {"risk_fraction": 0.01}},
            "execution.size.risk_fraction",
            "known only with a stop",
        ),
        (
            {"execution.size": {"quantity": 1, "cash_buffer": 0.1}},
            "execution.size.cash_buffer",
            "belongs to equity_fraction",
        ),
        (
            {"execution.size": {"quantity": 1, "length": 9}},
            "execution.size.length",
            "belongs to volatility",
        ),
        ({"execution.size": {"quantity": 0}}, "execution.size.quantity", "above 0, got 0"),
        ({"execution.orders": {"count": 3}}, "execution.orders.count", "same price"),
        (
            {"execution.entry": {"type": "limit", "offset": 1}, "execution.orders": {"count": 3}},
            "execution.orders",
            "need a step",
        ),
        (
            {
                "execution.entry": {"type": "limit", "offset": 1},
                "execution.orders": {"count": 3, "step": 1, "weights": [1, 2]},
            },
            "execution.orders.weights",
            "one weight for each of 3 orders is needed, got 2",
        ),
        ({"execution.orders": {"step": 1}}, "execution.orders.step", "no effect with one order"),
        ({"execution.orders": {"count": 2.5}}, "execution.orders.count", "whole number"),
        (
            {
                "execution.exit": {
                    "profit_target": [{"at": 1, "close": 0.6}, {"at": 2, "close": 0.5}]
                }
            },
            "execution.exit.profit_target",
            "the targets close 1.1 of the position",
        ),
        ({"execution.exit": {"profit_target": []}}, "execution.exit.profit_target", "empty"),
        (
            {"execution.exit": {"stop_loss": "entry_price * 0.02"}},
            "execution.exit.stop_loss",
            "set before the entry has a price at column 1",
        ),
        (
            {"execution.entry": {"type": "stop", "price": "entry_price + atr"}},
            "execution.entry.price",
            "there is no position",
        ),
        (
            {"execution.exit": {"stop_loss": "close > 1"}},
            "execution.exit.stop_loss",
            "this is a condition",
        ),
        (
            {"execution.exit": {"time_stop": "close"}},
            "execution.exit.time_stop",
            "known before the run",
        ),
        ({"execution.intrabar": "1d"}, "execution.intrabar", "finer than the strategy's 1d"),
        ({"execution.session": "extended"}, "execution.session", "no extended hours"),
        ({"execution.reverse": True}, "execution.reverse", "needs both"),
        (
            {"execution.max_participation": 1.5},
            "execution.max_participation",
            "a number above 0, at most 1, got 1.5",
        ),
        (
            {"timeframe": "1w", "execution.exit": {"flat_at_session_close": True}},
            "execution.exit.flat",
            "weekly",
        ),
        ({"risk": {"max_drawdown": 0}}, "risk.max_drawdown", "got 0"),
        ({"costs.commission": {"bps": -1}}, "costs.commission.bps", "got -1"),
        ({"enter_long": "close > $x"}, "enter_long", "unknown parameter `$x` at column 9"),
        ({"enter_long": "close"}, "enter_long", "takes a condition, but this is a number"),
        (
            {"setup": [{"when": "close > 1", "within": 0}]},
            "setup[0].within",
            "from 1 to 5000, got 0",
        ),
        (
            {"setup": [{"when": "position > 1", "within": 2}]},
            "setup[0].when",
            "can't be used in a setup",
        ),
        ({"setup": [{"when": "clse > 1", "within": 2}]}, "setup[0].when", "unknown name `clse`"),
        (
            {"indicators": {"unused": "ema(clse, 3)"}},
            "indicators.unused",
            "unknown name `clse` at column 5",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_place(changes, path, part):
    message = refusal(**changes)
    assert message.startswith(path)
    assert part in message
    assert "\n" not in message


# What fields come to.


def test_an_offset_is_a_better_limit_price_on_both_sides():
    document = document_from(
        plain(enter_short="close < open", **{"execution.entry": {"type": "limit", "offset": "atr"}})
    )
    prices = resolve_strategy(document).prices
    assert prices.entry_long == Binary("-", Name("close"), ATR)
    assert prices.entry_short == Binary("+", Name("close"), ATR)


def test_an_offset_is_a_stop_price_beyond_the_close_with_its_limit_further_out():
    entry = {"type": "stop_limit", "offset": "atr", "limit_offset": 1}
    document = document_from(plain(enter_short="close < open", **{"execution.entry": entry}))
    prices = resolve_strategy(document).prices
    assert prices.entry_long == Binary("+", Name("close"), ATR)
    assert prices.entry_short == Binary("-", Name("close"), ATR)
    assert prices.limit_long == Binary("+", prices.entry_long, Number(1))
    assert prices.limit_short == Binary("-", prices.entry_short, Number(1))


def test_the_price_of_a_strategy_that_is_short_only_is_the_short_price():
    data = plain(
        enter_short="close < open", **{"execution.entry": {"type": "limit", "price": "high"}}
    )
    del data["enter_long"]
    prices = resolve_strategy(document_from(data)).prices
    assert (prices.entry_long, prices.entry_short) == (None, Name("high"))


def test_a_price_may_use_the_average_entry_where_positions_are_added_to():
    entry = {"type": "stop", "price": "max(high, entry_price)"}
    document = document_from(plain(**{"execution.entry": entry, "execution.pyramiding": 2}))
    assert resolve_strategy(document).prices.entry_long == Call(
        "max", (Name("high"), Name("entry_price"))
    )


def test_a_plain_profit_target_closes_everything():
    assert policy(**{"execution.exit": {"profit_target": "3 * atr"}}).target_shares == (1.0,)


def test_without_an_execution_key_all_equity_goes_in_at_the_market():
    p = policy()
    assert (p.entry_type, p.size_method, p.size) == (
        EntryType.MARKET,
        SizeMethod.EQUITY_FRACTION,
        1.0,
    )


def test_policy_numbers_may_be_parameters():
    changes = {
        "parameters": {"n": {"default": 2, "low": 1, "high": 4}, "risk": {"default": 1}},
        "execution.entry": {"type": "limit", "offset": 1},
        "execution.orders": {"count": "$n", "step": 1},
        "execution.exit": {"stop_loss": 2, "time_stop": "10 * $n"},
        "execution.size": {"risk_fraction": "$risk / 100"},
    }
    assert policy(**changes).time_stop == 20
    p = policy({"n": 3, "risk": 2}, **changes)
    assert (p.n_rungs, p.weights, p.time_stop, p.size) == (3, (1.0, 1.0, 1.0), 30, 0.02)


def test_a_value_that_breaks_a_constant_is_refused_when_it_is_bound():
    strategy = resolve_strategy(
        document_from(plain(enter_long="rsi(close, $n) < 30", parameters={"n": {"default": 14}}))
    )
    with pytest.raises(SpecError, match="enter_long: length of rsi must be a whole number from 2"):
        bind(strategy, {"n": 1.5})
    with pytest.raises(SpecError, match="unknown parameter `m`"):
        bind(strategy, {"m": 1})


def test_a_default_that_breaks_a_constant_is_refused_when_it_is_read():
    message = refusal(enter_long="rsi(close, $n) < 30", parameters={"n": {"default": 1.5}})
    assert message.startswith("enter_long: length of rsi must be a whole number")


def test_a_setup_guards_both_sides_and_its_own_side_comes_after():
    stage = {"when": "close > open", "within": 3}
    document = document_from(
        plain(
            enter_short="close < open",
            setup=[stage],
            setup_long=[{"when": "hour > 9", "within": "$n"}],
            parameters={"n": {"default": 5}},
        )
    )
    strategy = resolve_strategy(document)
    assert [s.condition.text for s in strategy.setup_long] == ["close > open", "hour > 9"]
    assert [s.condition.text for s in strategy.setup_short] == ["close > open"]
    p = bind(strategy, {"n": 7}).policy
    assert (p.setup_long_within, p.setup_short_within) == ((3, 7), (3,))


def test_a_named_output_gives_one_column_and_a_whole_indicator_gives_all():
    names = {"bands": "bbands(close, 20, 2)", "mid": "bands.middle", "weekly": "bands @ 1w"}
    strategy = resolve_strategy(document_from(plain(indicators=names)))
    assert [o.name for o in strategy.indicators if o.name.startswith("mid")] == ["mid"]
    outputs = ["lower", "middle", "upper", "width", "percent"]
    assert [o.name for o in strategy.indicators if "." in o.name] == [
        f"{name}.{output}" for name in ("bands", "weekly") for output in outputs
    ]
    assert strategy.timeframes == ("1w",)


# Parameters.


def test_parameters_are_set_within_their_range_and_on_their_step():
    document = with_parameters(reference(), {"rsi_length": 10})
    assert document.parameters["rsi_length"].default == 10
    assert document.parameters["oversold"] == reference().parameters["oversold"]
    for name, value, part in [
        ("rsi_length", 31, "31 is not within 5 to 30"),
        ("rsi_length", 4, "4 is not within 5 to 30"),
        ("rsi_length", 10.5, "10.5 is not 5 plus whole steps of 1"),
        ("oversold", 31, "31 is not 10 plus whole steps of 5"),
        ("rsi_length", float("nan"), "finite"),
        ("rsi_lenght", 10, "unknown parameter `rsi_lenght`"),
    ]:
        with pytest.raises(SpecError, match=re.escape(part)):
            with_parameters(reference(), {name: value})


def test_a_parameter_that_nothing_uses_is_refused_by_name():
    assert refusal(
        enter_long="rsi(close, $n) < 30",
        parameters={"n": {"default": 14}, "oversold": {"default": 30}},
        description="Buys where the rsi is below $oversold.",
    ).startswith("parameters.oversold: has no effect: no expression uses `$oversold`")


@pytest.mark.parametrize(
    "changes",
    [
        {"enter_long": "close > open + $a"},
        {"enter_long": "(close > highest(high, 2 + $a)[1]) @ 1w"},
        {"indicators": {"atr": "atr(14)", "never_asked": "ema(close, 10 * $a)"}},
        {"setup": [{"when": "close > open", "within": "$a"}]},
        {"execution.exit": {"stop_loss": "$a * atr"}},
        {"execution.cooldown_bars": "$a"},
        {"costs.slippage_bps": "$a / 2"},
        {"risk.max_daily_loss": "$a / 100"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_parameter_may_be_used_in_any_place_that_takes_an_expression(changes):
    strategy = resolve_strategy(document_from(plain(**changes, parameters={"a": {"default": 2}})))
    assert strategy.parameters == {"a": 2.0}


def test_steps_of_decimal_fractions_are_met():
    data = plain(
        enter_long="close > $a * open",
        parameters={"a": {"default": 0.7, "low": 0.1, "high": 1, "step": 0.1}},
    )
    assert with_parameters(document_from(data), {"a": 0.3}).parameters["a"].default == 0.3


# Identity.


def test_the_canonical_form_is_sorted_json_without_defaults():
    document = document_from(
        plain(
            **{"execution.entry": {"type": "market"}, "execution.size": {"equity_fraction": "1.0"}}
        )
    )
    assert canonical(document) == (
        b'{"enter_long":"close > open","indicators":{"atr":"atr(14)"},"instruments":["AAPL"],'
        b'"name":"smallest","timeframe":"1d"}'
    )


def test_white_space_and_the_writing_of_numbers_do_not_change_the_version():
    one = document_from(plain(enter_long="close  >\n open", **{"costs.slippage_bps": 1}))
    two = document_from(plain(enter_long=" close > open ", **{"costs.slippage_bps": "1.0"}))
    assert version_hash(one) == version_hash(two)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"enter_long": "close >= open"},
        {"costs.slippage_bps": 1},
        {"instruments": ["AAPL", "MSFT"]},
        {"description": "x"},
        {"risk": {}},
    ],
)
def test_any_change_of_meaning_changes_the_version(change):
    assert version_hash(document_from(plain(**change))) != version_hash(document_from(plain()))


def shuffled(draw: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return {k: shuffled(draw, value[k]) for k in draw(st.permutations(sorted(value)))}
    return [shuffled(draw, x) for x in value] if isinstance(value, list) else value


@settings(max_examples=25, deadline=None)
@given(st.data(), st.sampled_from(EXAMPLES))
def test_order_and_format_do_not_change_the_version(data, path):
    document = load_document(path)
    again = shuffled(data.draw, yaml.safe_load(path.read_text()))
    assert version_hash(load_document(json.dumps(again))) == version_hash(document)
    assert version_hash(load_document(yaml.safe_dump(again, sort_keys=False))) == version_hash(
        document
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_the_canonical_form_reads_back_as_the_same_document(path):
    document = load_document(path)
    again = load_document(canonical(document))
    assert again == document
    assert canonical(again) == canonical(document)
    assert resolve_strategy(again) == resolve_strategy(document)


# The schema.


def violations(
    schema: dict[str, Any], value: Any, root: dict[str, Any], path: str = "$"
) -> list[str]:
    """Check the keywords of JSON Schema that our schema uses."""
    if "$ref" in schema:
        return violations(root["$defs"][schema["$ref"].rsplit("/", 1)[1]], value, root, path)
    if "anyOf" in schema:
        if not any(not violations(s, value, root, path) for s in schema["anyOf"]):
            return [f"{path}: none of anyOf"]
        return []
    if "enum" in schema:
        return [] if value in schema["enum"] else [f"{path}: not in enum"]
    types = {
        "string": str,
        "number": (int, float),
        "integer": int,
        "boolean": bool,
        "object": dict,
        "array": list,
        "null": type(None),
    }
    kind = schema["type"]
    if not isinstance(value, types[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return [f"{path}: not {kind}"]
    found = []
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{path}: pattern")
    if kind == "array" and isinstance(schema.get("items"), dict):
        for i, item in enumerate(value):
            found += violations(schema["items"], item, root, f"{path}[{i}]")
    if kind == "object":
        known = schema.get("properties", {})
        found += [f"{path}: {k} missing" for k in schema.get("required", ()) if k not in value]
        for key, item in value.items():
            rest = schema.get("additionalProperties", True)
            inner = known.get(key, rest)
            if inner is False:
                found.append(f"{path}: {key} unknown")
            elif isinstance(inner, dict):
                found += violations(inner, item, root, f"{path}.{key}")
    return found


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_the_schema_accepts_the_examples(path):
    schema = json.loads(json.dumps(json_schema()))
    assert violations(schema, yaml.safe_load(path.read_text()), schema) == []


@pytest.mark.parametrize(
    "change",
    [
        {"timeframe": "2d"},
        {"enterlong": "x"},
        {"execution.pyramiding": [1]},
        {"name": "A b"},
        {"costs": 1},
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(change):
    schema = json_schema()
    assert violations(schema, plain(**change), schema)
    assert refusal(**change)


def test_every_field_of_the_schema_says_what_it_means_and_examples_fit():
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for name, part in schema["$defs"].items():
        for key, field in part["properties"].items():
            assert field.get("description"), f"{name}.{key}"
            for example in field.get("examples", ()):
                assert violations(field, example, schema) == [], f"{name}.{key}"


# Weight.


def test_importing_the_document_loads_neither_yaml_nor_numpy():
    code = (
        "import sys, trading.document;"
        "print(sorted({'yaml', 'numpy', 'numba', 'pandas', 'talib', 'pydantic'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# The reference for admins.

REFERENCE_PAGE = (Path(__file__).parents[2] / "docs" / "strategies.md").read_text()


def test_every_strategy_of_the_reference_page_loads():
    blocks = re.findall(r"```yaml\n(.*?)```", REFERENCE_PAGE, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        load_document(block)


def test_the_reference_page_names_every_function_and_every_field():
    for name in FUNCTIONS:
        assert f"`{name}(" in REFERENCE_PAGE, name
    for part in json_schema()["$defs"].values():
        for key in part["properties"]:
            assert re.search(rf"\b{key}\b", REFERENCE_PAGE), key
