"""The peer of `ingest`: DuckDB copies the file to one sorted Parquet file, and checks nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from bench.processes import N_THREADS
from bench.protocol import serve


class CopyJob:
    """One COPY with the store's sort and compression."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._file = Path(spec["file"])
        self._out = Path(spec["out"])
        self._connection = duckdb.connect()
        self._connection.execute(f"SET threads = {N_THREADS}")
        self._connection.execute("SET TimeZone = 'UTC'")
        self.about = {"version": duckdb.__version__}

    def run(self) -> None:
        """Copy the file."""
        self._out.unlink(missing_ok=True)
        self._connection.execute(
            f"COPY (SELECT * FROM read_csv('{self._file}') ORDER BY symbol, ts) "
            f"TO '{self._out}' (FORMAT parquet, COMPRESSION zstd)"
        )

    def arrays(self, result: None) -> dict[str, np.ndarray]:
        """Return the rows of each symbol, and the sums of its columns."""
        found = self._connection.execute(
            "SELECT count(*), sum(epoch_us(ts)), sum(open), sum(high), sum(low), sum(close), "
            f"sum(volume) FROM '{self._out}' GROUP BY symbol ORDER BY symbol"
        ).fetchall()
        return {
            "rows": np.array([row[0] for row in found]),
            "sums": np.array([[float(value) for value in row[1:]] for row in found]),
        }


if __name__ == "__main__":
    serve(CopyJob)
