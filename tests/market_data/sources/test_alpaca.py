"""Alpaca's client against a server that speaks Alpaca's protocol."""

from __future__ import annotations

import json

import numpy as np
import pytest

from market_data.sessions import days_of
from market_data.sources.alpaca import AlpacaSource
from market_data.sources.protocol import BarsRequest
from market_data.sources.retrying import Retrying, VendorRefused, VendorUnavailable
from tests.market_data.sources.making import day, minutes, moment
from tests.market_data.sources.servers import KEY_ID, SECRET, Answer

FIRST, LAST = "2024-01-02", "2024-01-05"


@pytest.fixture
def request_():
    return BarsRequest(
        "AAPL", "1m", day(FIRST), day(LAST), moment("2024-01-02T05:00"), moment("2024-01-06T05:00")
    )


@pytest.fixture
def bars(alpaca_server, xnys):
    series = minutes(xnys, FIRST, LAST)
    alpaca_server.series["AAPL", "1m"] = series
    return series


def test_all_pages_together_are_the_bars(alpaca, alpaca_server, bars, request_):
    pages = list(alpaca.fetch_bars(request_))
    # Four sessions of 390 minutes at 1,000 bars a page.
    assert [page.raw.n_bars for page in pages] == [1000, 560]
    np.testing.assert_array_equal(np.concatenate([p.raw.times.ns for p in pages]), bars.ns)
    np.testing.assert_array_equal(
        np.concatenate([p.raw.prices for p in pages], axis=1), bars.prices
    )
    assert [query.get("page_token") for _, query in alpaca_server.asked] == [None, "1000"]
    assert {query["adjustment"] for _, query in alpaca_server.asked} == {"raw"}


def test_a_page_is_held_alone(alpaca, alpaca_server, bars, request_):
    pages = alpaca.fetch_bars(request_)
    next(pages)
    assert len(alpaca_server.asked) == 1


def test_the_same_bars_have_the_same_sha256_and_others_another(
    alpaca, alpaca_server, bars, request_
):
    first = [page.sha256 for page in alpaca.fetch_bars(request_)]
    assert [page.sha256 for page in alpaca.fetch_bars(request_)] == first
    bars.prices[3, 5] += 0.01
    changed = [page.sha256 for page in alpaca.fetch_bars(request_)]
    assert changed[0] != first[0]
    assert changed[1] == first[1]


def test_a_rate_limit_is_waited_out_as_long_as_asked(alpaca, alpaca_server, bars, request_, waits):
    alpaca_server.faults = [None, Answer(429, b'{"message": "too many"}', {"Retry-After": "41"})]
    assert sum(page.raw.n_bars for page in alpaca.fetch_bars(request_)) == 1560
    assert waits == [41.0]
    # The page that failed was asked for again, and no other.
    tokens = [query.get("page_token") for _, query in alpaca_server.asked]
    assert tokens == [None, "1000", "1000"]


def test_alpacas_own_header_of_its_limit_is_heeded(
    alpaca, alpaca_server, bars, request_, waits, clock
):
    reset = str(int(clock.now().timestamp()) + 25)
    alpaca_server.faults = [Answer(429, b"{}", {"X-RateLimit-Reset": reset})]
    list(alpaca.fetch_bars(request_))
    assert waits == [25.0]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Answer(500, b"oops"), "alpaca answered 500: oops"),
        (Answer(503, b'{"message": "down"}'), "alpaca answered 503: down"),
        (Answer(cut=True), "alpaca can't be reached"),
        (Answer(half_json=True), "alpaca sent an answer that is cut off"),
        (Answer(body=b""), "alpaca sent an empty answer"),
        (Answer(body=b"{}"), "alpaca sent an answer without bars"),
        (Answer(wait_s=4.0), "alpaca did not answer within 2 s"),
    ],
)
def test_what_passes_by_itself_is_asked_again(
    alpaca, alpaca_server, bars, request_, waits, fault, said
):
    told = []
    alpaca.retrying = Retrying(sleep=waits.append, told=told.append)
    alpaca.timeout_s = 2.0 if fault.wait_s else alpaca.timeout_s
    alpaca_server.faults = [fault]
    assert sum(page.raw.n_bars for page in alpaca.fetch_bars(request_)) == 1560
    assert len(waits) == 1
    assert told[0].startswith(said)


def test_a_server_that_stays_down_ends_in_one_line(alpaca, alpaca_server, bars, request_, waits):
    alpaca_server.faults = [Answer(502, b"<html>Bad Gateway</html>")] * 10
    with pytest.raises(VendorUnavailable, match=r"AAPL: alpaca answered 502: .*, after 6 tries"):
        list(alpaca.fetch_bars(request_))
    assert len(waits) == 5
    assert len(alpaca_server.asked) == 6


