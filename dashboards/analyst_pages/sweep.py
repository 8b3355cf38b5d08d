"""Sweep: a figure over two parameters as a heat map, and the best parameter sets."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboards import parts
from dashboards.loading import Sweep, find_sweeps, load_sweep
from foundation.errors import DataError
from research import plateau_charts
from research.figures import LOWER_IS_BETTER
from research.plateau import telling
from research.tables import csv_bytes

N_BEST = 50


def page() -> None:
    """Show the page."""
    sweeps, problems = find_sweeps()
    st.title("Sweep", anchor=False)
    for problem in problems:
        st.warning(parts.escaped(problem))
    if not sweeps:
        parts.empty(
            "No sweep yet",
            ["Run one from a terminal; it is listed here as soon as it has finished:",
             "```sh\nquarterdeck sweep examples/rsi_stochastic_reversal.yaml\n```"],
        )  # fmt: skip
        return
    sweep = _choose(sweeps)
    try:
        rows = load_sweep(sweep)
    except DataError as error:
        st.error(parts.escaped(str(error)))
        return
    parameters = [name for name in sweep.parameters if name in rows.columns]
    figures = [
        name
        for name, dtype in rows.schema.items()
        if name not in (*parameters, "set") and dtype.is_numeric() and rows[name].count()
    ]
    if not parameters or not figures:
        st.error("This sweep has no parameter or no figure in it.")
        return
    st.caption(
        f"{rows.height:,} parameter sets of {parts.escaped(sweep.strategy)}"
        f" · as of {parts.utc(sweep.at)}"
    )
    choice = sweep.choice
    x, y, value = _choose_axes(_most_telling(sweep, rows, parameters), figures)
    figure = plateau_charts.sweep_chart(
        rows, value=value, x=x, y=y, marks=choice.marks, theme=parts.theme()
    )
    parts.show_chart(figure, "sweep", f"{value} by {x}" + (f" and {y}" if y else ""))
    if rows[value].null_count():
        st.caption("Empty cells: the figure is not defined there, such as a ratio without trades.")
    if choice.why:
        st.caption(
            f"Plateau and peak by {parts.title_of(choice.objective)}. {parts.escaped(choice.why)}"
        )
    _show_best(rows, parameters, figures, value, sweep)


def _most_telling(sweep: Sweep, rows: pl.DataFrame, parameters: list[str]) -> list[str]:
    """Return the parameters, first those that explain most of the figure that was chosen by."""
    objective = sweep.choice.objective
    if objective not in rows.columns:
        return parameters
    values = {name: rows[name].unique().to_list() for name in parameters}
    shown = rows[objective].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    told = list(telling(values, rows.select(parameters).to_dicts(), shown))
    return [*told, *(name for name in parameters if name not in told)]


def _choose(sweeps: list[Sweep]) -> Sweep:
    keys = [one.key for one in sweeps]
    labels = {one.key: one.label for one in sweeps}
    wanted = st.query_params.get("sweep")
    if st.session_state.get("chosen_sweep") not in keys:
        st.session_state["chosen_sweep"] = wanted if wanted in keys else keys[0]
    key = st.selectbox("Sweep", keys, format_func=labels.__getitem__, key="chosen_sweep")
    parts.to_url("sweep", [key])
    return sweeps[keys.index(key)]


def _choose_axes(parameters: list[str], figures: list[str]) -> tuple[str, str | None, str]:
    left, middle, right = st.columns(3)
    with left:
        x = st.selectbox("Across", parameters, key="x", bind="query-params")
    rest = [name for name in parameters if name != x]
    with middle:
        y = st.selectbox("Up", rest, key="y", bind="query-params") if rest else None
    with right:
        wished = "sharpe" if "sharpe" in figures else figures[0]
        value = st.selectbox(
            "Figure", figures, figures.index(wished), format_func=parts.title_of, key="figure",
            bind="query-params",
        )  # fmt: skip
    return x, y, value


def _show_best(
    rows: pl.DataFrame, parameters: list[str], figures: list[str], value: str, sweep: Sweep
) -> None:
    st.subheader(f"Best by {parts.title_of(value)}", anchor=False)
    best = rows.sort(value, descending=value not in LOWER_IS_BETTER, nulls_last=True).head(N_BEST)
    order = [*parameters, value, *(name for name in figures if name != value)]
    best = best.select(order)
    currency = str(sweep.about.get("currency") or "currency")
    parts.show_table(best, currency, daily=True, key="best")
    if best.height < rows.height:
        st.caption(f"The first {best.height:,} of {rows.height:,} sets; the file has all.")
    parts.download(
        "All sets (CSV)", lambda: csv_bytes(rows), f"{sweep.strategy}-sweep.csv", "text/csv",
        "sweep-csv",
    )  # fmt: skip
    st.caption(
        "The best of many sets is partly luck: look for a region of good values, and try it on a"
        " period that the sweep has not seen."
    )


page()
