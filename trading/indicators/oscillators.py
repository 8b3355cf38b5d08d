"""Momentum oscillators as step kernels."""

from __future__ import annotations

from math import nan

from trading.compiling import inlined_kernel, inner_kernel, spliced_kernel
from trading.indicators.ops import (
    OP_CCI,
    OP_MACD,
    OP_MOM,
    OP_PPO,
    OP_ROC,
    OP_RSI,
    OP_STOCH,
    OP_STOCHRSI,
    OP_WILLR,
)
from trading.indicators.windows import (
    delay_nb,
    ema_nb,
    load_average_nb,
    load_delay_nb,
    load_range_nb,
    load_sum_nb,
    store_average_nb,
    store_delay_nb,
    store_range_nb,
    store_sum_nb,
    window_range_nb,
    window_sum_nb,
)

# Differences below this share of their operands are rounding, not movement.
NOISE = 1e-14


@spliced_kernel
def load_rsi_nb(state):
    """Load how many values were seen (up to length + 1), last, gain, loss."""
    return int(state[0]), state[1], state[2], state[3]


@spliced_kernel
def store_rsi_nb(state, registers):
    """Store the registers of `rsi_step_nb`."""
    state[0], state[1], state[2], state[3] = registers


@spliced_kernel
def rsi_step_nb(registers, length, x):
    """Return Wilder's relative strength index, 0 to 100."""
    if x != x:
        return registers, nan
    count, previous, gain, loss = registers
    change = x - previous
    weight = 1.0 / length
    if count > length:
        keep = 1.0 - weight
        gain = gain * keep + max(change, 0.0) * weight
        loss = loss * keep + max(-change, 0.0) * weight
    else:
        count += 1
        if count == 1:
            return (count, x, 0.0, 0.0), nan
        gain += max(change, 0.0)
        loss += max(-change, 0.0)
        if count <= length:
            return (count, x, gain, loss), nan
        gain *= weight
        loss *= weight
    moved = gain + loss
    value = 100.0 * (gain / moved) if moved > 0.0 else 0.0
    return (count, x, gain, loss), value


@spliced_kernel
def place_nb(highest, lowest, x):
    """Return the place of x between lowest and highest, 0 to 100."""
    spread = highest - lowest
    if spread <= NOISE * (abs(highest) + abs(lowest)):
        return 0.0
    return 100.0 * ((x - lowest) / spread)


@inlined_kernel
def fast_stoch_step_nb(state, registers, length, high, low, close):
    """Return the close's place in the range of the last bars, unsmoothed."""
    if high != high or low != low or close != close:
        return registers, nan
    registers, highest, lowest = window_range_nb(state, registers, length, high, low)
    return registers, (place_nb(highest, lowest, close) if highest == highest else nan)


@inlined_kernel
def smooth_step_nb(state, registers, length, x):
    """Return the simple average of the last values."""
    if x != x:
        return registers, nan
    registers, total = window_sum_nb(state, registers, length, x)
    return registers, total / length


@inner_kernel
def run_stoch_nb(state, length, k_smoothing, d_smoothing, high, low, close, k, d, start, stop):
    """Loop over the slow stochastic's three steps, one after the other.

    Three loops take half the time of one, whose registers would not fit the
    processor's. `k` holds the unsmoothed values on the way. State: the range
    window, then the windows of the two smoothings.
    """
    extremes = load_range_nb(state)
    for i in range(start, stop):
        extremes, k[i] = fast_stoch_step_nb(state, extremes, length, high[i], low[i], close[i])
    store_range_nb(state, extremes)
    k_state = state[4 + 2 * length :]
    window = load_sum_nb(k_state)
    for i in range(start, stop):
        window, k[i] = smooth_step_nb(k_state, window, k_smoothing, k[i])
    store_sum_nb(k_state, window)
    d_state = k_state[4 + k_smoothing :]
    window = load_sum_nb(d_state)
    for i in range(start, stop):
        window, d[i] = smooth_step_nb(d_state, window, d_smoothing, k[i])
        if d[i] != d[i]:
            k[i] = nan
    store_sum_nb(d_state, window)


