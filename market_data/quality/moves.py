"""Checks of price against price: wrong unit, unadjusted split, jump.

They see bars whose prices are possible, in order. A unit that is wrong is set
right before splits are looked for, and both before spikes and jumps, so that
one defect makes one finding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from market_data.actions import shown_splits, unseen_splits
from market_data.columns import BarColumns
from market_data.quality.findings import QualityFinding, Severity
from market_data.quality.habits import (
    MAD_SIGMA,
    block_medians,
    highest_around,
    robust_sigma,
    runs,
    spread_blocks,
    usual_by_bucket,
)
from market_data.quality.subject import N_BUCKETS, FloatArray, Int64Array, Subject, note
from market_data.sessions import date_of

# New shares for old: what companies do (CRSP's list of distributions).
SPLITS = tuple(
    sorted(
        {n / m for n, m in (
            (3, 2), (4, 3), (5, 4), (5, 3), (5, 2), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1),
            (8, 1), (10, 1), (12, 1), (15, 1), (20, 1), (25, 1), (30, 1), (40, 1), (50, 1),
        )}
    )
)  # fmt: skip
_MONTH = 21
_NEAR = 10
_ENOUGH_STEPS = 20_000
_FEWEST_DAYS = 10


@dataclass(frozen=True, slots=True)
class Moves:
    """Logarithms of prices, free of splits that are known.

    Attributes
    ----------
    high, low, close : float64 arrays, shape (n_bars,)
    first : float64 array, shape (n_sessions,)
        Open of each session; of intraday bars the first close, because the
        first print before the open may be anybody's.
    steps : float64 array, shape (n_bars,)
        Of the close, 0 for the first bar.
    step : float
        Smallest usual step of the price.
    starts : int64 array, shape (n_sessions,)
        First bar of each session.
    turnover : float64 array, shape (n_sessions,)
        Price times volume; all 0 where there is no volume.
    """

    high: FloatArray
    low: FloatArray
    close: FloatArray
    first: FloatArray
    steps: FloatArray
    step: float
    starts: Int64Array
    turnover: FloatArray


def moves_of(subject: Subject) -> Moves:
    """Take logarithms of all prices, and undo the splits that the prices show."""
    logs = np.log(subject.prices[1:4])
    starts = subject.session_starts()
    first = np.log(subject.prices[3 if subject.frame.intraday else 0, starts])
    splits = shown_splits(_as_columns(subject), subject.actions)
    if splits.shape[0]:
        dates = subject.dates()
        offset = np.zeros(subject.n_bars)
        for split in splits:
            offset[np.searchsorted(dates, split["ex_date"]) :] += np.log(split["split_ratio"])
        logs += offset
        first += offset[starts]
    steps = np.zeros(subject.n_bars)
    np.subtract(logs[2, 1:], logs[2, :-1], out=steps[1:])
    volume = np.nan_to_num(subject.prices[4], posinf=0.0)
    turnover = (
        np.add.reduceat(subject.prices[3] * volume, starts) if starts.shape[0] else np.zeros(0)
    )
    return Moves(
        logs[0], logs[1], logs[2], first, steps, _price_step(subject, steps), starts, turnover
    )


def _as_columns(subject: Subject) -> BarColumns:
    return BarColumns(subject.ts, subject.dates(), subject.prices)


def split_not_shown(subject: Subject) -> list[QualityFinding]:
    """Report splits among the corporate actions that the prices do not show."""
    if subject.actions.shape[0] == 0 or subject.n_bars < 2:
        return []
    unseen, n_splits = unseen_splits(_as_columns(subject), subject.actions)
    if not unseen:
        return []
    if len(unseen) == n_splits:
        text = f"none of {n_splits} splits shows in the prices: they are adjusted already"
        return [note(subject, "split_not_shown", float(n_splits), 0.0, "splits", n_splits, text)]
    dates = subject.dates()
    at = np.searchsorted(dates, np.array(unseen))
    return subject.report(
        "split_not_shown", Severity.ERROR, at, at + 1, np.ones(at.shape[0]), 0.0, "splits",
        lambda i: (
            f"the split of {date_of(unseen[i])} does not show in the prices, others do: bars and "
            "actions do not belong together"
        ),
    )  # fmt: skip


def wrong_unit(subject: Subject) -> tuple[list[QualityFinding], Subject]:
    """Report stretches whose prices are a power of ten times those around them.

    Returns
    -------
    findings : list
    subject : Subject
        With prices (and quotes that jump with them) in the unit of most bars.
    """
    n = subject.n_bars
    if n < 3:
        return [], subject
    # A ratio is cheaper than a logarithm, and almost no series has such a step.
    close = subject.prices[3]
    ratio = close[1:] / close[:-1]
    near = subject.limits.unit_near
    lowest = 10.0 ** (1.0 - near)
    if not bool(np.any((ratio > lowest) | (ratio < 1.0 / lowest))):
        return [], subject
    steps = moves_of(subject).steps / np.log(10.0)
    powers = np.rint(steps)
    powers[(np.abs(steps - powers) > near) | (np.abs(powers) < 1)] = 0.0
    level = np.cumsum(powers).astype(np.int64)
    jumps = np.flatnonzero(powers)
    if jumps.shape[0] == 1 and abs(powers[jumps[0]]) == 1 and _begins_session(subject, jumps[0]):
        # A factor of 10 that stays may be a split: that check has the volume for it.
        if unadjusted_split(subject)[0]:
            return [], subject
    values, counts = np.unique(level, return_counts=True)
    usual = int(values[np.argmax(counts)])
    starts, stops = runs(level != usual)
    if starts.shape[0] == 0:
        return [], subject
    edges = np.flatnonzero(np.diff(level)) + 1
    cuts = edges[(level[edges] != usual) & (level[edges - 1] != usual)]
    starts, stops = np.sort(np.append(starts, cuts)), np.sort(np.append(stops, cuts))
    factors = 10.0 ** (level[starts] - usual).astype(np.float64)
    found = subject.report(
        "wrong_unit", Severity.ERROR, starts, stops, factors, 1.0, "times",
        lambda i: (
            f"{stops[i] - starts[i]} bars at {factors[i]:g} times the prices around: close "
            f"{close[max(starts[i] - 1, 0)]:g}, then {close[starts[i]]:g}"
        ),
        single=True,
    )  # fmt: skip
    return found, _in_usual_unit(subject, 10.0 ** (usual - level).astype(np.float64))


def _begins_session(subject: Subject, i_bar: int) -> bool:
    return bool(subject.i_session[i_bar] != subject.i_session[i_bar - 1])


def _in_usual_unit(subject: Subject, factor: FloatArray) -> Subject:
    prices = subject.prices.copy()
    sides: list[FloatArray | None] = []
    for side in (subject.bid, subject.ask):
        if side is None:
            sides.append(None)
            continue
        with np.errstate(all="ignore"):
            with_price = np.abs(np.log(side[3] / prices[3])) < 1.0
        sides.append(np.where(with_price, side * factor, side))
    prices[:4] *= factor
    return replace(subject, prices=prices, bid=sides[0], ask=sides[1])


def day_sigma(moves: Moves) -> FloatArray:
    """Return for each session the robust standard deviation of daily moves around it.

    At least two steps of the price: days of a cheap share often end unchanged.
    """
    stops = np.append(moves.starts[1:], moves.close.shape[0])
    closes = moves.close[stops - 1]
    daily = np.diff(closes)
    n = closes.shape[0]
    within = (moves.high - moves.low) / 1.67
    if n < _FEWEST_DAYS:
        # A day's move by the ranges of its bars (Parkinson, 1980).
        squares = np.add.reduceat(within**2, moves.starts) if n else np.zeros(0)
        usual = float(np.sqrt(np.median(squares))) if n else 0.0
        return np.full(n, max(usual, 2.0 * moves.step))
    around = MAD_SIGMA * block_medians(np.abs(daily), _MONTH)
    sigma = np.maximum(highest_around(around), 0.5 * robust_sigma(daily))
    np.maximum(sigma, 2.0 * moves.step, out=sigma)
    return np.asarray(np.append(spread_blocks(sigma, _MONTH, n - 1), sigma[-1]))


def calm_sessions(moves: Moves, times: float) -> FloatArray:
    """Return each session's turnover over its median around; NaN where there is none."""
    n = moves.turnover.shape[0]
    usual = np.median(moves.turnover) if n else 0.0
    if n < _FEWEST_DAYS or usual <= 0:
        return np.full(n, np.nan)
    around = np.lib.stride_tricks.sliding_window_view(
        np.pad(moves.turnover, _NEAR, mode="reflect"), 2 * _NEAR + 1
    )
    middle = np.median(around, axis=1)
    with np.errstate(all="ignore"):
        return np.where(middle > 0, moves.turnover / middle, np.nan)


