"""A series under examination: its bars as they came, and what is known about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from market_data.building import DATED_ACTION, place_bars
from market_data.companies import Companies
from market_data.quality.findings import QualityFinding, Severity
from market_data.quality.limits import LIMITS, Limits
from market_data.sessions import SessionTable
from market_data.timeframes import DAY_NS, MINUTE_NS, Timeframe

Int64Array = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Half hours of a day before and after the open; more are counted as the last.
_HALF_HOUR_NS = 30 * MINUTE_NS
N_BUCKETS = 96
_EARLIEST = 48


@dataclass(frozen=True, slots=True)
class Subject:
    """Bars of one series in order of time.

    Attributes
    ----------
    symbol : str
    frame : Timeframe
    table : SessionTable
        Of the calendar that the bars are held to.
    ts : int64 array, shape (n_bars,)
        Open times, UTC nanoseconds, not falling.
    stated_ts : int64 array, shape (n_bars,)
        As they stand in the data; differs from `ts` where a shift was undone.
    prices : float64 array, shape (5, n_bars)
    bid, ask : float64 arrays, shape (4, n_bars), or None
    halted : bool array, shape (n_bars,), or None
    label : int64 array, shape (n_bars,), or None
        Session dates that the data states.
    actions : DATED_ACTION array
    tick, lot : float
        Of the instrument; 0 where unknown.
    limits : Limits
    companies : Companies or None
        Whose bars they are, by the listings; None where these say nothing.
    i_session : int64 array, shape (n_bars,)
        Row of the table, -1 in no session.
    outside : bool array, shape (n_bars,)
        Outside the scheduled hours.
    """

    symbol: str
    frame: Timeframe
    table: SessionTable
    ts: Int64Array
    stated_ts: Int64Array
    prices: FloatArray
    bid: FloatArray | None
    ask: FloatArray | None
    halted: Flags | None
    label: Int64Array | None
    actions: NDArray[np.void]
    tick: float
    lot: float
    limits: Limits
    companies: Companies | None
    i_session: Int64Array
    outside: Flags

    @property
    def n_bars(self) -> int:
        """Number of bars."""
        return int(self.ts.shape[0])

    def select(self, chosen: Flags) -> Subject:
        """Return the subject with some of its bars; the same when all are chosen."""
        if bool(chosen.all()):
            return self
        return replace(
            self,
            ts=self.ts[chosen],
            stated_ts=self.stated_ts[chosen],
            prices=self.prices[:, chosen],
            bid=None if self.bid is None else self.bid[:, chosen],
            ask=None if self.ask is None else self.ask[:, chosen],
            halted=None if self.halted is None else self.halted[chosen],
            label=None if self.label is None else self.label[chosen],
            i_session=self.i_session[chosen],
            outside=self.outside[chosen],
        )

    def session_starts(self) -> Int64Array:
        """Return the first bar of each session, for bars that all have one."""
        if self.n_bars == 0:
            return np.zeros(0, np.int64)
        i = self.i_session
        return np.concatenate(([0], np.flatnonzero(i[1:] != i[:-1]) + 1))

    def buckets(self) -> Int64Array:
        """Return the half hour of each bar, counted from the session's open; 0 for days."""
        if not self.frame.intraday:
            return np.zeros(self.n_bars, np.int64)
        since = (self.ts - self.table.open[self.i_session]) // _HALF_HOUR_NS
        return np.clip(since + _EARLIEST, 0, N_BUCKETS - 1)

    def n_around(self) -> int:
        """Return how many bars make a week of intraday bars, or a month of days."""
        if not self.frame.intraday:
            return 21
        usual = int(np.median(self.table.close - self.table.open))
        return max(5 * usual // self.frame.length_ns, 20)

    def dates(self) -> Int64Array:
        """Return each bar's session date; the UTC date of a bar in no session."""
        known = self.table.date.shape[0] > 0
        if known and self.n_bars and int(self.i_session.min()) >= 0:
            return self.table.date[self.i_session]
        rows = np.maximum(self.i_session, 0)
        dates = self.table.date[rows] if known else self.ts // DAY_NS
        return np.where(self.i_session >= 0, dates, self.ts // DAY_NS)

    def report(
        self,
        check: str,
        severity: Severity | Callable[[int], Severity],
        starts: Int64Array,
        stops: Int64Array,
        measures: FloatArray,
        limit: float | FloatArray,
        unit: str,
        evidence: Callable[[int], str],
        *,
        single: bool = False,
    ) -> list[QualityFinding]:
        """Make one finding of each run of bars; the mildest of too many are only counted.

        Parameters
        ----------
        severity : Severity or callable
            Of the i-th run.
        starts, stops : int64 arrays, shape (n_runs,)
            Of the bars of each run.
        measures, limit : float arrays, shape (n_runs,); the limit may be one number
        evidence : callable
            The line of the i-th run.
        single : bool
            See `QualityFinding`.
        """
        dates = self.dates
        return report_spans(
            self,
            check,
            severity,
            self.stated_ts[starts],
            self.stated_ts[stops - 1],
            dates()[starts] if starts.shape[0] else starts,
            stops - starts,
            measures,
            limit,
            unit,
            evidence,
            single=single,
        )


def placed_subject(
    ts: Int64Array,
    prices: FloatArray,
    *,
    symbol: str,
    frame: Timeframe,
    table: SessionTable,
    bid: FloatArray | None = None,
    ask: FloatArray | None = None,
    halted: Flags | None = None,
    label: Int64Array | None = None,
    actions: NDArray[np.void] | None = None,
    tick: float = 0.0,
    lot: float = 0.0,
    limits: Limits = LIMITS,
    companies: Companies | None = None,
) -> Subject:
    """Return bars in order of time as a subject, each in its session; see `Subject`."""
    placement = place_bars(table, frame, ts)
    return Subject(
        symbol=symbol, frame=frame, table=table, ts=ts, stated_ts=ts, prices=prices,
        bid=bid, ask=ask, halted=halted, label=label,
        actions=np.zeros(0, DATED_ACTION) if actions is None else actions,
        tick=tick, lot=lot, limits=limits, companies=companies,
        i_session=placement.i_session, outside=placement.outside,
    )  # fmt: skip


def report_spans(
    subject: Subject,
    check: str,
    severity: Severity | Callable[[int], Severity],
    first_ts: Int64Array,
    last_ts: Int64Array,
    sessions: Int64Array,
    counts: Int64Array,
    measures: FloatArray,
    limit: float | FloatArray,
    unit: str,
    evidence: Callable[[int], str],
    *,
    single: bool = False,
) -> list[QualityFinding]:
    """Make findings of spans of time, with or without bars; as `Subject.report`."""
    n = int(first_ts.shape[0])
    most = subject.limits.most_findings
    held_to = np.broadcast_to(np.asarray(limit, np.float64), (n,))
    chosen = range(n)
    if n > most:
        worst = np.argsort(-np.abs(measures), kind="stable")[:most]
        chosen = sorted(worst.tolist())  # type: ignore[assignment]

    def of(i: int) -> Severity:
        return severity if isinstance(severity, Severity) else severity(i)

    found = [
        QualityFinding(
            check, of(i), subject.symbol, subject.frame.name, int(first_ts[i]), int(last_ts[i]),
            int(sessions[i]), int(counts[i]), float(measures[i]), float(held_to[i]), unit,
            evidence(i), single,
        )
        for i in chosen
    ]  # fmt: skip
    if n > most:
        left = np.setdiff1d(np.arange(n), np.asarray(chosen))
        mildest = max(of(int(i)) for i in left[:most])
        n_left = int(counts[left].sum())
        worst_left = int(left[np.argmax(np.abs(measures[left]))])
        text = f"{left.shape[0]:,} more of this kind, {n_left:,} bars; the worst: "
        found.append(
            QualityFinding(
                check, mildest, subject.symbol, subject.frame.name,
                int(first_ts[left].min()), int(last_ts[left].max()),
                int(sessions[left].min()), n_left, float(measures[worst_left]),
                float(held_to[worst_left]), unit, text + evidence(worst_left), False,
            )
        )  # fmt: skip
    return found


def note(
    subject: Subject, check: str, measure: float, limit: float, unit: str, count: int, text: str
) -> QualityFinding:
    """Return a finding of no weight about the whole series."""
    return QualityFinding(
        check, Severity.INFO, subject.symbol, subject.frame.name, int(subject.stated_ts[0]),
        int(subject.stated_ts[-1]), int(subject.dates()[0]), count, measure, limit, unit, text,
    )  # fmt: skip
