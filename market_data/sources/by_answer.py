"""Ingest from sources whose answers stand for themselves, such as files."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from foundation.objects import Place
from foundation.progress import Progress
from market_data.action_records import as_records
from market_data.series import series_lock
from market_data.sessions import days_of, session_dates
from market_data.sources.coverage import (
    Partition,
    coverage_folder,
    read_coverage,
    with_answer,
    write_coverage,
)
from market_data.sources.keeping import (
    NOT_OVER,
    Run,
    is_stored,
    keep,
)
from market_data.sources.one_company import AnotherCompany
from market_data.sources.protocol import (
    BarsRequest,
    FetchedBars,
)
from market_data.sources.reports import (
    FAILED,
    PartitionReport,
)
from market_data.timeframes import DAY_NS


def ingest_answers(run: Run) -> None:
    """Keep each answer of a source that is not known to be stored.

    Raises
    ------
    DataError
        If the source has no bars of the symbol, or an answer can't be read.
    """
    options = run.options
    folder = coverage_folder(run.store.home, run.source.name, run.stored_as, run.frame.name)
    with series_lock(folder):
        whole = options.first is None and options.last is None
        known = frozenset[str]()
        if whole and not options.full and is_stored(run):
            known = frozenset(read_coverage(folder))
        first, last = options.first or date(1900, 1, 1), options.last or date(2200, 1, 1)
        request = BarsRequest(
            run.symbol,
            run.frame.name,
            first,
            last,
            _midnight(first),
            _midnight(last),
            known,
            scratch=run.store.local,
        )
        fetched = run.source.fetch_actions(run.symbol, first, last)
        actions = as_records(fetched.actions)
        if actions.shape[0]:
            run.n_actions = int(actions.shape[0])
            if not np.array_equal(actions, run.store.read_action_records(run.stored_as)):
                run.store.write_actions(run.stored_as, actions, fetched.request)
        splits = run.store.read_actions(run.stored_as)
        answer, is_whole, refused = "", whole, ""
        try:
            for page in _numbered(run.source.fetch_bars(request), run.progress):
                if answer not in ("", f"{page.request} {page.sha256}"):
                    _note_answer(folder, answer, is_whole)
                    is_whole = whole
                answer = f"{page.request} {page.sha256}"
                if answer == refused:
                    continue
                try:
                    is_whole &= _try_page(run, page, splits, (days_of(first), days_of(last)))
                except AnotherCompany as error:
                    # All that follows in the file is that company's, too.
                    _report_failure(run, page, error)
                    is_whole, refused = False, answer
        except DataError:
            # Of the files that could be read the last one is whole, too.
            _note_answer(folder, answer, is_whole)
            raise
        _note_answer(folder, answer, is_whole)
    if not answer and not known:
        raise DataError(f"no file has {run.frame.name} bars of {run.symbol}")


def _try_page(
    run: Run, page: FetchedBars, splits: NDArray[np.void], asked: tuple[int, int]
) -> bool:
    """Keep a page, or report why not; return whether all of it was kept."""
    try:
        report = _keep_page(run, page, splits, asked)
    except AnotherCompany:
        raise
    except DataError as error:
        _report_failure(run, page, error)
        return False
    run.reports.append(report)
    # What was left out comes with the same file the next time.
    return all(found.name != NOT_OVER for found in report.findings)


def _report_failure(run: Run, page: FetchedBars, error: DataError) -> None:
    text = f"{run.symbol} {run.frame.name}: {page.request}: {error}"
    run.reports.append(PartitionReport(page.request, "", FAILED, error=text))


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
    run: Run, page: FetchedBars, actions: NDArray[np.void], asked: tuple[int, int]
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
    return keep(run, table, partition, [page], actions)
