"""A ticker that two companies had, found in the bars where no listing says so.

The two real cases are FB (until 2003 one company, from 2012 on Facebook: prices
alike, 127 times the money traded) and WM (Washington Mutual until it failed in
2008, Waste Management from 2009 on: 181 times the price). Prices here are made up.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from foundation.errors import DataError
from market_data.building import dated_actions
from market_data.columns import BarColumns
from market_data.importing import import_file, read_file
from market_data.listings import Listings, Security, Ticker, read_listings, write_listings
from market_data.loading import load_bars
from market_data.reused_tickers import ReuseCheck
from market_data.sessions import days_of
from market_data.store import Store

N = 80


def walk(n: int, start: float, seed: int = 1) -> np.ndarray:
    return np.round(start * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, n))), 2)


def stretch(table, first: str, close: np.ndarray, volume: float) -> BarColumns:
    """Return a bar for each session from a day on."""
    start = int(np.searchsorted(table.date, days_of(date.fromisoformat(first))))
    rows = slice(start, start + close.shape[0])
    prices = np.stack([close, close, close, close, np.full(close.shape[0], volume)])
    return BarColumns(table.open[rows], table.date[rows], prices)


def found(table, *parts: BarColumns, actions=()) -> list:
    check = ReuseCheck()
    for part in parts:
        check.take(part)
    return check.find(table, dated_actions(list(actions)))


def test_a_long_gap_and_another_amount_of_money_is_another_company(xnys):
    """FB: no bars from March 2003 to May 2012, prices × 1.3, a hundred times the money."""
    (one,) = found(
        xnys,
        stretch(xnys, "2003-01-02", walk(N, 33), 2e5),
        stretch(xnys, "2012-05-18", walk(N, 42), 4e7),
    )
    assert one.n_sessions > 2200
    assert one.money_step > 100
    assert "money traded in a session ×" in one.describe()


def test_a_long_gap_and_another_price_is_another_company(xnys):
    """WM: 16 cents in September 2008, 28.94 in August 2009."""
    (one,) = found(
        xnys,
        stretch(xnys, "2008-06-02", np.full(N, 0.16), 4e7),
        stretch(xnys, "2009-08-05", walk(N, 28.94), 2e6),
    )
    assert one.price_step == pytest.approx(181, rel=0.02)


def test_a_quotation_in_sixteenths_is_evidence_in_words(xnys):
    (one,) = found(
        xnys,
        stretch(xnys, "2000-01-03", np.round(walk(N, 12) * 16) / 16, 3e3),
        stretch(xnys, "2012-05-18", walk(N, 42), 4e7),
    )
    assert "closes in sixteenths 100% before" in one.describe()


@pytest.mark.parametrize(
    ("gap_to", "price", "volume"),
    [
        ("2005-06-01", 50.0, 1e6),  # A year of missing data of one company.
        ("2005-06-01", 90.0, 3e6),
        ("2004-05-20", 8.0, 2e6),  # Suspended for three weeks, back at a sixth of the price.
        ("2004-04-28", 9.0, 3e6),  # Down by four fifths over night, and traded more.
    ],
)
def test_one_company_with_gaps_and_falls_is_one(xnys, gap_to, price, volume):
    first = stretch(xnys, "2004-01-02", walk(N, 50), 1e6)
    assert found(xnys, first, stretch(xnys, gap_to, walk(N, price, 2), volume)) == []


def test_a_reverse_split_over_a_gap_is_no_other_company(xnys):
    parts = (
        stretch(xnys, "2004-01-02", walk(N, 1.0), 1e7),
        stretch(xnys, "2005-06-01", walk(N, 20.0), 5e5),
    )
    assert len(found(xnys, *parts)) == 1
    assert found(xnys, *parts, actions=[(date(2005, 6, 1), 0.05, 0.0)]) == []


def test_a_jump_without_a_gap_counts_when_another_crowd_trades_it(xnys):
    before = stretch(xnys, "2004-01-02", walk(N, 50), 1e6)
    next_session = str(
        np.datetime64(int(xnys.date[np.searchsorted(xnys.date, before.session[-1]) + 1]), "D")
    )
    (one,) = found(xnys, before, stretch(xnys, next_session, walk(N, 5), 100.0))
    assert one.n_sessions == 0
    assert found(xnys, before, stretch(xnys, next_session, walk(N, 5), 2e7)) == []


def test_order_of_stretches_does_not_matter_and_minutes_count_by_session(xnys):
    early = stretch(xnys, "2003-01-02", walk(N, 33), 2e5)
    late = stretch(xnys, "2012-05-18", walk(N, 42), 4e7)
    assert found(xnys, late, early) == found(xnys, early, late)
    twice = BarColumns(
        np.repeat(late.ts, 2), np.repeat(late.session, 2), np.repeat(late.prices, 2, axis=1)
    )
    (one,) = found(xnys, early, twice)
    assert one.money_step == pytest.approx(2 * found(xnys, early, late)[0].money_step)


# At an import.


def write(folder: Path, *parts: BarColumns) -> Path:
    lines = ["date,open,high,low,close,volume"]
    for part in parts:
        for i in range(part.n_bars):
            prices = ",".join(f"{x:g}" for x in part.prices[:, i])
            lines.append(f"{np.datetime64(int(part.session[i]), 'D')},{prices}")
    path = folder / "FB.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def parts(xnys) -> tuple[BarColumns, BarColumns]:
    return (
        stretch(xnys, "2003-01-02", walk(N, 33), 2e5),
        stretch(xnys, "2012-05-18", walk(N, 42), 4e7),
    )


def test_an_import_of_two_companies_is_refused_and_says_how_to_state_it(store, tmp_path, parts):
    with pytest.raises(DataError) as caught:
        import_file(store, write(tmp_path, *parts), symbol="FB")
    message = str(caught.value)
    assert message.startswith("FB.csv: bars under FB look like those of 2 companies: no bars for 2")
    assert "between 2003-04-28 and 2012-05-18" in message
    assert "quarterdeck data listings FILE" in message
    assert "--split-listing" in message
    assert store.find_series("FB", "1d") is None
    assert read_listings(store) == Listings()


def test_bars_that_do_not_go_with_the_stored_ones_are_refused_too(store, tmp_path, parts):
    import_file(store, write(tmp_path, parts[0]), symbol="FB")
    with pytest.raises(DataError, match="bars under FB look like those of 2 companies"):
        import_file(store, write(tmp_path, parts[1]), symbol="FB")
    assert store.read_columns("FB", "1d")[0].n_bars == N


def gaps_in(report) -> list[str]:
    names = [finding.name for finding in report.findings]
    return [name for name in names if name in ("missing_sessions", "long_gap")]


def test_the_years_between_two_companies_are_not_missing(store, tmp_path, parts):
    path = write(tmp_path, *parts)
    assert gaps_in(read_file(store, path, symbol="FB")) == []
    assert gaps_in(import_file(store, path, symbol="FB", split_listing=True)) == []
    # By then the listings tell, and no search.
    assert gaps_in(import_file(store, path, symbol="FB")) == []


def test_days_missing_within_one_of_two_companies_are_told(store, tmp_path, parts):
    keep = np.ones(N, bool)
    keep[20:35] = False
    path = write(tmp_path, parts[0], parts[1].select(keep))
    report = import_file(store, path, symbol="FB", split_listing=True)
    told = {one.name: one for one in report.findings}
    assert told["missing_sessions"].count == 15
    assert told["long_gap"].count == 15
    first = np.datetime64(int(parts[1].session[20]), "D")
    assert f"no bars for 15 sessions from {first} to" in told["long_gap"].message


def test_years_without_a_bar_of_one_company_are_missing(store, tmp_path, parts):
    write_listings(store, Listings((Security("FB", (Ticker("FB"),)),)))
    report = import_file(store, write(tmp_path, *parts), symbol="FB")
    assert gaps_in(report) == ["missing_sessions", "long_gap"]


def test_from_one_company_to_the_next_the_price_does_not_move(store, tmp_path, parts):
    dearer = replace(parts[1], prices=parts[1].prices * np.array([4.0, 4, 4, 4, 1])[:, None])
    path = write(tmp_path, parts[0], dearer)
    apart = import_file(store, path, symbol="FB", split_listing=True)
    assert "large_moves" not in [one.name for one in apart.findings]
    write_listings(store, Listings((Security("FB", (Ticker("FB"),)),)))
    joined = import_file(store, path, symbol="FB", overwrite=True)
    assert {one.name: one.count for one in joined.findings}["large_moves"] == 1


def test_split_listing_keeps_the_companies_apart(store, tmp_path, parts):
    report = import_file(store, write(tmp_path, *parts), symbol="FB", split_listing=True)
    assert "ticker_reused" in [finding.name for finding in report.findings]
    earlier, later = read_listings(store).securities[::-1]
    assert earlier.id == "FB~2003"
    assert earlier.tickers == (Ticker("FB", date(2003, 1, 2), date(2003, 4, 28)),)
    assert (later.id, later.tickers) == ("FB", (Ticker("FB", date(2012, 5, 18), None),))
    assert load_bars(store, "FB", "1d").bars.n_bars == N
    old = load_bars(store, "FB~2003", "1d")
    assert old.bars.n_bars == N
    assert [x.name for x in old.findings] == ["delisting_value_unknown"]


def test_listings_that_say_who_had_the_ticker_let_the_bars_in(store, tmp_path, parts):
    earlier = Security("FB~1999", (Ticker("FB", None, date(2003, 4, 28)),))
    later = Security("META", (Ticker("FB", date(2012, 5, 18), None),))
    write_listings(store, Listings((earlier, later)))
    import_file(store, write(tmp_path, *parts), symbol="FB")
    assert load_bars(store, "FB", "1d").bars.instrument.symbol == "META"
    assert load_bars(store, "FB~1999", "1d").bars.n_bars == N


def test_listings_that_say_it_is_one_company_let_the_bars_in(store, tmp_path, parts):
    write_listings(store, Listings((Security("FB", (Ticker("FB"),)),)))
    import_file(store, write(tmp_path, *parts), symbol="FB")
    assert load_bars(store, "FB", "1d").bars.n_bars == 2 * N


def test_a_file_that_is_only_read_tells_of_it(store: Store, tmp_path, parts):
    checked = read_file(store, write(tmp_path, *parts), symbol="FB")
    assert "ticker_reused" in [finding.name for finding in checked.findings]


def test_markets_without_listings_are_not_asked(store, tmp_path, parts):
    path = write(tmp_path, *parts)
    report = import_file(store, path, symbol="BTCUSD", calendar="24/7")
    assert "ticker_reused" not in [finding.name for finding in report.findings]


def test_stored_bars_of_two_companies_are_told_of_when_they_are_loaded(store, parts):
    """A vendor's download is stored as it comes, and may hold both companies."""
    for part in parts:
        store.write_bars("FB", "1d", part, calendar="XNYS", source="a vendor")
    loaded = load_bars(store, "FB", "1d")
    assert [x.name for x in loaded.findings] == ["ticker_reused"]
    assert load_bars(store, "FB", "1d", end=date(2003, 4, 28)).findings == ()
