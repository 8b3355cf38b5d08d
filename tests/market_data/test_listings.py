"""Securities and their tickers: what FB meant on which day, and how shares end.

The cases are real ones: Facebook was FB from 2012-05-18 and has been META since
2022-06-09; another company was FB from 1999 to 2003. Prices are made up.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from foundation.errors import DataError
from foundation.home import CHECKOUT
from foundation.objects import ObjectPath
from market_data.action_records import action_records
from market_data.building import dated_actions
from market_data.columns import BarColumns
from market_data.listings import (
    Delisting,
    Listings,
    Security,
    Ticker,
    change_listings,
    check_listings,
    import_listings,
    read_listings,
    remove_security,
    with_securities,
    write_listings,
)
from market_data.loading import load_bars
from market_data.sessions import days_of
from market_data.store import Store
from tests.local_s3 import make_bucket, s3_server
from trading.bars import NO_SHARES
from trading.instruments import Instrument

META = Security(
    "META",
    (
        Ticker("FB", date(2012, 5, 18), date(2022, 6, 8)),
        Ticker("META", date(2022, 6, 9), None),
    ),
)
FB_1999 = Security(
    "FB~1999",
    (Ticker("FB", date(1999, 9, 29), date(2003, 3, 28)),),
    Delisting(date(2003, 3, 28), "unknown"),
)


@pytest.fixture
def listed(store: Store) -> Store:
    """Return a store that knows of both companies."""
    write_listings(store, Listings((META, FB_1999)))
    return store


def put(
    store: Store,
    symbol: str,
    first: str,
    closes: list[float],
    *,
    closing: float | None = None,
) -> np.ndarray:
    """Store daily bars of one session after the other; return their dates.

    They have no range, but where the first one's close is given.
    """
    day = days_of(date.fromisoformat(first))
    table = store.sessions("XNYS", (day - 10) * 86_400 * 10**9, (day + 400) * 86_400 * 10**9)
    start = int(np.searchsorted(table.date, day))
    rows = slice(start, start + len(closes))
    assert table.date[start] == day, f"{first} is no session"
    close = np.array(closes, np.float64)
    prices = np.stack([close, close, close, close, close * 10])
    if closing is not None:
        prices[1:4, 0] = max(closing, close[0]), min(closing, close[0]), closing
    columns = BarColumns(table.open[rows], table.date[rows], prices)
    store.write_bars(symbol, "1d", columns, calendar="XNYS", source="test")
    return table.date[rows]


def closes(loaded) -> list[float]:
    return loaded.bars.prices[3].tolist()


# What a ticker means.


def test_a_ticker_means_its_owner_of_the_day_and_without_a_day_the_latest():
    listings = Listings((META, FB_1999))
    assert listings.resolve("FB") == META
    assert listings.resolve("FB", date(2022, 1, 1)) == META
    assert listings.resolve("FB", date(2001, 1, 1)) == FB_1999
    # After the first company, and before Facebook: still its last owner's.
    assert listings.resolve("FB", date(2005, 1, 3)) == FB_1999
    assert listings.resolve("FB", date(2030, 1, 1)) == META
    assert listings.resolve("META", date(2015, 1, 2)) == META
    assert listings.resolve("FB~1999", date(2024, 1, 1)) == FB_1999
    assert listings.resolve("FB@yahoo") == META
    assert listings.resolve("AAPL") is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            replace(FB_1999, tickers=(Ticker("FB", date(1999, 9, 29), date(2012, 5, 18)),)),
            "both must be the last session",
        ),
        (
            replace(
                FB_1999,
                tickers=(Ticker("FB", date(1999, 9, 29), date(2012, 5, 18)),),
                delisting=None,
            ),
            "FB~1999 and META both have the ticker FB on 2012-05-18",
        ),
        (replace(META, id="FB~1999"), "FB~1999 is there twice"),
        (replace(FB_1999, id="FB"), r"can have the id FB; call it FB~1999"),
        (replace(FB_1999, id="FB@1999"), "an id without spaces or @"),
        (replace(FB_1999, tickers=()), "and a ticker, got 'FB~1999'"),
        (
            replace(META, id="M", tickers=(Ticker("A"), Ticker("B"))),
            "overlap; a change must state the last day of one ticker",
        ),
        (
            replace(META, id="M", tickers=(Ticker("A", date(2020, 1, 2), date(2020, 1, 1)),)),
            "ends before it begins",
        ),
    ],
)
def test_listings_that_contradict_themselves_are_refused(changed, message):
    twice = (FB_1999,) if changed.tickers == META.tickers else ()
    with pytest.raises(DataError, match=message):
        check_listings(Listings((META, changed, *twice)))


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (Delisting(date(2003, 3, 28), "sold"), "must be one of acquired, merged, bankrupt"),
        (Delisting(date(2003, 3, 28), "acquired"), "acquired needs the cash for each share"),
        (Delisting(date(2003, 3, 28), "merged", 5.0), "merged needs the successor and its ratio"),
        (Delisting(date(2003, 3, 28), "merged", None, "BIG"), "a successor needs a ratio above 0"),
        (Delisting(date(2003, 3, 28), "unknown", None, "", 2.0), "and a ratio a successor, got"),
        (Delisting(date(2003, 3, 28), "bankrupt", -1.0), "must be 0 or more, got -1"),
        (Delisting(date(2003, 3, 28), "merged", None, "FB", 1.0), "can't be its own successor"),
    ],
)
def test_a_delisting_must_state_what_became_of_a_share(end, message):
    with pytest.raises(DataError, match=message):
        check_listings(Listings((replace(FB_1999, delisting=end),)))


# In files and in the store.

CSV = """security,ticker,valid_from,valid_to,delisted_on,reason,cash,successor,ratio
META,FB,2012-05-18,2022-06-08,,,,,
META,META,2022-06-09,,,,,,
FB~1999,FB,1999-09-29,,2003-03-28,unknown,,,
OLD,OLD,2001-01-02,,2009-05-29,bankrupt,,,
BOUGHT,BOUGHT,,,2010-06-30,acquired,12.5,,
JOINED,JOINED,,,2011-06-30,merged,1.25,META,0.5
"""


def test_listings_are_imported_from_a_table_and_read_as_they_were(store: Store, tmp_path: Path):
    path = tmp_path / "listings.csv"
    path.write_text(CSV)
    assert [one.id for one in import_listings(store, path)] == [
        "META",
        "FB~1999",
        "OLD",
        "BOUGHT",
        "JOINED",
    ]
    listings = read_listings(store)
    assert listings.find("META") == META
    assert listings.find("FB~1999") == FB_1999
    old, joined = listings.find("OLD"), listings.find("JOINED")
    assert old is not None
    assert joined is not None
    assert old.delisting == Delisting(date(2009, 5, 29), "bankrupt", 0.0)
    assert old.valid_to == date(2009, 5, 29)
    assert joined.delisting == Delisting(date(2011, 6, 30), "merged", 1.25, "META", 0.5)
    before = (store.home / "listings.json").stat().st_mtime_ns
    import_listings(store, path)
    assert (store.home / "listings.json").stat().st_mtime_ns == before
    remove_security(store, "OLD")
    assert read_listings(store).find("OLD") is None
    with pytest.raises(DataError, match="no security OLD in the listings; there are BOUGHT, FB~"):
        remove_security(store, "OLD")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("security,valid_from\nA,2020-01-02\n", "no column for ticker; there are security, val"),
        ("ticker\n", "the file has no listings"),
        ("ticker,valid_from\nA,soon\n", "line 2: valid_from 'soon' is no date as 2024-01-31"),
        ("ticker,cash\nA,3\n", "line 2: cash is stated without delisted_on"),
        ("ticker,delisted_on,cash\nA,2020-01-02,much\n", "line 2: cash is 'much', which is no"),
        (
            "ticker,valid_from,valid_to,delisted_on,reason\n"
            "A,,2019-01-02,2020-01-02,bankrupt\nA,2019-01-03,,2020-01-03,bankrupt\n",
            "line 3: A ends otherwise on a line before",
        ),
        (
            "security,ticker,valid_from\nFB~1999,FB,1999-09-29\nMETA,FB,2012-05-18\n",
            "listings.csv: FB~1999 and META both have the ticker FB on 2012-05-18",
        ),
    ],
)
def test_a_wrong_table_of_listings_is_refused_and_nothing_is_changed(
    store, tmp_path, text, message
):
    path = tmp_path / "listings.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        import_listings(store, path)
    assert read_listings(store) == Listings()


# One series over a change of the ticker.


def test_series_of_two_tickers_are_one_security_asked_for_by_either(listed: Store):
    put(listed, "FB", "2022-06-06", [190, 191, 192])
    put(listed, "META", "2022-06-09", [193, 194])
    meta = load_bars(listed, "META", "1d")
    assert closes(meta) == [190, 191, 192, 193, 194]
    assert meta.bars.instrument.symbol == "META"
    assert meta.bars.instrument.valid_from == date(2012, 5, 18)
    assert [x.name for x in meta.findings] == ["series_joined"]
    by_old_name = load_bars(listed, "FB", "1d")
    assert by_old_name.fingerprint == meta.fingerprint
    assert by_old_name.asked == "FB"
    then = load_bars(listed, "FB", "1d", end=date(2022, 6, 7))
    assert closes(then) == [190, 191]
    assert then.fingerprint == load_bars(listed, "META", "1d", end=date(2022, 6, 7)).fingerprint


def test_bars_of_the_company_that_had_the_ticker_before_are_not_joined(listed: Store):
    """Both companies' bars come in one file, under the one ticker that both had."""
    put(listed, "FB", "2003-03-26", [31, 32, 33])
    put(listed, "FB", "2012-05-18", [38, 34])
    assert closes(load_bars(listed, "FB", "1d")) == [38, 34]
    assert closes(load_bars(listed, "FB~1999", "1d")) == [31, 32, 33]
    assert closes(load_bars(listed, "FB", "1d", end=date(2003, 3, 27))) == [31, 32]
    assert load_bars(listed, "FB~1999", "1d").bars.instrument.symbol == "FB~1999"


