"""Sweeps over the store: many parameter sets of one strategy, one row for each.

Owns which sets there are, how instruments are added up and the files
``sweep.parquet`` and ``sweep.json``. A row's figures are those that a backtest
with the same values has, bit for bit.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from foundation.errors import SpecError
from foundation.files import atomic_directory
from foundation.log_file import note
from foundation.progress import Progress, silent
from market_data.loading import LoadedBars
from market_data.store import Store
from research.arrow_columns import numbers, table_of
from research.backtest import (
    ENGINE_VERSION,
    Backtest,
    BacktestRequest,
    capital_shares,
    check_currencies,
    load_instrument,
    portfolio_curve,
    run_instrument,
    weight_names,
)
from research.data_impact import bars_used
from research.figures import LOWER_IS_BETTER, CoreFigures, core_figures, sum_headers
from strategies.data_use import BarsUsed
from trading import statistics
from trading.document import StrategyDocument, canonical, check_value, check_values, version_hash
from trading.expressions.strategy import ResolvedStrategy, bind, resolve_strategy
from trading.sweep import SweepRuns, run_sweep, sessions_per_year

SWEEP_FILE = "sweep.json"
ROWS_FILE = "sweep.parquet"
# More rows than a person or a heat map can use, and about as much as fits in memory.
N_SETS_MAX = 200_000

Values = Mapping[str, tuple[float, ...]]


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


# Which sets.


def read_values(text: str) -> tuple[float, ...]:
    """Return the values that ``5:30:5`` (both ends included) or ``20,25,30`` names.

    Raises
    ------
    SpecError
        If the text is neither, or a step leads nowhere.

    Examples
    --------
    >>> read_values("0.1:0.3:0.1")
    (0.1, 0.2, 0.3)
    >>> read_values("20,25")
    (20.0, 25.0)
    """
    try:
        if ":" not in text:
            found = tuple(float(part) for part in text.split(","))
        else:
            # In decimals, because a value must be the one that a person would type.
            low, high, step = (Decimal(part.strip()) for part in text.split(":"))
            if not step > 0 or high < low:
                raise SpecError(f"{text!r} must be low:high:step with low <= high and step > 0")
            n_steps = (high - low) // step
            if n_steps >= N_SETS_MAX:
                raise SpecError(f"{text!r} has more than {N_SETS_MAX:,} values")
            found = tuple(float(low + i * step) for i in range(int(n_steps) + 1))
    except (ValueError, InvalidOperation):
        raise SpecError(f"{text!r} is neither low:high:step nor numbers with commas") from None
    return tuple(dict.fromkeys(found))


def declared_values(document: StrategyDocument) -> dict[str, tuple[float, ...]]:
    """Return the values of every parameter that states low, high and step.

    Raises
    ------
    SpecError
        If there is none.
    """
    found = {
        name: read_values(f"{p.low!r}:{p.high!r}:{p.step!r}")
        for name, p in document.parameters.items()
        if p.low is not None and p.high is not None and p.step is not None
    }
    if not found:
        raise SpecError("no parameter states low, high and step to sweep over", path="parameters")
    return found


def count_sets(values: Values) -> int:
    """Return the size of the grid."""
    total = 1
    for found in values.values():
        total *= len(found)
    return total


def choose_sets(values: Values, *, n_random: int = 0, seed: int = 0) -> list[dict[str, float]]:
    """Return the whole grid, or a number of its sets drawn without repetition.

    The last parameter varies fastest; drawn sets keep the grid's order.

    Raises
    ------
    SpecError
        If there are too many, or less than one is asked for.
    """
    names, total = list(values), count_sets(values)
    if n_random < 0:
        raise SpecError(f"the number of random sets must be above 0, got {n_random}")
    n_sets = min(n_random, total) if n_random else total
    if n_sets > N_SETS_MAX:
        raise SpecError(
            f"the grid has {n_sets:,} sets, at most {N_SETS_MAX:,} can be run at once",
            hint="draw some of them at random",
        )
    if n_sets == total:
        grid: Iterator[tuple[float, ...]] = itertools.product(*values.values())
        return [dict(zip(names, row, strict=True)) for row in grid]
    drawn = sorted(random.Random(seed).sample(range(total), n_sets))
    return [_set_at(values, number) for number in drawn]


def _set_at(values: Values, number: int) -> dict[str, float]:
    """Return one set of the grid by its place."""
    found = {}
    for name in reversed(list(values)):
        number, i_value = divmod(number, len(values[name]))
        found[name] = values[name][i_value]
    return {name: found[name] for name in values}


# Running.


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


@dataclass(frozen=True, slots=True)
class PreparedSets:
    """Parameter sets that fit together, and the bars that they shall run over.

    Attributes
    ----------
    sets : tuple of mappings
        What varies, in the order of the grid.
    skipped : tuple of str
        Why sets were left out, one line each.
    cash : tuple of float
        Starting cash of each instrument.
    """

    request: BacktestRequest
    strategy: ResolvedStrategy
    version: str
    fingerprint: str
    sets: tuple[Mapping[str, float], ...]
    skipped: tuple[str, ...]
    loaded: tuple[LoadedBars, ...]
    cash: tuple[float, ...]
    annualisation: int

    @property
    def instruments(self) -> tuple[str, ...]:
        """Symbols in the order of the bars."""
        return tuple(one.bars.instrument.symbol for one in self.loaded)

    @property
    def n_bars(self) -> int:
        """Bars of all instruments, without warm-up."""
        return sum(one.bars.n_bars - one.i_start for one in self.loaded)

    @property
    def sessions(self) -> NDArray[np.int64]:
        """Dates of all traded sessions, as days since 1970-01-01."""
        return np.unique(np.concatenate([one.bars.session[one.i_start :] for one in self.loaded]))

    @property
    def start(self) -> str:
        """First traded session, ISO date."""
        return _day(min(int(one.bars.session[one.i_start]) for one in self.loaded))

    @property
    def end(self) -> str:
        """Last traded session, ISO date."""
        return _day(max(int(one.bars.session[-1]) for one in self.loaded))

    def full_sets(self) -> list[Mapping[str, float]]:
        """Return the sets with the values that all share."""
        return [{**self.request.values, **one} for one in self.sets]


def prepare_sets(
    request: BacktestRequest,
    values: Values,
    store: Store,
    *,
    n_random: int = 0,
    seed: int = 0,
) -> PreparedSets:
    """Choose the sets, leave out those that don't fit, and load the bars.

    Raises
    ------
    SpecError, DataError
        As for `sweep_backtests`.
    """
    if not request.cash > 0.0:
        raise SpecError(f"starting cash must be above 0, got {request.cash:g}", path="cash")
    strategy = resolve_strategy(request.document)
    check_values_named(request, values)
    sets, skipped = _fitting(
        strategy, request.values, choose_sets(values, n_random=n_random, seed=seed)
    )
    return load_sets(request, strategy, sets, skipped, store)


def load_sets(
    request: BacktestRequest,
    strategy: ResolvedStrategy,
    sets: Sequence[Mapping[str, float]],
    skipped: Sequence[str],
    store: Store,
) -> PreparedSets:
    """Load the bars that sets which fit together shall run over; the first set tells which.

    Raises
    ------
    SpecError, DataError
        As for a backtest.
    """
    symbols = request.symbols or strategy.instruments
    bound = bind(strategy, {**request.values, **sets[0]})
    loaded = [
        load_instrument(request, strategy, bound, symbol, store) for symbol in symbols or ("",)
    ]
    check_currencies(loaded)
    prints = "".join(f"{one.bars.instrument.symbol}:{one.fingerprint};" for one in loaded)
    return PreparedSets(
        request,
        strategy,
        version_hash(request.document),
        hashlib.sha256(prints.encode()).hexdigest(),
        tuple(sets),
        tuple(skipped),
        tuple(loaded),
        tuple(
            share * request.cash for share in capital_shares(request.document, weight_names(loaded))
        ),
        max(sessions_per_year(one.bars) for one in loaded),
    )


def _day(days: int) -> str:
    return str(np.datetime64(days, "D"))


def check_values_named(request: BacktestRequest, values: Values) -> None:
    """Refuse unknown parameters and single values that are not allowed."""
    if not values:
        raise SpecError("a sweep needs at least one parameter to vary")
    check_values(request.document, request.values)
    check_values(request.document, {name: found[0] for name, found in values.items()})
    for name, found in values.items():
        for value in found:
            check_value(request.document.parameters[name], value, f"parameters.{name}")


def _fitting(
    strategy: ResolvedStrategy, fixed: Mapping[str, float], sets: list[dict[str, float]]
) -> tuple[list[dict[str, float]], list[str]]:
    """Leave out sets whose values don't fit together, such as fast above slow."""
    kept, skipped = [], []
    for one in sets:
        try:
            bind(strategy, {**fixed, **one})
        except SpecError as error:
            skipped.append(f"{', '.join(f'{k}={v:g}' for k, v in one.items())}: {error}")
        else:
            kept.append(one)
    if not kept:
        raise SpecError(f"no parameter set fits together: {skipped[0]}")
    return kept, skipped


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


