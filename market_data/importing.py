"""Import of bars from files: read, check, place in sessions, store.

A file is read once, in blocks, and its rows are kept by symbol, on the disk
where they are too many (`rows_by_symbol`). Then each symbol's bars are judged
in order of time, stretch by stretch (`judging`), while the parts of the new
series are written beside the old one (`opened_file`); the series changes in
one step when everything of it has passed, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from foundation.clock import Clock
from foundation.errors import DataError
from foundation.progress import Progress, silent
from market_data.import_reports import CheckedBars, FileOutcome, ImportOptions, ImportReport
from market_data.opened_file import open_for_import
from market_data.opening import ZIP_SUFFIX, list_files, list_members
from market_data.provenance import Provenance
from market_data.store import Store
from trading.instruments import Instrument

__all__ = [
    "CheckedBars",
    "FileOutcome",
    "ImportOptions",
    "ImportReport",
    "holds_several",
    "import_file",
    "import_files",
    "read_file",
]

_N_SYMBOLS_AT_ONCE = 2


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
    with open_for_import(store, Path(path), options, progress=progress) as opened:
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
            open_for_import(store, path, options, everything=all_symbols) as opened,
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
    keep_unscheduled: bool = False,
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
    keep_unscheduled : bool
        As in `ImportOptions`.
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
        keep_unscheduled=keep_unscheduled,
        refresh=refresh,
    )
    with open_for_import(store, path, options, in_memory=True, progress=progress) as opened:
        return opened.check_symbol(opened.rows.symbols[0], instrument, progress)
