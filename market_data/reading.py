"""Files of bars as blocks of raw rows: names found by alias, times parsed, nothing judged.

Reads CSV (also compressed or in a zip archive; with ``;``, tab or ``|``
between fields; with decimal commas) and Parquet, block by block, so that a
file of any size needs the same memory. What a column means is decided in
`raw`; whether the bars are any good is decided in `checks`.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data.columns import column_flags, column_values
from market_data.opening import ByteStream, DataFile, file_digest, find_file, open_stream
from market_data.raw import Layout, RawBars, RawBlock, place_text
from market_data.rows_by_symbol import SymbolRows
from market_data.times import BlockTimes, Place, TimeParser, count_byte, may_state_offset

__all__ = ["BarFile", "RawBars", "place_text", "read_raw"]

_DELIMITERS = ",;\t|"
_N_PARSERS = 2
_BLOCK_BYTES = 4 << 20
_LONGEST_LINE = 64 << 20
_PARQUET_ROWS = 1 << 17
_PARQUET_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A block whose rows have no number yet; fields as in `RawBlock`."""

    n_rows: int
    times: BlockTimes
    values: tuple[NDArray[np.float64], ...]
    halted: NDArray[np.bool_] | None
    symbols: tuple[str, ...]
    codes: NDArray[np.int32] | None


