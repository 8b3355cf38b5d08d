"""Files that are large, packed or of many symbols: read in blocks, judged in stretches."""

from __future__ import annotations

import gzip
import hashlib
import os
import signal
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from foundation.errors import DataError
from market_data import opening, reading, rows_by_symbol
from market_data.importing import ImportOptions, import_file, import_files, read_file
from market_data.opening import find_file
from market_data.reading import BarFile
from market_data.rows_by_symbol import SymbolRows
from market_data.store import Store
from tests.market_data.full_disk import largest_file

ROOT = Path(__file__).parents[2]
HEADER = "symbol,time,open,high,low,close,volume"
ALWAYS = ImportOptions(stated={"calendar": "24/7"})


def _bars(symbol, n=300, start="2024-01-30T20:00", price=10.0, step=1):
    """Return lines of so many minutes each, whose price rises by a hundredth a bar."""
    first = np.datetime64(start, "m")
    lines = []
    for i in range(n):
        p = price + i / 100
        lines.append(
            f"{symbol},{first + i * step}:00Z,{p:.2f},{p + 1:.2f},{p - 1:.2f},{p:.2f},{100 + i}"
        )
    return lines


def _file(tmp_path, lines, name="bars.csv", header=HEADER):
    path = tmp_path / name
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


@pytest.fixture
def tiny(monkeypatch):
    """Make blocks, memory and stretches so small that every file is a large one."""
    monkeypatch.setattr(reading, "_BLOCK_BYTES", 2_000)
    monkeypatch.setattr(rows_by_symbol, "_PAGE_ROWS", 16)
    init, stretches = SymbolRows.__init__, SymbolRows.stretches

    def small(self, file, **options):
        init(self, file, **{**options, "memory_bytes": 3_000})

    monkeypatch.setattr(SymbolRows, "__init__", small)
    monkeypatch.setattr(
        SymbolRows, "stretches", lambda self, symbol: stretches(self, symbol, most_rows=100)
    )


def _interleaved(*series):
    return [line for lines in zip(*series, strict=True) for line in lines]


def _all(store):
    return {
        series.symbol: store.read_columns(series.symbol, series.timeframe)[0]
        for series in store.list_series()
    }


# The same answer however a file is cut.


@pytest.mark.parametrize("order", ["by symbol", "by time", "newest first", "shuffled"])
def test_a_file_larger_than_the_memory_is_stored_as_a_small_one(
    tmp_path, monkeypatch, request, order
):
    lines = {
        "by symbol": _bars("AA", 3000) + _bars("BB", 3000, price=50),
        "by time": _interleaved(_bars("AA", 3000), _bars("BB", 3000, price=50)),
        "newest first": _bars("AA", 3000)[::-1] + _bars("BB", 3000, price=50)[::-1],
        "shuffled": list(
            np.random.default_rng(1).permutation(_bars("AA", 3000) + _bars("BB", 3000, price=50))
        ),
    }[order]
    path = _file(tmp_path, lines)
    whole = Store(tmp_path / "whole")
    (expected,) = import_files(whole, path, ALWAYS, all_symbols=True)
    request.getfixturevalue("tiny")
    cut = Store(tmp_path / "cut")
    (found,) = import_files(cut, path, ALWAYS, all_symbols=True)
    assert found.errors == expected.errors == ()
    assert [r.findings for r in found.reports] == [r.findings for r in expected.reports]
    assert [r.rows for r in found.reports] == [3000, 3000]
    for symbol, columns in _all(whole).items():
        assert _all(cut)[symbol].equals(columns)
        # From 30 January 20:00 on for two days: two months, two parts.
        assert len(cut.find_series(symbol, "1m").files) == 2
    # A worked value: bar 2,000 of BB is 20.00 above its first.
    assert _all(cut)["BB"].prices[3, 2000] == 70.0


