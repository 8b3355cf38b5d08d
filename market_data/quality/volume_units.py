"""Volume in another unit: hundreds (lots for shares), thousands, for a while or from a day on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from market_data.quality.findings import QualityFinding, Severity
from market_data.quality.habits import MAD_SIGMA, runs, usual_by_bucket
from market_data.quality.holidays import FX_SHORT, on_days
from market_data.quality.subject import N_BUCKETS, Flags, FloatArray, Int64Array, Subject
from market_data.sessions import date_of
from market_data.timeframes import HOUR_NS

# So many blocks on either side tell a level: days, weeks, or half hours of shorter bars.
_N_BESIDE = 5
_FEWEST_BLOCKS = 20
# A step between blocks that is looked into, in powers of ten: 16 times.
_STEP = 1.2
# Distance to a whole power, in powers of ten: twice, which is noise of medians of few blocks.
_TOLERANCE = 0.35
# Ranges of prices at a level that is higher, over those beside it: a share that all
# the world wants moves.
_CALM = 3.0


def wrong_volume_unit(subject: Subject) -> tuple[list[QualityFinding], Subject]:
    """Report stretches whose volume is a hundred or a thousand times that around them.

    Volume wanders by tens over years and jumps by tens for a day; to change by a
    power of ten within one bar, to stay, and to leave the prices as they were is
    the doing of whoever wrote the file. Only within the scheduled hours: after
    them news multiplies what is little.

    Returns
    -------
    findings : list
    subject : Subject
        With volume in the unit of most blocks.
    """
    volume = subject.prices[4]
    if subject.n_bars < _FEWEST_BLOCKS or not bool(np.any(volume > 0)):
        return [], subject
    starts, sums, bucket = _blocks(subject)
    traded = sums > 0
    starts, sums, bucket = starts[traded], sums[traded], bucket[traded]
    if sums.shape[0] < _FEWEST_BLOCKS:
        return [], subject
    level = np.log10(sums)
    level -= np.log10(usual_by_bucket(sums, bucket, N_BUCKETS))[bucket]
    steps = np.diff(level)
    # Almost no series goes on from here.
    if not bool(np.any(np.abs(steps) > _STEP)):
        return [], subject
    noise = float(MAD_SIGMA * np.median(np.abs(steps))) / np.sqrt(2.0)
    cuts = _cuts(level, max(subject.limits.volume_unit_sigmas * noise, 2.0 - _TOLERANCE))
    powers = _powers(level, cuts)
    cuts, powers = cuts[powers != 0], powers[powers != 0]
    if cuts.shape[0] == 0:
        return [], subject
    total = np.concatenate(([0], np.cumsum(powers)))
    edges = np.concatenate(([0], cuts, [level.shape[0]]))
    n_blocks = np.array([np.diff(edges)[total == one].sum() for one in total])
    usual = int(total[np.argmax(n_blocks)])
    off = np.flatnonzero(total != usual)
    # Stretches of bars, to the one before the next block.
    at = _first_bars(subject, starts, cuts, powers)
    begins = np.concatenate(([0], at))[off]
    ends = np.concatenate((at, [subject.n_bars]))[off]
    calm = np.array(
        [
            _is_calm(subject, a, b) or total[k] < usual
            for k, a, b in zip(off, begins, ends, strict=True)
        ],
        np.bool_,
    )
    off, begins, ends = off[calm], begins[calm], ends[calm]
    if off.shape[0] == 0:
        return [], subject
    factors = 10.0 ** (total[off] - usual).astype(np.float64)
    bounded = (edges[off] > 0) & (edges[off + 1] < level.shape[0])
    dates = subject.dates()
    found = subject.report(
        "wrong_volume_unit",
        # What changes once and stays may be another way of counting.
        lambda i: Severity.ERROR if bounded[i] else Severity.WARNING,
        begins, ends, factors, 1.0, "times",
        lambda i: (
            f"volume of {ends[i] - begins[i]:,} bars is about {factors[i]:g} times that around, "
            + _span(dates, int(begins[i]), int(ends[i]))
        ),
    )  # fmt: skip
    prices = subject.prices.copy()
    for a, b, factor in zip(begins.tolist(), ends.tolist(), factors.tolist(), strict=True):
        # Whole numbers stay whole.
        prices[4, a:b] = np.round(prices[4, a:b] / factor, 6)
    return found, replace(subject, prices=prices)


def _span(dates: Int64Array, begin: int, end: int) -> str:
    first, last = date_of(int(dates[begin])), date_of(int(dates[end - 1]))
    if end == dates.shape[0]:
        return f"from {first} on"
    return f"from {first} to {last}" if begin else f"up to {last}"


def _first_bars(
    subject: Subject, starts: Int64Array, cuts: Int64Array, powers: Int64Array
) -> Int64Array:
    """Return the bar at which each stretch begins; a block may hold bars of two."""
    volume = np.log10(np.maximum(np.nan_to_num(subject.prices[4], posinf=0.0), 1e-3))
    stops = np.append(starts[1:], subject.n_bars)
    found = []
    for cut, power in zip(cuts.tolist(), powers.tolist(), strict=True):
        if stops[cut] - starts[cut] == 1:
            found.append(int(starts[cut]))
            continue
        a, b = int(starts[cut - 1]), int(stops[cut])
        before = volume[int(starts[max(cut - _N_BESIDE, 0)]) : a]
        middle = (float(np.median(before)) if before.shape[0] else volume[a]) + power / 2
        # Before the step each bar lies on one side of the middle, after it on the other.
        path = np.cumsum(np.sign(power) * (volume[a:b] - middle))
        found.append(a + int(np.argmin(np.concatenate(([0.0], path[:-1])))))
    return np.array(found, np.int64)


def _blocks(subject: Subject) -> tuple[Int64Array, FloatArray, Int64Array]:
    """Return first bar, volume and time of day of each block within the scheduled hours."""
    volume = np.nan_to_num(subject.prices[4], posinf=0.0)
    n, bucket = subject.n_bars, subject.buckets()
    if not subject.frame.intraday or subject.frame.length_ns >= HOUR_NS:
        starts: Int64Array = np.arange(n)
        sums = volume.copy()
    else:
        new = (bucket[1:] != bucket[:-1]) | (subject.i_session[1:] != subject.i_session[:-1])
        starts = np.concatenate(([0], np.flatnonzero(new) + 1))
        sums = np.add.reduceat(volume, starts)
    inside: Flags = np.ones(starts.shape[0], np.bool_)
    if subject.frame.intraday:
        inside = ~subject.outside[starts]
    if subject.table.calendar == "FX":
        inside &= ~on_days(subject.dates()[starts], FX_SHORT)
    return starts[inside], sums[inside], bucket[starts][inside]


def _cuts(level: FloatArray, least: float) -> Int64Array:
    """Return the blocks before which the median of the blocks beside steps by more than `least`."""
    n = level.shape[0]
    beside = np.lib.stride_tricks.sliding_window_view(level, _N_BESIDE)
    median = np.median(beside, axis=1)
    # Of the blocks before and from each block on.
    step = np.zeros(n)
    inner = np.arange(_N_BESIDE, n - _N_BESIDE + 1)
    step[inner] = median[inner] - median[inner - _N_BESIDE]
    near, stops = runs(np.abs(step) > least)
    own = np.abs(np.diff(level, prepend=level[0]))
    cuts = []
    for a, b in zip(near.tolist(), stops.tolist(), strict=True):
        for sign in (-1.0, 1.0):
            chosen = np.flatnonzero(step[a:b] * sign > least) + a
            if chosen.shape[0]:
                # Within the flank of the medians, where the volume itself steps.
                wide = np.arange(max(chosen[0] - 2, 1), min(chosen[-1] + 3, n))
                cuts.append(int(wide[np.argmax(own[wide])]))
    return np.unique(np.array(cuts, np.int64))


def _powers(level: FloatArray, cuts: Int64Array) -> Int64Array:
    """Return the power of ten by which each stretch differs from the one before, 0 for none."""
    edges = np.concatenate(([0], cuts, [level.shape[0]]))
    powers = np.zeros(cuts.shape[0], np.int64)
    for i, cut in enumerate(cuts.tolist()):
        before = level[max(edges[i], cut - 4 * _N_BESIDE) : cut]
        after = level[cut : min(edges[i + 2], cut + 4 * _N_BESIDE)]
        step = float(np.median(after) - np.median(before))
        power = round(step)
        if abs(power) >= 2 and abs(step - power) < _TOLERANCE:
            powers[i] = power
    return powers


def _is_calm(subject: Subject, begin: int, end: int) -> bool:
    """Return whether prices move in a stretch as they do beside it."""
    high, low = subject.prices[1], subject.prices[2]
    n = max(end - begin, subject.n_around())
    beside: Int64Array = np.concatenate((np.arange(max(begin - n, 0), begin),
                             np.arange(end, min(end + n, subject.n_bars))))  # fmt: skip
    if beside.shape[0] == 0:
        return True
    within = np.median(np.log(high[begin:end] / low[begin:end]))
    usual = np.median(np.log(high[beside] / low[beside]))
    return bool(within <= _CALM * max(float(usual), 1e-4))
