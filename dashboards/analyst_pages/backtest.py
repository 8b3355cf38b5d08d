"""Backtest: one result, from its figures down to why a bar did nothing."""

from __future__ import annotations

import streamlit as st

from dashboards import overview_view, parts, price_view, report_view, trades_view, why_view
from dashboards.loading import Backtest, find_backtests, load_content
from foundation.errors import DataError

# The labels are part of links; a renamed one makes old links open the first.
_VIEWS = {
    "Overview": overview_view.show,
    "Price": price_view.show,
    "Trades": trades_view.show_trades,
    "Orders and fills": trades_view.show_orders,
    "Why no trade": why_view.show,
    "Report": report_view.show,
}


def page() -> None:
    """Show the page."""
    found = find_backtests()
    if not found.ready:
        parts.page_head("Backtest", "One backtest", found.at)
        parts.no_backtest()
        return
    st.title("Backtest", anchor=False)
    backtest = parts.choose_backtest(found)
    try:
        _show(backtest)
    except DataError as error:
        st.error(f"This result can't be read: {parts.escaped(str(error))}")
        st.markdown("Run the backtest again: its files are then written anew.")


def _show(backtest: Backtest) -> None:
    with st.spinner("Reading the result …"):
        content = load_content(backtest)
    st.caption(f"{parts.escaped(content.headline)} · result as of {parts.utc(backtest.at)}")
    tabs = st.tabs(list(_VIEWS), key="view", bind="query-params")
    for tab, show in zip(tabs, _VIEWS.values(), strict=True):
        if tab.open:
            with tab:
                show(backtest, content)


page()
