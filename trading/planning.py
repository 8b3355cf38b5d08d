"""Planning: one parameter set of a strategy on one instrument, as the core runs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.errors import SpecError
from trading import dtypes as d
from trading import formulas as f
from trading.expressions.ast import (
    Binary,
    Boolean,
    Call,
    Compare,
    Kind,
    Logic,
    Name,
    Node,
    Parameter,
    Unary,
    kind_of,
)
from trading.expressions.constants import evaluate_constant, is_constant, unique_nodes
from trading.expressions.strategy import (
    Bound,
    Condition,
    EntryType,
    FillAt,
    Hours,
    Policy,
    Prices,
    ResolvedStrategy,
    SizedAt,
    SizeMethod,
    Stage,
    TimeInForce,
)
from trading.instruments import Instrument
from trading.linker import (
    ARITHMETIC,
    COMPARISONS,
    FACTS,
    PRICE,
    Flag,
    Linker,
    Literal,
    Row,
)

ENTRY_TYPES = {
    EntryType.MARKET: d.MARKET,
    EntryType.LIMIT: d.LIMIT,
    EntryType.STOP: d.STOP,
    EntryType.STOP_LIMIT: d.STOP_LIMIT,
}
SIZE_METHODS = {
    SizeMethod.QUANTITY: d.BY_QUANTITY,
    SizeMethod.NOTIONAL: d.BY_NOTIONAL,
    SizeMethod.EQUITY_FRACTION: d.BY_EQUITY_FRACTION,
    SizeMethod.RISK_FRACTION: d.BY_RISK_FRACTION,
    SizeMethod.VOLATILITY_TARGET: d.BY_VOLATILITY,
}
CONDITIONS = ("enter_long", "exit_long", "enter_short", "exit_short")
# Fields of `Prices` in the order of their formulas.
PRICE_FIELDS = (
    "entry_long",
    "entry_short",
    "limit_long",
    "limit_short",
    "ladder_step",
    "stop_loss",
    "trailing_stop",
    "break_even_at",
    "break_even_offset",
)


FACTS_NAMED = "`position`, `entry_price`, `bars_in_trade` or `unrealized_return`"


@dataclass(frozen=True, slots=True)
class Formula:
    """Postfix code over linked columns, as the plan holds it, with its own literals."""

    code: tuple[tuple[int, int], ...]
    literals: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """Columns of the decision rows: one per top-level `and` term of a condition.

    A term that asks for the position has a formula and no row of the flags.
    """

    condition: str
    text: str
    row: int  # Of the flags; -1 for a formula.
    formula: Formula | None = None


@dataclass(frozen=True, slots=True)
class IndicatorColumn:
    """Column of a named indicator output.

    `is_flag` when it is a condition, `is_price` when it is measured in the
    price's unit, such as an average or a range, and can stand beside it.
    """

    name: str
    row: int
    is_flag: bool
    is_price: bool = False


@dataclass(frozen=True, slots=True)
class LinkedStrategy:
    """A plan, and the columns that explain its decisions."""

    plan: NDArray[np.void]  # PLAN array, shape (1,).
    policy: Policy
    condition_rows: Mapping[str, int]  # Flag rows of the conditions without position facts.
    terms: tuple[Terms, ...]
    indicators: tuple[IndicatorColumn, ...]


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Name the place in the document in a refusal that does not.

    The column is left out: it is one of the text in which the refused part
    stands, which may be another, under `indicators`.
    """
    try:
        yield
    except SpecError as error:
        if error.path:
            raise
        raise SpecError(error.message, path=place, hint=error.hint) from error