def unadjusted_split(subject: Subject) -> tuple[list[QualityFinding], Int64Array]:
    """Report steps between sessions near n:m that no corporate action explains.

    A split changes the count of shares and not what is traded in money: the
    turnover of the day is usual, and volume in shares changes with the ratio.

    Returns
    -------
    findings : list
    at : int64 array
        First bars after the splits.
    """
    none = np.zeros(0, np.int64)
    if subject.n_bars < 2 or subject.table.calendar in ("FX", "24/7"):
        return [], none
    starts = subject.session_starts()
    if starts.shape[0] < 2:
        return [], none
    # Cheap first: a step that is large enough to look at.
    first = subject.prices[3 if subject.frame.intraday else 0, starts[1:]]
    gaps = first / subject.prices[3, starts[1:] - 1]
    least = subject.limits.split_least * (1.0 - subject.limits.split_near)
    if not bool(np.any((gaps > least) | (gaps < 1.0 / least))):
        return [], none
    moves = moves_of(subject)
    sigma = day_sigma(moves)
    loud = calm_sessions(moves, subject.limits.calm)
    gap = moves.first[1:] - moves.close[moves.starts[1:] - 1]
    volume = np.add.reduceat(np.nan_to_num(subject.prices[4]), moves.starts)
    splits = np.log(np.array(SPLITS))
    elapsed = np.diff(subject.i_session[moves.starts])
    rows, ratios, grown = [], [], []
    for i in np.flatnonzero(np.abs(gap) > np.log(least)).tolist():
        size = abs(float(gap[i]))
        nearest = int(np.argmin(np.abs(splits - size)))
        # Over a hole in the data prices had that many nights to move.
        n_nights = max(int(elapsed[i]), 1)
        night = float(sigma[i]) * n_nights**0.5
        beside = abs(float(splits[nearest]) - size)
        widest = subject.limits.split_near * max(size, 1.0)
        if beside > min(widest, max(3.0 * night, 0.02)) or size < 8.0 * night:
            continue
        # Turnover within three times its median, both ways; no news is that quiet.
        calm = not np.isfinite(loud[i + 1]) or (1.0 / 5.0 < loud[i + 1] < subject.limits.calm)
        change = _volume_change(volume, i + 1)
        # Volume in shares wanders by itself over weeks: a step to the point needs it less.
        # Nor does a price go up tenfold over night by news.
        sure = beside < (3.0 if size > 1.5 else 1.5) * night
        supports = not abs(change + gap[i]) >= abs(change) or sure
        level = _last_close(moves, i + 1)
        stays = all(
            abs(level - _last_close(moves, day) - float(gap[i])) < size / 2
            for day in (i, max(i - 1, 0))
        )
        # What is back within days was a misprint, or is the end of one.
        most = subject.limits.spike_bars
        after = range(i + 2, min(i + 2 + most, moves.starts.shape[0]))
        stays &= all(abs(_last_close(moves, day) - level) < 0.75 * size for day in after)
        before = _last_close(moves, i)
        stays &= all(
            abs(_last_close(moves, day) - before) < 0.75 * size
            for day in range(max(i - most, 0), i)
        )
        quiet_day = stays and _range_of(moves, i + 1) < 6.0 * max(float(sigma[i]), 1e-4)
        if calm and supports and quiet_day:
            rows.append(i + 1)
            ratios.append(float(np.sign(-gap[i]) * splits[nearest]))
            grown.append(change)
    at = moves.starts[np.array(rows, np.int64)]
    found = subject.report(
        "unadjusted_split", Severity.ERROR, at, at + 1, np.exp(-gap[np.array(rows, np.int64) - 1]),
        1.0, "new for old",
        lambda i: (
            f"close {subject.prices[3, at[i] - 1]:g}, then {first[rows[i] - 1]:g}: near "
            f"{_ratio_text(ratios[i])} and no such corporate action"
            + (f"; volume times {np.exp(grown[i]):.2g} after" if np.isfinite(grown[i]) else "")
        ),
    )  # fmt: skip
    return found, at


