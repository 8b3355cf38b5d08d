"""The linker: from resolved expressions to columns, formulas and a plan.

Every distinct part of every expression becomes one node, whatever strategy or
parameter set asks for it, so that a sweep computes an indicator once. What
depends on the position stays a formula that the policy evaluates.

Kernels run on adjusted prices where the bars have corporate actions: an input
in price units is multiplied by the bar's cumulative factor, a price output is
divided by today's (rule 12). Volume goes the other way. Prices of the bar and
of kernels are compared in adjusted prices: a product divided again may differ
in its last digit, and a new high must equal the highest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from foundation.errors import SpecError
from trading import columns as c
from trading import formulas as f
from trading.dtypes import FALSE, TRUE
from trading.expressions.ast import (
    POSITION_FACTS,
    TIME_FACTS,
    Binary,
    Boolean,
    Call,
    Compare,
    Indicator,
    Logic,
    Name,
    Node,
    Parameter,
    Shift,
    Timeframe,
    Unary,
    children,
)
from trading.expressions.constants import evaluate_constant, is_constant
from trading.indicators import ops
from trading.indicators.catalogue import find
from trading.indicators.specs import IndicatorSpec
from trading.indicators.specs import Kind as IndicatorKind

COMPARISONS = {
    "<": f.LESS,
    "<=": f.LESS_EQUAL,
    ">": f.GREATER,
    ">=": f.GREATER_EQUAL,
    "==": f.EQUAL,
    "!=": f.NOT_EQUAL,
}
FLIPPED = {
    f.LESS: f.GREATER,
    f.LESS_EQUAL: f.GREATER_EQUAL,
    f.GREATER: f.LESS,
    f.GREATER_EQUAL: f.LESS_EQUAL,
    f.EQUAL: f.EQUAL,
    f.NOT_EQUAL: f.NOT_EQUAL,
}
ARITHMETIC = {"+": f.ADD, "-": f.SUBTRACT, "*": f.MULTIPLY, "/": f.DIVIDE}
FACTS = {
    "position": f.POSITION,
    "entry_price": f.ENTRY_PRICE,
    "bars_in_trade": f.BARS_IN_TRADE,
    "unrealized_return": f.UNREALIZED_RETURN,
}
BAR_ROWS = {"open": 0, "high": 1, "low": 2, "close": 3, "volume": 4}

# Powers of price and of volume in a value's unit.
Dimension = tuple[int, int]
PRICE: Dimension = (1, 0)
VOLUME: Dimension = (0, 1)
NO_UNIT: Dimension = (0, 0)


@dataclass(frozen=True, slots=True)
class Row:
    """A column of numbers in a frame's matrix; `adjusted` says in which prices."""

    row: int
    dimension: Dimension = NO_UNIT
    adjusted: bool = False


@dataclass(frozen=True, slots=True)
class Literal:
    """A number known before the run."""

    value: float
    dimension: Dimension = NO_UNIT


@dataclass(frozen=True, slots=True)
class Flag:
    """A column of conditions."""

    row: int


Value = Row | Literal


@dataclass(slots=True)
class External:
    """A node of the long tail, computed by one function over the last bars."""

    i_node: int
    spec: IndicatorSpec
    params: tuple[float, ...]
    input_rows: tuple[int, ...]
    output: int


