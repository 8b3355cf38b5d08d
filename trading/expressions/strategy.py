"""A strategy document resolved into typed trees, and bound to parameter values.

`resolve_strategy` parses and checks every expression of a document once;
`bind` gives the plain numbers of one parameter set. A sweep resolves once and
binds each set without parsing again: `$parameter` stays a node in the trees
and is replaced by its value where the linker evaluates constants.

Owns the resolved shapes and what may be said together in one document. Does
not own what single names and operators mean (`resolve`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import TYPE_CHECKING

from foundation.errors import SpecError
from trading.expressions.ast import (
    TIMEFRAMES,
    Indicator,
    Logic,
    Node,
    Parameter,
    Shift,
    Timeframe,
)
from trading.expressions.constants import Constraint, Fit, unique_nodes
from trading.expressions.functions import BARS_MAX
from trading.expressions.parser import parse, split_terms
from trading.expressions.resolve import Resolver, Scope

if TYPE_CHECKING:
    from trading.document_fields import SetupStage, StrategyDocument

CONDITION_FIELDS = ("enter_long", "exit_long", "enter_short", "exit_short")


class EntryType(Enum):
    """How an entry order waits for its price."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"


class TimeInForce(Enum):
    """How long an entry order works."""

    DAY = "day"
    GTC = "gtc"


class FillAt(Enum):
    """Where a market order fills."""

    NEXT_OPEN = "next_open"
    SAME_CLOSE = "same_close"


class SizeMethod(Enum):
    """Which number decides the quantity."""

    QUANTITY = "quantity"
    NOTIONAL = "notional"
    EQUITY_FRACTION = "equity_fraction"
    RISK_FRACTION = "risk_fraction"
    VOLATILITY_TARGET = "volatility_target"


class SizedAt(Enum):
    """Which price the size is computed from."""

    DECISION = "decision"
    FILL = "fill"


class Hours(Enum):
    """Whether orders may be decided outside the regular session."""

    REGULAR = "regular"
    EXTENDED = "extended"


@dataclass(frozen=True, slots=True)
class Term:
    """One top-level `and` term of a condition.

    `text` is the source with runs of white space made one space; it names the
    column of the decision rows, ``enter_long[0]: rsi < 30``.
    """

    node: Node
    text: str
    column: int


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition and its top-level `and` terms; one term if there is no `and`."""

    node: Node
    text: str
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a setup: the condition, and its number of bars (constant)."""

    condition: Condition
    within: Node


@dataclass(frozen=True, slots=True)
class NamedOutput:
    """A column of the indicators table: ``rsi``, ``stoch.k``; a number or a condition."""

    name: str
    node: Node


@dataclass(frozen=True, slots=True)
class Target:
    """One profit target: distance, and share of the entered quantity (constant)."""

    at: Node
    close: Node
    is_share: bool = False  # `at` is a share of the average entry.


@dataclass(frozen=True, slots=True)
class Prices:
    """Price and distance expressions of the execution policy; None where absent.

    Distances are positive and serve both sides; they are evaluated at the
    decision's close. `offset` and `limit_offset` of the document are already
    spelled out here as prices of each side.
    """

    entry_long: Node | None = None
    entry_short: Node | None = None
    limit_long: Node | None = None  # Limit price of a stop-limit entry.
    limit_short: Node | None = None
    ladder_step: Node | None = None
    stop_loss: Node | None = None
    targets: tuple[Target, ...] = ()
    trailing_stop: Node | None = None
    break_even_at: Node | None = None  # Distance of profit that moves the stop.
    break_even_offset: Node | None = None  # Distance beyond the average entry it moves to.
    shares: frozenset[str] = frozenset()  # Which distances are shares of the average entry.


