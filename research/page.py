"""The pieces of a page for the browser that draws its charts itself.

Owns how figures and other data get into the page; what is on it is the
business of whoever lays it out. `templates/report.js` reads what is put here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    import plotly.graph_objects as go

_SHARED_LENGTH = 100


def chart_place(name: str, figures: Mapping[str, go.Figure]) -> Markup:
    """Return where a chart is drawn once the page has loaded."""
    # The height is given at once, so that nothing moves when the chart is drawn.
    height = int(figures[name].layout.height)
    return Markup('<div class="chart" id="chart-{}" style="height:{}px"></div>\n').format(
        name, height
    )


def figure_json(
    figure: go.Figure, shared: dict[tuple[str, ...], int] | None = None
) -> dict[str, Any]:
    """Return data and layout; the template is added by the page, once for all charts.

    Times that several traces have in common are written once, in `shared` if
    there is one; the trace holds their number instead.
    """
    content: dict[str, Any] = json.loads(figure.to_json(engine="json"))
    content["layout"].pop("template", None)
    if shared is None:
        return {"data": content["data"], "layout": content["layout"]}
    for trace in content["data"]:
        x = trace.get("x")
        if isinstance(x, list) and len(x) >= _SHARED_LENGTH and None not in x:
            trace["x"] = shared.setdefault(tuple(x), len(shared))
    return {"data": content["data"], "layout": content["layout"]}


def script_json(data: dict[str, Any]) -> Markup:
    """Return JSON that can't end the script element that holds it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
