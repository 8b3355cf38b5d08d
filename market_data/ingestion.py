"""Ingestion: fill the store from a source, ask only for what is missing, keep revisions.

A series is asked for by partitions: the months of intraday bars, daily bars as
a whole. What a source answered is checked like an import, stored with its
provenance, and the days are then noted as answered. A killed ingestion goes on
with the days that are not; the last days are always asked for again, since
vendors revise them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from foundation.clock import Clock, SystemClock
from foundation.errors import DataError, QuarterdeckError
from foundation.objects import Place
from foundation.progress import Progress, silent
from market_data.action_records import ACTION_RECORD, as_records, known_actions
from market_data.checks import Finding
from market_data.columns import BarColumns
from market_data.provenance import Provenance
from market_data.series import part_of, series_lock
from market_data.sessions import SessionTable, date_of, days_of, session_dates
from market_data.sources.answers import (
    Comparison,
    check_answer,
    compare,
    completed,
    instrument_for,
    join_pages,
    other_source,
)
from market_data.sources.coverage import (
    PartCoverage,
    Partition,
    coverage_folder,
    is_covered,
    plan,
    read_coverage,
    with_answer,
    write_coverage,
)
from market_data.sources.protocol import (
    BarsRequest,
    FetchedBars,
    Offer,
    Source,
    digest_of_pages,
)
from market_data.sources.retrying import VendorRefused, VendorUnavailable
from market_data.store import SOURCE_MARK, Store, base_symbol
from market_data.timeframes import DAY_NS, Timeframe, parse_timeframe

REREAD_DAYS = 7
# Vendors settle a session's bars for a while after its end.
_SETTLING = timedelta(minutes=30)
_FIRST_DAILY = date(1990, 1, 15)
_FIRST_INTRADAY_DAYS_BACK = 365
# After so many symbols in a row without an answer the vendor itself is down.
_MOST_UNANSWERED = 2

STORED, UNCHANGED, EMPTY, FAILED = "stored", "unchanged", "empty", "failed"


@dataclass(frozen=True, slots=True)
class IngestionOptions:
    """How a source is read.

    Attributes
    ----------
    first, last : date or None
        Session dates, both included; by default from the first day that was
        asked for before, or the oldest that makes sense, until now.
    as_source : bool
        Keep the bars beside those of other sources, as ``AAPL@yahoo``.
    full : bool
        Ask for all days again, not only for missing and recent ones.
    overwrite : bool
        Let bars replace those of other sources, and prices of another scale.
    reread_days : int
        Recent days that are asked for again.
    calendar : str
        In the place of the one that the source or the store knows.
    repair, drop_unscheduled : bool
        As for an import.
    """

    first: date | None = None
    last: date | None = None
    as_source: bool = False
    full: bool = False
    overwrite: bool = False
    reread_days: int = REREAD_DAYS
    calendar: str = ""
    repair: bool = False
    drop_unscheduled: bool = False

    def __post_init__(self) -> None:
        if self.first is not None and self.last is not None and self.first > self.last:
            raise DataError(
                f"the first day must not be after the last, got {self.first} and {self.last}"
            )
        if self.reread_days < 0:
            raise DataError(f"the days to read again must be 0 or more, got {self.reread_days}")


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """What became of one partition.

    Attributes
    ----------
    part : str
        Month, ``all``, or the file.
    days : str
        What was asked for.
    outcome : str
        ``stored``, ``unchanged``, ``empty`` or ``failed``.
    n_new, n_revised, n_unchanged, n_withdrawn : int
        As in `Comparison`.
    request, sha256 : str
        Of the answer.
    findings : tuple of Finding
    notes : tuple of str
    error : str
    """

    part: str
    days: str
    outcome: str
    n_new: int = 0
    n_revised: int = 0
    n_unchanged: int = 0
    n_withdrawn: int = 0
    request: str = ""
    sha256: str = ""
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class SymbolReport:
    """What became of one symbol.

    Attributes
    ----------
    symbol, stored_as : str
    partitions : tuple of PartitionReport
        Only those that were asked for.
    n_actions : int
        Splits and dividends of the asked days.
    notes : tuple of str
    error : str
        Why the symbol could not be ingested, or not to its end.
    """

    symbol: str
    stored_as: str
    partitions: tuple[PartitionReport, ...] = ()
    n_actions: int = 0
    notes: tuple[str, ...] = ()
    error: str = ""

    @property
    def failed(self) -> bool:
        """Whether anything of it is missing."""
        return bool(self.error) or any(one.outcome == FAILED for one in self.partitions)

    def total(self, name: str) -> int:
        """Return the sum of a count of the partitions, such as ``n_new``."""
        return sum(int(getattr(one, name)) for one in self.partitions)


@dataclass(frozen=True, slots=True)
class IngestionReport:
    """What became of an ingestion; `symbols` in the order asked."""

    source: str
    timeframe: str
    symbols: tuple[SymbolReport, ...]

    @property
    def failed(self) -> tuple[SymbolReport, ...]:
        """Symbols of which something is missing."""
        return tuple(one for one in self.symbols if one.failed)


@dataclass(slots=True)
class _Run:
    """One ingestion of one symbol, as far as it got."""

    store: Store
    source: Source
    options: IngestionOptions
    frame: Timeframe
    clock: Clock
    progress: Progress
    symbol: str
    stored_as: str
    calendar: str = ""
    reports: list[PartitionReport] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    n_actions: int = 0

    @property
    def now_ns(self) -> int:
        return _ns(self.clock.now())

    def report(self, error: str = "") -> SymbolReport:
        return SymbolReport(
            self.symbol,
            self.stored_as,
            tuple(self.reports),
            self.n_actions,
            tuple(self.notes),
            error,
        )


def ingest(
    store: Store,
    source: Source,
    symbols: Sequence[str],
    timeframe: str,
    options: IngestionOptions | None = None,
    *,
    clock: Clock | None = None,
    progress: Progress = silent,
) -> IngestionReport:
    """Bring a source's bars of some symbols into the store, or up to date.

    Parameters
    ----------
    symbols : sequence of str
        As the source writes them.
    timeframe : str
    options : IngestionOptions, optional
    clock : Clock, optional
        Tells which bars are over.
    progress : Progress
        Told of each partition.

    Returns
    -------
    IngestionReport
        Failures are in it: one bad symbol or partition does not stop the
        others.

    Raises
    ------
    DataError
        If the source has no such timeframe, or a symbol can't be one.
    """
    options = options or IngestionOptions()
    frame = parse_timeframe(timeframe)
    offer = _offer(source, timeframe)
    for symbol in symbols:
        _check_symbol(symbol)
    reports: list[SymbolReport] = []
    n_unanswered = 0
    for i_symbol, symbol in enumerate(dict.fromkeys(symbols)):
        stored_as = f"{symbol}{SOURCE_MARK}{source.name}" if options.as_source else symbol
        if n_unanswered >= _MOST_UNANSWERED:
            reports.append(
                SymbolReport(symbol, stored_as, error=f"not asked: {source.name} is down")
            )
            continue
        run = _Run(
            store,
            source,
            options,
            frame,
            clock or SystemClock(),
            _within(progress, i_symbol, len(symbols), symbol),
            symbol,
            stored_as,
        )
        try:
            if source.whole_answers:
                _ingest_answers(run)
            else:
                _ingest_partitions(run, offer)
            n_unanswered = 0
            reports.append(run.report())
        except VendorUnavailable as error:
            n_unanswered += 1
            reports.append(run.report(str(error)))
        except QuarterdeckError as error:
            reports.append(run.report(str(error)))
    return IngestionReport(source.name, timeframe, tuple(reports))


def _check_symbol(symbol: str) -> None:
    """Refuse what would be something else in a request or a file name."""
    wrong = [letter for letter in symbol if letter in "@/?#%&,\\" or letter.isspace()]
    if not symbol or wrong:
        held = f"holds {wrong[0]!r}" if wrong else "is empty"
        raise DataError(
            f"a symbol must be one word as the source writes it, without @ / ? # % &; {symbol!r} {held}"
        )


def _offer(source: Source, timeframe: str) -> Offer:
    offers = source.offers()
    for offer in offers:
        if offer.timeframe in (timeframe, "any"):
            return offer
    there = ", ".join(offer.timeframe for offer in offers)
    raise DataError(f"{source.name} has {there} bars, not {timeframe}")


def _within(progress: Progress, i_symbol: int, n_symbols: int, symbol: str) -> Progress:
    """Return the progress of one symbol as a part of all."""
    steps = 1000

    def report(done: int, total: int, label: str = "") -> None:
        share = steps * done // total if total else 0
        progress(i_symbol * steps + share, n_symbols * steps, f"{symbol} {label}".strip())

    return report


# Vendors, by partitions.


def _ingest_partitions(run: _Run, offer: Offer) -> None:
    run.calendar = _calendar(run)
    folder = coverage_folder(run.store.home, run.source.name, run.stored_as, run.frame.name)
    with series_lock(folder):
        coverage = _stored_coverage(run, read_coverage(folder))
    today = run.clock.now()
    first, last = _asked(run, offer, coverage, today.date() + timedelta(days=1))
    if first > last:
        return
    table = run.store.sessions(
        run.calendar, days_of(first) * DAY_NS, days_of(last) * DAY_NS, refresh=True
    )
    # A session that has not begun has no bars.
    begun = table.open <= run.now_ns
    last_begun = int(table.date[begun][-1]) if bool(begun.any()) else days_of(first) - 1
    partitions = plan(
        table,
        run.frame,
        (days_of(first), min(days_of(last), last_begun)),
        coverage,
        reread_from=days_of(today.date()) - run.options.reread_days,
        full=run.options.full,
    )
    if not partitions:
        if not _is_stored(run):
            raise _nothing(run, first, last)
        return
    run.progress(0, len(partitions) + 1, "splits and dividends")
    actions = _bring_actions(run, date_of(partitions[0].first), today.date())
    for i_partition, partition in enumerate(partitions):
        run.progress(i_partition + 1, len(partitions) + 1, partition.days)
        with series_lock(folder):
            _ingest_partition(run, table, partition, actions, folder)
    if all(one.outcome == EMPTY for one in run.reports) and not _is_stored(run):
        raise _nothing(run, date_of(partitions[0].first), date_of(partitions[-1].last))


def _nothing(run: _Run, first: date, last: date) -> VendorRefused:
    return VendorRefused(
        f"{run.source.name} has no {run.frame.name} bars of {run.symbol} from {first} to {last}"
    )


def _is_stored(run: _Run) -> bool:
    return run.store.find_series(run.stored_as, run.frame.name) is not None


def _calendar(run: _Run) -> str:
    kept = run.store.find_instrument(run.stored_as)
    series = run.store.find_series(run.stored_as, run.frame.name)
    known = series.calendar if series is not None else "" if kept is None else kept.calendar
    stated = run.options.calendar
    if stated and known and stated != known:
        raise DataError(f"{run.stored_as} is stored with calendar {known}, not {stated}")
    calendar = stated or known or run.source.calendar_of(run.symbol)
    if not calendar:
        raise DataError(
            f"{run.source.name} can't tell the calendar of {run.symbol}; state one, such as XNYS, "
            "24/7 or FX"
        )
    return calendar


def _stored_coverage(run: _Run, coverage: dict[str, PartCoverage]) -> dict[str, PartCoverage]:
    """Return the coverage without what can't be trusted.

    That is parts whose bars are in the store no longer, and months without
    bars between months with some: rather an answer that failed than a market
    that rested.
    """
    series = run.store.find_series(run.stored_as, run.frame.name)
    stored = set() if series is None else {part_of(file.name) for file in series.files}
    first, last = min(stored, default=""), max(stored, default="")
    return {
        part: one
        for part, one in coverage.items()
        if (part in stored if one.has_bars else not first < part < last)
    }


def _asked(
    run: _Run, offer: Offer, coverage: dict[str, PartCoverage], tomorrow: date
) -> tuple[date, date]:
    """Return the first and last day that are wanted and that the source may have."""
    last = min(run.options.last or tomorrow, tomorrow)
    oldest = tomorrow - timedelta(days=offer.days_back_max) if offer.days_back_max else None
    first = run.options.first
    if first is None:
        known = [one.days[0][0] for one in coverage.values() if one.days]
        if known:
            first = date_of(min(known))
        elif oldest is not None:
            first = oldest
        elif run.frame.intraday:
            first = tomorrow - timedelta(days=_FIRST_INTRADAY_DAYS_BACK)
        else:
            first = _FIRST_DAILY
    if oldest is not None and first < oldest:
        if run.options.first is not None:
            run.notes.append(
                f"{run.source.name} has {run.frame.name} bars of the last {offer.days_back_max} "
                f"days: asked from {oldest} on, not from {first}"
            )
        first = oldest
    return first, last


def _ingest_partition(
    run: _Run,
    table: SessionTable,
    partition: Partition,
    actions: NDArray[np.void],
    folder: Place,
) -> None:
    """Ask for one partition and keep it; the lock on its coverage is held."""
    options = run.options
    coverage = _stored_coverage(run, read_coverage(folder))
    recent = days_of(run.clock.now().date()) - options.reread_days
    if not options.full and partition.last < recent:
        known = coverage.get(partition.part, PartCoverage((), False)).days
        ends = np.array([partition.first, partition.last], np.int64)
        if bool(is_covered(ends, known).all()):
            # Another ingestion of the same series was here while we waited.
            return
    request = _request(run, table, partition)
    pages: list[FetchedBars] = []
    try:
        pages = list(run.source.fetch_bars(request))
        report = (
            _keep(run, table, partition, pages, actions)
            if pages
            else PartitionReport(partition.part, partition.days, EMPTY)
        )
    except VendorUnavailable as error:
        run.reports.append(_failed(run, partition, error))
        raise
    except VendorRefused:
        raise
    except DataError as error:
        run.reports.append(_failed(run, partition, error))
        return
    run.reports.append(report)
    last = min(_next_session(table, partition.last) - 1, _settled(run, table))
    answered = (partition.first, min(last, _heard_of(run, table, partition)))
    if answered[0] <= answered[1]:
        has_bars = report.outcome in (STORED, UNCHANGED)
        coverage = with_answer(read_coverage(folder), partition.part, answered, has_bars=has_bars)
        write_coverage(folder, coverage)


def _heard_of(run: _Run, table: SessionTable, partition: Partition) -> int:
    """Return the last day of a stretch that the source is known to have answered for.

    Daily bars that end before the stretch does may have been held back, or
    are those of a share that is traded no longer: the next time tells, at the
    cost of one request.
    """
    series = run.store.find_series(run.stored_as, run.frame.name)
    if run.frame.intraday or series is None:
        return _next_session(table, partition.last) - 1
    row = int(np.searchsorted(table.open, series.files[-1].last_ns, "right")) - 1
    stored = int(table.date[row])
    return _next_session(table, min(stored, partition.last)) - 1


def _failed(run: _Run, partition: Partition, error: Exception) -> PartitionReport:
    text = f"{run.symbol} {run.frame.name} {partition.days}: {error}"
    return PartitionReport(partition.part, partition.days, FAILED, error=text)


def _next_session(table: SessionTable, day: int) -> int:
    """Return the session date after a day; days between hold no bars."""
    row = int(np.searchsorted(table.date, day, "right"))
    return int(table.date[row]) if row < table.date.shape[0] else day + 1


def _settled(run: _Run, table: SessionTable) -> int:
    """Return the last day whose bars are all there by now."""
    now_ns = run.now_ns - _SETTLING // timedelta(microseconds=1) * 1000
    over = _day_ends(table) <= now_ns
    if not bool(over.any()):
        return int(table.date[0]) - 1
    last = int(np.flatnonzero(over)[-1])
    return min(_next_session(table, int(table.date[last])) - 1, now_ns // DAY_NS)


def _day_ends(table: SessionTable) -> NDArray[np.int64]:
    """Return when each session's day is over, extended hours included."""
    return np.maximum((table.date + 1) * DAY_NS - table.offset, table.close)


