"""Functions of the language itself, as opposed to indicators.

Their values are computed by the linker; this table says how they are called.
"""

from __future__ import annotations

from dataclasses import dataclass

from trading.expressions.ast import Kind

# The longest look-back that one expression may ask for, in bars. It bounds the
# state of a sleeve, which live trading stores after every bar.
BARS_MAX = 5000


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: a number, a condition, or a constant count of bars."""

    name: str
    kind: Kind
    is_count: bool = False  # A whole number of bars, 1 to BARS_MAX, known before the run.
    default: float | None = None


@dataclass(frozen=True, slots=True)
class Function:
    """How a function is called, what it yields, and whether it looks back.

    Attributes
    ----------
    variadic : bool
        Whether it takes two or more of its only argument.
    looks_back : bool
        Whether its value needs earlier bars; such a function may not look at
        position facts, whose history is not kept.
    """

    name: str
    arguments: tuple[Argument, ...]
    yields: Kind
    meaning: str
    variadic: bool = False
    looks_back: bool = False


_N, _C = Kind.NUMBER, Kind.CONDITION


def _x(name: str = "x") -> Argument:
    return Argument(name, _N)


def _bars(default: float | None = None) -> Argument:
    return Argument("n", _N, is_count=True, default=default)


_TABLE = (
    Function("min", (_x(),), _N, "the smallest of its arguments", variadic=True),
    Function("max", (_x(),), _N, "the largest of its arguments", variadic=True),
    Function("abs", (_x(),), _N, "the absolute value"),
    Function("between", (_x(), _x("low"), _x("high")), _C, "low <= x and x <= high"),
    Function(
        "crosses_above",
        (_x("a"), _x("b")),
        _C,
        "a > b now and a <= b one bar before",
        looks_back=True,
    ),
    Function(
        "crosses_below",
        (_x("a"), _x("b")),
        _C,
        "a < b now and a >= b one bar before",
        looks_back=True,
    ),
    Function("rising", (_x(), _bars(1)), _C, "x rose on each of the last n bars", looks_back=True),
    Function("falling", (_x(), _bars(1)), _C, "x fell on each of the last n bars", looks_back=True),
    Function(
        "highest",
        (_x(), _bars()),
        _N,
        "largest x of the last n bars, this one included",
        looks_back=True,
    ),
    Function(
        "lowest",
        (_x(), _bars()),
        _N,
        "smallest x of the last n bars, this one included",
        looks_back=True,
    ),
    Function(
        "bars_since",
        (Argument("c", _C),),
        _N,
        "bars since c was last true: 0 at such a bar, NaN before the first",
        looks_back=True,
    ),
    Function(
        "within",
        (Argument("c", _C), _bars()),
        _C,
        "c was true at any of the last n bars, this one included",
        looks_back=True,
    ),
    Function(
        "count",
        (Argument("c", _C), _bars()),
        _N,
        "how many of the last n bars had c true",
        looks_back=True,
    ),
)
FUNCTIONS: dict[str, Function] = {f.name: f for f in _TABLE}
POINTWISE = frozenset(f.name for f in _TABLE if not f.looks_back)
