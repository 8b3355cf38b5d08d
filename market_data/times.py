"""Times as files write them: dates, instants, wall-clock times, epoch numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data.columns import arrow_column, column_values
from market_data.timeframes import DAY_NS

_FORMATS = (
    "%Y%m%d %H:%M:%S",
    "%Y%m%d %H:%M",
    "%Y%m%d %H%M%S",
    "%Y%m%d%H%M%S",
    "%Y.%m.%d %H:%M:%S",
    "%Y.%m.%d %H:%M",
    "%Y.%m.%d",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y%m%d",
)
_OFFSET = re.compile(r"(?:Z|[+-]\d{2}:?\d{2}|[+-]\d{2})$")
_DIGITS = re.compile(r"\d+(?:\.0+)?")

# Epoch numbers by their size: seconds until the year 5138, and so on.
_EPOCH_UNITS = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3))

Place = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class FileTimes:
    """Times of a file's rows.

    Attributes
    ----------
    ns : int64 array, shape (n_rows,)
        UTC nanoseconds when `aware`; else wall-clock time as if it were UTC.
    aware : bool
        Whether the file states the zone.
    """

    ns: NDArray[np.int64]
    aware: bool

    @property
    def dates_only(self) -> bool:
        """Whether every time is midnight."""
        return not bool(np.any(self.ns % DAY_NS))


class TimeParser:
    """Times of a file, block by block, all in the form of the first block's.

    `parse` may run in several threads once the first block was accepted;
    `accept` takes the blocks in the file's order.
    """

    def __init__(self) -> None:
        self._form: _Form | None = None
        self._least, self._most = 0, 0
        # Offset in minutes, with the place and text of its first time.
        self._offsets: dict[int, tuple[str, str]] = {}

    @property
    def aware(self) -> bool:
        """Whether the file states the zone; known at its end."""
        if self._form is None or self._form.kind != "number":
            return self._form is not None and self._form.aware
        return not self._are_dates

    @property
    def arrow_type(self) -> pa.DataType:
        """What a reader of text may convert times to by itself, else text.

        Times with a zone may be taken so only where `may_state_offset` says no.
        """
        if self._form is None or self._form.kind != "iso":
            return pa.string()
        if not self._form.aware:
            return pa.timestamp("ns")
        return pa.timestamp("ns", "UTC") if set(self._offsets) == {0} else pa.string()

    def parse(self, columns: list[pa.ChunkedArray], place: Place) -> BlockTimes:
        """Parse the time column of a block, or its date and its time column.

        Parameters
        ----------
        columns : list of one or two arrow columns
            Text, timestamps, dates or epoch numbers.
        place : callable
            Names the row of an index for messages.

        Raises
        ------
        DataError
            If a time is missing or in another form than the first block's.
        """
        for column in columns:
            if column.null_count:
                row = int(np.argmax(np.asarray(column.is_null())))
                raise DataError(f"{place(row)} has no time")
        if len(columns) == 2:
            texts = [column.cast(pa.string()) for column in columns]
            return self._parse_text(pc.binary_join_element_wise(*texts, " "), place)
        column = columns[0]
        kind = column.type
        if pa.types.is_timestamp(kind):
            ns = _timestamp_ns(column.cast(pa.timestamp("ns", kind.tz)))
            return BlockTimes(ns, self._form or _Form("timestamp", kind.tz is not None))
        if pa.types.is_date(kind):
            ns = _timestamp_ns(column.cast(pa.timestamp("ns")))
            return BlockTimes(ns, _Form("date", aware=False))
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            width = kind.bit_width // 8
            letter = "f" if pa.types.is_floating(kind) else "u" if str(kind)[0] == "u" else "i"
            return _parse_numbers(column_values(column, f"{letter}{width}"), place)
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise DataError(f"times have the type {kind}, which is none of a time")
        return self._parse_text(column.cast(pa.string()), place)

    def _parse_text(self, column: pa.ChunkedArray, place: Place) -> BlockTimes:
        if self._form is not None:
            return _parse_as(self._form, column, place)
        if _DIGITS.fullmatch(column[0].as_py().strip()):
            return _parse_digits(column, place)
        forms = [_Form("iso", aware=False), _Form("iso", aware=True)]
        for form in (*forms, *(_Form(text, aware=False) for text in _FORMATS)):
            found = _try_form(form, column)
            if found is not None:
                return found
        raise DataError(_unparsed(column, place))

    def accept(self, block: BlockTimes, place: Place) -> None:
        """Take note of the next block's times.

        Raises
        ------
        DataError
            If the file's times have offsets that no single zone can have.
        """
        if block.form.kind == "number":
            least, most = int(block.values.min()), int(block.values.max())
            if self._form is None:
                self._least, self._most = least, most
            self._least, self._most = min(self._least, least), max(self._most, most)
            if self._are_dates:
                _dates_from_digits(block.values, place)
        self._form = block.form
        for minutes, (row, text) in block.offsets.items():
            if minutes not in self._offsets:
                self._offsets[minutes] = (place(row), text)
        if self._offsets:
            self._refuse_unlike_offsets()

    def _refuse_unlike_offsets(self) -> None:
        """Refuse offsets that no single zone can have; summer time makes one hour."""
        least, most = min(self._offsets), max(self._offsets)
        if most - least <= 60:
            return
        first = next(iter(self._offsets))
        one, text = self._offsets[first]
        other, other_text = self._offsets[least if first == most else most]
        raise DataError(f"mixed time zones: {one} has {text}, {other} has {other_text}")

    @property
    def _are_dates(self) -> bool:
        return self._least >= 19_000_101 and self._most <= 21_991_231

    def to_ns(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Turn values of blocks into nanoseconds, once all of them were accepted."""
        if self._form is None or self._form.kind != "number":
            return values
        if self._are_dates:
            return _dates_from_digits(values, str)
        largest = max(abs(self._least), abs(self._most))
        factor = next((factor for limit, factor in _EPOCH_UNITS if largest < limit), 1)
        return values * factor


