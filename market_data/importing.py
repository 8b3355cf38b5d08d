"""Import of bars from files: read, check, place in sessions, store.

A file is read once, in blocks, and its rows are kept by symbol, on the disk
where they are too many (`rows_by_symbol`). Then each symbol's bars are judged
in order of time, stretch by stretch, while the parts of the new series are
written beside the old one; the series changes in one step when everything of
it has passed, or not at all.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from foundation.clock import Clock, SystemClock
from foundation.errors import DataError
from foundation.progress import Progress, silent
from market_data import checks
from market_data.actions_file import (
    actions_beside,
    read_action_records_file,
    read_actions_file,
)
from market_data.calendars import default_daily_calendar
from market_data.checks import Finding, Findings, GapCheck, MoveCheck
from market_data.columns import BarColumns
from market_data.opening import ZIP_SUFFIX, DataFile, find_file, list_files, list_members
from market_data.placing import Placer, QuoteJoiner
from market_data.provenance import Provenance
from market_data.raw import RawBars
from market_data.reading import BarFile
from market_data.reused_tickers import (
    ReuseCheck,
    ReusedTicker,
    refuse_reuse,
    reuse_finding,
    says_nothing_of,
    take_stored,
    write_split_listing,
)
from market_data.rows_by_symbol import Stretch, SymbolRows
from market_data.sessions import SessionTable, date_of
from market_data.store import Store
from market_data.timeframes import DAY_NS, Timeframe, parse_timeframe
from market_data.times import localise
from trading.instruments import Instrument

_STEPS = 4
_N_SYMBOLS_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class CheckedBars:
    """Bars of a file that passed every check, not stored yet.

    Attributes
    ----------
    columns : BarColumns
    instrument : Instrument
        With its calendar.
    timeframe : str
    sessions : SessionTable
    source : str
        Name and digest of the file.
    actions : DATED_ACTION array
        From the file beside it, else those stored.
    findings : tuple of Finding
    sha256 : str
        Of the file.
    """

    columns: BarColumns
    instrument: Instrument
    timeframe: str
    sessions: SessionTable
    source: str
    actions: NDArray[np.void]
    findings: tuple[Finding, ...]
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    Attributes
    ----------
    symbol, timeframe, calendar, source : str
    rows : int
        Bars of the file that passed.
    stored_rows : int
        Bars of the series now.
    changed : bool
        False when all of them were stored before.
    first, last : datetime
        Open times of the file's first and last bar, UTC.
    findings : tuple of Finding
    """

    symbol: str
    timeframe: str
    calendar: str
    source: str
    rows: int
    stored_rows: int
    changed: bool
    first: datetime
    last: datetime
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of one file of several.

    Attributes
    ----------
    name : str
        The file's name below the folder, or within the archive.
    reports : tuple of ImportReport
        One for each symbol that was imported.
    errors : tuple of str
        One line for each symbol that was refused, or one for the file.
    """

    name: str
    reports: tuple[ImportReport, ...]
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How to read files and what is known of their instruments.

    Attributes
    ----------
    symbol : str
        Needed when a file has no column for it, or several symbols.
    timeframe : str
        Taken from the distances between bars when not given.
    timezone : str
        Zone of times that state none; daily bars may do without.
    quotes : path, optional
        A second file with ``bid_open`` … ``ask_close`` of the same times; it
        is held in memory.
    stated : mapping
        Fields of the instrument that replace the stored ones, such as
        ``calendar``, which intraday bars need unless it is stored.
    repair : bool
        Widen bars whose high and low do not hold open and close.
    drop_unscheduled : bool
        Leave out bars that are in no session of the calendar, however many.
    overwrite : bool
        Let bars replace stored ones of the same time.
    refresh : bool
        Compute the calendar's sessions anew if its source has changed.
    split_listing : bool
        Where the bars look like those of several companies that had the
        ticker one after the other, write that down in the listings; they are
        refused otherwise.
    """

    symbol: str = ""
    timeframe: str = ""
    timezone: str = ""
    quotes: Path | None = None
    stated: Mapping[str, object] = field(default_factory=dict)
    repair: bool = False
    drop_unscheduled: bool = False
    overwrite: bool = False
    refresh: bool = True
    split_listing: bool = False


