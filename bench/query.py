"""`query`: a year of minutes of one symbol among five hundred, warm."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from bench.many_series import N_WRITTEN, write_store
from bench.minute_files import session_minutes
from bench.processes import Worker
from bench.rows import NotValid, Row

_TARGET_MS = 50.0
_BARS_OF_2013 = 97_740  # 252 sessions, three of them half days: 249 x 390 + 3 x 210.


def run(*, quick: bool = False) -> list[Row]:
    """Ask for a year of one symbol, from the store and through the catalogue.

    Raises
    ------
    NotValid
        If an answer has not all bars of the year.
    """
    n_symbols, n_rounds = (20, 3) if quick else (500, 15)
    ts, _ = session_minutes(110_000)
    n_bars = int(np.searchsorted(ts, np.datetime64("2014-01-01", "ns").astype(np.int64)))
    if n_bars != _BARS_OF_2013:
        raise NotValid(f"query: 2013 has {n_bars} minutes, not {_BARS_OF_2013}")
    with tempfile.TemporaryDirectory(prefix="quarterdeck-query-") as scratch:
        home = Path(scratch) / "home"
        write_store(home, n_symbols, n_bars)
        spec = {"home": str(home), "n_symbols": n_symbols, "n_rounds": n_rounds}
        with Worker(Path(sys.executable), "bench.own_query", spec) as worker:
            worker.run()
            found = worker.arrays()
    if found["counts"].tolist() != [n_bars]:
        raise NotValid(f"query: answers have {found['counts'].tolist()} bars, not {n_bars}")
    ms = {name: float(np.median(found[name])) * 1e3 for name in found if name != "counts"}
    details = {
        "n_symbols": n_symbols,
        "n_symbols_written": min(N_WRITTEN, n_symbols),
        "the_others": "hard links with a list of their own",
        "n_bars": n_bars,
        "n_rounds": n_rounds,
    }
    return [
        Row(
            name="query",
            value=ms["store"],
            unit="ms from the store to numpy columns",
            ratio=ms["store"] / ms["bare"],
            peer="duckdb read_parquet of the same files",
            target=f"value <= {_TARGET_MS:.0f}",
            met=ms["store"] <= _TARGET_MS,
            details={"peer_value": ms["bare"], "load_bars_ms": ms["load_bars"], **details},
        ),
        Row(
            name="query/catalogue",
            value=ms["catalogue"],
            unit="ms by SQL for one series to numpy columns",
            ratio=ms["catalogue"] / ms["bare"],
            peer="duckdb read_parquet of the same files",
            details={
                "view_of_all_bars_ms": ms["view"],
                "rebuild_seconds": float(found["rebuild"][0]),
                "rebuild_again_seconds": float(found["rebuild"][1]),
            },
        ),
    ]