def test_bars_under_a_later_ticker_are_the_securitys_before_the_change_too(listed: Store):
    """A vendor calls all of its history by the last ticker."""
    put(listed, "META", "2022-06-07", [191, 192, 193])
    assert closes(load_bars(listed, "FB", "1d")) == [191, 192, 193]


def test_bars_under_the_ticker_of_the_day_win_and_a_difference_is_told(listed: Store):
    put(listed, "META", "2022-06-07", [191, 192, 193])
    put(listed, "FB", "2022-06-07", [191, 192.5])
    loaded = load_bars(listed, "META", "1d")
    assert closes(loaded) == [191, 192.5, 193]
    differ = next(x for x in loaded.findings if x.name == "joined_series_differ")
    assert differ.count == 1
    assert "taken from FB, its ticker then" in differ.message


def test_days_on_which_another_security_had_the_ticker_are_not_the_later_owners(store: Store):
    """META was the ticker of a fund until January 2022; Facebook took it in June."""
    fund = Security("METV", (Ticker("META", date(2021, 6, 30), date(2022, 1, 28)),))
    write_listings(store, Listings((META, fund)))
    put(store, "META", "2022-01-27", [15, 15.5])
    put(store, "META", "2022-06-09", [193])
    assert closes(load_bars(store, "META", "1d")) == [193]
    assert closes(load_bars(store, "METV", "1d")) == [15, 15.5]
    assert closes(load_bars(store, "META", "1d", end=date(2022, 2, 1))) == [15, 15.5]


