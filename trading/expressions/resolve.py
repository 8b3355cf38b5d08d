"""Names, kinds and ranges of an expression: from the parsed to the resolved tree.

Owns what a name means, which parts are numbers and which conditions, how
indicators are called, and what may stand inside `@` and `[n]`. Does not own
the grammar (`parser`) or which expressions a strategy has (`strategy`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from foundation.errors import SpecError
from trading.expressions.ast import (
    BAR_FIELDS,
    KEYWORDS,
    POSITION_FACTS,
    TIME_FACTS,
    TIMEFRAMES,
    Binary,
    Boolean,
    Call,
    Compare,
    Indicator,
    Kind,
    Logic,
    Name,
    Node,
    Number,
    Output,
    Parameter,
    Shift,
    Timeframe,
    Unary,
    children,
    kind_of,
)
from trading.expressions.calls import (
    assign,
    closest,
    find_indicator,
    indicator_usage,
    pick_output,
    usage_of,
)
from trading.expressions.constants import Constraint, Fit, fold, is_constant, unique_nodes
from trading.expressions.functions import BARS_MAX, FUNCTIONS, Function
from trading.expressions.parser import parse
from trading.expressions.timeframes import own_timeframe, without_timeframe

if TYPE_CHECKING:
    from trading.indicators.catalogue import IndicatorSpec
    from trading.indicators.catalogue import Parameter as IndicatorParameter

# Bounds of an expression with all names expanded, so that a few short
# definitions can't grow into more work than memory holds.
NODES_MAX = 3000
EXPANDED_DEPTH_MAX = 150


@dataclass(frozen=True, slots=True)
class Scope:
    """What the names of an expression can refer to.

    Attributes
    ----------
    timeframe : str
        The strategy's own timeframe.
    parameters : mapping
        Declared `$parameters`; only the names matter here.
    definitions : mapping
        The `indicators` table, name to text.
    """

    timeframe: str = "1d"
    parameters: Mapping[str, float] = field(default_factory=dict)
    definitions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the resolver is: document path, and what the surroundings forbid."""

    path: str
    no_facts: str = ""  # Why position facts are refused here; empty if they aren't.
    timeframe: str = ""  # The higher timeframe of an enclosing `@`.


def resolve(text: str, scope: Scope, path: str = "", *, no_facts: str = "") -> Node:
    """Resolve one expression; `Resolver` does many that share a scope.

    Raises
    ------
    SpecError
        With path, column and, where one helps, a hint.
    """
    return Resolver(scope).resolve(parse(text, path), path, no_facts=no_facts)


