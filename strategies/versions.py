"""Saving and finding strategy versions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, insert, select

from foundation.clock import Clock, SystemClock
from foundation.database import read_transaction, run_write
from foundation.errors import DataError
from strategies.lifecycle import Stage, Trigger
from strategies.runs import BacktestRun, runs_of
from strategies.tables import stage_change, strategy, strategy_version

_PREFIX_LENGTH_MIN = 6


@dataclass(frozen=True, slots=True)
class StrategyVersion:
    """One version of one strategy, as stored.

    Attributes
    ----------
    version_hash : str
        SHA-256 of `document`, 64 hex digits.
    name : str
        The strategy's name, shared by its versions.
    document : str
        The document in canonical form.
    stage : Stage
    created_at : datetime
        UTC.
    author : str
    """

    version_hash: str
    name: str
    document: str
    stage: Stage
    created_at: datetime
    author: str


@dataclass(frozen=True, slots=True)
class VersionWithRuns:
    """A version and its backtests, latest first."""

    version: StrategyVersion
    runs: tuple[BacktestRun, ...]


@dataclass(frozen=True, slots=True)
class StageChange:
    """One step in a version's life, with its evidence."""

    version_hash: str
    from_stage: Stage
    to_stage: Stage
    trigger: Trigger
    run_id: str | None
    changed_at: datetime


def save_version(
    engine: Engine, *, name: str, document: bytes, author: str, clock: Clock | None = None
) -> StrategyVersion:
    """Store a document as a version of the strategy `name`.

    Parameters
    ----------
    engine : Engine
    name : str
        The strategy's name as its document says it.
    document : bytes
        The document in canonical form, UTF-8; the caller has checked it. Its
        SHA-256 is the version's hash.
    author : str
        Who saved it; empty for the command line.
    clock : Clock, optional

    Returns
    -------
    StrategyVersion
        What is stored. Saving the same document again changes nothing and
        gives back the first one, with its stage, time and author.

    Raises
    ------
    DataError
        If the same document is stored under another name.
    """
    version_hash = hashlib.sha256(document).hexdigest()
    now = (clock or SystemClock()).now()

    def work(connection: Connection) -> StrategyVersion:
        known = _find(connection, version_hash)
        if known:
            if known[0].name != name:
                raise DataError(
                    f"version {version_hash[:12]} is stored as {known[0].name!r}, not as {name!r}"
                )
            return known[0]
        strategy_id = connection.scalar(
            select(strategy.c.strategy_id).where(strategy.c.name == name)
        )
        if strategy_id is None:
            strategy_id = connection.scalar(
                insert(strategy).values(name=name, created_at=now).returning(strategy.c.strategy_id)
            )
        connection.execute(
            insert(strategy_version).values(
                version_hash=version_hash,
                strategy_id=strategy_id,
                document=document.decode("utf-8"),
                stage=Stage.DRAFT,
                created_at=now,
                author=author,
            )
        )
        return _find(connection, version_hash)[0]

    return run_write(engine, work)


def get_version(engine: Engine, version_hash: str) -> StrategyVersion:
    """Return the version with this hash, or with a hash that begins so.

    Parameters
    ----------
    engine : Engine
    version_hash : str
        All 64 digits, or at least the first six.

    Raises
    ------
    DataError
        If there is none, or more than one.
    """
    if len(version_hash) < _PREFIX_LENGTH_MIN:
        raise DataError(
            f"a version needs at least {_PREFIX_LENGTH_MIN} digits of its hash, got {version_hash!r}"
        )
    with read_transaction(engine) as connection:
        found = _find(connection, version_hash)
    if not found:
        raise DataError(f"no strategy version {version_hash!r} is stored")
    if len(found) > 1:
        raise DataError(
            f"{len(found)} strategy versions begin with {version_hash!r}; give more digits"
        )
    return found[0]


def version_names(engine: Engine) -> dict[str, str]:
    """Return the name of each version's strategy by the version's hash, first saved first."""
    columns = strategy_version.c
    query = select(columns.version_hash, strategy.c.name).join_from(strategy_version, strategy)
    query = query.order_by(columns.created_at, columns.version_hash)
    with read_transaction(engine) as connection:
        return dict(connection.execute(query).all())


def list_versions(engine: Engine, *, name: str | None = None) -> list[VersionWithRuns]:
    """Return the versions with their runs, latest version first.

    Parameters
    ----------
    engine : Engine
    name : str, optional
        Only versions of this strategy.
    """
    query = _SELECT.order_by(strategy_version.c.created_at.desc(), strategy_version.c.version_hash)
    if name is not None:
        query = query.where(strategy.c.name == name)
    with read_transaction(engine) as connection:
        versions = [StrategyVersion(**row._mapping) for row in connection.execute(query)]
        runs = runs_of(connection, [version.version_hash for version in versions])
    return [
        VersionWithRuns(version, tuple(runs.get(version.version_hash, ()))) for version in versions
    ]


def list_stage_changes(engine: Engine, version_hash: str) -> list[StageChange]:
    """Return a version's steps from stage to stage, first one first."""
    columns = stage_change.c
    query = (
        select(
            columns.version_hash,
            columns.from_stage,
            columns.to_stage,
            columns.trigger,
            columns.run_id,
            columns.changed_at,
        )
        .where(columns.version_hash == version_hash)
        .order_by(columns.stage_change_id)
    )
    with read_transaction(engine) as connection:
        return [StageChange(**row._mapping) for row in connection.execute(query)]


_SELECT = select(
    strategy_version.c.version_hash,
    strategy.c.name,
    strategy_version.c.document,
    strategy_version.c.stage,
    strategy_version.c.created_at,
    strategy_version.c.author,
).join_from(strategy_version, strategy)


def _find(connection: Connection, version_hash: str) -> list[StrategyVersion]:
    begins = strategy_version.c.version_hash.startswith(version_hash, autoescape=True)
    return [
        StrategyVersion(**row._mapping)
        for row in connection.execute(_SELECT.where(begins).limit(9))
    ]
