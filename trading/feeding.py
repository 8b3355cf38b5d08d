"""Feeding: columns of stored bars for all linked strategies at once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from trading import columns as c
from trading.arrays import Feed
from trading.bars import ACTION, NO_SHARES, Bars
from trading.compiling import kernel
from trading.finer import check_finer
from trading.linker import Frame, Linker
from trading.waking import BLOCK_BARS, block_ranges_nb

# Below this much work threads cost more than they bring.
PARALLEL_CELLS = 2_000_000


def price_factors(bars: Bars) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the cumulative price and split factors of each bar since the first.

    A split of r new shares for one multiplies both by r; a dividend of D after
    a close of C multiplies the price factor by C / (C - D). Price times factor
    is continuous, and a factor never changes once its bar is seen. A delisting
    comes after the last price and changes none.

    Returns
    -------
    price, split : float64 arrays, shape (n_bars,)
    """
    price = np.ones(bars.n_bars)
    split = np.ones(bars.n_bars)
    for action in bars.actions:
        i = int(action["i_bar"])
        ratio = float(action["split_ratio"])
        if i <= 0 or i >= bars.n_bars or ratio == NO_SHARES:
            continue
        close = float(bars.prices[3, i - 1])
        dividend = float(action["dividend"])
        factor = 1.0
        if 0.0 < dividend < close:
            factor = close / (close - dividend)
        price[i:] *= factor * ratio
        split[i:] *= ratio
    return price, split


def needs_factors(bars: Bars) -> bool:
    """Tell whether any split or dividend falls on the bars."""
    return bool((bars.actions["split_ratio"] != NO_SHARES).any())


def check_bars(bars: Bars, prices: NDArray[np.float64]) -> None:
    """Refuse bars that the core can't run on.

    Parameters
    ----------
    prices : float64 array, shape (n_rows, n_bars)
        Their prices, contiguous and writable.

    Raises
    ------
    DataError
        Naming the first bar that is not finite, not positive or not in order,
        or that lies outside the instrument's dates of validity.
    """
    if bars.n_bars == 0:
        raise DataError(f"{bars.instrument.symbol}: there are no bars in the range")
    symbol = bars.instrument.symbol
    check_validity(bars)
    i, late = find_bad_bar_nb(_own(bars.ts, np.int64), prices)
    if i < 0:
        return
    if late:
        raise DataError(
            f"{symbol}: bars must be in time order without duplicates, "
            f"but bar {i} ({_time(bars, i)}) is not after the one before"
        )
    o, h, low, close = bars.prices[:4, i]
    raise DataError(
        f"{symbol}: bar {i} ({_time(bars, i)}) must have positive prices with "
        f"low <= open, close <= high, but has open {o:g}, high {h:g}, low {low:g}, "
        f"close {close:g}"
    )


def check_validity(bars: Bars) -> None:
    """Refuse bars of sessions on which the symbol meant another instrument or none."""
    instrument = bars.instrument
    first, last = date_of(bars.session[0]), date_of(bars.session[-1])
    if instrument.valid_from is not None and first < instrument.valid_from:
        raise DataError(
            f"{instrument.symbol}: bars must begin on {instrument.valid_from}, from which day on "
            f"the symbol means this instrument, but the first is of {first}"
        )
    if instrument.valid_to is not None and last > instrument.valid_to:
        raise DataError(
            f"{instrument.symbol}: bars must end on {instrument.valid_to}, up to which day the "
            f"symbol means this instrument, but the last is of {last}"
        )


def date_of(day: np.int64) -> date:
    """Return the date of a number of days since 1970-01-01."""
    return date(1970, 1, 1) + timedelta(int(day))


@kernel
def find_bad_bar_nb(ts, prices):
    """Find the first bar out of order, else the first with impossible prices.

    Returns
    -------
    (int, bool)
        Its number, -1 when all are good; whether it is out of order.
    """
    n_bars = ts.shape[0]
    for i in range(1, n_bars):
        if ts[i] <= ts[i - 1]:
            return i, True
    for i in range(n_bars):
        opened = prices[0, i]
        high = prices[1, i]
        low = prices[2, i]
        close = prices[3, i]
        # Comparisons with NaN are false, so that it is refused, too.
        ordered = low > 0.0 and low <= opened and low <= close and opened <= high and close <= high
        if not (ordered and high < np.inf):
            return i, False
    return -1, False


def _time(bars: Bars, i: int) -> str:
    return str(np.datetime64(int(bars.ts[i]), "ns").astype("datetime64[s]")) + "Z"


