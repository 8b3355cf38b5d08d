"""The deflated Sharpe ratio against its paper's example, and against strategies without skill."""

from __future__ import annotations

import math

import numpy as np
import pytest

from research.deflation import (
    Trials,
    benchmark_sharpe,
    deflated_sharpe,
    effective_trials,
    expected_maximum,
    measure_trials,
    pool,
)
from trading.statistics import probabilistic_sharpe, probabilistic_sharpe_of_moments


@pytest.mark.parametrize(
    ("n_trials", "skewness", "kurtosis", "deflated"),
    # Bailey and Lopez de Prado (2014), "A numerical example": a Sharpe ratio of 2.5 a year over
    # five years of 250 days, and trials whose yearly ratios have a variance of one half.
    [(100, -3.0, 10.0, 0.9004), (46, -3.0, 10.0, 0.9505), (88, 0.0, 3.0, 0.9505)],
)
def test_papers_example(n_trials, skewness, kurtosis, deflated):
    luck = expected_maximum(n_trials, 0.5 / 250)
    found = probabilistic_sharpe_of_moments(
        2.5 / math.sqrt(250), 1250, skewness, kurtosis, luck
    )  # fmt: skip
    assert found == pytest.approx(deflated, abs=5e-5)


def test_papers_expected_maximum_of_a_hundred_trials():
    assert expected_maximum(100, 0.5 / 250) == pytest.approx(0.1132, abs=5e-5)


def test_expected_maximum_is_what_the_best_of_many_normal_draws_has():
    draws = np.random.default_rng(7).standard_normal((4000, 200)).max(axis=1)
    # The paper's formula is an approximation, good to a hundredth for this many.
    assert expected_maximum(200, 1.0) == pytest.approx(draws.mean(), abs=0.03)


def test_a_single_trial_is_not_deflated():
    returns = np.random.default_rng(3).normal(0.0005, 0.01, 500)
    alone = measure_trials(returns[None, :])
    assert (alone.n_sets, alone.n_effective) == (1, 1.0)
    assert deflated_sharpe(returns, alone) == probabilistic_sharpe(returns)
    assert expected_maximum(1.0, 0.3) == 0.0


def test_best_of_many_without_skill_is_told_from_skill():
    draw = np.random.default_rng(11)
    plain, deflated = [], []
    for _ in range(300):
        returns = draw.normal(0.0, 0.01, (100, 250))
        trials = measure_trials(returns)
        best = returns[np.argmax(returns.mean(axis=1) / returns.std(axis=1))]
        plain.append(probabilistic_sharpe(best))
        deflated.append(deflated_sharpe(best, trials))
    # Undeflated, the best of a hundred looks like skill nearly always.
    assert np.mean(np.array(plain) > 0.95) > 0.95
    # Deflated it is a coin's toss: the maximum spreads less than a single ratio does, so that the
    # values crowd around a half more than a uniform draw would, and rarely come near one.
    assert np.mean(deflated) == pytest.approx(0.5, abs=0.05)
    assert np.mean(np.array(deflated) > 0.95) <= 0.05
    assert np.quantile(deflated, 0.1) < 0.4
    assert np.quantile(deflated, 0.9) > 0.6


def test_effective_number_of_trials_is_one_when_all_are_alike_and_all_when_none_are():
    draw = np.random.default_rng(5)
    one = draw.normal(0.0, 0.01, 20_000)
    assert effective_trials(np.array([one, 2.0 * one, one])) == pytest.approx(1.0)
    apart = draw.normal(0.0, 0.01, (10, 20_000))
    assert effective_trials(apart) == pytest.approx(10.0, abs=0.2)
    # A common part of half the variance: correlation 0.5, so 0.5 + 0.5 x 10.
    assert effective_trials(apart + one) == pytest.approx(5.5, abs=0.2)


def test_sets_that_never_traded_count_as_tried():
    returns = np.zeros((4, 50))
    returns[0] = np.random.default_rng(2).normal(0.0, 0.01, 50)
    found = measure_trials(returns)
    assert (found.n_sets, found.n_with_sharpe, found.n_effective) == (4, 1, 1.0)
    assert benchmark_sharpe(found) == 0.0


def test_pooled_trials_are_those_of_all_studies_together():
    draw = np.random.default_rng(9)
    first, second = draw.normal(0.0, 0.01, (6, 300)), draw.normal(0.001, 0.01, (9, 300))
    together = measure_trials(np.concatenate([first, second]))
    found = pool([measure_trials(first), measure_trials(second)])
    assert (found.n_sets, found.n_with_sharpe) == (15, 15)
    assert found.sharpe_mean == pytest.approx(together.sharpe_mean)
    assert found.sharpe_variance == pytest.approx(together.sharpe_variance)


def test_pooling_nothing_gives_nothing():
    found = pool([Trials(3, 0, 0.0, math.nan, math.nan)])
    assert found.n_sets == 3
    assert math.isnan(found.sharpe_variance)
