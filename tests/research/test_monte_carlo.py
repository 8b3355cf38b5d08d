"""Monte Carlo: what must stay stays, what is spoiled is run by the engine, a seed decides."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from foundation.errors import DataError, SpecError
from research.backtest import BacktestRequest, run_backtest
from research.monte_carlo import (
    MonteCarloOptions,
    monte_carlo,
    noise_paths,
    order_paths,
)
from research.monte_carlo_files import write_monte_carlo
from research.writing import write_result
from tests.research.study_bars import TREND, noise, noise_store, store_bars
from trading.document import load_document

QUICK = MonteCarloOptions(n_orders=400, n_noise=10)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return noise_store(tmp_path_factory.mktemp("noise"), 1500, 4)


@pytest.fixture(scope="module")
def result(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "trend"
    write_result(run_backtest(BacktestRequest(load_document(TREND)), store), folder)
    return folder


def test_another_order_keeps_the_final_equity_and_changes_the_drawdown(result):
    study = monte_carlo(result, options=replace(QUICK, n_noise=0))
    shuffled = study.kinds["shuffled"]
    np.testing.assert_allclose(shuffled.final_equity, study.actual_equity[-1], rtol=1e-12)
    assert np.ptp(shuffled.max_drawdown) > 0.01
    drawn = study.kinds["drawn"]
    assert np.ptp(drawn.final_equity) > 0.01 * study.actual_equity[-1]
    assert (np.diff(drawn.bands, axis=0) >= 0.0).all()


def test_three_trades_worked_by_hand():
    # Up by half, down by half, up by a tenth: 100 -> 150 -> 75 -> 82.5 and all other orders.
    shares = np.array([0.5, -0.5, 0.1])
    options = MonteCarloOptions(n_orders=2000, ruin=0.5)
    paths = order_paths(shares, 100.0, options, np.random.default_rng(1), replace=False)
    np.testing.assert_allclose(paths.final_equity, 82.5)
    # The loss comes from a peak in any order, so the drawdown is never less than a half;
    # 100 -> 50 is a loss of half the start, which is ruin here; it needs the loss to come first.
    np.testing.assert_allclose(paths.max_drawdown, 0.5)
    assert paths.ruined.mean() == pytest.approx(1 / 3, abs=0.04)
    drawn = order_paths(shares, 100.0, options, np.random.default_rng(1), replace=True)
    # Three losses in a row, one in 27 paths, leave an eighth.
    assert (drawn.final_equity == 12.5).mean() == pytest.approx(1 / 27, abs=0.015)


def test_a_trade_that_loses_more_than_all_leaves_nothing():
    paths = order_paths(
        np.array([0.1, -1.5]), 100.0, MonteCarloOptions(n_orders=10), np.random.default_rng(0),
        replace=False,
    )  # fmt: skip
    assert (paths.final_equity == 0.0).all()
    assert paths.ruined.all()


def test_noise_of_nothing_gives_the_backtest_in_every_path(store):
    done = run_backtest(BacktestRequest(load_document(TREND)), store)
    still = MonteCarloOptions(n_noise=3, skip=0.0, delay=0.0, noise_bps=0.0)
    paths = noise_paths(done, still)
    assert (paths.final_equity == done.sleeves[0].run.record.equity[-1]).all()
    assert (paths.n_trades == len(done.sleeves[0].run.trades)).all()


def test_missed_entries_are_not_traded_and_late_ones_enter_later(store):
    done = run_backtest(BacktestRequest(load_document(TREND)), store)
    none = noise_paths(done, MonteCarloOptions(n_noise=2, skip=1.0, delay=0.0))
    assert (none.n_trades == 0).all()
    assert (none.final_equity == 100_000.0).all()
    # Each episode late by two bars is a backtest whose entry has been true for two bars before.
    late = noise_paths(
        done, MonteCarloOptions(n_noise=1, skip=0.0, delay=1.0, delay_bars=2, noise_bps=0.0)
    )
    waits = TREND.replace(
        "enter_long: sma(close, $fast) > sma(close, $slow)",
        "enter_long: count(sma(close, $fast) > sma(close, $slow), 3) == 3",
    )
    expected = run_backtest(BacktestRequest(load_document(waits)), store)
    assert late.n_trades[0] == len(expected.sleeves[0].run.trades)
    assert late.final_equity[0] == expected.sleeves[0].run.record.equity[-1]


def test_price_noise_alone_keeps_the_trades_and_spreads_the_equity(store):
    done = run_backtest(BacktestRequest(load_document(TREND)), store)
    paths = noise_paths(done, MonteCarloOptions(n_noise=200, skip=0.0, delay=0.0, noise_bps=10.0))
    run = done.sleeves[0].run
    assert (paths.n_trades == len(run.trades)).all()
    # Independent draws on each trade's notional: their variances add up.
    notional = run.trades["entry_notional"] * float(done.sleeves[0].linked.plan["policy"][0]["lot"])
    expected = 10e-4 * np.sqrt((notional**2).sum())
    assert paths.final_equity.std() == pytest.approx(expected, rel=0.15)


def test_same_seed_gives_the_same_files_and_another_does_not(result, store, tmp_path):
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        about = write_monte_carlo(
            monte_carlo(result, store, replace(QUICK, seed=seed)), tmp_path / name
        )
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["bands.parquet", "monte_carlo.json", "paths.parquet", "study.html"]
    for name in names:
        one, two, three = (tmp_path / k / name for k in ("one", "two", "three"))
        assert one.read_bytes() == two.read_bytes()
        assert one.read_bytes() != three.read_bytes()
    assert json.loads((tmp_path / "three" / "monte_carlo.json").read_text()) == about
    counts = pl.read_parquet(tmp_path / "one" / "paths.parquet")["kind"].value_counts().sort("kind")
    assert counts.rows() == [("drawn", 400), ("noise", 10), ("shuffled", 400)]


def test_result_whose_bars_have_changed_is_refused(tmp_path):
    store = noise_store(tmp_path / "store", 600, 4)
    folder = tmp_path / "result"
    write_result(run_backtest(BacktestRequest(load_document(TREND)), store), folder)
    store_bars(store, "NOISE", noise(600, 5))
    with pytest.raises(DataError, match="its bars or the engine have changed"):
        monte_carlo(folder, store, QUICK)


def test_entry_that_asks_for_the_position_can_not_be_spoiled(store, tmp_path):
    text = TREND.replace("> sma(close, $slow)", "> sma(close, $slow) and position == 0")
    write_result(run_backtest(BacktestRequest(load_document(text)), store), tmp_path / "r")
    with pytest.raises(SpecError, match="enter_long: asks for the position"):
        monte_carlo(tmp_path / "r", store, QUICK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"skip": 0.7, "delay": 0.7}, "must add up to at most 1, got 1.4"),
        ({"n_orders": 0}, "orders: must be from 1 to 100,000, got 0"),
        ({"ruin": 1.5}, "ruin: must be from 0.0 to 1.0, got 1.5"),
    ],
)
def test_wrong_options_are_refused(result, options, message):
    with pytest.raises(SpecError, match=message):
        monte_carlo(result, options=MonteCarloOptions(**options))
