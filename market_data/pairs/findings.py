"""What a comparison found, in sentences with their figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from market_data.columns import PRICE_NAMES
from market_data.pairs.alignment import Alignment
from market_data.pairs.boundary import DayBoundary
from market_data.pairs.day_cut import DayCut
from market_data.pairs.disagreement import DISAGREEING, Class, VolumeScale
from market_data.pairs.matching import Int64Array, SourceSeries
from market_data.pairs.scale import Scale, ScaleKind, Step
from market_data.pairs.tolerance import Tolerance
from market_data.pairs.words import describe_offset
from market_data.sessions import SessionTable
from market_data.timeframes import DAY_NS, MINUTE_NS, Timeframe

if TYPE_CHECKING:
    from market_data.pairs.comparison import PairBars

# A pause this long, in sessions, is no suspension of trading.
LONG_PAUSE = 60
_N_NAMED = 3
_NEAR_SESSIONS = 1
# Of highs and lows by chance half reach further in either source.
_FEWEST_RANGES = 30
_ONE_SIDED = 0.9


def describe(
    a: SourceSeries,
    b: SourceSeries,
    found: Alignment,
    tolerance: Tolerance,
    volume: VolumeScale,
    boundary: DayBoundary,
    cuts: tuple[DayCut | None, DayCut | None],
    bars: PairBars,
    *,
    frame: Timeframe,
    sessions: SessionTable,
    actions: NDArray[np.void] | None,
) -> tuple[str, ...]:
    """Return what there is to say of a pair, what weighs most first."""
    names = (a.name, b.name)
    i_first = int(found.matched.i_a[0])
    offset = describe_offset(found.offset, found.grid, a.columns.ts, names, i_first=i_first)
    # A name stays as it is written.
    said = [f"{offset}." if offset.startswith(names) else _sentence(offset)]
    if found.wrong_clock:
        wrong = a.name if found.wrong_clock == "a" else b.name
        said.append(
            f"Where they are shifted, {wrong} has bars outside the hours of {sessions.calendar} "
            "and the other has not: its clock is the wrong one."
        )
    session = a.columns.session[found.matched.i_a]
    said += _scale_sentences(found.scale, session, names, actions)
    said += boundary_sentences(boundary, cuts, names)
    if not frame.intraday:
        # Files of bars within the day often hold separate days.
        said += _history_sentences(a, b, found, sessions)
    said += _missing_sentences(bars, names)
    said += _price_sentences(bars, tolerance, names)
    said += _quote_sentences(a, b)
    said += _volume_sentences(volume, bars, names)
    return tuple(said)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _days(sessions: Int64Array, n_most: int = _N_NAMED) -> str:
    named = ", ".join(str(np.datetime64(int(day), "D")) for day in sessions[:n_most])
    more = sessions.shape[0] - n_most
    return f"{named} and {more} more" if more > 0 else named


def _scale_sentences(
    scale: Scale,
    session: Int64Array,
    names: tuple[str, str],
    actions: NDArray[np.void] | None,
) -> list[str]:
    if scale.kind is ScaleKind.UNKNOWN:
        return ["Too few common bars to tell whether both are in the same money."]
    if scale.kind is ScaleKind.SAME:
        return ["Both are in the same money."]
    if scale.kind is ScaleKind.CONSTANT:
        return [f"{names[1]} times {scale.factors[0]:.8g} is {names[0]}: another unit of price."]
    if scale.kind is ScaleKind.UNITS:
        return [
            f"From {np.datetime64(int(session[step.row]), 'D')} on {names['ab'.index(step.jumps_in)]} "
            f"counts its price in another unit: it changes by {_unit_change(step):g} at once."
            for step in scale.steps
        ]
    said = []
    splits = [step for step in scale.steps if step.split_ratio > 0.0]
    adjusted, raw = names if scale.adjusted == "a" else names[::-1]
    if splits and scale.adjusted:
        days = "; ".join(
            f"{np.datetime64(int(session[step.row]), 'D')} ({_ratio_words(step.split_ratio)})"
            for step in splits
        )
        said.append(f"{adjusted} is adjusted for splits, {raw} is raw: {days}.")
    small = [step for step in scale.steps if step.split_ratio == 0.0]
    if not small:
        return said
    days_of_steps = session[np.array([step.row for step in small])]
    sizes = np.array([abs(np.log(step.ratio)) for step in small])
    span = f"{np.expm1(sizes.min()):.2%} to {np.expm1(sizes.max()):.2%}"
    if scale.kind is ScaleKind.UNEXPLAINED:
        said.append(
            f"{len(small)} steps of {span} between the two that are neither splits nor "
            f"dividends: {_days(days_of_steps)}."
        )
        return said
    text = (
        f"{adjusted} is adjusted for dividends, {raw} is not: {len(small)} steps of {span}, "
        f"{_days(days_of_steps)}"
    )
    if actions is not None and actions.shape[0]:
        paid = np.sort(actions["ex_date"][actions["dividend"] > 0])
        near = np.array([_is_near(paid, int(day)) for day in days_of_steps])
        text += f"; {int(near.sum())} of them on a known ex-date"
    said.append(text + ".")
    return said


def _unit_change(step: Step) -> float:
    """Return by what a price changes at a step, as a power of ten."""
    power = round(math.log10(step.ratio))
    return float(10.0 ** (power if step.jumps_in == "b" else -power))


def boundary_sentences(
    boundary: DayBoundary, cuts: tuple[DayCut | None, DayCut | None], names: tuple[str, str]
) -> list[str]:
    """Say at which hours two sources' days end, or which side ends first."""
    said = []
    if boundary.earlier:
        early, late = names if boundary.earlier == "a" else names[::-1]
        text = (
            f"The days of {early} end before those of {late}: its closes catch up the next day "
            f"(a move worth {boundary.share:.0%} of a day's variance lies between)"
        )
        if cuts == (None, None):
            text += (
                "; at which hours only bars within the day of one of them would tell, and there "
                "are none that do"
            )
        said.append(f"{text}.")
    a, b = cuts
    if a is not None and b is not None and (a.clock, a.after_ns) == (b.clock, b.after_ns):
        said.append(f"The days of both end {_hour(a)}, by {a.by}.")
        return said
    for name, cut in zip(names, cuts, strict=True):
        if cut is not None:
            said.append(f"The days of {name} end {_hour(cut)}, by {cut.by}.")
    return said


