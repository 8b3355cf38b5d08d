"""The strategy document: its fields, its text forms and its identity.

Owns the fields with their meaning (`json_schema`), decoding from YAML or JSON
with messages that name the place, the canonical form and the hash of a
version, and what may be said together. Does not own the expressions in it
(`trading.expressions`), nor instruments or bars.

A number of the execution policy may be a `$parameter` or arithmetic of
parameters; a price or distance may be any number expression.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from foundation.errors import SpecError
from trading.structured_text import read_structured

Timeframe = Literal["1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w"]
Text = Annotated[str, Meta(max_length=4000)]
Condition = str | bool
# Evaluated at each decision: any number expression.
Price = float | str
# Known before the run: a number, a `$parameter`, or arithmetic of those.
Constant = float | str


def _about(description: str, *examples: Any) -> Meta:
    return Meta(description=description, examples=list(examples) or None)


# Fields that hold words; every other text is an expression.
_WORDS = frozenset(
    ("name", "description", "timeframe", "type", "time_in_force", "sized_at", "session", "fill", "intrabar")
)


class _Part(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the document, with its expressions in one normal form.

    Expressions lose needless white space, and numbers written as text become
    numbers, so that documents that mean the same are equal and hash the same.
    """

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name not in _WORDS and isinstance(value, str | bool):
                if isinstance(value, bool) and name not in _CONDITIONS:
                    continue
                msgspec.structs.force_setattr(self, name, _normal(value))


_CONDITIONS = frozenset(("enter_long", "exit_long", "enter_short", "exit_short", "when"))
_PLAIN_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?", re.ASCII)


def _normal(value: str | bool | float) -> str | float:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = " ".join(value.split())
        if not _PLAIN_NUMBER.fullmatch(text):
            return text
        value = float(text)
    if not math.isfinite(value):
        raise ValueError("the number is too large")
    return value + 0.0


class ParameterRange(_Part, frozen=True, forbid_unknown_fields=True):
    """A number that a run or a sweep may set."""

    default: Annotated[float, _about("Value where a run gives none.", 14)]
    low: Annotated[float | None, _about("Smallest value allowed.", 5)] = None
    high: Annotated[float | None, _about("Largest value allowed.", 30)] = None
    step: Annotated[float | None, _about("Step of a sweep from low to high; a whole step on a whole low makes the parameter whole.", 1)] = None
    description: Annotated[str, _about("What the parameter does, for the form.")] = ""


class SetupStage(_Part, frozen=True, forbid_unknown_fields=True):
    """One stage of a setup."""

    when: Annotated[Condition, _about("The condition that must come true.", "rsi < 30")]
    within: Annotated[Constant, _about("First stage: unused bars are never too many, the number only bounds the next. Each later stage, and "
        "at last the entry condition, must come true at most so many bars after the stage before it.",
        10,)]


class Entry(_Part, frozen=True, forbid_unknown_fields=True):
    """The entry order."""

    type: Annotated[Literal["market", "limit", "stop", "stop_limit"], _about("How the order waits.", "limit")] = "market"
    price: Annotated[Price | None, _about("Limit price of a limit order, stop price of the others; of a long, unless the strategy is short only.",
        "close - 0.25 * atr",)] = None
    price_short: Annotated[Price | None, _about("The same for shorts, where both sides are traded.", "close + 0.25 * atr")] = None
    offset: Annotated[Price | None, _about("Instead of a price: distance from the close, for both sides; a limit is that much better, a stop that "
        "much beyond.",
        "0.25 * atr",)] = None
    limit: Annotated[Price | None, _about("Limit price of a stop_limit order, of a long.", "close + 0.5 * atr")] = None
    limit_short: Annotated[Price | None, _about("The same for shorts.", "close - 0.5 * atr")] = None
    limit_offset: Annotated[Price | None, _about("Instead of a limit: distance beyond the stop price, for both sides.", "0.1 * atr")] = None
    time_in_force: Annotated[Literal["day", "gtc"], _about("day ends with the session that contains the next bar; gtc works until cancelled.", "gtc")] = "day"
    cancel_after_bars: Annotated[Constant | None, _about("3 means that the order works on the next three bars.", 3)] = None


