"""Stepping: one bar at a time through the same core, as paper and live run it.

All timeframes of a strategy share one matrix of a single column: what a row
holds is the newest value. State is flat and can be copied, stored as bytes and
restored. Corporate actions and finer bars come with the bar.

A step takes a few microseconds, most of which a call from Python with many
arrays would spend on looking at them. So the sleeve's arrays are handed over
once, as addresses; `SteppedSleeve` keeps them alive. An indicator of the long
tail is computed by a library of Python: the step calls back for it, between the
nodes that it reads and those that read it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from foundation.errors import DataError, SpecError
from trading import columns as c
from trading import dtypes as d
from trading.bars import ACTION, Bars
from trading.compiling import allocating_kernel, inner_kernel
from trading.engine import load_bar_nb, process_bar_nb, set_finer_nb
from trading.feeding import check_validity, price_factors
from trading.finer import FinerBars, check_finer, finer_bars
from trading.formulas import set_column_nb
from trading.linker import Frame, Linker
from trading.sleeve import new_journal, new_states, state_bytes
from trading.tail_windows import COMPUTED, TailWindows, WindowedIndicator

# Places in the numbers of a bar.
PRICES, QUOTES, FACTS, FACTORS, N_NUMBERS = 0, 5, 13, 17, 19
# Places in the integers of a bar; period codes follow.
TS, CLOSE_TS, SESSION, BAR_FLAGS, TRADE, N_ACTIONS, CODES = range(7)
# Lines of the handle that change: finer bars, their times, and the long tail's function.
FINER, FINER_TS, TAIL = 20, 21, 22
# Rows of finer bars: open, high, low, close, volume, then bid and ask.
FINER_ROWS = 13
# In the place of an action: the long tail failed, and no decision was taken.
NOT_COMPUTED = -1
FROM_SESSION = -1
LEAF_SOURCES = {
    "hour": FACTS,
    "minute": FACTS + 1,
    "weekday": FACTS + 2,
    "session_bar": FACTS + 3,
    "price_factor": FACTORS,
    "split_factor": FACTORS + 1,
    "session": FROM_SESSION,
}
FLOAT = np.dtype(np.float64)
INT = np.dtype(np.int64)
BYTE = np.dtype(np.int8)


class Columns(NamedTuple):
    """Nodes of all frames over one column; higher frames first, then the bars.

    Attributes
    ----------
    nodes, inputs, params : arrays
        As in `columns.run_nodes_nb`, rows counted over all frames.
    bounds : int64 array, shape (n_above + 1, 4)
        First and last node, first row and number of leaves of each frame; the
        last line is the base frame's.
    reads : int64 array, shape (n_reads, 4)
        Row there, row here, 1 for a flag, and the higher frame's number.
    leaves : int64 array
        Base rows that feed the leaves after the volume, for all higher frames.
    own_leaves : int64 array, shape (n_leaves, 2)
        Base row and place in the bar's numbers of each leaf of the base frame.
    """

    nodes: NDArray[np.void]
    inputs: NDArray[np.int64]
    params: NDArray[np.float64]
    bounds: NDArray[np.int64]
    reads: NDArray[np.int64]
    leaves: NDArray[np.int64]
    own_leaves: NDArray[np.int64]


class Memory(NamedTuple):
    """What the columns remember between two bars.

    `open_bars` has a column of leaves for each higher frame, `aggregation` its
    state, `completed` whether any of its bars is complete; `matrix` and `flags`
    hold the newest values of all frames.
    """

    buffer: NDArray[np.float64]
    aggregation: NDArray[np.float64]
    open_bars: NDArray[np.float64]
    completed: NDArray[np.int64]
    matrix: NDArray[np.float64]
    flags: NDArray[np.int8]


@intrinsic
def pointer_nb(typing_context, address):
    """Turn an address into a pointer."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


@intrinsic
def call_nb(typing_context, address, number):
    """Call the C function of one integer that stands at an address; return its integer."""

    def generate(context, builder, signature, arguments):
        integer = ir.IntType(64)
        function = ir.FunctionType(integer, [integer]).as_pointer()
        return builder.call(builder.inttoptr(arguments[0], function), [arguments[1]])

    return types.int64(types.int64, types.int64), generate


