"""Writes a result's report: one page for the browser, a PDF, the tables.

Owns which files a report has and the HTML page. What it says comes from
`research.report_content`, its charts from `research.charts`; the PDF is made
by `research.pdf`, the tables by `research.tables`. The input is the result
directory alone, and the same directory gives the same bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import polars as pl
from markupsafe import Markup

from foundation.files import write_bytes, write_text
from foundation.progress import Progress, silent
from research import chart_parts, charts, decision_charts, look, price_charts
from research.look import Theme
from research.page import chart_place, figure_json, script_json
from research.report_content import ReportContent, read_content
from research.report_grids import trade_grid
from research.report_words import RAW_PRICES
from research.results import INDICATOR_PREFIX, ResultFiles, Table, open_result

if TYPE_CHECKING:
    import plotly.graph_objects as go

FORMATS = ("html", "pdf", "xlsx", "csv")
HTML_FILE = "report.html"
PDF_FILE = "report.pdf"
XLSX_FILE = "report.xlsx"
N_TRADES_SHOWN = 5_000
N_PRICE_CHARTS = 8
# Equity that grew more than this many times is drawn on a log scale.
LOG_RATIO = 8.0

_HERE = Path(__file__).parent
_SECTIONS = (
    ("performance", "Performance"),
    ("figures", "Key figures"),
    ("periods", "Months and years"),
    ("instruments", "Instruments"),
    ("trades", "Trades"),
    ("costs", "Costs"),
    ("decisions", "Decisions"),
    ("method", "Method"),
    ("downloads", "Downloads"),
)
_TONED_COLUMNS = ("Net profit", "Return")
_PARQUET_WORDS = {
    Table.TRADES: "trades, from flat to flat, with MAE and MFE",
    Table.ORDERS: "orders and what became of them",
    Table.FILLS: "fills with execution ids",
    Table.CASH_EVENTS: "dividends, borrow cost, split fractions",
    Table.EQUITY: "equity by bar, of each instrument and the portfolio",
    Table.DECISIONS: "every bar's conditions, indicators and reasons",
}


def write_report(
    result_dir: Path,
    *,
    formats: Iterable[str] = FORMATS,
    progress: Progress = silent,
) -> list[Path]:
    """Write the report of a result beside its files.

    Parameters
    ----------
    result_dir : Path
        A directory written by a backtest.
    formats : iterable of str
        Any of ``html``, ``pdf``, ``xlsx``, ``csv``.
    progress : Progress
        Told before each format and at the end.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    DataError
        If the directory holds no whole result, or the disk is full.
    ValueError
        If a format is not known.
    """
    wanted = list(dict.fromkeys(formats))
    unknown = [name for name in wanted if name not in FORMATS]
    if unknown:
        raise ValueError(f"unknown report format {unknown[0]!r}; formats are {', '.join(FORMATS)}")
    result = open_result(result_dir)
    content = read_content(result)
    written: list[Path] = []
    for i_format, name in enumerate(wanted):
        progress(i_format, len(wanted), f"report {name}")
        written.extend(_write_format(name, result, content))
    progress(len(wanted), len(wanted), "report")
    return written


def _write_format(name: str, result: ResultFiles, content: ReportContent) -> list[Path]:
    directory = result.directory
    if name == "html":
        write_text(directory / HTML_FILE, render_html(result, content))
        return [directory / HTML_FILE]
    if name == "pdf":
        from research.pdf import render_pdf

        write_bytes(directory / PDF_FILE, render_pdf(result, content))
        return [directory / PDF_FILE]
    from research import tables

    if name == "xlsx":
        return [tables.write_workbook(result, content, directory / XLSX_FILE)]
    return tables.write_csv(result, content, directory)


def render_html(result: ResultFiles, content: ReportContent) -> str:
    """Render the page: one file that needs no network."""
    import plotly.offline

    figures = report_figures(result, content)
    price_charts = [name for name in figures if name.startswith("price-")]
    trades = trade_grid(
        content.frames.trades,
        N_TRADES_SHOWN,
        daily=content.daily,
        currency=content.summary.currency,
    )
    shared: dict[tuple[str, ...], int] = {}
    data = {
        "file": content.title,
        "templates": {theme.value: look.template(theme).to_plotly_json() for theme in Theme},
        "figures": {name: figure_json(figure, shared) for name, figure in figures.items()},
        "shared": list(shared),
        "trades": trades.rows,
        "toned": [trades.columns.index(name) for name in _TONED_COLUMNS],
    }
    return (
        templates()
        .get_template("report.html.j2")
        .render(
            content=content,
            sections=_SECTIONS,
            chart=lambda name: chart_place(name, figures),
            price_charts=price_charts,
            price_note=_price_note(content, len(price_charts)),
            paths=content.frames.paths is not None,
            reasons=content.frames.reasons is not None,
            raw_prices=RAW_PRICES,
            trades=trades,
            downloads=_downloads(result),
            css=Markup(font_css() + read_template("report.css")),
            js=Markup(read_template("report.js")),
            plotly=Markup(plotly.offline.get_plotlyjs()),
            data=script_json(data),
        )
    )


def report_figures(result: ResultFiles, content: ReportContent) -> dict[str, go.Figure]:
    """Return the page's charts by name, in the order of the page."""
    frames, currency = content.frames, content.summary.currency
    figures = {
        "equity": charts.equity_chart(
            frames.equity, currency=currency, log=grows_much(frames.equity)
        ),
        "drawdown": charts.drawdown_chart(frames.equity),
        "exposure": charts.exposure_chart(frames.equity),
        "months": charts.monthly_returns_chart(frames.months),
    }
    if frames.years.height > 1:
        figures["years"] = charts.yearly_returns_chart(frames.years)
    if frames.paths is not None:
        figures["paths"] = charts.two_path_chart(frames.paths)
    for i_symbol, symbol in enumerate(charted_symbols(content)):
        prices = price_frame(result, symbol)
        figures[f"price-{i_symbol}"] = price_charts.price_chart(
            prices,
            frames.trades.filter(pl.col("symbol") == symbol),
            symbol=symbol,
            currency=currency,
            indicators=[name for name in prices.columns if name.startswith(INDICATOR_PREFIX)],
            overlays=overlays_of(prices, content.summary.price_indicators),
        )
    figures["distribution"] = charts.trade_distribution_chart(frames.trades)
    figures["excursion"] = charts.excursion_chart(frames.trades)
    figures["costs"] = charts.cost_chart(content.cost_steps, currency=currency)
    if frames.reasons is not None:
        figures["reasons"] = decision_charts.reasons_chart(frames.reasons)
    return figures


