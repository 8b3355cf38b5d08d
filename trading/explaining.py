"""Explaining: values of conditions that ask for the position, for decision rows.

The engine works such conditions out only when it needs them. Here they are
computed for all bars from what the run left behind, with the same operations.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trading import formulas as f
from trading.arrays import Feed
from trading.bars import NO_SHARES
from trading.dtypes import UNKNOWN
from trading.planning import Formula
from trading.sleeve import SleeveRun

_COMPARE = {
    f.LESS: np.less,
    f.LESS_EQUAL: np.less_equal,
    f.GREATER: np.greater,
    f.GREATER_EQUAL: np.greater_equal,
    f.EQUAL: np.equal,
    f.NOT_EQUAL: np.not_equal,
}
_ARITHMETIC = {
    f.ADD: np.add,
    f.SUBTRACT: np.subtract,
    f.MULTIPLY: np.multiply,
    f.MINIMUM: np.minimum,
    f.MAXIMUM: np.maximum,
}


def position_facts(run: SleeveRun, feed: Feed) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Follow the average entry and the bars in the trade through a run.

    Returns
    -------
    average_entry, bars_in_trade : float64 arrays, shape (n_bars,)
        At each bar's close; NaN and 0 while nothing is held.
    """
    n = len(run.record.lots)
    average = np.full(n, np.nan)
    bars = np.zeros(n)
    held, price, first = 0, np.nan, 0
    changes = [(int(fill["i_bar"]), fill) for fill in run.fills]
    splits: dict[int, float] = {}
    delisted = n
    for action in feed.actions:
        i, ratio = int(action["i_bar"]), float(action["split_ratio"])
        if ratio == NO_SHARES:
            delisted = i
        else:
            splits[i] = splits.get(i, 1.0) * ratio
    events = sorted({i for i, _ in changes} | {i for i in splits if i < n} | {delisted} - {n})
    k = 0
    for i, following in zip(events, [*events, n][1:], strict=True):
        if i in splits and held:
            price /= splits[i]
            held = round(held * splits[i])
        while k < len(changes) and changes[k][0] == i:
            fill = changes[k][1]
            lots = int(fill["side"]) * int(fill["lots"])
            if held == 0:
                first, price = i, float(fill["price"])
            elif (lots > 0) == (held > 0):
                price = (price * abs(held) + float(fill["price"]) * abs(lots)) / abs(held + lots)
            held = int(fill["lots_after"])
            k += 1
        if i == delisted:
            held = 0
        if held:
            average[i:following] = price
            bars[i:following] = np.arange(i, following) - first + 1
    return average, bars


def formula_of(plan: NDArray[np.void], formula: int) -> Formula:
    """Return a formula of a plan by its place."""
    row = plan[0]
    code = row["code"][row["starts"][formula] : row["starts"][formula + 1]]
    return Formula(tuple((int(a), int(b)) for a, b in code), tuple(row["literals"].tolist()))


def formula_values(
    plan: NDArray[np.void], formula: Formula, run: SleeveRun, feed: Feed
) -> NDArray[np.float64]:
    """Evaluate a formula at the close of every bar.

    Returns
    -------
    float64 array, shape (n_bars,)
        0, 1 (unknown) or 2 for a condition.
    """
    policy = plan[0]["policy"]
    n = len(run.record.lots)
    average, bars = position_facts(run, feed)
    lots = run.record.lots
    change = feed.matrix[3] / average - 1.0
    loads = {
        f.POSITION: lots * float(policy["lot"]),
        f.ENTRY_PRICE: average,
        f.BARS_IN_TRADE: bars,
        f.UNREALIZED_RETURN: np.where(lots > 0, change, -change),
    }
    stack: list[NDArray[np.float64]] = []
    for operation, operand in formula.code:
        if operation == f.LITERAL:
            stack.append(np.full(n, formula.literals[operand]))
        elif operation == f.COLUMN:
            stack.append(feed.matrix[operand])
        elif operation == f.FLAG:
            stack.append(feed.flags[operand].astype(np.float64))
        elif operation in loads:
            stack.append(np.asarray(loads[operation], np.float64))
        elif operation == f.NEGATE:
            stack[-1] = -stack[-1]
        elif operation == f.ABSOLUTE:
            stack[-1] = np.abs(stack[-1])
        elif operation == f.NOT:
            stack[-1] = 2.0 - stack[-1]
        else:
            b = stack.pop()
            stack[-1] = _pair(operation, stack[-1], b)
    return stack[0]


def _pair(operation: int, a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    if operation == f.AND:
        return np.minimum(a, b)
    if operation == f.OR:
        return np.maximum(a, b)
    if operation == f.DIVIDE:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(b != 0.0, a / b, np.nan)
    if operation in _ARITHMETIC:
        return np.asarray(_ARITHMETIC[operation](a, b), np.float64)
    unknown = np.isnan(a) | np.isnan(b)
    return np.where(unknown, float(UNKNOWN), 2.0 * _COMPARE[operation](a, b))