def test_rows_go_to_the_disk_and_come_back_in_the_files_order(tmp_path, tiny):
    path = _file(tmp_path, _bars("AA", 500)[::-1])
    rows = SymbolRows(BarFile(find_file(path)), folder=tmp_path)
    with rows:
        rows.read()
        assert rows.has_spilled
        assert rows.n_back("AA") == 499
        parts = [rows.load("AA", stretch) for stretch in rows.stretches("AA")]
    assert sum(part.n_bars for part in parts) == 500
    for part in parts:
        assert bool(np.all(np.diff(part.rows) > 0))
        assert bool(np.all(np.diff(part.times.ns) < 0))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("AA,2024-01-31T03:20:00Z,x,12,9,10,1", "line 402: open is 'x', which is no number"),
        ("AA,2024-01-31T03:20:00Z,10,12,9,10", "line 402 has 6 fields where line 1 names 7"),
        ("AA,then,10,12,9,10,1", r"line 402 doesn't \(then\)"),
        ("AA,2024-01-31T03:20:00Z,10,9,11,10,1", "line 402: high 9 is below low 11"),
        ("AA,2024-01-31T03:20:00Z,0,12,9,10,1", "line 402: open is 0, a price must be above 0"),
        ("AA,2024-01-31T03:20:00Z,10,12,9,10,-1", "line 402: volume is -1, below 0"),
        ("AA,2024-01-31T03:20:00,10,12,9,10,1", "mixed time zones|line 402: time"),
        (",2024-01-31T03:20:00Z,10,12,9,10,1", "line 402 has no symbol"),
    ],
)
def test_a_fault_far_down_a_file_is_named_by_its_line(tmp_path, store, tiny, line, message):
    lines = _bars("AA", 600)
    lines[400] = line
    with pytest.raises(DataError, match=message) as caught:
        import_file(store, _file(tmp_path, lines), calendar="24/7")
    assert str(caught.value).startswith("bars.csv: ")
    assert store.list_series() == []


def test_equal_bars_in_two_blocks_are_one_and_different_ones_are_refused(tmp_path, store, tiny):
    lines = _bars("AA", 400)
    twice = _file(tmp_path, [*lines, lines[10]])
    report = import_file(store, twice, calendar="24/7")
    assert report.rows == 400
    assert [(one.name, one.count) for one in report.findings[:2]] == [
        ("reordered", 1),
        ("duplicates_dropped", 1),
    ]
    other = lines[10].rsplit(",", 1)[0] + ",7"
    with pytest.raises(DataError, match="line 402 is another bar of the same time as line 12"):
        import_file(Store(tmp_path / "new"), _file(tmp_path, [*lines, other]), calendar="24/7")


def test_a_wrong_calendar_is_seen_over_all_stretches(tmp_path, store, tiny):
    # From Friday 15:00 New York on: 60 minutes of a session, then a weekend.
    lines = _bars("AA", 3000, start="2024-01-05T20:00")
    with pytest.raises(DataError, match=r"of 3000 bars are in no session of XNYS, first 2024-01-0"):
        import_file(store, _file(tmp_path, lines), calendar="XNYS")
    assert store.list_series() == []


def test_mixed_spacing_is_seen_in_a_later_stretch(tmp_path, store, tiny):
    late = [
        line for i, line in enumerate(_bars("AA", 1440, start="2024-02-02T00:00")) if i % 5 == 0
    ]
    lines = [*_bars("AA", 2880, start="2024-01-31T00:00"), *late]
    with pytest.raises(DataError, match="bars are 5m apart on 2024-02-02 where 1m is usual"):
        import_file(store, _file(tmp_path, lines), calendar="24/7")


def test_clock_changes_are_told_by_order_in_any_stretch(tmp_path, store, tiny):
    # Clocks in New York went back on 2024-11-03 at 02:00.
    def local(start, n):
        first = np.datetime64(start, "m")
        return [f"{first + i},1,1,1,1,1" for i in range(n)]

    lines = local("2024-11-02T12:00", 14 * 60) + local("2024-11-03T01:00", 600)
    path = _file(tmp_path, lines, header="time,open,high,low,close,volume")
    report = import_file(store, path, symbol="C", timezone="America/New_York", calendar="24/7")
    # The rest of both days is missing, and nothing else is to be said.
    assert report.rows == 14 * 60 + 600
    assert [one.name for one in report.findings] == ["missing_bars"]
    assert report.last == datetime(2024, 11, 3, 15, 59, tzinfo=UTC)


