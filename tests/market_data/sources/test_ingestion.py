"""Ingestion: what is asked for, what is stored, and what a second time changes."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
from datetime import timedelta

import numpy as np
import pytest

from foundation.clock import FixedClock
from foundation.errors import DataError
from foundation.home import CHECKOUT
from foundation.objects import ObjectPath
from market_data.action_records import action_records, kind_of
from market_data.ingestion import IngestionOptions, ingest, merge_actions
from market_data.sessions import days_of
from market_data.store import Store
from market_data.timeframes import MINUTE_NS
from tests.local_s3 import make_bucket, s3_server
from tests.market_data.full_disk import largest_file
from tests.market_data.sources.making import (
    day,
    local_days,
    minutes,
    moment,
    traded_through_split,
)
from tests.market_data.sources.servers import KEY_ID, SECRET, Answer, Series

FIRST = day("2024-01-02")


def since(first=FIRST, **more):
    return IngestionOptions(first=first, **more)


@pytest.fixture
def bars(alpaca_server, xnys):
    """Minutes of eleven weeks; on 10 March clocks in New York go forward."""
    series = minutes(xnys, "2024-01-02", "2024-03-20")
    alpaca_server.series["AAPL", "1m"] = series
    return series


def files_of(home):
    """Return each file's digest and time of change, but for locks."""
    return {
        str(path.relative_to(home)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
        )
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def only(report):
    (one,) = report.symbols
    return one


def asked_bars(server):
    return [query for path, query in server.asked if path.endswith("/bars")]


def test_what_the_vendor_has_is_what_the_store_has(store, alpaca, bars, clock):
    one = only(ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock))
    assert not one.failed
    assert [(part.part, part.outcome) for part in one.partitions] == [
        ("2024-01", "stored"), ("2024-02", "stored"), ("2024-03", "stored"),
    ]  # fmt: skip
    columns, series = store.read_columns("AAPL", "1m")
    np.testing.assert_array_equal(columns.ts, bars.ns)
    np.testing.assert_array_equal(columns.prices, bars.prices)
    assert series.calendar == "XNYS"
    # 21, 20 and 14 sessions of 390 minutes.
    assert [part.n_new for part in one.partitions] == [8190, 7800, 5460]


def test_each_part_tells_where_it_came_from(store, alpaca, bars, clock):
    one = only(ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock))
    known = store.read_provenance("AAPL", "1m")
    assert [part.part for part in known] == ["2024-01", "2024-02", "2024-03"]
    for part, report in zip(known, one.partitions, strict=True):
        assert part.provenance.source == "alpaca"
        assert part.provenance.retrieved_at == clock.now()
        assert part.provenance.sha256 == report.sha256
        assert "symbols=AAPL timeframe=1Min" in part.provenance.request
        assert part.rows == report.n_new


def test_again_asks_only_for_the_last_days_and_changes_no_file(
    store, alpaca, alpaca_server, bars, clock
):
    ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock)
    before = files_of(store.home)
    alpaca_server.asked.clear()
    one = only(ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock))
    assert [(part.days, part.outcome) for part in one.partitions] == [
        ("2024-03-13 to 2024-03-20", "unchanged")
    ]
    assert {query["start"][:10] for query in asked_bars(alpaca_server)} == {"2024-03-13"}
    assert files_of(store.home) == before


def test_all_of_it_again_changes_no_file(store, alpaca, bars, clock):
    ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock)
    before = files_of(store.home)
    one = only(ingest(store, alpaca, ["AAPL"], "1m", since(full=True), clock=clock))
    assert one.total("n_unchanged") == bars.ns.shape[0]
    assert files_of(store.home) == before


