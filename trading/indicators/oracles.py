"""What each kernel is compared with: TA-Lib, or pandas-ta where TA-Lib has no such function.

Tests, the benchmark and the measured differences in the catalogue read it. Not
imported by anything that trades. pandas-ta is always called with `talib=False`,
because it otherwise delegates to TA-Lib in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import pandas_ta
import talib
from numpy.typing import NDArray
from pandas_ta.maps import Imports

Column = NDArray[np.float64]
Columns = Mapping[str, Column]  # open, high, low, close, volume, session, series
Oracle = Callable[[Columns, Sequence[float]], tuple[Column, ...]]

SMA, EMA = 0, 1  # TA-Lib's codes of averages.

# `talib=False` does not reach indicators within indicators.
Imports["talib"] = False


def _of_series(function: Callable[..., Column]) -> Oracle:
    """Wrap a function of one series and whole-number parameters."""
    return lambda c, p: (function(c["series"], *(int(x) for x in p)),)


def _of_bars(function: Callable[..., Column], names: str) -> Oracle:
    """Wrap a function of bar columns and whole-number parameters."""
    return lambda c, p: (function(*(c[n] for n in names.split()), *(int(x) for x in p)),)


def _pattern(function: Callable[..., NDArray[np.int32]]) -> Oracle:
    """Wrap a candlestick pattern; its first values are 0 in TA-Lib, not missing."""
    return lambda c, p: (
        function(c["open"], c["high"], c["low"], c["close"], *p).astype(np.float64),
    )


def _stoch(c: Columns, p: Sequence[float]) -> tuple[Column, ...]:
    return talib.STOCH(c["high"], c["low"], c["close"], int(p[0]), int(p[1]), SMA, int(p[2]), SMA)


def _stochrsi(c: Columns, p: Sequence[float]) -> tuple[Column, ...]:
    k = talib.STOCHRSI(c["series"], int(p[0]), int(p[1]), int(p[2]), SMA)[1]
    return k, talib.SMA(k, int(p[3]))


def _ppo(c: Columns, p: Sequence[float]) -> tuple[Column, ...]:
    ppo = talib.PPO(c["series"], int(p[0]), int(p[1]), EMA)
    signal = talib.EMA(ppo, int(p[2]))
    return ppo, signal, ppo - signal


def _adx(c: Columns, p: Sequence[float]) -> tuple[Column, ...]:
    functions = (talib.ADX, talib.PLUS_DI, talib.MINUS_DI)
    return tuple(f(c["high"], c["low"], c["close"], int(p[0])) for f in functions)


def _aroon(c: Columns, p: Sequence[float]) -> tuple[Column, ...]:
    down, up = talib.AROON(c["high"], c["low"], int(p[0]))
    return up, down, talib.AROONOSC(c["high"], c["low"], int(p[0]))


def _supertrend(c: Columns, p: Sequence[float]) -> tuple[Column, ...]:
    value, trend = talib.SUPERTREND(c["high"], c["low"], c["close"], int(p[0]), p[1])
    return value, trend.astype(np.float64)


def _psar(c: Columns, p: Sequence[float]) -> tuple[Column, ...]:
    """Add the direction, which TA-Lib does not give: long while the stop is below the bar."""
    value = talib.SAR(c["high"], c["low"], p[0], p[1])
    middle = (c["high"] + c["low"]) / 2.0
    return value, np.where(np.isnan(value), np.nan, np.where(value < middle, 1.0, -1.0))


def _ichimoku(c: Columns, p: Sequence[float]) -> tuple[Column, ...]:
    high, low, close = (pd.Series(c[n]) for n in ("high", "low", "close"))
    frame, _ = pandas_ta.ichimoku(
        high, low, close, int(p[0]), int(p[1]), int(p[2]), include_chikou=False
    )
    columns = [f"ITS_{int(p[0])}", f"IKS_{int(p[1])}", f"ISA_{int(p[0])}", f"ISB_{int(p[1])}"]
    return tuple(frame[n].to_numpy(np.float64) for n in columns)


def _bbands(c: Columns, p: Sequence[float]) -> tuple[Column, ...]:
    """Take the bands from TA-Lib and the two ratios from pandas-ta's formulas of them."""
    upper, middle, lower = talib.BBANDS(c["series"], int(p[0]), p[1], p[1], SMA)
    with np.errstate(divide="ignore", invalid="ignore"):
        width = 100.0 * (upper - lower) / middle
        percent = (c["series"] - lower) / (upper - lower)
    return lower, middle, upper, width, percent


def _keltner(c: Columns, p: Sequence[float]) -> tuple[Column, ...]:
    return talib.KC(c["high"], c["low"], c["close"], int(p[0]), int(p[2]), p[1])[::-1]


def _vwap(c: Columns, p: Sequence[float]) -> tuple[Column, ...]:
    """Run TA-Lib's over each session; it says 0 where we say that there is no average."""
    value = np.full(c["close"].shape, np.nan)
    edges = np.flatnonzero(np.diff(c["session"])) + 1
    for rows in np.split(np.arange(len(value)), edges):
        value[rows] = talib.VWAP(*(c[n][rows] for n in ("high", "low", "close", "volume")))
    return (np.where(value == 0.0, np.nan, value),)


