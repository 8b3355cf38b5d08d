"""Sweeps over the store: many parameter sets of one strategy, one row for each.

Owns how sets are run and how instruments are added up. A row's figures are
those that a backtest with the same values has, bit for bit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foundation.errors import SpecError
from foundation.progress import Progress, silent
from market_data.store import Store
from research.backtest import (
    ENGINE_VERSION,
    Backtest,
    BacktestRequest,
    portfolio_curve,
    run_instrument,
)
from research.data_impact import bars_used
from research.figures import LOWER_IS_BETTER, CoreFigures, core_figures, sum_headers
from research.parameter_sets import Values, prepare_sets
from strategies.data_use import BarsUsed
from trading import statistics
from trading.expressions.strategy import ResolvedStrategy, bind
from trading.sweep import SweepRuns, run_sweep


@dataclass(frozen=True, slots=True)
class Sweep:
    """A finished sweep, in memory.

    Attributes
    ----------
    request : BacktestRequest
        What all sets share.
    values : mapping
        The values of each varied parameter.
    sets : tuple of mappings
        The sets that were run, in the order of the grid.
    figures : tuple of CoreFigures
        One for each set.
    skipped : tuple of str
        Why sets were left out whose values don't fit together, one line each.
    bars : int
        Bars of all instruments from start to end, without warm-up.
    start, end : str
        First and last session, ISO dates.
    session_equity : float64 array, shape (n_sets, n_sessions)
        At the close of each session, of all instruments together.
    bars_used : tuple of BarsUsed
        Stored bars that were read.
    """

    request: BacktestRequest
    strategy: ResolvedStrategy
    version: str
    fingerprint: str
    sweep_id: str
    values: Values
    sets: tuple[Mapping[str, float], ...]
    figures: tuple[CoreFigures, ...]
    skipped: tuple[str, ...]
    instruments: tuple[str, ...]
    currency: str
    bars: int
    start: str
    end: str
    annualisation: int
    session_equity: NDArray[np.float64]
    bars_used: tuple[BarsUsed, ...] = ()


def sweep_backtests(
    request: BacktestRequest,
    values: Values,
    store: Store,
    *,
    n_random: int = 0,
    seed: int = 0,
    progress: Progress = silent,
) -> Sweep:
    """Run every parameter set over the same bars.

    Parameters
    ----------
    request : BacktestRequest
        As for one backtest; its values are the same in all sets.
    values : mapping
        The values of each varied parameter.
    n_random, seed : int
        Draw so many sets of the grid instead of running all.

    Raises
    ------
    SpecError
        If the document is wrong, a value is one that its parameter doesn't
        allow, or no set fits together.
    DataError
        As for a backtest.
    """
    ready = prepare_sets(request, values, store, n_random=n_random, seed=seed)
    loaded = ready.loaded
    run = _run_added_up if len(loaded) == 1 or _session_ends_agree(loaded) else _run_one_by_one
    figures, equity = run(
        request,
        ready.strategy,
        loaded,
        ready.cash,
        ready.full_sets(),
        ready.annualisation,
        progress,
    )
    return Sweep(
        request,
        ready.strategy,
        ready.version,
        ready.fingerprint,
        _sweep_id(request, ready.version, ready.fingerprint, ready.full_sets()),
        values,
        ready.sets,
        tuple(figures),
        ready.skipped,
        ready.instruments,
        loaded[0].bars.instrument.currency,
        ready.n_bars,
        ready.start,
        ready.end,
        ready.annualisation,
        equity,
        tuple(bars_used(request, loaded)),
    )


def _session_ends_agree(loaded: Sequence[Any]) -> bool:
    """Return whether the figures of several sleeves follow from their session ends.

    So it is for daily and weekly bars, where a session has one bar, when all
    bars of a session open at the same time.
    """
    opened: dict[int, int] = {}
    for one in loaded:
        session = one.bars.session[one.i_start :]
        if bool((np.diff(session) == 0).any()):
            return False
        for day, ts in zip(session.tolist(), one.bars.ts[one.i_start :].tolist(), strict=True):
            if opened.setdefault(day, ts) != ts:
                return False
    return True


def _run_added_up(
    request: BacktestRequest,
    strategy: ResolvedStrategy,
    loaded: Sequence[Any],
    cash: Sequence[float],
    sets: Sequence[Mapping[str, float]],
    annualisation: int,
    progress: Progress,
) -> tuple[list[CoreFigures], NDArray[np.float64]]:
    """Run each instrument's sweep and add the instruments up at session ends."""
    runs: list[SweepRuns] = []
    for i_sleeve, (one, money) in enumerate(zip(loaded, cash, strict=True)):

        def part(done: int, total: int, label: str = "", i_sleeve: int = i_sleeve) -> None:
            progress(i_sleeve * total + done, len(loaded) * total, label)

        runs.append(
            run_sweep(
                strategy,
                one.bars,
                sets,
                cash=money,
                first_bar=one.i_start,
                has_volume=one.bars.has_volume(one.i_start),
                keep_cash=len(loaded) > 1,
                progress=part,
            )
        )
    n_bars = sum(one.bars.n_bars - one.i_start for one in loaded)
    if len(runs) == 1:
        only = runs[0]
        return [
            core_figures(only.headers[k], only.session_equity[k], cash[0], n_bars, annualisation)
            for k in range(len(sets))
        ], only.session_equity
    sessions = np.unique(np.concatenate([run.sessions for run in runs]))
    equity = np.zeros((len(sets), len(sessions)))
    left = np.zeros((len(sets), len(sessions)))
    for run, money in zip(runs, cash, strict=True):
        at = np.searchsorted(run.sessions, sessions, side="right") - 1
        equity += np.where(at >= 0, run.session_equity[:, np.maximum(at, 0)], money)
        left += np.where(at >= 0, run.session_cash[:, np.maximum(at, 0)], money)
    lowest = np.minimum(left.min(axis=1), request.cash)
    return [
        core_figures(
            sum_headers(np.array([run.headers[k] for run in runs])),
            equity[k],
            request.cash,
            n_bars,
            annualisation,
            statistics.deepest_drawdown(equity[k], sessions, request.cash).depth,
            float(lowest[k]),
        )
        for k in range(len(sets))
    ], equity


