"""Why no trade: what each bar decided, and every value behind it."""

from __future__ import annotations

from datetime import date, datetime
from functools import partial

import polars as pl
import streamlit as st

from dashboards import parts
from dashboards.loading import Backtest, cached, load_result
from dashboards.price_view import choose_range
from research import decision_charts, look
from research.ranges import (
    BarExplanation,
    decision_range,
    explain_bar,
    explain_reason,
    reason_counts,
)
from research.report_content import ReportContent
from research.results import Table

ANY = "any bar"
# Bars in the picture before and after the chosen one.
N_BEFORE, N_AFTER = 150, 50
_MARKS = {
    True: ":blue[:material/check:] true",
    False: ":orange[:material/close:] false",
    None: ":gray[:material/question_mark:] unknown",
}
_TITLES = {
    "enter_long": "Enter long", "exit_long": "Exit long",
    "enter_short": "Enter short", "exit_short": "Exit short",
}  # fmt: skip


def show(backtest: Backtest, content: ReportContent) -> None:
    """Show the view."""
    if not load_result(backtest).has(Table.DECISIONS):
        parts.empty(
            "No decisions were recorded",
            ["Run the backtest again on its own: a sweep's results leave them out."],
        )
        return
    symbol, start, end = choose_range(backtest)
    with st.spinner("Reading decisions …"):
        reasons = cached(backtest, reason_counts, symbol, start, end)
        rows = cached(backtest, decision_range, symbol, start, end)
    assert isinstance(reasons, pl.DataFrame)
    assert isinstance(rows, pl.DataFrame)
    if rows.height == 0:
        st.info(f"{symbol} has no bar in this range. Choose a longer one.")
        return
    figure = decision_charts.reasons_chart(reasons, theme=parts.theme())
    parts.show_chart(figure, "reasons", "Bars of the range by what was decided")
    st.subheader("One bar", anchor=False)
    i_bar = _choose_bar(rows, reasons, daily=content.daily)
    around = rows[max(i_bar - N_BEFORE, 0) : i_bar + N_AFTER + 1]
    ts: datetime = rows["ts"][i_bar]
    explanation = cached(backtest, explain_bar, symbol, ts)
    assert isinstance(explanation, BarExplanation)
    _show_bar(explanation, symbol, rows["session"][i_bar], content)
    strip = decision_charts.decision_strip_chart(
        around, n_bars=around.height, i_marked=min(i_bar, N_BEFORE), theme=parts.theme()
    )
    parts.show_chart(strip, "strip", "Conditions of the bars around the chosen one")


def _choose_bar(rows: pl.DataFrame, reasons: pl.DataFrame, *, daily: bool) -> int:
    """Let the reader choose a bar by session and time, or step to the next with a reason."""
    i_bar = _bar_of_url(rows)
    session = rows["session"][i_bar]
    places = st.columns([2, 2, 3, 1, 1], vertical_alignment="bottom")
    st.session_state["bar_session"] = session
    with places[0]:
        st.date_input(
            "Session", min_value=rows["session"][0], max_value=rows["session"][-1],
            format="YYYY-MM-DD", key="bar_session", on_change=_go_to_session, args=(rows,),
        )  # fmt: skip
    within = rows.filter(pl.col("session") == session)["ts"].to_list()
    with places[1]:
        if daily:
            st.text_input("Bar (UTC)", look.when(rows["ts"][i_bar], daily=False), disabled=True)
        else:
            st.session_state["bar_time"] = rows["ts"][i_bar]
            st.selectbox(
                "Bar (UTC)", within, format_func=lambda ts: f"{ts:%H:%M}", key="bar_time",
                on_change=lambda: _go_to(st.session_state["bar_time"]),
            )  # fmt: skip
    codes = [ANY, *reasons.sort("n_bars")["reason"].to_list()]
    with places[2]:
        wanted = st.selectbox("Step to", codes, format_func=look.words, key="step")
    before, after = _neighbours(rows, i_bar, wanted)
    for place, label, icon, target in (
        (places[3], "Previous", ":material/arrow_back:", before),
        (places[4], "Next", ":material/arrow_forward:", after),
    ):
        with place:
            st.button(
                label, icon=icon, disabled=target is None, width="stretch",
                on_click=partial(_go_to, target),
            )  # fmt: skip
    return i_bar


