"""Charts of two sources of one instrument: pure functions from frames to Plotly figures.

Owns what is drawn and how it is labelled. Compares nothing and reads no file.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import polars as pl

from research import look
from research.chart_parts import times
from research.look import Theme
from research.thinning import N_POINTS, kept_rows

A_COLOUR, B_COLOUR = look.BLUE, look.VERMILION
CLASS_COLOURS = {
    "equal": look.GREY,
    "rounding": look.GREY,
    "within the spread": look.SKY,
    "volume differs": look.GREEN,
    "different session": look.PURPLE,
    "missing in A": look.AMBER,
    "missing in B": look.AMBER,
    "outlier in A": look.BLUE,
    "outlier in B": look.VERMILION,
    "unresolved": look.PINK,
}
_SYMBOLS = {
    "outlier in A": "triangle-up",
    "outlier in B": "triangle-down",
    "unresolved": "circle",
    "different session": "square",
}
_WEEKS = 53
_N_MARKED = 3_000
_N_WITHIN = 1_500


def price_chart(
    bars: pl.DataFrame, names: tuple[str, str], *, theme: Theme = Theme.LIGHT
) -> go.Figure:
    """Draw both sources' closes as they came, on a log scale.

    Parameters
    ----------
    bars : DataFrame
        ts, session, raw_a, raw_b in order of time; null where there is no bar.
    """
    figure = go.Figure()
    axis = ""
    for column, name, colour, dash in (
        ("raw_a", f"A: {names[0]}", A_COLOUR, "solid"),
        ("raw_b", f"B: {names[1]}", B_COLOUR, "dot"),
    ):
        shown = _thin(bars.filter(pl.col(column).is_not_null()), column)
        x, axis = times(shown)
        figure.add_scatter(
            x=x, y=shown[column].to_numpy(), name=name, mode="lines",
            line={"color": colour, "width": 1.4, "dash": dash}, hovertemplate="%{y:,.6~g}",
        )  # fmt: skip
    _finish(figure, "Closes as they came", "", theme, axis)
    figure.update_yaxes(title_text="Price (log scale)", type="log")
    return figure


def ratio_chart(
    bars: pl.DataFrame, steps: Sequence[tuple[str, str]], *, theme: Theme = Theme.LIGHT
) -> go.Figure:
    """Draw the ratio of both closes as they came, with the levels found.

    Parameters
    ----------
    bars : DataFrame
        ts, session, ratio, level, of bars that both have.
    steps : sequence of (time, words)
        Where a step was found and what it is.
    """
    shown = _thin(bars, "ratio")
    x, axis = times(shown)
    figure = go.Figure()
    figure.add_scatter(
        x=x, y=shown["ratio"].to_numpy(), name="B / A", mode="markers",
        marker={"color": look.GREY, "size": 3}, hovertemplate="%{y:.6~g}",
    )  # fmt: skip
    figure.add_scatter(
        x=x, y=shown["level"].to_numpy(), name="level found", mode="lines",
        line={"color": look.GREEN, "width": 2, "shape": "hv"}, hovertemplate="%{y:.6~g}",
    )  # fmt: skip
    for at, words in steps:
        figure.add_vline(x=at, line={"color": look.GREEN, "width": 1, "dash": "dot"})
        if words:
            figure.add_annotation(
                x=at, y=1, yref="paper", text=words, showarrow=False, xanchor="left",
                yanchor="top", font={"size": 11}, xshift=4,
            )  # fmt: skip
    note = f"{len(steps)} steps" if steps else "no step: one factor throughout"
    _finish(figure, "Ratio of the closes as they came", note, theme, axis)
    low, high = float(shown["level"].min() or 0), float(shown["level"].max() or 0)  # type: ignore[arg-type]
    spans_much = low > 0 and high / low > 1.5
    figure.update_yaxes(title_text="B / A", type="log" if spans_much else "linear")
    return figure


def difference_chart(
    bars: pl.DataFrame, *, in_ticks: bool, theme: Theme = Theme.LIGHT
) -> go.Figure:
    """Draw each bar's largest difference of a price against the tolerance.

    Parameters
    ----------
    bars : DataFrame
        ts, session, difference (absolute, in ticks or a fraction of the
        price), tolerance (likewise), class; of bars that both have.
    in_ticks : bool
        Whether they are in ticks.
    """
    figure = go.Figure()
    floor = 0.1 if in_ticks else 1e-6
    drawn = bars.with_columns(pl.col("difference").clip(floor))
    within = drawn.filter(~pl.col("class").is_in(list(_SYMBOLS)))
    within = _thin(within, "difference", _N_WITHIN)
    figure.add_scatter(
        x=times(within)[0], y=within["difference"].to_numpy(), name="within tolerance",
        mode="markers", marker={"color": look.GREY, "size": 3, "opacity": 0.6},
        hovertemplate="%{y:.4~g}",
    )  # fmt: skip
    for name, symbol in _SYMBOLS.items():
        own = drawn.filter(pl.col("class") == name)
        if own.height == 0:
            continue
        own = _thin(own, "difference", _N_MARKED)
        figure.add_scatter(
            x=times(own)[0], y=own["difference"].to_numpy(), name=name, mode="markers",
            marker={"color": CLASS_COLOURS[name], "size": 5 if name == "unresolved" else 8,
                    "symbol": symbol, "opacity": 0.75},
            hovertemplate="%{y:.4~g}",
        )  # fmt: skip
    shown = _thin(drawn, "tolerance", _N_WITHIN)
    x, axis = times(shown)
    figure.add_scatter(
        x=x, y=shown["tolerance"].to_numpy(), name="tolerance", mode="lines",
        line={"color": look.PURPLE, "width": 1.6}, hovertemplate="%{y:.4~g}",
    )  # fmt: skip
    unit = "ticks" if in_ticks else "share of the price"
    _finish(
        figure, "Largest difference of a price in each bar", f"in {unit}, log scale",
        theme, axis, height=420,
    )  # fmt: skip
    figure.update_layout(hovermode="closest")
    figure.update_yaxes(
        title_text=f"Difference ({unit})", type="log", tickformat="~g" if in_ticks else ".2~%"
    )
    return figure


def offset_chart(
    shifts: Sequence[str], losses: Sequence[float], found: Sequence[str],
    *, note: str, theme: Theme = Theme.LIGHT,
) -> go.Figure:  # fmt: skip
    """Draw how well returns agree at each shift of time that was tried.

    Parameters
    ----------
    shifts : sequence of str
        In words, ascending.
    losses : sequence of float
        0 when all returns are equal, about 0.65 when they have nothing in
        common.
    found : sequence of str
        The shifts that were found.
    """
    colours = [look.GREEN if shift in found else look.GREY for shift in shifts]
    figure = go.Figure(
        go.Bar(
            x=list(shifts), y=list(losses), marker={"color": colours},
            hovertemplate="%{x}: %{y:.3f}<extra></extra>",
        )
    )  # fmt: skip
    _finish(figure, "Difference of returns by shift of time", note, theme, None, legend=False,
            height=260)  # fmt: skip
    figure.update_xaxes(title_text="B's label less A's", type="category", nticks=24)
    figure.update_yaxes(title_text="Loss (0 = equal)", rangemode="tozero")
    return figure


def shift_chart(
    x: Sequence[str], shift: Sequence[float], *, unit: str, theme: Theme = Theme.LIGHT
) -> go.Figure:
    """Draw the shift of time that was found, over time.

    Parameters
    ----------
    x : sequence of str
        Beginning of each segment, and the end of the last.
    shift : sequence of float
        Of each segment, the last one twice.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=list(x), y=list(shift), mode="lines", name="shift",
        line={"color": look.GREEN, "width": 2.4, "shape": "hv"}, hovertemplate="%{y:g}",
    )  # fmt: skip
    _finish(figure, "Shift of time over time", "B's label less A's", theme, "Time (UTC)",
            legend=False, height=220)  # fmt: skip
    figure.update_yaxes(title_text=f"Shift ({unit})")
    return figure


