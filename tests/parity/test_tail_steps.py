"""Indicators of the long tail, stepped bar by bar, against the run over all bars."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from docs.make_indicators import tail_columns
from foundation.errors import SpecError
from tests.parity.comparing import assert_steps_equal_the_run
from tests.parity.material import documents, made_bars
from tests.trading.making import first_bars, link, long_only, random_bars, step, strategy
from trading import tail_windows
from trading.indicators.batch import compute
from trading.indicators.tail import input_names, tail_specs
from trading.stepping import SteppedSleeve
from trading.tail_windows import TailWindows, WindowedIndicator

warnings.filterwarnings("ignore", category=FutureWarning)

# Of both libraries, of one and several inputs and outputs, of kernels and under
# kernels, shifted, in prices and in units without, and on a higher timeframe.
CONDITIONS = [
    "close > kama(close, 5, window=40)",
    "close < linearreg(close, 5, window=20)",
    "linearreg(rsi(close, 3), 4, window=15) > 50",
    "crosses_above(ema(tsf(close, 4, window=12), 3), sma(close, 6))",
    "beta(close, open, 4, window=25) > beta(close, open, 4, window=25)[1]",
    "natr(5) > 1 and midprice(4, window=30) < close",
    "close > linearreg(close, 3, window=6) @ 1w",
    "linearreg(close @ 1w, 3, window=8) > linearreg(high, 3, window=9) @ 1w",
    "bias(close, 5, window=20) < 0",
    "accbands(5, window=18).upper > high",
]


@st.composite
def documents_of_the_tail(draw: Any) -> dict[str, Any]:
    """Make a strategy of which one side at least waits for the long tail."""
    document = draw(documents())
    document["enter_long"] = draw(st.sampled_from(CONDITIONS))
    if draw(st.booleans()):
        document["exit_short"] = draw(st.sampled_from(CONDITIONS))
    if draw(st.booleans()):
        document["execution"]["exit"]["stop_loss"] = "2 * avgdev(close, 4, window=10) + 1"
    return document


@given(document=documents_of_the_tail(), bars=made_bars())
@settings(max_examples=25, deadline=None)
def test_any_strategy_of_the_long_tail_stepped_gives_the_same_bits(document, bars):
    assert_steps_equal_the_run(document, bars)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_of_the_long_tail_is_stepped_to_the_same_bits(condition):
    document = strategy(enter_long=condition, exit_long="bars_in_trade >= 3")
    bars = random_bars(8, 150, periods=("1w",))
    whole = assert_steps_equal_the_run(document, bars)
    assert whole.header["n_fills"] > 4


@given(bars=made_bars(), at=st.integers(2, 119), condition=st.sampled_from(CONDITIONS))
@settings(max_examples=20, deadline=None)
def test_cutting_the_data_changes_no_value_of_the_long_tail_before(bars, at, condition):
    document = long_only(enter_long=condition)
    whole, cut = link(document, bars), link(document, first_bars(bars, at))
    # A first corporate action after the cut brings columns of its own.
    assume(whole.linker.adjusted == cut.linker.adjusted)
    assert whole.feed.matrix[:, :at].tobytes() == cut.feed.matrix.tobytes()
    assert whole.feed.flags[:, :at].tobytes() == cut.feed.flags.tobytes()


@pytest.mark.parametrize("name", tail_specs())
def test_every_member_of_the_long_tail_is_stepped_to_the_same_bits(name):
    """A window that is moved on by each bar, against one that is cut out of all bars."""
    spec = tail_specs()[name]
    params = tuple(p.default for p in spec.parameters)
    assert spec.window is not None
    n_bars = int(spec.window(params)) + 6
    columns = tail_columns(name, n_bars)
    names = input_names(spec)
    expected = compute(spec, params, columns)
    matrix = np.full((len(names) + len(spec.outputs), 1), np.nan)
    rows = tuple(range(len(names)))
    windows = TailWindows([WindowedIndicator(spec, params, rows, len(names))], matrix)
    stepped = np.empty_like(expected)
    for i in range(n_bars):
        matrix[: len(names), 0] = [columns[n][i] for n in names]
        windows.take(0)
        stepped[:, i] = matrix[len(names) :, 0]
    assert stepped.tobytes() == expected.tobytes()


@pytest.mark.parametrize("at", [5, 30, 70])
def test_a_sleeve_of_the_long_tail_that_is_restored_keeps_its_windows(at):
    document = strategy(
        enter_long="linearreg(close, 5, window=40) > close",
        enter_short="close > linearreg(close, 3, window=6) @ 1w",
        exit_long="bars_in_trade >= 3",
        exit_short="bars_in_trade >= 2",
    )
    bars = random_bars(4, 120, periods=("1w",))
    kept = b""
    for i, first in step(document, bars):
        if i == at:
            kept = first.state_bytes
    for i, second in step(document, bars):
        if i == at:
            second.memory.matrix[:] = 7.0
            second._tail.values[:] = 7.0
            second.restore(kept)
    assert first.header["n_fills"] > 4
    assert second.state_bytes == first.state_bytes


def test_a_failure_in_the_long_tail_is_raised_and_nothing_is_decided(monkeypatch):
    bars = random_bars(1, 60)
    linked = link(long_only(enter_long="close > linearreg(close, 5, window=20)"), bars)
    sleeve = SteppedSleeve(linked.linker, linked.plan, 1000.0)
    stepping = sleeve.step_bars(bars)
    for _ in range(30):
        next(stepping)
    kept = sleeve.state_bytes

    def fail(*_):
        raise SpecError("`linearreg` does not take these parameters")

    with monkeypatch.context() as failing:
        failing.setattr(tail_windows, "compute_tail", fail)
        with pytest.raises(SpecError, match="does not take these parameters"):
            next(stepping)
    assert sleeve.header["i_bar"] == 30
    sleeve.restore(kept)
    sleeve.take()
    assert sleeve.header["i_bar"] == 31