def _request(run: _Run, table: SessionTable, partition: Partition) -> BarsRequest:
    first = int(np.searchsorted(table.date, partition.first, "left"))
    last = int(np.searchsorted(table.date, partition.last, "right")) - 1
    start = min(int(table.date[first]) * DAY_NS - int(table.offset[first]), int(table.open[first]))
    return BarsRequest(
        run.symbol,
        run.frame.name,
        date_of(partition.first),
        date_of(partition.last),
        _moment(start),
        _moment(int(_day_ends(table)[last])),
    )


def _keep(
    run: _Run,
    table: SessionTable,
    partition: Partition,
    pages: list[FetchedBars],
    actions: NDArray[np.void],
) -> PartitionReport:
    """Check an answer and store what is over of it."""
    columns, outside, findings = check_answer(
        join_pages(pages),
        table,
        run.frame,
        zone=pages[0].zone,
        actions=actions,
        repair=run.options.repair,
        drop_unscheduled=run.options.drop_unscheduled,
        sparse=not run.source.whole_answers,
    )
    chosen = completed(columns, outside, table, run.frame, run.now_ns)
    chosen &= (columns.session >= partition.first) & (columns.session <= partition.last)
    provenance = Provenance(
        run.source.name,
        _request_of(pages),
        pages[-1].retrieved_at,
        digest_of_pages([page.sha256 for page in pages]),
    )
    notes = tuple(dict.fromkeys(note for page in pages for note in page.notes))
    report = PartitionReport(
        partition.part,
        partition.days,
        EMPTY,
        request=provenance.request,
        sha256=provenance.sha256,
        findings=findings,
        notes=notes,
    )
    if not bool(chosen.any()):
        return report
    columns = columns if bool(chosen.all()) else columns.select(chosen)
    asked = (partition.first, partition.last)
    found, changed = _write(run, columns, provenance, asked, pages[0].currency)
    return replace(
        report,
        outcome=STORED if changed else UNCHANGED,
        n_new=found.n_new,
        n_revised=found.n_revised,
        n_unchanged=found.n_unchanged,
        n_withdrawn=found.n_withdrawn,
    )


