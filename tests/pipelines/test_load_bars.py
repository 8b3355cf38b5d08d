"""The job `load_bars`, run in this process on a data home of its own."""

from __future__ import annotations

import json

import pytest

from market_data.store import Store
from pipelines.definitions import definitions


@pytest.fixture
def load(home, instance):
    """Return a function that runs the job for one symbol and gives its result."""

    def run(symbol: str, **options: object):
        instance.add_dynamic_partitions("symbol", [symbol])
        return definitions.resolve_job_def("load_bars").execute_in_process(
            {"ops": {"bars": {"config": options}}},
            partition_key=symbol,
            instance=instance,
            raise_on_error=False,
        )

    return run


def checks_of(result) -> dict[str, bool]:
    return {e.check_name: e.passed for e in result.get_asset_check_evaluations()}


def message_of(result) -> str:
    failed = [e for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    return failed[0].event_specific_data.error_display_string


def test_an_instrument_of_the_sample_set_comes_from_the_repository(load, home):
    done = load("AAPL")
    assert done.success
    metadata = done.get_asset_materialization_events()[0].materialization.metadata
    # 2000-03-01 to 2013-03-01 has 3,270 sessions; the WIKI file has a bar for each.
    assert metadata["dagster/partition_row_count"].value == 3270
    assert "| 1d | 3,270 | 2000-03-01 | 2013-03-01 | XNYS | Quandl WIKI, public domain |" in (
        metadata["Series"].value
    )
    assert set(checks_of(done)) == {
        "row_count", "quality_times", "quality_prices", "quality_moves", "quality_staleness",
        "quality_volume", "quality_quotes",
    }  # fmt: skip
    assert all(checks_of(done).values())


def test_a_file_is_imported_and_doing_it_again_changes_nothing(load, home, file_of_bars):
    path = str(file_of_bars(6))
    first = load("ACME", file=path, calendar="XNYS")
    assert first.success
    files = {p: p.read_bytes() for p in home.glob("bars/**/*") if p.is_file()}
    second = load("ACME", file=path, calendar="XNYS")
    assert second.success
    assert {p: p.read_bytes() for p in home.glob("bars/**/*") if p.is_file()} == files
    assert Store(home).find_series("ACME", "1d").rows == 6


def test_a_session_without_bars_is_a_warning(load, file_of_bars):
    done = load("ACME", file=str(file_of_bars(6, without=("2012-01-05",))), calendar="XNYS")
    assert done.success
    check = next(e for e in done.get_asset_check_evaluations() if e.check_name == "quality_times")
    assert not check.passed
    assert check.severity.value == "WARN"
    assert check.description == ("1d missing_sessions: no bars in 1 sessions of XNYS: 2012-01-05")
    assert check.metadata["Warning findings"].value == 1


def test_a_series_that_holds_fewer_bars_than_it_says_fails_its_check(load, home, file_of_bars):
    load("ACME", file=str(file_of_bars(6)), calendar="XNYS")
    series = Store(home).series_folder("ACME", "1d") / "series.json"
    fields = json.loads(series.read_text())
    fields["files"][0]["rows"] = 7
    series.write_text(json.dumps(fields))
    assert checks_of(load("ACME"))["row_count"] is False


def test_a_symbol_that_is_nowhere_fails_with_one_line(load):
    failed = load("NONE")
    assert not failed.success
    assert "no bars of NONE are stored, and it is not in the sample set" in message_of(failed)


def test_a_damaged_file_fails_with_one_line_and_stores_nothing(load, home, tmp_path):
    path = tmp_path / "bars.csv"
    path.write_text("date,open,high,low,close,volume\n2012-01-03,10,9,11,10,1\n")
    failed = load("ACME", file=str(path), timeframe="1d", calendar="XNYS")
    assert "high 9 is below low 11" in message_of(failed)
    assert "DataError" not in message_of(failed)
    assert Store(home).symbols() == []