@spliced_kernel
def macd_step_nb(registers, fast, slow, smoothing, x):
    """Return MACD, its signal and their difference.

    The fast average starts late, so that both give their seed at the same bar.
    """
    if x != x:
        return registers, nan, nan, nan
    seen, fast_average, slow_average, signal_average = registers
    slow_average, slow_value = ema_nb(slow_average, slow, x)
    fast_value = nan
    if seen >= slow - fast:
        fast_average, fast_value = ema_nb(fast_average, fast, x)
    else:
        seen += 1
    macd = fast_value - slow_value
    signal = nan
    if macd == macd:
        signal_average, signal = ema_nb(signal_average, smoothing, macd)
        if signal != signal:
            macd = nan
    return (seen, fast_average, slow_average, signal_average), macd, signal, macd - signal


@spliced_kernel
def ppo_step_nb(registers, fast, slow, smoothing, x):
    """Return the difference of two averages in percent, its signal, and theirs."""
    if x != x:
        return registers, nan, nan, nan
    fast_average, slow_average, signal_average = registers
    fast_average, fast_value = ema_nb(fast_average, fast, x)
    slow_average, slow_value = ema_nb(slow_average, slow, x)
    ppo = nan
    signal = nan
    if slow_value == slow_value:
        ppo = (fast_value - slow_value) / slow_value * 100.0 if slow_value != 0.0 else 0.0
        signal_average, signal = ema_nb(signal_average, smoothing, ppo)
        if signal != signal:
            ppo = nan
    return (fast_average, slow_average, signal_average), ppo, signal, ppo - signal


@inlined_kernel
def roc_step_nb(state, registers, length, x):
    """Return the change over `length` values in percent, 0 from a price of 0."""
    if x != x:
        return registers, nan
    registers, old = delay_nb(state, registers, length, x)
    return registers, ((x / old - 1.0) * 100.0 if old != 0.0 else 0.0)


@inlined_kernel
def mom_step_nb(state, registers, length, x):
    """Return the change over `length` values."""
    if x != x:
        return registers, nan
    registers, old = delay_nb(state, registers, length, x)
    return registers, x - old


@inlined_kernel
def cci_step_nb(state, registers, length, high, low, close):
    """Return the commodity channel index; the mean deviation goes over the ring."""
    if high != high or low != low or close != close:
        return registers, nan
    typical = (high + low + close) / 3.0
    registers, total = window_sum_nb(state, registers, length, typical)
    if total != total:
        return registers, nan
    mean = total / length
    # Four sums, because each addition would otherwise wait for the one before.
    first = 0.0
    second = 0.0
    third = 0.0
    fourth = 0.0
    end = 4 + length
    middle = end - length % 4
    for i in range(4, middle, 4):
        first += abs(state[i] - mean)
        second += abs(state[i + 1] - mean)
        third += abs(state[i + 2] - mean)
        fourth += abs(state[i + 3] - mean)
    for i in range(middle, end):
        first += abs(state[i] - mean)
    deviation = ((first + second) + (third + fourth)) / length
    distance = typical - mean
    noise = NOISE * abs(mean)
    if abs(distance) <= noise or deviation <= noise:
        return registers, 0.0
    return registers, distance / (0.015 * deviation)


@inlined_kernel
def willr_step_nb(state, registers, length, high, low, close):
    """Return Williams' %R, -100 to 0, 0 where the range is 0."""
    if high != high or low != low or close != close:
        return registers, nan
    registers, highest, lowest = window_range_nb(state, registers, length, high, low)
    if highest != highest:
        return registers, nan
    spread = highest - lowest
    if spread <= NOISE * (abs(highest) + abs(lowest)):
        return registers, 0.0
    return registers, -100.0 * ((highest - close) / spread)