@dataclass(frozen=True, slots=True)
class Policy:
    """Plain numbers of the execution policy, costs and limits of one parameter set.

    Counts of bars are 0 and limits are infinite where the document says
    nothing. Fractions are shares of one, rates are per year.
    """

    entry_type: EntryType = EntryType.MARKET
    time_in_force: TimeInForce = TimeInForce.DAY
    cancel_after_bars: int = 0
    fill: FillAt = FillAt.NEXT_OPEN
    touch: bool = False
    n_rungs: int = 1
    weights: tuple[float, ...] = (1.0,)  # One per rung, as given; not normalised.
    size_method: SizeMethod = SizeMethod.EQUITY_FRACTION
    size: float = 1.0
    cash_buffer: float = 0.0
    volatility_length: int = 0
    sized_at: SizedAt = SizedAt.DECISION
    target_shares: tuple[float, ...] = ()  # One per target; the last takes the rest.
    time_stop: int = 0
    flat_at_session_close: bool = False
    close_at_end: bool = False
    pyramiding: int = 0
    cooldown_bars: int = 0
    reverse: bool = False
    max_participation: float = float("inf")
    intrabar: str | None = None
    hours: Hours = Hours.REGULAR
    setup_long_within: tuple[int, ...] = ()
    setup_short_within: tuple[int, ...] = ()
    # Costs.
    commission_per_share: float = 0.0
    commission_minimum: float = 0.0
    commission_maximum_fraction: float = float("inf")
    commission_bps: float = 0.0
    commission_fixed: float = 0.0
    slippage_bps: float = 0.0
    slippage_ticks: float = 0.0
    half_spread: float = 0.0
    impact_coefficient_bps: float = 0.0
    impact_exponent: float = 0.5
    borrow_rate: float = 0.0
    # Limits.
    max_position_fraction: float = float("inf")
    max_daily_loss: float = float("inf")
    max_drawdown: float = float("inf")
    max_orders_per_minute: int = 0
    max_order_quantity: float = float("inf")
    max_order_notional: float = float("inf")
    price_collar: float = float("inf")


@dataclass(frozen=True, slots=True)
class Bound:
    """One parameter set: every parameter's value, and the policy it gives."""

    values: Mapping[str, float]
    policy: Policy


@dataclass(frozen=True, slots=True)
class ResolvedStrategy:
    """Everything of a document that the linker needs, parsed and checked.

    `setup_long` guards `enter_long`, `setup_short` guards `enter_short`; a
    document's plain `setup` is in both. `indicators` is sorted by name, so that
    documents with the same hash give the same columns.
    """

    name: str
    timeframe: str
    instruments: tuple[str, ...]
    parameters: Mapping[str, float]  # Name to default.
    indicators: tuple[NamedOutput, ...]
    enter_long: Condition | None
    exit_long: Condition | None
    enter_short: Condition | None
    exit_short: Condition | None
    setup_long: tuple[Stage, ...]
    setup_short: tuple[Stage, ...]
    prices: Prices
    timeframes: tuple[str, ...]  # Higher timeframes that any expression asks for, lowest first.
    document: StrategyDocument = field(repr=False, compare=False)
    # What depends on parameters: ranges to check, and constants of the policy by field.
    constraints: tuple[Constraint | Fit, ...] = field(repr=False, compare=False)
    policy_constants: Mapping[str, Constraint] = field(repr=False, compare=False)
    fixed_policy: Policy = field(repr=False, compare=False)


def resolve_strategy(document: StrategyDocument) -> ResolvedStrategy:
    """Parse and check every expression and number of a document.

    Raises
    ------
    SpecError
        With the place in the document and, in an expression, the column.
    """
    from trading.expressions.document_checks import check_document
    from trading.expressions.policy import resolve_policy

    check_document(document)
    resolver = Resolver(
        Scope(
            timeframe=document.timeframe,
            parameters={name: p.default for name, p in document.parameters.items()},
            definitions={name: as_text(value) for name, value in document.indicators.items()},
        )
    )
    indicators = _named_outputs(resolver, document)
    conditions = {
        name: None if text is None else _condition(resolver, text, name)
        for name in CONDITION_FIELDS
        for text in (getattr(document, name),)
    }
    setup = _stages(resolver, document.setup, "setup")
    setup_long = setup + _stages(resolver, document.setup_long, "setup_long")
    setup_short = setup + _stages(resolver, document.setup_short, "setup_short")
    resolved = resolve_policy(resolver, document)
    for name in document.parameters:
        if name not in resolver.used_parameters:
            raise SpecError(
                f"has no effect: no expression uses `${name}`",
                path=f"parameters.{name}",
                hint="use it or take it out",
            )
    strategy = ResolvedStrategy(
        name=document.name,
        timeframe=document.timeframe,
        instruments=document.instruments,
        parameters={name: p.default for name, p in document.parameters.items()},
        indicators=indicators,
        **conditions,
        setup_long=setup_long,
        setup_short=setup_short,
        prices=resolved.prices,
        timeframes=(),
        document=document,
        constraints=tuple(resolver.constraints),
        policy_constants=resolved.constants,
        fixed_policy=resolved.fixed,
    )
    strategy = replace(strategy, timeframes=_timeframes(strategy))
    bind(strategy, {})
    return strategy


