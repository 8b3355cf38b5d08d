"""Findings: none on sound bars, each planted defect at its place, the same bytes each time."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foundation.errors import DataError
from market_data.building import dated_actions
from market_data.calendars import always_open, compute_sessions
from market_data.columns import BarColumns
from market_data.generator import Market, generate_minutes
from market_data.quality.checking import CHECKS, check_columns, check_series, check_store
from market_data.quality.coverage import coverage_of
from market_data.quality.files import check_file
from market_data.quality.findings import Severity, at_least, findings_table, write_findings
from market_data.quality.habits import block_medians, habit, runs
from market_data.quality.limits import LIMITS, Limits
from market_data.resampling import resample_columns
from market_data.sample_set import load_sample
from market_data.sessions import days_of
from market_data.timeframes import HOUR_NS, MINUTE_NS
from tests.market_data import corrupting


@pytest.fixture(scope="module")
def tokyo():
    return compute_sessions("XTKS", date(2019, 1, 1), date(2025, 12, 31))


@pytest.fixture(scope="module")
def every_day():
    return always_open(days_of(date(2019, 1, 1)), days_of(date(2025, 12, 31)))


@pytest.fixture(scope="module")
def stored(_calendar_home, tmp_path_factory):
    import shutil

    from market_data.store import Store

    home = tmp_path_factory.mktemp("stored")
    shutil.copytree(_calendar_home / "sessions", home / "sessions")
    store = Store(home)
    load_sample(store)
    return store


def found_in(columns, table, timeframe, **more):
    return check_columns(
        columns.ts, columns.prices, symbol="X", timeframe=timeframe, sessions=table,
        **{
            "session": columns.session, "bid": columns.bid, "ask": columns.ask,
            "halted": columns.halted, "tick": 0.01, "lot": 1.0, **more,
        },
    )  # fmt: skip


def worth(columns, table, timeframe, **more):
    return at_least(found_in(columns, table, timeframe, **more), Severity.WARNING)


# No finding on sound bars.


def test_the_sample_set_has_no_finding(stored):
    # With the fall of Apple on 2000-09-29 (52 %), the closed days after 2001-09-11, the storm of
    # October 2012, the crash of 2008, 8 splits and every half day between.
    for one in check_store(stored):
        assert at_least(one.findings, Severity.WARNING) == [], one.symbol


@pytest.mark.parametrize("target", ["5m", "1h", "1d", "1w"])
def test_resampled_bars_of_the_sample_have_no_finding(stored, target):
    for series in stored.list_series():
        columns, _ = stored.read_columns(series.symbol, series.timeframe)
        if series.timeframe == "1d" and target != "1w":
            continue
        table = stored.sessions(series.calendar, int(columns.ts[0]), int(columns.ts[-1]))
        actions = stored.read_actions(series.symbol)
        longer = resample_columns(columns, table, series.timeframe, target, actions=actions)
        assert worth(longer, table, target, actions=actions) == [], series.symbol


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("calendar", ["XNYS", "FX", "XTKS", "24/7"])
def test_made_up_markets_have_no_finding(seed, calendar, xnys, fx, tokyo, every_day):
    # Liquid and thin, cheap and dear, calm and wild; over changes of clocks and half days.
    table = {"XNYS": xnys, "FX": fx, "XTKS": tokyo, "24/7": every_day}[calendar]
    draw = np.random.default_rng([seed, len(calendar)])
    market = Market(
        price=float(draw.choice([2, 15, 100, 600])),
        volatility=float(draw.choice([0.005, 0.01, 0.02, 0.04])),
        volume=float(draw.choice([3e4, 3e6, 5e7])),
        halt_probability=float(draw.choice([0, 0.04, 0.3])),
        missing_probability=float(draw.choice([0, 0.01, 0.05, 0.3])),
    )
    start = [date(2019, 3, 1), date(2019, 10, 25), date(2020, 11, 20), date(2020, 6, 1)][seed % 4]
    last = date.fromordinal(start.toordinal() + int(draw.choice([3, 12, 25])))
    minutes = generate_minutes(start, last, seed=seed, market=market, sessions=table).columns
    for timeframe in ("1m", "5m", "1h", "1d", "1w"):
        bars = minutes
        if timeframe != "1m":
            bars = resample_columns(minutes, table, "1m", timeframe)
        if bars.n_bars:
            assert worth(bars, table, timeframe) == []


def test_an_instrument_that_trades_in_one_minute_of_five_does_not_drown(xnys):
    minutes = corrupting.sound_minutes(xnys, 1, date(2023, 2, 10))
    traded = np.random.default_rng(3).random(minutes.n_bars) < 0.2
    assert worth(minutes.select(traded), xnys, "1m") == []


def test_a_stock_that_trades_on_two_days_of_three_does_not_drown(xnys):
    days = corrupting.sound_days(xnys, 2)
    traded = np.random.default_rng(4).random(days.n_bars) < 0.66
    assert worth(days.select(traded), xnys, "1d") == []


def test_minutes_missing_beside_a_flagged_halt_are_no_finding(xnys):
    minutes = corrupting.sound_minutes(xnys, 3, date(2023, 2, 10))
    day = np.unique(minutes.session)[8]
    at = np.flatnonzero(minutes.session == day)[100:190]
    halted = np.zeros(minutes.n_bars, bool)
    halted[at[0]] = True
    keep = np.ones(minutes.n_bars, bool)
    keep[at[1:]] = False
    gap = replace(minutes, halted=None).select(keep)
    assert [one.check for one in worth(gap, xnys, "1m")] == ["missing_bars"]
    assert worth(replace(minutes, halted=halted).select(keep), xnys, "1m") == []


def test_known_splits_are_no_finding(xnys):
    days = corrupting.sound_days(xnys, 5)
    planted = corrupting.hide_split(days, xnys, np.random.default_rng(1))
    [found] = worth(planted.columns, xnys, "1d")
    assert found.check == "unadjusted_split"
    ratio = {"2 for 1": 2.0, "3 for 1": 3.0, "4 for 1": 4.0, "7 for 1": 7.0, "1 for 10": 0.1,
             "1 for 20": 0.05}[found.evidence.split("near ")[1].split(" and")[0]]  # fmt: skip
    on = date.fromordinal(int(found.session) + 719_163)
    actions = dated_actions([(on, ratio, 0.0)])
    assert worth(planted.columns, xnys, "1d", actions=actions) == []


def test_a_split_that_adjusted_prices_do_not_show_is_only_noted(xnys):
    days = corrupting.sound_days(xnys, 6)
    on = date.fromordinal(int(days.session[200]) + 719_163)
    [found] = found_in(days, xnys, "1d", actions=dated_actions([(on, 2.0, 0.0)]))
    assert (found.check, found.severity) == ("split_not_shown", Severity.INFO)


def test_a_cheap_share_whose_days_mostly_end_unchanged_has_no_finding(tokyo):
    # A day's move of half a tick: the median daily move is none.
    market = Market(price=2.0, volatility=0.005, volume=5e7)
    minutes = generate_minutes(
        date(2021, 1, 1), date(2021, 1, 21), seed=94, market=market, sessions=tokyo
    ).columns
    for timeframe in ("1m", "15m", "1h"):
        bars = minutes
        if timeframe != "1m":
            bars = resample_columns(minutes, tokyo, "1m", timeframe)
        assert worth(bars, tokyo, timeframe) == []


# Each defect is found where it was planted, and nothing else is.


@pytest.mark.parametrize("plant", corrupting.MINUTE_DEFECTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("seed", [3, 40, 77])
def test_a_defect_of_minutes_is_found_at_its_place_and_nothing_else(plant, seed, xnys):
    _is_found(plant, corrupting.sound_minutes(xnys, seed), xnys, "1m", seed)


@pytest.mark.parametrize("plant", corrupting.DAILY_DEFECTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("seed", [5, 41, 78])
def test_a_defect_of_days_is_found_at_its_place_and_nothing_else(plant, seed, xnys):
    _is_found(plant, corrupting.sound_days(xnys, seed), xnys, "1d", seed)


def _is_found(plant, columns, table, timeframe, seed):
    planted = plant(columns, table, np.random.default_rng([seed, 99]))
    found = corrupting.found_in(planted.columns, table, timeframe)
    assert corrupting.covers(found, planted), [one.evidence for one in found]
    assert corrupting.others(found, planted) == []


def test_bars_that_an_import_refuses_are_checked_all_the_same(xnys):
    minutes = corrupting.sound_minutes(xnys, 9, date(2023, 1, 20))
    prices = minutes.prices.copy()
    prices[3, 100] = np.nan
    prices[2, 200] = 0.0
    prices[1, 300] = prices[2, 300] * 0.99
    prices[4, 400] = -5.0
    order = np.r_[np.arange(minutes.n_bars), 500]
    wrecked = BarColumns(minutes.ts[order], minutes.session[order], prices[:, order])
    assert {one.check for one in worth(wrecked, xnys, "1m")} == {
        "missing_price", "nonpositive_price", "ohlc_order", "negative_volume", "duplicate_bars",
        "out_of_order",
    }  # fmt: skip


@pytest.mark.parametrize("field", [0, 3])
def test_quotes_that_cross_at_open_or_close_alone_are_found(field, xnys):
    minutes = corrupting.sound_minutes(xnys, 9, date(2023, 1, 13))
    bid = minutes.bid.copy()
    bid[field, 700] = minutes.ask[field, 700] + 0.3
    [found] = worth(replace(minutes, bid=bid), xnys, "1m")
    assert (found.check, found.first_ts) == ("crossed_quotes", minutes.ts[700])


@pytest.mark.parametrize(("times", "names"), [(90, []), (115, ["volume_spike"])])
def test_volume_is_a_finding_from_a_hundred_times_the_usual_on(times, names, xnys):
    # Steady volume, so that the median of the bars around decides and not its spread.
    minutes = corrupting.sound_minutes(xnys, 9, date(2023, 1, 13))
    prices = minutes.prices.copy()
    prices[4] = 1000.0
    prices[4, 700] = times * 1000.0
    found = worth(replace(minutes, prices=prices), xnys, "1m")
    assert [one.check for one in found] == names


def test_volume_of_extended_hours_tells_a_shift_that_edges_do_not(xnys):
    # Twelve hours of minutes with ten times the volume between open and close.
    days = np.arange(days_of(date(2023, 2, 6)), days_of(date(2023, 3, 4)))
    days = days[np.isin(days, xnys.date)]
    row = np.searchsorted(xnys.date, days)
    draw = np.random.default_rng(2)
    ts = (xnys.open[row][:, None] + (np.arange(720) - 150) * MINUTE_NS).ravel()
    inside = ((ts[:, None] >= xnys.open[row]) & (ts[:, None] < xnys.close[row])).any(axis=1)
    close = 100.0 * np.exp(np.cumsum(draw.standard_normal(ts.shape[0]) * 3e-4))
    prices = np.array([close, close * 1.0003, close * 0.9997, close, np.where(inside, 5e3, 100.0)])
    prices[4] *= draw.lognormal(0, 0.3, ts.shape[0])
    session = np.repeat(days, 720)
    early = np.isin(session, days[6:14])
    shifted = BarColumns(np.where(early, ts - HOUR_NS, ts), session, prices)
    found = worth(shifted, xnys, "1m", session=None, lot=0.0)
    assert [(one.check, one.measure) for one in found] == [("time_shift", -1.0)]
    assert (found[0].first_ts, found[0].last_ts) == tuple(shifted.ts[early][[0, -1]])
    assert worth(BarColumns(ts, session, prices), xnys, "1m", session=None, lot=0.0) == []


def test_too_many_findings_of_one_kind_are_counted_in_one_row(xnys):
    minutes = corrupting.sound_minutes(xnys, 1, date(2023, 1, 20))
    prices = minutes.prices.copy()
    prices[4, ::7] += 0.5
    prices[4, ::9] += 0.5
    limits = Limits(most_findings=50, whole_share=0.5)
    found = worth(replace(minutes, prices=prices), xnys, "1m", limits=limits)
    assert len(found) == 51
    parts = np.flatnonzero(prices[4] != np.floor(prices[4]))
    assert sum(one.n_bars for one in found) == parts.shape[0]
    assert sum("more of this kind" in one.evidence for one in found) == 1


# What findings are.


def test_the_same_bars_give_the_same_bytes(xnys, tmp_path):
    for name in ("one", "other"):
        planted = corrupting.change_unit(
            corrupting.sound_minutes(xnys, 4, date(2023, 2, 10)), xnys, np.random.default_rng(5)
        )
        write_findings(tmp_path / name, corrupting.found_in(planted.columns, xnys, "1m"))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    table = pq.read_table(tmp_path / "one")
    assert table.schema.field("first_ts").type == pa.timestamp("us", "UTC")
    assert table["check"].to_pylist() == ["wrong_unit"]
    assert table.num_rows == 1


def test_no_findings_are_a_table_of_no_rows():
    assert findings_table([]).num_rows == 0
    assert findings_table([]).schema.names[:3] == ["check", "severity", "symbol"]


def test_no_bars_have_no_findings(xnys):
    assert found_in(BarColumns(*(np.zeros(0, np.int64),) * 2, np.zeros((5, 0))), xnys, "1m") == []


def test_columns_of_unlike_length_are_refused(xnys):
    with pytest.raises(DataError, match=r"shape \(5, 3\), got \(5, 2\)"):
        check_columns(np.arange(3), np.ones((5, 2)), symbol="X", timeframe="1m", sessions=xnys)


def test_every_limit_says_why():
    for one in fields(LIMITS):
        assert f"{one.name} : " in (Limits.__doc__ or ""), one.name


def test_every_check_has_words_and_a_page_section():
    from foundation.home import CHECKOUT

    text = (CHECKOUT / "docs" / "quality.md").read_text("utf-8")
    for check in CHECKS:
        assert f"`{check}`" in text, check


# Files and stores.


def test_a_file_is_checked_before_it_is_imported(store, tmp_path, xnys):
    minutes = corrupting.sound_minutes(xnys, 9, date(2023, 2, 1))
    prices = minutes.prices.copy()
    prices[0, 50] = 0.0
    path = tmp_path / "ACME.parquet"
    pq.write_table(replace(minutes, prices=prices, bid=None, ask=None).to_table(), path)
    with pytest.raises(DataError, match="need a calendar"):
        check_file(store, path)
    read = check_file(store, path, calendar="XNYS")
    [found] = at_least(read.checked.findings, Severity.WARNING)
    assert (found.check, found.symbol, found.timeframe) == ("nonpositive_price", "ACME", "1m")
    assert found.first_ts == minutes.ts[50]
    assert store.list_series() == []


def test_bars_in_quarantine_are_not_found_again(store, xnys):
    from datetime import UTC, datetime

    minutes = corrupting.sound_minutes(xnys, 9, date(2023, 2, 1))
    planted = corrupting.misprint(minutes, xnys, np.random.default_rng(3))
    store.write_bars("ACME", "1m", planted.columns, calendar="XNYS", source="test")
    found = at_least(check_series(store, "ACME", "1m").findings, Severity.WARNING)
    assert [one.check for one in found] == ["spike"]
    store.quarantine(
        "ACME", "1m", planted.times, reason="spike", by="test", at=datetime(2024, 1, 2, tzinfo=UTC)
    )
    assert at_least(check_series(store, "ACME", "1m").findings, Severity.WARNING) == []


def test_an_empty_store_says_so(store):
    with pytest.raises(DataError, match="no bars are stored to check"):
        check_store(store)


# The arithmetic underneath, by worked examples.


def test_runs_are_starts_and_stops():
    starts, stops = runs(np.array([True, False, True, True, False, True]))
    assert starts.tolist() == [0, 2, 5]
    assert stops.tolist() == [1, 4, 6]


def test_a_habit_leaves_out_the_worst_stretches():
    # 20 stretches of 50 bars; every tenth bar is marked, and all of stretch 7.
    stretch = np.repeat(np.arange(20), 50)
    flags = np.arange(1000) % 10 == 0
    flags[stretch == 7] = True
    usual = habit(flags, stretch, np.zeros(1000, np.int64), LIMITS,
                  least_begins=1e-9, least_goes_on=1e-9)  # fmt: skip
    assert usual.rate == pytest.approx(0.1)
    assert usual.begins == pytest.approx(0.1, rel=0.02)
    # One mark of ninety follows another, at the edge of the bad stretch.
    assert usual.goes_on[0] < 0.05


def test_block_medians_join_the_rest_to_the_last_block():
    assert block_medians(np.array([1.0, 2, 3, 10, 11, 12, 13]), 3).tolist() == [2.0, 11.5]


def test_coverage_counts_half_days_as_they_are(xnys):
    # November 2023 had 21 sessions, the 24th ended at 13:00: 20 x 390 + 210 minutes.
    minutes = generate_minutes(
        date(2023, 10, 31), date(2023, 12, 1), seed=1, sessions=xnys,
        market=Market(missing_probability=0.0, halt_probability=0.0),
    ).columns  # fmt: skip
    counted = coverage_of(minutes, xnys, "1m")
    assert counted.month.astype(str).tolist() == ["2023-10", "2023-11", "2023-12"]
    assert counted.scheduled.tolist() == [390, 20 * 390 + 210, 390]
    assert counted.there.tolist() == counted.scheduled.tolist()


def test_a_currency_week_an_hour_early_is_found_and_christmas_is_not(fx):
    # 2023-10-30 to 11-03 is the week between the changes of clocks in Europe and New York.
    market = Market(price=1.1, volatility=0.005)
    bars = generate_minutes(
        date(2023, 10, 2), date(2024, 1, 12), seed=3, market=replace(market, price=110.0),
        sessions=fx,
    ).columns  # fmt: skip
    hours = resample_columns(bars, fx, "1m", "1h")
    free = np.array([days_of(date(2023, 12, 25)), days_of(date(2024, 1, 1))])
    closed = np.isin(hours.session, free)
    usual = hours.select(~closed)
    assert worth(usual, fx, "1h", session=None) == []
    weeks = (usual.session >= days_of(date(2023, 10, 30))) & (
        usual.session <= days_of(date(2023, 11, 10))
    )
    shifted = replace(usual, ts=usual.ts - weeks * HOUR_NS)
    found = worth(shifted, fx, "1h", session=None)
    assert [(one.check, one.measure) for one in found] == [("time_shift", -1.0)]
    assert (found[0].first_ts, found[0].last_ts) == tuple(shifted.ts[weeks][[0, -1]])
