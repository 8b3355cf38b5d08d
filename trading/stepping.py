"""Stepping: one bar at a time through the same core, as paper and live run it.

All timeframes of a strategy share one matrix of a single column: what a row
holds is the newest value. State is flat and can be copied, stored as bytes and
restored. Corporate actions and finer bars come with the bar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundation.errors import SpecError
from trading import columns as c
from trading.arrays import Feed, Logs, Plan, Record, State
from trading.bars import ACTION, Bars
from trading.compiling import kernel
from trading.engine import process_bar_nb
from trading.feeding import price_factors
from trading.linker import Frame, Linker
from trading.sleeve import new_logs, new_record, new_scratch, new_state

FACTS = ("hour", "minute", "weekday", "session_bar")


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
    """

    nodes: NDArray[np.void]
    inputs: NDArray[np.int64]
    params: NDArray[np.float64]
    bounds: NDArray[np.int64]
    reads: NDArray[np.int64]
    leaves: NDArray[np.int64]


class Memory(NamedTuple):
    """What the columns remember between two bars.

    `open_bars` has a column of leaves for each higher frame, `aggregation` its
    state, `completed` whether any of its bars is complete.
    """

    buffer: NDArray[np.float64]
    aggregation: NDArray[np.float64]
    open_bars: NDArray[np.float64]
    completed: NDArray[np.int64]


@kernel
def step_nb(columns, memory, codes, source, plan, state, feed, logs, scratch, record, trade):
    """Take one bar through columns and policy.

    Parameters
    ----------
    codes : int64 array, shape (n_above,)
        The bar's period codes.
    source : float64 array, shape (n_leaves_max, 1)
        Adjusted open, high, low, close, volume; room for further leaves.
    trade : bool
        False while the bar only warms indicators up.
    """
    n_above = codes.shape[0]
    for k in range(n_above):
        n_leaves = columns.bounds[k, 3]
        for j in range(5, n_leaves):
            source[j, 0] = feed.matrix[columns.leaves[j - 5], 0]
        done = c.step_above_nb(
            columns.nodes, columns.inputs, columns.params, memory.buffer, feed.matrix, feed.flags,
            memory.aggregation[k], memory.open_bars[k, :n_leaves], codes[k], source[:n_leaves],
            columns.bounds[k, 2], columns.bounds[k, 0], columns.bounds[k, 1],
        )  # fmt: skip
        if done:
            memory.completed[k] = 1
    for r in range(columns.reads.shape[0]):
        there = columns.reads[r, 0]
        here = columns.reads[r, 1]
        known = memory.completed[columns.reads[r, 3]] == 1
        if columns.reads[r, 2] == 1:
            feed.flags[here, 0] = feed.flags[there, 0] if known else 1
        else:
            feed.matrix[here, 0] = feed.matrix[there, 0] if known else np.nan
    c.run_nodes_nb(
        columns.nodes, columns.inputs, columns.params, memory.buffer, feed.matrix, feed.flags,
        columns.bounds[n_above, 0], columns.bounds[n_above, 1], 0, 1,
    )  # fmt: skip
    if trade:
        process_bar_nb(plan, state, feed, logs, scratch, record, 0)


