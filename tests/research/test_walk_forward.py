"""Walk-forward: what is known to be noise earns nothing, what is planted is found, no bar leaks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from foundation.errors import SpecError
from market_data.store import Store
from research.backtest import BacktestRequest, run_backtest
from research.parameter_sets import declared_values
from research.plateau import Pick
from research.study_record import alone, judge
from research.walk_forward import (
    WalkForwardOptions,
    chain_figures,
    efficiency,
    piece_figures,
    require_window,
    stability,
    walk_forward,
)
from research.walk_forward_files import write_walk_forward
from research.windows import Anchor
from tests.research.study_bars import SIGNAL, TREND, edge_store, noise, noise_store, store_bars
from trading import statistics
from trading.document import load_document

N_SEEDS = 8


def walk(text: str, store: Store, **options):
    document = load_document(text)
    return walk_forward(
        BacktestRequest(document), declared_values(document), store, WalkForwardOptions(**options)
    )


def verdict(study):
    returns = statistics.returns(study.chosen.equity, study.prepared.request.cash)
    return judge(returns, alone(study.trials), study.prepared.annualisation)


def test_tuning_noise_earns_nothing_out_of_sample(tmp_path):
    inside, outside, deflated = [], [], []
    for seed in range(N_SEEDS):
        study = walk(TREND, noise_store(tmp_path / str(seed), 1200, seed), anchor=Anchor.ROLLING)
        inside += [
            float(runs.figures["sharpe"][row])
            for runs, row in zip(study.in_sample, study.chosen.rows, strict=True)
        ]
        judged = verdict(study)
        outside.append(judged["sharpe"])
        deflated.append(judged["deflated_sharpe"])
    # Four fifths of 1200 sessions are three and a half years: one ratio has a deviation of 0.5,
    # the mean of eight one of 0.2.
    assert abs(np.mean(outside)) < 0.5
    assert np.mean(inside) > np.mean(outside)
    assert np.mean(deflated) < 0.5
    # One of eight may be lucky.
    assert np.sum(np.array(deflated) > 0.95) <= 1


def test_planted_edge_is_found_and_stands_up_to_the_trials(tmp_path):
    study = walk(SIGNAL, edge_store(tmp_path))
    levels = [study.prepared.sets[row]["level"] for row in study.chosen.rows]
    assert levels.count(5.0) >= 8
    assert set(levels) <= {4.0, 5.0, 6.0}
    judged = verdict(study)
    assert judged["sharpe"] > 3.0
    assert judged["deflated_sharpe"] > 0.95
    assert stability(study, study.chosen)["level"]["stability"] > 0.95
    assert 0.5 < efficiency(study, study.chosen) < 2.0


@pytest.mark.parametrize("anchor", list(Anchor))
def test_later_bars_change_no_earlier_choice(tmp_path, anchor):
    close = noise(1200, 4)
    results = []
    for k, scale in enumerate((1.0, 3.0)):
        changed = close.copy()
        # From the middle of the sixth window's piece on, all is different.
        changed[800:] = changed[799] * np.exp(scale * np.log(close[800:] / close[799]) * (-1) ** k)
        store = Store(tmp_path / f"{anchor}{k}")
        store_bars(store, "NOISE", changed)
        results.append(walk(TREND, store, anchor=anchor, n_trades_min=1, purge=3))
    first, second = results
    early = [k for k, w in enumerate(first.windows) if w.in_stop <= 800]
    assert 3 < len(early) < len(first.windows)
    for k in early:
        assert first.chosen.rows[k] == second.chosen.rows[k]
        for name, found in first.in_sample[k].figures.items():
            np.testing.assert_array_equal(found, second.in_sample[k].figures[name])
    traded = [k for k, w in enumerate(first.windows) if w.out_stop <= 800]
    assert traded
    stop = first.windows[traded[-1]].out_stop - first.windows[0].out_start
    np.testing.assert_array_equal(first.chosen.equity[:stop], second.chosen.equity[:stop])
    # The change is no empty one: it is seen from where it begins.
    assert not np.array_equal(first.chosen.equity, second.chosen.equity)


def test_piece_out_of_sample_is_a_backtest_of_its_set_that_is_sold_at_the_end(tmp_path):
    store = noise_store(tmp_path, 1200, 6)
    study = walk(TREND, store, n_trades_min=1)
    document = load_document(TREND.rstrip()[:-1] + ", exit: {close_at_end: true}}\n")
    chain = study.chosen
    for k in (0, 4, 9):
        window, piece = study.windows[k], chain.pieces[k]
        first, last = study.sessions[window.out_start], study.sessions[window.out_stop - 1]
        alone_ = run_backtest(
            BacktestRequest(
                document,
                start=np.datetime64(int(first), "D").item(),
                end=np.datetime64(int(last), "D").item(),
                cash=chain.piece_cash[k],
                values=study.prepared.sets[chain.rows[k]],
            ),
            store,
        )
        run = alone_.sleeves[0].run
        assert piece.trades.tobytes() == run.trades.tobytes()
        assert piece.equity[-1] == run.record.equity[-1]


def test_capital_is_carried_from_piece_to_piece(tmp_path):
    study = walk(TREND, noise_store(tmp_path, 1200, 6), n_trades_min=1)
    chain = study.chosen
    returns = [piece_figures(study, chain, k)["total_return"] for k in range(10)]
    assert chain_figures(study, chain)["total_return"] == pytest.approx(
        np.prod(1.0 + np.array(returns)) - 1.0
    )
    for k in range(1, 10):
        start = study.windows[k].out_start - study.windows[0].out_start
        assert chain.piece_cash[k] == chain.equity[start - 1]
    assert len(chain.equity) == study.windows[-1].out_stop - study.windows[0].out_start


def test_window_without_a_set_stays_in_cash_and_all_without_one_is_refused(tmp_path):
    store = noise_store(tmp_path, 1200, 6)
    some = walk(TREND, store, n_trades_min=60)
    assert -1 in some.chosen.rows
    for k, row in enumerate(some.chosen.rows):
        if row < 0:
            assert piece_figures(some, some.chosen, k)["total_return"] == 0.0
    none = walk(TREND, store, n_trades_min=100_000)
    with pytest.raises(SpecError, match="at least 100000 trades"):
        require_window(none)


def test_purge_is_the_longest_trade_of_the_documents_own_values(tmp_path):
    # `signal` leaves at the open after one bar's close: held from Tuesday's open to Wednesday's.
    assert walk(SIGNAL, edge_store(tmp_path)).purge == 1


def test_peak_can_be_asked_for(tmp_path):
    store = noise_store(tmp_path, 1200, 8)
    plateau, peak = (walk(TREND, store, pick=pick, n_trades_min=1) for pick in Pick)
    assert plateau.chains["peak"].rows == peak.chosen.rows
    assert plateau.chosen.rows != peak.chosen.rows


def test_files_are_whole_and_the_same_for_the_same_study(tmp_path):
    store = noise_store(tmp_path / "store", 1200, 3)
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        study = walk(TREND, store)
        about = write_walk_forward(study, alone(study.trials), folder)
    names = sorted(path.name for path in folders[0].iterdir())
    assert names == [
        "equity.parquet", "study.html", "trades.parquet", "trials.parquet", "walk_forward.json",
        "windows.parquet",
    ]  # fmt: skip
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    assert json.loads((folders[0] / "walk_forward.json").read_text()) == about
    windows = pl.read_parquet(folders[0] / "windows.parquet")
    assert windows.height == 10
    assert windows["fast"].to_list() == [one["chosen"]["fast"] for one in about["windows"]]
    assert pl.read_parquet(folders[0] / "trials.parquet").height == 10 * about["n_sets"]
    equity = pl.read_parquet(folders[0] / "equity.parquet")
    assert equity["equity"][-1] == study.chosen.equity[-1]
    page = (folders[0] / "study.html").read_text()
    assert page.count("<script>") == 2
    assert "<script src" not in page
    assert "<link" not in page


def test_interrupted_analysis_leaves_nothing(tmp_path):
    store = noise_store(tmp_path, 1200, 3)
    document = load_document(TREND)

    def interrupt(done: int, total: int, label: str = "") -> None:
        raise KeyboardInterrupt

    walk(TREND, store)  # The first to load the bars keeps their sessions.
    before = sorted(Path(tmp_path).rglob("*"))
    with pytest.raises(KeyboardInterrupt):
        walk_forward(
            BacktestRequest(document), declared_values(document), store, progress=interrupt
        )
    assert sorted(Path(tmp_path).rglob("*")) == before


def test_several_instruments_share_the_capital_by_weights(tmp_path):
    store = noise_store(tmp_path, 1200, 3)
    store_bars(store, "LATE", noise(900, 9))
    document = load_document(TREND.replace("[NOISE]", "[NOISE, LATE]"))
    request = replace(BacktestRequest(document), cash=80_000.0)
    study = walk_forward(
        request, declared_values(document), store, WalkForwardOptions(n_trades_min=1)
    )
    assert study.prepared.cash == (40_000.0, 40_000.0)
    # LATE ends before the last windows do: its half waits in cash there.
    assert len(study.chosen.equity) == len(study.chosen.sessions)
    assert {s for piece in study.chosen.pieces for s in piece.symbols} == {"NOISE", "LATE"}
    assert set(study.chosen.pieces[-1].symbols) <= {"NOISE"}
