"""Ingest by partitions: months of intraday bars, daily bars as a whole.

Decides what to ask a vendor for, and which days count as answered.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from foundation.objects import Place
from market_data.series import part_of, series_lock
from market_data.sessions import SessionTable, date_of, days_of
from market_data.sources.coverage import (
    PartCoverage,
    Partition,
    coverage_folder,
    is_covered,
    joined,
    plan,
    read_coverage,
    with_answer,
    write_coverage,
)
from market_data.sources.keeping import (
    Run,
    bring_actions,
    is_stored,
    keep,
    moment_of,
)
from market_data.sources.one_company import AnotherCompany
from market_data.sources.protocol import (
    BarsRequest,
    FetchedBars,
    Offer,
)
from market_data.sources.reports import (
    EMPTY,
    FAILED,
    STORED,
    UNCHANGED,
    PartitionReport,
)
from market_data.sources.retrying import VendorRefused, VendorUnavailable
from market_data.timeframes import DAY_NS

# Vendors settle a session's bars for a while after its end.
_SETTLING = timedelta(minutes=30)
_FIRST_DAILY = date(1990, 1, 15)
_FIRST_INTRADAY_DAYS_BACK = 365


def ingest_partitions(run: Run, offer: Offer) -> None:
    """Ask a vendor for what is missing of a symbol and for the last days, and keep it.

    Raises
    ------
    DataError
        If the vendor does not answer or has nothing of the symbol; a bad
        answer for one partition is in the reports instead.
    """
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
        if not is_stored(run):
            raise _nothing(run, first, last)
        return
    run.progress(0, len(partitions) + 1, "splits and dividends")
    actions = bring_actions(run, date_of(partitions[0].first), today.date())
    for i_partition, partition in enumerate(_outward(run, partitions)):
        run.progress(i_partition + 1, len(partitions) + 1, partition.days)
        with series_lock(folder):
            _ingest_partition(run, table, partition, actions, folder)
    if all(one.outcome == EMPTY for one in run.reports) and not is_stored(run):
        raise _nothing(run, date_of(partitions[0].first), date_of(partitions[-1].last))


def _outward(run: Run, partitions: list[Partition]) -> list[Partition]:
    """Return partitions from what is stored outwards, those after it first.

    So each one goes on where the source was asked before, and what was not
    traded there is known when another company's bars come.
    """
    series = run.store.find_series(run.stored_as, run.frame.name)
    if series is None:
        return partitions
    first = series.files[0].first_ns // DAY_NS
    later = [one for one in partitions if one.last >= first]
    return later + [one for one in partitions if one.last < first][::-1]


def _nothing(run: Run, first: date, last: date) -> VendorRefused:
    return VendorRefused(
        f"{run.source.name} has no {run.frame.name} bars of {run.symbol} from {first} to {last}"
    )


def _calendar(run: Run) -> str:
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


def _stored_coverage(run: Run, coverage: dict[str, PartCoverage]) -> dict[str, PartCoverage]:
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
    run: Run, offer: Offer, coverage: dict[str, PartCoverage], tomorrow: date
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
    run: Run,
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
            keep(run, table, partition, pages, actions, _heard(folder, table, partition))
            if pages
            else PartitionReport(partition.part, partition.days, EMPTY)
        )
    except VendorUnavailable as error:
        run.reports.append(_failed(run, partition, error))
        raise
    except (VendorRefused, AnotherCompany):
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


def _heard(folder: Place, table: SessionTable, partition: Partition) -> tuple[int, int]:
    """Return the days around a partition for which the source has answered, with its own."""
    days = [span for one in read_coverage(folder).values() for span in one.days]
    days.append((partition.first, _next_session(table, partition.last) - 1))
    return next(span for span in joined(days) if span[0] <= partition.first <= span[1])


def _heard_of(run: Run, table: SessionTable, partition: Partition) -> int:
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


def _failed(run: Run, partition: Partition, error: Exception) -> PartitionReport:
    text = f"{run.symbol} {run.frame.name} {partition.days}: {error}"
    return PartitionReport(partition.part, partition.days, FAILED, error=text)


def _next_session(table: SessionTable, day: int) -> int:
    """Return the session date after a day; days between hold no bars."""
    row = int(np.searchsorted(table.date, day, "right"))
    return int(table.date[row]) if row < table.date.shape[0] else day + 1


def _settled(run: Run, table: SessionTable) -> int:
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


def _request(run: Run, table: SessionTable, partition: Partition) -> BarsRequest:
    first = int(np.searchsorted(table.date, partition.first, "left"))
    last = int(np.searchsorted(table.date, partition.last, "right")) - 1
    start = min(int(table.date[first]) * DAY_NS - int(table.offset[first]), int(table.open[first]))
    return BarsRequest(
        run.symbol,
        run.frame.name,
        date_of(partition.first),
        date_of(partition.last),
        moment_of(start),
        moment_of(int(_day_ends(table)[last])),
    )
