"""The overview of one backtest: figures, equity, drawdown, returns, both paths."""

from __future__ import annotations

import streamlit as st

from dashboards import parts
from dashboards.loading import Backtest
from research import charts
from research.report import grows_much
from research.report_content import ReportContent
from research.report_parts import Group


def show(backtest: Backtest, content: ReportContent) -> None:
    """Show the view."""
    frames, currency, theme = content.frames, content.summary.currency, parts.theme()
    for start in range(0, len(content.tiles), 6):
        with st.container(horizontal=True):
            for tile in content.tiles[start : start + 6]:
                st.metric(
                    tile.label, tile.value, tile.detail, delta_color="off", delta_arrow="off",
                    border=True,
                )  # fmt: skip
    parts.show_notes(content.notes)
    equity = charts.equity_chart(
        frames.equity, currency=currency, log=grows_much(frames.equity), theme=theme
    )
    parts.show_chart(equity, "equity", "Equity of the portfolio against buy-and-hold")
    parts.show_chart(
        charts.drawdown_chart(frames.equity, theme=theme), "drawdown", "Drawdown over time"
    )
    parts.show_chart(
        charts.monthly_returns_chart(frames.months, theme=theme), "months", "Returns by month"
    )
    if frames.paths is not None:
        parts.show_chart(
            charts.two_path_chart(frames.paths, theme=theme), "paths",
            "Total return on the unfavourable and the favourable path within bars",
        )  # fmt: skip
    _show_groups(content.groups)
    if len(content.summary.per_instrument) > 1:
        parts.show_grid(content.instruments, "instruments")
    parts.show_grid(content.years, "years")
    parts.show_grid(content.drawdowns, "drawdowns")


def _show_groups(groups: tuple[Group, ...]) -> None:
    st.subheader("Key figures", anchor=False)
    for start in range(0, len(groups), 2):
        columns = st.columns(2)
        for column, group in zip(columns, groups[start : start + 2], strict=False):
            with column:
                rows = "\n".join(
                    f"| {parts.escaped(one.label)} | {parts.escaped(one.value)}"
                    f" | {parts.escaped(one.convention)} |"
                    for one in group.figures
                )
                st.markdown(f"| {group.title} | | |\n|:--|--:|:--|\n{rows}")
