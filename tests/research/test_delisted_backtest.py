"""Backtests over a change of the ticker and to the end of an instrument."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from market_data.building import dated_actions
from market_data.columns import BarColumns
from market_data.listings import Delisting, Listings, Security, Ticker, write_listings
from market_data.sessions import days_of
from market_data.store import Store
from market_data.timeframes import DAY_NS
from research.backtest import Backtest, BacktestRequest, run_backtest
from research.results import Table, open_result
from research.summary import Summary
from research.sweep_files import sweep_table
from research.sweeping import sweep_backtests
from research.writing import write_result
from trading.document import StrategyDocument, document_from


def hold(*symbols: str, side: str = "long", **fields) -> StrategyDocument:
    """Return a strategy that is always in the market with 100 shares."""
    data = {
        "name": "hold",
        "timeframe": "1d",
        "instruments": list(symbols),
        f"enter_{side}": "close > 0",
        f"exit_{side}": "close < 0",
        "execution": {"size": {"quantity": 100}},
        "parameters": {"n": {"default": 1, "low": 1, "high": 3, "step": 1}},
        "indicators": {"mean": "sma(close, $n)"},
    }
    return document_from(data | fields)


def put(store: Store, symbol: str, first: str, closes: list[float]) -> None:
    """Store daily bars without range of one session after the other."""
    day = days_of(date.fromisoformat(first))
    table = store.sessions("XNYS", (day - 10) * 86_400 * 10**9, (day + 400) * 86_400 * 10**9)
    start = int(np.searchsorted(table.date, day))
    rows = slice(start, start + len(closes))
    close = np.array(closes, np.float64)
    columns = BarColumns(
        table.open[rows], table.date[rows], np.stack([close, close, close, close, close * 1000])
    )
    store.write_bars(symbol, "1d", columns, calendar="XNYS", source="test")


@pytest.fixture(scope="module")
def calendar_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home that knows the sessions of the exchange, which take seconds to compute."""
    home = tmp_path_factory.mktemp("calendars")
    Store(home).sessions("XNYS", 10_000 * DAY_NS, 20_500 * DAY_NS)
    return home


@pytest.fixture
def store(calendar_home: Path, tmp_path: Path) -> Store:
    shutil.copytree(calendar_home / "sessions", tmp_path / "home" / "sessions")
    return Store(tmp_path / "home")


def run(store: Store, document: StrategyDocument, **options) -> Backtest:
    return run_backtest(BacktestRequest(document, **options), store)


def written(backtest: Backtest, folder: Path) -> tuple[Summary, dict[str, pl.DataFrame]]:
    """Write a result and return its summary and tables."""
    summary = write_result(backtest, folder / "result")
    result = open_result(folder / "result")
    return summary, {table.value: result.read(table) for table in (Table.TRADES, Table.CASH_EVENTS)}


META = Security(
    "META",
    (Ticker("FB", date(2012, 5, 18), date(2022, 6, 8)), Ticker("META", date(2022, 6, 9))),
)
FB_1999 = Security(
    "FB~1999",
    (Ticker("FB", date(1999, 9, 29), date(2003, 3, 28)),),
    Delisting(date(2003, 3, 28), "unknown"),
)


def test_one_position_is_held_through_a_change_of_the_ticker(store, tmp_path):
    """Bought at 191 on the second day as FB, still held at 195 as META: 400 earned, no trade."""
    write_listings(store, Listings((META, FB_1999)))
    put(store, "FB", "2022-06-06", [190, 191, 192])
    put(store, "META", "2022-06-09", [193, 195])
    backtest = run(store, hold("FB"))
    (sleeve,) = backtest.sleeves
    assert sleeve.symbol == "META"
    assert sleeve.run.record.lots.tolist() == [0, 100, 100, 100, 100]
    assert sleeve.run.header["n_fills"] == 1
    assert sleeve.run.header["last_equity"] == 100_400
    summary, _ = written(backtest, tmp_path)
    assert summary.n_open == 1
    assert any("stored under META and FB" in note for note in summary.notes)


