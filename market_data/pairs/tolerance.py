"""How far apart prices of one bar may be before it is a disagreement.

One step of the price grid in each source is rounding. Beyond it two honest
sources differ by what a buyer and a seller differ: the spread. It is taken
from quotes where they are stored; else it is estimated from the bars.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from market_data.columns import BarColumns
from market_data.pairs.matching import FloatArray

_GRIDS = (1.0, 0.5, 0.25, 0.125, 0.1, 0.05, 0.0625, 0.01, 0.005, 0.001, 0.0005, 0.0001, 0.00005,
          0.00001, 0.000005, 0.000001)  # fmt: skip
# Providers hand prices on as 32-bit numbers, which have seven digits.
_FLOAT32 = 1e-7
_ON_GRID = 0.9
# Three standard deviations of the differences that two sources usually have.
_USUAL = 3.0 * 1.4826
_USUAL_WORDS = "three robust deviations of the two sources' usual difference"
_FEWEST = 30


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What may be between two prices of one bar.

    Attributes
    ----------
    rounding : float64 array, shape (n_matched,)
        Half a step of each source's grid, in the first one's money.
    spread : float64 array, shape (n_matched,)
        What the spread allows, in the first one's money; no market's is below a
        tick.
    tick : float
        The larger of both grids' steps at the last bar, first one's money.
    method : str
        Where the spread comes from, in words, with its source.
    """

    rounding: FloatArray
    spread: FloatArray
    tick: float
    method: str


def infer_tick(prices: FloatArray) -> float:
    """Return the coarsest grid that nearly all prices lie on, 0 when on none.

    Parameters
    ----------
    prices : float64 array
        Adjusted prices lie on no grid but that of their last digit.
    """
    sample = prices[np.isfinite(prices)]
    if sample.shape[0] > 20_000:
        sample = sample[:: sample.shape[0] // 20_000 + 1]
    if sample.shape[0] == 0:
        return 0.0
    for grid in _GRIDS:
        steps = sample / grid
        off = np.abs(steps - np.round(steps)) * grid
        if float(np.mean(off <= np.maximum(_FLOAT32 * sample, 1e-9))) >= _ON_GRID:
            return grid
    return 0.0


def roll_spread(close: FloatArray) -> float:
    """Estimate the relative spread from the bounce of closes.

    Returns
    -------
    float
        NaN when returns don't bounce (their autocovariance is positive), of
        which the model can say nothing.

    Notes
    -----
    2 √(−cov(r_t, r_{t−1})). Roll (1984), A simple implicit measure of the
    effective bid-ask spread in an efficient market, Journal of Finance 39(4).
    """
    returns = np.diff(np.log(close))
    if returns.shape[0] < _FEWEST:
        return math.nan
    covariance = float(np.cov(returns[1:], returns[:-1])[0, 1])
    return 2.0 * math.sqrt(-covariance) if covariance < 0 else math.nan


def corwin_schultz_spread(high: FloatArray, low: FloatArray) -> float:
    """Estimate the relative spread from highs and lows of neighbouring bars.

    Notes
    -----
    The mean of S = 2(e^α − 1)/(1 + e^α) over pairs of bars, negative ones as
    0. Corwin and Schultz (2012), A simple way to estimate bid-ask spreads from
    daily high and low prices, Journal of Finance 67(2), equations 14 and 18;
    without their adjustment for gaps over night.
    """
    if high.shape[0] < _FEWEST:
        return math.nan
    single = np.log(high / low) ** 2
    beta = single[1:] + single[:-1]
    both = np.maximum(high[1:], high[:-1]) / np.minimum(low[1:], low[:-1])
    gamma = np.log(both) ** 2
    k = 3.0 - 2.0 * math.sqrt(2.0)
    alpha = (np.sqrt(2.0 * beta) - np.sqrt(beta)) / k - np.sqrt(gamma / k)
    spread = 2.0 * (np.exp(alpha) - 1.0) / (1.0 + np.exp(alpha))
    return float(np.mean(np.maximum(spread, 0.0)))


def estimate_tolerance(
    a: BarColumns,
    b: BarColumns,
    factor: FloatArray,
    *,
    tick_a: float = 0.0,
    tick_b: float = 0.0,
) -> Tolerance:
    """Return the tolerance of each matched bar.

    Parameters
    ----------
    a, b : BarColumns
        The matched bars, row by row.
    factor : float64 array, shape (n_matched,)
        Brings the second one's prices into the first one's money.
    tick_a, tick_b : float
        Steps of the prices; 0 infers them.
    """
    tick_a = tick_a or infer_tick(a.prices[3])
    tick_b = tick_b or infer_tick(b.prices[3])
    level = a.prices[3]
    # Half a step of each, and what 32-bit numbers lose.
    rounding = 0.5 * tick_a + 0.5 * tick_b * factor + 2.0 * _FLOAT32 * level
    tick = max(tick_a, tick_b * float(factor[-1]) if factor.shape[0] else tick_b)
    quoted = _quoted_spread(a, b, factor)
    if quoted is not None:
        spread = np.maximum(quoted, tick + rounding)
        return Tolerance(rounding, spread, tick, "the stored bid and ask")
    relative, method = _estimated_spread(a, b, factor)
    return Tolerance(rounding, np.maximum(relative * level, tick + rounding), tick, method)


def _quoted_spread(a: BarColumns, b: BarColumns, factor: FloatArray) -> FloatArray | None:
    """Return the wider of the stored spreads at each bar, the usual one where it is missing."""
    spreads = []
    for columns, scale in ((a, 1.0), (b, factor)):
        if columns.bid is None or columns.ask is None:
            continue
        width = (columns.ask - columns.bid).max(axis=0) * scale
        width = np.where(width > 0, width, np.nan)
        if np.isfinite(width).mean() >= 0.5:
            spreads.append(np.where(np.isfinite(width), width, np.nanmedian(width)))
    return np.max(spreads, axis=0) if spreads else None


def _estimated_spread(a: BarColumns, b: BarColumns, factor: FloatArray) -> tuple[float, str]:
    """Return the smaller of two estimates; both say more than the spread alone.

    Corwin and Schultz' is known to be too wide for liquid instruments, and the
    usual difference holds whatever both sources do wrong all the time.
    """
    difference = np.abs(np.log(b.prices[:4] * factor / a.prices[:4]))
    usual = _USUAL * float(np.median(difference))
    if not (bool(np.any(a.prices[4])) and bool(np.any(b.prices[4]))):
        # Prices without volume are the middle of quotes: they don't bounce
        # between bid and ask, and so say nothing of the spread.
        return usual, _USUAL_WORDS
    bars = (
        corwin_schultz_spread(a.prices[1], a.prices[2]),
        corwin_schultz_spread(b.prices[1], b.prices[2]),
    )
    from_bars = min((spread for spread in bars if spread > 0), default=math.inf)
    if from_bars < usual:
        return from_bars, "Corwin and Schultz (2012), from highs and lows"
    return usual, _USUAL_WORDS
