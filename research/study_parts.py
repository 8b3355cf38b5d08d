"""What the files and pages of all studies have in common: their head, figures, verdict."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from research import look
from research.arrow_columns import numbers
from research.backtest import ENGINE_VERSION
from research.parameter_sets import PreparedSets, Values, count_sets
from research.report_parts import Grid, Level, Note, Tile
from research.study_record import Standing
from trading.document import canonical

FloatArray = NDArray[np.float64]

# Above this a deflated Sharpe ratio is called convincing, as the paper does.
CONVINCING = 0.95
LABELS = {
    "total_return": "Total return",
    "cagr": "Growth a year",
    "volatility": "Volatility a year",
    "sharpe": "Sharpe ratio",
    "max_drawdown": "Largest drawdown",
    "calmar": "Calmar ratio",
    "n_trades": "Trades",
    "probabilistic_sharpe": "Probabilistic Sharpe",
}
_PERCENT = frozenset(
    ("total_return", "cagr", "volatility", "max_drawdown", "probabilistic_sharpe", "exposure",
     "win_rate")
)  # fmt: skip


def describe_prepared(
    prepared: PreparedSets, values: Values, kind: str, study_id: str
) -> dict[str, Any]:
    """Return what every study's JSON begins with: what was run, on what."""
    request = prepared.request
    return {
        "kind": kind,
        "study_id": study_id,
        "strategy": prepared.strategy.name,
        "version_hash": prepared.version,
        "data_fingerprint": prepared.fingerprint,
        "engine_version": ENGINE_VERSION,
        "instruments": list(prepared.instruments),
        "currency": currency_of(prepared),
        "timeframe": prepared.strategy.timeframe,
        "start": prepared.start,
        "end": prepared.end,
        "bars": prepared.n_bars,
        "starting_cash": request.cash,
        "annualisation": prepared.annualisation,
        "parameters": list(values),
        "values": {name: list(found) for name, found in values.items()},
        "fixed": dict(request.values),
        "n_sets": len(prepared.sets),
        "n_grid": count_sets(values),
        "n_skipped": len(prepared.skipped),
        "skipped": list(prepared.skipped[:20]),
    }


def currency_of(prepared: PreparedSets) -> str:
    """Return the currency of all instruments."""
    return prepared.loaded[0].bars.instrument.currency


def document_of(prepared: PreparedSets) -> str:
    """Return the strategy document as run."""
    return canonical(prepared.request.document).decode()


def headline(prepared: PreparedSets) -> str:
    """Return what was run on what, in a line."""
    return headline_of(
        prepared.instruments, prepared.strategy.timeframe, prepared.start, prepared.end,
        prepared.n_bars, prepared.request.cash, currency_of(prepared),
    )  # fmt: skip


def headline_of(
    instruments: Sequence[str],
    timeframe: str,
    start: str,
    end: str,
    n_bars: int,
    cash: float,
    currency: str,
) -> str:
    """Return instruments, timeframe, period, bars and cash in a line."""
    return (
        f"{', '.join(instruments)} · {timeframe} · {start} to {end} · {n_bars:,} bars · "
        f"{look.money(cash, currency, 0)}"
    )


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON for programs: indented, without NaN."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    path.write_text(text, "utf-8")


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table as all results' tables are written."""
    pq.write_table(table, path, compression="zstd", store_schema=False)


def nullable(values: FloatArray) -> pa.Array:
    """Return a column in which NaN is null."""
    return pa.array([None if not math.isfinite(x) else float(x) for x in values], pa.float64())


def figure_columns(figures: Mapping[str, FloatArray], taken: Sequence[str]) -> dict[str, pa.Array]:
    """Return figures as columns: counts as integers, undefined ones null.

    A parameter may have a figure's name; the parameter keeps it.
    """
    columns = {}
    for name, values in figures.items():
        column = nullable(values)
        if name.startswith("n_"):
            column = numbers(np.asarray(values, np.int64))
        columns[f"figure_{name}" if name in taken else name] = column
    return columns


def figure_label(figure: str) -> str:
    """Return a figure's name as a heading."""
    return LABELS.get(figure, look.words(figure).capitalize())


def figure_text(name: str, value: float | None) -> str:
    """Write a figure for people."""
    if name.startswith("n_"):
        return look.UNDEFINED if value is None or not math.isfinite(value) else f"{int(value):,}"
    return look.percent(value, 1) if name in _PERCENT else look.number(value)


