"""Every kernel against TA-Lib or pandas-ta, on walks, ticks and nasty bars."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from tests.trading.indicators.making import (
    KERNELS,
    PRICES,
    default_params,
    nasty_columns,
    random_params,
)
from trading.indicators.batch import compute
from trading.indicators.oracles import ORACLES, difference, sample_columns

LARGEST = 1e-9
# Ours are unknown where they would divide by a deviation of 0, as the catalogue says; the
# oracles divide by it, or by what rounding left of it.
UNKNOWN_ON_FLAT = {("bbands", "percent"), ("zscore", "zscore")}


def is_flat(x, length):
    """Tell for each bar whether the last values are all the same."""
    windows = sliding_window_view(np.concatenate((np.full(length - 1, np.nan), x)), length)
    return windows.max(1) == windows.min(1)


def assert_equals_oracle(name, columns, params):
    spec = KERNELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = ORACLES[name](columns, params)
    ours = compute(spec, params, columns)
    warmup = spec.warmup(params)
    assert np.isnan(ours[:, :warmup]).all(), "outputs before the warm-up"
    for output, x, y in zip(spec.outputs, ours, theirs, strict=True):
        unknown = np.isnan(x[warmup:]) != np.isnan(y[warmup:])
        if (name, output) in UNKNOWN_ON_FLAT:
            flat = is_flat(columns["series"], int(params[0]))[warmup:]
            # A band of no deviations is flat, too.
            unknown &= ~(flat | (name == "bbands" and params[1] == 0.0))
        assert not unknown.any(), f"{output} is known in one and unknown in the other"
    if name.startswith("cdl_"):
        np.testing.assert_array_equal(ours[:, warmup:], np.array(theirs)[:, warmup:])
    else:
        assert difference(ours, theirs, warmup) < LARGEST


def test_every_kernel_has_an_oracle():
    assert set(KERNELS) == set(ORACLES)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(
    ("seed", "price", "tick"), [(11, 100.0, 0.0), (12, 25.0, 0.05), (13, 1e-6, 0.0)]
)
def test_kernel_equals_oracle_on_random_walks(name, seed, price, tick):
    columns = sample_columns(4000, seed, price=price, tick=tick)
    assert_equals_oracle(name, columns, default_params(KERNELS[name]))


@pytest.mark.parametrize("name", KERNELS)
def test_kernel_equals_oracle_with_other_parameters(name):
    rng = np.random.default_rng(7)
    for seed in range(12):
        params = random_params(KERNELS[name], rng)
        if name in ("highest", "lowest", "sum") and params[0] < 2:
            continue  # TA-Lib wants at least two values.
        assert_equals_oracle(name, sample_columns(600, seed, tick=0.02 * (seed % 2)), params)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("seed", [21, 22])
def test_kernel_equals_oracle_on_nasty_bars(name, seed):
    columns = nasty_columns(1000, seed)
    if name == "slope":
        # TA-Lib's running sums leave a residue of the last prices on flat ones.
        columns["series"] = columns["series"] + np.linspace(0.0, 50.0, 1000)
    assert_equals_oracle(name, columns, default_params(KERNELS[name]))


# On a price that is its own stop, psar's direction can't be told from TA-Lib's value.
@pytest.mark.parametrize("name", sorted(set(KERNELS) - {"psar"}))
def test_kernel_equals_oracle_on_bars_that_never_move(name):
    columns = sample_columns(200, 1)
    flat = {k: np.full(200, 64.0) for k in (*PRICES, "series")}
    columns = {**columns, **flat, "volume": np.full(200, 10.0)}
    assert_equals_oracle(name, columns, default_params(KERNELS[name]))


@pytest.mark.parametrize("name", sorted(set(KERNELS) - {"ref"}))
def test_leading_nans_only_delay_a_kernel(name):
    spec = KERNELS[name]
    params = default_params(spec)
    columns = sample_columns(500, 31)
    late = {k: np.concatenate((np.full(9, np.nan), v)) for k, v in columns.items()}
    late["session"] = np.concatenate((np.full(9, -1.0), columns["session"]))
    np.testing.assert_array_equal(
        compute(spec, params, late)[:, 9:], compute(spec, params, columns)
    )


def windows(columns, length):
    return sliding_window_view(columns["series"].astype(np.longdouble), length)


@pytest.mark.parametrize(
    ("name", "length", "formula"),
    [
        ("sma", 20, lambda w: w.mean(1)),
        ("stdev", 20, lambda w: w.std(1)),
        ("zscore", 30, lambda w: (w[:, -1] - w.mean(1)) / w.std(1, ddof=1)),
        ("slope", 14, lambda w: (w * (np.arange(14) - 6.5)).sum(1) / 227.5),
        ("wma", 10, lambda w: (w * np.arange(1, 11)).sum(1) / 55.0),
        ("highest", 13, lambda w: w.max(1)),
        ("lowest", 13, lambda w: w.min(1)),
    ],
)
def test_windowed_kernel_does_not_drift_over_a_million_bars(name, length, formula):
    columns = sample_columns(1_000_000, 41)
    ours = compute(KERNELS[name], [float(length)], columns)[0]
    last = {"series": columns["series"][-5000:]}
    exact = formula(windows(last, length)).astype(np.float64)
    assert difference(ours[None, -len(exact) :], (exact,), 0) < 1e-12


@pytest.mark.parametrize("name", ["ema", "rsi", "atr", "macd", "stoch", "adx", "mfi"])
def test_kernel_equals_oracle_after_a_million_bars(name):
    # Prices that stay where they are: after a million steps of a walk little is left of
    # either side's digits to compare.
    columns = sample_columns(1_000_000, 42)
    for key in (*PRICES, "series"):
        columns[key] = columns[key] / columns["close"] * (100.0 + columns["session"] % 7)
    columns["series"] = columns["close"] + np.sin(np.arange(1_000_000))
    params = default_params(KERNELS[name])
    assert_equals_oracle(name, columns, params)


@pytest.mark.parametrize("name", ["sma", "stdev", "slope", "sum", "wma", "mfi", "cmf"])
def test_one_absurd_value_is_forgotten_after_two_windows(name):
    columns = {k: v.copy() for k, v in sample_columns(400, 51).items()}
    spec = KERNELS[name]
    clean = compute(spec, [20.0], columns)
    for key in ("series", "volume"):
        columns[key][100] = 1e15
    spoilt = compute(spec, [20.0], columns)
    assert difference(spoilt[:, 141:], tuple(clean[:, 141:]), 0) < 1e-12
    assert difference(spoilt[:, :120], tuple(clean[:, :120]), 20) > 1e-3