@dataclass(slots=True)
class Frame:
    """Nodes of one timeframe, in an order in which they can be computed."""

    timeframe: str
    is_base: bool
    n_rows: int = 5
    n_flags: int = 1  # Row 0 is always false.
    n_state: int = 0
    nodes: list[tuple[int, ...]] = field(default_factory=list)
    inputs: list[tuple[int, ...]] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)
    params: list[float] = field(default_factory=list)
    leaves: dict[str, int] = field(default_factory=dict)  # Name to row, filled from the bars.
    # Rows in today's prices to what they are in adjusted ones, where kernels gave these.
    adjusted_rows: dict[int, int] = field(default_factory=dict)
    externals: list[External] = field(default_factory=list)
    interned: dict[object, int] = field(default_factory=dict)
    row_level: dict[tuple[str, int], int] = field(default_factory=dict)
    reads: dict[tuple[str, int, bool], int] = field(default_factory=dict)

    def new_row(self, n: int = 1) -> int:
        """Reserve n rows of the matrix; return the first."""
        self.n_rows += n
        return self.n_rows - n

    def new_flag(self) -> int:
        """Reserve a row of the flags."""
        self.n_flags += 1
        return self.n_flags - 1

    def add(
        self,
        kind: int,
        op: int,
        inputs: tuple[int, ...],
        params: tuple[float, ...] = (),
        n_state: int = 0,
        n_outputs: int = 1,
        *,
        flag_inputs: bool = False,
        flag_output: bool = False,
    ) -> int:
        """Return the output row of a node, which is new only if no node equals it."""
        key = (kind, op, inputs, params)
        known = self.interned.get(key)
        if known is not None:
            return known
        if len(inputs) > c.MAX_INPUTS:
            raise SpecError(f"at most {c.MAX_INPUTS} inputs can be combined, got {len(inputs)}")
        output = self.new_flag() if flag_output else self.new_row(n_outputs)
        family = "flag" if flag_inputs else "row"
        level = 1 + max((self.row_level.get((family, x), 0) for x in inputs), default=0)
        for k in range(n_outputs):
            self.row_level["flag" if flag_output else "row", output + k] = level
        self.nodes.append(
            (kind, op, output, len(inputs), len(self.params), len(params), self.n_state, n_state)
        )
        self.inputs.append(inputs + (0,) * (c.MAX_INPUTS - len(inputs)))
        self.levels.append(level)
        self.params.extend(params)
        self.n_state += n_state
        self.interned[key] = output
        return output

    def tables(self) -> tuple[NDArray[np.void], NDArray[np.int64], NDArray[np.float64]]:
        """Return nodes, inputs and parameters as arrays, ordered by level."""
        order = sorted(range(len(self.nodes)), key=lambda n: (self.levels[n], n))
        nodes = np.array([self.nodes[n] for n in order], dtype=c.NODE)
        inputs = np.array([self.inputs[n] for n in order], dtype=np.int64)
        return nodes, inputs.reshape(-1, c.MAX_INPUTS), np.array(self.params, np.float64)