def test_dividends_of_whoever_had_the_ticker_are_not_those_of_its_later_owner(store: Store):
    """What the fund paid as META is not paid on Facebook, which was listed as FB then."""
    fund = Security("METV", (Ticker("META", date(2021, 6, 30), date(2022, 1, 28)),))
    write_listings(store, Listings((META, fund)))
    put(store, "FB", "2022-01-25", [300, 301, 302, 303])
    put(store, "META", "2022-01-26", [15, 15, 15])
    store.write_actions("META", dated_actions([(date(2022, 1, 27), 1.0, 0.2)]), "a file")
    assert load_bars(store, "META", "1d").bars.actions.shape == (0,)
    assert load_bars(store, "METV", "1d").bars.actions.tolist() == [(1, 1.0, 0.2)]


def test_actions_of_both_tickers_are_one_table_and_those_of_the_earlier_owner_are_not(listed):
    put(listed, "FB", "2003-03-26", [31, 32, 33])
    put(listed, "FB", "2022-06-03", [190, 191, 192, 192])
    put(listed, "META", "2022-06-09", [193, 97])
    listed.write_actions(
        "FB",
        dated_actions([(date(2003, 3, 27), 1.0, 0.5), (date(2022, 6, 6), 1.0, 0.25)]),
        "a file",
    )
    listed.write_actions("META", dated_actions([(date(2022, 6, 10), 2.0, 0.0)]), "a file")
    meta = load_bars(listed, "META", "1d")
    assert meta.bars.actions.tolist() == [(1, 1.0, 0.25), (5, 2.0, 0.0)]
    earlier = load_bars(listed, "FB~1999", "1d")
    assert earlier.bars.actions[0].tolist() == (1, 1.0, 0.5)