class _FormulaWriter:
    """Writes expressions as postfix code over linked columns."""

    def __init__(self, linker: Linker, values: Mapping[str, float]) -> None:
        self.linker = linker
        self.values = values
        self.code: list[tuple[int, int]] = []
        self.literals: list[float] = []
        self.starts = [0]
        self.places: list[str] = []

    def formula(self, node: Node | None, place: str = "") -> None:
        """Append one formula; None appends an absent one.

        Raises
        ------
        SpecError
            With the place in the document.
        """
        if node is not None:
            with _at(place):
                self._write(node)
        n_parts = len(self.code) - self.starts[-1]
        if n_parts > d.MAX_STACK:
            raise SpecError(
                f"an expression worked out at the decision has at most {d.MAX_STACK} numbers, "
                f"names and operators, got {n_parts}",
                path=place,
                hint=f"shorten it: conditions without {FACTS_NAMED} count as one, "
                "such as `(...) and bars_in_trade > 5`",
            )
        self.starts.append(len(self.code))
        self.places.append(place)

    def code_of(self, operations: list[tuple[int, int]], place: str) -> None:
        """Append a formula given as code."""
        self.code.extend(operations)
        self.starts.append(len(self.code))
        self.places.append(place)

    def longest(self) -> str:
        """Return the place of the longest formula."""
        return self.places[int(np.argmax(np.diff(self.starts)))]

    def literal(self, value: float) -> tuple[int, int]:
        self.literals.append(value)
        return (f.LITERAL, len(self.literals) - 1)

    def _write(self, node: Node) -> None:
        if is_constant(node):
            self.code.append(self.literal(evaluate_constant(node, self.values)))
            return
        if kind_of(node) is Kind.CONDITION and not self.linker.uses_position(node):
            self.code.append((f.FLAG, self.linker.condition(node, self.values).row))
            return
        match node:
            case Name(name=name) if name in FACTS:
                self.code.append((FACTS[name], 0))
            case Unary(operand=x):
                self._write(x)
                self.code.append((f.NEGATE, 0))
            case Binary(operator=operator, left=a, right=b):
                self._pair(a, b, ARITHMETIC[operator])
            case Compare(operator=operator, left=a, right=b):
                self._pair(a, b, COMPARISONS[operator])
            case Logic(operator="not", operands=(x,)):
                self._write(x)
                self.code.append((f.NOT, 0))
            case Logic(operator=operator, operands=parts):
                self._fold(parts, f.AND if operator == "and" else f.OR)
            case Call(name="min" | "max" as name, arguments=parts):
                self._fold(parts, f.MINIMUM if name == "min" else f.MAXIMUM)
            case Call(name="abs", arguments=(x,)):
                self._write(x)
                self.code.append((f.ABSOLUTE, 0))
            case Call(name="between", arguments=(x, low, high)):
                self._pair(x, low, f.GREATER_EQUAL)
                self._pair(x, high, f.LESS_EQUAL)
                self.code.append((f.AND, 0))
            case Boolean(value=value):
                self.code.append(self.literal(float(d.TRUE if value else d.FALSE)))
            case _:
                linked = self.linker.number(node, self.values)
                if isinstance(linked, Literal):
                    self.code.append(self.literal(linked.value))
                else:
                    self.code.append((f.COLUMN, linked.row))

    def _pair(self, a: Node, b: Node, operation: int) -> None:
        self._write(a)
        self._write(b)
        self.code.append((operation, 0))

    def _fold(self, parts: tuple[Node, ...], operation: int) -> None:
        self._write(parts[0])
        for x in parts[1:]:
            self._write(x)
            self.code.append((operation, 0))


def policy_record(
    policy: Policy,
    prices: Prices,
    instrument: Instrument,
    *,
    intraday: bool,
    has_quotes: bool,
    optimistic: bool,
) -> np.ndarray:
    """Fill the POLICY record; infinite limits become 0, which switches them off."""
    record = np.zeros(1, d.POLICY)
    row = record[0]
    limit = _or_off
    row["lot"] = instrument.lot
    row["tick"] = instrument.tick
    row["multiplier"] = instrument.multiplier
    row["shortable"] = instrument.shortable
    row["intraday"] = intraday
    row["buy_row"], row["sell_row"] = (9, 5) if has_quotes else (0, 0)
    row["entry_type"] = ENTRY_TYPES[policy.entry_type]
    # A market order has no time in force: what the volume leaves of it stays working.
    is_day = policy.time_in_force is TimeInForce.DAY and row["entry_type"] != d.MARKET
    row["time_in_force"] = d.DAY if is_day else d.GTC
    row["extended_hours"] = policy.hours is Hours.EXTENDED
    row["cancel_after_bars"] = policy.cancel_after_bars
    row["touch"] = policy.touch
    row["same_close"] = policy.fill is FillAt.SAME_CLOSE
    row["n_rungs"] = policy.n_rungs
    row["n_targets"] = len(policy.target_shares)
    row["targets_take_all"] = abs(sum(policy.target_shares) - 1.0) < 1e-9
    row["n_brackets"] = 1 + policy.pyramiding + (1 if policy.reverse else 0)
    row["slots_per_bracket"] = row["n_rungs"] + row["n_targets"] + 2
    row["n_orders"] = row["n_brackets"] * row["slots_per_bracket"]
    row["pyramiding"] = policy.pyramiding
    row["reverse"] = policy.reverse
    row["cooldown_bars"] = policy.cooldown_bars
    row["size_method"] = SIZE_METHODS[policy.size_method]
    row["size"] = policy.size
    row["cash_buffer"] = policy.cash_buffer
    row["sized_at_fill"] = policy.sized_at is SizedAt.FILL
    row["time_stop_bars"] = policy.time_stop
    row["flat_at_session_close"] = policy.flat_at_session_close
    row["close_at_end"] = policy.close_at_end
    row["distance_shares"] = _distance_shares(prices)
    row["moves_stops"] = prices.trailing_stop is not None or prices.break_even_at is not None
    row["max_participation"] = limit(policy.max_participation)
    row["path_choice"] = d.HIGHER_EQUITY if optimistic else d.LOWER_EQUITY
    row["commission_per_unit"] = policy.commission_per_share
    row["commission_minimum"] = policy.commission_minimum
    row["commission_maximum_fraction"] = limit(policy.commission_maximum_fraction)
    row["commission_bps"] = policy.commission_bps
    row["commission_fixed"] = policy.commission_fixed
    row["slippage_bps"] = policy.slippage_bps
    row["slippage_ticks"] = policy.slippage_ticks
    # Where bid and ask are known they are the spread.
    row["half_spread"] = 0.0 if has_quotes else policy.half_spread
    row["impact_bps"] = policy.impact_coefficient_bps
    row["impact_exponent"] = policy.impact_exponent
    row["borrow_rate"] = policy.borrow_rate
    row["max_position_fraction"] = limit(policy.max_position_fraction)
    row["max_daily_loss"] = limit(policy.max_daily_loss)
    row["max_drawdown"] = limit(policy.max_drawdown)
    row["max_orders_per_minute"] = policy.max_orders_per_minute
    row["max_order_quantity"] = limit(policy.max_order_quantity)
    row["max_order_notional"] = limit(policy.max_order_notional)
    row["price_collar"] = limit(policy.price_collar)
    return record


