"""Sweeps: many parameter sets of one strategy over the same bars.

Bars are never copied and every distinct indicator, comparison and condition is
computed once for all sets. Each set then runs through the same engine as a
single backtest, on all cores.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundation.progress import Progress, silent
from trading import dtypes as d
from trading.arrays import Feed, Record
from trading.bars import Bars
from trading.engine import RUN_KIND, finish_nb
from trading.expressions.strategy import Policy, ResolvedStrategy, bind, policy_is_fixed
from trading.feeding import build_feed, needs_factors
from trading.finer import finer_differ
from trading.linker import Linker
from trading.planning import (
    ConditionRows,
    formulas_are_fixed,
    link_strategy,
    policy_record,
)
from trading.sleeve import first_action, new_journal, new_logs, new_scratch, new_states
from trading.specialising import kind_of

# Columns of all parameter sets of one batch may take this much memory.
COLUMN_BYTES = 192 << 20
# All sets of a group go over so many bars before any goes on, so that the bars
# and the sets' states stay in the processor's cache.
STRETCH_BARS = 1024
# Between two looks at whether to stop: some tenths of a second.
EVALUATIONS_AT_ONCE = 1 << 25
SECONDS_BETWEEN = 0.2  # Of two reports of progress.


@dataclass(frozen=True, slots=True)
class SweepRuns:
    """What each parameter set did on one instrument.

    Attributes
    ----------
    headers : HEADER array, shape (n_sets,)
        State of each sleeve after the last bar.
    session_equity : float64 array, shape (n_sets, n_sessions)
        At the close of each session.
    session_cash : float64 array, shape (n_sets, n_sessions) or (n_sets, 0)
    sessions : int64 array, shape (n_sessions,)
        Session dates as days since 1970-01-01.
    """

    headers: NDArray[np.void]
    session_equity: NDArray[np.float64]
    session_cash: NDArray[np.float64]
    sessions: NDArray[np.int64]


# Minutes of a regular session, for annualising intraday bars.
SESSION_MINUTES = 390
ROUND_THE_CLOCK = frozenset(("24/7", "FX"))
TIMEFRAME_MINUTES = {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "4h": 240}


def bars_per_year(bars: Bars) -> float:
    """Return the bars of a year by the schedule: it must not depend on which bars came.

    A session has 24 hours round the clock, else the 6.5 hours of US equities.
    """
    minutes = TIMEFRAME_MINUTES.get(bars.timeframe)
    if minutes is None:
        return float(sessions_per_year(bars))
    session = 1440 if bars.instrument.calendar in ROUND_THE_CLOCK else SESSION_MINUTES
    return sessions_per_year(bars) * float(-(-session // minutes))


def sessions_per_year(bars: Bars) -> int:
    """Return 365 for an instrument that trades every day, else 252; weekly bars have 52.

    Where no calendar is stated, a Saturday among the first sessions tells.
    """
    if bars.timeframe == "1w":
        return 52
    if bars.instrument.calendar:
        return 365 if bars.instrument.calendar == "24/7" else 252
    # 1970-01-01 was a Thursday; Saturdays have remainder 2.
    return 365 if bool((bars.session % 7 == 2).any()) else 252


def run_sweep(
    strategy: ResolvedStrategy,
    bars: Bars,
    parameter_sets: Sequence[Mapping[str, float]],
    *,
    cash: float = 100_000.0,
    first_bar: int = 0,
    has_volume: bool = True,
    keep_cash: bool = False,
    threads: int | None = None,
    progress: Progress = silent,
) -> SweepRuns:
    """Run every parameter set over the bars.

    Parameters
    ----------
    parameter_sets : sequence of mappings
        Values that differ from the document's defaults.
    cash : float
        Starting cash of each sleeve, quote currency.
    first_bar : int
        Bars before it only warm indicators up.
    has_volume : bool
        False switches participation limits off.
    keep_cash : bool
        Whether to keep the cash at the close of each session, too.

    Raises
    ------
    SpecError
        If a set is outside the document's ranges.
    """
    threads = threads or min(2, os.cpu_count() or 1)
    n_sets = len(parameter_sets)
    traded = bars.session[first_bar:]
    starts = np.flatnonzero(np.diff(traded, prepend=traded[0] - 1))
    headers = np.zeros(n_sets, d.HEADER)
    planner = SetPlanner(strategy, bars, has_volume)
    session_equity = np.zeros((n_sets, len(starts)))
    session_cash = np.zeros((n_sets, len(starts) if keep_cash else 0))
    at = 0
    while at < n_sets:
        linker = Linker(adjusted=needs_factors(bars), has_quotes=bars.bid is not None)
        planner.begin()
        plans: list[SetPlan] = []
        limit = COLUMN_BYTES // bars.n_bars
        while at + len(plans) < n_sets:
            used = 8 * linker.base.n_rows + linker.base.n_flags
            if plans and used > limit:
                break
            values = parameter_sets[at + len(plans)]
            plans.append(planner.plan(linker, values))
        feed = build_feed(linker, bars, threads=threads)
        rows = slice(at, at + len(plans))
        batch = _Batch(
            plans, feed, cash, first_bar, headers[rows], session_equity[rows], session_cash[rows]
        )
        batch.run_all(threads, progress, at, n_sets)
        at += len(plans)
    return SweepRuns(headers, session_equity, session_cash, traded[starts])


class SetPlan(NamedTuple):
    """Plan of one set: a PLAN array of shape (1,), which sets may share, and its conditions."""

    plan: NDArray[np.void]
    conditions: list[int]


class SetPlanner:
    """Plans parameter sets; what no parameter enters is planned once a batch."""

    def __init__(self, strategy: ResolvedStrategy, bars: Bars, has_volume: bool) -> None:
        self.strategy = strategy
        self.bars = bars
        self.has_volume = has_volume
        self.periods_per_year = bars_per_year(bars)
        self.fixed_policy: Policy | None = None
        self.template: NDArray[np.void] | None = None
        self.conditions: ConditionRows | None = None

    def begin(self) -> None:
        """Begin a batch with a new linker, whose rows are its own."""
        self.template = None
        self.conditions = None

    def plan(self, linker: Linker, values: Mapping[str, float]) -> SetPlan:
        """Return the plan of one parameter set."""
        bound = bind(self.strategy, values, self.fixed_policy)
        if self.template is not None and self.conditions is not None:
            return SetPlan(self.template, self.conditions.rows(bound.values))
        record = policy_record(
            bound.policy,
            self.strategy.prices,
            self.bars.instrument,
            intraday=self.strategy.timeframe not in ("1d", "1w"),
            has_quotes=self.bars.bid is not None,
            optimistic=False,
        )
        if not self.has_volume:
            record["max_participation"] = 0.0
        plan = link_strategy(
            linker,
            self.strategy,
            bound,
            record,
            periods_per_year=self.periods_per_year,
            explain=False,
        ).plan
        if policy_is_fixed(self.strategy) and formulas_are_fixed(linker, self.strategy):
            self.fixed_policy = bound.policy
            self.template = plan
            self.conditions = ConditionRows(linker, self.strategy)
        return SetPlan(plan, plan["conditions"][0].tolist())


def groups(n_sets: int, threads: int) -> list[slice]:
    """Deal sets out to groups that run together, as many groups for each thread.

    Neighbours go to different groups: they trade about as often, and so the
    groups take about as long.
    """
    n_groups = threads * -(-n_sets // (threads * d.MAX_SLEEVES))
    return [slice(k, n_sets, n_groups) for k in range(min(n_groups, n_sets))]


class _Batch:
    """Runs the sets of one batch in groups; each call writes its own rows."""

    def __init__(
        self,
        plans: list[SetPlan],
        feed: Feed,
        cash: float,
        first_bar: int,
        headers: NDArray[np.void],
        session_equity: NDArray[np.float64],
        session_cash: NDArray[np.float64],
    ) -> None:
        self.plans = plans
        self.feed = feed
        self.cash = cash
        self.first_bar = first_bar
        self.headers = headers
        self.session_equity = session_equity
        self.session_cash = session_cash
        self.every_bar = finer_differ(plans[0].plan, feed)
        self.n_done = np.zeros(len(plans), np.int64)
        self.cancelled = threading.Event()
        self.none = np.zeros(0)
        self.no_counts = np.zeros(0, np.int64)
        self.no_codes = np.zeros(0, np.int8)
        self.logs = new_logs(1)

    def run_all(self, threads: int, progress: Progress, n_before: int, n_sets: int) -> None:
        """Run all sets; of those under way the bars done count in proportion.

        Parameters
        ----------
        n_before, n_sets : int
            Sets of the batches before, and of all.
        """
        with ThreadPoolExecutor(threads) as pool:
            waiting = [pool.submit(self.run, rows) for rows in groups(len(self.plans), threads)]
            try:
                while wait(waiting, SECONDS_BETWEEN).not_done:
                    progress(n_before + int(self.n_done.sum()), n_sets, "parameter sets")
            except BaseException:
                self.cancelled.set()  # An interrupt need not wait for whole groups.
                raise
            for job in waiting:
                job.result()
        progress(n_before + len(self.plans), n_sets, "parameter sets")

    def run(self, rows: slice) -> None:
        """Run a group of sets."""
        chosen = self.plans[rows]
        # As bytes: numpy takes milliseconds to find the common type of many records.
        plans = np.concatenate([one.plan.view(np.uint8) for one in chosen]).view(d.PLAN)
        plans["conditions"] = [one.conditions for one in chosen]
        n_sets = len(plans)
        assert n_sets <= d.MAX_SLEEVES
        states = new_states(plans, self.cash, self.first_bar)
        journal = new_journal(keeps=False)
        scratch = new_scratch(first_action(self.feed, self.first_bar))
        none = self.none
        record = Record(
            none, none, self.no_counts, self.no_codes, self.no_codes,
            np.zeros((n_sets, self.session_equity.shape[1])),
            np.zeros((n_sets, self.session_cash.shape[1])),
            np.zeros(self.session_equity.shape[1], np.int64),
        )  # fmt: skip
        n_bars = self.feed.matrix.shape[1]
        run = RUN_KIND[kind_of(plans)]
        step = max(STRETCH_BARS, EVALUATIONS_AT_ONCE // n_sets)
        for start in range(self.first_bar, n_bars, step):
            if self.cancelled.is_set():
                return
            stop = min(start + step, n_bars)
            run(
                plans, states, journal, scratch, self.feed, self.logs, record,
                start, stop, STRETCH_BARS, self.every_bar,
            )  # fmt: skip
            done = (stop - self.first_bar) / (n_bars - self.first_bar)
            self.n_done[rows.start] = int(n_sets * done)
        finish_nb(plans, states, journal, scratch, self.feed, record, n_bars - 1)
        self.headers[rows] = states["header"]
        self.session_equity[rows] = record.session_equity
        self.session_cash[rows] = record.session_cash
