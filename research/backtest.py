"""Backtests: a strategy document over stored bars, and what came of it.

Owns loading, one sleeve per instrument, the two full runs and the figures.
`writing` puts the result on disk. Neither Dagster nor Streamlit is known here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foundation.errors import SpecError
from foundation.progress import Progress, silent
from market_data.loading import LoadedBars, load_bars
from market_data.store import Store
from research.engine_version import ENGINE_VERSION as ENGINE_VERSION
from trading.arrays import Feed
from trading.bars import NO_SHARES
from trading.document import StrategyDocument, version_hash
from trading.expressions.strategy import Bound, ResolvedStrategy, bind, resolve_strategy
from trading.feeding import build_feed, needs_factors, price_factors
from trading.instruments import Instrument
from trading.linker import Linker
from trading.planning import LinkedStrategy, link_strategy, policy_record
from trading.sleeve import SleeveRun, run_sleeve
from trading.sweep import bars_per_year, sessions_per_year

INTRADAY = frozenset(("1m", "5m", "15m", "30m", "1h", "4h"))


@dataclass(frozen=True, slots=True)
class BacktestRequest:
    """What to run.

    Attributes
    ----------
    source : Path or None
        A file of bars; None means the store.
    symbols : tuple of str
        Instruments; the document's when empty.
    start, end : date or None
        First and last session traded, both included.
    cash : float
        Starting cash of the whole portfolio, in the instruments' currency.
    values : mapping
        Parameters that differ from the document's defaults.
    warmup : bool
        Whether bars before `start` warm indicators up.
    calendar, timezone : str
        For a file that tells neither.
    """

    document: StrategyDocument
    source: Path | None = None
    symbols: tuple[str, ...] = ()
    start: date | None = None
    end: date | None = None
    cash: float = 100_000.0
    values: Mapping[str, float] = field(default_factory=dict)
    warmup: bool = True
    calendar: str = ""
    timezone: str = ""


@dataclass(frozen=True, slots=True)
class SleeveResult:
    """One instrument's part of a backtest.

    Attributes
    ----------
    run, optimistic : SleeveRun
        The run that keeps the lower path of each bar, and the one that keeps
        the higher.
    buy_and_hold : float64 array, shape (n_traded_bars,)
        Equity of buying at the first open with all cash, dividends reinvested,
        without costs; of a delisted instrument, what its shares were worth.
    """

    symbol: str
    loaded: LoadedBars
    linked: LinkedStrategy
    feed: Feed
    cash: float
    run: SleeveRun
    optimistic: SleeveRun
    buy_and_hold: NDArray[np.float64]
    has_volume: bool


@dataclass(frozen=True, slots=True)
class Backtest:
    """A finished backtest, in memory."""

    request: BacktestRequest
    strategy: ResolvedStrategy
    bound: Bound
    version: str
    fingerprint: str
    run_id: str
    sleeves: tuple[SleeveResult, ...]
    annualisation: int


@dataclass(frozen=True, slots=True)
class ReadyBacktest:
    """A backtest whose bars are there, and which has traded none of them yet.

    Attributes
    ----------
    loaded : tuple of LoadedBars
        One for each instrument.
    """

    request: BacktestRequest
    strategy: ResolvedStrategy
    bound: Bound
    version: str
    fingerprint: str
    run_id: str
    loaded: tuple[LoadedBars, ...]


def run_backtest(
    request: BacktestRequest,
    store: Store,
    *,
    before: Callable[[ReadyBacktest], None] | None = None,
    progress: Progress = silent,
) -> Backtest:
    """Run a backtest.

    Parameters
    ----------
    before : callable, optional
        Called once the bars are there and before any is traded: what must be
        on record whatever comes of the run.

    Raises
    ------
    SpecError
        If the document or a parameter is wrong, or does not fit the data.
    DataError
        If bars are missing, damaged or none are in the range.
    """
    if not request.cash > 0.0:
        raise SpecError(f"starting cash must be above 0, got {request.cash:g}", path="cash")
    strategy = resolve_strategy(request.document)
    bound = bind(strategy, request.values)
    symbols = request.symbols or strategy.instruments
    if not symbols and request.source is None:
        raise SpecError("no instrument is named by the document or the command", path="instruments")
    loaded = [
        load_instrument(request, strategy, bound, symbol, store) for symbol in symbols or ("",)
    ]
    check_currencies(loaded)
    shares = capital_shares(request.document, weight_names(loaded))
    annualisation = max(sessions_per_year(x.bars) for x in loaded)
    version = version_hash(request.document)
    prints = "".join(f"{x.bars.instrument.symbol}:{x.fingerprint};" for x in loaded)
    fingerprint = hashlib.sha256(prints.encode()).hexdigest()
    run_id = _run_id(request, version, fingerprint, bound)
    if before is not None:
        before(ReadyBacktest(request, strategy, bound, version, fingerprint, run_id, tuple(loaded)))
    jobs = list(zip(loaded, shares, strict=True))
    done = 0

    def run(job: tuple[LoadedBars, float]) -> SleeveResult:
        nonlocal done
        result = run_instrument(strategy, bound, job[0], job[1] * request.cash)
        done += 1
        progress(done, len(jobs), result.symbol)
        return result

    progress(0, len(jobs), strategy.name)
    sleeves: tuple[SleeveResult, ...]
    if len(jobs) == 1:
        sleeves = (run(jobs[0]),)
    else:
        with ThreadPoolExecutor(min(len(jobs), os.cpu_count() or 1)) as pool:
            sleeves = tuple(pool.map(run, jobs))
    return Backtest(request, strategy, bound, version, fingerprint, run_id, sleeves, annualisation)


def load_instrument(
    request: BacktestRequest,
    strategy: ResolvedStrategy,
    bound: Bound,
    symbol: str,
    store: Store,
) -> LoadedBars:
    """Load what a run of one instrument needs; an empty symbol is a file's only one."""
    return load_bars(
        store if request.source is None else request.source,
        symbol,
        strategy.timeframe,
        start=request.start,
        end=request.end,
        warmup="all" if request.warmup else 0,
        periods=strategy.timeframes,
        finer=bound.policy.intrabar,
        extended_hours=bound.policy.hours.value == "extended",
        instrument=Instrument(symbol, calendar=request.calendar) if request.calendar else None,
        timezone=request.timezone,
        store=None if request.source is None else store,
    )


