"""Session tables against the exchange's published hours."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from foundation.errors import DataError
from market_data.calendars import compute_sessions, default_daily_calendar
from market_data.sessions import days_of


def _session(table, day):
    row = int(np.searchsorted(table.date, days_of(day)))
    assert table.date[row] == days_of(day)
    opens, closes = (np.datetime64(int(x[row]), "ns") for x in (table.open, table.close))
    return str(opens.astype("datetime64[m]")), str(closes.astype("datetime64[m]"))


def _has(table, day):
    return days_of(day) in table.date


def test_new_york_opens_at_the_same_local_hour_across_the_clock_change(xnys):
    # Clocks went forward on Sunday 2024-03-10 and back on Sunday 2024-11-03.
    assert _session(xnys, date(2024, 3, 8)) == ("2024-03-08T14:30", "2024-03-08T21:00")
    assert _session(xnys, date(2024, 3, 11)) == ("2024-03-11T13:30", "2024-03-11T20:00")
    assert _session(xnys, date(2024, 11, 1)) == ("2024-11-01T13:30", "2024-11-01T20:00")
    assert _session(xnys, date(2024, 11, 4)) == ("2024-11-04T14:30", "2024-11-04T21:00")


def test_new_york_closes_early_on_half_days(xnys):
    # Day after Thanksgiving and Christmas Eve: 13:00 in New York.
    assert _session(xnys, date(2024, 11, 29)) == ("2024-11-29T14:30", "2024-11-29T18:00")
    assert _session(xnys, date(2024, 12, 24)) == ("2024-12-24T14:30", "2024-12-24T18:00")


def test_new_york_holidays_are_no_sessions(xnys):
    assert not _has(xnys, date(2024, 3, 29))  # Good Friday.
    assert not _has(xnys, date(2025, 1, 9))  # Day of mourning for President Carter.
    assert not _has(xnys, date(2001, 9, 11))
    assert not _has(xnys, date(2024, 12, 25))
    assert _has(xnys, date(2024, 12, 31))


def test_new_york_sessions_reach_back_before_the_default_of_twenty_years(xnys):
    assert _session(xnys, date(2000, 3, 1)) == ("2000-03-01T14:30", "2000-03-01T21:00")


def test_currency_week_runs_from_sunday_to_friday_five_in_new_york(fx):
    # 2024-01-07 was a Sunday; 17:00 in New York was 22:00 UTC.
    assert _session(fx, date(2024, 1, 8)) == ("2024-01-07T22:00", "2024-01-08T22:00")
    assert _session(fx, date(2024, 1, 12)) == ("2024-01-11T22:00", "2024-01-12T22:00")
    assert not _has(fx, date(2024, 1, 13))
    assert not _has(fx, date(2024, 1, 14))


def test_currency_week_follows_the_clocks_of_new_york(fx):
    # On Sunday 2024-03-10 clocks had gone forward by 17:00: the week opens at 21:00 UTC.
    assert _session(fx, date(2024, 3, 8)) == ("2024-03-07T22:00", "2024-03-08T22:00")
    assert _session(fx, date(2024, 3, 11)) == ("2024-03-10T21:00", "2024-03-11T21:00")


def test_always_open_has_a_session_for_each_utc_day():
    table = compute_sessions("24/7", date(2024, 2, 28), date(2024, 3, 1))
    assert [str(np.datetime64(int(d), "D")) for d in table.date] == [
        "2024-02-28",
        "2024-02-29",
        "2024-03-01",
    ]
    assert bool(np.all(table.close - table.open == 86_400 * 10**9))
    assert bool(np.all(table.open[1:] == table.close[:-1]))


def test_unknown_calendar_is_refused_with_a_near_name():
    with pytest.raises(DataError, match=r"unknown calendar 'XNYZ'; did you mean .*XNYS"):
        compute_sessions("XNYZ", date(2020, 1, 1), date(2020, 2, 1))


def test_daily_bars_without_a_calendar_are_new_york_unless_on_weekends():
    friday = days_of(date(2024, 1, 5))
    assert default_daily_calendar(np.array([friday, friday + 3])) == "XNYS"
    assert default_daily_calendar(np.array([friday, friday + 1])) == "24/7"


def test_session_table_is_computed_once_and_then_read(store, monkeypatch, ns):
    import market_data.store as module

    def fail(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(module, "compute_sessions", fail)
    table = store.sessions("XNYS", ns("2010-01-04"), ns("2020-01-04"))
    assert _has(table, date(2015, 1, 5))


def test_session_table_grows_when_bars_reach_past_it(store, ns):
    table = store.sessions("FX", ns("2028-01-04"), ns("2030-06-04"))
    assert _has(table, date(2030, 6, 4))
    assert _has(table, date(1995, 6, 6))