@inner_kernel
def compute_frame_nb(columns, memory, k, tail):
    """Compute the nodes of frame k at its newest bar.

    Parameters
    ----------
    k : int
        Line of `columns.bounds`.
    tail : int
        Address of the function that computes a node of the long tail by its
        number; 0 where there is none.

    Returns
    -------
    bool
        Whether all could be computed.
    """
    start = columns.bounds[k, 0]
    stop = columns.bounds[k, 1]
    if tail != 0:
        for n in range(start, stop):
            if columns.nodes[n].kind != c.EXTERNAL:
                continue
            c.run_nodes_nb(
                columns.nodes, columns.inputs, columns.params, memory.buffer,
                memory.matrix, memory.flags, start, n, 0, 1,
            )  # fmt: skip
            if call_nb(tail, columns.nodes[n].op) != COMPUTED:
                return False
            start = n + 1
    c.run_nodes_nb(
        columns.nodes, columns.inputs, columns.params, memory.buffer,
        memory.matrix, memory.flags, start, stop, 0, 1,
    )  # fmt: skip
    return True


@inner_kernel
def complete_above_nb(columns, memory, k, tail):
    """Copy the open bar of higher frame k, now complete, to its rows and compute them."""
    first_row = columns.bounds[k, 2]
    for j in range(columns.bounds[k, 3]):
        memory.matrix[first_row + j, 0] = memory.open_bars[k, j, 0]
    memory.completed[k] = 1
    return compute_frame_nb(columns, memory, k, tail)


@inner_kernel
def take_bar_nb(columns, memory, source, bar, policy, numbers, integers, tail):
    """Put a bar into the column, update the higher frames and compute all nodes.

    Returns
    -------
    bool
        Whether all could be computed.
    """
    matrix = memory.matrix
    flags = memory.flags
    for k in range(5):
        matrix[k, 0] = numbers[k]
    if policy.buy_row > 0:
        for k in range(8):
            matrix[5 + k, 0] = numbers[QUOTES + k]
    for k in range(columns.own_leaves.shape[0]):
        place = columns.own_leaves[k, 1]
        value = float(integers[SESSION]) if place == FROM_SESSION else numbers[place]
        matrix[columns.own_leaves[k, 0], 0] = value
    n_above = columns.bounds.shape[0] - 1
    if n_above > 0:
        for k in range(4):
            source[k, 0] = matrix[k, 0] * numbers[FACTORS]
        source[4, 0] = matrix[4, 0] / numbers[FACTORS + 1]
    for k in range(n_above):
        n_leaves = columns.bounds[k, 3]
        for j in range(5, n_leaves):
            source[j, 0] = matrix[columns.leaves[j - 5], 0]
        state = memory.aggregation[k]
        leaves = memory.open_bars[k]
        if c.begin_bar_nb(state, integers[CODES + k]):
            if not complete_above_nb(columns, memory, k, tail):
                return False
        if c.add_bar_nb(state, integers[CODES + k], leaves, 0, source, 0):
            if not complete_above_nb(columns, memory, k, tail):
                return False
    for r in range(columns.reads.shape[0]):
        there = columns.reads[r, 0]
        here = columns.reads[r, 1]
        known = memory.completed[columns.reads[r, 3]] == 1
        if columns.reads[r, 2] == 1:
            flags[here, 0] = flags[there, 0] if known else 1
        else:
            matrix[here, 0] = matrix[there, 0] if known else np.nan
    if not compute_frame_nb(columns, memory, n_above, tail):
        return False
    load_bar_nb(
        policy, bar, matrix, 0,
        integers[TS], integers[CLOSE_TS], integers[SESSION], integers[BAR_FLAGS],
    )  # fmt: skip
    return True


