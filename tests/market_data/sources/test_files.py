"""Files as a source: folders, archives, columns and names that tell the symbol."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foundation.clock import FixedClock
from foundation.errors import DataError
from market_data.ingestion import IngestionOptions, ingest
from market_data.opening import file_digest
from market_data.rows_by_symbol import SymbolRows
from market_data.sessions import days_of
from market_data.sources.files import FilesSource
from market_data.store import Store
from market_data.timeframes import MINUTE_NS
from tests.market_data.sources.making import day, local_days, minutes, moment
from tests.market_data.sources.servers import Series
from tests.market_data.sources.test_ingestion import files_of, only

ROOT = Path(__file__).parents[3]


@pytest.fixture
def series(xnys):
    return local_days(xnys, "2024-01-02", "2024-02-29")


def dates_of(series):
    return series.ns.astype("datetime64[ns]").astype("datetime64[D]").astype(str)


def as_csv(series, symbol="", separator=",", order=(0, 1, 2, 3, 4)):
    """Write daily bars, columns in any order, with a column of the symbol if one is given."""
    names = ["Open", "High", "Low", "Close", "Volume"]
    head = ["Date", *(["Ticker"] if symbol else []), *[names[i] for i in order]]
    lines = [separator.join(head)]
    for i, date in enumerate(dates_of(series)):
        numbers = [repr(float(series.prices[k, i])) for k in order]
        lines.append(separator.join([date, *([symbol] if symbol else []), *numbers]))
    return "\n".join(lines) + "\n"


def bring(store, source, symbol="ACME", timeframe="1d", **more):
    return only(ingest(store, source, [symbol], timeframe, IngestionOptions(**more)))


def stored_prices(store, symbol="ACME", timeframe="1d"):
    return store.read_columns(symbol, timeframe)[0].prices


def test_a_file_in_any_column_order_and_separator(store, series, tmp_path):
    path = tmp_path / "acme.csv"
    path.write_text(as_csv(series, separator=";", order=(4, 3, 1, 0, 2)))
    one = bring(store, FilesSource(path))
    assert one.total("n_new") == 41
    np.testing.assert_array_equal(stored_prices(store), series.prices)


def test_the_provenance_is_the_files_name_and_sha256(store, series, tmp_path):
    path = tmp_path / "acme.csv"
    path.write_text(as_csv(series))
    bring(store, FilesSource(path))
    (part,) = store.read_provenance("ACME", "1d")
    assert part.provenance.source == "file"
    assert part.provenance.request == "acme.csv"
    assert part.provenance.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_folder_tells_symbols_by_names_of_compressed_files(store, series, tmp_path):
    folder = tmp_path / "bars"
    (folder / "deep").mkdir(parents=True)
    with gzip.open(folder / "ACME_daily.csv.gz", "wt") as file:
        file.write(as_csv(series))
    table = pa.table(
        {"date": dates_of(series).tolist()}
        | {name: series.prices[i] for i, name in enumerate(("open", "high", "low", "close"))}
        | {"volume": series.prices[4]}
    )
    pq.write_table(table, folder / "deep" / "EMCA.parquet")
    source = FilesSource(folder, glob="**/*")
    assert source.symbols() == ["ACME", "EMCA"]
    for symbol in source.symbols():
        assert bring(store, source, symbol).total("n_new") == 41
        np.testing.assert_array_equal(stored_prices(store, symbol), series.prices)


def test_a_pattern_finds_the_symbol_in_a_name(store, series, tmp_path):
    (tmp_path / "2024-us-acme-d.txt").write_text(as_csv(series))
    source = FilesSource(tmp_path, pattern=r"\d+-us-(?P<symbol>\w+)-d\.txt")
    assert source.symbols() == ["ACME"]
    assert bring(store, source).total("n_new") == 41


def test_an_archive_of_files_by_month(store, series, tmp_path):
    path = tmp_path / "prices.zip"
    split = 21
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in (("01", slice(0, split)), ("02", slice(split, None))):
            half = type(series)(series.ns[part], series.prices[:, part])
            archive.writestr(f"2024-{name}/ACME.csv", as_csv(half))
        archive.writestr("2024-01/OTHER.csv", "nothing of use")
        archive.writestr("readme.md", "about these prices")
    one = bring(store, FilesSource(path))
    assert [part.outcome for part in one.partitions] == ["stored", "stored"]
    np.testing.assert_array_equal(stored_prices(store), series.prices)


def test_a_column_tells_the_symbol_where_files_hold_several(store, series, tmp_path):
    other = type(series)(series.ns, series.prices + 1)
    text = as_csv(series, "ACME") + as_csv(other, "EMCA").split("\n", 1)[1]
    (tmp_path / "all.csv").write_text(text)
    source = FilesSource(tmp_path, symbol_from="column")
    for symbol, expected in (("ACME", series.prices), ("EMCA", other.prices)):
        bring(store, source, symbol)
        np.testing.assert_array_equal(stored_prices(store, symbol), expected)
    missing = bring(store, source, "NOPE")
    assert missing.error == "no file has 1d bars of NOPE"


def test_minutes_in_a_zone_of_their_own_over_the_change_of_clocks(store, xnys, tmp_path):
    series = minutes(xnys, "2024-03-07", "2024-03-12")
    offset = np.where(series.ns < days_of(day("2024-03-10")) * 1440 * MINUTE_NS, 5, 4)
    local = (series.ns - offset * 60 * MINUTE_NS).astype("datetime64[ns]").astype("datetime64[s]")
    rows = [
        f"{str(local[i]).replace('T', ' ')},{','.join(map(repr, map(float, series.prices[:, i])))}"
        for i in range(series.ns.shape[0])
    ]
    path = tmp_path / "ACME.csv"
    path.write_text("\n".join(["time,open,high,low,close,volume", *rows]) + "\n")
    source = FilesSource(path, timezone="America/New_York", calendar="XNYS")
    assert not bring(store, source, timeframe="1m").failed
    columns, _ = store.read_columns("ACME", "1m")
    np.testing.assert_array_equal(columns.ts, series.ns)
    without = FilesSource(path, calendar="XNYS")
    refused = bring(store, without, timeframe="1m", full=True).partitions[0].error
    assert refused == "ACME 1m: ACME.csv: times state no time zone; name it"


def test_a_file_that_is_stored_is_not_read_again(store, series, tmp_path, monkeypatch):
    path = tmp_path / "acme.csv"
    path.write_text(as_csv(series))
    bring(store, FilesSource(path))
    before = files_of(store.home)
    monkeypatch.setattr(
        "market_data.sources.files.SymbolRows", lambda *_, **__: pytest.fail("read again")
    )
    one = bring(store, FilesSource(path))
    assert one.partitions == ()
    assert not one.failed
    assert files_of(store.home) == before


def test_a_changed_file_is_a_revision(store, series, tmp_path):
    path = tmp_path / "acme.csv"
    path.write_text(as_csv(series))
    bring(store, FilesSource(path))
    old = series.prices[4, 3]
    series.prices[4, 3] += 50
    path.write_text(as_csv(series))
    assert bring(store, FilesSource(path)).total("n_revised") == 1
    (row,) = store.read_revisions("ACME", "1d").to_pylist()
    assert (row["field"], row["old"], row["new"]) == ("volume", old, old + 50)


def test_actions_beside_a_file_come_with_it(store, series, tmp_path):
    (tmp_path / "ACME.csv").write_text(as_csv(series))
    (tmp_path / "ACME_actions.csv").write_text("ex_date,dividend\n2024-02-01,0.5\n")
    one = bring(store, FilesSource(tmp_path))
    assert (one.n_actions, len(one.partitions)) == (1, 1)
    assert store.read_actions("ACME")["dividend"].tolist() == [0.5]


def test_a_bad_file_is_named_and_the_others_are_stored(store, series, tmp_path):
    (tmp_path / "ACME_1.csv").write_text(as_csv(series))
    bad = type(series)(series.ns + 100 * 1440 * MINUTE_NS, -series.prices)
    (tmp_path / "ACME_2.csv").write_text(as_csv(bad))
    one = bring(store, FilesSource(tmp_path))
    assert [part.outcome for part in one.partitions] == ["stored", "failed"]
    assert one.partitions[1].error.startswith("ACME 1d: ACME_2.csv: line 2: open is -100")


def test_a_file_that_cannot_be_read_does_not_stop_those_after_it(store, series, tmp_path):
    (tmp_path / "ACME_1.csv").write_text("date,open\n2024-01-02,1\n")
    (tmp_path / "ACME_2.csv").write_text(as_csv(series))
    one = bring(store, FilesSource(tmp_path))
    assert one.error.startswith("ACME_1.csv: no column for high, low, close")
    assert one.total("n_new") == 41
    again = bring(store, FilesSource(tmp_path))
    assert (again.partitions, again.failed) == ((), True)


def test_a_large_file_is_checked_and_stored_month_by_month(store, series, tmp_path, monkeypatch):
    monkeypatch.setattr("market_data.sources.files.FEWEST_TO_SPLIT", 10)
    path = tmp_path / "ACME.csv"
    path.write_text(as_csv(series))
    one = bring(store, FilesSource(path))
    assert [part.n_new for part in one.partitions] == [21, 20]
    np.testing.assert_array_equal(stored_prices(store), series.prices)
    assert bring(store, FilesSource(path)).partitions == ()


def as_minutes(series, symbol=""):
    """Write minute bars with UTC times."""
    head = "ticker," if symbol else ""
    times = series.ns.astype("datetime64[ns]").astype("datetime64[s]").astype(str)
    rows = [
        f"{symbol + ',' if symbol else ''}{time}Z,{','.join(map(repr, numbers))}"
        for time, numbers in zip(times.tolist(), series.prices.T.tolist(), strict=True)
    ]
    return "\n".join([f"{head}time,open,high,low,close,volume", *rows]) + "\n"


@pytest.mark.parametrize("order", ["oldest first", "newest first", "shuffled"])
@pytest.mark.parametrize("n_bytes", [1_000, 1 << 30])
def test_months_of_a_large_file_come_one_by_one_from_memory_or_disk(
    store, xnys, tmp_path, monkeypatch, order, n_bytes
):
    monkeypatch.setattr("market_data.sources.files.FEWEST_TO_SPLIT", 10)
    monkeypatch.setattr("market_data.reading._BLOCK_BYTES", 5_000)
    monkeypatch.setitem(SymbolRows.__init__.__kwdefaults__, "memory_bytes", n_bytes)
    # Three days before a month without bars, and three after it.
    one, other = (
        minutes(xnys, "2024-01-29", "2024-01-31"),
        minutes(xnys, "2024-03-01", "2024-03-05"),
    )
    series = Series(np.append(one.ns, other.ns), np.concatenate([one.prices, other.prices], axis=1))
    header, *lines = as_minutes(series).splitlines()
    draws = np.random.default_rng(3)
    lines = {
        "oldest first": lines,
        "newest first": lines[::-1],
        "shuffled": [lines[i] for i in draws.permutation(len(lines))],
    }[order]
    path = tmp_path / "ACME.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    source = FilesSource(path, calendar="XNYS")
    done = bring(store, source, timeframe="1m")
    assert [part.n_new for part in done.partitions] == [3 * 390, 3 * 390]
    columns, _ = store.read_columns("ACME", "1m")
    np.testing.assert_array_equal(columns.ts, series.ns)
    np.testing.assert_array_equal(columns.prices, series.prices)


def test_rows_put_aside_are_gone_when_the_ingestion_is_over(store, series, tmp_path, monkeypatch):
    monkeypatch.setitem(SymbolRows.__init__.__kwdefaults__, "memory_bytes", 100)
    seen = []
    write = SymbolRows._write_held
    monkeypatch.setattr(
        SymbolRows, "_write_held", lambda self, folder: (seen.append(folder), write(self, folder))
    )
    path = tmp_path / "ACME.csv"
    path.write_text(as_csv(series))
    before = set(os.listdir("/proc/self/fd"))
    assert not bring(store, FilesSource(path)).failed
    # Beside the data: what is kept for temporary files may itself be memory.
    assert set(seen) == {store.home}
    assert set(os.listdir("/proc/self/fd")) <= before
    np.testing.assert_array_equal(stored_prices(store), series.prices)


_MEASURED = """
import sys
from pathlib import Path
from bench.protocol import peak_bytes
from market_data import reading, rows_by_symbol
from market_data.ingestion import ingest
from market_data.sources import files
from market_data.store import Store
files.FEWEST_TO_SPLIT = 10
reading._BLOCK_BYTES = 1 << 20
store = Store(sys.argv[1])
def bring(path):
    report = ingest(store, files.FilesSource(Path(path), calendar="24/7"), ["AA"], "1m")
    assert not report.failed, report