def tone_of(value: float | None) -> str:
    """Return how a figure is coloured: gain above 0, loss below."""
    if value is None or not math.isfinite(value) or value == 0.0:
        return ""
    return "gain" if value > 0.0 else "loss"


def verdict(judged: Mapping[str, float | None], standing: Standing) -> str:
    """Say in a sentence what the deflated Sharpe ratio means."""
    deflated = judged["deflated_sharpe"]
    n = standing.all.n_sets
    tried = f"{n:,} parameter {'set' if n == 1 else 'sets'} on record"
    if deflated is None:
        return f"With {tried} the deflated Sharpe ratio is not defined: the returns do not vary."
    luck = look.number(judged["luck_sharpe"])
    text = (
        f"With {tried}, luck alone would have found a Sharpe ratio of about {luck} a year. "
        f"The probability that the true one of this curve is above that is "
        f"{look.percent(deflated, 1)}: "
    )
    if deflated >= CONVINCING:
        return text + "more than luck explains."
    return text + "what many trials without any skill would give, too."


def deflation_tile(judged: Mapping[str, float | None], standing: Standing) -> Tile:
    """Return the tile of the deflated Sharpe ratio."""
    value = judged["deflated_sharpe"]
    tone = "" if value is None else ("gain" if value >= CONVINCING else "loss")
    return Tile(
        "Deflated Sharpe", look.percent(value, 1), f"{standing.all.n_sets:,} sets on record", tone
    )


def choice_tiles(
    objective: str, sets: Tile, standing: Standing, about: Mapping[str, Any]
) -> tuple[Tile, ...]:
    """Return the tiles of a choice among sets; `sets` says how many there were."""
    plateau, peak = about["plateau"], about["peak"]
    if plateau is None:
        return (Tile(sets.label, sets.value, "none can be chosen"),)
    name = figure_label(objective)
    return (
        Tile("Plateau", figure_text(objective, plateau[objective]), name,
             tone_of(plateau[objective])),
        Tile("Peak", figure_text(objective, peak[objective]), name, ""),
        Tile("Return", look.percent(plateau["total_return"], 1), "of the plateau, in sample",
             tone_of(plateau["total_return"])),
        Tile("Largest drawdown", look.percent(plateau["max_drawdown"], 1), "of the plateau"),
        sets,
        deflation_tile(plateau, standing),
    )  # fmt: skip


def trials_pairs(
    judged: Mapping[str, float | None], standing: Standing
) -> tuple[tuple[str, str], ...]:
    """Return the figures behind the verdict, as pairs of words."""
    own, every = standing.own, standing.all
    return (
        ("Sets tried in this study", f"{own.n_sets:,}, worth {own.n_effective:,.1f} independent"),
        (
            "Sets on record",
            f"{every.n_sets:,} in {standing.n_studies:,} "
            f"{'study' if standing.n_studies == 1 else 'studies'} of this strategy on these "
            f"instruments, worth at most {every.n_effective:,.1f} independent ones",
        ),
        ("Sharpe ratio", look.number(judged["sharpe"])),
        ("Sharpe ratio of luck", look.number(judged["luck_sharpe"])),
        ("Probabilistic Sharpe", look.percent(judged["probabilistic_sharpe"], 1)),
        ("Deflated Sharpe", look.percent(judged["deflated_sharpe"], 1)),
        (
            "… by effective trials",
            look.percent(judged["deflated_sharpe_effective"], 1)
            + ": correlated sets counted as fewer; the milder of the two",
        ),
    )


def notes_for_page(notes: Sequence[str]) -> tuple[Note, ...]:
    """Return sentences as notes; what undermines the figures is a warning."""
    grave = ("No last period", "Warning", "In no window")
    return tuple(
        Note(Level.WARNING if text.startswith(grave) or ("opened " in text and "never" not in text)
             else Level.NOTE, text)
        for text in notes
    )  # fmt: skip


def openings_grid(standing: Standing) -> Grid:
    """Return every opening of the locked periods."""
    rows = tuple(
        (
            f"{look_.opened_at:%Y-%m-%d %H:%M}",
            look_.opened_by or "–",
            look_.version_hash[:8],
            look_.result_id,
            look_.reason,
        )
        for one in standing.locks
        for look_ in one.openings
    )
    columns = ("Opened (UTC)", "By", "Version", "Result", "Why")
    return Grid("Openings of the locked period", columns, rows, frozenset(columns))


def iso(days: int) -> str:
    """Return a session date as text."""
    return date.fromordinal(719_163 + int(days)).isoformat()
