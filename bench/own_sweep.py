"""`sweep` on the platform: one call of the public sweep."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.own import prepare, read_bars, trade_arrays
from bench.processes import N_THREADS
from bench.protocol import serve
from bench.rules import STRATEGIES
from trading.document import load_document
from trading.expressions.strategy import resolve_strategy
from trading.sleeve import run_sleeve
from trading.sweep import SweepRuns, run_sweep


class SweepJob:
    """Links all sets, computes their columns and runs them."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._bars = read_bars(spec["bars"], None, spec["lot"])
        self._sets = [{"x": x, "y": y} for x, y in spec["sets"]]
        self._strategy = resolve_strategy(load_document(STRATEGIES / "common.yaml"))
        self._cash = spec["cash"]
        self.run()

    def run(self) -> SweepRuns:
        """Run all sets, from bars in memory to the final state of each sleeve."""
        return run_sweep(self._strategy, self._bars, self._sets, cash=self._cash, threads=N_THREADS)

    def arrays(self, result: SweepRuns) -> dict[str, np.ndarray]:
        """Return the trades: of a single run of each set, which must end as the sweep's did."""
        runs = {}
        for i, values in enumerate(self._sets):
            linked, feed = prepare(self._strategy, values, self._bars)
            runs[i] = run_sleeve(linked.plan, feed, self._cash)
            if runs[i].header.tobytes() != result.headers[i].tobytes():
                raise AssertionError(f"set {values} ends otherwise in the sweep than alone")
        return trade_arrays(runs)


if __name__ == "__main__":
    serve(SweepJob)
