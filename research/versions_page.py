"""Several versions on one page of charts, and the same as a tidy table.

Owns what stands on the page and in ``versions.parquet``; which figures are
compared and how documents are told apart is the business of
`research.comparison`. The same results and evidence give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from markupsafe import Markup

from foundation.files import atomic_file, write_text
from research import charts, look, version_charts
from research.comparison import (
    UNITS,
    ComparedFigure,
    Difference,
    compare_figures,
    document_diff,
    document_differences,
    run_differences,
    same_days,
    tidy_figures,
    unlike_runs,
)
from research.look import Theme
from research.named_results import NamedResult
from research.page import chart_place, figure_json, script_json
from research.report import font_css, read_template, templates
from research.report_content import ReportContent, read_content
from research.report_parts import Grid, Level, Note
from research.summary import Summary
from strategies.lifecycle import REQUIRED_EVIDENCE, EvidenceKind, EvidenceState, Trigger

if TYPE_CHECKING:
    import plotly.graph_objects as go

HTML_FILE = "versions.html"
PARQUET_FILE = "versions.parquet"
# So many results are laid out in full; a page of more is of no use to anyone.
N_DRAWN = 8
# Labels that one note names.
N_NAMED = 5
_SECTIONS = (
    ("performance", "Performance"),
    ("figures", "Key figures"),
    ("periods", "Months and years"),
    ("trades", "Trades"),
    ("documents", "What differs"),
    ("evidence", "Evidence"),
)
_EVIDENCE_WORDS = {
    EvidenceKind.LOOK_AHEAD: "Look-ahead",
    EvidenceKind.RECURSION: "Warm-up",
    EvidenceKind.ROBUSTNESS: "Robustness",
    EvidenceKind.WALK_FORWARD: "Walk-forward",
    EvidenceKind.HOLDOUT: "Locked period",
    EvidenceKind.PLATEAU: "Plateau",
    EvidenceKind.MONTE_CARLO: "Monte Carlo",
    EvidenceKind.DEFLATED_SHARPE: "Deflated Sharpe",
}
# `docs/evidence.md` says what each column means.
SCHEMA = pa.schema(
    [
        ("result", pa.string()),
        ("strategy", pa.string()),
        ("version_hash", pa.string()),
        ("run_id", pa.string()),
        ("data_fingerprint", pa.string()),
        ("engine_version", pa.string()),
        ("instruments", pa.list_(pa.string())),
        ("start", pa.string()),  # First and last session, ISO dates.
        ("end", pa.string()),
        ("currency", pa.string()),
        ("kind", pa.string()),  # summary, year, month, evidence or trials.
        ("figure", pa.string()),
        ("period", pa.string()),  # 2024 or 2024-01, empty for the whole result.
        ("unit", pa.string()),
        ("value", pa.float64()),
        # From the first result; null for the first, and where the days are not the same.
        ("difference", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Legend:
    """One compared result at the top of the page."""

    label: str
    colour: str
    detail: str
    run: str


@dataclass(frozen=True, slots=True)
class Diff:
    """The lines in which a version's document differs from the first's."""

    label: str
    lines: tuple[tuple[str, str], ...]  # Of each line its kind (added, removed, place or same).


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that the page lays out and the table holds."""

    named: tuple[NamedResult, ...]
    contents: tuple[ReportContent, ...]
    figures: tuple[ComparedFigure, ...]
    run: tuple[Difference, ...]
    document: tuple[Difference, ...]
    notes: tuple[Note, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Short names of the results, in order."""
        return tuple(one.label for one in self.named)

    @property
    def summaries(self) -> tuple[Summary, ...]:
        """Their summaries, in order."""
        return tuple(one.summary for one in self.contents)


def compare_results(named: Sequence[NamedResult]) -> Comparison:
    """Read the results and lay them side by side; the others are compared with the first.

    Raises
    ------
    DataError
        If a result's tables are missing or damaged.
    """
    return _laid_beside(named, [read_content(one.result) for one in named])


def _laid_beside(named: Sequence[NamedResult], contents: Sequence[ReportContent]) -> Comparison:
    summaries = [one.summary for one in contents]
    return Comparison(
        tuple(named),
        tuple(contents),
        tuple(compare_figures(summaries)),
        tuple(run_differences(summaries)),
        tuple(document_differences(summaries)),
        _notes(named, summaries),
    )


def _notes(named: Sequence[NamedResult], summaries: Sequence[Summary]) -> tuple[Note, ...]:
    notes = [
        Note(Level.WARNING, f"{text} What differs may come from that, and not from the versions.")
        for text in unlike_runs(summaries)
    ]
    if len(named) > N_DRAWN:
        notes.append(
            Note(
                Level.NOTE,
                f"The table of all results has {len(named)} rows. Charts, figures, documents and"
                f" evidence below it are of the first {N_DRAWN} that were named;"
                f" {PARQUET_FILE} holds all of them.",
            )
        )
    missing: dict[str, list[str]] = {}
    for one, summary in zip(named, summaries, strict=True):
        lacks = []
        for kind in REQUIRED_EVIDENCE[Trigger.PAPER_STARTED]:
            state = _state(one, kind, summary)
            if state is EvidenceState.FAILED:
                text = f"{one.label} failed the {_EVIDENCE_WORDS[kind].lower()} check."
                notes.append(Note(Level.WARNING, text))
            elif state is not EvidenceState.PASSED:
                lacks.append(_EVIDENCE_WORDS[kind].lower())
        if lacks:
            missing.setdefault(" and ".join(lacks), []).append(one.label)
    for checks, labels in missing.items():
        text = f"Not examined on their engine and bars for {checks}: {_some(labels)}."
        notes.append(Note(Level.NOTE, f"{text} Run quarterdeck evidence."))
    trials = [_trials(one) for one in named]
    if not any(trials) and len({one.version_hash for one in summaries}) > 1:
        notes.append(
            Note(
                Level.NOTE,
                "How many versions and parameter sets were tried is not on record here. The best"
                " of many is partly luck; the figures are not deflated for it.",
            )
        )
    return tuple(notes)


def _some(labels: Sequence[str]) -> str:
    """Return names with commas, and how many more there are."""
    text = ", ".join(labels[:N_NAMED])
    n_more = len(labels) - N_NAMED
    return f"{text} and {n_more} more" if n_more > 0 else text


def _state(one: NamedResult, kind: EvidenceKind, summary: Summary) -> EvidenceState:
    held = one.evidence.get(kind)
    if held is None:
        return EvidenceState.MISSING
    return held.state(summary.engine_version, summary.data_fingerprint)


def _trials(one: NamedResult) -> dict[str, Any]:
    held = one.evidence.get(EvidenceKind.DEFLATED_SHARPE)
    return {} if held is None else dict(held.figures)


# The page.


def render_html(comparison: Comparison) -> str:
    """Render the page: one file that needs no network."""
    import plotly.offline

    overview = None
    n_all, title, notes = len(comparison.named), _title(comparison), comparison.notes
    if n_all > N_DRAWN:
        overview = overview_grid(comparison)
        comparison = _laid_beside(comparison.named[:N_DRAWN], comparison.contents[:N_DRAWN])
    figures = page_figures(comparison)
    shared: dict[tuple[str, ...], int] = {}
    data = {
        "file": "versions",
        "templates": {theme.value: look.template(theme).to_plotly_json() for theme in Theme},
        "figures": {name: figure_json(figure, shared) for name, figure in figures.items()},
        "shared": list(shared),
    }
    groups: dict[str, list[ComparedFigure]] = {}
    for figure in comparison.figures:
        groups.setdefault(figure.group, []).append(figure)
    return (
        templates()
        .get_template("versions.html.j2")
        .render(
            title=title,
            overview=overview,
            headline=_headline(comparison),
            engine=comparison.summaries[0].engine_version,
            labels=comparison.labels,
            legends=_legends(comparison),
            sections=_SECTIONS,
            notes=notes,
            groups=groups,
            chart=lambda name: chart_place(name, figures),
            months=[name for name in figures if name.startswith("months-")],
            years=year_grid(comparison),
            differences=_difference_grid(comparison),
            diffs=_diffs(comparison),
            evidence=evidence_grid(comparison),
            trials=_trial_grid(comparison),
            css=Markup(font_css() + read_template("report.css") + read_template("versions.css")),
            js=Markup(read_template("report.js")),
            plotly=Markup(plotly.offline.get_plotlyjs()),
            data=script_json(data),
        )
    )


def page_figures(comparison: Comparison) -> dict[str, go.Figure]:
    """Return the page's charts by name, in the order of the page."""
    by_name = dict(zip(comparison.labels, comparison.contents, strict=True))
    figures = {
        "growth": charts.comparison_chart(
            {name: content.frames.equity for name, content in by_name.items()}
        ),
        "years": version_charts.yearly_chart(
            {name: content.frames.years for name, content in by_name.items()}
        ),
    }
    first, alike = comparison.contents[0], _periods_alike(comparison)
    for k, (name, content) in enumerate(by_name.items()):
        if k == 0:
            figures["months-0"] = version_charts.monthly_chart(content.frames.months, name)
        else:
            figures[f"months-{k}"] = version_charts.monthly_difference_chart(
                _months_within(content, alike[k]), first.frames.months, name
            )
    figures["trades"] = version_charts.trade_returns_chart(
        {name: content.frames.trades for name, content in by_name.items()}
    )
    return figures


def _periods_alike(comparison: Comparison) -> list[frozenset[str]]:
    """Return for each result the years and months of which it has the first one's sessions."""
    spans = [_spans(content) for content in comparison.contents]
    return [
        frozenset(period for period, span in one.items() if spans[0].get(period) == span)
        for one in spans
    ]


def _spans(content: ReportContent) -> dict[str, tuple[Any, ...]]:
    """Return of each year and month its first and last session, and how many there are."""
    sessions = content.frames.equity.select(pl.col("session").unique())
    found: dict[str, tuple[Any, ...]] = {}
    for form in ("%Y", "%Y-%m"):
        spans = sessions.group_by(pl.col("session").dt.strftime(form).alias("period")).agg(
            first=pl.col("session").min(), last=pl.col("session").max(), n=pl.len()
        )
        found |= {row[0]: row[1:] for row in spans.iter_rows()}
    return found


def _months_within(content: ReportContent, periods: frozenset[str]) -> pl.DataFrame:
    months = content.frames.months
    names = pl.format("{}-{}", "year", pl.col("month").cast(pl.String).str.zfill(2))
    return months.filter(names.is_in(sorted(periods)))


def _title(comparison: Comparison) -> str:
    names = list(dict.fromkeys(one.strategy for one in comparison.summaries))
    versions = {one.version_hash for one in comparison.summaries}
    what = "versions" if len(versions) == len(comparison.named) else "results"
    text = " and ".join(names) if len(names) < 4 else f"{len(names)} strategies"
    return f"{text}: {len(comparison.named)} {what} compared"


def _headline(comparison: Comparison) -> str:
    first = comparison.named[0].label
    return f"All differences are from {first}, the first one named."


def _legends(comparison: Comparison) -> list[Legend]:
    return [
        Legend(
            one.label,
            version_charts.colour(k),
            f"{', '.join(summary.instruments)} · {summary.start} to {summary.end}",
            f"version {summary.version_hash[:12]} · data {summary.data_fingerprint[:12]} · "
            f"run {summary.run_id}",
        )
        for k, (one, summary) in enumerate(zip(comparison.named, comparison.summaries, strict=True))
    ]


def overview_grid(comparison: Comparison) -> Grid:
    """Return one row for each result: what it is of, and the figures that matter first."""
    rows = []
    for one, summary in zip(comparison.named, comparison.summaries, strict=True):
        states = [_state(one, kind, summary) for kind in REQUIRED_EVIDENCE[Trigger.PAPER_STARTED]]
        worst = next((state for state in states if state is not EvidenceState.PASSED), states[0])
        rows.append(
            (
                one.label, ", ".join(summary.instruments), summary.start, summary.end,
                look.percent(summary.total_return), look.percent(summary.cagr),
                look.number(summary.sharpe, 3), look.percent(_fall(summary.max_drawdown)),
                f"{summary.n_trades:,}", worst.value,
            )
        )  # fmt: skip
    columns = (
        "Result", "Instruments", "First session", "Last session", "Total return", "CAGR",
        "Sharpe ratio", "Maximum drawdown", "Trades", "Evidence",
    )  # fmt: skip
    left = frozenset(("Result", "Instruments", "First session", "Last session", "Evidence"))
    note = "Results of other days or instruments are not comparable by these figures."
    return Grid("All results", columns, tuple(rows), left, note)


def _fall(drawdown: float | None) -> float | None:
    return None if drawdown is None else -drawdown


def year_grid(comparison: Comparison) -> Grid:
    """Return each year's return of every version, and how far from the first's."""
    tables = [
        dict(content.frames.years.select("year", "total_return").iter_rows())
        for content in comparison.contents
    ]
    columns = ["Year", comparison.labels[0]]
    for label in comparison.labels[1:]:
        columns += [label, f"{label}, less the first"]
    rows, alike = [], _periods_alike(comparison)
    for year in sorted({year for table in tables for year in table}):
        first = tables[0].get(year)
        row = [str(year), look.percent(first)]
        for table, periods in zip(tables[1:], alike[1:], strict=True):
            value = table.get(year)
            gap = None
            if value is not None and first is not None and str(year) in periods:
                gap = value - first
            row += [look.percent(value), "" if gap is None else look.number(gap * 100.0)]
        rows.append(tuple(row))
    note = (
        "Session-end equity. Differences in points of a percentage; none where a year has other"
        " days in the two."
    )
    return Grid("Years", tuple(columns), tuple(rows), frozenset({"Year"}), note)


def _difference_grid(comparison: Comparison) -> Grid:
    rows = [("run", d.path, *d.values) for d in comparison.run]
    rows += [("document", d.path, *d.values) for d in comparison.document]
    columns = ("Of", "Place", *comparison.labels)
    return Grid("What differs", columns, tuple(rows), frozenset(columns))


def _diffs(comparison: Comparison) -> list[Diff]:
    kinds = {"+": "added", "-": "removed", "@": "place"}
    first = comparison.summaries[0]
    found = []
    for label, summary in zip(comparison.labels[1:], comparison.summaries[1:], strict=True):
        lines = document_diff(first, summary)
        found.append(Diff(label, tuple((kinds.get(one[:1], "same"), one) for one in lines)))
    return found


def evidence_grid(comparison: Comparison) -> Grid:
    """Return what was examined of each version, and what came of it."""
    asked = dict.fromkeys(REQUIRED_EVIDENCE[Trigger.PAPER_STARTED])
    for one in comparison.named:
        asked |= dict.fromkeys(one.evidence)
    rows = []
    for kind in sorted(asked, key=list(EvidenceKind).index):
        row = [_EVIDENCE_WORDS[kind]]
        for one, summary in zip(comparison.named, comparison.summaries, strict=True):
            row.append(_evidence_words(one, kind, summary))
        rows.append(tuple(row))
    columns = ("Check", *comparison.labels)
    note = (
        "Paper trading needs a passed look-ahead and a passed warm-up check of this very version,"
        " made with this version of the engine on the bars of its latest backtest."
    )
    return Grid("Evidence", columns, tuple(rows), frozenset(columns), note)


def _evidence_words(one: NamedResult, kind: EvidenceKind, summary: Summary) -> str:
    held = one.evidence.get(kind)
    if held is None:
        return "not examined"
    words = f"{'passed' if held.passed else 'failed'}"
    if held.recorded_at is not None:
        words += f" on {held.recorded_at:%Y-%m-%d}"
    if held.engine_version != summary.engine_version:
        words += f", on engine {held.engine_version}"
    if held.data_fingerprint != summary.data_fingerprint:
        words += ", on other bars than this result"
    found = held.figures
    if kind is EvidenceKind.LOOK_AHEAD and held.passed:
        words += f"; {found.get('n_cuts', 0):,} cuts"
    if kind is EvidenceKind.LOOK_AHEAD and not held.passed and found.get("first_difference"):
        words += f"; {found['first_difference']}"
    if kind is EvidenceKind.RECURSION and found.get("recommended_bars") is not None:
        words += f"; needs {found['recommended_bars']:,} bars of warm-up"
    if kind is EvidenceKind.ROBUSTNESS:
        words += f"; doubled costs {look.percent(found.get('doubled_costs_return'))}"
        words += f", entries a bar late {look.percent(found.get('late_entries_return'))}"
    return words


def _trial_grid(comparison: Comparison) -> Grid | None:
    """Return trials and deflated Sharpe ratios, None where none are on record."""
    trials = [_trials(one) for one in comparison.named]
    if not any(trials):
        return None
    rows = (
        ("Parameter sets tried", *(_counted(one.get("n_trials")) for one in trials)),
        ("Deflated Sharpe", *(look.percent(one.get("deflated_sharpe"), 1) for one in trials)),
    )
    columns = ("Selection", *comparison.labels)
    note = (
        "Deflated Sharpe: the probability that the true Sharpe ratio is above zero, given that the"
        " best of so many sets was kept; Bailey and López de Prado (2014)."
    )
    return Grid("Selection", columns, rows, frozenset({"Selection"}), note)


def _counted(value: Any) -> str:
    return look.UNDEFINED if value is None else f"{value:,}"


# The table.


def tidy_table(comparison: Comparison) -> pa.Table:
    """Return one row for each result and figure, with its difference from the first result's."""
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    first: dict[tuple[str, str, str], float | None] = {}
    alike = _periods_alike(comparison)
    for k, (one, content) in enumerate(zip(comparison.named, comparison.contents, strict=True)):
        summary = content.summary
        is_alike = same_days(comparison.summaries[0], summary)
        for kind, figure, period, unit, value in _tidy_rows(one, content):
            key = (kind, figure, period)
            known = first.get(key)
            if k == 0:
                first[key] = value
            gap = None
            compared = (kind == "summary" and is_alike) or (period and period in alike[k])
            if k and compared and value is not None and known is not None:
                gap = value - known
            row = (
                one.label, summary.strategy, summary.version_hash, summary.run_id,
                summary.data_fingerprint, summary.engine_version, summary.instruments,
                summary.start, summary.end, summary.currency, kind, figure, period, unit, value,
                gap,
            )  # fmt: skip
            for name, cell in zip(SCHEMA.names, row, strict=True):
                columns[name].append(cell)
    return pa.table(columns, schema=SCHEMA)


def _tidy_rows(
    one: NamedResult, content: ReportContent
) -> list[tuple[str, str, str, str, float | None]]:
    """Return kind, figure, period, unit and value of each row of a result."""
    rows: list[tuple[str, str, str, str, float | None]] = [
        ("summary", name, "", UNITS[name], value) for name, value in tidy_figures(content.summary)
    ]
    for kind, frame in (("year", content.frames.years), ("month", content.frames.months)):
        for record in frame.select("year", "month", "total_return", "max_drawdown").iter_rows():
            year, month, earned, depth = record
            period = str(year) if kind == "year" else f"{year}-{month:02d}"
            rows += [
                (kind, "total_return", period, "fraction", earned),
                (kind, "max_drawdown", period, "fraction", depth),
            ]
    for kind_of in one.evidence:
        state = _state(one, kind_of, content.summary)
        # Evidence of another engine or other bars says neither.
        passed = {EvidenceState.PASSED: 1.0, EvidenceState.FAILED: 0.0}.get(state)
        rows.append(("evidence", kind_of.value, "", "1 passed, 0 failed", passed))
    for name, value in sorted(_trials(one).items()):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            unit = "count" if name.startswith("n_") else "as its study states it"
            rows.append(("trials", name, "", unit, float(value)))
    return rows


def write_versions(
    comparison: Comparison, directory: Path, *, formats: Sequence[str]
) -> list[Path]:
    """Write the page, the table or both to a folder.

    Parameters
    ----------
    formats : sequence of str
        ``html``, ``parquet``.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    DataError
        If the disk is full or the folder can't be written.
    """
    written = []
    if "html" in formats:
        write_text(directory / HTML_FILE, render_html(comparison))
        written.append(directory / HTML_FILE)
    if "parquet" in formats:
        with atomic_file(directory / PARQUET_FILE) as partial:
            pq.write_table(tidy_table(comparison), partial, compression="zstd", store_schema=False)
        written.append(directory / PARQUET_FILE)
    return written
