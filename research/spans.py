"""Parameter sets over parts of the bars, with every indicator computed once for all parts.

A walk-forward analysis runs the same sets over many windows of one series, and
an optimisation runs its trials over growing parts of one. Both compute the
columns of all sets over all bars in one pass; a window is a range of columns.
A column's value at a bar depends on bars up to it alone (rule 1), so that what
a window's sets see is what a sweep that ends with the window would show them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.progress import Progress, silent
from trading import dtypes as d
from trading.arrays import Feed, Record
from trading.bars import Bars
from trading.engine import RUN_KIND, finish_nb
from trading.expressions.strategy import ResolvedStrategy
from trading.feeding import build_feed, needs_factors
from trading.finer import finer_differ
from trading.linker import Linker
from trading.sleeve import (
    SleeveRun,
    first_action,
    new_journal,
    new_logs,
    new_scratch,
    new_states,
    run_sleeve,
)
from trading.specialising import kind_of
from trading.sweep import (
    COLUMN_BYTES,
    EVALUATIONS_AT_ONCE,
    SECONDS_BETWEEN,
    STRETCH_BARS,
    SetPlan,
    SetPlanner,
    SweepRuns,
    groups,
)
from trading.waking import BLOCK_BARS

Sets = Sequence[Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the bars: `start` is the first one traded, `stop` the one after the last.

    Bars before `start` warm indicators up. `stop` must end a session.
    """

    start: int
    stop: int


class LinkedSets:
    """Parameter sets whose columns are computed over all bars.

    Attributes
    ----------
    feed : Feed
        Bars and columns; nothing in it is written to.
    """

    def __init__(
        self,
        strategy: ResolvedStrategy,
        bars: Bars,
        sets: Sets,
        *,
        threads: int,
        most_bytes: int | None = None,
    ) -> None:
        """Link as many of the sets as fit in `most_bytes` of columns, at least one."""
        self.bars = bars
        linker = Linker(adjusted=needs_factors(bars), has_quotes=bars.bid is not None)
        # Whether the first traded bar knows of a volume differs from span to span,
        # so the limit on it is planned, and taken out where a span begins without.
        planner = SetPlanner(strategy, bars, has_volume=True)
        planner.begin()
        self._plans: list[SetPlan] = []
        limit = (COLUMN_BYTES if most_bytes is None else most_bytes) // bars.n_bars
        for values in sets:
            used = 8 * linker.base.n_rows + linker.base.n_flags
            if self._plans and used > limit:
                break
            self._plans.append(planner.plan(linker, values))
        self.feed = build_feed(linker, bars, threads=threads)

    def __len__(self) -> int:
        return len(self._plans)

    def plans(self, rows: slice | Sequence[int], first_bar: int) -> NDArray[np.void]:
        """Return the PLAN array of some sets for a run that trades from `first_bar` on."""
        chosen = (
            self._plans[rows] if isinstance(rows, slice) else [self._plans[row] for row in rows]
        )
        # As bytes: numpy takes milliseconds to find the common type of many records.
        plans = np.concatenate([one.plan.view(np.uint8) for one in chosen]).view(d.PLAN)
        plans["conditions"] = [one.conditions for one in chosen]
        if not self.bars.has_volume(first_bar):
            plans["policy"]["max_participation"] = 0.0
        return plans


class SetsRun:
    """Sets on their way over one span, which can wait, be asked, and go on with fewer of them.

    Parameters
    ----------
    rows : slice or sequence of int
        Which of the linked sets; at most `dtypes.MAX_SLEEVES`.
    """

    def __init__(
        self,
        linked: LinkedSets,
        rows: slice | Sequence[int],
        span: Span,
        cash: float,
        *,
        keep_cash: bool = False,
    ) -> None:
        self.span = span
        self.feed = linked.feed
        self.plans = linked.plans(rows, span.start)
        assert len(self.plans) <= d.MAX_SLEEVES
        self.states = new_states(self.plans, cash, span.start)
        self.journal = new_journal(keeps=False)
        self.scratch = new_scratch(first_action(self.feed, span.start))
        self.logs = new_logs(1)
        self.at = span.start
        traded = self.feed.session[span.start : span.stop]
        n_sessions = 1 + int(np.count_nonzero(np.diff(traded)))
        self._every_bar = finer_differ(self.plans, self.feed)
        self.record = _room(len(self.plans), n_sessions, n_sessions if keep_cash else 0)

    def advance(self, stop: int, cancelled: threading.Event) -> None:
        """Run on to a bar, or until cancelled, which is noticed within tenths of a second."""
        run = RUN_KIND[kind_of(self.plans)]
        step = max(STRETCH_BARS, EVALUATIONS_AT_ONCE // len(self.plans))
        while self.at < stop and not cancelled.is_set():
            end = min(self.at + step, stop)
            run(
                self.plans, self.states, self.journal, self.scratch, self.feed, self.logs,
                self.record, self.at, end, STRETCH_BARS, self._every_bar,
            )  # fmt: skip
            self.at = end

    def headers(self) -> NDArray[np.void]:
        """Return the states' headers as they are now."""
        found: NDArray[np.void] = self.states["header"].copy()
        return found

    def equity_so_far(self) -> NDArray[np.float64]:
        """Return the equity at the close of each session so far; the run must stand at one's end."""
        traded = self.feed.session[self.span.start : self.at]
        n_sessions = 1 + int(np.count_nonzero(np.diff(traded)))
        equity = self.record.session_equity[:, :n_sessions].copy()
        # The engine writes a session down when the next one begins.
        equity[:, -1] = self.states["header"]["last_equity"]
        return equity

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Go on with some of the sets alone, in their order."""
        n_kept = len(rows)
        self.plans = self.plans[rows]
        self.states = self.states[rows]
        self.scratch["next_actions"][0, :n_kept] = self.scratch["next_actions"][0, rows]
        record = self.record
        self.record = record._replace(
            session_equity=record.session_equity[rows], session_cash=record.session_cash[rows]
        )

    def finish(self) -> None:
        """End the run at the span's last bar."""
        finish_nb(
            self.plans, self.states, self.journal, self.scratch, self.feed, self.record,
            self.span.stop - 1,
        )  # fmt: skip


def _room(n_sets: int, n_sessions: int, n_cash: int) -> Record:
    none, no_counts, no_codes = np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int8)
    return Record(
        none, none, no_counts, no_codes, no_codes,
        np.zeros((n_sets, n_sessions)), np.zeros((n_sets, n_cash)),
        np.zeros(n_sessions, np.int64),
    )  # fmt: skip


