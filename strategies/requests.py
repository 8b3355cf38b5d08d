"""Requested work: who asked for which backtest, and how far it has come.

A request is a row that outlives every process: it waits, is claimed by one
claimant, and ends as succeeded, failed or cancelled. Owns the table, its
states and who may claim what; running it is the business of `pipelines`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Engine,
    ForeignKey,
    Index,
    Table,
    Text,
    case,
    func,
    insert,
    select,
    update,
)

from foundation.clock import Clock, SystemClock
from foundation.columns import EnumText, Int64, JsonText, UtcTimestamp, is_one_of, metadata
from foundation.database import read_transaction, run_write
from foundation.errors import DataError, NotPermitted, SpecError
from foundation.memory import MEMORY_BYTES_LEAST
from strategies.tables import strategy, strategy_version

N_ATTEMPTS_MAX = 3
PRIORITY_MOST = 1_000
# 30 s, 1 min, 2 min … and never more than an hour.
FIRST_DELAY, LONGEST_DELAY = timedelta(seconds=30), timedelta(hours=1)


class Work(StrEnum):
    """What is asked for."""

    BACKTEST = "backtest"
    SWEEP = "sweep"


class RequestStatus(StrEnum):
    """How far a request has come."""

    QUEUED = "queued"
    RUNNING = "running"  # Claimed: it may still wait for its turn in Dagster's queue of runs.
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RequestTrigger(StrEnum):
    """What moves a request to another state."""

    CLAIMED = "claimed"
    RELEASED = "released"  # The claimant died before it started anything.
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETRIED = "retried"  # It failed, and trying again may help.
    CANCELLED = "cancelled"
    ASKED_AGAIN = "asked again"  # By a person, once what was wrong is mended.


TRANSITIONS: dict[tuple[RequestStatus, RequestTrigger], RequestStatus] = {
    (RequestStatus.QUEUED, RequestTrigger.CLAIMED): RequestStatus.RUNNING,
    (RequestStatus.QUEUED, RequestTrigger.CANCELLED): RequestStatus.CANCELLED,
    (RequestStatus.RUNNING, RequestTrigger.RELEASED): RequestStatus.QUEUED,
    (RequestStatus.RUNNING, RequestTrigger.RETRIED): RequestStatus.QUEUED,
    # Real world possibility: it was done before the cancellation reached it.
    (RequestStatus.RUNNING, RequestTrigger.SUCCEEDED): RequestStatus.SUCCEEDED,
    (RequestStatus.RUNNING, RequestTrigger.FAILED): RequestStatus.FAILED,
    (RequestStatus.RUNNING, RequestTrigger.CANCELLED): RequestStatus.CANCELLED,
    (RequestStatus.QUEUED, RequestTrigger.ASKED_AGAIN): RequestStatus.QUEUED,
    (RequestStatus.FAILED, RequestTrigger.ASKED_AGAIN): RequestStatus.QUEUED,
    (RequestStatus.CANCELLED, RequestTrigger.ASKED_AGAIN): RequestStatus.QUEUED,
}


def next_status(status: RequestStatus, trigger: RequestTrigger) -> RequestStatus:
    """Return the state that follows.

    Raises
    ------
    NotPermitted
        If the table has no such transition.
    """
    try:
        return TRANSITIONS[status, trigger]
    except KeyError:
        allowed = sorted(key[1].value for key in TRANSITIONS if key[0] is status)
        raise NotPermitted(
            f"a request that is {status} does not take {trigger}; "
            f"it takes {', '.join(allowed) or 'nothing more'}"
        ) from None


backtest_request = Table(
    "backtest_request",
    metadata,
    Column("request_id", Int64, primary_key=True),
    # Two requests with one key are one: asking again after a lost answer does no harm.
    Column("idempotency_key", Text, unique=True),
    Column("what", EnumText(Work), nullable=False),
    Column("version_hash", Text, ForeignKey("strategy_version.version_hash"), nullable=False),
    Column("options", JsonText, nullable=False),
    Column("priority", Int64, nullable=False),
    Column("memory_bytes_max", Int64),
    Column("status", EnumText(RequestStatus), nullable=False),
    # Counted when claimed; also names the attempt that a run belongs to.
    Column("attempts", Int64, nullable=False),
    Column("attempts_max", Int64, nullable=False),
    Column("next_attempt_at", UtcTimestamp, nullable=False),
    Column("dagster_run_id", Text),
    # Of the backtest, or the sweep's id.
    Column("run_id", Text),
    Column("result_directory", Text),
    # Of the last attempt that failed, on one line; it stays while the next one waits.
    Column("error", Text),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", UtcTimestamp, nullable=False),
    Column("cancel_requested_at", UtcTimestamp),
    Column("started_at", UtcTimestamp),
    Column("finished_at", UtcTimestamp),
    CheckConstraint(is_one_of("what", Work), name="what_known"),
    CheckConstraint(is_one_of("status", RequestStatus), name="status_known"),
    CheckConstraint("attempts_max >= 1", name="attempts_max_positive"),
    CheckConstraint("attempts BETWEEN 0 AND attempts_max", name="attempts_in_bounds"),
    CheckConstraint("memory_bytes_max > 0", name="memory_positive"),
    CheckConstraint(
        "(status IN ('queued', 'running')) = (finished_at IS NULL)", name="finished_at_fits"
    ),
    CheckConstraint("status <> 'running' OR started_at IS NOT NULL", name="started_at_fits"),
    CheckConstraint("status <> 'failed' OR error IS NOT NULL", name="error_fits"),
    CheckConstraint("status <> 'succeeded' OR run_id IS NOT NULL", name="run_id_fits"),
    Index(None, "status", "priority"),
    sqlite_strict=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRequest:
    """What is asked for.

    Attributes
    ----------
    what : Work
    version_hash : str
        Of a stored version.
    options : mapping
        As the job's launchpad takes them, JSON values; the caller has checked
        them. Without the strategy, which is `version_hash`.
    priority : int
        Higher goes first, -1000 to 1000; requests of one priority go by age.
    memory_bytes_max : int or None
        Ceiling of the run's process; None for the one in the settings.
    attempts_max : int
        How often to try at most, when trying again may help.
    requested_by : str
        Empty for the command line.
    idempotency_key : str or None
        A second request with the same key gives back the first.
    """

    what: Work
    version_hash: str
    options: Mapping[str, Any]
    priority: int = 0
    memory_bytes_max: int | None = None
    attempts_max: int = N_ATTEMPTS_MAX
    requested_by: str = ""
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A request as stored; the attributes are the table's columns.

    Attributes
    ----------
    strategy : str
        The name of the version's strategy.
    status : RequestStatus
    attempts : int
        How often it was claimed.
    next_attempt_at : datetime
        Not before this time, UTC.
    started_at : datetime or None
        When it was last claimed, UTC.
    """

    request_id: int
    idempotency_key: str | None
    what: Work
    version_hash: str
    strategy: str
    options: dict[str, Any]
    priority: int
    memory_bytes_max: int | None
    status: RequestStatus
    attempts: int
    attempts_max: int
    next_attempt_at: datetime
    dagster_run_id: str | None
    run_id: str | None
    result_directory: str | None
    error: str | None
    requested_by: str
    requested_at: datetime
    cancel_requested_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