# Files.


def write_sweep(
    sweep: Sweep,
    directory: Path,
    *,
    choice: Mapping[str, Any] | None = None,
    plateau: NDArray[np.float64] | None = None,
) -> dict[str, Any]:
    """Write ``sweep.parquet`` and ``sweep.json``, both or none.

    Parameters
    ----------
    choice : mapping, optional
        What was chosen and what it is worth, as JSON values; see `research.sweep_choice`.
    plateau : float64 array, shape (n_sets,), optional
        What each set's neighbourhood is worth, a column of its own.

    Returns
    -------
    dict
        The content of ``sweep.json``.

    Raises
    ------
    DataError
        If the disk is full or the directory can't be written; what was there
        before stays whole.
    """
    about = describe_sweep(sweep)
    if choice is not None:
        about["choice"] = dict(choice)
    with atomic_directory(directory) as partial:
        pq.write_table(
            sweep_table(sweep, plateau),
            partial / ROWS_FILE,
            compression="zstd",
            store_schema=False,
        )
        text = json.dumps(about, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        (partial / SWEEP_FILE).write_text(text, "utf-8")
    note(
        strategy=sweep.strategy.name,
        sweep_id=sweep.sweep_id,
        bars=sweep.bars,
        sets=len(sweep.sets),
        directory=str(directory),
    )
    return about


def sweep_table(sweep: Sweep, plateau: NDArray[np.float64] | None = None) -> pa.Table:
    """Return one row for each set: its number, its values, its figures.

    With a choice, what its neighbourhood is worth too. What is not defined is
    null.
    """
    columns: dict[str, pa.Array | NDArray[Any]] = {
        "set": np.arange(1, len(sweep.sets) + 1, dtype=np.int64)
    }
    for name in sweep.values:
        columns[name] = numbers(np.array([one[name] for one in sweep.sets], np.float64))
    records = [one.as_record() for one in sweep.figures]
    for spec in fields(CoreFigures):
        kind = pa.int64() if spec.name.startswith("n_") else pa.float64()
        # A parameter may have a figure's name; the parameter keeps it.
        name = f"figure_{spec.name}" if spec.name in columns else spec.name
        columns[name] = pa.array([record[spec.name] for record in records], kind)
    if plateau is not None:
        around = pa.array([x if np.isfinite(x) else None for x in plateau.tolist()], pa.float64())
        columns.setdefault("plateau", around)
    return table_of(columns)


def describe_sweep(sweep: Sweep) -> dict[str, Any]:
    """Return what ``sweep.json`` says: what was run, on what, and the best set by Sharpe."""
    request = sweep.request
    best = best_sets(sweep, "sharpe", 1)
    return {
        "strategy": sweep.strategy.name,
        "version_hash": sweep.version,
        "data_fingerprint": sweep.fingerprint,
        "engine_version": ENGINE_VERSION,
        "sweep_id": sweep.sweep_id,
        "instruments": list(sweep.instruments),
        "currency": sweep.currency,
        "timeframe": sweep.strategy.timeframe,
        "start": sweep.start,
        "end": sweep.end,
        "bars": sweep.bars,
        "starting_cash": request.cash,
        "annualisation": sweep.annualisation,
        "parameters": list(sweep.values),
        "values": {name: list(found) for name, found in sweep.values.items()},
        "fixed": dict(request.values),
        "n_sets": len(sweep.sets),
        "n_grid": count_sets(sweep.values),
        "n_skipped": len(sweep.skipped),
        "skipped": list(sweep.skipped[:20]),
        "best": None if not best else {**sweep.sets[best[0]], **sweep.figures[best[0]].as_record()},
        "document": canonical(request.document).decode(),
    }


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
