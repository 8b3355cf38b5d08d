"""Studies from request to folder: kept out of locked periods, run, put on record, written.

What a command and a Dagster asset do alike. A study goes on record before its
files are written, so that no result is seen whose trials are not counted; one
that is interrupted leaves neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from foundation.progress import Progress, silent
from market_data.store import Store
from research.backtest import BacktestRequest, ReadyBacktest
from research.data_impact import bars_used
from research.deflation import Trials
from research.holdout import guard, record_looks, require_unlocked
from research.monte_carlo import MonteCarlo, monte_carlo
from research.monte_carlo_files import MONTE_CARLO_FILE, write_monte_carlo
from research.monte_carlo_paths import MonteCarloOptions
from research.optimisation import Optimisation, OptimisationOptions, optimise
from research.optimisation_files import OPTIMISATION_FILE, write_optimisation
from research.parameter_sets import PreparedSets, Values
from research.places import refuse_foreign_directory
from research.study_record import Standing, put_on_record
from research.sweep_choice import (
    ChoiceOptions,
    describe_choice,
    plateau_column,
    sweep_choice,
    sweep_trials,
)
from research.sweep_files import SWEEP_FILE, write_sweep
from research.sweep_page import sweep_html
from research.sweeping import Sweep, sweep_backtests
from research.walk_forward import WalkForward, WalkForwardOptions, require_window, walk_forward
from research.walk_forward_files import WALK_FORWARD_FILE, write_walk_forward
from strategies.data_use import BarsUsed
from strategies.studies import StudyKind


@dataclass(frozen=True, slots=True)
class Written[T]:
    """A study that is on record and on disk.

    Attributes
    ----------
    study : Sweep, WalkForward, Optimisation or MonteCarlo
    about : dict
        The content of its JSON file.
    directory : Path
    """

    study: T
    about: dict[str, Any]
    directory: Path


def run_walk_forward(
    engine: Engine,
    request: BacktestRequest,
    values: Values,
    store: Store,
    options: WalkForwardOptions,
    *,
    home: Path,
    out: Path | None = None,
    author: str = "",
    progress: Progress = silent,
) -> Written[WalkForward]:
    """Run a walk-forward analysis, put it on record and write it.

    Raises
    ------
    SpecError, DataError
        As for `walk_forward`; if the request asks for locked sessions, no
        window had a set to choose, or the folder holds something else.
    """
    refuse_foreign_directory(out, WALK_FORWARD_FILE)
    guarded = guard(engine, request, store)
    study = walk_forward(guarded.request, values, store, options, progress=progress)
    require_window(study)
    directory = _directory(out, home / "studies", study.prepared.strategy.name, study.study_id)
    standing = _put_on_record(
        engine, store, StudyKind.WALK_FORWARD, study.study_id, study.prepared, values,
        options.describe(), options.seed, study.trials, _used(study.prepared), directory, author,
    )  # fmt: skip
    about = write_walk_forward(study, standing, directory, cut=guarded.note)
    return Written(study, about, directory)


def run_optimisation(
    engine: Engine,
    request: BacktestRequest,
    values: Values,
    store: Store,
    options: OptimisationOptions,
    *,
    home: Path,
    out: Path | None = None,
    author: str = "",
    progress: Progress = silent,
) -> Written[Optimisation]:
    """Run an optimisation, put it on record and write it.

    Raises
    ------
    SpecError, DataError
        As for `optimise`; if the request asks for locked sessions, or the
        folder holds something else.
    """
    refuse_foreign_directory(out, OPTIMISATION_FILE)
    guarded = guard(engine, request, store)
    study = optimise(guarded.request, values, store, options, progress=progress)
    directory = _directory(out, home / "studies", study.prepared.strategy.name, study.study_id)
    standing = _put_on_record(
        engine, store, StudyKind.OPTIMISATION, study.study_id, study.prepared, values,
        options.describe(), options.seed, study.trials, _used(study.prepared), directory, author,
    )  # fmt: skip
    about = write_optimisation(study, standing, directory, cut=guarded.note)
    return Written(study, about, directory)


def run_recorded_sweep(
    engine: Engine,
    request: BacktestRequest,
    values: Values,
    store: Store,
    choice: ChoiceOptions,
    *,
    n_random: int = 0,
    seed: int = 0,
    home: Path,
    out: Path | None = None,
    author: str = "",
    progress: Progress = silent,
) -> Written[Sweep]:
    """Run a sweep, put it on record and write it with its choice.

    Raises
    ------
    SpecError, DataError
        As for `sweep_backtests`; if the request asks for locked sessions, or
        the folder holds something else.
    """
    refuse_foreign_directory(out, SWEEP_FILE)
    guarded = guard(engine, request, store)
    study = sweep_backtests(
        guarded.request, values, store, n_random=n_random, seed=seed, progress=progress
    )
    directory = _directory(out, home / "sweeps", study.strategy.name, study.sweep_id)
    standing = _put_on_record(
        engine, store, StudyKind.SWEEP, study.sweep_id, study, values, {"n_random": n_random},
        seed, sweep_trials(study), study.bars_used, directory, author,
    )  # fmt: skip
    found = sweep_choice(study, choice)
    described = describe_choice(study, found, choice, standing, guarded.note)
    about = write_sweep(
        study, directory, choice=described, plateau=plateau_column(found, choice),
        page=sweep_html(study, found, choice, standing, described),
    )  # fmt: skip
    return Written(study, about, directory)


def run_monte_carlo(
    engine: Engine,
    result_dir: Path,
    store: Store,
    options: MonteCarloOptions,
    *,
    home: Path,
    out: Path | None = None,
    source: Path | None = None,
    calendar: str = "",
    timezone: str = "",
    author: str = "",
    progress: Progress = silent,
) -> Written[MonteCarlo]:
    """Vary a result and write what came of it; a look at locked sessions goes on record first.

    It tries no sets, so that it adds none to the record of trials.

    Raises
    ------
    SpecError, DataError
        As for `monte_carlo`; if the folder holds something else.
    """
    refuse_foreign_directory(out, MONTE_CARLO_FILE)

    def before(ready: ReadyBacktest, study_id: str) -> None:
        record_looks(
            engine, ready, store,
            _directory(out, home / "studies", ready.strategy.name, study_id),
            result_id=study_id, by=author, reason="Monte Carlo over the locked sessions",
        )  # fmt: skip

    study = monte_carlo(
        result_dir, store, options, source=source, calendar=calendar, timezone=timezone,
        before=before, progress=progress,
    )  # fmt: skip
    directory = _directory(out, home / "studies", study.result.summary.strategy, study.study_id)
    return Written(study, write_monte_carlo(study, directory), directory)


def _directory(out: Path | None, root: Path, strategy: str, study_id: str) -> Path:
    if out is None:
        return root / strategy / study_id
    return out.expanduser().absolute()


def _used(prepared: PreparedSets) -> list[BarsUsed]:
    return bars_used(prepared.request, prepared.loaded)


def _put_on_record(
    engine: Engine,
    store: Store,
    kind: StudyKind,
    study_id: str,
    ran: PreparedSets | Sweep,
    values: Values,
    options: Mapping[str, Any],
    seed: int,
    trials: Trials,
    used: Sequence[BarsUsed],
    directory: Path,
    author: str,
) -> Standing:
    """Put a study on record, unless what it saw was locked while it ran."""
    require_unlocked(engine, ran.request, store, date.fromisoformat(ran.end))
    return put_on_record(
        engine,
        store,
        study_id=study_id,
        kind=kind,
        request=ran.request,
        version=ran.version,
        fingerprint=ran.fingerprint,
        options=_options(ran.request, values, options),
        seed=seed,
        trials=trials,
        used=used,
        directory=str(directory),
        author=author,
    )


def _options(request: BacktestRequest, values: Values, more: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was asked for, as JSON values."""
    return {
        "start": None if request.start is None else request.start.isoformat(),
        "end": None if request.end is None else request.end.isoformat(),
        "cash": request.cash,
        "fixed": dict(request.values),
        "values": {name: list(found) for name, found in values.items()},
        "warmup": request.warmup,
        "bars": "store" if request.source is None else str(request.source),
        **more,
    }
