"""Candlestick patterns as step kernels, with TA-Lib's meaning of long and short.

A candle is measured against the candles before it: a body is long when it
exceeds the average body of the ten candles before, a shadow is very short below
a tenth of their average range, near is a fifth of the average range of five.
These sums are kept by the same additions in the same order as TA-Lib's, because
prices on a tick grid meet the limits exactly and one rounding more would decide
otherwise.

In the patterns `o1` is the open of one candle ago, `s2` the sum of row 2.
"""

from __future__ import annotations

from math import nan

import numpy as np

from trading.compiling import inlined_kernel, inner_kernel, spliced_kernel
from trading.indicators.ops import (
    OP_CDL_3BLACKCROWS,
    OP_CDL_3WHITESOLDIERS,
    OP_CDL_DARKCLOUDCOVER,
    OP_CDL_DOJI,
    OP_CDL_ENGULFING,
    OP_CDL_EVENINGSTAR,
    OP_CDL_HAMMER,
    OP_CDL_HANGINGMAN,
    OP_CDL_HARAMI,
    OP_CDL_MORNINGSTAR,
    OP_CDL_PIERCING,
    OP_CDL_SHOOTINGSTAR,
)

# State: bars seen, sums, then rings of open, high, low and close. The ring is
# longer than the oldest bar that a sum gives up (13 bars ago).
SUMS = 1
N_SUMS = 6
RING = 16
OPENS = SUMS + N_SUMS
HIGHS = OPENS + RING
LOWS = HIGHS + RING
CLOSES = LOWS + RING

BODY, SPREAD = 0, 1
_SUMS_OF = {
    # Rows of what is summed, of the candles before the one so many bars ago, over how many.
    OP_CDL_DOJI: ((SPREAD, 0, 10),),
    OP_CDL_HAMMER: ((BODY, 0, 10), (SPREAD, 0, 10), (SPREAD, 1, 5)),
    OP_CDL_HANGINGMAN: ((BODY, 0, 10), (SPREAD, 0, 10), (SPREAD, 1, 5)),
    OP_CDL_ENGULFING: (),
    OP_CDL_HARAMI: ((BODY, 0, 10), (BODY, 1, 10)),
    OP_CDL_MORNINGSTAR: ((BODY, 0, 10), (BODY, 1, 10), (BODY, 2, 10)),
    OP_CDL_EVENINGSTAR: ((BODY, 0, 10), (BODY, 1, 10), (BODY, 2, 10)),
    OP_CDL_SHOOTINGSTAR: ((BODY, 0, 10), (SPREAD, 0, 10)),
    OP_CDL_3WHITESOLDIERS: (
        (SPREAD, 0, 10), (SPREAD, 1, 10), (SPREAD, 2, 10),
        (SPREAD, 1, 5), (SPREAD, 2, 5), (BODY, 0, 10),
    ),
    OP_CDL_3BLACKCROWS: ((SPREAD, 0, 10), (SPREAD, 1, 10), (SPREAD, 2, 10)),
    OP_CDL_PIERCING: ((BODY, 0, 10), (BODY, 1, 10)),
    OP_CDL_DARKCLOUDCOVER: ((BODY, 1, 10),),
}  # fmt: skip
_FIRST = OP_CDL_DOJI  # The lowest of the codes.
# Bars before the first candle that a pattern can be looked for at.
_WARMUP = {OP_CDL_ENGULFING: 2, OP_CDL_DOJI: 10, OP_CDL_MORNINGSTAR: 12, OP_CDL_EVENINGSTAR: 12,
           OP_CDL_3WHITESOLDIERS: 12, OP_CDL_3BLACKCROWS: 13}  # fmt: skip
N_ROWS = np.array([len(_SUMS_OF[op]) for op in sorted(_SUMS_OF)])
WARMUPS = np.array([_WARMUP.get(op, 11) for op in sorted(_SUMS_OF)])
ROWS = np.zeros((len(_SUMS_OF), N_SUMS, 3), np.int64)
for _op, _rows in _SUMS_OF.items():
    for _i, _row in enumerate(_rows):
        ROWS[_op - _FIRST, _i] = _row


@inlined_kernel
def extent_nb(state, measured, bar):
    """Return the length of a candle's body, or its high less its low."""
    slot = bar & (RING - 1)
    if measured == BODY:
        return abs(state[CLOSES + slot] - state[OPENS + slot])
    return state[HIGHS + slot] - state[LOWS + slot]


@inlined_kernel
def move_sums_nb(state, pattern, bar):
    """Move a pattern's sums on, after it was looked for.

    They start as the plain sums over the candles that the first candle which
    can be judged is measured against.
    """
    warmup = WARMUPS[pattern]
    for i in range(N_ROWS[pattern]):
        measured, ago, period = ROWS[pattern, i]
        if bar >= warmup:
            state[SUMS + i] += extent_nb(state, measured, bar - ago) - extent_nb(
                state, measured, bar - ago - period
            )
        elif warmup - ago - period <= bar < warmup - ago:
            state[SUMS + i] += extent_nb(state, measured, bar)


