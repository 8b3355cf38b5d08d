"""Charts of parameter sets: a figure over one parameter or two, plateau and peak marked.

Pure functions to Plotly figures in the project's look, for studies' pages and
for screens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray

from research import look
from research.chart_parts import empty_chart
from research.look import Theme
from research.plateau import telling, words
from research.study_charts import CHOSEN, laid_out, number_format

FloatArray = NDArray[np.float64]

# Cells of a heat map that still hold a readable number.
_N_TEXT_CELLS = (16, 24)
# Room for a mark before a number: em spaces, which no browser folds.
_BESIDE = "\u2003" * 5


def cell_text(figure: str, value: float) -> str:
    """Write a figure in a cell of a heat map; nothing where it is not defined."""
    if not np.isfinite(value):
        return ""
    if number_format(figure).endswith("%"):
        return f"{100.0 * value:.3g} %"
    # A number that rounds to zero has no sign.
    return f"{round(value, 2) + 0.0:,.2f}"


def plateau_chart(
    values: Mapping[str, Sequence[float]],
    sets: Sequence[Mapping[str, float]],
    shown: FloatArray,
    *,
    objective: str,
    i_plateau: int,
    i_peak: int,
    scattered: bool = False,
    title: str = "",
    axes: Sequence[str] = (),
    theme: Theme = Theme.LIGHT,
) -> go.Figure:
    """Draw a figure over the two parameters that tell most of it, plateau and peak marked.

    Parameters
    ----------
    shown : float64 array, shape (n_sets,)
        The figure of each set; NaN where not defined.
    scattered : bool
        Whether each set is a point, or the grid's cells are drawn with all
        other parameters as the plateau has them.
    title : str
        ``<Objective> over the parameters`` when empty.
    axes : sequence of str
        Parameters that vary, those to draw first; by what they tell when empty.
    """
    title = title or f"{look.words(objective).capitalize()} over the parameters"
    names = list(axes) or list(telling(values, sets, shown))
    if not names or i_plateau < 0:
        return empty_chart(title, "No set to choose", theme=theme)
    if len(names) == 1:
        return _plateau_line(names[0], sets, shown, objective, i_plateau, i_peak, title, theme)
    x, y = names[:2]
    if scattered:
        return _plateau_points(x, y, sets, shown, objective, i_plateau, i_peak, title, theme)
    rest = {name: sets[i_plateau][name] for name in names[2:]}
    rows = [i for i, one in enumerate(sets) if all(one[k] == v for k, v in rest.items())]
    xs, ys = sorted(set(values[x])), sorted(set(values[y]))
    grid = np.full((len(ys), len(xs)), np.nan)
    for i in rows:
        grid[ys.index(sets[i][y]), xs.index(sets[i][x])] = shown[i]
    marks = _markers(sets, i_plateau, i_peak, rest)
    figure = go.Figure()
    marked = {(ys.index(sets[i][y]), xs.index(sets[i][x])) for _, i, _ in marks}
    _add_heat_map(figure, grid, xs, ys, objective, x, y, marked)
    for name, i, symbol in marks:
        figure.add_scatter(
            x=[f"{sets[i][x]:g}"], y=[f"{sets[i][y]:g}"], mode="markers", name=name,
            marker=_marker(symbol, theme), hovertemplate=f"{name}: {words(sets[i])}",
        )  # fmt: skip
    fixed = ", ".join(f"{name} {value:g}" for name, value in rest.items())
    note = f"{len(rows):,} of {len(sets):,} sets; others as the plateau has them: {fixed}"
    if not rest:
        note = f"{len(sets):,} sets"
    figure.update_xaxes(type="category", title_text=x)
    figure.update_yaxes(type="category", title_text=y, showgrid=False)
    return laid_out(figure, title, note, theme, 400)


def _markers(
    sets: Sequence[Mapping[str, float]], i_plateau: int, i_peak: int, rest: Mapping[str, float]
) -> list[tuple[str, int, str]]:
    """Return name, set and symbol of the marks.

    A peak that lies outside the drawn plane is marked where it would be seen
    through it, and its name says where it is.
    """
    if i_plateau == i_peak:
        return [("Plateau and peak", i_plateau, "square")]
    peak = sets[i_peak]
    away = {name: peak[name] for name, value in rest.items() if peak[name] != value}
    name = f"Peak, at {words(away)}" if away else "Peak"
    return [("Plateau", i_plateau, "square"), (name, i_peak, "star")]


def _marker(symbol: str, theme: Theme) -> dict[str, object]:
    # Filled with the ground, amber stands out from every colour of the ramp.
    return {
        "symbol": symbol, "size": 19, "color": look.GROUNDS[theme].hover,
        "line": {"width": 3, "color": look.AMBER},
    }  # fmt: skip


def _plateau_line(
    name: str,
    sets: Sequence[Mapping[str, float]],
    shown: FloatArray,
    objective: str,
    i_plateau: int,
    i_peak: int,
    title: str,
    theme: Theme,
) -> go.Figure:
    order = np.argsort([one[name] for one in sets], kind="stable")
    text = number_format(objective)
    figure = go.Figure()
    figure.add_scatter(
        x=[sets[i][name] for i in order], y=shown[order], mode="lines+markers", name="Sets",
        line={"color": CHOSEN}, hovertemplate=f"{name} %{{x}}: %{{y:{text}}}<extra></extra>",
    )  # fmt: skip
    for title_, i, symbol in _markers(sets, i_plateau, i_peak, {}):
        figure.add_scatter(
            x=[sets[i][name]], y=[shown[i]], mode="markers", name=title_,
            marker=_marker(symbol, theme), hovertemplate="%{y:" + text + "}",
        )  # fmt: skip
    figure.update_xaxes(title_text=name)
    figure.update_yaxes(title_text=look.words(objective), tickformat=text)
    return laid_out(figure, title, f"{len(sets):,} sets", theme, 320)


def _plateau_points(
    x: str,
    y: str,
    sets: Sequence[Mapping[str, float]],
    shown: FloatArray,
    objective: str,
    i_plateau: int,
    i_peak: int,
    title: str,
    theme: Theme,
) -> go.Figure:
    text = number_format(objective)
    defined = np.flatnonzero(np.isfinite(shown))
    # Good sets last, so that they lie on top.
    order = defined[np.argsort(shown[defined], kind="stable")]
    figure = go.Figure()
    extent = float(np.abs(shown[defined]).max()) if len(defined) else 1.0
    figure.add_scatter(
        x=[sets[i][x] for i in order], y=[sets[i][y] for i in order], mode="markers",
        showlegend=False, customdata=shown[order],
        marker={
            "color": shown[order], "cmin": -extent, "cmax": extent, "cmid": 0, "size": 9,
            "coloraxis": "coloraxis", "line": {"width": 1, "color": look.GREY},
        },
        hovertemplate=f"{x} %{{x}}, {y} %{{y}}: %{{customdata:{text}}}<extra></extra>",
    )  # fmt: skip
    for name, i, symbol in _markers(sets, i_plateau, i_peak, {}):
        figure.add_scatter(
            x=[sets[i][x]], y=[sets[i][y]], mode="markers", name=name,
            marker=_marker(symbol, theme), hovertemplate=f"{name}: {x} %{{x}}, {y} %{{y}}",
        )  # fmt: skip
    figure.update_layout(
        coloraxis={
            "cmin": -extent, "cmax": extent, "cmid": 0, "autocolorscale": True,
            "colorbar": {"tickformat": text, "outlinewidth": 0, "thickness": 12},
        }
    )  # fmt: skip
    figure.update_xaxes(title_text=x)
    figure.update_yaxes(title_text=y)
    note = f"{len(sets):,} sets that ran to the end; a point may hide others under it"
    return laid_out(figure, title, note, theme, 400)


def sweep_chart(
    sweep: pl.DataFrame,
    *,
    value: str,
    x: str,
    y: str | None = None,
    marks: Mapping[str, Mapping[str, float]] | None = None,
    theme: Theme = Theme.LIGHT,
) -> go.Figure:
    """Draw a figure of a sweep over one parameter as a line, over two as a heat map.

    Parameters
    ----------
    sweep : DataFrame
        One row for each parameter set: the parameters and the figures.
    value : str
        Column to draw; where parameters not drawn make several rows of one
        cell, their median is shown.
    marks : mapping of name to set, optional
        Sets to mark, such as the plateau and the peak.
    """
    number = number_format(value)
    keys = [x] if y is None else [x, y]
    cells = sweep.group_by(keys).agg(pl.col(value).median(), pl.len().alias("__n")).sort(keys)
    title = f"Sweep: {look.words(value)}"
    if cells.height == 0:
        return empty_chart(title, "No parameter set", theme=theme)
    most = int(cells["__n"].max() or 1)  # type: ignore[arg-type]
    note = f"median of up to {most} sets in each cell" if most > 1 else f"{sweep.height:,} sets"
    named = together(marks or {})
    figure = go.Figure()
    if y is None:
        shown = dict(zip(cells[x].to_list(), cells[value].to_list(), strict=True))
        figure.add_scatter(
            x=list(shown), y=list(shown.values()), mode="lines+markers", showlegend=False,
            line={"color": look.STRATEGY}, hovertemplate="%{y:" + number + "}",
        )  # fmt: skip
        for name, one in named.items():
            if one[x] in shown:
                figure.add_scatter(
                    x=[one[x]], y=[shown[one[x]]], mode="markers", name=name,
                    marker=_marker(_SYMBOLS[name], theme), hovertemplate=f"{name}: {words(one)}",
                )  # fmt: skip
        figure.update_yaxes(title_text=look.words(value), tickformat=number)
    else:
        _add_cells(figure, cells, value, x, y, named, theme)
    laid_out(figure, title, note, theme, 400, legend=bool(named))
    figure.update_xaxes(title_text=x)
    return figure


_SYMBOLS = {
    "Plateau": "square", "Peak": "star", "Plateau and peak": "square",
}  # fmt: skip


def together(marks: Mapping[str, Mapping[str, float]]) -> dict[str, Mapping[str, float]]:
    """Join the marks of plateau and peak where they are the same set."""
    found = dict(marks)
    if "Plateau" in found and found["Plateau"] == found.get("Peak"):
        return {"Plateau and peak": found["Plateau"]}
    return found


def _add_cells(
    figure: go.Figure,
    cells: pl.DataFrame,
    value: str,
    x: str,
    y: str,
    marks: Mapping[str, Mapping[str, float]],
    theme: Theme,
) -> None:
    xs, ys = sorted(set(cells[x].to_list())), sorted(set(cells[y].to_list()))
    grid = np.full((len(ys), len(xs)), np.nan)
    for left, below, result in cells.select(x, y, value).iter_rows():
        if result is not None:
            grid[ys.index(below), xs.index(left)] = result
    found = [
        (name, one, (ys.index(one[y]), xs.index(one[x])))
        for name, one in marks.items()
        if one[x] in xs and one[y] in ys
    ]
    _add_heat_map(figure, grid, xs, ys, value, x, y, {at for _, _, at in found})
    for name, one, (row, column) in found:
        figure.add_scatter(
            x=[f"{xs[column]:g}"], y=[f"{ys[row]:g}"], mode="markers", name=name,
            marker=_marker(_SYMBOLS[name], theme), hovertemplate=f"{name}: {words(one)}",
        )  # fmt: skip
    figure.update_xaxes(type="category")
    figure.update_yaxes(type="category", title_text=y, showgrid=False)


def _add_heat_map(
    figure: go.Figure,
    grid: FloatArray,
    xs: Sequence[float],
    ys: Sequence[float],
    value: str,
    x: str,
    y: str,
    marked: set[tuple[int, int]],
) -> None:
    """Draw cells with their numbers; a marked one's number stands beside its mark."""
    text = number_format(value)
    small = len(xs) <= _N_TEXT_CELLS[0] and len(ys) <= _N_TEXT_CELLS[1]
    numbers = np.array([[cell_text(value, cell) for cell in row] for row in grid], object)
    for at in marked:
        numbers[at] = _BESIDE + numbers[at]
    crosses = np.nanmin(grid, initial=0) < 0 < np.nanmax(grid, initial=0)
    figure.add_heatmap(
        z=grid, autocolorscale=True, xgap=1, ygap=1, x=[f"{one:g}" for one in xs],
        y=[f"{one:g}" for one in ys], zmid=0 if crosses else None,
        text=numbers, texttemplate="%{text}" if small else None, textfont={"size": 11},
        colorbar={"tickformat": text, "outlinewidth": 0, "thickness": 12},
        hovertemplate=f"{x} %{{x}}, {y} %{{y}}: %{{z:{text}}}<extra></extra>", showlegend=False,
    )  # fmt: skip