def session_stops(session: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each bar the index after the last bar of its session."""
    ends = np.append(np.flatnonzero(np.diff(session)) + 1, len(session))
    return np.repeat(ends, np.diff(ends, prepend=0))


def _fill_leaves(frame: Frame, bars: Bars, matrix: NDArray[np.float64]) -> None:
    facts = {"hour": 0, "minute": 1, "weekday": 2, "session_bar": 3}
    factors = None
    for name, row in frame.leaves.items():
        if name in facts:
            matrix[row] = bars.facts[facts[name]]
        elif name == "session":
            matrix[row] = bars.session
        else:
            if factors is None:
                factors = price_factors(bars)
            matrix[row] = factors[0] if name == "price_factor" else factors[1]


def _run_frame(
    frame: Frame, matrix: NDArray[np.float64], flags: NDArray[np.int8], threads: int
) -> None:
    """Compute a frame's nodes, level by level; nodes of one level on several threads."""
    nodes, inputs, params = frame.tables()
    buffer = np.zeros(frame.n_state)
    n_bars = matrix.shape[1]
    levels = sorted(frame.levels)

    def compute(first: int, last: int) -> None:
        c.run_nodes_nb(nodes, inputs, params, buffer, matrix, flags, first, last, 0, n_bars)

    start = 0
    parallel = threads > 1 and n_bars * len(nodes) > PARALLEL_CELLS
    pool = ThreadPoolExecutor(threads) if parallel else None
    try:
        while start < len(levels):
            stop = start
            while stop < len(levels) and levels[stop] == levels[start]:
                stop += 1
            for n in range(start, stop):
                if nodes[n]["kind"] == c.EXTERNAL:
                    _run_external(frame, int(nodes[n]["op"]), matrix)
            if pool is not None and stop - start > 1:
                parts = _parts(nodes, start, stop, threads)
                for job in [pool.submit(compute, *part) for part in parts]:
                    job.result()
            else:
                compute(start, stop)
            start = stop
    finally:
        if pool is not None:
            pool.shutdown()


def _parts(nodes: NDArray[np.void], start: int, stop: int, threads: int) -> list[tuple[int, int]]:
    """Deal nodes out: indicators one by one, conditions, which take microseconds, in bulk."""
    size = 1
    if not (nodes["kind"][start:stop] == c.INDICATOR).any():
        size = -(-(stop - start) // threads)
    return [(first, min(first + size, stop)) for first in range(start, stop, size)]


def _run_external(frame: Frame, i_external: int, matrix: NDArray[np.float64]) -> None:
    """Compute a long-tail indicator bar by bar over its last bars, as live does."""
    from trading.indicators.tail import compute_tail, input_names

    external = frame.externals[i_external]
    spec = external.spec
    assert spec.window is not None
    width = int(spec.window(external.params))
    n_outputs = len(spec.outputs)
    out = matrix[external.output : external.output + n_outputs]
    out[:] = np.nan
    for i in range(width - 1, matrix.shape[1]):
        window = {
            name: matrix[row, i + 1 - width : i + 1]
            for name, row in zip(input_names(spec), external.input_rows, strict=True)
        }
        out[:, i] = compute_tail(spec, external.params, window)


def build_feed(linker: Linker, bars: Bars, *, threads: int | None = None) -> Feed:
    """Compute every linked column of the bars.

    Returns
    -------
    Feed
        Shared by all strategies that were linked; nothing in it is written to
        when they run.
    """
    threads = threads or min(2, os.cpu_count() or 1)
    n = bars.n_bars
    base = linker.base
    matrix = np.empty((base.n_rows, n))
    matrix[:5] = bars.prices
    check_bars(bars, matrix)
    flags = np.empty((base.n_flags, n), np.int8)
    flags[0] = 0
    low, high = matrix[2], matrix[1]
    if bars.bid is not None and bars.ask is not None:
        matrix[5:9] = bars.bid
        matrix[9:13] = bars.ask
        low, high = np.minimum(low, matrix[7]), np.maximum(high, matrix[10])
    _fill_leaves(base, bars, matrix)
    for timeframe, frame in linker.frames.items():
        _run_above(linker, frame, bars, timeframe, matrix, flags, threads)
    _run_frame(base, matrix, flags, threads)
    finer, finer_ts, finer_start = _finer(bars)
    if len(finer_start):
        low, high = _finer_range(low, high, finer, finer_start, bars)
    return _feed(bars, matrix, flags, low, high, finer, finer_ts, finer_start)


def _feed(
    bars: Bars,
    matrix: NDArray[np.float64],
    flags: NDArray[np.int8],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    finer: NDArray[np.float64],
    finer_ts: NDArray[np.int64],
    finer_start: NDArray[np.int64],
) -> Feed:
    low, high = _own(low, np.float64), _own(high, np.float64)
    n_blocks = bars.n_bars // BLOCK_BARS
    block_low, block_high = np.empty(n_blocks), np.empty(n_blocks)
    close_low, close_high = np.empty(n_blocks), np.empty(n_blocks)
    block_ranges_nb(low, high, matrix[3], block_low, block_high, close_low, close_high)
    return Feed(
        matrix,
        _own(bars.ts, np.int64),
        _own(bars.close_ts, np.int64),
        _own(bars.session, np.int64),
        _own(bars.flags, np.int64),
        flags,
        session_stops(bars.session),
        low,
        high,
        block_low,
        block_high,
        close_low,
        close_high,
        _own(bars.actions, ACTION),
        finer,
        finer_ts,
        finer_start,
    )


def empty_feed(linker: Linker, bars: Bars) -> Feed:
    """Return the feed of bars with all linked columns unknown."""
    matrix = np.full((linker.base.n_rows, bars.n_bars), np.nan)
    matrix[:5] = bars.prices
    flags = np.ones((linker.base.n_flags, bars.n_bars), np.int8)
    flags[0] = 0
    finer, finer_ts, finer_start = _finer(bars)
    return _feed(bars, matrix, flags, matrix[2], matrix[1], finer, finer_ts, finer_start)


def _own(array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Return a contiguous, writable array: kernels are compiled for those alone."""
    return np.require(array, dtype, ["C", "W"])


def _run_above(
    linker: Linker,
    frame: Frame,
    bars: Bars,
    timeframe: str,
    matrix: NDArray[np.float64],
    flags: NDArray[np.int8],
    threads: int,
) -> None:
    """Build a higher frame from completed bars, compute it, and bring it down."""
    codes = bars.periods.get(timeframe)
    if codes is None:
        raise DataError(
            f"{bars.instrument.symbol}: the bars came without the ends of their {timeframe} periods"
        )
    source = leaf_source(linker, frame, matrix, bars)
    index = np.empty(bars.n_bars, np.int64)
    state = np.zeros(c.AGGREGATE_STATE)
    leaves = np.empty_like(source)
    n_above = c.aggregate_nb(state, _own(codes, np.int64), source, leaves, index)
    above = np.empty((frame.n_rows, max(n_above, 1)))
    above[: len(leaves), :n_above] = leaves[:, :n_above]
    above_flags = np.zeros((frame.n_flags, max(n_above, 1)), np.int8)
    _run_frame(frame, above, above_flags, threads)
    reads = np.array(
        [
            (row, here, int(is_flag))
            for (name, row, is_flag), here in linker.base.reads.items()
            if name == timeframe
        ],
        np.int64,
    ).reshape(-1, 3)
    c.read_rows_nb(above, above_flags, index, reads, matrix, flags)


def leaf_source(
    linker: Linker, frame: Frame, matrix: NDArray[np.float64], bars: Bars
) -> NDArray[np.float64]:
    """Return the base columns a higher bar is built from, in the frame's row order."""
    names = sorted(frame.leaves, key=lambda name: frame.leaves[name])
    if [frame.leaves[name] for name in names] != list(range(5, 5 + len(names))):
        raise DataError("leaves of a higher timeframe must come right after its bars")
    source = np.empty((5 + len(names), matrix.shape[1]))
    source[:5] = matrix[:5]
    if linker.adjusted:
        price = matrix[linker.base.leaves["price_factor"]]
        split = matrix[linker.base.leaves["split_factor"]]
        source[:4] *= price
        source[4] /= split
    for k, name in enumerate(names):
        if name == "session":
            source[5 + k] = bars.session
        else:
            source[5 + k] = matrix[linker.base.leaves[name]]
    return source


def _finer(
    bars: Bars,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    if bars.finer is None or bars.finer_start is None:
        return np.zeros((5, 0)), np.zeros(0, np.int64), np.zeros(0, np.int64)
    finer = bars.finer
    rows = [finer.prices]
    if bars.bid is not None:
        if finer.bid is None or finer.ask is None:
            raise DataError("finer bars must carry bid and ask where the bars do")
        rows += [finer.bid, finer.ask]
    prices, ts = np.ascontiguousarray(np.vstack(rows)), _own(finer.ts, np.int64)
    start = _own(bars.finer_start, np.int64)
    try:
        check_finer(ts, prices, _own(bars.ts, np.int64), _own(bars.close_ts, np.int64), start)
    except DataError as error:
        raise DataError(f"{bars.instrument.symbol}: {error}") from None
    return prices, ts, start


def _finer_range(
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    finer: NDArray[np.float64],
    start: NDArray[np.int64],
    bars: Bars,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Widen each bar's range by its finer bars, which may not agree with it."""
    low, high = low.copy(), high.copy()
    low_row = finer[7] if finer.shape[0] > 5 else finer[2]
    high_row = finer[10] if finer.shape[0] > 5 else finer[1]
    has = np.flatnonzero(np.diff(start) > 0)
    if len(has):
        low[has] = np.minimum(low[has], np.minimum.reduceat(low_row, start[has]))
        high[has] = np.maximum(high[has], np.maximum.reduceat(high_row, start[has]))
    return low, high
