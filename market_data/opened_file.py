"""A file of bars that is open for an import: its rows by symbol, judged and stored one by one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from foundation.clock import Clock, SystemClock
from foundation.errors import DataError
from foundation.progress import Progress, silent
from market_data.actions_file import actions_beside, read_action_records_file
from market_data.columns import BarColumns
from market_data.import_reports import CheckedBars, ImportOptions, ImportReport
from market_data.judging import N_STEPS, Judge
from market_data.opening import DataFile, find_file
from market_data.provenance import Provenance
from market_data.reading import BarFile
from market_data.reused_tickers import write_split_listing
from market_data.rows_by_symbol import SymbolRows
from market_data.sessions import date_of
from market_data.store import Store
from trading.instruments import Instrument


@contextmanager
def open_for_import(
    store: Store,
    path: Path,
    options: ImportOptions,
    *,
    everything: bool = False,
    in_memory: bool = False,
    progress: Progress = silent,
) -> Iterator[OpenedFile]:
    """Read a file's rows; errors within the block get the file's name."""
    label = path.name
    try:
        file = find_file(path)
        label = file.label
        progress(0, N_STEPS, f"reading {label}")
        bars = BarFile(file)
        rows = SymbolRows(
            bars,
            wanted=options.symbol,
            everything=everything,
            folder=None if in_memory else _spill_folder(store),
        )
        with rows:
            rows.read()
            yield OpenedFile(store, path, file, bars, rows, options)
    except DataError as error:
        raise DataError(f"{label}: {error}") from error


def _spill_folder(store: Store) -> Path:
    """Return where rows may be put aside: beside the data, or on this machine for a bucket."""
    return store.home if isinstance(store.home, Path) else Path(tempfile.gettempdir())


class OpenedFile:
    """A file whose rows were read, ready to be judged symbol by symbol."""

    def __init__(
        self,
        store: Store,
        path: Path,
        file: DataFile,
        bars: BarFile,
        rows: SymbolRows,
        options: ImportOptions,
    ) -> None:
        self.store = store
        self.path = path
        self.file = file
        self.bars = bars
        self.rows = rows
        self.options = options
        # Two symbols at once must not write one calendar's table twice.
        self.calendars = Lock()

    @property
    def source(self) -> str:
        """Name and digest of the file, for people."""
        return f"{self.file.label} (sha256 {self.bars.digest[:12]})"

    def check_symbol(
        self, symbol: str, instrument: Instrument | None, progress: Progress
    ) -> CheckedBars:
        """Check the bars of a symbol and return them."""
        judge = Judge(
            self, symbol, instrument or self._instrument(symbol), progress, joins_stored=False
        )
        return CheckedBars(
            _joined(list(judge.bars())),
            judge.instrument,
            judge.frame.name,
            judge.sessions,
            self.source,
            judge.actions,
            judge.findings.as_tuple(),
            self.bars.digest,
        )

    def import_symbol(
        self,
        symbol: str,
        *,
        provenance: Provenance | None = None,
        clock: Clock | None = None,
        progress: Progress = silent,
    ) -> ImportReport:
        """Check the bars of a symbol and store them."""
        store = self.store
        judge = Judge(self, symbol, self._instrument(symbol), progress, joins_stored=True)
        instrument, timeframe = judge.instrument, judge.frame.name
        before = store.find_series(instrument.symbol, timeframe)
        progress(3, N_STEPS, "storing bars")
        by = provenance or Provenance(
            "file", self.file.label, (clock or SystemClock()).now(), self.bars.digest
        )
        after = store.write_bars(
            instrument.symbol,
            timeframe,
            judge.bars,
            calendar=instrument.calendar,
            source=self.source,
            overwrite=self.options.overwrite,
            provenance=by,
        )
        self.rows.drop(symbol)
        store.write_instrument(instrument)
        beside = actions_beside(self.path)
        if beside is not None and judge.actions.shape[0]:
            records = read_action_records_file(beside, instrument.symbol)
            store.write_actions(instrument.symbol, records, beside.name)
        if judge.reused:
            with self.calendars:
                write_split_listing(
                    store, instrument.symbol, date_of(judge.first_session), judge.reused
                )
        progress(N_STEPS, N_STEPS, "imported")
        return ImportReport(
            symbol=instrument.symbol,
            timeframe=timeframe,
            calendar=instrument.calendar,
            source=self.source,
            rows=judge.n_bars,
            stored_rows=after.rows,
            changed=before is None or before.files != after.files,
            first=_moment(judge.first_ns),
            last=_moment(judge.last_ns),
            findings=judge.findings.as_tuple(),
        )

    def _instrument(self, symbol: str) -> Instrument:
        """Return the stored instrument, with what is stated of it."""
        name = symbol or self.path.name.split(".")[0].split("_")[0].upper()
        stated = self.options.stated
        kept = self.store.find_instrument(name) or Instrument(name)
        if kept.calendar and stated.get("calendar", kept.calendar) != kept.calendar:
            series = self.store.timeframes(name)
            if series:
                raise DataError(
                    f"{name} is stored with calendar {kept.calendar} ({', '.join(series)}), not "
                    f"{stated['calendar']}"
                )
        return replace(kept, **stated)  # type: ignore[arg-type]


def _joined(stretches: list[BarColumns]) -> BarColumns:
    if len(stretches) == 1:
        return stretches[0]
    return BarColumns.from_tables([one.to_table() for one in stretches])


def _moment(ns: int) -> datetime:
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC)
