"""`core_step` on the platform: a sleeve that is given its bars one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bench.own import link, prepare, read_bars
from bench.protocol import serve
from trading.document import load_document
from trading.expressions.strategy import resolve_strategy
from trading.sleeve import run_sleeve, state_bytes
from trading.stepping import (
    BAR_FLAGS,
    CLOSE_TS,
    CODES,
    N_NUMBERS,
    QUOTES,
    SESSION,
    TRADE,
    TS,
    SteppedSleeve,
)


class StepJob:
    """Steps through all bars; everything but the steps is made beforehand."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._bars = read_bars(spec["bars"], spec["n_bars"], spec["lot"])
        self._strategy = resolve_strategy(load_document(Path(spec["strategy"])))
        self._cash = spec["cash"]
        bars = self._bars
        # As live bars come: numbers in one array, times and flags in another.
        self._numbers = np.ones((bars.n_bars, N_NUMBERS))
        self._numbers[:, :QUOTES] = bars.prices.T
        self._integers = np.zeros((bars.n_bars, CODES), np.int64)
        self._integers[:, TS] = bars.ts
        self._integers[:, CLOSE_TS] = bars.close_ts
        self._integers[:, SESSION] = bars.session
        self._integers[:, BAR_FLAGS] = bars.flags
        self._integers[:, TRADE] = 1
        self.run()

    def run(self) -> SteppedSleeve:
        """Step through the bars."""
        sleeve = SteppedSleeve(*self._linked(), self._cash)
        take, numbers, integers = sleeve.take, sleeve.numbers, sleeve.integers
        for new_numbers, new_integers in zip(self._numbers, self._integers, strict=True):
            numbers[:] = new_numbers
            integers[:] = new_integers
            take()
        return sleeve

    def arrays(self, result: SteppedSleeve) -> dict[str, np.ndarray]:
        """Return the state's size, and whether the backtest's loop ends in the same state."""
        linked, feed = prepare(self._strategy, {}, self._bars)
        looped = run_sleeve(linked.plan, feed, self._cash).state
        stepped = result.state.copy()
        # Written by the end of a run, which a stepped sleeve has not come to.
        looped["header"]["n_sessions"] = stepped["header"]["n_sessions"]
        same = state_bytes(linked.plan, looped) == state_bytes(linked.plan, stepped)
        return {
            "same_state": np.array(same),
            "state_bytes": np.array(len(result.state_bytes)),
            "n_fills": np.array(int(result.header["n_fills"])),
        }

    def _linked(self) -> tuple[Any, Any]:
        linker, linked = link(self._strategy, {}, self._bars)
        return linker, linked.plan


if __name__ == "__main__":
    serve(StepJob)
