"""Charts of studies: pure functions from arrays to Plotly figures in the project's look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from research import look
from research.chart_parts import empty_chart, histogram_edges
from research.look import Theme
from research.thinning import kept_rows

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_PERCENT = ".2~%"
_RATIO = ",.2~f"
CHOSEN, OTHER, DEFAULT = look.BLUE, look.VERMILION, look.GREY


def laid_out(
    figure: go.Figure, title: str, note: str, theme: Theme, height: int, *, legend: bool = True
) -> go.Figure:
    """Give a figure its title, its note and the look of all studies' charts."""
    top = 34 + (18 if note else 0) + (26 if legend else 0)
    figure.update_layout(
        template=look.template(theme),
        title={"text": title, "subtitle": {"text": note}},
        height=height + top,
        margin={"t": top + 8},
        showlegend=legend,
    )
    return figure


def number_format(figure: str) -> str:
    """Return Plotly's format of a figure: fractions as percentages."""
    parts = ("return", "drawdown", "cagr", "rate", "volatility", "exposure", "probabilistic")
    fraction = any(part in figure for part in parts) and figure != "return_over_drawdown"
    return _PERCENT if fraction else _RATIO


def days(dates: IntArray) -> list[str]:
    """Return session dates as text."""
    return [str(one) for one in dates.astype("datetime64[D]")]


def trials_chart(
    numbers: Sequence[int],
    values: FloatArray,
    pruned: NDArray[np.bool_],
    *,
    objective: str,
    theme: Theme = Theme.LIGHT,
) -> go.Figure:
    """Draw what each trial came to, in the order in which they were tried.

    Parameters
    ----------
    values : float64 array, shape (n_trials,)
        A pruned trial's is what it had when it was ended.
    """
    x = np.asarray(numbers)
    text = number_format(objective)
    figure = go.Figure()
    for name, rows, colour, symbol in (
        ("Pruned", pruned, DEFAULT, "x-thin-open"),
        ("Ran to the end", ~pruned, CHOSEN, "circle"),
    ):
        figure.add_scatter(
            x=x[rows], y=values[rows], mode="markers", name=name,
            marker={"color": colour, "symbol": symbol, "size": 6},
            hovertemplate="trial %{x}: %{y:" + text + "}",
        )  # fmt: skip
    best = np.fmax.accumulate(np.where(pruned, np.nan, values)) if len(values) else values
    figure.add_scatter(
        x=x, y=best, mode="lines", name="Best so far",
        line={"color": OTHER, "width": 1.5, "shape": "hv"}, hovertemplate="%{y:" + text + "}",
    )  # fmt: skip
    figure.update_xaxes(title_text="Trial")
    figure.update_yaxes(title_text=look.words(objective), tickformat=text)
    return laid_out(figure, "Trials in their order", "", theme, 300)


def luck_chart(
    sharpes: FloatArray,
    *,
    luck: float | None,
    chosen: float | None,
    theme: Theme = Theme.LIGHT,
) -> go.Figure:
    """Draw how the Sharpe ratios of all sets lie beside the chosen one's and luck's.

    Parameters
    ----------
    sharpes : float64 array, shape (n_sets,)
        A year.
    luck : float or None
        What the best of all trials on record is expected to have without skill.
    """
    known = sharpes[np.isfinite(sharpes)]
    title = "Sharpe ratios of all sets"
    if not len(known):
        return empty_chart(title, "No set has one", theme=theme)
    edges = histogram_edges(known)
    counts = np.histogram(known, edges)[0]
    figure = go.Figure(
        go.Bar(
            x=(edges[1:] + edges[:-1]) / 2, y=counts, width=np.diff(edges) * 0.94, name="Sets",
            marker_color=look.faded(look.GREY, 0.6), hovertemplate="%{x:.2f}: %{y} sets",
        )
    )  # fmt: skip
    top = float(counts.max())
    for name, value, colour, dash in (
        ("Chosen set", chosen, CHOSEN, "solid"),
        ("Best of all trials by luck alone", luck, OTHER, "dash"),
    ):
        if value is not None and np.isfinite(value):
            figure.add_scatter(
                x=[value, value], y=[0, top], mode="lines", name=name,
                line={"color": colour, "width": 2.5, "dash": dash}, hovertemplate="%{x:.2f}",
            )  # fmt: skip
    figure.update_xaxes(title_text="Sharpe ratio (a year)")
    figure.update_yaxes(title_text="Sets")
    return laid_out(figure, title, "", theme, 280)


