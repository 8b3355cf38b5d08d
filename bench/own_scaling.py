"""Worker of `scaling`: one piece of work on the store, its seconds and its memory.

Gets a specification as JSON and prints one line of JSON. A process for each
piece, so that its memory is its own.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench.bars import START_NS, times
from bench.protocol import peak_bytes
from bench.rules import STRATEGIES
from foundation.home import data_home
from foundation.kernel_cache import use_kernel_cache


def main() -> None:
    """Do what the specification says and print its figures."""
    use_kernel_cache(data_home())
    spec = json.loads(sys.argv[1])
    work = {"write": write_series, "backtest": run_one, "sweep": run_sets}[spec["work"]]
    print(json.dumps({**work(spec), "peak_bytes": peak_bytes()}))


def symbols_of(count: int) -> tuple[str, ...]:
    """Return the names of the instruments, the same first ones for any count."""
    return tuple(f"S{i:04d}" for i in range(count))


def write_series(spec: dict[str, Any]) -> dict[str, Any]:
    """Write minute bars of each instrument to the store; seconds and bytes on disk."""
    from bench.bars import minute_bars
    from market_data.columns import BarColumns
    from market_data.store import Store
    from market_data.timeframes import DAY_NS
    from trading.instruments import Instrument

    store, n_bars = Store(Path(spec["home"])), spec["n_bars"]
    ts = times(n_bars)
    seconds = 0.0
    for i, symbol in enumerate(symbols_of(spec["n_symbols"])):
        columns = BarColumns(ts, ts // DAY_NS, minute_bars(n_bars, seed=spec["seed"] + i))
        start = time.perf_counter()
        store.write_instrument(Instrument(symbol, lot=1e-8, calendar="24/7"))
        store.write_bars(symbol, "1m", columns, calendar="24/7", source="made")
        seconds += time.perf_counter() - start
    size = sum(path.stat().st_size for path in Path(spec["home"]).glob("bars/*/*/*.parquet"))
    return {"seconds": seconds, "bytes_on_disk": size}


def _request(spec: dict[str, Any]) -> Any:
    from research.backtest import BacktestRequest
    from trading.document import load_document

    last = datetime.fromtimestamp((START_NS + spec["n_bars"] * 60 * 10**9 - 1) / 1e9, UTC).date()
    return BacktestRequest(
        document=load_document(STRATEGIES / "common.yaml"),
        symbols=symbols_of(spec["n_symbols"]),
        end=last,
        cash=1e5 * spec["n_symbols"],
    )


def run_one(spec: dict[str, Any]) -> dict[str, Any]:
    """Run a backtest and write its result; seconds of both, after a small one to warm up."""
    from market_data.store import Store
    from research.backtest import run_backtest
    from research.writing import write_result

    store = Store(Path(spec["home"]))
    run_backtest(_request({"n_bars": 5_000, "n_symbols": 1}), store)
    start = time.perf_counter()
    backtest = run_backtest(_request(spec), store)
    ran = time.perf_counter()
    folder = Path(tempfile.mkdtemp(dir=spec["home"]))
    try:
        summary = write_result(backtest, folder / "result")
    finally:
        shutil.rmtree(folder)
    done = time.perf_counter()
    return {"seconds": ran - start, "seconds_to_write": done - ran, "n_trades": summary.n_trades}


def run_sets(spec: dict[str, Any]) -> dict[str, Any]:
    """Run a sweep of so many sets; seconds, after a small one to warm up."""
    from market_data.store import Store
    from research.sweeping import sweep_backtests

    store = Store(Path(spec["home"]))
    sweep_backtests(_request({"n_bars": 5_000, "n_symbols": 1}), {"x": (30.0, 35.0)}, store)
    n_x = max(n for n in range(1, int(np.sqrt(spec["n_sets"])) + 1) if spec["n_sets"] % n == 0)
    values = {
        "x": tuple(np.linspace(20.0, 45.0, n_x).tolist()),
        "y": tuple(np.linspace(55.0, 85.0, spec["n_sets"] // n_x).tolist()),
    }
    start = time.perf_counter()
    finished = sweep_backtests(_request(spec), values, store)
    return {"seconds": time.perf_counter() - start, "n_sets": len(finished.sets)}


if __name__ == "__main__":
    main()