@dataclass(frozen=True, slots=True)
class _Piece:
    """Whole lines of a text.

    Attributes
    ----------
    text : bytes
    first_line : int
        Number of its first line, counted from 1.
    n_lines : int
    """

    text: bytes
    first_line: int
    n_lines: int


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How a text writes its fields."""

    delimiter: str
    decimal_point: str


class BarFile:
    """A file of bars that is read block by block.

    Parameters
    ----------
    file : DataFile
        ``*.parquet`` (or ``.pq``) is Parquet, everything else is text.

    Attributes
    ----------
    layout : Layout
        Known once the first block was read.
    times : TimeParser
    n_rows : int
        Read so far.
    place_name : str
        ``line`` while rows can be named as lines of a text file, else ``row``.
    whole_last_line : bool
        False for a text whose last line has no end.
    digest : str
        sha256 of the file, once all of it was read.
    """

    def __init__(self, file: DataFile) -> None:
        self._file = file
        self._blank_lines = False
        self.layout = Layout((), {}, ())
        self.times = TimeParser()
        self.n_rows = 0
        self.place_name = "row" if file.is_parquet else "line"
        self.whole_last_line = True
        self.digest = ""

    def place(self, row: int) -> str:
        """Return where a row of the file stands, as a person counts."""
        return place_text(self.place_name, row)

    def blocks(self) -> Iterator[RawBlock]:
        """Read the file once, in order.

        Raises
        ------
        DataError
            If the file is missing, empty, damaged or cut off, a column is
            missing or ambiguous, or a row can't be parsed; the message names
            the line.
        """
        try:
            yield from self._parquet_blocks() if self._file.is_parquet else self._text_blocks()
        except (pa.ArrowException, UnicodeDecodeError) as error:
            # A damaged file can hold values that no column of its type can have.
            raise DataError(f"damaged values: {str(error).splitlines()[0]}") from error
        if not self.n_rows:
            raise DataError("the file has no bars")

    def _accept(self, parsed: _Parsed) -> RawBlock:
        """Number the rows of the next block."""
        first = self.n_rows
        self.times.accept(parsed.times, lambda i: self.place(first + i))
        self.n_rows += parsed.n_rows
        rows = np.arange(first, self.n_rows)
        return RawBlock(
            parsed.times.values, rows, parsed.values, parsed.halted, parsed.symbols, parsed.codes
        )

    def _parse(self, table: pa.Table, first_row: int) -> _Parsed:
        def place(i: int) -> str:
            return self.place(first_row + i)

        names = self.layout.names
        symbols: tuple[str, ...] = ()
        codes, halted = None, None
        if "symbol" in names:
            symbols, codes = _symbols(table[names["symbol"]], place)
        if self.layout.has_halts:
            halted = column_flags(table[names["halted"]].cast(pa.bool_()))
        return _Parsed(
            table.num_rows,
            self.times.parse([table[name] for name in self.layout.time_columns], place),
            tuple(_floats(table[names[name]], name) for name in self.layout.numbers),
            halted,
            symbols,
            codes,
        )

    # Parquet.

    def _parquet_blocks(self) -> Iterator[RawBlock]:
        with _seekable(self._file) as source, _whole_parquet():
            # Pages are read one by one, however large a row group is.
            file = pq.ParquetFile(source, pre_buffer=False, buffer_size=_PARQUET_BUFFER)
            self.layout = Layout.of(file.schema_arrow.names)
            batches = file.iter_batches(_PARQUET_ROWS, columns=self.layout.used, use_threads=False)
            while (batch := next(batches, None)) is not None:
                if batch.num_rows:
                    table = pa.Table.from_batches([batch])
                    yield self._accept(self._parse(table, self.n_rows))
        self.digest = file_digest(self._file)

    # Text.

    def _text_blocks(self) -> Iterator[RawBlock]:
        with open_stream(self._file) as stream:
            lines = _whole_lines(stream)
            header, rest = _split_header(next(lines, b""))
            delimiter, columns = _split_names(header)
            self.layout = Layout.of(columns)
            pieces = _numbered(itertools.chain([rest], lines))
            piece = next(pieces, None)
            if piece is None:
                return
            dialect = _Dialect(delimiter, _decimal_point(piece.text, delimiter))
            # The first block decides how times are written; then the others
            # can be parsed side by side.
            yield self._accept_text(piece, self._parse_text(dialect, piece, 0))
            waiting: deque[tuple[_Piece, Future[_Parsed | None]]] = deque()
            with ThreadPoolExecutor(_N_PARSERS) as pool:
                for piece in pieces:
                    waiting.append((piece, pool.submit(self._try_parse_text, dialect, piece)))
                    if len(waiting) > _N_PARSERS + 1:
                        yield self._next_text(dialect, *waiting.popleft())
                while waiting:
                    yield self._next_text(dialect, *waiting.popleft())
            self.digest = stream.digest()

    def _next_text(
        self, dialect: _Dialect, piece: _Piece, future: Future[_Parsed | None]
    ) -> RawBlock:
        parsed = future.result()
        if parsed is None:
            # Only now is it known how many rows came before, which the
            # message of the error names.
            parsed = self._parse_text(dialect, piece, self.n_rows)
        return self._accept_text(piece, parsed)

    def _accept_text(self, piece: _Piece, parsed: _Parsed) -> RawBlock:
        text = piece.text
        if parsed.n_rows != piece.n_lines:
            content = text.rstrip(b"\r\n")
            inside = b"\n\n" in content or b"\n\r\n" in content or text[:1] in (b"\n", b"\r")
            self._blank_lines |= inside
        if self._blank_lines:
            self.place_name = "row"
        # At the end of the file blank lines do no harm.
        self._blank_lines |= text.endswith((b"\n\n", b"\n\r\n"))
        self.whole_last_line = text.endswith((b"\n", b"\r"))
        return self._accept(parsed)

    def _try_parse_text(self, dialect: _Dialect, piece: _Piece) -> _Parsed | None:
        try:
            return self._parse_text(dialect, piece, 0)
        except DataError:
            return None

    def _parse_text(self, dialect: _Dialect, piece: _Piece, first_row: int) -> _Parsed:
        kind = pa.string()
        if len(self.layout.time_columns) == 1:
            kind = self.times.arrow_type
        if str(kind) == "timestamp[ns, tz=UTC]" and may_state_offset(piece.text, piece.n_lines):
            kind = pa.string()
        try:
            table = self._read_text(dialect, piece, kind)
            if kind != pa.string() and table[self.layout.time_columns[0]].null_count:
                table = self._read_text(dialect, piece, pa.string())
        except pa.ArrowException:
            try:
                table = self._read_text(dialect, piece, pa.string())
            except pa.ArrowException as error:
                raise DataError(_bad_line(piece, dialect, self.layout, error)) from error
        return self._parse(table, first_row)

    def _read_text(self, dialect: _Dialect, piece: _Piece, time_type: pa.DataType) -> pa.Table:
        layout = self.layout
        types = {layout.names[name]: pa.float64() for name in layout.numbers}
        types |= dict.fromkeys(layout.time_columns, time_type)
        if "symbol" in layout.names:
            types[layout.names["symbol"]] = pa.dictionary(pa.int32(), pa.string())
        return pcsv.read_csv(
            pa.BufferReader(piece.text),
            read_options=pcsv.ReadOptions(
                column_names=list(layout.columns),
                use_threads=False,
                # Larger than the text: one block is one chunk of each column.
                block_size=len(piece.text) + 1,
            ),
            parse_options=pcsv.ParseOptions(delimiter=dialect.delimiter),
            convert_options=pcsv.ConvertOptions(
                column_types=types,
                include_columns=layout.used,
                decimal_point=dialect.decimal_point,
            ),
        )


@contextmanager
def _seekable(file: DataFile) -> Iterator[IO[bytes]]:
    """Open a file for reading at any place; out of an archive, a copy that has no name."""
    if not file.member:
        # A missing file is named as one of text is.
        with open_stream(file), file.path.open("rb") as opened:
            yield opened
        return
    with tempfile.TemporaryFile() as copy, open_stream(file) as stream:
        while content := stream.read(_BLOCK_BYTES):
            copy.write(content)
        copy.seek(0)
        yield copy


@contextmanager
def _whole_parquet() -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        first_line = str(error).splitlines()[0]
        raise DataError(f"no whole Parquet file, damaged or cut off: {first_line}") from error


def _whole_lines(stream: ByteStream) -> Iterator[bytes]:
    """Cut a stream into pieces that end with a line's end, but for the last."""
    rest = b""
    while content := stream.read(_BLOCK_BYTES):
        content = rest + content
        cut = content.rfind(b"\n") + 1 or content.rfind(b"\r", 0, -1) + 1
        if cut:
            yield content[:cut]
        elif len(content) > _LONGEST_LINE:
            raise DataError(f"a line is longer than {_LONGEST_LINE:,} bytes: no text of bars")
        rest = content[cut:]
    if rest:
        yield rest


