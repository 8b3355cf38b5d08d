"""Checks for feeds that stand still: one close for too long, whole bars repeated."""

from __future__ import annotations

import numpy as np

from market_data.quality.findings import QualityFinding, Severity
from market_data.quality.habits import habit, runs
from market_data.quality.subject import Flags, Int64Array, Subject


def stretches(subject: Subject) -> Int64Array:
    """Return the number of the session (or month of daily bars) of each bar, from 0."""
    if not subject.frame.intraday:
        return np.arange(subject.n_bars) // 21
    changed = np.zeros(subject.n_bars, np.int64)
    changed[1:] = subject.i_session[1:] != subject.i_session[:-1]
    return np.cumsum(changed)


def running(subject: Subject) -> Flags | None:
    """Return which bars are not halted, None when all are running."""
    return None if subject.halted is None else ~subject.halted


def stale_price(
    subject: Subject, stretch: Int64Array, bucket: Int64Array, coarseness: float
) -> list[QualityFinding]:
    """Report runs of one close longer than the instrument's own habit explains.

    With usual volume and no range all the while the price is frozen and not the
    market: an error. Flagged halts are no finding.

    Parameters
    ----------
    coarseness : float
        Smallest step of the price over a bar's usual range: a price of few ticks
        stays where it is.
    """
    if subject.n_bars < 20:
        return []
    limits, close = subject.limits, subject.prices[3]
    same = np.zeros(subject.n_bars, np.bool_)
    np.equal(close[1:], close[:-1], out=same[1:])
    going = running(subject)
    if going is not None:
        same &= going
    if not same.any():
        return []
    usual = habit(same, stretch, bucket, limits, least_begins=1e-6,
        least_goes_on=float(np.clip(0.7 * coarseness, 0.02, 0.9)),
    )  # fmt: skip
    longest = usual.longest(subject.n_bars, limits)
    starts, stops = runs(same)
    lengths = stops - starts
    allowed = np.maximum(longest[bucket[starts]], longest[bucket[stops - 1]])
    allowed = np.maximum(allowed, limits.stale_least)
    worth = lengths > allowed
    starts, stops, lengths, allowed = starts[worth], stops[worth], lengths[worth], allowed[worth]
    if starts.shape[0] == 0:
        return []
    volume = np.nan_to_num(subject.prices[4])
    typical = float(np.median(volume))
    moved = np.array([volume[a:b].mean() for a, b in zip(starts, stops, strict=True)])
    # A wall of orders holds the close, and trades still swing around it.
    ranges = subject.prices[1] - subject.prices[2]
    flat = np.array([not ranges[a:b].any() for a, b in zip(starts, stops, strict=True)])
    frozen = (typical > 0) & (moved > 0.5 * typical) & flat

    def evidence(i: int) -> str:
        more = f" while volume went on ({moved[i]:,.0f} a bar)" if frozen[i] else ""
        return (
            f"close {close[starts[i]]:g} in {lengths[i] + 1} bars running{more}; "
            f"{allowed[i] + 1:.0f} are usual at most"
        )

    return subject.report(
        "stale_price",
        lambda i: Severity.ERROR if frozen[i] else Severity.WARNING,
        starts, stops, lengths.astype(np.float64), allowed, "bars", evidence,
    )  # fmt: skip


def repeated_bars(
    subject: Subject, stretch: Int64Array, bucket: Int64Array
) -> list[QualityFinding]:
    """Report whole bars, with a range and with volume, that equal the bar before.

    Where prices have few ticks and volumes few shares, some do by chance: the
    instrument's own habit is allowed.
    """
    if subject.n_bars < 3:
        return []
    prices, limits = subject.prices, subject.limits
    # The close first: where it moves the other columns need no look.
    at = np.flatnonzero(prices[3, 1:] == prices[3, :-1]) + 1
    for field in (0, 1, 2, 4):
        at = at[prices[field, at] == prices[field, at - 1]]
    at = at[(prices[1, at] > prices[2, at]) & (prices[4, at] > 0)]
    going = running(subject)
    if going is not None:
        at = at[going[at]]
    if at.shape[0] == 0:
        return []
    flags = np.zeros(subject.n_bars, np.bool_)
    flags[at] = True
    starts, stops = runs(flags)
    least = 1 if not subject.frame.intraday else limits.repeated_least
    usual = habit(flags, stretch, bucket, limits, least_begins=1e-6, least_goes_on=0.02)
    longest = usual.longest(subject.n_bars, limits)
    allowed = np.maximum(longest[bucket[starts]], least - 1)
    worth = stops - starts > allowed
    starts, stops, allowed = starts[worth], stops[worth], allowed[worth]
    return subject.report(
        "repeated_bars", Severity.ERROR, starts, stops, (stops - starts).astype(np.float64),
        allowed, "bars",
        lambda i: (
            f"{stops[i] - starts[i]} bars equal the one before them in all prices and in volume "
            f"({prices[4, starts[i]]:,.10g})"
        ),
        single=True,
    )  # fmt: skip
