"""A ticker that belonged to another company earlier: ingestion does not join the two."""

from __future__ import annotations

import numpy as np
import pytest

from foundation.clock import FixedClock
from market_data.ingestion import IngestionOptions, ingest
from market_data.listings import Listings, Security, Ticker, read_listings, write_listings
from market_data.loading import load_bars
from market_data.sources.files import FilesSource
from tests.market_data.sources.making import day, local_days, minutes, moment, walk
from tests.market_data.sources.servers import Series
from tests.market_data.sources.test_files import as_csv, as_minutes
from tests.market_data.sources.test_ingestion import asked_bars, files_of, only


def another(series, *, price=20.0, volume=1.0, seed=9):
    """Return the times of a series with the prices of another company."""
    prices = walk(series.ns.shape[0], seed, price)
    prices[4] = np.round(prices[4] * volume)
    return Series(series.ns, prices)


def both(*parts):
    return Series(
        np.concatenate([part.ns for part in parts]),
        np.concatenate([part.prices for part in parts], axis=1),
    )


@pytest.fixture
def earlier(xnys):
    """Return the days of a company at 100 until June 2022."""
    return local_days(xnys, "2022-01-03", "2022-06-30")


@pytest.fixture
def later(xnys):
    """Return the days of another one at 20 from October 2023 on."""
    return another(local_days(xnys, "2023-10-02", "2024-03-20"))


def bring(store, source, clock, timeframe="1d", **options):
    return only(
        ingest(store, source, ["ACME"], timeframe, IngestionOptions(**options), clock=clock)
    )


def test_days_of_two_companies_in_one_answer_are_refused(
    store, alpaca, alpaca_server, earlier, later, clock
):
    alpaca_server.series["ACME", "1d"] = both(earlier, later)
    one = bring(store, alpaca, clock, first=day("2022-01-03"))
    assert store.find_series("ACME", "1d") is None
    # From 1 July 2022 to 29 September 2023 New York has 314 sessions.
    assert one.error.startswith(
        "bars under ACME look like those of 2 companies: no bars for 314 sessions between "
        "2022-06-30 and 2023-10-02, prices × 0.2"
    )
    assert "ACME~2022,ACME,2022-01-03,2022-06-30; ACME,ACME,2023-10-02,." in one.error
    assert "--split-listing" in one.error
    assert one.error.endswith("If it is one company: ACME,ACME,2022-01-03,")


def test_the_lines_of_the_refusal_let_the_bars_in_and_keep_the_companies_apart(
    store, alpaca, alpaca_server, earlier, later, clock
):
    alpaca_server.series["ACME", "1d"] = both(earlier, later)
    write_listings(
        store,
        Listings(
            (
                Security("ACME~2022", (Ticker("ACME", day("2022-01-03"), day("2022-06-30")),)),
                Security("ACME", (Ticker("ACME", day("2023-10-02")),)),
            )
        ),
    )
    one = bring(store, alpaca, clock, first=day("2022-01-03"))
    assert not one.failed
    # Between two companies no session is missing.
    names = {found.name for part in one.partitions for found in part.findings}
    assert not names & {"missing_sessions", "long_gap"}
    loaded = load_bars(store, "ACME", "1d")
    np.testing.assert_array_equal(loaded.bars.prices, later.prices)


def test_a_listing_of_one_company_lets_the_bars_in(
    store, alpaca, alpaca_server, earlier, later, clock
):
    alpaca_server.series["ACME", "1d"] = both(earlier, later)
    write_listings(store, Listings((Security("ACME", (Ticker("ACME", day("2022-01-03")),)),)))
    assert not bring(store, alpaca, clock, first=day("2022-01-03")).failed
    assert load_bars(store, "ACME", "1d").bars.n_bars == earlier.ns.shape[0] + later.ns.shape[0]


def test_a_split_listing_is_written_down_where_the_user_says_so(
    store, alpaca, alpaca_server, earlier, later, clock
):
    alpaca_server.series["ACME", "1d"] = both(earlier, later)
    one = bring(store, alpaca, clock, first=day("2022-01-03"), split_listing=True)
    assert not one.failed
    assert one.notes[0].endswith("listed as ACME~2022, ACME")
    assert [security.id for security in read_listings(store).securities] == ["ACME", "ACME~2022"]
    np.testing.assert_array_equal(load_bars(store, "ACME", "1d").bars.prices, later.prices)
    np.testing.assert_array_equal(load_bars(store, "ACME~2022", "1d").bars.prices, earlier.prices)


def test_another_company_that_comes_a_year_later_is_not_joined_by_the_nightly_run(
    store, alpaca, alpaca_server, earlier, later
):
    alpaca_server.series["ACME", "1d"] = earlier
    then = FixedClock(moment("2022-07-01T23:00"))
    assert not bring(store, alpaca, then, first=day("2022-01-03")).failed
    before = store.find_series("ACME", "1d").files
    alpaca_server.series["ACME", "1d"] = both(earlier, later)
    one = bring(store, alpaca, FixedClock(moment("2024-03-20T23:00")))
    assert one.error.startswith("bars under ACME look like those of 2 companies")
    assert store.find_series("ACME", "1d").files == before


@pytest.fixture
def earlier_minutes(xnys):
    return minutes(xnys, "2023-02-01", "2023-03-31", step=30)


