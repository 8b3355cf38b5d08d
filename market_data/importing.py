"""Import of bars from files: read, check, place in sessions, store.

Nothing is stored before everything has passed; `Store.write_bars` then stores
all of it or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from foundation.progress import Progress, silent
from market_data import checks
from market_data.actions_file import actions_beside, read_actions_file
from market_data.calendars import default_daily_calendar
from market_data.checks import Finding
from market_data.columns import BarColumns
from market_data.placing import join_quotes, place_raw
from market_data.reading import RawBars, read_raw
from market_data.sessions import SessionTable
from market_data.store import Store
from market_data.timeframes import DAY_NS, Timeframe, parse_timeframe
from market_data.times import localise
from trading.instruments import Instrument

_STEPS = 4


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
    """

    columns: BarColumns
    instrument: Instrument
    timeframe: str
    sessions: SessionTable
    source: str
    actions: NDArray[np.void]
    findings: tuple[Finding, ...]


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
class _Options:
    """How to read a file; fields as in `import_file`."""

    timeframe: str
    timezone: str
    quotes: Path | None
    repair: bool
    drop_unscheduled: bool
    refresh: bool


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
    progress: Progress = silent,
) -> ImportReport:
    """Import bars from a CSV or Parquet file, with the corporate actions beside it.

    Parameters
    ----------
    symbol : str
        Needed when the file has no column for it, or several symbols.
    timeframe : str
        Taken from the distances between bars when not given.
    timezone : str
        Zone of times that state none; daily bars may do without.
    calendar : str
        Needed for intraday bars, unless the instrument is stored.
    quotes : path, optional
        A second file with ``bid_open`` … ``ask_close`` of the same times.
    asset_class, currency, multiplier, tick, lot, shortable
        Of the instrument; None keeps what is stored, else the default.
    repair : bool
        Widen bars whose high and low do not hold open and close.
    drop_unscheduled : bool
        Leave out bars that are in no session of the calendar, however many.
    overwrite : bool
        Let bars replace stored ones of the same time.
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
    checked = read_file(
        store,
        Path(path),
        symbol=symbol,
        timeframe=timeframe,
        timezone=timezone,
        stated={name: value for name, value in stated.items() if value is not None},
        quotes=None if quotes is None else Path(quotes),
        repair=repair,
        drop_unscheduled=drop_unscheduled,
        refresh=True,
        progress=progress,
    )
    columns, instrument = checked.columns, checked.instrument
    before = store.find_series(instrument.symbol, checked.timeframe)
    progress(3, _STEPS, "storing bars")
    after = store.write_bars(
        instrument.symbol,
        checked.timeframe,
        columns,
        calendar=instrument.calendar,
        source=checked.source,
        overwrite=overwrite,
    )
    store.write_instrument(instrument)
    beside = actions_beside(Path(path))
    if beside is not None and checked.actions.shape[0]:
        store.write_actions(instrument.symbol, checked.actions, beside.name)
    progress(_STEPS, _STEPS, "imported")
    return ImportReport(
        symbol=instrument.symbol,
        timeframe=checked.timeframe,
        calendar=instrument.calendar,
        source=checked.source,
        rows=columns.n_bars,
        stored_rows=after.rows,
        changed=before is None or before.files != after.files,
        first=_moment(columns.ts[0]),
        last=_moment(columns.ts[-1]),
        findings=checked.findings,
    )


def _moment(ns: int) -> datetime:
    return datetime.fromtimestamp(int(ns) // 1_000_000_000, UTC)


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
    try:
        progress(0, _STEPS, f"reading {path.name}")
        raw = read_raw(path, symbol or ("" if instrument is None else instrument.symbol))
        found = _instrument(store, raw, path, instrument, stated or {})
        progress(1, _STEPS, "checking bars")
        options = _Options(timeframe, timezone, quotes, repair, drop_unscheduled, refresh)
        return _check(store, path, raw, found, options, progress)
    except DataError as error:
        raise DataError(f"{path.name}: {error}") from error


def _instrument(
    store: Store,
    raw: RawBars,
    path: Path,
    instrument: Instrument | None,
    stated: dict[str, object],
) -> Instrument:
    if instrument is not None:
        return instrument
    name = raw.symbol or path.name.split(".")[0].split("_")[0].upper()
    kept = store.find_instrument(name) or Instrument(name)
    if kept.calendar and stated.get("calendar", kept.calendar) != kept.calendar:
        series = [s.timeframe for s in store.list_series() if s.symbol == name]
        if series:
            raise DataError(
                f"{name} is stored with calendar {kept.calendar} ({', '.join(series)}), not "
                f"{stated['calendar']}"
            )
    return replace(kept, **stated)  # type: ignore[arg-type]


def _check(
    store: Store,
    path: Path,
    raw: RawBars,
    instrument: Instrument,
    options: _Options,
    progress: Progress,
) -> CheckedBars:
    findings = _file_findings(raw)
    frame, times = _times(raw, options.timeframe, options.timezone, findings)
    findings += checks.check_prices(raw.prices, raw.place, repair=options.repair)
    findings += checks.check_volume(raw.prices[4], raw.place, has_volume=raw.has_volume)
    calendar = instrument.calendar
    if not calendar:
        if frame.intraday:
            raise DataError(
                f"{frame.name} bars need a calendar, such as XNYS, 24/7 or FX; state one"
            )
        calendar = default_daily_calendar(times // DAY_NS)
        instrument = replace(instrument, calendar=calendar)
    progress(2, _STEPS, f"placing bars in the sessions of {calendar}")
    table = store.sessions(calendar, int(times.min()), int(times.max()), refresh=options.refresh)
    columns, outside = place_raw(
        raw, table, frame, times, findings, drop_unscheduled=options.drop_unscheduled
    )
    if options.quotes is not None:
        columns = join_quotes(columns, options.quotes, findings)
    findings += checks.check_quotes(columns)
    findings += checks.find_gaps(table, frame, columns, outside)
    actions = store.read_actions(instrument.symbol)
    beside = actions_beside(path)
    if beside is not None:
        actions = read_actions_file(beside, instrument.symbol)
    findings += checks.find_adjusted_prices(columns, actions)
    findings += checks.find_large_moves(columns, actions)
    return CheckedBars(
        columns,
        instrument,
        frame.name,
        table,
        f"{path.name} (sha256 {raw.digest[:12]})",
        actions,
        tuple(findings),
    )


def _file_findings(raw: RawBars) -> list[Finding]:
    findings = []
    if raw.ignored:
        text = f"columns with no meaning here: {', '.join(raw.ignored)}"
        findings.append(Finding("columns_ignored", len(raw.ignored), text))
    if not raw.whole_last_line:
        text = "the last line has no end: the file may be cut off"
        findings.append(Finding("no_final_newline", 1, text))
    if raw.prices_are_mid:
        text = "no traded prices in the file: prices are the middle of bid and ask"
        findings.append(Finding("prices_are_mid", 1, text))
    return findings


def _times(
    raw: RawBars, timeframe: str, timezone: str, findings: list[Finding]
) -> tuple[Timeframe, NDArray[np.int64]]:
    """Return timeframe and UTC times; dates stay midnight UTC."""
    times = raw.times
    inferred = checks.infer_timeframe(np.sort(times.ns))
    if not timeframe and not inferred:
        raise DataError("the distances between bars tell no timeframe; state it")
    frame = parse_timeframe(timeframe or inferred)
    if not frame.intraday:
        if inferred and inferred != frame.name and raw.prices.shape[1] > 3:
            raise DataError(f"most bars are {inferred} apart where {frame.name} is stated")
        if times.aware:
            return frame, times.ns
        # A daily bar's clock time without a zone says no more than its date.
        return frame, times.ns - times.ns % DAY_NS
    if times.aware:
        return frame, times.ns
    if not timezone:
        raise DataError(
            "times state no time zone; name it (--timezone UTC, --timezone America/New_York)"
        )
    ns, n_ambiguous = localise(times, timezone, raw.place)
    if n_ambiguous:
        text = f"{n_ambiguous} times occur twice as clocks go back, taken as the first"
        findings.append(Finding("ambiguous_times", n_ambiguous, text))
    return frame, ns
