"""Checks of imported bars: what is refused, and what is let in with a finding.

Refused is what no reader could repair without guessing: a missing price, a
high below the low, two different bars of one time. A finding is for what has
one plain remedy (identical bars twice) or is for a person to judge (a day
without bars).

A series too large for the memory is judged stretch by stretch, oldest first.
What needs more than one bar to judge takes the stretches one after the other
(`SessionCheck`, `SpacingCheck`, `GapCheck`, `MoveCheck`) and answers at the
end; a small series is one stretch, judged by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data.actions import unseen_splits
from market_data.columns import COLUMN_NAMES, BarColumns
from market_data.companies import Companies, expected_sessions
from market_data.quality.habits import runs
from market_data.rules import crossed, not_held, not_positive
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
# Where bars are sparse, so many without a neighbour are of another timeframe.
_FEWEST_OF_SPARSE = 200


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


# In the order of the checks.
_ORDER = (
    "columns_ignored",
    "no_final_newline",
    "prices_are_mid",
    "ambiguous_times",
    "ranges_widened",
    "no_volume",
    "volume_missing",
    "reordered",
    "duplicates_dropped",
    "outside_calendar_dropped",
    "extended_hours",
    "begin_at_open",
    "quotes_unused",
    "quotes_missing",
    "quotes_crossed",
    "missing_sessions",
    "long_gap",
    "missing_bars",
    "prices_adjusted",
    "large_moves",
)


class Findings:
    """What was found in the stretches of a series, counts added up."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, name: str, count: int, text: str) -> None:
        """Note a finding; ``{n}`` in the text stands for the count of all stretches."""
        before, text = self._found.get(name, (0, text))
        self._found[name] = (before + count, text)

    def add_all(self, findings: Iterable[Finding]) -> None:
        """Note findings of one stretch; a text that begins with its count gets that of all."""
        for one in findings:
            text = one.message.replace("{", "{{").replace("}", "}}")
            count = f"{one.count} "
            if text.startswith(count):
                text = "{n} " + text.removeprefix(count)
            self.add(one.name, one.count, text)

    def as_tuple(self) -> tuple[Finding, ...]:
        """Return the findings in the order of the checks."""
        return tuple(
            Finding(name, self._found[name][0], self._found[name][1].format(n=self._found[name][0]))
            for name in sorted(self._found, key=_place_in_order)
        )


