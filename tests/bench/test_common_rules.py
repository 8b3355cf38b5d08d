"""The bare loop keeps the rules that every side of a comparison is set to."""

from __future__ import annotations

import numpy as np
import pytest
import talib

from bench.bare_loop import rsi_nb, run_sets_nb, slow_k_nb
from bench.bars import minute_bars

# Stochastic level, stop, target, fee, lot, cash.
RULES = (20.0, 0.01, 0.02, 0.0005, 1e-8, 10_000.0)


def run_one(rows, rsi, k, x=30.0, y=70.0, rules=RULES):
    """Run one set over (open, high, low, close) rows; return trades and cash."""
    prices = np.ascontiguousarray(np.array([[*row, 1.0] for row in rows]).T)
    bars, fills = np.zeros((1, 9, 2), np.int64), np.zeros((1, 9, 2))
    n_trades, cash = np.zeros(1, np.int64), np.zeros(1)
    run_sets_nb(
        *(prices, np.array(rsi), np.array(k), np.array([[x, y]]), 0, 1, rules),
        *(bars, fills, n_trades, cash),
    )
    n = n_trades[0]
    return [(*bars[0, i], *fills[0, i]) for i in range(n)], cash[0]


FLAT = (100.0, 100.5, 99.5, 100.0)
NEVER = 50.0


def test_entry_decided_at_close_fills_at_next_open_and_exit_likewise():
    rows = [FLAT, (100.2, 100.5, 99.5, 100.0), FLAT, (101.0, 101.0, 100.9, 101.0), FLAT]
    trades, cash = run_one(rows, rsi=[20, 50, 80, 50, 50], k=[10, 10, 10, 50, 50])
    assert trades == [(1, 3, 100.2, 101.0)]
    quantity = 10_000.0 / (100.2 * 1.0005)
    assert cash == pytest.approx(quantity * 101.0 * 0.9995, rel=1e-9)


def test_stop_stands_one_percent_of_the_deciding_close_under_the_fill():
    rows = [FLAT, (100.4, 100.5, 100.0, 100.2), (100.2, 100.3, 99.0, 99.2), FLAT]
    trades, _ = run_one(rows, rsi=[20, NEVER, NEVER, NEVER], k=[10.0] * 4)
    assert trades == [(1, 2, 100.4, pytest.approx(99.4))]


def test_stop_works_in_the_entry_bar():
    trades, _ = run_one([FLAT, (100, 100, 98, 99), FLAT], rsi=[20, 50, 50], k=[10.0] * 3)
    assert trades == [(1, 1, 100.0, pytest.approx(99.0))]


def test_bar_that_opens_beyond_the_stop_fills_at_its_open():
    trades, _ = run_one([FLAT, FLAT, (97.0, 98, 96, 97), FLAT], rsi=[20, 50, 50, 50], k=[10.0] * 4)
    assert trades == [(1, 2, 100.0, 97.0)]


def test_stop_goes_first_when_a_bar_holds_both():
    trades, _ = run_one([FLAT, (100, 103, 98, 100), FLAT], rsi=[20, 50, 50], k=[10.0] * 3)
    assert trades == [(1, 1, 100.0, pytest.approx(99.0))]


def test_target_needs_the_price_to_trade_through_it():
    touched = (101.0, 102.0, 100.9, 101.5)
    through = (101.0, 102.1, 100.9, 101.5)
    trades, _ = run_one([FLAT, FLAT, touched, through, FLAT], rsi=[20] + [50] * 4, k=[10.0] * 5)
    assert trades == [(1, 3, 100.0, pytest.approx(102.0))]


def test_new_entry_may_be_decided_at_the_close_of_the_bar_whose_exit_filled():
    rows = [FLAT, FLAT, (100, 100.1, 98.0, 98.5), (98.6, 98.7, 98.4, 98.5), FLAT]
    trades, _ = run_one(rows, rsi=[20, 50, 20, 80, 50], k=[10.0] * 5)
    assert [trade[:2] for trade in trades] == [(1, 2), (3, 4)]


def test_open_position_at_the_end_is_no_trade_and_marked_to_the_last_close():
    trades, cash = run_one([FLAT, FLAT, (100, 101, 100, 101.0)], rsi=[20, 50, 50], k=[10.0] * 3)
    assert trades == []
    assert cash == pytest.approx(10_000.0 / 1.0005 * 1.01, rel=1e-9)


def test_indicators_of_the_bare_loop_are_those_of_talib():
    prices = minute_bars(3000)
    rsi = rsi_nb(prices[3], 14)
    k = slow_k_nb(prices[1], prices[2], prices[3], 14, 3)
    np.testing.assert_allclose(rsi, talib.RSI(prices[3], 14), rtol=1e-9)
    # TA-Lib starts %K where %D is known, two bars after ours.
    expected, _ = talib.STOCH(prices[1], prices[2], prices[3], 14, 3, 0, 3, 0)
    np.testing.assert_allclose(k[17:], expected[17:], rtol=1e-7, atol=1e-9)