def test_without_a_start_it_goes_on_where_it_began(store, alpaca, alpaca_server, bars, clock):
    clock.time = moment("2024-02-16T23:00")
    ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock)
    clock.time = moment("2024-03-20T23:00")
    alpaca_server.asked.clear()
    one = only(ingest(store, alpaca, ["AAPL"], "1m", clock=clock))
    # 16 February itself was not over: extended hours went on.
    assert [part.days for part in one.partitions] == [
        "2024-02-16 to 2024-02-29", "2024-03-01 to 2024-03-20",
    ]  # fmt: skip
    columns, _ = store.read_columns("AAPL", "1m")
    np.testing.assert_array_equal(columns.ts, bars.ns)


def test_a_revision_of_a_recent_bar_is_stored_with_what_it_was(store, alpaca, bars, clock):
    ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock)
    clock.advance(timedelta(hours=1))
    old = bars.prices[:, -400].copy()
    bars.prices[3, -400] = old[3] + 0.01
    bars.prices[1, -400] = old[1] + 0.01
    timed = Store(store.home, clock=clock)
    one = only(ingest(timed, alpaca, ["AAPL"], "1m", since(), clock=clock))
    assert (one.total("n_new"), one.total("n_revised")) == (0, 1)
    rows = store.read_revisions("AAPL", "1m").to_pylist()
    assert [(row["field"], row["old"], row["new"]) for row in rows] == [
        ("high", old[1], old[1] + 0.01), ("close", old[3], old[3] + 0.01),
    ]  # fmt: skip
    assert {(row["source"], row["revised_at"]) for row in rows} == {("alpaca", clock.now())}
    columns, _ = store.read_columns("AAPL", "1m")
    assert columns.prices[3, -400] == old[3] + 0.01


def test_a_revision_of_an_old_bar_is_found_by_a_full_run_only(store, alpaca, bars, clock):
    ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock)
    bars.prices[4, 5] += 100
    assert only(ingest(store, alpaca, ["AAPL"], "1m", clock=clock)).total("n_revised") == 0
    full = only(ingest(store, alpaca, ["AAPL"], "1m", since(full=True), clock=clock))
    assert full.total("n_revised") == 1
    assert store.read_revisions("AAPL", "1m").num_rows == 1


def test_a_bar_that_the_vendor_withdraws_stays_and_is_told(
    store, alpaca, alpaca_server, bars, clock
):
    ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock)
    keep = np.arange(bars.ns.shape[0]) != bars.ns.shape[0] - 100
    alpaca_server.series["AAPL", "1m"] = Series(bars.ns[keep], bars.prices[:, keep])
    one = only(ingest(store, alpaca, ["AAPL"], "1m", clock=clock))
    assert one.total("n_withdrawn") == 1
    assert store.read_columns("AAPL", "1m")[0].n_bars == bars.ns.shape[0]


def test_a_bar_in_quarantine_is_neither_new_nor_let_out(store, alpaca, bars, clock):
    ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock)
    bad = bars.ns[-50:-48]
    store.quarantine("AAPL", "1m", bad, reason="misprint", by="test", at=clock.now())
    one = only(ingest(store, alpaca, ["AAPL"], "1m", clock=clock))
    assert (one.total("n_new"), one.total("n_withdrawn")) == (0, 0)
    assert [part.outcome for part in one.partitions] == ["unchanged"]
    assert store.read_quarantine("AAPL", "1m").num_rows == 2


def test_a_store_in_a_bucket_is_filled_and_goes_on_alike(
    store, alpaca, alpaca_server, bars, clock, tmp_path
):
    with s3_server():
        make_bucket("sources")
        home = ObjectPath.of("s3://sources/firm")
        for path in (store.home / "sessions").iterdir():
            (home / "sessions" / path.name).write_bytes(path.read_bytes())
        remote = Store(home, local=tmp_path)
        one = only(ingest(remote, alpaca, ["AAPL"], "1m", since(), clock=clock))
        assert not one.failed
        np.testing.assert_array_equal(remote.read_columns("AAPL", "1m")[0].ts, bars.ns)
        again = only(ingest(remote, alpaca, ["AAPL"], "1m", since(), clock=clock))
        assert [part.outcome for part in again.partitions] == ["unchanged"]


