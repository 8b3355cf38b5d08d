"""Quality of a ticker that two companies had: each company's bars by themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from market_data.columns import BarColumns
from market_data.companies import expected_sessions
from market_data.listings import Delisting, Listings, Security, Ticker, write_listings
from market_data.quality.checking import check_columns, check_series
from market_data.quality.coverage import coverage_of
from market_data.quality.files import check_file
from market_data.quality.findings import Severity, at_least
from market_data.securities import companies_of
from market_data.sessions import date_of
from tests.market_data import corrupting
from tests.market_data.making import join


@pytest.fixture(scope="module")
def days(xnys):
    return replace(corrupting.sound_days(xnys, 1), bid=None, ask=None, halted=None)


def found_in(columns, table, **more):
    found = check_columns(
        columns.ts, columns.prices, symbol="FB", timeframe="1d", sessions=table,
        session=columns.session, **more,
    )  # fmt: skip
    return at_least(found, Severity.WARNING)


def other(columns, prices, volume):
    """Return the bars as if of a company of another size."""
    factors = np.array([prices] * 4 + [volume])[:, np.newaxis]
    return replace(columns, prices=columns.prices * factors)


def after_gap(days, first=150, gap=100, prices=0.3, volume=40.0):
    later = days.select(slice(first + gap, None))
    return join(days.select(slice(0, first)), other(later, prices, volume))


def listings(columns, first_of_later, first=None):
    """Return the listings of two owners, the later one from a bar on."""
    begin, end = int(columns.session[first or 0]), int(columns.session[first_of_later - 1])
    return Listings((
        Security("FB~1999", (Ticker("FB", date_of(begin), date_of(end)),),
                 Delisting(date_of(end), "acquired", 3.0)),
        Security("META", (Ticker("FB", date_of(int(columns.session[first_of_later]))),)),
    ))  # fmt: skip


def test_another_company_after_months_is_one_finding_and_the_months_are_not_missing(days, xnys):
    columns = after_gap(days)
    (found,) = found_in(columns, xnys)
    assert (found.check, found.severity) == ("reused_ticker", Severity.ERROR)
    assert (found.first_ts, found.last_ts) == (columns.ts[149], columns.ts[150])
    assert "no bars for 100 sessions between" in found.evidence
    assert "quarterdeck data listings FILE" in found.evidence
    assert found_in(columns, xnys, companies=companies_of(listings(columns, 150), "FB")) == []


def test_months_without_a_bar_of_one_company_are_missing_sessions(days, xnys):
    columns = after_gap(days, prices=1.0, volume=1.0)
    (found,) = found_in(columns, xnys)
    assert (found.check, found.severity, found.n_bars) == (
        "missing_sessions", Severity.ERROR, 100,
    )  # fmt: skip
    one = Listings((Security("FB", (Ticker("FB"),)),))
    (found,) = found_in(after_gap(days), xnys, companies=companies_of(one, "FB"))[:1]
    assert found.check == "missing_sessions"


def test_a_defect_of_either_company_is_found_where_it_is(days, xnys):
    columns = after_gap(days)
    keep = np.ones(columns.n_bars, bool)
    keep[[60, 200]] = False
    found = found_in(columns.select(keep), xnys)
    assert [one.check for one in found] == ["missing_sessions", "reused_ticker", "missing_sessions"]
    assert [found[0].session, found[2].session] == columns.session[[60, 200]].tolist()


@pytest.mark.parametrize(("prices", "volume"), [(5.3, 3.0), (0.18, 100.0), (0.18, 0.3)])
def test_another_company_on_the_next_day_is_found_by_price_and_money(prices, volume, days, xnys):
    columns = after_gap(days, gap=0, prices=prices, volume=volume)
    (found,) = found_in(columns, xnys)
    assert (found.check, found.last_ts) == ("reused_ticker", columns.ts[150])
    assert "from " in found.evidence
    assert found_in(columns, xnys, companies=companies_of(listings(columns, 150), "FB")) == []


def test_a_price_that_steps_while_the_same_money_is_traded_is_a_jump(days, xnys):
    columns = after_gap(days, gap=0, prices=4.5, volume=0.4)
    assert [one.check for one in found_in(columns, xnys)] == ["jump"]
    # As quiet a change of hands as BankAmerica's in 1998: only a listing tells.
    assert found_in(after_gap(days, gap=0, prices=0.97, volume=2.0), xnys) == []


def test_listings_that_say_it_is_one_company_are_believed(days, xnys):
    columns = after_gap(days, gap=0, prices=4.5, volume=3.0)
    assert [one.check for one in found_in(columns, xnys)] == ["reused_ticker"]
    one = companies_of(Listings((Security("FB", (Ticker("FB"),)),)), "FB")
    assert [one.check for one in found_in(columns, xnys, companies=one)] == ["jump"]


def test_bars_on_days_without_an_owner_are_told_and_not_looked_at(days, xnys):
    columns = replace(days, prices=days.prices.copy())
    columns.prices[2, 10] = 0.01
    known = companies_of(listings(columns, 150, first=20), "FB")
    (found,) = found_in(columns, xnys, companies=known)
    assert (found.check, found.severity, found.n_bars) == ("no_owner", Severity.WARNING, 20)
    assert (found.first_ts, found.last_ts) == (columns.ts[0], columns.ts[19])


def test_stored_bars_and_files_are_held_to_the_stored_listings(store, days, tmp_path, xnys):
    columns = after_gap(days)
    store.write_bars("FB", "1d", columns, calendar="XNYS", source="test")
    path = tmp_path / "FB.csv"
    rows = [
        f"{np.datetime64(int(day), 'D')},{','.join(f'{x:.6f}' for x in prices)}"
        for day, prices in zip(columns.session, columns.prices.T, strict=True)
    ]
    path.write_text("\n".join(["date,open,high,low,close,volume", *rows]) + "\n")

    def checks():
        return [
            [one.check for one in at_least(found, Severity.WARNING)]
            for found in (
                check_series(store, "FB", "1d").findings, check_file(store, path).checked.findings,
            )
        ]  # fmt: skip

    assert checks() == [["reused_ticker"], ["reused_ticker"]]
    write_listings(store, listings(columns, 150))
    assert checks() == [[], []]


def test_bars_a_vendor_keeps_under_the_last_ticker_are_the_companys_for_all_its_life(days):
    change = int(days.session[150])
    meta = Security("META", (
        Ticker("FB", None, date_of(change - 1)), Ticker("META", date_of(change)),
    ))  # fmt: skip
    company = companies_of(Listings((meta,)), "META")
    assert company is not None
    assert company(days.session).tolist() == [0] * days.n_bars
    old = companies_of(Listings((meta,)), "FB@yahoo")
    assert old is not None
    assert old(days.session).tolist() == [0] * 150 + [-1] * (days.n_bars - 150)
    assert companies_of(Listings((meta,)), "AAPL") is None


def test_months_between_two_companies_are_not_scheduled(days, xnys):
    columns = after_gap(days)
    for known in (None, companies_of(listings(columns, 150), "FB")):
        counted = coverage_of(columns, xnys, "1d", known)
        assert int(counted.scheduled.sum()) == columns.n_bars
        assert counted.there.tolist() == counted.scheduled.tolist()
    one = companies_of(Listings((Security("FB", (Ticker("FB"),)),)), "FB")
    assert int(coverage_of(columns, xnys, "1d", one).scheduled.sum()) == columns.n_bars + 100


def test_sessions_are_expected_from_each_companys_first_bar_to_its_last():
    dates = np.arange(10)
    present = np.array([0, 1, 0, 1, 0, 0, 1, 0, 1, 0], bool)
    company = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, -1])
    assert expected_sessions(dates, present, company).tolist() == [
        False, True, True, True, False, False, True, True, True, False,
    ]  # fmt: skip


def test_bars_of_single_days_and_nothing_possible_are_looked_at_without_an_error(days, xnys):
    for n in (1, 2, 3):
        assert found_in(days.select(slice(0, n)), xnys) == []
    broken = BarColumns(days.ts, days.session, np.full_like(days.prices, np.nan))
    assert {one.check for one in found_in(broken, xnys)} == {"missing_price"}