def _volume_change(volume: FloatArray, i: int) -> float:
    before, after = volume[max(i - _NEAR, 0) : i], volume[i : i + _NEAR]
    if before.shape[0] < 3 or after.shape[0] < 3:
        return float("nan")
    old, new = float(np.median(before)), float(np.median(after))
    return float(np.log(new / old)) if old > 0 and new > 0 else float("nan")


def _range_of(moves: Moves, i_session: int) -> float:
    start = moves.starts[i_session]
    following = i_session + 1 < moves.starts.shape[0]
    stop = moves.starts[i_session + 1] if following else moves.close.shape[0]
    return float(moves.high[start:stop].max() - moves.low[start:stop].min())


def _last_close(moves: Moves, i_session: int) -> float:
    following = i_session + 1 < moves.starts.shape[0]
    return float(moves.close[moves.starts[i_session + 1] - 1 if following else -1])


def _ratio_text(log_ratio: float) -> str:
    size = np.exp(abs(log_ratio))
    for m in (1, 2, 3, 4):
        if abs(size * m - round(size * m)) < 1e-9:
            n = round(size * m)
            return f"{n} for {m}" if log_ratio > 0 else f"{m} for {n}"
    return f"{size:g}"


def bar_scale(subject: Subject, moves: Moves) -> FloatArray:
    """Return the usual log range of each bar: by time of day, times that of its week."""
    n = subject.n_bars
    ranges = moves.high - moves.low
    bucket = subject.buckets()
    usual = usual_by_bucket(ranges, bucket, N_BUCKETS if subject.frame.intraday else 1)
    floor = 2.0 * moves.step
    usual = np.maximum(usual, floor)
    by_day = usual[bucket]
    length = subject.n_around()
    level = highest_around(block_medians(ranges / by_day, length))
    scale = by_day * spread_blocks(np.maximum(level, 0.5), length, n)
    return np.maximum(scale, floor)


