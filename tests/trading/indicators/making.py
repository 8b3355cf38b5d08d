"""Bars and parameters that the tests of indicators share."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from trading.indicators.catalogue import INDICATORS, ROLLING
from trading.indicators.oracles import sample_columns
from trading.indicators.specs import IndicatorSpec

KERNELS = {**INDICATORS, **ROLLING}
PRICES = ("open", "high", "low", "close")


def nasty_columns(n_bars: int, seed: int) -> dict[str, np.ndarray]:
    """Make bars with a flat stretch, a gap up by half, no volume for long, huge volume, on ticks."""
    columns = {k: v.copy() for k, v in sample_columns(n_bars, seed, tick=0.05).items()}
    fifth = n_bars // 5
    for name in PRICES:
        columns[name][fifth : 2 * fifth] = columns["close"][fifth - 1]
        columns[name][3 * fifth :] *= 1.5
    columns["volume"][2 * fifth : 3 * fifth] = 0.0
    columns["volume"][4 * fifth :] *= 1e6
    columns["series"] = columns["close"].copy()
    return columns


def default_params(spec: IndicatorSpec) -> list[float]:
    """Return an indicator's default parameters."""
    return [p.default for p in spec.parameters]


def random_params(spec: IndicatorSpec, rng: np.random.Generator) -> list[float]:
    """Return parameters within their ranges that fit together, lengths below 40."""
    while True:
        params = [
            float(rng.integers(int(p.low), int(min(p.high, 40)) + 1))
            if p.integer
            else float(rng.uniform(p.low, min(p.high, 4.0)))
            for p in spec.parameters
        ]
        if spec.refuse is None or not spec.refuse(params):
            return params


def params_of(spec: IndicatorSpec) -> st.SearchStrategy[list[float]]:
    """Draw parameters within their ranges that fit together, lengths below 40."""
    return st.integers(0, 2**32 - 1).map(
        lambda seed: random_params(spec, np.random.default_rng(seed))
    )
