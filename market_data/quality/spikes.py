"""Misprints: one bar, or a few in a row, that stand out from both neighbours and are back at once."""

from __future__ import annotations

import numpy as np

from market_data.quality.findings import QualityFinding, Severity
from market_data.quality.moves import Moves, calm_sessions, day_sigma
from market_data.quality.subject import Flags, FloatArray, Int64Array, Subject
from market_data.timeframes import DAY_NS

# Bars further apart than a long weekend are no neighbours.
_NEIGHBOURS_NS = 5 * DAY_NS
_NAMES = ("open", "high", "low", "close")


def spikes(
    subject: Subject, moves: Moves, scale: FloatArray
) -> tuple[list[QualityFinding], Int64Array]:
    """Report bars that stand out from both neighbours and are back at once.

    Parameters
    ----------
    scale : float64 array, shape (n_bars,)
        Usual log range of each bar, as of `moves.bar_scale`.

    Returns
    -------
    findings : list
    at : int64 array
        The bars.
    """
    limits = subject.limits
    starts: list[Int64Array] = [np.zeros(0, np.int64)]
    lengths: list[Int64Array] = [np.zeros(0, np.int64)]
    excess: list[FloatArray] = [np.zeros(0)]
    around: list[FloatArray] = [np.zeros(0)]
    taken: Flags = np.zeros(subject.n_bars, np.bool_)
    for n_in_row in range(1, limits.spike_bars + 1):
        if subject.n_bars < n_in_row + 4:
            break
        at, over, held_to = _out_of_line(subject, moves, scale, n_in_row)
        if at.shape[0] and n_in_row > 1:
            keep = ~taken[at[:, np.newaxis] + np.arange(-1, n_in_row + 1)].any(axis=1)
            keep &= _jumped(subject, moves, at, n_in_row, over)
            at, over, held_to = at[keep], over[keep], held_to[keep]
        taken[(at[:, np.newaxis] + np.arange(n_in_row)).ravel()] = True
        starts.append(at)
        lengths.append(np.full(at.shape[0], n_in_row))
        excess.append(over)
        around.append(held_to)
    first = np.concatenate(starts)
    order = np.argsort(first, kind="stable")
    first, n_bars = first[order], np.concatenate(lengths)[order]
    sizes = np.concatenate(excess)[order]
    measures = np.abs(sizes) / np.concatenate(around)[order]

    def evidence(i: int) -> str:
        start, n = int(first[i]), int(n_bars[i])
        row = 1 if sizes[i] > 0 else 2
        for field in (3, 0):
            if subject.prices[field, start] == subject.prices[row, start]:
                row = field
        near = subject.prices[1 if sizes[i] > 0 else 2, [start - 1, start + n]]
        return (
            f"{_NAMES[row]} {subject.prices[row, start]:g} between {near[0]:g} and {near[1]:g}: "
            f"{100 * abs(np.expm1(sizes[i])):.2f} % {'above' if sizes[i] > 0 else 'below'} both"
            + (f" in {n} bars" if n > 1 else "")
            + ", back at once"
            + (", outside the scheduled hours" if subject.outside[start] else "")
        )

    found = subject.report(
        "spike",
        lambda i: (
            Severity.ERROR
            if measures[i] > limits.spike_error and not subject.outside[first[i]]
            else Severity.WARNING
        ),
        first, first + n_bars, measures, limits.spike, "scales", evidence, single=True,
    )  # fmt: skip
    return found, np.flatnonzero(taken)