class Orders(_Part, frozen=True, forbid_unknown_fields=True):
    """The ladder: one entry split over several orders."""

    count: Annotated[Constant, _about("Number of orders.", 3)] = 1.0
    step: Annotated[Price | None, _about("Distance between one order and the next.", "0.5 * atr")] = None
    weights: Annotated[tuple[float, ...] | None, _about("Share of each order; equal where absent.", [1, 1, 2])] = None


class Size(_Part, frozen=True, forbid_unknown_fields=True):
    """How much is bought or sold; exactly one of the first five."""

    quantity: Annotated[Constant | None, _about("Number of shares or contracts.", 100)] = None
    notional: Annotated[Constant | None, _about("Amount of the instrument's currency.", 10000)] = None
    equity_fraction: Annotated[Constant | None, _about("Share of the sleeve's equity.", 0.95)] = None
    risk_fraction: Annotated[Constant | None, _about("Share of equity that is lost if the stop loss fills at its price.", 0.01)] = None
    volatility_target: Annotated[Constant | None, _about("Volatility of the position's value a year, as share of equity.", 0.15)] = None
    cash_buffer: Annotated[Constant, _about("Share of equity that equity_fraction leaves in cash.", 0.02)] = 0.0
    length: Annotated[Constant | None, _about("Bars that volatility_target measures the volatility over; 20 where absent.", 20)] = None
    sized_at: Annotated[Literal["decision", "fill"], _about("The price that the size is computed from; fill is for comparisons.", "decision")] = "decision"


class ProfitTarget(_Part, frozen=True, forbid_unknown_fields=True):
    """One part of a profit target."""

    at: Annotated[Price, _about("Distance from the average entry.", "3 * atr")]
    close: Annotated[Constant, _about("Share of the whole entered quantity; the last target takes the rest.", 0.5)]


class BreakEven(_Part, frozen=True, forbid_unknown_fields=True):
    """Move the stop to the entry once the trade is in profit."""

    at: Annotated[Price, _about("Distance of profit that moves the stop.", "1.5 * atr")]
    offset: Annotated[Price, _about("Distance beyond the average entry that the stop moves to.", "0.1 * atr")] = 0.0


class Exit(_Part, frozen=True, forbid_unknown_fields=True):
    """Exits that work by themselves, beside the exit conditions."""

    stop_loss: Annotated[Price | None, _about("Distance from the average entry.", "2 * atr")] = None
    profit_target: Annotated[tuple[ProfitTarget, ...] | float | str | None, _about("Distance from the average entry, or a list of parts.",
        "3 * atr",
        [{"at": "3 * atr", "close": 0.5}, {"at": "6 * atr", "close": 0.5}],)] = None
    trailing_stop: Annotated[Price | None, _about("Distance from the best price since the entry.", "2.5 * atr")] = None
    break_even: Annotated[BreakEven | None, _about("Move the stop to the entry.", {"at": "1.5 * atr"})] = None
    time_stop: Annotated[Constant | None, _about("Bars in the trade after which it is closed.", 40)] = None
    flat_at_session_close: Annotated[bool, _about("Hold nothing over night.", True)] = False
    close_at_end: Annotated[bool, _about("Sell an open position at the data's last close.", True)] = False