# Nothing changes before everything has passed.


def test_a_series_that_fails_at_its_end_leaves_the_old_one_and_no_files(tmp_path, store, tiny):
    import_file(store, _file(tmp_path, _bars("AA", 50, step=60)), calendar="24/7")
    folder = store.series_folder("AA", "1h")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    # A year of hours: most months are written when the last bar is judged.
    lines = _bars("AA", 9000, step=60)
    lines[-1] = lines[-1].rsplit(",", 5)[0] + ",10,9,11,10,1"
    with pytest.raises(DataError, match="line 9001: high 9 is below low 11"):
        import_file(store, _file(tmp_path, lines), calendar="24/7", overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


_KILLED = """
import os, signal, sys
from pathlib import Path
from market_data import judging
from market_data.importing import import_file
from market_data.store import Store
def die(*_):
    # All parts are written by now, none is named.
    os.kill(os.getpid(), signal.SIGKILL)
judging.GapCheck.finish = die
import_file(Store(sys.argv[1]), Path(sys.argv[2]), calendar="24/7", overwrite=True)
"""


def test_a_killed_importer_leaves_the_old_series(tmp_path, store):
    import_file(store, _file(tmp_path, _bars("AA", 50)), calendar="24/7")
    path = _file(tmp_path, _bars("AA", 5000, price=20))
    command = [sys.executable, "-c", _KILLED, str(store.home), str(path)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == -signal.SIGKILL
    assert store.read_columns("AA", "1m")[0].n_bars == 50
    # The next import removes what was left.
    import_file(store, path, overwrite=True)
    folder = store.series_folder("AA", "1m")
    kept = [one.name for one in folder.iterdir() if "partial" in one.name]
    assert kept == []
    assert store.read_columns("AA", "1m")[0].n_bars == 5000


def test_a_disk_too_full_to_sort_on_is_said_in_one_line(tmp_path, store, tiny):
    path = _file(tmp_path, _bars("AA", 2000))
    with largest_file(20_000), pytest.raises(DataError, match="no room to sort") as caught:
        import_file(store, path, calendar="24/7")
    assert "\n" not in str(caught.value)
    assert store.list_series() == []


def test_one_symbol_that_is_refused_does_not_keep_the_others_out(tmp_path, store):
    lines = _bars("AA", 100) + _bars("BB", 100) + _bars("CC", 100)
    lines[150] = lines[150].rsplit(",", 5)[0] + ",10,9,11,10,1"
    path = _file(tmp_path, lines)
    (outcome,) = import_files(store, path, ALWAYS, all_symbols=True)
    assert store.symbols() == ["AA", "CC"]
    assert outcome.errors == ("bars.csv: BB: line 152: high 9 is below low 11",)
    assert [report.symbol for report in outcome.reports] == ["AA", "CC"]
    with pytest.raises(DataError, match="line 152"):
        import_files(Store(tmp_path / "new"), path, ALWAYS, all_symbols=True, strict=True)


# Packed files.


def _packed(tmp_path, name, lines, **more):
    path = tmp_path / name
    text = ("\n".join([HEADER, *lines]) + "\n").encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("AA.csv", text)
        for member, content in more.items():
            archive.writestr(member, content)
    return path


def test_a_zip_of_one_file_is_read_as_the_file(tmp_path, store, tiny):
    report = import_file(store, _packed(tmp_path, "prices.zip", _bars("AA", 500)), calendar="24/7")
    assert (report.symbol, report.rows) == ("AA", 500)
    assert report.source.startswith("prices.zip (sha256 ")


def test_a_zip_of_several_files_is_imported_file_by_file(tmp_path, store):
    second = "\n".join([HEADER, *_bars("BB", 60)]) + "\n"
    path = _packed(tmp_path, "prices.zip", _bars("AA", 40), **{"sub/BB.csv": second})
    with pytest.raises(DataError, match=r"prices.zip: holds 2 files .*state which one as"):
        import_file(store, path, calendar="24/7")
    assert import_file(store, path / "sub/BB.csv", calendar="24/7").rows == 60
    outcomes = import_files(store, path, ALWAYS)
    assert [one.name for one in outcomes] == ["prices.zip/AA.csv", "prices.zip/sub/BB.csv"]
    assert [one.reports[0].changed for one in outcomes] == [True, False]


def test_gzip_in_blocks_is_read_and_its_cut_is_seen(tmp_path, store, tiny):
    text = ("\n".join([HEADER, *_bars("AA", 2000)]) + "\n").encode()
    path = tmp_path / "AA.csv.gz"
    path.write_bytes(gzip.compress(text))
    assert import_file(store, path, calendar="24/7").rows == 2000
    path.write_bytes(gzip.compress(text)[:-3000])
    with pytest.raises(DataError, match="cut off"):
        import_file(store, path, calendar="24/7")


def test_an_encrypted_zip_is_refused(tmp_path, store):
    path = _packed(tmp_path, "prices.zip", _bars("AA", 40))
    content = bytearray(path.read_bytes())
    # Bit 0 of the general purpose flags, in the local and the central header.
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + at] |= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"prices.zip: the archive is encrypted; unpack it"):
        import_file(store, path, calendar="24/7")


