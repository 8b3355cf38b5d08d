"""Import of files: what is read, what is refused and in which words."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foundation.errors import DataError
from market_data.actions_file import import_actions
from market_data.importing import import_file
from market_data.sessions import days_of
from trading.instruments import Instrument

HEADER = "date,open,high,low,close,volume\n"
DAYS = [
    "2024-01-02,10,11,9,10.5,100",
    "2024-01-03,10.5,12,10,11,200",
    "2024-01-04,11,11.5,10.5,11.25,300",
    "2024-01-05,11.25,12,11,12,400",
]


def _write(tmp_path, text, name="X.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def _daily(tmp_path, lines, header=HEADER, name="X.csv"):
    return _write(tmp_path, header + "\n".join(lines) + "\n", name)


def _changed(number, text):
    """Return the good lines with one replaced; line 1 is the header."""
    return [text if i + 2 == number else line for i, line in enumerate(DAYS)]


def _minutes(n=30, start="2024-01-05T14:30", step=1):
    first = np.datetime64(start, "m")
    return [f"{first + i * step},10,10.5,9.5,10,100" for i in range(n)]


def _zoned(lines):
    return [line.replace(",", ":00Z,", 1) for line in lines]


def _names(report):
    return [finding.name for finding in report.findings]


def _refused(store, path, message, **options):
    with pytest.raises(DataError, match=message) as caught:
        import_file(store, path, **options)
    assert "\n" not in str(caught.value)
    assert store.list_series() == []


# What is read.


def test_daily_csv_is_stored_with_its_sessions(store, tmp_path):
    report = import_file(store, _daily(tmp_path, DAYS), symbol="X")
    assert (report.rows, report.stored_rows, report.timeframe) == (4, 4, "1d")
    assert (report.calendar, report.changed, report.findings) == ("XNYS", True, ())
    assert report.first == datetime(2024, 1, 2, 14, 30, tzinfo=UTC)
    columns, series = store.read_columns("X", "1d")
    assert columns.prices[3].tolist() == [10.5, 11, 11.25, 12]
    assert columns.prices[4].tolist() == [100, 200, 300, 400]
    assert columns.session.tolist() == [days_of(date(2024, 1, day)) for day in (2, 3, 4, 5)]
    assert series.source.startswith("X.csv (sha256 ")
    assert store.find_instrument("X") == Instrument("X", calendar="XNYS")


@pytest.mark.parametrize(
    "header",
    [
        "Date,Open,High,Low,Close,Volume",
        "timestamp,o,h,l,c,v",
        "<DATE>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>",
        "datetime,open_price,high_price,low_price,close_price,vol",
        '"date","open","high","low","close","volume"',
    ],
)
def test_columns_are_found_by_their_usual_names(store, tmp_path, header):
    report = import_file(store, _daily(tmp_path, DAYS, header + "\n"), symbol="X")
    assert (report.rows, report.findings) == (4, ())


@pytest.mark.parametrize(
    "days",
    [
        ["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05"],
        ["20240102", "20240103", "20240104", "20240105"],
        ["2024/01/02", "2024/01/03", "2024/01/04", "2024/01/05"],
        ["2024.01.02", "2024.01.03", "2024.01.04", "2024.01.05"],
        ["2024-01-02 00:00:00", "2024-01-03 00:00:00", "2024-01-04 00:00", "2024-01-05"],
        ["2024-01-02T14:30:00Z", "2024-01-03T14:30Z", "2024-01-04T14:30:00Z", "2024-01-05T14:30Z"],
        [
            f"2024-01-0{i} 09:30{zone}"
            for i, zone in enumerate(("-0500", "-05:00", " -05:00", "-05"), 2)
        ],
        ["1704205800", "1704292200", "1704378600", "1704465000"],
        ["1704205800000", "1704292200000", "1704378600000", "1704465000000"],
    ],
)
def test_times_are_read_in_their_usual_forms(store, tmp_path, days):
    lines = [day + line[10:] for day, line in zip(days, DAYS, strict=True)]
    report = import_file(store, _daily(tmp_path, lines), symbol="X")
    assert report.first == datetime(2024, 1, 2, 14, 30, tzinfo=UTC)
    assert report.last == datetime(2024, 1, 5, 14, 30, tzinfo=UTC)


def test_wall_clock_times_are_read_in_the_stated_zone(store, tmp_path):
    path = _daily(tmp_path, _minutes(30, "2024-01-05T09:30"))
    report = import_file(store, path, symbol="X", timezone="America/New_York", calendar="XNYS")
    assert report.first == datetime(2024, 1, 5, 14, 30, tzinfo=UTC)
    assert report.timeframe == "1m"


def test_date_and_time_columns_are_joined(store, tmp_path):
    header = "date,time,open,high,low,close\n"
    lines = [f"2024-01-05,{14 + (30 + i) // 60}:{(30 + i) % 60:02},1,1,1,1" for i in range(40)]
    report = import_file(
        store, _daily(tmp_path, lines, header), symbol="X", timezone="UTC", calendar="XNYS"
    )
    assert report.first == datetime(2024, 1, 5, 14, 30, tzinfo=UTC)
    assert "no_volume" in _names(report)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_are_seen(store, tmp_path, delimiter):
    text = (HEADER + "\n".join(DAYS) + "\n").replace(",", delimiter)
    assert import_file(store, _write(tmp_path, text), symbol="X").rows == 4


def test_compressed_text_and_byte_order_mark_are_read(store, tmp_path):
    path = tmp_path / "X.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + (HEADER + "\n".join(DAYS) + "\n").encode()))
    assert import_file(store, path).rows == 4
    assert store.symbols() == ["X"]


def test_symbol_column_chooses_the_bars(store, tmp_path):
    header = "symbol," + HEADER
    lines = [f"{symbol},{line}" for symbol in ("AA", "BB") for line in DAYS[:3]]
    path = _daily(tmp_path, lines, header)
    assert import_file(store, path, symbol="BB").symbol == "BB"
    with pytest.raises(DataError, match=r"has 2 symbols \(AA, BB\); state which one"):
        import_file(store, path)
    with pytest.raises(DataError, match="has no bars of CC; there are AA, BB"):
        import_file(store, path, symbol="CC")


def test_parquet_with_quotes_is_read(store, tmp_path):
    ts = np.arange(30) * 60 + np.datetime64("2024-01-05T14:30:00").astype(np.int64)
    columns = {"ts": pa.array(ts * 10**6).cast(pa.timestamp("us", "UTC"))}
    for name, value in (("open", 2.0), ("high", 3.0), ("low", 1.0), ("close", 2.0)):
        columns[name] = [value] * 30
        columns[f"bid_{name}"] = [value - 0.25] * 30
        columns[f"ask_{name}"] = [value + 0.25] * 30
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table(columns), path)
    report = import_file(store, path, symbol="X", calendar="XNYS")
    stored, _ = store.read_columns("X", "1m")
    assert stored.bid[:, 0].tolist() == [1.75, 2.75, 0.75, 1.75]
    assert stored.ask[:, 29].tolist() == [2.25, 3.25, 1.25, 2.25]
    assert "no_volume" in _names(report)


def test_quotes_alone_make_bars_of_their_middle(store, tmp_path):
    names = [
        f"{side}_{name}" for side in ("bid", "ask") for name in ("open", "high", "low", "close")
    ]
    lines = [f"{line.split(',')[0]},1,2,1,1.5,2,3,2,2.5" for line in _zoned(_minutes())]
    path = _daily(tmp_path, lines, "time," + ",".join(names) + "\n")
    report = import_file(store, path, symbol="X", calendar="XNYS")
    stored, _ = store.read_columns("X", "1m")
    assert stored.prices[:, 0].tolist() == [1.5, 2.5, 1.5, 2.0, 0.0]
    assert "prices_are_mid" in _names(report)


def test_quotes_of_a_second_file_join_by_time(store, tmp_path):
    names = [
        f"{side}_{name}" for side in ("bid", "ask") for name in ("open", "high", "low", "close")
    ]
    lines = [f"{line.split(',')[0]},9,9,9,9,11,11,11,11" for line in _zoned(_minutes(31))[1:]]
    quotes = _daily(tmp_path, lines, "time," + ",".join(names) + "\n", "quotes.csv")
    path = _daily(tmp_path, _zoned(_minutes()))
    report = import_file(store, path, symbol="X", calendar="XNYS", quotes=quotes)
    stored, _ = store.read_columns("X", "1m")
    assert np.isnan(stored.bid[:, 0]).all()
    assert stored.bid[:, 1].tolist() == [9.0] * 4
    assert stored.ask[:, 29].tolist() == [11.0] * 4
    assert {"quotes_unused", "quotes_missing"} <= set(_names(report))


def test_weekend_bars_without_a_calendar_are_of_a_market_that_never_closes(store, tmp_path):
    lines = [f"2024-01-0{day},1,1,1,1,1" for day in range(1, 9)]
    assert import_file(store, _daily(tmp_path, lines), symbol="C").calendar == "24/7"


def test_instrument_fields_are_stored_and_kept(store, tmp_path):
    path = _daily(tmp_path, DAYS)
    import_file(store, path, symbol="X", tick=0.01, currency="EUR")
    import_file(store, path, symbol="X", lot=10.0)
    found = store.find_instrument("X")
    assert (found.tick, found.currency, found.lot) == (0.01, "EUR", 10.0)


def test_hourly_bars_labelled_before_the_open_begin_at_the_open(store, tmp_path):
    # 09:00 New York covers 09:30 to 10:00, as LEAN's hourly files write it.
    lines = []
    for day in ("2024-01-04", "2024-01-05", "2024-01-08"):
        lines += [f"{day}T{hour}:00:00Z,1,1,1,1,1" for hour in range(14, 21)]
    report = import_file(store, _daily(tmp_path, lines), symbol="X", calendar="XNYS")
    stored, _ = store.read_columns("X", "1h")
    assert report.timeframe == "1h"
    assert str(np.datetime64(int(stored.ts[0]), "ns"))[:16] == "2024-01-04T14:30"
    assert str(np.datetime64(int(stored.ts[1]), "ns"))[:16] == "2024-01-04T15:00"
    assert [(f.name, f.count) for f in report.findings] == [("begin_at_open", 3)]


def test_times_in_the_hour_that_passes_twice_are_told_by_their_order(store, tmp_path):
    # Clocks in New York went back on 2024-11-03 at 02:00.
    first = [f"2024-11-03 01:{m:02},1,1,1,1,1" for m in range(60)]
    second = [f"2024-11-03 01:{m:02},2,2,2,2,1" for m in range(60)]
    path = _daily(tmp_path, first + second)
    report = import_file(store, path, symbol="C", timezone="America/New_York", calendar="24/7")
    assert report.rows == 120
    assert "ambiguous_times" not in _names(report)
    assert report.first == datetime(2024, 11, 3, 5, 0, tzinfo=UTC)
    assert report.last == datetime(2024, 11, 3, 6, 59, tzinfo=UTC)
    with_one = _daily(tmp_path, first, name="Y.csv")
    report = import_file(store, with_one, timezone="America/New_York", calendar="24/7")
    assert "ambiguous_times" in _names(report)


def test_progress_is_told_of_every_step(store, tmp_path):
    steps = []
    import_file(
        store,
        _daily(tmp_path, DAYS),
        symbol="X",
        progress=lambda done, total, label="": steps.append((done, total)),
    )
    assert steps == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


# What is refused: the file.


def test_empty_file_is_refused(store, tmp_path):
    _refused(store, _write(tmp_path, ""), r"^X.csv: the file is empty$")


def test_file_with_only_a_header_is_refused(store, tmp_path):
    _refused(store, _write(tmp_path, HEADER), "the file has no bars")


def test_missing_file_is_refused(store, tmp_path):
    _refused(store, tmp_path / "none.csv", "cannot read .*none.csv: No such file")


def test_binary_rubbish_is_refused(store, tmp_path):
    path = tmp_path / "X.csv"
    path.write_bytes(bytes(range(128, 256)) * 4)
    _refused(store, path, "neither Parquet nor text")


def test_missing_column_is_refused_with_a_hint(store, tmp_path):
    header = "date,open,high,low,closing,volume\n"
    _refused(store, _daily(tmp_path, DAYS, header), "no column for close; .*'closing' meant")


def test_missing_time_column_is_refused(store, tmp_path):
    header = "day_number,open,high,low,close,volume\n"
    _refused(store, _daily(tmp_path, DAYS, header), "no column for time")


def test_two_columns_of_one_meaning_are_refused(store, tmp_path):
    header = "date,open,high,low,close,last\n"
    _refused(store, _daily(tmp_path, DAYS, header), "'close' and 'last' both mean close")


def test_unknown_column_is_a_finding(store, tmp_path):
    lines = [line + ",7" for line in DAYS]
    header = HEADER.replace("\n", ",moon_phase\n")
    report = import_file(store, _daily(tmp_path, lines, header), symbol="X")
    assert _names(report) == ["columns_ignored"]
    assert "moon_phase" in report.findings[0].message


def test_text_cut_in_the_middle_of_a_line_is_refused(store, tmp_path):
    text = HEADER + "\n".join(DAYS)
    path = _write(tmp_path, text[: text.rindex(",12,400")])
    _refused(store, path, "line 5 has 4 fields where line 1 names 6; the file ends in the middle")


def test_last_line_without_an_end_is_a_finding(store, tmp_path):
    path = _write(tmp_path, (HEADER + "\n".join(DAYS))[:-1])
    assert _names(import_file(store, path, symbol="X")) == ["no_final_newline"]


def test_parquet_cut_in_the_middle_is_refused(store, tmp_path):
    whole = tmp_path / "whole.parquet"
    pq.write_table(pa.table({"ts": [1, 2], "open": [1.0, 2.0]}), whole)
    path = tmp_path / "X.parquet"
    path.write_bytes(whole.read_bytes()[:-40])
    _refused(store, path, "no whole Parquet file, damaged or cut off")


def test_compressed_text_cut_in_the_middle_is_refused(store, tmp_path):
    path = tmp_path / "X.csv.gz"
    path.write_bytes(gzip.compress((HEADER + "\n".join(DAYS) + "\n").encode())[:-15])
    _refused(store, path, "cut off")


# What is refused: rows.


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2024-01-04,eleven,12,10,11,1", "line 4: open is 'eleven', which is no number"),
        ("2024-01-04,11,12,10", "line 4 has 4 fields where line 1 names 6$"),
        ("2024-01-04,11,12,10,nan,1", "line 4: close is missing"),
        ("2024-01-04,,12,10,11,1", "line 4: open is missing"),
        ("2024-01-04,11,12,0,11,1", "line 4: low is 0, a price must be above 0"),
        ("2024-01-04,11,12,-1,11,1", "line 4: low is -1, a price must be above 0"),
        ("2024-01-04,11,inf,10,11,1", "line 4: high is inf"),
        ("2024-01-04,11,9,10,11,1", "line 4: high 9 is below low 10"),
        ("2024-01-04,11,12,10,13,1", "line 4: open 11 and close 13 are not within"),
        ("2024-01-04,11,12,10,11,-5", "line 4: volume is -5, below 0"),
        ("yesterday,11,12,10,11,1", "line 4: time 'yesterday' can't be read"),
        (",11,12,10,11,1", "line 4: time '' can't be read"),
        ("01/04/2024,11,12,10,11,1", "line 4: time '01/04/2024' can't be read"),
    ],
)
def test_row_that_cannot_be_right_is_refused_with_its_line(store, tmp_path, line, message):
    _refused(store, _daily(tmp_path, _changed(4, line)), message, symbol="X")


@pytest.mark.parametrize("day", ["20240230", "20241301", "20240100"])
def test_digits_that_are_no_date_are_refused(store, tmp_path, day):
    lines = [line.replace("-", "", 2) for line in DAYS]
    lines[2] = day + lines[2][8:]
    _refused(store, _daily(tmp_path, lines), f"line 4: {day} is no date", symbol="X")


def test_bars_that_do_not_hold_open_and_close_are_widened_on_request(store, tmp_path):
    path = _daily(tmp_path, _changed(4, "2024-01-04,11,12,10,13,1"))
    report = import_file(store, path, symbol="X", repair=True)
    stored, _ = store.read_columns("X", "1d")
    assert stored.prices[1, 2] == 13.0
    assert _names(report) == ["ranges_widened"]


def test_missing_volume_counts_as_none_with_a_finding(store, tmp_path):
    path = _daily(tmp_path, _changed(4, "2024-01-04,11,12,10,11,"))
    report = import_file(store, path, symbol="X")
    stored, _ = store.read_columns("X", "1d")
    assert stored.prices[4, 2] == 0.0
    assert _names(report) == ["volume_missing"]


def test_identical_duplicate_is_dropped_with_a_finding(store, tmp_path):
    report = import_file(store, _daily(tmp_path, [*DAYS[:2], DAYS[1], *DAYS[2:]]), symbol="X")
    assert (report.rows, _names(report)) == (4, ["duplicates_dropped"])


def test_different_bars_of_one_time_are_refused(store, tmp_path):
    lines = [*DAYS[:2], "2024-01-03,10.5,12,10,11.5,200", *DAYS[2:]]
    message = "line 4 is another bar of the same session as line 3, with other values"
    _refused(store, _daily(tmp_path, lines), message, symbol="X")


@pytest.mark.parametrize("order", [[3, 2, 1, 0], [0, 2, 1, 3]])
def test_unordered_bars_are_sorted_with_a_finding(store, tmp_path, order):
    report = import_file(store, _daily(tmp_path, [DAYS[i] for i in order]), symbol="X")
    stored, _ = store.read_columns("X", "1d")
    assert stored.prices[3].tolist() == [10.5, 11, 11.25, 12]
    assert _names(report) == ["reordered"]


# What is refused: times, calendars, spacing.


def test_intraday_times_without_a_zone_are_refused(store, tmp_path):
    _refused(
        store, _daily(tmp_path, _minutes()), "times state no time zone", symbol="X", calendar="XNYS"
    )


def test_unknown_zone_is_refused(store, tmp_path):
    path = _daily(tmp_path, _minutes())
    _refused(store, path, "unknown time zone 'Mars/Base'", calendar="XNYS", timezone="Mars/Base")


def test_times_with_and_without_zone_are_refused(store, tmp_path):
    lines = _zoned(_minutes())
    lines[6] = lines[6].replace("Z", "", 1)
    message = r"mixed time zones: line 2 states one \(2024-01-05T14:30:00Z\), line 8 doesn't"
    _refused(store, _daily(tmp_path, lines), message, calendar="XNYS")


def test_times_of_different_zones_are_refused(store, tmp_path):
    lines = _zoned(_minutes())
    lines[6] = lines[6].replace("Z", "-05:00", 1)
    _refused(store, _daily(tmp_path, lines), "mixed time zones: line 2 has", calendar="XNYS")


def test_offsets_of_summer_and_winter_time_are_one_zone(store, tmp_path):
    lines = [
        "2024-03-08 09:30-05:00,1,1,1,1,1",
        "2024-03-11 09:30-04:00,1,1,1,1,1",
        "2024-03-12 09:30-04:00,1,1,1,1,1",
    ]
    report = import_file(store, _daily(tmp_path, lines), symbol="X")
    assert report.last == datetime(2024, 3, 12, 13, 30, tzinfo=UTC)


def test_time_that_does_not_exist_is_refused(store, tmp_path):
    lines = _minutes(120, "2024-03-10T01:30")
    message = "line 32: 2024-03-10T02:00:00 does not exist in America/New_York"
    path = _daily(tmp_path, lines)
    _refused(store, path, message, timezone="America/New_York", calendar="24/7")


def test_intraday_bars_without_a_calendar_are_refused(store, tmp_path):
    _refused(store, _daily(tmp_path, _zoned(_minutes())), "1m bars need a calendar", symbol="X")


def test_wrong_calendar_is_refused(store, tmp_path):
    lines = [f"2024-01-{day:02},1,1,1,1,1" for day in range(1, 29)]
    message = "10 of 28 bars are in no session of XNYS, first 2024-01-01 .*line 2"
    _refused(store, _daily(tmp_path, lines), message, symbol="X", calendar="XNYS")


def test_few_bars_on_closed_days_are_left_out_with_a_finding(store, tmp_path):
    report = import_file(
        store, _daily(tmp_path, ["2024-01-01,1,1,1,1,1", *DAYS]), symbol="X", calendar="XNYS"
    )
    assert (report.rows, _names(report)[0]) == (4, "outside_calendar_dropped")


def test_many_bars_on_closed_days_are_left_out_on_request(store, tmp_path):
    lines = [f"2024-01-{day:02},1,1,1,1,1" for day in range(1, 29)]
    path = _daily(tmp_path, lines)
    report = import_file(store, path, symbol="X", calendar="XNYS", drop_unscheduled=True)
    assert report.rows == 18  # Less New Year, Martin Luther King Day and eight days of weekends.


def test_wrong_time_zone_is_refused(store, tmp_path):
    path = _daily(tmp_path, _minutes(30, "2024-01-05T09:30"))
    message = "30 of 30 bars lie outside the hours of XNYS, first 2024-01-05 09:30:00Z; is the time"
    _refused(store, path, message, calendar="XNYS", timezone="UTC")


def test_extended_hours_are_stored_with_a_finding(store, tmp_path):
    path = _daily(tmp_path, _zoned(_minutes(60, "2024-01-05T14:00")))
    report = import_file(store, path, symbol="X", calendar="XNYS")
    assert (report.rows, _names(report)[0]) == (60, "extended_hours")
    assert report.findings[0].count == 30


@pytest.mark.parametrize(
    ("stated", "step", "message"),
    [
        ("5m", 1, "bars are 1m apart at 2024-01-05 14:30:00Z where 5m is stated"),
        ("1m", 5, "most bars are 5m apart where 1m is stated"),
        ("1d", 1, "most bars are 1m apart where 1d is stated"),
    ],
)
def test_wrong_timeframe_is_refused(store, tmp_path, stated, step, message):
    path = _daily(tmp_path, _zoned(_minutes(30, step=step)))
    _refused(store, path, message, timeframe=stated, calendar="XNYS")


def test_mixed_spacing_is_refused(store, tmp_path):
    lines = _zoned(_minutes(200) + _minutes(60, "2024-01-08T14:30", step=5))
    message = "mixed spacing: bars are 5m apart on 2024-01-08 where 1m is usual"
    _refused(store, _daily(tmp_path, lines), message, calendar="XNYS")


def test_weekly_bars_stated_as_daily_are_refused(store, tmp_path):
    lines = [f"2024-01-{day:02},1,1,1,1,1" for day in (5, 12, 19, 26)]
    path = _daily(tmp_path, lines)
    _refused(store, path, "most bars are 1w apart where 1d is stated", timeframe="1d")


def test_another_calendar_than_the_stored_one_is_refused(store, tmp_path):
    import_file(store, _daily(tmp_path, DAYS), symbol="X")
    with pytest.raises(DataError, match="X is stored with calendar XNYS"):
        import_file(store, _daily(tmp_path, DAYS), symbol="X", calendar="24/7")


# Corporate actions from a file.


def test_actions_are_imported_from_a_file(store, tmp_path):
    path = _write(tmp_path, "Date,Split Ratio,Dividend\n2024-01-04,2,\n2024-01-08,,0.25\n")
    assert import_actions(store, path, symbol="X") == 2
    assert store.read_actions("X").tolist() == [
        (days_of(date(2024, 1, 4)), 2.0, 0.0),
        (days_of(date(2024, 1, 8)), 1.0, 0.25),
    ]
    # Bars that split on the day are then no large move.
    bars = _daily(tmp_path, [*DAYS[:2], "2024-01-04,5.5,6,5.4,5.6,400"])
    assert _names(import_file(store, bars, symbol="X")) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ex_date,ratio\n2024-01-04,2\n", "no column for split_ratio or dividend"),
        ("day,dividend\n2024-01-04,2\n", "no column for ex_date"),
        ("ex_date,dividend\n2024-01-04,-2\n", "line 2: dividend is -2, below 0"),
        ("ex_date,split_ratio\n2024-01-04,0\n", "line 2: split_ratio is 0, it must be above 0"),
        ("ex_date,dividend\n2024-01-04,1\n2024-01-04,2\n", "line 3 has the ex-date of line 2"),
        ("ex_date,dividend\n2024-01-04,much\n", "line 2: dividend is 'much', which is no number"),
        ("ex_date,dividend\n", "the file has no actions"),
    ],
)
def test_actions_that_cannot_be_right_are_refused(store, tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        import_actions(store, _write(tmp_path, text), symbol="X")
    assert store.read_actions("X").shape == (0,)


# Findings for a person to judge.


def test_missing_sessions_and_long_gaps_are_findings(store, tmp_path):
    lines = [*DAYS, "2024-01-25,11,12,11,12,1"]
    report = import_file(store, _daily(tmp_path, lines), symbol="X")
    # From Monday 8 to Wednesday 24 January 2024: 13 days less Martin Luther King's, Monday 15.
    missing, gap = report.findings
    assert (missing.name, missing.count) == ("missing_sessions", 12)
    assert (gap.name, gap.count) == ("long_gap", 12)
    assert "from 2024-01-08 to 2024-01-24" in gap.message


def test_minutes_without_a_row_are_a_finding(store, tmp_path):
    lines = _zoned(_minutes(390))
    del lines[5], lines[100]
    report = import_file(store, _daily(tmp_path, lines), symbol="X", calendar="XNYS")
    assert [(f.name, f.count) for f in report.findings] == [("missing_bars", 2)]


def test_split_without_its_action_is_a_finding(store, tmp_path):
    path = _daily(tmp_path, [*DAYS[:3], "2024-01-05,5.5,6,5.4,5.6,400"])
    report = import_file(store, path, symbol="X")
    assert _names(report) == ["large_moves"]
    assert "11.25 to 5.6 on 2024-01-05" in report.findings[0].message
