"""Trend indicators as step kernels."""

from __future__ import annotations

from math import nan

from trading.compiling import inlined_kernel, inner_kernel, spliced_kernel
from trading.indicators.ops import OP_ADX, OP_AROON, OP_ICHIMOKU, OP_PSAR, OP_SUPERTREND
from trading.indicators.volatility import atr_step_nb, load_atr_nb, store_atr_nb
from trading.indicators.windows import (
    delay_nb,
    load_delay_nb,
    load_range_nb,
    store_delay_nb,
    store_range_nb,
    true_range_nb,
    window_range_nb,
)


@spliced_kernel
def load8_nb(state):
    """Load eight registers."""
    return (
        state[0], state[1], state[2], state[3], state[4], state[5], state[6], state[7]
    )  # fmt: skip


@spliced_kernel
def store8_nb(state, registers):
    """Store eight registers."""
    (
        state[0], state[1], state[2], state[3], state[4], state[5], state[6], state[7]
    ) = registers  # fmt: skip


@spliced_kernel
def adx_step_nb(registers, length, high, low, close):
    """Return the average directional index and the two directional indicators.

    Registers: bars seen (up to 2 length), last high, low and close, smoothed
    minus and plus movement, smoothed true range, and the index (its sum before
    it is warm).
    """
    if high != high or low != low or close != close:
        return registers, nan, nan, nan
    count, last_high, last_low, last_close, minus, plus, ranges, adx = registers
    if count == 0.0:
        return (1.0, high, low, close, 0.0, 0.0, 0.0, 0.0), nan, nan, nan
    up = high - last_high
    down = last_low - low
    weight = 1.0 / length
    if count >= length:
        minus -= minus * weight
        plus -= plus * weight
        ranges -= ranges * weight
    if down > 0.0 and down > up:
        minus += down
    if up > 0.0 and up > down:
        plus += up
    ranges += true_range_nb(high, low, last_close)
    minus_di = 0.0
    plus_di = 0.0
    if ranges > 0.0:
        minus_di = 100.0 * (minus / ranges)
        plus_di = 100.0 * (plus / ranges)
    # Without any movement the index keeps its value.
    moved = minus_di + plus_di
    if count >= length and moved > 1e-14:
        index = 100.0 * (abs(minus_di - plus_di) / moved)
        if count >= 2.0 * length:
            adx -= (adx - index) * weight
        else:
            adx += index
    if count < 2.0 * length:
        count += 1.0
        if count == 2.0 * length:
            adx /= length
    registers = (count, high, low, close, minus, plus, ranges, adx)
    if count < 2.0 * length:
        return registers, nan, nan, nan
    return registers, adx, plus_di, minus_di


@inlined_kernel
def aroon_step_nb(state, registers, length, high, low):
    """Return how recent the highest high and the lowest low are, and the difference.

    100 means this bar; of equal extremes the later counts. State: position, 1
    when full, extremes of this turn and their positions; then four rings of
    length + 1: extremes of the last turn's rest and their positions, see
    `window_highest_nb`.
    """
    if high != high or low != low:
        return registers, nan, nan, nan
    position, full, top, top_at, bottom, bottom_at = registers
    turn = length + 1
    highs = 6
    high_ats = highs + turn
    lows = high_ats + turn
    low_ats = lows + turn
    if position == 0 or high >= top:
        top = high
        top_at = position
    if position == 0 or low <= bottom:
        bottom = low
        bottom_at = position
    state[highs + position] = high
    state[high_ats + position] = position
    state[lows + position] = low
    state[low_ats + position] = position
    since_top = position - top_at
    since_bottom = position - bottom_at
    position += 1
    if position < turn:
        if full:
            if state[highs + position] > top:
                since_top = position - 1 + turn - int(state[high_ats + position])
            if state[lows + position] < bottom:
                since_bottom = position - 1 + turn - int(state[low_ats + position])
    else:
        for i in range(turn - 2, -1, -1):
            if state[highs + i] <= state[highs + i + 1]:
                state[highs + i] = state[highs + i + 1]
                state[high_ats + i] = state[high_ats + i + 1]
            if state[lows + i] >= state[lows + i + 1]:
                state[lows + i] = state[lows + i + 1]
                state[low_ats + i] = state[low_ats + i + 1]
        position = 0
        full = 1
    registers = (position, full, top, top_at, bottom, bottom_at)
    if not full:
        return registers, nan, nan, nan
    factor = 100.0 / length
    up = factor * (length - since_top)
    down = factor * (length - since_bottom)
    return registers, up, down, factor * (since_bottom - since_top)


