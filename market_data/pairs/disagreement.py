"""What each difference between two sources is, bar by bar and field by field.

A difference that neither rounding nor the spread explains is an outlier of the
source whose value sticks out from that source's own neighbouring prices, if
the other's does not; else nobody can say from the bars who is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from market_data.pairs.matching import FloatArray, Int64Array

Classes = NDArray[np.int8]


class Class(IntEnum):
    """Of a field of a bar; a bar is what its worst field is."""

    EQUAL = 0
    ROUNDING = 1
    SPREAD = 2  # Beyond rounding, within the tolerance.
    VOLUME = 3  # The volumes are further apart than they usually are.
    SESSION = 4  # One source's session is shorter or another day's.
    MISSING_A = 5
    MISSING_B = 6
    UNRESOLVED = 7  # Beyond tolerance, and both are possible.
    OUTLIER_A = 8
    OUTLIER_B = 9


WORDS = {
    Class.EQUAL: "equal",
    Class.ROUNDING: "rounding",
    Class.SPREAD: "within the spread",
    Class.VOLUME: "volume differs",
    Class.SESSION: "different session",
    Class.MISSING_A: "missing in A",
    Class.MISSING_B: "missing in B",
    Class.UNRESOLVED: "unresolved",
    Class.OUTLIER_A: "outlier in A",
    Class.OUTLIER_B: "outlier in B",
}

# Price differences of these are disagreements.
DISAGREEING = (Class.OUTLIER_A, Class.OUTLIER_B, Class.UNRESOLVED)

_BLOCK = 50
# A value that sticks out by so many of its series' usual moves is suspect, if
# the other's sticks out less than 1/2.5 of that.
_SUSPECT = 3.0
_CONTRAST = 2.5
_LEAST_OTHER = 0.5
_SAME_COUNT = np.log(1.5)
_VOLUME_SPREAD = 5.0 * 1.4826
_LEAST_VOLUME = np.log(1.25)
_FEWEST_VOLUMES = 20
_POWER_NEAR = 0.12


def usual_moves(close: FloatArray) -> FloatArray:
    """Return the median absolute log move of closes around each bar, > 0."""
    moves = np.abs(np.diff(np.log(close), prepend=np.log(close[:1])))
    return block_medians(moves)


def block_medians(values: FloatArray) -> FloatArray:
    """Return the median of each value's block of fifty, that of all where it is 0."""
    n_values = values.shape[0]
    if n_values == 0:
        return values
    positive = values[values > 0]
    whole = float(np.median(positive)) if positive.shape[0] else 1e-12
    n_blocks = max(n_values // _BLOCK, 1)
    size = n_values // n_blocks
    medians = np.median(values[: n_blocks * size].reshape(n_blocks, size), axis=1)
    medians = np.where(medians > 0, medians, whole)
    return medians[np.minimum(np.arange(n_values) // size, n_blocks - 1)]


def surprises(prices: FloatArray) -> FloatArray:
    """Return how far each price sticks out from its own series, in usual moves.

    Parameters
    ----------
    prices : float64 array, shape (4, n_bars)
        Open, high, low, close of one source.

    Returns
    -------
    float64 array, shape (4, n_bars)
        An open is held against the close before it and its own close, a close
        against its own open and the next one: only what is above both or below
        both sticks out. A high or low is held against the body of its bar and
        the prices beside it, in units of usual highs and lows.
    """
    logs = np.log(prices)
    open_, high, low, close = logs
    unit = usual_moves(prices[3])
    before = np.append(close[:1], close[:-1])
    after = np.append(open_[1:], open_[-1:])
    found = np.empty_like(logs)
    found[0] = _beyond(open_, before, close) / unit
    found[3] = _beyond(close, open_, after) / unit
    top = np.maximum(np.maximum(open_, close), np.maximum(before, after))
    bottom = np.minimum(np.minimum(open_, close), np.minimum(before, after))
    usual_top = block_medians(np.maximum(high - np.maximum(open_, close), 0.0))
    usual_bottom = block_medians(np.maximum(np.minimum(open_, close) - low, 0.0))
    found[1] = np.maximum(high - top, 0.0) / np.maximum(usual_top, unit / 2)
    found[2] = np.maximum(bottom - low, 0.0) / np.maximum(usual_bottom, unit / 2)
    return found


def _beyond(value: FloatArray, one: FloatArray, other: FloatArray) -> FloatArray:
    """Return how far values lie outside of the range between two others."""
    above = value - np.maximum(one, other)
    below = np.minimum(one, other) - value
    return np.maximum(np.maximum(above, below), 0.0)


def classify_prices(
    a: FloatArray, b: FloatArray, rounding: FloatArray, spread: FloatArray
) -> Classes:
    """Classify the differences of matched bars.

    Parameters
    ----------
    a, b : float64 arrays, shape (4, n_matched)
        Prices of both sources in the same money.
    rounding, spread : float64 arrays, shape (n_matched,)

    Returns
    -------
    int8 array, shape (4, n_matched)
        Values of `Class`.
    """
    distance = np.abs(b - a)
    # What binary fractions lose in a product is no difference.
    noise = 4.0 * np.finfo(np.float64).eps * np.abs(a)
    classes = np.full(a.shape, Class.UNRESOLVED, np.int8)
    sticks_a, sticks_b = surprises(a), surprises(b)
    least_a, least_b = np.maximum(sticks_a, _LEAST_OTHER), np.maximum(sticks_b, _LEAST_OTHER)
    classes[(sticks_a >= _SUSPECT) & (sticks_a >= _CONTRAST * least_b)] = Class.OUTLIER_A
    classes[(sticks_b >= _SUSPECT) & (sticks_b >= _CONTRAST * least_a)] = Class.OUTLIER_B
    classes[distance <= spread] = Class.SPREAD
    classes[distance <= rounding] = Class.ROUNDING
    classes[distance <= noise] = Class.EQUAL
    return classes


@dataclass(frozen=True, slots=True)
class VolumeScale:
    """How two sources count volume.

    Attributes
    ----------
    unit : float
        First one's volume for 1 of the second, a power of ten; 1 when the
        units are the same or can't be told.
    split_adjusted : bool
        Whether the one with adjusted prices has its volume adjusted too.
    ratio : float
        Usual volume of the second after that, for 1 of the first; NaN when it
        can't be told.
    claimed : bool
    """

    unit: float
    split_adjusted: bool
    ratio: float
    claimed: bool


def detect_volume_scale(a: FloatArray, b: FloatArray, factor: FloatArray) -> VolumeScale:
    """Find the unit of volume of two sources.

    Parameters
    ----------
    a, b : float64 arrays, shape (n_matched,)
    factor : float64 array, shape (n_matched,)
        First one's price for 1 of the second: what is split-adjusted in price
        has so many times fewer dollars and so many times more shares.
    """
    traded = (a > 0) & (b > 0)
    if int(traded.sum()) < _FEWEST_VOLUMES:
        return VolumeScale(1.0, False, float("nan"), False)
    plain = np.log(b[traded] / a[traded])
    adjusted = plain - np.log(factor[traded])
    changes = bool(np.ptp(factor) > 1e-9)
    # Adjusted volume leaves no step where the factor changes.
    use_adjusted = changes and _deviation(adjusted) < _deviation(plain)
    ratio = adjusted if use_adjusted else plain
    middle = float(np.median(ratio))
    power = round(middle / np.log(10.0))
    near = abs(middle / np.log(10.0) - power) <= _POWER_NEAR
    steady = 1.4826 * float(np.median(np.abs(ratio - middle))) < _SAME_COUNT
    unit = 10.0**-power if power and near and steady else 1.0
    return VolumeScale(unit, use_adjusted, float(np.exp(middle) * unit), True)


def _deviation(values: FloatArray) -> float:
    return float(np.mean(np.abs(values - np.median(values))))


def scaled_volume(volume: FloatArray, factor: FloatArray, scale: VolumeScale) -> FloatArray:
    """Return the second one's volume as the first one counts."""
    return volume * scale.unit / (factor if scale.split_adjusted else 1.0)


def classify_volume(a: FloatArray, b: FloatArray, scale: VolumeScale) -> Classes:
    """Classify volumes that are counted alike, against their usual ratio.

    Notes
    -----
    Sources count different venues and kinds of trades, so volumes are hardly
    ever equal; what is reported is a ratio far from the one that is usual.
    """
    classes = np.where(a == b, Class.EQUAL, Class.SPREAD).astype(np.int8)
    traded = (a > 0) & (b > 0)
    if not scale.claimed:
        return classes
    ratio = np.log(b[traded] / a[traded])
    away = np.abs(ratio - np.log(scale.ratio))
    usual = max(_VOLUME_SPREAD * float(np.median(away)), _LEAST_VOLUME)
    classes[np.flatnonzero(traded)[away > usual]] = Class.VOLUME
    classes[(a > 0) != (b > 0)] = Class.VOLUME
    return classes


def classify_missing(
    session: Int64Array,
    in_a: NDArray[np.bool_],
    in_b: NDArray[np.bool_],
    *,
    intraday: bool,
    scheduled: NDArray[np.bool_],
) -> Classes:
    """Classify bars that only one source has.

    Parameters
    ----------
    session : int64 array, shape (n_bars,)
        Of all bars of both sources, in order of time.
    in_a, in_b : bool arrays, shape (n_bars,)
    intraday : bool
    scheduled : bool array, shape (n_bars,)
        Whether the calendar has the bar.

    Returns
    -------
    int8 array, shape (n_bars,)
        `Class.EQUAL` where both have the bar. Bars at a session's beginning or
        end that one source has and the other, with bars in the same session,
        has not, are a different session; so are days without a session.
    """
    classes = np.zeros(session.shape[0], np.int8)
    classes[~in_a] = Class.MISSING_A
    classes[~in_b] = Class.MISSING_B
    alone = in_a != in_b
    classes[alone & ~scheduled] = Class.SESSION
    if not intraday or session.shape[0] == 0:
        return classes
    order = np.argsort(session, kind="stable")
    sorted_session = session[order]
    starts = np.flatnonzero(np.append(True, sorted_session[1:] != sorted_session[:-1]))
    run = np.repeat(np.arange(starts.shape[0]), np.diff(np.append(starts, session.shape[0])))
    at = np.arange(session.shape[0])
    for present in (in_a[order], in_b[order]):
        first = np.minimum.reduceat(np.where(present, at, session.shape[0]), starts)[run]
        last = np.maximum.reduceat(np.where(present, at, -1), starts)[run]
        # More than one bar: a single one at the edge is a quiet minute.
        early, late = first - starts[run], np.append(starts[1:], session.shape[0])[run] - 1 - last
        outside = ((at < first) & (early > 1)) | ((at > last) & (late > 1))
        outside &= (last >= 0) & ~present
        classes[order[outside]] = Class.SESSION
    return classes