def request_work(engine: Engine, new: NewRequest, *, clock: Clock | None = None) -> Request:
    """Store a request, which then waits for its turn.

    Returns
    -------
    Request
        The stored one. With an idempotency key that is there already, the
        first request with it, unchanged.

    Raises
    ------
    SpecError
        If a number is out of its bounds.
    DataError
        If the version isn't stored, or the key belongs to a request for
        something else.
    """
    _check(new)
    now = (clock or SystemClock()).now()

    def work(connection: Connection) -> Request:
        known = connection.scalar(
            select(strategy_version.c.version_hash).where(
                strategy_version.c.version_hash == new.version_hash
            )
        )
        if known is None:
            raise DataError(f"no strategy version {new.version_hash!r} is stored; save it first")
        if new.idempotency_key is not None:
            row = connection.execute(
                _SELECT.where(backtest_request.c.idempotency_key == new.idempotency_key)
            ).first()
            if row is not None:
                return _same_or_refused(Request(**row._mapping), new)
        request_id = connection.scalar(
            insert(backtest_request)
            .values(
                idempotency_key=new.idempotency_key,
                what=new.what,
                version_hash=new.version_hash,
                options=dict(new.options),
                priority=new.priority,
                memory_bytes_max=new.memory_bytes_max,
                status=RequestStatus.QUEUED,
                attempts=0,
                attempts_max=new.attempts_max,
                next_attempt_at=now,
                requested_by=new.requested_by,
                requested_at=now,
            )
            .returning(backtest_request.c.request_id)
        )
        return _get(connection, int(request_id or 0))

    return run_write(engine, work)


