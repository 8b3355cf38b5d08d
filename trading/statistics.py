"""Statistics of a result: ratios over session-end equity, trades and drawdown.

Owns the formulas and their conventions, as numpy functions over arrays, so
that a sweep can call them once for every row. Does not own where the arrays
come from, nor how the figures are shown.

Conventions, unless a function says otherwise:

- A session's return is its closing equity over the previous session's, less
  one; the first session is measured against the starting cash.
- Sample standard deviation (ddof 1); `annualisation` sessions in a year, 252,
  or 365 for instruments that trade every day.
- `risk_free_rate` is a yearly rate, 0 unless given, and is turned into a rate
  for one session by compounding.
- What is not defined (a Sharpe ratio without volatility, a win rate without
  trades) is NaN, never infinite; `Statistics.as_record` turns NaN into None.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

DAYS_A_YEAR = 252
DAYS_A_YEAR_EVERY_DAY = 365

_NAN = math.nan
_NANOSECONDS_A_DAY = 86_400_000_000_000
# Equal returns differ in their last bits after a division; a deviation below
# this is rounding, not volatility.
_ROUNDING = 1e-14
_NO_TRADES: NDArray[np.float64] = np.zeros(0)

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Statistics:
    """The key figures of one result; NaN where a figure is not defined.

    Attributes
    ----------
    total_return, cagr, volatility, buy_and_hold_return, alpha : float
        Fractions; all but total_return and buy_and_hold_return are yearly.
    sharpe, sortino, calmar, beta, profit_factor : float
        Ratios.
    max_drawdown : float
        Positive fraction, on the equity of every bar.
    max_drawdown_days : float
        Calendar days from that drawdown's peak to its recovery, or to the end.
    exposure, win_rate, probabilistic_sharpe : float
        Fractions, 0 to 1.
    expectancy : float
        Mean net profit of a trade, in currency.
    average_trade, best_trade, worst_trade : float
        Net profit over entry notional, fractions.
    turnover : float
        Bought and sold notional over mean equity, times a year.
    """

    total_return: float
    cagr: float
    volatility: float
    sharpe: float
    sortino: float
    calmar: float
    max_drawdown: float
    max_drawdown_days: float
    exposure: float
    n_trades: int
    win_rate: float
    profit_factor: float
    expectancy: float
    average_trade: float
    best_trade: float
    worst_trade: float
    turnover: float
    buy_and_hold_return: float
    alpha: float
    beta: float
    probabilistic_sharpe: float
    annualisation: int

    def as_record(self) -> dict[str, float | int | None]:
        """Return the figures by name, with None where one is not defined."""
        record = {}
        for spec in fields(self):
            value = getattr(self, spec.name)
            record[spec.name] = value if math.isfinite(value) else None
        return record


@dataclass(frozen=True, slots=True)
class Drawdown:
    """One fall from a peak of equity.

    Attributes
    ----------
    depth : float
        Positive fraction of the peak; 0 when equity never fell.
    i_peak, i_trough, i_recovery : int
        Indexes into the equity; i_peak is -1 when the peak is the starting
        cash, i_recovery is -1 while the peak has not been reached again.
    days : float
        Calendar days from the peak to the recovery, or to the end.
    """

    depth: float
    i_peak: int
    i_trough: int
    i_recovery: int
    days: float


@dataclass(frozen=True, slots=True)
class Period:
    """A calendar year or month of a result; month is 0 for a whole year."""

    year: int
    month: int
    n_sessions: int
    total_return: float
    buy_and_hold_return: float
    volatility: float
    sharpe: float
    max_drawdown: float

    def as_record(self) -> dict[str, float | int | None]:
        """Return the figures by name, with None where one is not defined."""
        record = {}
        for spec in fields(self):
            value = getattr(self, spec.name)
            record[spec.name] = value if math.isfinite(value) else None
        return record


def session_ends(session: IntArray) -> IntArray:
    """Return the index of the last bar of each session.

    Parameters
    ----------
    session : int64 array, shape (n_bars,)
        Session of each bar, in order.
    """
    if session.shape[0] == 0:
        return np.zeros(0, np.int64)
    return np.append(np.flatnonzero(session[1:] != session[:-1]), session.shape[0] - 1)


def returns(equity: FloatArray, starting_cash: float) -> FloatArray:
    """Return the simple return of each session, the first against the starting cash.

    A return whose base is not positive is NaN: a sleeve that lost more than
    all it had has no rate of return from there on, nor any ratio built on it.
    """
    result = np.empty_like(equity)
    if equity.shape[0] == 0:
        return result
    if equity.min() > 0.0 and starting_cash > 0.0:
        result[0] = equity[0] / starting_cash - 1.0
        np.divide(equity[1:], equity[:-1], out=result[1:])
        result[1:] -= 1.0
        return result
    base = np.append(starting_cash, equity[:-1])
    result.fill(_NAN)
    np.divide(equity, base, out=result, where=base > 0.0)
    result -= 1.0
    return result


def session_rate(risk_free_rate: float, annualisation: int = DAYS_A_YEAR) -> float:
    """Return the rate for one session that compounds to a yearly rate."""
    if risk_free_rate == 0.0:
        return 0.0
    return float((1.0 + risk_free_rate) ** (1.0 / annualisation) - 1.0)


def total_return(equity: FloatArray, starting_cash: float) -> float:
    """Return final equity over starting cash, less one."""
    if equity.shape[0] == 0 or starting_cash <= 0.0:
        return _NAN
    return float(equity[-1]) / starting_cash - 1.0


def cagr(total: float, n_sessions: int, annualisation: int = DAYS_A_YEAR) -> float:
    """Return the compound annual growth rate of a total return.

    A year is `annualisation` sessions, so less than a year is extrapolated. A
    loss of more than everything has no growth rate: NaN.
    """
    return _compound(total, annualisation / n_sessions) if n_sessions else _NAN


def volatility(session_returns: FloatArray, annualisation: int = DAYS_A_YEAR) -> float:
    """Return the yearly standard deviation of session returns (ddof 1)."""
    return _deviation(session_returns) * math.sqrt(annualisation)


def sharpe(
    session_returns: FloatArray, risk_free_rate: float = 0.0, annualisation: int = DAYS_A_YEAR
) -> float:
    """Return the yearly Sharpe ratio: mean excess return over deviation (ddof 1).

    NaN when the returns do not vary. Sharpe (1994), The Sharpe Ratio.
    """
    ratio = _session_sharpe(session_returns, session_rate(risk_free_rate, annualisation))
    return ratio * math.sqrt(annualisation)


def sortino(
    session_returns: FloatArray, risk_free_rate: float = 0.0, annualisation: int = DAYS_A_YEAR
) -> float:
    """Return the yearly Sortino ratio; NaN when no session fell short.

    Mean excess return over the downside deviation: the root of the mean, over
    all sessions, of squared shortfalls below the risk-free rate. Sortino and
    Price (1994), Performance Measurement in a Downside Risk Framework.
    """
    n = session_returns.shape[0]
    if n == 0:
        return _NAN
    excess = session_returns - session_rate(risk_free_rate, annualisation)
    shortfall = np.minimum(excess, 0.0)
    downside = math.sqrt(_dot(shortfall, shortfall) / n)
    if not downside > _ROUNDING:
        return _NAN
    return float(excess.sum()) / n / downside * math.sqrt(annualisation)


def calmar(growth: float, depth: float) -> float:
    """Return the compound annual growth rate over the maximum drawdown."""
    return growth / depth if depth > 0.0 else _NAN


def drawdown(equity: FloatArray, starting_cash: float) -> FloatArray:
    """Return the fall from the highest equity so far, as positive fractions.

    The starting cash counts as the first peak.
    """
    peak = np.maximum.accumulate(equity)
    np.maximum(peak, starting_cash, out=peak)
    fall: FloatArray = 1.0 - equity / peak
    return fall


def deepest_drawdown(equity: FloatArray, ts: IntArray, starting_cash: float) -> Drawdown:
    """Find the deepest drawdown of an equity series, the first when several tie.

    Parameters
    ----------
    equity : float64 array, shape (n_bars,)
        Equity at the close of each bar.
    ts : int64 array, shape (n_bars,)
        Time of each bar, UTC nanoseconds.
    starting_cash : float
        The first peak; it is held from the first bar's time.
    """
    if equity.shape[0] == 0:
        return Drawdown(_NAN, -1, -1, -1, _NAN)
    fall = drawdown(equity, starting_cash)
    i_trough = int(fall.argmax())
    depth = float(fall[i_trough])
    if not depth > 0.0:
        return Drawdown(0.0, -1, -1, -1, 0.0)
    before = equity[: i_trough + 1]
    # The last bar at the peak: time spent level at the peak is not under water.
    i_peak = i_trough - int(before[::-1].argmax())
    if before[i_peak] < starting_cash:
        i_peak = -1
    return _drawdown_at(equity, ts, starting_cash, depth, i_peak, i_trough)


def worst_drawdowns(
    equity: FloatArray, ts: IntArray, starting_cash: float, n_worst: int
) -> list[Drawdown]:
    """List the deepest drawdowns, deepest first, each from its own peak."""
    if equity.shape[0] == 0:
        return []
    fall = drawdown(equity, starting_cash)
    under = np.concatenate(([False], fall > 0.0, [False]))
    edges = np.flatnonzero(under[1:] != under[:-1])
    starts, stops = edges[::2], edges[1::2]
    if starts.shape[0] == 0:
        return []
    depths = np.maximum.reduceat(fall, starts)
    found = []
    for k in np.argsort(-depths, kind="stable")[:n_worst]:
        start, stop = int(starts[k]), int(stops[k])
        i_trough = start + int(fall[start:stop].argmax())
        found.append(_drawdown_at(equity, ts, starting_cash, float(depths[k]), start - 1, i_trough))
    return found


def exposure(position: FloatArray) -> float:
    """Return the share of bars that closed with a position."""
    n = position.shape[0]
    return np.count_nonzero(position) / n if n else _NAN


def win_rate(net_profit: FloatArray) -> float:
    """Return the share of trades with a net profit above zero."""
    n = net_profit.shape[0]
    return np.count_nonzero(net_profit > 0.0) / n if n else _NAN


def profit_factor(net_profit: FloatArray) -> float:
    """Return the winning trades' profit over the losing trades' loss; NaN without a loss."""
    loss = -float(np.minimum(net_profit, 0.0).sum())
    return float(np.maximum(net_profit, 0.0).sum()) / loss if loss > 0.0 else _NAN


def turnover(traded_notional: float, equity: FloatArray, annualisation: int = DAYS_A_YEAR) -> float:
    """Return notional bought and sold in a year over mean session-end equity."""
    n = equity.shape[0]
    held = float(equity.sum())
    return traded_notional / held * annualisation if n and held > 0.0 else _NAN


def alpha_beta(
    session_returns: FloatArray,
    benchmark_returns: FloatArray,
    risk_free_rate: float = 0.0,
    annualisation: int = DAYS_A_YEAR,
) -> tuple[float, float]:
    """Return yearly Jensen's alpha (compounded) and beta against a benchmark.

    Beta is the covariance over the benchmark's variance; alpha is the mean of
    the excess return that beta does not explain, compounded over a year.
    Jensen (1968), The Performance of Mutual Funds in the Period 1945-1964.
    """
    n = session_returns.shape[0]
    if n < 2:
        return _NAN, _NAN
    rate = session_rate(risk_free_rate, annualisation)
    mean = float(session_returns.sum()) / n - rate
    benchmark_mean = float(benchmark_returns.sum()) / n - rate
    centred = benchmark_returns - (benchmark_mean + rate)
    variance = _dot(centred, centred)
    if not variance > _ROUNDING * _ROUNDING * n:
        return _NAN, _NAN
    beta = _dot(centred, session_returns) / variance
    unexplained = mean - beta * benchmark_mean
    return _compound(unexplained, annualisation), beta


def probabilistic_sharpe(session_returns: FloatArray, benchmark_sharpe: float = 0.0) -> float:
    """Return the probability that the true Sharpe ratio is above a benchmark's.

    Skewness and kurtosis are the returns' population moments; both Sharpe
    ratios are for one session, not a year. Bailey and Lopez de Prado (2012),
    The Sharpe Ratio Efficient Frontier, equation 11.
    """
    n = session_returns.shape[0]
    ratio = _session_sharpe(session_returns, 0.0)
    if not math.isfinite(ratio):
        return _NAN
    centred = session_returns - float(session_returns.sum()) / n
    squared = centred * centred
    second = float(squared.sum()) / n
    skewness = _dot(squared, centred) / n / second**1.5
    kurtosis = _dot(squared, squared) / n / (second * second)
    return probabilistic_sharpe_of_moments(ratio, n, skewness, kurtosis, benchmark_sharpe)


def probabilistic_sharpe_of_moments(
    ratio: float, n_returns: int, skewness: float, kurtosis: float, benchmark_sharpe: float = 0.0
) -> float:
    """Return the probabilistic Sharpe ratio of a Sharpe ratio and its moments.

    `kurtosis` is 3 for normal returns. See `probabilistic_sharpe`.
    """
    spread = 1.0 - skewness * ratio + (kurtosis - 1.0) / 4.0 * ratio * ratio
    if n_returns < 2 or not spread > 0.0:
        return _NAN
    z = (ratio - benchmark_sharpe) * math.sqrt(n_returns - 1) / math.sqrt(spread)
    return 0.5 * (1.0 + math.erf(z / math.sqrt(2.0)))


def summarise(
    equity: FloatArray,
    starting_cash: float,
    *,
    sessions: IntArray,
    bar_equity: FloatArray | None = None,
    bar_ts: IntArray | None = None,
    position: FloatArray | None = None,
    net_profit: FloatArray = _NO_TRADES,
    trade_return: FloatArray = _NO_TRADES,
    traded_notional: float = 0.0,
    buy_and_hold: FloatArray | None = None,
    benchmark: FloatArray | None = None,
    risk_free_rate: float = 0.0,
    annualisation: int = DAYS_A_YEAR,
) -> Statistics:
    """Compute all key figures of one result.

    Parameters
    ----------
    equity : float64 array, shape (n_sessions,)
        Equity at the end of each session, in currency.
    starting_cash : float
        Equity before the first session.
    sessions : int64 array, shape (n_sessions,)
        Session dates as days since 1970-01-01.
    bar_equity, bar_ts : arrays, shape (n_bars,), or None
        Equity and time (UTC nanoseconds) of every bar, for the drawdown;
        without them session-end equity serves.
    position : float64 array, or None
        Signed quantity at the close of each bar, for the exposure.
    net_profit, trade_return : float64 arrays, shape (n_trades,)
        Net profit in currency, and over entry notional, of each closed trade.
    traded_notional : float
        Sum of |quantity| x price x multiplier over all fills.
    buy_and_hold : float64 array, shape (n_sessions,), or None
        Session-end equity of buying and holding from the same starting cash.
    benchmark : float64 array, shape (n_sessions,), or None
        Session-end level of the benchmark, in units of the starting cash;
        `buy_and_hold` when not given.
    """
    n = equity.shape[0]
    earned = returns(equity, starting_cash)
    total = total_return(equity, starting_cash)
    growth = cagr(total, n, annualisation)
    if bar_equity is None or bar_ts is None:
        bar_equity, bar_ts = equity, sessions * _NANOSECONDS_A_DAY
    deepest = deepest_drawdown(bar_equity, bar_ts, starting_cash)
    against = buy_and_hold if benchmark is None else benchmark
    alpha, beta = _NAN, _NAN
    if against is not None:
        alpha, beta = alpha_beta(
            earned, returns(against, starting_cash), risk_free_rate, annualisation
        )
    n_trades = net_profit.shape[0]
    n_returns = trade_return.shape[0]
    held_return = _NAN if buy_and_hold is None else total_return(buy_and_hold, starting_cash)
    return Statistics(
        total_return=total,
        cagr=growth,
        volatility=volatility(earned, annualisation),
        sharpe=sharpe(earned, risk_free_rate, annualisation),
        sortino=sortino(earned, risk_free_rate, annualisation),
        calmar=calmar(growth, deepest.depth),
        max_drawdown=deepest.depth,
        max_drawdown_days=deepest.days,
        exposure=_NAN if position is None else exposure(position),
        n_trades=n_trades,
        win_rate=win_rate(net_profit),
        profit_factor=profit_factor(net_profit),
        expectancy=float(net_profit.sum()) / n_trades if n_trades else _NAN,
        average_trade=float(trade_return.sum()) / n_returns if n_returns else _NAN,
        best_trade=float(trade_return.max()) if n_returns else _NAN,
        worst_trade=float(trade_return.min()) if n_returns else _NAN,
        turnover=turnover(traded_notional, equity, annualisation),
        buy_and_hold_return=held_return,
        alpha=alpha,
        beta=beta,
        probabilistic_sharpe=probabilistic_sharpe(earned),
        annualisation=annualisation,
    )


def by_year(
    equity: FloatArray,
    starting_cash: float,
    sessions: IntArray,
    *,
    buy_and_hold: FloatArray | None = None,
    annualisation: int = DAYS_A_YEAR,
) -> list[Period]:
    """Return the figures of each calendar year that has a session."""
    return _by_period(equity, starting_cash, sessions, buy_and_hold, annualisation, 12)


def by_month(
    equity: FloatArray,
    starting_cash: float,
    sessions: IntArray,
    *,
    buy_and_hold: FloatArray | None = None,
    annualisation: int = DAYS_A_YEAR,
) -> list[Period]:
    """Return the figures of each calendar month that has a session."""
    return _by_period(equity, starting_cash, sessions, buy_and_hold, annualisation, 1)


def _by_period(
    equity: FloatArray,
    starting_cash: float,
    sessions: IntArray,
    buy_and_hold: FloatArray | None,
    annualisation: int,
    n_months: int,
) -> list[Period]:
    """Cut session-end equity into calendar periods; each starts from the last one's end.

    Volatility is yearly and the drawdown is within the period, from the
    equity it started with.
    """
    months = sessions.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    numbers = months // n_months
    periods = []
    start = 0
    for stop in (session_ends(numbers) + 1).tolist():
        base = float(equity[start - 1]) if start else starting_cash
        part = equity[start:stop]
        earned = returns(part, base)
        held = _NAN
        if buy_and_hold is not None:
            held_base = float(buy_and_hold[start - 1]) if start else starting_cash
            held = total_return(buy_and_hold[start:stop], held_base)
        month = int(months[start])
        periods.append(
            Period(
                year=1970 + month // 12,
                month=month % 12 + 1 if n_months == 1 else 0,
                n_sessions=stop - start,
                total_return=total_return(part, base),
                buy_and_hold_return=held,
                volatility=volatility(earned, annualisation),
                sharpe=sharpe(earned, 0.0, annualisation),
                max_drawdown=float(drawdown(part, base).max()),
            )
        )
        start = stop
    return periods


def _drawdown_at(
    equity: FloatArray,
    ts: IntArray,
    starting_cash: float,
    depth: float,
    i_peak: int,
    i_trough: int,
) -> Drawdown:
    """Complete a drawdown by its recovery: the first bar back at the peak."""
    peak = float(equity[i_peak]) if i_peak >= 0 else starting_cash
    recovered = equity[i_trough:] >= peak
    # While not recovered the index -1 is also the last bar, where the days end.
    i_recovery = i_trough + int(recovered.argmax()) if recovered.any() else -1
    start = int(ts[max(i_peak, 0)])
    stop = int(ts[i_recovery])
    return Drawdown(depth, i_peak, i_trough, i_recovery, (stop - start) // _NANOSECONDS_A_DAY)


def _compound(rate: float, n_periods: float) -> float:
    """Compound a rate over a number of periods; NaN below -1 and beyond float64."""
    if not rate >= -1.0:
        return _NAN
    try:
        return float((1.0 + rate) ** n_periods - 1.0)
    except OverflowError:
        return _NAN


def _dot(left: FloatArray, right: FloatArray) -> float:
    """Return the sum of products in numpy's own order of addition.

    A BLAS dot product adds in an order that depends on the number of threads,
    and the same inputs must give the same bytes.
    """
    return float((left * right).sum())


def _deviation(values: FloatArray) -> float:
    """Return the sample standard deviation (ddof 1); NaN for fewer than two values."""
    n = values.shape[0]
    if n < 2:
        return _NAN
    centred = values - float(values.sum()) / n
    return math.sqrt(_dot(centred, centred) / (n - 1))


def _session_sharpe(session_returns: FloatArray, rate: float) -> float:
    """Return the Sharpe ratio for one session; NaN without volatility."""
    deviation = _deviation(session_returns)
    if not deviation > _ROUNDING:
        return _NAN
    return (float(session_returns.sum()) / session_returns.shape[0] - rate) / deviation
