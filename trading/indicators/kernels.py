"""The table of kernels: parameters, outputs, state, warm-up, oracle, conventions.

Documentation and tests read it; a kernel that is not in it does not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trading.indicators import ops
from trading.indicators.sizes import (
    AVERAGE,
    delay_size,
    extreme_size,
    moments_size,
    range_size,
    sum_size,
)
from trading.indicators.specs import IndicatorSpec, Kind, Parameter

LENGTH_MAX = 1000
# Look-back functions of the language; a sleeve's state must hold the ring.
BARS_MAX = 5000

_Count = Callable[[Sequence[float]], int]


def _length(default: int, low: int = 1, name: str = "length") -> Parameter:
    return Parameter(name, default, low, LENGTH_MAX)


def _factor(name: str, default: float, low: float = 0.0, high: float = 100.0) -> Parameter:
    return Parameter(name, default, low, high, integer=False)


def _kernel(
    name: str,
    title: str,
    parameters: tuple[Parameter, ...],
    inputs: str,
    outputs: str,
    dimensions: str,
    op: int,
    state_size: _Count,
    warmup: _Count,
    oracle: str,
    convention: str = "",
    refuse: Callable[[Sequence[float]], str] | None = None,
) -> IndicatorSpec:
    """Build one row; one dimension stands for all outputs."""
    names = tuple(outputs.split())
    units = tuple(dimensions.split())
    return IndicatorSpec(
        name=name,
        title=title,
        parameters=parameters,
        inputs=tuple(inputs.split()),
        outputs=names,
        dimensions=units if len(units) > 1 else units * len(names),
        op=op,
        state_size=state_size,
        warmup=warmup,
        kind=Kind.KERNEL,
        oracle=oracle,
        convention=convention,
        refuse=refuse,
    )


def _fast_below_slow(p: Sequence[float]) -> str:
    if p[0] < p[1]:
        return ""
    return f"fast must be below slow, but {p[0]:g} is not below {p[1]:g}"


_AVERAGES = (
    _kernel(
        "sma", "Simple moving average", (_length(20),), "series", "sma", "input",
        ops.OP_SMA, lambda p: sum_size(p[0]), lambda p: int(p[0]) - 1, "TA-Lib SMA",
    ),
    _kernel(
        "ema", "Exponential moving average", (_length(20),), "series", "ema", "input",
        ops.OP_EMA, lambda p: AVERAGE, lambda p: int(p[0]) - 1, "TA-Lib EMA",
        "Seeded by the simple average of the first `length` values.",
    ),
)  # fmt: skip

_OSCILLATORS = (
    _kernel(
        "rsi", "Relative strength index (Wilder)", (_length(14, 2),), "series", "rsi", "none",
        ops.OP_RSI, lambda p: 4, lambda p: int(p[0]), "TA-Lib RSI",
        "Averages seeded by the mean of the first `length` changes; 0 when gain and loss "
        "together are below 1e-14, so also on flat prices.",
    ),
    _kernel(
        "stoch", "Slow stochastic",
        (_length(14, name="k"), _length(3, name="smooth_k"), _length(3, name="d")),
        "high low close", "k d", "none",
        ops.OP_STOCH, lambda p: range_size(p[0]) + sum_size(p[1]) + sum_size(p[2]),
        lambda p: int(p[0] + p[1] + p[2]) - 3, "TA-Lib STOCH",
        "Both smoothings are simple averages; 0 where the range is 0.",
    ),
    _kernel(
        "macd", "Moving average convergence divergence",
        (_length(12, 2, "fast"), _length(26, 2, "slow"), _length(9, 1, "signal")),
        "series", "macd signal histogram", "input",
        ops.OP_MACD, lambda p: 1 + 3 * AVERAGE, lambda p: int(p[1] + p[2]) - 2, "TA-Lib MACD",
        "The fast average is seeded by the last `fast` of the first `slow` values, so that "
        "both averages start at the same bar.",
        _fast_below_slow,
    ),
)  # fmt: skip

_VOLATILITY = (
    _kernel(
        "atr", "Average true range (Wilder)", (_length(14),), "high low close", "atr", "price",
        ops.OP_ATR, lambda p: 2 + AVERAGE, lambda p: int(p[0]), "TA-Lib ATR",
        "The first bar has no true range.",
    ),
    _kernel(
        "bbands", "Bollinger bands", (_length(20, 2), _factor("deviations", 2.0)),
        "series", "lower middle upper width percent", "input input input none none",
        ops.OP_BBANDS, lambda p: moments_size(p[0]), lambda p: int(p[0]) - 1,
        "TA-Lib BBANDS; width and percent pandas-ta bbands(talib=False, ddof=0)",
        "Population standard deviation (ddof 0); width is in percent of the middle.",
    ),
    _kernel(
        "donchian", "Donchian channels", (_length(20, 2),), "high low", "lower middle upper",
        "price", ops.OP_DONCHIAN, lambda p: range_size(p[0]), lambda p: int(p[0]) - 1,
        "TA-Lib DONCHIAN",
    ),
)  # fmt: skip

INDICATORS: dict[str, IndicatorSpec] = {
    spec.name: spec for spec in (*_AVERAGES, *_OSCILLATORS, *_VOLATILITY)
}

_BARS = (Parameter("n", 1, 1, BARS_MAX),)

# Look-back functions of the expression language, run by the same dispatcher.
ROLLING: dict[str, IndicatorSpec] = {
    spec.name: spec
    for spec in (
        _kernel(
            "ref", "Value n bars ago", _BARS, "series", "ref", "input",
            ops.OP_REF, lambda p: delay_size(p[0]), lambda p: int(p[0]), "definition",
            "Counts bars, so NaN values are kept and come back.",
        ),
        _kernel(
            "highest", "Largest of the last n values", _BARS, "series", "highest", "input",
            ops.OP_HIGHEST, lambda p: extreme_size(p[0]), lambda p: int(p[0]) - 1, "TA-Lib MAX",
        ),
        _kernel(
            "lowest", "Smallest of the last n values", _BARS, "series", "lowest", "input",
            ops.OP_LOWEST, lambda p: extreme_size(p[0]), lambda p: int(p[0]) - 1, "TA-Lib MIN",
        ),
        _kernel(
            "sum", "Sum of the last n values", _BARS, "series", "sum", "input",
            ops.OP_SUM, lambda p: sum_size(p[0]), lambda p: int(p[0]) - 1, "TA-Lib SUM",
        ),
    )
}  # fmt: skip
