"""Sweeps: which sets there are, and that a row is the backtest of its values."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import SpecError
from market_data.columns import BarColumns
from market_data.sample_set import load_sample
from market_data.store import Store
from research.backtest import BacktestRequest, run_backtest
from research.figures import CoreFigures
from research.parameter_sets import choose_sets, count_sets, declared_values, read_values
from research.sweep_files import write_sweep
from research.sweeping import best_sets, sweep_backtests
from research.writing import portfolio_curve, summarise_backtest
from trading.document import load_document
from trading.instruments import Instrument

LADDER = """
name: ladder
timeframe: 1d
instruments: [AAPL]
parameters:
  length: {default: 14, low: 2, high: 30, step: 1}
  oversold: {default: 35, low: 10, high: 45, step: 5}
  step: {default: 0.5, low: 0.1, high: 2, step: 0.1}
indicators:
  rsi: rsi(close, $length)
  atr: atr(14)
  trend: ema(close, 10) @ 1w
enter_long: rsi < $oversold and close > trend * 0.9
exit_long: rsi > 70
execution:
  entry: {type: limit, price: close - 0.25 * atr, time_in_force: gtc, cancel_after_bars: 3}
  orders: {count: 3, step: $step * atr, weights: [1, 1, 2]}
  size: {risk_fraction: 0.01}
  exit:
    stop_loss: 2 * atr
    profit_target:
      - {at: 3 * atr, close: 0.5}
      - {at: 6 * atr, close: 0.5}
    trailing_stop: 2.5 * atr
costs: {commission: {per_share: 0.005, minimum: 1.0}, slippage_bps: 1.0}
"""
VALUES = {"length": (3.0, 9.0, 14.0), "oversold": (30.0, 45.0), "step": (0.3, 1.1)}
MINUTES = """
name: minutes
timeframe: 30m
instruments: [SIM, SIM2]
parameters:
  length: {default: 10, low: 2, high: 30, step: 1}
indicators:
  rsi: rsi(close, $length)
enter_long: rsi < 40
exit_long: rsi > 60
execution: {size: {equity_fraction: 0.9}}
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store(tmp_path_factory.mktemp("home"))
    load_sample(made)
    columns, series = made.read_columns("SIM", "1m")
    made.write_instrument(Instrument("SIM2", calendar=series.calendar))
    # Other prices, or adding two sleeves up would be the same as doubling one.
    other = replace(columns, prices=columns.prices[:, ::-1].copy(), bid=None, ask=None)
    made.write_bars("SIM2", "1m", other, calendar=series.calendar, source="SIM backwards")
    return made


def figures_of_backtest(request: BacktestRequest, store: Store) -> dict[str, object]:
    done = run_backtest(request, store)
    summary = summarise_backtest(done, portfolio_curve(done))
    return {spec.name: getattr(summary, spec.name) for spec in fields(CoreFigures)}


def assert_rows_equal_backtests(
    request: BacktestRequest,
    values: dict[str, tuple[float, ...]],
    store: Store,
) -> None:
    """Compare all rows with backtests."""
    sweep = sweep_backtests(request, values, store)
    assert len(sweep.sets) == count_sets(values)
    traded = 0
    for one, figures in zip(sweep.sets, sweep.figures, strict=True):
        expected = figures_of_backtest(replace(request, values={**request.values, **one}), store)
        # Equal as floats are: a row that is off by the last bit fails.
        assert figures.as_record() == expected, one
        traded += figures.n_trades
    assert traded > 0
    assert len({figures.final_equity for figures in sweep.figures}) > 1


def test_row_of_a_ladder_equals_its_backtest_in_every_bit(store: Store) -> None:
    request = BacktestRequest(load_document(LADDER), start=date(2005, 1, 3), cash=50_000.0)
    assert_rows_equal_backtests(request, VALUES, store)


def test_row_over_several_instruments_equals_its_backtest(store: Store) -> None:
    request = BacktestRequest(
        load_document(LADDER), symbols=("AAPL", "GOOG", "FB"), values={"step": 0.7}
    )
    values = {"length": (5.0, 14.0), "oversold": (40.0, 45.0)}
    assert_rows_equal_backtests(request, values, store)


def test_row_over_minutes_of_several_instruments_equals_its_backtest(store: Store) -> None:
    request = BacktestRequest(load_document(MINUTES), end=date(2024, 1, 31))
    assert_rows_equal_backtests(request, {"length": (5.0, 10.0)}, store)


