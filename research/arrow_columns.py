"""Arrow columns from numpy arrays, by their buffers.

`pyarrow.array` asks pandas about every argument and so imports it, which
would take longer than a whole backtest of daily bars. These functions hand
Arrow the memory instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_TYPES = {
    np.dtype(np.float64): pa.float64(),
    np.dtype(np.int64): pa.int64(),
    np.dtype(np.int32): pa.int32(),
    np.dtype(np.int8): pa.int8(),
}


def numbers(values: NDArray[Any]) -> pa.Array:
    """Return a column of the array's own type; NaN stays NaN."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(
        _TYPES[values.dtype], len(values), [None, pa.py_buffer(values.tobytes())]
    )


def times(ns: NDArray[np.int64]) -> pa.Array:
    """Return UTC times in microseconds from nanoseconds."""
    values = np.asarray(ns, np.int64) // 1000
    return pa.Array.from_buffers(
        pa.timestamp("us", tz="UTC"), len(values), [None, pa.py_buffer(values.tobytes())]
    )


def dates(days: NDArray[np.int64]) -> pa.Array:
    """Return dates from days since 1970-01-01."""
    values = np.asarray(days, np.int32)
    return pa.Array.from_buffers(pa.date32(), len(values), [None, pa.py_buffer(values.tobytes())])


def truths(values: NDArray[np.bool_], known: NDArray[np.bool_] | None = None) -> pa.Array:
    """Return booleans, null where not known."""
    bits = np.packbits(np.asarray(values, bool), bitorder="little").tobytes()
    mask = None
    if known is not None:
        mask = pa.py_buffer(np.packbits(np.asarray(known, bool), bitorder="little").tobytes())
    return pa.Array.from_buffers(pa.bool_(), len(values), [mask, pa.py_buffer(bits)])


def nothing(n: int) -> pa.Array:
    """Return a float64 column of nulls."""
    return pa.Array.from_buffers(
        pa.float64(), n, [pa.py_buffer(bytes((n + 7) // 8)), pa.py_buffer(bytes(8 * n))]
    )


def texts(values: Sequence[str]) -> pa.Array:
    """Return a column of texts."""
    encoded = [value.encode() for value in values]
    ends = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(value) for value in encoded], out=ends[1:])
    return pa.Array.from_buffers(
        pa.string(),
        len(encoded),
        [None, pa.py_buffer(ends.tobytes()), pa.py_buffer(b"".join(encoded))],
    )


def names(codes: NDArray[Any], table: Sequence[str]) -> pa.Array:
    """Return the name of each code as text."""
    return pa.DictionaryArray.from_arrays(numbers(np.asarray(codes, np.int8)), texts(table)).cast(
        pa.string()
    )


def table_of(columns: Mapping[str, pa.Array | NDArray[Any]]) -> pa.Table:
    """Build a table; numpy arrays become numbers or booleans."""
    arrays = []
    for column in columns.values():
        if isinstance(column, np.ndarray):
            column = truths(column) if column.dtype == bool else numbers(column)
        arrays.append(column)
    return pa.Table.from_arrays(arrays, names=list(columns))