@dataclass(frozen=True, slots=True)
class _Form:
    """How a file writes its times.

    Attributes
    ----------
    kind : str
        ``iso``, ``number``, ``timestamp``, ``date``, or a format of strptime.
    aware : bool
    """

    kind: str
    aware: bool


@dataclass(frozen=True, slots=True)
class BlockTimes:
    """Times of one block of a file.

    Attributes
    ----------
    values : int64 array, shape (n_rows,)
        Nanoseconds, or numbers whose unit only the whole file tells; either
        way a later time is a larger value.
    form : _Form
    offsets : dict
        Minutes from UTC that the block states, with row and text of the first.
    """

    values: NDArray[np.int64]
    form: _Form
    offsets: dict[int, tuple[int, str]] = field(default_factory=dict)


def _timestamp_ns(column: pa.ChunkedArray) -> NDArray[np.int64]:
    return np.array(column_values(column, "i8"))


def _try_form(form: _Form, column: pa.ChunkedArray) -> BlockTimes | None:
    """Return the times if all of them have the form."""
    # Most files need no tidying, which costs more than the parsing.
    for texts in (lambda: column, lambda: _tidy(column)):
        tidied = texts()
        try:
            if form.kind == "iso":
                zone = "UTC" if form.aware else None
                parsed = tidied.cast(pa.timestamp("ns", zone))
            else:
                parsed = pc.strptime(tidied, format=form.kind, unit="us").cast(pa.timestamp("ns"))
        except pa.ArrowException:
            continue
        return BlockTimes(_timestamp_ns(parsed), form, _offsets(tidied) if form.aware else {})
    return None


def _tidy(column: pa.ChunkedArray) -> pa.ChunkedArray:
    column = pc.utf8_trim_whitespace(column)
    column = pc.replace_substring_regex(column, r" ?(?:UTC|GMT)$", "Z")
    return pc.replace_substring_regex(column, r" ([+-]\d{2}:?\d{2})$", r"\1")


def _parse_as(form: _Form, column: pa.ChunkedArray, place: Place) -> BlockTimes:
    """Parse a later block in the form of the first."""
    if form.kind == "number":
        return _parse_digits(column, place)
    found = _try_form(form, column)
    if found is not None:
        return found
    if not form.aware and _try_form(_Form("iso", aware=True), column) is not None:
        raise DataError(
            f"mixed time zones: {place(0)} states one ({column[0]}), the rows before don't"
        )
    raise DataError(_unparsed(column, place))


def _offsets(column: pa.ChunkedArray) -> dict[int, tuple[int, str]]:
    """Return the minutes from UTC that texts state, with row and text of the first."""
    tails = pc.utf8_slice_codeunits(column, -6)
    found: dict[int, tuple[int, str]] = {}
    # Arrow's own scalars: making one of Python's text would import pandas.
    for tail in tails.unique():
        minutes = _offset_minutes(tail.as_py())
        if minutes not in found:
            row = pc.index(tails, tail).as_py()
            found[minutes] = (row, column[row].as_py())
    return found


def may_state_offset(text: bytes, n_rows: int) -> bool:
    """Return whether a block of text with dates as 2024-01-31 may hold another offset than Z."""
    return b"+" in text or count_byte(text, b"-") != 2 * n_rows


def count_byte(text: bytes, byte: bytes) -> int:
    """Return how often a byte occurs; faster than `bytes.count` where that is often."""
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord(byte)))


def _offset_minutes(text: str) -> int:
    match = re.search(r"([+-])(\d{2})(?::?(\d{2}))?$", text)
    if match is None:
        return 0
    minutes = int(match[2]) * 60 + int(match[3] or 0)
    return -minutes if match[1] == "-" else minutes