def charted_symbols(content: ReportContent, n_most: int = N_PRICE_CHARTS) -> list[str]:
    """Return the instruments whose prices are drawn: those with most trades, in their order."""
    names = content.summary.instruments
    if len(names) <= n_most:
        return names
    counted = dict(content.frames.trades.group_by("symbol").agg(pl.len()).iter_rows())
    most = sorted(names, key=lambda name: -counted.get(name, 0))[:n_most]
    return [name for name in names if name in most]


def price_frame(result: ResultFiles, symbol: str) -> pl.DataFrame:
    """Return an instrument's closes and indicators by bar, with the session."""
    prices = result.equity(symbol).select("ts", "session", pl.col("price").alias("close"))
    if not result.has(Table.DECISIONS):
        return prices
    decisions = result.decisions(symbol)
    wanted = [name for name in decisions.columns if name.startswith(INDICATOR_PREFIX)]
    used = [name for name in wanted if decisions[name].is_finite().any()]
    return prices.join(decisions.select("ts", *used), on="ts", how="left", maintain_order="left")


def overlays_of(prices: pl.DataFrame, price_indicators: list[str] | None) -> list[str]:
    """Return the indicator columns to draw over the price.

    Unit and size must both fit: an oscillator may happen to have the size of
    the price, and a range has its unit.
    """
    return [
        name
        for name in prices.columns
        if name.startswith(INDICATOR_PREFIX)
        and (price_indicators is None or chart_parts.label(name) in price_indicators)
        and price_charts.is_overlay(prices, name)
    ]


@cache
def templates() -> jinja2.Environment:
    """Return the environment of the report's templates; text is escaped."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def read_template(name: str) -> str:
    """Return a file of the template folder as it is."""
    return (_HERE / "templates" / name).read_text(encoding="utf-8")


@cache
def font_css() -> str:
    """Return the font faces with the fonts in them, so that every reader sees the same."""
    faces = []
    for weight, name in ((400, "Inter-Regular.otf"), (600, "Inter-SemiBold.otf")):
        content = base64.b64encode((_HERE / "fonts" / name).read_bytes()).decode()
        faces.append(
            f'@font-face{{font-family:"Inter";font-weight:{weight};font-style:normal;'
            f'src:url(data:font/otf;base64,{content}) format("opentype")}}\n'
        )
    return "".join(faces)


def grows_much(equity: pl.DataFrame) -> bool:
    """Return whether equity spans so much that a log scale reads better."""
    values = equity["equity"]
    low = float(values.min() or 0.0)  # type: ignore[arg-type]
    return low > 0 and float(values.max() or 0.0) / low > LOG_RATIO  # type: ignore[arg-type]


def _price_note(content: ReportContent, n_drawn: int) -> str:
    n_left = len(content.summary.instruments) - n_drawn
    if n_left <= 0:
        return ""
    return f"Prices of the {n_drawn} instruments with most trades are drawn; {n_left} are left out."


def _downloads(result: ResultFiles) -> list[tuple[str, str]]:
    from research.tables import CSV_FILES

    files = [
        (PDF_FILE, "this report for print"),
        (XLSX_FILE, "all tables as a workbook"),
        ("summary.json", "key figures for programs"),
    ]
    files += [(name, what) for name, what in CSV_FILES]
    files += [
        (table.file_name, words) for table, words in _PARQUET_WORDS.items() if result.has(table)
    ]
    return files
