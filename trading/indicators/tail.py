"""The long tail: indicators computed by TA-Lib or pandas-ta over the last bars.

Owns one function, `compute_tail`, which backtest and live both call with the
same window, so that they see the same value. A value depends on the window's
bars and on nothing before them; a longer `window` brings averages with a long
memory closer to their value over all history.

TA-Lib and pandas-ta are imported when the first value is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import nan

import numpy as np
from numpy.typing import NDArray

from foundation.errors import SpecError
from trading.indicators.differences import DIFFERENCES
from trading.indicators.kernels import INDICATORS
from trading.indicators.specs import IndicatorSpec, Kind, Parameter
from trading.indicators.tail_table import TABLE

Column = NDArray[np.float64]
WINDOW_MAX = 10_000

# What can't be had, and why. `name` or `name.output`.
REFUSED: dict[str, str] = {
    "zigzag": "it looks ahead: a turning point is marked only after later bars confirm it",
    "ichimoku.lagging_span": "it looks ahead: it is the close of later bars; "
    "write `close > close[25]` to compare with the past",
    "ichimoku.chikou": "it looks ahead: it is the close of later bars",
    "dpo_centered": "it looks ahead: the centred line is drawn back by half its length; `dpo` is not",
    "dpo.centered": "it looks ahead: the centred line is drawn back by half its length; `dpo` is not",
    "tos_stdevall": "it looks ahead: one line is fitted through all bars, later ones included; "
    "use `linearreg` and `stdev`",
    "vhm": "it looks ahead: it divides by the deviation of all volumes, later ones included; "
    "use `zscore(volume, n)`",
    "pivots": "it needs calendar periods; use `high[1]`, `low[1]` and `close[1]` with `@ 1d`",
    "vp": "it is a table of price levels and not a value at a bar",
    "cdl_pattern": "write the pattern's own name, such as `cdl_hammer()`",
    "maxindex": "it is a position in an array; use `aroon` for the bars since an extreme",
    "minindex": "it is a position in an array; use `aroon` for the bars since an extreme",
    "minmaxindex": "it is a position in an array; use `aroon` for the bars since an extreme",
    "long_run": "its inputs are two averages; use `rising(fast, n) and falling(slow, n)`",
    "short_run": "its inputs are two averages; use `falling(fast, n) and rising(slow, n)`",
}


def refusal(name: str, output: str = "") -> str:
    """Return why an indicator or one of its outputs can't be had, or an empty text."""
    return REFUSED.get(f"{name}.{output}" if output else name, "")


def tail_spec(name: str) -> IndicatorSpec | None:
    """Return the long-tail indicator of that name, or None.

    A kernel of the same name is not in the long tail: it takes precedence.

    Raises
    ------
    SpecError
        If the name is known and refused, because it looks ahead or has no
        value at a bar.
    """
    reason = refusal(name)
    if reason:
        raise SpecError(f"indicator `{name}` is refused: {reason}")
    return tail_specs().get(name)


@cache
def tail_specs() -> dict[str, IndicatorSpec]:
    """Return all indicators of the long tail by name."""
    specs = (_read(line) for line in TABLE.strip().splitlines())
    return {spec.name: spec for spec in specs if spec.name not in INDICATORS}


def compute_tail(
    spec: IndicatorSpec, params: Sequence[float], window_columns: Mapping[str, Column]
) -> tuple[float, ...]:
    """Compute an indicator's outputs at the last bar of a window.

    Parameters
    ----------
    spec : IndicatorSpec
        Of the long tail.
    params : sequence of float
        In the order of `spec.parameters`; the last is the window's length.
    window_columns : mapping of str to float64 array, shape (n_window,)
        Each of `input_names(spec)`, oldest first.

    Returns
    -------
    tuple of float
        One for each output; all NaN if the window holds a NaN, since neither
        library says what it does then.
    """
    columns = [np.ascontiguousarray(window_columns[name]) for name in input_names(spec)]
    if any(np.isnan(column).any() for column in columns):
        return (nan,) * len(spec.outputs)
    return _function(spec.name)(columns, params)


def input_names(spec: IndicatorSpec) -> tuple[str, ...]:
    """Return the keys of the window's columns: a second series is ``series2``."""
    names = list(spec.inputs)
    if names.count("series") > 1:
        names[names.index("series", 1)] = "series2"
    return tuple(names)


