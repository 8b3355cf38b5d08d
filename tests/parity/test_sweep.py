"""A row of a sweep against the same values in a backtest of their own, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import SpecError
from market_data.loading import LoadedBars
from market_data.store import Store
from research.backtest import run_instrument
from tests.parity.material import EXAMPLES, documents, made_bars, sample_bars
from tests.trading.making import random_bars, strategy
from trading import sweep
from trading.bars import Bars
from trading.document import document_from, load_document
from trading.expressions.strategy import bind, resolve_strategy
from trading.specialising import WITH_TARGET, WITHOUT_TARGET, kind_of
from trading.sweep import run_sweep


def assert_rows_equal_backtests(
    document: Any, bars: Bars, sets: list[dict[str, float]], *, first_bar: int = 0
) -> np.ndarray:
    """Compare all rows of a sweep with single backtests; return the rows' headers."""
    resolved = resolve_strategy(document)
    has_volume = bars.has_volume(first_bar)
    runs = run_sweep(resolved, bars, sets, first_bar=first_bar, has_volume=has_volume, threads=2)
    for k, values in enumerate(sets):
        loaded = LoadedBars(bars, first_bar, "", "")
        single = run_instrument(resolved, bind(resolved, values), loaded, 100_000.0).run
        for name in single.header.dtype.names:
            a, b = runs.headers[k][name], single.header[name]
            assert a.tobytes() == b.tobytes(), (values, name, a, b)
        assert runs.session_equity[k].tobytes() == single.record.session_equity.tobytes()
        assert runs.sessions.tobytes() == single.record.session_date.tobytes()
    return runs.headers


def some_sets(document: Any, n: int, seed: int) -> list[dict[str, float]]:
    """Draw values on the steps of a document's parameters, and the defaults."""
    draw = np.random.default_rng(seed)
    sets: list[dict[str, float]] = [{}]
    for _ in range(n):
        values = {}
        for name, p in document.parameters.items():
            count = round((p.high - p.low) / p.step)
            values[name] = float(p.low + p.step * draw.integers(0, count + 1))
        sets.append(values)
    return sets


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_rows_of_an_examples_sweep_equal_backtests(path: Path, sample_store: Store):
    document = load_document(path)
    bars = sample_bars(sample_store, document)
    headers = assert_rows_equal_backtests(document, bars, some_sets(document, 4, 1))
    assert headers["n_fills"].max() > 0
    assert len(set(headers["last_equity"].tolist())) > 1


PARAMETERS = {
    "length": {"default": 4, "low": 2, "high": 9, "step": 1},
    "stop": {"default": 3, "low": 1, "high": 5, "step": 0.5},
    "size": {"default": 0.5, "low": 0.1, "high": 1, "step": 0.1},
    "hold": {"default": 5, "low": 1, "high": 9, "step": 1},
}


@given(
    document=documents(),
    bars=made_bars(),
    places=st.sets(st.sampled_from(["entry", "exit", "stop", "size", "setup"]), max_size=3),
    seed=st.integers(0, 999),
)
@settings(max_examples=25, deadline=None)
def test_rows_of_any_sweep_equal_backtests(document, bars, places, seed):
    """Parameters in conditions alone, in setups, in formulas and in the policy."""
    if "entry" in places:
        document["enter_long"] = "close < sma(close, $length)"
    if "exit" in places:
        document["exit_long"] = "bars_in_trade >= $hold"
    if "setup" in places:
        document["setup_short"] = [{"when": "close > sma(close, $length)", "within": "$hold"}]
    if "stop" in places:
        document["execution"]["exit"]["stop_loss"] = "$stop * atr($length)"
    if "size" in places:
        document["execution"]["size"] = {"equity_fraction": "$size"}
    used = repr(document)
    document["parameters"] = {k: v for k, v in PARAMETERS.items() if f"${k}" in used}
    decoded = document_from(document)
    assert_rows_equal_backtests(decoded, bars, some_sets(decoded, 3, seed))


SINGLE_EXITS = st.fixed_dictionaries(
    {"stop_loss": st.sampled_from([3, "3%", "$stop * atr(3)"])},
    optional={
        "profit_target": st.sampled_from([3, "4%", [{"at": "2 * atr(3)", "close": 0.5}]]),
        "trailing_stop": st.sampled_from([2.5, "5%"]),
        "break_even": st.just({"at": 2, "offset": 0.25}),
        "time_stop": st.just(6),
    },
)


