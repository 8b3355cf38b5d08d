"""The store in a bucket: a real S3 client against a local server that speaks the protocol."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from foundation import objects
from foundation.errors import DataError
from foundation.objects import ContentChanged, ObjectPath
from market_data.catalogue import open_catalogue
from market_data.frames import scan_bars
from market_data.loading import load_bars
from market_data.provenance import Provenance
from market_data.sample_set import load_sample
from market_data.store import Store, open_store
from tests.local_s3 import make_bucket, s3_server
from tests.market_data.making import join, minutes, write
from trading.instruments import Instrument

ROOT = Path(__file__).resolve().parents[2]
JANUARY, FEBRUARY = date(2024, 1, 5), date(2024, 2, 5)
NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)
BUCKET = "quarterdeck-test"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(server) -> Iterator[ObjectPath]:
    client = objects._client()
    make_bucket(BUCKET)
    place = ObjectPath.of(f"s3://{BUCKET}/firm")
    yield place
    for path in _all(client):
        path.unlink(missing_ok=True)
    client.delete_bucket(Bucket=BUCKET)


def _all(client) -> list[ObjectPath]:
    found = client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return [ObjectPath(BUCKET, one["Key"]) for one in found]


@pytest.fixture
def remote(bucket, tmp_path, _calendar_home) -> Store:
    """Return a store in the bucket that knows its calendars."""
    for path in (_calendar_home / "sessions").iterdir():
        (bucket / "sessions" / path.name).write_bytes(path.read_bytes())
    return Store(bucket, local=tmp_path)


def test_what_is_written_to_a_bucket_is_read_to_the_bit(remote):
    columns = join(minutes(JANUARY, 30), minutes(FEBRUARY, 30))
    columns.prices[:] = np.random.default_rng(1).random((5, 60)) * 100
    write(remote, columns)
    read, series = Store(remote.home, local=remote.local).read_columns("X", "1m")
    assert read.equals(columns)
    assert [file.name[:7] for file in series.files] == ["2024-01", "2024-02"]
    assert [one.symbol for one in remote.list_series()] == ["X"]
    assert remote.timeframes("X") == ["1m"]


def test_a_bucket_and_a_folder_give_the_same_files_and_backtests_the_same_bars(remote, store):
    def content(home):
        names = {}
        for path in home.glob("bars/*/*/*"):
            if path.name != ".lock":
                names["/".join(str(path).split("/")[-3:])] = path.read_bytes()
        return names

    for one in (remote, store):
        load_sample(one)
    assert content(remote.home) == content(store.home)
    assert len(content(store.home)) >= 5
    here, there = (load_bars(one, "AAPL", "1d", periods=("1w",)) for one in (store, remote))
    assert here.fingerprint == there.fingerprint
    assert remote.list_instruments() == store.list_instruments()


def test_writing_the_same_bars_again_changes_no_object(remote):
    columns = minutes(JANUARY)
    write(remote, columns)
    before = dict(remote.home.glob_versions("bars/*/*/*"))
    write(remote, columns)
    assert dict(remote.home.glob_versions("bars/*/*/*")) == before


def test_replaced_objects_are_removed(remote):
    by = Provenance("vendor", "X", NOW, "a" * 64)
    for close in (10.0, 11.0):
        write(remote, minutes(JANUARY, close=close), overwrite=True, provenance=by)
    names = sorted(path.name.split(".")[0] for path in remote.home.glob("bars/*/*/*.parquet"))
    assert names == ["2024-01", "provenance", "revisions"]
    assert remote.read_revisions("X", "1m").num_rows == 50


def test_the_second_of_two_writers_does_its_work_again_and_loses_no_bar(remote, monkeypatch):
    """Between reading the series and naming the new one, another writer names his."""
    import market_data.store as module

    replace_series = module.replace_series
    columns = minutes(JANUARY, 20)
    interruptions = []

    def interrupted(folder, series, version):
        if not interruptions:
            interruptions.append(1)
            write(Store(remote.home, local=remote.local), columns.select(slice(10, 20)))
        replace_series(folder, series, version)

    monkeypatch.setattr(module, "replace_series", interrupted)
    write(remote, columns.select(slice(0, 10)))
    assert remote.read_columns("X", "1m")[0].equals(columns)


_WRITER = """
import sys
from datetime import date
from market_data.store import Store
from tests.local_s3 import make_bucket, s3_server
from tests.market_data.making import minutes, write
store = Store(sys.argv[1])
for minute in range(5):
    part = minutes(date(2024, 1, 5), 60)
    start = 5 * int(sys.argv[2]) + minute
    write(store, part.select(slice(start, start + 1)), source=sys.argv[2])