@pytest.mark.parametrize("suffix", [".zip", ".csv.gz"])
def test_a_bomb_is_refused_before_it_fills_anything(tmp_path, store, monkeypatch, suffix):
    monkeypatch.setattr(opening, "_SMALLEST_BOMB", 1 << 20)
    text = (HEADER + "\n").encode() + b"\n" * (8 << 20)
    path = tmp_path / f"bomb{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.csv", text)
    else:
        path.write_bytes(gzip.compress(text))
    with pytest.raises(DataError, match="a zip bomb, no bars"):
        import_file(store, path)


def test_a_damaged_zip_is_refused(tmp_path, store):
    path = _packed(tmp_path, "prices.zip", _bars("AA", 400))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"prices.zip: no whole zip archive, damaged or cut off"):
        import_file(store, path)


# Other ways of writing.


def test_decimal_commas_are_read_where_fields_are_cut_by_semicolons(tmp_path, store, tiny):
    lines = [line.replace(",", ";").replace(".", ",") for line in _bars("AA", 400)]
    path = _file(tmp_path, lines, header=HEADER.replace(",", ";"))
    import_file(store, path, calendar="24/7")
    columns, _ = store.read_columns("AA", "1m")
    assert columns.prices[:, 250].tolist() == [12.5, 13.5, 11.5, 12.5, 350.0]


def test_a_decimal_point_among_decimal_commas_is_refused(tmp_path, store):
    lines = [line.replace(",", ";").replace(".", ",") for line in _bars("AA", 40)]
    lines[20] = lines[20].replace("10,20;11,20", "10.20;11,20")
    path = _file(tmp_path, lines, header=HEADER.replace(",", ";"))
    with pytest.raises(DataError, match=r"line 22: open is '10.20', which is no number"):
        import_file(store, path, calendar="24/7")


def test_byte_order_mark_carriage_returns_and_quotes_are_read_in_blocks(tmp_path, store, tiny):
    lines = [",".join(f'"{field}"' for field in line.split(",")) for line in _bars("AA", 400)]
    path = tmp_path / "bars.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([HEADER, *lines, ""]).encode())
    report = import_file(store, path, calendar="24/7")
    assert report.rows == 400
    assert [one.name for one in report.findings] == ["missing_bars"]


def test_offsets_in_a_later_block_are_not_taken_for_utc(tmp_path, store, tiny):
    lines = _bars("AA", 400)
    lines[300] = lines[300].replace("Z", "-05:00")
    with pytest.raises(DataError, match=r"mixed time zones: line 2 has .*Z, line 302 has .*-05:00"):
        import_file(store, _file(tmp_path, lines), calendar="24/7")