class Resolver:
    """Resolves the expressions of one document.

    Owns the expanded definitions, each resolved once, and collects
    `constraints` of constants that depend on parameters, and the names of the
    parameters that any expression uses.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.constraints: list[Constraint | Fit] = []
        self.used_parameters: set[str] = set()
        self._definitions: dict[str, Node] = {}
        self._parsed: dict[str, Node] = {}
        for name in scope.definitions:
            _check_definition_name(name)

    def resolve(self, node: Node, path: str, *, no_facts: str = "") -> Node:
        """Return the resolved tree of a parsed one."""
        resolved = self._node(node, _Place(path, no_facts))
        _check_size(resolved, path)
        return resolved

    def condition(self, node: Node, path: str, *, no_facts: str = "") -> Node:
        """Return the resolved tree of a parsed condition."""
        resolved = self._condition(node, _Place(path, no_facts), "this place")
        _check_size(resolved, path)
        return resolved

    def number(self, node: Node, path: str, *, no_facts: str = "") -> Node:
        """Return the resolved tree of a parsed number expression."""
        resolved = self._number(node, _Place(path, no_facts), "this place")
        _check_size(resolved, path)
        return resolved

    def definition(self, name: str) -> Node:
        """Return the resolved tree of a name under `indicators`."""
        # Definitions that others need come first, by a stack of our own: a
        # chain of long definitions would exhaust Python's.
        waiting = [name]
        while name not in self._definitions:
            current = waiting[-1]
            parsed = self._parsed_definition(current)
            needed = (
                part.name
                for part in unique_nodes(parsed)
                if isinstance(part, Name)
                and part.name in self.scope.definitions
                and part.name not in self._definitions
            )
            first = next(needed, None)
            path = f"indicators.{current}"
            if first is not None and first in waiting:
                circle = [*waiting[waiting.index(first) :], first]
                raise SpecError(f"`{first}` is defined by itself: {' -> '.join(circle)}", path=path)
            if first is not None:
                waiting.append(first)
                continue
            reason = "the indicators table, which does not depend on the position"
            node = self._node(parsed, _Place(path, reason))
            _check_size(node, path)
            self._definitions[current] = node
            waiting.pop()
        return self._definitions[name]

    def picks_output(self, name: str) -> bool:
        """Return whether a definition names one output, as `stoch(14, 3, 3).d` does."""
        node = self._parsed_definition(name)
        while isinstance(node, Timeframe | Shift):
            node = node.operand
        if isinstance(node, Name) and node.name in self.scope.definitions:
            return self.picks_output(node.name)
        return isinstance(node, Output)

    def constant(
        self, node: Node, path: str, label: str, low: float, high: float, integer: bool
    ) -> Node:
        """Resolve a constant and check its range, now or when it is bound."""
        return self.constrained(Constraint(path, node.column, node, label, low, high, integer))

    def constrained(self, constraint: Constraint) -> Node:
        """Resolve a constraint's parsed constant and check its range."""
        resolved = self._node(constraint.node, _Place(constraint.path))
        return self._constant(resolved, constraint)

    # Names.

    def _parsed_definition(self, name: str) -> Node:
        if name not in self._parsed:
            self._parsed[name] = parse(self.scope.definitions[name], f"indicators.{name}")
        return self._parsed[name]

    def _name(self, node: Name, place: _Place) -> Node:
        name = node.name
        if name in BAR_FIELDS or name in TIME_FACTS:
            return node
        if name in POSITION_FACTS:
            if place.no_facts:
                raise SpecError(
                    f"`{name}` is a fact of the present position and can't be used in {place.no_facts}",
                    path=place.path,
                    column=node.column,
                )
            return node
        if name in self.scope.definitions:
            return self.definition(name)
        raise self._unknown(node, place)

    def _unknown(self, node: Name | Call, place: _Place) -> SpecError:
        name = node.name
        if isinstance(node, Name) and (
            name in FUNCTIONS or find_indicator(name, place.path, node.column) is not None
        ):
            return SpecError(
                f"`{name}` is a function",
                path=place.path,
                column=node.column,
                hint=f"write `{name}(...)`, or define `{name}` under indicators",
            )
        if isinstance(node, Call) and name in self.scope.definitions:
            return SpecError(
                f"`{name}` is defined under indicators and takes no arguments",
                path=place.path,
                column=node.column,
                hint=f"write `{name}` without parentheses",
            )
        guess = self._closest(name, bare=isinstance(node, Name))
        plain = (*BAR_FIELDS, *POSITION_FACTS, *TIME_FACTS, *KEYWORDS)
        what = "name" if guess in plain else "indicator"
        return SpecError(
            f"unknown {what} `{name}`",
            path=place.path,
            column=node.column,
            hint=f"did you mean `{guess}`?" if guess else "",
        )

    def _closest(self, name: str, *, bare: bool) -> str | None:
        from trading.indicators.catalogue import INDICATORS, suggest

        names: list[str] = []
        if bare:
            names += [*self.scope.definitions, *BAR_FIELDS, *POSITION_FACTS, *TIME_FACTS, *KEYWORDS]
        names += [*FUNCTIONS, *INDICATORS]
        return closest(name, names) or suggest(name)

    # Trees.

    def _node(self, node: Node, place: _Place) -> Node:
        match node:
            case Number() | Boolean():
                return node
            case Parameter(name=name):
                if name not in self.scope.parameters:
                    guess = closest(name, self.scope.parameters)
                    raise SpecError(
                        f"unknown parameter `${name}`",
                        path=place.path,
                        column=node.column,
                        hint=f"did you mean `${guess}`?" if guess else "define it under parameters",
                    )
                self.used_parameters.add(name)
                return node
            case Name():
                return self._name(node, place)
            case Unary(operand=x):
                return replace(node, operand=self._number(x, place, "`-`"))
            case Binary(operator=operator, left=a, right=b):
                what = f"`{operator}`"
                return replace(
                    node, left=self._number(a, place, what), right=self._number(b, place, what)
                )
            case Compare():
                return self._compare(node, place)
            case Logic(operator=operator, operands=operands):
                return replace(
                    node,
                    operands=tuple(self._condition(x, place, f"`{operator}`") for x in operands),
                )
            case Call():
                return self._call(node, place)
            case Output():
                return self._output(node, place)
            case Shift():
                return self._shift(node, place)
            case Timeframe():
                return self._timeframe(node, place)
        raise SpecError("a resolved expression can't be resolved again", path=place.path)

    def _number(self, node: Node, place: _Place, what: str) -> Node:
        resolved = self._node(node, place)
        if kind_of(resolved) is not Kind.NUMBER:
            raise SpecError(
                f"{what} takes a number, but this is a condition",
                path=place.path,
                column=node.column,
            )
        return resolved

    def _condition(self, node: Node, place: _Place, what: str) -> Node:
        resolved = self._node(node, place)
        if kind_of(resolved) is not Kind.CONDITION:
            raise SpecError(
                f"{what} takes a condition, but this is a number",
                path=place.path,
                column=node.column,
                hint="compare it with something, as in `x > 0`",
            )
        return resolved

    def _compare(self, node: Compare, place: _Place) -> Node:
        left, right = self._node(node.left, place), self._node(node.right, place)
        for side, resolved in ((node.left, left), (node.right, right)):
            if kind_of(resolved) is Kind.CONDITION:
                raise SpecError(
                    f"`{node.operator}` compares numbers, but this is a condition",
                    path=place.path,
                    column=side.column,
                    hint="use the condition itself, or `not` before it",
                )
        return replace(node, left=left, right=right)

    def _shift(self, node: Shift, place: _Place) -> Node:
        inner = replace(place, no_facts="`[n]`, since only its present value is known")
        operand = self._node(node.operand, inner)
        n = self._constant(
            self._node(node.n, place),
            Constraint(
                place.path, node.n.column, node.n, "the number of bars in [ ]", 0, BARS_MAX, True
            ),
        )
        # `trend[1]` counts bars of trend's own timeframe.
        own = own_timeframe(operand)
        if own:
            shifted = replace(node, operand=without_timeframe(operand), n=n)
            return Timeframe(shifted, own, node.column)
        return replace(node, operand=operand, n=n)

    def _timeframe(self, node: Timeframe, place: _Place) -> Node:
        wanted = node.timeframe
        if place.timeframe:
            raise SpecError(
                f"`@ {wanted}` can't stand inside `@ {place.timeframe}`",
                path=place.path,
                column=node.column,
            )
        if TIMEFRAMES.index(wanted) <= TIMEFRAMES.index(self.scope.timeframe):
            raise SpecError(
                f"`@ {wanted}` must be higher than the strategy's timeframe, {self.scope.timeframe}",
                path=place.path,
                column=node.column,
            )
        inner = replace(place, no_facts=f"`@ {wanted}`", timeframe=wanted)
        operand = self._node(node.operand, inner)
        for part in unique_nodes(operand):
            if isinstance(part, Timeframe):
                raise SpecError(
                    f"`@ {wanted}` can't be applied to an expression that is already on {part.timeframe}",
                    path=place.path,
                    column=node.column,
                )
            if isinstance(part, Name) and part.name in TIME_FACTS:
                raise SpecError(
                    f"`{part.name}` belongs to the strategy's own bars and can't be used in `@ {wanted}`",
                    path=place.path,
                    column=node.column,
                )
        return operand if is_constant(operand) else replace(node, operand=operand)

    def _output(self, node: Output, place: _Place) -> Node:
        if isinstance(node.operand, Name) and node.operand.name not in self.scope.definitions:
            spec = find_indicator(node.operand.name)
            if spec is not None:
                raise SpecError(
                    f"`{node.operand.name}` is a function",
                    path=place.path,
                    column=node.operand.column,
                    hint=f"write `{node.operand.name}(...).{node.output}`, or define "
                    f"`{node.operand.name}` under indicators",
                )
        return pick_output(self._node(node.operand, place), node, place.path)

    # Calls.

    def _call(self, node: Call, place: _Place) -> Node:
        function = FUNCTIONS.get(node.name)
        if function is not None:
            return self._function(node, function, place)
        spec = find_indicator(node.name, place.path, node.column)
        if spec is None:
            raise self._unknown(node, place)
        return self._indicator(node, spec, place)

    def _function(self, node: Call, function: Function, place: _Place) -> Node:
        inner = place
        if function.looks_back:
            inner = replace(
                place, no_facts=f"`{function.name}(...)`, since only its present value is known"
            )
        usage = usage_of(function)
        if function.variadic:
            if node.keywords or len(node.arguments) < 2:
                raise SpecError(
                    f"`{function.name}` takes two or more numbers",
                    path=place.path,
                    column=node.column,
                )
            return replace(
                node,
                arguments=tuple(
                    self._number(x, inner, f"`{function.name}`") for x in node.arguments
                ),
            )
        given = assign(node, [a.name for a in function.arguments], usage, place.path)
        arguments: list[Node] = []
        for argument in function.arguments:
            value = given.get(argument.name)
            if value is None:
                if argument.default is None:
                    raise SpecError(
                        f"`{function.name}` needs `{argument.name}`",
                        path=place.path,
                        column=node.column,
                        hint=f"write `{usage}`",
                    )
                arguments.append(Number(argument.default, node.column))
            elif argument.is_count:
                label = f"{argument.name} of {function.name}"
                arguments.append(
                    self._constant(
                        self._node(value, place),
                        Constraint(place.path, value.column, value, label, 1, BARS_MAX, True),
                    )
                )
            elif argument.kind is Kind.CONDITION:
                arguments.append(self._condition(value, inner, f"`{function.name}`"))
            else:
                arguments.append(self._number(value, inner, f"`{function.name}`"))
        return Call(node.name, tuple(arguments), (), node.column)

    def _indicator(self, node: Call, spec: IndicatorSpec, place: _Place) -> Node:
        inner = replace(
            place, no_facts=f"`{spec.name}(...)`, since only its present value is known"
        )
        n_series = sum(1 for x in spec.inputs if x == "series")
        positional = [self._node(x, inner) for x in node.arguments]
        # The call gives its series if the first argument is not a constant,
        # and means the close otherwise: rsi(14) is rsi(close, 14).
        inputs: list[Node] = [Name("close", node.column)] * n_series
        if positional and not is_constant(positional[0]):
            if n_series == 0:
                raise SpecError(
                    f"`{spec.name}` takes no series, it reads {', '.join(spec.inputs)} of the bar",
                    path=place.path,
                    column=node.arguments[0].column,
                    hint=f"write `{indicator_usage(spec)}`",
                )
            inputs, positional = positional[:n_series], positional[n_series:]
            if len(inputs) < n_series:
                raise SpecError(
                    f"`{spec.name}` takes {n_series} series, got {len(inputs)}",
                    path=place.path,
                    column=node.column,
                    hint=f"write `{indicator_usage(spec)}`",
                )
            for series, source in zip(inputs, node.arguments, strict=False):
                if kind_of(series) is not Kind.NUMBER:
                    raise SpecError(
                        f"`{spec.name}` takes numbers, but this is a condition",
                        path=place.path,
                        column=source.column,
                    )
        rest = replace(node, arguments=node.arguments[len(node.arguments) - len(positional) :])
        given = assign(rest, [p.name for p in spec.parameters], indicator_usage(spec), place.path)
        parameters = tuple(
            self._indicator_parameter(p, given, node, place) for p in spec.parameters
        )
        if spec.refuse is not None:
            fit = Fit(place.path, node.column, spec.name, parameters, spec.refuse)
            if any(isinstance(x, Parameter) for p in parameters for x in unique_nodes(p)):
                self.constraints.append(fit)
            else:
                fit.check({})
        return Indicator(spec.name, tuple(inputs), parameters, 0, node.column)

    def _indicator_parameter(
        self, parameter: IndicatorParameter, given: dict[str, Node], node: Call, place: _Place
    ) -> Node:
        value = given.get(parameter.name)
        if value is None:
            if parameter.default is None:
                raise SpecError(
                    f"`{node.name}` needs `{parameter.name}`", path=place.path, column=node.column
                )
            return Number(float(parameter.default), node.column)
        return self._constant(
            self._node(value, place),
            Constraint(
                place.path,
                value.column,
                value,
                f"{parameter.name} of {node.name}",
                parameter.low,
                parameter.high,
                parameter.integer,
            ),
        )

    def _constant(self, resolved: Node, constraint: Constraint) -> Node:
        if not is_constant(resolved):
            raise SpecError(
                f"{constraint.label} must be a number or a $parameter, known before the run",
                path=constraint.path,
                column=constraint.column,
            )
        constraint = replace(constraint, node=resolved)
        if any(isinstance(x, Parameter) for x in unique_nodes(resolved)):
            self.constraints.append(constraint)
            return resolved
        constraint.check({})
        return fold(resolved)


def _check_definition_name(name: str) -> None:
    path = f"indicators.{name}"
    if name in BAR_FIELDS or name in POSITION_FACTS or name in TIME_FACTS or name in KEYWORDS:
        raise SpecError(f"`{name}` has a meaning already and can't be redefined", path=path)
    if not (name.isascii() and name.isidentifier()):
        raise SpecError(
            "a name has letters, digits and underscores, and begins with no digit", path=path
        )


def _check_size(node: Node, path: str) -> None:
    """Refuse trees that are too large or too deep when written out."""
    measured: dict[int, tuple[int, int]] = {}
    stack = [node]
    while stack:
        top = stack[-1]
        parts = children(top)
        missing = [x for x in parts if id(x) not in measured]
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        sizes = [measured[id(x)] for x in parts]
        measured[id(top)] = (
            1 + sum(s for s, _ in sizes),
            1 + max((d for _, d in sizes), default=0),
        )
    size, depth = measured[id(node)]
    if size > NODES_MAX or depth > EXPANDED_DEPTH_MAX:
        raise SpecError(
            f"the expression is too large with its names expanded: {size} parts, at most {NODES_MAX}, "
            f"nested {depth} deep, at most {EXPANDED_DEPTH_MAX}",
            path=path,
        )
