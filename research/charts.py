"""Charts of results: pure functions from polars frames to Plotly figures.

Owns what is drawn and how it is labelled, for the report and for screens
alike. Does not read files and computes no statistics. Columns are those of
the result files; times are UTC, and series with one bar a session are drawn
by session date. Long series are thinned to what a picture can show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from research import look
from research.look import Theme
from research.thinning import N_POINTS, kept_rows, thin, thin_candles

N_CANDLES = 600
N_PANELS = 4
N_STRIP_BARS = 400
N_MARKED = 30
N_BROKEN_DAYS = 120
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PERCENT = ".2~%"
# An overlay's median distance from the price, as a fraction of the price.
_OVERLAY_DISTANCE = 0.5
# A gap between bars longer than this is a closed market, not a quiet one.
_CLOSED_MS = 2 * 3_600_000


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
    if _has_values(shown, "buy_and_hold"):
        figure.add_scatter(
            x=x, y=_floats(shown, "buy_and_hold"), name="Buy and hold", mode="lines",
            line={"color": look.BENCHMARK, "width": 1.3, "dash": "dot"},
            hovertemplate="%{y:,.2f}",
        )  # fmt: skip
    figure.add_scatter(
        x=x, y=_floats(shown, "equity"), name=name, mode="lines",
        line={"color": look.STRATEGY, "width": 1.8}, hovertemplate="%{y:,.2f}",
    )  # fmt: skip
    _finish(figure, "Equity and buy-and-hold", _thinned(shown, equity), theme, zone)
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
    if _has_values(equity, "buy_and_hold"):
        held = pl.col("buy_and_hold")
        shown = equity.with_columns(__held=held / held.cum_max() - 1.0)
    shown = thin(shown, "drawdown")
    x, zone = times(shown)
    figure = go.Figure()
    if "__held" in shown.columns:
        figure.add_scatter(
            x=x, y=_floats(shown, "__held"), name="Buy and hold", mode="lines",
            line={"color": look.BENCHMARK, "width": 1.1, "dash": "dot"},
            hovertemplate="%{y:.2%}",
        )  # fmt: skip
    figure.add_scatter(
        x=x, y=-_floats(shown, "drawdown"), name="Strategy", mode="lines", fill="tozeroy",
        line={"color": look.LOSS, "width": 1.2}, fillcolor=look.faded(look.LOSS, 0.25),
        hovertemplate="%{y:.2%}",
    )  # fmt: skip
    _finish(figure, "Drawdown", _thinned(shown, equity), theme, zone, height=240)
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
        x=x, y=_floats(shown, "__invested"), name="Invested", mode="lines", fill="tozeroy",
        line={"color": look.GREEN, "width": 1.0, "shape": "hv"},
        fillcolor=look.faded(look.GREEN, 0.3), hovertemplate="%{y:.1%}",
    )  # fmt: skip
    _finish(figure, "Exposure", _thinned(shown, equity), theme, zone, height=190, legend=False)
    figure.update_xaxes(rangebreaks=closed_times(equity))
    figure.update_yaxes(title_text="Invested (%)", tickformat=_PERCENT, rangemode="tozero")
    return figure


def price_chart(
    prices: pl.DataFrame,
    trades: pl.DataFrame | None = None,
    *,
    symbol: str = "",
    currency: str = "USD",
    indicators: Sequence[str] = (),
    overlays: Sequence[str] | None = None,
    theme: Theme = Theme.LIGHT,
) -> go.Figure:
    """Draw prices with entries, exits and indicators.

    Parameters
    ----------
    prices : DataFrame
        Rows of one symbol: ts, close, and the indicator columns; candles when
        open, high and low are there; session when bars are daily.
    trades : DataFrame or None
        Rows of trades.parquet of that symbol.
    indicators : sequence of str
        Columns to draw. Outputs of one indicator (``stoch.k``, ``stoch.d``)
        share a panel.
    overlays : sequence of str or None
        Those to draw over the price; None leaves it to `is_overlay`.
    """
    if overlays is None:
        overlays = [name for name in indicators if is_overlay(prices, name)]
    panels = panels_of([name for name in indicators if name not in overlays])[:N_PANELS]
    candles = {"open", "high", "low"} <= set(prices.columns)
    figure = make_subplots(
        rows=1 + len(panels), cols=1, shared_xaxes=True, vertical_spacing=0.03,
        row_heights=[3.2] + [1.0] * len(panels),
    )  # fmt: skip
    n_joined = 1
    if candles:
        shown, n_joined = thin_candles(prices, N_CANDLES)
    else:
        shown = thin(prices, "close")
    x, zone = times(shown)
    if candles:
        figure.add_candlestick(
            x=x, open=_floats(shown, "open"), high=_floats(shown, "high"),
            low=_floats(shown, "low"), close=_floats(shown, "close"), name="Price",
            increasing={"line": {"color": look.GAIN, "width": 1}},
            decreasing={"line": {"color": look.LOSS, "width": 1}}, showlegend=False,
            row=1, col=1,
        )  # fmt: skip
    else:
        figure.add_scatter(
            x=x, y=_floats(shown, "close"), name="Close", mode="lines",
            line={"color": look.PRICE, "width": 1.2}, hovertemplate="%{y:,.4~f}", row=1, col=1,
        )  # fmt: skip
    for i_line, column in enumerate(overlays):
        _add_line(figure, x, shown, column, i_line, row=1, named=True)
    for i_panel, panel in enumerate(panels):
        for i_line, column in enumerate(panel):
            # A panel of one line is named by its axis.
            _add_line(figure, x, shown, column, i_line, row=2 + i_panel, named=len(panel) > 1)
        figure.update_yaxes(title_text=label(panel[0]).split(".")[0], row=2 + i_panel, col=1)
    if trades is not None and trades.height:
        _add_trades(figure, prices, trades)
    note = _thinned(shown, prices) if not candles else ""
    if n_joined > 1:
        note = f"each candle joins {n_joined} bars"
    height = 380 + 110 * len(panels)
    title = f"{symbol} price, entries and exits".strip()
    _finish(figure, title, note, theme, None, height=height)
    figure.update_layout(hovermode="x unified")
    _show_few_points(figure)
    figure.update_xaxes(rangeslider_visible=False, type="date", rangebreaks=closed_times(prices))
    if len(x) > 1:
        # Markers would widen the axis beyond the data, differently on each chart.
        figure.update_xaxes(range=[x[0], x[-1]])
    figure.update_xaxes(title_text=zone, row=1 + len(panels), col=1)
    figure.update_yaxes(title_text=f"Price ({currency})", tickformat=",.4~f", row=1, col=1)
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
    _finish(figure, "Monthly returns (%)", "the year compounds its months", theme, None,
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
        x=x, y=_floats(years, "total_return"), name="Strategy", marker_color=look.STRATEGY,
        hovertemplate="%{y:.2%}",
    )  # fmt: skip
    if _has_values(years, "buy_and_hold_return"):
        figure.add_bar(
            x=x, y=_floats(years, "buy_and_hold_return"), name="Buy and hold",
            marker_color=look.faded(look.BENCHMARK, 0.55), hovertemplate="%{y:.2%}",
        )  # fmt: skip
    _finish(figure, "Yearly returns", "", theme, None, height=260)
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
    values = _finite(trades, "return")
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
    _finish(figure, "Returns of trades", note, theme, None, height=300, legend=False)
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
            x=_floats(rows, "mae"), y=_floats(rows, "return"), name=name, mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 7, "opacity": 0.75},
            text=[f"{one} #{number}" for one, number in rows.select("symbol", "trade_id").rows()],
            hovertemplate="%{text}: worst %{x:.2%}, return %{y:.2%}<extra></extra>",
        )  # fmt: skip
    _finish(figure, "Adverse excursion and return", _thinned(shown, trades, "trades"), theme, None,
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
    _finish(figure, "From gross to net result", "", theme, None, height=300, legend=False)
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
    low, high = _floats(rows, "low"), _floats(rows, "high")
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
    _finish(figure, "Two-path interval of the total return", "", theme, None,
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
            x=x, y=_floats(shown, "equity") / first * 100.0, name=name, mode="lines", line=line,
            legendgroup=name, hovertemplate="%{y:,.2f}", row=1, col=1,
        )  # fmt: skip
        figure.add_scatter(
            x=x, y=-_floats(shown, "drawdown"), name=name, mode="lines",
            line=line | {"width": 1.1}, legendgroup=name, showlegend=False,
            hovertemplate="%{y:.2%}", row=2, col=1,
        )  # fmt: skip
    _finish(figure, "Growth of 100 and drawdown", "", theme, None, height=480)
    figure.update_layout(hovermode="x unified")
    figure.update_xaxes(title_text=zone, row=2, col=1)
    figure.update_yaxes(title_text="Growth of 100", tickformat=",.0f", row=1, col=1)
    figure.update_yaxes(title_text="Drawdown (%)", tickformat=_PERCENT, row=2, col=1)
    return figure


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
        x=x, y=_floats(shown, "close"), mode="lines", name="Close", text=hover,
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
            y=_floats(shown, "close")[np.array(found, dtype=bool)], mode="markers", name=name,
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
    _finish(figure, "Conditions by bar", note, theme, None, height=270 + 26 * len(rows))
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
    _finish(figure, "What was decided, and why not", f"{total:,} bars", theme, None,
            height=70 + 28 * rows.height, legend=False)  # fmt: skip
    figure.update_xaxes(title_text="Bars", tickformat=",", range=[0, float(counts.max()) * 1.25])
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return figure


def empty_chart(title: str, message: str, *, theme: Theme = Theme.LIGHT) -> go.Figure:
    """Draw a chart that says why there is nothing to draw."""
    figure = go.Figure()
    _finish(figure, title, "", theme, None, height=140, legend=False)
    figure.add_annotation(
        text=message, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False,
        font={"size": 14, "color": look.GROUNDS[theme].muted},
    )  # fmt: skip
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure


def times(frame: pl.DataFrame) -> tuple[list[str], str]:
    """Return the x values of a frame as text, and what the axis is to say.

    Text, because Plotly shows numbers and aware times in the reader's own
    zone. Bars of one a session are named by session date.
    """
    if "session" in frame.columns and frame["session"].is_unique().all():
        return frame["session"].cast(pl.String).to_list(), "Session date"
    stamps = frame["ts"].dt.replace_time_zone(None)
    if frame.height and (stamps.dt.truncate("1m") == stamps).all():
        return stamps.dt.strftime("%Y-%m-%d %H:%M").to_list(), "Time (UTC)"
    return stamps.dt.strftime("%Y-%m-%d %H:%M:%S").to_list(), "Time (UTC)"


def closed_times(frame: pl.DataFrame) -> list[dict[str, object]]:
    """Return what a time axis leaves out: nights, weekends and holidays.

    Only for intraday bars over days that a picture can tell apart. Each gap is
    given by its start and length: Plotly draws lines back and forth when
    patterns of hours and single days are mixed.
    """
    if frame.height < 3 or ("session" in frame.columns and frame["session"].is_unique().all()):
        return []
    stamps = frame["ts"].dt.replace_time_zone(None).dt.cast_time_unit("ms")
    if stamps[-1] - stamps[0] > timedelta(days=N_BROKEN_DAYS):
        return []
    ticks = stamps.to_physical().to_numpy()
    steps = np.diff(ticks)
    step = int(np.median(steps))
    closed = np.flatnonzero(steps > max(_CLOSED_MS, 3 * step))
    gaps: dict[int, list[str]] = {}
    for i_gap in closed.tolist():
        start = stamps[i_gap] + timedelta(milliseconds=step)
        gaps.setdefault(int(steps[i_gap]) - step, []).append(f"{start:%Y-%m-%d %H:%M:%S}")
    return [{"values": starts, "dvalue": length} for length, starts in sorted(gaps.items())]


def label(column: str) -> str:
    """Return an indicator column's name without its prefix."""
    return column.removeprefix("indicator: ")


