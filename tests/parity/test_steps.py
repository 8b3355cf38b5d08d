"""A sleeve that is given its bars one by one, as live is, against the run over all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import SpecError
from market_data.store import Store
from tests.parity.comparing import assert_steps_equal_the_run
from tests.parity.material import EXAMPLES, documents, made_bars, sample_bars
from tests.trading.making import (
    daily_bars,
    intraday_bars,
    link,
    long_only,
    random_bars,
    run,
    step,
    strategy,
)
from trading import columns, engine, finer, stepping
from trading.bars import Bars
from trading.document import load_document
from trading.sleeve import run_sleeve
from trading.stepping import SteppedSleeve


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_stepped_through_sample_bars_gives_the_same_bits(
    path: Path, sample_store: Store
):
    document = load_document(path)
    document = replace_close_at_end(document)
    bars = sample_bars(sample_store, document)
    assert (bars.finer is not None) == (document.execution.intrabar is not None)
    linked = link(document, bars)
    assert run_sleeve(linked.plan, linked.feed, 100_000.0).header["n_fills"] > 4
    assert_steps_equal_the_run(document, bars)


def replace_close_at_end(document: Any) -> Any:
    """Return a document that leaves its position open: nobody knows which bar is the last."""
    import msgspec

    execution = document.execution
    leave = msgspec.structs.replace(execution.exit, close_at_end=False)
    return msgspec.structs.replace(
        document, execution=msgspec.structs.replace(execution, exit=leave)
    )


@given(document=documents(), bars=made_bars())
@settings(max_examples=25, deadline=None)
def test_any_strategy_stepped_through_any_bars_gives_the_same_bits(document, bars):
    assert_steps_equal_the_run(document, bars)


@given(document=documents(), bars=made_bars())
@settings(max_examples=25, deadline=None)
def test_a_run_that_looks_at_every_bar_gives_the_same_bits(document, bars):
    linked = link(document, bars)
    quick = run_sleeve(linked.plan, linked.feed, 100_000.0)
    slow = run_sleeve(linked.plan, linked.feed, 100_000.0, every_bar=True)
    assert quick.state.tobytes() == slow.state.tobytes()
    for a, b in zip(quick.record, slow.record, strict=True):
        assert a.tobytes() == b.tobytes()
    assert quick.fills.tobytes() == slow.fills.tobytes()
    assert quick.order_log.tobytes() == slow.order_log.tobytes()
    assert quick.trades.tobytes() == slow.trades.tobytes()
    assert quick.cash_events.tobytes() == slow.cash_events.tobytes()


@given(document=documents(), bars=made_bars(), at=st.integers(1, 118), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_a_sleeve_that_is_restored_goes_on_as_if_it_had_never_stopped(document, bars, at, seed):
    """The sleeve that takes over has lived through other bars before."""
    linked = link(document, bars)
    first = SteppedSleeve(linked.linker, linked.plan, 100_000.0)
    fills: list[bytes] = []
    kept = b""
    for i in first.step_bars(bars):
        if i == at:
            kept = first.state_bytes
        if i > at:
            fills.append(first.journal["fills"][0, : first.journal["n_fills"][0]].tobytes())
    second = SteppedSleeve(linked.linker, linked.plan, 5_000.0)
    others = replace(
        random_bars(seed, 30, periods=("1w",)),
        bid=None if bars.bid is None else bars.bid[:, :30].copy(),
        ask=None if bars.ask is None else bars.ask[:, :30].copy(),
    )
    for _ in second.step_bars(others):
        pass
    again: list[bytes] = []
    for i in second.step_bars(bars):
        if i == at:
            second.restore(kept)
        if i > at:
            again.append(second.journal["fills"][0, : second.journal["n_fills"][0]].tobytes())
    assert again == fills
    assert second.state_bytes == first.state_bytes


def test_a_state_of_another_strategy_is_refused():
    bars = daily_bars([(10, 10, 10, 10)] * 3)
    plain = link(long_only(), bars)
    ladder = link(long_only(exit={"stop_loss": 1, "profit_target": 2}), bars)
    state = SteppedSleeve(ladder.linker, ladder.plan, 1000.0).state_bytes
    with pytest.raises(SpecError, match="bytes is needed"):
        SteppedSleeve(plain.linker, plain.plan, 1000.0).restore(state)


def test_warm_up_bars_change_no_state_but_the_columns():
    """Bars before the first traded one trade nothing, and the rest is as in the run."""
    bars = random_bars(3, 60)
    document = strategy(enter_long="close < sma(close, 10)", exit_long="close > sma(close, 10)")
    linked = link(document, bars)
    whole = run_sleeve(linked.plan, linked.feed, 100_000.0, first_bar=25)
    sleeve = SteppedSleeve(linked.linker, linked.plan, 100_000.0)
    equity = [float(sleeve.header["last_equity"]) for _ in sleeve.step_bars(bars, 25)]
    assert equity == whole.record.equity[25:].tolist()
    assert whole.header["n_fills"] > 0


def read_only(bars: Bars) -> Bars:
    """Return bars whose arrays can't be written to, as a memory map gives them."""
    for name in ("ts", "close_ts", "prices", "session", "flags", "facts", "actions"):
        getattr(bars, name).setflags(write=False)
    for codes in bars.periods.values():
        codes.setflags(write=False)
    return bars


KERNELS = (
    engine.run_nb,
    engine.finish_nb,
    columns.run_nodes_nb,
    columns.aggregate_nb,
    columns.read_rows_nb,
    finer.find_wrong_nb,
    stepping.step_nb,
)


def test_no_kernel_compiles_at_run_time_whatever_bars_come():
    """One signature serves plain bars, quotes, finer bars, actions and read-only arrays."""
    document = strategy(
        enter_long="close > ema(close, 3) @ 1w",
        enter_short="close < sma(close, 3)",
        exit_long="close < sma(close, 3)",
        entry={"type": "limit", "offset": 0.5, "time_in_force": "gtc"},
        exit={"stop_loss": 2},
    )
    plain = random_bars(1, 40, periods=("1w",))
    quotes = replace(plain, bid=plain.prices[:4] - 0.1, ask=plain.prices[:4] + 0.1)
    rows = [[tuple(row)] * 3 for row in plain.prices[:4].T]
    minutes = intraday_bars(rows, "1m", session_bars=390)
    acting = daily_bars(
        [tuple(row) for row in plain.prices.T], periods=("1w",), actions=[(9, 2.0, 0.5)]
    )
    from market_data.building import attach_finer

    with_minutes = attach_finer(plain, minutes)
    assert with_minutes.finer is not None
    assert with_minutes.finer.n_bars == 120
    run(long_only(exit={"close_at_end": True}), plain)
    compiled = None
    for bars in (
        with_minutes,
        plain,
        quotes,
        acting,
        read_only(random_bars(2, 40, periods=("1w",))),
    ):
        for keeps in (True, False):
            linked = link(document, bars)
            run_sleeve(linked.plan, linked.feed, 1e5, keep_rows=keeps)
        for _ in step(document, bars):
            pass
        # Where the cache was cold, a kernel that a step calls has another signature from within.
        compiled = compiled or [kernel.signatures[:] for kernel in KERNELS]
        assert [kernel.signatures for kernel in KERNELS] == compiled
    assert len(engine.run_nb.signatures) == 1
    assert len(engine.finish_nb.signatures) == 1
    assert len(stepping.step_nb.signatures) == 1
