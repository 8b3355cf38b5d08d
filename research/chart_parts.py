"""What charts of results have in common: their axes of time, labels, and finish."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import plotly.graph_objects as go
import polars as pl

from research import look
from research.look import Theme

N_MARKED = 30
N_BROKEN_DAYS = 120
# A gap between bars longer than this is a closed market, not a quiet one.
_CLOSED_MS = 2 * 3_600_000


def empty_chart(title: str, message: str, *, theme: Theme = Theme.LIGHT) -> go.Figure:
    """Draw a chart that says why there is nothing to draw."""
    figure = go.Figure()
    finish(figure, title, "", theme, None, height=140, legend=False)
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


def histogram_edges(values: np.ndarray) -> np.ndarray:
    """Return bin edges of equal width with zero among them (Freedman-Diaconis, 6 to 60 bins)."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if high - low < 1e-12:
        return np.array([-0.01, 0.0, 0.01])
    spread = float(np.subtract(*np.percentile(values, [75, 25])))
    width = 2 * spread / values.shape[0] ** (1 / 3) or (high - low) / 10
    width = min(max(width, (high - low) / 60), (high - low) / 6)
    return np.arange(np.floor(low / width), np.ceil(high / width) + 1) * width


def finish(
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
        show_few_points(figure)


def show_few_points(figure: go.Figure) -> None:
    """Mark the points of short lines, and give a single point a day on both sides."""
    longest = max((len(trace.x) for trace in figure.data if trace.x is not None), default=0)
    if longest <= N_MARKED:
        figure.update_traces(mode="lines+markers", selector={"mode": "lines"})
    if longest == 1:
        middle = datetime.fromisoformat(figure.data[0].x[0])
        figure.update_xaxes(range=[middle - timedelta(days=1), middle + timedelta(days=1)])


def thinned_words(shown: pl.DataFrame, whole: pl.DataFrame, unit: str = "bars") -> str:
    """Say that a chart shows some of the rows only; nothing where it shows all."""
    if shown.height == whole.height:
        return ""
    return f"{shown.height:,} of {whole.height:,} {unit} drawn, all extremes kept"


def floats(frame: pl.DataFrame, column: str) -> np.ndarray:
    """Return a column as float64, NaN where it is null or not there; shape (n_rows,)."""
    if column not in frame.columns:
        return np.full(frame.height, np.nan)
    return frame[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def finite(frame: pl.DataFrame, column: str) -> np.ndarray:
    """Return the values of a column that are defined."""
    values = floats(frame, column)
    return values[np.isfinite(values)]


def has_values(frame: pl.DataFrame, column: str) -> bool:
    """Tell whether a column is there and any of its values is defined."""
    return column in frame.columns and bool(np.isfinite(floats(frame, column)).any())
