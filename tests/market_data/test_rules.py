"""What a bar must be: the import and the checks of quality ask the same rules."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from foundation.errors import DataError
from market_data.checks import check_prices, check_quotes
from market_data.columns import BarColumns
from market_data.quality.checking import check_columns
from market_data.rules import crossed, not_held, not_positive
from tests.market_data import corrupting

NAN, INF = float("nan"), float("inf")


def test_prices_are_above_zero_and_finite():
    assert not_positive(np.array([1.0, 0.0, -1.0, INF, -INF, NAN])).tolist() == [
        False, True, True, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bar", "wrong"),
    [
        ((10, 11, 9, 10), False),
        ((10, 10, 10, 10), False),
        ((10, 9.9, 9, 9.5), True),
        ((9.5, 9.9, 9, 10), True),
        ((10, 11, 10.1, 10.5), True),
        ((10.5, 11, 10.1, 10), True),
        ((10, 9, 11, 10), True),
        ((NAN, 11, 9, 10), False),
    ],
)
def test_high_and_low_hold_open_and_close(bar, wrong):
    assert not_held(np.array(bar, np.float64)[:, np.newaxis]).tolist() == [wrong]


def test_quotes_cross_at_open_or_close_with_an_ask_that_is_there():
    bid = np.array([[2, 1, 1, 2, 1.0], [1, 9, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 2, 1, NAN]])
    ask = np.array([[1, 2, 2, 0, 2.0], [2, 2, 2, 2, 2], [2, 2, 2, 2, 2], [2, 2, 1, 2, 2]])
    assert crossed(bid, ask).tolist() == [True, False, True, False, False]


@pytest.mark.parametrize("value", [0.0, -2.0, INF])
def test_what_an_import_refuses_is_an_error_of_the_check(value, xnys):
    days = corrupting.sound_minutes(xnys, 1, date(2023, 1, 6))
    prices = days.prices.copy()
    prices[2, 40] = value
    with pytest.raises(DataError, match="a price must be above 0"):
        check_prices(prices.copy(), lambda row: f"line {row}", repair=False)
    found = check_columns(days.ts, prices, symbol="X", timeframe="1m", sessions=xnys)
    assert [(one.check, one.first_ts) for one in found if one.severity] == [
        ("nonpositive_price", days.ts[40])
    ]


def test_an_ask_of_zero_is_one_sided_and_not_crossed_at_an_import_too(xnys):
    days = corrupting.sound_minutes(xnys, 1, date(2023, 1, 6))
    ask = days.ask.copy()
    ask[:, 40] = 0.0
    columns = BarColumns(days.ts, days.session, days.prices, days.bid, ask)
    assert [one.name for one in check_quotes(columns)] == []
    ask[:, 41] = days.bid[:, 41] - 0.5
    assert [one.name for one in check_quotes(columns)] == ["quotes_crossed"]