"""


def test_writers_on_several_machines_lose_no_bar(remote):
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(remote.home), str(number)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for number in range(3)
    ]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    read, series = remote.read_columns("X", "1m")
    assert read.equals(minutes(JANUARY, 15))
    assert sorted(series.sources) == ["0", "1", "2"]


def test_a_writer_whose_files_are_replaced_before_it_reads_them_begins_again(remote, monkeypatch):
    import market_data.series as module

    whole = minutes(JANUARY, 15)
    write(remote, whole.select(slice(0, 5)))
    read, others = module.read_parquet, [whole.select(slice(5, 10))]

    def read_late(path):
        if others:
            write(remote, others.pop())
        return read(path)

    monkeypatch.setattr(module, "read_parquet", read_late)
    write(remote, whole.select(slice(10, 15)))
    assert others == []
    assert remote.read_columns("X", "1m")[0].equals(whole)


def test_a_file_of_a_series_that_is_gone_is_an_error_and_no_race(remote):
    write(remote, minutes(JANUARY, 5))
    folder = remote.series_folder("X", "1m")
    (folder / remote.find_series("X", "1m").files[0].name).unlink()
    with pytest.raises(FileNotFoundError):
        write(remote, minutes(JANUARY, 15))


def test_a_writer_that_dies_before_naming_its_files_changes_nothing_for_readers(
    remote, monkeypatch
):
    import market_data.store as module

    first = minutes(JANUARY)
    write(remote, first)

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "replace_series", die)
    with pytest.raises(KeyboardInterrupt):
        write(remote, minutes(FEBRUARY))
    monkeypatch.undo()
    assert remote.read_columns("X", "1m")[0].equals(first)
    write(remote, minutes(FEBRUARY))
    assert remote.read_columns("X", "1m")[0].equals(join(first, minutes(FEBRUARY)))


def test_sql_and_data_frames_read_the_bucket(remote):
    write(remote, join(minutes(JANUARY, 30), minutes(FEBRUARY, 30, close=12.0)))
    remote.write_instrument(Instrument("X", calendar="XNYS"))
    with open_catalogue(remote) as connection:
        query = "SELECT symbol, timeframe, count(*), max(close) FROM bars GROUP BY ALL"
        assert connection.sql(query).fetchall() == [("X", "1m", 60, 12.0)]
        assert connection.sql("SELECT symbol FROM instruments").fetchall() == [("X",)]
    assert (remote.local / "catalogue.duckdb").exists()
    frame = scan_bars(remote, "X", "1m").filter(pl.col("close") > 11).collect()
    assert frame.height == 30
    assert frame["ts"].dtype == pl.Datetime("us", "UTC")


def test_the_catalogue_follows_the_bucket(remote):
    write(remote, minutes(JANUARY, 5))
    with open_catalogue(remote) as connection:
        assert connection.sql("SELECT count(*) FROM bars").fetchall() == [(5,)]
    write(remote, minutes(JANUARY, 9))
    with open_catalogue(remote) as connection:
        assert connection.sql("SELECT count(*) FROM bars").fetchall() == [(9,)]


def test_bars_in_quarantine_are_left_out_in_a_bucket_too(remote):
    bars = minutes(JANUARY, 5)
    write(remote, bars)
    remote.quarantine("X", "1m", bars.ts[:2], reason="spike", by="ann", at=NOW)
    assert remote.read_columns("X", "1m")[0].n_bars == 3
    assert scan_bars(remote, "X", "1m").collect().height == 3


def test_the_store_of_a_home_is_where_the_setting_says(remote, monkeypatch, tmp_path):
    write(remote, minutes(JANUARY))
    assert open_store(tmp_path).home == tmp_path
    monkeypatch.setenv("QUARTERDECK_STORE_URL", str(remote.home))
    opened = open_store(tmp_path)
    assert opened.find_series("X", "1m").rows == 10
    assert opened.local == tmp_path


@pytest.mark.parametrize("url", ["s3://", "s3://A_B/x", "s3:///x"])
def test_a_url_that_names_no_bucket_is_refused(url):
    with pytest.raises(DataError, match="s3://bucket/folder"):
        Store(url)


def test_what_the_object_store_refuses_is_said_in_one_line(bucket):
    absent = Store(ObjectPath.of("s3://no-such-bucket-here/bars"))
    with pytest.raises(DataError, match="no-such-bucket-here") as caught:
        absent.list_series()
    assert "\n" not in str(caught.value)


def test_a_store_that_does_not_answer_is_said_in_one_line(bucket, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    objects._client.cache_clear()
    try:
        with pytest.raises(DataError, match="can't be reached") as caught:
            Store(bucket).list_series()
    finally:
        monkeypatch.undo()
        objects._client.cache_clear()
    assert "\n" not in str(caught.value)


def test_a_file_is_replaced_only_in_the_version_that_was_read(bucket):
    path = bucket / "one.txt"
    path.replace_content(b"1", None)
    content, version = path.read_version()
    assert content == b"1"
    with pytest.raises(ContentChanged):
        path.replace_content(b"2", None)
    path.replace_content(b"2", version)
    with pytest.raises(ContentChanged):
        path.replace_content(b"3", version)
    assert path.read_text() == "2"


def test_paths_name_their_parts_as_pathlib_does(bucket):
    path = bucket / "bars" / "timeframe=1m" / "series.json"
    here = Path("/firm/bars/timeframe=1m/series.json")
    assert (path.name, path.stem, path.parent.name) == (here.name, here.stem, here.parent.name)
    assert not path.exists()
    path.write_bytes(b"{}")
    assert path.exists()
    assert path.stat().st_size == 2
    assert list(bucket.glob("bars/*/series.json")) == [path]
    assert list(bucket.glob("bars/*.json")) == []
    path.unlink()
    with pytest.raises(FileNotFoundError):
        path.read_bytes()
    with pytest.raises(FileNotFoundError):
        path.unlink()
    path.unlink(missing_ok=True)


def test_a_damaged_object_is_named(remote):
    write(remote, minutes(JANUARY))
    part = next(remote.home.glob("bars/*/*/*.parquet"))
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(DataError, match=r"s3://.*2024-01.* is damaged"):
        remote.read_columns("X", "1m")


def test_series_of_a_bucket_can_be_overwritten_with_halts(remote):
    bars = minutes(JANUARY, 6)
    write(remote, bars)
    halted = replace(bars, halted=np.arange(6) == 2)
    write(remote, halted, overwrite=True)
    assert remote.read_columns("X", "1m")[0].equals(halted)
