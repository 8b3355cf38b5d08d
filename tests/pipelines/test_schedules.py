"""What is done by the clock: after the exchange's close, and not on days without a session."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from dagster import DagsterInstance, SkipReason, build_schedule_context

from foundation.settings import load_settings
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


def evaluate(schedule, instance, when, **resources):
    """Return what a schedule asks for at a time of New York."""
    due = datetime.fromisoformat(when).replace(tzinfo=UTC)
    context = build_schedule_context(
        instance, scheduled_execution_time=due, resources={"settings": load_settings()} | resources
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
    assert list(months_of(date(2024, 1, 7))) == ["2023-12-01", "2024-01-01"]
    assert list(months_of(date(2024, 1, 8))) == ["2024-01-01"]


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
