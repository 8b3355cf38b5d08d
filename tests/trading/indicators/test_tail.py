"""The long tail: complete, causal, the same in backtest and live."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pandas as pd
import pandas_ta
import pytest
import talib
from talib import abstract

from docs.make_indicators import tail_columns
from foundation.errors import SpecError
from trading.indicators.batch import compute
from trading.indicators.catalogue import INDICATORS, ROLLING
from trading.indicators.tail import (
    REFUSED,
    compute_tail,
    input_names,
    tail_spec,
    tail_specs,
)

warnings.filterwarnings("ignore", category=FutureWarning)

# TA-Lib's functions that expressions write otherwise.
WRITTEN_OTHERWISE = {
    "add": "+", "sub": "-", "mult": "*", "div": "/", "max": "highest", "min": "lowest",
    "sum": "sum in a window", "bbands": "kernel",
}  # fmt: skip
# pandas-ta's that the language has as names of prices.
PRICES = {"hl2", "hlc3", "ohlc4"}


def columns_at(spec, params, columns, stop, width=None):
    width = spec.window(params) if width is None else width
    return {n: columns[n][stop - width : stop] for n in input_names(spec)}


def defaults(spec):
    return [p.default for p in spec.parameters]


def test_every_function_of_talib_has_a_place():
    known = {*INDICATORS, *ROLLING, *tail_specs(), *REFUSED, *WRITTEN_OTHERWISE}
    # Kernels with a name of their own.
    renamed = {"linearreg_slope", "stddev", "sar", "trange", "kc", "aroonosc"}
    names = {
        f"cdl_{f[3:].lower()}" if f.startswith("CDL") else f.lower() for f in talib.get_functions()
    }
    assert names - known - renamed == set()


def test_every_indicator_of_pandas_ta_has_a_place():
    names = {n for group in pandas_ta.Category.values() for n in group}
    known = {*INDICATORS, *tail_specs(), *REFUSED, *PRICES}
    # TA-Lib has squeeze's like under no name; uo is its ULTOSC, weighted.
    assert names - known == set()


@pytest.mark.parametrize("name", [n for n, s in tail_specs().items() if "TA-Lib" in s.oracle])
def test_table_agrees_with_the_installed_talib(name):
    spec = tail_specs()[name]
    info = abstract.Function(spec.oracle.split()[1]).info
    assert len(info["output_names"]) == len(spec.outputs)
    given = [p.default for p in spec.parameters[:-1]]
    assert list(info["parameters"].values()) == given
    n_inputs = sum(
        len(v) if isinstance(v, list | tuple) else 1 for v in info["input_names"].values()
    )
    assert n_inputs == len(spec.inputs)


@pytest.mark.parametrize("name", [n for n, s in tail_specs().items() if "pandas" in s.oracle])
def test_table_agrees_with_the_installed_pandas_ta(name):
    spec = tail_specs()[name]
    known = inspect.signature(getattr(pandas_ta, name)).parameters
    rename = {"series": "close", "open": "open_"}
    given = {rename.get(n, n) for n in spec.inputs} | {p.name for p in spec.parameters[:-1]}
    assert given <= set(known)


@pytest.mark.parametrize("name", tail_specs())
def test_tail_gives_its_outputs_and_sees_no_bar_before_its_window(name):
    spec = tail_specs()[name]
    params = defaults(spec)
    columns = tail_columns(name, 3600)
    stop = 3500
    values = compute_tail(spec, params, columns_at(spec, params, columns, stop))
    assert len(values) == len(spec.outputs)
    assert all(isinstance(x, float) for x in values)
    # Bars before the window may be anything, and the arrays may lie anywhere.
    moved = {n: np.concatenate(([1e9], c))[1:] for n, c in columns.items()}
    again = compute_tail(spec, params, columns_at(spec, params, moved, stop))
    assert np.array_equal(values, again, equal_nan=True)


@pytest.mark.parametrize("name", tail_specs())
def test_no_member_of_the_tail_changes_when_later_bars_arrive(name):
    # The function's value at a bar, computed up to that bar and up to a later one.
    spec = tail_specs()[name]
    params = defaults(spec)
    width = spec.window(params)
    columns = tail_columns(name, width + 60)
    for cut in (width, width + 1, width + 37):
        early = compute_tail(spec, params, {n: columns[n][:cut] for n in input_names(spec)})
        late = whole_columns(spec, params, columns)[:, cut - 1]
        np.testing.assert_allclose(early, late, rtol=1e-7, atol=1e-9)


def whole_columns(spec, params, columns):
    """Return a library's whole result, which `compute_tail` takes the last of."""
    library, name = spec.oracle.split()
    arrays = [columns[n] for n in input_names(spec)]
    own = [int(x) if p.integer else x for p, x in zip(spec.parameters[:-1], params, strict=False)]
    if library == "TA-Lib":
        result = getattr(talib, name)(*arrays, *own)
        return np.array(result if isinstance(result, tuple) else (result,), np.float64)
    rename = {"series": "close", "open": "open_"}
    inputs = {rename.get(n, n): pd.Series(x) for n, x in zip(spec.inputs, arrays, strict=True)}
    keywords = {p.name: x for p, x in zip(spec.parameters[:-1], own, strict=True)}
    frame = pd.DataFrame(getattr(pandas_ta, name)(**inputs, **keywords))
    return frame.to_numpy(np.float64).T