def class_chart(counts: pl.DataFrame, *, theme: Theme = Theme.LIGHT) -> go.Figure:
    """Draw what the bars of each field are, as shares.

    Parameters
    ----------
    counts : DataFrame
        field, class, bars.
    """
    figure = go.Figure()
    total = counts.group_by("field").agg(pl.col("bars").sum().alias("all"))
    shares = counts.join(total, on="field", maintain_order="left")
    for name, colour in CLASS_COLOURS.items():
        own = shares.filter(pl.col("class") == name)
        if own.height == 0:
            continue
        figure.add_bar(
            y=own["field"].to_list(), x=(own["bars"] / own["all"]).to_numpy(), name=name,
            orientation="h", customdata=own["bars"].to_numpy(),
            marker={"color": colour, "opacity": 0.45 if name in ("equal", "rounding") else 0.9,
                    "pattern": {"shape": "/" if name in ("rounding", "missing in B") else ""}},
            hovertemplate="%{y}: %{customdata:,} bars, %{x:.2%}",
        )  # fmt: skip
    _finish(figure, "What the differences are", "share of all bars, by field", theme, None,
            height=280)  # fmt: skip
    figure.update_layout(barmode="stack")
    figure.update_xaxes(tickformat=".0%", range=[0, 1])
    figure.update_yaxes(autorange="reversed")
    return figure


