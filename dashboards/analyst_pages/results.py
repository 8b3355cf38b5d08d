"""Results: all backtests with their key figures, to filter, sort and pick from."""

from __future__ import annotations

import streamlit as st

from dashboards import parts
from dashboards.loading import Backtest, Found, Status, find_backtests
from research.comparison import overview_frame


def page() -> None:
    """Show the page."""
    found = find_backtests()
    n_ready = len(found.ready)
    stored = "1 stored backtest" if n_ready == 1 else f"{n_ready} stored backtests, latest first"
    parts.page_head("Results", stored, found.at)
    if found.problem:
        st.warning(f"The record of runs can't be read: {parts.escaped(found.problem)}")
    _show_unready(found)
    if not found.ready:
        parts.no_backtest()
        return
    shown = _filtered(found)
    if not shown:
        st.info("No backtest fits the filter. Take a word out of it to see more.")
        return
    frame = overview_frame(
        [(one.key, one.at, one.summary) for one in shown if one.summary is not None]
    )
    picked = parts.from_url("pick", [one.key for one in shown])
    rows = [i for i, one in enumerate(shown) if one.key in picked]
    currencies = {one.summary.currency for one in shown if one.summary}
    event = parts.show_table(
        frame, currencies.pop() if len(currencies) == 1 else "its currency", daily=False,
        key=f"results-{hash(tuple(one.key for one in shown))}", on_select="rerun",
        selection_mode="multi-row", selection_default={"selection": {"rows": rows}},
        height=_height(len(shown)),
    )  # fmt: skip
    chosen = [shown[i].key for i in event.selection.rows if i < len(shown)]
    parts.to_url("pick", chosen)
    _show_actions(chosen)


def _height(n_rows: int) -> int:
    return 38 + 35 * min(max(n_rows, 1), 16)


def _filtered(found: Found) -> list[Backtest]:
    strategies = sorted({one.strategy for one in found.ready})
    symbols = sorted({s for one in found.ready for s in one.symbols})
    left, right = st.columns(2)
    with left:
        wanted = st.multiselect(
            "Strategy", strategies, key="strategy", bind="query-params", placeholder="All"
        )
    with right:
        named = st.multiselect(
            "Instrument", symbols, key="instrument", bind="query-params", placeholder="All"
        )
    return [
        one
        for one in found.ready
        if (not wanted or one.strategy in wanted) and (not named or set(named) & set(one.symbols))
    ]


def _show_actions(chosen: list[str]) -> None:
    if not chosen:
        st.caption("Tick rows to open one backtest or to compare several.")
        return
    with st.container(horizontal=True):
        if st.button(
            "Open backtest", disabled=len(chosen) != 1, icon=":material/candlestick_chart:"
        ):
            st.switch_page(parts.BACKTEST_PAGE, query_params={"run": chosen[0]})
        if st.button(
            f"Compare {len(chosen)}", disabled=len(chosen) < 2, icon=":material/difference:"
        ):
            st.switch_page(parts.COMPARE_PAGE, query_params={"run": chosen})


def _show_unready(found: Found) -> None:
    others = [one for one in found.backtests if one.status is not Status.READY]
    if not others:
        return
    with st.expander(f"{len(others)} without a result to look at", icon=":material/info:"):
        for one in others:
            said = f": {one.error}" if one.error else ""
            st.markdown(
                f"- **{parts.escaped(one.strategy)}** {parts.escaped(one.key)},"
                f" {one.status.value}{parts.escaped(said)} ({parts.utc(one.at)})"
            )


page()
