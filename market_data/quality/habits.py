"""What is usual for an instrument: runs by its own habit, scales by time of day.

All figures are robust: a defect must not pass for the habit that it breaks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market_data.quality.limits import Limits

Int64Array = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Flags = NDArray[np.bool_]

# A normal distribution's standard deviation over its median absolute deviation.
MAD_SIGMA = 1.4826
_ENOUGH = 100_000
_PRIMES = (2, 3, 5, 7, 11, 17, 29, 53, 101, 211, 431, 863, 1723, 10_007, 1_000_003)
# Stretches fewer than this can't be told apart by time of day.
_FEWEST_STRETCHES = 4


def runs(flags: Flags) -> tuple[Int64Array, Int64Array]:
    """Return starts and stops of the runs of true."""
    if flags.shape[0] == 0 or not flags.any():
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    edges = np.flatnonzero(flags[1:] != flags[:-1]) + 1
    if flags[0]:
        edges = np.concatenate(([0], edges))
    if flags[-1]:
        edges = np.concatenate((edges, [flags.shape[0]]))
    return edges[::2], edges[1::2]


@dataclass(frozen=True, slots=True)
class Habit:
    """How often a thing begins and how often it goes on, by bucket of the day.

    Attributes
    ----------
    rate : float
        Share of bars (or slots) that are of the kind, without the worst stretches.
    begins : float
        Chance that a run begins at a bar.
    goes_on : float64 array, shape (n_buckets,)
        Chance that a run goes on at the next bar.
    """

    rate: float
    begins: float
    goes_on: FloatArray

    def longest(self, n_bars: int, limits: Limits) -> FloatArray:
        """Return the longest run that chance explains, by bucket."""
        expected = max(n_bars * self.begins, 1e-300)
        if expected <= limits.chance:
            return np.zeros(self.goes_on.shape[0])
        ratio: FloatArray = math.log(limits.chance / expected) / np.log(self.goes_on)
        return np.ceil(limits.habit_times * np.maximum(ratio, 0.0))


def habit(
    flags: Flags,
    stretch: Int64Array,
    bucket: Int64Array,
    limits: Limits,
    *,
    least_begins: float,
    least_goes_on: float,
) -> Habit:
    """Measure how often runs begin and go on, leaving out the worst stretches.

    Parameters
    ----------
    flags : bool array, shape (n,)
    stretch : int64 array, shape (n,)
        Number of the stretch (a session, a month), from 0, not falling.
    bucket : int64 array, shape (n,)
        Time of day, from 0.
    least_begins, least_goes_on : float
        Chances assumed at least.
    """
    n_stretches, n_buckets = int(stretch[-1]) + 1, int(bucket.max()) + 1
    cell = stretch * n_buckets + bucket
    marked = np.flatnonzero(flags)
    after = marked[marked > 0]
    after = after[flags[after - 1]]
    before = marked[marked < flags.shape[0] - 1] + 1
    shape = (n_stretches, n_buckets)
    size = n_stretches * n_buckets
    total = _counted(cell, size).reshape(shape)
    n_marked = _counted(cell[marked], size).reshape(shape)
    n_on = _counted(cell[after], size).reshape(shape)
    n_before = _counted(cell[before], size).reshape(shape)
    if n_stretches < _FEWEST_STRETCHES:
        total, n_marked, n_on, n_before = (
            one.reshape(-1, 1) for one in (total, n_marked, n_on, n_before)
        )
    kept = _least_marked(total, n_marked, limits.trimmed)
    rows = np.take_along_axis
    n_kept = rows(total, kept, 0).sum(axis=0)
    n_marked = rows(n_marked, kept, 0).sum(axis=0)
    n_on = rows(n_on, kept, 0).sum(axis=0)
    n_before = rows(n_before, kept, 0).sum(axis=0)
    every = max(float(n_kept.sum()), 1.0)
    goes_on = (n_on + least_goes_on) / (n_before + 1.0)
    # What was seen few times may be more usual than it seems: two standard errors.
    spread = np.sqrt(goes_on * (1.0 - np.minimum(goes_on, 1.0)) / (n_before + 1.0))
    goes_on = goes_on + 2.0 * spread * n_before / (n_before + 1.0)
    goes_on = np.clip(goes_on, least_goes_on, 0.999)
    if goes_on.shape[0] < n_buckets:
        goes_on = np.full(n_buckets, goes_on[0])
    begins = max(float((n_marked - n_on).sum()) / every, least_begins)
    return Habit(float(n_marked.sum()) / every, begins, goes_on)


def _counted(cell: Int64Array, size: int) -> Int64Array:
    return np.bincount(cell, minlength=size)


def _least_marked(total: Int64Array, marked: Int64Array, share: float) -> Int64Array:
    """Return by bucket the stretches to keep: all but the worst of those that have bars."""
    n = total.shape[0]
    if n == 1:
        return np.zeros((1, total.shape[1]), np.int64)
    rate = marked / np.maximum(total, 1)
    n_worst = max(math.ceil(n * share), 2 if n >= 2 * _FEWEST_STRETCHES else 1)
    n_kept = n - n_worst
    return np.argsort(rate, axis=0, kind="stable")[:n_kept]


def usual_by_bucket(
    values: FloatArray, bucket: Int64Array, n_buckets: int, *, least: int = 5
) -> FloatArray:
    """Return the median of values of each bucket; of all where a bucket has few.

    Of long series every so many values are enough for a median.
    """
    if values.shape[0] > 2 * _ENOUGH:
        # A prime step meets every time of day.
        step = next(prime for prime in _PRIMES if prime * _ENOUGH >= values.shape[0] / 2)
        values, bucket = values[::step], bucket[::step]
    # A stable sort of small integers is a radix sort.
    order = np.argsort(bucket.astype(np.int16), kind="stable")
    grouped = values[order]
    stops = np.cumsum(np.bincount(bucket, minlength=n_buckets))
    every = float(np.median(values)) if values.shape[0] else 0.0
    usual = np.full(n_buckets, every)
    start = 0
    for i, stop in enumerate(stops.tolist()):
        if stop - start >= least:
            usual[i] = np.median(grouped[start:stop])
        start = stop
    return usual


def block_medians(values: FloatArray, length: int) -> FloatArray:
    """Return the median of each block of so many values; the last may be longer."""
    n = values.shape[0]
    if n < 2 * length:
        return np.array([np.median(values)]) if n else np.ones(1)
    whole = n // length
    medians = np.median(values[: whole * length].reshape(whole, length), axis=1)
    medians[-1] = np.median(values[(whole - 1) * length :])
    return medians


def highest_around(values: FloatArray) -> FloatArray:
    """Return the highest of each value and its two neighbours."""
    around = values.copy()
    np.maximum(around[1:], values[:-1], out=around[1:])
    np.maximum(around[:-1], values[1:], out=around[:-1])
    return around


def spread_blocks(blocks: FloatArray, length: int, n: int) -> FloatArray:
    """Return a value for each of n bars from one for each block."""
    index = np.minimum(np.arange(n) // length, blocks.shape[0] - 1)
    return np.asarray(blocks[index])


def robust_sigma(values: FloatArray) -> float:
    """Return the standard deviation that the median absolute deviation suggests."""
    if values.shape[0] == 0:
        return 0.0
    return float(MAD_SIGMA * np.median(np.abs(values - np.median(values))))