def _split_header(text: bytes) -> tuple[bytes, bytes]:
    """Return the first line and what follows it."""
    if not text:
        raise DataError("the file is empty")
    text = text.removeprefix(b"\xef\xbb\xbf")
    end = re.search(rb"\r\n|\n|\r", text)
    return (text, b"") if end is None else (text[: end.start()], text[end.end() :])


def _split_names(header: bytes) -> tuple[str, list[str]]:
    """Return the delimiter and the names of the columns."""
    try:
        names = header.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError("is neither Parquet nor text in UTF-8") from error
    if not names.strip():
        raise DataError("line 1 must name the columns, it is empty")
    delimiter = max(_DELIMITERS, key=names.count)
    return delimiter, [name.strip().strip('"') for name in names.split(delimiter)]


def _numbered(texts: Iterator[bytes]) -> Iterator[_Piece]:
    """Number the lines of pieces; the first is the one after the header."""
    line = 2
    for text in texts:
        n_lines = count_byte(text, b"\n") or count_byte(text, b"\r")
        n_lines += bool(text) and not text.endswith((b"\n", b"\r"))
        if not text.isspace() and text:
            yield _Piece(text, line, n_lines)
        line += n_lines


def _decimal_point(text: bytes, delimiter: str) -> str:
    """Return what stands before the decimals: a comma where numbers have one and it is free."""
    if delimiter == ",":
        return "."
    mark = re.escape(delimiter).encode()
    return (
        "," if re.search(rb'(?:%b"?|^"?)[+-]?\d+,\d+"?(?:%b|\r|\n|$)' % (mark, mark), text) else "."
    )


def _bad_line(piece: _Piece, dialect: _Dialect, layout: Layout, error: Exception) -> str:
    """Say which line can't be read; only reached when one can't."""
    try:
        found = _find_bad_line(piece, dialect, layout)
    except csv.Error as problem:
        return f"the text can't be split into fields: {problem}"
    return found or str(error).splitlines()[0]


def _find_bad_line(piece: _Piece, dialect: _Dialect, layout: Layout) -> str:
    columns = layout.columns
    numbers = {columns.index(layout.names[name]): name for name in layout.numbers}
    reader = csv.reader(
        io.StringIO(piece.text.decode("utf-8", "replace"), newline=""),
        delimiter=dialect.delimiter,
    )
    for fields in _with_content(reader):
        line = piece.first_line + reader.line_num - 1
        if len(fields) != len(columns):
            cut = len(fields) < len(columns) and not piece.text.endswith((b"\n", b"\r"))
            cut = cut and reader.line_num >= piece.n_lines
            end = "; the file ends in the middle of the line" if cut else ""
            return f"line {line} has {len(fields)} fields where line 1 names {len(columns)}{end}"
        for i, name in numbers.items():
            if not _is_number(fields[i], dialect.decimal_point):
                return f"line {line}: {name} is {fields[i]!r}, which is no number"
    return ""


def _with_content(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    return (fields for fields in reader if fields)


def _is_number(text: str, decimal_point: str) -> bool:
    if decimal_point != ".":
        if "." in text:
            return False
        text = text.replace(decimal_point, ".")
    try:
        float(text or "nan")
    except ValueError:
        return text in ("NA", "N/A", "null", "NULL", "#N/A", "n/a")
    return "_" not in text


def _symbols(column: pa.ChunkedArray, place: Place) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Return the names in a column, and which of them each row has."""
    if column.type != pa.dictionary(pa.int32(), pa.string()):
        column = column.cast(pa.string()).dictionary_encode()
    array = column.unify_dictionaries().combine_chunks()
    names = tuple("" if name is None else str(name) for name in array.dictionary.to_pylist())
    codes: NDArray[np.int32] = column_values(pa.chunked_array([array.indices]), "i4", missing=-1)
    nameless = codes < 0
    if "" in names:
        nameless |= codes == names.index("")
    if bool(nameless.any()):
        raise DataError(f"{place(int(np.argmax(nameless)))} has no symbol")
    return names, codes.astype(np.int32, copy=False)


def _floats(column: pa.ChunkedArray, name: str) -> NDArray[np.float64]:
    try:
        return column_values(column.cast(pa.float64()), "f8", missing=np.nan)
    except pa.ArrowException as error:
        raise DataError(f"{name} has values of type {column.type}, which are no numbers") from error


def read_raw(path: Path, symbol: str = "") -> RawBars:
    """Read the bars of one symbol of a file.

    Parameters
    ----------
    symbol : str
        Which one to take when the file has several.

    Raises
    ------
    DataError
        As `BarFile.blocks`; or if the file has several symbols and none is
        named, or not the one that is.
    """
    file = BarFile(find_file(path))
    rows = SymbolRows(file, wanted=symbol)
    rows.read()
    return rows.load(rows.symbols[0])