def test_a_bar_that_goes_on_is_not_stored(store, alpaca, bars, clock, ns):
    # 20 March, 15:00:30 in New York: the minute from 15:00 is not over.
    clock.time = moment("2024-03-20T19:00:30")
    ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock)
    columns, _ = store.read_columns("AAPL", "1m")
    assert columns.ts[-1] == ns("2024-03-20T18:59")
    clock.time = moment("2024-03-20T19:01:00")
    one = only(ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock))
    assert one.total("n_new") == 1


def test_a_daily_bar_waits_for_the_close(store, alpaca, alpaca_server, xnys, clock):
    alpaca_server.series["AAPL", "1d"] = local_days(xnys, "2024-01-02", "2024-03-20")
    clock.time = moment("2024-03-20T19:59")
    ingest(store, alpaca, ["AAPL"], "1d", since(), clock=clock)
    assert store.read_columns("AAPL", "1d")[0].session[-1] == days_of(day("2024-03-19"))
    clock.time = moment("2024-03-20T20:00")
    ingest(store, alpaca, ["AAPL"], "1d", since(), clock=clock)
    assert store.read_columns("AAPL", "1d")[0].session[-1] == days_of(day("2024-03-20"))


def test_a_half_day_ends_early(store, alpaca, alpaca_server, xnys, clock, ns):
    # The exchange closed at 13:00 on the day after Thanksgiving, 24 November 2023.
    alpaca_server.series["AAPL", "1m"] = minutes(xnys, "2023-11-20", "2023-11-27")
    alpaca_server.series["AAPL", "1d"] = local_days(xnys, "2023-11-20", "2023-11-27")
    clock.time = moment("2023-11-24T18:00")
    for timeframe in ("1m", "1d"):
        report = ingest(store, alpaca, ["AAPL"], timeframe, since(day("2023-11-20")), clock=clock)
        assert not report.failed
    columns, _ = store.read_columns("AAPL", "1m")
    assert columns.ts[-1] == ns("2023-11-24T17:59")
    assert int((columns.session == days_of(day("2023-11-24"))).sum()) == 210
    assert store.read_columns("AAPL", "1d")[0].session[-1] == days_of(day("2023-11-24"))


def test_bars_before_the_open_follow_once_the_session_is_over(
    store, alpaca, alpaca_server, xnys, clock, ns
):
    inside = minutes(xnys, "2024-03-18", "2024-03-20")
    early = ns("2024-03-20T12:00") + np.arange(30) * MINUTE_NS
    order = np.argsort(np.concatenate([inside.ns, early]))
    every = Series(
        np.concatenate([inside.ns, early])[order],
        np.concatenate([inside.prices, np.full((5, 30), 100.0)], axis=1)[:, order],
    )
    alpaca_server.series["AAPL", "1m"] = every
    clock.time = moment("2024-03-20T15:00")
    ingest(store, alpaca, ["AAPL"], "1m", since(day("2024-03-18")), clock=clock)
    assert not np.isin(early, store.read_columns("AAPL", "1m")[0].ts).any()
    clock.time = moment("2024-03-20T23:00")
    one = only(ingest(store, alpaca, ["AAPL"], "1m", since(day("2024-03-18")), clock=clock))
    assert not one.failed
    np.testing.assert_array_equal(store.read_columns("AAPL", "1m")[0].ts, every.ns)


def test_one_bad_symbol_does_not_stop_the_others(store, alpaca, bars, clock):
    report = ingest(store, alpaca, ["NOPE", "AAPL"], "1m", since(), clock=clock)
    bad, good = report.symbols
    assert bad.error == "alpaca has no 1m bars of NOPE from 2024-01-02 to 2024-03-20"
    assert [one.symbol for one in report.failed] == ["NOPE"]
    assert good.total("n_new") == bars.ns.shape[0]
    assert store.symbols() == ["AAPL"]