def _check(new: NewRequest) -> None:
    if not -PRIORITY_MOST <= new.priority <= PRIORITY_MOST:
        raise SpecError(
            f"must be -{PRIORITY_MOST} to {PRIORITY_MOST}, got {new.priority}", path="priority"
        )
    if new.attempts_max < 1:
        raise SpecError(f"must be at least 1, got {new.attempts_max}", path="attempts_max")
    if new.memory_bytes_max is not None and new.memory_bytes_max < MEMORY_BYTES_LEAST:
        raise SpecError(
            f"must be at least {MEMORY_BYTES_LEAST:,} bytes, which a run needs to begin, "
            f"got {new.memory_bytes_max:,}",
            path="memory_bytes_max",
        )
    if new.idempotency_key == "":
        raise SpecError("must not be empty", path="idempotency_key")


def _same_or_refused(found: Request, new: NewRequest) -> Request:
    asked = (new.what, new.version_hash, dict(new.options))
    if (found.what, found.version_hash, found.options) != asked:
        raise DataError(
            f"the key {new.idempotency_key!r} belongs to request {found.request_id}, "
            "which asks for something else"
        )
    return found


def claim_requests(engine: Engine, *, limit: int, clock: Clock | None = None) -> list[Request]:
    """Claim the requests whose turn it is; nobody else can claim them again.

    Parameters
    ----------
    engine : Engine
    limit : int
        How many may be running at once, all claimants together.
    clock : Clock, optional

    Returns
    -------
    list of Request
        Highest priority first, then oldest; empty when `limit` run already,
        or none waits.
    """
    now = (clock or SystemClock()).now()
    requests = backtest_request.c

    def work(connection: Connection) -> list[Request]:
        running = connection.scalar(
            select(func.count()).where(requests.status == RequestStatus.RUNNING)
        )
        free = limit - int(running or 0)
        if free <= 0:
            return []
        turn = (
            select(requests.request_id)
            .where(requests.status == RequestStatus.QUEUED, requests.next_attempt_at <= now)
            .order_by(requests.priority.desc(), requests.requested_at, requests.request_id)
            .limit(free)
        )
        claimed = []
        for request_id in connection.scalars(turn).all():
            found = _get(connection, request_id)
            _move(
                connection,
                found,
                RequestTrigger.CLAIMED,
                attempts=found.attempts + 1,
                dagster_run_id=None,
                started_at=now,
            )
            claimed.append(_get(connection, request_id))
        return claimed

    return run_write(engine, work)


def begin_request(engine: Engine, request_id: int, *, attempt: int, dagster_run_id: str) -> Request:
    """Let one run take a claimed request; it may ask again.

    Raises
    ------
    NotPermitted
        If the request is not running, its cancellation was asked for, or
        another attempt or run has it: then the run must do nothing.
    DataError
        If there is no such request.
    """

    def work(connection: Connection) -> Request:
        found = _get(connection, request_id)
        if found.status is not RequestStatus.RUNNING:
            raise NotPermitted(f"request {request_id} is {found.status} and not to be run")
        if found.cancel_requested_at is not None:
            raise NotPermitted(f"request {request_id} is being cancelled and not to be run")
        if found.attempts != attempt or found.dagster_run_id not in (None, dagster_run_id):
            raise NotPermitted(
                f"request {request_id} is run by attempt {found.attempts}, "
                f"Dagster run {found.dagster_run_id}, and not to be run twice"
            )
        connection.execute(_row(request_id).values(dagster_run_id=dagster_run_id))
        return _get(connection, request_id)

    return run_write(engine, work)


