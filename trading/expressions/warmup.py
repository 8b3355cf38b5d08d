"""How many bars an expression needs before its value is known.

Owns the count that a person is told. The engine does not use it: there a value
is unknown as long as it is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping

from trading.expressions.ast import Call, Indicator, Node, Shift, Timeframe, children
from trading.expressions.constants import evaluate_constant
from trading.expressions.strategy import ResolvedStrategy, expressions

# Functions over the last n bars, by what their own length adds.
_LESS_ONE = ("highest", "lowest", "count")
_WHOLE = ("rising", "falling")


def warm_up(node: Node, values: Mapping[str, float]) -> dict[str, int]:
    """Return the bars that a resolved expression waits for, by timeframe.

    Parameters
    ----------
    node : Node
    values : mapping
        Every parameter's value.

    Returns
    -------
    dict
        Leading bars without a value, at most: ``""`` is the strategy's own
        timeframe, the other keys are higher ones such as ``1w``. An `or` may
        be known sooner, by one of its sides.
    """
    if isinstance(node, Timeframe):
        # The bars that the higher value itself needs, and nothing of our own.
        inside = warm_up(node.operand, values)
        return {node.timeframe: inside.get("", 0)}
    found: dict[str, int] = {}
    for child in _series(node):
        for timeframe, bars in warm_up(child, values).items():
            found[timeframe] = max(found.get(timeframe, 0), bars)
    own = _own(node, values)
    if own:
        found[""] = found.get("", 0) + own
    return found


def strategy_warm_up(strategy: ResolvedStrategy, values: Mapping[str, float]) -> dict[str, int]:
    """Return the bars that all conditions, prices and indicators wait for, by timeframe."""
    found: dict[str, int] = {"": 0}
    for node in expressions(strategy):
        for timeframe, bars in warm_up(node, values).items():
            found[timeframe] = max(found.get(timeframe, 0), bars)
    return found


def _series(node: Node) -> tuple[Node, ...]:
    """Return the parts whose own warm-up comes first; constants have none."""
    if isinstance(node, Indicator):
        return node.inputs
    if isinstance(node, Shift):
        return (node.operand,)
    return children(node)


def _own(node: Node, values: Mapping[str, float]) -> int:
    match node:
        case Indicator(name=name, parameters=parameters):
            # Imported here: an expression without an indicator needs no catalogue.
            from trading.indicators.catalogue import find

            spec = find(name)
            assert spec is not None, f"{name} was found when the strategy was resolved"
            return spec.warmup([evaluate_constant(p, values) for p in parameters])
        case Shift(n=n):
            return int(evaluate_constant(n, values))
        case Call(name=name, arguments=arguments) if name in _LESS_ONE:
            return int(evaluate_constant(arguments[1], values)) - 1
        case Call(name=name, arguments=arguments) if name in _WHOLE:
            return int(evaluate_constant(arguments[1], values))
        case Call(name="crosses_above" | "crosses_below"):
            return 1
    return 0