@pytest.fixture
def later_minutes(xnys):
    return another(minutes(xnys, "2023-10-02", "2023-12-29", step=30))


def test_months_before_another_company_stay_and_those_after_it_are_not_stored(
    store, alpaca, alpaca_server, earlier_minutes, later_minutes
):
    alpaca_server.series["ACME", "30m"] = both(earlier_minutes, later_minutes)
    clock = FixedClock(moment("2023-12-30T23:00"))
    one = bring(store, alpaca, clock, "30m", first=day("2023-02-01"))
    # April to September: 19 + 22 + 21 + 20 + 23 + 20 sessions.
    assert one.error.startswith("bars under ACME look like those of 2 companies: no bars for 125 ")
    # The days of the whole series, though only its last months were looked at.
    assert "ACME~2023,ACME,2023-02-01,2023-03-31; ACME,ACME,2023-10-02,." in one.error
    columns, _ = store.read_columns("ACME", "30m")
    np.testing.assert_array_equal(columns.ts, earlier_minutes.ns)
    # November was not even asked for: it can be no other company's.
    assert max(query["start"][:7] for query in asked_bars(alpaca_server)) == "2023-10"
    again = bring(store, alpaca, clock, "30m")
    assert again.error == one.error


def test_history_that_is_asked_for_later_does_not_join_an_earlier_company(
    store, alpaca, alpaca_server, earlier_minutes, later_minutes
):
    alpaca_server.series["ACME", "30m"] = both(earlier_minutes, later_minutes)
    clock = FixedClock(moment("2023-12-30T23:00"))
    assert not bring(store, alpaca, clock, "30m", first=day("2023-10-02")).failed
    one = bring(store, alpaca, clock, "30m", first=day("2023-02-01"))
    assert one.error.startswith("bars under ACME look like those of 2 companies")
    columns, _ = store.read_columns("ACME", "30m")
    np.testing.assert_array_equal(columns.ts, later_minutes.ns)


def test_days_that_were_not_asked_for_are_no_sign_of_another_company(
    store, alpaca, alpaca_server, xnys
):
    """A share that grows tenfold: its last months are stored before its first ones."""
    series = minutes(xnys, "2023-01-03", "2023-12-29", step=30)
    growth = np.linspace(1, 10, series.ns.shape[0])
    series.prices[:4] = np.round(series.prices[:4] * growth, 2)
    alpaca_server.series["ACME", "30m"] = series
    clock = FixedClock(moment("2023-12-30T23:00"))
    assert not bring(store, alpaca, clock, "30m", first=day("2023-11-01")).failed
    lone = bring(store, alpaca, clock, "30m", first=day("2023-01-03"), last=day("2023-02-28"))
    assert (lone.error, lone.failed) == ("", False)
    assert not bring(store, alpaca, clock, "30m", first=day("2023-01-03")).failed
    np.testing.assert_array_equal(store.read_columns("ACME", "30m")[0].ts, series.ns)


def test_a_share_that_was_suspended_for_months_goes_on(store, alpaca, alpaca_server, earlier, xnys):
    after = local_days(xnys, "2022-12-01", "2023-03-20")
    alpaca_server.series["ACME", "1d"] = both(earlier, after)
    clock = FixedClock(moment("2023-03-20T23:00"))
    assert not bring(store, alpaca, clock, first=day("2022-01-03")).failed


def test_a_file_of_two_companies_is_refused_as_a_whole(store, earlier, later, tmp_path):
    path = tmp_path / "ACME.csv"
    path.write_text(as_csv(both(earlier, later)))
    one = bring(store, FilesSource(path), None)
    assert [part.outcome for part in one.partitions] == ["failed"]
    assert one.partitions[0].error.startswith(
        "ACME 1d: ACME.csv: bars under ACME look like those of 2 companies"
    )
    assert store.find_series("ACME", "1d") is None
    # It is no file that is known: once the listing is there it comes in.
    assert not bring(store, FilesSource(path), None, split_listing=True).failed


def test_of_a_large_file_the_months_of_the_first_company_come_and_one_line_says_why_no_others(
    store, earlier_minutes, later_minutes, tmp_path, monkeypatch
):
    monkeypatch.setattr("market_data.sources.files.FEWEST_TO_SPLIT", 10)
    path = tmp_path / "ACME.csv"
    path.write_text(as_minutes(both(earlier_minutes, later_minutes)))
    source = FilesSource(path, calendar="XNYS")
    one = bring(store, source, None, "30m")
    assert [part.outcome for part in one.partitions] == ["stored", "stored", "failed"]
    np.testing.assert_array_equal(store.read_columns("ACME", "30m")[0].ts, earlier_minutes.ns)
    before = files_of(store.home)
    assert bring(store, source, None, "30m").failed
    assert files_of(store.home) == before


def test_a_second_source_is_looked_at_alike(store, alpaca, alpaca_server, earlier, later, clock):
    alpaca_server.series["ACME", "1d"] = both(earlier, later)
    one = bring(store, alpaca, clock, first=day("2022-01-03"), as_source=True)
    assert one.error.startswith("bars under ACME@alpaca look like those of 2 companies")
    assert "ACME~2022,ACME,2022-01-03,2022-06-30" in one.error
    assert not bring(
        store, alpaca, clock, first=day("2022-01-03"), as_source=True, split_listing=True
    ).failed
    assert [one.id for one in read_listings(store).securities] == ["ACME", "ACME~2022"]
