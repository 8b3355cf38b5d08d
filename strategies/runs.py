"""Recording backtest runs: started, succeeded or failed, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update

from foundation.clock import Clock, SystemClock
from foundation.database import read_transaction, run_write
from foundation.errors import DataError
from foundation.processes import is_alive, this_process
from strategies.lifecycle import Stage, Trigger, next_stage
from strategies.tables import RunStatus, backtest_run, stage_change, strategy, strategy_version

# Another machine's process can't be asked for; writing a result takes seconds.
_FOREIGN_RUN_LASTS = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStart:
    """What is known of a run before it runs.

    Attributes
    ----------
    run_id : str
        The same for the same version, data, options and engine.
    version_hash : str
        Of a stored version.
    data_fingerprint : str
        Of the bars.
    engine_version : str
    options : mapping
        What was asked for (symbols, dates, cash, parameters), as JSON values.
    result_directory : str
        Where the result files are.
    """

    run_id: str
    version_hash: str
    data_fingerprint: str
    engine_version: str
    options: Mapping[str, Any]
    result_directory: str


@dataclass(frozen=True, slots=True)
class BacktestRun:
    """A run as stored.

    Attributes
    ----------
    run_id, version_hash, data_fingerprint, engine_version, options, result_directory
        As in `RunStart`.
    name : str
        The strategy's name.
    status : RunStatus
    key_figures : dict or None
        From summary.json, of the last time that it succeeded: its result files
        stay whole when it is run again and fails.
    error : str or None
        One line; only of a run that failed.
    started_at, finished_at : datetime
        UTC; `finished_at` is None while it runs.
    """

    run_id: str
    version_hash: str
    name: str
    data_fingerprint: str
    engine_version: str
    options: dict[str, Any]
    result_directory: str
    status: RunStatus
    key_figures: dict[str, Any] | None
    error: str | None
    started_at: datetime
    finished_at: datetime | None


def record_run_started(engine: Engine, start: RunStart, *, clock: Clock | None = None) -> None:
    """Store that a run begins; one that is repeated begins anew.

    Raises
    ------
    DataError
        If the version isn't stored, or the run id belongs to another version
        or other data.
    """
    now = (clock or SystemClock()).now()
    values = {
        "run_id": start.run_id,
        "version_hash": start.version_hash,
        "data_fingerprint": start.data_fingerprint,
        "engine_version": start.engine_version,
        "options": dict(start.options),
        "result_directory": start.result_directory,
        "status": RunStatus.RUNNING,
        "error": None,
        "started_at": now,
        "finished_at": None,
        "process": this_process(),
    }
    runs = backtest_run.c

    def work(connection: Connection) -> None:
        _stage(connection, start.version_hash)
        before = connection.execute(
            select(runs.version_hash, runs.data_fingerprint).where(runs.run_id == start.run_id)
        ).first()
        if before is None:
            connection.execute(insert(backtest_run).values(values))
            return
        if tuple(before) != (start.version_hash, start.data_fingerprint):
            raise DataError(f"run {start.run_id} is stored with another version or other data")
        connection.execute(update(backtest_run).where(runs.run_id == start.run_id).values(values))

    run_write(engine, work)


def record_run_succeeded(
    engine: Engine,
    run_id: str,
    *,
    key_figures: Mapping[str, Any],
    is_evidence: bool = True,
    clock: Clock | None = None,
) -> None:
    """Store that a run succeeded, and move its version from draft to backtested.

    Parameters
    ----------
    engine : Engine
    run_id : str
        Of a run that was recorded as started.
    key_figures : mapping
        JSON values; None stands for a figure that does not exist, because
        JSON has no NaN.
    is_evidence : bool
        False for a run with other parameters than the version's own: it says
        nothing about the version, whose stage then stays.
    clock : Clock, optional

    Raises
    ------
    DataError
        If the run was never started.
    """
    now = (clock or SystemClock()).now()

    def work(connection: Connection) -> None:
        _finish(
            connection,
            run_id,
            status=RunStatus.SUCCEEDED,
            key_figures=dict(key_figures),
            error=None,
            finished_at=now,
        )
        if is_evidence:
            _advance(connection, run_id, now)

    run_write(engine, work)


def record_run_failed(
    engine: Engine, run_id: str, *, error: str, clock: Clock | None = None
) -> None:
    """Store that a run failed, with the reason.

    Raises
    ------
    DataError
        If the run was never started.
    """
    now = (clock or SystemClock()).now()
    run_write(
        engine,
        lambda connection: _finish(
            connection,
            run_id,
            status=RunStatus.FAILED,
            error=error,
            finished_at=now,
        ),
    )


def close_dead_runs(engine: Engine, *, clock: Clock | None = None) -> list[str]:
    """Record as failed what a process was writing that was killed.

    The result files of such a run are whole or absent; running the same again
    makes them, and takes the record over.

    Returns
    -------
    list of str
        The ids of the runs that were closed.
    """
    now = (clock or SystemClock()).now()
    runs = backtest_run.c

    def work(connection: Connection) -> list[str]:
        rows = connection.execute(
            select(runs.run_id, runs.process, runs.started_at).where(
                runs.status == RunStatus.RUNNING
            )
        ).all()
        closed = []
        for run_id, process, started_at in rows:
            alive = is_alive(process) if process is not None else None
            if alive or (alive is None and now - started_at < _FOREIGN_RUN_LASTS):
                continue
            _finish(
                connection,
                run_id,
                status=RunStatus.FAILED,
                error="its process ended before the result was recorded; run it again",
                finished_at=now,
            )
            closed.append(str(run_id))
        return closed

    return run_write(engine, work)


def get_run(engine: Engine, run_id: str) -> BacktestRun:
    """Return one run.

    Raises
    ------
    DataError
        If there is none with this id.
    """
    with read_transaction(engine) as connection:
        row = connection.execute(_SELECT.where(backtest_run.c.run_id == run_id)).first()
    if row is None:
        raise DataError(f"no backtest run {run_id!r} is stored")
    return BacktestRun(**row._mapping)


def list_runs(
    engine: Engine,
    *,
    name: str | None = None,
    version_hash: str | None = None,
    status: RunStatus | None = None,
    limit: int = 1000,
) -> list[BacktestRun]:
    """Return runs, latest first.

    Parameters
    ----------
    engine : Engine
    name, version_hash, status : optional
        Only runs of this strategy, of this version, with this status.
    limit : int
        At most so many.
    """
    query = _SELECT.order_by(backtest_run.c.started_at.desc(), backtest_run.c.run_id).limit(limit)
    if name is not None:
        query = query.where(strategy.c.name == name)
    if version_hash is not None:
        query = query.where(backtest_run.c.version_hash == version_hash)
    if status is not None:
        query = query.where(backtest_run.c.status == status)
    with read_transaction(engine) as connection:
        return [BacktestRun(**row._mapping) for row in connection.execute(query)]


def runs_of(connection: Connection, version_hashes: Sequence[str]) -> dict[str, list[BacktestRun]]:
    """Return the runs of each version, latest first, within a transaction."""
    query = _SELECT.where(backtest_run.c.version_hash.in_(version_hashes)).order_by(
        backtest_run.c.started_at.desc(), backtest_run.c.run_id
    )
    runs: dict[str, list[BacktestRun]] = {}
    for row in connection.execute(query):
        run = BacktestRun(**row._mapping)
        runs.setdefault(run.version_hash, []).append(run)
    return runs


def latest_own_run(engine: Engine, version_hash: str) -> BacktestRun | None:
    """Return the latest succeeded run of a version with its own parameters, None for none."""
    with read_transaction(engine) as connection:
        return latest_own_runs(connection, [version_hash]).get(version_hash)


def latest_own_runs(
    connection: Connection, version_hashes: Sequence[str]
) -> dict[str, BacktestRun]:
    """Return the latest succeeded run of each version with its own parameters.

    It says what the version's evidence must be about. A version without such
    a run is left out.
    """
    moved = select(stage_change.c.run_id).where(stage_change.c.version_hash.in_(version_hashes))
    # The record knows that these ran with the version's own values, however they were stated.
    own = set(connection.scalars(moved))
    found = {}
    for version, runs in runs_of(connection, version_hashes).items():
        for run in runs:
            is_own = run.run_id in own or not run.options.get("parameters")
            # One that is being repeated, or failed when it was, has its earlier result.
            if is_own and run.key_figures is not None:
                found[version] = run
                break
    return found


_SELECT = (
    select(
        backtest_run.c.run_id,
        backtest_run.c.version_hash,
        strategy.c.name,
        backtest_run.c.data_fingerprint,
        backtest_run.c.engine_version,
        backtest_run.c.options,
        backtest_run.c.result_directory,
        backtest_run.c.status,
        backtest_run.c.key_figures,
        backtest_run.c.error,
        backtest_run.c.started_at,
        backtest_run.c.finished_at,
    )
    .join_from(backtest_run, strategy_version)
    .join(strategy)
)


def _finish(connection: Connection, run_id: str, **values: Any) -> None:
    changed = connection.execute(
        update(backtest_run).where(backtest_run.c.run_id == run_id).values(**values)
    )
    if changed.rowcount == 0:
        raise DataError(f"backtest run {run_id!r} was never started")


def _stage(connection: Connection, version_hash: str) -> Stage:
    stage: Stage | None = connection.scalar(
        select(strategy_version.c.stage).where(strategy_version.c.version_hash == version_hash)
    )
    if stage is None:
        raise DataError(f"no strategy version {version_hash!r} is stored; save it first")
    return stage


def _advance(connection: Connection, run_id: str, now: datetime) -> None:
    version_hash = connection.execute(
        select(backtest_run.c.version_hash).where(backtest_run.c.run_id == run_id)
    ).scalar_one()
    before = _stage(connection, version_hash)
    after = next_stage(before, Trigger.BACKTEST_SUCCEEDED)
    if after is before:
        return
    connection.execute(
        update(strategy_version)
        .where(strategy_version.c.version_hash == version_hash)
        .values(stage=after)
    )
    connection.execute(
        insert(stage_change).values(
            version_hash=version_hash,
            from_stage=before,
            to_stage=after,
            trigger=Trigger.BACKTEST_SUCCEEDED,
            run_id=run_id,
            changed_at=now,
        )
    )
