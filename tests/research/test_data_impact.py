"""Which backtests, sweeps and studies used a bar that changed since: real runs, real revisions."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow.parquet as pq
import pytest

from market_data.columns import BarColumns
from market_data.pairs.stored import merge_stored
from market_data.provenance import Provenance
from market_data.sample_set import load_sample
from market_data.store import Store
from market_data.timeframes import MINUTE_NS
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


HOURLY = """
name: hourly
timeframe: 1h
instruments: [FAST]
execution: {session: regular}
indicators: {trend: "ema(close, 3)"}
enter_long: close > trend
exit_long: close < trend
"""


@pytest.fixture
def minutes(store):
    """Store minutes of a week in 2024, with an hour before each open, under FAST and OTHER."""
    days = store.sessions("XNYS", 1_704_067_200 * 10**9, 1_706_659_200 * 10**9)
    days = days.between(19_730, 19_740)
    parts = [np.arange(o - 60 * MINUTE_NS, c, MINUTE_NS)
             for o, c in zip(days.open.tolist(), days.close.tolist(), strict=True)]  # fmt: skip
    ts = np.concatenate(parts)
    session = np.repeat(days.date, [part.shape[0] for part in parts])
    close = 100 * np.exp(np.random.default_rng(1).normal(0, 1e-3, ts.shape[0]).cumsum())
    columns = BarColumns(ts, session, np.stack([close] * 4 + [np.full(ts.shape[0], 1e4)]))
    for symbol in ("FAST", "OTHER"):
        store.write_bars(symbol, "1m", columns, calendar="XNYS", source="test")
    return columns, days


def change_minute(store, columns, ns, symbol="FAST"):
    prices = columns.prices.copy()
    prices[:4, columns.ts == ns] += 0.5
    store.write_bars(
        symbol, "1m", BarColumns(columns.ts, columns.session, prices),
        calendar="XNYS", source="vendor", overwrite=True,
    )  # fmt: skip


def listed(store, engine):
    return [one.impact.use.run_id for one in impact_list(store, engine)]


def test_hours_made_of_minutes_used_the_minutes_within_the_hours_only(
    store, minutes, recorded, sqlite_engine
):
    columns, days = minutes
    backtest, _ = recorded(HOURLY)
    change_minute(store, columns, int(days.open[2]) - 5 * MINUTE_NS)
    assert listed(store, sqlite_engine) == []
    change_minute(store, columns, int(days.open[2]) + 5 * MINUTE_NS, symbol="OTHER")
    assert listed(store, sqlite_engine) == []
    change_minute(store, columns, int(days.open[2]) + 5 * MINUTE_NS)
    (found,) = impact_list(store, sqlite_engine)
    assert found.impact.use.run_id == backtest.run_id
    # The minute before the open, which is put back now, is still none of its bars.
    assert found.impact.ts.tolist() == [int(days.open[2]) + 5 * MINUTE_NS]
    assert found.impact.use.bars.asked_timeframe == "1h"


def test_a_strategy_of_extended_hours_used_the_minutes_before_the_open(
    store, minutes, recorded, sqlite_engine
):
    columns, days = minutes
    backtest, _ = recorded(HOURLY.replace("regular", "extended"))
    change_minute(store, columns, int(days.open[2]) - 5 * MINUTE_NS)
    assert listed(store, sqlite_engine) == [backtest.run_id]


def test_bars_after_the_end_and_before_a_run_without_warm_up_were_not_used(
    store, recorded, sqlite_engine
):
    columns, _ = store.read_columns("AAPL", "1d")
    sessions = columns.session.astype("datetime64[D]").astype(object)
    first = int(np.flatnonzero(sessions == date(2010, 1, 4))[0])
    last = int(np.flatnonzero(sessions == date(2010, 12, 31))[0])
    span = {"start": date(2010, 1, 4), "end": date(2010, 12, 31)}
    cold, _ = recorded(warmup=False, **span)
    warm, _ = recorded(DAILY.replace("name: trend", "name: warm"), **span)
    revise(store, last + 1, 0.02)
    assert listed(store, sqlite_engine) == []
    revise(store, first - 1, 0.02)
    assert listed(store, sqlite_engine) == [warm.run_id]
    revise(store, first, 0.02)
    assert set(listed(store, sqlite_engine)) == {warm.run_id, cold.run_id}


def test_a_week_used_none_of_the_days_before_its_monday(store, recorded, sqlite_engine):
    columns, _ = store.read_columns("AAPL", "1d")
    # 22 April 2011 was Good Friday: the week's last session was a Thursday.
    weekly = DAILY.replace("timeframe: 1d", "timeframe: 1w")
    backtest, _ = recorded(weekly, start=date(2011, 4, 18), end=date(2011, 6, 30), warmup=False)
    sessions = columns.session.astype("datetime64[D]").astype(object)
    friday_before = int(np.flatnonzero(sessions == date(2011, 4, 15))[0])
    revise(store, friday_before, 0.02)
    assert listed(store, sqlite_engine) == []
    revise(store, friday_before + 1, 0.02)
    assert listed(store, sqlite_engine) == [backtest.run_id]


def test_a_bar_in_quarantine_was_not_used_until_it_is_let_out(store, recorded, sqlite_engine):
    columns, _ = store.read_columns("AAPL", "1d")
    bar = columns.ts[[300]]
    held = datetime.now(UTC)
    store.quarantine("AAPL", "1d", bar, reason="bad print", by="ann", at=held)
    backtest, _ = recorded(end=date(2010, 12, 31))
    prices = columns.prices.copy()
    prices[3, 300] += 0.02
    series = store.find_series("AAPL", "1d")
    store.write_bars(
        "AAPL", "1d", BarColumns(columns.ts, columns.session, prices),
        calendar=series.calendar, source="vendor", overwrite=True,
    )  # fmt: skip
    assert listed(store, sqlite_engine) == []
    store.release("AAPL", "1d", bar, by="ann", at=datetime.now(UTC))
    assert listed(store, sqlite_engine) == [backtest.run_id]


def test_what_changes_while_a_study_runs_is_not_in_its_result(
    store, tmp_path, sqlite_engine, monkeypatch
):
    document = load_document(
        DAILY.replace("name: trend", "name: swept\nparameters: {n: {default: 20, low: 5, high: 60}}")
        .replace("(close, 20)", "(close, $n)")
    )  # fmt: skip
    import research.study_runs as runs

    whole = runs.walk_forward

    def then_revised(*arguments, **named):
        study = whole(*arguments, **named)
        revise(store, 300, 0.05)
        return study

    monkeypatch.setattr(runs, "walk_forward", then_revised)
    walked = run_walk_forward(
        sqlite_engine, BacktestRequest(document, symbols=("AAPL",)), {"n": (10.0, 20.0)}, store,
        WalkForwardOptions(n_windows=3), home=tmp_path,
    )  # fmt: skip
    assert listed(store, sqlite_engine) == [walked.study.study_id]


def test_a_revision_that_was_asked_for_before_a_run_and_stored_after_it_names_the_run(
    store, recorded, sqlite_engine
):
    columns, series = store.read_columns("AAPL", "1d")
    retrieved = datetime.now(UTC)
    backtest, _ = recorded(end=date(2010, 12, 31))
    prices = columns.prices.copy()
    prices[3, 300] += 0.02
    store.write_bars(
        "AAPL", "1d", BarColumns(columns.ts, columns.session, prices), calendar=series.calendar,
        source="vendor", overwrite=True,
        provenance=Provenance("vendor", "all", retrieved, "a" * 64),
    )  # fmt: skip
    assert listed(store, sqlite_engine) == [backtest.run_id]


def test_a_merge_names_the_runs_on_the_bars_that_it_changed_or_put_into_quarantine(
    store, recorded, sqlite_engine
):
    columns, series = store.read_columns("AAPL", "1d")
    early, _ = recorded(end=date(2001, 12, 31))
    whole, _ = recorded(DAILY.replace("name: trend", "name: whole"))
    other = columns.prices.copy()
    # Nothing decides between closes that lie two days' moves apart.
    other[3, 2000] *= 1.04
    other[1, 2000] = max(other[1, 2000], other[3, 2000])
    for name, prices in (("one", columns.prices), ("two", other)):
        bars = BarColumns(columns.ts, columns.session, prices)
        store.write_bars(f"AAPL@{name}", "1d", bars, calendar=series.calendar, source="test")
    report = merge_stored(
        store, "AAPL", ["AAPL@one", "AAPL@two"], "1d", at=datetime.now(UTC), overwrite=True
    )
    assert (report.changed, report.quarantined) == (0, 1)
    (found,) = impact_list(store, sqlite_engine)
    assert (found.impact.use.run_id, found.impact.n_changed) == (whole.run_id, 1)
    assert early.run_id != whole.run_id
