"""Optimisation: the same seed, the same study; every row a backtest; a pruned trial costs its part."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest

from foundation.errors import SpecError
from foundation.home import CHECKOUT
from market_data.sample_set import load_sample
from market_data.store import Store
from research.backtest import BacktestRequest, run_backtest
from research.optimisation import OptimisationOptions, Pruning, TrialState, optimise
from research.optimisation_files import write_optimisation
from research.parameter_sets import declared_values
from research.study_record import alone
from research.sweeping import sweep_backtests
from research.writing import portfolio_curve, summarise_backtest
from tests.research.study_bars import SIGNAL, TREND, edge_store, noise, noise_store, store_bars
from trading.document import load_document


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    return noise_store(tmp_path_factory.mktemp("noise"), 900, 5)


def search(text, store, **options):
    document = load_document(text)
    return optimise(
        BacktestRequest(document), declared_values(document), store, OptimisationOptions(**options)
    )


@pytest.mark.parametrize("pruning", list(Pruning))
@pytest.mark.parametrize("robust", [False, True])
def test_same_seed_gives_the_same_study_in_every_bit(noisy, pruning, robust):
    options = {"n_trials": 40, "n_batch": 8, "pruning": pruning, "robust": robust, "seed": 3}
    one, two = (search(TREND, noisy, **options) for _ in range(2))
    assert repr(one.records) == repr(two.records)
    assert np.array_equal(one.equity, two.equity)
    assert one.choice.i_plateau == two.choice.i_plateau
    assert one.study_id == two.study_id


def test_another_seed_asks_for_other_sets(noisy):
    one, two = (search(TREND, noisy, n_trials=15, seed=seed) for seed in (1, 2))
    assert [r.values for r in one.records] != [r.values for r in two.records]


def test_sets_that_ran_to_the_end_equal_their_backtests(noisy):
    study = search(TREND, noisy, n_trials=40, n_batch=8)
    assert study.count(TrialState.PRUNED) > 0
    for k in range(0, len(study.sets), 5):
        done = run_backtest(BacktestRequest(load_document(TREND), values=study.sets[k]), noisy)
        summary = summarise_backtest(done, portfolio_curve(done))
        assert study.figures["final_equity"][k] == summary.final_equity
        assert study.figures["n_trades"][k] == summary.n_trades
        assert study.figures["max_drawdown"][k] == summary.max_drawdown


def test_sets_over_several_instruments_equal_the_sweeps(tmp_path):
    store = noise_store(tmp_path, 700, 5)
    store_bars(store, "LATE", noise(500, 9))
    text = TREND.replace("[NOISE]", "[NOISE, LATE]")
    study = search(text, store, n_trials=12, pruning=Pruning.MEDIAN, n_batch=4)
    for k, one in enumerate(study.sets):
        values = {name: (value, value) for name, value in one.items()}
        sweep = sweep_backtests(
            BacktestRequest(load_document(text)), {n: v[:1] for n, v in values.items()}, store
        )
        assert study.figures["final_equity"][k] == sweep.figures[0].final_equity
        assert study.figures["sharpe"][k] == sweep.figures[0].sharpe


def test_score_of_each_part_is_that_of_a_backtest_that_ends_there(noisy):
    study = search(TREND, noisy, n_trials=10, n_batch=5, pruning=Pruning.NONE)
    record = study.records[3]
    assert len(record.parts) == 4
    sessions = study.sessions
    end = np.datetime64(int(sessions[round(len(sessions) / 4) - 1]), "D").item()
    done = run_backtest(BacktestRequest(load_document(TREND), values=record.values, end=end), noisy)
    sharpe = summarise_backtest(done, portfolio_curve(done)).sharpe
    assert (sharpe is None and math.isnan(record.parts[0])) or sharpe == record.parts[0]


def test_pruned_trials_ran_over_a_part_and_are_counted_as_tried(noisy):
    study = search(TREND, noisy, n_trials=60, n_batch=10)
    pruned = [r for r in study.records if r.state is TrialState.PRUNED]
    assert pruned
    assert all(1 <= len(r.parts) < 4 for r in pruned)
    distinct = {tuple(r.values.values()) for r in study.records}
    assert study.trials.n_sets == len(distinct)
    repeated = study.count(TrialState.REPEATED)
    assert len(study.records) == 60
    assert len(distinct) == 60 - repeated


def test_planted_edge_is_found(tmp_path):
    study = search(SIGNAL, edge_store(tmp_path), n_trials=30, pruning=Pruning.NONE)
    assert study.sets[study.choice.i_peak]["level"] == 5.0
    assert study.sets[study.choice.i_plateau]["level"] == 5.0


def test_a_robust_search_runs_the_neighbours_of_what_ran_to_the_end(noisy):
    study = search(TREND, noisy, n_trials=10, n_batch=5, robust=True, pruning=Pruning.NONE)
    ran = {tuple(one.values()) for one in study.sets}
    values = study.values
    for record in study.records:
        if record.state is TrialState.COMPLETE:
            for name, found in values.items():
                at = found.index(record.values[name])
                for to in (at - 1, at + 1):
                    if 0 <= to < len(found):
                        beside = {**record.values, name: found[to]}
                        assert tuple(beside.values()) in ran


def test_sets_with_too_few_trades_can_not_be_chosen(noisy):
    study = search(TREND, noisy, n_trials=30, n_trades_min=20, pruning=Pruning.NONE)
    assert study.figures["n_trades"][study.choice.i_plateau] >= 20
    assert study.figures["n_trades"][study.choice.i_peak] >= 20


def test_values_that_do_not_fit_together_are_left_out_with_the_reason(noisy):
    text = TREND.replace(
        "sma(close, $fast) > sma(close, $slow)", "macd(close, $fast, $slow - 14, 9) > 0"
    ).replace("sma(close, $fast) < sma(close, $slow)", "rsi(close, 14) > 70")
    study = search(text, noisy, n_trials=30, n_trades_min=0)
    assert study.count(TrialState.LEFT_OUT) > 0
    assert study.prepared.skipped


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_trials": 0}, "trials: must be from 1 to 100,000, got 0"),
        ({"objective": "luck"}, "unknown figure 'luck'"),
        ({"n_parts": 99}, "parts: must be from 1 to 50, got 99"),
    ],
)
def test_wrong_options_are_refused(noisy, options, message):
    with pytest.raises(SpecError, match=message):
        search(TREND, noisy, **options)


def test_files_hold_every_trial_and_are_the_same_again(noisy, tmp_path):
    for name in ("one", "two"):
        study = search(TREND, noisy, n_trials=40, n_batch=8)
        about = write_optimisation(study, alone(study.trials), tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert json.loads((tmp_path / "one" / "optimisation.json").read_text()) == about
    rows = pl.read_parquet(tmp_path / "one" / "trials.parquet")
    assert rows["trial"].to_list() == list(range(40))
    assert set(rows["state"]) <= {state.value for state in TrialState}
    assert rows.filter(pl.col("state") == "pruned")["sharpe"].null_count() == about["n_pruned"]


def test_interrupt_ends_the_search(noisy):
    def interrupt(done: int, total: int, label: str = "") -> None:
        if done:
            raise KeyboardInterrupt

    document = load_document(TREND)
    with pytest.raises(KeyboardInterrupt):
        optimise(BacktestRequest(document), declared_values(document), noisy, progress=interrupt)


def test_sets_that_go_on_after_others_were_pruned_keep_their_own_corporate_actions(tmp_path):
    store = Store(tmp_path)
    load_sample(store)
    document = load_document(CHECKOUT / "examples" / "macd_trend.yaml")
    request = BacktestRequest(document, symbols=("AAPL",))
    study = optimise(
        request, declared_values(document), store, OptimisationOptions(n_trials=40, n_batch=20)
    )
    assert study.count(TrialState.PRUNED) > 5
    assert len(study.prepared.loaded[0].bars.actions) > 0
    for k, one in enumerate(study.sets):
        swept = sweep_backtests(request, {name: (value,) for name, value in one.items()}, store)
        assert study.figures["final_equity"][k] == swept.figures[0].final_equity