def test_a_bad_answer_names_symbol_days_and_reason_and_the_other_months_are_stored(
    store, alpaca, alpaca_server, bars, clock
):
    february = int(np.searchsorted(bars.ns, int(np.datetime64("2024-02-05", "ns").astype(int))))
    good = bars.prices[1, february]
    bars.prices[1, february] = bars.prices[2, february] - 1
    one = only(ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock))
    assert [part.outcome for part in one.partitions] == ["stored", "failed", "stored"]
    error = one.partitions[1].error
    assert error.startswith(
        "AAPL 1m 2024-02-01 to 2024-02-29: the bar of 2024-02-05 14:30:00Z: high "
    )
    assert "is below low" in error
    # Once the vendor has mended it, only that month and the last days are asked for.
    bars.prices[1, february] = good
    one = only(ingest(store, alpaca, ["AAPL"], "1m", clock=clock))
    assert [(part.part, part.n_new) for part in one.partitions] == [
        ("2024-02", 7800),
        ("2024-03", 0),
    ]


def test_days_without_an_answer_are_asked_for_the_next_time(
    store, alpaca, alpaca_server, bars, clock
):
    # Actions, nine pages of January, then the server goes down.
    alpaca_server.faults = [None] * 10 + [Answer(503, b"")] * 6
    report = ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock)
    one = only(report)
    assert [part.outcome for part in one.partitions] == ["stored", "failed"]
    assert "alpaca answered 503, after 6 tries" in one.error
    alpaca_server.asked.clear()
    one = only(ingest(store, alpaca, ["AAPL"], "1m", clock=clock))
    # Without a start it would go on from January until February only by what is missing.
    assert [part.days for part in one.partitions] == [
        "2024-02-01 to 2024-02-29", "2024-03-01 to 2024-03-20",
    ]  # fmt: skip
    np.testing.assert_array_equal(store.read_columns("AAPL", "1m")[0].ts, bars.ns)


def test_when_the_vendor_is_down_the_rest_is_not_asked(store, alpaca, alpaca_server, bars, clock):
    alpaca_server.faults = [Answer(503, b"")] * 100
    report = ingest(store, alpaca, ["A", "B", "C", "D"], "1m", since(), clock=clock)
    assert [one.error for one in report.symbols[2:]] == ["not asked: alpaca is down"] * 2
    assert len(alpaca_server.asked) == 12


def test_months_without_bars_are_asked_for_once(store, alpaca, alpaca_server, bars, clock):
    options = since(day("2023-10-02"))
    ingest(store, alpaca, ["AAPL"], "1m", options, clock=clock)
    alpaca_server.asked.clear()
    ingest(store, alpaca, ["AAPL"], "1m", options, clock=clock)
    assert {query["start"][:10] for query in asked_bars(alpaca_server)} == {"2024-03-13"}


def test_a_month_that_was_removed_is_asked_for_again(store, alpaca, bars, clock):
    ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock)
    shutil.rmtree(store.series_folder("AAPL", "1m"))
    one = only(ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock))
    assert one.total("n_new") == bars.ns.shape[0]


def test_a_split_within_the_days_is_stored_and_shows(store, yahoo, yahoo_server, xnys, clock):
    series = traded_through_split(local_days(xnys, "2022-01-03", "2024-03-20"), "2023-06-12", 4)
    yahoo_server.series["MSFT", "1d"] = series
    yahoo_server.splits["MSFT"] = [("2023-06-12", 4.0, 1.0)]
    yahoo_server.dividends["MSFT"] = [("2022-02-16", 0.62)]
    one = only(ingest(store, yahoo, ["MSFT"], "1d", since(day("2022-01-03")), clock=clock))
    assert not one.failed
    np.testing.assert_array_equal(store.read_columns("MSFT", "1d")[0].prices, series.prices)
    actions = store.read_actions("MSFT")
    assert actions["split_ratio"].tolist() == [1.0, 4.0]
    assert actions["dividend"].tolist() == [0.62, 0.0]
    # A later run hears of the last days only, and keeps what is older.
    ingest(store, yahoo, ["MSFT"], "1d", clock=clock)
    np.testing.assert_array_equal(store.read_actions("MSFT"), actions)