def _hour(cut: DayCut) -> str:
    """Return the time of day at which days end, in words."""
    words = _time_of_day(cut.clock, cut.after_ns)
    if cut.also:
        words += f" (or {', '.join(_time_of_day(*one) for one in cut.also)}: here they are one)"
    return words


def _time_of_day(clock: str, after_ns: int) -> str:
    # The end of a day is named by its own date, 24:00 and not 0:00 of the next.
    days, of_day = divmod(after_ns - MINUTE_NS, DAY_NS)
    hour, minute = divmod(round((of_day + MINUTE_NS) / MINUTE_NS), 60)
    text = f"at {hour:02}:{minute:02} {clock}"
    if days:
        text += f" of the day {'after' if days > 0 else 'before'}"
    return text


def _is_near(days: Int64Array, day: int) -> bool:
    return bool(days.shape[0]) and int(np.min(np.abs(days - day))) <= _NEAR_SESSIONS


def _ratio_words(ratio: float) -> str:
    for base in (1, 2, 3):
        if abs(ratio * base - round(ratio * base)) < 1e-9:
            return f"{round(ratio * base)} for {base}"
    for base in (1, 2, 3):
        if abs(base / ratio - round(base / ratio)) < 1e-9:
            return f"{base} for {round(base / ratio)}"
    return f"{ratio:.4g} for 1"


def _history_sentences(
    a: SourceSeries, b: SourceSeries, found: Alignment, sessions: SessionTable
) -> list[str]:
    """Report bars of one source that end long before the other begins."""
    said = []
    for own, other, matched in (
        (a, b, found.matched.i_a),
        (b, a, found.matched.i_b),
    ):
        before = own.columns.session[: int(matched[0]) + 1]
        if before.shape[0] < 2:
            continue
        days = np.unique(before)
        at = np.searchsorted(sessions.date, days)
        pauses = np.diff(at)
        i = int(np.argmax(pauses)) if pauses.shape[0] else 0
        if pauses.shape[0] == 0 or pauses[i] <= LONG_PAUSE:
            continue
        n_bars = int(np.sum(before <= days[i]))
        close = own.columns.prices[3, n_bars - 1 : n_bars + 1]
        said.append(
            f"{own.name} has {n_bars:,} bars from {_days(days[:1])} to {_days(days[i : i + 1])}, "
            f"then none for {int(pauses[i]) - 1:,} sessions; it goes on {_days(days[i + 1 : i + 2])}"
            f" at {close[1]:g} after {close[0]:g}, and {other.name} begins "
            f"{_days(other.columns.session[:1])}: the symbol may have belonged to another instrument before."
        )
    return said


def _missing_sentences(bars: PairBars, names: tuple[str, str]) -> list[str]:
    said = []
    worst = bars.classes[0]
    for rows, name, kind in (
        (bars.row_a, names[0], Class.MISSING_A),
        (bars.row_b, names[1], Class.MISSING_B),
    ):
        lacking = worst == kind
        if not lacking.any():
            continue
        here = set(np.unique(bars.session[rows >= 0]).tolist())
        gone = np.unique(bars.session[lacking])
        whole = np.array([day for day in gone.tolist() if day not in here], np.int64)
        text = f"{name} lacks {int(lacking.sum()):,} bars that the other has"
        if whole.shape[0]:
            text += f", {whole.shape[0]:,} whole sessions among them ({_days(whole)})"
        said.append(text + ".")
    other = (worst == Class.SESSION) & ~bars.both
    if other.any():
        text = f"{int(other.sum()):,} bars lie where one source's session is shorter or none"
        only_a = int((other & (bars.row_a >= 0)).sum())
        said.append(
            f"{text}: {only_a:,} only in {names[0]}, {int(other.sum()) - only_a:,} only in "
            f"{names[1]}."
        )
    return said


