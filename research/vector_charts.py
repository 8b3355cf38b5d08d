"""The PDF's charts: the same pictures as `research.charts`, drawn as SVG.

Owns drawing with matplotlib, which needs no browser. Text is drawn as
outlines of the report's own font, so that the picture is the same on every
machine, and nothing in the file depends on the time or on chance.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import polars as pl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator

from research import look
from research.chart_parts import histogram_edges, label
from research.charts import interval_words
from research.price_charts import panels_of
from research.thinning import kept_rows, thin

N_POINTS = 1_200
# Each mark is a drawing of its own in the file; more of them are one smear on paper.
N_MARKS = 400
WIDE = 7.2  # Inches: the text width of an A4 page.
HALF = 3.5
_GROUND = look.GROUNDS[look.Theme.LIGHT]
_STYLE: dict[Any, Any] = {
    "font.family": "Inter",
    "font.size": 7.5,
    "svg.fonttype": "path",
    # Without a fixed salt the ids in the file are random.
    "svg.hashsalt": "quarterdeck",
    "path.simplify": False,
    "axes.edgecolor": _GROUND.axis,
    "axes.labelcolor": _GROUND.muted,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.linewidth": 0.6,
    "grid.color": _GROUND.grid,
    "grid.linewidth": 0.6,
    "xtick.color": _GROUND.muted,
    "ytick.color": _GROUND.muted,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.0,
    "lines.solid_joinstyle": "round",
    "date.autoformatter.day": "%d %b %Y",
    "figure.constrained_layout.use": True,
}


class _Timeline:
    """Where bars stand on the time axis.

    Daily bars stand at their session date. Intraday bars stand one beside the
    other, so that nights and weekends take no room; their ticks name the day.
    """

    def __init__(self, frame: pl.DataFrame) -> None:
        self._daily = bool(frame["session"].is_unique().all())
        self._stamps = frame["ts"].dt.replace_time_zone(None)
        self._ticks = frame["ts"].to_physical().to_numpy()
        self._unit = frame["ts"].dtype
        one_day = frame["session"].n_unique() == 1
        self._format = "%H:%M" if one_day else "%Y-%m-%d"

    def x(self, shown: pl.DataFrame) -> Any:
        """Return the places of rows that are among the frame's."""
        if self._daily:
            return shown["session"].to_numpy().astype("datetime64[D]")
        return self.at(shown["ts"]).astype(np.float64)

    def at(self, times: pl.Series) -> Any:
        """Return the index of the bar in which each time falls."""
        found = np.searchsorted(
            self._ticks, times.cast(self._unit).to_physical().to_numpy(), side="right"
        )
        return np.clip(found - 1, 0, self._ticks.shape[0] - 1)

    def label(self, axes: Axes) -> None:
        """Let the axis name its places."""
        if self._daily:
            return
        axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(self._name))

    def _name(self, place: float, _: int | None = None) -> str:
        i_bar = round(place)
        if not 0 <= i_bar < self._stamps.len():
            return ""
        return str(self._stamps[i_bar].strftime(self._format))


