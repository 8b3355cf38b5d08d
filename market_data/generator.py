"""Made-up minute bars and ticks that behave like a liquid stock, from a seed.

For examples, tests and benchmarks. The same seed gives the same bits. Prices
follow a random walk with fat tails whose volatility and volume are high at the
open and the close (the U shape that Admati and Pfleiderer, 1988, describe and
every exchange's statistics show), jump over night, pause in halts, and leave
out minutes without a trade. Nothing here predicts anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data.calendars import compute_sessions
from market_data.columns import BarColumns
from market_data.sessions import SessionTable, days_of
from market_data.timeframes import MINUTE_NS, SECOND_NS
from trading.instruments import Instrument

SIM = Instrument("SIM", tick=0.01, calendar="XNYS")

# Dtype of ticks: a trade with the quotes that stood when it was made.
TICK = np.dtype(
    [
        ("ts", "i8"),
        ("bid", "f8"),
        ("ask", "f8"),
        ("bid_size", "f8"),
        ("ask_size", "f8"),
        ("price", "f8"),
        ("size", "f8"),
    ]
)

_TICK_SIZE = 0.01
_CLOSED_SHARE = 0.35  # Share of a day's variance that comes while the exchange is closed.
_TRADES_PER_MINUTE = 12.0
_HALT_MINUTES = (5, 15)


@dataclass(frozen=True, slots=True)
class Market:
    """How the made-up market behaves.

    Attributes
    ----------
    price : float
        First price, currency.
    volatility : float
        Of daily returns, as a fraction (0.02 is about 32 % a year).
    volume : float
        Shares in a usual session.
    spread_bps : float
        Usual difference between ask and bid, basis points of the price; at
        least one tick, wider at the open and near halts.
    halt_probability : float
        That a session has a halt of 5 to 15 minutes.
    missing_probability : float
        That a minute at midday has no trade and so no bar.
    """

    price: float = 100.0
    volatility: float = 0.02
    volume: float = 3_000_000.0
    spread_bps: float = 2.0
    halt_probability: float = 0.04
    missing_probability: float = 0.01


@dataclass(frozen=True, slots=True)
class Halt:
    """A pause in trading, UTC nanoseconds; `stop` is when trading resumes."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class SimulatedBars:
    """Minute bars with the halts that lie in them.

    Attributes
    ----------
    columns : BarColumns
        With bid and ask; minutes of a halt and without trades have no bar.
    halts : tuple of Halt
    """

    columns: BarColumns
    halts: tuple[Halt, ...]


def generate_minutes(
    first: date,
    last: date,
    *,
    seed: int,
    market: Market = Market(),
    sessions: SessionTable | None = None,
) -> SimulatedBars:
    """Make minute bars for the sessions between two dates, both included.

    Parameters
    ----------
    first, last : date
    seed : int
        Each session draws from a generator of its own, so that a longer span
        begins with the bars of a shorter one.
    sessions : SessionTable, optional
        Of XNYS by default.

    Returns
    -------
    SimulatedBars

    Raises
    ------
    DataError
        If there is no session between the dates.
    """
    table = sessions if sessions is not None else compute_sessions("XNYS", first, last)
    table = table.between(days_of(first), days_of(last))
    if table.date.shape[0] == 0:
        raise DataError(f"no sessions of {table.calendar} from {first} to {last}")
    price = market.price
    parts: list[BarColumns] = []
    halts: list[Halt] = []
    for row in range(table.date.shape[0]):
        draw = np.random.default_rng([seed, int(table.date[row])])
        part, halt, price = _session(table, row, draw, market, price)
        parts.append(part)
        halts += [] if halt is None else [halt]
    return SimulatedBars(_joined(parts), tuple(halts))


def _joined(parts: list[BarColumns]) -> BarColumns:
    quotes = [(part.bid, part.ask) for part in parts]
    return BarColumns(
        np.concatenate([part.ts for part in parts]),
        np.concatenate([part.session for part in parts]),
        np.concatenate([part.prices for part in parts], axis=1),
        np.concatenate([bid for bid, _ in quotes if bid is not None], axis=1),
        np.concatenate([ask for _, ask in quotes if ask is not None], axis=1),
    )