def test_a_server_that_is_not_there_says_so(clock, waits, request_):
    source = AlpacaSource(
        KEY_ID, SECRET, base_url="http://127.0.0.1:9", retrying=Retrying(sleep=waits.append)
    )
    with pytest.raises(VendorUnavailable, match="alpaca can't be reached"):
        list(source.fetch_bars(request_))


def test_a_wrong_key_is_refused_at_once_and_not_shown(alpaca_server, bars, request_, waits):
    wrong = "a-secret-that-is-wrong"
    source = AlpacaSource(
        KEY_ID, wrong, base_url=alpaca_server.url, retrying=Retrying(sleep=waits.append)
    )
    with pytest.raises(VendorRefused, match="does not accept the key") as error:
        list(source.fetch_bars(request_))
    assert waits == []
    assert wrong not in str(error.value)
    assert wrong not in repr(source)
    assert KEY_ID not in repr(source)


def test_a_server_that_repeats_the_secret_does_not_spread_it(alpaca, alpaca_server, bars, request_):
    echo = f'{{"message": "key {KEY_ID} with {SECRET} may not"}}'.encode()
    alpaca_server.faults = [Answer(422, echo)]
    with pytest.raises(VendorRefused) as error:
        list(alpaca.fetch_bars(request_))
    assert str(error.value) == "AAPL: alpaca answered 422: key … with … may not"


def test_no_key_names_the_variables(request_):
    with pytest.raises(VendorRefused, match="QUARTERDECK_ALPACA_KEY_ID"):
        list(AlpacaSource("", "").fetch_bars(request_))


def test_requests_are_told_without_secrets(alpaca, alpaca_server, bars, request_):
    page = next(alpaca.fetch_bars(request_))
    assert page.request == (
        "GET /v2/stocks/bars adjustment=raw end=2024-01-06T04:59:59+00:00 feed=iex "
        "start=2024-01-02T05:00:00+00:00 symbols=AAPL timeframe=1Min"
    )
    assert alpaca_server.seen_headers[0]["APCA-API-SECRET-KEY"] == SECRET


def test_an_unknown_symbol_has_no_pages(alpaca, request_):
    assert list(alpaca.fetch_bars(BarsRequest(
        "NOPE", "1m", request_.first, request_.last, request_.start, request_.end
    ))) == []  # fmt: skip


def test_a_timeframe_that_mixes_hours_is_not_offered(alpaca, request_):
    with pytest.raises(VendorRefused, match="alpaca has 1m, 5m, 15m, 30m, 1d bars, not 1h"):
        list(alpaca.fetch_bars(BarsRequest(
            "AAPL", "1h", request_.first, request_.last, request_.start, request_.end
        )))  # fmt: skip


def test_a_page_token_that_comes_back_ends_the_round(alpaca, alpaca_server, bars, request_):
    row = {"t": "2024-01-02T14:30:00Z", "o": 1, "h": 1, "l": 1, "c": 1, "v": 1}
    body = json.dumps({"bars": {"AAPL": [row]}, "next_page_token": "x"}).encode()
    alpaca_server.faults = [Answer(body=body)] * 3
    with pytest.raises(VendorRefused, match="round in circles"):
        list(alpaca.fetch_bars(request_))


def test_without_a_subscription_the_last_minutes_of_all_exchanges_are_not_asked_for(
    alpaca, alpaca_server, bars, clock, request_
):
    alpaca.feed = "sip"
    clock.time = moment("2024-01-05T20:00")
    list(alpaca.fetch_bars(request_))
    assert alpaca_server.asked[0][1]["end"] == "2024-01-05T19:44:00+00:00"


def test_splits_and_dividends_are_records_and_the_rest_is_noted(alpaca, alpaca_server):
    alpaca_server.splits["AAPL"] = [("2020-08-31", 4, 1), ("2021-03-01", 1, 10)]
    alpaca_server.dividends["AAPL"] = [("2020-08-07", 0.82), ("2020-11-06", 0.205)]
    alpaca_server.other_actions["AAPL"] = {
        "stock_dividends": [{"symbol": "AAPL", "rate": 0.05, "ex_date": "2021-06-01"}],
        "spin_offs": [{"source_symbol": "AAPL", "ex_date": "2021-07-01"}],
    }
    found = alpaca.fetch_actions("AAPL", day("2020-01-01"), day("2021-12-31"))
    rows = [(int(r["ex_date"]), r["split_ratio"], r["dividend"]) for r in found.actions]
    assert rows == [
        (days_of(day("2020-08-07")), 1.0, 0.82),
        (days_of(day("2020-08-31")), 4.0, 0.0),
        (days_of(day("2020-11-06")), 1.0, 0.205),
        (days_of(day("2021-03-01")), 0.1, 0.0),
        # Five new shares for each hundred.
        (days_of(day("2021-06-01")), 1.05, 0.0),
    ]
    assert found.notes == (
        "spin off of 2021-07-01 is neither a split nor a cash dividend: left out",
    )
