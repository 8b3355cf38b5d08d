"""Operation codes of the kernels: family * 100 + number within the family.

Plain integers, because kernels compare them; numba freezes them into the
machine code. A code never changes its meaning: sleeves are stored with them.
"""

from __future__ import annotations

(
    OP_SMA,
    OP_EMA,
    OP_WMA,
    OP_HMA,
    OP_DEMA,
    OP_TEMA,
    OP_RMA,
    OP_TRIX,
) = range(0, 8)

(
    OP_RSI,
    OP_STOCH,
    OP_STOCHRSI,
    OP_MACD,
    OP_PPO,
    OP_ROC,
    OP_MOM,
    OP_CCI,
    OP_WILLR,
) = range(100, 109)

(
    OP_ADX,
    OP_AROON,
    OP_SUPERTREND,
    OP_PSAR,
    OP_ICHIMOKU,
) = range(200, 205)

(
    OP_TRUE_RANGE,
    OP_ATR,
    OP_NATR,
    OP_BBANDS,
    OP_KELTNER,
    OP_DONCHIAN,
) = range(300, 306)

(
    OP_VWAP,
    OP_MFI,
    OP_OBV,
    OP_AD,
    OP_CMF,
) = range(400, 405)

(
    OP_STDEV,
    OP_ZSCORE,
    OP_SLOPE,
) = range(500, 503)

(
    OP_CDL_DOJI,
    OP_CDL_HAMMER,
    OP_CDL_HANGINGMAN,
    OP_CDL_ENGULFING,
    OP_CDL_HARAMI,
    OP_CDL_MORNINGSTAR,
    OP_CDL_EVENINGSTAR,
    OP_CDL_SHOOTINGSTAR,
    OP_CDL_3WHITESOLDIERS,
    OP_CDL_3BLACKCROWS,
    OP_CDL_PIERCING,
    OP_CDL_DARKCLOUDCOVER,
) = range(600, 612)

(
    OP_REF,
    OP_HIGHEST,
    OP_LOWEST,
    OP_SUM,
) = range(700, 704)
