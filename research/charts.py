"""Charts of results: pure functions from polars frames to Plotly figures.

Owns what is drawn and how it is labelled, for the report and for screens
alike; prices are in `price_charts`, decisions in `decision_charts`. Does not
read files and computes no statistics. Columns are those of the result files;
times are UTC, and series with one bar a session are drawn by session date.
Long series are thinned to what a picture can show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from research import look
from research.chart_parts import (
    closed_times,
    empty_chart,
    finish,
    finite,
    floats,
    has_values,
    histogram_edges,
    thinned_words,
    times,
)
from research.look import Theme
from research.thinning import N_POINTS, thin

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PERCENT = ".2~%"


def equity_chart(
    equity: pl.DataFrame,
    *,
    currency: str = "USD",
    name: str = "Strategy",
    log: bool = False,
    theme: Theme = Theme.LIGHT,
) -> go.Figure:
    """Draw equity against buying and holding the same instruments.

    Parameters
    ----------
    equity : DataFrame
        Rows of one symbol: ts, session, equity, buy_and_hold.
    """
    shown = thin(equity, "equity")
    x, zone = times(shown)
    figure = go.Figure()
    if has_values(shown, "buy_and_hold"):
        figure.add_scatter(
            x=x, y=floats(shown, "buy_and_hold"), name="Buy and hold", mode="lines",
            line={"color": look.BENCHMARK, "width": 1.3, "dash": "dot"},
            hovertemplate="%{y:,.2f}",
        )  # fmt: skip
    figure.add_scatter(
        x=x, y=floats(shown, "equity"), name=name, mode="lines",
        line={"color": look.STRATEGY, "width": 1.8}, hovertemplate="%{y:,.2f}",
    )  # fmt: skip
    finish(figure, "Equity and buy-and-hold", thinned_words(shown, equity), theme, zone)
    figure.update_xaxes(rangebreaks=closed_times(equity))
    figure.update_yaxes(
        title_text=f"Equity ({currency}{', log scale' if log else ''})",
        tickformat=",.0f",
        type="log" if log else "linear",
    )
    return figure


def drawdown_chart(equity: pl.DataFrame, *, theme: Theme = Theme.LIGHT) -> go.Figure:
    """Draw the fall from the highest equity so far, downward, with buy-and-hold's.

    Parameters
    ----------
    equity : DataFrame
        Rows of one symbol: ts, session, drawdown (positive fraction), buy_and_hold.
    """
    shown = equity
    if has_values(equity, "buy_and_hold"):
        held = pl.col("buy_and_hold")
        shown = equity.with_columns(__held=held / held.cum_max() - 1.0)
    shown = thin(shown, "drawdown")
    x, zone = times(shown)
    figure = go.Figure()
    if "__held" in shown.columns:
        figure.add_scatter(
            x=x, y=floats(shown, "__held"), name="Buy and hold", mode="lines",
            line={"color": look.BENCHMARK, "width": 1.1, "dash": "dot"},
            hovertemplate="%{y:.2%}",
        )  # fmt: skip
    figure.add_scatter(
        x=x, y=-floats(shown, "drawdown"), name="Strategy", mode="lines", fill="tozeroy",
        line={"color": look.LOSS, "width": 1.2}, fillcolor=look.faded(look.LOSS, 0.25),
        hovertemplate="%{y:.2%}",
    )  # fmt: skip
    finish(figure, "Drawdown", thinned_words(shown, equity), theme, zone, height=240)
    figure.update_xaxes(rangebreaks=closed_times(equity))
    figure.update_yaxes(title_text="Below the peak (%)", tickformat=_PERCENT, rangemode="tozero")
    return figure


def exposure_chart(equity: pl.DataFrame, *, theme: Theme = Theme.LIGHT) -> go.Figure:
    """Draw what is invested, as a share of equity: long above zero, short below.

    Parameters
    ----------
    equity : DataFrame
        Rows of one symbol: ts, session, equity, cash.
    """
    invested = pl.when(pl.col("equity") > 0).then(1.0 - pl.col("cash") / pl.col("equity"))
    drawn = equity.with_columns(__invested=invested)
    shown = thin(drawn, "__invested")
    x, zone = times(shown)
    figure = go.Figure()
    figure.add_scatter(
        x=x, y=floats(shown, "__invested"), name="Invested", mode="lines", fill="tozeroy",
        line={"color": look.GREEN, "width": 1.0, "shape": "hv"},
        fillcolor=look.faded(look.GREEN, 0.3), hovertemplate="%{y:.1%}",
    )  # fmt: skip
    finish(figure, "Exposure", thinned_words(shown, equity), theme, zone, height=190, legend=False)
    figure.update_xaxes(rangebreaks=closed_times(equity))
    figure.update_yaxes(title_text="Invested (%)", tickformat=_PERCENT, rangemode="tozero")
    return figure


def monthly_returns_chart(months: pl.DataFrame, *, theme: Theme = Theme.LIGHT) -> go.Figure:
    """Draw returns by month and year as a heat map, with the year's total at the end.

    Parameters
    ----------
    months : DataFrame
        year, month (1 to 12), total_return (fraction).
    """
    years = sorted(set(months["year"].to_list()), reverse=True)
    grid = np.full((len(years), 13), np.nan)
    for year, month, value in months.select("year", "month", "total_return").iter_rows():
        if value is not None:
            grid[years.index(year), month - 1] = value
    with np.errstate(all="ignore"):
        totals = np.nanprod(1.0 + grid[:, :12], axis=1) - 1.0
    months_only = grid.copy()
    extent = float(np.nanmax(np.abs(months_only))) if np.isfinite(months_only).any() else 0.01
    extent = max(extent, 1e-4)
    text = [[_cell(value) for value in row] for row in grid]
    for row, total in zip(text, totals, strict=True):
        row[12] = f"<b>{_cell(total)}</b>"
    # A year is larger than its months: it is coloured as an average month.
    grid[:, 12] = np.clip((1.0 + np.maximum(totals, -1.0)) ** (1 / 12) - 1.0, -extent, extent)
    figure = go.Figure(
        go.Heatmap(
            z=grid, autocolorscale=True, x=[*_MONTHS, "Year"], text=text,
            y=[str(year) for year in years],
            texttemplate="%{text}", zmin=-extent, zmax=extent, xgap=2, ygap=2, showscale=False,
            hovertemplate="%{x} %{y}: %{text} %<extra></extra>", textfont={"size": 11},
        )
    )  # fmt: skip
    finish(figure, "Monthly returns (%)", "the year compounds its months", theme, None,
            height=40 + 26 * max(len(years), 1), legend=False)  # fmt: skip
    figure.update_layout(margin={"t": 82, "b": 8})
    figure.update_xaxes(side="top", showline=False, ticks="", fixedrange=True)
    figure.update_yaxes(
        type="category", autorange="reversed", showline=False, ticks="", showgrid=False,
        fixedrange=True,
    )  # fmt: skip
    return figure


def yearly_returns_chart(years: pl.DataFrame, *, theme: Theme = Theme.LIGHT) -> go.Figure:
    """Draw each year's return beside that of buying and holding.

    Parameters
    ----------
    years : DataFrame
        year, total_return, buy_and_hold_return (fractions).
    """
    x = [str(year) for year in years["year"].to_list()]
    figure = go.Figure()
    figure.add_bar(
        x=x, y=floats(years, "total_return"), name="Strategy", marker_color=look.STRATEGY,
        hovertemplate="%{y:.2%}",
    )  # fmt: skip
    if has_values(years, "buy_and_hold_return"):
        figure.add_bar(
            x=x, y=floats(years, "buy_and_hold_return"), name="Buy and hold",
            marker_color=look.faded(look.BENCHMARK, 0.55), hovertemplate="%{y:.2%}",
        )  # fmt: skip
    finish(figure, "Yearly returns", "", theme, None, height=260)
    figure.update_layout(barmode="group", bargap=0.35, bargroupgap=0.05)
    figure.update_xaxes(type="category", title_text="Calendar year")
    figure.update_yaxes(title_text="Return (%)", tickformat=_PERCENT)
    return figure


def trade_distribution_chart(trades: pl.DataFrame, *, theme: Theme = Theme.LIGHT) -> go.Figure:
    """Draw how many trades returned how much; zero is always a bin's edge.

    Parameters
    ----------
    trades : DataFrame
        return: net profit over entry notional, fraction.
    """
    values = finite(trades, "return")
    if values.shape[0] == 0:
        return empty_chart("Returns of trades", "No closed trade", theme=theme)
    edges = histogram_edges(values)
    counts = np.histogram(values, edges)[0]
    middles = (edges[1:] + edges[:-1]) / 2
    figure = go.Figure(
        go.Bar(
            x=middles, y=counts, width=np.diff(edges) * 0.94,
            marker_color=np.where(middles > 0, look.GAIN, look.LOSS),
            customdata=np.column_stack([edges[:-1], edges[1:]]),
            hovertemplate="%{customdata[0]:.2%} to %{customdata[1]:.2%}: %{y}<extra></extra>",
        )
    )  # fmt: skip
    note = (
        f"{values.shape[0]:,} trades; mean {look.percent(float(values.mean()))}, "
        f"median {look.percent(float(np.median(values)))}"
    )
    finish(figure, "Returns of trades", note, theme, None, height=300, legend=False)
    figure.update_xaxes(title_text="Net profit / entry notional (%)", tickformat=_PERCENT)
    figure.update_yaxes(title_text="Trades")
    return figure


def excursion_chart(trades: pl.DataFrame, *, theme: Theme = Theme.LIGHT) -> go.Figure:
    """Draw how far each trade went against its entry, and what it returned.

    Parameters
    ----------
    trades : DataFrame
        mae (fraction, <= 0), return, symbol, trade_id.
    """
    if trades.height == 0:
        return empty_chart("Adverse excursion and return", "No closed trade", theme=theme)
    shown = trades
    if trades.height > N_POINTS:
        shown = trades[np.linspace(0, trades.height - 1, N_POINTS).astype(np.int64)]
    figure = go.Figure()
    for name, rows, colour, symbol in (
        ("Winner", shown.filter(pl.col("return") > 0), look.GAIN, "circle"),
        ("Loser", shown.filter(pl.col("return") <= 0), look.LOSS, "diamond"),
    ):
        figure.add_scatter(
            x=floats(rows, "mae"), y=floats(rows, "return"), name=name, mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 7, "opacity": 0.75},
            text=[f"{one} #{number}" for one, number in rows.select("symbol", "trade_id").rows()],
            hovertemplate="%{text}: worst %{x:.2%}, return %{y:.2%}<extra></extra>",
        )  # fmt: skip
    finish(figure, "Adverse excursion and return", thinned_words(shown, trades, "trades"), theme, None,
            height=292)  # fmt: skip
    figure.update_xaxes(title_text="Worst point against the entry (%)", tickformat=_PERCENT)
    figure.update_yaxes(title_text="Return (%)", tickformat=_PERCENT)
    return figure


def cost_chart(
    steps: Sequence[tuple[str, float]], *, currency: str = "USD", theme: Theme = Theme.LIGHT
) -> go.Figure:
    """Draw how the gross result becomes the net one.

    Parameters
    ----------
    steps : sequence of (name, amount)
        Signed amounts in order, from the result before costs; the net result
        is added as their sum.
    """
    names = [name for name, _ in steps] + ["Net result"]
    amounts = [amount for _, amount in steps] + [sum(amount for _, amount in steps)]
    figure = go.Figure(
        go.Waterfall(
            x=names, y=amounts, measure=["relative"] * len(steps) + ["total"],
            text=[look.number(amount, 0) for amount in amounts], textposition="outside",
            increasing={"marker": {"color": look.GAIN}},
            decreasing={"marker": {"color": look.LOSS}},
            totals={"marker": {"color": look.GREY}},
            connector={"line": {"color": look.GREY, "width": 1, "dash": "dot"}},
            hovertemplate="%{x}: %{text} " + currency + "<extra></extra>", cliponaxis=False,
        )
    )  # fmt: skip
    finish(figure, "From gross to net result", "", theme, None, height=300, legend=False)
    figure.update_xaxes(type="category")
    figure.update_yaxes(title_text=f"Amount ({currency})", tickformat=",.0f")
    return figure


def two_path_chart(rows: pl.DataFrame, *, theme: Theme = Theme.LIGHT) -> go.Figure:
    """Draw the total return on the unfavourable and the favourable path within bars.

    Parameters
    ----------
    rows : DataFrame
        name, low, high (total returns, fractions); the first row is drawn on top.
    """
    names = rows["name"].to_list()
    figure = go.Figure()
    low, high = floats(rows, "low"), floats(rows, "high")
    gaps = np.full(low.shape, np.nan)
    figure.add_scatter(
        x=np.column_stack([low, high, gaps]).ravel(),
        y=[name for name in names for _ in range(3)], mode="lines", name="Interval",
        line={"color": look.faded(look.STRATEGY, 0.45), "width": 9}, hoverinfo="skip",
    )  # fmt: skip
    for title, values, symbol, text in (
        ("Unfavourable path (reported)", low, "circle", None),
        ("Favourable path", high, "circle-open", interval_words(rows)),
    ):
        figure.add_scatter(
            x=values, y=names, mode="markers" if text is None else "markers+text", name=title,
            text=text, textposition="middle right", cliponaxis=False,
            marker={"symbol": symbol, "size": 10, "color": look.STRATEGY,
                    "line": {"width": 2, "color": look.STRATEGY}},
            hovertemplate="%{y}: %{x:.2%}",
        )  # fmt: skip
    finish(figure, "Two-path interval of the total return", "", theme, None,
            height=80 + 34 * max(rows.height, 1))  # fmt: skip
    figure.update_layout(margin={"r": 150})
    figure.update_xaxes(title_text="Total return (%)", tickformat=_PERCENT, showgrid=True)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return figure


def interval_words(rows: pl.DataFrame) -> list[str]:
    """Write each row's interval, with some room before it."""
    return [
        f"   {look.percent(low)} to {look.percent(high)}"
        for low, high in rows.select("low", "high").iter_rows()
    ]