def year_chart(counts: pl.DataFrame, *, theme: Theme = Theme.LIGHT) -> go.Figure:
    """Draw the share of bars beyond tolerance by period and class.

    Parameters
    ----------
    counts : DataFrame
        period, class, share.
    """
    figure = go.Figure()
    for name in ("unresolved", "outlier in A", "outlier in B"):
        own = counts.filter(pl.col("class") == name)
        if own.height:
            figure.add_bar(
                x=own["period"].to_list(), y=own["share"].to_numpy(), name=name,
                marker={"color": CLASS_COLOURS[name]}, hovertemplate="%{x}: %{y:.2%}",
            )  # fmt: skip
    _finish(figure, "Bars beyond tolerance", "share of the bars that both have", theme, None,
            height=260)  # fmt: skip
    figure.update_layout(barmode="stack")
    figure.update_xaxes(type="category")
    figure.update_yaxes(tickformat=".0~%", title_text="Share of bars")
    return figure


def missing_chart(weeks: pl.DataFrame, *, name: str, theme: Theme = Theme.LIGHT) -> go.Figure:
    """Draw a calendar of the bars that one source lacks: a row a year, a cell a week.

    Parameters
    ----------
    weeks : DataFrame
        year, week (0 to 52), bars.
    """
    years = list(range(int(weeks["year"].min()), int(weeks["year"].max()) + 1))  # type: ignore[arg-type]
    cells = np.full((len(years), _WEEKS), np.nan)
    for year, week, bars in weeks.select("year", "week", "bars").iter_rows():
        cells[year - years[0], min(week, _WEEKS - 1)] = bars
    ground = look.GROUNDS[theme]
    figure = go.Figure(
        go.Heatmap(
            z=cells, x=list(range(1, _WEEKS + 1)), y=[str(year) for year in years],
            colorscale=[[0.0, look.faded(look.AMBER, 0.35)], [1.0, look.LOSS_DEEP]],
            xgap=1, ygap=1, colorbar={"title": {"text": "bars"}, "outlinewidth": 0,
                                      "thickness": 12},
            hovertemplate="%{y}, week %{x}: %{z} bars<extra></extra>",
        )
    )  # fmt: skip
    _finish(figure, f"Bars that {name} lacks and the other has", "", theme, None, legend=False,
            height=70 + 24 * len(years))  # fmt: skip
    figure.update_xaxes(title_text="Week of the year", range=[0.5, _WEEKS + 0.5])
    figure.update_yaxes(type="category", autorange="reversed", gridcolor=ground.grid)
    return figure


def volume_chart(bars: pl.DataFrame, usual: float, *, theme: Theme = Theme.LIGHT) -> go.Figure:
    """Draw the ratio of volumes, counted alike.

    Parameters
    ----------
    bars : DataFrame
        ts, session, ratio.
    usual : float
        The usual ratio.
    """
    shown = _thin(bars, "ratio")
    x, axis = times(shown)
    figure = go.Figure()
    figure.add_scatter(
        x=x, y=shown["ratio"].to_numpy(), name="B / A", mode="markers",
        marker={"color": look.GREY, "size": 3}, hovertemplate="%{y:.4~g}",
    )  # fmt: skip
    figure.add_hline(y=usual, line={"color": look.GREEN, "width": 2})
    _finish(figure, "Ratio of volumes", f"usually {usual:.4g}, log scale", theme, axis,
            legend=False, height=260)  # fmt: skip
    figure.update_yaxes(title_text="B / A", type="log")
    return figure


def _thin(frame: pl.DataFrame, column: str, n_points: int = N_POINTS) -> pl.DataFrame:
    if frame.height <= n_points:
        return frame
    return frame[kept_rows(frame[column].cast(pl.Float64).to_numpy(), n_points)]


def _finish(
    figure: go.Figure,
    title: str,
    note: str,
    theme: Theme,
    axis: str | None,
    *,
    height: int = 340,
    legend: bool = True,
) -> None:
    """Give a figure its title, its template and the room they need."""
    top = 34 + (18 if note else 0) + (26 if legend else 0)
    figure.update_layout(
        template=look.template(theme),
        title={"text": title, "subtitle": {"text": note}},
        height=height + top,
        margin={"t": top + 8},
        hovermode="x unified" if axis is not None else "closest",
        showlegend=legend,
    )
    if axis is not None:
        figure.update_xaxes(type="date", title_text=axis)
