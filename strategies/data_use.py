"""Which run used which stored bars, and which runs used a bar that changed since.

Owns the table and the join of changes with uses. What changed is told by the
caller: revisions and quarantine are kept by the store of bars, which this
package does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Engine,
    Index,
    Table,
    Text,
    delete,
    insert,
    select,
)

from foundation.columns import EnumText, Int64, UtcTimestamp, is_one_of, metadata
from foundation.database import read_transaction, run_write


class RunKind(StrEnum):
    """What used bars."""

    BACKTEST = "backtest"
    SWEEP = "sweep"
    STUDY = "study"


run_bars = Table(
    "run_bars",
    metadata,
    Column("kind", EnumText(RunKind), primary_key=True),
    # Of the backtest, sweep or study; the last two have no table of their own to refer to.
    Column("run_id", Text, primary_key=True),
    Column("symbol", Text, primary_key=True),
    # The timeframe that is stored, and the one that was made of it.
    Column("timeframe", Text, primary_key=True),
    Column("asked_timeframe", Text, primary_key=True),
    Column("first_ns", Int64, nullable=False),
    Column("last_ns", Int64, nullable=False),
    Column("digest", Text, nullable=False),
    Column("used_at", UtcTimestamp, nullable=False),
    CheckConstraint(is_one_of("kind", RunKind), name="kind_known"),
    CheckConstraint("first_ns <= last_ns", name="span_forward"),
    Index(None, "symbol", "timeframe"),
    sqlite_strict=True,
)


@dataclass(frozen=True, slots=True)
class BarsUsed:
    """Stored bars that a run has read.

    Attributes
    ----------
    symbol, timeframe : str
        The stored series.
    asked_timeframe : str
        The timeframe the run asked for; another one if it was made of the
        stored bars.
    first_ns, last_ns : int
        Open times between which stored bars were used, warm-up included, both
        included, UTC nanoseconds.
    digest : str
        Of the loaded bars' content.
    read_at : datetime
        Just before they were read, aware. A study may go on for hours after
        it: what changes meanwhile is not in its result.
    """

    symbol: str
    timeframe: str
    asked_timeframe: str
    first_ns: int
    last_ns: int
    digest: str
    read_at: datetime


def _nothing() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class BarChanges:
    """Bars of a stored series that are not as they were.

    Attributes
    ----------
    symbol, timeframe : str
    ts : int64 array, shape (n_changes,)
        Open times of the bars, UTC nanoseconds; a bar may come several times.
    changed_at : int64 array, shape (n_changes,)
        When, UTC nanoseconds.
    relative : float64 array, shape (n_changes,)
        Largest change of a price as a fraction of the old one; NaN for a bar
        that went into quarantine or came out of it.
    amount : float64 array, shape (n_changes,)
        The same in money.
    held_ts, held_from, held_until : int64 arrays, shape (n_held,)
        Bars that were in quarantine, since when and until when, UTC
        nanoseconds: nobody used them then.
    """

    symbol: str
    timeframe: str
    ts: NDArray[np.int64]
    changed_at: NDArray[np.int64]
    relative: NDArray[np.float64]
    amount: NDArray[np.float64]
    held_ts: NDArray[np.int64] = field(default_factory=_nothing)
    held_from: NDArray[np.int64] = field(default_factory=_nothing)
    held_until: NDArray[np.int64] = field(default_factory=_nothing)

    def chosen(self, which: NDArray[np.bool_]) -> BarChanges:
        """Return some of the changes."""
        return replace(
            self,
            ts=self.ts[which],
            changed_at=self.changed_at[which],
            relative=self.relative[which],
            amount=self.amount[which],
        )


@dataclass(frozen=True, slots=True)
class Use:
    """A stored row: who used what."""

    kind: RunKind
    run_id: str
    bars: BarsUsed


@dataclass(frozen=True, slots=True)
class Impact:
    """A use of bars of which some have changed since.

    Attributes
    ----------
    use : Use
    n_changed : int
        Bars that were used and have changed.
    ts : int64 array, shape (n_changed,)
        Their open times.
    largest_relative, largest_amount : float
        Largest change of a price; NaN if bars only went into quarantine or
        came out of it.
    last_changed_ns : int
        When the last of them changed, UTC nanoseconds.
    """

    use: Use
    n_changed: int
    ts: NDArray[np.int64]
    largest_relative: float
    largest_amount: float
    last_changed_ns: int


def record_bars_used(
    engine: Engine,
    kind: RunKind,
    run_id: str,
    used: Sequence[BarsUsed],
) -> None:
    """Store which bars a run uses, in the place of what it used the last time."""

    def work(connection: Connection) -> None:
        own = (run_bars.c.kind == kind) & (run_bars.c.run_id == run_id)
        connection.execute(delete(run_bars).where(own))
        for one in used:
            connection.execute(
                insert(run_bars).values(
                    kind=kind,
                    run_id=run_id,
                    symbol=one.symbol,
                    timeframe=one.timeframe,
                    asked_timeframe=one.asked_timeframe,
                    first_ns=one.first_ns,
                    last_ns=one.last_ns,
                    digest=one.digest,
                    used_at=one.read_at,
                )
            )

    run_write(engine, work)


def list_uses(engine: Engine, *, symbol: str | None = None) -> list[Use]:
    """Return who used which stored bars, latest first."""
    query = select(run_bars).order_by(
        run_bars.c.used_at.desc(), run_bars.c.run_id, run_bars.c.symbol, run_bars.c.timeframe
    )
    if symbol is not None:
        query = query.where(run_bars.c.symbol == symbol)
    with read_transaction(engine) as connection:
        return [
            Use(
                row.kind,
                row.run_id,
                BarsUsed(
                    row.symbol,
                    row.timeframe,
                    row.asked_timeframe,
                    row.first_ns,
                    row.last_ns,
                    row.digest,
                    row.used_at,
                ),
            )
            for row in connection.execute(query)
        ]


def impact(uses: Sequence[Use], changes: Sequence[BarChanges]) -> list[Impact]:
    """Return the uses of bars that changed after they were used.

    Parameters
    ----------
    uses : sequence of Use
    changes : sequence of BarChanges
        At most one for each series.

    Notes
    -----
    A run on bars made of a series, such as hours of minutes, used the bars of
    that series. Bars that came into a series later were not used, nor were
    bars in quarantine: what becomes of them is no change, but that they come
    out of it is one.
    """
    by_series = {(one.symbol, one.timeframe): one for one in changes}
    found = []
    for use in uses:
        changed = by_series.get((use.bars.symbol, use.bars.timeframe))
        if changed is None:
            continue
        used_ns = round(use.bars.read_at.timestamp() * 1_000_000) * 1000
        chosen = (changed.ts >= use.bars.first_ns) & (changed.ts <= use.bars.last_ns)
        chosen &= changed.changed_at > used_ns
        held = (changed.held_from <= used_ns) & (used_ns < changed.held_until)
        for ts, until in zip(changed.held_ts[held], changed.held_until[held], strict=True):
            chosen &= (changed.ts != ts) | (changed.changed_at >= until)
        if not bool(chosen.any()):
            continue
        ts = np.unique(changed.ts[chosen])
        found.append(
            Impact(
                use,
                int(ts.shape[0]),
                ts,
                _largest(changed.relative[chosen]),
                _largest(changed.amount[chosen]),
                int(changed.changed_at[chosen].max()),
            )
        )
    return found


def _largest(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.max()) if known.shape[0] else float("nan")
