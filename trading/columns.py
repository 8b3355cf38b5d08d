"""Columns: indicator values and conditions of all bars, or of the next one.

A frame is the bars of one timeframe with the nodes computed on them. The same
loop computes a node for one bar (live) and for all (backtest). Higher frames
are built from completed bars only.
"""

from __future__ import annotations

import numpy as np

from trading.compiling import inner_kernel, kernel
from trading.dtypes import FALSE, TRUE, UNKNOWN
from trading.formulas import (
    ADD,
    AND,
    EQUAL,
    GREATER,
    GREATER_EQUAL,
    LESS,
    LESS_EQUAL,
    MULTIPLY,
    NOT,
    OR,
    SUBTRACT,
    arithmetic_nb,
)
from trading.indicators.dispatch import run_indicator_nb

MAX_INPUTS = 8

NODE = np.dtype(
    [
        ("kind", "i8"),
        ("op", "i8"),
        ("output", "i8"),  # Row of the matrix or of the flags, by kind.
        ("n_inputs", "i8"),
        ("first_param", "i8"),
        ("n_params", "i8"),
        ("first_state", "i8"),
        ("n_state", "i8"),
    ]
)

# Kinds of nodes.
(
    INDICATOR,  # matrix -> matrix, a kernel with state
    ARITHMETIC,  # matrix -> matrix
    ARITHMETIC_LITERAL,  # matrix, number -> matrix
    LITERAL_ARITHMETIC,  # number, matrix -> matrix
    ABSOLUTE_OF,  # matrix -> matrix
    COMPARE,  # matrix -> flags
    COMPARE_LITERAL,  # matrix, number -> flags
    LOGIC,  # flags -> flags
    CONSTANT_FLAG,  # -> flags
    CROSS,  # matrix -> flags
    CROSS_LITERAL,  # matrix, number -> flags
    RUN,  # matrix -> flags: rising, falling
    WITHIN,  # flags -> flags
    BARS_SINCE,  # flags -> matrix
    COUNT,  # flags -> matrix
    SETUP,  # flags -> flags
    EXTERNAL,  # matrix -> matrix, computed outside by the long tail's function
) = range(17)

FLAG_INPUTS = (LOGIC, WITHIN, BARS_SINCE, COUNT, SETUP)
FLAG_OUTPUTS = (
    COMPARE,
    COMPARE_LITERAL,
    LOGIC,
    CONSTANT_FLAG,
    CROSS,
    CROSS_LITERAL,
    RUN,
    WITHIN,
    SETUP,
)

ABOVE, BELOW = 0, 1


@inner_kernel
def compare_rows_nb(op, x, y, out):
    """Compare two columns in three-valued logic."""
    for i in range(out.shape[0]):
        a = x[i]
        b = y[i]
        unknown = (a != a) | (b != b)
        if op == LESS:
            true = a < b
        elif op == LESS_EQUAL:
            true = a <= b
        elif op == GREATER:
            true = a > b
        elif op == GREATER_EQUAL:
            true = a >= b
        elif op == EQUAL:
            true = a == b
        else:
            true = (a < b) | (a > b)
        out[i] = 2 * np.int8(true) + np.int8(unknown)


@inner_kernel
def compare_literal_nb(op, x, b, out):
    """Compare a column with a number in three-valued logic."""
    if op == LESS:
        for i in range(out.shape[0]):
            out[i] = 2 * np.int8(x[i] < b) + np.int8(x[i] != x[i])
    elif op == LESS_EQUAL:
        for i in range(out.shape[0]):
            out[i] = 2 * np.int8(x[i] <= b) + np.int8(x[i] != x[i])
    elif op == GREATER:
        for i in range(out.shape[0]):
            out[i] = 2 * np.int8(x[i] > b) + np.int8(x[i] != x[i])
    elif op == GREATER_EQUAL:
        for i in range(out.shape[0]):
            out[i] = 2 * np.int8(x[i] >= b) + np.int8(x[i] != x[i])
    elif op == EQUAL:
        for i in range(out.shape[0]):
            out[i] = 2 * np.int8(x[i] == b) + np.int8(x[i] != x[i])
    else:
        for i in range(out.shape[0]):
            out[i] = 2 * np.int8((x[i] < b) | (x[i] > b)) + np.int8(x[i] != x[i])


