"""Whether two sources' days end at different times, by closes alone.

If A's day ends before B's, B's close is A's plus the move m between the two
times. The difference d = A − B = −m then goes into A's next return with the
opposite sign (A catches up), and lies in B's own return of the day. Bad prints
in one source do the first but not the second, so both are asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from market_data.pairs.matching import FloatArray

_FEWEST = 60
# Two-sided, for each of the two correlations.
_SIGNIFICANT = 1e-4
_NOTABLE = 0.1
_CUT = 5.0


@dataclass(frozen=True, slots=True)
class DayBoundary:
    """What closes tell of the times at which they were taken.

    Attributes
    ----------
    earlier : str
        ``a`` or ``b``, whichever day ends first; empty when nothing is claimed.
    share : float
        Share of a day's variance that lies between the two times; as a share
        of the day it is right only if prices move evenly.
    confidence : float
        0 when nothing is claimed.
    """

    earlier: str
    share: float
    confidence: float


def detect_day_boundary(log_a: FloatArray, log_b: FloatArray) -> DayBoundary:
    """Compare the closes of the same days in the same money.

    Parameters
    ----------
    log_a, log_b : float64 arrays, shape (n_days,)
        Logs of closes.

    Notes
    -----
    Spearman's rank correlations, whose significance is that of
    ρ √(n − 1) against the normal distribution.
    """
    nothing = DayBoundary("", 0.0, 0.0)
    if log_a.shape[0] < _FEWEST:
        return nothing
    difference = log_a - log_b
    returns_a, returns_b = np.diff(log_a), np.diff(log_b)
    unit = 1.4826 * float(np.median(np.abs(returns_b)))
    if unit <= 0:
        return nothing
    share = float(np.median(np.abs(difference)) ** 2 / np.median(np.abs(returns_b)) ** 2)
    if share < _NOTABLE**2:
        return nothing
    inner = difference[1:-1]
    found = []
    for sign, own, other in ((-1.0, returns_a, returns_b), (1.0, returns_b, returns_a)):
        catches_up = _rank_correlation(inner, own[1:]) * sign
        in_the_other = _rank_correlation(inner, other[:-1]) * sign
        n_days = inner.shape[0]
        chances = [_chance(rho, n_days) for rho in (catches_up, in_the_other)]
        found.append(max(chances))
    side = int(np.argmin(found))
    if found[side] >= _SIGNIFICANT:
        return nothing
    return DayBoundary("ab"[side], min(share, 1.0), 1.0 - 2.0 * found[side])


def _rank_correlation(x: FloatArray, y: FloatArray) -> float:
    ranks = [np.argsort(np.argsort(values, kind="stable"), kind="stable") for values in (x, y)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _chance(rho: float, n_days: int) -> float:
    """Return how likely such a correlation, of the expected sign, is by chance."""
    return 0.5 * math.erfc(rho * math.sqrt(n_days - 1.0) / math.sqrt(2.0))
