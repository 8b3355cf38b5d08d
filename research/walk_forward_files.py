"""The files of a walk-forward analysis: JSON, Parquet and one page of charts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from foundation.files import atomic_directory
from foundation.log_file import note
from research import look, plateau_charts, study_charts
from research.arrow_columns import dates, names, numbers, table_of, texts, times
from research.backtest import ENGINE_VERSION
from research.plateau import Pick
from research.report_parts import Grid, Tile
from research.set_figures import is_lower_better
from research.study_page import PAGE_FILE, Section, StudyPage, render_study
from research.study_parts import (
    LABELS,
    currency_of,
    deflation_tile,
    describe_prepared,
    document_of,
    figure_columns,
    figure_text,
    headline,
    iso,
    notes_for_page,
    nullable,
    openings_grid,
    tone_of,
    trials_pairs,
    verdict,
    write_json,
    write_parquet,
)
from research.study_record import Standing, judge, known_record, notes_of
from research.walk_forward import (
    FIGURES,
    WalkForward,
    chain_figures,
    efficiency,
    piece_figures,
    stability,
    why,
)
from trading import statistics
from trading.codes import REASONS

WALK_FORWARD_FILE = "walk_forward.json"
_NAMES = {"plateau": "Plateau", "peak": "Peak", "default": "Document's own values"}


def write_walk_forward(
    study: WalkForward, standing: Standing, directory: Path, *, cut: str = ""
) -> dict[str, Any]:
    """Write all files of a walk-forward analysis, all or none.

    Parameters
    ----------
    cut : str
        What was left out of the bars because it is locked.

    Returns
    -------
    dict
        The content of ``walk_forward.json``.

    Raises
    ------
    DataError
        If the disk is full or the directory can't be written; what was there
        before stays whole.
    """
    about = describe_walk_forward(study, standing, cut)
    tables = {
        "windows": windows_table(study),
        "trials": trials_table(study),
        "equity": equity_table(study),
        "trades": trades_table(study),
    }
    page = render_study(walk_forward_page(study, standing, about))
    with atomic_directory(directory) as partial:
        for name, table in tables.items():
            write_parquet(partial / f"{name}.parquet", table)
        write_json(partial / WALK_FORWARD_FILE, about)
        (partial / PAGE_FILE).write_text(page, "utf-8")
    note(
        strategy=study.prepared.strategy.name,
        study_id=study.study_id,
        sets=len(study.prepared.sets),
        windows=len(study.windows),
        directory=str(directory),
    )
    return about


def describe_walk_forward(study: WalkForward, standing: Standing, cut: str = "") -> dict[str, Any]:
    """Return what ``walk_forward.json`` says."""
    prepared, chain = study.prepared, study.chosen
    earned = statistics.returns(chain.equity, prepared.request.cash)
    notes = notes_of(standing, cut)
    idle = sum(row < 0 for row in chain.rows)
    if idle:
        notes.append(
            f"In no window may a set without {study.options.n_trades_min} trades be chosen: "
            f"{idle} of {len(chain.rows)} pieces stayed in cash."
        )
    return {
        **describe_prepared(prepared, study.values, "walk_forward", study.study_id),
        "options": study.options.describe(),
        "purge_sessions": study.purge,
        "out_of_sample": {
            "start": iso(chain.sessions[0]),
            "end": iso(chain.sessions[-1]),
            "n_sessions": len(chain.sessions),
            **known_record(chain_figures(study, chain)),
            **known_record({"efficiency": efficiency(study, chain)}),
            **judge(earned, standing, prepared.annualisation),
        },
        "comparison": {
            name: {
                **known_record(chain_figures(study, other)),
                **known_record({"efficiency": efficiency(study, other)}),
            }
            for name, other in study.chains.items()
        },
        "stability": {name: known_record(found) for name, found in stability(study, chain).items()},
        "windows": [_describe_window(study, k) for k in range(len(study.windows))],
        "trials": standing.describe(),
        "notes": notes,
        "document": document_of(prepared),
    }


def _describe_window(study: WalkForward, k: int) -> dict[str, Any]:
    window, chain, sessions = study.windows[k], study.chosen, study.sessions
    choice, sets = study.choices[k], study.prepared.sets
    row = chain.rows[k]

    def inside(place: int) -> dict[str, float | None]:
        return known_record(
            {
                name: float(study.in_sample[k].figures[name][place])
                for name in (*FIGURES, "n_trades")
            }
        )

    return {
        "window": k + 1,
        "in_sample": [iso(sessions[window.in_start]), iso(sessions[window.in_stop - 1])],
        "out_of_sample": [iso(sessions[window.out_start]), iso(sessions[window.out_stop - 1])],
        "chosen": None if row < 0 else dict(sets[row]),
        "why": why(study, k),
        "peak": None if choice.i_peak < 0 else dict(sets[choice.i_peak]),
        "figures_in_sample": None if row < 0 else inside(row),
        "peak_in_sample": None if choice.i_peak < 0 else inside(choice.i_peak),
        "figures_out_of_sample": known_record(piece_figures(study, chain, k)),
        "starting_cash": chain.piece_cash[k],
    }


# Tables.


def windows_table(study: WalkForward) -> pa.Table:
    """Return one row for each window: its dates, its set, figures in and out of sample."""
    n = len(study.windows)
    sessions, chain = study.sessions, study.chosen
    columns: dict[str, Any] = {"window": numbers(np.arange(1, n + 1, dtype=np.int64))}
    for name, of in (
        ("in_start", lambda w: w.in_start), ("in_end", lambda w: w.in_stop - 1),
        ("out_start", lambda w: w.out_start), ("out_end", lambda w: w.out_stop - 1),
    ):  # fmt: skip
        columns[name] = dates(np.array([sessions[of(w)] for w in study.windows], np.int64))
    rows = chain.rows
    columns["set"] = pa.array([None if row < 0 else row + 1 for row in rows], pa.int64())
    for name in study.values:
        columns[name] = pa.array(
            [None if row < 0 else study.prepared.sets[row][name] for row in rows], pa.float64()
        )
    for figure in (*FIGURES, "n_trades"):
        columns[f"in_{figure}"] = nullable(
            np.array(
                [
                    np.nan if row < 0 else runs.figures[figure][row]
                    for row, runs in zip(rows, study.in_sample, strict=True)
                ]
            )
        )
    pieces = [piece_figures(study, chain, k) for k in range(n)]
    for figure in (*FIGURES, "n_trades"):
        columns[f"out_{figure}"] = nullable(np.array([one[figure] for one in pieces]))
    return table_of(columns)


def trials_table(study: WalkForward) -> pa.Table:
    """Return one row for each set of each window: its values, scores and figures in sample."""
    n_windows, n_sets = len(study.windows), len(study.prepared.sets)
    columns: dict[str, Any] = {
        "window": numbers(np.repeat(np.arange(1, n_windows + 1, dtype=np.int64), n_sets)),
        "set": numbers(np.tile(np.arange(1, n_sets + 1, dtype=np.int64), n_windows)),
    }
    for name in study.values:
        own = np.array([one[name] for one in study.prepared.sets], np.float64)
        columns[name] = numbers(np.tile(own, n_windows))
    sign = -1.0 if is_lower_better(study.options.objective) else 1.0
    columns["plateau"] = nullable(
        sign * np.concatenate([choice.plateau_scores for choice in study.choices])
    )
    together = {
        name: np.concatenate([runs.figures[name] for runs in study.in_sample])
        for name in study.in_sample[0].figures
    }
    return table_of({**columns, **figure_columns(together, list(columns))})


def equity_table(study: WalkForward) -> pa.Table:
    """Return one row for each session out of sample, with each chain's equity at its end."""
    chain = study.chosen
    lengths = [w.out_stop - w.out_start for w in study.windows]
    columns: dict[str, Any] = {
        "session": dates(chain.sessions),
        "window": numbers(np.repeat(np.arange(1, len(lengths) + 1, dtype=np.int64), lengths)),
        "equity": numbers(chain.equity),
    }
    for name, other in study.chains.items():
        columns[f"equity_{name}"] = numbers(other.equity)
    return table_of(columns)


