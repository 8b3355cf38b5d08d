"""Whatever a file holds, its reader answers with bars or with one line."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from foundation.errors import DataError
from market_data.importing import read_file
from market_data.reading import read_raw

GOOD = (
    b"date,open,high,low,close,volume\n"
    b"2024-01-02,10,11,9,10.5,100\n"
    b"2024-01-03,10.5,12,10,11,200\n"
    b"2024-01-04T00:00:00,11,11.5,10.5,11.25,300\n"
    b"2024-01-05,11.25,12,11,12,400\n"
)


def _read_or_refuse(store, path):
    refusal, checked = None, None
    try:
        checked = read_file(store, path, symbol="X")
    except DataError as error:
        refusal = str(error)
    if checked is None:
        assert refusal.startswith(path.name)
        assert "\n" not in refusal
    else:
        assert checked.columns.n_bars > 0
        assert bool((checked.columns.prices[:4] > 0).all())


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    start=st.integers(0, len(GOOD)),
    length=st.integers(0, 12),
    text=st.one_of(
        st.binary(max_size=6), st.sampled_from([b",", b"\n", b"Z", b"-05:00", b'"', b"9"])
    ),
)
@example(start=len(GOOD) - 8, length=8, text=b"")
@example(start=0, length=0, text=b'"')
@example(start=60, length=0, text=b"\n\n")
@example(start=61, length=4, text=b"1677")
@example(start=61, length=4, text=b"9999")
def test_any_edit_of_a_good_file_is_read_or_refused_in_one_line(
    store, tmp_path, start, length, text
):
    path = tmp_path / "X.csv"
    path.write_bytes(GOOD[:start] + text + GOOD[start + length :])
    _read_or_refuse(store, path)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(content=st.binary(max_size=200), suffix=st.sampled_from([".csv", ".parquet", ".csv.gz"]))
def test_any_bytes_are_read_or_refused_in_one_line(store, tmp_path, content, suffix):
    path = tmp_path / f"X{suffix}"
    path.write_bytes(content)
    _read_or_refuse(store, path)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("open", pa.array(["a", "b"])),
        ("open", pa.array([[1.0], [2.0]])),
        ("open", pa.array([None, None], pa.float64())),
        ("ts", pa.array([None, None], pa.timestamp("us", "UTC"))),
        ("ts", pa.array([1.5, float("nan")])),
        ("ts", pa.array([[1], [2]])),
        ("ts", pa.array([2**62, 2**62 + 1])),
        ("ts", pa.array([0, 1], pa.duration("s"))),
        ("ts", pa.array([True, False])),
    ],
)
def test_parquet_columns_of_odd_types_are_refused_in_one_line(store, tmp_path, column, values):
    columns = {"ts": pa.array([0, 86_400], pa.timestamp("s", "UTC"))}
    columns |= {name: pa.array([1.0, 1.0]) for name in ("open", "high", "low", "close")}
    path = tmp_path / "X.parquet"
    pq.write_table(pa.table({**columns, column: values}), path)
    with pytest.raises(DataError) as caught:
        read_file(store, path, symbol="X")
    assert "\n" not in str(caught.value)


def test_rows_keep_their_line_numbers_when_a_symbol_is_chosen(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(
        "symbol,date,open,high,low,close\nA,2024-01-02,1,1,1,1\nB,2024-01-02,2,2,2,2\n"
        "A,2024-01-03,1,1,1,1\nB,2024-01-03,3,3,3,3\n"
    )
    raw = read_raw(path, "B")
    assert [raw.place(i) for i in range(2)] == ["line 3", "line 5"]


def test_blank_lines_make_rows_and_no_line_numbers(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("date,open,high,low,close\n2024-01-02,1,1,1,1\n\n2024-01-03,1,1,1,1\n")
    raw = read_raw(path)
    assert [raw.place(i) for i in range(2)] == ["row 1", "row 2"]
