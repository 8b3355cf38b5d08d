"""The files of a Monte Carlo analysis: JSON, Parquet and one page of charts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from foundation.files import atomic_directory
from foundation.log_file import note
from research import look, study_charts
from research.arrow_columns import numbers, table_of, texts
from research.monte_carlo import MonteCarlo
from research.monte_carlo_paths import QUANTILES, MonteCarloOptions, Paths, path_figures
from research.report_parts import Grid, Level, Note, Tile
from research.results import PORTFOLIO
from research.study_page import PAGE_FILE, Section, StudyPage, render_study
from research.study_parts import write_json, write_parquet

MONTE_CARLO_FILE = "monte_carlo.json"
_NAMES = {
    "shuffled": "Trades in another order",
    "drawn": "Trades drawn again",
    "noise": "Spoiled entries",
}
_MEANT = (
    "Trades in another order: the same trades, each earning the share of equity that it did; the "
    "final equity stays, the way there changes. Trades drawn again: as many trades, drawn with "
    "replacement, as if the next period had trades like these. Both take overlapping trades of "
    "several instruments one after the other, and lose whatever made trades follow each other."
)


_NOISE = (
    "all four prices of a bar are moved by one draw for the side that enters; a strategy that goes "
    "both ways has them moved in bars where an entry may fill, and an exit on the same side there "
    "trades at them, too"
)


def write_monte_carlo(study: MonteCarlo, directory: Path) -> dict[str, Any]:
    """Write all files of a Monte Carlo analysis, all or none.

    Raises
    ------
    DataError
        If the disk is full or the directory can't be written; what was there
        before stays whole.
    """
    about = describe_monte_carlo(study)
    page = render_study(monte_carlo_page(study, about))
    with atomic_directory(directory) as partial:
        write_parquet(partial / "paths.parquet", paths_table(study))
        write_parquet(partial / "bands.parquet", bands_table(study))
        write_json(partial / MONTE_CARLO_FILE, about)
        (partial / PAGE_FILE).write_text(page, "utf-8")
    note(strategy=study.result.summary.strategy, study_id=study.study_id, directory=str(directory))
    return about


def describe_monte_carlo(study: MonteCarlo) -> dict[str, Any]:
    """Return what ``monte_carlo.json`` says."""
    summary = study.result.summary
    return {
        "kind": "monte_carlo",
        "study_id": study.study_id,
        "strategy": summary.strategy,
        "version_hash": summary.version_hash,
        "data_fingerprint": summary.data_fingerprint,
        "engine_version": summary.engine_version,
        "run_id": summary.run_id,
        "instruments": summary.instruments,
        "currency": summary.currency,
        "start": summary.start,
        "end": summary.end,
        "starting_cash": summary.starting_cash,
        "options": study.options.describe(),
        "n_trades": len(study.trade_shares),
        "as_it_happened": {
            "final_equity": summary.final_equity,
            "total_return": summary.total_return,
            "max_drawdown": summary.max_drawdown,
            "max_drawdown_of_trades": study.actual_drawdown,
        },
        "paths": {
            name: path_figures(paths, summary.starting_cash) for name, paths in study.kinds.items()
        },
    }


def paths_table(study: MonteCarlo) -> pa.Table:
    """Return one row for each path."""
    kinds = list(study.kinds.items())
    return table_of(
        {
            "kind": texts([name for name, paths in kinds for _ in paths.final_equity]),
            "path": numbers(
                np.concatenate(
                    [np.arange(1, len(p.final_equity) + 1, dtype=np.int64) for _, p in kinds]
                )
            ),
            "final_equity": numbers(np.concatenate([p.final_equity for _, p in kinds])),
            "max_drawdown": numbers(np.concatenate([p.max_drawdown for _, p in kinds])),
            "ruined": np.concatenate([p.ruined for _, p in kinds]),
            "n_trades": numbers(np.concatenate([p.n_trades for _, p in kinds])),
        }
    )


def bands_table(study: MonteCarlo) -> pa.Table:
    """Return the quantiles of equity: by trades done, or by session for spoiled entries."""
    kinds = list(study.kinds.items())
    columns: dict[str, Any] = {
        "kind": texts([name for name, paths in kinds for _ in paths.band_x]),
        # Trades done, or days since 1970-01-01.
        "x": numbers(np.concatenate([paths.band_x for _, paths in kinds])),
    }
    for k, quantile in enumerate(QUANTILES):
        columns[f"q{round(100 * quantile):02d}"] = numbers(
            np.concatenate([paths.bands[k] for _, paths in kinds])
        )
    return table_of(columns)


def monte_carlo_page(study: MonteCarlo, about: dict[str, Any]) -> StudyPage:
    """Put the page together."""
    summary, options = study.result.summary, study.options
    start = summary.starting_cash
    figures = {
        "orders": _trade_bands(study, study.kinds["drawn"], "drawn"),
        "depths": study_charts.distribution_chart(
            {_NAMES[name]: study.kinds[name].max_drawdown for name in ("shuffled", "drawn")},
            title="Largest drawdown over the trades",
            x_title="Largest drawdown, at trades' ends (%)",
            actual=study.actual_drawdown,
        ),
        "finals": study_charts.distribution_chart(
            {_NAMES["drawn"]: study.kinds["drawn"].final_equity / start - 1.0},
            title="Total return of trades drawn again",
            x_title="Total return (%)",
            actual=summary.total_return,
        ),
    }
    noise = study.kinds.get("noise")
    if noise is not None:
        figures["noise"] = _noise_bands(study, noise)
        figures["noise-finals"] = study_charts.distribution_chart(
            {_NAMES["noise"]: noise.final_equity / start - 1.0},
            title="Total return with spoiled entries",
            x_title="Total return (%)",
            actual=summary.total_return,
        )
    return StudyPage(
        title=summary.strategy,
        kind="Monte Carlo",
        headline=(
            f"{', '.join(summary.instruments)} · {summary.timeframe} · {summary.start} to "
            f"{summary.end} · {len(study.trade_shares):,} trades · "
            f"{look.money(start, summary.currency, 0)}"
        ),
        study_id=study.study_id,
        engine_version=summary.engine_version,
        tiles=_tiles(about),
        notes=(Note(Level.NOTE, _MEANT),),
        sections=_sections(study, about),
        figures=figures,
        origin=f"of the backtest {summary.run_id}, seed {options.seed}",
    )


def _trade_bands(study: MonteCarlo, paths: Paths, name: str) -> Any:
    shown = [int(x) for x in paths.band_x]
    return study_charts.band_chart(
        shown, paths.bands, title=f"Equity: {_NAMES[name].lower()}",
        note=f"{len(paths.final_equity):,} paths", x_title="Trades done",
        currency=study.result.summary.currency, actual=(shown, study.actual_equity[paths.band_x]),
    )  # fmt: skip


def _noise_bands(study: MonteCarlo, paths: Paths) -> Any:
    options = study.options
    portfolio = study.result.session_equity(PORTFOLIO)
    dates = [str(one) for one in portfolio["session"].to_list()]
    equity = dict(zip(dates, portfolio["equity"].to_list(), strict=True))
    x = study_charts.days(paths.band_x)
    chart = study_charts.band_chart(
        x, paths.bands, title="Equity with spoiled entries",
        note=(
            f"{len(paths.final_equity):,} runs; {look.percent(options.skip, 0)} of entries missed, "
            f"{look.percent(options.delay, 0)} late by {options.delay_bars} "
            f"{'bar' if options.delay_bars == 1 else 'bars'}, {noise_words(options)}"
        ),
        x_title="Session date", currency=study.result.summary.currency,
        actual=(x, np.array([equity[one] for one in x])),
    )  # fmt: skip
    chart.update_xaxes(type="date")
    return chart


def noise_words(options: MonteCarloOptions) -> str:
    """Say how far entry prices are off, such as ``prices off by 5 bp and 0.1 of the range``."""
    parts = []
    if options.noise_bps:
        parts.append(f"{options.noise_bps:g} bp")
    if options.noise_ticks:
        parts.append(f"{options.noise_ticks:g} {'tick' if options.noise_ticks == 1 else 'ticks'}")
    if options.noise_range:
        parts.append(f"{options.noise_range:g} of the bar's range")
    return f"prices off by {' and '.join(parts)}" if parts else "prices as they were"


def _tiles(about: dict[str, Any]) -> tuple[Tile, ...]:
    drawn, real = about["paths"]["drawn"], about["as_it_happened"]
    shuffled = about["paths"]["shuffled"]
    tiles = [
        Tile("Return", look.percent(real["total_return"], 1), "as it happened"),
        Tile("5 % of paths earn less", look.percent(drawn["return_05"], 1), "trades drawn again",
             "loss" if drawn["return_05"] < 0 else "gain"),
        Tile("Paths that lose", look.percent(drawn["share_of_losses"], 1), "trades drawn again"),
        Tile("Drawdown", look.percent(shuffled["drawdown_95"], 1), "1 of 20 orders is deeper"),
        Tile("Ruin", look.percent(drawn["share_ruined"], 1), "trades drawn again"),
    ]  # fmt: skip
    noise = about["paths"].get("noise")
    if noise is not None:
        tiles.append(
            Tile("Spoiled entries", look.percent(noise["return_50"], 1), "median return",
                 "loss" if noise["return_50"] < 0 else "gain")
        )  # fmt: skip
    return tuple(tiles)


def _sections(study: MonteCarlo, about: dict[str, Any]) -> tuple[Section, ...]:
    options = study.options
    ruin = look.percent(options.ruin, 0)
    sections = [
        Section(
            anchor="orders", title="Order of trades", charts=("orders", "depths", "finals"),
            grids=(_grid(about),),
        )
    ]  # fmt: skip
    if "noise" in study.kinds:
        sections.append(
            Section(
                anchor="noise", title="Spoiled entries",
                texts=(
                    "Each path runs the engine again over the same bars. Of every stretch of bars "
                    "on which an entry condition is true, some are missed altogether and some seen "
                    "late; what is held, what stops out and which later entries become possible "
                    "follows from that. Entries trade at prices that are off by a normal draw for "
                    "each bar: limits may not be reached, stops and targets stand at their distance "
                    "from the entry as it became, and later trades are sized by the equity that is "
                    "left. Exits trade at the bars' own prices.",
                ),
                charts=("noise", "noise-finals"),
            )
        )  # fmt: skip
    sections.append(
        Section(
            anchor="method", title="Method",
            pairs=(
                ("A trade's share", "net profit over the portfolio's equity before its entry"),
                ("Ruin", f"equity at or below {ruin} of the start, at a trade's or session's end"),
                ("Entry prices", _NOISE),
                ("Seed", str(options.seed)),
            ),
            document=study.result.summary.document,
            downloads=(
                (MONTE_CARLO_FILE, "everything for programs"),
                ("paths.parquet", "a row for each path"),
                ("bands.parquet", "quantiles of equity"),
            ),
        )
    )  # fmt: skip
    return tuple(sections)


def _grid(about: dict[str, Any]) -> Grid:
    rows = tuple(
        (
            _NAMES[name],
            f"{int(found['n_paths']):,}",
            *(
                look.percent(found[key], 1)
                for key in (
                    "return_05", "return_50", "return_95", "share_of_losses", "drawdown_50",
                    "drawdown_95", "share_ruined",
                )
            ),
            f"{int(found['trades_50']):,}",
        )
        for name, found in about["paths"].items()
    )  # fmt: skip
    columns = (
        "Paths", "Number", "Return 5 %", "Median", "95 %", "That lose", "Drawdown, median",
        "Drawdown 95 %", "Ruined", "Trades, median",
    )  # fmt: skip
    return Grid("What the paths came to", columns, rows, frozenset(("Paths",)))