@dataclass(frozen=True, slots=True)
class _Layout:
    columns: Columns
    n_rows: int
    n_flags: int
    n_state: int
    timeframes: tuple[str, ...]


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
    )
    return _Layout(columns, rows, flags, n_state, tuple(numbers))


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
    linker, plan
        As for a backtest; the linker must hold only this strategy.
    cash : float
        Starting cash, quote currency.

    Raises
    ------
    SpecError
        If the strategy uses an indicator of the long tail, whose last bars the
        caller would have to keep.
    """

    def __init__(self, linker: Linker, plan: Plan, cash: float) -> None:
        if linker.base.externals or any(f.externals for f in linker.frames.values()):
            raise SpecError("an indicator without a step kernel can't be stepped by the core alone")
        layout = _layout(linker)
        self.timeframes = layout.timeframes
        self._leaf_rows = {n: linker.base.leaves[n] for n in linker.base.leaves}
        self._columns = layout.columns
        n_above = len(layout.timeframes)
        n_leaves = 5 + max((len(f.leaves) for f in linker.frames.values()), default=0)
        self.memory = Memory(
            np.zeros(layout.n_state),
            np.zeros((n_above, c.AGGREGATE_STATE)),
            np.zeros((n_above, n_leaves, 1)),
            np.zeros(n_above, np.int64),
        )
        self._codes = np.zeros(n_above, np.int64)
        self._source = np.zeros((n_leaves, 1))
        self.plan = plan
        self.state: State = new_state(plan, cash)
        self._scratch = new_scratch(self.state)
        self.logs: Logs = new_logs(64 + 16 * len(self.state.orders))
        self.record: Record = new_record(1, 0)
        self.feed = Feed(
            np.zeros((layout.n_rows, 1)),
            np.zeros((layout.n_flags, 1), np.int8),
            np.zeros(1, np.int64),
            np.zeros(1, np.int64),
            np.zeros(1, np.int64),
            np.zeros(1, np.int64),
            np.ones(1, np.int64),
            np.zeros(1),
            np.zeros(1),
            np.zeros(0, ACTION),
            np.zeros((5, 0)),
            np.zeros(0, np.int64),
            np.zeros(0, np.int64),
        )

    @property
    def state_bytes(self) -> bytes:
        """The whole state as bytes: trading, columns and their newest values."""
        parts = (*self.state, *self.memory, self.feed.matrix, self.feed.flags)
        return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)

    def restore(self, data: bytes) -> None:
        """Go back to a state that `state_bytes` gave."""
        at = 0
        for part in (*self.state, *self.memory, self.feed.matrix, self.feed.flags):
            size = part.nbytes
            part[...] = np.frombuffer(data[at : at + size], part.dtype).reshape(part.shape)
            at += size
        if at != len(data):
            raise SpecError(f"a state of {at} bytes is needed, got {len(data)}")

    def step(
        self,
        prices: NDArray[np.float64],
        ts: int,
        close_ts: int,
        session: int,
        bar_flags: int,
        facts: NDArray[np.float64] | None = None,
        periods: tuple[int, ...] = (),
        factors: tuple[float, float] = (1.0, 1.0),
        actions: NDArray[np.void] | None = None,
        *,
        trade: bool = True,
    ) -> None:
        """Take one bar; what happened is in `logs` and `record` until the next.

        Parameters
        ----------
        prices : float64 array, shape (n_prices,)
            Open, high, low, close, volume, then bid and ask where known.
        ts, close_ts : int
            Open and scheduled close, UTC nanoseconds.
        facts : float64 array, shape (4,)
            Hour, minute, weekday, session bar; needed if the strategy asks.
        periods : tuple of int
            Period codes, in the order of `timeframes`.
        factors : (float, float)
            Cumulative price and split factor of the bar.
        actions : ACTION array
            Corporate actions whose ex-date begins with this bar.
        """
        feed = self.feed
        matrix = feed.matrix
        matrix[: len(prices), 0] = prices
        feed.ts[0] = ts
        feed.close_ts[0] = close_ts
        feed.session[0] = session
        feed.bar_flags[0] = bar_flags
        for name, row in self._leaf_rows.items():
            if name == "session":
                matrix[row, 0] = session
            elif name == "price_factor":
                matrix[row, 0] = factors[0]
            elif name == "split_factor":
                matrix[row, 0] = factors[1]
            elif facts is not None:
                matrix[row, 0] = facts[FACTS.index(name)]
        if periods:
            self._codes[:] = periods
            self._source[:5] = matrix[:5]
            self._source[:4] *= factors[0]
            self._source[4] /= factors[1]
        if actions is not None and len(actions):
            feed = feed._replace(actions=actions)
        self.logs.cursor[0] = 0
        step_nb(
            self._columns, self.memory, self._codes, self._source, self.plan, self.state, feed,
            self.logs, self._scratch, self.record, trade,
        )  # fmt: skip

    def step_bars(self, bars: Bars, first_bar: int = 0):
        """Step through stored bars, yielding after each one that trades.

        The driver that tests and replays use; live bars come from the streams.
        """
        factors = price_factors(bars)
        quotes = [] if bars.bid is None else [bars.bid, bars.ask]
        prices = np.ascontiguousarray(np.vstack([bars.prices, *quotes]).T)
        facts = np.ascontiguousarray(bars.facts.T)
        codes = [bars.periods[name] for name in self.timeframes]
        self.state.header["i_bar"] = first_bar
        for i in range(bars.n_bars):
            actions = bars.actions[bars.actions["i_bar"] == i] if len(bars.actions) else None
            self.step(
                prices[i],
                int(bars.ts[i]),
                int(bars.close_ts[i]),
                int(bars.session[i]),
                int(bars.flags[i]),
                facts[i],
                tuple(int(code[i]) for code in codes),
                (float(factors[0][i]), float(factors[1][i])),
                actions,
                trade=i >= first_bar,
            )
            if i >= first_bar:
                yield i


def sleeve_size(sleeve: SteppedSleeve) -> int:
    """Return the bytes of a sleeve's state."""
    return len(sleeve.state_bytes)