class Linker:
    """Turns expressions of any number of parameter sets into shared columns.

    Parameters
    ----------
    adjusted : bool
        Whether the bars have corporate actions, so that kernels need factors.
    has_quotes : bool
        Whether the bars carry bid and ask (rows 5 to 8 and 9 to 12).
    """

    def __init__(self, *, adjusted: bool = False, has_quotes: bool = False) -> None:
        self.adjusted = adjusted
        self.base = Frame("", True)
        if has_quotes:
            self.base.new_row(8)
        self.frames: dict[str, Frame] = {}
        self._static: dict[tuple[int, str], object] = {}
        self._asks: dict[tuple[int, str], bool] = {}
        self._keep: list[Node] = []  # Keeps the ids of `_static` alive.

    def frame(self, timeframe: str) -> Frame:
        """Return the frame of a higher timeframe, `""` being the bars themselves."""
        if not timeframe:
            return self.base
        if timeframe not in self.frames:
            frame = Frame(timeframe, False)
            # Leaves come right after the bars, whoever asks for them later.
            frame.leaves["session"] = frame.new_row()
            if self.adjusted:
                frame.leaves["price_factor"] = frame.new_row()
                frame.leaves["split_factor"] = frame.new_row()
                self._leaf(self.base, "price_factor")
                self._leaf(self.base, "split_factor")
            self.frames[timeframe] = frame
        return self.frames[timeframe]

    def has_parameter(self, node: Node) -> bool:
        """Tell whether an expression depends on a `$parameter`."""
        return self._ask(node, Parameter, "parameter")

    def uses_position(self, node: Node) -> bool:
        """Tell whether an expression asks for facts of the position."""
        return self._ask(node, Name, "position")

    def _ask(self, node: Node, kind: type, question: str) -> bool:
        key = (id(node), question)
        if key not in self._asks:
            self._keep.append(node)
            self._asks[key] = (
                isinstance(node, kind)
                and (question == "parameter" or getattr(node, "name", "") in POSITION_FACTS)
            ) or any(self._ask(x, kind, question) for x in children(node))
        return self._asks[key]

    def leaf(self, name: str) -> int:
        """Return the base row of a time fact, the session or an adjustment factor."""
        return self._leaf(self.base, name)

    # Numbers.

    def number(self, node: Node, values: Mapping[str, float], timeframe: str = "") -> Value:
        """Link a number expression; the result is in the bar's own prices.

        Parts without parameters are remembered by identity, so that the next
        parameter set only links what differs.
        """
        key = (id(node), timeframe)
        known = self._static.get(key)
        if known is not None:
            return known  # type: ignore[return-value]
        result = self._number(node, values, timeframe)
        if not self.has_parameter(node):
            self._static[key] = result
            self._keep.append(node)
        return result

    def _number(self, node: Node, values: Mapping[str, float], timeframe: str) -> Value:
        frame = self.frame(timeframe)
        if is_constant(node):
            return Literal(evaluate_constant(node, values))
        match node:
            case Name(name=name):
                return self._name(frame, name)
            case Unary(operand=x):
                return self._arithmetic(
                    frame, f.MULTIPLY, Literal(-1.0), self.number(x, values, timeframe)
                )
            case Binary(operator=operator, left=a, right=b):
                return self._arithmetic(
                    frame,
                    ARITHMETIC[operator],
                    self.number(a, values, timeframe),
                    self.number(b, values, timeframe),
                )
            case Indicator():
                return self._indicator(frame, node, values, timeframe)
            case Shift(operand=x, n=n):
                return self._rolling(frame, ops.OP_REF, x, n, values, timeframe)
            case Timeframe(operand=x, timeframe=above):
                return self._read(self.number(x, values, above), above)
            case Call():
                return self._call(frame, node, values, timeframe)
        raise SpecError("a number is needed here", column=node.column)

    def _name(self, frame: Frame, name: str) -> Value:
        if name in TIME_FACTS:
            return Row(self._leaf(frame, name))
        if name == "hl2":
            return self._mean(frame, ("high", "low"))
        if name == "hlc3":
            return self._mean(frame, ("high", "low", "close"))
        if name == "ohlc4":
            return self._mean(frame, ("open", "high", "low", "close"))
        dimension = VOLUME if name == "volume" else PRICE
        if frame.is_base or not self.adjusted:
            return Row(BAR_ROWS[name], dimension)
        # Higher bars are built from adjusted prices.
        return self._unadjust(frame, Row(BAR_ROWS[name], dimension, adjusted=True))

    def _mean(self, frame: Frame, names: tuple[str, ...]) -> Value:
        total = self._name(frame, names[0])
        for name in names[1:]:
            total = self._arithmetic(frame, f.ADD, total, self._name(frame, name))
        return self._arithmetic(frame, f.DIVIDE, total, Literal(float(len(names))))

    def _leaf(self, frame: Frame, name: str) -> int:
        if name not in frame.leaves:
            frame.leaves[name] = frame.new_row()
        return frame.leaves[name]

    def _arithmetic(self, frame: Frame, op: int, a: Value, b: Value) -> Value:
        dimension = _combine(op, a.dimension, b.dimension)
        if isinstance(a, Literal) and isinstance(b, Literal):
            return Literal(float(f.arithmetic_nb.py_func(op, a.value, b.value)), dimension)
        if isinstance(a, Row) and isinstance(b, Row):
            return Row(frame.add(c.ARITHMETIC, op, (a.row, b.row)), dimension)
        if isinstance(b, Literal):
            assert isinstance(a, Row)
            return Row(frame.add(c.ARITHMETIC_LITERAL, op, (a.row,), (b.value,)), dimension)
        assert isinstance(a, Literal)
        return Row(frame.add(c.LITERAL_ARITHMETIC, op, (b.row,), (a.value,)), dimension)

    def _indicator(
        self, frame: Frame, node: Indicator, values: Mapping[str, float], timeframe: str
    ) -> Value:
        spec = find(node.name)
        assert spec is not None, node.name
        params = tuple(evaluate_constant(x, values) for x in node.parameters)
        refusal = spec.refuse(params) if spec.refuse is not None else ""
        if refusal:
            raise SpecError(f"{node.name}: {refusal}", column=node.column)
        series = iter(node.inputs)
        rows: list[int] = []
        dimension = NO_UNIT
        for k, name in enumerate(spec.inputs):
            if name == "series":
                value = self.number(next(series), values, timeframe)
                if k == 0:
                    dimension = value.dimension
                rows.append(self._kernel_row(frame, value))
            elif name == "session":
                rows.append(self._leaf(frame, "session"))
            else:
                rows.append(self._kernel_row(frame, self._raw_bar(frame, name)))
        first = self._kernel(frame, spec, tuple(rows), params)
        unit = {"input": dimension, "price": PRICE, "volume": VOLUME, "none": NO_UNIT}[
            spec.dimensions[node.output]
        ]
        return self._unadjust(frame, Row(first + node.output, unit, adjusted=True))

    def _raw_bar(self, frame: Frame, name: str) -> Value:
        """Return a bar column without undoing the adjustment of a higher bar."""
        if name in BAR_ROWS:
            dimension = VOLUME if name == "volume" else PRICE
            return Row(BAR_ROWS[name], dimension, adjusted=not frame.is_base)
        return self._name(frame, name)

    def _kernel(
        self, frame: Frame, spec: IndicatorSpec, rows: tuple[int, ...], params: tuple[float, ...]
    ) -> int:
        if spec.kind is IndicatorKind.KERNEL:
            return frame.add(
                c.INDICATOR, spec.op, rows, params, spec.state_size(params), len(spec.outputs)
            )
        key = (c.EXTERNAL, spec.name, rows, params)
        known = frame.interned.get(key)
        if known is not None:
            return known
        output = frame.add(c.EXTERNAL, len(frame.externals), rows, params, 0, len(spec.outputs))
        frame.externals.append(External(len(frame.nodes) - 1, spec, params, rows, output))
        frame.interned[key] = output
        return output

    def _rolling(
        self,
        frame: Frame,
        op: int,
        operand: Node,
        n: Node,
        values: Mapping[str, float],
        timeframe: str,
    ) -> Value:
        value = self.number(operand, values, timeframe)
        length = evaluate_constant(n, values)
        if isinstance(value, Literal) or (op == ops.OP_REF and length == 0):
            return value
        from trading.indicators.catalogue import ROLLING

        spec = next(x for x in ROLLING.values() if x.op == op)
        row = frame.add(
            c.INDICATOR,
            op,
            (self._kernel_row(frame, value),),
            (length,),
            spec.state_size((length,)),
        )
        return self._unadjust(frame, Row(row, value.dimension, adjusted=True))

    def _call(self, frame: Frame, node: Call, values: Mapping[str, float], timeframe: str) -> Value:
        name = node.name
        if name in ("highest", "lowest"):
            op = ops.OP_HIGHEST if name == "highest" else ops.OP_LOWEST
            return self._rolling(frame, op, node.arguments[0], node.arguments[1], values, timeframe)
        if name == "abs":
            value = self.number(node.arguments[0], values, timeframe)
            assert isinstance(value, Row)
            return Row(frame.add(c.ABSOLUTE_OF, 0, (value.row,)), value.dimension)
        if name in ("min", "max"):
            op = f.MINIMUM if name == "min" else f.MAXIMUM
            numbers = [self.number(x, values, timeframe) for x in node.arguments]
            total = numbers[0]
            for value in numbers[1:]:
                total = self._arithmetic(frame, op, total, value)
            return total
        condition = self.condition(node.arguments[0], values, timeframe)
        if name == "bars_since":
            return Row(frame.add(c.BARS_SINCE, 0, (condition.row,), (), 1, flag_inputs=True))
        if name == "count":
            length = evaluate_constant(node.arguments[1], values)
            return Row(
                frame.add(
                    c.COUNT, 0, (condition.row,), (length,), 4 + int(length), flag_inputs=True
                )
            )
        raise SpecError(f"`{name}` does not give a number", column=node.column)

    # Adjustment.

    def _kernel_row(self, frame: Frame, value: Value) -> int:
        """Return the row of a value in adjusted prices, as kernels need it."""
        if isinstance(value, Literal):
            row = self._constant_row(frame, value.value)
            return row
        if value.adjusted or not self.adjusted or value.dimension == NO_UNIT:
            return value.row
        if value.row in frame.adjusted_rows:
            return frame.adjusted_rows[value.row]
        return self._scale(frame, value.row, value.dimension, 1)

    def _constant_row(self, frame: Frame, value: float) -> int:
        zero = frame.add(c.ARITHMETIC_LITERAL, f.MULTIPLY, (3,), (0.0,))
        return frame.add(c.ARITHMETIC_LITERAL, f.ADD, (zero,), (value,))

    def _unadjust(self, frame: Frame, value: Row) -> Row:
        if not self.adjusted or not value.adjusted or value.dimension == NO_UNIT:
            return Row(value.row, value.dimension)
        row = self._scale(frame, value.row, value.dimension, -1)
        frame.adjusted_rows[row] = value.row
        return Row(row, value.dimension)

    def _compared_rows(self, frame: Frame, a: Row, b: Row) -> tuple[int, int]:
        """Return the rows in which two values are compared.

        Those of adjusted prices where a kernel's value meets another's or the
        bar's: multiplied and divided again, the close would no longer equal the
        highest close that it is.
        """
        known = frame.adjusted_rows
        if not self.adjusted or a.dimension != b.dimension or not {a.row, b.row} & known.keys():
            return a.row, b.row
        own = set(BAR_ROWS.values()) if frame.is_base else set()
        if not all(row in known or row in own for row in (a.row, b.row)):
            return a.row, b.row
        return self._kernel_row(frame, a), self._kernel_row(frame, b)

    def _scale(self, frame: Frame, row: int, dimension: Dimension, direction: int) -> int:
        """Multiply (1) or divide (-1) a row by the factors of its unit."""
        for name, power in (("price_factor", dimension[0]), ("split_factor", -dimension[1])):
            factor = self._leaf(frame, name)
            op = f.MULTIPLY if power * direction > 0 else f.DIVIDE
            for _ in range(abs(power)):
                row = frame.add(c.ARITHMETIC, op, (row, factor))
        return row

    def _read(self, value: Value, timeframe: str) -> Value:
        """Bring a higher frame's number down to the bars."""
        if isinstance(value, Literal):
            return value
        above = self.frame(timeframe)
        row = value.row
        if self.adjusted and value.dimension != NO_UNIT and not value.adjusted:
            row = self._kernel_row(above, value)
        here = self._read_row(timeframe, row, is_flag=False)
        return self._unadjust(self.base, Row(here, value.dimension, adjusted=True))

    def _read_row(self, timeframe: str, row: int, *, is_flag: bool) -> int:
        key = (timeframe, row, is_flag)
        if key not in self.base.reads:
            self.base.reads[key] = self.base.new_flag() if is_flag else self.base.new_row()
        return self.base.reads[key]

    # Conditions.

    def condition(self, node: Node, values: Mapping[str, float], timeframe: str = "") -> Flag:
        """Link a condition that does not depend on the position."""
        key = (id(node), timeframe)
        known = self._static.get(key)
        if known is not None:
            return known  # type: ignore[return-value]
        result = self._condition(node, values, timeframe)
        if not self.has_parameter(node):
            self._static[key] = result
            self._keep.append(node)
        return result

    def _condition(self, node: Node, values: Mapping[str, float], timeframe: str) -> Flag:
        frame = self.frame(timeframe)
        match node:
            case Boolean(value=value):
                return self._constant_flag(frame, TRUE if value else FALSE)
            case Compare(operator=operator, left=a, right=b):
                return self._compare(
                    frame,
                    COMPARISONS[operator],
                    self.number(a, values, timeframe),
                    self.number(b, values, timeframe),
                )
            case Logic(operator="not", operands=(x,)):
                return self._logic(frame, f.NOT, (self.condition(x, values, timeframe),))
            case Logic(operator=operator, operands=parts):
                op = f.AND if operator == "and" else f.OR
                flags = tuple(self.condition(x, values, timeframe) for x in parts)
                total = flags[0]
                for flag in flags[1:]:
                    total = self._logic(frame, op, (total, flag))
                return total
            case Timeframe(operand=x, timeframe=above):
                flag = self.condition(x, values, above)
                return Flag(self._read_row(above, flag.row, is_flag=True))
            case Call():
                return self._condition_call(frame, node, values, timeframe)
        raise SpecError("a condition is needed here", column=node.column)

    def _constant_flag(self, frame: Frame, value: int) -> Flag:
        return Flag(frame.add(c.CONSTANT_FLAG, value, (), flag_output=True))

    def _logic(self, frame: Frame, op: int, flags: tuple[Flag, ...]) -> Flag:
        rows = tuple(x.row for x in flags)
        return Flag(frame.add(c.LOGIC, op, rows, flag_inputs=True, flag_output=True))

    def _compare(self, frame: Frame, op: int, a: Value, b: Value) -> Flag:
        if isinstance(a, Literal) and isinstance(b, Literal):
            result = f.compare_nb.py_func(op, a.value, b.value)
            return self._constant_flag(frame, int(result))
        if isinstance(a, Literal):
            a, b, op = b, a, FLIPPED[op]
        assert isinstance(a, Row)
        if isinstance(b, Literal):
            return Flag(frame.add(c.COMPARE_LITERAL, op, (a.row,), (b.value,), flag_output=True))
        return Flag(frame.add(c.COMPARE, op, self._compared_rows(frame, a, b), flag_output=True))

    def _condition_call(
        self, frame: Frame, node: Call, values: Mapping[str, float], timeframe: str
    ) -> Flag:
        name, arguments = node.name, node.arguments
        if name == "between":
            x, low, high = (self.number(a, values, timeframe) for a in arguments)
            over = self._compare(frame, f.GREATER_EQUAL, x, low)
            under = self._compare(frame, f.LESS_EQUAL, x, high)
            return self._logic(frame, f.AND, (over, under))
        if name in ("crosses_above", "crosses_below"):
            return self._cross(
                frame,
                c.ABOVE if name == "crosses_above" else c.BELOW,
                self.number(arguments[0], values, timeframe),
                self.number(arguments[1], values, timeframe),
            )
        if name in ("rising", "falling"):
            value = self.number(arguments[0], values, timeframe)
            length = evaluate_constant(arguments[1], values)
            direction = c.ABOVE if name == "rising" else c.BELOW
            row = self._kernel_row(frame, value)
            return Flag(frame.add(c.RUN, direction, (row,), (length,), 4, flag_output=True))
        if name == "within":
            flag = self.condition(arguments[0], values, timeframe)
            length = evaluate_constant(arguments[1], values)
            return Flag(
                frame.add(
                    c.WITHIN, 0, (flag.row,), (length,), 2, flag_inputs=True, flag_output=True
                )
            )
        raise SpecError(f"`{name}` does not give a condition", column=node.column)

    def _cross(self, frame: Frame, direction: int, a: Value, b: Value) -> Flag:
        if isinstance(a, Literal):
            if isinstance(b, Literal):
                return self._constant_flag(frame, FALSE)
            # 70 crosses above x when x crosses below 70.
            a, b, direction = b, a, c.BELOW if direction == c.ABOVE else c.ABOVE
        assert isinstance(a, Row)
        if self.adjusted and a.dimension != b.dimension:
            return self._cross_of_units(frame, direction, a, b)
        if isinstance(b, Literal):
            return Flag(
                frame.add(c.CROSS_LITERAL, direction, (a.row,), (b.value,), 3, flag_output=True)
            )
        rows = self._compared_rows(frame, a, b)
        return Flag(frame.add(c.CROSS, direction, rows, (), 3, flag_output=True))

    def _cross_of_units(self, frame: Frame, direction: int, a: Row, b: Value) -> Flag:
        """Link a crossing of values that a split rescales differently, such as a price and 100.

        The value of the bar before counts in today's prices, so that a split is no crossing.
        """
        op = f.GREATER if direction == c.ABOVE else f.LESS
        now = self._compare(frame, op, a, b)
        before = self._compare(frame, op, self._before(frame, a), self._before(frame, b))
        return self._logic(frame, f.AND, (now, self._logic(frame, f.NOT, (before,))))

    def _before(self, frame: Frame, value: Value) -> Value:
        """Link the value of the bar before, in today's prices."""
        if isinstance(value, Literal):
            return value
        from trading.indicators.catalogue import ROLLING

        spec = next(x for x in ROLLING.values() if x.op == ops.OP_REF)
        rows = (self._kernel_row(frame, value),)
        row = frame.add(c.INDICATOR, ops.OP_REF, rows, (1.0,), spec.state_size((1.0,)))
        return self._unadjust(frame, Row(row, value.dimension, adjusted=True))

    def setup(self, stages: tuple[Flag, ...], withins: tuple[float, ...]) -> Flag:
        """Link a staged setup; the flag says whether its trigger may count."""
        rows = tuple(x.row for x in stages)
        return Flag(
            self.base.add(
                c.SETUP, 0, rows, withins, 1 + len(rows), flag_inputs=True, flag_output=True
            )
        )

    def both(self, a: Flag, b: Flag) -> Flag:
        """Link the conjunction of two conditions."""
        return self._logic(self.base, f.AND, (a, b))


def _combine(op: int, a: Dimension, b: Dimension) -> Dimension:
    """Return the unit of a result; a sum takes the unit of the part that has one."""
    if op == f.MULTIPLY:
        return (a[0] + b[0], a[1] + b[1])
    if op == f.DIVIDE:
        return (a[0] - b[0], a[1] - b[1])
    return a if a != NO_UNIT else b
