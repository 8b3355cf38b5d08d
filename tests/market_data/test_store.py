"""The store: whole or unchanged, idempotent, safe with several writers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from foundation.errors import DataError
from market_data.building import dated_actions
from market_data.sessions import days_of
from market_data.store import Store
from tests.market_data.full_disk import largest_file
from tests.market_data.making import join, minutes, write
from trading.instruments import Instrument

ROOT = Path(__file__).resolve().parents[2]


def _content(home):
    """Return every file of a home with its bytes and time of change."""
    files = sorted(path for path in home.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_minute_bars_lie_in_a_file_for_each_month_and_daily_bars_in_one(store):
    write(store, join(minutes(date(2024, 1, 5)), minutes(date(2024, 2, 5))))
    write(store, join(minutes(date(2024, 1, 5), 1), minutes(date(2024, 2, 5), 1)), "1d")
    names = [file.name.split(".")[0] for file in store.find_series("X", "1m").files]
    assert names == ["2024-01", "2024-02"]
    assert [file.name.split(".")[0] for file in store.find_series("X", "1d").files] == ["all"]
    assert (store.home / "bars/timeframe=1m/symbol=X/series.json").exists()


def test_what_is_written_is_read_to_the_bit(store):
    columns = minutes(date(2024, 1, 5), 50, quotes=True)
    columns.prices[:] = np.random.default_rng(1).random((5, 50)) * 1e6
    columns.bid[2, 7] = np.nan
    write(store, columns)
    read, _ = store.read_columns("X", "1m")
    assert read.equals(columns)


def test_writing_the_same_bars_again_changes_no_file(store):
    columns = join(minutes(date(2024, 1, 5)), minutes(date(2024, 2, 5)))
    write(store, columns)
    before = _content(store.home)
    write(store, columns)
    write(store, columns.select(slice(0, 5)))
    assert _content(store.home) == before


def test_same_bars_give_the_same_bytes_in_any_order_of_writing(tmp_path):
    january, february = minutes(date(2024, 1, 5)), minutes(date(2024, 2, 5))
    one, other = Store(tmp_path / "one"), Store(tmp_path / "other")
    write(one, join(january, february))
    write(other, february)
    write(other, january.select(slice(5, 10)))
    write(other, january.select(slice(0, 5)))

    def files(store):
        return {
            str(Path(path).relative_to(store.home)): content
            for path, (content, _) in _content(store.home).items()
        }

    assert files(one) == files(other)


def test_new_bars_join_the_stored_ones_in_time_order(store):
    columns = minutes(date(2024, 1, 5), 30)
    write(store, columns.select(slice(10, 20)))
    write(store, columns.select(slice(0, 12)))
    after = write(store, columns.select(slice(18, 30)), source="another")
    assert after.rows == 30
    assert after.sources == ("test", "another")
    read, _ = store.read_columns("X", "1m")
    assert read.equals(columns)


def test_stored_bars_are_not_changed_by_others_of_the_same_time(store):
    write(store, minutes(date(2024, 1, 5)))
    before = _content(store.home)
    with pytest.raises(DataError, match=r"10 stored bars have other values .* close 10, new 11"):
        write(store, minutes(date(2024, 1, 5), close=11.0))
    assert _content(store.home) == before
    write(store, minutes(date(2024, 1, 5), 4, close=11.0), overwrite=True)
    read, _ = store.read_columns("X", "1m")
    assert read.prices[3].tolist() == [11.0] * 4 + [10.0] * 6


def test_a_bad_month_keeps_the_good_months_of_the_same_import_out(store):
    write(store, minutes(date(2024, 2, 5)))
    before = _content(store.home)
    with pytest.raises(DataError, match="other values"):
        write(store, join(minutes(date(2024, 1, 5)), minutes(date(2024, 2, 5), close=11.0)))
    assert _content(store.home) == before


def test_replaced_files_are_removed(store):
    write(store, minutes(date(2024, 1, 5), 5))
    write(store, minutes(date(2024, 1, 5), 9))
    series = store.find_series("X", "1m")
    folder = store.series_folder("X", "1m")
    assert [path.name for path in folder.glob("*.parquet")] == [series.files[0].name]


def test_bars_of_another_calendar_are_refused(store):
    write(store, minutes(date(2024, 1, 5)))
    with pytest.raises(DataError, match="have calendar XNYS, the new ones 24/7"):
        store.write_bars("X", "1m", minutes(date(2024, 1, 6)), calendar="24/7", source="t")


def test_only_the_months_that_are_asked_for_are_read(store, ns):
    write(store, join(*(minutes(date(2024, month, 5)) for month in (1, 2, 3))))
    read, _ = store.read_columns("X", "1m", first_ns=ns("2024-02-01"), last_ns=ns("2024-03-01"))
    assert np.unique(read.session).tolist() == [days_of(date(2024, 2, 5))]


def test_symbols_with_odd_letters_have_a_place(store):
    for symbol in ("BTC/USD", "^GSPC", "BRK.B", "A=B C"):
        store.write_bars(symbol, "1m", minutes(date(2024, 1, 5)), calendar="XNYS", source="t")
        store.write_instrument(Instrument(symbol))
    assert store.symbols() == ["A=B C", "BRK.B", "BTC/USD", "^GSPC"]
    assert [i.symbol for i in store.list_instruments()] == ["A=B C", "BRK.B", "BTC/USD", "^GSPC"]
    assert store.timeframes("BTC/USD") == ["1m"]


@pytest.mark.parametrize("symbol", ["", "..", " X"])
def test_symbol_that_is_no_word_is_refused(store, symbol):
    with pytest.raises(DataError, match="a symbol must be a word"):
        store.write_bars(symbol, "1m", minutes(date(2024, 1, 5)), calendar="XNYS", source="t")


def test_what_is_not_stored_is_said_with_what_is(store):
    with pytest.raises(DataError, match="no bars of Y are stored; the store is empty"):
        store.read_columns("Y", "1m")
    write(store, minutes(date(2024, 1, 5)))
    with pytest.raises(DataError, match="no bars of Y are stored; stored are X"):
        store.read_columns("Y", "1m")
    with pytest.raises(DataError, match="no 1d bars of X are stored; there are 1m"):
        store.read_columns("X", "1d")


def test_damaged_file_is_named(store):
    series = write(store, minutes(date(2024, 1, 5)))
    path = store.series_folder("X", "1m") / series.files[0].name
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=rf"{path.name} is damaged or cut off"):
        store.read_columns("X", "1m")


def test_missing_file_is_named(store):
    series = write(store, minutes(date(2024, 1, 5)))
    path = store.series_folder("X", "1m") / series.files[0].name
    path.unlink()
    with pytest.raises(DataError, match=rf"is missing: .*{path.name}"):
        store.read_columns("X", "1m")


def test_actions_and_instruments_come_back_as_written(store):
    actions = dated_actions([(date(2024, 1, 8), 2.0, 0.25), (date(2024, 1, 5), 1.0, 0.5)])
    store.write_actions("X", actions, "test")
    assert store.read_actions("X").tolist() == [
        (days_of(date(2024, 1, 5)), 1.0, 0.5),
        (days_of(date(2024, 1, 8)), 2.0, 0.25),
    ]
    assert store.read_actions("Y").shape == (0,)
    instrument = Instrument("X", tick=0.05, lot=100.0, valid_from=date(2001, 2, 3))
    store.write_instrument(instrument)
    assert store.find_instrument("X") == instrument
    assert store.find_instrument("Y") is None
    before = _content(store.home)
    store.write_actions("X", actions, "test")
    store.write_instrument(instrument)
    assert _content(store.home) == before


# Faults.


def test_full_disk_leaves_the_stored_series_whole(store):
    write(store, minutes(date(2024, 1, 5)))
    before = _content(store.home)
    large = minutes(date(2024, 1, 8), 20_000)
    large.prices[:] = np.random.default_rng(1).random(large.prices.shape)
    with largest_file(10_000), pytest.raises(DataError, match="no space left") as caught:
        write(store, join(large))
    assert "\n" not in str(caught.value)
    assert _content(store.home) == before
    assert store.read_columns("X", "1m")[0].n_bars == 10


def _run(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


_COMMON = """
import os, signal, sys
from datetime import date
import market_data.store as module
from market_data.store import Store
from tests.market_data.making import join, minutes, write
store = Store(sys.argv[1])
"""

_KILLED = (
    _COMMON
    + """
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(module, sys.argv[2], die)
write(store, join(minutes(date(2024, 1, 8)), minutes(date(2024, 2, 5))))
"""
)


@pytest.mark.parametrize("moment", ["replace_series", "remove_unnamed"])
def test_writer_killed_in_the_middle_leaves_the_old_series_or_the_new_one(store, moment):
    first = minutes(date(2024, 1, 5))
    write(store, first)
    assert _run(_KILLED, store.home, moment).wait() == -9
    read, _ = store.read_columns("X", "1m")
    expected = [10] if moment == "replace_series" else [10, 10, 10]
    assert np.unique(read.session, return_counts=True)[1].tolist() == expected
    # The next writer finishes the work and cleans up.
    both = join(minutes(date(2024, 1, 8)), minutes(date(2024, 2, 5)))
    after = write(store, both)
    read, _ = store.read_columns("X", "1m")
    assert read.equals(join(first, both))
    folder = store.series_folder("X", "1m")
    kept = sorted(path.name for path in folder.iterdir() if path.name != ".lock")
    assert kept == sorted(["series.json", *(file.name for file in after.files)])


_WRITER = (
    _COMMON
    + """
