"""The execution policy, costs and limits of a document: constants and prices.

Owns which field of the document is which number of `Policy`, the range of
each, and the prices of each side. Does not own what the engine does with them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from foundation.errors import SpecError
from trading.expressions.ast import Binary, Name, Node
from trading.expressions.constants import Constraint
from trading.expressions.functions import BARS_MAX
from trading.expressions.parser import parse
from trading.expressions.resolve import Resolver
from trading.expressions.strategy import (
    EntryType,
    FillAt,
    Hours,
    Policy,
    Prices,
    ResolvedStrategy,
    SizedAt,
    SizeMethod,
    Target,
    TimeInForce,
    as_text,
)

if TYPE_CHECKING:
    from trading.document_fields import StrategyDocument

RUNGS_MAX = 16
TARGETS_MAX = 8
_INFINITE = float("inf")


class _Range(NamedTuple):
    """The range of one constant; `integer` ones are counts."""

    low: float = 0.0
    high: float = _INFINITE
    integer: bool = False
    low_open: bool = False
    high_open: bool = False


_FROM_ZERO = _Range()
_ABOVE_ZERO = _Range(low_open=True)
_COUNT = _Range(0, 1_000_000, integer=True)
_COUNT_FROM_ONE = _Range(1, 1_000_000, integer=True)
_SHARE = _Range(0, 1, low_open=True)

# Field of `Policy`: place in the document, and range. An absent value leaves
# the field at its default.
_CONSTANTS: dict[str, tuple[str, _Range]] = {
    "cancel_after_bars": ("execution.entry.cancel_after_bars", _COUNT_FROM_ONE),
    "n_rungs": ("execution.orders.count", _Range(1, RUNGS_MAX, integer=True)),
    "cash_buffer": ("execution.size.cash_buffer", _Range(0, 1, high_open=True)),
    "volatility_length": ("execution.size.length", _Range(2, BARS_MAX, integer=True)),
    "time_stop": ("execution.exit.time_stop", _COUNT_FROM_ONE),
    "pyramiding": ("execution.pyramiding", _Range(0, 20, integer=True)),
    "cooldown_bars": ("execution.cooldown_bars", _COUNT),
    "max_participation": ("execution.max_participation", _SHARE),
    "commission_per_share": ("costs.commission.per_share", _FROM_ZERO),
    "commission_minimum": ("costs.commission.minimum", _FROM_ZERO),
    "commission_maximum_fraction": ("costs.commission.maximum_fraction", _SHARE),
    "commission_bps": ("costs.commission.bps", _Range(0, 10_000)),
    "commission_fixed": ("costs.commission.fixed", _FROM_ZERO),
    "slippage_bps": ("costs.slippage_bps", _Range(0, 10_000)),
    "slippage_ticks": ("costs.slippage_ticks", _FROM_ZERO),
    "half_spread": ("costs.half_spread", _FROM_ZERO),
    "impact_coefficient_bps": ("costs.volume_impact.coefficient_bps", _Range(0, 10_000)),
    "impact_exponent": ("costs.volume_impact.exponent", _Range(0, 4)),
    "borrow_rate": ("costs.borrow_rate", _Range(0, 10)),
    "max_position_fraction": ("risk.max_position_fraction", _ABOVE_ZERO),
    "max_daily_loss": ("risk.max_daily_loss", _SHARE),
    "max_drawdown": ("risk.max_drawdown", _SHARE),
    "max_orders_per_minute": ("risk.max_orders_per_minute", _COUNT_FROM_ONE),
    "max_order_quantity": ("risk.max_order_quantity", _ABOVE_ZERO),
    "max_order_notional": ("risk.max_order_notional", _ABOVE_ZERO),
    "price_collar": ("risk.price_collar", _SHARE),
}
_SIZES: dict[SizeMethod, _Range] = {
    SizeMethod.QUANTITY: _ABOVE_ZERO,
    SizeMethod.NOTIONAL: _ABOVE_ZERO,
    SizeMethod.EQUITY_FRACTION: _Range(0, 100, low_open=True),
    SizeMethod.RISK_FRACTION: _SHARE,
    SizeMethod.VOLATILITY_TARGET: _Range(0, 10, low_open=True),
}
_COUNTS = frozenset(name for name, (_, r) in _CONSTANTS.items() if r.integer)
VOLATILITY_LENGTH_DEFAULT = 20

# Why position facts are refused in what an entry decision computes.
_NO_FACTS = "a distance, which is set before the entry has a price"


@dataclass(frozen=True, slots=True)
class ResolvedPolicy:
    """Prices as trees, constants to evaluate for each parameter set, and the rest."""

    prices: Prices
    constants: Mapping[str, Constraint]
    fixed: Policy


def resolve_policy(resolver: Resolver, document: StrategyDocument) -> ResolvedPolicy:
    """Resolve the execution, costs and risk of a document."""
    execution = document.execution
    constants: dict[str, Constraint] = {}

    def add(name: str, path: str, value: Any, wanted: _Range) -> None:
        if value is not None:
            parsed = parse(as_text(value), path)
            constraint = Constraint(
                path,
                parsed.column if isinstance(value, str) else None,
                parsed,
                path.rpartition(".")[2],
                *wanted,
            )
            constants[name] = replace(constraint, node=resolver.constrained(constraint))

    for name, (path, wanted) in _CONSTANTS.items():
        add(name, path, _value_at(document, path), wanted)
    method = next(m for m in SizeMethod if getattr(execution.size, m.value) is not None)
    add(
        "size",
        f"execution.size.{method.value}",
        getattr(execution.size, method.value),
        _SIZES[method],
    )
    for group in ("setup", "setup_long", "setup_short"):
        for i, stage in enumerate(getattr(document, group)):
            add(
                f"{group}[{i}]",
                f"{group}[{i}].within",
                stage.within,
                _Range(1, BARS_MAX, integer=True),
            )
    targets = execution.exit.profit_target
    if isinstance(targets, tuple):
        for i, target in enumerate(targets):
            path = f"execution.exit.profit_target[{i}].close"
            add(f"target[{i}]", path, target.close, _SHARE)
    prices = _prices(resolver, document)
    if prices.targets:
        prices = replace(
            prices,
            targets=tuple(
                replace(t, close=constants[f"target[{i}]"].node)
                if f"target[{i}]" in constants
                else t
                for i, t in enumerate(prices.targets)
            ),
        )
    fixed = Policy(
        entry_type=EntryType(execution.entry.type),
        time_in_force=TimeInForce(execution.entry.time_in_force),
        fill=FillAt(execution.fill),
        touch=execution.touch,
        size_method=method,
        sized_at=SizedAt(execution.size.sized_at),
        volatility_length=VOLATILITY_LENGTH_DEFAULT
        if method is SizeMethod.VOLATILITY_TARGET
        else 0,
        flat_at_session_close=execution.exit.flat_at_session_close,
        close_at_end=execution.exit.close_at_end,
        reverse=execution.reverse,
        intrabar=execution.intrabar,
        hours=Hours(execution.session),
    )
    return ResolvedPolicy(prices, constants, fixed)


def bind_policy(strategy: ResolvedStrategy, values: Mapping[str, float]) -> Policy:
    """Evaluate the constants of the policy for one parameter set.

    Raises
    ------
    SpecError
        If a constant leaves its range, or constants don't fit together.
    """
    document = strategy.document
    numbers = {name: c.check(values) for name, c in strategy.policy_constants.items()}
    plain: dict[str, Any] = {
        name: int(value) if name in _COUNTS else value
        for name, value in numbers.items()
        if "[" not in name
    }
    policy = replace(strategy.fixed_policy, **plain)
    weights = document.execution.orders.weights
    if weights is None:
        weights = (1.0,) * policy.n_rungs
    if len(weights) != policy.n_rungs:
        raise SpecError(
            f"one weight for each of {policy.n_rungs} orders is needed, got {len(weights)}",
            path="execution.orders.weights",
        )
    if policy.n_rungs > 1:
        if policy.entry_type is EntryType.MARKET:
            raise SpecError(
                "market orders would all fill at the same price",
                path="execution.orders.count",
                hint="use type limit, stop or stop_limit",
            )
        if strategy.prices.ladder_step is None:
            raise SpecError("several orders need a step", path="execution.orders")

    def group(name: str) -> list[float]:
        return [numbers[f"{name}[{i}]"] for i in range(len(getattr(document, name, ())))]

    shares = tuple(numbers.get(f"target[{i}]", 1.0) for i in range(len(strategy.prices.targets)))
    if math.fsum(shares) > 1.0 + 1e-9:
        raise SpecError(
            f"the targets close {math.fsum(shares):g} of the position, at most 1 is there",
            path="execution.exit.profit_target",
        )
    setup = group("setup")
    return replace(
        policy,
        weights=weights,
        target_shares=shares,
        setup_long_within=tuple(int(x) for x in setup + group("setup_long")),
        setup_short_within=tuple(int(x) for x in setup + group("setup_short")),
    )


def _value_at(document: StrategyDocument, path: str) -> Any:
    value: Any = document
    for step in path.split("."):
        value = getattr(value, step)
        if value is None:
            return None
    return value


def _prices(resolver: Resolver, document: StrategyDocument) -> Prices:
    execution = document.execution
    entry, leave = execution.entry, execution.exit

    def number(value: str | float | None, path: str, no_facts: str = _NO_FACTS) -> Node | None:
        if value is None:
            return None
        return resolver.number(parse(as_text(value), path), path, no_facts=no_facts)

    shares: set[str] = set()

    def distance(value: str | float | None, path: str, name: str) -> Node | None:
        node, is_share = _distance(resolver, value, path)
        if is_share:
            shares.add(name)
        return node

    # The average entry is known when a position is added to, so a price may use it.
    price_facts = (
        ""
        if execution.pyramiding != 0.0
        else "an entry price, which is set while there is no position"
    )
    place = "execution.entry"
    long, short = document.enter_long is not None, document.enter_short is not None
    entry_long = number(entry.price, f"{place}.price", price_facts)
    entry_short = number(entry.price_short, f"{place}.price_short", price_facts)
    limit_long = number(entry.limit, f"{place}.limit", price_facts)
    limit_short = number(entry.limit_short, f"{place}.limit_short", price_facts)
    if not long:
        entry_short = entry_short or entry_long
        limit_short = limit_short or limit_long
    offset = number(entry.offset, f"{place}.offset")
    if offset is not None:
        better = entry.type == "limit"
        close = Name("close")
        entry_long = Binary("-" if better else "+", close, offset)
        entry_short = Binary("+" if better else "-", close, offset)
    beyond = number(entry.limit_offset, f"{place}.limit_offset")
    if beyond is not None:
        limit_long = Binary("+", entry_long, beyond) if entry_long else None
        limit_short = Binary("-", entry_short, beyond) if entry_short else None
    break_even = leave.break_even
    return Prices(
        entry_long=entry_long if long else None,
        entry_short=entry_short if short else None,
        limit_long=limit_long if long else None,
        limit_short=limit_short if short else None,
        ladder_step=number(execution.orders.step, "execution.orders.step"),
        stop_loss=distance(leave.stop_loss, "execution.exit.stop_loss", "stop_loss"),
        targets=_targets(resolver, leave.profit_target),
        trailing_stop=distance(
            leave.trailing_stop, "execution.exit.trailing_stop", "trailing_stop"
        ),
        break_even_at=distance(
            None if break_even is None else break_even.at,
            "execution.exit.break_even.at",
            "break_even_at",
        ),
        break_even_offset=distance(
            None if break_even is None else break_even.offset,
            "execution.exit.break_even.offset",
            "break_even_offset",
        ),
        shares=frozenset(shares),
    )


def _distance(resolver: Resolver, value: str | float | None, path: str) -> tuple[Node | None, bool]:
    """Resolve a distance; one that ends in % is a share of the average entry."""
    if value is None:
        return None, False
    text = as_text(value)
    is_share = text.rstrip().endswith("%")
    if is_share:
        text = f"({text.rstrip()[:-1]}) / 100"
    return resolver.number(parse(text, path), path, no_facts=_NO_FACTS), is_share


def _targets(resolver: Resolver, given: Any) -> tuple[Target, ...]:
    if given is None:
        return ()
    path = "execution.exit.profit_target"
    if not isinstance(given, tuple):
        given = [(given, path)]
    else:
        given = [(target.at, f"{path}[{i}].at") for i, target in enumerate(given)]
    if len(given) > TARGETS_MAX:
        raise SpecError(f"at most {TARGETS_MAX} targets are possible, got {len(given)}", path=path)
    targets = []
    for at, place in given:
        node, is_share = _distance(resolver, at, place)
        assert node is not None
        targets.append(Target(node, parse("1"), is_share))
    return tuple(targets)