def _request_of(pages: Sequence[FetchedBars]) -> str:
    if len(pages) == 1:
        return pages[0].request
    first, last = pages[0].request, pages[-1].request
    return f"{first if first == last else f'{first}; …; {last}'} ({len(pages)} pages)"


def _write(
    run: _Run,
    columns: BarColumns,
    provenance: Provenance,
    asked: tuple[int, int],
    currency: str,
) -> tuple[Comparison, bool]:
    """Store checked bars, and return how they differed and whether the series changed."""
    store, symbol, name = run.store, run.stored_as, run.frame.name
    before = store.find_series(symbol, name)
    stored = None
    if before is not None:
        stored, _ = store.read_columns(
            symbol,
            name,
            first_ns=int(columns.ts[0]),
            last_ns=int(columns.ts[-1]),
            with_quarantined=True,
        )
    found = compare(columns, stored, asked, any_scale=run.options.overwrite)
    if found.n_revised and not run.options.overwrite:
        other = other_source(found.revised_ts, store.read_provenance(symbol, name), run.source.name)
        if other:
            raise DataError(
                f"{found.n_revised} bars differ from stored ones ({other}), first at "
                f"{_moment(int(found.revised_ts[0])):%Y-%m-%dT%H:%MZ}; keep both with --as-source, or take "
                "these with --overwrite"
            )
    kept = store.find_instrument(symbol)
    instrument = instrument_for(kept, base_symbol(symbol), run.calendar, currency)
    after = store.write_bars(
        symbol,
        name,
        columns,
        calendar=run.calendar,
        source=run.source.name,
        overwrite=True,
        provenance=provenance,
    )
    if kept is None or not kept.calendar:
        store.write_instrument(replace(instrument, calendar=run.calendar))
    return found, before is None or before.files != after.files


