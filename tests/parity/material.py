"""The six examples, the sample bars they run on, and strategies made at random."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from market_data.building import attach_finer
from market_data.loading import load_bars
from market_data.store import Store
from tests.trading.making import first_bars, intraday_bars, random_bars
from trading.bars import ACTION, Bars
from trading.document import StrategyDocument
from trading.expressions.strategy import resolve_strategy

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
# Enough for each example to trade; AAPL splits at its bar 78 and 1255.
N_BARS = 1500


def sample_bars(store: Store, document: StrategyDocument) -> Bars:
    """Return the first bars of a document's first instrument, with the finer ones it asks for."""
    loaded = load_bars(
        store,
        document.instruments[0],
        document.timeframe,
        periods=tuple(resolve_strategy(document).timeframes),
        finer=document.execution.intrabar,
    )
    return first_bars(loaded.bars, min(N_BARS, loaded.bars.n_bars))


ENTRIES = st.sampled_from(
    [
        {"type": "market"},
        {"type": "limit", "offset": 1, "time_in_force": "gtc"},
        {"type": "limit", "offset": "0.5 * atr(3)", "time_in_force": "day"},
        {"type": "limit", "offset": 2, "time_in_force": "gtc", "cancel_after_bars": 3},
        {"type": "stop", "offset": 1, "time_in_force": "gtc", "cancel_after_bars": 2},
        {"type": "stop_limit", "offset": 0.5, "limit_offset": 1, "time_in_force": "gtc"},
    ]
)
TARGETS = st.sampled_from(
    [
        3,
        "4%",
        [{"at": 2, "close": 0.5}, {"at": 5, "close": 0.5}],
        [{"at": 2, "close": 0.3}, {"at": "3 * atr(3)", "close": 0.3}],
    ]
)
EXITS = st.fixed_dictionaries(
    {"stop_loss": st.sampled_from([3, "3%", "2 * atr(3)"])},
    optional={
        "profit_target": TARGETS,
        "trailing_stop": st.sampled_from([2.5, "5%"]),
        "break_even": st.just({"at": 2, "offset": 0.25}),
        "time_stop": st.just(6),
        "flat_at_session_close": st.just(True),
    },
)
SIZES = st.sampled_from(
    [
        {"quantity": 100},
        {"notional": 20_000},
        {"equity_fraction": 0.7, "cash_buffer": 0.05},
        {"risk_fraction": 0.02},
        {"volatility_target": 0.3, "length": 5},
    ]
)
COSTS = st.sampled_from(
    [
        {},
        {
            "commission": {"per_share": 0.01, "minimum": 1, "maximum_fraction": 0.005},
            "slippage_bps": 3,
            "half_spread": 0.02,
            "borrow_rate": 0.02,
        },
        {"commission": {"bps": 5}, "volume_impact": {"coefficient_bps": 30}},
    ]
)
RISKS = st.sampled_from(
    [None, {"max_drawdown": 0.05}, {"max_daily_loss": 0.01, "max_position_fraction": 1.5}]
)


@st.composite
def documents(draw: Any) -> dict[str, Any]:
    """Make a strategy that trades often, on both sides, with anything the policy knows."""
    entry = draw(ENTRIES)
    execution: dict[str, Any] = {
        "entry": entry,
        "size": draw(SIZES),
        "exit": draw(EXITS),
        "pyramiding": draw(st.sampled_from([0, 0, 2])),
        "reverse": draw(st.booleans()),
        "cooldown_bars": draw(st.sampled_from([0, 0, 3])),
        "touch": draw(st.booleans()),
    }
    if entry["type"] != "market" and draw(st.booleans()):
        execution["orders"] = {"count": 3, "step": 0.75, "weights": [1, 1, 2]}
    if draw(st.booleans()):
        execution["max_participation"] = 0.25
    if entry["type"] == "market" and draw(st.booleans()):
        execution["fill"] = "same_close"
    document: dict[str, Any] = {
        "name": "made",
        "timeframe": "1d",
        "instruments": ["TEST"],
        "enter_long": draw(
            st.sampled_from(
                ["close < sma(close, 4)", "rising(close, 2)", "close > ema(close, 2) @ 1w"]
            )
        ),
        "enter_short": draw(
            st.sampled_from(
                ["falling(close, 2)", "crosses_below(close, sma(close, 3))", "weekday == 2"]
            )
        ),
        "exit_long": draw(
            st.sampled_from(["close > highest(high, 4)[1]", "bars_in_trade >= 5 or volume == 0"])
        ),
        "exit_short": draw(st.sampled_from(["rsi(close, 3) < 30", "unrealized_return > 0.04"])),
        "execution": execution,
        "costs": draw(COSTS),
    }
    risk = draw(RISKS)
    return document if risk is None else document | {"risk": risk}