def equity_svg(equity: pl.DataFrame, *, currency: str, log: bool = False) -> bytes:
    """Draw equity against buy-and-hold, with the drawdown and the exposure below."""

    def draw(figure: Figure) -> None:
        upper, middle, lower = figure.subplots(3, 1, sharex=True, height_ratios=[3, 1.25, 0.8])
        timeline = _Timeline(equity)
        shown = _thinned(equity, "equity")
        x = timeline.x(shown)
        held = _floats(shown, "buy_and_hold")
        upper.plot(x, held, color=look.BENCHMARK, linewidth=0.9, linestyle=(0, (2, 1.5)),
                   label="Buy and hold", **_marker(x))  # fmt: skip
        upper.plot(x, _floats(shown, "equity"), color=look.STRATEGY, linewidth=1.2,
                   label="Strategy", **_marker(x))  # fmt: skip
        upper.set_ylabel(f"Equity ({currency}{', log' if log else ''})")
        if log:
            upper.set_yscale("log")
        _number_axis(upper)
        _legend(upper)
        fallen = _thinned(equity, "drawdown")
        depth = -_floats(fallen, "drawdown")
        middle.fill_between(timeline.x(fallen), depth, 0, color=look.LOSS, alpha=0.25, linewidth=0)
        middle.plot(timeline.x(fallen), depth, color=look.LOSS, linewidth=0.8)
        middle.set_ylabel("Drawdown")
        _percent_axis(middle)
        invested = 1.0 - _floats(shown, "cash") / _floats(shown, "equity")
        lower.fill_between(x, invested, 0, step="post", color=look.GREEN, alpha=0.45, linewidth=0)
        lower.set_ylabel("Invested")
        _percent_axis(lower, 3)
        timeline.label(lower)
        figure.align_ylabels()

    return _svg(draw, WIDE, 4.8)


def years_svg(years: pl.DataFrame) -> bytes:
    """Draw yearly returns beside those of buy-and-hold."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        x = np.arange(years.height)
        axes.bar(
            x - 0.19, _floats(years, "total_return"), 0.36, color=look.STRATEGY, label="Strategy"
        )
        axes.bar(x + 0.19, _floats(years, "buy_and_hold_return"), 0.36, color="#c3c7ce",
                 label="Buy and hold")  # fmt: skip
        axes.axhline(0, color=_GROUND.axis, linewidth=0.6)
        step = max(1, years.height // 16)
        axes.set_xticks(x[::step], [str(year) for year in years["year"].to_list()[::step]])
        axes.set_ylabel("Yearly return")
        _percent_axis(axes)
        _legend(axes)

    return _svg(draw, WIDE, 2.0)


def price_svg(
    prices: pl.DataFrame,
    trades: pl.DataFrame,
    *,
    currency: str,
    indicators: Sequence[str],
    overlays: Sequence[str],
) -> bytes:
    """Draw closes with entries, exits and indicators; at most two panels below."""
    panels = panels_of([name for name in indicators if name not in overlays])[:2]

    def draw(figure: Figure) -> None:
        ratios = [3.0] + [1.0] * len(panels)
        rows = np.atleast_1d(figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios))
        upper: Axes = rows[0]
        timeline = _Timeline(prices)
        shown = _thinned(prices, "close")
        x = timeline.x(shown)
        upper.plot(x, _floats(shown, "close"), color=look.PRICE, linewidth=0.8, label="Close",
                   **_marker(x))  # fmt: skip
        for axes, names in zip(rows, [overlays, *panels], strict=True):
            for i_line, name in enumerate(names):
                colour = look.INDICATORS[i_line % len(look.INDICATORS)]
                axes.plot(x, _floats(shown, name), color=colour, linewidth=0.7, label=label(name))
        for axes, names in zip(rows[1:], panels, strict=True):
            axes.set_ylabel(label(names[0]).split(".")[0])
            axes.yaxis.set_major_locator(MaxNLocator(3))
            axes.yaxis.set_major_formatter(FuncFormatter(_number_tick))
        _mark_trades(upper, timeline, prices, trades)
        timeline.label(rows[-1])
        upper.set_ylabel(f"Price ({currency})")
        _number_axis(upper)
        _legend(upper)
        figure.align_ylabels()

    return _svg(draw, WIDE, 2.0 + 0.5 * len(panels))


def distribution_svg(trades: pl.DataFrame) -> bytes:
    """Draw how many trades returned how much."""
    values = _floats(trades, "return")
    values = values[np.isfinite(values)]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        edges = histogram_edges(values)
        counts = np.histogram(values, edges)[0]
        middles = (edges[1:] + edges[:-1]) / 2
        colours = np.where(middles > 0, look.GAIN, look.LOSS).tolist()
        axes.bar(middles, counts, np.diff(edges) * 0.94, color=colours)
        axes.set_xlabel("Net profit / entry notional")
        axes.set_ylabel("Trades")
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(_percent_tick))

    return _svg(draw, HALF, 2.1)


def excursion_svg(trades: pl.DataFrame) -> bytes:
    """Draw each trade's worst point against its return."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        worst, earned = _floats(trades, "mae"), _floats(trades, "return")
        if worst.shape[0] > N_MARKS:
            kept = kept_rows(earned, N_MARKS)
            worst, earned = worst[kept], earned[kept]
        for name, rows, colour, marker in (
            ("Winner", earned > 0, look.GAIN, "o"),
            ("Loser", earned <= 0, look.LOSS, "D"),
        ):
            axes.scatter(worst[rows], earned[rows], s=9, c=colour, marker=marker, alpha=0.75,
                         linewidths=0, label=name)  # fmt: skip
        axes.set_xlabel("Worst point against the entry")
        axes.set_ylabel("Return")
        _percent_axis(axes)
        axes.xaxis.set_major_formatter(FuncFormatter(_percent_tick))
        _legend(axes, HALF)

    return _svg(draw, HALF, 2.1)


