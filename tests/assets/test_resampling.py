"""The asset `resampled_bars` stores longer bars, and stays within what is its own."""

from __future__ import annotations

import pytest
from dagster import DagsterInstance

from market_data.importing import import_file
from market_data.store import Store
from pipelines.definitions import definitions


@pytest.fixture
def resample(home):
    """Return a function that runs the job for a symbol."""
    with DagsterInstance.ephemeral() as instance:

        def run(symbol: str, **options: object):
            instance.add_dynamic_partitions("symbol", [symbol])
            return definitions.resolve_job_def("resample").execute_in_process(
                {"ops": {"resampled_bars": {"config": options}}},
                partition_key=symbol,
                instance=instance,
                raise_on_error=False,
            )

        yield run


@pytest.fixture
def store(home):
    return Store(home)


def write_minutes(store, tmp_path, last_close="10", **options):
    """Store the session of 2012-01-03: 390 minutes, of which the n-th has volume n."""
    path = tmp_path / "minutes.csv"
    rows = []
    for m in range(390):
        close = last_close if m == 389 else "10"
        rows.append(
            f"2012-01-03 {9 + (30 + m) // 60:02}:{(30 + m) % 60:02},10,11,9,{close},{m + 1}"
        )
    path.write_text("\n".join(["time,open,high,low,close,volume", *rows]) + "\n")
    import_file(
        store, path, symbol="ACME", timeframe="1m", calendar="XNYS", timezone="America/New_York",
        **options,
    )  # fmt: skip


def test_a_session_of_minutes_gives_bars_of_each_timeframe(resample, store, tmp_path):
    write_minutes(store, tmp_path)
    done = resample("ACME", timeframes=["5m", "1h", "1d"])
    assert done.success
    # 6.5 hours: 78 bars of five minutes, and seven of an hour, the last of half an hour.
    assert {name: store.find_series("ACME", name).rows for name in ("5m", "1h", "1d")} == {
        "5m": 78, "1h": 7, "1d": 1,
    }  # fmt: skip
    five, _ = store.read_columns("ACME", "5m")
    assert five.prices[4, 0] == 1 + 2 + 3 + 4 + 5
    day, series = store.read_columns("ACME", "1d")
    assert day.prices[4, 0] == 390 * 391 / 2
    assert series.source == "made of 1m bars"
    (event,) = done.get_asset_materialization_events()
    assert event.materialization.metadata["dagster/partition_row_count"].value == 78 + 7 + 1


def test_doing_it_again_changes_no_file(resample, store, home, tmp_path):
    write_minutes(store, tmp_path)
    resample("ACME")
    files = {p: p.read_bytes() for p in home.glob("bars/**/*") if p.is_file()}
    assert resample("ACME").success
    assert {p: p.read_bytes() for p in home.glob("bars/**/*") if p.is_file()} == files


def test_a_revised_minute_revises_the_bars_made_of_it(resample, store, tmp_path):
    write_minutes(store, tmp_path)
    resample("ACME")
    write_minutes(store, tmp_path, last_close="10.5", overwrite=True)
    assert resample("ACME").success
    for timeframe in ("5m", "1d"):
        columns, _ = store.read_columns("ACME", timeframe)
        assert columns.prices[3, -1] == 10.5


def test_daily_bars_of_another_source_stay_as_they_are(resample, store, tmp_path):
    path = tmp_path / "days.csv"
    path.write_text("date,open,high,low,close,volume\n2012-01-03,10,12,8,10,7\n")
    import_file(store, path, symbol="ACME", timeframe="1d", calendar="XNYS")
    write_minutes(store, tmp_path)
    resample("ACME")
    day, series = store.read_columns("ACME", "1d")
    assert day.prices[1, 0] == 12
    assert not series.source.startswith("made of ")


def test_an_instrument_that_is_not_stored_fails_with_one_line(resample):
    failed = resample("NONE")
    assert not failed.success
    failure = next(e for e in failed.all_events if e.event_type_value == "STEP_FAILURE")
    assert "no bars of NONE are stored" in failure.step_failure_data.error_display_string
