"""Times as files write them: dates, instants, wall-clock times, epoch numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
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


def parse_times(columns: list[pa.ChunkedArray], place: Place) -> FileTimes:
    """Parse the time column, or a date and a time column.

    Parameters
    ----------
    columns : list of one or two arrow columns
        Text, timestamps, dates or epoch numbers.
    place : callable
        Names the row of an index for messages.

    Raises
    ------
    DataError
        If a time is missing or in no known form, or some rows state a zone
        and others don't.
    """
    for column in columns:
        if column.null_count:
            row = int(np.argmax(np.asarray(column.is_null())))
            raise DataError(f"{place(row)} has no time")
    if len(columns) == 2:
        texts = [column.cast(pa.string()) for column in columns]
        return _parse_text(pc.binary_join_element_wise(*texts, " "), place)
    column = columns[0]
    kind = column.type
    if pa.types.is_timestamp(kind):
        ns = _timestamp_ns(column.cast(pa.timestamp("ns", kind.tz)))
        return FileTimes(ns, aware=kind.tz is not None)
    if pa.types.is_date(kind):
        return FileTimes(_timestamp_ns(column.cast(pa.timestamp("ns"))), aware=False)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        width = kind.bit_width // 8
        letter = "f" if pa.types.is_floating(kind) else "u" if str(kind)[0] == "u" else "i"
        return _parse_numbers(column_values(column, f"{letter}{width}"), place)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise DataError(f"times have the type {kind}, which is none of a time")
    return _parse_text(column.cast(pa.string()), place)


def _timestamp_ns(column: pa.ChunkedArray) -> NDArray[np.int64]:
    return np.array(column_values(column, "i8"))


def _parse_text(column: pa.ChunkedArray, place: Place) -> FileTimes:
    column = pc.utf8_trim_whitespace(column)
    column = pc.replace_substring_regex(column, r" ?(?:UTC|GMT)$", "Z")
    column = pc.replace_substring_regex(column, r" ([+-]\d{2}:?\d{2})$", r"\1")
    sample = column[0].as_py()
    if _DIGITS.fullmatch(sample):
        return _parse_digits(column, place)
    for zone in (None, "UTC"):
        try:
            ns = _timestamp_ns(column.cast(pa.timestamp("ns", zone)))
        except pa.ArrowException:
            continue
        if zone is not None:
            _refuse_unlike_offsets(column, place)
        return FileTimes(ns, aware=zone is not None)
    for form in _FORMATS:
        try:
            parsed = pc.strptime(column, format=form, unit="us")
        except pa.ArrowException:
            continue
        return FileTimes(_timestamp_ns(parsed.cast(pa.timestamp("ns"))), aware=False)
    raise DataError(_unparsed(column, place))


def _refuse_unlike_offsets(column: pa.ChunkedArray, place: Place) -> None:
    """Refuse offsets that no single zone can have; summer time makes one hour."""
    tails = pc.utf8_slice_codeunits(column, -6)
    offsets = {text: _offset_minutes(text) for text in tails.unique().to_pylist()}
    least, most = min(offsets.values()), max(offsets.values())
    if most - least <= 60:
        return
    minutes = [offsets[text] for text in tails.to_pylist()]
    one, other = minutes.index(minutes[0]), minutes.index(least if minutes[0] == most else most)
    raise DataError(
        f"mixed time zones: {place(one)} has {column[one]}, {place(other)} has {column[other]}"
    )


def _offset_minutes(text: str) -> int:
    match = re.search(r"([+-])(\d{2})(?::?(\d{2}))?$", text)
    if match is None:
        return 0
    minutes = int(match[2]) * 60 + int(match[3] or 0)
    return -minutes if match[1] == "-" else minutes


def _parse_digits(column: pa.ChunkedArray, place: Place) -> FileTimes:
    try:
        return _parse_numbers(column_values(column.cast(pa.float64()), "f8"), place)
    except pa.ArrowException as error:
        raise DataError(_unparsed(column, place)) from error


def _parse_numbers(numbers: NDArray[Any], place: Place) -> FileTimes:
    wrong = ~np.isfinite(numbers)
    if bool(wrong.any()):
        raise DataError(f"{place(int(np.argmax(wrong)))} has no time")
    values = np.asarray(numbers, np.int64)
    if bool(np.all((values >= 19_000_101) & (values <= 21_991_231))):
        return FileTimes(_dates_from_digits(values, place), aware=False)
    largest = int(np.max(np.abs(values)))
    for limit, factor in _EPOCH_UNITS:
        if largest < limit:
            return FileTimes(values * factor, aware=True)
    return FileTimes(values.copy(), aware=True)


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


def localise(times: FileTimes, zone: str, place: Place) -> tuple[NDArray[np.int64], int]:
    """Turn wall-clock times of a zone into UTC nanoseconds.

    Returns
    -------
    ns : int64 array
        When clocks go back an hour passes twice: where the file's times go
        back too, the rest of that hour is the second one.
    n_ambiguous : int
        Times that occur twice and were taken as the first for want of an
        order that tells.

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
        return first, 0
    ns = first.copy()
    starts = np.flatnonzero(twice & ~np.append(False, twice[:-1]))
    stops = np.flatnonzero(twice & ~np.append(twice[1:], False)) + 1
    undecided = 0
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        falls = np.flatnonzero(np.diff(times.ns[start:stop]) < 0)
        if falls.shape[0]:
            turn = start + int(falls[0]) + 1
            ns[turn:stop] = second[turn:stop]
        else:
            undecided += stop - start
    return ns, undecided


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
