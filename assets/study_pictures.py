"""Small pictures of studies for Dagster's pages: equity out of sample, trials in order."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from assets.equity_picture import DOTS_PER_INCH, HEIGHT_INCHES, WIDTH_INCHES

if TYPE_CHECKING:
    from research.optimisation import Optimisation
    from research.walk_forward import WalkForward


def chain_picture(study: WalkForward) -> str:
    """Return Markdown that shows equity out of sample, beside the other choices."""
    from research import look

    names = {"plateau": "Plateau", "peak": "Peak", "default": "Document's own values"}
    pick = study.options.pick.value
    with _drawn() as (axes, image):
        for name, chain in study.chains.items():
            own = name == pick
            axes.plot(
                chain.sessions.astype("datetime64[D]"),
                chain.equity,
                label=names[name],
                lw=1.5 if own else 0.9,
                ls="-" if own else ":",
                color=look.BLUE if own else look.GREY if name == "default" else look.VERMILION,
            )
        for window in study.windows:
            axes.axvline(
                study.sessions[window.out_start].astype("datetime64[D]"), color=look.GREY, lw=0.5,
                ls=":",
            )  # fmt: skip
        axes.set_title(f"{study.prepared.strategy.name}: equity out of sample", loc="left")
        axes.legend(loc="upper left")
    return _markdown("Equity out of sample; a dotted line begins each window", image)


def trials_picture(study: Optimisation) -> str:
    """Return Markdown that shows what the trials came to, in their order."""
    from research import look
    from research.set_figures import is_lower_better

    sign = -1.0 if is_lower_better(study.options.objective) else 1.0
    shown = [r for r in study.records if r.number >= 0 and (r.parts or r.i_set >= 0)]
    numbers = np.array([r.number for r in shown])
    complete = np.array([r.i_set >= 0 for r in shown], bool)
    values = sign * np.array([r.value if r.i_set >= 0 else r.parts[-1] for r in shown])
    with _drawn() as (axes, image):
        axes.plot(numbers[~complete], values[~complete], "x", color=look.GREY, ms=4, label="Pruned")
        axes.plot(
            numbers[complete], values[complete], "o", color=look.BLUE, ms=3, label="Ran to the end"
        )
        axes.set_title(f"{study.prepared.strategy.name}: {study.options.objective}", loc="left")
        axes.set_xlabel("Trial")
        axes.legend(loc="lower right")
    return _markdown("What each trial came to, in the order in which they were tried", image)


def _markdown(words: str, image: io.BytesIO) -> str:
    return f"![{words}](data:image/png;base64,{base64.b64encode(image.getvalue()).decode()})"


@contextmanager
def _drawn() -> Iterator[tuple[Any, io.BytesIO]]:
    """Give axes to draw on; the image is there once the block ends."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    from research import look

    ground = look.GROUNDS[look.Theme.LIGHT]
    style: dict[Any, Any] = {
        "axes.edgecolor": ground.axis,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.titlesize": 10,
        "grid.color": ground.grid,
        "xtick.color": ground.muted,
        "ytick.color": ground.muted,
        "font.size": 9,
        "legend.frameon": False,
    }
    image = io.BytesIO()
    with matplotlib.rc_context(style):
        figure = Figure(
            figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=DOTS_PER_INCH, layout="constrained"
        )
        axes = figure.subplots()
        yield axes, image
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        # Without the software's name, so that an update of matplotlib doesn't change the bytes.
        FigureCanvasAgg(figure).print_png(image, metadata={"Software": None})