# Volume is the signal: two millions buy, three millions sell, each at the next open.
TAKING_TURNS = """
name: taking-turns
timeframe: {timeframe}
instruments: [EARLY, LATE]
parameters:
  quantity: {{default: 100, low: 100, high: 300, step: 100}}
enter_long: volume == 2000000
exit_long: volume == 3000000
execution: {{size: {{quantity: $quantity}}}}
"""
N_TURN_BARS = 10


def two_that_take_turns(directory: Path, timeframe: str) -> Store:
    """Store two instruments at a price of 100; one is held before the other is."""
    made = Store(directory)
    day, minute = 86_400 * 10**9, 60 * 10**9
    number = np.arange(N_TURN_BARS)
    # Two weeks from Monday, 4 January 2010, or a morning of half hours; 14:30 UTC opens.
    sessions = 14_613 + np.where(number < 5, number, number + 2)
    times = sessions * day + 870 * minute
    if timeframe == "30m":
        sessions = np.full(N_TURN_BARS, sessions[0])
        times = times[0] + number * 30 * minute
    for symbol, bought in (("EARLY", 1), ("LATE", 5)):
        prices = np.full((5, N_TURN_BARS), 100.0)
        prices[4] = 1e6
        prices[4, bought], prices[4, bought + 2] = 2e6, 3e6
        made.write_instrument(Instrument(symbol, calendar="XNYS"))
        made.write_bars(
            symbol, timeframe, BarColumns(times, sessions, prices), calendar="XNYS", source="made"
        )
    return made


@pytest.mark.parametrize("timeframe", ["1d", "30m"])
def test_lowest_cash_of_two_sleeves_is_that_of_their_sum_and_not_the_sum_of_their_lowest(
    tmp_path: Path, timeframe: str
) -> None:
    made = two_that_take_turns(tmp_path, timeframe)
    request = BacktestRequest(load_document(TAKING_TURNS.format(timeframe=timeframe)))
    done = run_backtest(request, made)
    summary = summarise_backtest(done, portfolio_curve(done))
    assert summary.n_trades == 2
    # Each has 50,000 and buys for 10,000, but never while the other holds.
    assert [one.lowest_cash for one in summary.per_instrument] == [40_000.0, 40_000.0]
    assert summary.lowest_cash == 90_000.0
    sweep = sweep_backtests(request, {"quantity": (100.0, 300.0)}, made)
    together = [one.as_record()["lowest_cash"] for one in sweep.figures]
    assert together == [90_000.0, 70_000.0]


def test_lowest_cash_of_sleeves_that_never_spend_is_the_starting_cash(tmp_path: Path) -> None:
    made = two_that_take_turns(tmp_path, "1d")
    text = TAKING_TURNS.format(timeframe="1d").replace("2000000", "5000000")
    done = run_backtest(BacktestRequest(load_document(text), cash=70_000.0), made)
    assert summarise_backtest(done, portfolio_curve(done)).lowest_cash == 70_000.0


def test_files_have_a_row_for_each_set_and_say_what_was_run(store: Store, tmp_path: Path) -> None:
    request = BacktestRequest(load_document(LADDER), values={"step": 0.7})
    values = {"length": (5.0, 14.0), "oversold": (15.0, 40.0)}
    sweep = sweep_backtests(request, values, store)
    about = write_sweep(sweep, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "sweep.json").read_text()) == about
    assert about["parameters"] == ["length", "oversold"]
    assert about["fixed"] == {"step": 0.7}
    assert about["n_sets"] == 4
    rows = pq.read_table(tmp_path / "out" / "sweep.parquet").to_pylist()
    assert [(row["length"], row["oversold"]) for row in rows] == [
        (5.0, 15.0), (5.0, 40.0), (14.0, 15.0), (14.0, 40.0),
    ]  # fmt: skip
    for row, figures in zip(rows, sweep.figures, strict=True):
        assert {name: row[name] for name in figures.as_record()} == figures.as_record()
    first = (tmp_path / "out" / "sweep.parquet").read_bytes()
    write_sweep(sweep_backtests(request, values, store), tmp_path / "again")
    assert (tmp_path / "again" / "sweep.parquet").read_bytes() == first