def release_request(
    engine: Engine, request_id: int, *, attempt: int, clock: Clock | None = None
) -> Request:
    """Give back a claim that started nothing; the attempt does not count.

    A request that a run has begun, or another attempt has, stays as it is.
    """
    now = (clock or SystemClock()).now()

    def change(connection: Connection, found: Request) -> None:
        if found.dagster_run_id is not None:
            return
        if found.cancel_requested_at is not None:
            _move(connection, found, RequestTrigger.CANCELLED, finished_at=now)
            return
        _move(connection, found, RequestTrigger.RELEASED, attempts=found.attempts - 1)

    return _end(engine, request_id, attempt, change)


def succeed_request(
    engine: Engine,
    request_id: int,
    *,
    attempt: int,
    dagster_run_id: str,
    run_id: str,
    result_directory: str,
    clock: Clock | None = None,
) -> Request:
    """Store that an attempt succeeded, and what came of it.

    An attempt that has ended already, or another one, changes nothing.
    """
    now = (clock or SystemClock()).now()
    values = {
        "dagster_run_id": dagster_run_id,
        "run_id": run_id,
        "result_directory": result_directory,
        "error": None,
        "finished_at": now,
    }
    return _end(
        engine,
        request_id,
        attempt,
        lambda connection, found: _move(connection, found, RequestTrigger.SUCCEEDED, **values),
    )


def fail_request(
    engine: Engine,
    request_id: int,
    *,
    attempt: int,
    error: str,
    worth_another_try: bool,
    dagster_run_id: str | None = None,
    clock: Clock | None = None,
) -> Request:
    """Store that an attempt failed: it waits for the next one, or has failed for good.

    Parameters
    ----------
    error : str
        What happened; only the first line is kept.
    worth_another_try : bool
        Whether the same may go well another time. The delay before the next
        attempt doubles with each one.
    dagster_run_id : str or None
        Of the run that failed, where there was one.

    Notes
    -----
    An attempt that has ended already, or another one, changes nothing. A
    request whose cancellation was asked for is cancelled.
    """
    now = (clock or SystemClock()).now()
    reason = next((line for line in error.splitlines() if line.strip()), "no reason was given")

    def change(connection: Connection, found: Request) -> None:
        values: dict[str, Any] = {"error": reason}
        if dagster_run_id is not None:
            values["dagster_run_id"] = dagster_run_id
        if found.cancel_requested_at is not None:
            _move(connection, found, RequestTrigger.CANCELLED, finished_at=now, **values)
        elif worth_another_try and found.attempts < found.attempts_max:
            later = now + retry_delay(found.attempts)
            _move(connection, found, RequestTrigger.RETRIED, next_attempt_at=later, **values)
        else:
            _move(connection, found, RequestTrigger.FAILED, finished_at=now, **values)

    return _end(engine, request_id, attempt, change)


def end_cancelled(
    engine: Engine, request_id: int, *, attempt: int, clock: Clock | None = None
) -> Request:
    """Store that the run of an attempt was stopped before it was done."""
    now = (clock or SystemClock()).now()

    def change(connection: Connection, found: Request) -> None:
        # Someone may have stopped the run in Dagster's own pages: that is a cancellation too.
        asked = found.cancel_requested_at or now
        _move(
            connection, found, RequestTrigger.CANCELLED, cancel_requested_at=asked, finished_at=now
        )

    return _end(engine, request_id, attempt, change)


