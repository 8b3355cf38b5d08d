"""Schedules: what is done every night.

Times are of the exchange whose close they follow, by its calendar: nothing
runs on a day without a session. Which exchange, which vendor and which
instruments is in the settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from dagster import (
    DefaultScheduleStatus,
    MultiPartitionKey,
    ResourceParam,
    RunRequest,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from assets.ingestion import MONTH, SYMBOL, VENDOR_TAG
from assets.resampling import shortest
from foundation.settings import Settings, load_settings
from market_data.store import Store, source_of
from pipelines.jobs import check_job, ingest_job, resample_job

# Of a month that has just ended the last days are asked for once more.
N_DAYS_OF_LAST_MONTH = 7
_ZONE = load_settings().schedule_timezone


@schedule(
    job=ingest_job,
    cron_schedule="30 18 * * *",
    execution_timezone=_ZONE,
    name="nightly_ingestion",
    # A vendor is asked for data only once an operator has chosen one.
    default_status=DefaultScheduleStatus.STOPPED,
    description=(
        "After the exchange's close, asks the vendor for the day's bars of every instrument, or of "
        "those in QUARTERDECK_SCHEDULE_SYMBOLS. The vendor is QUARTERDECK_SCHEDULE_SOURCE; state "
        "its keys, then switch the schedule on."
    ),
)
def nightly_ingestion(
    context: ScheduleEvaluationContext,
    settings: ResourceParam[Settings],
    store: ResourceParam[Store],
) -> list[RunRequest] | SkipReason:
    """Return a run for each instrument and month that the session is in."""
    day = local_day(context, settings)
    closed = why_closed(day, settings.schedule_calendar, store)
    if closed:
        return SkipReason(closed)
    symbols = scheduled_symbols(settings, store)
    if not symbols:
        return SkipReason("no instrument is stored, and QUARTERDECK_SCHEDULE_SYMBOLS names none")
    known = set(context.instance.get_dynamic_partitions(SYMBOL))
    missing = [symbol for symbol in symbols if symbol not in known]
    if missing:
        context.instance.add_dynamic_partitions(SYMBOL, missing)
    config = {"source": settings.schedule_source, "timeframe": settings.schedule_timeframe}
    return [
        RunRequest(
            run_key=f"ingest {symbol} {month} on {day}",
            partition_key=MultiPartitionKey({SYMBOL: symbol, MONTH: month}),
            run_config={"ops": {"ingested_bars": {"config": config}}},
            tags={VENDOR_TAG: settings.schedule_source},
        )
        for symbol in symbols
        for month in months_of(day)
    ]


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
) -> list[RunRequest] | SkipReason:
    """Return a run for each instrument with intraday bars."""
    from market_data.timeframes import parse_timeframe

    day = local_day(context, settings)
    closed = why_closed(day, settings.schedule_calendar, store)
    if closed:
        return SkipReason(closed)
    origins = {symbol: shortest(store, symbol) for symbol in store.symbols()}
    symbols = [
        symbol
        for symbol, series in origins.items()
        if series is not None and parse_timeframe(series.timeframe).intraday
    ]
    if not symbols:
        return SkipReason("no instrument has bars within the day")
    return [_of_symbol(context, symbol, f"resample {symbol} on {day}") for symbol in symbols]


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
) -> list[RunRequest] | SkipReason:
    """Return a run for each stored instrument."""
    day = local_day(context, settings)
    closed = why_closed(day, settings.schedule_calendar, store)
    if closed:
        return SkipReason(closed)
    symbols = store.symbols()
    if not symbols:
        return SkipReason("no instrument is stored")
    return [_of_symbol(context, symbol, f"check {symbol} on {day}") for symbol in symbols]


def local_day(context: ScheduleEvaluationContext, settings: Settings) -> date:
    """Return the date at the exchange when the schedule was due."""
    due: datetime = context.scheduled_execution_time
    return due.astimezone(ZoneInfo(settings.schedule_timezone)).date()


def why_closed(day: date, calendar: str, store: Store) -> str:
    """Return why nothing is to be done on a day, empty for a day with a session."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo("UTC"))
    moment = int(noon.timestamp()) * 1_000_000_000
    sessions = store.sessions(calendar, moment, moment)
    n_days = (day - date(1970, 1, 1)).days
    return "" if n_days in sessions.date else f"{calendar} has no session on {day}"


def scheduled_symbols(settings: Settings, store: Store) -> list[str]:
    """Return the instruments that are ingested: those in the settings, or all that are stored.

    Those of a second source are left out: they come from elsewhere.
    """
    if settings.schedule_symbols:
        return [symbol.strip() for symbol in settings.schedule_symbols.split(",") if symbol.strip()]
    from market_data.generator import SIM

    return [name for name in store.symbols() if not source_of(name) and name != SIM.symbol]


def months_of(day: date) -> Iterator[str]:
    """Yield the months whose bars may be new on a day, oldest first, by their first days.

    Examples
    --------
    >>> list(months_of(date(2024, 3, 4))), list(months_of(date(2024, 3, 20)))
    (['2024-02-01', '2024-03-01'], ['2024-03-01'])
    """
    first = day.replace(day=1)
    if day.day <= N_DAYS_OF_LAST_MONTH:
        yield (first - timedelta(days=1)).replace(day=1).isoformat()
    yield first.isoformat()


def _of_symbol(context: ScheduleEvaluationContext, symbol: str, run_key: str) -> RunRequest:
    if symbol not in context.instance.get_dynamic_partitions(SYMBOL):
        context.instance.add_dynamic_partitions(SYMBOL, [symbol])
    return RunRequest(run_key=run_key, partition_key=symbol)


SCHEDULES = [nightly_ingestion, nightly_resampling, nightly_checks]
