"""Data homes with made results, and the analysts' app without a browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from foundation.home import CHECKOUT
from tests.research.made_result import make_result

Open = Callable[..., AppTest]
FIRST, SECOND, QUIET = "0123456789ab", "123456789abc", "23456789abcd"


@pytest.fixture(scope="session")
def made_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the results once: two that trade and differ, and one without a trade."""
    root = tmp_path_factory.mktemp("made-results")
    make_result(root / "average-cross" / FIRST, n_bars=300, run_id=FIRST)
    make_result(
        root / "second-cross" / SECOND, symbols=("ALFA",), n_bars=300, seed=11,
        name="second-cross", run_id=SECOND, version_hash="7d2a" * 16,
        document="name: second-cross\nenter_long: fast > slow\n",
        parameters={"fast": 5.0, "slow": 40.0},
    )  # fmt: skip
    make_result(
        root / "quiet" / QUIET, symbols=("ALFA",), n_bars=60, trades=False, name="quiet",
        run_id=QUIET,
    )  # fmt: skip
    return root


@pytest.fixture
def put(home: Path, made_results: Path) -> Callable[..., None]:
    """Give a function that puts made results into the test's data home."""

    def copy(*run_ids: str) -> None:
        for run_id in run_ids:
            (source,) = made_results.glob(f"*/{run_id}")
            shutil.copytree(source, home / "results" / source.parent.name / run_id)

    return copy


@pytest.fixture
def open_page() -> Open:
    """Give a function that opens a page of the app as a link with a query would."""
    st.cache_data.clear()
    st.cache_resource.clear()

    def opened(page: str = "", **query: str | list[str]) -> AppTest:
        app = AppTest.from_file(str(CHECKOUT / "dashboards" / "analyst.py"), default_timeout=300)
        if page:
            app.switch_page(f"analyst_pages/{page}.py")
        for name, value in query.items():
            app.query_params[name] = value
        return app.run()

    return opened
