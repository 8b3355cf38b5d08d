"""Figures of a run: from a sleeve's state and session equity to a result's numbers.

A backtest's summary and a sweep's row take them from the same function, so
that they are equal bit for bit. Imported by screens too, so it needs no kernel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from trading import statistics

# Figures of which less is better; of every other one, more is.
LOWER_IS_BETTER = frozenset(
    ("max_drawdown", "volatility", "total_commission", "total_slippage", "total_borrow_cost")
)


@dataclass(frozen=True, slots=True)
class CoreFigures:
    """Figures that need no rows, only the sleeve's state and session equity.

    Fractions, ratios and currency as in `trading.statistics.Statistics`; NaN
    where a figure is not defined. `lowest_cash` of one instrument counts every
    fill and cash event; of several it is the lowest of their cash together at
    bar closes.
    """

    final_equity: float
    total_return: float
    cagr: float
    volatility: float
    sharpe: float
    sortino: float
    calmar: float
    max_drawdown: float
    exposure: float
    n_orders: int
    n_fills: int
    n_trades: int
    win_rate: float
    profit_factor: float
    expectancy: float
    total_commission: float
    total_slippage: float
    total_borrow_cost: float
    total_dividends: float
    lowest_cash: float
    turnover: float
    probabilistic_sharpe: float

    def as_record(self) -> dict[str, float | int | None]:
        """Return the figures by name, with None where one is not defined."""
        record: dict[str, float | int | None] = {}
        for spec in fields(self):
            value = getattr(self, spec.name)
            record[spec.name] = value if math.isfinite(value) else None
        return record


def core_figures(
    header: np.void,
    session_equity: NDArray[np.float64],
    cash: float,
    n_bars: int,
    annualisation: int,
    max_drawdown: float | None = None,
    lowest_cash: float | None = None,
) -> CoreFigures:
    """Compute the figures of one sleeve, or of several whose states were summed.

    Parameters
    ----------
    header : HEADER record
        State after the last bar.
    session_equity : float64 array, shape (n_sessions,)
    cash : float
        Starting cash, > 0.
    n_bars : int
        Bars traded, without warm-up.
    max_drawdown, lowest_cash : float, optional
        In the place of the sleeve's own, for a portfolio.
    """
    earned = statistics.returns(session_equity, cash)
    total = statistics.total_return(session_equity, cash)
    growth = statistics.cagr(total, len(session_equity), annualisation)
    depth = float(header["max_drawdown"]) if max_drawdown is None else max_drawdown
    n_trades = int(header["n_trades"])
    wins, losses = float(header["gross_wins"]), float(header["gross_losses"])
    return CoreFigures(
        final_equity=float(session_equity[-1]),
        total_return=total,
        cagr=growth,
        volatility=statistics.volatility(earned, annualisation),
        sharpe=statistics.sharpe(earned, 0.0, annualisation),
        sortino=statistics.sortino(earned, 0.0, annualisation),
        calmar=statistics.calmar(growth, depth),
        max_drawdown=depth,
        exposure=int(header["bars_in_position"]) / n_bars if n_bars else math.nan,
        n_orders=int(header["next_sequence"]),
        n_fills=int(header["n_fills"]),
        n_trades=n_trades,
        win_rate=int(header["n_wins"]) / n_trades if n_trades else math.nan,
        profit_factor=wins / losses if losses > 0.0 else math.nan,
        expectancy=(wins - losses) / n_trades if n_trades else math.nan,
        total_commission=float(header["total_commission"]),
        total_slippage=float(header["total_slippage"]),
        total_borrow_cost=float(header["total_borrow_cost"]),
        total_dividends=float(header["total_dividends"]),
        lowest_cash=float(header["lowest_cash"]) if lowest_cash is None else lowest_cash,
        turnover=statistics.turnover(
            float(header["turnover_notional"]), session_equity, annualisation
        ),
        probabilistic_sharpe=statistics.probabilistic_sharpe(earned),
    )


def sum_headers(headers: NDArray[np.void]) -> np.void:
    """Add up the counts and totals of several sleeves' states.

    Deepest drawdown and lowest cash are NaN in the result: the sleeves have
    theirs at different times.
    """
    total = headers[0].copy()
    for name in (
        "n_fills",
        "n_trades",
        "n_wins",
        "next_sequence",
        "bars_in_position",
        "gross_wins",
        "gross_losses",
        "total_commission",
        "total_slippage",
        "total_borrow_cost",
        "total_dividends",
        "turnover_notional",
        "cash",
    ):
        total[name] = headers[name].sum()
    if len(headers) > 1:
        total["max_drawdown"] = total["lowest_cash"] = math.nan
    return total
