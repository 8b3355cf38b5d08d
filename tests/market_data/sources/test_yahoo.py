"""yfinance against a server that speaks Yahoo's chart API."""

from __future__ import annotations

import numpy as np
import pytest

from market_data.sessions import days_of
from market_data.sources.protocol import BarsRequest
from market_data.sources.retrying import Retrying, VendorRefused, VendorUnavailable
from market_data.sources.yahoo import as_decimals
from market_data.timeframes import DAY_NS
from tests.market_data.sources.making import (
    day,
    local_days,
    minutes,
    moment,
    traded_through_split,
)
from tests.market_data.sources.servers import Answer


def daily(symbol, first, last):
    return BarsRequest(symbol, "1d", day(first), day(last), moment(first), moment(f"{last}T23:00"))


@pytest.fixture
def bars(yahoo_server, xnys):
    """Two years with a split of four for one and two dividends around it."""
    series = local_days(xnys, "2022-01-03", "2024-03-20")
    series = traded_through_split(series, "2023-06-12", 4)
    yahoo_server.series["MSFT", "1d"] = series
    yahoo_server.splits["MSFT"] = [("2023-06-12", 4.0, 1.0)]
    yahoo_server.dividends["MSFT"] = [("2022-02-16", 0.62), ("2023-11-15", 0.75)]
    return series


def test_prices_are_turned_back_to_what_was_traded_to_the_bit(yahoo, bars):
    (page,) = yahoo.fetch_bars(daily("MSFT", "2022-01-03", "2024-03-20"))
    np.testing.assert_array_equal(page.raw.prices, bars.prices)
    # 361 sessions from 3 January 2022 to 9 June 2023 come before the split.
    assert page.notes == ("361 bars turned back from split-adjusted prices",)


def test_a_split_after_the_asked_days_counts_as_well(yahoo, bars):
    (page,) = yahoo.fetch_bars(daily("MSFT", "2022-03-01", "2022-03-31"))
    march = (bars.ns >= days_of(day("2022-03-01")) * DAY_NS) & (
        bars.ns < days_of(day("2022-04-01")) * DAY_NS
    )
    np.testing.assert_array_equal(page.raw.prices, bars.prices[:, march])


def test_daily_bars_have_dates_whatever_the_clocks_show(yahoo, bars):
    (page,) = yahoo.fetch_bars(daily("MSFT", "2022-01-03", "2024-03-20"))
    assert not np.any(page.raw.times.ns % DAY_NS)
    np.testing.assert_array_equal(page.raw.times.ns // DAY_NS, bars.ns // DAY_NS)


def test_dividends_are_what_one_share_was_paid(yahoo, bars):
    found = yahoo.fetch_actions("MSFT", day("2022-01-03"), day("2024-03-20"))
    rows = [(int(r["ex_date"]), r["split_ratio"], r["dividend"]) for r in found.actions]
    assert rows == [
        (days_of(day("2022-02-16")), 1.0, 0.62),
        (days_of(day("2023-06-12")), 4.0, 0.0),
        (days_of(day("2023-11-15")), 1.0, 0.75),
    ]


def test_actions_and_daily_bars_are_one_request(yahoo, yahoo_server, bars):
    yahoo.fetch_actions("MSFT", day("2022-01-03"), day("2024-03-20"))
    list(yahoo.fetch_bars(daily("MSFT", "2022-01-03", "2024-03-20")))
    asked = [query for _, query in yahoo_server.asked if "period1" in query]
    assert len(asked) == 1
    assert asked[0]["crumb"] == "crumb.of.test"


def test_a_split_that_yahoo_names_before_it_adjusts_is_refused(yahoo, yahoo_server, bars):
    events = yahoo_server._events
    chart = yahoo_server._chart

    def unadjusted(symbol, interval, series, rows, span):
        kept, yahoo_server.splits = yahoo_server.splits, {}
        answer = chart(symbol, interval, series, rows, span)
        yahoo_server.splits = kept
        if rows.shape[0]:
            answer["chart"]["result"][0]["events"] = events(symbol, span)
        return answer

    yahoo_server._chart = unadjusted
    with pytest.raises(VendorRefused, match="names the split of 2023-06-12 but has not adjusted"):
        list(yahoo.fetch_bars(daily("MSFT", "2022-01-03", "2024-03-20")))


def test_minutes_are_asked_for_a_week_at_a_time(yahoo, yahoo_server, bars, xnys):
    # The week from 11 March is the first with daylight saving time.
    series = minutes(xnys, "2024-03-01", "2024-03-20")
    yahoo_server.series["MSFT", "1m"] = series
    request = BarsRequest(
        "MSFT", "1m", day("2024-03-01"), day("2024-03-20"),
        moment("2024-03-01T05:00"), moment("2024-03-21T04:00"),
    )  # fmt: skip
    pages = list(yahoo.fetch_bars(request))
    assert len(pages) == 3
    ns = np.concatenate([page.raw.times.ns for page in pages])
    np.testing.assert_array_equal(ns, series.ns)
    spans = [
        int(q["period2"]) - int(q["period1"])
        for _, q in yahoo_server.asked if q["interval"] == "1m" and "period1" in q
    ]  # fmt: skip
    assert max(spans) <= 7 * 86_400


def test_bars_without_prices_are_left_out_and_noted(yahoo, bars):
    bars.prices[:, 10] = np.nan
    (page,) = yahoo.fetch_bars(daily("MSFT", "2022-01-03", "2024-03-20"))
    assert page.raw.n_bars == bars.ns.shape[0] - 1
    assert "1 bars without prices left out" in page.notes


def test_an_unknown_symbol_is_refused_with_yahoos_words(yahoo, yahoo_server, waits):
    with pytest.raises(VendorRefused, match="NOPE: yahoo answered 404: No data found"):
        list(yahoo.fetch_bars(daily("NOPE", "2024-01-02", "2024-01-05")))
    assert waits == []


def test_days_without_bars_have_no_pages(yahoo, bars):
    assert list(yahoo.fetch_bars(daily("MSFT", "2024-03-21", "2024-03-22"))) == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Answer(429, b"Too Many Requests", {"Retry-After": "13"}), "yahoo has had too many"),
        (Answer(500, b"oops"), "yahoo answered 500"),
        (Answer(half_json=True), "yahoo sent an answer that is cut off"),
        (Answer(cut=True), "yahoo can't be reached"),
        (Answer(wait_s=4.0), "yahoo did not answer within 2 s"),
        (Answer(body=b'{"chart": {}}'), "yahoo sent an answer without a chart"),
        (Answer(body=b'{"chart": {"result": [{"meta": {}, "timestamp": [1]}]}}'), "yahoo sent"),
    ],
)
def test_what_passes_by_itself_is_asked_again(yahoo, yahoo_server, bars, waits, fault, said):
    told = []
    yahoo.retrying = Retrying(sleep=waits.append, told=told.append)
    # The first request only finds the symbol's time zone, unless that is known already.
    list(yahoo.fetch_bars(daily("MSFT", "2024-03-01", "2024-03-04")))
    yahoo._daily = None
    yahoo.timeout_s = 2.0 if fault.wait_s else yahoo.timeout_s
    yahoo_server.faults = [fault]
    (page,) = yahoo.fetch_bars(daily("MSFT", "2022-01-03", "2024-03-20"))
    assert page.raw.n_bars == bars.ns.shape[0]
    assert len(waits) == 1
    assert told[0].startswith(said)
    if fault.status == 429:
        assert waits == [13.0]