class Execution(_Part, frozen=True, forbid_unknown_fields=True):
    """How a decision becomes orders."""

    entry: Annotated[Entry, _about("The entry order.")] = Entry()
    orders: Annotated[Orders, _about("The ladder.")] = Orders()
    size: Annotated[Size, _about("How much.", {"equity_fraction": 0.95})] = Size(equity_fraction=1.0)
    exit: Annotated[Exit, _about("Stops and targets.")] = Exit()
    pyramiding: Annotated[Constant, _about("Further entries allowed while in a position.", 2)] = 0.0
    cooldown_bars: Annotated[Constant, _about("Bars without entry after a trade closes.", 5)] = 0.0
    reverse: Annotated[bool, _about("An entry of the other side closes the position and opens at the same open.", True)] = False
    max_participation: Annotated[Constant | None, _about("Largest share of a bar's volume that fills.", 0.1)] = None
    intrabar: Annotated[Timeframe | None, _about("Finer bars of the instrument that decide the path within a bar, where stored.", "1m")] = None
    session: Annotated[Literal["regular", "extended"], _about("Hours in which orders are decided and work.", "regular")] = "regular"
    fill: Annotated[Literal["next_open", "same_close"], _about("Where market orders fill; same_close is for comparisons.", "next_open")] = "next_open"
    touch: Annotated[bool, _about("A limit order fills when the price reaches it, not only when it trades through.", True)] = False


class Commission(_Part, frozen=True, forbid_unknown_fields=True):
    """Commission of one order; the parts add up."""

    per_share: Annotated[Constant, _about("Currency for each share.", 0.005)] = 0.0
    minimum: Annotated[Constant, _about("Least commission of an order.", 1.0)] = 0.0
    maximum_fraction: Annotated[Constant | None, _about("Largest share of the notional; caps the minimum too.", 0.005)] = None
    bps: Annotated[Constant, _about("Basis points of the notional.", 5)] = 0.0
    fixed: Annotated[Constant, _about("Currency for each order.", 1.0)] = 0.0


class VolumeImpact(_Part, frozen=True, forbid_unknown_fields=True):
    """Slippage that grows with the share of the bar's volume."""

    coefficient_bps: Annotated[Constant, _about("Basis points at a share of one.", 50)]
    exponent: Annotated[Constant, _about("Power of the share.", 0.5)] = 0.5


class Costs(_Part, frozen=True, forbid_unknown_fields=True):
    """What trading costs."""

    commission: Annotated[Commission, _about("Commission model.", {"per_share": 0.005, "minimum": 1.0})] = Commission()
    slippage_bps: Annotated[Constant, _about("Slippage of orders that take liquidity, basis points.", 1.0)] = 0.0
    slippage_ticks: Annotated[Constant, _about("The same in ticks of the instrument.", 1)] = 0.0
    half_spread: Annotated[Constant, _about("Half of the spread, in price, where bars have no bid and ask.", 0.01)] = 0.0
    volume_impact: Annotated[VolumeImpact | None, _about("Slippage by volume.", {"coefficient_bps": 50})] = None
    borrow_rate: Annotated[Constant, _about("Rate a year on the value of a short position.", 0.01)] = 0.0


class Risk(_Part, frozen=True, forbid_unknown_fields=True):
    """Limits; none in a backtest where the key is absent."""

    max_position_fraction: Annotated[Constant | None, _about("Largest position as share of equity.", 1.0)] = None
    max_daily_loss: Annotated[Constant | None, _about("Loss against the last session's closing equity that stops entries for the session.", 0.03)] = None
    max_drawdown: Annotated[Constant | None, _about("Drawdown that closes the position and stops the sleeve.", 0.2)] = None
    max_orders_per_minute: Annotated[Constant | None, _about("Largest order rate.", 30)] = None
    max_order_quantity: Annotated[Constant | None, _about("Largest quantity of an order.", 10000)] = None
    max_order_notional: Annotated[Constant | None, _about("Largest notional of an order.", 1000000)] = None
    price_collar: Annotated[Constant | None, _about("Largest distance of an order price from the last, as share of it.", 0.1)] = None


