"""The equity curve as a small picture for Dagster's pages."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

WIDTH_INCHES = 8.0
HEIGHT_INCHES = 3.2
DOTS_PER_INCH = 100


def equity_picture(directory: Path) -> str:
    """Return Markdown that shows a result's equity, drawdown and buy-and-hold."""
    picture = base64.b64encode(draw_equity(directory)).decode()
    return (
        f"![Equity against buy and hold, with the drawdown below](data:image/png;base64,{picture})"
    )


def draw_equity(directory: Path) -> bytes:
    """Draw a result's equity as PNG; the same result gives the same bytes."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    from research import look
    from research.results import open_result

    result = open_result(directory)
    equity = result.session_equity()
    days = equity["session"].to_numpy()
    ground = look.GROUNDS[look.Theme.LIGHT]
    style: dict[Any, Any] = {
        "axes.edgecolor": ground.axis,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "grid.color": ground.grid,
        "xtick.color": ground.muted,
        "ytick.color": ground.muted,
        "font.size": 9,
        "legend.frameon": False,
    }
    with matplotlib.rc_context(style):
        figure = Figure(
            figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=DOTS_PER_INCH, layout="constrained"
        )
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        upper.plot(
            days, equity["buy_and_hold"], color=look.BENCHMARK, lw=0.9, ls=":", label="Buy and hold"
        )
        upper.plot(days, equity["equity"], color=look.STRATEGY, lw=1.4, label="Strategy")
        upper.set_title(
            f"{result.summary.strategy}: equity, {result.summary.currency}",
            loc="left",
            fontsize=10,
            color=ground.text,
        )
        upper.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        upper.legend(loc="upper left")
        drawdown = -100.0 * equity["drawdown"].to_numpy()
        lower.fill_between(days, drawdown, 0.0, color=look.LOSS, alpha=0.35, lw=0)
        lower.plot(days, drawdown, color=look.LOSS, lw=0.8)
        lower.set_ylabel("Drawdown", color=ground.muted)
        lower.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} %"))
        image = io.BytesIO()
        # Without the software's name, so that an update of matplotlib doesn't change the bytes.
        FigureCanvasAgg(figure).print_png(image, metadata={"Software": None})
    return image.getvalue()
