"""Columns of bars on their way between files, the store and `Bars`.

The Parquet schema: ``ts timestamp[us, UTC]`` (open time), ``session date32``,
``open high low close volume double``; and where the source has them
``bid_open … bid_close``, ``ask_open … ask_close`` and ``halted bool``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foundation.errors import DataError

PRICE_NAMES = ("open", "high", "low", "close")
COLUMN_NAMES = (*PRICE_NAMES, "volume")
BID_NAMES = tuple(f"bid_{name}" for name in PRICE_NAMES)
ASK_NAMES = tuple(f"ask_{name}" for name in PRICE_NAMES)
INSTANT = pa.timestamp("us", "UTC")


@dataclass(frozen=True, slots=True)
class BarColumns:
    """Bars as plain columns, oldest first.

    Attributes
    ----------
    ts : int64 array, shape (n_bars,)
        Open times, UTC nanoseconds.
    session : int64 array, shape (n_bars,)
        Session dates, days since 1970-01-01.
    prices : float64 array, shape (5, n_bars)
        Rows open, high, low, close, volume.
    bid, ask : float64 arrays, shape (4, n_bars), or None
    halted : bool array, shape (n_bars,), or None
    """

    ts: NDArray[np.int64]
    session: NDArray[np.int64]
    prices: NDArray[np.float64]
    bid: NDArray[np.float64] | None = None
    ask: NDArray[np.float64] | None = None
    halted: NDArray[np.bool_] | None = None

    @property
    def n_bars(self) -> int:
        """Number of bars."""
        return int(self.ts.shape[0])

    def select(self, chosen: slice | NDArray[np.generic]) -> BarColumns:
        """Return some of the bars."""
        return BarColumns(
            self.ts[chosen],
            self.session[chosen],
            self.prices[:, chosen],
            None if self.bid is None else self.bid[:, chosen],
            None if self.ask is None else self.ask[:, chosen],
            None if self.halted is None else self.halted[chosen],
        )

    def equals(self, other: BarColumns) -> bool:
        """Return whether both hold the same bars, bit for bit, NaN equal to NaN."""
        return self.n_bars == other.n_bars and self.digest() == other.digest()

    def digest(self) -> str:
        """Return the sha256 of the content."""
        digest = hashlib.sha256(b"bars 1")
        for name in ("ts", "session", "prices", "bid", "ask", "halted"):
            column = getattr(self, name)
            if column is not None:
                digest.update(f"{name} {column.shape}".encode())
                digest.update(np.ascontiguousarray(column).data)
        return digest.hexdigest()

    def to_table(self) -> pa.Table:
        """Return the bars in the store's Parquet schema."""
        columns: dict[str, pa.Array] = {
            "ts": arrow_column(self.ts // 1000, INSTANT),
            "session": arrow_column(self.session.astype(np.int32), pa.date32()),
        }
        for i, name in enumerate(COLUMN_NAMES):
            columns[name] = arrow_column(self.prices[i], pa.float64())
        for names, side in ((BID_NAMES, self.bid), (ASK_NAMES, self.ask)):
            if side is not None:
                for i, name in enumerate(names):
                    columns[name] = arrow_column(side[i], pa.float64())
        if self.halted is not None:
            columns["halted"] = pa.array(self.halted)
        return pa.table(columns)

    @classmethod
    def from_tables(cls, tables: list[pa.Table]) -> Self:
        """Return the bars of tables in the store's schema, one after the other.

        Quotes and halts that only some of the tables have are NaN and false
        in the rest.
        """
        bounds = np.cumsum([0, *(table.num_rows for table in tables)])
        n_bars = int(bounds[-1])
        ts = np.empty(n_bars, np.int64)
        session = np.empty(n_bars, np.int64)
        prices = np.empty((5, n_bars))
        bid = _side(tables, BID_NAMES, n_bars)
        ask = _side(tables, ASK_NAMES, n_bars)
        has_halts = any("halted" in table.column_names for table in tables)
        halted = np.zeros(n_bars, np.bool_) if has_halts else None
        for table, start, stop in zip(tables, bounds[:-1], bounds[1:], strict=True):
            np.multiply(column_values(table["ts"], "i8"), 1000, out=ts[start:stop])
            session[start:stop] = column_values(table["session"], "i4")
            for i, name in enumerate(COLUMN_NAMES):
                prices[i, start:stop] = column_values(table[name], "f8")
            for side, names in ((bid, BID_NAMES), (ask, ASK_NAMES)):
                if side is not None and names[0] in table.column_names:
                    for i, name in enumerate(names):
                        side[i, start:stop] = column_values(table[name], "f8")
            if halted is not None and "halted" in table.column_names:
                halted[start:stop] = column_flags(table["halted"])
        return cls(ts, session, prices, bid, ask, halted)


def column_values(column: pa.ChunkedArray, dtype: str, missing: Any = None) -> NDArray[Any]:
    """Return a column of fixed-width values as numpy sees its memory.

    Parameters
    ----------
    dtype : str
        Numpy's name for the column's type.
    missing : number, optional
        Stands for nulls, which are refused otherwise.

    Notes
    -----
    Arrow's own `to_numpy`, like `pa.array` and `pa.scalar`, imports pandas, for
    which every backtest would wait.
    """
    if column.null_count and missing is None:
        raise DataError(f"a stored column has {column.null_count} missing values")
    width = np.dtype(dtype).itemsize
    parts = []
    for chunk in column.chunks:
        if not len(chunk):
            continue
        validity, memory = chunk.buffers()
        values = np.frombuffer(memory, dtype, len(chunk), chunk.offset * width)
        if chunk.null_count:
            values = np.where(_bits(validity, chunk), values, missing)
        parts.append(values)
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def column_flags(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Return a boolean column, nulls as false."""
    flags = []
    for chunk in column.chunks:
        if not len(chunk):
            continue
        validity, memory = chunk.buffers()
        bits = _bits(memory, chunk)
        flags.append(bits & _bits(validity, chunk) if chunk.null_count else bits)
    return np.concatenate(flags) if flags else np.zeros(0, np.bool_)


def _bits(memory: pa.Buffer, chunk: pa.Array) -> NDArray[np.bool_]:
    packed = np.frombuffer(memory, np.uint8)
    count = chunk.offset + len(chunk)
    return np.unpackbits(packed, count=count, bitorder="little")[chunk.offset :].astype(np.bool_)


def arrow_column(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Return numbers as an Arrow array of a type of the same width, without copying."""
    memory = np.ascontiguousarray(values)
    return pa.Array.from_buffers(kind, memory.shape[0], [None, pa.py_buffer(memory)])


def _side(
    tables: list[pa.Table], names: tuple[str, ...], n_bars: int
) -> NDArray[np.float64] | None:
    if any(names[0] in table.column_names for table in tables):
        return np.full((4, n_bars), np.nan)
    return None


def merge_columns(old: BarColumns, new: BarColumns, *, overwrite: bool) -> BarColumns:
    """Return the bars of both in time order.

    Raises
    ------
    DataError
        If both have a bar of one time with other values, unless `overwrite`
        lets the new one win.
    """
    both = BarColumns.from_tables([old.to_table(), new.to_table()])
    # A stable order keeps the old bar before the new one of the same time.
    order = np.argsort(both.ts, kind="stable")
    ordered = both.select(order)
    again = np.flatnonzero(ordered.ts[1:] == ordered.ts[:-1])
    if again.shape[0] == 0:
        return ordered
    if not overwrite:
        differs = ~_equal_bars(ordered, again, again + 1)
        if bool(differs.any()):
            i_bar = int(again[np.argmax(differs)])
            raise DataError(
                f"{int(differs.sum())} stored bars have other values than the new ones, first at "
                f"{np.datetime64(int(ordered.ts[i_bar]) // 1000, 'us')} (stored close "
                f"{ordered.prices[3, i_bar]:g}, new {ordered.prices[3, i_bar + 1]:g}); "
                "overwrite to let the new ones win"
            )
    keep = np.ones(ordered.n_bars, np.bool_)
    keep[again] = False
    return ordered.select(keep)


def _equal_bars(
    bars: BarColumns, one: NDArray[np.int64], other: NDArray[np.int64]
) -> NDArray[np.bool_]:
    equal = np.ones(one.shape[0], np.bool_)
    for block in (bars.prices, bars.bid, bars.ask):
        if block is not None:
            left, right = block[:, one], block[:, other]
            equal &= np.all((left == right) | (np.isnan(left) & np.isnan(right)), axis=0)
    return equal