@spliced_kernel
def supertrend_step_nb(registers, length, multiplier, high, low, close):
    """Return the trailing band and the direction, 1 long or -1 short.

    Registers: those of the average true range, and last close, upper band,
    lower band, direction (0 before the first). The first direction is long.
    """
    atr, last_close, upper, lower, direction = registers
    if high != high or low != low or close != close:
        return registers, nan, nan
    atr, true_range = atr_step_nb(atr, length, high, low, close)
    if true_range != true_range:
        return (atr, close, upper, lower, direction), nan, nan
    middle = (high + low) / 2.0
    reach = multiplier * true_range
    basic_upper = middle + reach
    basic_lower = middle - reach
    if direction == 0.0:
        return (atr, close, basic_upper, basic_lower, 1.0), basic_lower, 1.0
    # A band only moves towards the price, until a close beyond it releases it.
    if basic_upper < upper or last_close > upper:
        upper = basic_upper
    if basic_lower > lower or last_close < lower:
        lower = basic_lower
    if direction > 0.0:
        if close < lower:
            direction = -1.0
    elif close > upper:
        direction = 1.0
    value = lower if direction > 0.0 else upper
    return (atr, close, upper, lower, direction), value, direction


@spliced_kernel
def psar_step_nb(registers, acceleration, maximum, high, low):
    """Return Wilder's stop and reverse, and the direction, 1 long or -1 short.

    Registers: direction (0 before the second bar), next stop, extreme price,
    acceleration factor, last high, last low, 1 after the first bar, unused.
    The first direction is that of the larger movement from the first to the
    second bar, long unless the low fell by more than the high rose.
    """
    if high != high or low != low:
        return registers, nan, nan
    direction, stop, extreme, factor, last_high, last_low, seen, _ = registers
    if seen == 0.0:
        return (0.0, 0.0, 0.0, 0.0, high, low, 1.0, 0.0), nan, nan
    step = min(acceleration, maximum)
    if direction == 0.0:
        down = last_low - low
        direction = -1.0 if down > 0.0 and down > high - last_high else 1.0
        extreme = high if direction > 0.0 else low
        stop = last_low if direction > 0.0 else last_high
        factor = step
        # The second bar is its own predecessor: its range does not bound the stop.
        last_high = high
        last_low = low
    if direction > 0.0:
        if low <= stop:
            direction = -1.0
            value = max(extreme, high)
            factor = step
            extreme = low
            stop = max(value + factor * (extreme - value), last_high, high)
        else:
            value = stop
            if high > extreme:
                extreme = high
                factor = min(factor + step, maximum)
            stop = min(value + factor * (extreme - value), last_low, low)
    elif high >= stop:
        direction = 1.0
        value = min(extreme, low)
        factor = step
        extreme = high
        stop = min(value + factor * (extreme - value), last_low, low)
    else:
        value = stop
        if low < extreme:
            extreme = low
            factor = min(factor + step, maximum)
        stop = max(value + factor * (extreme - value), last_high, high)
    return (direction, stop, extreme, factor, high, low, 1.0, 0.0), value, direction


@inlined_kernel
def ichimoku_step_nb(states, registers, conversion, base, span, high, low):
    """Return conversion, base, and the two spans as drawn at this bar.

    The spans drawn at this bar were computed base - 1 bars ago, so nothing here
    looks ahead. States: the three range windows and the two delays.
    """
    if high != high or low != low:
        return registers, nan, nan, nan, nan
    short_state, middle_state, long_state, a_state, b_state = states
    short, middle, long, delay_a, delay_b = registers
    short, top, bottom = window_range_nb(short_state, short, conversion, high, low)
    conversion_line = 0.5 * (top + bottom)
    middle, top, bottom = window_range_nb(middle_state, middle, base, high, low)
    base_line = 0.5 * (top + bottom)
    long, top, bottom = window_range_nb(long_state, long, span, high, low)
    cloud = 0.5 * (conversion_line + base_line)
    delay_a, span_a = delay_nb(a_state, delay_a, base - 1, cloud)
    delay_b, span_b = delay_nb(b_state, delay_b, base - 1, 0.5 * (top + bottom))
    registers = (short, middle, long, delay_a, delay_b)
    if span_a != span_a or span_b != span_b:
        return registers, nan, nan, nan, nan
    return registers, conversion_line, base_line, span_a, span_b


