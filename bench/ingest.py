"""`ingest`: a large CSV file of several symbols into the store, beside a bare copy by DuckDB."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from bench.minute_files import CALENDAR, write_csv
from bench.processes import Worker, in_turns
from bench.rows import NotValid, Row

_TARGET = 0.7
_TARGET_BYTES = 1 << 30
_N_SYMBOLS = 10


def run(*, quick: bool = False) -> list[Row]:
    """Import five million rows, sorted by symbol and then by time.

    Raises
    ------
    NotValid
        If the store does not hold what the copy holds.
    """
    n_bars, n_rounds = (20_000, 1) if quick else (500_000, 5)
    return [
        _row("ingest", n_bars, n_rounds, by_time=False),
        _row("ingest/by time", n_bars, n_rounds, by_time=True),
    ]


def _row(name: str, n_bars: int, n_rounds: int, *, by_time: bool) -> Row:
    python = Path(sys.executable)
    with tempfile.TemporaryDirectory(prefix="quarterdeck-ingest-") as scratch:
        folder = Path(scratch)
        file = folder / "bars.csv"
        write_csv(file, _N_SYMBOLS, n_bars, by_time=by_time)
        own_spec = {"file": str(file), "home": str(folder / "home")}
        peer_spec = {"file": str(file), "out": str(folder / "copy.parquet")}
        with (
            Worker(python, "bench.own_ingest", own_spec) as own,
            Worker(python, "bench.bare_copy", peer_spec) as peer,
        ):
            # Once untimed: libraries are loaded then, and the calendar is computed.
            own.run()
            peer.run()
            seconds = in_turns({"own": own, "peer": peer}, n_rounds)
            same = _same(own.arrays(), peer.arrays())
            peaks = own.peak_bytes(), peer.peak_bytes()
            version = peer.about["version"]
        n_bytes = file.stat().st_size
    if not same:
        raise NotValid(f"{name}: the store holds other bars than the copy")
    ratio = seconds["peer"] / seconds["own"]
    n_rows = n_bars * _N_SYMBOLS
    return Row(
        name=name,
        value=n_rows / seconds["own"],
        unit="rows/s from CSV to the store, all checks on",
        ratio=ratio,
        peer=f"duckdb {version} COPY, sorted, zstd",
        target=f"ratio >= {_TARGET} and peak memory <= 1 GiB",
        met=ratio >= _TARGET and peaks[0] <= _TARGET_BYTES,
        details={
            "peak_bytes": peaks[0],
            "peer_peak_bytes": peaks[1],
            "seconds": seconds["own"],
            "peer_seconds": seconds["peer"],
            "n_rows": n_rows,
            "n_symbols": _N_SYMBOLS,
            "file_bytes": n_bytes,
            "calendar": CALENDAR,
            "n_rounds": n_rounds,
        },
    )


def _same(own: dict[str, np.ndarray], peer: dict[str, np.ndarray]) -> bool:
    """Return whether both have the same rows; sums differ by the order of adding only."""
    if not np.array_equal(own["rows"], peer["rows"]):
        return False
    return bool(np.allclose(own["sums"], peer["sums"], rtol=1e-9))
