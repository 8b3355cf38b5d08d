"""How much values and decisions depend on where history begins, by worked numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import research.recursion
from market_data.building import select_bars
from market_data.loading import LoadedBars
from market_data.sample_set import load_sample
from market_data.store import Store
from research.backtest import BacktestRequest
from research.look_ahead import check_look_ahead
from research.recursion import (
    TOLERANCE,
    RecursionReport,
    check_recursion,
    choose_starts,
    history_start,
    relative_difference,
)
from tests.trading.making import random_bars, strategy
from trading.document import document_from, load_document
from trading.expressions.strategy import resolve_strategy
from trading.indicators.kernels import INDICATORS

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("recursion") / "home")
    load_sample(store)
    return store


def check(store: Store, **document):
    made = strategy(**({"instruments": ["AAPL"], "exit_long": "false"} | document))
    return check_recursion(BacktestRequest(document_from(made)), store)


def settling(report, name):
    return next(one for one in report.settlings if one.name == name)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_has_a_warm_up_after_which_no_decision_depends_on_history(path, sample):
    report = check_recursion(BacktestRequest(load_document(path)), sample)
    assert report.passed
    assert report.recommended_bars is not None
    assert report.recommended_bars >= report.declared_bars
    # What is declared is enough for a value: none is unknown.
    assert all(test.largest_difference is not None for test in report.tests)
    assert report.level_conditions == ()


def test_average_with_a_memory_of_its_length_alone_needs_what_it_declares(sample):
    report = check(sample, indicators={"mean": "sma(close, 50)"}, enter_long="close > mean")
    assert report.declared == {"1d": 49}
    assert report.declared_bars == 49
    assert report.bars_for_values == 49
    assert report.bars_for_decisions == 49


def test_exponential_average_forgets_as_fast_as_its_weight_says(sample):
    # Each bar keeps 1 - 2 / (20 + 1) of what was before. Seeded after 19 bars, the average has
    # forgotten 19 bars long at twice the declared warm-up, 57 at four times and 133 at eight
    # times. What there was to forget differs by start, by a small factor.
    report = check(sample, indicators={"trend": "ema(close, 20)"}, enter_long="close > trend")
    first = dict(
        zip([test.multiple for test in report.tests], settling(report, "indicator trend").at_first,
            strict=True)
    )  # fmt: skip
    assert 0.2 < first[4] / first[2] / (19 / 21) ** 38 < 5.0
    assert 0.2 < first[8] / first[4] / (19 / 21) ** 76 < 5.0
    assert first[1] > first[2] > first[4] > first[8]
    # A tenth of the price, forgotten to 1e-6 of it: ln(1e5) / -ln(19/21) = 115 bars after the
    # seed, so that 4 times is too little and 8 times enough.
    assert report.bars_for_values == 19 * 8
    assert report.bars_for_decisions <= report.bars_for_values


def test_sum_over_all_volume_is_a_level_and_compared_by_its_changes(sample):
    report = check(
        sample,
        indicators={"flow": "obv()", "mean": "ema(flow, 10)"},
        enter_long="flow > mean",
        exit_long="flow < mean",
    )
    assert settling(report, "indicator flow").is_level
    # The difference of a sum from its own average knows no level.
    assert report.passed
    assert report.level_conditions == ()
    assert report.bars_for_values is not None


def test_condition_on_the_level_of_a_sum_is_named_and_fails(sample):
    report = check(sample, indicators={"flow": "obv()"}, enter_long="flow > 500000000")
    assert not report.passed
    assert report.bars_for_values is not None  # Values are alike but for the level.
    assert report.recommended_bars is None
    assert report.level_conditions == ("enter_long[0]: flow > 500000000",)


def test_level_is_found_where_the_sum_stands_in_the_condition_itself(sample):
    report = check(sample, enter_long="ad() > 100000000 and close > 1")
    assert report.level_conditions == ("enter_long[0]: ad() > 100000000",)


def test_average_by_session_needs_its_session_and_no_more(sample):
    report = check(
        sample, timeframe="5m", instruments=["SIM"], indicators={"fair": "vwap()"},
        enter_long="close > fair", exit_long="close < fair",
    )  # fmt: skip
    assert report.passed
    # Nothing is declared; history begins with a session, of 78 bars of five minutes.
    assert report.declared == {"5m": 0}
    assert report.recommended_bars == 78


def test_too_short_a_declared_warm_up_is_told(sample, monkeypatch):
    monkeypatch.setattr(research.recursion, "strategy_warm_up", lambda *_: {"": 20})
    report = check(sample, indicators={"mean": "sma(close, 50)"}, enter_long="close > mean")
    assert report.tests[0].largest_difference is None
    assert report.tests[0].largest_of == "mean"
    assert settling(report, "indicator mean").at_first[0] is None
    assert "Unknown at the first decision bar" in report.notes[-1]
    # 49 bars are needed: 20 and 40 are too few, 80 are enough.
    assert report.bars_for_values == 80


def test_strategy_that_counts_bars_since_the_beginning_never_agrees(sample):
    report = check(sample, indicators={"age": "bars_since(close < 14)"}, enter_long="age > 1000")
    assert not report.passed
    assert report.bars_for_decisions is None


def test_series_too_short_to_compare_does_not_pass(sample, tmp_path):
    store = Store(tmp_path / "home")
    columns, series = sample.read_columns("AAPL", "1d")
    part = columns.select(slice(0, 60))
    store.write_instrument(sample.find_instrument("AAPL"))
    store.write_bars("AAPL", "1d", part, calendar=series.calendar, source="test")
    report = check(store, indicators={"mean": "sma(close, 50)"}, enter_long="close > mean")
    assert report.tests == ()
    assert not report.passed
    assert report.notes == (
        "AAPL: its 60 bars are too few to compare 49 bars of warm-up with more",
    )


def test_own_start_is_tested_to_the_end_of_the_data(sample):
    request = BacktestRequest(
        document_from(strategy(instruments=["AAPL"], enter_long="close > ema(close, 30)")),
        start=np.datetime64("2008-06-02").item(),
    )
    report = check_recursion(request, sample, n_starts=1)
    assert report.n_starts == 1
    assert {test.n_starts for test in report.tests} == {1}
    assert report == check_recursion(request, sample, n_starts=1)


def test_another_quantity_is_another_decision_though_no_condition_changes(sample):
    # The stop's distance decides the size; the average range remembers all bars.
    report = check(
        sample,
        enter_long="session_bar == 0 and weekday == 0",
        exit_long="bars_in_trade > 3",
        size={"risk_fraction": 0.01},
        exit={"stop_loss": "3 * atr(40)"},
    )
    assert report.tests[0].n_changed_conditions == 0
    assert report.tests[0].n_changed_decisions > 0
    assert "AAPL started" in report.tests[0].first_change
    assert report.bars_for_decisions > report.declared_bars


def test_a_held_quantity_alone_is_another_decision(sample):
    # The stop is never reached: what is decided is the same, and only how much is held differs.
    report = check(
        sample,
        enter_long="session_bar == 0 and weekday == 0",
        exit_long="bars_in_trade > 3",
        size={"risk_fraction": 0.2},
        exit={"stop_loss": "15 * atr(40)"},
    )
    assert report.tests[0].n_changed_conditions == 0
    assert report.tests[0].n_changed_decisions > 0


# Where history begins.


def test_history_of_a_weekly_value_reaches_back_whole_weeks():
    bars = random_bars(1, 200, periods=["1w"])
    # Bar 100 is a Monday: twenty weeks lie before it.
    start = 100
    assert bars.periods["1w"][start] & 1
    # Three weeks are waited for, one more is seen, and one for a start within a week.
    assert history_start(bars, start, {"": 5, "1w": 3}, 1) == start - 5 * 5
    assert history_start(bars, start, {"": 5, "1w": 3}, 2) == start - 8 * 5
    assert history_start(bars, start, {"": 40, "1w": 3}, 1) == start - 40
    assert history_start(bars, start, {"": 5, "1w": 30}, 1) == -1


def test_starts_are_first_bars_of_sessions_with_history_to_compare(sample):
    bars = random_bars(1, 400)
    resolved = resolve_strategy(document_from(strategy(enter_long="close > sma(close, 50)")))
    loaded = LoadedBars(bars, 120, "", "test")
    starts = choose_starts(loaded, resolved, {"": 49}, 6, 0)
    assert len(starts) == 6
    assert 120 in starts
    assert min(starts) >= 2 * 49
    assert choose_starts(loaded, resolved, {"": 49}, 6, 0) == starts
    assert choose_starts(replace(loaded, bars=select_bars(bars, slice(0, 90))), resolved,
                         {"": 49}, 6, 0) == []  # fmt: skip


def test_difference_is_relative_to_the_value_or_to_the_usual_size():
    column = np.array([100.0, 100.0, 100.0, 0.0])
    found = relative_difference(
        np.array([200.0, 0.0, np.nan, 5.0, np.nan]),
        np.array([198.0, 1.0, np.nan, np.nan, 5.0]),
        column,
    )
    assert found[0] == pytest.approx(2.0 / 200.0)
    # At zero the usual size of 100 counts, for otherwise any difference would be the whole.
    assert found[1] == pytest.approx(1.0 / 100.0)
    assert found[2] == 0.0
    assert np.isnan(found[3:]).all()
    assert not (np.nan < TOLERANCE)


@pytest.mark.parametrize(
    ("for_values", "for_decisions", "recommended"),
    [
        (99, 198, 198),  # A value within the tolerance was still across a threshold.
        (792, 396, 792),
        (None, 396, 396),
        (99, None, None),  # No tested warm-up makes the decisions alike.
    ],
)
def test_the_warm_up_to_give_is_enough_for_values_and_decisions(
    for_values, for_decisions, recommended
):
    report = RecursionReport(
        instruments=("AAPL",), n_starts=1, n_runs=2, declared={"1d": 99}, declared_bars=99,
        tests=(), settlings=(), bars_for_values=for_values, bars_for_decisions=for_decisions,
    )  # fmt: skip
    assert report.recommended_bars == recommended
    assert report.passed == (for_decisions is not None)


KERNELS = sorted(INDICATORS)


def test_every_kernel_passes_both_checks_and_settles_within_a_tested_warm_up(sample):
    # One strategy with all of them, which trades on a value that forgets at once.
    lines = "\n".join(f'  x_{name}: "{name}()"' for name in KERNELS)
    document = f"""
name: every-kernel
timeframe: 1d
instruments: [AAPL]
indicators:
{lines}
enter_long: x_roc > 0
exit_long: x_roc < 0
"""
    request = BacktestRequest(load_document(document))
    ahead = check_look_ahead(request, sample, n_cuts=8)
    assert ahead.passed, ahead.differences
    report = check_recursion(request, sample, n_starts=2)
    assert report.passed
    assert report.bars_for_values is not None
    # Sums over all bars alone keep a difference, and it is known for what it is.
    never = {one.name for one in report.settlings if one.settled_after is None}
    assert never <= {"indicator x_obv", "indicator x_ad"}