def _distance_shares(prices: Prices) -> int:
    bits = {
        "stop_loss": d.STOP_SHARE,
        "trailing_stop": d.TRAIL_SHARE,
        "break_even_at": d.EVEN_AT_SHARE,
        "break_even_offset": d.EVEN_OFFSET_SHARE,
    }
    mask = sum(1 << bits[name] for name in prices.shares)
    for k, target in enumerate(prices.targets):
        mask |= int(target.is_share) << (d.FIRST_TARGET_SHARE + k)
    return mask


def _or_off(value: float) -> float:
    return 0.0 if value == float("inf") else value


def link_strategy(
    linker: Linker,
    strategy: ResolvedStrategy,
    bound: Bound,
    policy: np.ndarray,
    *,
    periods_per_year: float,
    explain: bool,
) -> LinkedStrategy:
    """Link one parameter set.

    Parameters
    ----------
    policy : POLICY array, shape (1,)
    periods_per_year : float
        Bars a year, which annualises the volatility of a volatility target.
    explain : bool
        Whether to link terms and named indicators for decision rows.
    """
    values = bound.values
    writer = _FormulaWriter(linker, values)
    rows = link_conditions(linker, strategy, values)
    for k, name in enumerate(CONDITIONS):
        condition: Condition | None = getattr(strategy, name)
        if condition is None or rows[k] >= 0:
            writer.formula(None)
            continue
        writer.formula(condition.node, name)
        armed = _link_setup(linker, strategy, name, values)
        if armed is not None:
            writer.code.extend([(f.FLAG, armed.row), (f.AND, 0)])
            writer.starts[-1] = len(writer.code)
    condition_rows = {
        name: int(row) for name, row in zip(CONDITIONS, rows, strict=True) if row >= 0
    }
    _write_prices(writer, linker, strategy, bound, periods_per_year)
    terms, indicators = _explain(linker, strategy, values) if explain else ((), ())
    plan = _plan_record(policy, bound.policy, writer, rows)
    return LinkedStrategy(plan, bound.policy, condition_rows, terms, indicators)