def test_weeks_of_a_security_are_made_of_the_days_of_both_tickers(listed: Store):
    put(listed, "FB", "2022-06-06", [190, 191, 189])
    put(listed, "META", "2022-06-09", [193, 192])
    (week,) = load_bars(listed, "META", "1w").bars.prices.T
    assert week.tolist() == [190, 193, 189, 192, 9550]


def test_the_last_tickers_instrument_is_the_securitys(listed: Store):
    listed.write_instrument(Instrument("META", tick=0.01, calendar="XNYS"))
    put(listed, "FB", "2022-06-06", [190])
    assert load_bars(listed, "FB", "1d").bars.instrument.tick == 0.01


def test_series_of_unlike_calendars_are_not_joined(listed: Store):
    put(listed, "FB", "2022-06-06", [190])
    columns, _ = listed.read_columns("FB", "1d")
    listed.write_bars("META", "1d", columns, calendar="24/7", source="test")
    with pytest.raises(DataError, match="must have one calendar to be joined, they have 24/7 and"):
        load_bars(listed, "META", "1d")


def test_a_security_without_bars_says_under_which_names_it_was_looked_for(listed: Store):
    with pytest.raises(DataError, match=r"no 1d bars of META are stored under META, FB \(FB from"):
        load_bars(listed, "FB", "1d")


def test_a_source_of_its_own_is_joined_by_itself(listed: Store):
    put(listed, "FB@yahoo", "2022-06-06", [190])
    put(listed, "META@yahoo", "2022-06-09", [193])
    put(listed, "META", "2022-06-10", [200])
    loaded = load_bars(listed, "FB@yahoo", "1d")
    assert closes(loaded) == [190, 193]
    assert loaded.bars.instrument.symbol == "META@yahoo"


# Validity of an instrument.


def test_bars_outside_an_instruments_dates_are_left_out_and_told(store: Store):
    put(store, "X", "2024-01-02", [10, 11, 12, 13])
    store.write_instrument(
        Instrument("X", valid_from=date(2024, 1, 3), valid_to=date(2024, 1, 4), calendar="XNYS")
    )
    loaded = load_bars(store, "X", "1d")
    assert closes(loaded) == [11, 12]
    (finding,) = loaded.findings
    assert (finding.name, finding.count) == ("outside_validity", 2)
    assert "validity of X (2024-01-03 to 2024-01-04)" in finding.message


# The end of a security.


def ended(store: Store, end: Delisting, prices: list[float], first: str = "2024-01-02") -> None:
    put(store, "X", first, prices)
    write_listings(store, Listings((Security("X", (Ticker("X", None, end.date),), end),)))


def test_a_delisting_is_the_last_action_of_the_bars_with_what_a_share_was_paid(store: Store):
    ended(store, Delisting(date(2024, 1, 4), "acquired", 12.5), [10, 11, 12])
    loaded = load_bars(store, "X", "1d")
    assert loaded.bars.actions.tolist() == [(2, NO_SHARES, 12.5)]
    (finding,) = loaded.findings
    assert finding.message == (
        "X was delisted (acquired on 2024-01-04, 12.5 in cash for each share)"
    )


def test_before_its_last_session_nobody_knows_of_a_delisting(store: Store):
    ended(store, Delisting(date(2024, 1, 4), "bankrupt", 0.0), [10, 11, 12])
    for bound in ({"end": date(2024, 1, 3)}, {"as_of": date(2024, 1, 3)}):
        loaded = load_bars(store, "X", "1d", **bound)
        assert loaded.bars.actions.shape == (0,)
        assert loaded.findings == ()
    assert load_bars(store, "X", "1d", as_of=date(2024, 1, 4)).bars.actions.shape == (1,)


def test_bars_after_the_delisting_belong_to_nobody(store: Store):
    ended(store, Delisting(date(2024, 1, 4), "bankrupt", 0.0), [10, 11, 12, 0.5, 0.4])
    loaded = load_bars(store, "X", "1d")
    assert closes(loaded) == [10, 11, 12]
    assert [x.name for x in loaded.findings] == ["outside_validity", "delisted"]
    assert "2 bars under X, first 2024-01-05, are of days on which the listings name no owner" in (
        loaded.findings[0].message
    )


