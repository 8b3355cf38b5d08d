"""Monte Carlo: how much of a result hangs on the order of its trades and on exact entries.

Order of trades. Each path takes the result's own trades, in another order or
drawn with replacement, and compounds them: a trade earns the same share of
equity as it did. In another order the final equity stays and the drawdown
changes; drawn with replacement both do. Trades that overlapped, of several
instruments, are taken one after the other.

Entry noise. Each path runs the engine again over the same bars, with some
entries spoiled: of every episode, the bars in a row on which an entry
condition is true, a share is missed altogether and a share is seen some bars
late. Everything after that is real: what is held, what stops out, which later
entries become possible. The price noise is not: it moves the average entry of
each trade of such a path by a normal draw, and charges that to the trade when it
closes. Stops and targets stay where they were, and a moved price fills always.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError, SpecError
from foundation.progress import Progress, silent
from market_data.store import Store
from research.backtest import Backtest, BacktestRequest, SleeveResult, run_backtest
from research.results import PORTFOLIO, ResultFiles, Table, open_result
from research.windows import add_up
from trading.document import load_document
from trading.dtypes import FALSE, TRUE
from trading.sleeve import run_sleeve

FloatArray = NDArray[np.float64]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
N_PATHS_MAX = 100_000
# Points of a band over trades or sessions; more say nothing in a picture.
N_BAND_POINTS = 400
_CHUNK_CELLS = 8_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MonteCarloOptions:
    """What is varied, and how much.

    Attributes
    ----------
    n_orders : int
        Paths of shuffled and of drawn trades each.
    n_noise : int
        Paths of entry noise, each a run of the engine; 0 for none.
    skip, delay : float
        Share of entry episodes missed altogether, and seen late.
    delay_bars : int
        By how many bars.
    noise_bps : float
        Standard deviation of the noise in entry prices, basis points.
    ruin : float
        Ruin is equity at or below this share of the start.
    """

    n_orders: int = 5_000
    n_noise: int = 200
    skip: float = 0.1
    delay: float = 0.1
    delay_bars: int = 1
    noise_bps: float = 5.0
    ruin: float = 0.5
    seed: int = 0

    def describe(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Paths:
    """What came of the paths of one kind.

    Attributes
    ----------
    final_equity, max_drawdown : float64 arrays, shape (n_paths,)
    ruined : bool array, shape (n_paths,)
    n_trades : int64 array, shape (n_paths,)
    band_x : int64 array, shape (n_points,)
        Trades done, or session dates as days since 1970-01-01.
    bands : float64 array, shape (len(QUANTILES), n_points)
        Quantiles of equity over all paths.
    """

    final_equity: FloatArray
    max_drawdown: FloatArray
    ruined: NDArray[np.bool_]
    n_trades: NDArray[np.int64]
    band_x: NDArray[np.int64]
    bands: FloatArray


@dataclass(frozen=True, slots=True)
class MonteCarlo:
    """A finished Monte Carlo analysis, in memory.

    Attributes
    ----------
    trade_shares : float64 array, shape (n_trades,)
        Net profit over the equity at entry, in the order in which trades closed.
    kinds : mapping of name to Paths
        `shuffled` and `drawn`, and `noise` where asked for.
    """

    result: ResultFiles
    options: MonteCarloOptions
    study_id: str
    trade_shares: FloatArray
    actual_equity: FloatArray
    actual_drawdown: float
    kinds: Mapping[str, Paths]


def monte_carlo(
    result_dir: Path,
    store: Store | None = None,
    options: MonteCarloOptions = MonteCarloOptions(),
    *,
    source: Path | None = None,
    calendar: str = "",
    timezone: str = "",
    progress: Progress = silent,
) -> MonteCarlo:
    """Vary the order of a result's trades, and its entries.

    Parameters
    ----------
    result_dir : Path
        Written by a backtest.
    store, source : Store and Path, optional
        Where the result's bars are, for entry noise.

    Raises
    ------
    SpecError
        If an option is wrong, or an entry can't be spoiled because its
        condition asks for the position.
    DataError
        If the result is not whole, has too few trades, or its bars have
        changed since.
    """
    _check(options)
    result = open_result(result_dir)
    start = result.summary.starting_cash
    shares = trade_shares(result)
    if len(shares) < 2:
        raise DataError(f"{result_dir} has {len(shares)} trades, at least 2 are needed")
    total = 2 + options.n_noise
    generator = np.random.default_rng([options.seed, 0])
    kinds = {"shuffled": order_paths(shares, start, options, generator, replace=False)}
    progress(1, total, "trade order")
    kinds["drawn"] = order_paths(shares, start, options, generator, replace=True)
    progress(2, total, "trade order")
    if options.n_noise:
        if store is None:
            raise SpecError("entry noise needs the bars of the result")
        backtest = rerun(result, store, source, calendar, timezone)
        kinds["noise"] = noise_paths(
            backtest, options, lambda done, of, label="": progress(2 + done, total, label)
        )
    equity = start * np.cumprod(np.append(1.0, 1.0 + shares))
    return MonteCarlo(
        result, options, _study_id(result, options), shares, equity,
        float(_deepest(equity[None, :])[0]), kinds,
    )  # fmt: skip


def _check(options: MonteCarloOptions) -> None:
    for name, value, least, most in (
        ("orders", options.n_orders, 1, N_PATHS_MAX),
        ("noise", options.n_noise, 0, N_PATHS_MAX),
        ("skip", options.skip, 0.0, 1.0),
        ("delay", options.delay, 0.0, 1.0),
        ("delay_bars", options.delay_bars, 1, 10_000),
        ("noise_bps", options.noise_bps, 0.0, 10_000.0),
        ("ruin", options.ruin, 0.0, 1.0),
    ):
        if not least <= value <= most:
            raise SpecError(f"must be from {least:,} to {most:,}, got {value:,}", path=name)
    if options.skip + options.delay > 1.0:
        raise SpecError(
            f"skip and delay must add up to at most 1, got {options.skip + options.delay:g}"
        )


def _study_id(result: ResultFiles, options: MonteCarloOptions) -> str:
    summary = result.summary
    asked = f"monte_carlo|{summary.run_id}|{summary.data_fingerprint}|{options.describe()}"
    return hashlib.sha256(asked.encode()).hexdigest()[:12]


# Order of trades.


def trade_shares(result: ResultFiles) -> FloatArray:
    """Return each trade's net profit over the portfolio's equity when it was entered.

    In the order in which trades closed.
    """
    import polars as pl

    trades = result.read(Table.TRADES, columns=["symbol", "entry_ts", "exit_ts", "net_profit"])
    trades = trades.sort("exit_ts", "entry_ts", "symbol")
    equity = result.equity(PORTFOLIO).select("ts", "equity")
    ts = equity["ts"].to_physical().to_numpy()
    # The equity before the bar that entered: the bar's own close has the trade in it.
    at = np.searchsorted(ts, trades["entry_ts"].to_physical().to_numpy(), side="right") - 2
    values = equity["equity"].cast(pl.Float64).to_numpy()
    base = np.where(at >= 0, values[np.maximum(at, 0)], result.summary.starting_cash)
    shares: FloatArray = trades["net_profit"].to_numpy() / np.where(base > 0.0, base, np.nan)
    if not bool(np.isfinite(shares).all()):
        raise DataError("equity was used up before a trade: its order can't be varied")
    return shares


def order_paths(
    shares: FloatArray,
    start: float,
    options: MonteCarloOptions,
    generator: np.random.Generator,
    *,
    replace: bool,
) -> Paths:
    """Compound trades in other orders.

    Parameters
    ----------
    shares : float64 array, shape (n_trades,)
        What each trade earns of the equity at its entry.
    replace : bool
        Whether trades are drawn with replacement, or all are shuffled.
    """
    n_paths, n_trades = options.n_orders, len(shares)
    points = _points(n_trades + 1)
    growth = np.empty((n_paths, len(points)))
    final, deepest = np.empty(n_paths), np.empty(n_paths)
    ruined = np.empty(n_paths, bool)
    rows = max(1, _CHUNK_CELLS // (n_trades + 1))
    for first in range(0, n_paths, rows):
        part = slice(first, min(first + rows, n_paths))
        n = part.stop - part.start
        if replace:
            picked = generator.integers(0, n_trades, (n, n_trades))
        else:
            picked = generator.permuted(np.tile(np.arange(n_trades), (n, 1)), axis=1)
        equity = np.empty((n, n_trades + 1))
        equity[:, 0] = start
        # A trade that loses more than all there is leaves nothing to go on with.
        equity[:, 1:] = start * np.cumprod(np.maximum(1.0 + shares[picked], 0.0), axis=1)
        growth[part] = equity[:, points]
        final[part] = equity[:, -1]
        deepest[part] = _deepest(equity)
        ruined[part] = equity.min(axis=1) <= options.ruin * start
    return Paths(
        final, deepest, ruined, np.full(n_paths, n_trades, np.int64), points,
        np.quantile(growth, QUANTILES, axis=0),
    )  # fmt: skip


def _points(n: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, n - 1, min(n, N_BAND_POINTS)).round().astype(np.int64))


def _deepest(equity: FloatArray) -> FloatArray:
    peak = np.maximum.accumulate(equity, axis=1)
    depth: FloatArray = (1.0 - equity / peak).max(axis=1)
    return depth


# Entry noise.


def rerun(
    result: ResultFiles, store: Store, source: Path | None, calendar: str, timezone: str
) -> Backtest:
    """Run a result's backtest again; it must come out as it did.

    Raises
    ------
    DataError
        If the bars are other ones by now.
    """
    from datetime import date

    summary = result.summary
    request = BacktestRequest(
        load_document(summary.document.encode()),
        source=source,
        symbols=tuple(summary.instruments),
        start=date.fromisoformat(summary.start),
        end=date.fromisoformat(summary.end),
        cash=summary.starting_cash,
        values=dict(summary.parameters),
        calendar=calendar,
        timezone=timezone,
    )
    again = run_backtest(request, store)
    final = sum(float(one.run.record.equity[-1]) for one in again.sleeves)
    if not math.isclose(final, summary.final_equity, rel_tol=1e-12):
        raise DataError(
            f"the backtest of {result.directory} ended with {summary.final_equity:,.2f} and ends "
            f"with {final:,.2f} now: its bars or the engine have changed; run it again first"
        )
    return again


@dataclass(frozen=True, slots=True)
class _Episodes:
    """The bars in a row on which an entry condition is true: first bars and stops."""

    row: int
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]


def noise_paths(
    backtest: Backtest, options: MonteCarloOptions, progress: Progress = silent
) -> Paths:
    """Run the engine again with spoiled entries."""
    cash = [one.cash for one in backtest.sleeves]
    sessions = np.unique(
        np.concatenate([one.loaded.bars.session[one.loaded.i_start :] for one in backtest.sleeves])
    )
    episodes = [_episodes(one) for one in backtest.sleeves]
    n = options.n_noise
    points = _points(len(sessions))
    growth = np.empty((n, len(points)))
    final, deepest = np.empty(n), np.empty(n)
    ruined, n_trades = np.empty(n, bool), np.empty(n, np.int64)
    start = backtest.request.cash
    for k in range(n):
        generator = np.random.default_rng([options.seed, 1, k])
        parts: list[tuple[NDArray[np.int64], FloatArray] | None] = []
        trades = 0
        for one, found in zip(backtest.sleeves, episodes, strict=True):
            own, equity, closed = _noisy_sleeve(one, found, options, generator)
            parts.append((own, equity))
            trades += closed
        together = add_up(parts, cash, sessions)[0]
        growth[k] = together[points]
        final[k], n_trades[k] = together[-1], trades
        deepest[k] = _deepest(np.append(start, together)[None, :])[0]
        ruined[k] = together.min() <= options.ruin * start
        progress(k + 1, n, "entry noise")
    return Paths(
        final, deepest, ruined, n_trades, sessions[points], np.quantile(growth, QUANTILES, axis=0)
    )


def _episodes(sleeve: SleeveResult) -> list[_Episodes]:
    found = []
    for name in ("enter_long", "enter_short"):
        if name not in sleeve.linked.condition_rows:
            k = ("enter_long", "exit_long", "enter_short", "exit_short").index(name)
            starts = sleeve.linked.plan["starts"][0]
            if starts[k + 1] > starts[k]:
                raise SpecError(
                    "asks for the position, which depends on what was entered before; its "
                    "entries can't be spoiled bar by bar",
                    path=name,
                    hint="use --noise 0",
                )
            continue
        row = sleeve.linked.condition_rows[name]
        is_true = np.concatenate(([False], sleeve.feed.flags[row] == TRUE, [False]))
        edges = np.flatnonzero(is_true[1:] != is_true[:-1])
        found.append(_Episodes(row, edges[::2], edges[1::2]))
    return found


def _noisy_sleeve(
    sleeve: SleeveResult,
    episodes: Sequence[_Episodes],
    options: MonteCarloOptions,
    generator: np.random.Generator,
) -> tuple[NDArray[np.int64], FloatArray, int]:
    """Run one instrument with spoiled entries; return sessions, equity and closed trades."""
    flags = sleeve.feed.flags.copy()
    for one in episodes:
        drawn = generator.random(len(one.starts))
        for i in np.flatnonzero(drawn < options.skip + options.delay).tolist():
            first, stop = int(one.starts[i]), int(one.stops[i])
            if drawn[i] >= options.skip:
                stop = min(stop, first + options.delay_bars)
            flags[one.row, first:stop] = FALSE
    run = run_sleeve(
        sleeve.linked.plan,
        sleeve.feed._replace(flags=flags),
        sleeve.cash,
        first_bar=sleeve.loaded.i_start,
    )
    bars, first = sleeve.loaded.bars, sleeve.loaded.i_start
    equity = run.record.equity[first:].copy()
    noise = generator.normal(0.0, options.noise_bps / 1e4, len(run.trades))
    policy = sleeve.linked.plan["policy"][0]
    notional = run.trades["entry_notional"] * float(policy["lot"]) * float(policy["multiplier"])
    # A long that paid more, and a short that got less, lose the difference.
    lost = noise * notional
    charged = np.zeros(len(equity))
    np.add.at(charged, np.clip(run.trades["exit_bar"] - first, 0, len(equity) - 1), lost)
    equity -= np.cumsum(charged)
    session = bars.session[first:]
    ends = np.append(np.flatnonzero(np.diff(session)), len(session) - 1)
    return session[ends], equity[ends], len(run.trades)


def path_figures(paths: Paths, start: float) -> dict[str, float]:
    """Return what the paths of one kind come to."""
    low, middle, high = (0.05, 0.5, 0.95)
    total = paths.final_equity / start - 1.0
    return {
        "n_paths": float(len(total)),
        "return_05": float(np.quantile(total, low)),
        "return_50": float(np.quantile(total, middle)),
        "return_95": float(np.quantile(total, high)),
        "share_of_losses": float((total < 0.0).mean()),
        "drawdown_50": float(np.quantile(paths.max_drawdown, middle)),
        "drawdown_95": float(np.quantile(paths.max_drawdown, high)),
        "share_ruined": float(paths.ruined.mean()),
        "trades_50": float(np.quantile(paths.n_trades, middle)),
    }
