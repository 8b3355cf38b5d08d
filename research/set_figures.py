"""Figures of many parameter sets at once: the numbers of `core_figures`, as arrays.

A walk-forward analysis asks for thousands of rows; one by one they would take
longer than running the sets. A test holds every value equal to `core_figures`
bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from foundation.errors import SpecError
from research.figures import LOWER_IS_BETTER, CoreFigures
from trading import statistics

FloatArray = NDArray[np.float64]
# As `statistics` has it: a deviation below this is rounding, not volatility.
_ROUNDING = 1e-14
RETURN_OVER_DRAWDOWN = "return_over_drawdown"
# Figures that a choice may go by: those of a row, and one more.
OBJECTIVES = (*(spec.name for spec in fields(CoreFigures)), RETURN_OVER_DRAWDOWN)


def check_objective(name: str) -> None:
    """Refuse the name of a figure that no set has."""
    if name not in OBJECTIVES:
        raise SpecError(f"unknown figure {name!r}", hint=f"there are {', '.join(OBJECTIVES)}")


def is_lower_better(name: str) -> bool:
    """Tell whether less of a figure is better."""
    return name in LOWER_IS_BETTER


def set_returns(equity: FloatArray, cash: float) -> FloatArray:
    """Return each set's return of each session; NaN from a base that is not positive.

    Parameters
    ----------
    equity : float64 array, shape (n_sets, n_sessions)
    """
    base = np.empty_like(equity)
    base[:, 0] = cash
    base[:, 1:] = equity[:, :-1]
    result = np.full_like(equity, math.nan)
    np.divide(equity, base, out=result, where=base > 0.0)
    result -= 1.0
    return result


def session_sharpes(returns: FloatArray) -> FloatArray:
    """Return each set's Sharpe ratio for one session, not a year; NaN without volatility.

    Parameters
    ----------
    returns : float64 array, shape (n_sets, n_sessions)
    """
    n = returns.shape[1]
    if n < 2:
        return np.full(returns.shape[0], math.nan)
    mean = returns.sum(axis=1) / n
    centred = returns - mean[:, None]
    deviation = np.sqrt((centred * centred).sum(axis=1) / (n - 1))
    return np.divide(mean, deviation, out=np.full_like(mean, math.nan), where=deviation > _ROUNDING)


def set_figures(
    headers: NDArray[np.void],
    equity: FloatArray,
    cash: float,
    n_bars: int,
    annualisation: int,
    max_drawdown: FloatArray | None = None,
) -> dict[str, FloatArray]:
    """Compute the figures of many sets.

    Parameters
    ----------
    headers : HEADER array, shape (n_sets,)
        States after the last bar.
    equity : float64 array, shape (n_sets, n_sessions)
        At session ends.
    max_drawdown : float64 array, shape (n_sets,), optional
        In the place of the sleeves' own, for a portfolio.

    Returns
    -------
    dict of name to float64 array, shape (n_sets,)
        NaN where a figure is not defined.
    """
    n_sets, n = equity.shape
    returns = set_returns(equity, cash)
    total = equity[:, -1] / cash - 1.0
    growth = np.array([statistics.cagr(float(one), n, annualisation) for one in total])
    mean = returns.sum(axis=1) / n
    centred = returns - mean[:, None]
    squares = (centred * centred).sum(axis=1)
    deviation = np.sqrt(squares / (n - 1)) if n > 1 else np.full(n_sets, math.nan)
    ratio = _over(mean, deviation, deviation > _ROUNDING)
    shortfall = np.minimum(returns, 0.0)
    downside = np.sqrt((shortfall * shortfall).sum(axis=1) / n)
    depth = headers["max_drawdown"].copy() if max_drawdown is None else max_drawdown
    trades = headers["n_trades"].astype(np.float64)
    wins, losses = headers["gross_wins"], headers["gross_losses"]
    held = equity.sum(axis=1)
    nothing = np.full(n_sets, math.nan)
    return {
        "final_equity": equity[:, -1].copy(),
        "total_return": total,
        "cagr": growth,
        "volatility": deviation * math.sqrt(annualisation),
        "sharpe": ratio * math.sqrt(annualisation),
        "sortino": _over(mean, downside, downside > _ROUNDING) * math.sqrt(annualisation),
        "calmar": _over(growth, depth, depth > 0.0),
        "max_drawdown": depth,
        "exposure": headers["bars_in_position"] / n_bars if n_bars else nothing,
        "n_orders": headers["next_sequence"].astype(np.float64),
        "n_fills": headers["n_fills"].astype(np.float64),
        "n_trades": trades,
        "win_rate": _over(headers["n_wins"].astype(np.float64), trades, trades > 0),
        "profit_factor": _over(wins, losses, losses > 0.0),
        "expectancy": _over(wins - losses, trades, trades > 0),
        "total_commission": headers["total_commission"].copy(),
        "total_slippage": headers["total_slippage"].copy(),
        "total_borrow_cost": headers["total_borrow_cost"].copy(),
        "total_dividends": headers["total_dividends"].copy(),
        "lowest_cash": headers["lowest_cash"].copy(),
        "turnover": _over(headers["turnover_notional"], held, held > 0.0) * annualisation,
        "probabilistic_sharpe": _probabilistic(centred, ratio),
        RETURN_OVER_DRAWDOWN: _over(total, depth, depth > 0.0),
    }


def _over(above: FloatArray, below: FloatArray, where: NDArray[np.bool_]) -> FloatArray:
    return np.divide(above, below, out=np.full(len(above), math.nan), where=where)


def _probabilistic(centred: FloatArray, ratio: FloatArray) -> FloatArray:
    n = centred.shape[1]
    squared = centred * centred
    second = squared.sum(axis=1) / n
    third = (squared * centred).sum(axis=1) / n
    fourth = (squared * squared).sum(axis=1) / n
    return np.array(
        [
            statistics.probabilistic_sharpe_of_moments(
                float(r), n, float(t) / float(s) ** 1.5, float(f) / (float(s) * float(s))
            )
            if math.isfinite(r)
            else math.nan
            for r, s, t, f in zip(ratio, second, third, fourth, strict=True)
        ]
    )


def scores(figures: Mapping[str, FloatArray], objective: str, n_trades_min: int = 0) -> FloatArray:
    """Return what a choice goes by: more is better, NaN for a set that can't be chosen.

    Parameters
    ----------
    n_trades_min : int
        A set with fewer trades than this can't be chosen: its figures say little.
    """
    check_objective(objective)
    values = figures[objective]
    signed = -values if is_lower_better(objective) else values.copy()
    signed[~np.isfinite(signed)] = math.nan
    signed[figures["n_trades"] < n_trades_min] = math.nan
    return signed
