"""The DuckDB catalogue: right after every write, never in anybody's way."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from foundation.errors import DataError
from market_data import catalogue
from market_data.building import dated_actions
from market_data.catalogue import CATALOGUE_NAME, open_catalogue, rebuild_catalogue, series_sql
from tests.market_data.making import join, minutes, write
from trading.instruments import Instrument

ROOT = Path(__file__).resolve().parents[2]


def _ask(store, sql):
    connection = open_catalogue(store)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def test_empty_store_has_empty_views(store):
    for name in ("bars", "actions", "series", "instruments"):
        assert _ask(store, f"SELECT count(*) FROM {name}") == [(0,)]


def test_views_show_what_is_stored(store):
    write(store, join(minutes(date(2024, 1, 5)), minutes(date(2024, 2, 5), close=12.0)))
    store.write_bars("BTC/USD", "1m", minutes(date(2024, 1, 5), 3), calendar="XNYS", source="t")
    store.write_instrument(Instrument("X", tick=0.01))
    store.write_actions("X", dated_actions([(date(2024, 2, 5), 2.0, 0.25)]), "test")
    assert _ask(
        store,
        "SELECT symbol, timeframe, month(session), count(*), max(close) FROM bars "
        "GROUP BY ALL ORDER BY ALL",
    ) == [("BTC/USD", "1m", 1, 3, 10.0), ("X", "1m", 1, 10, 10.0), ("X", "1m", 2, 10, 12.0)]
    assert _ask(store, "SELECT * FROM actions") == [("X", date(2024, 2, 5), 2.0, 0.25, "test")]
    assert _ask(store, "SELECT symbol, rows FROM series ORDER BY 1") == [("BTC/USD", 3), ("X", 20)]
    assert _ask(store, "SELECT symbol, tick, shortable FROM instruments") == [("X", 0.01, True)]
    assert _ask(
        store,
        "SELECT hour(open), minute(open) FROM sessions WHERE date = '2024-01-05' AND "
        "calendar = 'XNYS'",
    ) == [(14, 30)]


def test_catalogue_follows_the_store(store):
    write(store, minutes(date(2024, 1, 5), 5))
    assert _ask(store, "SELECT count(*) FROM bars") == [(5,)]
    write(store, minutes(date(2024, 1, 5), 9))
    assert _ask(store, "SELECT count(*) FROM bars") == [(9,)]


def test_catalogue_is_written_only_when_the_store_changed(store):
    write(store, minutes(date(2024, 1, 5), 5))
    _ask(store, "SELECT 1")
    before = (store.home / CATALOGUE_NAME).stat()
    _ask(store, "SELECT 1")
    assert (store.home / CATALOGUE_NAME).stat().st_ino == before.st_ino


def test_bars_with_and_without_quotes_stand_in_one_view(store):
    write(store, minutes(date(2024, 1, 5), 2))
    write(store, minutes(date(2024, 2, 5), 2, quotes=True))
    rows = _ask(store, "SELECT bid_close FROM bars ORDER BY ts")
    assert rows == [(None,), (None,), (9.0,), (9.0,)]


def test_open_reader_does_not_keep_a_rebuild_or_another_reader_out(store):
    write(store, minutes(date(2024, 1, 5), 5))
    old = open_catalogue(store)
    write(store, minutes(date(2024, 2, 5), 5))
    new = open_catalogue(store)
    assert new.execute("SELECT count(*) FROM bars").fetchall() == [(10,)]
    assert old.execute("SELECT count(*) FROM bars").fetchall() == [(5,)]
    old.close()
    new.close()


def test_readers_in_other_processes_are_not_locked_out(store):
    write(store, minutes(date(2024, 1, 5), 5))
    ours = open_catalogue(store)
    script = """
import sys
from market_data.catalogue import open_catalogue
from market_data.store import Store
print(open_catalogue(Store(sys.argv[1])).execute("SELECT count(*) FROM bars").fetchone()[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(store.home)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "5"
    rebuild_catalogue(store)
    assert ours.execute("SELECT count(*) FROM bars").fetchall() == [(5,)]
    ours.close()


def test_damaged_catalogue_is_rebuilt(store):
    write(store, minutes(date(2024, 1, 5), 5))
    (store.home / CATALOGUE_NAME).write_bytes(b"rubbish" * 1000)
    assert _ask(store, "SELECT count(*) FROM bars") == [(5,)]


def test_sql_for_one_series_opens_the_files_of_its_time_only(store):
    write(store, join(minutes(date(2024, 1, 5)), minutes(date(2024, 2, 5), close=12.0)))
    store.write_bars("Y", "1m", minutes(date(2024, 2, 5), 3), calendar="XNYS", source="t")
    with open_catalogue(store) as connection:
        sql = series_sql(connection, "X", "1m", start=datetime(2024, 2, 1, tzinfo=UTC))
        assert "2024-02." in sql
        assert "2024-01." not in sql
        found = connection.execute(f"SELECT count(*), min(close) FROM ({sql})").fetchall()
        assert found == [(10, 12.0)]
        end = store.find_series("X", "1m").first + timedelta(minutes=3)
        until = connection.execute(series_sql(connection, "X", "1m", end=end)).fetchall()
        assert len(until) == 3
        with pytest.raises(DataError, match="no 5m bars of X are stored of that time"):
            series_sql(connection, "X", "5m")


def test_sql_alone_finds_the_files_of_a_series(store):
    write(store, join(minutes(date(2024, 1, 5)), minutes(date(2024, 2, 5))))
    with open_catalogue(store) as connection:
        connection.execute(
            "SET VARIABLE parts = (SELECT list(path ORDER BY first_ts) FROM files "
            "WHERE symbol = 'X' AND timeframe = '1m')"
        )
        found = connection.execute(
            "SELECT count(*) FROM read_parquet(getvariable('parts'), union_by_name = true)"
        ).fetchall()
    assert found == [(20,)]


def test_files_with_and_without_quotes_are_one_view(store):
    plain = minutes(date(2024, 1, 5), 4)
    write(store, plain)
    quoted = replace(plain, bid=plain.prices[:4] - 0.5, ask=plain.prices[:4] + 0.5)
    store.write_bars("Q", "1m", quoted, calendar="XNYS", source="t")
    assert _ask(
        store, "SELECT symbol, count(*), count(bid_close) FROM bars GROUP BY ALL ORDER BY ALL"
    ) == [("Q", 4, 4), ("X", 4, 0)]


def test_only_new_files_are_opened_for_a_new_catalogue(store, monkeypatch):
    write(store, minutes(date(2024, 1, 5)))
    rebuild_catalogue(store)
    write(store, minutes(date(2024, 2, 5)))
    opened = []
    columns_of = catalogue._columns_of

    def note(place):
        opened.append(place.name[:7])
        return columns_of(place)

    monkeypatch.setattr(catalogue, "_columns_of", note)
    rebuild_catalogue(store)
    assert opened == ["2024-02"]
