"""Pieces that pages share: the head of a page, charts, tables, choices in the URL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import streamlit as st

from dashboards.loading import Backtest, Found
from research import look
from research.look import Theme
from research.report_parts import Grid, Level, Note

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Streamlit's own font, so that charts and page read as one.
_FONT = "'Source Sans', sans-serif"
# The wheel scrolls the page; a chart zooms by dragging.
_CHART_CONFIG = {"displaylogo": False, "scrollZoom": False, "responsive": True}

RESULTS_PAGE = "analyst_pages/results.py"
COMPARE_PAGE = "analyst_pages/compare.py"
BACKTEST_PAGE = "analyst_pages/backtest.py"
SWEEP_PAGE = "analyst_pages/sweep.py"


def theme() -> Theme:
    """Return the ground that charts are drawn for: what the reader's page has."""
    return Theme.DARK if st.context.theme.type == "dark" else Theme.LIGHT


def utc(moment: datetime) -> str:
    """Write a time with its zone."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def page_head(title: str, what: str, at: datetime) -> None:
    """Show the page's title, what it shows and as of when."""
    st.title(title, anchor=False)
    st.caption(f"{escaped(what)} · as of {utc(at)}")


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is."""
    for mark in "\\`*_{}[]<>#$~|:":
        text = text.replace(mark, f"\\{mark}")
    return text


def code(text: str) -> str:
    """Return text as code for a Markdown table, where a bar would end the cell."""
    plain = text.replace("`", "'").replace("|", "\\|")
    return f"`{plain}`"


def show_chart(figure: go.Figure, key: str, alt: str) -> None:
    """Draw a chart in the width of the page."""
    ground = look.GROUNDS[theme()]
    figure.update_layout(
        font_family=_FONT,
        hoverlabel_font_family=_FONT,
        modebar={
            "bgcolor": "rgba(0,0,0,0)", "color": ground.muted, "activecolor": ground.text,
            "remove": ["select2d", "lasso2d", "autoScale2d"],
        },
    )  # fmt: skip
    st.plotly_chart(figure, theme=None, key=key, config=_CHART_CONFIG, alt=alt)


def show_notes(notes: Sequence[Note]) -> None:
    """Show warnings openly and remarks folded away."""
    warnings = [note.text for note in notes if note.level is Level.WARNING]
    remarks = [note.text for note in notes if note.level is Level.NOTE]
    if warnings:
        st.warning("\n".join(f"- {escaped(text)}" for text in warnings), icon=":material/warning:")
    if remarks:
        with st.expander(f"{len(remarks)} remark{'s' if len(remarks) > 1 else ''}"):
            st.markdown("\n".join(f"- {escaped(text)}" for text in remarks))


def show_grid(grid: Grid, key: str) -> None:
    """Show a table of texts as the report has it."""
    if not grid.rows:
        return
    st.subheader(grid.title, anchor=False)
    frame = pl.DataFrame(list(grid.rows), schema=list(grid.columns), orient="row")
    right = {
        name: st.column_config.TextColumn(alignment="right")
        for name in grid.columns
        if name not in grid.left
    }
    st.dataframe(frame, hide_index=True, column_config=right, key=key)
    if grid.note:
        st.caption(escaped(grid.note))


def empty(message: str, steps: Sequence[str]) -> None:
    """Say that there is nothing to show, and what to do next."""
    with st.container(border=True):
        st.subheader(message, anchor=False)
        for step in steps:
            st.markdown(step)


def no_backtest() -> None:
    """Say how the first backtest comes about."""
    empty(
        "No backtest yet",
        [
            "Run one from a terminal; it is listed here as soon as it has finished:",
            "```sh\nquarterdeck backtest examples/rsi_stochastic_reversal.yaml\n```",
            "Or start the job **backtest** in the Dagster UI: its launchpad is filled with a"
            " working example.",
        ],
    )


def from_url(name: str, options: Sequence[str]) -> list[str]:
    """Return the values of a query parameter that are among the options."""
    wanted = st.query_params.get_all(name)
    return [one for one in dict.fromkeys(wanted) if one in options]


def to_url(name: str, values: Sequence[str]) -> None:
    """Put values into the page's address, so that it can be linked to."""
    if st.query_params.get_all(name) != list(values):
        st.query_params[name] = list(values)


