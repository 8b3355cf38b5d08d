"""The page of a sweep: heat maps with plateau and peak marked, their neighbours, what they are worth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from research import look, plateau_charts, study_charts
from research.backtest import ENGINE_VERSION
from research.figures import LOWER_IS_BETTER
from research.parameter_sets import count_sets
from research.plateau import Choice, telling
from research.report_parts import Grid, Level, Note, Tile
from research.study_page import Section, StudyPage, render_study
from research.study_parts import (
    choice_tiles,
    figure_label,
    figure_text,
    headline_of,
    notes_for_page,
    openings_grid,
    trials_pairs,
    verdict,
)
from research.study_record import Standing
from research.sweep_choice import ChoiceOptions
from research.sweep_files import ROWS_FILE, SWEEP_FILE
from research.sweeping import Sweep
from trading.document import canonical

FloatArray = NDArray[np.float64]

N_BEST = 20
# More neighbours than this are a list that nobody reads; the nearest ones are shown.
N_NEIGHBOURS = 27
_SHOWN = ("sharpe", "total_return", "max_drawdown", "calmar", "n_trades")
_LUCK = "The best of many sets is partly luck: try it on bars that the sweep has not seen."


def sweep_html(
    sweep: Sweep, choice: Choice, options: ChoiceOptions, standing: Standing, about: dict[str, Any]
) -> str:
    """Return a sweep's page as HTML.

    Parameters
    ----------
    about : dict
        What ``sweep.json`` says of the choice.
    """
    return render_study(sweep_page(sweep, choice, options, standing, about))


def sweep_page(
    sweep: Sweep, choice: Choice, options: ChoiceOptions, standing: Standing, about: dict[str, Any]
) -> StudyPage:
    """Put the page together; see `sweep_html`."""
    objective = options.objective
    sign = -1.0 if objective in LOWER_IS_BETTER else 1.0
    plateau = about["plateau"] or {}
    shown = sign * choice.scores
    name = look.words(objective)
    figures = {
        "figure": plateau_charts.plateau_chart(
            sweep.values, sweep.sets, shown, objective=objective,
            i_plateau=choice.i_plateau, i_peak=choice.i_peak, scattered=not choice.by_steps,
        ),
        "around": plateau_charts.plateau_chart(
            sweep.values, sweep.sets, sign * choice.plateau_scores, objective=objective,
            i_plateau=choice.i_plateau, i_peak=choice.i_peak, scattered=not choice.by_steps,
            title=f"{name.capitalize()} of each set's neighbourhood",
            axes=tuple(telling(sweep.values, sweep.sets, shown)),
        ),
        "luck": study_charts.luck_chart(
            figure_of(sweep, "sharpe"), luck=plateau.get("luck_sharpe"),
            chosen=plateau.get("sharpe"),
        ),
    }  # fmt: skip
    return StudyPage(
        title=sweep.strategy.name,
        kind="Sweep",
        headline=headline_of(
            sweep.instruments, sweep.strategy.timeframe, sweep.start, sweep.end, sweep.bars,
            sweep.request.cash, sweep.currency,
        ),
        study_id=sweep.sweep_id,
        engine_version=ENGINE_VERSION,
        tiles=_tiles(sweep, objective, standing, about),
        notes=(Note(Level.NOTE, _LUCK), *notes_for_page(about["notes"])),
        sections=_sections(sweep, choice, options, standing, about),
        figures=figures,
        origin=(
            f"{len(sweep.sets):,} sets of a grid of {count_sets(sweep.values):,}, chosen by {name}"
        ),
    )  # fmt: skip


def figure_of(sweep: Sweep, name: str) -> FloatArray:
    """Return one figure of all sets, NaN where it is not defined; shape (n_sets,)."""
    return np.array([getattr(one, name) for one in sweep.figures], np.float64)


def _tiles(
    sweep: Sweep, objective: str, standing: Standing, about: dict[str, Any]
) -> tuple[Tile, ...]:
    sets = Tile("Sets", f"{len(sweep.sets):,}", f"{len(sweep.skipped):,} left out")
    return choice_tiles(objective, sets, standing, about)


def _sections(
    sweep: Sweep, choice: Choice, options: ChoiceOptions, standing: Standing, about: dict[str, Any]
) -> tuple[Section, ...]:
    judged = about["plateau"]
    texts = [about["why"]]
    pairs: tuple[tuple[str, str], ...] = ()
    grids: list[Grid] = []
    if judged is not None:
        texts.append(verdict(judged, standing))
        pairs = trials_pairs(judged, standing)
        grids = [_choice_grid(sweep, about), *_neighbour_grids(sweep, choice, options.objective)]
    return (
        Section(
            anchor="choice", title="Choice", texts=tuple(texts), charts=("figure", "around"),
            grids=tuple(grids),
        ),
        Section(
            anchor="parameters", title="Parameters",
            grids=(_telling_grid(sweep, choice, options.objective),
                   _best_grid(sweep, choice, options.objective)),
        ),
        Section(
            anchor="trials", title="Trials", charts=("luck",), pairs=pairs,
            grids=(openings_grid(standing),) if standing.locks else (),
        ),
        Section(
            anchor="method", title="Method", pairs=_method(choice, options),
            document=canonical(sweep.request.document).decode(),
            downloads=(
                (SWEEP_FILE, "everything for programs"),
                (ROWS_FILE, "every set with its figures"),
            ),
        ),
    )  # fmt: skip


def _columns(objective: str) -> list[str]:
    return list(dict.fromkeys((objective, *_SHOWN)))


def _choice_grid(sweep: Sweep, about: dict[str, Any]) -> Grid:
    columns = _columns(about["objective"])
    rows = tuple(
        (
            name,
            *(f"{about[key]['values'][one]:g}" for one in sweep.values),
            *(figure_text(figure, about[key][figure]) for figure in columns),
        )
        for key, name in (("plateau", "Plateau"), ("peak", "Peak"))
    )
    return Grid(
        "Plateau and peak",
        ("Choice", *sweep.values, *(figure_label(one) for one in columns)),
        rows,
        frozenset(("Choice",)),
        "All figures are in sample: they say what fitted the past. A walk-forward analysis says "
        "what such a choice earned on sessions that it had not seen.",
    )


def _neighbour_grids(sweep: Sweep, choice: Choice, objective: str) -> list[Grid]:
    """Return what the sets around the plateau and the peak came to."""
    found = [_neighbour_grid(sweep, choice.i_plateau, choice.plateau_neighbours, objective,
                             "The plateau and the sets around it")]  # fmt: skip
    if choice.i_peak != choice.i_plateau:
        found.append(_neighbour_grid(sweep, choice.i_peak, choice.peak_neighbours, objective,
                                     "The peak and the sets around it"))  # fmt: skip
    return found


def _neighbour_grid(
    sweep: Sweep, place: int, around: NDArray[np.int64], objective: str, title: str
) -> Grid:
    order = sorted(around.tolist(), key=lambda i: (_steps(sweep, place, i), i))
    columns = _columns(objective)
    rows = tuple(
        (
            "itself" if i == place else f"{_steps(sweep, place, i)}",
            *(f"{sweep.sets[i][name]:g}" for name in sweep.values),
            *(figure_text(name, float(getattr(sweep.figures[i], name))) for name in columns),
        )
        for i in order[:N_NEIGHBOURS]
    )
    hidden = len(order) - len(rows)
    note = f"The nearest {len(rows):,} of {len(order):,}." if hidden else ""
    heads = ("Steps away", *sweep.values, *(figure_label(one) for one in columns))
    return Grid(title, heads, rows, frozenset(("Steps away",)), note)


def _steps(sweep: Sweep, i: int, j: int) -> int:
    """Return how many steps of the grid lie between two sets."""
    total = 0
    for name, values in sweep.values.items():
        ordered = sorted(set(values))
        total += abs(ordered.index(sweep.sets[i][name]) - ordered.index(sweep.sets[j][name]))
    return total


def _telling_grid(sweep: Sweep, choice: Choice, objective: str) -> Grid:
    rows = tuple(
        (
            name,
            f"{min(sweep.values[name]):g} to {max(sweep.values[name]):g}",
            f"{len(set(sweep.values[name])):,}",
            look.percent(share, 0),
        )
        for name, share in telling(sweep.values, sweep.sets, choice.scores).items()
    )
    return Grid(
        f"{figure_label(objective)}: what it hangs on",
        ("Parameter", "Range", "Values", "Variance explained"),
        rows,
        frozenset(("Parameter", "Range")),
        "The share of the variance over all sets that the parameter explains by itself, chance "
        "taken off (epsilon squared). The charts show the two that explain most.",
    )


def _best_grid(sweep: Sweep, choice: Choice, objective: str) -> Grid:
    order = np.argsort(-np.nan_to_num(choice.plateau_scores, nan=-np.inf), kind="stable")
    best = [int(i) for i in order if np.isfinite(choice.plateau_scores[i])][:N_BEST]
    sign = -1.0 if objective in LOWER_IS_BETTER else 1.0
    columns = _columns(objective)
    marks = {choice.i_peak: "peak", choice.i_plateau: "plateau"}
    rows = tuple(
        (
            marks.get(i, ""),
            *(f"{sweep.sets[i][name]:g}" for name in sweep.values),
            figure_text(objective, sign * float(choice.plateau_scores[i])),
            *(figure_text(name, float(getattr(sweep.figures[i], name))) for name in columns),
        )
        for i in best
    )
    heads = ("Choice", *sweep.values, f"{figure_label(objective)} around it")
    return Grid(
        f"The {len(best)} best plateaus", (*heads, *(figure_label(one) for one in columns)), rows,
        frozenset(("Choice",)),
    )  # fmt: skip


def _method(choice: Choice, options: ChoiceOptions) -> tuple[tuple[str, str], ...]:
    around = "the sets within one step in every parameter"
    missing = "What is not in the grid counts as the worst of them."
    if not choice.by_steps:
        around, missing = "the nearest sets that were run", ""
    return (
        ("Plateau", f"A set's score is the lower quartile of the figures of {around}, its own "
                    f"included. {missing}".strip()),
        ("Constraint", f"at least {options.n_trades_min} trades"),
        ("Deflated Sharpe", "Bailey and López de Prado (2014), by all sets on record for this "
                            "strategy and these instruments."),
    )  # fmt: skip
