"""`query` on the platform: a year of minutes of one symbol, each time of another one."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench.many_series import symbol_name
from bench.processes import N_THREADS
from bench.protocol import serve
from market_data.catalogue import open_catalogue, rebuild_catalogue, series_sql
from market_data.loading import load_bars
from market_data.store import Store

_START, _END = datetime(2013, 1, 1, tzinfo=UTC), datetime(2014, 1, 1, tzinfo=UTC)
# The one that repeats in `many_series`: any other has bytes that are in memory as well.
_STEP = 7


class QueryJob:
    """Asks in turns the store, the backtest's loader, the catalogue and DuckDB without it."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._store = Store(Path(spec["home"]))
        self._n_symbols = spec["n_symbols"]
        self._n_rounds = spec["n_rounds"]
        rebuild = time.perf_counter()
        rebuild_catalogue(self._store)
        self._rebuild_seconds = time.perf_counter() - rebuild
        again = time.perf_counter()
        rebuild_catalogue(self._store)
        self._again_seconds = time.perf_counter() - again
        self._connection = open_catalogue(self._store)
        self._connection.execute(f"SET threads = {N_THREADS}")
        self._connection.execute(
            "SELECT count(*) FROM bars WHERE symbol = ?", [symbol_name(0)]
        ).fetchall()

    def run(self) -> dict[str, Any]:
        """Ask in turns, and return the seconds of each."""
        asked: dict[str, Callable[[str], int]] = {
            "store": self._from_store,
            "load_bars": self._from_loader,
            "catalogue": self._from_catalogue,
            "view": self._from_view,
            "bare": self._bare,
        }
        seconds: dict[str, list[float]] = {name: [] for name in asked}
        counts = set()
        for i in range(self._n_rounds + 1):
            for k, (name, ask) in enumerate(asked.items()):
                symbol = symbol_name((i * len(asked) + k) * _STEP % self._n_symbols)
                start = time.perf_counter()
                counts.add(ask(symbol))
                # The first round warms up.
                if i:
                    seconds[name].append(time.perf_counter() - start)
        return {"seconds": seconds, "counts": counts}

    def arrays(self, result: dict[str, Any]) -> dict[str, np.ndarray]:
        """Return the seconds, and how many bars the answers had."""
        return {
            **{name: np.array(values) for name, values in result["seconds"].items()},
            "counts": np.array(sorted(result["counts"])),
            "rebuild": np.array([self._rebuild_seconds, self._again_seconds]),
        }

    def _from_store(self, symbol: str) -> int:
        columns, _ = self._store.read_columns(
            symbol, "1m", first_ns=_ns(_START), last_ns=_ns(_END) - 1
        )
        return columns.n_bars

    def _from_loader(self, symbol: str) -> int:
        loaded = load_bars(
            self._store, symbol, "1m", start=date(2013, 1, 1), end=date(2013, 12, 31)
        )
        return loaded.bars.n_bars

    def _from_catalogue(self, symbol: str) -> int:
        sql = series_sql(self._connection, symbol, "1m", start=_START, end=_END)
        return int(self._connection.execute(sql).fetchnumpy()["close"].shape[0])

    def _from_view(self, symbol: str) -> int:
        found = self._connection.execute(
            "SELECT * FROM bars WHERE symbol = ? AND timeframe = '1m' AND ts >= ? AND ts < ? "
            "ORDER BY ts",
            [symbol, _START, _END],
        )
        return int(found.fetchnumpy()["close"].shape[0])

    def _bare(self, symbol: str) -> int:
        series = self._store.find_series(symbol, "1m")
        assert series is not None
        folder = self._store.series_folder(symbol, "1m")
        paths = [str(folder / file.name) for file in series.files]
        found = self._connection.execute("SELECT * FROM read_parquet(?)", [paths])
        return int(found.fetchnumpy()["close"].shape[0])


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000


if __name__ == "__main__":
    serve(QueryJob)
