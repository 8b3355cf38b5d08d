"""Rows of a file sorted by symbol, in bounded memory.

Rows are held as they come. When they are more than the memory that is given
to them, those of each symbol are put in order of time and written to a file
without a name, which ends with the process; from there each symbol is read
in stretches of whole days.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data.raw import Layout, RawBars, RawBlock, number_blocks
from market_data.store import base_symbol
from market_data.timeframes import DAY_NS
from market_data.times import FileTimes, TimeParser

# So much is held before rows go to the disk; more rows at a time than this are not judged.
MEMORY_BYTES = 320 << 20
STRETCH_ROWS = 1 << 19

# Every so many rows a time is kept in memory, to find stretches by.
_PAGE_ROWS = 1 << 12
_MANY_RUNS = 64


class NoRowsOfSymbol(DataError):
    """A file with a column of symbols has none of the one that is asked for."""


class BlockFile(Protocol):
    """What gives the rows: see `market_data.reading.BarFile`."""

    layout: Layout
    times: TimeParser
    place_name: str

    def blocks(self) -> Iterator[RawBlock]:
        """Read the file once, in order."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows of one symbol from one time to another, UTC or wall-clock nanoseconds."""

    first_ns: int
    stop_ns: int


@dataclass(slots=True)
class _Spilled:
    """Rows of one symbol on the disk, in order of time.

    Attributes
    ----------
    offset : int
        Of the first byte; the columns lie one after the other.
    n_rows : int
    pages : int64 array
        Time of the first row of each page, and of the last row.
    """

    offset: int
    n_rows: int
    pages: NDArray[np.int64]


@dataclass(slots=True)
class _Held:
    """Rows of one symbol.

    Attributes
    ----------
    blocks : list of RawBlock
        In the file's order.
    runs : list of _Spilled
    n_rows : int
    n_back : int
        How often a row's time is before that of the row before.
    first, last, latest : int
        Least and largest time, and that of the last row, as the file writes them.
    spans : list of (least, most)
        Times of each block.
    """

    blocks: list[RawBlock] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    runs: list[_Spilled] = field(default_factory=list)
    n_rows: int = 0
    n_back: int = 0
    first: int = 0
    last: int = 0
    latest: int = 0

    def add(self, block: RawBlock) -> None:
        times = block.times
        first, last = int(times[0]), int(times[-1])
        n_back = int(np.count_nonzero(times[1:] < times[:-1]))
        least, most = (first, last) if not n_back else (int(times.min()), int(times.max()))
        self.spans.append((least, most))
        if self.n_rows:
            n_back += first < self.latest
            least, most = min(least, self.first), max(most, self.last)
        self.first, self.last, self.latest = least, most, last
        self.n_back += n_back
        self.n_rows += block.n_rows
        self.blocks.append(block)


