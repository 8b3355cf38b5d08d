"""Choosing among the sets of a sweep, and what the choice is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from research.deflation import Trials, measure_trials
from research.figures import LOWER_IS_BETTER
from research.plateau import Choice, choose, explain
from research.set_figures import scores, set_returns
from research.study_record import Standing, judge, notes_of
from research.sweeping import Sweep, check_figure


@dataclass(frozen=True, slots=True)
class ChoiceOptions:
    """What a set of a sweep is chosen by, and how many trades it must have."""

    objective: str = "sharpe"
    n_trades_min: int = 0


def sweep_choice(sweep: Sweep, options: ChoiceOptions) -> Choice:
    """Choose a plateau, and find the peak.

    Raises
    ------
    SpecError
        If there is no such figure.
    """
    check_figure(options.objective)
    found = {
        name: np.array([getattr(one, name) for one in sweep.figures], np.float64)
        for name in {options.objective, "n_trades"}
    }
    return choose(sweep.values, sweep.sets, scores(found, options.objective, options.n_trades_min))


def sweep_trials(sweep: Sweep) -> Trials:
    """Measure a sweep's sets as trials."""
    return measure_trials(set_returns(sweep.session_equity, sweep.request.cash))


def describe_choice(
    sweep: Sweep, choice: Choice, options: ChoiceOptions, standing: Standing, cut: str = ""
) -> dict[str, Any]:
    """Return what ``sweep.json`` says of the choice and of what it is worth."""
    returns = set_returns(sweep.session_equity, sweep.request.cash)
    sign = _sign(options)

    def described(place: int) -> dict[str, Any] | None:
        if place < 0:
            return None
        figures = sweep.figures[place].as_record()
        return {
            "set": place + 1,
            "values": dict(sweep.sets[place]),
            **figures,
            **judge(returns[place], standing, sweep.annualisation),
        }

    return {
        "objective": options.objective,
        "n_trades_min": options.n_trades_min,
        "plateau": described(choice.i_plateau),
        "peak": described(choice.i_peak),
        "why": explain(choice, sweep.sets, options.objective, sign),
        "trials": standing.describe(),
        "notes": notes_of(standing, cut),
    }


def plateau_column(choice: Choice, options: ChoiceOptions) -> NDArray[np.float64]:
    """Return each neighbourhood's score as the figure that it is of."""
    found: NDArray[np.float64] = _sign(options) * choice.plateau_scores
    return found


def _sign(options: ChoiceOptions) -> float:
    return -1.0 if options.objective in LOWER_IS_BETTER else 1.0
