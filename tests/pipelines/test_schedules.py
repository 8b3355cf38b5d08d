"""What is done by the clock: after the exchange's close, and not on days without a session."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from dagster import DagsterInstance, DagsterRunStatus, SkipReason, build_schedule_context
from dagster._utils.schedules import schedule_execution_time_iterator

from foundation.clock import FixedClock
from foundation.settings import load_settings
from market_data.columns import BarColumns
from market_data.importing import import_file
from market_data.store import Store
from pipelines.definitions import definitions
from pipelines.schedules import (
    SCHEDULES,
    months_of,
    nightly_checks,
    nightly_ingestion,
    nightly_resampling,
    why_closed,
)


@pytest.fixture
def instance(tmp_path):
    """Give an instance on disk, which a schedule opens by itself."""
    (tmp_path / "dagster").mkdir()
    with DagsterInstance.local_temp(str(tmp_path / "dagster")) as opened:
        yield opened


@pytest.fixture
def store(home, file_of_bars):
    found = Store(home)
    import_file(found, file_of_bars(days=5), symbol="ACME", calendar="XNYS")
    return found


@pytest.fixture
def minutes(store, tmp_path):
    path = tmp_path / "minutes.csv"
    rows = [
        f"2012-01-03 {9 + (30 + m) // 60:02}:{(30 + m) % 60:02},10,11,9,10,5" for m in range(390)
    ]
    path.write_text("\n".join(["time,open,high,low,close,volume", *rows]) + "\n")
    import_file(
        store, path, symbol="FAST", timeframe="1m", calendar="XNYS", timezone="America/New_York"
    )
    return store


def evaluate(schedule, instance, when, now=None, **resources):
    """Return what a schedule asks for that was due at a time (UTC), at once or when it is now."""
    due = datetime.fromisoformat(when).replace(tzinfo=UTC)
    clock = FixedClock(due if now is None else datetime.fromisoformat(now).replace(tzinfo=UTC))
    context = build_schedule_context(
        instance,
        scheduled_execution_time=due,
        resources={"settings": load_settings(), "clock": clock} | resources,
    )
    return schedule(context)


# 22:30 UTC is 18:30 in New York in summer, an hour earlier in winter.
def test_the_night_of_a_session_asks_the_vendor_for_each_instrument(instance, store):
    (found,) = evaluate(nightly_ingestion, instance, "2024-07-10 22:30", store=store)
    assert found.partition_key.keys_by_dimension == {"symbol": "ACME", "month": "2024-07-01"}
    assert found.tags["quarterdeck/vendor"] == "yahoo"
    assert found.run_config == {
        "ops": {"ingested_bars": {"config": {"source": "yahoo", "timeframe": "1d"}}}
    }
    assert instance.get_dynamic_partitions("symbol") == ["ACME"]


def test_the_first_week_of_a_month_asks_for_the_last_one_too(instance, store):
    found = evaluate(nightly_ingestion, instance, "2024-07-03 22:30", store=store)
    assert [one.partition_key.keys_by_dimension["month"] for one in found] == [
        "2024-06-01", "2024-07-01",
    ]  # fmt: skip
    assert months_of(date(2024, 1, 7)) == ["2023-12-01", "2024-01-01"]
    assert months_of(date(2024, 1, 8)) == ["2024-01-01"]


def write_daily(store, source):
    """Store a bar of ACME on 2024-04-19 as the vendor's ingestion does."""
    day = np.array([np.datetime64("2024-04-19", "D")])
    columns = BarColumns(
        day.astype("M8[ns]").astype(np.int64) + 20 * 3_600_000_000_000,
        day.astype(np.int64),
        np.array([[10.0], [11.0], [9.0], [10.0], [5.0]]),
    )
    store.write_bars("LATE", "1d", columns, calendar="XNYS", source=source)


