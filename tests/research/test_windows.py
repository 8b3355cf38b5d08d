"""Windows worked by hand, and spans that give what a sweep of their bars gives."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import SpecError
from market_data.building import select_bars
from market_data.store import Store
from research.backtest import BacktestRequest, load_instrument
from research.figures import core_figures
from research.set_figures import set_figures
from research.spans import LinkedSets, Span, run_one, run_spans
from research.windows import Anchor, Window, make_windows
from tests.research.study_bars import TREND, noise_store
from trading.document import load_document
from trading.expressions.strategy import bind, resolve_strategy
from trading.sweep import run_sweep


def test_rolling_windows_of_twenty_sessions_worked_by_hand():
    assert make_windows(20, n_windows=3, n_in=8, n_out=4) == [
        Window(0, 8, 8, 12), Window(4, 12, 12, 16), Window(8, 16, 16, 20),
    ]  # fmt: skip


def test_anchored_windows_of_twenty_sessions_worked_by_hand():
    assert make_windows(20, n_windows=3, n_in=8, n_out=4, anchor=Anchor.ANCHORED) == [
        Window(0, 8, 8, 12), Window(0, 12, 12, 16), Window(0, 16, 16, 20),
    ]  # fmt: skip


def test_purged_windows_leave_sessions_out_between_worked_by_hand():
    # 25 sessions end with three pieces of five; two are left out before each.
    assert make_windows(25, n_windows=3, n_in=8, n_out=5, purge=2) == [
        Window(0, 8, 10, 15), Window(5, 13, 15, 20), Window(10, 18, 20, 25),
    ]  # fmt: skip


def test_lengths_are_found_four_to_one():
    # 140 sessions: (10 windows + 4) pieces of ten; the first window has forty.
    assert make_windows(140, n_windows=10)[0] == Window(0, 40, 40, 50)
    assert make_windows(147, n_windows=10)[0] == Window(7, 47, 47, 57)


def test_too_few_sessions_are_refused_with_what_is_needed():
    with pytest.raises(SpecError, match="need 21 sessions, there are 20"):
        make_windows(20, n_windows=3, n_in=8, n_out=4, purge=1)
    with pytest.raises(SpecError, match="n_windows: must be at least 1, got 0"):
        make_windows(20, n_windows=0)


@given(st.integers(30, 400), st.integers(1, 12), st.integers(0, 6), st.sampled_from(list(Anchor)))
def test_windows_never_choose_on_what_they_trade_and_leave_no_gap(n, n_windows, purge, anchor):
    try:
        windows = make_windows(n, n_windows=n_windows, purge=purge, anchor=anchor)
    except SpecError:
        return
    assert len(windows) == n_windows
    assert windows[-1].out_stop == n
    for one in windows:
        assert 0 <= one.in_start < one.in_stop
        assert one.in_stop + purge == one.out_start < one.out_stop
    for before, after in itertools.pairwise(windows):
        assert before.out_stop == after.out_start
        assert (
            after.in_start == 0
            if anchor is Anchor.ANCHORED
            else (after.in_stop - after.in_start == before.in_stop - before.in_start)
        )


# Spans.

SETS = [{"fast": f, "slow": s} for f in (2.0, 5.0, 9.0) for s in (20.0, 45.0)]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    store: Store = noise_store(Path(tmp_path_factory.mktemp("noise")), 900)
    strategy = resolve_strategy(load_document(TREND))
    request = BacktestRequest(load_document(TREND))
    return strategy, load_instrument(request, strategy, bind(strategy, {}), "NOISE", store)


def test_span_gives_every_bit_that_a_sweep_of_its_bars_gives(loaded):
    strategy, one = loaded
    spans = [Span(0, 300), Span(200, 640), Span(500, 900)]
    for span, run in zip(spans, run_spans(strategy, one.bars, SETS, spans), strict=True):
        alone = run_sweep(
            strategy, select_bars(one.bars, slice(0, span.stop)), SETS, first_bar=span.start
        )
        assert run.headers.tobytes() == alone.headers.tobytes()
        assert np.array_equal(run.session_equity, alone.session_equity)
        assert np.array_equal(run.sessions, alone.sessions)
        assert alone.headers["n_trades"].sum() > 0


def test_figures_of_many_sets_equal_those_of_one_in_every_bit(loaded):
    strategy, one = loaded
    run = run_spans(strategy, one.bars, SETS, [Span(100, 900)])[0]
    many = set_figures(run.headers, run.session_equity, 100_000.0, 800, 252)
    for k in range(len(SETS)):
        alone = core_figures(run.headers[k], run.session_equity[k], 100_000.0, 800, 252)
        for name, value in alone.as_record().items():
            found = many[name][k]
            assert value == found or (value is None and not np.isfinite(found)), name


def test_set_that_is_run_alone_over_a_span_begins_flat_and_is_sold_at_its_end(loaded):
    strategy, one = loaded
    linked = LinkedSets(strategy, one.bars, [SETS[0]], threads=1)
    span = Span(300, 600)
    kept = run_one(linked, 0, span, 50_000.0)
    sold = run_one(linked, 0, span, 50_000.0, close_at_end=True)
    assert len(kept.record.equity) == 600
    assert kept.trades["entry_bar"].min() > 300
    assert int(sold.header["lots"]) == 0
    held = int(kept.header["lots"]) != 0
    assert len(sold.trades) == len(kept.trades) + held
