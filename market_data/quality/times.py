"""Checks of times: order, duplicates, sessions, scheduled bars.

`order_of`, `duplicates` and `no_session` say also which bars the later checks
see, so that one defect makes one finding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from market_data.quality.findings import QualityFinding, Severity
from market_data.quality.habits import Habit, habit, runs
from market_data.quality.holidays import FX_FREE, FX_SHORT, on_days
from market_data.quality.subject import Flags, Int64Array, Subject, note, report_spans
from market_data.sessions import date_of, monday
from market_data.timeframes import DAY_NS, MINUTE_NS

_MONTH = 21
_BUCKET_NS = 30 * MINUTE_NS


def stamp(ns: int) -> str:
    """Return an instant for people, in UTC to the second or minute."""
    text = str(np.datetime64(int(ns), "ns").astype("datetime64[s]")).replace("T", " ")
    return text.removesuffix(":00") + "Z"


def out_of_order(subject: Subject, given: Int64Array) -> list[QualityFinding]:
    """Report times that fall in the order in which the data came.

    Parameters
    ----------
    subject : Subject
        Sorted already.
    given : int64 array, shape (n_bars,)
        Times in the order of the data.
    """
    back = np.flatnonzero(given[1:] < given[:-1]) + 1
    if back.shape[0] == 0:
        return []
    if bool(np.all(given[1:] <= given[:-1])):
        text = "bars stand newest first"
        return [note(subject, "out_of_order", float(back.shape[0]), 0.0, "bars", 1, text)]
    at = np.searchsorted(subject.stated_ts, given[back])
    hours = (given[back - 1] - given[back]) / 3.6e12
    return subject.report(
        "out_of_order", Severity.WARNING, at, at + 1, hours, 0.0, "hours back",
        lambda i: f"{stamp(given[back[i]])} stands after {stamp(given[back[i] - 1])}",
    )  # fmt: skip


def duplicates(subject: Subject, keys: Int64Array) -> tuple[list[QualityFinding], Flags]:
    """Report bars of the same time (or session, for daily bars) as the one before.

    Parameters
    ----------
    keys : int64 array, shape (n_bars,)
        What no two bars may share.

    Returns
    -------
    findings : list
        Equal copies are a warning; two different bars of one time are an error,
        because nobody knows which is right.
    keep : bool array
        False for all but the first bar of a time.
    """
    keep = np.ones(subject.n_bars, np.bool_)
    keep[1:] = keys[1:] != keys[:-1]
    again = np.flatnonzero(~keep)
    if again.shape[0] == 0:
        return [], keep
    same = np.ones(again.shape[0], np.bool_)
    apart = np.zeros(again.shape[0])
    for block in (subject.prices, subject.bid, subject.ask):
        if block is not None:
            one, other = block[:, again], block[:, again - 1]
            same &= np.all((one == other) | (np.isnan(one) & np.isnan(other)), axis=0)
    close = subject.prices[3]
    with np.errstate(all="ignore"):
        apart = np.abs(np.nan_to_num(close[again] / close[again - 1] - 1.0, posinf=1.0)) * 100.0
    starts, stops = runs(~keep)
    first = np.searchsorted(again, starts)
    equal = np.logical_and.reduceat(same, first)
    worst = np.maximum.reduceat(apart, first)

    def evidence(i: int) -> str:
        n, at = int(stops[i] - starts[i]), int(starts[i])
        if equal[i]:
            return f"{n} equal to the bar before it"
        return f"{n} beside another of the same time: close {close[at - 1]:g} and {close[at]:g}"

    found = subject.report(
        "duplicate_bars",
        lambda i: Severity.WARNING if equal[i] else Severity.ERROR,
        starts, stops, worst, 0.0, "% between closes", evidence, single=True,
    )  # fmt: skip
    return found, keep


def no_session(subject: Subject) -> list[QualityFinding]:
    """Report bars on days or at hours of which the calendar knows no session."""
    lost = subject.i_session < 0
    starts, stops = runs(lost)
    share = float(lost.mean()) if subject.n_bars else 0.0
    # A handful is a source's oddity, more are a wrong calendar or zone.
    severity = Severity.ERROR if share > 0.01 and int(lost.sum()) > 1 else Severity.WARNING
    return subject.report(
        "no_session", severity, starts, stops, (stops - starts).astype(np.float64), 0.0, "bars",
        lambda i: (
            f"{stops[i] - starts[i]} bars from {stamp(subject.stated_ts[starts[i]])} in no session of "
            f"{subject.table.calendar} ({share:.2%} of all bars are)"
        ),
        single=True,
    )  # fmt: skip


def wrong_label(subject: Subject) -> list[QualityFinding]:
    """Report session dates that are not those of the calendar."""
    if subject.label is None or subject.n_bars == 0:
        return []
    right = subject.dates()
    wrong = (subject.label != right) & (subject.i_session >= 0)
    starts, stops = runs(wrong)
    label = subject.label
    days = np.array([float(label[s] - right[s]) for s in starts])
    return subject.report(
        "session_label", Severity.ERROR, starts, stops, days, 0.0, "days",
        lambda i: (
            f"{stops[i] - starts[i]} bars are labelled {date_of(int(label[starts[i]]))}, the calendar "
            f"says {date_of(int(right[starts[i]]))}"
        ),
    )  # fmt: skip


def off_grid(subject: Subject) -> list[QualityFinding]:
    """Report intraday bars that begin between the steps of all the others."""
    if not subject.frame.intraday or subject.n_bars < 20:
        return []
    length = subject.frame.length_ns
    since = subject.ts - subject.table.open[subject.i_session]
    phase = since % length
    usual = grid_phase(phase)
    odd = (phase != usual) & (since != 0)
    if float(odd.mean()) > subject.limits.grid_share:
        # Several grids at once, as of sessions that open at different minutes.
        return []
    starts, stops = runs(odd)
    seconds = ((phase[starts] - usual) % length) / 1e9
    return subject.report(
        "off_grid", Severity.WARNING, starts, stops, seconds, 0.0, "seconds off",
        lambda i: (
            f"{stops[i] - starts[i]} bars begin {seconds[i]:g} s beside the "
            f"{subject.frame.name} steps"
        ),
    )  # fmt: skip


def grid_phase(phase: Int64Array) -> int:
    """Return the most frequent remainder of times by the bar's length."""
    if phase.shape[0] == 0 or bool((phase == phase[0]).all()):
        return int(phase[0]) if phase.shape[0] else 0
    values, counts = np.unique(phase, return_counts=True)
    return int(values[np.argmax(counts)])


