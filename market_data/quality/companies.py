"""Two companies under one ticker: told apart before anything is compared over the border."""

from __future__ import annotations

import numpy as np

from market_data.actions import shown_splits
from market_data.columns import BarColumns
from market_data.companies import Companies
from market_data.quality.findings import QualityFinding, Severity
from market_data.quality.habits import runs
from market_data.quality.subject import Int64Array, Subject, report_spans
from market_data.reused_tickers import (
    LONG_GAP_SESSIONS,
    ReuseCheck,
    ReusedTicker,
    companies_of_reused,
)
from market_data.sessions import SessionTable

# A price that does not step by this much from one session to the next is one company's.
_STEP = 4.0


def tell_apart(subject: Subject) -> tuple[list[QualityFinding], list[Subject]]:
    """Part the bars by company: by the listings, or where nothing was traded for months.

    Returns
    -------
    findings : list
        Bars of days on which the listings name no owner, which nothing else
        looks at; or the second company that they don't know.
    parts : list of Subject
        Of one company each, in order of time.
    """
    dates = subject.dates()
    if subject.companies is not None:
        company = subject.companies(dates)
        return _nobodys(subject, company), _parts(subject, company)
    reused = reused_after_gaps(subject.table, subject.i_session, dates, subject.prices)
    if not reused:
        return [], [subject]
    company = companies_of_reused(reused)(dates)
    return _told(subject, dates, reused), _parts(subject, company)


def tell_apart_without_gap(subject: Subject) -> tuple[list[QualityFinding], list[Subject]]:
    """Part bars where another company seems to begin on the next session.

    Only where prices step as no split does and the money traded in a session is
    another from then on: less is a market's doing.
    """
    none: tuple[list[QualityFinding], list[Subject]] = ([], [subject])
    if subject.companies is not None or subject.n_bars < 2:
        return none
    starts = subject.session_starts()
    with np.errstate(all="ignore"):
        step = subject.prices[0, starts[1:]] / subject.prices[3, starts[1:] - 1]
    if not bool(np.any((step > _STEP) | (step < 1.0 / _STEP))):
        return none
    dates = subject.dates()
    search = ReuseCheck()
    search.take(BarColumns(subject.ts, dates, subject.prices))
    splits = shown_splits(BarColumns(subject.ts, dates, subject.prices), subject.actions)
    reused = [
        one for one in search.find(subject.table, splits) if one.n_sessions < LONG_GAP_SESSIONS
    ]
    if not reused:
        return none
    company = companies_of_reused(reused)(dates)
    return _told(subject, dates, reused), _parts(subject, company)


def reused_after_gaps(
    table: SessionTable, i_session: Int64Array, dates: Int64Array, prices: np.ndarray
) -> list[ReusedTicker]:
    """Return where another company seems to begin after months without a bar.

    Parameters
    ----------
    i_session : int64 array, shape (n_bars,)
        Rows of the table, -1 for bars in no session.
    dates : int64 array, shape (n_bars,)
    prices : float64 array, shape (5, n_bars)
    """
    placed = i_session >= 0
    rows = i_session[placed]
    if rows.shape[0] < 2 or not bool(np.any(rows[1:] - rows[:-1] > LONG_GAP_SESSIONS)):
        return []
    with np.errstate(all="ignore"):
        possible = placed & np.all((prices[:4] > 0) & np.isfinite(prices[:4]), axis=0)
    search = ReuseCheck()
    volume = np.nan_to_num(prices[4][possible], posinf=0.0)
    kept = np.concatenate((prices[:4, possible], volume[np.newaxis]))
    search.take(BarColumns(dates[possible], dates[possible], kept))
    return [
        one
        for one in search.find(table, np.zeros(0, [("split_ratio", "f8"), ("ex_date", "i8")]))
        if one.n_sessions >= LONG_GAP_SESSIONS
    ]


def companies_in(
    table: SessionTable,
    i_session: Int64Array,
    dates: Int64Array,
    prices: np.ndarray,
    known: Companies | None,
) -> Companies:
    """Return whose bars those of a series are: by the listings, else as the gaps tell."""
    return known or companies_of_reused(reused_after_gaps(table, i_session, dates, prices))


def _parts(subject: Subject, company: Int64Array) -> list[Subject]:
    return [subject.select(company == one) for one in np.unique(company[company >= 0]).tolist()]


def _nobodys(subject: Subject, company: Int64Array) -> list[QualityFinding]:
    starts, stops = runs(company < 0)
    return subject.report(
        "no_owner", Severity.WARNING, starts, stops, (stops - starts).astype(np.float64), 0.0,
        "bars",
        lambda i: (
            f"{stops[i] - starts[i]} bars of days on which the listings name no owner of "
            f"{subject.symbol}: no backtest has them, and no other check looks at them"
        ),
    )  # fmt: skip


def _told(subject: Subject, dates: Int64Array, reused: list[ReusedTicker]) -> list[QualityFinding]:
    before = np.array([np.searchsorted(dates, one.last, "right") - 1 for one in reused])
    after = np.array([np.searchsorted(dates, one.first, "left") for one in reused])
    return report_spans(
        subject, "reused_ticker", Severity.ERROR, subject.stated_ts[before],
        subject.stated_ts[after], dates[after], np.full(after.shape[0], 2),
        np.array([max(one.price_step, 1.0 / one.price_step) for one in reused]), _STEP,
        "times the price",
        lambda i: (
            f"looks like two companies: {reused[i].describe()}; say who had the ticker when "
            "(quarterdeck data listings FILE)"
        ),
    )  # fmt: skip