def check_currencies(loaded: list[LoadedBars]) -> None:
    """Refuse instruments of unlike currencies; there is no conversion yet."""
    currencies = sorted({x.bars.instrument.currency for x in loaded})
    if len(currencies) > 1:
        raise SpecError(
            "instruments of one strategy must share a currency, but they are quoted in "
            + " and ".join(currencies),
            path="instruments",
        )


def weight_names(loaded: Sequence[LoadedBars]) -> list[str]:
    """Return the names by which a document weighs instruments: those it asks for.

    A ticker may mean a security of another id.
    """
    return [one.asked or one.bars.instrument.symbol for one in loaded]


def capital_shares(document: StrategyDocument, symbols: list[str]) -> list[float]:
    """Divide the capital by the document's weights, equally by default (rule 17)."""
    weights = dict(getattr(document, "weights", None) or {})
    given = [float(weights.get(symbol, 0.0)) if weights else 1.0 for symbol in symbols]
    total = sum(given)
    if not total > 0.0:
        raise SpecError("no selected instrument has a weight above 0", path="weights")
    return [x / total for x in given]


def run_instrument(
    strategy: ResolvedStrategy, bound: Bound, loaded: LoadedBars, cash: float
) -> SleeveResult:
    """Run one instrument with its share of the cash, on both paths of each bar."""
    bars = loaded.bars
    has_volume = bars.has_volume(loaded.i_start)
    linker = Linker(adjusted=needs_factors(bars), has_quotes=bars.bid is not None)
    policies = []
    for optimistic in (False, True):
        policy = policy_record(
            bound.policy,
            strategy.prices,
            bars.instrument,
            intraday=strategy.timeframe in INTRADAY,
            has_quotes=bars.bid is not None,
            optimistic=optimistic,
        )
        if not has_volume:
            policy["max_participation"] = 0.0
        policies.append(policy)
    linked = link_strategy(
        linker, strategy, bound, policies[0], periods_per_year=bars_per_year(bars), explain=True
    )
    feed = build_feed(linker, bars)
    first = loaded.i_start
    run = run_sleeve(linked.plan, feed, cash, first_bar=first)
    other = run_sleeve(_with_policy(linked.plan, policies[1]), feed, cash, first_bar=first)
    price, _ = price_factors(bars)
    level = bars.prices[3, first:] * price[first:]
    for end in bars.actions[bars.actions["split_ratio"] == NO_SHARES]:
        at = int(end["i_bar"])
        level[max(at - first, 0) :] = end["dividend"] * price[at]
    buy_and_hold = cash * level / (bars.prices[0, first] * price[first])
    return SleeveResult(
        bars.instrument.symbol,
        loaded,
        linked,
        feed,
        cash,
        run,
        other,
        buy_and_hold,
        has_volume,
    )


