"""The analysts' app: ``streamlit run dashboards/analyst.py``.

Owns the app's frame and the list of its pages.
"""

from __future__ import annotations

import streamlit as st

from foundation.home import data_home
from foundation.kernel_cache import use_kernel_cache

# Before anything imports numba, which reads it once.
use_kernel_cache(data_home())

from dashboards.parts import (  # noqa: E402
    BACKTEST_PAGE,
    COMPARE_PAGE,
    RESULTS_PAGE,
    SWEEP_PAGE,
)


def main() -> None:
    """Show the page that the address names."""
    st.set_page_config(page_title="Quarterdeck", page_icon=":material/sailing:", layout="wide")
    page = st.navigation(
        [
            st.Page(RESULTS_PAGE, title="Results", icon=":material/table_view:", default=True),
            st.Page(COMPARE_PAGE, title="Compare", icon=":material/difference:"),
            st.Page(BACKTEST_PAGE, title="Backtest", icon=":material/candlestick_chart:"),
            st.Page(SWEEP_PAGE, title="Sweep", icon=":material/grid_on:"),
        ],
        position="top",
    )
    # Streamlit leaves a hand's breadth empty above the title.
    st.html("<style>.stMainBlockContainer{padding-top:4.5rem;padding-bottom:3rem}</style>")
    page.run()


main()