class StrategyDocument(_Part, frozen=True, forbid_unknown_fields=True):
    """A strategy: when to trade, how, at what cost and within what limits."""

    name: Annotated[Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")], _about("Lower-case letters, digits, - and _; files and screens use it.",
        "rsi-stochastic-reversal",)]
    timeframe: Annotated[Timeframe, _about("Timeframe of the bars that decide.", "1d")]
    instruments: Annotated[tuple[str, ...], _about("Symbols; each is a sleeve with its own capital.", ["AAPL", "MSFT"])]
    description: Annotated[str, _about("What the strategy does, for people.")] = ""
    parameters: Annotated[dict[str, ParameterRange], _about("Numbers that a run or sweep may set, written $name.", {"length": {"default": 14}})] = {}
    indicators: Annotated[dict[str, float | str], _about("Named expressions.", {"rsi": "rsi(close, 14)", "trend": "ema(close, 40) @ 1w"})] = {}
    enter_long: Annotated[Condition | None, _about("When to buy.", "rsi < 30")] = None
    exit_long: Annotated[Condition | None, _about("When to sell what was bought.", "rsi > 70 or bars_in_trade >= 40")] = None
    enter_short: Annotated[Condition | None, _about("When to sell short.", "rsi > 80")] = None
    exit_short: Annotated[Condition | None, _about("When to buy back.", "rsi < 50")] = None
    setup: Annotated[tuple[SetupStage, ...], _about("Stages that must come true before either entry counts.")] = ()
    setup_long: Annotated[tuple[SetupStage, ...], _about("The same for enter_long only.")] = ()
    setup_short: Annotated[tuple[SetupStage, ...], _about("The same for enter_short only.")] = ()
    execution: Annotated[Execution, _about("How a decision becomes orders.")] = Execution()
    costs: Annotated[Costs, _about("What trading costs.")] = Costs()
    risk: Annotated[Risk | None, _about("Limits; none where absent.", {"max_daily_loss": 0.03})] = None
    weights: Annotated[dict[str, float] | None, _about("Share of the starting cash by symbol; equal where absent.", {"AAPL": 2, "MSFT": 1})] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        table = {name: _normal(text) for name, text in self.indicators.items()}
        msgspec.structs.force_setattr(self, "indicators", table)


def load_document(source: str | bytes | Path) -> StrategyDocument:
    """Read and check a strategy document.

    Parameters
    ----------
    source : str, bytes or Path
        YAML or JSON text, or the path of a file of it; a one-line str that ends
        in .yaml, .yml or .json is a path.

    Raises
    ------
    SpecError
        With the place in the document and, in an expression, the column.
    """
    if isinstance(source, str) and "\n" not in source and source.endswith((".yaml", ".yml", ".json")):
        source = Path(source)
    if isinstance(source, Path):
        try:
            source = source.read_bytes()
        except OSError as error:
            raise SpecError(f"can't read {source}: {error.strerror}") from None
    return document_from(read_structured(source))


def document_from(data: Any) -> StrategyDocument:
    """Make a checked document of plain data, as decoded from YAML, JSON or a form."""
    document = _convert(data)
    # Imported here: decoding the types of a document needs no language.
    from trading.expressions.strategy import resolve_strategy

    resolve_strategy(document)
    return document


def canonical(document: StrategyDocument) -> bytes:
    """Return the document's one normal form: JSON, sorted keys, no defaults, UTF-8.

    Defaults are left out so that a field that a later version adds changes no
    hash of a stored document.
    """
    return json.dumps(
        _plain(document), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def version_hash(document: StrategyDocument) -> str:
    """Return the SHA-256 of the canonical form, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(document)).hexdigest()


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a strategy document."""
    schema = msgspec.json.schema(StrategyDocument)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Quarterdeck strategy document",
    } | schema


def with_parameters(document: StrategyDocument, values: Mapping[str, float]) -> StrategyDocument:
    """Return the document with other defaults of its parameters.

    Raises
    ------
    SpecError
        If a parameter is unknown, or a value is out of its range or off its step.
    """
    check_values(document, values)
    parameters = {
        name: msgspec.structs.replace(p, default=float(values[name])) if name in values else p
        for name, p in document.parameters.items()
    }
    changed = msgspec.structs.replace(document, parameters=parameters)
    from trading.expressions.strategy import resolve_strategy

    resolve_strategy(changed)
    return changed


