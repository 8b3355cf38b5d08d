"""The price chart of one backtest, with indicators, entries and exits."""

from __future__ import annotations

from datetime import date

import polars as pl
import streamlit as st

from dashboards import parts
from dashboards.loading import Backtest, cached, current_settings, load_result
from research import chart_parts, price_charts
from research.ranges import price_range, symbols_of
from research.report_content import ReportContent
from research.results import INDICATOR_PREFIX


def show(backtest: Backtest, content: ReportContent) -> None:
    """Show the view."""
    symbol, start, end = choose_range(backtest)
    with st.spinner("Reading prices …"):
        prices = cached(backtest, price_range, symbol, start, end, current_settings().home)
    assert isinstance(prices, pl.DataFrame)
    names = [name for name in prices.columns if name.startswith(INDICATOR_PREFIX)]
    shown = st.pills(
        "Indicators", names, selection_mode="multi", default=names, format_func=chart_parts.label,
        key=f"indicators-{backtest.key}",
    ) if names else []  # fmt: skip
    trades = content.frames.trades.filter(pl.col("symbol") == symbol)
    draw(prices, trades, symbol, content.summary.currency, shown, "price")
    if "open" not in prices.columns:
        st.caption("Drawn by closes: the stored bars are not those of this backtest.")


def draw(
    prices: pl.DataFrame,
    trades: pl.DataFrame,
    symbol: str,
    currency: str,
    indicators: list[str],
    key: str,
) -> None:
    """Draw prices with the trades that were open in them."""
    if prices.height == 0:
        st.info(f"{symbol} has no bar in this range. Choose a longer one.")
        return
    within = trades.filter(
        (pl.col("exit_ts") >= prices["ts"][0]) & (pl.col("entry_ts") <= prices["ts"][-1])
    )
    figure = price_charts.price_chart(
        prices, within, symbol=symbol, currency=currency, indicators=indicators,
        theme=parts.theme(),
    )  # fmt: skip
    parts.show_chart(figure, key, f"Price of {symbol} with entries and exits")
    trades_said = "1 trade" if within.height == 1 else f"{within.height:,} trades"
    st.caption(f"{prices.height:,} bars, {trades_said} in this range.")


def choose_range(backtest: Backtest) -> tuple[str, date, date]:
    """Let the reader choose an instrument and a range of sessions; both are in the URL."""
    summary = backtest.summary
    assert summary is not None
    first, last = date.fromisoformat(summary.start), date.fromisoformat(summary.end)
    left, right = st.columns(2)
    with left:
        symbol = st.selectbox(
            "Instrument", symbols_of(load_result(backtest)), key="symbol", bind="query-params"
        )
    with right:
        chosen = st.date_input(
            "Sessions from and to", (first, last), min_value=first, max_value=last,
            format="YYYY-MM-DD", key="range", bind="query-params",
        )  # fmt: skip
    # While only the first day is picked there is one date.
    start, end = (*chosen, last)[:2] if isinstance(chosen, tuple) and chosen else (first, last)
    return symbol, start, end
