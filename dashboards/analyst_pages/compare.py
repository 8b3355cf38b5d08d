"""Compare: several backtests as growth of 100, drawdown, figures and differences."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import streamlit as st

from dashboards import parts
from dashboards.loading import Backtest, Found, find_backtests, load_content
from foundation.errors import DataError
from research import charts
from research.comparison import (
    UNSET,
    Difference,
    compare_figures,
    document_differences,
    overview_frame,
    run_differences,
)
from research.tables import csv_bytes

N_MOST = 8


def page() -> None:
    """Show the page."""
    found = find_backtests()
    parts.page_head("Compare", "Backtests side by side, on portfolio equity", found.at)
    if not found.ready:
        parts.no_backtest()
        return
    chosen = _choose(found)
    if len(chosen) < 2:
        if len(found.ready) < 2:
            parts.empty(
                "Only one backtest is stored",
                ["Run a second one, with another version, period or parameter:",
                 "```sh\nquarterdeck backtest examples/macd_trend.yaml\n```"],
            )  # fmt: skip
        else:
            st.info("Choose two or more backtests above.")
        return
    names = _names(chosen)
    _show_equity(chosen, names)
    _show_figures(chosen, names)
    _show_differences(chosen, names)


def _choose(found: Found) -> list[Backtest]:
    labels = {one.key: one.label for one in found.ready}
    wanted = parts.from_url("run", list(labels))
    if "compared" not in st.session_state:
        latest = list(labels)[:2]
        st.session_state["compared"] = (wanted if st.query_params.get_all("run") else latest)[
            :N_MOST
        ]
    st.session_state["compared"] = [key for key in st.session_state["compared"] if key in labels]
    keys = st.multiselect(
        "Backtests", list(labels), format_func=labels.__getitem__, key="compared",
        max_selections=N_MOST, placeholder="Choose backtests",
    )  # fmt: skip
    parts.to_url("run", keys)
    return [one for key in keys if (one := found.get(key)) is not None]


def _names(chosen: Sequence[Backtest]) -> list[str]:
    """Return short names that tell the chosen apart: the strategy, with the run if needed."""
    strategies = [one.strategy for one in chosen]
    return [
        one.strategy if strategies.count(one.strategy) == 1 else f"{one.strategy} {one.key[:6]}"
        for one in chosen
    ]


def _show_equity(chosen: Sequence[Backtest], names: Sequence[str]) -> None:
    curves = {}
    with st.spinner("Reading equity …"):
        for name, one in zip(names, chosen, strict=True):
            try:
                curves[name] = load_content(one).frames.equity
            except DataError as error:
                st.error(f"{name} is left out of the chart: {parts.escaped(str(error))}")
    figure = charts.comparison_chart(curves, theme=parts.theme())
    parts.show_chart(figure, "comparison", "Growth of 100 and drawdown of each backtest")
    periods = {(one.summary.start, one.summary.end) for one in chosen if one.summary}
    if len(periods) > 1:
        st.caption("Each curve begins at 100 on its own first session: the periods differ.")


def _show_figures(chosen: Sequence[Backtest], names: Sequence[str]) -> None:
    summaries = [one.summary for one in chosen if one.summary is not None]
    st.subheader("Key figures", anchor=False)
    rows = compare_figures(summaries)
    frame = pl.DataFrame(
        [(row.group, row.label, *row.values, row.convention) for row in rows],
        schema=["Group", "Figure", *names, "Convention"], orient="row",
    )  # fmt: skip
    configs = {name: st.column_config.TextColumn(alignment="right") for name in names}
    pinned = {"Figure": st.column_config.TextColumn(pinned=True, width="medium")}
    st.dataframe(
        frame, hide_index=True, column_config=configs | pinned, key="figures",
        height=38 + 35 * frame.height,
    )  # fmt: skip
    raw = overview_frame(
        [(one.key, one.at, one.summary) for one in chosen if one.summary is not None]
    )
    with st.container(horizontal=True):
        parts.download(
            "Figures (CSV)", lambda: csv_bytes(raw.drop("instruments")), "comparison.csv",
            "text/csv", "compare-csv",
        )  # fmt: skip
        for one, name in zip(chosen, names, strict=True):
            st.page_link(
                parts.BACKTEST_PAGE, label=f"Open {name}", query_params={"run": one.key},
                icon=":material/candlestick_chart:",
            )  # fmt: skip


def _show_differences(chosen: Sequence[Backtest], names: Sequence[str]) -> None:
    summaries = [one.summary for one in chosen if one.summary is not None]
    for title, rows, same in (
        ("Differences of the runs", run_differences(summaries), "Instruments, period, cash,"
         " parameters, fills and data are the same."),
        ("Differences of the strategy documents", document_differences(summaries),
         "The documents are the same."),
    ):  # fmt: skip
        st.subheader(title, anchor=False)
        if not rows:
            st.caption(same)
            continue
        _show_difference_table(rows, names)


def _show_difference_table(rows: Sequence[Difference], names: Sequence[str]) -> None:
    frame = pl.DataFrame(
        [(row.path, *row.values) for row in rows], schema=["Field", *names], orient="row"
    )
    st.table(frame.to_pandas().set_index("Field"))
    if any(UNSET in row.values for row in rows):
        st.caption(f"{UNSET} means that it is not set.")


page()