@inlined_kernel
def hammer_nb(state, o0, h0, l0, c0, h1, l1, hanging):
    """Look for a small body over a long lower shadow.

    At the lows of the candle before it is a hammer: 100. At its highs
    (`hanging`) a hanging man: -100.
    """
    body = abs(c0 - o0)
    bottom = min(c0, o0)
    if (
        body < state[SUMS] / 10.0
        and bottom - l0 > body
        and h0 - max(c0, o0) < 0.1 * (state[SUMS + 1] / 10.0)
    ):
        near = 0.2 * (state[SUMS + 2] / 5.0)
        if hanging:
            if bottom >= h1 - near:
                return -100.0
        elif bottom <= l1 + near:
            return 100.0
    return 0.0


@inlined_kernel
def shooting_star_nb(state, o0, h0, l0, c0, o1, c1):
    """Look for a small body that gaps up, under a long upper shadow: -100."""
    body = abs(c0 - o0)
    bottom = min(c0, o0)
    if (
        bottom > max(c1, o1)
        and body < state[SUMS] / 10.0
        and h0 - max(c0, o0) > body
        and bottom - l0 < 0.1 * (state[SUMS + 1] / 10.0)
    ):
        return -100.0
    return 0.0


@spliced_kernel
def engulfing_nb(o0, c0, o1, c1):
    """Look for a body that holds the last, of the other colour.

    100 or -100 by its colour, 80 or -80 if the bodies share an end.
    """
    rising = c0 >= o0
    if rising == (c1 >= o1):
        return 0.0
    top = max(c0, o0)
    bottom = min(c0, o0)
    last_top = max(c1, o1)
    last_bottom = min(c1, o1)
    if top < last_top or bottom > last_bottom or (top == last_top and bottom == last_bottom):
        return 0.0
    value = 100.0 if top != last_top and bottom != last_bottom else 80.0
    return value if rising else -value


@inlined_kernel
def harami_nb(state, o0, c0, o1, c1):
    """Look for a short body within the long one before it.

    100 after a black candle, -100 after a white one, 80 or -80 if the bodies
    share an end.
    """
    if abs(c1 - o1) <= state[SUMS + 1] / 10.0 or abs(c0 - o0) > state[SUMS] / 10.0:
        return 0.0
    top = max(c0, o0)
    bottom = min(c0, o0)
    last_top = max(c1, o1)
    last_bottom = min(c1, o1)
    if top > last_top or bottom < last_bottom:
        return 0.0
    value = 100.0 if top < last_top and bottom > last_bottom else 80.0
    return -value if c1 >= o1 else value


@inlined_kernel
def star_nb(state, o0, c0, o1, c1, o2, c2, penetration, evening):
    """Look for a short body that gaps away from a long one, and a candle back.

    The morning star follows a black candle: 100. The evening star follows a
    white one: -100. The last candle closes beyond `penetration` of the first
    body.
    """
    first = abs(c2 - o2)
    if (
        first <= state[SUMS + 2] / 10.0
        or abs(c1 - o1) > state[SUMS + 1] / 10.0
        or abs(c0 - o0) <= state[SUMS] / 10.0
    ):
        return 0.0
    if evening:
        if c2 >= o2 and c0 < o0 and min(c1, o1) > max(c2, o2) and c0 < c2 - first * penetration:
            return -100.0
    elif c2 < o2 and c0 >= o0 and max(c1, o1) < min(c2, o2) and c0 > c2 + first * penetration:
        return 100.0
    return 0.0


@inlined_kernel
def white_soldiers_nb(state, o0, h0, c0, o1, h1, c1, o2, h2, c2):
    """Look for three advancing white candles without upper shadows: 100."""
    if c2 < o2 or c1 < o1 or c0 < o0:
        return 0.0
    last = state[SUMS + 3] / 5.0
    first = state[SUMS + 4] / 5.0
    if (
        h2 - c2 < 0.1 * (state[SUMS + 2] / 10.0)
        and h1 - c1 < 0.1 * (state[SUMS + 1] / 10.0)
        and h0 - c0 < 0.1 * (state[SUMS] / 10.0)
        and c0 > c1 > c2
        and o2 < o1 <= c2 + 0.2 * first
        and o1 < o0 <= c1 + 0.2 * last
        and c1 - o1 > (c2 - o2) - 0.6 * first
        and c0 - o0 > (c1 - o1) - 0.6 * last
        and c0 - o0 > state[SUMS + 5] / 10.0
    ):
        return 100.0
    return 0.0