@inner_kernel
def arithmetic_rows_nb(op, x, y, out):
    """Apply arithmetic to two columns, as `formulas.arithmetic_nb` to two numbers."""
    if op == ADD:
        for i in range(out.shape[0]):
            out[i] = x[i] + y[i]
    elif op == SUBTRACT:
        for i in range(out.shape[0]):
            out[i] = x[i] - y[i]
    elif op == MULTIPLY:
        for i in range(out.shape[0]):
            out[i] = x[i] * y[i]
    else:
        for i in range(out.shape[0]):
            out[i] = arithmetic_nb(op, x[i], y[i])


@inner_kernel
def logic_rows_nb(op, x, y, out):
    """Combine two columns of conditions; NOT looks at the first only."""
    if op == AND:
        for i in range(out.shape[0]):
            out[i] = min(x[i], y[i])
    elif op == OR:
        for i in range(out.shape[0]):
            out[i] = max(x[i], y[i])
    elif op == NOT:
        for i in range(out.shape[0]):
            out[i] = np.int8(2) - x[i]


@inner_kernel
def cross_step_nb(state, direction, a, b):
    """Tell whether a crosses b: beyond it now, and not beyond it one bar before.

    State: [seen, last value beyond, last value known].
    """
    known = not (np.isnan(a) or np.isnan(b))
    beyond = known and (a > b if direction == ABOVE else a < b)
    result = UNKNOWN
    if known and not beyond:
        result = FALSE
    elif known and state[0] == 1.0 and state[2] == 1.0:
        result = FALSE if state[1] == 1.0 else TRUE
    state[0] = 1.0
    state[1] = 1.0 if beyond else 0.0
    state[2] = 1.0 if known else 0.0
    return result


@inner_kernel
def run_step_nb(state, direction, length, x):
    """Tell whether x rose (ABOVE) or fell on each of the last `length` bars.

    State: [seen, last x, bars known in a row, bars in the right direction].
    """
    if np.isnan(x):
        state[0] = 0.0
        state[2] = 0.0
        state[3] = 0.0
        return UNKNOWN
    if state[0] == 1.0:
        moved = x > state[1] if direction == ABOVE else x < state[1]
        state[3] = state[3] + 1.0 if moved else 0.0
        state[2] += 1.0
    state[0] = 1.0
    state[1] = x
    if state[3] >= length:
        return TRUE
    # One bar against the direction among those seen settles it.
    if state[2] >= length or state[3] < state[2]:
        return FALSE
    return UNKNOWN


@inner_kernel
def within_step_nb(state, length, c):
    """Tell whether c was true at any of the last `length` bars, this one included.

    Bars before the first count as unknown. State: [bars since true + 1, 0 for
    never; bars since unknown + 1].
    """
    if state[1] == 0.0:
        state[1] = 1.0
    for k in range(2):
        if state[k] > 0.0:
            state[k] += 1.0
    if c == TRUE:
        state[0] = 1.0
    elif c == UNKNOWN:
        state[1] = 1.0
    if 0.0 < state[0] <= length:
        return TRUE
    if state[1] <= length:
        return UNKNOWN
    return FALSE


@inner_kernel
def bars_since_step_nb(state, c):
    """Count the bars since c was true: 0 now, NaN before the first time.

    NaN, too, after a bar at which c was unknown, until c is true again. State:
    [bars since true + 1], 0 for not known.
    """
    if c == TRUE:
        state[0] = 1.0
        return 0.0
    if c == UNKNOWN:
        state[0] = 0.0
    if state[0] == 0.0:
        return np.nan
    state[0] += 1.0
    return state[0] - 1.0


@inner_kernel
def count_step_nb(state, length, c):
    """Count the bars among the last `length` at which c was true.

    NaN until `length` bars are known. State: [position, seen, true in the
    window, unknown in the window], then the ring.
    """
    at = int(state[0])
    if state[1] >= length:
        gone = state[4 + at]
        if gone == TRUE:
            state[2] -= 1.0
        elif gone == UNKNOWN:
            state[3] -= 1.0
    else:
        state[1] += 1.0
    state[4 + at] = c
    if c == TRUE:
        state[2] += 1.0
    elif c == UNKNOWN:
        state[3] += 1.0
    state[0] = (at + 1) % length
    if state[1] < length or state[3] > 0.0:
        return np.nan
    return state[2]