def cancel_request(engine: Engine, request_id: int, *, clock: Clock | None = None) -> Request:
    """Cancel a request that waits, or ask for the end of one that runs.

    Doing it again changes nothing.

    Raises
    ------
    DataError
        If there is no such request.
    NotPermitted
        If it has succeeded or failed.
    """
    now = (clock or SystemClock()).now()

    def work(connection: Connection) -> Request:
        found = _get(connection, request_id)
        if found.status is RequestStatus.CANCELLED:
            return found
        next_status(found.status, RequestTrigger.CANCELLED)
        if found.status is RequestStatus.QUEUED:
            _move(
                connection,
                found,
                RequestTrigger.CANCELLED,
                cancel_requested_at=now,
                finished_at=now,
            )
        elif found.cancel_requested_at is None:
            connection.execute(_row(request_id).values(cancel_requested_at=now))
        return _get(connection, request_id)

    return run_write(engine, work)


def retry_request(engine: Engine, request_id: int, *, clock: Clock | None = None) -> Request:
    """Queue a request once more that failed or was cancelled; spare one that waits its delay.

    Attempts go on being counted, and one that has none left gets one more.

    Raises
    ------
    DataError
        If there is no such request.
    NotPermitted
        If it runs, or has succeeded.
    """
    now = (clock or SystemClock()).now()

    def work(connection: Connection) -> Request:
        found = _get(connection, request_id)
        _move(
            connection,
            found,
            RequestTrigger.ASKED_AGAIN,
            attempts_max=max(found.attempts_max, found.attempts + 1),
            next_attempt_at=min(found.next_attempt_at, now),
            cancel_requested_at=None,
            finished_at=None,
        )
        return _get(connection, request_id)

    return run_write(engine, work)


def get_request(engine: Engine, request_id: int) -> Request:
    """Return one request.

    Raises
    ------
    DataError
        If there is none with this number.
    """
    with read_transaction(engine) as connection:
        return _get(connection, request_id)


def list_requests(
    engine: Engine, *, status: RequestStatus | None = None, limit: int = 1000
) -> list[Request]:
    """Return requests: those that run, then those that wait in their order, then the ended ones.

    Parameters
    ----------
    engine : Engine
    status : RequestStatus, optional
        Only requests in this state.
    limit : int
        At most so many.
    """
    requests = backtest_request.c
    shown = case(
        (requests.status == RequestStatus.RUNNING, 0),
        (requests.status == RequestStatus.QUEUED, 1),
        else_=2,
    )
    # Those that ended come latest first, the others in the order of their turn.
    query = _SELECT.order_by(
        shown,
        requests.finished_at.desc(),
        requests.priority.desc(),
        requests.requested_at,
        requests.request_id,
    ).limit(limit)
    if status is not None:
        query = query.where(requests.status == status)
    with read_transaction(engine) as connection:
        return [Request(**row._mapping) for row in connection.execute(query)]


def retry_delay(attempts: int) -> timedelta:
    """Return how long to wait after so many attempts: 30 s, doubled each time, an hour at most.

    Examples
    --------
    >>> [retry_delay(n).total_seconds() for n in (1, 2, 3, 99)]
    [30.0, 60.0, 120.0, 3600.0]
    """
    # Beyond some doublings the number would only overflow.
    return min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(attempts - 1, 20))


_SELECT = (
    select(*backtest_request.c, strategy.c.name.label("strategy"))
    .join_from(backtest_request, strategy_version)
    .join(strategy)
)


def _get(connection: Connection, request_id: int) -> Request:
    row = connection.execute(_SELECT.where(backtest_request.c.request_id == request_id)).first()
    if row is None:
        raise DataError(f"there is no request {request_id}")
    return Request(**row._mapping)


def _row(request_id: int) -> Any:
    return update(backtest_request).where(backtest_request.c.request_id == request_id)


def _move(connection: Connection, found: Request, trigger: RequestTrigger, **values: Any) -> None:
    status = next_status(found.status, trigger)
    connection.execute(_row(found.request_id).values(status=status, **values))


def _end(
    engine: Engine, request_id: int, attempt: int, change: Callable[[Connection, Request], None]
) -> Request:
    """Change a request that this attempt has; leave it as it is where another one has it."""

    def work(connection: Connection) -> Request:
        found = _get(connection, request_id)
        if found.status is RequestStatus.RUNNING and found.attempts == attempt:
            change(connection, found)
            found = _get(connection, request_id)
        return found

    return run_write(engine, work)