def _plan_record(
    record: NDArray[np.void], policy: Policy, writer: _FormulaWriter, rows: NDArray[np.int64]
) -> NDArray[np.void]:
    """Fill the PLAN record.

    Raises
    ------
    SpecError
        If the strategy is beyond one of the core's bounds.
    """
    reverses = 1 if policy.reverse else 0
    n_targets = len(policy.target_shares)
    for n, bound, what, path, hint in (
        (
            policy.pyramiding,
            d.MAX_BRACKETS - 1 - reverses,
            "further entries" + (" with `reverse`" if reverses else ""),
            "execution.pyramiding",
            f"such as pyramiding: {d.MAX_BRACKETS - 1 - reverses}",
        ),
        (
            int(record["n_orders"][0]),
            d.MAX_ORDERS,
            "orders at once",
            "execution.orders.count" if policy.n_rungs > 1 else "execution.pyramiding",
            f"{policy.n_rungs} entries, {n_targets} targets, a stop and an exit are "
            f"{policy.n_rungs + n_targets + 2} for each of {int(record['n_brackets'][0])} brackets; "
            f"such as pyramiding: {d.MAX_ORDERS // (policy.n_rungs + n_targets + 2) - 1 - reverses}",
        ),
        (
            len(writer.code),
            d.MAX_CODE,
            "numbers, names and operators in prices, distances and position conditions",
            writer.longest(),
            "shorten this one, the longest",
        ),
        (
            len(writer.literals),
            d.MAX_LITERALS,
            "numbers in prices, distances and position conditions",
            writer.longest(),
            "shorten this one, the longest",
        ),
    ):
        if n > bound:
            raise SpecError(f"a strategy has at most {bound} {what}, got {n}", path=path, hint=hint)
    plan = np.zeros(1, d.PLAN)
    row = plan[0]
    plan["policy"] = record
    weights = np.array(policy.weights, np.float64)
    n_rungs = len(weights)
    row["constants"][:n_rungs] = weights / weights.sum()
    row["constants"][n_rungs : n_rungs + len(policy.target_shares)] = policy.target_shares
    row["code"][: len(writer.code)] = np.array(writer.code, np.int64).reshape(-1, 2)
    row["literals"][: len(writer.literals)] = writer.literals
    row["starts"][:] = writer.starts[-1]
    row["starts"][: len(writer.starts)] = writer.starts
    row["conditions"][:] = rows
    return plan


def _write_prices(
    writer: _FormulaWriter,
    linker: Linker,
    strategy: ResolvedStrategy,
    bound: Bound,
    periods_per_year: float,
) -> None:
    """Append the price and distance formulas in the order of `dtypes`."""
    prices = strategy.prices
    for name in PRICE_FIELDS:
        writer.formula(getattr(prices, name), _place_of_price(strategy, name))
    if bound.policy.size_method is SizeMethod.VOLATILITY_TARGET:
        row = _volatility_row(linker, bound.policy.volatility_length)
        scale = writer.literal(float(np.sqrt(periods_per_year)))
        code = [(f.COLUMN, row), scale, (f.MULTIPLY, 0)]
        writer.code_of(code, "execution.size.volatility_target")
    else:
        writer.formula(None)
    listed = isinstance(strategy.document.execution.exit.profit_target, tuple)
    for k, target in enumerate(prices.targets):
        place = f"[{k}].at" if listed else ""
        writer.formula(target.at, f"execution.exit.profit_target{place}")


def _place_of_price(strategy: ResolvedStrategy, name: str) -> str:
    """Return the place in the document of a field of `Prices`."""
    entry = strategy.document.execution.entry
    kind, _, side = name.partition("_")
    if kind in ("entry", "limit") and side in ("long", "short"):
        field = "price" if kind == "entry" else "limit"
        offset = "offset" if kind == "entry" else "limit_offset"
        if getattr(entry, offset) is not None:
            return f"execution.entry.{offset}"
        own = side == "short" and getattr(entry, f"{field}_short") is not None
        return f"execution.entry.{field}_short" if own else f"execution.entry.{field}"
    if name == "ladder_step":
        return "execution.orders.step"
    return "execution.exit." + name.replace("break_even_", "break_even.")


def _volatility_row(linker: Linker, length: int) -> int:
    """Link the standard deviation of close-to-close returns over `length` bars."""
    from trading.expressions.ast import Indicator, Number, Shift

    close = Name("close")
    change = Binary("-", Binary("/", close, Shift(close, Number(1.0))), Number(1.0))
    from trading.indicators.catalogue import find

    spec = find("stdev")
    assert spec is not None
    parameters = [Number(float(length))]
    parameters += [Number(float(p.default)) for p in spec.parameters[1:]]
    value = linker.number(Indicator("stdev", (change,), tuple(parameters), 0), {})
    assert isinstance(value, Row)
    return value.row


def link_conditions(
    linker: Linker, strategy: ResolvedStrategy, values: Mapping[str, float]
) -> NDArray[np.int64]:
    """Return the flag rows of the four conditions, -1 where one is absent or a formula."""
    return np.array([_link_condition(linker, strategy, name, values) for name in CONDITIONS])