def cost_svg(steps: Sequence[tuple[str, float]], *, currency: str) -> bytes:
    """Draw how the gross result becomes the net one."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        base, tops = 0.0, []
        for i_step, (_, amount) in enumerate(steps):
            colour = look.GAIN if amount >= 0 else look.LOSS
            axes.bar(i_step, amount, 0.62, bottom=base, color=colour)
            tops.append((max(base, base + amount), amount))
            base += amount
        axes.bar(len(steps), base, 0.62, color=look.GREY)
        tops.append((max(base, 0.0), base))
        for i_step, (top, amount) in enumerate(tops):
            axes.annotate(look.number(amount, 0), (i_step, top), xytext=(0, 2), ha="center",
                          textcoords="offset points", color=_GROUND.text)  # fmt: skip
        axes.set_xticks(range(len(steps) + 1), [name for name, _ in steps] + ["Net result"])
        axes.axhline(0, color=_GROUND.axis, linewidth=0.6)
        axes.margins(y=0.14)
        axes.set_ylabel(f"Amount ({currency})")
        _number_axis(axes)

    return _svg(draw, WIDE, 2.1)


def paths_svg(rows: pl.DataFrame) -> bytes:
    """Draw the total return on both paths within bars."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        y = np.arange(rows.height)
        low, high = _floats(rows, "low"), _floats(rows, "high")
        axes.hlines(y, low, high, color=look.STRATEGY, alpha=0.4, linewidth=5)
        axes.plot(
            low, y, "o", color=look.STRATEGY, markersize=5, label="Unfavourable path (reported)"
        )
        axes.plot(high, y, "o", color=look.STRATEGY, markersize=5, markerfacecolor="white",
                  label="Favourable path")  # fmt: skip
        for i_row, text in enumerate(interval_words(rows)):
            axes.annotate(text, (high[i_row], i_row), va="center", color=_GROUND.text)
        axes.margins(x=0.25)
        axes.set_yticks(y, rows["name"].to_list())
        axes.set_ylim(rows.height - 0.5, -0.5)
        axes.grid(True, axis="x")
        axes.grid(False, axis="y")
        axes.set_xlabel("Total return")
        axes.xaxis.set_major_formatter(FuncFormatter(_percent_tick))
        _legend(axes)

    return _svg(draw, WIDE, 0.85 + 0.24 * rows.height)


