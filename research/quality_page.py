"""One page about the quality of series: charts, and a table of findings to filter.

Opens without a network; the same findings and bars give the same bytes. The
charts are those of `research.data_charts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from markupsafe import Markup

from foundation.files import write_text
from market_data.columns import BarColumns
from market_data.quality.checking import FAMILIES, Checked
from market_data.quality.coverage import Coverage, coverage_of
from market_data.quality.findings import QualityFinding, Severity, ordered
from market_data.quality.limits import LIMITS
from market_data.quality.returns import returns_in_sigmas
from market_data.quality.subject import FloatArray
from market_data.sessions import SessionTable, date_of
from research import data_charts, look
from research.look import Theme
from research.page import chart_place, figure_json, script_json
from research.report import font_css, read_template, templates
from research.report_parts import Tile

if TYPE_CHECKING:
    import plotly.graph_objects as go

N_SERIES_DRAWN = 8


@dataclass(frozen=True, slots=True)
class SeriesOnPage:
    """A checked series with what its charts need.

    Attributes
    ----------
    checked : Checked
    columns : BarColumns or None
        None leaves its charts out.
    coverage : Coverage or None
    moves : float64 array or None
        As of `returns_in_sigmas`.
    """

    checked: Checked
    columns: BarColumns | None = None
    coverage: Coverage | None = None
    moves: FloatArray | None = None

    @classmethod
    def drawn(cls, checked: Checked, columns: BarColumns, table: SessionTable) -> SeriesOnPage:
        """Return a series with its charts, held to what its checks were held to."""
        frame, companies = checked.timeframe, checked.companies
        return cls(
            checked,
            columns,
            coverage_of(columns, table, frame, companies),
            returns_in_sigmas(columns, table, frame, checked.actions, companies),
        )

    @property
    def name(self) -> str:
        """Symbol and timeframe."""
        return f"{self.checked.symbol} {self.checked.timeframe}"


def most_concerned(checked: Sequence[Checked], n_most: int = N_SERIES_DRAWN) -> list[Checked]:
    """Return the series to draw: those with the worst and most findings, in their order."""

    def weight(one: Checked) -> tuple[int, int]:
        n_errors = sum(finding.severity == Severity.ERROR for finding in one.findings)
        n_warnings = sum(finding.severity == Severity.WARNING for finding in one.findings)
        return n_errors, n_warnings

    worst = sorted(checked, key=weight, reverse=True)[:n_most]
    return [one for one in checked if one in worst]


def write_quality_page(path: Path, series: Sequence[SeriesOnPage], *, title: str) -> None:
    """Write the page, whole or not at all."""
    write_text(path, render_quality_page(series, title=title))


def render_quality_page(series: Sequence[SeriesOnPage], *, title: str) -> str:
    """Render the page: one file that needs no network."""
    import plotly.offline

    findings = ordered(finding for one in series for finding in one.checked.findings)
    figures = page_figures(series, findings)
    data = {
        "file": title,
        "templates": {theme.value: look.template(theme).to_plotly_json() for theme in Theme},
        "figures": {name: figure_json(figure) for name, figure in figures.items()},
        "rows": [_row(finding) for finding in findings],
    }
    names = [name for name in figures if name != "overview"]
    families = [
        (family, [(check, words) for check, words in checks.items()])
        for family, checks in FAMILIES.items()
    ]
    return (
        templates()
        .get_template("quality.html.j2")
        .render(
            title=title,
            headline=_headline(series),
            tiles=_tiles(series, findings),
            overview=chart_place("overview", figures),
            charts=[chart_place(name, figures) for name in names],
            note=_drawn_note(series),
            series=[_series_row(one) for one in series],
            columns=_COLUMNS,
            families=families,
            css=Markup(font_css() + read_template("report.css")),
            js=Markup(read_template("page.js") + read_template("quality.js")),
            plotly=Markup(plotly.offline.get_plotlyjs()),
            data=script_json(data),
        )
    )


def page_figures(
    series: Sequence[SeriesOnPage], findings: Sequence[QualityFinding]
) -> dict[str, go.Figure]:
    """Return the page's charts by name, in the order of the page."""
    frame = findings_frame(findings)
    figures = {"overview": data_charts.overview_chart(frame, [one.name for one in series])}
    for i, one in enumerate(series):
        if one.columns is None or one.columns.n_bars == 0:
            continue
        own = frame.filter(pl.col("series") == one.name)
        prices = pl.DataFrame({"ts": one.columns.ts, "close": one.columns.prices[3]}).with_columns(
            pl.from_epoch("ts", time_unit="ns").dt.replace_time_zone("UTC")
        )
        figures[f"price-{i}"] = data_charts.findings_chart(prices, own, name=one.name)
        if one.coverage is not None:
            figures[f"coverage-{i}"] = data_charts.coverage_chart(
                _coverage_frame(one.coverage), name=one.name
            )
        if one.moves is not None:
            figures[f"moves-{i}"] = data_charts.return_chart(one.moves, LIMITS.jump, name=one.name)
    return figures