@inner_kernel
def setup_step_nb(state, withins, inputs, flags, i):
    """Follow a staged setup; tell whether its trigger may count at this bar.

    Stage k counts when it comes true after stage k - 1 and within that stage's
    number of bars; the latest occurrence counts. The trigger counts strictly
    after the last stage and within the last stage's number of bars. State:
    [bars seen], then the bar at which each stage last came true + 1.
    """
    n_stages = inputs.shape[0]
    bar = state[0] + 1.0
    state[0] = bar
    last = state[n_stages]
    armed = TRUE if last > 0.0 and bar - last <= withins[n_stages - 1] else FALSE
    # From the last stage back, so that one bar serves one stage of a chain.
    for k in range(n_stages - 1, -1, -1):
        if flags[inputs[k], i] != TRUE:
            continue
        if k == 0:
            state[1] = bar
        elif state[k] > 0.0 and bar - state[k] <= withins[k - 1]:
            state[k + 1] = bar
    return armed


@inner_kernel
def run_node_nb(node, inputs, params, state, matrix, flags, start, stop):
    """Compute one node over the bars start to stop.

    Parameters
    ----------
    node : NODE record
    inputs : int64 array
        Rows of its inputs, in the matrix or the flags by kind.
    params, state : float64 arrays
        The node's own.
    """
    kind = node.kind
    out = node.output
    if kind == INDICATOR:
        run_indicator_nb(node.op, state, params, matrix, inputs, out, start, stop)
    elif kind == ARITHMETIC:
        arithmetic_rows_nb(
            node.op,
            matrix[inputs[0]][start:stop],
            matrix[inputs[1]][start:stop],
            matrix[out][start:stop],
        )
    elif kind == ARITHMETIC_LITERAL:
        for i in range(start, stop):
            matrix[out, i] = arithmetic_nb(node.op, matrix[inputs[0], i], params[0])
    elif kind == LITERAL_ARITHMETIC:
        for i in range(start, stop):
            matrix[out, i] = arithmetic_nb(node.op, params[0], matrix[inputs[0], i])
    elif kind == ABSOLUTE_OF:
        for i in range(start, stop):
            matrix[out, i] = abs(matrix[inputs[0], i])
    elif kind == COMPARE:
        compare_rows_nb(
            node.op,
            matrix[inputs[0]][start:stop],
            matrix[inputs[1]][start:stop],
            flags[out][start:stop],
        )
    elif kind == COMPARE_LITERAL:
        compare_literal_nb(
            node.op, matrix[inputs[0]][start:stop], params[0], flags[out][start:stop]
        )
    elif kind == LOGIC:
        logic_rows_nb(
            node.op,
            flags[inputs[0]][start:stop],
            flags[inputs[node.n_inputs - 1]][start:stop],
            flags[out][start:stop],
        )
    elif kind == CONSTANT_FLAG:
        for i in range(start, stop):
            flags[out, i] = node.op
    elif kind == CROSS:
        for i in range(start, stop):
            flags[out, i] = cross_step_nb(
                state, node.op, matrix[inputs[0], i], matrix[inputs[1], i]
            )
    elif kind == CROSS_LITERAL:
        for i in range(start, stop):
            flags[out, i] = cross_step_nb(state, node.op, matrix[inputs[0], i], params[0])
    elif kind == RUN:
        for i in range(start, stop):
            flags[out, i] = run_step_nb(state, node.op, params[0], matrix[inputs[0], i])
    elif kind == WITHIN:
        for i in range(start, stop):
            flags[out, i] = within_step_nb(state, params[0], flags[inputs[0], i])
    elif kind == BARS_SINCE:
        for i in range(start, stop):
            matrix[out, i] = bars_since_step_nb(state, flags[inputs[0], i])
    elif kind == COUNT:
        for i in range(start, stop):
            matrix[out, i] = count_step_nb(state, int(params[0]), flags[inputs[0], i])
    elif kind == SETUP:
        for i in range(start, stop):
            flags[out, i] = setup_step_nb(state, params, inputs, flags, i)