def chain_chart(
    curves: Mapping[str, tuple[IntArray, FloatArray]],
    starts: Sequence[int],
    *,
    currency: str,
    theme: Theme = Theme.LIGHT,
) -> go.Figure:
    """Draw equity out of sample, with a line where each piece begins.

    Parameters
    ----------
    curves : mapping of name to (session dates, equity)
        The chosen one first.
    starts : sequence of int
        First session of each piece, days since 1970-01-01.
    """
    figure = go.Figure()
    for k, (name, (dates, equity)) in enumerate(curves.items()):
        rows = kept_rows(equity)
        figure.add_scatter(
            x=days(dates[rows]), y=equity[rows], name=name, mode="lines",
            line={"color": (CHOSEN, OTHER, DEFAULT)[k % 3], "width": 1.9 if k == 0 else 1.3,
                  "dash": ("solid", "dash", "dot")[k % 3]},
            hovertemplate="%{y:,.2f}",
        )  # fmt: skip
    for start in days(np.asarray(starts, np.int64)):
        figure.add_vline(x=start, line={"color": look.GREY, "width": 1, "dash": "dot"}, opacity=0.5)
    figure.update_xaxes(type="date", title_text="Session date")
    figure.update_yaxes(title_text=f"Equity ({currency})", tickformat=",.0f")
    figure.update_layout(hovermode="x unified")
    return laid_out(figure, "Equity out of sample", "each dotted line begins a window", theme, 380)


def timeline_chart(
    windows: Sequence[tuple[int, int, int, int]], *, theme: Theme = Theme.LIGHT
) -> go.Figure:
    """Draw which sessions each window chose on and which it traded.

    Parameters
    ----------
    windows : sequence of (first in, last in, first out, last out)
        Days since 1970-01-01.
    """
    figure = go.Figure()
    names = [str(k + 1) for k in range(len(windows))]
    for name, first, last, colour in (
        ("In sample", 0, 1, look.faded(look.GREY, 0.55)),
        ("Out of sample", 2, 3, CHOSEN),
    ):
        begins = days(np.array([window[first] for window in windows], np.int64))
        ends = np.array([window[last] + 1 - window[first] for window in windows])
        figure.add_bar(
            base=begins, x=(ends * 86_400_000).tolist(), y=names, orientation="h", name=name,
            marker_color=colour, width=0.62,
            customdata=list(
                zip(begins, days(np.array([w[last] for w in windows], np.int64)), strict=True)
            ),
            hovertemplate="window %{y}: %{customdata[0]} to %{customdata[1]}",
        )  # fmt: skip
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(type="date", title_text="Session date", showgrid=True)
    figure.update_yaxes(type="category", autorange="reversed", title_text="Window", showgrid=False)
    return laid_out(figure, "Windows", "", theme, 60 + 22 * len(windows))


def windows_chart(
    inside: FloatArray, outside: FloatArray, *, figure_name: str, theme: Theme = Theme.LIGHT
) -> go.Figure:
    """Draw each window's chosen set in sample beside what it did out of sample."""
    text = number_format(figure_name)
    names = [str(k + 1) for k in range(len(inside))]
    figure = go.Figure()
    figure.add_bar(
        x=names, y=inside, name="In sample, as chosen", marker_color=look.faded(look.GREY, 0.6),
        hovertemplate="%{y:" + text + "}",
    )  # fmt: skip
    figure.add_bar(
        x=names, y=outside, name="Out of sample", marker_color=CHOSEN,
        hovertemplate="%{y:" + text + "}",
    )  # fmt: skip
    figure.update_layout(barmode="group", bargap=0.35, bargroupgap=0.05, hovermode="x unified")
    figure.update_xaxes(type="category", title_text="Window")
    figure.update_yaxes(title_text=look.words(figure_name), tickformat=text)
    title = f"{look.words(figure_name).capitalize()} in and out of sample"
    return laid_out(figure, title, "", theme, 280)


