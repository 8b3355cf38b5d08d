"""Monte Carlo: how much of a result hangs on the order of its trades and on exact entries.

`trade_orders` puts the trades in other orders; `entry_noise` runs the engine
again with spoiled entries. What both have in common is in `monte_carlo_paths`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError, SpecError
from foundation.progress import Progress, silent
from market_data.store import Store
from research.backtest import Backtest, BacktestRequest, ReadyBacktest, run_backtest
from research.entry_noise import noise_paths
from research.monte_carlo_paths import AS_USUAL, MonteCarloOptions, Paths, check_options, deepest
from research.results import ResultFiles, open_result
from research.trade_orders import order_paths, trade_shares
from trading.document import load_document

FloatArray = NDArray[np.float64]


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
    options: MonteCarloOptions = AS_USUAL,
    *,
    source: Path | None = None,
    calendar: str = "",
    timezone: str = "",
    before: Callable[[ReadyBacktest, str], None] | None = None,
    progress: Progress = silent,
) -> MonteCarlo:
    """Vary the order of a result's trades, and its entries.

    Parameters
    ----------
    result_dir : Path
        Written by a backtest.
    store, source : Store and Path, optional
        Where the result's bars are, for entry noise.
    before : callable, optional
        As for `run_backtest`: called before the bars are traded again, with the
        id of the analysis.

    Raises
    ------
    SpecError
        If an option is wrong, or an entry can't be spoiled because its
        condition asks for the position.
    DataError
        If the result is not whole, has too few trades, or its bars have
        changed since.
    """
    check_options(options)
    result = open_result(result_dir)
    study_id = study_id_of(result, options)
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
        told = None if before is None else partial(_tell, before, study_id)
        backtest = rerun(result, store, source, calendar, timezone, told)
        kinds["noise"] = noise_paths(
            backtest, options, lambda done, of, label="": progress(2 + done, total, label)
        )
    equity = start * np.cumprod(np.append(1.0, 1.0 + shares))
    return MonteCarlo(
        result, options, study_id, shares, equity,
        float(deepest(equity[None, :])[0]), kinds,
    )  # fmt: skip


def _tell(
    before: Callable[[ReadyBacktest, str], None], study_id: str, ready: ReadyBacktest
) -> None:
    before(ready, study_id)


def study_id_of(result: ResultFiles, options: MonteCarloOptions) -> str:
    """Return the id of an analysis: the same for the same result and options."""
    summary = result.summary
    asked = f"monte_carlo|{summary.run_id}|{summary.data_fingerprint}|{options.describe()}"
    return hashlib.sha256(asked.encode()).hexdigest()[:12]


def rerun(
    result: ResultFiles,
    store: Store,
    source: Path | None,
    calendar: str,
    timezone: str,
    before: Callable[[ReadyBacktest], None] | None = None,
) -> Backtest:
    """Run a result's backtest again; it must come out as it did.

    Raises
    ------
    DataError
        If the bars are other ones by now.
    """
    summary = result.summary
    final = math.nan
    # A summary does not say whether bars before the start warmed indicators up.
    for warmup in (True, False):
        request = BacktestRequest(
            load_document(summary.document.encode()),
            source=source,
            symbols=tuple(summary.instruments),
            start=date.fromisoformat(summary.start),
            end=date.fromisoformat(summary.end),
            cash=summary.starting_cash,
            values=dict(summary.parameters),
            warmup=warmup,
            calendar=calendar,
            timezone=timezone,
        )
        again = run_backtest(request, store, before=before if warmup else None)
        ended = sum(float(one.run.record.equity[-1]) for one in again.sleeves)
        if math.isclose(ended, summary.final_equity, rel_tol=1e-12):
            return again
        final = ended if warmup else final
    raise DataError(
        f"the backtest of {result.directory} ended with {summary.final_equity:,.2f} and ends "
        f"with {final:,.2f} now: its bars or the engine have changed; run it again first"
    )