def _out_of_line(
    subject: Subject, moves: Moves, scale: FloatArray, n_in_row: int
) -> tuple[Int64Array, FloatArray, FloatArray]:
    """Find runs of so many bars that are all above, or all below, the bars beside them.

    Returns
    -------
    starts : int64 array
    excess : float64 array
        Log distance of the least of them from the nearer neighbour, above 0 for
        bars above both.
    around : float64 array
        Scale that it is measured in.
    """
    limits, high, low = subject.limits, moves.high, moves.low
    n = subject.n_bars - n_in_row - 1
    before, after = slice(0, n), slice(n_in_row + 1, None)
    top, bottom = high[1 : n + 1], low[1 : n + 1]
    for i in range(1, n_in_row):
        top = np.minimum(top, high[1 + i : n + 1 + i])
        bottom = np.maximum(bottom, low[1 + i : n + 1 + i])
    over = top - np.maximum(high[before], high[after])
    under = np.minimum(low[before], low[after]) - bottom
    excess = np.maximum(over, under)
    at = np.flatnonzero((excess > limits.spike_least) & (excess > limits.spike * scale[1 : n + 1]))
    if at.shape[0] == 0:
        return at, np.zeros(0), np.zeros(0)
    # Wide neighbours are a wild hour, and no misprint.
    ranges = (high[at] - low[at]) + (high[at + n_in_row + 1] - low[at + n_in_row + 1])
    around = np.maximum(scale[at + 1], 0.5 * ranges)
    size, up = excess[at], over[at] >= under[at]
    at = at + 1
    counts = np.diff(np.append(moves.starts, subject.n_bars))
    harmful = limits.spike_day * np.repeat(day_sigma(moves), counts)[at]
    length = subject.frame.length_ns
    near = subject.ts[at + n_in_row] - subject.ts[at - 1] < _NEIGHBOURS_NS + (n_in_row + 1) * length
    worth = (size > limits.spike * around) & (size > harmful) & near
    if subject.halted is not None:
        halted = subject.halted[at[:, np.newaxis] + np.arange(n_in_row)]
        worth &= ~halted.any(axis=1)
    return at[worth], np.where(up, size, -size)[worth], around[worth]


def _jumped(
    subject: Subject, moves: Moves, at: Int64Array, n_in_row: int, excess: FloatArray
) -> Flags:
    """Return which runs prices went to and came back from without trading through what lies between.

    A market that turns round within minutes opens where it closed and trades all
    the way; a misprint is there and gone. Looked at within the scheduled hours and
    without long holes, so never over a night; of days, with usual turnover: news comes and is
    denied, and is traded.
    """
    bars = at[:, np.newaxis] + np.arange(n_in_row)
    sign = np.sign(excess)[:, np.newaxis]
    # Opens as logarithms free of known splits, as `moves` has the closes.
    logs = np.log(subject.prices[[0, 3]][:, bars])
    opened = sign * (moves.close[bars] + logs[0] - logs[1])
    closed = sign * moves.close[bars]
    edge = np.where(
        excess > 0,
        np.maximum(moves.high[at - 1], moves.high[at + n_in_row]),
        -np.minimum(moves.low[at - 1], moves.low[at + n_in_row]),
    )
    half_way = (edge + 0.5 * np.abs(excess))[:, np.newaxis]
    open_away, close_away = opened > half_way, closed > half_way
    none = np.zeros((at.shape[0], 1), np.bool_)
    next_open = np.concatenate((open_away[:, 1:], none), axis=1)
    last_close = np.concatenate((none, close_away[:, :-1]), axis=1)
    there = (~open_away & close_away & next_open).any(axis=1)
    back = (open_away & ~close_away & last_close).any(axis=1)
    jumped = ~(there | back)
    if subject.frame.intraday:
        last = at + n_in_row
        # A minute without a trade among them is none that was traded through.
        longest = 2 * (n_in_row + 1) * subject.frame.length_ns
        jumped &= subject.ts[last] - subject.ts[at - 1] <= longest
        return np.asarray(jumped & ~subject.outside[at] & ~subject.outside[last])
    counts = np.diff(np.append(moves.starts, subject.n_bars))
    loud = np.repeat(calm_sessions(moves, subject.limits.calm), counts)
    return np.asarray(jumped & ~(loud[bars] >= subject.limits.calm).any(axis=1))
