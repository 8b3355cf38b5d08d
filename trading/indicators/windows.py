"""Running sums, averages and extremes that several kernels are made of.

Each works on `state[at:at + size]`, a part of its kernel's own slice, zeros at
the start, and expects numbers: the kernel has returned before on NaN. The
sizes stand in `trading.indicators.sizes`.

A sum that only adds and subtracts keeps the rounding error of every value it
ever held. So a second sum is grown from zero over each turn of the ring and
replaces the first when the ring is full again: no error is older than two
windows, and no bar costs more than another.
"""

from __future__ import annotations

from math import nan

from numba import njit


@njit(cache=True, nogil=True)
def window_sum_nb(state, at, length, x):
    """Return the sum of the last `length` values, NaN before there are so many.

    State: position in the ring, sum, growing sum, 1 when the ring was full
    once, then the ring.
    """
    position = state[at]
    slot = at + 4 + int(position)
    total = state[at + 1] + (x - state[slot])
    growing = state[at + 2] + x
    state[slot] = x
    position += 1.0
    if position == length:
        position = 0.0
        total = growing
        growing = 0.0
        state[at + 3] = 1.0
    state[at] = position
    state[at + 1] = total
    state[at + 2] = growing
    if state[at + 3] == 0.0:
        return nan
    return total


@njit(cache=True, nogil=True)
def window_mean_nb(state, at, length, x):
    """Return the mean of the last `length` values; state as `window_sum_nb`."""
    return window_sum_nb(state, at, length, x) / length


@njit(cache=True, nogil=True)
def ema_nb(state, at, length, x):
    """Return the exponential average, seeded by the mean of the first values.

    State: how many values were seen (up to `length`), their sum and later the
    average.
    """
    count = state[at]
    if count < length:
        count += 1.0
        state[at] = count
        total = state[at + 1] + x
        if count < length:
            state[at + 1] = total
            return nan
        state[at + 1] = total / length
        return state[at + 1]
    average = state[at + 1]
    average += (x - average) * (2.0 / (length + 1.0))
    state[at + 1] = average
    return average


@njit(cache=True, nogil=True)
def wilder_nb(state, at, length, x):
    """Return Wilder's average, seeded by the mean of the first values.

    State as `ema_nb`.
    """
    count = state[at]
    if count < length:
        count += 1.0
        state[at] = count
        total = state[at + 1] + x
        if count < length:
            state[at + 1] = total
            return nan
        state[at + 1] = total / length
        return state[at + 1]
    weight = 1.0 / length
    average = state[at + 1] * (1.0 - weight) + x * weight
    state[at + 1] = average
    return average


@njit(cache=True, nogil=True)
def window_wma_nb(state, at, length, x):
    """Return the linearly weighted mean of the last `length` values.

    State: position, 1 when full, sum, weighted sum, growing sum, growing
    weighted sum, then the ring.
    """
    position = state[at]
    slot = at + 6 + int(position)
    total = state[at + 2]
    weighted = state[at + 3] + (x * length - total)
    total += x - state[slot]
    state[slot] = x
    position += 1.0
    growing = state[at + 4] + x
    growing_weighted = state[at + 5] + x * position
    if position == length:
        position = 0.0
        total = growing
        weighted = growing_weighted
        growing = 0.0
        growing_weighted = 0.0
        state[at + 1] = 1.0
    state[at] = position
    state[at + 2] = total
    state[at + 3] = weighted
    state[at + 4] = growing
    state[at + 5] = growing_weighted
    if state[at + 1] == 0.0:
        return nan
    return weighted / (length * (length + 1.0) * 0.5)


@njit(cache=True, nogil=True)
def window_highest_nb(state, at, length, x):
    """Return the largest of the last `length` values.

    State: position, largest of this turn, 1 when full, then the ring. Slots
    before the position hold this turn's values; those from it on hold the
    largest of the last turn from there to its end, so a bar compares two
    numbers.
    """
    position = state[at]
    slot = int(position)
    base = at + 3
    highest = x
    if slot > 0:
        highest = max(x, state[at + 1])
    state[at + 1] = highest
    state[base + slot] = x
    slot += 1
    if slot < length:
        state[at] = slot
        if state[at + 2] == 0.0:
            return nan
        return max(highest, state[base + slot])
    state[at] = 0.0
    state[at + 2] = 1.0
    for i in range(base + length - 2, base - 1, -1):
        state[i] = max(state[i], state[i + 1])
    return highest


