"""`single` on the platform: one strategy over all bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bench.own import prepare, read_bars, trade_arrays
from bench.protocol import serve
from trading.document import load_document
from trading.dtypes import HIGHER_EQUITY
from trading.expressions.strategy import resolve_strategy
from trading.sleeve import SleeveRun, run_sleeve


class SingleJob:
    """Links the strategy, computes its columns and runs it.

    With ``everything`` in the specification also what a backtest's report
    needs: the columns of the decision rows, and the run on the higher path.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self._bars = read_bars(spec["bars"], spec["n_bars"], spec["lot"])
        self._strategy = resolve_strategy(load_document(Path(spec["strategy"])))
        self._cash = spec["cash"]
        self._everything = bool(spec.get("everything"))
        self.run()

    def run(self) -> SleeveRun:
        """Run once, from bars in memory to orders, fills, trades and a value for each bar."""
        linked, feed = prepare(self._strategy, {}, self._bars, explain=self._everything)
        run = run_sleeve(linked.plan, feed, self._cash)
        if self._everything:
            optimistic = linked.plan.copy()
            optimistic["policy"]["path_choice"] = HIGHER_EQUITY
            run_sleeve(optimistic, feed, self._cash)
        return run

    def arrays(self, result: SleeveRun) -> dict[str, np.ndarray]:
        """Return the closed trades of a run, and the number of fills."""
        return {**trade_arrays({0: result}), "n_fills": np.array(len(result.fills))}


if __name__ == "__main__":
    serve(SingleJob)
