"""The locked period: no choice sees it, and every look at it is on record."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from foundation.clock import FixedClock
from foundation.errors import DataError, SpecError
from market_data.listings import Listings, Security, Ticker, write_listings
from research.backtest import BacktestRequest, run_backtest
from research.holdout import (
    guard,
    instruments_of,
    lock,
    locks_of,
    looks_recorder,
    open_period,
    seen_before,
)
from research.optimisation import OptimisationOptions
from research.parameter_sets import declared_values
from research.study_runs import run_optimisation, run_recorded_sweep, run_walk_forward
from research.sweep_choice import ChoiceOptions
from research.walk_forward import WalkForwardOptions
from strategies.studies import find_locks, list_studies
from tests.research.study_bars import TREND, noise, noise_store, store_bars, weekdays
from trading.document import load_document

N_SESSIONS = 1000
# A fifth of a thousand sessions: the 801st is the first locked one.
FIRST_LOCKED = np.datetime64(int(weekdays(N_SESSIONS)[800]), "D").item()
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    made = noise_store(tmp_path_factory.mktemp("noise"), N_SESSIONS, 2)
    store_bars(made, "OTHER", noise(N_SESSIONS, 3))
    return made


@pytest.fixture
def request_():
    return BacktestRequest(load_document(TREND))


def lock_it(engine, request, store, **more):
    return lock(engine, request, store, by="ada", reason="kept", clock=FixedClock(NOON), **more)


def test_last_fifth_of_the_sessions_is_locked_and_cut_off(engine, store, request_):
    found = lock_it(engine, request_, store)
    assert found.first_session == FIRST_LOCKED
    assert (found.locked_by, found.locked_at, found.reason) == ("ada", NOON, "kept")
    guarded = guard(engine, request_, store)
    assert guarded.request.end == FIRST_LOCKED - timedelta(days=1)
    assert "are locked and were left out" in guarded.note


@pytest.mark.parametrize("name", ["start", "end"])
def test_a_date_in_the_locked_period_is_refused(engine, store, request_, name):
    lock_it(engine, request_, store)
    with pytest.raises(DataError, match=f"from {FIRST_LOCKED} on are locked, and {name} is"):
        guard(engine, replace(request_, **{name: FIRST_LOCKED}), store)
    before = FIRST_LOCKED - timedelta(days=1)
    assert guard(engine, replace(request_, end=before), store).request.end == before


def test_every_study_ends_before_the_locked_period(engine, store, request_, tmp_path):
    lock_it(engine, request_, store)
    values = declared_values(request_.document)
    more = {"home": tmp_path}
    sweep = run_recorded_sweep(engine, request_, values, store, ChoiceOptions(), **more)
    search = run_optimisation(
        engine, request_, values, store, OptimisationOptions(n_trials=10), **more
    )
    walk = run_walk_forward(engine, request_, values, store, WalkForwardOptions(), **more)
    last = (FIRST_LOCKED - timedelta(days=1)).isoformat()
    for written in (sweep, search, walk):
        assert written.about["end"] <= last
    for about in (sweep.about["choice"], search.about, walk.about):
        locked = about["trials"]["locked_periods"][0]
        assert (locked["first_session"], locked["n_openings"]) == (FIRST_LOCKED.isoformat(), 0)
        assert any("never opened" in text for text in about["notes"])


def test_opening_is_recorded_with_who_when_why_version_and_result(
    engine, store, request_, tmp_path
):
    lock_it(engine, request_, store)
    clock = FixedClock(NOON + timedelta(days=9))
    summary, directory, found = open_period(
        engine, replace(request_, values={"fast": 7.0}), store, home=tmp_path,
        reason="before paper", by="bob", clock=clock,
    )  # fmt: skip
    assert summary.start == FIRST_LOCKED.isoformat()
    assert (directory / "summary.json").is_file()
    (look,) = found.openings
    assert (look.opened_by, look.opened_at, look.reason) == ("bob", clock.now(), "before paper")
    assert (look.version_hash, look.result_id) == (summary.version_hash, summary.run_id)
    assert look.result_directory == str(directory)
    again = open_period(engine, request_, store, home=tmp_path, reason="again", by="eve")[2]
    assert [one.opened_by for one in again.openings] == ["bob", "eve"]
    walk = run_walk_forward(
        engine, request_, declared_values(request_.document), store, WalkForwardOptions(),
        home=tmp_path,
    )  # fmt: skip
    assert any("opened 2 times" in text for text in walk.about["notes"])
    assert "bob" in (walk.directory / "study.html").read_text()


@pytest.mark.parametrize("reason", ["", "  "])
def test_opening_without_a_reason_is_refused_before_anything_is_seen(
    engine, store, request_, tmp_path, reason
):
    lock_it(engine, request_, store)
    with pytest.raises(DataError, match="reason is required"):
        open_period(engine, request_, store, home=tmp_path, reason=reason)
    assert list(tmp_path.rglob("summary.json")) == []
    assert find_locks(engine)[0].openings == ()


def test_a_plain_backtest_over_locked_sessions_is_an_opening(engine, store, request_, tmp_path):
    lock_it(engine, request_, store)
    recorder = looks_recorder(engine, store, lambda ready: tmp_path / ready.run_id, by="ada")
    for end, n_openings in ((FIRST_LOCKED - timedelta(days=1), 0), (FIRST_LOCKED, 1), (None, 2)):
        done = run_backtest(replace(request_, end=end), store, before=recorder)
        assert len(find_locks(engine)[0].openings) == n_openings
    look = find_locks(engine)[0].openings[-1]
    assert (look.result_id, look.version_hash) == (done.run_id, done.version)
    assert look.result_directory == str(tmp_path / done.run_id)


def test_a_look_is_on_record_before_a_bar_is_traded(engine, store, request_, monkeypatch, tmp_path):
    lock_it(engine, request_, store)

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("research.backtest.run_instrument", die)
    with pytest.raises(KeyboardInterrupt):
        open_period(engine, request_, store, home=tmp_path, reason="a look", by="bob")
    assert [one.opened_by for one in find_locks(engine)[0].openings] == ["bob"]
    assert list(tmp_path.rglob("summary.json")) == []


def test_lock_holds_for_other_bars_of_the_same_sessions(engine, store, request_):
    lock_it(engine, request_, store)
    weekly = load_document(TREND.replace("timeframe: 1d", "timeframe: 1w"))
    last = FIRST_LOCKED - timedelta(days=1)
    assert guard(engine, BacktestRequest(weekly), store).request.end == last


def test_lock_holds_for_a_security_under_its_other_ticker(engine, request_, tmp_path):
    own = noise_store(tmp_path, N_SESSIONS, 2)
    lock_it(engine, request_, own)
    tickers = (Ticker("NOISE", None, date(2012, 1, 31)), Ticker("NEW", date(2012, 2, 1), None))
    write_listings(own, Listings((Security("NEW", tickers),)))
    for asked in ("NEW", "NEW@yahoo", "NOISE"):
        assert guard(engine, replace(request_, symbols=(asked,)), own).locks
    assert not guard(engine, replace(request_, symbols=("OTHER",)), own).locks


def test_sets_tried_under_a_security_s_other_ticker_count(engine, request_, tmp_path):
    own = noise_store(tmp_path, N_SESSIONS, 2)
    home, declared = tmp_path / "home", declared_values(request_.document)
    first = run_recorded_sweep(engine, request_, declared, own, ChoiceOptions(), home=home)
    tickers = (Ticker("NOISE", None, date(2012, 1, 31)), Ticker("NEW", date(2012, 2, 1), None))
    write_listings(own, Listings((Security("NEW", tickers),)))
    renamed = replace(request_, symbols=("NEW",))
    again = run_recorded_sweep(engine, renamed, declared, own, ChoiceOptions(), home=home)
    n_sets = len(first.study.sets)
    assert first.about["choice"]["trials"]["n_sets_tried"] == n_sets
    assert again.about["choice"]["trials"]["n_sets_tried"] == 2 * n_sets


@pytest.mark.parametrize(
    ("run", "options"),
    [
        (run_recorded_sweep, ChoiceOptions()),
        (run_optimisation, OptimisationOptions(n_trials=10)),
        (run_walk_forward, WalkForwardOptions()),
    ],
)
def test_study_that_saw_sessions_which_were_locked_meanwhile_is_refused(
    engine, store, request_, tmp_path, run, options
):
    def lock_meanwhile(done: int, total: int, label: str = "") -> None:
        lock_it(engine, request_, store)

    with pytest.raises(DataError, match="were locked while this ran"):
        run(
            engine, replace(request_, end=date(2013, 6, 3)), declared_values(request_.document),
            store, options, home=tmp_path / "home", progress=lock_meanwhile,
        )  # fmt: skip
    assert not (tmp_path / "home").exists()
    assert list_studies(engine) == []


def test_what_was_seen_before_the_lock_is_told(engine, store, request_, tmp_path):
    values = {"fast": (3.0, 5.0), "slow": (20.0, 30.0)}
    before = FIRST_LOCKED - timedelta(days=1)
    for end in (before, FIRST_LOCKED, None):
        run_recorded_sweep(
            engine, replace(request_, end=end), values, store, ChoiceOptions(), home=tmp_path
        )
    other = replace(request_, symbols=("OTHER",))
    run_recorded_sweep(engine, other, values, store, ChoiceOptions(), home=tmp_path)
    found = lock(engine, request_, store, by="ada")
    # Of four sweeps, one ended before and one was of another instrument.
    assert seen_before(engine, found, store) == 2
    run_recorded_sweep(engine, request_, values, store, ChoiceOptions(), home=tmp_path)
    open_period(engine, request_, store, home=tmp_path, reason="a look")
    assert seen_before(engine, found, store) == 2


def test_lock_can_not_be_moved(engine, store, request_):
    lock_it(engine, request_, store)
    assert lock_it(engine, request_, store).first_session == FIRST_LOCKED
    with pytest.raises(DataError, match="a lock can't be moved"):
        lock_it(engine, request_, store, first_session=date(2013, 1, 7))
    assert [one.first_session for one in find_locks(engine)] == [FIRST_LOCKED]


def test_lock_holds_for_every_version_and_for_any_shared_instrument(engine, store, request_):
    lock_it(engine, request_, store)
    changed = load_document(TREND.replace("0.95", "0.5"))
    assert guard(engine, BacktestRequest(changed), store).locks
    assert guard(engine, replace(request_, symbols=("OTHER", "NOISE")), store).locks
    assert guard(engine, replace(request_, symbols=("NOISE@yahoo",)), store).locks
    assert not guard(engine, replace(request_, symbols=("OTHER",)), store).locks
    renamed = load_document(TREND.replace("name: trend", "name: other"))
    assert not guard(engine, BacktestRequest(renamed), store).locks


def test_lock_must_leave_sessions_on_both_sides(engine, store, request_):
    for first in (date(1990, 1, 1), date(2090, 1, 1)):
        with pytest.raises(DataError, match="must leave sessions on both sides"):
            lock_it(engine, request_, store, first_session=first)
    with pytest.raises(SpecError, match="share: must be above 0 and below 1, got 1"):
        lock_it(engine, request_, store, share=1.0)


def test_nothing_to_open_is_said(engine, store, request_, tmp_path):
    with pytest.raises(DataError, match="nothing of trend on NOISE is locked"):
        open_period(engine, request_, store, home=tmp_path, reason="why not")
    assert locks_of(engine, request_, store) == []
    assert instruments_of(replace(request_, symbols=("B@x", "A", "B"))) == ("A", "B")


# Trials.


def test_trials_add_up_over_the_studies_of_a_strategy_and_count_once_when_repeated(
    engine, store, request_, tmp_path
):
    values = {"fast": (3.0, 5.0, 7.0), "slow": (20.0, 30.0)}
    for _ in range(2):
        first = run_recorded_sweep(
            engine, request_, values, store, ChoiceOptions(), home=tmp_path
        ).about["choice"]["trials"]
        assert (first["n_studies"], first["n_sets_tried"]) == (1, 6)
    other = replace(request_, end=date(2012, 6, 1))
    second = run_recorded_sweep(engine, other, values, store, ChoiceOptions(), home=tmp_path)
    trials = second.about["choice"]["trials"]
    assert (trials["n_studies"], trials["n_sets_tried"], trials["n_sets_tried_here"]) == (2, 12, 6)
    assert [one.n_sets for one in list_studies(engine, name="trend")] == [6, 6]
    elsewhere = replace(request_, symbols=("OTHER",))
    apart = run_recorded_sweep(engine, elsewhere, values, store, ChoiceOptions(), home=tmp_path)
    assert apart.about["choice"]["trials"]["n_sets_tried"] == 6


def test_more_trials_deflate_the_same_result(engine, store, request_, tmp_path):
    values = {"fast": (3.0, 5.0), "slow": (20.0, 30.0)}
    options = {"home": tmp_path, "out": tmp_path / "same"}
    before = run_recorded_sweep(engine, request_, values, store, ChoiceOptions(), **options)
    run_walk_forward(
        engine, request_, declared_values(request_.document), store, WalkForwardOptions(),
        home=tmp_path,
    )  # fmt: skip
    after = run_recorded_sweep(engine, request_, values, store, ChoiceOptions(), **options)
    one, two = (written.about["choice"]["peak"] for written in (before, after))
    assert one["probabilistic_sharpe"] == two["probabilistic_sharpe"]
    assert one["deflated_sharpe"] > two["deflated_sharpe"]


def test_interrupted_study_leaves_neither_folder_nor_row(engine, store, request_, tmp_path):
    def interrupt(done: int, total: int, label: str = "") -> None:
        raise KeyboardInterrupt

    values = declared_values(request_.document)
    for run, options in (
        (run_recorded_sweep, ChoiceOptions()),
        (run_optimisation, OptimisationOptions()),
        (run_walk_forward, WalkForwardOptions()),
    ):
        with pytest.raises(KeyboardInterrupt):
            run(
                engine, request_, values, store, options, home=tmp_path / "home",
                progress=interrupt,
            )  # fmt: skip
    assert not (tmp_path / "home").exists()
    assert list_studies(engine) == []


@pytest.mark.parametrize(
    ("run", "options"),
    [
        (run_recorded_sweep, ChoiceOptions()),
        (run_optimisation, OptimisationOptions(n_trials=40, n_batch=10)),
        (run_walk_forward, WalkForwardOptions(n_windows=4)),
    ],
)
def test_interrupted_study_run_again_gives_what_it_would_have_given_and_counts_once(
    engine, store, request_, tmp_path, run, options
):
    values = {"fast": (3.0, 5.0, 7.0, 9.0), "slow": (20.0, 25.0, 30.0)}
    whole = run(engine, request_, values, store, options, home=tmp_path / "home")
    files = {path.name: path.read_bytes() for path in whole.directory.iterdir()}

    def interrupt(done: int, total: int, label: str = "") -> None:
        if done >= total / 2:
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(
                engine, request_, values, store, options, home=tmp_path / "home",
                progress=interrupt,
            )  # fmt: skip
    # What was there before stays whole, and another try writes the same bytes over it.
    again = run(engine, request_, values, store, options, home=tmp_path / "home")
    assert {path.name: path.read_bytes() for path in again.directory.iterdir()} == files
    assert len(list_studies(engine)) == 1