def import_file(
    store: Store,
    path: Path | str,
    *,
    symbol: str = "",
    timeframe: str = "",
    timezone: str = "",
    calendar: str = "",
    quotes: Path | str | None = None,
    asset_class: str | None = None,
    currency: str | None = None,
    multiplier: float | None = None,
    tick: float | None = None,
    lot: float | None = None,
    shortable: bool | None = None,
    repair: bool = False,
    drop_unscheduled: bool = False,
    overwrite: bool = False,
    split_listing: bool = False,
    provenance: Provenance | None = None,
    clock: Clock | None = None,
    progress: Progress = silent,
) -> ImportReport:
    """Import bars of one symbol from a file, with the corporate actions beside it.

    Parameters
    ----------
    path : path
        CSV or Parquet, which may be compressed or lie in a zip archive
        (``prices.zip/AAPL.csv``).
    symbol, timeframe, timezone, quotes, repair, drop_unscheduled, overwrite, split_listing
        As in `ImportOptions`.
    calendar : str
        Needed for intraday bars, unless the instrument is stored.
    asset_class, currency, multiplier, tick, lot, shortable
        Of the instrument; None keeps what is stored, else the default.
    provenance : Provenance, optional
        Recorded with the bars in the place of the file's own name, digest and
        time of import.
    clock : Clock, optional
        Tells the time of import.
    progress : Progress
        Told of each step.

    Raises
    ------
    DataError
        If the file fails a check, named in one line with its place; nothing
        is changed then.
    """
    stated = {
        "calendar": calendar or None,
        "asset_class": asset_class,
        "currency": currency,
        "multiplier": multiplier,
        "tick": tick,
        "lot": lot,
        "shortable": shortable,
    }
    options = ImportOptions(
        symbol=symbol,
        timeframe=timeframe,
        timezone=timezone,
        quotes=None if quotes is None else Path(quotes),
        stated={name: value for name, value in stated.items() if value is not None},
        repair=repair,
        drop_unscheduled=drop_unscheduled,
        overwrite=overwrite,
        split_listing=split_listing,
    )
    with _read_rows(store, Path(path), options, progress=progress) as opened:
        return opened.import_symbol(
            opened.rows.symbols[0], provenance=provenance, clock=clock, progress=progress
        )


def holds_several(path: Path) -> bool:
    """Return whether a path is a folder, or an archive of several files."""
    if path.is_dir():
        return True
    try:
        is_archive = path.suffix.lower() == ZIP_SUFFIX and path.is_file()
        return is_archive and len(list_members(path)) > 1
    except DataError:
        # Its import says what is wrong with it.
        return False


def import_files(
    store: Store,
    path: Path | str,
    options: ImportOptions,
    *,
    all_symbols: bool = False,
    strict: bool = False,
    clock: Clock | None = None,
    progress: Progress = silent,
) -> list[FileOutcome]:
    """Import a file, all files of a folder and its subfolders, or all of a zip archive.

    Parameters
    ----------
    all_symbols : bool
        Import all symbols of a file that has several.
    strict : bool
        Stop at the first file or symbol that is refused; what was imported
        before stays.
    progress : Progress
        Told of each file.

    Returns
    -------
    list of FileOutcome
        One for each file. A symbol of a file that is refused changes nothing
        of its series; the others are imported.

    Raises
    ------
    DataError
        If there are no files, or, if `strict`, what is wrong with the first
        one that is refused.
    """
    path = Path(path)
    names = [(name, one) for found in list_files(path) for name, one in _named(path, found)]
    outcomes = []
    for i, (name, one) in enumerate(names):
        progress(i, len(names), name)
        outcomes.append(
            _import_one(
                store, name, one, options, all_symbols=all_symbols, strict=strict, clock=clock
            )
        )
    progress(len(names), len(names), "imported")
    return outcomes


