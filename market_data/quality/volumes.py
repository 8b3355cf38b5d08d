"""Checks of volume: negative, missing, none at all, far too much, in parts of lots."""

from __future__ import annotations

import numpy as np

from market_data.quality.findings import QualityFinding, Severity
from market_data.quality.habits import habit, robust_sigma, runs, usual_by_bucket
from market_data.quality.staleness import running
from market_data.quality.subject import N_BUCKETS, Int64Array, Subject, note


def impossible_volume(subject: Subject) -> list[QualityFinding]:
    """Report volume that is negative, infinite or missing (where the rest has some)."""
    volume = subject.prices[4]
    missing = np.isnan(volume)
    if bool(missing.all()):
        return []
    negative = (volume < 0) | np.isinf(volume)
    starts, stops = runs(negative)
    found = subject.report(
        "negative_volume", Severity.ERROR, starts, stops, volume[starts], 0.0, "units",
        lambda i: f"volume is {volume[starts[i]]:g} in {stops[i] - starts[i]} bars",
        single=True,
    )  # fmt: skip
    starts, stops = runs(missing)
    return found + subject.report(
        "missing_volume", Severity.WARNING, starts, stops, (stops - starts).astype(np.float64),
        0.0, "bars", lambda i: f"no volume in {stops[i] - starts[i]} bars, others have one",
    )  # fmt: skip


def has_volume(subject: Subject) -> bool:
    """Return whether almost all bars have volume, so that its absence says something."""
    volume = subject.prices[4]
    share = float(np.mean(volume > 0)) if subject.n_bars else 0.0
    return share >= subject.limits.volume_usual


def no_volume(subject: Subject, stretch: Int64Array, bucket: Int64Array) -> list[QualityFinding]:
    """Report runs of bars without volume, and moving prices in bars without volume."""
    volume, prices = subject.prices[4], subject.prices
    if subject.n_bars and not bool(np.any(volume > 0)):
        text = "the series has no volume: checks of volume are off"
        return [note(subject, "no_volume", 100.0, 100.0, "% of bars", subject.n_bars, text)]
    if not has_volume(subject) or subject.n_bars < 20:
        return []
    none = volume == 0
    going = running(subject)
    if going is not None:
        none &= going
    if not none.any():
        return []
    moving = none & (prices[1] > prices[2])
    starts, stops = runs(moving)
    ranges = np.array([float((prices[1, a] / prices[2, a] - 1) * 100.0) for a in starts])
    found = subject.report(
        "volume_without_trades", Severity.WARNING, starts, stops, ranges, 0.0, "% range",
        lambda i: (
            f"prices move from {prices[2, starts[i]]:g} to {prices[1, starts[i]]:g} in a bar "
            f"without volume ({stops[i] - starts[i]} bars)"
        ),
    )  # fmt: skip
    still = none & ~moving
    if not still.any():
        return found
    usual = habit(still, stretch, bucket, subject.limits, least_begins=1e-6, least_goes_on=0.02)
    longest = usual.longest(subject.n_bars, subject.limits)
    starts, stops = runs(still)
    lengths = stops - starts
    allowed = np.maximum(longest[bucket[starts]], longest[bucket[stops - 1]])
    worth = lengths > np.maximum(allowed, subject.limits.stale_least - 1)
    starts, stops, lengths, allowed = starts[worth], stops[worth], lengths[worth], allowed[worth]
    return found + subject.report(
        "zero_volume_run", Severity.WARNING, starts, stops, lengths.astype(np.float64), allowed,
        "bars", lambda i: f"no volume in {lengths[i]} bars running, {allowed[i]:.0f} are usual",
    )  # fmt: skip


def volume_spike(subject: Subject, bucket: Int64Array) -> list[QualityFinding]:
    """Report volume of a hundred times its median for the time of day."""
    volume, limits = subject.prices[4], subject.limits
    traded = volume > 0
    if subject.n_bars < 20 or int(traded.sum()) < 20:
        return []
    positive = volume if bool(traded.all()) else volume[traded]
    of_bucket = bucket if positive is volume else bucket[traded]
    usual = usual_by_bucket(positive, of_bucket, N_BUCKETS)
    # A cheap bound first: most series have nothing near it.
    at = np.flatnonzero(volume > limits.volume_times * float(usual.min()))
    at = at[volume[at] > limits.volume_times * usual[bucket[at]]]
    if at.shape[0] == 0:
        return []
    sigma = max(robust_sigma(np.log(positive / usual[of_bucket])), 0.3)
    near = np.clip(at[:, np.newaxis] + np.arange(-_N_BESIDE, _N_BESIDE + 1), 0, subject.n_bars - 1)
    beside = np.median(np.maximum(volume[near], 0.0), axis=1)
    times = volume[at] / np.maximum(usual[bucket[at]], beside)
    worth = (times > limits.volume_times) & (np.log(times) > limits.volume_sigmas * sigma)
    at, times = at[worth], times[worth]
    return subject.report(
        "volume_spike", Severity.WARNING, at, at + 1, times, limits.volume_times, "times",
        lambda i: (
            f"volume {volume[at[i]]:,.0f} is {times[i]:,.0f} times what is usual at this time of day"
        ),
    )  # fmt: skip


_N_BESIDE = 5


def fractional_volume(subject: Subject) -> list[QualityFinding]:
    """Report volume in parts of a lot where (almost) all others are whole."""
    volume = subject.prices[4]
    parts = volume != np.floor(volume)
    parts &= np.isfinite(volume)
    share = float(parts.mean()) if subject.n_bars else 0.0
    if share == 0.0 or share > 1.0 - subject.limits.whole_share:
        return []
    starts, stops = runs(parts)
    return subject.report(
        "fractional_volume", Severity.WARNING, starts, stops, volume[starts], 1.0, "lots",
        lambda i: (
            f"volume {volume[starts[i]]:.10g} in {stops[i] - starts[i]} bars, all others are whole"
        ),
    )  # fmt: skip