def _run_one_by_one(
    request: BacktestRequest,
    strategy: ResolvedStrategy,
    loaded: Sequence[Any],
    cash: Sequence[float],
    sets: Sequence[Mapping[str, float]],
    annualisation: int,
    progress: Progress,
) -> tuple[list[CoreFigures], NDArray[np.float64]]:
    """Run a backtest for each set.

    A portfolio's drawdown and lowest cash within the session need every bar of
    all instruments, which a sweep doesn't keep.
    """
    figures, equity = [], []
    for done, values in enumerate(sets):
        progress(done, len(sets), "parameter sets")
        bound = bind(strategy, values)
        sleeves = tuple(
            run_instrument(strategy, bound, one, money)
            for one, money in zip(loaded, cash, strict=True)
        )
        whole = Backtest(
            replace(request, values=values), strategy, bound, "", "", "", sleeves, annualisation
        )
        curve = portfolio_curve(whole)
        ends = np.append(np.flatnonzero(np.diff(curve.session)), len(curve.session) - 1)
        equity.append(curve.equity[ends])
        figures.append(
            core_figures(
                sum_headers(np.concatenate([sleeve.run.state["header"] for sleeve in sleeves])),
                curve.equity[ends],
                request.cash,
                sum(one.bars.n_bars - one.i_start for one in loaded),
                annualisation,
                statistics.deepest_drawdown(curve.equity, curve.ts, request.cash).depth,
                curve.lowest_cash(request.cash),
            )
        )
    progress(len(sets), len(sets), "parameter sets")
    return figures, np.array(equity)


def _sweep_id(
    request: BacktestRequest, version: str, fingerprint: str, sets: Sequence[Mapping[str, float]]
) -> str:
    options = (
        version,
        fingerprint,
        str(request.start),
        str(request.end),
        repr(float(request.cash)),
        str(request.warmup),
        json.dumps([sorted(one.items()) for one in sets]),
        ENGINE_VERSION,
    )
    return hashlib.sha256("|".join(options).encode()).hexdigest()[:12]


def check_figure(figure: str) -> None:
    """Refuse the name of a figure that a row doesn't have."""
    names = [spec.name for spec in fields(CoreFigures)]
    if figure not in names:
        raise SpecError(f"unknown figure {figure!r}", hint=f"there are {', '.join(names)}")


def best_sets(sweep: Sweep, figure: str, n_most: int) -> list[int]:
    """Return the places of the best sets by a figure, best first.

    A drawdown, a cost or a volatility is better when lower; sets for which the
    figure is not defined are left out, and equal ones keep their order.

    Raises
    ------
    SpecError
        If there is no such figure.
    """
    check_figure(figure)
    values = np.array([getattr(one, figure) for one in sweep.figures], np.float64)
    if figure in LOWER_IS_BETTER:
        values = -values
    order = np.argsort(-values, kind="stable")
    return [int(k) for k in order if np.isfinite(values[k])][:n_most]
