"""The table of kernels: parameters, outputs, state, warm-up, oracle, conventions.

Documentation and tests read it; a kernel that is not in it does not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trading.indicators import ops
from trading.indicators.differences import DIFFERENCES
from trading.indicators.sizes import (
    AVERAGE,
    CANDLES,
    delay_size,
    extreme_size,
    moments_size,
    range_size,
    sum_size,
    wma_size,
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
        oracle_difference=DIFFERENCES.get(name, 0.0),
        refuse=refuse,
    )


def _fast_below_slow(p: Sequence[float]) -> str:
    if p[0] < p[1]:
        return ""
    return f"fast must be below slow, but {p[0]:g} is not below {p[1]:g}"


def _stoch_size(k: float, smooth_k: float, d: float) -> int:
    return range_size(k) + sum_size(smooth_k) + sum_size(d)


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
    _kernel(
        "wma", "Linearly weighted moving average", (_length(20),), "series", "wma", "input",
        ops.OP_WMA, lambda p: wma_size(p[0]), lambda p: int(p[0]) - 1, "TA-Lib WMA",
    ),
    _kernel(
        "hma", "Hull moving average", (_length(20, 2),), "series", "hma", "input",
        ops.OP_HMA,
        lambda p: wma_size(p[0]) + wma_size(p[0] // 2) + wma_size(p[0] ** 0.5),
        lambda p: int(p[0]) - 1 + int(p[0] ** 0.5) - 1, "TA-Lib HMA",
        "Half and root of the length are rounded down.",
    ),
    _kernel(
        "dema", "Double exponential moving average", (_length(20),), "series", "dema", "input",
        ops.OP_DEMA, lambda p: 3 * AVERAGE, lambda p: 2 * (int(p[0]) - 1), "TA-Lib DEMA",
        "Each average is seeded by the simple average of its own first values.",
    ),
    _kernel(
        "tema", "Triple exponential moving average", (_length(20),), "series", "tema", "input",
        ops.OP_TEMA, lambda p: 3 * AVERAGE, lambda p: 3 * (int(p[0]) - 1), "TA-Lib TEMA",
        "Each average is seeded by the simple average of its own first values.",
    ),
    _kernel(
        "rma", "Wilder's moving average", (_length(14),), "series", "rma", "input",
        ops.OP_RMA, lambda p: AVERAGE, lambda p: int(p[0]) - 1, "TA-Lib RMA",
        "Seeded by the simple average of the first `length` values.",
    ),
    _kernel(
        "trix", "Change of the triple exponential average", (_length(15),), "series", "trix",
        "none", ops.OP_TRIX, lambda p: 3 * AVERAGE + 2, lambda p: 3 * (int(p[0]) - 1) + 1,
        "TA-Lib TRIX", "In percent per bar.",
    ),
)  # fmt: skip

_OSCILLATORS = (
    _kernel(
        "rsi", "Relative strength index (Wilder)", (_length(14, 2),), "series", "rsi", "none",
        ops.OP_RSI, lambda p: 4, lambda p: int(p[0]), "TA-Lib RSI",
        "Averages seeded by the mean of the first `length` changes; 0 on flat prices.",
    ),
    _kernel(
        "stoch", "Slow stochastic",
        (_length(14, 1, "k"), _length(3, 1, "smooth_k"), _length(3, 1, "d")),
        "high low close", "k d", "none",
        ops.OP_STOCH, lambda p: _stoch_size(p[0], p[1], p[2]),
        lambda p: int(p[0] + p[1] + p[2]) - 3, "TA-Lib STOCH",
        "Both smoothings are simple averages; 0 where the range is 0.",
    ),
    _kernel(
        "stochrsi", "Stochastic of the relative strength index",
        (
            _length(14, 2, "rsi_length"), _length(14, 1, "k"), _length(3, 1, "smooth_k"),
            _length(3, 1, "d"),
        ),
        "series", "k d", "none",
        ops.OP_STOCHRSI, lambda p: 4 + _stoch_size(p[1], p[2], p[3]),
        lambda p: int(p[0] + p[1] + p[2] + p[3]) - 3, "TA-Lib STOCHRSI, SMA",
        "k is smoothed: TA-Lib's fast D with period smooth_k; d is the simple average of k. "
        "With smooth_k 1 the two are TA-Lib's fast K and fast D.",
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
    _kernel(
        "ppo", "Percentage price oscillator",
        (_length(12, 2, "fast"), _length(26, 2, "slow"), _length(9, 1, "signal")),
        "series", "ppo signal histogram", "none",
        ops.OP_PPO, lambda p: 3 * AVERAGE, lambda p: int(p[1] + p[2]) - 2,
        "TA-Lib PPO with matype EMA; signal TA-Lib EMA of it",
        "Unlike macd, each average is seeded by its own first values.",
        _fast_below_slow,
    ),
    _kernel(
        "roc", "Rate of change", (_length(10),), "series", "roc", "none",
        ops.OP_ROC, lambda p: delay_size(p[0]), lambda p: int(p[0]), "TA-Lib ROC",
        "In percent; 0 where the old value is 0.",
    ),
    _kernel(
        "mom", "Momentum", (_length(10),), "series", "mom", "input",
        ops.OP_MOM, lambda p: delay_size(p[0]), lambda p: int(p[0]), "TA-Lib MOM",
    ),
    _kernel(
        "cci", "Commodity channel index", (_length(20, 2),), "high low close", "cci", "none",
        ops.OP_CCI, lambda p: sum_size(p[0]), lambda p: int(p[0]) - 1, "TA-Lib CCI",
        "0 where the mean deviation is 0. The deviation goes over all `length` values.",
    ),
    _kernel(
        "willr", "Williams' %R", (_length(14, 2),), "high low close", "willr", "none",
        ops.OP_WILLR, lambda p: range_size(p[0]), lambda p: int(p[0]) - 1, "TA-Lib WILLR",
        "0 where the range is 0.",
    ),
)  # fmt: skip

_TREND = (
    _kernel(
        "adx", "Average directional index (Wilder)", (_length(14, 2),), "high low close",
        "adx plus_di minus_di", "none",
        ops.OP_ADX, lambda p: 8, lambda p: 2 * int(p[0]) - 1, "TA-Lib ADX, PLUS_DI, MINUS_DI",
        "The directional indicators wait for adx, though TA-Lib's start at bar `length`.",
    ),
    _kernel(
        "aroon", "Aroon", (_length(14, 2),), "high low", "up down oscillator", "none",
        ops.OP_AROON, lambda p: 6 + 4 * (int(p[0]) + 1), lambda p: int(p[0]),
        "TA-Lib AROON, AROONOSC", "Of equal extremes the latest counts.",
    ),
    _kernel(
        "supertrend", "Supertrend", (_length(10, 2), _factor("multiplier", 3.0)),
        "high low close", "value direction", "price none",
        ops.OP_SUPERTREND, lambda p: 8, lambda p: int(p[0]), "TA-Lib SUPERTREND",
        "The first direction is long. pandas-ta seeds its bands otherwise.",
    ),
    _kernel(
        "psar", "Parabolic stop and reverse (Wilder)",
        (_factor("acceleration", 0.02, 0.0, 1.0), _factor("maximum", 0.2, 0.0, 1.0)),
        "high low", "value direction", "price none",
        ops.OP_PSAR, lambda p: 8, lambda p: 1, "TA-Lib SAR",
        "The first direction is that of the larger directional movement at the second bar; "
        "direction is 1 while the stop is below the price.",
    ),
    _kernel(
        "ichimoku", "Ichimoku cloud",
        (_length(9, 1, "conversion"), _length(26, 2, "base"), _length(52, 1, "span_b")),
        "high low", "conversion base span_a span_b", "price",
        ops.OP_ICHIMOKU,
        lambda p: sum(range_size(n) for n in p) + 2 * delay_size(p[1] - 1),
        lambda p: int(max(p)) - 1 + int(p[1]) - 1, "pandas-ta ichimoku",
        "Spans as drawn at the bar: computed base - 1 bars before. The lagging span looks "
        "ahead and is refused.",
    ),
)  # fmt: skip

_VOLATILITY = (
    _kernel(
        "true_range", "True range", (), "high low close", "true_range", "price",
        ops.OP_TRUE_RANGE, lambda p: 2, lambda p: 1, "TA-Lib TRANGE",
        "The first bar has no true range.",
    ),
    _kernel(
        "atr", "Average true range (Wilder)", (_length(14),), "high low close", "atr", "price",
        ops.OP_ATR, lambda p: 2 + AVERAGE, lambda p: int(p[0]), "TA-Lib ATR",
        "The first bar has no true range; seeded by the mean of the next `length`.",
    ),
    _kernel(
        "natr", "Average true range in percent of the close", (_length(14),), "high low close",
        "natr", "none", ops.OP_NATR, lambda p: 2 + AVERAGE, lambda p: int(p[0]), "TA-Lib NATR",
    ),
    _kernel(
        "bbands", "Bollinger bands", (_length(20, 2), _factor("deviations", 2.0)),
        "series", "lower middle upper width percent", "input input input none none",
        ops.OP_BBANDS, lambda p: moments_size(p[0]), lambda p: int(p[0]) - 1,
        "TA-Lib BBANDS; width and percent pandas-ta bbands(talib=False, ddof=0)",
        "Population standard deviation (ddof 0). Width is in percent of the middle; percent is "
        "0 at the lower band and 1 at the upper, NaN where they meet.",
    ),
    _kernel(
        "keltner", "Keltner channels",
        (_length(20, 2), _factor("multiplier", 2.0), _length(10, 1, "atr_length")),
        "high low close", "lower middle upper", "price",
        ops.OP_KELTNER, lambda p: 3 + 2 * AVERAGE,
        lambda p: max(int(p[0]) - 1, int(p[2])), "TA-Lib KC",
        "Average true range around the exponential average of the typical price, seeded at the "
        "same bar; pandas-ta's kc averages the close and the true range exponentially.",
    ),
    _kernel(
        "donchian", "Donchian channels", (_length(20, 2),), "high low", "lower middle upper",
        "price", ops.OP_DONCHIAN, lambda p: range_size(p[0]), lambda p: int(p[0]) - 1,
        "TA-Lib DONCHIAN", "This bar included: compare with `donchian(20).upper[1]`.",
    ),
)  # fmt: skip

_VOLUME = (
    _kernel(
        "vwap", "Volume weighted average price of the session", (),
        "high low close volume session", "vwap", "price",
        ops.OP_VWAP, lambda p: 3, lambda p: 0, "TA-Lib VWAP of each session's bars",
        "NaN until the session has volume, where TA-Lib gives 0.",
    ),
    _kernel(
        "mfi", "Money flow index", (_length(14, 2),), "high low close volume", "mfi", "none",
        ops.OP_MFI, lambda p: 3 + 2 * sum_size(p[0]), lambda p: int(p[0]), "TA-Lib MFI",
        "0 without any flow in the window.",
    ),
    _kernel(
        "obv", "On balance volume", (), "close volume", "obv", "volume",
        ops.OP_OBV, lambda p: 3, lambda p: 0, "TA-Lib OBV",
        "Starts with the first bar's volume.",
    ),
    _kernel(
        "ad", "Accumulation and distribution line", (), "high low close volume", "ad", "volume",
        ops.OP_AD, lambda p: 1, lambda p: 0, "TA-Lib AD", "Starts at 0 before the first bar.",
    ),
    _kernel(
        "cmf", "Chaikin money flow", (_length(20),), "high low close volume", "cmf", "none",
        ops.OP_CMF, lambda p: 1 + 2 * sum_size(p[0]), lambda p: int(p[0]) - 1, "TA-Lib CMF",
        "0 without volume in the window.",
    ),
)  # fmt: skip

_STATISTICS = (
    _kernel(
        "stdev", "Standard deviation", (_length(20, 2),), "series", "stdev", "input",
        ops.OP_STDEV, lambda p: moments_size(p[0]), lambda p: int(p[0]) - 1, "TA-Lib STDDEV",
        "Of the population (ddof 0).",
    ),
    _kernel(
        "zscore", "Distance from the mean in standard deviations", (_length(30, 2),), "series",
        "zscore", "none",
        ops.OP_ZSCORE, lambda p: moments_size(p[0]), lambda p: int(p[0]) - 1,
        "pandas-ta zscore(talib=False)",
        "Of the sample (ddof 1), unlike stdev; NaN where the deviation is 0. The oracle starts anew "
        "every 50 bars, because pandas' rolling variance drifts; from the exact value zscore is "
        "below 1e-12.",
    ),
    _kernel(
        "slope", "Slope of the regression line", (_length(14, 2),), "series", "slope", "input",
        ops.OP_SLOPE, lambda p: moments_size(p[0]), lambda p: int(p[0]) - 1,
        "TA-Lib LINEARREG_SLOPE",
        "Per bar, by least squares. pandas-ta's slope is mom(x, n) / n.",
    ),
)  # fmt: skip


def _pattern(
    name: str, title: str, op: int, warmup: int, penetration: float = -1.0
) -> IndicatorSpec:
    """Build one row of a candlestick pattern."""
    parameters = (_factor("penetration", penetration, 0.0, 1.0),) if penetration >= 0 else ()
    return _kernel(
        name, title, parameters, "open high low close", "pattern", "none",
        op, lambda p: CANDLES, lambda p: warmup, "TA-Lib " + name.upper().replace("_", ""),
        "Equal to TA-Lib in every bit; 0 where there is no pattern.",
    )  # fmt: skip


_CANDLES = (
    _pattern("cdl_doji", "Doji: 100", ops.OP_CDL_DOJI, 10),
    _pattern("cdl_hammer", "Hammer: 100", ops.OP_CDL_HAMMER, 11),
    _pattern("cdl_hangingman", "Hanging man: -100", ops.OP_CDL_HANGINGMAN, 11),
    _pattern("cdl_engulfing", "Engulfing: 100, 80, -80, -100", ops.OP_CDL_ENGULFING, 2),
    _pattern("cdl_harami", "Harami: 100, 80, -80, -100", ops.OP_CDL_HARAMI, 11),
    _pattern("cdl_morningstar", "Morning star: 100", ops.OP_CDL_MORNINGSTAR, 12, 0.3),
    _pattern("cdl_eveningstar", "Evening star: -100", ops.OP_CDL_EVENINGSTAR, 12, 0.3),
    _pattern("cdl_shootingstar", "Shooting star: -100", ops.OP_CDL_SHOOTINGSTAR, 11),
    _pattern("cdl_3whitesoldiers", "Three white soldiers: 100", ops.OP_CDL_3WHITESOLDIERS, 12),
    _pattern("cdl_3blackcrows", "Three black crows: -100", ops.OP_CDL_3BLACKCROWS, 13),
    _pattern("cdl_piercing", "Piercing line: 100", ops.OP_CDL_PIERCING, 11),
    _pattern("cdl_darkcloudcover", "Dark cloud cover: -100", ops.OP_CDL_DARKCLOUDCOVER, 11, 0.5),
)

INDICATORS: dict[str, IndicatorSpec] = {
    spec.name: spec
    for group in (_AVERAGES, _OSCILLATORS, _TREND, _VOLATILITY, _VOLUME, _STATISTICS, _CANDLES)
    for spec in group
}

_BARS = (Parameter("n", 20, 1, BARS_MAX),)

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
