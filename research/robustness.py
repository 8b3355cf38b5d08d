"""Robustness: what is left of a result when costs double and entries come one bar late.

Neither is a forecast. A result that only holds at the stated cost, or only
when each entry is taken at once, rests on little. Owns the two variations;
the figures are portfolio returns on the unfavourable path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foundation.progress import Progress, silent
from research.backtest import Backtest, SleeveResult, run_instrument
from trading import formulas as f
from trading.dtypes import UNKNOWN
from trading.expressions.strategy import Policy
from trading.sleeve import run_sleeve

COST_FIELDS = (
    "commission_per_share",
    "commission_minimum",
    "commission_bps",
    "commission_fixed",
    "slippage_bps",
    "slippage_ticks",
    "half_spread",
    "impact_coefficient_bps",
    "borrow_rate",
)
_ENTRIES = ("enter_long", "enter_short")


@dataclass(frozen=True, slots=True)
class RobustnessReport:
    """Total returns, as fractions.

    Attributes
    ----------
    total_return : float
        As stated.
    doubled_costs_return : float or None
        With every cost doubled (a commission's cap with it); None where the
        version states no costs.
    late_entries_return : float or None
        With each entry decided one bar later, at that bar's prices; None where
        an entry condition asks for the position or is part of another one.
    """

    total_return: float
    doubled_costs_return: float | None
    late_entries_return: float | None
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the result is a gain, and stays one in each variation that was run."""
        varied = (self.doubled_costs_return, self.late_entries_return)
        return self.total_return > 0.0 and all(x is None or x > 0.0 for x in varied)


def check_robustness(backtest: Backtest, *, progress: Progress = silent) -> RobustnessReport:
    """Run a finished backtest's version again with doubled costs and with late entries."""
    sleeves = backtest.sleeves
    cash = sum(sleeve.cash for sleeve in sleeves)
    notes = []
    dearer = doubled_costs(backtest.bound.policy)
    doubled: float | None = None
    if dearer == backtest.bound.policy:
        notes.append("The version states no costs, so that none can be doubled.")
    else:
        bound = replace(backtest.bound, policy=dearer)
        doubled = _return(
            [
                run_instrument(backtest.strategy, bound, one.loaded, one.cash).run.record.equity
                for one in sleeves
            ],
            cash,
        )
    progress(1, 2, "doubled costs")
    late: float | None = None
    delayed = [entries_one_bar_late(one) for one in sleeves]
    known = [equity for equity in delayed if equity is not None]
    if len(known) == len(delayed):
        late = _return(known, cash)
    else:
        notes.append(
            "Entries were not delayed: an entry condition asks for the position, or is part of "
            "another condition."
        )
    progress(2, 2, "late entries")
    equity = [one.run.record.equity for one in sleeves]
    return RobustnessReport(_return(equity, cash), doubled, late, tuple(notes))


def doubled_costs(policy: Policy) -> Policy:
    """Return a policy with every cost doubled, and the commission's cap with it."""
    doubled = {name: 2.0 * getattr(policy, name) for name in COST_FIELDS}
    cap = 2.0 * policy.commission_maximum_fraction
    return replace(policy, commission_maximum_fraction=cap, **doubled)


def entries_one_bar_late(result: SleeveResult) -> NDArray[np.float64] | None:
    """Return the equity by bar of a sleeve that sees its entry conditions one bar late.

    Prices, distances and sizes are those of the later bar. None where the
    conditions can't be delayed alone.
    """
    linked = result.linked
    plan = linked.plan[0]
    starts = plan["starts"]
    rows = []
    for k, name in enumerate(("enter_long", "exit_long", "enter_short", "exit_short")):
        if name not in _ENTRIES:
            continue
        if name in linked.condition_rows:
            rows.append(linked.condition_rows[name])
        elif starts[k + 1] > starts[k]:
            return None
    exits = {row for name, row in linked.condition_rows.items() if name not in _ENTRIES}
    code = plan["code"][: starts[-1]]
    asked = {int(row) for operation, row in code if operation == f.FLAG}
    if not rows or set(rows) & (exits | asked):
        return None
    flags = result.feed.flags.copy()
    for row in set(rows):
        flags[row, 1:] = result.feed.flags[row, :-1]
        flags[row, 0] = UNKNOWN
    feed = result.feed._replace(flags=flags)
    run = run_sleeve(linked.plan, feed, result.cash, first_bar=result.loaded.i_start)
    return run.record.equity


def _return(equity: Sequence[NDArray[np.float64]], cash: float) -> float:
    return sum(float(one[-1]) for one in equity) / cash - 1.0