def trades_table(study: WalkForward) -> pa.Table:
    """Return the trades out of sample; positions still held at a piece's end are sold there."""
    chain = study.chosen
    live = [(k, piece) for k, piece in enumerate(chain.pieces) if piece is not None]
    window = np.concatenate(
        [np.full(len(p.trades), k + 1, np.int64) for k, p in live] or [np.zeros(0, np.int64)]
    )
    symbols = [symbol for _, piece in live for symbol in piece.symbols]
    if not live:
        return table_of({"window": numbers(window), "symbol": texts(symbols)})
    t = np.concatenate([piece.trades for _, piece in live])
    return table_of(
        {
            "window": numbers(window),
            "symbol": texts(symbols),
            "side": names(np.where(t["side"] > 0, 0, 1), ("long", "short")),
            "entry_ts": times(t["entry_ts"]),
            "exit_ts": times(t["exit_ts"]),
            "entry_price": t["entry_notional"]
            / np.where(t["entry_lots"] > 0, t["entry_lots"], np.nan),
            "exit_price": t["exit_notional"] / np.where(t["exit_lots"] > 0, t["exit_lots"], np.nan),
            "net_profit": t["net_profit"],
            "exit_reason": names(t["reason"], REASONS),
        }
    )


# Page.


def walk_forward_page(study: WalkForward, standing: Standing, about: dict[str, Any]) -> StudyPage:
    """Put the page together."""
    prepared, options = study.prepared, study.options
    outside = about["out_of_sample"]
    currency = currency_of(prepared)
    pick = options.pick.value
    order = [pick, *(name for name in study.chains if name != pick)]
    objective = options.objective if options.objective in FIGURES else "sharpe"
    inside = np.array(
        [
            np.nan if row < 0 else runs.figures[objective][row]
            for row, runs in zip(study.chosen.rows, study.in_sample, strict=True)
        ]
    )
    beyond = np.array(
        [piece_figures(study, study.chosen, k)[objective] for k in range(len(study.windows))]
    )
    last = study.choices[-1]
    sign = -1.0 if is_lower_better(options.objective) else 1.0
    figures = {
        "equity": study_charts.chain_chart(
            {
                _NAMES[name]: (study.chains[name].sessions, study.chains[name].equity)
                for name in order
            },
            [int(study.sessions[w.out_start]) for w in study.windows],
            currency=currency,
        ),
        "timeline": study_charts.timeline_chart(
            [
                tuple(  # type: ignore[misc]
                    int(study.sessions[i])
                    for i in (w.in_start, w.in_stop - 1, w.out_start, w.out_stop - 1)
                )
                for w in study.windows
            ]
        ),
        "windows": study_charts.windows_chart(inside, beyond, figure_name=objective),
        "parameters": study_charts.parameters_chart(
            {
                name: np.array(
                    [np.nan if row < 0 else prepared.sets[row][name] for row in study.chosen.rows]
                )
                for name in study.values
            },
            study.values,
        ),
        "plateau": plateau_charts.plateau_chart(
            study.values,
            prepared.sets,
            sign * last.scores,
            objective=options.objective,
            i_plateau=last.i_plateau,
            i_peak=last.i_peak,
            scattered=not last.by_steps,
        ),
    }
    return StudyPage(
        title=prepared.strategy.name,
        kind="Walk-forward analysis",
        headline=headline(prepared),
        study_id=study.study_id,
        engine_version=ENGINE_VERSION,
        tiles=_tiles(study, standing, outside),
        notes=notes_for_page(about["notes"]),
        sections=_sections(study, standing, about),
        figures=figures,
        origin=(
            f"{len(study.windows)} {options.anchor.value} windows, {len(prepared.sets):,} sets in "
            f"each, chosen by {look.words(options.objective)}, {pick}"
        ),
    )


