"""What is left of a result when costs double and entries come a bar late, by hand."""

from __future__ import annotations

from dataclasses import fields

import pytest

from market_data.loading import LoadedBars
from research.backtest import Backtest, BacktestRequest, run_instrument
from research.robustness import COST_FIELDS, check_robustness, doubled_costs, entries_one_bar_late
from tests.trading.making import daily_bars, strategy
from trading.document import document_from, version_hash
from trading.expressions.strategy import Policy, bind, resolve_strategy

# Bought on the close of bar 1, sold on that of bar 4; opens 100, 101 … 107.
ROWS = [(100 + k, 101 + k, 99 + k, 100 + k, {1: 1, 4: 2}.get(k, 0)) for k in range(8)]


def backtest(rows=ROWS, **document):
    made = document_from(strategy(**({"enter_long": "volume == 1", "exit_long": "volume == 2"}
                                     | document)))  # fmt: skip
    resolved = resolve_strategy(made)
    bound = bind(resolved, {})
    loaded = LoadedBars(daily_bars(rows), 0, "", "test")
    sleeve = run_instrument(resolved, bound, loaded, 100_000.0)
    request = BacktestRequest(made)
    return Backtest(request, resolved, bound, version_hash(made), "", "", (sleeve,), 252)


def test_doubled_costs_cost_twice_as_much():
    # 100 units at 102 and 105 with 1 a unit: 300 less 200, then less 400.
    report = check_robustness(backtest(costs={"commission": {"per_share": 1.0}}))
    assert report.total_return == pytest.approx(100 / 100_000)
    assert report.doubled_costs_return == pytest.approx(-100 / 100_000)
    assert not report.passed


def test_late_entry_is_decided_and_priced_one_bar_later():
    # Seen on bar 2 instead of 1, filled at 103 instead of 102; the exit stays at 105.
    report = check_robustness(backtest())
    assert report.total_return == pytest.approx(300 / 100_000)
    assert report.late_entries_return == pytest.approx(200 / 100_000)
    assert report.doubled_costs_return is None
    assert report.notes == ("The version states no costs, so that none can be doubled.",)
    assert report.passed


def test_loss_does_not_pass_whatever_its_variations():
    falling = [(110 - k, 111 - k, 109 - k, 110 - k, {1: 1, 4: 2}.get(k, 0)) for k in range(8)]
    report = check_robustness(backtest(falling))
    assert report.total_return < 0
    assert not report.passed


@pytest.mark.parametrize(
    "document",
    [
        {"enter_long": "volume == 1 and position == 0"},
        # One row of the columns serves both conditions: it can't be late for one alone.
        {"enter_long": "volume == 1", "exit_long": "volume == 1"},
        {"enter_long": "volume == 1", "exit_long": "volume == 1 and bars_in_trade > 2"},
    ],
)
def test_entries_that_can_not_be_late_alone_are_left_out_and_it_is_said(document):
    made = backtest(**document)
    assert entries_one_bar_late(made.sleeves[0]) is None
    report = check_robustness(made)
    assert report.late_entries_return is None
    assert "Entries were not delayed" in report.notes[-1]


def test_every_cost_of_a_policy_is_doubled():
    costs = [field.name for field in fields(Policy)]
    first, last = costs.index("commission_per_share"), costs.index("borrow_rate")
    # An exponent is no cost; the cap grows with what it caps.
    named = {*costs[first : last + 1]} - {"impact_exponent", "commission_maximum_fraction"}
    assert set(COST_FIELDS) == named
    policy = Policy(commission_per_share=0.005, commission_maximum_fraction=0.01, borrow_rate=0.02)
    dear = doubled_costs(policy)
    assert (dear.commission_per_share, dear.commission_maximum_fraction) == (0.01, 0.02)
    assert dear.borrow_rate == 0.04
