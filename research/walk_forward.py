"""Walk-forward analysis: choose on a window, trade the sessions after it, move on.

What the choice earns on sessions that it has not seen is the only figure of a
tuned strategy that tuning did not make. Each window's sets are swept once in
sample, one of them is chosen by plateau, and it trades the piece out of sample
with warm indicators but flat at its start. The pieces follow each other
without a gap; each begins with the cash that the one before left.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foundation.errors import SpecError
from foundation.progress import Progress, silent
from market_data.store import Store
from research.backtest import ENGINE_VERSION, BacktestRequest, capital_shares, weight_names
from research.deflation import Trials, measure_trials
from research.parameter_sets import PreparedSets, Values, prepare_sets
from research.plateau import Choice, Neighbourhoods, Pick, explain
from research.set_figures import check_objective, is_lower_better, scores, set_returns
from research.spans import threads_of
from research.windows import (
    Anchor,
    SetRuns,
    SetTrack,
    Tracks,
    Window,
    longest_holding,
    make_windows,
    run_windows,
    window_figures,
)

FloatArray = NDArray[np.float64]

# A purge that is measured takes at most this share of a window in sample.
PURGE_SHARE_MAX = 0.25
AUTO_PURGE = -1
# Figures of each window and choice that the result shows.
FIGURES = (
    "total_return", "cagr", "volatility", "sharpe", "max_drawdown", "calmar",
    "probabilistic_sharpe",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkForwardOptions:
    """How windows are cut and how their sets are chosen.

    Attributes
    ----------
    n_in, n_out : int
        Sessions in and out of sample; 0 to be found, four to one.
    purge : int
        Sessions left out between the two; -1 for as many as the longest trade
        of the document's own values spans in the first window.
    objective : str
        A figure of `set_figures.OBJECTIVES`.
    n_trades_min : int
        A set with fewer trades in sample can't be chosen.
    pick : Pick
        Which of a window's sets trades the piece after it.
    """

    n_windows: int = 10
    n_in: int = 0
    n_out: int = 0
    purge: int = AUTO_PURGE
    anchor: Anchor = Anchor.ROLLING
    objective: str = "sharpe"
    n_trades_min: int = 5
    pick: Pick = Pick.PLATEAU
    n_random: int = 0
    seed: int = 0

    def describe(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        return {
            "n_windows": self.n_windows,
            "in_sample_sessions": self.n_in,
            "out_of_sample_sessions": self.n_out,
            "purge_sessions": self.purge,
            "anchor": self.anchor.value,
            "objective": self.objective,
            "n_trades_min": self.n_trades_min,
            "pick": self.pick.value,
            "n_random": self.n_random,
            "seed": self.seed,
        }


@dataclass(frozen=True, slots=True)
class Chain:
    """Pieces out of sample, one after the other, with their capital carried on.

    Attributes
    ----------
    rows : tuple of int
        The set of each window, -1 where none could be chosen: then it stays in cash.
    sessions, equity : arrays, shape (n_sessions,)
    trades : tuple of SetTrack or None
        Each piece, None where nothing was chosen.
    """

    rows: tuple[int, ...]
    sessions: NDArray[np.int64]
    equity: FloatArray
    pieces: tuple[SetTrack | None, ...]
    piece_cash: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class WalkForward:
    """A finished walk-forward analysis, in memory.

    Attributes
    ----------
    in_sample : tuple of SetRuns
        Every set over every window in sample.
    choices : tuple of Choice
        One for each window.
    chains : mapping of name to Chain
        `chosen`, and for comparison the other pick and the document's own values
        (`plateau` or `peak`, `default`).
    purge : int
        Sessions left out, as measured or asked for.
    """

    prepared: PreparedSets
    values: Values
    options: WalkForwardOptions
    study_id: str
    sessions: NDArray[np.int64]
    windows: tuple[Window, ...]
    purge: int
    in_sample: tuple[SetRuns, ...]
    choices: tuple[Choice, ...]
    chains: Mapping[str, Chain]
    trials: Trials

    @property
    def chosen(self) -> Chain:
        """The chain of the choice that was asked for."""
        return self.chains[self.options.pick.value]


def walk_forward(
    request: BacktestRequest,
    values: Values,
    store: Store,
    options: WalkForwardOptions = WalkForwardOptions(),
    *,
    progress: Progress = silent,
) -> WalkForward:
    """Run a walk-forward analysis.

    Parameters
    ----------
    request : BacktestRequest
        As for one backtest; already kept out of what is locked.
    values : mapping
        The values of each varied parameter.

    Raises
    ------
    SpecError
        If the document or an option is wrong, or the sessions are too few.
    DataError
        As for a backtest.
    """
    check_objective(options.objective)
    prepared = prepare_sets(request, values, store, n_random=options.n_random, seed=options.seed)
    return analyse(prepared, values, options, progress=progress)


def analyse(
    prepared: PreparedSets,
    values: Values,
    options: WalkForwardOptions,
    *,
    threads: int | None = None,
    progress: Progress = silent,
) -> WalkForward:
    """Run a walk-forward analysis of sets and bars that are there; see `walk_forward`."""
    threads = threads_of(threads)
    sessions = prepared.sessions
    shares = capital_shares(prepared.request.document, weight_names(prepared.loaded))
    default = dict(prepared.request.values)
    windows, purge = _windows(prepared, sessions, shares, options, threads)
    in_sample = run_windows(
        prepared.strategy,
        prepared.loaded,
        prepared.cash,
        prepared.full_sets(),
        [(int(sessions[w.in_start]), int(sessions[w.in_stop - 1])) for w in windows],
        annualisation=prepared.annualisation,
        threads=threads,
        progress=progress,
    )
    around = Neighbourhoods(values, prepared.sets)
    choices = tuple(
        around.choose(scores(runs.figures, options.objective, options.n_trades_min))
        for runs in in_sample
    )
    rows = {pick.value: tuple(choice.chosen(pick) for choice in choices) for pick in Pick}
    chains = _chains(prepared, sessions, windows, rows, default, shares, threads)
    return WalkForward(
        prepared,
        values,
        options,
        _study_id(prepared, values, options),
        sessions,
        tuple(windows),
        purge,
        tuple(in_sample),
        choices,
        chains,
        _trials(prepared, windows, in_sample, sessions, options),
    )


def _windows(
    prepared: PreparedSets,
    sessions: NDArray[np.int64],
    shares: Sequence[float],
    options: WalkForwardOptions,
    threads: int,
) -> tuple[list[Window], int]:
    def cut(purge: int) -> list[Window]:
        return make_windows(
            len(sessions),
            n_windows=options.n_windows,
            n_in=options.n_in,
            n_out=options.n_out,
            purge=purge,
            anchor=options.anchor,
        )

    if options.purge != AUTO_PURGE:
        return cut(options.purge), options.purge
    first = cut(0)[0]
    default = Tracks(
        prepared.strategy, prepared.loaded, [dict(prepared.request.values)], threads=threads
    )
    # The first window in sample ends before every piece out of sample, so that
    # the length of the purge is no look ahead.
    measured = longest_holding(
        default, 0, int(sessions[first.in_start]), int(sessions[first.in_stop - 1]),
        shares, prepared.request.cash, sessions,
    )  # fmt: skip
    purge = min(measured, int(PURGE_SHARE_MAX * (first.in_stop - first.in_start)))
    if options.n_in and options.n_out:
        needed = options.n_in + options.n_windows * options.n_out
        purge = max(0, min(purge, len(sessions) - needed))
    return cut(purge), purge


def _chains(
    prepared: PreparedSets,
    sessions: NDArray[np.int64],
    windows: Sequence[Window],
    rows: Mapping[str, tuple[int, ...]],
    default: Mapping[str, float],
    shares: Sequence[float],
    threads: int,
) -> dict[str, Chain]:
    """Run the chosen sets of each window, and the default, over the pieces out of sample."""
    full = prepared.full_sets()
    distinct = sorted({row for found in rows.values() for row in found if row >= 0})
    place = {row: k for k, row in enumerate(distinct)}
    few = [full[row] for row in distinct] + [default]
    tracks = Tracks(prepared.strategy, prepared.loaded, few, threads=threads)
    wanted = {**rows, "default": (len(full),) * len(windows)}
    place[len(full)] = len(distinct)
    known: dict[tuple[int, ...], Chain] = {}
    chains = {}
    for name, found in wanted.items():
        if found not in known:
            known[found] = _chain(prepared, sessions, windows, found, place, tracks, shares)
        chains[name] = known[found]
    return chains


def _chain(
    prepared: PreparedSets,
    sessions: NDArray[np.int64],
    windows: Sequence[Window],
    rows: tuple[int, ...],
    place: Mapping[int, int],
    tracks: Tracks,
    shares: Sequence[float],
) -> Chain:
    cash = prepared.request.cash
    pieces: list[SetTrack | None] = []
    starts: list[float] = []
    equity: list[FloatArray] = []
    dates: list[NDArray[np.int64]] = []
    for window, row in zip(windows, rows, strict=True):
        dates.append(sessions[window.out_start : window.out_stop])
        starts.append(cash)
        if row < 0 or not cash > 0.0:
            pieces.append(None)
            equity.append(np.full(window.out_stop - window.out_start, cash))
            continue
        # What is held at a piece's end is sold there, with costs: the next one begins flat.
        piece = tracks.run(
            place[row], int(dates[-1][0]), int(dates[-1][-1]), shares, cash, close_at_end=True
        )
        pieces.append(piece)
        at = np.searchsorted(piece.sessions, dates[-1], side="right") - 1
        equity.append(np.where(at >= 0, piece.equity[np.maximum(at, 0)], cash))
        cash = float(equity[-1][-1])
    return Chain(rows, np.concatenate(dates), np.concatenate(equity), tuple(pieces), tuple(starts))


def _trials(
    prepared: PreparedSets,
    windows: Sequence[Window],
    in_sample: Sequence[SetRuns],
    sessions: NDArray[np.int64],
    options: WalkForwardOptions,
) -> Trials:
    """Measure the sets over all sessions in sample, each session once.

    Of a window only the sessions after the window before it are taken, except
    of the first.
    """
    parts = []
    seen = -1
    for window, runs in zip(windows, in_sample, strict=True):
        first = int(sessions[max(window.in_start, seen)])
        returns = set_returns(runs.equity, sum(prepared.cash))
        parts.append(returns[:, runs.sessions >= first])
        seen = window.in_stop
    return measure_trials(np.concatenate(parts, axis=1))


def _study_id(prepared: PreparedSets, values: Values, options: WalkForwardOptions) -> str:
    request = prepared.request
    asked = (
        "walk_forward",
        prepared.version,
        prepared.fingerprint,
        str(request.start),
        str(request.end),
        repr(float(request.cash)),
        str(request.warmup),
        json.dumps([sorted(one.items()) for one in prepared.full_sets()]),
        json.dumps(options.describe(), sort_keys=True),
        ENGINE_VERSION,
    )
    return hashlib.sha256("|".join(asked).encode()).hexdigest()[:12]


# What came of it.


def chain_figures(study: WalkForward, chain: Chain) -> dict[str, float]:
    """Return the figures of the pieces together; the drawdown is that of session ends."""
    found = window_figures(
        chain.equity, study.prepared.request.cash, chain.sessions, study.prepared.annualisation
    )
    return {**found, "n_trades": float(sum(len(one.trades) for one in chain.pieces if one))}


def piece_figures(study: WalkForward, chain: Chain, i_window: int) -> dict[str, float]:
    """Return the figures of one piece out of sample."""
    window = study.windows[i_window]
    start = window.out_start - study.windows[0].out_start
    part = slice(start, start + window.out_stop - window.out_start)
    piece = chain.pieces[i_window]
    found = window_figures(
        chain.equity[part], chain.piece_cash[i_window], chain.sessions[part],
        study.prepared.annualisation,
    )  # fmt: skip
    return {**found, "n_trades": float(len(piece.trades)) if piece else 0.0}


def efficiency(study: WalkForward, chain: Chain) -> float:
    """Return walk-forward efficiency: yearly return out of sample over that in sample.

    The growth of the pieces together over the mean growth of the chosen sets
    in sample; NaN where the latter is not above 0. Pardo (2008), The
    Evaluation and Optimization of Trading Strategies, chapter 11.
    """
    inside = [
        float(runs.figures["cagr"][row])
        for runs, row in zip(study.in_sample, chain.rows, strict=True)
        if 0 <= row < len(study.prepared.sets)
    ]
    if not inside:
        return math.nan
    mean = float(np.mean(inside))
    return chain_figures(study, chain)["cagr"] / mean if mean > 0.0 else math.nan


def stability(study: WalkForward, chain: Chain) -> dict[str, dict[str, float]]:
    """Return how steady each parameter was from window to window.

    Returns
    -------
    dict of parameter to dict
        `stability`: 1 less the mean step between windows as a share of the
        parameter's range of values, 1 when it never moved; `share_within_one_step`
        of the moves; `lowest`, `highest` and `median` value.
    """
    found = {}
    rows = [row for row in chain.rows if row >= 0]
    for name, values in study.values.items():
        ordered = sorted(values)
        places = np.array([ordered.index(study.prepared.sets[row][name]) for row in rows])
        steps = np.abs(np.diff(places))
        chosen = [study.prepared.sets[row][name] for row in rows]
        found[name] = {
            "stability": 1.0 - float(steps.mean()) / max(len(ordered) - 1, 1)
            if len(steps)
            else math.nan,
            "share_within_one_step": float((steps <= 1).mean()) if len(steps) else math.nan,
            "lowest": min(chosen, default=math.nan),
            "highest": max(chosen, default=math.nan),
            "median": float(np.median(chosen)) if chosen else math.nan,
        }
    return found


def why(study: WalkForward, i_window: int) -> str:
    """Say why a window's set was chosen."""
    objective = study.options.objective
    sign = -1.0 if is_lower_better(objective) else 1.0
    return explain(study.choices[i_window], study.prepared.sets, objective, sign)


def require_window(study: WalkForward) -> None:
    """Refuse a study in which no window had a set to choose.

    Raises
    ------
    SpecError
        Naming what the sets would have needed.
    """
    if all(row < 0 for row in study.chosen.rows):
        raise SpecError(
            f"in no window a set has a {study.options.objective} and at least "
            f"{study.options.n_trades_min} trades",
            hint="use longer windows, or ask for fewer trades with --min-trades",
        )