def reasons_svg(reasons: pl.DataFrame) -> bytes:
    """Draw on how many bars what was decided, or why nothing."""
    rows = reasons.sort("n_bars", "reason", descending=[True, False])

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        counts = rows["n_bars"].to_numpy()
        y = np.arange(rows.height)
        axes.barh(y, counts, 0.66, color=look.STRATEGY)
        for i_row, count in enumerate(counts.tolist()):
            share = look.percent(count / int(counts.sum()), 1)
            axes.annotate(f"{count:,} ({share})", (count, i_row), xytext=(3, 0), va="center",
                          textcoords="offset points", color=_GROUND.text)  # fmt: skip
        axes.set_yticks(y, [look.words(one) for one in rows["reason"].to_list()])
        axes.set_ylim(rows.height - 0.5, -0.5)
        axes.set_xlim(0, float(counts.max()) * 1.18)
        axes.grid(False)
        axes.set_xlabel("Bars")
        axes.xaxis.set_major_formatter(FuncFormatter(_number_tick))

    return _svg(draw, WIDE, 0.6 + 0.2 * rows.height)


def _svg(draw: Callable[[Figure], None], width: float, height: float) -> bytes:
    """Run a drawing and return the file; two runs give the same bytes."""
    _add_fonts()
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height))
        FigureCanvasSVG(figure)
        draw(figure)
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()


@cache
def _add_fonts() -> None:
    for path in sorted((Path(__file__).parent / "fonts").glob("*.otf")):
        font_manager.fontManager.addfont(path)


def _mark_trades(
    axes: Axes, timeline: _Timeline, prices: pl.DataFrame, trades: pl.DataFrame
) -> None:
    shown = trades
    if trades.height > N_MARKS:
        shown = trades[kept_rows(_floats(trades, "return"), N_MARKS)]
    if shown.height == 0:
        return
    x = timeline.x(prices)

    def at(column: str) -> Any:
        return x[timeline.at(shown[column])]

    long = (shown["side"] == "long").to_numpy()
    entries, prices_in = at("entry_ts"), _floats(shown, "entry_price")
    for name, rows, marker, colour in (
        ("Long entry", long, "^", look.BLUE),
        ("Short entry", ~long, "v", look.PURPLE),
    ):
        if rows.any():
            axes.scatter(entries[rows], prices_in[rows], s=18, marker=marker, c=colour,
                         linewidths=0, zorder=3, label=name)  # fmt: skip
    axes.scatter(at("exit_ts"), _floats(shown, "exit_price"), s=14, marker="x", c=look.VERMILION,
                 linewidths=0.9, zorder=3, label="Exit")  # fmt: skip


def _thinned(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    return thin(frame, column, N_POINTS)


def _floats(frame: pl.DataFrame, column: str) -> Any:
    return frame[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _marker(x: Any) -> dict[str, Any]:
    return {"marker": "o", "markersize": 2.5} if len(x) <= 30 else {}


def _legend(axes: Axes, width: float = WIDE) -> None:
    """Put the legend above the axes, in as many rows as its words need.

    It takes part in no layout: a wide legend would make the chart narrow. The
    room above is kept free instead.
    """
    handles, names = axes.get_legend_handles_labels()
    if not names:
        return
    column = 0.42 + 0.058 * max(len(name) for name in names)
    n_columns = max(1, min(len(names), int((width - 0.6) / column)))
    n_rows = -(-len(names) // n_columns)
    # Matplotlib fills columns first; a reader expects rows.
    order = [i for k in range(n_columns) for i in range(k, len(names), n_columns)]
    legend = axes.legend(
        [handles[i] for i in order], [names[i] for i in order], loc="lower left",
        bbox_to_anchor=(0, 1.0), ncols=n_columns, borderaxespad=0.2, handlelength=1.6,
        columnspacing=1.4,
    )  # fmt: skip
    legend.set_in_layout(False)
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    kept = 1.0 - (0.05 + 0.16 * n_rows) / figure.get_figheight()
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0, 0, 1, kept))


def _number_axis(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(FuncFormatter(_number_tick))
    if axes.get_yscale() == "log":
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, place: ""))


def _percent_axis(axes: Axes, n_ticks: int = 5) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(n_ticks, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(_percent_tick))


def _number_tick(value: float, _: int | None = None) -> str:
    return look.trimmed(value)


def _percent_tick(value: float, _: int | None = None) -> str:
    return f"{look.trimmed(round(value * 100, 6))}%"
