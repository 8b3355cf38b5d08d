"""What is known of stored bars: their provenance, what was revised, what is in quarantine."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from foundation.clock import FixedClock
from foundation.errors import DataError
from market_data.loading import load_bars
from market_data.provenance import Provenance
from market_data.store import Store, base_symbol, source_of
from tests.market_data.making import join, minutes, write
from trading.instruments import Instrument

JANUARY, FEBRUARY = date(2024, 1, 5), date(2024, 2, 5)
MONDAY = datetime(2026, 3, 2, 6, tzinfo=UTC)


def came(source="vendor", at=MONDAY, digest="a" * 64):
    return Provenance(source, "X 1m", at, digest)


def content(home):
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in home.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_each_part_knows_where_its_bars_came_from(store):
    first = came()
    write(store, join(minutes(JANUARY, 3), minutes(FEBRUARY, 5)), provenance=first)
    second = came(at=MONDAY + timedelta(days=1), digest="b" * 64)
    write(store, minutes(FEBRUARY, 8), provenance=second)
    told = store.read_provenance("X", "1m")
    assert [(one.part, one.provenance, one.rows) for one in told] == [
        ("2024-01", first, 3),
        ("2024-02", first, 5),
        ("2024-02", second, 8),
    ]
    assert told[0].first_ns == minutes(JANUARY, 3).ts[0]
    assert told[0].last_ns == minutes(JANUARY, 3).ts[-1]


def test_the_same_bars_from_the_same_source_change_no_file_at_whatever_time(store):
    write(store, minutes(JANUARY), provenance=came())
    before = content(store.home)
    write(store, minutes(JANUARY), provenance=came(at=MONDAY + timedelta(days=9)), overwrite=True)
    assert content(store.home) == before


def test_a_second_source_that_agrees_is_noted_once(store):
    write(store, minutes(JANUARY), provenance=came())
    for day in (1, 2):
        write(store, minutes(JANUARY), provenance=came("other", MONDAY + timedelta(days=day)))
    told = store.read_provenance("X", "1m")
    assert [one.provenance.source for one in told] == ["vendor", "other"]


def test_a_revision_keeps_what_was_there_and_what_came(store):
    bars = minutes(JANUARY, 4, quotes=True)
    write(store, bars, provenance=came())
    revised = replace(bars, prices=bars.prices.copy(), bid=bars.bid.copy())
    revised.prices[3, 1] = 10.5
    revised.prices[1, 1] = 10.6
    revised.bid[0, 3] = np.nan
    later = came(at=MONDAY + timedelta(days=1), digest="b" * 64)
    stored_at = later.retrieved_at + timedelta(hours=6)
    timed = Store(store.home, clock=FixedClock(stored_at))
    write(timed, revised, provenance=later, overwrite=True)
    rows = store.read_revisions("X", "1m").to_pylist()
    times = [datetime(2024, 1, 5, 15, minute, tzinfo=UTC) for minute in (1, 1, 3)]
    assert [row["ts"] for row in rows] == times
    assert [(row["field"], row["old"]) for row in rows] == [
        ("high", 10.0),
        ("close", 10.0),
        ("bid_open", 9.0),
    ]
    assert [row["new"] for row in rows[:2]] == [10.6, 10.5]
    assert np.isnan(rows[2]["new"])
    # Until it is stored, the bars are what they were, and a backtest uses them so.
    assert {row["revised_at"] for row in rows} == {stored_at}
    assert {row["sha256"] for row in rows} == {"b" * 64}


def test_new_bars_and_halts_that_were_never_noted_are_no_revision(store):
    bars = minutes(JANUARY, 6)
    write(store, bars.select(slice(0, 3)), provenance=came())
    noted = replace(bars, halted=np.array([False, False, False, True, False, False]))
    write(store, noted, provenance=came(digest="b" * 64), overwrite=True)
    assert store.read_revisions("X", "1m").num_rows == 0
    write(store, replace(noted, halted=np.ones(6, np.bool_)), overwrite=True)
    rows = store.read_revisions("X", "1m").to_pylist()
    assert [(row["field"], row["old"], row["new"]) for row in rows] == [("halted", 0.0, 1.0)] * 5


def test_a_revision_without_provenance_has_the_stores_time_and_source(store):
    clock = FixedClock(MONDAY)
    timed = Store(store.home, clock=clock)
    write(timed, minutes(JANUARY, 2))
    write(timed, minutes(JANUARY, 2, close=11.0), overwrite=True, source="by hand")
    rows = timed.read_revisions("X", "1m").to_pylist()
    assert {(row["source"], row["revised_at"]) for row in rows} == {("by hand", MONDAY)}
    # Each bar has open, high, low, close and volume.
    assert len(rows) == 10


def test_a_failed_write_notes_nothing(store):
    write(store, minutes(JANUARY), provenance=came())
    before = content(store.home)
    both = join(minutes(JANUARY, close=11.0), minutes(FEBRUARY))
    with pytest.raises(DataError, match="other values"):
        write(store, both, provenance=came(digest="b" * 64))
    assert content(store.home) == before


def test_bars_in_quarantine_are_loaded_by_nobody_until_released(store):
    bars = minutes(JANUARY, 5)
    write(store, bars)
    bad = bars.ts[[1, 3]]
    assert store.quarantine("X", "1m", bad, reason="sources differ", by="ann", at=MONDAY) == 2
    again = store.quarantine("X", "1m", bad, reason="once more", by="bob", at=MONDAY)
    assert again == 0
    read, _ = store.read_columns("X", "1m")
    assert read.ts.tolist() == bars.ts[[0, 2, 4]].tolist()
    assert load_bars(store, "X", "1m").bars.n_bars == 3
    whole, _ = store.read_columns("X", "1m", with_quarantined=True)
    assert whole.equals(bars)
    later = MONDAY + timedelta(days=1)
    assert store.release("X", "1m", bad[:1], by="bob", at=later) == 1
    read, _ = store.read_columns("X", "1m")
    assert read.ts.tolist() == bars.ts[[0, 1, 2, 4]].tolist()
    history = store.read_quarantine("X", "1m", in_force=False).to_pylist()
    assert [(row["reason"], row["released_by"], row["released_at"]) for row in history] == [
        ("sources differ", "bob", later),
        ("sources differ", None, None),
    ]
    assert store.read_quarantine("X", "1m").num_rows == 1


def test_a_quarantine_changes_the_fingerprint_of_a_backtests_bars(store):
    bars = minutes(JANUARY, 5)
    write(store, bars)
    before = load_bars(store, "X", "1m").fingerprint
    store.quarantine("X", "1m", bars.ts[4:], reason="spike", by="ann", at=MONDAY)
    assert load_bars(store, "X", "1m").fingerprint != before
    store.release("X", "1m", bars.ts[4:], by="ann", at=MONDAY)
    assert load_bars(store, "X", "1m").fingerprint == before


def test_quarantine_is_kept_by_later_writes(store):
    bars = minutes(JANUARY, 5)
    write(store, bars.select(slice(0, 3)))
    store.quarantine("X", "1m", bars.ts[:1], reason="spike", by="ann", at=MONDAY)
    write(store, bars, provenance=came())
    read, _ = store.read_columns("X", "1m")
    assert read.ts.tolist() == bars.ts[1:].tolist()


@pytest.mark.parametrize(
    ("ts", "reason", "message"),
    [
        ([1], "spike", r"no 1m bar of X is stored at 1970-01-01T00:00:00\.000001Z"),
        ([0], " ", "for a reason"),
    ],
)
def test_quarantine_wants_stored_bars_and_a_reason(store, ts, reason, message):
    write(store, minutes(JANUARY))
    with pytest.raises(DataError, match=message):
        store.quarantine("X", "1m", np.array(ts) * 1000, reason=reason, by="ann", at=MONDAY)


def test_a_series_written_by_the_first_format_is_read(store):
    write(store, minutes(JANUARY))
    path = store.series_folder("X", "1m") / "series.json"
    fields = json.loads(path.read_text())
    for name in ("provenance", "revisions", "quarantine"):
        del fields[name]
    path.write_text(json.dumps(fields | {"format": 1}))
    assert store.find_series("X", "1m").rows == 10
    assert store.read_provenance("X", "1m") == []
    assert store.read_revisions("X", "1m").num_rows == 0


def test_a_second_source_of_an_instrument_has_its_instrument_and_actions(store):
    assert (base_symbol("AAPL@yahoo"), source_of("AAPL@yahoo")) == ("AAPL", "yahoo")
    assert (base_symbol("AAPL"), source_of("AAPL")) == ("AAPL", "")
    store.write_instrument(Instrument("AAPL", tick=0.01, calendar="XNYS"))
    found = store.find_instrument("AAPL@yahoo")
    assert found == Instrument("AAPL@yahoo", tick=0.01, calendar="XNYS")
    store.write_bars("AAPL@yahoo", "1m", minutes(JANUARY), calendar="XNYS", source="yahoo")
    assert store.symbols() == ["AAPL@yahoo"]
    assert store.find_series("AAPL", "1m") is None


def test_what_was_replaced_is_removed_and_nothing_else(store):
    folder = store.series_folder("X", "1m")
    for close in (10.0, 11.0, 12.0):
        write(store, minutes(JANUARY, close=close), overwrite=True, provenance=came())
    store.quarantine("X", "1m", minutes(JANUARY).ts[:1], reason="spike", by="ann", at=MONDAY)
    kinds = sorted(path.name.split(".")[0] for path in folder.glob("*.parquet"))
    assert kinds == ["2024-01", "provenance", "quarantine", "revisions"]