@spliced_kernel
def run_ichimoku_nb(state, params, matrix, inputs, output, start, stop):
    """Loop over `ichimoku_step_nb`."""
    conversion = int(params[0])
    base = int(params[1])
    span = int(params[2])
    high = matrix[inputs[0]]
    low = matrix[inputs[1]]
    conversion_line = matrix[output]
    base_line = matrix[output + 1]
    span_a = matrix[output + 2]
    span_b = matrix[output + 3]
    middle_state = state[4 + 2 * conversion :]
    long_state = middle_state[4 + 2 * base :]
    a_state = long_state[4 + 2 * span :]
    b_state = a_state[1 + base :]
    states = state, middle_state, long_state, a_state, b_state
    registers = (
        load_range_nb(state),
        load_range_nb(middle_state),
        load_range_nb(long_state),
        load_delay_nb(a_state),
        load_delay_nb(b_state),
    )
    for i in range(start, stop):
        registers, conversion_line[i], base_line[i], span_a[i], span_b[i] = ichimoku_step_nb(
            states, registers, conversion, base, span, high[i], low[i]
        )
    short, middle, long, delay_a, delay_b = registers
    store_range_nb(state, short)
    store_range_nb(middle_state, middle)
    store_range_nb(long_state, long)
    store_delay_nb(a_state, delay_a)
    store_delay_nb(b_state, delay_b)


@spliced_kernel
def run_aroon_nb(state, length, high, low, up, down, oscillator, start, stop):
    """Loop over `aroon_step_nb`."""
    registers = (
        int(state[0]), int(state[1]), state[2], int(state[3]), state[4], int(state[5])
    )  # fmt: skip
    for i in range(start, stop):
        registers, up[i], down[i], oscillator[i] = aroon_step_nb(
            state, registers, length, high[i], low[i]
        )
    state[0], state[1], state[2], state[3], state[4], state[5] = registers


@inner_kernel
def run_trend_nb(op, state, params, matrix, inputs, output, start, stop):
    """Run one trend indicator over the bars start to stop; see `dispatch`."""
    high = matrix[inputs[0]]
    low = matrix[inputs[1]]
    first = matrix[output]
    second = matrix[output + 1]
    if op == OP_ADX:
        close = matrix[inputs[2]]
        third = matrix[output + 2]
        length = int(params[0])
        registers = load8_nb(state)
        for i in range(start, stop):
            registers, first[i], second[i], third[i] = adx_step_nb(
                registers, length, high[i], low[i], close[i]
            )
        store8_nb(state, registers)
    elif op == OP_AROON:
        run_aroon_nb(
            state, int(params[0]), high, low, first, second, matrix[output + 2], start, stop
        )  # fmt: skip
    elif op == OP_SUPERTREND:
        close = matrix[inputs[2]]
        length = int(params[0])
        bands = load_atr_nb(state), state[4], state[5], state[6], state[7]
        for i in range(start, stop):
            bands, first[i], second[i] = supertrend_step_nb(
                bands, length, params[1], high[i], low[i], close[i]
            )
        atr, state[4], state[5], state[6], state[7] = bands
        store_atr_nb(state, atr)
    elif op == OP_PSAR:
        registers = load8_nb(state)
        for i in range(start, stop):
            registers, first[i], second[i] = psar_step_nb(
                registers, params[0], params[1], high[i], low[i]
            )
        store8_nb(state, registers)
    elif op == OP_ICHIMOKU:
        run_ichimoku_nb(state, params, matrix, inputs, output, start, stop)
