"""Files of bars as raw columns: names found by alias, times parsed, nothing judged.

Reads CSV (also compressed, and with ``;``, tab or ``|`` between fields) and
Parquet. What a column means is decided here; whether the bars are any good is
decided in `checks`.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data.columns import (
    ASK_NAMES,
    BID_NAMES,
    PRICE_NAMES,
    arrow_column,
    column_flags,
    column_values,
)
from market_data.times import FileTimes, parse_times

_ALIASES: dict[str, tuple[str, ...]] = {
    "ts": ("ts", "timestamp", "datetime", "date_time", "open_time", "gmt_time", "unix"),
    "date": ("date", "day", "session"),
    "time": ("time",),
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price"),
    "low": ("low", "l", "low_price"),
    "close": ("close", "c", "close_price", "last"),
    "volume": ("volume", "v", "vol"),
    "symbol": ("symbol", "ticker", "instrument"),
    "halted": ("halted",),
    **{name: (name,) for name in (*BID_NAMES, *ASK_NAMES)},
}
_MEANING = {alias: name for name, aliases in _ALIASES.items() for alias in aliases}
_NUMBERS = (*PRICE_NAMES, "volume", *BID_NAMES, *ASK_NAMES)
_DELIMITERS = ",;\t|"


@dataclass(frozen=True, slots=True)
class RawBars:
    """Columns of a file in the file's order.

    Attributes
    ----------
    times : FileTimes
    prices : float64 array, shape (5, n_rows)
        Open, high, low, close, volume; NaN where the file has nothing.
    bid, ask : float64 arrays, shape (4, n_rows), or None
    halted : bool array, shape (n_rows,), or None
    symbol : str
        The file's only symbol, or the one that was asked for; empty when the
        file has no such column.
    has_volume : bool
    prices_are_mid : bool
        The file has quotes only, and prices are the middle of bid and ask.
    ignored : tuple of str
        Columns with no meaning here.
    rows : int64 array, shape (n_rows,)
        Row number of each bar in the file, counted from 0.
    place_name : str
        ``line`` where rows can be named as lines of a text file, else ``row``.
    whole_last_line : bool
        False for a text file whose last line has no end.
    digest : str
        sha256 of the file.
    """

    times: FileTimes
    prices: NDArray[np.float64]
    bid: NDArray[np.float64] | None
    ask: NDArray[np.float64] | None
    halted: NDArray[np.bool_] | None
    symbol: str
    has_volume: bool
    prices_are_mid: bool
    ignored: tuple[str, ...]
    rows: NDArray[np.int64]
    place_name: str
    whole_last_line: bool
    digest: str

    def place(self, i: int) -> str:
        """Return where the i-th bar stands in the file, as a person counts."""
        return place_text(self.place_name, int(self.rows[i]))


def place_text(place_name: str, row: int) -> str:
    """Return a row number counted from 0 as a person counts it."""
    return f"line {row + 2}" if place_name == "line" else f"row {row + 1}"


@dataclass(frozen=True, slots=True)
class _Table:
    """A file's table before its columns are understood."""

    table: pa.Table
    place_name: str
    whole_last_line: bool
    digest: str


