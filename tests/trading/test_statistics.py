"""Statistics against empyrical, published examples and worked calculations."""

from __future__ import annotations

import math
from datetime import date

import empyrical
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading import statistics

DAY = 86_400_000_000_000


def days_from(first: date, n: int) -> np.ndarray:
    return np.arange(n, dtype=np.int64) + (first - date(1970, 1, 1)).days


def random_equity(seed: int, n: int, deviation: float = 0.01) -> np.ndarray:
    steps = np.random.default_rng(seed).standard_t(4, n) * deviation + 0.0003
    return 100_000.0 * np.cumprod(1.0 + np.clip(steps, -0.5, 0.5))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(5, 900),
    annualisation=st.sampled_from([252, 365]),
    yearly_rate=st.sampled_from([0.0, 0.03]),
)
def test_ratios_equal_those_of_empyrical(seed, n, annualisation, yearly_rate):
    equity = random_equity(seed, n)
    held = random_equity(seed + 1, n)
    earned = np.diff(equity, prepend=100_000.0) / np.concatenate(([100_000.0], equity[:-1]))
    market = np.diff(held, prepend=100_000.0) / np.concatenate(([100_000.0], held[:-1]))
    rate = (1.0 + yearly_rate) ** (1.0 / annualisation) - 1.0
    options = {"annualization": annualisation}

    got = statistics.summarise(
        equity,
        100_000.0,
        sessions=days_from(date(2001, 1, 1), n),
        buy_and_hold=held,
        risk_free_rate=yearly_rate,
        annualisation=annualisation,
    )

    expected = {
        "total_return": empyrical.cum_returns_final(earned),
        "cagr": empyrical.annual_return(earned, **options),
        "volatility": empyrical.annual_volatility(earned, **options),
        "sharpe": empyrical.sharpe_ratio(earned, rate, **options),
        "sortino": empyrical.sortino_ratio(earned, rate, **options),
        "max_drawdown": -empyrical.max_drawdown(earned),
        "buy_and_hold_return": empyrical.cum_returns_final(market),
        "alpha": empyrical.alpha_aligned(earned, market, rate, **options),
        "beta": empyrical.beta_aligned(earned, market),
    }
    for name, value in expected.items():
        if not math.isfinite(value):  # empyrical: infinite when no session fell short.
            assert math.isnan(getattr(got, name)), name
        else:
            assert getattr(got, name) == pytest.approx(value, rel=1e-9, abs=1e-12), name
    if got.max_drawdown > 0.0:
        calmar = empyrical.calmar_ratio(earned, **options)
        assert got.calmar == pytest.approx(calmar, rel=1e-9)


def test_probabilistic_sharpe_of_the_published_hedge_fund():
    # Bailey and Lopez de Prado (2012), section 4.3: 24 monthly returns with mean
    # 0.036 and deviation 0.079, skewness -2.448, kurtosis 10.164.
    ratio = 0.036 / 0.079
    normal = statistics.probabilistic_sharpe_of_moments(ratio, 24, 0.0, 3.0)
    skewed = statistics.probabilistic_sharpe_of_moments(ratio, 24, -2.448, 10.164)
    assert normal == pytest.approx(0.982, abs=1e-3)
    assert skewed == pytest.approx(0.913, abs=1e-3)


def test_probabilistic_sharpe_takes_the_moments_of_the_returns():
    # Mean 0.01; deviations -0.03, 0.01, 0.01, 0.01: squares sum to 0.0012.
    earned = np.array([-0.02, 0.02, 0.02, 0.02])
    ratio = 0.01 / math.sqrt(0.0012 / 3)
    second = 0.0012 / 4
    skewness = (-27e-6 + 3e-6) / 4 / second**1.5
    kurtosis = (81e-8 + 3e-8) / 4 / second**2
    z = ratio * math.sqrt(3) / math.sqrt(1 - skewness * ratio + (kurtosis - 1) / 4 * ratio**2)
    expected = 0.5 * (1 + math.erf(z / math.sqrt(2)))
    assert statistics.probabilistic_sharpe(earned) == pytest.approx(expected, rel=1e-12)


def test_first_session_is_measured_against_the_starting_cash():
    earned = statistics.returns(np.array([110.0, 99.0]), 100.0)
    assert earned == pytest.approx([0.10, -0.10])


