"""Kernels against values worked out by hand or printed in their sources."""

from __future__ import annotations

import numpy as np
import pytest

from trading.indicators.batch import compute
from trading.indicators.catalogue import INDICATORS, ROLLING

nan = np.nan


def series(name, params, x):
    table = INDICATORS if name in INDICATORS else ROLLING
    return compute(table[name], params, {"series": np.array(x, np.float64)})


def bars(name, params, rows, names="open high low close volume session"):
    columns = dict(zip(names.split(), np.array(rows, np.float64).T, strict=True))
    return compute(INDICATORS[name], params, columns)


def test_rsi_equals_the_well_known_worksheet():
    # The worksheet of StockCharts' ChartSchool for RSI(14), rounded there to two places.
    closes = [
        44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826,
        45.8931, 46.0328, 45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439,
    ]  # fmt: skip
    rsi = series("rsi", [14], closes)[0]
    assert np.isnan(rsi[:14]).all()
    np.testing.assert_allclose(rsi[14:], [70.53, 66.32, 66.55, 69.41, 66.36, 57.97], atol=0.01)


def test_ema_is_seeded_by_the_simple_average():
    # Seed (1 + 2 + 6) / 3 = 3, then 3 + (11 - 3) / 2 = 7.
    np.testing.assert_array_equal(series("ema", [3], [1, 2, 6, 11])[0], [nan, nan, 3, 7])


def test_nan_prefix_lets_an_average_of_an_rsi_start_on_its_first_number():
    closes = np.cumsum(np.random.default_rng(0).normal(size=60)) + 100
    rsi = series("rsi", [14], closes)[0]
    smooth = series("ema", [9], rsi)[0]
    assert np.isnan(smooth[:22]).all()
    assert smooth[22] == pytest.approx(rsi[14:23].mean(), rel=1e-14)


def test_wma_weights_the_latest_most():
    # (1 * 1 + 2 * 2 + 3 * 6) / 6
    assert series("wma", [3], [1, 2, 6])[0][2] == pytest.approx(23 / 6)


def test_vwap_starts_anew_with_each_session():
    rows = [
        # open high low close volume session: typical prices 10, 20, 30, 40
        (10, 10, 10, 10, 100, 1),
        (20, 20, 20, 20, 300, 1),
        (30, 30, 30, 30, 0, 2),
        (40, 40, 40, 40, 50, 2),
    ]
    # (10 * 100 + 20 * 300) / 400 = 17.5; the second session has no volume at first.
    np.testing.assert_array_equal(bars("vwap", [], rows)[0], [10.0, 17.5, nan, 40.0])


def test_aroon_counts_the_later_of_equal_highs():
    rows = [(5, 9, 1, 5), (5, 9, 2, 5), (5, 8, 3, 5), (5, 7, 4, 5)]
    up, down, oscillator = bars("aroon", [3], rows, "open high low close")
    # The high of 9 was last seen two bars ago: 100 * (3 - 2) / 3; the low three bars ago.
    assert up[3] == pytest.approx(100 / 3)
    assert down[3] == 0.0
    assert oscillator[3] == pytest.approx(100 / 3)


def test_true_range_reaches_from_the_last_close():
    rows = [(5, 6, 4, 5), (8, 9, 8, 8.5), (2, 3, 1, 2)]
    # 9 - 5 = 4 up, then 8.5 - 1 = 7.5 down.
    true_range = bars("true_range", [], rows, "open high low close")[0]
    np.testing.assert_array_equal(true_range, [nan, 4.0, 7.5])


def test_bollinger_bands_of_a_worked_window():
    # Mean 5, population variance 4 of the textbook's eight values.
    lower, middle, upper, width, percent = series("bbands", [8, 2], [2, 4, 4, 4, 5, 5, 7, 9])
    assert (lower[7], middle[7], upper[7]) == (1.0, 5.0, 9.0)
    assert width[7] == 160.0
    assert percent[7] == 1.0


def test_psar_turns_when_the_low_reaches_the_stop():
    rows = [(10, 10, 9, 9.5), (10, 11, 10, 11), (11, 12, 11, 12), (9, 9, 8, 8)]
    value, direction = bars("psar", [0.02, 0.2], rows, "open high low close")
    # Long from the first low; 9 + 0.02 * (11 - 9) is held down to it by that low, and the
    # second bar's. Turned, the stop is the highest high.
    np.testing.assert_array_equal(direction, [nan, 1.0, 1.0, -1.0])
    assert value[1] == 9.0
    assert value[2] == pytest.approx(9.04)
    assert value[3] == 12.0


def test_ichimoku_spans_come_from_base_minus_one_bars_ago():
    n = 30
    high = np.arange(n, dtype=np.float64) + 1.0
    low = np.arange(n, dtype=np.float64) - 1.0
    spans = compute(INDICATORS["ichimoku"], [2, 4, 6], {"high": high, "low": low})
    # Of a straight line the middle of the last k bars lies (k - 1) / 2 bars back.
    t = 20.0
    assert spans[:, 20].tolist() == [t - 0.5, t - 1.5, t - 3 - 1.0, t - 3 - 2.5]


def test_ref_counts_bars_and_keeps_nan():
    np.testing.assert_array_equal(series("ref", [2], [1, nan, 3, 4])[0], [nan, nan, 1, nan])


def test_a_hammer_and_a_hanging_man_differ_by_where_they_stand():
    plain = [(10.0 - 0.1 * i, 10.2 - 0.1 * i, 9.6 - 0.1 * i, 9.7 - 0.1 * i) for i in range(12)]
    # A body of 0.1, a lower shadow of 1.0 and no upper one, at the lows of the fall.
    low = plain[-1][2]
    rows = [*plain, (low + 0.0, low + 0.1, low - 1.0, low + 0.1)]
    assert bars("cdl_hammer", [], rows, "open high low close")[0][-1] == 100.0
    assert bars("cdl_hangingman", [], rows, "open high low close")[0][-1] == 0.0
    high = plain[-1][1]
    rows = [*plain, (high + 0.2, high + 0.3, high - 0.8, high + 0.3)]
    assert bars("cdl_hammer", [], rows, "open high low close")[0][-1] == 0.0
    assert bars("cdl_hangingman", [], rows, "open high low close")[0][-1] == -100.0
