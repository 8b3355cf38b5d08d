"""What a report says: a result's figures, tables and notes, as text to lay out.

Owns the choice of what is shown; the HTML page and the PDF lay out the same
content. Reads the result directory only, so that a report can be written anew
from stored files at any time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from research import report_grids, report_words
from research.report_parts import Grid, Group, Note, Tile
from research.results import ResultFiles, Table
from research.summary import Figures, Summary
from trading import statistics


@dataclass(frozen=True, slots=True)
class ReportContent:
    """All that a report lays out, apart from the charts."""

    title: str
    description: str
    headline: str
    origin: str
    document: str
    summary: Summary
    daily: bool
    facts: tuple[tuple[str, str], ...]
    notes: tuple[Note, ...]
    tiles: tuple[Tile, ...]
    groups: tuple[Group, ...]
    years: Grid
    drawdowns: Grid
    instruments: Grid
    costs: Grid
    exits: Grid
    orders: Grid
    assumptions: tuple[tuple[str, str], ...]
    cost_steps: tuple[tuple[str, float], ...]
    frames: Frames = field(repr=False)


@dataclass(frozen=True, slots=True)
class Frames:
    """What the charts draw.

    Attributes
    ----------
    equity : DataFrame
        Portfolio rows, one for each bar.
    months, years : DataFrame
        Figures of each calendar month and year; `trading.statistics.Period`.
    trades : DataFrame
        All trades, by exit time.
    reasons : DataFrame or None
        Bars by reason; None when no decisions were recorded.
    paths : DataFrame or None
        Total return on both paths within bars; None when they are the same.
    """

    equity: pl.DataFrame
    months: pl.DataFrame
    years: pl.DataFrame
    trades: pl.DataFrame
    reasons: pl.DataFrame | None
    paths: pl.DataFrame | None


def read_content(result: ResultFiles) -> ReportContent:
    """Compose the content of a report from a result directory.

    Raises
    ------
    DataError
        If a table is missing or damaged.
    """
    summary = result.summary
    frames = _frames(result)
    daily = bool(frames.equity["session"].is_unique().all())
    steps = report_words.cost_steps(summary)
    return ReportContent(
        title=summary.strategy,
        description=summary.description,
        headline=report_words.headline(summary),
        origin=report_words.origin(summary),
        document=_readable(summary.document),
        summary=summary,
        daily=daily,
        facts=report_words.facts(summary),
        notes=report_words.notes(
            summary,
            n_sessions=int(frames.years["n_sessions"].sum()),
            n_differing=int(frames.trades["sign_differs"].sum() or 0),
        ),
        tiles=report_words.tiles(summary),
        groups=report_words.groups(summary),
        years=report_grids.year_grid(frames.years),
        drawdowns=report_grids.drawdown_grid(frames.equity, summary.starting_cash, daily=daily),
        instruments=report_grids.instrument_grid(summary),
        costs=report_grids.cost_grid(summary, steps, _traded_notional(result)),
        exits=report_grids.exit_grid(frames.trades, summary.currency),
        orders=report_grids.order_grid(result),
        assumptions=report_words.assumptions(summary),
        cost_steps=steps,
        frames=frames,
    )


def _readable(document: str) -> str:
    """Return a strategy document as it is, or indented when it is JSON on one line."""
    try:
        return json.dumps(json.loads(document), indent=2, ensure_ascii=False)
    except ValueError:
        return document


def _traded_notional(result: ResultFiles) -> float:
    """Return what was bought and sold, by the turnover: it knows the multipliers."""
    summary = result.summary
    if summary.turnover is None:
        return 0.0
    held = float(result.session_equity()["equity"].sum())
    return summary.turnover * held / summary.annualisation


def _frames(result: ResultFiles) -> Frames:
    summary = result.summary
    equity = result.equity()
    ends = result.session_equity()
    sessions = ends["session"].cast(pl.Int32).cast(pl.Int64).to_numpy()
    values = ends["equity"].to_numpy()
    held = ends["buy_and_hold"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    parts = {
        name: _period_frame(
            compute(
                values, summary.starting_cash, sessions,
                buy_and_hold=held, annualisation=summary.annualisation,
            )
        )
        for name, compute in (("months", statistics.by_month), ("years", statistics.by_year))
    }  # fmt: skip
    reasons = None
    if result.has(Table.DECISIONS):
        reasons = result.reasons()
    return Frames(
        equity=equity,
        trades=result.trades().sort("exit_ts", "symbol", "trade_id"),
        reasons=reasons,
        paths=_paths(summary),
        **parts,
    )


def _period_frame(periods: list[statistics.Period]) -> pl.DataFrame:
    schema: dict[str, Any] = {
        "year": pl.Int64, "month": pl.Int64, "n_sessions": pl.Int64, "total_return": pl.Float64,
        "buy_and_hold_return": pl.Float64, "volatility": pl.Float64, "sharpe": pl.Float64,
        "max_drawdown": pl.Float64,
    }  # fmt: skip
    return pl.DataFrame([period.as_record() for period in periods], schema=schema)


def _paths(summary: Summary) -> pl.DataFrame | None:
    """Return the two-path interval of the portfolio and each instrument, if there is one."""
    rows = []
    named: list[tuple[str, Figures]] = [("Portfolio", summary)]
    if len(summary.per_instrument) > 1:
        named += [(one.symbol, one) for one in summary.per_instrument]
    for name, one in named:
        if one.final_equity_optimistic is None or one.starting_cash <= 0:
            continue
        rows.append((
            name, one.final_equity / one.starting_cash - 1.0,
            one.final_equity_optimistic / one.starting_cash - 1.0,
        ))  # fmt: skip
    if all(low == high for _, low, high in rows):
        return None
    schema = {"name": pl.String, "low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")
