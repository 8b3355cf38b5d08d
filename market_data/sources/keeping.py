"""Keep an answer: check it, compare it with what is stored, store what is over of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from foundation.clock import Clock
from foundation.errors import DataError
from foundation.progress import Progress
from market_data.action_records import ACTION_RECORD, known_actions
from market_data.checks import Finding
from market_data.columns import BarColumns
from market_data.listings import read_listings
from market_data.provenance import Provenance
from market_data.securities import companies_of
from market_data.sessions import SessionTable, date_of, days_of
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
    Partition,
)
from market_data.sources.one_company import refuse_another_company
from market_data.sources.protocol import (
    FetchedBars,
    Source,
    digest_of_pages,
)
from market_data.sources.reports import (
    EMPTY,
    STORED,
    UNCHANGED,
    IngestionOptions,
    PartitionReport,
    SymbolReport,
)
from market_data.store import Store, base_symbol
from market_data.timeframes import Timeframe

# Bars of a file that will be others when it is read again.
NOT_OVER = "not_over"


@dataclass(slots=True)
class Run:
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
        """The clock's time, UTC nanoseconds."""
        return ns_of(self.clock.now())

    def report(self, error: str = "") -> SymbolReport:
        """Return what became of the symbol so far, and why it went no further."""
        return SymbolReport(
            self.symbol,
            self.stored_as,
            tuple(self.reports),
            self.n_actions,
            tuple(self.notes),
            error,
        )


def is_stored(run: Run) -> bool:
    """Return whether there are bars of the series."""
    return run.store.find_series(run.stored_as, run.frame.name) is not None


def keep(
    run: Run,
    table: SessionTable,
    partition: Partition,
    pages: list[FetchedBars],
    actions: NDArray[np.void],
    heard: tuple[int, int] | None = None,
) -> PartitionReport:
    """Check an answer and store what is over of it.

    Parameters
    ----------
    heard : (first, last) or None
        As `refuse_another_company` takes it.

    Raises
    ------
    AnotherCompany
        If the bars are another company's than those that are stored.
    DataError
        If the answer fails a check.
    """
    columns, outside, findings = check_answer(
        join_pages(pages),
        table,
        run.frame,
        zone=pages[0].zone,
        actions=actions,
        repair=run.options.repair,
        drop_unscheduled=run.options.drop_unscheduled,
        sparse=not run.source.whole_answers,
        companies=companies_of(read_listings(run.store), run.stored_as),
    )
    over = completed(columns, outside, table, run.frame, run.now_ns)
    chosen = over & (columns.session >= partition.first) & (columns.session <= partition.last)
    provenance = Provenance(
        run.source.name,
        _request_of(pages),
        pages[-1].retrieved_at,
        digest_of_pages([page.sha256 for page in pages]),
    )
    notes = tuple(dict.fromkeys(note for page in pages for note in page.notes))
    findings = (*(one for page in pages for one in page.findings), *findings)
    days = partition.days
    if run.source.whole_answers:
        # What it has was not asked for by days.
        days = f"{date_of(int(columns.session[0]))} to {date_of(int(columns.session[-1]))}"
        findings = (*findings, *_not_over(columns.select(~over)))
    report = PartitionReport(
        partition.part,
        days,
        EMPTY,
        request=provenance.request,
        sha256=provenance.sha256,
        findings=findings,
        notes=notes,
    )
    if not bool(chosen.any()):
        return report
    columns = columns if bool(chosen.all()) else columns.select(chosen)
    refuse_another_company(run, columns, table, actions, heard)
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


def _not_over(columns: BarColumns) -> list[Finding]:
    """Tell of bars that are left out because something may be added to them yet."""
    if not columns.n_bars:
        return []
    first = moment_of(int(columns.ts[0]))
    text = f"{columns.n_bars} bars are not over yet, first at {first:%Y-%m-%dT%H:%MZ}: left out"
    return [Finding(NOT_OVER, columns.n_bars, text)]


def _request_of(pages: Sequence[FetchedBars]) -> str:
    if len(pages) == 1:
        return pages[0].request
    first, last = pages[0].request, pages[-1].request
    return f"{first if first == last else f'{first}; …; {last}'} ({len(pages)} pages)"


def _write(
    run: Run,
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
        if run.source.whole_answers:
            # Its next page, or another file, has what comes before and after.
            stored = stored.select((stored.ts >= columns.ts[0]) & (stored.ts <= columns.ts[-1]))
    found = compare(columns, stored, asked, any_scale=run.options.overwrite)
    if found.n_revised and not run.options.overwrite:
        other = other_source(found.revised_ts, store.read_provenance(symbol, name), run.source.name)
        if other:
            raise DataError(
                f"{found.n_revised} bars differ from stored ones ({other}), first at "
                f"{moment_of(int(found.revised_ts[0])):%Y-%m-%dT%H:%MZ}; keep both with --as-source, or take "
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


def bring_actions(run: Run, first: date, last: date) -> NDArray[np.void]:
    """Fetch and store the splits and dividends of some days; return all that are known."""
    fetched = run.source.fetch_actions(run.symbol, first, last)
    run.notes += fetched.notes
    run.n_actions = int(fetched.actions.shape[0])
    gone = np.zeros(0, np.int64)

    def with_fetched(stored: NDArray[np.void]) -> NDArray[np.void]:
        nonlocal gone
        merged = merge_actions(stored, fetched.actions, fetched.first, fetched.last)
        gone = np.setdiff1d(stored["ex_date"], merged["ex_date"])
        return stored if np.array_equal(merged, stored) else merged

    merged = run.store.change_actions(run.stored_as, with_fetched, run.source.name)
    if gone.shape[0]:
        run.notes.append(
            f"{gone.shape[0]} stored splits or dividends, first of {date_of(int(gone[0]))}, are not in "
            f"{run.source.name}'s answer: removed"
        )
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


def ns_of(moment: datetime) -> int:
    """Return an aware instant as UTC nanoseconds."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def moment_of(ns: int) -> datetime:
    """Return UTC nanoseconds as an aware instant."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1000)