# Splits and dividends.


def _bring_actions(run: _Run, first: date, last: date) -> NDArray[np.void]:
    """Fetch and store the splits and dividends of some days; return all that are known."""
    fetched = run.source.fetch_actions(run.symbol, first, last)
    run.notes += fetched.notes
    run.n_actions = int(fetched.actions.shape[0])
    stored = run.store.read_action_records(run.stored_as)
    merged = merge_actions(stored, fetched.actions, fetched.first, fetched.last)
    gone = np.setdiff1d(stored["ex_date"], merged["ex_date"])
    if gone.shape[0]:
        run.notes.append(
            f"{gone.shape[0]} stored splits or dividends, first of {date_of(int(gone[0]))}, are not in "
            f"{run.source.name}'s answer: removed"
        )
    if not np.array_equal(merged, stored):
        run.store.write_actions(run.stored_as, merged, run.source.name)
    return known_actions(merged)


def merge_actions(
    stored: NDArray[np.void], fetched: NDArray[np.void], first: date, last: date
) -> NDArray[np.void]:
    """Return the stored actions with those between two ex-dates as they were fetched.

    Parameters
    ----------
    stored, fetched : ACTION_RECORD arrays
    first, last : date
        Ex-dates for which `fetched` is complete, both included.

    Notes
    -----
    Where both say the same of a day the stored records stay, since another
    source may have told when they were announced.
    """
    outside = (stored["ex_date"] < days_of(first)) | (stored["ex_date"] > days_of(last))
    agreed = np.intersect1d(known_actions(stored), known_actions(fetched))["ex_date"]
    merged: NDArray[np.void] = np.concatenate(
        [
            stored[outside | np.isin(stored["ex_date"], agreed)],
            fetched[~np.isin(fetched["ex_date"], agreed)],
        ]
    ).astype(ACTION_RECORD)
    return merged[np.lexsort((merged["kind"], merged["ex_date"]))]


