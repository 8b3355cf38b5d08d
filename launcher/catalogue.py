"""`quarterdeck indicators`, `schema` and `check`: what a strategy may say, and says."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foundation.errors import SpecError
from launcher import options
from launcher.console import print_json, print_table

if TYPE_CHECKING:
    from trading.document import StrategyDocument
    from trading.expressions.strategy import Policy, ResolvedStrategy
    from trading.indicators.specs import IndicatorSpec


class SchemaName(StrEnum):
    """What has a JSON Schema."""

    STRATEGY = "strategy"


class IndicatorKind(StrEnum):
    """How an indicator is computed: by a step kernel, or over its last bars."""

    KERNEL = "kernel"
    TAIL = "tail"


def indicators(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Show one indicator in full.")] = "",
    kind: Annotated[IndicatorKind | None, typer.Option(help="Only those of this kind.")] = None,
    json: options.Json = False,
) -> None:
    """List the indicators: parameters, outputs, warm-up, kind, difference from the oracle.

    Example: [bold]quarterdeck indicators stoch[/]
    """
    from difflib import get_close_matches

    from trading.indicators.catalogue import INDICATORS, all_names, find, refusal, suggest

    if name:
        spec = find(name)
        if spec is None:
            # A kernel before the long tail, as strategies suggest it.
            near = get_close_matches(name, INDICATORS, n=1)
            like = near[0] if near else suggest(name)
            why = refusal(name)
            raise SpecError(
                why or f"unknown indicator `{name}`",
                hint="" if why or not like else f"did you mean `{like}`?",
            )
        if json:
            print_json(_described(spec))
        else:
            _print_one(spec)
        return
    found = [spec for each in all_names() if (spec := find(each)) is not None]
    if kind is not None:
        found = [spec for spec in found if spec.kind.value == kind.value]
    # Kernels first: they are what is meant where both have the name.
    found.sort(key=lambda spec: (spec.kind.value != "kernel", spec.name))
    if json:
        print_json([_described(spec) for spec in found])
        return
    rows = [
        [
            spec.name,
            ", ".join(f"{p.name}={p.default:g}" for p in spec.parameters),
            ", ".join(spec.outputs),
            str(spec.warmup(_defaults(spec))),
            spec.kind.value,
            spec.oracle,
            f"{spec.oracle_difference:.0e}" if spec.oracle_difference else "0",
        ]
        for spec in found
    ]
    columns = ["indicator", "parameters", "outputs", "warm-up", "kind", "oracle", "difference"]
    print_table(columns, rows, numbers=("warm-up", "difference"))


def _defaults(spec: IndicatorSpec) -> list[float]:
    return [p.default for p in spec.parameters]


def _described(spec: IndicatorSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "title": spec.title,
        "kind": spec.kind.value,
        "parameters": [
            {
                "name": p.name,
                "default": p.default,
                "low": p.low,
                "high": p.high,
                "integer": p.integer,
            }
            for p in spec.parameters
        ],
        "inputs": list(spec.inputs),
        "outputs": list(spec.outputs),
        "warmup": spec.warmup(_defaults(spec)),
        "window": None if spec.window is None else spec.window(_defaults(spec)),
        "oracle": spec.oracle,
        "largest_difference": spec.oracle_difference,
        "convention": spec.convention,
    }


def _print_one(spec: IndicatorSpec) -> None:
    series = ["close"] * spec.inputs.count("series")
    call = ", ".join(series + [f"{p.name}={p.default:g}" for p in spec.parameters])
    kernel = spec.kind.value == "kernel"
    against = "its oracle" if kernel else "its value over 5,000 bars"
    rows = [
        ["meaning", spec.title],
        ["call", f"{spec.name}({call})"],
        *[
            [f"  {p.name}", f"{'whole number' if p.integer else 'number'}, {p.low:g} to {p.high:g}"]
            for p in spec.parameters
        ],
        ["inputs", ", ".join(spec.inputs)],
        ["outputs", ", ".join(spec.outputs)],
        ["warm-up", f"{spec.warmup(_defaults(spec))} bars"],
        ["kind", "kernel, bar by bar" if kernel else "long tail, over its last bars"],
        ["oracle", spec.oracle],
        ["difference", f"{spec.oracle_difference:.0e} at most from {against}"],
    ]
    if spec.convention:
        rows.append(["convention", spec.convention])
    print_table([spec.name, ""], rows)


def schema(
    name: Annotated[SchemaName, typer.Argument(help="Which one.")],
) -> None:
    """Print a JSON Schema, for an editor or a form.

    Example: [bold]quarterdeck schema strategy > strategy.schema.json[/]
    """
    from trading.document import json_schema

    print_json({SchemaName.STRATEGY: json_schema}[name]())


def check(
    strategy: options.StrategyFile,
    json: options.Json = False,
) -> None:
    """Check a strategy document; name what is wrong, or say what was understood.

    Example: [bold]quarterdeck check examples/donchian_breakout.yaml[/]
    """
    from trading.document import load_document, version_hash
    from trading.expressions.strategy import bind, resolve_strategy
    from trading.expressions.warmup import strategy_warm_up, warm_up

    document = load_document(Path(strategy))
    resolved = resolve_strategy(document)
    bound = bind(resolved, {})
    waits = {
        output.name: _own_names(warm_up(output.node, bound.values), resolved.timeframe)
        for output in resolved.indicators
    }
    whole = _own_names(strategy_warm_up(resolved, bound.values), resolved.timeframe)
    understood = {
        "name": resolved.name,
        "version_hash": version_hash(document),
        "timeframe": resolved.timeframe,
        "instruments": list(resolved.instruments),
        "parameters": dict(bound.values),
        "indicators": waits,
        "warmup": whole,
        "orders": _orders(document, resolved, bound.policy),
    }
    if json:
        print_json(understood)
        return
    _print_understood(document, understood)


def _own_names(waits: dict[str, int], timeframe: str) -> dict[str, int]:
    return {(name or timeframe): bars for name, bars in waits.items()}


def _bars(waits: dict[str, int]) -> str:
    return ", ".join(f"{bars} {timeframe} bars" for timeframe, bars in waits.items()) or "none"


def _print_understood(document: StrategyDocument, understood: dict[str, Any]) -> None:
    parameters = ", ".join(f"{k} {v:g}" for k, v in understood["parameters"].items())
    rows = [
        ["version", understood["version_hash"][:12]],
        ["bars", f"{understood['timeframe']} of {', '.join(understood['instruments']) or 'any'}"],
        ["parameters", parameters or "none"],
        *[
            [f"indicator {name}", f"warm-up {_bars(waits)}"]
            for name, waits in understood["indicators"].items()
        ],
        ["warm-up", _bars(understood["warmup"])],
        *[["orders" if i == 0 else "", line] for i, line in enumerate(understood["orders"])],
    ]
    print_table([document.name, ""], rows)


def _orders(document: StrategyDocument, strategy: ResolvedStrategy, policy: Policy) -> list[str]:
    """Say in a line each which orders the strategy sends."""
    sides = [
        side
        for side, condition in (("long", strategy.enter_long), ("short", strategy.enter_short))
        if condition is not None
    ]
    entry = policy.entry_type.value.replace("_", "-")
    ladder = f", a ladder of {policy.n_rungs}" if policy.n_rungs > 1 else ""
    lasting = "" if entry == "market" else f", {policy.time_in_force.value}"
    if policy.cancel_after_bars:
        lasting += f" for {policy.cancel_after_bars} bars"
    lines = [f"entry: {entry}{lasting}{ladder}, {' and '.join(sides) or 'never'}"]
    lines.append(f"size: {policy.size_method.value} {policy.size:g}")
    if policy.pyramiding:
        lines.append(f"pyramiding: up to {policy.pyramiding} further brackets")
    stops = document.execution.exit
    for name in ("stop_loss", "trailing_stop", "break_even", "time_stop"):
        value = getattr(stops, name, None)
        if value is not None:
            at = getattr(value, "at", value)
            text = f"{at:g}" if isinstance(at, float) else str(at)
            lines.append(f"{name.replace('_', ' ')}: {text}")
    if strategy.prices.targets:
        lines.append(f"profit targets: {len(strategy.prices.targets)}")
    return lines
