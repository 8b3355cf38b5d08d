"""Charts that lay several versions side by side: years, months, returns of trades.

Pure functions from frames by name to Plotly figures, as in `research.charts`,
whose look they share. The first name is what the others are compared with.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray

from research import chart_parts, charts, look
from research.look import Theme

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PERCENT = ".2~%"
_DASHES = ("solid", "dash", "dot")
_ROOM = 46  # Title and legend above the plot.


def yearly_chart(years: Mapping[str, pl.DataFrame], *, theme: Theme = Theme.LIGHT) -> go.Figure:
    """Draw each year's return of every version, bar beside bar.

    Parameters
    ----------
    years : mapping of name to DataFrame
        year, total_return (fraction).
    """
    figure = go.Figure()
    all_years = sorted({year for frame in years.values() for year in frame["year"].to_list()})
    for i_version, (name, frame) in enumerate(years.items()):
        by_year = dict(frame.select("year", "total_return").iter_rows())
        figure.add_bar(
            x=[str(year) for year in all_years],
            y=[by_year.get(year) for year in all_years],
            name=name,
            marker_color=colour(i_version),
            hovertemplate="%{y:.2%}",
        )
    _finish(figure, "Yearly returns", 260, theme)
    figure.update_layout(barmode="group", bargap=0.3, bargroupgap=0.06, hovermode="x unified")
    figure.update_xaxes(type="category", title_text="Calendar year")
    figure.update_yaxes(title_text="Return (%)", tickformat=_PERCENT)
    return figure


def monthly_chart(months: pl.DataFrame, name: str, *, theme: Theme = Theme.LIGHT) -> go.Figure:
    """Draw one version's returns by month and year.

    Parameters
    ----------
    months : DataFrame
        year, month (1 to 12), total_return (fraction).
    """
    figure = charts.monthly_returns_chart(months, theme=theme)
    figure.update_layout(title_text=f"{name}: monthly returns (%)")
    return figure


def monthly_difference_chart(
    months: pl.DataFrame, first: pl.DataFrame, name: str, *, theme: Theme = Theme.LIGHT
) -> go.Figure:
    """Draw by month and year how much more a version returned than the first one.

    Months that only one of the two has stay empty. The last column is the
    difference of the months that both have, compounded.

    Parameters
    ----------
    months, first : DataFrame
        year, month (1 to 12), total_return (fraction).
    """
    joined = months.select("year", "month", "total_return").join(
        first.select("year", "month", pl.col("total_return").alias("__first")),
        on=["year", "month"],
        how="inner",
    )
    years = sorted(set(joined["year"].to_list()), reverse=True)
    if not years:
        return chart_parts.empty_chart(
            f"{name}: monthly difference", "No month that both have", theme=theme
        )
    own = np.full((len(years), 12), np.nan)
    other = np.full((len(years), 12), np.nan)
    for year, month, value, against in joined.iter_rows():
        if value is not None and against is not None:
            own[years.index(year), month - 1] = value
            other[years.index(year), month - 1] = against
    grid = np.full((len(years), 13), np.nan)
    grid[:, :12] = own - other
    total = np.nanprod(1.0 + own, axis=1) - np.nanprod(1.0 + other, axis=1)
    extent = max(float(np.nanmax(np.abs(grid[:, :12]), initial=0.0)), 1e-4)
    text = [[_points(value) for value in row] for row in grid]
    for row, value in zip(text, total, strict=True):
        row[12] = f"<b>{_points(value)}</b>"
    # A year is larger than its months: it is coloured as an average month.
    grid[:, 12] = np.clip(total / 12.0, -extent, extent)
    figure = go.Figure(
        go.Heatmap(
            z=grid, autocolorscale=True, x=[*MONTHS, "Year"], y=[str(year) for year in years],
            text=text, texttemplate="%{text}", zmin=-extent, zmax=extent, xgap=2, ygap=2,
            showscale=False, textfont={"size": 11},
            hovertemplate="%{x} %{y}: %{text} points<extra></extra>",
        )
    )  # fmt: skip
    _finish(figure, f"{name}: months against the first (points)", 40 + 26 * len(years), theme)
    figure.update_layout(
        margin={"t": 82, "b": 8}, showlegend=False,
        title={"subtitle": {"text": "the year compounds the months that both have"}},
        height=40 + 26 * len(years) + 52,
    )  # fmt: skip
    figure.update_xaxes(side="top", showline=False, ticks="", fixedrange=True)
    figure.update_yaxes(
        type="category", autorange="reversed", showline=False, ticks="", showgrid=False,
        fixedrange=True,
    )  # fmt: skip
    return figure


def trade_returns_chart(
    trades: Mapping[str, pl.DataFrame], *, theme: Theme = Theme.LIGHT
) -> go.Figure:
    """Draw what share of each version's trades returned how much, in the same bins.

    Parameters
    ----------
    trades : mapping of name to DataFrame
        return: net profit over entry notional, fraction.
    """
    values = {name: _finite(frame) for name, frame in trades.items()}
    every = np.concatenate([*values.values(), np.zeros(0)])
    if not len(every):
        return chart_parts.empty_chart("Returns of trades", "No closed trade", theme=theme)
    edges = chart_parts.histogram_edges(every)
    figure = go.Figure()
    for i_version, (name, one) in enumerate(values.items()):
        if not len(one):
            continue
        shares = np.histogram(one, edges)[0] / len(one)
        figure.add_scatter(
            x=np.repeat(edges, 2)[1:-1], y=np.repeat(shares, 2), name=f"{name} ({len(one):,})",
            mode="lines", fill="none" if i_version else "tozeroy",
            fillcolor=look.faded(colour(i_version), 0.15),
            line={"color": colour(i_version), "width": 1.6, "dash": dash(i_version)},
            hovertemplate="%{y:.1%} of trades",
        )  # fmt: skip
    _finish(figure, "Returns of trades", 300, theme)
    figure.update_layout(showlegend=True)
    figure.update_xaxes(title_text="Net profit / entry notional (%)", tickformat=_PERCENT)
    figure.update_yaxes(title_text="Share of trades (%)", tickformat=_PERCENT, rangemode="tozero")
    return figure


def colour(i_version: int) -> str:
    """Return the colour that a version has in every chart of the page."""
    return look.SERIES[i_version % len(look.SERIES)]


def dash(i_version: int) -> str:
    """Return the line style, which tells versions of one colour apart."""
    return _DASHES[i_version // len(look.SERIES) % len(_DASHES)]


def _finish(figure: go.Figure, title: str, height: int, theme: Theme) -> None:
    figure.update_layout(
        template=look.template(theme),
        title={"text": title},
        height=height + _ROOM,
        margin={"t": _ROOM + 14},
        showlegend=True,
    )


def _finite(trades: pl.DataFrame) -> NDArray[np.float64]:
    values = trades["return"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return np.asarray(values[np.isfinite(values)], np.float64)


def _points(value: float) -> str:
    return look.number(value * 100.0, 1) if np.isfinite(value) else ""
