"""Charts of prices with entries, exits and indicators.

Pure functions from polars frames to Plotly figures, as in `research.charts`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from research import look
from research.chart_parts import (
    closed_times,
    finish,
    floats,
    label,
    show_few_points,
    thinned_words,
    times,
)
from research.look import Theme
from research.thinning import N_POINTS, kept_rows, thin, thin_candles

N_CANDLES = 600
N_PANELS = 4
# An overlay's median distance from the price, as a fraction of the price.
_OVERLAY_DISTANCE = 0.5


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
            x=x, open=floats(shown, "open"), high=floats(shown, "high"),
            low=floats(shown, "low"), close=floats(shown, "close"), name="Price",
            increasing={"line": {"color": look.GAIN, "width": 1}},
            decreasing={"line": {"color": look.LOSS, "width": 1}}, showlegend=False,
            row=1, col=1,
        )  # fmt: skip
    else:
        figure.add_scatter(
            x=x, y=floats(shown, "close"), name="Close", mode="lines",
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
    note = thinned_words(shown, prices) if not candles else ""
    if n_joined > 1:
        note = f"each candle joins {n_joined} bars"
    height = 380 + 110 * len(panels)
    title = f"{symbol} price, entries and exits".strip()
    finish(figure, title, note, theme, None, height=height)
    figure.update_layout(hovermode="x unified")
    show_few_points(figure)
    figure.update_xaxes(rangeslider_visible=False, type="date", rangebreaks=closed_times(prices))
    if len(x) > 1:
        # Markers would widen the axis beyond the data, differently on each chart.
        figure.update_xaxes(range=[x[0], x[-1]])
    figure.update_xaxes(title_text=zone, row=1 + len(panels), col=1)
    figure.update_yaxes(title_text=f"Price ({currency})", tickformat=",.4~f", row=1, col=1)
    return figure


def is_overlay(prices: pl.DataFrame, column: str) -> bool:
    """Return whether an indicator has about the size of the price, so belongs over it.

    An average or a channel has; a range in the price's unit, such as atr, has
    not, and would flatten the price's curve.
    """
    close, values = floats(prices, "close"), floats(prices, column)
    both = np.isfinite(close) & np.isfinite(values) & (close != 0)
    if not both.any():
        return False
    return bool(np.median(np.abs(values[both] / close[both] - 1.0)) < _OVERLAY_DISTANCE)


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
        x=x, y=floats(shown, column), name=label(column), mode="lines", showlegend=named,
        line={"color": look.INDICATORS[i_line % len(look.INDICATORS)], "width": 1.1},
        hovertemplate="%{y:,.4~f}", row=row, col=1,
    )  # fmt: skip


def _add_trades(figure: go.Figure, prices: pl.DataFrame, trades: pl.DataFrame) -> None:
    """Mark entries and exits at the bars that filled, joined by a line for each trade."""
    shown = trades
    if trades.height > N_POINTS:
        shown = trades[kept_rows(floats(trades, "return"), N_POINTS)]
    bars = prices["ts"].to_physical().to_numpy()
    names, _ = times(prices)

    def at(column: str) -> list[str]:
        stamps = shown[column].cast(prices["ts"].dtype).to_physical().to_numpy()
        found = np.searchsorted(bars, stamps, side="right") - 1
        return [names[i] for i in np.clip(found, 0, len(names) - 1)]

    entries, exits = at("entry_ts"), at("exit_ts")
    wins = floats(shown, "net_profit") > 0
    entry_price, exit_price = floats(shown, "entry_price"), floats(shown, "exit_price")
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
            text = [f"{look.quantity(q)} units" for q in floats(shown, "quantity")[index]]
        else:
            profits = floats(shown, "return")[index]
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
