"""Whether an answer goes on with the company whose bars are stored under its ticker.

An exchange gives a free ticker away again, and a vendor answers with another
company's bars then. Once they were stored they would be one series with those
before, so they are looked at first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data.columns import BarColumns
from market_data.reused_tickers import (
    ReuseCheck,
    ReusedTicker,
    reuse_finding,
    says_nothing_of,
    write_split_listing,
)
from market_data.sessions import SessionTable, date_of
from market_data.store import base_symbol

if TYPE_CHECKING:
    from market_data.sources.keeping import Run

# What a company usually trades is told by 60 sessions; twice as many hold those
# on both sides of whatever lies among them.
_N_SESSIONS = 120


class AnotherCompany(DataError):
    """Bars under a ticker are another company's than those that are stored."""


def refuse_another_company(
    run: Run,
    columns: BarColumns,
    table: SessionTable,
    actions: NDArray[np.void],
    heard: tuple[int, int] | None,
) -> None:
    """Keep the bars of two companies apart that had one ticker.

    Parameters
    ----------
    columns : BarColumns
        Checked, about to be stored.
    actions : DATED_ACTION array
        Splits are no sign of another company.
    heard : (first, last) or None
        Days around the answer, both included, for which the source has
        answered: where it was not asked, no bars don't mean that nothing was
        traded. None where all that is missing was not traded.

    Raises
    ------
    AnotherCompany
        If they look like another company's, the listings don't say whose they
        are and the run may not write that down.
    """
    symbol = run.stored_as
    if not says_nothing_of(run.store, symbol):
        return
    check = ReuseCheck()
    first_ns, last_ns = int(columns.ts[0]), int(columns.ts[-1])
    for stored in _stored_around(run, columns):
        check.take(_within(stored, heard))
        first_ns, last_ns = min(first_ns, int(stored.ts[0])), max(last_ns, int(stored.ts[-1]))
    check.take(columns)
    if not table.covers(first_ns, last_ns):
        table = run.store.sessions(run.calendar, first_ns, last_ns)
    reused = check.find(table, actions)
    if not reused:
        return
    first = _first_session(run, columns)
    if not run.options.split_listing:
        raise AnotherCompany(
            f"{reuse_finding(symbol, reused).message}. {_way_out(run, first, reused)}"
        )
    ids = [one.id for one in write_split_listing(run.store, symbol, date_of(first), reused)]
    run.notes.append(f"{reuse_finding(symbol, reused).message}: listed as {', '.join(ids)}")


def _way_out(run: Run, first: int, reused: Sequence[ReusedTicker]) -> str:
    """Say how to state whose bars they are."""
    name = base_symbol(run.stored_as)
    begins = [first, *(one.first for one in reused)]
    lines = [
        f"{name}~{date_of(begin).year},{name},{date_of(begin)},{date_of(one.last)}"
        for begin, one in zip(begins[:-1], reused, strict=True)
    ]
    lines.append(f"{name},{name},{date_of(begins[-1])},")
    return (
        "These bars are not stored. Ingest with --split-listing to write down that they are "
        "another company's, or state it in a file for `quarterdeck data listings FILE`: "
        f"security,ticker,valid_from,valid_to; {'; '.join(lines)}. If it is one company: "
        f"{name},{name},{date_of(first)},"
    )


def _first_session(run: Run, columns: BarColumns) -> int:
    """Return the first session of the series with the new bars."""
    series = run.store.find_series(run.stored_as, run.frame.name)
    first = int(columns.session[0])
    if series is None:
        return first
    stored, _ = run.store.read_columns(
        run.stored_as,
        run.frame.name,
        last_ns=series.files[0].first_ns,
        with_quarantined=True,
    )
    return min(first, int(stored.session[0]))


def _stored_around(run: Run, columns: BarColumns) -> Iterator[BarColumns]:
    """Yield the stored bars that a judgement of new ones needs: the sessions next to them."""
    series = run.store.find_series(run.stored_as, run.frame.name)
    if series is None:
        return
    first_ns, last_ns = int(columns.ts[0]), int(columns.ts[-1])
    before = [file for file in series.files if file.first_ns < first_ns]
    after = [file for file in series.files if file.last_ns > last_ns]
    amid = [file for file in series.files if file not in before and file not in after]
    done: set[str] = set()
    for files, enough in ((before[::-1], _N_SESSIONS), (amid, 0), (after, _N_SESSIONS)):
        n_sessions = 0
        for file in files:
            if enough and n_sessions >= enough:
                break
            if file.name in done:
                continue
            done.add(file.name)
            stored, _ = run.store.read_columns(
                run.stored_as,
                run.frame.name,
                first_ns=file.first_ns,
                last_ns=file.last_ns,
                with_quarantined=True,
            )
            n_sessions += int(np.unique(stored.session).shape[0])
            yield stored


def _within(columns: BarColumns, days: tuple[int, int] | None) -> BarColumns:
    if days is None:
        return columns
    return columns.select((columns.session >= days[0]) & (columns.session <= days[1]))
