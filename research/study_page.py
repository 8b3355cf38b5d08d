"""One page of charts for any study: what it says is put together by each kind, not here.

Owns the layout. The page holds Plotly once, fonts and data, so it opens
without a network; the same content gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from research import look
from research.look import Theme
from research.page import chart_place, figure_json, script_json
from research.report import font_css, read_template, templates
from research.report_parts import Grid, Note, Tile

if TYPE_CHECKING:
    import plotly.graph_objects as go

PAGE_FILE = "study.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page: sentences, then charts by name, then tables and pairs of facts."""

    anchor: str
    title: str
    texts: tuple[str, ...] = ()
    charts: tuple[str, ...] = ()
    grids: tuple[Grid, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    document: str = ""
    downloads: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPage:
    """Everything that a study's page says.

    Attributes
    ----------
    kind : str
        Such as ``Walk-forward analysis``.
    figures : mapping of name to Figure
        The charts that sections name.
    """

    title: str
    kind: str
    headline: str
    study_id: str
    engine_version: str
    tiles: tuple[Tile, ...]
    notes: tuple[Note, ...]
    sections: tuple[Section, ...]
    figures: Mapping[str, go.Figure]
    origin: str = ""


def render_study(page: StudyPage) -> str:
    """Return a study's page as HTML."""
    import plotly.offline

    data = {
        "file": f"{page.title}-{page.study_id}",
        "templates": {theme.value: look.template(theme).to_plotly_json() for theme in Theme},
        "figures": {name: figure_json(figure) for name, figure in page.figures.items()},
    }
    return (
        templates()
        .get_template("study.html.j2")
        .render(
            page=page,
            chart=lambda name: chart_place(name, page.figures),
            css=Markup(font_css() + read_template("report.css")),
            js=Markup(read_template("page.js")),
            plotly=Markup(plotly.offline.get_plotlyjs()),
            data=script_json(data),
        )
    )
