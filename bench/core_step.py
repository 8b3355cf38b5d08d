"""`core_step`: one bar through the core, called from Python, as paper and live do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from bench import rules
from bench.bars import bars_file
from bench.processes import Worker
from bench.rows import NotValid, Row

_TARGET_US = 5.0
_TARGET_BYTES = 64 * 1024


def run(*, quick: bool = False) -> list[Row]:
    """Step through bars with all features on; measure a step and the state's size.

    Raises
    ------
    NotValid
        If stepping does not end in the same state, bit for bit, as the
        backtest's loop over the same bars.
    """
    n_bars, n_rounds = (2_000, 2) if quick else (20_000, 7)
    spec: dict[str, Any] = {
        "bars": str(bars_file(100_000)),
        "n_bars": n_bars,
        "lot": 1.0,
        "cash": rules.CASH,
        "strategy": str(rules.STRATEGIES / "all_features.yaml"),
    }
    with Worker(Path(sys.executable), "bench.own_step", spec) as platform:
        rounds = [platform.run() for _ in range(n_rounds)]
        arrays = platform.arrays()
    if not bool(arrays["same_state"]):
        raise NotValid("core_step: stepping ends in another state than the backtest's loop")
    # The least of the rounds: a step is too short for a median to leave out interruptions.
    microseconds = min(rounds) / n_bars * 1e6
    state_bytes = int(arrays["state_bytes"])
    return [
        Row(
            name="core_step",
            value=microseconds,
            unit="microseconds a bar, from Python",
            target=f"value <= {_TARGET_US:.0f}",
            met=microseconds <= _TARGET_US,
            details={
                "n_bars": n_bars,
                "median": float(np.median(rounds)) / n_bars * 1e6,
                "n_fills": int(arrays["n_fills"]),
                "strategy": "all_features: four indicators, ladder, two targets, trailing stop",
            },
        ),
        Row(
            name="core_step/state",
            value=state_bytes,
            unit="bytes of one sleeve",
            target=f"value <= {_TARGET_BYTES}",
            met=state_bytes <= _TARGET_BYTES,
        ),
    ]