def threads_of(threads: int | None) -> int:
    """Return the number of threads to run sets on, as a sweep does."""
    return threads or min(2, os.cpu_count() or 1)


def run_spans(
    strategy: ResolvedStrategy,
    bars: Bars,
    sets: Sets,
    spans: Sequence[Span],
    *,
    cash: float = 100_000.0,
    threads: int | None = None,
    progress: Progress = silent,
) -> list[SweepRuns]:
    """Run every set over every span, flat at each span's start.

    Parameters
    ----------
    cash : float
        Starting cash of each set in each span.

    Returns
    -------
    list of SweepRuns
        One for each span: what `run_sweep` gives for bars that end with the
        span and are traded from its start on, bit for bit.

    Raises
    ------
    SpecError
        If a set is outside the document's ranges.
    """
    threads = threads_of(threads)
    runs = [_blank(bars, span, len(sets)) for span in spans]
    at = 0
    total = len(sets) * len(spans)
    while at < len(sets):
        linked = LinkedSets(strategy, bars, sets[at:], threads=threads)
        batch = _SpanBatch(linked, spans, cash, runs, at)

        def tell(done: int, before: int = at * len(spans)) -> None:
            progress(before + done, total, "parameter sets")

        batch.run_all(threads, tell)
        at += len(linked)
    progress(total, total, "parameter sets")
    return runs


def _blank(bars: Bars, span: Span, n_sets: int) -> SweepRuns:
    traded = bars.session[span.start : span.stop]
    sessions = traded[np.flatnonzero(np.diff(traded, prepend=traded[0] - 1))]
    return SweepRuns(
        np.zeros(n_sets, d.HEADER),
        np.zeros((n_sets, len(sessions))),
        np.zeros((n_sets, 0)),
        sessions,
    )


class _SpanBatch:
    """Runs the linked sets over all spans; each call writes its own rows."""

    def __init__(
        self,
        linked: LinkedSets,
        spans: Sequence[Span],
        cash: float,
        runs: Sequence[SweepRuns],
        first_row: int,
    ) -> None:
        self.linked = linked
        self.spans = spans
        self.cash = cash
        self.runs = runs
        self.first_row = first_row
        self.cancelled = threading.Event()
        self.n_done = 0
        self._lock = threading.Lock()

    def run_all(self, threads: int, done: Callable[[int], None]) -> None:
        """Run all, and tell how many sets are done; an interrupt ends it soon."""
        work = [
            (k, rows) for k in range(len(self.spans)) for rows in groups(len(self.linked), threads)
        ]
        with ThreadPoolExecutor(threads) as pool:
            waiting = [pool.submit(self._run, *one) for one in work]
            try:
                while wait(waiting, SECONDS_BETWEEN).not_done:
                    done(self.n_done)
            except BaseException:
                self.cancelled.set()
                raise
            for job in waiting:
                job.result()

    def _run(self, i_span: int, rows: slice) -> None:
        run = SetsRun(self.linked, rows, self.spans[i_span], self.cash)
        run.advance(run.span.stop, self.cancelled)
        if self.cancelled.is_set():
            return
        run.finish()
        into = np.arange(len(self.linked))[rows] + self.first_row
        self.runs[i_span].headers[into] = run.states["header"]
        self.runs[i_span].session_equity[into] = run.record.session_equity
        with self._lock:
            self.n_done += len(into)


def feed_until(feed: Feed, stop: int) -> Feed:
    """Return the feed of the bars before `stop`, which must end a session; columns as they are."""
    n_blocks = stop // BLOCK_BARS
    actions = feed.actions[feed.actions["i_bar"] < stop]
    by_bar = {
        name: np.ascontiguousarray(getattr(feed, name)[..., :stop])
        for name in (
            "matrix", "ts", "close_ts", "session", "bar_flags", "flags", "session_stop",
            "scan_low", "scan_high",
        )
    }  # fmt: skip
    by_block = {
        name: np.ascontiguousarray(getattr(feed, name)[:n_blocks])
        for name in ("block_low", "block_high", "block_close_low", "block_close_high")
    }
    finer_start = feed.finer_start
    if len(finer_start):
        finer_start = np.ascontiguousarray(finer_start[: stop + 1])
    return feed._replace(**by_bar, **by_block, actions=actions, finer_start=finer_start)


def run_one(
    linked: LinkedSets, row: int, span: Span, cash: float, *, close_at_end: bool = False
) -> SleeveRun:
    """Run one linked set over a span and keep its trades and its equity bar by bar.

    Parameters
    ----------
    close_at_end : bool
        Sell what is held at the span's last close, with costs, whatever the
        document says.
    """
    plan = linked.plans([row], span.start)
    if close_at_end:
        plan["policy"]["close_at_end"] = 1
    return run_sleeve(plan, feed_until(linked.feed, span.stop), cash, first_bar=span.start)