def test_an_unknown_value_is_the_last_close_and_said_so(store: Store):
    ended(store, Delisting(date(2024, 1, 4), "unknown"), [10, 11, 12])
    loaded = load_bars(store, "X", "1d")
    assert loaded.bars.actions.tolist() == [(2, NO_SHARES, 12.0)]
    assert [x.name for x in loaded.findings] == ["delisting_value_unknown"]
    assert "positions are closed at the last close, 12" in loaded.findings[0].message


def test_shares_of_a_successor_count_at_its_close_of_the_last_session(store: Store):
    """1.25 in cash and half a share at 60; what it costs a day later is not known yet."""
    ended(store, Delisting(date(2024, 1, 4), "merged", 1.25, "BIG", 0.5), [10, 11, 12])
    put(store, "BIG", "2024-01-03", [58, 60, 90])
    loaded = load_bars(store, "X", "1d")
    assert loaded.bars.actions["dividend"].tolist() == [31.25]
    assert "BIG counts 60, its close on 2024-01-04: 31.25 for each share" in (
        loaded.findings[0].message
    )


def test_a_successor_that_begins_with_the_merger_counts_at_its_first_open(store: Store):
    ended(store, Delisting(date(2024, 1, 4), "merged", None, "NEW", 2.0), [10, 11, 12])
    put(store, "NEW", "2024-01-05", [7, 8], closing=7.5)
    loaded = load_bars(store, "X", "1d")
    assert loaded.bars.actions["dividend"].tolist() == [14.0]
    assert "its first open, on 2024-01-05" in loaded.findings[0].message


def test_a_successor_without_bars_makes_the_value_unknown(store: Store):
    ended(store, Delisting(date(2024, 1, 4), "merged", 1.0, "BIG", 0.5), [10, 11, 12])
    loaded = load_bars(store, "X", "1d")
    assert loaded.bars.actions["dividend"].tolist() == [12.0]
    assert "no bars of BIG are stored" in loaded.findings[0].message


def test_a_halt_before_the_delisting_ends_with_the_last_bar(store: Store):
    ended(store, Delisting(date(2024, 1, 12), "bankrupt", 0.0), [10, 11, 12])
    loaded = load_bars(store, "X", "1d")
    assert loaded.bars.actions.tolist() == [(2, NO_SHARES, 0.0)]
    # From Friday 5 to Friday 12 January.
    assert loaded.findings[0].message.endswith("the last bar is 6 sessions before")


def test_weeks_end_with_the_last_whole_one_before_a_delisting(store: Store):
    """From Tuesday 2 to Wednesday 10 January: one whole week, and three days of the next."""
    ended(store, Delisting(date(2024, 1, 10), "acquired", 9.0), [10, 11, 12, 13, 14, 15, 16])
    loaded = load_bars(store, "X", "1w")
    assert closes(loaded) == [13]
    assert loaded.bars.actions.tolist() == [(0, NO_SHARES, 9.0)]


def test_minutes_end_with_the_last_one_of_the_last_session(store: Store):
    put(store, "X", "2024-01-04", [10, 10])
    daily, _ = store.read_columns("X", "1d")
    minute = 60 * 10**9
    ts = np.concatenate([daily.ts[:1] + k * minute for k in range(3)] + [daily.ts[1:]])
    columns = BarColumns(ts, daily.session[[0, 0, 0, 1]], np.full((5, 4), 10.0))
    store.write_bars("X", "1m", columns, calendar="XNYS", source="test")
    end = Delisting(date(2024, 1, 4), "acquired", 12.5)
    write_listings(store, Listings((Security("X", (Ticker("X", None, end.date),), end),)))
    loaded = load_bars(store, "X", "1m")
    assert loaded.bars.actions.tolist() == [(2, NO_SHARES, 12.5)]


def test_bars_that_end_long_before_a_delisting_are_not_ended_by_it(store: Store):
    ended(store, Delisting(date(2024, 3, 28), "bankrupt", 0.0), [10, 11, 12])
    loaded = load_bars(store, "X", "1d")
    assert loaded.bars.actions.shape == (0,)
    assert [x.name for x in loaded.findings] == ["delisting_beyond_bars"]


# As of a day.


