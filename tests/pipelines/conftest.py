"""Fixtures for Dagster's side: an instance in memory, and a file of bars to import."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance

# Sessions of New York's exchange, without a gap.
SESSIONS = ("2012-01-03", "2012-01-04", "2012-01-05", "2012-01-06", "2012-01-09", "2012-01-10")


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as opened:
        yield opened


@pytest.fixture
def file_of_bars(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes so many daily bars as CSV, without the sessions left out."""

    def write(days: int, *, without: tuple[str, ...] = ()) -> Path:
        path = tmp_path / f"bars-{days}.csv"
        rows = [f"{day},10,11,9,10,1000" for day in SESSIONS[:days] if day not in without]
        path.write_text("\n".join(["date,open,high,low,close,volume", *rows]) + "\n")
        return path

    return write