@allocating_kernel
def step_nb(handle, numbers, integers):
    """Take one bar through columns and policy.

    Parameters
    ----------
    handle : int64 array, shape (n_arrays, 4)
        Address and up to three dimensions of each array of the sleeve, as
        `SteppedSleeve` lays them out.
    numbers : float64 array, shape (N_NUMBERS,)
    integers : int64 array, shape (CODES + n_above,)

    Returns
    -------
    (int, int)
        Action and reason codes of the decision; 0 while the bar only warms up.
        NOT_COMPUTED and 0 where the long tail failed: nothing is decided then.
    """
    h = handle
    columns = Columns(
        carray(pointer_nb(h[0, 0]), (h[0, 1],), c.NODE),
        carray(pointer_nb(h[1, 0]), (h[1, 1], h[1, 2]), INT),
        carray(pointer_nb(h[2, 0]), (h[2, 1],), FLOAT),
        carray(pointer_nb(h[3, 0]), (h[3, 1], h[3, 2]), INT),
        carray(pointer_nb(h[4, 0]), (h[4, 1], h[4, 2]), INT),
        carray(pointer_nb(h[5, 0]), (h[5, 1],), INT),
        carray(pointer_nb(h[6, 0]), (h[6, 1], h[6, 2]), INT),
    )
    memory = Memory(
        carray(pointer_nb(h[7, 0]), (h[7, 1],), FLOAT),
        carray(pointer_nb(h[8, 0]), (h[8, 1], h[8, 2]), FLOAT),
        carray(pointer_nb(h[9, 0]), (h[9, 1], h[9, 2], h[9, 3]), FLOAT),
        carray(pointer_nb(h[10, 0]), (h[10, 1],), INT),
        carray(pointer_nb(h[11, 0]), (h[11, 1], h[11, 2]), FLOAT),
        carray(pointer_nb(h[12, 0]), (h[12, 1], h[12, 2]), BYTE),
    )
    source = carray(pointer_nb(h[13, 0]), (h[13, 1], h[13, 2]), FLOAT)
    plan = carray(pointer_nb(h[14, 0]), (1,), d.PLAN)[0]
    state = carray(pointer_nb(h[15, 0]), (1,), d.STATE)[0]
    journal = carray(pointer_nb(h[16, 0]), (1,), d.JOURNAL)[0]
    scratch = carray(pointer_nb(h[17, 0]), (1,), d.SCRATCH)[0]
    bar = carray(pointer_nb(h[18, 0]), (1,), d.BAR)[0]
    actions = carray(pointer_nb(h[19, 0]), (integers[N_ACTIONS],), ACTION)
    finer = carray(pointer_nb(h[FINER, 0]), (h[FINER, 1], h[FINER, 2]), FLOAT)
    finer_ts = carray(pointer_nb(h[FINER_TS, 0]), (h[FINER_TS, 1],), INT)
    journal.n_fills = 0
    journal.n_orders = 0
    journal.n_trades = 0
    journal.n_cash_events = 0
    journal.next_action = 0
    if not take_bar_nb(columns, memory, source, bar, plan.policy, numbers, integers, h[TAIL, 0]):
        return NOT_COMPUTED, 0
    if integers[TRADE] == 0:
        return 0, 0
    set_column_nb(scratch, memory.matrix, memory.flags, 0)
    set_finer_nb(scratch, finer, finer_ts)
    return process_bar_nb(plan, state, journal, scratch, bar, actions, 0, h[FINER_TS, 1])


@dataclass(frozen=True, slots=True)
class _Layout:
    columns: Columns
    n_rows: int
    n_flags: int
    n_state: int
    timeframes: tuple[str, ...]
    tail: tuple[WindowedIndicator, ...]


def _layout(linker: Linker) -> _Layout:
    """Lay all frames out in one column: the base frame first, the others after it."""
    frames: list[Frame] = [*linker.frames.values()]
    leaves = _shared_leaves(linker, frames)
    rows, flags = linker.base.n_rows, linker.base.n_flags
    first_row: dict[str, int] = {}
    first_flag: dict[str, int] = {}
    for frame in frames:
        first_row[frame.timeframe], first_flag[frame.timeframe] = rows, flags
        rows += frame.n_rows
        flags += frame.n_flags
    tables, input_tables, params = [], [], []
    tail: list[WindowedIndicator] = []
    bounds: list[tuple[int, int, int, int]] = []
    n_nodes = n_params = n_state = 0
    for frame in [*frames, linker.base]:
        nodes, inputs, own = frame.tables()
        row = 0 if frame.is_base else first_row[frame.timeframe]
        flag = 0 if frame.is_base else first_flag[frame.timeframe]
        flag_in = np.isin(nodes["kind"], c.FLAG_INPUTS)
        flag_out = np.isin(nodes["kind"], c.FLAG_OUTPUTS)
        inputs = inputs + np.where(flag_in, flag, row)[:, None]
        nodes["output"] += np.where(flag_out, flag, row)
        nodes["first_param"] += n_params
        nodes["first_state"] += n_state
        nodes["op"] += np.where(nodes["kind"] == c.EXTERNAL, len(tail), 0)
        for e in frame.externals:
            rows_in = tuple(row + x for x in e.input_rows)
            tail.append(WindowedIndicator(e.spec, e.params, rows_in, row + e.output))
        bounds.append((n_nodes, n_nodes + len(nodes), row, 5 + len(frame.leaves)))
        n_nodes += len(nodes)
        n_params += len(own)
        n_state += frame.n_state
        tables.append(nodes)
        input_tables.append(inputs)
        params.append(own)
    numbers = {frame.timeframe: k for k, frame in enumerate(frames)}
    reads = [
        (row + (first_flag if is_flag else first_row)[name], here, int(is_flag), numbers[name])
        for (name, row, is_flag), here in linker.base.reads.items()
    ]
    columns = Columns(
        np.concatenate(tables),
        np.concatenate(input_tables),
        np.concatenate(params),
        np.array(bounds, np.int64),
        np.array(reads, np.int64).reshape(-1, 4),
        np.array(leaves, np.int64),
        np.array(
            [(row, LEAF_SOURCES[name]) for name, row in linker.base.leaves.items()], np.int64
        ).reshape(-1, 2),
    )
    return _Layout(columns, rows, flags, n_state, tuple(numbers), tuple(tail))