@njit(cache=True, nogil=True)
def window_lowest_nb(state, at, length, x):
    """Return the smallest of the last `length` values; see `window_highest_nb`."""
    position = state[at]
    slot = int(position)
    base = at + 3
    lowest = x
    if slot > 0:
        lowest = min(x, state[at + 1])
    state[at + 1] = lowest
    state[base + slot] = x
    slot += 1
    if slot < length:
        state[at] = slot
        if state[at + 2] == 0.0:
            return nan
        return min(lowest, state[base + slot])
    state[at] = 0.0
    state[at + 2] = 1.0
    for i in range(base + length - 2, base - 1, -1):
        state[i] = min(state[i], state[i + 1])
    return lowest


@njit(cache=True, nogil=True)
def window_range_nb(state, at, length, high, low):
    """Return the highest high and the lowest low of the last `length` bars.

    State: position, largest and smallest of this turn, 1 when full, the ring of
    highs, the ring of lows; see `window_highest_nb`.
    """
    position = state[at]
    slot = int(position)
    highs = at + 4
    lows = highs + length
    highest = high
    lowest = low
    if slot > 0:
        highest = max(high, state[at + 1])
        lowest = min(low, state[at + 2])
    state[at + 1] = highest
    state[at + 2] = lowest
    state[highs + slot] = high
    state[lows + slot] = low
    slot += 1
    if slot < length:
        state[at] = slot
        if state[at + 3] == 0.0:
            return nan, nan
        return max(highest, state[highs + slot]), min(lowest, state[lows + slot])
    state[at] = 0.0
    state[at + 3] = 1.0
    for i in range(length - 2, -1, -1):
        state[highs + i] = max(state[highs + i], state[highs + i + 1])
        state[lows + i] = min(state[lows + i], state[lows + i + 1])
    return highest, lowest


@njit(cache=True, nogil=True)
def window_moments_nb(state, at, length, x):
    """Return the mean and the population variance of the last `length` values.

    State: position, 1 when full, origin, sum and sum of squares of the
    distances from it, the growing turn's origin and its two sums, then the
    ring. Distances are taken from a value of the window, because squares of
    prices would lose the digits that a small variance consists of.
    """
    position = state[at]
    slot = at + 8 + int(position)
    old = state[slot]
    state[slot] = x
    if position == 0.0:
        state[at + 5] = x
        state[at + 6] = 0.0
        state[at + 7] = 0.0
    distance = x - state[at + 5]
    growing = state[at + 6] + distance
    growing_squares = state[at + 7] + distance * distance
    origin = state[at + 2]
    added = x - origin
    removed = old - origin
    total = state[at + 3] + (added - removed)
    squares = state[at + 4] + (added - removed) * (added + removed)
    position += 1.0
    if position == length:
        position = 0.0
        origin = state[at + 5]
        total = growing
        squares = growing_squares
        state[at + 1] = 1.0
    state[at] = position
    state[at + 2] = origin
    state[at + 3] = total
    state[at + 4] = squares
    state[at + 6] = growing
    state[at + 7] = growing_squares
    if state[at + 1] == 0.0:
        return nan, nan
    mean = total / length
    return origin + mean, max(squares / length - mean * mean, 0.0)


@njit(cache=True, nogil=True)
def delay_nb(state, at, length, x):
    """Return the value given `length` calls ago and keep `x`.

    State: position, 1 when full, then the ring. NaN may be kept.
    """
    slot = int(state[at])
    value = state[at + 2 + slot] if state[at + 1] != 0.0 else nan
    state[at + 2 + slot] = x
    slot += 1
    if slot == length:
        slot = 0
        state[at + 1] = 1.0
    state[at] = slot
    return value


@njit(cache=True, nogil=True)
def true_range_nb(high, low, previous_close):
    """Return the larger of the bar's range and its reach from the last close."""
    return max(high - low, max(abs(previous_close - high), abs(previous_close - low)))
