"""A merge that is killed at any moment leaves no bar to be traded on that nobody should trade on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from foundation.home import CHECKOUT
from market_data.columns import BarColumns
from market_data.pairs.stored import read_sources
from market_data.sample_set import load_sample
from market_data.store import Store

# Merges in a child of its own in each home, which dies just before its last moment: with 0 it
# lives and says how many changes there were. Children share what was imported, and nothing else.
MERGES = """
import json, os, sys
from datetime import UTC, datetime
import pandas  # Arrow asks for it in every child otherwise.
from market_data.pairs.stored import merge_stored
from market_data.store import Store
from tests.faults.dying import count_changes

def merge(home, moment):
    store = Store(home)
    count = count_changes(moment)
    merge_stored(
        store, "X", ["X@one", "X@two"], "1d", at=datetime(2024, 5, 1, tzinfo=UTC), overwrite=True
    )
    return count[0]

ends = []
for home, moment in json.loads(sys.argv[1]):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = merge(home, moment)
        finally:
            os._exit(status)
    ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(ends))
"""
UNDECIDED = [400, 1200, 2600]


@pytest.fixture(scope="module")
def two_sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with two sources of X, of which nothing decides three bars."""
    sample = Store(tmp_path_factory.mktemp("sample"))
    load_sample(sample)
    columns, series = sample.read_columns("MSFT", "1d")
    other = columns.prices.copy()
    # Closes two days' usual moves away, which either source could have seen.
    moves = np.abs(np.diff(columns.prices[3]))
    for row in UNDECIDED:
        other[3, row] += 2 * np.median(moves[row - 50 : row + 50])
        other[1, row] = max(other[1, row], other[3, row])
    home = tmp_path_factory.mktemp("merge") / "home"
    store = Store(home)
    for name, prices in (("one", columns.prices), ("two", other)):
        bars = BarColumns(columns.ts, columns.session, prices)
        store.write_bars(f"X@{name}", "1d", bars, calendar=series.calendar, source="test")
    # Sessions are computed once and kept, which is no part of a merge.
    read_sources(store, ("X@one", "X@two"), "1d")
    return home


def merge(homes: dict[Path, int]) -> list[int]:
    """Merge in each home up to its moment, and return how each ended."""
    asked = json.dumps([[str(home), moment] for home, moment in homes.items()])
    done = subprocess.run(
        [sys.executable, "-c", MERGES, asked],
        cwd=CHECKOUT, env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def tradable(home: Path) -> list[int]:
    """Return which bars that nothing decides a backtest would trade on."""
    store = Store(home)
    if store.find_series("X", "1d") is None:
        return []
    there = store.read_columns("X", "1d")[0].session
    sources = store.read_columns("X@one", "1d")[0].session
    return [row for row in UNDECIDED if sources[row] in there]


@pytest.mark.parametrize("stored_before", [False, True], ids=["first merge", "over other bars"])
def test_whenever_a_merge_is_killed_undecided_bars_are_not_traded(
    two_sources: Path, tmp_path: Path, stored_before: bool
):
    start = tmp_path / "start"
    shutil.copytree(two_sources, start)
    if stored_before:
        # Bars of another day's merge, in which the undecided days were not yet.
        store = Store(start)
        columns, series = store.read_columns("X@one", "1d")
        keep = ~np.isin(np.arange(columns.n_bars), UNDECIDED)
        old = columns.select(keep)
        old.prices[4] += 1.0
        store.write_bars("X", "1d", old, calendar=series.calendar, source="merge")
    whole = tmp_path / "whole"
    shutil.copytree(start, whole)
    n_changes = merge({whole: 0})[0]
    assert 5 < n_changes < 128
    assert Store(whole).read_quarantine("X", "1d").num_rows == len(UNDECIDED)
    assert tradable(whole) == []
    homes = {tmp_path / f"killed-{moment}": moment for moment in range(1, n_changes + 1)}
    for home in homes:
        shutil.copytree(start, home)
    assert merge(homes) == [-signal.SIGKILL] * n_changes
    assert [tradable(home) for home in homes] == [[]] * n_changes
    stored = [Store(home).find_series("X", "1d") for home in homes]
    n_merged = sum(series is not None and series.quarantine != "" for series in stored)
    # Some of the moments lie after the one step that stores both, some before.
    assert 0 < n_merged < n_changes
