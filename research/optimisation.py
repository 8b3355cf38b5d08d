"""Optimisation: a search that learns from its trials which parameter sets to try next.

Optuna's sampler asks for sets in batches, the compiled sweep runs each batch on
all cores over columns that the batch shares, and what came of them is told in
the order of the trials: the same seed gives the same study, whatever thread
was first. A trial runs over growing parts of the bars, and a pruner ends those
that do badly so far; the engine then goes on with the others from where they
stand, so that a pruned trial costs only its part.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foundation.errors import SpecError
from foundation.progress import Progress, silent
from market_data.store import Store
from research.backtest import ENGINE_VERSION, BacktestRequest
from research.deflation import Trials, effective_trials
from research.parameter_sets import PreparedSets, Values, check_values_named, count_sets, load_sets
from research.plateau import QUANTILE, Choice, choose
from research.set_figures import (
    check_objective,
    scores,
    session_sharpes,
    set_figures,
    set_returns,
)
from research.spans import LinkedSets, SetsRun, Span, threads_of
from research.windows import add_up, sum_set_headers
from trading.expressions.strategy import ResolvedStrategy, bind, resolve_strategy
from trading.sweep import groups

if TYPE_CHECKING:
    import optuna

FloatArray = NDArray[np.float64]
Key = tuple[float, ...]

N_TRIALS_MAX = 100_000
_STUDY_NAME = "quarterdeck"  # Hyperband's brackets follow from it, so it is the same always.


class Pruning(StrEnum):
    """Which rule ends trials early."""

    NONE = "none"
    MEDIAN = "median"  # Below the median of the trials before, at the same part.
    PERCENTILE = "percentile"  # In the worst quarter of them.
    HYPERBAND = "hyperband"


class TrialState(StrEnum):
    """What became of a trial."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    REPEATED = "repeated"  # Its set was tried before; nothing was run.
    LEFT_OUT = "left_out"  # Its values don't fit together.
    NEIGHBOUR = "neighbour"  # Run because a trial beside it was to be judged by its plateau.


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimisationOptions:
    """How the search goes.

    Attributes
    ----------
    n_trials : int
        Sets that the sampler asks for, repeated ones included.
    n_batch : int
        Trials that run side by side; the sampler learns between batches.
    n_parts : int
        Growing parts of the sessions after each of which a trial may be pruned.
    robust : bool
        Judge each trial by the lower quartile of its own figure and those of
        its neighbours, one step away in each parameter, which are run too.
    """

    n_trials: int = 200
    n_batch: int = 20
    n_parts: int = 4
    pruning: Pruning = Pruning.MEDIAN
    objective: str = "sharpe"
    n_trades_min: int = 10
    robust: bool = False
    seed: int = 0

    def describe(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        return {
            "n_trials": self.n_trials,
            "n_batch": self.n_batch,
            "n_parts": self.n_parts,
            "pruning": self.pruning.value,
            "objective": self.objective,
            "n_trades_min": self.n_trades_min,
            "robust": self.robust,
            "seed": self.seed,
        }


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One trial as it went.

    Attributes
    ----------
    number : int
        From 0; -1 for a neighbour.
    i_set : int
        Place among the sets that were run; -1 where none was.
    value : float
        What the sampler was told, more is better; NaN where nothing was defined.
    parts : tuple of float
        The score after each part that it ran over.
    """

    number: int
    values: Mapping[str, float]
    state: TrialState
    i_set: int
    value: float
    parts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Optimisation:
    """A finished optimisation, in memory.

    Attributes
    ----------
    records : tuple of TrialRecord
        Every trial, in order, then the neighbours.
    sets : tuple of mappings
        The distinct sets that ran to the end.
    figures : mapping of name to float64 array, shape (n_sets,)
    equity : float64 array, shape (n_sets, n_sessions)
    choice : Choice
        Over `sets`.
    n_pruned, n_left_out, n_repeated : int
    """

    prepared: PreparedSets
    values: Values
    options: OptimisationOptions
    study_id: str
    sessions: NDArray[np.int64]
    records: tuple[TrialRecord, ...]
    sets: tuple[Mapping[str, float], ...]
    figures: Mapping[str, FloatArray]
    equity: FloatArray
    choice: Choice
    trials: Trials

    def count(self, state: TrialState) -> int:
        """Return how many trials ended so."""
        return sum(record.state is state for record in self.records)


def optimise(
    request: BacktestRequest,
    values: Values,
    store: Store,
    options: OptimisationOptions = OptimisationOptions(),
    *,
    progress: Progress = silent,
) -> Optimisation:
    """Search the sets of a grid for good ones.

    Parameters
    ----------
    request : BacktestRequest
        As for one backtest; already kept out of what is locked.
    values : mapping
        The values of each varied parameter, in order.

    Raises
    ------
    SpecError
        If the document or an option is wrong, or no set that was asked for
        fits together or ran to the end.
    DataError
        As for a backtest.
    """
    _check(options)
    if not request.cash > 0.0:
        raise SpecError(f"starting cash must be above 0, got {request.cash:g}", path="cash")
    strategy = resolve_strategy(request.document)
    check_values_named(request, values)
    ordered = {name: tuple(sorted(found)) for name, found in values.items()}
    prepared = load_sets(request, strategy, [_first_fitting(strategy, request, ordered)], (), store)
    search = _Search(prepared, ordered, options)
    search.run(progress)
    return search.finished()


def _check(options: OptimisationOptions) -> None:
    check_objective(options.objective)
    for name, value, most in (
        ("trials", options.n_trials, N_TRIALS_MAX),
        ("batch", options.n_batch, 1000),
        ("parts", options.n_parts, 50),
    ):
        if not 1 <= value <= most:
            raise SpecError(f"must be from 1 to {most:,}, got {value:,}", path=name)


def _first_fitting(
    strategy: ResolvedStrategy, request: BacktestRequest, values: Values
) -> dict[str, float]:
    """Return a set that fits together, which loading the bars needs."""
    middle = {name: found[len(found) // 2] for name, found in values.items()}
    corners = [
        {},
        middle,
        {n: f[0] for n, f in values.items()},
        {n: f[-1] for n, f in values.items()},
    ]
    refusal: SpecError | None = None
    for one in corners:
        try:
            bind(strategy, {**request.values, **one})
        except SpecError as error:
            refusal = error
        else:
            return one
    assert refusal is not None
    raise refusal


@dataclass(slots=True)
class _Known:
    """What is known of a distinct set: all of it, or up to the part where it was pruned."""

    parts: list[float]
    complete: bool
    score: float = math.nan  # Of the whole, without the constraint of trades.
    n_trades: int = 0
    i_set: int = -1


class _Search:
    """The state of a search: what was asked, told and run."""

    def __init__(
        self, prepared: PreparedSets, values: Values, options: OptimisationOptions
    ) -> None:
        self.prepared = prepared
        self.values = values
        self.options = options
        self.sessions = prepared.sessions
        self.known: dict[Key, _Known] = {}
        self.refused: dict[Key, str] = {}
        self.records: list[TrialRecord] = []
        self.neighbours: list[TrialRecord] = []
        self.sets: list[dict[str, float]] = []
        self.headers: list[NDArray[np.void]] = []
        self.equity: list[FloatArray] = []
        self.part_sharpes: dict[Key, float] = {}  # Of pruned sets, over what they ran.
        n = len(self.sessions)
        ends = [max(1, round(n * (k + 1) / options.n_parts)) for k in range(options.n_parts)]
        self.ends = sorted(set(ends))

    def run(self, progress: Progress) -> None:
        """Ask, run and tell until all trials are done."""
        study = _new_study(self.options, len(self.ends))
        done = 0
        progress(0, self.options.n_trials, "trials")
        while done < self.options.n_trials:
            n_batch = min(self.options.n_batch, self.options.n_trials - done)
            asked = [study.ask() for _ in range(n_batch)]
            self._run_batch(study, asked)
            done += n_batch
            progress(done, self.options.n_trials, "trials")

    def _run_batch(self, study: optuna.Study, asked: Sequence[optuna.trial.Trial]) -> None:
        from optuna.trial import TrialState as Told

        chosen = [
            {
                name: found[trial.suggest_int(name, 0, len(found) - 1)]
                for name, found in self.values.items()
            }
            for trial in asked
        ]
        keys = [tuple(one.values()) for one in chosen]
        fresh: dict[Key, tuple[dict[str, float], optuna.trial.Trial]] = {}
        repeated = set()
        for k, (one, key) in enumerate(zip(chosen, keys, strict=True)):
            if key in self.known or key in fresh:
                repeated.add(k)
            elif self._fits(one, key):
                fresh[key] = (one, asked[k])
        self._run_sets([one for one, _ in fresh.values()], [trial for _, trial in fresh.values()])
        if self.options.robust:
            self._run_neighbours(chosen, keys)
        for k, (trial, one, key) in enumerate(zip(asked, chosen, keys, strict=True)):
            if key in self.refused:
                study.tell(trial, state=Told.FAIL)
                self.records.append(
                    TrialRecord(trial.number, one, TrialState.LEFT_OUT, -1, math.nan, ())
                )
                continue
            found = self.known[key]
            value = self._value(one, found)
            state = TrialState.COMPLETE if found.complete else TrialState.PRUNED
            if k in repeated:
                state = TrialState.REPEATED
                for part, score in enumerate(found.parts):
                    if math.isfinite(score):
                        trial.report(score, part + 1)
            if found.complete and math.isfinite(value):
                trial.set_constraint("trades", self.options.n_trades_min - found.n_trades)
                study.tell(trial, value)
            else:
                study.tell(trial, state=Told.PRUNED)
            self.records.append(
                TrialRecord(trial.number, one, state, found.i_set, value, tuple(found.parts))
            )

    def _fits(self, one: Mapping[str, float], key: Key) -> bool:
        if key in self.refused:
            return False
        try:
            bind(self.prepared.strategy, {**self.prepared.request.values, **one})
        except SpecError as error:
            self.refused[key] = str(error)
            return False
        return True

    def _value(self, one: Mapping[str, float], found: _Known) -> float:
        """Return what the sampler is told of a set: its score, or its plateau's."""
        if not found.complete or not self.options.robust:
            return found.score
        around = [found.score]
        for other in self._beside(one):
            known = self.known.get(tuple(other.values()))
            if known is not None:
                around.append(known.score)
        defined = sorted(x if math.isfinite(x) else -math.inf for x in around)
        score = defined[int(QUANTILE * (len(defined) - 1))]
        return score if math.isfinite(score) else math.nan

    def _beside(self, one: Mapping[str, float]) -> list[dict[str, float]]:
        """Return the sets one step away in one parameter."""
        found = []
        for name, values in self.values.items():
            at = values.index(one[name])
            found += [{**one, name: values[to]} for to in (at - 1, at + 1) if 0 <= to < len(values)]
        return found

    def _run_neighbours(self, chosen: Sequence[dict[str, float]], keys: Sequence[Key]) -> None:
        wanted: dict[Key, dict[str, float]] = {}
        for one, key in zip(chosen, keys, strict=True):
            if key in self.known and self.known[key].complete:
                for other in self._beside(one):
                    beside = tuple(other.values())
                    known = self.known.get(beside)
                    # A pruned neighbour has no score of the whole, and so is run again.
                    if (known is None or not known.complete) and self._fits(other, beside):
                        wanted[beside] = other
        if not wanted:
            return
        self._run_sets(list(wanted.values()), [None] * len(wanted))
        for key, one in wanted.items():
            found = self.known[key]
            self.neighbours.append(
                TrialRecord(
                    -1, one, TrialState.NEIGHBOUR, found.i_set, found.score, tuple(found.parts)
                )
            )

    def _run_sets(
        self, sets: Sequence[dict[str, float]], trials: Sequence[optuna.trial.Trial | None]
    ) -> None:
        """Run distinct sets part by part; a set without a trial is never pruned."""
        at = 0
        while at < len(sets):
            runs = _SideBySide(self.prepared, sets[at:], self.sessions)
            n_linked = runs.n_sets
            live: list[int] = list(range(n_linked))
            parts: list[list[float]] = [[] for _ in range(n_linked)]
            for k, end in enumerate(self.ends):
                runs.advance(int(self.sessions[end - 1]))
                headers, equity = runs.so_far(end)
                found = self._scores(headers, equity, int(runs.n_bars))
                is_last = k == len(self.ends) - 1
                kept = []
                for row, i in enumerate(live):
                    parts[i].append(float(found[row]))
                    trial = trials[at + i]
                    if not is_last and trial is not None and math.isfinite(found[row]):
                        trial.report(float(found[row]), k + 1)
                        if trial.should_prune():
                            self._remember_pruned(sets[at + i], parts[i], equity[row])
                            continue
                    kept.append(row)
                if len(kept) < len(live):
                    live = [live[row] for row in kept]
                    runs.keep(np.array(kept, np.int64))
                if not live:
                    break
            if live:
                self._remember(runs, [sets[at + i] for i in live], [parts[i] for i in live])
            at += n_linked

    def _scores(self, headers: NDArray[np.void], equity: FloatArray, n_bars: int) -> FloatArray:
        prepared = self.prepared
        depth = None if len(prepared.loaded) == 1 else _depths(equity, sum(prepared.cash))
        found = set_figures(
            headers, equity, sum(prepared.cash), n_bars, prepared.annualisation, depth
        )
        return scores(found, self.options.objective)

    def _remember_pruned(
        self, one: Mapping[str, float], parts: list[float], equity: FloatArray
    ) -> None:
        self.known[tuple(one.values())] = _Known(parts, complete=False)
        earned = set_returns(equity[None, :], sum(self.prepared.cash))
        # Over few sessions chance makes larger ratios: as much as the root of their number.
        share = len(equity) / len(self.sessions)
        self.part_sharpes[tuple(one.values())] = float(session_sharpes(earned)[0]) * share**0.5

    def _remember(
        self, runs: _SideBySide, sets: Sequence[dict[str, float]], parts: Sequence[list[float]]
    ) -> None:
        headers, equity = runs.finish()
        found = self._scores(headers, equity, int(runs.n_bars))
        for row, one in enumerate(sets):
            # The last part's score is that of the end, where close_at_end may sell.
            parts[row][-1] = float(found[row])
            self.part_sharpes.pop(tuple(one.values()), None)
            self.known[tuple(one.values())] = _Known(
                parts[row], True, float(found[row]), int(headers["n_trades"][row]), len(self.sets)
            )
            self.sets.append(dict(one))
        self.headers.append(headers)
        self.equity.append(equity)

    def finished(self) -> Optimisation:
        """Put together what came of the search."""
        if not self.sets:
            reason = next(iter(self.refused.values()), "every trial was pruned")
            raise SpecError(f"no parameter set ran to the end: {reason}")
        prepared, options = self.prepared, self.options
        headers, equity = np.concatenate(self.headers), np.concatenate(self.equity)
        cash = sum(prepared.cash)
        depth = None if len(prepared.loaded) == 1 else _depths(equity, cash)
        figures = set_figures(headers, equity, cash, prepared.n_bars, prepared.annualisation, depth)
        choice = choose(
            self.values, self.sets, scores(figures, options.objective, options.n_trades_min)
        )
        done = replace(prepared, sets=tuple(self.sets), skipped=self._left_out())
        return Optimisation(
            done,
            self.values,
            options,
            _study_id(done, self.values, options),
            self.sessions,
            (*self.records, *self.neighbours),
            tuple(self.sets),
            figures,
            equity,
            choice,
            _trials(set_returns(equity, cash), list(self.part_sharpes.values())),
        )

    def _left_out(self) -> tuple[str, ...]:
        names = list(self.values)
        return tuple(
            f"{', '.join(f'{n}={v:g}' for n, v in zip(names, key, strict=True))}: {reason}"
            for key, reason in self.refused.items()
        )


class _SideBySide:
    """Sets under way on all instruments, on all cores, stopping at session ends."""

    def __init__(
        self,
        prepared: PreparedSets,
        sets: Sequence[Mapping[str, float]],
        sessions: NDArray[np.int64],
    ) -> None:
        self._prepared = prepared
        self._sessions = sessions
        self._threads = threads_of(None)
        full = [{**prepared.request.values, **one} for one in sets]
        linked: list[LinkedSets] = []
        for one in prepared.loaded:
            linked.append(LinkedSets(prepared.strategy, one.bars, full, threads=self._threads))
            # All instruments run the same sets: as many as fit for each of them.
            full = full[: len(linked[-1])]
        self.n_sets = len(full)
        self._runs: list[list[SetsRun]] = []
        self._order: list[NDArray[np.int64]] = []
        dealt = groups(self.n_sets, self._threads)
        self._rows = [np.arange(self.n_sets)[rows] for rows in dealt]
        for own, one, money in zip(linked, prepared.loaded, prepared.cash, strict=True):
            span = Span(one.i_start, one.bars.n_bars)
            self._runs.append([SetsRun(own, rows.tolist(), span, money) for rows in self._rows])

    @property
    def n_bars(self) -> int:
        """Bars traded so far, of all instruments."""
        return sum(max(run.at for run in runs) - runs[0].span.start for runs in self._runs)

    def advance(self, last_session: int) -> None:
        """Run all sets to the end of a session."""
        cancelled = threading.Event()
        work = []
        for runs, one in zip(self._runs, self._prepared.loaded, strict=True):
            stop = int(np.searchsorted(one.bars.session, last_session, "right"))
            work += [(run, max(stop, run.at)) for run in runs if len(run.plans)]
        with ThreadPoolExecutor(self._threads) as pool:
            waiting = [pool.submit(run.advance, stop, cancelled) for run, stop in work]
            try:
                for job in waiting:
                    job.result()
            except BaseException:
                cancelled.set()
                raise

    def so_far(self, n_sessions: int) -> tuple[NDArray[np.void], FloatArray]:
        """Return headers and equity at the session ends so far, in the order of the sets."""
        return self._collect(n_sessions, lambda run: run.equity_so_far())

    def finish(self) -> tuple[NDArray[np.void], FloatArray]:
        """End all runs; return headers and equity at all session ends."""
        for runs in self._runs:
            for run in runs:
                if len(run.plans):
                    run.finish()
        return self._collect(len(self._sessions), lambda run: run.record.session_equity)

    def _collect(self, n_sessions: int, equity_of: Any) -> tuple[NDArray[np.void], FloatArray]:
        order = np.argsort(np.concatenate(self._rows), kind="stable")
        sessions = self._sessions[:n_sessions]
        headers: list[NDArray[np.void]] = []
        parts: list[tuple[NDArray[np.int64], FloatArray] | None] = []
        for runs, one in zip(self._runs, self._prepared.loaded, strict=True):
            live = [run for run in runs if len(run.plans)]
            headers.append(np.concatenate([run.headers() for run in live])[order])
            if live[0].at == live[0].span.start:
                parts.append(None)  # Its data begins later.
                continue
            equity = np.concatenate([equity_of(run) for run in live])[order]
            own = np.unique(one.bars.session[one.i_start : live[0].at])
            parts.append((own, equity))
        if len(parts) == 1 and parts[0] is not None:
            return headers[0], parts[0][1]
        total = add_up(parts, self._prepared.cash, sessions, len(order))
        return sum_set_headers(headers), total

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Go on with some sets alone, by their place in the order so far."""
        ordered = np.sort(np.concatenate(self._rows))[rows]
        kept = []
        for k, own in enumerate(self._rows):
            stay = np.flatnonzero(np.isin(own, ordered))
            for runs in self._runs:
                runs[k].keep(stay)
            kept.append(own[stay])
        self._rows = kept


def _depths(equity: FloatArray, cash: float) -> FloatArray:
    peak = np.maximum.accumulate(np.maximum(equity, cash), axis=1)
    depth: FloatArray = (1.0 - equity / peak).max(axis=1)
    return depth


def _new_study(options: OptimisationOptions, n_parts: int) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner: optuna.pruners.BasePruner = {
        Pruning.NONE: lambda: optuna.pruners.NopPruner(),
        Pruning.MEDIAN: lambda: optuna.pruners.MedianPruner(n_startup_trials=options.n_batch),
        Pruning.PERCENTILE: lambda: optuna.pruners.PercentilePruner(
            75.0, n_startup_trials=options.n_batch
        ),
        Pruning.HYPERBAND: lambda: optuna.pruners.HyperbandPruner(
            min_resource=1, max_resource=n_parts, reduction_factor=3
        ),
    }[options.pruning]()
    with warnings.catch_warnings():
        # Batches need the liar, and their sampler is the same whatever it is called.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            seed=options.seed,
            n_startup_trials=max(10, options.n_batch),
            constant_liar=True,
            multivariate=True,
        )
        return optuna.create_study(
            study_name=_STUDY_NAME, direction="maximize", sampler=sampler, pruner=pruner
        )


def _trials(returns: FloatArray, part_sharpes: Sequence[float]) -> Trials:
    """Measure all tried sets: pruned ones by what the part that they ran over is worth.

    How alike the sets are is told from those that ran to the end.
    """
    full = session_sharpes(returns)
    sharpes = np.concatenate([full, np.array(part_sharpes, np.float64)])
    known = sharpes[np.isfinite(sharpes)]
    n, n_full = len(known), int(np.isfinite(full).sum())
    effective = effective_trials(returns[np.isfinite(full)]) if n_full else 0.0
    return Trials(
        len(sharpes),
        n,
        effective * n / n_full if n_full else float(n),
        float(known.mean()) if n else math.nan,
        float(known.var(ddof=1)) if n > 1 else math.nan,
    )


def _study_id(prepared: PreparedSets, values: Values, options: OptimisationOptions) -> str:
    request = prepared.request
    asked = (
        "optimisation",
        prepared.version,
        prepared.fingerprint,
        str(request.start),
        str(request.end),
        repr(float(request.cash)),
        str(request.warmup),
        json.dumps({name: list(found) for name, found in values.items()}, sort_keys=True),
        json.dumps(sorted(request.values.items())),
        json.dumps(options.describe(), sort_keys=True),
        ENGINE_VERSION,
    )
    return hashlib.sha256("|".join(asked).encode()).hexdigest()[:12]


def grid_size(study: Optimisation) -> int:
    """Return how many sets there are to choose from."""
    return count_sets(study.values)
