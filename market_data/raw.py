"""Rows of a file of bars before anything is judged: what columns mean, blocks, raw bars."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data.columns import ASK_NAMES, BID_NAMES, PRICE_NAMES
from market_data.times import FileTimes

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


@dataclass(frozen=True, slots=True)
class Layout:
    """What the columns of a file mean.

    Attributes
    ----------
    columns : tuple of str
        Of the file, in its order.
    names : dict
        Meaning to column.
    numbers : tuple of str
        Meanings of the columns that hold numbers.
    """

    columns: tuple[str, ...]
    names: dict[str, str]
    numbers: tuple[str, ...]

    @classmethod
    def of(cls, columns: Sequence[str]) -> Layout:
        """Understand the columns; DataError if one is missing or ambiguous."""
        names = _meanings(columns)
        return cls(tuple(columns), names, tuple(name for name in _NUMBERS if name in names))

    @property
    def time_columns(self) -> list[str]:
        """Columns that make the time, in order."""
        return [self.names[name] for name in ("ts", "date", "time") if name in self.names]

    @property
    def has_halts(self) -> bool:
        """Whether a column says which bars are halted."""
        return "halted" in self.names

    @property
    def prices_are_mid(self) -> bool:
        """Whether there are quotes only, whose middle makes the prices."""
        return "close" not in self.names

    @property
    def ignored(self) -> tuple[str, ...]:
        """Columns with no meaning here."""
        return tuple(c for c in self.columns if c not in self.names.values())

    @property
    def used(self) -> list[str]:
        """Columns with a meaning."""
        return [c for c in self.columns if c in self.names.values()]


def _meanings(columns: Sequence[str]) -> dict[str, str]:
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


def _missing_columns(missing: list[str], columns: Sequence[str]) -> str:
    hints = []
    for name in missing:
        for near in difflib.get_close_matches(name, [column.lower() for column in columns], n=1):
            hints.append(f"; is {near!r} meant to be {name}?")
    return f"no column for {', '.join(missing)}; there are {', '.join(columns)}{''.join(hints)}"


@dataclass(frozen=True, slots=True)
class RawBlock:
    """Some rows of a file.

    Attributes
    ----------
    times : int64 array, shape (n_rows,)
        As `TimeParser.to_ns` understands them at the file's end.
    rows : int64 array, shape (n_rows,)
        Row numbers in the file, counted from 0.
    values : tuple of float64 arrays, each of shape (n_rows,)
        As `Layout.numbers` names them.
    halted : bool array, shape (n_rows,), or None
    symbols : tuple of str
        Empty when the file has no such column.
    codes : int32 array, shape (n_rows,), or None
        Which of `symbols` each row is of.
    """

    times: NDArray[np.int64]
    rows: NDArray[np.int64]
    values: tuple[NDArray[np.float64], ...]
    halted: NDArray[np.bool_] | None
    symbols: tuple[str, ...] = ()
    codes: NDArray[np.int32] | None = None

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.rows.shape[0])

    def select(self, chosen: slice | NDArray[np.generic]) -> RawBlock:
        """Return some of the rows, without their symbols."""
        return RawBlock(
            self.times[chosen],
            self.rows[chosen],
            tuple(values[chosen] for values in self.values),
            None if self.halted is None else self.halted[chosen],
        )


@dataclass(frozen=True, slots=True)
class RawBars:
    """Bars of one symbol in the file's order.

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
    rows : int64 array, shape (n_rows,)
        Row number of each bar in the file, counted from 0.
    place_name : str
        ``line`` where rows can be named as lines of a text file, else ``row``.
    """

    times: FileTimes
    prices: NDArray[np.float64]
    bid: NDArray[np.float64] | None
    ask: NDArray[np.float64] | None
    halted: NDArray[np.bool_] | None
    symbol: str
    has_volume: bool
    rows: NDArray[np.int64]
    place_name: str

    @property
    def n_bars(self) -> int:
        """Number of bars."""
        return int(self.rows.shape[0])

    def place(self, i: int) -> str:
        """Return where the i-th bar stands in the file, as a person counts."""
        return place_text(self.place_name, int(self.rows[i]))


def place_text(place_name: str, row: int) -> str:
    """Return a row number counted from 0 as a person counts it."""
    return f"line {row + 2}" if place_name == "line" else f"row {row + 1}"


def number_blocks(
    layout: Layout, blocks: Sequence[RawBlock]
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return prices, bid and ask of blocks as `RawBars` has them."""
    n_rows = sum(block.n_rows for block in blocks)

    def joined(wanted: tuple[str, ...]) -> NDArray[np.float64]:
        values = np.empty((len(wanted), n_rows))
        for i, name in enumerate(wanted):
            if name not in layout.numbers:
                values[i] = np.nan
                continue
            column = layout.numbers.index(name)
            np.concatenate([block.values[column] for block in blocks], out=values[i])
        return values

    bid = joined(BID_NAMES) if BID_NAMES[3] in layout.numbers else None
    ask = joined(ASK_NAMES) if ASK_NAMES[3] in layout.numbers else None
    prices = joined((*PRICE_NAMES, "volume"))
    if layout.prices_are_mid and bid is not None and ask is not None:
        prices[:4] = (bid + ask) / 2
    return prices, bid, ask
