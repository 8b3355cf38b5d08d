"""A strategy document resolved into typed trees, and bound to parameter values.

`resolve_strategy` parses and checks every expression of a document once;
`bind` gives the plain numbers of one parameter set. A sweep resolves once and
binds each set without parsing again: `$parameter` stays a node in the trees
and is replaced by its value where the linker evaluates constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from trading.expressions.ast import Node


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


@dataclass(frozen=True, slots=True)
class Constraint:
    """A constant that depends on `$parameters`, and what it must satisfy."""

    path: str
    column: int
    node: Node
    label: str
    low: float
    high: float
    integer: bool
    low_open: bool = False  # The value must exceed `low`.


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
    timeframes: tuple[str, ...]  # Higher timeframes that any expression asks for.
    constraints: tuple[Constraint, ...]
    document: object = field(repr=False, compare=False)  # The StrategyDocument itself.
