"""The trades, orders, fills and cash events of one backtest, as tables with downloads."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import streamlit as st

from dashboards import parts
from dashboards.loading import Backtest, cached, current_settings, load_result
from dashboards.price_view import draw
from research import look
from research.ranges import price_range, trade_surroundings
from research.report_content import ReportContent
from research.results import INDICATOR_PREFIX, Table
from research.tables import csv_bytes, workbook_bytes

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_FIRST = (
    "symbol", "trade_id", "side", "entry_ts", "exit_ts", "entry_price", "exit_price", "quantity",
    "net_profit", "return", "exit_reason", "bars_held", "mae", "mfe", "sign_differs",
)  # fmt: skip
_ORDER_TABLES = {
    Table.ORDERS: "Orders",
    Table.FILLS: "Fills",
    Table.CASH_EVENTS: "Cash events",
}


def show_trades(backtest: Backtest, content: ReportContent) -> None:
    """Show the trades, and the prices around the one that is ticked."""
    trades, currency = content.frames.trades, content.summary.currency
    if trades.height == 0:
        parts.empty(
            "No trade was closed",
            ["Open **Why no trade** above: it counts the bars by the reason why nothing was done."],
        )
        return
    shown = _filtered(trades, {"symbol": "Instrument", "side": "Side", "exit_reason": "Exit"})
    losses = int((shown["net_profit"] <= 0).sum())
    st.caption(
        f"{shown.height:,} of {trades.height:,} trades, {shown.height - losses:,} won · times are"
        " bar opens in UTC · tick a row to see the prices around it"
    )
    first = [name for name in _FIRST if name in shown.columns]
    rest = [name for name in shown.columns if name not in first]
    event = parts.show_table(
        shown.select(*first, *rest), currency, daily=content.daily, key="trades", on_select="rerun",
        selection_mode="single-row",
    )  # fmt: skip
    _offer(shown, f"{content.title}-trades", "Trades")
    rows = event.selection.rows
    if rows and rows[0] < shown.height:
        _show_one(backtest, content, shown[rows[0]])


def show_orders(backtest: Backtest, content: ReportContent) -> None:
    """Show orders, fills and cash events."""
    result, currency = load_result(backtest), content.summary.currency
    for table, title in _ORDER_TABLES.items():
        st.subheader(title, anchor=False)
        frame = result.read(table)
        if frame.height == 0:
            st.caption(f"No {title.lower()} in this backtest.")
            continue
        frame = frame.drop([name for name in ("sequence",) if name in frame.columns])
        names = {"role": "Role", "status": "Status", "kind": "Kind", "symbol": "Instrument"}
        shown = _filtered(frame, {k: v for k, v in names.items() if k in frame.columns}, title)
        parts.show_table(shown, currency, daily=content.daily, key=f"table-{title}")
        _offer(shown, f"{content.title}-{table.value}", title)
    parts.show_grid(content.orders, "order-counts")


def _filtered(frame: pl.DataFrame, columns: dict[str, str], table: str = "") -> pl.DataFrame:
    """Let the reader keep the rows with certain words in certain columns."""
    places = st.columns(len(columns))
    for place, (name, title) in zip(places, columns.items(), strict=True):
        words = sorted(frame[name].drop_nulls().unique().to_list())
        with place:
            wanted = st.multiselect(
                title, words, format_func=look.words, placeholder="All", key=f"{table}-{name}",
            )  # fmt: skip
        if wanted:
            frame = frame.filter(pl.col(name).is_in(wanted))
    return frame


def _offer(frame: pl.DataFrame, name: str, title: str) -> None:
    with st.container(horizontal=True):
        parts.download(
            f"{title} (CSV)", lambda: csv_bytes(frame), f"{name}.csv", "text/csv", f"{title}-csv"
        )
        parts.download(
            f"{title} (XLSX)", lambda: workbook_bytes(title, frame), f"{name}.xlsx", XLSX,
            f"{title}-xlsx",
        )  # fmt: skip


def _show_one(backtest: Backtest, content: ReportContent, trade: pl.DataFrame) -> None:
    row = trade.row(0, named=True)
    symbol, entered, left = row["symbol"], row["entry_ts"], row["exit_ts"]
    start, end = _surroundings(backtest, symbol, entered, left)
    home = current_settings().home
    prices = cached(backtest, price_range, symbol, start, end, home)
    assert isinstance(prices, pl.DataFrame)
    names = [name for name in prices.columns if name.startswith(INDICATOR_PREFIX)]
    st.subheader(f"{symbol} trade {row['trade_id']}", anchor=False)
    draw(prices, trade, symbol, content.summary.currency, names, "one-trade")


def _surroundings(
    backtest: Backtest, symbol: str, entered: datetime, left: datetime
) -> tuple[date, date]:
    found = cached(backtest, trade_surroundings, symbol, entered, left)
    assert isinstance(found, tuple)
    return found
