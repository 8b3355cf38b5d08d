"""Constant expressions: numbers, `$parameters` and arithmetic of those."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from foundation.errors import SpecError
from trading.expressions.ast import Binary, Call, Node, Number, Parameter, Unary, children

_FOLDED = ("min", "max", "abs")


def is_constant(node: Node) -> bool:
    """Return whether a resolved node has one value for the whole run."""
    match node:
        case Number() | Parameter():
            return True
        case Unary() | Binary():
            return all(is_constant(x) for x in children(node))
        case Call(name=name):
            return name in _FOLDED and all(is_constant(x) for x in children(node))
    return False


def evaluate_constant(node: Node, values: Mapping[str, float]) -> float:
    """Evaluate a constant expression for one parameter set.

    Raises
    ------
    SpecError
        If a parameter has no value, a divisor is zero or the result is not finite.
    """
    result = _evaluate(node, values)
    if not math.isfinite(result):
        raise SpecError("the number is too large", column=node.column)
    return result


def _evaluate(node: Node, values: Mapping[str, float]) -> float:
    match node:
        case Number(value=value):
            return value
        case Parameter(name=name, column=column):
            if name not in values:
                raise SpecError(f"parameter ${name} has no value", column=column)
            return float(values[name])
        case Unary(operand=x):
            return -_evaluate(x, values)
        case Binary(operator=operator, left=left, right=right, column=column):
            a, b = _evaluate(left, values), _evaluate(right, values)
            match operator:
                case "+":
                    return a + b
                case "-":
                    return a - b
                case "*":
                    return a * b
            if b == 0.0:
                raise SpecError("division by zero", column=column)
            return a / b
        case Call(name=name, arguments=arguments) if name in _FOLDED:
            numbers = [_evaluate(x, values) for x in arguments]
            return {"min": min, "max": max, "abs": lambda xs: abs(xs[0])}[name](numbers)
    raise SpecError("a constant is needed here", column=node.column)


def fold(node: Node) -> Node:
    """Return a constant node as a number if it holds no parameter, else unchanged."""
    if isinstance(node, Number) or any(isinstance(x, Parameter) for x in unique_nodes(node)):
        return node
    return Number(evaluate_constant(node, {}), node.column)


def unique_nodes(node: Node) -> Iterator[Node]:
    """Yield each distinct node object below and including `node`.

    Expanded names share their trees, so this stays short where the written-out
    expression would be huge.
    """
    seen = {id(node)}
    stack = [node]
    while stack:
        top = stack.pop()
        yield top
        for child in children(top):
            if id(child) not in seen:
                seen.add(id(child))
                stack.append(child)
