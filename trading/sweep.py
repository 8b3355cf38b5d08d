"""Sweeps: many parameter sets of one strategy over the same bars.

Bars are never copied and every distinct indicator, comparison and condition is
computed once for all sets. Each set then runs through the same engine as a
single backtest, on all cores.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.progress import Progress, silent
from trading import dtypes as d
from trading.arrays import Feed, Record
from trading.bars import Bars
from trading.engine import finish_nb, run_nb
from trading.expressions.strategy import Policy, ResolvedStrategy, bind, policy_is_fixed
from trading.feeding import build_feed, needs_factors
from trading.linker import Linker
from trading.planning import (
    formulas_are_fixed,
    link_conditions,
    link_strategy,
    policy_record,
)
from trading.sleeve import first_action, new_journal, new_logs, new_state

# Columns of all parameter sets of one batch may take this much memory.
COLUMN_BYTES = 192 << 20


@dataclass(frozen=True, slots=True)
class SweepRuns:
    """What each parameter set did on one instrument.

    Attributes
    ----------
    headers : HEADER array, shape (n_sets,)
        State of each sleeve after the last bar.
    session_equity : float64 array, shape (n_sets, n_sessions)
    sessions : int64 array, shape (n_sessions,)
        Session dates as days since 1970-01-01.
    """

    headers: NDArray[np.void]
    session_equity: NDArray[np.float64]
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
    planner = _Planner(strategy, bars, has_volume)
    session_equity = np.zeros((n_sets, len(starts)))
    done = 0
    at = 0
    while at < n_sets:
        linker = Linker(adjusted=needs_factors(bars), has_quotes=bars.bid is not None)
        planner.begin()
        plans: list[NDArray[np.void]] = []
        limit = COLUMN_BYTES // bars.n_bars
        while at + len(plans) < n_sets:
            used = 8 * linker.base.n_rows + linker.base.n_flags
            if plans and used > limit:
                break
            values = parameter_sets[at + len(plans)]
            plans.append(planner.plan(linker, values))
        feed = build_feed(linker, bars, threads=threads)
        batch = _Batch(plans, feed, cash, first_bar, headers, session_equity, at)
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(batch.run, range(len(plans))):
                done += 1
                progress(done, n_sets, "parameter sets")
        at += len(plans)
    return SweepRuns(headers, session_equity, traded[starts])


class _Planner:
    """Plans parameter sets; what no parameter enters is planned once a batch."""

    def __init__(self, strategy: ResolvedStrategy, bars: Bars, has_volume: bool) -> None:
        self.strategy = strategy
        self.bars = bars
        self.has_volume = has_volume
        self.periods_per_year = bars_per_year(bars)
        self.fixed_policy: Policy | None = None
        self.template: NDArray[np.void] | None = None

    def begin(self) -> None:
        """Begin a batch with a new linker, whose rows are its own."""
        self.template = None

    def plan(self, linker: Linker, values: Mapping[str, float]) -> NDArray[np.void]:
        """Return the plan of one parameter set."""
        bound = bind(self.strategy, values, self.fixed_policy)
        if self.template is not None:
            plan = self.template.copy()
            plan["conditions"][0] = link_conditions(linker, self.strategy, bound.values)
            return plan
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
        return plan


class _Batch:
    """Runs the sets of one batch; each call writes its own row."""

    def __init__(
        self,
        plans: list[NDArray[np.void]],
        feed: Feed,
        cash: float,
        first_bar: int,
        headers: NDArray[np.void],
        session_equity: NDArray[np.float64],
        offset: int,
    ) -> None:
        self.plans = plans
        self.feed = feed
        self.cash = cash
        self.first_bar = first_bar
        self.headers = headers
        self.session_equity = session_equity
        self.offset = offset
        self.none = np.zeros(0)
        self.no_counts = np.zeros(0, np.int64)
        self.no_codes = np.zeros(0, np.int8)
        self.logs = new_logs(1)
        self.local = threading.local()

    def run(self, k: int) -> None:
        """Run set k of the batch."""
        plan = self.plans[k]
        local = self.local
        if not hasattr(local, "journal"):
            local.journal = new_journal(keeps=False)
            local.scratch = np.zeros(1, d.SCRATCH)
            local.dates = np.zeros(self.session_equity.shape[1], np.int64)
        journal, scratch = local.journal, local.scratch
        journal["next_action"] = first_action(self.feed, self.first_bar)
        state = new_state(plan, self.cash, self.first_bar)
        row = self.offset + k
        none = self.none
        record = Record(
            none, none, self.no_counts, self.no_codes, self.no_codes,
            self.session_equity[row], local.dates,
        )  # fmt: skip
        n_bars = self.feed.matrix.shape[1]
        run_nb(
            plan, state, journal, scratch, self.feed, self.logs, record,
            self.first_bar, n_bars, False,
        )  # fmt: skip
        finish_nb(plan, state, journal, self.feed, record, n_bars - 1)
        self.headers[row] = state["header"][0]
