"""The fields of a strategy document, each with its meaning.

Owns names, types, defaults and descriptions: the JSON Schema, the admin app's
form and the reference are made from these. Does not own decoding, identity or
what fields may say together.

A number of the execution policy may be a `$parameter` or arithmetic of
parameters; a price or distance may be any number expression.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

Timeframe = Literal["1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w"]
Condition = str | bool
# Evaluated at each decision: any number expression.
Price = float | str
# Known before the run: a number, a `$parameter`, or arithmetic of those.
Constant = float | str


def _about(description: str, *examples: Any) -> Meta:
    return Meta(description=description, examples=list(examples) or None)


# Fields that hold words; every other text is an expression.
_WORDS = frozenset(
    (
        "name",
        "description",
        "timeframe",
        "type",
        "time_in_force",
        "sized_at",
        "session",
        "fill",
        "intrabar",
    )
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
    step: Annotated[
        float | None,
        _about(
            "Step of a sweep; values are low plus whole steps.",
            1,
        ),
    ] = None
    description: Annotated[str, _about("What the parameter does, for the form.")] = ""


class SetupStage(_Part, frozen=True, forbid_unknown_fields=True):
    """One stage of a setup."""

    when: Annotated[Condition, _about("The condition that must come true.", "rsi < 30")]
    within: Annotated[
        Constant,
        _about(
            "How long the stage counts: the next stage, or after the last one the entry condition, "
            "must come true on a later bar, and at most so many bars later.",
            10,
        ),
    ]


class Entry(_Part, frozen=True, forbid_unknown_fields=True):
    """The entry order."""

    type: Annotated[
        Literal["market", "limit", "stop", "stop_limit"], _about("How the order waits.", "limit")
    ] = "market"
    price: Annotated[
        Price | None,
        _about(
            "Limit price of a limit order, stop price of the others; of longs, or of shorts in a "
            "strategy that is short only.",
            "close - 0.25 * atr",
        ),
    ] = None
    price_short: Annotated[
        Price | None,
        _about("The same for shorts, where both sides are traded.", "close + 0.25 * atr"),
    ] = None
    offset: Annotated[
        Price | None,
        _about(
            "Instead of a price: distance from the close, for both sides; a limit is that much "
            "better, a stop that much beyond.",
            "0.25 * atr",
        ),
    ] = None
    limit: Annotated[
        Price | None, _about("Limit price of a stop_limit order, of a long.", "close + 0.5 * atr")
    ] = None
    limit_short: Annotated[Price | None, _about("The same for shorts.", "close - 0.5 * atr")] = None
    limit_offset: Annotated[
        Price | None,
        _about("Instead of a limit: distance beyond the stop price, for both sides.", "0.1 * atr"),
    ] = None
    time_in_force: Annotated[
        Literal["day", "gtc"],
        _about(
            "day ends with the session that contains the next bar; gtc works until cancelled.",
            "gtc",
        ),
    ] = "day"
    cancel_after_bars: Annotated[
        Constant | None, _about("3 means that the order works on the next three bars.", 3)
    ] = None


class Orders(_Part, frozen=True, forbid_unknown_fields=True):
    """The ladder: one entry split over several orders."""

    count: Annotated[Constant, _about("Number of orders.", 3)] = 1.0
    step: Annotated[
        Price | None, _about("Distance between one order and the next.", "0.5 * atr")
    ] = None
    weights: Annotated[
        tuple[float, ...] | None, _about("Share of each order; equal where absent.", [1, 1, 2])
    ] = None


class Size(_Part, frozen=True, forbid_unknown_fields=True):
    """How much is bought or sold; exactly one of the first five."""

    quantity: Annotated[Constant | None, _about("Number of shares or contracts.", 100)] = None
    notional: Annotated[Constant | None, _about("Amount of the instrument's currency.", 10000)] = (
        None
    )
    equity_fraction: Annotated[Constant | None, _about("Share of the sleeve's equity.", 0.95)] = (
        None
    )
    risk_fraction: Annotated[
        Constant | None,
        _about("Share of equity that is lost if the stop loss fills at its price.", 0.01),
    ] = None
    volatility_target: Annotated[
        Constant | None,
        _about("Volatility of the position's value a year, as share of equity.", 0.15),
    ] = None
    cash_buffer: Annotated[
        Constant, _about("Share of equity that equity_fraction leaves in cash.", 0.02)
    ] = 0.0
    length: Annotated[
        Constant | None,
        _about("Bars that volatility_target measures the volatility over; 20 where absent.", 20),
    ] = None
    sized_at: Annotated[
        Literal["decision", "fill"],
        _about("The price that the size is computed from; fill is for comparisons.", "decision"),
    ] = "decision"


class ProfitTarget(_Part, frozen=True, forbid_unknown_fields=True):
    """One part of a profit target."""

    at: Annotated[Price, _about("Distance from the average entry.", "3 * atr")]
    close: Annotated[
        Constant,
        _about(
            "Share of the whole entered quantity, floored to the lot; where the shares sum to 1 "
            "the last target takes the rest, else the rest runs on.",
            0.5,
        ),
    ]


class BreakEven(_Part, frozen=True, forbid_unknown_fields=True):
    """Move the stop to the entry once the trade is in profit."""

    at: Annotated[Price, _about("Distance of profit that moves the stop.", "1.5 * atr")]
    offset: Annotated[
        Price, _about("Distance beyond the average entry that the stop moves to.", "0.1 * atr")
    ] = 0.0


class Exit(_Part, frozen=True, forbid_unknown_fields=True):
    """Exits that work by themselves, beside the exit conditions."""

    stop_loss: Annotated[
        Price | None,
        _about("Distance from the average entry; with % a share of it.", "2 * atr", "1%"),
    ] = None
    profit_target: Annotated[
        tuple[ProfitTarget, ...] | float | str | None,
        _about(
            "Distance from the average entry, or a list of parts.",
            "3 * atr",
            [{"at": "3 * atr", "close": 0.5}, {"at": "6 * atr", "close": 0.5}],
        ),
    ] = None
    trailing_stop: Annotated[
        Price | None, _about("Distance from the best price since the entry.", "2.5 * atr")
    ] = None
    break_even: Annotated[
        BreakEven | None, _about("Move the stop to the entry.", {"at": "1.5 * atr"})
    ] = None
    time_stop: Annotated[
        Constant | None, _about("Bars in the trade after which it is closed.", 40)
    ] = None
    flat_at_session_close: Annotated[bool, _about("Hold nothing over night.", True)] = False
    close_at_end: Annotated[
        bool, _about("Sell an open position at the data's last close.", True)
    ] = False


class Execution(_Part, frozen=True, forbid_unknown_fields=True):
    """How a decision becomes orders."""

    entry: Annotated[Entry, _about("The entry order.")] = Entry()
    orders: Annotated[Orders, _about("The ladder.")] = Orders()
    size: Annotated[Size, _about("How much.", {"equity_fraction": 0.95})] = Size(
        equity_fraction=1.0
    )
    exit: Annotated[Exit, _about("Stops and targets.")] = Exit()
    pyramiding: Annotated[Constant, _about("Further entries allowed while in a position.", 2)] = 0.0
    cooldown_bars: Annotated[Constant, _about("Bars without entry after a trade closes.", 5)] = 0.0
    reverse: Annotated[
        bool,
        _about("An entry of the other side closes the position and opens at the same open.", True),
    ] = False
    max_participation: Annotated[
        Constant | None, _about("Largest share of a bar's volume that fills.", 0.1)
    ] = None
    intrabar: Annotated[
        Timeframe | None,
        _about(
            "Finer bars of the instrument that decide the path within a bar, where stored.", "1m"
        ),
    ] = None
    session: Annotated[
        Literal["regular", "extended"],
        _about("Hours in which orders are decided and work.", "regular"),
    ] = "regular"
    fill: Annotated[
        Literal["next_open", "same_close"],
        _about("Where market orders fill; same_close is for comparisons.", "next_open"),
    ] = "next_open"
    touch: Annotated[
        bool,
        _about(
            "A limit order fills when the price reaches it, not only when it trades through.", True
        ),
    ] = False


class Commission(_Part, frozen=True, forbid_unknown_fields=True):
    """Commission of one order; the parts add up."""

    per_share: Annotated[Constant, _about("Currency for each share.", 0.005)] = 0.0
    minimum: Annotated[Constant, _about("Least commission of an order.", 1.0)] = 0.0
    maximum_fraction: Annotated[
        Constant | None, _about("Largest share of the notional; caps the minimum too.", 0.005)
    ] = None
    bps: Annotated[Constant, _about("Basis points of the notional.", 5)] = 0.0
    fixed: Annotated[Constant, _about("Currency for each order.", 1.0)] = 0.0


class VolumeImpact(_Part, frozen=True, forbid_unknown_fields=True):
    """Slippage that grows with the share of the bar's volume."""

    coefficient_bps: Annotated[Constant, _about("Basis points at a share of one.", 50)]
    exponent: Annotated[Constant, _about("Power of the share.", 0.5)] = 0.5


