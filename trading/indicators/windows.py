"""Running sums, averages and extremes that kernels are made of.

Each works on `window`, a part of its kernel's state, zeros at the start, and
expects numbers: the kernel has returned before on NaN. The first slots are its
registers, loaded before a loop over bars and stored after it, so that a bar
costs no memory access but to the ring behind them: a step takes registers and
returns new ones, with the value. Sizes: `trading.indicators.sizes`.

Functions that touch a ring are inlined by LLVM, the others by numba: numba's
inlining is cheaper to compile, but counts references to an array at each bar.

A sum that only adds and subtracts keeps the rounding error of every value it
ever held. So a second sum is grown from zero over each turn of the ring and
replaces the first when the ring is full again: no error is older than two
windows, and no bar costs more than another.
"""

from __future__ import annotations

from math import nan

from trading.compiling import inlined_kernel, spliced_kernel


@spliced_kernel
def load_sum_nb(window):
    """Load position in the ring, 1 when it was full once, sum, growing sum."""
    return int(window[0]), int(window[1]), window[2], window[3]


@spliced_kernel
def store_sum_nb(window, registers):
    """Store the registers of `window_sum_nb`."""
    window[0], window[1], window[2], window[3] = registers


@inlined_kernel
def window_sum_nb(window, registers, length, x):
    """Return the sum of the last `length` values, NaN before there are so many."""
    position, full, total, growing = registers
    slot = 4 + position
    total += x - window[slot]
    growing += x
    window[slot] = x
    position += 1
    if position == length:
        return (0, 1, growing, 0.0), growing
    return (position, full, total, growing), (total if full else nan)


@spliced_kernel
def load_average_nb(window):
    """Load how many values were seen (up to the length), and sum or average."""
    return int(window[0]), window[1]


@spliced_kernel
def store_average_nb(window, registers):
    """Store the registers of `ema_nb` and `wilder_nb`."""
    window[0], window[1] = registers


@spliced_kernel
def ema_nb(registers, length, x):
    """Return the exponential average, seeded by the mean of the first values."""
    count, average = registers
    if count >= length:
        # In this form a flat series, or a length of 1, gives x to the last bit.
        average = x + (average - x) * ((length - 1.0) / (length + 1.0))
        return (count, average), average
    count += 1
    average += x
    if count < length:
        return (count, average), nan
    average /= length
    return (count, average), average


@spliced_kernel
def wilder_nb(registers, length, x):
    """Return Wilder's average, seeded by the mean of the first values."""
    count, average = registers
    if count >= length:
        average = x + (average - x) * ((length - 1.0) / length)
        return (count, average), average
    count += 1
    average += x
    if count < length:
        return (count, average), nan
    average /= length
    return (count, average), average


@spliced_kernel
def load_wma_nb(window):
    """Load position, 1 when full, sum, weighted sum, and the two that grow."""
    return (
        int(window[0]), int(window[1]),
        window[2], window[3], window[4], window[5],
    )  # fmt: skip


@spliced_kernel
def store_wma_nb(window, registers):
    """Store the registers of `window_wma_nb`."""
    (
        window[0], window[1], window[2],
        window[3], window[4], window[5],
    ) = registers  # fmt: skip


@inlined_kernel
def window_wma_nb(window, registers, length, x):
    """Return the mean of the last `length` values with weights 1 to `length`."""
    position, full, total, weighted, growing, growing_weighted = registers
    slot = 6 + position
    weighted += x * length - total
    total += x - window[slot]
    window[slot] = x
    position += 1
    growing += x
    growing_weighted += x * position
    divisor = length * (length + 1.0) * 0.5
    if position == length:
        return (0, 1, growing, growing_weighted, 0.0, 0.0), growing_weighted / divisor
    return (
        (position, full, total, weighted, growing, growing_weighted),
        (weighted / divisor if full else nan),
    )


@spliced_kernel
def load_extreme_nb(window):
    """Load position, 1 when the ring was full once, extreme of this turn."""
    return int(window[0]), int(window[1]), window[2]


@spliced_kernel
def store_extreme_nb(window, registers):
    """Store the registers of `window_highest_nb` and `window_lowest_nb`."""
    window[0], window[1], window[2] = registers


@inlined_kernel
def window_highest_nb(window, registers, length, x):
    """Return the largest of the last `length` values.

    Slots before the position hold this turn's values; those from it on hold the
    largest of the last turn from there to its end, so a bar compares two
    numbers, and only the end of a turn goes over the ring.
    """
    position, full, highest = registers
    base = 3
    highest = max(x, highest) if position else x
    window[base + position] = x
    position += 1
    if position < length:
        value = max(highest, window[base + position]) if full else nan
        return (position, full, highest), value
    top = x
    for i in range(base + length - 2, base - 1, -1):
        top = max(top, window[i])
        window[i] = top
    return (0, 1, highest), highest