@given(document=documents(), leave=SINGLE_EXITS, bars=made_bars(), seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_rows_of_a_sweep_on_a_special_kernel_equal_backtests(document, leave, bars, seed):
    """Backtests run on the general kernel."""
    keep = {key: document["execution"][key] for key in ("size", "cooldown_bars", "touch")}
    document["execution"] = keep | {"exit": leave}
    used = repr(document)
    document["parameters"] = {k: v for k, v in PARAMETERS.items() if f"${k}" in used}
    decoded = document_from(document)
    kinds = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "kind_of", lambda plans: kinds.append(kind_of(plans)) or kinds[-1])
        headers = assert_rows_equal_backtests(
            decoded, replace(bars, bid=None, ask=None), some_sets(decoded, 3, seed)
        )
    assert set(kinds) == {WITH_TARGET if "profit_target" in leave else WITHOUT_TARGET}
    assert headers["n_fills"].max() > 0


def test_batches_of_a_sweep_do_not_change_its_rows(monkeypatch: pytest.MonkeyPatch):
    """With memory for one set's columns at a time, every set is a batch of its own."""
    monkeypatch.setattr(sweep, "COLUMN_BYTES", 1)
    document = document_from(
        strategy(
            parameters=PARAMETERS,
            enter_long="close < sma(close, $length)",
            exit_long="close > sma(close, $length) or bars_in_trade > $hold",
            size={"equity_fraction": "$size"},
            exit={"stop_loss": "$stop * atr(5)", "trailing_stop": 4},
        )
    )
    assert_rows_equal_backtests(document, random_bars(5, 200), some_sets(document, 5, 2))


@pytest.mark.parametrize("changed", ["level", "hold"])
def test_a_setup_guards_a_condition_that_asks_for_the_position_with_its_own_values(changed):
    """Such a condition is a formula of the plan, its setup a column of the set's own."""
    parameters = {
        "level": {"default": 50, "low": 10, "high": 90, "step": 5},
        "hold": {"default": 2, "low": 1, "high": 9, "step": 1},
    }
    parameters = {changed: parameters[changed]}
    when = "rsi(close, 5) < $level" if changed == "level" else "rsi(close, 5) < 30"
    document = document_from(
        strategy(
            parameters=parameters,
            setup=[{"when": when, "within": "$hold" if changed == "hold" else 2}],
            enter_long="close > sma(close, 3) and position == 0",
            exit_long="bars_in_trade >= 2",
        )
    )
    low, high = (10.0, 75.0) if changed == "level" else (1.0, 9.0)
    sets = [{changed: low}, {changed: high}]
    headers = assert_rows_equal_backtests(document, random_bars(8, 250), sets)
    assert headers["n_trades"][0] < headers["n_trades"][1]


def test_sets_that_run_a_few_bars_at_a_time_meet_every_corporate_action(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(sweep, "STRETCH_BARS", 7)
    monkeypatch.setattr(sweep, "EVALUATIONS_AT_ONCE", 1)
    document = document_from(
        strategy(
            parameters={"length": PARAMETERS["length"]},
            enter_long="close < sma(close, $length)",
            exit={"stop_loss": "10%"},
        )
    )
    bars = random_bars(9, 150, actions=[(20, 2.0, 0.5), (55, 0.5, 0.0), (120, 1.0, 0.25)])
    headers = assert_rows_equal_backtests(document, bars, some_sets(document, 6, 4))
    assert headers["total_dividends"].max() > 0.0


def test_an_interrupt_ends_a_sweep_between_two_stretches(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sweep, "STRETCH_BARS", 1)
    monkeypatch.setattr(sweep, "EVALUATIONS_AT_ONCE", 1)
    monkeypatch.setattr(sweep, "SECONDS_BETWEEN", 0.0)
    ended = []
    monkeypatch.setattr(sweep, "finish_nb", lambda *_: ended.append(1))
    resolved = resolve_strategy(
        document_from(
            strategy(
                parameters={"length": PARAMETERS["length"]},
                enter_long="close < sma(close, $length)",
            )
        )
    )

    def interrupt(done: int, total: int, label: str = "") -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(resolved, random_bars(7, 20_000), [{}] * 8, progress=interrupt)
    assert not ended


def test_bars_before_the_first_only_warm_up():
    document = document_from(
        strategy(
            parameters={"length": PARAMETERS["length"]},
            enter_long="close < sma(close, $length)",
            exit_long="close > sma(close, $length)",
        )
    )
    sets = some_sets(document, 3, 3)
    headers = assert_rows_equal_backtests(document, random_bars(6, 120), sets, first_bar=50)
    assert headers["n_fills"].min() > 0


def test_a_set_outside_the_documents_ranges_is_refused():
    document = document_from(
        strategy(
            parameters={"length": PARAMETERS["length"]},
            enter_long="close < sma(close, $length)",
        )
    )
    with pytest.raises(SpecError, match="not within 2 to 9"):
        run_sweep(resolve_strategy(document), random_bars(1, 30), [{"length": 10.0}])
