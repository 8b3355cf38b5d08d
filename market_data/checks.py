"""Checks of imported bars: what is refused, and what is let in with a finding.

Refused is what no reader could repair without guessing: a missing price, a
high below the low, two different bars of one time. A finding is for what has
one plain remedy (identical bars twice) or is for a person to judge (a day
without bars).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data.actions import unseen_splits
from market_data.columns import COLUMN_NAMES, BarColumns
from market_data.sessions import Placement, SessionTable
from market_data.timeframes import DAY_NS, SECOND_NS, Timeframe, name_of_length

Place = Callable[[int], str]

# A close this far from the one before is more often a split or a wrong digit
# than a market: the largest one-day fall of the S&P 500 was 20 %.
LARGE_MOVE = 0.4

# Bars on days or hours without a session: a few are a source's oddity, more
# are a wrong calendar or time zone.
MOST_HOMELESS = 0.01
MOST_OUTSIDE = 0.97

# Fewer distances than this in a day say nothing about its spacing.
_FEWEST_DISTANCES = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """Something worth knowing about imported bars.

    Attributes
    ----------
    name : str
        Such as ``duplicates_dropped``; stable, for programs.
    count : int
        How many bars, sessions or columns it is about.
    message : str
        One line for people.
    """

    name: str
    count: int
    message: str


def stamp(ns: int) -> str:
    """Return an instant for people, in UTC to the second."""
    return str(np.datetime64(int(ns), "ns").astype("datetime64[s]")).replace("T", " ") + "Z"


def check_prices(prices: NDArray[np.float64], place: Place, *, repair: bool) -> list[Finding]:
    """Refuse prices that can't be; widen bars in place if told to repair.

    Parameters
    ----------
    prices : float64 array, shape (5, n_bars)
    place : callable
        Names the place of a bar in its file.
    repair : bool
        Widen high and low to hold open and close, instead of refusing.
    """
    for i, name in enumerate(COLUMN_NAMES[:4]):
        wrong = ~(prices[i] > 0) | np.isinf(prices[i])
        if bool(wrong.any()):
            row = int(np.argmax(wrong))
            rest = int(wrong.sum()) - 1
            more = f" ({rest} more like it)" if rest else ""
            value = "missing" if np.isnan(prices[i, row]) else f"{prices[i, row]:g}"
            raise DataError(f"{place(row)}: {name} is {value}, a price must be above 0{more}")
    open_, high, low, close = prices[:4]
    crossed = high < low
    if bool(crossed.any()):
        row = int(np.argmax(crossed))
        raise DataError(f"{place(row)}: high {high[row]:g} is below low {low[row]:g}")
    top, bottom = np.maximum(open_, close), np.minimum(open_, close)
    narrow = (high < top) | (low > bottom)
    if not bool(narrow.any()):
        return []
    if not repair:
        row = int(np.argmax(narrow))
        raise DataError(
            f"{place(row)}: open {open_[row]:g} and close {close[row]:g} are not within low "
            f"{low[row]:g} and high {high[row]:g} ({int(narrow.sum())} bars); repair to widen "
            "such bars"
        )
    np.maximum(high, top, out=high)
    np.minimum(low, bottom, out=low)
    n_bars = int(narrow.sum())
    return [Finding("ranges_widened", n_bars, f"{n_bars} bars widened to hold open and close")]


def check_volume(volume: NDArray[np.float64], place: Place, *, has_volume: bool) -> list[Finding]:
    """Set missing volume to 0 in place; refuse negative volume."""
    if not has_volume:
        volume[:] = 0.0
        return [Finding("no_volume", 1, "no volume in the file: volume limits are off")]
    negative = volume < 0
    if bool(negative.any()):
        row = int(np.argmax(negative))
        raise DataError(f"{place(row)}: volume is {volume[row]:g}, below 0")
    missing = ~np.isfinite(volume)
    n_missing = int(missing.sum())
    if not n_missing:
        return []
    volume[missing] = 0.0
    return [Finding("volume_missing", n_missing, f"{n_missing} bars without volume count as 0")]


def check_quotes(columns: BarColumns) -> list[Finding]:
    """Report quotes that are missing or crossed."""
    if columns.bid is None or columns.ask is None:
        return []
    missing = np.isnan(columns.bid).any(axis=0) | np.isnan(columns.ask).any(axis=0)
    crossed = (columns.bid[3] > columns.ask[3]) | (columns.bid[0] > columns.ask[0])
    findings = []
    if missing.any():
        n_bars = int(missing.sum())
        findings.append(Finding("quotes_missing", n_bars, f"{n_bars} bars without bid or ask"))
    if crossed.any():
        n_bars = int(crossed.sum())
        text = f"{n_bars} bars open or close with the bid above the ask"
        findings.append(Finding("quotes_crossed", n_bars, text))
    return findings


def ordered_rows(
    ts: NDArray[np.int64], values: list[NDArray[np.float64]], place: Place, what: str
) -> tuple[NDArray[np.int64], list[Finding]]:
    """Return the rows to keep, in time order, without identical duplicates.

    Parameters
    ----------
    ts : int64 array, shape (n_bars,)
        Open times, or dates of daily bars.
    values : list of float64 arrays, shape (n, n_bars)
        Everything else that makes a bar.
    what : str
        How to name a time in messages: ``time`` or ``session``.

    Raises
    ------
    DataError
        If two bars of one time differ.
    """
    findings = []
    order: NDArray[np.int64] = np.arange(ts.shape[0])
    if bool(np.any(ts[1:] < ts[:-1])):
        n_back = int(np.sum(ts[1:] < ts[:-1]))
        order = np.argsort(ts, kind="stable")
        backwards = n_back == ts.shape[0] - 1
        text = "bars were newest first" if backwards else f"bars were out of order {n_back} times"
        findings.append(Finding("reordered", n_back, f"{text}; sorted"))
    again = np.flatnonzero(ts[order][1:] == ts[order][:-1])
    if again.shape[0] == 0:
        return order, findings
    one, other = order[again], order[again + 1]
    same = np.ones(again.shape[0], np.bool_)
    for block in values:
        left, right = block[:, one], block[:, other]
        same &= np.all((left == right) | (np.isnan(left) & np.isnan(right)), axis=0)
    if not bool(same.all()):
        i = int(np.argmin(same))
        raise DataError(
            f"{place(int(other[i]))} is another bar of the same {what} as {place(int(one[i]))}, "
            "with other values"
        )
    n_bars = int(again.shape[0])
    findings.append(Finding("duplicates_dropped", n_bars, f"{n_bars} bars were there twice"))
    return np.delete(order, again + 1), findings


def spacing(ts: NDArray[np.int64]) -> int:
    """Return the most frequent distance between bars, nanoseconds; 0 for one bar."""
    distances = np.diff(ts)
    distances = distances[distances > 0]
    if distances.shape[0] == 0:
        return 0
    values, counts = np.unique(distances, return_counts=True)
    return int(values[np.argmax(counts)])


def infer_timeframe(ts: NDArray[np.int64]) -> str:
    """Return the timeframe that bars seem to have by their distances, or ''."""
    usual = spacing(ts)
    if usual == 0:
        return ""
    # Clock changes move a day's open by an hour, and holidays a week's.
    if 6 * DAY_NS < usual < 8 * DAY_NS:
        return "1w"
    if usual >= DAY_NS - 3600 * SECOND_NS:
        return "1d" if usual < 6 * DAY_NS else ""
    return name_of_length(usual) if usual % SECOND_NS == 0 else ""


def check_spacing(ts: NDArray[np.int64], timeframe: Timeframe) -> None:
    """Refuse intraday bars whose distances are not those of their timeframe.

    Raises
    ------
    DataError
        If bars are nearer to each other than the timeframe, most are further
        apart, or whole days have another spacing.
    """
    distances = np.diff(ts)
    if distances.shape[0] == 0:
        return
    near = distances < timeframe.length_ns
    if bool(near.any()):
        i = int(np.argmax(near))
        # A session's last bar may be short, and the next session's open near.
        if int(near.sum()) > max(1, distances.shape[0] // 10):
            raise DataError(
                f"bars are {name_of_length(int(distances[i]))} apart at {stamp(ts[i])} where "
                f"{timeframe.name} is stated"
            )
    usual = spacing(ts)
    if usual > timeframe.length_ns and distances.shape[0] >= _FEWEST_DISTANCES:
        raise DataError(
            f"most bars are {name_of_length(usual)} apart where {timeframe.name} is stated"
        )
    day = ts // DAY_NS
    starts = np.flatnonzero(np.append(True, day[1:] != day[:-1]))
    fits = np.append(distances == timeframe.length_ns, False).astype(np.int64)
    n_fitting = np.add.reduceat(fits, starts)
    n_bars = np.diff(np.append(starts, ts.shape[0]))
    odd = (n_fitting == 0) & (n_bars > _FEWEST_DISTANCES)
    if bool(odd.any()):
        start = int(starts[np.argmax(odd)])
        n_odd = int(n_bars[np.argmax(odd)])
        raise DataError(
            f"mixed spacing: bars are {name_of_length(spacing(ts[start : start + n_odd]))} apart "
            f"on {np.datetime64(int(day[start]), 'D')} where {timeframe.name} is usual"
        )


def check_sessions(
    table: SessionTable,
    timeframe: Timeframe,
    ts: NDArray[np.int64],
    placement: Placement,
    place: Place,
    *,
    drop_unscheduled: bool = False,
) -> list[Finding]:
    """Refuse bars that show a wrong calendar or zone; report the few odd ones.

    Raises
    ------
    DataError
        If more than `MOST_HOMELESS` of the bars are in no session, or almost
        all are outside the scheduled hours.
    """
    homeless = placement.i_session < 0
    n_homeless = int(homeless.sum())
    findings = []
    if n_homeless:
        row = int(np.argmax(homeless))
        text = (
            f"{n_homeless} of {ts.shape[0]} bars are in no session of {table.calendar}, first "
            f"{stamp(ts[row])} ({place(row)})"
        )
        allowed = ts.shape[0] - 1 if drop_unscheduled else MOST_HOMELESS * ts.shape[0]
        if n_homeless > max(1, allowed) or n_homeless == ts.shape[0]:
            raise DataError(
                f"{text}; is another calendar or time zone meant? (or drop unscheduled bars)"
            )
        findings.append(Finding("outside_calendar_dropped", n_homeless, f"{text}; left out"))
    if timeframe.intraday:
        opens = table.open[placement.i_session]
        # Bars that are labelled before the open but reach past it lie inside.
        reaching = (ts < opens) & (ts + timeframe.length_ns > opens)
        outside = placement.outside & ~homeless & ~reaching
        n_outside = int(outside.sum())
        if n_outside > MOST_OUTSIDE * ts.shape[0]:
            raise DataError(
                f"{n_outside} of {ts.shape[0]} bars lie outside the hours of {table.calendar}, "
                f"first {stamp(ts[int(np.argmax(outside))])}; is the time zone right?"
            )
        if n_outside:
            text = f"{n_outside} bars lie outside the scheduled hours and are kept apart"
            findings.append(Finding("extended_hours", n_outside, text))
    return findings


def find_gaps(
    table: SessionTable, timeframe: Timeframe, columns: BarColumns, outside: NDArray[np.bool_]
) -> list[Finding]:
    """Report sessions and scheduled bars that are missing between first and last bar."""
    if columns.n_bars < 2 or timeframe.name == "1w":
        return []
    first = int(np.searchsorted(table.date, columns.session[0]))
    last = int(np.searchsorted(table.date, columns.session[-1]))
    dates = table.date[first : last + 1]
    present = np.isin(dates, columns.session)
    findings = []
    n_missing = int((~present).sum())
    if n_missing:
        day = np.datetime64(int(dates[np.argmin(present)]), "D")
        text = f"{n_missing} sessions without bars, first {day}"
        findings.append(Finding("missing_sessions", n_missing, text))
        longest, start = _longest_run(~present)
        if longest > 10:
            begin, end = dates[start], dates[start + longest - 1]
            text = (
                f"no bars for {longest} sessions from {np.datetime64(int(begin), 'D')} to "
                f"{np.datetime64(int(end), 'D')}"
            )
            findings.append(Finding("long_gap", longest, text))
    if timeframe.intraday:
        length = (table.close - table.open)[first : last + 1][present]
        scheduled = int(np.sum(-(-length // timeframe.length_ns)))
        n_bars = int((~outside).sum())
        if scheduled > n_bars:
            text = f"{scheduled - n_bars} of {scheduled} scheduled bars have no row"
            findings.append(Finding("missing_bars", scheduled - n_bars, text))
    return findings


def _longest_run(flags: NDArray[np.bool_]) -> tuple[int, int]:
    """Return length and start of the longest run of true."""
    edges = np.diff(np.concatenate(([0], flags.astype(np.int8), [0])))
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    i = int(np.argmax(stops - starts))
    return int(stops[i] - starts[i]), int(starts[i])


def find_adjusted_prices(columns: BarColumns, actions: NDArray[np.void]) -> list[Finding]:
    """Report prices that know their splits already.

    Raises
    ------
    DataError
        If the prices show some of the splits and others not.
    """
    unseen, n_splits = unseen_splits(columns, actions)
    if not unseen:
        return []
    day = np.datetime64(unseen[0], "D")
    if len(unseen) < n_splits:
        raise DataError(
            f"the prices do not show the split of {day}, but they show others: bars and "
            "corporate actions do not belong together"
        )
    text = f"the prices do not show the split of {day}: taken as adjusted, actions left out"
    return [Finding("prices_adjusted", len(unseen), text)]


def find_large_moves(columns: BarColumns, actions: NDArray[np.void]) -> list[Finding]:
    """Report closes that jump as at a split which no corporate action explains."""
    close = columns.prices[3]
    growth = close[1:] / close[:-1]
    large = np.flatnonzero((growth < 1 - LARGE_MOVE) | (growth > 1 / (1 - LARGE_MOVE))) + 1
    splits = actions["ex_date"][actions["split_ratio"] != 1]
    explained = np.isin(columns.session[large], splits)
    large = large[~explained]
    if large.shape[0] == 0:
        return []
    i = int(large[0])
    text = (
        f"{large.shape[0]} closes move by more than {LARGE_MOVE:.0%}, first "
        f"{close[i - 1]:g} to {close[i]:g} on {np.datetime64(int(columns.session[i]), 'D')}; "
        "a split needs its corporate action"
    )
    return [Finding("large_moves", int(large.shape[0]), text)]