def _bar_of_url(rows: pl.DataFrame) -> int:
    """Return the row that the URL names as ``bar``; the last one when it names none."""
    try:
        wanted = datetime.fromisoformat(st.query_params["bar"])
        found = int(rows["ts"].search_sorted(wanted, "right")) - 1
    except (KeyError, ValueError, TypeError, pl.exceptions.PolarsError):
        found = rows.height - 1
    return min(max(found, 0), rows.height - 1)


def _neighbours(
    rows: pl.DataFrame, i_bar: int, wanted: str | None
) -> tuple[datetime | None, datetime | None]:
    """Return the nearest bars before and after with the wanted action or reason."""
    if wanted not in (None, ANY):
        decided = pl.when(pl.col("action").fill_null("") != "").then("action").otherwise("reason")
        rows = rows.with_row_index("__i").filter(decided.fill_null("") == wanted)
    else:
        rows = rows.with_row_index("__i")
    before = rows.filter(pl.col("__i") < i_bar)["ts"]
    after = rows.filter(pl.col("__i") > i_bar)["ts"]
    return (before[-1] if before.len() else None, after[0] if after.len() else None)


def _go_to(ts: datetime | None) -> None:
    if ts is not None:
        st.query_params["bar"] = f"{ts:%Y-%m-%dT%H:%M:%SZ}"


def _go_to_session(rows: pl.DataFrame) -> None:
    """Go to the first bar of the chosen session, or of the last one before it."""
    chosen: date | None = st.session_state["bar_session"]
    if chosen is None:
        return
    before = rows.filter(pl.col("session") <= chosen)
    if before.height:
        first = before.filter(pl.col("session") == before["session"][-1])
        _go_to(first["ts"][0])


def _show_bar(bar: BarExplanation, symbol: str, session: date, content: ReportContent) -> None:
    currency = content.summary.currency
    with st.container(border=True):
        st.markdown(
            f"**{parts.escaped(symbol)}, session {session:%Y-%m-%d}, bar of {parts.utc(bar.ts)}:**"
            f" {explain_reason(bar.action or bar.reason)}"
        )
        close = look.number(bar.close, look.price_digits(bar.close))
        st.markdown(
            f"Close **{close} {currency}** · position after the bar"
            f" **{look.quantity(bar.position)} units** · action"
            f" **{look.words(bar.action) or 'none'}** · reason"
            f" **{look.words(bar.reason) or 'none'}**"
        )
        left, right = st.columns([3, 2])
        with left:
            _show_conditions(bar)
        with right:
            _show_indicators(bar)


def _show_conditions(bar: BarExplanation) -> None:
    rows = []
    for one in bar.conditions:
        title = _TITLES[one.name]
        rows.append((title, "the whole condition", _MARKS[one.value]))
        rows.extend(("", term.text, _MARKS[term.value]) for term in one.terms)
    if not rows:
        st.caption("This strategy has no conditions.")
        return
    body = "\n".join(
        f"| {side} | {parts.code(text) if not side else text} | {value} |"
        for side, text, value in rows
    )
    st.markdown(f"| Condition | Term | Value |\n|:--|:--|:--|\n{body}")


def _show_indicators(bar: BarExplanation) -> None:
    if not bar.indicators:
        st.caption("This strategy names no indicator.")
        return
    body = "\n".join(
        f"| {parts.code(name)} | {look.number(value, 4) if value is not None else 'warming up'} |"
        for name, value in bar.indicators
    )
    st.markdown(f"| Indicator | Value at the close |\n|:--|--:|\n{body}")