def read_raw(path: Path, symbol: str = "") -> RawBars:
    """Read the bars of a file.

    Parameters
    ----------
    path : Path
        ``*.parquet`` (or ``.pq``) is Parquet, everything else is text.
    symbol : str
        Which one to take when the file has several.

    Raises
    ------
    DataError
        If the file is missing, empty, damaged or cut off, a column is missing
        or ambiguous, or a row can't be parsed; the message names the line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    if not content:
        raise DataError("the file is empty")
    read = (
        _read_parquet(content) if path.suffix in (".parquet", ".pq") else _read_text(path, content)
    )
    if read.table.num_rows == 0:
        raise DataError("the file has no bars")
    rows = np.arange(read.table.num_rows)
    try:
        names = _meanings(read.table.column_names)
        read, rows, symbol = _one_symbol(read, rows, names.get("symbol"), symbol)
        return _raw_bars(read, rows, names, symbol)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        # A damaged file can hold values that no column of its type can have.
        raise DataError(f"damaged values: {str(error).splitlines()[0]}") from error


def _read_parquet(content: bytes) -> _Table:
    try:
        table = pq.ParquetFile(pa.BufferReader(content)).read()
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        first_line = str(error).splitlines()[0]
        raise DataError(f"no whole Parquet file, damaged or cut off: {first_line}") from error
    return _Table(table, "row", True, hashlib.sha256(content).hexdigest())


def _read_text(path: Path, content: bytes) -> _Table:
    digest = hashlib.sha256(content).hexdigest()
    try:
        with pa.input_stream(pa.BufferReader(content), compression=_compression(path)) as stream:
            text = stream.read()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot be uncompressed, damaged or cut off: {error}") from error
    text = text.removeprefix(b"\xef\xbb\xbf")
    header = re.split(rb"\r\n|\n|\r", text, maxsplit=1)[0]
    try:
        names = header.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError("is neither Parquet nor text in UTF-8") from error
    if not names.strip():
        raise DataError("line 1 must name the columns, it is empty")
    delimiter = max(_DELIMITERS, key=names.count)
    columns = [name.strip().strip('"') for name in names.split(delimiter)]
    meanings = _meanings(columns)
    types = {
        column: pa.float64() if name in _NUMBERS else pa.string()
        for name, column in meanings.items()
        if name != "halted"
    }
    try:
        table = pcsv.read_csv(
            pa.BufferReader(text),
            read_options=pcsv.ReadOptions(column_names=columns, skip_rows=1),
            parse_options=pcsv.ParseOptions(delimiter=delimiter),
            convert_options=pcsv.ConvertOptions(column_types=types),
        )
    except pa.ArrowException as error:
        raise DataError(_bad_line(text, delimiter, columns, meanings, error)) from error
    blank = b"\n\n" in text.rstrip(b"\n") or b"\n\r\n" in text.rstrip(b"\r\n")
    return _Table(table, "row" if blank else "line", text.endswith((b"\n", b"\r")), digest)


def _compression(path: Path) -> str | None:
    return {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}.get(path.suffix)


def _bad_line(
    text: bytes,
    delimiter: str,
    columns: list[str],
    meanings: dict[str, str],
    error: Exception,
) -> str:
    """Say which line can't be read; only reached when one can't."""
    try:
        found = _find_bad_line(text, delimiter, columns, meanings)
    except csv.Error as problem:
        return f"the text can't be split into fields: {problem}"
    return found or str(error).splitlines()[0]


def _find_bad_line(
    text: bytes, delimiter: str, columns: list[str], meanings: dict[str, str]
) -> str:
    numbers = {columns.index(column): name for name, column in meanings.items() if name in _NUMBERS}
    reader = csv.reader(
        io.StringIO(text.decode("utf-8", "replace"), newline=""), delimiter=delimiter
    )
    next(reader, None)
    for fields in _with_content(reader):
        if len(fields) != len(columns):
            cut = len(fields) < len(columns) and not text.endswith((b"\n", b"\r"))
            cut = cut and reader.line_num > text.count(b"\n")
            end = "; the file ends in the middle of the line" if cut else ""
            return (
                f"line {reader.line_num} has {len(fields)} fields where line 1 names "
                f"{len(columns)}{end}"
            )
        for i, name in numbers.items():
            if not _is_number(fields[i]):
                return f"line {reader.line_num}: {name} is {fields[i]!r}, which is no number"
    return ""


def _with_content(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    return (fields for fields in reader if fields)


def _is_number(text: str) -> bool:
    try:
        float(text or "nan")
    except ValueError:
        return text in ("NA", "N/A", "null", "NULL", "#N/A", "n/a")
    return "_" not in text


def _meanings(columns: list[str]) -> dict[str, str]:
    """Return which column has which meaning."""
    found: dict[str, str] = {}
    for column in columns:
        plain = column.strip().strip("<>").lower().replace(" ", "_").replace(".", "_")
        name = _MEANING.get(plain)
        if name is None:
            continue
        if name in found:
            raise DataError(f"columns {found[name]!r} and {column!r} both mean {name}")
        found[name] = column
    if "ts" in found:
        for name in ("date", "time"):
            found.pop(name, None)
    missing = [name for name in PRICE_NAMES if name not in found]
    quotes = all(name in found for name in (*BID_NAMES, *ASK_NAMES))
    if not quotes and missing:
        raise DataError(_missing_columns(missing, columns))
    if not any(name in found for name in ("ts", "date", "time")):
        raise DataError(_missing_columns(["time"], columns))
    return found


def _missing_columns(missing: list[str], columns: list[str]) -> str:
    hints = []
    for name in missing:
        for near in difflib.get_close_matches(name, [column.lower() for column in columns], n=1):
            hints.append(f"; is {near!r} meant to be {name}?")
    return f"no column for {', '.join(missing)}; there are {', '.join(columns)}{''.join(hints)}"


def _one_symbol(
    read: _Table, rows: NDArray[np.int64], column: str | None, symbol: str
) -> tuple[_Table, NDArray[np.int64], str]:
    if column is None:
        return read, rows, symbol
    named = read.table[column].cast(pa.string())
    there = sorted({str(value) for value in named.unique().to_pylist()})
    if not symbol:
        if len(there) > 1:
            raise DataError(f"has {len(there)} symbols ({', '.join(there[:8])}); state which one")
        return read, rows, there[0]
    if symbol not in there:
        if len(there) == 1:
            raise DataError(f"has bars of {there[0]}, not of {symbol}")
        raise DataError(f"has no bars of {symbol}; there are {', '.join(there[:8])}")
    if len(there) == 1:
        return read, rows, symbol
    chosen = np.flatnonzero([value == symbol for value in named.to_pylist()])
    table = read.table.take(arrow_column(chosen, pa.int64()))
    return _Table(table, read.place_name, read.whole_last_line, read.digest), chosen, symbol


def _raw_bars(read: _Table, rows: NDArray[np.int64], names: dict[str, str], symbol: str) -> RawBars:
    table = read.table

    def block(wanted: tuple[str, ...]) -> NDArray[np.float64]:
        values = np.full((len(wanted), table.num_rows), np.nan)
        for i, name in enumerate(wanted):
            if name in names:
                values[i] = _floats(table[names[name]], name)
        return values

    bid = block(BID_NAMES) if BID_NAMES[3] in names else None
    ask = block(ASK_NAMES) if ASK_NAMES[3] in names else None
    prices = block((*PRICE_NAMES, "volume"))
    mid = "close" not in names
    if mid and bid is not None and ask is not None:
        prices[:4] = (bid + ask) / 2
    halted = None
    if "halted" in names:
        halted = column_flags(table[names["halted"]].cast(pa.bool_()))
    time_columns = [table[names[name]] for name in ("ts", "date", "time") if name in names]

    def place(i: int) -> str:
        return place_text(read.place_name, int(rows[i]))

    return RawBars(
        times=parse_times(time_columns, place),
        prices=prices,
        bid=bid,
        ask=ask,
        halted=halted,
        symbol=symbol,
        has_volume="volume" in names,
        prices_are_mid=mid,
        ignored=tuple(c for c in table.column_names if c not in names.values()),
        rows=rows,
        place_name=read.place_name,
        whole_last_line=read.whole_last_line,
        digest=read.digest,
    )


def _floats(column: pa.ChunkedArray, name: str) -> NDArray[np.float64]:
    try:
        return column_values(column.cast(pa.float64()), "f8", missing=np.nan)
    except pa.ArrowException as error:
        raise DataError(f"{name} has values of type {column.type}, which are no numbers") from error
