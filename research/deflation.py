"""How much of a Sharpe ratio is left once it is known how many were tried.

The best of N strategies without any skill has a Sharpe ratio above zero. The
deflated Sharpe ratio is the probabilistic one against the ratio that the best
of N such trials is expected to have. Bailey and Lopez de Prado (2014), The
Deflated Sharpe Ratio, Journal of Portfolio Management 40 (5). All ratios here
are for one session, not a year.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from research.set_figures import session_sharpes
from trading import statistics

FloatArray = NDArray[np.float64]
EULER_MASCHERONI = 0.5772156649015329


@dataclass(frozen=True, slots=True)
class Trials:
    """What is known of a number of tried parameter sets.

    Attributes
    ----------
    n_sets : int
        Distinct sets that were run.
    n_with_sharpe : int
        Those whose returns vary, which mean and variance are of.
    n_effective : float
        How many independent trials they are worth; see `effective_trials`.
    sharpe_mean, sharpe_variance : float
        Over the sets, of their Sharpe ratios for one session (ddof 1); NaN
        where not defined.
    """

    n_sets: int
    n_with_sharpe: int
    n_effective: float
    sharpe_mean: float
    sharpe_variance: float


def measure_trials(returns: FloatArray) -> Trials:
    """Measure tried sets by their session returns.

    Parameters
    ----------
    returns : float64 array, shape (n_sets, n_sessions)
    """
    sharpes = session_sharpes(returns)
    known = np.isfinite(sharpes)
    n = int(known.sum())
    return Trials(
        len(returns),
        n,
        effective_trials(returns[known]) if n else 0.0,
        float(sharpes[known].mean()) if n else math.nan,
        float(sharpes[known].var(ddof=1)) if n > 1 else math.nan,
    )


def effective_trials(returns: FloatArray) -> float:
    """Return how many independent trials correlated ones are worth.

    rho + (1 - rho) N with rho the mean correlation between the trials'
    returns, 1 when all are the same and N when none have to do with each
    other; a negative mean counts as none. The paper's appendix A.3 has it.

    Parameters
    ----------
    returns : float64 array, shape (n_trials, n_sessions)
        Of trials whose returns vary.
    """
    n = len(returns)
    if n < 2:
        return float(n)
    centred = returns - returns.mean(axis=1, keepdims=True)
    unit = centred / np.sqrt((centred * centred).sum(axis=1, keepdims=True))
    # The sum over all pairs is the square of the sum, so no matrix of pairs is needed.
    together = unit.sum(axis=0)
    rho = (float((together * together).sum()) - n) / (n * (n - 1))
    rho = min(max(rho, 0.0), 1.0)
    return rho + (1.0 - rho) * n


def pool(trials: Sequence[Trials]) -> Trials:
    """Add the trials of several studies up.

    The variance is that of all their ratios together, within the studies and
    between them. The effective numbers are added, as if no study repeated
    another: an upper bound.
    """
    known = [one for one in trials if one.n_with_sharpe]
    n = sum(one.n_with_sharpe for one in known)
    mean = sum(one.n_with_sharpe * one.sharpe_mean for one in known) / n if n else math.nan
    squares = sum(
        (one.n_with_sharpe - 1) * (one.sharpe_variance if one.n_with_sharpe > 1 else 0.0)
        + one.n_with_sharpe * (one.sharpe_mean - mean) ** 2
        for one in known
    )
    return Trials(
        sum(one.n_sets for one in trials),
        n,
        sum(one.n_effective for one in trials),
        mean,
        squares / (n - 1) if n > 1 else math.nan,
    )


def expected_maximum(n_trials: float, variance: float) -> float:
    """Return the Sharpe ratio that the best of N trials without skill is expected to have.

    sqrt(V) ((1 - g) Z(1 - 1 / N) + g Z(1 - 1 / (N e))) with Z the normal
    quantile and g the Euler-Mascheroni constant; 0 for a single trial. The
    paper's equation 1.

    Parameters
    ----------
    n_trials : float
        Independent trials, >= 1.
    variance : float
        Of their Sharpe ratios.
    """
    if n_trials < 1.0 or not variance >= 0.0:
        return math.nan
    if n_trials == 1.0:
        return 0.0
    quantile = NormalDist().inv_cdf
    first = quantile(1.0 - 1.0 / n_trials)
    second = quantile(1.0 - 1.0 / (n_trials * math.e))
    # Below about 1.6 trials the approximation goes negative, which no maximum of them is.
    return max(
        0.0,
        math.sqrt(variance) * ((1.0 - EULER_MASCHERONI) * first + EULER_MASCHERONI * second),
    )


def deflated_sharpe(session_returns: FloatArray, trials: Trials) -> float:
    """Return the probability that a chosen set's true Sharpe ratio is above luck's.

    The number of trials is every set on record, correlated or not: more than
    the independent ones that the paper means, and so the stricter.

    Parameters
    ----------
    session_returns : float64 array, shape (n_sessions,)
        Of the chosen set.
    trials : Trials
        All that were tried, the chosen one included. Of a single one, or of
        ones that are all alike, the probabilistic Sharpe ratio is left.
    """
    return statistics.probabilistic_sharpe(session_returns, benchmark_sharpe(trials))


def benchmark_sharpe(trials: Trials, *, effective: bool = False) -> float:
    """Return the Sharpe ratio for one session that luck alone would have reached."""
    n = trials.n_effective if effective else float(trials.n_sets)
    if trials.n_with_sharpe < 2 or n <= 1.0:
        return 0.0
    return expected_maximum(n, trials.sharpe_variance)