def _place_in_order(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


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
        wrong = np.isnan(prices[i]) | not_positive(prices[i])
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
    narrow = not_held(prices)
    if not bool(narrow.any()):
        return []
    if not repair:
        row = int(np.argmax(narrow))
        raise DataError(
            f"{place(row)}: open {open_[row]:g} and close {close[row]:g} are not within low "
            f"{low[row]:g} and high {high[row]:g} ({int(narrow.sum())} bars); repair to widen "
            "such bars"
        )
    np.maximum(high, np.maximum(open_, close), out=high)
    np.minimum(low, np.minimum(open_, close), out=low)
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
    across = crossed(columns.bid, columns.ask)
    findings = []
    if missing.any():
        n_bars = int(missing.sum())
        findings.append(Finding("quotes_missing", n_bars, f"{n_bars} bars without bid or ask"))
    if across.any():
        n_bars = int(across.sum())
        text = f"{n_bars} bars open or close with the bid above the ask"
        findings.append(Finding("quotes_crossed", n_bars, text))
    return findings


def ordered_rows(
    ts: NDArray[np.int64], values: list[NDArray[np.float64]], place: Place, what: str
) -> tuple[NDArray[np.int64] | None, int]:
    """Return the rows to keep, in time order, without identical duplicates.

    Parameters
    ----------
    ts : int64 array, shape (n_bars,)
        Open times, or dates of daily bars.
    values : list of float64 arrays, shape (n, n_bars)
        Everything else that makes a bar.
    what : str
        How to name a time in messages: ``time`` or ``session``.

    Returns
    -------
    rows : int64 array or None
        None for all rows as they are.
    n_duplicates : int
        Rows left out.

    Raises
    ------
    DataError
        If two bars of one time differ.
    """
    order: NDArray[np.int64] | None = None
    if bool(np.any(ts[1:] < ts[:-1])):
        order = np.argsort(ts, kind="stable")
        ts = ts[order]
    again = np.flatnonzero(ts[1:] == ts[:-1])
    if again.shape[0] == 0:
        return order, 0
    if order is None:
        order = np.arange(ts.shape[0])
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
    return np.delete(order, again + 1), int(again.shape[0])


class Distances:
    """How far bars are from each other, over the stretches of a series."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._last: int | None = None

    def take(self, ts: NDArray[np.int64]) -> None:
        """Count the distances of the next bars, in order of time."""
        if self._last is not None and ts.shape[0]:
            ts = np.concatenate(([self._last], ts))
        if ts.shape[0]:
            self._last = int(ts[-1])
        distances = np.diff(ts)
        # Almost all are the same, which is faster to count than to sort.
        likely = int(np.median(distances[:999])) if distances.shape[0] else 0
        other = distances[distances != likely]
        if likely > 0:
            self._count(likely, int(distances.shape[0] - other.shape[0]))
        for value, count in zip(*np.unique(other[other > 0], return_counts=True), strict=True):
            self._count(int(value), int(count))

    def _count(self, distance: int, count: int) -> None:
        self._counts[distance] = self._counts.get(distance, 0) + count

    @property
    def usual(self) -> int:
        """Most frequent distance, nanoseconds; 0 for one bar."""
        if not self._counts:
            return 0
        # The shortest of those that are as frequent.
        return min(self._counts, key=lambda distance: (-self._counts[distance], distance))


def spacing(ts: NDArray[np.int64]) -> int:
    """Return the most frequent distance between bars, nanoseconds; 0 for one bar."""
    distances = Distances()
    distances.take(ts)
    return distances.usual


def timeframe_of(usual: int) -> str:
    """Return the timeframe that bars of this usual distance seem to have, or ''."""
    if usual == 0:
        return ""
    # Clock changes move a day's open by an hour, and holidays a week's.
    if 6 * DAY_NS < usual < 8 * DAY_NS:
        return "1w"
    if usual >= DAY_NS - 3600 * SECOND_NS:
        return "1d" if usual < 6 * DAY_NS else ""
    return name_of_length(usual) if usual % SECOND_NS == 0 else ""


class SpacingCheck:
    """Refuses intraday bars whose distances are not those of their timeframe.

    Parameters
    ----------
    timeframe : Timeframe
    sparse : bool
        A vendor names the timeframe, and has bars only of times with trades:
        any distance is right that is not too small, if some are the timeframe.
    """

    def __init__(self, timeframe: Timeframe, *, sparse: bool = False) -> None:
        self._timeframe = timeframe
        self._sparse = sparse
        self._n_fitting = 0
        self._distances = Distances()
        self._n_distances = 0
        self._n_near = 0
        self._near: tuple[int, int] | None = None
        self._odd: tuple[int, int, int] | None = None
        # Bars of the last day wait for the rest of it.
        self._waiting: NDArray[np.int64] = np.zeros(0, np.int64)

    def take(self, ts: NDArray[np.int64]) -> None:
        """Judge the next bars, in order of time."""
        length = self._timeframe.length_ns
        self._distances.take(ts)
        before = self._waiting[-1:]
        joined = ts if before.shape[0] == 0 else np.concatenate((before, ts))
        distances = np.diff(joined)
        self._n_distances += distances.shape[0]
        self._n_fitting += int((distances == length).sum())
        near = distances < length
        if bool(near.any()):
            self._n_near += int(near.sum())
            if self._near is None:
                i = int(np.argmax(near))
                self._near = (int(joined[i]), int(distances[i]))
        if self._waiting.shape[0]:
            ts = np.concatenate((self._waiting, ts))
        if ts.shape[0]:
            last_day = int(np.searchsorted(ts, ts[-1] // DAY_NS * DAY_NS, "left"))
            self._judge_days(ts[: last_day + 1], last_day)
            self._waiting = ts[last_day:]

    def _judge_days(self, ts: NDArray[np.int64], n_bars: int) -> None:
        """Judge whole days; a bar's distance is that to the next one, which may be of the next."""
        if n_bars == 0 or self._odd is not None:
            return
        fits = np.zeros(n_bars, np.int64)
        fits[: ts.shape[0] - 1] = np.diff(ts) == self._timeframe.length_ns
        day = ts[:n_bars] // DAY_NS
        starts = np.flatnonzero(np.append(True, day[1:] != day[:-1]))
        n_of_day = np.diff(np.append(starts, n_bars))
        odd = (np.add.reduceat(fits, starts) == 0) & (n_of_day > _FEWEST_DISTANCES)
        if bool(odd.any()):
            i = int(np.argmax(odd))
            start, n_odd = int(starts[i]), int(n_of_day[i])
            self._odd = (int(day[start]), n_odd, spacing(ts[start : start + n_odd]))

    def finish(self) -> None:
        """Judge the whole.

        Raises
        ------
        DataError
            If bars are nearer to each other than the timeframe, most are
            further apart, or whole days have another spacing.
        """
        name = self._timeframe.name
        self._judge_days(self._waiting, self._waiting.shape[0])
        # A session's last bar may be short, and the next session's open near.
        if self._near is not None and self._n_near > max(1, self._n_distances // 10):
            raise DataError(
                f"bars are {name_of_length(self._near[1])} apart at {stamp(self._near[0])} where "
                f"{name} is stated"
            )
        if self._sparse and (self._n_fitting or self._n_distances < _FEWEST_OF_SPARSE):
            return
        usual = self._distances.usual
        if usual > self._timeframe.length_ns and self._n_distances >= _FEWEST_DISTANCES:
            raise DataError(f"most bars are {name_of_length(usual)} apart where {name} is stated")
        if self._odd is not None:
            day, _, apart = self._odd
            raise DataError(
                f"mixed spacing: bars are {name_of_length(apart)} apart "
                f"on {np.datetime64(day, 'D')} where {name} is usual"
            )


class SessionCheck:
    """Refuses bars that show a wrong calendar or zone; reports the few odd ones."""

    def __init__(
        self, table: SessionTable, timeframe: Timeframe, *, drop_unscheduled: bool = False
    ) -> None:
        self._table = table
        self._timeframe = timeframe
        self._drop_unscheduled = drop_unscheduled
        self._n_bars = 0
        self._n_homeless = 0
        self._homeless = ""
        self._n_outside = 0
        self._outside = ""

    def take(self, ts: NDArray[np.int64], placement: Placement, place: Place) -> None:
        """Judge the next bars, in order of time."""
        self._n_bars += ts.shape[0]
        homeless = placement.i_session < 0
        if bool(homeless.any()):
            self._n_homeless += int(homeless.sum())
            row = int(np.argmax(homeless))
            self._homeless = self._homeless or f"{stamp(ts[row])} ({place(row)})"
        if not self._timeframe.intraday or not bool(placement.outside.any()):
            return
        opens = self._table.open[placement.i_session]
        # Bars that are labelled before the open but reach past it lie inside.
        reaching = (ts < opens) & (ts + self._timeframe.length_ns > opens)
        outside = placement.outside & ~homeless & ~reaching
        if bool(outside.any()):
            self._n_outside += int(outside.sum())
            self._outside = self._outside or stamp(ts[int(np.argmax(outside))])

    def finish(self, findings: Findings) -> None:
        """Judge the whole.

        Raises
        ------
        DataError
            If more than `MOST_HOMELESS` of the bars are in no session, or
            almost all are outside the scheduled hours.
        """
        n_bars, n_homeless = self._n_bars, self._n_homeless
        if n_homeless:
            text = (
                f"{n_homeless} of {n_bars} bars are in no session of {self._table.calendar}, first "
                f"{self._homeless}"
            )
            allowed = n_bars - 1 if self._drop_unscheduled else MOST_HOMELESS * n_bars
            if n_homeless > max(1, allowed) or n_homeless == n_bars:
                raise DataError(
                    f"{text}; is another calendar or time zone meant? (or drop unscheduled bars)"
                )
            findings.add("outside_calendar_dropped", n_homeless, f"{text}; left out")
        if self._n_outside > MOST_OUTSIDE * n_bars:
            raise DataError(
                f"{self._n_outside} of {n_bars} bars lie outside the hours of "
                f"{self._table.calendar}, first {self._outside}; is the time zone right?"
            )
        if self._n_outside:
            text = "{n} bars lie outside the scheduled hours and are kept apart"
            findings.add("extended_hours", self._n_outside, text)


class GapCheck:
    """Finds sessions and scheduled bars that are missing between first and last bar."""

    def __init__(self, table: SessionTable, timeframe: Timeframe) -> None:
        self._table = table
        self._timeframe = timeframe
        self._n_bars = 0
        self._n_inside = 0
        self._sessions: list[NDArray[np.int64]] = []

    def take(self, session: NDArray[np.int64], outside: NDArray[np.bool_]) -> None:
        """Count the next bars, in order of time."""
        self._n_bars += session.shape[0]
        self._n_inside += int(session.shape[0] - np.count_nonzero(outside))
        self._sessions.append(session[np.append(True, session[1:] != session[:-1])])

    def finish(self, companies: Companies | None = None) -> list[Finding]:
        """Report what is missing.

        Parameters
        ----------
        companies : Companies, optional
            Of a ticker that several had: what lies between them isn't missing.
        """
        if self._n_bars < 2 or self._timeframe.name == "1w":
            return []
        table, sessions = self._table, np.concatenate(self._sessions)
        first = int(np.searchsorted(table.date, sessions[0]))
        last = int(np.searchsorted(table.date, sessions[-1]))
        dates = table.date[first : last + 1]
        present = np.isin(dates, sessions)
        if companies is not None:
            expected = expected_sessions(dates, present, companies(dates)) | present
            dates, present = dates[expected], present[expected]
            row = np.flatnonzero(expected) + first
        else:
            row = np.arange(first, last + 1)
        findings = []
        n_missing = int((~present).sum())
        if n_missing:
            day = np.datetime64(int(dates[np.argmin(present)]), "D")
            text = f"{n_missing} sessions without bars, first {day}"
            findings.append(Finding("missing_sessions", n_missing, text))
            starts, stops = runs(~present)
            start = int(starts[np.argmax(stops - starts)])
            longest = int((stops - starts).max())
            if longest > 10:
                begin, end = dates[start], dates[start + longest - 1]
                text = (
                    f"no bars for {longest} sessions from {np.datetime64(int(begin), 'D')} to "
                    f"{np.datetime64(int(end), 'D')}"
                )
                findings.append(Finding("long_gap", longest, text))
        if self._timeframe.intraday:
            length = (table.close - table.open)[row[present]]
            scheduled = int(np.sum(-(-length // self._timeframe.length_ns)))
            missing = scheduled - self._n_inside
            if missing > 0:
                text = f"{missing} of {scheduled} scheduled bars have no row"
                findings.append(Finding("missing_bars", missing, text))
        return findings


def find_gaps(
    table: SessionTable, timeframe: Timeframe, columns: BarColumns, outside: NDArray[np.bool_]
) -> list[Finding]:
    """Report sessions and scheduled bars that are missing between first and last bar."""
    gaps = GapCheck(table, timeframe)
    if columns.n_bars:
        gaps.take(columns.session, outside)
    return gaps.finish()


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


class MoveCheck:
    """Finds splits that the prices know already, and jumps that no action explains."""

    def __init__(self, actions: NDArray[np.void]) -> None:
        self._actions = actions
        self._before: tuple[float, int] | None = None
        # Of each large move: close and session before it, close and session after it.
        self._large: list[NDArray[np.float64]] = []
        self._edges: list[BarColumns] = []

    def take(self, columns: BarColumns) -> None:
        """Look at the next bars, in order of time."""
        close, session = columns.prices[3], columns.session
        if self._actions.shape[0]:
            # A split shows between the last bar of a session and the first of the next.
            new = np.append(True, session[1:] != session[:-1])
            self._edges.append(columns.select(np.flatnonzero(new | np.append(new[1:], True))))
        if self._before is not None:
            close = np.append(self._before[0], close)
            session = np.append(self._before[1], session)
        growth = close[1:] / close[:-1]
        large = np.flatnonzero((growth < 1 - LARGE_MOVE) | (growth > 1 / (1 - LARGE_MOVE))) + 1
        splits = self._actions["ex_date"][self._actions["split_ratio"] != 1]
        large = large[~np.isin(session[large], splits)]
        if large.shape[0]:
            moves = (close[large - 1], session[large - 1], close[large], session[large])
            self._large.append(np.stack([np.asarray(one, np.float64) for one in moves]))
        self._before = (float(close[-1]), int(session[-1]))

    def finish(self, companies: Companies | None = None) -> list[Finding]:
        """Report what was found.

        Parameters
        ----------
        companies : Companies, optional
            Whose bars those of a session are: from one company to the next
            there is no move.

        Raises
        ------
        DataError
            If the prices show some of the splits and others not.
        """
        findings = []
        if self._edges:
            tables = [edges.to_table() for edges in self._edges]
            findings += find_adjusted_prices(BarColumns.from_tables(tables), self._actions)
        large = np.concatenate([np.zeros((4, 0)), *self._large], axis=1)
        if companies is not None and large.shape[1]:
            whose = companies(large[[1, 3]].astype(np.int64).ravel()).reshape(2, -1)
            large = large[:, whose[0] == whose[1]]
        n_large = large.shape[1]
        if n_large:
            before, _, after, day = large[:, 0]
            text = (
                f"{n_large} closes move by more than {LARGE_MOVE:.0%}, first {before:g} to "
                f"{after:g} on {np.datetime64(int(day), 'D')}; a split needs its corporate action"
            )
            findings.append(Finding("large_moves", n_large, text))
        return findings


def find_large_moves(
    columns: BarColumns, actions: NDArray[np.void], companies: Companies | None = None
) -> list[Finding]:
    """Report closes that jump as at a split which no corporate action explains."""
    moves = MoveCheck(actions)
    moves.take(columns)
    return [found for found in moves.finish(companies) if found.name == "large_moves"]