def _with_policy(plan: NDArray[np.void], policy: NDArray[np.void]) -> NDArray[np.void]:
    other = plan.copy()
    other["policy"] = policy
    return other


def _run_id(request: BacktestRequest, version: str, fingerprint: str, bound: Bound) -> str:
    options = (
        version,
        fingerprint,
        str(request.start),
        str(request.end),
        repr(float(request.cash)),
        repr(sorted(bound.values.items())),
        str(request.warmup),
        ENGINE_VERSION,
    )
    return hashlib.sha256("|".join(options).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class PortfolioCurve:
    """Equity of all sleeves together at every moment any of them has a bar.

    Attributes
    ----------
    ts, session : int64 arrays, shape (n_moments,)
    equity, cash, buy_and_hold : float64 arrays, shape (n_moments,)
        A sleeve waits in cash for its data and stays at its last value after.
    """

    ts: NDArray[np.int64]
    session: NDArray[np.int64]
    equity: NDArray[np.float64]
    cash: NDArray[np.float64]
    buy_and_hold: NDArray[np.float64]

    def lowest_cash(self, start: float) -> float:
        """Return the lowest cash of all sleeves together at a bar's close, or at the start."""
        return min(start, float(self.cash.min()))


def portfolio_curve(backtest: Backtest) -> PortfolioCurve:
    """Add the sleeves' equity up over the union of their bars."""
    sleeves = backtest.sleeves
    if len(sleeves) == 1:
        s = sleeves[0]
        first = s.loaded.i_start
        bars = s.loaded.bars
        return PortfolioCurve(
            bars.ts[first:],
            bars.session[first:],
            s.run.record.equity[first:],
            s.run.record.cash[first:],
            s.buy_and_hold,
        )
    ts = np.unique(np.concatenate([s.loaded.bars.ts[s.loaded.i_start :] for s in sleeves]))
    session = np.zeros(len(ts), np.int64)
    equity, cash, held = np.zeros(len(ts)), np.zeros(len(ts)), np.zeros(len(ts))
    for s in sleeves:
        first = s.loaded.i_start
        own = s.loaded.bars.ts[first:]
        at = np.searchsorted(own, ts, side="right") - 1
        known = at >= 0
        at = np.maximum(at, 0)
        equity += np.where(known, s.run.record.equity[first:][at], s.cash)
        cash += np.where(known, s.run.record.cash[first:][at], s.cash)
        held += np.where(known, s.buy_and_hold[at], s.cash)
        session[np.searchsorted(ts, own)] = s.loaded.bars.session[first:]
    return PortfolioCurve(ts, session, equity, cash, held)
