"""`quarterdeck data check`: exit codes, what it prints and writes, quarantine."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from market_data.store import Store


@pytest.fixture
def spoilt(home):
    """Return the store with a copy of Microsoft's days in which one low is far too low."""
    store = Store(home)
    columns, _ = store.read_columns("MSFT", "1d")
    prices = columns.prices.copy()
    prices[2, 1500] = 0.07
    store.write_bars(
        "SPOILT", "1d", replace(columns, prices=prices), calendar="XNYS", source="test"
    )
    store.write_actions("SPOILT", store.read_actions("MSFT"), "test")
    return store, int(columns.ts[1500])


def test_sound_bars_end_with_0(run, home):
    done = run("data", "check", "AAPL", "1d")
    assert done.code == 0
    assert done.out.strip() == "1 series with 3,270 bars: 0 errors, 0 warnings, 0 notes"


def test_an_error_in_the_data_ends_with_3_and_says_where(run, spoilt):
    done = run("data", "check", "SPOILT")
    assert done.code == 3
    assert "1 errors, 0 warnings" in done.out
    assert "spike" in done.out
    assert "low 0.07 between" in done.out


def test_findings_are_written_as_table_page_and_json(run, spoilt, tmp_path):
    table, page = tmp_path / "found.parquet", tmp_path / "page.html"
    done = run(
        "data", "check", "SPOILT", "1d", "--json", "--parquet", str(table), "--html", str(page)
    )
    assert done.code == 3
    answer = json.loads(done.out)
    assert (answer["series"], answer["bars"], answer["errors"]) == (1, 3270, 1)
    [found] = answer["findings"]
    moment = np.datetime64(spoilt[1], "ns").astype("datetime64[s]")
    assert (found["check"], found["first"]) == ("spike", f"{moment}Z")
    assert pq.read_table(table)["check"].to_pylist() == ["spike"]
    text = page.read_text("utf-8")
    assert "low 0.07 between" in text


def test_wrong_bars_go_into_quarantine_and_are_gone(run, spoilt):
    store, ts = spoilt
    done = run("data", "check", "SPOILT", "--quarantine")
    assert done.code == 3
    assert "1 bars put in quarantine" in done.out
    kept = store.read_quarantine("SPOILT", "1d")
    assert kept["reason"].to_pylist()[0].startswith("spike: low 0.07")
    assert run("data", "check", "SPOILT").code == 0
    assert ts not in store.read_columns("SPOILT", "1d")[0].ts


def test_a_file_is_checked_without_being_stored(run, home, tmp_path):
    path = tmp_path / "ACME.csv"
    days = ["2012-01-03", "2012-01-04", "2012-01-05", "2012-01-06", "2012-01-09"]
    rows = [f"{day},10,11,9,10,100" for day in days]
    rows[2] = "2012-01-05,10,9,11,10,100"
    path.write_text("\n".join(["date,open,high,low,close,volume", *rows]) + "\n")
    done = run("data", "check", str(path))
    assert done.code == 3
    assert "ohlc_order" in done.out
    assert "ACME" not in Store(home).symbols()
    refused = run("data", "check", str(path), "--quarantine")
    assert refused.code == 1
    assert refused.error == "bars of a file can't be put in quarantine; import it first"


def test_wrong_words_are_refused(run, home):
    assert run("data", "check", "--severity", "bad").code == 2
    unknown = run("data", "check", "NOPE")
    assert unknown.code == 1
    assert unknown.error.startswith("no bars of NOPE are stored")
