"""Tickers, delistings and corporate actions on the command line."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from market_data.building import dated_actions
from market_data.columns import BarColumns
from market_data.sessions import days_of
from market_data.store import Store
from tests.launcher.conftest import Run

LISTINGS = """security,ticker,valid_from,valid_to,delisted_on,reason,cash
METAX,FBX,2012-05-18,2022-06-08,,,
METAX,METAX,2022-06-09,,,,
FBX~1999,FBX,1999-09-29,,2003-03-28,acquired,12.5
"""


@pytest.fixture
def listed(home: Path, run: Run, tmp_path: Path) -> Store:
    """Return a store with bars under two tickers of one security, and its listings."""
    store = Store(home)
    put(store, "FBX", "2022-06-07", [190, 191])
    put(store, "METAX", "2022-06-09", [193, 96.5])
    store.write_actions("METAX", dated_actions([(date(2022, 6, 10), 2.0, 0.0)]), "test")
    path = tmp_path / "listings.csv"
    path.write_text(LISTINGS)
    assert run("data", "listings", str(path)).code == 0
    return store


def put(store: Store, symbol: str, first: str, closes: list[float]) -> None:
    day = days_of(date.fromisoformat(first)) + np.arange(len(closes))
    close = np.array(closes, np.float64)
    columns = BarColumns(
        (day * 24 + 13) * 3_600 * 10**9 + 1_800 * 10**9,
        day,
        np.stack([close, close, close, close, close]),
    )
    store.write_bars(symbol, "1d", columns, calendar="XNYS", source="test")


def test_listings_are_stored_and_shown(listed: Store, run: Run) -> None:
    shown = run("data", "listings", "--list").out
    assert "FBX~1999" in shown
    assert "acquired on 2003-03-28, 12.5 in cash for each share" in shown
    told = json.loads(run("data", "listings", "--list", "--json").out)
    assert [one["security"] for one in told] == ["FBX~1999", "METAX"]
    assert told[1]["tickers"][0] == {
        "ticker": "FBX",
        "valid_from": "2012-05-18",
        "valid_to": "2022-06-08",
    }
    assert run("data", "listings", "--remove", "FBX~1999").code == 0
    again = json.loads(run("data", "listings", "--list", "--json").out)
    assert [one["security"] for one in again] == ["METAX"]


def test_wrong_listings_are_one_line_and_change_nothing(listed, run, tmp_path):
    path = tmp_path / "more.csv"
    path.write_text("ticker,valid_from\nFBX,2015-01-02\n")
    answer = run("data", "listings", str(path))
    assert answer.code == 1
    assert "more.csv: METAX and FBX both have the ticker FBX on 2015-01-02" in answer.error
    assert len(json.loads(run("data", "listings", "--list", "--json").out)) == 2


def test_without_a_file_or_an_option_the_command_says_what_it_takes(home: Path, run: Run):
    answer = run("data", "listings")
    assert answer.code == 2
    assert "name a file, or --list, or --remove ID" in answer.err


def test_bars_are_those_of_the_security_by_either_ticker(listed: Store, run: Run) -> None:
    by_new, by_old = (
        json.loads(run("bars", name, "1d", "--json").out) for name in ("METAX", "FBX")
    )
    assert by_new == by_old
    assert [row["close"] for row in by_new["rows"]] == [190, 191, 193, 96.5]
    assert by_new["findings"][0]["name"] == "series_joined"


def test_bars_are_adjusted_as_of_a_day(listed: Store, run: Run) -> None:
    def closes(*options: str) -> list[float]:
        told = json.loads(run("bars", "METAX", "1d", "--json", *options).out)
        return [row["close"] for row in told["rows"]]

    assert closes("--adjust", "all") == [95, 95.5, 96.5, 96.5]
    assert closes("--adjust", "all", "--as-of", "2022-06-09") == [190, 191, 193]
    assert closes("--as-of", "2022-06-08") == [190, 191]
    assert (
        "adjusted for all as of 2022-06-09"
        in run("bars", "METAX", "1d", "--adjust", "all", "--as-of", "2022-06-09").out
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("METAX", "1d", "--adjust", "most"), "must be none, splits or all, got most"),
        (("METAX", "1d", "--as-of", "soon"), "'soon' is not a date such as 2012-01-31"),
        (("METAX", "--as-of", "2022-06-08"), "name a symbol and a timeframe with it"),
    ],
)
def test_options_of_bars_that_mean_nothing_are_refused(listed, run, options, message):
    answer = run("bars", *options)
    assert answer.code == 2
    assert message in answer.err


def test_actions_are_shown_and_compared_with_another_source(listed, run, tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("ex_date,split_ratio\n2022-06-10,3\n")
    answer = run("data", "actions", "METAX", "--against", str(path), "--json")
    told = json.loads(answer.out)
    assert told["actions"] == [
        {
            "ex_date": "2022-06-10",
            "kind": "",
            "split_ratio": 2.0,
            "dividend": 0.0,
            "announced": None,
        }
    ]
    assert told["findings"] == [{"name": "split_differs", "message": "split of 2022-06-10: 2 or 3"}]
    assert answer.code == 1
    assert run("data", "actions", "FBX").code == 0
    assert "no splits or dividends" in run("data", "actions", "NONE").error


def test_an_import_of_two_companies_needs_a_word(home: Path, run: Run, tmp_path: Path) -> None:
    rows = ["date,open,high,low,close,volume"]
    for first, price, volume in (("2003-01-02", 33, 2e5), ("2012-05-18", 42, 4e7)):
        day = np.datetime64(first)
        for session in np.busday_offset(day, np.arange(60), roll="forward"):
            rows.append(f"{session},{price},{price},{price},{price},{volume:g}")
    path = tmp_path / "FBY.csv"
    path.write_text("\n".join(rows) + "\n")
    refused = run("import", str(path), "--drop-unscheduled")
    assert refused.code == 1
    assert "bars under FBY look like those of 2 companies" in refused.error
    assert run("import", str(path), "--drop-unscheduled", "--split-listing").code == 0
    assert "FBY~2003" in run("data", "listings", "--list").out
