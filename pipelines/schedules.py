"""Schedules: what is done every night.

Times are of the exchange whose close they follow, by its calendar: nothing
runs on a day without a session. Which exchange, which vendor and which
instruments is in the settings. What a night asks for is made of what is
stored now, so a night that was missed needs no run of its own: of several
that are due at once, after the machine was off, the latest does the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    MultiPartitionKey,
    ResourceParam,
    RunRequest,
    RunsFilter,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)
from dagster._core.storage.tags import PARTITION_NAME_TAG

from assets.ingestion import MONTH, SYMBOL, VENDOR_TAG
from assets.resampling import shortest
from foundation.clock import Clock
from foundation.settings import Settings, load_settings
from market_data.store import Store, source_of
from pipelines.jobs import check_job, ingest_job, resample_job

# Of a month that has just ended the last days are asked for once more.
N_DAYS_OF_LAST_MONTH = 7
# How far back the ingestion goes by itself after nights that were missed.
N_MONTHS_CAUGHT_UP = 12
_ZONE = load_settings().schedule_timezone
_NOT_ENDED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


@schedule(
    job=ingest_job,
    cron_schedule="30 18 * * *",
    execution_timezone=_ZONE,
    name="nightly_ingestion",
    # A vendor is asked for data only once an operator has chosen one.
    default_status=DefaultScheduleStatus.STOPPED,
    description=(
        "After the exchange's close, asks the vendor for the day's bars of every instrument, or of "
        "those in QUARTERDECK_SCHEDULE_SYMBOLS, and for the months since its last bars. The vendor "
        "is QUARTERDECK_SCHEDULE_SOURCE; state its keys, then switch the schedule on."
    ),
)
def nightly_ingestion(
    context: ScheduleEvaluationContext,
    settings: ResourceParam[Settings],
    store: ResourceParam[Store],
    clock: ResourceParam[Clock],
) -> list[RunRequest] | SkipReason:
    """Return a run for each instrument and month that may have new bars."""

    def ask(symbol: str, day: date) -> Iterator[RunRequest]:
        for month in months_of(day, last_ingested(settings, store, symbol)):
            yield RunRequest(
                run_key=f"ingest {symbol} {month} on {day}",
                partition_key=MultiPartitionKey({SYMBOL: symbol, MONTH: month}),
                run_config={
                    "ops": {
                        "ingested_bars": {
                            "config": {
                                "source": settings.schedule_source,
                                "timeframe": settings.schedule_timeframe,
                            }
                        }
                    }
                },
                tags={VENDOR_TAG: settings.schedule_source},
            )

    return _night(
        context,
        settings,
        store,
        clock,
        job=ingest_job.name,
        symbols=lambda: scheduled_symbols(settings, store),
        nothing="no instrument is stored, and QUARTERDECK_SCHEDULE_SYMBOLS names none",
        ask=ask,
    )


@schedule(
    job=resample_job,
    cron_schedule="30 19 * * *",
    execution_timezone=_ZONE,
    name="nightly_resampling",
    default_status=DefaultScheduleStatus.RUNNING,
    description="After the ingestion, makes longer bars of every instrument that has bars within the day.",
)
def nightly_resampling(
    context: ScheduleEvaluationContext,
    settings: ResourceParam[Settings],
    store: ResourceParam[Store],
    clock: ResourceParam[Clock],
) -> list[RunRequest] | SkipReason:
    """Return a run for each instrument with intraday bars."""
    return _night(
        context,
        settings,
        store,
        clock,
        job=resample_job.name,
        symbols=lambda: [name for name in store.symbols() if _has_intraday(store, name)],
        nothing="no instrument has bars within the day",
        ask=lambda symbol, day: [
            RunRequest(run_key=f"resample {symbol} on {day}", partition_key=symbol)
        ],
    )


@schedule(
    job=check_job,
    cron_schedule="30 20 * * *",
    execution_timezone=_ZONE,
    name="nightly_checks",
    default_status=DefaultScheduleStatus.RUNNING,
    description="After the ingestion, reads the bars of every stored instrument back and checks them.",
)
def nightly_checks(
    context: ScheduleEvaluationContext,
    settings: ResourceParam[Settings],
    store: ResourceParam[Store],
    clock: ResourceParam[Clock],
) -> list[RunRequest] | SkipReason:
    """Return a run for each stored instrument."""
    return _night(
        context,
        settings,
        store,
        clock,
        job=check_job.name,
        symbols=store.symbols,
        nothing="no instrument is stored",
        ask=lambda symbol, day: [
            RunRequest(run_key=f"check {symbol} on {day}", partition_key=symbol)
        ],
    )


def _night(
    context: ScheduleEvaluationContext,
    settings: Settings,
    store: Store,
    clock: Clock,
    *,
    job: str,
    symbols: Callable[[], Sequence[str]],
    nothing: str,
    ask: Callable[[str, date], Iterable[RunRequest]],
) -> list[RunRequest] | SkipReason:
    """Return what a night asks for, or why it asks for nothing.

    Parameters
    ----------
    job : str
        Whose runs they are.
    symbols : callable
        Gives the instruments of the night.
    nothing : str
        What is said when there are none.
    ask : callable
        Gives the runs of an instrument on a day, each with its partition.
    """
    due = context.scheduled_execution_time.astimezone(ZoneInfo(settings.schedule_timezone))
    day = due.date()
    idle = why_closed(day, settings.schedule_calendar, store)
    if not idle:
        later = later_night(due, clock.now(), settings.schedule_calendar, store)
        idle = "" if later is None else f"that of {later} is due too, and does the work of both"
    if idle:
        return SkipReason(idle)
    chosen = symbols()
    if not chosen:
        return SkipReason(nothing)
    known = set(context.instance.get_dynamic_partitions(SYMBOL))
    new = [symbol for symbol in chosen if symbol not in known]
    if new:
        context.instance.add_dynamic_partitions(SYMBOL, new)
    busy = partitions_at_work(context.instance, job)
    wanted = [run for symbol in chosen for run in ask(symbol, day)]
    runs = [run for run in wanted if run.partition_key not in busy]
    if not runs:
        return SkipReason(f"all {len(wanted)} runs of an earlier night are still to be done")
    return runs


def why_closed(day: date, calendar: str, store: Store) -> str:
    """Return why nothing is to be done on a day, empty for a day with a session."""
    return "" if _has_session(day, calendar, store) else f"{calendar} has no session on {day}"


def later_night(due: datetime, now: datetime, calendar: str, store: Store) -> date | None:
    """Return the latest day with a session whose own tick is due already, if there is one.

    Parameters
    ----------
    due : datetime
        When the tick in question was due, in the schedule's time zone; the
        later ones are at the same hour of the clock on the wall.
    now : datetime
    """
    zone = due.tzinfo
    day = now.astimezone(zone).date()
    while day > due.date():
        tick = datetime.combine(day, due.time(), zone)
        if tick <= now and _has_session(day, calendar, store):
            return day
        day -= timedelta(days=1)
    return None


def _has_session(day: date, calendar: str, store: Store) -> bool:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    moment = int(noon.timestamp()) * 1_000_000_000
    return (day - date(1970, 1, 1)).days in store.sessions(calendar, moment, moment).date


def partitions_at_work(instance: DagsterInstance, job: str) -> set[str]:
    """Return the partitions of a job whose runs wait or work."""
    runs = instance.get_runs(RunsFilter(job_name=job, statuses=_NOT_ENDED))
    return {run.tags[PARTITION_NAME_TAG] for run in runs if PARTITION_NAME_TAG in run.tags}


def _has_intraday(store: Store, symbol: str) -> bool:
    from market_data.timeframes import parse_timeframe

    series = shortest(store, symbol)
    return series is not None and parse_timeframe(series.timeframe).intraday


def scheduled_symbols(settings: Settings, store: Store) -> list[str]:
    """Return the instruments that are ingested: those in the settings, or all that are stored.

    Those of a second source are left out: they come from elsewhere.
    """
    if settings.schedule_symbols:
        return [symbol.strip() for symbol in settings.schedule_symbols.split(",") if symbol.strip()]
    from market_data.generator import SIM

    return [name for name in store.symbols() if not source_of(name) and name != SIM.symbol]


def last_ingested(settings: Settings, store: Store, symbol: str) -> date | None:
    """Return the day of the last bar that the schedule's vendor gave of an instrument, if any."""
    series = store.find_series(symbol, settings.schedule_timeframe)
    if series is None or not series.files or series.source != settings.schedule_source:
        return None
    return series.last.date()


def months_of(day: date, last: date | None = None) -> list[str]:
    """Return the months whose bars may be new on a day, oldest first, by their first days.

    Parameters
    ----------
    day : date
    last : date, optional
        Of the last bar that is there. After nights that were missed the months
        since then are among them, a year at most.

    Examples
    --------
    >>> months_of(date(2024, 3, 4)), months_of(date(2024, 3, 20))
    (['2024-02-01', '2024-03-01'], ['2024-03-01'])
    >>> months_of(date(2024, 3, 20), last=date(2024, 1, 19))
    ['2024-01-01', '2024-02-01', '2024-03-01']
    """
    first = day.replace(day=1)
    begin = (day - timedelta(days=N_DAYS_OF_LAST_MONTH)).replace(day=1)
    if last is not None:
        begin = min(begin, last.replace(day=1))
    months = [first]
    while months[-1] > begin and len(months) <= N_MONTHS_CAUGHT_UP:
        months.append((months[-1] - timedelta(days=1)).replace(day=1))
    return [month.isoformat() for month in reversed(months)]


SCHEDULES = [nightly_ingestion, nightly_resampling, nightly_checks]