def _tiles(study: WalkForward, standing: Standing, outside: dict[str, Any]) -> tuple[Tile, ...]:
    return (
        Tile(
            "Out of sample",
            look.percent(outside["total_return"], 1),
            f"{outside['start']} to {outside['end']}",
            tone_of(outside["total_return"]),
        ),
        Tile("Growth a year", look.percent(outside["cagr"], 1), "out of sample",
             tone_of(outside["cagr"])),
        Tile("Sharpe ratio", look.number(outside["sharpe"]), "out of sample",
             tone_of(outside["sharpe"])),
        Tile("Largest drawdown", look.percent(outside["max_drawdown"], 1), "at session ends"),
        Tile("Efficiency", look.percent(outside["efficiency"], 0),
             "growth out of over in sample", tone_of(outside["efficiency"])),
        deflation_tile(outside, standing),
    )  # fmt: skip


def _sections(study: WalkForward, standing: Standing, about: dict[str, Any]) -> tuple[Section, ...]:
    outside = about["out_of_sample"]
    return (
        Section(
            anchor="result", title="Out of sample", texts=(verdict(outside, standing),),
            charts=("equity",), grids=(_comparison_grid(study, about),),
        ),
        Section(
            anchor="windows", title="Windows", charts=("timeline", "windows"),
            grids=(_windows_grid(study, about),),
        ),
        Section(
            anchor="parameters", title="Parameters", charts=("parameters",),
            grids=(_stability_grid(about),),
        ),
        Section(
            anchor="plateau", title="Last window's choice",
            texts=(about["windows"][-1]["why"],), charts=("plateau",),
        ),
        Section(
            anchor="trials", title="Trials", pairs=trials_pairs(outside, standing),
            grids=(openings_grid(standing),) if standing.locks else (),
        ),
        Section(
            anchor="method", title="Method", pairs=_method(study), document=about["document"],
            downloads=(
                (WALK_FORWARD_FILE, "everything for programs"),
                ("windows.parquet", "a row for each window"),
                ("trials.parquet", "every set of every window"),
                ("equity.parquet", "equity out of sample by session"),
                ("trades.parquet", "trades out of sample"),
            ),
        ),
    )  # fmt: skip