def test_after_nights_that_were_missed_the_months_since_the_last_bar_are_asked_for(
    instance, store, monkeypatch
):
    write_daily(store, source="yahoo")
    monkeypatch.setenv("QUARTERDECK_SCHEDULE_SYMBOLS", "LATE")
    found = evaluate(nightly_ingestion, instance, "2024-07-10 22:30", store=store)
    assert [one.partition_key.keys_by_dimension["month"] for one in found] == [
        "2024-04-01", "2024-05-01", "2024-06-01", "2024-07-01",
    ]  # fmt: skip
    # A year at most: who wants more asks for it.
    found = evaluate(nightly_ingestion, instance, "2026-07-10 22:30", store=store)
    assert len(found) == 13
    assert found[0].partition_key.keys_by_dimension["month"] == "2025-07-01"


def test_what_another_source_gave_says_nothing_about_what_the_vendor_was_asked_for(
    instance, store, monkeypatch
):
    write_daily(store, source="files")
    monkeypatch.setenv("QUARTERDECK_SCHEDULE_SYMBOLS", "LATE")
    found = evaluate(nightly_ingestion, instance, "2024-07-10 22:30", store=store)
    assert [one.partition_key.keys_by_dimension["month"] for one in found] == ["2024-07-01"]


# Thursday 2024-07-18 to Monday 2024-07-22, 20:30 in New York, when the machine was off.
def test_of_nights_that_are_due_at_once_the_latest_with_a_session_does_the_work(instance, store):
    on_monday = "2024-07-22 13:00"  # Before that day's own night.
    asked = {
        when: evaluate(nightly_checks, instance, when, on_monday, store=store)
        for when in ("2024-07-19 00:30", "2024-07-20 00:30", "2024-07-21 00:30", "2024-07-22 00:30")
    }
    thursday, friday, saturday, sunday = asked.values()
    assert "that of 2024-07-19 is due too, and does the work of both" in thursday.skip_message
    assert [one.run_key for one in friday] == ["check ACME on 2024-07-19"]
    for night in (saturday, sunday):
        assert "XNYS has no session" in night.skip_message
    # Monday's own night is due from 20:30 on, to the minute.
    late = evaluate(nightly_checks, instance, "2024-07-20 00:30", "2024-07-23 00:29", store=store)
    assert len(late) == 1
    late = evaluate(nightly_checks, instance, "2024-07-20 00:30", "2024-07-23 00:30", store=store)
    assert "that of 2024-07-22 is due too" in late.skip_message


def test_a_night_does_not_ask_again_for_what_the_night_before_has_not_done(instance, minutes):
    first = evaluate(nightly_checks, instance, "2024-07-11 00:30", store=minutes)
    assert [one.partition_key for one in first] == ["ACME", "FAST"]
    job = definitions.resolve_job_def("check")
    runs = [
        instance.create_run_for_job(
            job, tags={"dagster/partition": symbol}, status=DagsterRunStatus.NOT_STARTED
        )
        for symbol in ("ACME", "FAST")
    ]
    skipped = evaluate(nightly_checks, instance, "2024-07-12 00:30", store=minutes)
    assert skipped.skip_message == "all 2 runs of an earlier night are still to be done"
    instance.report_run_failed(runs[0], "it died")
    again = evaluate(nightly_checks, instance, "2024-07-12 00:30", store=minutes)
    assert [one.run_key for one in again] == ["check ACME on 2024-07-11"]
    # Another job's runs of the same instruments are no concern of it.
    found = evaluate(nightly_resampling, instance, "2024-07-11 23:30", store=minutes)
    assert [one.partition_key for one in found] == ["FAST"]


def test_a_month_of_an_instrument_that_waits_for_the_vendor_is_not_asked_for_twice(instance, store):
    (found,) = evaluate(nightly_ingestion, instance, "2024-07-10 22:30", store=store)
    assert str(found.partition_key) == "2024-07-01|ACME"
    instance.create_run_for_job(
        definitions.resolve_job_def("ingest"),
        tags={"dagster/partition": str(found.partition_key)},
        status=DagsterRunStatus.NOT_STARTED,
    )
    again = evaluate(nightly_ingestion, instance, "2024-07-11 22:30", store=store)
    assert "all 1 runs of an earlier night are still to be done" in again.skip_message


