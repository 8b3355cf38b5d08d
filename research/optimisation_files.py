"""The files of an optimisation: JSON, Parquet and one page of charts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from foundation.files import atomic_directory
from foundation.log_file import note
from research import look, plateau_charts, study_charts
from research.arrow_columns import numbers, table_of, texts
from research.backtest import ENGINE_VERSION
from research.optimisation import Optimisation, TrialRecord, TrialState, grid_size
from research.plateau import explain
from research.report_parts import Grid, Tile
from research.set_figures import is_lower_better, set_returns
from research.study_page import PAGE_FILE, Section, StudyPage, render_study
from research.study_parts import (
    LABELS,
    choice_tiles,
    describe_prepared,
    document_of,
    figure_label,
    figure_text,
    headline,
    notes_for_page,
    nullable,
    openings_grid,
    trials_pairs,
    verdict,
    write_json,
    write_parquet,
)
from research.study_record import Standing, judge, known_record, notes_of

OPTIMISATION_FILE = "optimisation.json"
N_BEST = 20
# As many as fit on a page beside the parameters.
_SHOWN = ("total_return", "max_drawdown", "calmar", "n_trades")


def write_optimisation(
    study: Optimisation, standing: Standing, directory: Path, *, cut: str = ""
) -> dict[str, Any]:
    """Write all files of an optimisation, all or none.

    Returns
    -------
    dict
        The content of ``optimisation.json``.

    Raises
    ------
    DataError
        If the disk is full or the directory can't be written; what was there
        before stays whole.
    """
    about = describe_optimisation(study, standing, cut)
    page = render_study(optimisation_page(study, standing, about))
    with atomic_directory(directory) as partial:
        write_parquet(partial / "trials.parquet", trials_table(study))
        write_json(partial / OPTIMISATION_FILE, about)
        (partial / PAGE_FILE).write_text(page, "utf-8")
    note(
        strategy=study.prepared.strategy.name,
        study_id=study.study_id,
        sets=study.trials.n_sets,
        directory=str(directory),
    )
    return about


def describe_optimisation(study: Optimisation, standing: Standing, cut: str = "") -> dict[str, Any]:
    """Return what ``optimisation.json`` says."""
    prepared, choice = study.prepared, study.choice
    sign = -1.0 if is_lower_better(study.options.objective) else 1.0
    returns = set_returns(study.equity, prepared.request.cash)

    def described(place: int) -> dict[str, Any] | None:
        if place < 0:
            return None
        return {
            "values": dict(study.sets[place]),
            **known_record({name: float(found[place]) for name, found in study.figures.items()}),
            **judge(returns[place], standing, prepared.annualisation),
        }

    return {
        **describe_prepared(prepared, study.values, "optimisation", study.study_id),
        "options": study.options.describe(),
        "n_tried": study.trials.n_sets,
        **{f"n_{state.value}": study.count(state) for state in TrialState},
        "plateau": described(choice.i_plateau),
        "peak": described(choice.i_peak),
        "why": explain(choice, study.sets, study.options.objective, sign),
        "trials": standing.describe(),
        "notes": notes_of(standing, cut),
        "document": document_of(prepared),
    }


def trials_table(study: Optimisation) -> pa.Table:
    """Return one row for each trial: how it ended, its values, its figures where it ran to the end."""
    records = study.records
    columns: dict[str, Any] = {
        "trial": pa.array([None if r.number < 0 else r.number for r in records], pa.int64()),
        "state": texts([r.state.value for r in records]),
    }
    for name in study.values:
        columns[name] = numbers(np.array([r.values[name] for r in records], np.float64))
    columns["told"] = nullable(np.array([r.value for r in records], np.float64))
    columns["n_parts"] = numbers(np.array([len(r.parts) for r in records], np.int64))
    columns["part_scores"] = pa.array(
        [[x if math.isfinite(x) else None for x in r.parts] for r in records],
        pa.list_(pa.float64()),
    )
    rows = [r.i_set for r in records]
    columns["plateau"] = _of_sets(study.choice.plateau_scores, rows, whole=False)
    for name, found in study.figures.items():
        key = f"figure_{name}" if name in columns else name
        columns[key] = _of_sets(found, rows, whole=name.startswith("n_"))
    return table_of(columns)


def _of_sets(values: np.ndarray, rows: list[int], *, whole: bool) -> pa.Array:
    found = [None if row < 0 or not math.isfinite(values[row]) else values[row] for row in rows]
    if whole:
        return pa.array([None if x is None else int(x) for x in found], pa.int64())
    return pa.array([None if x is None else float(x) for x in found], pa.float64())


# Page.


def optimisation_page(study: Optimisation, standing: Standing, about: dict[str, Any]) -> StudyPage:
    """Put the page together."""
    prepared, options, choice = study.prepared, study.options, study.choice
    sign = -1.0 if is_lower_better(options.objective) else 1.0
    plateau = about["plateau"] or {}
    figures = {
        "plateau": plateau_charts.plateau_chart(
            study.values, study.sets, sign * choice.scores,
            objective=options.objective, i_plateau=choice.i_plateau, i_peak=choice.i_peak,
            scattered=not choice.by_steps,
        ),
        "trials": _trials_chart(study, sign),
        "luck": study_charts.luck_chart(
            study.figures["sharpe"], luck=plateau.get("luck_sharpe"), chosen=plateau.get("sharpe")
        ),
    }  # fmt: skip
    return StudyPage(
        title=prepared.strategy.name,
        kind="Optimisation",
        headline=headline(prepared),
        study_id=study.study_id,
        engine_version=ENGINE_VERSION,
        tiles=_tiles(study, standing, about),
        notes=notes_for_page(about["notes"]),
        sections=_sections(study, standing, about),
        figures=figures,
        origin=(
            f"{options.n_trials:,} trials, {study.trials.n_sets:,} distinct sets of "
            f"{grid_size(study):,}, by {look.words(options.objective)}, seed {options.seed}"
        ),
    )


def _trials_chart(study: Optimisation, sign: float) -> Any:
    """Draw each trial's score where it stopped: of the whole, or of the parts that it ran over."""
    shown = [r for r in study.records if r.number >= 0 and r.state is not TrialState.LEFT_OUT]

    def last(record: TrialRecord) -> float:
        return record.parts[-1] if record.i_set < 0 and record.parts else record.value

    return study_charts.trials_chart(
        [r.number for r in shown],
        sign * np.array([last(r) for r in shown], np.float64),
        np.array([r.i_set < 0 for r in shown], bool),
        objective=study.options.objective,
    )