# Sources whose answers stand for themselves, such as files.


def _ingest_answers(run: _Run) -> None:
    options = run.options
    folder = coverage_folder(run.store.home, run.source.name, run.stored_as, run.frame.name)
    with series_lock(folder):
        whole = options.first is None and options.last is None
        known = frozenset[str]()
        if whole and not options.full and _is_stored(run):
            known = frozenset(read_coverage(folder))
        first, last = options.first or date(1900, 1, 1), options.last or date(2200, 1, 1)
        request = BarsRequest(
            run.symbol, run.frame.name, first, last, _midnight(first), _midnight(last), known
        )
        fetched = run.source.fetch_actions(run.symbol, first, last)
        actions = as_records(fetched.actions)
        if actions.shape[0]:
            run.n_actions = int(actions.shape[0])
            if not np.array_equal(actions, run.store.read_action_records(run.stored_as)):
                run.store.write_actions(run.stored_as, actions, fetched.request)
        splits = run.store.read_actions(run.stored_as)
        answer, is_whole = "", whole
        try:
            for page in _numbered(run.source.fetch_bars(request), run.progress):
                if answer not in ("", f"{page.request} {page.sha256}"):
                    _note_answer(folder, answer, is_whole)
                    is_whole = whole
                answer = f"{page.request} {page.sha256}"
                is_whole &= _try_page(run, page, splits, (days_of(first), days_of(last)))
        except DataError:
            # Of the files that could be read the last one is whole, too.
            _note_answer(folder, answer, is_whole)
            raise
        _note_answer(folder, answer, is_whole)
    if not answer and not known:
        raise DataError(f"no file has {run.frame.name} bars of {run.symbol}")