def _comparison_grid(study: WalkForward, about: dict[str, Any]) -> Grid:
    rows = []
    for name in (study.options.pick.value, *(p.value for p in Pick), "default"):
        found = about["comparison"][name]
        row = (
            _NAMES[name],
            *(figure_text(figure, found[figure]) for figure in LABELS),
            look.percent(found["efficiency"], 0),
        )
        if row not in rows:
            rows.append(row)
    columns = ("Choice", *LABELS.values(), "Efficiency")
    return Grid(
        "What each way to choose would have earned", columns, tuple(rows), frozenset(("Choice",)),
        "All three trade the same pieces out of sample. Only the first was asked for: to pick the "
        "best row now would be another choice made in hindsight.",
    )  # fmt: skip


def _windows_grid(study: WalkForward, about: dict[str, Any]) -> Grid:
    columns = (
        "Window", "In sample", "Out of sample", *study.values, "Sharpe in", "Sharpe out",
        "Return out", "Drawdown out", "Trades out",
    )  # fmt: skip
    rows = []
    for one in about["windows"]:
        inside, outside = one["figures_in_sample"] or {}, one["figures_out_of_sample"]
        chosen = one["chosen"] or {}
        rows.append(
            (
                str(one["window"]),
                " to ".join(one["in_sample"]),
                " to ".join(one["out_of_sample"]),
                *(f"{chosen[name]:g}" if name in chosen else "–" for name in study.values),
                look.number(inside.get("sharpe")),
                look.number(outside["sharpe"]),
                look.percent(outside["total_return"], 1),
                look.percent(outside["max_drawdown"], 1),
                figure_text("n_trades", outside["n_trades"]),
            )
        )
    return Grid("", columns, tuple(rows), frozenset(("In sample", "Out of sample")))


def _stability_grid(about: dict[str, Any]) -> Grid:
    rows = tuple(
        (
            name,
            look.percent(found["stability"], 0),
            look.percent(found["share_within_one_step"], 0),
            *(
                "–" if found[k] is None else f"{found[k]:g}"
                for k in ("lowest", "median", "highest")
            ),
        )
        for name, found in about["stability"].items()
    )
    return Grid(
        "Stability",
        ("Parameter", "Stability", "Moves of one step at most", "Lowest", "Median", "Highest"),
        rows,
        frozenset(("Parameter",)),
        "Stability is 100 % for a parameter that never moved, and 0 % for one that went from end "
        "to end of its range with each window.",
    )


def _method(study: WalkForward) -> tuple[tuple[str, str], ...]:
    first = study.windows[0]
    options = study.options
    return (
        ("Sessions in sample", f"{first.in_stop - first.in_start:,} in the first window"),
        ("Sessions out of sample", f"{first.out_stop - first.out_start:,} in each window"),
        ("Sessions left out between", f"{study.purge:,}"),
        ("Windows", f"{len(study.windows)}, {options.anchor.value}"),
        ("Choice", f"{options.pick.value} by {look.words(options.objective)}, at least "
                   f"{options.n_trades_min} trades in sample"),
        ("Plateau", "A set's score is the lower quartile of the figures of the sets within one "
                    "step in every parameter. What is not in the grid counts as the worst of them."),
        ("Pieces", "Flat at the start with warm indicators; what is held at the end is sold at the "
                   "last close with costs; each piece begins with the cash of the one before."),
        ("Efficiency", "Growth a year out of sample over the mean growth of the chosen sets in "
                       "sample (Pardo 2008)."),
        ("Deflated Sharpe", "Bailey and López de Prado (2014), by all sets on record for this "
                            "strategy and these instruments."),
        ("Drawdown", "At session ends."),
    )  # fmt: skip
