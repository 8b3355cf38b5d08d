"""Checks of quotes: crossed, one-sided, out of order, too wide, far from the trades."""

from __future__ import annotations

import numpy as np

from market_data.quality.findings import QualityFinding, Severity
from market_data.quality.habits import habit, runs, usual_by_bucket
from market_data.quality.subject import N_BUCKETS, FloatArray, Int64Array, Subject
from market_data.rules import crossed

_TOP = (0, 3)  # Quotes of one instant: those of open and of close.


def crossed_quotes(subject: Subject) -> list[QualityFinding]:
    """Report bars that open or close with the bid above the ask."""
    bid, ask = subject.bid, subject.ask
    if bid is None or ask is None:
        return []
    across = crossed(bid, ask)
    if not across.any():
        return []
    starts, stops = runs(across)
    depth = np.array([
        float(max((bid[k, a] / ask[k, a] - 1.0) * 100.0 for k in _TOP)) for a in starts
    ])  # fmt: skip
    with np.errstate(all="ignore"):
        spread = (ask[3] / bid[3] - 1.0) * 100.0
    known = spread[spread > 0]
    usual = float(np.median(known)) if known.shape[0] else 0.0
    return subject.report(
        "crossed_quotes",
        # By less than the usual spread, the two sides may be of different moments.
        lambda i: Severity.ERROR if depth[i] > usual else Severity.WARNING,
        starts, stops, depth, 0.0, "%",
        lambda i: (
            f"bid {_worst(bid, ask, starts[i])[0]:g} above ask {_worst(bid, ask, starts[i])[1]:g} "
            f"({stops[i] - starts[i]} bars)"
        ),
        single=True,
    )  # fmt: skip


def _worst(bid: FloatArray, ask: FloatArray, i: int) -> tuple[float, float]:
    row = max(_TOP, key=lambda k: bid[k, i] / ask[k, i])
    return float(bid[row, i]), float(ask[row, i])


def one_sided_quotes(
    subject: Subject, stretch: Int64Array, bucket: Int64Array
) -> list[QualityFinding]:
    """Report bars with one side of the quote only, and runs without any beyond the habit."""
    bid, ask = subject.bid, subject.ask
    if bid is None or ask is None:
        return []
    if bool((bid > 0).all()) and bool((ask > 0).all()):
        return []
    no_bid, no_ask = ~(bid[3] > 0), ~(ask[3] > 0)
    one = no_bid != no_ask
    starts, stops = runs(one)
    found = subject.report(
        "one_sided_quotes", Severity.WARNING, starts, stops,
        (stops - starts).astype(np.float64), 0.0, "bars",
        lambda i: (
            f"{stops[i] - starts[i]} bars close with "
            f"{'no bid' if no_bid[starts[i]] else 'no ask'}"
        ),
        single=True,
    )  # fmt: skip
    neither = no_bid & no_ask
    if not neither.any() or subject.n_bars < 20:
        return found
    usual = habit(neither, stretch, bucket, subject.limits, least_begins=1e-6, least_goes_on=0.02)
    longest = usual.longest(subject.n_bars, subject.limits)
    starts, stops = runs(neither)
    lengths = stops - starts
    allowed = np.maximum(longest[bucket[starts]], longest[bucket[stops - 1]])
    worth = lengths > np.maximum(allowed, subject.limits.stale_least)
    starts, stops, lengths, allowed = starts[worth], stops[worth], lengths[worth], allowed[worth]
    return found + subject.report(
        "missing_quotes", Severity.WARNING, starts, stops, lengths.astype(np.float64), allowed,
        "bars", lambda i: f"neither bid nor ask in {lengths[i]} bars, {allowed[i]:.0f} are usual",
    )  # fmt: skip


def quotes_away(subject: Subject, scale: FloatArray, bucket: Int64Array) -> list[QualityFinding]:
    """Report closes far outside their quotes, and spreads far beyond the usual."""
    bid, ask, limits = subject.bid, subject.ask, subject.limits
    if bid is None or ask is None or subject.n_bars < 20:
        return []
    last_bid, last_ask, close = bid[3], ask[3], subject.prices[3]
    with np.errstate(all="ignore"):
        # NaN and nothing quoted compare as false.
        spread = (last_ask - last_bid) / close
        away = np.maximum(last_bid - close, close - last_ask) / close
        known = (spread >= 0) & (last_bid > 0)
        suspect = known & ((away > limits.quote_least) | (spread > limits.quote_least))
    # Almost no series goes on from here.
    if not suspect.any():
        return []
    every = bool(known.all())
    values = spread if every else spread[known]
    usual = usual_by_bucket(values, bucket if every else bucket[known], N_BUCKETS)
    # A grid of cents can't show spreads below one.
    usual = np.maximum(usual, max(subject.tick, 1e-9) / float(np.median(close)))
    of_bar = usual[bucket]
    found: list[QualityFinding] = []
    with np.errstate(all="ignore"):
        ranges = np.log(subject.prices[1] / subject.prices[2])
        held_to = np.maximum(limits.quote_away * (of_bar + 0.5 * np.maximum(scale, ranges)),
                             limits.quote_least)  # fmt: skip
        far = known & (away > held_to)
    if far.any():
        starts, stops = runs(far)
        found += subject.report(
            "quotes_away", Severity.ERROR, starts, stops, away[starts] * 100.0,
            held_to[starts] * 100.0, "%",
            lambda i: (
                f"close {close[starts[i]]:g}, quoted {last_bid[starts[i]]:g} to "
                f"{last_ask[starts[i]]:g} ({stops[i] - starts[i]} bars)"
            ),
            single=True,
        )  # fmt: skip
    with np.errstate(all="ignore"):
        wide = (
            known & (spread > limits.spread_times * of_bar) & (spread > limits.quote_least) & ~far
        )
    if wide.any():
        starts, stops = runs(wide)
        found += subject.report(
            "wide_quotes", Severity.WARNING, starts, stops, spread[starts] / of_bar[starts],
            limits.spread_times, "usual spreads",
            lambda i: (
                f"{last_bid[starts[i]]:g} to {last_ask[starts[i]]:g}, "
                f"{spread[starts[i]] / of_bar[starts[i]]:,.0f} times the usual spread "
                f"({stops[i] - starts[i]} bars)"
            ),
        )  # fmt: skip
    return found