def test_an_answer_is_not_taken_from_yfinances_memory(yahoo, yahoo_server, bars):
    (before,) = yahoo.fetch_bars(daily("MSFT", "2022-01-03", "2022-01-31"))
    bars.prices[3, 3] += 0.01
    yahoo._daily = None
    (after,) = yahoo.fetch_bars(daily("MSFT", "2022-01-03", "2022-01-31"))
    assert after.sha256 != before.sha256


def test_pence_are_turned_to_pounds(yahoo, yahoo_server, bars):
    yahoo_server.currency = "GBp"
    (page,) = yahoo.fetch_bars(daily("MSFT", "2023-07-03", "2024-03-20"))
    assert page.currency == "GBP"
    inside = bars.ns >= days_of(day("2023-07-03")) * DAY_NS
    np.testing.assert_allclose(page.raw.prices[3], bars.prices[3, inside] / 100, rtol=0, atol=1e-9)


def test_numbers_get_back_the_decimals_that_were_meant():
    meant = np.array([135.98, 0.0001, 12345.67, 27.3325, 100.0, 3.14159])
    np.testing.assert_array_equal(as_decimals(np.float32(meant).astype(float)), meant)
    assert np.isnan(as_decimals(np.array([np.nan]))[0])


@pytest.mark.parametrize(
    ("symbol", "calendar"),
    [("AAPL", "XNYS"), ("BRK-B", "XNYS"), ("VOD.L", "XLON"), ("SAP.DE", "XETR"),
     ("EURUSD=X", "FX"), ("BTC-USD", "24/7"), ("^GSPC", "XNYS"), ("^STOXX50E", ""),
     ("ES=F", ""), ("X.UNKNOWN", "")],
)  # fmt: skip
def test_yahoos_symbols_tell_their_calendar(yahoo, symbol, calendar):
    assert yahoo.calendar_of(symbol) == calendar


def test_a_server_that_stays_down_ends_in_one_line(yahoo, yahoo_server, bars, waits):
    yahoo_server.faults = [Answer(503, b"")] * 20
    with pytest.raises(VendorUnavailable, match="MSFT: yahoo answered 503, after 6 tries"):
        list(yahoo.fetch_bars(daily("MSFT", "2022-01-03", "2024-03-20")))
