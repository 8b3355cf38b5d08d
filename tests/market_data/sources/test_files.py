"""Files as a source: folders, archives, columns and names that tell the symbol."""

from __future__ import annotations

import gzip
import hashlib
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foundation.errors import DataError
from market_data.ingestion import IngestionOptions, ingest
from market_data.sessions import days_of
from market_data.sources.files import FilesSource
from market_data.timeframes import MINUTE_NS
from tests.market_data.sources.making import day, local_days, minutes
from tests.market_data.sources.test_ingestion import files_of, only


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
    monkeypatch.setattr("market_data.sources.files.read_raw", lambda *_: pytest.fail("read again"))
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
