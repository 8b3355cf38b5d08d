"""Charts of data quality: pure functions from polars frames to Plotly figures."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import polars as pl

from research import look
from research.look import Theme
from research.thinning import N_POINTS, kept_rows

SEVERITY_COLOURS = {"info": look.GREY, "warning": look.AMBER, "error": look.VERMILION}
_SYMBOLS = {"info": "circle-open", "warning": "diamond", "error": "x"}
_RANKS = {"info": 1, "warning": 2, "error": 3}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
N_BANDS = 40
N_SERIES_SHOWN = 60


def overview_chart(
    findings: pl.DataFrame, series: list[str], *, theme: Theme = Theme.LIGHT
) -> go.Figure:
    """Draw how many findings each check has in each series, coloured by the worst.

    Parameters
    ----------
    findings : DataFrame
        series, check, severity, and one row for each finding.
    series : list of str
        All that were checked, also those without a finding.
    """
    counted = findings.group_by("series", "check").agg(
        pl.len().alias("n"),
        pl.col("severity").replace_strict(_RANKS, default=1).max().alias("rank"),
    )
    checks = sorted(set(counted["check"].to_list()))
    if not checks:
        return _empty("Findings by series and check", "Nothing was found", theme)
    shown = [name for name in series if name in set(counted["series"].to_list())]
    shown = shown[:N_SERIES_SHOWN]
    rank = np.full((len(shown), len(checks)), np.nan)
    text = [["" for _ in checks] for _ in shown]
    for name, check, n, worst in counted.iter_rows():
        if name in shown:
            row, column = shown.index(name), checks.index(check)
            rank[row, column] = worst
            text[row][column] = f"{n:,}"
    steps = list(SEVERITY_COLOURS.values())
    scale = [[i / 3 + d, steps[i]] for i in range(3) for d in (0.0, 1 / 3)]
    figure = go.Figure(
        go.Heatmap(
            z=rank, x=[look.words(check) for check in checks], y=shown, text=text,
            texttemplate="%{text}", textfont={"size": 11, "color": "#ffffff"},
            colorscale=scale, zmin=0.5, zmax=3.5, showscale=False, xgap=2, ygap=2,
            hovertemplate="%{y}: %{text} × %{x}<extra></extra>",
        )
    )  # fmt: skip
    for word, colour in SEVERITY_COLOURS.items():
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name=word,
            marker={"color": colour, "symbol": "square", "size": 10},
        )  # fmt: skip
    n_clean = len(series) - counted["series"].n_unique()
    note = f"{n_clean:,} of {len(series):,} series without any finding are not drawn"
    if counted["series"].n_unique() > N_SERIES_SHOWN:
        note += f"; the first {N_SERIES_SHOWN} with findings are"
    _finish(figure, "Findings by series and check", note, theme, 110 + 26 * len(shown), True)
    figure.update_xaxes(side="bottom", tickangle=-35, showgrid=False, ticks="", fixedrange=True)
    figure.update_yaxes(
        type="category", autorange="reversed", showgrid=False, ticks="", fixedrange=True
    )
    return figure


def coverage_chart(
    coverage: pl.DataFrame, *, name: str = "", theme: Theme = Theme.LIGHT
) -> go.Figure:
    """Draw the share of scheduled bars that is there, by year and month.

    Parameters
    ----------
    coverage : DataFrame
        year, month (1 to 12), there, scheduled.
    """
    title = f"{name}: coverage of the calendar".removeprefix(": ")
    years = sorted(set(coverage["year"].to_list()))
    if not years:
        return _empty(title, "No bar lies in a session", theme)
    every = list(range(years[0], years[-1] + 1))
    share = np.full((len(every), 12), np.nan)
    text = [["" for _ in range(12)] for _ in every]
    for year, month, there, scheduled in coverage.select(
        "year", "month", "there", "scheduled"
    ).iter_rows():
        if scheduled:
            row = every.index(year)
            share[row, month - 1] = 100.0 * there / scheduled
            text[row][month - 1] = f"{there:,} of {scheduled:,}"
    figure = go.Figure(
        go.Heatmap(
            z=share, x=list(_MONTHS), y=[str(year) for year in every], customdata=text,
            texttemplate="%{z:.0f}", textfont={"size": 10, "color": "#ffffff"}, xgap=2, ygap=2,
            colorscale=[[0.0, look.LOSS_DEEP], [0.8, look.AMBER], [0.98, look.BLUE],
                        [1.0, look.GAIN_DEEP]],
            zmin=0.0, zmax=100.0, showscale=False,
            hovertemplate="%{x} %{y}: %{customdata}<extra></extra>",
        )
    )  # fmt: skip
    there, scheduled = int(coverage["there"].sum()), int(coverage["scheduled"].sum())
    note = f"{there:,} of {scheduled:,} scheduled; % by month"
    _finish(figure, title, note, theme, 44 + 21 * len(every), False)
    figure.update_xaxes(showgrid=False, ticks="", fixedrange=True, side="bottom")
    figure.update_yaxes(
        type="category", autorange="reversed", showgrid=False, ticks="", fixedrange=True
    )
    return figure


def findings_chart(
    prices: pl.DataFrame, findings: pl.DataFrame, *, name: str = "", theme: Theme = Theme.LIGHT
) -> go.Figure:
    """Draw closes with the findings marked where they are.

    Parameters
    ----------
    prices : DataFrame
        ts, close; a price that is not above 0 leaves a gap.
    findings : DataFrame
        first_ts, last_ts, check, severity, evidence of this series.
    """
    title = f"{name}: close and findings".removeprefix(": ")
    close = prices["close"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    possible = np.where(close > 0, close, np.nan)
    if not np.isfinite(possible).any():
        return _empty(title, "No price is above 0", theme)
    low, high = _price_range(possible)
    kept = kept_rows(possible, N_POINTS)
    stamps = prices["ts"].dt.replace_time_zone(None)
    figure = go.Figure()
    figure.add_scatter(
        x=_times(stamps[kept]), y=possible[kept], mode="lines", name="Close",
        line={"color": look.PRICE, "width": 1.1}, hovertemplate="%{y:,.6~g}<extra></extra>",
    )  # fmt: skip
    ticks = stamps.to_physical().to_numpy()
    at = findings["first_ts"].dt.replace_time_zone(None).cast(stamps.dtype)
    row = np.clip(np.searchsorted(ticks, at.to_physical().to_numpy()), 0, ticks.shape[0] - 1)
    level = np.clip(np.nan_to_num(possible[row], nan=low), low, high)
    words = np.array(findings["severity"].to_list(), dtype=object)
    for word in ("info", "warning", "error"):
        chosen = np.flatnonzero(words == word)
        if word == "info" or chosen.shape[0] == 0:
            continue
        figure.add_scatter(
            x=_times(at[chosen]), y=level[chosen], mode="markers", name=word.capitalize(),
            marker={"color": SEVERITY_COLOURS[word], "symbol": _SYMBOLS[word], "size": 9,
                    "line": {"width": 1}},
            text=[
                f"<b>{look.words(check)}</b><br>{_broken(evidence)}"
                for check, evidence in findings[chosen].select("check", "evidence").iter_rows()
            ],
            hovertemplate="%{x}<br>%{text}<extra></extra>",
        )  # fmt: skip
    _add_bands(figure, findings)
    note = (
        "" if kept.shape[0] == close.shape[0] else f"{kept.shape[0]:,} of {close.shape[0]:,} bars"
    )
    outside = int(np.nansum((possible < low) | (possible > high)))
    if outside:
        note += f"{'; ' if note else ''}{outside:,} closes lie beyond the axis"
    _finish(figure, title, note, theme, 330, True)
    spans = high / low > 6.0
    figure.update_xaxes(type="date", title_text="Time (UTC)")
    figure.update_yaxes(
        title_text="Price" + (" (log scale)" if spans else ""), tickformat=",.6~g",
        type="log" if spans else "linear",
        # 1, 2 and 5 of each power of ten: more would lie on each other.
        dtick="D2" if spans else None,
        range=[np.log10(low), np.log10(high)] if spans else [low, high],
    )  # fmt: skip
    return figure


def _price_range(possible: np.ndarray) -> tuple[float, float]:
    """Return the axis: what holds all but a few closes, with room around."""
    low, high = np.nanquantile(possible, [0.002, 0.998])
    every = np.nanmin(possible), np.nanmax(possible)
    if every[1] / every[0] < 3.0 * high / low:
        low, high = every
    room = max((high - low) * 0.06, high * 1e-4)
    return float(max(low - room, low * 0.9)), float(high + room)


def _add_bands(figure: go.Figure, findings: pl.DataFrame) -> None:
    """Shade stretches of time: missing sessions, shifts, units."""
    long = findings.filter(
        (pl.col("severity") != "info")
        & ((pl.col("last_ts") - pl.col("first_ts")) > pl.duration(days=2))
        & ~pl.col("evidence").str.contains(" more of this kind")
    )
    for first, last, word in (
        long.select("first_ts", "last_ts", "severity").head(N_BANDS).iter_rows()
    ):
        figure.add_vrect(
            x0=f"{first:%Y-%m-%d %H:%M}", x1=f"{last:%Y-%m-%d %H:%M}", line_width=0,
            fillcolor=SEVERITY_COLOURS[word], opacity=0.16, layer="below",
        )  # fmt: skip


def return_chart(
    steps: np.ndarray, limit: float, *, name: str = "", theme: Theme = Theme.LIGHT
) -> go.Figure:
    """Draw how often closes move by how many day's sigmas, and the limit of jumps.

    Parameters
    ----------
    steps : float64 array
        Moves from close to close over the day's sigma around them.
    limit : float
        Beyond which a move is looked into.
    """
    title = f"{name}: moves between closes".removeprefix(": ")
    values = steps[np.isfinite(steps)]
    if values.shape[0] < 2:
        return _empty(title, "Fewer than two moves", theme)
    extent = max(1.1 * limit, float(np.quantile(np.abs(values), 0.9999)))
    edges = np.linspace(-extent, extent, 121)
    counts = np.histogram(np.clip(values, -extent, extent), edges)[0]
    middles = (edges[1:] + edges[:-1]) / 2
    beyond = np.abs(middles) > limit
    figure = go.Figure()
    for word, chosen, colour in (("Within the limit", ~beyond, look.BLUE),
                                 ("Beyond", beyond, look.VERMILION)):  # fmt: skip
        figure.add_bar(
            x=middles[chosen], y=counts[chosen], name=word, marker_color=colour,
            width=(edges[1] - edges[0]) * 0.94, hovertemplate="%{x:.1f}: %{y:,}<extra></extra>",
        )  # fmt: skip
    for side in (-limit, limit):
        figure.add_vline(x=side, line={"color": look.VERMILION, "width": 1, "dash": "dash"})
    n_beyond = int((np.abs(values) > limit).sum())
    note = (
        f"{values.shape[0]:,} moves, {n_beyond:,} beyond {limit:g}; the ends hold what lies further"
    )
    _finish(figure, title, note, theme, 230, True)
    figure.update_layout(bargap=0.0, barmode="overlay")
    figure.update_xaxes(title_text="Move over the day's sigma")
    figure.update_yaxes(title_text="Bars (log scale)", type="log", dtick=1)
    return figure


def _times(stamps: pl.Series) -> list[str]:
    return stamps.dt.strftime("%Y-%m-%d %H:%M").to_list()


def _broken(text: str, width: int = 70) -> str:
    """Break a long line for a hover label; its markup is escaped."""
    safe = text.replace("&", "&amp;").replace("<", "&lt;")
    lines, line = [], ""
    for word in safe.split():
        if len(line) + len(word) > width:
            lines.append(line)
            line = ""
        line += (" " if line else "") + word
    return "<br>".join([*lines, line])


def _empty(title: str, message: str, theme: Theme) -> go.Figure:
    figure = go.Figure()
    figure.add_annotation(
        text=message, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 14}
    )
    _finish(figure, title, "", theme, 110, False)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure


def _finish(
    figure: go.Figure, title: str, note: str, theme: Theme, height: int, legend: bool
) -> None:
    top = 34 + (18 if note else 0) + (26 if legend else 0)
    figure.update_layout(
        template=look.template(theme), title={"text": title, "subtitle": {"text": note}},
        height=height + top, margin={"t": top + 8}, hovermode="closest", showlegend=legend,
    )  # fmt: skip
