"""Syntax tree of the expression language.

The parser makes these nodes from text; the resolver returns trees of the same
nodes with two differences: names of the `indicators` table are expanded, and
calls of indicators became `Indicator` nodes (so `Output`, and `Call` with
keywords, are found in parsed trees only).

Two nodes are equal when they mean the same: `column` is not compared, so the
linker can use a node as a dictionary key and compute equal parts once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """What an expression yields at each bar."""

    NUMBER = "number"
    CONDITION = "condition"


BAR_FIELDS = ("open", "high", "low", "close", "volume", "hl2", "hlc3", "ohlc4")
POSITION_FACTS = ("position", "entry_price", "bars_in_trade", "unrealized_return")
TIME_FACTS = ("hour", "minute", "weekday", "session_bar")
KEYWORDS = ("and", "or", "not", "true", "false")
TIMEFRAMES = ("1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w")


def _column() -> int:
    return field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Number:
    """A literal number."""

    value: float
    column: int = _column()


@dataclass(frozen=True, slots=True)
class Boolean:
    """`true` or `false`; a condition."""

    value: bool
    column: int = _column()


@dataclass(frozen=True, slots=True)
class Parameter:
    """`$name`: a constant of the run, bound after resolving."""

    name: str
    column: int = _column()


@dataclass(frozen=True, slots=True)
class Name:
    """A bare name: in resolved trees a bar field, position fact or time fact."""

    name: str
    column: int = _column()


@dataclass(frozen=True, slots=True)
class Unary:
    """Arithmetic negation; `operator` is always ``-``."""

    operator: str
    operand: Node
    column: int = _column()


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic; `operator` is one of ``+ - * /``."""

    operator: str
    left: Node
    right: Node
    column: int = _column()


@dataclass(frozen=True, slots=True)
class Compare:
    """Comparison of two numbers; `operator` is one of ``< <= > >= == !=``."""

    operator: str
    left: Node
    right: Node
    column: int = _column()


@dataclass(frozen=True, slots=True)
class Logic:
    """Three-valued logic; `operator` is ``and``, ``or`` (two or more operands) or ``not``."""

    operator: str
    operands: tuple[Node, ...]
    column: int = _column()


@dataclass(frozen=True, slots=True)
class Call:
    """Call of a function.

    In resolved trees only functions of the language remain
    (`trading.expressions.functions.FUNCTIONS`), with every argument in place
    and no keywords.
    """

    name: str
    arguments: tuple[Node, ...]
    keywords: tuple[tuple[str, Node], ...] = ()
    column: int = _column()


@dataclass(frozen=True, slots=True)
class Output:
    """`x.k`: one output of an indicator; parsed trees only."""

    operand: Node
    output: str
    column: int = _column()


@dataclass(frozen=True, slots=True)
class Indicator:
    """One output of an indicator of the catalogue; resolved trees only.

    Attributes
    ----------
    name : str
        Key of the catalogue.
    inputs : tuple of nodes
        One number expression for each ``"series"`` input, in order; the other
        inputs are bar columns that the catalogue names.
    parameters : tuple of nodes
        One constant expression for each parameter of the catalogue, in its
        order, defaults filled in.
    output : int
        Index into the catalogue's outputs.
    """

    name: str
    inputs: tuple[Node, ...]
    parameters: tuple[Node, ...]
    output: int
    column: int = _column()


@dataclass(frozen=True, slots=True)
class Shift:
    """`x[n]`: the value n bars ago; `n` is a constant expression.

    In resolved trees the bars are those of the enclosing `Timeframe`: a shift
    of a higher timeframe's expression has been moved inside it.
    """

    operand: Node
    n: Node
    column: int = _column()


@dataclass(frozen=True, slots=True)
class Timeframe:
    """`x @ 1w`: x evaluated on completed bars of a higher timeframe; never nested."""

    operand: Node
    timeframe: str
    column: int = _column()


Node = (
    Number
    | Boolean
    | Parameter
    | Name
    | Unary
    | Binary
    | Compare
    | Logic
    | Call
    | Output
    | Indicator
    | Shift
    | Timeframe
)


def children(node: Node) -> tuple[Node, ...]:
    """Return the sub-expressions of a node in source order."""
    match node:
        case Unary(operand=x) | Output(operand=x) | Timeframe(operand=x):
            return (x,)
        case Binary(left=a, right=b) | Compare(left=a, right=b):
            return (a, b)
        case Logic(operands=xs):
            return xs
        case Call(arguments=xs, keywords=ks):
            return (*xs, *(x for _, x in ks))
        case Indicator(inputs=xs, parameters=ps):
            return (*xs, *ps)
        case Shift(operand=x, n=n):
            return (x, n)
    return ()


def kind_of(node: Node) -> Kind:
    """Return whether a resolved node yields numbers or conditions."""
    match node:
        case Compare() | Logic() | Boolean():
            return Kind.CONDITION
        case Call(name=name):
            from trading.expressions.functions import FUNCTIONS

            return FUNCTIONS[name].yields
        case Shift(operand=x) | Timeframe(operand=x):
            return kind_of(x)
    return Kind.NUMBER
