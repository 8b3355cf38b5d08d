"""One look for every chart: colours, Plotly templates, words for numbers.

Owns what pictures and tables have in common on screens, in the report and in
the PDF. The palette keeps its differences for colour-blind readers (blue
against vermilion, never red against green), and each colour has a contrast of
at least 3 to 1 on the light and on the dark ground, so that a trace needs no
second colour for dark mode.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go

BLUE = "#2f7ebc"
VERMILION = "#d1600f"
GREEN = "#1a9472"
PURPLE = "#a765b5"
AMBER = "#b07d0a"
SKY = "#3395bd"
PINK = "#cf568c"
GREY = "#838a96"

STRATEGY = BLUE
BENCHMARK = GREY
GAIN = BLUE
LOSS = VERMILION
PRICE = GREY
SERIES = (BLUE, VERMILION, GREEN, PURPLE, AMBER, SKY, PINK, GREY)
INDICATORS = (GREEN, PURPLE, AMBER, SKY, PINK)

FONT = "Inter, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
UNDEFINED = "–"
# From here digits say nothing and break the layout: a week's gain, compounded
# to a year, gets there.
_ENORMOUS = 1e11
_MINUS = "−"
# Narrow, and never broken at the end of a line.
_UNIT_SPACE = "\u202f"


class Theme(Enum):
    """Ground that a chart is drawn for."""

    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True, slots=True)
class Ground:
    """Colours that depend on the theme."""

    text: str
    muted: str
    grid: str
    axis: str
    hover: str
    neutral: str


GROUNDS = {
    Theme.LIGHT: Ground("#1c2430", "#5b6472", "#e7eaef", "#b9c0ca", "#ffffff", "#f4f5f7"),
    Theme.DARK: Ground("#e6eaf0", "#a3acba", "#2a313c", "#4a5362", "#1d232c", "#232a34"),
}
LOSS_DEEP, GAIN_DEEP = "#b8480a", "#1f6aa6"


@cache
def template(theme: Theme) -> go.layout.Template:
    """Return the Plotly template of a theme; the page's own ground shows through."""
    import plotly.graph_objects as go

    ground = GROUNDS[theme]
    axis = {
        "gridcolor": ground.grid,
        "linecolor": ground.axis,
        "tickcolor": ground.axis,
        "zerolinecolor": ground.axis,
        "zerolinewidth": 1,
        "ticks": "outside",
        "ticklen": 4,
        "showline": True,
        "automargin": True,
        "title": {"font": {"size": 12, "color": ground.muted}, "standoff": 8},
        "tickfont": {"size": 11, "color": ground.muted},
    }
    ramp = [[0.0, LOSS_DEEP], [0.5, ground.neutral], [1.0, GAIN_DEEP]]
    layout = {
        "font": {"family": FONT, "size": 12, "color": ground.text},
        "title": {
            "font": {"size": 15, "color": ground.text},
            "subtitle": {"font": {"size": 12, "color": ground.muted}},
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 6, "l": 4},
        },
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "colorway": list(SERIES),
        "colorscale": {
            "diverging": ramp,
            "sequential": [[0.0, ground.neutral], [1.0, GAIN_DEEP]],
            "sequentialminus": [[0.0, LOSS_DEEP], [1.0, ground.neutral]],
        },
        "hoverlabel": {
            "bgcolor": ground.hover,
            "bordercolor": ground.axis,
            "font": {"color": ground.text, "size": 12, "family": FONT},
        },
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.0,
            "yanchor": "bottom",
            "font": {"size": 12},
            "bgcolor": "rgba(0,0,0,0)",
        },
        "margin": {"l": 60, "r": 16, "t": 64, "b": 44},
        "xaxis": axis | {"showgrid": False},
        "yaxis": axis,
        "coloraxis": {"colorbar": {"outlinewidth": 0, "ticks": ""}},
    }
    return go.layout.Template(layout=layout)


def is_number(value: float | None) -> bool:
    """Return whether a figure is defined."""
    return value is not None and math.isfinite(value)


def percent(value: float | None, digits: int = 2) -> str:
    """Write a fraction as a percentage, ``12.34 %`` with a true minus sign."""
    if not is_number(value):
        return UNDEFINED
    assert value is not None
    return f"{number(value * 100.0, digits)}{_UNIT_SPACE}%"


def number(value: float | None, digits: int = 2) -> str:
    """Write a number with thousands separators, an enormous one as ``1.2e+15``."""
    if not is_number(value) or value is None:
        return UNDEFINED
    if abs(value) >= _ENORMOUS:
        return f"{value:.1e}".replace("-", _MINUS)
    return _signed(value, digits)


def money(value: float | None, currency: str, digits: int = 2) -> str:
    """Write an amount with its currency, ``12,345.60 USD``."""
    if not is_number(value):
        return UNDEFINED
    return f"{number(value, digits)}{_UNIT_SPACE}{currency}"


def price_digits(typical: float | None) -> int:
    """Return the decimals that all prices of an instrument are written with.

    Shares have cents, currency pairs five decimals, small coins more.
    """
    if not is_number(typical) or typical is None:
        return 2
    return 2 if abs(typical) >= 5 else 5 if abs(typical) >= 0.05 else 8


def quantity(value: float | None) -> str:
    """Write a quantity, without decimals when it is whole."""
    if not is_number(value) or value is None:
        return UNDEFINED
    if value == round(value):
        return _signed(value, 0)
    return _signed(value, 8).rstrip("0")


def when(value: date | datetime | None, *, daily: bool) -> str:
    """Write a time as ISO text in UTC; of daily bars only the date."""
    if value is None:
        return UNDEFINED
    if daily or not isinstance(value, datetime):
        return f"{value:%Y-%m-%d}"
    return f"{value:%Y-%m-%d %H:%M}"


def words(code: str) -> str:
    """Write a code such as ``stop_loss`` as words."""
    return code.replace("_", " ")


def _signed(value: float, digits: int) -> str:
    text = f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0.0:
        text = text.removeprefix("-")
    return text.replace("-", _MINUS)


def trimmed(value: float) -> str:
    """Write a number for an axis: thousands separators, no needless digits."""
    text = f"{value:,.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text.replace("-", _MINUS)


def faded(colour: str, opacity: float) -> str:
    """Return a colour with an opacity."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
