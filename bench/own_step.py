"""`core_step` on the platform: a sleeve that is given its bars one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bench.own import link, prepare, read_bars
from bench.protocol import serve
from trading.document import load_document
from trading.expressions.strategy import resolve_strategy
from trading.sleeve import run_sleeve
from trading.stepping import SteppedSleeve, sleeve_size


class StepJob:
    """Steps through all bars; everything but the steps is made beforehand."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._bars = read_bars(spec["bars"], spec["n_bars"], spec["lot"])
        self._strategy = resolve_strategy(load_document(Path(spec["strategy"])))
        self._cash = spec["cash"]
        bars = self._bars
        # As a live bar comes: its prices in one array, the rest as Python's integers.
        rows = (bars.ts, bars.close_ts, bars.session, bars.flags)
        self._arguments = list(
            zip(np.ascontiguousarray(bars.prices.T), *(row.tolist() for row in rows), strict=True)
        )
        self.run()

    def run(self) -> SteppedSleeve:
        """Step through the bars."""
        sleeve = SteppedSleeve(*self._linked(), self._cash)
        step = sleeve.step
        for prices, ts, close_ts, session, flags in self._arguments:
            step(prices, ts, close_ts, session, flags)
        return sleeve

    def arrays(self, result: SteppedSleeve) -> dict[str, np.ndarray]:
        """Return the state's size, and whether the backtest's loop ends in the same state."""
        linked, feed = prepare(self._strategy, {}, self._bars)
        looped = run_sleeve(linked.plan, feed, self._cash).state
        header = looped.header.copy()
        stepped = result.state.header.copy()
        for both in (header, stepped):
            # Written by the end of a run, which a stepped sleeve has not come to.
            both["n_sessions"] = 0
        same = header.tobytes() == stepped.tobytes() and all(
            a.tobytes() == b.tobytes() for a, b in zip(looped[1:], result.state[1:], strict=True)
        )
        return {
            "same_state": np.array(same),
            "state_bytes": np.array(sleeve_size(result)),
            "n_fills": np.array(int(stepped["n_fills"][0])),
        }

    def _linked(self) -> tuple[Any, Any]:
        linker, linked = link(self._strategy, {}, self._bars)
        return linker, linked.plan


if __name__ == "__main__":
    serve(StepJob)
