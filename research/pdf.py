"""The report as PDF, laid out by WeasyPrint: no browser, no network.

Owns the choice of what a printed report shows; words and tables come from
`research.report_content`, charts from `research.vector_charts`. The same
result gives the same bytes: fonts come with the package, and the file's
identifier is a hash of what it shows instead of a random number.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import numpy as np
import polars as pl
from markupsafe import Markup

from research import look, vector_charts
from research.report_content import ReportContent
from research.report_grids import month_grid, trade_grid
from research.report_parts import Grid
from research.report_words import RAW_PRICES
from research.results import INDICATOR_PREFIX, ResultFiles

N_TRADES_PRINTED = 150
N_PRICE_CHARTS = 4


def render_pdf(result: ResultFiles, content: ReportContent) -> bytes:
    """Render the report as a PDF file."""
    import weasyprint
    from weasyprint.text.fonts import FontConfiguration
    from weasyprint.urls import URLFetcher

    page = render_page(result, content)
    fonts = FontConfiguration()
    # All that the page shows is in the page; it can load nothing from outside.
    only_itself = URLFetcher(allowed_protocols={"data"}, fail_on_errors=True)
    document = weasyprint.HTML(string=page, url_fetcher=only_itself)
    written: bytes = document.write_pdf(
        font_config=fonts,
        pdf_identifier=hashlib.sha256(page.encode()).digest()[:16],
    )
    return written


def render_page(result: ResultFiles, content: ReportContent) -> str:
    """Render the HTML that WeasyPrint lays out, with fonts and charts in it."""
    from research.report import font_css, read_template, templates

    months = month_grid(content.frames.months)
    page: str = (
        templates()
        .get_template("pdf.html.j2")
        .render(
            content=content,
            css=Markup(font_css() + read_template("pdf.css")),
            months=months,
            raw_prices=RAW_PRICES,
            shades=_shades(content, months),
            trades=trade_grid(
                content.frames.trades,
                N_TRADES_PRINTED,
                daily=content.daily,
                currency=content.summary.currency,
            ),
            charts=_charts(result, content),
        )
    )
    return page


def _charts(result: ResultFiles, content: ReportContent) -> dict[str, Any]:
    """Return the charts as images by name; those of prices as a list."""
    from research.report import charted_symbols, grows_much, overlays_of, price_frame

    frames, currency = content.frames, content.summary.currency
    charts: dict[str, Any] = dict.fromkeys(
        ("years", "paths", "distribution", "excursion", "reasons")
    )
    charts |= {
        "equity": _image(
            vector_charts.equity_svg(
                frames.equity, currency=currency, log=grows_much(frames.equity)
            ),
            "Equity, drawdown and exposure",
        ),
        "costs": _image(
            vector_charts.cost_svg(content.cost_steps, currency=currency), "Cost breakdown"
        ),
    }
    if frames.years.height > 1:
        charts["years"] = _image(vector_charts.years_svg(frames.years), "Yearly returns")
    if frames.paths is not None:
        charts["paths"] = _image(vector_charts.paths_svg(frames.paths), "Two-path interval")
    if frames.trades.height:
        charts["distribution"] = _image(
            vector_charts.distribution_svg(frames.trades), "Returns of trades"
        )
        charts["excursion"] = _image(
            vector_charts.excursion_svg(frames.trades), "Adverse excursion and return"
        )
    if frames.reasons is not None and frames.reasons.height:
        charts["reasons"] = _image(vector_charts.reasons_svg(frames.reasons), "Decisions")
    prices = []
    for symbol in charted_symbols(content, N_PRICE_CHARTS):
        frame = price_frame(result, symbol)
        drawing = vector_charts.price_svg(
            frame,
            frames.trades.filter(pl.col("symbol") == symbol),
            currency=currency,
            indicators=[name for name in frame.columns if name.startswith(INDICATOR_PREFIX)],
            overlays=overlays_of(frame, content.summary.price_indicators),
        )
        prices.append((symbol, _image(drawing, f"{symbol} price, entries and exits")))
    charts["prices"] = prices
    return charts


def _image(svg: bytes, words: str) -> Markup:
    content = base64.b64encode(svg).decode()
    return Markup('<img src="data:image/svg+xml;base64,{}" alt="{}">').format(content, words)


def _shades(content: ReportContent, months: Grid) -> list[list[str]]:
    """Return the background of each cell of the monthly table: blue gains, orange losses."""
    values = content.frames.months["total_return"].cast(pl.Float64).fill_null(0.0).to_numpy()
    extent = float(np.abs(values).max(initial=0.0)) or 1.0
    shades = []
    for row in months.rows:
        line = []
        for text in row[1:-1]:
            value = float(text.replace("−", "-").replace(",", "")) / 100.0 if text else 0.0
            colour = look.GAIN if value > 0 else look.LOSS
            line.append(look.faded(colour, round(0.75 * min(abs(value) / extent, 1.0), 3)))
        shades.append(line)
    return shades