@inlined_kernel
def black_crows_nb(state, o0, l0, c0, o1, l1, c1, o2, l2, c2, o3, h3, c3):
    """Look for three declining black candles without lower shadows: -100."""
    if (
        c3 >= o3
        and c2 < o2
        and c1 < o1
        and c0 < o0
        and c2 < o1 < o2
        and c1 < o0 < o1
        and h3 > c2 > c1 > c0
        and c2 - l2 < 0.1 * (state[SUMS + 2] / 10.0)
        and c1 - l1 < 0.1 * (state[SUMS + 1] / 10.0)
        and c0 - l0 < 0.1 * (state[SUMS] / 10.0)
    ):
        return -100.0
    return 0.0


@inlined_kernel
def piercing_nb(state, o0, c0, o1, l1, c1):
    """Look for a long white candle from below into a long black one: 100."""
    if (
        c1 < o1
        and abs(c1 - o1) > state[SUMS + 1] / 10.0
        and c0 >= o0
        and abs(c0 - o0) > state[SUMS] / 10.0
        and o0 < l1
        and c1 + abs(c1 - o1) * 0.5 < c0 < o1
    ):
        return 100.0
    return 0.0


@inlined_kernel
def dark_cloud_nb(state, o0, c0, o1, h1, c1, penetration):
    """Look for a black candle from above into a long white one: -100."""
    if (
        c1 >= o1
        and abs(c1 - o1) > state[SUMS] / 10.0
        and c0 < o0
        and o0 > h1
        and o1 < c0 < c1 - abs(c1 - o1) * penetration
    ):
        return -100.0
    return 0.0


@inlined_kernel
def candle_step_nb(op, state, penetration, o0, h0, l0, c0):
    """Return the pattern's value at this candle: 0, or 100 or 80 with its sign.

    A NaN leaves the state untouched, as in every kernel.
    """
    if o0 != o0 or h0 != h0 or l0 != l0 or c0 != c0:
        return nan
    bar = int(state[0])
    now = bar & (RING - 1)
    state[OPENS + now] = o0
    state[HIGHS + now] = h0
    state[LOWS + now] = l0
    state[CLOSES + now] = c0
    ago1 = (bar - 1) & (RING - 1)
    ago2 = (bar - 2) & (RING - 1)
    o1, h1, l1, c1 = (
        state[OPENS + ago1], state[HIGHS + ago1], state[LOWS + ago1], state[CLOSES + ago1]
    )  # fmt: skip
    o2, h2, l2, c2 = (
        state[OPENS + ago2], state[HIGHS + ago2], state[LOWS + ago2], state[CLOSES + ago2]
    )  # fmt: skip
    value = 0.0
    if op == OP_CDL_DOJI:
        value = 100.0 if abs(c0 - o0) <= 0.1 * (state[SUMS] / 10.0) else 0.0
    elif op in (OP_CDL_HAMMER, OP_CDL_HANGINGMAN):
        value = hammer_nb(state, o0, h0, l0, c0, h1, l1, op == OP_CDL_HANGINGMAN)
    elif op == OP_CDL_SHOOTINGSTAR:
        value = shooting_star_nb(state, o0, h0, l0, c0, o1, c1)
    elif op == OP_CDL_ENGULFING:
        value = engulfing_nb(o0, c0, o1, c1)
    elif op == OP_CDL_HARAMI:
        value = harami_nb(state, o0, c0, o1, c1)
    elif op in (OP_CDL_MORNINGSTAR, OP_CDL_EVENINGSTAR):
        value = star_nb(
            state, o0, c0, o1, c1, o2, c2, penetration, op == OP_CDL_EVENINGSTAR
        )  # fmt: skip
    elif op == OP_CDL_3WHITESOLDIERS:
        value = white_soldiers_nb(state, o0, h0, c0, o1, h1, c1, o2, h2, c2)
    elif op == OP_CDL_3BLACKCROWS:
        ago3 = (bar - 3) & (RING - 1)
        value = black_crows_nb(
            state, o0, l0, c0, o1, l1, c1, o2, l2, c2,
            state[OPENS + ago3], state[HIGHS + ago3], state[CLOSES + ago3],
        )  # fmt: skip
    elif op == OP_CDL_PIERCING:
        value = piercing_nb(state, o0, c0, o1, l1, c1)
    elif op == OP_CDL_DARKCLOUDCOVER:
        value = dark_cloud_nb(state, o0, c0, o1, h1, c1, penetration)
    pattern = op - OP_CDL_DOJI
    move_sums_nb(state, pattern, bar)
    state[0] = bar + 1
    return value if bar >= WARMUPS[pattern] else nan


@inner_kernel
def run_candles_nb(op, state, params, matrix, inputs, output, start, stop):
    """Run one pattern over the bars start to stop; see `dispatch`."""
    open_ = matrix[inputs[0]]
    high = matrix[inputs[1]]
    low = matrix[inputs[2]]
    close = matrix[inputs[3]]
    out = matrix[output]
    penetration = params[0] if params.shape[0] > 0 else 0.0
    for i in range(start, stop):
        out[i] = candle_step_nb(op, state, penetration, open_[i], high[i], low[i], close[i])