def _price_sentences(bars: PairBars, tolerance: Tolerance, names: tuple[str, str]) -> list[str]:
    n_both = int(bars.both.sum())
    beyond = np.isin(bars.classes[:4], DISAGREEING)
    n_bars = int(beyond.any(axis=0).sum())
    allowed = f"{np.median(tolerance.spread):.6g}, by {tolerance.method}"
    if n_bars == 0:
        return [f"All {n_both:,} common bars agree within tolerance ({allowed})."]
    shares = ", ".join(
        f"{name} {int(row.sum()) / n_both:.2%}"
        for name, row in zip(PRICE_NAMES, beyond, strict=True)
    )
    said = [
        f"{n_bars:,} of {n_both:,} common bars ({n_bars / n_both:.2%}) have a price beyond "
        f"tolerance ({allowed}): {shares}; half of these prices differ by less than "
        f"{np.median(np.abs(bars.b[:4] / bars.a[:4] - 1.0)[beyond]):.3%}."
    ]
    said += _range_sentences(bars, beyond, names)
    for kind, name in ((Class.OUTLIER_A, names[0]), (Class.OUTLIER_B, names[1])):
        wrong = bars.classes[:4] == kind
        if not wrong.any():
            continue
        fields = ", ".join(
            f"{int(row.sum())} {field}s"
            for field, row in zip(PRICE_NAMES, wrong, strict=True)
            if row.any()
        )
        relative = np.where(wrong, np.abs(bars.b[:4] / bars.a[:4] - 1.0), 0.0)
        field, i = np.unravel_index(int(np.argmax(relative)), relative.shape)
        said.append(
            f"{name} has outliers in {int(wrong.any(axis=0).sum()):,} bars ({fields}); the largest "
            f"is the {PRICE_NAMES[field]} of {np.datetime64(int(bars.session[i]), 'D')}: "
            f"{bars.a[field, i]:.6g} in {names[0]}, {bars.b[field, i]:.6g} in {names[1]}."
        )
    return said


def _range_sentences(
    bars: PairBars, beyond: NDArray[np.bool_], names: tuple[str, str]
) -> list[str]:
    """Report ranges of one source that are wider than the other's nearly every time."""
    higher = (bars.b[1] - bars.a[1])[beyond[1]]
    lower = (bars.a[2] - bars.b[2])[beyond[2]]
    n_bars = higher.shape[0] + lower.shape[0]
    if n_bars < _FEWEST_RANGES:
        return []
    wider_b = int((higher > 0).sum() + (lower > 0).sum())
    for name, n_wider in ((names[1], wider_b), (names[0], n_bars - wider_b)):
        if n_wider >= _ONE_SIDED * n_bars:
            return [
                f"{n_wider:,} of these {n_bars:,} highs and lows reach further in {name}: it "
                "counts trades that the other leaves out."
            ]
    return []


def _quote_sentences(a: SourceSeries, b: SourceSeries) -> list[str]:
    said = []
    for one in (a, b):
        bid, ask = one.columns.bid, one.columns.ask
        if bid is None or ask is None:
            continue
        spread = ask[[0, 3]] - bid[[0, 3]]
        quoted = np.isfinite(spread).all(axis=0)
        if not quoted.any():
            continue
        text = f"{one.name}'s bid and ask are usually {np.median(spread[1, quoted]):.6g} apart"
        n_crossed = int((spread[:, quoted] < 0).any(axis=0).sum())
        if n_crossed:
            text += (
                f"; in {n_crossed:,} of {int(quoted.sum()):,} bars the bid is above the ask at "
                "open or close"
            )
        said.append(text + ".")
    return said


def _volume_sentences(volume: VolumeScale, bars: PairBars, names: tuple[str, str]) -> list[str]:
    if not volume.claimed:
        return []
    said = []
    if volume.unit != 1.0:
        said.append(f"{names[1]} counts volume in units of {volume.unit:g} of {names[0]}'s.")
    if volume.split_adjusted:
        said.append("The one with adjusted prices has its volume adjusted too.")
    n_away = int((bars.classes[4] == Class.VOLUME).sum())
    text = f"{names[1]}'s volume is usually {volume.ratio:.3f} times {names[0]}'s"
    if n_away:
        text += f", far from that in {n_away:,} bars"
    said.append(text + ".")
    return said
