"""Which backtests, sweeps and studies used a bar that changed since: real runs, real revisions."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow.parquet as pq
import pytest

from market_data.columns import BarColumns
from market_data.sample_set import load_sample
from market_data.store import Store
from research.backtest import BacktestRequest, run_backtest
from research.data_impact import as_json, bars_used, impact_list
from research.recording import recorded_run
from research.study_runs import run_recorded_sweep, run_walk_forward
from research.sweep_choice import ChoiceOptions
from research.walk_forward import WalkForwardOptions
from research.writing import write_result
from strategies.data_use import BarChanges, BarsUsed, RunKind, impact, list_uses, record_bars_used
from trading.document import load_document

DAILY = """
name: trend
timeframe: 1d
instruments: [AAPL]
indicators: {trend: "ema(close, 20)"}
enter_long: close > trend
exit_long: close < trend
"""
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("impact") / "home")
    load_sample(store)
    return store


@pytest.fixture
def store(sample, tmp_path):
    import shutil

    shutil.copytree(sample.home, tmp_path / "home")
    return Store(tmp_path / "home")


@pytest.fixture
def recorded(store, sqlite_engine, tmp_path):
    """Return a function that runs a backtest and records it."""

    def record(document=DAILY, **more):
        backtest = run_backtest(BacktestRequest(load_document(document), **more), store)
        folder = tmp_path / "results" / backtest.run_id
        with recorded_run(sqlite_engine, backtest, folder, author="ann") as succeeded:
            succeeded(write_result(backtest, folder))
        return backtest, folder

    return record


def revise(store, row, change, field=3, symbol="AAPL"):
    """Let a vendor change one price of one stored bar."""
    columns, series = store.read_columns(symbol, "1d")
    prices = columns.prices.copy()
    prices[field, row] += change
    store.write_bars(
        symbol, "1d", BarColumns(columns.ts, columns.session, prices),
        calendar=series.calendar, source="vendor", overwrite=True,
    )  # fmt: skip
    return columns


def test_a_recorded_backtest_names_the_stored_bars_it_used(store, recorded, sqlite_engine):
    backtest, _ = recorded(start=date(2010, 1, 4), end=date(2010, 12, 31))
    uses = list_uses(sqlite_engine)
    assert [(use.kind, use.run_id, use.bars.symbol, use.bars.timeframe) for use in uses] == [
        (RunKind.BACKTEST, backtest.run_id, "AAPL", "1d")
    ]
    columns, _ = store.read_columns("AAPL", "1d")
    used = uses[0].bars
    # Warm-up goes back to the first stored bar; bars after the end were not used.
    assert used.first_ns <= columns.ts[0]
    last = columns.ts[np.searchsorted(columns.session, 14_974, "right") - 1]
    assert last <= used.last_ns < last + 86_400 * 10**9
    assert used.digest == backtest.sleeves[0].loaded.fingerprint


def test_revised_bars_name_the_runs_that_used_them_with_size_and_fills(
    store, recorded, sqlite_engine
):
    backtest, folder = recorded(start=date(2010, 1, 4), end=date(2010, 12, 31))
    filled = pq.read_table(folder / "fills.parquet")["ts"].to_pylist()[0].date()
    columns, _ = store.read_columns("AAPL", "1d")
    sessions = columns.session.astype("datetime64[D]").astype(object)
    on_fill = int(np.flatnonzero(sessions == filled)[0])
    assert impact_list(store, sqlite_engine) == []
    # A cent is a tick of AAPL.
    revise(store, on_fill, 0.05)
    revise(store, 100, 0.02)
    later = int(np.flatnonzero(sessions == date(2011, 6, 1))[0])
    revise(store, later, 0.5)
    found = impact_list(store, sqlite_engine)
    assert len(found) == 1
    told = as_json(found[0])
    assert told["run_id"] == backtest.run_id
    assert told["strategy"] == "trend"
    assert told["changed_bars"] == 2
    assert told["fills_on_changed_bars"] >= 1
    assert found[0].impact.largest_amount == pytest.approx(0.05)
    expected = max(0.05 / columns.prices[3, on_fill], 0.02 / columns.prices[3, 100])
    assert told["largest_change"] == pytest.approx(expected)
    assert told["largest_change_ticks"] == pytest.approx(5.0)
    assert impact_list(store, sqlite_engine, symbol="MSFT") == []


def test_a_run_after_the_change_is_not_touched_and_one_before_is(store, recorded, sqlite_engine):
    recorded(end=date(2010, 12, 31))
    revise(store, 200, 0.02)
    before = impact_list(store, sqlite_engine)
    assert len(before) == 1
    after, _ = recorded(end=date(2010, 12, 31))
    assert [one.impact.use.run_id for one in impact_list(store, sqlite_engine)] == [
        before[0].impact.use.run_id
    ]
    assert after.run_id != before[0].impact.use.run_id


def test_quarantine_of_a_used_bar_names_the_run(store, recorded, sqlite_engine):
    recorded(end=date(2010, 12, 31))
    columns, _ = store.read_columns("AAPL", "1d")
    late = datetime.now(UTC) + timedelta(minutes=1)
    store.quarantine("AAPL", "1d", columns.ts[[300]], reason="bad print", by="ann", at=late)
    told = [as_json(one) for one in impact_list(store, sqlite_engine)]
    assert [(one["changed_bars"], one["largest_change"]) for one in told] == [(1, None)]


def test_a_run_on_weeks_made_of_days_used_the_days(store, recorded, sqlite_engine):
    weekly = DAILY.replace("timeframe: 1d", "timeframe: 1w").replace("trend\n", "weekly\n", 1)
    backtest, _ = recorded(weekly)
    use = bars_used(backtest.request, [sleeve.loaded for sleeve in backtest.sleeves])[0]
    assert (use.timeframe, use.asked_timeframe) == ("1d", "1w")
    revise(store, 1000, 0.03)
    found = impact_list(store, sqlite_engine)
    assert [one.impact.use.run_id for one in found] == [backtest.run_id]


def test_a_run_on_a_file_uses_no_stored_bars(tmp_path, store, sqlite_engine):
    columns, _ = store.read_columns("MSFT", "1d")
    pq.write_table(columns.to_table(), tmp_path / "MSFT.parquet")
    request = BacktestRequest(
        load_document(DAILY), source=tmp_path / "MSFT.parquet", symbols=("MSFT",), calendar="XNYS"
    )
    backtest = run_backtest(request, store)
    assert bars_used(backtest.request, [sleeve.loaded for sleeve in backtest.sleeves]) == []


def test_sweeps_and_studies_used_their_bars_too(store, tmp_path, sqlite_engine):
    parameters = "name: swept\nparameters: {n: {default: 20, low: 5, high: 60}}"
    text = DAILY.replace("name: trend", parameters).replace("(close, 20)", "(close, $n)")
    document = load_document(text)
    request = BacktestRequest(document, symbols=("AAPL",))
    values = {"n": (10.0, 20.0, 30.0)}
    swept = run_recorded_sweep(
        sqlite_engine, request, values, store, ChoiceOptions("sharpe"), home=tmp_path
    )
    walked = run_walk_forward(
        sqlite_engine, request, values, store, WalkForwardOptions(n_windows=3), home=tmp_path
    )
    assert impact_list(store, sqlite_engine) == []
    revise(store, 300, 0.05)
    told = {one["kind"]: one for one in map(as_json, impact_list(store, sqlite_engine))}
    assert {kind: (one["run_id"], one["strategy"]) for kind, one in told.items()} == {
        "sweep": (swept.study.sweep_id, "swept"),
        "study": (walked.study.study_id, "swept"),
    }
    assert {one["changed_bars"] for one in told.values()} == {1}


def test_only_bars_within_the_span_changed_after_the_use_count(sqlite_engine):
    hour = 3_600 * 10**9
    used = BarsUsed("X", "1m", "1h", 10 * hour, 20 * hour, "d" * 64, NOON)
    record_bars_used(sqlite_engine, RunKind.SWEEP, "s1", [used])
    uses = list_uses(sqlite_engine, symbol="X")
    at = round(NOON.timestamp()) * 10**9
    changes = BarChanges(
        "X",
        "1m",
        np.array([9, 10, 15, 15, 20, 21]) * hour,
        np.array([at + 1, at + 2, at - 1, at + 3, at, at + 4]),
        np.array([0.9, 0.1, 0.2, 0.3, 0.4, 0.9]),
        np.array([9.0, 1.0, 2.0, 3.0, 4.0, 9.0]),
    )
    (found,) = impact(uses, [changes])
    assert found.ts.tolist() == [10 * hour, 15 * hour]
    assert (found.largest_relative, found.largest_amount) == (0.3, 3.0)
    assert found.last_changed_ns == at + 3
    assert found.use.kind is RunKind.SWEEP


def test_recording_again_replaces_what_was_used(sqlite_engine):
    one = BarsUsed("X", "1d", "1d", 0, 1, "a" * 64, NOON)
    other = BarsUsed("Y", "1d", "1d", 0, 1, "b" * 64, NOON)
    record_bars_used(sqlite_engine, RunKind.STUDY, "r", [one, other])
    record_bars_used(sqlite_engine, RunKind.STUDY, "r", [other])
    assert [use.bars for use in list_uses(sqlite_engine)] == [other]
