"""Result directories made once for the tests that read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.research.made_result import make_result


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two instruments over about two years, with trades, dividends, an open position."""
    return make_result(tmp_path_factory.mktemp("made") / "average-cross", n_bars=760)