class Costs(_Part, frozen=True, forbid_unknown_fields=True):
    """What trading costs."""

    commission: Annotated[
        Commission, _about("Commission model.", {"per_share": 0.005, "minimum": 1.0})
    ] = Commission()
    slippage_bps: Annotated[
        Constant, _about("Slippage of orders that take liquidity, basis points.", 1.0)
    ] = 0.0
    slippage_ticks: Annotated[Constant, _about("The same in ticks of the instrument.", 1)] = 0.0
    half_spread: Annotated[
        Constant, _about("Half of the spread, in price, where bars have no bid and ask.", 0.01)
    ] = 0.0
    volume_impact: Annotated[
        VolumeImpact | None, _about("Slippage by volume.", {"coefficient_bps": 50})
    ] = None
    borrow_rate: Annotated[
        Constant, _about("Rate a year on the value of a short position.", 0.01)
    ] = 0.0


class Risk(_Part, frozen=True, forbid_unknown_fields=True):
    """Limits; none in a backtest where the key is absent."""

    max_position_fraction: Annotated[
        Constant | None, _about("Largest position as share of equity.", 1.0)
    ] = None
    max_daily_loss: Annotated[
        Constant | None,
        _about(
            "Loss against the last session's closing equity that stops entries for the session.",
            0.03,
        ),
    ] = None
    max_drawdown: Annotated[
        Constant | None, _about("Drawdown that closes the position and stops the sleeve.", 0.2)
    ] = None
    max_orders_per_minute: Annotated[Constant | None, _about("Largest order rate.", 30)] = None
    max_order_quantity: Annotated[
        Constant | None, _about("Largest quantity of an order.", 10000)
    ] = None
    max_order_notional: Annotated[
        Constant | None, _about("Largest notional of an order.", 1000000)
    ] = None
    price_collar: Annotated[
        Constant | None,
        _about("Largest distance of an order price from the last, as share of it.", 0.1),
    ] = None