def test_yearly_growth_takes_a_year_as_252_sessions():
    # Doubling in half a year is growing fourfold in a year.
    assert statistics.cagr(1.0, 126) == pytest.approx(3.0)
    assert statistics.cagr(1.0, 365, annualisation=365) == pytest.approx(1.0)


def test_sharpe_without_volatility_is_undefined_not_infinite():
    # Growth by the same factor: the deviation is rounding only.
    steady = 100.0 * 1.001 ** np.arange(1, 501)
    got = statistics.summarise(steady, 100.0, sessions=days_from(date(2001, 1, 1), 500))
    assert math.isnan(got.sharpe)
    assert math.isnan(got.sortino)
    assert math.isnan(got.calmar)
    assert math.isnan(got.probabilistic_sharpe)
    assert got.max_drawdown == 0.0
    assert got.max_drawdown_days == 0.0
    record = got.as_record()
    assert record["sharpe"] is None
    assert record["total_return"] == pytest.approx(1.001**500 - 1)


def test_cash_that_never_trades_has_zero_return_and_no_ratios():
    idle = np.full(10, 50_000.0)
    got = statistics.summarise(
        idle,
        50_000.0,
        sessions=days_from(date(2001, 1, 1), 10),
        position=np.zeros(10),
        buy_and_hold=np.linspace(50_000.0, 60_000.0, 10),
    )
    assert (got.total_return, got.volatility, got.exposure, got.beta) == (0.0, 0.0, 0.0, 0.0)
    assert (got.n_trades, got.turnover) == (0, 0.0)
    assert math.isnan(got.sharpe)
    assert math.isnan(got.win_rate)
    assert math.isnan(got.profit_factor)
    assert math.isnan(got.expectancy)


def test_empty_result_is_undefined_throughout():
    none = np.zeros(0)
    got = statistics.summarise(none, 100.0, sessions=np.zeros(0, np.int64), buy_and_hold=none)
    record = got.as_record()
    assert {name for name, value in record.items() if value is not None} == {
        "n_trades",
        "annualisation",
    }


def test_losing_more_than_everything_leaves_the_ratios_undefined():
    ruined = np.array([100.0, 50.0, -20.0, -10.0, -30.0])
    got = statistics.summarise(ruined, 100.0, sessions=days_from(date(2001, 1, 1), 5))
    assert got.total_return == pytest.approx(-1.3)
    assert got.max_drawdown == pytest.approx(1.3)
    assert math.isnan(got.cagr)
    assert math.isnan(got.volatility)
    assert math.isnan(got.sharpe)


def test_drawdown_runs_from_the_last_bar_at_the_peak_to_the_recovery():
    # Peak 120 on days 1 and 2, trough 90 on day 4, back at 120 on day 7.
    equity = np.array([110.0, 120.0, 120.0, 100.0, 90.0, 95.0, 119.0, 121.0, 115.0])
    deepest = statistics.deepest_drawdown(equity, np.arange(9) * DAY, 100.0)
    assert deepest.depth == pytest.approx(0.25)
    assert (deepest.i_peak, deepest.i_trough, deepest.i_recovery) == (2, 4, 7)
    assert deepest.days == 5


def test_drawdown_that_never_recovers_lasts_to_the_end():
    equity = np.array([100.0, 130.0, 65.0, 70.0])
    ts = np.array([0, 3, 10, 31]) * DAY
    deepest = statistics.deepest_drawdown(equity, ts, 100.0)
    assert deepest.depth == pytest.approx(0.5)
    assert deepest.i_recovery == -1
    assert deepest.days == 28


def test_starting_cash_is_the_first_peak():
    equity = np.array([80.0, 90.0, 100.0])
    deepest = statistics.deepest_drawdown(equity, np.arange(3) * DAY, 100.0)
    assert deepest.depth == pytest.approx(0.2)
    assert (deepest.i_peak, deepest.i_trough, deepest.i_recovery) == (-1, 0, 2)


def test_drawdown_sees_falls_within_a_session():
    # Two bars a session; session ends never fall, the bars between them do.
    bars = np.array([80.0, 100.0, 60.0, 110.0])
    got = statistics.summarise(
        bars[1::2],
        100.0,
        sessions=days_from(date(2001, 1, 1), 2),
        bar_equity=bars,
        bar_ts=np.arange(4) * (DAY // 2),
    )
    assert got.max_drawdown == pytest.approx(0.4)


def test_worst_drawdowns_are_listed_deepest_first():
    equity = np.array([100.0, 95.0, 101.0, 50.5, 101.0, 102.0, 91.8])
    worst = statistics.worst_drawdowns(equity, np.arange(7) * DAY, 100.0, 2)
    assert [one.depth for one in worst] == pytest.approx([0.5, 0.1])
    assert [(one.i_peak, one.i_trough, one.i_recovery) for one in worst] == [(2, 3, 4), (5, 6, -1)]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 300))