def _read(line: str) -> IndicatorSpec:
    """Read one line of the table."""
    name, title, function, inputs, given, outputs, dimensions, *cumulative = (
        part.strip() for part in line.split("|")
    )
    parameters = tuple(_parameter(text) for text in given.split())
    names = tuple(outputs.split())
    units = tuple(dimensions.split())
    convention = "Over the last `window` bars; 0 means 5 times the longest length, plus 100."
    if cumulative and cumulative[0]:
        convention += " Its level depends on the window's first bar."

    def window(p: Sequence[float]) -> int:
        if len(p) > len(parameters) and p[-1] > 0:
            return int(p[-1])
        return _default_window(parameters, p)

    def refuse(p: Sequence[float]) -> str:
        least = sum(_lengths(parameters, p)) + 2
        if window(p) < least:
            return f"window must be at least {least} bars for these lengths, got {window(p)}"
        return ""

    return IndicatorSpec(
        name=name,
        title=title,
        parameters=(*parameters, Parameter("window", 0, 0, WINDOW_MAX)),
        inputs=tuple(inputs.split()),
        outputs=names,
        dimensions=units if len(units) > 1 else units * len(names),
        op=-1,
        state_size=lambda p: 0,
        warmup=lambda p: window(p) - 1,
        kind=Kind.TAIL,
        oracle=function.replace("talib", "TA-Lib").replace("pandas_ta", "pandas-ta"),
        convention=convention,
        oracle_difference=DIFFERENCES.get(name, 0.0),
        refuse=refuse,
        window=window,
    )


def _parameter(text: str) -> Parameter:
    """Read `name=default:low:high`."""
    name, _, numbers = text.partition("=")
    default, low, high = (*numbers.split(":"), "", "")[:3]
    integer = "." not in default
    return Parameter(
        name,
        float(default),
        float(low) if low else (2.0 if integer else 0.0),
        float(high) if high else 1000.0,
        integer,
    )


def _lengths(parameters: Sequence[Parameter], p: Sequence[float]) -> list[int]:
    """Return the values that are lengths in bars: whole numbers that may be long."""
    return [
        int(x)
        for parameter, x in zip(parameters, p, strict=False)
        if parameter.integer and parameter.high == 1000.0
    ]


def _default_window(parameters: Sequence[Parameter], p: Sequence[float]) -> int:
    return 5 * max(_lengths(parameters, p), default=20) + 100


@cache
def _function(name: str) -> Callable[[list[Column], Sequence[float]], tuple[float, ...]]:
    spec = tail_specs()[name]
    library, function = spec.oracle.split()
    return _from_talib(spec, function) if library == "TA-Lib" else _from_pandas_ta(spec, function)


def _values(spec: IndicatorSpec, p: Sequence[float]) -> list[float | int]:
    """Return the library's own parameters, whole numbers as int."""
    return [
        int(x) if parameter.integer else float(x)
        for parameter, x in zip(spec.parameters[:-1], p, strict=False)
    ]


def _from_talib(
    spec: IndicatorSpec, name: str
) -> Callable[[list[Column], Sequence[float]], tuple[float, ...]]:
    import talib

    function = getattr(talib, name)

    def compute(columns: list[Column], params: Sequence[float]) -> tuple[float, ...]:
        try:
            result = function(*columns, *_values(spec, params))
        except Exception as error:
            raise SpecError(f"`{spec.name}` does not take these parameters: {error}") from error
        if not isinstance(result, tuple):
            result = (result,)
        return tuple(float(column[-1]) for column in result)

    return compute


def _from_pandas_ta(
    spec: IndicatorSpec, name: str
) -> Callable[[list[Column], Sequence[float]], tuple[float, ...]]:
    import pandas as pd
    import pandas_ta
    from pandas_ta.maps import Imports

    # pandas-ta hands many calculations to TA-Lib in silence where it is
    # installed, also within other indicators, and the two differ.
    Imports["talib"] = False
    function = getattr(pandas_ta, name)
    keywords = [parameter.name for parameter in spec.parameters[:-1]]
    columns_named = {"series": "close", "open": "open_"}
    names = [columns_named.get(x, x) for x in spec.inputs]

    def compute(columns: list[Column], params: Sequence[float]) -> tuple[float, ...]:
        series = {x: pd.Series(column) for x, column in zip(names, columns, strict=True)}
        result = function(**series, **dict(zip(keywords, _values(spec, params), strict=True)))
        if result is None:
            return (nan,) * len(spec.outputs)
        last = result.iloc[-1]
        return tuple(float(x) for x in (last if isinstance(last, pd.Series) else (last,)))

    return compute
