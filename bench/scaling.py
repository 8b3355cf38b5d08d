"""`scaling`: what a backtest and a sweep cost as bars, instruments and sets grow.

Each row is a piece of work in a process of its own on one store of minute
bars; its ratio is the seconds a unit (bar, instrument or set) takes there over
those it takes in the smallest piece of the same axis: 1 means that the cost
grows as the work does. The last row extrapolates to a thousand instruments of
ten years of minutes and says from what.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.processes import WorkerFailed, worker_environment
from bench.rows import Row
from foundation.home import CHECKOUT, data_home

N_SESSIONS_A_YEAR = 252
N_MINUTES_A_SESSION = 390
N_YEARS, N_SYMBOLS = 10, 1000


def run(*, quick: bool = False) -> list[Row]:
    """Measure the three axes.

    Parameters
    ----------
    quick : bool
        A tenth of the bars, fewer instruments and sets.
    """
    part = 10 if quick else 1
    n_bars = 100_000 // part
    bars = [n // part for n in (10_000, 100_000, 1_000_000)]
    symbols = [1, 2, 4] if quick else [1, 4, 16, 64]
    sets = [1, 10, 100] if quick else [1, 10, 100, 1_000, 10_000]
    parent = data_home() / "bench"
    parent.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(dir=parent, prefix="scaling-"))
    try:
        _work(home, work="write", n_bars=bars[-1], n_symbols=1, seed=1)
        runs = [(n, _work(home, work="backtest", n_bars=n, n_symbols=1)) for n in bars]
        rows = _rows("bars", runs, "bar")
        shutil.rmtree(home)
        stored = _work(home, work="write", n_bars=n_bars, n_symbols=symbols[-1], seed=1)
        runs = [(n, _work(home, work="backtest", n_bars=n_bars, n_symbols=n)) for n in symbols]
        rows += _rows("instruments", runs, "instrument")
        slope = _slope(runs)
        runs = [(n, _work(home, work="sweep", n_bars=n_bars, n_symbols=1, n_sets=n)) for n in sets]
        rows += _rows("sets", runs, "set")
    finally:
        shutil.rmtree(home, ignore_errors=True)
    bytes_a_bar = stored["bytes_on_disk"] / (symbols[-1] * n_bars)
    write_speed = symbols[-1] * n_bars / stored["seconds"]
    rows.append(_thousand(slope, n_bars, bytes_a_bar, write_speed))
    return rows


def _work(home: Path, **spec: Any) -> dict[str, Any]:
    finished = subprocess.run(
        [sys.executable, "-m", "bench.own_scaling", json.dumps({**spec, "home": str(home)})],
        cwd=CHECKOUT,
        env=worker_environment(Path(sys.executable)),
        capture_output=True,
        text=True,
    )
    if finished.returncode:
        raise WorkerFailed(f"{spec}: {finished.stderr.strip()[-500:]}")
    answer: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return answer


def _seconds(answer: dict[str, Any]) -> float:
    return float(answer["seconds"]) + float(answer.get("seconds_to_write", 0.0))


def _rows(axis: str, runs: list[tuple[int, dict[str, Any]]], unit: str) -> list[Row]:
    least = _seconds(runs[0][1]) / runs[0][0]
    return [
        Row(
            name=f"scaling/{n:,} {axis}",
            value=_seconds(answer),
            unit="s",
            ratio=_seconds(answer) / n / least,
            peer=f"seconds for each {unit} of {runs[0][0]:,}",
            details={k: v for k, v in answer.items() if k != "seconds"},
        )
        for n, answer in runs
    ]


def _slope(runs: list[tuple[int, dict[str, Any]]]) -> tuple[float, float, float]:
    """Return seconds to run, seconds to write and bytes that one more instrument costs."""
    (few, small), (many, large) = runs[0], runs[-1]
    names = ("seconds", "seconds_to_write", "peak_bytes")
    run_s, write_s, memory = ((large[n] - small[n]) / (many - few) for n in names)
    return run_s, write_s, memory


def _thousand(
    slope: tuple[float, float, float], n_bars: int, bytes_a_bar: float, write_speed: float
) -> Row:
    per_symbol = N_YEARS * N_SESSIONS_A_YEAR * N_MINUTES_A_SESSION
    factor = per_symbol / n_bars
    total = N_SYMBOLS * per_symbol
    run_s, write_s, memory = (factor * one for one in slope)
    return Row(
        name=f"scaling/{N_SYMBOLS:,} instruments x {N_YEARS} years of minutes, extrapolated",
        value=N_SYMBOLS * (run_s + write_s) / 3600.0,
        unit="hours on this machine",
        details={
            "n_bars": total,
            "gigabytes_stored": bytes_a_bar * total / 1e9,
            "hours_to_run": N_SYMBOLS * run_s / 3600.0,
            "hours_to_write_results": N_SYMBOLS * write_s / 3600.0,
            "hours_to_store": total / write_speed / 3600.0,
            "gigabytes_of_memory_an_instrument": memory / 1e9,
            "from": "what each instrument added to the largest run of the instruments' axis",
        },
    )