def test_the_worst_of_all_drawdowns_is_the_deepest(seed, n):
    equity = random_equity(seed, n, 0.03)
    ts = np.arange(n) * DAY
    worst = statistics.worst_drawdowns(equity, ts, 100_000.0, n)
    deepest = statistics.deepest_drawdown(equity, ts, 100_000.0)
    if deepest.depth == 0.0:
        assert worst == []
    else:
        assert worst[0] == deepest
        assert [one.depth for one in worst] == sorted((one.depth for one in worst), reverse=True)


def test_trade_figures_of_five_trades():
    profit = np.array([300.0, -100.0, 0.0, 500.0, -300.0])
    entry = np.array([10_000.0, 10_000.0, 10_000.0, 20_000.0, 10_000.0])
    got = statistics.summarise(
        np.array([100_400.0]),
        100_000.0,
        sessions=days_from(date(2001, 1, 1), 1),
        position=np.array([0.0, 10.0, -10.0, 0.0]),
        net_profit=profit,
        trade_return=profit / entry,
    )
    assert got.n_trades == 5
    assert got.win_rate == pytest.approx(0.4)  # A trade that breaks even is no win.
    assert got.profit_factor == pytest.approx(2.0)
    assert got.expectancy == pytest.approx(80.0)
    assert got.average_trade == pytest.approx((0.03 - 0.01 + 0.0 + 0.025 - 0.03) / 5)
    assert got.best_trade == pytest.approx(0.03)
    assert got.worst_trade == pytest.approx(-0.03)
    assert got.exposure == pytest.approx(0.5)


def test_profit_factor_without_a_loss_is_undefined_not_infinite():
    assert math.isnan(statistics.profit_factor(np.array([10.0, 20.0])))
    assert statistics.profit_factor(np.array([-10.0])) == 0.0


def test_turnover_counts_bought_and_sold_notional_in_a_year():
    # Mean equity 100,000 over 126 sessions, 200,000 traded: 2 in half a year.
    assert statistics.turnover(200_000.0, np.full(126, 100_000.0)) == pytest.approx(4.0)


def test_session_ends_are_the_last_bars_of_sessions():
    assert statistics.session_ends(np.array([5, 5, 7, 8, 8, 8])).tolist() == [1, 2, 5]
    assert statistics.session_ends(np.zeros(0, np.int64)).tolist() == []


def test_years_start_from_the_equity_that_the_last_one_ended_with():
    sessions = np.array(
        [
            (day - date(1970, 1, 1)).days
            for day in (date(2012, 12, 28), date(2012, 12, 31), date(2013, 1, 2), date(2013, 1, 3))
        ]
    )
    years = statistics.by_year(
        np.array([90.0, 110.0, 99.0, 121.0]),
        100.0,
        sessions,
        buy_and_hold=np.array([100.0, 200.0, 150.0, 100.0]),
    )
    assert [(year.year, year.month, year.n_sessions) for year in years] == [
        (2012, 0, 2),
        (2013, 0, 2),
    ]
    assert [year.total_return for year in years] == pytest.approx([0.10, 0.10])
    assert [year.buy_and_hold_return for year in years] == pytest.approx([1.0, -0.5])
    assert [year.max_drawdown for year in years] == pytest.approx([0.1, 0.1])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 800))
def test_returns_of_months_and_of_years_compound_to_the_total(seed, n):
    equity = random_equity(seed, n)
    sessions = days_from(date(2000, 2, 20), n)
    for periods in (
        statistics.by_month(equity, 100_000.0, sessions),
        statistics.by_year(equity, 100_000.0, sessions),
    ):
        compounded = math.prod(1.0 + period.total_return for period in periods)
        assert compounded == pytest.approx(equity[-1] / 100_000.0, rel=1e-9)
        assert sum(period.n_sessions for period in periods) == n
    first = statistics.by_month(equity, 100_000.0, sessions)[0]
    assert (first.year, first.month) == (2000, 2)