def test_a_split_that_is_announced_later_leaves_raw_bars_as_they_are(
    store, yahoo, yahoo_server, xnys, clock
):
    series = traded_through_split(local_days(xnys, "2024-01-02", "2024-04-12"), "2024-04-01", 2)
    yahoo_server.series["MSFT", "1d"] = series
    ingest(store, yahoo, ["MSFT"], "1d", since(), clock=clock)
    yahoo_server.splits["MSFT"] = [("2024-04-01", 2.0, 1.0)]
    clock.time = moment("2024-04-03T23:00")
    one = only(ingest(store, yahoo, ["MSFT"], "1d", since(full=True), clock=clock))
    assert (one.failed, one.total("n_revised")) == (False, 0)
    # 55 sessions until 20 March, six more in March, three in April.
    assert store.read_columns("MSFT", "1d")[0].n_bars == 64


def test_prices_of_another_scale_are_refused(store, alpaca, bars, clock):
    ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock)
    before = files_of(store.home)
    bars.prices[:4] = np.round(bars.prices[:4] / 4, 4)
    one = only(ingest(store, alpaca, ["AAPL"], "1m", clock=clock))
    assert "are 0.25 times the stored ones" in one.partitions[-1].error
    assert files_of(store.home) == before


def test_bars_of_another_source_are_not_replaced_unless_told(
    store, alpaca, yahoo, alpaca_server, yahoo_server, xnys, clock
):
    alpaca_server.series["MSFT", "1d"] = local_days(xnys, "2024-01-02", "2024-03-20")
    other = local_days(xnys, "2024-01-02", "2024-03-20")
    other.prices[4] += 7
    yahoo_server.series["MSFT", "1d"] = other
    ingest(store, alpaca, ["MSFT"], "1d", since(), clock=clock)
    one = only(ingest(store, yahoo, ["MSFT"], "1d", since(), clock=clock))
    assert "55 bars differ from stored ones (alpaca), first at 2024-01-02T14:30Z" in (
        one.partitions[0].error
    )
    beside = only(ingest(store, yahoo, ["MSFT"], "1d", since(as_source=True), clock=clock))
    assert (beside.stored_as, beside.total("n_new")) == ("MSFT@yahoo", 55)
    assert store.symbols() == ["MSFT", "MSFT@yahoo"]
    told = only(ingest(store, yahoo, ["MSFT"], "1d", since(overwrite=True), clock=clock))
    assert told.total("n_revised") == 55
    assert store.read_revisions("MSFT", "1d").num_rows == 55


def test_days_that_the_vendor_has_no_longer_are_not_asked_for(
    store, yahoo, yahoo_server, xnys, clock
):
    yahoo_server.series["MSFT", "1m"] = minutes(xnys, "2024-03-01", "2024-03-20")
    one = only(ingest(store, yahoo, ["MSFT"], "1m", since(day("2023-01-03")), clock=clock))
    assert one.notes == (
        "yahoo has 1m bars of the last 29 days: asked from 2024-02-21 on, not from 2023-01-03",
    )
    assert not one.failed


def test_a_timeframe_that_the_source_lacks_is_named(store, alpaca, clock):
    with pytest.raises(DataError, match="alpaca has 1m, 5m, 15m, 30m, 1d bars, not 1h"):
        ingest(store, alpaca, ["AAPL"], "1h", clock=clock)


