"""Starts an app with its pages' modules imported: ``python -m dashboards.serve``.

`streamlit run` imports them when the first page is asked for, while somebody
waits. Takes the options of `streamlit run`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

APP = Path(__file__).parent / "analyst.py"
# With them come polars, plotly and SQLAlchemy; pandas turns tables into what a browser gets.
# Not our own pages' modules: Streamlit warns of caches that are made before it runs.
NEEDED_BY_PAGES = (
    "foundation.settings",
    "pandas",
    "research.charts",
    "research.decision_charts",
    "research.comparison",
    "research.figures",
    "research.plateau_charts",
    "research.price_charts",
    "research.ranges",
    "research.report",
    "research.tables",
    "strategies.runs",
)


def main() -> None:
    """Import what pages need and hand over to Streamlit."""
    from streamlit.web import cli

    for name in NEEDED_BY_PAGES:
        import_module(name)
    cli.main(["run", str(APP), *sys.argv[1:]], prog_name="streamlit")


if __name__ == "__main__":
    main()
