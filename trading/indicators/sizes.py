"""State sizes of the windows in `trading.indicators.windows`, in float64 slots."""

from __future__ import annotations

AVERAGE = 2  # ema_nb, wilder_nb
CANDLES = 1 + 6 + 4 * 16  # candles: bars seen, sums, rings of open, high, low, close


def sum_size(length: float) -> int:
    """Return the slots of `window_sum_nb` and `window_mean_nb`."""
    return 4 + int(length)


def wma_size(length: float) -> int:
    """Return the slots of `window_wma_nb`."""
    return 6 + int(length)


def extreme_size(length: float) -> int:
    """Return the slots of `window_highest_nb` and `window_lowest_nb`."""
    return 3 + int(length)


def range_size(length: float) -> int:
    """Return the slots of `window_range_nb`."""
    return 4 + 2 * int(length)


def moments_size(length: float) -> int:
    """Return the slots of `window_moments_nb`."""
    return 8 + int(length)


def delay_size(length: float) -> int:
    """Return the slots of `delay_nb`."""
    return 2 + int(length)