@kernel
def run_nodes_nb(nodes, inputs, params, buffer, matrix, flags, first, last, start, stop):
    """Compute the nodes first to last, in order, over the bars start to stop.

    Parameters
    ----------
    nodes : NODE array
    inputs : int64 array, shape (n_nodes, MAX_INPUTS)
    params, buffer : float64 arrays
        Parameters and state of all nodes of the frame.
    """
    for n in range(first, last):
        node = nodes[n]
        run_node_nb(
            node,
            inputs[n, : node.n_inputs],
            params[node.first_param : node.first_param + node.n_params],
            buffer[node.first_state : node.first_state + node.n_state],
            matrix,
            flags,
            start,
            stop,
        )


@kernel
def read_rows_nb(source, source_flags, index, reads, matrix, flags):
    """Bring values of a higher frame's completed bars to the bars that see them.

    Parameters
    ----------
    source, source_flags : float64 and int8 arrays
        Matrix and flags of the higher frame.
    index : int64 array, shape (n_bars,)
        Last completed higher bar at each bar, -1 for none.
    reads : int64 array, shape (n_reads, 3)
        Row there, row here, and 1 for a flag.
    """
    for r in range(reads.shape[0]):
        there = reads[r, 0]
        here = reads[r, 1]
        for i in range(index.shape[0]):
            k = index[i]
            if reads[r, 2] == 1:
                flags[here, i] = source_flags[there, k] if k >= 0 else UNKNOWN
            else:
                matrix[here, i] = source[there, k] if k >= 0 else np.nan


# State of the aggregation of one higher timeframe: period id, whether a period
# is open, whether it began at its scheduled open, whether any bar was seen.
PERIOD, IS_OPEN, IS_WHOLE, HAS_SEEN = range(4)
AGGREGATE_STATE = 4


@kernel
def begin_bar_nb(state, code):
    """Tell whether the open higher bar is complete because a new period began.

    Its last base bars may be missing: a minute without a trade has no bar.
    """
    stale = state[IS_OPEN] == 1.0 and state[PERIOD] != float(code >> 2)
    if stale:
        state[IS_OPEN] = 0.0
    return stale and state[IS_WHOLE] == 1.0


@kernel
def add_bar_nb(state, code, bar, column, matrix, i):
    """Add base bar i to the open higher bar; tell whether that completes it.

    The first higher bar of the data is dropped unless the data begins at its
    scheduled open.
    """
    if state[IS_OPEN] == 0.0:
        state[IS_OPEN] = 1.0
        state[PERIOD] = float(code >> 2)
        state[IS_WHOLE] = 1.0 if state[HAS_SEEN] == 1.0 or code & 1 else 0.0
        for k in range(4):
            bar[k, column] = matrix[k, i]
        bar[4, column] = matrix[4, i]
    else:
        bar[1, column] = max(bar[1, column], matrix[1, i])
        bar[2, column] = min(bar[2, column], matrix[2, i])
        bar[3, column] = matrix[3, i]
        bar[4, column] += matrix[4, i]
    # Rows after the volume (adjustment factors, session) are those of the last bar.
    for k in range(5, bar.shape[0]):
        bar[k, column] = matrix[k, i]
    state[HAS_SEEN] = 1.0
    if code & 2:
        state[IS_OPEN] = 0.0
        return state[IS_WHOLE] == 1.0
    return False


@kernel
def aggregate_nb(state, codes, source, bars, index):
    """Build all higher bars of a frame.

    Parameters
    ----------
    codes : int64 array, shape (n_bars,)
        Period codes, see `trading.bars`.
    source : float64 array, shape (n_leaves, n_bars)
        Open, high, low, close, volume (adjusted), then leaves of the last bar.
    bars : float64 array, shape (n_leaves, n_bars)
        Receives the higher bars from the left.
    index : int64 array, shape (n_bars,)
        Receives the last completed higher bar at each bar, -1 for none.

    Returns
    -------
    int
        Number of completed higher bars.
    """
    n = 0
    for i in range(codes.shape[0]):
        if begin_bar_nb(state, codes[i]):
            n += 1
        if add_bar_nb(state, codes[i], bars, n, source, i):
            n += 1
        index[i] = n - 1
    return n