def bind(
    strategy: ResolvedStrategy, values: Mapping[str, float], policy: Policy | None = None
) -> Bound:
    """Give one parameter set: defaults, replaced by `values`, and the policy's numbers.

    Parameters
    ----------
    policy : Policy, optional
        Of another set, where `policy_is_fixed` says that all sets share it.

    Raises
    ------
    SpecError
        If a parameter is unknown, out of its own range, or makes a constant of
        the strategy leave the range it must have.
    """
    from trading.document import check_values
    from trading.expressions.policy import bind_policy

    check_values(strategy.document, values)
    full = dict(strategy.parameters)
    full.update((name, float(value)) for name, value in values.items())
    for constraint in strategy.constraints:
        constraint.check(full)
    return Bound(full, bind_policy(strategy, full) if policy is None else policy)


def policy_is_fixed(strategy: ResolvedStrategy) -> bool:
    """Tell whether no `$parameter` enters a number of the execution policy."""
    return not any(
        isinstance(node, Parameter)
        for constant in strategy.policy_constants.values()
        for node in unique_nodes(constant.node)
    )


def as_text(value: str | float) -> str:
    """Return an expression of the document as text."""
    return value if isinstance(value, str) else repr(float(value))


def expressions(strategy: ResolvedStrategy) -> Iterator[Node]:
    """Yield every tree that the linker compiles: conditions, stages, indicators, prices."""
    for name in CONDITION_FIELDS:
        condition = getattr(strategy, name)
        if condition is not None:
            yield condition.node
    for stage in (*strategy.setup_long, *strategy.setup_short):
        yield stage.condition.node
    for output in strategy.indicators:
        yield output.node
    for f in fields(Prices):
        value = getattr(strategy.prices, f.name)
        if f.name == "targets":
            yield from (target.at for target in value)
        elif value is not None:
            yield value


def _condition(resolver: Resolver, text: str | bool, path: str, *, no_facts: str = "") -> Condition:
    if not isinstance(text, str):
        text = "true" if text else "false"
    parsed, terms = split_terms(text, path)
    node = resolver.condition(parsed, path, no_facts=no_facts)
    if len(terms) == 1:
        return Condition(node, text, (Term(node, terms[0][1], terms[0][0].column),))
    # The resolved `and` has the resolved terms as its operands, in order.
    assert isinstance(node, Logic)
    return Condition(
        node,
        text,
        tuple(
            Term(operand, source, parsed_term.column)
            for operand, (parsed_term, source) in zip(node.operands, terms, strict=True)
        ),
    )


def _stages(resolver: Resolver, stages: tuple[SetupStage, ...], path: str) -> tuple[Stage, ...]:
    found = []
    for i, stage in enumerate(stages):
        place = f"{path}[{i}]"
        condition = _condition(
            resolver, stage.when, f"{place}.when", no_facts="a setup, which is followed without it"
        )
        within_path = f"{place}.within"
        within = resolver.constant(
            parse(as_text(stage.within), within_path), within_path, "within", 1, BARS_MAX, True
        )
        found.append(Stage(condition, within))
    return tuple(found)


def _named_outputs(resolver: Resolver, document: StrategyDocument) -> tuple[NamedOutput, ...]:
    from trading.indicators.catalogue import find

    found: list[NamedOutput] = []
    for name in sorted(document.indicators):
        node = resolver.definition(name)
        core = node
        while isinstance(core, Timeframe | Shift):
            core = core.operand
        spec = find(core.name) if isinstance(core, Indicator) else None
        outputs = () if spec is None else spec.outputs
        # `k: stoch(14, 3, 3).d` names one output; only a whole indicator gives all.
        if len(outputs) > 1 and not resolver.picks_output(name):
            found += [
                NamedOutput(f"{name}.{output}", _with_output(node, i))
                for i, output in enumerate(outputs)
            ]
        else:
            found.append(NamedOutput(name, node))
    return tuple(found)


def _with_output(node: Node, i_output: int) -> Node:
    if isinstance(node, Indicator):
        return replace(node, output=i_output)
    assert isinstance(node, Timeframe | Shift)
    return replace(node, operand=_with_output(node.operand, i_output))


def _timeframes(strategy: ResolvedStrategy) -> tuple[str, ...]:
    found = {
        part.timeframe
        for node in expressions(strategy)
        for part in unique_nodes(node)
        if isinstance(part, Timeframe)
    }
    return tuple(sorted(found, key=TIMEFRAMES.index))