class ConditionRows:
    """Flag rows of many parameter sets, linked once for all sets alike in what enters one.

    Of 20 levels of entry by 10 of exit, 30 conditions are linked and not 400.
    """

    def __init__(self, linker: Linker, strategy: ResolvedStrategy) -> None:
        self._linker = linker
        self._strategy = strategy
        self._entering = {name: _parameters_of(strategy, name) for name in CONDITIONS}
        # Of each condition by the values that enter it.
        self._known: dict[str, dict[tuple[float, ...], int]] = {name: {} for name in CONDITIONS}

    def rows(self, values: Mapping[str, float]) -> list[int]:
        """Return the flag rows of the four conditions, as `link_conditions` does."""
        rows = []
        for name, entering in self._entering.items():
            key = tuple([values[parameter] for parameter in entering]) if entering else ()
            row = self._known[name].get(key)
            if row is None:
                row = _link_condition(self._linker, self._strategy, name, values)
                self._known[name][key] = row
            rows.append(row)
        return rows


def _parameters_of(strategy: ResolvedStrategy, name: str) -> tuple[str, ...]:
    """Return the names of the parameters that enter a condition or its setup."""
    condition: Condition | None = getattr(strategy, name)
    nodes = [] if condition is None else [condition.node]
    for stage in _stages_of(strategy, name):
        nodes += [stage.condition.node, stage.within]
    found = (n.name for root in nodes for n in unique_nodes(root) if isinstance(n, Parameter))
    return tuple(sorted(set(found)))


def _link_condition(
    linker: Linker, strategy: ResolvedStrategy, name: str, values: Mapping[str, float]
) -> int:
    condition: Condition | None = getattr(strategy, name)
    if condition is None or linker.uses_position(condition.node):
        return -1
    with _at(name):
        flag = linker.condition(condition.node, values)
    armed = _link_setup(linker, strategy, name, values)
    return flag.row if armed is None else linker.both(flag, armed).row


def _stages_of(strategy: ResolvedStrategy, name: str) -> tuple[Stage, ...]:
    if name == "enter_long":
        return strategy.setup_long
    return strategy.setup_short if name == "enter_short" else ()


def _link_setup(
    linker: Linker, strategy: ResolvedStrategy, name: str, values: Mapping[str, float]
) -> Flag | None:
    """Link the setup that guards an entry condition, None when there is none."""
    stages = _stages_of(strategy, name)
    if not stages:
        return None
    flags = []
    n_shared = len(strategy.document.setup)
    for k, stage in enumerate(stages):
        own = f"setup{name.removeprefix('enter')}[{k - n_shared}]"
        with _at(f"{f'setup[{k}]' if k < n_shared else own}.when"):
            flags.append(linker.condition(stage.condition.node, values))
    return linker.setup(tuple(flags), tuple(evaluate_constant(s.within, values) for s in stages))


def formulas_are_fixed(linker: Linker, strategy: ResolvedStrategy) -> bool:
    """Tell whether no `$parameter` enters a price, a distance or a formula.

    A condition that asks for the position is a formula, and so is the setup
    that guards it.
    """
    prices = strategy.prices
    nodes = [getattr(prices, name) for name in PRICE_FIELDS]
    nodes += [target.at for target in prices.targets]
    if any(node is not None and linker.has_parameter(node) for node in nodes):
        return False
    return not any(
        _parameters_of(strategy, name)
        for name in CONDITIONS
        if (condition := getattr(strategy, name)) is not None
        and linker.uses_position(condition.node)
    )


def _explain(
    linker: Linker, strategy: ResolvedStrategy, values: Mapping[str, float]
) -> tuple[tuple[Terms, ...], tuple[IndicatorColumn, ...]]:
    """Link what decision rows show beside the conditions themselves."""
    terms: list[Terms] = []
    for name in CONDITIONS:
        condition: Condition | None = getattr(strategy, name)
        if condition is None:
            continue
        for k, term in enumerate(condition.terms):
            text = f"{name}[{k}]: {term.text}"
            if linker.uses_position(term.node):
                writer = _FormulaWriter(linker, values)
                writer.formula(term.node, name)
                formula = Formula(tuple(writer.code), tuple(writer.literals))
                terms.append(Terms(name, text, -1, formula))
            else:
                with _at(name):
                    flag = linker.condition(term.node, values)
                terms.append(Terms(name, text, flag.row))
    indicators: list[IndicatorColumn] = []
    for output in strategy.indicators:
        place = f"indicators.{output.name.partition('.')[0]}"
        if kind_of(output.node) is Kind.CONDITION:
            with _at(place):
                flag = linker.condition(output.node, values)
            indicators.append(IndicatorColumn(output.name, flag.row, True))
        else:
            with _at(place):
                value = linker.number(output.node, values)
            if isinstance(value, Row):
                is_price = value.dimension == PRICE
                indicators.append(IndicatorColumn(output.name, value.row, False, is_price))
    return tuple(terms), tuple(indicators)
