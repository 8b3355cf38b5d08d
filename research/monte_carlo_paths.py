"""What Monte Carlo paths are asked for and what comes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foundation.errors import SpecError

FloatArray = NDArray[np.float64]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
N_PATHS_MAX = 100_000
# Points of a band over trades or sessions; more say nothing in a picture.
N_BAND_POINTS = 400
N_BAND_CELLS = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MonteCarloOptions:
    """What is varied, and how much.

    Attributes
    ----------
    n_orders : int
        Paths of shuffled and of drawn trades each.
    n_noise : int
        Paths of entry noise, each a run of the engine; 0 for none.
    skip, delay : float
        Share of entry episodes missed altogether, and seen late.
    delay_bars : int
        By how many bars.
    noise_bps, noise_ticks, noise_range : float
        Standard deviation of the noise in entry prices: in basis points of the
        bar's open, in ticks of the instrument, and as a share of the bar's
        range from low to high. Stated together they are independent errors.
    ruin : float
        Ruin is equity at or below this share of the start.
    """

    n_orders: int = 5_000
    n_noise: int = 200
    skip: float = 0.1
    delay: float = 0.1
    delay_bars: int = 1
    noise_bps: float = 5.0
    noise_ticks: float = 0.0
    noise_range: float = 0.0
    ruin: float = 0.5
    seed: int = 0

    def describe(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


AS_USUAL = MonteCarloOptions()


@dataclass(frozen=True, slots=True)
class Paths:
    """What came of the paths of one kind.

    Attributes
    ----------
    final_equity, max_drawdown : float64 arrays, shape (n_paths,)
    ruined : bool array, shape (n_paths,)
    n_trades : int64 array, shape (n_paths,)
    band_x : int64 array, shape (n_points,)
        Trades done, or session dates as days since 1970-01-01.
    bands : float64 array, shape (len(QUANTILES), n_points)
        Quantiles of equity over all paths.
    """

    final_equity: FloatArray
    max_drawdown: FloatArray
    ruined: NDArray[np.bool_]
    n_trades: NDArray[np.int64]
    band_x: NDArray[np.int64]
    bands: FloatArray


def check_options(options: MonteCarloOptions) -> None:
    """Refuse options outside their bounds.

    Raises
    ------
    SpecError
        Naming the option.
    """
    for name, value, least, most in (
        ("orders", options.n_orders, 1, N_PATHS_MAX),
        ("noise", options.n_noise, 0, N_PATHS_MAX),
        ("skip", options.skip, 0.0, 1.0),
        ("delay", options.delay, 0.0, 1.0),
        ("delay_bars", options.delay_bars, 1, 10_000),
        ("noise_bps", options.noise_bps, 0.0, 10_000.0),
        ("noise_ticks", options.noise_ticks, 0.0, 10_000.0),
        ("noise_range", options.noise_range, 0.0, 100.0),
        ("ruin", options.ruin, 0.0, 1.0),
    ):
        if not least <= value <= most:
            raise SpecError(f"must be from {least:,} to {most:,}, got {value:,}", path=name)
    if options.skip + options.delay > 1.0:
        raise SpecError(
            f"skip and delay must add up to at most 1, got {options.skip + options.delay:g}"
        )


def points_of(n: int, n_paths: int) -> NDArray[np.int64]:
    """Return places of n at which a band is drawn, the first and the last among them.

    At most `N_BAND_POINTS`, and fewer of very many paths, whose equity there is
    kept until the quantiles are known.
    """
    most = max(2, min(n, N_BAND_POINTS, N_BAND_CELLS // n_paths))
    return np.unique(np.linspace(0, n - 1, most).round().astype(np.int64))


def deepest(equity: FloatArray) -> FloatArray:
    """Return the largest drawdown of each path, as a positive fraction.

    Parameters
    ----------
    equity : float64 array, shape (n_paths, n_points)
    """
    peak = np.maximum.accumulate(equity, axis=1)
    depth: FloatArray = (1.0 - equity / peak).max(axis=1)
    return depth


def path_figures(paths: Paths, start: float) -> dict[str, float]:
    """Return what the paths of one kind come to."""
    low, middle, high = (0.05, 0.5, 0.95)
    total = paths.final_equity / start - 1.0
    return {
        "n_paths": float(len(total)),
        "return_05": float(np.quantile(total, low)),
        "return_50": float(np.quantile(total, middle)),
        "return_95": float(np.quantile(total, high)),
        "share_of_losses": float((total < 0.0).mean()),
        "drawdown_50": float(np.quantile(paths.max_drawdown, middle)),
        "drawdown_95": float(np.quantile(paths.max_drawdown, high)),
        "share_ruined": float(paths.ruined.mean()),
        "trades_50": float(np.quantile(paths.n_trades, middle)),
    }