def test_a_symbol_without_bars_fails_the_second_time_as_well(store, alpaca, clock):
    options = since(last=day("2024-02-29"))
    for _ in range(2):
        one = only(ingest(store, alpaca, ["NOPE"], "1m", options, clock=clock))
        assert one.error == "alpaca has no 1m bars of NOPE from 2024-01-02 to 2024-02-29"


def test_a_month_without_bars_amid_others_is_asked_for_again(
    store, alpaca, alpaca_server, bars, clock
):
    keep = (bars.ns // (1440 * MINUTE_NS) < days_of(day("2024-02-01"))) | (
        bars.ns // (1440 * MINUTE_NS) >= days_of(day("2024-03-01"))
    )
    alpaca_server.series["AAPL", "1m"] = Series(bars.ns[keep], bars.prices[:, keep])
    one = only(ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock))
    assert [part.outcome for part in one.partitions] == ["stored", "empty", "stored"]
    alpaca_server.series["AAPL", "1m"] = bars
    one = only(ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock))
    assert [(part.part, part.n_new) for part in one.partitions] == [
        ("2024-02", 7800),
        ("2024-03", 0),
    ]


def test_daily_bars_that_do_not_come_are_asked_for_again(store, alpaca, alpaca_server, xnys, clock):
    every = local_days(xnys, "2024-01-02", "2024-03-20")
    alpaca_server.series["AAPL", "1d"] = Series(every.ns[:21], every.prices[:, :21])
    clock.time = moment("2024-01-31T23:00")
    ingest(store, alpaca, ["AAPL"], "1d", since(), clock=clock)
    clock.time = moment("2024-03-20T23:00")
    assert only(ingest(store, alpaca, ["AAPL"], "1d", clock=clock)).total("n_new") == 0
    alpaca_server.series["AAPL", "1d"] = every
    assert only(ingest(store, alpaca, ["AAPL"], "1d", clock=clock)).total("n_new") == 34


def test_minutes_of_a_rarely_traded_symbol_are_no_other_timeframe(
    store, alpaca, alpaca_server, bars, clock
):
    # About 25 bars a day, so that on many days no two minutes follow each other.
    chosen = np.sort(np.random.default_rng(3).choice(bars.ns.shape[0], 1400, replace=False))
    alpaca_server.series["RARE", "1m"] = Series(bars.ns[chosen], bars.prices[:, chosen])
    one = only(ingest(store, alpaca, ["RARE"], "1m", since(), clock=clock))
    assert (one.failed, one.total("n_new")) == (False, 1400)


def test_bars_of_another_timeframe_than_was_asked_for_are_refused(
    store, alpaca, alpaca_server, bars, clock
):
    alpaca_server.series["AAPL", "1m"] = Series(bars.ns[::5], bars.prices[:, ::5])
    one = only(ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock))
    assert all("most bars are 5m apart" in part.error for part in one.partitions)
    assert store.symbols() == []


@pytest.mark.parametrize("symbol", ["AAPL@yahoo", "../AAPL", "A B", "A,B", "", "A?range=max"])
def test_a_symbol_that_would_be_something_else_is_refused(store, alpaca, clock, symbol):
    with pytest.raises(DataError, match="a symbol must be one word"):
        ingest(store, alpaca, [symbol], "1m", clock=clock)


def test_a_second_source_knows_the_first_ones_instrument(store, yahoo, yahoo_server, xnys, clock):
    yahoo_server.series["MSFT", "1d"] = local_days(xnys, "2024-01-02", "2024-03-20")
    ingest(store, yahoo, ["MSFT"], "1d", since(as_source=True), clock=clock)
    assert [one.symbol for one in store.list_instruments()] == ["MSFT"]
    yahoo_server.currency = "EUR"
    one = only(ingest(store, yahoo, ["MSFT"], "1d", since(), clock=clock))
    assert "prices are in EUR, the stored instrument MSFT is in USD" in one.partitions[0].error


