"""Monte Carlo: what must stay stays, what is spoiled is run by the engine, a seed decides."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest

from foundation.errors import DataError, SpecError
from market_data.columns import BarColumns
from research.backtest import BacktestRequest, run_backtest
from research.entry_noise import _NoisySleeve, noise_paths, spread_of
from research.monte_carlo import monte_carlo
from research.monte_carlo_files import write_monte_carlo
from research.monte_carlo_paths import MonteCarloOptions, points_of
from research.trade_orders import order_paths
from research.writing import write_result
from tests.research.study_bars import TREND, noise, noise_store, store_bars
from trading.document import load_document
from trading.dtypes import TRUE
from trading.instruments import Instrument
from trading.sleeve import run_sleeve

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


@pytest.mark.parametrize(
    ("n", "n_paths", "expected"), [(1000, 5_000, 400), (1000, 100_000, 100), (3, 100_000, 3)]
)
def test_bands_of_many_paths_keep_fewer_points(n, n_paths, expected):
    points = points_of(n, n_paths)
    assert len(points) == expected
    assert (points[0], points[-1]) == (0, n - 1)


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


def noisy_run(document, store, options, seed=1):
    """Return a backtest's sleeve, one run of it with noise, and the prices that entries traded at."""
    done = run_backtest(BacktestRequest(load_document(document)), store)
    sleeve = done.sleeves[0]
    noisy = _NoisySleeve(sleeve, replace(options, skip=0.0, delay=0.0))
    run = noisy.run(np.random.default_rng(seed))
    bought = noisy._feed.matrix[noisy._own["buy"] :][:4]
    return sleeve, run, bought


def test_entries_trade_at_moved_prices_and_all_else_follows_from_them(store):
    sleeve, run, bought = noisy_run(TREND, store, MonteCarloOptions(noise_bps=50.0))
    opened, close = sleeve.feed.matrix[0], sleeve.feed.matrix[3]
    assert not np.array_equal(bought[0], opened)
    cash = 100_000.0
    for entry, leave in zip(run.fills[::2], run.fills[1::2], strict=False):
        # Decided at the close before, of the equity that is left: 95 % of it in whole lots (rule 10).
        assert entry["lots"] == int(0.95 * cash / close[entry["i_bar"] - 1])
        assert entry["price"] == bought[0, entry["i_bar"]]
        assert leave["price"] == opened[leave["i_bar"]]
        cash += float(entry["lots"]) * (leave["price"] - entry["price"])
    held = len(run.fills) % 2
    assert len(run.fills) > 40
    if not held:
        assert run.record.equity[-1] == pytest.approx(cash, rel=1e-12)
    exact = len(sleeve.run.trades)
    assert len(run.trades) == exact


STOPPED = TREND.replace(
    "execution: {size: {equity_fraction: 0.95}}",
    "execution: {size: {equity_fraction: 0.95}, exit: {stop_loss: 2.0}}",
)
LIMITED = TREND.replace(
    "execution: {size: {equity_fraction: 0.95}}",
    "execution: {size: {equity_fraction: 0.95}, "
    "entry: {type: limit, price: close - 0.5, cancel_after_bars: 2}}",
)


def test_stops_stand_at_their_distance_from_the_entry_as_it_became(store):
    sleeve, run, _ = noisy_run(STOPPED, store, MonteCarloOptions(noise_bps=50.0))
    opened, low = sleeve.feed.matrix[0], sleeve.feed.matrix[2]
    stopped = 0
    for entry, leave in zip(run.fills[::2], run.fills[1::2], strict=False):
        stop, bar = entry["price"] - 2.0, leave["i_bar"]
        if leave["price"] != opened[bar]:
            assert leave["price"] == pytest.approx(stop, rel=1e-12)
            stopped += 1
        # No bar before, after the one that entered, traded at the stop.
        assert (low[entry["i_bar"] + 1 : bar] > stop).all()
    assert stopped > 10


@pytest.mark.parametrize("far", [False, True])
def test_limits_are_reached_where_the_moved_prices_are(store, far):
    # The far one works for many bars, which a resting engine passes over unless it knows better.
    document = LIMITED
    if far:
        document = LIMITED.replace("close - 0.5", "close - 4").replace(", cancel_after_bars: 2", "")
    sleeve, run, bought = noisy_run(document, store, MonteCarloOptions(noise_range=2.0))
    entries = run.fills[run.fills["side"] > 0]
    bars = entries["i_bar"]
    assert (entries["price"] >= bought[2, bars]).all()
    # Some are reached by the moved prices alone.
    by_noise = entries["price"] < sleeve.feed.matrix[2, bars]
    assert by_noise.any()
    every = run_sleeve_of(sleeve, MonteCarloOptions(noise_range=2.0))
    np.testing.assert_array_equal(every.fills["price"], run.fills["price"])
    plain = sleeve.run.fills[sleeve.run.fills["side"] > 0]
    assert set(plain["i_bar"]) != set(bars)


