"""How calls are written, and how their arguments and outputs are found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from foundation.errors import SpecError
from trading.expressions.ast import Call, Indicator, Node, Output, Shift, Timeframe
from trading.expressions.functions import Function

if TYPE_CHECKING:
    from trading.indicators.catalogue import IndicatorSpec


def closest(name: str, names: Iterable[str]) -> str | None:
    """Return the name most like a misspelled one, or None if none is near."""
    import difflib

    by_lower = {n.lower(): n for n in names}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def indicator_usage(spec: IndicatorSpec) -> str:
    """Return how an indicator is called, with its defaults: ``rsi(close, length=14)``."""
    parts = ["close"] * sum(1 for x in spec.inputs if x == "series")
    parts += [p.name if p.default is None else f"{p.name}={p.default:g}" for p in spec.parameters]
    return f"{spec.name}({', '.join(parts)})"


def usage_of(function: Function) -> str:
    """Return how a function of the language is called: ``highest(x, n)``."""
    parts = [a.name if a.default is None else f"{a.name}={a.default:g}" for a in function.arguments]
    return f"{function.name}({', '.join(parts)})"


def find_indicator(name: str, path: str = "", column: int | None = None) -> IndicatorSpec | None:
    """Return the catalogue's entry; imported late, so that documents hash without indicators.

    Raises
    ------
    SpecError
        If the name is known and refused, such as one that looks ahead.
    """
    from trading.indicators.catalogue import find, refusal

    reason = refusal(name)
    if reason:
        raise SpecError(f"`{name}` is refused", path=path, column=column, hint=reason)
    return find(name)


def assign(node: Call, names: list[str], usage: str, path: str) -> dict[str, Node]:
    """Match positional and named arguments to parameter names."""
    if len(node.arguments) > len(names):
        raise SpecError(
            f"`{node.name}` takes at most {len(names)} argument{'s' if len(names) != 1 else ''} "
            f"here, got {len(node.arguments)}",
            path=path,
            column=node.arguments[len(names)].column,
            hint=f"write `{usage}`",
        )
    given = dict(zip(names, node.arguments, strict=False))
    for key, value in node.keywords:
        if key not in names:
            guess = closest(key, names)
            raise SpecError(
                f"`{node.name}` has no argument `{key}`",
                path=path,
                column=value.column,
                hint=f"did you mean `{guess}`?" if guess else f"write `{usage}`",
            )
        if key in given:
            raise SpecError(
                f"argument `{key}` of `{node.name}` is given twice",
                path=path,
                column=value.column,
            )
        given[key] = value
    return given


def pick_output(operand: Node, node: Output, path: str) -> Node:
    """Return a resolved indicator with another of its outputs."""
    if isinstance(operand, Timeframe | Shift):
        return replace(operand, operand=pick_output(operand.operand, node, path))
    if not isinstance(operand, Indicator):
        raise SpecError(
            f"only an indicator has outputs, so `.{node.output}` has no meaning here",
            path=path,
            column=node.column,
        )
    spec = find_indicator(operand.name)
    assert spec is not None, "a resolved indicator is in the catalogue"
    outputs = spec.outputs
    if node.output not in outputs:
        from trading.indicators.catalogue import refusal

        reason = refusal(operand.name, node.output)
        if reason:
            raise SpecError(
                f"`{operand.name}.{node.output}` is refused",
                path=path,
                column=node.column + 1,
                hint=reason,
            )
        guess = closest(node.output, outputs)
        raise SpecError(
            f"`{operand.name}` has no output `{node.output}`",
            path=path,
            column=node.column + 1,
            hint=f"did you mean `{guess}`?" if guess else f"it has {', '.join(outputs)}",
        )
    return replace(operand, output=list(outputs).index(node.output))