for day in range(1, 9):
    write(store, minutes(date(2024, int(sys.argv[2]), day)), source=sys.argv[2])
    write(store, minutes(date(2024, 6, day) if sys.argv[2] == "1" else date(2024, 7, day)))
"""
)


def test_two_writers_at_once_lose_nothing(store):
    writers = [_run(_WRITER, store.home, month) for month in (1, 2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    read, series = store.read_columns("X", "1m")
    assert read.n_bars == series.rows == 4 * 8 * 10
    assert bool(np.all(np.diff(read.ts) > 0))
    assert set(series.sources) == {"1", "2", "test"}


def test_reader_sees_all_of_a_write_or_nothing(store):
    days = [date(2024, month, 5) for month in (1, 2, 3)]

    def version(close):
        return join(*(minutes(day, close=close) for day in days))

    write(store, version(0.5))
    done = threading.Event()

    def rewrite():
        for i in range(12):
            write(store, version(1.0 + i), overwrite=True)
        done.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    n_read, seen = 0, set()
    while not done.is_set():
        read, _ = Store(store.home).read_columns("X", "1m")
        assert read.n_bars == 30
        assert np.unique(read.prices).shape == (1,)
        seen.add(float(read.prices[0, 0]))
        n_read += 1
    writer.join()
    assert n_read > 0
    assert Store(store.home).read_columns("X", "1m")[0].prices[0, 0] == 12.0