bring(sys.argv[2])
base = peak_bytes()
rows_by_symbol.SymbolRows.__init__.__kwdefaults__["memory_bytes"] = 8 << 20
bring(sys.argv[3])
print((peak_bytes() - base) >> 20)
"""


def test_memory_does_not_grow_with_the_file(tmp_path):
    header = "time,open,high,low,close,volume\n"
    paths = {}
    for name, n_bars in (("small", 100), ("large", 3_000_000)):
        ns = np.datetime64("2020-01-01T00:00", "m") + np.arange(n_bars)
        paths[name] = tmp_path / f"{name}.csv"
        with paths[name].open("w") as file:
            file.write(header)
            file.writelines(f"{time}:00Z,10,11,9,10,100\n" for time in ns.astype(str).tolist())
    home = tmp_path / "home"
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, str(home), str(paths["small"]), str(paths["large"])],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    # The rows alone are 2,000,000 x 56 bytes = 160 MiB; blocks on their way, a
    # run of 8 MiB that is sorted and a month of bars take less.
    assert int(done.stdout) < 110
    assert Store(home).find_series("AA", "1m").rows == 3_000_000


def test_files_of_one_symbol_each_can_be_asked_by_their_column(store, series, tmp_path):
    (tmp_path / "first.csv").write_text(as_csv(Series(series.ns, series.prices + 1), "OTHER"))
    (tmp_path / "second.csv").write_text(as_csv(series, "ACME"))
    one = bring(store, FilesSource(tmp_path, symbol_from="column"))
    assert (one.error, one.total("n_new")) == ("", 41)
    np.testing.assert_array_equal(stored_prices(store), series.prices)


def test_a_single_file_of_another_symbol_is_refused(store, series, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(as_csv(series, "OTHER"))
    assert bring(store, FilesSource(path)).error == "x.csv: has bars of OTHER, not of ACME"


def test_the_sha256_is_that_of_the_bytes_that_were_read(store, series, tmp_path, monkeypatch):
    path = tmp_path / "acme.csv"
    path.write_text(as_csv(series)[:-1])
    whole = as_csv(series)

    def replaced_meanwhile(file):
        digest = file_digest(file)
        path.write_text(whole)
        return digest

    monkeypatch.setattr("market_data.sources.files.file_digest", replaced_meanwhile)
    bring(store, FilesSource(path))
    (part,) = store.read_provenance("ACME", "1d")
    assert part.provenance.sha256 == hashlib.sha256(whole.encode()).hexdigest()


def test_what_a_file_is_as_a_whole_is_told_once(store, xnys, tmp_path, monkeypatch):
    monkeypatch.setattr("market_data.sources.files.FEWEST_TO_SPLIT", 10)
    text = as_minutes(minutes(xnys, "2024-01-30", "2024-02-02"))
    path = tmp_path / "ACME.csv"
    header, *lines = text.splitlines()
    path.write_text("\n".join([f"{header},exchange", *(f"{line},N" for line in lines)]))
    one = bring(store, FilesSource(path, calendar="XNYS"), timeframe="1m")
    assert [[found.name for found in part.findings] for part in one.partitions] == [
        ["columns_ignored", "no_final_newline"],
        [],
    ]
    # The days that it has, as New York counts them.
    assert [part.days for part in one.partitions] == [
        "2024-01-30 to 2024-01-31",
        "2024-02-01 to 2024-02-02",
    ]


def test_bars_that_are_not_over_are_told_and_come_with_the_same_file_later(store, xnys, tmp_path):
    series = minutes(xnys, "2024-01-02", "2024-01-02")
    path = tmp_path / "ACME.csv"
    path.write_text(as_minutes(series))
    source = FilesSource(path, calendar="XNYS")
    for at, n_bars in (("2024-01-02T15:30", 60), ("2024-01-02T21:30", 390)):
        clock = FixedClock(moment(at))
        one = only(ingest(store, source, ["ACME"], "1m", clock=clock))
        found = {found.name: found for found in one.partitions[0].findings}
        assert store.read_columns("ACME", "1m")[0].n_bars == n_bars
        assert ("not_over" in found) == (n_bars < 390)
    assert only(ingest(store, source, ["ACME"], "1m", clock=clock)).partitions == ()


def test_a_session_in_two_months_of_a_file_has_lost_no_bars(store, fx, tmp_path, monkeypatch):
    """New York's evening of 31 January is the session of 1 February."""
    monkeypatch.setattr("market_data.sources.files.FEWEST_TO_SPLIT", 10)
    series = minutes(fx, "2024-01-30", "2024-02-05", step=30)
    path = tmp_path / "EURUSD.csv"
    path.write_text(as_minutes(series))
    source = FilesSource(path, calendar="FX")
    assert not bring(store, source, "EURUSD", "30m").failed
    again = bring(store, source, "EURUSD", "30m", full=True)
    assert [part.outcome for part in again.partitions] == ["unchanged", "unchanged"]
    assert (again.total("n_withdrawn"), again.total("n_unchanged")) == (0, series.ns.shape[0])