class StrategyDocument(_Part, frozen=True, forbid_unknown_fields=True):
    """A strategy: when to trade, how, at what cost and within what limits."""

    name: Annotated[
        Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")],
        _about(
            "Lower-case letters, digits, - and _; files and screens use it.",
            "rsi-stochastic-reversal",
        ),
    ]
    timeframe: Annotated[Timeframe, _about("Timeframe of the bars that decide.", "1d")]
    instruments: Annotated[
        tuple[str, ...], _about("Symbols; each is a sleeve with its own capital.", ["AAPL", "MSFT"])
    ]
    description: Annotated[str, _about("What the strategy does, for people.")] = ""
    parameters: Annotated[
        dict[str, ParameterRange],
        _about("Numbers that a run or sweep may set, written $name.", {"length": {"default": 14}}),
    ] = {}
    indicators: Annotated[
        dict[str, float | str],
        _about("Named expressions.", {"rsi": "rsi(close, 14)", "trend": "ema(close, 40) @ 1w"}),
    ] = {}
    enter_long: Annotated[Condition | None, _about("When to buy.", "rsi < 30")] = None
    exit_long: Annotated[
        Condition | None, _about("When to sell what was bought.", "rsi > 70 or bars_in_trade >= 40")
    ] = None
    enter_short: Annotated[Condition | None, _about("When to sell short.", "rsi > 80")] = None
    exit_short: Annotated[Condition | None, _about("When to buy back.", "rsi < 50")] = None
    setup: Annotated[
        tuple[SetupStage, ...], _about("Stages that must come true before either entry counts.")
    ] = ()
    setup_long: Annotated[tuple[SetupStage, ...], _about("The same for enter_long only.")] = ()
    setup_short: Annotated[tuple[SetupStage, ...], _about("The same for enter_short only.")] = ()
    execution: Annotated[Execution, _about("How a decision becomes orders.")] = Execution()
    costs: Annotated[Costs, _about("What trading costs.")] = Costs()
    risk: Annotated[Risk | None, _about("Limits; none where absent.", {"max_daily_loss": 0.03})] = (
        None
    )
    weights: Annotated[
        dict[str, float] | None,
        _about("Share of the starting cash by symbol; equal where absent.", {"AAPL": 2, "MSFT": 1}),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        table = {name: _normal(text) for name, text in self.indicators.items()}
        msgspec.structs.force_setattr(self, "indicators", table)
