"""The analysts' app: ``streamlit run dashboards/analyst.py``.

Owns the app's frame and the list of its pages.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboards.parts import (
    BACKTEST_PAGE,
    COMPARE_PAGE,
    RESULTS_PAGE,
    SWEEP_PAGE,
)

# A file of ours: an icon named by word would be fetched from a font server by every reader.
_ICON = Path(__file__).parent / "icon.svg"


def main() -> None:
    """Show the page that the address names."""
    # Before the navigation, which would take the page's own icon for the browser's tab.
    st.set_page_config(page_icon=str(_ICON), layout="wide")
    page = st.navigation(
        [
            st.Page(RESULTS_PAGE, title="Results", icon=":material/table_view:", default=True),
            st.Page(COMPARE_PAGE, title="Compare", icon=":material/difference:"),
            st.Page(BACKTEST_PAGE, title="Backtest", icon=":material/candlestick_chart:"),
            st.Page(SWEEP_PAGE, title="Sweep", icon=":material/grid_on:"),
        ],
        position="top",
    )
    st.set_page_config(page_title=f"{page.title} · Quarterdeck")
    # Streamlit leaves a hand's breadth empty above the title.
    st.html("<style>.stMainBlockContainer{padding-top:4.5rem;padding-bottom:3rem}</style>")
    page.run()


main()