def activity(n_minutes: int) -> NDArray[np.float64]:
    """Return the U shape of a session: activity by minute, 1 on average.

    The first and last minutes have about four times the activity of midday.
    """
    x = np.linspace(-1.0, 1.0, n_minutes)
    shape = 0.55 + 1.25 * x**4 + 0.35 * x**2 + 0.6 * np.exp(-(x + 1) / 0.05)
    return np.asarray(shape / shape.mean(), np.float64)


def _session(
    table: SessionTable,
    row: int,
    draw: np.random.Generator,
    market: Market,
    previous_close: float,
) -> tuple[BarColumns, Halt | None, float]:
    n = int((table.close[row] - table.open[row]) // MINUTE_NS)
    shape = activity(n)
    gap = np.sqrt(_CLOSED_SHARE) * market.volatility * draw.standard_t(4) / np.sqrt(2.0)
    sigma = np.sqrt((1 - _CLOSED_SHARE) * shape / n) * market.volatility
    # Four steps in a minute: enough for a high and a low of their own.
    steps = draw.standard_t(5, (n, 4)) / np.sqrt(5 / 3) * (sigma / 2.0)[:, np.newaxis]
    halt_slice = _halt_minutes(n, draw, market)
    if halt_slice is not None:
        # What would have moved the price in a halt comes when trading resumes.
        steps[halt_slice.stop, 0] += steps[halt_slice].sum()
        steps[halt_slice] = 0.0
    log_price = np.log(previous_close) + gap + np.cumsum(steps.ravel()).reshape(n, 4)
    path = np.maximum(np.exp(log_price), 10 * _TICK_SIZE)
    opens = np.concatenate(([previous_close * np.exp(gap)], path[:-1, -1]))
    spread = _spread_ticks(path[:, -1], shape, halt_slice, draw, market)
    half = spread * _TICK_SIZE / 2.0
    prices = _bars_on_ticks(opens, path, half, draw)
    volume = market.volume / n * shape * draw.lognormal(-0.18, 0.6, n)
    # Open, high, low and close are four trades.
    prices[4] = np.maximum(np.round(volume), 4.0)
    quiet = draw.random(n) < market.missing_probability / shape
    quiet[[0, n - 1]] = False
    keep = ~quiet
    halt = None
    if halt_slice is not None:
        keep[halt_slice] = False
        start = int(table.open[row]) + halt_slice.start * MINUTE_NS
        halt = Halt(start, start + (halt_slice.stop - halt_slice.start) * MINUTE_NS)
    ts = table.open[row] + np.arange(n) * MINUTE_NS
    # An odd number of ticks has no middle on a tick: the ask takes the larger part.
    bid = _on_ticks(prices[:4] - spread // 2 * _TICK_SIZE)
    np.maximum(bid, _TICK_SIZE, out=bid)
    columns = BarColumns(
        ts,
        np.full(n, table.date[row]),
        prices,
        bid,
        _on_ticks(bid + spread * _TICK_SIZE),
    )
    return columns.select(keep), halt, float(path[-1, -1])


def _halt_minutes(n: int, draw: np.random.Generator, market: Market) -> slice | None:
    happens, where, length = draw.random(), draw.random(), draw.random()
    if happens >= market.halt_probability or n < 60:
        return None
    shortest, longest = _HALT_MINUTES
    minutes = shortest + int(length * (longest - shortest + 1))
    start = 15 + int(where * (n - 30 - longest))
    return slice(start, start + minutes)


def _spread_ticks(
    price: NDArray[np.float64],
    shape: NDArray[np.float64],
    halt: slice | None,
    draw: np.random.Generator,
    market: Market,
) -> NDArray[np.float64]:
    n = price.shape[0]
    width = market.spread_bps * 1e-4 * price * draw.lognormal(0.0, 0.25, n)
    width *= 1.0 + 3.0 * np.exp(-np.arange(n) / 8.0)
    if halt is not None:
        width[halt.stop : halt.stop + 5] *= 4.0
    return np.maximum(np.round(width / _TICK_SIZE), 1.0)


def _on_ticks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.round(np.round(values / _TICK_SIZE) * _TICK_SIZE, 2)


def _bars_on_ticks(
    opens: NDArray[np.float64],
    path: NDArray[np.float64],
    half: NDArray[np.float64],
    draw: np.random.Generator,
) -> NDArray[np.float64]:
    """Return bars of traded prices: the path, at the bid or the ask, on ticks."""
    n = opens.shape[0]
    side = np.where(draw.random((2, n)) < 0.5, -1.0, 1.0)
    prices = np.zeros((5, n))
    prices[0] = _on_ticks(opens + side[0] * half)
    prices[3] = _on_ticks(path[:, -1] + side[1] * half)
    prices[1] = np.maximum(_on_ticks(path.max(axis=1) + half), np.maximum(prices[0], prices[3]))
    prices[2] = np.minimum(_on_ticks(path.min(axis=1) - half), np.minimum(prices[0], prices[3]))
    np.maximum(prices[:4], _TICK_SIZE, out=prices[:4])
    return prices


def generate_ticks(bars: SimulatedBars, *, seed: int) -> NDArray[np.void]:
    """Make trades with quotes that aggregate to the given minute bars.

    Parameters
    ----------
    bars : SimulatedBars
        From `generate_minutes`.
    seed : int

    Returns
    -------
    TICK array, oldest first
        In each minute the first trade is at the bar's open, the last at its
        close, its high and low are traded, and sizes add up to its volume.
    """
    columns = bars.columns
    draw = np.random.default_rng([seed, 7])
    n_bars = columns.n_bars
    volume = columns.prices[4]
    usual = np.median(volume)
    n_trades = 4 + draw.poisson(_TRADES_PER_MINUTE * np.clip(volume / usual, 0.2, 6.0))
    # A share can't be split among trades; a bar has four shares at least.
    n_trades = np.minimum(n_trades, volume).astype(np.int64)
    bar = np.repeat(np.arange(n_bars), n_trades)
    first = np.cumsum(n_trades) - n_trades
    within = np.arange(bar.shape[0]) - first[bar]
    ticks = np.zeros(bar.shape[0], TICK)
    ticks["ts"] = columns.ts[bar] + _times_in_minute(bar, draw)
    ticks["price"] = _trade_prices(columns, bar, n_trades, draw)
    ticks["size"] = _sizes(volume, bar, within, n_trades, draw)
    half = np.zeros(n_bars)
    if columns.bid is not None and columns.ask is not None:
        half = (columns.ask[3] - columns.bid[3]) / 2
    spread = np.maximum(2 * half[bar], _TICK_SIZE)
    at_ask = draw.random(bar.shape[0]) < 0.5
    bid = np.where(at_ask, ticks["price"] - spread, ticks["price"])
    ticks["bid"] = np.maximum(_on_ticks(bid), _TICK_SIZE)
    ticks["ask"] = np.maximum(_on_ticks(bid + spread), ticks["bid"] + _TICK_SIZE)
    ticks["bid_size"] = 100.0 * draw.integers(1, 30, bar.shape[0])
    ticks["ask_size"] = 100.0 * draw.integers(1, 30, bar.shape[0])
    return ticks


def _times_in_minute(bar: NDArray[np.int64], draw: np.random.Generator) -> NDArray[np.int64]:
    micros = draw.integers(0, 60_000_000, bar.shape[0])
    order = np.lexsort((micros, bar))
    return np.asarray(micros[order] * (SECOND_NS // 1_000_000), np.int64)


def _trade_prices(
    columns: BarColumns,
    bar: NDArray[np.int64],
    n_trades: NDArray[np.int64],
    draw: np.random.Generator,
) -> NDArray[np.float64]:
    open_, high, low, close = columns.prices[:4]
    low_bar, high_bar = low[bar], high[bar]
    price = _on_ticks(low_bar + (high_bar - low_bar) * draw.beta(2.0, 2.0, bar.shape[0]))
    price = np.clip(price, low_bar, high_bar)
    first = np.cumsum(n_trades) - n_trades
    last = first + n_trades - 1
    up_first = draw.random(columns.n_bars) < 0.5
    price[first] = open_
    price[first + 1] = np.where(up_first, high, low)
    price[first + 2] = np.where(up_first, low, high)
    price[last] = close
    return price


def _sizes(
    volume: NDArray[np.float64],
    bar: NDArray[np.int64],
    within: NDArray[np.int64],
    n_trades: NDArray[np.int64],
    draw: np.random.Generator,
) -> NDArray[np.float64]:
    """Split each bar's volume in whole shares, at least one for each trade."""
    weight = draw.exponential(1.0, bar.shape[0])
    total = np.bincount(bar, weights=weight)
    spare = volume - n_trades
    sizes = 1.0 + np.floor(spare[bar] * weight / total[bar])
    left = volume - np.bincount(bar, weights=sizes)
    sizes[within == 0] += left
    return sizes
