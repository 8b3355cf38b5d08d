"""The catalogue: complete, consistent, light, and clear about what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from foundation.errors import SpecError
from trading.indicators import ops
from trading.indicators.catalogue import (
    INDICATORS,
    ROLLING,
    Kind,
    all_names,
    find,
    refusal,
    suggest,
)
from trading.indicators.differences import DIFFERENCES
from trading.indicators.tail import tail_specs

# What the design promises as step kernels, at least.
PROMISED = """
    sma ema wma hma dema tema rma vwap rsi stoch stochrsi macd ppo roc mom cci willr mfi obv ad
    cmf atr natr true_range bbands keltner donchian adx aroon supertrend psar ichimoku trix stdev
    zscore slope cdl_doji cdl_hammer cdl_hangingman cdl_engulfing cdl_harami cdl_morningstar
    cdl_eveningstar cdl_shootingstar cdl_3whitesoldiers cdl_3blackcrows cdl_piercing
    cdl_darkcloudcover
""".split()  # noqa: SIM905 - a list of words reads best as words

OUTPUTS = {
    "stoch": ("k", "d"),
    "stochrsi": ("k", "d"),
    "macd": ("macd", "signal", "histogram"),
    "ppo": ("ppo", "signal", "histogram"),
    "bbands": ("lower", "middle", "upper", "width", "percent"),
    "keltner": ("lower", "middle", "upper"),
    "donchian": ("lower", "middle", "upper"),
    "adx": ("adx", "plus_di", "minus_di"),
    "aroon": ("up", "down", "oscillator"),
    "supertrend": ("value", "direction"),
    "psar": ("value", "direction"),
    "ichimoku": ("conversion", "base", "span_a", "span_b"),
}


@pytest.mark.parametrize("name", PROMISED)
def test_promised_indicator_is_a_kernel(name):
    spec = find(name)
    assert spec is not None
    assert spec.kind is Kind.KERNEL


@pytest.mark.parametrize("name", OUTPUTS)
def test_indicator_has_the_outputs_of_the_design(name):
    assert INDICATORS[name].outputs == OUTPUTS[name]


@pytest.mark.parametrize("name", all_names())
def test_entry_is_consistent(name):
    spec = find(name)
    assert spec is not None
    assert spec.name == name
    assert len(spec.dimensions) == len(spec.outputs) == len(set(spec.outputs))
    assert set(spec.dimensions) <= {"input", "price", "volume", "none"}
    assert ("input" in spec.dimensions) <= ("series" in spec.inputs)
    assert set(spec.inputs) <= {"series", "open", "high", "low", "close", "volume", "session"}
    names = [p.name for p in spec.parameters]
    assert len(names) == len(set(names))
    for p in spec.parameters:
        assert p.low <= p.default <= p.high
        assert not p.integer or float(p.default).is_integer()
    defaults = [p.default for p in spec.parameters]
    assert spec.refuse is None or spec.refuse(defaults) == ""
    assert spec.warmup(defaults) >= 0
    assert spec.name in DIFFERENCES


def test_operation_codes_are_distinct_and_named_after_their_kernel():
    specs = {**INDICATORS, **ROLLING}
    for name, spec in specs.items():
        assert spec.op == getattr(ops, f"OP_{name.upper()}")
    assert len({spec.op for spec in specs.values()}) == len(specs)


def test_measured_differences_are_small_or_explained():
    for name, spec in INDICATORS.items():
        assert spec.oracle_difference < (1e-8 if name == "zscore" else 1e-9)


def test_a_kernel_comes_before_the_long_tail():
    assert not set(INDICATORS) & set(tail_specs())
    found = find("kama")
    assert found is not None
    assert found.kind is Kind.TAIL
    assert find("no_such_indicator") is None


def test_misspelled_names_are_guessed():
    # rsx of the long tail is as near.
    assert suggest("rsl") == "rsi"
    assert suggest("kamma") == "kama"
    assert suggest("qwertyuiop") is None
    assert suggest("supertrand") == "supertrend"
    assert suggest("cdl_hamer") == "cdl_hammer"


def test_what_looks_ahead_is_refused_by_name_with_the_reason():
    with pytest.raises(SpecError, match="`zigzag` is refused: it looks ahead"):
        find("zigzag")
    with pytest.raises(SpecError, match="`tos_stdevall` is refused: it looks ahead"):
        find("tos_stdevall")
    assert "looks ahead" in refusal("ichimoku", "lagging_span")
    assert "looks ahead" in refusal("dpo", "centered")
    assert refusal("rsi") == ""


def test_fast_must_be_below_slow():
    spec = INDICATORS["macd"]
    assert spec.refuse is not None
    assert spec.refuse([12, 26, 9]) == ""
    assert spec.refuse([26, 12, 9]) == "fast must be below slow, but 26 is not below 12"


def test_the_catalogue_imports_neither_numba_nor_an_oracle():
    code = """
import sys, json
from trading.indicators.catalogue import find, suggest
find("rsi"), find("kama"), suggest("rsl")
print(json.dumps([m for m in ("numba", "talib", "pandas_ta", "pandas") if m in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
