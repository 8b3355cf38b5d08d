"""`ingest` on the platform: a file of many symbols through all checks into the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench.minute_files import CALENDAR
from bench.processes import N_THREADS
from bench.protocol import serve
from market_data.importing import FileOutcome, ImportOptions, import_files
from market_data.store import Store


class IngestJob:
    """Imports the file into an empty store; the calendar's sessions are known before."""

    def __init__(self, spec: dict[str, Any]) -> None:
        pa.set_cpu_count(N_THREADS)
        self._file = Path(spec["file"])
        self._home = Path(spec["home"])
        self._n_runs = 0

    def run(self) -> list[FileOutcome]:
        """Import the file."""
        self._put_aside()
        return import_files(
            Store(self._home),
            self._file,
            ImportOptions(stated={"calendar": CALENDAR}),
            all_symbols=True,
        )

    def _put_aside(self) -> None:
        """Empty the store in one step: to remove its files is no part of an import."""
        bars = self._home / "bars"
        if bars.exists():
            self._n_runs += 1
            bars.rename(self._home / f"bars before run {self._n_runs}")

    def arrays(self, result: list[FileOutcome]) -> dict[str, np.ndarray]:
        """Return what is stored, as the peer's file is summed up."""
        refused = [message for outcome in result for message in outcome.errors]
        if refused:
            raise ValueError(refused[0])
        store = Store(self._home)
        rows, sums = [], []
        for symbol in store.symbols():
            columns, _ = store.read_columns(symbol, "1m")
            rows.append(columns.n_bars)
            sums.append([(columns.ts // 1000).astype(float).sum(), *columns.prices.sum(axis=1)])
        return {"rows": np.array(rows), "sums": np.array(sums, np.float64)}


if __name__ == "__main__":
    serve(IngestJob)