def parameters_chart(
    chosen: Mapping[str, FloatArray],
    values: Mapping[str, Sequence[float]],
    *,
    theme: Theme = Theme.LIGHT,
) -> go.Figure:
    """Draw which values each window chose, each parameter in a strip of its own range.

    Parameters
    ----------
    chosen : mapping of parameter to float64 array, shape (n_windows,)
        NaN where nothing was chosen.
    """
    from plotly.subplots import make_subplots

    names = list(chosen)
    figure = make_subplots(rows=len(names), cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for k, name in enumerate(names):
        found = chosen[name]
        colour = look.SERIES[k % len(look.SERIES)]
        figure.add_scatter(
            x=[str(i + 1) for i in range(len(found))], y=found, mode="lines+markers", name=name,
            line={"color": colour, "width": 1.6, "shape": "hv"}, marker={"size": 8},
            hovertemplate=f"{name} %{{y:g}}<extra></extra>", row=k + 1, col=1,
        )  # fmt: skip
        low, high = min(values[name]), max(values[name])
        margin = 0.12 * (high - low) or 1.0
        figure.update_yaxes(title_text=name, range=[low - margin, high + margin], row=k + 1, col=1)
    figure.update_xaxes(type="category")
    figure.update_xaxes(title_text="Window", row=len(names), col=1)
    note = "each strip spans the range that was searched"
    return laid_out(figure, "Chosen values", note, theme, 60 + 110 * len(names), legend=False)


def band_chart(
    x: Sequence[str] | Sequence[int],
    bands: FloatArray,
    *,
    title: str,
    note: str,
    x_title: str,
    currency: str,
    actual: tuple[Sequence[str] | Sequence[int], FloatArray] | None = None,
    theme: Theme = Theme.LIGHT,
) -> go.Figure:
    """Draw quantiles of equity over many paths: 5 to 95 %, 25 to 75 % and the median.

    Parameters
    ----------
    bands : float64 array, shape (5, n_points)
    actual : (x, equity), optional
        What happened.
    """
    figure = go.Figure()
    for low, high, name, opacity in ((0, 4, "5 to 95 %", 0.18), (1, 3, "25 to 75 %", 0.32)):
        figure.add_scatter(
            x=x, y=bands[low], mode="lines", line={"width": 0}, showlegend=False, hoverinfo="skip"
        )
        figure.add_scatter(
            x=x, y=bands[high], mode="lines", line={"width": 0}, fill="tonexty",
            fillcolor=look.faded(CHOSEN, opacity), name=name, hoverinfo="skip",
        )  # fmt: skip
    figure.add_scatter(
        x=x, y=bands[2], mode="lines", name="Median", line={"color": CHOSEN, "width": 1.8},
        hovertemplate="%{y:,.0f}",
    )  # fmt: skip
    if actual is not None:
        figure.add_scatter(
            x=actual[0], y=actual[1], mode="lines", name="As it happened",
            line={"color": OTHER, "width": 1.5, "dash": "dash"}, hovertemplate="%{y:,.0f}",
        )  # fmt: skip
    figure.update_xaxes(title_text=x_title)
    figure.update_yaxes(title_text=f"Equity ({currency})", tickformat=",.0f")
    figure.update_layout(hovermode="x unified")
    return laid_out(figure, title, note, theme, 340)


def distribution_chart(
    groups: Mapping[str, FloatArray],
    *,
    title: str,
    x_title: str,
    actual: float | None = None,
    theme: Theme = Theme.LIGHT,
) -> go.Figure:
    """Draw how a fraction is distributed over the paths of one kind or several."""
    together = np.concatenate(list(groups.values()))
    edges = histogram_edges(together[np.isfinite(together)])
    figure = go.Figure()
    top = 0.0
    for k, (name, values) in enumerate(groups.items()):
        share = np.histogram(values, edges)[0] / max(len(values), 1)
        top = max(top, float(share.max()))
        figure.add_scatter(
            x=np.repeat(edges, 2)[1:-1], y=np.repeat(share, 2), mode="lines", name=name,
            fill="tozeroy", line={"color": look.SERIES[(0, 2, 3)[k % 3]], "width": 1.4},
            fillcolor=look.faded(look.SERIES[(0, 2, 3)[k % 3]], 0.22),
            hovertemplate="%{x:.1%}: %{y:.1%} of paths",
        )  # fmt: skip
    if actual is not None:
        figure.add_scatter(
            x=[actual, actual], y=[0, top], mode="lines", name="As it happened",
            line={"color": OTHER, "width": 2, "dash": "dash"}, hovertemplate="%{x:.2%}",
        )  # fmt: skip
    figure.update_xaxes(title_text=x_title, tickformat=_PERCENT)
    figure.update_yaxes(title_text="Share of paths", tickformat=_PERCENT)
    return laid_out(figure, title, "", theme, 300)
