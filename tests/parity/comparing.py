"""A stepped sleeve against the run over all bars, in every row and every bit."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.trading.making import link
from trading.bars import Bars
from trading.sleeve import SleeveRun, run_sleeve, state_bytes
from trading.stepping import SteppedSleeve

LOGS = ("fills", "orders", "trades", "cash_events")


def comparable(plan: np.ndarray, state: np.ndarray) -> bytes:
    """Return a state as bytes without what only a finished run of stored bars knows.

    That is when the next corporate action comes, and that the last session ended.
    """
    state = state.copy()
    state["header"]["wake_bar"] = 0
    state["header"]["n_sessions"] = 0
    return state_bytes(plan, state)


def assert_steps_equal_the_run(document: Any, bars: Bars, cash: float = 100_000.0) -> SleeveRun:
    """Compare every row and every bit of a stepped sleeve with the run's; return the run."""
    linked = link(document, bars)
    whole = run_sleeve(linked.plan, linked.feed, cash)
    sleeve = SteppedSleeve(linked.linker, linked.plan, cash)
    rows: dict[str, list[bytes]] = {name: [] for name in LOGS}
    per_bar: list[tuple[float, float, int]] = []
    for _ in sleeve.step_bars(bars):
        journal = sleeve.journal[0]
        for name in LOGS:
            rows[name].append(journal[name][: journal[f"n_{name}"]].tobytes())
        header = sleeve.header
        per_bar.append((float(header["last_equity"]), float(header["cash"]), int(header["lots"])))
    wholes = (whole.fills, whole.order_log, whole.trades, whole.cash_events)
    for name, expected in zip(LOGS, wholes, strict=True):
        assert b"".join(rows[name]) == expected.tobytes(), name
    record = whole.record
    assert per_bar == list(
        zip(record.equity.tolist(), record.cash.tolist(), record.lots.tolist(), strict=True)
    )
    stepped, expected_state = sleeve.state[0], whole.state[0]
    for name in stepped["header"].dtype.names:
        if name not in ("wake_bar", "n_sessions"):
            a, b = stepped["header"][name], expected_state["header"][name]
            assert a.tobytes() == b.tobytes(), (name, a, b)
    assert comparable(linked.plan, sleeve.state) == comparable(linked.plan, whole.state)
    return whole