def _zscore(c: Columns, p: Sequence[float]) -> tuple[Column, ...]:
    """Start pandas-ta anew every 50 bars, because pandas' rolling variance drifts."""
    x, length = c["series"], int(p[0])
    value = np.full(x.shape, np.nan)
    for start in range(0, len(x), 50):
        first = max(start - length + 1, 0)
        part = pandas_ta.zscore(pd.Series(x[first : start + 50]), length, talib=False)
        if part is not None:
            value[start : start + 50] = part.to_numpy(np.float64)[start - first :]
    return (value,)


ORACLES: dict[str, Oracle] = {
    "sma": _of_series(talib.SMA),
    "ema": _of_series(talib.EMA),
    "wma": _of_series(talib.WMA),
    "hma": _of_series(talib.HMA),
    "dema": _of_series(talib.DEMA),
    "tema": _of_series(talib.TEMA),
    "rma": _of_series(talib.RMA),
    "trix": _of_series(talib.TRIX),
    "rsi": _of_series(talib.RSI),
    "stoch": _stoch,
    "stochrsi": _stochrsi,
    "macd": lambda c, p: talib.MACD(c["series"], *(int(x) for x in p)),
    "ppo": _ppo,
    "roc": _of_series(talib.ROC),
    "mom": _of_series(talib.MOM),
    "cci": _of_bars(talib.CCI, "high low close"),
    "willr": _of_bars(talib.WILLR, "high low close"),
    "adx": _adx,
    "aroon": _aroon,
    "supertrend": _supertrend,
    "psar": _psar,
    "ichimoku": _ichimoku,
    "true_range": _of_bars(talib.TRANGE, "high low close"),
    "atr": _of_bars(talib.ATR, "high low close"),
    "natr": _of_bars(talib.NATR, "high low close"),
    "bbands": _bbands,
    "keltner": _keltner,
    "donchian": lambda c, p: talib.DONCHIAN(c["high"], c["low"], int(p[0]))[::-1],
    "vwap": _vwap,
    "mfi": _of_bars(talib.MFI, "high low close volume"),
    "obv": _of_bars(talib.OBV, "close volume"),
    "ad": _of_bars(talib.AD, "high low close volume"),
    "cmf": _of_bars(talib.CMF, "high low close volume"),
    "stdev": _of_series(talib.STDDEV),
    "zscore": _zscore,
    "slope": _of_series(talib.LINEARREG_SLOPE),
    "highest": _of_series(talib.MAX),
    "lowest": _of_series(talib.MIN),
    "sum": _of_series(talib.SUM),
    "ref": lambda c, p: (pd.Series(c["series"]).shift(int(p[0])).to_numpy(np.float64),),
    "cdl_doji": _pattern(talib.CDLDOJI),
    "cdl_hammer": _pattern(talib.CDLHAMMER),
    "cdl_hangingman": _pattern(talib.CDLHANGINGMAN),
    "cdl_engulfing": _pattern(talib.CDLENGULFING),
    "cdl_harami": _pattern(talib.CDLHARAMI),
    "cdl_morningstar": _pattern(talib.CDLMORNINGSTAR),
    "cdl_eveningstar": _pattern(talib.CDLEVENINGSTAR),
    "cdl_shootingstar": _pattern(talib.CDLSHOOTINGSTAR),
    "cdl_3whitesoldiers": _pattern(talib.CDL3WHITESOLDIERS),
    "cdl_3blackcrows": _pattern(talib.CDL3BLACKCROWS),
    "cdl_piercing": _pattern(talib.CDLPIERCING),
    "cdl_darkcloudcover": _pattern(talib.CDLDARKCLOUDCOVER),
}


def sample_columns(n_bars: int, seed: int, *, price: float = 100.0, tick: float = 0.0) -> Columns:
    """Make a random walk of bars, a session of 50 bars each.

    Parameters
    ----------
    price : float
        Of the first bar.
    tick : float
        Grid that prices are rounded to, so that they meet limits exactly; 0 for none.
    """
    rng = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(rng.normal(0.0, 0.01, n_bars)))
    gap = np.exp(rng.normal(0.0, 0.004, n_bars))
    open_ = np.concatenate(([price], close[:-1])) * gap
    # A fifth of the bars have no shadow on a side.
    reach = np.abs(rng.normal(0.0, 0.005, (2, n_bars))) * (rng.random((2, n_bars)) < 0.8)
    high = np.maximum(open_, close) * (1.0 + reach[0])
    low = np.minimum(open_, close) * (1.0 - reach[1])
    if tick:
        open_, high, low, close = (np.round(x / tick) * tick for x in (open_, high, low, close))
    return {
        "open": open_,
        "high": high,
        "low": low,
        "close": close,
        "series": close,
        "volume": rng.integers(0, 10_000, n_bars).astype(np.float64),
        "session": (np.arange(n_bars) // 50).astype(np.float64),
    }


def difference(ours: NDArray[np.float64], theirs: Sequence[Column], warmup: int) -> float:
    """Return the largest difference after the warm-up, where both are numbers.

    Relative to the oracle's value, or to the median of its absolute values
    where it is smaller than that: a value near zero is not judged by itself.
    """
    largest = 0.0
    for x, y in zip(ours, theirs, strict=True):
        known = ~np.isnan(x[warmup:]) & np.isfinite(y[warmup:])
        a, b = x[warmup:][known], y[warmup:][known]
        scale = np.maximum(np.abs(b), np.median(np.abs(b))) if len(b) else b
        differs = a != b
        if differs.any():
            largest = max(largest, float((np.abs(a - b)[differs] / scale[differs]).max()))
    return largest
