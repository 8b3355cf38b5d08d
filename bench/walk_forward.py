"""`walk_forward`: ten windows of 500 parameter sets, beside their ten sweeps run bare.

A bare sweep is one call of the public `run_sweep` over the bars of a window in
sample alone, in memory: linking 500 sets, their indicators, conditions and
runs. No figure is computed of its rows and nothing is chosen. The analysis
does all that, the choice of a plateau, the measure of its trials and three
chains of pieces out of sample besides.
"""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.bars import bars_file, times
from bench.processes import N_THREADS
from bench.rows import NotValid, Row
from foundation.home import CHECKOUT

_TARGET = 1.5
_LOT = 1e-8
_STRATEGY = CHECKOUT / "bench" / "strategies" / "common.yaml"


def run(*, quick: bool = False) -> list[Row]:
    """Time the analysis and its sweeps in turns, rolling and anchored.

    Raises
    ------
    NotValid
        If the analysis has another equity at a window's end than its sweep
        with the same warm-up.
    """
    from research.windows import Anchor

    n_bars, sides, n_rounds = (20_000, (5, 4), 1) if quick else (100_000, (25, 20), 5)
    prepared, values = _prepare(n_bars, sides)
    return [
        _measure(prepared, values, anchor, n_rounds, is_target=anchor is Anchor.ROLLING)
        for anchor in (Anchor.ROLLING, Anchor.ANCHORED)
    ]


def _prepare(n_bars: int, sides: tuple[int, int]) -> tuple[Any, Any]:
    from market_data.building import bars_from_arrays
    from market_data.loading import LoadedBars
    from research.backtest import BacktestRequest
    from research.parameter_sets import PreparedSets, choose_sets
    from trading.document import load_document, version_hash
    from trading.expressions.strategy import resolve_strategy
    from trading.instruments import Instrument

    prices = np.load(Path(bars_file(n_bars)))
    instrument = Instrument("BARS", asset_class="crypto", lot=_LOT, calendar="24/7")
    bars = bars_from_arrays(instrument, "1m", times(n_bars), *prices)
    document = load_document(_STRATEGY)
    values = {
        "x": tuple(np.linspace(20.0, 40.0, sides[0]).tolist()),
        "y": tuple(np.linspace(60.0, 80.0, sides[1]).tolist()),
    }
    sets = tuple(choose_sets(values))
    request = BacktestRequest(document, start=date(2024, 1, 1), cash=1_000_000.0)
    prepared = PreparedSets(
        request, resolve_strategy(document), version_hash(document), "bench", sets, (),
        (LoadedBars(bars, 0, "bench", "made"),), (request.cash,), 365,
    )  # fmt: skip
    return prepared, values


def _measure(prepared: Any, values: Any, anchor: Any, n_rounds: int, *, is_target: bool) -> Row:
    from market_data.building import select_bars
    from research.walk_forward import WalkForwardOptions, analyse
    from research.windows import span_of
    from trading.sweep import run_sweep

    # Twenty thousand minutes are fourteen sessions: fewer windows then.
    n_windows = 10 if len(prepared.sessions) >= 28 else 3
    options = WalkForwardOptions(anchor=anchor, n_windows=n_windows, purge=0)
    loaded = prepared.loaded[0]
    study = analyse(prepared, values, options, threads=N_THREADS)
    spans = [
        span_of(loaded, int(study.sessions[w.in_start]), int(study.sessions[w.in_stop - 1]))
        for w in study.windows
    ]
    parts = [select_bars(loaded.bars, slice(span.start, span.stop)) for span in spans]
    sets = prepared.full_sets()
    cash = prepared.request.cash
    own, bare = [], []
    for _ in range(n_rounds):
        start = time.perf_counter()
        study = analyse(prepared, values, options, threads=N_THREADS)
        own.append(time.perf_counter() - start)
        start = time.perf_counter()
        for part in parts:
            run_sweep(prepared.strategy, part, sets, cash=cash, threads=N_THREADS)
        bare.append(time.perf_counter() - start)
    _check(prepared, study, spans, sets, cash)
    ratio = median(own) / median(bare)
    return Row(
        name="walk_forward" if is_target else "walk_forward/anchored",
        value=median(own),
        unit="s",
        ratio=ratio,
        peer=f"the sum of its {n_windows} sweeps, run bare",
        target=f"ratio <= {_TARGET}" if is_target else "",
        met=ratio <= _TARGET if is_target else None,
        details={
            "n_windows": n_windows,
            "n_sets": len(sets),
            "n_bars": loaded.bars.n_bars,
            "n_bars_in_sample": [span.stop - span.start for span in spans],
            "sum_of_sweeps": median(bare),
            "n_rounds": n_rounds,
            "n_trades_out_of_sample": sum(len(one.trades) for one in study.chosen.pieces if one),
        },
    )


def _check(prepared: Any, study: Any, spans: Any, sets: Any, cash: float) -> None:
    """Hold the last window to a sweep that warms up on the bars before it."""
    from market_data.building import select_bars
    from trading.sweep import run_sweep

    bars = select_bars(prepared.loaded[0].bars, slice(0, spans[-1].stop))
    alone = run_sweep(prepared.strategy, bars, sets, cash=cash, first_bar=spans[-1].start)
    if not np.array_equal(alone.session_equity, study.in_sample[-1].equity):
        raise NotValid("walk_forward: a window's equity differs from that of its sweep")
