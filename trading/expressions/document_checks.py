"""What the fields of a strategy document may say together.

Owns rules that concern several fields and no expression. Each refusal names the
place and what is needed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from foundation.errors import SpecError
from trading.expressions.ast import TIMEFRAMES
from trading.expressions.strategy import SizeMethod

if TYPE_CHECKING:
    from trading.document_fields import Entry, Execution, StrategyDocument

INSTRUMENTS_MAX = 1000
STAGES_MAX = 8  # Of one side; the core combines no more.
_SYMBOL = re.compile(r"[A-Za-z0-9^][A-Za-z0-9.:/^=_-]{0,31}", re.ASCII)
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_ENTRY_ORDERS = ("limit", "stop", "stop_limit")


def check_document(document: StrategyDocument) -> None:
    """Refuse a document whose fields contradict each other.

    Raises
    ------
    SpecError
        With the place in the document.
    """
    _check_instruments(document)
    _check_parameters(document)
    _check_sides(document)
    _check_entry(document.execution.entry, document)
    _check_execution(document.execution, document)


def _check_instruments(document: StrategyDocument) -> None:
    symbols = document.instruments
    if not symbols:
        raise SpecError("at least one symbol is needed", path="instruments")
    if len(symbols) > INSTRUMENTS_MAX:
        raise SpecError(f"at most {INSTRUMENTS_MAX} symbols are possible", path="instruments")
    for i, symbol in enumerate(symbols):
        if not _SYMBOL.fullmatch(symbol):
            raise SpecError(f"{symbol!r} is not a symbol", path=f"instruments[{i}]")
        if symbol in symbols[:i]:
            raise SpecError(f"{symbol} is named twice", path=f"instruments[{i}]")
    weights = document.weights
    if weights is None:
        return
    for symbol, weight in weights.items():
        if symbol not in symbols:
            raise SpecError(f"{symbol} is not among the instruments", path="weights")
        if not weight > 0:
            raise SpecError(f"a weight above 0 is needed, got {weight:g}", path=f"weights.{symbol}")
    missing = [s for s in symbols if s not in weights]
    if missing:
        raise SpecError(
            f"{missing[0]} has no weight", path="weights", hint="name every symbol or none"
        )


def _check_parameters(document: StrategyDocument) -> None:
    from trading.document import check_value

    for name, p in document.parameters.items():
        path = f"parameters.{name}"
        if not _PARAMETER.fullmatch(name):
            raise SpecError(
                "a name has letters, digits and underscores, and begins with no digit", path=path
            )
        if p.low is not None and p.high is not None and p.low > p.high:
            raise SpecError(f"low {p.low:g} is above high {p.high:g}", path=path)
        if p.step is not None:
            if not p.step > 0:
                raise SpecError(f"a step above 0 is needed, got {p.step:g}", path=path)
            if p.low is None or p.high is None:
                raise SpecError("a step needs low and high", path=path)
        check_value(p, p.default, f"{path}.default")


def _check_sides(document: StrategyDocument) -> None:
    if document.enter_long is None and document.enter_short is None:
        raise SpecError("`enter_long` or `enter_short` is needed")
    for side in ("long", "short"):
        if getattr(document, f"enter_{side}") is None:
            for name in (f"exit_{side}", f"setup_{side}"):
                if getattr(document, name):
                    raise SpecError(f"has no effect without `enter_{side}`", path=name)
        own = getattr(document, f"setup_{side}")
        n_stages = len(document.setup) + len(own)
        if n_stages > STAGES_MAX:
            raise SpecError(
                f"at most {STAGES_MAX} stages guard an entry, got {n_stages}",
                path=f"setup_{side}" if own else "setup",
                hint="join stages of one bar, such as {when: rsi < 30 and close > trend, within: 5}",
            )
    if document.execution.reverse and (document.enter_long is None or document.enter_short is None):
        raise SpecError("needs both `enter_long` and `enter_short`", path="execution.reverse")


def _check_entry(entry: Entry, document: StrategyDocument) -> None:
    path = "execution.entry"
    given = [
        name
        for name in ("price", "price_short", "offset", "limit", "limit_short", "limit_offset")
        if getattr(entry, name) is not None
    ]
    if entry.type == "market":
        if given:
            raise SpecError(
                f"a market order has no {given[0]}",
                path=path,
                hint=f"type is one of {', '.join(_ENTRY_ORDERS)}",
            )
        if entry.cancel_after_bars is not None:
            raise SpecError(
                "a market order works until it is filled",
                path=f"{path}.cancel_after_bars",
                hint="leave it out, or give type limit, stop or stop_limit with a price",
            )
        return
    _check_price(entry, document, "price", "offset")
    if entry.type == "stop_limit":
        _check_price(entry, document, "limit", "limit_offset")
    else:
        for name in ("limit", "limit_short", "limit_offset"):
            if name in given:
                raise SpecError("belongs to a stop_limit order", path=f"{path}.{name}")


def _check_price(entry: Entry, document: StrategyDocument, price: str, offset: str) -> None:
    path = "execution.entry"
    absolute = getattr(entry, price) is not None or getattr(entry, f"{price}_short") is not None
    if absolute and getattr(entry, offset) is not None:
        raise SpecError(f"`{price}` and `{offset}` exclude each other", path=path)
    if getattr(entry, offset) is not None:
        return
    if not absolute:
        raise SpecError(f"a {entry.type} order needs `{price}` or `{offset}`", path=path)
    if document.enter_long is not None and getattr(entry, price) is None:
        raise SpecError(f"`enter_long` needs `{price}`", path=path)
    if document.enter_short is None:
        if getattr(entry, f"{price}_short") is not None:
            raise SpecError("has no effect without `enter_short`", path=f"{path}.{price}_short")
    elif document.enter_long is not None and getattr(entry, f"{price}_short") is None:
        raise SpecError(
            f"`enter_short` needs `{price}_short`",
            path=path,
            hint=f"or give `{offset}`, which serves both sides",
        )


def _check_execution(execution: Execution, document: StrategyDocument) -> None:
    size, leave, orders = execution.size, execution.exit, execution.orders
    methods = [m.value for m in SizeMethod if getattr(size, m.value) is not None]
    if len(methods) != 1:
        raise SpecError(
            f"exactly one of {', '.join(m.value for m in SizeMethod)} is needed, "
            f"got {', '.join(methods) or 'none'}",
            path="execution.size",
        )
    if size.cash_buffer != 0.0 and methods != ["equity_fraction"]:
        raise SpecError("belongs to equity_fraction", path="execution.size.cash_buffer")
    if size.length is not None and methods != ["volatility_target"]:
        raise SpecError("belongs to volatility_target", path="execution.size.length")
    if methods == ["risk_fraction"] and leave.stop_loss is None:
        raise SpecError(
            "the risk of an entry is known only with a stop",
            path="execution.size.risk_fraction",
            hint="give execution.exit.stop_loss",
        )
    if orders.count == 1.0 and orders.step is not None:
        raise SpecError(
            "has no effect with one order", path="execution.orders.step", hint="give count"
        )
    if orders.weights is not None and not all(w > 0 for w in orders.weights):
        raise SpecError("weights above 0 are needed", path="execution.orders.weights")
    if isinstance(leave.profit_target, tuple) and not leave.profit_target:
        raise SpecError("the list is empty", path="execution.exit.profit_target")
    rank = TIMEFRAMES.index(document.timeframe)
    if execution.intrabar is not None and TIMEFRAMES.index(execution.intrabar) >= rank:
        raise SpecError(
            f"must be finer than the strategy's {document.timeframe}, got {execution.intrabar}",
            path="execution.intrabar",
        )
    if execution.session == "extended" and rank >= TIMEFRAMES.index("1d"):
        raise SpecError(
            f"{document.timeframe} bars have no extended hours", path="execution.session"
        )
    if leave.flat_at_session_close and document.timeframe == "1w":
        raise SpecError(
            "weekly bars have no session close", path="execution.exit.flat_at_session_close"
        )
