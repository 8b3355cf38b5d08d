"""Bars, strategies and runs for tests of the rules of execution.

Bars are written out row by row, so that a test's numbers can be worked by hand.
Decisions are put on chosen bars by marks in the volume column: `volume == 1`
buys, and so on; rows of four prices have no volume.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from market_data.building import attach_finer, bars_from_arrays, select_bars
from market_data.sessions import SessionTable
from market_data.timeframes import DAY_NS, HOUR_NS, parse_timeframe
from trading import codes
from trading import dtypes as d
from trading.arrays import Feed, Record
from trading.bars import ACTION, Bars
from trading.document import StrategyDocument, document_from, load_document
from trading.document_fields import StrategyDocument as Fields
from trading.expressions.strategy import bind, resolve_strategy
from trading.feeding import build_feed, needs_factors
from trading.instruments import Instrument
from trading.linker import Linker
from trading.planning import LinkedStrategy, link_strategy, policy_record
from trading.sleeve import SleeveRun, run_sleeve, state_bytes
from trading.stepping import SteppedSleeve
from trading.sweep import bars_per_year

# Marks in the volume column, and the conditions that read them.
BUY, SELL, SHORT, COVER = 1.0, 2.0, 3.0, 4.0
MARKED = {
    "enter_long": "volume == 1",
    "exit_long": "volume == 2",
    "enter_short": "volume == 3",
    "exit_short": "volume == 4",
}

MONDAY = "2024-01-01"
OPEN_NS, HOURS_NS = 14 * HOUR_NS + HOUR_NS // 2, 6 * HOUR_NS + HOUR_NS // 2  # 9:30 to 16:00

Row = Sequence[float] | None


def weekday_sessions(
    first: str, n_days: int, *, length_ns: int = HOURS_NS, holidays: Sequence[str] = ()
) -> SessionTable:
    """Return sessions from 9:30 New York winter time on each weekday that is no holiday."""
    start = int(np.datetime64(first, "D").astype(np.int64)) - 14
    dates = np.arange(start, start + n_days * 7 // 5 + 42, dtype=np.int64)
    closed = np.array([np.datetime64(day, "D") for day in holidays], "M8[D]").astype(np.int64)
    dates = dates[((dates + 3) % 7 < 5) & ~np.isin(dates, closed)]
    opens = dates * DAY_NS + OPEN_NS
    offsets = np.full_like(dates, -5 * HOUR_NS)
    return SessionTable("TEST", start, int(dates[-1]), dates, opens, opens + length_ns, offsets)


def daily_bars(
    rows: Sequence[Row],
    *,
    symbol: str = "TEST",
    first: str = MONDAY,
    holidays: Sequence[str] = (),
    periods: Sequence[str] = (),
    bid: Sequence[Sequence[float]] | None = None,
    ask: Sequence[Sequence[float]] | None = None,
    halted: Sequence[int] = (),
    actions: Sequence[tuple[int, float, float]] = (),
    finer: Bars | None = None,
    **fields: Any,
) -> Bars:
    """Return daily bars, one for each session from `first` on.

    Parameters
    ----------
    rows : sequence of (open, high, low, close[, volume]) or None
        None leaves the session's bar out.
    bid, ask : sequences of (open, high, low, close)
        One for each bar that is there.
    halted : sequence of int
        Numbers of the bars in which trading is halted.
    actions : sequence of (number of the bar, split ratio, dividend)
        Corporate actions by the first bar of their ex-date.
    finer : Bars, optional
        Of the same sessions, from `intraday_bars`.
    fields
        Of the instrument.
    """
    table = weekday_sessions(first, len(rows), holidays=holidays)
    start = int(np.searchsorted(table.date, np.datetime64(first, "D").astype(np.int64)))
    days = table.date[start : start + len(rows)]
    return _bars(
        symbol, "1d", days * DAY_NS, rows, table, periods, bid, ask, halted, actions, finer, fields
    )


def intraday_bars(
    sessions: Sequence[Sequence[Row]],
    timeframe: str = "1m",
    *,
    symbol: str = "TEST",
    first: str = MONDAY,
    session_bars: int | None = None,
    periods: Sequence[str] = (),
    bid: Sequence[Sequence[float]] | None = None,
    ask: Sequence[Sequence[float]] | None = None,
    halted: Sequence[int] = (),
    actions: Sequence[tuple[int, float, float]] = (),
    finer: Bars | None = None,
    **fields: Any,
) -> Bars:
    """Return intraday bars of several sessions.

    Parameters
    ----------
    sessions : sequence of sequences of rows
        Bars from the session's open on; None leaves a bar out.
    session_bars : int, optional
        Scheduled bars of each session; those of the longest one where absent.
        The schedule closes with the last of them. 0 means the usual 6.5 hours.
    """
    length = parse_timeframe(timeframe).length_ns
    n = max(len(rows) for rows in sessions) if session_bars is None else session_bars
    table = weekday_sessions(first, len(sessions), length_ns=n * length or HOURS_NS)
    start = int(np.searchsorted(table.date, np.datetime64(first, "D").astype(np.int64)))
    rows = [row for session in sessions for row in session]
    ts = np.array(
        [
            table.open[start + k] + j * length
            for k, session in enumerate(sessions)
            for j in range(len(session))
        ],
        np.int64,
    )
    return _bars(
        symbol, timeframe, ts, rows, table, periods, bid, ask, halted, actions, finer, fields
    )


def _bars(
    symbol, timeframe, ts, rows, table, periods, bid, ask, halted, actions, finer, fields
) -> Bars:
    there = [k for k, row in enumerate(rows) if row is not None]
    columns = np.zeros((5, len(there)))
    for i, k in enumerate(there):
        columns[: len(rows[k]), i] = rows[k]
    marks = np.zeros(len(there), np.bool_)
    marks[list(halted)] = True
    bars = bars_from_arrays(
        Instrument(symbol, calendar="TEST", **fields),
        timeframe,
        ts[there],
        *columns,
        sessions=table,
        periods=periods,
        bid=None if bid is None else np.array(bid, np.float64).T,
        ask=None if ask is None else np.array(ask, np.float64).T,
        halted=marks,
    )
    bars = replace(bars, actions=np.array(list(actions), ACTION))
    return bars if finer is None else attach_finer(bars, finer)


def random_bars(
    seed: int, n_bars: int, *, volume: float = 0.0, periods: Sequence[str] = (), **fields: Any
) -> Bars:
    """Return daily bars of a random walk with gaps, prices on a grid of quarters.

    The grid makes prices meet orders exactly now and then. With a `volume`,
    bars trade up to that many units, some none.
    """
    random = np.random.default_rng(seed)
    close, rows = 100.0, []
    for _ in range(n_bars):
        gap = random.integers(-24, 25) / 4 if random.random() < 0.2 else random.integers(-3, 4) / 4
        opened = max(close + gap, 20.0)
        close = max(opened + random.integers(-10, 11) / 4, 20.0)
        high = max(opened, close) + random.integers(0, 9) / 4
        low = min(opened, close) - random.integers(0, 9) / 4
        traded = float(random.integers(0, int(volume) + 1)) if volume else 0.0
        rows.append((opened, high, low, close, traded))
    return daily_bars(rows, periods=periods, **fields)


def strategy(**given: Any) -> dict[str, Any]:
    """Return a strategy document as plain data.

    Conditions read the marks in the volume unless they are given; a key that
    is no field of a document is one of `execution`. 100 units by default.
    """
    top = {name for name in Fields.__struct_fields__ if name != "execution"}
    data: dict[str, Any] = {"name": "test", "timeframe": "1d", "instruments": ["TEST"]}
    execution: dict[str, Any] = {"size": {"quantity": 100}}
    for key, value in given.items():
        (data if key in top else execution)[key] = value
    if not any(name in data for name in MARKED):
        data |= MARKED
    return data | {"execution": execution}


def long_only(**given: Any) -> dict[str, Any]:
    """Return a strategy that buys and sells on the marks."""
    marks = {name: MARKED[name] for name in ("enter_long", "exit_long")}
    return strategy(**(marks | given))


def short_only(**given: Any) -> dict[str, Any]:
    """Return a strategy that sells short and covers on the marks."""
    marks = {name: MARKED[name] for name in ("enter_short", "exit_short")}
    return strategy(**(marks | given))


class Filled(NamedTuple):
    """One fill, as tests write it down."""

    bar: int
    side: str  # buy or sell
    quantity: float
    price: float
    role: str


class Ended(NamedTuple):
    """One order that ended."""

    role: str
    side: str
    quantity: float
    filled: float
    state: str
    reason: str


class Working(NamedTuple):
    """One order that works after the last bar."""

    role: str
    side: str
    leaves: float
    limit_price: float
    stop_price: float


@dataclass(frozen=True, slots=True)
class Linked:
    """A strategy linked to bars."""

    linker: Linker
    strategy: LinkedStrategy
    feed: Feed

    @property
    def plan(self) -> np.ndarray:
        return self.strategy.plan

    @property
    def lot(self) -> float:
        return float(self.plan["policy"]["lot"][0])


@dataclass(frozen=True, slots=True)
class Run:
    """A sleeve's run in the words of the tests; `raw` has the core's own records."""

    linked: Linked
    raw: SleeveRun

    @property
    def lot(self) -> float:
        return self.linked.lot

    @property
    def header(self) -> np.void:
        return self.raw.header

    @property
    def record(self) -> Record:
        return self.raw.record

    @property
    def fills(self) -> list[Filled]:
        """All fills, in order."""
        return [fill_of(row, self.lot) for row in self.raw.fills]

    @property
    def ended(self) -> list[Ended]:
        """All orders that ended, in the order of their ends."""
        return [
            Ended(
                codes.ROLES[row["role"]],
                _side(row["side"]),
                float(row["lots"] * self.lot),
                float(row["filled_lots"] * self.lot),
                codes.ORDER_STATES[row["state"]],
                codes.REASONS[row["reason"]],
            )
            for row in self.raw.order_log
        ]

    @property
    def working(self) -> list[Working]:
        """The orders that still work after the last bar."""
        return working_orders(self.raw.state, self.linked.plan)

    @property
    def reasons(self) -> list[str]:
        """The reason of each bar's decision."""
        return [codes.REASONS[k] for k in self.record.reasons]

    @property
    def actions(self) -> list[str]:
        """What each bar's decision did."""
        return [codes.ACTIONS[k] for k in self.record.actions]

    @property
    def position(self) -> list[float]:
        """Signed quantity held after each bar."""
        return [float(k * self.lot) for k in self.record.lots]

    @property
    def exit_reasons(self) -> list[str]:
        """Why each trade was closed."""
        return [codes.REASONS[k] for k in self.raw.trades["reason"]]

    def column(self, name: str) -> list[float]:
        """Return the values of a named indicator, one for each bar."""
        row = next(c.row for c in self.linked.strategy.indicators if c.name.endswith(name))
        return [float(x) for x in self.linked.feed.matrix[row]]

    @property
    def state_bytes(self) -> bytes:
        return state_bytes(self.linked.plan, self.raw.state)