def test_epoch_numbers_have_one_unit_for_the_whole_file(tmp_path, store, tiny):
    # Milliseconds of 1973: those of the first block have 11 digits, as seconds may have.
    lines = [f"{99_987_960_000 + i * 60_000},1,1,1,1,1" for i in range(400)]
    path = _file(tmp_path, lines, header="time,open,high,low,close,volume")
    report = import_file(store, path, symbol="X", calendar="24/7")
    assert report.first == datetime(1973, 3, 3, 6, 26, tzinfo=UTC)


# Folders.


def test_a_folder_is_imported_file_by_file_and_a_bad_file_stops_no_other(tmp_path, store):
    folder = tmp_path / "prices"
    (folder / "more").mkdir(parents=True)
    _file(folder, _bars("AA", 40), "AA.csv")
    _file(folder, ["BB,never,1,1,1,1,1"], "BB.csv")
    _file(folder / "more", _bars("CC", 40), "CC.csv")
    (folder / "notes.md").write_text("not bars")
    (folder / ".hidden.csv").write_text("rubbish")
    outcomes = import_files(store, folder, ALWAYS)
    assert [one.name for one in outcomes] == ["AA.csv", "BB.csv", "more/CC.csv"]
    assert outcomes[1].errors == (
        "BB.csv: line 2: time 'never' can't be read; write times as 2024-01-31 09:30:00 or "
        "2024-01-31T09:30:00Z",
    )
    assert store.symbols() == ["AA", "CC"]
    with pytest.raises(DataError, match=r"BB.csv"):
        import_files(Store(tmp_path / "new"), folder, ALWAYS, strict=True)
    (folder / "nothing").mkdir()
    with pytest.raises(DataError, match="holds no files of bars"):
        import_files(store, folder / "nothing", ALWAYS)


def test_where_bars_came_from_is_noted_with_each_part(tmp_path, store):
    path = _file(tmp_path, _bars("AA", 3000))
    import_file(store, path, calendar="24/7")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    noted = store.read_provenance("AA", "1m")
    assert [(one.part, one.provenance.request, one.provenance.sha256) for one in noted] == [
        ("2024-01", "bars.csv", digest),
        ("2024-02", "bars.csv", digest),
    ]


def test_reading_a_file_without_storing_gives_all_stretches_joined(tmp_path, store, tiny):
    path = _file(tmp_path, _bars("AA", 3000))
    checked = read_file(store, path, stated={"calendar": "24/7"})
    assert checked.columns.n_bars == 3000
    assert store.list_series() == []


_MEASURED = """
import sys
from pathlib import Path
from bench.protocol import peak_bytes
from market_data import reading, rows_by_symbol
from market_data.importing import ImportOptions, import_files
from market_data.store import Store
reading._BLOCK_BYTES = 1 << 20
options = ImportOptions(stated={"calendar": "24/7"})
store = Store(sys.argv[1])
import_files(store, sys.argv[2], options)
base = peak_bytes()
rows_by_symbol.SymbolRows.__init__.__kwdefaults__["memory_bytes"] = 8 << 20
rows_by_symbol.SymbolRows.stretches.__defaults__ = (50_000,)
(outcome,) = import_files(store, sys.argv[3], options, all_symbols=True)
assert not outcome.errors, outcome.errors
print((peak_bytes() - base) >> 20)
"""


def test_memory_does_not_grow_with_the_file(tmp_path, store):
    first = np.datetime64("2020-01-01T00:00", "m")
    texts = [f"{first + i}:00Z,10,11,9,10,100\n" for i in range(800_000)]
    path = tmp_path / "large.csv"
    with path.open("w") as file:
        file.write(HEADER + "\n")
        for symbol in ("AA", "BB", "CC"):
            file.writelines(f"{symbol},{text}" for text in texts)
    small = _file(tmp_path, _bars("ZZ", 50), "small.csv")
    command = [sys.executable, "-c", _MEASURED, str(store.home), str(small), str(path)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    # The rows alone are 2,400,000 x 56 bytes = 128 MiB, and would be held nearly
    # twice over; blocks on their way and two stretches take less than that.
    assert int(done.stdout) < 180
    assert store.find_series("CC", "1m").rows == 800_000
