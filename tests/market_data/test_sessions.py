"""What the schedule says of bars: closes, flags, facts, period codes."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from foundation.errors import DataError
from market_data.building import bars_from_arrays, dated_actions
from market_data.sessions import days_of
from trading.bars import BarFlag
from trading.instruments import Instrument

MINUTE = 60 * 10**9
STOCK = Instrument("X", calendar="XNYS")
PAIR = Instrument("EURUSD", asset_class="fx", calendar="FX")
COIN = Instrument("BTCUSD", asset_class="crypto", calendar="24/7")


def _bars(instrument, timeframe, ts, sessions=None, **more):
    price = np.full(len(ts), 10.0)
    ts = np.asarray(ts)
    return bars_from_arrays(
        instrument, timeframe, ts, price, price, price, price, sessions=sessions, **more
    )


def _session_minutes(xnys, day, step=1):
    row = int(np.searchsorted(xnys.date, days_of(day)))
    return np.arange(xnys.open[row], xnys.close[row], step * MINUTE)


def _dates(*texts):
    return np.array(texts, "datetime64[D]")


def _period(bars, name):
    codes = bars.periods[name]
    return codes >> 2, (codes >> 1 & 1).tolist(), (codes & 1).tolist()


def test_flags_of_a_full_day_of_minutes(xnys):
    bars = _bars(STOCK, "1m", _session_minutes(xnys, date(2024, 1, 5)), xnys)
    assert bars.n_bars == 390
    assert np.flatnonzero(bars.flags & BarFlag.SESSION_FIRST).tolist() == [0]
    assert np.flatnonzero(bars.flags & BarFlag.SESSION_LAST).tolist() == [389]
    assert np.flatnonzero(bars.flags & BarFlag.FLATTEN).tolist() == [388, 389]
    assert bars.facts[:, 0].tolist() == [9, 30, 4, 0]
    assert bars.facts[:, 389].tolist() == [15, 59, 4, 389]


def test_half_day_ends_at_its_own_close(xnys):
    bars = _bars(STOCK, "1m", _session_minutes(xnys, date(2024, 11, 29)), xnys)
    assert bars.n_bars == 210
    assert bars.flags[-1] & BarFlag.SESSION_LAST
    assert bars.facts[:2, -1].tolist() == [12, 59]


def test_last_bar_of_a_session_is_shorter_when_the_hours_do_not_fit(xnys):
    bars = _bars(STOCK, "1h", _session_minutes(xnys, date(2024, 1, 5), 60), xnys)
    assert bars.n_bars == 7
    assert (bars.close_ts - bars.ts)[-1] == 30 * MINUTE
    assert bars.flags[-1] & BarFlag.SESSION_LAST
    # 14:30 to 15:30 closes within one hour of the session's close.
    assert np.flatnonzero(bars.flags & BarFlag.FLATTEN).tolist() == [5, 6]


def test_missing_last_minute_leaves_the_session_without_a_last_bar(xnys):
    bars = _bars(STOCK, "1m", _session_minutes(xnys, date(2024, 1, 5))[:-1], xnys)
    assert not np.any(bars.flags & BarFlag.SESSION_LAST)
    assert np.flatnonzero(bars.flags & BarFlag.FLATTEN).tolist() == [388]


def test_facts_are_local_times_on_both_sides_of_the_clock_change(xnys):
    minutes = np.concatenate(
        [_session_minutes(xnys, date(2024, 3, 8)), _session_minutes(xnys, date(2024, 3, 11))]
    )
    bars = _bars(STOCK, "1m", minutes, xnys)
    assert bars.facts[:3, 0].tolist() == [9, 30, 4]
    assert bars.facts[:3, 390].tolist() == [9, 30, 0]
    assert np.diff(bars.session)[389] == 3


def test_daily_bars_take_plain_dates_and_instants_alike(xnys):
    plain = _bars(STOCK, "1d", _dates("2024-03-08", "2024-03-11"), xnys)
    opens = np.array(["2024-03-08T14:30", "2024-03-11T13:30"], "datetime64[ns]")
    instants = _bars(STOCK, "1d", opens, xnys)
    local_midnight = np.array(["2024-03-08T05:00", "2024-03-11T04:00"], "datetime64[ns]")
    midnights = _bars(STOCK, "1d", local_midnight, xnys)
    for bars in (instants, midnights):
        assert bars.ts.tolist() == plain.ts.tolist() == opens.astype(np.int64).tolist()
        assert bars.session.tolist() == plain.session.tolist()
    assert (plain.close_ts - plain.ts).tolist() == [390 * MINUTE] * 2
    assert bool(np.all(plain.flags & 7 == 7))


def test_weekly_period_closes_on_thursday_before_good_friday(xnys):
    days = _dates("2024-03-25", "2024-03-26", "2024-03-27", "2024-03-28", "2024-04-01")
    bars = _bars(STOCK, "1d", days, xnys, periods=("1w",))
    identity, last, first = _period(bars, "1w")
    assert last == [0, 0, 0, 1, 0]
    assert first == [1, 0, 0, 0, 1]
    assert np.diff(identity).tolist() == [0, 0, 0, 1]


def test_weekly_period_begins_on_tuesday_after_a_monday_holiday(xnys):
    # Memorial Day was Monday 2024-05-27.
    days = _dates("2024-05-28", "2024-05-29", "2024-05-30", "2024-05-31")
    _, last, first = _period(_bars(STOCK, "1d", days, xnys, periods=("1w",)), "1w")
    assert first == [1, 0, 0, 0]
    assert last == [0, 0, 0, 1]


def test_week_over_the_end_of_the_year_is_one_week(xnys):
    # Monday 2024-12-30 to Friday 2025-01-03, closed on New Year's Day.
    days = _dates("2024-12-30", "2024-12-31", "2025-01-02", "2025-01-03")
    identity, last, first = _period(_bars(STOCK, "1d", days, xnys, periods=("1w",)), "1w")
    assert np.unique(identity).shape == (1,)
    assert (first, last) == ([1, 0, 0, 0], [0, 0, 0, 1])


def test_missing_first_day_of_a_week_leaves_the_period_without_a_first_bar(xnys):
    days = _dates("2024-01-03", "2024-01-04", "2024-01-05")
    _, last, first = _period(_bars(STOCK, "1d", days, xnys, periods=("1w",)), "1w")
    assert first == [0, 0, 0]
    assert last == [0, 0, 1]


def test_hourly_periods_of_minutes_are_anchored_at_the_open(xnys):
    bars = _bars(
        STOCK, "1m", _session_minutes(xnys, date(2024, 1, 5)), xnys, periods=("1h", "1d", "1w")
    )
    identity, last, first = _period(bars, "1h")
    assert np.unique(identity).shape == (7,)
    assert np.flatnonzero(first).tolist() == [0, 60, 120, 180, 240, 300, 360]
    assert np.flatnonzero(last).tolist() == [59, 119, 179, 239, 299, 359, 389]
    _, last, first = _period(bars, "1d")
    assert (np.flatnonzero(first).tolist(), np.flatnonzero(last).tolist()) == ([0], [389])
    _, last, first = _period(bars, "1w")  # A Friday: the week's last, not its first.
    assert (np.flatnonzero(first).tolist(), np.flatnonzero(last).tolist()) == ([], [389])


def test_period_ids_increase_over_sessions(xnys):
    minutes = np.concatenate(
        [_session_minutes(xnys, day) for day in (date(2024, 1, 4), date(2024, 1, 5))]
    )
    bars = _bars(STOCK, "1m", minutes, xnys, periods=("5m", "1h"))
    for name in ("5m", "1h"):
        identity, _, _ = _period(bars, name)
        steps = np.diff(identity)
        assert steps.min() >= 0
        assert steps[389] > 0


def test_currency_bars_have_sunday_evening_in_mondays_session(fx, ns):
    ts = np.arange(ns("2024-01-07T22:00"), ns("2024-01-08T22:00"), 60 * MINUTE)
    bars = _bars(PAIR, "1h", ts, fx, periods=("1d", "1w"))
    assert np.unique(bars.session).tolist() == [days_of(date(2024, 1, 8))]
    assert bars.facts[:, 0].tolist() == [17, 0, 6, 0]
    assert bars.flags[-1] & BarFlag.SESSION_LAST
    _, last, first = _period(bars, "1d")
    assert (sum(first), first[0], sum(last), last[-1]) == (1, 1, 1, 1)
    _, last, first = _period(bars, "1w")
    assert (sum(first), first[0], sum(last)) == (1, 1, 0)


def test_always_open_week_runs_from_monday_to_sunday():
    days = np.arange("2024-01-01", "2024-01-15", dtype="datetime64[D]")
    _, last, first = _period(_bars(COIN, "1d", days, periods=("1w",)), "1w")
    assert np.flatnonzero(first).tolist() == [0, 7]
    assert np.flatnonzero(last).tolist() == [6, 13]


def test_bars_outside_the_hours_are_left_out_unless_asked_for(xnys, ns):
    ts = np.array([ns("2024-01-05T14:29"), ns("2024-01-05T14:30"), ns("2024-01-05T21:00")])
    assert _bars(STOCK, "1m", ts, xnys).ts.tolist() == [ts[1]]
    bars = _bars(STOCK, "1m", ts, xnys, extended_hours=True)
    outside = bars.flags & BarFlag.OUTSIDE_SESSION
    assert (outside > 0).tolist() == [True, False, True]
    assert bars.facts[3].tolist() == [-1, 0, 390]
    assert bars.session.tolist() == [days_of(date(2024, 1, 5))] * 3
    assert bars.flags[0] & BarFlag.SESSION_FIRST
    assert not bars.flags[1] & BarFlag.SESSION_FIRST


def test_bar_on_a_holiday_is_refused(xnys):
    with pytest.raises(DataError, match=r"2024-12-25.*no session of calendar XNYS"):
        _bars(STOCK, "1d", _dates("2024-12-24", "2024-12-25"), xnys)


def test_intraday_bars_without_a_calendar_are_refused():
    with pytest.raises(DataError, match="1m bars of X need a calendar"):
        _bars(Instrument("X"), "1m", np.arange(3) * MINUTE)


def test_times_that_do_not_increase_are_refused(xnys):
    with pytest.raises(DataError, match="bar 1 is not after the one before it"):
        _bars(STOCK, "1d", _dates("2024-01-05", "2024-01-05"), xnys)


def test_period_that_is_not_longer_than_the_bars_is_refused(xnys):
    with pytest.raises(DataError, match="period 1d is not longer than the bars' 1d"):
        _bars(STOCK, "1d", _dates("2024-01-05"), xnys, periods=("1d",))


def test_unknown_timeframe_is_refused(xnys):
    with pytest.raises(DataError, match="unknown timeframe '7x'"):
        _bars(STOCK, "7x", _dates("2024-01-05"), xnys)


def test_actions_count_from_the_first_bar_of_their_session(xnys):
    ts = np.concatenate(
        [_session_minutes(xnys, day) for day in (date(2024, 1, 4), date(2024, 1, 5))]
    )
    actions = dated_actions(
        [
            (date(2024, 1, 4), 3.0, 0.0),  # In every price that there is.
            (date(2024, 1, 5), 2.0, 0.5),
            (date(2024, 1, 8), 1.0, 9.0),  # Not yet.
        ]
    )
    bars = _bars(STOCK, "1m", ts, xnys, actions=actions)
    assert bars.actions.tolist() == [(390, 2.0, 0.5)]


def test_action_of_a_session_without_bars_counts_from_the_next_bar(xnys):
    actions = dated_actions([(date(2024, 1, 4), 2.0, 0.0)])
    bars = _bars(STOCK, "1d", _dates("2024-01-03", "2024-01-05"), xnys, actions=actions)
    assert bars.actions.tolist() == [(1, 2.0, 0.0)]


def test_finer_bars_lie_within_their_bars(xnys):
    fine = _bars(STOCK, "1m", _session_minutes(xnys, date(2024, 1, 5)), xnys)
    hours = _session_minutes(xnys, date(2024, 1, 5), 60)
    bars = _bars(STOCK, "1h", np.delete(hours, 1), xnys, finer=fine)
    assert bars.finer is not None
    assert bars.finer_start is not None
    # The second hour has no bar: its minutes belong to none and are left out.
    assert bars.finer.n_bars == 330
    assert bars.finer_start.tolist() == [0, 60, 120, 180, 240, 300, 330]
    assert bool(np.all(bars.finer.ts[bars.finer_start[:-1]] == bars.ts))