def test_two_sources_that_agree_on_an_action_keep_what_the_first_told_of_it():
    told = action_records([(day("2024-02-01"), 1.0, 0.5, day("2024-01-10"), kind_of("dividend"))])
    same = action_records([(day("2024-02-01"), 1.0, 0.5, None, kind_of("dividend"))])
    other = action_records([(day("2024-02-01"), 1.0, 0.6, None, kind_of("dividend"))])
    span = (day("2024-01-01"), day("2024-12-31"))
    np.testing.assert_array_equal(merge_actions(told, same, *span), told)
    np.testing.assert_array_equal(merge_actions(told, other, *span), other)
    outside = (day("2024-03-01"), day("2024-12-31"))
    np.testing.assert_array_equal(merge_actions(told, told[:0], *outside), told)
    assert merge_actions(told, told[:0], *span).shape == (0,)


WRITER = """
import sys, time
from datetime import date
from pathlib import Path
from foundation.clock import FixedClock
from market_data.action_records import action_records, kind_of
from market_data.ingestion import IngestionOptions, ingest, merge_actions
from market_data.sources.alpaca import AlpacaSource
from market_data.store import Store
from tests.market_data.sources.making import moment
home, url = sys.argv[1:3]
clock = FixedClock(moment("2024-03-20T23:00"))
source = AlpacaSource("PKTEST0KEY0ID", "s3cr3t-of-the-test-account", base_url=url, clock=clock)
report = ingest(Store(Path(home)), source, ["AAPL"], "1m",
                IngestionOptions(first=date(2024, 1, 2)), clock=clock)
sys.exit(1 if report.failed else 0)
"""


def start_writer(store, server):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(store.home), server.url], cwd=CHECKOUT
    )


def test_a_killed_ingestion_goes_on_with_what_is_missing(store, alpaca, alpaca_server, bars, clock):
    # Actions, January and three pages of February; then the server makes it wait.
    alpaca_server.faults = [None] * 13 + [Answer(wait_s=30.0)]
    process = start_writer(store, alpaca_server)
    until = time.monotonic() + 60
    while len(alpaca_server.asked) < 14 and time.monotonic() < until:
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert [file.name[:7] for file in store.find_series("AAPL", "1m").files] == ["2024-01"]
    alpaca_server.asked.clear()
    one = only(ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock))
    assert [part.part for part in one.partitions] == ["2024-02", "2024-03"]
    assert min(query["start"] for query in asked_bars(alpaca_server)) > "2024-02"
    np.testing.assert_array_equal(store.read_columns("AAPL", "1m")[0].ts, bars.ns)


def test_two_ingestions_at_once_share_the_work(store, alpaca_server, bars):
    first, second = (start_writer(store, alpaca_server) for _ in range(2))
    assert (first.wait(120), second.wait(120)) == (0, 0)
    columns, _ = store.read_columns("AAPL", "1m")
    np.testing.assert_array_equal(columns.ts, bars.ns)
    np.testing.assert_array_equal(columns.prices, bars.prices)
    assert store.read_revisions("AAPL", "1m").num_rows == 0
    # January is read again by nobody: whoever comes second finds it there.
    january = [q for q in asked_bars(alpaca_server) if q["start"].startswith("2024-01")]
    assert len(january) == 9


def test_no_file_of_the_home_holds_a_secret(store, alpaca, alpaca_server, bars, clock):
    alpaca_server.faults = [None] * 12 + [Answer(500, f'{{"message": "{SECRET}"}}'.encode())] * 6
    report = ingest(store, alpaca, ["AAPL", "NOPE"], "1m", since(), clock=clock)
    assert report.failed
    ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock)
    assert SECRET not in repr(report)
    for path in store.home.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert SECRET.encode() not in content, path
            assert KEY_ID.encode() not in content, path