def test_best_sets_are_those_with_the_highest_figure_or_the_lowest_drawdown(store: Store) -> None:
    request = BacktestRequest(load_document(LADDER))
    sweep = sweep_backtests(request, {"length": (3.0, 9.0, 14.0, 20.0)}, store)
    equity = [figures.final_equity for figures in sweep.figures]
    assert best_sets(sweep, "final_equity", 1) == [equity.index(max(equity))]
    depth = [figures.max_drawdown for figures in sweep.figures]
    assert best_sets(sweep, "max_drawdown", 1) == [depth.index(min(depth))]
    with pytest.raises(SpecError, match="unknown figure 'luck'"):
        best_sets(sweep, "luck", 1)


def test_sets_that_do_not_fit_together_are_left_out_with_the_reason(store: Store) -> None:
    text = LADDER.replace("rsi(close, $length)", "macd(close, $length, 10, 9)")
    request = BacktestRequest(load_document(text.replace("default: 14", "default: 5")))
    sweep = sweep_backtests(request, {"length": (5.0, 9.0, 12.0)}, store)
    assert [one["length"] for one in sweep.sets] == [5.0, 9.0]
    assert len(sweep.skipped) == 1
    assert sweep.skipped[0].startswith("length=12: ")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "at least one parameter to vary"),
        ({"lenght": (5.0, 6.0)}, "unknown parameter `lenght`"),
        ({"length": (5.0, 31.0)}, "parameters.length: 31 is not within 2 to 30"),
        ({"oversold": (30.0, 31.0)}, "31 is not 10 plus whole steps of 5"),
    ],
)
def test_wrong_values_are_refused(
    store: Store, values: dict[str, tuple[float, ...]], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        sweep_backtests(BacktestRequest(load_document(LADDER)), values, store)


# Which sets.


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("5:30:5", (5.0, 10.0, 15.0, 20.0, 25.0, 30.0)),
        ("5:29:5", (5.0, 10.0, 15.0, 20.0, 25.0)),
        ("0.1:0.5:0.1", (0.1, 0.2, 0.3, 0.4, 0.5)),
        ("-1:1:1", (-1.0, 0.0, 1.0)),
        ("20,25,30", (20.0, 25.0, 30.0)),
        ("7", (7.0,)),
        ("7,7,8", (7.0, 8.0)),
    ],
)
def test_values_are_read_as_a_person_writes_them(text: str, values: tuple[float, ...]) -> None:
    assert read_values(text) == values


@pytest.mark.parametrize("text", ["", "a", "1:2", "1:2:0", "3:2:1", "1:2:x", "1,,2", "0:1:1e-9"])
def test_values_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(SpecError):
        read_values(text)


def test_declared_values_reach_from_low_to_high() -> None:
    found = declared_values(load_document(LADDER))
    assert found["oversold"] == (10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0)
    assert found["length"] == tuple(float(n) for n in range(2, 31))


GRIDS = st.dictionaries(
    st.sampled_from("abcd"),
    st.lists(st.integers(0, 50).map(float), min_size=1, max_size=5, unique=True).map(tuple),
    min_size=1,
    max_size=3,
)


@given(GRIDS)
def test_grid_has_every_combination_once(values: dict[str, tuple[float, ...]]) -> None:
    sets = choose_sets(values)
    assert len(sets) == math.prod(len(found) for found in values.values())
    assert len({tuple(sorted(one.items())) for one in sets}) == len(sets)
    assert all(one[name] in values[name] for one in sets for name in values)


@given(GRIDS, st.integers(1, 30), st.integers(0, 5))
def test_drawn_sets_are_distinct_sets_of_the_grid_in_its_order(
    values: dict[str, tuple[float, ...]], n_random: int, seed: int
) -> None:
    grid = choose_sets(values)
    drawn = choose_sets(values, n_random=n_random, seed=seed)
    assert len(drawn) == min(n_random, len(grid))
    places = [grid.index(one) for one in drawn]
    assert places == sorted(set(places))
    assert choose_sets(values, n_random=n_random, seed=seed) == drawn


def test_seed_decides_which_sets_are_drawn() -> None:
    values = {"a": tuple(float(n) for n in range(100)), "b": tuple(float(n) for n in range(100))}
    drawn = [choose_sets(values, n_random=20, seed=seed) for seed in (1, 2)]
    assert drawn[0] != drawn[1]


def test_grid_that_is_too_large_is_refused() -> None:
    values = {name: tuple(float(n) for n in range(1000)) for name in "ab"}
    with pytest.raises(SpecError, match=r"1,000,000 sets.*at random"):
        choose_sets(values)
    assert len(choose_sets(values, n_random=7)) == 7
