"""Putting a study on record, and what its figures are worth given all that was tried."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from foundation.clock import Clock
from market_data.store import Store
from research.backtest import ENGINE_VERSION, BacktestRequest
from research.deflation import Trials, benchmark_sharpe, deflated_sharpe, pool
from research.holdout import describe_locks, instruments_of, locks_of, names_of
from strategies.data_use import BarsUsed, RunKind, record_bars_used
from strategies.studies import LockedPeriod, Study, StudyKind, list_studies, record_study
from strategies.versions import save_version
from trading import statistics
from trading.document import canonical


@dataclass(frozen=True, slots=True)
class Standing:
    """What was tried of a strategy on its data, this study included.

    Attributes
    ----------
    own, all : Trials
        Of this study, and of all studies of the strategy's versions that share
        an instrument and the timeframe with it.
    n_studies : int
    locks : tuple of LockedPeriod
        Locked periods of that data, with every opening.
    """

    own: Trials
    all: Trials
    n_studies: int
    locks: tuple[LockedPeriod, ...] = ()

    def describe(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "n_studies": self.n_studies,
            "n_sets_tried_here": self.own.n_sets,
            "n_sets_tried": self.all.n_sets,
            "n_effective_here": self.own.n_effective,
            "n_effective": self.all.n_effective,
            "session_sharpe_mean": _known(self.all.sharpe_mean),
            "session_sharpe_variance": _known(self.all.sharpe_variance),
            "locked_periods": describe_locks(self.locks),
        }


def alone(own: Trials) -> Standing:
    """Return the standing of a study that nothing is on record beside."""
    return Standing(own, own, 1)


def put_on_record(
    engine: Engine,
    store: Store,
    *,
    study_id: str,
    kind: StudyKind,
    request: BacktestRequest,
    version: str,
    fingerprint: str,
    options: Mapping[str, Any],
    seed: int,
    trials: Trials,
    used: Sequence[BarsUsed],
    directory: str,
    author: str = "",
    clock: Clock | None = None,
) -> Standing:
    """Store a study, before its result is shown, and count all that was tried so far.

    Raises
    ------
    DatabaseError, DataError
        If it can't be stored.
    """
    document = request.document
    instruments = instruments_of(request)
    save_version(
        engine, name=document.name, document=canonical(document), author=author, clock=clock
    )
    record_study(
        engine,
        Study(
            study_id=study_id,
            kind=kind,
            version_hash=version,
            instruments=instruments,
            timeframe=document.timeframe,
            data_fingerprint=fingerprint,
            engine_version=ENGINE_VERSION,
            options=options,
            seed=seed,
            n_sets=trials.n_sets,
            n_with_sharpe=trials.n_with_sharpe,
            n_effective=trials.n_effective,
            sharpe_mean=_known(trials.sharpe_mean),
            sharpe_variance=_known(trials.sharpe_variance),
            result_directory=directory,
        ),
        clock=clock,
    )
    runs = RunKind.SWEEP if kind is StudyKind.SWEEP else RunKind.STUDY
    record_bars_used(engine, runs, study_id, used)
    # A study of the same shares under another ticker tried them, too.
    studies = list_studies(
        engine,
        name=document.name,
        instruments=sorted(names_of(instruments, store)),
        timeframe=document.timeframe,
    )
    return Standing(
        trials,
        pool([trials_of(one) for one in studies]),
        len(studies),
        tuple(locks_of(engine, request, store)),
    )


def trials_of(study: Study) -> Trials:
    """Return a stored study's trials."""
    return Trials(
        study.n_sets,
        study.n_with_sharpe,
        study.n_effective,
        math.nan if study.sharpe_mean is None else study.sharpe_mean,
        math.nan if study.sharpe_variance is None else study.sharpe_variance,
    )


def judge(
    session_returns: NDArray[np.float64], standing: Standing, annualisation: int
) -> dict[str, float | None]:
    """Return a curve's Sharpe ratio beside luck's, and how likely it is more than luck.

    Parameters
    ----------
    session_returns : float64 array, shape (n_sessions,)

    Returns
    -------
    dict
        `sharpe` and `luck_sharpe` (what the best of all trials without skill
        is expected to have) a year; `probabilistic_sharpe`, `deflated_sharpe`
        by all trials on record and `deflated_sharpe_effective` by their
        effective number; None where not defined.
    """
    year = math.sqrt(annualisation)
    return {
        "sharpe": _known(statistics.sharpe(session_returns, 0.0, annualisation)),
        "luck_sharpe": _known(benchmark_sharpe(standing.all) * year),
        "probabilistic_sharpe": _known(statistics.probabilistic_sharpe(session_returns)),
        "deflated_sharpe": _known(deflated_sharpe(session_returns, standing.all)),
        "deflated_sharpe_effective": _known(
            statistics.probabilistic_sharpe(
                session_returns, benchmark_sharpe(standing.all, effective=True)
            )
        ),
    }


def notes_of(standing: Standing, cut: str = "") -> list[str]:
    """Return sentences that the reader of a study must know."""
    from research.holdout import opened_words

    notes: list[str] = []
    if cut:
        notes.append(f"{cut[:1].upper()}{cut[1:]}.")
    for one in standing.locks:
        notes.append(
            f"Sessions from {one.first_session} on are locked for {', '.join(one.instruments)}: "
            f"{opened_words(len(one.openings))}."
        )
    if not standing.locks:
        notes.append(
            "No last period is locked: nothing is left that no choice has seen. "
            "`quarterdeck holdout lock` keeps one."
        )
    return notes


def known_record(record: Mapping[str, float]) -> dict[str, float | None]:
    """Return figures as JSON values: None where one is not defined."""
    return {name: _known(value) for name, value in record.items()}


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
