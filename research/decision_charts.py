"""Charts of decisions: why a bar did nothing, and how often which reason.

Pure functions from polars frames to Plotly figures, as in `research.charts`.
"""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from research import look
from research.chart_parts import (
    empty_chart,
    finish,
    floats,
    times,
)
from research.look import Theme

N_STRIP_BARS = 400


def decision_strip_chart(
    decisions: pl.DataFrame,
    *,
    n_bars: int = N_STRIP_BARS,
    i_marked: int | None = None,
    theme: Theme = Theme.LIGHT,
) -> go.Figure:
    """Draw each condition of each bar as true, false or unknown, under the price.

    Bar stands beside bar, whatever time lies between them.

    Parameters
    ----------
    decisions : DataFrame
        Rows of decisions.parquet of one symbol; the last `n_bars` are drawn.
    i_marked : int, optional
        Row of `decisions` that gets a dotted line.
    """
    shown = decisions.tail(n_bars)
    if shown.height == 0:
        return empty_chart("Why no trade", "No decision in this range", theme=theme)
    x, zone = times(shown)
    rows = condition_columns(shown)
    grid = np.array(
        [shown[row].cast(pl.Float64).fill_null(0.5).to_numpy() for row in rows]
    ).reshape(len(rows), shown.height)
    reasons = shown["reason"].fill_null("").to_list()
    actions = shown["action"].fill_null("").to_list()
    hover = [look.words(a or r) or "no reason" for a, r in zip(actions, reasons, strict=True)]
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.04,
        row_heights=[1.6, 0.24 * len(rows) + 0.3],
    )  # fmt: skip
    figure.add_scatter(
        x=x, y=floats(shown, "close"), mode="lines", name="Close", text=hover,
        line={"color": look.PRICE, "width": 1.3}, hovertemplate="%{y:,.4~f}: %{text}",
        row=1, col=1,
    )  # fmt: skip
    for name, symbol, colour, found in (
        (
            "Entry decided",
            "triangle-up",
            look.GAIN,
            [a.startswith(("enter", "reverse")) for a in actions],
        ),
        (
            "Exit decided",
            "triangle-down",
            look.LOSS,
            [a.startswith(("exit", "reverse")) for a in actions],
        ),
    ):
        figure.add_scatter(
            x=[one for one, hit in zip(x, found, strict=True) if hit],
            y=floats(shown, "close")[np.array(found, dtype=bool)], mode="markers", name=name,
            marker={"symbol": symbol, "size": 10, "color": colour}, hoverinfo="skip",
            row=1, col=1,
        )  # fmt: skip
    if rows:
        figure.add_heatmap(
            z=grid, x=x, y=[_shortened(row) for row in rows], zmin=0, zmax=1, ygap=2,
            showscale=False,
            colorscale=[[0, look.faded(look.LOSS, 0.35)], [0.25, look.faded(look.LOSS, 0.35)],
                        [0.25, look.faded(look.GREY, 0.35)], [0.75, look.faded(look.GREY, 0.35)],
                        [0.75, look.GAIN], [1, look.GAIN]],
            text=[[("false", "unknown", "true")[round(v * 2)] for v in row] for row in grid],
            hovertemplate="%{y}: %{text}<extra></extra>", row=2, col=1,
        )  # fmt: skip
    note = "blue: true, orange: false, grey: unknown"
    if shown.height < decisions.height:
        note += f"; the last {shown.height:,} of {decisions.height:,} bars"
    finish(figure, "Conditions by bar", note, theme, None, height=270 + 26 * len(rows))
    figure.update_layout(hovermode="x unified")
    # A heat map over a time axis that leaves nights out would draw cells twice.
    figure.update_xaxes(type="category", nticks=8, tickangle=0)
    figure.update_xaxes(title_text=zone, row=2, col=1)
    i_drawn = -1 if i_marked is None else i_marked - (decisions.height - shown.height)
    if i_drawn >= 0:
        figure.add_vline(x=x[i_drawn], line_width=1.5, line_dash="dot", opacity=0.8)
    figure.update_yaxes(title_text="Price", tickformat=",.4~f", row=1, col=1)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, row=2, col=1)
    return figure


def reasons_chart(reasons: pl.DataFrame, *, theme: Theme = Theme.LIGHT) -> go.Figure:
    """Draw on how many bars nothing was done, by reason.

    Parameters
    ----------
    reasons : DataFrame
        reason, n_bars; bars with an action carry the action as reason.
    """
    if reasons.height == 0:
        return empty_chart("What was decided", "No decision", theme=theme)
    rows = reasons.sort("n_bars", "reason", descending=[True, False])
    total = int(rows["n_bars"].sum())
    counts = rows["n_bars"].to_numpy()
    figure = go.Figure(
        go.Bar(
            x=counts, y=[look.words(one) for one in rows["reason"].to_list()], orientation="h",
            marker_color=look.STRATEGY, cliponaxis=False, textposition="outside",
            text=[f"{n:,} ({look.percent(n / total, 1)})" for n in counts],
            hovertemplate="%{y}: %{x:,} bars<extra></extra>",
        )
    )  # fmt: skip
    finish(figure, "What was decided, and why not", f"{total:,} bars", theme, None,
            height=70 + 28 * rows.height, legend=False)  # fmt: skip
    figure.update_xaxes(title_text="Bars", tickformat=",", range=[0, float(counts.max()) * 1.25])
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return figure


def condition_columns(decisions: pl.DataFrame) -> list[str]:
    """Return the condition columns, each side's whole condition before its terms."""
    columns: list[str] = []
    for side in ("enter_long", "exit_long", "enter_short", "exit_short"):
        terms = [name for name in decisions.columns if name.startswith(f"{side}[")]
        if side in decisions.columns:
            columns.append(side)
        if len(terms) > 1 or (terms and side not in decisions.columns):
            columns.extend(terms)
    return columns


def _shortened(text: str, n_letters: int = 44) -> str:
    return text if len(text) <= n_letters else f"{text[: n_letters - 1]}…"