def is_overlay(prices: pl.DataFrame, column: str) -> bool:
    """Return whether an indicator has about the size of the price, so belongs over it.

    An average or a channel has; a range in the price's unit, such as atr, has
    not, and would flatten the price's curve.
    """
    close, values = _floats(prices, "close"), _floats(prices, column)
    both = np.isfinite(close) & np.isfinite(values) & (close != 0)
    if not both.any():
        return False
    return bool(np.median(np.abs(values[both] / close[both] - 1.0)) < _OVERLAY_DISTANCE)


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


def histogram_edges(values: np.ndarray) -> np.ndarray:
    """Return bin edges of equal width with zero among them (Freedman-Diaconis, 6 to 60 bins)."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if high - low < 1e-12:
        return np.array([-0.01, 0.0, 0.01])
    spread = float(np.subtract(*np.percentile(values, [75, 25])))
    width = 2 * spread / values.shape[0] ** (1 / 3) or (high - low) / 10
    width = min(max(width, (high - low) / 60), (high - low) / 6)
    return np.arange(np.floor(low / width), np.ceil(high / width) + 1) * width


def _finish(
    figure: go.Figure,
    title: str,
    note: str,
    theme: Theme,
    zone: str | None,
    *,
    height: int = 400,
    legend: bool = True,
) -> None:
    """Give a figure its title, its template and its time axis.

    `height` is without title, note and legend, which get the room they need.
    """
    top = 34 + (18 if note else 0) + (26 if legend else 0)
    figure.update_layout(
        template=look.template(theme),
        title={"text": title, "subtitle": {"text": note}},
        height=height + top,
        margin={"t": top + 8},
        hovermode="x unified" if zone is not None else "closest",
        showlegend=legend,
    )
    if zone is not None:
        figure.update_xaxes(type="date", title_text=zone)
        _show_few_points(figure)


def _show_few_points(figure: go.Figure) -> None:
    """Mark the points of short lines, and give a single point a day on both sides."""
    longest = max((len(trace.x) for trace in figure.data if trace.x is not None), default=0)
    if longest <= N_MARKED:
        figure.update_traces(mode="lines+markers", selector={"mode": "lines"})
    if longest == 1:
        middle = datetime.fromisoformat(figure.data[0].x[0])
        figure.update_xaxes(range=[middle - timedelta(days=1), middle + timedelta(days=1)])


def _thinned(shown: pl.DataFrame, whole: pl.DataFrame, unit: str = "bars") -> str:
    if shown.height == whole.height:
        return ""
    return f"{shown.height:,} of {whole.height:,} {unit} drawn, all extremes kept"


def _floats(frame: pl.DataFrame, column: str) -> np.ndarray:
    if column not in frame.columns:
        return np.full(frame.height, np.nan)
    return frame[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _finite(frame: pl.DataFrame, column: str) -> np.ndarray:
    values = _floats(frame, column)
    return values[np.isfinite(values)]


def _has_values(frame: pl.DataFrame, column: str) -> bool:
    return column in frame.columns and bool(np.isfinite(_floats(frame, column)).any())


def _is_fraction(name: str) -> bool:
    ratios = ("return", "drawdown", "cagr", "rate", "volatility", "trade", "exposure", "alpha")
    return any(part in name for part in ratios) and not name.startswith("n_")


def _shortened(text: str, n_letters: int = 44) -> str:
    return text if len(text) <= n_letters else f"{text[: n_letters - 1]}…"


def _cell(value: float) -> str:
    return look.number(value * 100.0, 1) if np.isfinite(value) else ""


def panels_of(columns: Sequence[str]) -> list[list[str]]:
    """Group outputs of one indicator, in the order in which they come."""
    panels: dict[str, list[str]] = {}
    for column in columns:
        panels.setdefault(label(column).split(".")[0], []).append(column)
    return list(panels.values())


def _add_line(
    figure: go.Figure,
    x: list[str],
    shown: pl.DataFrame,
    column: str,
    i_line: int,
    *,
    row: int,
    named: bool,
) -> None:
    figure.add_scatter(
        x=x, y=_floats(shown, column), name=label(column), mode="lines", showlegend=named,
        line={"color": look.INDICATORS[i_line % len(look.INDICATORS)], "width": 1.1},
        hovertemplate="%{y:,.4~f}", row=row, col=1,
    )  # fmt: skip


def _add_trades(figure: go.Figure, prices: pl.DataFrame, trades: pl.DataFrame) -> None:
    """Mark entries and exits at the bars that filled, joined by a line for each trade."""
    shown = trades
    if trades.height > N_POINTS:
        shown = trades[kept_rows(_floats(trades, "return"), N_POINTS)]
    bars = prices["ts"].to_physical().to_numpy()
    names, _ = times(prices)

    def at(column: str) -> list[str]:
        stamps = shown[column].cast(prices["ts"].dtype).to_physical().to_numpy()
        found = np.searchsorted(bars, stamps, side="right") - 1
        return [names[i] for i in np.clip(found, 0, len(names) - 1)]

    entries, exits = at("entry_ts"), at("exit_ts")
    wins = _floats(shown, "net_profit") > 0
    entry_price, exit_price = _floats(shown, "entry_price"), _floats(shown, "exit_price")
    for name, rows, colour in (
        ("Winning trade", wins, look.GAIN),
        ("Losing trade", ~wins, look.LOSS),
    ):
        index = np.flatnonzero(rows)
        ends: list[str | None] = [one for i in index for one in (entries[i], exits[i], None)]
        gaps = np.full(index.shape, np.nan)
        figure.add_scatter(
            x=ends, y=np.column_stack([entry_price[index], exit_price[index], gaps]).ravel(),
            mode="lines", name=name, line={"color": colour, "width": 1.4, "dash": "dot"},
            hoverinfo="skip", row=1, col=1,
        )  # fmt: skip
    long = (shown["side"] == "long").to_numpy()
    for name, rows, x, y, symbol, colour, column in (
        ("Long entry", long, entries, entry_price, "triangle-up", look.BLUE, "quantity"),
        ("Short entry", ~long, entries, entry_price, "triangle-down", look.PURPLE, "quantity"),
        ("Exit", np.ones(shown.height, bool), exits, exit_price, "x", look.VERMILION, "exit"),
    ):
        index = np.flatnonzero(rows)
        if index.shape[0] == 0:
            continue
        if column == "quantity":
            text = [f"{look.quantity(q)} units" for q in _floats(shown, "quantity")[index]]
        else:
            profits = _floats(shown, "return")[index]
            reasons = shown["exit_reason"].to_list()
            text = [
                f"{look.words(reasons[i] or '')}, {look.percent(value)}"
                for i, value in zip(index, profits, strict=True)
            ]
        figure.add_scatter(
            x=[x[i] for i in index], y=y[index], mode="markers", name=name, text=text,
            marker={"symbol": symbol, "size": 8 if symbol != "x" else 6, "color": colour},
            hovertemplate="%{y:,.4~f}, %{text}", row=1, col=1,
        )  # fmt: skip