def _price_step(subject: Subject, steps: FloatArray) -> float:
    """Return the smallest usual step of the price, as a log."""
    some = np.abs(steps[: 2 * _ENOUGH_STEPS])
    moved = some[some > 1e-12][:_ENOUGH_STEPS]
    smallest = float(np.quantile(moved, 0.05)) if moved.shape[0] else 1e-4
    if subject.tick > 0:
        smallest = min(smallest, subject.tick / float(np.median(subject.prices[3])))
    return max(smallest, 1e-7)


def in_sigmas(subject: Subject, moves: Moves) -> FloatArray:
    """Return each bar's move from close to close over the day's sigma around it; 0 for the first."""
    sigma = day_sigma(moves)
    counts = np.diff(np.append(moves.starts, subject.n_bars))
    of_bar = np.repeat(sigma, counts)
    # The month's own jump does not hide in its sigma: a median keeps it out.
    floor = max(float(np.median(sigma)), 1e-5)
    measures = moves.steps / np.maximum(of_bar, 0.5 * floor)
    # Over a hole in the data prices had that many sessions to move.
    elapsed = subject.i_session[moves.starts[1:]] - subject.i_session[moves.starts[1:] - 1]
    measures[moves.starts[1:]] /= np.sqrt(np.maximum(elapsed, 1))
    return measures


def jumps(subject: Subject, moves: Moves, explained: Int64Array) -> list[QualityFinding]:
    """Report moves of many days' sigmas that stay, without the turnover of news.

    Parameters
    ----------
    explained : int64 array
        Bars of splits and spikes.
    """
    limits = subject.limits
    if subject.n_bars < 20 or moves.starts.shape[0] < 2:
        return []
    measures = np.abs(in_sigmas(subject, moves))
    at = np.flatnonzero(measures > limits.jump)
    if at.shape[0] == 0:
        return []
    counts = np.diff(np.append(moves.starts, subject.n_bars))
    loud = np.repeat(calm_sessions(moves, limits.calm), counts)[at]
    at = at[(measures[at] > limits.jump_loud) | (loud < limits.calm)]
    at = at[~np.isin(at, explained) & ~np.isin(at - 1, explained)]
    return subject.report(
        "jump", Severity.WARNING, at, at + 1, measures[at], limits.jump, "day's sigmas",
        lambda i: (
            f"close {subject.prices[3, at[i] - 1]:g}, then {subject.prices[3, at[i]]:g} "
            f"({100 * np.expm1(moves.steps[at[i]]):+.1f} %) and it stays, with usual turnover"
        ),
    )  # fmt: skip