class SymbolRows:
    """Rows of a file by symbol.

    Parameters
    ----------
    file : BlockFile
    wanted : str
        Which symbol to take when the file has several; empty for the only one.
    everything : bool
        Take all symbols.
    folder : Path, optional
        Where rows may go that are too many for the memory; without it all
        are held.
    memory_bytes : int
        How many bytes of rows may be held.
    """

    def __init__(
        self,
        file: BlockFile,
        *,
        wanted: str = "",
        everything: bool = False,
        folder: Path | None = None,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._file = file
        self._wanted = wanted
        self._everything = everything
        self._folder = folder
        self._memory_bytes = memory_bytes
        self._held_bytes = 0
        self._held: dict[str, _Held] = {}
        self._named: set[str] = set()
        self._spill: IO[bytes] | None = None

    @property
    def symbols(self) -> list[str]:
        """Symbols whose rows are there, sorted; one without a name for a file that has none."""
        return sorted(self._held)

    @property
    def has_spilled(self) -> bool:
        """Whether rows went to the disk."""
        return self._spill is not None

    def read(self) -> None:
        """Read the whole file.

        Raises
        ------
        NoRowsOfSymbol
            If the symbol that is wanted is not there.
        DataError
            As `BarFile.blocks`; if no symbol is named of several; or if the
            disk is full.
        """
        for block in self._file.blocks():
            self._add(block)
            if self._folder is not None and self._held_bytes > self._memory_bytes:
                self._write_held(self._folder)
        self._refuse_symbols()
        if self._spill is not None and self._folder is not None:
            # The memory is for judging from here on.
            self._write_held(self._folder)

    def _refuse_symbols(self) -> None:
        there = sorted(self._named)
        listed = ", ".join(there[:8])
        if self._wanted and there and not any(map(self._is_wanted, there)):
            if len(there) == 1:
                raise NoRowsOfSymbol(f"has bars of {there[0]}, not of {self._wanted}")
            raise NoRowsOfSymbol(f"has no bars of {self._wanted}; there are {listed}")
        if len(there) > 1 and not self._wanted and not self._everything:
            raise DataError(f"has {len(there)} symbols ({listed}); state which one")

    def _add(self, block: RawBlock) -> None:
        if block.codes is None:
            self._keep(self._wanted, block)
            return
        self._named.update(block.symbols)
        if self._wanted or self._everything:
            for name, part in _by_symbol(block):
                if self._everything:
                    self._keep(name, part)
                elif self._is_wanted(name):
                    self._keep(self._wanted, part)
        elif len(self._named) == 1:
            self._keep(block.symbols[0], block)
        else:
            # It is refused at its end, when all symbols are known.
            self._held.clear()
            self._held_bytes = 0

    def _is_wanted(self, name: str) -> bool:
        """Return whether a file's symbol is the wanted one: a source of it knows no source."""
        return name in (self._wanted, base_symbol(self._wanted))

    def _keep(self, name: str, block: RawBlock) -> None:
        self._held.setdefault(name, _Held()).add(block)
        self._held_bytes += block.n_rows * self._row_bytes

    @property
    def _row_bytes(self) -> int:
        layout = self._file.layout
        return 8 * (2 + len(layout.numbers)) + layout.has_halts

    # On the disk.

    def _write_held(self, folder: Path) -> None:
        try:
            if self._spill is None:
                folder.mkdir(parents=True, exist_ok=True)
                self._spill = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
            for held in self._held.values():
                if held.blocks:
                    held.runs.append(self._write_run(self._spill, held.blocks))
                    held.blocks, held.spans = [], []
        except OSError as error:
            raise DataError(
                f"no room to sort the file in {folder}: {error.strerror or error}; "
                "what was stored before is unchanged"
            ) from error
        self._held_bytes = 0

    def _write_run(self, spill: IO[bytes], blocks: list[RawBlock]) -> _Spilled:
        times = np.concatenate([block.times for block in blocks])
        order: slice | NDArray[np.int64] = slice(None)
        if bool(np.any(times[1:] < times[:-1])):
            order = np.argsort(times, kind="stable")
            times = times[order]
        columns: list[list[NDArray[Any]]] = [[block.rows for block in blocks]]
        columns += [[block.values[i] for block in blocks] for i in range(len(blocks[0].values))]
        offset = spill.seek(0, os.SEEK_END)
        _write_all(spill, times)
        for column in columns:
            _write_all(spill, np.concatenate(column)[order])
        halts = [block.halted for block in blocks if block.halted is not None]
        if halts:
            _write_all(spill, np.concatenate(halts)[order])
        return _Spilled(offset, times.shape[0], np.append(times[::_PAGE_ROWS], times[-1]))

    def _read_run(self, run: _Spilled, stretch: Stretch | None) -> RawBlock | None:
        start, stop = 0, run.n_rows
        if stretch is not None:
            start = self._find_row(run, stretch.first_ns)
            stop = self._find_row(run, stretch.stop_ns)
        if start == stop:
            return None
        layout = self._file.layout
        values = tuple(
            self._column(run, 2 + i, "f8", start, stop) for i in range(len(layout.numbers))
        )
        halted = None
        if layout.has_halts:
            halted = self._column(run, 2 + len(values), "?", start, stop)
        times = self._column(run, 0, "i8", start, stop)
        return RawBlock(times, self._column(run, 1, "i8", start, stop), values, halted)

    def _column(self, run: _Spilled, column: int, dtype: str, start: int, stop: int) -> Any:
        """Return some rows of a column; all columns before it are eight bytes wide."""
        assert self._spill is not None
        width = np.dtype(dtype).itemsize
        values = np.empty(stop - start, dtype)
        if start == stop:
            return values
        memory, place = memoryview(values).cast("B"), run.offset + 8 * column * run.n_rows
        place += start * width
        n_read = 0
        while n_read < len(memory):
            # Several symbols are read at the same time, so that the file has no one position.
            count = os.preadv(self._spill.fileno(), [memory[n_read:]], place + n_read)
            if not count:
                raise DataError("the rows put aside on the disk are cut off")
            n_read += count
        return values

    def _find_row(self, run: _Spilled, ns: int) -> int:
        """Return the first row at or after a time."""
        pages = self._file.times.to_ns(run.pages)
        page = int(np.searchsorted(pages[:-1], ns, "left"))
        if page == 0:
            return 0
        start = (page - 1) * _PAGE_ROWS
        stop = min(start + _PAGE_ROWS, run.n_rows)
        times = self._file.times.to_ns(self._column(run, 0, "i8", start, stop))
        return start + int(np.searchsorted(times, ns, "left"))

    # On the way out.

    def n_rows(self, symbol: str) -> int:
        """Return how many rows a symbol has."""
        return self._held[symbol].n_rows

    def n_back(self, symbol: str) -> int:
        """Return how often a row's time is before that of the symbol's row before."""
        return self._held[symbol].n_back

    def span(self, symbol: str) -> tuple[int, int]:
        """Return the least and the largest time, UTC or wall-clock nanoseconds."""
        held = self._held[symbol]
        first, last = self._file.times.to_ns(np.array([held.first, held.last]))
        return int(first), int(last)

    def stretches(self, symbol: str, most_rows: int = STRETCH_ROWS) -> list[Stretch | None]:
        """Return stretches of whole days of about so many rows, in order of time.

        Returns
        -------
        list of Stretch or None
            Only None, which stands for all rows, when they are few enough.
        """
        held = self._held[symbol]
        if held.n_rows <= most_rows:
            return [None]
        pages = [run.pages[:-1] for run in held.runs]
        pages += [block.times[::_PAGE_ROWS] for block in held.blocks]
        samples = np.sort(self._file.times.to_ns(np.concatenate(pages)))
        step = max(1, samples.shape[0] * most_rows // held.n_rows)
        cuts = np.unique(samples[step::step] // DAY_NS * DAY_NS)
        first, last = self.span(symbol)
        inner = [int(cut) for cut in cuts if first < cut <= last]
        bounds = [first, *inner, last + 1]
        return [Stretch(*pair) for pair in itertools.pairwise(bounds)]

    def months(self, symbol: str) -> Iterator[Stretch]:
        """Return a stretch for each month that has rows, by the file's own clock, in order."""
        held = self._held[symbol]
        first, last = self.span(symbol)
        edges = np.array([first, last], "datetime64[ns]").astype("datetime64[M]")
        starts = np.arange(edges[0] + 1, edges[1] + 1).astype("datetime64[ns]")
        inner = [int(start) for start in starts.astype(np.int64)]
        for start, stop in itertools.pairwise([first, *inner, last + 1]):
            month = Stretch(start, stop)
            spilled = (
                self._find_row(run, month.first_ns) < self._find_row(run, month.stop_ns)
                for run in held.runs
            )
            if any(spilled) or any(True for _ in self._inside(held, month)):
                yield month

    def load_times(self, symbol: str, stretch: Stretch | None) -> NDArray[np.int64]:
        """Return the times of a stretch, UTC or wall-clock nanoseconds, sorted."""
        held = self._held[symbol]
        times = [block.times for block in self._selected(held, stretch)]
        for run in held.runs:
            start, stop = 0, run.n_rows
            if stretch is not None:
                start = self._find_row(run, stretch.first_ns)
                stop = self._find_row(run, stretch.stop_ns)
            times.append(self._column(run, 0, "i8", start, stop))
        joined = np.concatenate(times)
        if bool(np.any(joined[1:] < joined[:-1])):
            joined.sort()
        return self._file.times.to_ns(joined)

    def load(self, symbol: str, stretch: Stretch | None = None) -> RawBars:
        """Return the rows of a stretch in the file's order."""
        held = self._held[symbol]
        blocks = list(self._selected(held, stretch))
        for run in held.runs:
            block = self._read_run(run, stretch)
            if block is not None:
                blocks.append(block)
        layout = self._file.layout
        rows = np.concatenate([block.rows for block in blocks])
        times = self._file.times.to_ns(np.concatenate([block.times for block in blocks]))
        prices, bid, ask = number_blocks(layout, blocks)
        halts = [block.halted for block in blocks if block.halted is not None]
        halted = np.concatenate(halts) if halts else None
        if bool(np.any(rows[1:] < rows[:-1])):
            order = np.argsort(rows)
            rows, times, prices = rows[order], times[order], prices[:, order]
            bid = None if bid is None else bid[:, order]
            ask = None if ask is None else ask[:, order]
            halted = None if halted is None else halted[order]
        return RawBars(
            FileTimes(times, self._file.times.aware),
            prices,
            bid,
            ask,
            halted,
            symbol,
            "volume" in layout.numbers,
            rows,
            self._file.place_name,
        )

    def _selected(self, held: _Held, stretch: Stretch | None) -> Iterator[RawBlock]:
        if stretch is None:
            yield from held.blocks
            return
        for block, inside in self._inside(held, stretch):
            yield block if bool(inside.all()) else block.select(np.flatnonzero(inside))

    def _inside(
        self, held: _Held, stretch: Stretch
    ) -> Iterator[tuple[RawBlock, NDArray[np.bool_]]]:
        """Return the blocks in memory that have rows of a stretch, and which rows those are."""
        if not held.blocks:
            return
        least, most = (self._file.times.to_ns(ends) for ends in np.array(held.spans).T)
        near = (least < stretch.stop_ns) & (most >= stretch.first_ns)
        for i_block in np.flatnonzero(near).tolist():
            block = held.blocks[i_block]
            ns = self._file.times.to_ns(block.times)
            inside = (ns >= stretch.first_ns) & (ns < stretch.stop_ns)
            if bool(inside.any()):
                yield block, inside

    def drop(self, symbol: str) -> None:
        """Forget a symbol's rows."""
        self._held.pop(symbol, None)

    def close(self) -> None:
        """Give the room on the disk back."""
        if self._spill is not None:
            with suppress(OSError):
                self._spill.close()

    def __enter__(self) -> SymbolRows:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _by_symbol(block: RawBlock) -> Iterator[tuple[str, RawBlock]]:
    """Split a block; rows of one symbol stay in order."""
    assert block.codes is not None
    codes, symbols = block.codes, block.symbols
    starts = np.flatnonzero(np.append(True, codes[1:] != codes[:-1]))
    if starts.shape[0] > _MANY_RUNS:
        small = codes.astype(np.int16) if len(symbols) < 1 << 15 else codes
        # Of 16 bits, numpy sorts by digits, which keeps the order and is fast.
        order = np.argsort(small, kind="stable")
        block, codes = block.select(order), codes[order]
        starts = np.flatnonzero(np.append(True, codes[1:] != codes[:-1]))
    stops = np.append(starts[1:], codes.shape[0])
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        yield symbols[codes[start]], block.select(slice(start, stop))


def _write_all(spill: IO[bytes], values: NDArray[np.generic]) -> None:
    memory = memoryview(np.ascontiguousarray(values)).cast("B")
    while len(memory):
        memory = memory[spill.write(memory) :]