def run_sleeve_of(sleeve, options):
    """Return the same draw run over every bar, none passed over."""
    noisy = _NoisySleeve(sleeve, replace(options, skip=0.0, delay=0.0))
    noisy.run(np.random.default_rng(1))
    return run_sleeve(
        noisy._plan, noisy._feed, sleeve.cash, first_bar=sleeve.loaded.i_start, every_bar=True
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (MonteCarloOptions(noise_bps=20.0), lambda p: 20e-4 * p[0]),
        (MonteCarloOptions(noise_bps=0.0, noise_ticks=3.0), lambda p: np.full(p.shape[1], 0.75)),
        (MonteCarloOptions(noise_bps=0.0, noise_range=0.5), lambda p: 0.5 * (p[1] - p[2])),
        (
            MonteCarloOptions(noise_bps=20.0, noise_ticks=3.0),
            lambda p: np.hypot(20e-4 * p[0], 0.75),
        ),
    ],
)
def test_noise_is_stated_in_points_ticks_or_the_bars_range(tmp_path, options, expected):
    own = noise_store(tmp_path, 300, 4)
    own.write_instrument(Instrument("NOISE", calendar="24/5", tick=0.25))
    sleeve = run_backtest(BacktestRequest(load_document(TREND)), own).sleeves[0]
    found = spread_of(sleeve, options)
    np.testing.assert_allclose(found, expected(sleeve.feed.matrix), rtol=1e-12)
    draws = _NoisySleeve(sleeve, replace(options, skip=0.0, delay=0.0))
    draws.run(np.random.default_rng(3))
    moved = draws._feed.matrix[draws._own["buy"]] - sleeve.feed.matrix[0]
    # Of 300 standard normal draws the deviation is within a tenth of 1.
    assert (moved / found).std() == pytest.approx(1.0, abs=0.1)


def test_noise_in_ticks_needs_a_tick(store):
    done = run_backtest(BacktestRequest(load_document(TREND)), store)
    with pytest.raises(SpecError, match="NOISE has no tick to state noise in"):
        noise_paths(done, MonteCarloOptions(noise_ticks=1.0))


SHORT = """
name: both
timeframe: 1d
instruments: [NOISE]
enter_long: close > sma(close, 20)
exit_long: close < sma(close, 20)
enter_short: close < sma(close, 20)
exit_short: close > sma(close, 20)
execution: {size: {equity_fraction: 0.5}, exit: {stop_loss: 1.5}}
"""


def test_of_a_strategy_that_goes_both_ways_only_bars_with_entries_are_moved(store):
    sleeve, run, bought = noisy_run(SHORT, store, MonteCarloOptions(noise_bps=50.0))
    opened = sleeve.feed.matrix[0]
    decided = sleeve.feed.flags[sleeve.linked.condition_rows["enter_long"]] == TRUE
    moved = bought[0] != opened
    assert not moved[0]
    assert (moved[1:] <= decided[:-1]).all()
    assert moved[1:][decided[:-1]].mean() > 0.99
    longs = run.fills[(run.fills["side"] > 0) & (run.fills["role"] == 0)]
    assert len(longs) > 20
    assert (longs["price"] == bought[0, longs["i_bar"]]).all()
    shorts = run.fills[(run.fills["side"] < 0) & (run.fills["role"] == 0)]
    assert (shorts["price"] != opened[shorts["i_bar"]]).all()


def test_prices_are_moved_where_minutes_decide_within_the_bar(tmp_path):
    own = noise_store(tmp_path, 200, 4)
    columns, _ = own.read_columns("NOISE", "1d")
    # Each day as four six-hour bars would be, at minutes of the day: open, low, high, close.
    path = columns.prices[[0, 2, 1, 3]]
    minutes = np.repeat(columns.ts, 4) + np.tile(np.arange(4), columns.n_bars) * 60 * 10**9
    flat = path.T.ravel()
    own.write_bars(
        "NOISE", "1m",
        BarColumns(minutes, np.repeat(columns.session, 4), np.vstack([flat] * 4 + [flat * 0 + 1e5])),
        calendar="24/5", source="made",
    )  # fmt: skip
    by_minute = TREND.replace("0.95}}", "0.95}, intrabar: 1m}")
    sleeve, run, bought = noisy_run(by_minute, own, MonteCarloOptions(noise_bps=50.0))
    entries = run.fills[run.fills["side"] > 0]
    assert len(entries) > 3
    assert (entries["price"] == bought[0, entries["i_bar"]]).all()
    assert (entries["price"] != sleeve.feed.matrix[0, entries["i_bar"]]).all()
    leaves = run.fills[run.fills["side"] < 0]
    assert (leaves["price"] == sleeve.feed.matrix[0, leaves["i_bar"]]).all()


def test_price_noise_spreads_the_equity_by_what_each_trade_paid(store):
    done = run_backtest(BacktestRequest(load_document(TREND)), store)
    paths = noise_paths(done, MonteCarloOptions(n_noise=200, skip=0.0, delay=0.0, noise_bps=10.0))
    run = done.sleeves[0].run
    assert (paths.n_trades == len(run.trades)).all()
    # To first order: independent draws on each trade's notional, whose variances add up.
    notional = run.trades["entry_notional"] * float(done.sleeves[0].linked.plan["policy"][0]["lot"])
    expected = 10e-4 * np.sqrt((notional**2).sum())
    assert paths.final_equity.std() == pytest.approx(expected, rel=0.15)


def test_result_without_warm_up_is_run_again_as_it_was(store, tmp_path):
    request = BacktestRequest(load_document(TREND), start=date(2012, 1, 2), warmup=False)
    write_result(run_backtest(request, store), tmp_path)
    study = monte_carlo(
        tmp_path, store, replace(QUICK, n_noise=1, skip=0.0, delay=0.0, noise_bps=0)
    )
    assert study.kinds["noise"].final_equity[0] == study.result.summary.final_equity


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