@pytest.mark.parametrize("name", ["dpo", "zigzag", "tos_stdevall", "vhm"])
def test_the_refused_of_pandas_ta_do_look_ahead(name):
    # The reason for the refusal, shown: the value at bar 700 depends on later bars.
    columns = tail_columns(name, 800)
    function = getattr(pandas_ta, name)
    needed = [
        n for n in inspect.signature(function).parameters if n in ("high", "low", "close", "volume")
    ]

    def at(n_bars):
        result = pd.DataFrame(function(**{n: pd.Series(columns[n][:n_bars]) for n in needed}))
        return result.to_numpy(np.float64)[600:700]

    assert not np.array_equal(at(700), at(800), equal_nan=True)


@pytest.mark.parametrize("name", ["kama", "alma", "cdl_marubozu", "correl"])
def test_backtest_and_live_see_the_same_value(name):
    spec = tail_specs()[name]
    params = defaults(spec)
    columns = tail_columns(name, spec.window(params) + 40)
    backtest = compute(spec, params, columns)
    assert np.isnan(backtest[:, : spec.warmup(params)]).all()
    for i in range(spec.warmup(params), len(columns["close"])):
        live = compute_tail(spec, params, columns_at(spec, params, columns, i + 1))
        assert np.array_equal(live, backtest[:, i])


def test_window_can_be_chosen_and_must_hold_the_lengths():
    spec = tail_spec("kama")
    assert spec is not None
    assert spec.window is not None
    assert spec.refuse is not None
    assert spec.window([30, 0]) == 250  # 5 * 30 + 100
    assert spec.window([30, 400]) == 400
    assert spec.refuse([30, 0]) == ""
    assert spec.refuse([30, 20]) == "window must be at least 32 bars for these lengths, got 20"


def test_a_nan_in_the_window_makes_the_value_unknown():
    spec = tail_specs()["kama"]
    params = defaults(spec)
    window = columns_at(spec, params, tail_columns("kama", 1000), 900)
    window["series"] = window["series"].copy()
    window["series"][3] = np.nan
    assert np.isnan(compute_tail(spec, params, window)).all()


def test_talibs_complaint_about_parameters_is_a_spec_error():
    spec = tail_specs()["mavp"]
    columns = tail_columns("mavp", 1000)
    with pytest.raises(SpecError, match="`mavp` does not take these parameters"):
        compute_tail(spec, [60, 30, 0, 500], columns_at(spec, [60, 30, 0, 500], columns, 900))


@pytest.mark.parametrize("name", ["cdl_marubozu", "cdl_belthold"])
def test_tail_pattern_is_talibs(name):
    spec = tail_specs()[name]
    columns = tail_columns(name, 700)
    ours = compute(spec, defaults(spec), columns)[0]
    function = getattr(talib, spec.oracle.split()[1])
    theirs = function(*(columns[n] for n in ("open", "high", "low", "close")))
    start = spec.warmup(defaults(spec))
    np.testing.assert_array_equal(ours[start:], theirs[start:])
    assert np.abs(theirs[start:]).max() == 100