def check_values(document: StrategyDocument, values: Mapping[str, float]) -> None:
    """Refuse values of unknown parameters and values that a parameter doesn't allow."""
    for name, value in values.items():
        if name not in document.parameters:
            known = ", ".join(sorted(document.parameters)) or "none"
            raise SpecError(f"unknown parameter `{name}`", path="parameters", hint=f"there are {known}")
        check_value(document.parameters[name], float(value), f"parameters.{name}")


def check_value(parameter: ParameterRange, value: float, path: str) -> None:
    """Refuse a value outside low to high, or between two steps."""
    low, high, step = parameter.low, parameter.high, parameter.step
    if not math.isfinite(value):
        raise SpecError(f"a finite number is needed, got {value}", path=path)
    if (low is not None and value < low) or (high is not None and value > high):
        raise SpecError(f"{value:g} is not within {_end(low)} to {_end(high)}", path=path)
    if step is not None and low is not None:
        n_steps = (value - low) / step
        if abs(n_steps - round(n_steps)) > 1e-6:
            raise SpecError(f"{value:g} is not {low:g} plus whole steps of {step:g}", path=path)


def _end(bound: float | None) -> str:
    return "any" if bound is None else f"{bound:g}"


def _plain(value: Any) -> Any:
    """Return plain data with fields that equal their default left out."""
    if isinstance(value, Struct):
        found = {}
        for field in msgspec.structs.fields(value):
            item = getattr(value, field.name)
            default = field.default_factory() if field.default is msgspec.NODEFAULT and (
                field.default_factory is not msgspec.NODEFAULT
            ) else field.default
            if item != default:
                found[field.name] = _plain(item)
        return found
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


_AT = re.compile(r" - at `([^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`$", re.DOTALL)
_EXPECTED = re.compile(r"Expected `([^`]*)`, got `([^`]*)`$")
_TYPE_WORDS = {
    "float": "a number",
    "int": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "keys and values",
    "null": "nothing",
}


def _convert(data: Any) -> StrategyDocument:
    try:
        return msgspec.convert(data, StrategyDocument)
    except msgspec.ValidationError as error:
        raise _spec_error(str(error), data) from None


def _spec_error(text: str, data: Any) -> SpecError:
    """Say in the words of the document what msgspec refused."""
    at = _AT.search(text)
    message = text[: at.start()] if at else text
    path = at.group(1).removeprefix("$").removeprefix(".") if at else ""
    if unknown := _UNKNOWN.match(message):
        from trading.expressions.resolve import closest

        key = unknown.group(1)
        fields = _fields_of_part_with(key, data, path)
        guess = closest(key, fields)
        hint = f"did you mean `{guess}`?" if guess else f"known are {', '.join(fields)}"
        return SpecError(f"unknown key `{key}`", path=path, hint=hint if fields else "")
    if missing := _MISSING.match(message):
        return SpecError(f"`{missing.group(1)}` is missing", path=path)
    if expected := _EXPECTED.match(message):
        wanted, got = ([_TYPE_WORDS.get(w, w) for w in g.split(" | ")] for g in expected.groups())
        wanted = [w for w in dict.fromkeys(wanted) if w != "nothing"]
        return SpecError(f"expected {' or '.join(wanted)}, got {got[0]}", path=path)
    return SpecError(message[:1].lower() + message[1:], path=path)


def _fields_of_part_with(key: str, data: Any, path: str) -> list[str]:
    """Return the field names of the part at a path such as ``execution.exit``."""
    kind: Any = StrategyDocument
    for step in re.findall(r"[^.\[\]]+", path):
        hints = msgspec.structs.fields(kind)
        types = {f.name: f.type for f in hints}
        # `[...]` is an item of a list or a value of a table of the same part.
        found = kind if step in ("...",) or step.isdigit() else _struct_in(types.get(step))
        if found is None:
            return []
        kind = found
    return [f.name for f in msgspec.structs.fields(kind)]


def _struct_in(kind: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, Struct):
        return kind
    for part in get_args(kind):
        found = _struct_in(part)
        if found is not None:
            return found
    return None
