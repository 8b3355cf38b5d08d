"""What must hold for every kernel, whatever its parameters and bars."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.indicators.making import KERNELS, PRICES, nasty_columns, params_of
from trading.indicators.batch import compute
from trading.indicators.dispatch import run_indicator_nb
from trading.indicators.oracles import sample_columns

N_BARS = 260
kernels = pytest.mark.parametrize("name", KERNELS)
few = settings(max_examples=15, deadline=None)
seeds = st.integers(0, 10_000)


def with_holes(columns, rng, share=0.05):
    """Return bars of which some are NaN throughout."""
    hole = rng.random(len(columns["close"])) < share
    return {k: v if k == "session" else np.where(hole, np.nan, v) for k, v in columns.items()}, hole


@kernels
@few
@given(data=st.data(), seed=seeds, step=st.integers(1, 9))
def test_batch_and_steps_give_the_same_bits(name, data, seed, step):
    spec = KERNELS[name]
    params = data.draw(params_of(spec))
    columns, _ = with_holes(nasty_columns(N_BARS, seed), np.random.default_rng(seed))
    at_once = compute(spec, params, columns)
    assert at_once.tobytes() == compute(spec, params, columns, step=1).tobytes()
    assert at_once.tobytes() == compute(spec, params, columns, step=step).tobytes()


@kernels
@few
@given(data=st.data(), seed=seeds)
def test_warmup_is_as_declared(name, data, seed):
    spec = KERNELS[name]
    params = data.draw(params_of(spec))
    columns = sample_columns(N_BARS, seed)
    columns["volume"] = columns["volume"] + 1.0
    values = compute(spec, params, columns)
    n_missing = [int(np.argmin(np.isnan(x))) if not np.isnan(x).all() else -1 for x in values]
    # The width of bands of no deviations is known, x's place between them is not.
    if name == "bbands" and params[1] == 0.0:
        n_missing = n_missing[:4]
    assert set(n_missing) == {spec.warmup(params)}


@kernels
@few
@given(data=st.data(), seed=seeds, cut=st.integers(1, N_BARS))
def test_cutting_the_bars_changes_nothing_before_the_cut(name, data, seed, cut):
    spec = KERNELS[name]
    params = data.draw(params_of(spec))
    columns = nasty_columns(N_BARS, seed)
    whole = compute(spec, params, columns)
    part = compute(spec, params, {k: v[:cut] for k, v in columns.items()})
    assert part.tobytes() == np.ascontiguousarray(whole[:, :cut]).tobytes()


@pytest.mark.parametrize("name", sorted(set(KERNELS) - {"ref"}))
@few
@given(data=st.data(), seed=seeds)
def test_a_nan_bar_gives_nan_and_leaves_the_rest_as_if_it_had_not_been(name, data, seed):
    spec = KERNELS[name]
    params = data.draw(params_of(spec))
    columns, hole = with_holes(sample_columns(N_BARS, seed), np.random.default_rng(seed), 0.1)
    values = compute(spec, params, columns)
    assert np.isnan(values[:, hole]).all()
    without = compute(spec, params, {k: v[~hole] for k, v in columns.items()})
    assert np.ascontiguousarray(values[:, ~hole]).tobytes() == without.tobytes()


@kernels
@few
@given(data=st.data(), seed=seeds)
def test_kernel_keeps_within_its_state_and_its_rows(name, data, seed):
    spec = KERNELS[name]
    params = data.draw(params_of(spec))
    columns = nasty_columns(N_BARS, seed)
    size, n_inputs, n_outputs = spec.state_size(params), len(spec.inputs), len(spec.outputs)
    fence = 1234.5
    state = np.zeros(size + 8)
    state[size:] = fence
    matrix = np.full((n_inputs + n_outputs + 1, N_BARS), fence)
    for row, key in enumerate(spec.inputs):
        matrix[row] = columns[key]
    before = matrix[:n_inputs].copy()
    rows = np.arange(n_inputs)
    # A slice of exactly the declared size: numba checks no bounds, the fence does.
    values = np.array(params, np.float64)
    run_indicator_nb(spec.op, state[:size], values, matrix, rows, n_inputs, 0, N_BARS)
    assert (state[size:] == fence).all()
    np.testing.assert_array_equal(matrix[:n_inputs], before)
    assert (matrix[-1] == fence).all()
    assert (matrix[n_inputs:-1] != fence).all()


@kernels
def test_largest_state_fits_a_sleeve(name):
    # 64 KiB hold 8,192 numbers; no single indicator may fill them.
    spec = KERNELS[name]
    longest = [p.high for p in spec.parameters]
    assert spec.state_size(longest) <= 8192


@kernels
def test_state_depends_on_nothing_but_the_bars_seen(name):
    spec = KERNELS[name]
    params = [p.default for p in spec.parameters]
    columns = nasty_columns(N_BARS, 5)
    first = compute(spec, params, columns)
    other = compute(spec, params, {k: v + 1.0 for k, v in columns.items()})
    again = compute(spec, params, columns)
    assert first.tobytes() == again.tobytes()
    assert other.shape == first.shape


@pytest.mark.parametrize("name", ["sma", "rsi", "stoch", "bbands", "atr", "donchian", "mfi"])
def test_scaling_prices_scales_price_outputs_and_no_others(name):
    spec = KERNELS[name]
    params = [p.default for p in spec.parameters]
    columns = sample_columns(400, 3)
    # A power of two, so that scaling itself rounds nothing.
    scaled = {k: v * 4.0 if k in (*PRICES, "series") else v for k, v in columns.items()}
    plain, larger = compute(spec, params, columns), compute(spec, params, scaled)
    for dimension, x, y in zip(spec.dimensions, plain, larger, strict=True):
        factor = 4.0 if dimension in ("input", "price") else 1.0
        np.testing.assert_allclose(y, x * factor, rtol=1e-12)