def test_a_bar_that_a_changed_file_has_no_longer_is_told(store, series, tmp_path):
    path = tmp_path / "acme.csv"
    lines = as_csv(series).splitlines(keepends=True)
    path.write_text("".join(lines))
    bring(store, FilesSource(path))
    path.write_text("".join(lines[:7] + lines[8:]))
    assert bring(store, FilesSource(path)).total("n_withdrawn") == 1


def test_an_archive_that_is_cut_off_does_not_stop_the_files_after_it(store, series, tmp_path):
    with gzip.open(tmp_path / "ACME_1.csv.gz", "wt") as file:
        file.write(as_csv(series))
    content = (tmp_path / "ACME_1.csv.gz").read_bytes()
    (tmp_path / "ACME_1.csv.gz").write_bytes(content[: len(content) // 2])
    (tmp_path / "ACME_2.csv").write_text(as_csv(series))
    one = bring(store, FilesSource(tmp_path))
    assert one.error.startswith("ACME_1.csv.gz: cannot be uncompressed, damaged or cut off")
    assert one.total("n_new") == 41


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"symbol_from": "nowhere"}, "symbols come from name or column"),
        ({"pattern": "("}, "is no regular expression"),
        ({"pattern": ".*"}, "has no group"),
    ],
)
def test_a_wrong_rule_is_named(tmp_path, options, said):
    with pytest.raises(DataError, match=said):
        FilesSource(tmp_path, **options)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="there is no file or folder"):
        FilesSource(tmp_path / "nothing")