@pytest.mark.parametrize(
    ("change", "first_day", "hours"),
    [
        # New York's clocks went forward on 2024-03-10 and back on 2024-11-03, both at 2:00.
        ("forward", date(2024, 3, 8), [1, 1, 0, 0]),
        ("back", date(2024, 11, 1), [0, 0, 1, 1]),
    ],
)
def test_when_clocks_change_each_night_comes_once_at_the_same_hour_of_the_wall(
    change, first_day, hours
):
    zone = ZoneInfo("America/New_York")
    begin = datetime.combine(first_day, time(12), zone)
    for schedule in SCHEDULES:
        ticks = schedule_execution_time_iterator(
            begin.timestamp(), schedule.cron_schedule, schedule.execution_timezone
        )
        found = [next(ticks) for _ in hours]
        assert [tick.astimezone(zone).date() for tick in found] == [
            first_day + timedelta(days=n) for n in range(len(hours))
        ]
        assert len({tick.astimezone(zone).time() for tick in found}) == 1
    # The last one of the night is at 20:30: 01:30 UTC in winter, 00:30 in summer.
    assert [tick.astimezone(UTC).hour for tick in found] == hours


# Independence Day 2024 was a Thursday; the day before closed early, at 13:00.
@pytest.mark.parametrize("when", ["2024-07-04 22:30", "2024-07-06 22:30", "2024-07-07 22:30"])
@pytest.mark.parametrize("schedule", [nightly_ingestion, nightly_resampling, nightly_checks])
def test_nothing_is_done_on_holidays_and_weekends(instance, minutes, schedule, when):
    found = evaluate(schedule, instance, when, store=minutes)
    assert isinstance(found, SkipReason)
    assert f"XNYS has no session on {when[:10]}" in found.skip_message


def test_the_day_is_the_exchanges_and_not_the_machines(store):
    # Sunday evening in New York is Monday in Sydney, and Tokyo's exchange keeps its own days.
    assert why_closed(date(2024, 7, 4), "XTKS", store) == ""
    assert why_closed(date(2024, 7, 15), "XTKS", store) == "XTKS has no session on 2024-07-15"


def test_instruments_of_the_settings_win_over_those_stored(instance, store, monkeypatch):
    monkeypatch.setenv("QUARTERDECK_SCHEDULE_SYMBOLS", "AAA, BBB")
    monkeypatch.setenv("QUARTERDECK_SCHEDULE_SOURCE", "alpaca")
    found = evaluate(nightly_ingestion, instance, "2024-07-10 22:30", store=store)
    assert [one.partition_key.keys_by_dimension["symbol"] for one in found] == ["AAA", "BBB"]
    assert {one.tags["quarterdeck/vendor"] for one in found} == {"alpaca"}


def test_only_instruments_with_bars_within_the_day_are_resampled(instance, minutes):
    found = evaluate(nightly_resampling, instance, "2024-07-10 23:30", store=minutes)
    assert [one.partition_key for one in found] == ["FAST"]
    checked = evaluate(nightly_checks, instance, "2024-07-11 00:30", store=minutes)
    assert [one.partition_key for one in checked] == ["ACME", "FAST"]
    assert len({one.run_key for one in [*found, *checked]}) == 3


def test_a_vendor_is_asked_only_after_someone_switched_it_on():
    states = {one.name: one.default_status.value for one in SCHEDULES}
    assert states == {
        "nightly_ingestion": "STOPPED",
        "nightly_resampling": "RUNNING",
        "nightly_checks": "RUNNING",
    }
    assert {one.execution_timezone for one in SCHEDULES} == {"America/New_York"}
    assert all(one.description for one in SCHEDULES)
    assert {one.name for one in definitions.schedules} == set(states)