def _side(side: int) -> str:
    return "buy" if side > 0 else "sell"


def fill_of(row: np.void, lot: float) -> Filled:
    """Put a row of the fill log in the words of the tests."""
    return Filled(
        int(row["i_bar"]),
        _side(row["side"]),
        float(row["lots"] * lot),
        float(row["price"]),
        codes.ROLES[row["role"]],
    )


def working_orders(state: np.ndarray, plan: np.ndarray) -> list[Working]:
    """Return the orders of a state that work."""
    policy = plan["policy"][0]
    return [
        Working(
            codes.ROLES[order["role"]],
            _side(order["side"]),
            float(order["leaves_lots"] * policy["lot"]),
            float(order["limit_price"]),
            float(order["stop_price"]),
        )
        for order in state["orders"][0, : policy["n_orders"]]
        if order["state"] != d.FREE
    ]


def link(
    document: str | Mapping[str, Any] | StrategyDocument,
    bars: Bars,
    *,
    optimistic: bool = False,
    values: Mapping[str, float] | None = None,
) -> Linked:
    """Link a strategy to bars as a backtest does."""
    if isinstance(document, str):
        document = load_document(document)
    elif not isinstance(document, StrategyDocument):
        document = document_from(document)
    resolved = resolve_strategy(document)
    bound = bind(resolved, dict(values or {}))
    linker = Linker(adjusted=needs_factors(bars), has_quotes=bars.bid is not None)
    policy = policy_record(
        bound.policy,
        resolved.prices,
        bars.instrument,
        intraday=parse_timeframe(bars.timeframe).intraday,
        has_quotes=bars.bid is not None,
        optimistic=optimistic,
    )
    linked = link_strategy(
        linker, resolved, bound, policy, periods_per_year=bars_per_year(bars), explain=True
    )
    return Linked(linker, linked, build_feed(linker, bars, threads=1))