def _try_page(
    run: _Run, page: FetchedBars, splits: NDArray[np.void], asked: tuple[int, int]
) -> bool:
    """Keep a page, or report why not; return whether it was kept."""
    try:
        run.reports.append(_keep_page(run, page, splits, asked))
    except DataError as error:
        text = f"{run.symbol} {run.frame.name}: {page.request}: {error}"
        run.reports.append(PartitionReport(page.request, "", FAILED, error=text))
        return False
    return True


def _note_answer(folder: Place, answer: str, is_whole: bool) -> None:
    """Note that all pages of an answer are stored."""
    if answer and is_whole:
        days = (0, 0)
        write_coverage(folder, with_answer(read_coverage(folder), answer, days, has_bars=True))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _numbered(pages: Iterator[FetchedBars], progress: Progress) -> Iterator[FetchedBars]:
    for i_page, page in enumerate(pages):
        progress(i_page, i_page + 1, page.request)
        yield page


def _keep_page(
    run: _Run, page: FetchedBars, actions: NDArray[np.void], asked: tuple[int, int]
) -> PartitionReport:
    raw = page.raw
    kept = run.store.find_instrument(run.stored_as)
    run.calendar = run.options.calendar or ("" if kept is None else kept.calendar)
    run.calendar = run.calendar or run.source.calendar_of(run.symbol)
    if not run.calendar:
        if run.frame.intraday:
            raise DataError(
                f"{run.frame.name} bars need a calendar, such as XNYS, 24/7 or FX; state one"
            )
        from market_data.calendars import default_daily_calendar

        run.calendar = default_daily_calendar(raw.times.ns // DAY_NS)
    table = run.store.sessions(
        run.calendar, int(raw.times.ns.min()), int(raw.times.ns.max()), refresh=True
    )
    dates = session_dates(table, np.sort(raw.times.ns))
    partition = Partition(
        page.request, max(int(dates[0]) - 2, asked[0]), min(int(dates[-1]) + 2, asked[1])
    )
    return _keep(run, table, partition, [page], actions)


def _ns(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def _moment(ns: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1000)


__all__ = [
    "EMPTY",
    "FAILED",
    "STORED",
    "UNCHANGED",
    "IngestionOptions",
    "IngestionReport",
    "PartitionReport",
    "SymbolReport",
    "ingest",
    "merge_actions",
]