@spliced_kernel
def run_stochrsi_nb(state, params, x, k, d, start, stop):
    """Loop over RSI and the stochastic of it; k holds RSI on the way.

    State: RSI's registers, then that of `run_stoch_nb`.
    """
    length = int(params[0])
    rsi = load_rsi_nb(state)
    for i in range(start, stop):
        rsi, k[i] = rsi_step_nb(rsi, length, x[i])
    store_rsi_nb(state, rsi)
    run_stoch_nb(
        state[4:], int(params[1]), int(params[2]), int(params[3]), k, k, k, k, d, start, stop
    )  # fmt: skip


@spliced_kernel
def run_macd_nb(state, params, x, macd, signal, histogram, start, stop):
    """Loop over `macd_step_nb`."""
    fast = int(params[0])
    slow = int(params[1])
    smoothing = int(params[2])
    registers = (
        int(state[0]),
        load_average_nb(state[1:]),
        load_average_nb(state[3:]),
        load_average_nb(state[5:]),
    )
    for i in range(start, stop):
        registers, macd[i], signal[i], histogram[i] = macd_step_nb(
            registers, fast, slow, smoothing, x[i]
        )
    seen, fast_average, slow_average, signal_average = registers
    state[0] = seen
    store_average_nb(state[1:], fast_average)
    store_average_nb(state[3:], slow_average)
    store_average_nb(state[5:], signal_average)


@spliced_kernel
def run_ppo_nb(state, params, x, ppo, signal, histogram, start, stop):
    """Loop over `ppo_step_nb`."""
    fast = int(params[0])
    slow = int(params[1])
    smoothing = int(params[2])
    registers = load_average_nb(state), load_average_nb(state[2:]), load_average_nb(state[4:])
    for i in range(start, stop):
        registers, ppo[i], signal[i], histogram[i] = ppo_step_nb(
            registers, fast, slow, smoothing, x[i]
        )
    fast_average, slow_average, signal_average = registers
    store_average_nb(state, fast_average)
    store_average_nb(state[2:], slow_average)
    store_average_nb(state[4:], signal_average)


@inner_kernel
def run_oscillators_nb(op, state, params, matrix, inputs, output, start, stop):
    """Run one oscillator over the bars start to stop; see `dispatch`."""
    x = matrix[inputs[0]]
    out = matrix[output]
    length = int(params[0])
    if op == OP_RSI:
        rsi = load_rsi_nb(state)
        for i in range(start, stop):
            rsi, out[i] = rsi_step_nb(rsi, length, x[i])
        store_rsi_nb(state, rsi)
    elif op == OP_STOCH:
        run_stoch_nb(
            state, length, int(params[1]), int(params[2]), x, matrix[inputs[1]],
            matrix[inputs[2]], out, matrix[output + 1], start, stop,
        )  # fmt: skip
    elif op == OP_STOCHRSI:
        run_stochrsi_nb(state, params, x, out, matrix[output + 1], start, stop)
    elif op == OP_MACD:
        run_macd_nb(
            state, params, x, out, matrix[output + 1], matrix[output + 2], start, stop
        )  # fmt: skip
    elif op == OP_PPO:
        run_ppo_nb(
            state, params, x, out, matrix[output + 1], matrix[output + 2], start, stop
        )  # fmt: skip
    elif op == OP_ROC:
        ring = load_delay_nb(state)
        for i in range(start, stop):
            ring, out[i] = roc_step_nb(state, ring, length, x[i])
        store_delay_nb(state, ring)
    elif op == OP_MOM:
        ring = load_delay_nb(state)
        for i in range(start, stop):
            ring, out[i] = mom_step_nb(state, ring, length, x[i])
        store_delay_nb(state, ring)
    elif op == OP_CCI:
        low = matrix[inputs[1]]
        close = matrix[inputs[2]]
        window = load_sum_nb(state)
        for i in range(start, stop):
            window, out[i] = cci_step_nb(state, window, length, x[i], low[i], close[i])
        store_sum_nb(state, window)
    elif op == OP_WILLR:
        low = matrix[inputs[1]]
        close = matrix[inputs[2]]
        extremes = load_range_nb(state)
        for i in range(start, stop):
            extremes, out[i] = willr_step_nb(state, extremes, length, x[i], low[i], close[i])
        store_range_nb(state, extremes)
