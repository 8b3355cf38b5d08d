"""One larger point to hold the extrapolation of `scaling` against: ``python -m bench.large_point``.

A CSV file of minute bars of many instruments goes the whole way: imported
through all checks, examined for quality, backtested with its result written,
swept. Each step is a process of its own; printed are its wall time, the
processor's time, its peak memory and what it left on disk. Not one of the
benchmarks of `bench`, which `make bench` runs: it takes minutes and 4 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.minute_files import CALENDAR, write_csv
from bench.processes import worker_environment
from bench.protocol import peak_bytes
from bench.rules import STRATEGIES
from bench.scaling import N_MINUTES_A_SESSION, N_SESSIONS_A_YEAR
from foundation.home import CHECKOUT, data_home
from foundation.kernel_cache import use_kernel_cache

N_SYMBOLS = 100
# Ten values of each of the two parameters.
N_VALUES = 10


def main() -> None:
    """Do all steps and print a line for each; with ``--step`` one of them, as their process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=N_SYMBOLS)
    parser.add_argument("--bars", type=int, default=N_SESSIONS_A_YEAR * N_MINUTES_A_SESSION)
    parser.add_argument("--step", choices=list(STEPS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        use_kernel_cache(data_home())
        begin = time.perf_counter()
        found = STEPS[asked.step](asked.folder, asked.symbols, asked.bars)
        print(
            json.dumps(
                {
                    "step": asked.step,
                    "seconds": round(time.perf_counter() - begin, 2),
                    "processor_seconds": round(time.process_time(), 2),
                    "peak_bytes": peak_bytes(),
                    **found,
                }
            )
        )
        return
    parent = data_home() / "bench"
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix="point-"))
    size = ["--symbols", str(asked.symbols), "--bars", str(asked.bars)]
    try:
        for step in STEPS:
            subprocess.run(
                [sys.executable, "-m", "bench.large_point", *size, "--step", step,
                 "--folder", str(folder)],
                cwd=CHECKOUT, env=worker_environment(Path(sys.executable)), check=True,
            )  # fmt: skip
        print(f"beside a load of {os.getloadavg()[2]:.1f} on {os.cpu_count()} cores")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(folder: Path, n_symbols: int, n_bars: int) -> dict[str, Any]:
    write_csv(folder / "bars.csv", n_symbols, n_bars, by_time=False)
    return {"bytes_of_csv": (folder / "bars.csv").stat().st_size}


def _import(folder: Path, n_symbols: int, n_bars: int) -> dict[str, Any]:
    from market_data.importing import ImportOptions, import_files
    from market_data.store import Store

    store = Store(folder / "home")
    options = ImportOptions(stated={"calendar": CALENDAR})
    import_files(store, folder / "bars.csv", options, all_symbols=True)
    files = list((folder / "home").glob("bars/*/*/*.parquet"))
    return {
        "bars": sum(
            series.rows
            for symbol in store.symbols()
            if (series := store.find_series(symbol, "1m")) is not None
        ),
        "files": len(files),
        "bytes_stored": sum(path.stat().st_size for path in files),
    }


def _check(folder: Path, n_symbols: int, n_bars: int) -> dict[str, Any]:
    from market_data.quality.checking import check_series
    from market_data.store import Store

    store = Store(folder / "home")
    return {"findings": sum(len(check_series(store, s, "1m").findings) for s in store.symbols())}


def _request(folder: Path) -> tuple[Any, Any]:
    from market_data.store import Store
    from research.backtest import BacktestRequest
    from trading.document import load_document

    store = Store(folder / "home")
    symbols = tuple(store.symbols())
    document = load_document(STRATEGIES / "common.yaml")
    return BacktestRequest(document=document, symbols=symbols, cash=1e5 * len(symbols)), store


def _backtest(folder: Path, n_symbols: int, n_bars: int) -> dict[str, Any]:
    from research.backtest import run_backtest
    from research.writing import write_result

    request, store = _request(folder)
    begin = time.perf_counter()
    done = run_backtest(request, store)
    ran = time.perf_counter() - begin
    summary = write_result(done, folder / "result")
    size = sum(path.stat().st_size for path in (folder / "result").iterdir())
    return {"seconds_to_run": round(ran, 2), "trades": summary.n_trades, "bytes_of_result": size}


def _sweep(folder: Path, n_symbols: int, n_bars: int) -> dict[str, Any]:
    from research.sweeping import sweep_backtests

    request, store = _request(folder)
    values = {
        "x": tuple(np.linspace(20.0, 45.0, N_VALUES).tolist()),
        "y": tuple(np.linspace(55.0, 85.0, N_VALUES).tolist()),
    }
    return {"sets": len(sweep_backtests(request, values, store).sets)}


STEPS: dict[str, Callable[[Path, int, int], dict[str, Any]]] = {
    "write": _write,
    "import": _import,
    "check": _check,
    "backtest": _backtest,
    "sweep": _sweep,
}


if __name__ == "__main__":
    main()