@st.composite
def made_bars(draw: Any) -> Bars:
    """Make bars with or without volume, quotes, splits and dividends."""
    volume = draw(st.sampled_from([0.0, 2000.0]))
    tick = draw(st.sampled_from([0.0, 0.1]))
    n = 120
    bars = random_bars(
        draw(st.integers(0, 2**32 - 1)), n, volume=volume, periods=("1w",), tick=tick
    )
    if draw(st.booleans()):
        bars = replace(bars, bid=bars.prices[:4] - 0.125, ask=bars.prices[:4] + 0.125)
    if draw(st.booleans()):
        at = draw(st.lists(st.integers(1, n - 1), min_size=1, max_size=3, unique=True))
        actions = np.zeros(len(at), ACTION)
        actions["i_bar"] = sorted(at)
        actions["split_ratio"] = draw(st.sampled_from([1.0, 1.5, 2.0, 0.1]))
        actions["dividend"] = draw(st.sampled_from([0.0, 0.5]))
        bars = replace(bars, actions=actions)
    return bars


HALF_SPREAD = 0.125


@st.composite
def made_bars_with_finer(draw: Any) -> Bars:
    """Make daily bars of which most hold some hours, which may reach less or more than the day."""
    bars = draw(made_bars())
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    agree = draw(st.booleans())
    days: list[list[tuple[float, ...] | None]] = []
    for k in range(bars.n_bars):
        at, hours = float(bars.prices[0, k]), []
        for _ in range(7):
            if random.random() < 0.3:
                hours.append(None)
                continue
            close = max(at + random.integers(-8, 9) / 4, 15.0)
            high, low = max(at, close) + random.integers(0, 3) / 4, min(at, close) - 0.25
            hours.append((at, high, low, close, float(random.integers(0, 400))))
            at = close + (random.integers(-4, 5) / 4 if random.random() < 0.2 else 0.0)
        days.append(hours if random.random() < 0.8 else [None] * 7)
    quotes = {}
    if bars.bid is not None:
        there = [hour for hours in days for hour in hours if hour is not None]
        for name, side in (("bid", -HALF_SPREAD), ("ask", HALF_SPREAD)):
            quotes[name] = [tuple(x + side for x in hour[:4]) for hour in there]
    finer = intraday_bars(days, "1h", session_bars=0, **quotes)
    if agree:
        bars = _aggregated(bars, days)
    return attach_finer(bars, finer)


def _aggregated(bars: Bars, days: list[list[tuple[float, ...] | None]]) -> Bars:
    """Return bars with the prices of their hours, where they have any."""
    prices = bars.prices.copy()
    for k, hours in enumerate(days):
        there = np.array([hour for hour in hours if hour is not None]).reshape(-1, 5)
        if len(there):
            prices[:4, k] = there[0, 0], there[:, 1].max(), there[:, 2].min(), there[-1, 3]
    quotes = {}
    if bars.bid is not None:
        quotes = {"bid": prices[:4] - HALF_SPREAD, "ask": prices[:4] + HALF_SPREAD}
    return replace(bars, prices=prices, **quotes)
