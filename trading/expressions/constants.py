"""Constant expressions: numbers, `$parameters` and arithmetic of those.

Owns their values for one parameter set and the ranges they must keep.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

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
            if name == "abs":
                return abs(numbers[0])
            return min(numbers) if name == "min" else max(numbers)
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


@dataclass(frozen=True, slots=True)
class Constraint:
    """A constant that depends on `$parameters`, and what it must satisfy."""

    path: str
    column: int | None
    node: Node
    label: str
    low: float
    high: float
    integer: bool
    low_open: bool = False  # The value must exceed `low`, not just reach it.
    high_open: bool = False

    def check(self, values: Mapping[str, float]) -> float:
        """Return the constant's value, or raise `SpecError` if it is out of range."""
        try:
            value = evaluate_constant(self.node, values)
        except SpecError as error:
            raise SpecError(
                f"{self.label}: {error.message}", path=self.path, column=self.column
            ) from None
        below = value <= self.low if self.low_open else value < self.low
        above = value >= self.high if self.high_open else value > self.high
        if below or above or (self.integer and value != int(value)):
            raise SpecError(
                f"{self.label} must be {self._wanted()}, got {value:g}",
                path=self.path,
                column=self.column,
            )
        return value

    def _wanted(self) -> str:
        what = "a whole number" if self.integer else "a number"
        if self.low_open:
            most = "" if self.high == math.inf else f", at most {self.high:g}"
            return f"{what} above {self.low:g}{most}"
        if self.high == math.inf:
            return f"{what} from {self.low:g} up"
        return f"{what} from {self.low:g} to {'below ' if self.high_open else ''}{self.high:g}"


@dataclass(frozen=True, slots=True)
class Fit:
    """Constants of one indicator that must fit together, such as fast below slow."""

    path: str
    column: int
    name: str
    nodes: tuple[Node, ...]
    refuse: Callable[[Sequence[float]], str]

    def check(self, values: Mapping[str, float]) -> None:
        """Raise `SpecError` with the indicator's reason if the constants don't fit."""
        reason = self.refuse([evaluate_constant(node, values) for node in self.nodes])
        if reason:
            raise SpecError(f"`{self.name}`: {reason}", path=self.path, column=self.column)
