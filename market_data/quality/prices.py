"""Checks of single bars' prices: missing, zero, negative, out of order."""

from __future__ import annotations

import numpy as np

from market_data.columns import PRICE_NAMES
from market_data.quality.findings import QualityFinding, Severity
from market_data.quality.habits import runs
from market_data.quality.subject import Flags, Subject
from market_data.rules import not_held, not_positive


def missing_prices(subject: Subject) -> tuple[list[QualityFinding], Flags]:
    """Report bars without one of their prices; also return which."""
    none = np.zeros(subject.n_bars, np.bool_)
    if not np.isnan(np.sum(subject.prices[:4])):
        return [], none
    wrong = np.isnan(subject.prices[:4])
    bars: Flags = np.any(wrong, axis=0)
    starts, stops = runs(bars)
    return subject.report(
        "missing_price", Severity.ERROR, starts, stops, (stops - starts).astype(np.float64),
        0.0, "bars",
        lambda i: f"no {_fields(wrong[:, starts[i]])} in {stops[i] - starts[i]} bars", single=True,
    ), bars  # fmt: skip


def nonpositive_prices(subject: Subject) -> tuple[list[QualityFinding], Flags]:
    """Report prices that are zero, negative or infinite; also return the bars."""
    prices = subject.prices[:4]
    if np.nanmin(prices, initial=np.inf) > 0 and np.nanmax(prices, initial=0.0) < np.inf:
        return [], np.zeros(subject.n_bars, np.bool_)
    wrong = not_positive(prices)
    bars: Flags = np.any(wrong, axis=0)
    starts, stops = runs(bars)

    def worst(i: int) -> float:
        column = prices[:, starts[i]]
        return float(column[int(np.argmax(wrong[:, starts[i]]))])

    return subject.report(
        "nonpositive_price", Severity.ERROR, starts, stops,
        np.array([worst(i) for i in range(starts.shape[0])]), 0.0, "price",
        lambda i: (
            f"{_fields(wrong[:, starts[i]])} is {worst(i):g} in {stops[i] - starts[i]} bars, "
            "a price must be above 0"
        ),
        single=True,
    ), bars  # fmt: skip


def ohlc_order(subject: Subject, whole: Flags) -> tuple[list[QualityFinding], Flags]:
    """Report bars whose high or low does not hold open and close; also return them.

    Parameters
    ----------
    whole : bool array
        Bars that have all four prices, above 0.
    """
    open_, high, low, close = subject.prices[:4]
    bars = not_held(subject.prices)
    bars &= whole
    at = np.flatnonzero(bars)
    if at.shape[0] == 0:
        return [], bars
    excess = np.zeros(subject.n_bars)
    top, bottom = np.maximum(open_[at], close[at]), np.minimum(open_[at], close[at])
    over = np.maximum(np.maximum(top / high[at], low[at] / bottom), low[at] / high[at])
    excess[at] = over - 1.0
    bars &= excess > subject.limits.ohlc
    starts, stops = runs(bars)
    measures = np.array([excess[a:b].max() for a, b in zip(starts, stops, strict=True)]) * 100.0
    return subject.report(
        "ohlc_order", Severity.ERROR, starts, stops, measures, subject.limits.ohlc * 100.0, "%",
        lambda i: (
            f"open {open_[starts[i]]:g} and close {close[starts[i]]:g} are not within low "
            f"{low[starts[i]]:g} and high {high[starts[i]]:g} ({stops[i] - starts[i]} bars)"
        ),
        single=True,
    ), bars  # fmt: skip


def _fields(wrong: Flags) -> str:
    return ", ".join(name for name, flag in zip(PRICE_NAMES, wrong.tolist(), strict=True) if flag)