def _named(top: Path, found: Path) -> Iterator[tuple[str, Path]]:
    """Name a file as a report does, the files of an archive one by one."""
    name = found.name if found == top else found.relative_to(top).as_posix()
    members = [""]
    if found.suffix.lower() == ZIP_SUFFIX and found.is_file():
        try:
            members = list_members(found)
        except DataError:
            # It is refused in its turn.
            members = [""]
    if len(members) == 1:
        yield name, found
        return
    for member in members:
        yield f"{name}/{member}", found / member


def _import_one(
    store: Store,
    name: str,
    path: Path,
    options: ImportOptions,
    *,
    all_symbols: bool,
    strict: bool,
    clock: Clock | None,
) -> FileOutcome:
    reports: list[ImportReport] = []
    errors: list[str] = []

    def import_symbol(symbol: str) -> ImportReport | str:
        try:
            return opened.import_symbol(symbol, clock=clock)
        except DataError as error:
            if strict:
                raise
            named = f"{name}: {symbol}: " if symbol else f"{name}: "
            return f"{named}{error}"

    try:
        with (
            _read_rows(store, path, options, everything=all_symbols) as opened,
            ThreadPoolExecutor(_N_SYMBOLS_AT_ONCE) as pool,
        ):
            for result in pool.map(import_symbol, opened.rows.symbols):
                if isinstance(result, str):
                    errors.append(result)
                else:
                    reports.append(result)
    except DataError as error:
        if strict:
            raise
        errors.append(str(error))
    return FileOutcome(name, tuple(reports), tuple(errors))


def read_file(
    store: Store,
    path: Path,
    *,
    symbol: str = "",
    timeframe: str = "",
    timezone: str = "",
    instrument: Instrument | None = None,
    stated: dict[str, object] | None = None,
    quotes: Path | None = None,
    repair: bool = False,
    drop_unscheduled: bool = False,
    refresh: bool = False,
    progress: Progress = silent,
) -> CheckedBars:
    """Read a file of bars and check it; the store keeps only session tables.

    Parameters
    ----------
    instrument : Instrument, optional
        In the place of the stored one.
    stated : dict
        Fields of the instrument that replace the stored ones.
    refresh : bool
        Compute the calendar's sessions anew.

    Other parameters and errors are those of `import_file`.
    """
    options = ImportOptions(
        symbol=symbol or ("" if instrument is None else instrument.symbol),
        timeframe=timeframe,
        timezone=timezone,
        quotes=quotes,
        stated=stated or {},
        repair=repair,
        drop_unscheduled=drop_unscheduled,
        refresh=refresh,
    )
    with _read_rows(store, path, options, in_memory=True, progress=progress) as opened:
        return opened.check_symbol(opened.rows.symbols[0], instrument, progress)


@contextmanager
def _read_rows(
    store: Store,
    path: Path,
    options: ImportOptions,
    *,
    everything: bool = False,
    in_memory: bool = False,
    progress: Progress = silent,
) -> Iterator[_OpenedFile]:
    """Read a file's rows; errors within the block get the file's name."""
    label = path.name
    try:
        file = find_file(path)
        label = file.label
        progress(0, _STEPS, f"reading {label}")
        bars = BarFile(file)
        rows = SymbolRows(
            bars,
            wanted=options.symbol,
            everything=everything,
            folder=None if in_memory else _spill_folder(store),
        )
        with rows:
            rows.read()
            yield _OpenedFile(store, path, file, bars, rows, options)
    except DataError as error:
        raise DataError(f"{label}: {error}") from error


def _spill_folder(store: Store) -> Path:
    """Return where rows may be put aside: beside the data, or on this machine for a bucket."""
    return store.home if isinstance(store.home, Path) else Path(tempfile.gettempdir())