def choose_backtest(found: Found) -> Backtest:
    """Let the reader choose one backtest; the choice is in the URL as ``run``."""
    keys = [one.key for one in found.ready]
    labels = {one.key: one.label for one in found.ready}
    wanted = st.query_params.get("run")
    if wanted is not None and wanted not in keys:
        st.warning(f"No backtest {escaped(wanted)} is stored here; the latest is shown.")
    if st.session_state.get("chosen_run") not in keys:
        st.session_state["chosen_run"] = wanted if wanted in keys else keys[0]
    key = st.selectbox("Backtest", keys, format_func=labels.__getitem__, key="chosen_run")
    to_url("run", [key])
    chosen = found.get(key)
    assert chosen is not None
    return chosen


def download(
    label: str, content: bytes | Callable[[], bytes], file_name: str, mime: str, key: str
) -> None:
    """Offer a file; one given as a function is made when it is asked for."""
    st.download_button(
        label, content, file_name, mime, key=key, on_click="ignore", icon=":material/download:"
    )


def show_table(frame: pl.DataFrame, currency: str, *, daily: bool, key: str, **options: Any) -> Any:
    """Show a table of values: percentages in percent, units in the heads, times in UTC."""
    shares = [name for name in frame.columns if name in _FRACTIONS]
    shown = frame.with_columns(pl.col(shares) * 100.0)
    codes = [name for name in frame.columns if name in _CODES]
    shown = shown.with_columns(pl.col(codes).cast(pl.String).str.replace_all("_", " "))
    # A fall is written as one, as in the report.
    shown = shown.with_columns(-pl.col([name for name in frame.columns if name in _FALLS]))
    configs = {
        name: _column(name, dtype, currency, daily=daily) for name, dtype in frame.schema.items()
    }
    return st.dataframe(shown, hide_index=True, column_config=configs, key=key, **options)


def title_of(name: str) -> str:
    """Return what a column or a figure is called on screen."""
    if name in _TITLES:
        return _TITLES[name]
    return look.words(name.removesuffix("_ts").removeprefix("n_")).capitalize()


def _column(name: str, dtype: pl.DataType, currency: str, *, daily: bool) -> Any:
    title = title_of(name)
    if isinstance(dtype, pl.Datetime):
        text = "YYYY-MM-DD" if daily else "YYYY-MM-DD HH:mm"
        return st.column_config.DatetimeColumn(f"{title} (UTC)", format=text, timezone="UTC")
    if name in _FRACTIONS:
        return st.column_config.NumberColumn(f"{title} (%)", format="%.2f")
    if name in _AMOUNTS:
        return st.column_config.NumberColumn(f"{title} ({currency})", format="%,.2f")
    if name.endswith("price"):
        return st.column_config.NumberColumn(f"{title} ({currency})", format="%,.4f")
    if name in _RATIOS:
        return st.column_config.NumberColumn(title, format="%.3f")
    if dtype == pl.Boolean:
        return st.column_config.CheckboxColumn(title)
    if dtype.is_numeric():
        return st.column_config.NumberColumn(title, format="localized")
    return st.column_config.Column(title)


_CODES = frozenset({"exit_reason", "role", "type", "status", "reason", "kind"})
_FALLS = frozenset({"drawdown", "max_drawdown"})
_RATIOS = frozenset({"sharpe", "sortino", "calmar", "profit_factor", "turnover", "beta"})
_TITLES = {
    "cagr": "CAGR", "trade_id": "No.", "max_drawdown": "Max. drawdown", "mae": "MAE", "mfe": "MFE",
    "ts": "Time", "symbol": "Instrument", "n_replaced": "Times replaced",
    "sign_differs": "Path matters", "buy_and_hold_return": "Buy and hold", "win_rate": "Won",
    "start": "From", "end": "To", "timeframe": "Bars",
}  # fmt: skip
_FRACTIONS = frozenset({
    "return", "mae", "mfe", "drawdown", "total_return", "cagr", "volatility", "max_drawdown",
    "exposure", "win_rate", "buy_and_hold_return", "average_trade", "best_trade", "worst_trade",
    "alpha", "probabilistic_sharpe",
})  # fmt: skip
_AMOUNTS = frozenset({
    "gross_profit", "commission", "slippage", "net_profit", "amount", "equity", "cash",
    "final_equity", "final_equity_optimistic", "lowest_cash", "expectancy", "total_commission",
    "total_slippage", "total_borrow_cost", "total_dividends", "starting_cash",
})  # fmt: skip