def _shared_leaves(linker: Linker, frames: list[Frame]) -> list[int]:
    """Return the base rows behind the higher frames' leaves, the same for each frame."""
    names = max((list(f.leaves) for f in frames), key=len, default=[])
    for frame in frames:
        if list(frame.leaves) != names[: len(frame.leaves)]:
            raise SpecError("higher timeframes must ask for their leaves in one order")
    return [linker.leaf(n) for n in names]


class SteppedSleeve:
    """A sleeve that is given its bars one by one.

    Parameters
    ----------
    linker : Linker
        As for a backtest, holding this strategy only.
    plan : PLAN array, shape (1,)
    cash : float
        Starting cash, quote currency.

    Attributes
    ----------
    timeframes : tuple of str
        Higher timeframes, in the order in which `integers` carry their codes.
    numbers, integers : float64 and int64 arrays
        The next bar; fill them and call `take`.
    state, journal : STATE and JOURNAL arrays, shape (1,)
        After the last bar, and what happened in it.
    """

    def __init__(self, linker: Linker, plan: NDArray[np.void], cash: float) -> None:
        layout = _layout(linker)
        self.timeframes = layout.timeframes
        n_above = len(layout.timeframes)
        n_leaves = 5 + max((len(f.leaves) for f in linker.frames.values()), default=0)
        self.memory = Memory(
            np.zeros(layout.n_state),
            np.zeros((n_above, c.AGGREGATE_STATE)),
            np.zeros((n_above, n_leaves, 1)),
            np.zeros(n_above, np.int64),
            np.zeros((layout.n_rows, 1)),
            np.zeros((layout.n_flags, 1), np.int8),
        )
        self._tail = TailWindows(layout.tail, self.memory.matrix) if layout.tail else None
        self.plan = plan
        self.state = new_states(plan, cash)
        self.journal = new_journal(keeps=True)
        self.numbers = np.zeros(N_NUMBERS)
        self.numbers[FACTORS:] = 1.0
        self.integers = np.zeros(CODES + n_above, np.int64)
        self._actions = np.zeros(8, ACTION)
        self._arrays = (
            *layout.columns,
            *self.memory,
            np.zeros((n_leaves, 1)),
            self.plan,
            self.state,
            self.journal,
            np.zeros(1, d.SCRATCH),
            np.zeros(1, d.BAR),
            self._actions,
        )
        lines = [(a.ctypes.data, *a.shape, *(0,) * (3 - a.ndim)) for a in self._arrays]
        self._finer = np.zeros(0)
        self._finer_ts = np.zeros(0, np.int64)
        tail = 0 if self._tail is None else self._tail.address
        self._handle = np.array(
            [
                *lines,
                (self._finer.ctypes.data, FINER_ROWS, 0, 0),
                (self._finer_ts.ctypes.data, 0, 0, 0),
                (tail, 0, 0, 0),
            ],
            np.int64,
        )

    @property
    def header(self) -> np.void:
        """Header of the state."""
        return self.state["header"][0]

    @property
    def state_bytes(self) -> bytes:
        """The whole state as bytes: columns with their newest values, windows, trading."""
        parts: tuple[NDArray[Any], ...] = (*self.memory, *self._windows)
        return b"".join(x.tobytes() for x in parts) + state_bytes(self.plan, self.state)

    @property
    def _windows(self) -> tuple[NDArray[np.float64], ...]:
        return () if self._tail is None else (self._tail.values,)

    def restore(self, data: bytes) -> None:
        """Go back to a state that `state_bytes` gave.

        Raises
        ------
        SpecError
            If the bytes are of another strategy.
        """
        if len(data) != len(self.state_bytes):
            raise SpecError(f"a state of {len(self.state_bytes)} bytes is needed, got {len(data)}")
        policy = self.plan["policy"][0]
        parts: list[NDArray[Any]] = [
            *self.memory,
            *self._windows,
            self.state["header"],
            self.state["brackets"][:, : policy["n_brackets"]],
            self.state["orders"][:, : policy["n_orders"]],
        ]
        at = 0
        for part in parts:
            size = part.nbytes
            part[...] = np.frombuffer(data[at : at + size], part.dtype).reshape(part.shape)
            at += size

    def take(self, finer: FinerBars | None = None) -> tuple[int, int]:
        """Take the bar that `numbers` and `integers` hold.

        Parameters
        ----------
        finer : FinerBars, optional
            Those within the bar; orders are matched along them. Without them,
            or with none, along both paths of the bar.

        Returns
        -------
        (int, int)
            Action and reason codes of the decision.

        Raises
        ------
        DataError
            If the finer bars are not ones of this bar; it is not taken then.
        SpecError
            If an indicator of the long tail does not take its parameters. The
            columns have seen the bar then: `restore` an earlier state, or stop.
        """
        if finer is not None:
            self._give_finer(finer)
        action, reason = step_nb(self._handle, self.numbers, self.integers)
        if finer is not None:
            self._handle[FINER, 2] = self._handle[FINER_TS, 1] = 0
        if action == NOT_COMPUTED:
            assert self._tail is not None
            self._tail.raise_failure()
        return action, reason

    def _give_finer(self, finer: FinerBars) -> None:
        """Check the finer bars of the next bar and lay them where the step reads them."""
        n = len(finer.ts)
        blocks = [("prices", finer.prices, 5)]
        if self.plan["policy"]["buy_row"][0] > 0:
            if finer.bid is None or finer.ask is None:
                raise DataError("finer bars must carry bid and ask where the bars do")
            blocks += [("bid", finer.bid, 4), ("ask", finer.ask, 4)]
        if n > self._finer_ts.shape[0]:
            self._finer = np.zeros(FINER_ROWS * n)
            self._finer_ts = np.zeros(n, np.int64)
            self._handle[FINER, 0] = self._finer.ctypes.data
            self._handle[FINER_TS, 0] = self._finer_ts.ctypes.data
        ts = self._finer_ts[:n]
        ts[:] = finer.ts
        rows = self._finer[: FINER_ROWS * n].reshape(FINER_ROWS, n)
        n_rows = 0
        for name, block, n_own in blocks:
            if block.shape != (n_own, n):
                raise DataError(
                    f"{n} finer bars must have {name} of shape ({n_own}, {n}), got {block.shape}"
                )
            rows[n_rows : n_rows + n_own] = block
            n_rows += n_own
        integers = self.integers
        check_finer(
            ts,
            rows[:n_rows],
            integers[TS : TS + 1],
            integers[CLOSE_TS : CLOSE_TS + 1],
            np.array([0, n]),
        )
        self._handle[FINER, 2] = self._handle[FINER_TS, 1] = n

    def give_actions(self, actions: NDArray[np.void]) -> None:
        """Set the corporate actions whose ex-date begins with the next bar; at most 8."""
        self._actions[: len(actions)] = actions
        self.integers[N_ACTIONS] = len(actions)

    def step_bars(self, bars: Bars, first_bar: int = 0) -> Iterator[int]:
        """Step through stored bars, yielding after each one that trades.

        The driver of tests and replays; live bars come from the streams.

        Raises
        ------
        DataError
            If bars lie outside their instrument's dates of validity.
        """
        check_validity(bars)
        numbers = np.ones((bars.n_bars, N_NUMBERS))
        numbers[:, :QUOTES] = bars.prices.T
        if bars.bid is not None and bars.ask is not None:
            numbers[:, QUOTES : QUOTES + 4] = bars.bid.T
            numbers[:, QUOTES + 4 : FACTS] = bars.ask.T
        numbers[:, FACTS:FACTORS] = bars.facts.T
        numbers[:, FACTORS], numbers[:, FACTORS + 1] = price_factors(bars)
        codes = [bars.periods[name] for name in self.timeframes]
        zeros = np.zeros(bars.n_bars, np.int64)
        integers = np.column_stack(
            [bars.ts, bars.close_ts, bars.session, bars.flags, zeros, zeros, *codes]
        )
        integers[first_bar:, TRADE] = 1
        at_bar = bars.actions["i_bar"]
        integers[:, N_ACTIONS] = np.bincount(at_bar, minlength=bars.n_bars)[: bars.n_bars]
        self.header["i_bar"] = first_bar
        for i in range(bars.n_bars):
            self.numbers[:] = numbers[i]
            self.integers[:] = integers[i]
            if integers[i, N_ACTIONS]:
                self.give_actions(bars.actions[at_bar == i])
            self.take(finer_bars(bars, i))
            if i >= first_bar:
                yield i
