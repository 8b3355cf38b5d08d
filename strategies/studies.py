"""The record of research: how many parameter sets were tried, what was locked, who looked.

Owns three tables. A study is a sweep, an optimisation or a walk-forward
analysis with the number of sets that it tried: the figure of the best of many
means nothing without it. A locked period is the last part of a strategy's
data that no study may see. An opening says that somebody looked at it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    REAL,
    CheckConstraint,
    Column,
    Connection,
    Double,
    Engine,
    ForeignKey,
    Index,
    Table,
    Text,
    UniqueConstraint,
    insert,
    select,
    update,
)
from sqlalchemy.types import TypeEngine

from foundation.clock import Clock, SystemClock
from foundation.columns import EnumText, Int64, JsonText, UtcTimestamp, is_one_of, metadata
from foundation.database import read_transaction, run_write
from foundation.errors import DataError
from strategies.tables import strategy, strategy_version


class StudyKind(StrEnum):
    """How parameter sets were tried."""

    SWEEP = "sweep"
    OPTIMISATION = "optimisation"
    WALK_FORWARD = "walk_forward"


# 64 bits on both: PostgreSQL's REAL has half, and a STRICT table knows no DOUBLE.
Float64: TypeEngine[float] = Double().with_variant(REAL(), "sqlite")

study = Table(
    "study",
    metadata,
    # Of version, data and options: the same study again tries nothing new.
    Column("study_id", Text, primary_key=True),
    Column("kind", EnumText(StudyKind), nullable=False),
    Column("version_hash", Text, ForeignKey("strategy_version.version_hash"), nullable=False),
    Column("instruments", JsonText, nullable=False),
    Column("timeframe", Text, nullable=False),
    Column("data_fingerprint", Text, nullable=False),
    Column("engine_version", Text, nullable=False),
    Column("options", JsonText, nullable=False),
    Column("seed", Int64, nullable=False),
    Column("n_sets", Int64, nullable=False),
    Column("n_with_sharpe", Int64, nullable=False),
    Column("n_effective", Float64, nullable=False),
    # For one session, not a year; nothing where no set's returns vary.
    Column("sharpe_mean", Float64),
    Column("sharpe_variance", Float64),
    Column("result_directory", Text, nullable=False),
    Column("recorded_at", UtcTimestamp, nullable=False),
    CheckConstraint(is_one_of("kind", StudyKind), name="kind_known"),
    CheckConstraint("n_sets > 0", name="n_sets_positive"),
    CheckConstraint("n_with_sharpe BETWEEN 0 AND n_sets", name="n_with_sharpe_fits"),
    Index(None, "version_hash"),
    sqlite_strict=True,
)

locked_period = Table(
    "locked_period",
    metadata,
    Column("locked_period_id", Int64, primary_key=True),
    Column("strategy_id", Int64, ForeignKey("strategy.strategy_id"), nullable=False),
    Column("instruments", JsonText, nullable=False),
    Column("timeframe", Text, nullable=False),
    Column("first_session", Text, nullable=False),  # ISO date; all later ones are locked, too.
    Column("locked_at", UtcTimestamp, nullable=False),
    Column("locked_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    UniqueConstraint("strategy_id", "instruments", "timeframe"),
    CheckConstraint("length(first_session) = 10", name="first_session_is_date"),
    sqlite_strict=True,
)

locked_period_opening = Table(
    "locked_period_opening",
    metadata,
    Column("opening_id", Int64, primary_key=True),
    Column("locked_period_id", Int64, ForeignKey("locked_period.locked_period_id"), nullable=False),
    Column("version_hash", Text, ForeignKey("strategy_version.version_hash"), nullable=False),
    Column("result_id", Text, nullable=False),
    Column("result_directory", Text, nullable=False),
    Column("opened_at", UtcTimestamp, nullable=False),
    Column("opened_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    CheckConstraint("length(reason) > 0", name="reason_given"),
    Index(None, "locked_period_id"),
    sqlite_strict=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A study and what it tried.

    Attributes
    ----------
    study_id : str
        The same for the same version, data and options.
    instruments : tuple of str
        Without their source, sorted.
    options : mapping
        What was asked for, as JSON values.
    n_sets, n_with_sharpe, n_effective, sharpe_mean, sharpe_variance
        As in `research.deflation.Trials`; None where not defined.
    recorded_at : datetime or None
        UTC; None before it is stored.
    """

    study_id: str
    kind: StudyKind
    version_hash: str
    instruments: tuple[str, ...]
    timeframe: str
    data_fingerprint: str
    engine_version: str
    options: Mapping[str, Any]
    seed: int
    n_sets: int
    n_with_sharpe: int
    n_effective: float
    sharpe_mean: float | None
    sharpe_variance: float | None
    result_directory: str
    recorded_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Somebody looked at a locked period: with which version, what came of it, and why."""

    version_hash: str
    result_id: str
    result_directory: str
    opened_at: datetime
    opened_by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedPeriod:
    """The last part of a strategy's data, from `first_session` on, and who looked at it.

    Attributes
    ----------
    instruments : tuple of str
        Without their source, sorted.
    openings : tuple of Opening
        First one first.
    """

    locked_period_id: int
    name: str
    instruments: tuple[str, ...]
    timeframe: str
    first_session: date
    locked_at: datetime
    locked_by: str
    reason: str
    openings: tuple[Opening, ...] = ()


def record_study(engine: Engine, found: Study, *, clock: Clock | None = None) -> None:
    """Store a study; one that is repeated counts once.

    Raises
    ------
    DataError
        If its version isn't stored, or the id belongs to another version or other data.
    """
    now = (clock or SystemClock()).now()
    values = {
        name: getattr(found, name)
        for name in study.c.keys()  # noqa: SIM118 - a column collection is no mapping
        if name != "recorded_at"
    }
    values["instruments"] = list(found.instruments)
    values["options"] = dict(found.options)

    def work(connection: Connection) -> None:
        _require_version(connection, found.version_hash)
        before = connection.execute(
            select(study.c.version_hash, study.c.data_fingerprint).where(
                study.c.study_id == found.study_id
            )
        ).first()
        if before is None:
            connection.execute(insert(study).values(**values, recorded_at=now))
            return
        if tuple(before) != (found.version_hash, found.data_fingerprint):
            raise DataError(f"study {found.study_id} is stored with another version or other data")
        connection.execute(update(study).where(study.c.study_id == found.study_id).values(**values))

    run_write(engine, work)


def list_studies(
    engine: Engine,
    *,
    name: str | None = None,
    instruments: Sequence[str] | None = None,
    timeframe: str | None = None,
) -> list[Study]:
    """Return studies, first one first.

    Parameters
    ----------
    name, timeframe : str, optional
        Only studies of this strategy, on bars of this timeframe.
    instruments : sequence of str, optional
        Only studies that share one of them: another range of the same
        instrument, or it among others, is the same data tried again.
    """
    query = (
        select(study)
        .join_from(study, strategy_version)
        .join(strategy)
        .order_by(study.c.recorded_at, study.c.study_id)
    )
    if name is not None:
        query = query.where(strategy.c.name == name)
    if timeframe is not None:
        query = query.where(study.c.timeframe == timeframe)
    with read_transaction(engine) as connection:
        rows = [dict(row._mapping) for row in connection.execute(query)]
    found = [Study(**{**row, "instruments": tuple(row["instruments"])}) for row in rows]
    if instruments is None:
        return found
    return [one for one in found if set(one.instruments) & set(instruments)]


def lock_period(
    engine: Engine,
    *,
    name: str,
    instruments: Sequence[str],
    timeframe: str,
    first_session: date,
    by: str,
    reason: str,
    clock: Clock | None = None,
) -> LockedPeriod:
    """Lock a strategy's data from a session on; locking the same again changes nothing.

    Raises
    ------
    DataError
        If the strategy isn't stored, or the period is locked from another
        session on: a lock that could be moved would be none.
    """
    now = (clock or SystemClock()).now()
    symbols = sorted(set(instruments))
    columns = locked_period.c

    def work(connection: Connection) -> None:
        strategy_id = connection.scalar(
            select(strategy.c.strategy_id).where(strategy.c.name == name)
        )
        if strategy_id is None:
            raise DataError(f"no strategy {name!r} is stored; save a version of it first")
        before = connection.scalar(
            select(columns.first_session)
            .where(columns.strategy_id == strategy_id)
            .where(columns.instruments == symbols)
            .where(columns.timeframe == timeframe)
        )
        if before == first_session.isoformat():
            return
        if before is not None:
            raise DataError(
                f"{name} on {', '.join(symbols)} is locked from {before} on already; "
                "a lock can't be moved"
            )
        connection.execute(
            insert(locked_period).values(
                strategy_id=strategy_id,
                instruments=symbols,
                timeframe=timeframe,
                first_session=first_session.isoformat(),
                locked_at=now,
                locked_by=by,
                reason=reason,
            )
        )

    run_write(engine, work)
    found = find_locks(engine, name=name, instruments=symbols, timeframe=timeframe)
    return next(one for one in found if list(one.instruments) == symbols)


def find_locks(
    engine: Engine,
    *,
    name: str | None = None,
    instruments: Sequence[str] | None = None,
    timeframe: str | None = None,
) -> list[LockedPeriod]:
    """Return locked periods with their openings, first locked first.

    Parameters
    ----------
    name, timeframe : str, optional
        Only those of this strategy, on bars of this timeframe.
    instruments : sequence of str, optional
        Only those that share one of them.
    """
    query = (
        select(strategy.c.name, locked_period)
        .join_from(locked_period, strategy)
        .order_by(locked_period.c.locked_at, locked_period.c.locked_period_id)
    )
    if name is not None:
        query = query.where(strategy.c.name == name)
    if timeframe is not None:
        query = query.where(locked_period.c.timeframe == timeframe)
    looks = locked_period_opening.c
    with read_transaction(engine) as connection:
        rows = [dict(row._mapping) for row in connection.execute(query)]
        openings: dict[int, list[Opening]] = {}
        listed = connection.execute(select(locked_period_opening).order_by(looks.opening_id))
        for row in listed:
            known = dict(row._mapping)
            known.pop("opening_id")
            openings.setdefault(known.pop("locked_period_id"), []).append(Opening(**known))
    found = []
    for one in rows:
        one.pop("strategy_id")
        one["instruments"] = tuple(one["instruments"])
        one["first_session"] = date.fromisoformat(one["first_session"])
        one["openings"] = tuple(openings.get(one["locked_period_id"], ()))
        found.append(LockedPeriod(**one))
    if instruments is None:
        return found
    return [one for one in found if set(one.instruments) & set(instruments)]


def record_opening(
    engine: Engine,
    locked: LockedPeriod,
    *,
    version_hash: str,
    result_id: str,
    result_directory: str,
    by: str,
    reason: str,
    clock: Clock | None = None,
) -> None:
    """Store that somebody looks at a locked period, before the result is there to be seen.

    Raises
    ------
    DataError
        If no reason is given, or the version isn't stored.
    """
    if not reason.strip():
        raise DataError("a reason is required for opening a locked period")
    now = (clock or SystemClock()).now()

    def work(connection: Connection) -> None:
        _require_version(connection, version_hash)
        connection.execute(
            insert(locked_period_opening).values(
                locked_period_id=locked.locked_period_id,
                version_hash=version_hash,
                result_id=result_id,
                result_directory=result_directory,
                opened_at=now,
                opened_by=by,
                reason=reason.strip(),
            )
        )

    run_write(engine, work)


def _require_version(connection: Connection, version_hash: str) -> None:
    known = connection.scalar(
        select(strategy_version.c.version_hash).where(
            strategy_version.c.version_hash == version_hash
        )
    )
    if known is None:
        raise DataError(f"no strategy version {version_hash!r} is stored; save it first")