def _tiles(study: Optimisation, standing: Standing, about: dict[str, Any]) -> tuple[Tile, ...]:
    n_pruned = study.count(TrialState.PRUNED)
    sets = Tile("Sets tried", f"{study.trials.n_sets:,}", f"{n_pruned:,} pruned")
    return choice_tiles(study.options.objective, sets, standing, about)


def _sections(
    study: Optimisation, standing: Standing, about: dict[str, Any]
) -> tuple[Section, ...]:
    judged = about["plateau"]
    texts = [about["why"]]
    pairs: tuple[tuple[str, str], ...] = ()
    if judged is not None:
        texts.append(verdict(judged, standing))
        pairs = trials_pairs(judged, standing)
    return (
        Section(
            anchor="choice", title="Choice", texts=tuple(texts), charts=("plateau",),
            grids=(_best_grid(study),),
        ),
        Section(
            anchor="trials", title="Trials", charts=("trials", "luck"), pairs=pairs,
            grids=(openings_grid(standing),) if standing.locks else (),
        ),
        Section(
            anchor="method", title="Method", pairs=_method(study), document=about["document"],
            downloads=(
                (OPTIMISATION_FILE, "everything for programs"),
                ("trials.parquet", "every trial, pruned ones too"),
            ),
        ),
    )  # fmt: skip


def _best_grid(study: Optimisation) -> Grid:
    choice = study.choice
    order = np.argsort(-np.nan_to_num(choice.plateau_scores, nan=-np.inf), kind="stable")
    best = [int(i) for i in order if np.isfinite(choice.plateau_scores[i])][:N_BEST]
    sign = -1.0 if is_lower_better(study.options.objective) else 1.0
    objective = study.options.objective
    figures = [name for name in _SHOWN if name != objective]
    head = figure_label(objective)
    rows = tuple(
        (
            "plateau" if i == choice.i_plateau else "peak" if i == choice.i_peak else "",
            *(f"{study.sets[i][name]:g}" for name in study.values),
            figure_text(objective, sign * float(choice.plateau_scores[i])),
            figure_text(objective, float(study.figures[objective][i])),
            *(figure_text(name, float(study.figures[name][i])) for name in figures),
        )
        for i in best
    )
    return Grid(
        f"The {len(best)} best plateaus",
        ("Choice", *study.values, f"{head} around it", head, *(LABELS[name] for name in figures)),
        rows,
        frozenset(("Choice",)),
        "All figures are in sample: they say what fitted the past. A walk-forward analysis says "
        "what such a choice earned on sessions that it had not seen.",
    )


def _method(study: Optimisation) -> tuple[tuple[str, str], ...]:
    options = study.options
    judged = "its own figure"
    if options.robust:
        judged = "the lower quartile of its figure and its neighbours', one step in each parameter"
    nearest = (
        "the sets within one step in every parameter"
        if study.choice.by_steps
        else "the nearest sets that ran to the end"
    )
    return (
        ("Sampler", f"Optuna's tree-structured Parzen estimator, seed {options.seed}, "
                    f"{options.n_batch} trials at a time"),
        ("A trial is judged by", judged),
        ("Pruning", f"{options.pruning.value}, after each of {options.n_parts} growing parts"),
        ("Constraint", f"at least {options.n_trades_min} trades"),
        ("Plateau", f"The lower quartile of the figures of {nearest}."),
        ("Sharpe ratios of pruned sets", "those of the part that they ran over, times the root of its "
                                         "share of the sessions: so few say that much less."),
        ("Deflated Sharpe", "Bailey and López de Prado (2014), by all sets on record for this "
                            "strategy and these instruments."),
    )  # fmt: skip