class Watching:
    """A source that counts how many of its pages are held at once."""

    def __init__(self, source):
        self.source, self.n_alive, self.n_alive_max = source, 0, 0

    def __getattr__(self, name):
        return getattr(self.source, name)

    def fetch_bars(self, request):
        for page in self.source.fetch_bars(request):
            self.n_alive += 1
            self.n_alive_max = max(self.n_alive_max, self.n_alive)
            weakref.finalize(page.raw.prices, self._let_go)
            yield page

    def _let_go(self):
        self.n_alive -= 1


def test_no_more_than_a_month_is_held_at_once(store, alpaca, bars, clock):
    source = Watching(alpaca)
    one = only(ingest(store, source, ["AAPL"], "1m", since(), clock=clock))
    assert one.total("n_new") == bars.ns.shape[0]
    # January has 8,190 bars in nine pages; all three months have 23.
    assert source.n_alive_max == 9


def test_the_lock_of_one_symbol_does_not_stop_another(store, alpaca, alpaca_server, bars, clock):
    alpaca_server.series["MSFT", "1m"] = bars
    reports = {}

    def work(symbol):
        reports[symbol] = ingest(store, alpaca, [symbol], "1m", since(), clock=clock)

    threads = [threading.Thread(target=work, args=(symbol,)) for symbol in ("AAPL", "MSFT")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(report.failed for report in reports.values())
    assert store.symbols() == ["AAPL", "MSFT"]


def test_a_bar_that_is_revised_between_two_pages_is_refused_once(
    store, alpaca, alpaca_server, bars, clock
):
    """A late bar moves the pages: one bar stands on both, before and after its revision."""
    answered = alpaca_server.answer
    n_bar_pages = 0

    def answer(path, query, headers):
        nonlocal n_bar_pages
        if path.endswith("/bars"):
            n_bar_pages += 1
            if n_bar_pages == 2:
                early = bars.ns[0] - 30 * MINUTE_NS
                prices = np.insert(bars.prices, 0, bars.prices[:, 0], axis=1)
                prices[4, 1000] += 7
                revised = Series(np.insert(bars.ns, 0, early), prices)
                alpaca_server.series["AAPL", "1m"] = revised
        return answered(path, query, headers)

    alpaca_server.answer = answer
    one = only(ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock))
    assert [part.outcome for part in one.partitions] == ["failed", "stored", "stored"]
    # The thousandth bar from 09:30 on: two sessions of 390 and 220 minutes more.
    assert one.partitions[0].error == (
        "AAPL 1m 2024-01-02 to 2024-01-31: the bar of 2024-01-04 18:09:00Z is another bar of the "
        "same time as the bar of 2024-01-04 18:09:00Z, with other values"
    )
    one = only(ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock))
    assert not one.failed
    revised = alpaca_server.series["AAPL", "1m"]
    np.testing.assert_array_equal(store.read_columns("AAPL", "1m")[0].prices, revised.prices)


def test_a_full_disk_leaves_what_is_stored_and_is_no_answer(
    store, alpaca, alpaca_server, bars, clock
):
    half = bars.ns < int(moment("2024-01-16T00:00").timestamp()) * 10**9
    alpaca_server.series["AAPL", "1m"] = Series(bars.ns[half], bars.prices[:, half])
    then = FixedClock(moment("2024-01-16T00:30"))
    assert not only(ingest(store, alpaca, ["AAPL"], "1m", since(), clock=then)).failed
    alpaca_server.series["AAPL", "1m"] = bars
    before = files_of(store.home)
    with largest_file(30_000):
        one = only(ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock))
    assert [part.outcome for part in one.partitions] == ["failed"] * 3
    assert "no space left to write" in one.partitions[0].error
    assert "what was stored before is unchanged" in one.partitions[0].error
    assert files_of(store.home) == before
    assert not only(ingest(store, alpaca, ["AAPL"], "1m", since(), clock=clock)).failed
    np.testing.assert_array_equal(store.read_columns("AAPL", "1m")[0].ts, bars.ns)