def findings_frame(findings: Sequence[QualityFinding]) -> pl.DataFrame:
    """Return findings as the charts take them."""
    return pl.DataFrame(
        {
            "series": [f"{one.symbol} {one.timeframe}" for one in findings],
            "check": [one.check for one in findings],
            "severity": [one.severity.word for one in findings],
            "first_ts": [one.first_ts for one in findings],
            "last_ts": [one.last_ts for one in findings],
            "evidence": [one.evidence for one in findings],
        },
        schema={
            "series": pl.String, "check": pl.String, "severity": pl.String,
            "first_ts": pl.Int64, "last_ts": pl.Int64, "evidence": pl.String,
        },
    ).with_columns(
        pl.from_epoch(name, time_unit="ns").dt.replace_time_zone("UTC")
        for name in ("first_ts", "last_ts")
    )  # fmt: skip


def _coverage_frame(coverage: Coverage) -> pl.DataFrame:
    months = coverage.month.astype(np.int64)
    return pl.DataFrame(
        {
            "year": 1970 + months // 12,
            "month": months % 12 + 1,
            "there": coverage.there,
            "scheduled": coverage.scheduled,
        }
    )


def _headline(series: Sequence[SeriesOnPage]) -> str:
    n_bars = sum(one.checked.n_bars for one in series)
    names = ", ".join(one.name for one in series[:6])
    more = f" and {len(series) - 6} more" if len(series) > 6 else ""
    return f"{n_bars:,} bars of {names}{more}"


def _tiles(series: Sequence[SeriesOnPage], findings: Sequence[QualityFinding]) -> tuple[Tile, ...]:
    counts = {severity: sum(one.severity == severity for one in findings) for severity in Severity}
    concerned = {(f.symbol, f.timeframe) for f in findings if f.severity >= Severity.WARNING}
    n_wrong = sum(f.n_bars for f in findings if f.severity == Severity.ERROR and f.single)
    return (
        Tile("Series", f"{len(series):,}", f"{len(concerned):,} with warnings or errors"),
        Tile("Bars", f"{sum(one.checked.n_bars for one in series):,}", "checked one by one"),
        Tile(
            "Errors", f"{counts[Severity.ERROR]:,}", "results mislead",
            "loss" if counts[Severity.ERROR] else "",
        ),
        Tile("Warnings", f"{counts[Severity.WARNING]:,}", "a person should look"),
        Tile("Notes", f"{counts[Severity.INFO]:,}", "nothing to do"),
        Tile("Wrong bars", f"{n_wrong:,}", "could be put in quarantine"),
    )  # fmt: skip


_COLUMNS = ("Severity", "Series", "Check", "First", "Last", "Bars", "Measure", "Limit", "Unit",
            "Evidence")  # fmt: skip


def _row(finding: QualityFinding) -> list[str]:
    return [
        finding.severity.word, f"{finding.symbol} {finding.timeframe}", look.words(finding.check),
        _when(finding.first_ts), _when(finding.last_ts), f"{finding.n_bars:,}",
        _figure(finding.measure), _figure(finding.limit), finding.unit, finding.evidence,
    ]  # fmt: skip


def _when(ns: int) -> str:
    return str(np.datetime64(int(ns), "ns").astype("datetime64[m]")).replace("T", " ")


def _figure(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1e6 else f"{value:.3g}"


def _series_row(one: SeriesOnPage) -> tuple[str, ...]:
    checked = one.checked
    counts = [sum(f.severity == severity for f in checked.findings) for severity in Severity]
    days = checked.first_ts // 86_400_000_000_000, checked.last_ts // 86_400_000_000_000
    return (
        checked.symbol, checked.timeframe, checked.calendar, f"{checked.n_bars:,}",
        f"{date_of(days[0])}", f"{date_of(days[1])}", *(f"{n:,}" for n in reversed(counts)),
    )  # fmt: skip


def _drawn_note(series: Sequence[SeriesOnPage]) -> str:
    n_left = sum(one.columns is None for one in series)
    if not n_left:
        return ""
    return (
        f"The {len(series) - n_left} series with the worst findings are drawn; {n_left:,} are not. "
        "Check one series alone to see its charts."
    )