def run(
    document: str | Mapping[str, Any] | StrategyDocument,
    bars: Bars,
    *,
    cash: float = 100_000.0,
    every_bar: bool = False,
    optimistic: bool = False,
    values: Mapping[str, float] | None = None,
    first_bar: int = 0,
) -> Run:
    """Run a strategy on bars."""
    linked = link(document, bars, optimistic=optimistic, values=values)
    raw = run_sleeve(linked.plan, linked.feed, cash, every_bar=every_bar, first_bar=first_bar)
    return Run(linked, raw)


def step(
    document: str | Mapping[str, Any] | StrategyDocument,
    bars: Bars,
    *,
    cash: float = 100_000.0,
    optimistic: bool = False,
    values: Mapping[str, float] | None = None,
    first_bar: int = 0,
) -> Iterator[tuple[int, SteppedSleeve]]:
    """Step a strategy through bars as live does; yields each bar's number and the sleeve."""
    linked = link(document, bars, optimistic=optimistic, values=values)
    sleeve = SteppedSleeve(linked.linker, linked.plan, cash)
    for i in sleeve.step_bars(bars, first_bar):
        yield i, sleeve


def first_bars(bars: Bars, n_bars: int) -> Bars:
    """Return the first bars alone, as if the data ended there."""
    return select_bars(bars, slice(0, n_bars))