class _OpenedFile:
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
        judge = _Judge(self, symbol, instrument or self._instrument(symbol), progress)
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
        judge = _Judge(self, symbol, self._instrument(symbol), progress)
        judge.joins_stored = True
        instrument, timeframe = judge.instrument, judge.frame.name
        before = store.find_series(instrument.symbol, timeframe)
        progress(3, _STEPS, "storing bars")
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
        progress(_STEPS, _STEPS, "imported")
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


class _Judge:
    """Judges the bars of one symbol of a file.

    Attributes
    ----------
    instrument : Instrument
        With its calendar.
    frame : Timeframe
    sessions : SessionTable
    actions : DATED_ACTION array
        From the file beside it, else those stored.
    findings : Findings
        Whole when `bars` has come to its end; so are the next.
    n_bars, first_ns, last_ns : int
    joins_stored : bool
        The bars are to join those that are stored of the symbol: a ticker
        that several companies had is then refused, or said to be split.
    reused : list of ReusedTicker
        Where another company begins, once `bars` has come to its end.
    first_session : int
        Of the series with what is stored, if any is reused.
    """

    def __init__(
        self, opened: _OpenedFile, symbol: str, instrument: Instrument, progress: Progress
    ) -> None:
        progress(1, _STEPS, "checking bars")
        self._rows, self._options, self._symbol = opened.rows, opened.options, symbol
        self._store = opened.store
        self.joins_stored = False
        self._aware = opened.bars.times.aware
        self._stretches = opened.rows.stretches(symbol)
        self._file_findings = _file_findings(opened.bars)
        self.frame = self._timeframe()
        if not self.frame.intraday:
            self._stretches = [None]
        first_ns, last_ns = opened.rows.span(symbol)
        if not self._aware and self.frame.intraday:
            if not self._options.timezone:
                raise DataError(
                    "times state no time zone; name it "
                    "(--timezone UTC, --timezone America/New_York)"
                )
            # No zone is further from UTC.
            first_ns, last_ns = first_ns - DAY_NS, last_ns + DAY_NS
        if not instrument.calendar:
            instrument = replace(instrument, calendar=self._daily_calendar())
        self.instrument = instrument
        progress(2, _STEPS, f"placing bars in the sessions of {instrument.calendar}")
        with opened.calendars:
            self.sessions = opened.store.sessions(
                instrument.calendar, first_ns, last_ns, refresh=self._options.refresh
            )
        self.actions = opened.store.read_actions(instrument.symbol)
        beside = actions_beside(opened.path)
        if beside is not None:
            self.actions = read_actions_file(beside, instrument.symbol)
        self._forget()

    def _forget(self) -> None:
        self.findings = Findings()
        self.findings.add_all(self._file_findings)
        self.n_bars = 0
        self.first_ns, self.last_ns = 0, 0
        self.reused: list[ReusedTicker] = []
        self.first_session = 0

    def _timeframe(self) -> Timeframe:
        stated = self._options.timeframe
        frame = parse_timeframe(stated) if stated else None
        if frame is not None and frame.intraday:
            return frame
        distances = checks.Distances()
        for stretch in self._stretches:
            distances.take(self._rows.load_times(self._symbol, stretch))
        inferred = checks.timeframe_of(distances.usual)
        if frame is None:
            if not inferred:
                raise DataError("the distances between bars tell no timeframe; state it")
            return parse_timeframe(inferred)
        if inferred and inferred != frame.name and self._rows.n_rows(self._symbol) > 3:
            raise DataError(f"most bars are {inferred} apart where {frame.name} is stated")
        return frame

    def _daily_calendar(self) -> str:
        if self.frame.intraday:
            raise DataError(
                f"{self.frame.name} bars need a calendar, such as XNYS, 24/7 or FX; state one"
            )
        return default_daily_calendar(self._rows.load_times(self._symbol, None) // DAY_NS)

    def bars(self) -> Iterator[BarColumns]:
        """Check the bars and return them in order of time, stretch by stretch.

        Raises
        ------
        DataError
            If they fail a check; at the latest after the last stretch, when
            the series is judged as a whole.
        """
        # Where others write the series at the same time, it is judged again.
        self._forget()
        findings, options = self.findings, self._options
        placer = Placer(
            self.sessions, self.frame, findings, drop_unscheduled=options.drop_unscheduled
        )
        quotes = None if options.quotes is None else QuoteJoiner(options.quotes)
        gaps, moves = GapCheck(self.sessions, self.frame), MoveCheck(self.actions)
        reuse = ReuseCheck()
        n_back = self._rows.n_back(self._symbol)
        for stretch in self._stretches:
            raw = self._rows.load(self._symbol, stretch)
            times, n_turns = self._utc(raw)
            n_back -= n_turns
            if not self.frame.intraday:
                n_back = int(np.count_nonzero(times[1:] < times[:-1]))
            findings.add_all(checks.check_prices(raw.prices, raw.place, repair=options.repair))
            self._check_volume(raw, stretch)
            columns, outside = placer.place(raw, times)
            if not columns.n_bars:
                continue
            if quotes is not None:
                columns = quotes.join(columns)
            findings.add_all(checks.check_quotes(columns))
            gaps.take(columns.session, outside)
            moves.take(columns)
            reuse.take(columns)
            if not self.n_bars:
                self.first_ns = int(columns.ts[0])
            self.n_bars += columns.n_bars
            self.last_ns = int(columns.ts[-1])
            yield columns
        placer.finish(n_back, self._rows.n_rows(self._symbol))
        if quotes is not None:
            quotes.finish(findings)
        findings.add_all(gaps.finish())
        findings.add_all(moves.finish())
        self._check_reuse(reuse)

    def _check_reuse(self, reuse: ReuseCheck) -> None:
        """Refuse bars of several companies under one ticker, unless the listings tell."""
        symbol = self.instrument.symbol
        if not says_nothing_of(self._store, symbol):
            return
        if self.joins_stored:
            take_stored(reuse, self._store, symbol, self.frame.name)
        reused = reuse.find(self.sessions, self.actions)
        if not reused:
            return
        if self.joins_stored and not self._options.split_listing:
            refuse_reuse(symbol, reused)
        self.findings.add_all([reuse_finding(symbol, reused)])
        if self.joins_stored:
            self.reused, self.first_session = reused, reuse.first_session

    def _check_volume(self, raw: RawBars, stretch: Stretch | None) -> None:
        found = checks.check_volume(raw.prices[4], raw.place, has_volume=raw.has_volume)
        if raw.has_volume or stretch in (None, self._stretches[0]):
            self.findings.add_all(found)

    def _utc(self, raw: RawBars) -> tuple[NDArray[np.int64], int]:
        """Return UTC times, where dates stay midnight, and how often clocks turn them back."""
        times = raw.times
        if times.aware:
            return times.ns, 0
        if not self.frame.intraday:
            # A daily bar's clock time without a zone says no more than its date.
            return times.ns - times.ns % DAY_NS, 0
        ns, n_ambiguous, n_turns = localise(times, self._options.timezone, raw.place)
        if n_ambiguous:
            text = "{n} times occur twice as clocks go back, taken as the first"
            self.findings.add("ambiguous_times", n_ambiguous, text)
        return ns, n_turns


def _file_findings(bars: BarFile) -> list[Finding]:
    findings = []
    ignored = bars.layout.ignored
    if ignored:
        text = f"columns with no meaning here: {', '.join(ignored)}"
        findings.append(Finding("columns_ignored", len(ignored), text))
    if not bars.whole_last_line:
        text = "the last line has no end: the file may be cut off"
        findings.append(Finding("no_final_newline", 1, text))
    if bars.layout.prices_are_mid:
        text = "no traded prices in the file: prices are the middle of bid and ask"
        findings.append(Finding("prices_are_mid", 1, text))
    return findings