@inlined_kernel
def window_lowest_nb(window, registers, length, x):
    """Return the smallest of the last `length` values; see `window_highest_nb`."""
    position, full, lowest = registers
    base = 3
    lowest = min(x, lowest) if position else x
    window[base + position] = x
    position += 1
    if position < length:
        value = min(lowest, window[base + position]) if full else nan
        return (position, full, lowest), value
    bottom = x
    for i in range(base + length - 2, base - 1, -1):
        bottom = min(bottom, window[i])
        window[i] = bottom
    return (0, 1, lowest), lowest


@spliced_kernel
def load_range_nb(window):
    """Load position, 1 when full, highest and lowest of this turn."""
    return int(window[0]), int(window[1]), window[2], window[3]


@spliced_kernel
def store_range_nb(window, registers):
    """Store the registers of `window_range_nb`."""
    window[0], window[1], window[2], window[3] = registers


@inlined_kernel
def window_range_nb(window, registers, length, high, low):
    """Return the highest high and the lowest low of the last `length` bars.

    Two rings, of highs and of lows; see `window_highest_nb`.
    """
    position, full, highest, lowest = registers
    highs = 4
    lows = highs + length
    if position:
        highest = max(high, highest)
        lowest = min(low, lowest)
    else:
        highest = high
        lowest = low
    window[highs + position] = high
    window[lows + position] = low
    position += 1
    if position < length:
        registers = (position, full, highest, lowest)
        if not full:
            return registers, nan, nan
        return (
            registers,
            max(highest, window[highs + position]),
            min(lowest, window[lows + position]),
        )
    top = high
    bottom = low
    for i in range(length - 2, -1, -1):
        top = max(top, window[highs + i])
        bottom = min(bottom, window[lows + i])
        window[highs + i] = top
        window[lows + i] = bottom
    return (0, 1, highest, lowest), highest, lowest


@spliced_kernel
def load_moments_nb(window):
    """Load position, 1 when full, origin, the two sums, and the same growing."""
    return (
        int(window[0]), int(window[1]), window[2], window[3],
        window[4], window[5], window[6], window[7],
    )  # fmt: skip


@spliced_kernel
def store_moments_nb(window, registers):
    """Store the registers of `window_moments_nb`."""
    (
        window[0], window[1], window[2], window[3],
        window[4], window[5], window[6], window[7],
    ) = registers  # fmt: skip


@inlined_kernel
def window_moments_nb(window, registers, length, x):
    """Return the mean and the population variance of the last `length` values.

    Sums of distances from an origin within the last two windows, and of their
    squares: squares of prices would lose the digits that a small variance
    consists of. What is left of the variance below the rounding of the mean's
    square is taken as none.
    """
    position, full, origin, total, squares, next_origin, growing, growing_squares = registers
    slot = 8 + position
    added = x - origin
    removed = window[slot] - origin
    total += added - removed
    squares += (added - removed) * (added + removed)
    window[slot] = x
    if position == 0:
        next_origin = x
    distance = x - next_origin
    growing += distance
    growing_squares += distance * distance
    position += 1
    if position == length:
        full = 1
        position = 0
        origin = next_origin
        total = growing
        squares = growing_squares
        growing = 0.0
        growing_squares = 0.0
    registers = (position, full, origin, total, squares, next_origin, growing, growing_squares)
    if not full:
        return registers, nan, nan
    mean = total / length
    square = mean * mean
    variance = squares / length - square
    if variance < 1e-14 * square:
        variance = 0.0
    return registers, origin + mean, max(variance, 0.0)


@spliced_kernel
def load_delay_nb(window):
    """Load position, and 1 when the ring was full once."""
    return int(window[0]), int(window[1])


@spliced_kernel
def store_delay_nb(window, registers):
    """Store the registers of `delay_nb`."""
    window[0], window[1] = registers


@inlined_kernel
def delay_nb(window, registers, length, x):
    """Return the value given `length` calls ago and keep `x`, which may be NaN."""
    position, full = registers
    slot = 2 + position
    value = window[slot] if full else nan
    window[slot] = x
    position += 1
    if position == length:
        return (0, 1), value
    return (position, full), value


@spliced_kernel
def true_range_nb(high, low, previous_close):
    """Return the larger of the bar's range and its reach from the last close."""
    return max(high - low, max(abs(previous_close - high), abs(previous_close - low)))