def _parse_digits(column: pa.ChunkedArray, place: Place) -> BlockTimes:
    for texts in (lambda: column, lambda: pc.utf8_trim_whitespace(column)):
        try:
            return _parse_numbers(column_values(texts().cast(pa.float64()), "f8"), place)
        except pa.ArrowException:
            continue
    raise DataError(_unparsed(column, place))


def _parse_numbers(numbers: NDArray[Any], place: Place) -> BlockTimes:
    wrong = ~np.isfinite(numbers)
    if bool(wrong.any()):
        raise DataError(f"{place(int(np.argmax(wrong)))} has no time")
    return BlockTimes(np.array(numbers, np.int64), _Form("number", aware=True))


def _dates_from_digits(values: NDArray[np.int64], place: Place) -> NDArray[np.int64]:
    """Read dates written as 20240131."""
    year, month, day = values // 10_000, values // 100 % 100, values % 100
    months = (year - 1970) * 12 + month - 1
    dates = months.astype("datetime64[M]").astype("datetime64[D]") + (day - 1)
    wrong = (month < 1) | (month > 12) | (dates.astype("datetime64[M]") != months.astype("M8[M]"))
    if bool(wrong.any()):
        row = int(np.argmax(wrong))
        raise DataError(f"{place(row)}: {int(values[row])} is no date as 20240131")
    return dates.astype("datetime64[ns]").astype(np.int64)


def _unparsed(column: pa.ChunkedArray, place: Place) -> str:
    """Say why the times can't be read; only reached when they can't."""
    texts = column.to_pylist()
    has_zone = [bool(_OFFSET.search(text[10:])) for text in texts]
    if any(has_zone) and not all(has_zone):
        with_zone, without = has_zone.index(True), has_zone.index(False)
        return (
            f"mixed time zones: {place(with_zone)} states one ({texts[with_zone]}), "
            f"{place(without)} doesn't ({texts[without]})"
        )
    for row, text in enumerate(texts):
        if not _is_iso(text):
            return (
                f"{place(row)}: time {text!r} can't be read; write times as 2024-01-31 09:30:00 "
                "or 2024-01-31T09:30:00Z"
            )
    return "times can't be read; write them as 2024-01-31 09:30:00 or 2024-01-31T09:30:00Z"


def _is_iso(text: str) -> bool:
    for zone in (None, "UTC"):
        try:
            pa.scalar(text).cast(pa.timestamp("ns", zone))
        except pa.ArrowException:
            continue
        return True
    return False


def localise(times: FileTimes, zone: str, place: Place) -> tuple[NDArray[np.int64], int, int]:
    """Turn wall-clock times of a zone into UTC nanoseconds.

    Returns
    -------
    ns : int64 array
        When clocks go back an hour passes twice: where the file's times go
        back too, the rest of that hour is the second one.
    n_ambiguous : int
        Times that occur twice and were taken as the first for want of an
        order that tells.
    n_turns : int
        How often the file goes back because the clocks did.

    Raises
    ------
    DataError
        If there is no such zone, or a time does not exist in it because
        clocks went forward.
    """
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError) as error:
        raise DataError(f"unknown time zone {zone!r}; name it as America/New_York") from error
    naive = pa.chunked_array([arrow_column(times.ns, pa.timestamp("ns"))])
    try:
        first = _assume(naive, zone, "earliest")
        second = _assume(naive, zone, "latest")
    except pa.ArrowException as error:
        row = _first_nonexistent(times.ns, zone)
        local = np.datetime64(int(times.ns[row]), "ns").astype("datetime64[s]")
        raise DataError(
            f"{place(row)}: {local} does not exist in {zone}, "
            "clocks went forward; is the time zone right?"
        ) from error
    twice = first != second
    if not bool(twice.any()):
        return first, 0, 0
    ns = first.copy()
    starts = np.flatnonzero(twice & ~np.append(False, twice[:-1]))
    stops = np.flatnonzero(twice & ~np.append(twice[1:], False)) + 1
    undecided, n_turns = 0, 0
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        falls = np.flatnonzero(np.diff(times.ns[start:stop]) < 0)
        if falls.shape[0]:
            turn = start + int(falls[0]) + 1
            ns[turn:stop] = second[turn:stop]
            n_turns += 1
        else:
            undecided += stop - start
    return ns, undecided, n_turns


def _assume(naive: pa.ChunkedArray, zone: str, ambiguous: str) -> NDArray[np.int64]:
    aware = pc.assume_timezone(naive, zone, ambiguous=ambiguous, nonexistent="raise")
    return _timestamp_ns(aware)


def _first_nonexistent(ns: NDArray[np.int64], zone: str) -> int:
    naive = pa.chunked_array([arrow_column(ns, pa.timestamp("ns"))])
    options = [
        _timestamp_ns(pc.assume_timezone(naive, zone, ambiguous="earliest", nonexistent=side))
        for side in ("earliest", "latest")
    ]
    return int(np.argmax(options[0] != options[1]))
