"""In which money two series are: one factor, steps at splits, the drift of dividends.

Looks at the log ratio of matched closes. A step is where the medians of the
closes before and after differ by more than chance allows; what is between two
steps has one factor. Which series jumps at a step tells which of them is raw:
a split shows in the raw one only.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from market_data.pairs.matching import FloatArray, Int64Array

LEAST_CONFIDENCE = 0.99
# A few days of other closing prices are no new level; a split is one at once.
_SHORTEST_LEVEL = 15
_SHORTEST_SPLIT_LEVEL = 3
_SMALLEST_SPLIT = math.log(1.2)
_LARGEST_DIVIDEND = math.log(1.15)
# A factor this near to a round one is meant to be the round one.
_ROUND = 2e-3
_LARGEST_TERM = 50
# From here a median is steady whatever the single ratios do.
_FEWEST_FOR_FACTOR = 5
_NORMAL_MAD = 1.4826
_MEAN_DEVIATION = 1.2533
# Prices of a few hundred in cents can't show less.
_LEAST_NOISE = 1e-5
# Smaller steps are below what rounding and different closing prices make.
SMALLEST_STEP = 4e-4
_MOST_STEPS = 150
# The standard error of a median is this times that of a mean (normal errors).
_MEDIAN_LOSS = 1.2533


class ScaleKind(StrEnum):
    """What the ratio of two series is."""

    UNKNOWN = "unknown"  # Too few common bars.
    SAME = "same"
    CONSTANT = "constant factor"
    SPLITS = "splits adjusted in one"
    DIVIDENDS = "dividends adjusted in one"
    BOTH = "splits and dividends adjusted in one"
    UNITS = "another unit for a time"
    UNEXPLAINED = "unexplained steps"


@dataclass(frozen=True, slots=True)
class Step:
    """A change of the ratio.

    Attributes
    ----------
    row : int
        First matched bar after it.
    ratio : float
        Second series over first, after the step against before it.
    split_ratio : float
        New shares for an old one if it is a split, else 0.
    jumps_in : str
        ``a`` or ``b``, whichever series' own price jumps there, else empty.
    confidence : float
    """

    row: int
    ratio: float
    split_ratio: float
    jumps_in: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Scale:
    """What the data tells of the ratio of two series.

    Attributes
    ----------
    kind : ScaleKind
    adjusted : str
        ``a`` or ``b`` when one is adjusted and the other raw, else empty.
    steps : tuple of Step
    factors : tuple of float
        First series' price for 1 of the second, between the steps.
    confidence : float
        Of the least certain step; of a constant factor that it is not 1; 0
        when nothing is claimed.
    factor : float64 array, shape (n_matched,)
        By which to multiply the second series at each matched bar.
    """

    kind: ScaleKind
    adjusted: str
    steps: tuple[Step, ...]
    factors: tuple[float, ...]
    confidence: float
    factor: FloatArray


def detect_scale(
    close_a: FloatArray, close_b: FloatArray, *, session: Int64Array, intraday: bool
) -> Scale:
    """Find the factor or factors between two series.

    Parameters
    ----------
    close_a, close_b : float64 arrays, shape (n_matched,)
        Closes of the same bars.
    session : int64 array, shape (n_matched,)
        Steps of intraday bars are looked for between sessions, as splits and
        dividends are, when there are enough of them.
    """
    n_bars = close_a.shape[0]
    if n_bars < _FEWEST_FOR_FACTOR:
        return Scale(ScaleKind.UNKNOWN, "", (), (1.0,), 0.0, np.ones(n_bars))
    ratio = np.log(close_b / close_a)
    starts: Int64Array = np.arange(n_bars, dtype=np.int64)
    if intraday:
        starts = np.flatnonzero(np.append(True, session[1:] != session[:-1]))
        if starts.shape[0] < 2 * _SHORTEST_SPLIT_LEVEL:
            starts = np.arange(n_bars)
    reduced = _medians(ratio, starts)
    cuts, confidences = find_steps(reduced)
    bounds = np.array([0, *starts[cuts].tolist(), n_bars], np.int64)
    levels = [float(np.median(ratio[i:j])) for i, j in itertools.pairwise(bounds)]
    steps = tuple(
        _step(i, int(bounds[i + 1]), levels, close_a, close_b, confidences[i])
        for i in range(len(cuts))
    )
    return _classified(ratio, bounds, levels, steps)


def _medians(values: FloatArray, starts: Int64Array) -> FloatArray:
    """Return the (lower) median of each run of values."""
    if starts.shape[0] == values.shape[0]:
        return values
    counts = np.diff(np.append(starts, values.shape[0]))
    run = np.repeat(np.arange(starts.shape[0]), counts)
    order = np.lexsort((values, run))
    return values[order][starts + (counts - 1) // 2]


def find_steps(values: FloatArray) -> tuple[Int64Array, list[float]]:
    """Find where the level of a noisy piecewise constant series changes.

    Returns
    -------
    cuts : int64 array
        First value of each new level.
    confidences : list of float
        That the levels on both sides differ, by a normal bound on the
        difference of their medians, times the number of places looked at.
    """
    cuts: list[int] = []
    for window, least in (
        (_SHORTEST_SPLIT_LEVEL, _SMALLEST_SPLIT / 2),
        (_SHORTEST_LEVEL, SMALLEST_STEP / 2),
    ):
        for cut in _candidates(values, window, least):
            if all(abs(cut - other) >= window for other in cuts):
                cuts.append(cut)
    cuts.sort()
    while cuts:
        cuts = _placed(values, cuts)
        confidences = [_confidence(values, cuts, i) for i in range(len(cuts))]
        if min(confidences) >= LEAST_CONFIDENCE:
            return np.array(cuts, np.int64), confidences
        cuts = [cut for i, cut in enumerate(cuts) if not _weaker_than_neighbours(confidences, i)]
    return np.zeros(0, np.int64), []


def _weaker_than_neighbours(confidences: list[float], i: int) -> bool:
    """Return whether a step is doubtful and no step beside it is more so.

    Without it both of its neighbours have longer levels to rest on, so they
    are judged anew before any of them goes.
    """
    if confidences[i] >= LEAST_CONFIDENCE:
        return False
    before = confidences[i - 1] if i else math.inf
    after = confidences[i + 1] if i + 1 < len(confidences) else math.inf
    return before > confidences[i] <= after


def _candidates(values: FloatArray, window: int, least: float) -> list[int]:
    """Return where medians of `window` values before and after differ most.

    The difference must reach `least`, and three of its own standard errors.
    """
    if values.shape[0] < 2 * window:
        return []
    windows = np.lib.stride_tricks.sliding_window_view(values, window)
    medians = np.median(windows, axis=1)
    step = np.abs(medians[window:] - medians[:-window])
    error = np.mean(np.abs(windows - medians[:, None]), axis=1) / math.sqrt(window)
    step[step < 3.0 * np.hypot(error[window:], error[:-window])] = 0.0
    found = []
    order = np.argsort(-step, kind="stable")
    taken = np.zeros(step.shape[0], np.bool_)
    for i in order.tolist():
        if step[i] < least:
            break
        if not taken[max(i - window, 0) : i + window + 1].any():
            found.append(i + window)
        taken[i] = True
        if len(found) >= _MOST_STEPS:
            break
    return found


def _noise(values: FloatArray) -> float:
    return _NORMAL_MAD * float(np.median(np.abs(values)))


def _placed(values: FloatArray, cuts: list[int]) -> list[int]:
    """Move each cut to where the two levels beside it fit best, by absolute error."""
    placed = []
    for i, cut in enumerate(cuts):
        low = cuts[i - 1] if i else 0
        high = cuts[i + 1] if i + 1 < len(cuts) else values.shape[0]
        before, after = np.median(values[low:cut]), np.median(values[cut:high])
        part = values[low:high]
        gain = np.abs(part - before) - np.abs(part - after)
        best = low + int(np.argmin(np.append(0.0, np.cumsum(gain))))
        placed.append(best if low < best < high else cut)
    return sorted(set(placed))


def _confidence(values: FloatArray, cuts: list[int], i: int) -> float:
    low = cuts[i - 1] if i else 0
    high = cuts[i + 1] if i + 1 < len(cuts) else values.shape[0]
    before, after = values[low : cuts[i]], values[cuts[i] : high]
    n_before, n_after = before.shape[0], after.shape[0]
    step = float(abs(np.median(after) - np.median(before)))
    shortest = _SHORTEST_SPLIT_LEVEL if step >= _SMALLEST_SPLIT else _SHORTEST_LEVEL
    if min(n_before, n_after) < shortest or step < SMALLEST_STEP:
        return 0.0
    error = math.hypot(_median_error(before), _median_error(after))
    return max(0.0, 1.0 - values.shape[0] * math.erfc(step / error / math.sqrt(2.0)))


def _median_error(values: FloatArray) -> float:
    """Return the standard error of a median, the larger of two estimates of the noise.

    The mean deviation counts the many small and the few large errors that a
    median deviation alone would not see.
    """
    deviation = np.abs(values - np.median(values))
    noise = max(
        _NORMAL_MAD * float(np.median(deviation)), _MEAN_DEVIATION * float(deviation.mean())
    )
    return _MEDIAN_LOSS * max(noise, _LEAST_NOISE) / math.sqrt(values.shape[0])


def _step(
    i: int,
    row: int,
    levels: list[float],
    close_a: FloatArray,
    close_b: FloatArray,
    confidence: float,
) -> Step:
    change = levels[i + 1] - levels[i]
    jump_a = float(np.log(close_a[row] / close_a[row - 1]))
    jump_b = float(np.log(close_b[row] / close_b[row - 1]))
    jumps_in = ""
    if abs(change) >= _SMALLEST_SPLIT:
        # The ratio is B over A: a fall of A alone raises it.
        jumps_in = "a" if abs(jump_a + change) < abs(jump_b - change) else "b"
    split_ratio = _split_ratio(change if jumps_in == "a" else -change) if jumps_in else 0.0
    return Step(row, math.exp(change), split_ratio, jumps_in, confidence)


def _split_ratio(change: float) -> float:
    """Return the small whole ratio that a fall of the price by `change` means, or 0."""
    for base in (1, 2, 3):
        for count in range(1, _LARGEST_TERM + 1):
            for ratio in (count / base, base / count):
                if ratio != 1.0 and abs(math.log(ratio) - change) < 5 * _ROUND:
                    return ratio
    return 0.0


def _classified(
    ratio: FloatArray, bounds: Int64Array, levels: list[float], steps: tuple[Step, ...]
) -> Scale:
    levels = _rounded_levels(levels, steps)
    factors = tuple(math.exp(-level) for level in levels)
    factor = np.repeat(np.array(factors), np.diff(bounds))
    kind, adjusted = _kind_of(steps)
    confidence = min((step.confidence for step in steps), default=0.0)
    if not steps:
        noise = max(_noise(ratio - np.median(ratio)), 1e-9)
        error = _MEDIAN_LOSS * noise / math.sqrt(ratio.shape[0])
        other = abs(levels[0]) > SMALLEST_STEP
        chance = math.erfc(abs(levels[0]) / error / math.sqrt(2.0)) if other else 0.0
        kind = ScaleKind.CONSTANT if other and chance < 1 - LEAST_CONFIDENCE else ScaleKind.SAME
        confidence = 1.0 - chance
        if kind is ScaleKind.SAME:
            factors, factor = (1.0,), np.ones(ratio.shape[0])
    return Scale(kind, adjusted, steps, factors, confidence, factor)


def _rounded_levels(levels: list[float], steps: tuple[Step, ...]) -> list[float]:
    """Return levels that are exact where a round number is meant.

    The last level is taken as a round number or a power of ten if it is near
    one; going back, a split changes it by the split's ratio exactly.
    """
    exact = list(levels)
    exact[-1] = _round_level(levels[-1])
    for i in range(len(steps) - 1, -1, -1):
        step = steps[i]
        if step.split_ratio > 0.0 and _is_exactly(step):
            change = math.log(step.split_ratio) * (1.0 if step.jumps_in == "a" else -1.0)
            exact[i] = exact[i + 1] - change
        else:
            exact[i] = _round_level(levels[i])
        if abs(exact[i] - levels[i]) > 5 * _ROUND:
            exact[i] = levels[i]
    return exact


def _is_exactly(step: Step) -> bool:
    """Return whether a split explains all of its step: a dividend may come with it."""
    ratio = step.split_ratio if step.jumps_in == "a" else 1.0 / step.split_ratio
    return abs(math.log(step.ratio / ratio)) < _ROUND


def _is_unit(step: Step) -> bool:
    """Return whether a step is a power of ten, from 100 on: below it may be a split."""
    power = math.log10(step.ratio)
    return abs(round(power)) >= 2 and abs(power - round(power)) < _ROUND


def _round_level(level: float) -> float:
    nearest = round(level / math.log(10.0)) * math.log(10.0)
    return nearest if abs(level - nearest) < 2 * SMALLEST_STEP else level


def _kind_of(steps: tuple[Step, ...]) -> tuple[ScaleKind, str]:
    """Name what the steps are, and which series is the adjusted one."""
    if not steps:
        return ScaleKind.SAME, ""
    splits = [step for step in steps if step.split_ratio > 0.0]
    small = [step for step in steps if abs(math.log(step.ratio)) < _LARGEST_DIVIDEND]
    if len(splits) + len(small) < len(steps):
        units = all(step.split_ratio == 0.0 and _is_unit(step) for step in steps)
        return (ScaleKind.UNITS if units else ScaleKind.UNEXPLAINED), ""
    adjusted = {"b" if step.jumps_in == "a" else "a" for step in splits}
    if small:
        # Adjusting lowers the past, and less so with each dividend that is
        # paid: the adjusted series gains on the raw one at every step.
        falls = {step.ratio < 1.0 for step in small}
        adjusted |= {"a" if fall else "b" for fall in falls}
        if len(small) < 3 and not splits:
            return ScaleKind.UNEXPLAINED, ""
    if len(adjusted) > 1:
        return ScaleKind.UNEXPLAINED, ""
    side = adjusted.pop()
    if splits and small:
        return ScaleKind.BOTH, side
    return (ScaleKind.SPLITS if splits else ScaleKind.DIVIDENDS), side


def factor_at(
    scale: Scale, matched_positions: NDArray[np.int64], positions: NDArray[np.int64]
) -> FloatArray:
    """Return the factor that holds at any position, also where only one series has a bar."""
    if scale.factor.shape[0] == 0:
        return np.ones(positions.shape[0])
    row = np.clip(np.searchsorted(matched_positions, positions, "right") - 1, 0, None)
    return scale.factor[row]