def test_bars_as_of_a_day_know_what_was_announced_by_then(store: Store):
    """2 for 1 on the 4th; 1.00 paid on the 5th, which became known on the 8th."""
    put(store, "X", "2024-01-02", [100, 100, 50, 49, 49])
    records = action_records(
        [
            (date(2024, 1, 4), 2.0, 0.0, date(2023, 12, 20), 1),
            (date(2024, 1, 5), 1.0, 1.0, date(2024, 1, 8), 3),
        ]
    )
    store.write_actions("X", records, "a file")

    def as_of(day: int, adjust: str) -> list[float]:
        return closes(load_bars(store, "X", "1d", adjust=adjust, as_of=date(2024, 1, day)))

    assert as_of(3, "all") == [100, 100]
    assert as_of(4, "all") == [50, 50, 50]
    assert as_of(5, "all") == [50, 50, 50, 49]
    assert as_of(8, "all") == pytest.approx([49, 49, 49, 49, 49])
    assert as_of(8, "splits") == [50, 50, 50, 49, 49]
    raw = load_bars(store, "X", "1d", as_of=date(2024, 1, 5))
    assert closes(raw) == [100, 100, 50, 49]
    assert raw.bars.actions.tolist() == [(2, 2.0, 0.0)]


def test_an_earlier_end_bounds_bars_as_of_a_day(store: Store):
    put(store, "X", "2024-01-02", [100, 100, 50])
    store.write_actions("X", dated_actions([(date(2024, 1, 4), 2.0, 0.0)]), "a file")
    loaded = load_bars(store, "X", "1d", end=date(2024, 1, 3), as_of=date(2024, 1, 4))
    assert closes(loaded) == [100, 100]


# Several who write at once.

_WRITER = """
import sys
from datetime import date
from pathlib import Path
from market_data.action_records import action_records
from market_data.listings import import_listings
from market_data.store import Store
import numpy as np
home = sys.argv[1]
store = Store(home if "://" in home else Path(home))
name, folder, n = sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
for i in range(n):
    file = folder / f"{name}{i}.csv"
    file.write_text(f"ticker,valid_from\\n{name}{i},2020-01-02\\n")
    import_listings(store, file)
    one = action_records([(date(2020 + i, 3 if name == "A" else 4, 2), 1.0, 0.5, None, 3)])
    store.change_actions("X", lambda stored: np.concatenate((stored, one)), name)
"""


def _write_at_once(home: object, folder: Path, n: int) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(home), name, str(folder), str(n)],
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        )
        for name in ("A", "B")
    ]
    assert [writer.wait(120) for writer in writers] == [0, 0]


def test_two_imports_of_listings_and_actions_at_once_lose_nothing(store: Store, tmp_path: Path):
    _write_at_once(store.home, tmp_path, 25)
    ids = [one.id for one in read_listings(store).securities]
    assert sorted(ids) == sorted(f"{name}{i}" for name in "AB" for i in range(25))
    assert store.read_action_records("X").shape[0] == 50


def test_two_imports_at_once_into_a_bucket_lose_nothing(tmp_path: Path):
    with s3_server():
        make_bucket("listed")
        remote = Store(ObjectPath.of("s3://listed/home"), local=tmp_path)
        _write_at_once(remote.home, tmp_path, 6)
        ids = [one.id for one in read_listings(remote).securities]
        assert sorted(ids) == sorted(f"{name}{i}" for name in "AB" for i in range(6))
        assert remote.read_action_records("X").shape[0] == 12


def test_listings_that_contradict_those_stored_meanwhile_are_refused(store: Store, tmp_path: Path):
    def owner(name: str) -> Listings:
        return Listings((Security(name, (Ticker("FB", date(2012, 5, 18)),)),))

    write_listings(store, owner("META"))
    with pytest.raises(DataError, match="META and OTHER both have the ticker FB on 2012-05-18"):
        change_listings(store, lambda stored: with_securities(stored, owner("OTHER").securities))
    assert read_listings(store) == owner("META")


@pytest.mark.parametrize("text", ["", "{}", '{"securities": [{"id": 3}]}', "[]"])
def test_damaged_listings_are_named(store: Store, text: str):
    (store.home).mkdir(parents=True, exist_ok=True)
    (store.home / "listings.json").write_text(text)
    with pytest.raises(DataError, match=r"stored listings \(listings.json\) are damaged"):
        read_listings(store)


def test_damaged_actions_are_named(store: Store):
    (store.home / "actions").mkdir(parents=True)
    (store.home / "actions" / "X.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"X.parquet is damaged or cut off"):
        store.read_actions("X")
    with pytest.raises(DataError, match=r"X.parquet is damaged or cut off"):
        store.write_actions("X", dated_actions([(date(2020, 1, 2), 2.0, 0.0)]), "test")
