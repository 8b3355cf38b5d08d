"""Moving averages as step kernels."""

from __future__ import annotations

from math import nan

from trading.compiling import inlined_kernel, inner_kernel, spliced_kernel
from trading.indicators.ops import (
    OP_DEMA,
    OP_EMA,
    OP_HMA,
    OP_RMA,
    OP_SMA,
    OP_TEMA,
    OP_TRIX,
    OP_WMA,
)
from trading.indicators.windows import (
    ema_nb,
    load_average_nb,
    load_sum_nb,
    load_wma_nb,
    store_average_nb,
    store_sum_nb,
    store_wma_nb,
    wilder_nb,
    window_sum_nb,
    window_wma_nb,
)


@inlined_kernel
def sma_step_nb(state, registers, length, x):
    """Return the simple moving average."""
    if x != x:
        return registers, nan
    registers, total = window_sum_nb(state, registers, length, x)
    return registers, total / length


@spliced_kernel
def ema_step_nb(registers, length, x):
    """Return the exponential average, seeded by the simple one."""
    if x != x:
        return registers, nan
    return ema_nb(registers, length, x)


@spliced_kernel
def rma_step_nb(registers, length, x):
    """Return Wilder's average, seeded by the simple one."""
    if x != x:
        return registers, nan
    return wilder_nb(registers, length, x)


@inlined_kernel
def wma_step_nb(state, registers, length, x):
    """Return the linearly weighted average."""
    if x != x:
        return registers, nan
    return window_wma_nb(state, registers, length, x)


@inlined_kernel
def hma_step_nb(long_window, short_window, smooth_window, registers, length, half, root, x):
    """Return Hull's average, wma(2 * wma(x, half) - wma(x, length), root)."""
    if x != x:
        return registers, nan
    long, short, smooth = registers
    long, slow = window_wma_nb(long_window, long, length, x)
    short, fast = window_wma_nb(short_window, short, half, x)
    if slow != slow:
        return (long, short, smooth), nan
    smooth, value = window_wma_nb(smooth_window, smooth, root, 2.0 * fast - slow)
    return (long, short, smooth), value


@spliced_kernel
def ema3_nb(registers, length, x):
    """Return the average, the average of it, and the average of that."""
    first, second, third = registers
    first, once = ema_nb(first, length, x)
    if once != once:
        return (first, second, third), once, nan, nan
    second, twice = ema_nb(second, length, once)
    if twice != twice:
        return (first, second, third), once, twice, nan
    third, thrice = ema_nb(third, length, twice)
    return (first, second, third), once, twice, thrice


@spliced_kernel
def dema_step_nb(registers, length, x):
    """Return the double exponential average, 2 e1 - e2."""
    if x != x:
        return registers, nan
    registers, once, twice, _ = ema3_nb(registers, length, x)
    return registers, 2.0 * once - twice


@spliced_kernel
def tema_step_nb(registers, length, x):
    """Return the triple exponential average, 3 e1 - 3 e2 + e3."""
    if x != x:
        return registers, nan
    registers, once, twice, thrice = ema3_nb(registers, length, x)
    return registers, 3.0 * once - 3.0 * twice + thrice


@spliced_kernel
def trix_step_nb(registers, length, x):
    """Return the change of the triple average since the bar before, in percent.

    Registers: those of `ema3_nb`, then 1 after its first value, and that value.
    """
    averages, seen, previous = registers
    if x != x:
        return registers, nan
    averages, _, _, average = ema3_nb(averages, length, x)
    if average != average:
        return (averages, seen, previous), nan
    value = nan
    if seen != 0.0:
        value = (average / previous - 1.0) * 100.0 if previous != 0.0 else 0.0
    return (averages, 1.0, average), value


@spliced_kernel
def load_ema3_nb(state):
    """Load the three averages of `ema3_nb`."""
    return load_average_nb(state), load_average_nb(state[2:]), load_average_nb(state[4:])


@spliced_kernel
def store_ema3_nb(state, registers):
    """Store the three averages of `ema3_nb`."""
    first, second, third = registers
    store_average_nb(state, first)
    store_average_nb(state[2:], second)
    store_average_nb(state[4:], third)


@spliced_kernel
def run_hma_nb(state, length, x, out, start, stop):
    """Loop over `hma_step_nb`."""
    half = length // 2
    root = int(length**0.5)
    short_window = state[6 + length :]
    smooth_window = state[12 + length + half :]
    registers = load_wma_nb(state), load_wma_nb(short_window), load_wma_nb(smooth_window)
    for i in range(start, stop):
        registers, out[i] = hma_step_nb(
            state, short_window, smooth_window, registers, length, half, root, x[i]
        )
    long, short, smooth = registers
    store_wma_nb(state, long)
    store_wma_nb(short_window, short)
    store_wma_nb(smooth_window, smooth)


@inner_kernel
def run_averages_nb(op, state, params, matrix, inputs, output, start, stop):
    """Run one moving average over the bars start to stop; see `dispatch`."""
    x = matrix[inputs[0]]
    out = matrix[output]
    length = int(params[0])
    if op == OP_SMA:
        window = load_sum_nb(state)
        for i in range(start, stop):
            window, out[i] = sma_step_nb(state, window, length, x[i])
        store_sum_nb(state, window)
    elif op == OP_EMA:
        average = load_average_nb(state)
        for i in range(start, stop):
            average, out[i] = ema_step_nb(average, length, x[i])
        store_average_nb(state, average)
    elif op == OP_RMA:
        average = load_average_nb(state)
        for i in range(start, stop):
            average, out[i] = rma_step_nb(average, length, x[i])
        store_average_nb(state, average)
    elif op == OP_WMA:
        weighted = load_wma_nb(state)
        for i in range(start, stop):
            weighted, out[i] = wma_step_nb(state, weighted, length, x[i])
        store_wma_nb(state, weighted)
    elif op == OP_HMA:
        run_hma_nb(state, length, x, out, start, stop)
    elif op == OP_DEMA:
        averages = load_ema3_nb(state)
        for i in range(start, stop):
            averages, out[i] = dema_step_nb(averages, length, x[i])
        store_ema3_nb(state, averages)
    elif op == OP_TEMA:
        averages = load_ema3_nb(state)
        for i in range(start, stop):
            averages, out[i] = tema_step_nb(averages, length, x[i])
        store_ema3_nb(state, averages)
    elif op == OP_TRIX:
        change = load_ema3_nb(state), state[6], state[7]
        for i in range(start, stop):
            change, out[i] = trix_step_nb(change, length, x[i])
        averages, state[6], state[7] = change
        store_ema3_nb(state, averages)