def missing_sessions(subject: Subject) -> list[QualityFinding]:
    """Report sessions without bars between first and last, beyond the instrument's habit."""
    table, limits = subject.table, subject.limits
    there = subject.i_session[subject.i_session >= 0]
    if there.shape[0] < 2:
        return []
    first, last = int(there.min()), int(there.max())
    present: Flags = np.zeros(last - first + 1, np.bool_)
    present[there - first] = True
    dates, opens = table.date[first : last + 1], table.open[first : last + 1]
    noun = "sessions"
    if subject.frame.name == "1w":
        week = monday(dates)
        start = np.concatenate(([0], np.flatnonzero(week[1:] != week[:-1]) + 1))
        present = np.asarray(np.logical_or.reduceat(present, start), np.bool_)
        dates, opens, noun = dates[start], opens[start], "weeks"
    absent = ~present
    if not absent.any():
        return []
    starts, stops = runs(absent)
    if table.calendar == "FX":
        # Free days are missing only as a part of a longer hole.
        absent &= ~on_days(dates, FX_FREE)
    missing = np.flatnonzero(absent)
    begins, ends = np.searchsorted(missing, starts), np.searchsorted(missing, stops)
    begins, ends = begins[ends > begins], ends[ends > begins]
    starts, stops, lengths = missing[begins], missing[ends - 1] + 1, ends - begins
    n = absent.shape[0]
    # Short stretches for short series, so that one bad one can be left out.
    stretch = np.arange(n) // max(1, min(_MONTH, n // 10))
    long_gap = limits.long_gap if noun == "sessions" else limits.long_gap // 5
    long = lengths > long_gap
    # One hole of months in a year is no habit, however much of the series it is.
    long &= bool(long.sum() <= max(n // limits.long_gap_every, 1))
    short = absent & ~_filled(n, starts[long], stops[long])
    usual = habit(
        short, stretch, np.zeros(n, np.int64), limits, least_begins=1e-12, least_goes_on=1e-12
    )
    longest = usual.longest(n, limits)[0]
    worth = long | (lengths > longest)
    found = _habit_note(subject, "missing_sessions", noun, usual, int(lengths[~worth].sum()))
    starts, stops, lengths = starts[worth], stops[worth], lengths[worth]

    def severity(i: int) -> Severity:
        return Severity.ERROR if lengths[i] > long_gap else Severity.WARNING

    def evidence(i: int) -> str:
        span = f"{date_of(int(dates[starts[i]]))}"
        if lengths[i] > 1:
            span += f" to {date_of(int(dates[stops[i] - 1]))}"
        return f"no bars in {lengths[i]} {noun} of {table.calendar}: {span}"

    found += report_spans(
        subject, "missing_sessions", severity, opens[starts], opens[stops - 1],
        dates[starts], lengths, lengths.astype(np.float64), longest, noun, evidence,
    )  # fmt: skip
    return found


def _habit_note(
    subject: Subject, check: str, noun: str, usual: Habit, n_usual: int
) -> list[QualityFinding]:
    if n_usual == 0:
        return []
    text = f"{n_usual:,} {noun} without bars in runs that its habit or a halt explains"
    return [note(subject, check, usual.rate * 100.0, 100.0, "% usual", n_usual, text)]


def missing_bars(subject: Subject) -> list[QualityFinding]:
    """Report scheduled bars that have no row, beyond the instrument's habit.

    Not reported are holes that touch a bar flagged as halted, holes no longer
    than a halt, and what comes before the first or after the last bar.
    """
    if not subject.frame.intraday:
        return []
    inside = (subject.i_session >= 0) & ~subject.outside
    if not inside.any():
        return []
    table, limits, length = subject.table, subject.limits, subject.frame.length_ns
    row = subject.i_session[inside]
    since = subject.ts[inside] - table.open[row]
    phase = grid_phase(since % length)
    early = length - phase if phase else 0
    slot = (since + early) // length
    rows = np.concatenate(([True], row[1:] != row[:-1]))
    present_rows = row[rows]
    n_slots = (table.close[present_rows] - 1 - table.open[present_rows] + early) // length + 1
    ends = np.cumsum(n_slots)
    begins = ends - n_slots
    session = np.cumsum(rows) - 1
    key = begins[session] + slot
    n = int(ends[-1])
    if key.shape[0] == n:
        return []
    absent = np.ones(n, np.bool_)
    absent[key] = False
    # The data may begin and end in the middle of a session.
    absent[: key[0]] = False
    absent[key[-1] :] = False
    if table.calendar == "FX":
        absent &= ~np.repeat(on_days(table.date[present_rows], FX_SHORT), n_slots)
    if not absent.any():
        return []
    slot_session = np.repeat(np.arange(n_slots.shape[0]), n_slots)
    bucket = (np.arange(n) - begins[slot_session]) * length // _BUCKET_NS
    quiet = limits.quiet_minute ** max(length / MINUTE_NS, 1.0)
    usual = habit(
        absent, slot_session, bucket, limits,
        least_begins=max(quiet, 1e-300),
        least_goes_on=max(0.05 ** max(length / MINUTE_NS, 1.0), 1e-300),
    )  # fmt: skip
    longest = usual.longest(n, limits)
    starts, stops = runs(absent)
    starts, stops = _split_at(starts, stops, begins)
    lengths = stops - starts
    allowed = np.maximum(longest[bucket[starts]], longest[bucket[stops - 1]])
    allowed = np.maximum(allowed, limits.halt_ns // length)
    worth = lengths > allowed
    known = worth
    if subject.halted is not None:
        beside = _beside_halt(subject.halted[inside], key, n, starts, stops)
        worth, known = worth & ~beside, worth | beside
    found = _habit_note(
        subject, "missing_bars", "scheduled bars", usual, int(lengths[~worth].sum())
    )
    found += _thin_sessions(
        subject, absent & ~_filled(n, starts[known], stops[known]), begins, n_slots, present_rows,
        usual,
    )  # fmt: skip
    starts, stops, lengths, allowed = starts[worth], stops[worth], lengths[worth], allowed[worth]
    in_session = slot_session[starts]
    opens = table.open[present_rows[in_session]]
    first_ts = np.maximum(opens + (starts - begins[in_session]) * length - early, opens)
    last_ts = np.maximum(opens + (stops - 1 - begins[in_session]) * length - early, opens)
    found += report_spans(
        subject, "missing_bars", Severity.WARNING, first_ts, last_ts,
        table.date[present_rows[in_session]], lengths, lengths.astype(np.float64), allowed, "bars",
        lambda i: (
            f"{lengths[i]} scheduled bars have no row, {stamp(first_ts[i])} to {stamp(last_ts[i])}; "
            f"up to {allowed[i]:.0f} in a row are usual or may be a halt"
        ),
    )  # fmt: skip
    return found


def _split_at(
    starts: Int64Array, stops: Int64Array, begins: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """Cut runs where a session begins within them."""
    first = np.searchsorted(begins, starts, "right")
    last = np.searchsorted(begins, stops - 1, "right")
    if bool((first == last).all()):
        return starts, stops
    cuts = np.concatenate([begins[a:b] for a, b in zip(first, last, strict=True) if b > a])
    return np.sort(np.concatenate((starts, cuts))), np.sort(np.concatenate((stops, cuts)))


def _filled(n: int, starts: Int64Array, stops: Int64Array) -> Flags:
    """Return flags that are true within the runs."""
    change = np.zeros(n + 1, np.int64)
    np.add.at(change, starts, 1)
    np.add.at(change, stops, -1)
    return np.cumsum(change[:-1]) > 0


def _beside_halt(
    halted: Flags, key: Int64Array, n: int, starts: Int64Array, stops: Int64Array
) -> Flags:
    flagged = np.zeros(n + 1, np.bool_)
    flagged[key[halted]] = True
    return np.asarray(flagged[np.maximum(starts - 1, 0)] | flagged[np.minimum(stops, n)])


def _thin_sessions(
    subject: Subject,
    absent: Flags,
    begins: Int64Array,
    n_slots: Int64Array,
    rows: Int64Array,
    usual: Habit,
) -> list[QualityFinding]:
    """Report sessions in which far more bars are missing than usual, here and there."""
    table, limits, length = subject.table, subject.limits, subject.frame.length_ns
    n_absent = np.add.reduceat(absent.astype(np.int64), begins)
    share = n_absent / n_slots
    typical = float(np.median(share))
    spread = float(np.median(np.abs(share - typical))) * 1.4826
    expected = np.maximum(typical, usual.rate) * n_slots
    halt = 2 * limits.halt_ns / length
    allowed = expected + 8.0 * np.sqrt(expected + 1.0) + 8.0 * spread * n_slots + halt
    thin = np.flatnonzero((n_absent > allowed) & (n_absent > 2.0 * expected))
    # Half of a first or last session may lie beyond the data.
    return report_spans(
        subject, "thin_session", Severity.WARNING, table.open[rows[thin]], table.close[rows[thin]] - length,
        table.date[rows[thin]], n_absent[thin], n_absent[thin].astype(np.float64), allowed[thin],
        "bars",
        lambda i: (
            f"{n_absent[thin[i]]} of {n_slots[thin[i]]} scheduled bars have no row here and there, "
            f"{expected[thin[i]]:.0f} are usual"
        ),
    )  # fmt: skip


def daily_keys(subject: Subject) -> NDArray[np.int64]:
    """Return what no two bars may share: the time, or the session of a day or week."""
    if subject.frame.intraday:
        return subject.ts
    if subject.frame.name == "1w":
        return monday(np.where(subject.i_session >= 0, subject.dates(), subject.ts // DAY_NS))
    return subject.dates()