def test_the_earlier_owner_of_a_ticker_is_a_backtest_of_its_own(store):
    write_listings(store, Listings((META, FB_1999)))
    put(store, "FB", "2003-03-26", [31, 32, 33])
    put(store, "FB", "2012-05-18", [38, 34])
    (earlier,) = run(store, hold("FB"), end=date(2003, 3, 28)).sleeves
    assert earlier.symbol == "FB~1999"
    assert earlier.run.cash_events["amount"].tolist() == [3300]
    (later,) = run(store, hold("FB")).sleeves
    assert later.symbol == "META"
    assert later.loaded.bars.n_bars == 2


def delist(store: Store, end: Delisting, closes: list[float]) -> None:
    put(store, "X", "2024-01-02", closes)
    write_listings(store, Listings((Security("X", (Ticker("X", None, end.date),), end),)))


def test_a_position_in_an_acquired_company_is_a_trade_that_ends_at_its_price(store, tmp_path):
    """Bought at 11, paid 12.50: 150 earned; buy and hold from 10 has 1.25 times its cash."""
    delist(store, Delisting(date(2024, 1, 4), "acquired", 12.5), [10, 11, 12])
    backtest = run(store, hold("X"))
    summary, tables = written(backtest, tmp_path)
    assert summary.n_open == 0
    assert summary.n_trades == 1
    assert summary.final_equity == 100_150
    assert summary.buy_and_hold_return == pytest.approx(0.25)
    (trade,) = tables["trades"].to_dicts()
    assert (trade["exit_price"], trade["exit_reason"]) == (12.5, "delisted")
    assert trade["net_profit"] == 150
    (event,) = tables["cash_events"].to_dicts()
    assert (event["kind"], event["amount"], event["rate"]) == ("delisting", 1250, 12.5)
    assert any("12.5 in cash for each share" in note for note in summary.notes)


def test_a_bankruptcy_takes_all_that_was_paid_for_the_shares(store, tmp_path):
    delist(store, Delisting(date(2024, 1, 4), "bankrupt", 0.0), [10, 11, 2])
    backtest = run(store, hold("X"))
    summary, tables = written(backtest, tmp_path)
    assert summary.final_equity == 100_000 - 1100
    assert summary.buy_and_hold_return == pytest.approx(-1.0)
    (trade,) = tables["trades"].to_dicts()
    assert (trade["exit_price"], trade["return"], trade["mae"]) == (0, -1, -1)


def test_a_delisting_of_unknown_value_is_marked_in_the_result(store, tmp_path):
    delist(store, Delisting(date(2024, 1, 4), "unknown"), [10, 11, 12])
    summary, _ = written(run(store, hold("X")), tmp_path)
    assert summary.final_equity == 100_100
    assert any("value of a share unknown" in note for note in summary.notes)


def test_other_instruments_go_on_after_one_is_delisted(store, tmp_path):
    delist(store, Delisting(date(2024, 1, 4), "acquired", 12.5), [10, 11, 12])
    put(store, "Y", "2024-01-02", [20, 20, 20, 21, 22])
    summary, _ = written(run(store, hold("X", "Y")), tmp_path)
    assert summary.final_equity == 100_000 + 150 + 200
    assert summary.n_open == 1


def test_a_sweep_sees_the_same_end(store):
    delist(store, Delisting(date(2024, 1, 4), "acquired", 12.5), [10, 11, 12])
    sweep = sweep_backtests(BacktestRequest(hold("X")), {"n": (1.0, 2.0)}, store)
    assert [float(x) for x in sweep_table(sweep)["final_equity"].to_pylist()] == [100_150, 100_150]


def test_a_ticker_weighs_what_the_document_says_of_it(store):
    write_listings(store, Listings((META, FB_1999)))
    put(store, "FB", "2022-06-06", [190, 191, 192])
    put(store, "Y", "2022-06-06", [20, 20, 20])
    backtest = run(store, hold("FB", "Y", weights={"FB": 3, "Y": 1}))
    assert [sleeve.cash for sleeve in backtest.sleeves] == [75_000, 25_000]


def test_a_short_is_charged_the_dividend_of_its_ex_date_through_the_store(store):
    """Short 100 at 50; 0.75 is charged on the third day, whose price is as much lower."""
    put(store, "X", "2024-01-02", [50, 50, 49.25, 49.25])
    store.write_actions("X", dated_actions([(date(2024, 1, 4), 1.0, 0.75)]), "test")
    (sleeve,) = run(store, hold("X", side="short")).sleeves
    assert sleeve.run.cash_events["amount"].tolist() == [-75]
    assert sleeve.run.record.equity.tolist() == [100_000] * 4
