"""The sample set: what is in it, that it is small, that loading it twice is once."""

from __future__ import annotations

from datetime import date

import numpy as np

from market_data.checks import check_prices, find_large_moves
from market_data.sample_set import SAMPLE, SAMPLE_SYMBOLS, load_sample


def _content(home):
    files = sorted(path for path in home.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_committed_files_are_small():
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) < 1_000_000


def test_loading_it_again_changes_nothing(store):
    steps = []
    first = load_sample(store, lambda done, total, label="": steps.append((done, total)))
    before = _content(store.home)
    assert load_sample(store) == first
    assert _content(store.home) == before
    assert steps[0] == (0, 5)
    assert steps[-1] == (5, 5)


def test_series_are_those_that_the_readme_names(store):
    load_sample(store)
    rows = {(s.symbol, s.timeframe): s for s in store.list_series()}
    assert set(rows) == {*((symbol, "1d") for symbol in SAMPLE_SYMBOLS), ("SIM", "1m")}
    assert [rows[symbol, "1d"].rows for symbol in ("AAPL", "MSFT", "GOOG", "FB")] == [
        3270,
        3270,
        2148,
        196,
    ]
    assert rows["AAPL", "1d"].first.date() == date(2000, 3, 1)
    assert rows["FB", "1d"].first.date() == date(2012, 5, 18)
    assert rows["AAPL", "1d"].source == "Quandl WIKI, public domain"
    assert rows["SIM", "1m"].rows > 60 * 380


def test_bars_pass_the_checks_and_every_session_is_there(store, xnys):
    load_sample(store)
    for symbol in SAMPLE_SYMBOLS:
        columns, _ = store.read_columns(symbol, "1d")
        assert check_prices(columns.prices.copy(), str, repair=False) == []
        between = xnys.between(int(columns.session[0]), int(columns.session[-1]))
        assert columns.session.tolist() == between.date.tolist()
        # With its splits known, what is left is Apple's -52 % of 2000-09-29.
        moves = find_large_moves(columns, store.read_actions(symbol))
        if symbol == "AAPL":
            assert [move.count for move in moves] == [1]
            assert "2000-09-29" in moves[0].message
        else:
            assert moves == []
        assert np.all(columns.prices[4] > 0)