def comparison_chart(
    results: Mapping[str, pl.DataFrame], *, theme: Theme = Theme.LIGHT
) -> go.Figure:
    """Draw several results as the growth of 100, and their drawdowns below.

    Parameters
    ----------
    results : mapping of name to DataFrame
        Portfolio rows of equity.parquet: ts, session, equity, drawdown.
    """
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.04, row_heights=[2.4, 1.0]
    )
    zone = "UTC"
    for i_result, (name, equity) in enumerate(results.items()):
        if equity.height == 0:
            continue
        first = float(equity["equity"][0]) or 1.0
        shown = thin(equity, "equity", max(N_POINTS // max(len(results), 1), 400))
        x, zone = times(shown)
        line = {
            "color": look.SERIES[i_result % len(look.SERIES)],
            "width": 1.6,
            "dash": ("solid", "dash", "dot")[i_result // len(look.SERIES) % 3],
        }
        figure.add_scatter(
            x=x, y=floats(shown, "equity") / first * 100.0, name=name, mode="lines", line=line,
            legendgroup=name, hovertemplate="%{y:,.2f}", row=1, col=1,
        )  # fmt: skip
        figure.add_scatter(
            x=x, y=-floats(shown, "drawdown"), name=name, mode="lines",
            line=line | {"width": 1.1}, legendgroup=name, showlegend=False,
            hovertemplate="%{y:.2%}", row=2, col=1,
        )  # fmt: skip
    finish(figure, "Growth of 100 and drawdown", "", theme, None, height=480)
    figure.update_layout(hovermode="x unified")
    figure.update_xaxes(title_text=zone, row=2, col=1)
    figure.update_yaxes(title_text="Growth of 100", tickformat=",.0f", row=1, col=1)
    figure.update_yaxes(title_text="Drawdown (%)", tickformat=_PERCENT, row=2, col=1)
    return figure


def _cell(value: float) -> str:
    return look.number(value * 100.0, 1) if np.isfinite(value) else ""
