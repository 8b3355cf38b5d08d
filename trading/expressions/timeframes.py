"""Which timeframe the values of an expression change on."""

from __future__ import annotations

from dataclasses import replace

from trading.expressions.ast import (
    Binary,
    Boolean,
    Call,
    Compare,
    Logic,
    Node,
    Timeframe,
    Unary,
    children,
)
from trading.expressions.constants import is_constant
from trading.expressions.functions import POINTWISE


def own_timeframe(node: Node) -> str:
    """Return the one higher timeframe that a node's values change on, or ``""``.

    Pointwise operations on values of one timeframe, and constants, are of that
    timeframe; functions that look back count the base timeframe's bars.
    """
    match node:
        case Timeframe(timeframe=timeframe):
            return timeframe
        case Unary() | Binary() | Compare() | Logic():
            parts = children(node)
        case Call(name=name, arguments=arguments) if name in POINTWISE:
            parts = arguments
        case _:
            return ""
    found = {own_timeframe(x) for x in parts if not (is_constant(x) or isinstance(x, Boolean))}
    return found.pop() if len(found) == 1 else ""


def without_timeframe(node: Node) -> Node:
    """Return a node of one own timeframe with its `Timeframe` wrappers removed."""
    match node:
        case Timeframe(operand=x):
            return x
        case Unary(operand=x):
            return replace(node, operand=without_timeframe(x))
        case Binary(left=a, right=b) | Compare(left=a, right=b):
            return replace(node, left=without_timeframe(a), right=without_timeframe(b))
        case Logic(operands=xs):
            return replace(node, operands=tuple(without_timeframe(x) for x in xs))
        case Call(name=name, arguments=xs) if name in POINTWISE:
            return replace(node, arguments=tuple(without_timeframe(x) for x in xs))
    return node
